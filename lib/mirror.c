// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The mirror: one command, every copy.
 *
 * Objects.  A copy is a child drive with its own worker and its own session
 * (that of the mirror, with the copy's own medium word first).  A command in
 * flight has a slot; a slot has a part, a request, for each copy.  All parts
 * point to the submitter's data.  Slots and parts are made at attach, for
 * session->depth commands; what comes beyond waits in the queue.  One thread
 * more, the keeper, acts where somebody must wait: it settles exceptions and
 * takes the copies to a place.  The mirror's number is the smallest of its
 * copies': a slot is answered when all that were asked have answered it, and
 * answered slots are published in order, by whichever thread comes first.
 *
 * Order.  WRITE and WRITE FILEMARKS follow each other without waiting, so do
 * READs; everything else waits until what is before it is done, and is alone.
 * Writes and what concerns the medium go to all healthy copies; READ, SPACE and
 * LOCATE to the reader, and if that fails, to the next copy, which law 1 takes
 * to the place.
 *
 * Writing at a place.  Unless all copies are known to stand there, the keeper
 * takes them there first (SPACE by 0 records, then TEST), before anything is
 * written anywhere.  A copy that does not get there has failed.  The copies
 * that do are twins up to the place; what they have behind it is cut by writing:
 *
 *   - a write that continues (not POSITIONED), or at the beginning: whatever a
 *     copy has behind the place is the tail that it wrote ahead and that nobody
 *     was told is written; it may differ;
 *   - a write where the application has positioned: refused (NOT READY 04/03)
 *     if the place is the end of data of one copy and another is longer: they
 *     are no twins, and appending to the shorter one would cut the longer.
 *
 * Copies with different ends are read: the longest is the reader.  A copy that
 * ends before the session's place thus fails at the first write.
 *
 * Partitions.  What is known of the copies' ends is of one partition; before a
 * LOCATE into another one the keeper takes all copies there and asks again.
 * FORMAT is done by none unless all say that they can.  Copies that have not the
 * same number of partitions are refused at attach, but those that have done a
 * FORMAT already that the unit is going to repeat.
 *
 * Exceptions.  When a copy reports CHECK on a write, nothing more is begun, and
 * the keeper waits until all are quiet.  The copies behind catch up to the
 * exception.  A failed copy (MEDIUM, HARDWARE, NOT READY, ABORTED, PROTECT, UNIT
 * ATTENTION) is dropped under policy=degrade if min others have not failed; if
 * all failed, it is the command.  Otherwise, if a copy is ahead of the place that
 * the exception left, all are cut there (PMT_OP_CUT; a leaf that ends there does
 * nothing), and only then it is published; what was behind it comes back
 * CANCELLED.  A copy that cannot be cut is "longer": it stays, and the next write
 * may go back on it.  EW and PEOT never are a failed copy.
 *
 * A copy that was dropped stays out, also of a later mirror over the same unit:
 * what it has behind its failure may be an older recording.  What is known of a
 * longer one is kept likewise.  Each result says it (cookie); the unit keeps it.
 *
 * Lock.  mirror->lock guards all here; it is held while submitting to workers
 * (whose locks are inside), never while calling done(), events or warnings.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "internal.h"

#define COPIES_MAX 16u	/* two bits each in the cookie */

struct mirror;
struct slot;

struct part {
	struct pmt_request req;
	struct mirror *mirror;
	struct slot *slot;		/* NULL: the keeper's own request */
	unsigned int copy;
	uint64_t asked;			/* records or marks */
	enum { PART_IDLE, PART_SENT, PART_DONE } state;
};

struct slot {
	struct pmt_request *up;
	struct pmt_command cmd;		/* up's, with the place made known */
	unsigned int waiting;		/* parts that are sent */
	bool answered;			/* up->result is final */
	uint64_t tried;			/* copies that failed to read it */
	struct pmt_result first_error;	/* if tried */
	struct part *parts;		/* one a copy */
};

struct copy {
	struct mirror *mirror;
	struct pmt_drive *drive;
	struct pmt_worker *worker;
	struct pmt_session session;
	struct part own;		/* the keeper's */
	enum { COPY_OK, COPY_LONGER, COPY_FAILED } state;
	uint64_t word;			/* identity of its medium */
	uint64_t eod;			/* as TEST and LOAD said, in ends_in */
	char reason[160];		/* why it is not ok */
};

struct mirror {
	struct pmt_drive drive;
	unsigned int n, min;
	bool degrade;
	struct copy *copies;

	pthread_mutex_t lock;
	pthread_cond_t cond;		/* the keeper's: stopped and quiet, or ... */
	pthread_t keeper;
	bool leaving;

	struct slot *slots;
	struct part *parts;
	unsigned int depth, head, used;	/* the ring of slots */
	struct pmt_request *queue, **queue_end;
	uint32_t number;		/* of the next part: the copies' own count */
	unsigned int busy;		/* parts that are sent */
	bool publishing;		/* a thread is in advance() */
	bool stopped;			/* nothing is begun: the keeper settles */
	bool approach;			/* ... the place of the first in the queue */
	bool approved;			/* all copies can do the FORMAT that is first */
	uint32_t ends_in;		/* partition of the copies' eod */
	bool frozen;			/* CHECK was published: until resume() */
	bool cancelling;
	uint32_t cancel;

	unsigned int reader;
	bool stands;			/* all copies, when what is sent is done: */
	struct pmt_place stand;
	bool placed;			/* the unit, after what is published: */
	struct pmt_place place;
	uint64_t fallbacks;		/* commands that another copy read */
	struct {
		unsigned int copy;	/* which met it first; n: none */
		struct pmt_place place;
	} first_ew;
};

/* What kind of command: who gets it, and what may be in flight with it. */

static bool writes(const struct pmt_command *cmd)
{
	return cmd->op == PMT_OP_WRITE ||
	       (cmd->op == PMT_OP_WRITE_FILEMARKS && cmd->count != 0);
}

static bool changes(const struct pmt_command *cmd)
{
	return writes(cmd) || cmd->op == PMT_OP_ERASE || cmd->op == PMT_OP_CUT;
}

static bool only_goes(const struct pmt_command *cmd)
{
	return cmd->op == PMT_OP_SPACE && cmd->count == 0 &&
	       cmd->argument == PMT_SPACE_RECORDS;
}

static bool for_reader(const struct pmt_command *cmd)
{
	return cmd->op == PMT_OP_READ || cmd->op == PMT_OP_LOCATE ||
	       (cmd->op == PMT_OP_SPACE && !only_goes(cmd));
}

static bool streams_behind(const struct pmt_command *cmd, const struct pmt_command *before)
{
	return (writes(cmd) && writes(before)) ||
	       (cmd->op == PMT_OP_READ && before->op == PMT_OP_READ);
}

static bool needs_place(const struct pmt_command *cmd)
{
	return changes(cmd) || cmd->op == PMT_OP_READ ||
	       (cmd->op == PMT_OP_SPACE && cmd->argument != PMT_SPACE_EOD);
}

static bool is_known(const struct pmt_place *place)
{
	return place->lbn != PMT_UNKNOWN ||
	       (place->file != PMT_UNKNOWN && place->block != PMT_UNKNOWN);
}

static bool is_failure(const struct pmt_result *result)
{
	switch (result->key) {
	case PMT_KEY_MEDIUM:
	case PMT_KEY_HARDWARE:
	case PMT_KEY_NOT_READY:
	case PMT_KEY_ABORTED:
	case PMT_KEY_PROTECT:
	case PMT_KEY_ATTENTION:
		return true;
	default:
		return false;
	}
}

static uint64_t units(const struct pmt_command *cmd)
{
	return cmd->op == PMT_OP_WRITE_FILEMARKS ? (uint64_t)cmd->count :
						   pmt_command_records(cmd);
}

/* The first of a writing command's units. */
static void shorten(struct pmt_command *cmd, uint64_t to)
{
	if (cmd->op == PMT_OP_WRITE_FILEMARKS)
		cmd->count = (int64_t)to;
	else if (cmd->block_size || !to)
		cmd->length = (uint32_t)to * cmd->block_size;
}

static struct pmt_place place_behind(const struct pmt_command *cmd, uint64_t n)
{
	struct pmt_command part = *cmd;

	shorten(&part, n);
	return pmt_place_after(&part);
}

/* Copies and slots */

static bool is_healthy(const struct copy *copy)
{
	return copy->state != COPY_FAILED;
}

static unsigned int count_healthy(const struct mirror *m)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < m->n; i++)
		n += is_healthy(&m->copies[i]);
	return n;
}

static unsigned int first_healthy(const struct mirror *m)
{
	for (unsigned int i = 0; i < m->n; i++)
		if (is_healthy(&m->copies[i]))
			return i;
	return 0;
}

/* The longest, of equals the first; one that has too much only at need. */
static void choose_reader(struct mirror *m)
{
	const struct copy *best = NULL;

	m->reader = first_healthy(m);
	for (unsigned int i = 0; i < m->n; i++) {
		const struct copy *copy = &m->copies[i];

		if (copy->state != COPY_OK)
			continue;
		if (best && (copy->eod == PMT_UNKNOWN || best->eod == PMT_UNKNOWN ||
			     copy->eod <= best->eod))
			continue;
		best = copy;
		m->reader = i;
	}
}

static struct slot *slot_at(const struct mirror *m, unsigned int i)
{
	return &m->slots[(m->head + i) % m->depth];
}

/* The first command that is not answered; those with it are of its kind. */
static struct slot *in_flight(const struct mirror *m)
{
	for (unsigned int k = 0; k < m->used; k++)
		if (!slot_at(m, k)->answered)
			return slot_at(m, k);
	return NULL;
}

static bool is_good(const struct part *part)
{
	return part->state == PART_DONE && part->req.result.status == PMT_STATUS_GOOD;
}

static bool is_check(const struct part *part)
{
	return part->state == PART_DONE && part->req.result.status == PMT_STATUS_CHECK;
}

static uint64_t units_done(const struct part *part)
{
	if (is_good(part))
		return part->asked;
	if (!is_check(part) || part->req.result.residue < 0)
		return 0;
	if (part->req.cmd.op == PMT_OP_WRITE && !part->req.cmd.block_size)
		return part->req.result.residue ? 0 : part->asked;
	if ((uint64_t)part->req.result.residue > part->asked)
		return 0;
	return part->asked - (uint64_t)part->req.result.residue;
}

static void report(struct mirror *m, struct copy *copy, const char *what)
{
	const struct pmt_session *session = m->drive.session;
	char text[400];

	snprintf(text, sizeof(text), "copy %u (%s) %s: %s",
		 (unsigned int)(copy - m->copies) + 1, copy->drive->text, what,
		 copy->reason);
	pmt_log(LOG_ERR, "%s", text);
	if (session && session->event)
		session->event(session, PMT_EVENT_COPY_FAILED, text);
}

static void explain(struct copy *copy, const struct pmt_request *req)
{
	snprintf(copy->reason, sizeof(copy->reason),
		 "%s at block %" PRId64 ": sense key %x, %02x/%02x",
		 pmt_op_name(req->cmd.op), (int64_t)req->cmd.place.lbn, req->result.key,
		 req->result.asc, req->result.ascq);
}

/* By the keeper, that alone settles: the lock can be left for the event. */
static void mark(struct mirror *m, struct copy *copy, const struct pmt_request *req,
		 bool failed)
{
	explain(copy, req);
	copy->state = failed ? COPY_FAILED : COPY_LONGER;
	if (!is_healthy(&m->copies[m->reader]))
		choose_reader(m);
	pthread_mutex_unlock(&m->lock);
	report(m, copy, failed ? "failed" : "is longer than the others");
	pthread_mutex_lock(&m->lock);
}

/* Sending */

static void part_done(struct pmt_request *);

static void send_part(struct mirror *m, struct part *part, const struct pmt_command *cmd,
		      void *data)
{
	struct copy *copy = &m->copies[part->copy];

	part->req.cmd = *cmd;
	part->req.cmd.number = m->number++;
	part->req.data = data;
	part->req.done = part_done;
	part->req.context = part;
	part->asked = changes(cmd) ? units(cmd) : 0;
	part->state = PART_SENT;
	if (copy->state == COPY_LONGER && changes(cmd))
		part->req.cmd.flags |= PMT_CMD_POSITIONED;
	if (part->slot)
		part->slot->waiting++;
	m->busy++;
	pmt_worker_submit(copy->worker, &part->req);
}

static void send_to(struct mirror *m, struct slot *slot, unsigned int copy)
{
	send_part(m, &slot->parts[copy], &slot->cmd, slot->up->data);
}

/* Where all copies stand when this is done. */
static void note_stand(struct mirror *m, const struct pmt_command *cmd)
{
	for (unsigned int i = 0; changes(cmd) && i < m->n; i++)
		m->copies[i].eod = PMT_UNKNOWN;
	if (writes(cmd))
		m->stand = pmt_place_after(cmd);
	else if (cmd->op != PMT_OP_TEST && cmd->op != PMT_OP_MODE &&
		 cmd->op != PMT_OP_SYNC && cmd->op != PMT_OP_WRITE_FILEMARKS &&
		 !changes(cmd))
		m->stands = false;
}

static void send_slot(struct mirror *m, struct slot *slot)
{
	note_stand(m, &slot->cmd);
	m->approved = false;
	if (for_reader(&slot->cmd)) {
		send_to(m, slot, m->reader);
		return;
	}
	for (unsigned int i = 0; i < m->n; i++)
		if (is_healthy(&m->copies[i]))
			send_to(m, slot, i);
}

static struct slot *take_slot(struct mirror *m, struct pmt_command *cmd)
{
	struct slot *slot = slot_at(m, m->used++);

	slot->up = m->queue;
	m->queue = slot->up->next;
	if (!m->queue)
		m->queue_end = &m->queue;
	slot->cmd = *cmd;
	slot->waiting = 0;
	slot->answered = false;
	slot->tried = 0;
	for (unsigned int i = 0; i < m->n; i++)
		slot->parts[i].state = PART_IDLE;
	return slot;
}

/*
 * What the next mirror over these copies must know, as it can not see it: a bit
 * for each copy that was dropped, and in the upper half for each that is longer.
 */
static uint32_t cookie(const struct mirror *m)
{
	uint32_t bits = 0;

	for (unsigned int i = 0; i < m->n; i++) {
		if (m->copies[i].state == COPY_FAILED)
			bits |= UINT32_C(1) << i;
		else if (m->copies[i].state == COPY_LONGER)
			bits |= UINT32_C(1) << (i + COPIES_MAX);
	}
	return bits;
}

static void answer(const struct mirror *m, struct slot *slot,
		   const struct pmt_result *result)
{
	slot->up->result = *result;
	slot->up->result.number = slot->up->cmd.number;
	slot->up->result.cookie = cookie(m);
	slot->answered = true;
}

/* Of the reader.  The other copies were not asked what room they have. */
static void answer_read(const struct mirror *m, struct slot *slot,
			const struct pmt_result *own)
{
	struct pmt_result result = *own;

	if (count_healthy(m) > 1)
		result.room = 0;
	answer(m, slot, &result);
}

static void answer_cancelled(struct slot *slot)
{
	pmt_result_cancelled(slot->up);
	slot->answered = true;
}

static bool is_wanted(struct mirror *m, const struct pmt_request *req)
{
	if (m->cancelling && !pmt_number_before(req->cmd.number, m->cancel))
		m->cancelling = false;
	return !m->frozen && !m->cancelling;
}

/* HERE means where the unit stands after what is done. */
static bool resolve_place(struct mirror *m, struct pmt_command *cmd)
{
	if (!(cmd->flags & PMT_CMD_HERE) || !needs_place(cmd))
		return true;
	if (!m->placed)
		return false;
	cmd->place = m->place;
	cmd->flags &= (uint16_t)~PMT_CMD_HERE;
	cmd->flags |= changes(cmd) ? PMT_CMD_POSITIONED : 0;
	return true;
}

static void stop_for_approach(struct mirror *m)
{
	m->stopped = m->approach = true;
	pthread_cond_signal(&m->cond);
}

static bool stands_at(const struct mirror *m, const struct pmt_place *place)
{
	return m->stands && m->stand.generation == place->generation &&
	       pmt_place_same(&m->stand, place);
}

/* Must the keeper see to the copies before it begins? */
static bool needs_keeper(const struct mirror *m, const struct pmt_command *cmd)
{
	if (cmd->op == PMT_OP_FORMAT)
		return !m->approved;
	if (cmd->op == PMT_OP_LOCATE)
		return cmd->argument != m->ends_in;
	return changes(cmd) && !stands_at(m, &cmd->place);
}

/* May the first of the queue begin?  Else something will call pump() again. */
static bool may_begin(struct mirror *m, const struct pmt_command *cmd)
{
	const struct slot *flight = in_flight(m);

	if (flight && !streams_behind(cmd, &flight->cmd))
		return false;
	if (m->used && (cmd->flags & PMT_CMD_HERE))
		return false;
	if (!needs_keeper(m, cmd))
		return true;
	if (!m->used)
		stop_for_approach(m);
	return false;
}

static void refuse_first(struct mirror *m, struct pmt_command *cmd,
			 const struct pmt_result *sense)
{
	struct slot *slot = take_slot(m, cmd);

	pmt_result_check(slot->up, sense->key, sense->asc, sense->ascq);
	slot->up->result.sense = sense->sense;
	/* Not in the command's generation: an answer can not go back to that. */
	if (sense->place.generation > cmd->place.generation)
		slot->up->result.place = sense->place;
	slot->up->result.cookie = cookie(m);
	slot->answered = true;
	m->frozen = true;
}

static void pump(struct mirror *m)
{
	static const struct pmt_result unknown_place = { .key = PMT_KEY_ABORTED,
							 .asc = 0x3b };

	while (!m->stopped && m->queue && m->used < m->depth) {
		struct pmt_command cmd = m->queue->cmd;

		if (!is_wanted(m, m->queue)) {
			m->approved = false;
			answer_cancelled(take_slot(m, &cmd));
			continue;
		}
		if (!m->used && !resolve_place(m, &cmd)) {
			refuse_first(m, &cmd, &unknown_place);
			continue;
		}
		if (!may_begin(m, &cmd))
			return;
		send_slot(m, take_slot(m, &cmd));
	}
}

/* Answers */

static void combine_medium(struct mirror *m, const struct slot *slot,
			   struct pmt_result *result)
{
	uint8_t flags = PMT_MEDIUM_PRESENT, any = 0;
	uint64_t eod = PMT_UNKNOWN;
	bool same = true, first = true;

	memset(result->medium, 0, sizeof(result->medium));
	for (unsigned int i = 0; i < m->n; i++) {
		struct copy *copy = &m->copies[i];
		const struct pmt_result *own = &slot->parts[i].req.result;
		unsigned int word = i < PMT_MEDIUM_WORDS ? i : PMT_MEDIUM_WORDS - 1;

		if (is_good(&slot->parts[i])) {
			flags &= own->medium_flags;
			any |= own->medium_flags;
			same = same && (first || own->eod == eod);
			first = false;
			eod = copy->eod = own->eod;
			copy->word = own->medium[0];
		}
		if (m->n > PMT_MEDIUM_WORDS && word == PMT_MEDIUM_WORDS - 1)
			result->medium[word] ^= copy->word * (2 * i + 0x9e3779b97f4a7c15);
		else
			result->medium[word] = copy->word;
	}
	result->medium_flags = (uint8_t)(flags | (any & ~PMT_MEDIUM_PRESENT));
	result->eod = same ? eod : PMT_UNKNOWN;
}

static void warn_ends(const struct mirror *m)
{
	uint64_t least = PMT_UNKNOWN, most = 0;
	char text[512] = "";
	size_t used = 0;

	for (unsigned int i = 0; i < m->n; i++) {
		const struct copy *copy = &m->copies[i];

		if (!is_healthy(copy) || copy->eod == PMT_UNKNOWN)
			continue;
		least = copy->eod < least ? copy->eod : least;
		most = copy->eod > most ? copy->eod : most;
		if (used < sizeof(text))
			used += (size_t)snprintf(text + used, sizeof(text) - used,
						 " copy %u at block %" PRIu64 ";", i + 1,
						 copy->eod);
	}
	if (least < most)
		pmt_log(LOG_WARNING, "%s: the copies are no twins, end of data:%s",
			m->drive.text, text);
}

static void take_warning(struct pmt_result *result, const struct pmt_result *own)
{
	if (!(own->sense & PMT_SENSE_EOM) || (result->sense & PMT_SENSE_EOM))
		return;
	result->sense |= PMT_SENSE_EOM;
	if (result->key == PMT_KEY_NONE) {
		result->asc = own->asc;
		result->ascq = own->ascq;
	}
}

/* The least that is known: who does not know has a finite window. */
static uint64_t least_room(const struct mirror *m, const struct slot *slot)
{
	uint64_t room = PMT_UNKNOWN;

	for (unsigned int i = 0; i < m->n; i++) {
		const struct part *part = &slot->parts[i];

		if (is_healthy(&m->copies[i]) && part->state == PART_DONE &&
		    part->req.result.room < room)
			room = part->req.result.room;
	}
	return room;
}

static void forget_data(struct mirror *m)
{
	m->ends_in = 0;
	for (unsigned int i = 0; i < m->n; i++) {
		m->copies[i].eod = PMT_UNKNOWN;
		if (m->copies[i].state == COPY_LONGER)
			m->copies[i].state = COPY_OK;
	}
}

static void forget_media(struct mirror *m)
{
	forget_data(m);
	for (unsigned int i = 0; i < m->n; i++)
		m->copies[i].word = 0;
}

static void note_medium(struct mirror *m, struct slot *slot, struct pmt_result *result)
{
	unsigned int op = slot->cmd.op;

	if (op == PMT_OP_UNLOAD || op == PMT_OP_LOAD)
		forget_media(m);
	if (op == PMT_OP_FORMAT)
		forget_data(m);
	if (op == PMT_OP_TEST)
		m->ends_in = slot->cmd.place.partition;
	if (op == PMT_OP_TEST || op == PMT_OP_LOAD) {
		combine_medium(m, slot, result);
		warn_ends(m);
	}
	if (op == PMT_OP_TEST || op == PMT_OP_LOAD || op == PMT_OP_UNLOAD ||
	    op == PMT_OP_FORMAT)
		choose_reader(m);
	if (op == PMT_OP_REWIND || op == PMT_OP_LOAD || op == PMT_OP_UNLOAD ||
	    op == PMT_OP_FORMAT || only_goes(&slot->cmd)) {
		m->stand = result->place;
		m->stands = is_known(&m->stand);
	}
}

static void stop(struct mirror *m, const struct slot *slot)
{
	if (m->stopped)
		return;
	m->stopped = true;
	if (writes(&slot->cmd))
		for (unsigned int i = 0; i < m->n; i++)
			if (is_healthy(&m->copies[i]))
				pmt_worker_cancel(m->copies[i].worker, m->number);
}

/* After a write without exception all copies stand at one place, or they fail. */
static bool agree(struct mirror *m, struct slot *slot)
{
	const struct pmt_place *place = &slot->parts[first_healthy(m)].req.result.place;
	bool agreed = true;

	for (unsigned int i = 0; writes(&slot->cmd) && i < m->n; i++) {
		struct part *part = &slot->parts[i];
		const struct pmt_place *own = &part->req.result.place;

		if (!is_healthy(&m->copies[i]) || own->lbn == PMT_UNKNOWN ||
		    place->lbn == PMT_UNKNOWN ||
		    (own->lbn == place->lbn && own->partition == place->partition))
			continue;
		pmt_log(LOG_ERR,
			"copy %u (%s) stands at block %" PRIu64 ", the first at %" PRIu64,
			i + 1, m->copies[i].drive->text, (uint64_t)own->lbn,
			(uint64_t)place->lbn);
		pmt_result_check(&part->req, PMT_KEY_HARDWARE, 0x44, 0x00);
		agreed = false;
	}
	return agreed;
}

static void complete_all(struct mirror *m, struct slot *slot)
{
	struct pmt_result result = slot->parts[first_healthy(m)].req.result;

	if (slot->cmd.op == PMT_OP_TEST && !is_known(&slot->cmd.place))
		result.place = slot->parts[m->reader].req.result.place;
	for (unsigned int i = 0; i < m->n; i++)
		if (is_healthy(&m->copies[i])) {
			take_warning(&result, &slot->parts[i].req.result);
			if (writes(&slot->cmd) && m->copies[i].state == COPY_LONGER)
				m->copies[i].state = COPY_OK;
		}
	result.room = least_room(m, slot);
	note_medium(m, slot, &result);
	answer(m, slot, &result);
}

static void complete(struct mirror *m, struct slot *slot)
{
	if (for_reader(&slot->cmd))
		answer_read(m, slot, &slot->parts[m->reader].req.result);
	else if (agree(m, slot))
		complete_all(m, slot);
	else
		stop(m, slot);
}

static bool first_answered(const struct mirror *m)
{
	return m->used && slot_at(m, 0)->answered;
}

static void note_place(struct mirror *m, const struct slot *slot)
{
	const struct pmt_result *result = &slot->up->result;
	unsigned int op = slot->cmd.op;

	if (result->status == PMT_STATUS_CANCELLED)
		return;
	if (op == PMT_OP_TEST || op == PMT_OP_MODE || op == PMT_OP_SYNC)
		return;
	if (!m->placed && result->status == PMT_STATUS_CHECK && is_failure(result))
		return;
	m->place = result->place;
	m->placed = is_known(&m->place);
}

/* Begin what can begin, publish what is answered; one thread at a time. */
static void advance(struct mirror *m)
{
	if (m->publishing)
		return;
	m->publishing = true;
	for (pump(m); first_answered(m); pump(m)) {
		struct slot *slot = slot_at(m, 0);
		struct pmt_request *up = slot->up;

		note_place(m, slot);
		m->head = (m->head + 1) % m->depth;
		m->used--;
		pthread_mutex_unlock(&m->lock);
		up->done(up);
		pthread_mutex_lock(&m->lock);
	}
	m->publishing = false;
}

static void part_done(struct pmt_request *req)
{
	struct part *part = req->context;
	struct mirror *m = part->mirror;
	struct slot *slot = part->slot;

	pthread_mutex_lock(&m->lock);
	part->state = PART_DONE;
	m->busy--;
	if (slot) {
		slot->waiting--;
		if (req->result.status == PMT_STATUS_CHECK)
			stop(m, slot);
		else if (!m->stopped && !slot->waiting)
			complete(m, slot);
	}
	if (m->stopped && !m->busy)
		pthread_cond_signal(&m->cond);
	advance(m);
	pthread_mutex_unlock(&m->lock);
}

/* The keeper: all here with the lock held, stopped is set. */

static void wait_quiet(struct mirror *m)
{
	while (m->busy)
		pthread_cond_wait(&m->cond, &m->lock);
	for (unsigned int i = 0; i < m->n; i++)
		if (is_healthy(&m->copies[i]))
			pmt_worker_resume(m->copies[i].worker);
}

static void ask_all(struct mirror *m, const struct pmt_command *cmd)
{
	for (unsigned int i = 0; i < m->n; i++) {
		m->copies[i].own.state = PART_IDLE;
		if (is_healthy(&m->copies[i]))
			send_part(m, &m->copies[i].own, cmd, NULL);
	}
	wait_quiet(m);
}

/* Of the copies that answered CHECK: those that failed, as bits. */
static uint64_t failures(const struct mirror *m, const struct slot *slot)
{
	uint64_t failed = 0;

	for (unsigned int i = 0; i < m->n; i++) {
		const struct part *part = slot ? &slot->parts[i] : &m->copies[i].own;

		if (is_healthy(&m->copies[i]) && is_check(part) &&
		    is_failure(&part->req.result))
			failed |= (uint64_t)1 << i;
	}
	return failed;
}

static bool may_drop(const struct mirror *m, uint64_t failed)
{
	unsigned int n = (unsigned int)__builtin_popcountll(failed);

	return m->degrade && failed && count_healthy(m) - n >= m->min;
}

static void drop(struct mirror *m, const struct slot *slot, uint64_t failed)
{
	for (unsigned int i = 0; i < m->n; i++)
		if (failed >> i & 1)
			mark(m, &m->copies[i],
			     slot ? &slot->parts[i].req : &m->copies[i].own.req, true);
}

static struct slot *first_exception(const struct mirror *m)
{
	for (unsigned int k = 0; k < m->used; k++) {
		struct slot *slot = slot_at(m, k);

		for (unsigned int i = 0; !slot->answered && i < m->n; i++)
			if (is_healthy(&m->copies[i]) && is_check(&slot->parts[i]))
				return slot;
	}
	return NULL;
}

static uint64_t least_done(const struct mirror *m, const struct slot *slot, bool checks)
{
	uint64_t least = units(&slot->cmd);

	for (unsigned int i = 0; i < m->n; i++) {
		const struct part *part = &slot->parts[i];

		if (is_healthy(&m->copies[i]) && (!checks || is_check(part)) &&
		    units_done(part) < least)
			least = units_done(part);
	}
	return least;
}

/* Only failures so far: those who have not tried must, to tell whose it is. */
static bool only_failed(const struct mirror *m, const struct slot *slot)
{
	for (unsigned int i = 0; i < m->n; i++)
		if (is_healthy(&m->copies[i]) && is_check(&slot->parts[i]) &&
		    !is_failure(&slot->parts[i].req.result))
			return false;
	return true;
}

static bool catch_up_copy(struct mirror *m, unsigned int copy, struct slot *exception)
{
	uint64_t units_there = least_done(m, exception, true);
	bool sent = false, full = m->degrade && only_failed(m, exception);

	for (unsigned int k = 0; k < m->used; k++) {
		struct slot *slot = slot_at(m, k);
		struct part *part = &slot->parts[copy];
		struct pmt_command cmd = slot->cmd;

		if (slot == exception && !full)
			shorten(&cmd, units_there);
		if (!slot->answered && !is_good(part) && !is_check(part) &&
		    (slot != exception || full || units_there)) {
			send_part(m, part, &cmd, slot->up->data);
			sent = true;
		}
		if (slot == exception)
			break;
	}
	return sent;
}

/* Those behind do what is before the exception, and of it what the others did. */
static bool catch_up(struct mirror *m, struct slot *exception)
{
	bool sent = false;

	for (unsigned int i = 0; i < m->n; i++)
		if (is_healthy(&m->copies[i]))
			sent = catch_up_copy(m, i, exception) || sent;
	return sent;
}

static bool is_ahead(const struct mirror *m, unsigned int copy,
		     const struct slot *exception, uint64_t done)
{
	bool behind = false;

	for (unsigned int k = 0; k < m->used; k++) {
		const struct slot *slot = slot_at(m, k);
		uint64_t own = units_done(&slot->parts[copy]);

		if ((slot == exception && own > done) || (behind && own))
			return true;
		behind = behind || slot == exception;
	}
	return false;
}

/*
 * Cut all copies at place if one has written behind it: also those that have
 * not, as they may still have behind it what was to be overwritten.  false: not
 * all could.
 */
static bool cut_back(struct mirror *m, const struct slot *exception, uint64_t done,
		     const struct pmt_place *place)
{
	struct pmt_command cut = { .op = PMT_OP_CUT, .flags = PMT_CMD_POSITIONED,
				   .place = *place };
	bool needed = false, all = true;

	for (unsigned int i = 0; i < m->n; i++)
		needed = needed || (is_healthy(&m->copies[i]) &&
				    is_ahead(m, i, exception, done));
	if (!needed)
		return true;
	ask_all(m, &cut);
	for (unsigned int i = 0; i < m->n; i++)
		if (is_healthy(&m->copies[i]) && is_check(&m->copies[i].own)) {
			mark(m, &m->copies[i], &m->copies[i].own.req, false);
			all = false;
		}
	return all;
}

static const struct part *telling_part(const struct mirror *m, const struct slot *slot,
				       uint64_t failed)
{
	const struct part *part = NULL;

	for (unsigned int i = 0; i < m->n; i++) {
		if (!is_healthy(&m->copies[i]) || !is_check(&slot->parts[i]))
			continue;
		if (failed >> i & 1)
			return &slot->parts[i];
		part = part ? part : &slot->parts[i];
	}
	return part;
}

static void freeze_behind(struct mirror *m, const struct slot *exception)
{
	bool behind = false;

	for (unsigned int k = 0; k < m->used; k++) {
		struct slot *slot = slot_at(m, k);

		if (behind)
			answer_cancelled(slot);
		behind = behind || slot == exception;
	}
	m->frozen = true;
}

static void complete_before(struct mirror *m, const struct slot *exception)
{
	for (unsigned int k = 0; k < m->used && slot_at(m, k) != exception; k++)
		if (!slot_at(m, k)->answered)
			complete_all(m, slot_at(m, k));
}

static void publish_exception(struct mirror *m, struct slot *slot)
{
	uint64_t failed = failures(m, slot), done = least_done(m, slot, false);
	const struct pmt_command *cmd = &slot->cmd;
	struct pmt_place place = place_behind(cmd, done);
	struct pmt_result result = telling_part(m, slot, failed)->req.result;

	complete_before(m, slot);
	m->stands = cut_back(m, slot, done, &place) && !failed && is_known(&place);
	m->stand = place;
	result.place = place;
	result.residue = (int64_t)(units(cmd) - done);
	if (cmd->op == PMT_OP_WRITE && !cmd->block_size)
		result.residue = done ? 0 : cmd->length;
	result.room = least_room(m, slot);
	answer(m, slot, &result);
	freeze_behind(m, slot);
}

/* After copies were dropped: send the rest what it was not let begin. */
static void refill(struct mirror *m)
{
	m->stopped = false;
	for (unsigned int k = 0; k < m->used && !m->stopped; k++) {
		struct slot *slot = slot_at(m, k);

		for (unsigned int i = 0; !slot->answered && i < m->n; i++)
			if (is_healthy(&m->copies[i]) && !is_good(&slot->parts[i]))
				send_to(m, slot, i);
		if (!slot->answered && !slot->waiting)
			complete(m, slot);
	}
}

static void settle_writes(struct mirror *m)
{
	struct slot *slot;

	while ((slot = first_exception(m))) {
		uint64_t failed = failures(m, slot);
		bool sent = catch_up(m, slot);

		wait_quiet(m);
		if (sent)
			continue;
		if (!may_drop(m, failed)) {
			publish_exception(m, slot);
			m->stopped = false;
			return;
		}
		drop(m, slot, failed);
	}
	refill(m);
}

/* The next copy that has not failed to read it; n: none. */
static unsigned int next_reader(const struct mirror *m, const struct slot *slot)
{
	for (unsigned int k = 1; k < m->n; k++) {
		unsigned int i = (m->reader + k) % m->n;

		if (is_healthy(&m->copies[i]) && !(slot->tried >> i & 1))
			return i;
	}
	return m->n;
}

static void send_again(struct mirror *m)
{
	for (unsigned int k = 0; k < m->used; k++) {
		struct slot *slot = slot_at(m, k);

		if (slot->answered)
			continue;
		if (m->cancelling && pmt_number_before(slot->up->cmd.number, m->cancel))
			answer_cancelled(slot);
		else
			send_to(m, slot, m->reader);
	}
}

/* The reader ends where another copy is known to go on. */
static bool ends_early(const struct mirror *m, const struct pmt_result *result)
{
	for (unsigned int i = 0; result->key == PMT_KEY_BLANK && i < m->n; i++)
		if (m->copies[i].state == COPY_OK && i != m->reader &&
		    m->copies[i].eod != PMT_UNKNOWN &&
		    result->place.partition == m->ends_in &&
		    result->place.lbn < m->copies[i].eod)
			return true;
	return false;
}

static void try_next_reader(struct mirror *m, struct slot *slot)
{
	const struct pmt_result *result = &slot->parts[m->reader].req.result;
	bool bad = is_failure(result) || ends_early(m, result);
	unsigned int next;

	/* Of two that are bad the failure is told, not the end that is none. */
	if (!slot->tried || !is_failure(&slot->first_error))
		slot->first_error = *result;
	slot->tried |= (uint64_t)1 << m->reader;
	next = bad ? next_reader(m, slot) : m->n;
	if (next == m->n) {
		answer_read(m, slot, bad ? &slot->first_error : result);
		freeze_behind(m, slot);
		return;
	}
	pmt_log(LOG_WARNING,
		"copy %u (%s): %s at block %" PRId64 " failed (%x, %02x/%02x); copy %u answers",
		m->reader + 1, m->copies[m->reader].drive->text,
		pmt_op_name(slot->cmd.op), (int64_t)slot->cmd.place.lbn, result->key,
		result->asc, result->ascq, next + 1);
	m->fallbacks++;
	m->reader = next;
	send_again(m);
}

static void settle_reads(struct mirror *m)
{
	m->stopped = false;
	for (unsigned int k = 0; k < m->used; k++) {
		struct slot *slot = slot_at(m, k);
		const struct part *part = &slot->parts[m->reader];

		if (slot->answered)
			continue;
		if (is_check(part)) {
			try_next_reader(m, slot);
			return;
		}
		answer_read(m, slot, &part->req.result);
	}
}

static void settle_alone(struct mirror *m, struct slot *slot)
{
	uint64_t failed = failures(m, slot);
	const struct part *part;

	if (slot->cmd.op != PMT_OP_TEST && may_drop(m, failed)) {
		drop(m, slot, failed);
		failed = 0;
	}
	m->stopped = false;
	part = telling_part(m, slot, failed);
	if (!part) {
		complete_all(m, slot);
		return;
	}
	m->stands = false;
	if (slot->cmd.op == PMT_OP_LOAD || slot->cmd.op == PMT_OP_UNLOAD)
		forget_media(m);
	if (slot->cmd.op == PMT_OP_FORMAT)
		forget_data(m);
	answer(m, slot, &part->req.result);
	m->frozen = true;
}

/* Where the application appends, one copy ends and another does not. */
static bool are_twins(const struct mirror *m, const struct pmt_command *cmd)
{
	bool ends = false, goes_on = false;

	if (!(cmd->flags & PMT_CMD_POSITIONED) || cmd->op == PMT_OP_CUT ||
	    cmd->place.lbn == PMT_UNKNOWN || cmd->place.lbn == 0)
		return true;
	for (unsigned int i = 0; i < m->n; i++) {
		const struct part *part = &m->copies[i].own;
		uint64_t eod = part->req.result.eod;

		if (m->copies[i].state != COPY_OK || !is_good(part) ||
		    eod == PMT_UNKNOWN ||
		    part->req.result.place.generation != cmd->place.generation)
			continue;
		ends = ends || eod == cmd->place.lbn;
		goes_on = goes_on || eod > cmd->place.lbn;
	}
	return !ends || !goes_on;
}

static void note_ends(struct mirror *m, uint32_t partition)
{
	m->ends_in = partition;
	for (unsigned int i = 0; i < m->n; i++)
		if (is_healthy(&m->copies[i]))
			m->copies[i].eod = is_good(&m->copies[i].own) ?
						   m->copies[i].own.req.result.eod :
						   PMT_UNKNOWN;
}

static bool approach_failed(struct mirror *m, struct pmt_command *cmd)
{
	uint64_t failed = failures(m, NULL);

	if (may_drop(m, failed)) {
		drop(m, NULL, failed);
		return false;
	}
	for (unsigned int i = 0; i < m->n; i++)
		if (is_healthy(&m->copies[i]) && is_check(&m->copies[i].own)) {
			refuse_first(m, cmd, &m->copies[i].own.req.result);
			return true;
		}
	return false;
}

static void approach_write(struct mirror *m, struct pmt_command *cmd)
{
	static const struct pmt_result no_twins = { .key = PMT_KEY_NOT_READY,
						    .asc = 0x04, .ascq = 0x03 };
	struct pmt_command go = { .op = PMT_OP_SPACE }, test = { .op = PMT_OP_TEST };

	resolve_place(m, cmd);
	go.place = test.place = cmd->place;
	ask_all(m, &go);
	if (approach_failed(m, cmd))
		return;
	ask_all(m, &test);
	if (are_twins(m, cmd)) {
		m->stand = cmd->place;
		m->stands = true;
		return;
	}
	note_ends(m, cmd->place.partition);
	warn_ends(m);
	refuse_first(m, cmd, &no_twins);
}

/* A copy that does not get there is left to the LOCATE itself, or to writing. */
static void approach_partition(struct mirror *m, const struct pmt_command *cmd)
{
	struct pmt_place begin = { .generation = cmd->place.generation,
				   .partition = cmd->argument };
	struct pmt_command go = { .op = PMT_OP_SPACE, .place = begin };
	struct pmt_command test = { .op = PMT_OP_TEST, .place = begin };

	ask_all(m, &go);
	ask_all(m, &test);
	note_ends(m, cmd->argument);
	warn_ends(m);
	choose_reader(m);
}

static void approach_format(struct mirror *m, struct pmt_command *cmd)
{
	struct pmt_command may = *cmd;

	may.op = PMT_OP_MAY_FORMAT;
	ask_all(m, &may);
	m->approved = !approach_failed(m, cmd);
}

static void settle_approach(struct mirror *m)
{
	struct pmt_command cmd = m->queue->cmd;

	m->approach = false;
	m->stands = false;
	if (cmd.op == PMT_OP_FORMAT)
		approach_format(m, &cmd);
	else if (cmd.op == PMT_OP_LOCATE)
		approach_partition(m, &cmd);
	else
		approach_write(m, &cmd);
	m->stopped = false;
}

static void settle(struct mirror *m)
{
	wait_quiet(m);
	if (m->approach)
		settle_approach(m);
	else if (writes(&in_flight(m)->cmd))
		settle_writes(m);
	else if (for_reader(&in_flight(m)->cmd))
		settle_reads(m);
	else
		settle_alone(m, in_flight(m));
}

static void *keep(void *context)
{
	struct mirror *m = context;

	pthread_mutex_lock(&m->lock);
	while (!m->leaving) {
		if (m->stopped && !m->busy)
			settle(m);
		else if (m->publishing || !first_answered(m)) {
			pthread_cond_wait(&m->cond, &m->lock);
			continue;
		}
		advance(m);
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

/* The drive's interface */

static void mirror_submit(struct pmt_drive *drive, struct pmt_request *req)
{
	struct mirror *m = (struct mirror *)drive;

	req->next = NULL;
	pthread_mutex_lock(&m->lock);
	*m->queue_end = req;
	m->queue_end = &req->next;
	pump(m);
	if (first_answered(m))
		pthread_cond_signal(&m->cond);
	pthread_mutex_unlock(&m->lock);
}

static void mirror_resume(struct pmt_drive *drive)
{
	struct mirror *m = (struct mirror *)drive;

	pthread_mutex_lock(&m->lock);
	m->frozen = false;
	pthread_mutex_unlock(&m->lock);
}

/* Reads that the copy has not begun, too: a part of them has a number before. */
static void cancel_reads(struct mirror *m, uint32_t number)
{
	for (unsigned int k = 0; !m->stopped && k < m->used; k++) {
		const struct slot *slot = slot_at(m, k);

		if (slot->answered || slot->cmd.op != PMT_OP_READ ||
		    !pmt_number_before(slot->up->cmd.number, number))
			continue;
		pmt_worker_cancel(m->copies[m->reader].worker,
				  slot->parts[m->reader].req.cmd.number + 1);
	}
}

static void mirror_cancel(struct pmt_drive *drive, uint32_t number)
{
	struct mirror *m = (struct mirror *)drive;

	pthread_mutex_lock(&m->lock);
	if (!m->cancelling || pmt_number_before(m->cancel, number))
		m->cancel = number;
	m->cancelling = true;
	cancel_reads(m, number);
	pump(m);
	if (first_answered(m))
		pthread_cond_signal(&m->cond);
	pthread_mutex_unlock(&m->lock);
}

static void copy_warns(const struct pmt_session *own, const struct pmt_place *place)
{
	struct copy *copy = own->context;
	struct mirror *m = copy->mirror;
	const struct pmt_session *session = m->drive.session;

	pthread_mutex_lock(&m->lock);
	if (m->first_ew.copy == m->n ||
	    m->first_ew.place.generation != place->generation ||
	    m->first_ew.place.partition != place->partition) {
		m->first_ew.copy = (unsigned int)(copy - m->copies);
		m->first_ew.place = *place;
	}
	pthread_mutex_unlock(&m->lock);
	if (session->early_warning)
		session->early_warning(session, place);
}

static void copy_event(const struct pmt_session *own, unsigned int event,
		       const char *text)
{
	const struct copy *copy = own->context;
	const struct pmt_session *session = copy->mirror->drive.session;

	if (session->event)
		session->event(session, event, text);
}

static void make_session(struct mirror *m, struct copy *copy,
			 const struct pmt_session *session)
{
	unsigned int i = (unsigned int)(copy - m->copies);
	bool own = i < PMT_MEDIUM_WORDS - 1 || m->n <= PMT_MEDIUM_WORDS;

	copy->session = *session;
	copy->session.cookie = 0;
	memset(copy->session.medium, 0, sizeof(copy->session.medium));
	copy->word = own ? session->medium[i] : 0;
	copy->session.medium[0] = copy->word;
	copy->session.early_warning = copy_warns;
	copy->session.event = copy_event;
	copy->session.context = copy;
	copy->state = session->cookie >> (i + COPIES_MAX) & 1 ? COPY_LONGER : COPY_OK;
	copy->eod = PMT_UNKNOWN;
	copy->reason[0] = '\0';
}

static void detach_copies(struct mirror *m)
{
	for (unsigned int i = 0; i < m->n; i++) {
		struct copy *copy = &m->copies[i];

		pmt_worker_free(copy->worker);
		copy->worker = NULL;
		if (copy->drive->session)
			pmt_drive_detach(copy->drive);
	}
}

static int attach_copy(struct mirror *m, struct copy *copy,
		       const struct pmt_session *session)
{
	int rc;

	make_session(m, copy, session);
	if (session->cookie >> (copy - m->copies) & 1) {
		snprintf(copy->reason, sizeof(copy->reason),
			 "it was dropped before and may hold anything; "
			 "'pmt abort' forgets it");
		copy->state = COPY_FAILED;
		return -EIO;
	}
	rc = pmt_drive_attach(copy->drive, &copy->session);
	if (rc == 0)
		return pmt_worker_new(&copy->worker, copy->drive);
	snprintf(copy->reason, sizeof(copy->reason), "attach: %s",
		 rc == -ESTALE ? "another cartridge is in the drive" : strerror(-rc));
	copy->state = COPY_FAILED;
	return rc;
}

static int attach_copies(struct mirror *m, const struct pmt_session *session)
{
	int first = 0;

	for (unsigned int i = 0; i < m->n; i++) {
		int rc = attach_copy(m, &m->copies[i], session);

		if (rc && m->copies[i].state != COPY_FAILED)
			return rc;
		first = first ? first : rc;
	}
	for (unsigned int i = 0; i < m->n; i++)
		if (!is_healthy(&m->copies[i]))
			report(m, &m->copies[i], "failed");
	return first && (!m->degrade || count_healthy(m) < m->min) ? first : 0;
}

/*
 * A copy that came to the unit in the middle of a recording, which the others are
 * known to hold: what is on it is not this recording.
 */
static bool is_strange(const struct mirror *m, const struct copy *copy,
		       const struct pmt_session *session, uint64_t word)
{
	bool known = false, own = m->n <= PMT_MEDIUM_WORDS;

	for (unsigned int i = 0; i < PMT_MEDIUM_WORDS; i++)
		known = known || session->medium[i];
	return own && known && word && !copy->word &&
	       (session->place.lbn || session->place.partition);
}

/*
 * How many partitions the copy has; 0 if that is not known, or its medium is in a
 * later generation, where FORMAT may have brought it.
 */
static uint32_t count_partitions(const struct copy *copy, const struct pmt_result *test)
{
	struct pmt_request ask = { .cmd = { .op = PMT_OP_PARTITIONS,
					    .place = copy->session.place } };

	if (!is_healthy(copy) || test->status != PMT_STATUS_GOOD)
		return 0;
	pmt_drive_execute(copy->drive, &ask);
	if (ask.result.status != PMT_STATUS_GOOD ||
	    ask.result.place.generation > copy->session.place.generation)
		return 0;
	return (uint32_t)ask.result.residue;
}

static bool same_partitions(const struct mirror *m, const uint32_t *count)
{
	unsigned int first = m->n;

	for (unsigned int i = 0; i < m->n; i++) {
		if (first == m->n && count[i])
			first = i;
		if (!count[i] || count[i] == count[first])
			continue;
		pmt_log(LOG_ERR, "%s: the copies are no twins: copy %u (%s) has %u "
			"partition(s), copy %u (%s) has %u; format them alike, each alone",
			m->drive.text, first + 1, m->copies[first].drive->text,
			count[first], i + 1, m->copies[i].drive->text, count[i]);
		return false;
	}
	return true;
}

/* What the copies hold; -ESTALE: not what the folded word says. */
static int look(struct mirror *m, const struct pmt_session *session)
{
	uint64_t last = session->medium[PMT_MEDIUM_WORDS - 1], fold = 0;
	uint32_t count[COPIES_MAX] = { 0 };
	bool all = true;

	m->ends_in = session->place.partition;

	for (unsigned int i = 0; i < m->n; i++) {
		struct pmt_request test = { .cmd = { .op = PMT_OP_TEST,
						     .place = session->place } };
		struct copy *copy = &m->copies[i];

		if (is_healthy(copy))
			pmt_drive_execute(copy->drive, &test);
		copy->eod = test.result.status == PMT_STATUS_GOOD ? test.result.eod :
								    PMT_UNKNOWN;
		if (is_healthy(copy) &&
		    is_strange(m, copy, session, test.result.medium[0])) {
			snprintf(copy->reason, sizeof(copy->reason),
				 "its medium is new to this recording");
			copy->state = COPY_FAILED;
			report(m, copy, "failed");
		}
		count[i] = count_partitions(copy, &test.result);
		all = all && test.result.medium[0];
		if (i >= PMT_MEDIUM_WORDS - 1)
			fold ^= test.result.medium[0] * (2 * i + 0x9e3779b97f4a7c15);
	}
	if (count_healthy(m) < (m->degrade ? m->min : m->n))
		return -ESTALE;
	if (!same_partitions(m, count))
		return -EINVAL;
	choose_reader(m);
	warn_ends(m);
	if (m->n <= PMT_MEDIUM_WORDS || !last || !all || last == fold)
		return 0;
	pmt_log(LOG_ERR, "%s: another cartridge is in one of the drives from %d on",
		m->drive.text, PMT_MEDIUM_WORDS);
	return -ESTALE;
}

static int make_slots(struct mirror *m)
{
	m->slots = calloc(m->depth, sizeof(*m->slots));
	m->parts = calloc((size_t)m->depth * m->n, sizeof(*m->parts));
	if (!m->slots || !m->parts)
		return -ENOMEM;
	for (unsigned int k = 0; k < m->depth; k++) {
		struct slot *slot = &m->slots[k];

		slot->parts = m->parts + (size_t)k * m->n;
		for (unsigned int i = 0; i < m->n; i++) {
			slot->parts[i].mirror = m;
			slot->parts[i].slot = slot;
			slot->parts[i].copy = i;
		}
	}
	return 0;
}

static void free_slots(struct mirror *m)
{
	free(m->slots);
	free(m->parts);
	m->slots = NULL;
	m->parts = NULL;
}

static void reset(struct mirror *m, const struct pmt_session *session)
{
	m->depth = session->depth ? session->depth : 1;
	m->head = m->used = m->busy = 0;
	m->queue = NULL;
	m->queue_end = &m->queue;
	m->leaving = m->publishing = m->stopped = m->approach = m->approved = false;
	m->frozen = m->cancelling = m->stands = m->placed = false;
	m->number = 1;
	m->reader = 0;
	m->first_ew.copy = m->n;
}

static int mirror_attach(struct pmt_drive *drive, const struct pmt_session *session)
{
	struct mirror *m = (struct mirror *)drive;
	int rc;

	reset(m, session);
	rc = make_slots(m);
	if (rc == 0)
		rc = attach_copies(m, session);
	if (rc == 0)
		rc = look(m, session);
	if (rc == 0)
		rc = -pthread_create(&m->keeper, NULL, keep, m);
	if (rc) {
		detach_copies(m);
		free_slots(m);
	}
	return rc;
}

static void mirror_detach(struct pmt_drive *drive)
{
	struct mirror *m = (struct mirror *)drive;

	pthread_mutex_lock(&m->lock);
	m->leaving = true;
	pthread_cond_signal(&m->cond);
	pthread_mutex_unlock(&m->lock);
	pthread_join(m->keeper, NULL);
	detach_copies(m);
	free_slots(m);
}

static int take_options(struct mirror *m, const struct pmt_spec *spec)
{
	const char *policy = "all";
	uint64_t min = 1;
	int rc;

	pmt_spec_string(spec, "policy", &policy);
	if (strcmp(policy, "all") && strcmp(policy, "degrade"))
		return pmt_spec_refuse(spec, "policy", "all or degrade");
	m->degrade = strcmp(policy, "degrade") == 0;
	rc = pmt_spec_number(spec, "min", 1, spec->n_children, &min);
	if (rc && rc != -ENOENT)
		return rc;
	if (rc == 0 && !m->degrade)
		return pmt_spec_refuse(spec, "min", "policy=degrade with it");
	m->min = (unsigned int)min;
	return pmt_spec_unused(spec);
}

static void mirror_close(struct pmt_drive *drive)
{
	struct mirror *m = (struct mirror *)drive;

	for (unsigned int i = 0; i < m->n; i++)
		pmt_drive_close(m->copies[i].drive);
	free(m->copies);
	pthread_cond_destroy(&m->cond);
	pthread_mutex_destroy(&m->lock);
}

/* What a mirror inside another one drops, the unit would not remember. */
static bool degrades(const struct pmt_spec *spec)
{
	const char *policy;

	if (!strcmp(spec->kind, "mirror") && !pmt_spec_string(spec, "policy", &policy) &&
	    !strcmp(policy, "degrade"))
		return true;
	for (size_t i = 0; i < spec->n_children; i++)
		if (degrades(spec->children[i]))
			return true;
	return false;
}

static int mirror_open(struct pmt_drive *drive, const struct pmt_spec *spec)
{
	struct mirror *m = (struct mirror *)drive;
	int rc = take_options(m, spec);

	for (size_t i = 0; rc == 0 && i < spec->n_children; i++)
		if (degrades(spec->children[i])) {
			pmt_log(LOG_ERR, "mirror: policy=degrade is for the outermost");
			rc = -EINVAL;
		}
	if (rc == 0 && spec->n_children > COPIES_MAX) {
		pmt_log(LOG_ERR, "mirror: %zu copies; at most %u are possible",
			spec->n_children, COPIES_MAX);
		rc = -EINVAL;
	}
	if (rc)
		return rc;
	m->copies = calloc(spec->n_children, sizeof(*m->copies));
	if (!m->copies)
		return -ENOMEM;
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->cond, NULL);
	while (rc == 0 && m->n < spec->n_children) {
		struct copy *copy = &m->copies[m->n];

		rc = pmt_drive_open_spec(&copy->drive, spec->children[m->n]);
		if (rc)
			break;
		copy->mirror = copy->own.mirror = m;
		copy->own.copy = m->n++;
	}
	m->first_ew.copy = m->n;
	if (rc)
		mirror_close(drive);
	return rc;
}

static void mirror_limits(struct pmt_drive *drive, struct pmt_limits *limits)
{
	struct mirror *m = (struct mirror *)drive;

	for (unsigned int i = 0; i < m->n; i++) {
		struct pmt_limits own;

		pmt_drive_limits(m->copies[i].drive, &own);
		if (i == 0) {
			*limits = own;
			continue;
		}
#define AT_LEAST(field) (limits->field = own.field > limits->field ? own.field : limits->field)
#define AT_MOST(field) (limits->field = own.field < limits->field ? own.field : limits->field)
		AT_LEAST(record_min);
		AT_MOST(record_max);
		AT_LEAST(byte_cost);
		AT_LEAST(record_cost);
		AT_LEAST(mark_cost);
		AT_MOST(window);
#undef AT_LEAST
#undef AT_MOST
	}
}

static uint64_t mirror_used(struct pmt_drive *drive)
{
	struct mirror *m = (struct mirror *)drive;
	uint64_t most = 0;

	for (unsigned int i = 0; i < m->n; i++) {
		uint64_t used = pmt_drive_used(m->copies[i].drive);

		if (is_healthy(&m->copies[i]) && used > most)
			most = used;
	}
	return most;
}

static void show_first_ew(const struct mirror *m, struct json_object *object)
{
	struct json_object *ew = json_object_new_object();

	json_object_object_add(ew, "copy", json_object_new_int((int)m->first_ew.copy + 1));
	json_object_object_add(ew, "generation",
			       json_object_new_int64((int64_t)m->first_ew.place.generation));
	json_object_object_add(ew, "partition",
			       json_object_new_int64((int64_t)m->first_ew.place.partition));
	json_object_object_add(ew, "lbn",
			       json_object_new_int64((int64_t)m->first_ew.place.lbn));
	json_object_object_add(object, "first_ew", ew);
}

static void mirror_status(struct pmt_drive *drive, struct json_object *object)
{
	static const char *const names[] = { "ok", "longer", "failed" };
	struct mirror *m = (struct mirror *)drive;
	struct json_object *children = json_object_new_array();

	for (unsigned int i = 0; i < m->n; i++) {
		struct json_object *child = json_object_new_object();
		struct copy *copy = &m->copies[i];

		pmt_drive_status(copy->drive, child);
		pthread_mutex_lock(&m->lock);
		json_object_object_add(child, "state",
				       json_object_new_string(names[copy->state]));
		if (copy->state != COPY_OK)
			json_object_object_add(child, "reason",
					       json_object_new_string(copy->reason));
		pthread_mutex_unlock(&m->lock);
		json_object_array_add(children, child);
	}
	pthread_mutex_lock(&m->lock);
	json_object_object_add(object, "policy",
			       json_object_new_string(m->degrade ? "degrade" : "all"));
	json_object_object_add(object, "min", json_object_new_int((int)m->min));
	json_object_object_add(object, "healthy",
			       json_object_new_int((int)count_healthy(m)));
	json_object_object_add(object, "reader", json_object_new_int((int)m->reader + 1));
	json_object_object_add(object, "fallbacks",
			       json_object_new_int64((int64_t)m->fallbacks));
	if (m->first_ew.copy < m->n)
		show_first_ew(m, object);
	pthread_mutex_unlock(&m->lock);
	json_object_object_add(object, "children", children);
}

const struct pmt_drive_ops pmt_mirror_drive = {
	.name = "mirror",
	.size = sizeof(struct mirror),
	.open = mirror_open,
	.close = mirror_close,
	.attach = mirror_attach,
	.detach = mirror_detach,
	.submit = mirror_submit,
	.resume = mirror_resume,
	.cancel = mirror_cancel,
	.limits = mirror_limits,
	.used = mirror_used,
	.status = mirror_status,
};
