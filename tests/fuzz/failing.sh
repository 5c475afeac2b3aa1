#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# failing.sh: no memory, and bad addresses, at every point where the modules ask for
# them.  What is tried is in failing/; here are the unit with its server, a listener
# to the events, and at last the modules themselves, which are unloaded and loaded.
#
#	tests/vm/run -k uml -t 3000 tests/fuzz/failing.sh
#
# Prints "ok fuzz/failing/ENTRY" and how many failures there were.  Without fault
# injection in the kernel it is skipped.

# shellcheck source=../system/lib.sh
. "$(dirname "$0")/../system/lib.sh"

# shellcheck disable=SC2034 # lib.sh reads it
LIMIT=5000
PATH=$top/build/plain/tests/fuzz:$PATH
modules=${PMT_MODULES_DIR:-$top/build/kmod/${PMT_VM:-}}

needed() {
	local way
	for way in failslab fail_page_alloc fail_usercopy; do
		[ -e /proc/self/fail-nth ] && [ -e /sys/kernel/debug/$way ] && continue
		skip "this kernel makes no failures: no $way"
	done
}

case_entries() {
	needed
	pmt watch > /dev/null 2>&1 &
	echo $! >> "$T/pids"
	image_unit capacity=100M
	failing "$UNIT" > "$T/results"
	local status=$?
	stop_server
	return $status
}

unloaded() {
	[ ! -d /sys/module/pmtm ] || rmmod pmtm 2> /dev/null
	[ ! -d /sys/module/pmts ] || rmmod pmts 2> /dev/null
	[ ! -d /sys/module/pmts ]
}

# Each unloading takes seconds where the kernel puts releases off: of the several
# hundred allocations some fail, in a long run more.
step=$((${PMT_FUZZ_SECONDS:-20} >= 100 ? 5 : 13))

# Nobody has them open: what the first case has left alive would show here.
case_loading() {
	needed
	[ -e "$modules/pmts.ko" ] || skip "no modules in $modules"
	eventually 30 unloaded || fail "the modules do not go"
	failing load "$modules" "" "$step" > "$T/results"
}

# With a unit that loading makes: some of the many.
case_loading_units() {
	needed
	[ -e "$modules/pmts.ko" ] || skip "no modules in $modules"
	eventually 30 unloaded || fail "the modules do not go"
	failing load "$modules" units=1 $((step * 3)) | sed 's/pm[a-z]*$/&_units/' > "$T/results"
	ok eventually 30 unloaded
}

set -o pipefail
main "$@" | sed -u 's,^\(ok\|not ok\|skip\) ,\1 fuzz/,'
