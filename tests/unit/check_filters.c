// SPDX-License-Identifier: GPL-2.0-or-later
/* limit, fault and delay, and the workers under them. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "memleaf.h"

static struct rig rig;
static struct mem_medium *medium;

static void setup(void)
{
	rig_init(&rig);
	medium = mem_medium("a");
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

#define ck_good(status) ck_assert_int_eq(status, PMT_STATUS_GOOD)
#define ck_key(k)                                                                  \
	do {                                                                       \
		ck_assert_int_eq(rig.result.status, PMT_STATUS_CHECK);             \
		ck_assert_uint_eq(rig.result.key, k);                              \
	} while (0)

/* limit */

START_TEST(limit_is_exact)
{
	open_spec("limit?capacity=10&ew=4|mem:a");
	ck_good(rig_write(&rig, "12345"));
	ck_assert_uint_eq(rig.result.sense, 0);
	ck_assert_uint_eq(rig.result.room, 1);
	ck_good(rig_write(&rig, "6"));
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	ck_assert_uint_eq(rig.result.asc << 8 | rig.result.ascq, 0x0002);
	ck_assert_uint_eq(rig.result.room, 0);
	ck_assert_uint_eq(rig.warnings, 1);
	ck_assert_uint_eq(rig.warned.lbn, 1);
	rig_write(&rig, "78901");
	ck_key(PMT_KEY_OVERFLOW);
	ck_assert_int_eq(rig.result.residue, 5);
	ck_assert_uint_eq(rig.result.place.lbn, 2);
	ck_good(rig_write(&rig, "7890"));
	ck_good(rig_marks(&rig, 1));
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	ck_assert_uint_eq(medium->volume.n, 4);
}
END_TEST

START_TEST(limit_counts_marks_and_parts)
{
	open_spec("limit?capacity=10&mark=3|mem:a");
	rig_marks(&rig, 5);
	ck_key(PMT_KEY_OVERFLOW);
	ck_assert_int_eq(rig.result.residue, 2);
	ck_assert_uint_eq(rig.result.place.lbn, 3);
	rig_op(&rig, PMT_OP_REWIND);
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .place = rig.place,
					   .flags = PMT_CMD_POSITIONED, .length = 12,
					   .block_size = 4 }, "aaaabbbbcccc");
	ck_key(PMT_KEY_OVERFLOW);
	ck_assert_int_eq(rig.result.residue, 1);
	ck_assert_uint_eq(rig.result.place.lbn, 2);
	ck_assert_uint_eq(medium->volume.n, 2);
}
END_TEST

START_TEST(limit_follows_overwriting_and_reading)
{
	char buffer[8];

	open_spec("limit?capacity=10|mem:a");
	ck_good(rig_write(&rig, "12345678"));
	rig_op(&rig, PMT_OP_REWIND);
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .place = rig.place,
					   .flags = PMT_CMD_POSITIONED, .length = 3 }, "123");
	ck_good(rig.result.status);
	ck_good(rig_write(&rig, "4567"));
	rig_close(&rig);
	rig.session.place.lbn = 2;
	rig.session.place.file = rig.session.place.block = PMT_UNKNOWN;
	open_spec("limit?capacity=10|mem:a");
	rig_write(&rig, "8901");
	ck_key(PMT_KEY_OVERFLOW);
	ck_good(rig_write(&rig, "890"));
	rig_close(&rig);
	rig.session.place.lbn = 0;
	open_spec("limit?capacity=10|mem:a");
	for (int i = 0; i < 3; i++)
		ck_good(rig_read(&rig, buffer, sizeof(buffer)));
	ck_assert_uint_eq(rig.result.room, 0);
}
END_TEST

START_TEST(limit_is_new_for_a_new_volume)
{
	medium->stacker = true;
	open_spec("limit?capacity=4|mem:a");
	ck_good(rig_write(&rig, "1234"));
	rig_write(&rig, "5");
	ck_key(PMT_KEY_OVERFLOW);
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	ck_good(rig_write(&rig, "5"));
	ck_assert_uint_eq(rig.result.room, 3);
}
END_TEST

START_TEST(limit_hides_room)
{
	struct pmt_limits limits;

	open_spec("limit?capacity=100&ew=40&room=hide|mem:a");
	pmt_drive_limits(rig.drive, &limits);
	ck_assert_uint_eq(limits.window, 40);
	ck_good(rig_write(&rig, "x"));
	ck_assert_uint_eq(rig.result.room, PMT_UNKNOWN);
	rig_close(&rig);
	open_spec("limit?capacity=100&ew=40&mark=7|mem:a");
	pmt_drive_limits(rig.drive, &limits);
	ck_assert_uint_eq(limits.window, PMT_UNKNOWN);
	ck_assert_uint_eq(limits.mark_cost, 7);
}
END_TEST

START_TEST(limit_leaves_the_guards_to_the_leaf)
{
	medium->unit_id = UNIT;
	medium->generation = 2;
	open_spec("limit?capacity=1|mem:a");
	ck_good(rig_write(&rig, "done before"));
	ck_assert_uint_eq(medium->volume.n, 0);
	rig.place = (struct pmt_place){ .generation = 2, .lbn = 5 };
	rig_write(&rig, "no such place");
	ck_key(PMT_KEY_MEDIUM);
}
END_TEST

/* fault */

START_TEST(fault_has_its_sense)
{
	static const struct {
		const char *error;
		unsigned int key, asc, ascq, sense;
	} errors[] = {
		{ "medium", PMT_KEY_MEDIUM, 0x0c, 0, 0 },
		{ "hardware", PMT_KEY_HARDWARE, 0x44, 0, 0 },
		{ "notready", PMT_KEY_NOT_READY, 0x3a, 0, 0 },
		{ "protect", PMT_KEY_PROTECT, 0x27, 0, 0 },
		{ "aborted", PMT_KEY_ABORTED, 0x3b, 0, 0 },
		{ "attention", PMT_KEY_ATTENTION, 0x28, 0, 0 },
		{ "overflow", PMT_KEY_OVERFLOW, 0, 2, PMT_SENSE_EOM },
		{ "enospc", PMT_KEY_OVERFLOW, 0, 2, PMT_SENSE_EOM },
	};
	char spec[64];

	snprintf(spec, sizeof(spec), "fault?op=write&error=%s|mem:a", errors[_i].error);
	open_spec(spec);
	rig_write(&rig, "x");
	ck_key(errors[_i].key);
	ck_assert_uint_eq(rig.result.asc, errors[_i].asc);
	ck_assert_uint_eq(rig.result.ascq, errors[_i].ascq);
	ck_assert_uint_eq(rig.result.sense, errors[_i].sense);
	ck_assert_int_eq(rig.result.residue, 1);
	ck_assert_uint_eq(rig.result.place.lbn, 0);
	ck_assert_uint_eq(medium->volume.n, 0);
	ck_good(rig_write(&rig, "x"));
}
END_TEST

START_TEST(fault_after_count_at)
{
	open_spec("fault?op=marks&error=hardware&after=1&count=2|"
		  "fault?op=write&at=2&error=medium&count=0|mem:a");
	ck_good(rig_write(&rig, "0"));
	ck_good(rig_marks(&rig, 1));
	for (int i = 0; i < 3; i++) {
		rig_write(&rig, "2");
		ck_key(PMT_KEY_MEDIUM);
	}
	for (int i = 0; i < 2; i++) {
		rig_marks(&rig, 1);
		ck_key(PMT_KEY_HARDWARE);
	}
	ck_good(rig_marks(&rig, 1));
	ck_good(rig_write(&rig, "3"));
	rig.place.lbn = 1;
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .place = rig.place,
					   .length = 2, .block_size = 1 }, "ab");
	ck_key(PMT_KEY_MEDIUM);
}
END_TEST

START_TEST(fault_behind)
{
	open_spec("fault?op=write&error=medium&when=after|mem:a");
	rig_write(&rig, "x");
	ck_key(PMT_KEY_MEDIUM);
	ck_assert_uint_eq(medium->volume.n, 1);
	ck_assert_uint_eq(rig.result.place.lbn, 1);
}
END_TEST

START_TEST(fault_kills_between_unload_and_its_answer)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		open_spec("fault?op=unload&error=kill&when=after|mem:a");
		rig_op(&rig, PMT_OP_UNLOAD);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}
END_TEST

START_TEST(fault_exits)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		open_spec("fault?error=exit|mem:a");
		rig_op(&rig, PMT_OP_TEST);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}
END_TEST

/* delay */

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

START_TEST(delay_delays_its_command)
{
	double begin;

	open_spec("delay?op=write&ms=50|mem:a");
	begin = now();
	rig_op(&rig, PMT_OP_TEST);
	ck_assert_double_lt(now() - begin, 0.04);
	begin = now();
	ck_good(rig_write(&rig, "x"));
	ck_assert_double_ge(now() - begin, 0.05);
}
END_TEST

/* Workers */

struct batch {
	struct pmt_request requests[8];
	unsigned int n, done;
	bool ordered;
	pthread_mutex_t lock;
	pthread_cond_t cond;
};

static void batch_done(struct pmt_request *req)
{
	struct batch *batch = req->context;

	pthread_mutex_lock(&batch->lock);
	batch->ordered = batch->ordered && req == &batch->requests[batch->done];
	batch->done++;
	pthread_cond_signal(&batch->cond);
	pthread_mutex_unlock(&batch->lock);
}

static void batch_submit(struct batch *batch, struct pmt_worker *worker, unsigned int n)
{
	while (n--) {
		struct pmt_request *req = &batch->requests[batch->n];

		req->cmd = (struct pmt_command){ .number = batch->n, .op = PMT_OP_WRITE,
						 .place = rig.place, .length = 1 };
		req->cmd.place.lbn = batch->n++;
		req->data = "x";
		req->done = batch_done;
		req->context = batch;
		pmt_worker_submit(worker, req);
	}
}

static void batch_wait(struct batch *batch)
{
	pthread_mutex_lock(&batch->lock);
	while (batch->done < batch->n)
		pthread_cond_wait(&batch->cond, &batch->lock);
	pthread_mutex_unlock(&batch->lock);
}

static struct pmt_worker *worker_over(const char *spec)
{
	struct pmt_worker *worker;

	open_spec(spec);
	ck_assert_int_eq(pmt_worker_new(&worker, rig.drive), 0);
	return worker;
}

#define BATCH { .ordered = true, .lock = PTHREAD_MUTEX_INITIALIZER, \
		.cond = PTHREAD_COND_INITIALIZER }
#define ck_status(i, s) ck_assert_int_eq(batch.requests[i].result.status, s)

static const char *const freezing[] = {
	"fault?op=write&at=2&error=medium|mem:a",
	"mirror(fault?op=write&at=2&error=medium|mem:a)",
};

START_TEST(worker_freezes_until_resume)
{
	struct batch batch = BATCH;
	struct pmt_worker *worker = worker_over(freezing[_i]);

	batch_submit(&batch, worker, 6);
	batch_wait(&batch);
	ck_status(1, PMT_STATUS_GOOD);
	ck_status(2, PMT_STATUS_CHECK);
	ck_status(3, PMT_STATUS_CANCELLED);
	ck_status(5, PMT_STATUS_CANCELLED);
	batch_submit(&batch, worker, 1);
	batch_wait(&batch);
	ck_status(6, PMT_STATUS_CANCELLED);
	ck_assert_uint_eq(medium->volume.n, 2);
	pmt_worker_resume(worker);
	batch_submit(&batch, worker, 1);
	batch_wait(&batch);
	ck_status(7, PMT_STATUS_CHECK);
	ck_assert_uint_eq(batch.requests[7].result.key, PMT_KEY_MEDIUM);
	ck_assert(batch.ordered);
	pmt_worker_free(worker);
}
END_TEST

static const char *const slow[] = {
	"delay?op=write&ms=50|mem:a",
	"mirror(delay?op=write&ms=50|mem:a)",
};

START_TEST(worker_cancels_what_is_not_begun)
{
	struct batch batch = BATCH;
	struct pmt_worker *worker = worker_over(slow[_i]);
	unsigned int good = 0;

	batch_submit(&batch, worker, 2);
	pmt_worker_cancel(worker, 4);
	batch_submit(&batch, worker, 3);
	batch_wait(&batch);
	for (unsigned int i = 0; i < 4; i++)
		good += batch.requests[i].result.status == PMT_STATUS_GOOD;
	ck_status(2, PMT_STATUS_CANCELLED);
	ck_status(3, PMT_STATUS_CANCELLED);
	ck_assert_int_ne(batch.requests[4].result.status, PMT_STATUS_CANCELLED);
	ck_assert_uint_le(good, 2);
	ck_assert(batch.ordered);
	pmt_worker_free(worker);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("filters");
	TCase *tests = tcase_create("filters");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, limit_is_exact);
	tcase_add_test(tests, limit_counts_marks_and_parts);
	tcase_add_test(tests, limit_follows_overwriting_and_reading);
	tcase_add_test(tests, limit_is_new_for_a_new_volume);
	tcase_add_test(tests, limit_hides_room);
	tcase_add_test(tests, limit_leaves_the_guards_to_the_leaf);
	tcase_add_loop_test(tests, fault_has_its_sense, 0, 8);
	tcase_add_test(tests, fault_after_count_at);
	tcase_add_test(tests, fault_behind);
	tcase_add_test(tests, fault_kills_between_unload_and_its_answer);
	tcase_add_test(tests, fault_exits);
	tcase_add_test(tests, delay_delays_its_command);
	tcase_add_loop_test(tests, worker_freezes_until_resume, 0, 2);
	tcase_add_loop_test(tests, worker_cancels_what_is_not_begun, 0, 2);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
