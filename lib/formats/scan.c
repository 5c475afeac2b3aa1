// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the formats of other programs have in common; see scan.h.
 *
 * With tape->salvage, which is for reading only, damage is stepped over: a hole goes
 * from where the rules are broken to where a record begins that is whole, and is
 * followed by something that keeps the rules.
 */
#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "scan.h"

#define HOLES_MAX	4096u
#define WINDOW		(64u << 10)

static void advance(struct pmt_point *p, const struct pmt_scan_object *o)
{
	p->offset += o->size;
	if (o->kind == PMT_SCAN_SKIP)
		return;
	p->lbn++;
	p->block = o->kind == PMT_SCAN_MARK ? 0 : p->block + 1;
	p->file += o->kind == PMT_SCAN_MARK;
}

/* Damage at offset that is known? */
static bool in_hole(const struct pmt_scan *s, uint64_t offset, struct pmt_scan_object *o)
{
	for (size_t i = 0; i < s->n_holes; i++) {
		if (s->holes[i].offset != offset)
			continue;
		*o = (struct pmt_scan_object){ .kind = PMT_SCAN_SKIP,
					  .size = s->holes[i].size };
		return true;
	}
	return false;
}

static int get(struct pmt_tape *tape, uint64_t offset, struct pmt_scan_object *o)
{
	const struct pmt_scan *s = tape->state;

	return in_hole(s, offset, o) ? 0 : s->rules->get(tape, offset, o);
}

/* To the object at p, over what is not seen. */
static int to_object(struct pmt_tape *tape, struct pmt_point *p, struct pmt_scan_object *o)
{
	for (;;) {
		int r = get(tape, p->offset, o);

		if (r || o->kind != PMT_SCAN_SKIP)
			return r;
		advance(p, o);
	}
}

/* The index: p is where the object p->lbn is, or is going to be. */
static int note(struct pmt_scan *s, const struct pmt_point *p)
{
	if (p->lbn % PMT_SCAN_STRIDE || p->lbn / PMT_SCAN_STRIDE < s->count)
		return 0;
	if (s->count == s->room) {
		size_t room = s->room ? 2 * s->room : 64;
		struct pmt_point *points = reallocarray(s->points, room, sizeof(*points));

		if (!points)
			return -ENOMEM;
		s->points = points;
		s->room = room;
	}
	s->points[s->count++] = *p;
	return 0;
}

int pmt_scan_find(struct pmt_tape *tape, uint64_t lbn, struct pmt_point *p,
		  struct pmt_scan_object *o)
{
	struct pmt_scan *s = tape->state;
	int r;

	*p = s->points[lbn / PMT_SCAN_STRIDE];
	if (s->here.lbn <= lbn && s->here.lbn >= p->lbn)
		*p = s->here;
	for (;;) {
		r = to_object(tape, p, o);
		if (r || p->lbn == lbn)
			break;
		advance(p, o);
	}
	if (!r)
		s->here = *p;
	return r;
}

void pmt_scan_passed(struct pmt_tape *tape, struct pmt_point *p,
		     const struct pmt_scan_object *o)
{
	struct pmt_scan *s = tape->state;

	advance(p, o);
	s->here = *p;
}

int pmt_scan_offset(struct pmt_tape *tape, uint64_t lbn, uint64_t *offset)
{
	struct pmt_point p = { .offset = tape->end };
	struct pmt_scan_object o;
	int r = lbn == tape->eod ? 0 : pmt_scan_find(tape, lbn, &p, &o);

	*offset = p.offset;
	return r;
}

int pmt_scan_place(struct pmt_tape *tape, uint64_t lbn, uint64_t *file, uint64_t *block)
{
	struct pmt_point p = { .file = tape->files, .block = tape->blocks };
	struct pmt_scan_object o;
	int r = lbn == tape->eod ? 0 : pmt_scan_find(tape, lbn, &p, &o);

	*file = p.file;
	*block = p.block;
	return r;
}

int pmt_scan_find_mark(struct pmt_tape *tape, uint64_t mark, uint64_t *lbn)
{
	struct pmt_scan *s = tape->state;
	size_t low = 0, high = s->count;
	struct pmt_point p;
	struct pmt_scan_object o;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (s->points[middle].file <= mark)
			low = middle;
		else
			high = middle;
	}
	for (p = s->points[low];; advance(&p, &o)) {
		int r = to_object(tape, &p, &o);

		if (r)
			return r;
		if (o.kind == PMT_SCAN_MARK && p.file == mark)
			break;
	}
	s->here = p;
	*lbn = p.lbn;
	return 0;
}

/* Opening */

uint64_t pmt_scan_probe(struct pmt_tape *tape, const struct pmt_scan_rules *rules,
			uint64_t most)
{
	uint64_t offset = 0, records = 0;
	uint32_t last = 0;
	struct pmt_scan_object o;

	for (uint64_t i = 0; i < most && offset < tape->size; i++) {
		if (rules->get(tape, offset, &o) || o.kind == PMT_SCAN_END)
			break;
		if (o.before != last || o.odd)
			break;
		records += o.kind == PMT_SCAN_RECORD && o.length;
		last = o.last;
		offset += o.size;
	}
	return records;
}

/* Where a record begins behind the damage at offset, or the end of the file. */
static int behind_damage(struct pmt_tape *tape, uint64_t offset, uint64_t *next)
{
	const struct pmt_scan *s = tape->state;
	_cleanup_free_ uint8_t *window = malloc(WINDOW);

	if (!window)
		return -ENOMEM;
	*next = tape->size;
	for (offset++; offset + PMT_SCAN_HEADER <= tape->size;) {
		uint64_t left = tape->size - offset;
		size_t n = left < WINDOW ? left : WINDOW, i;
		int r = pmt_tape_pread(tape, window, n, offset);

		if (r)
			return r;
		for (i = 0; i + PMT_SCAN_HEADER <= n; i++) {
			*next = offset + i;
			if (s->rules->may_begin(window + i) &&
			    s->rules->begins(tape, offset + i))
				return 0;
		}
		*next = tape->size;
		offset += i;
	}
	return 0;
}

/* *o is the hole at offset.  -EBADMSG: too many of them. */
static int add_hole(struct pmt_tape *tape, uint64_t offset, struct pmt_scan_object *o)
{
	struct pmt_scan *s = tape->state;
	struct pmt_hole *holes;
	uint64_t next;
	int r = s->n_holes < HOLES_MAX ? behind_damage(tape, offset, &next) : -EBADMSG;

	if (r)
		return r;
	holes = reallocarray(s->holes, s->n_holes + 1, sizeof(*holes));
	if (!holes)
		return -ENOMEM;
	s->holes = holes;
	holes[s->n_holes++] = (struct pmt_hole){ offset, next - offset };
	*o = (struct pmt_scan_object){ .kind = PMT_SCAN_SKIP, .size = next - offset };
	pmt_log(LOG_WARNING, "%s: %llu bytes at offset %llu break the rules of %s and are "
		"left out", tape->path, (unsigned long long)o->size,
		(unsigned long long)offset, tape->format->name);
	tape->damage += o->size;
	return 0;
}

/* To the end of data, or to what is not an object. */
static int look_through(struct pmt_tape *tape, struct pmt_point *p)
{
	struct pmt_scan *s = tape->state;
	struct pmt_scan_object o;
	int r;

	for (;;) {
		r = note(s, p);
		if (r || p->offset == tape->size)
			return r;
		r = s->rules->get(tape, p->offset, &o);
		if (r == -EBADMSG && tape->salvage)
			r = add_hole(tape, p->offset, &o);
		if (r || o.kind == PMT_SCAN_END)
			return r;
		if (s->rules->seen)
			s->rules->seen(tape, p, &o);
		s->records += o.kind == PMT_SCAN_RECORD && o.length;
		advance(p, &o);
	}
}

static void publish(struct pmt_tape *tape, const struct pmt_point *p)
{
	tape->end = p->offset;
	tape->files = p->file;
	tape->blocks = p->block;
	tape->eod = p->lbn;
}

static uint64_t identity(const struct stat *st)
{
	uint64_t id = (uint64_t)st->st_dev * 0x9e3779b97f4a7c15u ^
		      (uint64_t)st->st_ino * 0xc2b2ae3d27d4eb4fu;

	return id ? id : 1;
}

int pmt_scan_refuse(struct pmt_tape *tape, const char *hint)
{
	if (tape->eod)
		pmt_log(LOG_ERR, "%s: the rules of %s are broken at offset %llu, LBN %llu%s",
			tape->path, tape->format->name, (unsigned long long)tape->end,
			(unsigned long long)tape->eod, hint);
	else
		pmt_log(LOG_ERR, "%s: not a tape image", tape->path);
	return -EINVAL;
}

int pmt_scan_open(struct pmt_tape *tape, const struct pmt_scan_rules *rules, size_t size)
{
	struct pmt_scan *s = calloc(1, size);
	struct pmt_point end = { 0 };
	int r;

	if (!s)
		return -ENOMEM;
	s->rules = rules;
	tape->state = s;
	tape->medium = identity(&tape->stat);
	r = look_through(tape, &end);
	if (r && r != -EBADMSG)
		return r;
	publish(tape, &end);
	if (r && (!s->records || !rules->torn(tape, end.offset)))
		return r;
	tape->torn = r ? tape->size - end.offset : 0;
	return 0;
}

int pmt_scan_settle(struct pmt_tape *tape)
{
	int r;

	if (!tape->torn)
		return 0;
	pmt_log(LOG_WARNING, "%s: %llu bytes behind LBN %llu are not a whole record, %s",
		tape->path, (unsigned long long)tape->torn, (unsigned long long)tape->eod,
		tape->protected ? "ignored" : "cut");
	if (tape->protected)
		return 0;
	r = pmt_tape_truncate(tape);
	return r ? r : pmt_tape_flush(tape);
}

void pmt_scan_close(struct pmt_tape *tape)
{
	struct pmt_scan *s = tape->state;

	if (s) {
		free(s->points);
		free(s->holes);
	}
	free(s);
	tape->state = NULL;
}

bool pmt_scan_zeros(struct pmt_tape *tape, uint64_t offset)
{
	_cleanup_free_ uint8_t *window = malloc(WINDOW);

	while (window && offset < tape->size) {
		uint64_t left = tape->size - offset;
		size_t n = left < WINDOW ? left : WINDOW;

		if (pmt_tape_pread(tape, window, n, offset) || *window ||
		    memcmp(window, window + 1, n - 1) != 0)
			return false;
		offset += n;
	}
	return window;
}

/* Writing */

int pmt_scan_append(struct pmt_tape *tape, struct iovec *iov, int count,
		    const struct pmt_scan_object *o)
{
	struct pmt_point p = { tape->end, tape->eod, tape->files, tape->blocks };
	int r = pmt_tape_append(tape, iov, count);

	if (r)
		return r;
	advance(&p, o);
	publish(tape, &p);
	return note(tape->state, &p);
}

uint64_t pmt_scan_owed(struct pmt_tape *tape, uint64_t lbn)
{
	(void)tape;
	(void)lbn;
	return 0;
}

int pmt_scan_sync(struct pmt_tape *tape)
{
	return pmt_tape_flush(tape);
}

/* The shorter file is on the disk before anything is written behind it.  The last
 * search, s->here, was for lbn. */
int pmt_scan_cut(struct pmt_tape *tape, uint64_t lbn)
{
	struct pmt_scan *s = tape->state;
	struct pmt_point p;
	struct pmt_scan_object o;
	int r = pmt_scan_find(tape, lbn, &p, &o);

	if (r)
		return r;
	publish(tape, &p);
	if (s->count > lbn / PMT_SCAN_STRIDE + 1)
		s->count = lbn / PMT_SCAN_STRIDE + 1;
	r = pmt_tape_truncate(tape);
	return r ? r : pmt_tape_flush(tape);
}
