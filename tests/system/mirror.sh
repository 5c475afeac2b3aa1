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

# spoil FILE OFFSET: four bytes there, which are not what was written
spoil() { printf 'bad!' | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

# Where a native image has the middle of record 4, after four objects of 64 + 1000 bytes.
native_record_4=$((12288 + 4 * 1064 + 64 + 500))

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

# A copy that was dropped comes back while the writer goes on; a server that is
# started behind it knows its cartridge.
case_rejoin() {
	new_unit
	serve --policy degrade "image:$T/a.tape?capacity=10M" \
		"fault?op=write&at=3&error=medium|image:$T/b.tape?capacity=10M"
	is "$(recs write "$NTAPE" 1000 10)" "10 written, 0 marked, ok, close ok" "the writer"
	is "$(kept daemon.drive.healthy)" 1 "healthy copies"
	says 'has not failed' pmt rejoin "$UNIT" 1 "image:$T/c.tape?capacity=10M"
	ok pmt rejoin "$UNIT" 2 "image:$T/c.tape?capacity=10M"
	came_back() {
		ok recs write "$NTAPE" 1000 2 > "$T/said"
		[ "$(kept daemon.drive.healthy)" = 2 ]
	}
	eventually 20 came_back || fail "it does not come back: $(pmt status "$UNIT")"
	ok recs write "$NTAPE" 1000 2 > "$T/said"
	kill -KILL "$SERVER"
	eventually 10 gone "$SERVER"
	serve --policy degrade "image:$T/a.tape" "image:$T/c.tape"
	is "$(kept daemon.drive.healthy)" 2 "healthy copies behind it"
	ok recs write "$NTAPE" 1000 2 > "$T/said"
	stop_server
	same_copies "$T/a.tape" "$T/c.tape"
}

# tar writes on while a dropped copy is brought up to the other: at its 20th checkpoint it
# rejoins, and at each from the 30th on tar waits until no more than a pause is left to do.
case_rejoin_under_tar() {
	pmt watch --json > "$T/events" 2> /dev/null &
	echo $! >> "$T/pids"
	new_unit
	serve --policy degrade "image:$T/a.tape?capacity=20M" \
		"fault?op=write&at=3&error=medium|image:$T/b.tape?capacity=20M"
	mkdir "$T/tree"
	for i in 1 2 3; do
		head -c 1000000 /dev/urandom > "$T/tree/$i"
	done
	cat > "$T/checkpoint" <<- END
		#!/bin/sh
		if [ "\$TAR_CHECKPOINT" = 20 ]; then
			for i in \$(seq 600); do
				grep -q 'copy 2 .* failed' "$LOG" && break
				sleep 0.1
			done
			exec pmt rejoin $UNIT 2 "image:$T/c.tape?capacity=20M"
		fi
		[ "\$TAR_CHECKPOINT" -ge 30 ] || exit 0
		[ ! -e "$T/joining" ] || exit 0
		for i in \$(seq 600); do
			pmt status --json $UNIT | grep -q '"state": *"\(joining\|done\|failed\)"' &&
				exec touch "$T/joining"
			sleep 0.1
		done
	END
	chmod +x "$T/checkpoint"
	ok tar -C "$T" -cf "$NTAPE" -b 10 --checkpoint=10 \
		--checkpoint-action="exec=$T/checkpoint" tree
	is "$(kept daemon.drive.rejoin.state)" "done" "the rejoining"
	is "$(kept daemon.drive.healthy)" 2 "healthy copies"
	eventually 10 grep -q copy-rejoined "$T/events" || fail "no event"
	stop_server
	like "$(cat "$LOG")" 'is a copy again, with [0-9]+ blocks' "the log"
	grep 'is unbuffered' "$LOG" && fail "what is so for a moment is in the log"
	ok tapesum -c "$T/a.tape" "$T/c.tape" > "$T/said"
	new_unit
	serve "image:$T/c.tape"
	ok mt -f "$NTAPE" rewind
	ok tar -C "$T" -df "$NTAPE" -b 10
}

# One that is too short does not count, and the application is not told of its end.
case_rejoin_too_short() {
	new_unit
	serve --policy degrade "image:$T/a.tape?capacity=10M" \
		"fault?op=write&at=3&error=medium|image:$T/b.tape?capacity=10M"
	ok recs write "$NTAPE" 10000 100 > "$T/said"
	ok pmt rejoin "$UNIT" 2 "image:$T/c.tape?capacity=1200K&ew=400K"
	eventually 60 grep -q 'does not rejoin: .*early warning at block' "$LOG" ||
		fail "it rejoins"
	is "$(recs write "$NTAPE" 10000 100)" "100 written, 0 marked, ok, close ok" "the writer"
	is "$(kept daemon.drive.healthy)" 1 "healthy copies"
	like "$(pmt status "$UNIT")" 'copy 2 rejoins: failed' "the status"
}

# Where the good copy cannot be read beside being written, as behind a compressing drive,
# the other comes in with the next volume; the tool says it.
case_rejoin_at_unload() {
	new_unit
	serve --policy degrade "zstd|image:$T/a%d.tape?capacity=10M" \
		"fault?op=write&at=3&error=medium|image:$T/b%d.tape?capacity=10M"
	is "$(recs write "$NTAPE" 1000 10)" "10 written, 0 marked, ok, close ok" "the writer"
	says 'from the next unload on' pmt rejoin "$UNIT" 2 "image:$T/c%d.tape?capacity=10M"
	eventually 60 grep -q 'waits for the next unload' "$LOG" || fail "it does not say so"
	is "$(recs write "$NTAPE" 1000 10)" "10 written, 0 marked, ok, close ok" "the writer"
	is "$(kept daemon.drive.healthy)" 1 "healthy copies"
	ok mt -f "$NTAPE" offline
	ok mt -f "$NTAPE" load
	eventually 60 grep -q 'is a copy again' "$LOG" || fail "it does not come back"
	grep 'is unbuffered' "$LOG" && fail "what is so for a moment is in the log"
	is "$(recs write "$TAPE" 1000 20)" "20 written, 0 marked, ok, close ok" "the writer"
	is "$(kept daemon.drive.healthy)" 2 "healthy copies"
	stop_server
	ok pmt verify "zstd|image:$T/a1.tape" "image:$T/c0.tape" > "$T/said"
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
	new_unit
	serve "image:$T/a.tape?capacity=10M" "image:$T/b.tape?capacity=10M"
	ok recs write "$TAPE" 1000 10
	stop_server
	spoil "$T/a.tape" "$native_record_4"
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

# A record whose bytes differ, where no copy knows that its own are wrong: SIMH has no
# sums.  Nobody learns of it by reading one copy.
case_verified() {
	new_unit
	serve "image:$T/a.tape?capacity=10M&format=simh" "image:$T/b.tape?capacity=10M&format=simh"
	ok recs write "$TAPE" 1000 10
	stop_server
	spoil "$T/b.tape" $((4 * 1008 + 4 + 500))
	serve "image:$T/a.tape" "image:$T/b.tape"
	is "$(recs read "$TAPE" 1000)" "10 records, 1 marks, ok" "the reader of one copy"
	stop_server
	serve --verify yes "image:$T/a.tape" "image:$T/b.tape"
	is "$(recs read "$NTAPE" 1000)" "4 records, 0 marks, EIO" "the reader"
	like "$(cat "$LOG")" 'block 4 differs: copy 1 .*1000 bytes, .* the first that differs is byte 500' \
		"the log"
	is "$(kept daemon.drive.differences)" 1 "differences"
	stop_server
	cp "$T/a.tape" "$T/c.tape"
	new_unit
	serve --verify yes "image:$T/b.tape" "image:$T/a.tape" "image:$T/c.tape"
	is "$(recs read "$NTAPE" 1000)" "10 records, 1 marks, ok" "the reader of three"
	is "$(kept 'daemon.drive.children[0].bad_at[0].lbn')" 4 "the bad block"
	stop_server
	like "$(cat "$LOG")" 'copy 1 .*b\.tape\) has bad blocks, 1, .* find again: 4' "the log"
}

# A block that one copy could not read is told of, and is put right by rejoining.
case_bad_block() {
	pmt watch --json > "$T/events" 2> /dev/null &
	echo $! >> "$T/pids"
	new_unit
	serve "image:$T/a.tape?capacity=10M" "image:$T/b.tape?capacity=10M"
	ok recs write "$TAPE" 1000 10
	stop_server
	spoil "$T/b.tape" "$native_record_4"
	serve --policy degrade --verify yes "image:$T/a.tape" "image:$T/b.tape"
	is "$(recs read "$NTAPE" 1000)" "10 records, 1 marks, ok" "the reader"
	eventually 10 grep -q bad-block "$T/events" || fail "no event"
	like "$(pmt status "$UNIT")" 'bad blocks 1: 4; pmt rejoin' "the status"
	like "$(pmt metrics)" 'pmt_copy_bad_blocks[^ ]*copy="1"[^ ]* 1' "the metrics"
	says 'no bad block' pmt rejoin "$UNIT" 1 "image:$T/a.tape"
	ok pmt rejoin "$UNIT" 2 "image:$T/b.tape"
	came_back() {
		ok mt -f "$NTAPE" status > "$T/said"
		[ "$(kept daemon.drive.healthy)" = 2 ]
	}
	eventually 20 came_back || fail "it does not come back: $(pmt status "$UNIT")"
	is "$(kept 'daemon.drive.children[1].bad_blocks')" 0 "bad blocks behind it"
	stop_server
	same_copies "$T/a.tape" "$T/b.tape"
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

# They are refused when they are loaded: by a unit that knows nothing of them, and while
# it is served, until others are there.
case_refused() {
	two_lengths
	new_unit
	start_server "image:$T/a.tape" "image:$T/b.tape"
	eventually 20 gone "$SERVER" || fail "they are served"
	status 4 wait "$SERVER"
	like "$(cat "$LOG")" 'no twins, and refused: copy 1 .*a\.tape\) ends at block 8, copy 2' \
		"the log"
	like "$(cat "$LOG")" 'twins=any' "the log"
}

# Also by one that was told to forget, in the middle of a tape; twins are welcome to it.
case_refused_behind_abort() {
	two_lengths
	new_unit
	serve "image:$T/c.tape?capacity=10M" "image:$T/d.tape?capacity=10M"
	ok recs write "$NTAPE" 1000 3
	stop_server
	ok pmt abort "$UNIT"
	start_server "image:$T/a.tape" "image:$T/b.tape"
	eventually 20 gone "$SERVER" || fail "they are served"
	status 4 wait "$SERVER"
	like "$(cat "$LOG")" 'no twins, and refused: copy 1 .*a\.tape\) ends at block 8, copy 2' \
		"the log"
	serve "image:$T/c.tape" "image:$T/d.tape"
	ok mt -f "$NTAPE" rewind
	is "$(recs read "$NTAPE" 1000)" "3 records, 1 marks, ok" "the reader"
}

case_refused_by_load() {
	pmt watch --json > "$T/events" 2> /dev/null &
	echo $! >> "$T/pids"
	new_unit
	ok pmt copy 'null:?records=20' "image:$T/b1.tape?create=yes" > "$T/said" 2>&1
	serve "image:$T/a%d.tape?capacity=10M" "image:$T/b%d.tape?capacity=10M"
	ok recs write "$NTAPE" 1000 3
	ok mt -f "$NTAPE" offline
	script "
		open 0 npmtm0 rn -> ok
		op 0 MTLOAD 1 -> -1 EIO
		op 0 MTSEEK 0 -> -1 EIO
		close 0 -> 0"
	eventually 20 grep -q set-refused "$T/events" || fail "no event"
	like "$(cat "$LOG")" 'no twins, and refused: .* block 0, copy 2 .* block 20' "the log"
	stop_server
	serve --twins any "image:$T/a%d.tape?capacity=10M" "image:$T/b%d.tape?capacity=10M"
	ok mt -f "$NTAPE" rewind
	ok recs write "$NTAPE" 1000 3
	stop_server
	same_copies "$T/a1.tape" "$T/b1.tape"
}

# Two tapes that are not twins are not appended to, also by a unit that knows
# nothing of how that came.
case_not_twins() {
	two_lengths
	new_unit
	serve --twins any "image:$T/a.tape" "image:$T/b.tape"
	is "$(recs read "$NTAPE" 1000)" "6 records, 2 marks, ok" "the reader"
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
