// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * st: partitions.
 *
 * How many there are, and in which of them the drive stands, it tells by SCSI
 * commands of our own alone (the mode page of partitions, READ POSITION): without
 * SG_IO, or where it has no such page, it has one partition.  st goes to another
 * one with the next MTSEEK behind MTSETPART, and makes one or two.
 */
#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "st.h"

#define PARTITION_PAGE	0x11
#define ST_PARTITIONS	4	/* that st goes to */
#define ST_MAKES	2	/* that it makes */

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

void pmt_st_ask_partitions(struct pmt_st *st)
{
	uint32_t additional, most;

	st->partitions = 1;
	st->partitions_most = 0;
	if (ask_page(st, &additional, &most) || (!additional && !most))
		return;
	if (pmt_st_op(st, MTSETDRVBUFFER, MT_ST_SETBOOLEANS | MT_ST_CAN_PARTITIONS))
		return;
	st->partitions = additional + 1;
	if (st->partitions > ST_PARTITIONS) {
		pmt_log(LOG_NOTICE, "%s: of %u partitions st reaches %d", st->path,
			st->partitions, ST_PARTITIONS);
		st->partitions = ST_PARTITIONS;
	}
	st->partitions_most = most < ST_MAKES ? most + 1 : ST_MAKES;
}

uint32_t pmt_st_partition(struct pmt_st *st)
{
	static const uint8_t read_position[10] = { 0x34 };
	uint8_t told[20] = { 0 };

	if (st->partitions < 2 || pmt_st_ask(st, read_position, 10, told, sizeof(told)))
		return 0;
	return told[1];
}

/* Behind a reset st takes nothing but what brings the tape to a known place. */
int pmt_st_enter(struct pmt_st *st, uint32_t partition)
{
	int rc;

	if (partition >= st->partitions)
		return -EINVAL;
	rc = pmt_st_op(st, MTSETPART, (int)partition);
	if (rc == -EIO) {
		pmt_st_op(st, MTREW, 1);
		rc = pmt_st_op(st, MTSETPART, (int)partition);
	}
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
