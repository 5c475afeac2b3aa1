#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# zstd and aead under programs: a dump comes back from each copy alone, the encrypted
# one shows nothing of it, and what was changed there is not given out.

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/oracle"

LIMIT=200

key=5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed

# coded DRIVE: that, compressed and encrypted
coded() {
	(umask 077 && echo "$key" > "$T/keys")
	echo "zstd|aead?key=file:$T/keys|$1"
}

# A file system to save, in $T/mnt: some sources.
disk() {
	mkdir "$T/mnt"
	ok truncate -s 8M "$T/disk"
	ok mkfs.ext2 -q -d "$top/lib/filters" "$T/disk"
	later "umount $T/mnt"
	ok mount -o loop,ro "$T/disk" "$T/mnt"
}

dumped() {
	dump -0 -q -f "$1" "$T/mnt" > "$T/said" 2>&1 || { cat "$T/said" >&2; fail "dump"; }
}

# restored NODE: it is all there
restored() {
	rm -rf "$T/out"
	mkdir "$T/out"
	(cd "$T/out" && restore -r -f "$1" -b 10) > "$T/said" 2>&1 ||
		{ cat "$T/said" >&2; fail "restore"; }
	rm -f "$T/out/restoresymtable"
	ok diff -r "$T/mnt" "$T/out"
}

# served DRIVE...: by a new unit
served() {
	stop_server
	new_unit
	serve "$@"
}

key_is_hidden() {
	no grep -q "${key:0:16}" "$LOG"
	no grep -q "${key:0:16}" "/proc/$SERVER/cmdline"
	no grep -q "${key:0:16}" <(pmt status --json "$UNIT")
	like "$(grep VmLck "/proc/$SERVER/status")" ' [1-9][0-9]* kB' "locked memory"
}

# flip FILE: a bit of the third record that is encrypted
flip() {
	local at byte
	at=$(($(grep -abo pmtE "$1" | sed -n '3s/:.*//p') + 200))
	byte=$(od -An -tu1 -j "$at" -N 1 "$1")
	printf '%b' "\\x$(printf %x $((byte ^ 16)))" |
		dd of="$1" bs=1 seek="$at" conv=notrunc status=none
}

case_dump_to_plain_and_encrypted() {
	disk
	new_unit
	serve "image:$T/a.tape?capacity=40M" "$(coded "image:$T/b.tape?capacity=40M")"
	dumped "$TAPE"
	key_is_hidden
	like "$(pmt status --json "$UNIT" | jq '.. | .ratio? // empty')" '^[1-9]' "the ratio"
	restored "$TAPE"
	ok grep -aq SPDX-License "$T/a.tape"
	no grep -aq SPDX-License "$T/b.tape"
	served "image:$T/a.tape"
	restored "$TAPE"
	served "$(coded "image:$T/b.tape")"
	restored "$TAPE"
	flip "$T/b.tape"
	served "$(coded "image:$T/b.tape")" "image:$T/a.tape"
	restored "$TAPE"
	like "$(cat "$LOG")" 'read at block 2' "the log"
	served "$(coded "image:$T/b.tape")"
	says 'Input/output error' dd if="$NTAPE" of=/dev/null bs=10240
	like "$(cat "$LOG")" 'read at block 2' "the log"
}

case_beside_a_real_drive() {
	disk
	oracle 1
	A=${NODES[0]}
	new_unit
	serve "st:$A" "$(coded "image:$T/b.tape?capacity=40M")"
	dumped "$TAPE"
	served "$(coded "image:$T/b.tape")"
	restored "$TAPE"
	stop_server
	ok mt -f "$A" rewind
	restored "$A"
}

# On the drive itself; a server is killed meanwhile, and what it wrote is written again.
case_on_a_real_drive() {
	oracle 1
	A=${NODES[0]}
	new_unit
	serve "$(coded "st:$A")"
	writer_waits
	stop_server KILL
	serve "$(coded "st:$A")"
	go_on
	wait "$WRITER"
	ok mt -f "$NTAPE" rewind
	is "$(recs read "$NTAPE" 1000)" "3 records, 1 marks, ok" "through the filters"
	ok mt -f "$NTAPE" rewind
	ok recs write -f 3 "$NTAPE" 1000 2
	stop_server
	ok mt -f "$A" rewind
	is "$(dd if="$A" bs=64k count=1 status=none | head -c 4)" pmtE "what the drive has"
}

main "$@"
