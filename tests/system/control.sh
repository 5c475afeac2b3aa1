#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The control plane: units by name and number, their state, their events.

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
	ok pmt new "$UNIT" > /dev/null
	is "$(kept eot)" st "eot"
	is "$(kept block_size)" 0 "block size"
	[ "$(kept unit_id)" != "$id" ] || fail "the same identity"
}

main "$@"
