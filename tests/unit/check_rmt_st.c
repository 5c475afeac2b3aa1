// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lib/rmt/st.c beside the kernel's st: the cases of tests/conformance, as far as RMT
 * can show them, against what st has answered to them (conformance/recorded), or
 * where the modules differ from it, the modules (conformance/differences).
 *
 * A case is played if all its steps are such that pmt-rmt has: one tape without
 * modes, block sizes, options and partitions.  What differs is named below, with its
 * reason.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/mtio.h>

#include "../../lib/rmt/rmt.h"
#include "folder.h"
#include "suite.h"

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))
#define CONFORMANCE "tests/conformance/"
#define WORDS 8
#define BUFFER (16u << 20)

/* Cases where pmt-rmt answers otherwise. */
static const struct {
	const char *name, *why;
} known[] = {
	{ "A4b", "goes on where the case before it ends" },
	{ "A8", "a drive that becomes ready is not waited for" },
	{ "E12b", "goes on where the case before it ends" },
	{ "H6b", "goes on where the case before it ends" },
	{ "H6c", "goes on where the case before it ends" },
	{ "N2", "goes on where the case before it ends" },
};

static struct {
	struct pmt_drive *drive;
	struct pmt_rmt_st st;
	struct pmt_rmt_st_kept kept;
	bool open;
	char *buffer;
	char answer[200];
} t;

/* ---- steps: what st.c answers, in the words of the records ---- */

struct step {
	char line[160];
	char *words[WORDS];
	int n;
};

static void say(long result)
{
	if (result >= 0)
		sprintf(t.answer, "%ld", result);
	else
		sprintf(t.answer, "-1 %s", strerrorname_np((int)-result));
}

static const char *word(const struct step *step, int i)
{
	return i < step->n ? step->words[i] : "";
}

static unsigned long number(const struct step *step, int i, unsigned long otherwise)
{
	return i < step->n ? strtoul(step->words[i], NULL, 0) : otherwise;
}

static void do_open(const struct step *step)
{
	const char *flags = word(step, 3);
	int access = strstr(flags, "rw") ? O_RDWR : strchr(flags, 'w') ? O_WRONLY : O_RDONLY;
	int rc;

	t.st = (struct pmt_rmt_st){ .rewind = *word(step, 2) == 's' };
	rc = pmt_rmt_st_open(&t.st, t.drive, &t.kept,
			 access | (strchr(flags, 'n') ? O_NONBLOCK : 0));
	t.open = rc == 0;
	t.kept = t.st.kept;
	if (rc)
		say(rc);
	else
		strcpy(t.answer, "ok");
}

static void close_tape(void)
{
	say(pmt_rmt_st_close(&t.st));
	t.kept = t.st.kept;
	t.open = false;
}

static long write_tape(size_t size, int tag)
{
	memset(t.buffer, tag, size);
	return pmt_rmt_st_write(&t.st, t.buffer, size);
}

static void do_read(const struct step *step)
{
	long n;

	t.buffer[0] = 0;
	n = pmt_rmt_st_read(&t.st, t.buffer, number(step, 2, 0));
	say(n);
	if (n > 0)
		sprintf(t.answer + strlen(t.answer), " tag=%02x",
			(unsigned char)t.buffer[0]);
}

static void fill(const struct step *step, long most)
{
	size_t size = number(step, 2, 0);
	long n = 0, result = 0;

	while (n < most && (result = write_tape(size, 0x33)) == (long)size)
		n++;
	if (n == most) {
		sprintf(t.answer, "%ld full writes", n);
		return;
	}
	say(result);
	memmove(t.answer + 40, t.answer, strlen(t.answer) + 1);
	sprintf(t.answer, "%ld full writes, then %s", n, strdupa(t.answer + 40));
}

static const struct {
	const char *name;
	int op;
} ops[] = {
	{ "MTFSF", MTFSF }, { "MTBSF", MTBSF }, { "MTFSR", MTFSR }, { "MTBSR", MTBSR },
	{ "MTWEOF", MTWEOF }, { "MTREW", MTREW }, { "MTOFFL", MTOFFL }, { "MTNOP", MTNOP },
	{ "MTRETEN", MTRETEN }, { "MTBSFM", MTBSFM }, { "MTFSFM", MTFSFM },
	{ "MTEOM", MTEOM }, { "MTERASE", MTERASE }, { "MTSEEK", MTSEEK },
	{ "MTLOAD", MTLOAD }, { "MTUNLOAD", MTUNLOAD },
	/* st has none of these either. */
	{ "MTRESET", MTRESET }, { "MTTELL", MTTELL }, { "MTRAS1", MTRAS1 },
	{ "MTRAS2", MTRAS2 }, { "MTRAS3", MTRAS3 },
};

/* -1: pmt-rmt has none of that name. */
static int op_of(const char *name)
{
	for (size_t i = 0; i < N_ELEMENTS(ops); i++)
		if (strcmp(ops[i].name, name) == 0)
			return ops[i].op;
	return -1;
}

static void do_stat(void)
{
	struct pmt_rmt_status status;

	pmt_rmt_st_status(&t.st, &status);
	sprintf(t.answer, "f=%d b=%d gstat=%08lx dsreg=%08lx resid=%ld type=%#lx erreg=%#lx",
		(int)status.file, (int)status.block, (long)status.gstat,
		(long)status.dsreg, (long)status.resid, (long)status.type,
		(long)status.erreg);
}

static void do_tell(void)
{
	int64_t lbn = 0;
	int rc = pmt_rmt_st_tell(&t.st, &lbn);

	say(rc ? rc : (long)lbn);
}

static void do_control(const char *line)
{
	char *error = NULL;

	ck_assert_msg(pmt_drive_control(t.drive, line, &error) == 0, "%s: %s", line, error);
	*t.answer = '\0';
}

static void do_step(const struct step *step, const char *line)
{
	const char *verb = word(step, 0);

	if (strcmp(verb, "ctl") == 0)
		do_control(line + 4);
	else if (strcmp(verb, "open") == 0)
		do_open(step);
	else if (strcmp(verb, "close") == 0)
		close_tape();
	else if (verb[0] == 'w')
		say(write_tape(number(step, 2, 0), (int)number(step, 3, 0xaa)));
	else if (verb[0] == 'r')
		do_read(step);
	else if (strcmp(verb, "fill") == 0)
		fill(step, 100000);
	else if (strcmp(verb, "filln") == 0)
		fill(step, (long)number(step, 3, 1));
	else if (strcmp(verb, "stat") == 0)
		do_stat();
	else if (strcmp(verb, "pos") == 0)
		do_tell();
	else
		say(pmt_rmt_st_op(&t.st, op_of(word(step, 2)), (int)number(step, 3, 1)));
}

/* ---- cases ---- */

static bool one_of(const char *word, const char *list)
{
	const char *at = strstr(list, word);

	return *word && at && (at == list || at[-1] == ' ') &&
	       (!at[strlen(word)] || at[strlen(word)] == ' ');
}

static void parse(struct step *step, const char *line)
{
	char *rest = step->line;

	snprintf(step->line, sizeof(step->line), "%s", line);
	for (step->n = 0; step->n < WORDS && rest; step->n++)
		step->words[step->n] = strsep(&rest, " ");
}

static bool has_step(const struct step *step)
{
	const char *verb = word(step, 0);

	if (strcmp(verb, "ctl") == 0 && strcmp(word(step, 1), "fail") == 0)
		return one_of(word(step, 2), "00 01 08 0a 10 11 1b");
	if (strcmp(verb, "ctl") == 0)
		return one_of(word(step, 1), "blank eject insert wp ua notready cap");
	if (strcmp(word(step, 1), "0"))
		return false;
	if (strcmp(verb, "open") == 0)
		return one_of(word(step, 2), "st0 nst0");
	if (strcmp(verb, "op") == 0)
		return op_of(word(step, 2)) >= 0;
	return one_of(verb, "close write read fill filln stat pos");
}

/* The next "step -> answer" of a case; the answer may be none.  False: the end. */
static bool next_step(char **rest, char **line, const char **answer)
{
	char *end = *rest, *arrow;

	if (!*rest || !**rest)
		return false;
	*line = *rest;
	end = strstr(*rest, "; ");
	*rest = end ? end + 2 : NULL;
	if (end)
		*end = '\0';
	arrow = strstr(*line, " -> ");
	if (arrow)
		*arrow = '\0';
	*answer = arrow ? arrow + 4 : "";
	return true;
}

static bool can_play(const char *text)
{
	char *copy = strdup(text), *rest = copy, *line;
	const char *answer;
	bool open = false, can = true;

	while (can && next_step(&rest, &line, &answer)) {
		struct step step;

		parse(&step, line);
		can = has_step(&step);
		if (strcmp(step.words[0], "open") == 0) {
			can = can && !open;
			open = strncmp(answer, "ok", 2) == 0;
		} else if (strcmp(step.words[0], "close") == 0) {
			can = can && open;
			open = false;
		} else if (strcmp(step.words[0], "ctl")) {
			can = can && open;
		}
	}
	free(copy);
	return can;
}

/* The names of the bits say what the number says. */
static void without_names(char *to, const char *answer)
{
	const char *names = strstr(answer, " [");
	const char *behind = names ? strstr(names, "] ") : NULL;

	if (behind)
		sprintf(to, "%.*s%s", (int)(names - answer), answer, behind + 1);
	else
		strcpy(to, answer);
	/* How long an open waited. */
	to[strcspn(to, "(")] = '\0';
	if (*to && to[strlen(to) - 1] == ' ')
		to[strlen(to) - 1] = '\0';
}

static void begin(void)
{
	do_control("blank");
	t.kept = (struct pmt_rmt_st_kept){ .unit_id = t.kept.unit_id,
				       .place = { .generation = 1 } };
	t.open = false;
}

/* NULL: as st; else where it was not, freed by the caller. */
static char *play(const char *text)
{
	char *copy = strdup(text), *rest = copy, *line, *difference = NULL;
	char expected[200];
	const char *answer;

	begin();
	while (!difference && next_step(&rest, &line, &answer)) {
		struct step step;

		parse(&step, line);
		do_step(&step, line);
		without_names(expected, answer);
		if (strcmp(expected, t.answer) &&
		    asprintf(&difference, "%s -> %s; st: %s", line, t.answer, expected) < 0)
			abort();
	}
	if (t.open)
		close_tape();
	free(copy);
	return difference;
}

static const char *why(const char *name)
{
	for (size_t i = 0; i < N_ELEMENTS(known); i++)
		if (strcmp(known[i].name, name) == 0)
			return known[i].why;
	return NULL;
}

/* ---- what st has answered, and where pmt's master end differs ---- */

static struct {
	char *name, *text;
} answers[2000];
static size_t n_answers;

static void take_file(const char *name)
{
	char *line = NULL, *text;
	size_t size = 0;
	FILE *file = fopen(name, "r");

	ck_assert_msg(file, "%s: run it at the top of the sources", name);
	while (getline(&line, &size, file) >= 0) {
		line[strcspn(line, "\n")] = '\0';
		text = strchr(line, ' ');
		if (*line == '#' || !text || strcmp(text, " -") == 0)
			continue;
		*text = '\0';
		ck_assert_uint_lt(n_answers, N_ELEMENTS(answers));
		answers[n_answers].name = strdup(line);
		answers[n_answers++].text = strdup(text + 1);
	}
	free(line);
	fclose(file);
}

static void take_answers(void)
{
	glob_t files;

	take_file(CONFORMANCE "recorded/7.2.txt");
	take_file(CONFORMANCE "recorded/6.12.txt");
	ck_assert_int_eq(glob(CONFORMANCE "differences/*.txt", 0, NULL, &files), 0);
	for (size_t i = 0; i < files.gl_pathc; i++)
		take_file(files.gl_pathv[i]);
	globfree(&files);
}

/* NULL: as one of those; else where it was not as the first. */
static char *play_all(const char *name)
{
	char *first = NULL;

	for (size_t i = 0; i < n_answers; i++) {
		char *difference;

		if (strcmp(answers[i].name, name) || !can_play(answers[i].text))
			continue;
		difference = play(answers[i].text);
		if (!difference) {
			free(first);
			return NULL;
		}
		if (first)
			free(difference);
		else
			first = difference;
	}
	return first;
}

static bool is_first(size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(answers[i].name, answers[n].name) == 0)
			return false;
	return true;
}

static void open_drive(void)
{
	char spec[300], *error = NULL;

	snprintf(spec, sizeof(spec), "fault|limit?capacity=32M&ew=4M&density=94&record=8M|"
		 "image:%s?capacity=200G&ew=1M&ahead=1M&sync=no", path("tape"));
	ck_assert_msg(pmt_drive_open(&t.drive, spec, &error) == 0, "%s", error);
	t.buffer = malloc(BUFFER);
	t.kept.unit_id = 0x1234;
}

START_TEST(as_st)
{
	int played = 0, same = 0, failed = 0;

	suite_quiet();
	folder_make();
	open_drive();
	take_answers();
	for (size_t i = 0; i < n_answers; i++) {
		const char *name = answers[i].name;
		char *difference;

		if (!is_first(i) || !can_play(answers[i].text))
			continue;
		difference = play_all(name);
		played++;
		same += !difference;
		if (!difference == !!why(name)) {
			failed++;
			printf("%s: %s\n", name, difference ? difference : "as st after all");
		}
		free(difference);
	}
	printf("%d cases, %d as st or as the modules\n", played, same);
	fflush(stdout);
	for (size_t i = 0; i < n_answers; i++) {
		free(answers[i].name);
		free(answers[i].text);
	}
	pmt_drive_close(t.drive);
	free(t.buffer);
	folder_remove();
	ck_assert_int_eq(failed, 0);
	ck_assert_int_gt(played, 250);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("st");
	TCase *tests = tcase_create("st");

	tcase_set_timeout(tests, 300);
	tcase_add_test(tests, as_st);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
