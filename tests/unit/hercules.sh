#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Tapes of Hercules, both ways: what its programs make is read here, what is written
# here they map, copy, compress and read; a byte is as they would have written it.
#
# usage: hercules.sh [FOLDER OF THE PROGRAMS]

top=$(cd "$(dirname "$0")/../.." && pwd)
pmt=${1:-$top/build/plain}/pmt
status=0

for program in "$pmt" hetinit hetupd hetmap hetget tapemap tapesplt; do
	if ! command -v "$program" > /dev/null; then
		echo "hercules.sh: no $program"
		exit 77
	fi
done
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1

fail() {
	echo "hercules.sh: $*" >&2
	status=1
}

# quietly PROGRAM ...: its words only where it fails
quietly() {
	"$@" > said 2>&1 || fail "$*: $(cat said)"
}

listed() { "$pmt" image ls --each "$1" | tail -n +3 | awk '{ print $4 }' | tr '\n' ' '; }
is_format() {
	"$pmt" image ls --json "$1" | grep -q "\"format\":\"$2\"" || fail "$1 is not $2"
}

# A tape with labels, compressed and not; one with nothing but two marks.
quietly hetinit labels.het VOL001 OWNER
quietly hetinit -d labels.aws VOL001 OWNER
quietly hetinit -n blank.het
is_format labels.het het
is_format labels.aws aws
for name in labels.het labels.aws; do
	[ "$(listed $name)" = "80 80 mark " ] || fail "$name: $(listed $name)"
	"$pmt" image extract $name 0 | dd conv=ascii status=none | grep -q '^VOL1VOL001' ||
		fail "$name: no label"
done
[ "$(listed blank.het)" = "mark mark " ] || fail "blank.het: $(listed blank.het)"

# A tape of ours: records of one chunk, one that no length of a chunk can say, odd.
seq 1 40000 > data
head -c 200000 data > large
quietly "$pmt" image append --create -r 32760 own.aws data
quietly "$pmt" image append -r 100000 own.aws large
quietly "$pmt" image append -r 3 own.aws <(printf abcdefg)
is_format own.aws aws
mapped=$(tapemap own.aws 2>&1 | sed -n 's/^File //p')
[ "$mapped" = "1: Blocks=7, block size min=32334, max=32760
2: Blocks=4, block size min=34465, max=65535
3: Blocks=3, block size min=1, max=3" ] || fail "tapemap: $mapped"
quietly hetget -n own.aws data.got 1 U 0 32760
cmp data data.got || fail "hetget: other data"

# hetupd writes each byte as we do; it knows no records over 64K, so without those.
quietly "$pmt" image append --create -r 32760 small.aws data
quietly "$pmt" image append -r 3 small.aws <(printf abcdefg)
quietly hetupd -d -r -c 65535 small.aws same.aws
# It leaves out nothing and adds nothing but the two marks of an end.
cmp -n "$(stat -c %s small.aws)" small.aws same.aws || fail "hetupd: other bytes"
quietly hetupd -s small.aws strict.aws
quietly hetupd -z -9 small.aws zlib.het
quietly hetupd -b -c 4096 small.aws bzip2.het
is_format zlib.het het
is_format bzip2.het het
is_format strict.aws aws
for name in strict.aws zlib.het bzip2.het; do
	quietly "$pmt" image verify $name
	"$pmt" image extract $name 0 | cmp - data || fail "$name: other data"
	[ "$("$pmt" image extract $name 1)" = abcdefg ] || fail "$name: file 1"
	quietly "$pmt" image convert $name again.aws
	cmp -n "$(stat -c %s small.aws)" small.aws again.aws || fail "$name: other records"
	rm again.aws
	echo more | "$pmt" image append $name > said 2>&1 && [ $name != strict.aws ] &&
		fail "$name: written"
done

# What we write behind its tape, its programs read.
quietly "$pmt" image append -r 32760 labels.aws data
hetmap -f labels.aws 2> /dev/null | grep -q 'Uncompressed bytes *: 228894' ||
	fail "hetmap: $(hetmap -f labels.aws 2>&1)"

# A part of a tape.
quietly tapesplt small.aws one 1 two 1
[ "$("$pmt" image extract -f aws two 0)" = abcdefg ] || fail "tapesplt: $(listed two)"
exit $status
