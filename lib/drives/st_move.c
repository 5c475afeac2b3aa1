// SPDX-License-Identifier: LGPL-2.1-or-later
/* st: where the drive goes; see st.c. */
#include <errno.h>
#include <string.h>

#include "st.h"

void pmt_st_add(__u64 *value, uint64_t count)
{
	if (*value != PMT_UNKNOWN)
		*value += count;
}

static void subtract(__u64 *value, uint64_t count)
{
	*value = *value == PMT_UNKNOWN || *value < count ? PMT_UNKNOWN : *value - count;
}

/* ---- going ---- */

int pmt_st_end_of_data(struct pmt_st *st)
{
	st->leaf.eod = st->leaf.place.lbn;
	return PMT_AT_EOD;
}

/*
 * It has not got there.  A drive that cannot LOCATE does not move.  Where it was on the
 * way to another partition its place says nothing of a reset.
 */
static int not_located(struct pmt_st *st, int error, uint32_t partition, uint64_t lbn)
{
	const struct pmt_place from = st->leaf.place;
	bool stays = partition == from.partition, passed;
	uint32_t there;
	__u64 now;

	if (error == -EINVAL)
		pmt_st_where(st);
	if (error != -EIO || (stays && !lbn) || pmt_st_lbn(st, &now))
		return pmt_st_failed(st, error);
	if (now < lbn && pmt_st_partition(st, &there) == 0 && there == partition &&
	    pmt_st_at_end(st, &passed)) {
		pmt_st_where(st);
		return pmt_st_end_of_data(st);
	}
	pmt_st_where(st);
	return stays && now == from.lbn ? -ENOTSUP : pmt_st_failed(st, error);
}

static int go(struct pmt_st *st, uint32_t partition, uint64_t lbn)
{
	bool rewinds = !lbn && partition == st->leaf.place.partition;
	int rc = st->partitions > 1 ? pmt_st_enter(st, partition) : 0;

	if (rc)
		return rc;
	return rewinds ? pmt_st_op_again(st, MTREW, 1) :
			 pmt_st_op_again(st, MTSEEK, (int)(uint32_t)lbn);
}

/*
 * Where st is mistaken about the partition it does not tell the drive to change it: the
 * drive, which is asked, is somewhere else.  To go there sets st right.  A reset that st
 * learns of on the way, as since Linux 7, lets it ask nothing any more until it rewinds.
 */
static int go_surely(struct pmt_st *st, uint32_t partition, uint64_t lbn)
{
	for (bool again = false;; again = true) {
		int rc = go(st, partition, lbn);
		uint32_t now;

		if (rc == -EINVAL)
			return rc;
		if (pmt_st_partition(st, &now)) {
			bool lost;

			pmt_st_stay(st);
			lost = pmt_st_partition(st, &now);
			if (lost && !again) {
				pmt_st_op(st, MTREW, 1);
				continue;
			}
			if (lost)
				st->leaf.place.lbn = PMT_UNKNOWN;
			if (lost || rc)
				return rc ? rc : -EIO;
		}
		if (now == partition)
			return rc;
		if (again || go(st, now, 0))
			return -EIO;
	}
}

int pmt_st_locate(struct pmt_leaf *leaf, uint32_t partition, uint64_t lbn)
{
	struct pmt_st *st = pmt_st_of(leaf);
	int rc;

	if (partition >= st->partitions)
		return -EINVAL;
	if (lbn && (!st->positions || lbn > UINT32_MAX))
		return -ENOTSUP;
	pmt_st_idle(st);
	st->early = false;
	rc = go_surely(st, partition, lbn);
	if (rc)
		return not_located(st, rc, partition, lbn);
	if (partition != leaf->place.partition)
		leaf->eod = PMT_UNKNOWN;
	leaf->place.partition = partition;
	leaf->place.lbn = lbn;
	leaf->place.file = leaf->place.block = lbn ? PMT_UNKNOWN : 0;
	leaf->stands = true;
	return 0;
}

int pmt_st_rewind(struct pmt_st *st)
{
	return pmt_st_locate(&st->leaf, st->leaf.place.partition, 0);
}

int pmt_st_to_eod(struct pmt_leaf *leaf)
{
	struct pmt_st *st = pmt_st_of(leaf);
	struct pmt_place *place = &leaf->place;
	uint32_t partition = place->partition;
	struct mtget before, after;
	uint64_t file = PMT_UNKNOWN;
	int rc;

	pmt_st_idle(st);
	pmt_st_status(st, &before);
	rc = pmt_st_op_again(st, MTEOM, 1);
	if (rc == 0)
		rc = pmt_st_status(st, &after);
	if (rc)
		return pmt_st_failed(st, rc);
	if (place->file != PMT_UNKNOWN && before.mt_fileno >= 0 &&
	    after.mt_fileno >= before.mt_fileno)
		file = place->file + (uint64_t)(after.mt_fileno - before.mt_fileno);
	pmt_st_where(st);
	if (st->partitions > 1 && place->lbn == PMT_UNKNOWN)
		return -EIO;
	if (place->partition != partition)
		return -ECONNRESET;
	place->file = place->lbn ? file : 0;
	st->leaf.stands = true;
	pmt_st_end_of_data(st);
	return 0;
}

/* Back to where it was before an attempt. */
int pmt_st_come_back(struct pmt_st *st, const struct pmt_place *to)
{
	int rc;

	if (st->positions && to->lbn != PMT_UNKNOWN) {
		rc = pmt_st_locate(&st->leaf, to->partition, to->lbn);
	} else if (to->file != PMT_UNKNOWN && to->block != PMT_UNKNOWN) {
		rc = pmt_st_rewind(st);
		if (rc == 0 && to->file)
			rc = pmt_st_op(st, MTFSF, (int)to->file);
		if (rc == 0 && to->block)
			rc = pmt_st_op(st, MTFSR, (int)to->block);
	} else {
		rc = -EIO;
	}
	if (rc == 0)
		st->leaf.place = *to;
	else
		pmt_st_where(st);
	return rc;
}

/* ---- spacing ---- */

/* How many at once: all, if the drive can tell how many it did. */
static int64_t at_once(bool countable, int64_t left)
{
	int64_t n = countable ? left : 1;

	return n < PMT_ST_COUNT_MAX ? n : PMT_ST_COUNT_MAX;
}

/* Objects passed, if that can be told. */
uint64_t pmt_st_passed(struct pmt_st *st, uint64_t from)
{
	__u64 now;

	if (from == PMT_UNKNOWN || pmt_st_lbn(st, &now))
		return 0;
	return now > from ? now - from : from - now;
}

static int records_stopped(struct pmt_st *st, const struct mtget *before, uint64_t *left)
{
	struct pmt_place *place = &st->leaf.place;
	bool crossed = false;
	struct mtget after;
	int rc = pmt_st_status(st, &after);	/* before MTIOCPOS, which changes it */
	uint64_t n = pmt_st_passed(st, place->lbn);

	if (pmt_st_astray(st, place, false))
		return pmt_st_failed(st, -EIO);
	if (rc == 0 && GMT_EOD(after.mt_gstat)) {
		pmt_st_add(&place->lbn, n);
		pmt_st_add(&place->block, n);
		*left -= n < *left ? n : *left;
		return pmt_st_end_of_data(st);
	}
	if (rc == 0 && after.mt_blkno == 0)
		crossed = n || (after.mt_fileno >= 0 && after.mt_fileno != before->mt_fileno);
	if (!crossed)
		return pmt_st_failed(st, -EIO);
	if (st->positions)
		*left -= n - 1;
	pmt_st_add(&place->lbn, st->positions ? n : 1);
	pmt_st_add(&place->file, 1);
	place->block = 0;
	return PMT_AT_MARK;
}

static int records_forward(struct pmt_st *st, uint64_t *left)
{
	struct pmt_place *place = &st->leaf.place;

	while (*left) {
		int64_t n = at_once(st->positions, (int64_t)*left);
		struct mtget before;
		int rc;

		pmt_st_status(st, &before);
		rc = pmt_st_op(st, MTFSR, (int)n);
		if (rc == -EIO)
			return records_stopped(st, &before, left);
		if (rc)
			return pmt_st_failed(st, rc);
		pmt_st_add(&place->lbn, (uint64_t)n);
		pmt_st_add(&place->block, (uint64_t)n);
		*left -= (uint64_t)n;
	}
	return 0;
}

/* st does not say what stopped it, if it does not know the block: a mark is here? */
static bool mark_is_next(struct pmt_st *st, const struct mtget *before,
			 const struct mtget *after, uint64_t lbn)
{
	__u64 now;

	if (after->mt_blkno != -1)
		return false;
	if (before->mt_blkno >= 0)
		return true;
	return pmt_st_op(st, MTFSF, 1) == 0 && pmt_st_lbn(st, &now) == 0 &&
	       now == lbn + 1 && pmt_st_op(st, MTBSF, 1) == 0;
}

/* So many more than there are behind the beginning: else it was reset, to be there. */
static bool is_short(uint64_t from, uint64_t count)
{
	return from == PMT_UNKNOWN || from < count;
}

static int records_stopped_back(struct pmt_st *st, const struct mtget *before,
				uint64_t *left)
{
	struct pmt_place *place = &st->leaf.place;
	__u64 now = PMT_UNKNOWN;
	struct mtget after;
	int rc = pmt_st_status(st, &after);	/* before MTIOCPOS, as above */
	uint64_t n = pmt_st_passed(st, place->lbn);

	if (pmt_st_astray(st, place, true))
		return pmt_st_failed(st, -EIO);
	pmt_st_lbn(st, &now);
	if (rc == 0 && after.mt_blkno >= 0 && is_short(place->lbn, *left) &&
	    (now == 0 || GMT_BOT(after.mt_gstat))) {
		*left -= n < *left ? n : *left;
		place->lbn = place->file = place->block = 0;
		return PMT_AT_BOP;
	}
	if (rc || !mark_is_next(st, before, &after, now))
		return pmt_st_failed(st, -EIO);
	if (st->positions && n)
		*left -= n - 1;
	subtract(&place->lbn, st->positions ? n : 1);
	subtract(&place->file, 1);
	place->block = PMT_UNKNOWN;
	return PMT_AT_MARK;
}

static int records_back(struct pmt_st *st, uint64_t *left)
{
	struct pmt_place *place = &st->leaf.place;

	while (*left) {
		int64_t n = at_once(st->positions, (int64_t)*left);
		struct mtget before;
		int rc;

		pmt_st_status(st, &before);
		rc = pmt_st_op(st, MTBSR, (int)n);
		if (rc == -EIO)
			return records_stopped_back(st, &before, left);
		if (rc)
			return pmt_st_failed(st, rc);
		subtract(&place->lbn, (uint64_t)n);
		subtract(&place->block, (uint64_t)n);
		*left -= (uint64_t)n;
	}
	return 0;
}

/* Behind motion over marks the drive alone knows which block it is. */
static void renew_lbn(struct pmt_st *st)
{
	if (pmt_st_lbn(st, &st->leaf.place.lbn))
		st->leaf.place.lbn = PMT_UNKNOWN;
}

static int marks_stopped(struct pmt_st *st, const struct mtget *before, bool back,
			 uint64_t *left)
{
	struct pmt_place *place = &st->leaf.place;
	bool may_begin = back && is_short(place->file, *left);
	uint64_t from = place->lbn, n = 0;
	struct mtget after;
	int rc = pmt_st_status(st, &after);

	if (pmt_st_astray(st, place, back))
		return pmt_st_failed(st, -EIO);
	if (rc == 0 && before->mt_fileno >= 0 && after.mt_fileno >= 0)
		n = (uint64_t)(back ? before->mt_fileno - after.mt_fileno :
				      after.mt_fileno - before->mt_fileno);
	if (rc || n > *left)
		return pmt_st_failed(st, -EIO);
	*left -= n;
	renew_lbn(st);
	if (may_begin && (place->lbn == 0 || GMT_BOT(after.mt_gstat))) {
		place->lbn = place->file = place->block = 0;
		return PMT_AT_BOP;
	}
	if (back || !GMT_EOD(after.mt_gstat)) {
		place->lbn = from;
		return pmt_st_failed(st, -EIO);
	}
	pmt_st_add(&place->file, n);
	place->block = PMT_UNKNOWN;
	return pmt_st_end_of_data(st);
}

static int space_over_marks(struct pmt_st *st, bool back, uint64_t *left)
{
	struct pmt_place *place = &st->leaf.place;

	while (*left) {
		struct mtget before;
		int64_t n;
		int rc;

		pmt_st_status(st, &before);
		n = at_once(before.mt_fileno >= 0, (int64_t)*left);
		rc = pmt_st_op(st, back ? MTBSF : MTFSF, (int)n);
		if (rc == -EIO)
			return marks_stopped(st, &before, back, left);
		if (rc)
			return pmt_st_failed(st, rc);
		*left -= (uint64_t)n;
		place->block = back ? PMT_UNKNOWN : 0;
		if (back)
			subtract(&place->file, (uint64_t)n);
		else
			pmt_st_add(&place->file, (uint64_t)n);
		renew_lbn(st);
	}
	return 0;
}

static uint64_t distance(int64_t count)
{
	return count < 0 ? -(uint64_t)count : (uint64_t)count;
}

int pmt_st_space_records(struct pmt_leaf *leaf, int64_t count, int64_t *left)
{
	struct pmt_st *st = pmt_st_of(leaf);
	uint64_t rest = distance(count);
	int rc;

	pmt_st_idle(st);
	st->early = st->early && count > 0;
	rc = count < 0 ? records_back(st, &rest) : records_forward(st, &rest);
	*left = count < 0 ? -(int64_t)rest : (int64_t)rest;
	return rc;
}

int pmt_st_space_marks(struct pmt_leaf *leaf, int64_t count, int64_t *left)
{
	struct pmt_st *st = pmt_st_of(leaf);
	uint64_t rest = distance(count);
	int rc;

	pmt_st_idle(st);
	st->early = st->early && count > 0;
	rc = space_over_marks(st, count < 0, &rest);
	*left = count < 0 ? -(int64_t)rest : (int64_t)rest;
	return rc;
}
