/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A model of the unit: what the two modules do of DESIGN, without a kernel.
 *
 *	slave.c	the ring, by kmod/ring.h, and the slave end as lib/server.c opens it;
 *		what is kept for the next server
 *	tape.c	the master end: window, early warning, what is acknowledged when, and
 *		what the application is told
 *
 * One unit; main() is its application.  A server is a fiber that opens the slave end;
 * each has a number of its own, and what a killed one still does reaches nobody.
 */
#ifndef UNIT_H
#define UNIT_H

#include <stdbool.h>
#include <stdint.h>

#include "../../kmod/ring.h"

#define UNIT_ID 0x1234567890abcdefull
#define UNIT_DATA (32u << 10)
#define UNIT_SLOTS_MAX 64u
#define UNIT_FD(server) (100000 + 2 * (int)(server))	/* and the eventfd behind it */

struct unit {
	struct pmt_ring ring;
	bool served;		/* a server is attached */
	uint32_t server;	/* number of the one that may be */
	uint32_t begun;		/* of the one that runs: another, if that is killed */
	/* After the last completed command: */
	struct pmt_place place;
	struct pmt_modes modes;
	uint64_t medium[PMT_MEDIUM_WORDS];
	bool present;		/* a medium was told of */
	uint64_t room;
	uint32_t cookie;
	struct pmt_limits limits;
	bool stale;		/* what was looked at has changed since */
	bool forgot;		/* what was behind an exception when the server went */
	bool broken;		/* the server broke the protocol */
};

extern struct unit unit;

/* slave.c */
void unit_begin(uint32_t slots);
void unit_collect(void);
void unit_look(void);
int unit_issue(struct pmt_command *, const void *data);	/* -EAGAIN: look again */
void unit_cancel(void);
void unit_lost(void);		/* the server is gone; another may come */
void unit_give_up(void);	/* none came in time */
void *unit_data(const struct pmt_command *);

/*
 * tape.c: what the application calls; 0 or a count, or -errno as st has it.
 * *at_end of marks: the tape's end, and not an error, stopped it.
 */
enum { TAPE_MARK = 1 << 20, TAPE_END };	/* results of reading, beside a length */

void tape_begin(bool buffered, enum pmt_eot);
int tape_write(const void *data, uint32_t length, uint32_t block_size);
int tape_marks(uint32_t count, bool immediate, bool *at_end);
int tape_read(void *data, uint32_t length);
void tape_read_ahead(unsigned int n, uint32_t length);
int tape_space(uint32_t kind, int64_t count);
int tape_locate(uint64_t lbn);
int tape_rewind(void);
int tape_unload(void);
int tape_test(void);
int tape_modes(bool buffered);
uint64_t tape_place(void);	/* PMT_UNKNOWN */
uint32_t tape_pending(void);	/* objects acknowledged and not done */
bool tape_relies(void);		/* of these one has no result */
bool tape_owes_error(void);	/* of what was acknowledged, to be told */
bool tape_unbuffered(void);	/* the last write was waited for */

/*
 * The caller's: let the others go on until done() is true.  It may kill the server
 * and begin another.
 */
void wait_until(bool (*done)(uint32_t), uint32_t number);

#endif
