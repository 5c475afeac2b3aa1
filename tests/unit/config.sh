#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What tape-mirror says of a configuration.  Nothing is served.
#
# usage: config.sh [CASE...]

set -u

top=$(cd "$(dirname "$0")/../.." && pwd)
bin=$top/build/plain
[ -x "$bin/tape-mirror" ] || { echo "config.sh: no $bin/tape-mirror"; exit 77; }
# shellcheck source=cases
. "$top/tests/unit/cases"

# refused LINE|'' MESSAGE [LINE...]: a configuration of these lines
refused() {
	local status=0
	printf '%s\n' "${@:3}" > "$T/a.conf"
	"$bin/tape-mirror" --config "$T/a.conf" > "$T/said" 2>&1 || status=$?
	is $status 2 "status, of: ${*:3}"
	grep -qE "${1:+$T/a.conf:$1: }$2" "$T/said" ||
		fail "$2 is not in: $(cat "$T/said")"
}

case_refused() {
	says 'No such file' "$bin/tape-mirror" --config "$T/a.conf"
	refused 3 'no such key: drivee' 'unit = 0' '' 'drivee = null:'
	refused 2 'said twice: unit' 'unit = 0' 'unit = 1' 'drive = null:'
	refused 1 'a value is wanted: unit' 'unit =' 'drive = null:'
	refused 1 'a unit and a drive are wanted' 'unit = 0'
	refused 1 'expected key = value' 'unit 0'
	refused 3 'not understood: policy' 'unit = 0' '# a remark' 'policy = some' 'drive = null:'
	refused 1 'not understood: ring' 'ring = 3M' 'unit = 0' 'drive = null:'
	refused '' 'min asks for more' 'unit = 0' 'drive = null:a' 'drive = null:b' \
		'policy = degrade' 'min = 3'
	printf '%s\n' 'unit = 0' 'drive = null:' > "$T/a.conf"
	says 'are in the configuration' "$bin/tape-mirror" --config "$T/a.conf" 0
}

run_cases "$@"
