/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * shadow: what a tape must look like by now, learnt from the answers to steps
 *
 * Steps are lines of the language of steps.h.  The shadow knows the objects of the
 * cartridge by their logical numbers, as far as it can, where the tape is, and so
 * much of the session's state as is needed to choose what comes next.  What it is
 * not sure of it calls unknown; an answer to "pos" tells it the place again.
 */
#ifndef SHADOW_H
#define SHADOW_H

#include <stdbool.h>

#define STEP_LINE 80
#define STEP_WORDS 8
#define STEP_WORD 16
#define SHADOW_OBJECTS 65536

struct step {
	char line[STEP_LINE];
	char words[STEP_WORDS][STEP_WORD];	/* words[0] is the verb */
	int n;
};

/* False if it is no line that the random mode has. */
bool step_parse(struct step *, const char *line);
bool step_is(const struct step *, const char *verb);
bool step_is_op(const struct step *, const char *name);
bool step_is_ctl(const struct step *, const char *verb);
long step_number(const struct step *, int word, long otherwise);
long step_hex(const struct step *, int word);

#define OPTION_READ_AHEAD 0x4
#define OPTION_TWO_FM 0x10
#define OPTION_SYSV 0x1000

enum { A_MARK = 0, UNKNOWN = -1 };	/* else the length of a record */

struct shadow {
	/* the cartridge */
	bool loaded, protected;
	int objects[SHADOW_OBJECTS];
	long count;
	bool end_known;		/* nothing is behind the objects */

	/* the drive */
	long place;		/* UNKNOWN, or the logical number */
	long part;		/* bytes that were read of the block there */
	long block;		/* block size */
	bool attention;		/* is pending */
	long attention_asc;
	long failing, failures;	/* the operation, and how many are left */
	bool not_ready;

	/* the session */
	bool open, nonblocking, read_only, rewinding;
	bool empty;		/* opened without a cartridge that is ready */
	bool unloaded;		/* by itself */
	bool writing;		/* a mark is written before it moves */
	bool doubtful;		/* or is it not? */
	bool buffered;		/* no direct I/O: a read of a part of a block was seen */
	bool read_failed;	/* the last transfer was a read, and failed */
	bool file_known, block_known;	/* st's counters are not -1, for sure */
	bool mark_ahead;	/* st may have seen a mark that the reader has not */
	unsigned long options;
	unsigned long mistakes;	/* it was sure, and wrong */
};

void shadow_reset(struct shadow *);
void shadow_learn(struct shadow *, const struct step *, const char *answer);

/* How many blocks st asks the drive for, for a read of a size. */
long shadow_blocks_asked(const struct shadow *, long size);

#endif
