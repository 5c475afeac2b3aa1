/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Formats of other programs (simh.c, aws.c): they have no index and no checksums.
 *
 * The whole file is looked through when it is opened, which proves that the rules of
 * its format are kept, and gives an index in memory: every PMT_SCAN_STRIDEth object.
 * A format says what is at an offset (struct pmt_scan_rules) and how a record is read
 * and written; all else is here.  Its state begins with a struct pmt_scan.
 */
#ifndef PMT_SCAN_H
#define PMT_SCAN_H

#include "format.h"

#define PMT_SCAN_STRIDE 64u
#define PMT_SCAN_HEADER 6u	/* bytes that may_begin() looks at */

struct pmt_point {
	uint64_t offset, lbn, file, block;
};

struct pmt_scan_object {
	enum { PMT_SCAN_RECORD, PMT_SCAN_MARK, PMT_SCAN_SKIP, PMT_SCAN_END } kind;
	bool bad;		/* a record with an error */
	bool odd;		/* AWS: its chunks do not tell each other's length */
	bool packed;		/* AWS: compressed */
	uint32_t length;	/* of the record, in the file */
	uint32_t before, last;	/* AWS: lengths of the chunk before it, and of its last */
	uint64_t size;		/* of all, in the file */
};

struct pmt_scan_rules {
	/* What is at offset; -EBADMSG: nothing that keeps the rules, or not whole. */
	int (*get)(struct pmt_tape *, uint64_t offset, struct pmt_scan_object *);
	/* The next one of the file, while it is looked through.  Optional. */
	void (*seen)(struct pmt_tape *, const struct pmt_point *,
		     const struct pmt_scan_object *);
	/*
	 * Can what is at offset be the record that was being written when the power
	 * failed?  It is then the last thing in the file, and not longer than a record.
	 * If good ones follow, it is damage, and nothing may be cut.
	 */
	bool (*torn)(struct pmt_tape *, uint64_t offset);
	/* Behind damage: could a record begin so; does one begin here? */
	bool (*may_begin)(const uint8_t *header);
	bool (*begins)(struct pmt_tape *, uint64_t offset);
};

struct pmt_hole {
	uint64_t offset, size;
};

struct pmt_scan {
	const struct pmt_scan_rules *rules;
	struct pmt_point *points;	/* of LBN 0, STRIDE, 2 * STRIDE, ... */
	size_t count, room;
	struct pmt_point here;		/* of the last search */
	struct pmt_hole *holes;		/* damage that is stepped over */
	size_t n_holes;
	uint64_t records;		/* that hold data */
};

/* Sound records with data at the beginning of the file, up to most. */
uint64_t pmt_scan_probe(struct pmt_tape *, const struct pmt_scan_rules *, uint64_t most);
/* size: of the format's state.  The file is as it was; -EBADMSG: the rules are broken
 * at tape->end. */
int pmt_scan_open(struct pmt_tape *, const struct pmt_scan_rules *, size_t size);
/* When it is not going to be refused: cut what is torn, or say that it is. */
int pmt_scan_settle(struct pmt_tape *);
/* The message for broken rules.  -EINVAL. */
int pmt_scan_refuse(struct pmt_tape *, const char *hint);
void pmt_scan_close(struct pmt_tape *);
/* The object at lbn, which is before the end of data. */
int pmt_scan_find(struct pmt_tape *, uint64_t lbn, struct pmt_point *, struct pmt_scan_object *);
/* lbn was read: the next one is where to look first. */
void pmt_scan_passed(struct pmt_tape *, struct pmt_point *, const struct pmt_scan_object *);
/* Write iov, which is the object, at the end of data. */
int pmt_scan_append(struct pmt_tape *, struct iovec *iov, int count,
		    const struct pmt_scan_object *);
/* Is there nothing but zeros from offset on? */
bool pmt_scan_zeros(struct pmt_tape *, uint64_t offset);

/* Of struct pmt_format, all alike: */
#define PMT_SCAN_OPS \
	.close = pmt_scan_close, \
	.owed = pmt_scan_owed, \
	.sync = pmt_scan_sync, \
	.cut = pmt_scan_cut, \
	.offset = pmt_scan_offset, \
	.place = pmt_scan_place, \
	.find_mark = pmt_scan_find_mark

uint64_t pmt_scan_owed(struct pmt_tape *, uint64_t lbn);
int pmt_scan_sync(struct pmt_tape *);
int pmt_scan_cut(struct pmt_tape *, uint64_t lbn);
int pmt_scan_offset(struct pmt_tape *, uint64_t lbn, uint64_t *offset);
int pmt_scan_place(struct pmt_tape *, uint64_t lbn, uint64_t *file, uint64_t *block);
int pmt_scan_find_mark(struct pmt_tape *, uint64_t mark, uint64_t *lbn);

#endif
