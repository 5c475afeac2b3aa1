#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The control plane and who may use it: malformed messages harm nothing, and
# only who has CAP_SYS_ADMIN at home is answered.
#
#	PMT_SEED=N PMT_FUZZ_SECONDS=20 tests/vm/run -t 300 tests/fuzz/netlink.sh

export LIMIT=$((${PMT_FUZZ_SECONDS:-20} + 90))

. "$(dirname "$0")/../system/lib.sh"
PATH=$top/build/plain/tests/fuzz:$PATH
[ "${1:-}" = -c ] || exec 3>&1		# for the counts, also of what succeeds

EPERM=1 ENOENT=2

# Two units of numbers that chance does not find, one with a server.
two_units() {
	FIRST=$((3001 + 2 * RANDOM % 900))
	new_unit $((FIRST + 1)) --ring 1M --recovery 7
	new_unit "$FIRST" --ring 1M --eot hold
	serve "image:$T/a.tape?capacity=10M"
	is "$(recs write "$NTAPE" 1000 3)" "3 written, 0 marked, ok, close ok" "the writer"
	BEFORE=$(pmt status --json) || fail "no status"
	DEVICES=$(devices)
}

devices() { find /sys/class/pmt/ /dev -name '*pmt*' | sort; }

# The units are what they were, no other is there, and the tape goes on.
unchanged() {
	is "$(pmt status --json)" "$BEFORE" "the units"
	is "$(devices)" "$DEVICES" "the nodes"
	no gone "$SERVER"
	ok mt -f "$NTAPE" rewind
	is "$(recs read "$NTAPE" 1000)" "3 records, 1 marks, ok" "the reader"
}

case_netlink_malformed() {
	local status=0
	two_units
	netlink fuzz "$FIRST" 2 > "$T/said" || status=$?
	sed 's/^/# /' "$T/said" >&3
	is "$status" 0 "seed ${PMT_SEED:-1}: $(grep command "$T/said")"
	unchanged
}

case_netlink_unprivileged() {
	two_units
	ok setpriv --reuid 65534 --regid 65534 --clear-groups netlink denied "$EPERM" "$FIRST"
	ok setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin --ambient-caps=-all \
		netlink denied "$EPERM" "$FIRST"
	unchanged
}

case_netlink_credentials() {
	two_units
	ok netlink credentials "$FIRST"
	unchanged
}

# With all capabilities, but not here.
case_netlink_user_namespace() {
	two_units
	ok unshare -U -r netlink denied "$EPERM" "$FIRST"
	ok setpriv --reuid 65534 --regid 65534 --clear-groups \
		unshare -U -r netlink denied "$EPERM" "$FIRST"
	unchanged
}

# There the family is not, nor are its events.
case_netlink_network_namespace() {
	local events
	two_units
	read -r PMT_FAMILY PMT_GROUP < <(netlink family)
	export PMT_FAMILY PMT_GROUP
	ok unshare -n netlink denied "$ENOENT" "$FIRST"
	ok unshare -U -r -n netlink denied "$ENOENT" "$FIRST"
	no unshare -n pmt list > /dev/null 2>&1
	unshare -n netlink silent &
	events=$!
	echo "$events" >> "$T/pids"
	sleep 0.3
	new_unit
	ok pmt del "$UNIT"
	wait "$events" || fail "events are heard in another network namespace"
	UNIT=$FIRST NTAPE=/dev/npmtm$FIRST
	unchanged
}

main "$@" | sed -uE 's,^(ok|not ok|skip) [a-z]+/,\1 fuzz/,'
exit "${PIPESTATUS[0]}"
