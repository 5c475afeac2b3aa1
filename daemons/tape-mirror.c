// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tape-mirror: serve a unit by several drives, each of which has every record
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "daemon.h"

static const char help[] =
	"Usage: tape-mirror [OPTION ...] UNIT SPEC [SPEC ...]\n"
	"       tape-mirror --take-over [OPTION ...] UNIT [SPEC ...]\n"
	"       tape-mirror [OPTION ...] --config FILE\n"
	"Serve pseudo tape UNIT (a number, or a node) by drives: every record to each.\n"
	"A single SPEC is served as it is.  SPEC is described in pmt-drives(7).\n"
	"      --policy all|degrade  if a copy fails: the error goes to the application\n"
	"                            (default), or it is dropped and the others go on\n"
	"      --min N               with degrade: copies that have to live (default 1)\n"
	"      --config FILE         UNIT, SPECs and options are there\n"
	"      --prepare             only make the unit, and set what is said of it\n"
	"The unit:\n"
	"  -c, --create              make it if it does not exist\n"
	"      --take-over           from the daemon that serves it; without SPEC as that\n"
	"                            one did.  If this one fails, that one goes on\n"
	"      --ring SIZE           ring of a new unit, a power of two (default 64M)\n"
	"      --recovery SECONDS    how long it waits for a next server, or forever\n"
	"      --eot st|hold         at early warning every other write fails, or all do\n"
	"\n"
	"  -q, --quiet               -v, --verbose       fewer or more messages\n"
	"  -h, --help                -V, --version\n"
	"Exit: 0 stopped by a signal, 1 failure, 2 usage or specification,\n"
	"3 the unit was deleted or took the slave end away, 4 another cartridge.\n";

struct mirror {
	const char *policy;
	unsigned long min;
};

enum { OPTION_POLICY = DAEMON_OPTION, OPTION_MIN };

static const struct option options[] = {
	{ "policy", required_argument, NULL, OPTION_POLICY },
	{ "min", required_argument, NULL, OPTION_MIN },
	{ 0 },
};

static int take_min(struct mirror *m, const char *argument)
{
	char *end;

	m->min = strtoul(argument, &end, 10);
	if (*argument >= '0' && *argument <= '9' && !*end && m->min && m->min < 1000)
		return 0;
	daemon_log(LOG_ERR, "min %s: wanted is a number of copies, 1 or more", argument);
	return -EINVAL;
}

static int take_option(void *own, int val, const char *argument)
{
	struct mirror *m = own;

	if (val == OPTION_MIN)
		return take_min(m, argument);
	if (strcmp(argument, "all") && strcmp(argument, "degrade")) {
		daemon_log(LOG_ERR, "policy %s: wanted is all or degrade", argument);
		return -EINVAL;
	}
	m->policy = argument;
	return 0;
}

static int check(void *own, char **words, size_t n)
{
	const struct mirror *m = own;
	const char *error = NULL;

	(void)words;
	if (n == 0)
		error = "which drives? One SPEC or more, see pmt-drives(7)";
	else if (n == 1 && (m->policy || m->min))
		error = "--policy and --min are for two SPECs or more";
	else if (m->min && (!m->policy || strcmp(m->policy, "degrade")))
		error = "--min is for --policy degrade";
	else if (m->min > n)
		error = "--min asks for more copies than there are SPECs";
	if (error)
		daemon_log(LOG_ERR, "%s", error);
	return error ? -EINVAL : 0;
}

static int open_mirror(void *own, char **words, size_t n, const struct pmt_keeper *keeper,
		       struct pmt_drive **drive, char **error)
{
	const struct mirror *m = own;
	char text[64] = "";
	int length = 0;

	if (n == 1)
		return pmt_drive_open_kept(drive, words[0], keeper, error);
	if (m->policy)
		length = snprintf(text, sizeof(text), "policy=%s", m->policy);
	if (m->min)
		snprintf(text + length, sizeof(text) - length, "&min=%lu", m->min);
	return pmt_mirror_open_kept(drive, (const char *const *)words, n,
				    *text ? text : NULL, keeper, error);
}

static const struct daemon_ops tape_mirror = {
	.name = "tape-mirror",
	.help = help,
	.options = options,
	.option = take_option,
	.check = check,
	.open = open_mirror,
	.configured = true,
};

int main(int argc, char **argv)
{
	struct mirror mirror = { .policy = NULL };

	return daemon_main(&tape_mirror, &mirror, argc, argv);
}
