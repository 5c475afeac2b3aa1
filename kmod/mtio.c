// SPDX-License-Identifier: GPL-2.0
/*
 * MTIOCTOP, MTIOCGET and MTIOCPOS, and the look at drive and medium that open
 * and MTLOAD take.  Operations are dispatched by a table, which says what st
 * does around each; what they do to the counters is position.c's.
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
#define PMTM_PARTITION_MB_MAX	65535000	/* 16 bits, in units of 1000 MB */

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

/* The place stays: it may be the same tape that becomes ready. */
static void pmtm_not_ready(struct pmtm_tape *tape, const struct pmt_result *res)
{
	tape->ready = res->asc == 0x3a ? PMTM_NO_TAPE : PMTM_NOT_READY;
	tape->read_only = false;
	tape->protected = false;
	tape->write_once = false;
	tape->medium_seen = false;
	tape->door = PMTM_OPEN;
	pmtm_no_position(tape);
}

/* What TEST told of a medium that is there. */
static void pmtm_take_medium(struct pmtm_tape *tape, const struct pmt_result *res)
{
	tape->ready = PMTM_READY;
	tape->medium_seen = true;
	tape->density = res->density ?: tape->modes.density;
	tape->protected = res->medium_flags & PMT_MEDIUM_PROTECTED;
	tape->write_once = res->medium_flags & PMT_MEDIUM_WORM;
	tape->partitions = 1 + (res->medium_flags >> PMT_MEDIUM_MORE_SHIFT);
	if (!tape->modes.buffered)
		WRITE_ONCE(tape->options, tape->options & ~MT_ST_NOWAIT_EOF);
	if (tape->modes.locked && tape->door == PMTM_OPEN)
		tape->door = PMTM_LOCKED;
}

/* 0, 1 not ready, or -errno. */
int pmtm_load_state(struct pmtm_tape *tape, struct file *file, unsigned int mode)
{
	bool nonblock = file->f_flags & O_NONBLOCK;
	bool writes = file->f_mode & FMODE_WRITE;
	bool begins = mode != tape->mode;
	bool cleaning = tape->cleaning;
	struct pmt_result res;
	struct pmt_view view;
	int ret;

	pmt_unit_look(tape->unit, &tape->place, &view);
	tape->modes = view.modes;
	tape->mode = mode;
	tape->cleaning = false;
	ret = pmtm_become_ready(tape, nonblock, &res);
	if (ret)
		tape->cleaning |= cleaning;
	if (ret)
		return ret;
	if (res.status == PMT_STATUS_GOOD && res.place.generation != tape->session) {
		pmtm_new_session(tape, &res);
		begins = true;
	} else {
		tape->cleaning |= cleaning;
	}
	if (res.status != PMT_STATUS_GOOD) {
		pmtm_not_ready(tape, &res);
		return 1;
	}
	pmtm_take_medium(tape, &res);
	tape->read_only = tape->protected || !writes;
	if (tape->protected && writes && !nonblock)
		return -EROFS;
	return begins ? pmtm_session_defaults(tape) : 0;
}

/* ---- operations ---- */

static int pmtm_op_fsf(struct pmtm_tape *tape, int count)
{
	struct pmt_result res;
	int ret = pmtm_space(tape, PMT_SPACE_FILEMARKS, count, &res, PMTM_KILLABLE);

	return ret ?: pmtm_spaced_marks(tape, count, &res);
}

static int pmtm_op_bsf(struct pmtm_tape *tape, int count)
{
	struct pmt_result res;
	int ret = pmtm_space(tape, PMT_SPACE_FILEMARKS, -count, &res, PMTM_KILLABLE);

	return ret ?: pmtm_spaced_back(tape, count, &res);
}

static int pmtm_op_fsr(struct pmtm_tape *tape, int count)
{
	struct pmt_result res;
	int ret = pmtm_space(tape, PMT_SPACE_RECORDS, count, &res, PMTM_KILLABLE);

	return ret ?: pmtm_spaced_records(tape, count, &res);
}

static int pmtm_op_bsr(struct pmtm_tape *tape, int count)
{
	return pmtm_op_fsr(tape, -count);
}

/* After a reset the drive may be in another partition than the one wanted. */
static bool pmtm_partition_lost(const struct pmtm_tape *tape)
{
	return tape->lost && pmtm_option(tape, MT_ST_CAN_PARTITIONS);
}

static int pmtm_op_bsfm(struct pmtm_tape *tape, int count)
{
	return pmtm_op_bsf(tape, count) ?: pmtm_op_fsf(tape, 1);
}

static int pmtm_op_fsfm(struct pmtm_tape *tape, int count)
{
	return pmtm_op_fsf(tape, count) ?: pmtm_op_bsf(tape, 1);
}

/* Straight there; then nobody knows how many marks were passed. */
static int pmtm_fast_eom(struct pmtm_tape *tape)
{
	struct pmt_result res;
	int ret = pmtm_space(tape, PMT_SPACE_EOD, 0, &res, PMTM_KILLABLE);

	if (ret)
		return ret;
	if (res.status == PMT_STATUS_GOOD)
		tape->lost = false;
	if (!tape->lost)
		pmtm_at_eod(tape, -1);
	return res.status == PMT_STATUS_GOOD ? 0 : -EIO;
}

static int pmtm_op_eom(struct pmtm_tape *tape, int count)
{
	struct pmt_result res;
	int ret = 0;

	if (pmtm_partition_lost(tape))
		ret = pmtm_locate(tape, tape->partition_wanted, 0);
	if (ret)
		return ret;
	if (tape->lost || pmtm_option(tape, MT_ST_FAST_MTEOM))
		return pmtm_fast_eom(tape);
	ret = pmtm_space(tape, PMT_SPACE_FILEMARKS, PMTM_COUNT_MAX, &res,
			 PMTM_KILLABLE);
	if (ret)
		return ret;
	pmtm_spaced_marks(tape, PMTM_COUNT_MAX, &res);
	if (tape->lost)
		return -EIO;
	return tape->eof == PMTM_EOD3 ? 0 : pmtm_fast_eom(tape);
}

static int pmtm_write_marks(struct pmtm_tape *tape, int count, bool immediate)
{
	int ret;

	if (tape->read_only)
		return -EACCES;
	if (count < 0)
		return -EIO;
	ret = pmtm_marks(tape, count, immediate, PMTM_KILLABLE);
	return ret > 0 ? -EIO : ret;
}

static int pmtm_op_weof(struct pmtm_tape *tape, int count)
{
	return pmtm_write_marks(tape, count, pmtm_option(tape, MT_ST_NOWAIT_EOF));
}

static int pmtm_op_weofi(struct pmtm_tape *tape, int count)
{
	return pmtm_write_marks(tape, count, true);
}

static int pmtm_op_rew(struct pmtm_tape *tape, int count)
{
	if (pmtm_partition_lost(tape))
		return pmtm_locate(tape, tape->partition_wanted, 0);
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
	bool lost = tape->lost;
	int ret;

	if (tape->read_only)
		return -EACCES;
	cmd = pmtm_prepare(tape, PMT_OP_ERASE);
	cmd.argument = count != 0;
	ret = pmtm_command(tape, &cmd, &res, PMTM_KILLABLE);
	if (ret)
		return ret;
	tape->eof = PMTM_NONE;
	if (res.status != PMT_STATUS_GOOD)
		return -EIO;
	if (lost)
		tape->lost = false;
	return 0;
}

static int pmtm_op_seek(struct pmtm_tape *tape, int count)
{
	if (tape->ready != PMTM_READY)
		return -EIO;
	if (pmtm_option(tape, MT_ST_CAN_PARTITIONS))
		return pmtm_locate(tape, tape->partition_wanted, (u32)count);
	if (tape->partition_wanted)
		return -EINVAL;
	return pmtm_locate(tape, tape->place.partition, (u32)count);
}

static int pmtm_op_lock(struct pmtm_tape *tape, int count)
{
	return pmtm_set_door(tape, PMTM_LOCKED);
}

static int pmtm_op_unlock(struct pmtm_tape *tape, int count)
{
	return pmtm_set_door(tape, PMTM_OPEN);
}

/* The outcome of loading or unloading; the counters are void if it failed. */
static int pmtm_medium_changed(struct pmtm_tape *tape, int ret,
			       const struct pmt_result *res)
{
	if (ret == -EINTR)
		return ret;
	if (ret || res->status != PMT_STATUS_GOOD) {
		tape->file = -1;
		tape->block = -1;
		return ret ?: -EIO;
	}
	tape->lost = false;
	tape->trailer = false;
	return 0;
}

/*
 * A locked door is the drive's affair: under st it is the one that refuses.  No mark
 * is due any more, in any partition.
 */
static int pmtm_op_unload(struct pmtm_tape *tape, int count)
{
	struct pmt_command cmd = pmtm_prepare(tape, PMT_OP_UNLOAD);
	struct pmt_result res = {};
	int ret = -EIO;

	if (!tape->modes.locked || tape->no_lock)
		ret = pmtm_command(tape, &cmd, &res, PMTM_KILLABLE);
	ret = pmtm_medium_changed(tape, ret, &res);
	if (ret)
		return ret;
	tape->ready = PMTM_NO_TAPE;
	tape->rewind = false;
	pmtm_forget_partitions(tape);
	return 0;
}

/* Marks are written while the cartridge is there, the others' as that of its place. */
static int pmtm_op_offl(struct pmtm_tape *tape, int count)
{
	int ret = 0;

	if (tape->door != PMTM_OPEN)
		ret = pmtm_set_door(tape, PMTM_OPEN);
	if (ret >= 0)
		ret = pmtm_finish_partitions(tape, PMTM_KILLABLE);
	return ret < 0 ? ret : pmtm_op_unload(tape, count);
}

static int pmtm_op_load(struct pmtm_tape *tape, int count)
{
	struct pmt_command cmd = pmtm_prepare(tape, PMT_OP_LOAD);
	struct pmt_result res;
	int ret = pmtm_command(tape, &cmd, &res, PMTM_KILLABLE);

	ret = pmtm_medium_changed(tape, ret, &res);
	if (!ret)
		tape->session = 0;	/* begins when the medium was looked at */
	return ret;
}

static int pmtm_op_setpart(struct pmtm_tape *tape, int count)
{
	if (!pmtm_option(tape, MT_ST_CAN_PARTITIONS) || count < 0 ||
	    (u32)count >= PMTM_PARTITIONS)
		return -EINVAL;
	if ((u32)count >= tape->partitions)
		return tape->ready == PMTM_READY ? -EINVAL : -EIO;
	tape->partition_wanted = count;
	return 0;
}

/*
 * count MB for the second partition, or -count for the first; 0: one partition.
 * Who may not write may not do this either.
 */
static int pmtm_op_mkpart(struct pmtm_tape *tape, int count)
{
	struct pmt_command cmd;
	struct pmt_result res;
	int ret;

	if (!pmtm_option(tape, MT_ST_CAN_PARTITIONS) ||
	    count >= PMTM_PARTITION_MB_MAX || count <= -PMTM_PARTITION_MB_MAX)
		return -EINVAL;
	if (tape->ready != PMTM_READY)
		return -EIO;
	if (tape->read_only)
		return -EACCES;
	cmd = pmtm_prepare(tape, PMT_OP_FORMAT);
	cmd.argument = count ? 2 : 1;
	cmd.count = count;
	ret = pmtm_command(tape, &cmd, &res, PMTM_KILLABLE);
	if (ret)
		return ret;
	if (res.status != PMT_STATUS_GOOD)
		return -EIO;
	pmtm_new_session(tape, &res);
	tape->partitions = cmd.argument;
	return 0;
}

/* No drive of ours has set marks. */
static int pmtm_op_setmarks(struct pmtm_tape *tape, int count)
{
	tape->eof = PMTM_NONE;
	return -EIO;
}

static int pmtm_op_wsm(struct pmtm_tape *tape, int count)
{
	return tape->read_only ? -EACCES : pmtm_op_setmarks(tape, count);
}

/* Buffering itself, unless one of the top four bits says that it is an option. */
static int pmtm_op_setdrvbuffer(struct pmtm_tape *tape, int count)
{
	if ((u32)count & MT_ST_OPTIONS)
		return pmtm_set_options(tape, count);
	if (tape->ready != PMTM_READY)
		return tape->ready == PMTM_NO_TAPE ? -ENOMEDIUM : -EIO;
	return pmtm_set_buffering(tape, count);
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
	PMTM_STAYS = 1 << 7,		/* does not go to the partition that is wanted */
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
	[MTOFFL] = { pmtm_op_offl, PMTM_MARK_FIRST | PMTM_WHEN_LOST | PMTM_STAYS },
	[MTNOP] = { pmtm_op_nop, PMTM_KEEPS },
	[MTRETEN] = { pmtm_op_rew, PMTM_WHEN_LOST },
	[MTBSFM] = { pmtm_op_bsfm, PMTM_MARK_FIRST | PMTM_BACK | PMTM_COUNTS },
	[MTFSFM] = { pmtm_op_fsfm, PMTM_COUNTS },
	[MTEOM] = { pmtm_op_eom, PMTM_WHEN_LOST },
	[MTERASE] = { pmtm_op_erase, PMTM_WHEN_LOST },
	[MTSETBLK] = { pmtm_set_block_size, PMTM_KEEPS },
	[MTSETDENSITY] = { pmtm_set_density, PMTM_KEEPS },
	[MTSEEK] = { pmtm_op_seek, PMTM_MARK_FIRST | PMTM_WHEN_LOST | PMTM_ANY_TIME |
				  PMTM_STAYS },
	[MTSETDRVBUFFER] = { pmtm_op_setdrvbuffer,
			     PMTM_KEEPS | PMTM_ANY_TIME | PMTM_ADMIN | PMTM_STAYS },
	[MTFSS] = { pmtm_op_setmarks },
	[MTBSS] = { pmtm_op_setmarks },
	[MTWSM] = { pmtm_op_wsm, PMTM_KEEPS },
	[MTLOCK] = { pmtm_op_lock, PMTM_ANY_TIME | PMTM_STAYS },
	[MTUNLOCK] = { pmtm_op_unlock, PMTM_ANY_TIME | PMTM_STAYS },
	[MTLOAD] = { pmtm_op_load, PMTM_WHEN_LOST | PMTM_ANY_TIME | PMTM_STAYS },
	[MTUNLOAD] = { pmtm_op_unload, PMTM_STAYS },
	[MTCOMPRESSION] = { pmtm_set_compression, PMTM_ANY_TIME },
	[MTSETPART] = { pmtm_op_setpart, PMTM_KEEPS | PMTM_ANY_TIME | PMTM_STAYS },
	[MTMKPART] = { pmtm_op_mkpart, PMTM_ANY_TIME | PMTM_STAYS },
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

/*
 * May it be done as things are?  In a mode that nobody has defined st refuses
 * only what does not look like an option.
 */
static int pmtm_op_allowed(struct pmtm_tape *tape, const struct pmtm_operation *op,
			   int count)
{
	if (op->flags & PMTM_ADMIN && !capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (!tape->definitions[tape->mode].defined && !(op->flags & PMTM_ADMIN) &&
	    !(count & MT_ST_OPTIONS))
		return -ENXIO;
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
			return ret < 0 ? ret : -EIO;
		*count += !!(op->flags & PMTM_BACK);
	}
	ret = op->flags & PMTM_STAYS ? 0 : pmtm_switch_partition(tape);
	if (!(op->flags & PMTM_KEEPS))
		tape->direction = PMTM_IDLE;
	return ret;
}

static int pmtm_mtop(struct pmtm_tape *tape, struct file *file, void __user *arg)
{
	const struct pmtm_node *node = pmtm_node(file_inode(file));
	const struct pmtm_operation *op;
	struct mtop mtop;
	int count, ret;

	if (copy_from_user(&mtop, arg, sizeof(mtop)))
		return -EFAULT;
	op = pmtm_operation(mtop.mt_op);
	count = mtop.mt_count;
	ret = pmtm_op_allowed(tape, op, count);
	if (op->flags & PMTM_COUNTS)
		count = clamp(count, -PMTM_COUNT_MAX, PMTM_COUNT_MAX);
	if (!ret)
		ret = pmtm_op_before(tape, op, &count);
	if (ret)
		return ret;
	if (!op->run)
		return -ENOSYS;
	ret = op->run(tape, count);
	if (!ret && mtop.mt_op == MTLOAD) {
		tape->rewind = node->rewind;
		ret = min(pmtm_load_state(tape, file, node->mode), 0);
	}
	return ret;
}

/* ---- MTIOCGET, MTIOCPOS ---- */

static int pmtm_get(struct pmtm_tape *tape, void __user *arg)
{
	struct mtget get = {};
	int ret;

	if (!tape->definitions[tape->mode].defined)
		return -ENXIO;
	ret = pmtm_flush_state(tape);
	ret = ret ?: pmtm_switch_partition(tape);
	if (ret)
		return ret;
	get.mt_type = MT_ISSCSI2;
	if (tape->ready == PMTM_READY)
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

	if (!tape->definitions[tape->mode].defined)
		return -ENXIO;
	if (tape->lost || tape->ready != PMTM_READY)
		return -EIO;
	ret = pmtm_flush_state(tape);
	ret = ret ?: pmtm_switch_partition(tape);
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
		return pmtm_settle_left(tape) ?: pmtm_mtop(tape, file, arg);
	case MTIOCGET:
		return pmtm_get(tape, arg);
	case MTIOCPOS:
		return pmtm_pos(tape, arg);
	default:
		return pmtm_scsi(tape, code, arg);
	}
}
