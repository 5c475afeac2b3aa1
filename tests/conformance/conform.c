// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * conform: what does a tape device answer?
 *
 * Runs the numbered cases of a folder on any tape device of Linux and writes one
 * line a case: all steps with all answers.  It does not know what is right; two
 * devices conform to each other if their lines are the same.
 *
 * A file NAME.tt of the folder has the cases of the group NAME:
 *
 *	## comment
 *	# ID title		begins a case
 *	#+ ID title		begins one that goes on with what the one before left
 *	step			see steps.c
 *
 * Before a case that does not continue another, the drive is made as at the start:
 * a blank cartridge, and all that an earlier case may have set.  A case and those
 * that continue it are a chain.  Each chain is run in a process of its own, so that
 * one can give up its privileges, and is killed if it does not end.
 *
 * What could not be done here is never left out in silence: "ID skipped: reason".
 */
#include "random.h"
#include "steps.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT 300	/* seconds for a chain; the longest waits for 240 */
#define SIZE(array) (sizeof(array) / sizeof((array)[0]))

struct list {
	char **texts;
	int n;
};

struct test {
	char *id, *title, *group;
	bool continues, chosen;
	struct list steps;
};

struct conform {
	struct steps *steps;
	struct test *tests;
	int n;
	struct list groups, skipped;
	bool times;
};

static void *more(void *array, int n, size_t size)
{
	/* Grown at the powers of two only. */
	if (n & (n - 1))
		return array;
	array = realloc(array, (n ? 2 * (size_t)n : 1) * size);
	if (!array)
		abort();
	return array;
}

static void add(struct list *list, const char *text)
{
	list->texts = more(list->texts, list->n, sizeof(*list->texts));
	list->texts[list->n] = strdup(text);
	if (!list->texts[list->n++])
		abort();
}

static void clear(struct list *list)
{
	for (int i = 0; i < list->n; i++)
		free(list->texts[i]);
	free(list->texts);
}

static bool has(const struct list *list, const char *text)
{
	for (int i = 0; i < list->n; i++)
		if (strcmp(list->texts[i], text) == 0)
			return true;
	return false;
}

/* ---- the cases ---- */

static void begin_test(struct conform *conform, const char *group, char *line)
{
	char *id = steps_strip(line + (line[1] == '+' ? 2 : 1));
	size_t length = strcspn(id, " \t");
	struct test *test;

	conform->tests = more(conform->tests, conform->n, sizeof(*conform->tests));
	test = &conform->tests[conform->n++];
	*test = (struct test){
		.id = strndup(id, length),
		.title = strdup(steps_strip(id + length)),
		.group = strdup(group),
		.continues = line[1] == '+',
	};
	if (!test->id || !test->title || !test->group)
		abort();
}

/* Is the line one that has no place in a file of cases? */
static bool misplaced(const struct conform *conform, int first, const char *line)
{
	return *line == '#' ? line[1] == '+' && conform->n == first :
			      conform->n == first;
}

static int read_tests(struct conform *conform, const char *group, FILE *in)
{
	int first = conform->n, r = 0;
	char *buffer = NULL, *line;
	size_t size = 0;

	while (!r && getline(&buffer, &size, in) > 0) {
		line = steps_strip(buffer);
		if (!*line || strncmp(line, "##", 2) == 0)
			continue;
		if (misplaced(conform, first, line))
			r = -EINVAL;
		else if (*line == '#')
			begin_test(conform, group, line);
		else
			add(&conform->tests[conform->n - 1].steps, line);
	}
	free(buffer);
	return r;
}

static int read_file(struct conform *conform, const char *folder, const char *name)
{
	char path[512], group[256];
	FILE *in;
	int r;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	snprintf(group, sizeof(group), "%.*s", (int)strlen(name) - 3, name);
	in = fopen(path, "re");
	if (!in)
		return -errno;
	r = read_tests(conform, group, in);
	fclose(in);
	return r;
}

static int is_tests(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return length > 3 && strcmp(entry->d_name + length - 3, ".tt") == 0;
}

static int read_folder(struct conform *conform, const char *folder)
{
	struct dirent **names;
	int n = scandir(folder, &names, is_tests, alphasort), r = 0;

	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		if (!r)
			r = read_file(conform, folder, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	return r;
}

static bool unique(const struct conform *conform)
{
	for (int i = 0; i < conform->n; i++)
		for (int j = 0; j < i; j++)
			if (strcmp(conform->tests[i].id, conform->tests[j].id) == 0) {
				fprintf(stderr, "conform: two cases %s\n",
					conform->tests[i].id);
				return false;
			}
	return true;
}

static void forget(struct conform *conform)
{
	for (int i = 0; i < conform->n; i++) {
		free(conform->tests[i].id);
		free(conform->tests[i].title);
		free(conform->tests[i].group);
		clear(&conform->tests[i].steps);
	}
	free(conform->tests);
	clear(&conform->groups);
	clear(&conform->skipped);
}

/* ---- the choice ---- */

/* With what it continues. */
static void choose(struct conform *conform, int i)
{
	conform->tests[i].chosen = true;
	while (conform->tests[i].continues)
		conform->tests[--i].chosen = true;
}

static bool choose_id(struct conform *conform, const char *id)
{
	for (int i = 0; i < conform->n; i++)
		if (strcmp(conform->tests[i].id, id) == 0) {
			choose(conform, i);
			return true;
		}
	fprintf(stderr, "conform: no case %s\n", id);
	return false;
}

static bool choose_all(struct conform *conform, char **ids)
{
	bool found = true;

	for (; *ids; ids++)
		found = choose_id(conform, *ids) && found;
	return found;
}

static void choose_groups(struct conform *conform)
{
	for (int i = 0; i < conform->n; i++)
		if (!conform->groups.n || has(&conform->groups, conform->tests[i].group))
			conform->tests[i].chosen = true;
}

/* ---- as at the start ---- */

/* The options of a mode: the booleans, and no defaults. */
static void reset_options(struct steps *steps)
{
	static const char *const options[] = {
		"0x10000107", "0x5fffffff", "0x601fffff", "0x602fffff", "0x603fffff",
		"0x80000000",
	};
	char line[64];

	for (size_t i = 0; i < SIZE(options); i++) {
		snprintf(line, sizeof(line), "op 0 MTSETDRVBUFFER %s", options[i]);
		steps_do(steps, line);
	}
}

/* Only those that were defined, as this would define them. */
static void reset_modes(struct steps *steps)
{
	char line[32];

	for (const char *mode = "lma"; *mode; mode++) {
		snprintf(line, sizeof(line), "open 0 nst0%c rwn", *mode);
		if (strcmp(steps_do(steps, line), "ok"))
			continue;
		if (strncmp(steps_do(steps, "stat 0"), "-1", 2))
			reset_options(steps);
		steps_do(steps, "close 0");
	}
}

/*
 * The second "blank" is for a new session: what was set here is nothing that the
 * application has set.  Without a control the cartridge is erased.
 */
static void reset(struct steps *steps)
{
	static const char *const before[] = {
		"op 0 MTUNLOCK", "op 0 MTSETBLK 0", "op 0 MTSETDRVBUFFER 1",
		"op 0 MTCOMPRESSION 1", "op 0 MTREW",
	};
	bool control = !*steps_do(steps, "ctl blank");

	reset_modes(steps);
	steps_do(steps, "open 0 nst0 rwn");
	for (size_t i = 0; i < SIZE(before); i++)
		steps_do(steps, before[i]);
	reset_options(steps);
	if (!control)
		steps_do(steps, "op 0 MTERASE 0");
	steps_do(steps, "close 0");
	if (control)
		steps_do(steps, "ctl blank");
}

/* ---- running ---- */

static bool begins(const char *step, const char *words)
{
	size_t length = strlen(words);

	return strncmp(step, words, length) == 0 && strchr(" \t", step[length]);
}

/* The verbs of those are named so. */
static bool of_32_bits(const char *step)
{
	size_t length = strcspn(step, " \t");

	return length > 2 && strncmp(step + length - 2, "32", 2) == 0;
}

/* A step that is not to be done here. */
static const char *to_skip(const struct conform *conform, const struct test *test)
{
	bool calls32 = steps_calls32();

	for (int i = 0; i < test->steps.n; i++) {
		if (!calls32 && of_32_bits(test->steps.texts[i]))
			return "calls of 32-bit programs";
		for (int j = 0; j < conform->skipped.n; j++)
			if (begins(test->steps.texts[i], conform->skipped.texts[j]))
				return conform->skipped.texts[j];
	}
	return NULL;
}

/* Could the step not be done on this device? */
static bool impossible(const char *step, const char *answer)
{
	return begins(step, "ctl") ? *answer != '\0' :
	       begins(step, "open") && strncmp(answer, "-1 ENOENT", 9) == 0;
}

static bool run_steps(struct conform *conform, const struct test *test, FILE *out)
{
	for (int i = 0; i < test->steps.n; i++) {
		const char *step = test->steps.texts[i];
		const char *answer = steps_do(conform->steps, step);

		if (impossible(step, answer)) {
			printf("%s skipped: %s: %s\n", test->id, step, answer);
			return false;
		}
		fprintf(out, "%s%s%s%s", i ? "; " : " ", step, *answer ? " -> " : "",
			answer);
	}
	return true;
}

static long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static bool run_test(struct conform *conform, const struct test *test)
{
	const char *reason = to_skip(conform, test);
	char *text = NULL;
	size_t size;
	FILE *out;
	bool ran;

	if (reason) {
		printf("%s skipped: no %s here\n", test->id, reason);
		return false;
	}
	out = open_memstream(&text, &size);
	if (!out)
		abort();
	ran = run_steps(conform, test, out);
	fclose(out);
	if (ran)
		printf("%s%s\n", test->id, text);
	free(text);
	return ran;
}

/* In a child; all of the chain that was chosen. */
static void run_chain(struct conform *conform, int first, int behind)
{
	bool ran = true;
	long start = now();

	if (!to_skip(conform, &conform->tests[first]))
		reset(conform->steps);
	for (int i = first; i < behind; i++) {
		const struct test *test = &conform->tests[i];

		if (ran)
			ran = run_test(conform, test);
		else
			printf("%s skipped: continues %s\n", test->id,
			       conform->tests[i - 1].id);
		fflush(stdout);
	}
	steps_close(conform->steps);
	if (conform->times)
		fprintf(stderr, "%s %ld ms\n", conform->tests[first].id, now() - start);
}

/* The status, or -ETIME. */
static int wait_for(pid_t child)
{
	struct timespec limit = { .tv_sec = LIMIT };
	int status = 0;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	while (waitpid(child, &status, WNOHANG) == 0)
		if (sigtimedwait(&set, NULL, &limit) < 0 && errno == EAGAIN) {
			kill(child, SIGKILL);
			waitpid(child, &status, 0);
			return -ETIME;
		}
	return status;
}

static bool run_child(struct conform *conform, int first, int behind)
{
	pid_t child;
	int status;

	fflush(stdout);
	child = fork();
	if (!child) {
		run_chain(conform, first, behind);
		exit(0);
	}
	status = child < 0 ? -errno : wait_for(child);
	if (status == 0)
		return true;
	fprintf(stderr, "conform: the chain of %s: %s\n", conform->tests[first].id,
		status == -ETIME ? "it hangs" : "it died");
	return false;
}

static bool run_all(struct conform *conform)
{
	bool all = true;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (int i = 0, behind; i < conform->n; i = behind) {
		behind = i + 1;
		while (behind < conform->n && conform->tests[behind].continues &&
		       conform->tests[behind].chosen)
			behind++;
		if (conform->tests[i].chosen)
			all = run_child(conform, i, behind) && all;
	}
	return all;
}

static void list(const struct conform *conform)
{
	for (int i = 0; i < conform->n; i++)
		if (conform->tests[i].chosen)
			printf("%s %s %s\n", conform->tests[i].group,
			       conform->tests[i].id, conform->tests[i].title);
}

/* ---- the program ---- */

static int usage(void)
{
	fputs("usage: conform [-c CONTROL] [-d FOLDER] [-g GROUP]... [-s STEP]... [-t]\n"
	      "               DEVICE [CASE...]\n"
	      "       conform -l [-d FOLDER] [-g GROUP]...\n", stderr);
	return 2;
}

struct options {
	const char *control, *folder;
	bool list;
};

static bool get_options(struct conform *conform, struct options *o, int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "+c:d:lg:s:t")) > 0) {
		if (opt == 'c')
			o->control = optarg;
		else if (opt == 'd')
			o->folder = optarg;
		else if (opt == 'l')
			o->list = true;
		else if (opt == 'g')
			add(&conform->groups, optarg);
		else if (opt == 's')
			add(&conform->skipped, optarg);
		else if (opt == 't')
			conform->times = true;
		else
			return false;
	}
	return o->list ? optind == argc : optind < argc;
}

static int run_device(struct conform *conform, const char *device, const char *control)
{
	int r = steps_new(&conform->steps, device, control);
	bool all;

	if (r) {
		fprintf(stderr, "conform: %s: %s\n", device, strerror(-r));
		return 1;
	}
	all = run_all(conform);
	steps_free(conform->steps);
	return all ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct options o = { .folder = "tests/conformance/cases" };
	struct conform conform = { .n = 0 };
	int r;

	if (random_wanted(argc, argv))
		return random_main(argc, argv);
	if (!get_options(&conform, &o, argc, argv))
		return usage();
	r = read_folder(&conform, o.folder);
	if (r || !unique(&conform)) {
		if (r)
			fprintf(stderr, "conform: %s: %s\n", o.folder, strerror(-r));
		return 1;
	}
	if (o.list || optind + 1 == argc)
		choose_groups(&conform);
	else if (!choose_all(&conform, argv + optind + 1))
		return 1;
	if (o.list)
		list(&conform);
	else
		r = run_device(&conform, argv[optind], o.control);
	forget(&conform);
	return r;
}
