// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * neighbour: the program on a unit that has an honest server, beside the hostile one
 *
 * It must read what it wrote.  All its bytes have the highest bit set, so that a
 * hostile server that sees one of them can tell.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mtio.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "server.h"

static void known_record(uint64_t *words, size_t size, uint64_t n)
{
	for (size_t i = 0; i < (size + 7) / 8; i++)
		words[i] = mix(n * 65536 + i) | HIGH;
}

static int tape_op(int fd, short what)
{
	struct mtop op = { .mt_op = what, .mt_count = 1 };

	return ioctl(fd, MTIOCTOP, &op);
}

static bool neighbour_lap(int fd, uint64_t lap)
{
	static uint64_t words[RECORD_MAX / 8], got[RECORD_MAX / 8];
	uint32_t n = 4 + below(12);
	size_t size = 0;

	if (tape_op(fd, MTREW) < 0)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		size = 1 + mix(lap * 16 + i) % (RECORD_MAX - 1);
		known_record(words, size, lap * 16 + i);
		if (write(fd, words, size) != (ssize_t)size)
			return false;
	}
	if (tape_op(fd, MTWEOF) < 0 || tape_op(fd, MTREW) < 0)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		size = 1 + mix(lap * 16 + i) % (RECORD_MAX - 1);
		known_record(words, size, lap * 16 + i);
		if (read(fd, got, RECORD_MAX) != (ssize_t)size || memcmp(words, got, size))
			return false;
	}
	return read(fd, got, RECORD_MAX) == 0;
}

void be_neighbour(const char *unit)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/npmtm%s", unit);
	fd = open(path, O_RDWR);
	if (fd < 0)
		bad("the neighbour's tape: %s", strerror(errno));
	for (uint64_t lap = 0; fd >= 0 && !get(sh->stop); lap++) {
		if (!neighbour_lap(fd, lap)) {
			bad("the neighbour was disturbed in lap %llu: %s",
			    (unsigned long long)lap, strerror(errno));
			break;
		}
		count(neighbour_laps);
		nap(below(20000));
	}
	if (fd >= 0 && close(fd) < 0)
		bad("the neighbour's close: %s", strerror(errno));
	_exit(0);
}
