/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SIMH .tap images, byte for byte as "SIMH Magtape Representation and Handling"
 * describes them.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder.h"
#include "onefile.h"
#include "suite.h"

static void setup(void)
{
	onefile_make("t.tap");
}

#define EVEN	"\4\0\0\0abcd\4\0\0\0"
#define ODD	"\3\0\0\0xyz\0\3\0\0\0"
#define TMARK	"\0\0\0\0"
#define EOM	"\377\377\377\377"
#define GAP	"\376\377\377\377"
#define HALF	"\377\377" GAP	/* what a record over a gap leaves */
#define BAD	"\3\0\0\200bad\0\3\0\0\200"
#define PRIVATE	"\2\0\0\060no\2\0\0\060"
#define DESCR	"\3\0\0\340txt\0\3\0\0\340"
#define WORD	"\1\2\3\160" "\1\2\3\360"

START_TEST(writes_exactly)
{
	struct pmt_leaf *leaf = tape("?create=yes&format=simh");

	put(leaf, "abcd");
	put(leaf, "xyz");
	put_marks(leaf, 2);
	ck_assert_uint_eq(leaf->ops->used(leaf), 32);
	drop(leaf);
	file_is(BYTES(EVEN ODD TMARK TMARK));
}
END_TEST

START_TEST(reads_exactly)
{
	struct pmt_leaf *leaf;

	make(BYTES(EVEN ODD TMARK EVEN TMARK TMARK));
	leaf = tape("");
	ck_assert_uint_eq(leaf->eod, 6);
	ck_assert_uint_eq(leaf->limits.record_max, 0xffffff);
	ck_assert_int_eq(get(leaf, "abcd"), 0);
	ck_assert_int_eq(get(leaf, "xyz"), 0);
	ck_assert_int_eq(get(leaf, ""), PMT_AT_MARK);
	ck_assert_int_eq(get(leaf, "abcd"), 0);
	ck_assert_int_eq(get(leaf, ""), PMT_AT_MARK);
	ck_assert_int_eq(get(leaf, ""), PMT_AT_MARK);
	ck_assert_int_eq(get(leaf, ""), PMT_AT_EOD);
	drop(leaf);
}
END_TEST

START_TEST(end_of_medium)
{
	struct pmt_leaf *leaf;

	make(BYTES(EVEN TMARK EOM ODD "what ever follows"));
	leaf = tape("");
	ck_assert_uint_eq(leaf->eod, 2);
	ck_assert_int_eq(leaf->ops->to_eod(leaf), 0);
	ck_assert_int_eq(get(leaf, ""), PMT_AT_EOD);
	drop(leaf);
	file_is(BYTES(EVEN TMARK EOM ODD "what ever follows"));
	leaf = tape("");
	ck_assert_int_eq(leaf->ops->to_eod(leaf), 0);
	put(leaf, "xyz");
	drop(leaf);
	file_is(BYTES(EVEN TMARK ODD));
}
END_TEST

START_TEST(gaps_are_not_seen)
{
	struct pmt_leaf *leaf;
	int64_t left;

	make(BYTES(GAP EVEN GAP GAP ODD HALF TMARK PRIVATE WORD DESCR EVEN GAP));
	leaf = tape("");
	ck_assert_uint_eq(leaf->eod, 4);
	ck_assert_int_eq(get(leaf, "abcd"), 0);
	ck_assert_int_eq(get(leaf, "xyz"), 0);
	ck_assert_int_eq(get(leaf, ""), PMT_AT_MARK);
	ck_assert_int_eq(get(leaf, "abcd"), 0);
	ck_assert_int_eq(get(leaf, ""), PMT_AT_EOD);
	ck_assert_int_eq(leaf->ops->space_marks(leaf, -1, &left), 0);
	ck_assert_uint_eq(leaf->place.lbn, 2);
	ck_assert_uint_eq(leaf->place.block, 2);
	ck_assert_int_eq(leaf->ops->space_records(leaf, -1, &left), 0);
	ck_assert_int_eq(get(leaf, "xyz"), 0);
	put_marks(leaf, 1);
	drop(leaf);
	leaf = tape("");
	ck_assert_uint_eq(leaf->eod, 3);
	drop(leaf);
}
END_TEST

START_TEST(bad_records_are_errors_with_data)
{
	struct pmt_leaf *leaf;

	make(BYTES(EVEN BAD "\0\0\0\200\0\0\0\200" ODD));
	leaf = tape("");
	ck_assert_uint_eq(leaf->eod, 4);
	ck_assert_int_eq(get(leaf, "abcd"), 0);
	ck_assert_int_eq(get(leaf, "bad"), -EIO);
	ck_assert_uint_eq(leaf->place.lbn, 2);
	ck_assert_int_eq(get(leaf, ""), -EIO);
	ck_assert_int_eq(get(leaf, "xyz"), 0);
	drop(leaf);
}
END_TEST

static const char script[] = EVEN ODD TMARK EVEN TMARK ODD;

START_TEST(torn_tails)
{
	static const size_t ends[] = { 12, 24, 28, 40, 44, 56 };

	torn_anywhere(script, sizeof(script) - 1, ends, 6);
}
END_TEST

START_TEST(last_length_differs)
{
	struct pmt_leaf *leaf;

	make(BYTES(ODD EVEN "\4\0\0\0efgh\5\0\0\0"));
	leaf = tape("");
	ck_assert_uint_eq(leaf->eod, 2);
	drop(leaf);
	file_is(BYTES(ODD EVEN));
}
END_TEST

/* Damage before the end is not a torn tail: nothing is cut. */
START_TEST(broken_rules_are_refused)
{
	static const struct bytes files[] = {
		{ BYTES(ODD "\4\0\0\0efgh\5\0\0\0" EVEN TMARK TMARK) },
		{ BYTES(ODD "\377\0\0\0efgh\4\0\0\0" EVEN TMARK) },
		{ BYTES(ODD "\377\377\377\0efgh\4\0\0\0" EVEN) },
		{ BYTES(ODD "\377\377\377\0efgh\4\0\0\0" EVEN "\377\377\377\377") },
		{ BYTES(ODD "\377\377\377\0efgh\4\0\0\0" EVEN "\376\377\377\377") },
		{ BYTES(ODD "\4\0\0\001efgh\4\0\0\001") },
		{ BYTES("\4\0\0\0ab") },
		{ BYTES("\4\0\0\0abcd\5\0\0\0") },
		{ BYTES(TMARK TMARK "\4\0\0\0ab") },
		{ BYTES("\1\0") },
	};
	all_refused(files, sizeof(files) / sizeof(*files), "?format=simh");
}
END_TEST

START_TEST(marks_alone_need_the_option_or_the_name)
{
	struct pmt_leaf *leaf;

	make(BYTES(TMARK TMARK));
	leaf = tape("");
	ck_assert_uint_eq(leaf->eod, 2);
	drop(leaf);
	onefile_name("t.image");
	make(BYTES(TMARK TMARK));
	ck_assert_int_eq(try_tape(&leaf, ""), -EINVAL);
	leaf = tape("?format=simh");
	ck_assert_uint_eq(leaf->eod, 2);
	drop(leaf);
}
END_TEST

#define ODD_E11	"\3\0\0\0xyz\3\0\0\0"
#define ONE_E11	"\1\0\0\0x\1\0\0\0"

/* Nothing is cut where the last record is whole without its zero. */
START_TEST(e11_is_recognised)
{
	struct pmt_leaf *leaf;

	make(BYTES(EVEN ODD_E11 TMARK ODD_E11));
	ck_assert_int_eq(try_tape(&leaf, "?format=simh"), -EINVAL);
	leaf = tape("");
	ck_assert_uint_eq(leaf->eod, 4);
	ck_assert_int_eq(get(leaf, "abcd"), 0);
	ck_assert_int_eq(get(leaf, "xyz"), 0);
	ck_assert_int_eq(leaf->ops->to_eod(leaf), 0);
	put(leaf, "x");
	put_marks(leaf, 1);
	drop(leaf);
	file_is(BYTES(EVEN ODD_E11 TMARK ODD_E11 ONE_E11 TMARK));
	leaf = tape("?format=e11");
	ck_assert_uint_eq(leaf->eod, 6);
	drop(leaf);
	make(BYTES(EVEN ODD));
	ck_assert_int_eq(try_tape(&leaf, "?format=e11"), -EINVAL);
	file_is(BYTES(EVEN ODD));
}
END_TEST

/* Where the first odd record is the last, it is not taken for one that was torn. */
START_TEST(e11_that_shows_late)
{
	static char bytes[70 * 12 + 11];
	struct pmt_leaf *leaf;

	for (int i = 0; i < 70; i++)
		memcpy(bytes + i * 12, EVEN, 12);
	memcpy(bytes + 70 * 12, ODD_E11, 11);
	make(bytes, sizeof(bytes));
	ck_assert_int_eq(try_tape(&leaf, "?format=simh"), -EINVAL);
	leaf = tape("");
	ck_assert_uint_eq(leaf->eod, 71);
	ck_assert_int_eq(leaf->ops->locate(leaf, 0, 70), 0);
	ck_assert_int_eq(get(leaf, "xyz"), 0);
	drop(leaf);
	file_is(bytes, sizeof(bytes));
}
END_TEST

/* Words that only reading backwards meets, and lengths beyond the standard. */
START_TEST(words_that_are_none)
{
	static const char *const words[] = {
		"\0\0\376\377", "\376\377\376\377", "\0\0\0\001",
	};
	char bytes[20];
	struct pmt_leaf *leaf;

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		memcpy(bytes, EVEN, 12);
		memcpy(bytes + 12, words[i], 4);
		memcpy(bytes + 16, TMARK, 4);
		make(bytes, sizeof(bytes));
		ck_assert_int_eq(try_tape(&leaf, ""), -EINVAL);
		file_is(bytes, sizeof(bytes));
	}
}
END_TEST

/* What is whole behind the damage is read, and nothing is written. */
START_TEST(salvage)
{
	struct pmt_leaf *leaf;

	make(BYTES(ODD "\4\0\0\0efgh\5\0\0\0" EVEN TMARK "\1\2\3" EVEN ODD));
	ck_assert_int_eq(try_tape(&leaf, ""), -EINVAL);
	leaf = tape("?salvage=yes");
	ck_assert(leaf->protected);
	ck_assert_uint_eq(leaf->eod, 5);
	ck_assert_int_eq(get(leaf, "xyz"), 0);
	ck_assert_int_eq(get(leaf, "abcd"), 0);
	ck_assert_int_eq(get(leaf, ""), PMT_AT_MARK);
	ck_assert_int_eq(get(leaf, "abcd"), 0);
	ck_assert_int_eq(get(leaf, "xyz"), 0);
	ck_assert_int_eq(get(leaf, ""), PMT_AT_EOD);
	ck_assert_int_eq(leaf->ops->locate(leaf, 0, 1), 0);
	ck_assert_int_eq(get(leaf, "abcd"), 0);
	drop(leaf);
}
END_TEST

START_TEST(written_over_in_the_middle)
{
	struct pmt_leaf *leaf;

	make(script, sizeof(script) - 1);
	leaf = tape("");
	ck_assert_int_eq(leaf->ops->locate(leaf, 0, 2), 0);
	put(leaf, "xyz");
	put_marks(leaf, 1);
	drop(leaf);
	file_is(BYTES(EVEN ODD ODD TMARK));
	leaf = tape("");
	ck_assert_int_eq(leaf->ops->locate(leaf, 0, 1), 0);
	ck_assert_int_eq(leaf->ops->cut(leaf), 0);
	drop(leaf);
	file_is(BYTES(EVEN));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("simh");
	TCase *c = tcase_create("simh");

	suite_quiet();
	tcase_add_checked_fixture(c, setup, folder_remove);
	tcase_add_test(c, writes_exactly);
	tcase_add_test(c, reads_exactly);
	tcase_add_test(c, end_of_medium);
	tcase_add_test(c, gaps_are_not_seen);
	tcase_add_test(c, bad_records_are_errors_with_data);
	tcase_add_test(c, torn_tails);
	tcase_add_test(c, last_length_differs);
	tcase_add_test(c, broken_rules_are_refused);
	tcase_add_test(c, marks_alone_need_the_option_or_the_name);
	tcase_add_test(c, e11_is_recognised);
	tcase_add_test(c, e11_that_shows_late);
	tcase_add_test(c, words_that_are_none);
	tcase_add_test(c, salvage);
	tcase_add_test(c, written_over_in_the_middle);
	suite_add_tcase(s, c);
	return run_suite(s);
}
