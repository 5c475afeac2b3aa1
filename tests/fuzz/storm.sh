#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Lifetimes: everything that can begin and end does so at once, and what holds
# itself can still be ended.  Nothing else may use the modules meanwhile.
#
#	PMT_SEED=N PMT_FUZZ_SECONDS=20 tests/vm/run -t 400 tests/fuzz/storm.sh

export PMT_FUZZ_SECONDS=${PMT_FUZZ_SECONDS:-20}
export LIMIT=$((PMT_FUZZ_SECONDS + 100))

. "$(dirname "$0")/../system/lib.sh"
PATH=$top/build/plain/tests/fuzz:$PATH
[ "${1:-}" = -c ] || exec 3>&1		# for the counts, also of what succeeds

modules=${PMT_MODULES_DIR:-/run/pmt}
[ -e "$modules/pmtm.ko" ] || modules=$top/build/kmod/${PMT_VM:-6.1}
RANDOM=${PMT_SEED:-1}

loaded() { [ -d /sys/module/pmtm ]; }

load() {
	[ -d /sys/module/pmts ] || insmod "$modules/pmts.ko" || return
	loaded || insmod "$modules/pmtm.ko"
}

alone() {
	[ "$(pmt list --json | jq length)" = 0 ] || skip "there are units of others"
	[ -e "$modules/pmtm.ko" ] || skip "no modules to load again"
	later load
}

# soon_gone PID: within a second, and what a loaded machine may add.
soon_gone() {
	eventually 8 gone "$1" || fail "it outlives the kill: $(cat "/proc/$1/stack" 2>&1)"
}

# ---- what goes on ----

END=$((SECONDS + PMT_FUZZ_SECONDS))

going() { [ "$SECONDS" -lt "$END" ]; }
part_of_second() { sleep "0.$((RANDOM % 30 + 10))"; }

# A unit that is made, served, used and deleted, in the middle of anything.
unit_life() {
	local unit=$1 server writer
	RANDOM=$((${PMT_SEED:-1} * 100 + unit))
	while going; do
		pmt new --ring 1M --recovery $((RANDOM % 2)) "$unit"
		tape-mirror "$unit" null: < /dev/null &
		server=$!
		part_of_second
		recs write "/dev/npmtm$unit" 1000-60000 100000 &
		writer=$!
		part_of_second
		case $((RANDOM % 4)) in
		0) kill -KILL "$server" "$writer" ;;
		1) kill -KILL "$writer"; kill "$server" ;;
		2) pmt abort "$unit"; kill -KILL "$server" "$writer" ;;
		3) pmt detach "$unit"; kill -KILL "$writer"; kill -KILL "$server" ;;
		esac
		wait "$server" "$writer"
		pmt del "$unit"
	done > /dev/null 2>&1
}

open_ends() {
	local unit
	while going; do
		for unit in 10 11 20 21 22 23; do
			: < "/dev/pmts$unit"
			: <> "/dev/pmtm$unit"
			mt -f "/dev/npmtm$unit" status
		done
	done > /dev/null 2>&1
}

# What rmmod says, each time; loaded again, if they could be unloaded.
unload_tries() {
	while going; do
		rmmod pmtm && echo unloaded
		rmmod pmts
		load
	done 2>&1
}

# storms PART...: all at once, to the end.
storms() {
	local part pids=()
	for part in "$@"; do
		$part > "$T/part.${part// /-}" 2>&1 &
		pids+=($!)
		echo $! >> "$T/pids"
	done
	wait "${pids[@]}"
}

watch_events() { timeout "$PMT_FUZZ_SECONDS" pmt events > /dev/null 2>&1; }
churn() { netlink churn 20 5; }
ends() { storm ends "$@"; }
sysfs() { storm sysfs; }

told() { cat "$T"/part.* | grep -E '^(churn|ends|sysfs):' | sed 's/^/# /' >&3; }

# All that was left goes; then so do the modules, and they come back.
unload() {
	local unit
	for unit in $(pmt list --json | jq -r '.[].unit'); do
		pmt abort "$unit"
		eventually 10 pmt del "$unit" 2> "$T/del" || fail "unit $unit: $(cat "$T/del")"
	done
	eventually 10 rmmod pmtm 2> "$T/rmmod" || fail "$(cat "$T/rmmod")"
	eventually 10 rmmod pmts 2> "$T/rmmod" || fail "$(cat "$T/rmmod")"
	no [ -d /sys/class/pmt ]
	ok load
	is "$(pmt list --json | jq length)" 0 "units"
}

# One unit stays, served and open: the modules are in use all the time.
case_storm_in_use() {
	alone
	new_unit 40 --ring 1M
	serve "image:$T/a.tape?capacity=10M"
	exec 8< "$NTAPE"
	END=$((SECONDS + PMT_FUZZ_SECONDS))
	storms "unit_life 10" "unit_life 11" open_ends "ends 10 2" "ends 20 5" sysfs churn \
		watch_events unload_tries
	told
	ok [ -d /sys/module/pmtm ]
	ok [ -s "$T/part.unload_tries" ]
	no grep -v 'is in use' "$T/part.unload_tries"
	echo "# $(wc -l < "$T/part.unload_tries") times the modules were in use" >&3
	no gone "$SERVER"
	exec 8<&-
	is "$(recs write "$TAPE" 1000 3)" "3 written, 0 marked, ok, close ok" "the writer"
	is "$(recs read "$NTAPE" 1000)" "3 records, 1 marks, ok" "the reader"
	stop_server
	unload
}

# The modules come and go, too.
case_storm_unload() {
	alone
	storms "unit_life 10" open_ends "ends 10 1" "ends 20 5" sysfs churn unload_tries
	told
	echo "# $(grep -c unloaded "$T/part.unload_tries") times unloaded" >&3
	ok load
	unload
}

# ---- who holds himself ----

# waits_for_itself PROGRAM...: it is ended by a kill, and the unit goes on.
waits_for_itself() {
	local pid
	"$@" > "$T/said" 2>&1 &
	pid=$!
	echo "$pid" >> "$T/pids"
	eventually 20 grep -q attached "$T/said" || fail "it does not attach"
	eventually 20 stuck "$pid" || fail "it does not wait: $(cat "$T/said")"
	kill -KILL "$pid"
	soon_gone "$pid"
	wait "$pid" 2> /dev/null
}

case_storm_self() {
	new_unit --ring 1M --recovery 1
	waits_for_itself storm self "$UNIT"
	serve "image:$T/a.tape?capacity=10M"
	is "$(recs write "$TAPE" 1000 3)" "3 written, 0 marked, ok, close ok" "the writer"
}

case_storm_stack() {
	local other
	new_unit --ring 1M --recovery 1
	other=$UNIT
	new_unit --ring 1M --recovery 1
	waits_for_itself storm stack "$UNIT" "$other"
	serve "image:$T/a.tape?capacity=10M"
	is "$(recs write "$TAPE" 1000 3)" "3 written, 0 marked, ok, close ok" "the writer"
}

# held_by_server SIGNAL: a real server, whose own tape is its input, written to
# and rewinding: what its end closes is its own.
held_by_server() {
	image_unit
	exec 8<> "$TAPE"
	head -c 1000 /dev/zero >&8
	stop_server KILL
	eventually 20 is_state recovering
	LOG=$T/second
	tape-mirror "$UNIT" "image:$T/a.tape?capacity=40M" <&8 > "$LOG" 2>&1 8<&- &
	SERVER=$!
	echo "$SERVER" >> "$T/pids"
	eventually 30 answered || fail "no server: $(cat "$LOG")"
	exec 8<&-
	no mt -f "$NTAPE" status 2> /dev/null
	kill "-$1" "$SERVER"
	soon_gone "$SERVER"
	serve "image:$T/a.tape?capacity=40M"
	eventually 10 mt -f "$NTAPE" rewind || fail "no tape again"
	is "$(dumpimg "$T/a.tape" | awk '{ print $2 }' | tr '\n' ' ')" "record mark " "the tape"
}

case_storm_held_kill() { held_by_server KILL; }
case_storm_held_term() { held_by_server TERM; }

# ---- the freezer ----

# A writer that waits for a server which is stopped, and an open that waits for
# one which is gone, for as long as the machine takes to freeze.
waiting_applications() {
	image_unit
	mkfifo "$T/go"
	recs write -w "$NTAPE" 1000 3 > "$T/said" < "$T/go" &
	WRITER=$!
	echo "$WRITER" >> "$T/pids"
	exec 8> "$T/go"
	eventually 20 grep -q written "$T/said" || fail "nothing is written"
	freeze "$SERVER"
	echo >&8
	eventually 20 stuck "$WRITER" || fail "the writer is not held"
	STOPPED=$SERVER
	new_unit --recovery forever
	serve "image:$T/b.tape?capacity=40M"
	stop_server KILL
	eventually 20 is_state recovering
	recs read "$NTAPE" 1000 > "$T/read" 2>&1 &
	OPENER=$!
	echo "$OPENER" >> "$T/pids"
	eventually 20 stuck "$OPENER" || fail "the open is not held"
}

# Both go on as if nothing had been.
go_on() {
	serve "image:$T/b.tape?capacity=40M"
	kill -CONT "$STOPPED"
	eventually 20 gone "$WRITER" || fail "the writer does not go on"
	like "$(cat "$T/said")" 'close ok' "the writer"
	eventually 20 gone "$OPENER" || fail "the open does not go on"
	like "$(cat "$T/read")" '^0 records' "the reader"
}

case_storm_freezer() {
	local before
	[ -e /sys/power/pm_test ] || skip "the kernel cannot test its freezer"
	waiting_applications
	echo 1 > /sys/module/suspend/parameters/pm_test_delay || skip "no short test"
	before=$(dmesg | grep -c 'refusing to freeze')
	echo freezer > /sys/power/pm_test
	later "echo none > /sys/power/pm_test"
	ok eval 'echo freeze > /sys/power/state'
	is "$(dmesg | grep -c 'refusing to freeze')" "$before" "tasks that refuse"
	go_on
}

in_group_frozen() {
	grep -q 'frozen 1' "$T/group/one/cgroup.events"
}

# Version 2 freezes what waits as if by a signal: what only a kill can end is
# not stopped, but it does not hinder either, and a kill ends all of it.
case_storm_cgroup() {
	waiting_applications
	mkdir "$T/group"
	mount -t cgroup2 none "$T/group" 2> /dev/null || skip "no control groups"
	later "umount $T/group"
	mkdir "$T/group/one"
	later "rmdir $T/group/one"
	echo "$OPENER" > "$T/group/one/cgroup.procs"
	echo 1 > "$T/group/one/cgroup.freeze"
	eventually 5 in_group_frozen || fail "the open does not freeze"
	kill -KILL "$OPENER"
	soon_gone "$OPENER"
	wait "$OPENER" 2> /dev/null
	echo "$WRITER" > "$T/group/one/cgroup.procs"
	kill -KILL "$WRITER"
	soon_gone "$WRITER"
	wait "$WRITER" 2> /dev/null || :
}

main "$@" | sed -uE 's,^(ok|not ok|skip) [a-z]+/,\1 fuzz/,'
exit "${PIPESTATUS[0]}"
