#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# pmt top: rates, the ring and who has the ends, while a tape is written.

. "$(dirname "$0")/lib.sh"

# row JQ: of the last look, of unit or copy
row() { tail -n 1 "$T/rows" | jq -r "$1"; }

# any JQ: it is true of one of the looks; a ring is emptied by and by
any() { [ "$(jq -s "any(.[]; $1)" "$T/rows")" = true ] || fail "not $1: $(cat "$T/rows")"; }

look() { ok pmt top -d 1 -n 4 --json "$UNIT" > "$T/rows"; }

write_on() {
	dd if=/dev/zero of="$NTAPE" bs=100000 count="$1" status=none &
	WRITER=$!
	echo "$WRITER" >> "$T/pids"
}

# The slow copy holds the ring full; the other has the same rate then.
case_written() {
	local lbn
	new_unit --ring 4M
	serve "delay?op=write&ms=5|image:$T/a.tape?capacity=4G" "image:$T/b.tape?capacity=4G"
	write_on 30000
	eventually 20 waiting 10 || fail "nothing waits"
	lbn=$(kept place.lbn)
	look
	is "$(row length)" 3 "rows"
	is "$(row '.[0].state')" served "the state"
	any '.[0].write_rate > 0'
	is "$(row '.[0].read_rate')" 0 "nothing is read"
	[ "$(row '.[0].lbn')" -gt "$lbn" ] || fail "not behind $lbn: $(cat "$T/rows")"
	[ "$(row '.[0].lbn')" -le 30000 ] || fail "more than there is: $(cat "$T/rows")"
	any '.[0].ring_fill > 0.5 and .[0].ring_fill <= 1'
	like "$(row '.[0].detail')" "^$WRITER \(dd\) > $SERVER \(tape-mirror\)$" "who has the ends"
	is "$(row '.[1].copy')" 1 "its copies"
	any '.[1].write_rate > 0'
	any '.[2].write_rate > 0 and .[2].room > 0'
	is "$(kept master_pid)" "$WRITER" "who opened it"
	kill -KILL "$WRITER"
	eventually 30 waiting_none || fail "it does not end"
	is "$(kept master_pid)" null "nobody has it"
	is "$(kept data_waiting)" 0 "nothing waits"
}

waiting_none() { [ "$(kept waiting)" = 0 ] && [ "$(kept master_open)" = false ]; }

# A copy that was dropped, and one at early warning.
case_of_copies() {
	new_unit
	serve --policy degrade "fault?op=write&at=2&error=medium|image:$T/a.tape?capacity=4M" \
		"image:$T/b.tape?capacity=4M"
	dd if=/dev/zero of="$NTAPE" bs=100000 count=3 status=none || fail "dd: $?"
	pmt top --batch -n 1 "$UNIT" > "$T/text"
	grep -qE '^  1  failed .*: fault' "$T/text" || fail "$(cat "$T/text")"
	grep -qE '^  2  ok .* [0-9.]+M  image:' "$T/text" || fail "$(cat "$T/text")"
	dd if=/dev/zero of="$NTAPE" bs=100000 status=none 2> /dev/null
	pmt top --batch -n 1 "$UNIT" > "$T/text"
	grep -qE '^  2  ok .* EW  image:' "$T/text" || fail "$(cat "$T/text")"
	stop_server
	says "^$UNIT +recovering" tail -n 2 <(pmt top --batch -n 1 "$UNIT")
}

case_on_a_screen() {
	image_unit
	TERM=xterm ok command script -qec "pmt top -d 0.2 -n 3 $UNIT" "$T/screen" < /dev/null > /dev/null
	grep -q served "$T/screen" || fail "$(cat -v "$T/screen")"
	status 2 pmt top > "$T/text" 2>&1
	status 1 pmt top --batch 4000 > /dev/null 2>&1
}

main "$@"
