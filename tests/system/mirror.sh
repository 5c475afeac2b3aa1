#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# law 5: a mirror loses nothing while one copy lives, and its copies are twins.

. "$(dirname "$0")/lib.sh"

same_copies() {
	ok dumpimg "$1" > "$T/1.txt"
	ok dumpimg "$2" > "$T/2.txt"
	diff "$T/1.txt" "$T/2.txt" || fail "the copies differ"
}

# all: the error of one copy goes up.
case_all() {
	new_unit
	serve "image:$T/a.tape?capacity=10M" \
		"fault?op=write&at=3&error=medium|image:$T/b.tape?capacity=10M"
	says 'EIO' recs write "$NTAPE" 1000 10
}

# degrade: the copy is dropped, the rest goes on, and both are told of.
case_degrade() {
	pmt watch --json > "$T/events" 2> /dev/null &
	echo $! >> "$T/pids"
	new_unit
	serve --policy degrade "image:$T/a.tape?capacity=10M" \
		"fault?op=write&at=3&error=medium|image:$T/b.tape?capacity=10M"
	is "$(recs write "$NTAPE" 1000 10)" "10 written, 0 marked, ok, close ok" "the writer"
	is "$(kept daemon.drive.healthy)" 1 "healthy copies"
	like "$(cat "$LOG")" 'b\.tape' "the log"
	is "$(dumpimg "$T/a.tape" | grep -c record)" 10 "records"
	is "$(dumpimg "$T/b.tape" | grep -c record)" 3 "records of the dropped copy"
	eventually 10 grep -q copy-failed "$T/events" || fail "no event"
}

# Not below the number that has to live.
case_degrade_min() {
	new_unit
	serve --policy degrade --min 2 "image:$T/a.tape?capacity=10M" \
		"fault?op=write&at=3&error=medium|image:$T/b.tape?capacity=10M"
	says 'EIO' recs write "$NTAPE" 1000 10
}

# Where the first copy cannot read a record, the second does.
case_read_from_another() {
	new_unit
	serve "image:$T/a.tape?capacity=10M" "image:$T/b.tape?capacity=10M"
	ok recs write "$TAPE" 1000 10
	stop_server
	serve "fault?op=read&at=4&count=0&error=medium|image:$T/a.tape" "image:$T/b.tape"
	is "$(recs read "$NTAPE" 1000)" "10 records, 1 marks, ok" "the reader"
}

# A record whose bytes have changed on the disk is not handed out.
case_damaged_record() {
	local at
	new_unit
	serve "image:$T/a.tape?capacity=10M" "image:$T/b.tape?capacity=10M"
	ok recs write "$TAPE" 1000 10
	stop_server
	# Record 4: 12288, four objects of 64 + 1000 bytes, its header.
	at=$((12288 + 4 * 1064 + 64 + 500))
	printf 'XXXX' | dd of="$T/a.tape" bs=1 seek="$at" conv=notrunc status=none
	serve "image:$T/a.tape"
	script "
		open 0 npmtm0 r -> ok
		op 0 MTFSR 4 -> 0
		read 0 1000 -> -1 EIO
		op 0 MTREW -> 0
		op 0 MTFSR 5 -> 0
		read 0 1000 -> 1000 tag=05
		op 0 MTREW -> 0
		close 0 -> 0"
	stop_server
	serve "image:$T/a.tape" "image:$T/b.tape"
	is "$(recs read "$NTAPE" 1000)" "10 records, 1 marks, ok" "the reader"
}

# Overwriting from the middle cuts every copy there.
case_overwrite() {
	new_unit
	serve "image:$T/a.tape?capacity=10M" "image:$T/b.tape?capacity=10M&format=simh"
	ok recs write "$TAPE" 1000 10
	script "
		open 0 npmtm0 rw -> ok
		op 0 MTFSR 4 -> 0
		write 0 500 9 -> 500
		close 0 -> 0"
	stop_server
	same_copies "$T/a.tape" "$T/b.tape"
	is "$(wc -l < "$T/1.txt")" 6 "objects"
}

# two_lengths: a.tape has six records, b.tape was dropped behind the third.
two_lengths() {
	new_unit
	serve "image:$T/b.tape?capacity=10M" "image:$T/a.tape?capacity=10M"
	ok recs write "$TAPE" 1000 3
	stop_server
	serve --policy degrade "fault?op=write&error=medium|image:$T/b.tape" \
		"image:$T/a.tape"
	ok mt -f "$NTAPE" eod
	is "$(recs write -f 3 "$NTAPE" 1000 3)" "3 written, 0 marked, ok, close ok" \
		"the writer"
	stop_server
}

# Two tapes that are not twins are not appended to, also by a unit that knows
# nothing of how that came.
case_not_twins() {
	two_lengths
	new_unit
	serve "image:$T/a.tape" "image:$T/b.tape"
	ok mt -f "$NTAPE" eod
	no recs_written "$NTAPE" 1000 3
	like "$(cat "$LOG")" 'a\.tape|b\.tape' "the log"
	is "$(dumpimg "$T/a.tape" | grep -c record)" 6 "records of the longer copy"
}

# A copy that was dropped stays out when the server is another one, until the
# unit is given up.
case_dropped_copy_stays_out() {
	two_lengths
	start_server "image:$T/b.tape" "image:$T/a.tape"
	eventually 20 gone "$SERVER" || fail "it is served under policy all"
	like "$(cat "$LOG")" 'b\.tape.*dropped' "the log"
	serve --policy degrade "image:$T/b.tape" "image:$T/a.tape"
	is "$(kept daemon.drive.healthy)" 1 "healthy copies"
	ok mt -f "$NTAPE" rewind
	is "$(recs read "$NTAPE" 1000)" "6 records, 2 marks, ok" "the reader"
	ok mt -f "$NTAPE" eod
	at 2 -1
	ok recs write -f 6 "$NTAPE" 1000 1
	is "$(dumpimg "$T/b.tape" | grep -c record)" 3 "records of the dropped copy"
	is "$(dumpimg "$T/a.tape" | grep -c record)" 7 "records of the other"
}

recs_written() { [[ $(recs write "$@") == *"ok, close ok" ]]; }

main "$@"
