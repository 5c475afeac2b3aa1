// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The control socket: JSON, one object a line, both ways
 *
 *	struct control	the listener, its name in the file system, the queue of
 *			events; owns the clients
 *	struct client	one connection: what came of a line, what could not be
 *			sent yet, whether it watches
 *
 * Everything hangs on one epoll descriptor, which the owner polls.  The daemon
 * never waits for a client: what does not fit the socket is kept up to OUT_MAX,
 * then the client is dropped.  Events go through a bounded queue and an eventfd,
 * so that any thread can emit one without touching a client.
 *
 * The socket appears under its name by rename(), when it already listens: so a
 * dead daemon's file is replaced without a gap, and who sees the name can
 * connect.  Where a live daemon answers at the name (the one before, on its way
 * out), the connection to it is kept, and its end is the moment to take over.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>

#include "daemon.h"

#define LINE_MAX_BYTES (64u << 10)
#define OUT_MAX (1u << 20)
#define CLIENTS_MAX 32
#define EVENTS_MAX 1024
#define DEPTH_MAX 16
#define JSON_FORM (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

struct client {
	struct client *next;
	int fd;			/* -1: dropped, freed after the round */
	bool watching;
	bool ended;		/* nothing more will come from it */
	bool refused;		/* what comes is thrown away */
	char *in, *out;
	size_t in_length, out_length;
};

struct event {
	struct event *next;
	char line[];
};

struct control {
	const struct control_command *commands;
	void *context;
	uint32_t unit;
	struct sockaddr_un address;
	struct stat bound;	/* of the name, to remove no other's */
	int epoll, listener, wake;
	int elder;		/* to the live daemon that has the name, or -1 */
	bool accepting;
	struct client *clients;
	unsigned int n_clients;

	pthread_mutex_t lock;	/* of what follows */
	struct event *first, **last;
	unsigned int n_events, n_lost;
};

static int watch_fd(struct control *c, int fd, uint32_t events, void *who)
{
	struct epoll_event event = { .events = events, .data.ptr = who };

	return epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void drop(struct control *c, struct client *client)
{
	if (client->fd < 0)
		return;
	closep(&client->fd);
	client->watching = false;
	c->n_clients--;
}

static void interest(struct control *c, struct client *client)
{
	struct epoll_event event = {
		.events = (client->ended ? 0 : EPOLLIN) | (client->out_length ? EPOLLOUT : 0),
		.data.ptr = client,
	};

	epoll_ctl(c->epoll, EPOLL_CTL_MOD, client->fd, &event);
}

static void flush(struct control *c, struct client *client)
{
	while (client->out_length) {
		ssize_t n = send(client->fd, client->out, client->out_length,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			drop(c, client);
			return;
		}
		if (n < 0)
			break;
		client->out_length -= n;
		memmove(client->out, client->out + n, client->out_length);
	}
	/* A close now would take the answer from one who is still sending. */
	if (client->refused && !client->out_length)
		shutdown(client->fd, SHUT_WR);
	if (client->ended && !client->out_length && !client->watching)
		drop(c, client);
	else
		interest(c, client);
}

static void put_line(struct control *c, struct client *client, const char *line)
{
	size_t length = strlen(line);
	char *out;

	if (client->fd < 0)
		return;
	if (client->out_length + length + 1 > OUT_MAX) {
		drop(c, client);
		daemon_log(LOG_WARNING, "control socket: a client that does not read was dropped");
		return;
	}
	out = realloc(client->out, client->out_length + length + 1);
	if (!out) {
		drop(c, client);
		return;
	}
	*stpcpy(out + client->out_length, line) = '\n';
	client->out = out;
	client->out_length += length + 1;
	flush(c, client);
}

static void put_object(struct control *c, struct client *client, struct json_object *object)
{
	if (!object) {
		put_line(c, client, "{\"error\":\"out of memory\"}");
		return;
	}
	put_line(c, client, json_object_to_json_string_ext(object, JSON_FORM));
	json_object_put(object);
}

static void put_error(struct control *c, struct client *client, const char *what,
		      const char *name)
{
	struct json_object *object = json_object_new_object();
	char text[128];

	snprintf(text, sizeof(text), what, name);
	if (object)
		json_object_object_add(object, "error", json_object_new_string(text));
	put_object(c, client, object);
}

/* Nothing was asked by it before, nor will be behind it. */
static void hand_out(struct control *c, struct client *client,
		     const struct control_command *command)
{
	const char *error = "it is for a connection of its own";
	int fd = fcntl(client->fd, F_DUPFD_CLOEXEC, 0);

	if (fd >= 0 && !client->watching && !client->out_length)
		error = command->take(c->context, fd);
	if (!error) {
		epoll_ctl(c->epoll, EPOLL_CTL_DEL, client->fd, NULL);
		drop(c, client);
		return;
	}
	closep(&fd);
	put_error(c, client, "%s", error);
}

static void answer(struct control *c, struct client *client, struct json_object *request)
{
	struct json_object *name = NULL;
	const char *text;

	if (!json_object_object_get_ex(request, "command", &name) ||
	    !json_object_is_type(name, json_type_string)) {
		put_error(c, client, "a request is an object with \"command\"%s", "");
		return;
	}
	text = json_object_get_string(name);
	client->watching |= !strcmp(text, "watch");
	for (const struct control_command *command = c->commands; command->name; command++)
		if (!strcmp(text, command->name)) {
			if (command->take)
				hand_out(c, client, command);
			else
				put_object(c, client, command->run(c->context, request));
			return;
		}
	put_error(c, client, "unknown command \"%.64s\"", text);
}

static void take_line(struct control *c, struct client *client, const char *line, size_t length)
{
	struct json_tokener *tokener;
	struct json_object *request;

	if (length && line[length - 1] == '\r')
		length--;
	if (!length)
		return;
	tokener = json_tokener_new_ex(DEPTH_MAX);
	if (!tokener) {
		drop(c, client);
		return;
	}
	request = json_tokener_parse_ex(tokener, line, length);
	if (request && json_tokener_get_parse_end(tokener) == length)
		answer(c, client, request);
	else
		put_error(c, client, "not a line of JSON%s", "");
	json_object_put(request);
	json_tokener_free(tokener);
}

static void take_lines(struct control *c, struct client *client)
{
	char *line = client->in, *end = client->in + client->in_length, *newline;

	while (client->fd >= 0 && !client->refused && (newline = memchr(line, '\n', end - line))) {
		take_line(c, client, line, newline - line);
		line = newline + 1;
	}
	client->in_length = end - line;
	memmove(client->in, line, client->in_length);
	if (client->in_length == LINE_MAX_BYTES && !client->refused && client->fd >= 0) {
		client->refused = true;
		client->watching = false;
		put_error(c, client, "a line is longer than 64 KiB%s", "");
	}
	if (client->refused)
		client->in_length = 0;
}

static void take_input(struct control *c, struct client *client)
{
	/* Not for ever: others wait too. */
	for (int i = 0; i < 16 && client->fd >= 0 && !client->ended; i++) {
		ssize_t n = recv(client->fd, client->in + client->in_length,
				 LINE_MAX_BYTES - client->in_length, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			drop(c, client);
			return;
		}
		client->in_length += n;
		take_lines(c, client);
		if (n == 0 && client->fd >= 0) {
			client->ended = true;
			flush(c, client);
		}
	}
}

static void ready_client(struct control *c, struct client *client, uint32_t events)
{
	if (client->fd >= 0 && events & EPOLLOUT)
		flush(c, client);
	if (client->fd >= 0 && events & EPOLLIN)
		take_input(c, client);
	if (client->fd >= 0 && events & (EPOLLHUP | EPOLLERR))
		drop(c, client);
}

static int add_client(struct control *c, int fd)
{
	struct client *client = calloc(1, sizeof(*client));
	int err = -ENOMEM;

	if (client)
		client->in = malloc(LINE_MAX_BYTES);
	if (client && client->in)
		err = watch_fd(c, fd, EPOLLIN, client);
	if (err < 0) {
		if (client)
			free(client->in);
		free(client);
		return err;
	}
	client->fd = fd;
	client->next = c->clients;
	c->clients = client;
	c->n_clients++;
	return 0;
}

/* Not accepting, until a client has left, is better than turning in a circle. */
static void stop_accepting(struct control *c, const char *why)
{
	daemon_log(LOG_WARNING, "control socket: no more connections for now: %s", why);
	epoll_ctl(c->epoll, EPOLL_CTL_DEL, c->listener, NULL);
	c->accepting = false;
}

static void accept_clients(struct control *c)
{
	while (c->accepting) {
		int fd, err;

		if (c->n_clients == CLIENTS_MAX) {
			stop_accepting(c, "too many clients");
			return;
		}
		fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0 && errno == EAGAIN)
			return;
		if (fd < 0) {
			stop_accepting(c, strerror(errno));
			return;
		}
		err = add_client(c, fd);
		if (err < 0) {
			close(fd);
			stop_accepting(c, strerror(-err));
		}
	}
}

static void reap(struct control *c)
{
	bool left = false;

	for (struct client **p = &c->clients; *p;) {
		struct client *client = *p;

		if (client->fd >= 0) {
			p = &client->next;
			continue;
		}
		*p = client->next;
		free(client->in);
		free(client->out);
		free(client);
		left = true;
	}
	if (left && !c->accepting && c->listener >= 0)
		c->accepting = watch_fd(c, c->listener, EPOLLIN, &c->listener) == 0;
}

static struct json_object *new_event(struct control *c, const char *name,
				     struct json_object *details)
{
	struct json_object *event = details ? details : json_object_new_object();
	struct timespec now;
	struct tm tm;
	char time[64];
	size_t n;

	if (!event)
		return NULL;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	n = strftime(time, sizeof(time), "%FT%T", &tm);
	snprintf(time + n, sizeof(time) - n, ".%03uZ",
		 (unsigned int)(now.tv_nsec / 1000000) % 1000);
	json_object_object_add(event, "time", json_object_new_string(time));
	json_object_object_add(event, "unit", json_object_new_int64(c->unit));
	json_object_object_add(event, "event", json_object_new_string(name));
	return event;
}

static struct event *event_line(struct control *c, const char *name,
				struct json_object *details)
{
	struct json_object *object = new_event(c, name, details);
	struct event *event = NULL;
	const char *line;

	if (!object)
		return NULL;
	line = json_object_to_json_string_ext(object, JSON_FORM);
	event = malloc(sizeof(*event) + strlen(line) + 1);
	if (event) {
		event->next = NULL;
		strcpy(event->line, line);
	}
	json_object_put(object);
	return event;
}

void control_emit(struct control *c, const char *name, struct json_object *details)
{
	struct event *event = event_line(c, name, details);

	pthread_mutex_lock(&c->lock);
	if (event && c->n_events < EVENTS_MAX) {
		*c->last = event;
		c->last = &event->next;
		c->n_events++;
		event = NULL;
	} else {
		c->n_lost++;
	}
	pthread_mutex_unlock(&c->lock);
	free(event);
	eventfd_write(c->wake, 1);
}

static void broadcast(struct control *c, const char *line)
{
	for (struct client *client = c->clients; client; client = client->next)
		if (client->watching)
			put_line(c, client, line);
}

static void deliver(struct control *c)
{
	struct event *event, *next;
	unsigned int lost;
	eventfd_t ignored;

	eventfd_read(c->wake, &ignored);
	pthread_mutex_lock(&c->lock);
	event = c->first;
	lost = c->n_lost;
	c->first = NULL;
	c->last = &c->first;
	c->n_events = 0;
	c->n_lost = 0;
	pthread_mutex_unlock(&c->lock);
	for (; event; event = next) {
		next = event->next;
		broadcast(c, event->line);
		free(event);
	}
	if (lost && (event = event_line(c, "events-lost", NULL))) {
		broadcast(c, event->line);
		free(event);
	}
}

/* A folder that exists keeps its mode. */
static int make_folder(const char *folder)
{
	if (mkdir(folder, 0755) == 0)
		return chmod(folder, 0755) < 0 ? -errno : 0;
	return errno == EEXIST ? 0 : -errno;
}

static const char *run_folder(void)
{
	const char *folder = secure_getenv("PMT_RUNDIR");

	return folder && *folder ? folder : "/run/pmt";
}

static int find_address(uint32_t unit, struct sockaddr_un *address)
{
	int n = snprintf(address->sun_path, sizeof(address->sun_path), "%s/%u.sock",
			 run_folder(), unit);

	address->sun_family = AF_UNIX;
	return n + sizeof(".new") > sizeof(address->sun_path) ? -ENAMETOOLONG : 0;
}

static int set_address(struct control *c)
{
	int err = find_address(c->unit, &c->address);

	return err < 0 ? err : make_folder(run_folder());
}

int control_connect(uint32_t unit)
{
	struct sockaddr_un address = { 0 };
	int err = find_address(unit, &address), fd;

	if (err < 0)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* 1: a live daemon has the name, and c->elder is connected to it. */
static int find_elder(struct control *c)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err;

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&c->address, sizeof(c->address)) == 0) {
		c->elder = fd;
		return 1;
	}
	err = -errno;
	close(fd);
	if (err == -EAGAIN)
		return -EADDRINUSE;
	return err == -ENOENT || err == -ECONNREFUSED ? 0 : err;
}

static int bind_as(int fd, const struct sockaddr_un *address)
{
	struct sockaddr_un first = *address;

	strcat(first.sun_path, ".new");
	unlink(first.sun_path);
	/* The file has the mode of the socket; umask is the whole process's. */
	if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&first, sizeof(first)) < 0)
		return -errno;
	if (listen(fd, CLIENTS_MAX) < 0 || rename(first.sun_path, address->sun_path) < 0) {
		int err = -errno;

		unlink(first.sun_path);
		return err;
	}
	return 0;
}

static int take_name(struct control *c)
{
	int err = find_elder(c);

	if (err == 1)
		return watch_fd(c, c->elder, EPOLLRDHUP, &c->elder);
	if (err < 0)
		return err;
	c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->listener < 0)
		return -errno;
	err = bind_as(c->listener, &c->address);
	if (err == 0 && stat(c->address.sun_path, &c->bound) < 0)
		err = -errno;
	if (err == 0)
		err = watch_fd(c, c->listener, EPOLLIN, &c->listener);
	c->accepting = err == 0;
	if (err < 0)
		closep(&c->listener);
	return err;
}

static void take_over(struct control *c)
{
	int err;

	closep(&c->elder);
	err = take_name(c);
	if (err < 0)
		daemon_log(LOG_WARNING, "no control socket %s: %s", c->address.sun_path,
			   strerror(-err));
}

void control_dispatch(struct control *c)
{
	struct epoll_event events[CLIENTS_MAX];
	int n = epoll_wait(c->epoll, events, CLIENTS_MAX, 0);

	for (int i = 0; i < n; i++) {
		void *who = events[i].data.ptr;

		if (who == &c->listener)
			accept_clients(c);
		else if (who == &c->wake)
			deliver(c);
		else if (who == &c->elder)
			take_over(c);
		else
			ready_client(c, who, events[i].events);
	}
	reap(c);
}

int control_fd(const struct control *c)
{
	return c->epoll;
}

static int set_up(struct control *c)
{
	int err;

	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (c->epoll < 0)
		return -errno;
	c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->wake < 0)
		return -errno;
	err = watch_fd(c, c->wake, EPOLLIN, &c->wake);
	if (err == 0)
		err = set_address(c);
	return err < 0 ? err : take_name(c);
}

int control_open(struct control **result, uint32_t unit,
		 const struct control_command *commands, void *context)
{
	struct control *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->unit = unit;
	c->commands = commands;
	c->context = context;
	c->epoll = c->listener = c->wake = c->elder = -1;
	c->last = &c->first;
	pthread_mutex_init(&c->lock, NULL);
	err = set_up(c);
	if (err < 0)
		control_close(c);
	else
		*result = c;
	return err;
}

/* The name goes first: who finds it can connect. */
static void remove_name(struct control *c)
{
	struct stat now;

	if (c->listener >= 0 && stat(c->address.sun_path, &now) == 0 &&
	    now.st_dev == c->bound.st_dev && now.st_ino == c->bound.st_ino)
		unlink(c->address.sun_path);
	closep(&c->listener);
	c->accepting = false;
}

void control_close(struct control *c)
{
	if (!c)
		return;
	remove_name(c);
	if (c->wake >= 0)
		deliver(c);
	for (struct client *client = c->clients; client; client = client->next)
		drop(c, client);
	reap(c);
	closep(&c->elder);
	closep(&c->wake);
	closep(&c->epoll);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
