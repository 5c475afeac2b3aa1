// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmt control: tell a unit's drives what happens to the tape, for tests
 *
 * The words of the command line are one line; or the lines of standard input are
 * given one after the other, by one connection, and each is answered on standard
 * output before the next is read, so that a program can keep this as a
 * co-process.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "pmt-tool.h"

#define LINE_BYTES 1000		/* more is no line of control */

static char *join(char **words, size_t n)
{
	size_t size = 1;
	char *line;

	for (size_t i = 0; i < n; i++)
		size += strlen(words[i]) + 1;
	line = calloc(1, size);
	for (size_t i = 0; line && i < n; i++) {
		strcat(line, words[i]);
		strcat(line, i + 1 < n ? " " : "");
	}
	return line;
}

static int give_words(struct tool *t, int fd)
{
	_cleanup_free_ char *line = join(t->words, t->n_words), *refusal = NULL;
	int err = line ? socket_control(fd, line, &refusal) : -ENOMEM;

	if (err < 0)
		fprintf(stderr, "pmt: unit %u: %s\n", t->unit, refusal ? refusal : socket_trouble(err));
	return err;
}

static int give_line(int fd, char *line)
{
	_cleanup_free_ char *refusal = NULL;
	int err = -EINVAL;

	line[strcspn(line, "\n")] = '\0';
	if (strlen(line) > LINE_BYTES)
		puts("error the line is too long");
	else if ((err = socket_control(fd, line, &refusal)) < 0)
		printf("error %s\n", refusal ? refusal : socket_trouble(err));
	else
		puts("ok");
	return fflush(stdout) ? -EIO : err;
}

static int give_input(int fd)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	int first = 0;

	while (getline(&line, &size, stdin) >= 0) {
		int err = give_line(fd, line);

		first = first ? first : err;
		if (err < 0 && err != -EINVAL)
			break;
	}
	return first;
}

int verb_control(struct tool *t)
{
	_cleanup_close_ int fd = socket_connect(t->unit);
	int err;

	if (fd == -EACCES || fd == -EPERM)
		return tool_fail(t, t->unit, fd);
	if (fd < 0) {
		fprintf(stderr, "pmt: unit %u: %s\n", t->unit, socket_trouble(fd));
		return TOOL_FAILED;
	}
	err = t->n_words ? give_words(t, fd) : give_input(fd);
	return err < 0 ? TOOL_FAILED : TOOL_OK;
}
