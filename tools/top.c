// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmt top: units and copies, again and again, on a screen or as lines
 *
 * A daemon that hangs is waited for, so on a screen the asking is a thread's; the main one
 * waits for keys, signals, the kernel's events, and samples, and draws.
 *
 *	struct asker	the thread, what it was told, the sample that it has taken last
 *	struct top	the two samples that are shown, and what the screen stands at
 */
#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>

#include "top.h"

#define PATIENCE 1	/* seconds, for a daemon */
#define GAP 250		/* ms between samples that events ask for */

struct asker {
	struct tool *tool;
	pthread_t thread;
	int ask, taken;		/* eventfds: take one now, or end; there is one */
	pthread_mutex_t lock;	/* of what follows */
	struct sample *sample;
	int err;
	bool over;
};

struct top {
	struct tool *tool;
	struct asker asker;
	struct pmt_watch *watch;
	int signals, signal;	/* signalfd; the one that ends it */
	struct sample *before, *now;
	enum top_order order;
	char event[128];	/* the last */
	bool over;
	int err;
};

/* ---- the thread ---- */

static bool give(struct asker *a, struct sample *sample, int err)
{
	bool over;

	pthread_mutex_lock(&a->lock);
	sample_free(a->sample);
	a->sample = sample;
	a->err = err;
	over = a->over || err < 0;
	pthread_mutex_unlock(&a->lock);
	eventfd_write(a->taken, 1);
	return !over;
}

static struct sample *take_latest(struct asker *a, int *err)
{
	struct sample *sample;

	pthread_mutex_lock(&a->lock);
	sample = a->sample;
	a->sample = NULL;
	*err = a->err;
	pthread_mutex_unlock(&a->lock);
	return sample;
}

static void *ask(void *context)
{
	struct asker *a = context;
	struct pollfd wake = { .fd = a->ask, .events = POLLIN };
	int delay = (int)(a->tool->delay * 1000);
	struct sample *sample;
	bool more = true;
	eventfd_t ignored;
	int err;

	while (more) {
		sample = NULL;
		err = sample_take(a->tool, PATIENCE, &sample);
		more = give(a, sample, err);
		/* Nothing is missed by the gap: whoever asks in it is heard behind it. */
		if (more)
			poll(NULL, 0, delay < GAP ? delay : GAP);
		if (more && poll(&wake, 1, delay > GAP ? delay - GAP : 0) > 0)
			eventfd_read(a->ask, &ignored);
	}
	return NULL;
}

static void end_asking(struct asker *a)
{
	pthread_mutex_lock(&a->lock);
	a->over = true;
	pthread_mutex_unlock(&a->lock);
	eventfd_write(a->ask, 1);
	pthread_join(a->thread, NULL);
	sample_free(a->sample);
}

/* ---- the screen ---- */

static void draw(struct top *top)
{
	const char *foot = *top->event ? top->event :
		"q quit   s sort by rate, by number   arrows scroll";
	struct top_row *rows = NULL;
	size_t n = 0;

	if (top->now)
		rows = top_rows(top->before, top->now, top->order, &n);
	if (rows)
		screen_draw(top_title(rows, n, top->tool->delay).text, rows, n, foot);
	free(rows);
}

static void take_sample(struct top *top)
{
	eventfd_t ignored;
	struct sample *sample;
	int err;

	eventfd_read(top->asker.taken, &ignored);
	sample = take_latest(&top->asker, &err);
	if (err < 0) {
		top->err = err;
		top->over = true;
		return;
	}
	if (!sample)
		return;
	sample_free(top->before);
	top->before = top->now;
	top->now = sample;
	draw(top);
}

static void take_signal(struct top *top)
{
	struct signalfd_siginfo info;

	if (read(top->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGWINCH) {
		screen_resize();
		draw(top);
		return;
	}
	top->signal = (int)info.ssi_signo;
	top->over = true;
}

static void take_keys(struct top *top)
{
	enum top_key key;

	while (!top->over && (key = screen_key()) != TOP_KEY_NONE) {
		if (key == TOP_KEY_QUIT)
			top->over = true;
		else if (key == TOP_KEY_SORT)
			top->order = top->order == TOP_BY_RATE ? TOP_BY_NUMBER : TOP_BY_RATE;
		draw(top);
	}
}

static void note_event(const struct pmt_unit_event *event, void *context)
{
	time_t now = time(NULL);
	struct top *top = context;
	char clock[32];
	struct tm tm;

	if (top->tool->unit != PMT_ANY_UNIT && top->tool->unit != event->unit)
		return;
	strftime(clock, sizeof(clock), "%T", localtime_r(&now, &tm));
	snprintf(top->event, sizeof(top->event), "%s unit %u %s", clock, event->unit,
		 pmt_event_name(event->event));
}

static void take_events(struct top *top)
{
	pmt_watch_dispatch(top->watch, note_event, top);
	eventfd_write(top->asker.ask, 1);
}

static void loop(struct top *top)
{
	unsigned int drawn = 0;

	while (!top->over) {
		struct pollfd fds[] = {
			{ .fd = STDIN_FILENO, .events = POLLIN },
			{ .fd = top->signals, .events = POLLIN },
			{ .fd = top->asker.taken, .events = POLLIN },
			{ .fd = top->watch ? pmt_watch_fd(top->watch) : -1, .events = POLLIN },
		};

		if (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) < 0)
			continue;
		if (fds[1].revents)
			take_signal(top);
		if (fds[0].revents & POLLIN)
			take_keys(top);
		else if (fds[0].revents)
			top->over = true;
		if (fds[3].revents)
			take_events(top);
		if (fds[2].revents) {
			take_sample(top);
			if (top->tool->count && ++drawn == top->tool->count)
				top->over = true;
		}
	}
}

/* The thread has none of them, nor those that the screen's library handles. */
static int begin(struct top *top, sigset_t *old)
{
	sigset_t mine, all;
	int err;

	top->asker.ask = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	top->asker.taken = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	sigemptyset(&mine);
	sigaddset(&mine, SIGINT);
	sigaddset(&mine, SIGTERM);
	sigaddset(&mine, SIGHUP);
	sigaddset(&mine, SIGWINCH);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, old);
	top->signals = signalfd(-1, &mine, SFD_CLOEXEC | SFD_NONBLOCK);
	if (top->asker.ask < 0 || top->asker.taken < 0 || top->signals < 0)
		return -EMFILE;
	err = -pthread_create(&top->asker.thread, NULL, ask, &top->asker);
	sigorset(&mine, &mine, old);
	pthread_sigmask(SIG_SETMASK, &mine, NULL);
	return err;
}

static int show_screen(struct tool *t)
{
	struct top top = {
		.tool = t,
		.asker = { .tool = t, .ask = -1, .taken = -1, .lock = PTHREAD_MUTEX_INITIALIZER },
		.signals = -1,
	};
	sigset_t old;

	if (screen_open() < 0) {
		const char *term = getenv("TERM");

		fprintf(stderr, "pmt top: TERM=%s is no terminal with a screen; --batch prints "
			"lines\n", term ? term : "");
		return TOOL_FAILED;
	}
	/* Without the events it is only later. */
	if (pmt_watch_open(&top.watch) < 0)
		top.watch = NULL;
	top.err = begin(&top, &old);
	if (top.err == 0) {
		loop(&top);
		screen_close();
		end_asking(&top.asker);
	}
	screen_close();
	if (top.watch)
		pmt_watch_close(top.watch);
	sample_free(top.before);
	sample_free(top.now);
	close(top.asker.ask);
	close(top.asker.taken);
	close(top.signals);
	/* The screen's library has handlers of its own. */
	if (top.signal)
		signal(top.signal, SIG_DFL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (top.signal)
		raise(top.signal);
	return top.err < 0 ? tool_fail(t, t->unit, top.err) : TOOL_OK;
}

/* ---- lines ---- */

static void print_rows(struct tool *t, const struct top_row *rows, size_t n)
{
	if (t->json) {
		print_json(top_json(rows, n));
		return;
	}
	puts(top_title(rows, n, t->delay).text);
	if (n)
		puts(top_text(NULL).text);
	else
		puts("There are no units; pmt new makes one.");
	for (size_t i = 0; i < n; i++)
		puts(top_text(&rows[i]).text);
	putchar('\n');
	fflush(stdout);
}

static int print_next(struct tool *t, struct sample **before)
{
	struct sample *now;
	struct top_row *rows;
	int err = sample_take(t, PATIENCE, &now);
	size_t n;

	if (err < 0)
		return err;
	rows = top_rows(*before, now, TOP_BY_NUMBER, &n);
	sample_free(*before);
	*before = now;
	if (!rows)
		return -ENOMEM;
	print_rows(t, rows, n);
	free(rows);
	return 0;
}

static int print_lines(struct tool *t)
{
	struct sample *before = NULL;
	int err = print_next(t, &before);

	for (uint32_t i = 1; err == 0 && i != t->count && !ferror(stdout); i++) {
		poll(NULL, 0, (int)(t->delay * 1000));
		err = print_next(t, &before);
	}
	sample_free(before);
	return err < 0 ? tool_fail(t, t->unit, err) : TOOL_OK;
}

int verb_top(struct tool *t)
{
	if (t->batch || t->json)
		return print_lines(t);
	if (isatty(STDOUT_FILENO) && isatty(STDIN_FILENO))
		return show_screen(t);
	fputs("pmt top: this is not a terminal: --batch prints lines\n", stderr);
	return TOOL_USAGE;
}
