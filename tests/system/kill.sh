#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# law 6: no wait outlives a kill.  The server is stopped (SIGSTOP); writers are
# killed; the administrator aborts and deletes.

. "$(dirname "$0")/lib.sh"

# soon_gone PID: within a second (and what a loaded machine may add).
soon_gone() {
	local began=$SECONDS
	eventually 4 gone "$1" || fail "it outlives the kill: $(cat "/proc/$1/stack" 2>&1)"
	[ $((SECONDS - began)) -le 3 ] || fail "it took $((SECONDS - began)) seconds"
}

# An open that waits for what was queued.
settled() {
	script "
		open 0 npmtm0 r -> ok
		close 0 -> 0"
}

kinds() { dumpimg "$1" | awk '{ print $2 }' | uniq -c | awk '{ print $1, $2 }' | tr '\n' ' '; }

case_blocked_in_write() {
	new_unit --ring 1M
	# So slow that it does not come to the end before it is frozen.
	serve "delay?op=write&ms=20|image:$T/a.tape?capacity=20M"
	freeze "$SERVER"
	recs write -a "$T/acks" "$NTAPE" 60000 1000 > /dev/null &
	local writer=$! acks
	echo "$writer" >> "$T/pids"
	# Its open waits for the server.
	kill -CONT "$SERVER"
	eventually 20 grep -q '^[1-9]' "$T/acks" || fail "nothing is written"
	freeze "$SERVER"
	eventually 20 stuck "$writer" || fail "the writer is not held"
	kill -KILL "$writer"
	soon_gone "$writer"
	kill -CONT "$SERVER"
	acks=$(awk '{ print $1 }' "$T/acks")
	settled
	like "$(kinds "$T/a.tape")" '^[0-9]+ record 1 mark $' "the tape"
	[ "$(dumpimg "$T/a.tape" | grep -c record)" -ge "$acks" ] ||
		fail "$acks were acknowledged: $(kinds "$T/a.tape")"
	[ "$(dumpimg "$T/a.tape" | grep -c record)" -le $((acks + 1)) ] ||
		fail "only $acks were written: $(kinds "$T/a.tape")"
}

# held_in_close: three records are written, the server is stopped, the writer
# waits in close.
held_in_close() {
	writer_waits
	freeze "$SERVER"
	go_on
	eventually 20 stuck "$WRITER" || fail "the writer is not held"
}

case_blocked_in_close() {
	image_unit
	held_in_close
	kill -KILL "$WRITER"
	soon_gone "$WRITER"
	kill -CONT "$SERVER"
	settled
	is "$(kinds "$T/a.tape")" "3 record 1 mark " "the tape"
	at 1 0
}

# It exits with the tape open: close is then done by the kernel, where no signal
# could end a wait.
case_exit_with_open_tape() {
	image_unit
	writer_waits
	freeze "$SERVER"
	kill -KILL "$WRITER"
	soon_gone "$WRITER"
	kill -CONT "$SERVER"
	settled
	is "$(kinds "$T/a.tape")" "3 record 1 mark " "the tape"
}

# It is not killed, but exits: then SIGKILL could not end a wait in close.
case_exit_without_close() {
	image_unit
	writer_waits -x
	freeze "$SERVER"
	go_on
	soon_gone "$WRITER"
	kill -CONT "$SERVER"
	settled
	is "$(kinds "$T/a.tape")" "3 record 1 mark " "the tape"
}

# The same on the node that rewinds.
case_exit_rewinds() {
	image_unit
	status 137 recs write -k 3 "$TAPE" 1000 10
	settled
	is "$(kinds "$T/a.tape")" "3 record 1 mark " "the tape"
	at 0 0
}

case_killed_reader() {
	image_unit
	ok recs write "$TAPE" 1000 3
	stop_server
	serve "delay?op=read&ms=60000|image:$T/a.tape"
	dd if="$NTAPE" of=/dev/null bs=64k status=none &
	local reader=$!
	echo "$reader" >> "$T/pids"
	eventually 20 stuck "$reader" || fail "the reader is not held"
	kill -KILL "$reader"
	soon_gone "$reader"
}

# killed_mt SPEC NODE OPERATION: behind three records
killed_mt() {
	serve "$1"
	ok recs write "$NTAPE" 1000 3
	mt -f "$2" "$3" &
	local mt=$!
	echo "$mt" >> "$T/pids"
	eventually 20 stuck "$mt" || fail "mt is not held"
	kill -KILL "$mt"
	soon_gone "$mt"
}

case_killed_in_ioctl() {
	new_unit
	killed_mt "delay?op=rewind&ms=60000|image:$T/a.tape?capacity=20M" "$NTAPE" rewind
}

# killed_offline SPEC
killed_offline() {
	new_unit
	killed_mt "delay?op=unload&ms=5000|$1" "$TAPE" offline
	eventually 20 all_done || fail "it does not settle"
}

# The rewind that it owed for its node is not of a tape that has gone.
case_killed_offline() {
	killed_offline "image:$T/a.tape?capacity=20M"
	script "
		open 0 npmtm0 rn -> ok
		close 0 -> 0"
}

# But of one that has not.
case_killed_offline_refused() {
	killed_offline "fault?op=unload&error=hardware|image:$T/a.tape?capacity=20M"
	at 0 0
}

case_next_open_waits() {
	image_unit
	held_in_close
	kill -KILL "$WRITER"
	soon_gone "$WRITER"
	script "open 0 npmtm0 rn -> -1 EBUSY"
	dd if="$NTAPE" of=/dev/null bs=64k status=none 2> "$T/dd" &
	local reader=$!
	echo "$reader" >> "$T/pids"
	eventually 20 stuck "$reader" || fail "the open does not wait"
	kill -KILL "$reader"
	soon_gone "$reader"
	kill -CONT "$SERVER"
	settled
}

# A motion ends before another holder of the descriptor writes, though its caller was
# killed: the records are where it has left the tape.
case_killed_motion() {
	local fsf=1 mover
	new_unit
	serve "image:$T/a.tape?capacity=20M"
	ok recs write "$NTAPE" 1000 3
	ok recs write "$NTAPE" 1000 3
	ok mt -f "$NTAPE" rewind
	exec 8<> "$NTAPE"
	freeze "$SERVER"
	"$top/build/plain/tests/fuzz/application" perform "$fsf" 1 <&8 &
	mover=$!
	echo "$mover" >> "$T/pids"
	eventually 20 stuck "$mover" || fail "the motion is not held"
	kill -KILL "$mover"
	soon_gone "$mover"
	(printf 1111 >&8 && printf 22222 >&8 && printf 333333 >&8) &
	mover=$!
	echo "$mover" >> "$T/pids"
	kill -CONT "$SERVER"
	wait "$mover" || fail "the writer's status is $?"
	exec 8<&-
	is "$(dumpimg "$T/a.tape" | awk '{ print $2, $3 }' | tr '\n' ' ')" \
		"record 1000 record 1000 record 1000 mark  record 4 record 5 record 6 mark  " \
		"the tape"
	at 2 0
}

# What was acknowledged and failed is told to the next one, where the last has died
# behind a mark that did not wait.
case_killed_behind_an_error() {
	local weofi=35 dying
	new_unit
	serve "delay?op=write&ms=1000|fault?op=write&at=1&error=medium|image:$T/a.tape?capacity=20M"
	(
		printf 111 >&8 && printf 222 >&8
		"$top/build/plain/tests/fuzz/application" perform "$weofi" 1 <&8
		echo > "$T/marked"
		sleep 60
	) 8> "$NTAPE" &
	dying=$!
	echo "$dying" >> "$T/pids"
	eventually 20 [ -e "$T/marked" ] || fail "the mark waits"
	eventually 20 only_the_mark_waits || fail "records wait"
	pkill -KILL -P "$dying"
	kill -KILL "$dying"
	eventually 20 gone "$dying"
	script "open 0 npmtm0 r -> -1 EIO"
}

# And one who may not wait is told as well: looking is what lets the server go on.
case_open_behind_an_error() {
	local dying
	new_unit
	serve "delay?op=write&ms=1000|fault?op=write&at=1&error=medium|image:$T/a.tape?capacity=20M"
	(
		printf 111 >&8 && printf 222 >&8 && printf 333 >&8
		echo > "$T/written"
		exec sleep 60
	) 8> "$NTAPE" &
	dying=$!
	echo "$dying" >> "$T/pids"
	eventually 20 [ -e "$T/written" ] || fail "the records are not taken"
	kill -KILL "$dying"
	eventually 20 gone "$dying"
	script "open 0 npmtm0 rn -> -1 EBUSY"
	eventually 20 tt -u "$UNIT" -c medium -e "open 0 npmtm0 rn -> -1 EIO" > /dev/null ||
		fail "it is not told: $(pmt status "$UNIT")"
	script "
		open 0 npmtm0 rn -> ok
		close 0 -> 0"
}

only_the_mark_waits() { [ "$(kept waiting)" -le 1 ]; }

# The unit is given up and deleted while its server hangs.
case_abort_and_delete() {
	image_unit
	held_in_close
	no pmt del "$UNIT" 2> /dev/null
	kill -KILL "$WRITER"
	soon_gone "$WRITER"
	no pmt del "$UNIT" 2> /dev/null
	ok pmt abort "$UNIT"
	ok pmt del "$UNIT"
	[ ! -e "$NTAPE" ] || fail "the node is still there"
	no pmt status "$UNIT" > /dev/null 2>&1
	kill -CONT "$SERVER"
	eventually 20 gone "$SERVER" || fail "the server stays"
	status 3 wait "$SERVER"
}

# A writer that is alive gets the error when the unit is given up under it.
case_abort_wakes() {
	image_unit
	held_in_close
	ok pmt abort "$UNIT"
	eventually 5 gone "$WRITER" || fail "the writer is still held"
	like "$(cat "$T/said")" 'close E' "the writer"
}

case_detach_while_stopped() {
	image_unit
	held_in_close
	ok pmt detach "$UNIT"
	is "$(state)" recovering "the state"
	kill -KILL "$SERVER"
	eventually 20 gone "$SERVER"
	serve "image:$T/a.tape"
	wait "$WRITER"
	like "$(cat "$T/said")" 'close ok$' "the writer"
	is "$(kinds "$T/a.tape")" "3 record 1 mark " "the tape"
}

main "$@"
