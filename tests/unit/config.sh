#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What is installed and where, the unit of the service as systemd checks it, and what
# tape-mirror says of a configuration.  Nothing is served.
#
# usage: config.sh [CASE...]

set -u

top=$(cd "$(dirname "$0")/../.." && pwd)
bin=$top/build/plain
[ -x "$bin/tape-mirror" ] || { echo "config.sh: no $bin/tape-mirror"; exit 77; }
# shellcheck source=cases
. "$top/tests/unit/cases"

# refused LINE|'' MESSAGE [LINE...]: a configuration of these lines
refused() {
	local status=0
	printf '%s\n' "${@:3}" > "$T/a.conf"
	"$bin/tape-mirror" --config "$T/a.conf" > "$T/said" 2>&1 || status=$?
	is $status 2 "status, of: ${*:3}"
	grep -qE "${1:+$T/a.conf:$1: }$2" "$T/said" ||
		fail "$2 is not in: $(cat "$T/said")"
}

case_refused() {
	says 'No such file' "$bin/tape-mirror" --config "$T/a.conf"
	refused 3 'no such key: drivee' 'unit = 0' '' 'drivee = null:'
	refused 2 'said twice: unit' 'unit = 0' 'unit = 1' 'drive = null:'
	refused 1 'a value is wanted: unit' 'unit =' 'drive = null:'
	refused 1 'a unit and a drive are wanted' 'unit = 0'
	refused 1 'expected key = value' 'unit 0'
	refused 3 'not understood: policy' 'unit = 0' '# a remark' 'policy = some' 'drive = null:'
	refused 2 'not understood: twins' 'unit = 0' 'twins = some' 'drive = null:'
	refused 2 'not understood: verify' 'unit = 0' 'verify = 1' 'drive = null:'
	refused '' 'twins and --verify are for two' 'unit = 0' 'drive = null:' 'twins = any'
	refused 1 'not understood: ring' 'ring = 3M' 'unit = 0' 'drive = null:'
	refused 2 "column 1: unknown kind of drive 'frob': frob:x" 'unit = 0' 'drive = frob:x'
	refused '' 'min asks for more' 'unit = 0' 'drive = null:a' 'drive = null:b' \
		'policy = degrade' 'min = 3'
	printf '%s\n' 'unit = 0' 'drive = null:' > "$T/a.conf"
	says 'are in the configuration' "$bin/tape-mirror" --config "$T/a.conf" 0
}

# The example is understood, whole, as far as one gets without the module.
case_example() {
	sed 's/^#\([a-z]* = \)/\1/; s,st:/dev/nst,null:,' "$top/examples/mirror.conf" > "$T/a.conf"
	is "$(grep -cE '^[a-z]+ = ' "$T/a.conf")" 10 "keys of the example"
	says 'serving unit|not served|not loaded' \
		timeout 60 "$bin/tape-mirror" --config "$T/a.conf"
	sed "s,/offsite,$T,; s,/var/lib/pmt,$T,; s,capacity=2T,capacity=2M," \
		"$top/examples/rmt.conf" > "$T/rmt.conf"
	sed -i "1i state = $T" "$T/rmt.conf"
	printf 'Onvault\n2\nC\n\n' | "$bin/pmt-rmt" --config "$T/rmt.conf" > "$T/out" 2>&1
	is "$(grep -c '^A' "$T/out")" 2 "answers: $(cat "$T/out")"
}

# Without what its own file says, systemd-analyze knows more of the unit than we do.
case_unit() {
	command -v systemd-analyze > /dev/null || skip "no systemd"
	sed "s,@SBINDIR@,$bin," "$top/systemd/pmt-mirror@.service" > "$T/pmt-mirror@.service"
	is "$(systemd-analyze verify --man=no "$T/pmt-mirror@vault.service" 2>&1 |
		grep -F pmt-mirror)" "" "systemd-analyze verify"
	sed -i 's/^Type=.*/&\nRestart=mostly/' "$T/pmt-mirror@.service"
	says mostly systemd-analyze verify --man=no "$T/pmt-mirror@vault.service"
}

# What it may not do: 2.4 of 10, the less the better, by systemd's own count.
case_exposure() {
	systemd-analyze security --help 2> /dev/null | grep -q threshold || skip "no systemd, or an old one"
	sed "s,@SBINDIR@,$bin," "$top/systemd/pmt-mirror@.service" > "$T/pmt-mirror@vault.service"
	ok not_exposed
	sed -i '/^Protect/d; /^SystemCall/d' "$T/pmt-mirror@vault.service"
	! not_exposed || fail "it does not tell what is missing"
}

not_exposed() {
	systemd-analyze security --offline=yes --no-pager --threshold=25 \
		"$T/pmt-mirror@vault.service" > "$T/out"
}

case_install() {
	local file
	[ -e "$bin/libpmt.so" ] || skip "not built"
	ok make -s -C "$top" install DESTDIR="$T/root" PREFIX=/usr/local > "$T/log" 2>&1
	for file in sbin/pmt sbin/tape-mirror sbin/rmt-forwarder sbin/pmt-rmt lib/libpmt.a \
		lib/libpmt.so.0 lib/libpmt.so include/pmt.h include/linux/pmt.h \
		lib/udev/rules.d/60-pmt.rules lib/modules-load.d/pmt.conf \
		lib/sysusers.d/pmt.conf lib/tmpfiles.d/pmt.conf \
		'lib/systemd/system/pmt-mirror@.service' share/doc/pmt/examples/mirror.conf \
		share/man/man8/tape-mirror.8; do
		[ -s "$T/root/usr/local/$file" ] || fail "not installed: $file"
	done
	is "$(find "$T/root" -type f -path '*/man/*' | wc -l)" \
		"$(find "$top/man" -type f | wc -l)" "pages"
	[ -d "$T/root/etc/pmt" ] || fail "no /etc/pmt"
	ok grep -q '^ExecStart=/usr/local/sbin/tape-mirror ' \
		"$T/root/usr/local/lib/systemd/system/pmt-mirror@.service"
	ok "$T/root/usr/local/sbin/pmt" --version
}

run_cases "$@"
