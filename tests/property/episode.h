/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One episode: drives, a mirror over them and an application, all by a seed. */
#ifndef EPISODE_H
#define EPISODE_H

#include <stdbool.h>
#include <stdint.h>

/* Where episodes are, for who looks from another process. */
struct progress {
	uint64_t seed;		/* of this episode */
	uint32_t step;
	uint64_t steps, kills, ends, errors, volumes, dropped, compared;
	uint64_t rejoins, rejoined;
	uint64_t verified, outvoted, undecided;	/* records; damaged of a copy */
	char failure[200];	/* empty: none */
};

extern struct progress *progress;
extern bool tracing;

/* At most so many steps.  What is wrong ends the process, by fail(). */
void episode(uint64_t seed, uint32_t steps);
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* world.c: the drives, and servers that come and go */
struct world {
	unsigned int n, min;
	bool degrade, verify;
	char spec[160];
	uint32_t kill_one_in;
	bool rejoining;		/* a copy is, as the library has said */
	unsigned int came;	/* the one that does count again, from 1 */
	bool gave_up;		/* the recovery time ran out: what waited is lost */
};

extern struct world world;

void world_begin(void);
void world_end(void);
void world_kill(void);
void world_restart(void);
void world_rejoin(unsigned int copy);
void world_others(void);	/* something goes on, or not */

/*
 * checker.c: what the application was told, and whether the drives hold it.  It reads
 * their contents alone.
 */
void model_begin(bool hold);
uint32_t model_at(void);
uint32_t model_end(void);
bool model_end_known(void);
uint64_t model_object(uint32_t lbn, uint32_t *length);	/* id; 0 a filemark */
void model_moved(uint32_t lbn);
void model_writes(void);	/* something is about to be written here */
void model_wrote(uint64_t id, uint32_t length);
void model_marked(void);
void model_refused(void);
void model_changes(bool);	/* of volumes: each copy at its time */
void model_volume(void);
/* An operation failed with EIO: may it?  What is known to be there, then. */
void model_failed(const char *what);
void model_given_up(void);	/* what waits for a server is lost */
void model_starts(void);	/* a write or mark is issued: is it at early warning? */
void check_acknowledged(bool waited, bool in_part);	/* it was told written */
void check_done(void);		/* what is done is on every copy; at any time */
void check_exactly(const char *when);	/* and nothing else */
void model_reads(void);		/* it is about to read here */
void check_read(int result, const void *data);
void check_enospc(uint32_t length);
bool model_may_not_append(void);

#endif
