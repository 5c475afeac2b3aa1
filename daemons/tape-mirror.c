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
	"      --twins same|any      refuse copies that are no twins (default), or not\n"
	"      --verify yes|no       read each record from all copies, and compare\n"
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
	"3 the unit was deleted or took the slave end away, 4 the wrong cartridges.\n";

enum { OPTION_POLICY = DAEMON_OPTION, OPTION_MIN, OPTION_TWINS, OPTION_VERIFY };

static const struct option options[] = {
	{ "policy", required_argument, NULL, OPTION_POLICY },
	{ "min", required_argument, NULL, OPTION_MIN },
	{ "twins", required_argument, NULL, OPTION_TWINS },
	{ "verify", required_argument, NULL, OPTION_VERIFY },
	{ 0 },
};

static int take_option(void *own, int val, const char *argument)
{
	for (const struct option *option = options; option->name; option++)
		if (option->val == val)
			return policy_take(own, daemon_log, option->name, argument);
	return -EINVAL;
}

static int check(void *own, char **words, size_t n)
{
	const char *error = policy_check(own, n);

	(void)words;
	if (error)
		daemon_log(LOG_ERR, "%s", error);
	return error ? -EINVAL : 0;
}

static void add_option(char *text, size_t size, const char *key, const char *value)
{
	size_t used = strlen(text);

	if (value)
		snprintf(text + used, size - used, "%s%s=%s", used ? "&" : "", key, value);
}

static int open_mirror(void *own, char **words, size_t n, const struct pmt_keeper *keeper,
		       struct pmt_drive **drive, char **error)
{
	const struct policy *p = own;
	char text[96] = "", min[24];

	if (n == 1)
		return pmt_drive_open_kept(drive, words[0], keeper, error);
	snprintf(min, sizeof(min), "%lu", p->min);
	add_option(text, sizeof(text), "policy", p->policy);
	add_option(text, sizeof(text), "min", p->min ? min : NULL);
	add_option(text, sizeof(text), "twins", p->twins);
	add_option(text, sizeof(text), "verify", p->verify);
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
	struct policy policy = { .policy = NULL };

	return daemon_main(&tape_mirror, &policy, argc, argv);
}
