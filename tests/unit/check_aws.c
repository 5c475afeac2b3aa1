// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * AWS images byte for byte, and what Hercules compresses in them (HET).  That its own
 * programs see the same is in hercules.sh.
 */
#include <bzlib.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "folder.h"
#include "onefile.h"
#include "suite.h"

static void setup(void)
{
	onefile_make("t.aws");
}

/* length, length of the chunk before it, flags, data */
#define ABCD(before)	"\4\0" before "\240\0abcd"
#define XYZ(before)	"\3\0" before "\240\0xyz"
#define TMARK(before)	"\0\0" before "\100\0"
#define NONE		"\0\0"
#define THREE		"\3\0"
#define FOUR		"\4\0"
#define PIECES(before)	"\2\0" before "\200\0ab" "\2\0\2\0\0\0cd" "\1\0\2\0\040\0e"

START_TEST(writes_exactly)
{
	struct pmt_leaf *leaf = tape("?create=yes");

	put(leaf, "abcd");
	put(leaf, "xyz");
	put_marks(leaf, 2);
	put(leaf, "abcd");
	ck_assert_uint_eq(leaf->ops->used(leaf), 41);
	drop(leaf);
	file_is(BYTES(ABCD(NONE) XYZ(FOUR) TMARK(THREE) TMARK(NONE) ABCD(NONE)));
	leaf = tape("");
	ck_assert_int_eq(leaf->ops->to_eod(leaf), 0);
	put(leaf, "xyz");
	ck_assert_int_eq(leaf->ops->locate(leaf, 0, 5), 0);
	put_marks(leaf, 1);
	drop(leaf);
	file_is(BYTES(ABCD(NONE) XYZ(FOUR) TMARK(THREE) TMARK(NONE) ABCD(NONE)
		      TMARK(FOUR)));
}
END_TEST

START_TEST(reads_exactly)
{
	struct pmt_leaf *leaf;
	int64_t left;

	make(BYTES(ABCD(NONE) PIECES(FOUR) TMARK("\1\0") XYZ(NONE) TMARK(THREE)
		   TMARK(NONE)));
	leaf = tape("?format=aws");
	ck_assert_uint_eq(leaf->eod, 6);
	ck_assert_uint_eq(leaf->limits.record_max, PMT_RECORD_MAX);
	ck_assert_int_eq(get(leaf, "abcd"), 0);
	ck_assert_int_eq(get(leaf, "abcde"), 0);
	ck_assert_int_eq(get(leaf, ""), PMT_AT_MARK);
	ck_assert_int_eq(get(leaf, "xyz"), 0);
	ck_assert_int_eq(get(leaf, ""), PMT_AT_MARK);
	ck_assert_int_eq(get(leaf, ""), PMT_AT_MARK);
	ck_assert_int_eq(get(leaf, ""), PMT_AT_EOD);
	ck_assert_int_eq(leaf->ops->space_marks(leaf, -3, &left), 0);
	ck_assert_uint_eq(leaf->place.lbn, 2);
	ck_assert_int_eq(leaf->ops->space_records(leaf, -1, &left), 0);
	ck_assert_int_eq(get(leaf, "abcde"), 0);
	drop(leaf);
}
END_TEST

static void fill(char *data, size_t length)
{
	for (size_t i = 0; i < length; i++)
		data[i] = (char)(i * 7 + i / 256);
}

/* Records of one chunk, of two, and the longest. */
START_TEST(chained_chunks)
{
	static const size_t lengths[] = { 65534, 65535, 65536, 131070, 131071,
					  PMT_RECORD_MAX };
	static char data[PMT_RECORD_MAX], got[PMT_RECORD_MAX];
	struct pmt_leaf *leaf = tape("?create=yes");
	uint64_t size = 0;
	struct stat st;

	fill(data, sizeof(data));
	for (size_t i = 0; i < 6; i++) {
		ck_assert_int_eq(leaf->ops->write(leaf, data, lengths[i]), 0);
		size += lengths[i] + 6 * ((lengths[i] + 65534) / 65535);
	}
	ck_assert_int_eq(leaf->ops->write(leaf, data, PMT_RECORD_MAX + 1), -EINVAL);
	drop(leaf);
	ck_assert_int_eq(stat(file, &st), 0);
	ck_assert_uint_eq(st.st_size, size);
	leaf = tape("");
	for (size_t i = 0; i < 6; i++) {
		size_t n;

		ck_assert_int_eq(leaf->ops->read(leaf, got, sizeof(got), &n), 0);
		ck_assert_uint_eq(n, lengths[i]);
		ck_assert_int_eq(memcmp(got, data, n), 0);
	}
	drop(leaf);
}
END_TEST

START_TEST(a_part_of_a_record)
{
	struct pmt_leaf *leaf;
	char got[8] = "";
	size_t n;

	make(BYTES(ABCD(NONE) PIECES(FOUR)));
	leaf = tape("");
	ck_assert_int_eq(leaf->ops->locate(leaf, 0, 1), 0);
	ck_assert_int_eq(leaf->ops->read(leaf, got, 3, &n), 0);
	ck_assert_uint_eq(n, 5);
	ck_assert_str_eq(got, "abc");
	ck_assert_int_eq(leaf->ops->read(leaf, got, 3, &n), PMT_AT_EOD);
	drop(leaf);
}
END_TEST

static const char script[] = ABCD(NONE) PIECES(FOUR) TMARK("\1\0") XYZ(NONE);

START_TEST(torn_tails)
{
	static const size_t ends[] = { 10, 33, 39, 48 };

	torn_anywhere(script, sizeof(script) - 1, ends, 4);
}
END_TEST

START_TEST(zeros_at_the_end_are_cut)
{
	struct pmt_leaf *leaf;

	make(BYTES(ABCD(NONE) XYZ(FOUR) "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"));
	leaf = tape("");
	ck_assert_uint_eq(leaf->eod, 2);
	drop(leaf);
	file_is(BYTES(ABCD(NONE) XYZ(FOUR)));
}
END_TEST

/* Damage before the end is not a torn tail: nothing is cut. */
START_TEST(broken_rules_are_refused)
{
	static const struct bytes files[] = {
		/* a flag that is none, in either byte; a record that does not begin */
		{ BYTES(ABCD(NONE) "\3\0\4\0\250\0xyz" TMARK(THREE)) },
		{ BYTES(ABCD(NONE) "\3\0\4\0\240\1xyz" TMARK(THREE)) },
		{ BYTES(ABCD(NONE) "\3\0\4\0\040\0xyz" TMARK(THREE)) },
		/* begins twice; a mark within it; a mark with data */
		{ BYTES(ABCD(NONE) "\3\0\4\0\200\0xyz" ABCD(THREE)) },
		{ BYTES(ABCD(NONE) "\3\0\4\0\200\0xyz" TMARK(THREE)) },
		{ BYTES(ABCD(NONE) "\3\0\4\0\100\0xyz" TMARK(THREE)) },
		/* two methods; compressed in one chunk and not in the next */
		{ BYTES(ABCD(NONE) "\3\0\4\0\241\200xyz" TMARK(THREE)) },
		{ BYTES(ABCD(NONE) "\3\0\4\0\201\0xyz" "\1\0\3\0\040\0e") },
		{ BYTES(ABCD(NONE) "\3\0\4\0\200\0xyz" "\1\0\3\0\040\200e") },
		/* nothing in two chunks; nothing, compressed */
		{ BYTES(ABCD(NONE) "\0\0\4\0\200\0\0\0\0\0\040\0" ABCD(NONE)) },
		{ BYTES(ABCD(NONE) "\0\0\4\0\241\0" ABCD(NONE)) },
		/* a length beyond the end of a file whose end is sound */
		{ BYTES(ABCD(NONE) "\377\0\4\0\240\0xyz" TMARK(THREE) ABCD(NONE)
			TMARK(FOUR) TMARK(NONE)) },
	};
	all_refused(files, sizeof(files) / sizeof(*files), "?format=aws");
}
END_TEST

/* More than a record can be, in chunks. */
START_TEST(endless_record)
{
	FILE *f = fopen(file, "w");
	static const char chunk[65535];
	struct pmt_leaf *leaf;

	for (size_t i = 0; i < 258; i++) {
		const unsigned char header[6] = { 0xff, 0xff, i ? 0xff : 0, i ? 0xff : 0,
						  i ? 0 : 0x80, 0 };

		fwrite(header, sizeof(header), 1, f);
		fwrite(chunk, sizeof(chunk), 1, f);
	}
	fclose(f);
	ck_assert_int_eq(try_tape(&leaf, ""), -EINVAL);
}
END_TEST

START_TEST(empty_record_is_a_mark)
{
	struct pmt_leaf *leaf;

	make(BYTES(ABCD(NONE) "\0\0\4\0\240\0" XYZ(NONE)));
	leaf = tape("");
	ck_assert_int_eq(get(leaf, "abcd"), 0);
	ck_assert_int_eq(get(leaf, ""), PMT_AT_MARK);
	ck_assert_int_eq(get(leaf, "xyz"), 0);
	drop(leaf);
}
END_TEST

/* The lengths backwards are wrong: read all the same, and told. */
START_TEST(wrong_links)
{
	struct pmt_leaf *leaf;

	make(BYTES(ABCD(NONE) XYZ(FOUR) TMARK(FOUR) "\2\0\1\0\200\0ab" "\1\0\1\0\040\0e"));
	leaf = tape("");
	ck_assert_uint_eq(leaf->eod, 4);
	ck_assert_int_eq(leaf->ops->to_eod(leaf), 0);
	put_marks(leaf, 1);
	drop(leaf);
	file_is(BYTES(ABCD(NONE) XYZ(FOUR) TMARK(FOUR) "\2\0\1\0\200\0ab" "\1\0\1\0\040\0e"
		      TMARK("\1\0")));
	/* A part of a tape begins so. */
	make(BYTES(ABCD("\7\7") XYZ(FOUR) TMARK(THREE)));
	leaf = tape("");
	ck_assert_uint_eq(leaf->eod, 3);
	drop(leaf);
}
END_TEST

START_TEST(salvage)
{
	struct pmt_leaf *leaf;

	make(BYTES(ABCD(NONE) "\377\0\4\0\240\0xyz" "\377" ABCD(THREE) TMARK(FOUR)
		   "junk" XYZ(FOUR) ABCD(THREE) TMARK(FOUR)));
	ck_assert_int_eq(try_tape(&leaf, ""), -EINVAL);
	leaf = tape("?salvage=yes");
	ck_assert(leaf->protected);
	ck_assert_int_eq(get(leaf, "abcd"), 0);
	ck_assert_int_eq(get(leaf, "abcd"), 0);
	ck_assert_int_eq(get(leaf, ""), PMT_AT_MARK);
	ck_assert_int_eq(get(leaf, "xyz"), 0);
	ck_assert_int_eq(get(leaf, "abcd"), 0);
	ck_assert_int_eq(get(leaf, ""), PMT_AT_MARK);
	ck_assert_int_eq(get(leaf, ""), PMT_AT_EOD);
	drop(leaf);
}
END_TEST

/* HET */

/* A record of length bytes of data, compressed by method, in chunks of so many. */
static size_t pack(char *to, int method, const char *data, size_t length, size_t chunk)
{
	static char packed[1 << 20];
	unsigned int n = sizeof(packed);
	uLongf zn = sizeof(packed);
	size_t done, used = 0, before = 0, all;

	if (method == 2)
		ck_assert_int_eq(BZ2_bzBuffToBuffCompress(packed, &n, (char *)data,
							  (unsigned int)length, 9, 0, 0),
				 BZ_OK);
	else
		ck_assert_int_eq(compress((Bytef *)packed, &zn, (const Bytef *)data, length),
				 Z_OK);
	all = method == 2 ? n : zn;
	for (done = 0; done < all; done += before) {
		size_t part = all - done < chunk ? all - done : chunk;
		const char header[6] = {
			(char)part, (char)(part >> 8), (char)before, (char)(before >> 8),
			(char)((done ? 0 : 0x80) | (done + part == all ? 0x20 : 0) |
			       (method & 3)),
			(char)(method & 0x80),
		};

		memcpy(to + used, header, 6);
		memcpy(to + used + 6, packed + done, part);
		used += 6 + part;
		before = part;
	}
	return used;
}

START_TEST(compressed_records)
{
	static const int methods[] = { 1, 2, 0x80 };
	static char data[200000], bytes[300000], got[200000];
	struct pmt_leaf *leaf;
	size_t n;

	fill(data, sizeof(data));
	for (size_t i = 0; i < 3; i++) {
		size_t used = pack(bytes, methods[i], data, sizeof(data), 1000);

		used += pack(bytes + used, methods[i], "hello", 5, 65535);
		make(bytes, used);
		ck_assert_int_eq(try_tape(&leaf, "?format=aws"), -EINVAL);
		leaf = tape("");
		ck_assert(leaf->protected);
		ck_assert_uint_eq(leaf->eod, 2);
		ck_assert_int_eq(leaf->ops->read(leaf, got, sizeof(got), &n), 0);
		ck_assert_uint_eq(n, sizeof(data));
		ck_assert_int_eq(memcmp(got, data, n), 0);
		ck_assert_int_eq(get(leaf, "hello"), 0);
		ck_assert_int_eq(leaf->ops->write(leaf, "x", 1), -EROFS);
		ck_assert_int_eq(leaf->ops->locate(leaf, 0, 0), 0);
		ck_assert_int_eq(leaf->ops->read(leaf, got, 10, &n), 0);
		ck_assert_uint_eq(n, sizeof(data));
		drop(leaf);
		file_is(bytes, used);
		/* What is not written is not cut. */
		make(bytes, used - 1);
		ck_assert_int_eq(try_tape(&leaf, "?format=aws"), -EINVAL);
		leaf = tape("");
		ck_assert_uint_eq(leaf->eod, 1);
		drop(leaf);
		file_is(bytes, used - 1);
	}
}
END_TEST

/* Damaged, torn off inside, of an unknown method, and larger than a record can be. */
START_TEST(compressed_badly)
{
	static char data[PMT_RECORD_MAX + 1], bytes[100000], got[100];
	struct pmt_leaf *leaf;
	size_t n;

	for (int method = 1; method <= 2; method++) {
		size_t used = pack(bytes, method, data, sizeof(data), 65535);
		size_t small = used;

		used += pack(bytes + used, method, data, 1000, 65535);
		bytes[small + 12] ^= 0x55;
		small = used;
		used += pack(bytes + used, method, data, 1000, 65535);
		bytes[small] -= 4;
		used -= 4;
		used += pack(bytes + used, method, "hello", 5, 65535);
		small = used;
		used += pack(bytes + used, method, "hello", 5, 65535);
		bytes[small + 4] |= 3;
		make(bytes, used);
		leaf = tape("?format=het");
		ck_assert_uint_eq(leaf->eod, 5);
		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(leaf->ops->read(leaf, got, sizeof(got), &n),
					 -EBADMSG);
		ck_assert_int_eq(get(leaf, "hello"), 0);
		ck_assert_int_eq(leaf->ops->read(leaf, got, sizeof(got), &n), -EBADMSG);
		ck_assert_int_eq(leaf->ops->read(leaf, got, sizeof(got), &n), PMT_AT_EOD);
		drop(leaf);
	}
}
END_TEST

START_TEST(het_is_not_made)
{
	struct pmt_leaf *leaf;

	ck_assert_int_eq(try_tape(&leaf, "?create=yes&format=het"), -EINVAL);
	onefile_name("t.het");
	ck_assert_int_eq(try_tape(&leaf, "?create=yes"), -EINVAL);
	ck_assert_int_eq(access(file, F_OK), -1);
	/* Without compression it is the same as AWS, whatever its name. */
	make(BYTES(ABCD(NONE)));
	leaf = tape("");
	ck_assert_int_eq(leaf->ops->to_eod(leaf), 0);
	put(leaf, "xyz");
	drop(leaf);
	file_is(BYTES(ABCD(NONE) XYZ(FOUR)));
}
END_TEST

START_TEST(marks_alone_need_the_name)
{
	struct pmt_leaf *leaf;

	make(BYTES(TMARK(NONE) TMARK(NONE)));
	leaf = tape("");
	ck_assert_uint_eq(leaf->eod, 2);
	drop(leaf);
	onefile_name("t.image");
	make(BYTES(TMARK(NONE) TMARK(NONE)));
	ck_assert_int_eq(try_tape(&leaf, ""), -EINVAL);
	leaf = tape("?format=aws");
	ck_assert_uint_eq(leaf->eod, 2);
	drop(leaf);
	make(BYTES(ABCD(NONE) XYZ(FOUR)));
	leaf = tape("");
	ck_assert_uint_eq(leaf->eod, 2);
	drop(leaf);
	ck_assert_int_eq(try_tape(&leaf, "?format=simh"), -EINVAL);
	ck_assert_int_eq(try_tape(&leaf, "?format=native"), -EINVAL);
}
END_TEST

static void expect(struct pmt_leaf *leaf, uint64_t lbn, uint64_t sum)
{
	char got[64] = "", want[64];
	size_t n;

	ck_assert_int_eq(leaf->ops->locate(leaf, 0, lbn), 0);
	ck_assert_uint_eq(leaf->place.file * 10000 + leaf->place.block, sum);
	snprintf(want, sizeof(want), "record %llu", (unsigned long long)lbn);
	ck_assert_int_eq(leaf->ops->read(leaf, got, sizeof(got), &n), 0);
	ck_assert_str_eq(got, want);
}

/* By the index, which cuts and appends keep right. */
START_TEST(locates)
{
	struct pmt_leaf *leaf = tape("?create=yes&sync=no");
	char text[64];
	int64_t left;

	for (int i = 0; i < 2000; i++) {
		snprintf(text, sizeof(text), "record %d", i);
		if (i % 100 == 99)
			put_marks(leaf, 1);
		else
			put(leaf, text);
	}
	drop(leaf);
	leaf = tape("?sync=no");
	expect(leaf, 1234, 120034);
	expect(leaf, 0, 0);
	expect(leaf, 1998, 190098);
	ck_assert_int_eq(leaf->ops->locate(leaf, 0, 0), 0);
	ck_assert_int_eq(leaf->ops->space_marks(leaf, 15, &left), 0);
	ck_assert_uint_eq(leaf->place.lbn, 1500);
	ck_assert_int_eq(leaf->ops->locate(leaf, 0, 1000), 0);
	ck_assert_int_eq(leaf->ops->cut(leaf), 0);
	ck_assert_uint_eq(leaf->eod, 1000);
	for (int i = 1000; i < 1500; i++) {
		snprintf(text, sizeof(text), "record %d", i);
		put(leaf, text);
	}
	expect(leaf, 1400, 100400);
	expect(leaf, 7, 7);
	drop(leaf);
}
END_TEST

/* As of the other formats: what would make the file longer is not written. */
START_TEST(capacity)
{
	struct pmt_leaf *leaf = tape("?capacity=64K&ew=4096&sync=no");
	static char data[10000];
	uint32_t done;
	int i;

	for (i = 0; leaf->ops->write(leaf, data, sizeof(data)) == 0; i++)
		;
	ck_assert_int_eq(i, 6);
	ck_assert_uint_eq(leaf->ops->used(leaf), 60036);
	ck_assert_int_eq(leaf->ops->write(leaf, data, 5494), PMT_AT_EW);
	ck_assert_uint_eq(leaf->ops->used(leaf), 65536);
	ck_assert_int_eq(leaf->ops->write(leaf, data, 1), -ENOSPC);
	ck_assert_int_eq(leaf->ops->marks(leaf, 1, &done), -ENOSPC);
	ck_assert_uint_eq(leaf->eod, 7);
	drop(leaf);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("aws");
	TCase *c = tcase_create("aws");

	suite_quiet();
	tcase_add_checked_fixture(c, setup, folder_remove);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, writes_exactly);
	tcase_add_test(c, reads_exactly);
	tcase_add_test(c, chained_chunks);
	tcase_add_test(c, a_part_of_a_record);
	tcase_add_test(c, torn_tails);
	tcase_add_test(c, zeros_at_the_end_are_cut);
	tcase_add_test(c, broken_rules_are_refused);
	tcase_add_test(c, endless_record);
	tcase_add_test(c, empty_record_is_a_mark);
	tcase_add_test(c, wrong_links);
	tcase_add_test(c, salvage);
	tcase_add_test(c, compressed_records);
	tcase_add_test(c, compressed_badly);
	tcase_add_test(c, het_is_not_made);
	tcase_add_test(c, marks_alone_need_the_name);
	tcase_add_test(c, locates);
	tcase_add_test(c, capacity);
	suite_add_tcase(s, c);
	return run_suite(s);
}
