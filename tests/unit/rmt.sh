#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# pmt-rmt under its real clients, GNU tar, cpio, mt-gnu, dump and restore, where no
# module is loaded: each writes to a mirror of two images, whose copies are compared.
# Instead of ssh they run a script.
#
# usage: rmt.sh [CASE...]
#
# A line for each case, and last "N passed, N failed[, N skipped]"; with PMT_NO_SKIP=1
# a skip is a failure.  Not as root those of tar are skipped, whose remote shell is
# root's alone.  cpio asks for its next volume on a terminal: it has one.

set -u

top=$(cd "$(dirname "$0")/../.." && pwd)
bin=$top/build/plain
rmt=$bin/pmt-rmt
dumpimg=$bin/tests/system/dumpimg
for program in "$rmt" "$dumpimg"; do
	[ -x "$program" ] || { echo "rmt.sh: no $program"; exit 77; }
done
# shellcheck source=cases
. "$top/tests/unit/cases"

# conf [LINE...]: the tape "vault", of two sets of volumes, with these lines
conf() {
	mkdir -p "$T/state"
	printf '%s\n' "state = $T/state" '[vault]' "drive = mirror(image:$T/a%d.tape?$size," \
		"	image:$T/b%d.tape?$size&format=simh)" "$@" > "$T/rmt.conf"
}

# For one that has only what the second copy has.
second_copy() {
	rm -f "$T"/.[ab]*.set "$T"/state/*
	printf '%s\n' "state = $T/state" '[vault]' "drive = image:$T/b%d.tape" \
		'numbers = linux' > "$T/rmt.conf"
}

# request TEXT: a client by hand; what is no text in the replies is left out
request() {
	printf '%b' "$1" | "$rmt" --config "$T/rmt.conf" 2>> "$T/said" | tr -cd '\n -~'
}

# replies REQUESTS REPLIES, these with a blank between the lines
replies() {
	local text
	text=$(request "$1")
	is "${text//$'\n'/ }" "$2" "${1:0:100}"
}

# volumes N: so many were written, the same on both sides
volumes() {
	local i
	for ((i = 0; i < $1; i++)); do
		ok "$dumpimg" "$T/a$i.tape" > "$T/1.txt"
		ok "$dumpimg" "$T/b$i.tape" > "$T/2.txt"
		diff "$T/1.txt" "$T/2.txt" || fail "volume $i differs"
		grep -q record "$T/1.txt" || fail "volume $i is empty"
	done
	! grep -qs record <("$dumpimg" "$T/a$1.tape" 2> /dev/null) || fail "more than $1 volumes"
}

# What the clients run in place of ssh: HOST [-l USER] COMMAND.
remote_shell() {
	cat > "$T/rsh" <<-END
		#!/bin/sh
		[ "\$1" = localhost ] || exit 99
		shift
		[ "\$1" != -l ] || shift 2
		[ "\$*" != /usr/sbin/rmt ] || set -- "$rmt --config $T/rmt.conf"
		exec sh -c "\$*"
	END
	cat > "$T/change" <<-END
		#!/bin/sh
		printf 'Onvault\\n0\\nI-1\\n0\\nI6\\n1\\nC\\n' |
			"$rmt" --config "$T/rmt.conf" > /dev/null
	END
	chmod 755 "$T/rsh" "$T/change"
}

remote_tar() {
	[ "$(id -u)" = 0 ] || skip "tar gives its remote shell to root alone"
	tar --rsh-command="$T/rsh" --rmt-command="$rmt --config $T/rmt.conf" "$@"
}

remote_mt() { mt-gnu --rsh-command="$T/rsh" -f localhost:nvault "$@"; }

some_files() {
	mkdir -p "$T/src"
	cp -r "$top/lib" "$top/man" "$T/src"
	head -c 300000 /dev/urandom > "$T/src/random"
	: > "$T/src/empty"
}

out() {
	rm -rf "$T/out"
	mkdir "$T/out"
}

case_tar() {
	conf
	some_files
	ok remote_tar -cf localhost:vault -C "$T" src
	ok remote_tar -tf localhost:vault > "$T/list"
	ok diff <(cd "$T" && find src | sort) <(sed 's,/$,,' "$T/list" | sort)
	out
	ok remote_tar -xf localhost:vault -C "$T/out"
	ok diff -r "$T/src" "$T/out/src"
	ok remote_tar -df localhost:vault -C "$T"
	volumes 1
}

# first_member NAME: the archive at the tape's place begins with it.  tar is read to its
# end: killed by a pipe it would leave a server behind that still has the tape.
first_member() {
	ok remote_tar -tf localhost:nvault > "$T/list"
	is "$(head -n 1 "$T/list")" "$1" "the archive"
}

# The name that does not rewind appends, the other begins anew.
case_tar_appends_by_name() {
	conf
	some_files
	ok remote_tar -cf localhost:nvault -C "$T/src" lib
	ok remote_tar -cf localhost:nvault -C "$T/src" man
	ok remote_mt bsf 1
	ok remote_mt bsf 1
	ok remote_mt fsf 1
	first_member man/
	replies 'Ovault\n0\nsFC\n' 'A0 A1 A0'
	first_member lib/
	volumes 1
	replies 'Ovault\n0\nC\n' 'A0 A0'
	ok remote_tar -cf localhost:vault -C "$T/src" empty
	is "$(remote_tar -tf localhost:vault)" empty
	is "$("$dumpimg" "$T/a0.tape" | grep -c record)" 1 "records"
}

# It steps back over what it has written, and compares; -r over the end.
case_tar_verify_and_append() {
	conf
	some_files
	ok remote_tar -cWf localhost:vault -C "$T" src/man
	ok remote_tar -rf localhost:vault -C "$T" src/lib
	ok remote_tar -tf localhost:vault > "$T/list"
	ok grep -q src/lib/pmt.h "$T/list"
	ok grep -q src/man/pmt.8 "$T/list"
	volumes 1
}

case_tar_large_records() {
	size='capacity=16M'
	conf
	some_files
	ok remote_tar -b 8192 -cf localhost:vault -C "$T" src
	out
	ok remote_tar -b 8192 -xf localhost:vault -C "$T/out"
	ok diff -r "$T/src" "$T/out/src"
	# More than a tape's record can be, and than any drive takes.
	says 'Invalid argument' remote_tar -b 40000 -cf localhost:vault -C "$T" src
}

tar_volumes() {
	local i
	size='capacity=500K&ew=100K'
	conf "$@"
	mkdir -p "$T/src"
	for ((i = 0; i < 14; i++)); do
		head -c 50000 /dev/urandom > "$T/src/f$i"
	done
	head -c 400000 /dev/urandom > "$T/src/more"
	ok remote_tar -cM -F "$T/change" -f localhost:nvault -C "$T" src
	volumes 3
	second_copy
	is "$(remote_tar -tM -F "$T/change" -f localhost:nvault | grep -c /more$)" 1 "members"
	second_copy
	out
	ok remote_tar -xM -F "$T/change" -f localhost:nvault -C "$T/out"
	ok diff -r "$T/src" "$T/out/src"
}

case_tar_volumes() { tar_volumes; }
case_tar_volumes_held() { tar_volumes 'eot = hold'; }

case_cpio() {
	conf
	some_files
	(cd "$T" && find src | sort) > "$T/names"
	(cd "$T" && ok cpio --quiet -o -H newc -F localhost:vault --rsh-command="$T/rsh") \
		< "$T/names" || fail "cpio -o"
	out
	(cd "$T/out" && ok cpio --quiet -id -F localhost:vault --rsh-command="$T/rsh") ||
		fail "cpio -i"
	ok diff -r "$T/src" "$T/out/src"
	volumes 1
}

# Raw numbers of Linux: 6 is a rewind only where the configuration says so.
case_mt() {
	local objects
	conf
	some_files
	ok remote_tar -cf localhost:nvault -C "$T/src" lib
	says 'Invalid argument' remote_mt rewind
	says 'set numbers of this tape to linux or bsd' remote_mt rewind
	replies 'Onvault\n0\nsFsBC\n' 'A0 A1 A0 A0'
	conf 'numbers = linux'
	ok remote_mt rewind
	replies 'Onvault\n0\nsFsBC\n' 'A0 A0 A0 A0'
	ok remote_mt eom
	ok remote_mt weof 2
	objects=$("$dumpimg" "$T/a0.tape" | grep -cE 'record|mark')
	replies 'Onvault\n0\nsFL0\n10\nC\n' "A0 A3 A$objects A0"
	ok remote_mt offline
	ok remote_tar -cf localhost:nvault -C "$T/src" man
	is "$("$dumpimg" "$T/b1.tape" | grep -c record)" \
		"$("$dumpimg" "$T/a1.tape" | grep -c record)" "records of volume 1"
	ok grep -q record <("$dumpimg" "$T/a1.tape")
}

# A file system in a file, of sizes as dump likes them.  dump would look for the disk on
# which that file is: so it is run where no file system is known.
make_disk() {
	local file
	unshare -rm true 2> /dev/null || skip "there are no namespaces"
	mkdir -p "$T/src/lib" "$T/etc"
	for file in passwd group hosts nsswitch.conf services; do
		[ ! -e "/etc/$file" ] || cp "/etc/$file" "$T/etc"
	done
	touch "$T/etc/mtab" "$T/etc/fstab"
	for file in one two three; do
		head -c 30000 /dev/urandom > "$T/src/lib/$file"
	done
	: > "$T/src/empty"
	head -c "$1" /dev/urandom > "$T/src/large"
	ok truncate -s 12M "$T/disk"
	PATH=$PATH:/sbin:/usr/sbin ok mke2fs -q -t ext2 -d "$T/src" "$T/disk"
	cat > "$T/dump" <<-END
		#!/bin/sh
		PATH=\$PATH:/sbin:/usr/sbin
		exec unshare -rm sh -c 'mount --bind $T/etc /etc && exec dump "\$@"' dump "\$@"
	END
	chmod 755 "$T/dump"
}

# quietly COMMAND...: it says nothing of an error
quietly() {
	RSH=$T/rsh RMT="$rmt --config $T/rmt.conf" timeout 120 "$@" > "$T/said" 2>&1 ||
		{ cat "$T/said" >&2; fail "status of: $*"; }
	! grep -iE 'incorrect|error|resync|fail|skip|missing' "$T/said" >&2 || fail "$* complains"
}

restored() {
	rm -rf "$T/out/restoresymtable" "$T/out/lost+found"
	ok diff -r "$T/src" "$T/out"
}

case_dump_and_restore() {
	conf
	make_disk 1500000
	quietly "$T/dump" -0 -q -f localhost:vault "$T/disk"
	volumes 1
	second_copy
	out
	(cd "$T/out" && quietly /usr/sbin/restore -r -f localhost:vault) || fail "restore"
	restored
}

# With the end of tape held: the alternation of st breaks dump.
case_dump_over_volumes() {
	size='capacity=1200K&ew=300K'
	conf 'eot = hold'
	make_disk 1500000
	quietly "$T/dump" -0 -a -q -F "$T/change" -f localhost:nvault "$T/disk"
	volumes 2
	second_copy
	out
	# shellcheck disable=SC2016 # it is for the script
	printf '#!/bin/sh\n[ "$2" = 1 ] || exec %s\n' "$T/change" > "$T/other"
	chmod 755 "$T/other"
	(cd "$T/out" && quietly /usr/sbin/restore -r -F "$T/other" -f localhost:nvault) || fail "restore"
	restored
}

# dump's positions: seeks that are none of lseek's.
case_dump_positions() {
	conf
	make_disk 1500000
	quietly "$T/dump" -0 -q -Q "$T/positions" -f localhost:nvault "$T/disk"
	ok grep -qE '^[0-9]+.*[0-9]+' "$T/positions"
	replies 'Ovault\n0\nC\n' 'A0 A0'
	out
	(cd "$T/out" && printf '1\nn\n' |
		quietly /usr/sbin/restore -x -Q "$T/positions" -f localhost:vault ./large) || fail "restore"
	ok cmp "$T/src/large" "$T/out/large"
}

# No name but those that are listed, and none of what it could be taken for.
case_names() {
	local name
	conf
	touch "$T/file"
	find "$T" | sort > "$T/../before.$$"
	for name in "$T/file" "$T/a0.tape" "image:$T/new.tape" "$T/new" /dev/null vault/ \
		'vault nvault' 'va\tult' '../vault' '' "$(printf 'x%.0s' {1..4000})"; do
		replies "O$name\n2 O_RDWR|O_CREAT|O_TRUNC\nW3\noneC\n" \
			'E2 No such file or directory E9 Bad file descriptor E9 Bad file descriptor'
	done
	replies "O$(printf 'x%.0s' {1..5000})\n2\n" 'E22 Invalid argument'
	find "$T" ! -name said | sort | ok diff "$T/../before.$$" -
	rm -f "$T/../before.$$"
	[ ! -s "$T/file" ] || fail "it was written to"
	ok grep -q 'has no tape of this name' "$T/said"
}

case_read_only() {
	conf
	replies 'Ovault\n1\nW3\noneC\n' 'A0 A3 A0'
	conf 'access = read'
	replies 'Ovault\n1\nOvault\n2\n' 'E30 Read-only file system E30 Read-only file system'
	replies 'Ovault\n0\nW3\ntwoI5\n1\nR9\n' \
		'A0 E9 Bad file descriptor E22 Invalid argument A3 one'
}

case_end_of_tape() {
	size='capacity=64K&ew=16K'
	local records n
	records=$(for n in {1..7}; do printf 'W10000\\n%010000d' "$n"; done)
	conf
	local full='E28 No space left on device' written='A0 A10000 A10000 A10000 A10000'
	replies "Ovault\n1\n${records}C\n" "$written $full A10000 $full A0"
	conf 'eot = hold'
	replies "Ovault\n1\n${records}C\n" "$written $full $full $full A0"
	conf 'end = short'
	replies "Ovault\n1\n${records}C\n" "$written A0 A10000 A0 A0"
	volumes 1
}

# server: one with a record written, that waits for the next request
server() {
	coproc "$rmt" --config "$T/rmt.conf" 2>> "$T/said"
	printf 'Onvault\n1\nW3\none' >&"${COPROC[1]}"
	read -r -t 20 line <&"${COPROC[0]}" && is "$line" A0
	read -r -t 20 line <&"${COPROC[0]}" && is "$line" A3
}

case_one_at_a_time() {
	conf
	server
	replies 'Ovault\n0\n' 'E16 Device or resource busy'
	printf 'C\n' >&"${COPROC[1]}"
	read -r -t 20 line <&"${COPROC[0]}" && is "$line" A0
	replies 'Ovault\n0\nR9\n' 'A0 A0'
}

# One tape by several names, as an old configuration of the clients may want.
case_names_of_ones_own() {
	conf 'rewind = /dev/st0 tape' 'norewind = /dev/nst0'
	replies 'O/dev/nst0\n1\nW3\noneC\nO/dev/nst0\n1\nW3\ntwoC\n' 'A0 A3 A0 A0 A3 A0'
	replies 'O/dev/st0\n0\nL0\n10\nC\nOtape\n0\nR3\nC\n' 'A0 A4 A0 A0 A3 oneA0'
	replies 'Ovault\n0\nOnvault\n0\nO/dev/st\n0\n' \
		"$(printf 'E2 No such file or directory%.0s ' 1 2 3 | sed 's/ $//')"
}

# What ends the server gently leaves a filemark, and the place.
case_signals() {
	local signal pid
	conf
	for signal in TERM HUP INT; do
		server
		pid=$COPROC_PID
		kill -"$signal" "$pid"
		wait "$pid"
	done
	is "$("$dumpimg" "$T/a0.tape" | grep -c mark)" 3 "filemarks"
	replies 'Onvault\n0\nsF' 'A0 A3'
	volumes 1
}

# Nor does a client that does not read what it has asked for keep it.
case_stuck_client() {
	local pid n
	size='capacity=8M'
	conf
	replies "Ovault\n1\nW1000000\n$(printf '%01000000d' 5)C\n" 'A0 A1000000 A0'
	coproc "$rmt" --config "$T/rmt.conf" 2>> "$T/said"
	pid=$COPROC_PID
	printf 'Onvault\n0\nR1000000\n' >&"${COPROC[1]}"
	for ((n = 0; n < 100; n++)); do
		read -r _ _ state _ < "/proc/$pid/stat"
		[ "$state" != S ] || ! grep -q 'busy 1' "$T/state/vault.state" || break
		sleep 0.1
	done
	kill -TERM "$pid"
	for ((n = 0; n < 100; n++)); do
		kill -0 "$pid" 2> /dev/null || break
		sleep 0.1
	done
	[ $n -lt 100 ] || { kill -KILL "$pid"; fail "it does not end"; }
	ok grep -q 'busy 0' "$T/state/vault.state"
}

# What kills it loses the place: nothing is written until it is known again.
case_killed() {
	local pid
	conf
	replies 'Onvault\n1\nW3\ntwoC\n' 'A0 A3 A0'
	server
	pid=$COPROC_PID
	kill -KILL "$pid"
	wait "$pid" 2> /dev/null
	replies 'Onvault\n1\nW5\nthreesF' 'A0 E5 Input/output error A-1'
	replies 'Onvault\n0\nI-1\n0\nI5\n1\nR9\nR9\nR9\n' 'A0 A1 A1 A3 twoA0 A3 one'
}

case_login_shell() {
	conf
	is "$(printf 'v\nV\n' | "$rmt" --config "$T/rmt.conf" -c /etc/rmt | tr '\n' ' ')" 'A1 A2 '
}

# refuses PATTERN LINE...
refuses() {
	printf '%b\n' "${@:2}" > "$T/rmt.conf"
	says "$1" "$rmt" --config "$T/rmt.conf"
	"$rmt" --config "$T/rmt.conf" < /dev/null 2> /dev/null
	is $? 2 "exit code"
}

case_configuration() {
	refuses 'rmt.conf:2: no such key: capacity' '[a]' 'capacity = 5'
	refuses 'rmt.conf:1: .*before the first section' 'drive = null:'
	refuses 'rmt.conf:1: this section has no drive: a' '[a]' '# nothing'
	refuses 'rmt.conf:3: said twice' '[a]' 'drive = null:' 'drive = null:'
	refuses 'rmt.conf:3: this section was there' '[a]' 'drive = null:' '[a]'
	refuses "rmt.conf:1: expected ']'" '[a'
	refuses 'rmt.conf:1: a section is letters' '[../a]'
	refuses 'rmt.conf:1: a section is letters' '[]'
	refuses 'rmt.conf:2: expected \[section\] or key = value: frob' '[a]' frob
	refuses 'rmt.conf:1: a line that continues nothing' '  frob'
	refuses 'rmt.conf:2: a value is wanted' '[a]' 'drive ='
	refuses 'rmt.conf:3: a word that is not known here: solaris' '[a]' 'drive = null:' \
		'numbers = solaris'
	refuses 'a name that is there twice: na' '[a]' 'drive = null:' '[b]' 'drive = null:' \
		'rewind = b na'
	refuses 'a name that is there twice: x' '[a]' 'drive = null:' 'rewind = x' 'norewind = y x'
	rm "$T/rmt.conf"
	says 'rmt.conf: No such file' "$rmt" --config "$T/rmt.conf"
	# Only who opens it meets a specification that is wrong, or no folder.
	printf '%s\n' '[a]' 'drive = frob:' > "$T/rmt.conf"
	sed -i "1i state = $T" "$T/rmt.conf"
	replies 'Oa\n0\nv\n' 'E5 Input/output error A1'
	ok grep -q "column 1: unknown kind of drive 'frob'" "$T/said"
	sed -i "1s,=.*,= $T/none," "$T/rmt.conf"
	replies 'Oa\n0\n' 'E5 Input/output error'
	ok grep -q 'none/a.state: No such file or directory; it keeps where' "$T/said"
}

# What stands before each case.
before_case() {
	size='capacity=4M'
	remote_shell
}

run_cases "$@"
