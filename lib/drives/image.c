/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * image: a tape in a file, or a set of such tapes; see pmt-image(5).
 *
 * One struct pmt_image is one drive.  While a volume is in it (leaf.present) it
 * has its partitions open, each a struct pmt_tape: a file, and a format that
 * keeps the objects.  Here are the options, what the partitions have in common,
 * and all moving about, which is the same for all formats.
 *
 * The first partition's file is the medium: it says how many there are, and of
 * which formatting the files of the others must be.  Formatting is one step, its
 * checkpoint; the others are emptied behind that, at once or by whoever opens it
 * after a crash.  leaf->eod is always that of the partition where the drive is.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <syslog.h>
#include <unistd.h>

#include "../formats/format.h"

#define MIB		(1ull << 20)
#define MEGABYTE	1000000ull
#define CAPACITY_MIN	(64ull << 10)
#define EW_MIN		4096ull
#define EW_UNLIMITED	(64 * MIB)
#define AHEAD_DEFAULT	(256 * MIB)
#define AHEAD_MIN	(128ull << 10)

struct pmt_image {
	struct pmt_leaf leaf;
	/* Options: */
	struct pmt_set set;
	const struct pmt_format *wanted;	/* NULL: as the file is */
	uint64_t capacity_wanted, ew_wanted;	/* PMT_UNKNOWN: not given */
	uint64_t ahead;
	bool create, readonly, synchronous, salvage, worm, beside;
	bool says_worm;				/* the option is given */
	/* The volume in the drive: */
	uint64_t capacity, ew;			/* of all partitions together */
	uint32_t count;
	struct pmt_tape tapes[PMT_IMAGE_PARTITIONS];
	struct pmt_tape *tape;			/* where the drive is */
	char *volume_path;			/* of it, or NULL; by leaf.lock */
};

static struct pmt_image *image_of(struct pmt_leaf *leaf)
{
	return (struct pmt_image *)leaf;
}

struct pmt_tape *pmt_image_tape(struct pmt_leaf *leaf, uint32_t number)
{
	struct pmt_image *image = image_of(leaf);

	return number < image->count ? &image->tapes[number] : NULL;
}

/* Volumes: opening, closing */

static uint64_t default_ew(uint64_t capacity)
{
	uint64_t ew = capacity / 32;

	if (!capacity)
		return EW_UNLIMITED;
	if (ew < MIB)
		ew = MIB;
	if (ew > 1024 * MIB)
		ew = 1024 * MIB;
	return ew < capacity / 4 ? ew : capacity / 4;
}

/* The options, where given, else what the medium says, else what is usual. */
static int set_capacity(struct pmt_image *image, uint64_t capacity, uint64_t ew)
{
	if (image->capacity_wanted != PMT_UNKNOWN) {
		if (image->capacity_wanted != capacity)
			ew = 0;
		capacity = image->capacity_wanted;
	}
	if (image->ew_wanted != PMT_UNKNOWN)
		ew = image->ew_wanted;
	if (!ew)
		ew = default_ew(capacity);
	image->capacity = capacity;
	image->ew = ew;
	if (!capacity || (capacity >= CAPACITY_MIN && ew <= capacity / 2))
		return 0;
	pmt_log(LOG_ERR, "image: ew may be at most half of the capacity, which is at "
		"least %llu bytes", CAPACITY_MIN);
	return -EINVAL;
}

/* What the others leave of total; of no total, no bound. */
static uint64_t rest(const struct pmt_table *table, uint64_t total)
{
	uint64_t taken = 0;

	for (uint32_t i = 0; i < PMT_IMAGE_PARTITIONS; i++)
		taken += table->size[i];
	return !total ? 0 : taken < total ? total - taken : 1;
}

/* Divide capacity and early warning. */
static int divide(struct pmt_image *image)
{
	const struct pmt_table *table = &image->tapes[0].table;

	for (uint32_t i = 0; i < image->count; i++) {
		struct pmt_tape *tape = &image->tapes[i];

		tape->capacity = image->capacity;
		tape->ew = image->ew;
		if (image->count == 1)
			continue;
		tape->capacity = table->size[i] ? table->size[i] :
						  rest(table, image->capacity);
		if (tape->capacity && tape->capacity < CAPACITY_MIN) {
			pmt_log(LOG_ERR, "%s: a capacity of %llu bytes leaves nothing for "
				"partition %u", image->tapes[0].path,
				(unsigned long long)image->capacity, i);
			return -EINVAL;
		}
		if (tape->capacity && tape->ew > tape->capacity / 4)
			tape->ew = tape->capacity / 4;
	}
	return 0;
}

static void show_path(struct pmt_image *image, const char *path)
{
	pthread_mutex_lock(&image->leaf.lock);
	free(image->volume_path);
	image->volume_path = path ? strdup(path) : NULL;
	pthread_mutex_unlock(&image->leaf.lock);
}

static void close_volume(struct pmt_image *image)
{
	show_path(image, NULL);
	for (uint32_t i = 0; i < PMT_IMAGE_PARTITIONS; i++)
		pmt_tape_close(&image->tapes[i]);
	image->count = 0;
	image->tape = &image->tapes[0];
	image->leaf.present = false;
	image->leaf.medium = 0;
	image->leaf.eod = PMT_UNKNOWN;
}

/* All partitions; the first error. */
static int for_each(struct pmt_image *image, int (*what)(struct pmt_tape *))
{
	int first = 0;

	for (uint32_t i = 0; i < image->count; i++) {
		int r = what(&image->tapes[i]);

		first = first ? first : r;
	}
	return first;
}

static int finish_volume(struct pmt_image *image)
{
	return image->leaf.present ? for_each(image, pmt_tape_finish) : 0;
}

static int open_first(struct pmt_image *image)
{
	struct pmt_tape *tape = &image->tapes[0];
	int r = set_capacity(image, 0, 0);

	*tape = (struct pmt_tape){
		.fd = -1,
		.path = pmt_set_path(&image->set),
		.readonly = image->readonly,
		.beside = image->beside,
		.create = image->create,
		.salvage = image->salvage,
		.wants_worm = image->worm,
		.synchronous = image->synchronous,
		.ahead = image->ahead,
		.asked_for = image->wanted,
		.capacity = image->capacity,
		.ew = image->ew,
	};
	if (!tape->path)
		return -ENOMEM;
	if (!r)
		r = pmt_tape_open(tape);
	if (r == -ENOENT)
		pmt_log(LOG_NOTICE, "%s: %s", tape->path, strerror(ENOENT));
	if (r || !image->says_worm || image->worm == tape->worm)
		return r;
	pmt_log(LOG_ERR, "%s: is %s, and stays so: open it without worm=%s", tape->path,
		tape->worm ? "write-once" : "not write-once", image->worm ? "yes" : "no");
	return -EINVAL;
}

static int open_further(struct pmt_image *image, uint32_t number, bool create)
{
	const struct pmt_tape *first = &image->tapes[0];
	struct pmt_tape *tape = &image->tapes[number];

	*tape = (struct pmt_tape){
		.fd = -1,
		.number = number,
		.readonly = first->protected,
		.create = create,
		.synchronous = image->synchronous,
		.ahead = image->ahead,
		.asked_for = first->format,
	};
	memcpy(tape->uuid, first->uuid, sizeof(tape->uuid));
	if (asprintf(&tape->path, "%s.p%u", first->path, number) < 0) {
		tape->path = NULL;
		return -ENOMEM;
	}
	return pmt_tape_open(tape);
}

/* An error, with what to do; not -ENOENT, as the tape is there. */
static int open_partition(struct pmt_image *image, uint32_t number)
{
	const struct pmt_tape *first = &image->tapes[0];
	const struct pmt_tape *tape = &image->tapes[number];
	int r = open_further(image, number, false);

	if (r == -ENOENT)
		pmt_log(LOG_ERR, "%s: partition %u of the tape %s is missing; bring it "
			"back, or remove what is left to begin a new tape", tape->path,
			number, first->path);
	else if (r == -EINVAL)
		pmt_log(LOG_ERR, "%s: is in the place of partition %u of the tape %s; "
			"bring the right one back", tape->path, number, first->path);
	if (r)
		return r == -ENOENT ? -EINVAL : r;
	if (tape->table.formatting == first->table.formatting ||
	    (first->table.unfinished && !tape->protected))
		return 0;
	if (first->table.unfinished)
		pmt_log(LOG_ERR, "%s: formatting was broken off; open it for writing, "
			"which ends it", first->path);
	else
		pmt_log(LOG_ERR, "%s: partition %u is of another formatting than the "
			"tape %s; bring back those that belong together", tape->path,
			number, first->path);
	return -EINVAL;
}

/* The first file has the table, unfinished; now the others, then it is done. */
static int finish_formatting(struct pmt_image *image)
{
	struct pmt_table table = image->tapes[0].table;
	struct pmt_table own = { .formatting = table.formatting };
	int r = 0;

	for (uint32_t i = 1; !r && i < table.count; i++)
		if (image->tapes[i].table.formatting != own.formatting)
			r = image->tapes[i].format->format(&image->tapes[i], &own);
	table.unfinished = false;
	return r ? r : image->tapes[0].format->format(&image->tapes[0], &table);
}

static int open_others(struct pmt_image *image)
{
	struct pmt_tape *first = &image->tapes[0];
	int r = 0;

	image->count = first->table.count ? first->table.count : 1;
	for (uint32_t i = 1; !r && i < image->count; i++)
		r = open_partition(image, i);
	if (!r && first->table.unfinished && !first->protected)
		r = finish_formatting(image);
	return r;
}

/* What the partitions are together. */
static int join(struct pmt_image *image)
{
	struct pmt_leaf *leaf = &image->leaf;
	bool unbuffered = false;
	int r = divide(image);

	leaf->protected = false;
	for (uint32_t i = 0; i < image->count; i++)
		leaf->protected |= image->tapes[i].protected;
	for (uint32_t i = 0; i < image->count; i++) {
		struct pmt_tape *tape = &image->tapes[i];

		tape->protected = leaf->protected;
		if (!leaf->protected && !tape->capacity && !pmt_tape_can_reserve(tape))
			unbuffered = true;
	}
	leaf->worm = image->tapes[0].worm;
	leaf->medium = image->tapes[0].medium;
	leaf->limits = image->tapes[0].format->limits;
	if (unbuffered) {
		pmt_log(LOG_NOTICE, "%s: neither a capacity is given nor can this file "
			"system set blocks aside: writing unbuffered",
			image->tapes[0].path);
		leaf->limits.window = 0;
	}
	return r;
}

static void stand(struct pmt_image *image, uint32_t partition, uint64_t lbn,
		  uint64_t file, uint64_t block)
{
	struct pmt_leaf *leaf = &image->leaf;

	image->tape = &image->tapes[partition];
	leaf->eod = leaf->present ? image->tape->eod : PMT_UNKNOWN;
	leaf->place.partition = partition;
	leaf->place.lbn = lbn;
	leaf->place.file = file;
	leaf->place.block = block;
}

static void to_bop(struct pmt_image *image)
{
	stand(image, 0, 0, 0, 0);
}

/* -ENOENT: there is no such volume, and none is made. */
static int open_volume(struct pmt_image *image)
{
	int r = open_first(image);

	if (!r)
		r = open_others(image);
	if (!r)
		r = set_capacity(image, image->tapes[0].capacity, image->tapes[0].ew);
	if (!r)
		r = join(image);
	if (r) {
		close_volume(image);
		return r;
	}
	image->leaf.present = true;
	show_path(image, image->tapes[0].path);
	to_bop(image);
	return 0;
}

/* Writing */

static int may_write(const struct pmt_image *image)
{
	if (!image->leaf.present)
		return -ENOMEDIUM;
	if (image->leaf.protected)
		return -EROFS;
	return image->tape->broken ? -EIO : 0;
}

static bool at_ew(struct pmt_tape *tape)
{
	uint64_t used = tape->end + tape->format->owed(tape, tape->eod);

	if (tape->capacity && used + tape->ew > tape->capacity)
		return true;
	return tape->can_allocate && tape->allocated < tape->end + tape->ew;
}

static void stand_at_eod(struct pmt_image *image)
{
	const struct pmt_tape *tape = image->tape;

	stand(image, tape->number, tape->eod, tape->files, tape->blocks);
}

/* -ENOSPC, and nothing is cut, if count objects do not fit from here. */
static int fits(struct pmt_image *image, uint64_t count, size_t length)
{
	struct pmt_tape *tape = image->tape;
	uint64_t lbn = image->leaf.place.lbn, offset;
	int r = tape->format->offset(tape, lbn, &offset);

	if (r || !tape->capacity)
		return r;
	offset += tape->format->growth(tape, lbn, count, length);
	return offset > tape->capacity ? -ENOSPC : 0;
}

static int cut_here(struct pmt_image *image)
{
	struct pmt_tape *tape = image->tape;
	uint64_t lbn = image->leaf.place.lbn;
	int r = lbn == tape->eod ? 0 : tape->format->cut(tape, lbn);

	image->leaf.eod = tape->eod;
	return r;
}

static int image_write(struct pmt_leaf *leaf, const void *data, size_t length)
{
	struct pmt_image *image = image_of(leaf);
	struct pmt_tape *tape = image->tape;
	int r = may_write(image);

	if (!r && (length < leaf->limits.record_min || length > leaf->limits.record_max))
		r = -EINVAL;
	if (!r)
		r = fits(image, 1, length);
	if (!r)
		r = cut_here(image);
	if (!r)
		r = tape->format->write(tape, data, length);
	if (r) {
		leaf->eod = leaf->present ? tape->eod : PMT_UNKNOWN;
		return r;
	}
	stand_at_eod(image);
	return at_ew(tape) ? PMT_AT_EW : 0;
}

/* *done is right whatever is returned. */
static int some_marks(struct pmt_image *image, uint32_t count, uint32_t *done)
{
	struct pmt_tape *tape = image->tape;
	uint64_t before = image->leaf.place.lbn;
	int r = fits(image, count, 0);

	if (!r)
		r = cut_here(image);
	if (r)
		return r;
	r = tape->format->marks(tape, count);
	*done += (uint32_t)(tape->eod - before);
	stand_at_eod(image);
	return r;
}

/* Of count marks, how many there is room for. */
static uint32_t marks_that_fit(struct pmt_image *image, uint32_t count)
{
	uint32_t least = 0, most = count;

	while (least < most) {
		uint32_t middle = least + (most - least + 1) / 2;

		if (fits(image, middle, 0) == 0)
			least = middle;
		else
			most = middle - 1;
	}
	return least;
}

/* At once; where the disk is full, one by one as many as there is room for. */
static int image_marks(struct pmt_leaf *leaf, uint32_t count, uint32_t *done)
{
	struct pmt_image *image = image_of(leaf);
	int r = may_write(image);
	uint32_t fit = r ? 0 : marks_that_fit(image, count);

	*done = 0;
	if (fit)
		r = some_marks(image, fit, done);
	if (!r || r == -ENOSPC)
		for (r = 0; !r && *done < count;)
			r = some_marks(image, 1, done);
	return r ? r : count && at_ew(image->tape) ? PMT_AT_EW : 0;
}

static int sync_tape(struct pmt_tape *tape)
{
	return tape->protected ? 0 : tape->format->sync(tape);
}

static int image_sync(struct pmt_leaf *leaf)
{
	return leaf->present ? for_each(image_of(leaf), sync_tape) : -ENOMEDIUM;
}

static int image_cut(struct pmt_leaf *leaf)
{
	struct pmt_image *image = image_of(leaf);
	int r = may_write(image);

	return r ? r : cut_here(image);
}

/* Reading and moving */

static int go_to(struct pmt_image *image, uint32_t partition, uint64_t lbn)
{
	struct pmt_tape *tape = &image->tapes[partition];
	uint64_t file, block;
	int r = tape->format->place(tape, lbn, &file, &block);

	if (!r)
		stand(image, partition, lbn, file, block);
	return r;
}

static int go(struct pmt_image *image, uint64_t lbn)
{
	return go_to(image, image->tape->number, lbn);
}

static int image_read(struct pmt_leaf *leaf, void *buffer, size_t size, size_t *length)
{
	struct pmt_tape *tape = image_of(leaf)->tape;
	bool mark = false;
	int r;

	*length = 0;
	if (!leaf->present)
		return -ENOMEDIUM;
	if (leaf->place.lbn >= tape->eod)
		return PMT_AT_EOD;
	r = tape->format->read(tape, leaf->place.lbn, buffer, size, length, &mark);
	leaf->place.lbn++;
	if (mark) {
		leaf->place.file++;
		leaf->place.block = 0;
	} else {
		leaf->place.block++;
	}
	return r ? r : mark ? PMT_AT_MARK : 0;
}

static int image_locate(struct pmt_leaf *leaf, uint32_t partition, uint64_t lbn)
{
	struct pmt_image *image = image_of(leaf);
	uint64_t eod;
	int r;

	if (!leaf->present)
		return -ENOMEDIUM;
	if (partition >= image->count)
		return -EINVAL;
	eod = image->tapes[partition].eod;
	r = go_to(image, partition, lbn < eod ? lbn : eod);
	return r ? r : lbn > eod ? PMT_AT_EOD : 0;
}

static int image_to_eod(struct pmt_leaf *leaf)
{
	return image_locate(leaf, leaf->place.partition, leaf->eod);
}

static int records_forward(struct pmt_image *image, uint64_t count, uint64_t *left)
{
	struct pmt_leaf *leaf = &image->leaf;
	uint64_t lbn = leaf->place.lbn, stop = image->tape->eod;
	bool mark = leaf->place.file < image->tape->files;
	int r;

	if (mark) {
		r = image->tape->format->find_mark(image->tape, leaf->place.file, &stop);
		if (r)
			return r;
	}
	*left = 0;
	if (count <= stop - lbn)
		return go(image, lbn + count);
	*left = count - (stop - lbn);
	r = go(image, stop + mark);
	return r ? r : mark ? PMT_AT_MARK : PMT_AT_EOD;
}

static int records_back(struct pmt_image *image, uint64_t count, uint64_t *left)
{
	struct pmt_place *place = &image->leaf.place;
	bool mark = place->file > 0;
	uint64_t block = place->block;
	int r;

	*left = 0;
	if (count <= block)
		return go(image, place->lbn - count);
	*left = count - block;
	r = go(image, place->lbn - block - mark);
	return r ? r : mark ? PMT_AT_MARK : PMT_AT_BOP;
}

static int marks_forward(struct pmt_image *image, uint64_t count, uint64_t *left)
{
	uint64_t file = image->leaf.place.file, lbn;
	int r;

	*left = 0;
	if (!count)
		return 0;
	if (count > image->tape->files - file) {
		*left = count - (image->tape->files - file);
		r = go(image, image->leaf.eod);
		return r ? r : PMT_AT_EOD;
	}
	r = image->tape->format->find_mark(image->tape, file + count - 1, &lbn);
	return r ? r : go(image, lbn + 1);
}

static int marks_back(struct pmt_image *image, uint64_t count, uint64_t *left)
{
	uint64_t file = image->leaf.place.file, lbn;
	int r;

	*left = 0;
	if (count > file) {
		*left = count - file;
		r = go(image, 0);
		return r ? r : PMT_AT_BOP;
	}
	r = image->tape->format->find_mark(image->tape, file - count, &lbn);
	return r ? r : go(image, lbn);
}

static int space(struct pmt_leaf *leaf, int64_t count, int64_t *left,
		 int (*forward)(struct pmt_image *, uint64_t, uint64_t *),
		 int (*back)(struct pmt_image *, uint64_t, uint64_t *))
{
	struct pmt_image *image = image_of(leaf);
	uint64_t distance = count < 0 ? -(uint64_t)count : (uint64_t)count;
	uint64_t rest = distance;
	int r;

	*left = 0;
	if (!leaf->present)
		return -ENOMEDIUM;
	r = (count < 0 ? back : forward)(image, distance, &rest);
	*left = rest > INT64_MAX ? INT64_MAX : (int64_t)rest;
	return r;
}

static int image_space_records(struct pmt_leaf *leaf, int64_t count, int64_t *left)
{
	return space(leaf, count, left, records_forward, records_back);
}

static int image_space_marks(struct pmt_leaf *leaf, int64_t count, int64_t *left)
{
	return space(leaf, count, left, marks_forward, marks_back);
}

/* Cost.  What the objects here still owe is counted as used. */

static uint64_t cost_at(struct pmt_tape *tape, uint64_t lbn)
{
	uint64_t offset;

	if (tape->format->offset(tape, lbn, &offset))
		return PMT_UNKNOWN;
	return offset + tape->format->owed(tape, lbn);
}

static uint64_t image_room(struct pmt_leaf *leaf)
{
	struct pmt_tape *tape = image_of(leaf)->tape;
	uint64_t here, room = PMT_UNKNOWN;

	here = leaf->present ? cost_at(tape, leaf->place.lbn) : PMT_UNKNOWN;
	if (here == PMT_UNKNOWN)
		return PMT_UNKNOWN;
	here += tape->ew;
	if (tape->capacity)
		room = here < tape->capacity ? tape->capacity - here : 0;
	if (tape->can_allocate && !leaf->protected) {
		uint64_t limit = pmt_tape_reach(tape);
		uint64_t got = here < limit ? limit - here : 0;

		room = got < room ? got : room;
	}
	return room;
}

static uint64_t image_used(struct pmt_leaf *leaf)
{
	struct pmt_tape *tape = image_of(leaf)->tape;
	uint64_t here = leaf->present ? cost_at(tape, leaf->place.lbn) : PMT_UNKNOWN;

	return here == PMT_UNKNOWN ? here : here - tape->format->start;
}

static uint32_t image_partitions(struct pmt_leaf *leaf)
{
	return image_of(leaf)->count;
}

static void image_partition(struct pmt_leaf *leaf, uint32_t number,
			    struct pmt_leaf_partition *shown)
{
	struct pmt_tape *tape = &image_of(leaf)->tapes[number];

	shown->eod = tape->eod;
	shown->used = cost_at(tape, tape->eod) - tape->format->start;
	shown->capacity = tape->capacity ? tape->capacity : PMT_UNKNOWN;
}

/* Formatting */

/*
 * megabytes > 0: the size of each partition behind the first; < 0: that of the
 * first of two.  -ERANGE: it can not be.
 */
static int plan(const struct pmt_image *image, uint32_t count, int64_t megabytes,
		struct pmt_table *table)
{
	const uint64_t most = INT64_MAX / 4 / MEGABYTE;
	uint64_t size = (megabytes < 0 ? -(uint64_t)megabytes : (uint64_t)megabytes);
	uint64_t taken = 0;

	if (!count || count > PMT_IMAGE_PARTITIONS || size > most ||
	    (count > 1) != (megabytes != 0) || (megabytes < 0 && count > 2))
		return -ERANGE;
	*table = (struct pmt_table){
		.count = count,
		.unit_id = image->leaf.next.unit_id,
		.generation = image->leaf.next.generation,
	};
	for (uint32_t i = megabytes > 0; i < (megabytes < 0 ? 1 : count); i++) {
		table->size[i] = size * MEGABYTE;
		taken += table->size[i];
	}
	return image->capacity && taken + CAPACITY_MIN > image->capacity ? -ERANGE : 0;
}

static int can_format(const struct pmt_image *image, uint32_t count, int64_t megabytes,
		      struct pmt_table *table)
{
	int r = may_write(image);

	if (!r && !image->tapes[0].format->format)
		r = -ENOTSUP;
	if (!r && image->leaf.worm)
		r = -EPERM;
	return r ? r : plan(image, count, megabytes, table);
}

/* Close what prepare() opened; a file that it made has never been a partition. */
static void undo(struct pmt_image *image)
{
	for (uint32_t i = image->count; i < PMT_IMAGE_PARTITIONS; i++) {
		struct pmt_tape *tape = &image->tapes[i];

		if (tape->state && !tape->table.formatting && !tape->eod)
			unlink(tape->path);
		pmt_tape_close(tape);
	}
}

/* Files for all partitions, before anything is changed. */
static int prepare(struct pmt_image *image, uint32_t count)
{
	int r = 0;

	for (uint32_t i = image->count; !r && i < count; i++) {
		r = open_further(image, i, true);
		if (r == -EINVAL)
			pmt_log(LOG_ERR, "%s: is in the way of partition %u; move it away",
				image->tapes[i].path, i);
		else if (!r && image->tapes[i].protected)
			r = -EROFS;
	}
	if (r)
		undo(image);
	return r == -EINVAL ? -EEXIST : r;
}

static void remove_behind(struct pmt_image *image, uint32_t count)
{
	for (uint32_t i = count; i < image->count; i++) {
		if (unlink(image->tapes[i].path))
			pmt_log(LOG_NOTICE, "%s: not used any more, and cannot be removed: "
				"%m", image->tapes[i].path);
		pmt_tape_close(&image->tapes[i]);
	}
}

static int format_all(struct pmt_image *image, struct pmt_table *table)
{
	struct pmt_tape *first = &image->tapes[0];
	int r;

	if (getrandom(&table->formatting, sizeof(table->formatting), 0) !=
	    sizeof(table->formatting))
		return -EIO;
	table->formatting |= 1;
	table->unfinished = table->count > 1;
	r = first->format->format(first, table);
	return r || !table->unfinished ? r : finish_formatting(image);
}

/* What the file says counts: the old tape, or the new one. */
static void look_again(struct pmt_image *image)
{
	close_volume(image);
	if (open_volume(image))
		return;
	for (uint32_t i = 0; i < image->count; i++)
		image->tapes[i].broken = true;
}

static int image_format(struct pmt_leaf *leaf, uint32_t count, int64_t megabytes, bool dry)
{
	struct pmt_image *image = image_of(leaf);
	struct pmt_table table;
	int r = can_format(image, count, megabytes, &table);

	if (!r)
		r = prepare(image, count);
	if (r)
		return r;
	if (dry) {
		undo(image);
		return 0;
	}
	r = format_all(image, &table);
	if (r) {
		look_again(image);
		return r == -ENOSPC ? -EIO : r;
	}
	remove_behind(image, count);
	image->count = count;
	r = join(image);
	to_bop(image);
	return r;
}

/* Loading and unloading */

static int remember_next(struct pmt_image *image, uint32_t volume)
{
	struct pmt_set *set = &image->set;
	uint64_t unit_id = image->leaf.next.unit_id;
	uint64_t generation = image->leaf.next.generation;

	if (!unit_id) {
		unit_id = set->unit_id;
		generation = set->generation;
	}
	return pmt_set_store(set, volume, unit_id, generation);
}

static bool is_broken(const struct pmt_image *image)
{
	for (uint32_t i = 0; i < image->count; i++)
		if (image->tapes[i].broken)
			return true;
	return false;
}

static int image_load(struct pmt_leaf *leaf)
{
	struct pmt_image *image = image_of(leaf);
	int r = 0;

	if (leaf->present && image->beside && image->count == 1 &&
	    image->tape->format->more) {
		r = image->tape->format->more(image->tape);
		to_bop(image);
	} else if (leaf->present && !image->beside && !is_broken(image)) {
		r = image_sync(leaf);
		to_bop(image);
	} else {
		close_volume(image);
		r = open_volume(image);
	}
	if (!r && image->set.is_set && leaf->next.unit_id)
		r = remember_next(image, image->set.volume);
	return r == -ENOENT ? -ENOMEDIUM : r;
}

/*
 * The state of the set says "the next volume, in the next generation" before
 * that volume is touched: whoever finds it after a crash goes on from there.
 */
static int image_unload(struct pmt_leaf *leaf)
{
	struct pmt_image *image = image_of(leaf);
	int r;

	if (!leaf->present)
		return -ENOMEDIUM;
	r = finish_volume(image);
	if (!r && image->set.is_set)
		r = remember_next(image, image->set.volume + 1);
	if (r)
		return r;
	close_volume(image);
	to_bop(image);
	if (image->set.is_set)
		open_volume(image);	/* or the drive is empty, which is logged */
	return 0;
}

static int image_remember(struct pmt_leaf *leaf, uint64_t unit_id, uint64_t generation)
{
	struct pmt_set *set = &image_of(leaf)->set;

	return set->is_set ? pmt_set_store(set, set->volume, unit_id, generation) : 0;
}

/* The set knows, and the volume, if it was formatted behind what the set knows. */
static int image_recall(struct pmt_leaf *leaf, uint64_t *unit_id, uint64_t *generation)
{
	const struct pmt_set *set = &image_of(leaf)->set;
	const struct pmt_table *table = &image_of(leaf)->tapes[0].table;

	*unit_id = set->unit_id;
	*generation = set->generation;
	if (leaf->present && table->unit_id &&
	    (!set->unit_id || (set->unit_id == table->unit_id &&
			       set->generation < table->generation))) {
		*unit_id = table->unit_id;
		*generation = table->generation;
	}
	return *unit_id ? 0 : -ENODATA;
}

static const struct pmt_leaf_ops image_leaf_ops = {
	.write = image_write,
	.read = image_read,
	.marks = image_marks,
	.sync = image_sync,
	.space_records = image_space_records,
	.space_marks = image_space_marks,
	.locate = image_locate,
	.to_eod = image_to_eod,
	.cut = image_cut,
	.format = image_format,
	.partitions = image_partitions,
	.partition = image_partition,
	.load = image_load,
	.unload = image_unload,
	.remember = image_remember,
	.recall = image_recall,
	.room = image_room,
	.used = image_used,
};

/* The drive */

static int take_format(struct pmt_image *image, const struct pmt_spec *spec)
{
	const char *name;
	int r = pmt_spec_string(spec, "format", &name);

	if (r)
		return r == -ENOENT ? 0 : r;
	image->wanted = pmt_format_named(name);
	if (!image->wanted)
		return pmt_spec_refuse(spec, "format", pmt_format_names());
	return 0;
}

static int optional(int r)
{
	return r == -ENOENT ? 0 : r;
}

static int take_kind(struct pmt_image *image, const struct pmt_spec *spec)
{
	int r = pmt_spec_bool(spec, "worm", &image->worm);

	image->says_worm = r == 0;
	r = optional(r);
	if (!r)
		r = optional(pmt_spec_bool(spec, "salvage", &image->salvage));
	if (!r)
		r = optional(pmt_spec_bool(spec, "beside", &image->beside));
	image->readonly |= image->salvage || image->beside;
	return r;
}

static int take_options(struct pmt_image *image, const struct pmt_spec *spec)
{
	uint64_t volume = 0;
	int r, had_volume = 0;

	image->capacity_wanted = image->ew_wanted = PMT_UNKNOWN;
	image->synchronous = true;
	image->ahead = AHEAD_DEFAULT;
	r = take_format(image, spec);
	if (!r)
		r = optional(pmt_spec_number(spec, "capacity", 0, INT64_MAX / 2,
					     &image->capacity_wanted));
	if (!r)
		r = optional(pmt_spec_number(spec, "ew", EW_MIN, INT64_MAX / 4,
					     &image->ew_wanted));
	image->create = image->capacity_wanted != PMT_UNKNOWN;
	if (!r)
		r = optional(pmt_spec_bool(spec, "create", &image->create));
	if (!r)
		r = optional(pmt_spec_bool(spec, "readonly", &image->readonly));
	if (!r)
		r = optional(pmt_spec_bool(spec, "sync", &image->synchronous));
	if (!r)
		r = take_kind(image, spec);
	if (!r)
		r = optional(pmt_spec_number(spec, "ahead", AHEAD_MIN, INT64_MAX / 4,
					     &image->ahead));
	if (!r) {
		r = had_volume = pmt_spec_number(spec, "volume", 0, INT32_MAX, &volume);
		r = optional(r);
	}
	if (!r)
		r = pmt_spec_unused(spec);
	if (!r)
		r = pmt_set_parse(&image->set, spec->target);
	if (!r && !had_volume && !image->set.is_set) {
		pmt_log(LOG_ERR, "image: volume is for a set, and \"%s\" is one file",
			spec->target);
		r = -EINVAL;
	}
	image->set.volume = (uint32_t)volume;
	image->set.volatile_state = image->readonly;
	return r;
}

static void free_image(struct pmt_image *image)
{
	close_volume(image);
	pmt_set_free(&image->set);
	pmt_leaf_destroy(&image->leaf);
}

static int image_open(struct pmt_drive *drive, const struct pmt_spec *spec)
{
	struct pmt_leaf *leaf = (struct pmt_leaf *)drive;
	struct pmt_image *image = image_of(leaf);
	int r = pmt_leaf_init(leaf, &image_leaf_ops);

	if (r)
		return r;
	for (uint32_t i = 0; i < PMT_IMAGE_PARTITIONS; i++)
		image->tapes[i].fd = -1;
	image->tape = &image->tapes[0];
	leaf->eod = PMT_UNKNOWN;
	r = take_options(image, spec);
	if (!r && image->set.is_set && !image->readonly) {
		r = pmt_set_recall(&image->set);
		r = r == -ENODATA ? 0 : r;
	}
	leaf->limits = (image->wanted ? image->wanted : &pmt_format_native)->limits;
	if (!r) {
		r = open_volume(image);
		if (r == -ENOENT && image->set.is_set)
			r = 0;
	}
	if (r)
		free_image(image);
	return r;
}

static void image_close(struct pmt_drive *drive)
{
	struct pmt_image *image = image_of((struct pmt_leaf *)drive);

	finish_volume(image);
	free_image(image);
}

/* A backslash before what has a meaning. */
static char *image_spec(const char *path)
{
	char *spec = malloc(2 * strlen(path) + sizeof("image:?beside=yes")), *to = spec;

	if (!spec)
		return NULL;
	for (to = stpcpy(to, "image:"); *path; *to++ = *path++)
		if (strchr("?|,()&=\\ ", *path))
			*to++ = '\\';
	stpcpy(to, "?beside=yes");
	return spec;
}

/* Of the volume that is in the drive now. */
static int image_beside(struct pmt_drive *drive, char **spec)
{
	struct pmt_image *image = image_of((struct pmt_leaf *)drive);
	int r = -ENOTSUP;

	pthread_mutex_lock(&image->leaf.lock);
	if (image->volume_path) {
		*spec = image_spec(image->volume_path);
		r = *spec ? 0 : -ENOMEM;
	}
	pthread_mutex_unlock(&image->leaf.lock);
	return r;
}

const struct pmt_drive_ops pmt_image_drive = {
	.name = "image",
	.size = sizeof(struct pmt_image),
	.open = image_open,
	.close = image_close,
	.attach = pmt_leaf_attach,
	.execute = pmt_leaf_execute,
	.limits = pmt_leaf_limits,
	.used = pmt_leaf_used,
	.status = pmt_leaf_status,
	.beside = image_beside,
};
