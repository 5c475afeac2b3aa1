/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tape-mirror is told of a unit, in a file or on the command line: to be served
 * (main.c, tape-mirror.c), or looked at (pmt doctor).
 */
#ifndef PMT_DAEMON_CONFIG_H
#define PMT_DAEMON_CONFIG_H

#include <stddef.h>

#include "conf.h"

/* config.c: a file with the unit, its drives, and options.  To be freed in any case. */
struct config {
	const char *unit;
	char **drives;
	size_t n_drives;
	char **texts;		/* all values, which live as long */
	size_t n_texts;
};

/*
 * option() is given all other keys; -ENOENT: there is no such.  -errno: it was not read,
 * and a message has been logged.
 */
int config_read(struct config *, const char *path, conf_log log,
		int (*option)(void *context, const char *key, const char *value),
		void *context);
void config_free(struct config *);

/* policy.c: what a mirror is to do with its copies */
struct policy {
	const char *policy, *twins, *verify;	/* NULL: not said */
	unsigned long min;	/* 0: not said */
};

/* -ENOENT: no such key; -EINVAL: not understood, and a message has been logged. */
int policy_take(struct policy *, conf_log log, const char *key, const char *value);
/* Does it go with so many drives?  NULL, or why not. */
const char *policy_check(const struct policy *, size_t n_drives);

#endif
