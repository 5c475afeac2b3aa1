#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# law 3: a drive is fed from the ring's own pages, by direct I/O, and a record
# never wraps: the data area is there twice.  The server is written from
# linux/pmt.h alone.  And a server that is faster than its reader is rung for many
# records at once.

. "$(dirname "$0")/lib.sh"

case_direct_io() {
	modprobe -q loop
	modprobe -q ext4
	ok truncate -s 200M "$T/disk"
	ok mkfs.ext2 -q "$T/disk"
	ok mkdir "$T/mnt"
	later "umount $T/mnt"
	ok mount -o loop "$T/disk" "$T/mnt"
	new_unit --ring 1M
	ringio "$UNIT" "$T/mnt/records" 200 > "$T/said" 2>&1 &
	echo $! >> "$T/pids"
	eventually 10 is_state served || fail "no server: $(cat "$T/said")"
	head -c 6144000 /dev/urandom > "$T/in"
	ok dd if="$T/in" of="$NTAPE" bs=61440 status=none
	ok mt -f "$NTAPE" rewind
	ok dd if="$NTAPE" of="$T/out" bs=61440 count=100 status=none
	ok cmp "$T/in" "$T/out"
	eventually 10 grep -q 'direct I/O' "$T/said"
	like "$(cat "$T/said")" '^200 records by direct I/O, [1-9][0-9]* across the end$' \
		"the server's word"
}

wakes() { pmt status --json "$UNIT" | jq ".[0].wakes_$1"; }

# 64 are read ahead, and more of them when half of them have been taken.
case_doorbells_of_a_reader() {
	local server
	new_unit
	serve "null:?records=1000000&size=65536"
	server=$(wakes server)
	ok dd if="$NTAPE" of=/dev/null bs=64k count=1600 status=none
	server=$(($(wakes server) - server))
	[ "$server" -ge 1 ] || fail "the server has not been woken"
	[ "$server" -le 70 ] || fail "1600 records, and the server was woken $server times"
}

main "$@"
