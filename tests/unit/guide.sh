#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# docs/guide.md: each verb and option that it names exists, and the blocks that need no
# module, marked "here", are run, with other folders than theirs.  Those marked "run" are
# by tests/packages.
#
# usage: guide.sh [CASE...]
#	 guide.sh --block NAME		print a block

set -u

top=$(cd "$(dirname "$0")/../.." && pwd)
bin=$top/build/plain
guide=$top/docs/guide.md

# block NAME: the lines behind its mark
block() {
	awk -v name="$1" '$1 == "<!--" && ($2 == "run" || $2 == "here") { on = $3 == name; next }
		on && /^    / { print substr($0, 5); some = 1; next }
		on && some && !/^$/ { exit }
		on && some { exit }' "$guide" | grep .
}

if [ "${1:-}" = --block ]; then
	block "$2"
	exit
fi
[ -x "$bin/pmt" ] || { echo "guide.sh: no $bin/pmt"; exit 77; }
# shellcheck source=cases
. "$top/tests/unit/cases"

# commands PROGRAM: what the guide says behind its name
commands() {
	grep -oE "(^|[ \`(])$1 [^\`]*" "$guide" | sed -E "s/^.?$1 //"
}

has_verbs() {
	local verb verbs
	verbs=$("$bin/pmt" --help | sed -nE 's/^  ([a-z]+) .*/\1/p')
	commands pmt | grep -oE '^[a-z]+( |$)' | tr -d ' ' | sort -u > "$T/verbs"
	[ "$(wc -l < "$T/verbs")" -ge 5 ] || fail "few verbs: $(cat "$T/verbs")"
	while read -r verb; do
		grep -qx "$verb" <<< "$verbs" || fail "no verb: pmt $verb"
	done < "$T/verbs"
}

case_words() {
	local program verb option
	has_verbs
	for verb in copy verify map status abort; do
		commands "pmt $verb" | grep -oE -- '--[a-z-]+' | sort -u > "$T/options"
		while read -r option; do
			"$bin/pmt" "$verb" --help | grep -q -- " $option\b" ||
				fail "pmt $verb has no $option"
		done < "$T/options"
	done
	for program in tape-mirror rmt-forwarder; do
		commands $program | grep -oE -- '--[a-z-]+' | sort -u > "$T/options"
		while read -r option; do
			"$bin/$program" --help | grep -q -- " $option\b" ||
				fail "$program has no $option"
		done < "$T/options"
	done
}

# here NAME: that block, of sh -e, with the folders in $T
here() {
	block "$1" | sed "s,/vault/,$T/vault/,g; s,/etc/pmt/,$T/vault/,g" > "$T/block"
	[ -s "$T/block" ] || fail "no block $1"
	PATH=$bin:$PATH sh -eux "$T/block" || fail "status $? of block $1"
}

old_tape() {
	mkdir "$T/vault"
	head -c 200000 "$bin/pmt" > "$T/data"
	ok "$bin/pmt" image append --create "$T/vault/old.tape" "$T/data" 2> /dev/null ||
		ok "$bin/pmt" copy 'null:?records=20' "image:$T/vault/old.tape?create=yes"
}

case_files() {
	old_tape
	here files
	ok grep -q '<svg' "$T/vault/new.svg"
}

case_keys() {
	command -v openssl > /dev/null || skip "no openssl"
	old_tape
	here keys
	is "$(stat -c %a "$T/vault/keys")" 600 "mode of the keys"
	ok "$bin/pmt" verify "image:$T/vault/old.tape" \
		"zstd|aead?key=file:$T/vault/keys|image:$T/vault/secret.tape"
}

run_cases "$@"
