#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# law 2 and the end-of-tape promise: ENOSPC means that what was acknowledged is
# on every copy, and nothing else.  eot=st is in conformance, G1 and following.

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/oracle"

same_copies() {
	ok dumpimg "$1" > "$T/1.txt"
	ok dumpimg "$2" > "$T/2.txt"
	diff "$T/1.txt" "$T/2.txt" || fail "the copies differ"
}

records() { dumpimg "$1" | grep -c record; }
kinds() { dumpimg "$1" | awk '{ print $2 }' | uniq -c | awk '{ print $1, $2 }' | tr '\n' ' '; }

LIMIT_A='limit?capacity=1000000&ew=200000|'

holding_unit() {
	new_unit --eot hold
	serve "${LIMIT_A}image:$T/a.tape?capacity=20M"
}

case_hold() {
	holding_unit
	script "
		open 0 npmtm0 rw -> ok
		fill 0 65536 -> 13 full writes, then -1 ENOSPC
		write 0 65536 4 -> -1 ENOSPC
		write 0 10 4 -> -1 ENOSPC
		write 0 65536 4 -> -1 ENOSPC
		stat 0 -> f=0 b=13 gstat=21010000 [EOT ONLINE IM_REP_EN] dsreg=00000000 resid=0 type=0x72 erreg=0
		op 0 MTWEOF 1 -> 0
		write 0 80 5 -> 80
		write 0 80 6 -> 80
		op 0 MTWEOF 1 -> 0
		write 0 80 7 -> 80
		close 0 -> 0"
	is "$(kinds "$T/a.tape")" "13 record 1 mark 2 record 1 mark 1 record 1 mark " "the tape"
}

case_hold_ends_by_motion() {
	holding_unit
	script "
		open 0 npmtm0 rw -> ok
		fill 0 65536 -> 13 full writes, then -1 ENOSPC
		write 0 65536 4 -> -1 ENOSPC
		op 0 MTBSR 1 -> 0
		write 0 65536 5 -> 65536
		write 0 65536 4 -> -1 ENOSPC
		op 0 MTREW -> 0
		write 0 65536 6 -> 65536
		write 0 65536 6 -> 65536
		close 0 -> 0"
	is "$(kinds "$T/a.tape")" "2 record 1 mark " "the tape"
}

# Trailers are no way around the physical end.
case_hold_physical_end() {
	holding_unit
	script "
		open 0 npmtm0 rw -> ok
		fill 0 65536 -> 13 full writes, then -1 ENOSPC
		op 0 MTWEOF 1 -> 0
		fill 0 65536 -> 2 full writes, then -1 ENOSPC
		write 0 65536 4 -> -1 ENOSPC
		write 0 1000 4 -> -1 ENOSPC
		close 0 -> 0"
	is "$(kinds "$T/a.tape")" "13 record 1 mark 2 record 1 mark " "the tape"
}

# The rule can be changed in use.
case_hold_set() {
	image_unit
	is "$(kept eot)" st "the rule"
	ok pmt set --eot hold "$UNIT"
	is "$(kept eot)" hold "the rule"
}

# A fast small copy and a slow large one: when ENOSPC is told, both have all that
# was acknowledged; OPTIONS of recs.
overtakes() {
	new_unit
	serve "limit?capacity=1000000&ew=300000&room=hide|image:$T/a.tape?capacity=20M" \
		"delay?op=write&ms=40|image:$T/b.tape?capacity=20M"
	mkfifo "$T/go"
	recs write "$@" -w "$NTAPE" 20000 1000 > "$T/said" < "$T/go" &
	local writer=$! acks
	echo "$writer" >> "$T/pids"
	exec 8> "$T/go"
	eventually 60 grep -q ENOSPC "$T/said" || fail "no ENOSPC: $(cat "$T/said")"
	freeze "$SERVER"
	acks=$(awk '{ print $1 }' "$T/said")
	is "$(records "$T/a.tape")" "$acks" "records of the first copy"
	is "$(records "$T/b.tape")" "$acks" "records of the second copy"
	kill -CONT "$SERVER"
	echo > "$T/go"
	wait "$writer"
	like "$(cat "$T/said")" 'close ok$' "the writer"
	same_copies "$T/a.tape" "$T/b.tape"
	is "$(kinds "$T/b.tape")" "$acks record 1 mark " "the tape"
}

case_early_warning_overtakes() { overtakes; }
case_alternation_overtakes() { overtakes -r 1; }

# With a room that is told, the write that meets early warning is the one that
# st would have named.
case_early_warning_is_exact() {
	new_unit
	serve "${LIMIT_A}image:$T/a.tape?capacity=20M" \
		"delay?op=write&ms=20|image:$T/b.tape?capacity=20M"
	script "
		open 0 npmtm0 rw -> ok
		fill 0 65536 -> 13 full writes, then -1 ENOSPC
		close 0 -> 0"
	same_copies "$T/a.tape" "$T/b.tape"
}

# The physical end of one copy, at a place where the others still have room.
case_physical_end_of_one_copy() {
	new_unit
	serve "image:$T/a.tape?capacity=20M" \
		"limit?capacity=500000&ew=0|image:$T/b.tape?capacity=20M"
	script "
		open 0 npmtm0 rw -> ok
		fill 0 65536 -> 7 full writes, then -1 ENOSPC
		write 0 65536 4 -> -1 ENOSPC
		op 0 MTWEOF 1 -> 0
		close 0 -> 0"
	same_copies "$T/a.tape" "$T/b.tape"
	is "$(kinds "$T/a.tape")" "7 record 1 mark " "the tape"
}

# A drive that is full though it said that it has room: the application gets an
# error, and the copy that has run ahead is cut back.
case_room_that_is_not_there() {
	new_unit
	serve "image:$T/a.tape?capacity=20M" \
		"delay?op=write&ms=20|fault?op=write&at=20&error=enospc|image:$T/b.tape?capacity=20M"
	recs write "$NTAPE" 10000 200 > "$T/said"
	like "$(cat "$T/said")" '(EIO|ENOSPC)' "the writer"
	stop_server
	same_copies "$T/a.tape" "$T/b.tape"
	is "$(records "$T/a.tape")" 20 "records"
}

# What was read ahead and what was written of a volume that is full does not get
# into the next one.
case_next_volume() {
	new_unit --eot hold
	serve "limit?capacity=300000&ew=100000|image:$T/a%d.tape?capacity=2M" \
		"limit?capacity=400000&ew=100000|image:$T/b%d.tape?capacity=2M"
	local first=0 said n i
	for i in 0 1 2; do
		said=$(recs write -f "$first" "$NTAPE" 1000-30000 1000)
		like "$said" 'ENOSPC, close ok$' "volume $i"
		n=${said%% *}
		first=$((first + n))
		ok mt -f "$NTAPE" offline
		same_copies "$T/a$i.tape" "$T/b$i.tape"
		is "$(kinds "$T/a$i.tape")" "$n record 1 mark " "volume $i"
	done
	for i in 0 1 2; do
		dumpimg "$T/b$i.tape" | awk '/record/ { print $4 }'
	done > "$T/numbers"
	diff "$T/numbers" <(seq 0 $((first - 1))) || fail "records lost or doubled"
}

# ---- dump, on tapes that are too small ----
#
# dump 0.4b47 has three processes that write in turn.  Refused with ENOSPC, each
# writes its record once more at once; under st's rule that succeeds, and dump
# counts it as not written.  So three records are at the end of a volume and again
# at the beginning of the next.  restore skips them there, but counts the skipped
# ones twice, and skips three good records more at each following volume.

early='capacity=1000000&ew=300000'

# OPTIONS of pmt new: NODES of three units.
three_units() {
	local i
	NODES=()
	for i in 0 1 2; do
		new_unit "$@"
		serve "limit?$early|image:$T/$i.tape?capacity=4M"
		NODES+=("$NTAPE")
	done
}

# The same sizes, under the kernel's own st.
three_drives() {
	local ctl
	oracle 3
	for ctl in "${CTLS[@]}"; do
		echo blank > "$ctl"
		echo 'cap 1000000 300000' > "$ctl"
	done
}

# tree FILES: a file system with them, of a size each by which the last volume does
# not end with a full record: dump then leaves its end out, on whatever tape.
tree() {
	local i
	ok truncate -s 6M "$T/disk"
	ok mkfs.ext2 -q "$T/disk"
	mkdir "$T/mnt"
	later "umount $T/mnt"
	ok mount -o loop "$T/disk" "$T/mnt"
	for ((i = 1; i <= $1; i++)); do
		head -c 251000 /dev/urandom > "$T/mnt/f$i"
	done
	sync
}

# first FIRST: $T/tape is the first node, and $T/change makes it the next one, for
# who calls the first volume that it asks for FIRST.
first() {
	local node
	for node in "${NODES[@]}"; do
		ok mt -f "$node" rewind
	done
	ln -sfn "${NODES[0]}" "$T/tape"
	cat > "$T/change" <<-END
	#!/bin/bash
	nodes=(${NODES[*]})
	ln -sfn "\${nodes[\$2 - $1]}" "$T/tape"
	END
	chmod 755 "$T/change"
}

# dump_to N: a dump to N tapes; $T/v0 and so on are what is on each
dump_to() {
	local i
	first 0
	dump -0 -q -F "$T/change" -f "$T/tape" "$T/mnt" > "$T/said" 2>&1 ||
		fail "dump: $(cat "$T/said")"
	like "$(cat "$T/said")" "on $1 volume" "dump"
	for ((i = 0; i < $1; i++)); do
		ok mt -f "${NODES[i]}" rewind
		ok dd if="${NODES[i]}" of="$T/v$i" bs=10k status=none
	done
}

# What restore says of records, and which files are not as they were.
restored() {
	local file
	first 1
	mkdir "$T/out"
	(cd "$T/out" && restore -r -d -y -F "$T/change" -f "$T/tape" < /dev/null) > "$T/said" 2>&1 ||
		fail "restore: $(cat "$T/said")"
	grep -ao 'Skipping .* duplicate' "$T/said"
	grep -ao 'Incorrect block for [^ ]*' "$T/said" | sort -u
	for file in "$T"/mnt/f*; do
		if [ ! -e "$T/out/${file##*/}" ]; then
			echo "missing: ${file##*/}"
		else
			cmp -s "$file" "$T/out/${file##*/}" || echo "damaged: ${file##*/}"
		fi
	done
}

# again I J: the last three records of volume I are those behind J's header
again() {
	cmp -s <(tail -c 30720 "$T/v$1") <(tail -c +1025 "$T/v$2" | head -c 30720)
}

case_dump_held() {
	tree 8
	three_units --eot hold
	dump_to 3
	no again 0 1
	no again 1 2
	is "$(restored)" "" "restore"
}

# Two volumes: restore is as right as restore gets.
two_volumes() {
	dump_to 2
	again 0 1 || fail "the three last records are not on both volumes"
	is "$(restored)" "Skipping 30 duplicate" "restore"
}

# Three: the file that crosses to the third one is damaged, and the next one lost.
three_volumes() {
	dump_to 3
	again 0 1 || fail "the three last records are not on both volumes"
	again 1 2 || fail "nor those of the second and the third"
	is "$(restored)" "Skipping 30 duplicate
Skipping 60 duplicate
Incorrect block for ./f6
damaged: f6
missing: f7" "restore"
}

case_dump_two_volumes() { tree 5; three_units; two_volumes; }
case_dump_two_volumes_real_st() { tree 5; three_drives; two_volumes; }
case_dump_three_volumes() { tree 8; three_units; three_volumes; }
case_dump_three_volumes_real_st() { tree 8; three_drives; three_volumes; }

# Met between the parts of a large write, it is told to the next one all the same.
case_within_a_write() {
	new_unit --ring 1M
	serve "limit?capacity=2000000&ew=600000&room=hide|image:$T/a.tape?capacity=40M"
	script "
		open 0 npmtm0 rw -> ok
		op 0 MTSETBLK 10240 -> 0
		write 0 2048000 1 -> 1536000
		write 0 10240 2 -> -1 ENOSPC
		write 0 10240 3 -> 10240
		close 0 -> 0"
}

main "$@"
