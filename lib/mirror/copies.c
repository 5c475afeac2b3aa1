// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The copies: attached to media that are known, healthy or not, and what they are
 * together.
 *
 * A copy that was dropped stays out, also of a later mirror over the same unit:
 * what it has behind its failure may be an older recording.  What is known of a
 * longer one is kept likewise.  Each result says it (cookie); the unit keeps it.
 *
 * Copies that have not the same number of partitions are refused at attach, but
 * those that have done a FORMAT already that the unit is going to repeat.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "mirror.h"

unsigned int mirror_count_healthy(const struct mirror *m)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < m->n; i++)
		n += is_healthy(&m->copies[i]);
	return n;
}

unsigned int mirror_first_healthy(const struct mirror *m)
{
	for (unsigned int i = 0; i < m->n; i++)
		if (is_healthy(&m->copies[i]))
			return i;
	return 0;
}

void mirror_choose_reader(struct mirror *m)
{
	const struct copy *best = NULL;

	m->reader = mirror_first_healthy(m);
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

static void is_longer_in(struct copy *copy, uint32_t partition, uint64_t end)
{
	if (partition >= MIRROR_PARTITIONS)
		return;
	copy->longer_in |= 1u << partition;
	copy->end[partition] = end;
}

static void forget_tails(struct copy *copy)
{
	copy->longer_in = 0;
	for (unsigned int i = 0; i < MIRROR_PARTITIONS; i++)
		copy->end[i] = PMT_UNKNOWN;
}

void mirror_mark(struct mirror *m, struct copy *copy, const struct pmt_request *req,
		 bool failed)
{
	explain(copy, req);
	copy->state = failed ? COPY_FAILED : COPY_LONGER;
	is_longer_in(copy, req->cmd.place.partition, req->cmd.place.lbn);
	if (!is_healthy(&m->copies[m->reader]))
		mirror_choose_reader(m);
	pthread_mutex_unlock(&m->lock);
	report(m, copy, failed ? "failed" : "is longer than the others");
	pthread_mutex_lock(&m->lock);
}

uint32_t mirror_cookie(const struct mirror *m)
{
	uint32_t bits = m->twins ? MIRROR_TWINS : 0;

	for (unsigned int i = 0; i < m->n; i++) {
		if (m->copies[i].state == COPY_FAILED)
			bits |= UINT32_C(1) << i;
		else if (m->copies[i].state == COPY_LONGER)
			bits |= UINT32_C(1) << (i + MIRROR_LONGER);
	}
	return bits;
}

/* A word a copy, or from some on all in the last one. */
static void put_words(const struct mirror *m, struct pmt_result *result)
{
	memset(result->medium, 0, sizeof(result->medium));
	for (unsigned int i = 0; i < m->n; i++) {
		unsigned int word = i < PMT_MEDIUM_WORDS ? i : PMT_MEDIUM_WORDS - 1;

		if (m->n > PMT_MEDIUM_WORDS && word == PMT_MEDIUM_WORDS - 1)
			result->medium[word] ^= m->copies[i].word *
						(2 * i + 0x9e3779b97f4a7c15);
		else
			result->medium[word] = m->copies[i].word;
	}
}

void mirror_combine_medium(struct mirror *m, const struct slot *slot,
			   struct pmt_result *result)
{
	uint8_t flags = PMT_MEDIUM_PRESENT, any = 0, more = 0xf;
	uint64_t eod = PMT_UNKNOWN;
	bool same = true, first = true;

	for (unsigned int i = 0; i < m->n; i++) {
		struct copy *copy = &m->copies[i];
		const struct pmt_result *own = &slot->parts[i].req.result;

		if (!mirror_is_good(&slot->parts[i]))
			continue;
		flags &= own->medium_flags & PMT_MEDIUM_ALL;
		any |= own->medium_flags;
		if (own->medium_flags >> PMT_MEDIUM_MORE_SHIFT < more)
			more = own->medium_flags >> PMT_MEDIUM_MORE_SHIFT;
		same = same && (first || own->eod == eod);
		first = false;
		eod = copy->eod = own->eod;
		copy->word = own->medium[0];
	}
	put_words(m, result);
	any &= PMT_MEDIUM_ALL & ~PMT_MEDIUM_PRESENT;
	result->medium_flags = (uint8_t)(flags | any | more << PMT_MEDIUM_MORE_SHIFT);
	result->eod = same ? eod : PMT_UNKNOWN;
}

void mirror_tell_words(const struct mirror *m, struct pmt_result *result)
{
	/* In the folded word one that is not known would be taken for another cartridge. */
	for (unsigned int i = 0; m->n > PMT_MEDIUM_WORDS && i < m->n; i++)
		if (is_healthy(&m->copies[i]) && !m->copies[i].word)
			return;
	put_words(m, result);
	result->medium_flags = PMT_MEDIUM_PRESENT;
}

void mirror_note_ends(struct mirror *m, uint32_t partition)
{
	m->ends_in = partition;
	for (unsigned int i = 0; i < m->n; i++)
		if (is_healthy(&m->copies[i]))
			m->copies[i].eod = mirror_is_good(&m->copies[i].own) ?
						   m->copies[i].own.req.result.eod :
						   PMT_UNKNOWN;
}

uint64_t mirror_least_room(const struct mirror *m, const struct slot *slot)
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

void mirror_forget_data(struct mirror *m)
{
	m->ends_in = 0;
	m->twins = false;
	for (unsigned int i = 0; i < m->n; i++) {
		m->copies[i].eod = PMT_UNKNOWN;
		memset(&m->copies[i].bad, 0, sizeof(m->copies[i].bad));
		forget_tails(&m->copies[i]);
		if (m->copies[i].state == COPY_LONGER)
			m->copies[i].state = COPY_OK;
	}
}

void mirror_forget_media(struct mirror *m)
{
	mirror_forget_data(m);
	for (unsigned int i = 0; i < m->n; i++)
		m->copies[i].word = 0;
}

bool mirror_is_behind(const struct copy *copy, const struct pmt_place *place)
{
	uint32_t partition = place->partition;

	return copy->state == COPY_LONGER && partition < MIRROR_PARTITIONS &&
	       copy->longer_in >> partition & 1 && copy->end[partition] != PMT_UNKNOWN &&
	       place->lbn >= copy->end[partition];
}

void mirror_no_longer(struct mirror *m, uint32_t partition)
{
	for (unsigned int i = 0; i < m->n; i++) {
		struct copy *copy = &m->copies[i];

		if (partition < MIRROR_PARTITIONS)
			copy->longer_in &= ~(1u << partition);
		if (copy->state == COPY_LONGER && !copy->longer_in)
			copy->state = COPY_OK;
	}
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
	copy->state = session->cookie >> (i + MIRROR_LONGER) & 1 ? COPY_LONGER : COPY_OK;
	copy->eod = PMT_UNKNOWN;
	forget_tails(copy);
	copy->reason[0] = '\0';
	memset(&copy->bad, 0, sizeof(copy->bad));
}

void mirror_detach_copies(struct mirror *m)
{
	for (unsigned int i = 0; i < m->n; i++) {
		struct copy *copy = &m->copies[i];

		pmt_worker_free(copy->worker);
		copy->worker = NULL;
		if (copy->drive->session)
			pmt_drive_detach(copy->drive);
	}
}

int mirror_attach_again(struct mirror *m, struct copy *copy,
			const struct pmt_session *session)
{
	char reason[sizeof(copy->reason)];
	int rc;

	memcpy(reason, copy->reason, sizeof(reason));
	make_session(m, copy, session);
	copy->state = COPY_FAILED;	/* until it is told to count */
	memcpy(copy->reason, reason, sizeof(reason));
	rc = pmt_drive_attach(copy->drive, &copy->session);
	return rc ? rc : pmt_worker_new(&copy->worker, copy->drive);
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

int mirror_attach_copies(struct mirror *m, const struct pmt_session *session)
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
	return first && (!m->degrade || mirror_count_healthy(m) < m->min) ? first : 0;
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

void mirror_find_ends(struct mirror *m, uint32_t partition)
{
	const struct copy *reader = &m->copies[m->reader];

	for (unsigned int i = 0; i < m->n && partition < MIRROR_PARTITIONS; i++) {
		struct copy *copy = &m->copies[i];

		if (copy->state == COPY_LONGER && copy->longer_in >> partition & 1 &&
		    copy->end[partition] == PMT_UNKNOWN && reader->state == COPY_OK)
			copy->end[partition] = reader->eod;
	}
}

/* Of those that are longer the unit does not know in which of the partitions. */
static void may_be_longer(struct mirror *m, const uint32_t *count)
{
	uint32_t most = 0;

	for (unsigned int i = 0; i < m->n; i++)
		most = count[i] > most ? count[i] : most;
	if (!most || most > MIRROR_PARTITIONS)
		most = MIRROR_PARTITIONS;
	for (unsigned int i = 0; i < m->n; i++)
		if (m->copies[i].state == COPY_LONGER)
			m->copies[i].longer_in = (1u << most) - 1;
	mirror_find_ends(m, m->ends_in);
}

/*
 * The unit has seen no cartridge, and nothing was done; or it was told to forget all that,
 * and knows no place: this is a load.
 */
static bool is_fresh(const struct pmt_session *session)
{
	const struct pmt_place *place = &session->place;

	for (unsigned int i = 0; i < PMT_MEDIUM_WORDS; i++)
		if (session->medium[i])
			return false;
	return !session->waiting && !place->partition &&
	       (!place->lbn || place->lbn == PMT_UNKNOWN);
}

int mirror_look(struct mirror *m, const struct pmt_session *session)
{
	uint64_t last = session->medium[PMT_MEDIUM_WORDS - 1], fold = 0;
	uint32_t count[MIRROR_COPIES_MAX] = { 0 };
	char why[600];
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
	if (mirror_count_healthy(m) < (m->degrade ? m->min : m->n))
		return -ESTALE;
	if (mirror_differ_in_partitions(m, count, why, sizeof(why))) {
		pmt_log(LOG_ERR, "%s: the copies are no twins: %s; format them alike, each "
			"alone", m->drive.text, why);
		return -EINVAL;
	}
	mirror_choose_reader(m);
	if (is_fresh(session) && mirror_is_refused(m, session->place.generation, count))
		return -EMEDIUMTYPE;
	mirror_warn_ends(m);
	may_be_longer(m, count);
	m->twins = mirror_end_alike(m) ||
		   (session->waiting && session->cookie & MIRROR_TWINS);
	if (m->n <= PMT_MEDIUM_WORDS || !last || !all || last == fold)
		return 0;
	pmt_log(LOG_ERR, "%s: another cartridge is in one of the drives from %d on",
		m->drive.text, PMT_MEDIUM_WORDS);
	return -ESTALE;
}
