// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tt: run scripts against a tape device and compare each answer
 *
 *	tt [-u UNIT] [-c COMMAND] [-v] FILE...
 *	tt [-u UNIT] -e 'LINE; LINE; ...'
 *
 * A line of a script is a verb, its arguments, and behind "->" the answer that
 * is expected.  "== NAME TITLE" begins a vector, "-- NAME TITLE" one that goes
 * on with what the one before has left.  Each is reported as a line "ok NAME
 * TITLE" or "not ok NAME TITLE" on standard output; what differed is told on
 * standard error.  Lines that begin with '#' are comments.  -v tells everything.
 * The status is 0 if all answers were the expected ones, and 1 if not.  With -e
 * there is one vector, without a name.
 *
 * The steps are those of tests/conformance/steps.c, and the nodes those of UNIT.
 * "ctl WORDS" runs COMMAND with them: it is to change the medium or the drive.
 * The density in dsreg is the drive's, and not compared, nor is how long an open
 * took.
 */
#include "../conformance/steps.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
	const char *unit, *command;
	bool verbose;
	struct steps *steps;
	char name[128];		/* of the vector */
	int failed, total_failed;
} tt = { .unit = "0" };

/* ---- scripts ---- */

/* The two digits of the density in dsreg=DDSSSSSS. */
static void hide_density(char *text)
{
	char *at = strstr(text, "dsreg=");

	if (at && strlen(at) > 8)
		memset(at + 6, '-', 2);
}

static void end_vector(void)
{
	if (*tt.name) {
		printf("%s %s\n", tt.failed ? "not ok" : "ok", tt.name);
		fflush(stdout);
	}
	tt.total_failed += tt.failed;
	tt.failed = 0;
	*tt.name = '\0';
}

static void begin_vector(const char *line)
{
	end_vector();
	if (*line == '=')
		steps_close(tt.steps);
	snprintf(tt.name, sizeof(tt.name), "%s", line + 3);
	if (tt.verbose)
		fprintf(stderr, "# %s\n", tt.name);
}

/* An answer only if it fails. */
static const char *run_command(const char *words)
{
	static char text[32];
	char line[512];
	int status;

	snprintf(line, sizeof(line), "%s %s", tt.command ? tt.command : "false", words);
	status = system(line);
	if (!status)
		return "";
	snprintf(text, sizeof(text), "status %d", WEXITSTATUS(status));
	return text;
}

/* That an open took its time is not compared. */
static void run_step(const char *step, char *got, size_t size)
{
	char *waited;

	if (strncmp(step, "ctl ", 4) == 0)
		snprintf(got, size, "%s", run_command(step + 4));
	else
		snprintf(got, size, "%s", steps_do(tt.steps, step));
	hide_density(got);
	waited = strncmp(step, "open ", 5) ? NULL : strstr(got, " (");
	if (waited)
		*waited = '\0';
}

static void run_line(const char *file, int at, char *line)
{
	char *expected = strstr(line, "->"), *step, got[1024];

	if (expected) {
		*expected = '\0';
		expected = steps_strip(expected + 2);
		hide_density(expected);
	}
	step = steps_strip(line);
	run_step(step, got, sizeof(got));
	if (tt.verbose)
		fprintf(stderr, "	%s -> %s\n", step, got);
	if (strcmp(got, expected ? expected : "")) {
		fprintf(stderr, "%s:%d: %s\n	expected %s\n	got      %s\n", file, at,
			step, expected ? expected : "(nothing)", got);
		tt.failed++;
	}
}

static void run_text(const char *file, FILE *in)
{
	char *line = NULL, *text;
	size_t size = 0;
	int at = 0;

	while (getline(&line, &size, in) > 0) {
		at++;
		text = steps_strip(line);
		if (strncmp(text, "== ", 3) == 0 || strncmp(text, "-- ", 3) == 0)
			begin_vector(text);
		else if (*text && *text != '#')
			run_line(file, at, text);
	}
	end_vector();
	steps_close(tt.steps);
	free(line);
}

static void run_file(const char *file)
{
	FILE *in = fopen(file, "re");

	if (!in) {
		fprintf(stderr, "tt: %s: %m\n", file);
		tt.total_failed++;
		return;
	}
	run_text(file, in);
	fclose(in);
}

static void run_words(char *text)
{
	char *save;
	int at = 0;

	for (char *line = strtok_r(text, ";\n", &save); line;
	     line = strtok_r(NULL, ";\n", &save)) {
		line = steps_strip(line);
		at++;
		if (*line && *line != '#')
			run_line("-e", at, line);
	}
	end_vector();
}

static int usage(void)
{
	fputs("usage: tt [-u UNIT] [-c COMMAND] [-v] FILE... | -e 'LINE; ...'\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	char *words = NULL, device[64];
	int opt;

	while ((opt = getopt(argc, argv, "u:c:ve:")) > 0) {
		if (opt == 'u')
			tt.unit = optarg;
		else if (opt == 'c')
			tt.command = optarg;
		else if (opt == 'v')
			tt.verbose = true;
		else if (opt == 'e')
			words = optarg;
		else
			return usage();
	}
	if (!words && optind == argc)
		return usage();
	snprintf(device, sizeof(device), "/dev/npmtm%s", tt.unit);
	if (steps_new(&tt.steps, device, NULL))
		return 2;
	if (words)
		run_words(words);
	for (int i = optind; i < argc; i++)
		run_file(argv[i]);
	return tt.total_failed ? 1 : 0;
}
