#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# pmt doctor where no module is loaded, and in a root folder that is made up.
#
# usage: doctor.sh [CASE...]

set -u

top=$(cd "$(dirname "$0")/../.." && pwd)
bin=$top/build/plain
[ -x "$bin/pmt" ] || { echo "doctor.sh: no $bin/pmt"; exit 77; }
# shellcheck source=cases
. "$top/tests/unit/cases"
PATH=$bin:$PATH

before_case() {
	export PMT_ROOT=$T/root
	mkdir -p "$PMT_ROOT/dev" "$PMT_ROOT/etc/pmt" "$PMT_ROOT/tapes"
}

modules() { mkdir -p "$PMT_ROOT/sys/module/pmts" "$PMT_ROOT/sys/module/pmtm"; }

# advised WHAT ADVICE: it is wrong, and this is what to do
advised() {
	local status=0
	pmt doctor > "$T/text" 2>&1 || status=$?
	is $status 1 "the exit status"
	grep -A1 -E "^BAD +$1" "$T/text" | grep -qE "^ +-> .*$2" || fail "$(cat "$T/text")"
}

case_modules() {
	advised 'module pmts is not loaded' 'modprobe pmtm'
	mkdir -p "$PMT_ROOT/sys/module/pmts"
	says '^ok +module pmts is loaded' pmt doctor
	advised 'module pmtm is not loaded' 'modprobe pmtm'
	[ -e /sys/module/pmts ] && return
	modules
	advised 'the kernel does not tell of its units' 'one version'
}

case_configuration() {
	printf '# st:/dev/nst9\ndrive = mirror(st:/dev/nst0, zstd|image:/tapes/a.tape?capacity=2T)\n' \
		> "$PMT_ROOT/etc/pmt/x.conf"
	chmod 644 "$PMT_ROOT/etc/pmt/x.conf"
	advised '.*x.conf: /dev/nst0: No such file' 'module st loaded'
	says '^ok .*x.conf: /tapes is there' pmt doctor
	says '^ok .*x.conf is written by its owner only' pmt doctor
	! grep -q nst9 "$T/text" || fail "a comment is read"
	: > "$PMT_ROOT/dev/nst0"
	says '^ok .*x.conf: /dev/nst0 is there' pmt doctor
	rmdir "$PMT_ROOT/tapes"
	advised '.*x.conf: /tapes: No such file' 'mount what belongs there'
	chmod 664 "$PMT_ROOT/etc/pmt/x.conf"
	advised '.*x.conf may be written by others' 'chmod go-w'
}

case_json() {
	pmt doctor --json > "$T/json"
	is $? 1 "the exit status"
	ok jq -e '.[0] | .ok == false and (.what | test("pmts")) and (.advice | test("modprobe"))' \
		"$T/json" > "$T/out"
}

# Only on a terminal.
case_colours() {
	local escape=$'\033'
	pmt doctor > "$T/text"
	! grep -q "$escape" "$T/text" || fail "not on a terminal"
	script -qc 'pmt doctor' /dev/null < /dev/null > "$T/text"
	grep -q "$escape\[31mBAD" "$T/text" || fail "on a terminal: $(cat -v "$T/text")"
	NO_COLOR=1 script -qc 'pmt doctor' /dev/null < /dev/null > "$T/text"
	! grep -q "$escape\[3" "$T/text" || fail "NO_COLOR"
}

run_cases "$@"
