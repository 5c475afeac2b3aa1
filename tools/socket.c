// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The control socket of a unit's daemon: JSON lines, see tape-mirror(8)
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "pmt-tool.h"

#define ANSWER_MAX (1u << 20)
#define REFUSAL_MAX 4096

const char *socket_folder(void)
{
	const char *folder = secure_getenv("PMT_RUNDIR");

	return folder && *folder ? folder : "/run/pmt";
}

static int connect_for(uint32_t unit, unsigned int patience)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = patience };
	int fd, err;

	if (snprintf(address.sun_path, sizeof(address.sun_path), "%s/%u.sock",
		     socket_folder(), unit) >= (int)sizeof(address.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	err = errno == EAGAIN ? -ETIMEDOUT : -errno;
	close(fd);
	return err;
}

int socket_connect(uint32_t unit)
{
	return connect_for(unit, SOCKET_PATIENCE);
}

int socket_send(int fd, const char *line)
{
	ssize_t n = send(fd, line, strlen(line), MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return (size_t)n == strlen(line) ? 0 : -EIO;
}

static int receive_line(int fd, char *line, size_t size)
{
	size_t length = 0;

	while (length + 1 < size) {
		ssize_t n = recv(fd, line + length, size - 1 - length, 0);
		char *end;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (n == 0)
			return -ECONNRESET;
		line[length + n] = '\0';
		end = memchr(line + length, '\n', n);
		if (end) {
			*end = '\0';
			return 0;
		}
		length += n;
	}
	return -EMSGSIZE;
}

int socket_status(uint32_t unit, unsigned int patience, struct json_object **status)
{
	_cleanup_free_ char *line = malloc(ANSWER_MAX);
	_cleanup_close_ int fd = connect_for(unit, patience);
	int err;

	if (!line)
		return -ENOMEM;
	if (fd < 0)
		return fd;
	err = socket_send(fd, "{\"command\":\"status\"}\n");
	if (err == 0)
		err = receive_line(fd, line, ANSWER_MAX);
	if (err < 0)
		return err;
	*status = json_tokener_parse(line);
	return *status ? 0 : -EBADMSG;
}

const char *socket_trouble(int err)
{
	if (err == -ENOENT || err == -ECONNREFUSED)
		return "no server with a control socket has it";
	if (err == -ETIMEDOUT)
		return "the server does not answer";
	if (err == -ECONNRESET || err == -EPIPE)
		return "the server is gone";
	return strerror(-err);
}

static int send_request(int fd, struct json_object *request)
{
	_cleanup_free_ char *text = NULL;

	if (asprintf(&text, "%s\n", json_object_to_json_string(request)) < 0)
		text = NULL;
	json_object_put(request);
	return text ? socket_send(fd, text) : -ENOMEM;
}

/* "ok", with "waits" 1; or a refusal. */
static int ask(int fd, struct json_object *request, char **refusal)
{
	struct json_object *answer, *error;
	char text[REFUSAL_MAX];
	int err = send_request(fd, request);

	if (err == 0)
		err = receive_line(fd, text, sizeof(text));
	if (err < 0)
		return err;
	answer = json_tokener_parse(text);
	if (json_object_object_get_ex(answer, "error", &error)) {
		*refusal = strdup(json_object_get_string(error));
		err = *refusal ? -EINVAL : -ENOMEM;
	} else if (!json_object_object_get_ex(answer, "ok", NULL)) {
		err = -EBADMSG;
	} else {
		err = json_object_object_get_ex(answer, "waits", NULL);
	}
	json_object_put(answer);
	return err;
}

int socket_control(int fd, const char *line, char **refusal)
{
	struct json_object *request = json_object_new_object();

	json_object_object_add(request, "command", json_object_new_string("control"));
	json_object_object_add(request, "line", json_object_new_string(line));
	return ask(fd, request, refusal);
}

int socket_rejoin(int fd, int copy, const char *spec, char **refusal)
{
	struct json_object *request = json_object_new_object();

	json_object_object_add(request, "command", json_object_new_string("rejoin"));
	json_object_object_add(request, "copy", json_object_new_int(copy));
	json_object_object_add(request, "spec", json_object_new_string(spec));
	return ask(fd, request, refusal);
}
