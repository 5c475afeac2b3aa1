// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * limit: what a drive of a certain kind does not take, for any drive.
 *
 * capacity=BYTES of records, ew=BYTES before it, mark=BYTES that a filemark takes
 * (0).  Early warning is met by the command that leaves ew bytes or less.  The
 * room before it is published; with room=hide it is not, and the window is ew, as
 * with a drive that cannot tell.  Without a capacity there is none of this, until
 * control says "cap".  Also: density=N, the only one; record=BYTES, the largest;
 * window=BYTES at most acknowledged and not done.
 *
 * How full the tape is: of each partition, used[i] is what the first (first + i)
 * records and marks take.  The table grows with what is written and read in a
 * row, and is forgotten at UNLOAD, LOAD and FORMAT.  Where a command writes outside
 * of it, the records up to there are read to be counted; if they are more than
 * COUNT_MAX or cannot be read, the table begins anew there with what the drive says
 * is used, or with 0.  Each partition has the whole capacity.  Commands of another
 * generation than the drive's pass: the leaf has the guards.
 *
 * Bounds are control's, under limit->lock; a command takes a copy.  Tables are
 * the executing thread's.
 */
#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "internal.h"

#define COUNT_MAX 65536u

struct bounds {
	uint64_t capacity;		/* PMT_UNKNOWN: none */
	uint64_t warn;			/* early warning with so much used, or more */
};

struct table {
	uint64_t first, n, size;	/* n + 1 entries used; size 0: none made yet */
	uint64_t *used;
};

struct limit {
	struct pmt_drive drive;
	struct bounds opened;
	uint64_t mark, record, window;
	bool hide, has_density;
	uint8_t density;
	pthread_mutex_t lock;
	struct bounds bounds;
	uint64_t generation;		/* of the drive */
	struct table tables[PMT_PARTITION_MAX + 1];
};

/* Options */

static int optional(int rc)
{
	return rc == -ENOENT ? 0 : rc;
}

static int take_capacity(struct limit *limit, const struct pmt_spec *spec)
{
	uint64_t capacity = PMT_UNKNOWN, ew = 0;
	bool has = pmt_spec_number(spec, "capacity", 1, INT64_MAX, &capacity) != -ENOENT;
	int rc;

	if (has && capacity == PMT_UNKNOWN)
		return -EINVAL;
	rc = pmt_spec_number(spec, "ew", 0, capacity, &ew);
	if (rc == 0 && !has)
		return pmt_spec_refuse(spec, "capacity", "bytes");
	limit->opened.capacity = capacity;
	limit->opened.warn = has ? capacity - ew : PMT_UNKNOWN;
	limit->bounds = limit->opened;
	return optional(rc);
}

static int take_room(struct limit *limit, const struct pmt_spec *spec)
{
	const char *room = "show";

	pmt_spec_string(spec, "room", &room);
	if (strcmp(room, "show") && strcmp(room, "hide"))
		return pmt_spec_refuse(spec, "room", "show or hide");
	limit->hide = strcmp(room, "hide") == 0;
	return 0;
}

static int take_density(struct limit *limit, const struct pmt_spec *spec)
{
	const char *text;
	unsigned long density;
	char *end;

	if (pmt_spec_string(spec, "density", &text))
		return 0;
	density = strtoul(text, &end, 0);
	if (*text < '0' || *text > '9' || *end || density > 255)
		return pmt_spec_refuse(spec, "density", "0 to 255, or 0x0 to 0xff");
	limit->has_density = true;
	limit->density = (uint8_t)density;
	return 0;
}

static int limit_open(struct pmt_drive *drive, const struct pmt_spec *spec)
{
	struct limit *limit = (struct limit *)drive;
	int rc = take_capacity(limit, spec);

	limit->record = PMT_RECORD_MAX;
	limit->window = PMT_UNKNOWN;
	if (rc == 0)
		rc = optional(pmt_spec_number(spec, "mark", 0, UINT32_MAX, &limit->mark));
	if (rc == 0)
		rc = take_room(limit, spec);
	if (rc == 0)
		rc = take_density(limit, spec);
	if (rc == 0)
		rc = optional(pmt_spec_number(spec, "record", 1, PMT_RECORD_MAX,
					      &limit->record));
	if (rc == 0)
		rc = optional(pmt_spec_number(spec, "window", 0, INT64_MAX,
					      &limit->window));
	if (rc == 0)
		rc = pmt_spec_unused(spec);
	return rc ? rc : -pthread_mutex_init(&limit->lock, NULL);
}

static void limit_close(struct pmt_drive *drive)
{
	struct limit *limit = (struct limit *)drive;

	for (unsigned int i = 0; i <= PMT_PARTITION_MAX; i++)
		free(limit->tables[i].used);
	pthread_mutex_destroy(&limit->lock);
}

static struct bounds bounds_of(struct limit *limit)
{
	struct bounds bounds;

	pthread_mutex_lock(&limit->lock);
	bounds = limit->bounds;
	pthread_mutex_unlock(&limit->lock);
	return bounds;
}

/* Tables */

static int grow(struct table *table)
{
	uint64_t size = table->size ? table->size * 2 : 256, *used;

	if (table->size && table->n + 1 < table->size)
		return 0;
	used = reallocarray(table->used, size, sizeof(*used));
	if (!used)
		return -ENOMEM;
	if (!table->size)
		used[0] = 0;
	table->used = used;
	table->size = size;
	return 0;
}

static struct table *table_of(struct limit *limit, const struct pmt_place *place)
{
	struct table *table;

	if (place->partition > PMT_PARTITION_MAX)
		return NULL;
	table = &limit->tables[place->partition];
	return table->size || grow(table) == 0 ? table : NULL;
}

static void begin(struct table *table, uint64_t lbn, uint64_t used)
{
	table->first = lbn;
	table->n = 0;
	if (table->size)
		table->used[0] = used;
}

static void forget(struct limit *limit)
{
	for (unsigned int i = 0; i <= PMT_PARTITION_MAX; i++)
		begin(&limit->tables[i], 0, 0);
}

static bool in_table(const struct table *table, uint64_t lbn)
{
	return lbn >= table->first && lbn - table->first <= table->n;
}

/* n more of bytes each from lbn on; what was behind is gone. */
static void learn(struct table *table, uint64_t lbn, uint64_t n, uint64_t bytes)
{
	if (lbn < table->first)
		begin(table, 0, 0);
	if (!in_table(table, lbn))
		return;
	table->n = lbn - table->first;
	while (n-- && grow(table) == 0) {
		table->used[table->n + 1] = table->used[table->n] + bytes;
		table->n++;
	}
}

static uint64_t used_at(const struct table *table, uint64_t lbn)
{
	return table->used[lbn - table->first];
}

static int limit_attach(struct pmt_drive *drive, const struct pmt_session *session)
{
	struct limit *limit = (struct limit *)drive;
	struct pmt_request test = { .cmd = { .op = PMT_OP_TEST, .place = session->place } };

	pmt_drive_execute(drive->child, &test);
	limit->generation = test.result.place.generation;
	forget(limit);
	return 0;
}

/* Counting */

/* The record or mark behind the table; its length is all that is wanted of it. */
static int count_one(struct limit *limit, struct table *table, struct pmt_place *place)
{
	char byte;
	struct pmt_request req = { .cmd = { .op = PMT_OP_READ, .place = *place, .length = 1 },
				   .data = &byte };
	const struct pmt_result *result = &req.result;
	uint64_t lbn = place->lbn, bytes;

	pmt_drive_execute(limit->drive.child, &req);
	if (result->status == PMT_STATUS_CANCELLED)
		return -ECANCELED;
	if (result->sense & PMT_SENSE_FILEMARK)
		bytes = limit->mark;
	else if (result->key == PMT_KEY_NONE && result->residue <= 1)
		bytes = (uint64_t)(1 - result->residue);
	else
		return -EIO;
	*place = result->place;
	if (place->lbn != lbn + 1)
		return -EIO;
	learn(table, lbn, 1, bytes);
	return in_table(table, lbn + 1) ? 0 : -ENOMEM;
}

static int count_up_to(struct limit *limit, struct table *table,
		       const struct pmt_place *to)
{
	struct pmt_place place = *to;
	int rc = 0;

	if (to->lbn < table->first)
		begin(table, 0, 0);
	place.lbn = table->first + table->n;
	place.file = place.block = place.lbn ? PMT_UNKNOWN : 0;
	if (to->lbn - place.lbn > COUNT_MAX)
		return -E2BIG;
	while (rc == 0 && !in_table(table, to->lbn))
		rc = count_one(limit, table, &place);
	return rc;
}

/* Begin anew at the place, where the drive stands. */
static void guess(struct limit *limit, struct table *table, uint64_t lbn)
{
	uint64_t used = pmt_drive_used(limit->drive.child);

	if (used == PMT_UNKNOWN)
		pmt_log(LOG_WARNING, "%s: what is before block %llu is not counted",
			limit->drive.text, (unsigned long long)lbn);
	begin(table, lbn, used == PMT_UNKNOWN ? 0 : used);
}

static int find_used(struct limit *limit, struct table *table,
		     const struct pmt_place *place)
{
	struct pmt_request go = { .cmd = { .op = PMT_OP_SPACE, .place = *place } };

	if (in_table(table, place->lbn) || count_up_to(limit, table, place) == 0)
		return 0;
	pmt_drive_execute(limit->drive.child, &go);
	if (go.result.status != PMT_STATUS_GOOD)
		return -EIO;
	guess(limit, table, place->lbn);
	return 0;
}

/* Writing */

static bool writes(const struct pmt_command *cmd)
{
	return (cmd->op == PMT_OP_WRITE && cmd->length) ||
	       (cmd->op == PMT_OP_WRITE_FILEMARKS && cmd->count >= 0);
}

static uint64_t things(const struct pmt_command *cmd)
{
	return cmd->op == PMT_OP_WRITE_FILEMARKS ? (uint64_t)cmd->count :
						   pmt_command_records(cmd);
}

/* The place in a command that names none by LBN: where the drive then stands. */
static void find_place(struct limit *limit, struct pmt_command *cmd)
{
	struct pmt_request go = { .cmd = { .op = PMT_OP_SPACE, .flags = cmd->flags,
					   .place = cmd->place } };

	if (cmd->place.lbn != PMT_UNKNOWN)
		return;
	pmt_drive_execute(limit->drive.child, &go);
	if (go.result.status == PMT_STATUS_GOOD)
		cmd->place.lbn = go.result.place.lbn;
	if (cmd->flags & PMT_CMD_HERE)
		cmd->place.partition = go.result.place.partition;
}

/* The table, if the command is one to be limited; *cmd has its place. */
static struct table *limiting(struct limit *limit, struct pmt_command *cmd)
{
	const struct pmt_session *session = limit->drive.session;
	struct table *table;

	if (session && session->unit_id && cmd->place.generation != limit->generation)
		return NULL;
	if (things(cmd))
		find_place(limit, cmd);
	table = table_of(limit, &cmd->place);
	if (!table || cmd->place.lbn == PMT_UNKNOWN)
		return NULL;
	if (!things(cmd))
		return in_table(table, cmd->place.lbn) ? table : NULL;
	return find_used(limit, table, &cmd->place) == 0 ? table : NULL;
}

/* How many of n things of so many bytes still fit. */
static uint64_t fitting(const struct bounds *bounds, uint64_t used, uint64_t n,
			uint64_t bytes)
{
	uint64_t there;

	if (!bytes)
		return n;
	there = used < bounds->capacity ? (bounds->capacity - used) / bytes : 0;
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

static void warn_early(struct limit *limit, struct pmt_request *req,
		       struct pmt_place place)
{
	const struct pmt_session *session = limit->drive.session;

	req->result.sense |= PMT_SENSE_EOM;
	if (req->result.key == PMT_KEY_NONE)
		req->result.ascq = 0x02;
	place.generation = limit->generation;
	if (session && session->early_warning)
		session->early_warning(session, &place);
}

/*
 * Execute the first of the things that the command writes: fit of n.  None is a
 * writing all the same: what was behind the place is gone.
 */
static void execute_part(struct limit *limit, struct pmt_request *req, uint64_t fit,
			 uint64_t n)
{
	struct pmt_request part = { .cmd = req->cmd, .data = req->data };
	bool variable = req->cmd.op == PMT_OP_WRITE && !req->cmd.block_size;
	int64_t left = variable ? req->cmd.length : (int64_t)(n - fit);

	if (!fit)
		part.cmd.op = PMT_OP_CUT;
	else if (req->cmd.op == PMT_OP_WRITE_FILEMARKS)
		part.cmd.count = (int64_t)fit;
	else
		part.cmd.length = (uint32_t)(fit * req->cmd.block_size);
	pmt_drive_execute(limit->drive.child, &part);
	req->result = part.result;
	if (part.result.status == PMT_STATUS_GOOD)
		volume_overflow(req, left);
	else
		req->result.residue += left;
}

static uint64_t written(const struct pmt_request *req, uint64_t n)
{
	if (req->result.status == PMT_STATUS_GOOD)
		return n;
	if (req->cmd.op == PMT_OP_WRITE && !req->cmd.block_size)
		return 0;
	return n - (uint64_t)req->result.residue;
}

static uint64_t bytes_each(const struct limit *limit, const struct pmt_command *cmd)
{
	if (cmd->op == PMT_OP_WRITE_FILEMARKS)
		return limit->mark;
	return cmd->block_size ? cmd->block_size : cmd->length;
}

static void limited_write(struct limit *limit, const struct bounds *bounds,
			  struct table *table, const struct pmt_place *place,
			  struct pmt_request *req)
{
	uint64_t lbn = place->lbn;
	uint64_t n = things(&req->cmd), bytes = bytes_each(limit, &req->cmd);
	uint64_t fit = fitting(bounds, used_at(table, lbn), n, bytes);

	if (fit < n)
		execute_part(limit, req, fit, n);
	else
		pmt_drive_execute(limit->drive.child, req);
	if (n)
		learn(table, lbn, written(req, n), bytes);
	if (req->result.status == PMT_STATUS_GOOD && in_table(table, lbn + n) &&
	    used_at(table, lbn + n) >= bounds->warn)
		warn_early(limit, req, *place);
}

/* Nothing is limited, but it will be wanted when something is. */
static void counted_write(struct limit *limit, struct pmt_request *req)
{
	const struct pmt_command *cmd = &req->cmd;
	struct table *table = table_of(limit, &cmd->place);
	uint64_t n = things(cmd);

	pmt_drive_execute(limit->drive.child, req);
	if (!n || !table)
		return;
	if (cmd->place.lbn == PMT_UNKNOWN)
		forget(limit);
	else
		learn(table, cmd->place.lbn, written(req, n), bytes_each(limit, cmd));
}

static void do_write(struct limit *limit, const struct bounds *bounds,
		     struct pmt_request *req)
{
	struct pmt_command cmd = req->cmd;
	struct table *table = NULL;

	if (bounds->capacity != PMT_UNKNOWN)
		table = limiting(limit, &cmd);
	if (table)
		limited_write(limit, bounds, table, &cmd.place, req);
	else
		counted_write(limit, req);
}

/* Everything else */

static void learn_read(struct limit *limit, const struct pmt_request *req)
{
	const struct pmt_command *cmd = &req->cmd;
	uint64_t n = pmt_command_records(cmd), bytes = cmd->block_size;
	struct table *table = table_of(limit, &cmd->place);

	if (!table || cmd->place.lbn == PMT_UNKNOWN ||
	    cmd->place.lbn != table->first + table->n)
		return;
	if (req->result.sense & PMT_SENSE_FILEMARK) {
		n = 1;
		bytes = limit->mark;
		if (cmd->block_size)
			return;
	} else if (!cmd->block_size) {
		bytes = (uint64_t)((int64_t)cmd->length - req->result.residue);
	}
	if (req->result.key == PMT_KEY_NONE &&
	    (!cmd->block_size || req->result.status == PMT_STATUS_GOOD))
		learn(table, cmd->place.lbn, n, bytes);
}

static void after(struct limit *limit, struct pmt_request *req)
{
	const struct pmt_place *place = &req->result.place;
	struct table *table;

	if (place->generation > limit->generation || req->cmd.op == PMT_OP_FORMAT) {
		limit->generation = place->generation;
		forget(limit);
		return;
	}
	if (req->result.status == PMT_STATUS_CANCELLED)
		return;
	if (req->cmd.op == PMT_OP_READ)
		learn_read(limit, req);
	if ((req->cmd.op == PMT_OP_CUT || req->cmd.op == PMT_OP_ERASE) &&
	    req->result.status == PMT_STATUS_GOOD && place->lbn != PMT_UNKNOWN) {
		table = table_of(limit, place);
		if (table)
			learn(table, place->lbn, 0, 0);
	}
}

static void publish_room(struct limit *limit, const struct bounds *bounds,
			 struct pmt_request *req)
{
	const struct table *table = table_of(limit, &req->result.place);
	uint64_t lbn = req->result.place.lbn, used, room;

	if (bounds->capacity == PMT_UNKNOWN)
		return;
	if (limit->hide) {
		req->result.room = PMT_UNKNOWN;
		return;
	}
	/* Who does not know how much is used can not say that there is room. */
	if (lbn == PMT_UNKNOWN || !table || !in_table(table, lbn)) {
		req->result.room = 0;
		return;
	}
	used = used_at(table, lbn);
	room = used < bounds->warn ? bounds->warn - used : 0;
	if (room < req->result.room)
		req->result.room = room;
}

static bool is_too_long(const struct limit *limit, const struct pmt_command *cmd)
{
	return cmd->op == PMT_OP_WRITE &&
	       (cmd->block_size ? cmd->block_size : cmd->length) > limit->record;
}

static bool is_strange_mode(const struct limit *limit, const struct pmt_command *cmd)
{
	uint8_t density = cmd->modes.density;

	if (cmd->op != PMT_OP_MODE)
		return false;
	return cmd->modes.block_size > limit->record ||
	       (limit->has_density && density && density != 0x7f &&
		density != limit->density);
}

/* What a drive of this kind does not take; the child says where it stands. */
static bool is_refused(struct limit *limit, struct pmt_request *req)
{
	struct pmt_request test = { .cmd = { .op = PMT_OP_TEST, .place = req->cmd.place,
					     .flags = req->cmd.flags & PMT_CMD_HERE } };
	bool mode = is_strange_mode(limit, &req->cmd);

	if (!mode && !is_too_long(limit, &req->cmd))
		return false;
	pmt_drive_execute(limit->drive.child, &test);
	pmt_result_check(req, PMT_KEY_ILLEGAL, mode ? 0x26 : 0x24, 0x00);
	req->result.place = test.result.place;
	req->result.cookie = test.result.cookie;
	return true;
}

/* The density is this filter's; the child's is another, and stays its own. */
static void set_modes(struct limit *limit, struct pmt_request *req)
{
	struct pmt_request mode = { .cmd = req->cmd };

	mode.cmd.modes.density = 0;
	pmt_drive_execute(limit->drive.child, &mode);
	req->result = mode.result;
}

static void limit_execute(struct pmt_drive *drive, struct pmt_request *req)
{
	struct limit *limit = (struct limit *)drive;
	struct bounds bounds = bounds_of(limit);

	if (is_refused(limit, req))
		return;
	if (writes(&req->cmd))
		do_write(limit, &bounds, req);
	else if (req->cmd.op == PMT_OP_MODE && limit->has_density)
		set_modes(limit, req);
	else
		pmt_drive_execute(drive->child, req);
	after(limit, req);
	publish_room(limit, &bounds, req);
	if (limit->has_density && (req->result.medium_flags & PMT_MEDIUM_PRESENT))
		req->result.density = limit->density;
}

static uint32_t max(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static void limit_limits(struct pmt_drive *drive, struct pmt_limits *limits)
{
	struct limit *limit = (struct limit *)drive;
	struct bounds bounds = bounds_of(limit);
	uint64_t ew = bounds.warn < bounds.capacity ? bounds.capacity - bounds.warn : 0;

	limits->byte_cost = max(limits->byte_cost, 256);
	limits->mark_cost = max(limits->mark_cost, (uint32_t)limit->mark);
	if (limits->record_max > limit->record)
		limits->record_max = (uint32_t)limit->record;
	if (limits->window > limit->window)
		limits->window = limit->window;
	if (bounds.capacity != PMT_UNKNOWN && limit->hide && limits->window > ew)
		limits->window = ew;
}

/* Control */

static void set_bounds(struct limit *limit, const struct bounds *bounds)
{
	pthread_mutex_lock(&limit->lock);
	limit->bounds = *bounds;
	pthread_mutex_unlock(&limit->lock);
}

static int take_blank(struct pmt_drive *drive, const uint64_t *values, char **error)
{
	struct limit *limit = (struct limit *)drive;

	(void)values;
	(void)error;
	set_bounds(limit, &limit->opened);
	return 0;
}

/* Early warning begins one byte later than by options. */
static int take_cap(struct pmt_drive *drive, const uint64_t *values, char **error)
{
	struct bounds bounds = { values[0], values[0] - values[1] + 1 };

	if (values[1] > values[0])
		return pmt_line_refuse(error, -EINVAL, "EW is more than BYTES");
	set_bounds((struct limit *)drive, &bounds);
	return 0;
}

static int limit_control(struct pmt_drive *drive, const char *line, char **error)
{
	static const struct pmt_verb verbs[] = {
		{ "blank", "", take_blank },
		{ "cap", "BYTES EW", take_cap },
		{ NULL, NULL, NULL },
	};

	return pmt_line_take(line, verbs, drive, error);
}

const struct pmt_drive_ops pmt_limit_drive = {
	.name = "limit",
	.size = sizeof(struct limit),
	.open = limit_open,
	.close = limit_close,
	.attach = limit_attach,
	.execute = limit_execute,
	.limits = limit_limits,
	.control = limit_control,
	.transparent = true,
};
