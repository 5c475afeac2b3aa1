#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# law 6 from the other side: hostile programs at the master end, before an honest
# server.  They can be killed at any moment, and afterwards the tape is as good
# as before.
#
#	PMT_SEED=N PMT_FUZZ_SECONDS=20 tests/vm/run -t 300 tests/fuzz/application.sh

export LIMIT=$((${PMT_FUZZ_SECONDS:-20} + 360))

. "$(dirname "$0")/../system/lib.sh"
PATH=$top/build/plain/tests/fuzz:$PATH
[ "${1:-}" = -c ] || exec 3>&1		# for the counts, also of what succeeds

# Who has a node open, and where it is in the kernel.
holders() {
	local fd pid
	for fd in /proc/[0-9]*/fd/*; do
		[[ $(readlink "$fd") == /dev/*pmtm* ]] || continue
		pid=${fd#/proc/} pid=${pid%%/*}
		echo "$fd: $(tr '\0' ' ' < "/proc/$pid/cmdline")"
		cat "/proc/$pid"/task/*/stack
	done
}

# What the server does, now and a while later.
busy() {
	pmt status --json "$UNIT"
	grep -H . /proc/"$SERVER"/task/*/{comm,stack,syscall}
	tail -n 5 "$LOG"
	sleep 5
	pmt status "$UNIT"
}

# Until a process has let go of the node, and the last error was told.
as_new() { application reset "$UNIT" 2> "$T/reset"; }

abused() {
	local said status=0
	application run "$UNIT" "$SERVER" > "$T/said" || status=$?
	sed 's/^/# /' "$T/said" >&3
	said=$(grep -E 'never gave|outlived' "$T/said")
	is "$status" 0 "seed ${PMT_SEED:-1}: $said"
	! gone "$SERVER" || fail "seed ${PMT_SEED:-1}: the server ended: $(tail -n 5 "$LOG")
$(dmesg | tail -n 3)"
	is "$(state)" served "the state"
}

round_trip() {
	eventually 150 as_new || fail "no tape again: $(cat "$T/reset")
$(busy)
$(holders)"
	is "$(recs write "$TAPE" 1000-9000 30)" "30 written, 0 marked, ok, close ok" "the writer"
	is "$(recs read "$NTAPE" 1000-9000)" "30 records, 1 marks, ok" "the reader"
}

case_application_image() {
	new_unit --ring 4M
	serve "image:$T/a.tape?capacity=20M"
	abused
	round_trip
	ok pmt abort "$UNIT"
	serve "image:$T/a.tape?capacity=20M"
	round_trip
}

# Two copies, one of them slow, and the other way to end a tape.
case_application_mirror() {
	new_unit --ring 1M --eot hold
	serve "image:$T/a.tape?capacity=4M" "delay?op=write&ms=2|image:$T/b.tape?capacity=5M"
	abused
	round_trip
}

# A load whose caller was killed, and behind it a mark by another holder of the
# descriptor: it names the generation before, is refused, and breaks nothing.
case_application_killed_load() {
	local load=30 weof=5 killed
	new_unit --ring 1M
	serve "image:$T/a.tape?capacity=9M" "image:$T/b.tape?capacity=9M"
	exec 8<> "$NTAPE"
	head -c 1000 /dev/zero >&8
	freeze "$SERVER"
	application perform "$load" 1 <&8 &
	killed=$!
	eventually 10 stuck "$killed" || fail "the load is not held"
	kill -KILL "$killed"
	eventually 10 gone "$killed" || fail "it outlives the kill"
	application perform "$weof" 1 <&8 &
	eventually 10 stuck $! || fail "the mark is not held"
	kill -CONT "$SERVER"
	wait $!
	is "$(state)" served "the state"
	exec 8<&-
	round_trip
}

main "$@" | sed -uE 's,^(ok|not ok|skip) [a-z]+/,\1 fuzz/,'
exit "${PIPESTATUS[0]}"
