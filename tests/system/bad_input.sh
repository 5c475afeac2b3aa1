#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Bad input is refused with a message that helps, and what is refused is left as
# it was.  law 5 where a disk is full or a tail is torn.

. "$(dirname "$0")/lib.sh"

# refused STATUS PATTERN SPEC...: tape-mirror ends so, with such a message.
refused() {
	start_server "${@:3}"
	eventually 20 gone "$SERVER" || fail "it is served: ${*:3}"
	status "$1" wait "$SERVER"
	like "$(cat "$LOG")" "$2" "the message"
}

case_unknown_unit() {
	UNIT=987
	refused 1 'unit 987.*create' null:
	status 1 pmt status 987
	says '987' pmt status 987
	status 1 pmt del 987
	no mt -f /dev/npmtm987 status
}

case_second_server() {
	image_unit
	local first=$SERVER
	refused 1 "served by process $first" null:
	is "$(state)" served "the state"
	ok mt -f "$NTAPE" rewind
}

case_specifications() {
	local spec column
	new_unit
	while read -r column spec; do
		refused 2 "column $column:" "$spec"
	done <<-'END'
	1 tape:/tmp/x
	7 mirror
	6 image/tmp/x
	7 limit?capacity=5x|null:
	10 null:?a=1)
	14 image:/tmp/x?capcity=5
	7 mirror(null:,null:
	END
	refused 2 'nothing|expected|column' ""
}

case_command_line() {
	status 2 tape-mirror
	status 2 tape-mirror --no-such-option 0 null:
	status 2 tape-mirror x null:
	status 2 tape-mirror --min 2 0 null: null:
	status 2 pmt
	status 2 pmt nonsense
	status 2 pmt new --ring 3M
	status 2 pmt new --eot sometimes
	status 2 pmt set --recovery -1 0
	status 0 pmt --help
	status 0 tape-mirror --version
}

case_not_an_image() {
	new_unit
	yes 'this is no tape' | head -c 100000 > "$T/text"
	cp "$T/text" "$T/before"
	refused 1 'text' "image:$T/text?capacity=10M"
	ok cmp "$T/text" "$T/before"
	mkdir "$T/folder"
	refused 1 'folder' "image:$T/folder"
	refused 1 'absent' "image:$T/absent"
	[ ! -e "$T/absent" ] || fail "it was made"
}

# What a crash leaves behind the last filemark is cut off, and the log says so.
case_torn_tail() {
	local size
	image_unit
	ok recs write -m 10 "$NTAPE" 3000 25
	stop_server
	dumpimg "$T/a.tape" > "$T/before"
	head -c 777 /dev/urandom >> "$T/a.tape"
	size=$(stat -c %s "$T/a.tape")
	serve "image:$T/a.tape"
	like "$(cat "$LOG")" 'a.tape.*(cut|777)' "the log"
	[ "$(stat -c %s "$T/a.tape")" -lt "$size" ] || fail "the tail is still there"
	dumpimg "$T/a.tape" | diff "$T/before" - || fail "more than the tail was cut"
	ok mt -f "$NTAPE" eod
	ok recs write -f 25 "$NTAPE" 3000 5
	is "$(dumpimg "$T/a.tape" | grep -c record)" 30 "records"
}

# Damage before the end is not cut: the tape can be read, and not be written.
case_damage() {
	image_unit
	ok recs write -m 10 "$NTAPE" 3000 30
	stop_server
	truncate -s 20000 "$T/a.tape"
	cp "$T/a.tape" "$T/before"
	new_unit
	serve "image:$T/a.tape"
	script "
		open 0 npmtm0 rw -> -1 EROFS
		open 0 npmtm0 r -> ok
		read 0 3000 -> 3000 tag=00
		read 0 3000 -> 3000 tag=01
		close 0 -> 0"
	ok cmp "$T/a.tape" "$T/before"
}

# A disk that gets full is the end of the tape.
case_full_disk() {
	mkdir "$T/small"
	later "umount $T/small"
	ok mount -t tmpfs -o size=3M tmpfs "$T/small"
	new_unit
	serve "image:$T/small/a.tape?create=yes&ew=500K"
	local said marked
	said=$(recs write -a "$T/acks" -m 3 "$NTAPE" 20000 1000)
	like "$said" 'ENOSPC, close' "the writer"
	marked=$(awk '{ print $2 }' "$T/acks")
	ok [ "$marked" -ge 30 ]
	dumpimg "$T/small/a.tape" > "$T/objects"
	is "$(awk '/record/ { print $4 }' "$T/objects" | head -n "$marked" | md5sum)" \
		"$(seq 0 $((marked - 1)) | md5sum)" "the records before the last filemark"
	is "$(grep -c record "$T/objects")" "${said%% *}" "records"
	ok mt -f "$NTAPE" rewind
	says "^${said%% *} records" recs_all
}

recs_all() {
	local n=0 part
	while part=$(recs read -f "$n" "$NTAPE" 20000) && [ "${part%% *}" != 0 ]; do
		n=$((n + ${part%% *}))
	done
	echo "$n records"
}

case_read_only_image() {
	image_unit
	ok recs write "$NTAPE" 1000 3
	stop_server
	serve "image:$T/a.tape?readonly=yes"
	status 1 recs write "$NTAPE" 1000 3
	says 'open EROFS' recs write "$NTAPE" 1000 3
	ok mt -f "$NTAPE" rewind
	says '^3 records, 1 marks' recs read "$NTAPE" 1000
}

main "$@"
