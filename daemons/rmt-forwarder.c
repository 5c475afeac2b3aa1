// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * rmt-forwarder: serve a unit by a tape drive on another host
 *
 * It makes the specification of an rmt drive of its options; a word that is one already
 * (as the daemon says it from which a unit is taken over) is taken as it is.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "daemon.h"

static const char help[] =
	"Usage: rmt-forwarder [OPTION ...] UNIT [USER@]HOST:DEVICE\n"
	"Serve pseudo tape UNIT (a number, or a node) by a tape drive on another host,\n"
	"by ssh and the RMT protocol, as pmt-drives(7) says of remote drives.\n"
	"\n"
	"      --config FILE         configuration for ssh\n"
	"      --rmt COMMAND         the server there (default /etc/rmt)\n"
	"      --command TEXT        instead of ssh: what speaks RMT, for sh\n"
	"      --os linux|bsd        of a server that knows no version of the protocol\n"
	"      --window SIZE         sent without waiting for answers (default 16M)\n"
	"      --reconnect SECONDS   how long to try, when the line is lost (default 30)\n"
	"      --room SIZE           that the drive keeps behind early warning (16M)\n"
	"The unit:\n"
	"  -c, --create              make it if it does not exist\n"
	"      --take-over           from the daemon that serves it\n"
	"      --ring SIZE, --recovery SECONDS, --eot st|hold\n"
	"\n"
	"  -q, --quiet               -v, --verbose\n"
	"  -h, --help                -V, --version\n"
	"\n"
	"Exit: 0 stopped by a signal, 1 failure, 2 usage,\n"
	"3 the unit was deleted or took the slave end away, 4 another cartridge.\n";

enum { CONFIG, RMT, COMMAND, OS, WINDOW, RECONNECT, ROOM, NUMBER };

static const struct option options[] = {
	[CONFIG] = { "config", required_argument, NULL, DAEMON_OPTION + CONFIG },
	[RMT] = { "rmt", required_argument, NULL, DAEMON_OPTION + RMT },
	[COMMAND] = { "command", required_argument, NULL, DAEMON_OPTION + COMMAND },
	[OS] = { "os", required_argument, NULL, DAEMON_OPTION + OS },
	[WINDOW] = { "window", required_argument, NULL, DAEMON_OPTION + WINDOW },
	[RECONNECT] = { "reconnect", required_argument, NULL, DAEMON_OPTION + RECONNECT },
	[ROOM] = { "room", required_argument, NULL, DAEMON_OPTION + ROOM },
	[NUMBER] = { 0 },
};

/* As the drive calls them. */
static const char *const keys[NUMBER] = {
	[CONFIG] = "config", [RMT] = "rmt", [COMMAND] = "command", [OS] = "os",
	[WINDOW] = "window", [RECONNECT] = "recovery", [ROOM] = "room",
};

struct forwarder {
	const char *values[NUMBER];
	bool taken;		/* the drive is that of the daemon before */
};

static int take_option(void *own, int val, const char *argument)
{
	struct forwarder *f = own;

	f->values[val - DAEMON_OPTION] = argument;
	return 0;
}

static bool is_specification(const char *word)
{
	return strncmp(word, "rmt:", 4) == 0 && strchr(word + 4, ':');
}

static bool has_options(const struct forwarder *f)
{
	for (int i = 0; i < NUMBER; i++)
		if (f->values[i])
			return true;
	return false;
}

static int check(void *own, char **words, size_t n)
{
	struct forwarder *f = own;
	const char *error = NULL;

	f->taken = n == 1 && !*words[0];
	if (n == 0)
		error = "which drive? [USER@]HOST:DEVICE";
	else if (n > 1)
		error = "only one drive; tape-mirror serves several";
	else if (f->taken && has_options(f))
		error = "options of the drive are for a [USER@]HOST:DEVICE: without one, it is "
			"taken over as it is";
	else if (is_specification(words[0]) && has_options(f))
		error = "options of the drive are part of its specification, rmt:HOST:DEVICE?...";
	if (error)
		daemon_log(LOG_ERR, "%s", error);
	return error ? -EINVAL : 0;
}

/* What means something in a specification is to mean nothing. */
static void add_word(FILE *text, const char *word)
{
	for (; *word; word++) {
		if (strchr("?|,()&=\\ ", *word))
			fputc('\\', text);
		fputc(*word, text);
	}
}

static char *specification(const struct forwarder *f, const char *word)
{
	char *spec = NULL;
	size_t size;
	FILE *text = open_memstream(&spec, &size);
	char before = '?';

	if (!text)
		return NULL;
	fputs("rmt:", text);
	add_word(text, word);
	for (int i = 0; i < NUMBER; i++) {
		if (!f->values[i])
			continue;
		fprintf(text, "%c%s=", before, keys[i]);
		add_word(text, f->values[i]);
		before = '&';
	}
	if (fclose(text) == 0)
		return spec;
	free(spec);
	return NULL;
}

static int refuse_taken(const char *spec, char **error)
{
	if (asprintf(error, "the unit has no drive of rmt but %s; tape-mirror --take-over "
		     "serves that", spec) < 0)
		*error = NULL;
	return *error ? -EINVAL : -ENOMEM;
}

static int open_remote(void *own, char **words, size_t n, const struct pmt_keeper *keeper,
		       struct pmt_drive **drive, char **error)
{
	const struct forwarder *f = own;
	_cleanup_free_ char *spec = NULL;

	(void)n;
	if (is_specification(words[0]))
		return pmt_drive_open_kept(drive, words[0], keeper, error);
	if (f->taken)
		return refuse_taken(words[0], error);
	spec = specification(f, words[0]);
	return spec ? pmt_drive_open_kept(drive, spec, keeper, error) : -ENOMEM;
}

static const struct daemon_ops rmt_forwarder = {
	.name = "rmt-forwarder",
	.help = help,
	.options = options,
	.option = take_option,
	.check = check,
	.open = open_remote,
};

int main(int argc, char **argv)
{
	struct forwarder forwarder = { .taken = false };

	return daemon_main(&rmt_forwarder, &forwarder, argc, argv);
}
