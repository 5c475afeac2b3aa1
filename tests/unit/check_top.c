// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmt top: rows made of samples that are made up, and the screen on a terminal of its own,
 * where a test is who sits before it.
 */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <utmp.h>

#define pmt_unit_list fake_unit_list
#define pmt_unit_get fake_unit_get
#define pmt_watch_open fake_watch_open
#define pmt_watch_close fake_watch_close
#define pmt_watch_fd fake_watch_fd
#define pmt_watch_dispatch fake_watch_dispatch
#define socket_status fake_socket_status
#include "../../tools/info.c"
#include "../../tools/sample.c"
#include "../../tools/top.c"
#include "../../tools/top-rows.c"
#include "../../tools/top-screen.c"

#include "folder.h"
#include "suite.h"

/* What both processes see. */
static struct shared {
	atomic_uint units;
	atomic_bool hang, hanging, gone;
	atomic_uint bytes;
} *shared;

static int events[2];

static const char mirror[] =
	"{\"drive\":{\"kind\":\"mirror\",\"children\":["
	"{\"spec\":\"zstd|image:a\\u001b[2J.tape\",\"kind\":\"zstd\",\"state\":\"failed\","
	"\"reason\":\"write: medium error\",\"children\":[{\"kind\":\"image\",\"lbn\":17,"
	"\"bytes\":1000,\"present\":true}]},"
	"{\"spec\":\"image:b.tape\",\"kind\":\"image\",\"state\":\"ok\",\"lbn\":4711,\"file\":3,"
	"\"bytes\":%u,\"bytes_read\":0,\"present\":true,\"early_warning\":%s,\"room\":8589934592}]}}";

static struct pmt_unit_info info_of(uint32_t unit, uint64_t written)
{
	return (struct pmt_unit_info){
		.unit = unit, .unit_id = 100 + unit, .state = PMT_STATE_SERVED,
		.server_pid = 4000000 + unit, .master_pid = 5000000, .master_open = true,
		.place = { .lbn = 4711, .file = 3, .block = PMT_UNKNOWN },
		.data_size = 64 << 20, .data_waiting = 16 << 20, .bytes_written = written,
		.room = PMT_UNKNOWN, .window = PMT_UNKNOWN,
	};
}

int fake_unit_list(struct pmt_control *control,
		   int (*each)(const struct pmt_unit_info *, void *), void *context)
{
	int rc = 0;

	(void)control;
	if (shared->gone)
		return -ENOPKG;
	for (uint32_t i = 0; rc == 0 && i < shared->units; i++) {
		struct pmt_unit_info info = info_of(i, shared->bytes += 1000000);

		rc = each(&info, context);
	}
	return rc;
}

int fake_unit_get(struct pmt_control *control, uint32_t unit, struct pmt_unit_info *info)
{
	(void)control;
	*info = info_of(unit, 0);
	return unit == 14 ? 0 : -ENOENT;
}

int fake_socket_status(uint32_t unit, unsigned int patience, struct json_object **status)
{
	char text[1024];

	(void)unit;
	ck_assert_uint_le(patience, 2);
	shared->hanging = shared->hang;
	while (shared->hang)
		poll(NULL, 0, 10);
	shared->hanging = false;
	snprintf(text, sizeof(text), mirror, (unsigned int)shared->bytes, "false");
	*status = json_tokener_parse(text);
	return 0;
}

int fake_watch_open(struct pmt_watch **watch)
{
	*watch = (void *)events;
	return 0;
}

void fake_watch_close(struct pmt_watch *watch)
{
	(void)watch;
}

int fake_watch_fd(const struct pmt_watch *watch)
{
	(void)watch;
	return events[0];
}

int fake_watch_dispatch(struct pmt_watch *watch,
			void (*each)(const struct pmt_unit_event *, void *), void *context)
{
	struct pmt_unit_event event = { .event = PMT_EVENT_EARLY_WARNING, .unit = 1 };
	char ignored;

	(void)watch;
	ck_assert_int_eq(read(events[0], &ignored, 1), 1);
	each(&event, context);
	return 0;
}

int tool_fail(struct tool *t, uint32_t unit, int err)
{
	(void)t;
	fprintf(stderr, "failed: unit %d, %s\n", (int)unit, strerror(-err));
	return TOOL_FAILED;
}

/* ---- rows ---- */

static struct sample *sample_at(double time, const struct pmt_unit_info *info, const char *daemon)
{
	struct sample *s = calloc(1, sizeof(*s));

	s->time = time;
	s->units = calloc(1, sizeof(*s->units));
	s->units[s->n_units++] = (struct sample_unit){ .info = *info, .master.text = "7 (tar)",
						       .server.text = "8 (tape-mirror)" };
	if (daemon)
		s->units[0].daemon = json_tokener_parse(daemon);
	if (daemon)
		ck_assert_int_eq(add_copies(s, info->unit, s->units[0].daemon), 0);
	return s;
}

static char *mirror_at(unsigned int bytes, bool early_warning)
{
	static char text[2][1024];
	static int i;

	i = !i;
	snprintf(text[i], sizeof(text[i]), mirror, bytes, early_warning ? "true" : "false");
	return text[i];
}

START_TEST(rows_of_two)
{
	struct pmt_unit_info first = info_of(3, 1000000), next = info_of(3, 7000000);
	struct sample *before = sample_at(10, &first, mirror_at(1000, false));
	struct sample *now = sample_at(12, &next, mirror_at(5001000, true));
	struct top_row *rows;
	size_t n;

	rows = top_rows(before, now, TOP_BY_NUMBER, &n);
	ck_assert_uint_eq(n, 3);
	ck_assert(rows[0].unit == 3 && rows[0].copy == 0 && !rows[0].bad);
	ck_assert_double_eq(rows[0].written, 3000000);
	ck_assert_double_eq(rows[0].read, 0);
	ck_assert_double_eq(rows[0].ring, 0.25);
	ck_assert_uint_eq(rows[0].lbn, 4711);
	ck_assert_str_eq(rows[0].state, "served");
	ck_assert_str_eq(rows[0].detail, "7 (tar) > 8 (tape-mirror)");
	ck_assert(rows[1].copy == 1 && rows[1].bad && rows[1].file == PMT_UNKNOWN);
	ck_assert_str_eq(rows[1].state, "failed");
	ck_assert_str_eq(rows[1].detail, "write: medium error: zstd|image:a?[2J.tape");
	ck_assert_double_eq(rows[1].written, 0);
	ck_assert(rows[2].copy == 2 && !rows[2].bad && rows[2].early_warning);
	ck_assert_double_eq(rows[2].written, 2500000);
	ck_assert_uint_eq(rows[2].room, 8589934592);
	ck_assert_str_eq(top_text(&rows[0]).text, "3    served      25%    2.9M       0"
			 "      4711     3      -  7 (tar) > 8 (tape-mirror)");
	ck_assert_str_eq(top_text(&rows[2]).text, "  2  ok                 2.4M       0"
			 "      4711     3     EW  image:b.tape");
	free(rows);
	sample_free(before);
	sample_free(now);
}
END_TEST

/* What was not there before, or another, has no rate; a counter that began anew has. */
START_TEST(rows_without_rates)
{
	struct pmt_unit_info first = info_of(3, 1000000), next = info_of(3, 7000000);
	struct sample *before, *now = sample_at(12, &next, mirror_at(500, false));
	struct top_row *rows = top_rows(NULL, now, TOP_BY_NUMBER, &(size_t){ 0 });

	ck_assert_double_eq(rows[0].written, -1);
	ck_assert_double_eq(rows[2].written, -1);
	ck_assert_ptr_nonnull(strstr(top_text(&rows[0]).text, "25%       -       - "));
	free(rows);
	first.unit_id++;
	before = sample_at(10, &first, mirror_at(1000, false));
	rows = top_rows(before, now, TOP_BY_NUMBER, &(size_t){ 0 });
	ck_assert_double_eq(rows[0].written, -1);
	ck_assert_double_eq(rows[2].written, -1);
	free(rows);
	before->units[0].info.unit_id--;
	rows = top_rows(before, now, TOP_BY_NUMBER, &(size_t){ 0 });
	ck_assert_double_eq(rows[2].written, 250);
	free(rows);
	/* No time has passed. */
	before->time = now->time;
	rows = top_rows(before, now, TOP_BY_NUMBER, &(size_t){ 0 });
	ck_assert_double_eq(rows[0].written, -1);
	free(rows);
	sample_free(before);
	sample_free(now);
}
END_TEST

START_TEST(rows_of_little)
{
	static const char drive[] = "{\"drive\":{\"kind\":\"st\",\"spec\":\"st:/dev/nst0\",\"lbn\":null,"
		"\"present\":false,\"error\":\"%s\"}}";
	struct pmt_unit_info info = { .unit = 0, .state = PMT_STATE_RECOVERING, .master_open = true,
				      .data_size = 1 << 20, .data_waiting = PMT_UNKNOWN };
	struct sample *s = sample_at(1, &info, NULL);
	struct top_row *rows;
	char *daemon, error[600];
	size_t n;

	rows = top_rows(NULL, s, TOP_BY_NUMBER, &n);
	ck_assert_uint_eq(n, 1);
	ck_assert(rows[0].bad && rows[0].ring == -1);
	ck_assert_str_eq(rows[0].detail, "open > 8 (tape-mirror)");
	free(rows);
	sample_free(s);
	info.server_pid = 8;
	memset(error, 'x', sizeof(error) - 1);
	error[sizeof(error) - 1] = '\0';
	ck_assert_int_gt(asprintf(&daemon, drive, error), 0);
	s = sample_at(1, &info, daemon);
	rows = top_rows(NULL, s, TOP_BY_NUMBER, &n);
	ck_assert_uint_eq(n, 2);
	ck_assert_str_eq(rows[1].state, "error");
	ck_assert_uint_eq(strlen(rows[1].detail), sizeof(rows[1].detail) - 1);
	ck_assert(rows[1].copy == 1 && rows[1].bad && rows[1].lbn == PMT_UNKNOWN);
	free(rows);
	sample_free(s);
	free(daemon);
	info.data_waiting = 1;
	s = sample_at(1, &info, NULL);
	rows = top_rows(NULL, s, TOP_BY_NUMBER, &n);
	ck_assert_ptr_nonnull(strstr(rows[0].detail, "does not tell of its copies"));
	ck_assert_ptr_nonnull(strstr(top_text(&rows[0]).text, " <1% "));
	free(rows);
	sample_free(s);
}
END_TEST

/* Of that copy, as long as it is under way. */
START_TEST(row_that_rejoins)
{
	static const char daemon[] = "{\"drive\":{\"kind\":\"mirror\",\"rejoin\":{\"copy\":2,"
		"\"state\":\"%s\",\"lbn\":17,\"of\":4711},\"children\":["
		"{\"spec\":\"null:\",\"kind\":\"null\",\"state\":\"ok\"},"
		"{\"spec\":\"image:b\",\"kind\":\"image\",\"state\":\"failed\",\"reason\":\"gone\"}]}}";
	static const struct { const char *state, *shown, *detail; } rows[] = {
		{ "copying", "rejoins", "copying, 17 of 4711 blocks: image:b" },
		{ "waits for unload", "rejoins", "waits for unload, 17 of 4711 blocks: image:b" },
		{ "done", "failed", "gone: image:b" },
		{ "failed", "failed", "gone: image:b" },
	};
	struct pmt_unit_info info = info_of(3, 0);
	char text[sizeof(daemon) + 32];
	struct top_row *made;
	struct sample *s;
	size_t n;

	snprintf(text, sizeof(text), daemon, rows[_i].state);
	s = sample_at(1, &info, text);
	made = top_rows(NULL, s, TOP_BY_NUMBER, &n);
	ck_assert_uint_eq(n, 3);
	ck_assert_str_eq(made[1].state, "ok");
	ck_assert_str_eq(made[1].detail, "null:");
	ck_assert_str_eq(made[2].state, rows[_i].shown);
	ck_assert_str_eq(made[2].detail, rows[_i].detail);
	ck_assert_int_eq(made[2].bad, !strcmp(rows[_i].shown, "failed"));
	free(made);
	sample_free(s);
}
END_TEST

START_TEST(rows_by_rate)
{
	struct pmt_unit_info infos[] = { info_of(0, 0), info_of(1, 100), info_of(2, 0) };
	struct sample *before = sample_at(1, &infos[0], NULL), *now = sample_at(2, &infos[0], NULL);
	static const unsigned int orders[][3] = { { 0, 1, 2 }, { 1, 0, 2 } };

	for (int i = 0; i < 2; i++) {
		struct sample *s = i ? now : before;

		s->units = realloc(s->units, 3 * sizeof(*s->units));
		for (; s->n_units < 3; s->n_units++)
			s->units[s->n_units] = (struct sample_unit){ .info = infos[s->n_units] };
	}
	now->units[1].info.bytes_written = 5000;
	for (int order = TOP_BY_NUMBER; order <= TOP_BY_RATE; order++) {
		size_t n;
		struct top_row *rows = top_rows(before, now, order, &n);

		ck_assert_uint_eq(n, 3);
		for (size_t i = 0; i < n; i++)
			ck_assert_uint_eq(rows[i].unit, orders[order][i]);
		free(rows);
	}
	sample_free(before);
	sample_free(now);
}
END_TEST

/* ---- lines ---- */

START_TEST(lines)
{
	struct tool t = { .unit = PMT_ANY_UNIT, .batch = true, .delay = 0.1, .count = 2 };
	struct json_object *array;
	char *text, *second;

	folder_make();
	shared->units = 2;
	ck_assert_int_eq(folder_catch_verb("lines", verb_top, &t), TOOL_OK);
	text = folder_contents("lines");
	ck_assert_ptr_null(strchr(text, '\033'));
	second = strstr(text + 1, "\npmt top ");
	ck_assert_ptr_nonnull(second);
	ck_assert_ptr_null(strstr(second + 1, "\npmt top "));
	ck_assert_ptr_nonnull(strstr(second, "2 units, 4 copies, 2 bad"));
	ck_assert_ptr_nonnull(strstr(second, "\n0    served      25%  "));
	ck_assert_ptr_nonnull(strstr(second, "\n  1  failed  "));
	ck_assert_ptr_nonnull(strstr(second, "4000001"));
	free(text);
	t.json = true;
	ck_assert_int_eq(folder_catch_verb("json", verb_top, &t), TOOL_OK);
	text = folder_contents("json");
	second = strchr(text, '\n') + 1;
	array = json_tokener_parse(second);
	ck_assert_uint_eq(json_object_array_length(array), 6);
	json_object_put(array);
	ck_assert_ptr_nonnull(strstr(text, "{\"unit\":0,\"copy\":null,\"state\":\"served\""));
	ck_assert_ptr_nonnull(strstr(text, "\"write_rate\":null"));
	free(text);
	shared->units = 0;
	t.json = false;
	ck_assert_int_eq(folder_catch_verb("none", verb_top, &t), TOOL_OK);
	text = folder_contents("none");
	ck_assert_ptr_nonnull(strstr(text, "no units; pmt new makes one"));
	free(text);
	t.unit = 3;
	ck_assert_int_eq(folder_catch_verb("one", verb_top, &t), TOOL_FAILED);
	t.batch = false;
	ck_assert_int_eq(folder_catch_verb("screen", verb_top, &t), TOOL_USAGE);
	folder_remove();
}
END_TEST

/* ---- the screen ---- */

struct terminal {
	int fd, other, pid;	/* ours, the screen's */
	struct termios was;
	char *text;		/* all that has come */
	size_t length, looked;
};

static void sit_down(struct terminal *at, struct tool *t)
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 };

	*at = (struct terminal){ .text = calloc(1, 1 << 20) };
	ck_assert_int_eq(openpty(&at->fd, &at->other, NULL, NULL, &size), 0);
	ck_assert_int_eq(tcgetattr(at->other, &at->was), 0);
	at->pid = fork();
	ck_assert_int_ge(at->pid, 0);
	if (at->pid == 0) {
		close(at->fd);
		login_tty(at->other);
		/* The suite's own. */
		signal(SIGTERM, SIG_DFL);
		signal(SIGINT, SIG_DFL);
		setenv("TERM", "xterm", 1);
		free(at->text);
		exit(verb_top(t));
	}
}

/* False: nothing comes for so long. */
static bool look(struct terminal *at, int patience)
{
	struct pollfd fd = { .fd = at->fd, .events = POLLIN };
	ssize_t n;

	if (poll(&fd, 1, patience) <= 0)
		return false;
	n = read(at->fd, at->text + at->length, (1 << 20) - 1 - at->length);
	ck_assert_int_gt(n, 0);
	at->length += n;
	return true;
}

/* It appears, behind what was seen before. */
static void see(struct terminal *at, const char *what)
{
	char *found;

	while (!(found = strstr(at->text + at->looked, what)))
		ck_assert_msg(look(at, 60000), "no %s in %s", what, at->text + at->looked);
	at->looked = found - at->text + strlen(what);
}

static void type(struct terminal *at, const char *keys)
{
	ck_assert_int_eq(write(at->fd, keys, strlen(keys)), (int)strlen(keys));
}

static void resize(struct terminal *at, unsigned short rows, unsigned short columns)
{
	struct winsize size = { .ws_row = rows, .ws_col = columns };

	at->looked = at->length;
	ck_assert_int_eq(ioctl(at->fd, TIOCSWINSZ, &size), 0);
}

/* Its status; the terminal is as it was. */
static int stand_up(struct terminal *at)
{
	struct termios is;
	int status;

	see(at, "\033[?1049l");
	while (waitpid(at->pid, &status, WNOHANG) == 0)
		look(at, 20);
	ck_assert_int_eq(tcgetattr(at->other, &is), 0);
	ck_assert_uint_eq(is.c_lflag, at->was.c_lflag);
	ck_assert_uint_eq(is.c_iflag, at->was.c_iflag);
	ck_assert_uint_eq(is.c_oflag, at->was.c_oflag);
	close(at->other);
	close(at->fd);
	free(at->text);
	return status;
}

static struct tool screen_tool(void)
{
	shared->units = 2;
	return (struct tool){ .unit = PMT_ANY_UNIT, .delay = 0.1 };
}

START_TEST(screen)
{
	struct tool t = screen_tool();
	struct terminal at;

	sit_down(&at, &t);
	see(&at, "\033[?1049h");
	see(&at, "pmt top ");
	see(&at, "2 units, 4 copies, 2 bad");
	see(&at, "RING WRITE/s");
	see(&at, "served");
	see(&at, "failed");
	see(&at, "q quit");
	ck_assert_ptr_nonnull(strstr(at.text, "\033[31"));
	ck_assert_ptr_null(strstr(at.text, "[2J.tape\033"));
	ck_assert_int_eq(write(events[1], "x", 1), 1);
	see(&at, "unit 1 early-warning");
	resize(&at, 5, 20);
	see(&at, "pmt top ");
	type(&at, "jjjjkjsg\033[B\033[6~\033[Ax");
	resize(&at, 1, 1);
	resize(&at, 2, 200);
	see(&at, "pmt top ");
	resize(&at, 24, 80);
	see(&at, "pmt top ");
	shared->units = 0;
	see(&at, "no units; pmt new makes one");
	shared->units = 1;
	see(&at, "served");
	type(&at, "q");
	ck_assert_int_eq(stand_up(&at), 0);
}
END_TEST

/* A daemon that hangs leaves the screen alive. */
START_TEST(hangs)
{
	struct tool t = screen_tool();
	struct terminal at;

	sit_down(&at, &t);
	see(&at, "served");
	shared->hang = true;
	while (!shared->hanging)
		poll(NULL, 0, 10);
	resize(&at, 20, 100);
	see(&at, "pmt top ");
	type(&at, "q");
	see(&at, "\033[?1049l");
	at.looked = 0;
	shared->hang = false;
	ck_assert_int_eq(stand_up(&at), 0);
}
END_TEST

START_TEST(ended_by_a_signal)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
	struct tool t = screen_tool();
	struct terminal at;
	int status;

	sit_down(&at, &t);
	see(&at, "served");
	if (signals[_i] == SIGINT)
		type(&at, "\003");
	else
		kill(at.pid, signals[_i]);
	status = stand_up(&at);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == signals[_i]);
}
END_TEST

START_TEST(no_colours)
{
	struct tool t = screen_tool();
	struct terminal at;

	setenv("NO_COLOR", "1", 1);
	t.count = 3;
	sit_down(&at, &t);
	see(&at, "failed");
	see(&at, "q quit");
	ck_assert_ptr_null(strstr(at.text, "\033[31"));
	ck_assert_int_eq(stand_up(&at), 0);
	unsetenv("NO_COLOR");
}
END_TEST

/* The terminal is as it was before anything is said. */
START_TEST(modules_go)
{
	struct tool t = screen_tool();
	struct terminal at;

	sit_down(&at, &t);
	see(&at, "served");
	shared->gone = true;
	see(&at, "\033[?1049l");
	see(&at, "failed: unit -1, Package not installed");
	at.looked = 0;
	ck_assert_int_eq(WEXITSTATUS(stand_up(&at)), TOOL_FAILED);
}
END_TEST

static void set_up(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	ck_assert_int_eq(pipe(events), 0);
}

int main(void)
{
	Suite *suite = suite_create("top");
	TCase *tests = tcase_create("top");

	tcase_set_timeout(tests, 120);
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_add_test(tests, rows_of_two);
	tcase_add_test(tests, rows_without_rates);
	tcase_add_test(tests, rows_of_little);
	tcase_add_loop_test(tests, row_that_rejoins, 0, 4);
	tcase_add_test(tests, rows_by_rate);
	tcase_add_test(tests, lines);
	tcase_add_test(tests, screen);
	tcase_add_test(tests, hangs);
	tcase_add_loop_test(tests, ended_by_a_signal, 0, 3);
	tcase_add_test(tests, no_colours);
	tcase_add_test(tests, modules_go);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
