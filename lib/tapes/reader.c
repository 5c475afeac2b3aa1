// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Reading a whole tape, or a part, record by record.
 *
 * READs are kept in flight at the places where the next records would be if no mark
 * came; a mark, the end and an error are exceptions, behind which reading begins
 * anew.  Buffers grow when a record turns out to be longer.  An object that was
 * given out keeps its buffer until it is released.
 *
 * A record that can not be read is an object, too (PMT_OBJECT_DAMAGED), and what is
 * behind it is read; whatever else goes wrong ends the reading.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <syslog.h>

#include "tapes.h"

#define BUFFER_FIRST	(256u << 10)

struct pmt_reader {
	struct pmt_flow flow;
	struct pmt_walk walk;
	void *buffers[PMT_FLOW_DEPTH];	/* of the flow's requests */
	size_t sizes[PMT_FLOW_DEPTH];
	size_t size;			/* that buffers should have */
	uint32_t volume;
	bool ended;
	uint64_t start, total;		/* cost; total 0: not known */
};

const struct pmt_place *pmt_reader_place(const struct pmt_reader *reader)
{
	return &reader->flow.place;
}

/* The tally */

void pmt_tally_add(struct pmt_tally *tally, const struct pmt_object *object)
{
	uint8_t length[4] = { (uint8_t)object->length, (uint8_t)(object->length >> 8),
			      (uint8_t)(object->length >> 16),
			      (uint8_t)(object->length >> 24) };

	switch (object->kind) {
	case PMT_OBJECT_RECORD:
		tally->records++;
		tally->bytes += object->length;
		tally->crc = pmt_crc32c(tally->crc, length, sizeof(length));
		tally->crc = pmt_crc32c(tally->crc, object->data, object->length);
		break;
	case PMT_OBJECT_MARK:
		tally->marks++;
		tally->crc = pmt_crc32c(tally->crc, length, sizeof(length));
		break;
	case PMT_OBJECT_DAMAGED:
		tally->damaged++;
		break;
	case PMT_OBJECT_END:
		break;
	}
}

bool pmt_reader_goes_on(const struct pmt_reader *reader, const struct pmt_tally *tally)
{
	struct pmt_progress progress;

	if (!reader->walk.go_on)
		return true;
	progress = (struct pmt_progress){
		.tally = tally,
		.place = &reader->flow.place,
		.done = pmt_cost(&reader->flow.limits, tally->bytes, tally->records,
				 tally->marks),
		.total = reader->total,
	};
	if (progress.total && progress.done > progress.total)
		progress.done = progress.total;
	return reader->walk.go_on(&progress, reader->walk.context);
}

/* Where to begin */

int pmt_bound_parse(const char *text, struct pmt_bound *bound)
{
	bool lbn = *text == '@';
	unsigned long long number;
	char *end;

	text += lbn;
	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno || *end || number > INT64_MAX / 2)
		return -EINVAL;
	*bound = (struct pmt_bound){ lbn ? PMT_BOUND_LBN : PMT_BOUND_FILE, number };
	return 0;
}

static int to_bound(struct pmt_flow *flow, const struct pmt_bound *bound, uint64_t more,
		    struct pmt_result *result)
{
	struct pmt_command cmd = { .op = PMT_OP_SPACE, .argument = PMT_SPACE_EOD };

	if (bound->by == PMT_BOUND_FILE) {
		cmd.argument = PMT_SPACE_FILEMARKS;
		cmd.count = (int64_t)(bound->number + more);
	} else if (bound->by == PMT_BOUND_LBN) {
		cmd.op = PMT_OP_LOCATE;
		cmd.argument = flow->place.partition;
		cmd.count = (int64_t)(bound->number + more);
	}
	*result = pmt_flow_do(flow, cmd, NULL);
	return pmt_result_is_good(result) ? 0 : -EIO;
}

static int to_beginning(struct pmt_reader *reader)
{
	const struct pmt_bound *from = &reader->walk.from;
	struct pmt_flow *flow = &reader->flow;
	struct pmt_place wanted = { .file = PMT_UNKNOWN, .block = PMT_UNKNOWN,
				    .lbn = from->number };
	struct pmt_result result;

	if (from->by == PMT_BOUND_NONE || !from->number)
		return 0;
	if (from->by == PMT_BOUND_FILE) {
		wanted.lbn = PMT_UNKNOWN;
		wanted.file = from->number;
		wanted.block = 0;
	}
	if (to_bound(flow, from, 0, &result))
		return pmt_flow_fail(flow, "begin", &wanted, &result);
	if (flow->place.lbn == PMT_UNKNOWN)
		flow->place.lbn = wanted.lbn;
	if (flow->place.file == PMT_UNKNOWN || flow->place.block == PMT_UNKNOWN) {
		flow->place.file = wanted.file;
		flow->place.block = wanted.block;
	}
	return 0;
}

/* How much it is going to be, where finding out costs nothing. */
static int measure(struct pmt_reader *reader)
{
	struct pmt_flow *flow = &reader->flow;
	uint32_t partition = flow->place.partition;
	struct pmt_result result;
	uint64_t end;

	if (flow->eod == PMT_UNKNOWN || pmt_drive_used(flow->drive) == PMT_UNKNOWN)
		return 0;
	to_bound(flow, &reader->walk.to, 1, &result);
	end = pmt_drive_used(flow->drive);
	if (end != PMT_UNKNOWN)
		reader->total = end;
	return pmt_flow_begin(flow, partition);
}

static bool bounds_known(const struct pmt_reader *reader)
{
	const struct pmt_bound *to = &reader->walk.to;
	const struct pmt_place *place = &reader->flow.place;

	if ((to->by != PMT_BOUND_FILE || place->file != PMT_UNKNOWN) &&
	    (to->by != PMT_BOUND_LBN || place->lbn != PMT_UNKNOWN))
		return true;
	pmt_log(LOG_ERR, "%s: the drive does not tell %s here, so the end can not be "
		"found; give both ends as files, or both as blocks",
		reader->flow.drive->text, to->by == PMT_BOUND_FILE ? "files" : "blocks");
	return false;
}

static int begin(struct pmt_reader *reader)
{
	struct pmt_flow *flow = &reader->flow;
	uint64_t start;
	int rc = pmt_flow_begin(flow, reader->walk.partition);

	if (!rc)
		rc = measure(reader);
	if (!rc)
		rc = to_beginning(reader);
	if (!rc && !bounds_known(reader))
		rc = -EINVAL;
	if (rc || !reader->total)
		return rc;
	start = pmt_drive_used(flow->drive);
	reader->total = start < reader->total ? reader->total - start : 0;
	return 0;
}

int pmt_reader_open(struct pmt_reader **out, struct pmt_drive *drive,
		    const struct pmt_walk *walk)
{
	struct pmt_reader *reader = calloc(1, sizeof(*reader));
	int rc;

	if (!reader)
		return -ENOMEM;
	reader->walk = *walk;
	rc = pmt_flow_open(&reader->flow, drive);
	if (!rc)
		rc = begin(reader);
	if (rc) {
		pmt_reader_close(reader);
		return rc;
	}
	reader->size = BUFFER_FIRST;
	*out = reader;
	return 0;
}

void pmt_reader_close(struct pmt_reader *reader)
{
	if (!reader)
		return;
	pmt_flow_close(&reader->flow);
	for (size_t i = 0; i < PMT_FLOW_DEPTH; i++)
		free(reader->buffers[i]);
	free(reader);
}

/* Reading ahead */

static size_t most(const struct pmt_reader *reader)
{
	uint32_t limit = reader->flow.limits.record_max;

	return limit && limit < PMT_RECORD_MAX ? limit : PMT_RECORD_MAX;
}

/* Of the next request; whole pages, for direct I/O. */
static int fit_buffer(struct pmt_reader *reader, uint32_t index)
{
	size_t size = reader->size < most(reader) ? reader->size : most(reader);

	if (reader->sizes[index] >= size)
		return 0;
	free(reader->buffers[index]);
	reader->sizes[index] = 0;
	if (posix_memalign(&reader->buffers[index], PMT_PAGE,
			   (size + PMT_PAGE - 1) & ~(size_t)(PMT_PAGE - 1))) {
		reader->buffers[index] = NULL;
		return -ENOMEM;
	}
	reader->sizes[index] = size;
	return 0;
}

static bool behind_the_end(const struct pmt_reader *reader)
{
	const struct pmt_bound *to = &reader->walk.to;
	const struct pmt_place *place = &reader->flow.place;

	if (to->by == PMT_BOUND_LBN)
		return place->lbn != PMT_UNKNOWN && place->lbn > to->number;
	if (to->by == PMT_BOUND_FILE)
		return place->file != PMT_UNKNOWN && place->file > to->number;
	return false;
}

static int send_ahead(struct pmt_reader *reader)
{
	struct pmt_flow *flow = &reader->flow;

	while (pmt_flow_has_room(flow) && !behind_the_end(reader)) {
		uint32_t index = flow->sent % PMT_FLOW_DEPTH;
		struct pmt_command cmd = { .op = PMT_OP_READ };
		int rc = fit_buffer(reader, index);

		if (rc)
			return rc;
		cmd.length = (uint32_t)reader->sizes[index];
		pmt_flow_send(flow, cmd, reader->buffers[index]);
		flow->place = pmt_place_after(&flow->requests[index].cmd);
	}
	return 0;
}

/* What the drive says of the place behind, and else what must be so. */
static void go_on_behind(struct pmt_reader *reader, const struct pmt_request *req,
			 bool mark)
{
	struct pmt_place place = req->cmd.place;
	const struct pmt_place *told = &req->result.place;

	if (place.lbn != PMT_UNKNOWN)
		place.lbn++;
	if (mark) {
		place.block = 0;
		if (place.file != PMT_UNKNOWN)
			place.file++;
	} else if (place.block != PMT_UNKNOWN) {
		place.block++;
	}
	if (told->lbn != PMT_UNKNOWN && told->lbn == place.lbn &&
	    told->file != PMT_UNKNOWN && told->block != PMT_UNKNOWN)
		place = *told;
	place.generation = told->generation;
	reader->flow.place = place;
}

/* By LBN, where there is one: then the drive says whether it was a mark. */
static int pass_damage(struct pmt_reader *reader, const struct pmt_request *req)
{
	struct pmt_flow *flow = &reader->flow;
	struct pmt_command locate = { .op = PMT_OP_LOCATE };
	struct pmt_place guess;
	struct pmt_result result;

	go_on_behind(reader, req, false);
	guess = flow->place;
	if (guess.lbn == PMT_UNKNOWN)
		return 0;
	locate.argument = guess.partition;
	locate.count = (int64_t)guess.lbn;
	result = pmt_flow_do(flow, locate, NULL);
	if (!pmt_result_is_good(&result) && result.key != PMT_KEY_BLANK)
		return pmt_flow_fail(flow, "go on", &guess, &result);
	if (flow->place.lbn != guess.lbn || flow->place.file == PMT_UNKNOWN)
		flow->place = guess;
	return 0;
}

/* Records longer than the buffers are: 0, try again; -EMSGSIZE. */
static int grow(struct pmt_reader *reader, const struct pmt_request *req)
{
	size_t least = (size_t)((int64_t)req->cmd.length - req->result.residue);

	if (req->cmd.length >= most(reader)) {
		pmt_log(LOG_ERR, "%s: the record at %s is longer than %zu bytes, which is "
			"the most that can be read", reader->flow.drive->text,
			pmt_place_text(&req->cmd.place).text, most(reader));
		return -EMSGSIZE;
	}
	while (reader->size < least || reader->size <= req->cmd.length)
		reader->size *= 2;
	reader->flow.place = req->cmd.place;
	return 0;
}

/* A further volume with nothing on it is the end of them all. */
static int volume_ended(struct pmt_reader *reader)
{
	uint32_t partition = reader->walk.partition;
	int rc;

	if (!reader->walk.volumes || (reader->volume && !reader->flow.place.lbn)) {
		reader->ended = true;
		return 0;
	}
	rc = pmt_flow_next_volume(&reader->flow, &reader->walk, partition);
	reader->ended = rc <= 0;
	reader->volume++;
	return rc < 0 ? rc : 0;
}

static void describe(const struct pmt_reader *reader, const struct pmt_request *req,
		     enum pmt_object_kind kind, struct pmt_object *object)
{
	*object = (struct pmt_object){
		.kind = kind,
		.place = req->cmd.place,
		.volume = reader->volume,
		.key = req->result.key,
		.asc = req->result.asc,
		.ascq = req->result.ascq,
	};
	if (kind != PMT_OBJECT_RECORD)
		return;
	object->length = req->cmd.length - (uint32_t)req->result.residue;
	object->data = req->data;
}

/* Data ends behind a record, where it is known that it should not (aead). */
static bool is_cut_off(const struct pmt_result *result)
{
	return result->key == PMT_KEY_MEDIUM && result->asc == 0x14 && result->ascq == 0x03;
}

/* So it is on each volume that was full within a file; behind the last it is damage. */
static int take_cut_off(struct pmt_reader *reader, const struct pmt_request *req,
			struct pmt_object *object)
{
	int rc;

	describe(reader, req, PMT_OBJECT_DAMAGED, object);
	reader->flow.place = req->cmd.place;
	rc = volume_ended(reader);
	if (rc == 0 && reader->ended)
		return 1;
	if (rc == 0)
		pmt_log(LOG_WARNING, "%s: the volume before this one ended at %s without a "
			"filemark", reader->flow.drive->text,
			pmt_place_text(&object->place).text);
	pmt_flow_take_back(&reader->flow);
	return rc;
}

/* An exception.  1: there is an object; 0: read on; -errno. */
static int take_check(struct pmt_reader *reader, const struct pmt_request *req,
		      struct pmt_object *object)
{
	const struct pmt_result *result = &req->result;
	int rc;

	pmt_flow_settle(&reader->flow);
	if (result->sense & PMT_SENSE_FILEMARK) {
		describe(reader, req, PMT_OBJECT_MARK, object);
		go_on_behind(reader, req, true);
		return 1;
	}
	if (is_cut_off(result) && reader->walk.volumes)
		return take_cut_off(reader, req, object);
	if (result->key == PMT_KEY_MEDIUM && result->asc != 0x3b) {
		describe(reader, req, PMT_OBJECT_DAMAGED, object);
		rc = pass_damage(reader, req);
		return rc ? rc : 1;
	}
	if (result->key == PMT_KEY_NONE && result->sense & PMT_SENSE_ILI) {
		rc = grow(reader, req);
	} else if (result->key == PMT_KEY_BLANK) {
		reader->flow.place = req->cmd.place;
		rc = volume_ended(reader);
	} else {
		rc = pmt_flow_fail(&reader->flow, "read", &req->cmd.place, result);
	}
	pmt_flow_take_back(&reader->flow);
	return rc;
}

int pmt_reader_next(struct pmt_reader *reader, struct pmt_object *object)
{
	while (!reader->ended) {
		struct pmt_request *req;
		int rc = send_ahead(reader);

		if (rc)
			return rc;
		req = pmt_flow_wait(&reader->flow);
		if (!req)
			break;
		if (pmt_result_is_good(&req->result)) {
			describe(reader, req, PMT_OBJECT_RECORD, object);
			return 0;
		}
		rc = take_check(reader, req, object);
		if (rc)
			return rc < 0 ? rc : 0;
	}
	reader->ended = true;
	*object = (struct pmt_object){ .kind = PMT_OBJECT_END,
				       .place = reader->flow.place,
				       .volume = reader->volume };
	return 0;
}

void pmt_reader_release(struct pmt_reader *reader)
{
	pmt_flow_release(&reader->flow);
}
