#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Tapes of other programs, and those that are written once, through the master end.

. "$(dirname "$0")/lib.sh"

# What tar writes, Hercules maps and copies from the tape, and reads from the file.
case_aws() {
	command -v tapecopy > /dev/null || skip "Hercules is not installed"
	new_unit
	serve "image:$T/a.aws?create=yes"
	ok tar -b 63 -cf "$NTAPE" -C "$top" lib/formats man
	ok tar -cf "$NTAPE" -C "$top" tests/unit/suite.c
	ok mt -f "$NTAPE" rewind
	ok tapecopy "$NTAPE" "$T/copy.aws" > "$T/log" 2>&1
	ok mt -f "$NTAPE" rewind
	ok tar -b 63 -df "$NTAPE" -C "$top"
	stop_server
	# Of the end of data it makes one mark more.
	ok cmp -n "$(stat -c %s "$T/a.aws")" "$T/a.aws" "$T/copy.aws"
	says 'File 1: Blocks=[0-9]+, block size min=32256, max=32256' tapemap "$T/a.aws"
	says 'File 2: Blocks=1, block size min=10240, max=10240' tapemap "$T/a.aws"
	ok hetget -n "$T/a.aws" "$T/got.tar" 1 U 0 32760 > "$T/log" 2>&1
	ok tar -df "$T/got.tar" -C "$top"
	ok cmp "$T/got.tar" <(pmt image extract "$T/a.aws" 0)
}

# What st makes of an LTO drive's data protect 30/0c: EIO, and nothing is changed.
# Close tells it, too, of the filemark that it owes where it was written last.
case_worm() {
	new_unit
	serve "image:$T/a.tape?create=yes&worm=yes"
	script "
		open 0 npmtm0 rw -> ok
		write 0 1000 3 -> 1000
		op 0 MTWEOF 1 -> 0
		op 0 MTREW -> 0
		write 0 1000 3 -> -1 EIO
		write 0 500 1 -> -1 EIO
		read 0 1000 -> 1000 tag=03
		op 0 MTREW -> 0
		op 0 MTERASE 1 -> -1 EIO
		op 0 MTEOM -> 0
		write 0 2000 4 -> 2000
		op 0 MTWEOF 2 -> 0
		op 0 MTBSF 1 -> 0
		write 0 3000 5 -> 3000
		op 0 MTBSF 1 -> 0
		write 0 100 6 -> -1 EIO
		close 0 -> -1 EIO"
	pmt status --json "$UNIT" > "$T/log"
	is "$(jq '.[0].medium.worm' "$T/log")" true "the medium is write-once"
	stop_server
	is "$(dumpimg "$T/a.tape" | awk '{ print $2 }' | tr '\n' ' ')" \
		"record mark record mark record mark " "objects in the image"
	# The header says it; and write protection it is none, as open has shown.
	serve "image:$T/a.tape"
	script "
		open 0 npmtm0 rw -> ok
		op 0 MTREW -> 0
		write 0 100 7 -> -1 EIO
		read 0 1000 -> 1000 tag=03
		close 0 -> 0"
}

# Each becomes an image of its own.
case_partitions() {
	new_unit
	serve "image:$T/a.tape?create=yes&capacity=64M"
	ok mt -f "$NTAPE" stsetoptions can-partitions
	ok mt -f "$NTAPE" mkpartition 10
	ok tar -cf "$NTAPE" -C "$top" man
	ok mt -f "$NTAPE" setpartition 1
	ok tar -cf "$NTAPE" -C "$top" tests/unit/suite.c
	stop_server
	says 'has 2 partitions, and a new image has one: say which' \
		pmt image convert "$T/a.tape" "$T/new.tap"
	says 'say which one: 0 to 1' pmt image convert --partition 2 "$T/a.tape" "$T/new.tap"
	[ ! -e "$T/new.tap" ] || fail "what was not made has been left"
	ok pmt image convert --partition 0 "$T/a.tape" "$T/0.tap"
	ok pmt image convert --partition 1 "$T/a.tape" "$T/1.tape"
	ok tar -df <(pmt image extract "$T/0.tap" 0) -C "$top"
	ok tar -df <(pmt image extract "$T/1.tape" 0) -C "$top"
	ok tar -df <(pmt image extract --partition 1 "$T/a.tape" 0) -C "$top"
	truncate -s -700 "$T/a.tape.p1"
	ok pmt image repair -o "$T/whole.tape" --partition 1 "$T/a.tape"
	says 'sound' pmt image verify "$T/whole.tape"
}

main "$@"
