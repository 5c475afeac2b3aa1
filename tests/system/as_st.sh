#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# law 4: as_st=1, for programs that know tapes by st's names, major number and
# class: mt's display of options, stinit, tapestat.  The modules are loaded again
# for each case; nothing else may use them meanwhile.

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/oracle"

modules=${PMT_MODULES_DIR:-/run/pmt}
[ -e "$modules/pmtm.ko" ] || modules=$top/build/kmod/${PMT_VM:-6.1}

loaded() { [ -d "/sys/module/$1" ]; }

load() {
	loaded pmts || insmod "$modules/pmts.ko" || return
	loaded pmtm || insmod "$modules/pmtm.ko" "$@"
}

unload() {
	! loaded pmtm || rmmod pmtm || return
	! loaded pmts || rmmod pmts
}

alone() {
	[ "$(pmt list --json | jq length)" = 0 ] || skip "there are units of others"
	[ -e "$modules/pmtm.ko" ] || skip "no modules to load again"
	later load
	later unload
	later drop_units
	ok unload
}

drop_units() {
	local unit
	! loaded pmtm || for unit in $(pmt list --json | jq -r '.[].unit'); do
		pmt abort "$unit"
		eventually 10 pmt del "$unit" 2> /dev/null
	done
}

# Unit 0, in the place of st's first drive.
as_st() {
	alone
	! loaded st || skip "st is loaded"
	ok load units=1 as_st=1
	UNIT=0 TAPE=/dev/st0 NTAPE=/dev/nst0
	export UNIT TAPE NTAPE
	serve "image:$T/a.tape?capacity=40M"
}

case_nodes() {
	as_st
	local mode base
	for mode in '' l m a; do
		for base in st nst; do
			[ -c "/dev/${base}0$mode" ] || fail "no ${base}0$mode"
			is "$(stat -c %Hr "/dev/${base}0$mode")" 9 "the major number of ${base}0$mode"
			ok [ -e "/sys/class/scsi_tape/${base}0$mode/options" ]
		done
	done
	no [ -e /dev/npmtm0 ]
	ok mt -f "$NTAPE" weof 2
	at 2 0
	ok tar -cf "$TAPE" -C "$top" man
	at 0 0
}

case_options_shown() {
	as_st
	is "$(mt -f "$NTAPE" stshowoptions)" \
		"The options set: buffer-writes async-writes read-ahead can-bsr" "at first"
	ok mt -f "$NTAPE" stsetoptions two-fms scsi2logical
	is "$(mt -f "$NTAPE" stshowoptions)" \
		"The options set: buffer-writes async-writes read-ahead two-fms can-bsr scsi2logical" \
		"with two more"
	ok mt -f "$NTAPE" stoptions sili
	is "$(mt -f "$NTAPE" stshowoptions)" "The options set: sili" "only one"
}

definition() {
	cat > "$T/stinit.def" <<-END
	$1 {
	scsi2logical can-bsr=0 can-partitions auto-lock drive-buffering=1
	mode1 blocksize=0 compression=1
	mode2 blocksize=1024 compression=1 density=0x5e buffering=0
	mode3 blocksize=0 compression=0 async=0 read-ahead=0
	mode4 blocksize=2k disabled=1 }
	manufacturer="NOBODY" {
	mode1 blocksize=4096 two-fms }
	END
}

# What sysfs has of each mode: defined, block size, density, compression, options.
modes() {
	local mode name
	for mode in '' l m a; do
		for name in defined default_blksize default_density default_compression options; do
			cat "/sys/class/scsi_tape/${NTAPE##*/}$mode/$name"
		done | paste -sd ' '
	done
}

wanted_modes() {
	cat <<-'END'
	1 0 -1 1 0x00000c07
	1 1024 0x5e 1 0x00000c06
	1 0 -1 0 0x00000c01
	0 -1 -1 -1 0x00000c07
	END
}

stinit_defines() {
	ok stinit -v -f "$T/stinit.def" "${NTAPE##*/n}" > "$T/said" 2>&1
	diff <(wanted_modes) <(modes) || fail "the modes: $(cat "$T/said")"
	says 'block size 1024 bytes' mt -f "${NTAPE}l" status
	says 'block size 0 bytes' mt -f "${NTAPE}m" status
	says 'No such device or address' mt -f "${NTAPE}a" status
}

case_stinit() {
	definition 'manufacturer="PMT" model="PSEUDO TAPE"'
	as_st
	stinit_defines
}

# The same by the kernel's own.
case_stinit_real_st() {
	definition 'manufacturer="IBM"'
	oracle
	stinit_defines
}

# "st0 r/s w/s kB_read/s kB_wrtn/s ...", of the time since the machine's start
uptime_seconds() { awk '{ printf "%d\n", $1 }' /proc/uptime; }
tapestat_of() { tapestat -k | awk -v n="$1" '$1 == "st0" { print $n }'; }

# between GOT KIB BEFORE AFTER WHAT: KiB by the uptime, cut to an integer
between() {
	if [ "$1" -lt $(($2 / ($4 + 1))) ] || [ "$1" -gt $(($2 / $3 + 1)) ]; then
		fail "$5: $1 KiB/s, of $2 KiB in $3 to $4 seconds"
	fi
}

case_tapestat() {
	local before read written after kib=24576
	as_st
	says 'st0 +0 +0 +0 +0 ' tapestat -k
	ok dd if=/dev/zero of="$NTAPE" bs=64k count=384 status=none
	ok mt -f "$NTAPE" rewind
	ok dd if="$NTAPE" of=/dev/null bs=64k count=192 status=none
	before=$(uptime_seconds)
	read=$(tapestat_of 4) written=$(tapestat_of 5)
	after=$(uptime_seconds)
	between "$written" "$kib" "$before" "$after" "written"
	between "$read" $((kib / 2)) "$before" "$after" "read"
	[ "$written" -gt 0 ] || fail "the machine is too old for this"
	is "$(cat /sys/class/scsi_tape/st0/stats/write_cnt)" 384 "writes"
	is "$(cat /sys/class/scsi_tape/st0/stats/write_byte_cnt)" $((kib * 1024)) "bytes written"
	is "$(cat /sys/class/scsi_tape/st0/stats/read_byte_cnt)" $((kib * 512)) "bytes read"
}

# Where st is, as_st is refused with a word, and leaves nothing behind.
case_st_is_loaded() {
	local was
	alone
	[ "$(releases)" = 0 ] || skip "st can not be unloaded here"
	modprobe st || skip "no st"
	ok eventually 10 rmmod st	# what st needs stays
	was=$(ls /sys/class /dev)
	ok modprobe st
	later "eventually 10 rmmod st"
	no load units=1 as_st=1 2> "$T/said"
	dmesg | tail -n 40 | grep -q 'as_st: the names of st are taken' || fail "it gives no reason"
	no loaded pmtm
	no [ -e /dev/st0 ]
	no grep -qw pmtm /proc/devices
	ok rmmod pmts
	ok rmmod st
	is "$(ls /sys/class /dev)" "$was" "classes and nodes"
	ok load as_st=1
	grep -q '^  9 pmtm' /proc/devices || fail "no major number 9"
	ok unload
	no grep -qw pmtm /proc/devices
	ok modprobe st
}

main "$@"
