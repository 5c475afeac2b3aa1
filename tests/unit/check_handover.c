// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What keeps drives' descriptors (daemons/keep.c), and how they and a slave end go
 * from one process to the next (daemons/handover.c), each side against one that may
 * do anything.
 */
#include <check.h>
#include <dirent.h>
#include <sys/un.h>
#include <sys/wait.h>

static int patience;

#define TAKE_LIMIT patience
#define STOP_LIMIT 100

#include "../../daemons/keep.c"
#include "../../daemons/handover.c"
#include "suite.h"

void daemon_log(int priority, const char *format, ...)
{
	(void)priority;
	(void)format;
}

static int predecessor = -1;

int control_connect(uint32_t unit)
{
	(void)unit;
	return predecessor;
}

static int open_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(folder))
		n++;
	closedir(folder);
	return n;
}

static int a_descriptor(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

/* The keeper, and the manager that it tells */

static int manager;

static void begin_manager(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t size = sizeof(address);
	char name[128];

	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(manager, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
	ck_assert_int_eq(getsockname(manager, (struct sockaddr *)&address, &size), 0);
	snprintf(name, sizeof(name), "@%.*s", (int)(size - sizeof(sa_family_t) - 1),
		 address.sun_path + 1);
	setenv("NOTIFY_SOCKET", name, 1);
}

static void end_manager(void)
{
	close(manager);
	unsetenv("NOTIFY_SOCKET");
}

/* It was told this, with so many descriptors; NULL: nothing. */
static void expect_told(const char *text, size_t n)
{
	struct rights rights = { .n = 0 };
	char line[256] = "";
	struct iovec data = { line, sizeof(line) - 1 };
	struct msghdr header = { .msg_iov = &data, .msg_iovlen = 1,
				 .msg_control = &rights.control,
				 .msg_controllen = sizeof(rights.control) };
	ssize_t got = recvmsg(manager, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (!text) {
		ck_assert_int_lt(got, 0);
		return;
	}
	ck_assert_str_eq(line, text);
	ck_assert_int_eq(take_rights(&header, &rights), 0);
	ck_assert_uint_eq(rights.n, n);
	for (size_t i = 0; i < n; i++)
		close(rights.fds[i]);
}

START_TEST(keeping)
{
	int before = open_descriptors(), own = a_descriptor(), fd;
	struct keep *keep;
	const struct pmt_keeper *keeper;
	char state[80] = "x";

	begin_manager();
	keep = keep_new();
	keeper = keep_keeper(keep);
	ck_assert_int_eq(keeper->take(keep, "/dev/nst0", state, sizeof(state)), -ENOENT);
	keeper->keep(keep, "/dev/nst0", own);
	expect_told("FDSTORE=1\nFDPOLL=0\nFDNAME=/dev/nst0", 1);
	close(own);
	fd = keeper->take(keep, "/dev/nst0", state, sizeof(state));
	ck_assert_int_ge(fd, 0);
	ck_assert_str_eq(state, "");
	close(fd);
	keeper->leave(keep, "/dev/nst0", "5 0 5 0");
	close(keeper->take(keep, "/dev/nst0", state, sizeof(state)));
	ck_assert_str_eq(state, "5 0 5 0");
	close(keeper->take(keep, "/dev/nst0", state, sizeof(state)));
	ck_assert_str_eq(state, "");	/* once: somebody has it */
	keeper->leave(keep, "/dev/nst0", "5 0 5 0");
	keep_forget_states(keep);
	close(keeper->take(keep, "/dev/nst0", state, sizeof(state)));
	ck_assert_str_eq(state, "");
	expect_told(NULL, 0);
	keeper->drop(keep, "/dev/nst0");
	expect_told("FDSTOREREMOVE=1\nFDNAME=/dev/nst0", 0);
	ck_assert_ptr_null(keep_list(keep));
	keeper->drop(keep, "/dev/nst0");
	keep_free(keep);
	end_manager();
	ck_assert_int_eq(open_descriptors(), before);
}
END_TEST

/* Those that no drive took are given back. */
START_TEST(unused)
{
	char state[80];
	struct keep *keep;

	begin_manager();
	keep = keep_new();
	ck_assert_int_eq(keep_add(keep, "one", a_descriptor(), "1"), 0);
	ck_assert_int_eq(keep_add(keep, "two", a_descriptor(), "2"), 0);
	expect_told("FDSTORE=1\nFDPOLL=0\nFDNAME=one", 1);
	expect_told("FDSTORE=1\nFDPOLL=0\nFDNAME=two", 1);
	close(keep_keeper(keep)->take(keep, "two", state, sizeof(state)));
	ck_assert_str_eq(state, "2");
	keep_close_unused(keep);
	expect_told("FDSTOREREMOVE=1\nFDNAME=one", 0);
	expect_told(NULL, 0);
	ck_assert_str_eq(keep_list(keep)->name, "two");
	keep_free(keep);
	expect_told(NULL, 0);		/* the manager's stay */
	end_manager();
}
END_TEST

/* What the manager starts a process with. */
START_TEST(adopted)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		char pid[16], state[80];
		struct keep *keep;

		dup2(a_descriptor(), 3);
		dup2(3, 4);
		snprintf(pid, sizeof(pid), "%d", (int)getpid());
		setenv("LISTEN_PID", pid, 1);
		setenv("LISTEN_FDS", "2", 1);
		setenv("LISTEN_FDNAMES", "/dev/nst0:/dev/nst1", 1);
		keep = keep_new();
		_exit(keep_keeper(keep)->take(keep, "/dev/nst1", state, sizeof(state)) < 0 ||
		      keep_keeper(keep)->take(keep, "/dev/nst0", state, sizeof(state)) < 0 ||
		      state[0] || getenv("LISTEN_FDS") ||
		      !(fcntl(3, F_GETFD) & FD_CLOEXEC));
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* The predecessor's side */

enum what { TAKES, LEAVES, REFUSES, GARBAGE, DIES, HANGS_UP, IS_SILENT, IS_FROZEN, N_WHATS };

static bool stays(enum what what)
{
	return what >= HANGS_UP;
}

/* Another process: what it was given works, and then it does this. */
static void be_successor(enum what what, const struct sockaddr_un *address, socklen_t size)
{
	static const char *const says[] = {
		[TAKES] = "{\"taken\":true}\n", [REFUSES] = "{\"taken\":false}\n",
		[GARBAGE] = "\"taken\"\n",
	};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct rights rights = { .n = 0 };
	char *line = calloc(1, MESSAGE_MAX);

	alarm(60);
	if (connect(fd, (const struct sockaddr *)address, size) ||
	    receive_message(fd, -1, line, &rights) || rights.n != 2 ||
	    write(rights.fds[0], "s", 1) != 1 || write(rights.fds[1], "d", 1) != 1 ||
	    !strstr(line, "\"unit\":3") || !strstr(line, "\"spec\":\"st:/dev/nst0\"") ||
	    !strstr(line, "{\"name\":\"/dev/nst0\",\"state\":\"5 0 5 0\"}"))
		_exit(1);
	if (what < sizeof(says) / sizeof(says[0]) && says[what])
		send(fd, says[what], strlen(says[what]), 0);
	if (what == DIES || what == GARBAGE)
		raise(SIGKILL);
	if (what == HANGS_UP)
		close(fd);
	if (what == IS_FROZEN)
		raise(SIGSTOP);
	while (stays(what))
		pause();
	_exit(0);
}

/* A successor, and what is given to it: both ends of a pipe are counted. */
struct giving {
	struct successor successor;
	struct keep *keep;
	int ends[2];
	pid_t child;
};

static void begin_giving(struct giving *g, enum what what)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(address);

	ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(pipe2(g->ends, O_CLOEXEC), 0);
	g->keep = keep_new();
	keep_add(g->keep, "/dev/nst0", fcntl(g->ends[1], F_DUPFD_CLOEXEC, 0), "5 0 5 0");
	g->child = fork();
	if (g->child == 0)
		be_successor(what, &address, size);
	ck_assert_int_eq(handover_asked(&g->successor, accept4(listener, NULL, NULL,
							       SOCK_CLOEXEC | SOCK_NONBLOCK)), 0);
	ck_assert_int_eq(g->successor.pid, g->child);
	close(listener);
}

static int give(struct giving *g, int stop)
{
	return handover_give(&g->successor, stop, g->ends[1], g->keep, 3, "st:/dev/nst0");
}

static void end_giving(struct giving *g)
{
	close(g->successor.connection);
	close(g->successor.process);
	close(g->ends[0]);
	close(g->ends[1]);
	keep_free(g->keep);
}

START_TEST(giving)
{
	struct giving g;
	int status = 0;
	char got[2];

	patience = stays((enum what)_i) ? 5000 : 30000;
	begin_giving(&g, (enum what)_i);
	ck_assert_int_eq(give(&g, -1), _i == TAKES ? g.child : -ECANCELED);
	/* Refused means that it has ended, all of it. */
	ck_assert_int_eq(waitpid(g.child, &status, _i == TAKES ? 0 : WNOHANG), g.child);
	ck_assert(!WIFEXITED(status) || WEXITSTATUS(status) == 0);
	ck_assert(!stays((enum what)_i) || WTERMSIG(status) == SIGKILL);
	ck_assert_int_eq(read(g.ends[0], got, 2), 2);
	ck_assert_int_eq(memcmp(got, "sd", 2), 0);
	end_giving(&g);
}
END_TEST

/* Who is to stop does not wait as long. */
START_TEST(giving_and_stopping)
{
	int ends[2], status;
	struct giving g;

	patience = 1000000;
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_eq(write(ends[1], "", 1), 1);
	begin_giving(&g, IS_FROZEN);
	ck_assert_int_eq(give(&g, ends[0]), -ECANCELED);
	ck_assert_int_eq(waitpid(g.child, &status, 0), g.child);
	ck_assert_int_eq(WTERMSIG(status), SIGKILL);
	end_giving(&g);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

/* It has ended meanwhile: its number may be another's. */
START_TEST(asked_and_gone)
{
	struct successor successor;
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	ck_assert_int_eq(handover_asked(&successor, ends[0]), 0);
	close(successor.process);
	close(ends[1]);
	ck_assert_int_eq(handover_asked(&successor, ends[0]), -ECONNRESET);
	close(ends[0]);
}
END_TEST

/* The successor's side: what comes is not trusted */

static void offer(int fd, const char *text, size_t n)
{
	struct rights rights = { .n = n };
	struct iovec data = { (void *)(uintptr_t)text, strlen(text) };
	struct msghdr header = { .msg_iov = &data, .msg_iovlen = 1 };
	int own = a_descriptor();

	if (n) {
		rights.control.header = (struct cmsghdr){
			.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(n * sizeof(int)),
		};
		for (size_t i = 0; i < n; i++)
			memcpy(CMSG_DATA(&rights.control.header) + i * sizeof(int), &own,
			       sizeof(int));
		header.msg_control = &rights.control;
		header.msg_controllen = CMSG_SPACE(n * sizeof(int));
	}
	ck_assert_int_eq(sendmsg(fd, &header, MSG_NOSIGNAL), (int)strlen(text));
	close(own);
}

static void refuse(const char *text, size_t n, int error)
{
	int before = open_descriptors(), ends[2], slave = -1;
	struct keep *keep = keep_new();
	char *spec = NULL;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	predecessor = ends[0];
	if (*text)
		offer(ends[1], text, n);
	shutdown(ends[1], SHUT_WR);
	ck_assert_int_eq(handover_take(0, -1, keep, &slave, &spec), error);
	ck_assert_int_eq(slave, -1);
	free(spec);
	close(ends[1]);
	keep_free(keep);
	ck_assert_msg(open_descriptors() == before, "descriptors are left: %s", text);
}

START_TEST(taking)
{
	char *line = malloc(MESSAGE_MAX + 100);

	refuse("", 0, -ECONNRESET);
	refuse("{\"unit\":0,\"spec\":\"null:\"", 1, -ECONNRESET);
	refuse("{\"error\":\"no\"}\n", 0, -ECANCELED);
	refuse("{\"error\":\"no\"}\n", 2, -ECANCELED);
	refuse("hello\n", 1, -EPROTO);
	refuse("[]\n", 1, -EPROTO);
	refuse("{\"unit\":0,\"drives\":[]}\n", 1, -EPROTO);
	refuse("{\"unit\":0,\"spec\":5,\"drives\":[]}\n", 1, -EPROTO);
	refuse("{\"unit\":0,\"spec\":\"null:\",\"drives\":[]}\n", 0, -EPROTO);
	refuse("{\"unit\":0,\"spec\":\"null:\",\"drives\":[]}\n", 1, -EPROTO);	/* no slave end */
	refuse("{\"unit\":0,\"spec\":\"null:\",\"drives\":[{}]}\n", 40, -EPROTO);
	memset(line, ' ', MESSAGE_MAX + 99);
	line[MESSAGE_MAX + 99] = '\0';
	refuse(line, 1, -EMSGSIZE);
	free(line);
}
END_TEST

/* While the one before still finishes what was issued. */
START_TEST(taking_and_stopping)
{
	struct keep *keep = keep_new();
	int ends[2], stop[2], slave = -1;
	char *spec = NULL;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	ck_assert_int_eq(pipe2(stop, O_CLOEXEC), 0);
	ck_assert_int_eq(write(stop[1], "", 1), 1);
	predecessor = ends[0];
	ck_assert_int_eq(handover_take(0, stop[0], keep, &slave, &spec), -EINTR);
	ck_assert_int_eq(slave, -1);
	keep_free(keep);
	close(ends[1]);
	close(stop[0]);
	close(stop[1]);
}
END_TEST

static Suite *handover_suite(void)
{
	Suite *suite = suite_create("handover");
	TCase *tcase = tcase_create("handover");

	tcase_add_test(tcase, keeping);
	tcase_add_test(tcase, unused);
	tcase_add_test(tcase, adopted);
	tcase_add_test(tcase, taking);
	tcase_add_test(tcase, taking_and_stopping);
	tcase_add_loop_test(tcase, giving, 0, N_WHATS);
	tcase_add_test(tcase, giving_and_stopping);
	tcase_add_test(tcase, asked_and_gone);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	return run_suite(handover_suite());
}
