#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# rmt: drives: units whose records go to real drives of "another host", by the servers
# that dump and GNU tar bring.  The drives are the oracle's under the kernel's own st,
# by which the tapes are read, with no pmt between.
#
# The other host is a network namespace, to which a line leads that can be slow, lose
# packets and be cut, and in which sshd listens.

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/oracle"

LIMIT=400
patience=$((2 * patience))	# ssh, on an emulated processor
dump_server=/usr/sbin/rmt-dump gnu_server=/usr/sbin/rmt-tar
delay=$top/build/plain/tests/bench/delay

# direct SERVER [OPTIONS]: drive A by a server that is run here
direct() { echo "rmt:here:$A?command=exec\\ ${1// /\\ }${2:-}"; }

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
far_gnu() { echo "rmt:here:$1?command=exec\\ $gnu_server&os=linux"; }

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

# ---- what is lost on the way ----

# connected_again N: so often
connected_again() { [ "$(grep -c 'connected again' "$LOG")" -ge "$1" ]; }

# kill_servers NAME N: by this name; all are connected again for the Nth time
kill_servers() {
	ok pkill -KILL -P "$SERVER" -f "$1"
	eventually 60 connected_again "$2" || { cat "$LOG" >&2; fail "still not connected"; }
}

# Servers die, and st writes a filemark where they stood.  They are stopped first, with
# records on the wire: none is through before it is killed.
case_killed_servers() {
	local writer
	drives 20000000 1000000 20000000 1000000
	ctl 0 delay 10
	ctl 1 delay 10
	new_unit --ring 4M
	serve "$(direct "$dump_server")&room=900000" "$(far_gnu "$B")&room=900000"
	recs write -a "$T/acks" "$NTAPE" 5000-60000 250 > "$T/said" &
	writer=$!
	echo "$writer" >> "$T/pids"
	eventually 60 acknowledged 130 || fail "the writer stands at $(cat "$T/acks")"
	ok pkill -STOP -P "$SERVER" -f rmt-
	kill_servers rmt-dump 1
	kill_servers rmt-tar 2
	wait "$writer"
	like "$(said)" '^250 written, [0-9]* marked, ok, close ok$' "the writer"
	stop_server
	is "$(grep -c 'connection is lost' "$LOG")" 2 "connections lost"
	is "$(tape "$A" 5000-60000)" "250 records, 1 marks" "dump's tape"
	is "$(tape "$B" 5000-60000)" "250 records, 1 marks" "GNU's tape"
}

read_so_far() { [ "$(kept records_read)" -ge "$1" ]; }

case_killed_server_of_a_reader() {
	local reader
	drives 20000000 1000000
	new_unit --ring 4M
	serve "$(direct "$dump_server")&room=900000"
	ok recs write "$NTAPE" 5000-60000 250
	ok mt -f "$NTAPE" rewind
	ctl 0 delay 20
	recs read "$NTAPE" 5000-60000 > "$T/said" &
	reader=$!
	echo "$reader" >> "$T/pids"
	eventually 60 read_so_far 20 || fail "nothing is read"
	kill_servers rmt-dump 1
	wait "$reader" || fail "the reader failed"
	is "$(said)" "250 records, 1 marks, ok" "the reader"
	on_the_wire 5
}

# The daemon dies with its server.
case_killed_daemon() {
	drives 20000000 1000000
	new_unit --ring 4M --recovery 300
	SPECS=("$(direct "$dump_server")&room=900000" "image:$T/a.tape?capacity=40M")
	serve "${SPECS[@]}"
	killed_under 5000-60000
	is "$(tape "$A" 5000-60000)" "300 records, 1 marks" "the tape"
	ok pmt verify "st:$A" "image:$T/a.tape"
}

# bad_line LOST OPTIONS: a line with a round trip of 10 ms, by OPTIONS of bench/delay.
# 2.2 MB are written by it, and read; LOST connections are lost at least.
bad_line() {
	drives 8000000 1000000
	new_unit --ring 1M
	serve "$(direct "$delay 5 $2 $dump_server")&room=900000&recovery=120&timeout=5" \
		"image:$T/a.tape?capacity=40M"
	is "$(recs write -m 20 "$NTAPE" 5000-40000 100)" "100 written, 100 marked, ok, close ok" "the writer"
	ok mt -f "$NTAPE" rewind
	is "$(recs read "$NTAPE" 5000-40000)" "100 records, 5 marks, ok" "the reader"
	on_the_wire 5
	stop_server
	[ "$(grep -c 'connection is lost' "$LOG")" -ge "$1" ] || fail "the line was good"
	is "$(tape "$A" 5000-40000)" "100 records, 5 marks" "the tape"
	ok pmt verify "st:$A" "image:$T/a.tape"
}

# In the middle of a record, one way and the other.
case_cut_line() { bad_line 4 '-c 900000'; }

# Nothing comes through any more, and nobody says so.
case_stuck_line() { bad_line 2 '-s 2000000'; }

# ---- volumes ----

# asked TAR: it asks for a volume, or has ended
asked() { [ -s "$T/asked" ] || gone "$1"; }

# tar_volumes KEEP SPEC...: three volumes by tar, or more; while no daemon is there, KEEP N
# is run for each, and then comes a blank cartridge.
tar_volumes() {
	local keep=$1 n tar
	shift
	mkdir "$T/src"
	for n in 1 2 3 4; do head -c 375000 /dev/urandom > "$T/src/$n"; done
	mkfifo "$T/go"
	printf '#!/bin/sh\nmt -f %s offline; echo > %s; read -r _ < %s\n' \
		"$NTAPE" "$T/asked" "$T/go" > "$T/change"
	chmod 755 "$T/change"
	serve "$@"
	tar -cM -F "$T/change" -f "$NTAPE" -C "$T" src 2> "$T/said" &
	tar=$!
	echo "$tar" >> "$T/pids"
	for ((n = 0; ; n++)); do
		eventually 60 asked "$tar" || { cat "$T/said" "$LOG" >&2; fail "tar does not end"; }
		[ -s "$T/asked" ] || break
		on_the_wire 5
		stop_server
		ctl 0 insert
		"$keep" "$n"
		rm "$T/asked"
		ctl 0 blank
		ctl 0 cap 600000 300000
		serve "$@"
		eventually 20 is_online || fail "the cartridge is not seen"
		echo > "$T/go"
	done
	wait "$tar" || { cat "$T/said" >&2; fail "tar"; }
	stop_server
	"$keep" "$n"
	[ "$n" -ge 2 ] || fail "only $n full volumes"
}

same_volume() { ok pmt verify "st:$A" "image:$T/a$1.tape"; }
keep_volume() { ok pmt copy "st:$A" "image:$T/a$1.tape?create=yes"; }

# Each ends among what is on the wire, and is the same there as here.
case_tar_volumes() {
	drives 600000 300000
	ctl 0 delay 2
	new_unit
	tar_volumes same_volume "$(direct "$dump_server" "&room=250000")" \
		"image:$T/a%d.tape?capacity=40M"
}

# What was written by rmt-forwarder, extracted from copies of its tapes.
case_forwarder_volumes() {
	drives 600000 300000
	ctl 0 delay 2
	new_unit
	DAEMON=rmt-forwarder
	tar_volumes keep_volume --command "exec $gnu_server" --os linux --room 250000 "here:$A"
	DAEMON=tape-mirror
	new_unit
	serve "image:$T/a%d.tape"
	printf '#!/bin/sh\nmt -f %s offline\n' "$NTAPE" > "$T/change"
	mkdir "$T/out"
	ok tar -xM -F "$T/change" -f "$NTAPE" -C "$T/out"
	ok diff -r "$T/src" "$T/out/src"
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
		'ClientAliveInterval 2' 'ClientAliveCountMax 2' 'UsePAM no' > "$T/ssh/sshd_config"
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

# ssh_writer N, ssh_written N: records that are to come through, whatever happens
ssh_writer() {
	recs write -a "$T/acks" "$NTAPE" 5000-20000 "$1" > "$T/said" &
	WRITER=$!
	echo "$WRITER" >> "$T/pids"
	eventually 60 acknowledged $(($1 / 3)) || fail "the writer stands at $(cat "$T/acks")"
}

ssh_written() {
	wait "$WRITER"
	like "$(said)" "^$1 written, 0 marked, ok, close ok$" "the writer: $(tail -n 3 "$LOG")"
	ok mt -f "$NTAPE" rewind
	is "$(recs read "$NTAPE" 5000-20000)" "$1 records, 1 marks, ok" "through the unit"
	stop_server
	is "$(tape "$A" 5000-20000)" "$1 records, 1 marks" "the tape"
}

# 40 ms there and back: one by one 200 records would take 8 s and more.  The forwarder is
# killed in the middle, and the next one goes on.
case_ssh() {
	drives 8000000 1000000
	other_host
	slow delay 20ms
	new_unit --ring 4M --recovery 300
	DAEMON=rmt-forwarder
	serve --config "$T/ssh/config" --room 900000 "root@vault:$A"
	ssh_writer 200
	on_the_wire 20
	stop_server KILL
	eventually 60 mt -f "$A" status > "$T/status" 2>&1 || fail "$A stays busy"
	serve --config "$T/ssh/config" --room 900000 "root@vault:$A"
	ssh_written 200
	# A host that is not known is not spoken to.
	: > "$T/ssh/known"
	no rmt-forwarder --config "$T/ssh/config" "$UNIT" "root@vault:$A" 2> "$T/said"
	like "$(said)" 'Host key verification failed' "the message"
}

# Packets are lost, and the line is cut for so long that both sides give up.  What is
# left when it is cut takes seconds: with nothing under way nobody would notice.
case_bad_network() {
	local spec
	drives 8000000 1000000
	other_host
	printf '%s\n' 'ServerAliveInterval 2' 'ServerAliveCountMax 2' 'ConnectTimeout 20' \
		>> "$T/ssh/config"
	slow delay 5ms loss 2% rate 3mbit
	new_unit --ring 4M
	spec="rmt:root@vault:$A?room=900000&recovery=120"
	spec+="&command=exec\\ ssh\\ -F\\ $T/ssh/config\\ root@vault\\ rmt"
	serve "$spec" "image:$T/a.tape?capacity=40M"
	ssh_writer 200
	ok ip link set near0 down
	eventually 60 grep -q 'connection is lost' "$LOG" || fail "it is not noticed"
	ok ip link set near0 up
	ssh_written 200
	ok grep -q 'connected again' "$LOG"
	ok pmt verify "st:$A" "image:$T/a.tape"
}

main "$@"
