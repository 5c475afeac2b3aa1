// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A drive whose objects are kept by the program that uses the library (struct
 * pmt_store in pmt.h): it reads and writes them by number.
 *
 * What is needed to move among them is here: how many there are, and the numbers of
 * those that are filemarks, in order.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

struct store {
	struct pmt_leaf leaf;
	struct pmt_store calls;
	void *context;
	uint64_t at, count;
	uint64_t *marks;
	size_t n_marks, room;
};

static struct store *store_of(struct pmt_leaf *leaf)
{
	return (struct store *)leaf;
}

/* How many filemarks are before lbn. */
static size_t marks_before(const struct store *s, uint64_t lbn)
{
	size_t low = 0, high = s->n_marks;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->marks[middle] < lbn)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int stand(struct store *s, uint64_t at, int rc)
{
	size_t file = marks_before(s, at);
	struct pmt_place *place = &s->leaf.place;

	s->at = place->lbn = at;
	place->file = file;
	place->block = file ? at - s->marks[file - 1] - 1 : at;
	place->partition = 0;
	s->leaf.eod = s->count;
	return rc;
}

static int reserve_mark(struct store *s)
{
	size_t room = s->room ? 2 * s->room : 64;
	uint64_t *more;

	if (s->n_marks < s->room)
		return 0;
	more = realloc(s->marks, room * sizeof(*more));
	if (!more)
		return -ENOMEM;
	s->marks = more;
	s->room = room;
	return 0;
}

/* One object here; length 0: a mark. */
static int put(struct store *s, const void *data, size_t length)
{
	int rc = length ? 0 : reserve_mark(s);

	if (rc == 0)
		rc = s->calls.write(s->context, s->at, data, length);
	if (rc < 0)
		return rc;
	s->n_marks = marks_before(s, s->at);
	if (!length)
		s->marks[s->n_marks++] = s->at;
	s->count = s->at + 1;
	return stand(s, s->count, rc ? PMT_AT_EW : 0);
}

static int store_write(struct pmt_leaf *leaf, const void *data, size_t length)
{
	return put(store_of(leaf), data, length);
}

static int store_marks(struct pmt_leaf *leaf, uint32_t count, uint32_t *done)
{
	int rc = 0, warned = 0;

	for (*done = 0; *done < count; ++*done) {
		rc = put(store_of(leaf), NULL, 0);
		if (rc < 0)
			return rc;
		warned |= rc;
	}
	return warned;
}

static int store_read(struct pmt_leaf *leaf, void *buffer, size_t size, size_t *length)
{
	struct store *s = store_of(leaf);
	size_t file = marks_before(s, s->at);
	int64_t n;

	if (s->at == s->count)
		return PMT_AT_EOD;
	if (file < s->n_marks && s->marks[file] == s->at)
		return stand(s, s->at + 1, PMT_AT_MARK);
	n = s->calls.read(s->context, s->at, buffer, size);
	if (n <= 0)
		return n ? (int)n : -EIO;
	*length = (size_t)n;
	return stand(s, s->at + 1, 0);
}

static int store_sync(struct pmt_leaf *leaf)
{
	struct store *s = store_of(leaf);

	return s->calls.sync ? s->calls.sync(s->context) : 0;
}

static int store_cut(struct pmt_leaf *leaf)
{
	struct store *s = store_of(leaf);
	int rc = s->calls.cut(s->context, s->at);

	if (rc)
		return rc;
	s->n_marks = marks_before(s, s->at);
	s->count = s->at;
	return stand(s, s->at, 0);
}

static int store_locate(struct pmt_leaf *leaf, uint32_t partition, uint64_t lbn)
{
	struct store *s = store_of(leaf);

	if (partition)
		return -EINVAL;
	return lbn > s->count ? stand(s, s->count, PMT_AT_EOD) : stand(s, lbn, 0);
}

static int store_space_records(struct pmt_leaf *leaf, int64_t count, int64_t *left)
{
	struct store *s = store_of(leaf);
	uint64_t n = count < 0 ? -(uint64_t)count : (uint64_t)count, passed;
	size_t file = marks_before(s, s->at);
	bool mark;

	if (count < 0) {
		mark = file;
		passed = s->at - (mark ? s->marks[file - 1] + 1 : 0);
	} else {
		mark = file < s->n_marks;
		passed = (mark ? s->marks[file] : s->count) - s->at;
	}
	*left = 0;
	if (n <= passed)
		return stand(s, count < 0 ? s->at - n : s->at + n, 0);
	*left = (int64_t)(n - passed) * (count < 0 ? -1 : 1);
	passed += mark;
	if (count < 0)
		return stand(s, s->at - passed, mark ? PMT_AT_MARK : PMT_AT_BOP);
	return stand(s, s->at + passed, mark ? PMT_AT_MARK : PMT_AT_EOD);
}

static int store_space_marks(struct pmt_leaf *leaf, int64_t count, int64_t *left)
{
	struct store *s = store_of(leaf);
	uint64_t n = count < 0 ? -(uint64_t)count : (uint64_t)count, there;
	size_t file = marks_before(s, s->at);

	there = count < 0 ? file : s->n_marks - file;
	*left = 0;
	if (n <= there)
		return stand(s, count < 0 ? s->marks[file - n] : s->marks[file + n - 1] + 1, 0);
	*left = (int64_t)(n - there) * (count < 0 ? -1 : 1);
	return count < 0 ? stand(s, 0, PMT_AT_BOP) : stand(s, s->count, PMT_AT_EOD);
}

static int store_to_eod(struct pmt_leaf *leaf)
{
	struct store *s = store_of(leaf);

	return stand(s, s->count, 0);
}

static int store_load(struct pmt_leaf *leaf)
{
	leaf->present = true;
	return stand(store_of(leaf), 0, 0);
}

static int store_unload(struct pmt_leaf *leaf)
{
	int rc = store_sync(leaf);

	return rc ? rc : store_load(leaf);
}

static const struct pmt_leaf_ops leaf_ops = {
	.write = store_write,
	.read = store_read,
	.marks = store_marks,
	.sync = store_sync,
	.space_records = store_space_records,
	.space_marks = store_space_marks,
	.locate = store_locate,
	.to_eod = store_to_eod,
	.cut = store_cut,
	.load = store_load,
	.unload = store_unload,
};

static void store_close(struct pmt_drive *drive)
{
	free(((struct store *)drive)->marks);
	pmt_leaf_destroy((struct pmt_leaf *)drive);
}

static const struct pmt_drive_ops store_drive = {
	.name = "store",
	.size = sizeof(struct store),
	.close = store_close,
	.attach = pmt_leaf_attach,
	.execute = pmt_leaf_execute,
	.limits = pmt_leaf_limits,
	.used = pmt_leaf_used,
	.status = pmt_leaf_status,
};

/* Which of the objects that are there already are filemarks. */
static int find_marks(struct store *s)
{
	for (s->count = 0; s->count < s->calls.count; s->count++) {
		int64_t n = s->calls.read(s->context, s->count, NULL, 0);

		if (n < 0)
			return (int)n;
		if (n > 0)
			continue;
		if (reserve_mark(s))
			return -ENOMEM;
		s->marks[s->n_marks++] = s->count;
	}
	return 0;
}

int pmt_drive_open_store(struct pmt_drive **drive, const struct pmt_store *calls, void *context)
{
	struct store *s = calloc(1, sizeof(*s));
	int rc = s ? pmt_leaf_init(&s->leaf, &leaf_ops) : -ENOMEM;

	if (rc) {
		free(s);
		return rc;
	}
	s->calls = *calls;
	s->context = context;
	s->leaf.drive.ops = &store_drive;
	s->leaf.protected = !calls->write;
	s->leaf.medium = calls->id;
	s->leaf.limits.window = calls->room;
	if (calls->record_max && calls->record_max < PMT_RECORD_MAX)
		s->leaf.limits.record_max = calls->record_max;
	if (asprintf(&s->leaf.drive.text, "store:%s", calls->name) < 0)
		s->leaf.drive.text = NULL;
	rc = s->leaf.drive.text ? find_marks(s) : -ENOMEM;
	if (rc) {
		pmt_drive_close(&s->leaf.drive);
		return rc;
	}
	*drive = &s->leaf.drive;
	return store_load(&s->leaf);
}
