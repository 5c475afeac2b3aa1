/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The native image: an append-only log.  pmt-image(5) describes it for those
 * who read the file with something else; the structs here are its letter.
 *
 *	0	file header		who the medium is; written once
 *	4096	checkpoint slot 0	where the log ends, and the index of the
 *	8192	checkpoint slot 1	group that is being filled
 *	12288	the log: objects, each with a header of 64 bytes
 *
 * All numbers are little endian, objects begin on multiples of 8.
 *
 * A group is GROUP objects.  Before the first object of group n > 0 lies index
 * block n, which has the offset of every object of group n - 1, and skips:
 * skip[i] points to index block ((n - 1) >> i) << i, and says how many marks are
 * before it.  So from any index block an earlier one is found in log2(n) steps,
 * by its number or by its marks.
 *
 * An epoch is one writing: it changes whenever something is cut.  Its low half
 * is random, so that nothing written before it began can look like a part of it.
 *
 * What holds after a crash: a checkpoint is written only when all before its
 * end is on the disk, and the slot it does not overwrite is on the disk too.
 * Behind it, an object counts only if it has the checkpoint's epoch, the next
 * LBN and data that match.  Before anything behind the end of data is written
 * over, a checkpoint of a new epoch that ends there is on the disk; hence bytes
 * of an earlier writing never follow those of a later one.
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/random.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "format.h"

#define FILE_MAGIC	"PMTIMAGE"
#define SLOT_MAGIC	"PMTCHECK"
#define OBJECT_MAGIC	0x4f544d50u	/* "PMTO" */
#define VERSION		1
#define GROUP		512u
#define SKIPS		32
#define SLOT_SIZE	4096u
#define LOG_START	(3 * SLOT_SIZE)
#define MARK_BIT	0x80000000u
#define CHECKPOINT_STEP	(256u << 20)	/* bytes of log between checkpoints */
#define MARKS_AT_ONCE	256u

#define FLAG_PROTECTED	1u
#define FLAG_WORM	2u
#define FLAG_DIVIDED	4u	/* partitions are in the checkpoint's table */
#define FLAGS_ALL	7u

#define TABLE_UNFINISHED 1u

enum { TYPE_RECORD = 1, TYPE_MARK, TYPE_INDEX };

struct native_header {
	char magic[8];
	uint32_t version;
	uint32_t flags;
	uint8_t uuid[16];
	uint64_t created;	/* seconds since 1970 */
	uint64_t capacity;	/* 0: the disk's */
	uint64_t ew;
	uint32_t partitions;	/* 1; 0 if divided */
	uint32_t start;		/* of the log */
	uint32_t partition;	/* that this file is */
	char label[PMT_LABEL_MAX];	/* both: zeros behind what there is */
	char barcode[PMT_BARCODE_MAX];
	uint8_t reserved[8];
	uint32_t crc;		/* of the bytes before */
};
static_assert(sizeof(struct native_header) == 128, "layout");

struct native_object {
	uint32_t magic;
	uint8_t type;
	uint8_t flags;		/* 0 */
	uint16_t partition;
	uint32_t length;	/* of the data behind it */
	uint32_t data_crc;
	uint64_t epoch;
	uint64_t lbn;		/* of an index: of the object behind it */
	uint64_t file;		/* marks before it */
	uint64_t block;		/* records since the last mark */
	uint8_t reserved[12];
	uint32_t crc;		/* of the UUID and the bytes before */
};
static_assert(sizeof(struct native_object) == 64, "layout");

struct native_skip {
	uint64_t offset;	/* 0: none */
	uint64_t file;
};

struct native_index {
	uint64_t base;		/* offset of the group's first object */
	uint64_t file;		/* marks before it */
	struct native_skip skip[SKIPS];
	uint32_t entry[GROUP];	/* (offset - base) / 8; MARK_BIT */
};
static_assert(sizeof(struct native_index) == 2576, "layout");

#define INDEX_SIZE (sizeof(struct native_object) + sizeof(struct native_index))
#define OWED ((INDEX_SIZE + GROUP - 1) / GROUP)	/* an object's part of an index */

struct native_table {
	uint32_t count;		/* of partitions; 0 is 1 */
	uint32_t flags;
	uint64_t formatting;
	uint64_t unit_id;
	uint64_t generation;
	uint64_t size[PMT_IMAGE_PARTITIONS];
};
static_assert(sizeof(struct native_table) == 64, "layout");

struct native_slot {
	char magic[8];
	uint64_t sequence;
	uint64_t epoch;
	uint64_t end;		/* offset of the end of data */
	uint64_t lbn;		/* place of the end of data */
	uint64_t file;
	uint64_t block;
	uint32_t partition;
	uint32_t count;		/* objects in the group */
	struct native_index group;
	struct native_table table;
	uint8_t reserved[SLOT_SIZE - 128 - sizeof(struct native_index) - 4];
	uint32_t crc;		/* of the UUID and the bytes before */
};
static_assert(sizeof(struct native_slot) == SLOT_SIZE, "layout");

/* A group in memory, in the processor's byte order. */
struct group {
	uint64_t number;
	uint32_t count;
	struct native_index index;	/* of which count entries */
};

/* A place in the log and all that is needed to append there. */
struct cursor {
	uint64_t end, lbn, file, block;
	struct group group;
};

struct native {
	struct native_header header;	/* as on the disk */
	uint32_t seed;		/* CRC of the UUID */
	uint64_t epoch;
	uint64_t sequence;	/* of the newest checkpoint, in slot % 2 */
	uint64_t checkpointed;	/* its end */
	struct cursor eod;
	struct group cache;	/* count 0: empty */
};

static uint64_t padded(uint64_t length)
{
	return (length + 7) & ~(uint64_t)7;
}

static uint64_t object_size(uint32_t length)
{
	return sizeof(struct native_object) + padded(length);
}

static uint32_t epoch_count(uint64_t epoch)
{
	return epoch >> 32;
}

static int new_epoch(struct native *n)
{
	uint32_t salt;

	if (getrandom(&salt, sizeof(salt), 0) != sizeof(salt))
		return -EIO;
	n->epoch = ((uint64_t)epoch_count(n->epoch) + 1) << 32 | salt;
	return 0;
}

static uint64_t entry_offset(const struct group *g, uint32_t i)
{
	return g->index.base + (uint64_t)(g->index.entry[i] & ~MARK_BIT) * 8;
}

/* The same way to and from the disk; nothing at all on most machines. */
static void swap_index(struct native_index *x)
{
	x->base = le64toh(x->base);
	x->file = le64toh(x->file);
	for (int i = 0; i < SKIPS; i++) {
		x->skip[i].offset = le64toh(x->skip[i].offset);
		x->skip[i].file = le64toh(x->skip[i].file);
	}
	for (uint32_t i = 0; i < GROUP; i++)
		x->entry[i] = le32toh(x->entry[i]);
}

/* The log grows by an object, or by the index of a full group. */

static void add_object(struct cursor *c, bool mark, uint32_t length)
{
	struct group *g = &c->group;

	g->index.entry[g->count++] =
		(uint32_t)((c->end - g->index.base) / 8) | (mark ? MARK_BIT : 0);
	c->end += object_size(length);
	c->lbn++;
	c->block = mark ? 0 : c->block + 1;
	c->file += mark;
}

static void next_group(struct cursor *c)
{
	struct group *g = &c->group;
	uint64_t number = g->number + 1;

	for (int i = 0; i < SKIPS && number % (1ull << i) == 0; i++)
		g->index.skip[i] = (struct native_skip){ c->end, c->file };
	c->end += INDEX_SIZE;
	g->number = number;
	g->count = 0;
	g->index.base = c->end;
	g->index.file = c->file;
}

static void cursor_start(struct cursor *c)
{
	memset(c, 0, sizeof(*c));
	c->end = LOG_START;
	c->group.index.base = LOG_START;
}

static void publish(struct pmt_tape *tape)
{
	const struct native *n = tape->state;

	tape->end = n->eod.end;
	tape->files = n->eod.file;
	tape->blocks = n->eod.block;
	tape->eod = n->eod.lbn;
}

/* Object headers */

static void seal(const struct pmt_tape *tape, struct native_object *h, int type,
		 uint32_t length, uint32_t data_crc, const struct cursor *at)
{
	const struct native *n = tape->state;


	*h = (struct native_object){
		.magic = htole32(OBJECT_MAGIC),
		.type = (uint8_t)type,
		.partition = htole16((uint16_t)tape->number),
		.length = htole32(length),
		.data_crc = htole32(data_crc),
		.epoch = htole64(n->epoch),
		.lbn = htole64(at->lbn),
		.file = htole64(at->file),
		.block = htole64(at->block),
	};
	h->crc = htole32(pmt_crc32c(n->seed, h, offsetof(struct native_object, crc)));
}

static bool length_fits(int type, uint32_t length)
{
	switch (type) {
	case TYPE_RECORD:
		return length && length <= PMT_RECORD_MAX;
	case TYPE_MARK:
		return !length;
	case TYPE_INDEX:
		return length == sizeof(struct native_index);
	}
	return false;
}

/* -EBADMSG unless there is a sound header of lbn that fits before limit. */
static int get_header(struct pmt_tape *tape, uint64_t offset, uint64_t limit,
		      uint64_t lbn, struct native_object *h)
{
	const struct native *n = tape->state;
	int r;

	if (limit < sizeof(*h) || offset > limit - sizeof(*h))
		return -EBADMSG;
	r = pmt_tape_pread(tape, h, sizeof(*h), offset);
	if (r)
		return r;
	if (le32toh(h->magic) != OBJECT_MAGIC ||
	    le32toh(h->crc) != pmt_crc32c(n->seed, h, offsetof(struct native_object, crc)))
		return -EBADMSG;
	h->length = le32toh(h->length);
	h->data_crc = le32toh(h->data_crc);
	h->epoch = le64toh(h->epoch);
	h->lbn = le64toh(h->lbn);
	h->file = le64toh(h->file);
	h->block = le64toh(h->block);
	if (h->lbn != lbn || le16toh(h->partition) != tape->number || h->flags ||
	    !length_fits(h->type, h->length) ||
	    object_size(h->length) > limit - offset)
		return -EBADMSG;
	return 0;
}

/* CRC of length bytes from offset on, chained. */
static int sum_file(struct pmt_tape *tape, uint64_t offset, size_t length,
		    uint32_t *crc)
{
	const size_t chunk = 256 << 10;
	_cleanup_free_ void *buffer = malloc(chunk);

	if (!buffer)
		return -ENOMEM;
	while (length) {
		size_t part = length < chunk ? length : chunk;
		int r = pmt_tape_pread(tape, buffer, part, offset);

		if (r)
			return r;
		*crc = pmt_crc32c(*crc, buffer, part);
		offset += part;
		length -= part;
	}
	return 0;
}

static int get_index(struct pmt_tape *tape, uint64_t offset, uint64_t number,
		     struct native_index *x)
{
	struct native_object h;
	int r = get_header(tape, offset, tape->end, number * GROUP, &h);

	if (!r && h.type != TYPE_INDEX)
		r = -EBADMSG;
	if (!r)
		r = pmt_tape_pread(tape, x, sizeof(*x), offset + sizeof(h));
	if (!r && pmt_crc32c(0, x, sizeof(*x)) != h.data_crc)
		r = -EBADMSG;
	if (!r)
		swap_index(x);
	return r;
}

/*
 * Walking over headers: after a crash, behind the last checkpoint (strict: one
 * epoch, data that match), and where an index block is damaged (not strict:
 * epochs may only grow; a damaged index is stepped over).
 */
struct walk {
	struct cursor at;
	uint64_t limit;
	uint64_t epoch;		/* least that is accepted */
	bool strict;
};

/* Over the index that follows a full group. */
static int walk_index(struct pmt_tape *tape, struct walk *w)
{
	struct native_object h;
	uint32_t crc = 0;
	int r = 0;

	if (w->strict) {
		r = get_header(tape, w->at.end, w->limit, w->at.lbn, &h);
		if (!r && (h.type != TYPE_INDEX || h.epoch != w->epoch))
			r = -EBADMSG;
		if (!r)
			r = sum_file(tape, w->at.end + sizeof(h), h.length, &crc);
		if (!r && crc != h.data_crc)
			r = -EBADMSG;
	}
	if (!r)
		next_group(&w->at);
	return r;
}

/* Over one object; -EBADMSG: there is no good one, and w is as it was. */
static int walk_step(struct pmt_tape *tape, struct walk *w)
{
	struct native_object h;
	uint32_t crc = 0;
	int r;

	if (w->at.group.count == GROUP) {
		struct walk ahead = *w;

		r = walk_index(tape, &ahead);
		if (!r)
			r = walk_step(tape, &ahead);
		if (!r)
			*w = ahead;
		return r;
	}
	r = get_header(tape, w->at.end, w->limit, w->at.lbn, &h);
	if (r)
		return r;
	if (h.type == TYPE_INDEX || h.file != w->at.file || h.block != w->at.block ||
	    (w->strict ? h.epoch != w->epoch :
	     epoch_count(h.epoch) < epoch_count(w->epoch)))
		return -EBADMSG;
	if (w->strict) {
		r = sum_file(tape, w->at.end + sizeof(h), h.length, &crc);
		if (!r && crc != h.data_crc)
			r = -EBADMSG;
		if (r)
			return r;
	}
	w->epoch = h.epoch;
	add_object(&w->at, h.type == TYPE_MARK, h.length);
	return 0;
}

/* Finding a group: by number, or the one that has mark number key */
struct want {
	bool mark;
	uint64_t key;
};

/* Would group number, with file marks before the group behind it, do or be
 * behind the one that is wanted? */
static bool not_before(const struct want *want, uint64_t number, uint64_t file)
{
	return want->mark ? file > want->key : number >= want->key;
}

/* By walking from the cached group or from the start, into the cache. */
static int find_by_walk(struct pmt_tape *tape, const struct want *want)
{
	struct native *n = tape->state;
	_cleanup_free_ struct walk *w = calloc(1, sizeof(*w));
	const struct group *from = &n->cache;
	int r = 0;

	if (!w)
		return -ENOMEM;
	cursor_start(&w->at);
	if (from->count == GROUP &&
	    (want->mark ? from->index.file <= want->key : from->number <= want->key)) {
		w->at.group = *from;
		w->at.group.count = 0;
		w->at.end = from->index.base;
		w->at.lbn = from->number * GROUP;
		w->at.file = from->index.file;
	}
	w->limit = tape->end;
	while (!r) {
		struct native_object h;

		if (w->at.group.count == GROUP) {
			if (not_before(want, w->at.group.number, w->at.file))
				break;
			next_group(&w->at);
		}
		r = get_header(tape, w->at.end, w->limit, w->at.lbn, &h);
		if (!r && h.type == TYPE_INDEX)
			r = -EBADMSG;
		if (!r)
			add_object(&w->at, h.type == TYPE_MARK, h.length);
	}
	if (!r)
		n->cache = w->at.group;
	return r;
}

/* By the skips of the index blocks, from the last one down, into the cache. */
static int find_by_index(struct pmt_tape *tape, const struct want *want)
{
	struct native *n = tape->state;
	_cleanup_free_ struct group *g = malloc(sizeof(*g));
	uint64_t at = n->eod.group.number + 1;

	if (!g)
		return -ENOMEM;
	*g = n->eod.group;
	for (;;) {
		uint64_t next = 0;
		int i, r;

		for (i = SKIPS - 1; i >= 0; i--) {
			next = (at - 1) >> i << i;
			if (next && not_before(want, next - 1, g->index.skip[i].file))
				break;
		}
		if (i < 0)
			break;
		r = get_index(tape, g->index.skip[i].offset, next, &g->index);
		if (r)
			return r;
		at = next;
		g->number = at - 1;
		g->count = GROUP;
	}
	if (g->count != GROUP || (!want->mark && g->number != want->key))
		return -EBADMSG;
	n->cache = *g;
	return 0;
}

static int find_group(struct pmt_tape *tape, const struct want *want,
		      const struct group **group)
{
	struct native *n = tape->state;
	const struct group *open = &n->eod.group;
	int r;

	if (want->mark ? want->key >= open->index.file : want->key == open->number) {
		*group = open;
		return 0;
	}
	*group = &n->cache;
	if (!want->mark && n->cache.count == GROUP && n->cache.number == want->key)
		return 0;
	r = find_by_index(tape, want);
	if (r == -EBADMSG || r == -EIO) {
		pmt_log(LOG_WARNING, "%s: an index block is damaged, "
			"looking for %s %llu by the headers", tape->path,
			want->mark ? "mark" : "group",
			(unsigned long long)want->key);
		r = find_by_walk(tape, want);
	}
	return r;
}

static int group_of(struct pmt_tape *tape, uint64_t lbn, const struct group **g)
{
	struct want want = { .key = lbn / GROUP };

	return find_group(tape, &want, g);
}

/* Of an object that is there. */
static int object_offset(struct pmt_tape *tape, uint64_t lbn, uint64_t *offset,
			 bool *mark)
{
	const struct group *g;
	int r = group_of(tape, lbn, &g);

	if (r)
		return r;
	*offset = entry_offset(g, lbn % GROUP);
	*mark = g->index.entry[lbn % GROUP] & MARK_BIT;
	return 0;
}

static int native_offset(struct pmt_tape *tape, uint64_t lbn, uint64_t *offset)
{
	bool mark;
	int r;

	*offset = tape->end;
	if (lbn == tape->eod)
		return 0;
	r = object_offset(tape, lbn, offset, &mark);
	if (!r && lbn && lbn % GROUP == 0)
		*offset -= INDEX_SIZE;
	return r;
}

static int native_find_mark(struct pmt_tape *tape, uint64_t mark, uint64_t *lbn)
{
	struct want want = { .mark = true, .key = mark };
	const struct group *g;
	uint64_t file;
	int r = find_group(tape, &want, &g);

	if (r)
		return r;
	file = g->index.file;
	for (uint32_t i = 0; i < g->count; i++) {
		if (!(g->index.entry[i] & MARK_BIT) || file++ != mark)
			continue;
		*lbn = g->number * GROUP + i;
		return 0;
	}
	return -EBADMSG;
}

/* Without the object's own header, which is damaged. */
static int place_by_index(struct pmt_tape *tape, uint64_t lbn, uint64_t *file,
			  uint64_t *block)
{
	const struct group *g;
	uint64_t mark;
	int r = group_of(tape, lbn, &g);

	if (r)
		return r;
	*file = g->index.file;
	for (uint32_t i = 0; i < lbn % GROUP; i++)
		*file += g->index.entry[i] / MARK_BIT;
	*block = lbn;
	if (!*file)
		return 0;
	r = native_find_mark(tape, *file - 1, &mark);
	if (!r)
		*block = lbn - mark - 1;
	return r;
}

static int native_place(struct pmt_tape *tape, uint64_t lbn, uint64_t *file,
			uint64_t *block)
{
	struct native_object h;
	uint64_t offset;
	bool mark;
	int r;

	*file = tape->files;
	*block = tape->blocks;
	if (lbn == tape->eod)
		return 0;
	r = object_offset(tape, lbn, &offset, &mark);
	if (r)
		return r;
	if (get_header(tape, offset, tape->end, lbn, &h) ||
	    h.type == TYPE_INDEX)
		return place_by_index(tape, lbn, file, block);
	*file = h.file;
	*block = h.block;
	return 0;
}

static int native_read(struct pmt_tape *tape, uint64_t lbn, void *buffer,
		       size_t size, size_t *length, bool *mark)
{
	struct native_object h;
	uint64_t offset;
	uint32_t crc = 0;
	size_t part;
	int r = object_offset(tape, lbn, &offset, mark);

	if (r)
		return r;
	r = get_header(tape, offset, tape->end, lbn, &h);
	if (!r && h.type != (*mark ? TYPE_MARK : TYPE_RECORD))
		r = -EBADMSG;
	if (r)
		return r;
	*length = h.length;
	part = h.length < size ? h.length : size;
	offset += sizeof(h);
	r = pmt_tape_pread(tape, buffer, part, offset);
	if (r)
		return r;
	crc = pmt_crc32c(0, buffer, part);
	if (part < h.length)
		r = sum_file(tape, offset + part, h.length - part, &crc);
	return r ? r : crc == h.data_crc ? 0 : -EBADMSG;
}

/* Checkpoints */

static struct native_table put_table(const struct pmt_table *table)
{
	struct native_table t = {
		.count = htole32(table->count),
		.flags = htole32(table->unfinished ? TABLE_UNFINISHED : 0),
		.formatting = htole64(table->formatting),
		.unit_id = htole64(table->unit_id),
		.generation = htole64(table->generation),
	};

	for (uint32_t i = 0; i < PMT_IMAGE_PARTITIONS; i++)
		t.size[i] = htole64(table->size[i]);
	return t;
}

static struct pmt_table get_table(const struct native_table *t)
{
	struct pmt_table table = {
		.count = le32toh(t->count),
		.unfinished = le32toh(t->flags) & TABLE_UNFINISHED,
		.formatting = le64toh(t->formatting),
		.unit_id = le64toh(t->unit_id),
		.generation = le64toh(t->generation),
	};

	for (uint32_t i = 0; i < PMT_IMAGE_PARTITIONS; i++)
		table.size[i] = le64toh(t->size[i]);
	return table;
}

static int write_slot(struct pmt_tape *tape)
{
	struct native *n = tape->state;
	const struct cursor *c = &n->eod;
	_cleanup_free_ struct native_slot *slot = calloc(1, sizeof(*slot));
	int r;

	if (!slot)
		return -ENOMEM;
	*slot = (struct native_slot){
		.magic = SLOT_MAGIC,
		.sequence = htole64(n->sequence + 1),
		.epoch = htole64(n->epoch),
		.end = htole64(c->end),
		.lbn = htole64(c->lbn),
		.file = htole64(c->file),
		.block = htole64(c->block),
		.partition = htole32(tape->number),
		.count = htole32(c->group.count),
		.group = c->group.index,
		.table = put_table(&tape->table),
	};
	swap_index(&slot->group);
	slot->crc = htole32(pmt_crc32c(n->seed, slot, offsetof(struct native_slot, crc)));
	r = pmt_tape_pwrite(tape, slot, sizeof(*slot),
			     SLOT_SIZE * (1 + (n->sequence + 1) % 2));
	if (r)
		return r;
	n->sequence++;
	n->checkpointed = c->end;
	tape->dirty = true;
	return 0;
}

/*
 * The slot itself is on the disk with the next one: the log speaks for what is
 * behind the last that is; so it may also fail on a full disk (one that copies
 * on write).
 */
static int native_sync(struct pmt_tape *tape)
{
	const struct native *n = tape->state;
	int r = pmt_tape_flush(tape);

	if (r || tape->end == n->checkpointed)
		return r;
	r = write_slot(tape);
	return r == -ENOSPC ? 0 : r;
}

/* Once all before it is on the disk: end the log here, in a new epoch. */
static int end_here(struct pmt_tape *tape)
{
	struct native *n = tape->state;
	int r;

	publish(tape);
	r = new_epoch(n);
	if (!r)
		r = write_slot(tape);
	if (!r)
		r = pmt_tape_flush(tape);
	if (!r)		/* the other slot still ends behind the cut */
		r = write_slot(tape);
	if (!r)
		r = pmt_tape_truncate(tape);
	if (r)
		tape->broken = true;
	return r;
}

/* Marks that end the data may go, but for the first of them. */
static bool may_go(struct pmt_tape *tape, uint64_t lbn)
{
	uint64_t file, block;

	return lbn && !native_place(tape, lbn, &file, &block) && !block &&
	       tape->files - file == tape->eod - lbn;
}

static int native_cut(struct pmt_tape *tape, uint64_t lbn)
{
	struct native *n = tape->state;
	_cleanup_free_ struct cursor *c = malloc(sizeof(*c));
	const struct group *g;
	int r;

	if (!c)
		return -ENOMEM;
	if (tape->worm && !may_go(tape, lbn))
		return -EPERM;
	cursor_start(c);
	if (lbn) {
		r = group_of(tape, lbn - 1, &g);
		if (r)
			return r;
		c->group = *g;
		c->group.count = (uint32_t)(lbn - g->number * GROUP);
		c->lbn = lbn;
		r = native_place(tape, lbn, &c->file, &c->block);
		if (!r)
			r = native_offset(tape, lbn, &c->end);
		if (r)
			return r;
	}
	r = pmt_tape_flush(tape);
	if (r)
		return r;
	n->eod = *c;
	n->cache.count = 0;
	return end_here(tape);
}

/* Writing */

/* The index of a full group goes out together with the object behind it. */
static int begin_group(struct pmt_tape *tape, struct cursor *c,
		       struct native_object *h, struct native_index *x,
		       struct iovec *iov)
{
	if (c->group.count < GROUP)
		return 0;
	*x = c->group.index;
	swap_index(x);
	seal(tape, h, TYPE_INDEX, sizeof(*x), pmt_crc32c(0, x, sizeof(*x)), c);
	iov[0] = (struct iovec){ h, sizeof(*h) };
	iov[1] = (struct iovec){ x, sizeof(*x) };
	next_group(c);
	return 2;
}

static int appended(struct pmt_tape *tape, const struct cursor *c)
{
	struct native *n = tape->state;

	n->eod = *c;
	publish(tape);
	if (tape->end - n->checkpointed < CHECKPOINT_STEP)
		return 0;
	return native_sync(tape);
}

static int native_write(struct pmt_tape *tape, const void *data, size_t length)
{
	static const char zeros[8];
	const struct native *n = tape->state;
	struct native_object h, index_header;
	struct native_index index;
	struct iovec iov[5];
	struct cursor c = n->eod;
	int k = begin_group(tape, &c, &index_header, &index, iov), r;

	seal(tape, &h, TYPE_RECORD, (uint32_t)length, pmt_crc32c(0, data, length), &c);
	iov[k++] = (struct iovec){ &h, sizeof(h) };
	iov[k++] = (struct iovec){ (void *)data, length };
	if (length % 8)
		iov[k++] = (struct iovec){ (void *)zeros, 8 - length % 8 };
	add_object(&c, false, (uint32_t)length);
	r = pmt_tape_append(tape, iov, k);
	return r ? r : appended(tape, &c);
}

static int native_marks(struct pmt_tape *tape, uint32_t count)
{
	const struct native *n = tape->state;
	_cleanup_free_ struct native_object *h = NULL;
	_cleanup_free_ struct cursor *c = malloc(sizeof(*c));

	h = calloc(MARKS_AT_ONCE, sizeof(*h));
	if (!h || !c)
		return -ENOMEM;
	while (count) {
		struct native_object index_header;
		struct native_index index;
		struct iovec iov[3];
		uint32_t some;
		int k, r;

		*c = n->eod;
		k = begin_group(tape, c, &index_header, &index, iov);
		for (some = 0; some < count && some < MARKS_AT_ONCE &&
		     c->group.count < GROUP; some++) {
			seal(tape, &h[some], TYPE_MARK, 0, 0, c);
			add_object(c, true, 0);
		}
		iov[k++] = (struct iovec){ h, some * sizeof(*h) };
		r = pmt_tape_append(tape, iov, k);
		if (!r)
			r = appended(tape, c);
		if (r)
			return r;
		count -= some;
	}
	return 0;
}

static uint64_t native_growth(struct pmt_tape *tape, uint64_t lbn, uint64_t count,
			      size_t length)
{
	uint64_t first = lbn ? lbn : 1;
	uint64_t indexes = (lbn + count - 1) / GROUP - (first - 1) / GROUP;

	(void)tape;
	return count * object_size((uint32_t)length) + indexes * INDEX_SIZE;
}

/* Index blocks are paid by the objects that they describe, before they are due. */
static uint64_t native_owed(struct pmt_tape *tape, uint64_t lbn)
{
	uint64_t count = lbn ? (lbn - 1) % GROUP + 1 : 0;

	(void)tape;
	return (count * INDEX_SIZE + GROUP - 1) / GROUP;
}

/* Making and opening */

static void make_version_4(uint8_t uuid[16])
{
	uuid[6] = (uuid[6] & 0x0f) | 0x40;	/* RFC 9562, version 4 */
	uuid[8] = (uuid[8] & 0x3f) | 0x80;
}

static void seal_header(struct native_header *h, uint32_t flags)
{
	h->flags = htole32(flags);
	h->partitions = htole32(flags & FLAG_DIVIDED ? 0 : 1);
	h->crc = htole32(pmt_crc32c(0, h, offsetof(struct native_header, crc)));
}

/* A further partition has the UUID of the first. */
static int native_make(struct pmt_tape *tape)
{
	_cleanup_free_ struct native *n = calloc(1, sizeof(*n));
	struct native_header *h;
	int r;

	if (!n)
		return -ENOMEM;
	h = &n->header;
	*h = (struct native_header){
		.magic = FILE_MAGIC,
		.version = htole32(VERSION),
		.created = htole64((uint64_t)time(NULL)),
		.capacity = htole64(tape->capacity),
		.ew = htole64(tape->ew),
		.start = htole32(LOG_START),
		.partition = htole32(tape->number),
	};
	if (tape->number)
		memcpy(h->uuid, tape->uuid, sizeof(h->uuid));
	else if (getrandom(h->uuid, sizeof(h->uuid), 0) != sizeof(h->uuid))
		return -EIO;
	else
		make_version_4(h->uuid);
	seal_header(h, (tape->number ? FLAG_DIVIDED : 0) |
		       (tape->wants_worm ? FLAG_WORM : 0));
	n->seed = pmt_crc32c(0, h->uuid, sizeof(h->uuid));
	cursor_start(&n->eod);
	tape->table = (struct pmt_table){ 0 };
	tape->state = n;
	r = new_epoch(n);
	if (!r)
		r = write_slot(tape);
	if (!r)
		r = write_slot(tape);
	if (!r)
		r = pmt_tape_pwrite(tape, h, sizeof(*h), 0);
	tape->state = NULL;
	return r;
}

/* Does older software, that knows one partition, keep away? */
static int keep_away(struct pmt_tape *tape, bool divided)
{
	struct native *n = tape->state;
	uint32_t flags = le32toh(n->header.flags), wanted = flags & ~FLAG_DIVIDED;
	int r;

	if (divided)
		wanted |= FLAG_DIVIDED;
	if (wanted == flags)
		return 0;
	seal_header(&n->header, wanted);
	r = pmt_tape_pwrite(tape, &n->header, sizeof(n->header), 0);
	return r ? r : pmt_tape_flush(tape);
}

/*
 * The new table is there when the checkpoint that end_here() writes is.  Before
 * that the old data are all still in the file.
 */
static int native_format(struct pmt_tape *tape, const struct pmt_table *table)
{
	struct native *n = tape->state;
	bool divided = table->count > 1 || tape->number;
	int r = tape->broken ? -EIO : tape->worm ? -EPERM : 0;

	if (!r && divided)
		r = keep_away(tape, true);
	if (r)
		return r;
	cursor_start(&n->eod);
	n->cache.count = 0;
	tape->table = *table;
	r = end_here(tape);
	return r ? r : keep_away(tape, divided);
}

static int native_label(struct pmt_tape *tape)
{
	struct native *n = tape->state;
	int r;

	memcpy(n->header.label, tape->label, sizeof(n->header.label));
	memcpy(n->header.barcode, tape->barcode, sizeof(n->header.barcode));
	seal_header(&n->header, le32toh(n->header.flags));
	r = pmt_tape_pwrite(tape, &n->header, sizeof(n->header), 0);
	return r ? r : pmt_tape_flush(tape);
}

static bool is_ours(const struct pmt_tape *tape, const struct native_header *h)
{
	uint32_t partition = le32toh(h->partition);

	if (partition && !tape->number)
		pmt_log(LOG_ERR, "%s: partition %u of a tape; the tape is the file "
			"without \".p%u\" in its name", tape->path, partition, partition);
	else if (partition != tape->number)
		pmt_log(LOG_ERR, "%s: not partition %u of a tape", tape->path,
			tape->number);
	else if (tape->number && memcmp(h->uuid, tape->uuid, sizeof(h->uuid)))
		pmt_log(LOG_ERR, "%s: belongs to another tape", tape->path);
	else
		return true;
	return false;
}

static void take_header(struct pmt_tape *tape, struct native *n)
{
	const struct native_header *h = &n->header;
	uint32_t flags = le32toh(h->flags);
	uint64_t words[2];

	n->seed = pmt_crc32c(0, h->uuid, sizeof(h->uuid));
	memcpy(tape->uuid, h->uuid, sizeof(h->uuid));
	memcpy(words, h->uuid, sizeof(words));
	tape->medium = le64toh(words[0]) ^ le64toh(words[1]);
	if (!tape->medium)
		tape->medium = 1;
	memcpy(tape->label, h->label, sizeof(h->label));
	memcpy(tape->barcode, h->barcode, sizeof(h->barcode));
	tape->worm = flags & FLAG_WORM;
	tape->protected |= flags & FLAG_PROTECTED;
	tape->capacity = le64toh(h->capacity);
	tape->ew = le64toh(h->ew);
}

static int get_file_header(struct pmt_tape *tape, struct native *n)
{
	struct native_header *h = &n->header;
	int r = pmt_tape_pread(tape, h, sizeof(*h), 0);
	uint32_t flags;

	if (r == -EBADMSG || (!r && le32toh(h->crc) !=
			      pmt_crc32c(0, h, offsetof(struct native_header, crc)))) {
		pmt_log(LOG_ERR, "%s: the file header is damaged", tape->path);
		return -EINVAL;
	}
	if (r)
		return r;
	flags = le32toh(h->flags);
	if (le32toh(h->version) != VERSION || flags & ~FLAGS_ALL ||
	    le32toh(h->partitions) != (flags & FLAG_DIVIDED ? 0 : 1) ||
	    le32toh(h->start) != LOG_START) {
		pmt_log(LOG_ERR, "%s: made by a later version of pmt (format %u)",
			tape->path, le32toh(h->version));
		return -EINVAL;
	}
	if (!is_ours(tape, h))
		return -EINVAL;
	take_header(tape, n);
	return 0;
}

static bool get_slot(struct pmt_tape *tape, const struct native *n, int i,
		     struct native_slot *slot)
{
	if (pmt_tape_pread(tape, slot, sizeof(*slot), SLOT_SIZE * (1 + (uint64_t)i)))
		return false;
	if (memcmp(slot->magic, SLOT_MAGIC, sizeof(slot->magic)) ||
	    le32toh(slot->crc) !=
	    pmt_crc32c(n->seed, slot, offsetof(struct native_slot, crc)))
		return false;
	slot->sequence = le64toh(slot->sequence);
	return (slot->sequence & 1) == (uint64_t)i &&
	       le32toh(slot->partition) == tape->number;
}

/* Is the log there, up to where the checkpoint says? */
static bool take_slot(struct pmt_tape *tape, struct native *n,
		      struct native_slot *slot)
{
	uint64_t size = tape->size;
	struct cursor *c = &n->eod;
	struct native_object h;
	uint64_t last;

	n->epoch = le64toh(slot->epoch);
	n->sequence = slot->sequence;
	c->end = le64toh(slot->end);
	c->lbn = le64toh(slot->lbn);
	c->file = le64toh(slot->file);
	c->block = le64toh(slot->block);
	c->group.number = c->lbn ? (c->lbn - 1) / GROUP : 0;
	c->group.count = le32toh(slot->count);
	c->group.index = slot->group;
	swap_index(&c->group.index);
	n->checkpointed = c->end;
	tape->table = get_table(&slot->table);
	if (c->group.count != c->lbn - c->group.number * GROUP || c->end > size)
		return false;
	if (!c->lbn)
		return c->end == LOG_START;
	last = entry_offset(&c->group, c->group.count - 1);
	return !get_header(tape, last, size, c->lbn - 1, &h) &&
	       last + object_size(h.length) == c->end;
}

/*
 * The newest checkpoint that the log bears out.  If that is not the newest one,
 * something that was on the disk is lost: such an image is for reading only.
 */
static int find_checkpoint(struct pmt_tape *tape, bool *strict)
{
	struct native *n = tape->state;
	_cleanup_free_ struct native_slot *slots = calloc(2, sizeof(*slots));
	bool good[2];
	int newest;

	if (!slots)
		return -ENOMEM;
	for (int i = 0; i < 2; i++)
		good[i] = get_slot(tape, n, i, &slots[i]);
	newest = good[1] && (!good[0] || slots[1].sequence > slots[0].sequence);
	*strict = true;
	for (int i = 0; i < 2; i++) {
		int which = newest ^ i;

		if (good[which] && take_slot(tape, n, &slots[which]))
			return 0;
		if (!good[which] && i)
			continue;
		tape->protected = true;
		tape->odd++;
		pmt_log(LOG_ERR, "%s: the end of the data is lost, "
			"the image is for reading only", tape->path);
	}
	*strict = false;
	cursor_start(&n->eod);
	n->epoch = 0;
	tape->table = (struct pmt_table){ 0 };
	return 0;
}

/* Behind the checkpoint; what is not whole is cut. */
static int recover(struct pmt_tape *tape, bool strict)
{
	struct native *n = tape->state;
	_cleanup_free_ struct walk *w = calloc(1, sizeof(*w));
	uint64_t size = tape->size;
	uint64_t torn;
	int r = 0;

	if (!w)
		return -ENOMEM;
	w->at = n->eod;
	w->limit = size;
	w->epoch = n->epoch;
	w->strict = strict;
	while (!r && w->at.end < size)
		r = walk_step(tape, w);
	if (r && r != -EBADMSG)
		return r;
	n->eod = w->at;
	publish(tape);
	torn = size > tape->end ? size - tape->end : 0;
	tape->torn = torn;
	if (torn && !tape->beside)
		pmt_log(LOG_WARNING, "%s: %llu bytes behind LBN %llu are not a whole "
			"record, %s", tape->path, (unsigned long long)torn,
			(unsigned long long)n->eod.lbn,
			tape->protected ? "ignored" : "cut");
	if (tape->protected || (!torn && tape->end == n->checkpointed))
		return 0;
	tape->dirty = true;
	if (!torn)
		return native_sync(tape);
	r = pmt_tape_flush(tape);
	return r ? r : end_here(tape);
}

static int native_open(struct pmt_tape *tape)
{
	struct native *n = calloc(1, sizeof(*n));
	bool strict;
	int r;

	if (!n)
		return -ENOMEM;
	tape->state = n;
	r = get_file_header(tape, n);
	if (!r)
		r = find_checkpoint(tape, &strict);
	return r ? r : recover(tape, strict);
}

/* What somebody else has written behind the end since. */
static int native_more(struct pmt_tape *tape)
{
	struct stat stat;

	if (fstat(tape->fd, &stat))
		return -errno;
	tape->size = (uint64_t)stat.st_size;
	return recover(tape, false);
}

static void native_close(struct pmt_tape *tape)
{
	free(tape->state);
	tape->state = NULL;
}

const struct pmt_format pmt_format_native = {
	.name = "native",
	.start = LOG_START,
	.limits = {
		.record_min = 1,
		.record_max = PMT_RECORD_MAX,
		.byte_cost = 256,
		.record_cost = sizeof(struct native_object) + 7 + OWED,
		.mark_cost = sizeof(struct native_object) + OWED,
		.window = PMT_UNKNOWN,
	},
	.make = native_make,
	.open = native_open,
	.more = native_more,
	.close = native_close,
	.write = native_write,
	.marks = native_marks,
	.growth = native_growth,
	.sync = native_sync,
	.cut = native_cut,
	.read = native_read,
	.offset = native_offset,
	.owed = native_owed,
	.place = native_place,
	.find_mark = native_find_mark,
	.format = native_format,
	.label = native_label,
};
