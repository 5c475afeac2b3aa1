#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# law 5: buffered and unbuffered writing; what was acknowledged and then fails is
# told, once.

. "$(dirname "$0")/lib.sh"

case_buffered_returns_at_once() {
	new_unit
	serve "delay?op=write&ms=2000|image:$T/a.tape?capacity=20M"
	script "
		open 0 npmtm0 rw -> ok
		write 0 1000 1 -> 1000
		took 1500 -> less
		op 0 MTWEOF 1 -> 0
		took 1000 -> more
		write 0 1000 2 -> 1000
		took 1500 -> less
		close 0 -> 0
		took 1000 -> more"
}

case_unbuffered_waits() {
	new_unit
	serve "image:$T/b.tape?capacity=20M" \
		"delay?op=write&ms=2000|image:$T/a.tape?capacity=20M"
	script "
		open 0 npmtm0 rw -> ok
		op 0 MTSETDRVBUFFER 0 -> 0
		write 0 1000 1 -> 1000
		took 1900 -> more
		op 0 MTSETDRVBUFFER 1 -> 0
		write 0 1000 1 -> 1000
		took 1500 -> less
		op 0 MTREW -> 0
		close 0 -> 0"
}

# A drive that keeps no room behind its early warning: unbuffered, and said.
case_no_room() {
	new_unit
	serve "image:$T/b.tape?capacity=20M" \
		"delay?op=write&ms=2000|limit?capacity=10M&ew=0&room=hide|image:$T/a.tape?capacity=20M"
	like "$(cat "$LOG")" 'is unbuffered: a drive keeps no room' "the log"
	script "
		open 0 npmtm0 rw -> ok
		write 0 1000 1 -> 1000
		took 1900 -> more
		close 0 -> 0"
}

case_immediate_mark() {
	new_unit
	serve "delay?op=write&ms=2000|image:$T/a.tape?capacity=20M"
	script "
		open 0 npmtm0 rw -> ok
		write 0 1000 1 -> 1000
		op 0 MTWEOFI 1 -> 0
		took 1500 -> less
		op 0 MTWEOF 0 -> 0
		took 1000 -> more
		close 0 -> 0"
}

# The second write fails, a while after it was acknowledged.
faulty_unit() {
	new_unit
	serve "delay?op=write&ms=300|fault?op=write&at=1&error=medium|image:$T/a.tape?capacity=20M"
}

case_error_told_by_filemark() {
	faulty_unit
	script "
		open 0 npmtm0 rw -> ok
		write 0 1000 1 -> 1000
		write 0 1000 2 -> 1000
		op 0 MTWEOF 1 -> -1 EIO
		op 0 MTREW -> 0
		read 0 1000 -> 1000 tag=01
		read 0 1000 -> -1 EIO
		close 0 -> 0"
	is "$(dumpimg "$T/a.tape" | wc -l)" 1 "objects in the image"
}

case_error_told_by_close() {
	faulty_unit
	script "
		open 0 npmtm0 rw -> ok
		write 0 1000 1 -> 1000
		write 0 1000 2 -> 1000
		close 0 -> -1 EIO
		open 0 npmtm0 rw -> ok
		close 0 -> 0"
}

# Also where nobody waits for it: the operation after it is the one that tells.
case_error_told_by_stat() {
	new_unit
	serve "fault?op=write&at=1&error=medium|image:$T/a.tape?capacity=20M"
	tt -u "$UNIT" -c medium -e "
		open 0 npmtm0 rw -> ok
		write 0 1000 1 -> 1000
		write 0 1000 2 -> 1000
		ctl settle
		stat 0 -> -1 EIO
		write 0 1000 3 -> -1 EIO
		op 0 MTWEOF 1 -> 0
		write 0 1000 3 -> 1000
		close 0 -> 0" || fail "the answers differ"
	is "$(dumpimg "$T/a.tape" | awk '{ print $2 }' | tr '\n' ' ')" \
		"record mark record mark " "objects in the image"
}

case_error_told_by_write() {
	new_unit
	serve "fault?op=write&at=1&error=hardware|image:$T/a.tape?capacity=20M"
	script "
		open 0 npmtm0 rw -> ok
		write 0 1000 1 -> 1000
		write 0 1000 2 -> 1000
		ctl settle
		write 0 1000 3 -> -1 EIO
		op 0 MTWEOF 1 -> 0
		close 0 -> 0"
	is "$(dumpimg "$T/a.tape" | awk '{ print $2 }' | tr '\n' ' ')" \
		"record mark " "objects in the image"
}

# The writer is killed before its record fails: who opens next is told, once.
case_error_told_by_next_open() {
	faulty_unit
	status 137 recs write -k 2 "$NTAPE" 1000 5
	script "
		open 0 npmtm0 rw -> -1 EIO
		open 0 npmtm0 rw -> ok
		op 0 MTREW -> 0
		close 0 -> 0"
}

case_error_of_closing_filemark() {
	new_unit
	serve "fault?op=marks&error=medium|image:$T/a.tape?capacity=20M"
	script "
		open 0 npmtm0 rw -> ok
		write 0 1000 1 -> 1000
		close 0 -> -1 EIO
		open 0 npmtm0 rw -> ok
		op 0 MTREW -> 0
		read 0 1000 -> 1000 tag=01
		close 0 -> 0"
}

# Unbuffered, the write itself fails, and nothing is told later.
case_unbuffered_error() {
	new_unit
	serve "fault?op=write&at=1&error=medium|image:$T/a.tape?capacity=20M"
	script "
		open 0 npmtm0 rw -> ok
		op 0 MTSETDRVBUFFER 0 -> 0
		write 0 1000 1 -> 1000
		write 0 1000 2 -> -1 EIO
		write 0 1000 3 -> 1000
		op 0 MTWEOF 1 -> 0
		close 0 -> 0"
	is "$(dumpimg "$T/a.tape" | awk '{ print $2 }' | tr '\n' ' ')" \
		"record record mark " "objects in the image"
}

# A drive that does not tell its room: with one more of the largest, no more than
# its room behind early warning is acknowledged and not done.
case_window() {
	new_unit
	serve "limit?capacity=10M&ew=200000&room=hide|delay?op=write&ms=200|image:$T/a.tape?capacity=20M"
	is "$(kept window)" 200000 "the window"
	recs write -a "$T/acks" "$NTAPE" 10000 40 > "$T/said" &
	local writer=$! acks
	echo "$writer" >> "$T/pids"
	eventually 20 grep -qs '^[1-9]' "$T/acks" || fail "nothing is written"
	freeze "$SERVER"
	eventually 20 stuck "$writer" || fail "the writer is not held"
	acks=$(($(awk '{ print $1 }' "$T/acks") - $(kept records_written)))
	[ "$acks" -ge 5 ] || fail "$acks records: nothing is buffered"
	[ $((acks * 10000 + 10000)) -le 200000 ] ||
		fail "$acks records acknowledged that are not done"
	kill -CONT "$SERVER"
	wait "$writer"
	like "$(cat "$T/said")" '^40 written, 0 marked, ok, close ok$' "the writer"
}

# With hardly more than a record under way an answer may come at any moment of a write.
case_one_under_way() {
	new_unit
	serve "limit?window=25000|image:$T/a.tape?capacity=400M"
	script "
		open 0 npmtm0 rw -> ok
		filln 0 10000 20000 -> 20000 full writes
		close 0 -> 0"
}

main "$@"
