// SPDX-License-Identifier: LGPL-2.1-or-later
/* st: what is written and read; see st.c. */
#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "st.h"

/* ---- writing ---- */

/* Bytes written, or -errno; -ENOSPC: nothing, and it is the physical end. */
static ssize_t put(struct pmt_st *st, const void *data, size_t length)
{
	ssize_t n;

	st->synced = false;
	st->writing = true;
	n = st->calls->write(st, data, length);
	if (n == -ENOSPC)
		n = st->calls->write(st, data, length);
	return n;
}

static int not_written(struct pmt_st *st, ssize_t rc)
{
	struct pmt_leaf *leaf = &st->leaf;

	if (leaf->eod != leaf->place.lbn)
		leaf->eod = PMT_UNKNOWN;
	return rc == -ENOSPC ? -ENOSPC : pmt_st_failed(st, (int)rc);
}

/* n records more are on the tape; st tells whether early warning was met. */
static int written(struct pmt_st *st, uint64_t n)
{
	struct pmt_leaf *leaf = &st->leaf;
	struct mtget status;

	pmt_st_add(&leaf->place.lbn, n);
	pmt_st_add(&leaf->place.block, n);
	leaf->eod = leaf->place.lbn;
	if (pmt_st_status(st, &status) == 0 && GMT_EOT(status.mt_gstat))
		st->early = true;
	return st->early ? PMT_AT_EW : 0;
}

int pmt_st_write(struct pmt_leaf *leaf, const void *data, size_t length)
{
	struct pmt_st *st = pmt_st_of(leaf);
	int rc = pmt_st_set_block_size(st, 0);
	ssize_t n;

	if (rc)
		return pmt_st_failed(st, rc);
	n = put(st, data, length);
	if (n < 0)
		return not_written(st, n);
	return (size_t)n == length ? written(st, 1) : pmt_st_failed(st, -EIO);
}

static uint32_t blocks_at_once(const struct pmt_st *st, uint32_t size, uint32_t count)
{
	uint32_t most = st->transfer / size;

	if (!most)
		return 1;
	return count < most ? count : most;
}

int pmt_st_write_blocks(struct pmt_leaf *leaf, const void *data, uint32_t size,
			   uint32_t count, uint32_t *done)
{
	struct pmt_st *st = pmt_st_of(leaf);
	int rc = pmt_st_set_block_size(st, size);
	ssize_t n;

	*done = 0;
	if (rc)
		return pmt_st_failed(st, rc);
	n = put(st, data, (size_t)blocks_at_once(st, size, count) * size);
	if (n < 0)
		return not_written(st, n);
	*done = (uint32_t)((size_t)n / size);
	return written(st, *done);
}

/* Marks of n that were written all the same, as far as that can be told. */
static uint64_t marks_done(struct pmt_st *st, const struct mtget *before, uint64_t n)
{
	uint64_t done = 0;
	struct mtget after;

	if (st->positions && st->leaf.place.lbn != PMT_UNKNOWN)
		done = pmt_st_passed(st, st->leaf.place.lbn);
	else if (pmt_st_status(st, &after) == 0 && before->mt_fileno >= 0 &&
		 after.mt_fileno > before->mt_fileno)
		done = (uint64_t)(after.mt_fileno - before->mt_fileno);
	return done < n ? done : 0;
}

static void marked(struct pmt_st *st, uint64_t n)
{
	struct pmt_leaf *leaf = &st->leaf;

	if (!n)
		return;
	pmt_st_add(&leaf->place.lbn, n);
	pmt_st_add(&leaf->place.file, n);
	leaf->place.block = 0;
	leaf->eod = leaf->place.lbn;
}

/* Where some were written, the rest is tried again: then st says what it was. */
static int marks_failed(struct pmt_st *st, const struct mtget *before, uint64_t n,
			uint32_t *done)
{
	uint64_t some = marks_done(st, before, n);
	struct mtget after;

	if (pmt_st_astray(st, &st->leaf.place, false))
		return pmt_st_failed(st, -EIO);
	marked(st, some);
	*done += (uint32_t)some;
	if (some)
		return 0;
	if (pmt_st_status(st, &after) == 0 && GMT_EOT(after.mt_gstat))
		return -ENOSPC;
	return pmt_st_failed(st, -EIO);
}

static int put_marks(struct pmt_st *st, short op, uint32_t count, uint32_t *done)
{
	int rc = 0;

	for (*done = 0; rc == 0 && *done < count;) {
		uint32_t left = count - *done;
		uint32_t n = left < PMT_ST_COUNT_MAX ? left : PMT_ST_COUNT_MAX;
		struct mtget before;

		pmt_st_status(st, &before);
		rc = pmt_st_op(st, op, (int)n);
		st->writing = st->writing && rc;
		if (rc == -EIO) {
			rc = marks_failed(st, &before, n, done);
			continue;
		}
		if (rc)
			return pmt_st_failed(st, rc);
		st->synced = op == MTWEOF;
		marked(st, n);
		*done += n;
	}
	return rc ? rc : st->early ? PMT_AT_EW : 0;
}

int pmt_st_marks(struct pmt_leaf *leaf, uint32_t count, uint32_t *done)
{
	return put_marks(pmt_st_of(leaf), MTWEOF, count, done);
}

/* Behind an error, perhaps: if it stands elsewhere, or that is not known. */
static int go_back_to(struct pmt_st *st, const struct pmt_place *place)
{
	if (pmt_place_same(&st->leaf.place, place) && st->leaf.place.lbn != PMT_UNKNOWN)
		return 0;
	return pmt_st_come_back(st, place);
}

/* Some drives, and older st, have no marks that are not waited for. */
int pmt_st_marks_ahead(struct pmt_leaf *leaf, uint32_t count, uint32_t *done)
{
	struct pmt_st *st = pmt_st_of(leaf);
	struct pmt_place here = leaf->place;
	int rc;

	if (st->waits)
		return put_marks(st, MTWEOF, count, done);
	rc = put_marks(st, MTWEOFI, count, done);
	if (*done || (rc != -EIO && rc != -ENOSYS) || (rc == -EIO && go_back_to(st, &here)))
		return rc;
	rc = put_marks(st, MTWEOF, count, done);
	st->waits = *done;
	return rc;
}

/* The drive's buffer to the medium; and is all there? */
int pmt_st_sync(struct pmt_leaf *leaf)
{
	struct pmt_st *st = pmt_st_of(leaf);
	__u64 expected = leaf->place.lbn, lbn;
	bool known = st->positions && expected != PMT_UNKNOWN;
	int rc;

	if (!st->synced && !leaf->protected) {
		rc = pmt_st_op(st, MTWEOF, 0);
		if (rc)
			return pmt_st_failed(st, rc);
		st->writing = false;
	}
	rc = known ? pmt_st_lbn(st, &lbn) : 0;
	if (rc)
		return pmt_st_failed(st, rc);
	st->synced = true;
	if (!known || (lbn == expected && !pmt_st_astray(st, &leaf->place, false)))
		return 0;
	pmt_log(LOG_ERR, "%s: it stands at block %llu instead of %llu: what was written is "
		"not there", st->path, (unsigned long long)lbn, (unsigned long long)expected);
	return pmt_st_failed(st, -EIO);
}

/* Drives differ in what a short erase does: it is looked at. */
int pmt_st_cut(struct pmt_leaf *leaf)
{
	struct pmt_st *st = pmt_st_of(leaf);
	struct pmt_place here = leaf->place;
	bool passed, at_end = false;
	int rc;

	pmt_st_idle(st);
	rc = pmt_st_op(st, MTERASE, 0);
	if (rc)
		rc = pmt_st_failed(st, rc);
	if (rc && rc != -EIO)
		return rc;
	if (rc)
		rc = go_back_to(st, &here);
	else if (!pmt_st_at_end(st, &passed))
		rc = pmt_st_come_back(st, &here);
	else
		at_end = true;
	if (!at_end)
		return rc ? rc : -ENOTSUP;
	leaf->place = here;
	leaf->eod = here.lbn;
	return 0;
}

/*
 * Behind what was written last there is no way on a tape: so one mark is left of
 * all that was there.
 */
int pmt_st_cut_by_mark(struct pmt_leaf *leaf)
{
	struct pmt_st *st = pmt_st_of(leaf);
	struct pmt_place here = leaf->place;
	uint32_t done;
	int rc = put_marks(st, MTWEOF, 1, &done);

	if (rc < 0)
		return rc;
	/* Drives differ in where they stand then: that has to be seen. */
	if (st->positions && pmt_st_op(st, MTBSF, 1) == 0)
		pmt_st_where(st);
	rc = go_back_to(st, &here);
	if (rc)
		return rc;
	leaf->place = here;
	leaf->eod = here.lbn == PMT_UNKNOWN ? here.lbn : here.lbn + 1;
	pmt_log(LOG_NOTICE, "%s: it does not erase: behind block %lld a filemark is left, until "
		"something is written there", st->path, (long long)here.lbn);
	return 0;
}

/* ---- reading ---- */

/* Nothing, and no error: a mark, or the end, behind a mark or told with EOM. */
static int read_nothing(struct pmt_st *st)
{
	struct pmt_place *place = &st->leaf.place;
	struct mtget status;
	int rc = pmt_st_status(st, &status);

	if (rc)
		return pmt_st_failed(st, rc);
	if (GMT_EOD(status.mt_gstat) || status.mt_blkno != 0)
		return pmt_st_end_of_data(st);
	pmt_st_add(&place->lbn, 1);
	pmt_st_add(&place->file, 1);
	place->block = 0;
	return PMT_AT_MARK;
}

/* End of data is EIO, but behind a mark.  Else it stays where the drive has left it. */
static int read_failed(struct pmt_st *st, ssize_t rc)
{
	struct pmt_place before = st->leaf.place;
	struct pmt_place *now = &st->leaf.place;
	bool passed;

	if (rc != -EIO)
		return pmt_st_failed(st, (int)rc);
	if (pmt_st_at_end(st, &passed) && !pmt_st_astray(st, &before, false))
		return pmt_st_end_of_data(st);
	if (passed)
		pmt_st_op(st, MTBSR, 1);
	rc = pmt_st_failed(st, -EIO);
	if (before.lbn != PMT_UNKNOWN && now->lbn == before.lbn + 1) {
		*now = before;
		pmt_st_add(&now->lbn, 1);
		pmt_st_add(&now->block, 1);
	}
	st->leaf.stands = rc == -EIO;
	return (int)rc;
}

/*
 * At end of data some drives set EOM, too, and give no residue: st then hands out a
 * buffer in which nothing was put.
 */
static bool is_phantom(struct pmt_st *st)
{
	uint64_t from = st->leaf.place.lbn;
	struct mtget status;

	if (pmt_st_status(st, &status) ||
	    (!GMT_EOD(status.mt_gstat) && !GMT_EOT(status.mt_gstat)))
		return false;
	return !st->positions || (from != PMT_UNKNOWN && !pmt_st_passed(st, from));
}

static int read_record(struct pmt_st *st, void *buffer, size_t size, size_t *length)
{
	struct pmt_place *place = &st->leaf.place;
	ssize_t n;

	n = st->calls->read(st, buffer, size);
	if (n == 0)
		return read_nothing(st);
	if (n < 0 && n != -ENOMEM)
		return read_failed(st, n);
	if ((size_t)n == size && is_phantom(st))
		return pmt_st_end_of_data(st);
	pmt_st_add(&place->lbn, 1);
	pmt_st_add(&place->block, 1);
	/* Longer than asked: st does not say how long. */
	*length = n < 0 ? size + 1 : (size_t)n;
	return 0;
}

int pmt_st_read(struct pmt_leaf *leaf, void *buffer, size_t size, size_t *length)
{
	struct pmt_st *st = pmt_st_of(leaf);
	size_t asked = size < leaf->limits.record_max ? size : leaf->limits.record_max;
	_cleanup_free_ char *small = NULL;
	int rc;

	*length = 0;
	pmt_st_idle(st);
	rc = pmt_st_set_block_size(st, 0);
	if (rc)
		return pmt_st_failed(st, rc);
	if (asked >= leaf->limits.record_min)
		return read_record(st, buffer, asked, length);
	asked = leaf->limits.record_min;
	small = malloc(asked);
	if (!small)
		return -ENOMEM;
	rc = read_record(st, small, asked, length);
	if (rc == 0 && size)
		memcpy(buffer, small, size < *length ? size : *length);
	return rc;
}

/* -ENOTSUP: one by one. */
int pmt_st_read_blocks(struct pmt_leaf *leaf, void *buffer, uint32_t size,
			  uint32_t count, uint32_t *done)
{
	struct pmt_st *st = pmt_st_of(leaf);
	struct pmt_place before = leaf->place;
	uint32_t n = blocks_at_once(st, size, count);
	int rc;

	*done = 0;
	if (n < 2)
		return -ENOTSUP;
	pmt_st_idle(st);
	rc = pmt_st_set_block_size(st, size);
	if (rc)
		return pmt_st_refused(st, rc);
	if (st->calls->read(st, buffer, (size_t)n * size) == (ssize_t)n * size) {
		pmt_st_add(&leaf->place.lbn, n);
		pmt_st_add(&leaf->place.block, n);
		*done = n;
		return 0;
	}
	rc = pmt_st_astray(st, &before, false) ? pmt_st_failed(st, -EIO) :
						 pmt_st_come_back(st, &before);
	return rc ? rc : -ENOTSUP;
}
