// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The rmt drive, in front of servers of every kind, over a tape that behaves as
 * under st: what they understand, many commands at once, and what goes wrong in the
 * middle of them.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fakermt.h"
#include "fakest.h"
#include "memleaf.h"
#include "suite.h"

#define MANY 120

static struct rig rig;

static void setup(void)
{
	rig_init(&rig);
}

static void teardown(void)
{
	rig_close(&rig);
	fake_server_stop();
}

#define ck_good(status) ck_assert_int_eq(status, PMT_STATUS_GOOD)
#define ck_sense(result, k, a, q)                                                  \
	do {                                                                       \
		ck_assert_int_eq((result).status, PMT_STATUS_CHECK);               \
		ck_assert_uint_eq((result).key, k);                                \
		ck_assert_uint_eq((result).asc, a);                                \
		ck_assert_uint_eq((result).ascq, q);                               \
	} while (0)
#define ck_at(l, f, b)                                                             \
	do {                                                                       \
		ck_assert_uint_eq(rig.result.place.lbn, l);                        \
		ck_assert_uint_eq(rig.result.place.file, f);                       \
		ck_assert_uint_eq(rig.result.place.block, b);                      \
	} while (0)

/* What has to be said of a server that knows no version. */
static const char *const systems[FAKE_DIALECTS] = {
	[FAKE_PMT] = "", [FAKE_DUMP] = "", [FAKE_SCHILY] = "",
	[FAKE_GNU] = "&os=linux", [FAKE_BSD] = "&os=bsd",
};

/* A machine under load is no slow line: its patience does not end. */
static int open_rmt(const char *options)
{
	char all[128];

	snprintf(all, sizeof(all), "%s%s%s", systems[server.dialect], options,
		 strstr(options, "&time=") ? "" : "&time=60000");
	return rig_open(&rig, fake_server_spec("/dev/nst0", all));
}

static void begin(enum fake_dialect dialect, const char *options)
{
	fake_server_start(dialect);
	ck_assert_int_eq(open_rmt(options), 0);
}

static bool has_place(void)
{
	return server.dialect <= FAKE_DUMP;
}

/* ---- many commands at once ---- */

struct many {
	struct pmt_request requests[MANY];
	char *data[MANY];
	unsigned int n, done;
	bool order;
	pthread_mutex_t lock;
	pthread_cond_t cond;
};

static struct many many;

static void one_done(struct pmt_request *req)
{
	pthread_mutex_lock(&many.lock);
	many.order = many.order && req == &many.requests[many.done];
	many.done++;
	pthread_cond_signal(&many.cond);
	pthread_mutex_unlock(&many.lock);
}

static void many_begin(void)
{
	many = (struct many){ .order = true, .lock = PTHREAD_MUTEX_INITIALIZER,
			      .cond = PTHREAD_COND_INITIALIZER };
}

/* Record i is of a size of its own, and says which it is. */
static uint32_t size_of(unsigned int i)
{
	return 100 + i * 37 % 400;
}

static void fill(char *data, unsigned int i, size_t size)
{
	memset(data, 'a' + (int)i % 26, size);
	snprintf(data, size, "record %u", i);
}

/* At rig.place, which goes on as if all were well. */
static void submit(unsigned int op, uint32_t size)
{
	struct pmt_request *req = &many.requests[many.n];
	unsigned int i = many.n;

	many.data[i] = calloc(1, size + 1);
	if (op == PMT_OP_WRITE)
		fill(many.data[i], i, size);
	*req = (struct pmt_request){
		.cmd = { .op = (uint16_t)op, .number = rig.number++, .place = rig.place,
			 .length = size },
		.data = many.data[i],
		.done = one_done,
	};
	rig.place = pmt_place_after(&req->cmd);
	many.n++;
	rig.drive->ops->submit(rig.drive, req);
}

static void wait_for_all(void)
{
	pthread_mutex_lock(&many.lock);
	while (many.done < many.n)
		pthread_cond_wait(&many.cond, &many.lock);
	pthread_mutex_unlock(&many.lock);
	ck_assert(many.order);
}

static void many_end(void)
{
	for (unsigned int i = 0; i < many.n; i++)
		free(many.data[i]);
	rig.drive->ops->resume(rig.drive);
}

static const struct pmt_result *result(unsigned int i)
{
	return &many.requests[i].result;
}

static unsigned int count(unsigned int status)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < many.n; i++)
		n += result(i)->status == status;
	return n;
}

/* The tape has the first n of them from at on, in order, and nothing else behind. */
static void tape_has(unsigned int at, unsigned int n)
{
	ck_assert_uint_eq(fake.n, at + n);
	for (unsigned int i = 0; i < n; i++) {
		const struct fake_object *object = &fake.objects[at + i];

		ck_assert(!object->mark);
		ck_assert_uint_eq(object->length, many.requests[i].cmd.length);
		ck_assert_int_eq(memcmp(object->data, many.data[i], object->length), 0);
	}
}

static void write_many(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		submit(PMT_OP_WRITE, size_of(i));
}

/* ---- what servers understand ---- */

/* one two | three four five | */
static void write_some(void)
{
	ck_good(rig_write(&rig, "one"));
	ck_good(rig_write(&rig, "two"));
	ck_good(rig_marks(&rig, 1));
	ck_good(rig_write(&rig, "three"));
	ck_good(rig_write(&rig, "four"));
	ck_good(rig_write(&rig, "five"));
	ck_good(rig_marks(&rig, 1));
	ck_at(7, 2, 0);
}

static void expect_text(const char *text)
{
	char buffer[64] = "";

	ck_good(rig_read(&rig, buffer, sizeof(buffer)));
	ck_assert_int_eq(rig.result.residue, (int64_t)(sizeof(buffer) - strlen(text)));
	ck_assert_int_eq(memcmp(buffer, text, strlen(text)), 0);
}

static void expect_mark(void)
{
	char buffer[64];

	rig_read(&rig, buffer, sizeof(buffer));
	ck_sense(rig.result, PMT_KEY_NONE, 0x00, 0x01);
}

START_TEST(write_and_read)
{
	char buffer[64];

	begin((enum fake_dialect)_i, "");
	write_some();
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	ck_at(0, 0, 0);
	expect_text("one");
	ck_at(1, 0, 1);
	expect_text("two");
	expect_mark();
	ck_at(3, 1, 0);
	expect_text("three");
	expect_text("four");
	expect_text("five");
	expect_mark();
	ck_at(7, 2, 0);
	rig_read(&rig, buffer, sizeof(buffer));
	ck_sense(rig.result, PMT_KEY_BLANK, 0x00, 0x05);
	ck_assert_uint_eq(server.unknown, 0);
	ck_assert_str_eq(server.word, "2 O_RDWR");
	rig_close(&rig);
	ck_assert_uint_eq(fake.auto_marks, 0);
	ck_assert_uint_eq(fake.n, 7);
}
END_TEST

START_TEST(motion)
{
	begin((enum fake_dialect)_i, "");
	write_some();
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	ck_good(rig_space(&rig, PMT_SPACE_FILEMARKS, 1));
	expect_text("three");
	ck_good(rig_space(&rig, PMT_SPACE_RECORDS, 1));
	expect_text("five");
	ck_good(rig_space(&rig, PMT_SPACE_RECORDS, -2));
	expect_text("four");
	ck_good(rig_locate(&rig, 1));
	expect_text("two");
	if (server.dialect != FAKE_BSD) {
		ck_good(rig_space(&rig, PMT_SPACE_EOD, 0));
		ck_assert(!has_place() || rig.result.place.lbn == 7);
	}
	ck_assert_uint_eq(server.unknown, 0);
	ck_assert_uint_eq(fake.n, 7);
}
END_TEST

/* Nobody is asked to do what he may take for something else. */
START_TEST(nothing_is_guessed)
{
	fake_server_start(_i ? FAKE_BSD : FAKE_GNU);
	ck_assert_int_eq(rig_open(&rig, fake_server_spec("/dev/nst0", "")), -EPROTO);
	ck_assert_int_eq(server.worst_op, 0);
	ck_assert_uint_eq(fake.n, 0);
	ck_assert_uint_eq(server.unknown, 0);
}
END_TEST

/* A status of another machine. */
START_TEST(other_byte_order)
{
	fake_server_start((enum fake_dialect)(FAKE_SCHILY + _i));
	server.swapped = true;
	ck_assert_int_eq(open_rmt(""), 0);
	write_some();
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	expect_text("one");
	expect_text("two");
	expect_mark();
}
END_TEST

START_TEST(no_cartridge)
{
	begin((enum fake_dialect)_i, "");
	ck_good(rig_write(&rig, "one"));
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	rig_op(&rig, PMT_OP_TEST);
	ck_sense(rig.result, PMT_KEY_NOT_READY, 0x3a, 0x00);
	fake_insert("");
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_at(0, 0, 0);
	ck_good(rig_write(&rig, "next"));
	ck_assert_uint_eq(fake.n, 1);
}
END_TEST

START_TEST(begins_without_cartridge)
{
	fake_server_start(FAKE_PMT);
	fake.present = false;
	ck_assert_int_eq(open_rmt(""), 0);
	rig_op(&rig, PMT_OP_TEST);
	ck_sense(rig.result, PMT_KEY_NOT_READY, 0x3a, 0x00);
	fake_insert("");
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_good(rig_write(&rig, "one"));
}
END_TEST

START_TEST(protected_medium)
{
	fake_server_start((enum fake_dialect)_i);
	fake.protected = true;
	ck_assert_int_eq(open_rmt(""), 0);
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert(rig.result.medium_flags & PMT_MEDIUM_PROTECTED);
	rig_write(&rig, "one");
	ck_sense(rig.result, PMT_KEY_PROTECT, 0x27, 0x00);
}
END_TEST

START_TEST(bad_specifications)
{
	static const char *const bad[] = {
		"rmt:", "rmt:host", "rmt::/dev/nst0", "rmt:host:", "rmt:-oProxy:/dev/nst0",
		"rmt:@host:/dev/nst0", "rmt:[::1:/dev/nst0", "rmt:h:t?via=rsh",
		"rmt:h:t?os=solaris", "rmt:h:t?command=x&via=ssh", "rmt:h:t?command=x&rmt=y",
		"rmt:h:t?window=x", "rmt:h:t?time=0", "rmt:h:t?frob=1",
		"rmt:h:t?command=x&frob=1",
	};

	fake_server_start(FAKE_PMT);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *error = NULL;
		int rc = pmt_drive_open(&rig.drive, bad[i], &error);

		ck_assert(rc == -EINVAL || rc == -ERANGE);
		ck_assert_ptr_nonnull(error);
		ck_assert(strncmp(error, "column ", 7) == 0);
		free(error);
		rig.drive = NULL;
	}
	ck_assert_uint_eq(server.connections, 0);
}
END_TEST

START_TEST(nobody_answers)
{
	fake_server_start(FAKE_PMT);
	server.away = true;
	ck_assert_int_eq(open_rmt(""), -ENOLINK);
	ck_assert_int_eq(rig_open(&rig, "rmt:h:t?command=exit\\ 3"), -ENOLINK);
	ck_assert_int_eq(rig_open(&rig, "rmt:h:t?command=echo\\ Last\\ login"), -ENOLINK);
}
END_TEST

/* ---- many at once ---- */

START_TEST(writes_are_not_waited_for)
{
	begin((enum fake_dialect)_i, "");
	ck_good(rig_write(&rig, "first"));
	many_begin();
	server.hold = 50;
	write_many(100);
	wait_for_all();
	ck_assert_uint_eq(count(PMT_STATUS_GOOD), 100);
	ck_assert_uint_ge(server.ahead, 50);
	ck_assert_uint_eq(result(99)->place.lbn, 101);
	tape_has(1, 100);
	many_end();
}
END_TEST

START_TEST(settles)
{
	begin(FAKE_PMT, "");
	ck_assert(rig_settles(&rig));
}
END_TEST

/* No more than the window. */
START_TEST(the_window_is_kept)
{
	begin(FAKE_PMT, "&window=2000");
	ck_good(rig_write(&rig, "first"));
	many_begin();
	server.hold = 4;
	for (int i = 0; i < 4; i++)
		submit(PMT_OP_WRITE, 500);
	wait_for_all();
	ck_assert_uint_eq(server.ahead, 4);
	many_end();
	many_begin();
	server.linger = true;
	for (int i = 0; i < 30; i++)
		submit(PMT_OP_WRITE, 500);
	wait_for_all();
	ck_assert_uint_eq(count(PMT_STATUS_GOOD), 30);
	ck_assert_uint_le(server.ahead, 4);
	tape_has(5, 30);
	many_end();
}
END_TEST

static int64_t shown(const char *key)
{
	char *json, *at, wanted[64];
	int64_t value;

	snprintf(wanted, sizeof(wanted), "\"%s\":", key);
	ck_assert_int_eq(pmt_drive_status_json(rig.drive, &json), 0);
	at = strstr(json, wanted);
	ck_assert_ptr_nonnull(at);
	value = atoll(at + strlen(wanted));
	free(json);
	return value;
}

/* Nor are more sent behind one that has waited for its answer so long. */
START_TEST(patience_ends)
{
	begin(FAKE_PMT, "&time=1");
	ck_good(rig_write(&rig, "first"));
	server.stuck = true;
	many_begin();
	write_many(1);
	while (shown("on_the_wire") != 1)
		usleep(1000);
	usleep(20000);
	write_many(10);
	usleep(100000);
	server.stuck = false;
	wait_for_all();
	ck_assert_int_le(shown("on_the_wire_at_most"), 10);
	ck_assert_int_eq(server.behind, 0);
	ck_assert_uint_eq(count(PMT_STATUS_GOOD), 11);
	many_end();
}
END_TEST

START_TEST(blocks_of_fixed_size)
{
	char data[8 * 64];
	struct pmt_command cmd = { .op = PMT_OP_WRITE, .length = sizeof(data),
				   .block_size = 64 };

	begin((enum fake_dialect)_i, "");
	ck_good(rig_write(&rig, "first"));
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)('a' + i / 64);
	cmd.place = rig.place;
	server.hold = 8;
	ck_good(rig_do(&rig, cmd, data));
	ck_assert_uint_eq(server.ahead, 8);
	ck_at(9, 0, 9);
	ck_assert_uint_eq(fake.n, 9);
	ck_good(rig_marks(&rig, 1));
	ck_good(rig_locate(&rig, 1));
	memset(data, 0, sizeof(data));
	cmd.op = PMT_OP_READ;
	cmd.place = rig.place;
	ck_good(rig_do(&rig, cmd, data));
	for (size_t i = 0; i < sizeof(data); i++)
		ck_assert_int_eq(data[i], 'a' + (int)i / 64);
	/* Two blocks, and the mark. */
	ck_good(rig_locate(&rig, 7));
	cmd.place = rig.place;
	rig_do(&rig, cmd, data);
	ck_sense(rig.result, PMT_KEY_NONE, 0x00, 0x01);
	ck_assert_int_eq(rig.result.residue, 6);
	ck_assert_uint_eq(rig.result.place.lbn, 10);
}
END_TEST

/* A record of another size among the blocks. */
START_TEST(wrong_block)
{
	char data[4 * 5];
	struct pmt_command cmd = { .op = PMT_OP_READ, .length = sizeof(data),
				   .block_size = 5 };

	begin(FAKE_PMT, "");
	ck_good(rig_write(&rig, "12345"));
	ck_good(rig_write(&rig, "12345"));
	ck_good(rig_write(&rig, "123"));
	ck_good(rig_write(&rig, "12345"));
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	cmd.place = rig.place;
	rig_do(&rig, cmd, data);
	ck_sense(rig.result, PMT_KEY_NONE, 0x00, 0x00);
	ck_assert_int_eq(rig.result.residue, 2);
	ck_assert_uint_eq(rig.result.place.lbn, 3);
}
END_TEST

static void check_read(unsigned int from, unsigned int n, unsigned int first)
{
	for (unsigned int i = from; i < from + n; i++) {
		char wanted[1000];
		uint32_t size = size_of(first + i - from);

		ck_good(result(i)->status);
		fill(wanted, first + i - from, size);
		ck_assert_int_eq(result(i)->residue,
				 (int64_t)many.requests[i].cmd.length - size);
		ck_assert_int_eq(memcmp(many.data[i], wanted, size), 0);
	}
}

/* Records of all sizes, asked for by more; then a mark, and what was read beyond. */
START_TEST(reads_run_ahead)
{
	static const unsigned int sizes[] = { 700, 499, 70000 };

	begin((enum fake_dialect)_i, "");
	ck_good(rig_write(&rig, "first"));
	many_begin();
	write_many(60);
	wait_for_all();
	many_end();
	ck_good(rig_marks(&rig, 1));
	ck_good(rig_write(&rig, "behind"));
	ck_good(rig_marks(&rig, 1));
	for (int k = 0; k < 3; k++) {
		ck_good(rig_locate(&rig, 0));
		expect_text("first");
		many_begin();
		server.hold = has_place() ? 30 : 0;
		server.ahead = 0;
		for (int i = 0; i < 80; i++)
			submit(PMT_OP_READ, sizes[k]);
		wait_for_all();
		ck_assert(has_place() ? server.ahead >= 30 : server.ahead == 1);
		check_read(0, 60, 0);
		ck_sense(*result(60), PMT_KEY_NONE, 0x00, 0x01);
		ck_assert_uint_eq(result(60)->place.lbn, 62);
		ck_assert_uint_eq(count(PMT_STATUS_CANCELLED), 19);
		rig.place = result(60)->place;
		many_end();
		expect_text("behind");
	}
}
END_TEST

/* All of one size, as most tapes are. */
START_TEST(reads_of_one_size)
{
	begin(FAKE_PMT, "");
	ck_good(rig_write(&rig, "first"));
	many_begin();
	for (int i = 0; i < 100; i++)
		submit(PMT_OP_WRITE, 300);
	wait_for_all();
	many_end();
	ck_good(rig_marks(&rig, 1));
	ck_good(rig_locate(&rig, 0));
	expect_text("first");
	many_begin();
	server.hold = 20;
	for (int i = 0; i < 100; i++)
		submit(PMT_OP_READ, 300);
	wait_for_all();
	ck_assert_uint_eq(count(PMT_STATUS_GOOD), 100);
	for (unsigned int i = 0; i < 100; i++) {
		char wanted[300];

		fill(wanted, i, sizeof(wanted));
		ck_assert_int_eq(memcmp(many.data[i], wanted, sizeof(wanted)), 0);
	}
	many_end();
}
END_TEST

/* A longer record than was asked for, and writing where reading has been. */
START_TEST(longer_record)
{
	char buffer[4];

	begin((enum fake_dialect)_i, "");
	write_some();
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	expect_text("one");
	expect_text("two");
	expect_mark();
	rig_read(&rig, buffer, sizeof(buffer));
	ck_sense(rig.result, PMT_KEY_NONE, 0x00, 0x00);
	ck_assert(rig.result.sense & PMT_SENSE_ILI);
	ck_at(4, 1, 1);
	expect_text("four");
}
END_TEST

START_TEST(cancelled)
{
	begin(FAKE_PMT, "");
	ck_good(rig_write(&rig, "first"));
	many_begin();
	rig.drive->ops->cancel(rig.drive, rig.number + 5);
	write_many(10);
	wait_for_all();
	for (unsigned int i = 0; i < 5; i++)
		ck_assert_int_eq(result(i)->status, PMT_STATUS_CANCELLED);
	/* Those behind are at a place that the tape does not have. */
	ck_assert_int_eq(result(5)->status, PMT_STATUS_CHECK);
	many_end();
	ck_assert_uint_eq(fake.n, 1);
}
END_TEST

/* ---- the end of the tape ---- */

/*
 * st refuses every second write from early warning on and lets the one behind it
 * through, while many are on the wire.
 */
START_TEST(none_overtakes)
{
	static const size_t rooms[] = { 4000, 9000, 15000 };

	fake_server_start((enum fake_dialect)(_i % FAKE_DIALECTS));
	server.short_end = _i >= FAKE_DIALECTS;
	fake.capacity = 31000;
	fake.ew = rooms[_i % 3];
	ck_assert_int_eq(open_rmt(""), 0);
	ck_good(rig_write(&rig, "first"));
	many_begin();
	server.hold = 60;
	write_many(100);
	wait_for_all();
	ck_assert_uint_ge(server.ahead, 60);
	ck_assert_uint_eq(count(PMT_STATUS_GOOD), 100);
	ck_assert_uint_ge(rig.warnings, 1);
	tape_has(1, 100);
	ck_assert_uint_eq(result(99)->place.lbn, 101);
	ck_assert(result(99)->sense & PMT_SENSE_EOM);
	many_end();
	ck_good(rig_marks(&rig, 1));
	ck_assert_uint_eq(fake.n, 102);
}
END_TEST

/* A large record does not fit any more, the small ones behind it would. */
START_TEST(nothing_stays_behind_the_end)
{
	fake_server_start((enum fake_dialect)(_i % FAKE_DIALECTS));
	server.short_end = _i >= FAKE_DIALECTS;
	fake.capacity = 3000;
	ck_assert_int_eq(open_rmt(""), 0);
	ck_good(rig_write(&rig, "first"));
	many_begin();
	server.hold = 20;
	for (int i = 0; i < 5; i++)
		submit(PMT_OP_WRITE, 500);
	submit(PMT_OP_WRITE, 900);
	for (int i = 0; i < 14; i++)
		submit(PMT_OP_WRITE, 20);
	wait_for_all();
	ck_assert_uint_eq(count(PMT_STATUS_GOOD), 5);
	ck_sense(*result(5), PMT_KEY_OVERFLOW, 0x00, 0x02);
	ck_assert_uint_eq(result(5)->place.lbn, 6);
	ck_assert_uint_eq(count(PMT_STATUS_CANCELLED), 14);
	/* A server of BSD has no way to cut it off but a mark. */
	if (server.dialect != FAKE_BSD) {
		tape_has(1, 5);
	} else {
		ck_assert_uint_eq(fake.n, 7);
		ck_assert(fake.objects[6].mark);
	}
	rig.place = result(5)->place;
	many_end();
	ck_good(rig_write(&rig, "trailer"));
	ck_assert_uint_eq(fake.n, 7);
	ck_assert_uint_eq(fake.objects[6].length, 7);
}
END_TEST

/* ---- errors ---- */

START_TEST(error_in_the_middle)
{
	begin((enum fake_dialect)_i, "");
	ck_good(rig_write(&rig, "first"));
	many_begin();
	server.hold = 5;
	write_many(10);
	wait_for_all();
	many_end();
	many_begin();
	fake.fail_writes = 1000;
	write_many(30);
	wait_for_all();
	ck_sense(*result(0), PMT_KEY_MEDIUM, 0x0c, 0x00);
	ck_assert_uint_eq(count(PMT_STATUS_CANCELLED), 29);
	ck_assert_uint_eq(fake.n, 11);
	rig.place = result(0)->place;
	fake.fail_writes = 0;
	many_end();
	/* Without it, nobody knows where the drive has stopped. */
	ck_assert(has_place() || rig.place.lbn == PMT_UNKNOWN);
	if (!has_place())
		return;
	many_begin();
	server.hold = 20;
	write_many(30);
	wait_for_all();
	ck_assert_uint_eq(count(PMT_STATUS_GOOD), 30);
	tape_has(11, 30);
	many_end();
}
END_TEST

/* One that does not come again; what was behind it is not where it belongs. */
START_TEST(passing_error)
{
	begin((enum fake_dialect)_i, "");
	ck_good(rig_write(&rig, "first"));
	fake.fail_writes = 1;
	many_begin();
	server.hold = 20;
	write_many(30);
	wait_for_all();
	ck_assert_uint_eq(count(PMT_STATUS_GOOD), 30);
	tape_has(1, 30);
	many_end();
}
END_TEST

static const char *const garbage[] = {
	"A\n", "A999999\n", "Axyz\n", "hello\n", "A-5\n", "\n", "F5\nInput/output error\n",
	"A99999999999999999999999999999\n", "E\nx\n",
};

START_TEST(answers_that_are_none)
{
	begin(FAKE_PMT, "");
	ck_good(rig_write(&rig, "first"));
	server.garbage = garbage[_i];
	many_begin();
	server.hold = 20;
	write_many(30);
	wait_for_all();
	ck_assert_uint_eq(count(PMT_STATUS_GOOD), 30);
	ck_assert_uint_eq(server.connections, 2);
	tape_has(1, 30);
	many_end();
	ck_good(rig_locate(&rig, 0));
	server.garbage = garbage[_i];
	expect_text("first");
}
END_TEST

/* ---- a connection that is lost ---- */

/* At the first, in the middle, and at the last of those that are written at once. */
START_TEST(lost_while_writing)
{
	static const unsigned int at[] = { 1, 2, 17, 40 };

	begin(_i / 8 ? FAKE_GNU : FAKE_PMT, "");
	ck_good(rig_write(&rig, "first"));
	server.executed = _i % 2;
	server.lose = at[_i / 2 % 4];
	many_begin();
	server.hold = 20;
	write_many(40);
	wait_for_all();
	ck_assert_uint_eq(count(PMT_STATUS_GOOD), 40);
	ck_assert_uint_eq(server.connections, 2);
	ck_assert_uint_eq(fake.auto_marks, 1);
	tape_has(1, 40);
	ck_assert_uint_eq(result(39)->place.lbn, 41);
	many_end();
	ck_good(rig_marks(&rig, 1));
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	expect_text("first");
	ck_assert_uint_eq(fake.n, 42);
}
END_TEST

START_TEST(lost_while_reading)
{
	begin((enum fake_dialect)(_i / 2), "");
	ck_good(rig_write(&rig, "first"));
	many_begin();
	write_many(40);
	wait_for_all();
	many_end();
	ck_good(rig_marks(&rig, 1));
	ck_good(rig_locate(&rig, 0));
	expect_text("first");
	server.executed = _i % 2;
	server.lose = 20;
	many_begin();
	for (int i = 0; i < 41; i++)
		submit(PMT_OP_READ, 600);
	wait_for_all();
	check_read(0, 40, 0);
	ck_sense(*result(40), PMT_KEY_NONE, 0x00, 0x01);
	ck_assert_uint_eq(server.connections, 2);
	many_end();
	ck_assert_uint_eq(fake.n, 42);
}
END_TEST

/* What is not data is repeated, too, and done once. */
START_TEST(lost_while_marking)
{
	begin((enum fake_dialect)_i, "");
	ck_good(rig_write(&rig, "first"));
	server.lose_op = MTWEOF;
	ck_good(rig_marks(&rig, 1));
	ck_good(rig_write(&rig, "second"));
	ck_assert_uint_eq(server.connections, 2);
	ck_assert_uint_eq(fake.n, 3);
	ck_assert(fake.objects[1].mark);
	server.lose_op = MTREW;
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	expect_text("first");
	ck_assert_uint_eq(server.connections, 3);
}
END_TEST

/* What was on the tape already when it cannot be written again is not left there. */
START_TEST(lost_and_broken)
{
	begin(FAKE_PMT, "");
	ck_good(rig_write(&rig, "first"));
	server.executed = true;
	server.lose = 5;
	server.broken = 1000;
	many_begin();
	server.hold = 20;
	write_many(20);
	wait_for_all();
	ck_assert_uint_eq(count(PMT_STATUS_GOOD), 4);
	ck_sense(*result(4), PMT_KEY_MEDIUM, 0x0c, 0x00);
	ck_assert_uint_eq(result(4)->place.lbn, 5);
	ck_assert_uint_eq(fake.auto_marks, 1);
	tape_has(1, 4);
	many_end();
}
END_TEST

START_TEST(lost_again_and_again)
{
	begin(FAKE_PMT, "");
	ck_good(rig_write(&rig, "first"));
	server.lose = 1;
	server.again = 4;
	ck_good(rig_write(&rig, "second"));
	ck_assert_uint_eq(server.connections, 6);
	ck_assert_uint_eq(fake.n, 2);
}
END_TEST

/* It was done perhaps, and then here is elsewhere. */
START_TEST(lost_and_here)
{
	char buffer[64];
	struct pmt_command cmd = { .op = PMT_OP_READ, .flags = PMT_CMD_HERE,
				   .length = sizeof(buffer) };

	begin(_i ? FAKE_GNU : FAKE_PMT, "");
	write_some();
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	cmd.place = rig.place;
	server.executed = true;
	server.lose = 1;
	rig_do(&rig, cmd, buffer);
	ck_sense(rig.result, PMT_KEY_ABORTED, 0x3b, 0x00);
}
END_TEST

START_TEST(answers_to_nothing)
{
	begin(FAKE_PMT, "");
	ck_good(rig_write(&rig, "first"));
	server.extra = true;
	ck_good(rig_write(&rig, "12345"));
	ck_good(rig_write(&rig, "67890"));
	ck_assert_uint_eq(server.connections, 2);
	ck_assert_uint_eq(fake.n, 3);
}
END_TEST

/* The unit stood elsewhere when the server before ended. */
START_TEST(rewound_between_servers)
{
	begin(FAKE_PMT, "");
	ck_good(rig_write(&rig, "first"));
	ck_good(rig_write(&rig, "second"));
	rig_close(&rig);
	rig.session.place = rig.place;
	ck_assert_int_eq(open_rmt(""), 0);
	ck_good(rig_write(&rig, "third"));
	rig_close(&rig);
	fake.at = 0;
	fake.file = fake.block = 0;
	rig.session.place = rig.place;
	ck_assert_int_eq(open_rmt(""), 0);
	ck_assert_int_eq(rig_write(&rig, "fourth"), PMT_STATUS_CHECK);
	rig_op(&rig, PMT_OP_TEST);
	ck_sense(rig.result, PMT_KEY_ATTENTION, 0x28, 0x00);
	ck_assert_uint_eq(fake.n, 3);
}
END_TEST

/* Nobody knows that it is still the same cartridge: nothing is written to it. */
START_TEST(lost_and_rewound)
{
	begin((enum fake_dialect)_i, "");
	ck_good(rig_write(&rig, "first"));
	ck_good(rig_marks(&rig, 1));
	ck_good(rig_write(&rig, "second"));
	server.rewound = true;
	server.lose = 5;
	many_begin();
	server.hold = 20;
	write_many(20);
	wait_for_all();
	ck_assert_int_eq(result(4)->status, PMT_STATUS_CHECK);
	ck_assert_uint_eq(count(PMT_STATUS_GOOD), 4);
	many_end();
	rig_op(&rig, PMT_OP_TEST);
	ck_sense(rig.result, PMT_KEY_ATTENTION, 0x28, 0x00);
	ck_assert_uint_eq(fake.n, 3 + 4 + 1);	/* and st's own mark */
	ck_assert_uint_eq(fake.objects[0].length, 5);
}
END_TEST

/* An unload that may have been done is not done again: the next would come out. */
START_TEST(lost_while_unloading)
{
	begin(FAKE_PMT, "");
	ck_good(rig_write(&rig, "first"));
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	server.lose_op = MTOFFL;
	if (_i) {
		ck_good(rig_op(&rig, PMT_OP_UNLOAD));
		ck_assert_uint_eq(server.connections, 2);
		return;
	}
	fake.reload = true;
	rig_op(&rig, PMT_OP_UNLOAD);
	ck_sense(rig.result, PMT_KEY_HARDWARE, 0x08, 0x00);
	ck_assert(fake.present);
}
END_TEST

START_TEST(lost_for_good)
{
	begin(FAKE_PMT, "&recovery=1");
	ck_good(rig_write(&rig, "first"));
	server.away = true;
	server.lose = 5;
	many_begin();
	server.hold = 20;
	write_many(20);
	wait_for_all();
	ck_assert_uint_eq(count(PMT_STATUS_GOOD), 4);
	ck_sense(*result(4), PMT_KEY_HARDWARE, 0x08, 0x00);
	ck_assert_uint_eq(count(PMT_STATUS_CANCELLED), 15);
	rig.place = many.requests[4].cmd.place;
	many_end();
	rig_write(&rig, "still away");
	ck_sense(rig.result, PMT_KEY_HARDWARE, 0x08, 0x00);
	server.away = false;
	ck_good(rig_write(&rig, "back"));
	ck_assert_uint_eq(fake.n, 6);
	ck_assert_uint_eq(fake.objects[5].length, 4);
}
END_TEST

/* A server that says nothing any more. */
START_TEST(silence)
{
	begin(FAKE_PMT, "&timeout=1");
	ck_good(rig_write(&rig, "first"));
	many_begin();
	server.hold = 100;
	write_many(20);
	wait_for_all();
	ck_assert_uint_eq(count(PMT_STATUS_GOOD), 20);
	ck_assert_uint_ge(server.connections, 2);
	tape_has(1, 20);
	many_end();
}
END_TEST

/* Nor when it is connected again: that is over in time. */
START_TEST(silence_when_connecting_again)
{
	begin(FAKE_PMT, "&recovery=1");
	ck_good(rig_write(&rig, "first"));
	server.mute = true;
	server.lose = 1;
	rig_write(&rig, "lost");
	ck_sense(rig.result, PMT_KEY_HARDWARE, 0x08, 0x00);
	server.mute = false;
	rig.place = rig.result.place;
	ck_good(rig_write(&rig, "back"));
	ck_assert_uint_eq(fake.n, 2);
	ck_assert_uint_eq(fake.objects[1].length, 4);
}
END_TEST

/* st makes blocks of a record there: GNU's server can be told that it is not to. */
START_TEST(fixed_blocks_there)
{
	fake_server_start((enum fake_dialect)_i);
	fake.block_size = 512;
	ck_assert_int_eq(open_rmt(""), server.dialect == FAKE_GNU ? 0 : -EINVAL);
	if (server.dialect == FAKE_GNU)
		ck_good(rig_write(&rig, "first"));
	ck_assert_uint_eq(fake.n, server.dialect == FAKE_GNU);
}
END_TEST

START_TEST(fixed_blocks_after_reconnecting)
{
	begin(FAKE_PMT, "");
	ck_good(rig_write(&rig, "first"));
	fake.block_size = 512;
	server.lose = 1;
	rig_write(&rig, "second");
	ck_sense(rig.result, PMT_KEY_HARDWARE, 0x08, 0x00);
	ck_assert_uint_eq(server.connections, 2);
	while (*(volatile bool *)&fake.open)	/* so that it can be set right */
		usleep(1000);
	fake.block_size = 0;
	rig.place = rig.result.place;
	ck_good(rig_write(&rig, "second"));
	ck_assert_uint_eq(fake.n, 2);
}
END_TEST

/* Somebody else's open of the tape ends. */
START_TEST(busy_for_a_while)
{
	begin(FAKE_PMT, "");
	ck_good(rig_write(&rig, "first"));
	fake.busy = 3;
	server.lose = 5;
	many_begin();
	write_many(20);
	wait_for_all();
	ck_assert_uint_eq(count(PMT_STATUS_GOOD), 20);
	tape_has(1, 20);
	many_end();
}
END_TEST

static void add(Suite *suite, const char *name, const TTest *const *tests, int loops)
{
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	for (; *tests; tests++)
		tcase_add_loop_test(tcase, *tests, 0, loops);
	suite_add_tcase(suite, tcase);
}

static Suite *rmt_suite(void)
{
	const TTest *const once[] = {
		begins_without_cartridge, bad_specifications, nobody_answers,
		settles, the_window_is_kept, patience_ends, wrong_block, reads_of_one_size, cancelled,
		lost_for_good, silence, silence_when_connecting_again,
		fixed_blocks_after_reconnecting, lost_and_broken, lost_again_and_again,
		answers_to_nothing, rewound_between_servers, busy_for_a_while, NULL,
	};
	const TTest *const twice[] = {
		nothing_is_guessed, other_byte_order, lost_while_unloading, lost_and_here, NULL,
	};
	const TTest *const each[] = {
		write_and_read, motion, no_cartridge, protected_medium,
		writes_are_not_waited_for, blocks_of_fixed_size, reads_run_ahead,
		longer_record, error_in_the_middle, passing_error, lost_while_marking,
		lost_and_rewound, NULL,
	};
	const TTest *const ends[] = { none_overtakes, nothing_stays_behind_the_end, NULL };
	const TTest *const texts[] = { answers_that_are_none, NULL };
	const TTest *const fixed[] = { fixed_blocks_there, NULL };
	const TTest *const points[] = { lost_while_writing, NULL };
	const TTest *const reading[] = { lost_while_reading, NULL };
	Suite *suite = suite_create("rmt drive");

	suite_quiet();
	add(suite, "once", once, 1);
	add(suite, "twice", twice, 2);
	add(suite, "each", each, FAKE_DIALECTS);
	add(suite, "ends", ends, 2 * FAKE_DIALECTS);
	add(suite, "texts", texts, (int)(sizeof(garbage) / sizeof(garbage[0])));
	add(suite, "fixed", fixed, FAKE_BSD);
	add(suite, "points", points, 2 * 8);
	add(suite, "reading", reading, 2 * FAKE_DIALECTS);
	return suite;
}

int main(int argc, char **argv)
{
	fake_server_pipe(argc, argv);
	return run_suite(rmt_suite());
}
