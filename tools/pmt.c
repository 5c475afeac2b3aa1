// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmt: the table of verbs, the command line, and what to say about errors
 *
 * The options of all verbs are one table; a verb names those that it takes.
 * The help texts are made of the same two tables.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "pmt-tool.h"

enum {
	JSON = 1 << 0, RECOVERY = 1 << 1, EOT = 1 << 2, RING = 1 << 3, HELP = 1 << 4,
	NEEDS_ONE = 1 << 5,	/* without an option there is nothing to do */
	NO_KERNEL = 1 << 6,	/* the server is asked, not the kernel; or drives are */
	FROM = 1 << 7, TO = 1 << 8, PARTITION = 1 << 9, VOLUMES = 1 << 10,
	WAIT = 1 << 11, APPEND = 1 << 12, OVERWRITE = 1 << 13, SPREAD = 1 << 14,
	SKIP_DAMAGED = 1 << 15, SVG = 1 << 16, DELAY = 1 << 17, COUNT = 1 << 18,
	BATCH = 1 << 19,
};

#define TAPE	(NO_KERNEL | FROM | TO | PARTITION | VOLUMES | WAIT | JSON)

enum wants { NO_UNIT, MAY_UNIT, MUST_UNIT, UNIT_AND_WORDS, UNIT_COPY_SPEC,
	     A_SPEC, SPECS, TWO_SPECS, ITS_OWN };

/* In the list, behind the verb, and how many words of it there can be. */
static const struct {
	const char *listed, *usage;
	int least, most;
} arguments[] = {
	[NO_UNIT] = { "", "", 0, 0 },
	[MAY_UNIT] = { "[UNIT]", " [UNIT]", 0, 1 },
	[MUST_UNIT] = { "UNIT", " UNIT", 1, 1 },
	[UNIT_AND_WORDS] = { "UNIT ...", " UNIT [VERB [NUMBER ...]]", 1, INT_MAX },
	[A_SPEC] = { "SPEC", " SPEC", 1, 1 },
	[SPECS] = { "SPEC ...", " SPEC [SPEC ...]", 1, 16 },
	[TWO_SPECS] = { "SPEC ...", " SOURCE TARGET [TARGET ...]", 2, 17 },
	[UNIT_COPY_SPEC] = { "UNIT ...", " UNIT COPY SPEC", 3, 3 },
	[ITS_OWN] = { "...", "", 0, 0 },
};

static const struct verb {
	const char *name, *summary;
	enum wants wants;
	unsigned int options;
	/* Either: a file of its own, or one call. */
	int (*run)(struct tool *);
	int (*call)(struct pmt_control *, uint32_t unit);
	int (*own)(int argc, char **argv);	/* or a command line of its own */
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
	{ "top", "show units, copies and their rates on a screen",
	  MAY_UNIT, DELAY | COUNT | BATCH | JSON, .run = verb_top },
	{ "metrics", "units and copies as OpenMetrics text, for monitoring",
	  MAY_UNIT, 0, .run = verb_metrics },
	{ "doctor", "look for what is wrong, and say what to do",
	  NO_UNIT, NO_KERNEL | JSON, .run = verb_doctor },
	{ "set", "change a unit",
	  MUST_UNIT, RECOVERY | EOT | NEEDS_ONE, .run = verb_set },
	{ "abort", "fail all that waits, detach the server, forget the cartridges",
	  MUST_UNIT, 0, .call = pmt_unit_abort },
	{ "detach", "take the server away, keep what waits",
	  MUST_UNIT, 0, .call = pmt_unit_detach },
	{ "control", "for tests: tell its drives what happens",
	  UNIT_AND_WORDS, NO_KERNEL, .run = verb_control },
	{ "rejoin", "bring a copy back that was dropped",
	  UNIT_COPY_SPEC, NO_KERNEL | JSON, .run = verb_rejoin },
	{ "copy", "copy a tape to another, or to several",
	  TWO_SPECS, TAPE | APPEND | OVERWRITE | SPREAD | SKIP_DAMAGED, .run = verb_copy },
	{ "verify", "read all of a tape, or compare tapes",
	  SPECS, TAPE, .run = verb_verify },
	{ "map", "show what is on a tape",
	  A_SPEC, TAPE | SVG, .run = verb_map },
	{ "image", "look into tape images, convert, repair", ITS_OWN, 0, .own = verb_image },
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
	{ { "from", required_argument, NULL, FROM }, "FILE|@LBN",
	  "begin with this file or block" },
	{ { "to", required_argument, NULL, TO }, "FILE|@LBN",
	  "end behind this file or block" },
	{ { "partition", required_argument, NULL, PARTITION }, "NUMBER",
	  "of a tape that has several" },
	{ { "volumes", no_argument, NULL, VOLUMES }, "",
	  "read on with the next volume (unloads)" },
	{ { "spread", no_argument, NULL, SPREAD }, "",
	  "write on to the next volume (unloads)" },
	{ { "wait", required_argument, NULL, WAIT }, "SECONDS",
	  "for the next volume to come (0)" },
	{ { "append", no_argument, NULL, APPEND }, "",
	  "behind what is on the target" },
	{ { "overwrite", no_argument, NULL, OVERWRITE }, "",
	  "what is on the target" },
	{ { "skip-damaged", no_argument, NULL, SKIP_DAMAGED }, "",
	  "leave out what can not be read" },
	{ { "svg", required_argument, NULL, SVG }, "FILE",
	  "draw a picture of the tape" },
	{ { "delay", required_argument, NULL, DELAY }, "SECONDS",
	  "between two looks, 0.1 to 3600 (2)" },
	{ { "count", required_argument, NULL, COUNT }, "NUMBER",
	  "of looks, then end (0: without end)" },
	{ { "batch", no_argument, NULL, BATCH }, "",
	  "lines, no screen" },
	{ { "json", no_argument, NULL, JSON }, "", "for programs: JSON" },
	{ { "help", no_argument, NULL, HELP }, "", "this text" },
};
#define N_OPTIONS (sizeof(options) / sizeof(options[0]))

/* Of those that have one, or 0. */
static char letter_of(int val)
{
	return val == HELP ? 'h' : val == DELAY ? 'd' : val == COUNT ? 'n' : val == BATCH ? 'b' : 0;
}

static void print_help(FILE *to)
{
	fputs("Usage: pmt COMMAND [OPTION ...] [UNIT | SPEC ...]\n"
	      "Make, watch and delete pseudo tapes; copy, compare and show tapes.\n\n", to);
	for (const struct verb *v = verbs; v < verbs + N_VERBS; v++)
		fprintf(to, "  %-8s%-9s%s\n", v->name, arguments[v->wants].listed,
			v->summary);
	fputs("\n"
	      "UNIT is a number or a node: 0, /dev/npmtm0; SPEC a drive: pmt-drives(7).\n"
	      "pmt COMMAND --help shows its options.  Exit: 0, 1 failure or damage, 2 usage.\n"
	      "  -h, --help     this text        -V, --version  the version\n", to);
}

static int print_verb_help(const struct verb *v)
{
	bool has_options = v->options & ~(unsigned int)NO_KERNEL;
	int name = 0, argument = 0;

	for (const struct tool_option *o = options; o < options + N_OPTIONS; o++) {
		int length = (int)strlen(o->option.name), more = (int)strlen(o->argument);

		if (!((v->options | HELP) & o->option.val))
			continue;
		name = length > name ? length : name;
		argument = more > argument ? more : argument;
	}
	printf("Usage: pmt %s%s%s\n%s\n\n", v->name, has_options ? " [OPTION ...]" : "",
	       arguments[v->wants].usage, v->summary);
	for (const struct tool_option *o = options; o < options + N_OPTIONS; o++) {
		char letter = letter_of(o->option.val);

		if ((v->options | HELP) & o->option.val)
			printf(letter ? "  -%c, --%-*s %-*s %s\n" : "   %c  --%-*s %-*s %s\n",
			       letter ? letter : ' ', name, o->option.name, argument,
			       o->argument, o->help);
	}
	return TOOL_OK;
}

static void log_message(int priority, const char *message)
{
	tape_clear_bar();
	if (priority < LOG_DEBUG)
		fprintf(stderr, "pmt: %s\n", message);
}

static int usage(const char *verb)
{
	fprintf(stderr, "Try 'pmt %s%s--help'.\n", verb, *verb ? " " : "");
	return TOOL_USAGE;
}

/* A number up to most; -EINVAL, said. */
static int take_number(const char *option, const char *text, uint32_t most, uint32_t *number)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value > most) {
		fprintf(stderr, "pmt: --%s is a number up to %u, not '%s'\n", option, most,
			text);
		return -EINVAL;
	}
	*number = (uint32_t)value;
	return 0;
}

static int take_bound(const char *option, const char *text, struct pmt_bound *bound)
{
	int rc = pmt_bound_parse(text, bound);

	if (rc)
		fprintf(stderr, "pmt: --%s is the number of a file (from 0), or @ and that of "
			"a block, not '%s'\n", option, text);
	return rc;
}

static int take_delay(struct tool *t, const char *text)
{
	char *end;

	t->delay = strtod(text, &end);
	if (*text >= '0' && *text <= '9' && !*end && t->delay >= 0.1 && t->delay <= 3600)
		return 0;
	fprintf(stderr, "pmt: --delay is seconds, 0.1 to 3600, not '%s'\n", text);
	return -EINVAL;
}

static int take_wait(struct tool *t, const char *text)
{
	int rc = take_number("wait", text, UINT32_MAX / 1000, &t->tape.walk.wait);

	t->tape.walk.wait *= 1000;
	return rc;
}

static int take_option(struct tool *t, const struct option *option, const char *value)
{
	switch (option->val) {
	case JSON:
		t->json = true;
		return 0;
	case VOLUMES:
		t->tape.walk.volumes = true;
		return 0;
	case APPEND:
		t->tape.append = true;
		return 0;
	case OVERWRITE:
		t->tape.overwrite = true;
		return 0;
	case SPREAD:
		t->tape.spread = true;
		return 0;
	case SKIP_DAMAGED:
		t->tape.skip_damaged = true;
		return 0;
	case SVG:
		t->svg = value;
		return 0;
	case DELAY:
		return take_delay(t, value);
	case COUNT:
		return take_number("count", value, UINT32_MAX, &t->count);
	case BATCH:
		t->batch = true;
		return 0;
	case FROM:
		return take_bound("from", value, &t->tape.walk.from);
	case TO:
		return take_bound("to", value, &t->tape.walk.to);
	case PARTITION:
		return take_number("partition", value, PMT_PARTITION_MAX,
				   &t->tape.walk.partition);
	case WAIT:
		return take_wait(t, value);
	default:
		return pmt_unit_config_parse(&t->config, option->name, value);
	}
}

/* What does not go together.  -1: it does; else the exit code. */
static int check_options(const struct tool *t, const struct verb *v)
{
	const struct pmt_walk *walk = &t->tape.walk;
	const char *text = NULL;

	if (t->tape.append && t->tape.overwrite)
		text = "--append or --overwrite, not both";
	else if (walk->volumes && walk->to.by != PMT_BOUND_NONE)
		text = "--to ends within a volume, and --volumes reads on";
	else if (walk->from.by != PMT_BOUND_NONE && walk->from.by == walk->to.by &&
		 walk->from.number > walk->to.number)
		text = "--to is before --from";
	if (!text)
		return -1;
	fprintf(stderr, "pmt %s: %s\n", v->name, text);
	return usage(v->name);
}

/* val: as getopt_long returns it, the option's or its letter. */
static const struct tool_option *find_option(int val)
{
	for (const struct tool_option *o = options; o < options + N_OPTIONS; o++)
		if (val == o->option.val || val == letter_of(o->option.val))
			return o;
	return NULL;
}

/* -1: go on; else the exit code. */
static int take_options(struct tool *t, const struct verb *v, int argc, char **argv)
{
	struct option known[N_OPTIONS + 1] = { 0 };
	char letters[2 * N_OPTIONS + 1] = "", *letter = letters;
	const struct tool_option *option;
	bool given = false;
	int n = 0, val;

	for (const struct tool_option *o = options; o < options + N_OPTIONS; o++) {
		if (!((v->options | HELP) & o->option.val))
			continue;
		known[n++] = o->option;
		if (letter_of(o->option.val))
			letter += sprintf(letter, "%c%s", letter_of(o->option.val),
					  o->option.has_arg ? ":" : "");
	}
	while ((val = getopt_long(argc, argv, letters, known, NULL)) >= 0) {
		option = find_option(val);
		if (option && option->option.val == HELP)
			return print_verb_help(v);
		if (!option || take_option(t, &option->option, optarg) < 0)
			return usage(v->name);
		given = true;
	}
	if (given || !(v->options & NEEDS_ONE))
		return check_options(t, v);
	fprintf(stderr, "pmt %s: nothing to %s: which option?\n", v->name, v->name);
	return usage(v->name);
}

static int take_words(struct tool *t, const struct verb *v, int argc, char **argv)
{
	int words = argc - optind;

	if (words > arguments[v->wants].most) {
		fprintf(stderr, "pmt %s: too many arguments\n", v->name);
		return usage(v->name);
	}
	if (words < arguments[v->wants].least) {
		fprintf(stderr, v->wants == UNIT_COPY_SPEC ?
			"pmt %s: which unit, which copy of it, and which drive?\n" :
			v->wants < A_SPEC ? "pmt %s: which unit? pmt list shows them\n" :
			v->wants == TWO_SPECS ? "pmt %s: from which drive, and to which?\n" :
			"pmt %s: which drive?\n", v->name);
		return usage(v->name);
	}
	t->words = argv + optind;
	t->n_words = words;
	if (v->wants >= A_SPEC)
		return -1;
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
	struct tool t = { .unit = PMT_ANY_UNIT, .config = { .unit = PMT_ANY_UNIT },
			  .tape.walk.partition = PMT_ANY_PARTITION, .delay = 2 };
	char name[32];
	int code, err;

	if (v->own)
		return v->own(argc, argv);
	snprintf(name, sizeof(name), "pmt %s", v->name);
	argv[0] = name;
	code = take_options(&t, v, argc, argv);
	if (code < 0)
		code = take_words(&t, v, argc, argv);
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
