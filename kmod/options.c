// SPDX-License-Identifier: GPL-2.0
/*
 * MTSETDRVBUFFER's options, the modes that they define, and the settings of the
 * drive: block size, density, compression, buffering, the door.
 *
 * As under st, a minor's mode has options and defaults of its own; the others
 * are the drive's.  Defaults are applied when a session begins (another medium,
 * another mode) and before the first record at the beginning of the tape, unless
 * the program has set its own in this session.
 */
#include <linux/dev_printk.h>

#include "pmtm.h"

#define PMTM_DRIVE_OPTIONS	(MT_ST_DEBUGGING | MT_ST_TWO_FM | MT_ST_FAST_MTEOM | \
				 MT_ST_AUTO_LOCK | MT_ST_CAN_BSR | MT_ST_NO_BLKLIMS | \
				 MT_ST_CAN_PARTITIONS | MT_ST_SCSI2LOGICAL | \
				 MT_ST_NOWAIT | MT_ST_SILI | MT_ST_NOWAIT_EOF)
#define PMTM_DEFAULT_BITS	((u32)MT_ST_CLEAR_DEFAULT)
#define PMTM_CLN_FIRST		18	/* bytes of sense data that MT_ST_SET_CLN ... */
#define PMTM_CLN_LAST		95	/* ... may name */
#define PMTM_ALGORITHM_ONLY	0xff

void pmtm_options_init(struct pmtm_tape *tape)
{
	unsigned int i;

	tape->options = MT_ST_CAN_BSR;
	tape->drive_buffering = -1;
	tape->partitions = 1;
	for (i = 0; i < PMTM_MODES; i++)
		tape->definitions[i] = (struct pmtm_mode) {
			.defined = !i,
			.options = MT_ST_BUFFER_WRITES | MT_ST_ASYNC_WRITES |
				   MT_ST_READ_AHEAD,
			.block_size = -1,
			.density = -1,
			.compression = -1,
		};
}

/* As st's sysfs has them: all but one. */
u32 pmtm_options_shown(const struct pmtm_tape *tape, unsigned int mode)
{
	u32 drive = pmtm_shown(tape->options) & ~MT_ST_AUTO_LOCK;

	return drive | pmtm_shown(tape->definitions[mode].options);
}

/* ---- settings ---- */

/* Settings that the drive is to take: as pmtm_set_modes; -EINVAL out of limits. */
static int pmtm_try_modes(struct pmtm_tape *tape, const struct pmt_modes *modes)
{
	u32 size = modes->block_size;
	struct pmt_result res;
	struct pmt_view view;

	pmt_unit_look(tape->unit, &tape->place, &view);
	if (size && size != tape->modes.block_size &&
	    !pmtm_option(tape, MT_ST_NO_BLKLIMS) &&
	    (size < view.limits.record_min || size > view.limits.record_max))
		return -EINVAL;
	if (size > PMT_RECORD_MAX || size > view.data_size)
		return -EINVAL;
	return pmtm_set_modes(tape, modes, &res);
}

int pmtm_set_block_size(struct pmtm_tape *tape, int count)
{
	struct pmt_modes modes = tape->modes;
	int ret;

	modes.block_size = count & MT_ST_BLKSIZE_MASK;
	tape->rest.from = tape->rest.to;
	ret = pmtm_try_modes(tape, &modes);
	if (ret != -EINVAL)
		tape->block_size_set = true;
	return ret > 0 ? -EIO : ret;
}

int pmtm_set_density(struct pmtm_tape *tape, int count)
{
	struct pmt_modes modes = tape->modes;
	int ret;

	modes.density = count;
	tape->density_set = true;
	ret = pmtm_try_modes(tape, &modes);
	if (!ret)
		tape->density = count;
	return ret > 0 ? -EIO : ret;
}

static int pmtm_try_compression(struct pmtm_tape *tape, int on)
{
	struct pmt_modes modes = tape->modes;
	int ret;

	modes.compression = on & 1;
	ret = pmtm_try_modes(tape, &modes);
	if (!ret)
		tape->compression_set = true;
	return ret;
}

int pmtm_set_compression(struct pmtm_tape *tape, int on)
{
	int ret;

	if (tape->ready != PMTM_READY)
		return -EIO;
	ret = pmtm_try_compression(tape, on);
	return ret > 0 ? -EIO : ret;
}

static int pmtm_try_buffering(struct pmtm_tape *tape, int value)
{
	struct pmt_modes modes = tape->modes;

	modes.buffered = value & 7;
	return pmtm_try_modes(tape, &modes);
}

int pmtm_set_buffering(struct pmtm_tape *tape, int value)
{
	int ret = pmtm_try_buffering(tape, value);

	return ret > 0 ? -EIO : ret;
}

/*
 * What a drive that refuses makes of ioctl's result under st: the SCSI result,
 * CHECK CONDITION, with "target failure" above where there is no hope.  A drive
 * that has no lock is not asked again.
 */
static int pmtm_door_result(struct pmtm_tape *tape, const struct pmt_result *res)
{
	switch (res->key) {
	case PMT_KEY_ATTENTION:
		return 0;
	case PMT_KEY_ILLEGAL:
		tape->no_lock = true;
		return 0x402;
	case PMT_KEY_HARDWARE:
		return 0x402;
	default:
		return 0x002;
	}
}

int pmtm_set_door(struct pmtm_tape *tape, enum pmtm_door door)
{
	struct pmt_modes modes = tape->modes;
	struct pmt_result res;
	int ret = 0;

	modes.locked = door != PMTM_OPEN;
	if (!tape->no_lock)
		ret = pmtm_set_modes(tape, &modes, &res);
	if (ret < 0)
		return ret;
	if (ret)
		ret = pmtm_door_result(tape, &res);
	tape->door = ret ? PMTM_LOCK_FAILS : door;
	return ret;
}

/* ---- defaults ---- */

static bool pmtm_modes_defined(const struct pmtm_tape *tape)
{
	unsigned int i, n = 0;

	for (i = 1; i < PMTM_MODES; i++)
		n += tape->definitions[i].defined;
	return n;
}

/*
 * Defaults are wishes: the drive may refuse, or have other limits.  Who defines
 * modes is told at open and write; else st goes on.  All other errors are those
 * of what was acknowledged before, and are told.
 */
static int pmtm_wished(struct pmtm_tape *tape, int ret)
{
	if (ret != PMTM_REFUSED && ret != -EINVAL)
		return ret;
	dev_warn_ratelimited(&tape->unit->dev, "the drive refuses the mode's defaults\n");
	return 0;
}

static int pmtm_default_failed(struct pmtm_tape *tape, int ret)
{
	bool refused = ret == PMTM_REFUSED || ret == -EINVAL;

	ret = pmtm_wished(tape, ret);
	return refused && pmtm_modes_defined(tape) ? -EINVAL : ret;
}

static int pmtm_apply_defaults(struct pmtm_tape *tape)
{
	const struct pmtm_mode *def = &tape->definitions[tape->mode];
	bool density = !tape->density_set && def->density >= 0 &&
		       def->density != tape->density;
	struct pmt_modes modes = tape->modes;
	int ret;

	if (density)
		modes.density = def->density;
	if (!tape->block_size_set && def->block_size >= 0)
		modes.block_size = def->block_size;
	if (!density && modes.block_size == tape->modes.block_size)
		return 0;
	tape->rest.from = tape->rest.to;
	ret = pmtm_try_modes(tape, &modes);
	if (!ret && density)
		tape->density = modes.density;
	return ret;
}

/* A session begins. */
int pmtm_session_defaults(struct pmtm_tape *tape)
{
	int ret = 0;

	tape->density_set = false;
	tape->block_size_set = false;
	tape->compression_set = false;
	if (!pmtm_option(tape, MT_ST_DEF_WRITES))
		ret = pmtm_default_failed(tape, pmtm_apply_defaults(tape));
	if (!ret && tape->drive_buffering >= 0)
		ret = pmtm_wished(tape, pmtm_try_buffering(tape, tape->drive_buffering));
	return ret;
}

/* Before a write: at the beginning of the tape they are applied again. */
int pmtm_write_defaults(struct pmtm_tape *tape)
{
	const struct pmtm_mode *def = &tape->definitions[tape->mode];
	int ret;

	if (tape->direction != PMTM_IDLE || tape->file || tape->block)
		return 0;
	ret = pmtm_default_failed(tape, pmtm_apply_defaults(tape));
	if (ret || def->compression < 0 || tape->compression_set)
		return ret;
	return pmtm_default_failed(tape, pmtm_try_compression(tape, def->compression));
}

/* ---- MTSETDRVBUFFER, by the top four bits ---- */

static void pmtm_set_booleans(struct pmtm_tape *tape, u32 value, u32 keep)
{
	struct pmtm_mode *def = &tape->definitions[tape->mode];

	WRITE_ONCE(tape->options, (tape->options & keep) | (value & PMTM_DRIVE_OPTIONS));
	WRITE_ONCE(def->options, (def->options & keep) | (value & PMTM_MODE_OPTIONS));
}

static int pmtm_set_default_size(struct pmtm_tape *tape, u32 value)
{
	struct pmtm_mode *def = &tape->definitions[tape->mode];

	WRITE_ONCE(def->block_size, value == ~(u32)MT_ST_OPTIONS ? -1 : (int)value);
	if (def->block_size < 0 || tape->ready != PMTM_READY)
		return 0;
	tape->block_size_set = false;
	return pmtm_wished(tape, pmtm_apply_defaults(tape));
}

static int pmtm_set_default_density(struct pmtm_tape *tape, u32 value)
{
	struct pmtm_mode *def = &tape->definitions[tape->mode];

	WRITE_ONCE(def->density, value == PMTM_DEFAULT_BITS ? -1 : (int)(value & 0xff));
	if (def->density < 0 || tape->ready != PMTM_READY)
		return 0;
	tape->density_set = false;
	return pmtm_wished(tape, pmtm_apply_defaults(tape));
}

/* The low byte is the switch; the one above is an algorithm, of which there is one. */
static int pmtm_set_default_compression(struct pmtm_tape *tape, u32 value)
{
	struct pmtm_mode *def = &tape->definitions[tape->mode];

	if (value == PMTM_DEFAULT_BITS) {
		WRITE_ONCE(def->compression, -1);
		return 0;
	}
	if ((value & 0xff) == PMTM_ALGORITHM_ONLY)
		return 0;
	WRITE_ONCE(def->compression, value & 1);
	if (tape->ready != PMTM_READY)
		return 0;
	tape->compression_set = false;
	return pmtm_wished(tape, pmtm_try_compression(tape, def->compression));
}

static int pmtm_set_default_buffering(struct pmtm_tape *tape, u32 value)
{
	if (value == PMTM_DEFAULT_BITS) {
		tape->drive_buffering = -1;
		return 0;
	}
	tape->drive_buffering = value & 7;
	if (tape->ready != PMTM_READY)
		return 0;
	return pmtm_wished(tape, pmtm_try_buffering(tape, tape->drive_buffering));
}

static int pmtm_set_default(struct pmtm_tape *tape, u32 count)
{
	u32 value = count & PMTM_DEFAULT_BITS;

	switch (count & ~PMTM_DEFAULT_BITS) {
	case MT_ST_DEF_DENSITY:
		return pmtm_set_default_density(tape, value);
	case MT_ST_DEF_COMPRESSION:
		return pmtm_set_default_compression(tape, value);
	case MT_ST_DEF_DRVBUFFER:
		return pmtm_set_default_buffering(tape, value);
	default:
		return 0;
	}
}

/* Which bit of sense data asks for cleaning: our drives have no such bytes. */
static int pmtm_set_cleaning(u32 value)
{
	u32 byte = value & 0xff;

	return byte && (byte < PMTM_CLN_FIRST || byte > PMTM_CLN_LAST) ? -EINVAL : 0;
}

int pmtm_set_options(struct pmtm_tape *tape, u32 count)
{
	struct pmtm_mode *def = &tape->definitions[tape->mode];
	u32 value = count & ~MT_ST_OPTIONS;

	if (!def->defined)
		*def = tape->definitions[0];
	switch (count & MT_ST_OPTIONS) {
	case MT_ST_BOOLEANS:
		pmtm_set_booleans(tape, value, 0);
		return 0;
	case MT_ST_SETBOOLEANS:
		pmtm_set_booleans(tape, value, ~0u);
		return 0;
	case MT_ST_CLEARBOOLEANS:
		pmtm_set_booleans(tape, 0, ~value);
		return 0;
	case MT_ST_WRITE_THRESHOLD:
	case MT_ST_TIMEOUTS:
		return 0;	/* no buffer to fill, and the server has its own times */
	case MT_ST_DEF_BLKSIZE:
		return pmtm_set_default_size(tape, value);
	case MT_ST_DEF_OPTIONS:
		return pmtm_set_default(tape, count);
	case MT_ST_SET_CLN:
		return pmtm_set_cleaning(value);
	default:
		return -EIO;
	}
}
