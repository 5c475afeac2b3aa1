/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The inside of pmtm: the master end, a tape under st.
 *
 * struct pmtm_tape belongs to one unit and holds it.  It embeds one node for
 * each name (a device and a character device); each node's device holds the
 * tape, so it lives as long as any open file.  One opener at a time (IN_USE),
 * one caller at a time (BUSY): everything below "state" is the caller's alone.
 * BUSY is a bit and a queue, not a mutex, so that who waits for it can be
 * killed and frozen.
 */
#ifndef PMTM_H
#define PMTM_H

#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/kref.h>
#include <linux/mtio.h>
#include <linux/wait.h>

#include <linux/pmt.h>

#include "pmt.h"

struct pmtm_tape;

enum { PMTM_REWIND, PMTM_NO_REWIND, PMTM_NODES };
enum { PMTM_IN_USE, PMTM_BUSY };

/* Slots that are kept for closing: two marks, one space back, one rewind. */
#define PMTM_KEEP	8u
#define PMTM_AHEAD_MAX	64u

struct pmtm_node {
	struct device dev;
	struct cdev cdev;
	struct pmtm_tape *tape;
	bool rewind;
};

/* The numeric order is st's: comparisons are meant. */
enum pmtm_eof {
	PMTM_NONE,
	PMTM_FM_PENDING,	/* fixed blocks: a mark was met behind data, not told yet */
	PMTM_AT_FM,		/* a mark was told, or just crossed */
	PMTM_EW,		/* early warning was met; all is written */
	PMTM_EWERR,		/* and something that was acknowledged is lost */
	PMTM_EOD1,
	PMTM_EOD2,
	PMTM_EOD3,
};

enum pmtm_direction { PMTM_IDLE, PMTM_READING, PMTM_WRITING };
enum pmtm_ready { PMTM_READY, PMTM_NOT_READY, PMTM_NO_TAPE };

/* READ commands that were issued before anybody asked, oldest first. */
struct pmtm_ahead {
	u32 first;		/* number */
	u32 count;
	u32 length;		/* of each */
	u32 block_size;
	u32 depth;		/* how many to keep issued */
	struct pmt_place next;	/* of the next one to issue */
};

/* What is left of a block that a read in fixed mode took a part of. */
struct pmtm_rest {
	char *bytes;
	u32 size, from, to;
};

struct pmtm_tape {
	struct kref kref;
	struct pmt_unit *unit;
	unsigned long flags;
	wait_queue_head_t wait;		/* for BUSY */
	struct pmtm_node nodes[PMTM_NODES];

	/* state: of the medium and the place; survives close */
	enum pmtm_eof eof;
	int file, block;		/* as MTIOCGET tells; -1 unknown */
	struct pmt_place place;		/* where the next command applies */
	u64 session;			/* generation that the above is about */
	bool lost;			/* the place is unknown until repositioned */
	bool protected;			/* the medium is */
	bool medium_seen;		/* since the last open or load */
	bool positioned;		/* going back to write is meant */
	bool trailer;			/* eot=hold: a mark was written at EW */
	u8 density;
	struct pmt_modes modes;
	u32 options;			/* MT_ST_* booleans */
	u32 recovered;			/* errors since the last MTIOCGET */
	int deferred;			/* error of what was acknowledged */
	bool owed;			/* who exited left his closing in the ring */

	/* state: of this open */
	enum pmtm_ready ready;
	enum pmtm_direction direction;
	bool read_only;			/* opened so, or the medium is protected */
	bool nonblock;
	bool rewind;			/* at close */
	bool flushed;			/* close has done its work */

	/* state: what is in the ring */
	u32 held;			/* numbers from here on are not reaped ... */
	bool holding;			/* ... because somebody waits for them */
	u32 discard;			/* results before this are not wanted */
	bool left;			/* abandoned is valid: ... */
	u32 abandoned;			/* ... its waiter was killed */
	u32 pending;			/* writes and marks acknowledged, not reaped */
	u64 pending_bytes;
	u32 pending_records, pending_marks;
	u64 largest;			/* cost of the largest record so far */
	struct pmtm_ahead ahead;
	struct pmtm_rest rest;
	bool given;			/* this read(2) has bytes already */
};

/* How to wait for a command. */
enum pmtm_wait {
	PMTM_KILLABLE,
	PMTM_INTERRUPTIBLE,
	PMTM_QUEUE,	/* not at all: who exits must not wait */
};

/* pmtm.c */
void pmtm_tape_put(struct pmtm_tape *tape);

/* master.c */
extern const struct file_operations pmtm_fops;

/* tape.c */
void pmtm_reap(struct pmtm_tape *tape);
int pmtm_deferred(struct pmtm_tape *tape);
int pmtm_wait_done(struct pmtm_tape *tape, u32 number, unsigned int state);
struct pmt_command pmtm_prepare(struct pmtm_tape *tape, enum pmt_op op);
int pmtm_command(struct pmtm_tape *tape, struct pmt_command *cmd,
		 struct pmt_result *res, enum pmtm_wait how);
int pmtm_test(struct pmtm_tape *tape, struct pmt_result *res);
void pmtm_new_session(struct pmtm_tape *tape, const struct pmt_result *res);
void pmtm_stop_ahead(struct pmtm_tape *tape);
int pmtm_marks(struct pmtm_tape *tape, u32 count, bool immediate,
	       enum pmtm_wait how);
int pmtm_rewind(struct pmtm_tape *tape, enum pmtm_wait how);
int pmtm_space(struct pmtm_tape *tape, u32 kind, s64 count, struct pmt_result *res,
	       enum pmtm_wait how);
void pmtm_lose_position(struct pmtm_tape *tape);
ssize_t pmtm_write_data(struct pmtm_tape *tape, const char __user *from, size_t count);
ssize_t pmtm_read_data(struct pmtm_tape *tape, char __user *to, size_t count);
int pmtm_finish(struct pmtm_tape *tape, enum pmtm_wait how);

/* mtio.c */
int pmtm_load_state(struct pmtm_tape *tape, unsigned int f_flags, fmode_t mode);
long pmtm_mtio(struct pmtm_tape *tape, struct file *file, unsigned int code,
	       void __user *arg);

#endif
