// SPDX-License-Identifier: GPL-2.0
/*
 * The tape: motion, writing, reading and closing, as commands of the ring
 * (command.c) whose results position.c understands.
 *
 * Writing is acknowledged when the record is in the ring, or when the drives
 * have it: pmtm_flow decides, before each record, from what the server promised.
 * Reading keeps a few records read ahead; all else drops them.
 */
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>

#include "pmtm.h"

/* ---- the drive ---- */

int pmtm_test(struct pmtm_tape *tape, struct pmt_result *res)
{
	struct pmt_place place = tape->place;
	struct pmt_command cmd = pmtm_prepare(tape, PMT_OP_TEST);
	int ret = pmtm_command(tape, &cmd, res, PMTM_INTERRUPTIBLE);

	/* It tells where the drive is, which may be ahead of us. */
	if (!ret && res->place.generation == tape->session && !tape->lost)
		tape->place = place;
	return ret;
}

/*
 * What MODE SELECT would do; the unit keeps it when the server has taken it.
 * 0, PMTM_REFUSED, or -errno, which may be of what was acknowledged before.
 */
int pmtm_set_modes(struct pmtm_tape *tape, const struct pmt_modes *modes,
		   struct pmt_result *res)
{
	struct pmt_command cmd = pmtm_prepare(tape, PMT_OP_MODE);
	struct pmt_place place = tape->place;
	int ret;

	cmd.modes = *modes;
	ret = pmtm_command(tape, &cmd, res, PMTM_KILLABLE);
	if (ret)
		return ret;
	if (!tape->lost && res->place.generation == place.generation)
		tape->place = place;
	if (res->status != PMT_STATUS_GOOD)
		return PMTM_REFUSED;
	tape->modes = *modes;
	return 0;
}

/* ---- motion ---- */

static int pmtm_rewind_queued(struct pmtm_tape *tape)
{
	struct pmt_command cmd = pmtm_prepare(tape, PMT_OP_REWIND);
	int ret;

	pmtm_stop_ahead(tape);
	tape->rewind_owed = true;
	ret = pmtm_issue(tape, &cmd, PMTM_QUEUE);
	if (ret)
		return ret;
	tape->place.lbn = 0;
	tape->place.file = 0;
	tape->place.block = 0;
	tape->left_at[tape->partition_wanted] = 0;
	pmtm_at_beginning(tape);
	return 0;
}

int pmtm_rewind(struct pmtm_tape *tape, enum pmtm_wait how)
{
	struct pmt_command cmd = pmtm_prepare(tape, PMT_OP_REWIND);
	struct pmt_result res;
	int ret;

	if (how == PMTM_QUEUE)
		return pmtm_rewind_queued(tape);
	ret = pmtm_command(tape, &cmd, &res, how);
	if (ret)
		return ret;
	if (res.status != PMT_STATUS_GOOD) {
		pmtm_moved_nothing(tape, &res);
		return -EIO;
	}
	pmtm_at_beginning(tape);
	return 0;
}

int pmtm_space(struct pmtm_tape *tape, u32 kind, s64 count, struct pmt_result *res,
	       enum pmtm_wait how)
{
	struct pmt_command cmd = pmtm_prepare(tape, PMT_OP_SPACE);

	cmd.argument = kind;
	cmd.count = count;
	if (kind == PMT_SPACE_EOD)
		cmd.flags &= ~PMT_CMD_HERE;
	tape->trailer = false;
	return pmtm_command(tape, &cmd, res, how);
}

/* In another partition st does not tell where, but at its beginning. */
int pmtm_locate(struct pmtm_tape *tape, u32 partition, u64 lbn)
{
	struct pmt_command cmd = pmtm_prepare(tape, PMT_OP_LOCATE);
	u32 from = tape->place.partition;
	u64 left = tape->place.lbn;
	struct pmt_result res;
	int ret;

	cmd.count = lbn;
	cmd.argument = partition;
	tape->trailer = false;
	ret = pmtm_command(tape, &cmd, &res, PMTM_KILLABLE);
	if (ret)
		return ret;
	pmtm_left(tape, from, left);
	pmtm_no_position(tape);
	if (res.status != PMT_STATUS_GOOD)
		return -EIO;
	tape->lost = false;
	if (!lbn)
		pmtm_at_beginning(tape);
	return 0;
}

/*
 * To where MTSETPART has said, before anything else moves.  A filemark that is
 * due at close stays due, in the partition that it belongs to.
 */
int pmtm_switch_partition(struct pmtm_tape *tape)
{
	u32 wanted = tape->partition_wanted, from = tape->place.partition;
	bool due = tape->left_writing[wanted];
	int ret;

	if (!pmtm_option(tape, MT_ST_CAN_PARTITIONS) || tape->ready != PMTM_READY ||
	    tape->lost || wanted == from)
		return 0;
	ret = pmtm_locate(tape, wanted, tape->left_at[wanted]);
	if (ret)
		return ret;
	tape->direction = due ? PMTM_WRITING : PMTM_IDLE;
	return 0;
}

/* ---- writing ---- */

static u64 pmtm_cost(const struct pmt_limits *limits, u64 bytes, u64 records, u64 marks)
{
	return ((bytes * limits->byte_cost + 255) >> 8) +
	       records * limits->record_cost + marks * limits->mark_cost;
}

enum pmtm_flow { PMTM_BUFFERED, PMTM_WAIT_SOME, PMTM_WAIT_ALL, PMTM_UNBUFFERED };

/*
 * May the next command, of that cost, be acknowledged before it is done?  Never
 * from early warning on; not if the drives could meet it with this one (they
 * told their room, or keep at least a window of it); nor where a write-once medium
 * may refuse it for its place, which a drive tells at once.
 */
static enum pmtm_flow pmtm_flow(struct pmtm_tape *tape, const struct pmt_view *view,
				u32 length, u32 records, u32 marks)
{
	u64 total = pmtm_cost(&view->limits, tape->pending_bytes + length,
			      tape->pending_records + records,
			      tape->pending_marks + marks);

	tape->largest = max(tape->largest,
			    pmtm_cost(&view->limits, length, records, marks));
	if (!tape->modes.buffered || !view->limits.window || view->early_warning ||
	    tape->eof == PMTM_EW || tape->eof == PMTM_EOD1 || tape->trailer ||
	    (tape->write_once && tape->positioned) ||
	    (view->room != PMT_UNKNOWN && total > view->room))
		return tape->pending ? PMTM_WAIT_ALL : PMTM_UNBUFFERED;
	if (view->limits.window == PMT_UNKNOWN ||
	    total + tape->largest <= view->limits.window)
		return PMTM_BUFFERED;
	return tape->pending ? PMTM_WAIT_SOME : PMTM_UNBUFFERED;
}

/*
 * Until there is room for the next command and it is clear how it is to be
 * written.  It is to be issued before anything else is looked at: its place and
 * this decision are of one moment.  Flow, or -errno.
 */
static int pmtm_write_flow(struct pmtm_tape *tape, u32 length, u32 records, u32 marks)
{
	for (;;) {
		enum pmtm_flow flow;
		struct pmt_view view;
		int ret;

		ret = pmtm_make_room(tape, length, PMTM_KEEP);
		ret = ret ?: pmtm_deferred(tape);
		if (ret)
			return ret;
		pmt_unit_look(tape->unit, &tape->place, &view);
		flow = pmtm_flow(tape, &view, length, records, marks);
		if (flow == PMTM_BUFFERED || flow == PMTM_UNBUFFERED) {
			/* Only now: who sees ENOSPC has all that was acknowledged. */
			ret = records ? pmtm_at_end(tape, view.eot) : 0;
			return ret ?: flow;
		}
		ret = flow == PMTM_WAIT_SOME ? pmt_unit_wait_half(tape->unit) :
		      pmtm_wait_done(tape, pmt_unit_issued(tape->unit) - 1,
				     PMT_KILLABLE);
		if (ret)
			return ret == -ERESTARTSYS ? -EINTR : ret;
	}
}

/* A WRITE in the ring, until the drives have it: records written, or -errno. */
static int pmtm_write_through(struct pmtm_tape *tape, struct pmt_command *cmd)
{
	u32 records = pmt_command_blocks(cmd);
	struct pmt_result res;
	int ret;

	pmtm_hold(tape, cmd->number);
	ret = pmtm_await(tape, cmd, &res, PMTM_KILLABLE);
	if (ret == -EINTR) {
		/* Killed; the record is in the ring, and its mark will follow. */
		pmtm_acknowledge(tape, cmd);
		pmtm_acknowledged_record(tape, records);
	}
	if (ret)
		return ret;
	if (res.status == PMT_STATUS_CANCELLED)
		return pmtm_cancelled(tape);
	tape->place = res.place;
	if (res.status == PMT_STATUS_CHECK)
		pmtm_discard(tape);
	ret = pmtm_wrote(tape, cmd, &res);
	pmtm_look(tape, &res);
	return ret;
}

/* Into the ring, as was decided when nothing has changed since: flow, or -errno. */
static int pmtm_write_issue(struct pmtm_tape *tape, struct pmt_command *cmd,
			    const char __user *from, u32 length)
{
	int flow, ret;

	do {
		u32 size = tape->modes.block_size;

		flow = pmtm_write_flow(tape, length, size ? length / size : 1, 0);
		if (flow < 0)
			return flow;
		*cmd = pmtm_prepare(tape, PMT_OP_WRITE);
		cmd->length = length;
		ret = pmtm_send(tape, cmd, from);
		if (ret == -EAGAIN && fatal_signal_pending(current))
			ret = -EINTR;
	} while (ret == -EAGAIN);
	return ret ?: flow;
}

/* One WRITE command: records written, or -errno. */
static int pmtm_write_one(struct pmtm_tape *tape, const char __user *from, u32 length)
{
	u32 records = tape->modes.block_size ? length / tape->modes.block_size : 1;
	u64 since = ktime_get_ns();
	struct pmt_command cmd;
	int flow, ret;

	flow = pmtm_write_issue(tape, &cmd, from, length);
	if (flow < 0)
		return flow;
	/* Not before: what never reached the drive gets no filemark at close. */
	tape->direction = PMTM_WRITING;
	if (flow == PMTM_BUFFERED) {
		pmtm_acknowledge(tape, &cmd);
		pmtm_acknowledged_record(tape, records);
		ret = records;
	} else {
		ret = pmtm_write_through(tape, &cmd);
	}
	pmtm_waited(tape, &tape->stats.write_ns, since);
	return ret;
}

/* The largest command in fixed mode: a whole number of blocks. */
static u32 pmtm_chunk(struct pmtm_tape *tape)
{
	struct pmt_view view;
	u32 size = tape->modes.block_size;

	pmt_unit_look(tape->unit, &tape->place, &view);
	return max(min_t(u32, PMT_RECORD_MAX, view.data_size / 4) / size, 1u) * size;
}

ssize_t pmtm_write_data(struct pmtm_tape *tape, const char __user *from, size_t count)
{
	u32 size = tape->modes.block_size;
	size_t done = 0;
	u32 chunk;
	int ret;

	pmtm_stop_ahead(tape);
	tape->rest.from = tape->rest.to;
	if (tape->eof == PMTM_FM_PENDING)
		tape->eof = PMTM_NONE;
	if (tape->direction == PMTM_READING)
		tape->direction = PMTM_IDLE;
	if (!size) {
		ret = pmtm_write_one(tape, from, count);
		return ret < 0 ? ret : count;
	}
	chunk = pmtm_chunk(tape);
	while (done < count) {
		u32 length = min_t(size_t, count - done, chunk);

		if (done && (tape->eof == PMTM_EW || tape->eof == PMTM_EWERR))
			break;
		ret = pmtm_write_one(tape, from + done, length);
		if (ret < 0 && !done)
			return ret;
		if (ret < 0) {
			/* The count is told now, the error by the next call. */
			if (ret == -EIO)
				tape->deferred = ret;
			if (ret == -ENOSPC && tape->eof == PMTM_EOD1)
				tape->eof = PMTM_EW;
			break;
		}
		done += (size_t)ret * size;
		if ((size_t)ret * size != length)
			break;
	}
	return done;
}

/* ---- marks ---- */

/* They are in the ring, and count. */
static void pmtm_marks_acknowledged(struct pmtm_tape *tape, const struct pmt_command *cmd)
{
	pmtm_acknowledge(tape, cmd);
	pmtm_pass_marks(&tape->place, cmd->count);
	pmtm_marked(tape, cmd->count);
}

/* Immediately: as soon as the drives have them, or what is promised for a record. */
static int pmtm_marks_immediate(struct pmtm_tape *tape, struct pmt_command *cmd)
{
	int ret;

	cmd->flags |= PMT_CMD_IMMEDIATE;
	ret = pmtm_send(tape, cmd, NULL);
	if (!ret)
		pmtm_marks_acknowledged(tape, cmd);
	return ret == -EAGAIN && fatal_signal_pending(current) ? -EINTR : ret;
}

static int pmtm_marks_queued(struct pmtm_tape *tape, u32 count)
{
	struct pmt_command cmd = pmtm_prepare(tape, PMT_OP_WRITE_FILEMARKS);
	int ret;

	cmd.count = count;
	ret = pmtm_issue(tape, &cmd, PMTM_QUEUE);
	if (!ret)
		pmtm_marks_acknowledged(tape, &cmd);
	return ret;
}

/* Every copy has them, and all before them, durably.  Early warning is success. */
static int pmtm_marks_through(struct pmtm_tape *tape, struct pmt_command *cmd,
			      enum pmtm_wait how)
{
	u32 count = cmd->count;
	struct pmt_result res;
	int ret = pmtm_command(tape, cmd, &res, how);

	if (ret)
		return ret;
	if (res.status == PMT_STATUS_CHECK) {
		if (!tape->lost)
			pmtm_marks_failed(tape, count, &res);
		return PMTM_REFUSED;
	}
	pmtm_marked(tape, count);
	return 0;
}

/* At once, or when all is on tape: that may change until they are in the ring. */
static int pmtm_marks_now(struct pmtm_tape *tape, u32 count, bool immediate,
			  enum pmtm_wait how)
{
	int ret;

	do {
		struct pmt_command cmd;

		if (immediate) {
			ret = pmtm_write_flow(tape, 0, 0, count);
			if (ret < 0)
				return ret;
			immediate = ret == PMTM_BUFFERED;
		}
		cmd = pmtm_prepare(tape, PMT_OP_WRITE_FILEMARKS);
		cmd.count = count;
		ret = immediate ? pmtm_marks_immediate(tape, &cmd) :
				  pmtm_marks_through(tape, &cmd, how);
	} while (ret == -EAGAIN);
	return ret;
}

/*
 * Filemarks.  count 0 only makes durable.  Behind early warning, with eot=hold,
 * they open the way for trailers.  0, PMTM_REFUSED, or -errno, which may be of
 * what was acknowledged before.
 */
int pmtm_marks(struct pmtm_tape *tape, u32 count, bool immediate,
	       enum pmtm_wait how)
{
	bool early = tape->eof == PMTM_EW || tape->eof == PMTM_EOD1 || tape->trailer;
	struct pmt_view view;
	int ret;

	pmtm_stop_ahead(tape);
	if (how == PMTM_QUEUE)
		ret = pmtm_marks_queued(tape, count);
	else
		ret = pmtm_marks_now(tape, count, immediate, how);
	if (ret)
		return ret;
	tape->direction = PMTM_IDLE;	/* close owes no mark any more */
	pmt_unit_look(tape->unit, &tape->place, &view);
	tape->trailer = count && view.eot == PMT_EOT_HOLD &&
			(early || view.early_warning);
	return 0;
}

/* ---- reading ---- */

/* What was read ahead is not wanted; the next command names its place. */
void pmtm_stop_ahead(struct pmtm_tape *tape)
{
	tape->ahead.depth = 0;
	/* A reader that was killed may have left it, with nothing ahead. */
	tape->holding = false;
	if (tape->ahead.count)
		pmtm_discard(tape);
}

static int pmtm_read_issue(struct pmtm_tape *tape, bool ahead)
{
	struct pmt_command cmd = pmtm_prepare(tape, PMT_OP_READ);
	int ret;

	cmd.length = tape->ahead.length;
	cmd.place = tape->ahead.next;
	if (ahead)
		cmd.flags |= PMT_CMD_AHEAD;
	ret = ahead ? pmtm_send(tape, &cmd, NULL) :
	      pmtm_issue(tape, &cmd, PMTM_KILLABLE);
	if (ret)
		return ret;
	if (!tape->ahead.count++)
		tape->ahead.first = cmd.number;
	pmtm_advance(&tape->ahead.next, pmt_command_blocks(&cmd));
	return 0;
}

/*
 * Have a READ of that length in the ring, and behind it as many more as the
 * application's steady reading deserves.
 */
static int pmtm_read_ahead(struct pmtm_tape *tape, u32 length)
{
	struct pmtm_ahead *ahead = &tape->ahead;
	int ret;

	if (ahead->count && (ahead->length != length ||
			     ahead->block_size != tape->modes.block_size))
		pmtm_stop_ahead(tape);
	if (!ahead->count) {
		ahead->length = length;
		ahead->block_size = tape->modes.block_size;
		ahead->next = tape->place;
		ret = pmtm_read_issue(tape, false);
		if (ret)
			return ret;
	}
	pmtm_hold(tape, ahead->first);
	if (!pmtm_option(tape, MT_ST_READ_AHEAD) || tape->place.lbn == PMT_UNKNOWN)
		return 0;
	/* By halves: a server that is faster is not woken for each. */
	if (ahead->count > max(1U, ahead->filled / 2))
		return 0;
	pmt_unit_plug(tape->unit);
	while (ahead->count < ahead->depth &&
	       pmt_unit_fits(tape->unit, length, 4 * PMTM_KEEP))
		if (pmtm_read_issue(tape, true))
			break;
	pmt_unit_unplug(tape->unit);
	ahead->filled = ahead->count;
	return 0;
}

/*
 * The result of the oldest READ: how many bytes are there for the caller.  An
 * exception with bytes before it is remembered in tape->eof and the place.
 */
static int pmtm_read_result(struct pmtm_tape *tape, const struct pmt_command *cmd,
			    const struct pmt_result *res, u32 *bytes)
{
	u32 blocks = pmt_command_blocks(cmd);

	*bytes = 0;
	if (res->status == PMT_STATUS_CANCELLED) {
		pmtm_discard(tape);
		return pmtm_cancelled(tape);
	}
	tape->place = res->place;
	pmtm_look(tape, res);
	if (res->status == PMT_STATUS_CHECK) {
		pmtm_discard(tape);
		if (cmd->block_size) {
			blocks -= res->residue;
			*bytes = blocks * cmd->block_size;
		}
		return pmtm_read_check(tape, cmd, res, blocks);
	}
	*bytes = cmd->length - res->residue;
	pmtm_read_records(tape, blocks);
	tape->ahead.depth = clamp(tape->ahead.depth * 2, 2u, PMTM_AHEAD_MAX);
	return 0;
}

/* Room for what of the last block the caller does not ask for. */
static int pmtm_reserve_rest(struct pmtm_tape *tape)
{
	struct pmtm_rest *rest = &tape->rest;
	char *bytes;

	if (rest->size >= tape->modes.block_size)
		return 0;
	bytes = kvmalloc(tape->modes.block_size, GFP_KERNEL_ACCOUNT);
	if (!bytes)
		return -ENOMEM;
	kvfree(rest->bytes);
	rest->bytes = bytes;
	rest->size = tape->modes.block_size;
	return 0;
}

static void pmtm_keep_rest(struct pmtm_tape *tape, const char *from, u32 length)
{
	struct pmtm_rest *rest = &tape->rest;

	memcpy(rest->bytes, from, length);
	rest->from = 0;
	rest->to = length;
}

/* One READ command of length bytes, of which the caller gets up to count. */
static int pmtm_read_one(struct pmtm_tape *tape, char __user *to, u32 length,
			 u32 count)
{
	u64 since = ktime_get_ns();
	u32 number, bytes, given;
	struct pmt_command cmd;
	struct pmt_result res;
	int ret;

	ret = pmtm_read_ahead(tape, length);
	if (ret)
		return ret;
	number = tape->ahead.first;
	if (tape->ahead.count > 2 && !pmt_unit_done(tape->unit, number))
		pmt_unit_linger(tape->unit, number + tape->ahead.count / 2);
	ret = pmtm_wait_done(tape, number, PMT_KILLABLE);
	if (ret)
		return ret;
	if (!pmt_unit_oldest(tape->unit, &cmd, &res) || cmd.number != number)
		return -EIO;
	/* An exception before it was met meanwhile: it is not wanted. */
	if (!tape->ahead.count)
		res.status = PMT_STATUS_CANCELLED;
	else
		tape->ahead.count--;
	tape->ahead.first++;
	ret = pmtm_read_result(tape, &cmd, &res, &bytes);
	if (ret < 0)
		bytes = 0;
	/* An exception has dropped what was read ahead: then nothing is held. */
	tape->held = tape->ahead.first;
	tape->holding = tape->ahead.count;
	given = min(bytes, count);
	if (given && copy_to_user(to, pmt_unit_data(tape->unit, &cmd), given))
		ret = -EFAULT;
	else if (bytes > given)
		pmtm_keep_rest(tape, pmt_unit_data(tape->unit, &cmd) + given,
			       bytes - given);
	pmtm_retire(tape, &cmd, &res);
	pmtm_waited(tape, &tape->stats.read_ns, since);
	return ret ?: given;
}

static ssize_t pmtm_take_rest(struct pmtm_tape *tape, char __user *to, size_t count)
{
	struct pmtm_rest *rest = &tape->rest;
	size_t length = min_t(size_t, count, rest->to - rest->from);

	if (length && copy_to_user(to, rest->bytes + rest->from, length))
		return -EFAULT;
	rest->from += length;
	return length;
}

/* In fixed mode a read is a number of blocks, then the rest of one is kept. */
static ssize_t pmtm_read_fixed(struct pmtm_tape *tape, char __user *to, size_t count)
{
	u32 size = tape->modes.block_size;
	u32 chunk = pmtm_chunk(tape);
	ssize_t taken;
	size_t done;

	/* First: what is taken, or lost where the tape moves, can not be read again. */
	if (fault_in_safe_writeable(to, 1) || fault_in_safe_writeable(to + count - 1, 1))
		return -EFAULT;
	taken = pmtm_take_rest(tape, to, count);
	if (taken < 0)
		return taken;
	done = taken;
	if ((count - done) % size && pmtm_reserve_rest(tape))
		return done ?: -ENOMEM;
	while (done < count) {
		u32 wanted = min_t(size_t, count - done, chunk);
		u32 length = DIV_ROUND_UP(wanted, size) * size;
		int ret;

		tape->given = done;
		ret = pmtm_read_one(tape, to + done, length, wanted);
		if (ret < 0)
			return done ?: ret;
		done += ret;
		if (ret != wanted || tape->eof == PMTM_FM_PENDING)
			break;
	}
	return done;
}

/*
 * Before the first READ behind buffered writes: they must be done, as dropping
 * what was read ahead cancels everything that was issued before.
 */
static int pmtm_turn_to_reading(struct pmtm_tape *tape)
{
	int ret;

	pmtm_reap(tape);
	if (tape->pending) {
		ret = pmtm_wait_done(tape, pmt_unit_issued(tape->unit) - 1,
				     PMT_KILLABLE);
		if (ret)
			return ret;
	}
	return pmtm_deferred(tape);
}

ssize_t pmtm_read_data(struct pmtm_tape *tape, char __user *to, size_t count)
{
	int ret;

	if (!tape->ahead.count) {
		ret = pmtm_turn_to_reading(tape);
		if (ret)
			return ret;
	}
	tape->direction = PMTM_READING;
	tape->trailer = false;
	if (tape->rest.from == tape->rest.to) {
		ret = pmtm_read_known(tape);
		if (ret <= 0)
			return ret;
	}
	if (tape->modes.block_size)
		return pmtm_read_fixed(tape, to, count);
	return pmtm_read_one(tape, to, count, count);
}

/* ---- closing ---- */

/* System V style: closing behind a read goes to the start of the next file. */
static int pmtm_finish_reading(struct pmtm_tape *tape, enum pmtm_wait how)
{
	struct pmt_result res;
	int ret;

	if (tape->eof == PMTM_FM_PENDING)
		return pmtm_read_known(tape);
	if (tape->eof != PMTM_NONE || how == PMTM_QUEUE)
		return 0;
	ret = pmtm_space(tape, PMT_SPACE_FILEMARKS, 1, &res, how);
	if (ret)
		return ret;
	if (res.status != PMT_STATUS_GOOD)
		return -EIO;	/* the counters stay, as under st */
	return pmtm_read_mark(tape);
}

static int pmtm_finish_writing(struct pmtm_tape *tape, enum pmtm_wait how)
{
	u32 marks = pmtm_option(tape, MT_ST_TWO_FM) ? 2 : 1;
	bool immediate = pmtm_option(tape, MT_ST_NOWAIT_EOF);
	int file = tape->file, block = tape->block, ret;
	enum pmtm_eof eof = tape->eof;

	ret = pmtm_deferred(tape);
	if (ret)
		return ret;
	ret = pmtm_marks(tape, marks, immediate, how);
	if (ret == PMTM_REFUSED && !tape->lost) {
		tape->file = file;
		tape->block = block;
		tape->eof = eof;
	}
	if (ret)
		return ret < 0 ? ret : -EIO;
	tape->eof = PMTM_AT_FM;
	if (marks == 2) {
		/* Between the two: no motion, the next command names the place. */
		tape->place.lbn -= tape->place.lbn != PMT_UNKNOWN;
		tape->place.file -= tape->place.file != PMT_UNKNOWN;
		tape->file -= tape->file > 0;
		tape->positioned = true;
	}
	return 0;
}

/* Marks that did not wait, say: what was acknowledged is done before close is. */
static int pmtm_finish_acknowledged(struct pmtm_tape *tape, enum pmtm_wait how)
{
	int ret = 0;

	if (!tape->ahead.count)
		pmtm_reap(tape);
	if (how != PMTM_QUEUE && tape->pending)
		ret = pmtm_wait_done(tape, pmt_unit_issued(tape->unit) - 1,
				     PMT_KILLABLE);
	return ret ?: pmtm_deferred(tape);
}

/* What is answered by now may say that the tape is not where it was written to. */
static int pmtm_finish_transfer(struct pmtm_tape *tape, enum pmtm_wait how)
{
	int ret = how == PMTM_QUEUE ? 0 : pmtm_settle_left(tape);

	if (ret)
		return ret;
	if (tape->direction == PMTM_WRITING)
		pmtm_reap(tape);
	if (tape->direction == PMTM_WRITING && !tape->lost)
		return pmtm_finish_writing(tape, how);
	ret = pmtm_finish_acknowledged(tape, how);
	if (ret)
		return ret;
	if (tape->lost)
		return tape->rewind ? 0 : -EIO;
	if (tape->direction == PMTM_READING && !tape->rewind &&
	    pmtm_option(tape, MT_ST_SYSV))
		return pmtm_finish_reading(tape, how);
	return 0;
}

/* The place of the program is another than that of this mark. */
static int pmtm_finished_partition(struct pmtm_tape *tape, u32 partition,
				   const struct pmt_result *res)
{
	if (res->status == PMT_STATUS_CANCELLED)
		return pmtm_cancelled(tape);
	if (res->status == PMT_STATUS_CHECK)
		pmtm_discard(tape);
	pmtm_look(tape, res);
	if (res->status == PMT_STATUS_GOOD)
		return 0;
	tape->left_at[partition] -= !tape->lost;
	return -EIO;
}

/*
 * A mark that is due in another partition: it names its place, none is gone to.  Once
 * it is in the ring it is due no more, and what comes there next comes behind it.
 */
static int pmtm_finish_partition(struct pmtm_tape *tape, u32 partition,
				 enum pmtm_wait how)
{
	struct pmt_command cmd = pmtm_prepare(tape, PMT_OP_WRITE_FILEMARKS);
	struct pmt_result res;
	int ret;

	cmd.count = 1;
	cmd.flags = PMT_CMD_POSITIONED;
	cmd.place.partition = partition;
	cmd.place.lbn = tape->left_at[partition];
	cmd.place.file = PMT_UNKNOWN;
	cmd.place.block = PMT_UNKNOWN;
	pmtm_stop_ahead(tape);
	ret = pmtm_issue(tape, &cmd, how);
	if (ret)
		return ret;
	/* Going back to write was, and is, where the program is. */
	tape->positioned = true;
	tape->left_writing[partition] = false;
	tape->left_at[partition]++;
	if (how == PMTM_QUEUE) {
		pmtm_acknowledge(tape, &cmd);
		return 0;
	}
	pmtm_hold(tape, cmd.number);
	ret = pmtm_await(tape, &cmd, &res, how);
	if (ret == -EINTR)
		pmtm_acknowledge(tape, &cmd);
	if (ret)
		return ret;
	return pmtm_finished_partition(tape, partition, &res);
}

/* The marks that are due in the partitions where the tape is not. */
int pmtm_finish_partitions(struct pmtm_tape *tape, enum pmtm_wait how)
{
	u32 partition;
	int ret = 0;

	for (partition = 0; partition < PMTM_PARTITIONS && !ret; partition++)
		if (tape->left_writing[partition] && !tape->lost &&
		    partition != tape->place.partition)
			ret = pmtm_finish_partition(tape, partition, how);
	return ret;
}

/* A place that is lost stays so: nobody has asked for it. */
static int pmtm_finish_rewinding(struct pmtm_tape *tape, enum pmtm_wait how)
{
	bool lost = tape->lost;
	int ret;

	if (tape->ready != PMTM_READY)
		return tape->ready == PMTM_NO_TAPE ? -ENOMEDIUM : -EIO;
	ret = pmtm_rewind(tape, how);
	if (lost)
		pmtm_lose_position(tape);
	return ret;
}

/* The door that the first transfer has locked.  The drive may refuse. */
static int pmtm_unlock(struct pmtm_tape *tape, enum pmtm_wait how)
{
	struct pmt_command cmd = pmtm_prepare(tape, PMT_OP_MODE);
	int ret;

	if (how != PMTM_QUEUE) {
		ret = pmtm_set_door(tape, PMTM_OPEN);
		if (ret != -EINTR)
			return min(ret, 0);
	}
	pmtm_stop_ahead(tape);
	cmd.modes.locked = false;
	ret = pmtm_issue(tape, &cmd, PMTM_QUEUE);
	if (!ret)
		tape->door = PMTM_OPEN;
	return ret;
}

/*
 * What the last close owes: marks behind written data, a rewind.  PMTM_QUEUE:
 * the caller exits; it is queued, and who opens next learns how it went.
 */
int pmtm_finish(struct pmtm_tape *tape, enum pmtm_wait how)
{
	bool wrote = tape->direction == PMTM_WRITING;
	int ret, err;

	tape->told = false;
	pmtm_heed_abort(tape);
	if (tape->direction != PMTM_READING)
		pmtm_stop_ahead(tape);
	tape->rest.from = tape->rest.to;
	ret = pmtm_finish_transfer(tape, how);
	if (ret == -EINTR)
		return ret;		/* direction still tells what is owed */
	if (tape->eof == PMTM_FM_PENDING)
		tape->eof = PMTM_NONE;
	pmtm_stop_ahead(tape);
	if (!ret)
		ret = pmtm_finish_partitions(tape, how);
	if (how != PMTM_QUEUE && !ret)
		ret = pmtm_switch_partition(tape);
	if (ret == -EINTR)
		return ret;
	if (tape->rewind) {
		err = pmtm_finish_rewinding(tape, how);
		ret = ret ?: err;
	}
	if (tape->door == PMTM_LOCKED_AUTO) {
		err = pmtm_unlock(tape, how);
		ret = ret ?: err;
	}
	if (how == PMTM_QUEUE)
		tape->owed = true;
	/* Who dies hears nothing: the next one is told. */
	if (ret && (wrote || tape->told) &&
	    (how == PMTM_QUEUE || fatal_signal_pending(current)))
		tape->deferred = -EIO;
	tape->direction = PMTM_IDLE;
	return ret;
}
