// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/mirror/twins.c: sets that are refused at load, and those that are not. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "mirrorrig.h"
#include "suite.h"

static void ck_refused(const char *why)
{
	unsigned int a_had = a->written, b_had = b->written;

	last_event = rig.events = 0;
	ck_assert_int_eq(rig_open(&rig, "mirror(mem:a,mem:b)?policy=degrade"), -EMEDIUMTYPE);
	ck_assert_uint_eq(last_event, PMT_EVENT_SET_REFUSED);
	ck_assert_uint_eq(rig.events, 1);
	ck_assert_msg(strstr(rig.event, why) != NULL, "%s", rig.event);
	ck_assert_ptr_nonnull(strstr(rig.event, "twins=any"));
	ck_assert_uint_eq(a->written, a_had);
	ck_assert_uint_eq(b->written, b_had);
}

START_TEST(ends_of_no_twins_are_refused)
{
	record(a, "one", "two", "", NULL);
	record(b, "one", "two", NULL);
	ck_refused("copy 1 (mem:a) ends at block 3, copy 2 (mem:b) at block 2");
	/* A blank one beside it, too. */
	cut_to(b, 0);
	ck_refused("copy 2 (mem:b) at block 0");
	open_spec("mirror(mem:a,mem:b)?twins=any");
	expect_text("one");
}
END_TEST

START_TEST(other_beginnings_are_refused)
{
	char longer[200] = "";

	record(a, "one", "two", NULL);
	record(b, "ONE", "two", NULL);
	ck_refused("copy 1 (mem:a) begins with another block than copy 2 (mem:b)");
	record(b, "one, and more", NULL);
	cut_to(b, 1);
	cut_to(a, 1);
	ck_refused("begins");
	record(b, "", NULL);
	ck_refused("begins");
	record(a, "", NULL);
	open_spec("mirror(mem:a,mem:b)");
	ck_good(rig_do(&rig, (struct pmt_command){ .op = PMT_OP_TEST, .place = {
		.generation = 1, .lbn = PMT_UNKNOWN, .file = PMT_UNKNOWN, .block = PMT_UNKNOWN } },
		       NULL));
	ck_assert_uint_eq(rig.result.place.lbn, 0);
	rig_close(&rig);
	memset(longer, 'x', sizeof(longer) - 1);
	record(a, longer, NULL);
	longer[100] = 'y';
	record(b, longer, NULL);
	ck_refused("begins");
}
END_TEST

/* The unit has forgotten what it was using, and where it stood there. */
START_TEST(refused_behind_an_abort)
{
	const struct pmt_place lost = { .generation = 1, .lbn = PMT_UNKNOWN,
					.file = PMT_UNKNOWN, .block = PMT_UNKNOWN };

	record(a, "one", "two", NULL);
	record(b, "one", "two", "three", NULL);
	rig.session.place = lost;
	ck_refused("copy 1 (mem:a) ends at block 2, copy 2 (mem:b) at block 3");
	cut_to(b, 2);
	b->volume.records[0].data[0] = 'O';
	ck_refused("begins");
	b->volume.records[0].data[0] = 'o';
	open_spec("mirror(mem:a,mem:b)");
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	expect_text("one");
	rig_close(&rig);
	/* What waits was issued for these. */
	cut_to(b, 1);
	rig.session.place = lost;
	rig.session.waiting = true;
	open_spec("mirror(mem:a,mem:b)");
}
END_TEST

/* Longer than what is looked at. */
START_TEST(a_long_beginning)
{
	static char data[100000];
	struct pmt_command cmd = { .op = PMT_OP_WRITE, .length = sizeof(data) };

	open_spec("mirror(mem:a,mem:b)");
	cmd.place = rig.place;
	ck_good(rig_do(&rig, cmd, data));
	rig_close(&rig);
	rig.session.place = (struct pmt_place){ .generation = 1 };
	open_spec("mirror(mem:a,mem:b)");
	rig_close(&rig);
	b->volume.records[0].data[60000] = 1;
	ck_refused("begins");
}
END_TEST

START_TEST(what_is_not_refused)
{
	record(a, "one", "two", "", NULL);
	record(b, "one", "two", NULL);
	/* Nobody knows where it ends. */
	b->no_eod = true;
	open_spec("mirror(mem:a,mem:b)");
	rig_close(&rig);
	b->no_eod = false;
	/* The unit has them in use: an earlier server may have begun something. */
	rig.session.medium[0] = a->id;
	rig.session.medium[1] = b->id;
	open_spec("mirror(mem:a,mem:b)");
	ck_good(rig_op(&rig, PMT_OP_TEST));
	rig_close(&rig);
	memset(rig.session.medium, 0, sizeof(rig.session.medium));
	/* One was dropped, and is known to be. */
	rig.session.cookie = 2;
	open_spec("mirror(mem:a,mem:b)?policy=degrade");
	rig_close(&rig);
	rig.session.cookie = rig.events = 0;
	/* What cannot be read is left to who reads. */
	cut_to(b, 0);
	record(b, "ONE", "two", "", NULL);
	open_spec("mirror(mem:a,fault?op=read&at=0&count=0&error=medium|mem:b)");
	expect_text("one");
	ck_assert_uint_eq(rig.events, 0);
}
END_TEST

/* Those that come while the unit is served. */
START_TEST(no_twins_are_refused_by_load)
{
	open_spec("mirror(mem:a,mem:b)");
	write_some();
	ck_good(rig_op(&rig, PMT_OP_TEST));
	b->volume.n = 2;	/* for a while */
	rig.events = 0;
	rig_op(&rig, PMT_OP_LOAD);
	ck_sense(PMT_KEY_NOT_READY, 0x04, 0x03);
	ck_assert_uint_eq(rig.result.medium_flags, 0);
	for (int i = 0; i < 3; i++) {
		rig_op(&rig, PMT_OP_TEST);
		ck_sense(PMT_KEY_NOT_READY, 0x04, 0x03);
	}
	ck_assert_uint_eq(rig.events, 1);
	ck_assert_uint_eq(last_event, PMT_EVENT_SET_REFUSED);
	b->volume.n = 4;
	ck_good(rig_op(&rig, PMT_OP_LOAD));
	ck_assert_uint_eq(rig.result.medium[1], b->id);
	expect_text("one");
	/* The next are told again. */
	b->volume.records[0].data[0] = 'X';
	rig_op(&rig, PMT_OP_LOAD);
	ck_sense(PMT_KEY_NOT_READY, 0x04, 0x03);
	ck_assert_uint_eq(rig.events, 2);
}
END_TEST

START_TEST(next_volumes_that_are_no_twins)
{
	a->stacker = b->stacker = true;
	open_spec("mirror(mem:a,mem:b)");
	write_some();
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	ck_good(rig_op(&rig, PMT_OP_TEST));	/* both are blank */
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	b->volume = b->gone[0];
	b->gone[0] = (struct mem_volume){ NULL, 0 };
	rig_op(&rig, PMT_OP_LOAD);
	ck_sense(PMT_KEY_NOT_READY, 0x04, 0x03);
	/* Others in their place. */
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_good(rig_write(&rig, "next"));
	ck_twins(1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("twins");
	TCase *tests = tcase_create("twins");

	tcase_add_checked_fixture(tests, mirrorrig_setup, mirrorrig_teardown);
	tcase_add_test(tests, ends_of_no_twins_are_refused);
	tcase_add_test(tests, other_beginnings_are_refused);
	tcase_add_test(tests, refused_behind_an_abort);
	tcase_add_test(tests, a_long_beginning);
	tcase_add_test(tests, what_is_not_refused);
	tcase_add_test(tests, no_twins_are_refused_by_load);
	tcase_add_test(tests, next_volumes_that_are_no_twins);
	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
