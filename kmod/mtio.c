// SPDX-License-Identifier: GPL-2.0
/*
 * MTIOCTOP, MTIOCGET and MTIOCPOS, and the look at drive and medium that open
 * and MTLOAD take.  Operations are dispatched by a table, which says what st
 * does around each; the arithmetic of file and block is st's, on residues.
 */
#include <linux/capability.h>
#include <linux/cdev.h>
#include <linux/fs.h>
#include <linux/nospec.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "pmtm.h"

#define PMTM_READY_TRIES	120	/* seconds, as st */
#define PMTM_ATTENTIONS		10
#define PMTM_COUNT_MAX		0x7fffff	/* what fits in a SPACE command */

/* ---- drive and medium, at open and MTLOAD ---- */

static int pmtm_pause(void)
{
	schedule_timeout_interruptible(HZ);
	return signal_pending(current) ? -EINTR : 0;
}

/* TEST until it is ready, or clear that it is not: 0, or -errno. */
static int pmtm_become_ready(struct pmtm_tape *tape, bool nonblock,
			     struct pmt_result *res)
{
	int tries = 0, attentions = 0, ret;

	for (;;) {
		ret = pmtm_test(tape, res);
		if (ret)
			return ret;
		if (res->status == PMT_STATUS_GOOD)
			return 0;
		if (res->key == PMT_KEY_ATTENTION) {
			if (attentions++ == PMTM_ATTENTIONS)
				return -EIO;
			continue;
		}
		if (res->key != PMT_KEY_NOT_READY)
			return -EIO;
		if (nonblock || tries++ == PMTM_READY_TRIES)
			return 0;
		ret = pmtm_pause();
		if (ret)
			return ret;
	}
}

static int pmtm_not_ready(struct pmtm_tape *tape, const struct pmt_result *res,
			  bool nonblock)
{
	bool no_tape = res->asc == 0x3a;

	tape->ready = no_tape ? PMTM_NO_TAPE : PMTM_NOT_READY;
	tape->read_only = false;
	tape->medium_seen = false;
	tape->file = -1;
	tape->block = -1;
	tape->eof = PMTM_NONE;
	if (nonblock)
		return 0;
	return no_tape ? -ENOMEDIUM : -EIO;
}

int pmtm_load_state(struct pmtm_tape *tape, unsigned int f_flags, fmode_t mode)
{
	bool nonblock = f_flags & O_NONBLOCK;
	struct pmt_result res;
	struct pmt_view view;
	int ret;

	pmt_unit_look(tape->unit, &tape->place, &view);
	tape->modes = view.modes;
	ret = pmtm_become_ready(tape, nonblock, &res);
	if (ret)
		return ret;
	if (res.status != PMT_STATUS_GOOD)
		return pmtm_not_ready(tape, &res, nonblock);
	tape->ready = PMTM_READY;
	tape->medium_seen = true;
	if (res.place.generation != tape->session)
		pmtm_new_session(tape, &res);
	tape->density = tape->modes.density ?: res.density;
	tape->protected = res.medium_flags & PMT_MEDIUM_PROTECTED;
	tape->read_only = tape->protected || !(mode & FMODE_WRITE);
	if (tape->protected && mode & FMODE_WRITE && !nonblock)
		return -EROFS;
	return 0;
}

/* ---- operations ---- */

/* The outcome of a command that has no exception that st would accept. */
static int pmtm_good(int ret, const struct pmt_result *res)
{
	if (ret)
		return ret;
	return res->status == PMT_STATUS_GOOD ? 0 : -EIO;
}

/* Units that were spaced, of count; what was not done is never negative. */
static int pmtm_moved(int count, const struct pmt_result *res)
{
	return count < 0 ? count + (int)res->residue : count - (int)res->residue;
}

static bool pmtm_at_eod(const struct pmt_result *res)
{
	return res->key == PMT_KEY_BLANK;
}

static void pmtm_move_file(struct pmtm_tape *tape, int marks)
{
	if (tape->file >= 0)
		tape->file += marks;
}

static void pmtm_move_block(struct pmtm_tape *tape, int records)
{
	if (tape->block >= 0)
		tape->block += records;
}

static int pmtm_op_fsf(struct pmtm_tape *tape, int count)
{
	struct pmt_result res;
	int ret = pmtm_space(tape, PMT_SPACE_FILEMARKS, count, &res, PMTM_KILLABLE);

	if (ret)
		return ret;
	if (res.status == PMT_STATUS_GOOD) {
		pmtm_move_file(tape, count);
		tape->block = 0;
		tape->eof = PMTM_AT_FM;
		return 0;
	}
	pmtm_move_file(tape, pmtm_moved(count, &res));
	tape->block = -1;
	tape->eof = pmtm_at_eod(&res) ? PMTM_EOD3 : PMTM_NONE;
	return -EIO;
}

static int pmtm_op_bsf(struct pmtm_tape *tape, int count)
{
	struct pmt_result res;
	int ret = pmtm_space(tape, PMT_SPACE_FILEMARKS, -(s64)count, &res,
			     PMTM_KILLABLE);

	if (ret)
		return ret;
	tape->eof = PMTM_NONE;
	if (res.status == PMT_STATUS_GOOD) {
		pmtm_move_file(tape, -count);
		tape->block = -1;
		return 0;
	}
	pmtm_move_file(tape, -pmtm_moved(count, &res));
	tape->block = 0;
	return -EIO;
}

static int pmtm_op_fsr(struct pmtm_tape *tape, int count)
{
	struct pmt_result res;
	int ret = pmtm_space(tape, PMT_SPACE_RECORDS, count, &res, PMTM_KILLABLE);

	if (ret)
		return ret;
	if (res.status == PMT_STATUS_GOOD) {
		pmtm_move_block(tape, count);
		tape->eof = PMTM_NONE;
		return 0;
	}
	if (res.sense & PMT_SENSE_FILEMARK) {
		pmtm_move_file(tape, 1);
		tape->block = 0;
		tape->eof = PMTM_AT_FM;
		return -EIO;
	}
	pmtm_move_block(tape, pmtm_moved(count, &res));
	if (pmtm_at_eod(&res))
		tape->eof = PMTM_EOD3;
	return -EIO;
}

static int pmtm_op_bsr(struct pmtm_tape *tape, int count)
{
	struct pmt_result res;
	int ret = pmtm_space(tape, PMT_SPACE_RECORDS, -(s64)count, &res,
			     PMTM_KILLABLE);

	if (ret)
		return ret;
	if (res.status == PMT_STATUS_GOOD) {
		pmtm_move_block(tape, -count);
		tape->eof = PMTM_NONE;
		return 0;
	}
	if (res.sense & PMT_SENSE_FILEMARK) {
		pmtm_move_file(tape, -1);
		tape->block = -1;
		tape->eof = PMTM_NONE;
	} else if (res.sense & PMT_SENSE_EOM) {
		tape->block = 0;
		tape->eof = PMTM_NONE;
	} else {
		pmtm_move_block(tape, -pmtm_moved(count, &res));
	}
	return -EIO;
}

static int pmtm_op_bsfm(struct pmtm_tape *tape, int count)
{
	return pmtm_op_bsf(tape, count) ?: pmtm_op_fsf(tape, 1);
}

static int pmtm_op_fsfm(struct pmtm_tape *tape, int count)
{
	return pmtm_op_fsf(tape, count) ?: pmtm_op_bsf(tape, 1);
}

static int pmtm_op_eom(struct pmtm_tape *tape, int count)
{
	bool fast = tape->lost || tape->options & MT_ST_FAST_MTEOM;
	struct pmt_result res;
	int ret;

	ret = pmtm_space(tape, fast ? PMT_SPACE_EOD : PMT_SPACE_FILEMARKS,
			 fast ? 0 : PMTM_COUNT_MAX, &res, PMTM_KILLABLE);
	if (ret)
		return ret;
	tape->block = -1;
	tape->eof = PMTM_EOD3;
	if (fast)
		tape->file = -1;
	else
		pmtm_move_file(tape, PMTM_COUNT_MAX - (int)res.residue);
	if (fast ? res.status == PMT_STATUS_GOOD : pmtm_at_eod(&res)) {
		tape->lost = false;
		return 0;
	}
	tape->file = -1;
	return -EIO;
}

static int pmtm_op_weof(struct pmtm_tape *tape, int count)
{
	if (tape->read_only)
		return -EACCES;
	return count < 0 ? -EIO :
	       pmtm_marks(tape, count, tape->options & MT_ST_NOWAIT_EOF,
			  PMTM_KILLABLE);
}

static int pmtm_op_weofi(struct pmtm_tape *tape, int count)
{
	if (tape->read_only)
		return -EACCES;
	return count < 0 ? -EIO : pmtm_marks(tape, count, true, PMTM_KILLABLE);
}

static int pmtm_op_rew(struct pmtm_tape *tape, int count)
{
	return pmtm_rewind(tape, PMTM_KILLABLE);
}

static int pmtm_op_nop(struct pmtm_tape *tape, int count)
{
	return 0;
}

static int pmtm_op_erase(struct pmtm_tape *tape, int count)
{
	struct pmt_command cmd;
	struct pmt_result res;

	if (tape->read_only)
		return -EACCES;
	cmd = pmtm_prepare(tape, PMT_OP_ERASE);
	cmd.argument = count != 0;
	tape->eof = PMTM_NONE;
	return pmtm_good(pmtm_command(tape, &cmd, &res, PMTM_KILLABLE), &res);
}

static int pmtm_op_seek(struct pmtm_tape *tape, int count)
{
	struct pmt_command cmd = pmtm_prepare(tape, PMT_OP_LOCATE);
	struct pmt_result res;
	int ret;

	if (tape->ready != PMTM_READY)
		return -EIO;
	cmd.count = (u32)count;
	cmd.argument = tape->place.partition;
	tape->trailer = false;
	ret = pmtm_good(pmtm_command(tape, &cmd, &res, PMTM_KILLABLE), &res);
	if (ret == -EINTR)
		return ret;
	tape->file = !ret && !count ? 0 : -1;
	tape->block = tape->file;
	tape->eof = PMTM_NONE;
	if (!ret)
		tape->lost = false;
	return ret;
}

/* What MODE SELECT would do; the unit keeps it when the server has taken it. */
static int pmtm_set_modes(struct pmtm_tape *tape, const struct pmt_modes *modes)
{
	struct pmt_command cmd = pmtm_prepare(tape, PMT_OP_MODE);
	struct pmt_place place = tape->place;
	struct pmt_result res;
	int ret;

	cmd.modes = *modes;
	ret = pmtm_good(pmtm_command(tape, &cmd, &res, PMTM_KILLABLE), &res);
	if (ret)
		return ret;
	tape->place = place;
	tape->modes = *modes;
	return 0;
}

static int pmtm_op_setblk(struct pmtm_tape *tape, int count)
{
	struct pmt_modes modes = tape->modes;
	struct pmt_view view;

	pmt_unit_look(tape->unit, &tape->place, &view);
	if (count < 0 || count > 0xffffff ||
	    (count && (count < view.limits.record_min ||
		       count > view.limits.record_max)))
		return -EINVAL;
	modes.block_size = count;
	tape->rest.from = tape->rest.to;
	return pmtm_set_modes(tape, &modes);
}

static int pmtm_op_setdensity(struct pmtm_tape *tape, int count)
{
	struct pmt_modes modes = tape->modes;
	int ret;

	modes.density = count;
	ret = pmtm_set_modes(tape, &modes);
	if (!ret)
		tape->density = count;
	return ret;
}

static int pmtm_op_compression(struct pmtm_tape *tape, int count)
{
	struct pmt_modes modes = tape->modes;

	if (tape->ready != PMTM_READY)
		return -EIO;
	modes.compression = count & 1;
	return pmtm_set_modes(tape, &modes);
}

static int pmtm_set_lock(struct pmtm_tape *tape, bool locked)
{
	struct pmt_modes modes = tape->modes;

	if (modes.locked == locked)
		return 0;
	modes.locked = locked;
	return pmtm_set_modes(tape, &modes);
}

static int pmtm_op_lock(struct pmtm_tape *tape, int count)
{
	return pmtm_set_lock(tape, true);
}

static int pmtm_op_unlock(struct pmtm_tape *tape, int count)
{
	return pmtm_set_lock(tape, false);
}

static int pmtm_op_unload(struct pmtm_tape *tape, int count)
{
	struct pmt_command cmd = pmtm_prepare(tape, PMT_OP_UNLOAD);
	struct pmt_result res;
	int ret = -EIO;

	if (!tape->modes.locked)
		ret = pmtm_good(pmtm_command(tape, &cmd, &res, PMTM_KILLABLE), &res);
	if (ret == -EINTR)
		return ret;
	if (ret) {
		tape->file = -1;
		tape->block = -1;
		return ret;
	}
	tape->ready = PMTM_NO_TAPE;
	tape->rewind = false;
	tape->lost = false;
	tape->trailer = false;
	return 0;
}

static int pmtm_op_offl(struct pmtm_tape *tape, int count)
{
	int ret = pmtm_set_lock(tape, false);

	return ret ?: pmtm_op_unload(tape, count);
}

static int pmtm_op_load(struct pmtm_tape *tape, int count)
{
	struct pmt_command cmd = pmtm_prepare(tape, PMT_OP_LOAD);
	struct pmt_result res;
	int ret = pmtm_good(pmtm_command(tape, &cmd, &res, PMTM_KILLABLE), &res);

	if (ret == -EINTR)
		return ret;
	if (ret) {
		tape->file = -1;
		tape->block = -1;
		return ret;
	}
	pmtm_new_session(tape, &res);
	return 0;
}

static int pmtm_op_setpart(struct pmtm_tape *tape, int count)
{
	if (!(tape->options & MT_ST_CAN_PARTITIONS) || count)
		return -EINVAL;
	return 0;
}

static int pmtm_op_mkpart(struct pmtm_tape *tape, int count)
{
	struct pmt_command cmd;
	struct pmt_result res;
	int ret;

	if (!(tape->options & MT_ST_CAN_PARTITIONS))
		return -EINVAL;
	cmd = pmtm_prepare(tape, PMT_OP_FORMAT);
	cmd.argument = count ? 2 : 1;
	cmd.count = count;
	ret = pmtm_good(pmtm_command(tape, &cmd, &res, PMTM_KILLABLE), &res);
	if (!ret)
		pmtm_new_session(tape, &res);
	return ret;
}

static int pmtm_op_setmarks(struct pmtm_tape *tape, int count)
{
	return -EIO;
}

static int pmtm_op_wsm(struct pmtm_tape *tape, int count)
{
	return tape->read_only ? -EACCES : -EIO;
}

/* ---- MTSETDRVBUFFER: modes and options, by the top four bits ---- */

static int pmtm_set_buffered(struct pmtm_tape *tape, u32 value)
{
	struct pmt_modes modes = tape->modes;

	if (tape->ready != PMTM_READY)
		return tape->ready == PMTM_NO_TAPE ? -ENOMEDIUM : -EIO;
	if (value > 7)
		return -EIO;
	modes.buffered = value;
	return pmtm_set_modes(tape, &modes);
}

static int pmtm_op_setdrvbuffer(struct pmtm_tape *tape, int count)
{
	u32 value = count & ~MT_ST_OPTIONS;

	switch ((u32)count & MT_ST_OPTIONS) {
	case 0:
		return pmtm_set_buffered(tape, value);
	case MT_ST_BOOLEANS:
		tape->options = value;
		return 0;
	case MT_ST_SETBOOLEANS:
		tape->options |= value;
		return 0;
	case MT_ST_CLEARBOOLEANS:
		tape->options &= ~value;
		return 0;
	case MT_ST_WRITE_THRESHOLD:
	case MT_ST_DEF_OPTIONS:
	case MT_ST_TIMEOUTS:
		return 0;
	case MT_ST_DEF_BLKSIZE:
		if (value == ~(u32)MT_ST_OPTIONS || tape->ready != PMTM_READY)
			return 0;
		return pmtm_op_setblk(tape, value);
	case MT_ST_SET_CLN:
		value &= 0xff;
		return value && (value < 18 || value > 95) ? -EINVAL : 0;
	default:
		return -EIO;
	}
}

/* ---- the table ---- */

enum {
	PMTM_MARK_FIRST = 1 << 0,	/* behind written data a filemark, first */
	PMTM_KEEPS = 1 << 1,		/* the automatic filemark at close stays due */
	PMTM_WHEN_LOST = 1 << 2,	/* gives the tape a known place again */
	PMTM_ANY_TIME = 1 << 3,		/* whether there is a tape or not */
	PMTM_BACK = 1 << 4,		/* counts the mark of MARK_FIRST */
	PMTM_ADMIN = 1 << 5,
	PMTM_COUNTS = 1 << 6,		/* units: at most what a command can carry */
};

static const struct pmtm_operation {
	int (*run)(struct pmtm_tape *tape, int count);
	unsigned int flags;
} pmtm_operations[] = {
	[MTFSF] = { pmtm_op_fsf, PMTM_COUNTS },
	[MTBSF] = { pmtm_op_bsf, PMTM_MARK_FIRST | PMTM_BACK | PMTM_COUNTS },
	[MTFSR] = { pmtm_op_fsr, PMTM_COUNTS },
	[MTBSR] = { pmtm_op_bsr, PMTM_COUNTS },
	[MTWEOF] = { pmtm_op_weof, PMTM_COUNTS },
	[MTREW] = { pmtm_op_rew, PMTM_MARK_FIRST | PMTM_WHEN_LOST },
	[MTOFFL] = { pmtm_op_offl, PMTM_MARK_FIRST | PMTM_WHEN_LOST },
	[MTNOP] = { pmtm_op_nop, PMTM_KEEPS },
	[MTRETEN] = { pmtm_op_rew, PMTM_WHEN_LOST },
	[MTBSFM] = { pmtm_op_bsfm, PMTM_MARK_FIRST | PMTM_BACK | PMTM_COUNTS },
	[MTFSFM] = { pmtm_op_fsfm, PMTM_COUNTS },
	[MTEOM] = { pmtm_op_eom, PMTM_WHEN_LOST },
	[MTERASE] = { pmtm_op_erase, PMTM_WHEN_LOST },
	[MTSETBLK] = { pmtm_op_setblk, PMTM_KEEPS },
	[MTSETDENSITY] = { pmtm_op_setdensity, PMTM_KEEPS },
	[MTSEEK] = { pmtm_op_seek, PMTM_MARK_FIRST | PMTM_WHEN_LOST | PMTM_ANY_TIME },
	[MTSETDRVBUFFER] = { pmtm_op_setdrvbuffer,
			     PMTM_KEEPS | PMTM_ANY_TIME | PMTM_ADMIN },
	[MTFSS] = { pmtm_op_setmarks },
	[MTBSS] = { pmtm_op_setmarks },
	[MTWSM] = { pmtm_op_wsm, PMTM_KEEPS },
	[MTLOCK] = { pmtm_op_lock, PMTM_ANY_TIME },
	[MTUNLOCK] = { pmtm_op_unlock, PMTM_ANY_TIME },
	[MTLOAD] = { pmtm_op_load, PMTM_WHEN_LOST | PMTM_ANY_TIME },
	[MTUNLOAD] = { pmtm_op_unload },
	[MTCOMPRESSION] = { pmtm_op_compression, PMTM_ANY_TIME },
	[MTSETPART] = { pmtm_op_setpart, PMTM_KEEPS | PMTM_ANY_TIME },
	[MTMKPART] = { pmtm_op_mkpart, PMTM_ANY_TIME },
	[MTWEOFI] = { pmtm_op_weofi, PMTM_COUNTS },
};

static const struct pmtm_operation *pmtm_operation(short number)
{
	static const struct pmtm_operation unknown;

	if (number < 0 || number >= ARRAY_SIZE(pmtm_operations))
		return &unknown;
	return &pmtm_operations[array_index_nospec(number,
						   ARRAY_SIZE(pmtm_operations))];
}

/* May it be done as things are? */
static int pmtm_op_allowed(struct pmtm_tape *tape, const struct pmtm_operation *op)
{
	if (op->flags & PMTM_ADMIN && !capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (tape->lost && !(op->flags & PMTM_WHEN_LOST)) {
		pmtm_deferred(tape);	/* the same loss, told by this */
		return -EIO;
	}
	if (tape->ready != PMTM_READY && !(op->flags & PMTM_ANY_TIME))
		return tape->ready == PMTM_NO_TAPE ? -ENOMEDIUM : -EIO;
	return 0;
}

/*
 * What st flushes before it tells or does anything: errors of what was
 * acknowledged, and the rest of a block that was read in part.
 */
static int pmtm_flush_state(struct pmtm_tape *tape)
{
	pmtm_reap(tape);
	tape->rest.from = tape->rest.to;
	return pmtm_deferred(tape);
}

/* Errors of what was acknowledged, and st's filemark before it moves away. */
static int pmtm_op_before(struct pmtm_tape *tape, const struct pmtm_operation *op,
			  int *count)
{
	int ret;

	ret = pmtm_flush_state(tape);
	if (ret)
		return ret;
	if (tape->eof == PMTM_FM_PENDING)
		tape->eof = PMTM_NONE;
	if (tape->direction == PMTM_WRITING && op->flags & PMTM_MARK_FIRST &&
	    !tape->lost && tape->ready == PMTM_READY) {
		ret = pmtm_marks(tape, 1, false, PMTM_KILLABLE);
		if (ret)
			return ret;
		*count += !!(op->flags & PMTM_BACK);
	}
	if (!(op->flags & PMTM_KEEPS))
		tape->direction = PMTM_IDLE;
	return 0;
}

static bool pmtm_node_rewinds(struct file *file)
{
	return container_of(file_inode(file)->i_cdev, struct pmtm_node, cdev)->rewind;
}

static int pmtm_mtop(struct pmtm_tape *tape, struct file *file, void __user *arg)
{
	const struct pmtm_operation *op;
	struct mtop mtop;
	int count, ret;

	if (copy_from_user(&mtop, arg, sizeof(mtop)))
		return -EFAULT;
	op = pmtm_operation(mtop.mt_op);
	count = mtop.mt_count;
	if (op->flags & PMTM_COUNTS)
		count = clamp(count, -PMTM_COUNT_MAX, PMTM_COUNT_MAX);
	ret = pmtm_op_allowed(tape, op);
	if (!ret)
		ret = pmtm_op_before(tape, op, &count);
	if (ret)
		return ret;
	if (!op->run)
		return -ENOSYS;
	ret = op->run(tape, count);
	if (!ret && mtop.mt_op == MTLOAD) {
		tape->rewind = pmtm_node_rewinds(file);
		ret = pmtm_load_state(tape, file->f_flags, file->f_mode);
		if (tape->ready != PMTM_READY && ret != -EINTR)
			ret = 0;
	}
	return ret;
}

/* ---- MTIOCGET, MTIOCPOS ---- */

static long pmtm_gstat(const struct pmtm_tape *tape)
{
	bool async = tape->options & MT_ST_ASYNC_WRITES;
	bool buffers = tape->modes.block_size &&
		       tape->options & MT_ST_BUFFER_WRITES;
	long gstat = 0;

	if (!tape->block)
		gstat |= tape->file ? GMT_EOF(~0L) : GMT_BOT(~0L);
	if (tape->eof == PMTM_EW || tape->eof == PMTM_EWERR)
		gstat |= GMT_EOT(~0L);
	else if (tape->eof >= PMTM_EOD1)
		gstat |= GMT_EOD(~0L);
	if (tape->protected && tape->ready == PMTM_READY)
		gstat |= GMT_WR_PROT(~0L);
	if (tape->ready == PMTM_READY)
		gstat |= GMT_ONLINE(~0L);
	if (tape->ready == PMTM_NO_TAPE)
		gstat |= GMT_DR_OPEN(~0L);
	if (async || buffers || tape->modes.buffered)
		gstat |= GMT_IM_REP_EN(~0L);
	if (tape->medium_seen && tape->density >= 1 && tape->density <= 3)
		gstat |= GMT_D_800(~0L) << (tape->density - 1);
	return gstat;
}

static int pmtm_get(struct pmtm_tape *tape, void __user *arg)
{
	struct mtget get = {};
	int ret;

	ret = pmtm_flush_state(tape);
	if (ret)
		return ret;
	get.mt_type = MT_ISSCSI2;
	get.mt_resid = tape->place.partition;
	if (tape->medium_seen)
		get.mt_dsreg = (u32)tape->density << MT_ST_DENSITY_SHIFT |
			       (tape->modes.block_size & MT_ST_BLKSIZE_MASK);
	get.mt_gstat = pmtm_gstat(tape);
	get.mt_erreg = tape->recovered;
	get.mt_fileno = tape->file;
	get.mt_blkno = tape->block;
	ret = put_user_mtget(arg, &get);
	if (!ret)
		tape->recovered = 0;
	return ret;
}

static int pmtm_pos(struct pmtm_tape *tape, void __user *arg)
{
	struct mtpos pos = {};
	int ret;

	if (tape->lost || tape->ready != PMTM_READY)
		return -EIO;
	ret = pmtm_flush_state(tape);
	if (ret)
		return ret;
	if (tape->place.lbn == PMT_UNKNOWN)
		return -EIO;
	if (!tape->place.lbn && !tape->place.partition) {
		tape->file = 0;
		tape->block = 0;
	}
	pos.mt_blkno = tape->place.lbn;
	return put_user_mtpos(arg, &pos);
}

long pmtm_mtio(struct pmtm_tape *tape, struct file *file, unsigned int code,
	       void __user *arg)
{
	switch (code) {
	case MTIOCTOP:
		return pmtm_mtop(tape, file, arg);
	case MTIOCGET:
		return pmtm_get(tape, arg);
	case MTIOCPOS:
		return pmtm_pos(tape, arg);
	default:
		return -EINVAL;
	}
}
