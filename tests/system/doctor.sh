#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# pmt doctor tells of units, their servers and copies.

. "$(dirname "$0")/lib.sh"

case_units() {
	new_unit
	says "BAD +unit $UNIT is unserved" pmt doctor
	serve --policy degrade 'fault?op=write&at=1&error=medium|image:'"$T/a.tape?capacity=4M" "image:$T/b.tape?capacity=4M"
	says "ok +unit $UNIT is served" pmt doctor
	no grep -q "unit $UNIT: copy" <(pmt doctor)
	dd if=/dev/zero of="$NTAPE" bs=10000 count=2 status=none || fail "dd: $?"
	says "BAD +unit $UNIT: copy fault.*a.tape.capacity=4M: failed" pmt doctor
	status 1 pmt doctor > /dev/null
	chmod 666 "/dev/pmts$UNIT"
	says "BAD +/dev/pmts$UNIT has mode 0666 and group 0, not 0600" pmt doctor
	chmod 600 "/dev/pmts$UNIT"
	says "ok +/dev/pmts$UNIT has its mode" pmt doctor
	pmt doctor --json | jq -e 'map(select(.ok)) | length > 3' > /dev/null || fail "no JSON"
}

# Of a copy that is on its way back there is nothing to put right; of one that did not come
# back there is.
case_rejoins() {
	new_unit
	serve --policy degrade "image:$T/a.tape?capacity=10M" \
		"fault?op=write&at=3&error=medium|image:$T/b.tape?capacity=10M"
	ok recs write "$NTAPE" 1000 200 > "$T/said"
	says "BAD +unit $UNIT: copy fault.*b.tape.*: failed" pmt doctor
	ok pmt rejoin "$UNIT" 2 "delay?op=write&ms=100|image:$T/c.tape?capacity=10M"
	under_way() { [ "$(kept daemon.drive.rejoin.state)" = copying ]; }
	eventually 20 under_way || fail "it does not begin: $(pmt status "$UNIT")"
	says "ok +unit $UNIT: copy .* rejoins: copying, [0-9]+ of [0-9]+ blocks" pmt doctor
	no grep -q "$UNIT: copy .*failed" <(pmt doctor)
	under_way || fail "it was too fast to be seen"
}

main "$@"
