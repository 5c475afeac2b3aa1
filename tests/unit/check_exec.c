// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * "exec:", whose program is this one, called with "drive": a tape in memory that is
 * right, but for one command of which it makes what FAULT says.
 *
 * The same commands go to "mem:", by chance.  What must hold: a program that is right
 * is a tape like any other, examples/tape.py, too; whatever it does wrong that can be
 * seen, each command before it is answered as by mem:, the command gets HARDWARE ERROR
 * within the time that it has, all behind it do, at once; and an application that writes
 * to it beside another copy sees nothing of it.
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "both.h"
#include "folder.h"
#include "memleaf.h"
#include "suite.h"

/* ---- the program ---- */

#define OBJECTS		4096

enum fault {
	NONE, GONE, KILLED, SILENT, DEAF, GARBAGE, LONG_LINE, ZEROS, PLACE_LBN, PLACE_FILE,
	PLACE_BLOCK, OTHER_WORD, TWICE, NO_LENGTH, HUGE_LENGTH, SHORT_DATA, N_FAULTS
};

static struct {
	size_t lengths[OBJECTS];	/* 0: a mark */
	char *data[OBJECTS];
	uint64_t n, at;
	bool flood;
} tape;

static void place_of(uint64_t *file, uint64_t *block)
{
	*file = *block = 0;
	for (uint64_t i = 0; i < tape.at; i++) {
		*block = tape.lengths[i] ? *block + 1 : 0;
		*file += !tape.lengths[i];
	}
}

static void misbehave(enum fault fault)
{
	if (fault == GONE)
		_exit(0);
	if (fault == KILLED)
		kill(getpid(), SIGKILL);
	if (fault == DEAF)
		signal(SIGTERM, SIG_IGN);
	if (fault == SILENT || fault == DEAF)
		for (;;)
			pause();
	if (fault == GARBAGE)
		printf("perhaps\n");
	if (fault == LONG_LINE)
		printf("ok %0600d 0 0\n", 0);
	if (fault == ZEROS)
		fwrite("ok 0\0 0 0\n", 1, 10, stdout);
}

static void answer(const char *word, enum fault fault, const char *data, size_t length)
{
	uint64_t file, block;

	place_of(&file, &block);
	if (fault != NONE && fault <= ZEROS) {
		misbehave(fault);
		fflush(stdout);
		return;
	}
	if (fault == OTHER_WORD)
		word = strcmp(word, "begin") ? "begin" : "early";
	for (int i = 0; i < 1 + (fault == TWICE); i++) {
		printf("%s %llu %llu %llu", word, (unsigned long long)tape.at + (fault == PLACE_LBN),
		       (unsigned long long)file + (fault == PLACE_FILE),
		       (unsigned long long)block + (fault == PLACE_BLOCK));
		if (data)
			printf(" %zu", fault == NO_LENGTH ? 0 : fault == HUGE_LENGTH ?
			       (size_t)PMT_RECORD_MAX + 1 : length);
		putchar('\n');
	}
	if (data)
		fwrite(data, 1, fault == SHORT_DATA ? length - 1 : length, stdout);
	fflush(stdout);
	if (fault == SHORT_DATA)
		_exit(0);
}

static void cut(void)
{
	while (tape.n > tape.at)
		free(tape.data[--tape.n]);
}

static void put(size_t length)
{
	char *data = malloc(length + 1);

	if (fread(data, 1, length, stdin) != length)
		_exit(1);
	cut();
	tape.lengths[tape.n] = length;
	tape.data[tape.n] = data;
	tape.at = ++tape.n;
}

static const char *space(bool records, long n)
{
	bool back = n < 0;

	while (n) {
		bool mark;

		if (tape.at == (back ? 0 : tape.n))
			return back ? "begin" : "end";
		mark = !tape.lengths[back ? --tape.at : tape.at++];
		if (mark && records)
			return "mark";
		n += (mark || records) ? back ? 1 : -1 : 0;
	}
	return "ok";
}

static void take(const char *line, enum fault fault)
{
	unsigned long long n;
	const char *word = "ok";
	char what[16];
	long count;

	if (sscanf(line, "write %llu", &n) == 1)
		put(n);
	else if (sscanf(line, "mark %llu", &n) == 1)
		while (n--)
			put(0);
	else if (sscanf(line, "locate %llu", &n) == 1) {
		word = n > tape.n ? "end" : "ok";
		tape.at = n > tape.n ? tape.n : n;
	} else if (!strcmp(line, "cut\n"))
		cut();
	else if (!strcmp(line, "load\n") || !strcmp(line, "unload\n"))
		tape.at = 0;
	else if (!strcmp(line, "space end\n"))
		tape.at = tape.n;
	else if (sscanf(line, "space %15s %ld", what, &count) == 2)
		word = space(!strcmp(what, "records"), count);
	else if (!strcmp(line, "read\n")) {
		uint64_t at = tape.at;

		tape.at += at < tape.n;
		word = at == tape.n ? "end" : tape.lengths[at] ? "record" : "mark";
		answer(word, fault, at < tape.n && tape.lengths[at] ? tape.data[at] : NULL,
		       at < tape.n ? tape.lengths[at] : 0);
		return;
	}
	answer(word, fault, NULL, 0);
}

/* How far it is to a mark, or to the end. */
static bool it_alone_knows(const char *line)
{
	unsigned long long n;

	return !strncmp(line, "space", 5) || (sscanf(line, "locate %llu", &n) == 1 && n > tape.n);
}

/* drive FAULT N: at the first command from number N on that it can be shown at. */
static int drive_main(enum fault fault, int n)
{
	char line[256];

	printf("pmt-exec 1 room=1000 future=1\n");
	fflush(stdout);
	for (int i = 0; fgets(line, sizeof(line), stdin); i++) {
		bool of_data = fault == NO_LENGTH || fault == HUGE_LENGTH || fault == SHORT_DATA;
		bool told = fault >= PLACE_LBN && fault <= PLACE_BLOCK && it_alone_knows(line);
		bool now = i >= n && !told &&
			   (!of_data || (!strcmp(line, "read\n") && tape.at < tape.n &&
					 tape.lengths[tape.at]));

		/* Numbers that only make it later are seen with what follows. */
		take(line, now ? fault : NONE);
		if (now)
			fault = NONE;
	}
	return 0;
}

/* ---- it is a tape ---- */

static unsigned int seed;

/* Only what is waited for is told how long: any other program has the time it needs. */
static int timeout_of(enum fault fault)
{
	return fault == SILENT || fault == DEAF ? 20 : 200;
}

static const char *spec_of(enum fault fault, int n)
{
	static char spec[4096 + 100];
	char self[4096];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	ck_assert_int_gt(length, 0);
	self[length] = '\0';
	snprintf(spec, sizeof(spec), "exec:%s\\ drive\\ %d\\ %d?timeout=%d", self, (int)fault, n,
		 timeout_of(fault));
	return spec;
}

START_TEST(is_a_tape)
{
	struct both *b;

	srandom(seed + (unsigned int)_i);
	b = both_new(spec_of(NONE, 0), "ref");
	for (int i = 0; i < 200; i++)
		ck_assert(both_do(b));
	both_free(b);
	mem_reset();
}
END_TEST

START_TEST(example_is_a_tape)
{
	const char *top = getenv("PMT_TOP");
	struct both *b;
	char spec[512];

	srandom(seed + (unsigned int)_i);
	folder_make();
	snprintf(spec, sizeof(spec), "exec:python3\\ %s/examples/tape.py\\ %s?timeout=200",
		 top ? top : ".", path("tape"));
	b = both_new(spec, "ref");
	for (int i = 0; i < 120; i++)
		ck_assert(both_do(b));
	/* The next server finds it as it was left. */
	rig_close(&b->rig);
	b->rig.session.place = b->ref.place;
	ck_assert_int_eq(rig_open(&b->rig, spec), 0);
	for (int i = 0; i < 40; i++)
		ck_assert(both_do(b));
	both_free(b);
	folder_remove();
	mem_reset();
}
END_TEST

/* ---- what it does wrong ---- */

START_TEST(failed_and_nothing_more)
{
	enum fault fault = (enum fault)_i;
	int n = 5 + (int)((seed + (unsigned int)_i) % 10);
	struct both *b;
	struct pmt_command test = { .op = PMT_OP_REWIND };
	struct timespec before, after;

	srandom(seed + (unsigned int)_i);
	b = both_new(spec_of(fault, n), "ref");
	while (both_do(b))
		ck_assert_msg(b->steps < 2000, "fault %d is not found (seed %u)", _i,			      seed);
	/* It has failed for good, and nobody waits for it; if LOAD failed, nothing is loaded. */
	clock_gettime(CLOCK_MONOTONIC, &before);
	for (int i = 0; i < 100; i++) {
		test.place = b->rig.place;
		rig_do(&b->rig, test, NULL);
		ck_assert_int_eq(b->rig.result.status, PMT_STATUS_CHECK);
		ck_assert(b->rig.result.key == PMT_KEY_HARDWARE ||
			  b->rig.result.key == PMT_KEY_NOT_READY);
	}
	clock_gettime(CLOCK_MONOTONIC, &after);
	ck_assert_int_lt(after.tv_sec - before.tv_sec, 60);
	/* But for LOAD, which first tells that nothing could be made durable: a new program. */
	rig_op(&b->rig, PMT_OP_LOAD);
	ck_assert_int_eq(rig_op(&b->rig, PMT_OP_LOAD), PMT_STATUS_GOOD);
	ck_assert_int_eq(rig_write(&b->rig, "again"), PMT_STATUS_GOOD);
	both_free(b);
	mem_reset();
}
END_TEST

START_TEST(beside_another)
{
	int n = 5 + (int)((seed + (unsigned int)_i) % 10);
	char spec[4400];
	struct both *b;

	srandom(seed + (unsigned int)_i);
	snprintf(spec, sizeof(spec), "mirror(%s, mem:copy)?policy=degrade",
		 spec_of((enum fault)_i, n));
	b = both_new(spec, "ref");
	/* Some faults show only where a record is read: by chance not among the first. */
	while (b->steps < 120 || (!strstr(b->rig.event, ") failed: ") && b->steps < 2000))
		ck_assert_msg(both_do(b), "step %d, fault %d, op %u (seed %u)", b->steps, _i, b->op,
						      seed);
	/* What could not be read before it is told, too. */
	ck_assert_ptr_nonnull(strstr(b->rig.event, ") failed: "));
	ck_assert(mem_same(&mem_medium("ref")->volume, &mem_medium("copy")->volume));
	both_free(b);
	mem_reset();
}
END_TEST

/* Programs that are none. */
static const char *const refused[] = {
	"exec:", "exec:true", "exec:exit\\ 3", "exec:/nowhere/at/all", "exec:echo\\ hello",
	"exec:echo\\ pmt-exec\\ 12", "exec:echo\\ pmt-exec\\ 1;\\ sleep\\ 60?timeout=1",
	"exec:sleep\\ 60?timeout=1", "exec:true?timeout=0", "exec:true?frob=1",
	"exec:printf\\ 'pmt-exec\\ 1\\\\nok\\ 1\\ 0\\ 1\\\\n'",
};

START_TEST(is_refused)
{
	struct rig rig;

	rig_init(&rig);
	ck_assert_int_lt(rig_open(&rig, refused[_i]), 0);
}
END_TEST

/* What it may say of itself and of the medium. */
#define SCRIPT "exec:IFS=;echo\\ pmt-exec\\ 1\\ record=100;while\\ read\\ l;do\\ "

START_TEST(says_of_itself)
{
	struct pmt_command cmd = { .op = PMT_OP_WRITE, .length = 101 };
	struct pmt_limits limits;
	struct rig rig;
	char data[101] = { 0 };

	rig_init(&rig);
	ck_assert_int_eq(rig_open(&rig, SCRIPT "echo\\ ok\\ 0\\ 0\\ 0\\ end=7\\ id=beef\\ readonly;"
				  "done"), 0);
	pmt_drive_limits(rig.drive, &limits);
	ck_assert_uint_eq(limits.record_max, 100);
	ck_assert_uint_eq(limits.window, 0);
	ck_assert_int_eq(rig_op(&rig, PMT_OP_TEST), PMT_STATUS_GOOD);
	ck_assert_uint_eq(rig.result.medium[0], 0xbeef);
	ck_assert_uint_eq(rig.result.eod, 7);
	ck_assert_uint_eq(rig.result.medium_flags, PMT_MEDIUM_PRESENT | PMT_MEDIUM_PROTECTED);
	cmd.place = rig.place;
	ck_assert_int_eq(rig_do(&rig, cmd, data), PMT_STATUS_CHECK);
	ck_assert_uint_eq(rig.result.key, PMT_KEY_ILLEGAL);
	cmd.length = 100;
	rig_do(&rig, cmd, data);
	ck_assert_uint_eq(rig.result.key, PMT_KEY_PROTECT);
	rig_close(&rig);
}
END_TEST

/* What it says of a record: sense. */
static const struct {
	const char *word;
	uint8_t key, asc, ascq;
} troubles[] = {
	{ "full", PMT_KEY_OVERFLOW, 0x00, 0x02 }, { "medium", PMT_KEY_MEDIUM, 0x0c, 0x00 },
	{ "damaged", PMT_KEY_MEDIUM, 0x0c, 0x00 }, { "protected", PMT_KEY_PROTECT, 0x27, 0x00 },
	{ "absent", PMT_KEY_NOT_READY, 0x3a, 0x00 }, { "busy", PMT_KEY_NOT_READY, 0x04, 0x01 },
	{ "hardware", PMT_KEY_HARDWARE, 0x44, 0x00 },
	{ "unsupported", PMT_KEY_ILLEGAL, 0x20, 0x00 },
};

START_TEST(says_of_trouble)
{
	struct rig rig;
	char spec[400];

	snprintf(spec, sizeof(spec), SCRIPT "case\\ $l\\ in\\ write*\\)dd\\ bs=1\\ count=4\\ "
		 "status=none\\ of\\\\=/dev/null;echo\\ %s\\ 0\\ 0\\ 0\\ because;;*\\)echo\\ ok\\ 0\\ 0"
		 "\\ 0;;esac;done", troubles[_i].word);
	for (char *c; (c = strstr(spec, "\\\\=")); )
		memmove(c, c + 1, strlen(c));
	rig_init(&rig);
	ck_assert_int_eq(rig_open(&rig, spec), 0);
	ck_assert_int_eq(rig_write(&rig, "text"), PMT_STATUS_CHECK);
	ck_assert_uint_eq(rig.result.key, troubles[_i].key);
	ck_assert_uint_eq(rig.result.asc, troubles[_i].asc);
	ck_assert_uint_eq(rig.result.ascq, troubles[_i].ascq);
	/* It is still there. */
	ck_assert_int_eq(rig_op(&rig, PMT_OP_LOAD), PMT_STATUS_GOOD);
	rig_close(&rig);
}
END_TEST

START_TEST(early_warning)
{
	struct rig rig;

	rig_init(&rig);
	ck_assert_int_eq(rig_open(&rig, SCRIPT "case\\ $l\\ in\\ write*\\)dd\\ bs=1\\ count=4\\ "
				  "status=none\\ of\\=/dev/null;echo\\ early\\ 1\\ 0\\ 1;;*\\)echo\\ ok"
				  "\\ 0\\ 0\\ 0;;esac;done"), 0);
	ck_assert_int_eq(rig_write(&rig, "text"), PMT_STATUS_GOOD);
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	ck_assert_uint_eq(rig.warnings, 1);
	ck_assert_uint_eq(rig.place.lbn, 1);
	rig_close(&rig);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("exec");
	TCase *tests = tcase_create("exec");

	if (argc == 4 && !strcmp(argv[1], "drive"))
		return drive_main((enum fault)atoi(argv[2]), atoi(argv[3]));
	seed = suite_seed();
	suite_quiet();
	tcase_set_timeout(tests, 240);
	tcase_add_loop_test(tests, is_a_tape, 0, 2);
	tcase_add_loop_test(tests, example_is_a_tape, 0, 1);
	/* Those that are waited for: one of them here, the other there. */
	tcase_add_loop_test(tests, failed_and_nothing_more, GONE, DEAF);
	tcase_add_loop_test(tests, failed_and_nothing_more, DEAF + 1, N_FAULTS);
	tcase_add_loop_test(tests, beside_another, GONE, SILENT);
	tcase_add_loop_test(tests, beside_another, DEAF, N_FAULTS);
	tcase_add_loop_test(tests, is_refused, 0, sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(tests, says_of_itself);
	tcase_add_loop_test(tests, says_of_trouble, 0, sizeof(troubles) / sizeof(troubles[0]));
	tcase_add_test(tests, early_warning);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
