# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# machines.sh: what the runs in several machines have in common; to be sourced from
# the repository's folder.  A caller ends with finish.

passed=0 failed=0 skipped=0
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# in_machine NAME KERNEL OPTION... COMMAND...
in_machine() {
	tests/vm/run -k "$2" -t "${limit:-2100}" "${@:3}" < /dev/null > "$logs/$1" 2>&1
	echo $? > "$logs/$1.status"
}

# shares NUMBER: all system tests, in so many lines of about as many
shares() {
	local share
	for ((share = 0; share < $1; share++)); do
		find tests/system -name '*.sh' ! -name lib.sh -printf '%f\n' | sort |
			awk -v share="$share" -v shares="$1" 'NR % shares == share {
					sub(/.sh$/, ""); printf " %s", $0 }
				END { print "" }'
	done
}

# report WHAT NAME KERNEL: its lines, with the kernel's name behind WHAT/; those
# that are ok are only counted, by the lines "N passed, N failed[, N skipped]".
report() {
	local what=$1 name=$2 kernel=$3 log=$logs/$2 status line counts=0 bad=0
	status=$(< "$log.status")
	if [ "$status" = 77 ]; then
		sed "s,^skip $what/,skip $what/$kernel/," "$log"
		skipped=$((skipped + 1))
		return
	fi
	sed "s,^\(ok\|not ok\|skip\) $what/,\1 $what/$kernel/," "$log" |
		grep -v '^ok \|^[0-9]* passed,'
	while read -r line; do
		echo "# $name, $kernel: $line"
		[[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]] || continue
		passed=$((passed + BASH_REMATCH[1]))
		bad=$((bad + BASH_REMATCH[2]))
		skipped=$((skipped + ${BASH_REMATCH[4]:-0}))
		counts=$((counts + 1))
	done < <(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log")
	failed=$((failed + bad))
	if [ $counts = 0 ] || { [ "$status" != 0 ] && [ $bad = 0 ]; }; then
		echo "not ok $what/$kernel/$name (status $status)"
		failed=$((failed + 1))
	fi
}

finish() {
	echo "$passed passed, $failed failed, $skipped skipped"
	[ $failed = 0 ]
	exit
}
