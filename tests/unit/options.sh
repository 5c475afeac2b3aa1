#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The options that --help shows are those of the manual page, both ways, and so
# are the exit codes; every help text fits a terminal of 24 lines and 80 columns.
#
# usage: options.sh [FOLDER OF THE PROGRAMS]

top=$(cd "$(dirname "$0")/../.." && pwd)
bin=${1:-$top/build/plain}
status=0

fail() {
	echo "options.sh: $*" >&2
	status=1
}

# Help texts of a program, its verbs' too; each is measured on the way.
helps() {
	local text name
	for name in "" $2; do
		text=$("$bin/$1" ${name:+"$name"} --help) || fail "$1 $name --help fails"
		[ "$(wc -l <<< "$text")" -le 24 ] ||
			fail "$1 $name --help is longer than 24 lines"
		[ "$(wc -L <<< "$text")" -le 80 ] ||
			fail "$1 $name --help is wider than 80 columns"
		printf '%s\n' "$text"
	done
}

of_help() {
	grep -E '^ +-' | grep -oE '(^|[ ,])--?[a-zA-Z][a-z-]*' | tr -d ' ,' | sort -u
}

# "Fl abc" is -a, -b and -c.
of_page() {
	local page=$top/man/$1
	{
		grep -oE '\bFl -[a-z-]+' "$page" | sed 's/^Fl -/--/'
		grep -oE '\bFl [a-zA-Z]+' "$page" | sed 's/^Fl //' | grep -o . | sed 's/^/-/'
	} | sort -u
}

exits_of_help() { tr '\n' ' ' | grep -oE 'Exit: .*' | grep -oE '\b[0-9]\b'; }

exits_of_page() { sed -nE '/^\.Sh EXIT STATUS/,/^\.El/s/^\.It ([0-9])$/\1/p' "$top/man/$1"; }

# check_exits PROGRAM PAGE < HELP
check_exits() {
	local told paged
	told=$(exits_of_help) paged=$(exits_of_page "$2")
	[ -n "$told" ] || fail "$1 --help shows no exit codes"
	[ "$told" = "$paged" ] || fail "$1: exit codes of --help: ${told//$'\n'/ }, of its page: ${paged//$'\n'/ }"
}

# check PROGRAM VERBS PAGE
check() {
	local program=$1 verbs=$2 page=$3 texts difference
	if [ ! -x "$bin/$program" ]; then
		echo "options.sh: no $bin/$program"
		exit 77
	fi
	texts=$(mktemp)
	# shellcheck disable=SC2064 # the name is known now
	trap "rm -f $texts" EXIT
	helps "$program" "$verbs" > "$texts"
	[ -n "$(of_help < "$texts")" ] || fail "$program --help shows no options"
	difference=$(diff <(of_help < "$texts") <(of_page "$page")) ||
		fail "$program: --help (<) and its page (>) differ:"$'\n'"$difference"
	check_exits "$program" "$page" <<< "$("$bin/$program" --help)"
}

verbs=$("$bin/pmt" --help 2>/dev/null | sed -nE 's/^  ([a-z]+) .*/\1/p')
own=$(grep -vx image <<< "$verbs")
check pmt "$own" pmt.8
# The rest of its command line is a page of its own.
image=$("$bin/pmt" image --help)
[ "$(wc -l <<< "$image")" -le 24 ] || fail "pmt image --help is longer than 24 lines"
[ "$(wc -L <<< "$image")" -le 80 ] || fail "pmt image --help is wider than 80 columns"
difference=$(diff <(of_help <<< "$image") <(of_page pmt-image.1)) ||
	fail "pmt image: --help (<) and its page (>) differ:"$'\n'"$difference"
check_exits "pmt image" pmt-image.1 <<< "$image"
while read -r verb; do
	grep -q "^\.It Cm $verb\$" "$top/man/pmt-image.1" ||
		fail "pmt image $verb is not in the page"
done < <(sed -nE 's/.* pmt image ([a-z]+) .*/\1/p' <<< "$image")
for verb in $verbs; do
	grep -qE "^\.It .*(Ic|Cm) $verb( |$)" "$top/man/pmt.8" ||
		fail "pmt $verb is not in the page"
done
check tape-mirror "" tape-mirror.8
check rmt-forwarder "" rmt-forwarder.8
check pmt-rmt "" pmt-rmt.8
exit $status
