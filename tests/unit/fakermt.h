/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A server of RMT over the drive of fakest.h, as those that there are: a thread of
 * the test, at a socket to which the drive's command, this program again, leads.
 * The test sets what goes wrong, and looks at it while nothing is under way.
 */
#ifndef FAKERMT_H
#define FAKERMT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum fake_dialect { FAKE_PMT, FAKE_DUMP, FAKE_SCHILY, FAKE_GNU, FAKE_BSD, FAKE_DIALECTS };

struct fake_server {
	enum fake_dialect dialect;
	bool short_end;			/* ENOSPC is told as A0 */
	bool swapped;			/* the status is of the other byte order */
	bool away;			/* who connects is sent away at once */
	_Atomic bool mute;		/* who connects is not answered */
	unsigned int hold;		/* so many requests of data, before any is answered */
	bool linger;			/* before it answers, it waits for what else comes */
	_Atomic bool stuck;		/* it has a request of data, and does nothing */
	unsigned int lose;		/* the n-th request of data loses the connection: */
	unsigned int again;		/* ... and so does the next one, so many times */
	bool executed;			/* ... when it was executed */
	unsigned int broken;		/* ... and so many writes fail then */
	bool rewound;			/* ... and the tape is at its beginning then */
	int lose_op;			/* so does this operation, executed: MTWEOF, ... */
	bool extra;			/* the next write is answered twice, at once */
	const char *garbage;		/* instead of the next answer to data */
	/* What was done: */
	unsigned int connections, requests, ahead;
	int behind;			/* bytes that came behind what it was stuck at */
	int worst_op;			/* the largest number of an operation that came */
	unsigned int unknown;		/* what a server of this kind does not know */
	char word[64];			/* the flags of the last open */
};

extern struct fake_server server;

/* The dialect's server, with a blank cartridge, in a folder of its own. */
void fake_server_start(enum fake_dialect);
void fake_server_stop(void);
/* "rmt:tape@host:NAME?command=...", with what stands behind it. */
const char *fake_server_spec(const char *name, const char *options);
/* What main() does first: the command. */
void fake_server_pipe(int argc, char **argv);

#endif
