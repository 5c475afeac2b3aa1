#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# law 4: every verb of mt (mt-st 1.7): exit status, what it says, and where the
# tape is then.
#
# A table is a transcript: "VERB ARGUMENTS -> STATUS [(WORDS)] FILE/BLOCK ...", of
# which the left side is run, by transcript, and the whole compared.  Besides
# mt's verbs there are "write COUNT SIZE", which makes a file of records, "read
# SIZE", and "attributes", of sysfs.  Each table is run on a unit, and in the case
# real_st on the kernel's own st over the oracle: so that the right side is st's
# word, not ours.

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/oracle"

LIMIT=400

table_motion() {
	cat <<-'END'
	status -> 0 0/0 BOT
	write 3 100 -> 0 1/0 EOF
	write 2 200 -> 0 2/0 EOF
	weof 1 -> 0 3/0 EOF
	write 1 300 -> 0 4/0 EOF
	rewind -> 0 0/0 BOT
	fsf 1 -> 0 1/0 EOF
	fsf -> 0 2/0 EOF
	bsf 1 -> 0 1/-1
	read 1000 -> 0 (0) 2/0 EOF
	read 1000 -> 0 (0) 3/0 EOF
	asf 1 -> 0 1/0 EOF
	fsr 1 -> 0 1/1
	fsr 1 -> 0 1/2
	fsr 1 -> 2 (Input/output error) 2/0 EOF
	bsr 1 -> 2 (Input/output error) 1/-1
	bsr 2 -> 0 1/-1
	bsr 1 -> 2 (Input/output error) 0/-1
	asf 3 -> 0 3/0 EOF
	bsfm 1 -> 0 3/0 EOF
	bsfm 2 -> 0 2/0 EOF
	asf 0 -> 0 0/0 BOT
	fsfm 1 -> 0 0/-1
	fsfm 2 -> 0 1/-1
	fsr 1 -> 2 (Input/output error) 2/0 EOF
	asf 4 -> 0 4/0 EOF
	fsf 1 -> 2 (Input/output error) 4/-1 EOD
	asf 9 -> 2 (Input/output error) 4/-1 EOD
	eod -> 0 4/-1 EOD
	seod -> 0 4/-1 EOD
	bsf 5 -> 2 (Input/output error) 0/0 BOT
	bsr 9 -> 2 (Input/output error) 0/0 BOT
	rewind -> 0 0/0 BOT
	retension -> 0 0/0 BOT
	tell -> 0 (At block 0.) 0/0 BOT
	seek 4 -> 0 -1/-1
	tell -> 0 (At block 4.) -1/-1
	read 1000 -> 0 (200) -1/-1
	seek 99 -> 2 (Input/output error) -1/-1
	asf 1 -> 0 1/0 EOF
	END
}

table_writing() {
	cat <<-'END'
	weof 3 -> 0 3/0 EOF
	eof 1 -> 0 4/0 EOF
	weof 0 -> 0 4/0 EOF
	wset 1 -> 2 (Input/output error) 4/0 EOF
	fss 1 -> 2 (Input/output error) 4/0 EOF
	bss 1 -> 2 (Input/output error) 4/0 EOF
	rewind -> 0 0/0 BOT
	write 1 100 -> 0 1/0 EOF
	fsf 1 -> 2 (Input/output error) 1/-1 EOD
	bsf 1 -> 0 0/-1
	read 100 -> 0 (0) 1/0 EOF
	asf 1 -> 0 1/0 EOF
	erase 0 -> 0 1/0 EOF
	fsf 1 -> 2 (Input/output error) 1/-1 EOD
	rewind -> 0 0/0 BOT
	write 5 100 -> 0 1/0 EOF
	asf 0 -> 0 0/0 BOT
	fsr 2 -> 0 0/2
	erase -> 0 0/2
	fsr 1 -> 2 (Input/output error) 0/2 EOD
	rewind -> 0 0/0 BOT
	erase 1 -> 0 0/0 BOT
	fsr 1 -> 2 (Input/output error) 0/0 BOT EOD
	END
}

table_modes() {
	cat <<-'END'
	setblk 512 -> 0 0/0 blocks 512 BOT
	write 3 1024 -> 0 1/0 blocks 512 EOF
	asf 0 -> 0 0/0 blocks 512 BOT
	read 512 -> 0 (512) 0/1 blocks 512
	setblk 0 -> 0 0/1
	read 512 -> 0 (512) 0/2
	read 512 -> 0 (512) 0/3
	setblk 9000000000 -> 0 0/3 blocks 7412224
	setblk 1k -> 0 0/3 blocks 1024
	setblk 16777216 -> 0 0/3
	setblk 0 -> 0 0/3
	compression 0 -> 0 0/3
	compression 1 -> 0 0/3
	compression -> 0 0/3
	drvbuffer 0 -> 0 0/3
	drvbuffer 1 -> 0 0/3
	setdensity 0x5e -> 0 0/3
	lock -> 0 0/3
	lock -> 0 0/3
	unlock -> 0 0/3
	END
}

table_options() {
	cat <<-'END'
	attributes -> 0 (0x00000107 -1 -1 -1) 0/0 BOT
	stoptions 0 -> 0 0/0 BOT
	attributes -> 0 (0x00000000 -1 -1 -1) 0/0 BOT
	stoptions buffer-writes async-writes read-ahead can-bsr -> 0 0/0 BOT
	attributes -> 0 (0x00000107 -1 -1 -1) 0/0 BOT
	stsetoptions two-fms scsi2logical -> 0 0/0 BOT
	attributes -> 0 (0x00000917 -1 -1 -1) 0/0 BOT
	write 1 100 -> 0 1/0 EOF
	stclearoptions two-fms -> 0 1/0 EOF
	attributes -> 0 (0x00000907 -1 -1 -1) 1/0 EOF
	stsetoptions 0x4000 -> 0 1/0 EOF
	attributes -> 0 (0x00004907 -1 -1 -1) 1/0 EOF
	stclearoptions sili scsi2logical -> 0 1/0 EOF
	stsetoptions nothing-known -> 1 (Illegal property name 'nothing-known'.) 1/0 EOF
	stsetoptions can -> 1 (Property name 'can' ambiguous.) 1/0 EOF
	stsetoptions sysv fast-eod def-writes no-blklimits no-wait can-partitions -> 0 1/0 EOF
	attributes -> 0 (0x000037a7 -1 -1 -1) 1/0 EOF
	stclearoptions sysv fast-eod def-writes no-blklimits no-wait can-partitions -> 0 1/0 EOF
	defblksize 2048 -> 0 1/0 blocks 2048 EOF
	attributes -> 0 (0x00000107 2048 -1 -1) 1/0 blocks 2048 EOF
	defblksize -1 -> 0 1/0 blocks 2048 EOF
	setblk 0 -> 0 1/0 EOF
	defcompression 1 -> 0 1/0 EOF
	attributes -> 0 (0x00000107 -1 -1 1) 1/0 EOF
	defcompression -1 -> 0 1/0 EOF
	defdensity 0x5e -> 0 1/0 EOF
	attributes -> 0 (0x00000107 -1 0x5e -1) 1/0 EOF
	defdensity -1 -> 0 1/0 EOF
	defdrvbuffer 1 -> 0 1/0 EOF
	defdrvbuffer -1 -> 0 1/0 EOF
	attributes -> 0 (0x00000107 -1 -1 -1) 1/0 EOF
	stwrthreshold 10 -> 0 1/0 EOF
	sttimeout 100 -> 0 1/0 EOF
	stlongtimeout 1000 -> 0 1/0 EOF
	stsetcln 0 -> 0 1/0 EOF
	END
}

table_partitions() {
	cat <<-'END'
	setpartition 1 -> 2 (Invalid argument) 0/0 BOT
	mkpartition 5 -> 2 (Invalid argument) 0/0 BOT
	stsetoptions can-partitions -> 0 0/0 BOT
	setpartition 1 -> 2 (Invalid argument) 0/0 BOT
	mkpartition 5 -> 0 0/0 BOT
	write 2 100 -> 0 1/0 EOF
	setpartition 1 -> 0 0/0 partition 1 BOT
	write 3 100 -> 0 1/0 partition 1 EOF
	tell -> 0 (At block 4.) 1/0 partition 1 EOF
	setpartition 0 -> 0 -1/-1
	setpartition 2 -> 2 (Invalid argument) -1/-1
	partseek 1 1 -> 0 -1/-1 partition 1
	partseek 0 1 -> 0 -1/-1
	partseek 2 -> 2 (Invalid argument) -1/-1
	partseek 9 1 -> 2 (Invalid argument) -1/-1
	rewind -> 0 0/0 BOT
	setpartition 0 -> 0 0/0 BOT
	mkpartition 0 -> 0 0/0 BOT
	setpartition 1 -> 2 (Invalid argument) 0/0 BOT
	stclearoptions can-partitions -> 0 0/0 BOT
	END
}

table_medium() {
	cat <<-'END'
	write 1 100 -> 0 1/0 EOF
	offline -> 0 -1/-1 DR_OPEN
	status -> 0 -1/-1 DR_OPEN
	load -> 0 0/0 BOT
	rewoffl -> 0 -1/-1 DR_OPEN
	load -> 0 0/0 BOT
	lock -> 0 0/0 BOT
	eject -> 0 -1/-1 DR_OPEN
	load -> 0 0/0 BOT
	END
}

table_words() {
	cat <<-'END'
	densities -> 0 (Some SCSI tape density codes:) 0/0 BOT
	nonsense -> 1 (mt: unknown command "nonsense") 0/0 BOT
	fs 1 -> 1 (mt: ambiguous command "fs") 0/0 BOT
	fsf -1 -> 1 (mt: negative repeat count) 0/0 BOT
	fsf 1x -> 3 (mt: illegal count unit.) 0/0 BOT
	fsf 1 2 -> 1 (mt: too many arguments for the command 'fsf'.) 0/0 BOT
	rew -> 1 (mt: ambiguous command "rew") 0/0 BOT
	END
}

# place: as mt tells it; what is as ever is left out
place() {
	mt -f "$NTAPE" status | sed -n '
		s,^File number=\(.*\)\, block number=\(.*\)\, partition=0\.,\1/\2,p
		s,^File number=\(.*\)\, block number=\(.*\)\, partition=\(.*\)\.,\1/\2 partition \3,p
		s,^Tape block size \([1-9][0-9]*\) bytes.*,blocks \1,p
		$s/ ONLINE\| IM_REP_EN//gp' | paste -sd ' ' | sed 's/  */ /g; s/ $//'
}

attributes() {
	local name
	for name in options default_blksize default_density default_compression; do
		cat /sys/class/*/"${NTAPE##*/}/$name"
	done | paste -sd ' '
}

# What a verb says, in lines of which the first counts, and its status.
perform() {
	case $1 in
	write) dd if=/dev/zero of="$NTAPE" count="$2" bs="$3" status=none ;;
	read) dd if="$NTAPE" count=1 bs="$2" status=none | wc -c ;;
	attributes) attributes ;;
	status) mt -f "$NTAPE" status > /dev/null ;;
	*)
		[ "$1" != load ] || [ -z "${CTL:-}" ] || echo insert > "$CTL"
		mt -f "$NTAPE" "$@"
		;;
	esac 2>&1
}

transcript() {
	local line words said code
	while read -r line; do
		read -ra words <<< "${line%% ->*}"
		code=0
		said=$(set -o pipefail; perform "${words[@]}") || code=$?
		said=$(sed -n "1{s,^$NTAPE: ,,; p}" <<< "$said")
		echo "${words[*]} -> $code ${said:+($said) }$(place)"
	done
}

# table NAME: run on $NTAPE
table() {
	table_"$1" | transcript > "$T/transcript"
	diff <(table_"$1") "$T/transcript" || fail "the table $1"
}

# on_unit NAME: on one of ours
on_unit() {
	image_unit capacity=32M
	table "$1"
}

case_motion() { on_unit motion; }
case_writing() { on_unit writing; }
case_modes() { on_unit modes; }
case_options() { on_unit options; }
case_partitions() { on_unit partitions; }
case_medium() { on_unit medium; }
case_words() { on_unit words; }

# Every verb that mt knows is in a table.
case_all_verbs() {
	tables | awk '{ print $1 }' | sort -u > "$T/tried"
	mt -h 2>&1 | sed -n '/^commands:/,$p' | tr -d ' .' | sed 's/^commands://' |
		tr , '\n' | grep . | grep -v '^stshowoptions$' | sort > "$T/verbs"
	[ "$(wc -l < "$T/verbs")" -gt 40 ] || fail "not all of mt's verbs: $(cat "$T/verbs")"
	is "$(comm -13 "$T/tried" "$T/verbs")" "" "verbs that are not tried"
}

tables() {
	local name
	while read -r name; do
		"table_$name"
	done < <(sed -n 's/^table_\([a-z]*\)().*/\1/p' "$0")
}

# mt looks for the options of a node in the folder of st's class.
case_options_without_st() {
	[ ! -d /sys/class/scsi_tape ] || skip "there is st, or who looks like it"
	image_unit
	says "Can't read the sysfs file" mt -f "$NTAPE" stshowoptions
}

# Densities are kept as they are set, and told.
case_density() {
	image_unit
	ok mt -f "$NTAPE" setdensity 0x44
	says 'Density code 0x44 \(LTO-3\)' mt -f "$NTAPE" status
	ok mt -f "$NTAPE" defdensity 0x46
	says 'Density code 0x46 \(LTO-4\)' mt -f "$NTAPE" status
	stop_server
	serve "image:$T/a.tape"
	says 'Density code 0x46 \(LTO-4\)' mt -f "$NTAPE" status
}

case_real_st() {
	local name
	oracle
	for name in motion writing modes options partitions medium words; do
		ok mt -f "$NTAPE" stoptions buffer-writes async-writes read-ahead can-bsr
		echo blank > "$CTL"
		table "$name"
	done
}

main "$@"
