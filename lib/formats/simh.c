/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SIMH .tap images, as "SIMH Magtape Representation and Handling" has them.
 *
 * A record is its length (32 bits, little endian), its data, a zero if the
 * length is odd, and the length again.  Other words stand alone: 0 is a tape
 * mark, ffffffff the end of the medium, fffffffe four bytes of erased tape,
 * fffeffff two of them.  The top nibble of a length is a class: 0 a good record,
 * 8 one with an error, 1 to 7 and 9 to d private records, e and f private
 * words; the private ones are not seen.
 *
 * The format has no checksums and no index.  The whole file is looked through
 * when it is opened, which proves that its rules are kept and gives an index in
 * memory: every STRIDEth object.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "format.h"

#define LENGTH_MAX	0x00ffffffu
#define MARK		0u
#define END_OF_MEDIUM	0xffffffffu
#define GAP		0xfffffffeu
#define HALF_GAP	0xfffeffffu
#define CLASS_BAD	8u
#define STRIDE		64u
#define FRAME		8u	/* the two lengths of a record */

struct point {
	uint64_t offset, lbn, file, block;
};

struct simh {
	struct point *points;	/* of LBN 0, STRIDE, 2 * STRIDE, ... */
	size_t count, room;
	struct point here;	/* of the last search */
};

struct word {
	enum { WORD_RECORD, WORD_MARK, WORD_SKIP, WORD_END } kind;
	bool bad;
	uint32_t length;	/* of the record */
	uint64_t size;		/* of all, in the file */
};

static uint64_t record_size(uint64_t length)
{
	return FRAME + length + (length & 1);
}

static int get_word(struct pmt_tape *tape, uint64_t offset, uint32_t *word)
{
	int r;

	if (tape->size < 4 || offset > tape->size - 4)
		return -EBADMSG;
	r = pmt_tape_pread(tape, word, sizeof(*word), offset);
	*word = le32toh(*word);
	return r;
}

/* A word alone, or the record that it begins; -EBADMSG: neither. */
static int classify(uint32_t word, struct word *w)
{
	uint32_t class = word >> 28;

	*w = (struct word){ .kind = WORD_SKIP, .size = sizeof(word) };
	if (word == MARK) {
		w->kind = WORD_MARK;
	} else if (word == END_OF_MEDIUM) {
		w->kind = WORD_END;
	} else if (word == HALF_GAP) {
		w->size = 2;
	} else if (class < 0xe) {
		w->length = word & 0x0fffffff;
		w->size = record_size(w->length);
		if (w->length > LENGTH_MAX)
			return -EBADMSG;
		if (class == 0 || class == CLASS_BAD)
			w->kind = WORD_RECORD;
		w->bad = class == CLASS_BAD;
	}
	return 0;
}

static int get(struct pmt_tape *tape, uint64_t offset, struct word *w)
{
	uint32_t word;
	int r = get_word(tape, offset, &word);

	return r ? r : classify(word, w);
}

static void advance(struct point *p, const struct word *w)
{
	p->offset += w->size;
	if (w->kind == WORD_SKIP)
		return;
	p->lbn++;
	p->block = w->kind == WORD_MARK ? 0 : p->block + 1;
	p->file += w->kind == WORD_MARK;
}

/* To the object at p, over what is not seen. */
static int to_object(struct pmt_tape *tape, struct point *p, struct word *w)
{
	for (;;) {
		int r = get(tape, p->offset, w);

		if (r || w->kind != WORD_SKIP)
			return r;
		advance(p, w);
	}
}

/* The index: p is where the object p->lbn is, or is going to be. */
static int note(struct simh *s, const struct point *p)
{
	if (p->lbn % STRIDE || p->lbn / STRIDE < s->count)
		return 0;
	if (s->count == s->room) {
		size_t room = s->room ? 2 * s->room : 64;
		struct point *points = reallocarray(s->points, room, sizeof(*points));

		if (!points)
			return -ENOMEM;
		s->points = points;
		s->room = room;
	}
	s->points[s->count++] = *p;
	return 0;
}

static int find(struct pmt_tape *tape, uint64_t lbn, struct point *p,
		struct word *w)
{
	struct simh *s = tape->state;
	int r;

	*p = s->points[lbn / STRIDE];
	if (s->here.lbn <= lbn && s->here.lbn >= p->lbn)
		*p = s->here;
	for (;;) {
		r = to_object(tape, p, w);
		if (r || p->lbn == lbn)
			break;
		advance(p, w);
	}
	if (!r)
		s->here = *p;
	return r;
}

static int simh_offset(struct pmt_tape *tape, uint64_t lbn, uint64_t *offset)
{
	struct point p = { .offset = tape->end };
	struct word w;
	int r = lbn == tape->eod ? 0 : find(tape, lbn, &p, &w);

	*offset = p.offset;
	return r;
}

static int simh_place(struct pmt_tape *tape, uint64_t lbn, uint64_t *file,
		      uint64_t *block)
{
	struct point p = { .file = tape->files, .block = tape->blocks };
	struct word w;
	int r = lbn == tape->eod ? 0 : find(tape, lbn, &p, &w);

	*file = p.file;
	*block = p.block;
	return r;
}

static int simh_find_mark(struct pmt_tape *tape, uint64_t mark, uint64_t *lbn)
{
	struct simh *s = tape->state;
	size_t low = 0, high = s->count;
	struct point p;
	struct word w;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (s->points[middle].file <= mark)
			low = middle;
		else
			high = middle;
	}
	for (p = s->points[low];; advance(&p, &w)) {
		int r = to_object(tape, &p, &w);

		if (r)
			return r;
		if (w.kind == WORD_MARK && p.file == mark)
			break;
	}
	s->here = p;
	*lbn = p.lbn;
	return 0;
}

static int simh_read(struct pmt_tape *tape, uint64_t lbn, void *buffer,
		     size_t size, size_t *length, bool *mark)
{
	struct simh *s = tape->state;
	struct point p;
	struct word w;
	int r = find(tape, lbn, &p, &w);

	if (r)
		return r;
	*mark = w.kind == WORD_MARK;
	*length = w.length;
	r = pmt_tape_pread(tape, buffer, w.length < size ? w.length : size,
			    p.offset + 4);
	advance(&p, &w);
	s->here = p;
	return r ? r : w.bad ? -EIO : 0;
}

/* Opening */

/* Is the record at p whole?  -EBADMSG: no. */
static int check_frame(struct pmt_tape *tape, const struct point *p,
		       const struct word *w)
{
	uint32_t first, last;
	int r;

	if (w->size <= 4)
		return w->size > tape->size - p->offset ? -EBADMSG : 0;
	if (w->size > tape->size - p->offset)
		return -EBADMSG;
	r = get_word(tape, p->offset, &first);
	if (!r)
		r = get_word(tape, p->offset + w->size - 4, &last);
	return r ? r : first == last ? 0 : -EBADMSG;
}

/* To the end of data or to what is not an object; *good records were seen. */
static int look_through(struct pmt_tape *tape, struct point *p, uint64_t *good)
{
	struct simh *s = tape->state;
	struct word w;
	int r;

	for (;;) {
		r = note(s, p);
		if (r || p->offset == tape->size)
			return r;
		r = get(tape, p->offset, &w);
		if (r || w.kind == WORD_END)
			return r;
		r = check_frame(tape, p, &w);
		if (r)
			return r;
		*good += w.kind == WORD_RECORD && w.length;
		advance(p, &w);
	}
}

/*
 * Is the last object of the file behind p, but for marks, a whole record, or what
 * is never at the end of a record of ours that was torn: an end of medium, a gap?
 */
static bool sound_at_end(struct pmt_tape *tape, const struct point *p)
{
	uint64_t end = tape->size, size;
	uint32_t first, last;
	struct word w;

	for (; end >= p->offset + FRAME; end -= 4) {
		if (get_word(tape, end - 4, &last))
			return false;
		if (last == MARK)
			continue;
		if (last == END_OF_MEDIUM || last == GAP)
			return true;
		size = classify(last, &w) ? 0 : w.size;
		return size > FRAME && size <= end &&
		       !get_word(tape, end - size, &first) && first == last;
	}
	return false;
}

/*
 * Can what is at p be a record that was being written when the power failed?
 * It is then the last thing in the file, and not longer than a record.  If good
 * records follow, it is damage, and nothing may be cut.
 */
static bool is_torn(struct pmt_tape *tape, const struct point *p)
{
	uint64_t rest = tape->size - p->offset;
	uint32_t word;
	struct word w;

	if (rest < 4)
		return true;
	if (get_word(tape, p->offset, &word) || classify(word, &w) ||
	    w.kind == WORD_SKIP)
		return false;
	return w.size >= rest && !sound_at_end(tape, p);
}

static int refuse(struct pmt_tape *tape, const struct point *p)
{
	if (p->lbn)
		pmt_log(LOG_ERR, "%s: not a tape image: the SIMH rules are broken at "
			"offset %llu, LBN %llu", tape->path,
			(unsigned long long)p->offset, (unsigned long long)p->lbn);
	else
		pmt_log(LOG_ERR, "%s: not a tape image", tape->path);
	return -EINVAL;
}

static void publish(struct pmt_tape *tape, const struct point *p)
{
	struct simh *s = tape->state;

	tape->end = p->offset;
	tape->files = p->file;
	tape->blocks = p->block;
	tape->eod = p->lbn;
	if (s->here.lbn > p->lbn)
		s->here = (struct point){ 0 };
}

static uint64_t identity(const struct stat *st)
{
	uint64_t id = (uint64_t)st->st_dev * 0x9e3779b97f4a7c15u ^
		      (uint64_t)st->st_ino * 0xc2b2ae3d27d4eb4fu;

	return id ? id : 1;
}

static int simh_open(struct pmt_tape *tape)
{
	struct simh *s = calloc(1, sizeof(*s));
	struct point end = { 0 };
	uint64_t good = 0, torn;
	int r;

	if (!s)
		return -ENOMEM;
	tape->state = s;
	tape->medium = identity(&tape->stat);
	r = look_through(tape, &end, &good);
	if (r && r != -EBADMSG)
		return r;
	if (r ? !good || !is_torn(tape, &end) : !good && tape->size && !tape->asked_for)
		return refuse(tape, &end);
	publish(tape, &end);
	torn = r ? tape->size - end.offset : 0;
	if (torn)
		pmt_log(LOG_WARNING, "%s: %llu bytes behind LBN %llu are not a whole "
			"record, %s", tape->path, (unsigned long long)torn,
			(unsigned long long)end.lbn,
			tape->protected ? "ignored" : "cut");
	if (!torn || tape->protected)
		return 0;
	r = pmt_tape_truncate(tape);
	return r ? r : pmt_tape_flush(tape);
}

static void simh_close(struct pmt_tape *tape)
{
	struct simh *s = tape->state;

	if (s)
		free(s->points);
	free(s);
	tape->state = NULL;
}

/* Writing */

static struct point eod(const struct pmt_tape *tape)
{
	return (struct point){ tape->end, tape->eod, tape->files,
			       tape->blocks };
}

/* iov is the object w, to be written at the end of data. */
static int append(struct pmt_tape *tape, struct iovec *iov, int count,
		  const struct word *w)
{
	struct point p = eod(tape);
	int r = pmt_tape_append(tape, iov, count);

	if (r)
		return r;
	advance(&p, w);
	publish(tape, &p);
	return note(tape->state, &p);
}

static int simh_write(struct pmt_tape *tape, const void *data, size_t length)
{
	static const char zero;
	uint32_t word = htole32((uint32_t)length);
	const struct word w = { .kind = WORD_RECORD, .length = (uint32_t)length,
				.size = record_size(length) };
	struct iovec iov[4] = {
		{ &word, sizeof(word) },
		{ (void *)data, length },
		{ (void *)&zero, length & 1 },
		{ &word, sizeof(word) },
	};

	return append(tape, iov, 4, &w);
}

static int simh_marks(struct pmt_tape *tape, uint32_t count)
{
	const struct word w = { .kind = WORD_MARK, .size = 4 };
	int r = 0;

	while (!r && count--) {
		uint32_t word = MARK;
		struct iovec iov = { &word, sizeof(word) };

		r = append(tape, &iov, 1, &w);
	}
	return r;
}

static uint64_t simh_growth(struct pmt_tape *tape, uint64_t lbn, uint64_t count,
			    size_t length)
{
	(void)tape;
	(void)lbn;
	return count * (length ? record_size(length) : 4);
}

static uint64_t simh_owed(struct pmt_tape *tape, uint64_t lbn)
{
	(void)tape;
	(void)lbn;
	return 0;
}

static int simh_sync(struct pmt_tape *tape)
{
	return pmt_tape_flush(tape);
}

/* The shorter file is on the disk before anything is written behind it. */
static int simh_cut(struct pmt_tape *tape, uint64_t lbn)
{
	struct simh *s = tape->state;
	struct point p;
	struct word w;
	int r = find(tape, lbn, &p, &w);

	if (r)
		return r;
	publish(tape, &p);
	if (s->count > lbn / STRIDE + 1)
		s->count = lbn / STRIDE + 1;
	r = pmt_tape_truncate(tape);
	return r ? r : pmt_tape_flush(tape);
}

const struct pmt_format pmt_format_simh = {
	.name = "simh",
	.limits = {
		.record_min = 1,
		.record_max = LENGTH_MAX,
		.byte_cost = 256,
		.record_cost = FRAME + 1,
		.mark_cost = 4,
		.window = PMT_UNKNOWN,
	},
	.open = simh_open,
	.close = simh_close,
	.write = simh_write,
	.marks = simh_marks,
	.growth = simh_growth,
	.owed = simh_owed,
	.sync = simh_sync,
	.cut = simh_cut,
	.read = simh_read,
	.offset = simh_offset,
	.place = simh_place,
	.find_mark = simh_find_mark,
};
