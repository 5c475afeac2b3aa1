// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the tools and daemons are made of and works without the modules: texts
 * to units, names, and the control socket (daemons/control.c), which is served
 * here by a thread in a folder of its own.
 */
#include <check.h>
#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "../../daemons/control.c"
#include "suite.h"

static atomic_int n_messages;

void daemon_log(int priority, const char *format, ...)
{
	(void)priority;
	(void)format;
	n_messages++;
}

static void no_log(int priority, const char *message)
{
	(void)priority;
	(void)message;
}

START_TEST(unit_names)
{
	static const struct { const char *text; int unit; } cases[] = {
		{ "0", 0 }, { "17", 17 }, { "pmtm3", 3 }, { "npmtm4", 4 }, { "pmts5", 5 },
		{ "/dev/pmtm6", 6 }, { "/dev/npmtm7", 7 }, { "/dev/pmts8", 8 },
		{ "", -1 }, { "-1", -1 }, { "1x", -1 }, { "pmtm", -1 }, { "nst0", -1 },
		{ "/dev/nst0", -1 }, { "/dev/0", -1 }, { "pmtmx", -1 }, { " 1", -1 },
		{ "4294967295", -1 }, { "18446744073709551616", -1 }, { "npmts1", -1 },
	};
	uint32_t unit = 99;

	pmt_log_set_handler(no_log);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int err = pmt_unit_parse(cases[i].text, &unit);

		ck_assert_msg(cases[i].unit < 0 ? err == -EINVAL :
			      err == 0 && unit == (uint32_t)cases[i].unit,
			      "%s: %d, unit %u", cases[i].text, err, unit);
	}
}
END_TEST

/* The name behind a link counts. */
START_TEST(unit_link)
{
	char where[] = "/tmp/check-tools-XXXXXX", node[64], link[64];
	uint32_t unit = 99;

	ck_assert_ptr_nonnull(mkdtemp(where));
	snprintf(node, sizeof(node), "%s/npmtm5", where);
	snprintf(link, sizeof(link), "%s/pmtm6", where);
	fclose(fopen(node, "w"));
	ck_assert_int_eq(symlink(node, link), 0);
	ck_assert_int_eq(pmt_unit_parse(link, &unit), 0);
	ck_assert_uint_eq(unit, 5);
	unlink(link);
	unlink(node);
	rmdir(where);
}
END_TEST

START_TEST(unit_ring)
{
	static const struct { const char *text; uint32_t size; } cases[] = {
		{ "1M", 1 << 20 }, { "64m", 64 << 20 }, { "1G", 1 << 30 },
		{ "1048576", 1 << 20 }, { "2048K", 2 << 20 }, { "3M", 0 }, { "512K", 0 },
		{ "2G", 0 }, { "", 0 }, { "M", 0 }, { "1MM", 0 }, { "1T", 0 }, { "-1M", 0 },
		{ "99999999999999999999", 0 }, { "18014398509481985K", 0 },
	};

	pmt_log_set_handler(no_log);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pmt_unit_config config = { 0 };
		int err = pmt_unit_config_parse(&config, "ring", cases[i].text);

		ck_assert_msg((err == 0) == (cases[i].size != 0) &&
			      config.data_size == cases[i].size, "%s", cases[i].text);
	}
}
END_TEST

START_TEST(unit_recovery)
{
	static const struct { const char *text; int64_t ms; } cases[] = {
		{ "0", 0 }, { "30", 30000 }, { "0.5", 500 }, { "1.25", 1250 },
		{ "1.2345", 1234 }, { "forever", PMT_RECOVERY_FOREVER },
		{ "4294966", 4294966000 }, { "4294967", -1 }, { "", -1 }, { "1.", -1 },
		{ ".5", -1 }, { "1s", -1 }, { "-1", -1 }, { "never", -1 },
	};

	pmt_log_set_handler(no_log);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pmt_unit_config config = { 0 };
		int err = pmt_unit_config_parse(&config, "recovery", cases[i].text);

		ck_assert_msg(cases[i].ms < 0 ? err < 0 && !config.set_recovery :
			      err == 0 && config.set_recovery && config.recovery == cases[i].ms,
			      "%s: %u", cases[i].text, config.recovery);
	}
}
END_TEST

START_TEST(unit_eot)
{
	struct pmt_unit_config config = { 0 };

	pmt_log_set_handler(no_log);
	ck_assert_int_eq(pmt_unit_config_parse(&config, "eot", "hold"), 0);
	ck_assert(config.set_eot && config.eot == PMT_EOT_HOLD);
	ck_assert_int_eq(pmt_unit_config_parse(&config, "eot", "st"), 0);
	ck_assert_int_eq(config.eot, PMT_EOT_ST);
	ck_assert_int_eq(pmt_unit_config_parse(&config, "eot", "s"), -EINVAL);
	ck_assert_int_eq(pmt_unit_config_parse(&config, "colour", "red"), -ENOENT);
}
END_TEST

START_TEST(names)
{
	ck_assert_str_eq(pmt_state_name(PMT_STATE_RECOVERING), "recovering");
	ck_assert_str_eq(pmt_state_name(99), "?");
	ck_assert_str_eq(pmt_event_name(0), "?");
	ck_assert_str_eq(pmt_event_name(PMT_EVENT_COPY_REJOINED), "copy-rejoined");
	ck_assert_str_eq(pmt_event_name(PMT_EVENT_COPY_REJOINED + 1), "?");
	ck_assert_str_eq(pmt_eot_name(PMT_EOT_HOLD), "hold");
	for (int i = PMT_EVENT_UNIT_ADDED; i <= PMT_EVENT_COPY_REJOINED; i++)
		ck_assert_str_ne(pmt_event_name(i), "?");
}
END_TEST

/* The daemon's side of one test. */
struct served {
	struct control *control;
	pthread_t thread;
	int quit;
};

static char folder[64], name[96];

static struct json_object *run_text(void *context, struct json_object *request)
{
	struct json_object *answer = json_object_new_object();

	(void)context;
	json_object_object_add(answer, "was", json_object_get(request));
	return answer;
}

/* It speaks with the client by itself; once. */
static const char *take_it(void *context, int fd)
{
	static bool taken;

	(void)context;
	if (taken)
		return "taken already";
	taken = true;
	ck_assert_int_eq(send(fd, "mine\n", 5, 0), 5);
	close(fd);
	return NULL;
}

static const struct control_command commands[] = {
	{ "status", run_text, NULL },
	{ "watch", run_text, NULL },
	{ "take", NULL, take_it },
	{ NULL, NULL, NULL },
};

static void *serve(void *context)
{
	struct served *s = context;
	struct pollfd fds[] = {
		{ .fd = s->quit, .events = POLLIN },
		{ .fd = control_fd(s->control), .events = POLLIN },
	};

	while (poll(fds, 2, -1) > 0 && !fds[0].revents)
		control_dispatch(s->control);
	return NULL;
}

static void start(struct served *s)
{
	ck_assert_int_eq(control_open(&s->control, 7, commands, NULL), 0);
	s->quit = eventfd(0, EFD_CLOEXEC);
	ck_assert_int_eq(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop(struct served *s)
{
	eventfd_write(s->quit, 1);
	pthread_join(s->thread, NULL);
	control_close(s->control);
	close(s->quit);
}

static void make_rundir(void)
{
	char template[] = "/tmp/check-tools-XXXXXX";

	ck_assert_ptr_nonnull(mkdtemp(template));
	snprintf(folder, sizeof(folder), "%s/pmt", template);
	snprintf(name, sizeof(name), "%s/7.sock", folder);
	setenv("PMT_RUNDIR", folder, 1);
}

static void remove_rundir(void)
{
	unlink(name);
	rmdir(folder);
	*strrchr(folder, '/') = '\0';
	rmdir(folder);
}

static FILE *connect_to(const char *request)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval limit = { .tv_sec = 10 };
	FILE *file;

	strcpy(address.sun_path, name);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(send(fd, request, strlen(request), MSG_NOSIGNAL), (int)strlen(request));
	file = fdopen(fd, "r");
	ck_assert_ptr_nonnull(file);
	return file;
}

static void expect(FILE *file, const char *part)
{
	static char line[1 << 17];

	ck_assert_msg(fgets(line, sizeof(line), file) != NULL, "no line, but \"%s\"", part);
	ck_assert_msg(strstr(line, part) != NULL, "\"%s\" is not in %s", part, line);
}

START_TEST(socket_answers)
{
	struct served s;
	struct stat st;
	FILE *file;

	start(&s);
	ck_assert_int_eq(stat(name, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(stat(folder, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0755);
	file = connect_to("{\"command\":\"status\",\"a\":1}\n\n{\"command\":\"dance\"}\nhello\n"
			  "[]\n{\"command\":5}\n{\"command\":\"status\"} x\n{\"command\":\"stat");
	expect(file, "{\"was\":{\"command\":\"status\",\"a\":1}}");
	expect(file, "{\"error\":\"unknown command \\\"dance\\\"\"}");
	expect(file, "{\"error\":\"not a line of JSON\"}");
	expect(file, "{\"error\":\"a request is");
	expect(file, "{\"error\":\"a request is");
	expect(file, "{\"error\":\"not a line of JSON\"}");
	ck_assert_int_eq(send(fileno(file), "us\"}\n", 5, 0), 5);
	expect(file, "{\"was\":{\"command\":\"status\"}}");
	fclose(file);
	stop(&s);
	ck_assert_int_eq(stat(name, &st), -1);
}
END_TEST

START_TEST(socket_half_closed)
{
	struct served s;
	FILE *file;

	start(&s);
	file = connect_to("{\"command\":\"status\"}\n");
	shutdown(fileno(file), SHUT_WR);
	expect(file, "was");
	ck_assert_int_eq(fgetc(file), EOF);
	fclose(file);
	file = connect_to("{\"command\":\"watch\"}\n");
	shutdown(fileno(file), SHUT_WR);
	expect(file, "was");
	control_emit(s.control, "one", NULL);
	expect(file, "\"event\":\"one\"");
	fclose(file);
	stop(&s);
}
END_TEST

/* The connection is somebody else's; not one that watches, or waits for an answer. */
START_TEST(socket_taken)
{
	struct served s;
	FILE *file;

	start(&s);
	file = connect_to("{\"command\":\"watch\"}\n{\"command\":\"take\"}\n");
	expect(file, "was");
	expect(file, "{\"error\":\"it is for a connection of its own\"}");
	fclose(file);
	file = connect_to("{\"command\":\"take\"}\n");
	expect(file, "mine");
	ck_assert_int_eq(fgetc(file), EOF);
	fclose(file);
	file = connect_to("{\"command\":\"take\"}\n{\"command\":\"status\"}\n");
	expect(file, "{\"error\":\"taken already\"}");
	expect(file, "was");
	fclose(file);
	stop(&s);
}
END_TEST

START_TEST(socket_long_line)
{
	struct served s;
	char *line = malloc(100001);
	FILE *file;

	memset(line, ' ', 100000);
	line[100000] = '\0';
	start(&s);
	file = connect_to(line);
	expect(file, "longer than 64 KiB");
	ck_assert_int_eq(fgetc(file), EOF);
	fclose(file);
	file = connect_to("{\"command\":\"status\"}\n");
	expect(file, "was");
	fclose(file);
	stop(&s);
	free(line);
}
END_TEST

static void *emit_many(void *control)
{
	for (int i = 0; i < 100; i++)
		control_emit(control, "many", NULL);
	return NULL;
}

START_TEST(socket_events)
{
	struct json_object *details = json_object_new_object();
	pthread_t threads[4];
	struct served s;
	FILE *file;

	start(&s);
	file = connect_to("{\"command\":\"watch\"}\n");
	expect(file, "was");
	json_object_object_add(details, "copy", json_object_new_int(3));
	control_emit(s.control, "first", details);
	expect(file, "{\"copy\":3,\"time\":\"2");
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, emit_many, s.control);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 400; i++)
		expect(file, "\"unit\":7,\"event\":\"many\"}");
	control_emit(s.control, "last", NULL);
	stop(&s);
	expect(file, "\"event\":\"last\"");
	ck_assert_int_eq(fgetc(file), EOF);
	fclose(file);
}
END_TEST

static struct json_object *large(void)
{
	struct json_object *details = json_object_new_object();
	char text[4096];

	memset(text, 'x', sizeof(text));
	json_object_object_add(details, "text", json_object_new_string_len(text, sizeof(text)));
	return details;
}

/* One who does not read is dropped; the other has everything. */
START_TEST(socket_slow_watcher)
{
	FILE *slow, *fast;
	struct served s;
	int before;

	start(&s);
	slow = connect_to("{\"command\":\"watch\"}\n");
	fast = connect_to("{\"command\":\"watch\"}\n");
	expect(slow, "was");
	expect(fast, "was");
	before = n_messages;
	for (int i = 0; i < 1000; i++) {
		control_emit(s.control, "large", large());
		expect(fast, "\"event\":\"large\"");
	}
	ck_assert_int_eq(n_messages, before + 1);
	while (fgetc(slow) != EOF)
		;
	ck_assert(!ferror(slow) || errno == ECONNRESET);
	fclose(slow);
	fclose(fast);
	stop(&s);
}
END_TEST

/* One too many has to wait until another has left. */
START_TEST(socket_many_clients)
{
	struct pollfd poll_last = { .events = POLLIN };
	FILE *files[32], *last;
	struct served s;

	start(&s);
	for (int i = 0; i < 32; i++) {
		files[i] = connect_to("{\"command\":\"status\"}\n");
		expect(files[i], "was");
	}
	last = connect_to("{\"command\":\"status\"}\n");
	poll_last.fd = fileno(last);
	ck_assert_int_eq(poll(&poll_last, 1, 100), 0);
	fclose(files[0]);
	expect(last, "was");
	fclose(last);
	for (int i = 1; i < 32; i++)
		fclose(files[i]);
	stop(&s);
}
END_TEST

/* A dead daemon's file is replaced. */
START_TEST(socket_stale)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct served s;
	FILE *file;

	mkdir(folder, 0755);
	strcpy(address.sun_path, name);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	start(&s);
	file = connect_to("{\"command\":\"status\"}\n");
	expect(file, "was");
	fclose(file);
	stop(&s);
}
END_TEST

static ino_t inode(void)
{
	struct stat st = { .st_ino = 0 };

	stat(name, &st);
	return st.st_ino;
}

/* A live one's is not, until it goes. */
START_TEST(socket_live)
{
	struct served old, new;
	ino_t first;
	FILE *file;

	start(&old);
	first = inode();
	start(&new);
	ck_assert_uint_eq(inode(), first);
	control_emit(new.control, "nobody", NULL);
	stop(&old);
	for (int i = 0; i < 1000 && !inode(); i++)
		usleep(10000);
	file = connect_to("{\"command\":\"watch\"}\n");
	expect(file, "was");
	control_emit(new.control, "mine", NULL);
	expect(file, "\"event\":\"mine\"");
	fclose(file);
	stop(&new);
	ck_assert_uint_eq(inode(), 0);
}
END_TEST

START_TEST(socket_errors)
{
	struct control *control = NULL;
	char path[200];

	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	setenv("PMT_RUNDIR", path, 1);
	ck_assert_int_eq(control_open(&control, 7, commands, NULL), -ENAMETOOLONG);
	setenv("PMT_RUNDIR", "/nonexistent/pmt", 1);
	ck_assert_int_eq(control_open(&control, 7, commands, NULL), -ENOENT);
	setenv("PMT_RUNDIR", folder, 1);
	ck_assert_ptr_null(control);
}
END_TEST

static Suite *tools_suite(void)
{
	Suite *suite = suite_create("tools");
	TCase *units = tcase_create("units"), *sockets = tcase_create("control socket");

	tcase_add_test(units, unit_names);
	tcase_add_test(units, unit_link);
	tcase_add_test(units, unit_ring);
	tcase_add_test(units, unit_recovery);
	tcase_add_test(units, unit_eot);
	tcase_add_test(units, names);
	suite_add_tcase(suite, units);
	tcase_add_checked_fixture(sockets, make_rundir, remove_rundir);
	tcase_set_timeout(sockets, 60);
	tcase_add_test(sockets, socket_answers);
	tcase_add_test(sockets, socket_half_closed);
	tcase_add_test(sockets, socket_taken);
	tcase_add_test(sockets, socket_long_line);
	tcase_add_test(sockets, socket_events);
	tcase_add_test(sockets, socket_slow_watcher);
	tcase_add_test(sockets, socket_many_clients);
	tcase_add_test(sockets, socket_stale);
	tcase_add_test(sockets, socket_live);
	tcase_add_test(sockets, socket_errors);
	suite_add_tcase(suite, sockets);
	return suite;
}

int main(void)
{
	return run_suite(tools_suite());
}
