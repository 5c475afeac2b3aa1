/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The image drive: what must hold for every format (against a model in memory),
 * and the promises of the native one and of the volume set.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "folder.h"
#include "internal.h"
#include "suite.h"

#define LOG_START 12288u	/* of pmt-image(5) */
#define SLOT_SIZE 4096u
#define INDEX_SIZE 2640u
#define HEADER 64u

static unsigned int seed;

/* A drive alone, its options as text. */
static int try_tape(struct pmt_leaf **leaf, const char *name, const char *options)
{
	char text[512], *error = NULL;
	struct pmt_spec *spec;
	int r;

	snprintf(text, sizeof(text), "image:%s%s%s", path(name), *options ? "?" : "",
		 options);
	ck_assert_int_eq(pmt_spec_parse(text, &spec, &error), 0);
	*leaf = calloc(1, pmt_image_drive.size);
	(*leaf)->drive.ops = &pmt_image_drive;
	r = pmt_image_drive.open(&(*leaf)->drive, spec);
	pmt_spec_free(spec);
	if (r) {
		free(*leaf);
		*leaf = NULL;
	}
	return r;
}

static struct pmt_leaf *tape(const char *name, const char *options)
{
	struct pmt_leaf *leaf;

	ck_assert_int_eq(try_tape(&leaf, name, options), 0);
	return leaf;
}

static void drop(struct pmt_leaf *leaf)
{
	pmt_image_drive.close(&leaf->drive);
	free(leaf);
}

/* As after kill -9: what the process had is gone, the file is as it is. */
static void snapshot(const char *from, const char *to, off_t length)
{
	int in = open(path(from), O_RDONLY), out;
	off_t done = 0;

	ck_assert_int_ge(in, 0);
	out = open(path(to), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ck_assert_int_ge(out, 0);
	while (done < length) {
		ssize_t n = copy_file_range(in, NULL, out, NULL, length - done, 0);

		ck_assert_int_gt(n, 0);
		done += n;
	}
	close(in);
	close(out);
}

static off_t file_size(const char *name)
{
	struct stat st;

	ck_assert_int_eq(stat(path(name), &st), 0);
	return st.st_size;
}

static void flip(const char *name, off_t offset)
{
	int fd = open(path(name), O_RDWR);
	unsigned char c;

	ck_assert_int_eq(pread(fd, &c, 1, offset), 1);
	c ^= 0x10;
	ck_assert_int_eq(pwrite(fd, &c, 1, offset), 1);
	close(fd);
}

static void fill(unsigned char *data, size_t length, uint32_t key)
{
	for (size_t i = 0; i < length; i++) {
		key = key * 1664525 + 1013904223;
		data[i] = key >> 24;
	}
}

static unsigned char *record(size_t length, uint32_t key)
{
	unsigned char *data = malloc(length);

	fill(data, length, key);
	return data;
}

static int put(struct pmt_leaf *leaf, size_t length, uint32_t key)
{
	unsigned char *data = record(length, key);
	int r = leaf->ops->write(leaf, data, length);

	free(data);
	return r;
}

static int mark(struct pmt_leaf *leaf, uint32_t count)
{
	uint32_t done;
	int r = leaf->ops->marks(leaf, count, &done);

	if (r >= 0)
		ck_assert_uint_eq(done, count);
	return r;
}

static void expect(struct pmt_leaf *leaf, size_t length, uint32_t key)
{
	unsigned char *want = record(length, key), *got = malloc(length + 1);
	size_t n = 0;

	ck_assert_int_eq(leaf->ops->read(leaf, got, length + 1, &n), 0);
	ck_assert_uint_eq(n, length);
	ck_assert_int_eq(memcmp(want, got, length), 0);
	free(want);
	free(got);
}

static int get(struct pmt_leaf *leaf)
{
	static unsigned char buffer[16 << 20];
	size_t n;

	return leaf->ops->read(leaf, buffer, sizeof(buffer), &n);
}

#define at(leaf, l, f, b) do { \
	ck_assert_uint_eq((leaf)->place.lbn, l); \
	ck_assert_uint_eq((leaf)->place.file, f); \
	ck_assert_uint_eq((leaf)->place.block, b); \
} while (0)

START_TEST(sizes_round_trip)
{
	static const size_t sizes[] = { 1, 2, 7, 8, 9, 63, 64, 65, 511, 512, 4095, 4096,
		65536, 1 << 20, (16 << 20) - 1, 16 << 20 };
	const char *format = _i ? "capacity=0&format=simh" : "capacity=0";
	size_t n = sizeof(sizes) / sizeof(*sizes) - _i;
	struct pmt_leaf *leaf = tape("t", format);
	unsigned char few[10];
	size_t length;

	ck_assert_uint_eq(leaf->limits.record_max, _i ? (16 << 20) - 1 : 16 << 20);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(put(leaf, sizes[i], i), 0);
	at(leaf, n, 0, n);
	ck_assert_int_eq(mark(leaf, 2), 0);
	at(leaf, n + 2, 2, 0);
	ck_assert_int_eq(leaf->ops->write(leaf, few, 0), -EINVAL);
	ck_assert_int_eq(leaf->ops->write(leaf, few, (16 << 20) + 1), -EINVAL);
	drop(leaf);
	leaf = tape("t", "");
	ck_assert_uint_eq(leaf->eod, n + 2);
	ck_assert_uint_ne(leaf->medium, 0);
	for (size_t i = 0; i < n; i++)
		expect(leaf, sizes[i], i);
	ck_assert_int_eq(get(leaf), PMT_AT_MARK);
	ck_assert_int_eq(get(leaf), PMT_AT_MARK);
	ck_assert_int_eq(get(leaf), PMT_AT_EOD);
	at(leaf, n + 2, 2, 0);
	/* A short buffer gets its part, and the length of the whole. */
	ck_assert_int_eq(leaf->ops->locate(leaf, 0, 11), 0);
	ck_assert_int_eq(leaf->ops->read(leaf, few, sizeof(few), &length), 0);
	ck_assert_uint_eq(length, 4096);
	at(leaf, 12, 0, 12);
	drop(leaf);
}
END_TEST

/* The model: objects[i] is a record's length, or 0 for a mark. */

#define MODEL_MAX 20000

struct model {
	uint32_t length[MODEL_MAX], key[MODEL_MAX];
	uint64_t eod, lbn;
};

static struct model m;

static uint64_t model_file(uint64_t lbn)
{
	uint64_t n = 0;

	while (lbn--)
		n += !m.length[lbn];
	return n;
}

static uint64_t model_block(uint64_t lbn)
{
	uint64_t n = 0;

	while (lbn-- && m.length[lbn])
		n++;
	return n;
}

static int model_records(int64_t count, int64_t *left)
{
	for (; count > 0; count--) {
		*left = count;
		if (m.lbn == m.eod)
			return PMT_AT_EOD;
		if (!m.length[m.lbn++])
			return PMT_AT_MARK;
	}
	for (; count < 0; count++) {
		*left = -count;
		if (!m.lbn)
			return PMT_AT_BOP;
		if (!m.length[--m.lbn])
			return PMT_AT_MARK;
	}
	*left = 0;
	return 0;
}

static int model_marks(int64_t count, int64_t *left)
{
	for (; count > 0; count -= !m.length[m.lbn++])
		if (m.lbn == m.eod) {
			*left = count;
			return PMT_AT_EOD;
		}
	for (; count < 0; count += !m.length[--m.lbn])
		if (!m.lbn) {
			*left = -count;
			return PMT_AT_BOP;
		}
	*left = 0;
	return 0;
}

static int64_t around(int64_t reach)
{
	return random() % (2 * reach + 1) - reach;
}

static void model_write(struct pmt_leaf *leaf)
{
	int count = random() % 8 ? random() % 8 : random() % 900;

	while (count-- && m.lbn < MODEL_MAX - 10) {
		uint32_t marks = random() % 30 ? 0 : 1 + random() % 4;

		if (marks && random() % 50 == 0)
			marks = 600 + random() % 500;
		if (m.lbn + marks >= MODEL_MAX)
			return;
		if (marks) {
			ck_assert_int_eq(mark(leaf, marks), 0);
			while (marks--)
				m.length[m.lbn++] = 0;
		} else {
			m.length[m.lbn] = 1 + random() % (random() % 40 ? 200 : 60000);
			m.key[m.lbn] = (uint32_t)random();
			ck_assert_int_eq(put(leaf, m.length[m.lbn], m.key[m.lbn]), 0);
			m.lbn++;
		}
		m.eod = m.lbn;
	}
}

static void model_read(struct pmt_leaf *leaf)
{
	int count = random() % 20;

	while (count--) {
		if (m.lbn == m.eod) {
			ck_assert_int_eq(get(leaf), PMT_AT_EOD);
		} else if (!m.length[m.lbn]) {
			ck_assert_int_eq(get(leaf), PMT_AT_MARK);
			m.lbn++;
		} else {
			expect(leaf, m.length[m.lbn], m.key[m.lbn]);
			m.lbn++;
		}
	}
}

static void model_move(struct pmt_leaf *leaf)
{
	int64_t left = -1, want = -1, n;
	uint64_t lbn = random() % (m.eod + 20);

	switch (random() % 4) {
	case 0:
		n = random() % 4 ? around(20) : around(m.eod + 2);
		ck_assert_int_eq(leaf->ops->space_records(leaf, n, &left),
				 model_records(n, &want));
		ck_assert_int_eq(left, want);
		break;
	case 1:
		n = random() % 4 ? around(4) : around(model_file(m.eod) + 2);
		ck_assert_int_eq(leaf->ops->space_marks(leaf, n, &left),
				 model_marks(n, &want));
		ck_assert_int_eq(left, want);
		break;
	case 2:
		ck_assert_int_eq(leaf->ops->locate(leaf, 0, lbn),
				 lbn > m.eod ? PMT_AT_EOD : 0);
		m.lbn = lbn < m.eod ? lbn : m.eod;
		break;
	case 3:
		ck_assert_int_eq(leaf->ops->to_eod(leaf), 0);
		m.lbn = m.eod;
	}
}

static void one_operation(struct pmt_leaf **leaf, const char *options)
{
	uint64_t back;

	switch (random() % 16) {
	case 0 ... 2:		/* on at the end, or a little before it */
		back = random() % 3 ? 0 : random() % 700;
		m.lbn = back < m.eod ? m.eod - back : m.eod;
		ck_assert_int_eq((*leaf)->ops->locate(*leaf, 0, m.lbn), 0);
		model_write(*leaf);
		break;
	case 3:
		if (random() % 8)
			break;
		ck_assert_int_eq((*leaf)->ops->cut(*leaf), 0);
		m.eod = m.lbn;
		break;
	case 4:
		ck_assert_int_eq((*leaf)->ops->sync(*leaf), 0);
		break;
	case 5:
		if (random() % 8)
			break;
		drop(*leaf);
		*leaf = tape("t", options);
		m.lbn = 0;
		break;
	case 6:			/* killed */
		if (random() % 8)
			break;
		snapshot("t", "copy", file_size("t"));
		drop(*leaf);
		ck_assert_int_eq(rename(path("copy"), path("t")), 0);
		*leaf = tape("t", options);
		m.lbn = 0;
		break;
	case 7 ... 9:
		model_read(*leaf);
		break;
	default:
		model_move(*leaf);
	}
}

START_TEST(behaves_as_the_model)
{
	const char *options = _i % 2 ? "capacity=48M&format=simh&sync=no"
				     : "capacity=48M&sync=no";
	struct pmt_leaf *leaf;

	srandom(seed + _i);
	leaf = tape("t", options);
	memset(&m, 0, sizeof(m));
	for (int i = 0; i < 5000; i++) {
		one_operation(&leaf, options);
		ck_assert_uint_eq(leaf->eod, m.eod);
		at(leaf, m.lbn, model_file(m.lbn), model_block(m.lbn));
	}
	drop(leaf);
}
END_TEST

/* Damage */

START_TEST(damage_is_found)
{
	struct pmt_leaf *leaf = tape("t", "create=yes");
	const off_t second = LOG_START + HEADER + 1000;
	int64_t left;

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(put(leaf, 1000, i), 0);
	ck_assert_int_eq(mark(leaf, 1), 0);
	drop(leaf);

	flip("t", second + HEADER + 999);
	leaf = tape("t", "");
	expect(leaf, 1000, 0);
	ck_assert_int_eq(get(leaf), -EBADMSG);
	at(leaf, 2, 0, 2);
	expect(leaf, 1000, 2);
	ck_assert_int_eq(leaf->ops->space_records(leaf, -3, &left), 0);
	ck_assert_int_eq(leaf->ops->space_records(leaf, 2, &left), 0);
	at(leaf, 2, 0, 2);
	drop(leaf);

	for (int byte = 0; byte < 64; byte++) {	/* of the header */
		flip("t", second + byte);
		leaf = tape("t", "");
		ck_assert(!leaf->protected);
		ck_assert_int_eq(leaf->ops->locate(leaf, 0, 1), 0);
		at(leaf, 1, 0, 1);
		ck_assert_int_eq(get(leaf), -EBADMSG);
		at(leaf, 2, 0, 2);
		expect(leaf, 1000, 2);
		drop(leaf);
		flip("t", second + byte);
	}
}
END_TEST

/* Records of 1 byte with a mark behind each 100. */
static struct pmt_leaf *long_tape(uint64_t objects)
{
	struct pmt_leaf *leaf = tape("t", "create=yes&sync=no");

	for (uint64_t i = 0; i < objects; i++)
		ck_assert_int_eq(i % 101 == 100 ? mark(leaf, 1) : put(leaf, 1, i), 0);
	ck_assert_int_eq(leaf->ops->sync(leaf), 0);
	return leaf;
}

START_TEST(damaged_index_is_walked_around)
{
	const uint64_t objects = 5000;
	const off_t group = 512 * (HEADER + 8);
	struct pmt_leaf *leaf = long_tape(objects);
	off_t index = LOG_START;
	int64_t left;

	drop(leaf);
	/* Marks have no data: 5 in the first group. */
	index += group - 8 * 5;
	flip("t", index + HEADER + 100);
	flip("t", index + 3);
	leaf = tape("t", "");
	ck_assert_uint_eq(leaf->eod, objects);
	for (uint64_t i = 0; i < objects; i += 97) {
		ck_assert_int_eq(leaf->ops->locate(leaf, 0, i), 0);
		at(leaf, i, i / 101, i % 101);
		if (i % 101 == 100)
			ck_assert_int_eq(get(leaf), PMT_AT_MARK);
		else
			expect(leaf, 1, i);
	}
	ck_assert_int_eq(leaf->ops->locate(leaf, 0, 4000), 0);
	ck_assert_int_eq(leaf->ops->space_marks(leaf, -38, &left), 0);
	at(leaf, 201, 1, 100);
	ck_assert_int_eq(leaf->ops->locate(leaf, 0, 700), 0);
	ck_assert_int_eq(put(leaf, 10, 1), 0);
	for (int i = 0; i < 1500; i++)
		ck_assert_int_eq(put(leaf, 10, i), 0);
	ck_assert_int_eq(leaf->ops->locate(leaf, 0, 100), 0);
	ck_assert_int_eq(get(leaf), PMT_AT_MARK);
	ck_assert_int_eq(leaf->ops->locate(leaf, 0, 2200), 0);
	expect(leaf, 10, 1499);
	drop(leaf);
}
END_TEST

START_TEST(damaged_checkpoints)
{
	struct pmt_leaf *leaf = tape("t", "create=yes");

	for (int i = 0; i < 700; i++)
		ck_assert_int_eq(put(leaf, 100, i), 0);
	ck_assert_int_eq(mark(leaf, 1), 0);
	drop(leaf);
	for (int slot = 1; slot <= 2; slot++) {
		off_t byte = slot * SLOT_SIZE + 40;

		flip("t", byte);
		leaf = tape("t", "readonly=yes");
		ck_assert_uint_eq(leaf->eod, 701);
		drop(leaf);
		flip("t", byte);
	}
	flip("t", SLOT_SIZE + 40);
	flip("t", 2 * SLOT_SIZE + 40);
	leaf = tape("t", "");
	ck_assert_uint_eq(leaf->eod, 701);
	ck_assert(leaf->protected);
	ck_assert_int_eq(put(leaf, 1, 1), -EROFS);
	ck_assert_int_eq(leaf->ops->locate(leaf, 0, 699), 0);
	expect(leaf, 100, 699);
	drop(leaf);
}
END_TEST

/* Crashes */

struct step {
	uint32_t length;	/* 0: a mark */
	bool sync;
};

static const struct step script[] = {
	{ 100, 0 }, { 1500, 0 }, { 0, 1 }, { 777, 0 }, { 0, 0 }, { 0, 1 },
	{ 64, 0 }, { 900, 0 }, { 0, 0 }, { 0, 0 }, { 33, 0 },
};
#define STEPS (sizeof(script) / sizeof(*script))

/* What is on the tape is a beginning of the script, at least up to least. */
static void follows_script(struct pmt_leaf *leaf, uint64_t least)
{
	ck_assert_uint_ge(leaf->eod, least);
	ck_assert_uint_le(leaf->eod, STEPS);
	for (uint64_t i = 0; i < leaf->eod; i++) {
		if (script[i].length)
			expect(leaf, script[i].length, i);
		else
			ck_assert_int_eq(get(leaf), PMT_AT_MARK);
	}
	ck_assert_int_eq(get(leaf), PMT_AT_EOD);
}

static void every_prefix(const off_t *ends, bool checkpointed)
{
	for (off_t size = SLOT_SIZE; size <= ends[STEPS - 1]; size++) {
		uint64_t whole = 0, least = 0;
		struct pmt_leaf *leaf;

		for (uint64_t i = 0; i < STEPS; i++) {
			whole += ends[i] <= size;
			if (script[i].sync && ends[i] <= size)
				least = i + 1;
		}
		ck_assert_uint_le(least, whole);
		snapshot("session", "prefix", size);
		leaf = tape("prefix", size % 2 ? "capacity=1M&sync=no" : "readonly=yes");
		ck_assert_uint_eq(leaf->eod, whole);
		if (size % 2 && !checkpointed && size >= ends[5])
			ck_assert(!leaf->protected);
		follows_script(leaf, least);
		if (!leaf->protected) {
			ck_assert_int_eq(put(leaf, 50, 999), 0);
			drop(leaf);
			leaf = tape("prefix", "readonly=yes");
			ck_assert_uint_eq(leaf->eod, whole + 1);
			ck_assert_int_eq(leaf->ops->locate(leaf, 0, whole), 0);
			expect(leaf, 50, 999);
		}
		drop(leaf);
	}
}

START_TEST(every_torn_tail_opens)
{
	struct pmt_leaf *leaf = tape("t", "create=yes");
	off_t ends[STEPS];

	for (uint64_t i = 0; i < STEPS; i++) {
		if (script[i].length)
			ck_assert_int_eq(put(leaf, script[i].length, i), 0);
		else
			ck_assert_int_eq(mark(leaf, 1), 0);
		if (script[i].sync)
			ck_assert_int_eq(leaf->ops->sync(leaf), 0);
		ends[i] = file_size("t");
	}
	if (_i)			/* the checkpoint says more than the prefix has */
		ck_assert_int_eq(leaf->ops->sync(leaf), 0);
	snapshot("t", "session", ends[STEPS - 1]);
	drop(leaf);
	every_prefix(ends, _i);
}
END_TEST

/* Across an index block, one byte at a time. */
START_TEST(torn_index)
{
	struct pmt_leaf *leaf = tape("t", "create=yes&sync=no");
	off_t before, after;

	for (int i = 0; i < 512; i++)
		ck_assert_int_eq(put(leaf, 8, i), 0);
	ck_assert_int_eq(leaf->ops->sync(leaf), 0);
	before = file_size("t");
	ck_assert_int_eq(put(leaf, 8, 512), 0);
	after = file_size("t");
	ck_assert_int_eq(after - before, INDEX_SIZE + HEADER + 8);
	for (off_t size = before; size <= after; size++) {
		struct pmt_leaf *copy;

		snapshot("t", "prefix", size);
		copy = tape("prefix", "capacity=1M&sync=no");
		ck_assert_uint_eq(copy->eod, size == after ? 513 : 512);
		ck_assert_int_eq(file_size("prefix"), size == after ? after : before);
		ck_assert_int_eq(copy->ops->to_eod(copy), 0);
		ck_assert_int_eq(put(copy, 8, copy->eod), 0);
		ck_assert_int_eq(copy->ops->locate(copy, 0, 511), 0);
		expect(copy, 8, 511);
		expect(copy, 8, 512);
		drop(copy);
	}
	drop(leaf);
}
END_TEST

/* Written over, then the power fails and old blocks show up behind the new. */
START_TEST(old_data_never_follows_new)
{
	struct pmt_leaf *leaf = tape("t", "create=yes");
	off_t size;

	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(put(leaf, 200, i), 0);
	ck_assert_int_eq(mark(leaf, 1), 0);
	ck_assert_int_eq(leaf->ops->sync(leaf), 0);
	size = file_size("t");
	snapshot("t", "old", size);
	ck_assert_int_eq(leaf->ops->locate(leaf, 0, 2), 0);
	for (int kept = 0; kept < 3; kept++) {
		off_t end = file_size("t");
		int in, out;
		char *rest;
		struct pmt_leaf *copy;

		/* The cut itself is durable before the first byte behind it. */
		if (!kept) {
			ck_assert_int_eq(leaf->ops->cut(leaf), 0);
			end = file_size("t");
		}
		snapshot("t", "mix", end);
		in = open(path("old"), O_RDONLY);
		out = open(path("mix"), O_WRONLY);
		rest = malloc(size);
		ck_assert_int_eq(pread(in, rest, size - end, end), size - end);
		ck_assert_int_eq(pwrite(out, rest, size - end, end), size - end);
		free(rest);
		close(in);
		close(out);
		copy = tape("mix", "");
		ck_assert_uint_eq(copy->eod, 2 + kept);
		ck_assert_int_eq(file_size("mix"), end);
		expect(copy, 200, 0);
		expect(copy, 200, 1);
		for (int i = 0; i < kept; i++)
			expect(copy, 200, 100 + i);
		ck_assert_int_eq(get(copy), PMT_AT_EOD);
		drop(copy);
		ck_assert_int_eq(put(leaf, 200, 100 + kept), 0);
	}
	drop(leaf);
}
END_TEST

/*
 * The first record of the new writing did not reach the disk, the old one of
 * the same LBN and length is there, and the second new one is there, too.
 */
START_TEST(writings_do_not_mix)
{
	struct pmt_leaf *leaf = tape("t", "create=yes"), *copy;
	const off_t first = LOG_START + HEADER + 200;
	char old[HEADER + 200];
	int fd;

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(put(leaf, 200, i), 0);
	ck_assert_int_eq(leaf->ops->sync(leaf), 0);
	snapshot("t", "old", file_size("t"));
	ck_assert_int_eq(leaf->ops->locate(leaf, 0, 1), 0);
	ck_assert_int_eq(put(leaf, 200, 11), 0);
	ck_assert_int_eq(put(leaf, 200, 12), 0);
	snapshot("t", "mix", file_size("t"));
	fd = open(path("old"), O_RDONLY);
	ck_assert_int_eq(pread(fd, old, sizeof(old), first), sizeof(old));
	close(fd);
	fd = open(path("mix"), O_WRONLY);
	ck_assert_int_eq(pwrite(fd, old, sizeof(old), first), sizeof(old));
	close(fd);
	copy = tape("mix", "");
	ck_assert_uint_eq(copy->eod, 1);
	expect(copy, 200, 0);
	drop(copy);
	drop(leaf);
}
END_TEST

/* The header reached the disk and made the file longer, the data did not. */
START_TEST(tail_without_data)
{
	struct pmt_leaf *leaf = tape("t", "create=yes"), *copy;
	off_t size;
	int fd;

	ck_assert_int_eq(put(leaf, 5000, 0), 0);
	ck_assert_int_eq(leaf->ops->sync(leaf), 0);
	size = file_size("t");
	ck_assert_int_eq(put(leaf, 5000, 1), 0);
	ck_assert_int_eq(mark(leaf, 1), 0);
	snapshot("t", "copy", file_size("t"));
	fd = open(path("copy"), O_WRONLY);
	ck_assert_int_eq(pwrite(fd, "\0\0\0\0", 4, size + HEADER + 3000), 4);
	close(fd);
	copy = tape("copy", "");
	ck_assert_uint_eq(copy->eod, 1);
	ck_assert_int_eq(file_size("copy"), size);
	drop(copy);
	drop(leaf);
}
END_TEST

/*
 * The order in which things reach the disk: fdatasync, Checkpoint, Write to the
 * log, Truncate.  These stand before those of the C library.
 */
static char calls[64];

static void call(char c)
{
	size_t n = strlen(calls);

	if (n < sizeof(calls) - 1)
		calls[n] = c;
}

int fdatasync(int fd)
{
	call('S');
	return (int)syscall(SYS_fdatasync, fd);
}

int ftruncate(int fd, off_t length)
{
	call('T');
	return (int)syscall(SYS_ftruncate, fd, length);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	call(offset < LOG_START ? 'C' : 'W');
	return syscall(SYS_pwritev, fd, iov, count, offset, 0);
}

static void called(const char *want)
{
	ck_assert_str_eq(calls, want);
	memset(calls, 0, sizeof(calls));
}

START_TEST(order_on_the_disk)
{
	struct pmt_leaf *leaf = tape("t", "create=yes");

	memset(calls, 0, sizeof(calls));
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(put(leaf, 100, i), 0);
	called("WWW");
	ck_assert_int_eq(leaf->ops->sync(leaf), 0);
	called("SC");		/* the data, then what says that they are there */
	ck_assert_int_eq(put(leaf, 100, 3), 0);
	called("W");
	ck_assert_int_eq(leaf->ops->locate(leaf, 0, 1), 0);
	called("");
	ck_assert_int_eq(put(leaf, 100, 4), 0);
	called("SCSCTW");	/* the cut is durable before it is written over */
	ck_assert_int_eq(leaf->ops->sync(leaf), 0);
	ck_assert_int_eq(leaf->ops->sync(leaf), 0);
	called("SCS");
	drop(leaf);
}
END_TEST

/* The end of the tape */

START_TEST(early_warning_and_end_are_exact)
{
	const char *options = _i ? "capacity=1M&ew=100K&format=simh" : "capacity=1M&ew=100K";
	const off_t capacity = 1 << 20, ew = 100 << 10;
	const uint32_t overhead = _i ? 8 : HEADER;
	struct pmt_leaf *leaf = tape("t", options);
	uint64_t room;
	off_t size;
	int r;

	do {
		room = leaf->ops->room(leaf);
		r = put(leaf, 1000, 1);
	} while (!r);
	ck_assert_int_eq(r, PMT_AT_EW);
	ck_assert_uint_lt(room, pmt_cost(&leaf->limits, 1000, 1, 0));
	size = file_size("t");
	ck_assert_int_ge(size, capacity - ew - 512 * 6);
	ck_assert_int_lt(size, capacity - ew + 4000);
	ck_assert_uint_eq(leaf->ops->room(leaf), 0);
	ck_assert_int_eq(mark(leaf, 1), PMT_AT_EW);
	while ((r = put(leaf, 1000, 2)) == PMT_AT_EW)
		size = file_size("t");
	ck_assert_int_eq(r, -ENOSPC);
	ck_assert_int_eq(file_size("t"), size);
	ck_assert_int_lt(capacity - size, 1000 + overhead + INDEX_SIZE);
	while (capacity - size >= (_i ? 4 : (off_t)HEADER)) {
		r = mark(leaf, 1);
		if (r == -ENOSPC)
			break;
		size = file_size("t");
	}
	ck_assert_int_le(size, capacity);
	ck_assert_int_eq(mark(leaf, 1), -ENOSPC);
	r = (int)leaf->eod;
	drop(leaf);
	leaf = tape("t", "");
	ck_assert_uint_eq(leaf->eod, r);
	drop(leaf);
}
END_TEST

START_TEST(too_many_marks)
{
	struct pmt_leaf *leaf = tape("t", "capacity=64K&ew=4K");
	uint32_t done;

	ck_assert_int_eq(leaf->ops->marks(leaf, 2000, &done), -ENOSPC);
	ck_assert_uint_gt(done, 700);
	ck_assert_uint_eq(leaf->eod, done);
	at(leaf, done, done, 0);
	ck_assert_int_le(file_size("t"), 65536);
	ck_assert_int_gt(file_size("t"), 65536 - HEADER);
	drop(leaf);
}
END_TEST

START_TEST(last_byte_of_the_capacity)
{
	struct pmt_leaf *leaf = tape("t", "capacity=64K&ew=4K");
	const uint32_t rest = 65536 - LOG_START - HEADER;

	ck_assert_int_eq(put(leaf, rest + 1, 1), -ENOSPC);
	ck_assert_int_eq(file_size("t"), LOG_START);
	ck_assert_int_eq(put(leaf, rest, 1), PMT_AT_EW);
	ck_assert_int_eq(file_size("t"), 65536);
	ck_assert_int_eq(mark(leaf, 1), -ENOSPC);
	/* What does not fit cuts nothing. */
	ck_assert_int_eq(leaf->ops->locate(leaf, 0, 0), 0);
	ck_assert_int_eq(put(leaf, rest + 1, 2), -ENOSPC);
	expect(leaf, rest, 1);
	drop(leaf);
}
END_TEST

START_TEST(cost_never_underestimates)
{
	const char *format = _i % 2 ? "&format=simh" : "";
	char options[100];
	struct pmt_leaf *leaf;
	int met = 0;

	srandom(seed + _i);
	snprintf(options, sizeof(options), "capacity=%ld&ew=%ld&sync=no%s",
		 random() % 3000000 + 200000, random() % 50000 + 15000, format);
	leaf = tape("t", options);
	while (!met) {
		uint64_t room = leaf->ops->room(leaf), used = leaf->ops->used(leaf);
		uint64_t spent = 0;
		int batch = random() % 50, limit = random() % 2 ? 30 : 9000;

		while (batch--) {
			uint32_t length = random() % 8 ? 1 + random() % limit : 0;
			uint64_t cost = length ? pmt_cost(&leaf->limits, length, 1, 0)
					       : pmt_cost(&leaf->limits, 0, 0, 1);
			int r = length ? put(leaf, length, 1) : mark(leaf, 1);

			spent += cost;
			ck_assert_int_ge(r, 0);
			ck_assert_uint_le(leaf->ops->used(leaf) - used, spent);
			if (spent <= room)
				ck_assert_int_eq(r, 0);
			met |= r == PMT_AT_EW;
			if (met)
				break;
		}
	}
	/* Going back gives room, without anything being cut. */
	ck_assert_int_eq(leaf->ops->locate(leaf, 0, 0), 0);
	ck_assert_uint_gt(leaf->ops->room(leaf), 100000);
	ck_assert_uint_eq(leaf->ops->used(leaf), 0);
	drop(leaf);
}
END_TEST

START_TEST(full_file_system)
{
	struct pmt_leaf *leaf;
	int r, before = 0, after = 0;
	uint64_t eod;
	off_t size;

	/* A mount of this process alone goes with it. */
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", folder, "tmpfs", 0, "size=8m")) {
		fprintf(stderr, "full_file_system: skipped, no tmpfs: %m\n");
		return;
	}
	leaf = tape("t", "create=yes&ew=1M");
	while (!(r = put(leaf, 30000, before)))
		before++;
	ck_assert_int_eq(r, PMT_AT_EW);
	while ((r = put(leaf, 30000, ++after + before)) == PMT_AT_EW)
		;
	ck_assert_int_eq(r, -ENOSPC);
	ck_assert_int_ge(after, (1 << 20) / 31000 - 2);
	ck_assert_int_gt(before, 150);
	size = file_size("t");
	ck_assert_int_eq(put(leaf, 30000, 0), -ENOSPC);
	ck_assert_int_eq(file_size("t"), size);
	ck_assert_int_eq(mark(leaf, 2), PMT_AT_EW);
	ck_assert_int_eq(leaf->ops->sync(leaf), 0);
	eod = leaf->eod;
	drop(leaf);
	leaf = tape("t", "");
	ck_assert_uint_eq(leaf->eod, eod);
	for (int i = 0; i < before + after; i++)
		expect(leaf, 30000, i);
	drop(leaf);
	ck_assert_int_eq(umount2(folder, MNT_DETACH), 0);
}
END_TEST

START_TEST(file_size_limit)
{
	struct rlimit limit = { 1 << 20, 1 << 20 };
	struct pmt_leaf *leaf;
	int r, n = 0;
	off_t size;

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	leaf = tape("t", _i ? "create=yes&format=simh" : "create=yes");
	while ((r = put(leaf, 50000, n)) >= 0)
		n++;
	ck_assert_int_eq(r, -ENOSPC);
	size = file_size("t");
	ck_assert_uint_eq(leaf->eod, n);
	at(leaf, n, 0, n);
	ck_assert_int_ge(mark(leaf, 2), 0);
	ck_assert_int_eq(file_size("t"), size + 2 * (_i ? 4 : HEADER));
	drop(leaf);
	leaf = tape("t", "");
	for (int i = 0; i < n; i++)
		expect(leaf, 50000, i);
	drop(leaf);
}
END_TEST

/* The file */

static void make_file(const char *name, const void *data, size_t length)
{
	int fd = open(path(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);

	ck_assert_int_eq(write(fd, data, length), length);
	close(fd);
}

START_TEST(foreign_files_are_refused)
{
	static const char *const options[] = { "", "capacity=1M", "create=yes&format=simh",
		"create=yes&format=native", "readonly=yes" };
	static const char zeros[100000];
	char text[3000], back[3000];
	struct pmt_leaf *leaf;
	int fd;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = "The quick brown fox"[i % 19];
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++)
		for (size_t length = 1; length < sizeof(text); length += length) {
			make_file("f", text, length);
			ck_assert_int_eq(try_tape(&leaf, "f", options[i]), -EINVAL);
			ck_assert_int_eq(file_size("f"), length);
			fd = open(path("f"), O_RDONLY);
			ck_assert_int_eq(read(fd, back, sizeof(back)), length);
			ck_assert_int_eq(memcmp(text, back, length), 0);
			close(fd);
		}
	make_file("z", zeros, sizeof(zeros));
	ck_assert_int_eq(try_tape(&leaf, "z", "capacity=1M"), -EINVAL);
	ck_assert_int_eq(file_size("z"), sizeof(zeros));
	ck_assert_int_eq(mkdir(path("d"), 0755), 0);
	ck_assert_int_eq(try_tape(&leaf, "d", "readonly=yes"), -EINVAL);
	ck_assert_int_eq(mkfifo(path("p"), 0600), 0);
	ck_assert_int_eq(try_tape(&leaf, "p", ""), -EINVAL);
	make_file("n", "PMTIMAGE and then something else", 32);
	ck_assert_int_eq(try_tape(&leaf, "n", ""), -EINVAL);
	drop(tape("t", "capacity=1M"));
	ck_assert_int_eq(try_tape(&leaf, "t", "format=simh"), -EINVAL);
}
END_TEST

START_TEST(creating)
{
	struct pmt_leaf *leaf;
	struct stat st;

	ck_assert_int_eq(try_tape(&leaf, "t", ""), -ENOENT);
	ck_assert_int_eq(try_tape(&leaf, "t", "capacity=1M&create=no"), -ENOENT);
	ck_assert_int_eq(try_tape(&leaf, "t", "readonly=yes&create=yes"), -ENOENT);
	ck_assert_int_ne(try_tape(&leaf, "t", "capacity=1M&ew=900K"), 0);
	ck_assert_int_ne(try_tape(&leaf, "t", "capacity=1000"), 0);
	ck_assert_int_ne(try_tape(&leaf, "t", "capacity=1M&volume=3"), 0);
	ck_assert_int_ne(try_tape(&leaf, "t", "capacity=1M&what=3"), 0);
	ck_assert_int_ne(access(path("t"), F_OK), 0);
	umask(0);
	drop(tape("t", "capacity=1M"));
	ck_assert_int_eq(stat(path("t"), &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0640);
	ck_assert_int_eq(st.st_size, LOG_START);
	/* An empty file is a fresh tape. */
	make_file("e", "", 0);
	leaf = tape("e", "");
	ck_assert_uint_eq(leaf->eod, 0);
	ck_assert_int_eq(put(leaf, 10, 1), 0);
	drop(leaf);
	leaf = tape("e", "readonly=yes");
	expect(leaf, 10, 1);
	drop(leaf);
	make_file("e", "", 0);
	leaf = tape("e", "readonly=yes");
	ck_assert_int_eq(get(leaf), PMT_AT_EOD);
	at(leaf, 0, 0, 0);
	drop(leaf);
	ck_assert_int_eq(file_size("e"), 0);
}
END_TEST

START_TEST(protection)
{
	struct pmt_leaf *leaf = tape("t", "capacity=1M");
	uint32_t done;

	ck_assert_int_eq(put(leaf, 10, 1), 0);
	ck_assert(!leaf->protected);
	drop(leaf);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(chmod(path("t"), i ? 0440 : 0640), 0);
		leaf = tape("t", i ? "" : "readonly=yes");
		ck_assert(leaf->protected);
		ck_assert_int_eq(put(leaf, 1, 1), -EROFS);
		ck_assert_int_eq(leaf->ops->marks(leaf, 1, &done), -EROFS);
		ck_assert_int_eq(leaf->ops->cut(leaf), -EROFS);
		ck_assert_int_eq(leaf->ops->sync(leaf), 0);
		ck_assert_uint_eq(leaf->eod, 1);
		expect(leaf, 10, 1);
		drop(leaf);
	}
}
END_TEST

START_TEST(locks)
{
	struct pmt_leaf *a = tape("t", "capacity=1M"), *b, *c;

	ck_assert_int_eq(try_tape(&b, "t", ""), -EBUSY);
	ck_assert_int_eq(try_tape(&b, "t", "readonly=yes"), -EBUSY);
	drop(a);
	a = tape("t", "readonly=yes");
	b = tape("t", "readonly=yes");
	ck_assert_int_eq(try_tape(&c, "t", ""), -EBUSY);
	drop(a);
	drop(b);
	drop(tape("t", ""));
}
END_TEST

START_TEST(one_file_unloads)
{
	struct pmt_leaf *leaf = tape("t", "capacity=1M");
	uint64_t unit, generation;

	ck_assert_int_eq(leaf->ops->recall(leaf, &unit, &generation), -ENODATA);
	ck_assert_int_eq(put(leaf, 10, 1), 0);
	ck_assert_int_eq(leaf->ops->load(leaf), 0);
	at(leaf, 0, 0, 0);
	expect(leaf, 10, 1);
	ck_assert_int_eq(leaf->ops->unload(leaf), 0);
	ck_assert(!leaf->present);
	ck_assert_int_eq(get(leaf), -ENOMEDIUM);
	ck_assert_int_eq(put(leaf, 10, 1), -ENOMEDIUM);
	ck_assert_int_eq(leaf->ops->sync(leaf), -ENOMEDIUM);
	ck_assert_int_eq(leaf->ops->unload(leaf), -ENOMEDIUM);
	ck_assert_uint_eq(leaf->ops->room(leaf), PMT_UNKNOWN);
	ck_assert_int_eq(leaf->ops->load(leaf), 0);
	expect(leaf, 10, 1);
	ck_assert_int_eq(leaf->ops->unload(leaf), 0);
	ck_assert_int_eq(unlink(path("t")), 0);
	ck_assert_int_eq(leaf->ops->load(leaf), 0);	/* capacity: it is made */
	ck_assert_uint_eq(leaf->eod, 0);
	drop(leaf);
}
END_TEST

static long read_calls(void)
{
	char text[400] = "";
	int fd = open("/proc/self/io", O_RDONLY);
	const char *p;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_gt(read(fd, text, sizeof(text) - 1), 0);
	close(fd);
	p = strstr(text, "syscr:");
	ck_assert_ptr_nonnull(p);
	return atol(p + 6);
}

START_TEST(long_tapes_open_and_locate_fast)
{
	const uint64_t objects = 200000;
	struct pmt_leaf *leaf = long_tape(objects);
	long reads, most = 0;
	int64_t left;

	drop(leaf);
	reads = read_calls();
	leaf = tape("t", "");
	ck_assert_int_le(read_calls() - reads, 8);
	ck_assert_uint_eq(leaf->eod, objects);
	srandom(seed);
	for (int i = 0; i < 2000; i++) {
		uint64_t lbn = random() % objects;

		reads = read_calls();
		ck_assert_int_eq(leaf->ops->locate(leaf, 0, lbn), 0);
		reads = read_calls() - reads;
		most = reads > most ? reads : most;
		at(leaf, lbn, lbn / 101, lbn % 101);
	}
	/* 391 groups: at most 9 steps of 2 reads, and a header. */
	ck_assert_int_le(most, 22);
	reads = read_calls();
	ck_assert_int_eq(leaf->ops->locate(leaf, 0, objects), 0);
	ck_assert_int_eq(leaf->ops->space_marks(leaf, -1700, &left), 0);
	ck_assert_uint_eq(leaf->place.file, objects / 101 - 1700);
	ck_assert_int_eq(leaf->ops->space_marks(leaf, 900, &left), 0);
	ck_assert_uint_eq(leaf->place.file, objects / 101 - 800);
	ck_assert_int_le(read_calls() - reads, 50);
	drop(leaf);
}
END_TEST

/* Volume sets */

START_TEST(set_names)
{
	static const char *const bad[] = { "v%s", "v%d%d", "v%", "v%5", "v%-3d", "v%0d",
		"v%ld", "v%10d", "v%n" };
	struct pmt_leaf *leaf;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_int_eq(try_tape(&leaf, bad[i], "capacity=1M"), -EINVAL);
	drop(tape("a%d", "capacity=1M"));
	drop(tape("b%03d.tape", "capacity=1M&volume=7"));
	drop(tape("c%2d", "capacity=1M"));
	drop(tape("50%%", "capacity=1M"));
	drop(tape("50%%-%d", "capacity=1M"));
	ck_assert_int_eq(access(path("a0"), F_OK), 0);
	ck_assert_int_eq(access(path("b007.tape"), F_OK), 0);
	ck_assert_int_eq(access(path("c 0"), F_OK), 0);
	ck_assert_int_eq(access(path("50%"), F_OK), 0);
	ck_assert_int_eq(access(path("50%-0"), F_OK), 0);
}
END_TEST

static void recalls(struct pmt_leaf *leaf, uint64_t unit, uint64_t generation)
{
	uint64_t u = 0, g = 0;

	ck_assert_int_eq(leaf->ops->recall(leaf, &u, &g), 0);
	ck_assert_uint_eq(u, unit);
	ck_assert_uint_eq(g, generation);
}

static const char set[] = "vault-%02d.tape";

START_TEST(unload_moves_on)
{
	struct pmt_leaf *leaf = tape(set, "capacity=1M");
	uint64_t unit, generation, first = leaf->medium;

	ck_assert_int_eq(leaf->ops->recall(leaf, &unit, &generation), -ENODATA);
	ck_assert_int_eq(leaf->ops->remember(leaf, 0xfeedface12345678, 1), 0);
	recalls(leaf, 0xfeedface12345678, 1);
	for (int i = 0; i < 3; i++) {
		ck_assert(leaf->present);
		ck_assert_int_eq(put(leaf, 100, i), 0);
		leaf->next.unit_id = 0xfeedface12345678;
		leaf->next.generation = 2 + i;
		ck_assert_int_eq(leaf->ops->unload(leaf), 0);
		at(leaf, 0, 0, 0);
		recalls(leaf, 0xfeedface12345678, 2 + i);
		ck_assert_uint_eq(leaf->eod, 0);
	}
	ck_assert_uint_ne(leaf->medium, first);
	leaf->next.generation = 5;
	ck_assert_int_eq(leaf->ops->load(leaf), 0);
	recalls(leaf, 0xfeedface12345678, 5);
	drop(leaf);
	/* Another process goes on where this one was. */
	leaf = tape(set, "capacity=1M");
	recalls(leaf, 0xfeedface12345678, 5);
	ck_assert_int_eq(put(leaf, 100, 3), 0);
	drop(leaf);
	for (int i = 0; i < 4; i++) {
		char name[32];

		snprintf(name, sizeof(name), set, i);
		leaf = tape(name, "readonly=yes");
		expect(leaf, 100, i);
		drop(leaf);
	}
	ck_assert_int_ne(access(path("vault-04.tape"), F_OK), 0);
}
END_TEST

/*
 * Killed at unload: before the rename nothing has happened, after it the next
 * process is on the next volume in the next generation, though it was not made.
 */
START_TEST(unload_is_one_step)
{
	char state[64], old[128] = "", new[128] = "", *kept = _i ? new : old;
	struct pmt_leaf *leaf = tape(set, "capacity=1M");
	int fd;

	snprintf(state, sizeof(state), ".%s.set", set);
	ck_assert_int_eq(leaf->ops->remember(leaf, 77, 1), 0);
	ck_assert_int_eq(put(leaf, 100, 0), 0);
	fd = open(path(state), O_RDONLY);
	ck_assert_int_gt(read(fd, old, sizeof(old) - 1), 0);
	close(fd);
	leaf->next.unit_id = 77;
	leaf->next.generation = 2;
	ck_assert_int_eq(leaf->ops->unload(leaf), 0);
	drop(leaf);
	fd = open(path(state), O_RDONLY);
	ck_assert_int_gt(read(fd, new, sizeof(new) - 1), 0);
	close(fd);
	ck_assert_str_eq(old, "pmt volume set 1\nvolume 0\nunit 000000000000004d\n"
			 "generation 1\n");
	ck_assert_str_eq(new, "pmt volume set 1\nvolume 1\nunit 000000000000004d\n"
			 "generation 2\n");

	make_file(state, kept, strlen(kept));
	snprintf(state, sizeof(state), ".%s.set.new", set);
	make_file(state, "pmt volu", 8);	/* half of the temporary file */
	ck_assert_int_eq(unlink(path("vault-01.tape")), 0);
	leaf = tape(set, "capacity=1M");
	recalls(leaf, 77, _i ? 2 : 1);
	ck_assert_uint_eq(leaf->eod, _i ? 0 : 1);
	leaf->next.unit_id = 77;
	leaf->next.generation = 3;
	ck_assert_int_eq(leaf->ops->unload(leaf), 0);
	recalls(leaf, 77, 3);
	drop(leaf);
	ck_assert_int_eq(access(path("vault-02.tape"), F_OK), _i ? 0 : -1);
}
END_TEST

START_TEST(damaged_state_is_refused)
{
	struct pmt_leaf *leaf;

	make_file(".vault-%02d.tape.set", "pmt volume set 1\nvolume 3\nuni", 29);
	ck_assert_int_eq(try_tape(&leaf, set, "capacity=1M"), -EINVAL);
	ck_assert_int_ne(access(path("vault-00.tape"), F_OK), 0);
}
END_TEST

START_TEST(read_only_set_ends)
{
	struct pmt_leaf *leaf = tape(set, "capacity=1M");

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(put(leaf, 100, i), 0);
		ck_assert_int_eq(leaf->ops->unload(leaf), 0);
	}
	drop(leaf);
	ck_assert_int_eq(unlink(path("vault-02.tape")), 0);
	leaf = tape(set, "readonly=yes");
	for (int i = 0; i < 2; i++) {
		expect(leaf, 100, i);
		ck_assert_int_eq(leaf->ops->unload(leaf), 0);
	}
	ck_assert(!leaf->present);
	ck_assert_int_eq(leaf->ops->load(leaf), -ENOMEDIUM);
	ck_assert_int_eq(leaf->ops->unload(leaf), -ENOMEDIUM);
	drop(leaf);
	/* It has not moved the set. */
	leaf = tape(set, "create=no");
	ck_assert(!leaf->present);
	drop(leaf);
	leaf = tape(set, "capacity=1M");
	ck_assert(leaf->present);
	ck_assert_uint_eq(leaf->eod, 0);
	drop(leaf);
	ck_assert_int_eq(access(path("vault-02.tape"), F_OK), 0);
}
END_TEST

START_TEST(crc32c_vectors)
{
	unsigned char data[32] = { 0 };

	ck_assert_uint_eq(pmt_crc32c(0, "123456789", 9), 0xe3069283);
	ck_assert_uint_eq(pmt_crc32c(pmt_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
	ck_assert_uint_eq(pmt_crc32c(0, data, 32), 0x8a9136aa);	/* RFC 3720 B.4 */
	memset(data, 0xff, 32);
	ck_assert_uint_eq(pmt_crc32c(0, data, 32), 0x62a8ab43);
}
END_TEST

static Suite *image_suite(void)
{
	Suite *s = suite_create("image");
	TCase *c = tcase_create("image");

	tcase_set_timeout(c, 300);
	tcase_add_checked_fixture(c, folder_make, folder_remove);
	tcase_add_test(c, crc32c_vectors);
	tcase_add_loop_test(c, sizes_round_trip, 0, 2);
	tcase_add_loop_test(c, behaves_as_the_model, 0, 8);
	tcase_add_test(c, damage_is_found);
	tcase_add_test(c, damaged_index_is_walked_around);
	tcase_add_test(c, damaged_checkpoints);
	tcase_add_loop_test(c, every_torn_tail_opens, 0, 2);
	tcase_add_test(c, torn_index);
	tcase_add_test(c, old_data_never_follows_new);
	tcase_add_test(c, writings_do_not_mix);
	tcase_add_test(c, tail_without_data);
	tcase_add_test(c, order_on_the_disk);
	tcase_add_loop_test(c, early_warning_and_end_are_exact, 0, 2);
	tcase_add_test(c, too_many_marks);
	tcase_add_test(c, last_byte_of_the_capacity);
	tcase_add_loop_test(c, cost_never_underestimates, 0, 20);
	tcase_add_test(c, full_file_system);
	tcase_add_loop_test(c, file_size_limit, 0, 2);
	tcase_add_test(c, foreign_files_are_refused);
	tcase_add_test(c, creating);
	tcase_add_test(c, protection);
	tcase_add_test(c, locks);
	tcase_add_test(c, one_file_unloads);
	tcase_add_test(c, long_tapes_open_and_locate_fast);
	tcase_add_test(c, set_names);
	tcase_add_test(c, unload_moves_on);
	tcase_add_loop_test(c, unload_is_one_step, 0, 2);
	tcase_add_test(c, damaged_state_is_refused);
	tcase_add_test(c, read_only_set_ends);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	seed = suite_seed();
	suite_quiet();
	return run_suite(image_suite());
}
