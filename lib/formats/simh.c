/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SIMH .tap images, as "SIMH Magtape Representation and Handling" has them, and E11's.
 *
 * A record is its length (32 bits, little endian), its data, a zero if the length is
 * odd (not in E11's), and the length again.  Other words stand alone: 0 is a tape
 * mark, ffffffff the end of the medium, fffffffe four bytes of erased tape, fffeffff
 * two of them.  The top nibble of a length is a class: 0 a good record, 8 one with an
 * error; 1 to 6 private records, 9 to d reserved ones, e a description of the tape, 7
 * and f other words: they are not seen.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "scan.h"

#define LENGTH_MAX	0x00ffffffu
#define MARK		0u
#define END_OF_MEDIUM	0xffffffffu
#define GAP		0xfffffffeu
#define HALF_GAP	0xfffeffffu
#define ILLEGAL		0xfffe0000u	/* up to HALF_GAP: half of it and a length */
#define CLASS_PRIVATE	7u
#define CLASS_BAD	8u
#define CLASS_WORD	0xfu
#define FRAME		8u	/* the two lengths of a record */

static bool padded(const struct pmt_tape *tape)
{
	return tape->format != &pmt_format_e11;
}

static uint64_t record_size(const struct pmt_tape *tape, uint32_t length)
{
	return FRAME + (uint64_t)length + (padded(tape) ? length & 1 : 0);
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
static int classify(const struct pmt_tape *tape, uint32_t word, struct pmt_scan_object *o)
{
	uint32_t class = word >> 28;

	*o = (struct pmt_scan_object){ .kind = PMT_SCAN_SKIP, .size = sizeof(word) };
	if (word == MARK) {
		o->kind = PMT_SCAN_MARK;
	} else if (word == END_OF_MEDIUM) {
		o->kind = PMT_SCAN_END;
	} else if (word == HALF_GAP) {
		o->size = 2;
	} else if (class == CLASS_WORD) {
		return word >= ILLEGAL && word < HALF_GAP ? -EBADMSG : 0;
	} else if (class != CLASS_PRIVATE) {
		o->length = word & 0x0fffffff;
		o->size = record_size(tape, o->length);
		o->bad = class == CLASS_BAD;
		if (class && !o->bad)
			return 0;
		o->kind = PMT_SCAN_RECORD;
		return o->length > LENGTH_MAX ? -EBADMSG : 0;
	}
	return 0;
}

/* Is the record that word begins at offset whole, if it is so long?  -EBADMSG: no. */
static int is_framed(struct pmt_tape *tape, uint64_t offset, uint32_t word, uint64_t size)
{
	uint32_t last;
	int r;

	if (size > tape->size - offset)
		return -EBADMSG;
	r = size < FRAME ? 0 : get_word(tape, offset + size - 4, &last);
	return r ? r : size < FRAME || word == last ? 0 : -EBADMSG;
}

static int get(struct pmt_tape *tape, uint64_t offset, struct pmt_scan_object *o)
{
	uint32_t word;
	int r = get_word(tape, offset, &word);

	if (!r)
		r = classify(tape, word, o);
	return r ? r : is_framed(tape, offset, word, o->size);
}

/*
 * Backwards: is the last object of the file behind offset, but for marks, a whole
 * record, or what is never at the end of a record of ours that was torn: an end of
 * medium, a gap?
 */
static bool sound_at_end(struct pmt_tape *tape, uint64_t offset)
{
	uint64_t end = tape->size, size;
	uint32_t first, last;
	struct pmt_scan_object o;

	for (; end >= offset + FRAME; end -= 4) {
		if (get_word(tape, end - 4, &last))
			return false;
		if (last == MARK)
			continue;
		if (last == END_OF_MEDIUM || last == GAP)
			return true;
		size = classify(tape, last, &o) ? 0 : o.size;
		return size > FRAME && size <= end &&
		       !get_word(tape, end - size, &first) && first == last;
	}
	return false;
}

/* Would the record at offset be whole without the zero behind its odd length? */
static bool is_e11(struct pmt_tape *tape, uint64_t offset)
{
	struct pmt_scan_object o;
	uint32_t word;

	return padded(tape) && !get_word(tape, offset, &word) &&
	       !classify(tape, word, &o) && (o.length & 1) &&
	       !is_framed(tape, offset, word, o.size - 1);
}

static bool simh_torn(struct pmt_tape *tape, uint64_t offset)
{
	uint64_t rest = tape->size - offset;
	struct pmt_scan_object o;
	uint32_t word;

	if (rest < 4)
		return true;
	if (get_word(tape, offset, &word) || classify(tape, word, &o) ||
	    o.kind == PMT_SCAN_SKIP)
		return false;
	return o.size >= rest && !is_e11(tape, offset) && !sound_at_end(tape, offset);
}

/* A length that is not 0, of a good or a bad record. */
static bool simh_may_begin(const uint8_t *header)
{
	return (header[0] || header[1] || header[2]) && !(header[3] & 0x7f);
}

static bool simh_begins(struct pmt_tape *tape, uint64_t offset)
{
	struct pmt_scan_object o, next;

	if (get(tape, offset, &o) || o.kind != PMT_SCAN_RECORD || !o.length)
		return false;
	offset += o.size;
	return offset == tape->size || !get(tape, offset, &next);
}

static const struct pmt_scan_rules rules = {
	.get = get,
	.torn = simh_torn,
	.may_begin = simh_may_begin,
	.begins = simh_begins,
};

static uint64_t simh_probe(struct pmt_tape *tape, uint64_t most)
{
	return pmt_scan_probe(tape, &rules, most);
}

/* Padding shows at the first odd record; one without it all is of E11. */
static int simh_open(struct pmt_tape *tape)
{
	int r = pmt_scan_open(tape, &rules, sizeof(struct pmt_scan));

	if (r == -EBADMSG && is_e11(tape, tape->end) && !tape->asked_for) {
		pmt_scan_close(tape);
		tape->format = &pmt_format_e11;
		r = pmt_scan_open(tape, &rules, sizeof(struct pmt_scan));
	}
	if (r != -EBADMSG)
		return r ? r : pmt_scan_settle(tape);
	return pmt_scan_refuse(tape, is_e11(tape, tape->end) ?
			       " (it would be a record of format=e11)" : "");
}

static int simh_read(struct pmt_tape *tape, uint64_t lbn, void *buffer,
		     size_t size, size_t *length, bool *mark)
{
	struct pmt_point p;
	struct pmt_scan_object o;
	int r = pmt_scan_find(tape, lbn, &p, &o);

	if (r)
		return r;
	*mark = o.kind == PMT_SCAN_MARK;
	*length = o.length;
	r = pmt_tape_pread(tape, buffer, o.length < size ? o.length : size, p.offset + 4);
	pmt_scan_passed(tape, &p, &o);
	return r ? r : o.bad ? -EIO : 0;
}

/*
 * A part of a record alone would be no tape, and nobody who is killed here is to leave
 * one: the medium ends before the first record until that is whole.
 */
static int write_first(struct pmt_tape *tape, struct iovec *iov, int count,
		       const struct pmt_scan_object *o)
{
	const uint32_t *word = iov[0].iov_base;
	uint64_t offset = tape->end;
	uint32_t end = END_OF_MEDIUM;
	int r;

	iov[0].iov_base = &end;
	r = pmt_scan_append(tape, iov, count, o);
	if (r)
		return r;
	r = pmt_tape_pwrite(tape, word, sizeof(*word), offset);
	tape->broken = tape->broken || r;
	return r;
}

static int simh_write(struct pmt_tape *tape, const void *data, size_t length)
{
	static const char zero;
	uint32_t word = htole32((uint32_t)length);
	const struct pmt_scan_object o = {
		.kind = PMT_SCAN_RECORD,
		.length = (uint32_t)length,
		.size = record_size(tape, (uint32_t)length),
	};
	struct iovec iov[4] = {
		{ &word, sizeof(word) },
		{ (void *)data, length },
		{ (void *)&zero, o.size - FRAME - length },
		{ &word, sizeof(word) },
	};

	/* Are there none but marks? */
	return tape->eod == tape->files ? write_first(tape, iov, 4, &o) :
					  pmt_scan_append(tape, iov, 4, &o);
}

static int simh_marks(struct pmt_tape *tape, uint32_t count)
{
	const struct pmt_scan_object o = { .kind = PMT_SCAN_MARK, .size = 4 };
	int r = 0;

	while (!r && count--) {
		uint32_t word = MARK;
		struct iovec iov = { &word, sizeof(word) };

		r = pmt_scan_append(tape, &iov, 1, &o);
	}
	return r;
}

static uint64_t simh_growth(struct pmt_tape *tape, uint64_t lbn, uint64_t count,
			    size_t length)
{
	(void)lbn;
	return count * (length ? record_size(tape, (uint32_t)length) : 4);
}

#define SIMH \
	.limits = { \
		.record_min = 1, \
		.record_max = LENGTH_MAX, \
		.byte_cost = 256, \
		.record_cost = FRAME + 1, \
		.mark_cost = 4, \
		.window = PMT_UNKNOWN, \
	}, \
	.probe = simh_probe, \
	.open = simh_open, \
	.write = simh_write, \
	.marks = simh_marks, \
	.growth = simh_growth, \
	.read = simh_read, \
	PMT_SCAN_OPS

const struct pmt_format pmt_format_simh = {
	.name = "simh",
	.suffix = ".tap",
	SIMH,
};

const struct pmt_format pmt_format_e11 = {
	.name = "e11",
	SIMH,
};
