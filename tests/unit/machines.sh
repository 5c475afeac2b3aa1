#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What machines have said is counted (tests/machines.sh): every count, whatever failed, and
# a machine that ended otherwise than its counts say.

cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=../machines.sh
. tests/machines.sh
status=0

# said NAME STATUS LINE...
said() {
	printf '%s\n' "${@:3}" > "$logs/$1"
	echo "$2" > "$logs/$1.status"
}

# is NAME WANTED: the last line, and the first that names a failure
is() {
	local got
	got=$( (report fuzz "$1" debug; finish) | grep '^not ok\|^[0-9].* skipped$' | tail -n 2 | paste -s)
	[ "$got" = "$2" ] || { echo "machines.sh: $1: got $got, expected $2" >&2; status=1; }
}

said two 1 'ok a' '3 passed, 0 failed' 'not ok fuzz/b' '4 passed, 1 failed, 2 skipped'
is two "$(printf 'not ok fuzz/debug/b\t7 passed, 1 failed, 2 skipped')"
said well 0 'ok a' '1 passed, 0 failed'
is well '1 passed, 0 failed, 0 skipped'
said complained 99 'ok a' '1 passed, 0 failed'
is complained "$(printf 'not ok fuzz/debug/complained (status 99)\t1 passed, 1 failed, 0 skipped')"
said silent 0 'ok a'
is silent "$(printf 'not ok fuzz/debug/silent (status 0)\t0 passed, 1 failed, 0 skipped')"
said skipped 77 'skip fuzz/a no drive'
is skipped '0 passed, 0 failed, 1 skipped'
exit $status
