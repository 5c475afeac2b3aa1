# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Of inside: mirrors of which one copy is slow, stalls, or fails, beside a drive alone.
#
# A drive of theirs takes 2 ms for a record of 256 KiB, so what a mirror costs is seen in
# time, and not in processors.  The ring has 64 records.  A copy that stalls does so for 15
# records every 100, and is at once with the others then, as it takes no time for the rest;
# what it stalls at the very end is waited for.

record=262144
paced='delay?op=write&ms=2|null:'
stalling='delay?op=write&ms=30&every=100|null:'
failing="fault?op=write&after=80&count=0&error=medium|$paced"
declare -A troubled=()

figure() { printf 'figure\t%s\t%s\t%s\n' "$@" >> "$PMT_OUT/transfers"; }

# mirrored FIRST OTHER COPIES [OPTION...]
mirrored() {
	local specs=("$1") i
	for ((i = 1; i < $3; i++)); do specs+=("$2"); done
	ring=16M served "${@:4}" "${specs[@]}"
}

serve_mirrors() {
	local copies
	mirrored "$paced" - 1
	troubled[alone]=${nodes[-1]}
	for copies in 2 4; do
		mirrored "$paced" null: $copies
		troubled[slow $copies]=${nodes[-1]}
		mirrored "$stalling" "$paced" $copies
		troubled[stalls $copies]=${nodes[-1]}
		mirrored "$paced" "$paced" $copies
		troubled[well $copies]=${nodes[-1]}
	done
}

# rate NODE: bytes a second, of a time in which an end counts for less
rate() {
	transfer tape write $record "$(awk -v s="$seconds" 'BEGIN { print 2 * s }')" "$1" |
		awk '{ print $2 / $3 }'
}

# pause NAME NODE
pause() {
	local longest
	longest=$(transfer pauses write $record "$seconds" "$2") || return
	figure "$1" "$(awk -v s="$longest" 'BEGIN { printf "%.3f", s * 1000 }')" ms
}

# healthy_in NODE: copies
healthy_in() { pmt status --json "${1#/dev/npmtm}" | jq '.[0].daemon.drive.healthy'; }

# One copy fails in the middle, and the others go on: by a unit of its own each time.
fail_one() {
	local node rc=0
	mirrored "$failing" "$paced" "$1" --policy degrade
	node=${nodes[-1]}
	pause "mirror of $1, one fails: longest write" "$node" || rc=1
	[ "$(healthy_in "$node")" = $(($1 - 1)) ] || rc=1
	kill "${servers[-1]}"
	wait "${servers[-1]}"
	pmt del "${node#/dev/npmtm}" || rc=1
	unset 'servers[-1]' 'nodes[-1]'
	return $rc
}

# share NAME NODE RATE: what NODE has of it
share() {
	local own
	own=$(rate "$2")
	[ "$own" ] || return
	figure "$1" "$(awk -v own="$own" -v of="$3" 'BEGIN { printf "%.2f", own / of * 100 }')" %
}

round_of_mirrors() {
	local copies alone
	alone=$(rate "${troubled[alone]}")
	if [ -z "$alone" ]; then
		say "a drive that is slow: failed"
		status=1
		return
	fi
	for copies in 2 4; do
		share "mirror of $copies, one slow: of that one alone" \
			"${troubled[slow $copies]}" "$alone" &&
		share "mirror of $copies, one stalls: of another alone" \
			"${troubled[stalls $copies]}" "$alone" &&
		pause "mirror of $copies: longest write" "${troubled[well $copies]}" &&
		fail_one $copies && continue
		say "mirror of $copies, a copy in trouble: failed"
		status=1
	done
}
