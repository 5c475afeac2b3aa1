// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * null: swallows what is written and knows where it stands, for measuring and
 * tests.  Nothing can be read back; "records=N&size=S" has N records of zeros
 * at the beginning instead.  It has no identity and no memory: a server that
 * attaches again is believed that what it wrote is there.  Its target is a name,
 * for messages.
 */
#include <errno.h>
#include <string.h>

#include "internal.h"

struct null {
	struct pmt_leaf leaf;
	uint64_t records, size;		/* that can be read */
};

static int null_write(struct pmt_leaf *leaf, const void *data, size_t length)
{
	(void)data;
	(void)length;
	leaf->eod = ++leaf->place.lbn;
	if (leaf->place.block != PMT_UNKNOWN)
		leaf->place.block++;
	return 0;
}

static int null_read(struct pmt_leaf *leaf, void *buffer, size_t size, size_t *length)
{
	struct null *null = (struct null *)leaf;

	if (leaf->place.lbn >= null->records)
		return PMT_AT_EOD;
	*length = null->size;
	memset(buffer, 0, size < null->size ? size : null->size);
	leaf->place.lbn++;
	if (leaf->place.block != PMT_UNKNOWN)
		leaf->place.block++;
	return 0;
}

static int null_marks(struct pmt_leaf *leaf, uint32_t count, uint32_t *done)
{
	leaf->eod = leaf->place.lbn += count;
	if (leaf->place.file != PMT_UNKNOWN)
		leaf->place.file += count;
	leaf->place.block = 0;
	*done = count;
	return 0;
}

static int null_locate(struct pmt_leaf *leaf, uint32_t partition, uint64_t lbn)
{
	uint64_t to = lbn < leaf->eod ? lbn : leaf->eod;

	if (partition)
		return -EINVAL;
	if (to == 0)
		leaf->place.file = leaf->place.block = 0;
	else if (to != leaf->place.lbn)
		leaf->place.file = leaf->place.block = PMT_UNKNOWN;
	leaf->place.lbn = to;
	leaf->place.partition = 0;
	return lbn > leaf->eod ? PMT_AT_EOD : 0;
}

static int null_space_records(struct pmt_leaf *leaf, int64_t count, int64_t *left)
{
	uint64_t from = leaf->place.lbn, n = (uint64_t)(count < 0 ? -count : count);
	uint64_t there = count < 0 ? from : leaf->eod - from;
	uint64_t now = n < there ? n : there;

	null_locate(leaf, 0, count < 0 ? from - now : from + now);
	*left = (int64_t)(n - now) * (count < 0 ? -1 : 1);
	if (now == n)
		return 0;
	return count < 0 ? PMT_AT_BOP : PMT_AT_EOD;
}

/* Where the marks are is not kept: there is none. */
static int null_space_marks(struct pmt_leaf *leaf, int64_t count, int64_t *left)
{
	*left = count;
	null_locate(leaf, 0, count < 0 ? 0 : leaf->eod);
	return count < 0 ? PMT_AT_BOP : PMT_AT_EOD;
}

static int null_to_eod(struct pmt_leaf *leaf)
{
	return null_locate(leaf, 0, leaf->eod);
}

static int null_cut(struct pmt_leaf *leaf)
{
	leaf->eod = leaf->place.lbn;
	return 0;
}

static int null_load(struct pmt_leaf *leaf)
{
	leaf->present = true;
	leaf->eod = ((struct null *)leaf)->records;
	return null_locate(leaf, 0, 0);
}

static int null_unload(struct pmt_leaf *leaf)
{
	return null_load(leaf);
}

static const struct pmt_leaf_ops leaf_ops = {
	.write = null_write,
	.read = null_read,
	.marks = null_marks,
	.space_records = null_space_records,
	.space_marks = null_space_marks,
	.locate = null_locate,
	.to_eod = null_to_eod,
	.cut = null_cut,
	.load = null_load,
	.unload = null_unload,
};

static int null_open(struct pmt_drive *drive, const struct pmt_spec *spec)
{
	struct null *null = (struct null *)drive;
	int rc;

	null->size = 32768;
	rc = pmt_spec_number(spec, "records", 0, INT64_MAX, &null->records);
	if (rc == 0 || rc == -ENOENT)
		rc = pmt_spec_number(spec, "size", 1, PMT_RECORD_MAX, &null->size);
	if (rc && rc != -ENOENT)
		return rc;
	rc = pmt_spec_unused(spec);
	if (rc == 0)
		rc = pmt_leaf_init(&null->leaf, &leaf_ops);
	return rc ? rc : null_load(&null->leaf);
}

static void null_close(struct pmt_drive *drive)
{
	pmt_leaf_destroy((struct pmt_leaf *)drive);
}

static int null_attach(struct pmt_drive *drive, const struct pmt_session *session)
{
	struct pmt_leaf *leaf = (struct pmt_leaf *)drive;
	int rc = pmt_leaf_attach(drive, session);

	if (rc == 0 && session->place.lbn != PMT_UNKNOWN && session->place.lbn > leaf->eod)
		leaf->eod = session->place.lbn;
	return rc;
}

const struct pmt_drive_ops pmt_null_drive = {
	.name = "null",
	.size = sizeof(struct null),
	.open = null_open,
	.close = null_close,
	.attach = null_attach,
	.execute = pmt_leaf_execute,
	.prompt = true,
	.limits = pmt_leaf_limits,
	.used = pmt_leaf_used,
	.status = pmt_leaf_status,
};
