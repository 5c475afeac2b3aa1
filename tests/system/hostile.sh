#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# law 6: a server that breaks the protocol harms its own unit, and that only
# until the unit is given up.

. "$(dirname "$0")/lib.sh"
PATH=$top/build/plain/tests/fuzz:$PATH

# lies NAME: the unit gets broken, whoever waits gets EIO, abort mends it.
lies() {
	new_unit
	hostile "$UNIT" "$1" &
	local server=$!
	echo "$server" >> "$T/pids"
	eventually 20 is_state served || fail "it does not attach"
	script "open 0 npmtm0 r -> -1 EIO"
	wait "$server" || fail "hostile: $1"
	is "$(state)" broken "the state"
	script "open 0 npmtm0 r -> -1 EIO"
	ok pmt abort "$UNIT"
	serve "image:$T/a.tape?capacity=10M"
	is "$(recs write "$TAPE" 1000 3)" "3 written, 0 marked, ok, close ok" "the writer"
	is "$(recs read "$NTAPE" 1000)" "3 records, 1 marks, ok" "the reader"
}

case_number() { lies number; }
case_status() { lies status; }
case_sense() { lies sense; }
case_residue() { lies residue; }
case_generation() { lies generation; }
case_partition() { lies partition; }
case_reserved() { lies reserved; }
case_medium() { lies medium; }
case_cancelled() { lies cancelled; }
case_done_too_far() { lies done-too-far; }
case_done_back() { lies done-back; }
case_scribble() { lies scribble; }

# An answer to what was cancelled: the reader behind it can be given up, as ever.
case_late() {
	local load=30 server killed
	new_unit
	hostile "$UNIT" late 2> "$T/error" &
	server=$!
	echo "$server" >> "$T/pids"
	eventually 20 is_state served || fail "it does not attach"
	exec 8<> "$NTAPE"
	application perform "$load" 1 <&8 &
	killed=$!
	eventually 10 stuck "$killed" || fail "the load is not held"
	kill -KILL "$killed"
	eventually 10 gone "$killed" || fail "it outlives the kill"
	for _ in 1 2 3; do
		dd bs=1000 count=1 of=/dev/null <&8
	done 2> "$T/dd" &
	killed=$!
	echo "$killed" >> "$T/pids"
	sleep 2
	ok pmt abort "$UNIT"
	eventually 10 gone "$killed" || fail "it reads on: $(cat "$T/dd" "/proc/$killed/stack")"
	exec 8<&-
}

# Answers that are taken between two looks of the one who waits are counted all the
# same: what was acknowledged is settled, and the tape can be written to.
case_kicks() {
	local i writer
	new_unit
	hostile "$UNIT" kicks 2> "$T/error" &
	echo $! >> "$T/pids"
	eventually 20 is_state served || fail "it does not attach"
	for ((i = 0; i < 20; i++)); do
		no dd if=/dev/zero of="$TAPE" bs=1000 count=6 status=none 2> "$T/dd"
	done
	ok mt -f "$TAPE" rewind
	ok mt -f "$NTAPE" drvbuffer 0
	recs write "$NTAPE" 1000 3 > "$T/said" &
	writer=$!
	echo "$writer" >> "$T/pids"
	eventually 20 gone "$writer" || fail "it can not be written to"
	is "$(cat "$T/said")" "3 written, 0 marked, ok, close ok" "the writer"
}

case_hangup() {
	local i server
	new_unit
	for i in {1..20}; do
		[ "$SECONDS" -lt 40 ] || break
		rm -f "$T/said"
		hostile "$UNIT" hangup > "$T/said" 2> "$T/error" &
		server=$!
		echo "$server" >> "$T/pids"
		eventually 20 grep -q attached "$T/said" || fail "it does not attach"
		ok pmt detach "$UNIT"
		wait "$server" || fail "round $i: $(cat "$T/error")"
	done
}

case_maps() {
	new_unit
	ok hostile "$UNIT" maps
}

case_attach() {
	new_unit
	ok hostile "$UNIT" attach
}

# Another unit does not notice.
case_neighbour() {
	image_unit
	local other=$UNIT tape=$NTAPE liar
	recs write -a "$T/acks" "$NTAPE" 1000-20000 200 > "$T/said" &
	local writer=$!
	echo "$writer" >> "$T/pids"
	new_unit
	hostile "$UNIT" scribble &
	liar=$!
	echo "$liar" >> "$T/pids"
	eventually 20 is_state served
	script "open 0 npmtm0 r -> -1 EIO"
	wait "$writer"
	is "$(cat "$T/said")" "200 written, 0 marked, ok, close ok" "the writer"
	is "$(state "$other")" served "the other unit"
	ok mt -f "$tape" rewind
	is "$(recs read "$tape" 1000-20000)" "200 records, 1 marks, ok" "the reader"
}

main "$@"
