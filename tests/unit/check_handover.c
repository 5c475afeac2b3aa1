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

enum successor { TAKES, LEAVES, REFUSES, GARBAGE, STAYS_SILENT, N_SUCCESSORS };

/* Another process: what it was given works, and then it does this. */
static void be_successor(enum successor what, const struct sockaddr_un *address, socklen_t size)
{
	static const char *const says[] = {
		[TAKES] = "{\"taken\":true}\n", [REFUSES] = "{\"taken\":false}\n",
		[GARBAGE] = "\"taken\"\n",
	};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct rights rights = { .n = 0 };
	char *line = calloc(1, MESSAGE_MAX);

	alarm(20);
	if (connect(fd, (const struct sockaddr *)address, size) ||
	    receive_message(fd, line, &rights) || rights.n != 2 ||
	    write(rights.fds[0], "s", 1) != 1 || write(rights.fds[1], "d", 1) != 1 ||
	    !strstr(line, "\"unit\":3") || !strstr(line, "\"spec\":\"st:/dev/nst0\"") ||
	    !strstr(line, "{\"name\":\"/dev/nst0\",\"state\":\"5 0 5 0\"}"))
		_exit(1);
	if (what < sizeof(says) / sizeof(says[0]) && says[what])
		send(fd, says[what], strlen(says[what]), 0);
	if (what == STAYS_SILENT || what == GARBAGE)
		raise(SIGKILL);
	_exit(0);
}

START_TEST(giving)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), connection, result;
	socklen_t size = sizeof(address);
	struct keep *keep = keep_new();
	int ends[2], status;
	char got[2];
	pid_t child;

	ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	keep_add(keep, "/dev/nst0", fcntl(ends[1], F_DUPFD_CLOEXEC, 0), "5 0 5 0");
	child = fork();
	if (child == 0)
		be_successor((enum successor)_i, &address, size);
	connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	result = handover_give(connection, ends[1], keep, 3, "st:/dev/nst0");
	ck_assert_int_eq(result, _i == TAKES ? child : -ECANCELED);
	/* Refused means that it has ended, all of it. */
	ck_assert_int_eq(waitpid(child, &status, _i == TAKES ? 0 : WNOHANG), child);
	ck_assert(!WIFEXITED(status) || WEXITSTATUS(status) == 0);
	ck_assert_int_eq(read(ends[0], got, 2), 2);
	ck_assert_int_eq(memcmp(got, "sd", 2), 0);
	close(connection);
	close(listener);
	close(ends[0]);
	close(ends[1]);
	keep_free(keep);
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
	ck_assert_int_eq(handover_take(0, keep, &slave, &spec), error);
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

static Suite *handover_suite(void)
{
	Suite *suite = suite_create("handover");
	TCase *tcase = tcase_create("handover");

	tcase_add_test(tcase, keeping);
	tcase_add_test(tcase, unused);
	tcase_add_test(tcase, adopted);
	tcase_add_test(tcase, taking);
	tcase_add_loop_test(tcase, giving, 0, N_SUCCESSORS);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	return run_suite(handover_suite());
}
