/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whole tapes, without the kernel: what reader.c, copy.c and verify.c share.
 *
 *	drive -> flow.c -> reader.c -> copy.c -> flow.c -> drive
 *	                            -> verify.c
 *
 * A flow is a drive with its worker and a few requests in flight, so that a drive
 * is busy while its user is.  A reader is a flow of READs, whose buffers its user
 * has until they are released; the copier gives the same buffers to WRITEs of
 * another flow.  Prototypes are sorted by the file that defines them.
 */
#ifndef PMT_TAPES_H
#define PMT_TAPES_H

#include "../internal.h"

#define PMT_FLOW_DEPTH 16u

struct pmt_flow {
	struct pmt_drive *drive;
	struct pmt_worker *worker;
	struct pmt_session session;
	struct pmt_limits limits;
	struct pmt_place place;		/* of the next command: the user's */
	uint8_t medium_flags;		/* as begin() has found it */
	uint64_t eod;
	uint32_t number;
	/* A ring; i is in requests[i % PMT_FLOW_DEPTH]. */
	uint32_t sent, waited, released;
	struct pmt_request requests[PMT_FLOW_DEPTH];
	struct pmt_request alone;	/* do()'s */
	pthread_mutex_t lock;		/* of done, alone_done */
	pthread_cond_t cond;
	uint32_t done;			/* results are in order */
	bool alone_done;
};

/* flow.c */
int pmt_flow_open(struct pmt_flow *, struct pmt_drive *);
void pmt_flow_close(struct pmt_flow *);
bool pmt_flow_has_room(const struct pmt_flow *);
/* At flow->place; index of the request in the ring. */
uint32_t pmt_flow_send(struct pmt_flow *, struct pmt_command, void *data);
/* The oldest that was not waited for, when it is done; NULL: there is none. */
struct pmt_request *pmt_flow_wait(struct pmt_flow *);
/* The oldest that was waited for may be used again. */
void pmt_flow_release(struct pmt_flow *);
/* The last that was waited for is nobody's: as if it had not been sent. */
void pmt_flow_take_back(struct pmt_flow *);
/* After a CHECK: what is behind it is done, and forgotten; the drive goes on. */
void pmt_flow_settle(struct pmt_flow *);
/* One command at flow->place, with nothing in flight, outside of the ring; place is
 * where it stands then, as far as that is known. */
struct pmt_result pmt_flow_do(struct pmt_flow *, struct pmt_command, void *data);
/* To the beginning of the partition; PMT_ANY_PARTITION: of the only one.  -ENOMEDIUM,
 * -EINVAL no such partition, -EIO. */
int pmt_flow_begin(struct pmt_flow *, uint32_t partition);
/* Unload; wait so many ms for the next volume, as long as go_on() says so.  1: it is
 * there, at its beginning; 0: there is none; -EINTR, -EIO. */
int pmt_flow_next_volume(struct pmt_flow *, const struct pmt_walk *, uint32_t partition);
/* Log what was to be done at place (or NULL), why it was not, and what to do.  -EIO, or what
 * the key stands for. */
int pmt_flow_fail(const struct pmt_flow *, const char *what, const struct pmt_place *,
		  const struct pmt_result *);
bool pmt_result_is_good(const struct pmt_result *);

/* reader.c */
/* Where the next object is going to be, before one was asked for. */
const struct pmt_place *pmt_reader_place(const struct pmt_reader *);

#endif
