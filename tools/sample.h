/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Units and their copies as they are at one time: what the kernel tells, and what the
 * daemons do.  Who takes a sample frees it, with all that hangs on it.
 */
#ifndef PMT_TOOL_SAMPLE_H
#define PMT_TOOL_SAMPLE_H

#include "pmt-tool.h"

struct sample_unit {
	struct pmt_unit_info info;
	struct process_text master, server;
	struct json_object *daemon;	/* its answer, or NULL: ... */
	int err;			/* ... why */
};

struct sample_copy {
	uint32_t unit;
	size_t number;			/* from 0 */
	struct json_object *top, *leaf;	/* of its drives; the unit's */
	struct json_object *rejoin;	/* while it does, or NULL; the unit's */
};

struct sample {
	double time;			/* seconds, of CLOCK_MONOTONIC */
	struct sample_unit *units;	/* by their numbers */
	size_t n_units;
	struct sample_copy *copies;	/* by the units', then their own */
	size_t n_copies;
};

/*
 * Of all units, or the tool's.  A daemon that does not answer for so many seconds is left
 * out.  -errno: as of pmt_unit_list and pmt_unit_get, and there is nothing to free.
 */
int sample_take(struct tool *, unsigned int patience, struct sample **);
void sample_free(struct sample *);

#endif
