#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A server that is not ours: the example of the library, built from the installed files.

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

main "$@"
