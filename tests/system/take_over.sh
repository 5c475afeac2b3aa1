#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# One daemon takes a unit over from another, under whoever writes: nothing is lost
# or doubled, and the unit is never without a server; what fails leaves the one
# before in its place.

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/oracle"

# What a write(2) may take, in ms, with a hand-over in it.  It is short of a second
# on a machine; this one is emulated, and does other things: 0.3 to 2 s were measured.
PAUSE=5000

acknowledged() { [ "$(awk '{ print $1 }' "$T/acks" 2> /dev/null || echo 0)" -ge "$1" ]; }

# Records 0 to N - 1 are a row without a hole.
numbered() {
	dumpimg "$1" | awk '/record/ { print $4 }' > "$T/numbers"
	diff "$T/numbers" <(seq 0 $(($2 - 1))) > "$T/diff" ||
		{ head "$T/diff" >&2; fail "records of $1 lost, doubled or out of order"; }
}

on_image() {
	dumpimg "$1" | awk '/record/ { r++ } /mark/ { m++ }
		END { print r + 0 " records, " m + 0 " marks" }'
}

# take_over [SPEC...]: by a new server; the one before ends well
take_over() {
	local before=$SERVER log=$LOG
	serve --take-over "$@"
	eventually 30 gone "$before" || fail "the one before does not end"
	status 0 wait "$before"
	grep -q "handed over to process $SERVER" "$log" || { cat "$log" >&2; fail "no word of it"; }
}

# writer RECORDS OPTIONS...: of odd sizes, behind this
writer() {
	recs write -a "$T/acks" -l "$T/longest" "${@:2}" "$NTAPE" 5000-60000 "$1" > "$T/said" &
	WRITER=$!
	echo "$WRITER" >> "$T/pids"
}

# written RECORDS [MS]: it is done, and has not waited long
written() {
	local most=$((${2:-$PAUSE} * patience))
	wait "$WRITER"
	like "$(cat "$T/said")" "^$1 written, [0-9]* marked, ok, close ok$" "the writer"
	[ "$(cat "$T/longest")" -le "$most" ] || fail "a write took $(cat "$T/longest") ms"
}

# told CASE: it has passed; how long a write took belongs to the answer
told() { echo "ok $1 (the longest write took $(cat "$T/longest") ms)" > "$T/results"; }

# A unit without recovery time: were it without a server, it would give up.
case_under_writer() {
	local i
	new_unit --ring 4M --recovery 0
	SPECS=("image:$T/a.tape?capacity=40M"
		"delay?op=write&ms=3|image:$T/b.tape?capacity=40M&format=simh")
	serve "${SPECS[@]}"
	writer 400 -m 7
	for i in 60 150 280; do
		eventually 60 acknowledged "$i" || fail "the writer stands at $(cat "$T/acks")"
		take_over "${SPECS[@]}"
		is "$(kept server_pid)" "$SERVER" "who serves it"
	done
	written 400
	eventually 10 answers || fail "no control socket"
	stop_server
	numbered "$T/a.tape" 400
	numbered "$T/b.tape" 400
	is "$(on_image "$T/a.tape")" "400 records, 58 marks" "the first copy"
	is "$(on_image "$T/b.tape")" "400 records, 58 marks" "the second copy"
	told under_writer
}

answers() { [ "$(kept daemon.pid 2> /dev/null)" = "$SERVER" ]; }

# Without a word, it serves what the other did.
case_same_drives() {
	new_unit
	serve --policy degrade --min 1 "image:$T/a.tape?capacity=9M" "image:$T/b.tape?capacity=9M"
	ok recs write "$NTAPE" 1000 3
	take_over
	ok recs write -f 3 "$NTAPE" 1000 3
	eventually 10 answers || fail "no control socket"
	like "$(kept daemon.drive.spec)" '^mirror\(.*a\.tape.*b\.tape.*\)\?policy=degrade&min=1$' "drives"
	take_over
	stop_server
	numbered "$T/b.tape" 6
}

# Unbuffered: the write that waits is answered by the next one.
case_unbuffered() {
	new_unit --recovery 0
	serve "delay?op=write&ms=10|image:$T/a.tape?capacity=40M"
	ok mt -f "$NTAPE" drvbuffer 0
	writer 60
	eventually 60 acknowledged 10 || fail "nothing is written"
	take_over "image:$T/a.tape"
	written 60
	stop_server
	numbered "$T/a.tape" 60
}

case_under_reader() {
	image_unit
	ok recs write "$NTAPE" 5000-60000 300
	ok mt -f "$NTAPE" rewind
	stop_server
	serve "delay?op=read&ms=5|image:$T/a.tape"
	recs read "$NTAPE" 5000-60000 > "$T/said" &
	local reader=$!
	echo "$reader" >> "$T/pids"
	eventually 60 read_so_far 50 || fail "nothing is read"
	take_over
	wait "$reader" || fail "the reader failed"
	is "$(cat "$T/said")" "300 records, 1 marks, ok" "the reader"
}

read_so_far() { [ "$(kept records_read)" -ge "$1" ]; }

# What failed before, and the program has not asked yet, is still an error, and
# nothing behind it is written.
case_error_that_waits() {
	new_unit
	serve "fault?op=write&at=1&error=medium|image:$T/a.tape?capacity=40M"
	writer_waits
	eventually 20 grep -q 'write at block' "$LOG" || true
	take_over "image:$T/a.tape"
	go_on
	wait "$WRITER"
	like "$(cat "$T/said")" 'close EIO$' "the writer"
	stop_server
	is "$(on_image "$T/a.tape")" "1 records, 0 marks" "the tape"
}

# refused STATUS SPEC...: it fails, and the one before goes on
refused() {
	local before=$SERVER log=$LOG
	status "$1" timeout 60 tape-mirror --take-over "$UNIT" "${@:2}" < /dev/null > "$T/refused" 2>&1
	SERVER=$before LOG=$log
	is "$(kept server_pid)" "$SERVER" "who serves it"
	eventually 10 grep -q 'not taken over' "$LOG" || fail "no word of it"
	: > "$LOG"
}

# However the successor fails.
case_successor_fails() {
	new_unit --recovery 0
	serve "image:$T/a.tape?capacity=40M"
	writer 300
	eventually 60 acknowledged 20 || fail "nothing is written"
	refused 2 "image:$T/a.tape?nonsense=1"
	refused 1 "image:/nowhere/a.tape?capacity=4M"
	eventually 60 acknowledged 150 || fail "it does not go on: $(cat "$T/acks")"
	refused 4 "image:$T/other.tape?capacity=40M"
	like "$(cat "$T/refused")" 'another cartridge' "the message"
	written 300
	ok recs write -f 300 "$NTAPE" 1000 5
	stop_server
	is "$(on_image "$T/a.tape")" "305 records, 2 marks" "the tape"
}

# false_successor: one that asks for all, and then says SAID and no more
false_successor() {
	perl -MIO::Socket::UNIX -e '
		$s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "connect: $!";
		print $s "{\"command\":\"take-over\"}\n"; $s->flush;
		defined($line = <$s>) or die "no answer";
		print STDOUT $line; STDOUT->flush;
		print $s "$ARGV[1]\n" if $ARGV[1]; $s->flush;
		close $s if $ARGV[2]; sleep 1000;
	' "/run/pmt/$UNIT.sock" "$@" > "$T/offer" 2>&1 &
	FALSE=$!
	echo "$FALSE" >> "$T/pids"
	eventually 20 grep -q '"spec"' "$T/offer" || fail "$(cat "$T/offer")"
}

# It holds all, does nothing, and is killed; the writer waits for as long.
case_successor_is_killed() {
	new_unit --recovery 0
	serve "image:$T/a.tape?capacity=40M"
	writer_waits
	false_successor ''
	go_on
	eventually 20 stuck "$WRITER" || fail "the writer does not wait"
	is "$(state)" served "the state"
	like "$(pmt status "$UNIT" 2>&1)" 'served by process' "the status, meanwhile"
	status 1 timeout 60 tape-mirror --take-over "$UNIT" > "$T/refused" 2>&1
	like "$(cat "$T/refused")" 'being handed over to another' "a second one"
	kill -KILL "$FALSE"
	wait "$WRITER"
	like "$(cat "$T/said")" '^3 written, 0 marked, ok, close ok$' "the writer"
	false_successor '{"taken":false}' close
	kill -KILL "$FALSE"
	ok recs write -f 3 "$NTAPE" 1000 2
	stop_server
	numbered "$T/a.tape" 5
}

# It holds all and does not even die by itself; who is to stop does not wait for long.
case_successor_is_stuck() {
	local log
	new_unit
	serve "image:$T/a.tape?capacity=40M"
	log=$LOG
	ok recs write "$NTAPE" 1000 3
	false_successor ''
	kill -STOP "$FALSE"
	kill -TERM "$SERVER"
	eventually 30 gone "$SERVER" || fail "it does not stop"
	status 0 wait "$SERVER"
	gone "$FALSE" || fail "the successor lives"
	grep -q "process $FALSE has not taken over in time: killed" "$log" ||
		{ cat "$log" >&2; fail "no word of it"; }
	serve "image:$T/a.tape"
	ok recs write -f 3 "$NTAPE" 1000 2
	stop_server
	numbered "$T/a.tape" 5
}

case_usage() {
	new_unit
	status 2 tape-mirror --take-over --create "$UNIT" 2> "$T/said"
	status 1 tape-mirror --take-over "$UNIT" 2> "$T/said"
	like "$(cat "$T/said")" 'no daemon to take it over from' "the message"
	status 2 tape-mirror --take-over --policy degrade "$UNIT" 2> "$T/said"
	status 2 tape-mirror "$UNIT" 2> "$T/said"
}

# ---- real drives: st sees no close, and writes no mark of its own ----

drive_unit() {
	oracle 1
	A=${NODES[0]}
	ctl 0 blank
	ctl 0 cap 20000000 1000000
	new_unit --ring 4M "$@"
}

tape() {
	local said
	ok mt -f "$A" rewind
	said=$(recs read "$A" "$1") || fail "$A: $said"
	echo "${said%,*}"
}

case_drive_and_image() {
	local i
	drive_unit --recovery 0
	serve "st:$A?room=900000" "image:$T/a.tape?capacity=40M"
	writer 300 -m 50
	for i in 40 120 210; do
		eventually 60 acknowledged "$i" || fail "the writer stands at $(cat "$T/acks")"
		take_over
		like "$(cat "$LOG")" "$A: goes on by the descriptor" "the drive"
	done
	refused 1 "st:$A" "image:/nowhere/a.tape?capacity=4M"
	written 300
	stop_server
	is "$(tape 5000-60000)" "300 records, 6 marks" "the tape"
	is "$(on_image "$T/a.tape")" "300 records, 6 marks" "the image"
	told drive_and_image
}

# far: the drive by the server of dump's, as if it were another host's
far() { echo "here:$A?room=900000&command=exec\\ /usr/sbin/rmt-dump"; }

# A drive of another host is closed, where st writes its mark, and opened again.
case_remote_drive_and_image() {
	local i
	drive_unit --recovery 0
	serve "rmt:$(far)" "image:$T/a.tape?capacity=40M"
	writer 300 -m 50
	for i in 60 180; do
		eventually 60 acknowledged "$i" || fail "the writer stands at $(cat "$T/acks")"
		take_over
	done
	written 300 20000
	stop_server
	is "$(tape 5000-60000)" "300 records, 6 marks" "the tape"
	is "$(on_image "$T/a.tape")" "300 records, 6 marks" "the image"
	told remote_drive_and_image
}

case_forwarder() {
	drive_unit --recovery 0
	DAEMON=rmt-forwarder
	serve --room 900000 --command 'exec /usr/sbin/rmt-dump' "here:$A"
	writer 200
	eventually 60 acknowledged 60 || fail "the writer stands at $(cat "$T/acks")"
	take_over
	written 200 20000
	stop_server
	is "$(tape 5000-60000)" "200 records, 1 marks" "the tape"
	told forwarder
}

# A drive that the next one does not want is closed, and nothing is written to it.
case_drive_is_left() {
	drive_unit
	serve "st:$A?room=900000" "image:$T/a.tape?capacity=40M"
	ok recs write "$NTAPE" 5000-60000 20
	take_over "image:$T/a.tape"
	is "$(tape 5000-60000)" "20 records, 1 marks" "the tape"
	ok recs write -f 20 "$NTAPE" 5000-60000 2
}

main "$@"
