#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# law 5: a filemark that is due in a partition that was left is written where its data
# ends, or nowhere.  st forgets it, so conformance has nothing of this.

. "$(dirname "$0")/lib.sh"

divisible="op 0 MTSETDRVBUFFER 0x30000400 -> 0"	# can-partitions

# Records of 111, 112 and 113 bytes in partition 1, then one of 100 in partition 0.
both_written="
	op 0 MTSETPART 1 -> 0
	write 0 111 11 -> 111
	write 0 112 12 -> 112
	write 0 113 13 -> 113
	op 0 MTSETPART 0 -> 0
	write 0 100 1 -> 100"

# divided [SPEC]: a unit with two partitions, empty, in a.tape
divided() {
	new_unit
	serve "${1:-image:$T/a.tape?capacity=40M}"
	script "
		open 0 npmtm0 rw -> ok
		$divisible
		op 0 MTMKPART 10 -> 0
		close 0 -> 0"
}

# holds WANTED [FILE]: sizes and marks, " / " between the partitions
holds() {
	local got
	got=$(ok dumpimg "$T/${2:-a.tape}" | awk '
		/^partition/ { printf "/ "; next }
		/mark/ { printf "mark "; next }
		{ printf "%s ", $3 }')
	is "$got" "$1 " "${2:-a.tape}"
}

case_each_has_its_mark() {
	divided
	script "
		open 0 npmtm0 rw -> ok
		$both_written
		close 0 -> 0"
	holds "100 mark / 111 112 113 mark"
}

# Who goes to a place in it has ended what was written there.
case_seek_into_it() {
	divided
	script "
		open 0 npmtm0 rw -> ok
		$both_written
		op 0 MTSETPART 1 -> 0
		op 0 MTSEEK 1 -> 0
		op 0 MTSETPART 0 -> 0
		op 0 MTSEEK 0 -> 0
		close 0 -> 0"
	holds "100 mark / 111 112 113"
}

# What is on the cartridge of the next server is not what was written.
case_abort() {
	divided
	script "
		open 0 npmtm0 rw -> ok
		$both_written
		close 0 -> 0"
	stop_server
	ok mkdir "$T/b"
	ok mv "$T"/a.tape* "$T/b/"
	divided
	script "
		open 0 npmtm0 rw -> ok
		$both_written
		ctl another $T/b/a.tape
		write 0 100 1 -> -1 EIO
		op 0 MTREW -> 0
		close 0 -> 0"
	holds "100 mark / 111 112 113 mark" b/a.tape
}

# Marks are written while the cartridge is there.
case_offline() {
	divided
	script "
		open 0 npmtm0 rw -> ok
		$both_written
		op 0 MTOFFL -> 0
		close 0 -> 0"
	holds "100 mark / 111 112 113 mark"
}

case_divided_anew() {
	divided
	script "
		open 0 npmtm0 rw -> ok
		$both_written
		op 0 MTMKPART 20 -> 0
		close 0 -> 0"
	holds "/"
}

# Who exits leaves his marks in the ring: what comes next comes behind them.
case_exit() {
	divided
	script "
		open 0 npmtm0 rw -> ok
		$both_written"
	script "
		open 0 npmtm0 rw -> ok
		op 0 MTSETPART 1 -> 0
		write 0 120 20 -> 120
		close 0 -> 0"
	holds "100 mark / 111 112 113 mark 120 mark"
}

# Killed in a close that waits: the mark is in the ring, once, and the place is another's.
case_killed_in_close() {
	divided "delay?op=marks&ms=8000|image:$T/a.tape?capacity=40M"
	tt -u "$UNIT" -e "
		open 0 npmtm0 rw -> ok
		op 0 MTSETPART 1 -> 0
		write 0 111 11 -> 111
		op 0 MTSETPART 0 -> 0
		op 0 MTNOP -> 0
		close 0 -> 0" > "$T/said" 2>&1 &
	local tt=$!
	echo "$tt" >> "$T/pids"
	mark_begun() { [ "$(kept 'place.partition, .[0].waiting')" = $'0\n1' ] && stuck "$tt"; }
	eventually 20 mark_begun || fail "no close that waits: $(pmt status --json "$UNIT")"
	kill -KILL "$tt"
	eventually 20 gone "$tt" || fail "it is not killed"
	script "
		open 0 npmtm0 rw -> ok
		stat 0 -> f=0 b=0 gstat=41010000 [BOT ONLINE IM_REP_EN] dsreg=--000000 resid=0 type=0x72 erreg=0
		op 0 MTSETPART 1 -> 0
		write 0 120 20 -> 120
		close 0 -> 0"
	holds "/ 111 mark 120 mark"
}

# goes_astray SCRIPT: behind a change of partitions that fails when it is done
goes_astray() {
	divided "fault?op=locate&after=2&error=medium&when=after|image:$T/a.tape?capacity=40M"
	script "
		open 0 npmtm0 rw -> ok
		op 0 MTSETPART 1 -> 0
		write 0 111 11 -> 111
		write 0 112 12 -> 112
		op 0 MTSETPART 0 -> 0
		write 0 100 1 -> 100
		op 0 MTSETPART 1 -> 0
		write 0 113 13 -> -1 EIO
		$1"
}

# The drive says that it failed, and is there: a mark is due where the data ended that was
# left, and none here.
case_failed_switch() {
	goes_astray "
		close 0 -> 0"
	holds "100 mark / 111 112"
}

# No mark is due any more in the partition that it came to.
case_failed_switch_and_on() {
	goes_astray "
		op 0 MTREW -> 0
		op 0 MTSETPART 0 -> 0
		op 0 MTSEEK 1 -> 0
		close 0 -> 0"
	holds "100 / 111 112"
}

# A record that had been acknowledged fails first: the tape has not left.
case_failed_before_the_switch() {
	divided "delay?op=write&ms=1000|fault?op=write&after=2&error=medium|image:$T/a.tape?capacity=40M"
	script "
		open 0 npmtm0 rw -> ok
		op 0 MTSETPART 1 -> 0
		write 0 111 11 -> 111
		write 0 112 12 -> 112
		write 0 113 13 -> 113
		op 0 MTSETPART 0 -> 0
		write 0 100 1 -> -1 EIO
		close 0 -> 0"
	holds "/ 111 112 mark"
}

# A child is killed while it changes partitions; who has the descriptor, too, closes it.
case_killed_in_switch() {
	divided "delay?op=locate&ms=6000|image:$T/a.tape?capacity=40M"
	ok python3 - "$NTAPE" "$UNIT" << 'end'
import fcntl, json, os, signal, struct, subprocess, sys, time

def partition(number):
    fcntl.ioctl(tape, 0x40086d01, struct.pack("hi", 33, number))

def wait_until(count):
    while True:
        said = subprocess.run(["pmt", "status", "--json", sys.argv[2]],
                              capture_output=True, check=True)
        if json.loads(said.stdout)[0]["waiting"] == count:
            return
        time.sleep(0.1)

tape = os.open(sys.argv[1], os.O_RDWR)
partition(1)
os.write(tape, bytes(111))
wait_until(0)
child = os.fork()
if not child:
    partition(0)
    os.write(tape, bytes(100))
    os._exit(0)
wait_until(1)
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
wait_until(0)
os.close(tape)
end
	holds "/ 111 mark"
}

# The mark elsewhere takes nothing from where the program is.
case_offline_refused() {
	divided "fault?op=unload&error=hardware|image:$T/a.tape?capacity=40M"
	script "
		open 0 npmtm0 rw -> ok
		$both_written
		op 0 MTOFFL -> -1 EIO
		write 0 101 2 -> 101
		close 0 -> 0"
	holds "100 mark 101 mark / 111 112 113 mark"
}

# As of the partition where it is.
case_unload_without_marks() {
	divided
	script "
		open 0 npmtm0 rw -> ok
		$both_written
		op 0 MTUNLOAD -> 0
		close 0 -> 0"
	holds "100 / 111 112 113"
}

main "$@"
