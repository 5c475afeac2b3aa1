#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# rmt: drives: units whose records go to real drives of "another host", by the servers
# that dump and GNU tar bring.  The drives are the oracle's under the kernel's own st,
# by which the tapes are read, with no pmt between.
#
# The other host is a network namespace, to which a line leads that is slow, and in
# which sshd listens.

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/oracle"

LIMIT=200
patience=$((2 * patience))	# ssh, on an emulated processor
dump_server=/usr/sbin/rmt-dump gnu_server=/usr/sbin/rmt-tar

# direct SERVER [OPTIONS]: drive A by a server that is run here
direct() { echo "rmt:here:$A?command=$1${2:-}"; }

# on_the_wire N: so many at once
on_the_wire() {
	local most
	most=$(pmt status --json "$UNIT" | jq '[.. | .on_the_wire_at_most? // empty] | max')
	[ "${most:-0}" -ge "$1" ] || fail "$most on the wire, at most"
}

is_online() { mt -f "$NTAPE" status | grep -q ONLINE; }

# Records, marks, motion, and the next cartridge that an operator brings.
case_servers() {
	drives 8000000 1000000 8000000 1000000
	new_unit
	serve "$(direct "$dump_server")" "$(far_gnu "$B")"
	is "$(recs write -m 10 "$NTAPE" 1000-60000 95)" "95 written, 90 marked, ok, close ok" "the writer"
	ok mt -f "$NTAPE" rewind
	ok mt -f "$NTAPE" fsf 2
	at 2 0
	like "$(recs read -f 20 "$NTAPE" 1000-60000)" '^75 records, 8 marks' "from file 2"
	stop_server
	is "$(tape "$A" 1000-60000)" "95 records, 10 marks" "the tape of dump's"
	is "$(tape "$B" 1000-60000)" "95 records, 10 marks" "the tape of GNU's"
	serve "$(direct "$dump_server")" "$(far_gnu "$B")"
	ok mt -f "$NTAPE" offline
	ctl 0 blank
	ctl 1 blank
	eventually 20 is_online || fail "the cartridges are not seen"
	ok recs write "$NTAPE" 1000 4 > "$T/said"
	stop_server
	is "$(tape "$A" 1000)" "4 records, 1 marks" "dump's second tape"
	is "$(tape "$B" 1000)" "4 records, 1 marks" "GNU's second tape"
}

# far_gnu NODE: by GNU's server
far_gnu() { echo "rmt:here:$1?command=$gnu_server&os=linux"; }

# Early warning comes among what is on the wire: st refuses a record and lets the next one
# through.  The image's copy is what the application was told.
none_overtakes() {
	new_unit
	serve "image:$T/a.tape?capacity=40M" "$2&room=350000"
	recs write -r 30 "$NTAPE" 1000-30000 1000 > "$T/said"
	like "$(said)" 'ENOSPC, close ok$' "the writer"
	on_the_wire 5
	stop_server
	is "$(on_image "$T/a.tape")" "$(said | cut -d' ' -f1) records, 1 marks" "the image"
	is "$(tape "$1" 1000-30000)" "$(on_image "$T/a.tape")" "the tape"
	rm "$T/a.tape"
}

case_none_overtakes() {
	drives 1000000 400000 1000000 400000
	ctl 0 delay 5
	ctl 1 delay 5
	none_overtakes "$A" "$(direct "$dump_server")"
	none_overtakes "$B" "$(far_gnu "$B")"
}

# To the last record that fits, on a drive here and one there.
case_end_of_tape() {
	drives 1000000 200000 1200000 100000
	new_unit
	serve "st:$B?room=90000" "$(direct "$dump_server")&room=150000"
	recs write -r 30 "$NTAPE" 20000 1000 > "$T/said"
	like "$(said)" '^50 written, 0 marked, ENOSPC, close ok$' "the writer"
	stop_server
	is "$(tape "$A" 20000)" "50 records, 1 marks" "the tape there"
	is "$(tape "$B" 20000)" "50 records, 1 marks" "the tape here"
}

# ---- another host ----

far=10.77.13.2

# A line to the namespace far, and sshd there, with keys of its own.
other_host() {
	modprobe -qa veth sch_netem || skip "no veth, no netem"
	type sshd ssh-keygen ip tc > "$T/which" || skip "no sshd"
	later "ip netns del far"
	ok ip netns add far
	ok ip link add near0 type veth peer name far0 netns far
	later "ip link del near0"
	ok ip addr add 10.77.13.1/24 dev near0
	ok ip link set near0 up
	ok ip -n far addr add "$far"/24 dev far0
	ok ip -n far link set far0 up
	mkdir -p /run/sshd "$T/ssh"
	ok ssh-keygen -q -t ed25519 -N '' -f "$T/ssh/host"
	ok ssh-keygen -q -t ed25519 -N '' -f "$T/ssh/user"
	echo "command=\"$dump_server\",restrict $(cat "$T/ssh/user.pub")" > "$T/ssh/authorized"
	echo "$far $(cut -d' ' -f1,2 "$T/ssh/host.pub")" > "$T/ssh/known"
	printf '%s\n' "HostKey $T/ssh/host" "AuthorizedKeysFile $T/ssh/authorized" \
		"PidFile $T/ssh/pid" 'StrictModes no' 'PermitRootLogin prohibit-password' \
		'ClientAliveInterval 1' 'ClientAliveCountMax 2' 'UsePAM no' > "$T/ssh/sshd_config"
	printf '%s\n' 'Host vault' "HostName $far" "IdentityFile $T/ssh/user" \
		"UserKnownHostsFile $T/ssh/known" > "$T/ssh/config"
	ok ip netns exec far /usr/sbin/sshd -f "$T/ssh/sshd_config"
	eventually 20 test -e "$T/ssh/pid" || fail "sshd does not start"
	cat "$T/ssh/pid" >> "$T/pids"
}

# slow OPTIONS OF NETEM
slow() {
	ok tc qdisc replace dev near0 root netem "$@"
	ok ip netns exec far tc qdisc replace dev far0 root netem "$@"
}

# 40 ms there and back: one by one 200 records would take 8 s and more.
case_ssh() {
	drives 8000000 1000000
	other_host
	slow delay 20ms
	new_unit
	DAEMON=rmt-forwarder
	serve --config "$T/ssh/config" "root@vault:$A"
	like "$(recs write "$NTAPE" 10240 200)" '^200 written, 0 marked, ok, close ok' "the writer"
	on_the_wire 50
	ok mt -f "$NTAPE" rewind
	like "$(recs read "$NTAPE" 10240)" '^200 records, 1 marks' "through the unit"
	stop_server
	is "$(tape "$A" 10240)" "200 records, 1 marks" "the tape"
	# A host that is not known is not spoken to.
	: > "$T/ssh/known"
	no rmt-forwarder --config "$T/ssh/config" "$UNIT" "root@vault:$A" 2> "$T/said"
	like "$(said)" 'Host key verification failed' "the message"
}

main "$@"
