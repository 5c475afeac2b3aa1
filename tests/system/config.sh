#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A unit and its drives from a file, as the service pmt-mirror@NAME has them.

. "$(dirname "$0")/lib.sh"

# A unit that new_unit made is deleted, and its number used; it is undone as that one.
unit_to_be_made() {
	new_unit
	ok pmt del "$UNIT"
	printf '%s\n' "unit = $UNIT" "drive = image:$T/a.tape?capacity=4M" \
		"drive = image:$T/b.tape?capacity=4M" 'policy = degrade' 'ring = 2M' \
		'recovery = 77' 'eot = hold' > "$T/tape.conf"
}

serve_file() {
	LOG=$T/server.log
	tape-mirror "$@" --config "$T/tape.conf" < /dev/null > "$LOG" 2>&1 &
	SERVER=$!
	echo "$SERVER" >> "$T/pids"
	eventually 30 answered
	grep -q 'serving unit' "$LOG" || fail "no server: $(cat "$LOG")"
}

# The unit is made by who may, and served by one who makes nothing.
case_prepared() {
	unit_to_be_made
	status 1 tape-mirror --config "$T/tape.conf"
	ok tape-mirror --prepare --config "$T/tape.conf"
	says 'ring +2M, recovery 77 s' pmt status "$UNIT"
	serve_file
	ok tar -cf "$NTAPE" -C "$top" man
	stop_server
	ok dumpimg "$T/a.tape" > "$T/a"
	ok grep -q record "$T/a"
	ok dumpimg "$T/b.tape" > "$T/b"
	ok cmp "$T/a" "$T/b"
	is "$(kept eot)" hold "the rule of the end"
}

# The command line goes before the file.
case_created() {
	unit_to_be_made
	serve_file --create --recovery 55
	says 'recovery 55 s' pmt status "$UNIT"
	stop_server
}

idle() { exec chrt -i 0 tape-mirror "$@"; }

# It does not take the processor from who writes, whichever thread of it is woken; but
# what its administrator has chosen stays.
case_scheduling() {
	new_unit
	serve null: null:
	says SCHED_BATCH chrt -p "$SERVER"
	is "$(chrt -a -p "$SERVER" | grep -c 'policy: SCHED_BATCH')" \
		"$(chrt -a -p "$SERVER" | grep -c policy)" "threads that yield to a writer"
	stop_server
	DAEMON=idle serve null:
	says SCHED_IDLE chrt -p "$SERVER"
	stop_server
}

main "$@"
