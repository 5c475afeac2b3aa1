/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The inside of "rmt:": a tape drive under st on another host, by RMT.
 *
 *	rmt_flow.c	the queue, and what is kept on the wire
 *	rmt.c		the drive: its options, connecting again
 *	(st*.c)		all that st makes of a tape, the same as of one here
 *	rmt_calls.c	the calls of st, as requests
 *	rmt_wire.c	a process to speak to, bytes and replies; exec.c has one, too
 *
 * Prototypes are sorted by the file that defines them.
 */
#ifndef PMT_REMOTE_H
#define PMT_REMOTE_H

#include <sys/uio.h>

#include "../rmt/rmt.h"
#include "st.h"

/*
 * A process that speaks RMT, or lines (exec.c), by a socket that is its standard
 * input and output.
 * Functions return -EPIPE when it has gone, -ETIMEDOUT when it says nothing,
 * -EBADMSG for what is no reply; then the wire is of no more use.
 */
struct pmt_wire {
	int fd;			/* never blocks; -1: there is none */
	int process;		/* pidfd */
	pid_t pid;
	int timeout;		/* ms without a byte */
	int64_t until;		/* ms: and no wait is longer; 0: there is no such time */
	struct pmt_rmt_reply_parser parser;
	char *in;		/* came, and is not taken yet: */
	size_t from, to, room;
};

/* One command on the wire; of fixed blocks one request each. */
struct pmt_flight {
	struct pmt_request *req;
	uint32_t size, parts;	/* bytes of a part; how many */
	uint32_t sent, answered;	/* parts */
	uint32_t length;	/* of the record that was read */
	int64_t since;		/* ms */
	char head[16];		/* request of each part */
	size_t head_length;
};

#define PMT_FLIGHTS 1024u

/*
 * The first half belongs to the executing thread; lock guards the second, which
 * submit(), resume(), cancel() and status() share with it.
 */
struct pmt_remote {
	struct pmt_st st;
	struct pmt_leaf_ops ops;	/* st's, as far as the server has them */
	int (*look)(struct pmt_leaf *);	/* st's own */
	struct pmt_wire wire;
	char *host, *device, *program, *config, *command;
	enum pmt_rmt_order stated, order;	/* by the administrator; as it is */
	bool version1;		/* the server agreed to it */
	bool opening;
	bool open;		/* the device is */
	bool lost;		/* the wire, since then */
	bool empty;		/* opened, but there is no cartridge */
	bool read_only;		/* opened so, as it would not otherwise */
	bool full;		/* a write met the end, and nothing has moved since */
	bool repeating;		/* what was on the wire is executed again */
	bool rewinding;		/* was sent, and is not answered */
	bool gone;		/* it could not be connected again in time */
	unsigned int zeros;	/* records of no bytes that were read, one behind the other */
	bool strays;		/* records were let through behind one that was not */
	uint32_t window;	/* bytes on the wire, at most */
	int64_t patience;	/* ms that one may wait for its answer: then no more */
	int64_t recovery;	/* ms to connect again */

	/* What is on the wire, oldest first, by counters that wrap. */
	struct pmt_flight *flights;
	uint32_t first, sending, last;
	size_t out;		/* bytes of the part that is being sent */
	uint64_t bytes;		/* of all of them */
	struct pmt_place ahead;	/* where the drive stands when they are done */
	struct {		/* the reply that is coming in: */
		size_t left;	/* of its data */
		char *to;
		uint32_t expect;	/* length of the last record */
	} in;

	pthread_t thread;
	int wake;		/* eventfd */
	pthread_mutex_t lock;
	pthread_cond_t quiet;
	bool publishing;	/* the thread is in a done() */
	struct pmt_request *queue, **queue_end;
	bool stop, frozen, cancelling;
	bool fresh;		/* something came into the queue */
	bool parked;		/* the thread sleeps, or is about to: wake it */
	bool again;		/* the first of the queue was begun: it is executed */
	uint32_t cancel;
	struct {
		bool connected;
		uint32_t flights, most;
		uint64_t lost, repeated;
	} shown;
};

static inline struct pmt_remote *pmt_remote_of(struct pmt_st *st)
{
	return (struct pmt_remote *)st;
}

/* rmt_wire.c */
int64_t pmt_wire_now(void);	/* ms */
int pmt_wire_open(struct pmt_wire *, const char *const *argv);
/* It is given the time to close what it has open. */
void pmt_wire_close(struct pmt_wire *);
/* Blocking: all of it. */
int pmt_wire_send(struct pmt_wire *, struct iovec *, int n);
int pmt_wire_reply(struct pmt_wire *, struct pmt_rmt_reply *);
int pmt_wire_data(struct pmt_wire *, void *to, size_t n);	/* to NULL: dropped */
int pmt_wire_line(struct pmt_wire *, char *line, size_t size);	/* without its end */
/* As much as there is room for, or has come; 0: nothing now. */
ssize_t pmt_wire_put(struct pmt_wire *, const struct iovec *, int n);
ssize_t pmt_wire_get(struct pmt_wire *, const struct iovec *, int n);
ssize_t pmt_wire_fill(struct pmt_wire *);
/* Bytes that have come; and those that did not go where they were expected. */
size_t pmt_wire_taken(struct pmt_wire *, void *to, size_t n);
int pmt_wire_give_back(struct pmt_wire *, const void *from, size_t n);
int pmt_wire_take_reply(struct pmt_wire *, struct pmt_rmt_reply *, bool *done);

/* rmt_calls.c */
extern const struct pmt_st_calls pmt_remote_calls;
/* The wire is of no more use; -ENOLINK. */
int pmt_remote_lose(struct pmt_remote *, int rc);

/* rmt.c */
/* Connect again, and find out where the tape stands.  -ENOLINK: not in time. */
int pmt_remote_recover(struct pmt_remote *);
/* Wait, from PMT_WAIT_MIN on longer each time. */
#define PMT_WAIT_MIN	50	/* ms */
void pmt_remote_back_off(unsigned int *wait);

/* rmt_flow.c */
int pmt_flow_start(struct pmt_remote *);
void pmt_flow_stop(struct pmt_remote *);
void pmt_flow_submit(struct pmt_drive *, struct pmt_request *);
void pmt_flow_resume(struct pmt_drive *);
void pmt_flow_cancel(struct pmt_drive *, uint32_t number);
void pmt_remote_settle(struct pmt_drive *);

#endif
