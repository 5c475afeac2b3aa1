# SPDX-License-Identifier: GPL-2.0-or-later
#
#	make		library, daemons, tools
#	make modules	pmts.ko and pmtm.ko for KERNEL (6.1 or 6.12), in build/kmod
#	make demo	the main job, in a machine that it boots (HOST=1: here)
#	make check	all tests (HOST=1: the system tests here)
#	make style	what can be said of the sources without running them; part of check
#	make check-debug	the tests under kernels that check, KASAN and lockdep among it
#	make check-kernels	the tests under each of Debian's kernels, with the newest
#	make long	both, for long, the race detector, and the ring's fuzzer
#	make bench	MB/s of pmt beside pipe, pty, CUSE, TCMU, tgt and tee, in QEMU and in
#			UML, and bench-native; bench-long: all record sizes, from 512 B to 16 MiB
#	make bench-rmt	how fast a drive on another host is, beside other clients
#	make bench-filters	what compression and encryption cost beside their libraries
#	make bench-native	what images and mirrors do without the kernel; and bench-filters
#	make conformance	pmt beside the real st, on both kernels; part of check
#	make install	DESTDIR=, PREFIX=
#	make deb	Debian's packages, in build/deb
#	make check-packages	a new administrator's session, from the packages alone
#
# demo and check install what is missing first, by tests/vm/setup.

KERNEL ?= 6.1
PREFIX ?= /usr/local
CC ?= gcc
OPT ?= -O2 -g
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
WARN += $(if $(CI),-Werror)
VERSION := $(shell sed -n 's/^\#define PMT_VERSION "\(.*\)"/\1/p' tools/pmt-tool.h)
PKGS := libnl-genl-3.0 libnl-3.0 json-c libsystemd zlib libzstd libsodium libkeyutils

CPPFLAGS := -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Ikmod/uapi -Ilib
CFLAGS = -std=gnu11 $(OPT) $(WARN) -pthread -fPIC $(shell pkg-config --cflags $(PKGS))
LDLIBS = $(shell pkg-config --libs $(PKGS)) -lbz2 -pthread
SCREEN = $(shell pkg-config --libs ncursesw)

LIB := $(sort $(wildcard lib/*.c lib/*/*.c))
DAEMON := $(addprefix daemons/,main.c conf.c config.c control.c handover.c keep.c policy.c)
TOOL := $(sort $(wildcard tools/*.c))
UNIT := $(sort $(wildcard tests/unit/check_*.c))
UNIT_HELP := $(filter-out $(UNIT),$(sort $(wildcard tests/unit/*.c)))
SYSTEM := $(sort $(wildcard tests/system/*.c tests/conformance/conform.c))
BENCH := $(sort $(wildcard tests/bench/*.c))
FUZZ := $(filter-out %_fuzz.c,$(sort $(wildcard tests/fuzz/*.c)))
FUZZ += $(patsubst %/main.c,%.c,$(sort $(wildcard tests/fuzz/*/main.c)))
PROPERTY := $(sort $(wildcard tests/property/*.c))
CONFORM := $(sort $(wildcard tests/conformance/*.c))

B := build/plain
S := build/asan
objs = $(patsubst %.c,$(1)/%.o,$(2))

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2);)

all: $(B)/libpmt.a $(B)/libpmt.so $(B)/tape-mirror $(B)/rmt-forwarder \
	$(B)/pmt-rmt $(B)/pmt

$(B)/%.o: %.c
	$(call say,CC,$@) mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# The unit tests: the same sources under AddressSanitizer and UBSan.
$(S)/%.o: %.c
	$(call say,CC,$@) mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -O1 -fsanitize=address,undefined \
		-fno-sanitize-recover=undefined -MMD -MP -c -o $@ $<

$(B)/libpmt.a: $(call objs,$(B),$(LIB))
$(S)/libpmt.a: $(call objs,$(S),$(LIB))
%/libpmt.a:
	$(call say,AR,$@) rm -f $@
	$(Q)$(AR) rcs $@ $^

$(B)/libpmt.so: $(call objs,$(B),$(LIB)) lib/libpmt.map
	$(call say,LD,$@) $(CC) -shared -Wl,-soname,libpmt.so.0 \
		-Wl,--version-script=lib/libpmt.map -o $@ $(filter %.o,$^) $(LDLIBS)

$(B)/tape-mirror $(B)/rmt-forwarder: $(B)/%: $(B)/daemons/%.o $(call objs,$(B),$(DAEMON)) $(B)/libpmt.a
	$(call say,LD,$@) $(CC) -o $@ $^ $(LDLIBS)

$(B)/pmt-rmt: $(call objs,$(B),daemons/pmt-rmt.c daemons/rmt-conf.c daemons/conf.c) $(B)/libpmt.a
	$(call say,LD,$@) $(CC) -o $@ $^ $(LDLIBS)

# And what reads the daemons' configuration, to look at it.
$(B)/pmt: $(call objs,$(B),$(TOOL) $(addprefix daemons/,conf.c config.c policy.c rmt-conf.c)) \
		$(B)/libpmt.a
	$(call say,LD,$@) $(CC) -o $@ $^ $(LDLIBS) $(SCREEN)

$(B)/tests/system/%: $(B)/tests/system/%.o $(B)/libpmt.a
	$(call say,LD,$@) $(CC) -o $@ $^ $(LDLIBS)

$(B)/tests/bench/%: $(B)/tests/bench/%.o $(B)/libpmt.a
	$(call say,LD,$@) $(CC) -o $@ $^ $(LDLIBS)

# One file, or a folder with the program's name: so the objects are in $(B)/fuzz.
vpath fuzz/%.c tests
parts = $(patsubst tests/%.c,$(B)/%.o,$(wildcard $(1).c $(1)/*.c))
.SECONDEXPANSION:
$(patsubst %.c,$(B)/%,$(FUZZ)): $(B)/%: $$(call parts,$$*) $(B)/libpmt.a
	$(call say,LD,$@) mkdir -p $(@D)
	$(Q)$(CC) -o $@ $^ $(LDLIBS)

$(B)/tests/system/tt: $(B)/tests/conformance/steps.o

$(B)/tests/conformance/conform: $(call objs,$(B),$(CONFORM)) $(B)/libpmt.a
	$(call say,LD,$@) $(CC) -o $@ $^ $(LDLIBS)

# As somebody else builds it: from what is installed.
STAGE := $(CURDIR)/$(B)/stage
$(B)/examples/%: examples/%.c $(B)/libpmt.so lib/pmt.h kmod/uapi/linux/pmt.h lib/libpmt.pc.in
	$(Q)mkdir -p $(@D) && $(MAKE) -s install-lib DESTDIR=$(STAGE) PREFIX=/opt
	$(call say,CC,$@) $(CC) $(WARN) -Werror -o $@ $< $$(PKG_CONFIG_LIBDIR=$(STAGE)/opt/lib/pkgconfig \
		PKG_CONFIG_SYSROOT_DIR=$(STAGE) pkg-config --cflags --libs libpmt)

$(S)/tests/unit/check_%: $(S)/tests/unit/check_%.o $(call objs,$(S),$(UNIT_HELP)) $(S)/libpmt.a
	$(call say,LD,$@) $(CC) -fsanitize=address,undefined -o $@ $^ \
		$(LDLIBS) $(if $(filter %/check_top,$@),$(SCREEN)) $$(pkg-config --libs check)

# Threads, and what a server asks of the system, are the test's own.
$(B)/tests/property/mirror: $(call objs,$(B),$(PROPERTY)) $(B)/libpmt.a
	$(call say,LD,$@) $(CC) @tests/property/wrap.options -o $@ $^ $(LDLIBS)
$(S)/tests/property/mirror: $(call objs,$(S),$(PROPERTY)) $(S)/libpmt.a
	$(call say,LD,$@) $(CC) @tests/property/wrap.options -fsanitize=address,undefined -o $@ $^ $(LDLIBS)

$(S)/tests/unit/check_random: $(call objs,$(S),$(filter-out %/conform.c,$(CONFORM)))

unit-programs: $(patsubst %.c,$(S)/%,$(UNIT)) $(S)/tests/property/mirror \
	$(B)/tests/property/mirror
system-programs: $(patsubst %.c,$(B)/%,$(SYSTEM) $(FUZZ) $(BENCH)) $(B)/examples/memory

setup:
	$(Q)tests/vm/setup

modules: setup
	$(Q)WERROR=$(if $(CI),1) tests/vm/modules $(KERNEL)

PARALLEL = $(MAKE) --no-print-directory -j $(shell nproc)

# The environment is made first; sub-makes see the packages that setup brings.
demo: setup
	$(Q)$(PARALLEL) all modules
	$(Q)HOST=$(HOST) tests/demo/demo -k $(KERNEL)

check: setup
	$(Q)$(PARALLEL) all unit-programs system-programs modules \
		conformance-modules
	$(Q)HOST=$(HOST) tests/check -k $(KERNEL)

style: setup
	$(Q)tests/style

# pmt and the real st side by side.
conformance: setup
	$(Q)$(MAKE) --no-print-directory all system-programs conformance-modules
	$(Q)tests/conformance/conformance

# Under kernels that check, which are built first.  kcsan and the newest of Debian's
# kernels are long lanes.
check-debug: setup
	$(Q)$(MAKE) --no-print-directory all system-programs
	$(Q)tests/debug

check-kernels: setup
	$(Q)$(MAKE) --no-print-directory all system-programs conformance-modules
	$(Q)tests/kernels

long: setup
	$(Q)$(MAKE) --no-print-directory all system-programs conformance-modules
	$(Q)tests/long

# Transfers in one boot of each machine, then bench-native; tables in build/bench.
bench bench-long: setup
	$(Q)$(MAKE) --no-print-directory all $(B)/tests/system/units $(addprefix $(B)/tests/bench/,transfer cuse tcmu)
	$(Q)tests/bench/transfers $(if $(filter bench-long,$@),-l)
	@echo
	$(Q)tests/bench/transfers -k uml-fast $(if $(filter bench-long,$@),-l,-s 0.2)
	@echo
	$(Q)$(MAKE) --no-print-directory bench-native

# Records to a drive on another host, by three clients.
bench-rmt: setup
	$(Q)$(MAKE) --no-print-directory all $(patsubst %.c,$(B)/%,$(BENCH))
	$(Q)tests/bench/rmt

bench-filters: setup
	$(Q)$(MAKE) --no-print-directory $(B)/tests/bench/filters
	$(Q)tests/bench/filters.sh

# And the image format, CRC, mirrors; table and JSON in build/bench.
bench-native: setup
	$(Q)$(MAKE) --no-print-directory $(addprefix $(B)/tests/bench/,native drive filters)
	$(Q)tests/bench/bench

conformance-modules:
	$(Q)for k in 6.1 6.12; do WERROR=$(if $(CI),1) tests/vm/modules $$k && \
		tests/conformance/oracle/build $$k || exit 1; done

# Everything but the modules, which are Kbuild's or DKMS's.  Where what belongs to the
# system is found is systemd's and udev's rule; /usr/local is among it.
SBINDIR ?= $(PREFIX)/sbin
LIBDIR ?= $(PREFIX)/lib
UDEVDIR ?= $(PREFIX)/lib/udev
UNITDIR ?= $(PREFIX)/lib/systemd/system
to = $(DESTDIR)$(1)
put = install -D -m 644 $(1) $(call to,$(2))

install: all install-lib
	for name in pmt tape-mirror rmt-forwarder pmt-rmt; do \
		install -D -m 755 $(B)/$$name $(call to,$(SBINDIR)/$$name) || exit; done
	install -d -m 755 $(call to,/etc/pmt) $(call to,/var/lib/pmt)
	$(call put,tools/completion,$(PREFIX)/share/bash-completion/completions/pmt)
	$(call put,udev/60-pmt.rules,$(UDEVDIR)/rules.d/60-pmt.rules)
	$(call put,systemd/modules-load.conf,$(PREFIX)/lib/modules-load.d/pmt.conf)
	$(call put,systemd/sysusers.conf,$(PREFIX)/lib/sysusers.d/pmt.conf)
	$(call put,systemd/tmpfiles.conf,$(PREFIX)/lib/tmpfiles.d/pmt.conf)
	install -d -m 755 $(call to,$(UNITDIR))
	sed 's,@SBINDIR@,$(SBINDIR),' 'systemd/pmt-mirror@.service' > \
		$(call to,$(UNITDIR)/pmt-mirror@.service)
	chmod 644 $(call to,$(UNITDIR)/pmt-mirror@.service)
	for name in mirror.conf rmt.conf memory.c tape.py; do install -D -m 644 examples/$$name \
		$(call to,$(PREFIX)/share/doc/pmt/examples/$$name) || exit; done
	for page in man/*; do install -D -m 644 $$page \
		$(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/} || exit; done

# What others build with, to be used by what they have built.
install-lib: $(B)/libpmt.a $(B)/libpmt.so
	$(call put,$(B)/libpmt.a,$(LIBDIR)/libpmt.a)
	$(call put,$(B)/libpmt.so,$(LIBDIR)/libpmt.so.0)
	ln -sf libpmt.so.0 $(call to,$(LIBDIR)/libpmt.so)
	$(call put,lib/pmt.h,$(PREFIX)/include/pmt.h)
	$(call put,kmod/uapi/linux/pmt.h,$(PREFIX)/include/linux/pmt.h)
	install -d $(call to,$(LIBDIR)/pkgconfig)
	sed 's,@PREFIX@,$(PREFIX),; s,@LIBDIR@,$(LIBDIR),; s,@VERSION@,$(VERSION),; s,@LIBS@,$(LDLIBS),' \
		lib/libpmt.pc.in > $(call to,$(LIBDIR)/pkgconfig/libpmt.pc)

# Debian's packages, in build/deb.
deb:
	$(Q)debian/build

clean:
	rm -rf build/plain build/asan build/analyzer build/kmod build/oracle build/deb build/dkms build/newer

-include $(shell find $(B) $(S) -name '*.d' 2>/dev/null)

# In a machine with systemd, whose kernel changes: DKMS builds the modules in there.
check-packages: setup
	$(Q)$(MAKE) --no-print-directory all system-programs
	$(Q)tests/packages/run -l

.PHONY: all deb check-packages setup modules demo check style conformance check-debug check-kernels \
	long bench bench-long bench-rmt bench-filters bench-native conformance-modules \
	install install-lib clean unit-programs system-programs
.SECONDARY:
.DELETE_ON_ERROR:
