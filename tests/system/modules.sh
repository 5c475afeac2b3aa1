#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The modules: loaded, used, not there.  Nothing else may use them meanwhile.

. "$(dirname "$0")/lib.sh"

modules=${PMT_MODULES_DIR:-/run/pmt}
[ -e "$modules/pmtm.ko" ] || modules=$top/build/kmod/${PMT_VM:-6.1}

loaded() { [ -d /sys/module/pmtm ]; }

load() {
	[ -d /sys/module/pmts ] || insmod "$modules/pmts.ko" || return
	loaded || insmod "$modules/pmtm.ko" "$@"
}

unload() {
	rmmod pmtm && rmmod pmts
}

alone() {
	[ "$(pmt list --json | jq length)" = 0 ] || skip "there are units of others"
	[ -e "$modules/pmtm.ko" ] || skip "no modules to load again"
	later load
}

case_in_use() {
	image_unit
	exec 8< "$NTAPE"
	no rmmod pmtm 2> /dev/null
	no rmmod pmts 2> /dev/null
	exec 8<&-
	ok mt -f "$NTAPE" rewind
}

case_served_is_in_use() {
	image_unit
	no rmmod pmts 2> /dev/null
	ok mt -f "$NTAPE" rewind
}

case_not_loaded() {
	alone
	ok unload
	no pmt list > /dev/null 2>&1
	says 'modprobe pmtm' pmt list
	says 'modprobe pmtm' tape-mirror -c 0 null:
	no [ -e /dev/npmtm0 ]
	no [ -d /sys/class/pmt ]
	ok load
	ok pmt list > /dev/null
}

case_units_parameter() {
	alone
	ok unload
	ok load units=4
	is "$(pmt list --json | jq length)" 4 "units"
	ok [ -c /dev/npmtm3 ]
	ok unload
	no load units=100000 2> /dev/null
	ok load
	is "$(pmt list --json | jq length)" 0 "units"
}

# Units go with the module.
case_unload_with_units() {
	alone
	ok pmt new > /dev/null
	ok pmt new > /dev/null
	ok unload
	ok load
	is "$(pmt list --json | jq length)" 0 "units"
}

main "$@"
