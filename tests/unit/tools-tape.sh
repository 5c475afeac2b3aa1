#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# pmt copy, verify and map on images, with no module loaded.  What is on an image is
# told by dumpimg, which shares no code with the library.
#
# usage: tools-tape.sh [CASE...]

set -u

top=$(cd "$(dirname "$0")/../.." && pwd)
bin=$top/build/plain
pmt=$bin/pmt
dumpimg=$bin/tests/system/dumpimg
for program in "$pmt" "$bin/pmt-rmt" "$dumpimg"; do
	[ -x "$program" ] || { echo "tools-tape.sh: no $program"; exit 77; }
done
# shellcheck source=cases
. "$top/tests/unit/cases"

# gives CODE PATTERN COMMAND...: exit code; what it prints matches.
gives() {
	local text status
	text=$("${@:3}" 2>&1 < /dev/null)
	status=$?
	[ $status = "$1" ] || fail "status $status and not $1: ${*:3}: $text"
	grep -qE -- "$2" <<< "$text" || fail "$2 is not in what ${*:3} says: $text"
}

# word N: 32 bits, low byte first
word() {
	# shellcheck disable=SC2059 # made here
	printf "$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) \
		$(($1 >> 16 & 255)) $(($1 >> 24 & 255)))"
}

# simh LENGTH|m...: an image of such records, by the book
simh() {
	local length n=0
	for length in "$@"; do
		n=$((n + 1))
		if [ "$length" = m ]; then
			word 0
			continue
		fi
		word "$length"
		yes "record $n of $# " | tr -d '\n' | head -c "$length"
		[ $((length % 2)) = 0 ] || printf '\0'
		word "$length"
	done
}

# flip FILE OFFSET
flip() {
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1")
	# shellcheck disable=SC2059 # made here
	printf "$(printf '\\x%02x' $((byte ^ 1)))" |
		dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

same() { ok diff <("$dumpimg" "$1") <("$dumpimg" "$2"); }

# An archive that tar has written through pmt-rmt, to SIMH, byte for byte by the book.
case_tar_to_simh() {
	cat > rsh <<-END
		#!/bin/sh
		shift
		[ "\$1" != -l ] || shift 2
		exec sh -c "\$*"
	END
	chmod 755 rsh
	printf '%s\n' "state = $PWD" '[t]' "drive = image:$PWD/t.tape?capacity=20M" > rmt.conf
	if [ "$(id -u)" = 0 ]; then
		ok tar --rsh-command="$PWD/rsh" --rmt-command="$bin/pmt-rmt --config $PWD/rmt.conf" \
			-cf localhost:nt -C "$top" lib man
	else
		# tar gives its remote shell to root alone
		ok tar -cf t.tar -C "$top" lib man
		printf 'Ont\n1\n' > requests
		printf 'W%s\n' "$(stat -c %s t.tar)" | cat - t.tar >> requests
		printf 'C\n' >> requests
		ok "$bin/pmt-rmt" --config rmt.conf < requests > replies
	fi
	ok "$pmt" copy image:t.tape 'image:t.tap?create=yes&format=simh' > said
	gives 0 '^the same$' "$pmt" verify image:t.tape image:t.tap
	same t.tape t.tap
	is "$("$pmt" verify image:t.tap | grep -o 'CRC-32C .*')" "$(grep -o 'CRC-32C .*' said)"
	# The records alone are the archive.
	ok "$pmt" map --json image:t.tap > map.json
	ok grep -q '"damaged":0,.*"mark":true' map.json
	flip t.tap 100000
	gives 1 'first difference is of data: byte [0-9]+ is [0-9a-f]{2}, and [0-9a-f]{2}' \
		"$pmt" verify image:t.tape image:t.tap
	gives 1 'image:t.tap: at file 0 block [0-9]+ \(LBN [0-9]+\) a record of [0-9]+ bytes' \
		"$pmt" verify image:t.tape image:t.tap
}

# The byte, the block and the LBN are those that the book gives.
case_first_difference() {
	simh 100 m 301 301 301 m m > a.tap
	cp a.tap b.tap
	# 108 and 4 before file 1, two frames of 310 less a byte, its length word
	flip b.tap $((108 + 4 + 310 + 4 + 17))
	gives 1 'data: byte 17 is' "$pmt" verify image:a.tap image:b.tap
	gives 1 'image:a.tap: at file 1 block 1 \(LBN 3\) a record of 301 bytes' \
		"$pmt" verify image:a.tap image:b.tap
	gives 1 'image:b.tap: at file 1 block 1 \(LBN 3\) a record of 301 bytes' \
		"$pmt" verify image:a.tap image:b.tap
	gives 1 '"kind":"data","offset":17,' "$pmt" verify --json image:a.tap image:b.tap
	simh 100 m 301 300 301 m m > b.tap
	gives 1 'of length' "$pmt" verify image:a.tap image:b.tap
	simh 100 m 301 m 301 m m > b.tap
	gives 1 'of record and mark' "$pmt" verify image:a.tap image:b.tap
	simh 100 m 301 301 301 m > b.tap
	gives 1 'of data' "$pmt" verify image:a.tap image:b.tap
	simh 100 m 301 301 301 m m m > b.tap
	gives 0 '^the same' "$pmt" verify --to 0 image:a.tap image:a.tap
}

case_sum_is_that_of_the_book() {
	printf 'abc' > abc
	{ word 3; cat abc; printf '\0'; word 3; word 0; } > a.tap
	# CRC-32C of 03 00 00 00 61 62 63 00 00 00 00
	gives 0 '1 record, 1 mark, 3 bytes, CRC-32C [0-9a-f]{8}$' "$pmt" verify image:a.tap
	ok "$pmt" copy image:a.tap 'image:a.tape?create=yes' > said
	is "$("$pmt" verify image:a.tape | grep -o 'CRC.*')" "$(grep -o 'CRC.*' said)"
}

# Damage in a native image is found, placed, left out on demand; the rest is copied.
case_damage() {
	simh 1000 1000 m 1000 1000 1000 m > a.tap
	ok "$pmt" copy image:a.tap 'image:a.tape?create=yes' > /dev/null
	# The log begins at 12288; 64 before each record, and a mark of 64
	flip a.tape $((12288 + 2 * 1064 + 64 + 1064 + 64 + 500))
	gives 1 'damaged at file 1 block 1 \(LBN 4\) \(sense key 3, 11/00\)' \
		"$pmt" verify image:a.tape
	gives 1 'a.tape: read at block 4: ' "$pmt" verify image:a.tape
	gives 1 'the same, where they can be read' "$pmt" verify image:a.tap image:a.tape
	gives 1 ' 1 +3 +2 +2000 +1000 .*1 damaged' "$pmt" map image:a.tape
	gives 1 '"damage":\[\{"volume":0.*"lbn":4,"file":1,"block":1' "$pmt" map --json image:a.tape
	gives 1 'rest: the same with --from @5 --append' "$pmt" copy image:a.tape \
		'image:b.tape?create=yes'
	ok "$pmt" copy --from @5 --append image:a.tape image:b.tape > /dev/null
	gives 1 'copied: 4 records, 2 marks, 4000 bytes, 1 damaged' "$pmt" copy --skip-damaged \
		image:a.tape 'image:c.tape?create=yes'
	same b.tape c.tape
}

# Following what the messages say puts all of it on tapes that are too small.
case_full_target() {
	local from=0 n=0 said
	# shellcheck disable=SC2046 # several words
	simh $(for i in 1 2 3 4 5 6 7 8 9; do
		printf '20000 %.0s' $(seq 1 $((i % 4 + 1)))
		echo m
	done) > a.tap
	while [ -n "$from" ] && [ $n -lt 9 ]; do
		said=$("$pmt" copy --from "$from" image:a.tap \
			"image:p$n.tape?capacity=128K&ew=8K" 2>&1)
		from=$(sed -n 's/.*the same with --from \([0-9]*\), on another.*/\1/p' <<< "$said")
		n=$((n + 1))
	done
	[ $n -gt 3 ] || fail "only $n tapes: $said"
	# Every one ends with a filemark, and together they are the tape.
	for ((i = 0; i < n; i++)); do
		"$dumpimg" "p$i.tape" > "p$i.txt"
		is "$(tail -n 1 "p$i.txt" | grep -c mark)" 1 "the end of tape $i"
		"$pmt" copy --append "image:p$i.tape" 'image:all.tape?create=yes' > /dev/null ||
			fail "tape $i"
	done
	gives 0 '^the same' "$pmt" verify image:a.tap image:all.tape
	gives 1 'larger tapes, or --spread' "$pmt" copy --from 2 image:a.tap \
		'image:tiny.tape?capacity=64K&ew=4K'
	gives 0 'volumes; copied: ' "$pmt" copy --spread image:a.tap \
		'image:s%d.tape?capacity=128K&ew=8K'
	gives 0 '^the same' "$pmt" verify --volumes image:a.tap 'image:s%d.tape'
}

case_not_empty() {
	simh 50 m > a.tap
	simh 70 m > b.tap
	cp b.tap kept.tap
	gives 1 'not empty; nothing was written' "$pmt" copy image:a.tap image:b.tap
	ok cmp b.tap kept.tap
	gives 0 'copied: 1 record, 1 mark' "$pmt" copy --overwrite image:a.tap image:b.tap
	ok cmp b.tap a.tap
	gives 1 'in use by another' "$pmt" copy image:a.tap image:a.tap
	gives 1 'write protected' "$pmt" copy image:a.tap 'image:b.tap?readonly=yes'
}

# Two copies at once, and both are compared with the source.
case_several_targets() {
	simh 50 60 m m 70 m > a.tap
	gives 0 'copied: 3 records, 3 marks' "$pmt" copy image:a.tap 'image:b.tape?create=yes' \
		'image:c.tap?create=yes&format=simh'
	gives 0 '^the same' "$pmt" verify image:a.tap image:b.tape image:c.tap
	ok cmp a.tap c.tap
	gives 0 '"records":1,"marks":1,.*"complete":true,"next":\{.*"lbn":6,.*"taken_off":0\}$' \
		"$pmt" copy --json --overwrite --from 2 image:a.tap image:b.tape image:c.tap
	gives 0 '"good":true,"complete":true,' "$pmt" verify --json image:b.tape image:c.tap
}

# To another host and back, with many records on the wire; the end of that tape, too.
case_remote() {
	local remote
	printf '%s\n' "state = $PWD" '[t]' "drive = image:$PWD/t.tape?capacity=400K&ew=50K" \
		> rmt.conf
	remote="rmt:here:nt?command=$bin/pmt-rmt\\ --config\\ $PWD/rmt.conf"
	# shellcheck disable=SC2046 # several words
	simh $(seq 100 200) m $(seq 300 320) m m 7777 m > a.tap
	gives 0 'copied: 123 records, 4 marks' "$pmt" copy image:a.tap "$remote"
	gives 0 '^the same' "$pmt" verify image:a.tap "$remote"
	gives 0 '^the same' "$pmt" verify image:a.tap image:t.tape
	gives 0 'copied: 123 records, 4 marks' "$pmt" copy "$remote" \
		'image:b.tap?create=yes&format=simh'
	ok cmp a.tap b.tap
	# shellcheck disable=SC2046 # several words
	simh $(yes 20000 | head -n 10) m $(yes 20000 | head -n 10) m > long.tap
	gives 1 'the same with --from 1, on another tape' "$pmt" copy --overwrite image:long.tap \
		"$remote"
	gives 0 '^the same' "$pmt" verify --to 0 image:long.tap image:t.tape
}

# A signal ends it behind a record; what it says goes on to the end.
case_interrupted() {
	local pid from source='null:?records=2000&size=100'
	"$pmt" copy "delay?op=read&ms=10|$source" 'image:b.tape?create=yes' > said 2>&1 \
		< /dev/null &
	pid=$!
	for ((i = 0; i < 500 && $(stat -c %s b.tape 2> /dev/null || echo 0) < 15000; i++)); do
		sleep 0.02
	done
	kill -INT $pid
	wait $pid
	is $? 1 "status"
	ok grep -q 'stopped at file 0 block [0-9]* (LBN [0-9]*)' said
	is "$("$dumpimg" b.tape | wc -l)" "$(sed -n 's/copied: \([0-9]*\) record.*/\1/p' said)" \
		"what is there"
	from=$(sed -n 's/.*the same with --from \(@[0-9]*\) --append/\1/p' said)
	ok "$pmt" copy --from "$from" --append "$source" image:b.tape > /dev/null
	gives 0 '^the same' "$pmt" verify "$source" image:b.tape
}

# A bar on a terminal, and nothing of it elsewhere.
case_bar() {
	# shellcheck disable=SC2046 # several words
	simh $(yes 5000 | head -n 100) m > a.tap
	"$pmt" verify 'delay?op=read&ms=3|image:a.tap' > said 2>&1 < /dev/null
	is "$(tr -dc '\r\033' < said | wc -c)" 0 "in a pipe"
	TERM=xterm script -qec "$pmt verify 'delay?op=read&ms=20|image:a.tap'" typescript \
		> /dev/null < /dev/null
	ok grep -qaE $'\rverify \\[#+\\.+\\] +[0-9]+%  file 0  [0-9.]+[KM]  [0-9.]+[KM]/s' typescript
	ok grep -qaE '[KM]/s  0:0[0-9] left' typescript
	# An image without a drive: as many records as take a while.
	head -c 1000000 /dev/zero | ok "$pmt" image append --create -r 1 many.tape > /dev/null
	ok "$pmt" image verify many.tape > said 2>&1 < /dev/null
	is "$(tr -dc '\r\033' < said | wc -c)" 0 "of an image, in a pipe"
	TERM=xterm script -qec "$pmt image verify many.tape" typescript > /dev/null < /dev/null
	ok grep -qaE $'\rverify \\[#+\\.+\\] +[0-9]+%  file 0  [0-9.]+K' typescript
	ok grep -qa 'sound' typescript
}

# stop_it PID: from when it has a handler for that
stop_it() {
	local caught=0
	until ((0x$caught & 0x4000)); do
		caught=$(sed -n 's/^SigCgt:\t//p' "/proc/$1/status") || fail "it has ended"
	done
	kill -TERM "$1"
}

# A signal ends it with the next record: nothing is said of what was not read.
case_image_stopped() {
	head -c 3000000 /dev/zero | ok "$pmt" image append --create -r 1 many.tape > /dev/null
	"$pmt" image verify many.tape > said 2>&1 &
	stop_it $!
	wait $! && fail "it succeeds: $(cat said)"
	ok grep -q 'many.tape: stopped' said
	! grep -q ': sound' said || fail "$(cat said)"
	"$pmt" image convert many.tape new.tape > said 2>&1 &
	stop_it $!
	wait $! && fail "it succeeds: $(cat said)"
	ok grep -q 'new.tape: not made' said
	[ ! -e new.tape ] || fail "new.tape stays"
}

case_map() {
	# shellcheck disable=SC2046 # several words
	simh 80 m $(yes 512 | head -n 20) 1024 m m m m m m 100 > 'a <&> b.tap'
	"$pmt" map --svg a.svg 'image:a\ <&>\ b.tap' > said || fail "map: $(cat said)"
	ok grep -qE '^ +0 +0 +1 +80 +80 *$' said
	ok grep -qE '^ +1 +2 +21 +11264 +512-1024 *$' said
	ok grep -qE '^ +2 +24  to file 6: nothing but 5 filemarks$' said
	ok grep -qE '^ +7 +29 +1 +100 +100 +no filemark behind it$' said
	is "$(grep -c "class='mark'/>" a.svg)" 4 "marks in the picture, and one in its legend"
	ok grep -q 'a\\ &#60;&#38;&#62;\\ b.tap</title>' a.svg
	is "$(tail -n 1 a.svg)" "</svg>"
	gives 1 'nowhere/a.svg: the picture could not be written: No such file' \
		"$pmt" map --svg nowhere/a.svg null:
	# An empty tape has a map, too.
	: > e.tap
	ok "$pmt" map --svg e.svg image:e.tap > said
	ok grep -q '0 records, 0 marks, 0 bytes, CRC-32C 00000000' said
	ok grep -q 'end of data' e.svg
}

before_case() { cd "$T" || exit 1; }

run_cases "$@"
