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

main "$@"
