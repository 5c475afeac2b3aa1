#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The control plane: units by name and number, their state, their events; and what
# "pmt control" does to a tape.

. "$(dirname "$0")/lib.sh"

case_new_and_del() {
	new_unit
	ok [ -c "$TAPE" ] && ok [ -c "$NTAPE" ] && ok [ -c "/dev/pmts$UNIT" ]
	ok [ -e "/sys/class/pmt/pmtm$UNIT/dev" ] && ok [ -e "/sys/class/pmt/npmtm$UNIT/dev" ]
	ok [ -e "/sys/class/pmt/pmts$UNIT/dev" ]
	status 1 pmt new "$UNIT"
	says 'exist|taken' pmt new "$UNIT"
	ok pmt del "$UNIT"
	no [ -e "$NTAPE" ] && no [ -e "/sys/class/pmt/pmtm$UNIT" ]
	status 1 pmt del "$UNIT"
}

# A unit has more than one name.
case_names() {
	new_unit
	ok pmt status "npmtm$UNIT" > /dev/null
	ok pmt status "/dev/pmts$UNIT" > /dev/null
	ln -s "$NTAPE" "$T/link"
	ok pmt status "$T/link" > /dev/null
	ok pmt del "/dev/pmtm$UNIT"
}

case_minors_as_st() {
	new_unit
	is "$(stat -c %T "$TAPE")" "$(printf %x $(($(stat -c 0x%T "$NTAPE") - 128)))" \
		"minor numbers"
}

case_options() {
	new_unit --ring 1M --recovery 7.5 --eot hold
	is "$(kept ring)" 1048576 "ring"
	is "$(kept recovery_ms)" 7500 "recovery"
	is "$(kept eot)" hold "eot"
	ok pmt set --recovery forever --eot st "$UNIT"
	is "$(kept recovery_ms)" null "recovery"
	is "$(kept eot)" st "eot"
}

NEWLINE=$'\n'

case_status() {
	image_unit
	ok recs write "$NTAPE" 1000 5
	is "$(kept state)" served "state"
	is "$(kept server_pid)" "$SERVER" "server"
	is "$(kept place.file)" 1 "file"
	is "$(kept place.lbn)" 6 "LBN"
	is "$(kept records_written)" 5 "records"
	is "$(kept bytes_written)" 5000 "bytes"
	is "$(kept master_open)" false "master"
	is "$(kept waiting)" 0 "waiting"
	is "$(kept daemon.drive.kind)" image "drive"
	says 'served by process' pmt status "$UNIT"
	says "(^|$NEWLINE)$UNIT +served" pmt list
}

case_status_of_copies() {
	new_unit
	serve --policy degrade "image:$T/a.tape?capacity=10M" "image:$T/b.tape?capacity=10M"
	ok recs write "$NTAPE" 1000 5
	is "$(kept 'daemon.drive.children | length')" 2 "copies"
	is "$(kept 'daemon.drive.children[1].kind')" image "the second"
	is "$(kept 'daemon.drive.kind')" mirror "the drive"
}

seen() { jq -es "any(.unit == $UNIT and .event == \"$1\")" "$T/events" > /dev/null; }

case_watch() {
	pmt watch --json > "$T/events" 2> "$T/watch.log" &
	echo $! >> "$T/pids"
	# It watches when it sees the events of a unit made for that.
	eventually 20 watches
	new_unit --recovery 30
	serve "fault?op=marks&error=medium|limit?capacity=100000&ew=50000|image:$T/a.tape?capacity=10M"
	script "
		open 0 npmtm0 rw -> ok
		fill 0 10000 -> 5 full writes, then -1 ENOSPC
		close 0 -> -1 EIO"
	stop_server
	pmt abort "$UNIT"
	pmt del "$UNIT"
	local event
	for event in unit-added server-attached medium-loaded early-warning error \
		server-lost aborted unit-removed ready stopping; do
		eventually 20 seen "$event" ||
			{ cat "$T/events" "$T/watch.log" >&2; fail "no event $event"; }
	done
	is "$(jq -s '[.[] | select(.time == null or .source == null)] | length' "$T/events")" \
		0 "events without time or source"
	is "$(jq "select(.unit == $UNIT and .event == \"error\") | .key" "$T/events" | head -n 1)" \
		3 "the sense key"
}

watches() {
	local unit
	unit=$(pmt new --json | jq -r .unit)
	echo "$unit" >> "$T/units"
	sleep 0.2
	pmt del "$unit"
	[ -s "$T/events" ]
}

# Early warning names the place.
case_counts() {
	image_unit
	local before after
	before=$(kept records_read)
	ok recs write "$TAPE" 1000 7
	ok recs read "$TAPE" 1000
	after=$(kept records_read)
	is $((after - before)) 7 "records read"
	is "$(kept bytes_read)" 7000 "bytes read"
}

case_delete_in_use() {
	image_unit
	status 1 pmt del "$UNIT"
	says 'served|busy|open|use' pmt del "$UNIT"
	stop_server
	exec 8< "/dev/pmts$UNIT"
	status 1 pmt del "$UNIT"
	exec 8<&-
	ok pmt del "$UNIT"
}

case_many_units() {
	local i first=100
	for ((i = first; i < first + 64; i++)); do
		echo "$i" >> "$T/units"
		ok pmt new --ring 1M "$i" > /dev/null
	done
	is "$(pmt list --json | jq "[.[] | select(.unit >= $first)] | length")" 64 "units"
	is "$(find /dev -name 'npmtm1[0-9][0-9]' | wc -l)" 64 "nodes"
	for ((i = first; i < first + 64; i++)); do
		ok pmt del "$i"
	done
	is "$(find /dev /sys/class/pmt -name '*pmt[ms]1[0-9][0-9]' | wc -l)" 0 "nodes"
}

# The ring is only there while a server is.
case_idle_units_are_small() {
	local said bytes
	case ${PMT_VM:-} in uml | debug | kcsan) skip "memory is larger where it is checked" ;; esac
	said=$(units 256) || fail "no 256 units"
	echo "# $said"
	bytes=${said#*bytes=}
	bytes=${bytes%% *}
	[ "$bytes" -gt 0 ] || fail "$said"
	[ "$bytes" -lt 65536 ] || fail "a unit takes $bytes bytes"
}

# The number of a deleted unit can be taken by another one, which knows nothing
# of the first.
case_number_again() {
	new_unit --eot hold
	local id
	id=$(kept unit_id)
	serve "image:$T/a.tape?capacity=10M"
	ok mt -f "$NTAPE" setblk 512
	stop_server
	ok pmt del "$UNIT"
	# The number is free with the last reference, which a kernel may put off.
	eventually 10 pmt new "$UNIT" > /dev/null 2>&1 || fail "the number is taken"
	is "$(kept eot)" st "eot"
	is "$(kept block_size)" 0 "block size"
	[ "$(kept unit_id)" != "$id" ] || fail "the same identity"
}

# ---- pmt control: what happens to the tape, and what a program then sees ----

# A unit whose drive takes all orders, unbuffered.  OPTIONS of limit.
controlled_unit() {
	new_unit
	serve "fault|limit?window=0${1:+&$1}|image:$T/a.tape?capacity=40M"
}

control() { pmt control "$UNIT" "$@"; }
orders() { tt -u "$UNIT" -c "pmt control $UNIT" -e "$1" || fail "the answers differ"; }

case_control_lines() {
	controlled_unit
	is "$(printf '%s\n' 'wp 1' frob '' 'wp 2' ' cap  100  10 ' 'ewvalid 1' |
		pmt control "$UNIT"; echo "${PIPESTATUS[1]}")" \
		"ok
error no drive here knows 'frob'
error a line is a verb and numbers
error expected: wp 0|1
ok
error a result of pmt does not have that choice
1" "the answers"
	is "$(printf 'wp 0\nblank' | pmt control "$UNIT"; echo "${PIPESTATUS[1]}")" \
		$'ok\nok\n0' "the answers"
	ok control eject
	status 1 control frob
	says "pmt: unit $UNIT: no drive here knows 'frob'" control frob
	status 1 control wp
	stop_server
	status 1 control eject
	says 'no server with a control socket' control eject
}

# Each line is answered before the next one is read; the server may go.
case_control_as_coprocess() {
	local answer line
	controlled_unit
	coproc pmt control "$UNIT"
	for line in 'wp 1' 'ua 100 0' 'wp 0'; do
		echo "$line" >&"${COPROC[1]}"
		read -r -t 10 answer <&"${COPROC[0]}" || fail "no answer to $line"
		case $line in
		ua*) is "$answer" 'error expected: ua AS AQ' "$line" ;;
		*) is "$answer" ok "$line" ;;
		esac
	done
	stop_server
	echo 'wp 1' >&"${COPROC[1]}"
	read -r -t 10 answer <&"${COPROC[0]}" || fail "no answer"
	is "$answer" 'error the server is gone' "the answer"
}

case_control_of_other_drives() {
	image_unit
	says "no drive here knows 'eject'" control eject
	stop_server
	serve "fault|image:$T/a.tape" "image:$T/b.tape?capacity=40M"
	says 'mirror: ' control eject
}

case_control_eject_and_insert() {
	controlled_unit
	ok recs write "$NTAPE" 1000 5
	orders '
		ctl eject
		open 0 npmtm0 rn -> ok
		read 0 1000 -> -1 ENOMEDIUM
		op 0 MTREW -> -1 ENOMEDIUM
		close 0 -> 0
		ctl insert
		open 0 npmtm0 r -> ok
		op 0 MTREW -> 0
		close 0 -> 0'
	is "$(recs read "$NTAPE" 1000 | cut -d, -f1)" "5 records" "what is on it"
	ok mt -f "$NTAPE" offline
	orders '
		open 0 npmtm0 rn -> ok
		read 0 1000 -> -1 ENOMEDIUM
		close 0 -> 0
		ctl insert
		open 0 npmtm0 r -> ok
		close 0 -> 0'
	is "$(recs read "$NTAPE" 1000 | cut -d, -f1)" "5 records" "what is on it"
}

# The cartridge goes out under a program.
case_control_eject_in_use() {
	controlled_unit
	orders '
		open 0 npmtm0 rw -> ok
		write 0 1000 1 -> 1000
		op 0 MTWEOF 1 -> 0
		op 0 MTREW -> 0
		ctl eject
		op 0 MTFSF 1 -> -1 EIO
		close 0 -> 0'
}

case_control_blank() {
	controlled_unit
	ok recs write "$TAPE" 1000 5
	ok control wp 1
	ok control fail 0a 3 0 0c 0 5
	ok control blank
	orders '
		open 0 npmtm0 rw -> ok
		op 0 MTREW -> 0
		read 0 1000 -> -1 EIO
		op 0 MTREW -> 0
		write 0 1000 7 -> 1000
		close 0 -> 0'
	is "$(kept daemon.drive.children[0].children[0].lbn)" 2 "where the image stands"
}

case_control_wp() {
	controlled_unit
	orders '
		ctl wp 1
		open 0 npmtm0 rw -> -1 EROFS
		open 0 npmtm0 rwn -> ok
		write 0 1000 1 -> -1 EACCES
		op 0 MTWEOF 1 -> -1 EACCES
		close 0 -> 0
		open 0 npmtm0 r -> ok
		close 0 -> 0
		ctl wp 0
		open 0 npmtm0 rw -> ok
		write 0 1000 1 -> 1000
		ctl wp 1
		write 0 1000 2 -> -1 EIO
		ctl wp 0
		op 0 MTREW -> 0
		close 0 -> 0'
}

# The test at open takes it.
case_control_ua() {
	controlled_unit
	orders '
		ctl ua 2a 1
		open 0 npmtm0 rw -> ok
		write 0 1000 1 -> 1000
		op 0 MTREW -> 0
		read 0 1000 -> 1000 tag=01
		close 0 -> 0'
}

case_control_fail() {
	controlled_unit
	orders '
		open 0 npmtm0 rw -> ok
		ctl fail 0a 3 0 0c 0 1
		write 0 1000 1 -> -1 EIO
		op 0 MTREW -> 0
		write 0 1000 1 -> 1000
		ctl fail 10 3 0 0c 0 1
		op 0 MTWEOF 1 -> -1 EIO
		op 0 MTWEOF 1 -> 0
		ctl fail 01 4 0 44 0 2
		op 0 MTREW -> -1 EIO
		op 0 MTREW -> -1 EIO
		op 0 MTREW -> 0
		ctl fail 08 3 0 11 0 1
		read 0 1000 -> -1 EIO
		op 0 MTREW -> 0
		read 0 1000 -> 1000 tag=01
		ctl fail 11 3 0 15 0 1
		op 0 MTBSR 1 -> -1 EIO
		ctl fail 15 5 0 26 0 1
		op 0 MTSETBLK 512 -> -1 EIO
		op 0 MTSETBLK 512 -> 0
		ctl fail 1e 5 0 24 0 1
		op 0 MTLOCK -> 1026
		op 0 MTLOCK -> 0
		op 0 MTUNLOCK -> 0
		close 0 -> 0'
}

case_control_notready() {
	controlled_unit
	orders '
		ctl notready 2
		open 0 npmtm0 rn -> ok
		read 0 1000 -> -1 EIO
		close 0 -> 0
		open 0 npmtm0 r -> ok
		took 900 -> more
		close 0 -> 0'
}

case_control_cap() {
	controlled_unit
	orders '
		ctl cap 1000000 200000
		open 0 npmtm0 rw -> ok
		fill 0 65536 -> 13 full writes, then -1 ENOSPC
		op 0 MTWEOF 1 -> 0
		write 0 65536 1 -> 65536
		write 0 65536 1 -> -1 ENOSPC
		op 0 MTREW -> 0
		op 0 MTEOM -> 0
		op 0 MTBSF 2 -> 0
		op 0 MTBSR 1 -> 0
		write 0 65536 1 -> 65536
		write 0 65536 1 -> -1 ENOSPC
		op 0 MTREW -> 0
		ctl cap 100000 20000
		op 0 MTSETBLK 30000 -> 0
		write 0 90000 1 -> 90000
		write 0 90000 1 -> -1 ENOSPC
		write 0 30000 1 -> -1 ENOSPC
		close 0 -> 0'
}

# At the same byte after another load, when nobody has counted.
case_control_cap_after_load() {
	controlled_unit
	orders '
		open 0 npmtm0 rw -> ok
		filln 0 65536 12 -> 12 full writes
		op 0 MTWEOF 1 -> 0
		close 0 -> 0'
	ok mt -f "$NTAPE" offline
	ok mt -f "$NTAPE" load
	orders '
		ctl cap 1000000 200000
		open 0 npmtm0 rw -> ok
		op 0 MTEOM -> 0
		write 0 13568 1 -> 13568
		write 0 1 1 -> 1
		write 0 1 1 -> -1 ENOSPC
		close 0 -> 0'
}

case_control_density_and_record() {
	controlled_unit 'density=94&record=20000'
	orders '
		open 0 npmtm0 rw -> ok
		op 0 MTSETDENSITY 0x5a -> -1 EIO
		op 0 MTSETDENSITY 0x5e -> 0
		write 0 20001 1 -> -1 EINVAL
		write 0 20000 1 -> 20000
		close 0 -> 0'
	is "$(kept record_max)" 20000 "largest record"
	is "$(kept window)" 0 "window"
}

# While a command is executed, and without waiting for it.
case_control_of_a_slow_drive() {
	local began pid
	controlled_unit
	ok control delay 5000
	began=${EPOCHREALTIME/./}
	mt -f "$NTAPE" status > /dev/null &
	pid=$!
	eventually 10 waiting 1 || fail "nothing is under way"
	ok control wp 1
	ok control delay 0
	[ $((${EPOCHREALTIME/./} - began)) -lt 4500000 ] || fail "it waited for the drive"
	waiting 1 || fail "the drive is not slow"
	wait "$pid"
	[ $((${EPOCHREALTIME/./} - began)) -ge 5000000 ] || fail "the drive was not slow"
	orders 'open 0 npmtm0 rw -> -1 EROFS'
}

main "$@"
