// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The mirror: each rule at the heads of the files of lib/mirror by name, and all by
 * chance against a model.  PMT_SEED repeats a run of the latter, PMT_STEPS says
 * how long it is.
 */
#include <check.h>
#include <errno.h>
#include <json-c/json.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "mirrorrig.h"
#include "suite.h"

#define COPIES 4

/* Writing */

START_TEST(all_copies_get_all)
{
	open_spec("mirror(mem:a,mem:b)");
	write_some();
	ck_twins(4);
	ck_assert_uint_eq(rig.place.lbn, 4);
	ck_assert_uint_eq(rig.place.file, 1);
	ck_assert_uint_eq(rig.place.block, 1);
}
END_TEST

START_TEST(settles)
{
	open_spec("mirror(mem:a,mem:b)");
	ck_assert(rig_settles(&rig));
}
END_TEST

START_TEST(pipelined_writes_are_in_order)
{
	char text[16];

	a->jitter = 200;
	b->jitter = 50;
	open_spec("mirror(mem:a,mem:b)");
	for (int k = 0; k < 4; k++) {
		for (int i = 0; i < DEPTH; i++) {
			snprintf(text, sizeof(text), "record %d", k * DEPTH + i);
			line_write(text);
		}
		ck_assert_ptr_null(line_wait());
	}
	ck_twins(4 * DEPTH);
	ck_assert_int_eq(memcmp(a->volume.records[200].data, "record 200", 10), 0);
}
END_TEST

START_TEST(more_than_the_depth_waits)
{
	rig.session.depth = 2;
	open_spec("mirror(mem:a,mem:b)");
	for (int i = 0; i < 20; i++)
		line_write("x");
	ck_assert_ptr_null(line_wait());
	ck_twins(20);
}
END_TEST

START_TEST(early_warning_of_any)
{
	struct json_object *object, *ew, *value;

	open_spec("mirror(mem:a,limit?capacity=10&ew=5|mem:b)");
	ck_good(rig_write(&rig, "123"));
	ck_assert_uint_eq(rig.result.sense, 0);
	ck_assert_uint_eq(rig.result.room, 2);
	ck_good(rig_write(&rig, "45"));
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	ck_assert_uint_eq(rig.result.ascq, 2);
	ck_assert_uint_eq(rig.warnings, 1);
	ck_assert_uint_eq(rig.warned.lbn, 1);
	object = status();
	ck_assert(json_object_object_get_ex(object, "first_ew", &ew));
	json_object_object_get_ex(ew, "copy", &value);
	ck_assert_int_eq(json_object_get_int(value), 2);
	json_object_object_get_ex(ew, "lbn", &value);
	ck_assert_int_eq(json_object_get_int(value), 1);
	json_object_put(object);
}
END_TEST

/* The second copy is full long after the first has run ahead. */
START_TEST(physical_end_cuts_back_those_ahead)
{
	struct pmt_request *check;

	open_spec("mirror(mem:a,delay?op=write&ms=20|limit?capacity=5|mem:b)?policy=degrade");
	for (int i = 0; i < 10; i++)
		line_write("xy");
	check = line_wait();
	ck_assert_ptr_eq(check, &line.requests[2]);
	ck_result(check->result, PMT_KEY_OVERFLOW, 0x00, 0x02);
	ck_assert_uint_eq(check->result.sense, PMT_SENSE_EOM);
	ck_assert_int_eq(check->result.residue, 2);
	ck_assert_uint_eq(check->result.place.lbn, 2);
	ck_assert_uint_gt(a->written, 2);
	ck_assert_uint_eq(a->cuts, 1);
	ck_twins(2);
	ck_assert_uint_eq(rig.events, 0);
	ck_good(rig_write(&rig, "z"));
	ck_twins(3);
}
END_TEST

/*
 * Where the one that is full ends there, and the other was not let begin: on one processor
 * that happens now and then.
 */
START_TEST(physical_end_where_others_have_not_begun)
{
	cpu_set_t one;

	sched_getaffinity(0, sizeof(one), &one);
	for (int i = 0, found = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &one) && found++)
			CPU_CLR(i, &one);
	sched_setaffinity(0, sizeof(one), &one);
	open_spec("mirror(limit?capacity=5|mem:a,mem:b)");
	for (int i = 0; i < 300; i++) {
		ck_good(rig_op(&rig, PMT_OP_REWIND));
		ck_good(write_positioned("xy"));
		ck_good(rig_write(&rig, "z"));
		ck_good(rig_locate(&rig, 1));
		ck_assert_uint_eq(write_positioned("wxyz"), PMT_STATUS_CHECK);
		ck_assert_uint_eq(rig.result.key, PMT_KEY_OVERFLOW);
		ck_twins(1);
	}
}
END_TEST

/* The full copy is fast: the others have still to write what is before. */
START_TEST(physical_end_lets_those_behind_catch_up)
{
	struct pmt_request *check;

	open_spec("mirror(limit?capacity=9|mem:a,delay?op=write&ms=10|mem:b)");
	for (int i = 0; i < 10; i++)
		line_write("xy");
	check = line_wait();
	ck_assert_ptr_eq(check, &line.requests[4]);
	ck_result(check->result, PMT_KEY_OVERFLOW, 0x00, 0x02);
	ck_twins(4);
}
END_TEST

START_TEST(part_of_fixed_blocks_on_all)
{
	struct pmt_command cmd = { .op = PMT_OP_WRITE, .length = 16, .block_size = 2 };
	struct pmt_request *check;

	open_spec(_i ? "mirror(limit?capacity=26|mem:a,delay?op=write&ms=20|mem:b)" :
		       "mirror(delay?op=write&ms=20|limit?capacity=26|mem:a,mem:b)");
	for (int i = 0; i < 4; i++) {
		memset(line.data[line.n], 'a' + i, 16);
		line_submit(cmd);
	}
	check = line_wait();
	ck_assert_ptr_eq(check, &line.requests[1]);
	ck_assert_int_eq(check->result.residue, 3);
	ck_assert_uint_eq(check->result.place.lbn, 13);
	ck_twins(13);
}
END_TEST

START_TEST(marks_that_fit_on_one_only)
{
	open_spec("mirror(mem:a,limit?capacity=10&mark=4|mem:b)");
	rig_marks(&rig, 3);
	ck_sense(PMT_KEY_OVERFLOW, 0x00, 0x02);
	ck_assert_int_eq(rig.result.residue, 1);
	ck_assert_uint_eq(rig.result.place.lbn, 2);
	ck_assert_uint_eq(rig.result.place.file, 2);
	ck_twins(2);
}
END_TEST

START_TEST(two_exceptions_the_earlier_counts)
{
	struct pmt_request *check;

	open_spec("mirror(limit?capacity=11|mem:a,"
		  "delay?op=write&ms=10|limit?capacity=7|mem:b)");
	for (int i = 0; i < 10; i++)
		line_write("xy");
	check = line_wait();
	ck_assert_ptr_eq(check, &line.requests[3]);
	ck_twins(3);
}
END_TEST

START_TEST(what_cannot_be_cut_is_longer)
{
	open_spec("mirror(mem:a,delay?op=write&ms=20|limit?capacity=5|mem:b)");
	a->cut_error = -EIO;
	for (int i = 0; i < 10; i++)
		line_write("xy");
	ck_assert_ptr_nonnull(line_wait());
	ck_assert_uint_gt(a->volume.n, 2);
	ck_assert_str_eq(state_of(0), "longer");
	ck_assert_uint_eq(rig.events, 1);
	ck_assert_ptr_nonnull(strstr(rig.event, "copy 1 (mem:a) is longer than the others"));
	ck_good(rig_write(&rig, "z"));
	ck_twins(3);
	ck_assert_str_eq(state_of(0), "ok");
}
END_TEST

/* A server that comes when commands wait, and the unit's cookie. */
static void succeed(const char *text, uint32_t cookie)
{
	uint64_t lbn = rig.place.lbn;

	rig_close(&rig);
	rig.session.cookie = cookie;
	rig.session.waiting = true;
	reopen_at(text, lbn);
}

static void leave(void)
{
	rig.session.cookie = 0;
	rig.session.waiting = false;
}

/* What a copy has more, as its server has just before been killed. */
static void run_ahead(const char *text)
{
	struct pmt_place before = rig.place;

	rig_close(&rig);
	rig.session.place = before;
	ck_assert_int_eq(rig_open(&rig, "mem:a"), 0);
	ck_good(write_positioned(text));
	rig.place = before;
}

/* The application has positioned, and one copy has done its write already. */
START_TEST(one_has_begun_a_write_that_waits)
{
	uint32_t cookie;

	open_spec("mirror(mem:a,mem:b)");
	write_some();
	ck_good(rig_locate(&rig, 4));
	cookie = rig.result.cookie;
	run_ahead("next");
	succeed("mirror(mem:a,mem:b)", cookie);
	ck_good(write_positioned("next"));
	ck_twins(5);
	ck_assert_int_eq(memcmp(a->volume.records[4].data, "next", 4), 0);
	leave();
}
END_TEST

/* The same, and nothing waits: one has been written to elsewhere. */
START_TEST(one_was_written_to_elsewhere)
{
	uint32_t cookie;

	open_spec("mirror(mem:a,mem:b)");
	write_some();
	ck_good(rig_locate(&rig, 4));
	cookie = rig.result.cookie;
	run_ahead("more");
	succeed("mirror(mem:a,mem:b)", cookie);
	rig_close(&rig);
	rig.session.waiting = false;
	reopen_at("mirror(mem:a,mem:b)", 4);
	write_positioned("next");
	ck_sense(PMT_KEY_NOT_READY, 0x04, 0x03);
	ck_assert_uint_eq(a->volume.n, 5);
	leave();
}
END_TEST

/* One copy had it of an earlier server, and on the other it does not fit. */
START_TEST(what_an_earlier_server_wrote_ahead_is_cut)
{
	static const char spec[] =
		"mirror(delay?op=write&ms=50|mem:a,limit?capacity=12|mem:b)";
	uint32_t cookie;

	open_spec(spec);
	write_some();
	ck_good(rig_locate(&rig, 4));
	cookie = rig.result.cookie;
	run_ahead("too much");
	succeed(spec, cookie);
	write_positioned("too much");
	ck_sense(PMT_KEY_OVERFLOW, 0x00, 0x02);
	ck_twins(4);
	leave();
}
END_TEST

/* A write that failed, and was written all the same. */
START_TEST(failed_behind_the_write)
{
	open_spec("mirror(mem:a,fault?op=write&at=4&when=after&error=medium|mem:b)");
	write_some();
	rig_write(&rig, "x");
	ck_sense(PMT_KEY_MEDIUM, 0x0c, 0);
	ck_assert_uint_eq(rig.place.lbn, 4);
	ck_twins(4);
	ck_good(rig_locate(&rig, 4));
	ck_good(write_positioned("y"));
	ck_twins(5);
}
END_TEST

/* The end is where it is wanted, also while the longer copy reads. */
START_TEST(the_end_of_a_longer_copy)
{
	char buffer[64];

	open_spec("mirror(mem:a,delay?op=write&ms=20|limit?capacity=5|"
		  "fault?op=read&at=1&error=medium|mem:b)");
	a->cut_error = -EIO;
	for (int i = 0; i < 10; i++)
		line_write("xy");
	ck_assert_ptr_nonnull(line_wait());
	ck_assert_uint_gt(a->volume.n, 2);
	ck_good(rig_space(&rig, PMT_SPACE_EOD, 0));
	ck_assert_uint_eq(rig.place.lbn, 2);
	ck_good(rig_locate(&rig, 1));
	for (int i = 0; i < 4; i++)
		line_submit((struct pmt_command){ .op = PMT_OP_READ, .length = 64 });
	ck_assert_ptr_eq(line_wait(), &line.requests[1]);
	ck_result(line.requests[1].result, PMT_KEY_BLANK, 0x00, 0x05);
	ck_good(rig_locate(&rig, 1));
	ck_good(rig_space(&rig, PMT_SPACE_EOD, 0));
	ck_assert_uint_eq(rig.place.lbn, 2);
	rig_read(&rig, buffer, sizeof(buffer));
	ck_sense(PMT_KEY_BLANK, 0, 5);
}
END_TEST

/* A mark is not there, either. */
START_TEST(the_mark_of_a_longer_copy)
{
	open_spec("mirror(mem:a,delay?ms=20|limit?capacity=5&mark=5|"
		  "fault?op=read&at=1&error=medium|mem:b)");
	a->cut_error = -EIO;
	line_write("xy");
	line_write("xy");
	line_submit((struct pmt_command){ .op = PMT_OP_WRITE_FILEMARKS, .count = 1 });
	ck_assert_ptr_nonnull(line_wait());
	ck_assert_str_eq(state_of(0), "longer");
	ck_assert_uint_eq(a->volume.n, 3);
	ck_assert_uint_eq(b->volume.n, 2);
	ck_good(rig_locate(&rig, 1));
	for (int i = 0; i < 2; i++)
		line_submit((struct pmt_command){ .op = PMT_OP_READ, .length = 64 });
	ck_assert_ptr_eq(line_wait(), &line.requests[1]);
	ck_result(line.requests[1].result, PMT_KEY_BLANK, 0x00, 0x05);
	ck_assert_int_eq(status_number(NULL, "fallbacks"), 1);
}
END_TEST

/* Where a copy ended before it was cut is no end: nobody else is asked what is there. */
START_TEST(the_end_is_where_all_were_cut)
{
	struct pmt_command mark = { .op = PMT_OP_WRITE_FILEMARKS, .count = 1,
				    .flags = PMT_CMD_POSITIONED };
	char buffer[64];

	open_spec("mirror(delay?op=marks&ms=20|limit?capacity=5&mark=5|mem:b,mem:a)");
	ck_good(rig_write(&rig, "xy"));
	ck_good(rig_write(&rig, "xy"));
	mark.place = rig.place;
	ck_assert_int_eq(rig_do(&rig, mark, NULL), PMT_STATUS_CHECK);
	ck_twins(2);
	rig_read(&rig, buffer, sizeof(buffer));
	ck_sense(PMT_KEY_BLANK, 0, 5);
	ck_assert_int_eq(status_number(NULL, "fallbacks"), 0);
}
END_TEST

/* Failed copies */

START_TEST(policy_all_tells_the_error)
{
	struct pmt_request *check;

	open_spec("mirror(mem:a,delay?op=write&ms=10|fault?op=write&at=3&error=medium|mem:b)");
	for (int i = 0; i < 8; i++)
		line_write("x");
	check = line_wait();
	ck_assert_ptr_eq(check, &line.requests[3]);
	ck_result(check->result, PMT_KEY_MEDIUM, 0x0c, 0x00);
	ck_assert_uint_eq(check->result.place.lbn, 3);
	ck_assert_int_eq(check->result.residue, 1);
	ck_twins(3);
	ck_assert_uint_eq(failed_copies, 0);
	ck_good(rig_write(&rig, "again"));
	ck_twins(4);
}
END_TEST

START_TEST(degrade_drops_and_goes_on)
{
	open_spec("mirror(mem:a,delay?op=write&ms=5|fault?op=write&at=3&error=hardware|mem:b)"
		  "?policy=degrade");
	for (int i = 0; i < 8; i++)
		line_write("x");
	ck_assert_ptr_null(line_wait());
	ck_assert_uint_eq(a->volume.n, 8);
	ck_assert_uint_eq(b->volume.n, 3);
	ck_assert_uint_eq(failed_copies, 2);
	ck_assert_str_eq(state_of(1), "failed");
	ck_assert_uint_eq(rig.events, 1);
	ck_good(rig_marks(&rig, 1));
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	ck_assert_uint_eq(b->volume.n, 3);
}
END_TEST

/*
 * The copy that was dropped holds an older recording, and more of it: a mirror
 * that is made anew over the same unit neither reads from it nor writes on it.
 */
START_TEST(dropped_stays_dropped_for_the_next_server)
{
	open_spec("mirror(mem:a,mem:b)");
	for (int i = 0; i < 6; i++)
		ck_good(rig_write(&rig, "old"));
	rig_close(&rig);
	rig.session.place.lbn = rig.session.place.file = rig.session.place.block = 0;
	open_spec("mirror(mem:a,fault?op=write&error=hardware&count=100|mem:b)"
		  "?policy=degrade");
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	ck_good(write_positioned("new"));
	ck_good(rig_write(&rig, "new"));
	ck_assert_uint_eq(b->volume.n, 6);
	ck_assert_uint_eq(rig.result.cookie & 2, 2);
	rig.session.cookie = rig.result.cookie;
	reopen_at("mirror(mem:a,mem:b)?policy=degrade", 2);
	ck_assert_str_eq(state_of(1), "failed");
	ck_good(rig_write(&rig, "new"));
	ck_assert_uint_eq(rig.result.cookie & 2, 2);
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	expect_text("new");
	ck_assert_uint_eq(a->volume.n, 3);
	ck_assert_uint_eq(b->volume.n, 6);
	rig.session.cookie = 0;
}
END_TEST

/* One that comes to the unit in the middle of a recording holds something else. */
START_TEST(a_strange_copy_takes_no_part)
{
	open_spec("mem:a");
	for (int i = 0; i < 2; i++)
		ck_good(rig_write(&rig, "new"));
	ck_good(rig_op(&rig, PMT_OP_TEST));
	memcpy(rig.session.medium, rig.result.medium, sizeof(rig.session.medium));
	rig_close(&rig);
	rig.session.place.lbn = 2;
	ck_assert_int_eq(rig_open(&rig, "mirror(mem:a,mem:b)"), -ESTALE);
	reopen_at("mirror(mem:a,mem:b)?policy=degrade", 2);
	ck_assert_str_eq(state_of(1), "failed");
	ck_good(rig_write(&rig, "new"));
	ck_assert_uint_eq(a->volume.n, 3);
	ck_assert_uint_eq(b->volume.n, 0);
}
END_TEST

/* After an error on the longer copy the shorter one does not end the reading. */
START_TEST(reading_goes_on_to_the_longest_end)
{
	open_spec("mirror(mem:a,mem:b)");
	for (int i = 0; i < 3; i++)
		ck_good(rig_write(&rig, "both"));
	rig_close(&rig);
	rig.session.place.lbn = 3;
	rig.session.place.block = 3;
	open_spec("mem:a");
	for (int i = 0; i < 3; i++)
		ck_good(rig_write(&rig, "one"));
	rig_close(&rig);
	rig.session.place.lbn = rig.session.place.block = 0;
	open_spec("mirror(fault?op=read&at=1&error=medium|mem:a,mem:b)?twins=any");
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	for (int i = 0; i < 3; i++)
		expect_text("both");
	for (int i = 0; i < 3; i++)
		expect_text("one");
}
END_TEST

/* The other copy may have less: what was read says nothing of its room. */
START_TEST(reading_tells_no_room)
{
	open_spec("mirror(limit?capacity=1000|mem:a,limit?capacity=10|mem:b)");
	ck_good(rig_write(&rig, "123"));
	ck_assert_uint_le(rig.result.room, 7);
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	ck_assert_uint_le(rig.result.room, 10);
	expect_text("123");
	ck_assert_uint_eq(rig.result.room, 0);
}
END_TEST

START_TEST(degrade_keeps_min)
{
	open_spec("mirror(mem:a,fault?op=write&error=medium|mem:b)?policy=degrade&min=2");
	rig_write(&rig, "x");
	ck_sense(PMT_KEY_MEDIUM, 0x0c, 0);
	ck_twins(0);
	ck_assert_uint_eq(failed_copies, 0);
	ck_good(rig_write(&rig, "x"));
	ck_twins(1);
}
END_TEST

START_TEST(what_fails_everywhere_drops_nobody)
{
	struct pmt_request *check;

	a->protected = b->protected = true;
	open_spec("mirror(mem:a,delay?ms=10|mem:b)?policy=degrade");
	line_write("x");
	line_write("y");
	check = line_wait();
	ck_assert_ptr_nonnull(check);
	ck_result(check->result, PMT_KEY_PROTECT, 0x27, 0);
	ck_assert_uint_eq(failed_copies, 0);
}
END_TEST

START_TEST(degrade_and_physical_end_at_once)
{
	struct pmt_request *check;

	open_spec("mirror(limit?capacity=3|mem:a,fault?op=write&at=3&error=medium|mem:b)"
		  "?policy=degrade");
	for (int i = 0; i < 8; i++)
		line_write("x");
	check = line_wait();
	ck_assert_ptr_nonnull(check);
	ck_result(check->result, PMT_KEY_OVERFLOW, 0, 2);
	ck_assert_uint_eq(a->volume.n, 3);
	ck_assert_uint_eq(failed_copies & 1, 0);
}
END_TEST

START_TEST(a_copy_that_lost_its_place_fails)
{
	open_spec("mirror(mem:a,mem:b)?policy=degrade");
	ck_good(rig_write(&rig, "x"));
	b->lose_place = true;
	ck_good(rig_write(&rig, "y"));
	ck_good(rig_write(&rig, "z"));
	ck_assert_uint_eq(failed_copies, 2);
	ck_assert_uint_eq(a->volume.n, 3);
}
END_TEST

START_TEST(failure_of_a_medium_command)
{
	open_spec("mirror(mem:a,fault?op=rewind&error=hardware|mem:b)?policy=degrade");
	write_some();
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	ck_assert_uint_eq(failed_copies, 2);
	expect_text("one");
	rig_close(&rig);
	failed_copies = 0;
	rig.session.place.lbn = 4;
	rig.session.place.file = PMT_UNKNOWN;
	open_spec("mirror(mem:a,fault?op=rewind&error=hardware|mem:b)");
	rig_op(&rig, PMT_OP_REWIND);
	ck_sense(PMT_KEY_HARDWARE, 0x44, 0);
	ck_assert_uint_eq(failed_copies, 0);
}
END_TEST

/* One copy had begun to overwrite what the other could not. */
START_TEST(failed_overwriting_leaves_twins)
{
	open_spec("mirror(mem:a,delay?op=write&ms=10|fault?op=write&at=1&after=1&error=medium|"
		  "mem:b)");
	write_some();
	ck_good(rig_locate(&rig, 1));
	write_positioned("new");
	ck_sense(PMT_KEY_MEDIUM, 0x0c, 0);
	ck_assert_uint_eq(rig.place.lbn, 1);
	ck_twins(1);
}
END_TEST

START_TEST(nothing_runs_ahead_but_writes)
{
	a->stacker = b->stacker = true;
	open_spec("mirror(mem:a,delay?op=write&ms=10|limit?capacity=3|mem:b)");
	for (int i = 0; i < 5; i++)
		line_write("x");
	line_submit((struct pmt_command){ .op = PMT_OP_UNLOAD });
	ck_assert_ptr_eq(line_wait(), &line.requests[3]);
	ck_assert_uint_eq(a->n_gone, 0);
	ck_assert_uint_eq(b->n_gone, 0);
	ck_twins(3);
}
END_TEST

/* Reading */

START_TEST(another_copy_answers_what_the_first_cannot)
{
	char buffer[64];

	open_spec("mirror(fault?op=read&at=1&count=0&error=medium|mem:a,mem:b)");
	write_some();
	rig_op(&rig, PMT_OP_REWIND);
	for (int i = 0; i < 3; i++)
		line_submit((struct pmt_command){ .op = PMT_OP_READ, .length = 64 });
	ck_assert_ptr_eq(line_wait(), &line.requests[2]);
	ck_assert_str_eq(line.data[0], "one");
	ck_assert_str_eq(line.data[1], "two");
	ck_assert_uint_eq(line.requests[2].result.sense, PMT_SENSE_FILEMARK);
	expect_text("three");
	rig_read(&rig, buffer, sizeof(buffer));
	ck_sense(PMT_KEY_BLANK, 0, 5);
	ck_assert_uint_eq(rig.events, 1);	/* the bad block */
}
END_TEST

START_TEST(each_may_have_its_own_bad_spot)
{
	open_spec("mirror(fault?op=read&at=0&count=0&error=medium|mem:a,"
		  "fault?op=read&at=1&count=0&error=medium|mem:b)");
	write_some();
	rig_op(&rig, PMT_OP_REWIND);
	expect_text("one");
	expect_text("two");
}
END_TEST

START_TEST(what_no_copy_can_read)
{
	char buffer[8];

	open_spec("mirror(fault?op=read&error=medium|mem:a,fault?op=read&error=hardware|mem:b)");
	write_some();
	rig_op(&rig, PMT_OP_REWIND);
	rig_read(&rig, buffer, sizeof(buffer));
	ck_sense(PMT_KEY_MEDIUM, 0x0c, 0);
	rig.place = (struct pmt_place){ .generation = 1 };
	expect_text("one");
}
END_TEST

START_TEST(space_and_locate_by_another_copy)
{
	open_spec("mirror(fault?op=locate&error=medium|fault?op=space&at=4&error=medium|mem:a,mem:b)");
	write_some();
	ck_good(rig_locate(&rig, 3));
	expect_text("three");
	ck_good(rig_space(&rig, PMT_SPACE_FILEMARKS, -1));
	ck_assert_uint_eq(rig.place.lbn, 2);
}
END_TEST

START_TEST(reads_can_be_cancelled)
{
	unsigned int cancelled = 0;

	a->jitter = 20000;
	open_spec("mirror(mem:a,mem:b)");
	for (int i = 0; i < 10; i++)
		rig_write(&rig, "x");
	rig_op(&rig, PMT_OP_REWIND);
	for (int i = 0; i < 10; i++)
		line_submit((struct pmt_command){ .op = PMT_OP_READ, .length = 8 });
	rig.drive->ops->cancel(rig.drive, rig.number);
	ck_assert_ptr_null(line_wait());
	for (int i = 0; i < 10; i++)
		cancelled += line.requests[i].result.status == PMT_STATUS_CANCELLED;
	ck_assert_uint_ge(cancelled, 8);
	rig.place = (struct pmt_place){ .generation = 1, .lbn = 4, .block = 4 };
	expect_text("x");
}
END_TEST

START_TEST(here_is_where_the_unit_stands)
{
	struct pmt_command here = { .op = PMT_OP_WRITE, .flags = PMT_CMD_HERE, .length = 4 };

	here.place = (struct pmt_place){ .generation = 1, .lbn = PMT_UNKNOWN,
					 .file = PMT_UNKNOWN, .block = PMT_UNKNOWN };
	open_spec("mirror(mem:a,mem:b)");
	rig_do(&rig, here, "here");
	ck_sense(PMT_KEY_ABORTED, 0x3b, 0);
	rig.place = rig.session.place;
	write_some();
	ck_good(rig_locate(&rig, 1));
	ck_good(rig_do(&rig, here, "here"));
	ck_assert_uint_eq(rig.place.lbn, 2);
	ck_twins(2);
}
END_TEST

/* Places and twins */

START_TEST(nothing_is_written_before_all_are_there)
{
	open_spec("mirror(mem:a,mem:b)");
	write_some();
	ck_good(rig_write(&rig, "four"));
	b->volume.n = 2;
	reopen_at("mirror(mem:a,mem:b)", 4);
	rig_write(&rig, "x");
	ck_sense(PMT_KEY_MEDIUM, 0x3b, 0);
	ck_assert_uint_eq(a->volume.n, 5);
	ck_assert_uint_eq(a->written, 5);
	ck_assert_uint_eq(a->cuts, 0);
	ck_assert_uint_eq(b->volume.n, 2);
	reopen_at("mirror(mem:a,mem:b)?policy=degrade", 4);
	ck_good(rig_write(&rig, "x"));
	ck_assert_uint_eq(failed_copies, 2);
	ck_assert_uint_eq(a->volume.n, 5);
	ck_assert_uint_eq(a->written, 6);
	b->volume.n = 5;
}
END_TEST

START_TEST(unfinished_tail_is_cut_by_the_next_write)
{
	open_spec("mem:a");
	write_some();
	ck_good(rig_write(&rig, "ahead"));
	ck_good(rig_write(&rig, "ahead"));
	rig_close(&rig);
	open_spec("mem:b");
	write_some();
	reopen_at("mirror(mem:a,mem:b)", 4);
	ck_good(rig_write(&rig, "next"));
	ck_twins(5);
}
END_TEST

START_TEST(no_twins_are_not_appended_to)
{
	char text[8] = "x";

	open_spec("mem:a");
	write_some();
	rig_close(&rig);
	open_spec("mem:b");
	write_some();
	ck_good(rig_write(&rig, "more"));
	rig_close(&rig);
	rig.session.place.lbn = 0;
	open_spec("mirror(mem:a,mem:b)?twins=any");
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.eod, PMT_UNKNOWN);
	ck_good(rig_locate(&rig, 4));
	expect_text("more");
	ck_good(rig_locate(&rig, 4));
	write_positioned(text);
	ck_sense(PMT_KEY_NOT_READY, 0x04, 0x03);
	ck_assert_uint_eq(a->volume.n, 4);
	ck_assert_uint_eq(b->volume.n, 5);
	ck_good(rig_locate(&rig, 2));
	ck_good(write_positioned(text));
	ck_twins(3);
}
END_TEST

START_TEST(no_twins_may_be_overwritten)
{
	open_spec("mem:a");
	write_some();
	rig_close(&rig);
	open_spec("mirror(mem:a,mem:b)?twins=any");
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	ck_good(write_positioned("new"));
	ck_twins(1);
}
END_TEST

START_TEST(writing_after_reading)
{
	open_spec("mirror(mem:a,mem:b)");
	write_some();
	rig_op(&rig, PMT_OP_REWIND);
	expect_text("one");
	ck_good(write_positioned("changed"));
	ck_twins(2);
	ck_good(rig_space(&rig, PMT_SPACE_RECORDS, -1));
	ck_good(rig_do(&rig, (struct pmt_command){ .op = PMT_OP_ERASE, .place = rig.place,
						   .flags = PMT_CMD_POSITIONED }, NULL));
	ck_twins(1);
}
END_TEST

/* The medium */

START_TEST(test_combines)
{
	b->protected = true;
	open_spec("mirror(mem:a,mem:b)");
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.medium_flags,
			  PMT_MEDIUM_PRESENT | PMT_MEDIUM_PROTECTED);
	ck_assert_uint_eq(rig.result.medium[0], a->id);
	ck_assert_uint_eq(rig.result.medium[1], b->id);
	ck_assert_uint_eq(rig.result.medium[2], 0);
	ck_assert_uint_eq(rig.result.eod, 0);
	rig_close(&rig);
	b->absent = true;
	open_spec("mirror(mem:a,mem:b)?policy=degrade");
	rig_op(&rig, PMT_OP_TEST);
	ck_sense(PMT_KEY_NOT_READY, 0x3a, 0);
	ck_assert_uint_eq(failed_copies, 0);
}
END_TEST

START_TEST(each_copy_knows_its_cartridge)
{
	rig.session.medium[0] = a->id;
	rig.session.medium[1] = b->id;
	open_spec("mirror(mem:a,mem:b)");
	rig_close(&rig);
	ck_assert_int_eq(rig_open(&rig, "mirror(mem:b,mem:a)"), -ESTALE);
	rig.session.medium[0] = a->id + 1;
	ck_assert_int_eq(rig_open(&rig, "mirror(mem:a,mem:b)"), -ESTALE);
	ck_assert_uint_eq(failed_copies, 3);
	failed_copies = 0;
	open_spec("mirror(mem:a,mem:b)?policy=degrade");
	ck_assert_uint_eq(failed_copies, 1);
	ck_good(rig_write(&rig, "x"));
	ck_assert_uint_eq(a->volume.n, 0);
	ck_assert_uint_eq(b->volume.n, 1);
}
END_TEST

START_TEST(many_cartridges_share_the_last_word)
{
	static const char spec[] = "mirror(mem:1,mem:2,mem:3,mem:4,mem:5,mem:6,mem:7)";

	open_spec(spec);
	ck_good(rig_op(&rig, PMT_OP_TEST));
	memcpy(rig.session.medium, rig.result.medium, sizeof(rig.session.medium));
	ck_assert_uint_ne(rig.result.medium[5], 0);
	rig_close(&rig);
	open_spec(spec);
	rig_close(&rig);
	ck_assert_int_eq(rig_open(&rig, "mirror(mem:1,mem:2,mem:3,mem:4,mem:5,mem:7,mem:6)"),
			 -ESTALE);
}
END_TEST

START_TEST(unload_of_one_only_is_finished_by_the_next)
{
	struct pmt_place before;

	a->stacker = b->stacker = true;
	open_spec("mirror(mem:a,mem:b)");
	write_some();
	before = rig.place;
	b->unload_error = -EIO;
	rig_op(&rig, PMT_OP_UNLOAD);
	ck_assert_int_eq(rig.result.status, PMT_STATUS_CHECK);
	ck_assert_uint_eq(rig.place.generation, 1);
	ck_assert_uint_eq(a->n_gone, 1);
	rig_close(&rig);
	rig.session.place = before;
	rig.session.medium[0] = a->id - 0x10000;
	rig.session.medium[1] = b->id;
	open_spec("mirror(mem:a,mem:b)");
	ck_good(rig_marks(&rig, 1));
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	ck_assert_uint_eq(rig.place.generation, 2);
	ck_assert_uint_eq(a->n_gone, 1);
	ck_assert_uint_eq(b->n_gone, 1);
	ck_good(rig_write(&rig, "next volume"));
	ck_twins(1);
}
END_TEST

/* By one who does not know of the load: the answer must not go back behind it. */
START_TEST(mark_behind_a_load_not_known)
{
	struct pmt_place before;
	uint64_t loaded;

	a->stacker = b->stacker = true;
	open_spec("mirror(mem:a,mem:b)");
	write_some();
	before = rig.place;
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	ck_good(rig_op(&rig, PMT_OP_LOAD));
	loaded = rig.place.generation;
	ck_assert_uint_gt(loaded, before.generation);
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE_FILEMARKS, .place = before,
					   .count = 1 }, NULL);
	ck_assert_int_eq(rig.result.status, PMT_STATUS_CHECK);
	ck_assert_uint_eq(rig.result.place.generation, loaded);
	ck_twins(0);
}
END_TEST

START_TEST(unload_then_next_volume)
{
	a->stacker = b->stacker = true;
	open_spec("mirror(mem:a,mem:b)");
	for (int i = 0; i < 10; i++)
		line_write("x");
	line_submit((struct pmt_command){ .op = PMT_OP_WRITE_FILEMARKS, .count = 1 });
	line_submit((struct pmt_command){ .op = PMT_OP_UNLOAD });
	line_submit((struct pmt_command){ .op = PMT_OP_LOAD });
	line_write("y");
	ck_assert_ptr_null(line_wait());
	ck_twins(1);
	ck_assert(mem_same(&a->gone[0], &b->gone[0]));
	ck_assert_uint_eq(a->gone[0].n, 11);
	ck_assert_uint_eq(line.requests[12].result.medium[1], b->id);
}
END_TEST

START_TEST(nested)
{
	struct pmt_request *check;

	open_spec("mirror(mirror(mem:a,mem:b),delay?op=write&ms=10|limit?capacity=9|mem:c)");
	for (int i = 0; i < 10; i++)
		line_write("xy");
	check = line_wait();
	ck_assert_ptr_eq(check, &line.requests[4]);
	ck_twins(4);
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	expect_text("xy");
	ck_good(write_positioned("xyz"));
	ck_twins(2);
}
END_TEST

START_TEST(limits_are_the_tightest)
{
	struct pmt_limits limits;

	open_spec("mirror(limit?capacity=100&ew=30&room=hide|mem:a,"
		  "limit?capacity=100&mark=7|mem:b)");
	pmt_drive_limits(rig.drive, &limits);
	ck_assert_uint_eq(limits.window, 30);
	ck_assert_uint_eq(limits.mark_cost, 7);
	ck_assert_uint_eq(limits.byte_cost, 256);
	ck_assert_uint_eq(limits.record_max, PMT_RECORD_MAX);
	ck_good(rig_write(&rig, "x"));
	ck_assert_uint_eq(rig.result.room, 99);
}
END_TEST

/* By chance, against a model */

static struct {
	unsigned int seed, n, min;
	bool degrade;
	uint64_t capacity[COPIES], ew[COPIES];	/* 0: endless */
	bool faulty[COPIES];
	struct mem_medium *media[COPIES];
	struct mem_volume tape;
	uint64_t at, generation, commands;
	uint32_t counter;
	bool read_faults;
} model;

static unsigned int chance(unsigned int n)
{
	return (unsigned int)rand_r(&model.seed) % n;
}

static void model_cut(uint64_t n)
{
	while (model.tape.n > n)
		free(model.tape.records[--model.tape.n].data);
}

static void model_add(const void *data, size_t length, bool mark)
{
	struct mem_record *record;

	model_cut(model.at);
	model.tape.records = realloc(model.tape.records,
				     (model.tape.n + 1) * sizeof(*record));
	record = &model.tape.records[model.tape.n++];
	*record = (struct mem_record){ mark, length, malloc(length + 1) };
	if (length)
		memcpy(record->data, data, length);
	model.at++;
}

static uint64_t model_used(void)
{
	uint64_t bytes = 0;

	for (uint64_t i = 0; i < model.at; i++)
		bytes += model.tape.records[i].length;
	return bytes;
}

static void check_copies(const char *when)
{
	unsigned int healthy = 0;

	for (unsigned int i = 0; i < model.n; i++) {
		if (failed_copies >> i & 1) {
			ck_assert_msg(model.faulty[i] && model.degrade,
				      "copy %u was dropped (%s)", i + 1, rig.event);
			continue;
		}
		healthy++;
		ck_assert_msg(mem_same(&model.media[i]->volume, &model.tape),
			      "copy %u is not the model's tape after %s: %llu of %llu",
			      i + 1, when, (unsigned long long)model.media[i]->volume.n,
			      (unsigned long long)model.tape.n);
	}
	ck_assert_uint_ge(healthy, model.min);
}

static void random_write(void)
{
	struct pmt_command cmd = { .op = PMT_OP_WRITE };
	unsigned int what = chance(10);
	char *data = line.data[line.n];

	if (what == 0) {
		cmd.op = PMT_OP_WRITE_FILEMARKS;
		cmd.count = chance(4) ? 1 : 3;
	} else if (what < 4) {
		cmd.block_size = 8;
		cmd.length = 8 * (1 + chance(6));
	} else {
		cmd.length = 1 + chance(60);
	}
	for (uint32_t i = 0; i < cmd.length; i++)
		data[i] = (char)(model.counter + i);
	model.counter += 7;
	if (line.n == 0 && model.at < model.tape.n)
		cmd.flags |= PMT_CMD_POSITIONED;
	line_submit(cmd);
}

/* What of the command was done, by its result. */
static uint64_t units_done(const struct pmt_request *req)
{
	bool variable = req->cmd.op == PMT_OP_WRITE && !req->cmd.block_size;
	uint64_t n = req->cmd.op == PMT_OP_WRITE_FILEMARKS ?
			     (uint64_t)req->cmd.count : pmt_command_records(&req->cmd);

	if (req->result.status == PMT_STATUS_CANCELLED)
		return 0;
	if (req->result.status == PMT_STATUS_GOOD)
		return n;
	return variable ? req->result.residue == 0 : n - (uint64_t)req->result.residue;
}

/* The least capacity (less early warning) of the copies in the set. */
static uint64_t least(unsigned int without, bool warning)
{
	uint64_t value = UINT64_MAX;

	for (unsigned int i = 0; i < model.n; i++) {
		uint64_t own = model.capacity[i] - (warning ? model.ew[i] : 0);

		if (!(without >> i & 1) && model.capacity[i] && own < value)
			value = own;
	}
	return value;
}

static void account(const struct pmt_request *req, unsigned int failed_before)
{
	uint64_t n = units_done(req);
	uint32_t size = req->cmd.block_size ? req->cmd.block_size : req->cmd.length;
	const struct pmt_result *result = &req->result;

	for (uint64_t i = 0; i < n; i++)
		if (req->cmd.op == PMT_OP_WRITE)
			model_add((const char *)req->data + i * size, size, false);
		else
			model_add(NULL, 0, true);
	if (result->status == PMT_STATUS_CANCELLED)
		return;
	ck_assert_uint_eq(result->place.lbn, model.at);
	ck_assert_uint_eq(result->place.generation, model.generation);
	if (result->status == PMT_STATUS_GOOD) {
		if (model_used() >= least(failed_copies, true))
			ck_assert(result->sense & PMT_SENSE_EOM);
		if (result->sense & PMT_SENSE_EOM) {
			ck_assert_uint_ge(model_used(), least(failed_before, true));
			ck_assert_uint_gt(rig.warnings, 0);
		}
	} else if (result->key == PMT_KEY_OVERFLOW) {
		ck_assert_uint_gt(model_used() + size, least(failed_before, false));
	} else {
		ck_assert_uint_eq(result->key, PMT_KEY_MEDIUM);
	}
}

static void write_burst(void)
{
	unsigned int n = 1 + chance(DEPTH), before = failed_copies, own;
	uint64_t begin = model.at;

	for (unsigned int i = 0; i < n; i++)
		random_write();
	line_wait();
	for (unsigned int i = 0; i < n; i++)
		account(&line.requests[i], before);
	own = (unsigned int)__builtin_ctz(~failed_copies);
	if (model.at == begin && model.media[own]->volume.n == begin)
		model_cut(begin);	/* one had begun to overwrite */
	rig.place.lbn = model.at;
	model.commands += n;
	check_copies("writes");
}

static void check_read(const struct pmt_request *req)
{
	const struct pmt_result *result = &req->result;
	const struct mem_record *record = &model.tape.records[model.at];

	if (result->status == PMT_STATUS_CANCELLED)
		return;
	if (model.read_faults && result->key == PMT_KEY_MEDIUM)
		return;
	if (model.at == model.tape.n) {
		ck_assert_uint_eq(result->key, PMT_KEY_BLANK);
		return;
	}
	model.at++;
	ck_assert_uint_eq(result->place.lbn, model.at);
	if (record->mark) {
		ck_assert_uint_eq(result->sense, PMT_SENSE_FILEMARK);
		return;
	}
	ck_good(result->status);
	ck_assert_int_eq(result->residue, (int64_t)(64 - record->length));
	ck_assert_mem_eq(req->data, record->data, record->length);
}

static void read_burst(void)
{
	unsigned int n = 1 + chance(24);
	bool cancel = chance(8) == 0;

	for (unsigned int i = 0; i < n; i++)
		line_submit((struct pmt_command){ .op = PMT_OP_READ, .length = 64,
						  .flags = PMT_CMD_AHEAD });
	if (cancel)
		rig.drive->ops->cancel(rig.drive, rig.number);
	line_wait();
	for (unsigned int i = 0; i < n; i++)
		check_read(&line.requests[i]);
	rig.place.lbn = model.at;
	rig.place.file = rig.place.block = PMT_UNKNOWN;
	model.commands += n;
}

static void move(void)
{
	if (chance(3) == 0) {
		ck_good(rig_op(&rig, PMT_OP_REWIND));
		model.at = 0;
	} else if (chance(2)) {
		ck_good(rig_space(&rig, PMT_SPACE_EOD, 0));
		model.at = model.tape.n;
	} else {
		model.at = chance((unsigned int)model.tape.n + 1);
		ck_good(rig_locate(&rig, model.at));
	}
	ck_assert_uint_eq(rig.place.lbn, model.at);
	model.commands++;
}

static void next_volume(void)
{
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	model.commands++;
	for (unsigned int i = 0; i < model.n; i++) {
		struct mem_medium *medium = model.media[i];

		if (failed_copies >> i & 1)
			continue;
		ck_assert(mem_same(&medium->gone[--medium->n_gone], &model.tape));
		for (uint64_t k = 0; k < model.tape.n; k++)
			free(medium->gone[medium->n_gone].records[k].data);
		free(medium->gone[medium->n_gone].records);
	}
	model_cut(0);
	model.at = 0;
	rig.warnings = 0;
	ck_assert_uint_eq(rig.place.generation, ++model.generation);
}

static size_t random_copy(char *text, size_t size, unsigned int i)
{
	static const char *const ops[] = { "write", "marks", "write", "any" };
	size_t used = 0;

	model.faulty[i] = chance(4) == 0;
	model.capacity[i] = chance(3) ? 500 + chance(6000) : 0;
	model.ew[i] = model.capacity[i] ? chance(500) : 0;
	model.media[i]->stacker = true;
	model.media[i]->seed = model.seed + i;
	model.media[i]->jitter = chance(2) ? chance(60) : 0;
	if (model.faulty[i])
		used += (size_t)snprintf(text + used, size - used,
					 "fault?op=%s&after=%u&error=medium|",
					 ops[chance(3)], chance(300));
	if (model.read_faults)
		used += (size_t)snprintf(text + used, size - used,
					 "fault?op=read&after=%u&count=%u&error=medium|",
					 chance(50), 1 + chance(3));
	if (model.capacity[i])
		used += (size_t)snprintf(text + used, size - used,
					 "limit?capacity=%llu&ew=%llu|",
					 (unsigned long long)model.capacity[i],
					 (unsigned long long)model.ew[i]);
	used += (size_t)snprintf(text + used, size - used, "mem:%u", i);
	return used;
}

static void random_set(char *text, size_t size)
{
	size_t used = (size_t)snprintf(text, size, "mirror(");

	model.n = 1 + chance(COPIES);
	model.degrade = chance(2);
	model.min = model.degrade ? 1 + chance(model.n) : model.n;
	model.read_faults = chance(3) == 0;
	for (unsigned int i = 0; i < model.n; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%u", i);
		model.media[i] = mem_medium(name);
		used += (size_t)snprintf(text + used, size - used, i ? "," : "");
		used += random_copy(text + used, size - used, i);
	}
	used += (size_t)snprintf(text + used, size - used, ")");
	used += (size_t)snprintf(text + used, size - used, "?verify=%s",
				 chance(3) ? "no" : "yes");
	if (model.degrade)
		snprintf(text + used, size - used, "&policy=degrade&min=%u", model.min);
}

/* A set of random copies, a random stream of commands. */
static void one_run(void)
{
	char text[1024];

	random_set(text, sizeof(text));
	if (getenv("PMT_VERBOSE"))
		fprintf(stderr, "%s\n", text);
	model.generation = 1;
	model.at = 0;
	rig.warnings = 0;
	open_spec(text);
	for (int i = 0; i < 24; i++) {
		switch (chance(8)) {
		case 0:
			move();
			break;
		case 1:
			move();
			read_burst();
			break;
		case 2:
			if (model.tape.n > 100)
				next_volume();
			break;
		default:
			write_burst();
		}
	}
	rig_close(&rig);
	model_cut(0);
	free(model.tape.records);
	model.tape.records = NULL;
}

/* Where by_chance is: a test that fails ends its process, which can say no more. */
static unsigned int *seed_now;

START_TEST(by_chance)
{
	const char *seed = getenv("PMT_SEED"), *steps = getenv("PMT_STEPS");
	uint64_t wanted = steps ? strtoull(steps, NULL, 0) : 20000;
	unsigned int run = seed ? (unsigned int)strtoul(seed, NULL, 0) :
				  (unsigned int)time(NULL) * 1000;

	for (model.commands = 0; model.commands < wanted; run++) {
		*seed_now = run;
		mirrorrig_teardown();
		mirrorrig_setup();
		model.seed = run;
		one_run();
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mirror");
	TCase *tests = tcase_create("mirror"), *random = tcase_create("chance");
	int status;

	tcase_add_checked_fixture(tests, mirrorrig_setup, mirrorrig_teardown);
	tcase_add_test(tests, all_copies_get_all);
	tcase_add_test(tests, settles);
	tcase_add_test(tests, pipelined_writes_are_in_order);
	tcase_add_test(tests, more_than_the_depth_waits);
	tcase_add_test(tests, early_warning_of_any);
	tcase_add_test(tests, physical_end_cuts_back_those_ahead);
	tcase_add_test(tests, physical_end_where_others_have_not_begun);
	tcase_add_test(tests, physical_end_lets_those_behind_catch_up);
	tcase_add_loop_test(tests, part_of_fixed_blocks_on_all, 0, 2);
	tcase_add_test(tests, marks_that_fit_on_one_only);
	tcase_add_test(tests, two_exceptions_the_earlier_counts);
	tcase_add_test(tests, what_cannot_be_cut_is_longer);
	tcase_add_test(tests, one_has_begun_a_write_that_waits);
	tcase_add_test(tests, one_was_written_to_elsewhere);
	tcase_add_test(tests, what_an_earlier_server_wrote_ahead_is_cut);
	tcase_add_test(tests, failed_behind_the_write);
	tcase_add_test(tests, the_end_of_a_longer_copy);
	tcase_add_test(tests, the_mark_of_a_longer_copy);
	tcase_add_test(tests, the_end_is_where_all_were_cut);
	tcase_add_test(tests, policy_all_tells_the_error);
	tcase_add_test(tests, degrade_drops_and_goes_on);
	tcase_add_test(tests, dropped_stays_dropped_for_the_next_server);
	tcase_add_test(tests, reading_tells_no_room);
	tcase_add_test(tests, a_strange_copy_takes_no_part);
	tcase_add_test(tests, reading_goes_on_to_the_longest_end);
	tcase_add_test(tests, degrade_keeps_min);
	tcase_add_test(tests, what_fails_everywhere_drops_nobody);
	tcase_add_test(tests, degrade_and_physical_end_at_once);
	tcase_add_test(tests, a_copy_that_lost_its_place_fails);
	tcase_add_test(tests, failure_of_a_medium_command);
	tcase_add_test(tests, failed_overwriting_leaves_twins);
	tcase_add_test(tests, nothing_runs_ahead_but_writes);
	tcase_add_test(tests, another_copy_answers_what_the_first_cannot);
	tcase_add_test(tests, each_may_have_its_own_bad_spot);
	tcase_add_test(tests, what_no_copy_can_read);
	tcase_add_test(tests, space_and_locate_by_another_copy);
	tcase_add_test(tests, reads_can_be_cancelled);
	tcase_add_test(tests, here_is_where_the_unit_stands);
	tcase_add_test(tests, nothing_is_written_before_all_are_there);
	tcase_add_test(tests, unfinished_tail_is_cut_by_the_next_write);
	tcase_add_test(tests, no_twins_are_not_appended_to);
	tcase_add_test(tests, no_twins_may_be_overwritten);
	tcase_add_test(tests, writing_after_reading);
	tcase_add_test(tests, test_combines);
	tcase_add_test(tests, each_copy_knows_its_cartridge);
	tcase_add_test(tests, many_cartridges_share_the_last_word);
	tcase_add_test(tests, unload_of_one_only_is_finished_by_the_next);
	tcase_add_test(tests, mark_behind_a_load_not_known);
	tcase_add_test(tests, unload_then_next_volume);
	tcase_add_test(tests, nested);
	tcase_add_test(tests, limits_are_the_tightest);
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(random, mirrorrig_setup, mirrorrig_teardown);
	tcase_add_test(random, by_chance);
	tcase_set_timeout(random, 300);
	suite_add_tcase(suite, tests);
	suite_add_tcase(suite, random);
	seed_now = mmap(NULL, sizeof(*seed_now), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (seed_now == MAP_FAILED)
		return EXIT_FAILURE;
	status = run_suite(suite);
	if (status && *seed_now)
		printf("by_chance: the last was PMT_SEED=%u\n", *seed_now);
	return status;
}
