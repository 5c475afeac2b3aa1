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
#define ANSWER_SECONDS 5

const char *socket_folder(void)
{
	const char *folder = secure_getenv("PMT_RUNDIR");

	return folder && *folder ? folder : "/run/pmt";
}

int socket_connect(uint32_t unit)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = ANSWER_SECONDS };
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

int socket_status(uint32_t unit, struct json_object **status)
{
	_cleanup_free_ char *line = malloc(ANSWER_MAX);
	_cleanup_close_ int fd = socket_connect(unit);
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
