// SPDX-License-Identifier: LGPL-2.1-or-later
/* rmt, exec: a process that is spoken to; see remote.h. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "remote.h"

#define INPUT		(64u << 10)
#define BUFFER		(4 << 20)	/* of the socket; the system has its own limit */
#define CLOSING		2000		/* ms to end by itself, when its input ends */
#define ENDING		2000		/* ms behind SIGTERM */

extern char **environ;

int64_t pmt_wire_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* ---- the process ---- */

/* A session of its own: no terminal to ask at, and no signal that was for us. */
static int set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t none, defaults;

	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	sigaddset(&defaults, SIGXFSZ);
	posix_spawnattr_setsigmask(attributes, &none);
	posix_spawnattr_setsigdefault(attributes, &defaults);
	return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID |
					POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

/* Nothing else of what is open here is for it. */
static int set_files(posix_spawn_file_actions_t *actions, int fd)
{
	int rc = posix_spawn_file_actions_adddup2(actions, fd, STDIN_FILENO);

	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(actions, fd, STDOUT_FILENO);
	if (rc == 0)
		rc = posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
	return rc;
}

static int spawn(struct pmt_wire *wire, const char *const *argv, int fd)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int rc = posix_spawn_file_actions_init(&actions);

	if (rc)
		return -rc;
	rc = posix_spawnattr_init(&attributes);
	if (rc == 0) {
		rc = set_attributes(&attributes);
		if (rc == 0)
			rc = set_files(&actions, fd);
		if (rc == 0)
			rc = posix_spawnp(&wire->pid, argv[0], &actions, &attributes,
					  (char *const *)(uintptr_t)argv, environ);
		posix_spawnattr_destroy(&attributes);
	}
	posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

int pmt_wire_open(struct pmt_wire *wire, const char *const *argv)
{
	int fds[2], size = BUFFER, rc;

	if (!wire->in) {
		wire->in = malloc(INPUT);
		wire->room = INPUT;
	}
	if (!wire->in)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	/* More on the wire; it works with less. */
	for (int i = 0; i < 2; i++)
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	rc = spawn(wire, argv, fds[1]);
	close(fds[1]);
	if (rc) {
		close(fds[0]);
		return rc;
	}
	wire->process = pidfd_open(wire->pid, 0);
	wire->fd = fds[0];
	wire->from = wire->to = 0;
	pmt_rmt_reply_init(&wire->parser);
	return 0;
}

static bool has_ended(const struct pmt_wire *wire, int ms)
{
	struct pollfd poll_fd = { .fd = wire->process, .events = POLLIN };

	return wire->process >= 0 && poll(&poll_fd, 1, ms) > 0;
}

void pmt_wire_close(struct pmt_wire *wire)
{
	if (wire->fd < 0)
		return;
	close(wire->fd);
	wire->fd = -1;
	/* A shell ends before what it has started. */
	if (!has_ended(wire, CLOSING)) {
		kill(-wire->pid, SIGTERM);
		has_ended(wire, ENDING);
		kill(-wire->pid, SIGKILL);
	}
	while (waitpid(wire->pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (wire->process >= 0)
		close(wire->process);
	wire->process = -1;
}

/* ---- bytes ---- */

static ssize_t moved(ssize_t n)
{
	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? 0 :
	       errno == ECONNRESET ? -EPIPE : -errno;
}

ssize_t pmt_wire_put(struct pmt_wire *wire, const struct iovec *iov, int n)
{
	struct msghdr message = { .msg_iov = (struct iovec *)(uintptr_t)iov,
				  .msg_iovlen = (size_t)n };

	return moved(sendmsg(wire->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
}

ssize_t pmt_wire_get(struct pmt_wire *wire, const struct iovec *iov, int n)
{
	struct msghdr message = { .msg_iov = (struct iovec *)(uintptr_t)iov,
				  .msg_iovlen = (size_t)n };
	ssize_t got = recvmsg(wire->fd, &message, MSG_DONTWAIT);

	return got ? moved(got) : -EPIPE;
}

/* All that had come was taken. */
ssize_t pmt_wire_fill(struct pmt_wire *wire)
{
	struct iovec iov = { wire->in, wire->room };
	ssize_t n = pmt_wire_get(wire, &iov, 1);

	wire->from = 0;
	wire->to = n > 0 ? (size_t)n : 0;
	return n;
}

size_t pmt_wire_taken(struct pmt_wire *wire, void *to, size_t n)
{
	if (n > wire->to - wire->from)
		n = wire->to - wire->from;
	if (to && n)
		memcpy(to, wire->in + wire->from, n);
	wire->from += n;
	return n;
}

int pmt_wire_give_back(struct pmt_wire *wire, const void *from, size_t n)
{
	if (wire->from == wire->to)
		wire->from = wire->to = 0;
	if (wire->room - wire->to < n) {
		char *larger = realloc(wire->in, wire->to + n);

		if (!larger)
			return -ENOMEM;
		wire->in = larger;
		wire->room = wire->to + n;
	}
	memcpy(wire->in + wire->to, from, n);
	wire->to += n;
	return 0;
}

int pmt_wire_take_reply(struct pmt_wire *wire, struct pmt_rmt_reply *reply, bool *done)
{
	ssize_t n = pmt_rmt_reply_feed(&wire->parser, wire->in + wire->from,
				       wire->to - wire->from, reply, done);

	if (n < 0)
		return -EBADMSG;
	wire->from += (size_t)n;
	return *done && reply->kind == PMT_RMT_ERROR && reply->fatal ? -EPIPE : 0;
}

/* ---- blocking ---- */

/* ms that it may still be silent. */
static int silence(const struct pmt_wire *wire)
{
	int64_t left = wire->until ? wire->until - pmt_wire_now() : wire->timeout;

	return left < 0 ? 0 : left < wire->timeout ? (int)left : wire->timeout;
}

static int wait_for(struct pmt_wire *wire, short events)
{
	struct pollfd poll_fd = { .fd = wire->fd, .events = events };
	int rc;

	do {
		rc = poll(&poll_fd, 1, silence(wire));
	} while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : rc ? 0 : -ETIMEDOUT;
}

int pmt_wire_send(struct pmt_wire *wire, struct iovec *iov, int n)
{
	while (n) {
		ssize_t sent = pmt_wire_put(wire, iov, n);
		int rc = sent ? 0 : wait_for(wire, POLLOUT);

		if (sent < 0 || rc)
			return sent < 0 ? (int)sent : rc;
		for (; n && (size_t)sent >= iov->iov_len; iov++, n--)
			sent -= (ssize_t)iov->iov_len;
		if (n) {
			iov->iov_base = (char *)iov->iov_base + sent;
			iov->iov_len -= (size_t)sent;
		}
	}
	return 0;
}

static int fill_some(struct pmt_wire *wire)
{
	ssize_t n;

	while ((n = pmt_wire_fill(wire)) == 0) {
		int rc = wait_for(wire, POLLIN);

		if (rc)
			return rc;
	}
	return n < 0 ? (int)n : 0;
}

int pmt_wire_reply(struct pmt_wire *wire, struct pmt_rmt_reply *reply)
{
	bool done = false;
	int rc = 0;

	while (rc == 0 && !done) {
		if (wire->from == wire->to)
			rc = fill_some(wire);
		if (rc == 0)
			rc = pmt_wire_take_reply(wire, reply, &done);
	}
	return rc;
}

int pmt_wire_line(struct pmt_wire *wire, char *line, size_t size)
{
	size_t length = 0;

	for (;;) {
		const char *in = wire->in + wire->from, *end;
		size_t n = wire->to - wire->from;
		int rc;

		end = memchr(in, '\n', n);
		n = end ? (size_t)(end - in) : n;
		if (length + n >= size || memchr(in, '\0', n))
			return -EBADMSG;
		length += pmt_wire_taken(wire, line + length, n);
		line[length] = '\0';
		if (end) {
			wire->from++;
			return 0;
		}
		rc = fill_some(wire);
		if (rc)
			return rc;
	}
}

int pmt_wire_data(struct pmt_wire *wire, void *to, size_t n)
{
	char *at = to;

	for (;;) {
		size_t taken = pmt_wire_taken(wire, at, n);
		struct iovec iov = { at, n - taken };
		ssize_t got = 0;
		int rc = 0;

		n -= taken;
		if (!n)
			return 0;
		if (at) {
			at += taken;
			iov.iov_base = at;
			got = pmt_wire_get(wire, &iov, 1);
			if (got == 0)
				rc = wait_for(wire, POLLIN);
			at += got > 0 ? got : 0;
			n -= got > 0 ? (size_t)got : 0;
		} else {
			rc = fill_some(wire);
		}
		if (got < 0 || rc)
			return got < 0 ? (int)got : rc;
	}
}
