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

# conf NAME LINE...: a file of the configuration
conf() {
	printf '%s\n' "${@:2}" > "$PMT_ROOT/etc/pmt/$1"
	chmod 644 "$PMT_ROOT/etc/pmt/$1"
}

case_configuration() {
	conf x.conf 'unit = 0' '# drive = st:/dev/nst9' \
		'drive = mirror(st:/dev/nst0, zstd|image:/tapes/a\ b.tape?capacity=2T)'
	advised '.*x.conf: .*/dev/nst0: No such file' 'module st loaded'
	says '^ok .*x.conf: .*/tapes is there' pmt doctor
	says '^ok .*x.conf is written by its owner only' pmt doctor
	says '^ok .*x.conf is understood' pmt doctor
	! grep -q nst9 "$T/text" || fail "a comment is read"
	: > "$PMT_ROOT/dev/nst0"
	says '^ok .*x.conf: .*/dev/nst0 is there' pmt doctor
	rmdir "$PMT_ROOT/tapes"
	advised '.*x.conf: .*/tapes: No such file' 'mount what belongs there'
	chmod 664 "$PMT_ROOT/etc/pmt/x.conf"
	advised '.*x.conf may be written by others' 'chmod go-w'
}

# as_daemon PATTERN LINE...: of this configuration doctor and tape-mirror say the same
as_daemon() {
	conf x.conf "${@:2}"
	advised ".*$1" 'CONFIGURATION of tape-mirror'
	says "$1" tape-mirror --config "$PMT_ROOT/etc/pmt/x.conf"
}

case_words() {
	as_daemon 'x.conf:3: no such key: drivee' 'unit = 0' 'drive = null:' 'drivee = null:'
	as_daemon 'power of two from 1M to 1G' 'unit = 0' 'drive = null:' 'ring = 3M'
	as_daemon 'x.conf:3: not understood: ring' 'unit = 0' 'drive = null:' 'ring = 3M'
	as_daemon 'x.conf:1: a unit and a drive are wanted' 'unit = 0'
	as_daemon "x.conf:3: column 8: unknown kind of drive 'frob'" 'unit = 0' 'drive = null:' \
		'drive = delay| frob:x'
	as_daemon 'policy some: wanted is all or degrade' 'unit = 0' 'drive = null:' 'policy = some'
	as_daemon 'min asks for more' 'unit = 0' 'drive = null:a' 'drive = null:b' \
		'policy = degrade' 'min = 3'
	as_daemon 'no unit is called so' 'unit = nst0' 'drive = null:'
}

case_rmt() {
	conf rmt.conf '[vault]' 'drive = st:/dev/nst0' 'eot = sometimes'
	advised '.*rmt.conf:3: a word that is not known here: sometimes' 'pmt-rmt'
	conf rmt.conf '[vault]' 'drive = st:/dev/nst0' 'eot = hold'
	advised '.*rmt.conf: .*/dev/nst0: No such file' 'module st loaded'
	says '^ok .*rmt.conf is understood' pmt doctor
	conf rmt.conf '[vault]' 'drive = frob:x'
	advised ".*rmt.conf: frob:x: column 1: unknown kind" 'pmt-rmt'
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
