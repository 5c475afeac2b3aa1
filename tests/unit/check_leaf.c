// SPDX-License-Identifier: GPL-2.0-or-later
/* Law 1, as lib/leaf.c keeps it, over a medium in memory. */
#include <check.h>
#include <errno.h>
#include <json-c/json.h>
#include <string.h>

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

static void open_mem(void)
{
	ck_assert_int_eq(rig_open(&rig, "mem:a"), 0);
}

static void reopen_at(uint64_t generation, uint64_t lbn)
{
	rig_close(&rig);
	rig.session.place = (struct pmt_place){ .generation = generation, .lbn = lbn,
						.file = PMT_UNKNOWN, .block = PMT_UNKNOWN };
	open_mem();
}

#define ck_sense(k, a, q)                                                          \
	do {                                                                       \
		ck_assert_int_eq(rig.result.status, PMT_STATUS_CHECK);             \
		ck_assert_uint_eq(rig.result.key, k);                              \
		ck_assert_uint_eq(rig.result.asc, a);                              \
		ck_assert_uint_eq(rig.result.ascq, q);                             \
	} while (0)
#define ck_good(status) ck_assert_int_eq(status, PMT_STATUS_GOOD)
#define ck_at(l, f, b)                                                             \
	do {                                                                       \
		ck_assert_uint_eq(rig.result.place.lbn, l);                        \
		ck_assert_uint_eq(rig.result.place.file, f);                       \
		ck_assert_uint_eq(rig.result.place.block, b);                      \
	} while (0)

static void write_some(void)
{
	ck_good(rig_write(&rig, "one"));
	ck_good(rig_write(&rig, "two"));
	ck_good(rig_marks(&rig, 1));
	ck_good(rig_write(&rig, "three"));
	ck_good(rig_marks(&rig, 1));
	ck_at(5, 2, 0);
}

static void expect_text(const char *text)
{
	char buffer[64] = "";

	ck_good(rig_read(&rig, buffer, sizeof(buffer)));
	ck_assert_str_eq(buffer, text);
	ck_assert_int_eq(rig.result.residue, (int64_t)(sizeof(buffer) - strlen(text)));
}

/* Reading and writing */

START_TEST(write_and_read)
{
	char buffer[64];

	open_mem();
	write_some();
	ck_assert_uint_eq(medium->syncs, 2);
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	ck_at(0, 0, 0);
	expect_text("one");
	ck_at(1, 0, 1);
	expect_text("two");
	rig_read(&rig, buffer, sizeof(buffer));
	ck_sense(PMT_KEY_NONE, 0x00, 0x01);
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_FILEMARK);
	ck_assert_int_eq(rig.result.residue, sizeof(buffer));
	ck_at(3, 1, 0);
	expect_text("three");
	rig_read(&rig, buffer, sizeof(buffer));
	rig_read(&rig, buffer, sizeof(buffer));
	ck_sense(PMT_KEY_BLANK, 0x00, 0x05);
	ck_at(5, 2, 0);
}
END_TEST

START_TEST(longer_record)
{
	char buffer[2];

	open_mem();
	write_some();
	rig_op(&rig, PMT_OP_REWIND);
	rig_read(&rig, buffer, 2);
	ck_sense(PMT_KEY_NONE, 0, 0);
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_ILI);
	ck_assert_int_eq(rig.result.residue, -1);
	ck_at(1, 0, 1);
}
END_TEST

static struct pmt_command blocks(unsigned int op, uint32_t size, uint32_t n)
{
	return (struct pmt_command){ .op = (uint16_t)op, .place = rig.place,
				     .length = size * n, .block_size = size };
}

START_TEST(fixed_blocks)
{
	char data[] = "aabbccddee", buffer[11] = "";

	open_mem();
	ck_good(rig_do(&rig, blocks(PMT_OP_WRITE, 2, 5), data));
	ck_at(5, 0, 5);
	ck_good(rig_write(&rig, "fff"));
	rig_op(&rig, PMT_OP_REWIND);
	ck_good(rig_do(&rig, blocks(PMT_OP_READ, 2, 4), buffer));
	ck_assert_str_eq(buffer, "aabbccdd");
	rig_do(&rig, blocks(PMT_OP_READ, 2, 3), buffer);
	ck_sense(PMT_KEY_NONE, 0, 0);
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_ILI);
	ck_assert_int_eq(rig.result.residue, 2);
	ck_at(6, 0, 6);
	rig_op(&rig, PMT_OP_REWIND);
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_READ, .place = rig.place,
					   .length = 5, .block_size = 2 }, buffer);
	ck_sense(PMT_KEY_ILLEGAL, 0x24, 0);
}
END_TEST

START_TEST(fixed_stops_at_mark_and_end)
{
	char buffer[8];

	open_mem();
	ck_good(rig_do(&rig, blocks(PMT_OP_WRITE, 2, 2), "aabb"));
	rig_marks(&rig, 1);
	rig_op(&rig, PMT_OP_REWIND);
	rig_do(&rig, blocks(PMT_OP_READ, 2, 4), buffer);
	ck_sense(PMT_KEY_NONE, 0, 1);
	ck_assert_int_eq(rig.result.residue, 2);
	ck_at(3, 1, 0);
	rig_do(&rig, blocks(PMT_OP_READ, 2, 4), buffer);
	ck_sense(PMT_KEY_BLANK, 0, 5);
	ck_assert_int_eq(rig.result.residue, 4);
}
END_TEST

/* A new server's drive is at the beginning, the unit is not. */
START_TEST(room_is_of_the_place)
{
	medium->capacity = 10;
	open_mem();
	ck_good(rig_write(&rig, "12345"));
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.room, 5);
	rig_close(&rig);
	rig.session.place.lbn = 1;
	rig.session.place.block = 1;
	open_mem();
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.room, 0);
	ck_good(rig_write(&rig, "6"));
	ck_assert_uint_eq(rig.result.room, 4);
}
END_TEST

START_TEST(early_warning_and_end)
{
	medium->capacity = 10;
	medium->ew = 4;
	open_mem();
	ck_good(rig_write(&rig, "12345"));
	ck_assert_uint_eq(rig.result.sense, 0);
	ck_assert_uint_eq(rig.result.room, 1);
	ck_assert_uint_eq(rig.warnings, 0);
	ck_good(rig_write(&rig, "67"));
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	ck_assert_uint_eq(rig.result.ascq, 0x02);
	ck_assert_uint_eq(rig.result.room, 0);
	ck_assert_uint_eq(rig.warnings, 1);
	ck_assert_uint_eq(rig.warned.lbn, 1);
	ck_assert_uint_eq(rig.warned.generation, 1);
	rig_write(&rig, "8901");
	ck_sense(PMT_KEY_OVERFLOW, 0x00, 0x02);
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	ck_assert_int_eq(rig.result.residue, 4);
	ck_at(2, 0, 2);
	ck_good(rig_write(&rig, "890"));
	rig_do(&rig, blocks(PMT_OP_WRITE, 1, 3), "xyz");
	ck_assert_int_eq(rig.result.residue, 3);
}
END_TEST

START_TEST(part_of_fixed_blocks_fits)
{
	medium->capacity = 5;
	open_mem();
	rig_do(&rig, blocks(PMT_OP_WRITE, 2, 4), "aabbccdd");
	ck_sense(PMT_KEY_OVERFLOW, 0x00, 0x02);
	ck_assert_int_eq(rig.result.residue, 2);
	ck_at(2, 0, 2);
	ck_assert_uint_eq(medium->volume.n, 2);
}
END_TEST

START_TEST(marks_and_sync)
{
	open_mem();
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE_FILEMARKS, .count = 3,
					   .flags = PMT_CMD_IMMEDIATE,
					   .place = rig.place }, NULL);
	ck_good(rig.result.status);
	ck_at(3, 3, 0);
	ck_assert_uint_eq(medium->syncs, 0);
	ck_good(rig_marks(&rig, 0));
	ck_at(3, 3, 0);
	ck_assert_uint_eq(medium->syncs, 1);
	ck_good(rig_op(&rig, PMT_OP_SYNC));
	ck_assert_uint_eq(medium->syncs, 2);
	rig_marks(&rig, -1);
	ck_sense(PMT_KEY_ILLEGAL, 0x24, 0);
}
END_TEST

START_TEST(errors_have_their_sense)
{
	open_mem();
	write_some();
	rig_op(&rig, PMT_OP_FORMAT);
	ck_sense(PMT_KEY_ILLEGAL, 0x20, 0);
	rig_op(&rig, 99);
	ck_sense(PMT_KEY_ILLEGAL, 0x20, 0);
	rig_close(&rig);
	medium->protected = true;
	open_mem();
	rig_write(&rig, "x");
	ck_sense(PMT_KEY_PROTECT, 0x27, 0);
	rig_marks(&rig, 1);
	ck_sense(PMT_KEY_PROTECT, 0x27, 0);
	rig_close(&rig);
	medium->absent = true;
	open_mem();
	rig_write(&rig, "x");
	ck_sense(PMT_KEY_NOT_READY, 0x3a, 0);
}
END_TEST

START_TEST(record_limits)
{
	char data[8] = "";
	struct pmt_leaf *leaf;

	open_mem();
	leaf = (struct pmt_leaf *)rig.drive;
	leaf->limits.record_min = 2;
	leaf->limits.record_max = 4;
	rig_write(&rig, "x");
	ck_sense(PMT_KEY_ILLEGAL, 0x24, 0);
	rig_do(&rig, blocks(PMT_OP_WRITE, 8, 1), data);
	ck_sense(PMT_KEY_ILLEGAL, 0x24, 0);
	ck_good(rig_do(&rig, blocks(PMT_OP_WRITE, 4, 2), data));
}
END_TEST

/* Motion */

START_TEST(spacing)
{
	open_mem();
	write_some();
	rig_op(&rig, PMT_OP_REWIND);
	rig_space(&rig, PMT_SPACE_RECORDS, 5);
	ck_sense(PMT_KEY_NONE, 0x00, 0x01);
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_FILEMARK);
	ck_assert_int_eq(rig.result.residue, 3);
	ck_at(3, 1, 0);
	rig_space(&rig, PMT_SPACE_RECORDS, -2);
	ck_sense(PMT_KEY_NONE, 0x00, 0x01);
	ck_assert_int_eq(rig.result.residue, 2);
	ck_at(2, 0, 2);
	rig_space(&rig, PMT_SPACE_RECORDS, -3);
	ck_sense(PMT_KEY_NONE, 0x00, 0x04);
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	ck_assert_int_eq(rig.result.residue, 1);
	ck_good(rig_space(&rig, PMT_SPACE_FILEMARKS, 2));
	ck_at(5, 2, 0);
	rig_space(&rig, PMT_SPACE_FILEMARKS, 1);
	ck_sense(PMT_KEY_BLANK, 0x00, 0x05);
	ck_assert_int_eq(rig.result.residue, 1);
	rig_space(&rig, PMT_SPACE_FILEMARKS, -3);
	ck_sense(PMT_KEY_NONE, 0x00, 0x04);
	ck_assert_int_eq(rig.result.residue, 1);
	ck_good(rig_space(&rig, PMT_SPACE_EOD, 0));
	ck_at(5, 2, 0);
	rig_space(&rig, 2, 1);
	ck_sense(PMT_KEY_ILLEGAL, 0x24, 0);
}
END_TEST

START_TEST(locating)
{
	open_mem();
	write_some();
	ck_good(rig_locate(&rig, 1));
	expect_text("two");
	rig_locate(&rig, 9);
	ck_sense(PMT_KEY_BLANK, 0x00, 0x05);
	ck_at(5, 2, 0);
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_LOCATE, .count = 1, .argument = 1,
					   .place = rig.place }, NULL);
	ck_sense(PMT_KEY_ILLEGAL, 0x24, 0);
}
END_TEST

START_TEST(goes_to_the_place_by_lbn)
{
	struct pmt_place place;

	open_mem();
	write_some();
	place = rig.place;
	rig_op(&rig, PMT_OP_REWIND);
	place.lbn = 3;
	place.file = place.block = PMT_UNKNOWN;
	rig.place = place;
	expect_text("three");
	rig.place = place;
	expect_text("three");
}
END_TEST

START_TEST(goes_to_the_place_by_counting)
{
	medium->no_locate = true;
	open_mem();
	write_some();
	ck_good(rig_locate(&rig, 3));
	expect_text("three");
	rig.place = (struct pmt_place){ .generation = 1, .lbn = 1, .file = PMT_UNKNOWN,
					.block = PMT_UNKNOWN };
	expect_text("two");
	rig_locate(&rig, 7);
	ck_sense(PMT_KEY_BLANK, 0x00, 0x05);
}
END_TEST

START_TEST(goes_to_the_place_by_file_and_block)
{
	medium->no_locate = medium->no_lbn = true;
	open_mem();
	rig.place.lbn = PMT_UNKNOWN;
	ck_good(rig_write(&rig, "one"));
	ck_good(rig_marks(&rig, 1));
	ck_good(rig_write(&rig, "two"));
	ck_good(rig_write(&rig, "three"));
	rig.place = (struct pmt_place){ .generation = 1, .lbn = PMT_UNKNOWN, .file = 1,
					.block = 1 };
	expect_text("three");
	rig.place = (struct pmt_place){ .generation = 1, .lbn = 2, .file = 1, .block = 0 };
	expect_text("two");
	rig.place = (struct pmt_place){ .generation = 1, .lbn = PMT_UNKNOWN, .file = 0,
					.block = 0 };
	rig_write(&rig, "late");
	ck_sense(PMT_KEY_ABORTED, 0x3b, 0);
	ck_assert_uint_eq(medium->volume.n, 4);
}
END_TEST

START_TEST(a_place_that_is_not_there)
{
	open_mem();
	write_some();
	rig.place.lbn = 9;
	rig.place.file = rig.place.block = PMT_UNKNOWN;
	rig_write(&rig, "nowhere");
	ck_sense(PMT_KEY_MEDIUM, 0x3b, 0);
	ck_assert_uint_eq(medium->volume.n, 5);
}
END_TEST

START_TEST(here_needs_a_known_place)
{
	struct pmt_command here = { .op = PMT_OP_READ, .flags = PMT_CMD_HERE, .length = 16 };
	char buffer[17] = "";

	open_mem();
	here.place = (struct pmt_place){ .generation = 1, .lbn = PMT_UNKNOWN,
					 .file = PMT_UNKNOWN, .block = PMT_UNKNOWN };
	rig_op(&rig, PMT_OP_TEST);
	rig_do(&rig, here, buffer);
	ck_sense(PMT_KEY_ABORTED, 0x3b, 0);
	rig.place = rig.session.place;
	write_some();
	rig_op(&rig, PMT_OP_REWIND);
	ck_good(rig_do(&rig, here, buffer));
	ck_assert_str_eq(buffer, "one");
	here.flags = 0;
	rig_do(&rig, here, buffer);
	ck_sense(PMT_KEY_ABORTED, 0x3b, 0);
}
END_TEST

/* Guards */

START_TEST(floor_repeats_only_the_last)
{
	struct pmt_command again = { .op = PMT_OP_WRITE, .length = 3 };

	open_mem();
	write_some();
	again.place = (struct pmt_place){ .generation = 1, .lbn = 4, .file = PMT_UNKNOWN,
					  .block = PMT_UNKNOWN };
	ck_good(rig_do(&rig, again, "new"));
	ck_assert_uint_eq(medium->volume.n, 5);
	ck_good(rig_do(&rig, again, "new"));
	ck_assert_uint_eq(medium->volume.n, 5);
	again.place.lbn = 3;
	rig_do(&rig, again, "old");
	ck_sense(PMT_KEY_ABORTED, 0x3b, 0);
	ck_assert_uint_eq(medium->volume.n, 5);
	again.flags = PMT_CMD_POSITIONED;
	ck_good(rig_do(&rig, again, "pos"));
	ck_assert_uint_eq(medium->volume.n, 4);
	again.flags = 0;
	ck_good(rig_do(&rig, again, "pos"));
	again.place.lbn = 2;
	rig_do(&rig, again, "old");
	ck_sense(PMT_KEY_ABORTED, 0x3b, 0);
}
END_TEST

START_TEST(floor_of_marks_erase_and_cut)
{
	static const struct pmt_command commands[] = {
		{ .op = PMT_OP_WRITE_FILEMARKS, .count = 1 },
		{ .op = PMT_OP_ERASE },
		{ .op = PMT_OP_CUT },
	};
	struct pmt_command cmd = commands[_i];

	open_mem();
	write_some();
	cmd.place = (struct pmt_place){ .generation = 1, .lbn = 1, .file = PMT_UNKNOWN,
					.block = PMT_UNKNOWN };
	rig_do(&rig, cmd, NULL);
	ck_sense(PMT_KEY_ABORTED, 0x3b, 0);
	ck_assert_uint_eq(medium->volume.n, 5);
	cmd.flags = PMT_CMD_POSITIONED;
	ck_good(rig_do(&rig, cmd, NULL));
	ck_assert_uint_eq(medium->volume.n, _i ? 1 : 2);
}
END_TEST

START_TEST(floor_at_attach_is_the_units_place)
{
	open_mem();
	write_some();
	reopen_at(1, 4);
	rig.place.lbn = 3;
	rig_write(&rig, "no");
	ck_sense(PMT_KEY_ABORTED, 0x3b, 0);
	rig.place.lbn = 4;
	ck_good(rig_write(&rig, "yes"));
	ck_assert_uint_eq(medium->volume.n, 5);
}
END_TEST

START_TEST(cut_at_the_end_writes_nothing)
{
	open_mem();
	write_some();
	ck_good(rig_op(&rig, PMT_OP_CUT));
	ck_assert_uint_eq(medium->cuts, 0);
	ck_good(rig_locate(&rig, 2));
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_CUT, .place = rig.place,
					   .flags = PMT_CMD_POSITIONED }, NULL);
	ck_good(rig.result.status);
	ck_assert_uint_eq(medium->cuts, 1);
	ck_assert_uint_eq(medium->volume.n, 2);
}
END_TEST

START_TEST(write_once_is_compared)
{
	open_mem();
	write_some();
	medium->worm = true;
	reopen_at(1, 0);
	ck_good(rig_write(&rig, "one"));
	ck_good(rig_write(&rig, "two"));
	ck_good(rig_marks(&rig, 1));
	ck_assert_uint_eq(medium->written, 5);
	rig_write(&rig, "other");
	ck_sense(PMT_KEY_PROTECT, 0x30, 0x0c);
	ck_assert_uint_eq(medium->volume.n, 5);
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_CUT, .flags = PMT_CMD_POSITIONED,
					   .place = { .generation = 1, .lbn = 2 } }, NULL);
	ck_sense(PMT_KEY_PROTECT, 0x30, 0x0c);
	ck_good(rig_space(&rig, PMT_SPACE_EOD, 0));
	ck_good(rig_write(&rig, "more"));
	ck_assert_uint_eq(medium->volume.n, 6);
}
END_TEST

/* POSITIONED at lbn; text "": a mark. */
static void overwrite(uint64_t lbn, const char *text)
{
	struct pmt_command cmd = {
		.op = *text ? PMT_OP_WRITE : PMT_OP_WRITE_FILEMARKS,
		.flags = PMT_CMD_POSITIONED,
		.place = { .generation = 1, .lbn = lbn, .file = PMT_UNKNOWN,
			   .block = PMT_UNKNOWN },
		.length = (uint32_t)strlen(text),
		.count = !*text,
	};

	rig_do(&rig, cmd, (void *)(uintptr_t)text);
}

/* The same again is a repetition only until something was added. */
START_TEST(write_once_is_not_written_again)
{
	open_mem();
	write_some();
	medium->worm = true;
	reopen_at(1, 0);
	overwrite(0, "one");
	ck_good(rig.result.status);
	overwrite(2, "");
	ck_good(rig.result.status);
	overwrite(5, "more");
	ck_good(rig.result.status);
	overwrite(0, "one");
	ck_sense(PMT_KEY_PROTECT, 0x30, 0x0c);
	overwrite(2, "");
	ck_sense(PMT_KEY_PROTECT, 0x30, 0x0c);
	/* A mirror could not bring it back: what it wrote comes again. */
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_CUT, .flags = PMT_CMD_POSITIONED,
					   .place = { .generation = 1, .lbn = 5 } }, NULL);
	ck_sense(PMT_KEY_PROTECT, 0x30, 0x0c);
	overwrite(5, "more");
	ck_good(rig.result.status);
	ck_assert_uint_eq(medium->volume.n, 6);
	ck_assert_uint_eq(medium->cuts, 0);
}
END_TEST

/* Generation and identity */

START_TEST(adoption_is_remembered)
{
	open_mem();
	ck_assert_uint_eq(medium->asked_unit, UNIT);
	ck_assert_uint_eq(medium->generation, 1);
}
END_TEST

START_TEST(guards_off_remember_nothing)
{
	rig.session.unit_id = 0;
	open_mem();
	ck_assert_uint_eq(medium->asked_unit, 0);
	rig.place.generation = 77;
	ck_good(rig_write(&rig, "any"));
}
END_TEST

START_TEST(another_cartridge_is_refused)
{
	rig.session.medium[0] = medium->id + 1;
	ck_assert_int_eq(rig_open(&rig, "mem:a"), -ESTALE);
	ck_assert_uint_eq(medium->asked_unit, 0);
	medium->unit_id = UNIT;
	medium->generation = 1;
	ck_assert_int_eq(rig_open(&rig, "mem:a"), -ESTALE);
	rig.session.medium[0] = medium->id;
	open_mem();
}
END_TEST

START_TEST(another_generation_is_not_executed)
{
	open_mem();
	write_some();
	rig.place.generation = 2;
	rig_write(&rig, "later");
	ck_sense(PMT_KEY_ATTENTION, 0x28, 0);
	rig.place.generation = 0;
	rig_write(&rig, "earlier");
	ck_sense(PMT_KEY_ATTENTION, 0x28, 0);
	ck_assert_uint_eq(medium->volume.n, 5);
	rig.place.generation = 0;
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.place.generation, 1);
	ck_assert_uint_eq(rig.result.eod, 5);
	ck_assert_uint_eq(rig.result.medium[0], medium->id);
	ck_assert_uint_eq(rig.result.medium_flags, PMT_MEDIUM_PRESENT);
	ck_assert_uint_eq(rig.result.density, 0x5a);
}
END_TEST

/* Two writes, a mark, UNLOAD were executed; then the server died. */
START_TEST(replay_over_an_unload_skips_no_volume)
{
	medium->stacker = true;
	open_mem();
	ck_good(rig_write(&rig, "one"));
	ck_good(rig_marks(&rig, 1));
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	ck_assert_uint_eq(rig.place.generation, 2);
	ck_at(0, 0, 0);
	ck_assert_uint_eq(medium->generation, 2);

	rig.session.medium[0] = medium->id - 0x10000;
	reopen_at(1, 0);
	rig.place.file = rig.place.block = 0;
	ck_good(rig_op(&rig, PMT_OP_MODE));
	ck_good(rig_write(&rig, "one"));
	ck_at(1, 0, 1);
	ck_assert_uint_eq(rig.place.generation, 1);
	ck_good(rig_space(&rig, PMT_SPACE_RECORDS, 0));
	ck_good(rig_marks(&rig, 1));
	ck_at(2, 1, 0);
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	ck_assert_uint_eq(rig.place.generation, 2);
	ck_assert_uint_eq(medium->n_gone, 1);
	ck_assert_uint_eq(medium->volume.n, 0);
	ck_good(rig_write(&rig, "next volume"));
	ck_assert_uint_eq(medium->volume.n, 1);
}
END_TEST

START_TEST(ahead_ends_with_the_units_own_generation)
{
	medium->stacker = true;
	medium->unit_id = UNIT;
	medium->generation = 2;
	open_mem();
	rig_read(&rig, (char[8]){ 0 }, 8);
	ck_sense(PMT_KEY_ATTENTION, 0x28, 0);
	rig.place = (struct pmt_place){ .generation = 1, .lbn = PMT_UNKNOWN,
					.file = PMT_UNKNOWN, .block = PMT_UNKNOWN };
	rig_write(&rig, "place unknown");
	ck_sense(PMT_KEY_ATTENTION, 0x28, 0);
	rig.place = (struct pmt_place){ .generation = 2 };
	ck_good(rig_write(&rig, "caught up"));
	rig.place = (struct pmt_place){ .generation = 1, .lbn = 7 };
	rig_write(&rig, "stale");
	ck_sense(PMT_KEY_ATTENTION, 0x28, 0);
	ck_assert_uint_eq(medium->volume.n, 1);
}
END_TEST

START_TEST(unload_twice_is_once)
{
	struct pmt_place before;

	medium->stacker = true;
	open_mem();
	ck_good(rig_write(&rig, "one"));
	before = rig.place;
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	rig.place = before;
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	ck_assert_uint_eq(rig.place.generation, 2);
	ck_assert_uint_eq(medium->n_gone, 1);
	rig.place = before;
	ck_good(rig_op(&rig, PMT_OP_LOAD));
	ck_assert_uint_eq(rig.place.generation, 2);
	ck_assert_uint_eq(rig.result.medium_flags, PMT_MEDIUM_PRESENT);
}
END_TEST

START_TEST(generation_is_remembered_by_drives_without_next)
{
	medium->stacker = medium->no_next = true;
	open_mem();
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	ck_assert_uint_eq(medium->generation, 2);
	ck_good(rig_op(&rig, PMT_OP_LOAD));
	ck_assert_uint_eq(medium->generation, 3);
}
END_TEST

START_TEST(unload_then_no_medium)
{
	open_mem();
	write_some();
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	ck_at(0, 0, 0);
	rig_op(&rig, PMT_OP_TEST);
	ck_sense(PMT_KEY_NOT_READY, 0x3a, 0);
	ck_assert_uint_eq(rig.result.place.lbn, PMT_UNKNOWN);
	ck_assert_uint_eq(rig.result.place.generation, 2);
	rig_op(&rig, PMT_OP_LOAD);
	ck_sense(PMT_KEY_NOT_READY, 0x3a, 0);
	ck_assert_uint_eq(rig.result.place.generation, 3);
	medium->absent = false;
	ck_good(rig_op(&rig, PMT_OP_LOAD));
	ck_assert_uint_eq(rig.result.place.generation, 4);
	ck_assert_uint_eq(rig.result.eod, 5);
	expect_text("one");
}
END_TEST

START_TEST(failed_unload_keeps_the_generation)
{
	open_mem();
	write_some();
	medium->unload_error = -EIO;
	rig_op(&rig, PMT_OP_UNLOAD);
	ck_assert_uint_eq(rig.result.key, PMT_KEY_MEDIUM);
	ck_assert_uint_eq(rig.place.generation, 1);
	ck_at(5, 2, 0);
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	ck_assert_uint_eq(rig.place.generation, 2);
}
END_TEST

START_TEST(test_tells_the_units_place)
{
	struct pmt_place place;

	open_mem();
	write_some();
	place = rig.place;
	rig_op(&rig, PMT_OP_REWIND);
	rig.place = place;
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_at(5, 2, 0);
	ck_good(rig_op(&rig, PMT_OP_MODE));
	ck_at(5, 2, 0);
	rig.place.lbn = rig.place.file = PMT_UNKNOWN;
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_at(0, 0, 0);
}
END_TEST

START_TEST(status_shows_the_volumes)
{
	struct json_object *object, *volumes, *value;
	char *json;

	medium->stacker = true;
	medium->capacity = 12;
	medium->ew = 6;
	open_mem();
	write_some();
	rig_op(&rig, PMT_OP_UNLOAD);
	ck_good(rig_write(&rig, "next"));
	ck_assert_int_eq(pmt_drive_status_json(rig.drive, &json), 0);
	object = json_tokener_parse(json);
	free(json);
	ck_assert(json_object_object_get_ex(object, "volumes", &volumes));
	ck_assert_uint_eq(json_object_array_length(volumes), 1);
	json_object_object_get_ex(json_object_array_get_idx(volumes, 0), "records", &value);
	ck_assert_int_eq(json_object_get_int(value), 3);
	json_object_object_get_ex(json_object_array_get_idx(volumes, 0), "ew_lbn", &value);
	ck_assert_int_eq(json_object_get_int(value), 1);
	json_object_object_get_ex(object, "bytes", &value);
	ck_assert_int_eq(json_object_get_int(value), 4);
	json_object_object_get_ex(object, "generation", &value);
	ck_assert_int_eq(json_object_get_int(value), 2);
	json_object_put(object);
}
END_TEST

/* null: */

START_TEST(null_counts)
{
	char buffer[8];

	ck_assert_int_eq(rig_open(&rig, "null:?records=3&size=4"), 0);
	memset(buffer, 1, sizeof(buffer));
	ck_good(rig_read(&rig, buffer, sizeof(buffer)));
	ck_assert_int_eq(rig.result.residue, 4);
	ck_assert_int_eq(buffer[3], 0);
	ck_assert_int_eq(buffer[4], 1);
	ck_good(rig_space(&rig, PMT_SPACE_EOD, 0));
	ck_assert_uint_eq(rig.result.place.lbn, 3);
	rig_read(&rig, buffer, sizeof(buffer));
	ck_sense(PMT_KEY_BLANK, 0, 5);
	ck_good(rig_write(&rig, "gone"));
	ck_good(rig_marks(&rig, 1));
	ck_assert_uint_eq(rig.result.place.lbn, 5);
	rig_locate(&rig, 6);
	ck_sense(PMT_KEY_BLANK, 0, 5);
	rig_close(&rig);
	rig.session.place.lbn = 100;
	rig.session.place.file = rig.session.place.block = PMT_UNKNOWN;
	ck_assert_int_eq(rig_open(&rig, "null:"), 0);
	ck_good(rig_write(&rig, "goes on"));
	ck_assert_uint_eq(rig.result.place.lbn, 101);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("leaf");
	TCase *tests = tcase_create("leaf");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, write_and_read);
	tcase_add_test(tests, longer_record);
	tcase_add_test(tests, fixed_blocks);
	tcase_add_test(tests, fixed_stops_at_mark_and_end);
	tcase_add_test(tests, room_is_of_the_place);
	tcase_add_test(tests, early_warning_and_end);
	tcase_add_test(tests, part_of_fixed_blocks_fits);
	tcase_add_test(tests, marks_and_sync);
	tcase_add_test(tests, errors_have_their_sense);
	tcase_add_test(tests, record_limits);
	tcase_add_test(tests, spacing);
	tcase_add_test(tests, locating);
	tcase_add_test(tests, goes_to_the_place_by_lbn);
	tcase_add_test(tests, goes_to_the_place_by_counting);
	tcase_add_test(tests, goes_to_the_place_by_file_and_block);
	tcase_add_test(tests, a_place_that_is_not_there);
	tcase_add_test(tests, here_needs_a_known_place);
	tcase_add_test(tests, floor_repeats_only_the_last);
	tcase_add_loop_test(tests, floor_of_marks_erase_and_cut, 0, 3);
	tcase_add_test(tests, floor_at_attach_is_the_units_place);
	tcase_add_test(tests, cut_at_the_end_writes_nothing);
	tcase_add_test(tests, write_once_is_compared);
	tcase_add_test(tests, write_once_is_not_written_again);
	tcase_add_test(tests, adoption_is_remembered);
	tcase_add_test(tests, guards_off_remember_nothing);
	tcase_add_test(tests, another_cartridge_is_refused);
	tcase_add_test(tests, another_generation_is_not_executed);
	tcase_add_test(tests, replay_over_an_unload_skips_no_volume);
	tcase_add_test(tests, ahead_ends_with_the_units_own_generation);
	tcase_add_test(tests, unload_twice_is_once);
	tcase_add_test(tests, generation_is_remembered_by_drives_without_next);
	tcase_add_test(tests, unload_then_no_medium);
	tcase_add_test(tests, failed_unload_keeps_the_generation);
	tcase_add_test(tests, test_tells_the_units_place);
	tcase_add_test(tests, status_shows_the_volumes);
	tcase_add_test(tests, null_counts);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
