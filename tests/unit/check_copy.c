/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole tapes: reading, copying and comparing them.  Tapes are arrays in memory, whose
 * content is looked at, and images where these have a way of their own.
 */
#include <check.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "folder.h"
#include "memleaf.h"
#include "suite.h"

static unsigned int seed;

/* Tapes */

static void add(struct mem_volume *tape, const void *data, size_t length)
{
	tape->records = realloc(tape->records, (tape->n + 1) * sizeof(*tape->records));
	tape->records[tape->n] = (struct mem_record){ .mark = !length, .length = length };
	if (length) {
		tape->records[tape->n].data = malloc(length);
		memcpy(tape->records[tape->n].data, data, length);
	}
	tape->n++;
}

static void add_record(struct mem_volume *tape, size_t length)
{
	unsigned char *data = malloc(length);

	for (size_t i = 0; i < length; i++)
		data[i] = (unsigned char)(random() >> 7);
	add(tape, data, length);
	free(data);
}

static struct mem_medium *blank(const char *name)
{
	mem_medium(name);
	pmt_drive_add_kind(&mem_drive);
	return mem_medium(name);
}

/* Digits are that many records, of length bytes each; m a mark. */
static struct mem_medium *tape(const char *name, const char *script, size_t length)
{
	struct mem_medium *medium = blank(name);

	for (; *script; script++)
		if (*script == 'm')
			add(&medium->volume, NULL, 0);
		else
			for (int i = 0; i < *script - '0'; i++)
				add_record(&medium->volume, length);
	return medium;
}

static struct mem_medium *random_tape(const char *name, int objects)
{
	struct mem_medium *medium = blank(name);

	for (int i = 0; i < objects; i++)
		if (random() % 5 == 0)
			add(&medium->volume, NULL, 0);
		else
			add_record(&medium->volume, 1 + (size_t)random() %
				   (random() % 8 ? 2000 : 40000));
	return medium;
}

static void same_tapes(const char *a, const char *b)
{
	ck_assert(mem_same(&mem_medium(a)->volume, &mem_medium(b)->volume));
}

/* The first n of a, and nothing else, are on b. */
static void is_beginning(const char *b, const char *a, uint64_t n)
{
	struct mem_volume part = mem_medium(a)->volume;

	ck_assert_uint_le(n, part.n);
	part.n = n;
	ck_assert(mem_same(&part, &mem_medium(b)->volume));
}

/* Copying */

static const struct pmt_copy whole = { .walk.partition = PMT_ANY_PARTITION };
static struct pmt_copied copied;

static int copy_as(const char *from, const char *to, const struct pmt_copy *wish)
{
	struct pmt_drive *source, *target;
	char *error = NULL;
	int rc;

	ck_assert_int_eq(pmt_drive_open_source(&source, from, &error), 0);
	ck_assert_int_eq(pmt_drive_open(&target, to, &error), 0);
	rc = pmt_copy(source, target, wish, &copied);
	pmt_drive_close(target);
	pmt_drive_close(source);
	return rc;
}

static int copy(const char *from, const char *to)
{
	return copy_as(from, to, &whole);
}

static struct pmt_tally tallies[4];
static struct pmt_verified verified;

static int verify(const char *const *specs, size_t n, const struct pmt_walk *walk)
{
	struct pmt_verify wish = { .walk = *walk, .tallies = tallies };
	struct pmt_drive *drives[4] = { NULL };
	char *error = NULL;
	int rc;

	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(pmt_drive_open_source(&drives[i], specs[i], &error), 0);
	rc = pmt_verify(drives, n, &wish, &verified);
	for (size_t i = 0; i < n; i++)
		pmt_drive_close(drives[i]);
	return rc;
}

static int compare(const char *a, const char *b)
{
	const char *const specs[] = { a, b };

	return verify(specs, 2, &whole.walk);
}

static const char *spec(const char *format, const char *name)
{
	static char text[6][256];
	static int i;

	i = (i + 1) % 6;
	snprintf(text[i], sizeof(text[i]), format, path(name));
	return text[i];
}

/* Over every kind of image, and back to memory: nothing is changed. */
START_TEST(copies_are_exact)
{
	struct mem_medium *a = random_tape("a", 300);

	add_record(&a->volume, 1);
	add_record(&a->volume, 300 << 10);	/* longer than what is read at first */
	add_record(&a->volume, 5000003);
	add(&a->volume, NULL, 0);
	add(&a->volume, NULL, 0);
	add_record(&a->volume, 77);
	ck_assert_int_eq(copy("mem:a", spec("image:%s?create=yes", "n")), 0);
	ck_assert_uint_eq(copied.tally.records + copied.tally.marks, a->volume.n);
	ck_assert_int_eq(copy(spec("image:%s", "n"),
			      spec("image:%s?create=yes&format=simh", "s")), 0);
	ck_assert_int_eq(copy(spec("image:%s", "s"), "mirror(mem:b, mem:c)"), 0);
	same_tapes("a", "b");
	same_tapes("a", "c");
	ck_assert_int_eq(compare(spec("image:%s", "n"), spec("image:%s", "s")), 0);
	ck_assert_uint_eq(tallies[0].crc, copied.tally.crc);
	ck_assert_uint_eq(tallies[1].crc, copied.tally.crc);
	ck_assert_uint_eq(tallies[1].bytes, copied.tally.bytes);
	ck_assert_uint_ge(mem_medium("b")->syncs, 1);
}
END_TEST

/* The sum is what pmt.h says it is. */
START_TEST(the_sum)
{
	static const unsigned char stream[] = { 3, 0, 0, 0, 'a', 'b', 'c', 0, 0, 0, 0 };
	struct mem_medium *a = blank("a");

	add(&a->volume, "abc", 3);
	add(&a->volume, NULL, 0);
	ck_assert_int_eq(compare("mem:a", "mem:a"), 0);
	ck_assert_uint_eq(tallies[0].crc, pmt_crc32c(0, stream, sizeof(stream)));
}
END_TEST

/* Drives that tell little. */
START_TEST(poor_drives)
{
	struct mem_medium *a = random_tape("a", 120), *b = blank("b");

	a->no_locate = a->no_eod = b->no_locate = b->no_eod = true;
	a->no_lbn = b->no_lbn = _i;
	a->jitter = b->jitter = 50;
	ck_assert_int_eq(copy("mem:a", "mem:b"), 0);
	same_tapes("a", "b");
	ck_assert_int_eq(copy("mem:a", "mem:b"), -EEXIST);
	ck_assert_int_eq(compare("mem:a", "mem:b"), 0);
}
END_TEST

/* Reading while a write is not done, and writing while a read is not done. */

#define GATES 40

static atomic_int gate_reads, gate_writes, gate_late;

static void gate_execute(struct pmt_drive *drive, struct pmt_request *req)
{
	bool writes = req->cmd.op == PMT_OP_WRITE;
	const struct timespec pause = { .tv_nsec = 200000 };
	int i = 0;

	(void)drive;
	pmt_result_good(req);
	if (req->cmd.op == PMT_OP_TEST) {
		req->result.medium_flags = PMT_MEDIUM_PRESENT;
		req->result.eod = req->cmd.length;
	} else if (req->cmd.op == PMT_OP_READ && gate_reads == GATES) {
		pmt_result_check(req, PMT_KEY_BLANK, 0x00, 0x05);
	} else if (req->cmd.op == PMT_OP_READ) {
		memset(req->data, 0, 100);
		req->result.residue = req->cmd.length - 100;
		gate_reads++;
	} else if (writes) {
		/* As far ahead as can be, while this one waits. */
		while (gate_reads < GATES && gate_reads < gate_writes + 3 && i++ < 50000)
			nanosleep(&pause, NULL);
		gate_late += i >= 50000;
		gate_writes++;
	}
}

static int gate_open(struct pmt_drive *drive, const struct pmt_spec *parsed)
{
	(void)drive;
	(void)parsed;
	return 0;
}

static const struct pmt_drive_ops gate = {
	.name = "gate",
	.size = sizeof(struct pmt_drive),
	.open = gate_open,
	.execute = gate_execute,
};

START_TEST(both_drives_are_busy)
{
	struct pmt_copy over = whole;

	pmt_drive_add_kind(&gate);
	over.overwrite = true;
	ck_assert_int_eq(copy_as("gate:a", "gate:b", &over), 0);
	ck_assert_int_eq(gate_writes, GATES);
	ck_assert_int_eq(gate_late, 0);
}
END_TEST

/* The end of the target */

/* Full: whole files stay, and the next tape takes the rest. */
START_TEST(full_target)
{
	struct mem_medium *b = blank("b");
	struct pmt_copy rest = whole;

	tape("a", "2m3mm5m4m", 1000);
	b->capacity = 8500;		/* 2 + 3, and 3 of the 5 */
	b->ew = _i ? 2000 : 0;
	ck_assert_int_eq(copy("mem:a", "mem:b"), -ENOSPC);
	is_beginning("b", "a", 8);
	ck_assert_uint_eq(copied.tally.records, 5);
	ck_assert_uint_eq(copied.tally.marks, 3);
	ck_assert_uint_eq(copied.tally.bytes, 5000);
	ck_assert_uint_eq(copied.cut, 3);
	ck_assert_uint_eq(copied.from.file, 3);
	ck_assert_uint_eq(copied.from.block, 0);
	ck_assert_uint_eq(copied.from.lbn, 8);
	rest.walk.from = (struct pmt_bound){ PMT_BOUND_FILE, 3 };
	ck_assert_int_eq(copy_as("mem:a", "mem:c", &rest), 0);
	b->capacity = 0;
	rest.append = true;
	ck_assert_int_eq(copy_as("mem:a", "mem:b", &rest), 0);
	same_tapes("a", "b");
	ck_assert_uint_eq(mem_medium("c")->volume.n, 11);
}
END_TEST

/* Not even one file: nothing stays.  Where it can not be cut, what is there is said. */
START_TEST(first_file_does_not_fit)
{
	struct mem_medium *b = blank("b");

	tape("a", "9m", 1000);
	b->capacity = 4500;
	b->cut_error = _i ? -EIO : 0;
	ck_assert_int_eq(copy("mem:a", "mem:b"), -ENOSPC);
	is_beginning("b", "a", _i ? 4 : 0);
	ck_assert_uint_eq(copied.tally.records, _i ? 4 : 0);
	ck_assert_uint_eq(copied.from.lbn, _i ? 4 : 0);
	ck_assert_uint_eq(copied.cut, _i ? 0 : 4);
}
END_TEST

/* In a row on as many volumes as it takes, with early warning or without. */
START_TEST(spreading)
{
	struct mem_medium *a = random_tape("a", 400), *b = blank("b");
	struct mem_volume all = { NULL, 0 };
	struct pmt_copy wish = whole;

	b->stacker = true;
	b->capacity = 100000;
	b->ew = _i == 0 ? 0 : _i == 1 ? 41000 : 99999;
	wish.spread = true;
	ck_assert_int_eq(copy_as("mem:a", "mem:b", &wish), 0);
	ck_assert_uint_eq(copied.volumes, b->n_gone + 1);
	ck_assert_uint_ge(b->n_gone, 2);
	for (unsigned int i = 0; i <= b->n_gone; i++) {
		const struct mem_volume *v = i == b->n_gone ? &b->volume : &b->gone[i];

		for (uint64_t k = 0; k < v->n; k++)
			add(&all, v->records[k].data, v->records[k].length);
		if (_i == 2)	/* met by the first record: none is begun behind it */
			ck_assert_uint_le(v->n, 20);
	}
	ck_assert(mem_same(&all, &a->volume));
	while (all.n)
		free(all.records[--all.n].data);
	free(all.records);
}
END_TEST

START_TEST(no_next_volume)
{
	struct mem_medium *b = blank("b");
	struct pmt_copy wish = whole;

	tape("a", "9m9m9m", 1000);
	b->capacity = 12500;
	wish.spread = true;
	ck_assert_int_eq(copy_as("mem:a", "mem:b", &wish), -ENOMEDIUM);
	is_beginning("b", "a", copied.tally.records + copied.tally.marks);
	ck_assert_uint_eq(copied.tally.records, 12);
	ck_assert_uint_eq(copied.from.lbn, 13);
}
END_TEST

static bool while_moving(const struct pmt_progress *progress, void *context)
{
	(void)context;
	return progress != NULL;
}

/* The next volume comes later: it is waited for, or not, or not any more. */
START_TEST(next_volume_comes_later)
{
	static const int results[] = { 0, -ENOMEDIUM, -EINTR };
	struct mem_medium *b = blank("b");
	struct pmt_copy wish = whole;

	tape("a", "9m9m", 1000);
	b->stacker = true;
	b->capacity = 12500;
	wish.spread = true;
	wish.walk.wait = _i == 1 ? 0 : 60000;
	wish.walk.go_on = _i == 2 ? while_moving : NULL;
	/* Two tests at the beginning; the third finds no tape. */
	ck_assert_int_eq(copy_as("mem:a", "fault?op=test&after=2&error=notready|mem:b", &wish),
			 results[_i]);
	ck_assert_uint_eq(copied.tally.records, _i ? 12 : 18);
	ck_assert_uint_eq(b->gone[0].n, 13);
}
END_TEST

START_TEST(record_larger_than_a_volume)
{
	struct mem_medium *b = blank("b");
	struct pmt_copy wish = whole;

	tape("a", "3", 1000);
	add_record(&mem_medium("a")->volume, 9000);
	b->capacity = 5000;
	b->stacker = true;
	wish.spread = true;
	ck_assert_int_eq(copy_as("mem:a", "mem:b", &wish), -ENOSPC);
	ck_assert_uint_eq(copied.tally.records, 3);
	ck_assert_uint_eq(b->n_gone, 1);
}
END_TEST

/* Sets of images: what was spread is read in a row. */
START_TEST(volumes_are_read_in_a_row)
{
	const char *const specs[] = { "mem:a", spec("image:%s", "v%d.tape") };
	struct pmt_copy wish = whole;
	struct pmt_walk row = whole.walk;

	random_tape("a", 200);
	wish.spread = true;
	ck_assert_int_eq(copy_as("mem:a", spec("image:%s?capacity=200K&ew=50K", "v%d.tape"),
				 &wish), 0);
	ck_assert_uint_ge(copied.volumes, 3);
	row.volumes = true;
	ck_assert_int_eq(verify(specs, 2, &row), 0);
	/* Without it there is the first volume alone; and memory was unloaded. */
	mem_medium("a")->absent = false;
	ck_assert_int_eq(verify(specs, 2, &whole.walk), 1);
	ck_assert_int_eq(verified.difference, PMT_DIFFERENT_END);
}
END_TEST

#define AEAD "aead?threads=1&key=command:echo\\ 0123456789abcdef0123456789abcdef" \
	"0123456789abcdef0123456789abcdef|"

/* Encrypted ones, too, which end within a file. */
START_TEST(encrypted_volumes_are_read_in_a_row)
{
	const char *const specs[] = { "mem:a", spec(AEAD "image:%s", "v%d.tape") };
	struct pmt_copy wish = whole;
	struct pmt_walk row = whole.walk;

	tape("a", "99999999m", 5000);
	wish.spread = true;
	ck_assert_int_eq(copy_as("mem:a", spec(AEAD "image:%s?capacity=200K&ew=50K",
					       "v%d.tape"), &wish), 0);
	ck_assert_uint_eq(copied.volumes, 3);
	row.volumes = true;
	ck_assert_int_eq(verify(specs, 2, &row), 0);
	/* The last was cut off: that is damage. */
	ck_assert_int_eq(unlink(path("v2.tape")), 0);
	mem_medium("a")->absent = false;
	ck_assert_int_eq(verify(specs, 2, &row), 1);
	ck_assert_uint_eq(tallies[1].damaged, 1);
}
END_TEST

/* What is there */

START_TEST(targets_that_are_not_empty)
{
	struct pmt_copy wish = whole;

	tape("a", "3m", 100);
	tape("b", "2m1", 50);
	tape("kept", "2m1", 50);
	mem_medium("b")->no_eod = _i;
	ck_assert_int_eq(copy("mem:a", "mem:b"), -EEXIST);
	ck_assert(!copied.began);
	ck_assert_uint_eq(mem_medium("b")->volume.n, 4);
	wish.append = true;
	ck_assert_int_eq(copy_as("mem:a", "mem:b", &wish), 0);
	ck_assert_uint_eq(mem_medium("b")->volume.n, 8);
	ck_assert_uint_eq(mem_medium("b")->volume.records[3].length, 50);
	wish.append = false;
	wish.overwrite = true;
	ck_assert_int_eq(copy_as("mem:a", "mem:b", &wish), 0);
	same_tapes("a", "b");
	/* By nothing, too. */
	blank("nothing");
	ck_assert_int_eq(copy_as("mem:nothing", "mem:b", &wish), 0);
	ck_assert_uint_eq(mem_medium("b")->volume.n, 0);
}
END_TEST

/* Copies that are not of one length are not appended to. */
START_TEST(targets_that_are_no_twins)
{
	struct pmt_copy wish = whole;

	tape("a", "3m", 100);
	tape("b", "2m", 50);
	tape("c", "2m1", 50);
	wish.append = true;
	ck_assert_int_eq(copy_as("mem:a", "mirror(mem:b, mem:c)", &wish), -EMEDIUMTYPE);
	ck_assert_int_eq(copy_as("mem:a", "mirror(mem:b, mem:c)?twins=any", &wish), -EIO);
	ck_assert_uint_eq(copied.tally.records, 0);
	ck_assert_uint_eq(mem_medium("b")->volume.n, 3);
	ck_assert_uint_eq(mem_medium("c")->volume.n, 4);
}
END_TEST

/* Nothing that was not attached is detached: of a source, of a target. */
START_TEST(mirrors_that_are_refused)
{
	static const char refused[] = "mirror(zstd|limit?record=8|mem:b, mem:c)";

	tape("a", "3m", 100);
	ck_assert_int_eq(copy_as(refused, "mem:d", &whole), -ERANGE);
	ck_assert_int_eq(copy_as("mem:a", refused, &whole), -ERANGE);
}
END_TEST

START_TEST(protected_and_missing)
{
	tape("a", "3m", 100);
	blank("b")->protected = true;
	ck_assert_int_eq(copy("mem:a", "mem:b"), -EROFS);
	mem_medium("b")->protected = false;
	mem_medium("b")->absent = true;
	ck_assert_int_eq(copy("mem:a", "mem:b"), -ENOMEDIUM);
	ck_assert_int_eq(copy("mem:b", "mem:a"), -ENOMEDIUM);
	ck_assert(!copied.began);
	ck_assert_uint_eq(mem_medium("a")->volume.n, 4);
}
END_TEST

START_TEST(record_too_long_for_the_target)
{
	tape("a", "2m", 100);
	add_record(&mem_medium("a")->volume, 5000);
	ck_assert_int_eq(copy("mem:a", "limit?record=4K|mem:b"), -EMSGSIZE);
	is_beginning("b", "a", 3);
	ck_assert_uint_eq(copied.from.lbn, 3);
}
END_TEST

/* Errors */

START_TEST(damaged_source)
{
	struct pmt_copy wish = whole;

	tape("a", "3m5m2m", 100);
	ck_assert_int_eq(copy("fault?op=read&at=6&error=medium&count=0|mem:a", "mem:b"),
			 -EBADMSG);
	is_beginning("b", "a", 6);
	ck_assert_uint_eq(copied.from.lbn, 6);
	ck_assert_uint_eq(copied.from.file, 1);
	ck_assert_uint_eq(copied.from.block, 2);
	wish.skip_damaged = true;
	ck_assert_int_eq(copy_as("fault?op=read&at=6&error=medium&count=0|mem:a", "mem:c",
				 &wish), 0);
	ck_assert_uint_eq(copied.tally.damaged, 1);
	ck_assert_uint_eq(mem_medium("c")->volume.n, mem_medium("a")->volume.n - 1);
	ck_assert_mem_eq(mem_medium("c")->volume.records[6].data,
			 mem_medium("a")->volume.records[7].data, 100);
	/* A drive that has failed is another matter. */
	ck_assert_int_eq(copy_as("fault?op=read&at=6&error=hardware&count=0|mem:a", "mem:d",
				 &wish), -EIO);
	is_beginning("d", "a", 6);
	ck_assert_uint_eq(copied.from.lbn, 6);
}
END_TEST

/* Whatever is in flight: the target has what is said, and no more. */
START_TEST(failing_target)
{
	char text[100];

	tape("a", "9m9m9m", 100);
	snprintf(text, sizeof(text), "fault?op=%s&at=%d&error=hardware|mem:b",
		 _i % 10 == 9 ? "marks" : "write", _i);
	ck_assert_int_eq(copy("mem:a", text), -EIO);
	is_beginning("b", "a", _i);
	ck_assert_uint_eq(copied.from.lbn, _i);
	ck_assert_uint_eq(copied.tally.records + copied.tally.marks, _i);
}
END_TEST

static bool until(const struct pmt_progress *progress, void *context)
{
	return !progress || progress->tally->records < *(const uint64_t *)context;
}

/* Stopped anywhere, it goes on from where it says. */
START_TEST(stopping)
{
	uint64_t limit = (uint64_t)_i;
	struct pmt_copy wish = whole;

	random_tape("a", 60);
	wish.walk.go_on = until;
	wish.walk.context = &limit;
	ck_assert_int_eq(copy_as("mem:a", "mem:b", &wish), -EINTR);
	is_beginning("b", "a", copied.tally.records + copied.tally.marks);
	ck_assert_uint_ge(copied.tally.records, limit);
	wish = whole;
	wish.append = true;
	wish.walk.from = (struct pmt_bound){ PMT_BOUND_LBN, copied.from.lbn };
	ck_assert_int_eq(copy_as("mem:a", "mem:b", &wish), 0);
	same_tapes("a", "b");
}
END_TEST

/* Parts */

START_TEST(ranges)
{
	static const struct {
		struct pmt_bound from, to;
		uint64_t first, behind;		/* LBN */
	} parts[] = {
		{ { PMT_BOUND_FILE, 1 }, { PMT_BOUND_FILE, 1 }, 4, 10 },
		{ { PMT_BOUND_FILE, 0 }, { PMT_BOUND_FILE, 2 }, 0, 11 },
		{ { PMT_BOUND_LBN, 5 }, { PMT_BOUND_LBN, 5 }, 5, 6 },
		{ { PMT_BOUND_LBN, 3 }, { PMT_BOUND_LBN, 9 }, 3, 10 },
		{ { PMT_BOUND_LBN, 5 }, { PMT_BOUND_FILE, 2 }, 5, 11 },
		{ { PMT_BOUND_NONE, 0 }, { PMT_BOUND_FILE, 90 }, 0, 14 },
		{ { PMT_BOUND_FILE, 3 }, { PMT_BOUND_NONE, 0 }, 11, 14 },
		{ { PMT_BOUND_FILE, 4 }, { PMT_BOUND_NONE, 0 }, 14, 14 },
	};
	const struct mem_volume *a = &tape("a", "3m5mm2m", 100)->volume;
	struct pmt_copy wish = whole;

	mem_medium("a")->no_eod = _i;
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		struct mem_volume part = { &a->records[parts[i].first],
					   parts[i].behind - parts[i].first };

		wish.overwrite = true;
		wish.walk.from = parts[i].from;
		wish.walk.to = parts[i].to;
		ck_assert_int_eq(copy_as("mem:a", "mem:b", &wish), 0);
		ck_assert_msg(mem_same(&part, &mem_medium("b")->volume), "part %zu", i);
	}
	wish.walk.from = (struct pmt_bound){ PMT_BOUND_FILE, 5 };
	ck_assert_int_eq(copy_as("mem:a", "mem:b", &wish), -ENOENT);
	wish.walk.from = (struct pmt_bound){ PMT_BOUND_LBN, 15 };
	ck_assert_int_eq(copy_as("mem:a", "mem:b", &wish), -ENOENT);
}
END_TEST

START_TEST(bounds)
{
	static const char *const bad[] = { "", "@", "x", "-1", "1x", "@-1", "@@1", " 1",
		"99999999999999999999" };
	struct pmt_bound bound;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_int_eq(pmt_bound_parse(bad[i], &bound), -EINVAL);
	ck_assert_int_eq(pmt_bound_parse("17", &bound), 0);
	ck_assert(bound.by == PMT_BOUND_FILE && bound.number == 17);
	ck_assert_int_eq(pmt_bound_parse("@0", &bound), 0);
	ck_assert(bound.by == PMT_BOUND_LBN && bound.number == 0);
}
END_TEST

START_TEST(partitions)
{
	struct pmt_walk walk = whole.walk;
	struct pmt_copy wish = whole;
	struct pmt_command format = { .op = PMT_OP_FORMAT, .argument = 2, .count = 5 };
	const char *const specs[] = { "mem:a", spec("image:%s", "p") };
	struct rig rig;

	tape("a", "3m", 100);
	rig_init(&rig);
	ck_assert_int_eq(rig_open(&rig, spec("image:%s?capacity=20M", "p")), 0);
	format.place = rig.place;
	ck_assert_int_eq(rig_do(&rig, format, NULL), PMT_STATUS_GOOD);
	rig_close(&rig);
	ck_assert_int_eq(copy("mem:a", spec("image:%s", "p")), -EINVAL);
	ck_assert_int_eq(copy(spec("image:%s", "p"), "mem:b"), -EINVAL);
	wish.walk.partition = 1;
	ck_assert_int_eq(copy_as("mem:a", spec("image:%s", "p"), &wish), -EINVAL);
	wish.walk.partition = 0;
	ck_assert_int_eq(copy_as("mem:a", spec("image:%s", "p"), &wish), 0);
	wish.walk.partition = 1;
	ck_assert_int_eq(copy_as(spec("image:%s", "p"), "mem:b", &wish), 0);
	ck_assert_uint_eq(copied.tally.records, 0);
	wish.walk.partition = 2;
	ck_assert_int_eq(copy_as(spec("image:%s", "p"), "mem:b", &wish), -EINVAL);
	walk.partition = 0;
	ck_assert_int_eq(verify(specs, 2, &walk), 0);
}
END_TEST

/* Comparing */

START_TEST(differences)
{
	static const struct {
		const char *a, *b;
		size_t length;		/* of b's records */
		int difference;
		uint64_t lbn, offset;
	} cases[] = {
		{ "3m2m", "3m2m", 100, PMT_SAME, 0, 0 },
		{ "3m2m", "3m2m", 101, PMT_DIFFERENT_LENGTH, 0, 100 },
		{ "3m2m", "3m1m", 100, PMT_DIFFERENT_KIND, 5, 0 },
		{ "3m2m", "3mm2m", 100, PMT_DIFFERENT_KIND, 4, 0 },
		{ "3m2m", "3m2mm", 100, PMT_DIFFERENT_END, 7, 0 },
		{ "3m2m", "3m2", 100, PMT_DIFFERENT_END, 6, 0 },
		{ "3m2m", "", 100, PMT_DIFFERENT_END, 0, 0 },
	};
	const char *const three[] = { "mem:a", "mem:a2", "mem:b" };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		mem_reset();
		srandom(1);
		tape("a", cases[i].a, 100);
		srandom(1);
		tape("a2", cases[i].a, 100);
		srandom(1);
		tape("b", cases[i].b, cases[i].length);
		for (uint64_t k = 0; k < mem_medium("b")->volume.n; k++)
			if (mem_medium("b")->volume.records[k].length)
				memset(mem_medium("b")->volume.records[k].data, 7, 100);
		for (uint64_t k = 0; k < mem_medium("a")->volume.n; k++)
			if (mem_medium("a")->volume.records[k].length) {
				memset(mem_medium("a")->volume.records[k].data, 7, 100);
				memset(mem_medium("a2")->volume.records[k].data, 7, 100);
			}
		ck_assert_int_eq(verify(three, 3, &whole.walk), cases[i].difference != 0);
		ck_assert_int_eq(verified.difference, cases[i].difference);
		if (!cases[i].difference)
			continue;
		ck_assert_uint_eq(verified.side, 2);
		ck_assert_uint_eq(verified.first.place.lbn, cases[i].lbn);
		ck_assert_uint_eq(verified.other.place.lbn, cases[i].lbn);
		ck_assert_uint_eq(verified.offset, cases[i].offset);
	}
}
END_TEST

START_TEST(one_byte)
{
	struct mem_medium *b;

	srandom(seed);
	tape("a", "3m9m", 3000);
	srandom(seed);
	b = tape("b", "3m9m", 3000);
	b->volume.records[7].data[2345] ^= 0x40;
	ck_assert_int_eq(compare("mem:a", "mem:b"), 1);
	ck_assert_int_eq(verified.difference, PMT_DIFFERENT_DATA);
	ck_assert_uint_eq(verified.offset, 2345);
	ck_assert_uint_eq(verified.bytes[0] ^ verified.bytes[1], 0x40);
	ck_assert_uint_eq(verified.first.place.file, 1);
	ck_assert_uint_eq(verified.first.place.block, 3);
	ck_assert_uint_eq(verified.other.place.lbn, 7);
}
END_TEST

/* A place that can not be read is bad, and does not end the comparison. */
START_TEST(damage_is_counted)
{
	const char *const one[] = { "fault?op=read&at=2&error=medium|"
				    "fault?op=read&at=5&error=medium|mem:a" };

	tape("a", "4m9m", 300);
	ck_assert_int_eq(verify(one, 1, &whole.walk), 1);
	ck_assert_int_eq(verified.difference, PMT_SAME);
	ck_assert_uint_eq(tallies[0].damaged, 2);
	ck_assert_uint_eq(tallies[0].records, 11);
	ck_assert_uint_eq(tallies[0].marks, 2);
	ck_assert_int_eq(compare("mem:a", one[0]), 1);
	ck_assert_int_eq(verified.difference, PMT_SAME);
	ck_assert_uint_eq(tallies[1].damaged, 2);
	mem_medium("a")->volume.n--;
	ck_assert_int_eq(compare(one[0], "mem:a"), 1);
	ck_assert_int_eq(verified.difference, PMT_SAME);
}
END_TEST

/* A damaged filemark: what is behind it is in the next file all the same. */
START_TEST(damaged_mark)
{
	struct pmt_walk walk = whole.walk;
	struct pmt_object object;
	struct pmt_reader *reader;
	struct pmt_drive *drive;
	char *error = NULL;

	tape("a", "2m2m", 300);
	ck_assert_int_eq(pmt_drive_open_source(&drive, "fault?op=read&at=2&error=medium|mem:a",
					       &error), 0);
	ck_assert_int_eq(pmt_reader_open(&reader, drive, &walk), 0);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(pmt_reader_next(reader, &object), 0);
		ck_assert_uint_eq(object.place.lbn, i);
		ck_assert_int_eq(object.kind, i == 2 ? PMT_OBJECT_DAMAGED : PMT_OBJECT_RECORD);
		pmt_reader_release(reader);
	}
	ck_assert_uint_eq(object.place.file, 1);
	ck_assert_uint_eq(object.place.block, 0);
	pmt_reader_close(reader);
	pmt_drive_close(drive);
}
END_TEST

/* A source is not changed: no torn end is cut, no set moved on. */
START_TEST(sources_stay_as_they_are)
{
	struct stat before, after;
	FILE *file;

	tape("a", "9m", 1000);
	ck_assert_int_eq(copy("mem:a", spec("image:%s?create=yes", "t")), 0);
	file = fopen(path("t"), "a");
	fputs("half of something", file);
	fclose(file);
	ck_assert_int_eq(stat(path("t"), &before), 0);
	ck_assert_int_eq(copy(spec("image:%s", "t"), "mem:b"), 0);
	same_tapes("a", "b");
	ck_assert_int_eq(stat(path("t"), &after), 0);
	ck_assert_int_eq(before.st_size, after.st_size);
	ck_assert_int_eq(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	/* Nor is one made. */
	{
		struct pmt_drive *drive;
		char *error = NULL;

		ck_assert_int_eq(pmt_drive_open_source(&drive,
				 spec("image:%s?capacity=1M", "none"), &error), -ENOENT);
		ck_assert_ptr_null(error);
	}
}
END_TEST

static void setup(void)
{
	folder_make();
	srandom(seed);
	pmt_drive_add_kind(&mem_drive);
	suite_quiet();
}

static void teardown(void)
{
	mem_reset();
	folder_remove();
}

int main(void)
{
	Suite *suite = suite_create("copy");
	TCase *tests = tcase_create("copy");

	seed = suite_seed();
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, copies_are_exact);
	tcase_add_test(tests, the_sum);
	tcase_add_loop_test(tests, poor_drives, 0, 2);
	tcase_add_test(tests, both_drives_are_busy);
	tcase_add_loop_test(tests, full_target, 0, 2);
	tcase_add_loop_test(tests, first_file_does_not_fit, 0, 2);
	tcase_add_loop_test(tests, spreading, 0, 3);
	tcase_add_test(tests, no_next_volume);
	tcase_add_loop_test(tests, next_volume_comes_later, 0, 3);
	tcase_add_test(tests, record_larger_than_a_volume);
	tcase_add_test(tests, volumes_are_read_in_a_row);
	tcase_add_test(tests, encrypted_volumes_are_read_in_a_row);
	tcase_add_loop_test(tests, targets_that_are_not_empty, 0, 2);
	tcase_add_test(tests, targets_that_are_no_twins);
	tcase_add_test(tests, mirrors_that_are_refused);
	tcase_add_test(tests, protected_and_missing);
	tcase_add_test(tests, record_too_long_for_the_target);
	tcase_add_test(tests, damaged_source);
	tcase_add_loop_test(tests, failing_target, 0, 25);
	tcase_add_loop_test(tests, stopping, 0, 20);
	tcase_add_loop_test(tests, ranges, 0, 2);
	tcase_add_test(tests, bounds);
	tcase_add_test(tests, partitions);
	tcase_add_test(tests, differences);
	tcase_add_test(tests, one_byte);
	tcase_add_test(tests, damage_is_counted);
	tcase_add_test(tests, damaged_mark);
	tcase_add_test(tests, sources_stay_as_they_are);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
