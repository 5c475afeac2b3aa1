#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# law 5 by chance, on the modules: a server with three copies is killed at any instant,
# PMT_KILLS times (20; tests/long: 200), under a program that writes, reads and moves.
# It notices nothing, and each copy has what it was told.  PMT_SEED repeats what the
# program does and how long each server lives, not the instants.

LIMIT=$((60 + ${PMT_KILLS:-20} * 10))

. "$(dirname "$0")/lib.sh"

# None of them is as fast as another.
three_copies() {
	serve "image:$T/a.tape?capacity=100M" \
		"delay?op=write&ms=1|image:$T/b.tape?capacity=100M&format=simh" \
		"delay?op=any&ms=1|image:$T/c.tape?capacity=100M"
}

# Between 0 and 0.4 s.
any_instant() { sleep "0.$(printf %03d $((RANDOM % 400)))"; }

case_any_instant() {
	local kills=${PMT_KILLS:-20} wanderer i copy
	RANDOM=${PMT_SEED:=$$}
	echo "PMT_SEED=$PMT_SEED"
	new_unit --ring 1M --recovery forever
	three_copies
	wander "$NTAPE" "$PMT_SEED" "$T/until" "$T/expected" > "$T/said" &
	wanderer=$!
	echo "$wanderer" >> "$T/pids"
	for ((i = 0; i < kills; i++)); do
		any_instant
		gone "$wanderer" && fail "behind $i kills: $(cat "$T/said")"
		stop_server KILL
		three_copies
	done
	touch "$T/until"
	wait "$wanderer" || fail "the program: $(cat "$T/said")"
	stop_server
	for copy in a b c; do
		ok dumpimg "$T/$copy.tape" > "$T/$copy.txt"
		diff "$T/expected" "$T/$copy.txt" > "$T/diff" ||
			{ head "$T/diff" >&2; fail "$copy is not what the program was told"; }
	done
	ok tapesum -c "$T/a.tape" "$T/c.tape" > "$T/sums"
	echo "ok any_instant ($kills kills, $(sed 's/, ok$//' "$T/said"))" >> "$T/results"
}

main "$@"
