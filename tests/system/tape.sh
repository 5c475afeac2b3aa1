#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# law 4: what conformance does not have: records up to 16 MiB, who may open,
# and calls with bad arguments.

. "$(dirname "$0")/lib.sh"

case_record_sizes() {
	image_unit capacity=200M
	script "
		open 0 npmtm0 rw -> ok
		write 0 1 1 -> 1
		write 0 65536 2 -> 65536
		write 0 8388609 3 -> 8388609
		write 0 16777215 4 -> 16777215
		write 0 16777216 5 -> 16777216
		write 0 16777217 6 -> -1 EINVAL
		write 0 33554432 6 -> -1 EINVAL
		pos 0 -> 5
		op 0 MTREW -> 0
		read 0 16777216 -> 1 tag=01
		read 0 16777216 -> 65536 tag=02
		read 0 8388609 -> 8388609 tag=03
		read 0 16777217 -> -1 EINVAL
		read 0 16777215 -> 16777215 tag=04
		read 0 16777215 -> -1 ENOMEM
		pos 0 -> 5
		read 0 1 -> 0
		close 0 -> 0"
	is "$(dumpimg "$T/a.tape" | awk '/record/ { print $3 }' | tr '\n' ' ')" \
		"1 65536 8388609 16777215 16777216 " "the records in the image"
}

# A record is not larger than the ring, and the unit says what it takes.
case_small_ring() {
	new_unit --ring 1M
	serve "image:$T/a.tape?capacity=20M"
	local most
	most=$(kept record_max)
	ok [ "$most" -ge 65536 ]
	ok [ "$most" -le 1048576 ]
	script "
		open 0 npmtm0 rw -> ok
		write 0 $most 1 -> $most
		write 0 $((most + 1)) 1 -> -1 EINVAL
		write 0 $most 2 -> $most
		op 0 MTREW -> 0
		read 0 $most -> $most tag=01
		read 0 $most -> $most tag=02
		close 0 -> 0"
}

case_fixed_blocks() {
	image_unit
	script "
		open 0 npmtm0 rw -> ok
		op 0 MTSETBLK 512 -> 0
		write 0 511 1 -> -1 EINVAL
		write 0 513 1 -> -1 EINVAL
		write 0 1048576 1 -> 1048576
		pos 0 -> 2048
		op 0 MTREW -> 0
		read 0 2097152 -> 1048576 tag=01
		read 0 512 -> 0
		op 0 MTSETBLK 0 -> 0
		close 0 -> 0"
	is "$(dumpimg "$T/a.tape" | grep -c 'record 512 ')" 2048 "blocks in the image"
}

# Fixed blocks in more than the ring holds: one write(2), many commands.
case_fixed_large() {
	new_unit --ring 1M
	serve "image:$T/a.tape?capacity=20M"
	script "
		open 0 npmtm0 rw -> ok
		op 0 MTSETBLK 10240 -> 0
		write 0 5120000 7 -> 5120000
		pos 0 -> 500
		op 0 MTREW -> 0
		read 0 5120000 -> 5120000 tag=07
		close 0 -> 0"
	is "$(dumpimg "$T/a.tape" | grep -c 'record 10240 ')" 500 "blocks in the image"
}

case_bad_addresses() {
	image_unit
	script "
		open 0 npmtm0 rw -> ok
		badioctl 0 0x40086d01 -> -1 EFAULT
		badioctl 0 0x80306d02 -> -1 EFAULT
		badioctl 0 0x80086d03 -> -1 EFAULT
		badcopy 0 -> -1 EFAULT
		write 0 100 1 -> 100
		badcopy 0 -> -1 EFAULT
		write 0 100 2 -> 100
		pos 0 -> 2
		op 0 MTREW -> 0
		badread 0 -> -1 EFAULT
		read 0 100 -> 100 tag=02
		close 0 -> 0"
	is "$(dumpimg "$T/a.tape" | wc -l)" 3 "objects in the image"
}

case_one_opener() {
	image_unit
	script "
		open 0 npmtm0 rw -> ok
		open 1 npmtm0 r -> -1 EBUSY
		open 1 pmtm0 rn -> -1 EBUSY
		open 1 npmtm0 w -> -1 EBUSY
		dup 0 1
		close 0 -> 0
		open 2 npmtm0 r -> -1 EBUSY
		close 1 -> 0
		open 2 npmtm0 r -> ok
		close 2 -> 0"
}

case_signal_in_open() {
	new_unit
	serve "image:$T/none%d.tape"
	script "
		alarm 500
		open 0 npmtm0 r -> -1 EINTR
		open 0 npmtm0 rn -> ok
		close 0 -> 0"
}

# A signal to a writer that waits does not make it lose or repeat the record.
case_signal_in_write() {
	new_unit
	serve "delay?op=write&ms=1500|image:$T/a.tape?capacity=20M"
	script "
		open 0 npmtm0 rw -> ok
		op 0 MTSETDRVBUFFER 0 -> 0
		alarm 300
		write 0 1000 1 -> 1000
		took 1200 -> more
		pos 0 -> 1
		close 0 -> 0"
	is "$(dumpimg "$T/a.tape" | wc -l)" 2 "objects in the image"
}

# What was read ahead behind the mark is dropped; the writes are not held up by it.
case_append_after_reading_to_the_mark() {
	new_unit --ring 1M
	serve "image:$T/a.tape?capacity=40M"
	script "
		open 0 npmtm0 rw -> ok
		write 0 1000 1 -> 1000
		write 0 1000 2 -> 1000
		write 0 1000 3 -> 1000
		op 0 MTWEOF 1 -> 0
		op 0 MTREW -> 0
		read 0 4096 -> 1000 tag=01
		read 0 4096 -> 1000 tag=02
		read 0 4096 -> 1000 tag=03
		read 0 4096 -> 0
		filln 0 65536 100 -> 100 full writes
		pos 0 -> 104
		close 0 -> 0"
	is "$(dumpimg "$T/a.tape" | grep -c record)" 103 "records in the image"
}

# A write that never reached the drive leaves the tape as it was.
case_refused_write_gets_no_mark() {
	image_unit
	script "
		open 0 npmtm0 rw -> ok
		write 0 512 1 -> 512
		op 0 MTREW -> 0
		close 0 -> 0
		open 0 npmtm0 rw -> ok
		badcopy 0 -> -1 EFAULT
		close 0 -> 0
		open 0 npmtm0 r -> ok
		pos 0 -> 0
		read 0 512 -> 512 tag=01
		close 0 -> 0"
}

# A mark met behind bytes that are given is told by the next read.
case_mark_behind_part_of_a_block() {
	image_unit
	script "
		open 0 npmtm0 rw -> ok
		op 0 MTSETBLK 512 -> 0
		write 0 1024 1 -> 1024
		op 0 MTWEOF 1 -> 0
		write 0 512 2 -> 512
		op 0 MTREW -> 0
		read 0 700 -> 700 tag=01
		read 0 700 -> 324 tag=01
		read 0 700 -> 0
		read 0 512 -> 512 tag=02
		op 0 MTSETBLK 0 -> 0
		close 0 -> 0"
}

# Closing waits for marks that did not wait, too.
case_close_waits_for_immediate_marks() {
	new_unit
	serve "delay?op=write&ms=100|image:$T/a.tape?capacity=40M"
	script "
		open 0 npmtm0 rw -> ok
		write 0 1000 1 -> 1000
		write 0 1000 2 -> 1000
		write 0 1000 3 -> 1000
		op 0 MTWEOFI 1 -> 0
		close 0 -> 0"
	is "$(kept records_written) $(kept waiting)" "3 0" "done when close has returned"
}

main "$@"
