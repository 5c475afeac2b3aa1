// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tapesum: what is on tape images, and are two of them twins?
 *
 *	tapesum [-e BYTES] FILE ...		a line for each
 *	tapesum [-e BYTES] -c FILE FILE		and compare them, record by record
 *
 * It reads the native format and SIMH .tap, and shares no code with the drives:
 * it was written after pmt-image(5) alone, and checks what that page promises,
 * the index and the checkpoints too.
 *
 * A line is made of words NAME=VALUE:
 *
 *	format		native or simh
 *	records, bytes, marks
 *	crc		CRC-32C of the stream: of each record its length (32 bits,
 *			little endian) and its data, of each mark a length of 0
 *	partition	of a further partition, which has a line of its own
 *	end		offset of the end of data
 *	capacity, ew	of a native image, as its header says
 *	leot		LBN of the first object that ends behind capacity - ew, or
 *			behind BYTES where the image does not know (SIMH, or a
 *			partition); - none
 *	sound		no if the image breaks the rules of its format
 *
 * Exit status: 0 all sound (and the same), 1 not, 2 usage or no such file.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD_MAX	(16u << 20)
#define NONE		UINT64_MAX

/* The native format: sizes and offsets from pmt-image(5). */
enum {
	LOG = 12288, SLOT = 4096, FILE_HEADER = 128, OBJECT = 64, INDEX = 2576,
	GROUP = 512, SKIPS = 32, OBJECT_MAGIC = 0x4f544d50,
	DIVIDED = 4, TABLE = 2640, PARTITIONS = 4,
	TYPE_RECORD = 1, TYPE_MARK, TYPE_INDEX,
};

struct checkpoint {
	bool valid;
	uint64_t sequence, epoch, end, lbn, file, block;
	uint32_t objects;
	uint8_t index[INDEX];
	uint32_t partitions;
	bool unfinished;	/* the further ones are empty, whatever is there */
	uint64_t formatting;
};

struct tape {
	const char *name;
	int fd;
	uint64_t size;			/* of the file */
	bool native, sound, empty;		/* whatever is in it */

	/* The object that next() found; before it is lbn. */
	bool mark;
	uint32_t length;
	uint8_t *data;

	uint64_t offset, lbn, file, block;	/* of what comes next */
	uint64_t records, bytes;
	uint32_t crc;
	uint64_t limit, leot;			/* offset, LBN */

	/* native only */
	uint32_t partition;
	uint8_t uuid[16];
	uint64_t capacity, ew, epoch;
	struct checkpoint checkpoint;
	struct {
		uint64_t offset[GROUP];
		bool mark[GROUP];
		uint64_t marks;			/* before it */
	} group;				/* that lbn - 1 is in */
	struct { uint64_t offset, marks; } *blocks;	/* index blocks from 1 */
	bool index_is_read;			/* the block before this object */
	bool end_is_checked;			/* against the checkpoint */
};

/* CRC-32C, eight bytes a step. */

static uint32_t table[8][256];

static void make_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int bit = 0; bit < 8; bit++)
			c = c >> 1 ^ (c & 1 ? 0x82f63b78 : 0);
		table[0][i] = c;
	}
	for (int k = 1; k < 8; k++)
		for (uint32_t i = 0; i < 256; i++)
			table[k][i] = table[k - 1][i] >> 8 ^
				      table[0][table[k - 1][i] & 0xff];
}

static uint32_t crc32c(uint32_t crc, const void *data, size_t n)
{
	const uint8_t *p = data;

	crc = ~crc;
	for (; n >= 8; n -= 8, p += 8) {
		uint64_t w;

		memcpy(&w, p, 8);
		w = le64toh(w) ^ crc;
		crc = 0;
		for (int k = 0; k < 8; k++)
			crc ^= table[7 - k][w >> 8 * k & 0xff];
	}
	while (n--)
		crc = crc >> 8 ^ table[0][(crc ^ *p++) & 0xff];
	return ~crc;
}

static uint32_t u32(const uint8_t *p)
{
	uint32_t w;

	memcpy(&w, p, sizeof(w));
	return le32toh(w);
}

static uint64_t u64(const uint8_t *p)
{
	return u32(p) | (uint64_t)u32(p + 4) << 32;
}

/* The image breaks a rule: say which, once. */
__attribute__((format(printf, 2, 3)))
static int broken(struct tape *t, const char *format, ...)
{
	va_list args;

	t->sound = false;
	printf("%s: LBN %" PRIu64 ", offset %" PRIu64 ": ", t->name, t->lbn, t->offset);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	return -1;
}

static bool get(struct tape *t, void *buffer, size_t n, uint64_t offset)
{
	size_t done = 0;

	if (offset > t->size || n > t->size - offset)
		return false;
	while (done < n) {
		ssize_t r = pread(t->fd, (char *)buffer + done, n - done,
				  (off_t)(offset + done));

		if (r <= 0 && !(r < 0 && errno == EINTR))
			return false;
		done += r > 0 ? (size_t)r : 0;
	}
	return true;
}

/* An object was found that ends at end: count it, and go behind it. */
static int found(struct tape *t, uint64_t end)
{
	uint32_t length = htole32(t->mark ? 0 : t->length);

	t->crc = crc32c(t->crc, &length, sizeof(length));
	if (!t->mark) {
		t->crc = crc32c(t->crc, t->data, t->length);
		t->records++;
		t->bytes += t->length;
	}
	if (t->leot == NONE && t->limit && end > t->limit)
		t->leot = t->lbn;
	t->offset = end;
	t->lbn++;
	t->file += t->mark;
	t->block = t->mark ? 0 : t->block + 1;
	return 1;
}

/* SIMH: 1 an object, 0 end of data, -1 broken. */
static int next_simh(struct tape *t)
{
	uint8_t word[4];
	uint64_t end;

	for (;; t->offset += 4) {
		if (t->offset == t->size)
			return 0;
		if (!get(t, word, 4, t->offset))
			return broken(t, "the file ends inside of a word");
		if (u32(word) == 0xffffffff)
			return 0;
		if (u32(word) != 0xfffffffe)
			break;
	}
	t->length = u32(word);
	t->mark = t->length == 0;
	if (t->mark)
		return found(t, t->offset + 4);
	if (t->length > RECORD_MAX)
		return broken(t, "%08x is not the length of a good record", t->length);
	end = t->offset + 4 + t->length + (t->length & 1);
	if (!get(t, t->data, t->length, t->offset + 4) || !get(t, word, 4, end))
		return broken(t, "the file ends inside of a record");
	if (u32(word) != t->length)
		return broken(t, "length %u in front, %u behind", t->length, u32(word));
	return found(t, end + 4);
}

/* Native: the headers */

static int open_native(struct tape *t, const uint8_t *h)
{
	bool divided = u32(h + 12) & DIVIDED;

	if (u32(h + 124) != crc32c(0, h, 124))
		return broken(t, "CRC of the file header");
	if (u32(h + 8) != 1 || u32(h + 12) & ~7u)
		return broken(t, "version %u, flags %x", u32(h + 8), u32(h + 12));
	if (u32(h + 56) != !divided || u32(h + 60) != LOG)
		return broken(t, "%u partitions, the log at %u", u32(h + 56), u32(h + 60));
	if (u32(h + 64) != t->partition || (t->partition && !divided))
		return broken(t, "it is partition %u", u32(h + 64));
	memcpy(t->uuid, h + 16, 16);
	t->capacity = u64(h + 40);
	t->ew = u64(h + 48);
	if (!divided)
		t->limit = t->capacity ? t->capacity - t->ew : 0;
	return 0;
}

static uint32_t crc_with_uuid(const struct tape *t, const void *data, size_t n)
{
	return crc32c(crc32c(0, t->uuid, sizeof(t->uuid)), data, n);
}

static void get_checkpoint(struct tape *t, unsigned int slot)
{
	struct checkpoint c = { .valid = true };
	uint8_t page[SLOT];

	if (!get(t, page, SLOT, SLOT + slot * SLOT) || memcmp(page, "PMTCHECK", 8) ||
	    u32(page + SLOT - 4) != crc_with_uuid(t, page, SLOT - 4) ||
	    u64(page + 8) % 2 != slot || u32(page + 56) != t->partition)
		return;
	c.sequence = u64(page + 8);
	c.epoch = u64(page + 16);
	c.end = u64(page + 24);
	c.lbn = u64(page + 32);
	c.file = u64(page + 40);
	c.block = u64(page + 48);
	c.objects = u32(page + 60);
	memcpy(c.index, page + 64, INDEX);
	c.partitions = u32(page + TABLE);
	c.unfinished = u32(page + TABLE + 4) & 1;
	c.formatting = u64(page + TABLE + 8);
	if (!t->checkpoint.valid || c.sequence > t->checkpoint.sequence)
		t->checkpoint = c;
}

/* Native: the index */

static uint64_t objects_in_group(uint64_t lbn)
{
	return lbn ? (lbn - 1) % GROUP + 1 : 0;
}

static int check_skips(struct tape *t, const uint8_t *index, uint64_t group)
{
	for (unsigned int i = 0; i < SKIPS; i++) {
		uint64_t to = group >> i << i;
		const uint8_t *skip = index + 16 + 16 * i;
		uint64_t offset = to ? t->blocks[to].offset : 0;

		if (u64(skip) != offset || (to && u64(skip + 8) != t->blocks[to].marks))
			return broken(t, "index of group %" PRIu64 ": skip %u", group, i);
	}
	return 0;
}

/* index is that of the group that lbn - 1 is in, with so many objects. */
static int check_index(struct tape *t, const uint8_t *index, uint64_t objects)
{
	uint64_t group = (t->lbn - 1) / GROUP, base = t->group.offset[0];

	if (u64(index) != base || u64(index + 8) != t->group.marks)
		return broken(t, "index of group %" PRIu64 ": offset %" PRIu64 ", marks %"
			      PRIu64, group, u64(index), u64(index + 8));
	for (uint64_t i = 0; i < objects; i++)
		if (u32(index + 528 + 4 * i) != (uint32_t)((t->group.offset[i] - base) / 8 |
							  (uint32_t)t->group.mark[i] << 31))
			return broken(t, "index of group %" PRIu64 ": object %" PRIu64, group, i);
	return check_skips(t, index, group);
}

static int check_index_block(struct tape *t, uint64_t end)
{
	uint64_t n = t->lbn / GROUP;

	if (t->lbn % GROUP || !n || t->index_is_read || t->length != INDEX)
		return broken(t, "an index block of %u bytes", t->length);
	if (check_index(t, t->data, GROUP))
		return -1;
	t->blocks = reallocarray(t->blocks, n + 1, sizeof(*t->blocks));
	if (!t->blocks)
		abort();
	t->blocks[n].offset = t->offset;
	t->blocks[n].marks = t->file;
	t->index_is_read = true;
	t->offset = end;
	return 0;
}

static int check_end(struct tape *t)
{
	const struct checkpoint *c = &t->checkpoint;

	t->end_is_checked = true;
	if (t->offset != c->end || t->lbn != c->lbn || t->file != c->file ||
	    t->block != c->block || t->epoch > c->epoch)
		return broken(t, "the checkpoint says offset %" PRIu64 ", LBN %" PRIu64
			      ", file %" PRIu64 ", block %" PRIu64, c->end, c->lbn,
			      c->file, c->block);
	if (c->objects != objects_in_group(c->lbn))
		return broken(t, "the checkpoint has %u objects of a group", c->objects);
	return c->lbn ? check_index(t, c->index, c->objects) : 0;
}

/* Native: the log */

static int check_object(struct tape *t, const uint8_t *h)
{
	if (u32(h) != OBJECT_MAGIC || u32(h + 60) != crc_with_uuid(t, h, 60))
		return broken(t, "not an object's header, or its CRC is wrong");
	if (h[4] < TYPE_RECORD || h[4] > TYPE_INDEX || h[5] || h[7] || h[6] != t->partition ||
	    u32(h + 8) > RECORD_MAX || (h[4] == TYPE_MARK && u32(h + 8)))
		return broken(t, "type %u, flags %u, length %u", h[4], h[5], u32(h + 8));
	if (u64(h + 24) != t->lbn || u64(h + 32) != t->file || u64(h + 40) != t->block)
		return broken(t, "LBN %" PRIu64 ", file %" PRIu64 ", block %" PRIu64
			      "; counted are %" PRIu64 " and %" PRIu64, u64(h + 24),
			      u64(h + 32), u64(h + 40), t->file, t->block);
	if (u64(h + 16) < t->epoch)
		return broken(t, "the epoch gets smaller");
	return 0;
}

/* Does the log go on behind its checkpoint? */
static bool goes_on(struct tape *t)
{
	uint8_t h[OBJECT];
	uint32_t length;

	if (!get(t, h, OBJECT, t->offset) || u32(h) != OBJECT_MAGIC ||
	    u32(h + 60) != crc_with_uuid(t, h, 60) || u64(h + 24) != t->lbn ||
	    u64(h + 16) != t->checkpoint.epoch || h[6] != t->partition || h[7])
		return false;
	length = u32(h + 8);
	return length <= RECORD_MAX && get(t, t->data, length, t->offset + OBJECT) &&
	       u32(h + 12) == crc32c(0, t->data, length);
}

static int native_object(struct tape *t, uint8_t type)
{
	uint64_t i = t->lbn % GROUP;

	if (!i && t->lbn && !t->index_is_read)
		return broken(t, "an index block is missing");
	if (!i)
		t->group.marks = t->file;
	t->group.offset[i] = t->offset;
	t->group.mark[i] = t->mark = type == TYPE_MARK;
	t->index_is_read = false;
	return found(t, t->offset + OBJECT + (t->length + 7) / 8 * 8);
}

static int next_native(struct tape *t)
{
	uint8_t h[OBJECT];

	for (;;) {
		if (t->offset >= t->checkpoint.end && !t->end_is_checked && check_end(t))
			return -1;
		if (t->end_is_checked && !goes_on(t))
			return 0;
		if (!get(t, h, OBJECT, t->offset))
			return broken(t, "the file ends before the checkpoint's end");
		if (check_object(t, h))
			return -1;
		t->length = u32(h + 8);
		if (!get(t, t->data, t->length, t->offset + OBJECT))
			return broken(t, "the file ends inside of an object");
		if (u32(h + 12) != crc32c(0, t->data, t->length))
			return broken(t, "CRC of %u bytes of data", t->length);
		t->epoch = u64(h + 16);
		if (h[4] != TYPE_INDEX)
			return native_object(t, h[4]);
		if (check_index_block(t, t->offset + OBJECT + INDEX))
			return -1;
	}
}

static int next(struct tape *t)
{
	if (t->empty)
		return 0;
	return t->native ? next_native(t) : next_simh(t);
}

/* All together */

static void open_tape(struct tape *t, const char *name, uint32_t partition,
		      uint64_t limit)
{
	uint8_t header[FILE_HEADER];
	struct stat st;

	*t = (struct tape){ .name = name, .partition = partition, .sound = true,
			    .limit = limit, .leot = NONE };
	t->fd = open(name, O_RDONLY | O_CLOEXEC);
	t->data = malloc(RECORD_MAX);
	if (t->fd < 0 || fstat(t->fd, &st) || !t->data) {
		fprintf(stderr, "tapesum: %s: %s\n", name, strerror(errno));
		exit(2);
	}
	t->size = (uint64_t)st.st_size;
	t->native = get(t, header, FILE_HEADER, 0) && !memcmp(header, "PMTIMAGE", 8);
	if (!t->native || open_native(t, header))
		return;
	get_checkpoint(t, 0);
	get_checkpoint(t, 1);
	if (!t->checkpoint.valid)
		broken(t, "both checkpoints are damaged");
	t->offset = LOG;
}

static uint32_t count_partitions(struct tape *first)
{
	uint32_t n = first->checkpoint.partitions;

	if (n > PARTITIONS)
		broken(first, "%u partitions", n);
	return n && first->sound ? n : 1;
}

/* The other partition of first's tape, in name. */
static void open_other(struct tape *t, const struct tape *first, char *name, size_t size,
		       uint32_t partition)
{
	snprintf(name, size, "%s.p%u", first->name, partition);
	open_tape(t, name, partition, 0);
	if (!t->sound)
		return;
	if (memcmp(t->uuid, first->uuid, sizeof(t->uuid)))
		broken(t, "it is of another tape");
	else if (t->checkpoint.formatting == first->checkpoint.formatting)
		return;
	else if (first->checkpoint.unfinished)
		t->empty = true;
	else
		broken(t, "it is of another formatting");
}

static void show(struct tape *t)
{
	printf("file=%s", t->name);
	if (t->partition)
		printf(" partition=%u", t->partition);
	printf(" format=%s records=%" PRIu64 " bytes=%" PRIu64 " marks=%" PRIu64
	       " crc=%08x end=%" PRIu64, t->native ? "native" : "simh",
	       t->records, t->bytes, t->file, t->crc, t->offset);
	if (t->native && !t->partition)
		printf(" capacity=%" PRIu64 " ew=%" PRIu64, t->capacity, t->ew);
	if (t->leot == NONE)
		printf(" leot=-");
	else
		printf(" leot=%" PRIu64, t->leot);
	printf(" sound=%s\n", t->sound ? "yes" : "no");
}

static void close_tape(struct tape *t)
{
	free(t->blocks);
	free(t->data);
	close(t->fd);
}

static bool sum_one(struct tape *t)
{
	while (t->sound && next(t) > 0)
		;
	show(t);
	return t->sound;
}

static bool sum(const char *name, uint64_t limit)
{
	char other[PATH_MAX];
	struct tape t, p;
	uint32_t count;
	bool sound;

	open_tape(&t, name, 0, limit);
	count = count_partitions(&t);
	sound = sum_one(&t);
	for (uint32_t i = 1; i < count; i++) {
		open_other(&p, &t, other, sizeof(other), i);
		sound = sum_one(&p) && sound;
		close_tape(&p);
	}
	close_tape(&t);
	return sound;
}

static const char *kind(const struct tape *t, int got, char *text, size_t size)
{
	if (got <= 0)
		return got ? "damage" : "the end of data";
	if (t->mark)
		return "a filemark";
	snprintf(text, size, "a record of %u bytes", t->length);
	return text;
}

static bool differ(const struct tape *a, int got_a, const struct tape *b, int got_b,
		   uint64_t lbn)
{
	char text_a[40], text_b[40];
	uint32_t i = 0;

	if (got_a == got_b && (got_a <= 0 || (a->mark == b->mark && a->length == b->length))) {
		if (got_a <= 0 || a->mark || !memcmp(a->data, b->data, a->length))
			return false;
		while (a->data[i] == b->data[i])
			i++;
		printf("first difference: LBN %" PRIu64 ", byte %u of %u: %02x, %02x\n", lbn,
		       i, a->length, a->data[i], b->data[i]);
		return true;
	}
	printf("first difference: LBN %" PRIu64 ": %s, %s\n", lbn,
	       kind(a, got_a, text_a, sizeof(text_a)), kind(b, got_b, text_b, sizeof(text_b)));
	return true;
}

/* The sums go on behind a difference, to the end of each. */
static bool compare_one(struct tape *a, struct tape *b)
{
	int got_a = 1, got_b = 1;
	bool same = true;

	while (got_a > 0 || got_b > 0) {
		uint64_t lbn = got_a > 0 ? a->lbn : b->lbn;

		if (got_a > 0)
			got_a = a->sound ? next(a) : -1;
		if (got_b > 0)
			got_b = b->sound ? next(b) : -1;
		if (same)
			same = !differ(a, got_a, b, got_b, lbn);
	}
	show(a);
	show(b);
	return same && a->sound && b->sound;
}

static bool compare(const char *name_a, const char *name_b, uint64_t limit)
{
	char other_a[PATH_MAX], other_b[PATH_MAX];
	struct tape a, b, pa, pb;
	uint32_t n, m;
	bool same;

	open_tape(&a, name_a, 0, limit);
	open_tape(&b, name_b, 0, limit);
	n = count_partitions(&a);
	m = count_partitions(&b);
	same = compare_one(&a, &b);
	if (n != m)
		printf("first difference: %u partition(s), %u\n", n, m);
	same = same && n == m;
	for (uint32_t i = 1; i < n && i < m; i++) {
		open_other(&pa, &a, other_a, sizeof(other_a), i);
		open_other(&pb, &b, other_b, sizeof(other_b), i);
		same = compare_one(&pa, &pb) && same;
		close_tape(&pa);
		close_tape(&pb);
	}
	close_tape(&a);
	close_tape(&b);
	return same;
}

static int usage(void)
{
	fprintf(stderr, "usage: tapesum [-e BYTES] FILE ...\n"
			"       tapesum [-e BYTES] -c FILE FILE\n");
	return 2;
}

int main(int argc, char **argv)
{
	bool twins = false, good = true;
	uint64_t limit = 0;
	int option;

	make_table();
	while ((option = getopt(argc, argv, "ce:")) != -1) {
		if (option == 'c')
			twins = true;
		else if (option == 'e')
			limit = strtoull(optarg, NULL, 10);
		else
			return usage();
	}
	if (optind == argc || (twins && argc - optind != 2))
		return usage();
	if (twins)
		return !compare(argv[optind], argv[optind + 1], limit);
	for (; optind < argc; optind++)
		good = sum(argv[optind], limit) && good;
	return !good;
}
