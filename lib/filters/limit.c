// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * limit: a capacity and an early warning for any drive.  capacity=BYTES of
 * records, ew=BYTES before it, mark=BYTES that a filemark takes (0).  Early
 * warning is met by the command that leaves ew bytes or less.  The room before
 * it is published; with room=hide it is not, and the window is ew, as with a
 * drive that cannot tell.
 *
 * How full the tape is: used[i] is what the first (first + i) records and marks
 * take.  The table grows with what is written and read in a row, and is
 * forgotten at UNLOAD and LOAD.  Where a command writes outside of it, it begins
 * anew there with what the drive says is used, or with 0.  Only partition 0 is
 * limited.  Commands of another generation than the drive's pass: the leaf has
 * the guards.
 *
 * Table and full are the executing thread's; status() shows nothing of them.
 */
#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "internal.h"

struct limit {
	struct pmt_drive drive;
	uint64_t capacity, ew, mark;
	bool hide;
	uint64_t generation;		/* of the drive */
	uint64_t first, n, size;	/* of the table: n + 1 entries used */
	uint64_t *used;
};

static int limit_open(struct pmt_drive *drive, const struct pmt_spec *spec)
{
	struct limit *limit = (struct limit *)drive;
	const char *room = "show";
	int rc;

	rc = pmt_spec_number(spec, "capacity", 1, INT64_MAX, &limit->capacity);
	if (rc)
		return rc == -ENOENT ? pmt_spec_refuse(spec, "capacity", "bytes") : rc;
	rc = pmt_spec_number(spec, "ew", 0, limit->capacity, &limit->ew);
	if (rc == 0 || rc == -ENOENT)
		rc = pmt_spec_number(spec, "mark", 0, UINT32_MAX, &limit->mark);
	if (rc && rc != -ENOENT)
		return rc;
	pmt_spec_string(spec, "room", &room);
	if (strcmp(room, "show") && strcmp(room, "hide"))
		return pmt_spec_refuse(spec, "room", "show or hide");
	limit->hide = strcmp(room, "hide") == 0;
	rc = pmt_spec_unused(spec);
	if (rc)
		return rc;
	limit->size = 256;
	limit->used = calloc(limit->size, sizeof(*limit->used));
	return limit->used ? 0 : -ENOMEM;
}

static void limit_close(struct pmt_drive *drive)
{
	free(((struct limit *)drive)->used);
}

static void forget(struct limit *limit, uint64_t lbn, uint64_t used)
{
	limit->first = lbn;
	limit->n = 0;
	limit->used[0] = used;
}

static int limit_attach(struct pmt_drive *drive, const struct pmt_session *session)
{
	struct limit *limit = (struct limit *)drive;
	struct pmt_request test = { .cmd = { .op = PMT_OP_TEST, .place = session->place } };

	pmt_drive_execute(drive->child, &test);
	limit->generation = test.result.place.generation;
	forget(limit, 0, 0);
	return 0;
}

static bool in_table(const struct limit *limit, uint64_t lbn)
{
	return lbn >= limit->first && lbn - limit->first <= limit->n;
}

static int grow(struct limit *limit)
{
	uint64_t *used;

	if (limit->n + 1 < limit->size)
		return 0;
	used = reallocarray(limit->used, limit->size * 2, sizeof(*used));
	if (!used)
		return -ENOMEM;
	limit->used = used;
	limit->size *= 2;
	return 0;
}

/* n more of bytes each from lbn on; what was behind is gone. */
static void learn(struct limit *limit, uint64_t lbn, uint64_t n, uint64_t bytes)
{
	if (!in_table(limit, lbn))
		return;
	limit->n = lbn - limit->first;
	while (n-- && grow(limit) == 0) {
		limit->used[limit->n + 1] = limit->used[limit->n] + bytes;
		limit->n++;
	}
}

static uint64_t used_at(const struct limit *limit, uint64_t lbn)
{
	return limit->used[lbn - limit->first];
}

/* Take the drive to the place and begin the table there. */
static int begin_table(struct limit *limit, const struct pmt_command *cmd)
{
	struct pmt_request go = { .cmd = { .op = PMT_OP_SPACE, .place = cmd->place } };
	uint64_t used;

	pmt_drive_execute(limit->drive.child, &go);
	if (go.result.status != PMT_STATUS_GOOD)
		return -EIO;
	used = pmt_drive_used(limit->drive.child);
	if (used == PMT_UNKNOWN)
		pmt_log(LOG_WARNING, "%s: what is before block %llu is not counted",
			limit->drive.text, (unsigned long long)cmd->place.lbn);
	forget(limit, cmd->place.lbn, used == PMT_UNKNOWN ? 0 : used);
	return 0;
}

static bool is_limited(struct limit *limit, const struct pmt_command *cmd)
{
	const struct pmt_session *session = limit->drive.session;

	if (cmd->place.lbn == PMT_UNKNOWN || cmd->place.partition ||
	    (cmd->flags & PMT_CMD_HERE))
		return false;
	if (session && session->unit_id && cmd->place.generation != limit->generation)
		return false;
	return in_table(limit, cmd->place.lbn) || begin_table(limit, cmd) == 0;
}

/* How many of n things of so many bytes still fit. */
static uint64_t fitting(const struct limit *limit, uint64_t lbn, uint64_t n,
			uint64_t bytes)
{
	uint64_t used = used_at(limit, lbn), there;

	if (!bytes)
		return n;
	there = used < limit->capacity ? (limit->capacity - used) / bytes : 0;
	return n < there ? n : there;
}

static void volume_overflow(struct pmt_request *req, int64_t residue)
{
	struct pmt_result result = req->result;

	pmt_result_check(req, PMT_KEY_OVERFLOW, 0x00, 0x02);
	req->result.sense = PMT_SENSE_EOM;
	req->result.residue = residue;
	req->result.place = result.place;
	req->result.cookie = result.cookie;
}

static void warn_early(struct limit *limit, struct pmt_request *req)
{
	const struct pmt_session *session = limit->drive.session;
	struct pmt_place place = req->cmd.place;

	req->result.sense |= PMT_SENSE_EOM;
	if (req->result.key == PMT_KEY_NONE)
		req->result.ascq = 0x02;
	place.generation = limit->generation;
	if (session && session->early_warning)
		session->early_warning(session, &place);
}

/* Execute the first of the things that the command writes: fit of n. */
static void execute_part(struct limit *limit, struct pmt_request *req, uint64_t fit,
			 uint64_t n)
{
	struct pmt_request part = { .cmd = req->cmd, .data = req->data };

	if (req->cmd.op == PMT_OP_WRITE_FILEMARKS)
		part.cmd.count = (int64_t)fit;
	else
		part.cmd.length = (uint32_t)(fit * req->cmd.block_size);
	if (!fit) {
		part.cmd.op = PMT_OP_SPACE;
		part.cmd.argument = PMT_SPACE_RECORDS;
		part.cmd.count = 0;
	}
	pmt_drive_execute(limit->drive.child, &part);
	req->result = part.result;
	if (part.result.status != PMT_STATUS_GOOD) {
		req->result.residue += (int64_t)(n - fit);
		return;
	}
	volume_overflow(req, req->cmd.op == PMT_OP_WRITE && !req->cmd.block_size ?
				     (int64_t)req->cmd.length : (int64_t)(n - fit));
}

static uint64_t written(const struct pmt_request *req, uint64_t n)
{
	if (req->result.status == PMT_STATUS_GOOD)
		return n;
	if (req->cmd.op == PMT_OP_WRITE && !req->cmd.block_size)
		return 0;
	return n - (uint64_t)req->result.residue;
}

static void limited_write(struct limit *limit, struct pmt_request *req)
{
	const struct pmt_command *cmd = &req->cmd;
	bool marks = cmd->op == PMT_OP_WRITE_FILEMARKS;
	uint64_t n = marks ? (uint64_t)cmd->count : pmt_command_records(cmd);
	uint64_t bytes = marks ? limit->mark :
			 cmd->block_size ? cmd->block_size : cmd->length;
	uint64_t fit = fitting(limit, cmd->place.lbn, n, bytes);

	if (fit < n)
		execute_part(limit, req, fit, n);
	else
		pmt_drive_execute(limit->drive.child, req);
	if (written(req, n))
		learn(limit, cmd->place.lbn, written(req, n), bytes);
	if (req->result.status == PMT_STATUS_GOOD &&
	    used_at(limit, cmd->place.lbn + n) >= limit->capacity - limit->ew)
		warn_early(limit, req);
}

static void learn_read(struct limit *limit, const struct pmt_request *req)
{
	const struct pmt_command *cmd = &req->cmd;
	uint64_t n = pmt_command_records(cmd), bytes = cmd->block_size;

	if (cmd->place.lbn == PMT_UNKNOWN || !in_table(limit, cmd->place.lbn) ||
	    cmd->place.lbn - limit->first != limit->n)
		return;
	if (req->result.sense & PMT_SENSE_FILEMARK) {
		n = 1;
		bytes = limit->mark;
		if (cmd->block_size)
			return;
	} else if (!cmd->block_size) {
		bytes = (uint64_t)((int64_t)cmd->length - req->result.residue);
	}
	if (req->result.key == PMT_KEY_NONE)
		learn(limit, cmd->place.lbn, n, bytes);
}

static void after(struct limit *limit, struct pmt_request *req)
{
	const struct pmt_place *place = &req->result.place;

	if (req->result.place.generation > limit->generation) {
		limit->generation = req->result.place.generation;
		forget(limit, 0, 0);
		return;
	}
	if (req->result.status == PMT_STATUS_CANCELLED || req->cmd.place.partition)
		return;
	if (req->cmd.op == PMT_OP_READ)
		learn_read(limit, req);
	if ((req->cmd.op == PMT_OP_CUT || req->cmd.op == PMT_OP_ERASE) &&
	    req->result.status == PMT_STATUS_GOOD && place->lbn != PMT_UNKNOWN)
		learn(limit, place->lbn, 0, 0);
}

static void publish_room(struct limit *limit, struct pmt_request *req)
{
	uint64_t lbn = req->result.place.lbn, end = limit->capacity - limit->ew, room;

	if (limit->hide) {
		req->result.room = PMT_UNKNOWN;
		return;
	}
	/* Who does not know how much is used can not say that there is room. */
	if (lbn == PMT_UNKNOWN || !in_table(limit, lbn)) {
		req->result.room = 0;
		return;
	}
	room = used_at(limit, lbn) < end ? end - used_at(limit, lbn) : 0;
	if (room < req->result.room)
		req->result.room = room;
}

static void limit_execute(struct pmt_drive *drive, struct pmt_request *req)
{
	struct limit *limit = (struct limit *)drive;
	bool writes = (req->cmd.op == PMT_OP_WRITE && req->cmd.length) ||
		      (req->cmd.op == PMT_OP_WRITE_FILEMARKS && req->cmd.count > 0);

	if (writes && is_limited(limit, &req->cmd))
		limited_write(limit, req);
	else
		pmt_drive_execute(drive->child, req);
	after(limit, req);
	publish_room(limit, req);
}

static uint32_t max(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static void limit_limits(struct pmt_drive *drive, struct pmt_limits *limits)
{
	struct limit *limit = (struct limit *)drive;

	limits->byte_cost = max(limits->byte_cost, 256);
	limits->mark_cost = max(limits->mark_cost, (uint32_t)limit->mark);
	if (limit->hide && limits->window > limit->ew)
		limits->window = limit->ew;
}

const struct pmt_drive_ops pmt_limit_drive = {
	.name = "limit",
	.size = sizeof(struct limit),
	.open = limit_open,
	.close = limit_close,
	.attach = limit_attach,
	.execute = limit_execute,
	.limits = limit_limits,
};
