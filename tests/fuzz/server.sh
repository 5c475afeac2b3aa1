#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# server: hostile servers at random, beside a unit with an honest one.
#
#	tests/vm/run -t 300 tests/fuzz/server.sh
#
# PMT_SEED repeats a run as far as threads allow, PMT_FUZZ_SECONDS (20) is how
# long at least, and PMT_FUZZ_LIVES (each attack once) how many.  Prints what was
# reached, and last "ok fuzz/server" or "not ok fuzz/server REASON".

. "$(dirname "$0")/../system/lib.sh"

PATH=$top/build/plain/tests/fuzz:$PATH

run() {
	local got=0
	image_unit capacity=40M
	server "$UNIT" || got=$?
	is "$(state "$UNIT")" served "the neighbour"
	return $got
}

T=$(mktemp -d /tmp/pmt-fuzz.XXXXXX)
export T
reason=''
(run) || reason="(status $?)"
clean_up || reason="${reason:-(something is left behind)}"
if [ -z "$reason" ]; then
	echo "ok fuzz/server"
else
	echo "not ok fuzz/server $reason"
	exit 1
fi
