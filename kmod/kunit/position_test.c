// SPDX-License-Identifier: GPL-2.0
/*
 * What st tells a program about its place, as tables: position.c alone, without
 * a unit, a server or a tape.
 *
 * A row is a state, one step, the drive's answer to it, and what st says behind it.
 * position.c is included and not linked, so that a kernel that is not for tests
 * has nothing in it for their sake.
 */
#include "tests.h"

#include "../position.c"

#define GOOD		PMT_STATUS_GOOD, PMT_KEY_NONE, 0
#define WARNED		PMT_STATUS_GOOD, PMT_KEY_NONE, PMT_SENSE_EOM
#define FULL		PMT_STATUS_CHECK, PMT_KEY_OVERFLOW, PMT_SENSE_EOM
#define BROKEN		PMT_STATUS_CHECK, PMT_KEY_MEDIUM, 0
#define MARK		PMT_STATUS_CHECK, PMT_KEY_NONE, PMT_SENSE_FILEMARK
#define EOD		PMT_STATUS_CHECK, PMT_KEY_BLANK, 0
#define BEGINNING	PMT_STATUS_CHECK, PMT_KEY_NONE, PMT_SENSE_EOM
#define TOO_LONG	PMT_STATUS_CHECK, PMT_KEY_NONE, PMT_SENSE_ILI
#define GIVEN_UP	PMT_STATUS_CANCELLED, PMT_KEY_NONE, 0

struct state {
	enum pmtm_eof eof;
	int file, block;
};

struct row {
	const char *name;
	struct state before;
	int (*step)(struct pmtm_tape *tape, const struct row *row,
		    const struct pmt_result *res);
	int count;			/* of the step: marks, records, blocks */
	u16 status;
	u8 key, sense;
	s64 residue;
	int answer;			/* for the program */
	struct state after;
};

static void describe(const struct row *row, char *name)
{
	strscpy(name, row->name, KUNIT_PARAM_DESC_SIZE);
}

static struct pmtm_tape *tape_in(struct kunit *test, const struct state *state)
{
	struct pmtm_tape *tape = kunit_kzalloc(test, sizeof(*tape), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, tape);
	tape->eof = state->eof;
	tape->file = state->file;
	tape->block = state->block;
	tape->place = (struct pmt_place){ .generation = 1, .lbn = 100, .file = 5,
					  .block = 50 };
	tape->session = 1;
	tape->direction = PMTM_WRITING;
	return tape;
}

static void try_row(struct kunit *test)
{
	const struct row *row = test->param_value;
	struct pmtm_tape *tape = tape_in(test, &row->before);
	struct pmt_result res = {
		.status = row->status, .key = row->key, .sense = row->sense,
		.residue = row->residue, .place = tape->place,
	};

	KUNIT_EXPECT_EQ(test, row->step(tape, row, &res), row->answer);
	KUNIT_EXPECT_EQ(test, (int)tape->eof, (int)row->after.eof);
	KUNIT_EXPECT_EQ(test, tape->file, row->after.file);
	KUNIT_EXPECT_EQ(test, tape->block, row->after.block);
}

/* ---- the steps ---- */

static struct pmt_command command(enum pmt_op op, u32 blocks, u32 block_size)
{
	return (struct pmt_command){
		.op = op, .length = blocks * (block_size ?: 1), .block_size = block_size,
		.place = { .generation = 1, .lbn = 90, .file = 5, .block = 40 },
	};
}

static int write_one(struct pmtm_tape *tape, const struct row *row,
		     const struct pmt_result *res)
{
	struct pmt_command cmd = command(PMT_OP_WRITE, row->count, 0);

	return pmtm_wrote(tape, &cmd, res);
}

static int write_blocks(struct pmtm_tape *tape, const struct row *row,
			const struct pmt_result *res)
{
	struct pmt_command cmd = command(PMT_OP_WRITE, row->count, 512);

	return pmtm_wrote(tape, &cmd, res);
}

static int write_on(struct pmtm_tape *tape, const struct row *row,
		    const struct pmt_result *res)
{
	return pmtm_at_end(tape, PMT_EOT_ST);
}

static int write_on_held(struct pmtm_tape *tape, const struct row *row,
			 const struct pmt_result *res)
{
	return pmtm_at_end(tape, PMT_EOT_HOLD);
}

static int trailer_after_mark(struct pmtm_tape *tape, const struct row *row,
			      const struct pmt_result *res)
{
	tape->trailer = true;
	return write_one(tape, row, res);
}

static int buffered(struct pmtm_tape *tape, const struct row *row,
		    const struct pmt_result *res)
{
	pmtm_acknowledged_record(tape, row->count);
	return 0;
}

static int fail_late(struct pmtm_tape *tape, const struct row *row,
		     const struct pmt_result *res)
{
	pmtm_failed_late(tape, res);
	return tape->lost ? -EIO : 0;
}

static int mark(struct pmtm_tape *tape, const struct row *row,
		const struct pmt_result *res)
{
	if (res->status == PMT_STATUS_GOOD)
		pmtm_marked(tape, row->count);
	else
		pmtm_marks_failed(tape, row->count, res);
	return 0;
}

static int read_again(struct pmtm_tape *tape, const struct row *row,
		      const struct pmt_result *res)
{
	return pmtm_read_known(tape);
}

static int read_good(struct pmtm_tape *tape, const struct row *row,
		     const struct pmt_result *res)
{
	pmtm_read_records(tape, row->count);
	return 0;
}

static int read_one(struct pmtm_tape *tape, const struct row *row,
		    const struct pmt_result *res)
{
	struct pmt_command cmd = command(PMT_OP_READ, 1000, 0);

	return pmtm_read_check(tape, &cmd, res, row->count);
}

static int read_blocks(struct pmtm_tape *tape, const struct row *row,
		       const struct pmt_result *res)
{
	struct pmt_command cmd = command(PMT_OP_READ, 10, 512);

	return pmtm_read_check(tape, &cmd, res, row->count);
}

static int fsf(struct pmtm_tape *tape, const struct row *row, const struct pmt_result *res)
{
	return pmtm_spaced_marks(tape, row->count, res);
}

static int bsf(struct pmtm_tape *tape, const struct row *row, const struct pmt_result *res)
{
	return pmtm_spaced_back(tape, row->count, res);
}

static int fsr(struct pmtm_tape *tape, const struct row *row, const struct pmt_result *res)
{
	return pmtm_spaced_records(tape, row->count, res);
}

/* ---- writing ---- */

static const struct row writing[] = {
	{ "a record counts", { PMTM_NONE, 0, 7 }, write_one, 1, GOOD, 0,
	  1, { PMTM_NONE, 0, 8 } },
	{ "an unknown block stays unknown", { PMTM_NONE, 0, -1 }, write_one, 1, GOOD, 0,
	  1, { PMTM_NONE, 0, -1 } },
	{ "a write behind a mark forgets it", { PMTM_AT_FM, 1, 0 }, write_one, 1, GOOD, 0,
	  1, { PMTM_NONE, 1, 1 } },
	{ "early warning is met, the record counts", { PMTM_NONE, 0, 7 }, write_one, 1,
	  WARNED, 0, 1, { PMTM_EW, 0, 8 } },
	{ "behind early warning: ENOSPC first", { PMTM_EW, 0, 8 }, write_on, 1, GOOD, 0,
	  -ENOSPC, { PMTM_EOD1, 0, 8 } },
	{ "then one is let through", { PMTM_EOD1, 0, 8 }, write_on, 1, GOOD, 0,
	  0, { PMTM_EOD1, 0, 8 } },
	{ "which stands at early warning again", { PMTM_EOD1, 0, 8 }, write_one, 1, GOOD, 0,
	  1, { PMTM_EW, 0, 9 } },
	{ "hold: ENOSPC until a mark", { PMTM_EW, 0, 8 }, write_on_held, 1, GOOD, 0,
	  -ENOSPC, { PMTM_EW, 0, 8 } },
	{ "hold: trailers pass behind the mark", { PMTM_NONE, 1, 0 }, trailer_after_mark, 1,
	  WARNED, 0, 1, { PMTM_NONE, 1, 1 } },
	{ "what was lost is EIO until motion", { PMTM_EWERR, 0, 8 }, write_on, 1, GOOD, 0,
	  -EIO, { PMTM_EWERR, 0, 8 } },
	{ "the physical end: ENOSPC", { PMTM_NONE, 0, 7 }, write_one, 1, FULL, 1,
	  -ENOSPC, { PMTM_EW, 0, 7 } },
	{ "the physical end behind blocks: those count", { PMTM_NONE, 0, 7 }, write_blocks,
	  8, FULL, 5, 3, { PMTM_EW, 0, 10 } },
	{ "the physical end before any block", { PMTM_NONE, 0, 7 }, write_blocks, 8, FULL, 8,
	  -ENOSPC, { PMTM_EW, 0, 7 } },
	{ "a write error loses the block", { PMTM_NONE, 3, 7 }, write_one, 1, BROKEN, 1,
	  -EIO, { PMTM_NONE, 3, -1 } },
	{ "acknowledged records count", { PMTM_AT_FM, 1, 0 }, buffered, 4, GOOD, 0,
	  0, { PMTM_NONE, 1, 4 } },
	{ "and do not forget early warning", { PMTM_EW, 1, 2 }, buffered, 1, GOOD, 0,
	  0, { PMTM_EW, 1, 3 } },
	{ "a late error: the drive's file, EWERR", { PMTM_NONE, 6, 7 }, fail_late, 1, BROKEN,
	  1, 0, { PMTM_EWERR, 5, -1 } },
	{ "nobody knows: lost", { PMTM_NONE, 6, 7 }, fail_late, 1, GIVEN_UP, 0,
	  -EIO, { PMTM_NONE, -1, -1 } },
	{ "marks begin a file", { PMTM_EW, 1, 9 }, mark, 2, GOOD, 0,
	  0, { PMTM_NONE, 3, 0 } },
	{ "a mark where the file is unknown", { PMTM_NONE, -1, 9 }, mark, 1, GOOD, 0,
	  0, { PMTM_NONE, -1, 0 } },
	{ "marks at the physical end: those written", { PMTM_NONE, 1, 9 }, mark, 2, FULL, 1,
	  0, { PMTM_NONE, 2, 0 } },
	{ "no mark at the physical end", { PMTM_NONE, 1, 9 }, mark, 2, FULL, 2,
	  0, { PMTM_EW, 1, 0 } },
	{ "a mark that failed otherwise", { PMTM_NONE, 1, 9 }, mark, 1, BROKEN, 1,
	  0, { PMTM_NONE, 1, 9 } },
};

/* ---- reading ---- */

static const struct row reading[] = {
	{ "a record behind a mark", { PMTM_AT_FM, 1, 0 }, read_good, 1, GOOD, 0,
	  0, { PMTM_NONE, 1, 1 } },
	{ "a mark reads as 0", { PMTM_NONE, 0, 3 }, read_one, 0, MARK, 1000,
	  0, { PMTM_AT_FM, 1, 0 } },
	{ "a second mark, too", { PMTM_AT_FM, 1, 0 }, read_one, 0, MARK, 1000,
	  0, { PMTM_AT_FM, 2, 0 } },
	{ "end of data behind a mark reads as 0", { PMTM_AT_FM, 1, 0 }, read_one, 0, EOD,
	  1000, 0, { PMTM_EOD3, 1, -1 } },
	{ "and behind that as EIO", { PMTM_EOD3, 1, -1 }, read_again, 0, EOD, 0,
	  -EIO, { PMTM_EOD3, 1, -1 } },
	{ "end of data elsewhere is EIO", { PMTM_NONE, 1, 4 }, read_one, 0, EOD, 1000,
	  -EIO, { PMTM_NONE, 1, -1 } },
	{ "a longer record: ENOMEM, crossed", { PMTM_NONE, 1, 4 }, read_one, 0, TOO_LONG,
	  -24, -ENOMEM, { PMTM_NONE, 1, 5 } },
	{ "a read error", { PMTM_NONE, 1, 4 }, read_one, 0, BROKEN, 1000,
	  -EIO, { PMTM_NONE, 1, -1 } },
	{ "blocks, then a mark: told next", { PMTM_NONE, 0, 3 }, read_blocks, 4, MARK, 6,
	  0, { PMTM_FM_PENDING, 0, 7 } },
	{ "told: 0, and it is crossed", { PMTM_FM_PENDING, 0, 7 }, read_again, 0, MARK, 0,
	  0, { PMTM_AT_FM, 1, 0 } },
	{ "blocks, then end of data", { PMTM_AT_FM, 1, 0 }, read_blocks, 4, EOD, 6,
	  0, { PMTM_NONE, 1, 4 } },
	{ "no blocks, a mark", { PMTM_NONE, 0, 3 }, read_blocks, 0, MARK, 10,
	  0, { PMTM_AT_FM, 1, 0 } },
	{ "a block of another size", { PMTM_NONE, 0, 3 }, read_blocks, 0, TOO_LONG, 10,
	  -EIO, { PMTM_NONE, 0, 3 } },
	{ "blocks, then one of another size", { PMTM_NONE, 0, 3 }, read_blocks, 2, TOO_LONG,
	  8, 0, { PMTM_NONE, 0, 5 } },
	{ "written to the end: 0", { PMTM_EOD1, 0, 8 }, read_again, 0, EOD, 0,
	  0, { PMTM_EOD2, 0, 8 } },
	{ "0 once more", { PMTM_EOD2, 0, 8 }, read_again, 0, EOD, 0,
	  0, { PMTM_EOD3, 0, 8 } },
	{ "nothing is known: the drive is asked", { PMTM_AT_FM, 1, 0 }, read_again, 0, GOOD,
	  0, 1, { PMTM_AT_FM, 1, 0 } },
};

/* ---- motion ---- */

static const struct row motion[] = {
	{ "fsf: behind the mark", { PMTM_NONE, 1, 4 }, fsf, 2, GOOD, 0,
	  0, { PMTM_AT_FM, 3, 0 } },
	{ "fsf: end of data after one of three", { PMTM_NONE, 1, 4 }, fsf, 3, EOD, 2,
	  -EIO, { PMTM_EOD3, 2, -1 } },
	{ "fsf: an error on the way", { PMTM_AT_FM, 1, 0 }, fsf, 3, BROKEN, 1,
	  -EIO, { PMTM_NONE, 3, -1 } },
	{ "bsf: before the mark, block unknown", { PMTM_AT_FM, 2, 0 }, bsf, 1, GOOD, 0,
	  0, { PMTM_NONE, 1, -1 } },
	{ "bsf: the beginning", { PMTM_NONE, 1, 4 }, bsf, 3, BEGINNING, 2,
	  -EIO, { PMTM_NONE, 0, 0 } },
	{ "bsf: end of data is met", { PMTM_NONE, 1, 4 }, bsf, 1, EOD, 1,
	  -EIO, { PMTM_EOD3, 1, -1 } },
	{ "fsr: records", { PMTM_AT_FM, 1, 0 }, fsr, 3, GOOD, 0,
	  0, { PMTM_NONE, 1, 3 } },
	{ "fsr: into a mark, which is crossed", { PMTM_NONE, 1, 4 }, fsr, 3, MARK, 1,
	  -EIO, { PMTM_AT_FM, 2, 0 } },
	{ "fsr: end of data", { PMTM_NONE, 1, 4 }, fsr, 3, EOD, 1,
	  -EIO, { PMTM_EOD3, 1, 6 } },
	{ "bsr: records", { PMTM_NONE, 1, 4 }, fsr, -3, GOOD, 0,
	  0, { PMTM_NONE, 1, 1 } },
	{ "bsr: over a mark", { PMTM_AT_FM, 1, 0 }, fsr, -1, MARK, 1,
	  -EIO, { PMTM_NONE, 0, -1 } },
	{ "bsr: the beginning", { PMTM_NONE, 0, 2 }, fsr, -5, BEGINNING, 3,
	  -EIO, { PMTM_NONE, 0, 0 } },
	{ "bsr: an error on the way", { PMTM_NONE, 0, 9 }, fsr, -5, BROKEN, 3,
	  -EIO, { PMTM_NONE, 0, 7 } },
	{ "an unknown file stays unknown", { PMTM_NONE, -1, -1 }, fsf, 1, GOOD, 0,
	  0, { PMTM_AT_FM, -1, 0 } },
};

KUNIT_ARRAY_PARAM(writing, writing, describe);
KUNIT_ARRAY_PARAM(reading, reading, describe);
KUNIT_ARRAY_PARAM(motion, motion, describe);

/* ---- what mt shows ---- */

static const struct shown {
	const char *name;
	struct state state;
	enum pmtm_ready ready;
	long wanted;
} shown[] = {
	{ "beginning", { PMTM_NONE, 0, 0 }, PMTM_READY, GMT_BOT(~0L) | GMT_ONLINE(~0L) },
	{ "behind a mark", { PMTM_AT_FM, 1, 0 }, PMTM_READY,
	  GMT_EOF(~0L) | GMT_ONLINE(~0L) },
	{ "in a file", { PMTM_NONE, 1, 4 }, PMTM_READY, GMT_ONLINE(~0L) },
	{ "early warning", { PMTM_EW, 0, 8 }, PMTM_READY, GMT_EOT(~0L) | GMT_ONLINE(~0L) },
	{ "lost behind early warning", { PMTM_EWERR, 0, -1 }, PMTM_READY,
	  GMT_EOT(~0L) | GMT_ONLINE(~0L) },
	{ "ENOSPC was told", { PMTM_EOD1, 0, 8 }, PMTM_READY,
	  GMT_EOD(~0L) | GMT_ONLINE(~0L) },
	{ "end of data", { PMTM_EOD3, 1, -1 }, PMTM_READY, GMT_EOD(~0L) | GMT_ONLINE(~0L) },
	{ "unknown", { PMTM_NONE, -1, -1 }, PMTM_READY, GMT_ONLINE(~0L) },
	{ "no tape", { PMTM_NONE, -1, -1 }, PMTM_NO_TAPE, GMT_DR_OPEN(~0L) },
	{ "not ready", { PMTM_NONE, -1, -1 }, PMTM_NOT_READY, 0 },
};

static void describe_shown(const struct shown *row, char *name)
{
	strscpy(name, row->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(shown, shown, describe_shown);

static void flags(struct kunit *test)
{
	const struct shown *row = test->param_value;
	struct pmtm_tape *tape = tape_in(test, &row->state);

	tape->ready = row->ready;
	KUNIT_EXPECT_EQ(test, pmtm_gstat(tape), row->wanted);
}

/* ---- what any result says besides ---- */

static void reset_loses_the_place(struct kunit *test)
{
	struct pmtm_tape *tape = tape_in(test, &(struct state){ PMTM_NONE, 1, 4 });
	struct pmt_result res = { .status = PMT_STATUS_CHECK, .key = PMT_KEY_ATTENTION,
				  .asc = 0x29 };

	tape->left_at[1] = 7;
	tape->left_writing[1] = true;
	pmtm_look(tape, &res);
	KUNIT_EXPECT_TRUE(test, tape->lost);
	KUNIT_EXPECT_EQ(test, tape->file, -1);
	KUNIT_EXPECT_EQ(test, tape->block, -1);
	KUNIT_EXPECT_EQ(test, tape->left_at[1], 0ull);
	KUNIT_EXPECT_FALSE(test, tape->left_writing[1]);
	KUNIT_EXPECT_EQ(test, tape->place.lbn, PMT_UNKNOWN);
	KUNIT_EXPECT_EQ(test, tape->session, 1ull);
	KUNIT_EXPECT_EQ(test, pmtm_spaced_marks(tape, 1, &res), -EIO);
	KUNIT_EXPECT_EQ(test, pmtm_spaced_back(tape, 1, &res), -EIO);
	KUNIT_EXPECT_EQ(test, pmtm_spaced_records(tape, 1, &res), -EIO);
	KUNIT_EXPECT_EQ(test, tape->file, -1);
}

static void abort_loses_the_place(struct kunit *test)
{
	struct pmtm_tape *tape = tape_in(test, &(struct state){ PMTM_EW, 1, 4 });
	struct pmt_result loaded = { .place = { .generation = 3 } };

	tape->direction = PMTM_WRITING;
	tape->place.partition = 1;
	tape->partition_wanted = 1;
	tape->place.generation = 1;
	pmtm_forget(tape, 2);
	KUNIT_EXPECT_TRUE(test, tape->lost);
	KUNIT_EXPECT_EQ(test, tape->forgot, 2ull);
	KUNIT_EXPECT_EQ(test, tape->deferred, -EIO);
	KUNIT_EXPECT_EQ(test, (int)tape->eof, (int)PMTM_NONE);
	KUNIT_EXPECT_EQ(test, tape->place.lbn, PMT_UNKNOWN);
	KUNIT_EXPECT_EQ(test, tape->place.partition, 0u);
	KUNIT_EXPECT_EQ(test, tape->partition_wanted, 0u);
	KUNIT_EXPECT_EQ(test, tape->place.generation, 2ull);
	KUNIT_EXPECT_EQ(test, tape->session, 2ull);
	/* Another volume, by LOAD, begins one; unloaded, none was under way. */
	pmtm_new_session(tape, &loaded);
	KUNIT_EXPECT_FALSE(test, tape->lost);
	tape->place.generation = 4;
	pmtm_forget(tape, 5);
	KUNIT_EXPECT_EQ(test, tape->session, 0ull);
	KUNIT_EXPECT_EQ(test, tape->place.generation, 5ull);
}

static void new_medium_begins_a_session(struct kunit *test)
{
	struct pmtm_tape *tape = tape_in(test, &(struct state){ PMTM_EOD3, 1, 4 });
	struct pmt_result attention = { .status = PMT_STATUS_CHECK,
					.key = PMT_KEY_ATTENTION, .asc = 0x28 };
	struct pmt_result loaded = { .place = { .generation = 2 } };

	pmtm_look(tape, &attention);
	KUNIT_EXPECT_FALSE(test, tape->lost);
	KUNIT_EXPECT_EQ(test, tape->session, 0ull);
	tape->lost = true;
	tape->largest = 9;
	pmtm_new_session(tape, &loaded);
	KUNIT_EXPECT_EQ(test, tape->session, 2ull);
	KUNIT_EXPECT_FALSE(test, tape->lost);
	KUNIT_EXPECT_TRUE(test, tape->positioned);
	KUNIT_EXPECT_EQ(test, tape->largest, 0ull);
	KUNIT_EXPECT_EQ(test, (int)tape->eof, (int)PMTM_NONE);
	KUNIT_EXPECT_EQ(test, tape->file, 0);
	KUNIT_EXPECT_EQ(test, tape->block, 0);
}

/* The second partition is where it begins only for who may have partitions. */
static void session_in_a_partition(struct kunit *test)
{
	struct pmtm_tape *tape = tape_in(test, &(struct state){ PMTM_NONE, 1, 4 });
	struct pmt_result loaded = { .place = { .generation = 2, .partition = 1 } };

	pmtm_new_session(tape, &loaded);
	KUNIT_EXPECT_EQ(test, tape->partition_wanted, 0u);
	tape->options = MT_ST_CAN_PARTITIONS;
	pmtm_new_session(tape, &loaded);
	KUNIT_EXPECT_EQ(test, tape->partition_wanted, 1u);
	loaded.place.partition = PMTM_PARTITIONS;
	pmtm_new_session(tape, &loaded);
	KUNIT_EXPECT_EQ(test, tape->partition_wanted, 0u);
}

static void places_are_counted(struct kunit *test)
{
	struct pmt_place place = { .lbn = 10, .file = 2, .block = 3 };

	pmtm_advance(&place, 4);
	KUNIT_EXPECT_EQ(test, place.lbn, 14ull);
	KUNIT_EXPECT_EQ(test, place.block, 7ull);
	pmtm_pass_marks(&place, 0);
	KUNIT_EXPECT_EQ(test, place.block, 7ull);
	pmtm_pass_marks(&place, 2);
	KUNIT_EXPECT_EQ(test, place.lbn, 16ull);
	KUNIT_EXPECT_EQ(test, place.file, 4ull);
	KUNIT_EXPECT_EQ(test, place.block, 0ull);
	place.lbn = PMT_UNKNOWN;
	place.file = PMT_UNKNOWN;
	place.block = PMT_UNKNOWN;
	pmtm_advance(&place, 4);
	pmtm_pass_marks(&place, 1);
	KUNIT_EXPECT_EQ(test, place.lbn, PMT_UNKNOWN);
	KUNIT_EXPECT_EQ(test, place.file, PMT_UNKNOWN);
	KUNIT_EXPECT_EQ(test, place.block, 0ull);
}

static void told_places(struct kunit *test)
{
	struct pmtm_tape *tape = tape_in(test, &(struct state){ PMTM_EW, 1, 4 });
	struct pmt_place place = { .lbn = 3, .file = PMT_UNKNOWN, .block = 1ull << 40 };

	tape->trailer = true;
	pmtm_told(tape, &place);
	KUNIT_EXPECT_EQ(test, tape->file, -1);
	KUNIT_EXPECT_EQ(test, tape->block, INT_MAX);
	KUNIT_EXPECT_EQ(test, (int)tape->eof, (int)PMTM_NONE);
	KUNIT_EXPECT_FALSE(test, tape->trailer);
}

/* What is due where, when a motion has ended; the tape is in partition 0 or 1. */
static const struct left_row {
	const char *name;
	u32 from, to;
	u64 lbn, lbn_now;
	enum pmtm_direction before;
	bool lost, due_there;
	enum pmtm_direction after;	/* and behind the motion: */
	u64 left_at;
	bool left_writing, still_due;
} leaving[] = {
	{ "nowhere, a mark due", 0, 0, 5, 5, PMTM_WRITING, false, false,
	  PMTM_WRITING, 0, false, false },
	{ "in the same partition", 0, 0, 5, 9, PMTM_WRITING, false, false,
	  PMTM_IDLE, 0, false, false },
	{ "to the other one, a mark due", 0, 1, 5, 9, PMTM_WRITING, false, false,
	  PMTM_IDLE, 5, true, false },
	{ "to the other one, behind reading", 0, 1, 5, 9, PMTM_READING, false, false,
	  PMTM_IDLE, 5, false, false },
	{ "to where one was due", 0, 1, 5, 9, PMTM_IDLE, false, true,
	  PMTM_IDLE, 5, false, false },
	{ "from an unknown place", 0, 1, PMT_UNKNOWN, 9, PMTM_WRITING, false, false,
	  PMTM_IDLE, 0, false, false },
	{ "to one that st has not", 0, PMTM_PARTITIONS, 5, 9, PMTM_WRITING, false, true,
	  PMTM_IDLE, 5, true, true },
	{ "from one that st has not", PMTM_PARTITIONS, 1, 5, 9, PMTM_WRITING, false,
	  true, PMTM_IDLE, 0, false, false },
	{ "lost on the way", 0, 1, 5, 9, PMTM_WRITING, true, true,
	  PMTM_WRITING, 0, false, true },
};

static void describe_left(const struct left_row *row, char *name)
{
	strscpy(name, row->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(leaving, leaving, describe_left);

static void marks_stay_due(struct kunit *test)
{
	const struct left_row *row = test->param_value;
	struct pmtm_tape *tape = tape_in(test, &(struct state){ PMTM_NONE, 0, 0 });

	tape->place.partition = row->to;
	tape->place.lbn = row->lbn_now;
	tape->direction = row->before;
	tape->lost = row->lost;
	tape->left_writing[1] = row->due_there;
	pmtm_left(tape, row->from, row->lbn);
	KUNIT_EXPECT_EQ(test, (int)tape->direction, (int)row->after);
	KUNIT_EXPECT_EQ(test, tape->left_at[0], row->left_at);
	KUNIT_EXPECT_EQ(test, tape->left_writing[0], row->left_writing);
	KUNIT_EXPECT_EQ(test, tape->left_writing[1], row->still_due);
}

static struct kunit_case cases[] = {
	ROWS(writing, try_row),
	ROWS(reading, try_row),
	ROWS(motion, try_row),
	ROWS(shown, flags),
	ROWS(leaving, marks_stay_due),
	KUNIT_CASE(reset_loses_the_place),
	KUNIT_CASE(abort_loses_the_place),
	KUNIT_CASE(new_medium_begins_a_session),
	KUNIT_CASE(session_in_a_partition),
	KUNIT_CASE(places_are_counted),
	KUNIT_CASE(told_places),
	{}
};

struct kunit_suite pmt_position_suite = {
	.name = "position",
	.test_cases = cases,
};
