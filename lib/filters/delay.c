// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * delay: sleeps before the commands that it is told, for tests of what happens
 * meanwhile.  op=NAME (any), ms=N, every=N (1): so many pass, and the last of them sleeps.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "internal.h"

struct delay {
	struct pmt_drive drive;
	char op[16];
	uint64_t ms, every;
	uint64_t met;
};

static int delay_open(struct pmt_drive *drive, const struct pmt_spec *spec)
{
	struct delay *delay = (struct delay *)drive;
	const char *op = "any";
	int rc;

	pmt_spec_string(spec, "op", &op);
	if (strcmp(op, "any") && !pmt_op_known(op))
		return pmt_spec_refuse(spec, "op", "any or a command's name");
	strncpy(delay->op, op, sizeof(delay->op) - 1);
	rc = pmt_spec_number(spec, "ms", 0, 3600 * 1000, &delay->ms);
	if (rc)
		return rc == -ENOENT ? pmt_spec_refuse(spec, "ms", "a time") : rc;
	delay->every = 1;
	rc = pmt_spec_number(spec, "every", 1, INT64_MAX, &delay->every);
	return rc && rc != -ENOENT ? rc : pmt_spec_unused(spec);
}

void pmt_delay(uint64_t ms)
{
	struct timespec time = { .tv_sec = (time_t)(ms / 1000),
				 .tv_nsec = (long)(ms % 1000) * 1000000 };

	while (ms && clock_nanosleep(CLOCK_MONOTONIC, 0, &time, &time) == EINTR)
		;
}

static void delay_execute(struct pmt_drive *drive, struct pmt_request *req)
{
	struct delay *delay = (struct delay *)drive;
	bool meant = strcmp(delay->op, "any") == 0 ||
		     strcmp(delay->op, pmt_op_name(req->cmd.op)) == 0;

	if (meant && ++delay->met % delay->every == 0)
		pmt_delay(delay->ms);
	pmt_drive_execute(drive->child, req);
}

const struct pmt_drive_ops pmt_delay_drive = {
	.name = "delay",
	.size = sizeof(struct delay),
	.open = delay_open,
	.execute = delay_execute,
	.transparent = true,
};
