#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# pmt metrics: it is OpenMetrics text, and says what is.

. "$(dirname "$0")/lib.sh"

command -v python3 > /dev/null || skip "no python3"

read_metrics() { python3 "$dir/openmetrics.py" < "$1"; }

# value NAME LABELS: of what was read
value() {
	local line
	line=$(grep -F "$1{$2} " "$T/values") || fail "no $1{$2}: $(cat "$T/values")"
	echo "${line##* }"
}

case_says() {
	local unit
	new_unit
	unit="unit=\"$UNIT\""
	serve --policy degrade 'fault?op=write&at=2&error=medium|image:'"$T/a\\,\"b.tape?capacity=4M" "image:$T/b.tape?capacity=4M"
	dd if=/dev/zero of="$NTAPE" bs=10000 count=3 status=none || fail "dd: $?"
	ok pmt metrics > "$T/text"
	ok read_metrics "$T/text" > "$T/values"
	is "$(value pmt_unit_state "state=\"served\",$unit")" 1 state
	is "$(value pmt_unit_state "state=\"broken\",$unit")" 0 state
	is "$(value pmt_unit_server_answers "$unit")" 1 "the server answers"
	is "$(value pmt_unit_written_bytes_total "$unit")" 30000 written
	is "$(value pmt_unit_written_records_total "$unit")" 3 records
	is "$(value pmt_unit_lbn "$unit")" 4 lbn
	is "$(value pmt_unit_file "$unit")" 1 file
	like "$(grep 'pmt_copy_failed{copy="0"' "$T/values")" ' 1$' "the copy that failed"
	like "$(grep 'pmt_copy_failed{copy="1"' "$T/values")" ' 0$' "the other"
	like "$(grep 'pmt_copy_written_bytes_total{copy="1"' "$T/values")" ' 30000$' bytes
	grep -q 'drive="fault.*a\\\\,\\"b.tape?capacity=4M"' "$T/values" || fail "$(cat "$T/values")"
	ok pmt metrics "$UNIT" > "$T/one"
	ok read_metrics "$T/one" > /dev/null
	ok pmt del "$(pmt new --json | jq .unit)"
	stop_server
	ok pmt metrics "$UNIT" | read_metrics /dev/stdin > "$T/values"
	is "$(value pmt_unit_server_answers "$unit")" 0 "no server"
}

# The reader takes nothing that is not right.
case_reader() {
	local script
	printf '# TYPE a_bytes counter\n# UNIT a_bytes bytes\n# HELP a_bytes x\n' > "$T/good"
	printf 'a_bytes_total{l="\\"x"} 1\na_bytes_total{l="y"} 2\n# EOF\n' >> "$T/good"
	ok read_metrics "$T/good" > /dev/null
	for script in "\$d" 's/_total//' 's/"y"/"\\"x"/' 's/ 2$/ -2/' 's/ counter/ info/' \
		's/UNIT a_bytes bytes/UNIT a_bytes seconds/' '2p' 's/l="y"/l=y/' "\$a x" \
		's/"y"/"y",l="z"/' '5i # HELP a_bytes y' 's/ 1$/ 1 /'; do
		sed "$script" "$T/good" > "$T/bad"
		no read_metrics "$T/bad" > /dev/null 2>&1
	done
}

main "$@"
