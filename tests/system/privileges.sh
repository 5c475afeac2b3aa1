#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# SECURITY.md: who may do what, tried by a user without privileges, by one in
# the group of the tapes, and by root of a namespace.

. "$(dirname "$0")/lib.sh"

nodes() { printf "/dev/%s$UNIT%s " pmtm '' pmtm l pmtm m pmtm a npmtm '' npmtm l npmtm m npmtm a; }

as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
as_member() { setpriv --reuid 65534 --regid 65534 --groups "$(group)" "$@"; }
group() { getent group tape | cut -d : -f 3; }

# The programs where everybody finds them: $P
for_all() {
	P=$T/programs
	mkdir "$P"
	cp "$bin/pmt" "$bin/tape-mirror" "$P"
	chmod 755 "$T" "$P" "$P"/*
}

# by_rules: the nodes get the group and the mode that the rules of udev give.
by_rules() {
	local rules=$top/udev/60-pmt.rules node
	for node in $(nodes); do
		chgrp "$(sed -n 's/^KERNEL=="pmtm.* GROUP="\([a-z]*\)".*/\1/p' "$rules")" "$node"
		chmod "$(sed -n 's/^KERNEL=="pmtm.* MODE="\([0-7]*\)".*/\1/p' "$rules")" "$node"
	done
	chmod "$(sed -n 's/^KERNEL=="pmts.* MODE="\([0-7]*\)".*/\1/p' "$rules")" "/dev/pmts$UNIT"
}

# refuses COMMAND...: the program runs, and ends by "not permitted"
refuses() {
	says '[Pp]ermi' "$@"
	status 1 "$@"
}

# units_are_not_for WHO
units_are_not_for() {
	refuses "$1" "$P/pmt" new
	refuses "$1" "$P/pmt" list
	refuses "$1" "$P/pmt" status "$UNIT"
	refuses "$1" "$P/pmt" set --recovery 1 "$UNIT"
	refuses "$1" "$P/pmt" set --eot hold "$UNIT"
	refuses "$1" "$P/pmt" abort "$UNIT"
	refuses "$1" "$P/pmt" detach "$UNIT"
	refuses "$1" "$P/pmt" del "$UNIT"
	refuses "$1" "$P/tape-mirror" "$UNIT" null:
	is "$(state)" served "the state"
}

case_units_are_roots() {
	image_unit
	for_all
	by_rules
	units_are_not_for as_nobody
	units_are_not_for as_member
}

# What root may do in a namespace of users is nothing here.
case_root_of_a_namespace() {
	image_unit
	for_all
	ok unshare -U -r true
	for verb in list 'new' "abort $UNIT" "del $UNIT"; do
		# shellcheck disable=SC2086 # a verb and its unit
		refuses unshare -U -r "$P/pmt" $verb
	done
	is "$(state)" served "the state"
}

# The control plane is in the first network namespace only.
case_another_network() {
	new_unit
	ok pmt list
	no unshare -n pmt list
	no unshare -n pmt new
}

case_nodes_without_rules() {
	local node
	new_unit
	for node in $(nodes) "/dev/pmts$UNIT"; do
		is "$(stat -c '%a %U %G' "$node")" "600 root root" "$node"
	done
	no as_member dd if="$NTAPE" of=/dev/null count=1 status=none
}

case_nodes_by_rules() {
	local node
	image_unit
	by_rules
	for node in $(nodes); do
		is "$(stat -c '%a %U %G' "$node")" "660 root tape" "$node"
	done
	is "$(stat -c '%a %U %G' "/dev/pmts$UNIT")" "660 root root" "the slave end"
	no as_nobody dd if=/dev/zero of="$NTAPE" count=1 status=none
	no as_nobody dd if="$NTAPE" of=/dev/null count=1 status=none
	ok as_member dd if=/dev/zero of="$NTAPE" count=1 status=none
	stop_server
	no as_member dd if="/dev/pmts$UNIT" of=/dev/null count=1 status=none
	says '[Pp]ermi' as_member dd if="/dev/pmts$UNIT" of=/dev/null count=1 status=none
}

# One server at a time, also of root's.
case_one_server() {
	image_unit
	no tape-mirror "$UNIT" null:
	is "$(state)" served "the state"
}

# A user who may use the tape may not change what only root may.
case_user_of_the_tape() {
	image_unit
	chmod 666 "$NTAPE"
	script "
		drop -> 0
		open 0 npmtm0 rw -> ok
		write 0 1000 1 -> 1000
		op 0 MTSETDRVBUFFER 1 -> -1 EPERM
		op 0 MTSETDRVBUFFER 0x30000010 -> -1 EPERM
		op 0 MTSETBLK 512 -> 0
		close 0 -> 0"
}

case_scsi_commands() {
	image_unit
	by_rules
	ok sg_inq "$NTAPE" > /dev/null
	says '[Pp]ermi' as_member sg_inq "$NTAPE"
}

# Anybody may listen; told are numbers, and no names.
case_events() {
	for_all
	# Itself, not a shell that waits for it: that one would be killed alone.
	(exec setpriv --reuid 65534 --regid 65534 --clear-groups "$P/pmt" watch) \
		> "$T/events" 2> /dev/null &
	local watcher=$!
	echo "$watcher" >> "$T/pids"
	eventually 10 listens || fail "nobody listens"
	image_unit
	eventually 10 grep -q server-attached "$T/events" || fail "$(cat "$T/events")"
	no grep -F -e "$T" -e a.tape -e tape-mirror "$T/events"
}

# A row of /proc/net/netlink is of the family's protocol and in a group.
listens() { awk '$2 == 16 && $4 != "00000000" { n++ } END { exit !n }' /proc/net/netlink; }

case_server_is_not_controlled() {
	image_unit
	for_all
	is "$(stat -c '%a %U' "/run/pmt/$UNIT.sock")" "600 root" "the control socket"
	refuses as_member "$P/pmt" control "$UNIT" status
}

# Modes and statistics are for all to read and for nobody to write.
case_attributes() {
	local file n=0
	new_unit
	while read -r file; do
		is "$(stat -c %a "$file")" 444 "$file"
		ok as_nobody cat "$file" > /dev/null
		n=$((n + 1))
	done < <(find "/sys/class/pmt/npmtm$UNIT/" -name 'options' -o \
		-name 'default_*' -o -path '*/stats/*')
	[ "$n" -gt 5 ] || fail "only $n attributes"
}

main "$@"
