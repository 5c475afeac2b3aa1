#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# law 4: real programs, which know nothing of pmt, over a mirror of two images;
# the copies are compared each time.

. "$(dirname "$0")/lib.sh"

mirror_unit() {
	new_unit "$@"
	serve "image:$T/a.tape?capacity=40M" "image:$T/b.tape?capacity=40M&format=simh"
}

same_copies() {
	stop_server
	ok dumpimg "$T/a.tape" > "$T/1.txt"
	ok dumpimg "$T/b.tape" > "$T/2.txt"
	diff "$T/1.txt" "$T/2.txt" || fail "the copies differ"
	[ -s "$T/1.txt" ] || fail "nothing was written"
}

# Files to save.
some_files() {
	mkdir -p "$T/src"
	cp -r "$top/lib" "$top/man" "$T/src"
	head -c 300000 /dev/urandom > "$T/src/random"
	: > "$T/src/empty"
}

case_tar() {
	mirror_unit
	some_files
	ok tar -cf "$TAPE" -C "$T" src
	mkdir "$T/out"
	ok tar -xf "$TAPE" -C "$T/out"
	ok diff -r "$T/src" "$T/out/src"
	ok tar -df "$TAPE" -C "$T"
	same_copies
}

case_tar_append() {
	mirror_unit
	some_files
	ok tar -cf "$TAPE" -C "$T/src" lib
	ok tar -rf "$TAPE" -C "$T/src" man random empty
	mkdir "$T/out"
	ok tar -xf "$TAPE" -C "$T/out"
	ok diff -r "$T/src" "$T/out"
	same_copies
}

# It steps back over what it has written, and compares.
case_tar_verify() {
	mirror_unit
	some_files
	ok tar -cWf "$TAPE" -C "$T" src
	ok tar -cWf "$NTAPE" -C "$T" src
	same_copies
}

case_tar_large_records() {
	mirror_unit
	some_files
	ok tar -b 2048 -cf "$TAPE" -C "$T" src
	mkdir "$T/out"
	ok tar -b 2048 -xf "$TAPE" -C "$T/out"
	ok diff -r "$T/src" "$T/out/src"
	same_copies
}

# Three archives behind each other, found again by mt.
case_mt_and_files() {
	mirror_unit
	some_files
	local name
	for name in lib man random; do
		ok tar -cf "$NTAPE" -C "$T/src" "$name"
	done
	at 3 0
	ok mt -f "$NTAPE" rewind
	ok mt -f "$NTAPE" fsf 2
	says '^random' tar -tf "$NTAPE"
	ok mt -f "$NTAPE" rewind
	ok mt -f "$NTAPE" fsf 1
	at 1 0
	says 'man/pmt.8' tar -tf "$NTAPE"
	ok mt -f "$NTAPE" eod
	at 3 -1
	ok mt -f "$NTAPE" bsfm 2
	at 2 0
	says '^random' tar -tf "$NTAPE"
	ok mt -f "$NTAPE" asf 0
	ok mt -f "$NTAPE" fsr 1
	at 0 1
	ok mt -f "$NTAPE" bsr 1
	at 0 0
	says 'At block [0-9]+' mt -f "$NTAPE" tell
	ok mt -f "$NTAPE" seek 0
	ok mt -f "$NTAPE" eod
	ok mt -f "$NTAPE" weof 2
	at 5 0
	ok mt -f "$NTAPE" retension
	no mt -f "$NTAPE" fsf 6 2> /dev/null
	same_copies
}

case_dd_odd_sizes() {
	mirror_unit
	head -c 1000003 /dev/urandom > "$T/in"
	local size
	for size in 1001 4097 65535 131073; do
		ok dd if="$T/in" of="$TAPE" bs="$size" status=none
		ok dd if="$TAPE" of="$T/out" bs=200k status=none
		ok cmp "$T/in" "$T/out"
	done
	same_copies
}

case_dd_fixed() {
	mirror_unit
	head -c 1024000 /dev/urandom > "$T/in"
	ok mt -f "$NTAPE" setblk 1024
	ok dd if="$T/in" of="$TAPE" bs=64k status=none
	ok dd if="$TAPE" of="$T/out" bs=10k status=none
	ok cmp "$T/in" "$T/out"
	ok mt -f "$NTAPE" setblk 0
	ok dd if="$TAPE" of="$T/out" bs=10k status=none
	ok cmp "$T/in" "$T/out"
	same_copies
	is "$(grep -c 'record 1024 ' "$T/1.txt")" 1000 "blocks"
}

case_cpio() {
	mirror_unit
	some_files
	(cd "$T/src" && find . | cpio --quiet -o -H newc -C 32768 -O "$TAPE") || fail "cpio -o"
	mkdir "$T/out"
	(cd "$T/out" && cpio --quiet -idm -C 32768 -I "$TAPE") || fail "cpio -i"
	ok diff -r "$T/src" "$T/out"
	same_copies
}

make_disk() {
	ok truncate -s 12M "$T/disk"
	ok mkfs.ext2 -q "$T/disk"
	mkdir "$T/mnt"
	later "umount $T/mnt"
	ok mount -o loop "$T/disk" "$T/mnt"
	cp -r "$T/src" "$T/mnt"
	head -c "$1" /dev/urandom > "$T/mnt/large"
	sync
}

case_dump_and_restore() {
	mirror_unit
	some_files
	make_disk 3000000
	ok dump -0 -q -f "$TAPE" "$T/mnt" 2> "$T/dump.log"
	mkdir "$T/out"
	(cd "$T/out" && restore -r -f "$TAPE" -b 10) 2> "$T/restore.log" ||
		{ cat "$T/restore.log" >&2; fail "restore"; }
	rm -f "$T/out/restoresymtable"
	ok diff -r "$T/mnt" "$T/out"
	same_copies
}

# Over three volumes, with the end of tape held (the alternation of st breaks
# dump).  The script changes volumes as dump and restore ask for them.
case_dump_over_volumes() {
	local limit='limit?capacity=1500000&ew=300000'
	new_unit --eot hold
	serve "$limit|image:$T/a%d.tape?capacity=4M" "$limit|image:$T/b%d.tape?capacity=4M"
	some_files
	make_disk 3000000
	printf '#!/bin/sh\nmt -f %s offline\n' "$NTAPE" > "$T/change"
	chmod 755 "$T/change"
	ok dump -0 -q -F "$T/change" -f "$NTAPE" "$T/mnt" > "$T/dump.log" 2>&1
	[ -e "$T/a2.tape" ] || fail "it needed less than three volumes: $(cat "$T/dump.log")"
	stop_server
	local i
	for i in 0 1 2; do
		diff <(dumpimg "$T/a$i.tape") <(dumpimg "$T/b$i.tape") || fail "volume $i"
	done
	rm -f "$T"/.a*.set
	new_unit
	serve "image:$T/a%d.tape"
	mkdir "$T/out"
	cat > "$T/change" <<-END
	#!/bin/sh
	[ "\$2" = 1 ] || mt -f $NTAPE offline
	END
	(cd "$T/out" && restore -r -F "$T/change" -f "$NTAPE") > "$T/restore.log" 2>&1 ||
		{ cat "$T/restore.log" >&2; fail "restore"; }
	! grep -i 'incorrect\|error' "$T/restore.log" || fail "restore complains"
	rm -f "$T/out/restoresymtable"
	ok diff -r "$T/mnt" "$T/out"
}

main "$@"
