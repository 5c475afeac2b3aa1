// SPDX-License-Identifier: GPL-2.0
/*
 * MTSETDRVBUFFER's options, as tables: options.c alone, before a drive that notes what
 * it is asked for.  As under st, a mode's defaults are kept whatever the drive says.
 *
 * options.c is included and not linked, see position_test.c.
 */
#include "tests.h"

#include "../pmtm.h"

#define FIRST		(MT_ST_BUFFER_WRITES | MT_ST_ASYNC_WRITES | MT_ST_READ_AHEAD)
#define RECORD_MAX	4096
#define DATA_SIZE	(1u << 20)
#define NONE		(-1)
#define ALL_BITS	0x0fffffff	/* that are no kind of option */

/* ---- the drive ---- */

static struct {
	int answer;			/* to all that it is asked */
	int asked;			/* how often */
	struct pmt_modes modes;		/* the last */
} drive;

static void see(struct pmt_view *view)
{
	*view = (struct pmt_view){
		.limits = { .record_min = 1, .record_max = RECORD_MAX },
		.data_size = DATA_SIZE,
	};
}

static int ask(struct pmtm_tape *tape, const struct pmt_modes *modes)
{
	drive.asked++;
	drive.modes = *modes;
	if (!drive.answer)
		tape->modes = *modes;
	return drive.answer;
}

#define pmt_unit_look(unit, place, view) see(view)
#define pmtm_set_modes(tape, modes, res) ((void)(res), ask(tape, modes))

#include "../options.c"

static struct pmtm_tape *fresh_tape(struct kunit *test)
{
	struct pmtm_tape *tape = kunit_kzalloc(test, sizeof(*tape), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, tape);
	tape->unit = kunit_kzalloc(test, sizeof(*tape->unit), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, tape->unit);
	tape->unit->dev.init_name = "pmt_kunit";
	memset(&drive, 0, sizeof(drive));
	pmtm_options_init(tape);
	return tape;
}

/* ---- booleans ---- */

struct boolean_row {
	const char *name;
	u32 count;
	u32 drive, mode;		/* options behind it */
};

static const struct boolean_row booleans_rows[] = {
	{ "replace all", MT_ST_BOOLEANS | MT_ST_TWO_FM | MT_ST_SYSV,
	  MT_ST_TWO_FM, MT_ST_SYSV },
	{ "none", MT_ST_BOOLEANS, 0, 0 },
	{ "set some", MT_ST_SETBOOLEANS | MT_ST_FAST_MTEOM | MT_ST_DEF_WRITES,
	  MT_ST_CAN_BSR | MT_ST_FAST_MTEOM, FIRST | MT_ST_DEF_WRITES },
	{ "clear some", MT_ST_CLEARBOOLEANS | MT_ST_CAN_BSR | MT_ST_BUFFER_WRITES,
	  0, FIRST & ~MT_ST_BUFFER_WRITES },
	{ "clear none", MT_ST_CLEARBOOLEANS, MT_ST_CAN_BSR, FIRST },
	{ "bits that are none", MT_ST_BOOLEANS | 0x0fff0000, 0, 0 },
	{ "a threshold changes nothing", MT_ST_WRITE_THRESHOLD | 32, MT_ST_CAN_BSR, FIRST },
	{ "nor does a timeout", MT_ST_SET_LONG_TIMEOUT | 900, MT_ST_CAN_BSR, FIRST },
};

static void describe_boolean(const struct boolean_row *row, char *name)
{
	strscpy(name, row->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(booleans, booleans_rows, describe_boolean);

static void try_booleans(struct kunit *test)
{
	const struct boolean_row *row = test->param_value;
	struct pmtm_tape *tape = fresh_tape(test);

	KUNIT_EXPECT_EQ(test, pmtm_set_options(tape, row->count), 0);
	KUNIT_EXPECT_EQ(test, tape->options, row->drive);
	KUNIT_EXPECT_EQ(test, tape->definitions[0].options, row->mode);
	KUNIT_EXPECT_EQ(test, drive.asked, 0);
}

/* ---- defaults ---- */

enum setting { SIZE, DENSITY, COMPRESSION, BUFFERING, SETTINGS };

struct default_row {
	const char *name;
	u32 count;
	int drive;			/* its answer */
	int answer;			/* for the program */
	enum setting setting;		/* the one that changes, if not SETTINGS */
	int value;
	int asked;
};

static const struct default_row defaults_rows[] = {
	{ "size", MT_ST_DEF_BLKSIZE | 1024, 0, 0, SIZE, 1024, 1 },
	{ "size that is refused", MT_ST_DEF_BLKSIZE | 1024, PMTM_REFUSED, 0, SIZE, 1024, 1 },
	{ "size behind an error", MT_ST_DEF_BLKSIZE | 1024, -EIO, -EIO, SIZE, 1024, 1 },
	{ "largest size", MT_ST_DEF_BLKSIZE | RECORD_MAX, 0, 0, SIZE, RECORD_MAX, 1 },
	{ "size out of limits", MT_ST_DEF_BLKSIZE | (RECORD_MAX + 1), 0, 0, SIZE,
	  RECORD_MAX + 1, 0 },
	{ "variable is what it has", MT_ST_DEF_BLKSIZE, 0, 0, SIZE, 0, 0 },
	{ "no size", MT_ST_DEF_BLKSIZE | ALL_BITS, 0, 0, SIZE, NONE, 0 },
	{ "density", MT_ST_DEF_DENSITY | 0x44, 0, 0, DENSITY, 0x44, 1 },
	{ "density of a byte", MT_ST_DEF_DENSITY | 0x144, 0, 0, DENSITY, 0x44, 1 },
	{ "density that is refused", MT_ST_DEF_DENSITY | 0x44, PMTM_REFUSED, 0, DENSITY,
	  0x44, 1 },
	{ "no density", MT_ST_DEF_DENSITY | MT_ST_CLEAR_DEFAULT, 0, 0, DENSITY, NONE, 0 },
	{ "compression", MT_ST_DEF_COMPRESSION | 1, 0, 0, COMPRESSION, 1, 1 },
	{ "compression off", MT_ST_DEF_COMPRESSION, 0, 0, COMPRESSION, 0, 1 },
	{ "compression by an algorithm", MT_ST_DEF_COMPRESSION | 0x1001, 0, 0,
	  COMPRESSION, 1, 1 },
	{ "an algorithm alone", MT_ST_DEF_COMPRESSION | 0x10ff, 0, 0, SETTINGS, 0, 0 },
	{ "no compression", MT_ST_DEF_COMPRESSION | MT_ST_CLEAR_DEFAULT, 0, 0,
	  COMPRESSION, NONE, 0 },
	{ "buffering", MT_ST_DEF_DRVBUFFER | 1, 0, 0, BUFFERING, 1, 1 },
	{ "buffering of three bits", MT_ST_DEF_DRVBUFFER | 10, 0, 0, BUFFERING, 2, 1 },
	{ "no buffering", MT_ST_DEF_DRVBUFFER | MT_ST_CLEAR_DEFAULT, 0, 0, BUFFERING,
	  NONE, 0 },
	{ "a default of nothing", MT_ST_DEF_OPTIONS | 0x400000, 0, 0, SETTINGS, 0, 0 },
	{ "cleaning off", MT_ST_SET_CLN, 0, 0, SETTINGS, 0, 0 },
	{ "cleaning before the bytes", MT_ST_SET_CLN | 17, 0, -EINVAL, SETTINGS, 0, 0 },
	{ "cleaning by the first byte", MT_ST_SET_CLN | 18, 0, 0, SETTINGS, 0, 0 },
	{ "cleaning by the last byte", MT_ST_SET_CLN | 95, 0, 0, SETTINGS, 0, 0 },
	{ "cleaning behind the bytes", MT_ST_SET_CLN | 96, 0, -EINVAL, SETTINGS, 0, 0 },
	{ "no option", 0x90000000, 0, -EIO, SETTINGS, 0, 0 },
};

static void describe_default(const struct default_row *row, char *name)
{
	strscpy(name, row->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(defaults, defaults_rows, describe_default);

static void expect_settings(struct kunit *test, const struct pmtm_tape *tape,
			    const int *expected)
{
	const struct pmtm_mode *def = &tape->definitions[tape->mode];

	KUNIT_EXPECT_EQ(test, def->block_size, expected[SIZE]);
	KUNIT_EXPECT_EQ(test, def->density, expected[DENSITY]);
	KUNIT_EXPECT_EQ(test, def->compression, expected[COMPRESSION]);
	KUNIT_EXPECT_EQ(test, tape->drive_buffering, expected[BUFFERING]);
}

/* With another setting before, so that "none" can be seen to take it away. */
static void try_default(struct kunit *test)
{
	const struct default_row *row = test->param_value;
	int before = row->value == NONE ? 1 : NONE;
	int expected[SETTINGS + 1] = { before, before, before, before };
	struct pmtm_tape *tape = fresh_tape(test);

	tape->ready = PMTM_READY;
	tape->definitions[0].block_size = before;
	tape->definitions[0].density = before;
	tape->definitions[0].compression = before;
	tape->drive_buffering = before;
	expected[row->setting] = row->value;
	drive.answer = row->drive;
	KUNIT_EXPECT_EQ(test, pmtm_set_options(tape, row->count), row->answer);
	KUNIT_EXPECT_EQ(test, drive.asked, row->asked);
	expect_settings(test, tape, expected);
	if (!row->asked || row->value == NONE)
		return;
	KUNIT_EXPECT_EQ(test, (int)drive.modes.block_size, row->setting == SIZE ? row->value : 0);
	KUNIT_EXPECT_EQ(test, (int)drive.modes.density, row->setting == DENSITY ? row->value : 0);
	KUNIT_EXPECT_EQ(test, (int)drive.modes.compression,
			row->setting == COMPRESSION ? row->value : 0);
	KUNIT_EXPECT_EQ(test, (int)drive.modes.buffered,
			row->setting == BUFFERING ? row->value : 0);
}

static void kept_without_a_tape(struct kunit *test)
{
	static const int expected[] = { 512, 0x44, 1, 1 };
	struct pmtm_tape *tape = fresh_tape(test);

	tape->ready = PMTM_NO_TAPE;
	KUNIT_EXPECT_EQ(test, pmtm_set_options(tape, MT_ST_DEF_BLKSIZE | 512), 0);
	KUNIT_EXPECT_EQ(test, pmtm_set_options(tape, MT_ST_DEF_DENSITY | 0x44), 0);
	KUNIT_EXPECT_EQ(test, pmtm_set_options(tape, MT_ST_DEF_COMPRESSION | 1), 0);
	KUNIT_EXPECT_EQ(test, pmtm_set_options(tape, MT_ST_DEF_DRVBUFFER | 1), 0);
	KUNIT_EXPECT_EQ(test, drive.asked, 0);
	expect_settings(test, tape, expected);
}

/* ---- modes and sessions ---- */

static void new_mode_begins_as_the_first(struct kunit *test)
{
	struct pmtm_tape *tape = fresh_tape(test);

	pmtm_set_options(tape, MT_ST_SETBOOLEANS | MT_ST_SYSV);
	tape->mode = 1;
	KUNIT_EXPECT_FALSE(test, tape->definitions[1].defined);
	pmtm_set_options(tape, MT_ST_CLEARBOOLEANS | MT_ST_READ_AHEAD);
	KUNIT_EXPECT_TRUE(test, tape->definitions[1].defined);
	KUNIT_EXPECT_EQ(test, tape->definitions[1].options,
			(u32)((FIRST | MT_ST_SYSV) & ~MT_ST_READ_AHEAD));
	KUNIT_EXPECT_EQ(test, tape->definitions[0].options, (u32)(FIRST | MT_ST_SYSV));
}

/* A session has the mode's defaults, until the program says otherwise. */
static void session_takes_defaults(struct kunit *test)
{
	struct pmtm_tape *tape = fresh_tape(test);

	tape->ready = PMTM_READY;
	tape->definitions[0].block_size = 1024;
	tape->drive_buffering = 1;
	tape->block_size_set = true;
	KUNIT_EXPECT_EQ(test, pmtm_session_defaults(tape), 0);
	KUNIT_EXPECT_EQ(test, tape->modes.block_size, 1024u);
	KUNIT_EXPECT_EQ(test, (int)tape->modes.buffered, 1);
	KUNIT_EXPECT_EQ(test, pmtm_set_block_size(tape, 512), 0);
	drive.asked = 0;
	KUNIT_EXPECT_EQ(test, pmtm_write_defaults(tape), 0);
	KUNIT_EXPECT_EQ(test, drive.asked, 0);
	KUNIT_EXPECT_EQ(test, tape->modes.block_size, 512u);
}

/* Told only where modes were defined: else they are wishes. */
static void refused_defaults(struct kunit *test)
{
	struct pmtm_tape *tape = fresh_tape(test);

	tape->ready = PMTM_READY;
	tape->definitions[0].block_size = 1024;
	drive.answer = PMTM_REFUSED;
	KUNIT_EXPECT_EQ(test, pmtm_session_defaults(tape), 0);
	tape->definitions[2].defined = true;
	KUNIT_EXPECT_EQ(test, pmtm_session_defaults(tape), -EINVAL);
	KUNIT_EXPECT_EQ(test, pmtm_write_defaults(tape), -EINVAL);
	drive.answer = -EIO;
	KUNIT_EXPECT_EQ(test, pmtm_session_defaults(tape), -EIO);
}

/* Only at the beginning of the tape, and not in the middle of writing. */
static void write_defaults_at_the_beginning(struct kunit *test)
{
	struct pmtm_tape *tape = fresh_tape(test);

	tape->ready = PMTM_READY;
	tape->definitions[0].block_size = 1024;
	tape->definitions[0].compression = 1;
	tape->block = 1;
	KUNIT_EXPECT_EQ(test, pmtm_write_defaults(tape), 0);
	tape->block = 0;
	tape->direction = PMTM_WRITING;
	KUNIT_EXPECT_EQ(test, pmtm_write_defaults(tape), 0);
	KUNIT_EXPECT_EQ(test, drive.asked, 0);
	tape->direction = PMTM_IDLE;
	KUNIT_EXPECT_EQ(test, pmtm_write_defaults(tape), 0);
	KUNIT_EXPECT_EQ(test, drive.asked, 2);
	KUNIT_EXPECT_EQ(test, tape->modes.block_size, 1024u);
	KUNIT_EXPECT_EQ(test, (int)tape->modes.compression, 1);
}

static struct kunit_case cases[] = {
	ROWS(booleans, try_booleans),
	ROWS(defaults, try_default),
	KUNIT_CASE(kept_without_a_tape),
	KUNIT_CASE(new_mode_begins_as_the_first),
	KUNIT_CASE(session_takes_defaults),
	KUNIT_CASE(refused_defaults),
	KUNIT_CASE(write_defaults_at_the_beginning),
	{}
};

struct kunit_suite pmt_options_suite = {
	.name = "options",
	.test_cases = cases,
};
