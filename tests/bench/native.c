// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * native FOLDER [RECORDS]: what the library does without the kernel
 *
 * CRC-32C; and an image of RECORDS (10,000,000) records of 64 bytes in FOLDER: writing
 * and reading it, opening it, the memory that takes, and LOCATE to 10,000 places by
 * chance, at each of which the record is read and has to be the one that was meant.
 * The same with 1 GiB of records of 64 KiB, before it; and how it grows with the image,
 * from a 100th of the records on.
 *
 * Prints lines for bench/report.  Status 0; 1 error, or a record that was another.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../../lib/internal.h"

#define SMALL 64u
#define LARGE 65536u
#define LOCATES 10000u

static char buffer[LARGE];
static bool wrong, quiet;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void tell(const char *name, double value, const char *unit)
{
	if (!quiet)
		printf("native\t%s\t%.6g\t%s\n", name, value, unit);
	fflush(stdout);
}

/* Over the records of an image, of small ones. */
static void grows(const char *name, uint64_t count, uint32_t size, double value,
		  const char *unit, const char *how)
{
	if (size == SMALL)
		printf("scaling\timage, %s\trecords\t%" PRIu64 "\t%.6g\t%s\t%s\n", name, count,
		       value, unit, how);
}

/* Memory of this process that is in use, bytes. */
static double memory(void)
{
	unsigned long size = 0, resident = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (file && fscanf(file, "%lu %lu", &size, &resident) != 2)
		resident = 0;
	if (file)
		fclose(file);
	return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

/* ---- a drive, one command after the other ---- */

struct user {
	struct pmt_drive *drive;
	struct pmt_place place;
	struct pmt_request req;
};

static void one_done(struct pmt_request *req)
{
	(void)req;
}

static bool run(struct user *u, struct pmt_command cmd)
{
	uint32_t number = u->req.cmd.number;

	u->req = (struct pmt_request){ .cmd = cmd, .data = buffer, .done = one_done };
	u->req.cmd.number = number + 1;
	u->req.cmd.place = u->place;
	pmt_drive_execute(u->drive, &u->req);
	u->place = u->req.result.status == PMT_STATUS_GOOD ?
			   pmt_place_after(&u->req.cmd) : u->req.result.place;
	if (cmd.op == PMT_OP_LOCATE)
		u->place = u->req.result.place;
	return u->req.result.status == PMT_STATUS_GOOD;
}

static int take(struct user *u, const char *file)
{
	struct pmt_session session = { .unit_id = 1, .place = { .generation = 1 },
				       .depth = 1 };
	_cleanup_free_ char *spec = NULL, *error = NULL;
	int rc;

	*u = (struct user){ .place = session.place };
	if (asprintf(&spec, "image:%s?capacity=64G&ew=4M&ahead=4M", file) < 0)
		return -ENOMEM;
	rc = pmt_drive_open(&u->drive, spec, &error);
	if (rc == 0)
		rc = pmt_drive_attach(u->drive, &session);
	if (rc)
		fprintf(stderr, "native: %s: %s\n", spec, error ? error : strerror(-rc));
	else if (!run(u, (struct pmt_command){ .op = PMT_OP_REWIND }))
		rc = -EIO;
	return rc;
}

static void give_back(struct user *u)
{
	pmt_drive_detach(u->drive);
	pmt_drive_close(u->drive);
}

static bool write_all(struct user *u, uint64_t count, uint32_t size)
{
	for (uint64_t i = 0; i < count; i++) {
		memcpy(buffer, &i, sizeof(i));
		if (!run(u, (struct pmt_command){ .op = PMT_OP_WRITE, .length = size }))
			return false;
	}
	return run(u, (struct pmt_command){ .op = PMT_OP_WRITE_FILEMARKS, .count = 1 });
}

static bool read_one(struct user *u, uint64_t number, uint32_t size)
{
	uint64_t is;

	if (!run(u, (struct pmt_command){ .op = PMT_OP_READ, .length = size }))
		return false;
	memcpy(&is, buffer, sizeof(is));
	wrong = wrong || is != number;
	return true;
}

static bool read_all(struct user *u, uint64_t count, uint32_t size)
{
	if (!run(u, (struct pmt_command){ .op = PMT_OP_REWIND }))
		return false;
	for (uint64_t i = 0; i < count; i++)
		if (!read_one(u, i, size))
			return false;
	return true;
}

/* ---- what is measured ---- */

static void crc(void)
{
	double began = now(), seconds;
	uint64_t bytes = 0;
	uint32_t sum = 0;

	do {
		for (int i = 0; i < 1000; i++, bytes += LARGE)
			sum = pmt_crc32c(sum, buffer, LARGE);
		seconds = now() - began;
	} while (seconds < 0.5);
	tell(sum ? "CRC-32C, 64 KiB" : "CRC-32C, 64 KiB (0)", (double)bytes / seconds / 1e6,
	     "MB/s");
}

static double processor(void)
{
	return (double)clock() / CLOCKS_PER_SEC;
}

/* By the clock, and what it takes of a processor, which others do not change. */
static void tell_both(const char *what, const char *name, uint64_t count, double began,
		      double cpu)
{
	double seconds = now() - began, busy = processor() - cpu;
	char text[80];

	snprintf(text, sizeof(text), "image, %s: %s", name, what);
	tell(text, (double)count / seconds, "records/s");
	tell(text, busy * 1e6 / (double)count, "us of a processor a record");
}

static bool streamed(const char *file, uint64_t count, uint32_t size, const char *name)
{
	double began, cpu;
	struct user u;
	bool good;

	unlink(file);
	if (take(&u, file))
		return false;
	began = now();
	cpu = processor();
	good = write_all(&u, count, size);
	tell_both("append", name, count, began, cpu);
	grows("append", count, size, (processor() - cpu) * 1e6 / (double)count,
	      "us of a processor a record", "flat");
	began = now();
	cpu = processor();
	good = good && read_all(&u, count, size);
	tell_both("read", name, count, began, cpu);
	give_back(&u);
	return good;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static bool locate(struct user *u, uint64_t count, uint32_t size)
{
	static double took[LOCATES];
	double cpu = processor();
	uint64_t random = 1;

	for (uint32_t i = 0; i < LOCATES; i++) {
		double began = now();
		uint64_t to;

		random = random * 6364136223846793005 + 1442695040888963407;
		to = (random >> 16) % count;
		if (!run(u, (struct pmt_command){ .op = PMT_OP_LOCATE,
						  .count = (int64_t)to }) ||
		    !read_one(u, to, size))
			return false;
		took[i] = (now() - began) * 1e6;
	}
	cpu = processor() - cpu;
	qsort(took, LOCATES, sizeof(*took), by_value);
	grows("LOCATE and READ", count, size, took[LOCATES / 2], "us",
	      "less than linear");
	tell("  LOCATE and READ, median", took[LOCATES / 2], "us");
	tell("  LOCATE and READ, 99 of 100", took[LOCATES / 100 * 99], "us");
	tell("  LOCATE and READ, longest", took[LOCATES - 1], "us");
	tell("  LOCATE and READ, mean", cpu * 1e6 / LOCATES, "us of a processor");
	return true;
}

static bool open_again(const char *file, uint64_t count, uint32_t size)
{
	double began = now();
	struct user u;

	if (take(&u, file))
		return false;
	grows("opening", count, size, (now() - began) * 1e3, "ms", "flat");
	give_back(&u);
	return true;
}

/* Memory before it is opened and behind the last LOCATE: the index is loaded late. */
static bool opened(const char *file, uint64_t count, uint32_t size, const char *name)
{
	double before, began;
	struct user u;
	char text[80];
	bool good = true;

	for (int i = 0; good && i < 4; i++)
		good = open_again(file, count, size);
	malloc_trim(0);
	before = memory();
	began = now();
	if (!good || take(&u, file))
		return false;
	snprintf(text, sizeof(text), "image, %s: opening", name);
	began = now() - began;
	grows("opening", count, size, began * 1e3, "ms", "flat");
	tell(text, began * 1e3, "ms");
	good = locate(&u, count, size);
	before = memory() - before;
	grows("memory, 4 KiB at least", count, size, before > 4096 ? before / 1024 : 4, "KiB",
	      "flat");
	tell("  memory, buffers among it", before / 1024, "KiB");
	tell("  memory for a record", before / (double)count, "bytes");
	give_back(&u);
	return good;
}

/* Of smaller images nothing else is told. */
static bool smaller(const char *file, uint64_t count)
{
	char name[64];
	bool good = true;

	quiet = true;
	for (uint64_t part = 100; good && part > 1; part /= 10) {
		uint64_t n = (count + part - 1) / part;

		snprintf(name, sizeof(name), "%" PRIu64, n);
		good = streamed(file, n, SMALL, name) && opened(file, n, SMALL, name);
	}
	quiet = false;
	return good;
}

static bool image(const char *file, uint64_t count, uint32_t size)
{
	char name[64];

	snprintf(name, sizeof(name), "%" PRIu64 " of %u", count, size);
	return streamed(file, count, size, name) && opened(file, count, size, name);
}

int main(int argc, char **argv)
{
	uint64_t count = argc == 3 ? strtoull(argv[2], NULL, 10) : 10000000;
	_cleanup_free_ char *file = NULL;
	bool good;

	if (argc < 2 || argc > 3 || !count || asprintf(&file, "%s/native.tape", argv[1]) < 0) {
		fprintf(stderr, "usage: native FOLDER [RECORDS]\n");
		return 2;
	}
	crc();
	good = image(file, (1u << 30) / LARGE, LARGE) && smaller(file, count) &&
	       image(file, count, SMALL);
	unlink(file);
	if (!good || wrong)
		fprintf(stderr, "native: %s\n", wrong ? "a record is not what was written" :
							"a command failed");
	return !good || wrong;
}
