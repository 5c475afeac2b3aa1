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

# SPEC, with %s for the volumes' name, twice: a mirror of two sets.
mirror_of_sets() {
	# shellcheck disable=SC2059 # it is a format
	serve "$(printf "$1" "$T/a%d.tape")" "$(printf "$1" "$T/b%d.tape")"
}

# change [COMMAND]: what a program runs to have the next volume.
change() {
	printf '#!/bin/sh\n%s\n' "${1:-mt -f $NTAPE offline}" > "$T/change"
	chmod 755 "$T/change"
}

# volumes N: so many were written, the same on both sides; then those of side b
# are in another unit, the first one loaded.
volumes() {
	local i
	stop_server
	for ((i = 0; i < $1; i++)); do
		ok dumpimg "$T/a$i.tape" > "$T/1.txt"
		ok dumpimg "$T/b$i.tape" > "$T/2.txt"
		diff "$T/1.txt" "$T/2.txt" || fail "volume $i differs"
		grep -q record "$T/1.txt" || fail "volume $i is empty"
	done
	! grep -qs record <(dumpimg "$T/a$1.tape" 2> /dev/null) || fail "more than $1 volumes"
	first_volume
}

first_volume() {
	stop_server
	rm -f "$T"/.[ab]*.set
	new_unit
	serve "image:$T/b%d.tape"
}

out() {
	rm -rf "$T/out"
	mkdir "$T/out"
}

case_tar() {
	mirror_unit
	some_files
	ok tar -cf "$TAPE" -C "$T" src
	ok tar -tf "$TAPE" > "$T/list"
	ok diff <(cd "$T" && find src | sort) <(sed 's,/$,,' "$T/list" | sort)
	out
	ok tar -xf "$TAPE" -C "$T/out"
	ok diff -r "$T/src" "$T/out/src"
	ok tar -df "$TAPE" -C "$T"
	echo x >> "$T/src/random"
	says 'random: (Contents|Size) differs' tar -df "$TAPE" -C "$T"
	same_copies
}

case_tar_append() {
	mirror_unit
	some_files
	ok tar -cf "$TAPE" -C "$T/src" lib
	ok tar -rf "$TAPE" -C "$T/src" man random
	ok tar -rf "$TAPE" -C "$T/src" empty
	says '(^|
)random' tar -tf "$TAPE"
	is "$(tar -tf "$TAPE" | tail -n 1)" empty "the last member"
	out
	ok tar -xf "$TAPE" -C "$T/out"
	ok diff -r "$T/src" "$T/out"
	same_copies
}

# tar OPTIONS write three volumes, or N; they are listed, compared and extracted.
tar_volumes() {
	local n=$1
	shift
	# Of a size that does not change: 1 MB and some empty files.
	mkdir "$T/src"
	head -c 300000 /dev/urandom > "$T/src/random"
	head -c 300000 /dev/urandom > "$T/src/other"
	head -c 400000 /dev/urandom > "$T/src/more"
	touch "$T/src"/empty{1..40}
	change
	ok tar -c "$@" -F "$T/change" -f "$NTAPE" -C "$T" src
	volumes "$n"
	change
	is "$(tar -tM -F "$T/change" -f "$NTAPE" | grep -c /more$)" 1 "members of the name"
	first_volume
	change
	out
	ok tar -xM -F "$T/change" -f "$NTAPE" -C "$T/out"
	ok diff -r "$T/src" "$T/out/src"
}

case_tar_volumes_by_length() {
	new_unit
	mirror_of_sets 'image:%s?capacity=4M'
	tar_volumes 3 -L 400
}

tar_volumes_by_end() {
	new_unit "$@"
	mirror_of_sets 'limit?capacity=500000&ew=100000|image:%s?capacity=4M'
	tar_volumes 3 -M
}

case_tar_volumes_by_end() { tar_volumes_by_end; }
case_tar_volumes_by_end_held() { tar_volumes_by_end --eot hold; }

# It steps back over what it has written, and compares.
case_tar_verify() {
	mirror_unit
	some_files
	ok tar -cWf "$NTAPE" -C "$T" src/man
	ok mt -f "$NTAPE" fsf 1
	at 1 0
	ok tar -cWf "$NTAPE" -C "$T" src/lib
	ok mt -f "$NTAPE" asf 1
	says 'src/lib' tar -tf "$NTAPE"
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

# Records as long as dd's blocks, whatever it reads.
case_dd_blocks() {
	mirror_unit
	head -c 1100000 /dev/urandom > "$T/in"
	head -c 150 "$T/in" > "$T/small"
	ok dd if="$T/small" of="$NTAPE" bs=1 status=none
	ok dd if="$T/in" of="$NTAPE" bs=513 count=99 status=none
	ok dd if="$T/in" of="$NTAPE" bs=10240 count=3 status=none
	ok dd if="$T/in" of="$NTAPE" bs=1048577 status=none
	ok dd if="$T/in" of="$NTAPE" ibs=1000 obs=7000 count=20 status=none
	ok dd if="$T/small" of="$NTAPE" bs=512 conv=sync status=none
	at 6 0
	reads_file 0 1 "$T/small"
	reads_file 1 600 <(head -c 50787 "$T/in")
	reads_file 2 10k <(head -c 30720 "$T/in")
	reads_file 3 2M "$T/in"
	reads_file 4 7000 <(head -c 20000 "$T/in")
	reads_file 5 1k <(cat "$T/small"; head -c 362 /dev/zero)
	ok mt -f "$NTAPE" asf 2
	ok mt -f "$NTAPE" fsr 1
	ok dd if="$NTAPE" of="$T/out" bs=10k count=1 status=none
	ok cmp "$T/out" <(tail -c +10241 "$T/in" | head -c 10240)
	ok mt -f "$NTAPE" fsf 2
	at 4 0
	no dd if="$NTAPE" of=/dev/null bs=999 status=none 2> /dev/null
	same_copies
	is "$(lengths)" "150*1 99*513 3*10240 1*1048577 1*51423 2*7000 1*6000 1*512" "records"
}

# reads_file NUMBER SIZE EXPECTED: dd with blocks of SIZE, at that file of the tape
reads_file() {
	ok mt -f "$NTAPE" asf "$1"
	ok dd if="$NTAPE" of="$T/out" bs="$2" status=none
	ok cmp "$T/out" "$3"
}

# Of same_copies: how many records of which length, in order.
lengths() {
	awk '$2 == "record" { print $3 }' "$T/1.txt" | uniq -c |
		awk '{ print $1 "*" $2 }' | xargs
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

# cpio_both OPTIONS: out and in again.
cpio_both() {
	(cd "$T/src" && find . | cpio --quiet -o -H newc "$@" -O "$TAPE") || fail "cpio -o $*"
	out
	(cd "$T/out" && cpio --quiet -idm "$@" -I "$TAPE") || fail "cpio -i $*"
	ok diff -r "$T/src" "$T/out"
}

case_cpio() {
	mirror_unit
	some_files
	cpio_both
	cpio_both -C 32768
	cpio_both -C 1001
	cpio_both -C 65537
	is "$(cpio --quiet -it -C 65537 -I "$TAPE" | sort)" \
		"$(cd "$T/src" && find . | sed 's,^\./,,' | sort)" "the list"
	same_copies
	is "$(awk '$2 == "record" { print $3 }' "$T/1.txt" | sort -u)" 65537 "records"
}

# Tapes are devices to libarchive, with records of 10 KiB unless told otherwise.
case_bsdtar() {
	mirror_unit
	some_files
	ok bsdtar -cf "$NTAPE" -C "$T" src/lib
	ok bsdtar -b 127 -cf "$NTAPE" -C "$T" src
	at 2 0
	ok mt -f "$NTAPE" asf 1
	ok bsdtar -b 127 -tf "$NTAPE" > "$T/list"
	ok diff <(cd "$T" && find src | sort) <(sed 's,/$,,' "$T/list" | sort)
	ok mt -f "$NTAPE" asf 1
	out
	ok bsdtar -b 127 -xf "$NTAPE" -C "$T/out"
	ok diff -r "$T/src" "$T/out/src"
	ok mt -f "$NTAPE" rewind
	says 'src/lib' tar -tf "$NTAPE"
	same_copies
	is "$(awk '$2 == "record" { print $3 }' "$T/1.txt" | sort -nu | xargs)" "10240 65024" "records"
}

case_mbuffer() {
	mirror_unit
	head -c 3000000 /dev/urandom > "$T/in"
	ok mbuffer -q -l "$T/log" -s 20000 -m 1M -i "$T/in" -o "$NTAPE" -f
	ok mbuffer -q -l "$T/log" -s 65536 -m 1M -i "$T/in" -o "$NTAPE" -f
	at 2 0
	ok mt -f "$NTAPE" rewind
	ok mbuffer -q -l "$T/log" -s 20000 -m 1M -i "$NTAPE" > "$T/out"
	ok cmp "$T/in" "$T/out"
	ok mt -f "$NTAPE" asf 1
	ok mbuffer -q -l "$T/log" -s 65536 -m 1M -i "$NTAPE" > "$T/out"
	ok cmp "$T/in" "$T/out"
	same_copies
	is "$(lengths)" "150*20000 45*65536 1*50880" "records"
}

# It goes on behind early warning, as st lets it, until two writes in a row are
# refused.
case_mbuffer_tapeaware() {
	new_unit
	serve "limit?capacity=600000&ew=200000|image:$T/a.tape?capacity=4M"
	head -c 1000000 /dev/urandom > "$T/in"
	no mbuffer -q -l "$T/log" -f --tapeaware -s 50000 -m 1M -i "$T/in" -o "$NTAPE"
	ok mt -f "$NTAPE" rewind
	ok mbuffer -q -l "$T/log" -s 50000 -m 1M -i "$NTAPE" > "$T/out"
	ok cmp "$T/out" <(head -c 600000 "$T/in")
}

# For dump: of sizes that stay, as it depends on them.  When the last of several
# volumes ends with a full record, dump 0.4b47 leaves its end out, on whatever tape.
disk_files() {
	local name
	mkdir -p "$T/src/lib" "$T/src/man"
	for name in lib/leaf.c lib/spec.c man/pmt.8 man/pmtm.4; do
		head -c 30000 /dev/urandom > "$T/src/$name"
	done
	head -c 300000 /dev/urandom > "$T/src/random"
	: > "$T/src/empty"
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

# quietly COMMAND...: it says nothing of an error; in $T/out, if there is one
quietly() {
	(cd "$T/out" 2> /dev/null || cd "$T" || exit; "$@") > "$T/said" 2>&1 ||
		{ cat "$T/said" >&2; fail "status of: $*"; }
	! grep -iE 'incorrect|error|resync|fail|skip|missing' "$T/said" >&2 || fail "$* complains"
}

# The tree that dump saved has come back.
restored() {
	rm -f "$T/out/restoresymtable"
	ok diff -r "$T/mnt" "$T/out"
}

case_dump_and_restore() {
	mirror_unit
	disk_files
	make_disk 1000000
	quietly dump -0 -q -f "$TAPE" "$T/mnt"
	out
	quietly restore -r -f "$TAPE" -b 10
	restored
	quietly restore -t -f "$TAPE"
	like "$(cat "$T/said")" './src/lib/leaf.c' "restore -t"
	quietly restore -C -f "$TAPE"
	echo x >> "$T/mnt/src/lib/leaf.c"
	no restore -C -f "$TAPE" > "$T/said" 2>&1
	like "$(cat "$T/said")" 'leaf.c: (size|contents|tape)' "restore -C"
	same_copies
}

# The second dump of a tape is one of what has changed.
case_dump_levels() {
	mirror_unit
	disk_files
	make_disk 200000
	quietly dump -0 -u -q -D "$T/dates" -f "$NTAPE" "$T/mnt"
	at 1 0
	cp -r "$T/mnt" "$T/first"
	eventually 10 is_later "$T/dates"
	echo new > "$T/mnt/new"
	rm "$T/mnt/src/lib/leaf.c"
	sync
	quietly dump -1 -u -q -D "$T/dates" -f "$NTAPE" "$T/mnt"
	at 2 0
	out
	ok mt -f "$NTAPE" rewind
	quietly restore -r -s 1 -f "$NTAPE"
	ok diff -r -x restoresymtable "$T/first" "$T/out"
	ok mt -f "$NTAPE" rewind
	quietly restore -r -s 2 -f "$NTAPE"
	restored
	same_copies
}

# The clock, by which dump tells what has changed, has gone on.
is_later() { touch "$T/now"; [ "$(stat -c %Y "$T/now")" -gt "$(stat -c %Y "$1")" ]; }

# One that is chosen by hand, and nothing else.
case_restore_interactive() {
	mirror_unit
	disk_files
	make_disk 100000
	quietly dump -0 -q -f "$TAPE" "$T/mnt"
	out
	printf '%s\n' 'cd src/man' pwd ls 'add pmt.8' 'cd /' 'add large' 'delete src/man/pmt.8' \
		'add src/random' extract 1 n quit > "$T/commands"
	quietly restore -i -f "$TAPE" < "$T/commands"
	like "$(cat "$T/said")" '/src/man' "pwd"
	like "$(cat "$T/said")" 'pmtm.4' "ls"
	ok cmp "$T/mnt/large" "$T/out/large"
	ok cmp "$T/src/random" "$T/out/src/random"
	is "$(find "$T/out" -type f | wc -l)" 2 "files"
	same_copies
}

# dump_volumes N OPTIONS: dump asks for volumes, and so does restore.
dump_volumes() {
	local n=$1
	shift
	disk_files
	make_disk 1500000
	change
	quietly dump -0 -q -F "$T/change" "$@" -f "$NTAPE" "$T/mnt"
	volumes "$n"
	change "[ \"\$2\" = 1 ] || mt -f $NTAPE offline"
	out
	quietly restore -r -F "$T/change" -f "$NTAPE"
	restored
}

# With the end of tape held (the alternation of st breaks dump).
case_dump_over_volumes() {
	new_unit --eot hold
	mirror_of_sets 'limit?capacity=1200000&ew=300000|image:%s?capacity=4M'
	dump_volumes 3
}

case_dump_over_volumes_by_size() {
	new_unit
	mirror_of_sets 'image:%s?capacity=4M'
	dump_volumes 3 -B 800
}

main "$@"
