// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmt: the table of verbs, the command line, and what to say about errors
 *
 * The options of all verbs are one table; a verb names those that it takes.
 * The help texts are made of the same two tables.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "pmt-tool.h"

enum {
	JSON = 1 << 0, RECOVERY = 1 << 1, EOT = 1 << 2, RING = 1 << 3, HELP = 1 << 4,
	NEEDS_ONE = 1 << 5,	/* without an option there is nothing to do */
	NO_KERNEL = 1 << 6,	/* the server is asked, not the kernel */
};

enum wants_unit { NO_UNIT, MAY_UNIT, MUST_UNIT, UNIT_AND_WORDS };

static const struct verb {
	const char *name, *summary;
	enum wants_unit wants;
	unsigned int options;
	/* Either: a file of its own, or one call. */
	int (*run)(struct tool *);
	int (*call)(struct pmt_control *, uint32_t unit);
} verbs[] = {
	{ "new", "make a unit",
	  MAY_UNIT, RING | RECOVERY | EOT | JSON, .run = verb_new },
	{ "del", "delete a unit that nobody uses",
	  MUST_UNIT, 0, .call = pmt_unit_delete },
	{ "list", "show the units",
	  NO_UNIT, JSON, .run = verb_list },
	{ "status", "show all about a unit and its copies",
	  MAY_UNIT, JSON, .run = verb_status },
	{ "watch", "show events as they come",
	  MAY_UNIT, JSON, .run = verb_watch },
	{ "set", "change a unit",
	  MUST_UNIT, RECOVERY | EOT | NEEDS_ONE, .run = verb_set },
	{ "abort", "fail all that waits, detach the server",
	  MUST_UNIT, 0, .call = pmt_unit_abort },
	{ "detach", "take the server away, keep what waits",
	  MUST_UNIT, 0, .call = pmt_unit_detach },
	{ "control", "for tests: tell its drives what happens",
	  UNIT_AND_WORDS, NO_KERNEL, .run = verb_control },
};
#define N_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static const struct tool_option {
	struct option option;
	const char *argument, *help;
} options[] = {
	{ { "ring", required_argument, NULL, RING }, "SIZE",
	  "size of the ring, a power of two: 1M to 1G (64M)" },
	{ { "recovery", required_argument, NULL, RECOVERY }, "SECONDS",
	  "wait for a next server this long, or forever (30)" },
	{ { "eot", required_argument, NULL, EOT }, "st|hold",
	  "at early warning every other write fails, or all (st)" },
	{ { "json", no_argument, NULL, JSON }, "", "for programs: JSON" },
	{ { "help", no_argument, NULL, HELP }, "", "this text" },
};
#define N_OPTIONS (sizeof(options) / sizeof(options[0]))

static void print_help(FILE *to)
{
	static const char *const unit[] = { "", "[UNIT]", "UNIT", "UNIT ..." };

	fputs("Usage: pmt COMMAND [OPTION ...] [UNIT]\n"
	      "Make, watch and delete pseudo tapes.\n\n", to);
	for (const struct verb *v = verbs; v < verbs + N_VERBS; v++)
		fprintf(to, "  %-8s%-9s%s\n", v->name, unit[v->wants], v->summary);
	fputs("\n"
	      "UNIT is a number, or one of the nodes: pmtm0, /dev/npmtm0, /dev/pmts0.\n"
	      "pmt COMMAND --help shows the options of a command.\n\n"
	      "  -h, --help     this text\n"
	      "  -V, --version  the version\n\n"
	      "Exit: 0, 1 failure, 2 usage.\n", to);
}

static int print_verb_help(const struct verb *v)
{
	static const char *const unit[] = { "", " [UNIT]", " UNIT", " UNIT [VERB [NUMBER ...]]" };
	bool has_options = v->options & ~(unsigned int)NO_KERNEL;

	printf("Usage: pmt %s%s%s\n%s\n\n", v->name, has_options ? " [OPTION ...]" : "",
	       unit[v->wants], v->summary);
	for (const struct tool_option *o = options; o < options + N_OPTIONS; o++)
		if ((v->options | HELP) & o->option.val)
			printf("  %s --%-8s %-8s %s\n", o->option.val == HELP ? "-h," : "   ",
			       o->option.name, o->argument, o->help);
	return TOOL_OK;
}

static void log_message(int priority, const char *message)
{
	if (priority < LOG_DEBUG)
		fprintf(stderr, "pmt: %s\n", message);
}

static int usage(const char *verb)
{
	fprintf(stderr, "Try 'pmt %s%s--help'.\n", verb, *verb ? " " : "");
	return TOOL_USAGE;
}

/* -1: go on; else the exit code. */
static int take_options(struct tool *t, const struct verb *v, int argc, char **argv)
{
	struct option known[N_OPTIONS + 1] = { 0 };
	bool given = false;
	int n = 0, val, index;

	for (size_t i = 0; i < N_OPTIONS; i++)
		if ((v->options | HELP) & options[i].option.val)
			known[n++] = options[i].option;
	while ((val = getopt_long(argc, argv, "h", known, &index)) >= 0) {
		if (val == 'h' || val == HELP)
			return print_verb_help(v);
		if (val == JSON)
			t->json = true;
		else if (val == '?' ||
			 pmt_unit_config_parse(&t->config, known[index].name, optarg) < 0)
			return usage(v->name);
		given = true;
	}
	if (given || !(v->options & NEEDS_ONE))
		return -1;
	fprintf(stderr, "pmt %s: nothing to %s: which option?\n", v->name, v->name);
	return usage(v->name);
}

static int take_unit(struct tool *t, const struct verb *v, int argc, char **argv)
{
	int words = argc - optind;

	if (words > (v->wants != NO_UNIT) && v->wants != UNIT_AND_WORDS) {
		fprintf(stderr, "pmt %s: too many arguments\n", v->name);
		return usage(v->name);
	}
	if (!words && v->wants >= MUST_UNIT) {
		fprintf(stderr, "pmt %s: which unit? pmt list shows them\n", v->name);
		return usage(v->name);
	}
	if (words && pmt_unit_parse(argv[optind], &t->unit) < 0)
		return usage(v->name);
	t->config.unit = t->unit;
	t->words = argv + optind + 1;
	t->n_words = words ? words - 1 : 0;
	return -1;
}

static int finish(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	fprintf(stderr, "pmt: the output could not be written: %s\n", strerror(errno));
	return TOOL_FAILED;
}

static int run_verb(const struct verb *v, int argc, char **argv)
{
	struct tool t = { .unit = PMT_ANY_UNIT, .config = { .unit = PMT_ANY_UNIT } };
	char name[32];
	int code, err;

	snprintf(name, sizeof(name), "pmt %s", v->name);
	argv[0] = name;
	code = take_options(&t, v, argc, argv);
	if (code < 0)
		code = take_unit(&t, v, argc, argv);
	if (code >= 0)
		return code;
	err = v->options & NO_KERNEL ? 0 : pmt_control_open(&t.control);
	if (err == 0 && v->call)
		err = v->call(t.control, t.unit);
	if (err < 0)
		code = tool_fail(&t, t.unit, err);
	else
		code = v->run ? v->run(&t) : TOOL_OK;
	pmt_control_close(t.control);
	return code;
}

static void fail_busy(struct tool *t, uint32_t unit, const char *text)
{
	struct pmt_unit_info info = { .server_pid = 0 };

	pmt_unit_get(t->control, unit, &info);
	fprintf(stderr, "pmt: unit %u is in use", unit);
	if (info.server_pid)
		fprintf(stderr, "; its server is process %s: stop it, or pmt detach %u",
			process_text(info.server_pid).text, unit);
	if (info.master_open)
		fputs("; its master end is open: let that program end first", stderr);
	if (!info.server_pid && info.issued != info.done)
		fprintf(stderr, "; %u commands wait: serve it, or pmt abort %u",
			info.issued - info.done, unit);
	else if (!info.server_pid && !info.master_open && *text)
		fprintf(stderr, ": %s", text);
	fputc('\n', stderr);
}

int tool_fail(struct tool *t, uint32_t unit, int err)
{
	_cleanup_free_ char *text = t->control ? strdup(pmt_control_error(t->control)) : NULL;

	if (err == -ENOPKG)
		fputs("pmt: the kernel modules are not loaded; load them: modprobe pmtm\n", stderr);
	else if (err == -EPERM || err == -EACCES)
		fputs("pmt: not permitted: this needs root (CAP_SYS_ADMIN)\n", stderr);
	else if (err == -ENOENT && unit != PMT_ANY_UNIT)
		fprintf(stderr, "pmt: no unit %u: pmt list shows the units\n", unit);
	else if (err == -EEXIST && unit != PMT_ANY_UNIT)
		fprintf(stderr, "pmt: unit %u exists already: pmt set changes it, pmt new without "
			"a number takes a free one\n", unit);
	else if (err == -EBUSY && unit != PMT_ANY_UNIT && t->control)
		fail_busy(t, unit, text ? text : "");
	else if (text && *text)
		fprintf(stderr, "pmt: %s\n", text);
	else
		fprintf(stderr, "pmt: %s\n", strerror(-err));
	return TOOL_FAILED;
}

int main(int argc, char **argv)
{
	pmt_log_set_handler(log_message);
	if (argc < 2) {
		print_help(stderr);
		return TOOL_USAGE;
	}
	for (const struct verb *v = verbs; v < verbs + N_VERBS; v++)
		if (!strcmp(argv[1], v->name))
			return finish(run_verb(v, argc - 1, argv + 1));
	if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) {
		print_help(stdout);
		return finish(TOOL_OK);
	}
	if (!strcmp(argv[1], "-V") || !strcmp(argv[1], "--version")) {
		printf("pmt %s\n", PMT_VERSION);
		return finish(TOOL_OK);
	}
	fprintf(stderr, "pmt: there is no command %s\n", argv[1]);
	return usage("");
}
