// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * recs: write records that can be told apart, and read them back
 *
 *	recs write [-f FIRST] [-m N] [-a FILE] [-k N] [-l FILE] [-r N] [-u FILE] [-w] [-x]
 *		NODE SIZE COUNT
 *	recs read [-f FIRST] NODE SIZE
 *
 * The records are those of records.h.  SIZE is a number of bytes, or FROM-TO: then
 * the size follows from n, too.
 *
 * write prints "N written, M marked, RESULT, close RESULT": N records that were
 * acknowledged, M of them before a filemark that has returned.  It stops at the
 * first error.  -m: a filemark behind every N records.  -a: FILE has the two
 * numbers at every moment, for when this is killed.  -k: kill itself (SIGKILL)
 * behind N records.  -l: FILE has at the end how long the longest write(2) or mark
 * took, in ms.  -r: try a record again, N times in all, if it is refused
 * with ENOSPC.  -u: 20 ms between two records, and the last one when FILE is there.
 * -w: before closing, wait for a line on standard input.  -x: do
 * not close, but exit.
 *
 * read prints "N records, M marks, RESULT", from where the tape stands to the
 * first error or two ends of file in a row.  Status 1: a record that is not what
 * was written as the next one.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mtio.h>
#include <time.h>
#include <unistd.h>

#include "records.h"

#define RECORD_MAX (16u << 20)

static struct {
	uint64_t first, count, every, kill_at, retries;
	uint64_t from, to;	/* sizes */
	const char *acknowledged, *node, *longest, *until;
	bool wait, leave;
	uint64_t written, marked;
	int log;
	uint64_t longest_ms;
	uint8_t *buffer, *wanted;
} r = { .log = -1 };

static const char *name(int result)
{
	const char *text = result < 0 ? strerrorname_np(errno) : "ok";

	return text ? text : "?";
}

static size_t size_of(uint64_t n)
{
	return record_size(n, r.from, r.to);
}

static void acknowledge(void)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%-12llu %-12llu\n",
			 (unsigned long long)r.written, (unsigned long long)r.marked);

	if (r.log >= 0 && pwrite(r.log, text, (size_t)n, 0) != n)
		abort();
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void took(uint64_t since)
{
	uint64_t ms = now_ms() - since;

	r.longest_ms = ms > r.longest_ms ? ms : r.longest_ms;
}

static void tell_longest(void)
{
	FILE *file = r.longest ? fopen(r.longest, "w") : NULL;

	if (r.longest && (!file || fprintf(file, "%llu\n", (unsigned long long)r.longest_ms) < 0))
		abort();
	if (file)
		fclose(file);
}

static int mark(int fd)
{
	struct mtop op = { .mt_op = MTWEOF, .mt_count = 1 };
	uint64_t since = now_ms();
	int result = ioctl(fd, MTIOCTOP, &op);

	took(since);
	if (result == 0) {
		r.marked = r.written;
		acknowledge();
	}
	return result;
}

static int write_record(int fd, uint64_t n)
{
	size_t size = size_of(n);
	uint64_t since;
	ssize_t done;

	record_make(r.buffer, size, n);
	since = now_ms();
	do {
		done = write(fd, r.buffer, size);
	} while (done < 0 && errno == ENOSPC && r.retries && r.retries--);
	took(since);
	if (done < 0)
		return -1;
	if ((size_t)done != size) {
		errno = EMSGSIZE;
		return -1;
	}
	r.written++;
	acknowledge();
	if (r.kill_at == r.written)
		raise(SIGKILL);
	return r.every && r.written % r.every == 0 ? mark(fd) : 0;
}

static bool is_over(uint64_t i)
{
	static const struct timespec pause = { .tv_nsec = 20000000 };

	if (r.until && i)
		nanosleep(&pause, NULL);
	return i == r.count || (r.until && access(r.until, F_OK) == 0);
}

static int write_all(void)
{
	int fd = open(r.node, O_WRONLY), result = 0;

	if (fd < 0) {
		printf("open %s\n", name(fd));
		return 1;
	}
	if (r.acknowledged)
		r.log = open(r.acknowledged, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	acknowledge();
	for (uint64_t i = 0; result == 0 && !is_over(i); i++)
		result = write_record(fd, r.first + i);
	printf("%llu written, %llu marked, %s, ", (unsigned long long)r.written,
	       (unsigned long long)r.marked, name(result));
	fflush(stdout);
	tell_longest();
	if (r.wait)
		getchar();
	if (r.leave)
		_exit(0);
	printf("close %s\n", name(close(fd)));
	return 0;
}

static int check(uint64_t n, ssize_t length)
{
	uint64_t found = 0;

	record_make(r.wanted, size_of(n), n);
	if ((size_t)length == size_of(n) && memcmp(r.buffer, r.wanted, (size_t)length) == 0)
		return 0;
	memcpy(&found, r.buffer, length < 8 ? (size_t)length : 8);
	fprintf(stderr, "recs: not record %llu: %zd bytes, number %llu\n",
		(unsigned long long)n, length, (unsigned long long)found);
	return -1;
}

static int read_all(void)
{
	uint64_t n = 0, marks = 0;
	int fd = open(r.node, O_RDONLY), zeros = 0;
	ssize_t length;

	if (fd < 0) {
		printf("open %s\n", name(fd));
		return 1;
	}
	while (zeros < 2 && (length = read(fd, r.buffer, r.to)) >= 0) {
		zeros = length ? 0 : zeros + 1;
		marks += length == 0 && zeros == 1;
		if (length && check(r.first + n++, length))
			return 1;
	}
	printf("%llu records, %llu marks, %s\n", (unsigned long long)n,
	       (unsigned long long)marks, zeros < 2 ? name(-1) : "ok");
	close(fd);
	return 0;
}

static bool take_size(const char *text)
{
	char *end;

	r.from = strtoull(text, &end, 0);
	r.to = *end == '-' ? strtoull(end + 1, &end, 0) : r.from;
	return !*end && r.from && r.from <= r.to && r.to <= RECORD_MAX;
}

static bool take_options(int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "f:m:a:k:l:r:u:wx")) > 0)
		switch (opt) {
		case 'f':
			r.first = strtoull(optarg, NULL, 0);
			break;
		case 'm':
			r.every = strtoull(optarg, NULL, 0);
			break;
		case 'a':
			r.acknowledged = optarg;
			break;
		case 'k':
			r.kill_at = strtoull(optarg, NULL, 0);
			break;
		case 'l':
			r.longest = optarg;
			break;
		case 'r':
			r.retries = strtoull(optarg, NULL, 0);
			break;
		case 'u':
			r.until = optarg;
			break;
		case 'w':
			r.wait = true;
			break;
		case 'x':
			r.leave = true;
			break;
		default:
			return false;
		}
	return true;
}

int main(int argc, char **argv)
{
	bool writing = argc > 1 && strcmp(argv[1], "write") == 0;
	int words = writing ? 3 : 2;

	if (argc < 2 || (!writing && strcmp(argv[1], "read")) ||
	    !take_options(argc - 1, argv + 1) || argc - 1 - optind != words ||
	    !take_size(argv[optind + 2])) {
		fputs("usage: recs write|read [OPTION...] NODE SIZE [COUNT]\n", stderr);
		return 2;
	}
	r.node = argv[optind + 1];
	if (writing)
		r.count = strtoull(argv[optind + 3], NULL, 0);
	r.buffer = malloc(RECORD_MAX);
	r.wanted = malloc(RECORD_MAX);
	if (!r.buffer || !r.wanted)
		return 2;
	return writing ? write_all() : read_all();
}
