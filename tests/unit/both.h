/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A drive that is tried by chance (random()): the same commands go to "mem:NAME", and
 * what is answered must be the same.
 */
#ifndef BOTH_H
#define BOTH_H

#include "memleaf.h"

#define BOTH_RECORD	3000	/* bytes, at most */

struct both {
	struct rig rig, ref;
	char data[2][BOTH_RECORD];
	int steps;
	unsigned int op;	/* of the last command */
};

struct both *both_new(const char *spec, const char *name);
struct both *both_take(struct pmt_drive *, const char *name);
void both_free(struct both *);
/* One command to both; false: the drive has failed, and says so. */
bool both_do(struct both *);

#endif
