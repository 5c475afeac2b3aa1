/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Coders: filters that write each record in another form, and turn it back when it
 * is read.  coder*.c is what they share: commands and results, fixed blocks, the
 * pipeline over the processors; a codec is what one of them does to a record.
 */
#ifndef PMT_CODER_H
#define PMT_CODER_H

#include "internal.h"

#define PMT_CODER_HEAD 144u	/* the largest head of a codec */

struct pmt_coder;

/*
 * One record on its way, or a command that has none.  The codec touches what is
 * above the line.
 */
struct pmt_cell {
	struct pmt_place place;		/* of the record, as far as it is known */
	unsigned char *plain;		/* the application's bytes, size of them */
	uint32_t size;			/* written; or the room there is to read into */
	uint32_t length;		/* of what was read, unchanged by the room */
	unsigned char *coded;		/* coded_size bytes of memory */
	size_t coded_size;
	uint32_t coded_length;		/* the record as the child has it */
	unsigned char head[PMT_CODER_HEAD];	/* the codec's, from prepare() on */
	/* Where a function of the codec's fails: what the application is told, why. */
	uint8_t key, asc, ascq;
	char why[120];
	/* ---- */
	struct pmt_coder *coder;
	struct pmt_cell *next;		/* to be coded */
	unsigned int thread;		/* that has coded it, of the pool's */
	struct pmt_request req;		/* to the child */
	struct pmt_request *up;		/* the command that it is of */
	uint32_t part;			/* of up's records */
	bool last;			/* of up */
	bool again;			/* it is read with more room */
	bool refused;			/* req asks only where the child stands */
	int rc;
	enum {
		PMT_CELL_CODING,	/* or to be */
		PMT_CELL_READY,		/* for the child */
		PMT_CELL_SENT,
		PMT_CELL_LONGER,	/* than the memory: to be read again */
		PMT_CELL_MARK,		/* was met: to look behind it */
		PMT_CELL_DONE,
	} state;
};

/*
 * All but look, encode and decode are called with coder->lock held, and in order,
 * unless said; NULL does nothing.  They return 0 or -errno, having filled in the cell's sense.
 */
struct pmt_codec {
	uint32_t head;			/* bytes by which a record grows at most */
	bool places;			/* has to know the LBN of what is written */
	/* The record is going to be written; -EAGAIN: not before look(). */
	int (*prepare)(struct pmt_coder *, struct pmt_cell *);
	/* A READ is going to begin at the cell's place; -EAGAIN: not before look(). */
	int (*expect)(struct pmt_coder *, const struct pmt_cell *);
	/*
	 * Alone with the child, not locked, before the WRITE or READ of the cell; asks it by pmt_coder_ask().  The cell's
	 * memory holds the largest record there can be.
	 */
	int (*look)(struct pmt_coder *, struct pmt_cell *);
	/* plain to coded; on the pool's thread of that number. */
	int (*encode)(struct pmt_coder *, struct pmt_cell *, unsigned int thread);
	/* coded to plain, as much as fits. */
	int (*decode)(struct pmt_coder *, struct pmt_cell *, unsigned int thread);
	/* What was decoded comes in its turn. */
	int (*accept)(struct pmt_coder *, struct pmt_cell *);
	/* As look(): a READ has met a mark, behind which the cell's place is. */
	int (*behind)(struct pmt_coder *, struct pmt_cell *);
	/* A READ has met end of data, at the cell's place. */
	int (*end)(struct pmt_coder *, struct pmt_cell *);
	/* A command without records is begun. */
	void (*other)(struct pmt_coder *, const struct pmt_command *);
	/* One that is alone is done; not locked. */
	void (*done)(struct pmt_coder *, const struct pmt_request *);
	/* A record was not written: what is on the tape has to be looked at. */
	void (*lost)(struct pmt_coder *);
	/* The modes are set; what the child's compression is to be. */
	uint8_t (*modes)(struct pmt_coder *, const struct pmt_modes *);
	void (*status)(struct pmt_coder *, struct json_object *);
};

struct pmt_coder {
	struct pmt_drive drive;
	const struct pmt_codec *codec;
	unsigned int threads;
	struct pmt_session session;	/* the child's */
	struct pmt_pool *pool;
	struct pmt_worker *worker;	/* before the child */

	pthread_cond_t quiet;		/* nobody publishes */
	pthread_mutex_t lock;		/* guards all below */
	struct pmt_limits below;	/* the child's */
	struct pmt_request *queue, **queue_end;	/* first the next to be answered */
	struct pmt_request *begin;	/* the next to be begun */
	uint32_t begun;			/* of its records */
	struct pmt_place at;		/* its place, if found */
	bool found, looked;
	bool asked, once;		/* about the medium, which is written once */
	uint8_t verdict[3];		/* key, ASC, ASCQ that it is refused with, if key */
	struct pmt_cell *cells;		/* a ring: used from head on, the first sent given
					 * to the child */
	unsigned int n_cells, head, used, sent;
	size_t bytes;			/* of the application's, in those used */
	struct {
		void *memory;
		size_t size;
		unsigned int thread;	/* that used it last */
	} *spares;			/* memory of cells that are done; n_cells at most */
	unsigned int n_spares;
	unsigned int with_child;	/* that have not come back */
	uint32_t number;		/* of the next to the child */
	struct pmt_cell *to_code, **to_code_end;	/* those that no hand has yet */
	size_t to_code_bytes;
	struct pmt_hand {
		struct pmt_task task;
		struct pmt_coder *coder;
		bool busy;
	} *hands;			/* threads of them, which code */
	struct pmt_cell errand;		/* the look, or the way to find a place */
	struct pmt_task errand_task;
	bool on_errand;
	struct pmt_task kick;		/* to publish */
	bool kicked, publishing;
	bool frozen;			/* nothing is begun, and nothing sent */
	bool failed;			/* ... and CHECK was answered: until resume() */
	bool cancelling;
	uint32_t cancel;
	struct pmt_result result;	/* of the first in the queue, as far as it is */
	bool settled;			/* it is what will be answered */
	bool own;			/* it is the coder's: the child's place is right */
	struct pmt_place stand;		/* the unit, after what is published */
	bool strayed;			/* the child may stand elsewhere */
	uint32_t cookie;		/* of the child's last result */
	struct {			/* since open */
		uint64_t records, plain, coded;
	} written, read;
	uint64_t failures;
	char failure[200];
};

int pmt_coder_open(struct pmt_coder *, const struct pmt_codec *, unsigned int threads);
/* threads=N of the options; the processors there are. */
int pmt_coder_threads(const struct pmt_spec *, unsigned int *threads);
void pmt_coder_close(struct pmt_coder *);
/* Of the drive's table: */
const struct pmt_session *pmt_coder_session(struct pmt_drive *,
					    const struct pmt_session *);
int pmt_coder_attach(struct pmt_drive *, const struct pmt_session *);
void pmt_coder_settle(struct pmt_drive *);	/* detach, too */
void pmt_coder_submit(struct pmt_drive *, struct pmt_request *);
void pmt_coder_resume(struct pmt_drive *);
void pmt_coder_cancel(struct pmt_drive *, uint32_t number);
void pmt_coder_limits(struct pmt_drive *, struct pmt_limits *);
void pmt_coder_status(struct pmt_drive *, struct json_object *);
/* From look(): the child executes it, and is resumed behind an exception. */
struct pmt_result pmt_coder_ask(struct pmt_coder *, const struct pmt_command *, void *data);
/* Fill in why and the sense; returns -EBADMSG. */
int pmt_cell_fail(struct pmt_cell *, uint8_t key, unsigned int asc_ascq,
		  const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
