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
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "folder.h"
#include "memleaf.h"
#include "suite.h"

#define DEPTH 64
#define COPIES 4

static struct rig rig;
static struct mem_medium *a, *b;

/* Commands on the way: the front end's part. */
static struct {
	struct pmt_request requests[DEPTH];
	char data[DEPTH][256];
	unsigned int n, done;
	bool ordered;
	pthread_mutex_t lock;
	pthread_cond_t cond;
} line = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

static unsigned int failed_copies;	/* as events said; bits */
static unsigned int last_event;

static void quiet(int priority, const char *message)
{
	(void)priority;
	if (getenv("PMT_VERBOSE"))
		fprintf(stderr, "%s\n", message);
}

static void note_failed(const struct pmt_session *session, unsigned int event,
			const char *text)
{
	unsigned int copy;

	pthread_mutex_lock(&rig.lock);
	last_event = event;
	if (sscanf(text, "copy %u", &copy) == 1 && strstr(text, ") failed: "))
		failed_copies |= 1u << (copy - 1);
	rig.events++;
	snprintf(rig.event, sizeof(rig.event), "%s", text);
	pthread_mutex_unlock(&rig.lock);
	(void)session;
}

static void setup(void)
{
	pmt_log_set_handler(quiet);
	rig_init(&rig);
	rig.session.event = note_failed;
	a = mem_medium("a");
	b = mem_medium("b");
	failed_copies = 0;
	line.n = line.done = 0;
	line.ordered = true;
}

static void teardown(void)
{
	rig_close(&rig);
	mem_reset();
}

static void open_spec(const char *text)
{
	ck_assert_int_eq(rig_open(&rig, text), 0);
}

static void reopen_at(const char *text, uint64_t lbn)
{
	rig_close(&rig);
	rig.session.place.lbn = lbn;
	rig.session.place.file = rig.session.place.block = PMT_UNKNOWN;
	open_spec(text);
}

static void line_done(struct pmt_request *req)
{
	pthread_mutex_lock(&line.lock);
	line.ordered = line.ordered && req == &line.requests[line.done];
	line.done++;
	pthread_cond_signal(&line.cond);
	pthread_mutex_unlock(&line.lock);
}

static struct pmt_request *line_submit(struct pmt_command cmd)
{
	struct pmt_request *req = &line.requests[line.n];

	ck_assert_uint_lt(line.n, DEPTH);
	*req = (struct pmt_request){ .cmd = cmd, .data = line.data[line.n],
				     .done = line_done };
	req->cmd.number = rig.number++;
	req->cmd.place = rig.place;
	rig.place = pmt_place_after(&req->cmd);
	line.n++;
	rig.drive->ops->submit(rig.drive, req);
	return req;
}

static void line_write(const char *text)
{
	strcpy(line.data[line.n], text);
	line_submit((struct pmt_command){ .op = PMT_OP_WRITE,
					  .length = (uint32_t)strlen(text) });
}

/* Waits for all; the place is that of the exception, if there was one. */
static struct pmt_request *line_wait(void)
{
	struct pmt_request *check = NULL;
	unsigned int n = line.n;

	pthread_mutex_lock(&line.lock);
	while (line.done < line.n)
		pthread_cond_wait(&line.cond, &line.lock);
	line.n = line.done = 0;
	pthread_mutex_unlock(&line.lock);
	ck_assert(line.ordered);
	for (unsigned int i = 0; i < n; i++) {
		const struct pmt_result *result = &line.requests[i].result;

		ck_assert_uint_eq(result->number, line.requests[i].cmd.number);
		if (check)
			ck_assert_int_eq(result->status, PMT_STATUS_CANCELLED);
		else if (result->status == PMT_STATUS_CHECK)
			check = &line.requests[i];
	}
	if (check) {
		rig.drive->ops->resume(rig.drive);
		rig.place = check->result.place;
	}
	return check;
}

static struct json_object *status(void)
{
	struct json_object *object;
	char *json;

	ck_assert_int_eq(pmt_drive_status_json(rig.drive, &json), 0);
	object = json_tokener_parse(json);
	free(json);
	return object;
}

static const char *state_of(unsigned int copy)
{
	static char text[16];
	struct json_object *object = status(), *children, *state;

	json_object_object_get_ex(object, "children", &children);
	json_object_object_get_ex(json_object_array_get_idx(children, copy), "state", &state);
	snprintf(text, sizeof(text), "%s", json_object_get_string(state));
	json_object_put(object);
	return text;
}

/* Of the mirror, or of an object of it. */
static int64_t number_of(const char *object, const char *key)
{
	struct json_object *all = status(), *value = all;
	int64_t n;

	if (object)
		ck_assert(json_object_object_get_ex(all, object, &value));
	ck_assert(json_object_object_get_ex(value, key, &value));
	n = json_object_get_int64(value);
	json_object_put(all);
	return n;
}

#define ck_good(status) ck_assert_int_eq(status, PMT_STATUS_GOOD)
#define ck_result(r, k, x, y)                                                      \
	do {                                                                       \
		ck_assert_int_eq((r).status, PMT_STATUS_CHECK);                    \
		ck_assert_uint_eq((r).key, k);                                     \
		ck_assert_uint_eq((r).asc, x);                                     \
		ck_assert_uint_eq((r).ascq, y);                                    \
	} while (0)
#define ck_sense(k, x, y) ck_result(rig.result, k, x, y)
#define ck_twins(count)                                                            \
	do {                                                                       \
		ck_assert_uint_eq(a->volume.n, count);                             \
		ck_assert(mem_same(&a->volume, &b->volume));                       \
	} while (0)

static void write_some(void)
{
	ck_good(rig_write(&rig, "one"));
	ck_good(rig_write(&rig, "two"));
	ck_good(rig_marks(&rig, 1));
	ck_good(rig_write(&rig, "three"));
}

static void expect_text(const char *text)
{
	char buffer[64] = "";

	ck_good(rig_read(&rig, buffer, sizeof(buffer)));
	ck_assert_str_eq(buffer, text);
}

static int write_positioned(const char *text)
{
	return rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .place = rig.place,
						  .flags = PMT_CMD_POSITIONED,
						  .length = (uint32_t)strlen(text) },
		      (void *)(uintptr_t)text);
}

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
	ck_assert_int_eq(number_of(NULL, "fallbacks"), 1);
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
	ck_assert_int_eq(number_of(NULL, "fallbacks"), 0);
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

static void cut_to(struct mem_medium *medium, uint64_t n)
{
	while (medium->volume.n > n)
		free(medium->volume.records[--medium->volume.n].data);
}

/* Of a and b alone, what is on them is: */
static void record(struct mem_medium *medium, const char *text, ...)
{
	char spec[40];
	va_list list;

	snprintf(spec, sizeof(spec), "mem:%s", medium->name);
	open_spec(spec);
	va_start(list, text);
	for (; text; text = va_arg(list, const char *))
		ck_good(*text ? rig_write(&rig, text) : rig_marks(&rig, 1));
	va_end(list);
	rig_close(&rig);
	rig.session.place = (struct pmt_place){ .generation = 1 };
	medium->unit_id = 0;
}

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

/* Verified reading */

static uint64_t bad_blocks(unsigned int copy, unsigned int *listed, uint64_t *last)
{
	struct json_object *object = status(), *child, *value;
	uint64_t n;

	json_object_object_get_ex(object, "children", &child);
	child = json_object_array_get_idx(child, copy);
	ck_assert(json_object_object_get_ex(child, "bad_blocks", &value));
	n = (uint64_t)json_object_get_int64(value);
	*listed = 0;
	*last = PMT_UNKNOWN;
	if (json_object_object_get_ex(child, "bad_at", &child)) {
		*listed = (unsigned int)json_object_array_length(child);
		json_object_object_get_ex(json_object_array_get_idx(child, *listed - 1), "lbn",
					  &value);
		*last = (uint64_t)json_object_get_int64(value);
	}
	json_object_put(object);
	return n;
}

/* So many, and the last one that is listed. */
static void ck_bad(unsigned int copy, uint64_t count, uint64_t lbn)
{
	unsigned int listed;
	uint64_t last;

	ck_assert_uint_eq(bad_blocks(copy, &listed, &last), count);
	ck_assert_uint_eq(listed, count < 32 ? count : 32);
	ck_assert_uint_eq(last, lbn);
}

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
	ck_assert_int_eq(number_of(NULL, "differences"), 1);
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
	ck_assert_int_eq(number_of(NULL, "differences"), 0);
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

/* A copy that comes back */

static bool said(const char *text)
{
	bool found;

	pthread_mutex_lock(&rig.lock);
	found = strstr(rig.event, text) != NULL;
	pthread_mutex_unlock(&rig.lock);
	return found;
}

static bool came(unsigned int event)
{
	bool last;

	pthread_mutex_lock(&rig.lock);
	last = last_event == event;
	pthread_mutex_unlock(&rig.lock);
	return last;
}

/* The application writes nothing. */
static void look_until(unsigned int event)
{
	for (int i = 0; i < 60000 && !came(event); i++) {
		ck_good(rig_op(&rig, PMT_OP_TEST));
		pmt_delay(1);
	}
	ck_assert(came(event));
}

/* Writes until the event comes, as the application that goes on meanwhile. */
static void write_until(unsigned int event)
{
	char text[32];

	for (int i = 0; i < 15000; i++) {
		if (came(event))
			return;
		snprintf(text, sizeof(text), "while %d", i);
		ck_good(rig_write(&rig, text));
		pmt_delay(1);	/* of a program that has other things to do */
		if (i % 10 == 0)
			ck_good(rig_marks(&rig, 1));
	}
	ck_abort_msg("no event %x; the last is %x: %s", event, last_event, rig.event);
}

static void rejoin(unsigned int copy, const char *spec)
{
	char *error;
	int rc = pmt_mirror_rejoin(rig.drive, copy, spec, &error);

	ck_assert_msg(rc >= 0, "%s", error ? error : "?");
}

static void refused(unsigned int copy, const char *spec, int rc, const char *text)
{
	char *error;

	ck_assert_int_eq(pmt_mirror_rejoin(rig.drive, copy, spec, &error), rc);
	ck_assert_msg(error && strstr(error, text), "%s", error ? error : "?");
	free(error);
}

static const char *image(const char *name, const char *options)
{
	static char text[4][300];
	static int next;
	char *spec = text[next++ % 4];

	snprintf(spec, sizeof(text[0]), "image:%s/%s%s", folder, name, options);
	return spec;
}

static uint64_t count_alike(const char *name, const char *other)
{
	char one[64], two[64];
	struct rig second;
	uint64_t n = 0;

	rig_close(&rig);
	rig.session.place = (struct pmt_place){ .generation = 1 };
	rig.session.cookie = 0;
	open_spec(image(name, "?readonly=yes"));
	rig_init(&second);
	ck_assert_int_eq(rig_open(&second, image(other, "?readonly=yes")), 0);
	do {
		memset(one, 0, sizeof(one));
		memset(two, 0, sizeof(two));
		rig_read(&rig, one, sizeof(one));
		rig_read(&second, two, sizeof(two));
		ck_assert_str_eq(one, two);
		ck_assert_uint_eq(rig.result.status, second.result.status);
		ck_assert_uint_eq(rig.result.sense, second.result.sense);
		n++;
	} while (rig.result.key != PMT_KEY_BLANK);
	ck_assert_uint_eq(second.result.key, PMT_KEY_BLANK);
	rig_close(&second);
	return n - 1;
}

/* By this fault, where so many records are written. */
static void drop_second_by(const char *fault, int records)
{
	char spec[800];

	snprintf(spec, sizeof(spec), "mirror(%s,fault?op=write&error=hardware&%s|%s)"
		 "?policy=degrade", image("a", "?capacity=100M"), fault,
		 image("b", "?capacity=100M"));
	open_spec(spec);
	for (int i = 0; i < records; i++)
		ck_good(rig_write(&rig, "before"));
	ck_assert_uint_eq(failed_copies, 2);
}

static void drop_second(void)
{
	drop_second_by("at=3", 200);
}

START_TEST(comes_back_while_writing)
{
	const char *name = _i ? "b" : "c";
	uint64_t n;

	folder_make();
	drop_second();
	rejoin(2, image(name, "?capacity=100M"));
	write_until(PMT_EVENT_COPY_REJOINED);
	ck_assert_str_eq(state_of(1), "ok");
	ck_good(rig_write(&rig, "behind"));
	ck_good(rig_marks(&rig, 1));
	ck_assert_uint_eq(rig.result.cookie & 2, 0);
	n = rig.place.lbn;
	ck_assert_uint_eq(count_alike("a", name), n);
	rig_close(&rig);
	folder_remove();
}
END_TEST

/* The application writes faster than the copy can: it has to wait for that one. */
START_TEST(comes_back_though_slower)
{
	char spec[320];
	uint64_t n;

	folder_make();
	drop_second();
	snprintf(spec, sizeof(spec), "delay?op=write&ms=1|%s", image("c", "?capacity=100M"));
	rejoin(2, spec);
	for (n = 0; n < 100000 && !came(PMT_EVENT_COPY_REJOINED); n++) {
		for (int i = 0; i < 4; i++)
			ck_good(rig_write(&rig, "fast"));
		pmt_delay(1);
	}
	ck_assert_uint_lt(n, 100000);
	ck_good(rig_marks(&rig, 1));
	n = rig.place.lbn;
	ck_assert_uint_eq(count_alike("a", "c"), n);
	rig_close(&rig);
	folder_remove();
}
END_TEST

/* The copy that is read for it is dropped, too: it has not what is written since. */
START_TEST(comes_back_by_one_that_counts)
{
	char spec[1200];
	uint64_t n;

	folder_make();
	snprintf(spec, sizeof(spec), "mirror(fault?op=write&at=200&error=hardware|%s,"
		 "fault?op=write&at=3&error=hardware|%s,%s)?policy=degrade",
		 image("a", "?capacity=100M"), image("b", "?capacity=100M"),
		 image("c", "?capacity=100M"));
	open_spec(spec);
	for (int i = 0; i < 200; i++)
		ck_good(rig_write(&rig, "before"));
	snprintf(spec, sizeof(spec), "delay?op=write&ms=5|%s", image("d", "?capacity=100M"));
	rejoin(2, spec);
	while (!number_of("rejoin", "lbn"))
		pmt_delay(1);
	for (int i = 0; i < 20; i++)
		ck_good(rig_write(&rig, "meanwhile"));
	ck_assert_uint_eq(failed_copies, 3);
	n = rig.place.lbn;
	look_until(PMT_EVENT_COPY_REJOINED);
	ck_assert_uint_eq(count_alike("c", "d"), n);
	rig_close(&rig);
	folder_remove();
}
END_TEST

/* It has all, and was found to have it: it must not be at its end all the same. */
START_TEST(has_all_and_no_room)
{
	char spec[800];

	folder_make();
	drop_second_by("at=99&when=after", 100);
	snprintf(spec, sizeof(spec), "limit?capacity=600&ew=100|%s", image("b", ""));
	rejoin(2, spec);
	look_until(PMT_EVENT_REJOIN_FAILED);
	ck_assert_ptr_nonnull(strstr(rig.event, "early warning at block 99"));
	rig_close(&rig);
	folder_remove();
}
END_TEST

/* Tells what it holds, of where, and knows its cartridge from then on. */
START_TEST(comes_back_and_is_known)
{
	folder_make();
	drop_second();
	ck_good(rig_op(&rig, PMT_OP_TEST));
	rejoin(2, image("c", "?capacity=100M"));
	do
		ck_good(rig_marks(&rig, 1));
	while (!(rig.result.medium_flags & PMT_MEDIUM_PRESENT));
	ck_assert_uint_ne(rig.result.medium[1], 0);
	ck_assert_uint_ne(rig.result.medium[0], rig.result.medium[1]);
	rig_close(&rig);
	folder_remove();
}
END_TEST

START_TEST(comes_back_with_the_next_volume)
{
	struct mem_medium *c = mem_medium("c");

	a->stacker = b->stacker = c->stacker = true;
	open_spec("mirror(mem:a,fault?op=write&at=3&error=hardware|mem:b)?policy=degrade");
	for (int i = 0; i < 5; i++)
		ck_good(rig_write(&rig, "first"));
	rejoin(2, "mem:c");
	while (!said("waits for the next unload")) {
		ck_good(rig_write(&rig, "first"));
		pmt_delay(1);
	}
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	write_until(PMT_EVENT_COPY_REJOINED);
	ck_good(rig_write(&rig, "second"));
	ck_assert(mem_same(&a->volume, &c->volume));
	ck_assert_uint_eq(c->n_gone, 0);
	ck_assert_str_eq(state_of(1), "ok");
}
END_TEST

START_TEST(does_not_come_back)
{
	folder_make();
	drop_second();
	refused(1, image("c", "?capacity=1M"), -EINVAL, "has not failed");
	refused(3, image("c", "?capacity=1M"), -EINVAL, "copies 1 to 2");
	refused(2, "image", -EINVAL, "column");
	rejoin(2, "limit?capacity=600&ew=100|mem:c");
	write_until(PMT_EVENT_REJOIN_FAILED);
	ck_assert_ptr_nonnull(strstr(rig.event, "early warning at block"));
	ck_assert_str_eq(state_of(1), "failed");
	ck_good(rig_write(&rig, "goes on"));
	rig_close(&rig);
	folder_remove();
}
END_TEST

/* A record of the image's file, of "before"s, is damaged. */
static void damage(const char *name, uint64_t lbn)
{
	char path[300];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "r+");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fseek(file, (long)(12288 + 72 * lbn + 64), SEEK_SET), 0);
	ck_assert_int_eq(fputc('X', file), 'X');
	ck_assert_int_eq(fclose(file), 0);
}

static void open_damaged(const char *options)
{
	char spec[800];

	snprintf(spec, sizeof(spec), "mirror(%s,%s)%s", image("a", "?capacity=100M"),
		 image("b", "?capacity=100M"), options);
	open_spec(spec);
	for (int i = 0; i < 20; i++)
		ck_good(rig_write(&rig, "before"));
	damage("a", 7);
	ck_good(rig_locate(&rig, 7));
	expect_text("before");
	ck_bad(0, 1, 7);
}

/* Rejoining puts the bad block right, on its own cartridge or another. */
START_TEST(bad_blocks_are_written_anew)
{
	const char *name = _i ? "a" : "c";

	folder_make();
	open_damaged("?policy=degrade");
	refused(2, image("c", ""), -EINVAL, "has no bad block");
	refused(1, "image", -EINVAL, "column");
	refused(1, image("no/where", "?capacity=100M"), -ENOENT, "");
	ck_assert_str_eq(state_of(0), "ok");
	ck_good(rig_locate(&rig, 20));
	rejoin(1, image(name, "?capacity=100M"));
	look_until(PMT_EVENT_COPY_REJOINED);
	ck_assert_str_eq(state_of(0), "ok");
	ck_bad(0, 0, PMT_UNKNOWN);
	ck_good(rig_write(&rig, "behind"));
	ck_good(rig_marks(&rig, 1));
	ck_assert_uint_eq(rig.result.cookie & 1, 0);
	ck_assert_uint_eq(count_alike(name, "b"), 22);
	rig_close(&rig);
	folder_remove();
}
END_TEST

START_TEST(bad_blocks_that_must_stay)
{
	folder_make();
	open_damaged(_i ? "" : "?policy=degrade&min=2");
	refused(1, image("c", ""), -EINVAL, "fewer copies than the policy asks for");
	ck_assert_str_eq(state_of(0), "ok");
	rig_close(&rig);
	folder_remove();
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
		teardown();
		setup();
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

	tcase_add_checked_fixture(tests, setup, teardown);
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
	tcase_add_test(tests, ends_of_no_twins_are_refused);
	tcase_add_test(tests, other_beginnings_are_refused);
	tcase_add_test(tests, a_long_beginning);
	tcase_add_test(tests, what_is_not_refused);
	tcase_add_test(tests, no_twins_are_refused_by_load);
	tcase_add_test(tests, next_volumes_that_are_no_twins);
	tcase_add_test(tests, writing_after_reading);
	tcase_add_test(tests, all_copies_read_each_record);
	tcase_add_test(tests, a_difference_is_an_error);
	tcase_add_test(tests, differences_of_all_kinds);
	tcase_add_test(tests, most_copies_decide);
	tcase_add_test(tests, verified_by_those_that_can_read);
	tcase_add_test(tests, verified_where_none_can_read);
	tcase_add_test(tests, verified_in_order);
	tcase_add_test(tests, verified_blocks);
	tcase_add_test(tests, what_was_not_read_is_noted);
	tcase_add_test(tests, many_bad_blocks);
	tcase_add_loop_test(tests, comes_back_while_writing, 0, 2);
	tcase_add_test(tests, comes_back_though_slower);
	tcase_add_test(tests, comes_back_by_one_that_counts);
	tcase_add_test(tests, has_all_and_no_room);
	tcase_add_test(tests, comes_back_and_is_known);
	tcase_add_test(tests, comes_back_with_the_next_volume);
	tcase_add_test(tests, does_not_come_back);
	tcase_add_loop_test(tests, bad_blocks_are_written_anew, 0, 2);
	tcase_add_loop_test(tests, bad_blocks_that_must_stay, 0, 2);
	tcase_add_test(tests, test_combines);
	tcase_add_test(tests, each_copy_knows_its_cartridge);
	tcase_add_test(tests, many_cartridges_share_the_last_word);
	tcase_add_test(tests, unload_of_one_only_is_finished_by_the_next);
	tcase_add_test(tests, mark_behind_a_load_not_known);
	tcase_add_test(tests, unload_then_next_volume);
	tcase_add_test(tests, nested);
	tcase_add_test(tests, limits_are_the_tightest);
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(random, setup, teardown);
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
