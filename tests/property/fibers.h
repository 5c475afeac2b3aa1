/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads that are fibers: the library's threads, locks and conditions, linked by
 * --wrap, run one at a time, and which one goes on is decided by a seed.  So a run
 * is repeated by its seed, with all that its threads did to each other.
 *
 * fibers_random() is the one source of chance.  Fiber 0 is main(): it begins, and it
 * may always run.
 */
#ifndef FIBERS_H
#define FIBERS_H

#include <stdbool.h>
#include <stdint.h>

void fibers_begin(uint64_t seed);	/* all but main() must be over */
uint32_t fibers_random(uint32_t n);	/* below n */
bool fibers_chance(uint32_t one_in);

int fiber_new(void *(*run)(void *), void *argument);
bool fiber_is_over(int fiber);
void fiber_yield(void);			/* somebody goes on, perhaps this one */
/* The others, one of them; false: none can. */
bool fiber_others(void);
void fiber_block(const void *on);	/* until fiber_wake(on); not main() */
void fiber_wake(const void *on);

#endif
