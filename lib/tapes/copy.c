// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Copying a tape to another: records and marks as they are, both drives busy.
 *
 * The reader's objects are given to WRITEs of the target with their buffers; at
 * most HELD of them are not yet answered, so that the reader has the other buffers
 * to read ahead.  What is counted as copied is what was answered.
 *
 * The end of the target.  With spread, no record is sent behind the one that met
 * early warning; what is answered then is made durable, the volume is unloaded and
 * what is left goes to the next one.  Without it the target is filled to its end,
 * and then cut behind its last filemark, so that it ends with a whole file and
 * copying can go on with the next file elsewhere.
 */
#include <errno.h>
#include <inttypes.h>
#include <syslog.h>

#include "tapes.h"

#define HELD (PMT_FLOW_DEPTH / 2)

struct copier {
	struct pmt_reader *reader;
	struct pmt_flow target;
	const struct pmt_copy *wish;
	struct pmt_copied *copied;
	struct pmt_object held[HELD];	/* a ring: sent and not answered */
	uint32_t head, used;
	bool early;			/* the target has met early warning */
	bool sent;			/* something was, to this volume */
	bool failed;			/* the target: nothing is in flight */
	/* As of the last filemark of this volume, or its beginning: */
	struct pmt_copied kept;
	struct pmt_place kept_place;
};

static struct pmt_object *held(struct copier *c, uint32_t i)
{
	return &c->held[(c->head + i) % HELD];
}

/* Behind the last filemark the target can be cut, and is whole. */
static void keep(struct copier *c)
{
	c->kept = *c->copied;
	c->kept_place = c->copied->to;
}

/* Beginning on a volume */

/* -EEXIST: it has something, and is not to be written over. */
static int check_empty(struct copier *c)
{
	struct pmt_flow *t = &c->target;
	struct pmt_place start = t->place;
	struct pmt_result result;
	char byte[1];

	if (c->wish->overwrite || t->eod == 0)
		return 0;
	if (t->eod == PMT_UNKNOWN) {
		result = pmt_flow_do(t, (struct pmt_command){ .op = PMT_OP_READ,
							      .length = 1 }, byte);
		t->place = start;
		if (result.key == PMT_KEY_BLANK)
			return 0;
	}
	pmt_log(LOG_ERR, "%s: the tape is not empty; nothing was written to it. Write over "
		"it, append to it, or take another one", t->drive->text);
	return -EEXIST;
}

static int to_end(struct copier *c)
{
	struct pmt_flow *t = &c->target;
	struct pmt_place before = t->place;
	struct pmt_result result =
		pmt_flow_do(t, (struct pmt_command){ .op = PMT_OP_SPACE,
						     .argument = PMT_SPACE_EOD }, NULL);

	if (!pmt_result_is_good(&result))
		return pmt_flow_fail(t, "go to the end of data", &before, &result);
	if (t->place.lbn != PMT_UNKNOWN ||
	    (t->place.file != PMT_UNKNOWN && t->place.block != PMT_UNKNOWN))
		return 0;
	pmt_log(LOG_ERR, "%s: the drive does not tell where it is at the end of data: it "
		"can not append", t->drive->text);
	return -ENOTSUP;
}

static uint32_t target_partition(const struct copier *c)
{
	uint32_t wanted = c->wish->walk.partition;
	uint32_t more = c->target.medium_flags >> PMT_MEDIUM_MORE_SHIFT;

	return more ? wanted : PMT_ANY_PARTITION;
}

/* Tapes that have one partition take it, whichever the source's is. */
static int begin_target(struct copier *c)
{
	struct pmt_flow *t = &c->target;
	int rc = pmt_flow_begin(t, 0);

	if (!rc && t->medium_flags >> PMT_MEDIUM_MORE_SHIFT)
		rc = pmt_flow_begin(t, target_partition(c));
	if (!rc && t->medium_flags & PMT_MEDIUM_PROTECTED) {
		pmt_log(LOG_ERR, "%s: the tape is write protected", t->drive->text);
		rc = -EROFS;
	}
	if (!rc)
		rc = c->wish->append ? to_end(c) : check_empty(c);
	c->copied->began = !rc;
	c->copied->to = t->place;
	keep(c);
	return rc;
}

/* Answers */

static struct pmt_place behind(const struct pmt_object *object)
{
	bool mark = object->kind == PMT_OBJECT_MARK;
	struct pmt_command cmd = {
		.op = mark ? PMT_OP_WRITE_FILEMARKS : PMT_OP_READ,
		.count = 1,
		.length = 1,
		.place = object->place,
	};

	return pmt_place_after(&cmd);
}

static void answered(struct copier *c, const struct pmt_request *req)
{
	const struct pmt_object *object = held(c, 0);

	pmt_tally_add(&c->copied->tally, object);
	c->copied->from = behind(object);
	c->copied->to = pmt_place_after(&req->cmd);
	c->early = c->early || req->result.sense & PMT_SENSE_EOM;
	c->head++;
	c->used--;
	if (object->kind == PMT_OBJECT_MARK)
		keep(c);
	pmt_flow_release(&c->target);
	pmt_reader_release(c->reader);
}

static int write_failed(struct copier *c, const struct pmt_request *req)
{
	struct pmt_result result = req->result;
	struct pmt_place place = req->cmd.place;

	pmt_flow_settle(&c->target);
	pmt_flow_take_back(&c->target);
	c->target.place = c->copied->to;
	c->failed = true;
	if (result.key == PMT_KEY_OVERFLOW)
		return -ENOSPC;
	return pmt_flow_fail(&c->target, "write", &place, &result);
}

/* Until no more than so many are not answered.  -ENOSPC: not logged. */
static int reap(struct copier *c, uint32_t most)
{
	while (c->used > most) {
		struct pmt_request *req = pmt_flow_wait(&c->target);

		if (!pmt_result_is_good(&req->result))
			return write_failed(c, req);
		answered(c, req);
	}
	return 0;
}

/* Sending */

static void send(struct copier *c, const struct pmt_object *object)
{
	struct pmt_command cmd = { .op = PMT_OP_WRITE, .length = object->length };
	uint32_t index;

	if (!c->sent)
		cmd.flags = PMT_CMD_POSITIONED;
	c->sent = true;
	if (object->kind == PMT_OBJECT_MARK) {
		cmd.op = PMT_OP_WRITE_FILEMARKS;
		cmd.flags |= PMT_CMD_IMMEDIATE;
		cmd.count = 1;
	}
	index = pmt_flow_send(&c->target, cmd, (void *)object->data);
	c->target.place = pmt_place_after(&c->target.requests[index].cmd);
}

static int sync_target(struct copier *c)
{
	struct pmt_place place = c->target.place;
	struct pmt_result result =
		pmt_flow_do(&c->target, (struct pmt_command){ .op = PMT_OP_WRITE_FILEMARKS },
			    NULL);

	c->target.place = place;
	if (pmt_result_is_good(&result))
		return 0;
	return pmt_flow_fail(&c->target, "make durable what was written", &place, &result);
}

/* The next volume, which gets what the last one did not take. */
static int spread(struct copier *c)
{
	int rc = sync_target(c);

	if (rc)
		return rc;
	rc = pmt_flow_next_volume(&c->target, &c->wish->walk, target_partition(c));
	if (rc == 0) {
		pmt_log(LOG_ERR, "%s: the volume is full, and there is no next one",
			c->target.drive->text);
		return -ENOMEDIUM;
	}
	if (rc < 0)
		return rc;
	c->copied->volumes++;
	c->early = c->sent = false;
	c->copied->to = c->target.place;
	keep(c);
	rc = check_empty(c);
	c->failed = rc;
	for (uint32_t i = 0; !rc && i < c->used; i++)
		send(c, held(c, i));
	return rc;
}

/* Until so few are in flight, over the ends of volumes. */
static int reap_on(struct copier *c, uint32_t most)
{
	int rc;

	while ((rc = reap(c, most)) == -ENOSPC && c->wish->spread) {
		if (c->copied->to.lbn == 0) {
			pmt_log(LOG_ERR, "%s: an empty volume does not take the record "
				"at %s", c->target.drive->text,
				pmt_place_text(&held(c, 0)->place).text);
			return rc;
		}
		rc = spread(c);
		if (rc)
			return rc;
	}
	return rc;
}

static int too_long(const struct copier *c, const struct pmt_object *object)
{
	const struct pmt_limits *limits = &c->target.limits;

	if (object->kind != PMT_OBJECT_RECORD ||
	    (object->length >= limits->record_min && object->length <= limits->record_max))
		return 0;
	pmt_log(LOG_ERR, "%s: the record at %s has %u bytes, and this drive takes %u to %u",
		c->target.drive->text, pmt_place_text(&object->place).text, object->length,
		limits->record_min, limits->record_max);
	return -EMSGSIZE;
}

static int put(struct copier *c, const struct pmt_object *object)
{
	int rc = too_long(c, object);

	if (!rc)
		rc = reap_on(c, HELD - 1);
	if (!rc && c->early && c->wish->spread) {
		rc = reap_on(c, 0);
		if (!rc && c->early)
			rc = spread(c);
	}
	if (rc)
		return rc;
	*held(c, c->used) = *object;
	c->used++;
	send(c, object);
	return 0;
}

/* A place that can not be read: the end, or it is left out. */
static int leave_out(struct copier *c, const struct pmt_object *object)
{
	c->copied->tally.damaged++;
	if (c->wish->damaged)
		c->wish->damaged(object, c->wish->walk.context);
	if (c->wish->skip_damaged) {
		pmt_reader_release(c->reader);
		return 0;
	}
	return -EBADMSG;
}

static int pump(struct copier *c)
{
	for (;;) {
		struct pmt_object object;
		int rc = pmt_reader_next(c->reader, &object);

		if (rc)
			return rc;
		if (object.kind == PMT_OBJECT_END)
			return 0;
		if (object.kind == PMT_OBJECT_DAMAGED) {
			/* In order: what is before it is answered first. */
			rc = reap_on(c, 0);
			if (!rc)
				rc = leave_out(c, &object);
		} else {
			rc = put(c, &object);
		}
		if (!rc && !pmt_reader_goes_on(c->reader, &c->copied->tally))
			rc = -EINTR;
		if (rc)
			return rc;
	}
}

/* Ending */

/* The end of data here; and if nothing was written, of what is written over. */
static int cut(struct copier *c)
{
	struct pmt_place place = c->target.place;
	struct pmt_command cmd = { .op = PMT_OP_CUT, .flags = PMT_CMD_POSITIONED };
	struct pmt_result result = pmt_flow_do(&c->target, cmd, NULL);

	c->target.place = place;
	if (pmt_result_is_good(&result))
		return 0;
	return pmt_flow_fail(&c->target, "cut", &place, &result);
}

/* Full: back to the last filemark, if more was written. */
static void cut_back(struct copier *c)
{
	struct pmt_copied now = *c->copied;

	if (now.tally.records == c->kept.tally.records &&
	    now.tally.marks == c->kept.tally.marks)
		return;
	c->target.place = c->kept_place;
	if (cut(c)) {
		c->target.place = now.to;
		return;
	}
	*c->copied = c->kept;
	c->copied->cut = now.tally.records - c->kept.tally.records;
	c->copied->tally.damaged = now.tally.damaged;
}

static int finish(struct copier *c, int rc)
{
	int last = c->failed ? 0 : reap_on(c, 0);

	rc = rc ? rc : last;
	if (rc == -ENOSPC && !c->wish->spread)
		cut_back(c);
	if (!rc && c->wish->overwrite && !c->sent && c->copied->volumes == 1)
		rc = cut(c);
	last = sync_target(c);
	return rc ? rc : last;
}

int pmt_copy(struct pmt_drive *from, struct pmt_drive *to, const struct pmt_copy *wish,
	     struct pmt_copied *copied)
{
	struct copier c = { .wish = wish, .copied = copied };
	int rc = pmt_reader_open(&c.reader, from, &wish->walk);

	*copied = (struct pmt_copied){ .volumes = 1 };
	if (rc)
		return rc;
	rc = pmt_flow_open(&c.target, to);
	if (!rc) {
		copied->from = *pmt_reader_place(c.reader);
		rc = begin_target(&c);
		if (!rc)
			rc = finish(&c, pump(&c));
		pmt_flow_close(&c.target);
	}
	pmt_reader_close(c.reader);
	return rc;
}
