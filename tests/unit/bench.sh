#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The table of make bench: medians, spread, ratios, units, and how it grows, of lines whose
# figures are known; and that lines without sense are not passed over.  bench/transfer: it
# counts what it has sent, and tells data that did not come back as it was.

top=$(cd "$(dirname "$0")/../.." && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
status=0

fail() {
	echo "bench.sh: $*" >&2
	status=1
}

# line KIND DIRECTION SIZE RECORDS SECONDS CPU DOORBELLS
line() { printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" $(($3 * $4)) "$5" "$6" "$7"; }

# is FILTER WANTED: of the JSON
is() {
	local got
	got=$(jq -c "$1" "$tmp/json")
	[ "$got" = "$2" ] || fail "$1: got $got, expected $2"
}

# 1,000 records of 1,000,000 bytes in 10, 2, 5 seconds: 100, 500, 200 MB/s
{
	printf 'machine\tone "machine"\n'
	line pipe write 1000000 1000 10 1 -1
	line pmtm write 1000000 1000 2.5 4 10
	line pmtm read 1000000 1000 1 1 7
	line pipe write 1000000 1000 2 2 -1
	line pmtm write 1000000 1000 1 1 30
	line pipe write 1000000 1000 5 9 -1
	line pmtm write 1000000 1000 2 2 40
	line pmtm write 1000000 1000 1.25 3 1000
	line tee write 65536 10 1 0 -1
	line 'mirror of 2' write 1000000 1000 2.5 4 1
	line 'mirror of 2' write 1000000 1000 2 2 1
	line 'mirror of 2' write 1000000 1000 4 4 1
	line 'mirror of 2' write 1000000 1000 5 6 1
	line 'mirror of 2' write 65536 10 1 0 -1
	for of in "flat 1 100" "flat 10 100" "flat 10 300" "flat 10 110" "linear 1 5" "linear 8 40" \
		"grew 1 5" "grew 8 40" "fell 1 9" "fell 2 3"; do
		read -r name x value <<< "$of"
		printf 'scaling\t%s\tcopies\t%s\t%s\tKiB\t%s\n' "$name" "$x" "$value" "$(sed 's/grew/flat/; s/fell/linear/' <<< "$name")"
	done
	printf 'native\tCRC\t123.5\tMB/s\n'
	printf 'figure\tpause, one fails\t%s\tms\n' 12.5 3 8
	printf 'figure\tone slow\t98.75\t%%\n'
} > "$tmp/lines"

"$top/tests/bench/report" -v json="$tmp/json" -v svg="$tmp/svg" "$tmp/lines" > "$tmp/table" ||
	fail "status $?"

is '.machine' '"one \"machine\""'
is '.transfers | length' 6
of='.transfers[] | select(.kind == "pipe")'
is "$of | .mb_s" 200
is "$of | .records_s" 200
is "$of | .cpu_s_gib" 2.14748
is "$of | .to_pipe" 1
is "$of | .doorbells" null
is "$of | .all_mb_s" '[100,500,200]'
# an even number of them: 400, 500, 800, 1,000
of='.transfers[] | select(.kind == "pmtm" and .direction == "write")'
is "$of | .mb_s" 650
is "$of | .to_pipe" 3.25
is "$of | .doorbells" 35
is "$of | .cpu_s_gib" 2.68435
is '.transfers[] | select(.direction == "read") | .to_pipe' 5
is '.transfers[] | select(.kind == "tee") | .to_pipe' null
# round by round: 100, 50, 50, 25 % of the rate; 100, 200, 200, 200 % of the processor time
is '.to_one_copy' '[{"kind":"mirror of 2","record":1000000,"rate":0.5,"cpu":2}]'
is '.scaling[] | [.name, .power, .is, .stated]' '["flat",0.04139,"flat","flat"]
["linear",1,"linear","linear"]
["grew",1,"linear","flat"]
["fell",-1.585,"falls","linear"]'
is '.scaling[0].values' '[[1,100],[10,110]]'
is '.native' '[{"name":"CRC","value":123.5,"unit":"MB/s"}]'
grep -Eq '^pmtm +write +1000000 B +650 +400 to 1000 +650 +2\.68 +3\.25 +35\.0 +4$' "$tmp/table" ||
	fail "the table: $(cat "$tmp/table")"
is '.figures' '[{"name":"pause, one fails","median":8,"unit":"ms","all":[12.5,3,8]},'`
	`'{"name":"one slow","median":98.75,"unit":"%","all":[98.75]}]'
grep -Eq '^pause, one fails +8\.00 ms +3\.00 to 12\.5 +3$' "$tmp/table" ||
	fail "the figures: $(cat "$tmp/table")"
grep -Eq '^tee +write +64 KiB ' "$tmp/table" || fail "the size: $(cat "$tmp/table")"
grep -Eq '^mirror of 2 +1000000 B +-50\.0 % \(-75\.0 % to \+0\.0 %\), \+100\.0 %$' "$tmp/table" ||
	fail "copies: $(cat "$tmp/table")"
for line in 'flat, KiB, over copies: 1: 100, 10: 110; x^0.04, flat' \
	'grew, KiB, over copies: 1: 5.00, 8: 40.0; x^1.00, linear, NOT flat' \
	'fell, KiB, over copies: 1: 9.00, 2: 3.00; x^-1.58, falls, NOT linear'; do
	grep -qxF "$line" "$tmp/table" || fail "what scales: $(cat "$tmp/table")"
done
[ "$(grep -c '<polyline' "$tmp/svg")" = 5 ] || fail "the plot: $(cat "$tmp/svg")"
[ "$(grep -c dasharray "$tmp/svg")" = 1 ] || fail "reading in the plot: $(cat "$tmp/svg")"

# What is beside the plot needs room, too: 17 pixels each.
for ((i = 1; i <= 40; i++)); do line "kind $i" write 65536 10 1 1 -1; done > "$tmp/many"
"$top/tests/bench/report" -v svg="$tmp/svg" "$tmp/many" > "$tmp/table"
grep -Eq '^<svg .* height="711"' "$tmp/svg" || fail "40 lines: $(head -n 1 "$tmp/svg")"

printf 'figure\tpause\t\tms\n' | "$top/tests/bench/report" > "$tmp/table" 2>&1 &&
	fail "a figure without a value is passed over"
echo 'pipe	write	100' >> "$tmp/lines"
"$top/tests/bench/report" "$tmp/lines" > "$tmp/table" 2> "$tmp/said" &&
	fail "a line without figures is passed over"
grep -q 'makes no sense' "$tmp/said" || fail "which is told as: $(cat "$tmp/said")"

# transfers KIND write|read [TARGET]: of 10,000 bytes; whole ones only
transfers() {
	local records bytes rest
	"$transfer" "$1" "$2" 10000 0.01 "${@:3}" > "$tmp/said" || fail "$*: status $?"
	read -r records bytes rest < "$tmp/said"
	[[ $records -gt 0 && $bytes = $((records * 10000)) ]] ||
		fail "$*: $records records, $bytes bytes, $rest"
}

transfer=$top/build/plain/tests/bench/transfer
transfers copy write "$tmp"
transfers copy read "$tmp"
for kind in pipe socket pty; do transfers $kind write; done
transfers command write 'cat > /dev/null'
"$transfer" device write 10000 0.01 /dev/zero > "$tmp/said" 2>&1
[ $? = 3 ] || fail "zeros read for what was written: no error"
grep -q 'the data is wrong' "$tmp/said" ||
	fail "zeros read for what was written: $(cat "$tmp/said")"
"$transfer" command write 10000 0.01 'cat > /dev/null; exit 1' > "$tmp/said" 2>&1 &&
	fail "a command that fails: $(cat "$tmp/said")"
exit $status
