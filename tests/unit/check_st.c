// SPDX-License-Identifier: GPL-2.0-or-later
/* The st drive, over calls that answer as st and a drive do. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fakest.h"
#include "folder.h"
#include "memleaf.h"
#include "suite.h"

static struct rig rig;

static void setup(void)
{
	rig_init(&rig);
	fake_reset();
}

static void teardown(void)
{
	rig_close(&rig);
	ck_assert(!fake.open);
	ck_assert_uint_eq(fake.auto_marks, 0);
	fake_free();
}

static void open_st(void)
{
	ck_assert_int_eq(rig_open(&rig, "fakest:0"), 0);
}

#define ck_good(status) ck_assert_int_eq(status, PMT_STATUS_GOOD)
#define ck_sense(k, a, q)                                                          \
	do {                                                                       \
		ck_assert_int_eq(rig.result.status, PMT_STATUS_CHECK);             \
		ck_assert_uint_eq(rig.result.key, k);                              \
		ck_assert_uint_eq(rig.result.asc, a);                              \
		ck_assert_uint_eq(rig.result.ascq, q);                             \
	} while (0)
#define ck_at(l, f, b)                                                             \
	do {                                                                       \
		ck_assert_uint_eq(rig.result.place.lbn, l);                        \
		ck_assert_uint_eq(rig.result.place.file, f);                       \
		ck_assert_uint_eq(rig.result.place.block, b);                      \
	} while (0)
#define UNKNOWN PMT_UNKNOWN

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
	ck_assert_str_eq(buffer, text);
}

/* Setting up */

START_TEST(setting_up)
{
	struct pmt_limits limits;

	fake.least = 4;
	fake.options = 0x107 | MT_ST_TWO_FM | MT_ST_SYSV;
	fake.block_size = 512;
	open_st();
	pmt_drive_limits(rig.drive, &limits);
	ck_assert_uint_eq(limits.record_min, 4);
	ck_assert_uint_eq(limits.record_max, 8388608);
	ck_assert_uint_eq(limits.window, 16 << 20);
	ck_assert_uint_eq(fake.block_size, 0);
	ck_assert_uint_eq(fake.options, (uint32_t)MT_ST_SCSI2LOGICAL | MT_ST_CAN_BSR);
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.density, 0x5e);
	ck_assert_uint_eq(rig.result.medium_flags, PMT_MEDIUM_PRESENT);
}
END_TEST

START_TEST(room)
{
	struct pmt_limits limits;

	ck_assert_int_eq(rig_open(&rig, "fakest:0?room=3M"), 0);
	pmt_drive_limits(rig.drive, &limits);
	ck_assert_uint_eq(limits.window, 3 << 20);
}
END_TEST

START_TEST(limit_of_the_host)
{
	struct pmt_limits limits;

	fake.host = 1 << 20;
	open_st();
	pmt_drive_limits(rig.drive, &limits);
	ck_assert_uint_eq(limits.record_max, 1 << 20);
	rig_close(&rig);
	fake.host = 1280 << 10;		/* the default: it says nothing */
	open_st();
	pmt_drive_limits(rig.drive, &limits);
	ck_assert_uint_eq(limits.record_max, 8388608);
}
END_TEST

START_TEST(no_pass_through)
{
	struct pmt_limits limits;

	fake.no_sg = true;
	open_st();
	pmt_drive_limits(rig.drive, &limits);
	ck_assert_uint_eq(limits.record_min, 1);
	ck_assert_uint_eq(limits.record_max, PMT_RECORD_MAX);
	write_some();
	ck_good(rig_op(&rig, PMT_OP_TEST));
}
END_TEST

START_TEST(busy)
{
	fake.busy = 3;
	open_st();
	ck_assert_uint_eq(fake.waits, 3);
	rig_close(&rig);
	fake.busy = 1000;
	ck_assert_int_eq(rig_open(&rig, "fakest:0"), -EBUSY);
}
END_TEST

START_TEST(refused)
{
	static const char *const bad[] = { "fakest:0?room=x", "fakest:0?size=1",
					   "fakest:0?room=2000000000000" };

	ck_assert_int_eq(rig_open(&rig, "fakest:none"), -ENOENT);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_lt(rig_open(&rig, bad[i]), 0);
	ck_assert_uint_eq(fake.opens, 0);
}
END_TEST

START_TEST(modes)
{
	struct pmt_command mode = { .op = PMT_OP_MODE };

	rig.session.modes.buffered = rig.session.modes.compression = 1;
	fake.compression = 0;
	open_st();
	ck_assert_int_eq(fake.compression, 0);	/* nobody wished otherwise */
	mode.place = rig.place;
	mode.modes = rig.session.modes;
	mode.modes.buffered = 0;
	mode.modes.locked = 1;
	ck_good(rig_do(&rig, mode, NULL));
	ck_assert_int_eq(fake.buffered, 0);
	ck_assert_int_eq(fake.locked, 1);
	mode.modes.compression = 0;
	fake.compression = 1;
	ck_good(rig_do(&rig, mode, NULL));
	ck_assert_int_eq(fake.compression, 0);
	mode.modes.locked = 0;
	mode.modes.buffered = 1;
	ck_good(rig_do(&rig, mode, NULL));
	ck_assert_int_eq(fake.locked, 0);
	ck_assert_int_eq(fake.buffered, 1);
}
END_TEST

/* Writing and reading */

static void write_and_read_back(void)
{
	char buffer[64];

	open_st();
	write_some();
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	expect_text("one");
	ck_at(1, 0, 1);
	expect_text("two");
	rig_read(&rig, buffer, sizeof(buffer));
	ck_sense(PMT_KEY_NONE, 0x00, 0x01);
	ck_at(3, 1, 0);
	expect_text("three");
	expect_text("four");
	expect_text("five");
	rig_read(&rig, buffer, sizeof(buffer));
	ck_sense(PMT_KEY_NONE, 0x00, 0x01);
	ck_at(7, 2, 0);
	rig_read(&rig, buffer, sizeof(buffer));
	ck_sense(PMT_KEY_BLANK, 0x00, 0x05);
	rig_read(&rig, buffer, sizeof(buffer));
	ck_sense(PMT_KEY_BLANK, 0x00, 0x05);
	ck_at(7, 2, 0);
}

START_TEST(write_and_read)
{
	write_and_read_back();
}
END_TEST

START_TEST(write_and_read_without_position)
{
	fake.no_position = true;
	write_and_read_back();
}
END_TEST

/* Without a mark before it, st says EIO at end of data. */
START_TEST(end_of_data)
{
	char buffer[64];

	open_st();
	rig_read(&rig, buffer, sizeof(buffer));
	ck_sense(PMT_KEY_BLANK, 0x00, 0x05);
	ck_at(0, 0, 0);
	ck_good(rig_write(&rig, "one"));
	rig_read(&rig, buffer, sizeof(buffer));
	ck_sense(PMT_KEY_BLANK, 0x00, 0x05);
	ck_at(1, 0, 1);
}
END_TEST

/* st hands out a full buffer that is no record, or says what it says of a mark. */
static void end_is_a_phantom(void)
{
	char buffer[64];

	open_st();
	ck_good(rig_write(&rig, "one"));
	rig_read(&rig, buffer, sizeof(buffer));
	ck_sense(PMT_KEY_BLANK, 0x00, 0x05);
	ck_good(rig_marks(&rig, 1));
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	ck_good(rig_read(&rig, buffer, 3));
	rig_read(&rig, buffer, 3);
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_FILEMARK);
	rig_read(&rig, buffer, 3);
	ck_sense(PMT_KEY_BLANK, 0x00, 0x05);
	ck_at(2, 1, 0);
}

START_TEST(phantom)
{
	fake.phantom = _i & 1;
	fake.eom_at_end = true;
	fake.no_position = _i & 2;
	end_is_a_phantom();
}
END_TEST

START_TEST(longer_record)
{
	char buffer[2];

	fake.least = 3;
	open_st();
	write_some();
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	rig_read(&rig, buffer, 2);	/* less than the drive can be asked for */
	ck_sense(PMT_KEY_NONE, 0, 0);
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_ILI);
	ck_assert_int_eq(rig.result.residue, -1);
	ck_assert_int_eq(memcmp(buffer, "on", 2), 0);
	ck_at(1, 0, 1);
	ck_good(rig_locate(&rig, 3));
	rig_read(&rig, (char[3]){ 0 }, 3);
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_ILI);
	ck_assert_uint_eq(rig.result.place.lbn, 4);
}
END_TEST

/* A read of more than the drive's largest record is one of that. */
START_TEST(large_read)
{
	_cleanup_free_ char *buffer = malloc(65536);

	fake.most = 4096;
	open_st();
	write_some();
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	ck_good(rig_read(&rig, buffer, 65536));
	ck_assert_int_eq(rig.result.residue, 65536 - 3);
	ck_assert_uint_eq(fake.largest_read, 4096);
}
END_TEST

START_TEST(write_error)
{
	open_st();
	write_some();
	fake.fail_writes = 1;
	rig_write(&rig, "six");
	ck_sense(PMT_KEY_MEDIUM, 0x0c, 0x00);
	ck_at(7, 2, 0);
	ck_good(rig_write(&rig, "six"));
	ck_at(8, 2, 1);
}
END_TEST

/* Fixed blocks */

static struct pmt_command blocks(unsigned int op, uint32_t size, uint32_t n)
{
	return (struct pmt_command){ .op = (uint16_t)op, .place = rig.place,
				     .length = size * n, .block_size = size };
}

START_TEST(fixed_blocks)
{
	char data[] = "aabbccddee", buffer[13] = "";

	open_st();
	ck_good(rig_do(&rig, blocks(PMT_OP_WRITE, 2, 5), data));
	ck_assert_uint_eq(fake.writes, 1);
	ck_assert_uint_eq(fake.block_size, 2);
	ck_at(5, 0, 5);
	ck_good(rig_write(&rig, "fff"));
	ck_assert_uint_eq(fake.block_size, 0);
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	ck_good(rig_do(&rig, blocks(PMT_OP_READ, 2, 4), buffer));
	ck_assert_str_eq(buffer, "aabbccdd");
	ck_assert_uint_eq(fake.largest_read, 8);
	rig_do(&rig, blocks(PMT_OP_READ, 2, 3), buffer);
	ck_sense(PMT_KEY_NONE, 0, 0);
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_ILI);
	ck_assert_int_eq(rig.result.residue, 2);
	ck_assert_int_eq(memcmp(buffer, "ee", 2), 0);
	ck_at(6, 0, 6);
}
END_TEST

/* st loses the blocks before end of data, and so they are read again. */
static void blocks_to_the_end(void)
{
	char data[] = "aabbcc", buffer[13] = "";

	open_st();
	ck_good(rig_do(&rig, blocks(PMT_OP_WRITE, 2, 3), data));
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	rig_do(&rig, blocks(PMT_OP_READ, 2, 6), buffer);
	ck_sense(PMT_KEY_BLANK, 0x00, 0x05);
	ck_assert_int_eq(rig.result.residue, 3);
	ck_assert_str_eq(buffer, "aabbcc");
	ck_at(3, 0, 3);
}

START_TEST(fixed_to_the_end)
{
	blocks_to_the_end();
}
END_TEST

START_TEST(fixed_to_the_end_without_position)
{
	fake.no_position = true;
	blocks_to_the_end();
}
END_TEST

START_TEST(fixed_in_parts)
{
	static char data[3 << 20];

	fake.host = 65536;
	open_st();
	ck_good(rig_do(&rig, blocks(PMT_OP_WRITE, 40000, 4), data));
	ck_assert_uint_eq(fake.writes, 4);
	ck_good(rig_do(&rig, blocks(PMT_OP_WRITE, 30000, 4), data));
	ck_assert_uint_eq(fake.writes, 6);
	ck_at(8, 0, 8);
}
END_TEST

START_TEST(fixed_at_the_end)
{
	char data[20] = "";

	fake.capacity = 14;
	fake.ew = 4;
	open_st();
	rig_do(&rig, blocks(PMT_OP_WRITE, 2, 10), data);
	ck_sense(PMT_KEY_OVERFLOW, 0x00, 0x02);
	ck_assert_int_eq(rig.result.residue, 3);
	ck_at(7, 0, 7);
	ck_assert_uint_eq(rig.warnings, 1);
}
END_TEST

/* The end of the tape */

START_TEST(early_warning)
{
	fake.capacity = 40;
	fake.ew = 20;
	open_st();
	ck_good(rig_write(&rig, "ten bytes."));
	ck_good(rig_write(&rig, "ten bytes."));
	ck_assert_uint_eq(rig.result.sense, 0);
	ck_good(rig_write(&rig, "tenth"));
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	ck_assert_uint_eq(rig.warnings, 1);
	ck_assert_uint_eq(rig.warned.lbn, 2);
	/* st refuses it once. */
	ck_good(rig_write(&rig, "eight..."));
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	ck_at(4, 0, 4);
	/* Behind a mark st has forgotten it; the leaf has not. */
	ck_good(rig_marks(&rig, 1));
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	ck_good(rig_write(&rig, "x"));
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	rig_write(&rig, "ten bytes.");
	ck_sense(PMT_KEY_OVERFLOW, 0x00, 0x02);
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	ck_at(6, 1, 1);
	rig_write(&rig, "ten bytes.");
	ck_sense(PMT_KEY_OVERFLOW, 0x00, 0x02);
	ck_good(rig_write(&rig, "y"));
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	ck_good(rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .place = rig.place,
						   .flags = PMT_CMD_POSITIONED,
						   .length = 5 }, "again"));
	ck_assert_uint_eq(rig.result.sense, 0);
}
END_TEST

/* A drive that does not warn. */
START_TEST(physical_end)
{
	fake.capacity = 20;
	open_st();
	ck_good(rig_write(&rig, "ten bytes."));
	ck_good(rig_write(&rig, "nine byte"));
	ck_assert_uint_eq(rig.result.sense, 0);
	for (int i = 0; i < 3; i++) {
		rig_write(&rig, "ten bytes.");
		ck_sense(PMT_KEY_OVERFLOW, 0x00, 0x02);
		ck_assert_int_eq(rig.result.residue, 10);
		ck_at(2, 0, 2);
	}
	ck_assert_uint_eq(fake.n, 2);
}
END_TEST

/* Going */

static void spacing(void)
{
	open_st();
	write_some();
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	ck_good(rig_space(&rig, PMT_SPACE_RECORDS, 2));
	ck_at(2, 0, 2);
	ck_good(rig_space(&rig, PMT_SPACE_RECORDS, -1));
	ck_at(1, 0, 1);
	rig_space(&rig, PMT_SPACE_RECORDS, 5);
	ck_sense(PMT_KEY_NONE, 0x00, 0x01);
	ck_assert_int_eq(rig.result.residue, 4);
	ck_at(3, 1, 0);
	ck_good(rig_space(&rig, PMT_SPACE_RECORDS, 1));
	rig_space(&rig, PMT_SPACE_RECORDS, -3);
	ck_sense(PMT_KEY_NONE, 0x00, 0x01);
	ck_assert_int_eq(rig.result.residue, 2);
	ck_at(2, 0, UNKNOWN);
	rig_space(&rig, PMT_SPACE_RECORDS, -5);
	ck_sense(PMT_KEY_NONE, 0x00, 0x04);
	ck_assert_int_eq(rig.result.residue, 3);
	ck_at(0, 0, 0);
}

START_TEST(space_records)
{
	spacing();
	ck_good(rig_space(&rig, PMT_SPACE_FILEMARKS, 1));
	ck_at(3, 1, 0);
	ck_good(rig_space(&rig, PMT_SPACE_FILEMARKS, -1));
	ck_at(2, 0, UNKNOWN);
	rig_space(&rig, PMT_SPACE_FILEMARKS, 5);
	ck_sense(PMT_KEY_BLANK, 0x00, 0x05);
	ck_assert_int_eq(rig.result.residue, 3);
	ck_at(7, 2, UNKNOWN);
	rig_space(&rig, PMT_SPACE_FILEMARKS, -5);
	ck_sense(PMT_KEY_NONE, 0x00, 0x04);
	ck_assert_int_eq(rig.result.residue, 3);
	ck_at(0, 0, 0);
	ck_good(rig_space(&rig, PMT_SPACE_EOD, 0));
	ck_at(7, 2, UNKNOWN);
}
END_TEST

/* The beginning, where READ POSITION sets st's counters, may be a mark's. */
START_TEST(space_over_many_marks)
{
	open_st();
	ck_good(rig_marks(&rig, 2));
	ck_good(rig_write(&rig, "one"));
	ck_good(rig_marks(&rig, 1));
	for (uint64_t file = 2; file < 3; file--) {
		rig_space(&rig, PMT_SPACE_RECORDS, -2);
		ck_sense(PMT_KEY_NONE, 0x00, 0x01);
		ck_assert_uint_eq(rig.result.place.file, file);
		ck_assert_int_eq(rig.result.residue, file == 1 ? 1 : 2);
	}
	ck_assert_uint_eq(rig.result.place.lbn, 0);
	rig_space(&rig, PMT_SPACE_RECORDS, -2);
	ck_sense(PMT_KEY_NONE, 0x00, 0x04);
}
END_TEST

START_TEST(read_error)
{
	char buffer[64];

	open_st();
	write_some();
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	fake.attention = 0x2a;		/* as good as an error */
	rig_read(&rig, buffer, sizeof(buffer));
	ck_sense(PMT_KEY_MEDIUM, 0x11, 0x00);
	ck_at(0, 0, 0);
	expect_text("one");
}
END_TEST

START_TEST(space_without_position)
{
	fake.no_position = true;
	spacing();
	ck_good(rig_space(&rig, PMT_SPACE_FILEMARKS, 1));
	ck_at(UNKNOWN, 1, 0);
	rig_space(&rig, PMT_SPACE_FILEMARKS, 5);
	ck_sense(PMT_KEY_BLANK, 0x00, 0x05);
	ck_assert_int_eq(rig.result.residue, 4);
	ck_assert_uint_eq(rig.result.place.file, 2);
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	ck_good(rig_space(&rig, PMT_SPACE_EOD, 0));
	ck_assert_uint_eq(rig.result.place.file, 2);
}
END_TEST

/* Where it stands has no number, but it is where the application left it. */
START_TEST(here_without_position)
{
	struct pmt_command cmd = { .op = PMT_OP_WRITE, .flags = PMT_CMD_HERE, .length = 3 };

	fake.no_position = true;
	open_st();
	write_some();
	ck_good(rig_space(&rig, PMT_SPACE_FILEMARKS, -1));
	cmd.place = rig.place;
	ck_good(rig_do(&rig, cmd, "six"));
	ck_assert_uint_eq(fake.n, 7);
	ck_assert(!fake.objects[6].mark);
	rig_close(&rig);
	open_st();
	rig_do(&rig, cmd, "six");
	ck_sense(PMT_KEY_ABORTED, 0x3b, 0x00);
}
END_TEST

START_TEST(locate)
{
	open_st();
	write_some();
	ck_good(rig_locate(&rig, 4));
	ck_at(4, UNKNOWN, UNKNOWN);
	expect_text("four");
	rig_space(&rig, PMT_SPACE_RECORDS, -4);	/* st does not say what it met */
	ck_sense(PMT_KEY_NONE, 0x00, 0x01);
	ck_assert_int_eq(rig.result.residue, 2);
	ck_assert_uint_eq(rig.result.place.lbn, 2);
	ck_good(rig_space(&rig, PMT_SPACE_RECORDS, -1));
	expect_text("two");
	rig_locate(&rig, 20);
	ck_sense(PMT_KEY_BLANK, 0x00, 0x05);
	ck_assert_uint_eq(rig.result.place.lbn, 7);
	ck_assert_uint_eq(fake.seeks, 3);	/* what fails is tried again */
	ck_good(rig_locate(&rig, 0));
	ck_at(0, 0, 0);
	ck_assert_uint_eq(fake.seeks, 3);
}
END_TEST

/* A drive that stands elsewhere, as behind a mark that st has written. */
static void stray_mark(uint64_t lbn, uint64_t file, uint64_t block)
{
	rig_close(&rig);
	fake.objects[fake.n++] = (struct fake_object){ .mark = true };
	fake.at = fake.n;
	fake.file++;
	fake.block = 0;
	rig.session.place = (struct pmt_place){ 1, lbn, file, block, 0, 0 };
	open_st();
	ck_good(rig_write(&rig, "six"));
	ck_at(lbn + 1, file, block + 1);
	ck_assert_uint_eq(fake.n, lbn + 1);
	ck_assert_int_eq(memcmp(fake.objects[lbn].data, "six", 3), 0);
}

START_TEST(behind_a_stray_mark)
{
	open_st();
	write_some();
	stray_mark(7, 2, 0);
	ck_assert_uint_eq(fake.rewinds, 0);
	stray_mark(8, 2, 1);
	/* Records that the killed server wrote, and nobody knows of, are behind it. */
	stray_mark(5, 1, 2);
}
END_TEST

START_TEST(behind_a_stray_mark_without_position)
{
	fake.no_position = true;
	open_st();
	write_some();
	stray_mark(7, 2, 0);
	stray_mark(8, 2, 1);
	stray_mark(5, 1, 2);
}
END_TEST

/* TEST tells a new unit where it is: nowhere, or at the beginning. */
START_TEST(begins_without_position)
{
	fake.no_position = true;
	open_st();
	write_some();
	rig_close(&rig);
	open_st();
	rig.place.lbn = rig.place.file = rig.place.block = UNKNOWN;
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_at(0, 0, 0);
	expect_text("one");
}
END_TEST

/* Descriptors that are kept */

static struct {
	bool there;
	char state[80];
	unsigned int keeps, drops;
} kept;

static int keeper_take(void *context, const char *name, char *state, size_t size)
{
	(void)context;
	ck_assert_str_eq(name, "0");
	if (!kept.there)
		return -ENOENT;
	snprintf(state, size, "%s", kept.state);
	kept.state[0] = '\0';
	fake.open = true;
	return 7;
}

static void keeper_keep(void *context, const char *name, int fd)
{
	(void)context;
	(void)name;
	ck_assert_int_eq(fd, 7);
	kept.there = true;
	kept.keeps++;
}

static void keeper_leave(void *context, const char *name, const char *state)
{
	(void)context;
	(void)name;
	snprintf(kept.state, sizeof(kept.state), "%s", state);
}

static void keeper_drop(void *context, const char *name)
{
	(void)context;
	(void)name;
	kept.drops += kept.there;
	kept.there = false;
}

/* one two, by a server that others follow */
static void open_kept(void)
{
	static const struct pmt_keeper keeper = { keeper_take, keeper_keep, keeper_leave,
						  keeper_drop, NULL };

	memset(&kept, 0, sizeof(kept));
	rig.keeper = &keeper;
	open_st();
	ck_good(rig_write(&rig, "one"));
	ck_good(rig_write(&rig, "two"));
}

static void next_server(void)
{
	rig_close(&rig);
	rig.session.place = rig.place;
}

/* st has seen no close, and would write its mark before the drive goes anywhere. */
START_TEST(kept_from_who_was_killed)
{
	fake.no_position = _i;
	open_kept();
	next_server();
	fake.writing = true;
	kept.state[0] = '\0';
	open_st();
	ck_assert_uint_eq(fake.opens, 1);
	ck_good(rig_write(&rig, "three"));
	ck_at(3, 0, 3);
	ck_assert_uint_eq(fake.rewinds, fake.no_position ? 2 : 0);
	ck_assert_uint_eq(fake.n, 3);
}
END_TEST

/* Without READ POSITION, too, it is known where it stands. */
START_TEST(kept_from_who_has_left)
{
	fake.no_position = _i;
	open_kept();
	ck_good(rig_marks(&rig, 1));
	next_server();
	open_st();
	ck_assert_uint_eq(fake.opens, 1);
	ck_good(rig_write(&rig, "three"));
	ck_at(4, 1, 1);
	ck_assert_uint_eq(fake.rewinds, fake.no_position);
	ck_assert_uint_eq(fake.seeks, 0);
	ck_assert_uint_eq(fake.n, 4);
}
END_TEST

/* Its word counts, not that of who had it. */
START_TEST(kept_and_moved)
{
	open_kept();
	next_server();
	fake.at = 1;
	open_st();
	ck_good(rig_write(&rig, "three"));
	ck_at(3, 0, 3);
	ck_assert_uint_eq(fake.seeks, 1);
	ck_assert_uint_eq(fake.n, 3);
}
END_TEST

START_TEST(kept_of_what_was_unplugged)
{
	open_kept();
	next_server();
	fake.dead = true;
	open_st();
	ck_assert_uint_eq(fake.opens, 2);
	ck_assert_uint_eq(kept.drops, 1);
	ck_assert_uint_eq(kept.keeps, 2);
	ck_good(rig_write(&rig, "three"));
	ck_at(3, 0, 3);
}
END_TEST

/* Where it stands is not known then. */
START_TEST(kept_and_reset)
{
	fake.no_position = true;
	open_kept();
	next_server();
	fake.attention = 0x29;
	open_st();
	ck_assert_uint_eq(fake.opens, 1);
	ck_good(rig_write(&rig, "three"));
	ck_at(3, 0, 3);
	ck_assert_uint_eq(fake.rewinds, 2);
}
END_TEST

/* Another cartridge: st has to see a close to see it. */
START_TEST(kept_no_longer)
{
	open_kept();
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	fake_insert("B");
	rig_op(&rig, PMT_OP_TEST);
	ck_assert_uint_eq(fake.opens, 2);
	ck_assert_uint_eq(kept.drops, 1);
	ck_assert_uint_eq(kept.keeps, 2);
	ck_good(rig_write(&rig, "three"));
}
END_TEST

/* What its buffer has from who had it before is made durable, too. */
START_TEST(kept_and_synced)
{
	struct pmt_command sync = { .op = PMT_OP_WRITE_FILEMARKS };

	open_kept();
	next_server();
	open_st();
	sync.place = rig.place;
	ck_good(rig_do(&rig, sync, NULL));
	ck_assert_uint_eq(fake.syncs, 1);
	ck_good(rig_do(&rig, sync, NULL));
	ck_assert_uint_eq(fake.syncs, 1);
}
END_TEST

START_TEST(cut)
{
	struct pmt_command cmd = { .op = PMT_OP_CUT, .flags = PMT_CMD_POSITIONED };

	open_st();
	write_some();
	cmd.place = (struct pmt_place){ 1, 4, 1, 1, 0, 0 };
	ck_good(rig_do(&rig, cmd, NULL));
	ck_assert_uint_eq(fake.n, 4);
	ck_at(4, 1, 1);
}
END_TEST

/* Where the application has positioned. */
static int write_there(const char *text)
{
	char data[16];

	strcpy(data, text);
	return rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE,
						  .flags = PMT_CMD_POSITIONED,
						  .place = rig.place,
						  .length = (uint32_t)strlen(text) }, data);
}

/* Its short erase is refused, or does nothing. */
static void erase_in_vain(unsigned int op, int kind)
{
	struct pmt_command cmd = { .op = (uint16_t)op, .flags = PMT_CMD_POSITIONED };

	fake.refuses_erase = kind & 1;
	fake.no_erase = true;
	fake.no_position = kind & 2;
	open_st();
	write_some();
	cmd.place = (struct pmt_place){ 1, 4, 1, 1, 0, 0 };
	rig_do(&rig, cmd, NULL);
	ck_sense(PMT_KEY_ILLEGAL, 0x20, 0x00);
	ck_at(4, 1, 1);
}

/* A mark is all that is behind, and what is written next is where it was. */
START_TEST(cut_by_mark)
{
	erase_in_vain(PMT_OP_CUT, _i);
	ck_assert_uint_eq(fake.n, 5);
	ck_assert(fake.objects[4].mark);
	ck_good(write_there("new"));
	ck_at(5, 1, 2);
	ck_assert_uint_eq(fake.n, 5);
	ck_assert(!fake.objects[4].mark);
}
END_TEST

/* The application has asked for it: it is told, and nothing is changed. */
START_TEST(erase_refused)
{
	erase_in_vain(PMT_OP_ERASE, _i);
	ck_assert_uint_eq(fake.n, 7);
	rig_space(&rig, PMT_SPACE_RECORDS, 1);
	ck_at(5, 1, 2);
}
END_TEST

/* Marks that are not waited for */

static int marks_ahead(int64_t count)
{
	return rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE_FILEMARKS,
						  .flags = PMT_CMD_IMMEDIATE,
						  .place = rig.place, .count = count }, NULL);
}

START_TEST(immediate_marks)
{
	struct pmt_command sync = { .op = PMT_OP_WRITE_FILEMARKS };

	open_st();
	ck_good(rig_write(&rig, "one"));
	ck_good(marks_ahead(2));
	ck_at(3, 2, 0);
	ck_assert_uint_eq(fake.immediate, 1);
	ck_assert_uint_eq(fake.syncs, 0);
	sync.place = rig.place;
	ck_good(rig_do(&rig, sync, NULL));
	ck_assert_uint_eq(fake.syncs, 1);
	ck_assert_uint_eq(fake.n, 3);
}
END_TEST

START_TEST(immediate_marks_refused)
{
	fake.refuses_immediate = true;
	fake.no_position = _i;
	open_st();
	ck_good(rig_write(&rig, "one"));
	ck_good(marks_ahead(2));
	ck_at(3, 2, 0);
	ck_good(rig_write(&rig, "two"));
	ck_good(marks_ahead(1));
	ck_at(5, 3, 0);
	ck_assert_uint_eq(fake.immediate, 0);
	ck_assert_uint_eq(fake.rewinds, 2 * fake.no_position);	/* at first, and once */
	ck_assert_uint_eq(fake.n, 5);
}
END_TEST

/* Partitions */

static int format(unsigned int count, int64_t megabytes)
{
	return rig_do(&rig, (struct pmt_command){ .op = PMT_OP_FORMAT, .place = rig.place,
						  .argument = count, .count = megabytes }, NULL);
}

static int go_to(unsigned int partition, int64_t lbn)
{
	return rig_do(&rig, (struct pmt_command){ .op = PMT_OP_LOCATE, .place = rig.place,
						  .argument = partition, .count = lbn }, NULL);
}

#define ck_partitions(n)                                                           \
	do {                                                                       \
		ck_good(rig_op(&rig, PMT_OP_TEST));                                \
		ck_assert_uint_eq(rig.result.medium_flags >> PMT_MEDIUM_MORE_SHIFT, \
				  (n) - 1);                                         \
	} while (0)

/* zero in partition 0; one two in partition 1, behind which it stands */
static void two_partitions(void)
{
	fake.more = 1;
	open_st();
	ck_partitions(1u);
	write_some();
	ck_good(format(2, 1000));
	ck_assert_uint_eq(rig.result.place.generation, 2);
	ck_at(0, 0, 0);
	ck_partitions(2u);
	ck_good(rig_write(&rig, "zero"));
	ck_good(go_to(1, 0));
	ck_assert_uint_eq(rig.place.partition, 1);
	ck_at(0, 0, 0);
	ck_good(write_there("one"));
	ck_good(rig_write(&rig, "two"));
	ck_at(2, 0, 2);
}

START_TEST(partitions)
{
	char *json;

	two_partitions();
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	ck_assert_uint_eq(rig.place.partition, 1);
	expect_text("one");
	ck_good(go_to(0, 0));
	expect_text("zero");
	ck_good(go_to(1, 1));
	ck_assert_uint_eq(rig.place.partition, 1);
	expect_text("two");
	ck_assert_int_eq(pmt_drive_status_json(rig.drive, &json), 0);
	ck_assert_ptr_nonnull(strstr(json, "\"partitions\":[{"));
	free(json);
	go_to(2, 0);
	ck_sense(PMT_KEY_ILLEGAL, 0x24, 0x00);
	ck_good(format(1, 0));
	ck_partitions(1u);
	ck_assert_uint_eq(fake.n, 0);
}
END_TEST

/* Law 1: a command names its partition. */
START_TEST(partition_of_a_command)
{
	two_partitions();
	rig.place = (struct pmt_place){ 2, 1, 0, 1, 0, 0 };
	ck_good(write_there("abc"));
	ck_assert_uint_eq(rig.place.partition, 0);
	ck_at(2, 0, 2);
	ck_assert_uint_eq(fake.part, 0);
	rig.place = (struct pmt_place){ 2, 0, 0, 0, 1, 0 };
	expect_text("one");
}
END_TEST

/* The next server finds it in the partition where it was. */
START_TEST(partition_of_the_next_server)
{
	two_partitions();
	rig_close(&rig);
	rig.session.place = rig.place;
	open_st();
	ck_partitions(2u);
	ck_good(rig_write(&rig, "three"));
	ck_assert_uint_eq(fake.part, 1);
	ck_assert_uint_eq(fake.n, 3);
	ck_at(3, 0, 3);
}
END_TEST

/* A reset takes the drive to its first partition, and st wants a rewind first. */
START_TEST(reset_in_a_partition)
{
	strcpy(fake.serial, "A");
	two_partitions();
	ck_good(go_to(0, 0));
	fake.lost = true;
	ck_good(go_to(1, 1));
	expect_text("two");
}
END_TEST

/* What is in both, whatever has gone wrong. */
static void ck_both(void)
{
	rig.place = (struct pmt_place){ .generation = rig.place.generation };
	expect_text("zero");
	ck_good(go_to(1, 0));
	expect_text("one");
	expect_text("two");
}

/* LOAD takes the drive to its first partition, and st does not know. */
START_TEST(loaded_in_a_partition)
{
	two_partitions();
	ck_good(rig_op(&rig, PMT_OP_LOAD));
	ck_assert_uint_eq(rig.result.place.partition, 0);
	ck_both();
}
END_TEST

/* What meets it when the drive has lost power. */
static const struct pmt_command meets[] = {
	{ .op = PMT_OP_TEST },
	{ .op = PMT_OP_WRITE, .flags = PMT_CMD_POSITIONED, .length = 3 },
	{ .op = PMT_OP_WRITE, .flags = PMT_CMD_POSITIONED, .length = 6, .block_size = 3 },
	{ .op = PMT_OP_WRITE_FILEMARKS, .count = 0 },
	{ .op = PMT_OP_WRITE_FILEMARKS, .flags = PMT_CMD_POSITIONED, .count = 3 },
	{ .op = PMT_OP_READ, .length = 6 },
	{ .op = PMT_OP_READ, .length = 6, .block_size = 3 },
	{ .op = PMT_OP_SPACE, .argument = PMT_SPACE_RECORDS, .count = -1 },
	{ .op = PMT_OP_SPACE, .argument = PMT_SPACE_FILEMARKS, .count = -1 },
	{ .op = PMT_OP_SPACE, .argument = PMT_SPACE_RECORDS, .count = 2 },
	{ .op = PMT_OP_SPACE, .argument = PMT_SPACE_FILEMARKS, .count = 2 },
	{ .op = PMT_OP_MODE },
	/* They go where they are to, all the same: */
	{ .op = PMT_OP_SPACE, .argument = PMT_SPACE_EOD },
	{ .op = PMT_OP_REWIND },
};
#define MEETS ((int)(sizeof(meets) / sizeof(meets[0])))
#define GOES (MEETS - 2)

static void meet(const struct pmt_command *what, const struct pmt_place *at)
{
	struct pmt_command cmd = *what;
	char buffer[8] = "newnew";

	fake_power_cycle();
	cmd.place = *at;
	cmd.modes.buffered = !fake.buffered;
	rig_do(&rig, cmd, buffer);
	if (what < &meets[GOES])
		ck_assert_int_eq(rig.result.status, PMT_STATUS_CHECK);
}

static void sync_all(void)
{
	ck_good(rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE_FILEMARKS,
						   .place = rig.place }, NULL));
}

/*
 * At the first block of its partition or behind it; the cartridge has a serial number or
 * not, the first partition something or nothing.
 */
START_TEST(power_lost_in_a_partition)
{
	bool blank = _i & 4;
	struct pmt_place before;

	strcpy(fake.serial, _i & 1 ? "A" : "");
	two_partitions();
	sync_all();
	if (_i & 2)
		ck_good(go_to(1, 0));
	if (blank) {
		free(fake.parts[0].objects[0].data);
		fake.parts[0].n = 0;
	}
	before = rig.place;
	meet(&meets[_i / 8], &before);
	if (rig.result.key == PMT_KEY_ATTENTION && rig.result.asc == 0x28) {
		/* Nobody can tell: another cartridge. */
		ck_assert_uint_eq(fake.n, !blank);
		return;
	}
	if (rig.result.key == PMT_KEY_ATTENTION) {
		rig.place = before;
		ck_good(rig_op(&rig, PMT_OP_REWIND));
	} else {
		rig.place = rig.result.place;
	}
	ck_assert_uint_eq(rig.result.place.partition, 1);
	ck_good(write_there("new"));
	ck_assert_uint_eq(fake.part, 1);
	ck_good(go_to(0, 0));
	ck_assert_uint_eq(fake.n, !blank);
}
END_TEST

/* The same with the one partition of most cartridges: nothing is written at its beginning. */
START_TEST(power_lost)
{
	struct pmt_place before;

	strcpy(fake.serial, _i & 1 ? "A" : "");
	open_st();
	ck_good(rig_write(&rig, "one"));
	if (_i & 2)
		ck_good(rig_write(&rig, "two"));
	sync_all();
	before = rig.place;
	meet(&meets[_i / 4], &before);
	if (rig.result.key == PMT_KEY_ATTENTION) {
		ck_assert_uint_eq(fake.at, 0);
		ck_assert_uint_eq(fake.n, before.lbn);
		return;
	}
	if (_i / 4 < GOES && !(rig.result.sense & PMT_SENSE_EOM))
		ck_assert_uint_eq(rig.result.place.lbn, before.lbn);
	ck_assert_mem_eq(fake.objects[0].data, "one", 3);
}
END_TEST

/* st has noticed, too; it goes to where MTSETPART said last. */
START_TEST(first_partition_behind_a_reset)
{
	two_partitions();
	fake_power_cycle();
	fake.attention = 0;
	fake.lost = true;
	rig_write(&rig, "new");
	ck_assert_int_eq(rig.result.status, PMT_STATUS_CHECK);
	ck_both();
}
END_TEST

/* It can not be gone to: for a while, or any more.  The other one is as it was. */
START_TEST(switch_that_fails)
{
	static const unsigned int tries[] = { 3, 4, 5, 1000 };

	two_partitions();
	ck_good(go_to(0, 0));
	fake.bad_part = 1;
	fake.fail_switches = tries[_i];
	go_to(1, 0);
	ck_assert_int_eq(rig.result.status, PMT_STATUS_CHECK);
	rig.place = (struct pmt_place){ .generation = 2 };
	expect_text("zero");
	rig.place = (struct pmt_place){ .generation = 2 };
	ck_good(write_there("nil"));
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	expect_text("nil");
	ck_assert_uint_eq(fake.part, 0);
	rig_close(&rig);
	fake.fail_switches = 0;
	open_st();
	ck_good(go_to(1, 0));
	expect_text("one");
	expect_text("two");
}
END_TEST

/* Where data ends is of the partition that the tape was in. */
START_TEST(end_of_another_partition)
{
	strcpy(fake.serial, "A");
	two_partitions();
	ck_good(go_to(0, 0));
	for (int i = 0; i < 4; i++)
		ck_good(write_there("zero"));
	ck_good(go_to(1, 2));
	rig_op(&rig, PMT_OP_TEST);
	ck_assert_uint_eq(rig.result.key, 0);
	rig_space(&rig, PMT_SPACE_RECORDS, 1);
	ck_sense(PMT_KEY_BLANK, 0x00, 0x05);
	fake_power_cycle();
	write_there("new");
	ck_sense(PMT_KEY_ATTENTION, 0x29, 0x00);
	rig.place = (struct pmt_place){ .generation = 2, .lbn = 2,
					.file = PMT_UNKNOWN, .block = PMT_UNKNOWN };
	ck_good(rig_do(&rig, (struct pmt_command){ .op = PMT_OP_ERASE, .place = rig.place,
						   .flags = PMT_CMD_POSITIONED }, NULL));
	ck_assert_uint_eq(fake.part, 0);
	ck_assert_uint_eq(fake.n, 2);
}
END_TEST

/* A cartridge with one came in behind a reset; on the way st has rewound it. */
START_TEST(partition_that_is_gone)
{
	two_partitions();
	ck_good(go_to(0, 1));
	fake.lost = true;
	fake.n_parts = 1;
	go_to(1, 0);
	ck_sense(PMT_KEY_ILLEGAL, 0x24, 0x00);
	rig.place = (struct pmt_place){ .generation = 2, .lbn = 1, .block = 1 };
	ck_good(write_there("more"));
	ck_assert_uint_eq(fake.n, 2);
}
END_TEST

/* st learns by a count that there was one, while it moves. */
START_TEST(reset_that_st_counts)
{
	struct pmt_place before;

	two_partitions();
	before = rig.place;
	fake.counts = true;
	fake_power_cycle();
	fake.st_part = fake.new_part = 0;	/* as behind an earlier one */
	rig_op(&rig, PMT_OP_TEST);
	ck_sense(PMT_KEY_ATTENTION, 0x29, 0x00);
	rig.place = before;
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	ck_assert_uint_eq(rig.result.place.partition, 1);
	expect_text("one");
	ck_both();
}
END_TEST

/* It has gone, and once it cannot say where. */
START_TEST(does_not_say_where)
{
	two_partitions();
	fake.fail_asking = 1;
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	expect_text("one");
	fake.fail_asking = 6;		/* ... and not behind another rewind, either */
	rig_op(&rig, PMT_OP_REWIND);
	ck_sense(PMT_KEY_MEDIUM, 0x3b, 0x00);
	rig.place = (struct pmt_place){ .generation = 2, .partition = 1 };
	expect_text("one");
}
END_TEST

/* The same by what was kept of who was killed, and st had to write a mark. */
START_TEST(left_in_a_partition_and_kept)
{
	fake.more = 1;
	open_kept();
	ck_good(format(2, 1000));
	ck_good(go_to(1, 0));
	ck_good(write_there("one"));
	rig_close(&rig);
	fake.no_sg = fake.writing = true;
	rig.session.place = (struct pmt_place){ .generation = 2 };
	open_st();
	ck_assert_uint_eq(fake.opens, 1);
	ck_assert_uint_eq(fake.part, 0);
	ck_assert_uint_eq(fake.parts[1].n, 1);
}
END_TEST

/* The same block of another partition: what was kept says nothing of that. */
START_TEST(kept_of_another_partition)
{
	fake.more = 1;
	open_kept();
	ck_good(format(2, 1000));
	ck_good(write_there("zero"));
	ck_good(write_there("zero"));
	ck_good(go_to(1, 0));
	ck_good(write_there("one"));
	ck_good(write_there("two"));
	rig_close(&rig);
	fake_power_cycle();
	fake.attention = fake.st_part = fake.new_part = 0;
	fake.at = 2;
	rig.session.place = (struct pmt_place){ .generation = 2 };
	open_st();
	ck_assert_uint_eq(((struct pmt_st *)rig.drive)->leaf.place.lbn, 2);
	ck_assert_uint_eq(((struct pmt_st *)rig.drive)->leaf.place.file, UNKNOWN);
}
END_TEST

/* Whoever begins moves nothing, of drives that say where they are or not, ask them or not. */
START_TEST(goes_nowhere_at_first)
{
	open_st();
	write_some();
	rig_close(&rig);
	rig.session.place = rig.place;
	fake.no_sg = _i & 1;
	fake.more = _i & 2 ? 1 : 0;
	fake.no_page = fake.more;
	fake.seeks = fake.rewinds = 0;
	open_st();
	ck_assert_uint_eq(fake.at, 7);
	ck_assert_uint_eq(fake.seeks + fake.rewinds, 0);
	ck_good(rig_write(&rig, "more"));
	ck_at(8, 2, 1);
}
END_TEST

/* A drive that cannot say where it is, and has no page of what it is told, stays. */
START_TEST(refused_mode_moves_nothing)
{
	struct pmt_command mode = { .op = PMT_OP_MODE };

	fake.no_position = true;
	open_st();
	write_some();
	ck_good(rig_space(&rig, PMT_SPACE_EOD, 0));
	fake.refuses_mode = true;
	mode.place = rig.place;
	mode.modes = rig.session.modes;
	mode.modes.compression = 1;
	mode.modes.buffered = !fake.buffered;
	rig_do(&rig, mode, NULL);
	ck_sense(PMT_KEY_ILLEGAL, 0x20, 0x00);
	ck_good(rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .length = 4,
						   .place = rig.place,
						   .flags = PMT_CMD_HERE |
							    PMT_CMD_POSITIONED }, "more"));
	ck_assert_uint_eq(fake.n, 8);
}
END_TEST

/* Who cannot ask the drive uses the first one, wherever it was left. */
START_TEST(left_in_a_partition)
{
	two_partitions();
	rig_close(&rig);
	ck_assert_uint_eq(fake.part, 1);
	fake.no_sg = true;
	fake.bad_part = 0;
	fake.fail_switches = _i ? 1000 : 0;
	if (_i) {
		ck_assert_int_eq(rig_open(&rig, "fakest:0"), -EIO);
		return;
	}
	rig.session.place = (struct pmt_place){ 0 };
	open_st();
	ck_partitions(1u);
	ck_good(write_there("new"));
	ck_assert_uint_eq(fake.part, 0);
	ck_assert_uint_eq(fake.n, 1);
	ck_assert_uint_eq(fake.parts[1].n, 2);
}
END_TEST

/* A server goes while its st owes a switch that never succeeds. */
START_TEST(switch_is_not_inherited)
{
	two_partitions();
	ck_good(go_to(0, 1));
	rig_close(&rig);
	rig.session.place = rig.place;
	fake.new_part = fake.bad_part = 1;
	fake.fail_switches = 1000;
	open_st();
	ck_partitions(2u);
	rig.place = (struct pmt_place){ .generation = 2 };
	expect_text("zero");
}
END_TEST

static bool second_is_longer(void)
{
	char *json;
	bool longer;

	ck_assert_int_eq(pmt_drive_status_json(rig.drive, &json), 0);
	longer = strstr(json, "\"longer\"");
	free(json);
	return longer;
}

/* What cannot be cut in one partition is no end of another one, nor gone by writing there. */
START_TEST(longer_in_a_partition)
{
	static char large[60000];
	struct pmt_command write = { .op = PMT_OP_WRITE, .flags = PMT_CMD_POSITIONED,
				     .length = sizeof(large) };
	unsigned int end;
	char spec[300];
	int fd;

	folder_make();
	fake.more = 1;
	snprintf(spec, sizeof(spec), "mirror(delay?ms=2|image:%s?capacity=64M,fakest:0)", path("a"));
	ck_assert_int_eq(rig_open(&rig, spec), 0);
	ck_good(format(2, 1));
	for (int i = 0; i < 60; i++)
		ck_good(write_there("zero"));
	ck_good(go_to(1, 0));
	fake.refuses_erase = true;
	do {
		write.place = rig.place;
		rig_do(&rig, write, large);
	} while (rig.result.key == PMT_KEY_NONE);
	ck_assert_uint_eq(rig.result.key, PMT_KEY_OVERFLOW);
	ck_assert_uint_lt(rig.place.lbn, 59);
	ck_assert(second_is_longer());
	ck_good(go_to(0, 59));
	fd = open(path("a"), O_WRONLY);
	ck_assert_int_eq(pwrite(fd, "????", 4, lseek(fd, 0, SEEK_END) - 12), 4);
	close(fd);
	expect_text("zero");		/* of the one that is longer, elsewhere */
	ck_good(write_there("more"));
	ck_assert(second_is_longer());
	/* A server that knows no more than that one is. */
	rig.session.cookie = rig.result.cookie;
	rig.session.place = rig.place;
	rig_close(&rig);
	ck_assert_int_eq(rig_open(&rig, spec), 0);
	ck_good(write_there("more"));
	ck_assert(second_is_longer());
	end = fake.parts[1].n;
	ck_good(go_to(1, end - 2));
	ck_good(rig_do(&rig, (struct pmt_command){ .op = PMT_OP_READ, .place = rig.place,
						   .length = sizeof(large) }, large));
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_READ, .place = rig.place,
					   .length = sizeof(large) }, large);
	ck_sense(PMT_KEY_BLANK, 0x00, 0x05);
	ck_good(go_to(1, end - 2));
	ck_good(write_there("over"));
	ck_assert(!second_is_longer());
	rig_close(&rig);
	folder_remove();
}
END_TEST

START_TEST(format_refused)
{
	fake.more = 1;
	open_st();
	write_some();
	format(3, 100);
	ck_sense(PMT_KEY_ILLEGAL, 0x26, 0x00);
	format(2, 0);
	ck_sense(PMT_KEY_ILLEGAL, 0x26, 0x00);
	format(2, 70000);		/* st does not take it */
	ck_sense(PMT_KEY_ILLEGAL, 0x26, 0x00);
	ck_assert_uint_eq(rig.result.place.generation, 1);
	ck_assert_uint_eq(fake.n, 7);
	rig_close(&rig);
	fake.more = 0;			/* a drive without */
	open_st();
	format(2, 100);
	ck_sense(PMT_KEY_ILLEGAL, 0x20, 0x00);
	ck_assert_uint_eq(fake.options & MT_ST_CAN_PARTITIONS, 0);
}
END_TEST

START_TEST(lost_from_the_buffer)
{
	open_st();
	write_some();
	fake.at = 5;
	fake.objects[5].length = 0;
	rig_marks(&rig, 0);
	ck_sense(PMT_KEY_MEDIUM, 0x0c, 0x00);
}
END_TEST

/* The medium */

START_TEST(protected_medium)
{
	fake.protected = true;
	open_st();
	rig_write(&rig, "one");
	ck_sense(PMT_KEY_PROTECT, 0x27, 0x00);
	ck_assert_uint_eq(fake.writes, 0);
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert(rig.result.medium_flags & PMT_MEDIUM_PROTECTED);
}
END_TEST

START_TEST(protected_in_use)
{
	open_st();
	write_some();
	fake.protected = true;
	rig_write(&rig, "six");
	ck_sense(PMT_KEY_PROTECT, 0x27, 0x00);
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert(rig.result.medium_flags & PMT_MEDIUM_PROTECTED);
}
END_TEST

START_TEST(no_cartridge)
{
	fake.present = false;
	open_st();
	rig_op(&rig, PMT_OP_TEST);
	ck_sense(PMT_KEY_NOT_READY, 0x3a, 0x00);
	rig_write(&rig, "one");
	ck_sense(PMT_KEY_NOT_READY, 0x3a, 0x00);
	fake_insert("A");
	rig.place = rig.session.place;
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.place.generation, 1);
	write_some();
}
END_TEST

/* The operator's way: out, and the next one in. */
START_TEST(next_volume)
{
	open_st();
	write_some();
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	ck_assert_uint_eq(rig.result.place.generation, 2);
	ck_assert_uint_eq(fake.auto_marks, 0);
	for (int i = 0; i < 3; i++) {
		struct pmt_place place = rig.place;

		rig_op(&rig, PMT_OP_TEST);
		ck_sense(PMT_KEY_NOT_READY, 0x3a, 0x00);
		rig.place = place;
	}
	fake_insert("B");
	rig.place = (struct pmt_place){ .generation = 2 };
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.place.generation, 2);
	ck_at(0, 0, 0);
	write_some();
	ck_assert_uint_eq(fake.n, 7);
}
END_TEST

/* Without UNLOAD: a new generation, in which nothing is done that was meant before. */
static void expect_another(void)
{
	struct pmt_place before = rig.place;

	rig_op(&rig, PMT_OP_TEST);
	ck_sense(PMT_KEY_ATTENTION, 0x28, 0x00);
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.place.generation, 2);
	ck_at(0, 0, 0);
	rig.place = before;
	rig_write(&rig, "six");
	ck_sense(PMT_KEY_ATTENTION, 0x28, 0x00);
	ck_assert_uint_eq(fake.n, 0);
}

/* Whose commands wait, they are for the cartridge that was there. */
static void expect_another_since(struct pmt_place before)
{
	rig_write(&rig, "six");
	ck_sense(PMT_KEY_NOT_READY, 0x3a, 0x00);
	rig.place = before;
	expect_another();
}

/* The drive tells it once, and to whoever opens. */
START_TEST(kept_and_changed)
{
	open_kept();
	next_server();
	fake_insert("");
	open_st();
	ck_assert_uint_eq(fake.opens, 2);
	expect_another_since(rig.session.place);
	ck_assert(kept.there);
}
END_TEST

/* A mirror asks at once, and what waits is executed no more for that. */
START_TEST(kept_and_changed_in_a_mirror)
{
	open_kept();
	next_server();
	fake_insert("");
	ck_assert_int_eq(rig_open(&rig, "mirror(fakest:0)"), 0);
	rig_write(&rig, "three");
	ck_sense(PMT_KEY_ATTENTION, 0x28, 0x00);
	ck_assert_uint_eq(fake.n, 0);
}
END_TEST

static void learn_medium(void)
{
	ck_good(rig_op(&rig, PMT_OP_TEST));
	rig.session.medium[0] = rig.result.medium[0];
	ck_assert(rig.session.medium[0] != 0);
}

/* Taken out and put in again, as its own memory says; or it says another thing. */
START_TEST(kept_and_put_in_again)
{
	strcpy(fake.serial, "A");
	open_kept();
	learn_medium();
	next_server();
	fake.at = 0;
	fake.attention = 0x28;
	open_st();
	ck_good(rig_write(&rig, "three"));
	ck_at(3, 0, 3);
	ck_assert_uint_eq(rig.result.place.generation, 1);
	next_server();
	fake_insert("B");
	ck_assert_int_eq(rig_open(&rig, "fakest:0"), -ESTALE);
	ck_assert_uint_eq(fake.n, 0);
}
END_TEST

/* Between UNLOAD and the next cartridge nothing is kept, and that one is no other. */
START_TEST(not_kept_without_cartridge)
{
	open_kept();
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	ck_assert(!kept.there);
	rig_op(&rig, PMT_OP_TEST);
	ck_sense(PMT_KEY_NOT_READY, 0x3a, 0x00);
	ck_assert(!kept.there);
	rig.place = (struct pmt_place){ .generation = 2 };
	next_server();
	fake_insert("B");
	open_st();
	ck_assert(kept.there);
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.place.generation, 2);
	ck_good(rig_write(&rig, "one"));
}
END_TEST

START_TEST(empty_then_another)
{
	if (_i)
		open_kept();
	else
		open_st();
	ck_good(rig_write(&rig, "a record"));
	next_server();
	fake.present = false;
	open_st();
	rig_op(&rig, PMT_OP_TEST);
	ck_sense(PMT_KEY_NOT_READY, 0x3a, 0x00);
	fake_insert("B");
	rig.place = rig.session.place;
	expect_another_since(rig.session.place);
}
END_TEST

START_TEST(empty_then_the_same)
{
	strcpy(fake.serial, "A");
	open_st();
	write_some();
	learn_medium();
	next_server();
	fake.present = false;
	open_st();
	fake.present = true;
	fake.at = 0;
	fake.attention = 0x28;
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.place.generation, 1);
	rig.place = rig.session.place;
	ck_good(rig_write(&rig, "six"));
	ck_at(8, 2, 1);
}
END_TEST

START_TEST(changed)
{
	open_st();
	write_some();
	fake_insert("B");
	expect_another();
}
END_TEST

START_TEST(changed_while_writing)
{
	struct pmt_place before;

	open_st();
	write_some();
	before = rig.place;
	fake_insert("");
	rig_write(&rig, "six");
	ck_sense(PMT_KEY_ATTENTION, 0x28, 0x00);
	rig.place = before;
	rig_write(&rig, "six");
	ck_sense(PMT_KEY_NOT_READY, 0x3a, 0x00);
	rig.place = before;
	expect_another();
}
END_TEST

START_TEST(taken_out)
{
	struct pmt_place before;

	strcpy(fake.serial, "A");
	open_st();
	write_some();
	before = rig.place;
	fake.present = false;
	rig_write(&rig, "six");
	ck_sense(PMT_KEY_NOT_READY, 0x3a, 0x00);
	/* The same again, as its own memory says. */
	fake.present = true;
	fake.at = 0;
	fake.attention = 0x28;
	rig.place = before;
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.place.generation, 1);
	rig.place = before;
	ck_good(rig_write(&rig, "six"));
	ck_at(8, 2, 1);
}
END_TEST

/* The same medium and its word: at attach another one is refused. */
START_TEST(identity)
{
	uint64_t word;

	strcpy(fake.serial, "A");
	open_st();
	ck_good(rig_op(&rig, PMT_OP_TEST));
	word = rig.result.medium[0];
	ck_assert(word != 0);
	rig_close(&rig);
	rig.session.medium[0] = word;
	open_st();
	rig_close(&rig);
	fake_insert("B");
	ck_assert_int_eq(rig_open(&rig, "fakest:0"), -ESTALE);
}
END_TEST

START_TEST(reset)
{
	struct pmt_place before;

	open_st();
	write_some();
	before = rig.place;
	fake.attention = 0x29;
	rig_op(&rig, PMT_OP_TEST);
	ck_sense(PMT_KEY_ATTENTION, 0x29, 0x00);
	ck_at(UNKNOWN, UNKNOWN, UNKNOWN);
	fake.at = 0;			/* it has rewound */
	rig.place = before;
	ck_good(rig_write(&rig, "six"));
	ck_at(8, 2, 1);
}
END_TEST

/* A reset that only the place tells of, while the cartridge is known. */
START_TEST(reset_while_writing)
{
	struct pmt_place before;

	strcpy(fake.serial, "A");
	open_st();
	write_some();
	before = rig.place;
	fake.attention = 0x29;
	fake.at = 0;
	rig_write(&rig, "six");
	ck_sense(PMT_KEY_ATTENTION, 0x29, 0x00);
	rig.place = before;
	ck_good(rig_write(&rig, "six"));
	ck_at(8, 2, 1);
}
END_TEST

START_TEST(load)
{
	open_st();
	write_some();
	ck_good(rig_op(&rig, PMT_OP_LOAD));
	ck_assert_uint_eq(rig.result.place.generation, 2);
	ck_at(0, 0, 0);
	expect_text("one");
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	rig_op(&rig, PMT_OP_LOAD);
	ck_sense(PMT_KEY_NOT_READY, 0x3a, 0x00);
}
END_TEST

static Suite *st_suite(void)
{
	const TTest *const tests[] = {
		setting_up, room, limit_of_the_host, no_pass_through, busy, refused, modes,
		write_and_read, write_and_read_without_position, end_of_data,
		longer_record, large_read, write_error,
		fixed_blocks, fixed_to_the_end, fixed_to_the_end_without_position,
		fixed_in_parts, fixed_at_the_end,
		early_warning, physical_end,
		space_records, space_over_many_marks, read_error, space_without_position, here_without_position, locate,
		behind_a_stray_mark, behind_a_stray_mark_without_position,
		begins_without_position, cut, kept_and_moved, kept_of_what_was_unplugged,
		kept_no_longer, kept_and_synced, immediate_marks, partitions,
		partition_of_a_command, partition_of_the_next_server, reset_in_a_partition,
		loaded_in_a_partition, first_partition_behind_a_reset,
		end_of_another_partition, partition_that_is_gone,
		switch_is_not_inherited, reset_that_st_counts, does_not_say_where,
		left_in_a_partition_and_kept, kept_of_another_partition, refused_mode_moves_nothing, longer_in_a_partition, format_refused,
		lost_from_the_buffer,
		protected_medium, protected_in_use, no_cartridge, next_volume, changed,
		kept_and_reset, kept_and_changed, kept_and_changed_in_a_mirror,
		kept_and_put_in_again,
		not_kept_without_cartridge, empty_then_the_same,
		changed_while_writing, taken_out, identity, reset, reset_while_writing, load,
	};
	Suite *suite = suite_create("st");
	TCase *tcase = tcase_create("st");

	suite_quiet();
	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	tcase_add_loop_test(tcase, phantom, 0, 4);
	tcase_add_loop_test(tcase, power_lost_in_a_partition, 0, 8 * MEETS);
	tcase_add_loop_test(tcase, goes_nowhere_at_first, 0, 4);
	tcase_add_loop_test(tcase, power_lost, 0, 4 * MEETS);
	tcase_add_loop_test(tcase, switch_that_fails, 0, 4);
	tcase_add_loop_test(tcase, left_in_a_partition, 0, 2);
	tcase_add_loop_test(tcase, kept_from_who_was_killed, 0, 2);
	tcase_add_loop_test(tcase, empty_then_another, 0, 2);
	tcase_add_loop_test(tcase, cut_by_mark, 0, 4);
	tcase_add_loop_test(tcase, erase_refused, 0, 4);
	tcase_add_loop_test(tcase, immediate_marks_refused, 0, 2);
	tcase_add_loop_test(tcase, kept_from_who_has_left, 0, 2);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	return run_suite(st_suite());
}
