/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pmt-rmt: its configuration.  It serves no unit and shares nothing with the daemons
 * of daemon.h.
 */
#ifndef PMT_DAEMON_RMT_H
#define PMT_DAEMON_RMT_H

#include <stdbool.h>
#include <stdlib.h>

#include <pmt.h>

#include "conf.h"

/* A section: one tape, by several names. */
struct rmt_entry {
	char *section;
	char *drive;			/* its specification */
	char *names[2];			/* blank between them; [1] those that rewind */
	char *state;			/* where its place is kept */
	bool readonly, short_writes;
	enum pmt_eot eot;
	enum pmt_rmt_numbers numbers;
	int line;
};

struct rmt_conf {
	const char *path;
	char *folder;			/* of the states */
	struct rmt_entry *entries;
	size_t n_entries;
};

/*
 * rmt-conf.c: 0 or -errno, and the message has been logged.  A configuration that
 * was not loaded whole is to be freed, too.
 */
int rmt_conf_load(struct rmt_conf *, const char *path, conf_log log);
void rmt_conf_free(struct rmt_conf *);
/* -ENOENT: it is not listed. */
int rmt_conf_find(const struct rmt_conf *, const char *name, struct pmt_rmt_tape *);
/* A message, to standard error. */
void rmt_log(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
