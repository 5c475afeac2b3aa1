// SPDX-License-Identifier: GPL-2.0-or-later
/* limit, fault and delay, what control makes of them, and the workers under them. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "memleaf.h"
#include "suite.h"

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

static void no_log(int priority, const char *message)
{
	(void)priority;
	(void)message;
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

/* Control */

static char said[200];

/* The line's return value; what was said is in said. */
static int control(const char *line)
{
	_cleanup_free_ char *error = NULL;
	int rc = pmt_drive_control(rig.drive, line, &error);

	ck_assert((rc == 0) == (error == NULL));
	snprintf(said, sizeof(said), "%s", error ? error : "");
	return rc;
}

static void ordered(const char *line)
{
	ck_assert_msg(control(line) == 0, "%s: %s", line, said);
}

static int write_fixed(const char *text, uint32_t size, uint16_t flags)
{
	return rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .place = rig.place,
						  .flags = flags, .block_size = size,
						  .length = (uint32_t)strlen(text) },
		      (void *)(uintptr_t)text);
}

static int write_again(const char *text)
{
	return write_fixed(text, 0, PMT_CMD_POSITIONED);
}

static void ck_at(uint64_t lbn)
{
	ck_assert_uint_eq(rig.result.place.lbn, lbn);
}

static void ck_sense(unsigned int key, unsigned int asc, unsigned int ascq)
{
	ck_key(key);
	ck_assert_uint_eq(rig.result.asc, asc);
	ck_assert_uint_eq(rig.result.ascq, ascq);
}

static void test_unit(void)
{
	struct pmt_place place = rig.place;

	rig_op(&rig, PMT_OP_TEST);
	rig.place = place;
}

/* Take the attention that is pending, and the place that it tells. */
static void take_attention(void)
{
	rig_op(&rig, PMT_OP_TEST);
	ck_sense(PMT_KEY_ATTENTION, 0x28, 0x00);
	ck_at(0);
	ck_assert_uint_eq(rig.result.place.file, 0);
	ck_assert_uint_eq(rig.result.place.block, 0);
}

START_TEST(control_refuses)
{
	static const struct {
		const char *line;
		int rc;
		const char *text;
	} lines[] = {
		{ "", -EINVAL, "a line is a verb and numbers" },
		{ "  \t", -EINVAL, "a line is a verb and numbers" },
		{ "frob 1", -EINVAL, "no drive here knows 'frob'" },
		{ "blan", -EINVAL, "no drive here knows 'blan'" },
		{ "blanks", -EINVAL, "no drive here knows 'blanks'" },
		{ "blank 1", -EINVAL, "expected: blank" },
		{ "eject now", -EINVAL, "expected: eject" },
		{ "wp", -EINVAL, "expected: wp 0|1" },
		{ "wp 2", -EINVAL, "expected: wp 0|1" },
		{ "wp 1 1", -EINVAL, "expected: wp 0|1" },
		{ "ua 28", -EINVAL, "expected: ua AS AQ" },
		{ "ua 100 0", -EINVAL, "expected: ua AS AQ" },
		{ "ua -1 0", -EINVAL, "expected: ua AS AQ" },
		{ "ua 2g 0", -EINVAL, "expected: ua AS AQ" },
		{ "cap 100", -EINVAL, "expected: cap BYTES EW" },
		{ "cap 5f 0", -EINVAL, "expected: cap BYTES EW" },
		{ "cap 99999999999999999999 0", -EINVAL, "expected: cap BYTES EW" },
		{ "cap 100 101", -EINVAL, "EW is more than BYTES" },
		{ "delay 3600001", -EINVAL, "expected: delay MS" },
		{ "fail 0a 10 0 0 0 1", -EINVAL, "expected: fail OP KEY FLAGS AS AQ N" },
		{ "fail 0a 3 1 0 0 1", -EINVAL, "FLAGS are of 80, 40 and 20" },
		{ "fail 1a 3 0 0 0 1", -ENOTSUP, "pmt has no command of operation code 1a" },
		{ "defer 34 3 0 0 1", -ENOTSUP, "pmt has no command of operation code 34" },
		{ "defer 0a 3 0 0 0 1", -EINVAL, "expected: defer OP KEY AS AQ N" },
		{ "ewvalid 1", -ENOTSUP, "a result of pmt does not have that choice" },
		{ "eodeom 1", -ENOTSUP, "a result of pmt does not have that choice" },
	};

	open_spec("fault|limit|mem:a");
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		ck_assert_int_eq(control(lines[i].line), lines[i].rc);
		ck_assert_str_eq(said, lines[i].text);
	}
	ordered(" cap  100\t10 \n");
	ck_good(rig_write(&rig, "x"));
}
END_TEST

/* A verb goes to all below that know it; one that nobody knows is refused. */
START_TEST(control_goes_down)
{
	open_spec("delay?op=write&ms=1|limit?capacity=3|mem:a");
	ck_assert_int_eq(control("eject"), -EINVAL);
	ordered("cap 2 0");
	rig_write(&rig, "123");
	ck_key(PMT_KEY_OVERFLOW);
	ordered("blank");
	ck_good(rig_write(&rig, "123"));
	rig_close(&rig);
	open_spec("mem:a");
	ck_assert_int_eq(control("blank"), -EINVAL);
	rig_close(&rig);
	open_spec("fault|mirror(limit|mem:a,limit|mem:b)?twins=any");
	ordered("wp 1");
	ordered("blank");
}
END_TEST

START_TEST(control_fault_without_options)
{
	open_spec("fault|limit|mem:a");
	for (int i = 0; i < 5; i++)
		ck_good(rig_write(&rig, "x"));
	ck_good(rig_marks(&rig, 1));
	ck_assert_uint_eq(medium->volume.n, 6);
	ck_assert_uint_eq(rig.result.room, PMT_UNKNOWN);
}
END_TEST

START_TEST(control_eject_insert)
{
	struct pmt_place place;

	open_spec("fault|limit|mem:a");
	rig_write(&rig, "one");
	rig_write(&rig, "two");
	place = rig.place;
	ordered("eject");
	for (unsigned int op = PMT_OP_TEST; op < PMT_OP_MAX; op++) {
		if (op == PMT_OP_UNLOAD)
			continue;
		rig.place = place;
		rig_op(&rig, op);
		ck_sense(PMT_KEY_NOT_READY, 0x3a, 0x00);
		ck_at(PMT_UNKNOWN);
		ck_assert_uint_eq(rig.result.place.file, PMT_UNKNOWN);
		ck_assert_uint_eq(rig.result.place.block, PMT_UNKNOWN);
		ck_assert_uint_eq(rig.result.place.generation, place.generation);
		ck_assert_uint_eq(rig.result.medium_flags, 0);
	}
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	ck_at(PMT_UNKNOWN);
	ck_assert(!medium->absent);
	rig.place = place;
	ck_good(rig_op(&rig, PMT_OP_MODE));
	ordered("insert");
	take_attention();
	ck_assert_uint_eq(rig.place.generation, place.generation);
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.medium_flags, PMT_MEDIUM_PRESENT);
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	ck_assert_uint_eq(medium->volume.n, 2);
}
END_TEST

/* An attention that comes before the cartridge is out is told first. */
START_TEST(control_attention_before_medium)
{
	open_spec("fault|limit|mem:a");
	ordered("insert");
	ordered("eject");
	rig_op(&rig, PMT_OP_TEST);
	ck_sense(PMT_KEY_ATTENTION, 0x28, 0x00);
	ck_at(PMT_UNKNOWN);
	rig_op(&rig, PMT_OP_TEST);
	ck_sense(PMT_KEY_NOT_READY, 0x3a, 0x00);
}
END_TEST

/* What the application has unloaded is loaded for it, as by hand. */
START_TEST(control_insert_loads)
{
	open_spec("fault|limit|mem:a");
	rig_write(&rig, "one");
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	ck_assert(medium->absent);
	medium->absent = false;
	ordered("insert");
	take_attention();
	ck_assert_uint_eq(rig.place.generation, 3);
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(medium->volume.n, 1);
}
END_TEST

START_TEST(control_blank)
{
	struct pmt_command mode = { .op = PMT_OP_MODE };

	open_spec("fault|limit?capacity=100|mem:a");
	rig_write(&rig, "one");
	rig_marks(&rig, 1);
	mode.place = rig.place;
	mode.modes.locked = 1;
	ck_good(rig_do(&rig, mode, NULL));
	ordered("cap 5 5");
	ordered("wp 1");
	ordered("notready 5");
	ordered("fail 0a 3 0 c 0 0");
	ordered("delay 1");
	ordered("eject");
	ordered("blank");
	take_attention();
	ck_assert_uint_eq(medium->volume.n, 0);
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.medium_flags, PMT_MEDIUM_PRESENT);
	ck_assert_uint_eq(rig.result.eod, 0);
	ck_good(rig_write(&rig, "no warning"));
	ck_assert_uint_eq(rig.result.sense, 0);
	/* The lock is as it was: this is no change of it. */
	ordered("fail 1e 5 0 24 0 1");
	mode.place = rig.place;
	ck_good(rig_do(&rig, mode, NULL));
	/* Where the medium is out of the drive, it is loaded for that. */
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	medium->absent = false;
	ordered("blank");
	take_attention();
	ck_assert_uint_eq(medium->volume.n, 0);
}
END_TEST

START_TEST(control_blank_image)
{
	char folder[] = "/tmp/check-filters-XXXXXX", spec[128], path[64], buffer[8];

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/a.tape", folder);
	snprintf(spec, sizeof(spec), "fault|limit|image:%s?capacity=1M&sync=no", path);
	open_spec(spec);
	for (int i = 0; i < 3; i++) {
		ck_good(rig_write(&rig, "record"));
		ck_good(rig_marks(&rig, 1));
		ordered("blank");
		take_attention();
		rig_read(&rig, buffer, sizeof(buffer));
		ck_key(PMT_KEY_BLANK);
	}
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	test_unit();
	ck_sense(PMT_KEY_NOT_READY, 0x3a, 0x00);
	ordered("insert");
	take_attention();
	ck_good(rig_write(&rig, "record"));
	rig_close(&rig);
	unlink(path);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(control_wp)
{
	static const unsigned int refused[] = { PMT_OP_WRITE, PMT_OP_ERASE, PMT_OP_FORMAT,
						PMT_OP_CUT };

	open_spec("fault|limit|mem:a");
	ck_good(rig_write(&rig, "one"));
	ordered("wp 1");
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		rig_op(&rig, refused[i]);
		ck_sense(PMT_KEY_PROTECT, 0x27, 0x00);
		ck_at(1);
	}
	rig_write(&rig, "two");
	ck_sense(PMT_KEY_PROTECT, 0x27, 0x00);
	ck_assert_int_eq(rig.result.residue, 3);
	rig_marks(&rig, 2);
	ck_sense(PMT_KEY_PROTECT, 0x27, 0x00);
	ck_assert_int_eq(rig.result.residue, 0);
	ck_good(rig_marks(&rig, 0));
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.medium_flags, PMT_MEDIUM_PRESENT | PMT_MEDIUM_PROTECTED);
	ck_good(rig_op(&rig, PMT_OP_LOAD));
	ck_assert_uint_eq(rig.result.medium_flags, PMT_MEDIUM_PRESENT | PMT_MEDIUM_PROTECTED);
	ordered("insert");
	take_attention();
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.medium_flags, PMT_MEDIUM_PRESENT | PMT_MEDIUM_PROTECTED);
	ordered("wp 0");
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.medium_flags, PMT_MEDIUM_PRESENT);
	ck_good(write_again("two"));
	ck_assert_uint_eq(medium->volume.n, 1);
}
END_TEST

/* The place is the drive's own, not the command's. */
START_TEST(control_ua)
{
	open_spec("fault|limit|mem:a");
	rig_write(&rig, "one");
	rig_write(&rig, "two");
	ordered("ua 29 1");
	rig.place.lbn = 1;
	rig_write(&rig, "three");
	ck_sense(PMT_KEY_ATTENTION, 0x29, 0x01);
	ck_assert_int_eq(rig.result.residue, 5);
	/* It was not executed: the place is its own, not the drive's. */
	ck_at(1);
	ck_assert_uint_eq(medium->volume.n, 2);
	rig.place.lbn = 2;
	ck_good(rig_write(&rig, "three"));
	/* The last is the one that is told. */
	ordered("ua 2a 1");
	ordered("ua 5a 2");
	rig_op(&rig, PMT_OP_MODE);
	ck_sense(PMT_KEY_ATTENTION, 0x5a, 0x02);
	ck_good(rig_op(&rig, PMT_OP_MODE));
}
END_TEST

static const struct {
	unsigned int opcode;
	struct pmt_command cmd;
} opcodes[] = {
	{ 0x00, { .op = PMT_OP_TEST } },
	{ 0x01, { .op = PMT_OP_REWIND } },
	{ 0x04, { .op = PMT_OP_FORMAT } },
	{ 0x08, { .op = PMT_OP_READ, .length = 4 } },
	{ 0x0a, { .op = PMT_OP_WRITE, .length = 4 } },
	{ 0x10, { .op = PMT_OP_WRITE_FILEMARKS, .count = 1 } },
	{ 0x11, { .op = PMT_OP_SPACE, .count = 1 } },
	{ 0x15, { .op = PMT_OP_MODE } },
	{ 0x19, { .op = PMT_OP_ERASE } },
	{ 0x1b, { .op = PMT_OP_LOAD } },
	{ 0x1b, { .op = PMT_OP_UNLOAD } },
	{ 0x1e, { .op = PMT_OP_MODE, .modes = { .locked = 1 } } },
	{ 0x2b, { .op = PMT_OP_LOCATE } },
};
#define N_OPCODES (sizeof(opcodes) / sizeof(opcodes[0]))

/* Each code fails its own command, so often, and no other one. */
START_TEST(control_fail)
{
	char line[40], data[4];

	open_spec("fault|limit|mem:a");
	rig_write(&rig, "one");
	rig.place.lbn = 0;
	rig.place.block = 0;
	snprintf(line, sizeof(line), "fail %02x 3 e0 15 2 2", opcodes[_i].opcode);
	ordered(line);
	for (int i = 0; i < 2; i++) {
		struct pmt_command cmd = opcodes[_i].cmd;
		unsigned int executed = medium->executed;

		cmd.place = rig.place;
		rig_do(&rig, cmd, data);
		ck_sense(PMT_KEY_MEDIUM, 0x15, 0x02);
		ck_assert_uint_eq(rig.result.sense, PMT_SENSE_ALL);
		ck_at(0);
		ck_assert_uint_eq(executed, medium->executed);
	}
	snprintf(line, sizeof(line), "fail %02x 3 e0 15 2 100", opcodes[_i].opcode);
	ordered(line);
	for (size_t i = 0; i < N_OPCODES; i++) {
		struct pmt_command cmd = opcodes[i].cmd;

		if (cmd.op == PMT_OP_UNLOAD || cmd.op == PMT_OP_FORMAT)
			continue;
		cmd.place = rig.place;
		cmd.flags = PMT_CMD_POSITIONED;
		rig_do(&rig, cmd, data);
		ck_assert_int_eq(rig.result.asc == 0x15,
				 opcodes[i].opcode == opcodes[_i].opcode);
	}
}
END_TEST

START_TEST(control_fail_in_words)
{
	static const char blocks[] = "aabbcc";

	open_spec("fault|limit|mem:a");
	ordered("fail 0a d 40 0 2 1");
	write_fixed(blocks, 2, 0);
	ck_sense(PMT_KEY_OVERFLOW, 0x00, 0x02);
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	ck_assert_int_eq(rig.result.residue, 3);
	ck_assert_uint_eq(medium->volume.n, 0);
	ordered("defer a 3 c 0 1");
	rig_write(&rig, "abc");
	ck_sense(PMT_KEY_MEDIUM, 0x0c, 0x00);
	/* Another one replaces it, 0 takes it away. */
	ordered("fail 0a 3 0 c 0 9");
	ordered("fail 10 3 0 c 0 9");
	ck_good(rig_write(&rig, "abc"));
	ordered("fail 10 3 0 c 0 0");
	ck_good(rig_marks(&rig, 1));
	/* What is recovered is no exception. */
	ordered("fail 0a 1 0 17 1 1");
	ck_good(rig_write(&rig, "abc"));
	ck_assert_uint_eq(rig.result.key, PMT_KEY_RECOVERED);
	ck_assert_uint_eq(rig.result.asc, 0x17);
	ck_assert_int_eq(rig.result.residue, 0);
	ck_at(3);
	ck_assert_uint_eq(medium->volume.n, 3);
}
END_TEST

/* Without a place of its own a command tells the drive's. */
START_TEST(control_fail_here)
{
	struct pmt_command here = { .op = PMT_OP_WRITE, .flags = PMT_CMD_HERE, .length = 1 };

	open_spec("fault|limit|mem:a");
	ck_good(rig_write(&rig, "one"));
	here.place = rig.place;
	here.place.lbn = here.place.file = here.place.block = PMT_UNKNOWN;
	ordered("fail 0a 3 0 c 0 1");
	rig_do(&rig, here, "x");
	ck_key(PMT_KEY_MEDIUM);
	ck_at(1);
}
END_TEST

START_TEST(control_notready)
{
	open_spec("fault|limit|mem:a");
	ck_good(rig_write(&rig, "one"));
	ordered("notready 2");
	ck_good(rig_write(&rig, "two"));
	for (int i = 0; i < 2; i++) {
		test_unit();
		ck_sense(PMT_KEY_NOT_READY, 0x04, 0x01);
		ck_at(PMT_UNKNOWN);
	}
	test_unit();
	ck_good(rig.result.status);
	ordered("notready 2");
	ordered("notready 0");
	test_unit();
	ck_good(rig.result.status);
}
END_TEST

/* A refused command does not count for the options. */
START_TEST(control_before_options)
{
	open_spec("fault?op=write&error=hardware&after=1|mem:a");
	ordered("ua 29 0");
	rig_write(&rig, "one");
	ck_key(PMT_KEY_ATTENTION);
	ck_good(rig_write(&rig, "one"));
	rig_write(&rig, "two");
	ck_key(PMT_KEY_HARDWARE);
}
END_TEST

/* What the mirror below wants the unit to keep is not lost by an own answer. */
START_TEST(control_keeps_the_cookie)
{
	open_spec("fault|limit?record=3|mirror(fault?op=write&error=medium|mem:a,mem:b)"
		  "?policy=degrade");
	ck_good(rig_write(&rig, "one"));
	ck_assert_uint_eq(rig.result.cookie & 1, 1);
	rig_write(&rig, "four");
	ck_key(PMT_KEY_ILLEGAL);
	ck_assert_uint_eq(rig.result.cookie & 1, 1);
	ck_at(1);
	ordered("ua 29 0");
	rig_write(&rig, "two");
	ck_key(PMT_KEY_ATTENTION);
	ck_assert_uint_eq(rig.result.cookie & 1, 1);
	ordered("fail 0a 3 0 c 0 1");
	rig_write(&rig, "two");
	ck_assert_uint_eq(rig.result.cookie & 1, 1);
	ordered("eject");
	rig_op(&rig, PMT_OP_TEST);
	ck_assert_uint_eq(rig.result.cookie & 1, 1);
}
END_TEST

/* cap: early warning when more than BYTES - EW are used. */
START_TEST(control_cap)
{
	open_spec("fault|limit|mem:a");
	ordered("cap 10 4");
	ck_good(rig_write(&rig, "12345"));
	ck_assert_uint_eq(rig.result.room, 2);
	ck_good(rig_write(&rig, "6"));
	ck_assert_uint_eq(rig.result.sense, 0);
	ck_assert_uint_eq(rig.result.room, 1);
	ck_good(rig_marks(&rig, 1));
	ck_assert_uint_eq(rig.result.sense, 0);
	ck_good(rig_write(&rig, "7"));
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	ck_assert_uint_eq(rig.result.ascq, 0x02);
	ck_assert_uint_eq(rig.warnings, 1);
	ck_assert_uint_eq(rig.warned.lbn, 3);
	ck_good(rig_marks(&rig, 2));
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	ck_good(rig_marks(&rig, 0));
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	rig_write(&rig, "8901");
	ck_sense(PMT_KEY_OVERFLOW, 0x00, 0x02);
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	ck_assert_int_eq(rig.result.residue, 4);
	ck_good(rig_write(&rig, "890"));
	rig_marks(&rig, 1);
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	ordered("blank");
	take_attention();
	ck_good(rig_write(&rig, "more than ten"));
	ck_assert_uint_eq(rig.result.sense, 0);
	/* Its own end: exactly full is no warning without a reserve. */
	ordered("blank");
	take_attention();
	ordered("cap 4 0");
	ck_good(rig_write(&rig, "1234"));
	ck_assert_uint_eq(rig.result.sense, 0);
	rig_write(&rig, "5");
	ck_key(PMT_KEY_OVERFLOW);
}
END_TEST

START_TEST(control_cap_fixed)
{
	open_spec("fault|limit|mem:a");
	ordered("cap 10 4");
	ck_good(write_fixed("aabbcc", 2, 0));
	ck_assert_uint_eq(rig.result.sense, 0);
	rig_op(&rig, PMT_OP_REWIND);
	ck_good(write_fixed("aabbccdd", 2, PMT_CMD_POSITIONED));
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	write_fixed("eeffgg", 2, 0);
	ck_key(PMT_KEY_OVERFLOW);
	ck_assert_int_eq(rig.result.residue, 2);
	ck_at(5);
	write_fixed("ffgg", 2, 0);
	ck_key(PMT_KEY_OVERFLOW);
	ck_assert_int_eq(rig.result.residue, 2);
	ck_at(5);
}
END_TEST

/* Back, and over what was written; what does not fit takes away what was behind. */
START_TEST(control_cap_overwriting)
{
	open_spec("fault|limit|mem:a");
	ordered("cap 10 2");
	rig_write(&rig, "12345");
	rig_write(&rig, "6789");
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	rig_space(&rig, PMT_SPACE_RECORDS, -1);
	ck_good(write_again("678"));
	ck_assert_uint_eq(rig.result.sense, 0);
	rig_space(&rig, PMT_SPACE_RECORDS, -1);
	write_again("678901");
	ck_key(PMT_KEY_OVERFLOW);
	ck_assert_int_eq(rig.result.residue, 6);
	ck_at(1);
	ck_assert_uint_eq(medium->volume.n, 1);
	ck_good(rig_write(&rig, "67890"));
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	rig_op(&rig, PMT_OP_REWIND);
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_ERASE, .place = rig.place,
					   .flags = PMT_CMD_POSITIONED }, NULL);
	ck_good(rig.result.status);
	ck_good(rig_write(&rig, "12345678"));
	ck_assert_uint_eq(rig.result.sense, 0);
}
END_TEST

/* Nobody has counted what is there: it is read, to the byte. */
START_TEST(control_cap_uncounted)
{
	char buffer[8];

	open_spec("mem:a");
	rig_write(&rig, "1");
	rig_marks(&rig, 1);
	rig_write(&rig, "234");
	rig_write(&rig, "56");
	rig_marks(&rig, 1);
	rig_close(&rig);
	rig.session.place.lbn = _i;
	rig.session.place.file = rig.session.place.block = PMT_UNKNOWN;
	open_spec("fault|limit|mem:a");
	ordered("cap 10 3");
	if (_i == 3)
		ck_good(rig_read(&rig, buffer, sizeof(buffer)));
	rig_space(&rig, PMT_SPACE_EOD, 0);
	ck_at(5);
	rig_write(&rig, "78901");
	ck_key(PMT_KEY_OVERFLOW);
	ck_good(rig_write(&rig, "7"));
	ck_assert_uint_eq(rig.result.sense, 0);
	ck_assert_uint_eq(rig.result.room, 1);
	ck_good(rig_write(&rig, "8"));
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	/* The same after another load of it. */
	ck_good(rig_op(&rig, PMT_OP_LOAD));
	rig_space(&rig, PMT_SPACE_EOD, 0);
	ck_good(write_again("90"));
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	rig_write(&rig, "1");
	ck_key(PMT_KEY_OVERFLOW);
}
END_TEST

/* What was written before anything was limited counts. */
START_TEST(control_cap_later)
{
	unsigned int executed;

	open_spec("fault|limit|mem:a");
	rig_write(&rig, "12345");
	rig_marks(&rig, 1);
	ordered("cap 10 3");
	executed = medium->executed;
	ck_good(rig_write(&rig, "678"));
	ck_assert_uint_eq(medium->executed, executed + 1);
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
}
END_TEST

START_TEST(control_cap_here)
{
	struct pmt_command here = { .op = PMT_OP_WRITE, .flags = PMT_CMD_HERE, .length = 5 };

	open_spec("fault|limit|mem:a");
	ordered("cap 8 4");
	ck_good(rig_write(&rig, "1234"));
	here.place = rig.place;
	here.place.lbn = here.place.file = here.place.block = PMT_UNKNOWN;
	rig_do(&rig, here, "56789");
	ck_key(PMT_KEY_OVERFLOW);
	here.length = 1;
	ck_good(rig_do(&rig, here, "5"));
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	ck_assert_uint_eq(rig.warned.lbn, 1);
}
END_TEST

static void go_to(uint32_t partition, uint64_t lbn)
{
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_LOCATE, .place = rig.place,
					   .argument = partition, .count = (int64_t)lbn }, NULL);
}

/* 5 of 10 used in the first partition, 8 in the second. */
static void fill_partitions(void)
{
	ordered("cap 10 3");
	ck_good(write_again("12345"));
	ck_assert_uint_eq(rig.result.sense, 0);
	go_to(1, 0);
	ck_good(write_again("1234567"));
	ck_assert_uint_eq(rig.result.sense, 0);
	ck_assert_uint_eq(rig.result.room, 1);
	ck_good(rig_write(&rig, "8"));
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	ck_assert_uint_eq(rig.warned.partition, 1);
	ck_assert_uint_eq(rig.warned.lbn, 1);
}

static void use_partitions(void)
{
	fill_partitions();
	go_to(0, 1);
	ck_assert_uint_eq(rig.result.room, 3);
	write_again("678901");
	ck_key(PMT_KEY_OVERFLOW);
	ck_good(rig_op(&rig, PMT_OP_LOAD));
	go_to(1, 2);
	ck_good(write_again("90"));
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	rig_write(&rig, "1");
	ck_key(PMT_KEY_OVERFLOW);
	ordered("blank");
	take_attention();
	ck_assert_uint_eq(rig.place.partition, 0);
	go_to(1, 0);
	ck_key(PMT_KEY_ILLEGAL);
}

/* Where images can be partitioned: each partition has the capacity of its own. */
START_TEST(control_partitions)
{
	char folder[] = "/tmp/check-filters-XXXXXX", spec[128], path[80];
	struct pmt_command format = { .op = PMT_OP_FORMAT, .argument = 2, .count = 1 };

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(spec, sizeof(spec), "fault|limit|image:%s/a.tape?capacity=10M&sync=no", folder);
	open_spec(spec);
	format.place = rig.place;
	rig_do(&rig, format, NULL);
	if (rig.result.status == PMT_STATUS_GOOD)
		use_partitions();
	else
		ck_sense(PMT_KEY_ILLEGAL, 0x20, 0x00);
	rig_close(&rig);
	snprintf(path, sizeof(path), "rm -r %s", folder);
	ck_assert_int_eq(system(path), 0);
}
END_TEST

START_TEST(limit_density)
{
	struct pmt_command mode = { .op = PMT_OP_MODE };
	static const struct { uint8_t density; bool taken; } cases[] = {
		{ 0, true }, { 0x7f, true }, { 0x5e, true }, { 0x5a, false }, { 1, false },
	};

	open_spec(_i ? "limit?density=0x5e|mem:a" : "limit?density=94|mem:a");
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.density, 0x5e);
	ck_good(rig_op(&rig, PMT_OP_LOAD));
	ck_assert_uint_eq(rig.result.density, 0x5e);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		mode.place = rig.place;
		mode.modes.density = cases[i].density;
		rig_do(&rig, mode, NULL);
		if (cases[i].taken)
			ck_good(rig.result.status);
		else
			ck_sense(PMT_KEY_ILLEGAL, 0x26, 0x00);
		ck_at(0);
	}
	rig_close(&rig);
	/* It takes the place of what is behind it. */
	open_spec("limit?density=0x5e|limit?density=0x5a|mem:a");
	mode.place = rig.place;
	mode.modes.density = 0x5e;
	ck_good(rig_do(&rig, mode, NULL));
	rig_close(&rig);
	open_spec("limit?window=5|mem:a");
	mode.place = rig.place;
	mode.modes.density = 0;
	ck_good(rig_do(&rig, mode, NULL));
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.density, 0x5a);
}
END_TEST

START_TEST(limit_record_and_window)
{
	struct pmt_command mode = { .op = PMT_OP_MODE, .modes = { .block_size = 6 } };
	struct pmt_limits limits;

	open_spec("limit?record=5&window=0|mem:a");
	pmt_drive_limits(rig.drive, &limits);
	ck_assert_uint_eq(limits.record_max, 5);
	ck_assert_uint_eq(limits.window, 0);
	ck_good(rig_write(&rig, "12345"));
	rig_write(&rig, "123456");
	ck_sense(PMT_KEY_ILLEGAL, 0x24, 0x00);
	ck_assert_int_eq(rig.result.residue, 6);
	ck_at(1);
	ck_good(write_fixed("1234567890", 5, 0));
	write_fixed("123456", 6, 0);
	ck_sense(PMT_KEY_ILLEGAL, 0x24, 0x00);
	mode.place = rig.place;
	rig_do(&rig, mode, NULL);
	ck_sense(PMT_KEY_ILLEGAL, 0x26, 0x00);
	rig_close(&rig);
	open_spec("limit?capacity=100&ew=40&window=30&room=hide|mem:a");
	pmt_drive_limits(rig.drive, &limits);
	ck_assert_uint_eq(limits.window, 30);
	ordered("cap 100 10");
	pmt_drive_limits(rig.drive, &limits);
	ck_assert_uint_le(limits.window, 10);
	ordered("cap 100 0");
	pmt_drive_limits(rig.drive, &limits);
	ck_assert_uint_eq(limits.window, 0);
}
END_TEST

/* Orders from another thread while commands run, and none is waited for. */
static atomic_bool enough;

static void *give_orders(void *context)
{
	static const char *const lines[] = {
		"blank", "wp 1", "cap 50 20", "ua 29 0", "eject", "frob", "notready 1",
		"fail 0a 3 0 c 0 1", "insert", "wp 0", "cap 5 1", "delay 1", "delay 0",
	};
	atomic_uint *n = context;

	while (!enough) {
		_cleanup_free_ char *error = NULL;
		size_t i = (*n)++ % (sizeof(lines) / sizeof(lines[0]));
		int rc = pmt_drive_control(rig.drive, lines[i], &error);

		ck_assert_int_eq(rc, strcmp(lines[i], "frob") ? 0 : -EINVAL);
	}
	return NULL;
}

START_TEST(control_beside_commands)
{
	static const unsigned int ops[] = { PMT_OP_WRITE, PMT_OP_WRITE_FILEMARKS, PMT_OP_TEST,
					    PMT_OP_REWIND, PMT_OP_READ, PMT_OP_SPACE,
					    PMT_OP_LOAD, PMT_OP_MODE };
	atomic_uint n = 0;
	char data[8] = "";
	pthread_t thread;

	pmt_log_set_handler(no_log);
	open_spec("fault|limit?capacity=60&ew=20|mem:a");
	ck_assert_int_eq(pthread_create(&thread, NULL, give_orders, &n), 0);
	for (unsigned int i = 0; i < 4000 || n < 4000; i++) {
		struct pmt_command cmd = { .op = (uint16_t)ops[i % 8], .place = rig.place,
					   .flags = PMT_CMD_POSITIONED, .length = 7,
					   .count = 1 };
		struct pmt_limits limits;

		rig_do(&rig, cmd, data);
		pmt_drive_limits(rig.drive, &limits);
	}
	enough = true;
	pthread_join(thread, NULL);
	ordered("blank");
	take_attention();
	ck_good(rig_write(&rig, "quiet"));
	ck_at(1);
	ck_assert_uint_eq(medium->volume.n, 1);
}
END_TEST

static double now(void);

static void *run_test(void *context)
{
	(void)context;
	rig_op(&rig, PMT_OP_TEST);
	return NULL;
}

START_TEST(control_does_not_wait)
{
	struct timespec moment = { .tv_nsec = 50 * 1000 * 1000 };
	pthread_t thread;
	double begin;

	open_spec("fault|limit|mem:a");
	ordered("delay 1500");
	begin = now();
	ck_assert_int_eq(pthread_create(&thread, NULL, run_test, NULL), 0);
	nanosleep(&moment, NULL);
	ordered("wp 1");
	ordered("delay 0");
	ordered("cap 100 10");
	ck_assert_double_lt(now() - begin, 1.2);
	pthread_join(thread, NULL);
	ck_assert_double_ge(now() - begin, 1.5);
	/* It was under way: what it meets is decided when it is executed. */
	ck_assert_uint_eq(rig.result.medium_flags, PMT_MEDIUM_PRESENT | PMT_MEDIUM_PROTECTED);
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

START_TEST(delay_delays_some_of_them)
{
	open_spec("delay?op=write&ms=50&every=3|mem:a");
	for (int i = 1; i <= 9; i++) {
		double begin = now();

		ck_good(rig_write(&rig, "x"));
		ck_assert_msg((now() - begin >= 0.05) == (i % 3 == 0), "write %d", i);
		ck_good(rig_marks(&rig, 1));
	}
}
END_TEST

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

typedef void how(struct pmt_worker *, struct pmt_request *);

static void batch_one(struct batch *batch, struct pmt_worker *worker, uint16_t op,
		      how *give)
{
	struct pmt_request *req = &batch->requests[batch->n];

	req->cmd = (struct pmt_command){ .number = batch->n, .op = op,
					 .place = rig.place, .length = 1 };
	req->cmd.place.lbn = batch->n++;
	req->data = "x";
	req->done = batch_done;
	req->context = batch;
	give(worker, req);
}

static void batch_submit(struct batch *batch, struct pmt_worker *worker, unsigned int n)
{
	while (n--)
		batch_one(batch, worker, PMT_OP_WRITE, pmt_worker_submit);
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

/* Told when it returns: by the caller. */
START_TEST(worker_does_at_once)
{
	struct batch batch = BATCH;
	struct pmt_worker *worker = worker_over("null:");

	batch_one(&batch, worker, PMT_OP_WRITE, pmt_worker_do);
	ck_assert_uint_eq(batch.done, 1);
	ck_status(0, PMT_STATUS_GOOD);
	pmt_worker_cancel(worker, 2);
	batch_one(&batch, worker, PMT_OP_WRITE, pmt_worker_do);
	ck_status(1, PMT_STATUS_CANCELLED);
	batch_one(&batch, worker, PMT_OP_READ, pmt_worker_do);
	ck_status(2, PMT_STATUS_CHECK);
	batch_one(&batch, worker, PMT_OP_WRITE, pmt_worker_do);
	ck_status(3, PMT_STATUS_CANCELLED);
	pmt_worker_resume(worker);
	batch_one(&batch, worker, PMT_OP_TEST, pmt_worker_do);
	batch_wait(&batch);
	ck_status(4, PMT_STATUS_GOOD);
	ck_assert(batch.ordered);
	pmt_worker_free(worker);
}
END_TEST

/* ... but not before what was submitted. */
START_TEST(worker_does_in_order)
{
	struct pmt_worker *worker = worker_over("null:");

	for (int i = 0; i < 2000; i++) {
		struct batch batch = BATCH;

		batch_one(&batch, worker, PMT_OP_TEST, pmt_worker_submit);
		batch_one(&batch, worker, PMT_OP_WRITE, pmt_worker_do);
		batch_one(&batch, worker, PMT_OP_TEST, pmt_worker_do);
		batch_one(&batch, worker, PMT_OP_WRITE, pmt_worker_do);
		batch_wait(&batch);
		ck_assert(batch.ordered);
	}
	pmt_worker_free(worker);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("filters");
	TCase *tests = tcase_create("filters");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, limit_is_exact);
	tcase_add_test(tests, limit_counts_marks_and_parts);
	tcase_add_test(tests, limit_follows_overwriting_and_reading);
	tcase_add_test(tests, limit_is_new_for_a_new_volume);
	tcase_add_test(tests, limit_hides_room);
	tcase_add_test(tests, limit_leaves_the_guards_to_the_leaf);
	tcase_add_test(tests, control_refuses);
	tcase_add_test(tests, control_goes_down);
	tcase_add_test(tests, control_fault_without_options);
	tcase_add_test(tests, control_eject_insert);
	tcase_add_test(tests, control_attention_before_medium);
	tcase_add_test(tests, control_insert_loads);
	tcase_add_test(tests, control_blank);
	tcase_add_test(tests, control_blank_image);
	tcase_add_test(tests, control_wp);
	tcase_add_test(tests, control_ua);
	tcase_add_loop_test(tests, control_fail, 0, (int)N_OPCODES);
	tcase_add_test(tests, control_fail_in_words);
	tcase_add_test(tests, control_fail_here);
	tcase_add_test(tests, control_notready);
	tcase_add_test(tests, control_before_options);
	tcase_add_test(tests, control_keeps_the_cookie);
	tcase_add_test(tests, control_cap);
	tcase_add_test(tests, control_cap_fixed);
	tcase_add_test(tests, control_cap_overwriting);
	tcase_add_loop_test(tests, control_cap_uncounted, 0, 6);
	tcase_add_test(tests, control_cap_later);
	tcase_add_test(tests, control_cap_here);
	tcase_add_test(tests, control_partitions);
	tcase_add_loop_test(tests, limit_density, 0, 2);
	tcase_add_test(tests, limit_record_and_window);
	tcase_add_test(tests, control_beside_commands);
	tcase_add_test(tests, control_does_not_wait);
	tcase_add_loop_test(tests, fault_has_its_sense, 0, 8);
	tcase_add_test(tests, fault_after_count_at);
	tcase_add_test(tests, fault_behind);
	tcase_add_test(tests, fault_kills_between_unload_and_its_answer);
	tcase_add_test(tests, fault_exits);
	tcase_add_test(tests, delay_delays_its_command);
	tcase_add_test(tests, delay_delays_some_of_them);
	tcase_add_loop_test(tests, worker_freezes_until_resume, 0, 2);
	tcase_add_test(tests, worker_does_at_once);
	tcase_add_test(tests, worker_does_in_order);
	tcase_add_loop_test(tests, worker_cancels_what_is_not_begun, 0, 2);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
