#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# filters.sh: what the filters zstd and aead cost, see filters.c; and what zstd's own
# benchmark says of the same file.  The file is 64 MB of this machine's: headers and
# the compiler, in a tar.  What is below 85 % of its library is marked.

set -u

cd "$(dirname "$0")/../.." || exit 1
tmp=$(mktemp -d -p /dev/shm 2> /dev/null || mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# tar is told off by head for writing on
tar -C / -cf - usr/include usr/lib/gcc 2> /dev/null | head -c 64000000 > "$tmp/input"
(umask 077 && openssl rand -hex 32 > "$tmp/keys")
sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1
echo "libzstd $(pkg-config --modversion libzstd), libsodium $(pkg-config --modversion libsodium); MB a second of one processor"
build/plain/tests/bench/filters "$tmp/input" "$tmp/keys"
status=$?
for size in 10 32 64 256 1024; do
	printf '%s' "zstd -b3 -B${size}K:"
	zstd -b3 -e3 -i2 "-B${size}K" --single-thread "$tmp/input" 2>&1 |
		tr '\r' '\n' | grep -E 'MB/s' | tail -n 1
done
exit $status
