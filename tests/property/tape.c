// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See unit.h: the master end, as DESIGN's "Writing" and "The end-of-tape promise" have
 * it, for one caller.
 *
 * Commands are waited for, acknowledged (a failure is told later, once), or read
 * ahead.  Behind an exception all that was issued is cancelled.
 */
#include <errno.h>
#include <string.h>

#include "unit.h"

#define AHEAD_MAX 8u

static struct {
	enum pmt_eot eot;
	struct pmt_place place;
	enum { NONE, EW, EOD1, EWERR } eof;
	bool writing, positioned, trailer, lost, unbuffered;
	int deferred;
	uint32_t pending, records, marks;	/* acknowledged and not done */
	uint64_t bytes, largest;
	uint32_t discard;	/* results before it count for nothing */
	bool ahead;		/* READs are, that nobody waits for */
	bool holding;
	uint32_t held;		/* it and what is behind it somebody waits for */
} tape;

void tape_begin(bool buffered, enum pmt_eot eot)
{
	memset(&tape, 0, sizeof(tape));
	tape.eot = eot;
	tape.place = unit.place;
	tape.positioned = true;
	tape.discard = unit.ring.tail;
	unit.modes.buffered = buffered;
}

uint64_t tape_place(void)
{
	return tape.lost ? PMT_UNKNOWN : tape.place.lbn;
}

static bool is_good(uint32_t number)
{
	return pmt_before(number, unit.ring.done) &&
	       pmt_ring_result(&unit.ring, number)->status == PMT_STATUS_GOOD;
}

uint32_t tape_pending(void)
{
	uint32_t n = 0, end = tape.holding ? tape.held : unit.ring.tail;

	for (uint32_t k = unit.ring.head; k != end; k++) {
		const struct pmt_command *cmd = pmt_ring_command(&unit.ring, k);

		if (pmt_before(k, tape.discard) || is_good(k))
			continue;
		if (cmd->op == PMT_OP_WRITE)
			n += pmt_command_blocks(cmd);
		else if (cmd->op == PMT_OP_WRITE_FILEMARKS)
			n += (uint32_t)cmd->count;
	}
	return n;
}

bool tape_relies(void)
{
	uint32_t end = tape.holding ? tape.held : unit.ring.tail;

	unit_collect();
	if (pmt_ring_stuck(&unit.ring))
		return false;
	for (uint32_t k = unit.ring.done; k != end && pmt_before(k, end); k++) {
		const struct pmt_command *cmd = pmt_ring_command(&unit.ring, k);

		if (!pmt_before(k, tape.discard) && (cmd->op == PMT_OP_WRITE ||
						     cmd->op == PMT_OP_WRITE_FILEMARKS))
			return true;
	}
	return false;
}

bool tape_owes_error(void)
{
	return tape.deferred;
}

bool tape_unbuffered(void)
{
	return tape.unbuffered;
}

static void lose(void)
{
	tape.lost = true;
	tape.place.lbn = tape.place.file = tape.place.block = PMT_UNKNOWN;
}

/* What was issued and not answered is not wanted. */
static void discard(void)
{
	unit_cancel();
	tape.discard = unit.ring.tail;
}

static void stop_ahead(void)
{
	if (tape.ahead)
		discard();
	tape.ahead = false;
}

static void settle_write(const struct pmt_command *cmd, const struct pmt_result *res)
{
	tape.pending--;
	if (cmd->op == PMT_OP_WRITE) {
		tape.bytes -= cmd->length;
		tape.records -= pmt_command_blocks(cmd);
	} else {
		tape.marks -= (uint32_t)cmd->count;
	}
	if (pmt_before(cmd->number, tape.discard))
		return;
	if (res->status != PMT_STATUS_GOOD) {
		tape.deferred = -EIO;
		if (res->status == PMT_STATUS_CANCELLED)
			lose();
		else
			tape.place = res->place;
		tape.eof = tape.writing ? EWERR : tape.eof;
		discard();
	} else if (cmd->op == PMT_OP_WRITE && res->sense & PMT_SENSE_EOM &&
		   !tape.trailer && tape.writing) {
		tape.eof = EW;
	}
}

static bool oldest(struct pmt_command *cmd, struct pmt_result *res)
{
	unit_collect();
	if (unit.ring.head == unit.ring.done)
		return false;
	*cmd = *pmt_ring_command(&unit.ring, unit.ring.head);
	*res = *pmt_ring_result(&unit.ring, unit.ring.head);
	return true;
}

static void retire(const struct pmt_command *cmd, const struct pmt_result *res)
{
	if (res->status == PMT_STATUS_CHECK && cmd->flags & PMT_CMD_POSITIONED)
		tape.positioned = true;
	pmt_ring_retire(&unit.ring);
	if (!pmt_before(cmd->number, tape.discard))
		tape.discard = cmd->number;
}

/* What nobody waits for: how many. */
static unsigned int reap(void)
{
	struct pmt_command cmd;
	struct pmt_result res;
	unsigned int n = 0;

	for (; oldest(&cmd, &res); n++) {
		if (tape.holding && !pmt_before(cmd.number, tape.held))
			break;
		if (cmd.op == PMT_OP_WRITE || cmd.op == PMT_OP_WRITE_FILEMARKS)
			settle_write(&cmd, &res);
		else if (res.status == PMT_STATUS_CHECK &&
			 !pmt_before(cmd.number, tape.discard))
			discard();
		retire(&cmd, &res);
	}
	return n;
}

static bool is_done(uint32_t number)
{
	unit_collect();
	return pmt_before(number, unit.ring.done) || pmt_ring_stuck(&unit.ring);
}

static void wait_done(uint32_t number)
{
	do {
		wait_until(is_done, number);
		if (!reap() && !pmt_before(number, unit.ring.done))
			discard();
	} while (!pmt_before(number, unit.ring.done));
}

static void wait_half(void)
{
	uint32_t waiting = unit.ring.tail - unit.ring.done;

	wait_until(is_done, unit.ring.done + waiting / 2);
	reap();
}

static void make_room(uint32_t length)
{
	reap();
	while (!pmt_ring_fits(&unit.ring, length, 4))
		wait_half();
}

static int deferred(void)
{
	int rc = tape.deferred;

	tape.deferred = 0;
	return rc;
}

static struct pmt_command prepare(enum pmt_op op)
{
	bool writes = op == PMT_OP_WRITE || op == PMT_OP_WRITE_FILEMARKS;
	struct pmt_command cmd = { .op = (uint16_t)op, .place = tape.place,
				   .modes = unit.modes };

	if (tape.place.lbn == PMT_UNKNOWN &&
	    (tape.place.file == PMT_UNKNOWN || tape.place.block == PMT_UNKNOWN))
		cmd.flags |= PMT_CMD_HERE;
	if (writes && tape.positioned)
		cmd.flags |= PMT_CMD_POSITIONED;
	return cmd;
}

static int issue(struct pmt_command *cmd, const void *data)
{
	int rc = unit_issue(cmd, data);

	if (rc)
		return rc;
	if (cmd->op == PMT_OP_WRITE || (cmd->op == PMT_OP_WRITE_FILEMARKS && cmd->count))
		tape.positioned = false;
	else if (cmd->op != PMT_OP_TEST && cmd->op != PMT_OP_MODE &&
		 cmd->op != PMT_OP_WRITE_FILEMARKS)
		tape.positioned = true;
	return 0;
}

static void await(struct pmt_command *cmd, struct pmt_result *res)
{
	uint32_t number = cmd->number;

	tape.held = number;
	tape.holding = true;
	wait_done(number);
	tape.holding = false;
	oldest(cmd, res);
	retire(cmd, res);
}

/* Waited for, without data.  0: there is a result. */
static int command(struct pmt_command *cmd, struct pmt_result *res)
{
	int rc;

	stop_ahead();
	make_room(0);
	rc = deferred();
	if (rc)
		return rc;
	issue(cmd, NULL);
	await(cmd, res);
	if (res->status == PMT_STATUS_CANCELLED) {
		if (!tape.deferred)
			lose();
		rc = deferred();
		return rc ? rc : -EIO;
	}
	tape.place = res->place;
	if (res->status == PMT_STATUS_CHECK)
		discard();
	return 0;
}

/* Writing */

static uint64_t cost(uint64_t bytes, uint64_t records, uint64_t marks)
{
	return ((bytes * unit.limits.byte_cost + 255) >> 8) +
	       records * unit.limits.record_cost + marks * unit.limits.mark_cost;
}

static bool near_end(void)
{
	return tape.eof == EW || tape.eof == EOD1 || tape.trailer ||
	       pmt_ring_early_warning(&unit.ring, &tape.place);
}

enum flow { BUFFERED, WAIT_SOME, WAIT_ALL, UNBUFFERED };

static enum flow flow(uint32_t length, uint32_t records, uint32_t marks)
{
	uint64_t own = cost(length, records, marks), window = unit.limits.window;
	uint64_t total = cost(tape.bytes + length, tape.records + records,
			      tape.marks + marks);

	tape.largest = own > tape.largest ? own : tape.largest;
	if (!unit.modes.buffered || !window || near_end() ||
	    (unit.room != PMT_UNKNOWN && total > unit.room))
		return tape.pending ? WAIT_ALL : UNBUFFERED;
	if (window == PMT_UNKNOWN || total + tape.largest <= window)
		return BUFFERED;
	return tape.pending ? WAIT_SOME : UNBUFFERED;
}

static int at_end(void)
{
	if (tape.eof == EWERR)
		return -EIO;
	if (tape.eof != EW)
		return 0;
	if (tape.eot == PMT_EOT_ST)
		tape.eof = EOD1;
	return -ENOSPC;
}

static int write_flow(uint32_t length, uint32_t records, uint32_t marks)
{
	for (;;) {
		enum flow how;
		int rc;

		make_room(length);
		rc = deferred();
		if (rc)
			return rc;
		unit_look();
		how = flow(length, records, marks);
		if (how == BUFFERED || how == UNBUFFERED) {
			rc = records ? at_end() : 0;
			return rc ? rc : (int)how;
		}
		if (how == WAIT_SOME)
			wait_half();
		else
			wait_done(unit.ring.tail - 1);
	}
}

static void acknowledge(const struct pmt_command *cmd)
{
	tape.pending++;
	if (cmd->op == PMT_OP_WRITE) {
		uint32_t records = pmt_command_blocks(cmd);

		tape.bytes += cmd->length;
		tape.records += records;
		tape.place.lbn += records;
		tape.place.block += tape.place.block == PMT_UNKNOWN ? 0 : records;
		if (tape.eof != EW)
			tape.eof = NONE;
	} else {
		tape.marks += (uint32_t)cmd->count;
		tape.place.lbn += (uint64_t)cmd->count;
		tape.place.file += tape.place.file == PMT_UNKNOWN ? 0 : (uint64_t)cmd->count;
		tape.place.block = 0;
		tape.eof = NONE;
	}
}

static int wrote(const struct pmt_command *cmd, const struct pmt_result *res)
{
	uint32_t records = pmt_command_blocks(cmd);
	uint32_t done = cmd->block_size ? records - (uint32_t)res->residue : 0;
	bool warned = res->sense & PMT_SENSE_EOM && !tape.trailer;

	if (res->status == PMT_STATUS_GOOD) {
		if (warned || (tape.eof == EOD1 && !tape.trailer))
			tape.eof = EW;
		else if (tape.eof != EW)
			tape.eof = NONE;
		return (int)records;
	}
	if (res->key != PMT_KEY_OVERFLOW)
		return -EIO;
	tape.eof = EW;
	return done ? (int)done : -ENOSPC;
}

int tape_write(const void *data, uint32_t length, uint32_t block_size)
{
	uint32_t records = block_size ? length / block_size : 1;
	struct pmt_command cmd;
	struct pmt_result res;
	int how, rc;

	if (tape.lost) {
		deferred();
		return -EIO;
	}
	stop_ahead();
	do {
		how = write_flow(length, records, 0);
		if (how < 0)
			return how;
		cmd = prepare(PMT_OP_WRITE);
		cmd.length = length;
		cmd.block_size = block_size;
	} while (issue(&cmd, data) == -EAGAIN);
	tape.writing = true;
	tape.unbuffered = how == UNBUFFERED;
	if (how == BUFFERED) {
		acknowledge(&cmd);
		return (int)records;
	}
	await(&cmd, &res);
	if (res.status == PMT_STATUS_CANCELLED) {
		if (!tape.deferred)
			lose();
		rc = deferred();
		return rc ? rc : -EIO;
	}
	tape.place = res.place;
	if (res.status == PMT_STATUS_CHECK)
		discard();
	return wrote(&cmd, &res);
}

static int marks_through(struct pmt_command *cmd, bool *at_end_of_tape)
{
	struct pmt_result res;
	uint32_t count = (uint32_t)cmd->count;
	int rc = command(cmd, &res);

	if (rc)
		return rc;
	tape.eof = NONE;
	if (res.status != PMT_STATUS_CHECK)
		return 0;
	*at_end_of_tape = res.key == PMT_KEY_OVERFLOW;
	if (*at_end_of_tape && res.residue == (int64_t)count)
		tape.eof = EW;
	return -EIO;
}

int tape_marks(uint32_t count, bool immediate, bool *at_end_of_tape)
{
	bool early = tape.eof == EW || tape.eof == EOD1 || tape.trailer;
	struct pmt_command cmd;
	int rc = 0;

	*at_end_of_tape = false;
	if (tape.lost) {
		deferred();
		return -EIO;
	}
	stop_ahead();
	if (immediate) {
		rc = write_flow(0, 0, count);
		if (rc < 0)
			return rc;
		immediate = rc == BUFFERED;
	}
	tape.unbuffered = !immediate;
	cmd = prepare(PMT_OP_WRITE_FILEMARKS);
	cmd.count = count;
	if (immediate) {
		cmd.flags |= PMT_CMD_IMMEDIATE;
		issue(&cmd, NULL);
		acknowledge(&cmd);
		rc = 0;
	} else {
		rc = marks_through(&cmd, at_end_of_tape);
	}
	if (rc)
		return rc;
	if (count)
		tape.writing = false;
	tape.trailer = count && tape.eot == PMT_EOT_HOLD &&
		       (early || pmt_ring_early_warning(&unit.ring, &tape.place));
	return 0;
}

/* Reading: what is read ahead is dropped by whatever comes next. */

void tape_read_ahead(unsigned int n, uint32_t length)
{
	struct pmt_command cmd = prepare(PMT_OP_READ);

	cmd.length = length;
	cmd.flags |= PMT_CMD_AHEAD;
	if (tape.lost || cmd.flags & PMT_CMD_HERE)
		return;
	for (; n && pmt_ring_fits(&unit.ring, length, 8); n--) {
		cmd.place.lbn++;
		cmd.place.block += cmd.place.block != PMT_UNKNOWN;
		issue(&cmd, NULL);
		tape.ahead = true;
	}
}

int tape_read(void *data, uint32_t length)
{
	struct pmt_command cmd;
	struct pmt_result res;
	int rc;

	if (tape.lost) {
		deferred();
		return -EIO;
	}
	stop_ahead();
	make_room(length);
	rc = deferred();
	if (rc)
		return rc;
	tape.writing = false;
	cmd = prepare(PMT_OP_READ);
	cmd.length = length;
	issue(&cmd, NULL);
	tape_read_ahead(AHEAD_MAX, length);
	tape.held = cmd.number;
	tape.holding = true;
	wait_done(cmd.number);
	tape.holding = false;
	oldest(&cmd, &res);
	if (res.status == PMT_STATUS_GOOD)
		memcpy(data, unit_data(&cmd), length - (uint32_t)res.residue);
	retire(&cmd, &res);
	tape.ahead = false;
	discard();
	if (res.status == PMT_STATUS_CANCELLED) {
		if (!tape.deferred)
			lose();
		rc = deferred();
		return rc ? rc : -EIO;
	}
	tape.place = res.place;
	tape.eof = NONE;
	if (res.status == PMT_STATUS_GOOD)
		return (int)(length - (uint32_t)res.residue);
	if (res.sense & PMT_SENSE_FILEMARK)
		return TAPE_MARK;
	return res.key == PMT_KEY_BLANK ? TAPE_END : -EIO;
}

/* Motion */

static int moved(struct pmt_command *cmd)
{
	struct pmt_result res;
	int rc = command(cmd, &res);

	tape.writing = tape.trailer = false;
	if (rc)
		return rc;
	tape.eof = NONE;
	return res.status == PMT_STATUS_GOOD ? 0 : -EIO;
}

int tape_space(uint32_t kind, int64_t count)
{
	struct pmt_command cmd = prepare(PMT_OP_SPACE);

	if (tape.lost) {
		deferred();
		return -EIO;
	}
	cmd.argument = kind;
	cmd.count = count;
	return moved(&cmd);
}

int tape_locate(uint64_t lbn)
{
	struct pmt_command cmd = prepare(PMT_OP_LOCATE);
	int rc;

	cmd.count = (int64_t)lbn;
	rc = moved(&cmd);
	if (rc == 0)
		tape.lost = false;
	return rc;
}

int tape_rewind(void)
{
	struct pmt_command cmd = prepare(PMT_OP_REWIND);
	int rc = moved(&cmd);

	if (rc == 0)
		tape.lost = false;
	return rc;
}

int tape_test(void)
{
	struct pmt_command cmd = prepare(PMT_OP_TEST);
	struct pmt_place place = tape.place;
	struct pmt_result res;
	int rc = command(&cmd, &res);

	if (rc)
		return rc;
	if (!tape.lost)
		tape.place = place;
	return res.status == PMT_STATUS_GOOD ? 0 : -EIO;
}

int tape_modes(bool buffered)
{
	struct pmt_command cmd = prepare(PMT_OP_MODE);
	struct pmt_place place = tape.place;
	struct pmt_result res;
	int rc;

	cmd.modes.buffered = buffered;
	rc = command(&cmd, &res);
	if (rc)
		return rc;
	if (!tape.lost)
		tape.place = place;
	return res.status == PMT_STATUS_GOOD ? 0 : -EIO;
}

int tape_unload(void)
{
	struct pmt_command cmd = prepare(PMT_OP_UNLOAD);
	int rc = moved(&cmd);

	tape.largest = 0;
	return rc;
}
