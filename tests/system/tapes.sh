#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# pmt copy, verify and map with real drives, which are the oracle's under the kernel's
# own st: no unit is made.  What is on a tape is read by st, with no pmt between.

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/oracle"

LIMIT=200

# files NODE COUNT RECORDS SIZE: so many files, of records by dd, through st
files() {
	local i
	ok mt -f "$1" rewind
	for ((i = 0; i < $2; i++)); do
		head -c $(($3 * $4)) /dev/urandom > "$T/file.$i"
		ok dd if="$T/file.$i" of="$1" bs="$4" status=none
	done
	ok mt -f "$1" rewind
}

# has NODE FIRST COUNT SIZE: these files, in this order from the beginning
has() {
	local i
	ok mt -f "$1" rewind
	for ((i = $2; i < $2 + $3; i++)); do
		ok dd if="$1" bs="$4" status=none of="$T/read"
		cmp "$T/read" "$T/file.$i" || fail "file $i of $1"
	done
}

# Both ways, and what st reads then is what st wrote.
case_drive_to_image_and_back() {
	drives 8000000 1000000 8000000 1000000
	files "$A" 3 20 10240
	ok mt -f "$A" eod
	# Records of other sizes, and one that is longer than what is read at first.
	ok dd if=/dev/zero of="$A" bs=333 count=7 status=none
	ok dd if=/dev/urandom of="$A" bs=700000 count=1 status=none
	says 'copied: 68 records, 5 marks, 1316731 bytes' pmt copy "st:$A" "image:$T/a.tape?create=yes"
	says '^(.*[^a-z])?the same$' pmt verify "st:$A" "image:$T/a.tape"
	says 'copied: 68 records' pmt copy "image:$T/a.tape" "st:$B" "image:$T/b.tap?create=yes&format=simh"
	says 'the same' pmt verify "image:$T/b.tap" "st:$B" "st:$A"
	has "$B" 0 3 10240
	pmt map --json "st:$B" > "$T/map"
	like "$(cat "$T/map")" '"file":3,"lbn":63,"records":7,"bytes":2331,"smallest":333' "the map"
	like "$(cat "$T/map")" '"file":4,"lbn":71,"records":1,"bytes":700000' "the map"
	# A part of it.
	says 'copied: 20 records, 1 mark' pmt copy --overwrite --from 1 --to 1 "st:$A" "st:$B"
	has "$B" 1 1 10240
	says '1 mark' pmt verify "st:$B"
	# A source that is read is not written to; a target that is not empty is not, either.
	says 'not empty' pmt copy "image:$T/a.tape" "st:$A"
	has "$A" 0 3 10240
}

# Full: cut behind its last whole file, by the drive; the next tape takes the rest.
case_full_drive() {
	drives 1000000 100000 8000000 100000
	files "$B" 5 30 10000
	status 1 pmt copy "st:$B" "st:$A" > "$T/said" 2>&1
	like "$(cat "$T/said")" 'taken off again' "the message"
	like "$(cat "$T/said")" 'the same with --from 3, on another tape' "the message"
	like "$(cat "$T/said")" 'copied: 90 records, 3 marks' "the result"
	has "$A" 0 3 10000
	says '90 records, 3 marks' pmt verify "st:$A"
	says 'copied: 60 records, 2 marks' pmt copy --from 3 "st:$B" "image:$T/rest.tape?create=yes"
	says 'the same' pmt verify --to 2 "st:$A" "st:$B"
}

# The next cartridge is put in while it waits for it.
case_spread_over_cartridges() {
	local pid
	drives 1000000 100000 8000000 100000
	files "$B" 5 30 10000
	pmt copy --spread --wait 60 "st:$B" "st:$A" > "$T/said" 2>&1 &
	pid=$!
	eventually 60 grep -q 'waiting for the next volume' "$T/said"
	echo blank > "${CTLS[0]}"
	wait "$pid" || fail "$(cat "$T/said")"
	like "$(cat "$T/said")" '2 volumes; copied: 150 records, 5 marks' "the result"
	like "$(pmt verify "st:$A")" '(5[0-9]|6[0-9]) records, [23] marks' "the second cartridge"
}

# A record that can not be read is named by its place.
case_damaged_tape() {
	drives 8000000 1000000
	files "$A" 2 10 5000
	ok mt -f "$A" rewind
	pmt map --to @12 "st:$A" > "$T/said" || fail "$(cat "$T/said")"
	like "$(cat "$T/said")" ' 1 +11 +2 ' "the map"
	echo 'fail 8 3 0 11 0 1' > "${CTLS[0]}"
	status 1 pmt verify "st:$A" > "$T/said" 2>&1
	like "$(cat "$T/said")" 'damaged at file 0 block 0 \(LBN 0\) \(sense key 3, 11/00\)' "the place"
	like "$(cat "$T/said")" '19 records, 2 marks, 95000 bytes, 1 damaged' "the rest"
	says 'good' pmt verify "st:$A"
}

main "$@"
