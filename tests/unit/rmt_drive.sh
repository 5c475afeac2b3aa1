#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The rmt drive in front of real servers where no module is loaded: the tree's own
# pmt-rmt over images, those of GNU tar and dump over files, which are no tapes.
#
# usage: rmt_drive.sh [CASE...]

set -u

top=$(cd "$(dirname "$0")/../.." && pwd)
bin=$top/build/plain
rmt=$bin/pmt-rmt
dumpimg=$bin/tests/system/dumpimg
drive=$bin/tests/bench/drive
delay=$bin/tests/bench/delay
for program in "$rmt" "$dumpimg" "$drive" "$delay"; do
	[ -x "$program" ] || { echo "rmt_drive.sh: no $program"; exit 77; }
done
# shellcheck source=cases
. "$top/tests/unit/cases"

# conf DRIVE [LINE...]: the tape "nvault"
conf() {
	mkdir -p "$T/state"
	printf '%s\n' "state = $T/state" '[vault]' "drive = $1" "${@:2}" > "$T/rmt.conf"
}

# through [OPTIONS [COMMAND...]]: the specification of it; COMMAND stands before the server
through() {
	local text="${*:2} $rmt --config $T/rmt.conf"
	text=${text//\\/\\\\}
	text=${text//|/\\|}
	echo "rmt:host:nvault?command=${text// /\\ }${1:-}"
}

# holds IMAGE N: so many records, and a mark behind
holds() {
	is "$("$dumpimg" "$1" | awk '/record/ { r++ } /mark/ { m++ } END { print r + 0, m + 0 }')" \
		"$2 1" "records and marks in $1"
}

same() {
	ok "$dumpimg" "$1" > "$T/1.txt"
	ok "$dumpimg" "$2" > "$T/2.txt"
	diff "$T/1.txt" "$T/2.txt" > "$T/diff" || fail "$1 and $2 differ: $(head -n 5 "$T/diff")"
}

# writes SIZES COUNT PATTERN SPEC
writes() {
	says "$3" "$drive" "$4" write "$1" "$2"
}

case_records() {
	conf "image:$T/a.tape?capacity=40M"
	writes 100-60000 500 '^500 written, [0-9]+ bytes' "$(through)"
	holds "$T/a.tape" 500
	says '^500 records, [0-9]+ bytes' "$drive" "$(through)" read 100-60000
}

# A round trip of 100 ms, and 200 records: one by one they would take 20 s at least.
case_many_on_the_wire() {
	conf "image:$T/a.tape?capacity=40M"
	says '^200 written, .* in [0-9]\.' "$drive" "$(through '' "$delay" 50)" write 10240 200
	says '^200 records, .* in [0-9]\.' "$drive" "$(through '' "$delay" 50)" read 10240
	holds "$T/a.tape" 200
}

# The server tells the end record by record, as st does, to one that has sent ahead.
# A copy here, that has room for all, has the same records.
end_of_tape() {
	conf "image:$T/far.tape?capacity=4M&ew=$1" "${@:2}"
	writes 1000-60000 1000 ', end of tape, ' \
		"mirror(image:$T/near.tape?capacity=100M, $(through '&room=900000'))"
	same "$T/near.tape" "$T/far.tape"
	ok [ "$("$dumpimg" "$T/far.tape" | grep -c record)" -gt 80 ]
}

case_end_of_tape() { end_of_tape 1M; }
case_end_of_tape_told_by_short_writes() { end_of_tape 1M 'end = short'; }
case_end_of_tape_without_warning() { end_of_tape 4096; }

# The line is cut again and again, in the middle of a record; the server writes a mark
# each time.
case_cut_lines() {
	conf "image:$T/a.tape?capacity=40M"
	writes 1000-60000 400 '^400 written' "$(through '' "$delay" 0 -c 3000000)"
	holds "$T/a.tape" 400
	says '^400 records' "$drive" "$(through '' "$delay" 0 -c 5000000)" read 1000-60000
	holds "$T/a.tape" 400
}

# Nothing comes through any more, and nobody says so: it is given up in time.
case_stuck_line() {
	conf "image:$T/a.tape?capacity=40M"
	writes 1000-60000 400 '^400 written' \
		"$(through '&timeout=3&recovery=120' "$delay" 0 -s 7000000)"
	holds "$T/a.tape" 400
}

# Servers that are killed have lost the place, and say so.  Writing takes its time, so
# that all of them are killed before it ends.
case_killed_server() {
	local i pid
	conf "delay?op=write&ms=2|image:$T/a.tape?capacity=80M"
	through "" "echo \$\$ >> $T/pids; exec" > "$T/spec"
	"$drive" "$(cat "$T/spec")" write 1000-60000 1500 > "$T/said" 2> "$T/log" &
	for i in 1 2 3; do
		for _ in {1..400}; do
			[ "$(grep -c . "$T/pids" 2> /dev/null)" -lt $i ] || break
			sleep 0.02
		done
		for _ in {1..400}; do
			[ "$(stat -c %s "$T/a.tape" 2> /dev/null || echo 0)" -lt $((i * 5000000)) ] || break
			sleep 0.01
		done
		pid=$(tail -n 1 "$T/pids")
		kill -KILL "$pid"
	done
	wait
	says '^1500 written' cat "$T/said"
	ok [ "$(grep -c . "$T/pids")" -ge 4 ]
	holds "$T/a.tape" 1500
	says '^1500 records' "$drive" "$(through)" read 1000-60000
}

# A file is no tape: nothing of it is touched.
case_files_are_no_tapes() {
	local server found=0
	for server in /usr/sbin/rmt-tar /usr/sbin/rmt-dump; do
		[ -x "$server" ] || continue
		found=1
		echo text > "$T/file"
		says 'is no tape drive there' "$drive" \
			"rmt:host:$T/file?command=$server&os=linux" write 1000 1
		is "$(cat "$T/file")" text "the file"
	done
	[ $found = 1 ] || skip "neither tar's rmt nor dump's"
}

# GNU's is not asked to do what it may take for something else.
case_gnu_server_of_unknown_system() {
	[ -x /usr/sbin/rmt-tar ] || skip "no rmt of tar"
	: > "$T/file"
	says 'say os=linux or os=bsd' "$drive" "rmt:host:$T/file?command=/usr/sbin/rmt-tar" \
		write 1000 1
}

case_errors() {
	conf "image:$T/a.tape?capacity=40M" 'access = read'
	says 'error 7/27/00' "$drive" "$(through)" write 1000 1
	says 'No such file' "$drive" "rmt:host:nothing?command=$rmt\\ --config\\ $T/rmt.conf" \
		write 1000 1
	says 'connection|severed' "$drive" 'rmt:host:x?command=/bin/false' write 1000 1
	says 'Could not resolve|severed' "$drive" 'rmt:nowhere.invalid:x' write 1000 1
}

run_cases "$@"
