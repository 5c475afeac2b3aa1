// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/mirror/verify.c: records read from all copies, and blocks that are bad. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "mirrorrig.h"
#include "suite.h"

/* Verified reading */

static void write_and_rewind(const char *spec)
{
	open_spec(spec);
	write_some();
	ck_good(rig_op(&rig, PMT_OP_REWIND));
}

static int read_one(void)
{
	char buffer[64] = "";

	return rig_read(&rig, buffer, sizeof(buffer));
}

START_TEST(all_copies_read_each_record)
{
	unsigned int before;

	write_and_rewind("mirror(mem:a,mem:b)?verify=yes");
	before = b->executed;
	expect_text("one");
	expect_text("two");
	read_one();
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_FILEMARK);
	ck_assert_uint_eq(rig.place.lbn, 3);
	expect_text("three");
	read_one();
	ck_sense(PMT_KEY_BLANK, 0, 5);
	ck_assert_uint_ge(b->executed, before + 5);
	ck_assert_uint_eq(rig.events, 0);
}
END_TEST

START_TEST(a_difference_is_an_error)
{
	write_and_rewind("mirror(mem:a,mem:b)?verify=yes");
	b->volume.records[1].data[2] = 'X';
	expect_text("one");
	read_one();
	ck_sense(PMT_KEY_MEDIUM, 0x1d, 0);
	ck_assert_uint_eq(rig.place.lbn, 1);
	ck_assert_uint_eq(last_event, PMT_EVENT_DIFFERENCE);
	ck_assert_str_eq(rig.event, "block 1 differs: copy 1 (mem:a) has 3 bytes, copy 2 (mem:b) "
			 "3 bytes, the first that differs is byte 2");
	ck_assert_int_eq(status_number(NULL, "differences"), 1);
	ck_bad(0, 0, PMT_UNKNOWN);
	ck_bad(1, 0, PMT_UNKNOWN);
	/* What is behind it can be read. */
	ck_good(rig_space(&rig, PMT_SPACE_RECORDS, 1));
	read_one();
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_FILEMARK);
	expect_text("three");
	rig_close(&rig);
	rig.session.place = (struct pmt_place){ .generation = 1 };
	open_spec("mirror(mem:a,mem:b)");
	expect_text("one");
	expect_text("two");
}
END_TEST

/* Of two kinds, of two lengths, and an end; the second one has the other. */
START_TEST(differences_of_all_kinds)
{
	static const struct {
		const char *first, *second, *text;
	} kinds[] = {
		{ "x", "", "copy 1 (mem:a) has 1 bytes, copy 2 (mem:b) a filemark" },
		{ "", "x", "copy 1 (mem:a) has a filemark, copy 2 (mem:b) 1 bytes" },
		{ "same", "same and more", "has 4 bytes, copy 2 (mem:b) 13 bytes" },
		{ "x", NULL, "copy 1 (mem:a) has 1 bytes, copy 2 (mem:b) the end of data" },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		cut_to(a, 0);
		cut_to(b, 0);
		record(a, "begin", kinds[i].first, NULL);
		record(b, "begin", kinds[i].second, NULL);
		open_spec("mirror(mem:a,mem:b)?verify=yes&twins=any");
		expect_text("begin");
		read_one();
		ck_sense(PMT_KEY_MEDIUM, 0x1d, 0);
		ck_assert_msg(strstr(rig.event, kinds[i].text) != NULL, "%s", rig.event);
		rig_close(&rig);
		rig.session.place = (struct pmt_place){ .generation = 1 };
	}
}
END_TEST

/* Of three the two that agree, also where the reader is the other one. */
START_TEST(most_copies_decide)
{
	struct mem_medium *c = mem_medium("c");

	write_and_rewind("mirror(mem:a,mem:b,mem:c)?verify=yes");
	a->volume.records[0].data[0] = 'X';
	c->volume.records[1].data[0] = 'X';
	expect_text("one");
	ck_assert_uint_eq(last_event, PMT_EVENT_BAD_BLOCK);
	ck_assert_str_eq(rig.event, "copy 1 (mem:a) has a bad block 0: copy 2 (mem:b) has 3 bytes, "
			 "copy 1 (mem:a) 3 bytes, the first that differs is byte 0");
	expect_text("two");
	ck_bad(0, 1, 0);
	ck_bad(1, 0, PMT_UNKNOWN);
	ck_bad(2, 1, 1);
	ck_assert_int_eq(status_number(NULL, "differences"), 0);
	/* Not told twice. */
	rig.events = 0;
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	expect_text("one");
	ck_assert_uint_eq(rig.events, 0);
	ck_bad(0, 1, 0);
}
END_TEST

START_TEST(verified_by_those_that_can_read)
{
	struct mem_medium *c = mem_medium("c");

	write_and_rewind("mirror(fault?op=read&at=0&count=0&error=medium|mem:a,mem:b,mem:c)"
			 "?verify=yes");
	expect_text("one");
	ck_assert_str_eq(rig.event, "copy 1 (fault?op=read&at=0&count=0&error=medium|mem:a) has a "
			 "bad block 0: sense key 3, 0c/00");
	ck_bad(0, 1, 0);
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	/* Of the two that are left nobody knows. */
	c->volume.records[0].data[0] = 'X';
	read_one();
	ck_sense(PMT_KEY_MEDIUM, 0x1d, 0);
}
END_TEST

START_TEST(verified_where_none_can_read)
{
	write_and_rewind("mirror(fault?op=read&at=1&count=0&error=medium|mem:a,"
			 "fault?op=read&at=1&count=0&error=hardware|mem:b)?verify=yes");
	expect_text("one");
	read_one();
	ck_assert_int_eq(rig.result.status, PMT_STATUS_CHECK);
	ck_assert(rig.result.key == PMT_KEY_MEDIUM || rig.result.key == PMT_KEY_HARDWARE);
	ck_bad(0, 1, 1);
	ck_bad(1, 1, 1);
}
END_TEST

START_TEST(verified_in_order)
{
	char text[32];

	a->jitter = 200;
	b->jitter = 400;
	open_spec("mirror(mem:a,mem:b)?verify=yes");
	for (int i = 0; i < 20; i++) {
		snprintf(text, sizeof(text), "record %d", i);
		ck_good(rig_write(&rig, text));
	}
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	for (int i = 0; i < 22; i++)
		line_submit((struct pmt_command){ .op = PMT_OP_READ, .length = 64 });
	ck_assert_ptr_eq(line_wait(), &line.requests[20]);
	ck_assert_str_eq(line.data[7], "record 7");
	ck_assert_str_eq(line.data[19], "record 19");
	rig.place = (struct pmt_place){ .generation = 1, .lbn = 4, .block = 4 };
	for (int i = 0; i < 10; i++)
		line_submit((struct pmt_command){ .op = PMT_OP_READ, .length = 64 });
	rig.drive->ops->cancel(rig.drive, rig.number);
	ck_assert_ptr_null(line_wait());
	rig.place = (struct pmt_place){ .generation = 1, .lbn = 4, .block = 4 };
	expect_text("record 4");
}
END_TEST

START_TEST(verified_blocks)
{
	struct pmt_command blocks = { .op = PMT_OP_READ, .length = 12, .block_size = 4 };
	struct mem_medium *c = mem_medium("c");
	char data[12];

	open_spec("mirror(mem:a,mem:b,mem:c)?verify=yes");
	blocks.op = PMT_OP_WRITE;
	blocks.place = rig.place;
	ck_good(rig_do(&rig, blocks, "aaaabbbbcccc"));
	ck_good(rig_marks(&rig, 1));
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	a->volume.records[1].data[0] = 'X';
	blocks.op = PMT_OP_READ;
	blocks.place = rig.place;
	ck_good(rig_do(&rig, blocks, data));
	ck_assert_mem_eq(data, "aaaabbbbcccc", 12);
	ck_good(rig_locate(&rig, 2));
	c->volume.records[2].data[3] = 'X';
	blocks.place = rig.place;
	rig_do(&rig, blocks, data);
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_FILEMARK);
	ck_assert_int_eq(rig.result.residue, 2);
	ck_assert_mem_eq(data, "cccc", 4);
	ck_bad(2, 1, 2);
}
END_TEST

/* Bad blocks */

START_TEST(what_was_not_read_is_noted)
{
	const char *const set = "mirror(fault?op=read&at=1&count=0&error=medium|mem:a,"
				"fault?op=read&at=3&count=0&error=medium|mem:b)";

	write_and_rewind(set);
	expect_text("one");
	expect_text("two");
	ck_assert_uint_eq(last_event, PMT_EVENT_BAD_BLOCK);
	ck_bad(0, 1, 1);
	ck_bad(1, 0, PMT_UNKNOWN);
	read_one();
	expect_text("three");
	ck_bad(1, 1, 3);
	/* What is overwritten is new. */
	ck_good(rig_locate(&rig, 2));
	ck_good(write_positioned("2"));
	ck_bad(0, 1, 1);
	ck_bad(1, 0, PMT_UNKNOWN);
	/* And so is another cartridge. */
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	ck_bad(0, 0, PMT_UNKNOWN);
}
END_TEST

static char said[1000];

static void listen_to(int priority, const char *message)
{
	(void)priority;
	if (strstr(message, "has bad blocks"))
		snprintf(said, sizeof(said), "%s", message);
}

/* Who serves them next begins with none. */
START_TEST(bad_blocks_are_told_at_the_end)
{
	write_and_rewind("mirror(mem:a,mem:b,mem:c)?verify=yes");
	b->volume.records[1].data[0] = 'X';
	b->volume.records[3].data[0] = 'X';
	expect_text("one");
	expect_text("two");
	read_one();
	expect_text("three");
	ck_bad(1, 2, 3);
	pmt_log_set_handler(listen_to);
	rig_close(&rig);
	ck_assert_str_eq(said, "copy 2 (mem:b) has bad blocks, 2, which the next server has to "
			 "find again: 1 3");
	said[0] = '\0';
	rig.session.place = (struct pmt_place){ .generation = 1 };
	open_spec("mirror(mem:a,mem:b,mem:c)?verify=yes");
	ck_bad(1, 0, PMT_UNKNOWN);
	rig_close(&rig);
	ck_assert_str_eq(said, "");
	rig.session.place = (struct pmt_place){ .generation = 1 };
	open_spec("mirror(mem:a,mem:b,mem:c)?verify=yes");
}
END_TEST

/* No more than so many are kept, and all are counted. */
START_TEST(many_bad_blocks)
{
	struct mem_medium *c = mem_medium("c");

	open_spec("mirror(mem:a,mem:b,mem:c)?verify=yes");
	for (int i = 0; i < 40; i++)
		ck_good(rig_write(&rig, "x"));
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	for (int i = 0; i < 40; i++)
		c->volume.records[i].data[0] = 'y';
	for (int i = 0; i < 40; i++)
		expect_text("x");
	ck_bad(2, 40, 31);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("verify");
	TCase *tests = tcase_create("verify");

	tcase_add_checked_fixture(tests, mirrorrig_setup, mirrorrig_teardown);
	tcase_add_test(tests, all_copies_read_each_record);
	tcase_add_test(tests, a_difference_is_an_error);
	tcase_add_test(tests, differences_of_all_kinds);
	tcase_add_test(tests, most_copies_decide);
	tcase_add_test(tests, verified_by_those_that_can_read);
	tcase_add_test(tests, verified_where_none_can_read);
	tcase_add_test(tests, verified_in_order);
	tcase_add_test(tests, verified_blocks);
	tcase_add_test(tests, what_was_not_read_is_noted);
	tcase_add_test(tests, bad_blocks_are_told_at_the_end);
	tcase_add_test(tests, many_bad_blocks);
	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
