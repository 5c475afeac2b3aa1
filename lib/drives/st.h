/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The inside of "st:": a tape drive under the kernel's st driver.
 *
 * st_node.c speaks to the node: the calls, MTIOCTOP, where the drive stands, what
 * an error means, SCSI commands of our own.  The primitives of a leaf are in st.c
 * (the medium), st_parts.c (partitions), st_move.c and st_data.c.
 */
#ifndef PMT_ST_H
#define PMT_ST_H

#include <linux/mtio.h>
#include <sys/types.h>

#include "../internal.h"

struct pmt_st;

/*
 * What is asked of the kernel; a test has its own, and so has a drive whose st is
 * on another host.  All return -errno; open() what is to become st->fd.
 */
struct pmt_st_calls {
	int (*open)(struct pmt_st *, int flags);
	void (*close)(struct pmt_st *);
	ssize_t (*read)(struct pmt_st *, void *buffer, size_t size);
	ssize_t (*write)(struct pmt_st *, const void *data, size_t length);
	int (*ioctl)(struct pmt_st *, unsigned long request, void *argument);
	void (*wait)(unsigned int ms);
	bool keeps;		/* fd is one that somebody else can keep open */
};

struct pmt_st {
	struct pmt_leaf leaf;
	const struct pmt_st_calls *calls;
	const struct pmt_keeper *keeper;	/* or NULL */
	char *path;
	char *name;			/* to the keeper: the path without links */
	int fd;				/* -1: it could not be opened again */
	bool positions;			/* READ POSITION works, and LOCATE is tried */
	bool passes;			/* SG_IO is allowed */
	bool kept;			/* the keeper has what is open */
	bool removed;			/* the cartridge went without UNLOAD */
	bool writing;			/* st would write a mark at close or REWIND */
	bool synced;			/* all that was written is on the medium */
	bool early;			/* early warning was met, and not left since */
	bool waits;			/* marks that are not waited for are refused */
	int attention;			/* met beside TEST: -ESTALE, -ECONNRESET, 0 */
	uint32_t partitions;		/* of the medium */
	bool divides;			/* it tells of partitions, if it is one, too */
	uint32_t partitions_most;	/* that can be made; 0: none */
	uint64_t block_size;		/* that st uses; PMT_UNKNOWN */
	uint32_t transfer;		/* bytes at once, for many blocks */
	int compression;		/* as the drive was told last; -1: not told */
	int locked;
};

/* st_node.c */
extern const struct pmt_st_calls pmt_st_system;
static inline struct pmt_st *pmt_st_of(struct pmt_leaf *leaf)
{
	return (struct pmt_st *)leaf;
}

/* Open the node, waiting for who closes it; the old one is closed before. */
int pmt_st_reopen(struct pmt_st *);
/* The same, or go on with the one that was kept: *place is what was known of it. */
int pmt_st_open_node(struct pmt_st *, struct pmt_place *place);
/* While a cartridge is used, and no longer: who finds it knows that there was one. */
void pmt_st_keep(struct pmt_st *);
void pmt_st_drop(struct pmt_st *);
void pmt_st_close(struct pmt_st *);
/* Close, but whoever is given what was kept can go on from here. */
void pmt_st_leave(struct pmt_st *);
int pmt_st_op(struct pmt_st *, short op, int count);
/* The same, once more if it met a unit attention, which st tells as EIO. */
int pmt_st_op_again(struct pmt_st *, short op, int count);
int pmt_st_status(struct pmt_st *, struct mtget *);
/* -ENOTSUP: the drive has no READ POSITION. */
int pmt_st_lbn(struct pmt_st *, __u64 *lbn);
/* leaf->place as the drive tells it, or unknown. */
void pmt_st_where(struct pmt_st *);
/* Behind an error: no motion from there, forward or back, can have ended where the drive
 * is.  It was reset, or has another cartridge; st has told EIO and nothing else. */
bool pmt_st_astray(struct pmt_st *, const struct pmt_place *from, bool back);
/* Leave no automatic filemark behind. */
void pmt_st_idle(struct pmt_st *);
/* What an error is for a leaf; where the drive stands is asked anew. */
int pmt_st_failed(struct pmt_st *, int rc);
/* The drive did not take a setting: -ENOTSUP, but if it is told that way that it was reset
 * or has another cartridge.  Without READ POSITION nobody knows. */
int pmt_st_refused(struct pmt_st *, int rc);
/* MTFSR shows that data ends here; if it has passed a record, it is behind that. */
bool pmt_st_at_end(struct pmt_st *, bool *passed);
int pmt_st_set_block_size(struct pmt_st *, uint32_t size);
/* TEST UNIT READY: 0, -ENOMEDIUM, -ESTALE (28), -ECONNRESET (29), -EAGAIN (not
 * ready), -ENOTSUP (SG_IO is not allowed, or does not work). */
int pmt_st_test(struct pmt_st *);
/* A command of our own that gives data: 0, -EIO, -ENOTSUP as above. */
int pmt_st_ask(struct pmt_st *, const uint8_t *cdb, uint8_t cdb_length, void *buffer,
	       unsigned int size);
/* Of the medium in the drive: limits, identity; what is not told stays. */
void pmt_st_ask_limits(struct pmt_st *);
void pmt_st_ask_identity(struct pmt_st *);
void pmt_st_ask_protection(struct pmt_st *);
/* Options of st that would hide what the drive says. */
int pmt_st_set_options(struct pmt_st *);

/* st_parts.c */
void pmt_st_ask_partitions(struct pmt_st *);
/* The one that the drive says it stands in: 0, -EIO, -ENOTSUP. */
int pmt_st_partition(struct pmt_st *, uint32_t *partition);
/* A switch that st still owes is forgotten; what st does next it may begin with going
 * to where it was last in the partition where the drive is. */
void pmt_st_stay(struct pmt_st *);
/* Where one partition is all that can be used, and st knows to be in another: go there.
 * 0, -errno it does not get there. */
int pmt_st_first_partition(struct pmt_st *);
/* The next MTSEEK or MTREW goes to it.  -EINVAL: there is none. */
int pmt_st_enter(struct pmt_st *, uint32_t partition);
int pmt_st_format(struct pmt_leaf *, uint32_t count, int64_t megabytes, bool dry);
uint32_t pmt_st_partitions(struct pmt_leaf *);
void pmt_st_describe_partition(struct pmt_leaf *, uint32_t number,
			       struct pmt_leaf_partition *);

/* st_move.c */
#define PMT_ST_COUNT_MAX	0x7fffff	/* of SPACE and WRITE FILEMARKS */
void pmt_st_add(__u64 *value, uint64_t count);	/* if it is known */
/* Objects between the LBN from and where the drive stands; 0: not told. */
uint64_t pmt_st_passed(struct pmt_st *, uint64_t from);
int pmt_st_end_of_data(struct pmt_st *);	/* it is here: PMT_AT_EOD */
int pmt_st_rewind(struct pmt_st *);
/* Back to where it was before an attempt. */
int pmt_st_come_back(struct pmt_st *, const struct pmt_place *);
int pmt_st_locate(struct pmt_leaf *, uint32_t partition, uint64_t lbn);
int pmt_st_to_eod(struct pmt_leaf *);
int pmt_st_space_records(struct pmt_leaf *, int64_t count, int64_t *left);
int pmt_st_space_marks(struct pmt_leaf *, int64_t count, int64_t *left);

/* st_data.c */
int pmt_st_write(struct pmt_leaf *, const void *data, size_t length);
int pmt_st_write_blocks(struct pmt_leaf *, const void *data, uint32_t size,
			uint32_t count, uint32_t *done);
int pmt_st_marks(struct pmt_leaf *, uint32_t count, uint32_t *done);
int pmt_st_marks_ahead(struct pmt_leaf *, uint32_t count, uint32_t *done);
int pmt_st_sync(struct pmt_leaf *);
int pmt_st_cut(struct pmt_leaf *);
int pmt_st_cut_by_mark(struct pmt_leaf *);
int pmt_st_read(struct pmt_leaf *, void *buffer, size_t size, size_t *length);
int pmt_st_read_blocks(struct pmt_leaf *, void *buffer, uint32_t size, uint32_t count,
		       uint32_t *done);

/* st.c */
int pmt_st_open(struct pmt_drive *, const struct pmt_spec *, const struct pmt_st_calls *);

#endif
