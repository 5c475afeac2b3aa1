/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * AWS tapes of the P/390, and what Hercules has made of them (HET).
 *
 * A record is one chunk or several, each with a header of 6 bytes before it: its
 * length and that of the chunk before it (16 bits each, little endian), and two bytes
 * of flags.  A mark is a header alone.  The end of the file is the end of the data.
 *
 * In HET a record may be compressed as a whole, which flags of each of its chunks
 * say (het.c).  Then the tape is for reading only.
 *
 * The length of the chunk before is for motion backwards on machines without an index.
 * It is not needed here, and written right; where it is wrong, the tape is told to be.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "aws.h"
#include "scan.h"

#define BEGIN		0x80u
#define MARK		0x40u
#define END		0x20u
#define METHODS		0x03u
#define METHOD_2	0x80u	/* in the second byte */
#define CHUNK_MAX	65535u
#define CHUNKS_MAX	65536u	/* of a record that is read */
#define CHUNKS_WRITTEN	(PMT_RECORD_MAX / CHUNK_MAX + 1)

struct header {
	uint16_t length, before;
	uint8_t flags, flags2;
};

struct aws {
	struct pmt_scan scan;
	bool packed;		/* something is compressed */
	uint32_t last;		/* length of the chunk before the LBN known */
	uint64_t known;
	uint64_t odd;		/* objects with a wrong length of the chunk before */
	uint64_t first_odd;	/* LBN */
};

/* -ENODATA: the file ends before; -EBADMSG: it is none. */
static int get_header(struct pmt_tape *tape, uint64_t offset, struct header *h)
{
	int r;

	if (tape->size < sizeof(*h) || offset > tape->size - sizeof(*h))
		return -ENODATA;
	r = pmt_tape_pread(tape, h, sizeof(*h), offset);
	if (r)
		return r;
	h->length = le16toh(h->length);
	h->before = le16toh(h->before);
	if ((h->flags & ~(BEGIN | MARK | END | METHODS)) || (h->flags2 & ~METHOD_2))
		return -EBADMSG;
	if ((h->flags & METHODS) && h->flags2)
		return -EBADMSG;
	return (h->flags & MARK) && h->length ? -EBADMSG : 0;
}

static bool is_packed(const struct header *h)
{
	return (h->flags & METHODS) || h->flags2;
}

/* A header of the same record as first? */
static bool goes_on(const struct header *first, const struct header *h)
{
	return !(h->flags & (BEGIN | MARK)) && h->flags2 == first->flags2 &&
	       !((h->flags ^ first->flags) & METHODS);
}

/* What begins with the header at offset.  -ENODATA: the file ends before it does. */
static int walk(struct pmt_tape *tape, uint64_t offset, const struct header *first,
		struct pmt_scan_object *o)
{
	struct header h = *first;
	uint64_t length = 0;
	int r;

	*o = (struct pmt_scan_object){ .kind = PMT_SCAN_RECORD, .before = h.before,
				  .packed = is_packed(&h) };
	for (unsigned int i = 0; i < CHUNKS_MAX; i++) {
		o->last = h.length;
		o->size += sizeof(h) + h.length;
		length += h.length;
		if (length > PMT_RECORD_MAX)
			return -EBADMSG;
		o->length = (uint32_t)length;
		if (o->size > tape->size - offset)
			return -ENODATA;
		if (h.flags & END)
			return 0;
		r = get_header(tape, offset + o->size, &h);
		if (r)
			return r;
		o->odd |= h.before != o->last;
		if (!goes_on(first, &h))
			return -EBADMSG;
	}
	return -EBADMSG;
}

/* A whole record of no bytes is a mark, too: programs of old write them so. */
static int look(struct pmt_tape *tape, uint64_t offset, struct pmt_scan_object *o)
{
	struct header h;
	int r = get_header(tape, offset, &h);

	if (r)
		return r;
	if (h.flags & MARK) {
		*o = (struct pmt_scan_object){ .kind = PMT_SCAN_MARK, .before = h.before,
					  .size = sizeof(h) };
		return 0;
	}
	if (!(h.flags & BEGIN))
		return -EBADMSG;
	r = walk(tape, offset, &h, o);
	if (!r && !o->length) {
		if (o->size > sizeof(h) || o->packed)
			return -EBADMSG;
		o->kind = PMT_SCAN_MARK;
	}
	return r;
}

static int get(struct pmt_tape *tape, uint64_t offset, struct pmt_scan_object *o)
{
	int r = look(tape, offset, o);

	return r == -ENODATA ? -EBADMSG : r;
}

static void seen(struct pmt_tape *tape, const struct pmt_point *p,
		 const struct pmt_scan_object *o)
{
	struct aws *a = tape->state;

	if (o->kind == PMT_SCAN_SKIP)
		return;
	if (o->odd || (o->before != a->last && p->offset)) {
		if (!a->odd++)
			a->first_odd = p->lbn;
	}
	a->packed |= o->packed;
	a->last = o->last;
	a->known = p->lbn + 1;
}

/*
 * Backwards: marks at the end of the file, and a chunk where the first of them says
 * that one is.
 */
static bool sound_at_end(struct pmt_tape *tape, uint64_t offset)
{
	uint64_t end = tape->size;
	struct header h, chunk;

	while (end >= offset + 2 * sizeof(h)) {
		end -= sizeof(h);
		if (get_header(tape, end, &h) || !(h.flags & MARK))
			return false;
		if (h.before)
			return end - offset >= sizeof(h) + h.before &&
			       !get_header(tape, end - h.before - sizeof(h), &chunk) &&
			       chunk.length == h.before;
	}
	return false;
}

/* A disk that lost its power may have left zeros, which are no header. */
static bool aws_torn(struct pmt_tape *tape, uint64_t offset)
{
	struct pmt_scan_object o;
	int r = look(tape, offset, &o);

	if (r == -ENODATA)
		return !sound_at_end(tape, offset);
	return r == -EBADMSG && pmt_scan_zeros(tape, offset);
}

static bool aws_may_begin(const uint8_t *header)
{
	return (header[4] & (BEGIN | MARK)) == BEGIN && !(header[5] & ~METHOD_2) &&
	       (header[0] || header[1]);
}

static bool aws_begins(struct pmt_tape *tape, uint64_t offset)
{
	struct pmt_scan_object o;
	struct header next;

	if (look(tape, offset, &o) || !o.length || o.odd)
		return false;
	offset += o.size;
	return offset == tape->size ||
	       (!get_header(tape, offset, &next) && next.before == o.last);
}

static const struct pmt_scan_rules rules = {
	.get = get,
	.seen = seen,
	.torn = aws_torn,
	.may_begin = aws_may_begin,
	.begins = aws_begins,
};

static uint64_t aws_probe(struct pmt_tape *tape, uint64_t most)
{
	return pmt_scan_probe(tape, &rules, most);
}

static int take_packed(struct pmt_tape *tape)
{
	if (tape->asked_for == &pmt_format_aws) {
		pmt_log(LOG_ERR, "%s: has compressed records: it is of format=het",
			tape->path);
		return -EINVAL;
	}
	tape->format = &pmt_format_het;
	return 0;
}

static int aws_open(struct pmt_tape *tape)
{
	int r = pmt_scan_open(tape, &rules, sizeof(struct aws));
	const struct aws *a = tape->state;

	if (r == -EBADMSG)
		return pmt_scan_refuse(tape, "");
	if (!r && a->packed)
		r = take_packed(tape);
	if (r)
		return r;
	if (tape->format == &pmt_format_het)
		tape->protected = true;
	tape->odd = a->odd;
	if (a->odd)
		pmt_log(LOG_WARNING, "%s: wrong lengths of the chunk before it in %llu "
			"records and marks, first at LBN %llu", tape->path,
			(unsigned long long)a->odd, (unsigned long long)a->first_odd);
	return pmt_scan_settle(tape);
}

/* Reading */

/* size bytes of the chunks of the record at offset. */
static int gather(struct pmt_tape *tape, uint64_t offset, char *to, size_t size)
{
	struct header h;

	while (size) {
		size_t part;
		int r = get_header(tape, offset, &h);

		if (r)
			return r == -ENODATA ? -EBADMSG : r;
		part = h.length < size ? h.length : size;
		offset += sizeof(h);
		r = pmt_tape_pread(tape, to, part, offset);
		if (r)
			return r;
		offset += h.length;
		to += part;
		size -= part;
		if (size && (h.flags & END))
			return -EBADMSG;
	}
	return 0;
}

static int read_packed(struct pmt_tape *tape, const struct pmt_point *p,
		       const struct pmt_scan_object *o, void *buffer, size_t size,
		       size_t *length)
{
	_cleanup_free_ char *packed = malloc(o->length);
	struct header h;
	int r;

	if (!packed)
		return -ENOMEM;
	r = get_header(tape, p->offset, &h);
	if (!r)
		r = gather(tape, p->offset, packed, o->length);
	if (r)
		return r;
	return pmt_het_unpack(h.flags2 ? PMT_HET_ZLIB : h.flags & METHODS, packed,
			      o->length, buffer, size, length);
}

static int aws_read(struct pmt_tape *tape, uint64_t lbn, void *buffer,
		    size_t size, size_t *length, bool *mark)
{
	struct pmt_point p;
	struct pmt_scan_object o;
	int r = pmt_scan_find(tape, lbn, &p, &o);

	if (r)
		return r;
	*mark = o.kind == PMT_SCAN_MARK;
	*length = o.length;
	if (o.packed)
		r = read_packed(tape, &p, &o, buffer, size, length);
	else
		r = gather(tape, p.offset, buffer, o.length < size ? o.length : size);
	pmt_scan_passed(tape, &p, &o);
	return r;
}

/* Writing */

static size_t chunks(size_t length)
{
	return (length + CHUNK_MAX - 1) / CHUNK_MAX;
}

static uint64_t record_size(size_t length)
{
	return length + chunks(length) * sizeof(struct header);
}

/* Of the chunk before the end of data. */
static int last_chunk(struct pmt_tape *tape, uint32_t *last)
{
	const struct aws *a = tape->state;
	struct pmt_point p;
	struct pmt_scan_object o = { .last = 0 };
	int r = 0;

	if (tape->eod && a->known == tape->eod)
		o.last = a->last;
	else if (tape->eod)
		r = pmt_scan_find(tape, tape->eod - 1, &p, &o);
	*last = o.last;
	return r;
}

static int append(struct pmt_tape *tape, struct iovec *iov, int count,
		  const struct pmt_scan_object *o)
{
	struct aws *a = tape->state;
	int r = pmt_scan_append(tape, iov, count, o);

	a->last = o->last;
	a->known = r ? 0 : tape->eod;
	return r;
}

static struct header put_header(size_t length, uint32_t before, unsigned int flags)
{
	return (struct header){
		.length = htole16((uint16_t)length),
		.before = htole16((uint16_t)before),
		.flags = (uint8_t)flags,
	};
}

static int aws_write(struct pmt_tape *tape, const void *data, size_t length)
{
	struct header h[CHUNKS_WRITTEN];
	struct iovec iov[2 * CHUNKS_WRITTEN];
	struct pmt_scan_object o = {
		.kind = PMT_SCAN_RECORD,
		.length = (uint32_t)length,
		.size = record_size(length),
	};
	int n = 0, r = last_chunk(tape, &o.before);

	o.last = o.before;
	for (size_t done = 0; done < length; n++) {
		size_t part = length - done < CHUNK_MAX ? length - done : CHUNK_MAX;

		h[n] = put_header(part, o.last, (done ? 0 : BEGIN) |
				  (done + part == length ? END : 0));
		iov[2 * n] = (struct iovec){ &h[n], sizeof(h[n]) };
		iov[2 * n + 1] = (struct iovec){ (char *)data + done, part };
		o.last = (uint32_t)part;
		done += part;
	}
	return r ? r : append(tape, iov, 2 * n, &o);
}

static int aws_marks(struct pmt_tape *tape, uint32_t count)
{
	const struct pmt_scan_object o = { .kind = PMT_SCAN_MARK,
				      .size = sizeof(struct header) };
	uint32_t before;
	int r = last_chunk(tape, &before);

	for (; !r && count--; before = 0) {
		struct header h = put_header(0, before, MARK);
		struct iovec iov = { &h, sizeof(h) };

		r = append(tape, &iov, 1, &o);
	}
	return r;
}

static uint64_t aws_growth(struct pmt_tape *tape, uint64_t lbn, uint64_t count,
			   size_t length)
{
	(void)tape;
	(void)lbn;
	return count * (length ? record_size(length) : sizeof(struct header));
}

/* A byte costs 1/65535 more than itself. */
#define AWS \
	.limits = { \
		.record_min = 1, \
		.record_max = PMT_RECORD_MAX, \
		.byte_cost = 257, \
		.record_cost = sizeof(struct header), \
		.mark_cost = sizeof(struct header), \
		.window = PMT_UNKNOWN, \
	}, \
	.open = aws_open, \
	.write = aws_write, \
	.marks = aws_marks, \
	.growth = aws_growth, \
	.read = aws_read, \
	PMT_SCAN_OPS

const struct pmt_format pmt_format_aws = {
	.name = "aws",
	.suffix = ".aws",
	.probe = aws_probe,
	AWS,
};

const struct pmt_format pmt_format_het = {
	.name = "het",
	.suffix = ".het",
	.readonly = true,
	AWS,
};
