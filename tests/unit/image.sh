#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# pmt image: each verb does what its page says, says what went wrong, and loses
# nothing: what is cut is kept, what exists is not overwritten, what does not fit is
# taken off again.
#
# usage: image.sh [FOLDER OF THE PROGRAMS]

top=$(cd "$(dirname "$0")/../.." && pwd)
bin=${1:-$top/build/plain}
status=0

if [ ! -x "$bin/pmt" ]; then
	echo "image.sh: no $bin/pmt"
	exit 77
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1

fail() {
	echo "image.sh: $*" >&2
	status=1
}

# expect CODE PATTERN ARGUMENT...: exit code of pmt image; what it prints matches.
expect() {
	local code=$1 pattern=$2 output result
	shift 2
	output=$(timeout 20 "$bin/pmt" image "$@" 2>&1 < /dev/null)
	result=$?
	if [ $result -ne "$code" ]; then
		fail "$*: exit $result, not $code: $output"
	elif ! grep -qE -- "$pattern" <<< "$output"; then
		fail "$*: $pattern is not in: $output"
	fi
}

same() { cmp "$@" || fail "$*: not the same"; }
files() { "$bin/pmt" image ls --json "$1" | jq -c '[.files[] | [.lbn, .records, .bytes]]'; }
poke() { printf '%b' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

seq 1 3000 > a
seq 5 9999 > b

# The command line.
expect 2 '^Usage: pmt image '
expect 0 '^Usage: pmt image ' --help
expect 2 'no command frob' frob
expect 2 'wants FILE N' extract a
expect 2 'wants FILE' ls
expect 2 'does not take that option' ls --worm a
expect 2 "unrecognized option '--frob'" ls --frob a
expect 2 "not the number of a file" extract a x
expect 2 "a number up to" append -r 17M a
expect 2 "at least one byte" append -r 0 a
expect 2 "is for --create" append --worm a
expect 1 'No such file' ls nothing
expect 1 'not a tape image' ls a
expect 1 "expected native, simh, e11, aws or het, found 'tar'" ls -f tar a

# append, ls, extract, in each format.
for name in n.tape s.tap w.aws; do
	expect 0 '2 records, 1 marks, 13893 bytes' append --create $name a
	expect 1 'exists already' append --create $name a
	expect 0 '12 records' append --record 4K $name b
	[ "$(files $name)" = '[[0,2,13893],[3,12,48880]]' ] || fail "$name: $(files $name)"
	"$bin/pmt" image extract $name 1 | same - b
	expect 0 '' extract -o "a.$name" $name 0
	same "a.$name" a
	expect 1 'File exists' extract -o "a.$name" $name 0
	expect 1 'there is no file 2' extract $name 2
	expect 0 'sound' verify $name
	seq 3 | "$bin/pmt" image append $name > /dev/null || fail "$name: standard input"
	[ "$("$bin/pmt" image extract $name 2)" = $'1\n2\n3' ] || fail "$name: file 2"
done
expect 1 'at most 16777215 bytes' append -r 16M s.tap a

# convert: the same, whatever the way.
expect 0 '15 records, 3 marks' convert n.tape t.aws
expect 0 '' convert t.aws t.tap
expect 0 '' convert -f native t.tap t.image
same t.aws w.aws
same t.tap s.tap
[ "$(files t.image)" = "$(files n.tape)" ] || fail "convert: $(files t.image)"
expect 1 'exists already' convert n.tape t.aws
expect 1 'for reading only' convert n.tape t.het
expect 1 'it is full' convert --capacity 64K n.tape full.tape
[ ! -e full.tape ] || fail 'half an image was left'

# What does not fit is taken off again.
head -c 60000 /dev/zero > z
expect 0 '' append --create --capacity 64K full.aws a
expect 1 'full.aws: it is full' append --capacity 64K full.aws z
[ "$(files full.aws)" = '[[0,2,13893]]' ] || fail "full.aws: $(files full.aws)"
# A last file without a mark gets one first.
head -c 20504 s.tap > open.tap
expect 0 '' append open.tap a
[ "$(files open.tap)" = '[[0,2,13893],[3,1,4096],[5,2,13893]]' ] ||
	fail "open.tap: $(files open.tap)"

# Torn: told, cut, kept.
for name in n.tape s.tap w.aws; do
	size=$(stat -c %s $name)
	cp $name whole
	case $name in
	n.tape) printf 'torn off' >> $name ;;
	s.tap) printf '\12\0\0\0torn' >> $name ;;
	w.aws) printf '\12\0\0\0\240\0torn' >> $name ;;
	esac
	tail -c +$((size + 1)) $name > torn
	expect 1 "$(stat -c %s torn) bytes torn" verify $name
	expect 0 "bytes cut, kept in ./$name.cut-$size" repair $name
	same "$name.cut-$size" torn
	expect 0 'sound' verify $name
	[ $name = n.tape ] || same $name whole
	expect 0 'nothing is torn' repair $name
done
# One that is kept already is not overwritten.
printf 'torn off' >> n.tape
touch "n.tape.cut-$(stat -c %s whole)" "n.tape.cut-$(($(stat -c %s n.tape) - 8))"
cp n.tape before
expect 1 'File exists' repair n.tape
same n.tape before

# Damage: refused, told, rescued into a new image, the old one untouched.
for name in s.tap w.aws; do
	cp $name bad
	poke bad 20000 '\0377\0377\0377\0377\0377\0377\0377\0377'
	poke bad 10240 '\0021\0022\0023\0024\0025\0026\0027\0030\0031'
	poke bad 10246 '\0021\0022\0023\0024\0025\0026\0027\0030\0031'
	cp bad bad.before
	format=${name#*.}
	format=${format/tap/simh}
	expect 1 'repair -o NEW' repair -f "$format" bad
	expect 1 'exists already' repair -f "$format" -o a bad
	expect 0 'left out' repair -f "$format" -o "good.$name" bad
	same bad bad.before
	expect 0 sound verify "good.$name"
	"$bin/pmt" image extract "good.$name" "$(("$(files "good.$name" | jq length)" - 1))" |
		same - <(seq 3)
done

# A record of the native format whose data are damaged.
cp t.image d.tape
poke d.tape 13000 XXXX
expect 1 '1 records damaged' verify d.tape
expect 1 'LBN 0.: damaged' extract d.tape 0
expect 1 'left out' extract --salvage d.tape 0
expect 1 'can not be read; --salvage' convert d.tape e.tape
[ ! -e e.tape ] || fail 'a copy that broke off was left'
expect 0 '14 records' convert --salvage d.tape e.tape
rm e.tape
expect 0 '1 records and 0 bytes that are none are left out' repair -o e.tape d.tape
expect 0 sound verify e.tape

# Wrong links of AWS: read, told, right in a new one.
cp w.aws links.aws
poke links.aws 2 '\0001'
poke links.aws 10248 '\0001'
expect 1 '1 other faults' verify links.aws
expect 1 'repair -o NEW' repair links.aws
expect 0 '' repair -o right.aws links.aws
same right.aws w.aws

# label
expect 0 '^label ""' label t.image
expect 0 '' convert t.image l.tape
expect 0 'bar code A00001L8' label --label 'Büro 1' --barcode A00001L8 l.tape
expect 0 'label "Büro 1"' label l.tape
expect 0 'label "Büro 1", bar code A00001L8' ls l.tape
expect 1 'capital letters' label --barcode a1 l.tape
expect 1 'up to 32 bytes' label --label 123456789012345678901234567890123 l.tape
expect 1 'has no label; convert it to native' label --label x s.tap
expect 0 '' convert l.tape l2.tape
expect 0 'label "Büro 1"' label l2.tape
expect 0 sound verify l.tape

# Written once.
expect 0 '' convert --worm l.tape once.tape
expect 0 'write once' ls once.tape
expect 1 'has its label already' label --label other once.tape
expect 0 '' append once.tape a
expect 1 'exists already' convert l.tape once.tape
expect 1 'exists already' repair -o once.tape l.tape
expect 1 'the format simh has no write-once' convert --worm l.tape once.tap
expect 0 '' append --create --worm --capacity 64K small.tape a
before=$(files small.tape)
expect 1 'stay on the tape, from LBN 3 on: it is write-once' append small.tape z
[[ $(files small.tape) = "${before%]}"* ]] || fail "small.tape: $(files small.tape)"

cp once.tape once.before
for spec in image:once.tape 'limit?capacity=1G|image:once.tape'; do
	"$bin/pmt" copy --overwrite image:l.tape "$spec" > said 2>&1 &&
		fail "pmt copy --overwrite has written: $(cat said)"
	grep -q 'the tape is write-once, and data is there' said || fail "$spec: $(cat said)"
done
same <(files once.tape) <(files once.before)

# Names that mean something in a specification, and one that is in use.
expect 0 '' append --create 'a,b?c=%d (1)|2\.tape' a
expect 0 '13893' ls 'a,b?c=%d (1)|2\.tape'
exec 9< n.tape
flock -x 9
expect 1 'in use by another process' append n.tape a
exec 9<&-
exit $status
