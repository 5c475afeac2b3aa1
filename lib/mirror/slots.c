// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Slots: commands on their way to the copies, and their answers on the way back.
 *
 * WRITE and WRITE FILEMARKS follow each other without waiting, so do READs;
 * everything else waits until what is before it is done, and is alone.  Writes and
 * what concerns the medium go to all healthy copies; READ, SPACE and LOCATE to the
 * reader.  The mirror's number is the smallest of its copies': a slot is answered
 * when all that were asked have answered it, and answered slots are published in
 * order, by whichever thread comes first.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <syslog.h>

#include "mirror.h"

static void part_done(struct pmt_request *);

struct slot *mirror_slot_at(const struct mirror *m, unsigned int i)
{
	return &m->slots[(m->head + i) % m->depth];
}

struct slot *mirror_in_flight(const struct mirror *m)
{
	for (unsigned int k = 0; k < m->used; k++)
		if (!mirror_slot_at(m, k)->answered)
			return mirror_slot_at(m, k);
	return NULL;
}

void mirror_send_part(struct mirror *m, struct part *part, const struct pmt_command *cmd,
		      void *data)
{
	struct copy *copy = &m->copies[part->copy];

	part->req.cmd = *cmd;
	part->req.cmd.number = m->number++;
	part->req.data = data;
	part->req.done = part_done;
	part->req.context = part;
	part->asked = mirror_changes(cmd) ? mirror_units(cmd) : 0;
	part->state = PART_SENT;
	if (copy->state == COPY_LONGER && mirror_changes(cmd))
		part->req.cmd.flags |= PMT_CMD_POSITIONED;
	if (part->slot)
		part->slot->waiting++;
	m->busy++;
	pmt_worker_submit(copy->worker, &part->req);
}

void mirror_send_to(struct mirror *m, struct slot *slot, unsigned int copy)
{
	mirror_send_part(m, &slot->parts[copy], &slot->cmd, slot->up->data);
}

/* Where all copies stand when this is done. */
static void note_stand(struct mirror *m, const struct pmt_command *cmd)
{
	for (unsigned int i = 0; mirror_changes(cmd) && i < m->n; i++)
		m->copies[i].eod = PMT_UNKNOWN;
	if (mirror_changes(cmd)) {
		mirror_note_write(m, cmd);
		mirror_forget_bad(m, &cmd->place);
	}
	if (mirror_writes(cmd))
		m->stand = pmt_place_after(cmd);
	else if (cmd->op != PMT_OP_TEST && cmd->op != PMT_OP_MODE &&
		 cmd->op != PMT_OP_SYNC && cmd->op != PMT_OP_WRITE_FILEMARKS &&
		 !mirror_changes(cmd))
		m->stands = false;
}

static void send_slot(struct mirror *m, struct slot *slot)
{
	note_stand(m, &slot->cmd);
	m->approved = false;
	if (mirror_verifies(m, &slot->cmd)) {
		mirror_send_verified(m, slot);
		return;
	}
	if (mirror_for_reader(&slot->cmd)) {
		mirror_send_to(m, slot, m->reader);
		return;
	}
	for (unsigned int i = 0; i < m->n; i++)
		if (is_healthy(&m->copies[i]))
			mirror_send_to(m, slot, i);
}

static struct slot *take_slot(struct mirror *m, struct pmt_command *cmd)
{
	struct slot *slot = mirror_slot_at(m, m->used++);

	slot->up = m->queue;
	m->queue = slot->up->next;
	if (!m->queue)
		m->queue_end = &m->queue;
	slot->cmd = *cmd;
	slot->waiting = 0;
	slot->answered = slot->shows = slot->verified = false;
	slot->tried = 0;
	for (unsigned int i = 0; i < m->n; i++)
		slot->parts[i].state = PART_IDLE;
	return slot;
}

void mirror_answer(struct mirror *m, struct slot *slot,
		   const struct pmt_result *result)
{
	slot->up->result = *result;
	slot->up->result.number = slot->up->cmd.number;
	slot->up->result.cookie = mirror_cookie(m);
	slot->answered = true;
	if (m->rejoin.untold && result->status == PMT_STATUS_GOOD) {
		if (!result->medium_flags && slot->cmd.op != PMT_OP_UNLOAD)
			mirror_tell_words(m, &slot->up->result);
		m->rejoin.untold = false;
		slot->shows = true;
	}
}

void mirror_answer_read(struct mirror *m, struct slot *slot,
			const struct pmt_result *own)
{
	struct pmt_result result = *own;

	if (mirror_count_healthy(m) > 1)
		result.room = 0;
	mirror_answer(m, slot, &result);
}

void mirror_answer_cancelled(struct slot *slot)
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

bool mirror_resolve_place(struct mirror *m, struct pmt_command *cmd)
{
	if (!(cmd->flags & PMT_CMD_HERE) || !mirror_needs_place(cmd))
		return true;
	if (!m->placed)
		return false;
	cmd->place = m->place;
	cmd->flags &= (uint16_t)~PMT_CMD_HERE;
	cmd->flags |= mirror_changes(cmd) ? PMT_CMD_POSITIONED : 0;
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
	return mirror_changes(cmd) && !stands_at(m, &cmd->place);
}

/* May the first of the queue begin?  Else something will call mirror_pump() again. */
static bool may_begin(struct mirror *m, const struct pmt_command *cmd)
{
	const struct slot *flight = mirror_in_flight(m);

	if (flight && (!mirror_streams_behind(cmd, &flight->cmd) || flight->verified ||
		       mirror_verifies(m, cmd)))
		return false;
	/* Of the reader that was there at need. */
	if (!flight && mirror_for_reader(cmd) && m->copies[m->reader].state != COPY_OK)
		mirror_choose_reader(m);
	if (m->used && (cmd->flags & PMT_CMD_HERE))
		return false;
	if (!needs_keeper(m, cmd))
		return true;
	if (!m->used)
		stop_for_approach(m);
	return false;
}

void mirror_refuse_first(struct mirror *m, struct pmt_command *cmd,
			 const struct pmt_result *sense)
{
	struct slot *slot = take_slot(m, cmd);

	pmt_result_check(slot->up, sense->key, sense->asc, sense->ascq);
	slot->up->result.sense = sense->sense;
	/* Not in the command's generation: an answer can not go back to that. */
	if (sense->place.generation > cmd->place.generation)
		slot->up->result.place = sense->place;
	slot->up->result.cookie = mirror_cookie(m);
	slot->answered = true;
	m->frozen = true;
}

void mirror_pump(struct mirror *m)
{
	static const struct pmt_result unknown_place = { .key = PMT_KEY_ABORTED,
							 .asc = 0x3b };

	while (!m->stopped && !m->pausing && m->queue && m->used < m->depth) {
		struct pmt_command cmd = m->queue->cmd;

		if (!is_wanted(m, m->queue)) {
			m->approved = false;
			mirror_answer_cancelled(take_slot(m, &cmd));
			continue;
		}
		if (!m->used && !mirror_resolve_place(m, &cmd)) {
			mirror_refuse_first(m, &cmd, &unknown_place);
			continue;
		}
		if (mirror_must_wait(m, &cmd) || !may_begin(m, &cmd))
			return;
		send_slot(m, take_slot(m, &cmd));
	}
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

static void note_medium(struct mirror *m, struct slot *slot, struct pmt_result *result)
{
	unsigned int op = slot->cmd.op;

	if (op == PMT_OP_UNLOAD || op == PMT_OP_LOAD)
		mirror_forget_media(m);
	if (op == PMT_OP_FORMAT)
		mirror_forget_data(m);
	if (op == PMT_OP_TEST)
		m->ends_in = slot->cmd.place.partition;
	if (op == PMT_OP_TEST || op == PMT_OP_LOAD) {
		mirror_combine_medium(m, slot, result);
		mirror_warn_ends(m);
		m->twins = m->twins || mirror_end_alike(m);
	}
	if (op == PMT_OP_TEST || op == PMT_OP_LOAD || op == PMT_OP_UNLOAD ||
	    op == PMT_OP_FORMAT)
		mirror_choose_reader(m);
	if (op == PMT_OP_UNLOAD || op == PMT_OP_FORMAT)
		m->rejoin.dirty = 0;
	if (op == PMT_OP_UNLOAD && m->rejoin.state == REJOIN_UNLOAD)
		m->pausing = true;
	if (op == PMT_OP_REWIND || op == PMT_OP_LOAD || op == PMT_OP_UNLOAD ||
	    op == PMT_OP_FORMAT || mirror_only_goes(&slot->cmd)) {
		m->stand = result->place;
		m->stands = mirror_is_known(&m->stand);
	}
}

static void stop(struct mirror *m, const struct slot *slot)
{
	if (m->stopped)
		return;
	m->stopped = true;
	if (mirror_writes(&slot->cmd))
		for (unsigned int i = 0; i < m->n; i++)
			if (is_healthy(&m->copies[i]))
				pmt_worker_cancel(m->copies[i].worker, m->number);
}

/* After a write without exception all copies stand at one place, or they fail. */
static bool agree(struct mirror *m, struct slot *slot)
{
	const struct pmt_place *place = &slot->parts[mirror_first_healthy(m)].req.result.place;
	bool agreed = true;

	for (unsigned int i = 0; mirror_writes(&slot->cmd) && i < m->n; i++) {
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

void mirror_complete_all(struct mirror *m, struct slot *slot)
{
	struct pmt_result result = slot->parts[mirror_first_healthy(m)].req.result;

	if (slot->cmd.op == PMT_OP_TEST && !mirror_is_known(&slot->cmd.place))
		result.place = slot->parts[m->reader].req.result.place;
	for (unsigned int i = 0; i < m->n; i++)
		if (is_healthy(&m->copies[i]))
			take_warning(&result, &slot->parts[i].req.result);
	if (mirror_writes(&slot->cmd))
		mirror_no_longer(m, slot->cmd.place.partition);
	if (mirror_changes(&slot->cmd)) {
		m->twins = true;
		m->tails = false;
	}
	result.room = mirror_least_room(m, slot);
	note_medium(m, slot, &result);
	mirror_answer(m, slot, &result);
}

bool mirror_loads(const struct mirror *m, const struct slot *slot)
{
	return slot->cmd.op == PMT_OP_LOAD ||
	       (slot->cmd.op == PMT_OP_TEST && !slot->cmd.place.partition && !m->twins &&
		!mirror_knows_media(m));
}

/* All have answered, and that is not all: the keeper has to look at it. */
static bool is_for_keeper(struct mirror *m, struct slot *slot)
{
	if (mirror_for_reader(&slot->cmd))
		return slot->verified && !mirror_found_alike(m, slot);
	return !agree(m, slot) || mirror_loads(m, slot);
}

void mirror_complete(struct mirror *m, struct slot *slot)
{
	if (is_for_keeper(m, slot))
		stop(m, slot);
	else if (mirror_for_reader(&slot->cmd))
		mirror_answer_read(m, slot, &slot->parts[m->reader].req.result);
	else
		mirror_complete_all(m, slot);
}

bool mirror_first_answered(const struct mirror *m)
{
	return m->used && mirror_slot_at(m, 0)->answered;
}

static void note_place(struct mirror *m, const struct slot *slot)
{
	const struct pmt_result *result = &slot->up->result;
	unsigned int op = slot->cmd.op;

	if (result->status == PMT_STATUS_CANCELLED)
		return;
	if (op == PMT_OP_TEST || op == PMT_OP_MODE || op == PMT_OP_SYNC)
		return;
	if (!m->placed && result->status == PMT_STATUS_CHECK && mirror_is_failure(result))
		return;
	m->place = result->place;
	m->placed = mirror_is_known(&m->place);
}

void mirror_advance(struct mirror *m)
{
	if (m->publishing)
		return;
	m->publishing = true;
	for (mirror_pump(m); mirror_first_answered(m); mirror_pump(m)) {
		struct slot *slot = mirror_slot_at(m, 0);
		struct pmt_request *up = slot->up;
		bool shows = slot->shows;

		note_place(m, slot);
		m->head = (m->head + 1) % m->depth;
		m->used--;
		pthread_mutex_unlock(&m->lock);
		up->done(up);
		pthread_mutex_lock(&m->lock);
		if (shows) {
			m->rejoin.shown = true;
			pthread_cond_signal(&m->calm);
		}
	}
	m->publishing = false;
	pthread_cond_broadcast(&m->quiet);
	if (m->rejoin.state == REJOIN_LOWERING || (!m->busy && !m->used && m->pausing))
		pthread_cond_signal(&m->calm);
}

/* What a longer copy has behind the end, a record or a mark, is not there. */
static bool is_tail(const struct mirror *m, const struct part *part)
{
	const struct copy *copy = &m->copies[part->copy];
	const struct pmt_result *result = &part->req.result;
	bool met = result->status == PMT_STATUS_GOOD ||
		   (result->status == PMT_STATUS_CHECK && result->key == PMT_KEY_NONE);

	return met && part->req.cmd.op == PMT_OP_READ &&
	       mirror_is_behind(copy, &part->req.cmd.place);
}

static void part_done(struct pmt_request *req)
{
	struct part *part = req->context;
	struct mirror *m = part->mirror;
	struct slot *slot = part->slot;

	pthread_mutex_lock(&m->lock);
	part->state = PART_DONE;
	m->busy--;
	if (is_tail(m, part))
		pmt_result_check(req, PMT_KEY_BLANK, 0x00, 0x05);
	if (slot) {
		slot->waiting--;
		if (req->result.status == PMT_STATUS_CHECK)
			stop(m, slot);
		else if (!m->stopped && !slot->waiting)
			mirror_complete(m, slot);
	}
	if (m->stopped && !m->busy)
		pthread_cond_signal(&m->cond);
	mirror_advance(m);
	pthread_mutex_unlock(&m->lock);
}

int mirror_make_slots(struct mirror *m)
{
	m->slots = calloc(m->depth, sizeof(*m->slots));
	m->parts = calloc((size_t)m->depth * m->n, sizeof(*m->parts));
	m->buffers = m->verify ? malloc((size_t)m->n * PMT_RECORD_MAX) : NULL;
	if (!m->slots || !m->parts || (m->verify && !m->buffers))
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

void mirror_free_slots(struct mirror *m)
{
	free(m->slots);
	free(m->parts);
	free(m->buffers);
	m->buffers = NULL;
	m->slots = NULL;
	m->parts = NULL;
}
