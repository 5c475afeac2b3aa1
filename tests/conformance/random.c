// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * random: two tape devices are driven alike, and must answer alike
 *
 * The steps come in episodes, each of which starts with both drives as at the
 * start, and depends on the seed, its number and the answers of the first device
 * only.  shadow.c keeps what those answers tell, maker.c makes up the next step
 * from it, and avoid.c has the list of what is left out, because the devices
 * differ there on purpose.
 *
 * If the answers differ, steps are taken away from the episode for as long as the
 * answers still differ somewhere.  What is left is printed as a script, of which no
 * one step can be left out, unless finding that took too many tries.
 */
#include "random.h"

#include "avoid.h"
#include "maker.h"
#include "shadow.h"
#include "steps.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define SHORTEST 30
#define LONGEST 200
#define DRAWS 200		/* until a step is found that is not avoided */
#define REPEATS 3000		/* sequences that are tried, to find a shorter one */

struct sequence {
	char (*lines)[STEP_LINE];
	int n, room;
};

struct run {
	const struct random_run *given;
	struct shadow shadow;
	struct maker maker;
	struct sequence done;
	const char *answers[2];
	unsigned long steps, episode, episodes, repeats;
	unsigned long *avoided;
};

/* ---- sequences ---- */

static bool add_line(struct sequence *q, const char *line)
{
	if (q->n == q->room) {
		int room = q->room ? 2 * q->room : 64;
		void *lines = realloc(q->lines, (size_t)room * sizeof(*q->lines));

		if (!lines)
			return false;
		q->lines = lines;
		q->room = room;
	}
	snprintf(q->lines[q->n++], STEP_LINE, "%s", line);
	return true;
}

/* All of it but the lines from one to another. */
static bool without(struct sequence *to, const struct sequence *of, int from, int behind)
{
	bool all = true;

	to->n = 0;
	for (int i = 0; i < of->n; i++)
		if (i < from || i >= behind)
			all = add_line(to, of->lines[i]) && all;
	return all;
}

/* ---- steps on both ---- */

/* Do both answer alike? */
static bool alike(struct run *run, const char *line)
{
	for (int i = 0; i < 2; i++) {
		const struct random_side *side = &run->given->sides[i];

		run->answers[i] = side->step(side->of, line);
	}
	if (run->given->verbose)
		fprintf(run->given->out, "\t%s -> %s\n", line, run->answers[0]);
	return strcmp(run->answers[0], run->answers[1]) == 0;
}

static bool step_both(struct run *run, const struct step *step)
{
	unsigned long mistakes = run->shadow.mistakes;
	bool same = alike(run, step->line);

	run->steps++;
	shadow_learn(&run->shadow, step, run->answers[0]);
	if (run->given->verbose && run->shadow.mistakes > mistakes)
		fputs("\t(a surprise)\n", run->given->out);
	return same;
}

static void close_both(struct run *run)
{
	for (int i = 0; i < 2; i++)
		run->given->sides[i].close(run->given->sides[i].of);
}

/* Both as at the start; -EIO if a drive does not get there. */
static int start_afresh(struct run *run)
{
	static const char *const lines[] = {
		"ctl blank", "open 0 nst0 rw", "op 0 MTSETDRVBUFFER 0x10000107",
		"op 0 MTSETDRVBUFFER 1", "op 0 MTUNLOCK", "op 0 MTSETBLK 0",
		"op 0 MTCOMPRESSION 1", "close 0", "ctl blank",
	};
	static const char *const good[] = { "", "ok", "0", "0", "0", "0", "0", "0", "" };

	close_both(run);
	for (size_t i = 0; i < SIZE(lines); i++) {
		if (alike(run, lines[i]) && strcmp(run->answers[0], good[i]) == 0)
			continue;
		fprintf(run->given->out, "not at the start: %s -> %s | %s\n", lines[i],
			run->answers[0], run->answers[1]);
		return -EIO;
	}
	shadow_reset(&run->shadow);
	return 0;
}

static int avoided(struct run *run, const struct step *step)
{
	return avoid_step(&run->shadow, step, run->given->old_kernel);
}

/* ---- shortening ---- */

/*
 * Does the sequence make them differ?  Then it ends with the step where they do.
 * It does not if a step of it is to be avoided now.
 */
static bool differs(struct run *run, struct sequence *q)
{
	struct step step;

	run->repeats++;
	if (start_afresh(run))
		return false;
	for (int i = 0; i < q->n; i++) {
		if (!step_parse(&step, q->lines[i]) || avoided(run, &step) >= 0)
			return false;
		if (!step_both(run, &step)) {
			q->n = i + 1;
			return true;
		}
	}
	return false;
}

/* Take away pieces of a size; true if one could be. */
static bool shorten(struct run *run, struct sequence *q, int size)
{
	struct sequence less = { .n = 0 };
	bool shorter = false;

	for (int end = q->n; end > 0 && run->repeats < REPEATS; end -= size) {
		int from = end > size ? end - size : 0;

		if (end > q->n)
			continue;
		if (!without(&less, q, from, end) || !differs(run, &less))
			continue;
		shorter = without(q, &less, 0, 0);
	}
	free(less.lines);
	return shorter;
}

static void shrink(struct run *run, struct sequence *q)
{
	int size = q->n / 2;

	while (size > 0 && run->repeats < REPEATS) {
		if (shorten(run, q, size) && size == 1)
			continue;
		size /= 2;
	}
}

static void print_difference(struct run *run, const struct sequence *q, int before)
{
	FILE *out = run->given->out;

	fprintf(out, "seed %llu, episode %lu: %d of %d steps, %lu tries\n",
		(unsigned long long)run->given->seed, run->episode, q->n, before,
		run->repeats);
	fprintf(out, "# R%llu-%lu %s\n", (unsigned long long)run->given->seed,
		run->episode, q->n ? q->lines[q->n - 1] : "");
	for (int i = 0; i < q->n; i++)
		fprintf(out, "%s\n", q->lines[i]);
	fprintf(out, "first:  %s\nsecond: %s\n", run->answers[0], run->answers[1]);
}

static int report(struct run *run)
{
	struct sequence q = { .n = 0 };
	int before = run->done.n;

	if (!without(&q, &run->done, 0, 0))
		return -ENOMEM;
	fprintf(run->given->out, "they differ: %s -> %s | %s\n", q.lines[q.n - 1],
		run->answers[0], run->answers[1]);
	if (differs(run, &q)) {
		shrink(run, &q);
		differs(run, &q);
	} else {
		fputs("but not if it is repeated\n", run->given->out);
	}
	print_difference(run, &q, before);
	free(q.lines);
	return 1;
}

/* ---- episodes ---- */

/* The maker's step, unless there is a reason against it. */
static bool acceptable(struct run *run)
{
	int reason = avoided(run, &run->maker.step);

	if (reason >= 0)
		run->avoided[reason]++;
	return reason < 0;
}

static bool made(struct run *run)
{
	for (int i = 0; i < DRAWS; i++) {
		maker_next(&run->maker, &run->shadow);
		if (acceptable(run))
			return true;
	}
	return false;
}

static int do_step(struct run *run)
{
	const struct step *step = &run->maker.step;

	if (!add_line(&run->done, step->line))
		return -ENOMEM;
	return step_both(run, step) ? 0 : report(run);
}

static int run_episode(struct run *run)
{
	int r = start_afresh(run);
	unsigned long n;

	run->done.n = 0;
	maker_start(&run->maker, run->given->seed, run->episode);
	for (int i = 0; i < 3 && !r; i++)
		if (maker_first(&run->maker, i))
			r = do_step(run);
	n = SHORTEST + maker_below(&run->maker, LONGEST - SHORTEST);
	while (n-- && !r && made(run))
		r = do_step(run);
	return r;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void summarise(struct run *run, double took)
{
	FILE *out = run->given->out;

	fprintf(out, "%lu steps in %lu episodes, %.0f a second; %lu surprises; avoided:",
		run->steps, run->episodes, (double)run->steps / (took > 0 ? took : 1),
		run->shadow.mistakes);
	for (unsigned int i = 0; i < avoid_count; i++)
		fprintf(out, " %s %lu", avoid_name(i), run->avoided[i]);
	fputc('\n', out);
	fflush(out);
}

static struct run *begin(const struct random_run *given)
{
	struct run *run = calloc(1, sizeof(*run));

	if (!run)
		return NULL;
	run->given = given;
	run->avoided = calloc(avoid_count, sizeof(*run->avoided));
	if (run->avoided)
		return run;
	free(run);
	return NULL;
}

static void end(struct run *run)
{
	close_both(run);
	free(run->done.lines);
	free(run->avoided);
	free(run);
}

int random_run(const struct random_run *given)
{
	struct run *run = begin(given);
	double start = seconds();
	int r = 0;

	if (!run)
		return -ENOMEM;
	for (run->episode = given->first; !r && run->steps < given->steps; run->episode++) {
		r = run_episode(run);
		run->episodes++;
		if (r)
			break;
	}
	summarise(run, seconds() - start);
	end(run);
	return r;
}

/* ---- scripts ---- */

static bool script_line(struct run *run, const char *line)
{
	FILE *out = run->given->out;

	if (alike(run, line)) {
		fprintf(out, "%s%s%s\n", line, *run->answers[0] ? " -> " : "", run->answers[0]);
		return true;
	}
	fprintf(out, "%s -> %s\n\tthe other: %s\n", line, run->answers[0], run->answers[1]);
	return false;
}

int random_script(const struct random_run *given, FILE *script)
{
	struct run *run = begin(given);
	char *line = NULL;
	size_t size = 0;
	bool same = true;
	int r;

	if (!run)
		return -ENOMEM;
	r = start_afresh(run);
	while (!r && getline(&line, &size, script) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (*line == '#') {
			fprintf(given->out, "%s\n", line);
			r = start_afresh(run);
		} else if (line[strspn(line, " \t")]) {
			same = script_line(run, line) && same;
		}
	}
	free(line);
	end(run);
	return r ? r : !same;
}

/* ---- devices ---- */

static const char *device_step(void *of, const char *line)
{
	return steps_do(of, line);
}

static void device_close(void *of)
{
	steps_close(of);
}

struct words {
	const char *devices[2], *controls[2], *script;
	struct random_run run;
};

static int usage(void)
{
	fputs("usage: conform --random SEED | --script FILE [--ops N] [--episode N]\n"
	      "               [--no-reset] [-v] -c CONTROL DEVICE\n"
	      "               --against DEVICE2 --control2 CONTROL2\n", stderr);
	return 2;
}

bool random_wanted(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--random") || !strcmp(argv[i], "--script"))
			return true;
	return false;
}

static bool take_word(struct words *w, int opt)
{
	switch (opt) {
	case 'r':
		w->run.seed = strtoull(optarg, NULL, 0);
		return true;
	case 's':
		w->script = optarg;
		return true;
	case 'o':
		w->run.steps = strtoul(optarg, NULL, 0);
		return true;
	case 'e':
		w->run.first = strtoul(optarg, NULL, 0);
		return true;
	case 'v':
		w->run.verbose = true;
		return true;
	case 'n':
		w->run.old_kernel = true;
		return true;
	case 'a':
		w->devices[1] = optarg;
		return true;
	case 'c':
	case 'C':
		w->controls[opt == 'C'] = optarg;
		return true;
	}
	return false;
}

static bool take_words(struct words *w, int argc, char **argv)
{
	static const struct option options[] = {
		{ "random", required_argument, NULL, 'r' },
		{ "script", required_argument, NULL, 's' },
		{ "ops", required_argument, NULL, 'o' },
		{ "episode", required_argument, NULL, 'e' },
		{ "no-reset", no_argument, NULL, 'n' },
		{ "against", required_argument, NULL, 'a' },
		{ "control2", required_argument, NULL, 'C' },
		{ NULL, 0, NULL, 0 },
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "c:v", options, NULL)) > 0)
		if (!take_word(w, opt))
			return false;
	if (optind + 1 != argc)
		return false;
	w->devices[0] = argv[optind];
	return w->devices[1] && w->controls[0] && w->controls[1];
}

static int open_devices(struct words *w)
{
	for (int i = 0; i < 2; i++) {
		struct random_side *side = &w->run.sides[i];
		struct steps *steps = NULL;
		int r = steps_new(&steps, w->devices[i], w->controls[i]);

		if (r)
			return r;
		*side = (struct random_side){ device_step, device_close, steps };
	}
	return 0;
}

static int run_script(const struct words *w)
{
	FILE *in = strcmp(w->script, "-") ? fopen(w->script, "re") : stdin;
	int r;

	if (!in)
		return -errno;
	r = random_script(&w->run, in);
	if (in != stdin)
		fclose(in);
	return r;
}

int random_main(int argc, char **argv)
{
	struct words w = { .run = { .steps = 10000, .out = stdout } };
	int r;

	if (!take_words(&w, argc, argv))
		return usage();
	setlinebuf(stdout);
	r = open_devices(&w);
	if (!r)
		r = w.script ? run_script(&w) : random_run(&w.run);
	for (int i = 0; i < 2; i++)
		if (w.run.sides[i].of)
			steps_free(w.run.sides[i].of);
	if (r < 0)
		fprintf(stderr, "conform: %s\n", strerror(-r));
	return r < 0 ? 2 : r;
}
