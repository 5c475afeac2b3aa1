#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Servers that are not ours: the example of the library, built from the installed
# files, and the example of a program that is a drive.

. "$(dirname "$0")/lib.sh"

case_memory() {
	new_unit
	LD_LIBRARY_PATH=$bin/stage/opt/lib "$bin/examples/memory" "$UNIT" 2> "$T/log" &
	SERVER=$!
	echo "$SERVER" >> "$T/pids"
	eventually 30 served || { cat "$T/log" >&2; fail "it does not serve"; }
	ok tar cf "$TAPE" -C "$top" lib
	ok tar tf "$TAPE" > "$T/list"
	ok tar df "$TAPE" -C "$top"
	ok mt -f "$NTAPE" eod
	like "$(mt -f "$NTAPE" status)" 'File number=1' "mt status"
	kill "$SERVER"
	eventually 30 gone "$SERVER" || fail "it does not end"
	wait "$SERVER" || fail "status $? at the end: $(cat "$T/log")"
}

served() { pmt list --json | jq -e ".[] | select(.unit == $UNIT).state == \"served\"" > /dev/null; }

# Dies between two dumps; the other copy goes on, and has all of the second.  What is
# killed is the program, for which the shell has made room.
case_exec() {
	new_unit
	serve --policy degrade "exec:exec\\ python3\\ $top/examples/tape.py\\ $T/tape" \
		"image:$T/b.tape?capacity=4M"
	ok tar cf "$TAPE" -C "$top" lib
	ok tar df "$TAPE" -C "$top"
	[ "$(find "$T/tape" -type f | wc -l)" -gt 20 ] || fail "nothing is in its folder"
	ok kill -KILL "$(pmt status --json "$UNIT" | jq '.. | .process? | numbers')"
	ok tar cf "$TAPE" -C "$top" lib
	ok tar df "$TAPE" -C "$top"
	like "$(pmt status "$UNIT")" 'exec:.*failed' "pmt status"
}

main "$@"
