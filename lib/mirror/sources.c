// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Sources: the good copies, read beside being written, for one that comes back.
 *
 * It is the first of them that can be read so; where that one cannot read, the next goes on.
 * With verify=yes it is all of them, and what is copied is what more than half of those have
 * that can read it, as it is for the application (verify.c): a block that one copy has wrong,
 * and does not know, would be on two else, and outvote the right one.  Where there is no such
 * majority the copy does not come back.
 *
 * They are read up to where all ended when they were looked at last: what is behind that
 * is being written.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "mirror.h"

int mirror_refuse_rejoin(struct mirror *m, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	pthread_mutex_lock(&m->lock);
	vsnprintf(m->rejoin.reason, sizeof(m->rejoin.reason), format, list);
	pthread_mutex_unlock(&m->lock);
	va_end(list);
	return -EIO;
}

int mirror_refuse_result(struct mirror *m, const char *who, const struct pmt_request *req)
{
	return mirror_refuse_rejoin(m, "%s: %s at block %" PRId64 ": sense key %x, %02x/%02x",
				    who, pmt_op_name(req->cmd.op), (int64_t)req->cmd.place.lbn,
				    req->result.key, req->result.asc, req->result.ascq);
}

int mirror_ask_beside(const struct pmt_session *own, struct pmt_drive *drive,
		      struct pmt_request *req, uint64_t lbn)
{
	req->cmd.place = (struct pmt_place){ .generation = own->place.generation, .lbn = lbn,
					     .file = PMT_UNKNOWN, .block = PMT_UNKNOWN };
	pmt_drive_execute(drive, req);
	return req->result.status;
}

static void close_one(struct source *source)
{
	pmt_drive_detach(source->drive);
	pmt_drive_close(source->drive);
	free(source->data);
}

void mirror_close_sources(struct sources *s)
{
	while (s->n)
		close_one(&s->of[--s->n]);
}

static int open_one(struct sources *s, unsigned int copy, const char *spec)
{
	struct source *source = &s->of[s->n];
	_cleanup_free_ char *error = NULL;
	int rc = pmt_drive_open(&source->drive, spec, &error);

	if (rc == 0) {
		rc = pmt_drive_attach(source->drive, &s->own);
		if (rc)
			pmt_drive_close(source->drive);
	}
	if (rc)
		return mirror_refuse_rejoin(s->mirror, "%s: %s", spec,
					    error ? error : strerror(-rc));
	source->copy = copy;
	source->data = malloc(PMT_RECORD_MAX);
	s->n++;
	if (source->data)
		return 0;
	mirror_close_sources(s);
	return mirror_refuse_rejoin(s->mirror, "no memory");
}

static bool is_whole(struct mirror *m, unsigned int copy)
{
	bool whole;

	pthread_mutex_lock(&m->lock);
	whole = m->copies[copy].state == COPY_OK;
	pthread_mutex_unlock(&m->lock);
	return whole;
}

/* Its specification; -ENOTSUP: it is none, or cannot be read so. */
static int find_source(struct mirror *m, unsigned int copy, char **spec)
{
	return is_whole(m, copy) ? pmt_drive_beside(m->copies[copy].drive, spec) : -ENOTSUP;
}

bool mirror_has_source(struct mirror *m)
{
	int rc = -ENOTSUP;

	for (unsigned int i = 0; rc && i < m->n; i++) {
		_cleanup_free_ char *spec = NULL;

		rc = find_source(m, i, &spec);
	}
	return rc == 0;
}

static void look_at_ends(struct sources *s)
{
	s->end = PMT_UNKNOWN;
	s->alike = true;
	for (unsigned int i = 0; i < s->n; i++) {
		struct pmt_request test = { .cmd = { .op = PMT_OP_TEST } };
		uint64_t eod = PMT_UNKNOWN;

		if (mirror_ask_beside(&s->own, s->of[i].drive, &test, 0) == PMT_STATUS_GOOD)
			eod = test.result.eod;
		if (eod == PMT_UNKNOWN)
			continue;
		s->alike = s->alike && (s->end == PMT_UNKNOWN || s->end == eod);
		s->end = eod < s->end ? eod : s->end;
	}
}

int mirror_open_sources(struct sources *s)
{
	struct mirror *m = s->mirror;
	int rc = -ENOTSUP;

	mirror_close_sources(s);
	for (unsigned int i = s->from; (!s->n || m->verify) && i < m->n; i++) {
		_cleanup_free_ char *spec = NULL;

		if (find_source(m, i, &spec) == 0)
			rc = open_one(s, i, spec);
	}
	if (s->n)
		look_at_ends(s);
	return s->n ? 0 : rc;
}

int mirror_load_sources(struct sources *s)
{
	bool all = s->n;

	for (unsigned int i = 0; i < s->n; i++)
		all = all && is_whole(s->mirror, s->of[i].copy);
	if (!all)
		return mirror_open_sources(s);
	for (unsigned int i = 0; i < s->n; i++) {
		struct pmt_request load = { .cmd = { .op = PMT_OP_LOAD } };

		if (mirror_ask_beside(&s->own, s->of[i].drive, &load, 0) != PMT_STATUS_GOOD)
			return mirror_refuse_result(s->mirror, "the good copy", &load);
	}
	look_at_ends(s);
	return 0;
}

static void read_one(struct sources *s, struct source *source, uint64_t lbn)
{
	struct pmt_request req = { .cmd = { .op = PMT_OP_READ, .length = PMT_RECORD_MAX },
				   .data = source->data };

	source->found = SOURCE_OBJECT;
	source->length = SOURCE_MARK;
	if (mirror_ask_beside(&s->own, source->drive, &req, lbn) == PMT_STATUS_GOOD) {
		source->length = PMT_RECORD_MAX - (uint32_t)req.result.residue;
	} else if (req.result.key == PMT_KEY_BLANK) {
		source->found = SOURCE_END;
	} else if (!(req.result.sense & PMT_SENSE_FILEMARK)) {
		source->found = SOURCE_UNREAD;
		mirror_refuse_result(s->mirror, "the good copy", &req);
	}
}

static bool same_found(const struct source *a, const struct source *b)
{
	if (a->found != b->found || a->length != b->length)
		return false;
	return a->found != SOURCE_OBJECT || a->length == SOURCE_MARK ||
	       !memcmp(a->data, b->data, a->length);
}

/* With which more than half agree; NULL: none. */
static const struct source *elect(const struct sources *s, unsigned int *readers)
{
	*readers = 0;
	for (unsigned int i = 0; i < s->n; i++)
		*readers += s->of[i].found != SOURCE_UNREAD;
	for (unsigned int i = 0; i < s->n; i++) {
		unsigned int votes = 0;

		for (unsigned int k = 0; s->of[i].found != SOURCE_UNREAD && k < s->n; k++)
			votes += same_found(&s->of[i], &s->of[k]);
		if (2 * votes > *readers)
			return &s->of[i];
	}
	return NULL;
}

const struct source *mirror_read_sources(struct sources *s, uint64_t lbn, int *error)
{
	static const struct source end = { .found = SOURCE_END };
	const struct source *best;
	unsigned int readers;

	*error = 0;
	if (s->n > 1 && lbn >= s->end)
		return &end;
	for (unsigned int i = 0; i < s->n; i++)
		read_one(s, &s->of[i], lbn);
	best = elect(s, &readers);
	if (best)
		return best;
	*error = s->mirror->verify ? -EIO : -EBADMSG;
	if (readers)
		mirror_refuse_rejoin(s->mirror, "the good copies differ at block %" PRIu64
				     ", and nobody knows which is right", lbn);
	return NULL;
}
