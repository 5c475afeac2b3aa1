#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the programs say and return where no module is loaded: exit codes, and
# errors that say what to do.
#
# usage: tools.sh [FOLDER OF THE PROGRAMS]

top=$(cd "$(dirname "$0")/../.." && pwd)
bin=${1:-$top/build/plain}
status=0

for program in pmt tape-mirror rmt-forwarder pmt-rmt; do
	if [ ! -x "$bin/$program" ]; then
		echo "tools.sh: no $bin/$program"
		exit 77
	fi
done

# expect CODE PATTERN PROGRAM [ARGUMENT ...]: exit code; what it prints matches.
expect() {
	local code=$1 pattern=$2 output result
	shift 2
	output=$(PATH=$bin:$PATH timeout 20 "$@" 2>&1 < /dev/null)
	result=$?
	if [ $result -ne "$code" ]; then
		echo "tools.sh: $*: exit $result, not $code: $output" >&2
		status=1
	elif ! grep -qE -- "$pattern" <<< "$output"; then
		echo "tools.sh: $*: $pattern is not in: $output" >&2
		status=1
	fi
}

expect 2 '^Usage: pmt ' pmt
expect 0 '^Usage: pmt ' pmt --help
expect 0 '^Usage: pmt new ' pmt new --help
expect 0 '^pmt [0-9]' pmt --version
expect 2 'no command frob' pmt frob
expect 2 "unrecognized option '--frob'" pmt list --frob
expect 2 "unrecognized option '--json'" pmt del --json 0
expect 2 'too many arguments' pmt list 0
expect 2 'which unit' pmt del
expect 2 'which unit' pmt abort
expect 2 'which unit' pmt detach
expect 2 'which unit' pmt set --eot st
expect 2 'nothing to set' pmt set 0
expect 2 'which unit' pmt control
expect 2 'no unit is called so' pmt control blank
expect 0 'Usage: pmt control UNIT' pmt control --help
expect 2 'which unit, which copy of it' pmt rejoin 0 2
expect 2 'COPY is a number' pmt rejoin 0 0 null:
expect 2 '/dev/nst0: no unit is called so' pmt status /dev/nst0
expect 2 "delay is seconds, 0.1 to 3600, not '0'" pmt top -d 0
expect 2 "delay is seconds.*'1x'" pmt top --delay 1x
expect 2 "count is a number.*'-1'" pmt top -n -1
expect 2 "unrecognized option '--svg'" pmt top --svg x
expect 2 'power of two from 1M to 1G' pmt new --ring 3M
expect 2 'seconds, or forever' pmt new --recovery soon
expect 2 'st or hold' pmt set 0 --eot never

expect 2 'from which drive, and to which' pmt copy image:/nowhere
expect 2 'which drive' pmt verify
expect 2 'which drive' pmt map --json
expect 2 'too many arguments' pmt map null: null:
expect 2 'append or --overwrite, not both' pmt copy --append --overwrite null: null:
expect 2 'to is before --from' pmt verify --from 3 --to 2 null:
expect 2 'volumes reads on' pmt verify --volumes --to 2 null:
expect 2 "number of a file.*not 'x'" pmt copy --from x null: null:
expect 2 "partition is a number up to 63, not '64'" pmt map --partition 64 null:
expect 2 "wait is a number.*not '-1'" pmt map --wait -1 null:
expect 2 "unrecognized option '--svg'" pmt verify --svg x null:
expect 1 'not the name of a file' pmt map image:
expect 1 "column 1: .*'frob'" pmt map frob:x
expect 1 '/nowhere/a: No such file' pmt copy image:/nowhere/a null:
expect 1 '/nowhere/a: No such file' pmt copy null: image:/nowhere/a null:
expect 1 'drive 2: column' pmt copy null: null: 'frob:' null:

run=$(mktemp -d)
PMT_RUNDIR=$run expect 1 'unit 0: no server with a control socket has it' pmt control 0 wp 1
PMT_RUNDIR=$run expect 1 'unit 0: no server with a control socket has it' pmt rejoin 0 2 null:
rmdir "$run"

expect 0 '^Usage: tape-mirror ' tape-mirror --help
expect 0 '^tape-mirror [0-9]' tape-mirror -V
expect 2 'which unit' tape-mirror
expect 2 'which drives' tape-mirror 0
expect 2 'no unit is called so' tape-mirror nst0 null:
expect 2 'all or degrade' tape-mirror --policy some 0 null: null:
expect 2 'two SPECs or more' tape-mirror --policy degrade 0 null:
expect 2 'for --policy degrade' tape-mirror --min 1 0 null: null:
expect 2 'a number of copies' tape-mirror --policy degrade --min none 0 null: null:
expect 2 'more copies than' tape-mirror --policy degrade --min 3 0 null: null:
expect 2 'with --create' tape-mirror --ring 64M 0 null:
expect 2 'power of two' tape-mirror --create --ring 63M 0 null:
expect 2 "column" tape-mirror 0 'null:?'

expect 0 '^Usage: rmt-forwarder ' rmt-forwarder --help
expect 0 '^rmt-forwarder [0-9]' rmt-forwarder -V
expect 2 'which unit' rmt-forwarder
expect 2 'which drive' rmt-forwarder 0
expect 2 'tape-mirror serves several' rmt-forwarder 0 a:b c:d
expect 2 'column 1: rmt: expected .*host:device' rmt-forwarder 0 /dev/nst0
expect 2 "option 'os': expected linux or bsd, found 'sun os'" rmt-forwarder --os 'sun os' 0 a:b
expect 2 "option 'rmt': expected no command= beside it" rmt-forwarder --rmt x --command y 0 a:b
expect 1 'connection|severed' rmt-forwarder --command 'exit 3; # (a, b|c)?' 0 'a:b c?'
expect 1 'column|severed' rmt-forwarder 0 'rmt:a:b?command=false'
expect 2 'part of its specification' rmt-forwarder --os bsd 0 'rmt:a:b?command=false'
expect 2 'taken over as it is' rmt-forwarder --take-over --os bsd 0

expect 0 '^Usage: pmt-rmt ' pmt-rmt --help
expect 0 '^pmt-rmt [0-9]' pmt-rmt -V
expect 2 "unrecognized option '--frob'" pmt-rmt --frob
expect 2 'too many arguments' pmt-rmt /dev/nst0
expect 2 '/nowhere/rmt.conf: No such file' pmt-rmt --config /nowhere/rmt.conf

if [ -e /sys/module/pmts ]; then
	exit $status
fi
for verb in list status watch top metrics new 'new 3' 'del 0' 'abort 0' 'detach 0' 'set 0 --eot st'; do
	# shellcheck disable=SC2086 # a verb and its arguments
	expect 1 'modules are not loaded.*modprobe pmtm' pmt $verb
done
expect 1 'modules are not loaded.*modprobe pmtm' tape-mirror 0 null:
expect 1 'modules are not loaded.*modprobe pmtm' tape-mirror --create 0 null:
exit $status
