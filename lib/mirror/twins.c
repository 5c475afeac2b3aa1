// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Twins: do the copies hold the same tape, as far as can be seen at once?
 *
 * A set is looked at when it is loaded, that is when the unit knows none of its
 * cartridges.  The copies that count are twins if they end at the same block of the
 * first partition and begin with the same object.  A set that is not is refused: the
 * mirror does not attach; to TEST and LOAD it answers NOT READY 04/03, until other
 * cartridges are there.  With twins=any it is told only.
 *
 * Ends that are not known are not looked for: a tape drive does not know before it was
 * there.  The approach sees to these before anything is appended.  In the middle of a
 * recording, ends may differ by what an earlier server has begun.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "mirror.h"

#define FIRST_BYTES 65536u

/* What stands at the beginning; of a longer record the first bytes. */
struct first {
	enum { FIRST_UNKNOWN, FIRST_RECORD, FIRST_LONGER, FIRST_MARK } kind;
	uint32_t length;
	unsigned int copy;
	char *data;
};

bool mirror_end_alike(const struct mirror *m)
{
	uint64_t end = m->copies[m->reader].eod;

	for (unsigned int i = 0; i < m->n; i++)
		if (m->copies[i].state == COPY_OK && m->copies[i].eod != end)
			return false;
	return end != PMT_UNKNOWN;
}

void mirror_warn_ends(const struct mirror *m)
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

/* Two copies whose ends are known, and differ; a: n, none do. */
static void find_ends_that_differ(const struct mirror *m, unsigned int *a, unsigned int *b)
{
	*a = m->n;
	for (*b = 0; *b < m->n; ++*b) {
		if (m->copies[*b].state != COPY_OK || m->copies[*b].eod == PMT_UNKNOWN)
			continue;
		if (*a == m->n)
			*a = *b;
		else if (m->copies[*a].eod != m->copies[*b].eod)
			return;
	}
	*a = m->n;
}

/* And back: a unit that has seen nothing of it yet takes the place from the drive. */
static void read_first(const struct mirror *m, uint64_t generation, struct first *first)
{
	struct pmt_request req = { .cmd = { .op = PMT_OP_READ, .length = FIRST_BYTES,
					    .place = { .generation = generation } },
				   .data = first->data };
	struct pmt_request rewind = { .cmd = { .op = PMT_OP_REWIND, .place = req.cmd.place } };

	pmt_drive_execute(m->copies[first->copy].drive, &req);
	pmt_drive_execute(m->copies[first->copy].drive, &rewind);
	first->length = FIRST_BYTES;
	if (req.result.status == PMT_STATUS_GOOD) {
		first->kind = FIRST_RECORD;
		first->length -= (uint32_t)req.result.residue;
	} else if (req.result.sense & PMT_SENSE_FILEMARK) {
		first->kind = FIRST_MARK;
	} else if (req.result.sense & PMT_SENSE_ILI) {
		first->kind = FIRST_LONGER;
	} else {
		first->kind = FIRST_UNKNOWN;	/* that is for who reads the tape */
	}
}

static bool same_first(const struct first *a, const struct first *b)
{
	if (a->kind != b->kind || a->length != b->length)
		return false;
	return a->kind == FIRST_MARK || !memcmp(a->data, b->data, a->length);
}

/* Two copies that begin with something else; a: n, none do, as far as can be read. */
static void find_firsts_that_differ(const struct mirror *m, uint64_t generation,
				    unsigned int *a, unsigned int *b)
{
	_cleanup_free_ char *data = malloc(2 * FIRST_BYTES);
	struct first one = { .kind = FIRST_UNKNOWN }, other = { .kind = FIRST_UNKNOWN };

	*a = m->n;
	one.data = data;
	other.data = data ? data + FIRST_BYTES : NULL;
	for (unsigned int i = 0; data && i < m->n; i++) {
		struct first *now = one.kind == FIRST_UNKNOWN ? &one : &other;

		if (m->copies[i].state != COPY_OK)
			continue;
		now->copy = i;
		read_first(m, generation, now);
		if (now == &one || now->kind == FIRST_UNKNOWN || same_first(&one, &other))
			continue;
		*a = one.copy;
		*b = i;
		return;
	}
}

static bool are_twins(const struct mirror *m, uint64_t generation, char *why, size_t size)
{
	unsigned int a, b;

	find_ends_that_differ(m, &a, &b);
	if (a < m->n) {
		snprintf(why, size, "copy %u (%s) ends at block %" PRIu64
			 ", copy %u (%s) at block %" PRIu64, a + 1, m->copies[a].drive->text,
			 m->copies[a].eod, b + 1, m->copies[b].drive->text, m->copies[b].eod);
		return false;
	}
	if (!mirror_end_alike(m) || !m->copies[m->reader].eod)
		return true;
	find_firsts_that_differ(m, generation, &a, &b);
	if (a < m->n)
		snprintf(why, size, "copy %u (%s) begins with another block than copy %u (%s)",
			 a + 1, m->copies[a].drive->text, b + 1, m->copies[b].drive->text);
	return a == m->n;
}

bool mirror_differ_in_partitions(const struct mirror *m, const uint32_t *count, char *why,
				 size_t size)
{
	unsigned int first = m->n;

	for (unsigned int i = 0; i < m->n; i++) {
		if (first == m->n && count[i])
			first = i;
		if (!count[i] || count[i] == count[first])
			continue;
		snprintf(why, size, "copy %u (%s) has %u partition(s), copy %u (%s) has %u",
			 first + 1, m->copies[first].drive->text, count[first], i + 1,
			 m->copies[i].drive->text, count[i]);
		return true;
	}
	return false;
}

bool mirror_is_refused(struct mirror *m, uint64_t generation, const uint32_t *count)
{
	const struct pmt_session *session = m->drive.session;
	const char *advice = "'pmt verify' compares them, 'pmt copy' makes one of the other, "
			     "and twins=any serves them as they are";
	char why[600], text[1000];

	if (mirror_differ_in_partitions(m, count, why, sizeof(why))) {
		advice = "format them alike, each alone";
	} else if (m->any || are_twins(m, generation, why, sizeof(why))) {
		m->refused = false;
		return false;
	}
	if (m->refused)
		return true;
	m->refused = true;
	snprintf(text, sizeof(text), "the copies are no twins, and refused: %s; %s", why,
		 advice);
	pmt_log(LOG_ERR, "%s: %s", m->drive.text, text);
	if (session && session->event)
		session->event(session, PMT_EVENT_SET_REFUSED, text);
	return true;
}

bool mirror_knows_media(const struct mirror *m)
{
	for (unsigned int i = 0; i < m->n; i++)
		if (m->copies[i].word)
			return true;
	return false;
}

bool mirror_refuse_set(struct mirror *m, struct slot *slot)
{
	struct pmt_place place = slot->parts[mirror_first_healthy(m)].req.result.place;
	uint32_t count[MIRROR_COPIES_MAX] = { 0 };
	bool refused;

	if (!mirror_loads(m, slot))
		return false;
	for (unsigned int i = 0; i < m->n; i++) {
		const struct pmt_result *own = &slot->parts[i].req.result;

		m->copies[i].eod = PMT_UNKNOWN;
		if (!mirror_is_good(&slot->parts[i]))
			continue;
		m->copies[i].eod = own->eod;
		count[i] = 1u + (own->medium_flags >> PMT_MEDIUM_MORE_SHIFT);
	}
	mirror_choose_reader(m);
	pthread_mutex_unlock(&m->lock);
	refused = mirror_is_refused(m, place.generation, count);
	pthread_mutex_lock(&m->lock);
	m->stands = false;
	if (!refused)
		return false;
	mirror_forget_media(m);
	pmt_result_check(slot->up, PMT_KEY_NOT_READY, 0x04, 0x03);
	slot->up->result.place = place;
	slot->up->result.cookie = mirror_cookie(m);
	slot->answered = true;
	m->frozen = true;
	return true;
}
