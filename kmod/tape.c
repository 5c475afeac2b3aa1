// SPDX-License-Identifier: GPL-2.0
/*
 * The tape: where it stands, what the next command is, and what its answer
 * means to a program that knows st.
 *
 * Two sets of positions are kept.  tape->place is the true one, for commands
 * (law: each command names its place); file and block are what MTIOCGET tells,
 * with st's habits (unknown is -1, residues are counted, not looked up).
 *
 * eof is st's automaton.  Writing: a record that met early warning makes it EW;
 * the next write makes EOD1 of EW and gets ENOSPC; the one after is let through
 * and makes EW again, and so on.  (eot=hold: EW stays, and every write gets
 * ENOSPC, until a mark is written: then trailers pass.)  Reading: a mark makes
 * AT_FM and gives 0; end of data behind it gives one more 0 and EOD3, then EIO;
 * end of data elsewhere EIO.  After ENOSPC a read gives 0, 0, EIO.  Motion and
 * marks set it anew.
 *
 * Commands in the ring are of three kinds: waited for (their caller takes the
 * result), acknowledged (buffered writes, marks and rewinds of who has exited:
 * reaped later, a failure becomes tape->deferred) and read ahead (taken by
 * later reads, or discarded).  A CHECK freezes the server's queue: whoever
 * meets one discards all that was issued behind it.
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "pmtm.h"

static u64 pmtm_cost(const struct pmt_limits *limits, u64 bytes, u64 records, u64 marks)
{
	return ((bytes * limits->byte_cost + 255) >> 8) +
	       records * limits->record_cost + marks * limits->mark_cost;
}

static bool pmtm_place_known(const struct pmt_place *place)
{
	return place->lbn != PMT_UNKNOWN ||
	       (place->file != PMT_UNKNOWN && place->block != PMT_UNKNOWN);
}

static void pmtm_advance(struct pmt_place *place, u32 records)
{
	if (place->lbn != PMT_UNKNOWN)
		place->lbn += records;
	if (place->block != PMT_UNKNOWN)
		place->block += records;
}

static void pmtm_pass_marks(struct pmt_place *place, u32 marks)
{
	if (!marks)
		return;
	if (place->lbn != PMT_UNKNOWN)
		place->lbn += marks;
	if (place->file != PMT_UNKNOWN)
		place->file += marks;
	place->block = 0;
}

static void pmtm_count_blocks(struct pmtm_tape *tape, u32 records)
{
	if (tape->block >= 0)
		tape->block += records;
}

static int pmtm_known(u64 value)
{
	return value == PMT_UNKNOWN ? -1 : (int)min_t(u64, value, INT_MAX);
}

void pmtm_lose_position(struct pmtm_tape *tape)
{
	tape->lost = true;
	tape->place.lbn = PMT_UNKNOWN;
	tape->place.file = PMT_UNKNOWN;
	tape->place.block = PMT_UNKNOWN;
	tape->file = -1;
	tape->block = -1;
	tape->eof = PMTM_NONE;
}

/* ---- results that nobody waits for ---- */

/* What was issued and not answered is not wanted: an exception came before it. */
static void pmtm_discard(struct pmtm_tape *tape)
{
	pmt_unit_cancel(tape->unit);
	tape->discard = pmt_unit_issued(tape->unit);
	tape->ahead.count = 0;
}

/* Something that the application was told is written, is not. */
static void pmtm_fail(struct pmtm_tape *tape, const struct pmt_result *res)
{
	if (!tape->deferred)
		tape->deferred = -EIO;
	tape->block = -1;
	if (res->status == PMT_STATUS_CANCELLED) {
		pmtm_lose_position(tape);
	} else {
		tape->place = res->place;
		if (res->place.file != PMT_UNKNOWN)
			tape->file = pmtm_known(res->place.file);
		if (res->key == PMT_KEY_OVERFLOW)
			tape->eof = PMTM_EWERR;
	}
	pmtm_discard(tape);
}

/* The mode that the unit is in decides whether a warning holds writes off. */
static bool pmtm_warns(const struct pmtm_tape *tape, const struct pmt_result *res)
{
	return res->sense & PMT_SENSE_EOM && !tape->trailer;
}

static void pmtm_settle_write(struct pmtm_tape *tape, const struct pmt_command *cmd,
			      const struct pmt_result *res)
{
	tape->pending--;
	if (cmd->op == PMT_OP_WRITE) {
		tape->pending_bytes -= cmd->length;
		tape->pending_records -= pmt_command_blocks(cmd);
	} else {
		tape->pending_marks -= cmd->count;
	}
	if (pmt_before(cmd->number, tape->discard))
		return;
	if (res->status != PMT_STATUS_GOOD) {
		pmtm_fail(tape, res);
		return;
	}
	tape->recovered += res->key == PMT_KEY_RECOVERED;
	if (cmd->op == PMT_OP_WRITE && pmtm_warns(tape, res) &&
	    tape->direction == PMTM_WRITING)
		tape->eof = PMTM_EW;
}

/* A command whose waiter was killed: the drive's word is all there is. */
static void pmtm_settle_abandoned(struct pmtm_tape *tape,
				  const struct pmt_command *cmd,
				  const struct pmt_result *res)
{
	tape->left = false;
	if (pmt_before(res->number, tape->discard) || cmd->op == PMT_OP_MODE)
		return;
	tape->eof = PMTM_NONE;
	tape->trailer = false;
	if (res->status == PMT_STATUS_CANCELLED) {
		pmtm_lose_position(tape);
		return;
	}
	tape->place = res->place;
	tape->file = pmtm_known(res->place.file);
	tape->block = pmtm_known(res->place.block);
	if (res->status == PMT_STATUS_CHECK)
		pmtm_discard(tape);
	else
		tape->lost = false;
}

static void pmtm_settle(struct pmtm_tape *tape, const struct pmt_command *cmd,
			const struct pmt_result *res)
{
	bool failed = res->status != PMT_STATUS_GOOD &&
		      !pmt_before(cmd->number, tape->discard);

	if (cmd->op == PMT_OP_READ || cmd->op == PMT_OP_TEST) {
		if (failed && res->status == PMT_STATUS_CHECK)
			pmtm_discard(tape);
	} else if (tape->left && cmd->number == tape->abandoned) {
		pmtm_settle_abandoned(tape, cmd, res);
	} else if (cmd->op == PMT_OP_WRITE || cmd->op == PMT_OP_WRITE_FILEMARKS) {
		pmtm_settle_write(tape, cmd, res);
	} else if (failed) {
		pmtm_fail(tape, res);
	}
}

/* The oldest is done with.  discard does not lag behind what is in the ring. */
static void pmtm_retire(struct pmtm_tape *tape, u32 number)
{
	pmt_unit_retire(tape->unit);
	if (!pmt_before(number, tape->discard))
		tape->discard = number;
}

/* Look at all results that nobody waits for. */
void pmtm_reap(struct pmtm_tape *tape)
{
	struct pmt_command cmd;
	struct pmt_result res;

	while (pmt_unit_oldest(tape->unit, &cmd, &res)) {
		if (tape->holding && !pmt_before(cmd.number, tape->held))
			break;
		pmtm_settle(tape, &cmd, &res);
		pmtm_retire(tape, cmd.number);
	}
}

/* The error of something acknowledged, once. */
int pmtm_deferred(struct pmtm_tape *tape)
{
	int ret = tape->deferred;

	tape->deferred = 0;
	return ret;
}

/* ---- issuing ---- */

/*
 * Until number is done.  Looking at an exception before it is what lets the
 * server go on.  0, -EINTR, -ENXIO.
 */
int pmtm_wait_done(struct pmtm_tape *tape, u32 number, unsigned int state)
{
	do {
		int ret = pmt_unit_wait(tape->unit, number, state);

		if (ret)
			return ret == -ERESTARTSYS ? -EINTR : ret;
		pmtm_reap(tape);
		if (signal_pending_state(state, current))
			return -EINTR;
	} while (!pmt_unit_done(tape->unit, number));
	return 0;
}

struct pmt_command pmtm_prepare(struct pmtm_tape *tape, enum pmt_op op)
{
	bool writes = op == PMT_OP_WRITE || op == PMT_OP_WRITE_FILEMARKS ||
		      op == PMT_OP_ERASE;
	struct pmt_command cmd = {
		.op = op,
		.place = tape->place,
		.modes = tape->modes,
	};

	if (op == PMT_OP_READ || op == PMT_OP_WRITE)
		cmd.block_size = tape->modes.block_size;
	if (!pmtm_place_known(&tape->place))
		cmd.flags |= PMT_CMD_HERE;
	if (writes && tape->positioned)
		cmd.flags |= PMT_CMD_POSITIONED;
	return cmd;
}

/* Give it to the server; the write behind a motion may go back, once. */
static int pmtm_send(struct pmtm_tape *tape, struct pmt_command *cmd,
		     const void __user *from)
{
	int ret = pmt_unit_issue(tape->unit, cmd, from);

	if (ret)
		return ret;
	switch (cmd->op) {
	case PMT_OP_WRITE:
	case PMT_OP_WRITE_FILEMARKS:
	case PMT_OP_ERASE:
		tape->positioned = false;
		break;
	case PMT_OP_TEST:
	case PMT_OP_MODE:
		break;
	default:
		tape->positioned = true;
	}
	return 0;
}

static int pmtm_make_room(struct pmtm_tape *tape, u32 length, u32 keep)
{
	pmtm_reap(tape);
	while (!pmt_unit_fits(tape->unit, length, keep)) {
		int ret = pmt_unit_wait_half(tape->unit);

		if (ret)
			return ret == -ERESTARTSYS ? -EINTR : ret;
		pmtm_reap(tape);
	}
	return 0;
}

/*
 * A command that carries no data, at the place that it names: not behind an
 * error of something acknowledged that is found only now.
 */
static int pmtm_issue(struct pmtm_tape *tape, struct pmt_command *cmd,
		      enum pmtm_wait how)
{
	int ret = 0;

	if (how == PMTM_QUEUE) {
		pmtm_reap(tape);
		if (!pmt_unit_fits(tape->unit, cmd->length, 0))
			return -EIO;
	} else {
		ret = pmtm_make_room(tape, cmd->length, PMTM_KEEP);
	}
	ret = ret ?: pmtm_deferred(tape);
	return ret ?: pmtm_send(tape, cmd, NULL);
}

/* Wait for a command that is held, and take its result.  -EINTR: abandoned. */
static int pmtm_await(struct pmtm_tape *tape, u32 number, struct pmt_command *cmd,
		      struct pmt_result *res, enum pmtm_wait how)
{
	int ret = pmtm_wait_done(tape, number, how == PMTM_INTERRUPTIBLE ?
				 PMT_INTERRUPTIBLE : PMT_KILLABLE);

	tape->holding = false;
	if (ret)
		return ret;
	if (!pmt_unit_oldest(tape->unit, cmd, res) || cmd->number != number)
		return -EIO;
	pmtm_retire(tape, number);
	return 0;
}

static void pmtm_hold(struct pmtm_tape *tape, u32 number)
{
	tape->held = number;
	tape->holding = true;
}

/* It is in the ring, and that is all that its caller is told. */
static void pmtm_acknowledge(struct pmtm_tape *tape, const struct pmt_command *cmd)
{
	tape->pending++;
	if (cmd->op == PMT_OP_WRITE) {
		tape->pending_bytes += cmd->length;
		tape->pending_records += pmt_command_blocks(cmd);
	} else {
		tape->pending_marks += cmd->count;
	}
}

/* Its waiter was killed.  A mark then is as good as acknowledged. */
static void pmtm_abandon(struct pmtm_tape *tape, const struct pmt_command *cmd)
{
	if (cmd->op == PMT_OP_WRITE_FILEMARKS) {
		pmtm_acknowledge(tape, cmd);
		pmtm_pass_marks(&tape->place, cmd->count);
		tape->file += tape->file >= 0 ? cmd->count : 0;
		tape->block = 0;
		tape->direction = PMTM_IDLE;
	} else if (cmd->op != PMT_OP_TEST) {
		tape->abandoned = cmd->number;
		tape->left = true;
	}
}

/*
 * A command without data that is waited for.  0: res is its result, and the
 * place is what it says.  -EIO: the server is gone, or what was acknowledged
 * before it had failed.
 */
int pmtm_command(struct pmtm_tape *tape, struct pmt_command *cmd,
		 struct pmt_result *res, enum pmtm_wait how)
{
	int ret;

	pmtm_stop_ahead(tape);
	ret = pmtm_issue(tape, cmd, how);
	if (ret)
		return ret;
	pmtm_hold(tape, cmd->number);
	ret = pmtm_await(tape, cmd->number, cmd, res, how);
	if (ret == -EINTR)
		pmtm_abandon(tape, cmd);
	if (ret)
		return ret;
	if (res->status == PMT_STATUS_CANCELLED) {
		if (!tape->deferred)
			pmtm_lose_position(tape);
		return pmtm_deferred(tape) ?: -EIO;
	}
	tape->place = res->place;
	tape->recovered += res->key == PMT_KEY_RECOVERED;
	if (res->status == PMT_STATUS_CHECK)
		pmtm_discard(tape);
	return 0;
}

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

/* Another medium, or the first one that this unit sees. */
void pmtm_new_session(struct pmtm_tape *tape, const struct pmt_result *res)
{
	tape->session = res->place.generation;
	tape->place = res->place;
	tape->file = pmtm_known(res->place.file);
	tape->block = pmtm_known(res->place.block);
	tape->eof = PMTM_NONE;
	tape->lost = false;
	tape->trailer = false;
	tape->positioned = true;
	tape->largest = 0;
}

/* ---- motion ---- */

int pmtm_rewind(struct pmtm_tape *tape, enum pmtm_wait how)
{
	struct pmt_command cmd = pmtm_prepare(tape, PMT_OP_REWIND);
	struct pmt_result res;
	int ret;

	if (how == PMTM_QUEUE) {
		pmtm_stop_ahead(tape);
		ret = pmtm_issue(tape, &cmd, how);
		if (ret)
			return ret;
		tape->place.lbn = 0;
		tape->place.file = 0;
	} else {
		ret = pmtm_command(tape, &cmd, &res, how);
		if (!ret && res.status != PMT_STATUS_GOOD)
			ret = -EIO;
	}
	if (ret)
		return ret;
	tape->place.block = 0;
	tape->file = 0;
	tape->block = 0;
	tape->eof = PMTM_NONE;
	tape->lost = false;
	tape->trailer = false;
	return 0;
}

int pmtm_space(struct pmtm_tape *tape, u32 kind, s64 count, struct pmt_result *res,
	       enum pmtm_wait how)
{
	struct pmt_command cmd = pmtm_prepare(tape, PMT_OP_SPACE);

	cmd.argument = kind;
	cmd.count = count;
	tape->trailer = false;
	return pmtm_command(tape, &cmd, res, how);
}

/* ---- writing ---- */

enum pmtm_flow { PMTM_BUFFERED, PMTM_WAIT_SOME, PMTM_WAIT_ALL, PMTM_UNBUFFERED };

/*
 * May the next command, of that cost, be acknowledged before it is done?  Never
 * from early warning on; not if the drives could meet it with this one (they
 * told their room, or keep at least a window of it).
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
	    (view->room != PMT_UNKNOWN && total > view->room))
		return tape->pending ? PMTM_WAIT_ALL : PMTM_UNBUFFERED;
	if (view->limits.window == PMT_UNKNOWN ||
	    total + tape->largest <= view->limits.window)
		return PMTM_BUFFERED;
	return tape->pending ? PMTM_WAIT_SOME : PMTM_UNBUFFERED;
}

/* The write after the one that met early warning, and those behind it. */
static int pmtm_at_end(struct pmtm_tape *tape, const struct pmt_view *view)
{
	if (tape->eof == PMTM_EWERR)
		return -EIO;
	if (tape->eof != PMTM_EW)
		return 0;
	if (view->eot == PMT_EOT_ST)
		tape->eof = PMTM_EOD1;
	return -ENOSPC;
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
			ret = records ? pmtm_at_end(tape, &view) : 0;
			return ret ?: flow;
		}
		ret = flow == PMTM_WAIT_SOME ? pmt_unit_wait_half(tape->unit) :
		      pmtm_wait_done(tape, pmt_unit_issued(tape->unit) - 1,
				     PMT_KILLABLE);
		if (ret)
			return ret == -ERESTARTSYS ? -EINTR : ret;
	}
}

static void pmtm_written(struct pmtm_tape *tape, u32 records)
{
	pmtm_advance(&tape->place, records);
	pmtm_count_blocks(tape, records);
}

/* The result of a write that was waited for: records written, or -errno. */
static int pmtm_write_result(struct pmtm_tape *tape, const struct pmt_command *cmd,
			     const struct pmt_result *res)
{
	u32 records = pmt_command_blocks(cmd);
	u32 done = cmd->block_size ? records - res->residue : 0;

	if (res->status == PMT_STATUS_CANCELLED) {
		if (!tape->deferred)
			pmtm_lose_position(tape);
		return pmtm_deferred(tape) ?: -EIO;
	}
	tape->place = res->place;
	if (res->status == PMT_STATUS_GOOD) {
		pmtm_count_blocks(tape, records);
		tape->recovered += res->key == PMT_KEY_RECOVERED;
		if (pmtm_warns(tape, res) || (tape->eof == PMTM_EOD1 && !tape->trailer))
			tape->eof = PMTM_EW;
		else if (tape->eof != PMTM_EW)
			tape->eof = PMTM_NONE;
		return records;
	}
	pmtm_discard(tape);
	if (res->key != PMT_KEY_OVERFLOW) {
		tape->block = -1;
		return -EIO;
	}
	pmtm_count_blocks(tape, done);
	tape->eof = PMTM_EW;
	return done ?: -ENOSPC;
}

/* One WRITE command: records written, or -errno. */
static int pmtm_write_one(struct pmtm_tape *tape, const char __user *from, u32 length)
{
	u32 records = tape->modes.block_size ? length / tape->modes.block_size : 1;
	struct pmt_command cmd;
	struct pmt_result res;
	int flow, ret;

	flow = pmtm_write_flow(tape, length, records, 0);
	if (flow < 0)
		return flow;
	cmd = pmtm_prepare(tape, PMT_OP_WRITE);
	cmd.length = length;
	ret = pmtm_send(tape, &cmd, from);
	if (ret)
		return ret;
	/* Not before: what never reached the drive gets no filemark at close. */
	tape->direction = PMTM_WRITING;
	if (flow == PMTM_BUFFERED) {
		pmtm_acknowledge(tape, &cmd);
		pmtm_written(tape, records);
		if (tape->eof != PMTM_EW)
			tape->eof = PMTM_NONE;
		return records;
	}
	pmtm_hold(tape, cmd.number);
	ret = pmtm_await(tape, cmd.number, &cmd, &res, PMTM_KILLABLE);
	if (ret == -EINTR) {
		/* Killed; the record is in the ring, and its mark will follow. */
		pmtm_acknowledge(tape, &cmd);
		pmtm_written(tape, records);
	}
	return ret ?: pmtm_write_result(tape, &cmd, &res);
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
			break;
		}
		done += (size_t)ret * size;
		if ((size_t)ret * size != length)
			break;
	}
	return done;
}

/*
 * Filemarks.  Not immediate: every copy has them, and all before them, durably.
 * Early warning is success.  count 0 only synchronises.
 */
int pmtm_marks(struct pmtm_tape *tape, u32 count, bool immediate,
	       enum pmtm_wait how)
{
	bool early = tape->eof == PMTM_EW || tape->eof == PMTM_EOD1 || tape->trailer;
	struct pmt_command cmd;
	struct pmt_result res;
	struct pmt_view view;
	u32 done = count;
	int ret;

	pmtm_stop_ahead(tape);
	if (immediate && how != PMTM_QUEUE) {
		ret = pmtm_write_flow(tape, 0, 0, count);
		if (ret < 0)
			return ret;
		immediate = ret == PMTM_BUFFERED;
	}
	cmd = pmtm_prepare(tape, PMT_OP_WRITE_FILEMARKS);
	cmd.count = count;
	if (immediate)
		cmd.flags |= PMT_CMD_IMMEDIATE;
	if (immediate || how == PMTM_QUEUE) {
		ret = how == PMTM_QUEUE ? pmtm_issue(tape, &cmd, how) :
		      pmtm_send(tape, &cmd, NULL);
		if (ret)
			return ret;
		pmtm_acknowledge(tape, &cmd);
		pmtm_pass_marks(&tape->place, count);
		tape->direction = PMTM_IDLE;	/* close owes no mark any more */
	} else {
		ret = pmtm_command(tape, &cmd, &res, how);
		if (ret)
			return ret;
		tape->direction = PMTM_IDLE;
		if (res.status == PMT_STATUS_CHECK) {
			done = count - res.residue;
			ret = -EIO;
			if (res.key != PMT_KEY_OVERFLOW) {
				tape->eof = PMTM_NONE;
				return ret;
			}
		}
	}
	tape->file += tape->file >= 0 ? done : 0;
	tape->block = 0;
	if (ret && !done)
		return ret;
	pmt_unit_look(tape->unit, &tape->place, &view);
	tape->trailer = count && view.eot == PMT_EOT_HOLD &&
			(early || view.early_warning);
	tape->eof = PMTM_NONE;
	return ret;
}

/* ---- reading ---- */

/* What was read ahead is not wanted; the next command names its place. */
void pmtm_stop_ahead(struct pmtm_tape *tape)
{
	tape->ahead.depth = 0;
	if (!tape->ahead.count)
		return;
	tape->holding = false;
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
	if (!(tape->options & MT_ST_READ_AHEAD) || tape->place.lbn == PMT_UNKNOWN)
		return 0;
	while (ahead->count < ahead->depth &&
	       pmt_unit_fits(tape->unit, length, 4 * PMTM_KEEP))
		if (pmtm_read_issue(tape, true))
			break;
	return 0;
}

/* End of data was met where a record was asked for: 0 or -EIO for the caller. */
static int pmtm_read_eod(struct pmtm_tape *tape)
{
	tape->block = -1;
	if (tape->eof != PMTM_AT_FM)
		return -EIO;
	tape->eof = PMTM_EOD3;
	return 0;
}

static int pmtm_read_mark(struct pmtm_tape *tape)
{
	tape->file += tape->file >= 0;
	tape->block = 0;
	tape->eof = PMTM_AT_FM;
	return 0;
}

/* A READ in variable mode that met an exception. */
static int pmtm_read_variable_check(struct pmtm_tape *tape,
				    const struct pmt_result *res)
{
	if (res->sense & PMT_SENSE_FILEMARK)
		return pmtm_read_mark(tape);
	if (res->key == PMT_KEY_BLANK)
		return pmtm_read_eod(tape);
	if (res->key == PMT_KEY_NONE && res->sense & PMT_SENSE_ILI) {
		pmtm_count_blocks(tape, 1);
		return -ENOMEM;
	}
	tape->block = -1;
	return -EIO;
}

/*
 * And in fixed mode, with k blocks before it: those count, the place is theirs.
 * The same if earlier bytes of this read(2) were given: the next one is told.
 */
static int pmtm_read_fixed_check(struct pmtm_tape *tape, const struct pmt_command *cmd,
				 const struct pmt_result *res, u32 k)
{
	bool wrong_size = res->key == PMT_KEY_NONE && res->sense & PMT_SENSE_ILI;

	bool given = k || tape->given;
	bool known = wrong_size || res->key == PMT_KEY_BLANK ||
		     res->sense & PMT_SENSE_FILEMARK;

	if (k || (given && known) || wrong_size) {
		tape->place = cmd->place;
		pmtm_advance(&tape->place, k);
	}
	if (k || (given && known)) {
		pmtm_count_blocks(tape, k);
		tape->eof = res->sense & PMT_SENSE_FILEMARK ? PMTM_FM_PENDING :
							      PMTM_NONE;
		return 0;
	}
	if (res->sense & PMT_SENSE_FILEMARK)
		return pmtm_read_mark(tape);
	if (res->key == PMT_KEY_BLANK)
		return pmtm_read_eod(tape);
	if (wrong_size)
		tape->eof = PMTM_NONE;
	else
		tape->block = -1;
	return -EIO;
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
		pmtm_lose_position(tape);
		return pmtm_deferred(tape) ?: -EIO;
	}
	tape->place = res->place;
	tape->recovered += res->key == PMT_KEY_RECOVERED;
	if (res->status == PMT_STATUS_CHECK) {
		pmtm_discard(tape);
		if (!cmd->block_size)
			return pmtm_read_variable_check(tape, res);
		blocks -= res->residue;
		*bytes = blocks * cmd->block_size;
		return pmtm_read_fixed_check(tape, cmd, res, blocks);
	}
	*bytes = cmd->length - res->residue;
	pmtm_count_blocks(tape, blocks);
	if (tape->eof == PMTM_AT_FM)
		tape->eof = PMTM_NONE;
	tape->ahead.depth = clamp(tape->ahead.depth * 2, 2u, PMTM_AHEAD_MAX);
	return 0;
}

/* Keep what of the last block the caller did not ask for. */
static int pmtm_keep_rest(struct pmtm_tape *tape, const char *from, u32 length)
{
	struct pmtm_rest *rest = &tape->rest;

	if (rest->size < tape->modes.block_size) {
		char *bytes = kvmalloc(tape->modes.block_size, GFP_KERNEL_ACCOUNT);

		if (!bytes)
			return -ENOMEM;
		kvfree(rest->bytes);
		rest->bytes = bytes;
		rest->size = tape->modes.block_size;
	}
	memcpy(rest->bytes, from, length);
	rest->from = 0;
	rest->to = length;
	return 0;
}

/* One READ command of length bytes, of which the caller gets up to count. */
static int pmtm_read_one(struct pmtm_tape *tape, char __user *to, u32 length,
			 u32 count)
{
	u32 number, bytes, given;
	struct pmt_command cmd;
	struct pmt_result res;
	int ret;

	ret = pmtm_read_ahead(tape, length);
	if (ret)
		return ret;
	number = tape->ahead.first;
	ret = pmtm_wait_done(tape, number, PMT_KILLABLE);
	if (ret)
		return ret;
	if (!pmt_unit_oldest(tape->unit, &cmd, &res) || cmd.number != number)
		return -EIO;
	tape->ahead.first++;
	tape->ahead.count--;
	ret = pmtm_read_result(tape, &cmd, &res, &bytes);
	/* An exception has dropped what was read ahead: then nothing is held. */
	tape->held = tape->ahead.first;
	tape->holding = tape->ahead.count;
	given = min(bytes, count);
	if (given && copy_to_user(to, pmt_unit_data(tape->unit, &cmd), given))
		ret = -EFAULT;
	else if (bytes > given)
		ret = pmtm_keep_rest(tape, pmt_unit_data(tape->unit, &cmd) + given,
				     bytes - given);
	pmtm_retire(tape, number);
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
	ssize_t taken = pmtm_take_rest(tape, to, count);
	u32 chunk = pmtm_chunk(tape);
	size_t done = taken;

	if (taken < 0)
		return taken;
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

/* What an earlier read or write has already found out: 1 nothing, else result. */
static int pmtm_read_known(struct pmtm_tape *tape)
{
	switch (tape->eof) {
	case PMTM_FM_PENDING:
		pmtm_pass_marks(&tape->place, 1);
		return pmtm_read_mark(tape);
	case PMTM_EOD1:
		tape->eof = PMTM_EOD2;
		return 0;
	case PMTM_EOD2:
		tape->eof = PMTM_EOD3;
		return 0;
	case PMTM_EOD3:
		return -EIO;
	default:
		return 1;
	}
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
	if (res.status != PMT_STATUS_GOOD) {
		tape->block = -1;
		return -EIO;
	}
	return pmtm_read_mark(tape);
}

static int pmtm_finish_writing(struct pmtm_tape *tape, enum pmtm_wait how)
{
	u32 marks = tape->options & MT_ST_TWO_FM ? 2 : 1;
	bool immediate = tape->options & MT_ST_NOWAIT_EOF;
	int ret;

	pmtm_reap(tape);
	ret = pmtm_deferred(tape);
	if (ret)
		return ret;
	ret = pmtm_marks(tape, marks, immediate, how);
	if (ret)
		return ret;
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

static int pmtm_finish_transfer(struct pmtm_tape *tape, enum pmtm_wait how)
{
	int ret;

	if (tape->direction == PMTM_WRITING && !tape->lost)
		return pmtm_finish_writing(tape, how);
	ret = pmtm_finish_acknowledged(tape, how);
	if (ret)
		return ret;
	if (tape->lost)
		return tape->rewind ? 0 : -EIO;
	if (tape->direction == PMTM_READING && !tape->rewind &&
	    tape->options & MT_ST_SYSV)
		return pmtm_finish_reading(tape, how);
	return 0;
}

/*
 * What the last close owes: marks behind written data, a rewind.  PMTM_QUEUE:
 * the caller exits; it is queued, and who opens next learns how it went.
 */
int pmtm_finish(struct pmtm_tape *tape, enum pmtm_wait how)
{
	bool wrote = tape->direction == PMTM_WRITING;
	int ret, err;

	if (tape->direction != PMTM_READING)
		pmtm_stop_ahead(tape);
	tape->rest.from = tape->rest.to;
	ret = pmtm_finish_transfer(tape, how);
	if (ret == -EINTR)
		return ret;		/* direction still tells what is owed */
	if (tape->eof == PMTM_FM_PENDING)
		tape->eof = PMTM_NONE;
	pmtm_stop_ahead(tape);
	if (tape->rewind) {
		err = tape->ready == PMTM_READY ? pmtm_rewind(tape, how) :
		      tape->ready == PMTM_NO_TAPE ? -ENOMEDIUM : -EIO;
		ret = ret ?: err;
	}
	if (how == PMTM_QUEUE) {
		tape->owed = true;
		if (ret && wrote)
			tape->deferred = -EIO;
	}
	tape->direction = PMTM_IDLE;
	return ret;
}
