// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The random mode, on two tapes that are only played: what it does is determined by
 * the seed, and a difference that was planted is found and made as short as can be.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../conformance/avoid.h"
#include "../conformance/maker.h"
#include "../conformance/random.h"
#include "suite.h"

/* ---- a tape that is only played ---- */

#define OBJECTS 4096

struct fake {
	int objects[OBJECTS], count, place, file;
	bool open;
	int marks_written;
	int forgets;		/* at this call of MTWEOF it does not count the file */
	bool dead;		/* has no control */
	unsigned int whim;	/* answers by chance now and then, if not 0 */
	char answer[256];
	FILE *log;
};

static const char *say(struct fake *f, long n)
{
	snprintf(f->answer, sizeof(f->answer), "%ld", n);
	return f->answer;
}

static void put(struct fake *f, int object)
{
	ck_assert_int_lt(f->place, OBJECTS);
	f->objects[f->place++] = object;
	f->count = f->place;
}

static const char *fake_marks(struct fake *f, const struct step *step)
{
	long n = step_number(step, 3, 1);

	if (n < 0)
		return "-1 EIO";
	for (long i = 0; i < n; i++)
		put(f, 0);
	if (n)
		f->marks_written++;
	if (f->marks_written != f->forgets)
		f->file += (int)n;
	return "0";
}

static const char *fake_op(struct fake *f, const struct step *step)
{
	if (step_is_op(step, "MTWEOF"))
		return fake_marks(f, step);
	if (step_is_op(step, "MTSETBLK"))
		return step_number(step, 3, 0) ? "-1 EINVAL" : "0";
	if (step_is_op(step, "MTREW"))
		f->place = f->file = 0;
	else if (!step_is_op(step, "MTSETDRVBUFFER") && !step_is_op(step, "MTUNLOCK") &&
		 !step_is_op(step, "MTCOMPRESSION"))
		return "-1 EINVAL";
	return "0";
}

static const char *fake_read(struct fake *f, const struct step *step)
{
	long size = step_number(step, 2, 0);
	int object;

	if (!size)
		return "0";
	if (f->place == f->count)
		return "-1 EIO";
	object = f->objects[f->place++];
	return object > size ? "-1 ENOMEM" : say(f, object);
}

static const char *fake_write(struct fake *f, const struct step *step)
{
	long size = step_number(step, 2, 0);

	if (size)
		put(f, (int)size);
	return say(f, size);
}

static const char *fake_session(struct fake *f, const struct step *step)
{
	if (step_is(step, "open")) {
		if (f->open)
			return "-1 EBUSY";
		f->open = true;
		return "ok";
	}
	if (!f->open)
		return "-1 EBADF";
	if (step_is(step, "close"))
		f->open = false;
	else if (step_is(step, "op"))
		return fake_op(f, step);
	else if (step_is(step, "read"))
		return fake_read(f, step);
	else if (step_is(step, "write"))
		return fake_write(f, step);
	else if (step_is(step, "pos"))
		return say(f, f->place);
	else if (step_is(step, "stat"))
		snprintf(f->answer, sizeof(f->answer), "f=%d dsreg=5e000000", f->file);
	return step_is(step, "stat") ? f->answer : "0";
}

static const char *fake_step(void *of, const char *line)
{
	struct fake *f = of;
	struct step step;

	ck_assert(step_parse(&step, line));
	if (f->log)
		fprintf(f->log, "%s\n", line);
	if (step_is(&step, "ctl")) {
		if (step_is_ctl(&step, "blank"))
			f->count = f->place = f->file = f->marks_written = 0;
		return f->dead ? "-1 ENOENT" : "";
	}
	if (f->whim && step_is(&step, "stat") && rand_r(&f->whim) % 50 == 0)
		return "perhaps";
	return fake_session(f, &step);
}

static void fake_close(void *of)
{
	((struct fake *)of)->open = false;
}

/* ---- two of them ---- */

struct pair {
	struct fake fakes[2];
	struct random_run run;
	char *printed;
	size_t size;
};

static struct pair *pair_new(uint64_t seed, unsigned long steps)
{
	struct pair *p = calloc(1, sizeof(*p));

	p->run = (struct random_run){ .seed = seed, .steps = steps };
	p->run.out = open_memstream(&p->printed, &p->size);
	for (int i = 0; i < 2; i++)
		p->run.sides[i] = (struct random_side){ fake_step, fake_close, &p->fakes[i] };
	return p;
}

static void pair_free(struct pair *p)
{
	fclose(p->run.out);
	free(p->printed);
	free(p);
}

static char *steps_of(uint64_t seed, unsigned long first)
{
	struct pair *p = pair_new(seed, 3000);
	char *log = NULL;
	size_t size;

	p->fakes[0].log = open_memstream(&log, &size);
	p->run.first = first;
	ck_assert_int_eq(random_run(&p->run), 0);
	fclose(p->fakes[0].log);
	pair_free(p);
	return log;
}

START_TEST(same_seed_same_steps)
{
	char *one = steps_of(5, 0), *again = steps_of(5, 0), *other = steps_of(6, 0);
	char *later = steps_of(5, 3);

	ck_assert_str_eq(one, again);
	ck_assert_str_ne(one, other);
	/* An episode needs those before it for nothing. */
	ck_assert_ptr_nonnull(strstr(later, "ctl blank"));
	ck_assert_ptr_nonnull(memmem(one, strlen(one), later, 600));
	free(one);
	free(again);
	free(other);
	free(later);
}
END_TEST

/* The steps behind the line "# R...". */
static int split_script(char *printed, char **lines, int most)
{
	char *at = strstr(printed, "\n# R"), *save;
	int n = 0;

	ck_assert_ptr_nonnull(at);
	strtok_r(at + 1, "\n", &save);
	while (n < most && (lines[n] = strtok_r(NULL, "\n", &save)) &&
	       strncmp(lines[n], "first:", 6))
		n++;
	return n;
}

START_TEST(planted_is_found)
{
	struct pair *p = pair_new((uint64_t)_i, 20000);
	char *lines[16];

	p->fakes[1].forgets = 3;
	ck_assert_int_eq(random_run(&p->run), 1);
	fflush(p->run.out);
	ck_assert_ptr_nonnull(strstr(p->printed, "\nfirst:  f="));
	ck_assert_ptr_nonnull(strstr(p->printed, "\nsecond: f="));
	ck_assert_int_eq(split_script(p->printed, lines, 16), 5);
	ck_assert_int_eq(strncmp(lines[0], "open 0 ", 7), 0);
	for (int i = 1; i < 4; i++)
		ck_assert_int_eq(strncmp(lines[i], "op 0 MTWEOF ", 12), 0);
	ck_assert_str_eq(lines[4], "stat 0");
	pair_free(p);
}
END_TEST

/* What differs only by chance ends, too. */
START_TEST(whims_end)
{
	struct pair *p = pair_new((uint64_t)_i, 20000);

	p->fakes[1].whim = (unsigned int)_i + 1;
	ck_assert_int_eq(random_run(&p->run), 1);
	fflush(p->run.out);
	ck_assert_ptr_nonnull(strstr(p->printed, "they differ: stat 0"));
	pair_free(p);
}
END_TEST

START_TEST(no_drive)
{
	struct pair *p = pair_new(1, 100);

	p->fakes[0].dead = p->fakes[1].dead = true;
	ck_assert_int_eq(random_run(&p->run), -EIO);
	pair_free(p);
}
END_TEST

static int run_text(struct pair *p, const char *text)
{
	FILE *script = fmemopen((void *)text, strlen(text), "r");
	int r = random_script(&p->run, script);

	fclose(script);
	fflush(p->run.out);
	return r;
}

START_TEST(script)
{
	static const char text[] = "open 0 nst0 rw\nop 0 MTWEOF 1\nop 0 MTWEOF 1\n"
				   "stat 0\n# again\nopen 0 nst0 rw\nstat 0\n"
				   "write 0 10\nop 0 MTWEOF 2\n\nop 0 MTWEOF\nstat 0\n";
	struct pair *p = pair_new(0, 0);

	ck_assert_int_eq(run_text(p, text), 0);
	p->fakes[1].forgets = 2;
	ck_assert_int_eq(run_text(p, text), 1);
	ck_assert_ptr_nonnull(strstr(p->printed, "stat 0 -> f=2 dsreg=5e000000\n"
						 "\tthe other: f=1 dsreg"));
	ck_assert_ptr_nonnull(strstr(p->printed, "# again\nopen 0 nst0 rw -> ok\n"));
	pair_free(p);
}
END_TEST

/* ---- what is left out ---- */

#define BLOCKS_AND_A_MARK \
	"open 0 nst0 rw|ok;op 0 MTSETBLK 512|0;write 0 1024|1024;op 0 MTWEOF 1|0;" \
	"op 0 MTREW|0"

/* What was answered before; the step; why it is left out, or NULL. */
static const struct {
	const char *before, *step, *why;
	bool old_kernel;
} reasons[] = {
	{ "ctl eject|", "open 0 nst0 rw", "waiting_open", false },
	{ "ctl eject|", "open 0 nst0 rwn", NULL, false },
	{ "ctl eject|;ctl insert|", "open 0 nst0 rw", NULL, false },
	{ "ctl notready 1|", "open 0 nst0 r", "waiting_open", false },
	{ "open 0 nst0 rw|ok;op 0 MTSETBLK 512|0;write 0 1024|1024;op 0 MTSEEK 0|0",
	  "read 0 2048", NULL, false },	/* the mark of MTSEEK stops it */
	{ "open 0 nst0 rw|ok;op 0 MTSETBLK 512|0;write 0 1024|1024;op 0 MTBSR 2|0",
	  "read 0 1536", "blocks_to_end", false },
	{ "open 0 nst0 rw|ok;op 0 MTSETBLK 512|0;write 0 1024|1024;op 0 MTBSR 2|0",
	  "read 0 1024", NULL, false },
	{ "open 0 nst0 rw|ok;op 0 MTSETBLK 512|0;write 0 1024|1024;op 0 MTBSR 2|0",
	  "read 0 100", "blocks_to_end", false },	/* it is read ahead of */
	{ "open 0 nst0 rw|ok;op 0 MTSETBLK 512|0;write 0 1024|1024;op 0 MTBSR 2|-1 EIO",
	  "read 0 512", "blocks_to_end", false },	/* wherever it is */
	{ BLOCKS_AND_A_MARK ";read 0 2048|1024", "op 0 MTFSF 1", "mark_twice", false },
	{ BLOCKS_AND_A_MARK ";read 0 100|100", "op 0 MTEOM", "mark_twice", false },
	{ BLOCKS_AND_A_MARK ";read 0 2048|1024;pos 0|2", "op 0 MTFSF 1", NULL, false },
	{ BLOCKS_AND_A_MARK ";read 0 2048|1024;read 0 512|0", "op 0 MTFSF 1", NULL, false },
	{ BLOCKS_AND_A_MARK ";read 0 2048|1024", "op 0 MTFSR 1", NULL, false },
	{ "open 0 nst0 rw|ok", "op 0 MTLOAD", "load_of_loaded", false },
	{ "open 0 nst0 rw|ok;op 0 MTUNLOAD|0", "op 0 MTLOAD", NULL, false },
	{ "open 0 nst0 rw|ok;op 0 MTOFFL|0", "stat 0", "stale_state", false },
	{ "open 0 nst0 rw|ok;op 0 MTOFFL|0;op 0 MTLOAD|0", "stat 0", NULL, false },
	{ "open 0 nst0 rw|ok", "op 0 MTFSF 8388608", "large_count", false },
	{ "open 0 nst0 rw|ok", "op 0 MTFSR -8388608", "large_count", false },
	{ "open 0 nst0 rw|ok", "op 0 MTFSF 8388607", NULL, false },
	{ "open 0 nst0 rw|ok", "op 0 MTSEEK 8388608", NULL, false },
	{ "open 0 nst0 rw|ok;ctl ua 2a 1|", "pos 0", "unasked", false },
	{ "open 0 nst0 rw|ok;ctl ua 2a 1|", "stat 0", "unasked", false },
	{ "open 0 nst0 rw|ok;ctl ua 2a 1|;op 0 MTREW|-1 EIO", "pos 0", NULL, false },
	{ "open 0 nst0 rw|ok;ctl ua 2a 1|;read 0 100|-1 EIO", "pos 0", "unasked", false },
	{ "open 0 nst0 rw|ok;ctl fail 34 3 0 15 0 1|", "pos 0", "unasked", false },
	{ "", "ctl ua 29 0", "reset", true },
	{ "", "ctl ua 29 0", NULL, false },
	{ "ctl ua 2a 1|", "open 0 nst0 rw", "reset", true },
	{ "ctl ua 2a 1|", "open 0 nst0 rw", NULL, false },
	{ "ctl eject|;open 0 nst0 rn|ok;ctl eject|", "op 0 MTLOAD", "loaded_later", false },
	{ "ctl eject|;open 0 nst0 rwn|ok;ctl eject|", "op 0 MTLOAD", NULL, false },
	{ "ctl eject|;open 0 nst0 rwn|ok;ctl eject|", "op 0 MTLOAD", "loaded_later", true },
	{ "", "ctl eodeom 1", "end_with_eom", false },
	{ "", "writeu 0 100", "write_behind", false },
	{ "open 0 nst0 rw|ok", "write 0 1048577", "write_behind", false },
	{ "open 0 nst0 rw|ok", "write 0 1048576", NULL, false },
	{ BLOCKS_AND_A_MARK ";read 0 100|100", "write 0 512", "write_behind", false },
	{ BLOCKS_AND_A_MARK ";read 0 100|100;close 0|0;open 0 nst0 rw|ok", "write 0 512",
	  NULL, false },
};

static void learn(struct shadow *s, const char *text)
{
	char *all = strdup(text), *save, *answer;
	struct step step;

	for (char *line = strtok_r(all, ";", &save); line; line = strtok_r(NULL, ";", &save)) {
		answer = strchr(line, '|');
		*answer = '\0';
		ck_assert(step_parse(&step, line));
		shadow_learn(s, &step, answer + 1);
	}
	free(all);
}

START_TEST(left_out)
{
	struct shadow *s = calloc(1, sizeof(*s));
	struct step step;
	int why;

	shadow_reset(s);
	learn(s, reasons[_i].before);
	ck_assert(step_parse(&step, reasons[_i].step));
	why = avoid_step(s, &step, reasons[_i].old_kernel);
	ck_assert_str_eq(why < 0 ? "-" : avoid_name((unsigned int)why),
			 reasons[_i].why ? reasons[_i].why : "-");
	free(s);
}
END_TEST

/* ---- what the shadow knows ---- */

static const struct {
	const char *before;
	long place, count;
	bool end_known;
} places[] = {
	{ "open 0 nst0 rw|ok;write 0 100|100;write 0 200|200;op 0 MTWEOF 2|0", 4, 4, true },
	{ "open 0 nst0 rw|ok;write 0 100|100;op 0 MTBSF 1|-1 EIO", UNKNOWN, 1, false },
	{ "open 0 nst0 rw|ok;op 0 MTWEOF 1|0;write 0 100|100;op 0 MTBSF 1|0", 0, 3, true },
	{ "open 0 nst0 rw|ok;op 0 MTWEOF 1|0;write 0 100|100;op 0 MTBSFM 1|0", 1, 3, true },
	{ "open 0 nst0 rw|ok;write 0 100|100;close 0|0", 2, 2, true },
	{ "open 0 st0 rw|ok;write 0 100|100;close 0|0", 0, 2, true },
	{ "open 0 nst0 rw|ok;write 0 100|-1 ENOSPC", UNKNOWN, 0, false },
	{ "open 0 nst0 rw|ok;write 0 100|-1 EACCES", 0, 0, true },
	{ "open 0 nst0 rw|ok;op 0 MTWEOF 3|0;op 0 MTSEEK 1|0;op 0 MTERASE|0", 1, 1, true },
	{ BLOCKS_AND_A_MARK ";read 0 100|100;read 0 500|500;pos 0|2", 2, 3, true },
	{ "open 0 nst0 rw|ok;ctl fail 0a 1 0 17 1 1|;write 0 10|10", UNKNOWN, 0, false },
	{ "open 0 nst0 rw|ok;op 0 MTWEOF 9|0;pos 0|5;write 0 7|7", 6, 6, true },
};

START_TEST(is_known)
{
	struct shadow *s = calloc(1, sizeof(*s));

	shadow_reset(s);
	learn(s, places[_i].before);
	ck_assert_int_eq(s->place, places[_i].place);
	ck_assert_int_eq(s->count, places[_i].count);
	ck_assert_int_eq(s->end_known, places[_i].end_known);
	free(s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("random");
	TCase *tests = tcase_create("random");

	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, same_seed_same_steps);
	tcase_add_loop_test(tests, planted_is_found, 0, 5);
	tcase_add_loop_test(tests, whims_end, 0, 3);
	tcase_add_test(tests, no_drive);
	tcase_add_test(tests, script);
	tcase_add_loop_test(tests, left_out, 0, sizeof(reasons) / sizeof(reasons[0]));
	tcase_add_loop_test(tests, is_known, 0, sizeof(places) / sizeof(places[0]));
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
