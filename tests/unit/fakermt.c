// SPDX-License-Identifier: GPL-2.0-or-later
/* See fakermt.h. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../lib/rmt/rmt.h"
#include "fakermt.h"
#include "fakest.h"
#include "folder.h"

#define HELD 256
#define DATA (1u << 20)

struct fake_server server;

static int listener = -1;
static pthread_t thread;
static struct pmt_st tape;		/* for the calls, which ask for its path */
static char spec[512];

/* One request that waits for its answer. */
struct held {
	char op;
	long count;
	char *data;
};

struct client {
	int fd;
	char in[65536];
	size_t from, to;
	struct held held[HELD];
	unsigned int n_held;
	bool version1, open, over;
};

/* ---- the pipe ---- */

static void copy(int from, int to)
{
	char bytes[65536];
	ssize_t n = read(from, bytes, sizeof(bytes));

	for (ssize_t done = 0, k; done < n; done += k) {
		k = write(to, bytes + done, (size_t)(n - done));
		if (k <= 0)
			_exit(0);
	}
	if (n <= 0)
		_exit(0);
}

void fake_server_pipe(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (argc != 3 || strcmp(argv[1], "--pipe"))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	strncpy(address.sun_path, argv[2], sizeof(address.sun_path) - 1);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		_exit(1);
	for (;;) {
		struct pollfd fds[] = { { STDIN_FILENO, POLLIN, 0 }, { fd, POLLIN, 0 } };

		poll(fds, 2, -1);
		if (fds[0].revents)
			copy(STDIN_FILENO, fd);
		if (fds[1].revents)
			copy(fd, STDOUT_FILENO);
	}
}

/* ---- bytes ---- */

static bool get(struct client *c, void *to, size_t size)
{
	char *at = to;

	while (size) {
		ssize_t n = (ssize_t)(c->to - c->from);

		if (n == 0) {
			n = read(c->fd, c->in, sizeof(c->in));
			if (n <= 0)
				return false;
			c->from = 0;
			c->to = (size_t)n;
		}
		if ((size_t)n > size)
			n = (ssize_t)size;
		memcpy(at, c->in + c->from, (size_t)n);
		c->from += (size_t)n;
		at += n;
		size -= (size_t)n;
	}
	return true;
}

static bool line(struct client *c, char *text)
{
	size_t n = 0;

	while (n < 255 && get(c, text + n, 1) && text[n] != '\n')
		n++;
	text[n] = '\0';
	return n < 255;
}

static void put(struct client *c, const void *bytes, size_t size)
{
	const char *at = bytes;

	while (size && !c->over) {
		ssize_t n = send(c->fd, at, size, MSG_NOSIGNAL);

		if (n <= 0) {
			c->over = true;
			return;
		}
		at += n;
		size -= (size_t)n;
	}
}

/* Of its own numbers, some of which are others here. */
static void answer(struct client *c, long value)
{
	char text[128];
	int error = (int)-value;

	if (value >= 0)
		snprintf(text, sizeof(text), "A%ld\n", value);
	else
		snprintf(text, sizeof(text), "E%d\n%s\n",
			 server.dialect == FAKE_BSD && error == ENOMEDIUM ? 85 : error,
			 strerror(error));
	put(c, text, strlen(text));
}

static void number(struct client *c, long value)
{
	char text[64];

	snprintf(text, sizeof(text), "A%ld\n", value);
	put(c, text, strlen(text));
}

/* ---- requests ---- */

static long call_op(int op, int count)
{
	struct mtop argument = { .mt_op = (short)op, .mt_count = count };

	return fake_calls.ioctl(&tape, MTIOCTOP, &argument);
}

static long tape_op(struct client *c, int op, int count)
{
	long rc = call_op(op, count);

	if (rc < 0)
		return rc;
	if (op == server.lose_op) {
		server.lose_op = -1;
		c->over = true;
	}
	return count;
}

static void do_op(struct client *c)
{
	static const int bsd[] = { MTWEOF, MTFSF, MTBSF, MTFSR, MTBSR, MTREW, MTOFFL, MTNOP };
	bool numbered = c->version1 || server.dialect == FAKE_BSD;
	char op[256], count[256];
	int n;

	if (!line(c, op) || !line(c, count))
		return;
	n = atoi(op);
	if (n == -1 && server.dialect <= FAKE_SCHILY) {
		c->version1 = true;
		answer(c, 1);
		return;
	}
	if (n > server.worst_op)
		server.worst_op = n;
	if (n < 0 || (numbered && n > 7))
		answer(c, numbered ? -EINVAL : -ENOSYS);
	else
		answer(c, tape_op(c, numbered ? bsd[n] : n, atoi(count)));
}

static void do_more(struct client *c)
{
	char op[256], count[256];

	if (!line(c, op) || !line(c, count))
		return;
	if (server.dialect > FAKE_SCHILY)
		c->over = ++server.unknown;
	else if (atoi(op) == PMT_RMT_ERASE || atoi(op) == PMT_RMT_EOM)
		answer(c, tape_op(c, atoi(op) == PMT_RMT_EOM ? MTEOM : MTERASE, atoi(count)));
	else
		answer(c, -EINVAL);
}

static void do_open(struct client *c)
{
	char name[256], flags[256];
	int rc;

	if (!line(c, name) || !line(c, flags))
		return;
	strncpy(server.word, flags, sizeof(server.word) - 1);
	free(tape.path);
	tape.path = strdup(name);
	if (c->open)
		fake_calls.close(&tape);
	rc = fake_calls.open(&tape, 0);
	if (rc >= 0 && !fake.present)
		rc = -ENOMEDIUM;
	if (rc >= 0 && fake.st_protected && atoi(flags) != 0)
		rc = -EROFS;
	if (rc < 0)
		fake_calls.close(&tape);
	c->open = rc >= 0;
	answer(c, rc < 0 ? rc : 0);
}

static void do_close(struct client *c)
{
	char name[256];

	if (!line(c, name))
		return;
	fake_calls.close(&tape);
	c->open = false;
	answer(c, 0);
	if (server.dialect == FAKE_GNU)
		c->over = true;
}

static void do_seek(struct client *c)
{
	char first[256], second[256];
	struct mtpos position = { 0 };
	int rc = -EINVAL;

	if (!line(c, first) || !line(c, second))
		return;
	if (server.dialect == FAKE_GNU) {
		answer(c, 0);
		return;
	}
	if (server.dialect <= FAKE_DUMP && atoi(second) == PMT_RMT_TELL)
		rc = fake_calls.ioctl(&tape, MTIOCPOS, &position);
	else if (server.dialect <= FAKE_DUMP && atoi(second) == PMT_RMT_GOTO)
		rc = (int)call_op(MTSEEK, atoi(first));
	answer(c, rc < 0 ? rc : position.mt_blkno);
}

static void status_of(struct pmt_rmt_status *status)
{
	struct mtget now = { 0 };

	fake_calls.ioctl(&tape, MTIOCGET, &now);
	*status = (struct pmt_rmt_status){
		.type = MT_ISSCSI2, .dsreg = now.mt_dsreg, .gstat = now.mt_gstat,
		.file = now.mt_fileno, .block = now.mt_blkno,
	};
}

static void do_status(struct client *c)
{
	struct pmt_rmt_status status;
	char bytes[PMT_RMT_MTGET_MAX], newline;
	size_t n;

	status_of(&status);
	if (server.dialect == FAKE_GNU && !get(c, &newline, 1))
		return;
	if (server.dialect == FAKE_BSD)
		status.type = 1;
	n = pmt_rmt_mtget_encode(bytes, server.dialect == FAKE_BSD ? PMT_RMT_SUN :
				 PMT_RMT_LINUX64, server.swapped, &status);
	if (server.dialect == FAKE_DUMP)	/* turned round, of whatever size */
		memset(bytes, 0x5a, n);
	answer(c, (long)n);
	put(c, bytes, n);
}

static void do_letter(struct client *c)
{
	struct pmt_rmt_status status;
	char what;

	if (!get(c, &what, 1))
		return;
	status_of(&status);
	if (!c->version1)
		c->over = ++server.unknown;
	switch (what) {
	case 'T': number(c, status.type); break;
	case 'D': number(c, status.dsreg); break;
	case 'R': number(c, 0); break;
	case 'F': number(c, status.file); break;
	case 'B': number(c, status.block); break;
	case 'f': answer(c, server.dialect == FAKE_SCHILY ? -EINVAL : status.gstat); break;
	default: answer(c, -EINVAL); break;
	}
}

/* ---- data ---- */

static void do_data(struct client *c, const struct held *held)
{
	static char record[DATA];
	char twice[64];
	ssize_t n;

	if (held->op == 'W') {
		n = fake_calls.write(&tape, held->data, (size_t)held->count);
		if (server.extra) {
			server.extra = false;
			snprintf(twice, sizeof(twice), "A%zd\nA%zd\n", n, n);
			put(c, twice, strlen(twice));
			return;
		}
		answer(c, n == -ENOSPC && server.short_end ? 0 : n);
		return;
	}
	n = fake_calls.read(&tape, record, (size_t)held->count);
	answer(c, n);
	if (n > 0)
		put(c, record, (size_t)n);
}

/* Those that were held back, in order; the n-th may be the last of all. */
static void release(struct client *c)
{
	unsigned int i;

	if (c->n_held > server.ahead)
		server.ahead = c->n_held;
	for (i = 0; i < c->n_held && !c->over; i++) {
		bool last = server.lose && --server.lose == 0;

		c->over = last;		/* so that nothing is answered */
		if (last && server.again) {
			server.again--;
			server.lose = 1;
		}
		if (server.garbage) {
			put(c, server.garbage, strlen(server.garbage));
			server.garbage = NULL;
		} else if (!last || server.executed) {
			do_data(c, &c->held[i]);
		}
	}
	for (i = 0; i < c->n_held; i++)
		free(c->held[i].data);
	c->n_held = 0;
}

static void hold(struct client *c, char op)
{
	struct pollfd poll_fd = { .fd = c->fd, .events = POLLIN };
	struct held *held = &c->held[c->n_held];
	char count[256];

	if (!line(c, count))
		return;
	*held = (struct held){ .op = op, .count = atol(count) };
	if (held->count < 0 || held->count > (long)DATA)
		abort();
	if (op == 'W') {
		held->data = malloc((size_t)held->count + 1);
		if (!get(c, held->data, (size_t)held->count)) {
			free(held->data);
			c->over = true;
			return;
		}
	}
	c->n_held++;
	if (server.stuck) {
		while (server.stuck)
			usleep(1000);
		ioctl(c->fd, FIONREAD, &server.behind);
		server.behind += (int)(c->to - c->from);
	}
	if (server.linger && (c->from < c->to || poll(&poll_fd, 1, 30) > 0))
		return;
	if (c->n_held >= server.hold || c->n_held == HELD) {
		server.hold = 0;
		release(c);
	}
}

static void serve_one(struct client *c, char op)
{
	server.requests++;
	if (op == 'W' || op == 'R') {
		hold(c, op);
		return;
	}
	release(c);
	switch (op) {
	case 'O': do_open(c); break;
	case 'C': do_close(c); break;
	case 'I': do_op(c); break;
	case 'i': do_more(c); break;
	case 'L': do_seek(c); break;
	case 'S': do_status(c); break;
	case 's': do_letter(c); break;
	default: c->over = ++server.unknown; break;
	}
}

static void serve(int fd)
{
	struct client *c = calloc(1, sizeof(*c));
	char op;

	c->fd = fd;
	server.connections++;
	c->over = server.away;
	while (server.mute && get(c, &op, 1))
		;
	while (!c->over && get(c, &op, 1))
		serve_one(c, op);
	if (c->n_held)
		server.hold = 0;
	for (unsigned int i = 0; i < c->n_held; i++)
		free(c->held[i].data);
	if (c->open)
		fake_calls.close(&tape);
	if (server.broken) {
		fake.fail_writes = server.broken;
		server.broken = 0;
	}
	if (c->open && server.rewound)
		call_op(MTREW, 1);
	free(c);
	close(fd);
}

static void *run(void *context)
{
	int fd;

	(void)context;
	while ((fd = accept(listener, NULL, NULL)) >= 0)
		serve(fd);
	return NULL;
}

void fake_server_start(enum fake_dialect dialect)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	folder_make();
	fake_reset();
	server = (struct fake_server){ .dialect = dialect, .lose_op = -1 };
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strncpy(address.sun_path, path("socket"), sizeof(address.sun_path) - 1);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 8) < 0 || pthread_create(&thread, NULL, run, NULL))
		abort();
}

void fake_server_stop(void)
{
	shutdown(listener, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(listener);
	free(tape.path);
	tape.path = NULL;
	fake_free();
	folder_remove();
}

const char *fake_server_spec(const char *name, const char *options)
{
	char program[200] = "";
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

	if (n < 0)
		abort();
	snprintf(spec, sizeof(spec), "rmt:tape@host:%s?command=exec\\ %s\\ --pipe\\ %s%s",
		 name, program, path("socket"), options);
	return spec;
}
