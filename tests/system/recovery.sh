#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# laws 1 and 5: servers come and go, the tape stays.  Commands that were not
# done are executed by the next server, and nothing is lost, doubled or skipped.

. "$(dirname "$0")/lib.sh"

same_copies() {
	ok dumpimg "$1" > "$T/1.txt"
	ok dumpimg "$2" > "$T/2.txt"
	diff "$T/1.txt" "$T/2.txt" || fail "the copies differ"
}

acknowledged() { [ "$(awk '{ print $1 }' "$T/acks" 2> /dev/null || echo 0)" -ge "$1" ]; }

# Records first and on of the image, by their numbers: a row without a hole.
numbered() {
	dumpimg "$1" | awk '/record/ { print $4 }' > "$T/numbers"
	diff "$T/numbers" <(seq 0 $(($2 - 1))) > "$T/diff" ||
		{ head "$T/diff" >&2; fail "records of $1 lost, doubled or out of order"; }
}

two_copies() {
	serve "image:$T/a.tape?capacity=40M" \
		"delay?op=write&ms=3|image:$T/b.tape?capacity=40M&format=simh"
}

# writer_meets SIGNAL OPTIONS...: three times while records are written.
writer_meets() {
	local signal=$1 i writer
	new_unit --ring 4M
	two_copies
	recs write -a "$T/acks" "${@:2}" "$NTAPE" 5000-60000 400 > "$T/said" &
	writer=$!
	echo "$writer" >> "$T/pids"
	for i in 60 150 280; do
		eventually 60 acknowledged "$i" || fail "the writer stands at $(cat "$T/acks")"
		stop_server "$signal"
		two_copies
	done
	wait "$writer"
	like "$(cat "$T/said")" '^400 written, [0-9]* marked, ok, close ok$' "the writer"
	stop_server
	same_copies "$T/a.tape" "$T/b.tape"
	numbered "$T/a.tape" 400
	numbered "$T/b.tape" 400
}

case_kill_under_writer() { writer_meets KILL; }

case_kill_under_marks() {
	writer_meets KILL -m 7
	is "$(dumpimg "$T/a.tape" | grep -c mark)" 58 "filemarks"
}

# An ordinary restart: the upgrade of a daemon under a running backup.
case_restart_under_writer() {
	writer_meets TERM -m 50
	grep -q 'finishing' "$LOG" || fail "no word of stopping"
}

case_restart_status() {
	image_unit
	kill -TERM "$SERVER"
	status 0 wait "$SERVER"
}

case_kill_under_reader() {
	new_unit --ring 2M
	two_copies
	ok recs write "$NTAPE" 5000-60000 300
	ok mt -f "$NTAPE" rewind
	stop_server
	serve "delay?op=read&ms=5|image:$T/a.tape?capacity=40M"
	recs read "$NTAPE" 5000-60000 > "$T/said" &
	local reader=$! i
	echo "$reader" >> "$T/pids"
	for i in 40 120; do
		eventually 60 read_so_far "$i" || fail "nothing is read"
		stop_server KILL
		serve "delay?op=read&ms=5|image:$T/a.tape?capacity=40M"
	done
	wait "$reader" || fail "the reader failed"
	is "$(cat "$T/said")" "300 records, 1 marks, ok" "the reader"
}

read_so_far() { [ "$(kept records_read)" -ge "$1" ]; }

# The next server is told the modes before any command: a block size that the
# application has set years ago counts.
case_modes_are_handed_over() {
	image_unit
	ok mt -f "$NTAPE" setblk 512
	ok mt -f "$NTAPE" drvbuffer 0
	stop_server KILL
	serve "image:$T/a.tape"
	is "$(kept block_size)" 512 "block size"
	is "$(kept buffered)" 0 "buffering"
	ok dd if=/dev/zero of="$NTAPE" bs=2048 count=1 status=none
	is "$(dumpimg "$T/a.tape" | awk '{ print $2, $3 }' | uniq -c | tr -s ' \n' ' ')" \
		" 4 record 512 1 mark " "the tape"
}

# A rewind that a killed program has left is not done behind another's back, when the
# place was lost meanwhile and somebody has taken the tape elsewhere.
case_rewind_that_was_lost() {
	new_unit --recovery 0.5
	serve "delay?op=write&ms=500|image:$T/a.tape?capacity=20M"
	ok recs write "$NTAPE" 1000 3
	ok mt -f "$NTAPE" rewind
	ok mt -f "$NTAPE" eod
	NTAPE=$TAPE writer_waits
	freeze "$SERVER"
	kill -KILL "$WRITER"
	eventually 20 gone "$WRITER" || fail "it outlives the kill"
	stop_server KILL
	eventually 20 is_state unserved || fail "the state is $(state)"
	serve "image:$T/a.tape?capacity=20M"
	script "open 0 npmtm0 r -> -1 EIO"
	ok mt -f "$NTAPE" seek 4
	ok recs write "$NTAPE" 500 2
	is "$(dumpimg "$T/a.tape" | awk '{ print $2, $3 }' | uniq -c | tr -s ' \n' ' ')" \
		" 3 record 1000 1 mark 2 record 500 1 mark " "the tape"
}

# No server within the recovery time: EIO, and the place is lost until rewind.
case_recovery_is_over() {
	new_unit --recovery 0.5
	serve "delay?op=write&ms=500|image:$T/a.tape?capacity=20M"
	writer_waits
	stop_server KILL
	eventually 20 is_state unserved || fail "the state is $(state)"
	go_on
	wait "$WRITER"
	like "$(cat "$T/said")" 'close EIO$' "the writer"
	no mt -f "$NTAPE" status 2> /dev/null
	serve "image:$T/a.tape"
	script "
		open 0 npmtm0 rw -> ok
		write 0 100 1 -> -1 EIO
		pos 0 -> -1 EIO
		op 0 MTFSF 1 -> -1 EIO
		op 0 MTREW -> 0
		stat 0 -> f=0 b=0 gstat=41010000 [BOT ONLINE IM_REP_EN] dsreg=00000000 resid=0 type=0x72 erreg=0
		write 0 100 1 -> 100
		close 0 -> 0"
}

# Also where nobody has the tape open: who comes meanwhile waits.
case_idle_unit_waits() {
	image_unit
	ok recs write "$NTAPE" 1000 3
	stop_server KILL
	is "$(state)" recovering "the state"
	mt -f "$NTAPE" bsf 1 &
	local mt=$!
	echo "$mt" >> "$T/pids"
	eventually 20 stuck "$mt" || fail "mt does not wait"
	serve "image:$T/a.tape"
	ok wait "$mt"
	at 0 -1
}

case_no_recovery() {
	new_unit --recovery 0
	serve "image:$T/a.tape?capacity=20M"
	ok mt -f "$NTAPE" rewind
	stop_server KILL
	eventually 10 is_state unserved || fail "the state is $(state)"
	script "open 0 npmtm0 rw -> -1 ENXIO"
}

# A unit that never gives up waits, and can be given up by hand.
has_opened() { [ "$(kept master_open)" = true ]; }

case_recovery_forever() {
	new_unit --recovery forever
	serve "image:$T/a.tape?capacity=20M"
	mkfifo "$T/go"
	dd if="$T/go" of="$NTAPE" bs=1000 2> "$T/said" &
	local writer=$!
	exec 8> "$T/go"
	eventually 20 has_opened || fail "the tape is not opened"
	stop_server KILL
	is "$(state)" recovering "the state"
	head -c 1000 /dev/zero >&8
	exec 8>&-
	echo "$writer" >> "$T/pids"
	eventually 20 stuck "$writer" || fail "the writer does not wait"
	ok pmt abort "$UNIT"
	no wait "$writer"
	like "$(cat "$T/said")" 'Input/output error|No such device' "the writer"
}

# The server dies at an UNLOAD, before or after the volume was changed: the next
# server goes on with the next volume, not with the one after it.
unload_meets_death() {
	local volumes="image:$T/v%d.tape?capacity=2M"
	new_unit
	serve "fault?op=unload&error=kill&when=$1|$volumes"
	ok recs write "$NTAPE" 1000 3
	mt -f "$NTAPE" offline &
	local mt=$!
	echo "$mt" >> "$T/pids"
	eventually 30 gone "$SERVER" || fail "the server lives"
	serve "$volumes"
	ok wait "$mt"
	ok recs write -f 3 "$NTAPE" 1000 2
	numbered "$T/v0.tape" 3
	is "$(dumpimg "$T/v1.tape" | awk '/record/ { print $4 }' | tr '\n' ' ')" "3 4 " \
		"the second volume"
	[ ! -e "$T/v2.tape" ] || fail "a volume was skipped"
	grep -q '^volume 1$' "$T"/.v*.set || fail "$(cat "$T"/.v*.set)"
}

case_death_before_unload() { unload_meets_death before; }
case_death_after_unload() { unload_meets_death after; }

# One copy has unloaded, the other has not.
case_death_between_unloads() {
	local a="image:$T/a%d.tape?capacity=2M" b="image:$T/b%d.tape?capacity=2M"
	new_unit
	serve "fault?op=unload&error=kill&when=after|$a" "delay?op=unload&ms=60000|$b"
	ok recs write "$NTAPE" 1000 3
	mt -f "$NTAPE" offline &
	local mt=$!
	echo "$mt" >> "$T/pids"
	eventually 30 gone "$SERVER" || fail "the server lives"
	serve "$a" "$b"
	ok wait "$mt"
	ok recs write -f 3 "$NTAPE" 1000 2
	same_copies "$T/a0.tape" "$T/b0.tape"
	same_copies "$T/a1.tape" "$T/b1.tape"
	is "$(dumpimg "$T/b1.tape" | awk '/record/ { print $4 }' | tr '\n' ' ')" "3 4 " \
		"the second volume"
	[ ! -e "$T/a2.tape" ] || fail "a volume was skipped"
	[ ! -e "$T/b2.tape" ] || fail "a volume was skipped"
}

# Written, executed, and not answered: it is there once.
case_death_after_write() {
	new_unit
	serve "fault?op=write&at=5&error=kill&when=after|image:$T/a.tape?capacity=20M"
	recs write "$NTAPE" 1000 10 > "$T/said" &
	local writer=$!
	echo "$writer" >> "$T/pids"
	eventually 30 gone "$SERVER" || fail "the server lives"
	serve "image:$T/a.tape"
	wait "$writer"
	is "$(cat "$T/said")" "10 written, 0 marked, ok, close ok" "the writer"
	numbered "$T/a.tape" 10
}

case_death_after_mark() {
	new_unit
	serve "fault?op=marks&error=kill&when=after|image:$T/a.tape?capacity=20M"
	recs write -m 5 "$NTAPE" 1000 10 > "$T/said" &
	local writer=$!
	echo "$writer" >> "$T/pids"
	eventually 30 gone "$SERVER" || fail "the server lives"
	serve "image:$T/a.tape"
	wait "$writer"
	is "$(cat "$T/said")" "10 written, 10 marked, ok, close ok" "the writer"
	is "$(dumpimg "$T/a.tape" | awk '{ print $2 }' | uniq -c | tr -s ' \n' ' ')" \
		" 5 record 1 mark 5 record 1 mark " "the tape"
}

# Another medium than the unit was using: the server is refused, and the right one
# is still welcome.
case_another_medium() {
	image_unit
	ok recs write "$NTAPE" 1000 3
	stop_server
	start_server "image:$T/other.tape?capacity=20M"
	eventually 20 gone "$SERVER" || fail "another medium is served"
	status 4 wait "$SERVER"
	is "$(dumpimg "$T/other.tape" | wc -l)" 0 "objects on the other one"
	serve "image:$T/a.tape"
	at 1 0
}

case_detach() {
	image_unit
	ok recs write "$NTAPE" 1000 3
	ok pmt detach "$UNIT"
	eventually 20 gone "$SERVER" || fail "the server lives"
	status 3 wait "$SERVER"
	like "$(cat "$LOG")" 'taken away' "what the server says"
	is "$(state)" recovering "the state"
	serve "image:$T/a.tape"
	at 1 0
}

# A unit that a server still holds when it is deleted does not keep its number.
case_number_of_a_deleted_unit() {
	image_unit
	local held=$SERVER
	freeze "$held"
	ok pmt detach "$UNIT"
	ok pmt abort "$UNIT"
	ok pmt del "$UNIT"
	status 1 pmt status "$UNIT" 2> "$T/said"
	ok pmt new "$UNIT" > "$T/said"
	serve "image:$T/b.tape?capacity=10M"
	ok recs write "$NTAPE" 1000 3
	kill -KILL "$held"
	eventually 10 gone "$held" || fail "the server lives"
	at 1 0
	stop_server
}

case_abort() {
	image_unit
	recs write -a "$T/acks" "$NTAPE" 1000 100000 > "$T/said" &
	local writer=$!
	echo "$writer" >> "$T/pids"
	eventually 20 acknowledged 5 || fail "nothing is written"
	ok pmt abort "$UNIT"
	wait "$writer"
	like "$(cat "$T/said")" 'E[A-Z]+, close E' "the writer"
	eventually 20 gone "$SERVER" || fail "the server lives"
	status 3 wait "$SERVER"
	serve "image:$T/a.tape"
	ok mt -f "$NTAPE" rewind
	at 0 0
}

on_another() { "$@" "image:$T/other.tape?capacity=20M"; }

# Nobody has said where on the other cartridge.
other_is_kept() {
	is "$(recs write "$NTAPE" 1000 1)" "0 written, 0 marked, EIO, close EIO" "the writer"
	is "$(dumpimg "$T/other.tape" | wc -l)" 0 "objects on the other one"
	ok mt -f "$NTAPE" rewind
	ok recs write "$NTAPE" 1000 2
	numbered "$T/other.tape" 2
}

# The cartridge that the unit was using is given up, with nothing that waits.
case_abort_and_another() {
	image_unit
	ok recs write "$NTAPE" 1000 3
	stop_server
	ok pmt abort "$UNIT"
	on_another serve
	other_is_kept
	numbered "$T/a.tape" 3
}

case_abort_and_another_copy() {
	new_unit
	serve "image:$T/a.tape?capacity=20M" "image:$T/b.tape?capacity=20M"
	ok recs write "$NTAPE" 1000 3
	ok pmt abort "$UNIT"
	eventually 20 gone "$SERVER" || fail "the server lives"
	on_another serve --policy degrade --twins any "image:$T/a.tape"
	is "$(kept daemon.drive.healthy)" 2 "copies"
	other_is_kept
	same_copies "$T/a.tape" "$T/other.tape"
}

# abort_under SPEC: the unit gets another server, and fd 8 stays open
abort_under() {
	ok pmt abort "$UNIT"
	eventually 20 gone "$SERVER" || fail "the server lives"
	serve "$1"
}

write_8() { (printf %s "$1" >&8) 2> /dev/null; }
nothing_waits() { [ "$(kept waiting)" = 0 ]; }

written_8() {
	ok write_8 "$1"
	eventually 20 nothing_waits || fail "it is not executed"
}

rewind_8() { "$top/build/plain/tests/fuzz/application" perform 6 1 <&8; }

# Who has the tape open is not on the other one before he has positioned.
case_abort_under_writer() {
	image_unit
	exec 8<> "$NTAPE"
	written_8 111
	on_another abort_under
	no write_8 222
	no write_8 333
	is "$(dumpimg "$T/other.tape" | wc -l)" 0 "objects on the other one"
	ok rewind_8
	written_8 4444
	# Nor by the next abort, which is another one.
	abort_under "image:$T/a.tape"
	no write_8 5
	exec 8<&-
	is "$(dumpimg "$T/other.tape" | awk '{ print $2, $3 }' | tr '\n' ' ')" "record 4 " \
		"the other one"
	is "$(dumpimg "$T/a.tape" | awk '{ print $2, $3 }' | tr '\n' ' ')" "record 3 " \
		"the one"
}

# No mark of the one cartridge is written to the other.
case_abort_under_close() {
	image_unit
	writer_waits
	on_another abort_under
	go_on
	wait "$WRITER"
	is "$(cat "$T/said")" "3 written, 0 marked, ok, close EIO" "the writer"
	other_is_kept
}

# Nor is the same one read on from elsewhere, by who has it open or opens it.
case_abort_under_reader() {
	image_unit
	ok recs write "$NTAPE" 1000 10
	ok mt -f "$NTAPE" rewind
	exec 8< "$NTAPE"
	dd bs=1000 count=4 of="$T/read" <&8 2> /dev/null || fail "nothing is read"
	abort_under "image:$T/a.tape"
	no dd bs=1000 count=1 of=/dev/null <&8 2> /dev/null
	exec 8<&-
	at -1 -1
	no dd bs=1000 count=1 of=/dev/null if="$NTAPE" 2> /dev/null
	ok mt -f "$NTAPE" rewind
	is "$(recs read "$NTAPE" 1000)" "10 records, 1 marks, ok" "what is read"
}

main "$@"
