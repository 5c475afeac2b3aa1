// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * wander: a program that does what comes into its head to a tape, and knows what is on it
 *
 *	wander NODE SEED UNTIL EXPECTED
 *
 * It writes records and filemarks, goes to a place, reads what is there, writes over
 * what is there, closes the tape and opens it again, until there is a file UNTIL.  What
 * it reads, and where it is, has to be what it was told of.  At the end EXPECTED has what
 * is on the tape, in the words of dumpimg, and it prints "N steps, W written, R read, ok".
 * It stops at the first error or difference, which it prints instead: status 1.
 *
 * Behind writing, a filemark is written before anything else is done, so that st has no
 * reason to write one of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mtio.h>
#include <unistd.h>

#include "records.h"

#define LENGTH_MIN	8
#define LENGTH_MAX	30000
#define OBJECTS		1500	/* more are not there at once */
#define MARK		UINT64_MAX

static struct {
	const char *node;
	int fd;
	uint64_t seed;
	uint64_t objects[OBJECTS + 64];	/* numbers of records, or MARK */
	uint64_t n, at;			/* objects on the tape, and where it stands */
	uint64_t next;			/* number that was not given yet */
	uint64_t steps, written, read;
	uint8_t buffer[LENGTH_MAX + 1], wanted[LENGTH_MAX];
} w;

__attribute__((format(printf, 1, 2), noreturn))
static void fail(const char *format, ...)
{
	va_list list;

	printf("step %" PRIu64 ", block %" PRIu64 " of %" PRIu64 ": ", w.steps, w.at, w.n);
	va_start(list, format);
	vprintf(format, list);
	va_end(list);
	putchar('\n');
	exit(1);
}

static uint64_t chance(uint64_t n)
{
	w.seed = w.seed * 6364136223846793005ull + 1442695040888963407ull;
	return record_mix(w.seed) % n;
}

static void open_tape(void)
{
	w.fd = open(w.node, O_RDWR | O_CLOEXEC);
	if (w.fd < 0)
		fail("open: %s", strerror(errno));
}

static void operate(short op, int count)
{
	struct mtop order = { .mt_op = op, .mt_count = count };

	if (ioctl(w.fd, MTIOCTOP, &order))
		fail("operation %d, %d times: %s", op, count, strerror(errno));
}

static void look(void)
{
	struct mtpos pos;

	if (ioctl(w.fd, MTIOCPOS, &pos))
		fail("where it stands: %s", strerror(errno));
	if ((uint64_t)pos.mt_blkno != w.at)
		fail("it stands at block %ld", pos.mt_blkno);
}

static size_t size_of(uint64_t number)
{
	return record_size(number, LENGTH_MIN, LENGTH_MAX);
}

/* What was behind is gone. */
static void put(uint64_t object)
{
	w.objects[w.at++] = object;
	w.n = w.at;
}

static void write_some(void)
{
	for (uint64_t i = 1 + chance(30); i; i--) {
		size_t size = size_of(w.next);
		ssize_t done;

		record_make(w.buffer, size, w.next);
		done = write(w.fd, w.buffer, size);
		if (done < 0)
			fail("write: %s", strerror(errno));
		if ((size_t)done != size)
			fail("write: %zd of %zu bytes", done, size);
		put(w.next++);
		w.written++;
		if (chance(12) == 0) {
			operate(MTWEOF, 1);
			put(MARK);
		}
	}
	operate(MTWEOF, 1);
	put(MARK);
}

static void go_to(uint64_t lbn)
{
	operate(MTSEEK, (int)lbn);
	w.at = lbn;
}

static void move(void)
{
	switch (chance(4)) {
	case 0:
		operate(MTREW, 1);
		w.at = 0;
		break;
	case 1:
		operate(MTEOM, 1);
		w.at = w.n;
		break;
	default:
		go_to(chance(w.n + 1));
	}
	look();
}

static void read_one(void)
{
	uint64_t object = w.objects[w.at];
	size_t size = object == MARK ? 0 : size_of(object);
	ssize_t done = read(w.fd, w.buffer, sizeof(w.buffer));

	if (done < 0)
		fail("read: %s", strerror(errno));
	if ((size_t)done != size)
		fail("read: %zd bytes, not %zu", done, size);
	if (size)
		record_make(w.wanted, size, object);
	if (memcmp(w.buffer, w.wanted, size))
		fail("read: not record %" PRIu64, object);
	w.at++;
	w.read++;
}

static void read_some(void)
{
	if (w.at == w.n)
		move();
	for (uint64_t i = 1 + chance(30); i && w.at < w.n; i--)
		read_one();
	look();
}

static void step(void)
{
	w.steps++;
	switch (chance(8)) {
	case 0:
		move();
		break;
	case 1:
	case 2:
		read_some();
		/* From where reading has ended st does not write. */
		go_to(w.at);
		break;
	case 3:
		if (close(w.fd))
			fail("close: %s", strerror(errno));
		open_tape();
		look();
		break;
	default:
		/* Mostly at the end; else over what is there. */
		if (w.at != w.n && chance(4))
			go_to(w.n);
		if (w.n > OBJECTS - 128)
			go_to(chance(OBJECTS / 2));
		write_some();
	}
}

static void expect(const char *name)
{
	FILE *file = fopen(name, "w");

	if (!file)
		fail("%s: %s", name, strerror(errno));
	for (uint64_t i = 0; i < w.n; i++) {
		uint64_t number = w.objects[i];
		size_t size = number == MARK ? 0 : size_of(number);

		if (number == MARK) {
			fprintf(file, "%" PRIu64 " mark\n", i);
			continue;
		}
		record_make(w.wanted, size, number);
		fprintf(file, "%" PRIu64 " record %zu %" PRIu64 " %08x\n", i, size, number,
			~record_crc(~0u, w.wanted, size));
	}
	if (fclose(file))
		fail("%s: %s", name, strerror(errno));
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fputs("usage: wander NODE SEED UNTIL EXPECTED\n", stderr);
		return 2;
	}
	w.node = argv[1];
	w.seed = strtoull(argv[2], NULL, 0);
	open_tape();
	operate(MTREW, 1);
	while (access(argv[3], F_OK))
		step();
	if (close(w.fd))
		fail("close: %s", strerror(errno));
	expect(argv[4]);
	printf("%" PRIu64 " steps, %" PRIu64 " written, %" PRIu64 " read, ok\n", w.steps,
	       w.written, w.read);
	return 0;
}
