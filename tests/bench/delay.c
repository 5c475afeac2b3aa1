// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * delay MS [-r BYTES] [-c BYTES] [-s BYTES] COMMAND [ARGUMENT...]: a line that takes
 * its time
 *
 * Runs COMMAND, and passes on what comes on standard input to it, and what it says
 * to standard output, each byte MS milliseconds after it came: a round trip is twice
 * that.  How much is on the way does not matter, so the delay limits no rate; -r does,
 * to so many bytes a second in each direction.  -c cuts it when so many have passed; with
 * -s nothing passes any more then, and it stays until standard input is closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROOM (64u << 20)		/* on the way, in one direction */
#define PIECES (1u << 16)
#define ONCE (256u << 10)

/* Bytes, and when each piece of them is due. */
struct line {
	int in, out;
	char *bytes;
	uint64_t first, last;		/* of bytes, counted */
	struct piece {
		uint64_t end;
		int64_t due;
	} pieces[PIECES];
	uint32_t from, to;
	int64_t free_at;		/* when the rate allows the next byte to go in */
	bool ended, closed;
};

static int64_t delay, rate, cut, stuck, passed;
static struct line lines[2];

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* With a rate, bytes leave one behind the other. */
static int64_t due(struct line *l, ssize_t n)
{
	int64_t at = now();

	if (rate) {
		l->free_at = (l->free_at > at ? l->free_at : at) + n * 1000000000 / rate;
		at = l->free_at;
	}
	return at + delay;
}

static bool takes(const struct line *l)
{
	return !l->ended && l->last - l->first <= ROOM - ONCE && l->to - l->from < PIECES;
}

static void take(struct line *l)
{
	size_t at = l->last % ROOM, room = ROOM - at;
	ssize_t n = read(l->in, l->bytes + at, room < ONCE ? room : ONCE);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	l->ended = n <= 0;
	if (l->ended)
		return;
	l->last += (uint64_t)n;
	l->pieces[l->to++ % PIECES] = (struct piece){ l->last, due(l, n) };
}

/* How much is due; *next: when the next is. */
static uint64_t is_due(struct line *l, int64_t *next)
{
	uint64_t end = l->first;
	int64_t time = now();

	while (l->from != l->to && l->pieces[l->from % PIECES].end <= l->first)
		l->from++;
	for (uint32_t i = l->from; i != l->to; i++) {
		const struct piece *piece = &l->pieces[i % PIECES];

		if (piece->due > time) {
			if (*next < 0 || piece->due < *next)
				*next = piece->due;
			break;
		}
		end = piece->end;
	}
	return end - l->first;
}

static void give(struct line *l, uint64_t n)
{
	size_t at = l->first % ROOM, room = ROOM - at;
	ssize_t done = write(l->out, l->bytes + at, n < room ? n : room);

	if (done > 0)
		l->first += (uint64_t)done;
	else if (done < 0 && errno != EAGAIN && errno != EINTR)
		l->ended = l->closed = true;
	passed += done > 0 ? done : 0;
}

static void shut(struct line *l)
{
	if (l->ended && l->first == l->last && !l->closed) {
		close(l->out);
		l->closed = true;
	}
}

static void be_stuck(void)
{
	struct pollfd closed = { .fd = lines[0].in };

	while (poll(&closed, 1, -1) < 0 && errno == EINTR)
		;
}

static bool has_passed(int64_t limit)
{
	return limit && passed >= limit;
}

static void run(void)
{
	while (!lines[1].closed && !has_passed(cut) && !has_passed(stuck)) {
		struct pollfd fds[4];
		struct timespec wait;
		uint64_t ready[2];
		int64_t next = -1, left;

		for (int i = 0; i < 2; i++) {
			ready[i] = lines[i].closed ? 0 : is_due(&lines[i], &next);
			fds[2 * i] = (struct pollfd){ takes(&lines[i]) ? lines[i].in : -1,
						      POLLIN, 0 };
			fds[2 * i + 1] = (struct pollfd){ ready[i] ? lines[i].out : -1,
							  POLLOUT, 0 };
		}
		left = next < 0 || next < now() ? 0 : next - now();
		wait = (struct timespec){ left / 1000000000, left % 1000000000 };
		ppoll(fds, 4, next < 0 ? NULL : &wait, NULL);
		for (int i = 0; i < 2; i++) {
			if (fds[2 * i].revents)
				take(&lines[i]);
			if (fds[2 * i + 1].revents)
				give(&lines[i], ready[i]);
			shut(&lines[i]);
		}
	}
}

static pid_t start(char **command)
{
	int to[2], from[2];
	pid_t pid;

	if (pipe(to) < 0 || pipe(from) < 0)
		return -1;
	fcntl(to[1], F_SETPIPE_SZ, 1 << 20);
	fcntl(from[0], F_SETPIPE_SZ, 1 << 20);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		dup2(to[0], STDIN_FILENO);
		dup2(from[1], STDOUT_FILENO);
		for (int i = 0; i < 2; i++) {
			close(to[i]);
			close(from[i]);
		}
		execvp(command[0], command);
		perror(command[0]);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	lines[0].in = STDIN_FILENO;
	lines[0].out = to[1];
	lines[1].in = from[0];
	lines[1].out = STDOUT_FILENO;
	return pid;
}

static int64_t *option(char letter)
{
	return letter == 'r' ? &rate : letter == 'c' ? &cut : &stuck;
}

int main(int argc, char **argv)
{
	char **command = argv + 2;
	pid_t pid;

	while (argc > 4 && command[0] && command[1] && command[0][0] == '-') {
		*option(command[0][1]) = atoll(command[1]);
		command += 2;
	}
	if (argc < 3 || !*command) {
		fprintf(stderr, "usage: delay MS [-r BYTES] [-c BYTES] [-s BYTES] COMMAND "
			"[ARGUMENT...]\n");
		return 2;
	}
	delay = atoll(argv[1]) * 1000000;
	signal(SIGPIPE, SIG_IGN);
	pid = start(command);
	for (int i = 0; i < 2; i++) {
		lines[i].bytes = malloc(ROOM);
		fcntl(lines[i].in, F_SETFL, fcntl(lines[i].in, F_GETFL) | O_NONBLOCK);
		fcntl(lines[i].out, F_SETFL, fcntl(lines[i].out, F_GETFL) | O_NONBLOCK);
		if (!lines[i].bytes)
			return 1;
	}
	if (pid < 0)
		return 1;
	run();
	if (has_passed(stuck))
		be_stuck();
	close(lines[0].out);
	close(lines[1].in);
	waitpid(pid, NULL, 0);
	return 0;
}
