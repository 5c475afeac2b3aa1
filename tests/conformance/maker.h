/* SPDX-License-Identifier: GPL-2.0-or-later */
/* maker: makes up steps that are worth being tried, at what the shadow knows */
#ifndef MAKER_H
#define MAKER_H

#include "shadow.h"

#include <stdint.h>

struct maker {
	uint64_t state;
	unsigned int tag;	/* of the last record */
	bool look, ask;		/* stat and pos are due */
	struct step step;	/* the last one */
};

void maker_start(struct maker *, uint64_t seed, uint64_t episode);
unsigned long maker_below(struct maker *, unsigned long n);

/* How the episode begins: 0 to 3 lines. */
bool maker_first(struct maker *, int i);
void maker_next(struct maker *, const struct shadow *);

#endif
