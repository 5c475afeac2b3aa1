# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# lib.sh: what the system tests have in common.
#
# A test file begins with ". lib.sh", has functions case_NAME, one a behaviour,
# and ends with "main "$@"".  Run without arguments it runs its cases, each in a
# process of its own that has 100 seconds (LIMIT, set by the file), or those that
# are named, and prints a line for each: "ok FILE/CASE", "not ok FILE/CASE" with
# what it said, or "skip FILE/CASE REASON".  A case fails by a status that is
# neither 0 nor 77; 77 is a skip.
#
# What is made is written down in $T, the case's folder, before it is made: pids,
# units, cleanup.  The process that runs the cases undoes it, however the case
# has ended; what cannot be undone fails the case.
#
# In a case: $T, and after new_unit $UNIT, $TAPE and $NTAPE (the nodes); after
# serve $SERVER (the pid of the server).

set -u

dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
top=$(cd "$dir/../.." && pwd -P)
bin=${PMT_BIN:-$top/build/plain}	# where pmt and tape-mirror are
: "${LIMIT:=100}"
patience=1		# how many times longer everything may take
case ${PMT_VM:-} in uml | debug | kcsan) patience=4 ;; esac
PATH=$bin:$top/build/plain/tests/system:$dir:/usr/sbin:/sbin:$PATH

say() { echo "$*" >&2; }
fail() { say "FAILED: $*"; exit 1; }
skip() { echo "$*" > "$T/skip"; exit 77; }

# ---- asserts ----

# is GOT WANTED WHAT
is() { [ "$1" = "$2" ] || fail "$3: got '$1', expected '$2'"; }

# like GOT PATTERN WHAT: an extended regular expression
like() { [[ $1 =~ $2 ]] || fail "$3: got '$1', expected what matches '$2'"; }

# ok COMMAND...: it succeeds
ok() { "$@" || fail "status $? of: $*"; }

# no COMMAND...: it does not
no() { ! "$@" || fail "succeeded, and should not: $*"; }

# status N COMMAND...
status() {
	local got=0
	"${@:2}" || got=$?
	[ $got = "$1" ] || fail "status $got, expected $1, of: ${*:2}"
}

# says PATTERN COMMAND...: it prints (on stdout or stderr) what matches
says() {
	local text
	text=$("${@:2}" 2>&1)
	like "$text" "$1" "${*:2}"
}

# ---- waiting ----

# eventually SECONDS COMMAND...: it succeeds, tried again and again
eventually() {
	local until=$((SECONDS + $1 * patience + 1))
	while ! "${@:2}"; do
		[ $SECONDS -lt $until ] || return 1
		sleep 0.05
	done
}

# gone PID: it has ended with all its threads, whether it was reaped or not; not while it
# exits
gone() { ! grep -qs '^State:.[^ZX]' "/proc/$1"/task/*/status; }

# sleeps PID: it waits in the kernel
sleeps() { grep -qs '^State:.[SD]' "/proc/$1/status"; }

# freeze PID: stop it, all its threads, now
freeze() {
	kill -STOP "$1"
	eventually 10 frozen "$1" || fail "process $1 does not stop"
}

frozen() {
	local task
	for task in /proc/"$1"/task/*/status; do
		grep -q '^State:.T' "$task" || return
	done
}

# stuck PID: it has made no progress for half a second, and waits
stuck() {
	local a b
	a=$(grep -sE '^(voluntary|nonvol)' "/proc/$1/status") || return
	sleep 0.5
	b=$(grep -sE '^(voluntary|nonvol)' "/proc/$1/status")
	[ "$a" = "$b" ] && sleeps "$1"
}

# ---- units and servers ----

# A unit with a name that is not used; OPTIONS as of pmt new.
new_unit() {
	UNIT=$(unit_lock "$@") || fail "no unit"
	TAPE=/dev/pmtm$UNIT NTAPE=/dev/npmtm$UNIT
	export UNIT TAPE NTAPE
}

unit_lock() {
	local json
	json=$(pmt new --json "$@") || return
	json=$(jq -r .unit <<< "$json")
	echo "$json" >> "$T/units"
	echo "$json"
}

# serve SPEC...: OPTIONS of tape-mirror, or what DAEMON is, may stand before.  For
# this unit.
serve() {
	start_server "$@"
	eventually 30 answered || { cat "$LOG" >&2; fail "no server: $*"; }
	grep -q 'serving unit' "$LOG" || { cat "$LOG" >&2; fail "no server: $*"; }
}

# The same, but it need not become ready.
start_server() {
	local -a options=()
	while [[ ${1:-} == -* ]]; do
		options+=("$1")
		if [[ $1 =~ ^--(policy|min|twins|verify|ring|recovery|eot|command|config|os|rmt|window|reconnect|room)$ ]]; then
			options+=("$2")
			shift
		fi
		shift
	done
	LOG=$(mktemp "$T/server.XXXXXX")
	"${DAEMON:-tape-mirror}" "${options[@]}" "$UNIT" "$@" < /dev/null > "$LOG" 2>&1 &
	SERVER=$!
	echo $SERVER >> "$T/pids"
	export SERVER LOG
}

answered() { grep -q 'serving unit' "$LOG" || gone "$SERVER"; }

# stop_server [SIGNAL]
stop_server() {
	kill "-${1:-TERM}" "$SERVER" 2>/dev/null
	eventually 30 gone "$SERVER" || { cat "$LOG" >&2; fail "the server does not stop"; }
	wait "$SERVER" 2>/dev/null
}

# A unit served by an image.  OPTIONS of the image.
image_unit() {
	new_unit
	serve "image:$T/a.tape?${1:-capacity=40M}"
}

state() { pmt list --json | jq -r ".[] | select(.unit == ${1:-$UNIT}) | .state"; }
is_state() { [ "$(state)" = "$1" ]; }

# kept KEY: of pmt status --json
kept() { pmt status --json "$UNIT" | jq -r ".[0].$1"; }

# The server has done all that was issued.
all_done() { [ "$(kept waiting)" = 0 ]; }

# at FILE BLOCK: where mt says that the tape is
at() {
	local text
	text=$(mt -f "$NTAPE" status) || fail "mt status"
	like "$text" "File number=$1, block number=$2," "the place"
}

# script 'LINE; LINE': by tt, on this unit
script() { tt -u "$UNIT" -c medium -e "$1" || fail "the answers differ"; }

# waiting N: so many commands wait in the unit, or more
waiting() {
	pmt list --json > /dev/null	# it answers
	[ "$(kept waiting)" -ge "$1" ]
}

# writer_waits OPTIONS...: recs has written three records and waits for go_on; $WRITER
writer_waits() {
	mkfifo "$T/go"
	recs write -w "$@" "$NTAPE" 1000 3 > "$T/said" < "$T/go" &
	WRITER=$!
	echo "$WRITER" >> "$T/pids"
	exec 8> "$T/go"
	eventually 20 grep -q written "$T/said" || fail "nothing is written"
}

go_on() { echo > "$T/go"; }

later() { echo "$*" >> "$T/cleanup"; }

# ---- running the cases ----

clean_up() {
	local line pid unit bad=0
	[ ! -e "$T/pids" ] || while read -r pid; do
		kill -CONT "$pid"
		kill -KILL "$pid"
		eventually 10 gone "$pid" || { say "process $pid does not go"; bad=1; }
	done < "$T/pids" 2>/dev/null
	[ ! -e "$T/units" ] || while read -r unit; do
		[ -e "/dev/pmts$unit" ] || continue
		pmt abort "$unit"
		eventually 10 pmt del "$unit" > "$T/del" 2>&1 ||
			{ say "left behind: unit $unit: $(tail -n 1 "$T/del")"; bad=1; }
	done < "$T/units"
	[ ! -e "$T/cleanup" ] || while read -r line; do
		eval "$line" || { say "not undone: $line"; bad=1; }
	done < <(tac "$T/cleanup")
	rm -rf "$T"
	return $bad
}

run_case() {
	local name=$1 got
	T=$(mktemp -d /tmp/pmt-test.XXXXXX)
	export T
	timeout -k 10 $((LIMIT * patience)) bash "$0" -c "$name" > "$T/log" 2>&1
	got=$?
	[ $got != 124 ] || echo "FAILED: took longer than $((LIMIT * patience)) s" >> "$T/log"
	cp "$T/log" "$T.log"
	cat "$T/skip" > "$T.skip" 2> /dev/null
	cat "$T/results" > "$T.results" 2> /dev/null
	clean_up >> "$T.log" 2>&1 || { [ $got != 0 ] || got=3; }
	report "$name" $got
	rm -f "$T.log" "$T.skip" "$T.results"
	[ $got = 0 ] || [ $got = 77 ]
}

# A case that leaves lines "ok NAME" and "not ok NAME" in $T/results is reported
# by these, and by a line of its own only if it failed otherwise.
report() {
	sed "s,^\(ok\|not ok\) ,\1 $test/," "$T.results"
	case $2 in
	0) [ -s "$T.results" ] || echo "ok $test/$1" ;;
	77) echo "skip $test/$1 $(cat "$T.skip")" ;;
	1) grep -q '^not ok' "$T.results" || echo "not ok $test/$1" ;;
	*) echo "not ok $test/$1 (status $2)" ;;
	esac
	case $2 in 0 | 77) ;; *) sed 's/^/	/' "$T.log" ;; esac
}

main() {
	local name bad=0
	test=$(basename "$0" .sh)
	if [ "${1:-}" = -c ]; then
		"case_$2"
		exit
	fi
	# shellcheck disable=SC2046 # names without spaces
	[ $# != 0 ] || set -- $(sed -n 's/^case_\([a-z0-9_]*\)() .*/\1/p' "$0")
	for name in "$@"; do
		[[ " ${PMT_LEAVE_OUT:-} " == *" $test/$name "* ]] || run_case "$name" || bad=1
	done
	exit $bad
}
