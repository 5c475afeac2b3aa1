/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What pmt map has seen of a tape: map.c fills it, map-svg.c draws it. */
#ifndef MAP_H
#define MAP_H

#include "pmt-tool.h"

#define MAP_STEPS 64		/* of a file's profile */

/* Records that follow each other; all steps of a file but the last are of as many. */
struct map_step {
	uint64_t bytes;
	uint32_t records, largest;
};

struct map_file {
	uint32_t volume;
	uint64_t number, lbn;		/* where it begins */
	uint64_t records, bytes, damaged;
	uint32_t smallest, largest;	/* of its records */
	bool mark;			/* that ends it */
	uint32_t n_steps, per_step;
	struct map_step *steps;
};

struct map {
	const char *spec;
	struct map_file *files;
	size_t n_files, room;
	struct pmt_object *damage;
	size_t n_damage, damage_room;
	struct pmt_tally tally;
	struct pmt_object end;
	bool complete;
};

/* Files from i on that are nothing but a mark, in the same volume. */
size_t map_empty_files(const struct map *, size_t i);
/* "512", or "512-10240" */
struct range_text { char text[32]; };
struct range_text map_sizes(const struct map_file *);

/* map-svg.c: 0 or -errno, said */
int map_draw(const struct map *, const char *path);

#endif
