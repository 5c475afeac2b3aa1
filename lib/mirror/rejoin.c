// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Rejoin: a copy that was dropped comes back, as a new drive or a repaired one.  So does
 * one that counts and has blocks that it cannot read: it is dropped for that, and written
 * anew from the first of them on.
 *
 * The drive takes the place of the old one at once, and stays "failed" until it
 * counts.  A thread copies to it, record by record, from a second reader of a good
 * copy; what is there already and the same is kept.  The application goes on
 * meanwhile.  Where it overwrites what was copied, the copying goes back (dirty).  Where it
 * writes faster than is copied, it is let write one for two that are copied (allowed).
 * When little is left:
 *
 *	lowering  the unit is told that the window is 0, so that nothing is acknowledged
 *		  any more that is not done; until all is done that was issued before
 *	pausing	  nothing is begun, and all that was is done; the rest is copied, and the
 *		  copy counts: it holds what the others hold
 *
 * It does not count if it has met early warning: the unit was not told of that.
 *
 * Where no copy can be read beside being written (tapes), the copy counts from the next
 * UNLOAD on, with the next volume; before that nothing is copied.
 *
 * All of struct rejoin is guarded by mirror->lock, but what the thread alone uses: the
 * source, its buffers, and the drive until it counts.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "mirror.h"

#define SMALL_REST 64		/* objects, that a pause may take */
#define PROGRESS 5		/* seconds between events */

/* What the thread has, beside the mirror. */
struct work {
	struct mirror *mirror;
	struct sources sources;
	struct pmt_drive *target;
	char *other;
	bool comparing;			/* what is there was the same so far */
	bool back;			/* the pass met what was overwritten */
	time_t told;
};

static time_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec;
}

/* Lock not held. */
static void tell(struct mirror *m, unsigned int event, const char *format, ...)
{
	const struct pmt_session *session = m->drive.session;
	char text[400];
	va_list list;
	int n = snprintf(text, sizeof(text), "copy %u (%s) ", m->rejoin.copy + 1,
			 m->copies[m->rejoin.copy].drive->text);

	n = n < (int)sizeof(text) ? n : (int)sizeof(text) - 1;
	va_start(list, format);
	vsnprintf(text + n, sizeof(text) - (size_t)n, format, list);
	va_end(list);
	pmt_log(event == PMT_EVENT_REJOIN_FAILED ? LOG_ERR : LOG_NOTICE, "%s", text);
	if (session && session->event)
		session->event(session, event, text);
}

/* One command to the new copy. */
static int ask(struct work *w, struct pmt_request *req, uint64_t lbn)
{
	return mirror_ask_beside(&w->sources.own, w->target, req, lbn);
}

static bool is_there(struct work *w, uint64_t lbn, const struct source *object)
{
	struct pmt_request req = { .cmd = { .op = PMT_OP_READ, .length = PMT_RECORD_MAX },
				   .data = w->other };
	int status = ask(w, &req, lbn);

	if (object->length == SOURCE_MARK)
		return req.result.sense & PMT_SENSE_FILEMARK;
	return status == PMT_STATUS_GOOD &&
	       PMT_RECORD_MAX - (uint32_t)req.result.residue == object->length &&
	       !memcmp(object->data, w->other, object->length);
}

static int write_object(struct work *w, uint64_t lbn, const struct source *object)
{
	struct pmt_request req = { .cmd = { .op = PMT_OP_WRITE, .length = object->length,
					    .flags = PMT_CMD_POSITIONED },
				   .data = object->data };

	if (object->length == SOURCE_MARK)
		req.cmd = (struct pmt_command){ .op = PMT_OP_WRITE_FILEMARKS, .count = 1,
						.flags = PMT_CMD_POSITIONED |
							 PMT_CMD_IMMEDIATE };
	if (ask(w, &req, lbn) != PMT_STATUS_GOOD)
		return mirror_refuse_result(w->mirror, "the new copy", &req);
	if (req.result.sense & PMT_SENSE_EOM)
		return mirror_refuse_rejoin(w->mirror, "it is too short: early warning at "
					    "block %" PRIu64, lbn);
	return 0;
}

/* 1: copied; 0: end of data; -errno. */
static int copy_object(struct work *w, uint64_t lbn)
{
	int rc;
	const struct source *object = mirror_read_sources(&w->sources, lbn, &rc);

	if (!object || object->found == SOURCE_END)
		return rc;
	w->comparing = w->comparing && is_there(w, lbn, object);
	rc = w->comparing ? 0 : write_object(w, lbn, object);
	if (rc)
		return rc;
	pthread_mutex_lock(&w->mirror->lock);
	w->mirror->rejoin.lbn = lbn + 1;
	w->mirror->rejoin.bytes += object->length == SOURCE_MARK ? 0 : object->length;
	if (w->mirror->rejoin.slowing && lbn % 2) {
		w->mirror->rejoin.allowed++;
		mirror_advance(w->mirror);
	}
	pthread_mutex_unlock(&w->mirror->lock);
	return 1;
}

/*
 * What was found there and is the same: by writing the last of it again it is known
 * that it has not met early warning.
 */
static int write_last(struct work *w, uint64_t end)
{
	const struct source *object;
	int rc;

	if (!w->comparing || !end)
		return 0;
	object = mirror_read_sources(&w->sources, end - 1, &rc);
	return object && object->found != SOURCE_END ? write_object(w, end - 1, object) : rc;
}

/* What was copied behind a write that failed is cut from the good copies since. */
static int drop_tail(struct work *w)
{
	struct rejoin *r = &w->mirror->rejoin;
	int rc = 0;

	while (rc == 0 && r->lbn) {
		const struct source *last = mirror_read_sources(&w->sources, r->lbn - 1, &rc);

		if (!last || last->found != SOURCE_END)
			break;
		r->lbn--;
	}
	return rc == -EBADMSG ? 0 : rc;
}

/* The end of data of the good copies is the new one's. */
static int cut_target(struct work *w, uint64_t lbn)
{
	struct pmt_request cut = { .cmd = { .op = PMT_OP_CUT, .flags = PMT_CMD_POSITIONED } };
	struct pmt_request sync = { .cmd = { .op = PMT_OP_SYNC } };

	if (ask(w, &cut, lbn) != PMT_STATUS_GOOD)
		return mirror_refuse_result(w->mirror, "the new copy", &cut);
	if (ask(w, &sync, lbn) != PMT_STATUS_GOOD)
		return mirror_refuse_result(w->mirror, "the new copy", &sync);
	return 0;
}

/* Lock held.  Bytes a second; PMT_UNKNOWN seconds that it takes still, if none can say. */
static uint64_t rate(const struct rejoin *r)
{
	time_t passed = now() - r->began;

	return r->bytes / (uint64_t)(passed > 0 ? passed : 1);
}

static uint64_t seconds_left(const struct mirror *m)
{
	const struct rejoin *r = &m->rejoin;
	uint64_t passed = (uint64_t)(now() - r->began);

	if (r->state != REJOIN_COPYING || !r->lbn || m->place.lbn == PMT_UNKNOWN ||
	    m->place.lbn < r->lbn)
		return PMT_UNKNOWN;
	return (m->place.lbn - r->lbn) * passed / r->lbn;
}

static void tell_progress(struct work *w)
{
	struct mirror *m = w->mirror;
	time_t time = now();
	uint64_t lbn, end, speed, left;

	if (time - w->told < PROGRESS)
		return;
	w->told = time;
	pthread_mutex_lock(&m->lock);
	lbn = m->rejoin.lbn;
	end = m->place.lbn;
	speed = rate(&m->rejoin);
	left = seconds_left(m);
	pthread_mutex_unlock(&m->lock);
	if (left == PMT_UNKNOWN)
		tell(m, PMT_EVENT_REJOIN_PROGRESS, "has %" PRIu64 " blocks, %" PRIu64 " kB/s",
		     lbn, speed / 1000);
	else
		tell(m, PMT_EVENT_REJOIN_PROGRESS, "has %" PRIu64 " of %" PRIu64 " blocks, %"
		     PRIu64 " kB/s, %" PRIu64 " s left", lbn, end, speed / 1000, left);
}

static bool is_leaving(struct mirror *m)
{
	bool leaving;

	pthread_mutex_lock(&m->lock);
	leaving = m->leaving;
	pthread_mutex_unlock(&m->lock);
	return leaving;
}

/* Has something before end been overwritten? */
static bool is_dirty(struct mirror *m, uint64_t end)
{
	bool dirty;

	pthread_mutex_lock(&m->lock);
	dirty = m->rejoin.dirty < end;
	pthread_mutex_unlock(&m->lock);
	return dirty;
}

/* Up to the end that the source had when it was opened, or back; how many, or -errno. */
static int64_t copy_pass(struct work *w)
{
	struct mirror *m = w->mirror;
	int64_t n = 0;
	int rc = 1;

	w->back = false;
	while (rc == 1) {
		if (is_leaving(m))
			return mirror_refuse_rejoin(m, "the server stops");
		w->back = is_dirty(m, m->rejoin.lbn);
		if (w->back)
			return n;
		rc = copy_object(w, m->rejoin.lbn);
		n += rc == 1;
		tell_progress(w);
	}
	/* What was overwritten under the reader is no error of its copy. */
	w->back = rc < 0 && !is_leaving(m) && is_dirty(m, m->rejoin.lbn + 1);
	return rc < 0 && !w->back ? rc : n;
}

/* Nothing is in flight, and nothing begins; with the lock held, again when done. */
static bool pause_all(struct mirror *m)
{
	m->pausing = true;
	while ((m->busy || m->used || m->stopped) && !m->leaving)
		pthread_cond_wait(&m->calm, &m->lock);
	if (m->leaving)
		m->pausing = false;
	return !m->leaving;
}

static void go_on(struct mirror *m)
{
	m->pausing = false;
	mirror_advance(m);
}

/* To before what was overwritten; what is in flight there is done first. */
static void go_back(struct work *w)
{
	struct mirror *m = w->mirror;

	pthread_mutex_lock(&m->lock);
	if (pause_all(m)) {
		if (m->rejoin.dirty < m->rejoin.lbn)
			m->rejoin.lbn = m->rejoin.dirty;
		m->rejoin.dirty = PMT_UNKNOWN;
		go_on(m);
	}
	pthread_mutex_unlock(&m->lock);
}

/* Of the next copy where one cannot read. */
static int64_t pass(struct work *w)
{
	int64_t n;

	do {
		int rc = mirror_load_sources(&w->sources);

		if (rc)
			return rc == -ENOTSUP && w->sources.from ? -EIO : rc;
		n = copy_pass(w);
		if (n == -EBADMSG || w->back)
			mirror_close_sources(&w->sources);
	} while (n == -EBADMSG && ++w->sources.from < w->mirror->n);
	return n;
}

/* What has been written since: how many, and whether that is more than was copied. */
static bool is_much_left(struct mirror *m, int64_t copied)
{
	struct rejoin *r = &m->rejoin;
	uint64_t left = 0;

	pthread_mutex_lock(&m->lock);
	if (m->place.lbn != PMT_UNKNOWN && m->place.lbn > r->lbn)
		left = m->place.lbn - r->lbn;
	if (!r->slowing && left > SMALL_REST && left >= (uint64_t)copied) {
		r->slowing = true;
		r->allowed = m->place.lbn;
	}
	pthread_mutex_unlock(&m->lock);
	return left > SMALL_REST;
}

/* Until little is left. */
static int catch_up(struct work *w)
{
	bool more = true;

	while (more) {
		int64_t n = pass(w);

		if (n < 0)
			return (int)n;
		more = is_much_left(w->mirror, n) || w->back;
		if (w->back)
			go_back(w);
	}
	return 0;
}

/* Lock held. */
static void count_in(struct mirror *m)
{
	struct copy *copy = &m->copies[m->rejoin.copy];

	copy->state = COPY_OK;
	copy->reason[0] = '\0';
	m->rejoin.state = REJOIN_DONE;
	m->rejoin.untold = true;
	m->stands = false;
}

/* Paused: one partition is copied, and FORMAT may have made more meanwhile. */
static bool was_divided(struct mirror *m)
{
	struct pmt_request req = { .cmd = { .op = PMT_OP_PARTITIONS, .place = m->place } };

	pmt_drive_execute(m->copies[mirror_first_healthy(m)].drive, &req);
	return req.result.status != PMT_STATUS_GOOD || req.result.residue > 1;
}

/* The unit's session for it, with the place where all are. */
static int take_in(struct mirror *m)
{
	struct copy *copy = &m->copies[m->rejoin.copy];
	struct pmt_session session = *m->drive.session;
	struct pmt_request test = { .cmd = { .op = PMT_OP_TEST, .place = m->place } };
	int rc;

	session.place = m->place;
	session.cookie = 0;
	memset(session.medium, 0, sizeof(session.medium));
	if (copy->drive->session)
		pmt_drive_detach(copy->drive);
	rc = mirror_attach_again(m, copy, &session);
	if (rc)
		return mirror_refuse_rejoin(m, "attach: %s", strerror(-rc));
	pmt_drive_execute(copy->drive, &test);
	if (test.result.status == PMT_STATUS_GOOD &&
	    test.result.place.generation > m->place.generation)
		return mirror_refuse_rejoin(m, "its cartridge is one of this unit's from later");
	copy->word = test.result.medium[0];
	return 0;
}

/* Paused: the lock is not held, and nobody else does anything. */
static int finish(struct work *w)
{
	struct mirror *m = w->mirror;
	int64_t n;
	int rc;

	if (m->rejoin.dirty < m->rejoin.lbn) {
		m->rejoin.lbn = m->rejoin.dirty;
		mirror_close_sources(&w->sources);
	}
	m->rejoin.dirty = PMT_UNKNOWN;
	n = pass(w);
	if (n >= 0 && !w->sources.alike)
		n = mirror_refuse_rejoin(m, "the good copies do not end alike");
	if (n >= 0 && was_divided(m))
		n = mirror_refuse_rejoin(m, "a tape has several partitions");
	rc = n < 0 ? (int)n : drop_tail(w);
	rc = rc ? rc : write_last(w, m->rejoin.lbn);
	mirror_close_sources(&w->sources);
	if (rc == 0)
		rc = cut_target(w, m->rejoin.lbn);
	return rc ? rc : take_in(m);
}

/*
 * The window is 0 when limits() returns, so what was acknowledged is before what is issued
 * next; and what was done fits on the copies that were counted, not on this one.
 */
static void lower(struct mirror *m)
{
	const struct pmt_session *session = m->drive.session;
	uint32_t end;

	pthread_mutex_lock(&m->lock);
	m->rejoin.state = REJOIN_LOWERING;
	mirror_advance(m);
	pthread_mutex_unlock(&m->lock);
	if (session->limits)
		session->limits(session, false);
	end = session->issued ? session->issued(session) : 0;
	pthread_mutex_lock(&m->lock);
	while (session->issued && !session->answered(session, end) && !m->leaving)
		pthread_cond_wait(&m->calm, &m->lock);
	pthread_mutex_unlock(&m->lock);
}

/* Pause, do the rest, count it in. */
static int join(struct work *w, int (*rest)(struct work *))
{
	struct mirror *m = w->mirror;
	int rc = -EIO;

	pthread_mutex_lock(&m->lock);
	if (pause_all(m)) {
		pthread_mutex_unlock(&m->lock);
		rc = rest(w);
		pthread_mutex_lock(&m->lock);
		if (rc == 0)
			count_in(m);
		go_on(m);
	} else {
		snprintf(m->rejoin.reason, sizeof(m->rejoin.reason), "the server stops");
	}
	pthread_mutex_unlock(&m->lock);
	return rc;
}

/* What is on its cartridge is no part of this volume. */
static int at_new_volume(struct work *w)
{
	struct mirror *m = w->mirror;
	struct pmt_request cut = { .cmd = { .op = PMT_OP_CUT, .place = m->place,
					    .flags = PMT_CMD_POSITIONED } };
	int rc = take_in(m);

	if (rc)
		return rc;
	pmt_drive_execute(w->target, &cut);
	if (cut.result.status != PMT_STATUS_GOOD && cut.result.key != PMT_KEY_NOT_READY)
		return mirror_refuse_result(m, "the new copy", &cut);
	return 0;
}

/* It comes in with the next volume: who unloads pauses, and wakes this. */
static int wait_for_unload(struct work *w)
{
	struct mirror *m = w->mirror;

	tell(m, PMT_EVENT_REJOIN_PROGRESS, "waits for the next unload: no good copy can be "
	     "read while it is written");
	pthread_mutex_lock(&m->lock);
	m->rejoin.state = REJOIN_UNLOAD;
	while (!m->pausing && !m->leaving)
		pthread_cond_wait(&m->calm, &m->lock);
	pthread_mutex_unlock(&m->lock);
	if (m->drive.session->limits)
		m->drive.session->limits(m->drive.session, false);
	return join(w, at_new_volume);
}

static bool is_divided(struct work *w, struct pmt_drive *drive)
{
	struct pmt_request req = { .cmd = { .op = PMT_OP_PARTITIONS } };

	return mirror_ask_beside(&w->sources.own, drive, &req, 0) == PMT_STATUS_GOOD &&
	       req.result.residue > 1;
}

static int bring_up(struct work *w)
{
	int rc;

	/* What is in flight now was not noted. */
	go_back(w);
	rc = mirror_open_sources(&w->sources);
	if (rc == -ENOTSUP)
		return wait_for_unload(w);
	if (rc)
		return rc;
	rc = pmt_drive_attach(w->target, &w->sources.own);
	if (rc)
		return mirror_refuse_rejoin(w->mirror, "attach: %s", strerror(-rc));
	if (is_divided(w, w->sources.of[0].drive) || is_divided(w, w->target))
		return mirror_refuse_rejoin(w->mirror, "a tape has several partitions");
	rc = catch_up(w);
	if (rc)
		return rc;
	lower(w->mirror);
	return join(w, finish);
}

static void give_up(struct mirror *m)
{
	const struct pmt_session *session = m->drive.session;

	pthread_mutex_lock(&m->lock);
	m->rejoin.state = REJOIN_FAILED;
	mirror_advance(m);
	snprintf(m->copies[m->rejoin.copy].reason, sizeof(m->copies[0].reason), "%s",
		 m->rejoin.reason);
	pthread_mutex_unlock(&m->lock);
	if (session->limits)
		session->limits(session, true);
	tell(m, PMT_EVENT_REJOIN_FAILED, "does not rejoin: %s", m->rejoin.reason);
}

static void *rejoin(void *context)
{
	struct mirror *m = context;
	struct work w = { .mirror = m, .comparing = true, .told = now(),
			  .target = m->copies[m->rejoin.copy].drive };
	int rc = -ENOMEM;
	bool shown;

	w.sources.mirror = m;
	w.sources.own.place = (struct pmt_place){ .generation = 1 };
	w.sources.own.depth = 1;
	w.other = malloc(PMT_RECORD_MAX);
	if (w.other)
		rc = bring_up(&w);
	else
		mirror_refuse_rejoin(m, "no memory");
	mirror_close_sources(&w.sources);
	free(w.other);
	if (rc) {
		give_up(m);
		return NULL;
	}
	tell(m, PMT_EVENT_COPY_REJOINED, "is a copy again, with %" PRIu64 " blocks",
	     m->rejoin.lbn);
	pthread_mutex_lock(&m->lock);
	while (!m->rejoin.shown && !m->leaving)
		pthread_cond_wait(&m->calm, &m->lock);
	shown = m->rejoin.shown;
	pthread_mutex_unlock(&m->lock);
	if (shown && m->drive.session->limits)
		m->drive.session->limits(m->drive.session, true);
	return NULL;
}

/* For who changes: what was copied and is overwritten has to be copied again. */
void mirror_note_write(struct mirror *m, const struct pmt_command *cmd)
{
	if (mirror_is_rejoining(m) && cmd->place.lbn < m->rejoin.dirty)
		m->rejoin.dirty = cmd->place.lbn;
}

bool mirror_must_wait(const struct mirror *m, const struct pmt_command *cmd)
{
	return m->rejoin.slowing && m->rejoin.state == REJOIN_COPYING && mirror_changes(cmd) &&
	       !(cmd->flags & PMT_CMD_HERE) && cmd->place.lbn >= m->rejoin.allowed;
}

bool mirror_is_rejoining(const struct mirror *m)
{
	return m->rejoin.state == REJOIN_COPYING || m->rejoin.state == REJOIN_UNLOAD ||
	       m->rejoin.state == REJOIN_LOWERING;
}

void mirror_end_rejoin(struct mirror *m)
{
	if (m->rejoin.threaded)
		pthread_join(m->rejoin.thread, NULL);
	m->rejoin.threaded = false;
	/* A copy may be at the end of its last command. */
	pthread_mutex_lock(&m->lock);
	m->rejoin.state = REJOIN_NONE;
	pthread_mutex_unlock(&m->lock);
}

/* Where the old drive is in the way, as it is the same one, it goes first. */
static int replace_drive(struct copy *copy, const char *spec, char **error)
{
	struct pmt_drive *fresh = NULL;
	int rc;

	pmt_worker_free(copy->worker);
	copy->worker = NULL;
	if (copy->drive->session)
		pmt_drive_detach(copy->drive);
	rc = pmt_drive_open(&fresh, spec, error);
	if (rc == -EBUSY && pmt_drive_open(&fresh, "null:", error) == 0) {
		pmt_drive_close(copy->drive);
		copy->drive = fresh;
		rc = pmt_drive_open(&fresh, spec, error);
	}
	if (rc)
		return rc;
	pmt_drive_close(copy->drive);
	copy->drive = fresh;
	return 0;
}

static int begin(struct mirror *m, unsigned int copy)
{
	bool waits;
	int rc;

	pthread_mutex_lock(&m->lock);
	memset(&m->rejoin, 0, sizeof(m->rejoin));
	m->rejoin.copy = copy;
	m->rejoin.state = REJOIN_COPYING;
	m->rejoin.dirty = PMT_UNKNOWN;
	m->rejoin.began = now();
	pthread_mutex_unlock(&m->lock);
	tell(m, PMT_EVENT_REJOIN_BEGUN, "is brought up to the others");
	waits = !mirror_has_source(m);
	rc = -pthread_create(&m->rejoin.thread, NULL, rejoin, m);
	m->rejoin.threaded = rc == 0;
	if (rc)
		m->rejoin.state = REJOIN_NONE;
	return rc ? rc : waits;
}

/* May the copy, which counts, be written anew, as it has blocks that it cannot read? */
static int may_renew(const struct mirror *m, unsigned int number, char **error)
{
	const struct copy *copy = &m->copies[number - 1];

	if (!copy->bad.count)
		return pmt_line_refuse(error, -EINVAL, "copy %u has not failed, and has no bad "
				       "block", number);
	if (!m->degrade || mirror_count_healthy(m) <= m->min)
		return pmt_line_refuse(error, -EINVAL, "copy %u has bad blocks, and cannot be "
				       "written anew: without it there are fewer copies than "
				       "the policy asks for", number);
	return 0;
}

/* A drive that does not open is not worth a copy that counts; EBUSY: it may be this copy's. */
static int try_drive(const char *spec, char **error)
{
	struct pmt_drive *drive = NULL;
	int rc = pmt_drive_open(&drive, spec, error);

	if (rc == 0)
		pmt_drive_close(drive);
	if (rc == -EBUSY) {
		free(*error);
		*error = NULL;
	}
	return rc == -EBUSY ? 0 : rc;
}

/* Out of those that count, when nothing is in flight. */
static int renew(struct mirror *m, unsigned int copy, const char *spec, char **error)
{
	int rc = try_drive(spec, error);
	bool paused;

	if (rc)
		return rc;
	pthread_mutex_lock(&m->lock);
	paused = pause_all(m);
	if (paused) {
		snprintf(m->copies[copy].reason, sizeof(m->copies[copy].reason),
			 "it is written anew, as it has bad blocks");
		m->copies[copy].state = COPY_FAILED;
		m->stands = false;
		mirror_choose_reader(m);
		go_on(m);
	}
	pthread_mutex_unlock(&m->lock);
	return paused ? 0 : -ECANCELED;
}

/* Does the copy fail, or is it to? */
static int look_at_copy(struct mirror *m, unsigned int number, bool *failed, char **error)
{
	bool busy;
	int rc = 0;

	pthread_mutex_lock(&m->lock);
	*failed = m->copies[number - 1].state == COPY_FAILED;
	busy = mirror_is_rejoining(m) || (m->rejoin.state == REJOIN_DONE && !m->rejoin.shown);
	if (!busy && !*failed)
		rc = may_renew(m, number, error);
	pthread_mutex_unlock(&m->lock);
	if (busy)
		return pmt_line_refuse(error, -EBUSY, "copy %u is rejoining already",
				       m->rejoin.copy + 1);
	return rc;
}

int pmt_mirror_rejoin(struct pmt_drive *drive, unsigned int number, const char *spec,
		      char **error)
{
	struct mirror *m = (struct mirror *)drive;
	bool failed;
	int rc;

	*error = NULL;
	if (drive->ops != &pmt_mirror_drive || !drive->session)
		return pmt_line_refuse(error, -ENOTSUP, "the unit is not served by a mirror");
	if (!number || number > m->n)
		return pmt_line_refuse(error, -EINVAL, "there are copies 1 to %u", m->n);
	rc = look_at_copy(m, number, &failed, error);
	if (rc)
		return rc;
	mirror_end_rejoin(m);
	rc = failed ? 0 : renew(m, number - 1, spec, error);
	if (rc == 0)
		rc = replace_drive(&m->copies[number - 1], spec, error);
	if (rc && *error)
		return rc;
	if (rc)
		return pmt_line_refuse(error, rc, "%s does not open: %s", spec,
				       strerror(-rc));
	return begin(m, number - 1);
}

/* Status: how far, how fast, how long still. */
void mirror_show_rejoin(const struct mirror *m, struct json_object *object)
{
	static const char *const names[] = { "none", "copying", "waits for unload", "joining",
					     "done", "failed" };
	const struct rejoin *r = &m->rejoin;
	struct json_object *shown;
	uint64_t left = seconds_left(m);

	if (r->state == REJOIN_NONE)
		return;
	shown = json_object_new_object();
	json_object_object_add(shown, "copy", json_object_new_int((int)r->copy + 1));
	json_object_object_add(shown, "state", json_object_new_string(names[r->state]));
	json_object_object_add(shown, "lbn", json_object_new_int64((int64_t)r->lbn));
	json_object_object_add(shown, "of", json_object_new_int64((int64_t)m->place.lbn));
	json_object_object_add(shown, "bytes", json_object_new_int64((int64_t)r->bytes));
	json_object_object_add(shown, "rate", json_object_new_int64((int64_t)rate(r)));
	if (left != PMT_UNKNOWN)
		json_object_object_add(shown, "seconds_left",
				       json_object_new_int64((int64_t)left));
	if (r->state == REJOIN_FAILED)
		json_object_object_add(shown, "reason", json_object_new_string(r->reason));
	json_object_object_add(object, "rejoin", shown);
}
