// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A tape in memory: the smallest server there is.  libpmt(3) explains it.
 *
 *	cc memory.c -o memory $(pkg-config --cflags --libs libpmt)
 *	modprobe pmtm; pmt new 0; ./memory 0 &  tar cf /dev/pmtm0 .
 */
#include <errno.h>
#include <pmt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OBJECTS (1u << 20)

static struct object {		/* a record, or without length a filemark */
	size_t length;
	void *data;
} tape[OBJECTS];
static uint64_t count;
static struct pmt_server *server;

static int64_t get(void *context, uint64_t lbn, void *data, size_t size)
{
	(void)context;
	if (size)
		memcpy(data, tape[lbn].data, size < tape[lbn].length ? size : tape[lbn].length);
	return (int64_t)tape[lbn].length;
}

static int cut(void *context, uint64_t lbn)
{
	(void)context;
	while (count > lbn)
		free(tape[--count].data);
	return 0;
}

static int put(void *context, uint64_t lbn, const void *data, size_t length)
{
	void *copy = lbn < OBJECTS ? malloc(length + 1) : NULL;

	if (!copy)
		return -ENOSPC;		/* nothing was written */
	cut(context, lbn);
	tape[count++] = (struct object){ length, memcpy(copy, length ? data : "", length) };
	return lbn + 1024 > OBJECTS;	/* early warning, for so many more */
}

static void stop(int signal)
{
	(void)signal;
	pmt_server_stop(server);
}

int main(int argc, char **argv)
{
	struct pmt_store store = { .name = "memory", .read = get, .write = put, .cut = cut };
	struct pmt_drive *drive = NULL;
	int rc = argc == 2 ? pmt_drive_open_store(&drive, &store, NULL) : -EINVAL;

	if (rc == 0)
		rc = pmt_server_open(&server, argv[1], drive);
	if (rc == 0) {
		signal(SIGTERM, stop);
		rc = pmt_server_run(server);
	}
	pmt_server_close(server);
	pmt_drive_close(drive);
	cut(NULL, 0);
	if (rc)
		fprintf(stderr, "memory: %s\n", strerror(-rc));
	return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}
