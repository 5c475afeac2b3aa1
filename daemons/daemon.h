/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemons that serve a unit: one file each, which describes itself by
 * struct daemon_ops and calls daemon_main().  Prototypes are sorted by the file
 * that defines them.
 */
#ifndef PMT_DAEMON_H
#define PMT_DAEMON_H

#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include <pmt.h>

#include "config.h"

#ifndef PMT_VERSION
#define PMT_VERSION "0.1"
#endif

struct json_object;

static inline void daemon_freep(void *p)
{
	free(*(void **)p);
}

#define _cleanup_free_ __attribute__((cleanup(daemon_freep)))

enum daemon_exit {
	DAEMON_STOPPED = 0,	/* by a signal; nothing is lost */
	DAEMON_FAILED = 1,
	DAEMON_USAGE = 2,	/* options, or a specification */
	DAEMON_TAKEN = 3,	/* the slave end was taken away, the unit deleted */
	DAEMON_MEDIUM = 4,	/* another cartridge than the unit was using, or no twins */
};

/**
 * struct daemon_ops - one daemon, to the shared main
 * @name: as it is installed
 * @help: all that --help prints
 * @options: its own options, with val from DAEMON_OPTION on; ends with zeros.
 *	Optional.
 * @option: takes one of them; -EINVAL: not understood, a message was logged.
 *	Optional.
 * @check: the words behind UNIT, before anything is opened; as @option
 * @open: makes the drive; keeper and *error as of pmt_drive_open_kept
 * @configured: it takes --config and --prepare, where UNIT and the words are drives
 */
struct daemon_ops {
	const char *name;
	const char *help;
	const struct option *options;
	int (*option)(void *own, int val, const char *argument);
	int (*check)(void *own, char **words, size_t n);
	int (*open)(void *own, char **words, size_t n, const struct pmt_keeper *keeper,
		    struct pmt_drive **drive, char **error);
	bool configured;
};

#define DAEMON_OPTION 0x200
#define DAEMON_OPTIONS_MAX 16

/* main.c */
int daemon_main(const struct daemon_ops *, void *own, int argc, char **argv);
/* A line to the log and to those who watch the daemon; any thread. */
void daemon_log(int priority, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * control.c: the control socket, /run/pmt/N.sock (PMT_RUNDIR is another folder).
 * All of it belongs to one thread, which waits for control_fd() to be readable;
 * control_emit() alone may be called by any.
 */
struct control;

struct control_command {
	const char *name;
	/* The answer; NULL is out of memory. */
	struct json_object *(*run)(void *context, struct json_object *request);
	/* Instead: the connection is taken out of the socket's hands (NULL), or why not. */
	const char *(*take)(void *context, int fd);
};

/* commands ends with an empty one.  Who was answered to "watch" gets the events. */
int control_open(struct control **, uint32_t unit,
		 const struct control_command *commands, void *context);
void control_close(struct control *);
int control_fd(const struct control *);
void control_dispatch(struct control *);
/* An event to every watcher; details may be NULL, and is taken over. */
void control_emit(struct control *, const char *event, struct json_object *details);
/* To the daemon that has the unit's: a descriptor, or -errno. */
int control_connect(uint32_t unit);

/* keep.c: descriptors of real drives, which outlive the process */
struct keep;

struct kept {
	struct kept *next;
	char *name;
	int fd;
	char state[80];		/* what the drive that was closed last left of it, or "" */
	bool used;		/* by a drive of this process */
};

struct keep *keep_new(void);
void keep_free(struct keep *);
const struct pmt_keeper *keep_keeper(const struct keep *);
/* fd is taken over, whatever happens. */
int keep_add(struct keep *, const char *name, int fd, const char *state);
/* Those that none of the drives wanted. */
void keep_close_unused(struct keep *);
/* While no drive is open. */
const struct kept *keep_list(const struct keep *);
void keep_forget_states(struct keep *);

/*
 * handover.c: stop is a descriptor that is readable when the daemon is to stop.
 * give waits for the successor: its pid, or -errno when it is sure that it has not
 * taken the unit and never will.  take: the connection, on which handover_taken()
 * says the last word, and closes it.  -EINTR: it was stopped.
 */
struct successor {
	int connection, process;	/* -1: there is none; a pidfd */
	int pid;
};

/* When it asks, by the connection, which is the successor's then. */
int handover_asked(struct successor *, int connection);
int handover_give(const struct successor *, int stop, int slave, const struct keep *,
		  uint32_t unit, const char *spec);
int handover_take(uint32_t unit, int stop, struct keep *, int *slave, char **spec);
void handover_taken(int predecessor);

#endif
