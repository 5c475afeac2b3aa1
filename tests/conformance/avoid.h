/* SPDX-License-Identifier: GPL-2.0-or-later */
/* avoid: steps at which pmt differs from st on purpose */
#ifndef AVOID_H
#define AVOID_H

#include <stdbool.h>

struct shadow;
struct step;

/* How many reasons there are; they are listed in avoid.c. */
extern const unsigned int avoid_count;

const char *avoid_name(unsigned int reason);

/* The number of the first reason to leave the step out, or -1. */
int avoid_step(const struct shadow *, const struct step *, bool old_kernel);

#endif
