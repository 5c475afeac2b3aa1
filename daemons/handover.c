// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Handing a unit over to another process, without a moment without a server
 *
 *	successor			predecessor
 *	connects to the control socket
 *	{"command":"take-over"}   ->
 *					finishes what was issued, closes its drives
 *				  <-	{"unit":0,"spec":"...","drives":[
 *					 {"name":"/dev/nst0","state":"..."}]}
 *					with the slave end, and a descriptor of each
 *					of these drives (SCM_RIGHTS)
 *	opens its drives, attaches again
 *	{"taken":true}		  ->
 *					ends
 *
 * Until the last line the unit is the predecessor's: if the successor ends before,
 * however it does, the predecessor opens its drives again and goes on.  It waits
 * for that end itself, as a process that is ending may still have a drive open; so
 * both have never one at once.  A successor that says nothing in time is killed.
 * What the application writes meanwhile is in the ring, and waits.
 */
#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <syslog.h>
#include <time.h>

#include "daemon.h"

/* How long a successor may take, in ms; and if the predecessor is to stop, from then. */
#ifndef TAKE_LIMIT
#define TAKE_LIMIT 30000
#define STOP_LIMIT 5000
#endif

#define FDS_MAX 64u
#define MESSAGE_MAX (64u << 10)

struct rights {
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	int fds[FDS_MAX];
	size_t n;
};

static void closep(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define _cleanup_close_ __attribute__((cleanup(closep)))

static void putp(struct json_object **object)
{
	json_object_put(*object);
}

#define _cleanup_json_ __attribute__((cleanup(putp)))

/*
 * The predecessor.
 */
static struct json_object *describe(const struct keep *keep, uint32_t unit, const char *spec,
				    struct rights *rights)
{
	struct json_object *message = json_object_new_object();
	struct json_object *drives = json_object_new_array();

	for (const struct kept *kept = keep_list(keep); kept && rights->n < FDS_MAX;
	     kept = kept->next) {
		struct json_object *drive = json_object_new_object();

		json_object_object_add(drive, "name", json_object_new_string(kept->name));
		json_object_object_add(drive, "state", json_object_new_string(kept->state));
		json_object_array_add(drives, drive);
		rights->fds[rights->n++] = kept->fd;
	}
	json_object_object_add(message, "unit", json_object_new_int64(unit));
	json_object_object_add(message, "spec", json_object_new_string(spec));
	json_object_object_add(message, "drives", drives);
	return message;
}

static int send_message(int successor, struct json_object *message, struct rights *rights)
{
	_cleanup_free_ char *line = NULL;
	size_t size = rights->n * sizeof(int);
	struct iovec data;
	struct msghdr header = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = &rights->control,
		.msg_controllen = CMSG_SPACE(size),
	};
	int length = asprintf(&line, "%s\n", json_object_to_json_string_ext(message,
			      JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));

	if (length < 0)
		line = NULL;
	if (length < 0 || length > (int)MESSAGE_MAX)
		return -EMSGSIZE;
	rights->control.header = (struct cmsghdr) {
		.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(size),
	};
	memcpy(CMSG_DATA(&rights->control.header), rights->fds, size);
	data = (struct iovec) { line, (size_t)length };
	if (sendmsg(successor, &header, MSG_NOSIGNAL) != length)
		return errno ? -errno : -EIO;
	return 0;
}

int handover_asked(struct successor *successor, int connection)
{
	struct pollfd fd = { .fd = connection };
	struct ucred who = { .pid = 0 };
	socklen_t size = sizeof(who);
	int process;

	if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0)
		return -errno;
	process = pidfd_open(who.pid, 0);
	if (process < 0)
		return -errno;
	/* Had it ended, its number could be another's by now. */
	if (poll(&fd, 1, 0) != 0) {
		close(process);
		return -ECONNRESET;
	}
	*successor = (struct successor){ connection, process, who.pid };
	return 0;
}

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* For poll(): until then; -1 is never. */
static int time_to(int64_t limit)
{
	int64_t left = limit - now();

	return limit < 0 ? -1 : left < 0 ? 0 : (int)left;
}

static void kill_it(const struct successor *successor)
{
	if (pidfd_send_signal(successor->process, SIGKILL, NULL, 0) < 0)
		daemon_log(LOG_ERR, "process %d has not taken over in time, and cannot be killed: "
			   "%s", successor->pid, strerror(errno));
	else
		daemon_log(LOG_WARNING, "process %d has not taken over in time: killed",
			   successor->pid);
}

static bool says_taken(struct pollfd *fd)
{
	char line[64] = "";
	ssize_t n = recv(fd->fd, line, sizeof(line) - 1, MSG_DONTWAIT);

	if (n >= 0 ? !n : errno != EAGAIN)
		fd->fd = -1;
	return n > 0 && strstr(line, "\"taken\":true");
}

/*
 * It says so; or it has ended, and has nothing open any more.  Who has been killed
 * says nothing.  It may be stuck in a drive; who stops does not wait for that, as
 * nothing is opened again then.
 */
static bool was_taken(const struct successor *successor, int stop)
{
	struct pollfd fds[] = {
		{ .fd = successor->process, .events = POLLIN },
		{ .fd = successor->connection, .events = POLLIN },
		{ .fd = stop, .events = POLLIN },
	};
	int64_t limit = now() + TAKE_LIMIT;
	bool killed = false;

	while (!fds[0].revents) {
		int n = poll(fds, 3, time_to(limit));

		if (n == 0 && killed)
			break;
		if (n == 0) {
			kill_it(successor);
			killed = true;
			fds[1].fd = -1;
			limit = fds[2].fd < 0 ? now() + STOP_LIMIT : -1;
		}
		if (fds[2].revents) {
			fds[2].fd = -1;
			limit = now() + STOP_LIMIT;
		}
		if (fds[1].revents && says_taken(&fds[1]))
			return true;
	}
	return false;
}

int handover_give(const struct successor *successor, int stop, int slave,
		  const struct keep *keep, uint32_t unit, const char *spec)
{
	struct rights rights = { .fds = { slave }, .n = 1 };
	_cleanup_json_ struct json_object *message = describe(keep, unit, spec, &rights);
	int err = send_message(successor->connection, message, &rights);

	if (err < 0)
		return err;
	return was_taken(successor, stop) ? successor->pid : -ECANCELED;
}

/*
 * The successor.
 */
static int take_rights(struct msghdr *header, struct rights *rights)
{
	struct cmsghdr *first = CMSG_FIRSTHDR(header);

	if (!first || first->cmsg_level != SOL_SOCKET || first->cmsg_type != SCM_RIGHTS)
		return 0;
	rights->n = (first->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(rights->fds, CMSG_DATA(first), rights->n * sizeof(int));
	return header->msg_flags & MSG_CTRUNC ? -EMSGSIZE : 0;
}

/* 0; -EINTR: it is to stop. */
static int wait_for(int predecessor, int stop)
{
	struct pollfd fds[] = {
		{ .fd = predecessor, .events = POLLIN },
		{ .fd = stop, .events = POLLIN },
	};

	while (!fds[0].revents && !fds[1].revents)
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return -errno;
	return fds[1].revents ? -EINTR : 0;
}

/* A line; the descriptors come with its first byte. */
static int receive_message(int predecessor, int stop, char *line, struct rights *rights)
{
	size_t length = 0;
	int err;

	while (!memchr(line, '\n', length)) {
		struct iovec data = { line + length, MESSAGE_MAX - 1 - length };
		struct msghdr header = {
			.msg_iov = &data,
			.msg_iovlen = 1,
			.msg_control = rights->n ? NULL : &rights->control,
			.msg_controllen = rights->n ? 0 : sizeof(rights->control),
		};
		ssize_t n;

		err = wait_for(predecessor, stop);
		if (err < 0)
			return err;
		n = recvmsg(predecessor, &header, MSG_CMSG_CLOEXEC);
		err = n > 0 ? take_rights(&header, rights) : 0;
		if (n <= 0 || err < 0)
			return err < 0 ? err : n < 0 ? -errno : -ECONNRESET;
		length += (size_t)n;
		if (length == MESSAGE_MAX - 1)
			return -EMSGSIZE;
	}
	return 0;
}

static const char *string_of(struct json_object *object, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, json_type_string))
		return NULL;
	return json_object_get_string(value);
}

/* All that came is somebody's, or closed. */
static int take_drives(struct json_object *message, struct rights *rights, struct keep *keep)
{
	struct json_object *drives = NULL;
	size_t n = 0;

	json_object_object_get_ex(message, "drives", &drives);
	if (json_object_is_type(drives, json_type_array))
		n = json_object_array_length(drives);
	if (n + 1 != rights->n)
		return -EPROTO;
	for (size_t i = 0; i < n; i++) {
		struct json_object *drive = json_object_array_get_idx(drives, i);
		const char *name = string_of(drive, "name"), *state = string_of(drive, "state");
		int fd = rights->fds[i + 1];

		if (!name || !state)
			return -EPROTO;
		rights->fds[i + 1] = -1;
		if (keep_add(keep, name, fd, state) < 0)
			return -ENOMEM;
	}
	return 0;
}

static bool is_slave_of(int fd, uint32_t unit)
{
	struct pmt_info info;

	return ioctl(fd, PMT_IOC_INFO, &info) == 0 && info.unit == unit;
}

static int take_message(const char *line, struct rights *rights, uint32_t unit,
			struct keep *keep, int *slave, char **spec)
{
	_cleanup_json_ struct json_object *message = json_tokener_parse(line);
	const char *text = string_of(message, "error");

	if (text) {
		daemon_log(LOG_ERR, "unit %u is not handed over: %s", unit, text);
		return -ECANCELED;
	}
	text = string_of(message, "spec");
	if (!text || !rights->n || !is_slave_of(rights->fds[0], unit))
		return -EPROTO;
	*spec = strdup(text);
	*slave = rights->fds[0];
	rights->fds[0] = -1;
	return *spec ? take_drives(message, rights, keep) : -ENOMEM;
}

int handover_take(uint32_t unit, int stop, struct keep *keep, int *slave, char **spec)
{
	static const char request[] = "{\"command\":\"take-over\"}\n";
	_cleanup_free_ char *line = calloc(1, MESSAGE_MAX);
	struct rights rights = { .n = 0 };
	int predecessor, err = -ENOMEM;

	predecessor = control_connect(unit);
	if (predecessor < 0) {
		daemon_log(LOG_ERR, "unit %u: no daemon to take it over from: %s", unit,
			   strerror(-predecessor));
		return predecessor;
	}
	if (send(predecessor, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0)
		err = -errno;
	else if (line)
		err = receive_message(predecessor, stop, line, &rights);
	if (err == 0)
		err = take_message(line, &rights, unit, keep, slave, spec);
	for (size_t i = 0; i < rights.n; i++)
		closep(&rights.fds[i]);
	if (err == 0)
		return predecessor;
	if (err != -ECANCELED && err != -EINTR)
		daemon_log(LOG_ERR, "unit %u is not handed over: %s", unit, strerror(-err));
	close(predecessor);
	return err;
}

void handover_taken(int predecessor)
{
	static const char answer[] = "{\"taken\":true}\n";

	if (send(predecessor, answer, sizeof(answer) - 1, MSG_NOSIGNAL) < 0)
		daemon_log(LOG_WARNING, "the daemon before has gone: %s", strerror(errno));
	close(predecessor);
}
