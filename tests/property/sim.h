/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "sim:N", drive N of an episode: its medium, what is wrong with it, and how fast it
 * is.  The medium outlives servers; of a killed one nothing reaches it any more.
 *
 * Objects are kept as numbers.  prefix is a hash of all objects before, so that two
 * tapes hold the same up to a place if it is the same there.
 */
#ifndef SIM_H
#define SIM_H

#include <stdbool.h>
#include <stdint.h>

#define SIMS 4
#define OBJECTS_MAX 4096
#define VOLUMES_MAX 64

struct object {
	uint64_t id;		/* 0: a filemark; ~0: not as it was written */
	uint32_t length;
	uint64_t prefix;	/* of what is before it */
	uint64_t cost;		/* the same */
	uint32_t file, block;	/* the place */
};

/* Objects 0 to n - 1, and in [n] what is behind them all. */
struct contents {
	struct object objects[OBJECTS_MAX + 1];
	uint32_t n;
	uint32_t record_cost, mark_cost;
};

struct sim {
	struct contents tape;
	struct { uint32_t n; uint64_t prefix; } volumes[VOLUMES_MAX];
	uint32_t n_volumes;
	uint64_t id, unit_id, generation;	/* of the medium */
	/* What it is like: */
	uint64_t capacity, ew;		/* cost; 0: endless */
	bool tells_room, readable_beside;
	uint32_t pace;			/* how many others go on meanwhile, at most */
	uint32_t bad_spots;		/* one of so many records cannot be read; 0 */
	uint32_t damaged;		/* ... or reads as another, and nobody is told; 0 */
	bool damaged_beside;		/* ... also to who brings a copy back */
	uint32_t fail_in, fail_times;	/* writes until it fails; 0: never */
	bool fail_behind;		/* having written */
	uint32_t stuck_in;		/* commands until it is stuck; 0: never */
	uint32_t cut_fails_in;
	/* What it has done: */
	bool busy, stuck;
	uint32_t failed;		/* times */
	uint32_t cuts_failed;
};

extern struct sim sims[SIMS];

void contents_clear(struct contents *);
void contents_cut(struct contents *, uint32_t n);
/* id 0: a filemark */
void contents_add(struct contents *, uint64_t id, uint32_t length);
uint64_t contents_cost(const struct contents *, uint64_t id, uint32_t length);

/* What a record's bytes are. */
void record_fill(void *data, uint64_t id, uint32_t length);
uint64_t record_id(const void *data, uint32_t length);	/* ~0: they are not */

bool sim_is_bad(unsigned int drive, uint32_t lbn);

/* What a drive reads at a place: 0 a record, or as a leaf answers. */
struct found {
	int what;
	uint32_t length;
	unsigned char bytes[2048];
};

void sim_find(unsigned int drive, uint32_t lbn, struct found *);
bool sim_is_damaged(unsigned int drive, uint32_t lbn);
void sims_begin(void);		/* adds the kind */

#endif
