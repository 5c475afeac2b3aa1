// SPDX-License-Identifier: GPL-2.0-or-later
/* pmt rejoin: bring a copy back that its server has dropped. */
#include <stdio.h>
#include <string.h>

#include "pmt-tool.h"

int verb_rejoin(struct tool *t)
{
	_cleanup_free_ char *refusal = NULL;
	_cleanup_close_ int fd = -1;
	char *end;
	unsigned long copy = strtoul(t->words[0], &end, 10);
	int err;

	if (*end || !copy || copy > 1000) {
		fprintf(stderr, "pmt: COPY is a number, as pmt status shows them, not '%s'\n",
			t->words[0]);
		return TOOL_USAGE;
	}
	fd = socket_connect(t->unit);
	err = fd < 0 ? fd : socket_rejoin(fd, (int)copy, t->words[1], &refusal);
	if (err == 1)
		printf("unit %u: copy %lu counts from the next unload on: no good copy can be read "
		       "while it is written\n", t->unit, copy);
	if (err >= 0)
		return TOOL_OK;
	fprintf(stderr, "pmt: unit %u: %s\n", t->unit, refusal ? refusal : socket_trouble(err));
	return TOOL_FAILED;
}
