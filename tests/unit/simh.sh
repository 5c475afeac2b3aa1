#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Tapes of SIMH's PDP-11 and its TM11, both ways: what its processor writes is read
# here byte for byte, what is written here its processor reads, also in E11's format;
# and its mtdump sees the same.
#
# usage: simh.sh [FOLDER OF THE PROGRAMS]

top=$(cd "$(dirname "$0")/../.." && pwd)
pmt=${1:-$top/build/plain}/pmt
status=0

for program in "$pmt" pdp11 mtdump; do
	if ! command -v "$program" > /dev/null; then
		echo "simh.sh: no $program"
		exit 77
	fi
done
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1

fail() {
	echo "simh.sh: $*" >&2
	status=1
}

# A program at 1000: byte count, address and command to the TM11; wait; halt.
driver() {
	local word at=512
	for word in 012737 000000 172524 012737 002000 172526 012737 000000 172522 \
		105737 172522 100375 000000; do
		printf 'deposit %o %s\n' $at $word
		at=$((at + 2))
	done
}

# order COMMAND COUNT: 5 write, 7 filemark, 3 read, 17 rewind
order() {
	printf 'deposit 1016 %06o\ndeposit 1002 %06o\nrun 1000\n' $((060000 | 0$1)) \
		$((-$2 & 65535))
}

# text at 2000
memory() {
	local i text=$1 a b
	for ((i = 0; i < ${#text}; i += 2)); do
		printf -v a %d "'${text:i:1}"
		printf -v b %d "'${text:i+1:1}"
		[ $((i + 1)) -lt ${#text} ] || b=0
		printf 'deposit %o %06o\n' $((1024 + i)) $((a | b << 8))
	done
}

# pdp FORMAT FILE < what it does: attached, run, detached
pdp() {
	{
		echo "set tm0 format=$1"
		echo "attach tm0 $2"
		driver
		cat
		echo 'detach tm0'
		echo quit
	} > script
	pdp11 script < /dev/null > log 2>&1
	if grep -qiE 'error|can.t|non-existent|invalid' log; then
		fail "the PDP-11 complains: $(cat log)"
	fi
}

# The byte behind an odd record is what the buffer has there: nothing yet.
write_some() {
	memory abcdefgh
	order 5 1
	order 5 3
	order 7 0
	order 5 4
	order 5 8
	order 7 0
	order 7 0
}

# Read a record of so many bytes into cleared memory, and show it.
read_one() {
	printf 'deposit 2000-2010 0\n'
	order 3 "$1"
	printf 'examine 2000-2006\nexamine tm mtbrc\n'
}

objects=$(printf '%s\n' 1 3 mark 4 8 mark mark)
for format in simh e11; do
	write_some | pdp $format sim.$format
	listed=$("$pmt" image ls --each sim.$format | tail -n +3 | awk '{ print $4 }')
	[ "$listed" = "$objects" ] || fail "$format: seen is $listed"
	"$pmt" image ls --json sim.$format | grep -q "\"format\":\"$format\"" ||
		fail "$format is not recognised"
	[ "$("$pmt" image extract sim.$format 0)" = aabc ] || fail "$format: file 0"
	[ "$("$pmt" image extract sim.$format 1)" = abcdabcdefgh ] || fail "$format: file 1"
	"$pmt" image verify sim.$format > /dev/null || fail "$format: not sound"

	# The same bytes, by way of another format.
	"$pmt" image convert sim.$format $format.tape > /dev/null
	"$pmt" image convert -f $format $format.tape own.$format > /dev/null
	cmp sim.$format own.$format || fail "$format: other bytes"

	# Behind it, where the PDP-11 goes on; it reads both.
	printf 'pqrst' | "$pmt" image append -r 5 own.$format > /dev/null
	{
		for size in 1 3 8 4 8 8 8 5; do
			read_one $size
		done
	} | pdp $format own.$format
	grep -E '^2000:|^2002:|^2004:' log | awk '{ print $2 }' | tail -n 3 > words
	[ "$(tr '\n' ' ' < words)" = "070560 071562 000164 " ] ||
		fail "$format: the PDP-11 reads $(cat words)"
done

# Lengths and marks as its own program sees them; two marks end what it shows.
dumped=$(mtdump own.simh | sed -nE \
	's/.*record [0-9]+, length = ([0-9]+) .*/\1/p; s/.*end of tape file .*/mark/p')
[ "$dumped" = "$(head -n 6 <<< "$objects")" ] || fail "mtdump: $dumped"
exit $status
