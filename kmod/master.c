// SPDX-License-Identifier: GPL-2.0
/*
 * The master end: what open, read, write, close and the rest do before and
 * after the tape itself (tape.c) and its operations (mtio.c).
 *
 * A reader and a writer have .read and .write, not the _iter kind: as under st
 * each segment of readv and writev is a record.
 */
#include <linux/capability.h>
#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "pmtm.h"

/* One caller at a time.  -ERESTARTSYS on a signal. */
static int pmtm_enter(struct pmtm_tape *tape)
{
	int ret = wait_event_state(tape->wait,
				   !test_and_set_bit_lock(PMTM_BUSY, &tape->flags),
				   PMT_INTERRUPTIBLE);

	if (!ret)
		pmtm_heed_abort(tape);
	return ret;
}

static void pmtm_leave(struct pmtm_tape *tape)
{
	clear_bit_unlock(PMTM_BUSY, &tape->flags);
	smp_mb__after_atomic();		/* pairs with prepare_to_wait in pmtm_enter */
	wake_up(&tape->wait);
}

/* ---- open ---- */

/*
 * Would it be waited for here?  Where something failed, the rest waits for a look at
 * it, which may be the only one that is ever taken.
 */
static bool pmtm_last_waits(struct pmtm_tape *tape)
{
	struct pmt_view view;

	pmt_unit_look(tape->unit, &tape->place, &view);
	if (view.state != PMT_STATE_SERVED)
		return true;
	if (!tape->owed || !view.waiting)
		return false;
	if (view.stuck && !pmtm_reap(tape))
		pmtm_discard(tape);
	return true;
}

/*
 * Whoever exited last has left his closing in the ring: it is to be done first,
 * and if it failed, this open is the one that is told.
 */
static int pmtm_settle_last(struct pmtm_tape *tape, bool nonblock)
{
	u32 last = pmt_unit_issued(tape->unit) - 1;
	int ret;

	tape->holding = false;
	if (nonblock && pmtm_last_waits(tape))
		return -EBUSY;
	ret = pmt_unit_wait_served(tape->unit);
	if (!ret)
		ret = pmtm_wait_done(tape, last, PMT_INTERRUPTIBLE);
	if (ret)
		return ret;
	pmtm_heed_abort(tape);
	tape->owed = false;
	ret = pmtm_deferred(tape);
	if (!ret && tape->rewind_owed && !tape->lost) {
		/* An exception before it had it cancelled. */
		ret = pmtm_rewind(tape, PMTM_INTERRUPTIBLE);
		if (ret != -EINTR) {
			tape->rewind_owed = false;
			ret = 0;
		}
	}
	return ret;
}

static int pmtm_opened(struct pmtm_tape *tape, struct file *file,
		       const struct pmtm_node *node)
{
	bool nonblock = file->f_flags & O_NONBLOCK;
	int ret;

	while ((ret = pmt_unit_open(tape->unit)) == -EAGAIN) {
		ret = nonblock ? -EBUSY : pmt_unit_wait_served(tape->unit);
		if (ret)
			break;
	}
	if (ret)
		return ret == -ERESTARTSYS ? -EINTR : ret;
	ret = pmtm_settle_last(tape, nonblock);
	if (ret)
		goto err_close;
	tape->direction = PMTM_IDLE;
	tape->rewind = node->rewind;
	tape->flushed = false;
	tape->trailer = false;
	tape->positioned = true;
	memset(tape->left_writing, 0, sizeof(tape->left_writing));
	ret = pmtm_load_state(tape, file, node->mode);
	if (ret > 0)
		ret = nonblock ? 0 : tape->ready == PMTM_NO_TAPE ? -ENOMEDIUM : -EIO;
	if (ret)
		goto err_close;
	/* What was not done by now is nobody's wish any more. */
	tape->rewind_owed = false;
	return 0;

err_close:
	pmt_unit_close(tape->unit);
	return ret == -ERESTARTSYS ? -EINTR : ret;
}

static int pmtm_open(struct inode *inode, struct file *file)
{
	struct pmtm_node *node = pmtm_node(inode);
	struct pmtm_tape *tape = node->tape;
	int ret;

	if (test_and_set_bit(PMTM_IN_USE, &tape->flags))
		return -EBUSY;
	ret = pmtm_opened(tape, file, node);
	if (ret) {
		clear_bit(PMTM_IN_USE, &tape->flags);
		return ret;
	}
	kref_get(&tape->kref);
	file->private_data = tape;
	file->f_mode &= ~(FMODE_PREAD | FMODE_PWRITE);
	return 0;
}

/* ---- close ---- */

/*
 * The last close of the file.  Its result is what close(2) returns, so it is
 * done here and not in release.  A task that exits can not be killed out of a
 * wait: it queues what is to be done.
 */
static int pmtm_flush(struct file *file, fl_owner_t id)
{
	struct pmtm_tape *tape = file->private_data;
	bool exiting = current->flags & PF_EXITING;
	int ret;

	if (file_count(file) > 1)
		return 0;
	if (wait_event_state(tape->wait,
			     !test_and_set_bit_lock(PMTM_BUSY, &tape->flags),
			     PMT_KILLABLE))
		return -EINTR;
	ret = pmtm_finish(tape, exiting ? PMTM_QUEUE : PMTM_KILLABLE);
	if (ret == -EINTR)
		pmtm_finish(tape, PMTM_QUEUE);
	tape->flushed = true;
	pmtm_leave(tape);
	return ret;
}

/* Where flush was not called last (a thread was inside), or was killed. */
static int pmtm_release(struct inode *inode, struct file *file)
{
	struct pmtm_tape *tape = file->private_data;

	if (!tape->flushed)
		pmtm_finish(tape, PMTM_QUEUE);
	pmt_unit_close(tape->unit);
	clear_bit(PMTM_IN_USE, &tape->flags);
	pmtm_tape_put(tape);
	return 0;
}

/* ---- read and write ---- */

static int pmtm_usable(struct pmtm_tape *tape)
{
	if (tape->ready != PMTM_READY)
		return tape->ready == PMTM_NO_TAPE ? -ENOMEDIUM : -EIO;
	if (!tape->definitions[tape->mode].defined)
		return -ENXIO;
	if (!tape->lost)
		return 0;
	pmtm_deferred(tape);	/* the same loss, told by this */
	return -EIO;
}

/* In variable mode the drives' limits decide. */
static int pmtm_size_allowed(struct pmtm_tape *tape, size_t count)
{
	struct pmt_view view;

	if (tape->modes.block_size)
		return 0;
	pmt_unit_look(tape->unit, &tape->place, &view);
	if (pmtm_option(tape, MT_ST_NO_BLKLIMS))
		return count > min(view.data_size, PMT_RECORD_MAX) ? -EOVERFLOW : 0;
	return count < view.limits.record_min || count > view.limits.record_max ?
	       -EINVAL : 0;
}

/* What st checks and does before any transfer; count is not 0. */
static int pmtm_before_transfer(struct pmtm_tape *tape, size_t count)
{
	int ret = pmtm_settle_left(tape);

	ret = ret ?: pmtm_switch_partition(tape);
	ret = ret ?: pmtm_size_allowed(tape, count);
	if (ret)
		return ret;
	if (pmtm_option(tape, MT_ST_AUTO_LOCK) && tape->door == PMTM_OPEN)
		ret = min(pmtm_set_door(tape, PMTM_LOCKED_AUTO), 0);
	return tape->lost ? -EIO : ret;
}

static bool pmtm_whole_blocks(const struct pmtm_tape *tape, size_t count)
{
	return !tape->modes.block_size || count % tape->modes.block_size == 0;
}

/* Defaults may change the block size under the count that was looked at. */
static int pmtm_before_write(struct pmtm_tape *tape, size_t count)
{
	int ret = pmtm_before_transfer(tape, count);

	if (!ret && !pmtm_whole_blocks(tape, count))
		ret = -EINVAL;
	if (!ret && tape->read_only)
		ret = -EACCES;
	ret = ret ?: pmtm_write_defaults(tape);
	ret = ret ?: pmtm_size_allowed(tape, count);
	if (!ret && !pmtm_whole_blocks(tape, count))
		ret = -EINVAL;
	return ret;
}

static ssize_t pmtm_write(struct file *file, const char __user *from, size_t count,
			  loff_t *pos)
{
	struct pmtm_tape *tape = file->private_data;
	ssize_t ret = pmtm_enter(tape);

	if (ret)
		return ret;
	ret = pmtm_usable(tape);
	if (ret || !count)
		goto out;
	ret = pmtm_before_write(tape, count);
	if (ret)
		goto out;
	tape->flushed = false;
	ret = pmtm_write_data(tape, from, count);
out:
	pmtm_leave(tape);
	return ret;
}

static ssize_t pmtm_read(struct file *file, char __user *to, size_t count,
			 loff_t *pos)
{
	struct pmtm_tape *tape = file->private_data;
	ssize_t ret = pmtm_enter(tape);

	if (ret)
		return ret;
	ret = pmtm_usable(tape);
	if (ret || !count)
		goto out;
	ret = pmtm_before_transfer(tape, count);
	if (!ret && !pmtm_whole_blocks(tape, count) &&
	    !pmtm_option(tape, MT_ST_READ_AHEAD))
		ret = -EINVAL;
	if (!ret)
		ret = pmtm_read_data(tape, to, count);
out:
	pmtm_leave(tape);
	return ret;
}

static long pmtm_ioctl(struct file *file, unsigned int code, unsigned long arg)
{
	struct pmtm_tape *tape = file->private_data;
	long ret = pmtm_enter(tape);

	if (ret)
		return ret;
	ret = pmtm_mtio(tape, file, code, (void __user *)arg);
	pmtm_leave(tape);
	return ret;
}

#ifdef CONFIG_COMPAT
/* mtget and mtpos are of longs; what is copied out knows of its caller. */
static long pmtm_compat_ioctl(struct file *file, unsigned int code, unsigned long arg)
{
	if (code == MTIOCGET32)
		code = MTIOCGET;
	else if (code == MTIOCPOS32)
		code = MTIOCPOS;
	return pmtm_ioctl(file, code, (unsigned long)compat_ptr(arg));
}
#endif

/* No poll: as st, which is always ready.  tar must be able to seek, to 0. */
const struct file_operations pmtm_fops = {
	.owner = THIS_MODULE,
	.open = pmtm_open,
	.flush = pmtm_flush,
	.release = pmtm_release,
	.read = pmtm_read,
	.write = pmtm_write,
	.unlocked_ioctl = pmtm_ioctl,
#ifdef CONFIG_COMPAT
	.compat_ioctl = pmtm_compat_ioctl,
#endif
	.llseek = noop_llseek,
};
