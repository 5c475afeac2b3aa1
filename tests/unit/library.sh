#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What is installed for others: the library exports what its header declares, a program
# is built from the installed files alone, and bash completes what pmt has.
#
# usage: library.sh [CASE...]

set -u

top=$(cd "$(dirname "$0")/../.." && pwd)
bin=$top/build/plain
for file in "$bin/pmt" "$bin/libpmt.so" "$bin/examples/memory"; do
	[ -e "$file" ] || { echo "library.sh: no $file"; exit 77; }
done
# shellcheck source=cases
. "$top/tests/unit/cases"
PATH=$bin:$PATH

declared() {
	gcc -E -P -I"$top/kmod/uapi" -I"$top/lib" "$top/lib/pmt.h" | tr '\n' ' ' |
		grep -oE '\bpmt_[a-z_0-9]+ ?\(' | tr -d ' (' | sort -u
}

exported() {
	nm -D --defined-only "$bin/libpmt.so" | sed -nE 's/.* T ([^@]*).*/\1/p' | sort -u
}

case_exports() {
	declared > "$T/declared"
	exported > "$T/exported"
	[ "$(wc -l < "$T/declared")" -gt 50 ] || fail "nothing is declared"
	diff "$T/declared" "$T/exported" || fail "declared (<) and exported (>) differ"
}

# By its name or by that of its part.
case_page() {
	local name
	grep -oE 'Fn pmt_[a-z_]+\*?' "$top/man/libpmt.3" | sed 's/^Fn //; s/\*$/.*/' > "$T/named"
	exported | grep -vxEf "$T/named" > "$T/left" || return 0
	fail "not in the page: $(tr '\n' ' ' < "$T/left")"
}

# It is linked with the library by its name, and says what is wrong.
case_example() {
	readelf -d "$bin/examples/memory" > "$T/needed"
	grep -q 'NEEDED.*libpmt\.so\.0' "$T/needed" || fail "not by its soname"
	export LD_LIBRARY_PATH=$bin/stage/opt/lib
	says 'memory: Invalid argument' "$bin/examples/memory"
	[ -e /sys/module/pmts ] || says 'memory: No such' "$bin/examples/memory" 0
}

case_pkg_config() {
	export PKG_CONFIG_LIBDIR=$bin/stage/opt/lib/pkgconfig
	says "^-I/opt/include -L/opt/lib -lpmt *$" pkg-config --cflags --libs libpmt
	is "pmt $(pkg-config --modversion libpmt)" "$(pmt --version)"
	# What a static program needs besides.
	says '-ljson-c.* -lbz2' pkg-config --static --libs libpmt
}

# completes WANTED WORD...: the last word may become these
completes() {
	local wanted=$1
	shift
	COMP_WORDS=(pmt "$@")
	COMP_CWORD=$#
	_pmt pmt "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
	is "${COMPREPLY[*]}" "$wanted" "$*"
}

case_completion() {
	# shellcheck source=../../tools/completion
	. "$top/tools/completion"
	completes 'verify' ver
	completes 'watch' wa
	completes 'top' to
	completes '--batch --count --delay --help --json' top -
	completes '--recovery --ring' new --r
	completes '--json' list --j
	completes '--eot --help --recovery' set -
	completes 'st' new --eot s
	completes 'image:' copy im
	: > "$T/tape"
	completes "$T/tape" map image : "$T/ta"
	completes 'image:' rejoin 0 2 im
	completes 'image:' rejoin --json 0 2 im
	completes "$T/tape" rejoin 0 2 image : "$T/ta"
	completes '' rejoin 0 i
	completes "$T/tape" image ls "$T/ta"
}

run_cases "$@"
