// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * st: partitions.
 *
 * How many there are, and in which of them the drive stands, it tells by SCSI
 * commands of our own alone (the mode page of partitions, READ POSITION): without
 * SG_IO, or where it has no such page, it has one partition.  st makes one or two.
 *
 * There are three answers to where the tape is: the drive's, st's, and the one that
 * MTSETPART has named last, to which st goes before it does anything else (MTIOCGET
 * and SG_IO are such), as often as it does not succeed.  st tells the drive of a
 * partition only if its own answer is another.  So nobody relies on where st was left:
 * MTSETPART comes before all that goes to a place, and the drive is asked behind it.
 */
#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "st.h"

#define PARTITION_PAGE	0x11
#define ST_PARTITIONS	4	/* that st goes to */
#define ST_MAKES	2	/* that it makes */
#define NOT_KNOWN	0x04	/* READ POSITION: the position is not known */

/* Medium partition mode page: -EIO, -ENOTSUP there is none. */
static int ask_page(struct pmt_st *st, uint32_t *additional, uint32_t *most)
{
	static const uint8_t mode_sense[6] = { 0x1a, 0, PARTITION_PAGE, 0, 64 };
	uint8_t told[64] = { 0 };
	size_t page;
	int rc = pmt_st_ask(st, mode_sense, 6, told, sizeof(told));

	if (rc)
		return rc;
	page = 4 + (size_t)told[3];
	if (page + 4 > sizeof(told) || (told[page] & 0x3f) != PARTITION_PAGE)
		return -ENOTSUP;
	*most = told[page + 2];
	*additional = told[page + 3];
	return 0;
}

int pmt_st_partition(struct pmt_st *st, uint32_t *partition)
{
	static const uint8_t read_position[10] = { 0x34 };
	uint8_t told[20] = { 0 };
	int rc;

	*partition = 0;
	if (st->partitions < 2)
		return 0;
	rc = pmt_st_ask(st, read_position, 10, told, sizeof(told));
	if (rc || (told[0] & NOT_KNOWN))
		return rc ? rc : -EIO;
	*partition = told[1];
	return 0;
}

static int let_switch(struct pmt_st *st, bool on)
{
	return pmt_st_op(st, MTSETDRVBUFFER,
			 (int)((on ? MT_ST_SETBOOLEANS : MT_ST_CLEARBOOLEANS) |
			       MT_ST_CAN_PARTITIONS));
}

void pmt_st_stay(struct pmt_st *st)
{
	uint32_t now;
	bool told;

	if (st->partitions < 2)
		return;
	let_switch(st, false);
	told = pmt_st_partition(st, &now) == 0;
	let_switch(st, true);
	if (told)
		pmt_st_op(st, MTSETPART, (int)now);
}

void pmt_st_ask_partitions(struct pmt_st *st)
{
	uint32_t additional, most;

	int rc;

	st->partitions = 1;
	st->partitions_most = 0;
	rc = ask_page(st, &additional, &most);
	st->divides = st->passes && (rc == 0 || rc == -EIO);
	if (rc || (!additional && !most))
		return;
	if (let_switch(st, true))
		return;
	st->partitions = additional + 1;
	if (st->partitions > ST_PARTITIONS) {
		pmt_log(LOG_NOTICE, "%s: of %u partitions st reaches %d", st->path,
			st->partitions, ST_PARTITIONS);
		st->partitions = ST_PARTITIONS;
	}
	st->partitions_most = most < ST_MAKES ? most + 1 : ST_MAKES;
	pmt_st_stay(st);
}

/* Behind a reset st takes nothing but what brings the tape to a known place. */
static int set_partition(struct pmt_st *st, uint32_t partition)
{
	int rc = pmt_st_op(st, MTSETPART, (int)partition);

	if (rc == -EIO) {
		pmt_st_op(st, MTREW, 1);
		rc = pmt_st_op(st, MTSETPART, (int)partition);
	}
	return rc;
}

int pmt_st_enter(struct pmt_st *st, uint32_t partition)
{
	return partition < st->partitions ? set_partition(st, partition) : -EINVAL;
}

int pmt_st_first_partition(struct pmt_st *st)
{
	struct mtget status;
	int rc;

	if (st->partitions > 1 || pmt_st_status(st, &status) || !status.mt_resid)
		return 0;
	pmt_st_idle(st);
	rc = let_switch(st, true);
	if (rc == 0)
		rc = set_partition(st, 0);
	if (rc == 0)
		rc = pmt_st_op_again(st, MTSEEK, 0);
	if (!st->partitions_most)
		let_switch(st, false);
	if (rc == 0 || st->divides)
		return 0;
	pmt_log(LOG_ERR, "%s: stands in partition %ld and does not get to the first one, and "
		"no other can be used without SCSI commands: %s", st->path,
		(long)status.mt_resid, strerror(-rc));
	return rc;
}

uint32_t pmt_st_partitions(struct pmt_leaf *leaf)
{
	return pmt_st_of(leaf)->partitions;
}

void pmt_st_describe_partition(struct pmt_leaf *leaf, uint32_t number,
			       struct pmt_leaf_partition *out)
{
	*out = (struct pmt_leaf_partition){ PMT_UNKNOWN, PMT_UNKNOWN, PMT_UNKNOWN };
	if (number == leaf->place.partition)
		out->eod = leaf->eod;
}

int pmt_st_format(struct pmt_leaf *leaf, uint32_t count, int64_t megabytes, bool dry)
{
	struct pmt_st *st = pmt_st_of(leaf);
	int rc;

	if (!st->partitions_most)
		return -ENOTSUP;
	if (!count || count > st->partitions_most || (count > 1 && !megabytes) ||
	    megabytes > INT32_MAX || megabytes < -INT32_MAX)
		return -ERANGE;
	if (dry)
		return 0;
	pmt_st_idle(st);
	st->early = false;
	leaf->eod = PMT_UNKNOWN;
	rc = pmt_st_op_again(st, MTMKPART, count > 1 ? (int)megabytes : 0);
	if (rc == -EINVAL) {
		pmt_st_where(st);
		return -ERANGE;
	}
	if (rc)
		return pmt_st_failed(st, rc);
	pmt_st_ask_partitions(st);
	leaf->place.partition = 0;
	leaf->place.lbn = leaf->place.file = leaf->place.block = leaf->eod = 0;
	leaf->stands = st->synced = true;
	return 0;
}
