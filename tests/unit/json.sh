#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What tells something tells it in JSON, too: each verb of pmt that has --json, as far as
# it needs no module, prints JSON and nothing else; and those that have none are known.
#
# usage: json.sh [CASE...]

set -u

top=$(cd "$(dirname "$0")/../.." && pwd)
bin=$top/build/plain
[ -x "$bin/pmt" ] || { echo "json.sh: no $bin/pmt"; exit 77; }
# shellcheck source=cases
. "$top/tests/unit/cases"
PATH=$bin:$PATH

before_case() {
	cd "$T" || exit 1
	seq 1 3000 > a
	ok pmt image append --create -r 1000 a.tape a > /dev/null
	ok pmt image append --create -r 1000 b.tape a > /dev/null
}

# json STATUS PATTERN COMMAND...: lines of JSON, of which the last has this
json() {
	local status=0
	"${@:3}" > said 2> messages < /dev/null || status=$?
	is $status "$1" "status of ${*:3}: $(cat messages)"
	[ -s said ] || fail "nothing: ${*:3}"
	jq -c . said > /dev/null || fail "no JSON: ${*:3}: $(cat said)"
	tail -n 1 said | jq -e "$2" > /dev/null || fail "no $2: ${*:3}: $(cat said)"
}

# Silent ones, data, a format for programs; a new verb is to be thought of.
case_who_has_none() {
	local verb without=()
	for verb in $(pmt --help | sed -nE 's/^  ([a-z]+) .*/\1/p'); do
		pmt "$verb" --help | grep -q -- --json || without+=("$verb")
	done
	is "${without[*]}" "del metrics set abort detach control" "verbs without"
}

case_tapes() {
	json 0 '.records > 10' pmt copy --json image:a.tape 'image:c.tape?create=yes'
	json 0 '.sides[1].records > 10 and .difference == null' pmt verify --json image:a.tape image:b.tape
	json 0 '.files[0].records > 10' pmt map --json image:a.tape
	json 1 'type == "array"' env PMT_ROOT="$T" pmt doctor --json
}

# answers LINE: a server of unit 7 that says this once
answers() {
	python3 - "$T/7.sock" "$1" <<-'END' &
	import os, socket, sys
	s = socket.socket(socket.AF_UNIX)
	s.bind(sys.argv[1] + ".new")
	s.listen()
	os.rename(sys.argv[1] + ".new", sys.argv[1])
	c = s.accept()[0]
	c.recv(4096)
	c.sendall(sys.argv[2].encode() + b"\n")
	END
	until [ -S "$T/7.sock" ]; do
		kill -0 $! || fail "no server"
		sleep 0.05
	done
}

case_rejoin() {
	export PMT_RUNDIR=$T
	answers '{"ok":true,"waits":1}'
	json 0 '.unit == 7 and .copy == 2 and .at_unload' pmt rejoin --json 7 2 null:
	rm 7.sock
	answers '{"ok":true}'
	json 0 '.at_unload == false' pmt rejoin --json 7 2 null:
}

case_images() {
	json 0 '.files[0].bytes == 13893' pmt image ls --json a.tape
	json 0 '.files[0].bytes == 13893' pmt image ls --json --each a.tape
	is "$(jq -s '[.[] | select(.mark == false) | .bytes] | add' said)" 13893 "each"
	is "$(jq -s '[.[] | select(.mark)] | length' said)" 1 "marks"
	json 0 '.sound' pmt image verify --json a.tape
	json 0 '.bytes == 13893' pmt image append --json a.tape a
	json 0 '.marks == 2' pmt image convert --json a.tape new.tap
	json 0 '.label == "x"' pmt image label --json --label x a.tape
	json 0 '.cut == 0 and .kept == null' pmt image repair --json a.tape
	truncate -s -100 b.tape
	json 1 '.sound == false' pmt image verify --json b.tape
	json 0 '.cut > 0 and (.kept | test("b.tape.cut-"))' pmt image repair --json b.tape
	json 0 '.lost == 0' pmt image repair --json -o d.tape a.tape
}

# An error is a message, and no half of an object.
case_errors() {
	local command
	while read -r command; do
		# shellcheck disable=SC2086 # words
		pmt $command --json > said 2> messages < /dev/null && fail "no error: $command"
		[ ! -s said ] || jq . said > /dev/null || fail "$command: $(cat said)"
		[ -s messages ] || fail "$command says nothing"
	done <<-'END'
	map image:none.tape
	copy image:none.tape null:
	verify image:none.tape
	image ls none.tape
	image verify none.tape
	image repair none.tape
	image label none.tape
	END
}

run_cases "$@"
