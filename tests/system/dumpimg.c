// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dumpimg: what is in a tape image, told by a reader of its own
 *
 *	dumpimg FILE
 *
 * Prints a line for each object, "LBN record LENGTH FIRST CRC" or "LBN mark";
 * FIRST is the number in the first 8 bytes of the record.  Before the objects of
 * each further partition stands "partition NUMBER".  Two images with the same
 * contents give the same lines, whatever their formats.  This is written
 * from pmt-image(5) and SIMH's description alone, so that what the library
 * writes is not judged by the library.  Status 1: the image breaks the rules.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "records.h"

#define LOG_START	12288
#define OBJECT		64
#define CHECKPOINT	4096

#define DIVIDED		4	/* flag of the file header */
#define TABLE		2640	/* in a checkpoint */

static const uint8_t *image;
static uint64_t image_size;
static uint32_t partition;	/* that image is */

static void broken(const char *what, uint64_t at) __attribute__((noreturn));

static void broken(const char *what, uint64_t at)
{
	fflush(stdout);
	fprintf(stderr, "dumpimg: %s at %llu\n", what, (unsigned long long)at);
	exit(1);
}

static uint64_t little(const uint8_t *p, int bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | p[bytes];
	return value;
}

static uint32_t u32(const uint8_t *p)
{
	return (uint32_t)little(p, 4);
}

static uint64_t u64(const uint8_t *p)
{
	return little(p, 8);
}

static uint32_t crc(const uint8_t *p, uint64_t n)
{
	return ~record_crc(~0u, p, n);
}

/* Over the volume's UUID and what is before the field. */
static bool sealed(const uint8_t *p, uint64_t n)
{
	return u32(p + n) == (uint32_t)~record_crc(record_crc(~0u, image + 16, 16), p, n);
}

static void print_record(uint64_t lbn, const uint8_t *data, uint32_t length)
{
	printf("%llu record %u %llu %08x\n", (unsigned long long)lbn, length,
	       (unsigned long long)little(data, length < 8 ? (int)length : 8),
	       crc(data, length));
}

static void print_mark(uint64_t lbn)
{
	printf("%llu mark\n", (unsigned long long)lbn);
}

/* ---- native ---- */

static const uint8_t *last_checkpoint(void)
{
	const uint8_t *best = NULL, *p;

	for (int i = 0; i < 2; i++) {
		p = image + (uint64_t)CHECKPOINT * (uint64_t)(i + 1);
		if (memcmp(p, "PMTCHECK", 8) || !sealed(p, 4092))
			continue;
		if (u64(p + 8) % 2 != (uint64_t)i || u32(p + 56) != partition)
			broken("checkpoint in the wrong slot", (uint64_t)(p - image));
		if (!best || u64(p + 8) > u64(best + 8))
			best = p;
	}
	return best;
}

struct walk {
	uint64_t at, lbn, file, block, epoch;
};

/* Is there a whole object, in its place in the row? */
static bool whole(const struct walk *walk)
{
	const uint8_t *p = image + walk->at;
	uint64_t length;

	if (image_size - walk->at < OBJECT || u32(p) != 0x4f544d50 || !sealed(p, 60))
		return false;
	length = u32(p + 8);
	return image_size - walk->at - OBJECT >= length && u64(p + 24) == walk->lbn &&
	       little(p + 6, 2) == partition &&
	       u32(p + 12) == (length ? crc(p + OBJECT, length) : u32(p + 12));
}

static void check_place(const struct walk *walk)
{
	const uint8_t *p = image + walk->at;

	if (u64(p + 32) != walk->file || u64(p + 40) != walk->block)
		broken("file and block are not counted right", walk->at);
	if (u64(p + 16) < walk->epoch)
		broken("the epoch gets smaller", walk->at);
}

static void pass_object(struct walk *walk)
{
	const uint8_t *p = image + walk->at;
	uint32_t length = u32(p + 8);

	if (p[4] != 3)
		check_place(walk);
	if (p[4] == 1) {
		print_record(walk->lbn++, p + OBJECT, length);
		walk->block++;
	} else if (p[4] == 2) {
		print_mark(walk->lbn++);
		walk->file++;
		walk->block = 0;
	} else if (p[4] != 3) {
		broken("unknown type", walk->at);
	}
	walk->epoch = u64(p + 16);
	walk->at += OBJECT + (length + 7ull) / 8 * 8;
}

static void check_header(void)
{
	bool divided = image_size >= LOG_START && u32(image + 12) & DIVIDED;

	if (image_size < LOG_START || u32(image + 8) != 1 || u32(image + 60) != LOG_START ||
	    u32(image + 12) > 7 || u32(image + 56) != !divided ||
	    u32(image + 64) != partition || (partition && !divided) ||
	    crc(image, 124) != u32(image + 124))
		broken("bad header", 0);
}

static void dump_log(const uint8_t *checkpoint)
{
	struct walk walk = { .at = LOG_START };

	while (walk.at < u64(checkpoint + 24)) {
		if (!whole(&walk))
			broken("no whole object before the checkpoint", walk.at);
		pass_object(&walk);
	}
	if (walk.at != u64(checkpoint + 24) || walk.lbn != u64(checkpoint + 32) ||
	    walk.file != u64(checkpoint + 40) || walk.block != u64(checkpoint + 48))
		broken("the checkpoint is wrong about the end", walk.at);
	walk.epoch = u64(checkpoint + 16);
	while (whole(&walk) && u64(image + walk.at + 16) == walk.epoch)
		pass_object(&walk);
}

static const uint8_t *check_native(void)
{
	const uint8_t *checkpoint;

	check_header();
	checkpoint = last_checkpoint();
	if (!checkpoint)
		broken("no checkpoint", CHECKPOINT);
	return checkpoint;
}

static bool map(const char *name);

static void dump_native(const char *name)
{
	const uint8_t *first = image, *table = check_native() + TABLE;
	const uint8_t *checkpoint = table - TABLE;
	uint32_t count = u32(table) ? u32(table) : 1;
	char other[4096];

	if (count > 4 || (count > 1 && !(u32(image + 12) & DIVIDED)))
		broken("bad table of partitions", (uint64_t)(table - image));
	for (dump_log(checkpoint); ++partition < count;) {
		printf("partition %u\n", partition);
		snprintf(other, sizeof(other), "%s.p%u", name, partition);
		if (u32(table + 4) & 1)		/* formatting is unfinished: empty */
			continue;
		if (!map(other))
			exit(2);
		checkpoint = check_native();
		if (memcmp(first + 16, image + 16, 16) ||
		    u64(checkpoint + TABLE + 8) != u64(table + 8))
			broken("a partition of another tape, or of another formatting", 0);
		dump_log(checkpoint);
	}
}

/* ---- SIMH ---- */

static void dump_simh(void)
{
	uint64_t at = 0, lbn = 0, padded;
	uint32_t length;

	while (image_size - at >= 4) {
		length = u32(image + at);
		if (length == 0xffffffff)
			return;
		if (!length) {
			print_mark(lbn++);
			at += 4;
			continue;
		}
		padded = (length + 1ull) / 2 * 2;
		if (length > 0xffffff || image_size - at < 8 + padded)
			broken("a record does not fit", at);
		if (u32(image + at + 4 + padded) != length)
			broken("the two lengths differ", at);
		print_record(lbn++, image + at + 4, length);
		at += 8 + padded;
	}
	if (at != image_size)
		broken("a rest", at);
}

/* The file stays mapped, also when another one takes its place. */
static bool map(const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	void *address = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		address = MAP_FAILED;
	else if (st.st_size)
		address = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (address == MAP_FAILED) {
		fprintf(stderr, "dumpimg: %s: %s\n", name, strerror(errno));
		return false;
	}
	close(fd);
	image = address;
	image_size = (uint64_t)st.st_size;
	return true;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fputs("usage: dumpimg FILE\n", stderr);
		return 2;
	}
	if (!map(argv[1]))
		return 2;
	if (!image_size)
		return 0;
	if (image_size >= 8 && memcmp(image, "PMTIMAGE", 8) == 0)
		dump_native(argv[1]);
	else
		dump_simh();
	return 0;
}
