// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The keeper: it settles exceptions, where somebody must wait.
 *
 * When a copy reports CHECK on a write, nothing more is begun, and the keeper waits
 * until all are quiet.  The copies behind catch up to the exception.  A failed copy
 * (MEDIUM, HARDWARE, NOT READY, ABORTED, PROTECT, UNIT ATTENTION) is dropped under
 * policy=degrade if min others have not failed; if all failed, it is the command.
 * Otherwise, if a copy is ahead of the place that the exception left, by this server or
 * by the one before, all are cut there (PMT_OP_CUT; a leaf that ends there does nothing),
 * and only then it is published; what was behind it comes back CANCELLED.  A copy that
 * cannot be cut is "longer": it stays, and the next write may go back on it.  EW and PEOT
 * never are a failed copy.
 *
 * What the reader cannot read the next copy does, which law 1 takes to the place.
 *
 * All here with the lock held, stopped is set.
 */
#include <inttypes.h>
#include <syslog.h>

#include "mirror.h"

static void wait_quiet(struct mirror *m)
{
	while (m->busy)
		pthread_cond_wait(&m->cond, &m->lock);
	for (unsigned int i = 0; i < m->n; i++)
		if (is_healthy(&m->copies[i]))
			pmt_worker_resume(m->copies[i].worker);
}

void mirror_ask_all(struct mirror *m, const struct pmt_command *cmd)
{
	for (unsigned int i = 0; i < m->n; i++) {
		m->copies[i].own.state = PART_IDLE;
		if (is_healthy(&m->copies[i]))
			mirror_send_part(m, &m->copies[i].own, cmd, NULL);
	}
	wait_quiet(m);
}

uint64_t mirror_failures(const struct mirror *m, const struct slot *slot)
{
	uint64_t failed = 0;

	for (unsigned int i = 0; i < m->n; i++) {
		const struct part *part = slot ? &slot->parts[i] : &m->copies[i].own;

		if (is_healthy(&m->copies[i]) && mirror_is_check(part) &&
		    mirror_is_failure(&part->req.result))
			failed |= (uint64_t)1 << i;
	}
	return failed;
}

bool mirror_may_drop(const struct mirror *m, uint64_t failed)
{
	unsigned int n = (unsigned int)__builtin_popcountll(failed);

	return m->degrade && failed && mirror_count_healthy(m) - n >= m->min;
}

void mirror_drop(struct mirror *m, const struct slot *slot, uint64_t failed)
{
	for (unsigned int i = 0; i < m->n; i++)
		if (failed >> i & 1)
			mirror_mark(m, &m->copies[i],
			     slot ? &slot->parts[i].req : &m->copies[i].own.req, true);
}

static struct slot *first_exception(const struct mirror *m)
{
	for (unsigned int k = 0; k < m->used; k++) {
		struct slot *slot = mirror_slot_at(m, k);

		for (unsigned int i = 0; !slot->answered && i < m->n; i++)
			if (is_healthy(&m->copies[i]) && mirror_is_check(&slot->parts[i]))
				return slot;
	}
	return NULL;
}

static uint64_t least_done(const struct mirror *m, const struct slot *slot, bool checks)
{
	uint64_t least = mirror_units(&slot->cmd);

	for (unsigned int i = 0; i < m->n; i++) {
		const struct part *part = &slot->parts[i];

		if (is_healthy(&m->copies[i]) && (!checks || mirror_is_check(part)) &&
		    mirror_units_done(part) < least)
			least = mirror_units_done(part);
	}
	return least;
}

/* Only failures so far: those who have not tried must, to tell whose it is. */
static bool only_failed(const struct mirror *m, const struct slot *slot)
{
	for (unsigned int i = 0; i < m->n; i++)
		if (is_healthy(&m->copies[i]) && mirror_is_check(&slot->parts[i]) &&
		    !mirror_is_failure(&slot->parts[i].req.result))
			return false;
	return true;
}

static bool catch_up_copy(struct mirror *m, unsigned int copy, struct slot *exception)
{
	uint64_t units_there = least_done(m, exception, true);
	bool sent = false, full = m->degrade && only_failed(m, exception);

	for (unsigned int k = 0; k < m->used; k++) {
		struct slot *slot = mirror_slot_at(m, k);
		struct part *part = &slot->parts[copy];
		struct pmt_command cmd = slot->cmd;

		if (slot == exception && !full)
			mirror_shorten(&cmd, units_there);
		if (!slot->answered && !mirror_is_good(part) && !mirror_is_check(part) &&
		    (slot != exception || full || units_there)) {
			mirror_send_part(m, part, &cmd, slot->up->data);
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
		const struct slot *slot = mirror_slot_at(m, k);
		uint64_t own = mirror_units_done(&slot->parts[copy]);

		if ((slot == exception && own > done) || (behind && own))
			return true;
		behind = behind || slot == exception;
	}
	return false;
}

/*
 * A copy that failed may have written all the same, and one at whose end nothing could be
 * overwritten may end there, where the others were not let begin: twins do not end alike
 * then.
 */
static bool has_tail(struct mirror *m, const struct pmt_place *place)
{
	struct pmt_command test = { .op = PMT_OP_TEST, .place = *place };

	if (!m->twins)
		return false;
	mirror_ask_all(m, &test);
	mirror_note_ends(m, place->partition);
	return !mirror_end_alike(m);
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
	bool needed = m->tails, all = true;

	for (unsigned int i = 0; i < m->n; i++)
		needed = needed || (is_healthy(&m->copies[i]) &&
				    is_ahead(m, i, exception, done));
	if (!needed)
		return true;
	mirror_ask_all(m, &cut);
	m->tails = false;
	mirror_no_longer(m, place->partition);
	for (unsigned int i = 0; i < m->n; i++)
		if (is_healthy(&m->copies[i]) && mirror_is_check(&m->copies[i].own)) {
			mirror_mark(m, &m->copies[i], &m->copies[i].own.req, false);
			all = false;
		}
	/* What TEST told before was behind what is cut now. */
	for (unsigned int i = 0; i < m->n; i++)
		m->copies[i].eod = PMT_UNKNOWN;
	m->twins = true;	/* those that are not longer */
	return all;
}

static const struct part *telling_part(const struct mirror *m, const struct slot *slot,
				       uint64_t failed)
{
	const struct part *part = NULL;

	for (unsigned int i = 0; i < m->n; i++) {
		if (!is_healthy(&m->copies[i]) || !mirror_is_check(&slot->parts[i]))
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
		struct slot *slot = mirror_slot_at(m, k);

		if (behind)
			mirror_answer_cancelled(slot);
		behind = behind || slot == exception;
	}
	m->frozen = true;
}

static void complete_before(struct mirror *m, const struct slot *exception)
{
	for (unsigned int k = 0; k < m->used && mirror_slot_at(m, k) != exception; k++)
		if (!mirror_slot_at(m, k)->answered)
			mirror_complete_all(m, mirror_slot_at(m, k));
}

static void publish_exception(struct mirror *m, struct slot *slot)
{
	uint64_t failed = mirror_failures(m, slot), done = least_done(m, slot, false);
	const struct pmt_command *cmd = &slot->cmd;
	struct pmt_place place = mirror_place_behind(cmd, done);
	struct pmt_result result = telling_part(m, slot, failed)->req.result;
	bool asks;

	complete_before(m, slot);
	if (done)
		mirror_no_longer(m, place.partition);
	asks = failed || (!done && cmd->flags & PMT_CMD_POSITIONED);
	m->tails = m->tails || (asks && has_tail(m, &place));
	m->stands = cut_back(m, slot, done, &place) && !failed && mirror_is_known(&place);
	m->stand = place;
	result.place = place;
	result.residue = (int64_t)(mirror_units(cmd) - done);
	if (cmd->op == PMT_OP_WRITE && !cmd->block_size)
		result.residue = done ? 0 : cmd->length;
	result.room = mirror_least_room(m, slot);
	mirror_answer(m, slot, &result);
	freeze_behind(m, slot);
}

/* After copies were dropped: send the rest what it was not let begin. */
static void refill(struct mirror *m)
{
	m->stopped = false;
	for (unsigned int k = 0; k < m->used && !m->stopped; k++) {
		struct slot *slot = mirror_slot_at(m, k);

		for (unsigned int i = 0; !slot->answered && i < m->n; i++)
			if (is_healthy(&m->copies[i]) && !mirror_is_good(&slot->parts[i]))
				mirror_send_to(m, slot, i);
		if (!slot->answered && !slot->waiting)
			mirror_complete(m, slot);
	}
}

static void settle_writes(struct mirror *m)
{
	struct slot *slot;

	while ((slot = first_exception(m))) {
		uint64_t failed = mirror_failures(m, slot);
		bool sent = catch_up(m, slot);

		wait_quiet(m);
		if (sent)
			continue;
		if (!mirror_may_drop(m, failed)) {
			publish_exception(m, slot);
			m->stopped = false;
			return;
		}
		mirror_drop(m, slot, failed);
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
		struct slot *slot = mirror_slot_at(m, k);

		if (slot->answered)
			continue;
		if (m->cancelling && pmt_number_before(slot->up->cmd.number, m->cancel))
			mirror_answer_cancelled(slot);
		else
			mirror_send_to(m, slot, m->reader);
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
	const struct part *part = &slot->parts[m->reader];
	const struct pmt_result *result = &part->req.result;
	bool bad = mirror_is_failure(result) || ends_early(m, result);
	unsigned int next;

	/* Of two that are bad the failure is told, not the end that is none. */
	if (!slot->tried || !mirror_is_failure(&slot->first_error))
		slot->first_error = *result;
	slot->tried |= (uint64_t)1 << m->reader;
	if (slot->cmd.op == PMT_OP_READ && mirror_is_failure(result))
		mirror_note_unread(m, part);
	next = bad ? next_reader(m, slot) : m->n;
	if (next == m->n) {
		mirror_answer_read(m, slot, bad ? &slot->first_error : result);
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
	if (mirror_in_flight(m)->verified)
		mirror_settle_verified(m, mirror_in_flight(m));
	for (unsigned int k = 0; k < m->used; k++) {
		struct slot *slot = mirror_slot_at(m, k);
		const struct part *part = &slot->parts[m->reader];

		if (slot->answered)
			continue;
		if (mirror_is_check(part)) {
			try_next_reader(m, slot);
			break;
		}
		mirror_answer_read(m, slot, &part->req.result);
	}
	m->stopped = false;
}

static void settle_alone(struct mirror *m, struct slot *slot)
{
	uint64_t failed = mirror_failures(m, slot);
	const struct part *part;

	if (slot->cmd.op != PMT_OP_TEST && mirror_may_drop(m, failed)) {
		mirror_drop(m, slot, failed);
		failed = 0;
	}
	part = telling_part(m, slot, failed);
	if (!part && !mirror_refuse_set(m, slot))
		mirror_complete_all(m, slot);
	m->stopped = false;
	if (!part)
		return;
	m->stands = false;
	if (slot->cmd.op == PMT_OP_LOAD || slot->cmd.op == PMT_OP_UNLOAD)
		mirror_forget_media(m);
	if (slot->cmd.op == PMT_OP_FORMAT)
		mirror_forget_data(m);
	mirror_answer(m, slot, &part->req.result);
	m->frozen = true;
}

static void settle(struct mirror *m)
{
	wait_quiet(m);
	if (m->approach)
		mirror_approach(m);
	else if (mirror_writes(&mirror_in_flight(m)->cmd))
		settle_writes(m);
	else if (mirror_for_reader(&mirror_in_flight(m)->cmd))
		settle_reads(m);
	else
		settle_alone(m, mirror_in_flight(m));
}

void *mirror_keep(void *context)
{
	struct mirror *m = context;

	pthread_mutex_lock(&m->lock);
	while (!m->leaving) {
		if (m->stopped && !m->busy)
			settle(m);
		else if (m->publishing || !mirror_first_answered(m)) {
			pthread_cond_wait(&m->cond, &m->lock);
			continue;
		}
		mirror_advance(m);
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}
