#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# kunit.sh: load pmt_kunit.ko and say what its tests said, in the machine of a
# kernel with KUnit: tests/vm/run -k uml tests/fuzz/kunit.sh
#
# Prints "ok kunit/SUITE/CASE[/ROW]" or "not ok ..." for each.  The kernel's own
# counts are compared with the lines that were found: what was not read is an error.

# shellcheck source=../system/lib.sh
. "$(dirname "$0")/../system/lib.sh"

MODULE=${PMT_KUNIT_MODULE:-$top/build/kmod/${PMT_VM:-}/pmt_kunit.ko}

# KTAP on stdin: rows of tables stand one level deeper than the cases.
named() {
	awk '
		/^ +# Subtest: / {
			sub(/^ +# Subtest: /, "")
			if (depth++ == 0) suite = $0; else rows = $0
			next
		}
		/^ +(not )?ok [0-9]+/ {
			match($0, /^ +/)
			deep = RLENGTH
			verdict = $1 == "not" ? "not ok" : "ok"
			sub(/^ +(not )?ok [0-9]+ (- )?/, "")
			if (deep == 4 && $0 == rows) { rows = ""; depth = 1; next }
			gsub(/[^A-Za-z0-9]+/, "_")
			print verdict, suite "/" (deep > 4 ? rows "/" : "") $0
		}
		/^(not )?ok [0-9]+/ { depth = 0 }'
}

# The totals of the suites, of what was tried one by one.
totals() {
	awk '/^# Totals: / { sub(/.*total:/, ""); n += $1 } END { print n + 0 }'
}

case_all() {
	local before
	[ -e "$MODULE" ] || skip "no pmt_kunit.ko for this kernel"
	before=$(dmesg | wc -l)
	ok insmod "$MODULE"
	later rmmod pmt_kunit
	dmesg -t | tail -n "+$((before + 1))" > "$T/ktap"
	named < "$T/ktap" > "$T/results"
	[ -s "$T/results" ] || fail "the tests said nothing: $(cat "$T/ktap")"
	is "$(wc -l < "$T/results")" "$(totals < "$T/ktap")" "how many were read"
	! grep -q '^not ok' "$T/results" || { cat "$T/ktap"; exit 1; }
}

main "$@"
