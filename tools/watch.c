// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmt watch: the events of the kernel and those of the daemons, as they come
 *
 *	struct watcher	the kernel's events, the notice of new sockets in the
 *			folder of the control sockets, the links
 *	struct link	a connection to one daemon, that was asked to watch
 *
 * A daemon's socket appears by rename() when it listens, so the notice of it is
 * the moment to connect.  There is one link a unit: where a daemon replaces
 * another, the end of the old link is the moment to try again.
 */
#include <dirent.h>
#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "pmt-tool.h"

#define LINE_MAX_BYTES (1u << 20)

struct link {
	uint32_t unit;
	int fd;			/* -1: to be removed */
	bool heard;		/* it has said something */
	char *in;
	size_t length;
};

struct watcher {
	struct tool *tool;
	struct pmt_watch *kernel;
	int folder;		/* inotify, or -1 */
	bool told;		/* that the sockets are root's */
	struct link *links;
	size_t n_links;
};

static bool wanted(const struct watcher *w, uint32_t unit)
{
	return w->tool->unit == PMT_ANY_UNIT || w->tool->unit == unit;
}

static struct timespec now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t;
}

static struct json_object *time_json(void)
{
	struct timespec t = now();
	char text[64];
	struct tm tm;
	size_t n = strftime(text, sizeof(text), "%FT%T", gmtime_r(&t.tv_sec, &tm));

	snprintf(text + n, sizeof(text) - n, ".%03uZ",
		 (unsigned int)(t.tv_nsec / 1000000) % 1000);
	return json_object_new_string(text);
}

static void print_start(uint32_t unit, const char *event)
{
	struct timespec t = now();
	char text[64];
	struct tm tm;

	strftime(text, sizeof(text), "%F %T", localtime_r(&t.tv_sec, &tm));
	printf("%s.%03ld", text, t.tv_nsec / 1000000);
	if (unit != PMT_ANY_UNIT)
		printf(" unit %u", unit);
	printf(" %s", event);
}

static struct json_object *event_json(const char *source, uint32_t unit, const char *event)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "time", time_json());
	json_object_object_add(object, "source", json_object_new_string(source));
	json_object_object_add(object, "unit", unit == PMT_ANY_UNIT ? NULL :
			       json_object_new_int64(unit));
	json_object_object_add(object, "event", json_object_new_string(event));
	return object;
}

static void show_plain(struct watcher *w, const char *source, uint32_t unit, const char *event)
{
	if (w->tool->json) {
		print_json(event_json(source, unit, event));
		return;
	}
	print_start(unit, event);
	printf(" (%s)\n", source);
	fflush(stdout);
}

static const char *key_name(uint8_t key)
{
	static const char *const names[] = {
		"no sense", "recovered", "not ready", "medium error", "hardware error",
		"illegal request", "unit attention", "data protect", "blank check",
		[PMT_KEY_ABORTED] = "aborted command", [PMT_KEY_OVERFLOW] = "volume overflow",
	};

	return key < sizeof(names) / sizeof(names[0]) && names[key] ? names[key] : "?";
}

static bool says_where(enum pmt_event event)
{
	return event != PMT_EVENT_UNIT_ADDED && event != PMT_EVENT_UNIT_REMOVED &&
	       event != PMT_EVENT_MEDIUM_LOADED && event != PMT_EVENT_MEDIUM_UNLOADED;
}

static void print_place(const struct pmt_place *place)
{
	if (place->lbn != PMT_UNKNOWN)
		printf(", LBN %llu", (unsigned long long)place->lbn);
	if (place->file != PMT_UNKNOWN)
		printf(", file %llu", (unsigned long long)place->file);
	if (place->block != PMT_UNKNOWN)
		printf(", block %llu", (unsigned long long)place->block);
}

static void show_kernel(const struct pmt_unit_event *event, void *context)
{
	bool has_key = event->event == PMT_EVENT_ERROR;
	struct watcher *w = context;

	if (!wanted(w, event->unit))
		return;
	if (w->tool->json) {
		struct json_object *object =
			event_json("kernel", event->unit, pmt_event_name(event->event));

		add_place_json(object, &event->place);
		if (has_key)
			json_object_object_add(object, "key", json_object_new_int(event->key));
		print_json(object);
		return;
	}
	print_start(event->unit, pmt_event_name(event->event));
	if (has_key)
		printf(", %s", key_name(event->key));
	if (says_where(event->event))
		print_place(&event->place);
	putchar('\n');
	fflush(stdout);
}

static const char *const texts[] = { "message", "text", "reason", NULL };
static const char *const known[] = { "time", "unit", "event", "source", "priority", NULL };

static bool is_one_of(const char *const *keys, const char *key)
{
	while (*keys && strcmp(*keys, key))
		keys++;
	return *keys;
}

static void print_details(struct json_object *object)
{
	json_object_object_foreach(object, key, value)
		if (value && is_one_of(texts, key))
			printf(": %s", json_object_get_string(value));
		else if (value && !is_one_of(known, key))
			printf(", %s %s", key, json_object_get_string(value));
}

static void show_daemon(struct watcher *w, uint32_t unit, const char *line)
{
	struct json_object *object = json_tokener_parse(line), *event;

	if (!json_object_is_type(object, json_type_object)) {
		json_object_put(object);
		return;
	}
	json_object_object_add(object, "source", json_object_new_string("daemon"));
	if (w->tool->json) {
		print_json(object);
		return;
	}
	print_start(unit, json_object_object_get_ex(object, "event", &event) ?
		    json_object_get_string(event) : "?");
	print_details(object);
	putchar('\n');
	fflush(stdout);
	json_object_put(object);
}

static bool is_linked(const struct watcher *w, uint32_t unit)
{
	for (size_t i = 0; i < w->n_links; i++)
		if (w->links[i].fd >= 0 && w->links[i].unit == unit)
			return true;
	return false;
}

static int add_link(struct watcher *w, uint32_t unit, int fd)
{
	struct link *more = realloc(w->links, (w->n_links + 1) * sizeof(*more));
	char *in = malloc(LINE_MAX_BYTES);

	if (more)
		w->links = more;
	if (!more || !in) {
		free(in);
		close(fd);
		return -ENOMEM;
	}
	w->links[w->n_links++] = (struct link){ .unit = unit, .fd = fd, .in = in };
	return 0;
}

static void link_to(struct watcher *w, uint32_t unit)
{
	int fd;

	if (!wanted(w, unit) || is_linked(w, unit))
		return;
	fd = socket_connect(unit);
	if (fd >= 0 && socket_send(fd, "{\"command\":\"watch\"}\n") == 0) {
		add_link(w, unit, fd);
		return;
	}
	if (fd >= 0)
		close(fd);
	if ((fd == -EACCES || fd == -EPERM) && !w->told) {
		fputs("pmt: the events of daemons are for root; showing the kernel's\n", stderr);
		w->told = true;
	}
}

static void link_name(struct watcher *w, const char *name)
{
	unsigned int unit;
	int end = 0;

	if (sscanf(name, "%u.sock%n", &unit, &end) == 1 && end && !name[end])
		link_to(w, unit);
}

static void take_link(struct watcher *w, size_t i)
{
	struct link *link = &w->links[i];
	uint32_t unit = link->unit;
	char *line, *newline;
	ssize_t n;

	n = recv(link->fd, link->in + link->length, LINE_MAX_BYTES - link->length, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	link->length += n > 0 ? n : 0;
	link->heard |= n > 0;
	line = link->in;
	while ((newline = memchr(line, '\n', link->in + link->length - line))) {
		*newline = '\0';
		show_daemon(w, unit, line);
		line = newline + 1;
	}
	link->length -= line - link->in;
	memmove(link->in, line, link->length);
	if (n > 0 && link->length < LINE_MAX_BYTES)
		return;
	close(link->fd);
	link->fd = -1;
	if (link->heard)
		show_plain(w, "daemon", unit, "disconnected");
	link_to(w, unit);
}

static void remove_links(struct watcher *w)
{
	size_t kept = 0;

	for (size_t i = 0; i < w->n_links; i++)
		if (w->links[i].fd >= 0)
			w->links[kept++] = w->links[i];
		else
			free(w->links[i].in);
	w->n_links = kept;
}

static void take_folder(struct watcher *w)
{
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n = read(w->folder, buffer, sizeof(buffer));
	const struct inotify_event *event;

	for (char *p = buffer; p < buffer + n; p += sizeof(*event) + event->len) {
		event = (const void *)p;
		if (event->len)
			link_name(w, event->name);
	}
}

/* The notice comes first, so that no socket is missed; a second link is not made. */
static void open_folder(struct watcher *w)
{
	struct dirent *entry;
	DIR *folder;

	mkdir(socket_folder(), 0755);
	w->folder = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (w->folder >= 0)
		inotify_add_watch(w->folder, socket_folder(), IN_MOVED_TO | IN_ONLYDIR);
	folder = opendir(socket_folder());
	while (folder && (entry = readdir(folder)))
		link_name(w, entry->d_name);
	if (folder)
		closedir(folder);
}

static int take_kernel(struct watcher *w)
{
	int err = pmt_watch_dispatch(w->kernel, show_kernel, w);

	if (err != -ENOBUFS)
		return err;
	show_plain(w, "kernel", PMT_ANY_UNIT, "events-lost");
	return 0;
}

static int take_events(struct watcher *w)
{
	struct pollfd fds[2 + w->n_links];
	size_t n = w->n_links;
	int err = 0;

	fds[0] = (struct pollfd){ .fd = pmt_watch_fd(w->kernel), .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = w->folder, .events = POLLIN };
	for (size_t i = 0; i < n; i++)
		fds[2 + i] = (struct pollfd){ .fd = w->links[i].fd, .events = POLLIN };
	if (poll(fds, 2 + n, -1) < 0)
		return errno == EINTR ? 0 : -errno;
	if (fds[0].revents)
		err = take_kernel(w);
	if (fds[1].revents)
		take_folder(w);
	for (size_t i = 0; i < n; i++)
		if (fds[2 + i].revents)
			take_link(w, i);
	remove_links(w);
	return err;
}

int verb_watch(struct tool *t)
{
	struct watcher w = { .tool = t, .folder = -1 };
	struct pmt_unit_info info;
	int err = pmt_watch_open(&w.kernel);

	/* Events are for everybody, asking is not. */
	if (err == 0 && t->unit != PMT_ANY_UNIT &&
	    pmt_unit_get(t->control, t->unit, &info) == -ENOENT)
		err = -ENOENT;
	if (err == 0)
		open_folder(&w);
	while (err == 0 && !ferror(stdout))
		err = take_events(&w);
	for (size_t i = 0; i < w.n_links; i++) {
		close(w.links[i].fd);
		free(w.links[i].in);
	}
	free(w.links);
	if (w.folder >= 0)
		close(w.folder);
	pmt_watch_close(w.kernel);
	return err < 0 ? tool_fail(t, t->unit, err) : TOOL_OK;
}
