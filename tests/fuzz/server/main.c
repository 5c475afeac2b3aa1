// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * server: servers that do their worst, at random, beside a unit that must not notice
 *
 *	server NEIGHBOUR
 *
 * Life after life: a unit, a process that serves it honestly for a while and then
 * attacks in one way (attacks[], each in turn), several threads of it that do at
 * the same time what a server may do to its descriptor and mappings, and a
 * program on the unit's tape.  All the time another program writes and reads
 * known records on NEIGHBOUR, a unit with a tape in it and an honest server.
 *
 * What must hold, whatever happens:
 *
 *  - a lie breaks the unit, once; abort mends it, and it can be deleted;
 *  - the program on the tape can be killed at any time, and is gone then;
 *  - the neighbour reads what it wrote;
 *  - a server sees what its unit carried and nothing else: a new data area is
 *    all zeros, and later no byte in it has its highest bit set.  The program and
 *    the server write bytes without it; all bytes of the neighbour have it, and
 *    so has every pointer of the kernel's.
 *
 * Environment: PMT_SEED, PMT_FUZZ_SECONDS (20).  Prints what was reached.  Written
 * from linux/pmt.h, but for making units.
 *
 * Here the lives are begun, watched, ended and judged.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pmt.h"
#include "server.h"

static struct {
	struct pmt_control *control;
	struct pmt_watch *watch;
	uint32_t unit;
	uint32_t attached, broken;	/* events of this life */
	pid_t server, app;
	bool server_reaped;		/* its children may be left */
	uint64_t slowest;		/* ms until a killed program was gone */
} w;

static bool lost_events;

static struct { uint32_t tried, broken; } *reached;	/* of each attack */

static void seen(const struct pmt_unit_event *event, void *context)
{
	(void)context;
	if (event->unit != w.unit)
		return;
	w.attached += event->event == PMT_EVENT_SERVER_ATTACHED;
	w.broken += event->event == PMT_EVENT_BROKEN;
}

static void listen_for(int ms)
{
	struct pollfd poll_fd = { .fd = pmt_watch_fd(w.watch), .events = POLLIN };

	if (poll(&poll_fd, 1, ms) > 0 && pmt_watch_dispatch(w.watch, seen, NULL) < 0) {
		count(events_lost);
		lost_events = true;
	}
}

static pid_t start(void)
{
	uint64_t next = any();
	pid_t pid = fork();

	if (pid == 0) {
		begin_chance(next);
		alarm(0);
	}
	return pid;
}

static bool reaped(pid_t pid, int ms)
{
	uint64_t until = now() + (uint64_t)ms;

	do {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return true;
		listen_for(1);
	} while (now() < until);
	return false;
}

static void tell_where(pid_t pid)
{
	char line[256], path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stack", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		fprintf(stderr, "\t%s", line);
	if (f)
		fclose(f);
}

static bool waits(pid_t pid)
{
	char line[256] = "", path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/wchan", pid);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	fclose(f);
	return strncmp(line, "pmt", 3) == 0 || strstr(line, "userfault");
}

/* Some leave by themselves first, and are killed on their way out. */
static void kill_app(void)
{
	uint64_t began;

	if (waits(w.app))
		count(kills_waiting);
	if (below(3) == 0) {
		kill(w.app, SIGTERM);
		if (reaped(w.app, (int)below(300))) {
			count(exits);
			return;
		}
	}
	began = now();
	kill(w.app, SIGKILL);
	if (!reaped(w.app, PATIENCE)) {
		bad("process %d can not be killed", w.app);
		tell_where(w.app);
		return;
	}
	if (now() - began > w.slowest)
		w.slowest = now() - began;
	count(kills);
}

static void kill_server(void)
{
	kill(-w.server, SIGKILL);
	if (w.server_reaped)
		return;
	kill(w.server, SIGKILL);
	if (!reaped(w.server, PATIENCE)) {
		bad("server %d can not be killed", w.server);
		tell_where(w.server);
	}
}

static enum pmt_state state(void)
{
	struct pmt_unit_info info;
	int ret = pmt_unit_get(w.control, w.unit, &info);

	if (ret < 0)
		bad("unit %u: %s", w.unit, strerror(-ret));
	return ret < 0 ? PMT_STATE_UNSERVED : info.state;
}

/* The tool, as an administrator would use it. */
static int pmt_tool(const char *verb)
{
	char line[64];

	snprintf(line, sizeof(line), "pmt %s %u >&2", verb, w.unit);
	return system(line);
}

static void delete_unit(void)
{
	uint64_t until = now() + PATIENCE;
	int ret;

	if (pmt_tool("abort") != 0)
		bad("pmt abort %u", w.unit);
	/* The ends are closed by whoever was killed last. */
	while ((ret = pmt_unit_delete(w.control, w.unit)) == -EBUSY && now() < until)
		listen_for(10);
	if (ret < 0)
		bad("unit %u can not be deleted: %s", w.unit, strerror(-ret));
	count(deleted);
}

static bool eventually(const uint64_t *word, uint64_t value)
{
	uint64_t until = now() + PATIENCE;

	while (get(*word) < value) {
		if (now() > until)
			return false;
		listen_for(5);
	}
	return true;
}

static void take_from_holder(void)
{
	w.server_reaped = reaped(w.server, PATIENCE);
	if (!w.server_reaped || !eventually(&sh->holder, 1)) {
		bad("no child holds the slave end");
		return;
	}
	if (state() != PMT_STATE_SERVED)
		bad("a unit whose slave end a child holds is not served");
	if (pmt_unit_delete(w.control, w.unit) != -EBUSY)
		bad("a unit that is held is deleted");
	if (pmt_tool("detach") != 0)
		bad("pmt detach %u", w.unit);
	if (!eventually(&sh->holder, 2))
		bad("a child keeps the slave end");
	else
		count(holders);
}

static void from_outside(enum outside what)
{
	if (what == OUT_DETACH) {
		pmt_unit_detach(w.control, w.unit);
		count(detached);
	} else if (what == OUT_ABORT) {
		pmt_unit_abort(w.control, w.unit);
		count(aborted);
	} else if (what == OUT_DELETE && pmt_unit_delete(w.control, w.unit) != -EBUSY) {
		bad("a unit that is served is deleted");
	}
}

/* Until the unit is broken, or time is up. */
static void watch_life(const struct attack *attack)
{
	uint64_t until = now() + (attack->lie ? PATIENCE : 400 + below(800));
	uint64_t act = now() + 100 + below(500);
	bool done = !attack->outside;

	while (now() < until && !w.broken) {
		listen_for(5);
		if (!done && now() >= act) {
			from_outside(attack->outside);
			done = attack->outside != OUT_DELETE;
			act = now() + below(50);
		}
	}
	if (attack->end == END_HOLDER)
		take_from_holder();
	/* Whatever else was said by then. */
	for (int i = 0; i < 10; i++)
		listen_for(2);
}

static void judge_life(const struct attack *attack)
{
	uint32_t index = (uint32_t)(attack - attacks);

	reached[index].tried++;
	reached[index].broken += w.broken != 0;
	if (attack->lie && !w.broken && !lost_events) {
		bad("believed: %s%s", attack->name,
		    get(sh->told) ? "" : " (it was not told: no command came)");
		tell_where(w.app);
		pmt_tool("status");
	}
	if (w.broken > 1)
		bad("broken %u times by %s", w.broken, attack->name);
	if (w.broken && w.attached != 1 && !lost_events)
		bad("%u servers in one life", w.attached);
	if (!attack->lie && !attack->storm && w.broken)
		bad("broken by %s", attack->name);
	/* An abort may come while it is told. */
	if (w.broken && attack->outside != OUT_ABORT && state() != PMT_STATE_BROKEN)
		bad("a unit that was broken by %s is not", attack->name);
}

static bool wait_attached(void)
{
	uint64_t until = now() + PATIENCE;

	while (!get(sh->attached)) {
		if (now() > until || waitpid(w.server, NULL, WNOHANG) == w.server) {
			bad("no server for unit %u", w.unit);
			return false;
		}
		listen_for(2);
	}
	return true;
}

/* Mostly the program first, while nobody answers it. */
static void end_both(const struct attack *attack)
{
	if (attack->end != END_SILENT && below(3) == 0) {
		kill_server();
		kill_app();
		return;
	}
	kill(-w.server, SIGSTOP);
	for (uint32_t n = below(20); n; n--)
		listen_for(10);
	count(stopped);
	kill_app();
	kill_server();
}

static void live(const struct attack *attack, bool fresh)
{
	w.attached = w.broken = 0;
	w.server_reaped = false;
	lost_events = false;
	sh->attached = sh->told = 0;
	sh->holder = 0;
	w.server = start();
	if (w.server == 0)
		be_server(w.unit, attack, fresh);
	if (!wait_attached())
		return;
	w.app = start();
	if (w.app == 0)
		be_app(w.unit, attack->lie ? below(2) : below(3));
	watch_life(attack);
	judge_life(attack);
	end_both(attack);
	count(lives);
}

static void new_unit(void)
{
	static const uint32_t recovery[] = { 0, 50, 1000, PMT_RECOVERY_FOREVER };
	struct pmt_unit_config config = {
		.unit = PMT_ANY_UNIT, .data_size = 1u << (20 + below(3)),
		.set_recovery = true, .recovery = recovery[below(4)],
	};
	int ret = pmt_unit_new(w.control, &config, &w.unit);

	if (ret < 0) {
		bad("no unit: %s", strerror(-ret));
		exit(1);
	}
}

static bool honest_traffic(void)
{
	return get(sh->honest) && get(sh->app_writes) && get(sh->app_reads) &&
	       get(sh->app_ioctls);
}

/* For so long, and until as many as asked for, and all that is honest came through. */
static bool another_life(uint64_t until, uint64_t least)
{
	uint64_t lives = get(sh->lives);

	return now() < until || lives < least ||
	       (!honest_traffic() && lives < 8 * attack_count);
}

static void all_lives(uint64_t seconds, uint64_t least)
{
	uint64_t until = now() + seconds * 1000;
	size_t next = below(attack_count);

	while (another_life(until, least) && !get(sh->bad)) {
		uint32_t lives = 1 + below(3);

		new_unit();
		for (uint32_t i = 0; i < lives && !get(sh->bad); i++) {
			alarm(120);
			if (i && pmt_unit_abort(w.control, w.unit) < 0)
				bad("unit %u can not be aborted", w.unit);
			if (i && state() == PMT_STATE_BROKEN)
				bad("unit %u is broken behind an abort", w.unit);
			live(&attacks[next++ % attack_count], i == 0);
		}
		delete_unit();
	}
}

static int report(void)
{
	uint32_t broken = 0;

	for (size_t i = 0; i < attack_count; i++) {
		printf("# %-14s %3u lives, %3u broken\n", attacks[i].name, reached[i].tried,
		       reached[i].broken);
		broken += reached[i].broken;
	}
#define X(name) printf("# %s %llu\n", #name, (unsigned long long)sh->name);
	COUNTERS(X)
#undef X
	printf("# slowest kill %llu ms\n", (unsigned long long)w.slowest);
	if (!broken)
		bad("nothing was broken");
	if (!honest_traffic())
		bad("no honest traffic");
	if (!sh->neighbour_laps)
		bad("the neighbour did nothing");
	return sh->bad ? 1 : 0;
}

static void stuck(int signal)
{
	static const char text[] = "FAILED: the watcher itself is stuck\n";

	(void)signal;
	_exit(write(2, text, sizeof(text) - 1) < 0 ? 3 : 2);
}

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *given = getenv(name);

	return given ? strtoull(given, NULL, 0) : otherwise;
}

int main(int argc, char **argv)
{
	const char *given = getenv("PMT_SEED");
	uint64_t seconds = number("PMT_FUZZ_SECONDS", 20);
	uint64_t least = number("PMT_FUZZ_LIVES", attack_count), seed;
	int size = 8 << 20;
	pid_t neighbour;

	if (argc != 2) {
		fputs("usage: server NEIGHBOUR\n", stderr);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;
	printf("# PMT_SEED=%llu\n", (unsigned long long)seed);
	begin_chance(mix(seed));
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	reached = calloc(attack_count, sizeof(*reached));
	if (sh == MAP_FAILED || !reached || pmt_control_open(&w.control) < 0 ||
	    pmt_watch_open(&w.watch) < 0) {
		fputs("server: no control\n", stderr);
		return 1;
	}
	setsockopt(pmt_watch_fd(w.watch), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	signal(SIGALRM, stuck);
	alarm(120);
	neighbour = start();
	if (neighbour == 0)
		be_neighbour(argv[1]);
	all_lives(seconds, least);
	set(sh->stop, 1);
	if (!reaped(neighbour, PATIENCE)) {
		bad("the neighbour does not end");
		tell_where(neighbour);
		kill(neighbour, SIGKILL);
	}
	return report();
}
