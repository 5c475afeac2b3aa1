/* SPDX-License-Identifier: GPL-2.0-or-later */
/* random: two tape devices are driven alike, and must answer alike */
#ifndef RANDOM_H
#define RANDOM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* One of the two: a tape device, or what a test has in its place. */
struct random_side {
	/* A step and its answer, which is valid until the next. */
	const char *(*step)(void *of, const char *line);
	/* Closes what is open. */
	void (*close)(void *of);
	void *of;
};

struct random_run {
	uint64_t seed;
	unsigned long steps;	/* how many at least */
	unsigned long first;	/* the first episode's number */
	bool old_kernel;	/* one is st of before Linux 7 */
	bool verbose;		/* print each step */
	struct random_side sides[2];
	FILE *out;
};

/* 0 the two are alike, 1 they differ, < 0 it can not be done. */
int random_run(const struct random_run *);

/* The same for steps that are written down; each "# ..." starts afresh. */
int random_script(const struct random_run *, FILE *script);

/* Do the words ask for it?  Then it is all that the program does. */
bool random_wanted(int argc, char **argv);
int random_main(int argc, char **argv);

#endif
