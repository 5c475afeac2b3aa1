#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# law 2 and the end-of-tape promise: ENOSPC means that what was acknowledged is
# on every copy, and nothing else.  eot=st is in the vectors, G1 and following.

. "$(dirname "$0")/lib.sh"

same_copies() {
	ok dumpimg "$1" > "$T/1.txt"
	ok dumpimg "$2" > "$T/2.txt"
	diff "$T/1.txt" "$T/2.txt" || fail "the copies differ"
}

records() { dumpimg "$1" | grep -c record; }
kinds() { dumpimg "$1" | awk '{ print $2 }' | uniq -c | awk '{ print $1, $2 }' | tr '\n' ' '; }

LIMIT_A='limit?capacity=1000000&ew=200000|'

case_hold() {
	new_unit --eot hold
	serve "${LIMIT_A}image:$T/a.tape?capacity=20M"
	script "
		open 0 npmtm0 rw -> ok
		fill 0 65536 -> 13 full writes, then -1 ENOSPC
		write 0 65536 4 -> -1 ENOSPC
		write 0 10 4 -> -1 ENOSPC
		write 0 65536 4 -> -1 ENOSPC
		stat 0 -> f=0 b=13 gstat=21010000 [EOT ONLINE IM_REP_EN] dsreg=00000000 resid=0 type=0x72 erreg=0
		op 0 MTWEOF 1 -> 0
		write 0 80 5 -> 80
		write 0 80 6 -> 80
		op 0 MTWEOF 1 -> 0
		write 0 80 7 -> 80
		close 0 -> 0"
	is "$(kinds "$T/a.tape")" "13 record 1 mark 2 record 1 mark 1 record 1 mark " "the tape"
}

case_hold_ends_by_motion() {
	new_unit --eot hold
	serve "${LIMIT_A}image:$T/a.tape?capacity=20M"
	script "
		open 0 npmtm0 rw -> ok
		fill 0 65536 -> 13 full writes, then -1 ENOSPC
		write 0 65536 4 -> -1 ENOSPC
		op 0 MTBSR 1 -> 0
		write 0 65536 5 -> 65536
		write 0 65536 4 -> -1 ENOSPC
		op 0 MTREW -> 0
		write 0 65536 6 -> 65536
		write 0 65536 6 -> 65536
		close 0 -> 0"
	is "$(kinds "$T/a.tape")" "2 record 1 mark " "the tape"
}

# Trailers are no way around the physical end.
case_hold_physical_end() {
	new_unit --eot hold
	serve "${LIMIT_A}image:$T/a.tape?capacity=20M"
	script "
		open 0 npmtm0 rw -> ok
		fill 0 65536 -> 13 full writes, then -1 ENOSPC
		op 0 MTWEOF 1 -> 0
		fill 0 65536 -> 2 full writes, then -1 ENOSPC
		write 0 65536 4 -> -1 ENOSPC
		write 0 1000 4 -> -1 ENOSPC
		close 0 -> 0"
	is "$(kinds "$T/a.tape")" "13 record 1 mark 2 record 1 mark " "the tape"
}

# The rule can be changed in use.
case_hold_set() {
	image_unit
	is "$(kept eot)" st "the rule"
	ok pmt set --eot hold "$UNIT"
	is "$(kept eot)" hold "the rule"
}

# A fast small copy and a slow large one: when ENOSPC is told, both have all that
# was acknowledged; OPTIONS of recs.
overtakes() {
	new_unit
	serve "limit?capacity=1000000&ew=300000&room=hide|image:$T/a.tape?capacity=20M" \
		"delay?op=write&ms=40|image:$T/b.tape?capacity=20M"
	mkfifo "$T/go"
	recs write "$@" -w "$NTAPE" 20000 1000 > "$T/said" < "$T/go" &
	local writer=$! acks
	echo "$writer" >> "$T/pids"
	exec 8> "$T/go"
	eventually 60 grep -q ENOSPC "$T/said" || fail "no ENOSPC: $(cat "$T/said")"
	freeze "$SERVER"
	acks=$(awk '{ print $1 }' "$T/said")
	is "$(records "$T/a.tape")" "$acks" "records of the first copy"
	is "$(records "$T/b.tape")" "$acks" "records of the second copy"
	kill -CONT "$SERVER"
	echo > "$T/go"
	wait "$writer"
	like "$(cat "$T/said")" 'close ok$' "the writer"
	same_copies "$T/a.tape" "$T/b.tape"
	is "$(kinds "$T/b.tape")" "$acks record 1 mark " "the tape"
}

case_early_warning_overtakes() { overtakes; }
case_alternation_overtakes() { overtakes -r 1; }

# With a room that is told, the write that meets early warning is the one that
# st would have named.
case_early_warning_is_exact() {
	new_unit
	serve "${LIMIT_A}image:$T/a.tape?capacity=20M" \
		"delay?op=write&ms=20|image:$T/b.tape?capacity=20M"
	script "
		open 0 npmtm0 rw -> ok
		fill 0 65536 -> 13 full writes, then -1 ENOSPC
		close 0 -> 0"
	same_copies "$T/a.tape" "$T/b.tape"
}

# The physical end of one copy, at a place where the others still have room.
case_physical_end_of_one_copy() {
	new_unit
	serve "image:$T/a.tape?capacity=20M" \
		"limit?capacity=500000&ew=0|image:$T/b.tape?capacity=20M"
	script "
		open 0 npmtm0 rw -> ok
		fill 0 65536 -> 7 full writes, then -1 ENOSPC
		write 0 65536 4 -> -1 ENOSPC
		op 0 MTWEOF 1 -> 0
		close 0 -> 0"
	same_copies "$T/a.tape" "$T/b.tape"
	is "$(kinds "$T/a.tape")" "7 record 1 mark " "the tape"
}

# A drive that is full though it said that it has room: the application gets an
# error, and the copy that has run ahead is cut back.
case_room_that_is_not_there() {
	new_unit
	serve "image:$T/a.tape?capacity=20M" \
		"delay?op=write&ms=20|fault?op=write&at=20&error=enospc|image:$T/b.tape?capacity=20M"
	recs write "$NTAPE" 10000 200 > "$T/said"
	like "$(cat "$T/said")" '(EIO|ENOSPC)' "the writer"
	stop_server
	same_copies "$T/a.tape" "$T/b.tape"
	is "$(records "$T/a.tape")" 20 "records"
}

# What was read ahead and what was written of a volume that is full does not get
# into the next one.
case_next_volume() {
	new_unit --eot hold
	serve "limit?capacity=300000&ew=100000|image:$T/a%d.tape?capacity=2M" \
		"limit?capacity=400000&ew=100000|image:$T/b%d.tape?capacity=2M"
	local first=0 said n i
	for i in 0 1 2; do
		said=$(recs write -f "$first" "$NTAPE" 1000-30000 1000)
		like "$said" 'ENOSPC, close ok$' "volume $i"
		n=${said%% *}
		first=$((first + n))
		ok mt -f "$NTAPE" offline
		same_copies "$T/a$i.tape" "$T/b$i.tape"
		is "$(kinds "$T/a$i.tape")" "$n record 1 mark " "volume $i"
	done
	for i in 0 1 2; do
		dumpimg "$T/b$i.tape" | awk '/record/ { print $4 }'
	done > "$T/numbers"
	diff "$T/numbers" <(seq 0 $((first - 1))) || fail "records lost or doubled"
}

main "$@"
