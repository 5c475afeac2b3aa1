// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * holder: the service manager's side of systemd's descriptor store
 *
 *	holder PROGRAM ARGUMENT...
 *
 * Runs PROGRAM, takes the descriptors that it sends to NOTIFY_SOCKET (FDSTORE=1,
 * FDNAME=), lets go of those that it names (FDSTOREREMOVE=1), and when it was
 * killed by SIGKILL runs it again with them (LISTEN_FDS, LISTEN_FDNAMES), as
 * Restart=on-abnormal does.  Otherwise ends as it ended.  Prints a line for
 * whatever happens: "started PID", "stored NAME", "removed NAME".
 */
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define STORE_MAX 16
#define FIRST 3		/* SD_LISTEN_FDS_START */

static struct {
	int fds[STORE_MAX];
	char names[STORE_MAX][256];
	int n;
} store;

static int from_program;
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static sigset_t children;

static void die(const char *what)
{
	perror(what);
	exit(125);
}

static void put_in(const char *name, int fd)
{
	if (store.n == STORE_MAX)
		die("too many descriptors");
	store.fds[store.n] = fd;
	snprintf(store.names[store.n++], sizeof(store.names[0]), "%s", name);
	printf("stored %s\n", name);
}

static void take_out(const char *name)
{
	for (int i = 0; i < store.n; i++) {
		if (strcmp(store.names[i], name))
			continue;
		close(store.fds[i]);
		printf("removed %s\n", name);
		store.n--;
		store.fds[i] = store.fds[store.n];
		memcpy(store.names[i], store.names[store.n], sizeof(store.names[0]));
		i--;
	}
}

static bool has_line(const char *text, const char *line)
{
	const char *at = strstr(text, line);

	return at && (at == text || at[-1] == '\n') &&
	       (at[strlen(line)] == '\n' || !at[strlen(line)]);
}

static void take_message(const char *text, const int *fds, size_t n)
{
	const char *at = strstr(text, "FDNAME=");
	char name[256] = "stored";

	if (at)
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(at + 7, "\n"), at + 7);
	if (has_line(text, "FDSTOREREMOVE=1"))
		take_out(name);
	for (size_t i = 0; i < n; i++)
		if (has_line(text, "FDSTORE=1"))
			put_in(name, fds[i]);
		else
			close(fds[i]);
}

static bool receive(void)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(STORE_MAX * sizeof(int))];
	} control;
	char text[4096];
	struct iovec data = { text, sizeof(text) - 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1,
				  .msg_control = &control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(from_program, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *first = CMSG_FIRSTHDR(&message);
	int fds[STORE_MAX];
	size_t count = 0;

	if (n < 0)
		return false;
	text[n] = '\0';
	if (first && first->cmsg_level == SOL_SOCKET && first->cmsg_type == SCM_RIGHTS) {
		count = (first->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(first), count * sizeof(int));
	}
	take_message(text, fds, count);
	return true;
}

/* What is stored as 3, 4, ...: first out of the way, then there. */
static void give_store(void)
{
	char text[32], names[STORE_MAX * 257] = "";
	int high[STORE_MAX];

	for (int i = 0; i < store.n; i++) {
		high[i] = dup2(store.fds[i], 200 + i);
		strcat(names, i ? ":" : "");
		strcat(names, store.names[i]);
	}
	for (int i = 0; i < store.n; i++)
		dup2(high[i], FIRST + i);
	snprintf(text, sizeof(text), "%d", store.n);
	setenv("LISTEN_FDS", text, 1);
	setenv("LISTEN_FDNAMES", names, 1);
	snprintf(text, sizeof(text), "%d", (int)getpid());
	setenv("LISTEN_PID", text, 1);
	closefrom(FIRST + store.n);
}

static pid_t start(char **argv)
{
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (child) {
		printf("started %d\n", (int)child);
		return child;
	}
	sigprocmask(SIG_UNBLOCK, &children, NULL);
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	give_store();
	execvp(argv[0], argv);
	die(argv[0]);
	return -1;
}

/* Its socket has all that it has sent before. */
static void reap(char **argv)
{
	int status;
	pid_t child = waitpid(-1, &status, WNOHANG);

	if (child <= 0)
		return;
	while (receive())
		;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
		start(argv);
		return;
	}
	unlink(address.sun_path);
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

int main(int argc, char **argv)
{
	struct signalfd_siginfo info;
	struct pollfd fds[2];

	if (argc < 2)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/holder.%d", (int)getpid());
	from_program = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (from_program < 0 || bind(from_program, (struct sockaddr *)&address, sizeof(address)))
		die("socket");
	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	sigprocmask(SIG_BLOCK, &children, NULL);
	fds[0] = (struct pollfd){ .fd = from_program, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = signalfd(-1, &children, SFD_CLOEXEC), .events = POLLIN };
	start(argv + 1);
	for (;;) {
		poll(fds, 2, -1);
		if (fds[0].revents)
			receive();
		if (fds[1].revents && read(fds[1].fd, &info, sizeof(info)) > 0)
			reap(argv + 1);
	}
}
