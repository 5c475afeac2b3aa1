#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# st: drives: units whose records go to real drives, which are the oracle's under
# the kernel's own st.  What is on a tape is read by st, with no pmt between.

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/oracle"

LIMIT=200

case_two_drives() {
	drives 8000000 1000000 8000000 1000000
	new_unit
	serve "st:$A" "st:$B"
	is "$(recs write -m 10 "$NTAPE" 1000-60000 95)" "95 written, 90 marked, ok, close ok" "the writer"
	ok mt -f "$NTAPE" rewind
	like "$(recs read "$NTAPE" 1000-60000)" '^95 records, 10 marks' "through the unit"
	ok mt -f "$NTAPE" rewind
	stop_server
	is "$(tape "$A" 1000-60000)" "95 records, 10 marks" "the first tape"
	is "$(tape "$B" 1000-60000)" "95 records, 10 marks" "the second tape"
}

# Both copies end at the same record, the last that was acknowledged.
case_end_of_tape() {
	drives 1000000 200000 2000000 200000
	new_unit
	serve "st:$A?room=150000" "st:$B?room=150000"
	recs write "$NTAPE" 20000 1000 > "$T/said"
	like "$(said)" '^4[0-9] written, 0 marked, ENOSPC, close ok$' "the writer"
	stop_server
	is "$(tape "$A" 20000)" "$(said | cut -d' ' -f1) records, 1 marks" "the small tape"
	is "$(tape "$B" 20000)" "$(said | cut -d' ' -f1) records, 1 marks" "the large tape"
}

case_image_and_drive() {
	drives 1000000 200000
	new_unit
	serve "image:$T/a.tape?capacity=20M" "st:$A?room=150000"
	recs write "$NTAPE" 5000-30000 1000 > "$T/said"
	like "$(said)" 'ENOSPC, close ok$' "the writer"
	stop_server
	is "$(tape "$A" 5000-30000)" "$(said | cut -d' ' -f1) records, 1 marks" "the tape"
	is "$(on_image "$T/a.tape")" "$(said | cut -d' ' -f1) records, 1 marks" "the image"
}

# Through st's alternation to the last record that fits.
case_physical_end() {
	drives 1000000 200000 1200000 100000
	new_unit
	serve "st:$A?room=150000" "st:$B?room=90000"
	recs write -r 30 "$NTAPE" 20000 1000 > "$T/said"
	like "$(said)" '^50 written, 0 marked, ENOSPC, close ok$' "the writer"
	stop_server
	is "$(tape "$A" 20000)" "50 records, 1 marks" "the small tape"
	is "$(tape "$B" 20000)" "50 records, 1 marks" "the large tape"
}

# A drive that keeps less than was said: the application hears of it, and the copies
# are the same.
case_room_that_is_not_there() {
	drives 1000000 50000 2000000 50000
	new_unit
	ctl 0 delay 5
	serve "st:$A?room=1M" "st:$B?room=1M"
	recs write "$NTAPE" 20000 1000 > "$T/said"
	like "$(said)" '(EIO|ENOSPC)' "the writer"
	stop_server
	ctl 0 delay 0
	like "$(tape "$A" 20000)" '^50 records' "the small tape"
	is "$(tape "$B" 20000)" "$(tape "$A" 20000)" "the large tape"
}

# st lets the record behind a refused one through: none may overtake another.
case_none_overtakes() {
	drives 1000000 400000 4000000 400000
	new_unit
	ctl 1 delay 5
	serve "st:$A?room=350000" "st:$B?room=350000"
	recs write -r 30 "$NTAPE" 1000-30000 1000 > "$T/said"
	like "$(said)" 'ENOSPC, close ok$' "the writer"
	stop_server
	ctl 1 delay 0
	is "$(tape "$A" 1000-30000)" "$(said | cut -d' ' -f1) records, 1 marks" "the small tape"
	is "$(tape "$B" 1000-30000)" "$(said | cut -d' ' -f1) records, 1 marks" "the large tape"
}

case_killed_server() {
	drives 20000000 1000000 20000000 1000000
	new_unit --ring 4M
	SPECS=("st:$A?room=900000" "st:$B?room=900000")
	serve "${SPECS[@]}"
	killed_under 5000-60000
	is "$(tape "$A" 5000-60000)" "300 records, 1 marks" "the first tape"
	is "$(tape "$B" 5000-60000)" "300 records, 1 marks" "the second tape"
}

case_killed_server_under_marks() {
	drives 20000000 1000000
	new_unit --ring 4M
	SPECS=("st:$A?room=900000" "image:$T/a.tape?capacity=40M")
	serve "${SPECS[@]}"
	killed_under 5000-60000 -m 7
	is "$(tape "$A" 5000-60000)" "300 records, 43 marks" "the tape"
	is "$(on_image "$T/a.tape")" "300 records, 43 marks" "the image"
}

# ---- descriptors that the service manager keeps ----

# held SPEC...: a server that holder starts again when it is killed
held() {
	HELD=$T/held LOG=$T/held
	holder tape-mirror "$UNIT" "$@" < /dev/null > "$HELD" 2>&1 &
	HOLDER=$!
	echo "$HOLDER" >> "$T/pids"
	held_again 1
}

# held_again N: for the Nth time
held_again() {
	eventually 60 serves_again "$1" || { cat "$HELD" >&2; fail "no server"; }
	SERVER=$(sed -n 's/^started //p' "$HELD" | tail -n 1)
	echo "$SERVER" >> "$T/pids"
}

serves_again() { [ "$(grep -c 'serving unit' "$HELD")" -ge "$1" ]; }

# st sees no close of a drive that another keeps open: there is no mark of its own.
killed_and_held() {
	local i n=1 writer
	held "${SPECS[@]}"
	recs write -a "$T/acks" "$NTAPE" "$1" 300 > "$T/said" &
	writer=$!
	echo "$writer" >> "$T/pids"
	for i in 40 120 210; do
		eventually 60 acknowledged "$i" || fail "the writer stands at $(cat "$T/acks")"
		kill -KILL "$SERVER"
		held_again $((n += 1))
	done
	is "$(grep -c 'goes on by the descriptor' "$HELD")" 3 "drives that were kept"
	wait "$writer"
	like "$(said)" '^300 written, [0-9]* marked, ok, close ok$' "the writer"
	kill -TERM "$SERVER"
	wait "$HOLDER" || fail "holder ended with $?"
}

# What st has written without a word, since its debugging was turned on.
marks_of_its_own() { dmesg | grep -c "\[${1#/dev/n}\] Buffer flushed, [1-9]"; }

case_killed_and_held() {
	drives 20000000 1000000
	new_unit --ring 4M
	SPECS=("st:$A?room=900000" "image:$T/a.tape?capacity=40M")
	echo 1 > /sys/bus/scsi/drivers/st/debug_flag
	killed_and_held 5000-60000
	is "$(marks_of_its_own "$A")" 0 "filemarks of st's own"
	echo 0 > /sys/bus/scsi/drivers/st/debug_flag
	is "$(grep -c "^stored $A" "$HELD")" 1 "times that it was opened"
	is "$(tape "$A" 5000-60000)" "300 records, 1 marks" "the tape"
	is "$(on_image "$T/a.tape")" "300 records, 1 marks" "the image"
}

# An ordinary stop leaves no mark.
case_stopped_server() {
	drives 8000000 1000000
	new_unit
	serve "st:$A"
	writer_waits
	stop_server
	serve "st:$A"
	go_on
	wait "$WRITER"
	stop_server
	is "$(tape "$A" 1000)" "3 records, 1 marks" "the tape"
}

# dio NODE: "REQUESTS DIRECT" since it was opened last
dio() {
	dmesg | sed -n "s/.*\[${1#/dev/n}\] Number of r.w requests \([0-9]*\), dio used in \([0-9]*\),.*/\1 \2/p" |
		tail -n 1
}

# Records go to the drive from the pages of the ring: st copies none.
case_direct_io() {
	drives 32000000 1000000
	new_unit
	echo 1 > /sys/bus/scsi/drivers/st/debug_flag
	serve "st:$A?room=900000"
	like "$(recs write "$NTAPE" 65536 40)" '^40 written' "64 KiB"
	like "$(recs write "$NTAPE" 262144 10)" '^10 written' "256 KiB"
	like "$(recs write "$NTAPE" 1048576 8)" '^8 written' "1 MiB"
	like "$(recs write "$NTAPE" 100-70000 40)" '^40 written' "odd sizes"
	stop_server
	is "$(dio "$A")" "98 98" "requests, and those by direct I/O"
	serve "st:$A?room=900000"
	ok mt -f "$NTAPE" rewind
	like "$(recs read "$NTAPE" 65536)" '^40 records' "reading"
	stop_server
	echo 0 > /sys/bus/scsi/drivers/st/debug_flag
	local n
	n=$(dio "$A")
	is "${n% *}" "${n#* }" "requests, and those by direct I/O"
}

# What the application writes in blocks goes to the drive in blocks, many at once.
case_fixed_blocks() {
	drives 8000000 1000000
	new_unit
	echo 1 > /sys/bus/scsi/drivers/st/debug_flag
	serve "st:$A"
	ok mt -f "$NTAPE" setblk 512
	ok dd if=/dev/zero of="$NTAPE" bs=65536 count=10 status=none
	stop_server
	is "$(dio "$A")" "10 10" "requests"
	serve "st:$A"
	ok mt -f "$NTAPE" rewind
	is "$(dd if="$NTAPE" bs=65536 status=none | wc -c)" 655360 "bytes"
	at 1 0
	ok mt -f "$NTAPE" rewind
	is "$(dd if="$NTAPE" bs=102400 status=none | wc -c)" 655360 "bytes"
	at 1 0
	stop_server
	echo 0 > /sys/bus/scsi/drivers/st/debug_flag
	ok mt -f "$A" rewind
	ok mt -f "$A" setblk 512
	is "$(dd if="$A" bs=512 status=none | wc -c)" 655360 "bytes on the tape"
	ok mt -f "$A" setblk 0
}

# in_partition NODE NUMBER LBN: the length of the record there, by st alone
in_partition() {
	ok mt -f "$1" stsetoptions can-partitions > "$T/mt" 2>&1
	ok mt -f "$1" partseek "$2" "$3"
	dd if="$1" bs=10000 count=1 status=none | wc -c
}

READ_BOTH='op 0 MTSETPART 0 -> 0
		op 0 MTREW -> 0
		read 0 1000 -> 100 tag=01
		op 0 MTSETPART 1 -> 0
		op 0 MTREW -> 0
		read 0 1000 -> 200 tag=03'

# Of the drive and of the image beside it, in the same way; also by the next server.
case_partitions() {
	drives 8000000 1000000
	new_unit
	serve "st:$A?room=900000" "image:$T/a.tape?capacity=40M"
	script "
		open 0 npmtm0 rw -> ok
		op 0 MTSETDRVBUFFER 0x30000400 -> 0
		write 0 300 1 -> 300
		op 0 MTMKPART 10 -> 0
		write 0 100 1 -> 100
		op 0 MTWEOFI 1 -> 0
		write 0 150 2 -> 150
		op 0 MTSETPART 1 -> 0
		write 0 200 3 -> 200
		write 0 250 4 -> 250
		close 0 -> 0"
	stop_server
	serve "st:$A?room=900000" "image:$T/a.tape"
	script "
		open 0 npmtm0 rw -> ok
		op 0 MTEOM -> 0
		write 0 220 5 -> 220
		$READ_BOTH
		close 0 -> 0"
	is "$(kept 'daemon.drive.children | map(.partitions | length) | join(" ")')" "2 2" "partitions"
	stop_server
	is "$(in_partition "$A" 0 0)" 100 "partition 0, block 0"
	is "$(in_partition "$A" 0 2)" 150 "partition 0, block 2"
	is "$(in_partition "$A" 1 1)" 250 "partition 1, block 1"
	is "$(in_partition "$A" 1 3)" 220 "partition 1, block 3"
	ok mt -f "$A" partseek 0 0
	ok mt -f "$A" mkpartition 0
}

# divided MISHAP: 100 (tag 1) in partition 0; 200 (3), 250 (4) in partition 1, where
# it stands when that is called; they are there behind it.
divided() {
	drives 8000000 1000000
	new_unit
	serve "st:$A"
	script "
		open 0 npmtm0 rw -> ok
		op 0 MTSETDRVBUFFER 0x30000400 -> 0
		op 0 MTMKPART 10 -> 0
		write 0 100 1 -> 100
		op 0 MTSETPART 1 -> 0
		write 0 200 3 -> 200
		write 0 250 4 -> 250
		close 0 -> 0"
	"$1"
	script "
		open 0 npmtm0 rw -> ok
		$READ_BOTH
		close 0 -> 0"
	stop_server
	is "$(in_partition "$A" 0 0)" 100 "partition 0"
	is "$(in_partition "$A" 1 0)" 200 "partition 1"
	ok mt -f "$A" partseek 0 0
	ok mt -f "$A" mkpartition 0
}

loaded() {
	script "
		open 0 npmtm0 rw -> ok
		op 0 MTLOAD -> 0
		op 0 MTSETPART 1 -> 0
		op 0 MTREW -> 0
		read 0 1000 -> 200 tag=03
		write 0 260 5 -> 260
		close 0 -> 0"
}

# LOAD takes the drive to its first partition, and st does not know.
case_load_in_a_partition() { divided loaded; }

# Whoever writes next, or goes, learns it.
powerless() {
	ctl 0 power
	like "$(recs write "$NTAPE" 260 1)" '^0 written, 0 marked, EIO' "without power"
	script "
		open 0 npmtm0 rw -> ok
		op 0 MTREW -> 0
		read 0 1000 -> 200 tag=03
		close 0 -> 0"
	ctl 0 power
	mt -f "$NTAPE" rewind > "$T/said" 2>&1
	ok mt -f "$NTAPE" rewind
}

case_power_in_a_partition() { divided powerless; }

bad() {
	script "
		open 0 npmtm0 rw -> ok
		op 0 MTSETPART 0 -> 0
		op 0 MTREW -> 0
		close 0 -> 0"
	ctl 0 fail 2b 3 0 15 0 1000
	script "
		open 0 npmtm0 rw -> ok
		op 0 MTSETPART 1 -> 0
		op 0 MTREW -> -1 EIO
		op 0 MTSETPART 0 -> 0
		op 0 MTREW -> 0
		read 0 1000 -> 100 tag=01
		close 0 -> 0"
	ctl 0 fail 0 0 0 0 0 0
}

# One that cannot be gone to leaves the other one.
case_bad_partition() { divided bad; }

case_write_protection() {
	drives 8000000 1000000
	new_unit
	serve "st:$A"
	script "
		open 0 npmtm0 rw -> ok
		write 0 1000 1 -> 1000
		close 0 -> 0"
	ctl 0 wp 1
	script "
		open 0 npmtm0 rw -> -1 EROFS
		open 0 npmtm0 r -> ok
		op 0 MTREW -> 0
		read 0 1000 -> 1000 tag=01
		close 0 -> 0"
	ctl 0 wp 0
	script "
		open 0 npmtm0 rw -> ok
		write 0 1000 1 -> 1000
		close 0 -> 0"
}

# The medium is protected while it is written to: told as an error, nothing lost.
case_protected_in_use() {
	drives 8000000 1000000
	new_unit
	serve "st:$A"
	writer_waits
	ctl 0 wp 1
	go_on
	wait "$WRITER"
	like "$(said)" "close EIO" "the writer"
	stop_server
	ctl 0 wp 0
	is "$(tape "$A" 1000)" "3 records, 0 marks" "the tape"
}

# The medium does not take a record: it is told, and none behind it is written.
case_write_error() {
	drives 8000000 1000000
	new_unit
	serve "st:$A"
	ok recs write "$NTAPE" 1000 3
	ctl 0 fail 0a 3 0 0c 00 1
	recs write -f 3 "$NTAPE" 1000 5 > "$T/said"
	like "$(said)" 'EIO' "the writer"
	stop_server
	like "$(tape "$A" 1000)" '^3 records' "the tape"
}

# Another cartridge comes in behind the writer's back: nothing of it is touched.
case_medium_change() {
	drives 8000000 1000000
	new_unit
	serve "st:$A"
	writer_waits
	ctl 0 eject
	ctl 0 insert
	go_on
	wait "$WRITER"
	like "$(said)" "close E" "the writer"
	script "
		open 0 npmtm0 rw -> ok
		stat 0 -> f=0 b=0 gstat=41010000 [BOT ONLINE IM_REP_EN] dsreg=00000000 resid=0 type=0x72 erreg=0
		close 0 -> 0"
	stop_server
	is "$(tape "$A" 1000)" "3 records, 0 marks" "the tape"
}

is_online() { mt -f "$NTAPE" status | grep -q ONLINE; }

# change: the operator takes the cartridges out and puts them, or new ones, in
change() {
	ok mt -f "$NTAPE" offline
	no is_online
	ctl 0 "$@"
	ctl 1 "$@"
	[ "$1" = insert ] || { ctl 0 cap 1000000 200000; ctl 1 cap 2000000 200000; }
	eventually 20 is_online || fail "the cartridges are not seen"
}

# One volume behind the other, by hand.
case_next_volume() {
	drives 1000000 200000 2000000 200000
	new_unit --eot hold
	serve "st:$A?room=150000" "st:$B?room=150000"
	local first=0 n i
	for i in 0 1 2; do
		[ "$i" = 0 ] || change blank
		recs write -f "$first" "$NTAPE" 20000 1000 > "$T/said"
		like "$(said)" 'ENOSPC, close ok$' "volume $i"
		n=$(said | cut -d' ' -f1)
		change insert
		like "$(recs read -f "$first" "$NTAPE" 20000)" "^$n records, 1 marks" "volume $i"
		first=$((first + n))
	done
	stop_server
	ok mt -f "$B" rewind
	like "$(recs read -f $((first - n)) "$B" 20000)" "^$n records, 1 marks" "the second tape"
}

# The position is lost, as st says it since Linux 7; until something rewinds.
case_reset() {
	drives 8000000 1000000
	new_unit
	serve "st:$A"
	ok recs write "$NTAPE" 1000 3
	ctl 0 ua 29 0
	no mt -f "$NTAPE" weof
	ok mt -f "$NTAPE" rewind
	ok recs read "$NTAPE" 1000
}

# Whose drive it is already.
case_busy() {
	drives 8000000 1000000
	new_unit
	exec 7<> "$A"
	start_server "st:$A"
	eventually 30 gone "$SERVER" || fail "it waits for ever"
	exec 7>&-
	like "$(cat "$LOG")" "$A: Device or resource busy" "the message"
	no tape-mirror "$UNIT" "st:${A/nst/st}" 2> "$T/said"
	like "$(said)" "node that does not rewind" "the message"
	no tape-mirror "$UNIT" st:/dev/null 2> "$T/said"
	like "$(said)" "node that does not rewind" "the message"
}

# ---- a drive without LOCATE and READ POSITION, whose host takes 1 MiB: tgt's ----
#
# A short READ of it has no residue, and so records are read by their own size; and
# at the end st hands out what is no record, so that its tape is read through a unit.

tgt="$top/tests/conformance/tgt"

# A is its node
tgt_drive() {
	type tgtd iscsiadm > "$T/which" 2>&1 || skip "no tgt"
	modprobe -qna st iscsi_tcp || skip "no iscsi_tcp"
	[ ! -e /run/pmt-tgt ] || skip "tgt is in use"
	[ ! -d /sys/module/st ] || later st_gone
	later "'$tgt' stop"
	A=$("$tgt" start) || fail "tgt does not start"
}

# tgt_tape SIZE: by a unit of its own
tgt_tape() {
	local said
	new_unit
	serve "st:$A"
	said=$(recs read "$NTAPE" "$1") || fail "$A: $said"
	stop_server
	echo "${said%,*}"
}

case_tgt_and_image() {
	tgt_drive
	new_unit
	serve "st:$A" "image:$T/a.tape?capacity=40M"
	is "$(recs write -m 10 "$NTAPE" 20000 45)" "45 written, 40 marked, ok, close ok" "the writer"
	ok mt -f "$NTAPE" rewind
	like "$(recs read "$NTAPE" 20000)" '^45 records, 5 marks' "through the unit"
	ok mt -f "$NTAPE" rewind
	ok mt -f "$NTAPE" fsf 2
	at 2 0
	like "$(recs read -f 20 "$NTAPE" 20000)" '^25 records, 3 marks' "from file 2"
	is "$(recs write "$NTAPE" 1048577 1)" "0 written, 0 marked, EINVAL, close ok" "too large"
	stop_server
	is "$(tgt_tape 20000)" "45 records, 5 marks" "the tape"
	is "$(on_image "$T/a.tape")" "45 records, 5 marks" "the image"
}

case_tgt_killed_server() {
	tgt_drive
	new_unit --ring 4M
	SPECS=("st:$A?room=900000" "image:$T/a.tape?capacity=40M")
	serve "${SPECS[@]}"
	killed_under 30000
	is "$(tgt_tape 30000)" "300 records, 1 marks" "the tape"
	is "$(on_image "$T/a.tape")" "300 records, 1 marks" "the image"
}

# A copy that is ahead of one that fails can not be cut off there, as the drive has no
# ERASE: of all that it has more there is one filemark left, which is told, and where the
# writer's own one goes at close.
case_tgt_cut() {
	tgt_drive
	new_unit --ring 4M
	serve "st:$A?room=900000" \
		"delay?op=write&ms=20|fault?op=write&at=10&error=medium|image:$T/a.tape?capacity=40M"
	recs write "$NTAPE" 20000 60 > "$T/said"
	like "$(said)" 'EIO' "the writer"
	like "$(cat "$LOG")" 'does not erase: behind block 10 a filemark' "the drive"
	like "$(cat "$LOG")" 'is longer than the others' "the mirror"
	stop_server
	is "$(on_image "$T/a.tape")" "10 records, 1 marks" "the image"
	is "$(tgt_tape 20000)" "10 records, 1 marks" "the tape"
}

# It is taken to where it was by a rewind, before which st would write its mark.
case_tgt_killed_and_held() {
	tgt_drive
	new_unit --ring 4M
	SPECS=("st:$A?room=900000" "image:$T/a.tape?capacity=40M")
	killed_and_held 30000
	is "$(tgt_tape 30000)" "300 records, 1 marks" "the tape"
	is "$(on_image "$T/a.tape")" "300 records, 1 marks" "the image"
}

# At the end of data st does not say which block it is; it is there all the same.
case_tgt_alone() {
	tgt_drive
	new_unit
	serve "st:$A"
	like "$(recs write "$NTAPE" 1048576 3)" '^3 written' "1 MiB"
	ok mt -f "$NTAPE" rewind
	ok mt -f "$NTAPE" eod
	is "$(recs write -f 3 "$NTAPE" 1048576 2)" "2 written, 0 marked, ok, close ok" "appending"
	ok mt -f "$NTAPE" rewind
	like "$(recs read "$NTAPE" 1048576)" '^5 records, 2 marks' "all"
	stop_server
}

main "$@"
