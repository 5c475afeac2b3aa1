// SPDX-License-Identifier: GPL-2.0
/*
 * Commands: into the ring, and what becomes of them.
 *
 * They are of three kinds: waited for (their caller takes the result),
 * acknowledged (buffered writes, marks and rewinds of who has exited: reaped
 * later, a failure becomes tape->deferred) and read ahead (taken by later reads,
 * or discarded).  A CHECK freezes the server's queue: whoever meets one discards
 * all that was issued behind it.
 *
 * Here results are brought to whom they belong.  What they mean for the place
 * and for the program is position.c's.
 */
#include <linux/sched/signal.h>
#include <linux/timekeeping.h>

#include "pmtm.h"

/* ---- results that nobody waits for ---- */

/* What was issued and not answered is not wanted: an exception came before it. */
void pmtm_discard(struct pmtm_tape *tape)
{
	pmt_unit_cancel(tape->unit);
	tape->discard = pmt_unit_issued(tape->unit);
	tape->ahead.count = 0;
}

/*
 * An exception of a command that nobody waits for any more.  What another holder
 * of the descriptor has written behind it, and was told is written, is not.
 */
static void pmtm_discard_behind(struct pmtm_tape *tape)
{
	if (tape->pending) {
		tape->deferred = tape->deferred ?: -EIO;
		tape->block = -1;
	}
	pmtm_discard(tape);
}

/* Something that the application was told is written, is not. */
static void pmtm_fail(struct pmtm_tape *tape, const struct pmt_result *res)
{
	if (!tape->deferred)
		tape->deferred = -EIO;
	pmtm_look(tape, res);
	pmtm_failed_late(tape, res);
	pmtm_discard(tape);
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
	pmtm_look(tape, res);
	if (cmd->op == PMT_OP_WRITE && pmtm_warns(tape, res) &&
	    tape->direction == PMTM_WRITING)
		tape->eof = PMTM_EW;
}

/* A command whose waiter was killed: the drive's word is all there is. */
static void pmtm_settle_abandoned(struct pmtm_tape *tape,
				  const struct pmt_command *cmd,
				  const struct pmt_result *res)
{
	struct pmt_place here = tape->place;

	tape->left = false;
	if (pmt_before(res->number, tape->discard))
		return;
	if (res->status == PMT_STATUS_CHECK)
		pmtm_discard_behind(tape);
	if (cmd->op == PMT_OP_MODE) {
		pmtm_look(tape, res);
	} else if (res->status == PMT_STATUS_CANCELLED) {
		pmtm_lose_position(tape);
	} else {
		pmtm_told(tape, &res->place);
		tape->lost &= res->status != PMT_STATUS_GOOD;
		pmtm_look(tape, res);
		if (cmd->op == PMT_OP_LOCATE)
			pmtm_left(tape, here.partition, here.lbn);
		if (cmd->op == PMT_OP_UNLOAD && res->status == PMT_STATUS_GOOD)
			tape->rewind_owed = false;
	}
}

/* The rewind of who has exited.  Where it was not done, the next open does it. */
static void pmtm_settle_rewind(struct pmtm_tape *tape, const struct pmt_result *res)
{
	if (res->status != PMT_STATUS_GOOD)
		return;
	tape->place = res->place;
	pmtm_at_beginning(tape);
	tape->rewind_owed = false;
}

static void pmtm_settle(struct pmtm_tape *tape, const struct pmt_command *cmd,
			const struct pmt_result *res)
{
	bool failed = res->status != PMT_STATUS_GOOD &&
		      !pmt_before(cmd->number, tape->discard);

	if (tape->left && cmd->number == tape->abandoned) {
		pmtm_settle_abandoned(tape, cmd, res);
	} else if (cmd->op == PMT_OP_READ || cmd->op == PMT_OP_TEST ||
		   cmd->op == PMT_OP_MODE) {
		/* A drive's attention counts even if its bearer is not wanted. */
		if (failed || res->key == PMT_KEY_ATTENTION)
			pmtm_look(tape, res);
		if (failed && res->status == PMT_STATUS_CHECK)
			pmtm_discard_behind(tape);
	} else if (cmd->op == PMT_OP_WRITE || cmd->op == PMT_OP_WRITE_FILEMARKS) {
		pmtm_settle_write(tape, cmd, res);
	} else if (failed) {
		pmtm_fail(tape, res);
	} else if (cmd->op == PMT_OP_REWIND) {
		pmtm_settle_rewind(tape, res);
	}
}

/* The oldest is done with.  discard does not lag behind what is in the ring. */
static void pmtm_drop(struct pmtm_tape *tape, u32 number)
{
	atomic_dec(&tape->stats.in_flight);
	pmt_unit_retire(tape->unit);
	if (!pmt_before(number, tape->discard))
		tape->discard = number;
}

/* A write that failed where the program had positioned may be tried there again. */
void pmtm_retire(struct pmtm_tape *tape, const struct pmt_command *cmd,
		 const struct pmt_result *res)
{
	if (res->status == PMT_STATUS_CHECK && cmd->flags & PMT_CMD_POSITIONED)
		tape->positioned = true;
	pmtm_account(tape, cmd, res);
	pmtm_drop(tape, cmd->number);
}

/*
 * Look at all results that nobody waits for: how many were there.  A READ among
 * them was ahead of the program, and does not count as its own.
 */
unsigned int pmtm_reap(struct pmtm_tape *tape)
{
	struct pmt_command cmd;
	struct pmt_result res;
	unsigned int n = 0;

	while (pmt_unit_oldest(tape->unit, &cmd, &res)) {
		if (tape->holding && !pmt_before(cmd.number, tape->held))
			break;
		pmtm_settle(tape, &cmd, &res);
		if (cmd.op == PMT_OP_READ)
			pmtm_drop(tape, cmd.number);
		else
			pmtm_retire(tape, &cmd, &res);
		n++;
	}
	return n;
}

/*
 * Was the unit aborted since?  What it had answered before is of the medium that was
 * there then, and so is what was read ahead.
 */
void pmtm_heed_abort(struct pmtm_tape *tape)
{
	struct pmt_view view;

	if (READ_ONCE(tape->unit->forgot) == tape->forgot)
		return;
	pmtm_stop_ahead(tape);
	pmtm_reap(tape);
	pmt_unit_look(tape->unit, &tape->place, &view);
	pmtm_forget(tape, view.forgot);
}

/* The error of something acknowledged, once. */
int pmtm_deferred(struct pmtm_tape *tape)
{
	int ret = tape->deferred;

	tape->deferred = 0;
	tape->told |= ret != 0;
	return ret;
}

/* ---- issuing ---- */

/*
 * Until number is done.  Looking at an exception before it is what lets the
 * server go on; where there is none to look at, and still nothing moves, nothing
 * behind it is wanted.  0, -EINTR, -ENXIO.
 */
int pmtm_wait_done(struct pmtm_tape *tape, u32 number, unsigned int state)
{
	do {
		int ret = pmt_unit_wait(tape->unit, number, state);

		if (ret)
			return ret == -ERESTARTSYS ? -EINTR : ret;
		if (!pmtm_reap(tape) && !pmt_unit_done(tape->unit, number))
			pmtm_discard(tape);
		if (signal_pending_state(state, current))
			return -EINTR;
	} while (!pmt_unit_done(tape->unit, number));
	/* Answers may have come behind the last look, before the one that counts. */
	pmtm_reap(tape);
	return 0;
}

/*
 * A motion whose caller was killed ends before another holder of the descriptor
 * does anything: it is what says where the tape is.
 */
int pmtm_settle_left(struct pmtm_tape *tape)
{
	return tape->left ? pmtm_wait_done(tape, tape->abandoned, PMT_KILLABLE) : 0;
}

static bool pmtm_place_known(const struct pmt_place *place)
{
	return place->lbn != PMT_UNKNOWN ||
	       (place->file != PMT_UNKNOWN && place->block != PMT_UNKNOWN);
}

/* A motion to a place of its own needs none to begin at. */
struct pmt_command pmtm_prepare(struct pmtm_tape *tape, enum pmt_op op)
{
	bool writes = op == PMT_OP_WRITE || op == PMT_OP_WRITE_FILEMARKS ||
		      op == PMT_OP_ERASE;
	bool relative = writes || op == PMT_OP_READ || op == PMT_OP_SPACE;
	struct pmt_command cmd = {
		.op = op,
		.place = tape->place,
		.modes = tape->modes,
	};

	if (op == PMT_OP_READ || op == PMT_OP_WRITE)
		cmd.block_size = tape->modes.block_size;
	if (relative && !pmtm_place_known(&tape->place))
		cmd.flags |= PMT_CMD_HERE;
	if (writes && tape->positioned)
		cmd.flags |= PMT_CMD_POSITIONED;
	return cmd;
}

/* Give it to the server; the write behind a motion may go back, once. */
int pmtm_send(struct pmtm_tape *tape, struct pmt_command *cmd, const void __user *from)
{
	int ret = pmt_unit_issue(tape->unit, cmd, from);

	if (ret)
		return ret;
	atomic_inc(&tape->stats.in_flight);
	switch (cmd->op) {
	case PMT_OP_WRITE_FILEMARKS:
		tape->positioned &= !cmd->count;	/* 0 marks write nothing */
		break;
	case PMT_OP_WRITE:
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

int pmtm_make_room(struct pmtm_tape *tape, u32 length, u32 keep)
{
	pmt_unit_let_run(tape->unit);
	pmtm_reap(tape);
	while (!pmt_unit_fits(tape->unit, length, keep)) {
		int ret = pmt_unit_wait_half(tape->unit);

		if (ret)
			return ret == -ERESTARTSYS ? -EINTR : ret;
		if (!pmtm_reap(tape) && fatal_signal_pending(current))
			return -EINTR;
	}
	return 0;
}

/*
 * A command that carries no data, at the place that it names: not behind an
 * error of something acknowledged that is found only now.
 */
int pmtm_issue(struct pmtm_tape *tape, struct pmt_command *cmd, enum pmtm_wait how)
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

void pmtm_hold(struct pmtm_tape *tape, u32 number)
{
	tape->held = number;
	tape->holding = true;
}

/* Wait for a command that is held, and take its result.  -EINTR: abandoned. */
int pmtm_await(struct pmtm_tape *tape, struct pmt_command *cmd, struct pmt_result *res,
	       enum pmtm_wait how)
{
	u32 number = cmd->number;
	int ret = pmtm_wait_done(tape, number, how == PMTM_INTERRUPTIBLE ?
				 PMT_INTERRUPTIBLE : PMT_KILLABLE);

	tape->holding = false;
	if (ret)
		return ret;
	if (!pmt_unit_oldest(tape->unit, cmd, res) || cmd->number != number)
		return -EIO;
	pmtm_retire(tape, cmd, res);
	return 0;
}

/* It is in the ring, and that is all that its caller is told. */
void pmtm_acknowledge(struct pmtm_tape *tape, const struct pmt_command *cmd)
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
		pmtm_marked(tape, cmd->count);
		tape->direction = PMTM_IDLE;
	} else if (cmd->op != PMT_OP_TEST) {
		if (cmd->op == PMT_OP_UNLOAD) {
			/* Unless it fails no tape is left to rewind. */
			tape->rewind_owed = tape->rewind;
			tape->rewind = false;
		}
		tape->abandoned = cmd->number;
		tape->left = true;
	}
}

/* The server is gone for good, or what was acknowledged before it had failed. */
int pmtm_cancelled(struct pmtm_tape *tape)
{
	if (!tape->deferred)
		pmtm_lose_position(tape);
	return pmtm_deferred(tape) ?: -EIO;
}

/*
 * A command without data that is waited for.  0: res is its result, and the
 * place is what it says.  -EIO: as pmtm_cancelled.
 */
int pmtm_command(struct pmtm_tape *tape, struct pmt_command *cmd,
		 struct pmt_result *res, enum pmtm_wait how)
{
	u64 since = ktime_get_ns();
	int ret;

	pmtm_stop_ahead(tape);
	ret = pmtm_issue(tape, cmd, how);
	if (ret)
		return ret;
	pmtm_hold(tape, cmd->number);
	ret = pmtm_await(tape, cmd, res, how);
	if (ret == -EINTR)
		pmtm_abandon(tape, cmd);
	if (ret)
		return ret;
	pmtm_waited(tape, NULL, since);
	if (res->status == PMT_STATUS_CANCELLED)
		return pmtm_cancelled(tape);
	tape->place = res->place;
	if (res->status == PMT_STATUS_CHECK)
		pmtm_discard(tape);
	pmtm_look(tape, res);
	return 0;
}
