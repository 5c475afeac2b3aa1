/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The inside of pmtm: the master end, a tape under st.
 *
 * struct pmtm_tape belongs to one unit and holds it.  It embeds one node for
 * each name (a device and a character device); each node's device holds the
 * tape, so it lives as long as any open file.  One opener at a time (IN_USE),
 * one caller at a time (BUSY): everything below "state" is the caller's alone,
 * but what sysfs shows is read at any time.  BUSY is a bit and a queue, not a
 * mutex, so that who waits for it can be killed and frozen.
 */
#ifndef PMTM_H
#define PMTM_H

#include <linux/atomic.h>
#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/kref.h>
#include <linux/mtio.h>
#include <linux/wait.h>

#include <linux/pmt.h>

#include "pmt.h"

struct pmtm_tape;

enum { PMTM_IN_USE, PMTM_BUSY };

#define PMTM_MODES		4u	/* "", l, m, a, as st's */
#define PMTM_NODES		(2 * PMTM_MODES)
#define PMTM_PARTITIONS		4u	/* of which MTSETPART knows, as st */

/* Slots that are kept for closing: marks, partition, rewind, door, and again. */
#define PMTM_KEEP	8u
#define PMTM_AHEAD_MAX	64u

struct pmtm_node {
	struct device dev;
	struct cdev cdev;
	struct pmtm_tape *tape;
	unsigned int mode;
	bool rewind;
};

/* What MTSETDRVBUFFER defines for a mode; the other options are the drive's. */
struct pmtm_mode {
	bool defined;
	u32 options;			/* of PMTM_MODE_OPTIONS */
	int block_size;			/* defaults; -1 none */
	int density;
	int compression;		/* 0, 1 */
};

/*
 * What sysfs shows may be changing.  Each is a word or less, of no consequence: a race
 * shows it as it was or as it will be.
 */
#define pmtm_shown(value)	data_race(value)

#define PMTM_MODE_OPTIONS	(MT_ST_BUFFER_WRITES | MT_ST_ASYNC_WRITES | \
				 MT_ST_READ_AHEAD | MT_ST_DEF_WRITES | MT_ST_SYSV)

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

/* The door, as st remembers it; FAILS: the drive refused. */
enum pmtm_door { PMTM_OPEN, PMTM_LOCKED, PMTM_LOCKED_AUTO, PMTM_LOCK_FAILS };

/* READ commands that were issued before anybody asked, oldest first. */
struct pmtm_ahead {
	u32 first;		/* number */
	u32 count;
	u32 length;		/* of each */
	u32 block_size;
	u32 depth;		/* how many to keep issued, at most */
	u32 filled;		/* how many were, when the last were issued */
	struct pmt_place next;	/* of the next one to issue */
};

/* What is left of a block that a read in fixed mode took a part of. */
struct pmtm_rest {
	char *bytes;
	u32 size, from, to;
};

/* What st's stats/ tells.  Read by anybody at any time. */
struct pmtm_stats {
	atomic64_t reads, read_bytes, read_ns;
	atomic64_t writes, write_bytes, write_ns;
	atomic64_t others, residues;
	atomic64_t io_ns;		/* that programs waited for any command */
	atomic_t in_flight;		/* commands in the ring */
};

struct pmtm_tape {
	struct kref kref;
	struct pmt_unit *unit;
	unsigned long flags;
	wait_queue_head_t wait;		/* for BUSY */
	struct pmtm_node nodes[PMTM_NODES];
	struct pmtm_stats stats;

	/* state: of the medium and the place; survives close */
	enum pmtm_eof eof;		/* position.c's, and so are ... */
	int file, block;		/* ... as MTIOCGET tells; -1 unknown */
	struct pmt_place place;		/* where the next command applies */
	u64 session;			/* generation that the above is about; 0 none */
	u64 forgot;			/* as the unit told last, see pmtm_forget */
	bool lost;			/* the place is unknown until repositioned */
	bool protected;			/* the medium is */
	bool write_once;		/* the medium is */
	bool medium_seen;		/* since the last open or load */
	bool positioned;		/* going back to write is meant */
	bool trailer;			/* eot=hold: a mark was written at EW */
	bool cleaning;			/* the drive asked for it */
	u8 density;
	u32 partitions;			/* of the medium */
	u32 partition_wanted;		/* by MTSETPART: gone to at the next motion */
	u64 left_at[PMTM_PARTITIONS];	/* LBN in the others; 0: not been there */
	bool left_writing[PMTM_PARTITIONS];	/* in this open: a mark is due */
	struct pmt_modes modes;
	u32 recovered;			/* errors since the last MTIOCGET */
	int deferred;			/* error of what was acknowledged */
	bool told;			/* it was given out, since close began */
	bool owed;			/* who exited left his closing in the ring */
	bool rewind_owed;		/* a rewind, or an unload, was in it: not done */

	/* state: options; survive close, and the medium */
	u32 options;			/* MT_ST_* booleans of the drive */
	struct pmtm_mode definitions[PMTM_MODES];
	unsigned int mode;		/* of the last open */
	int drive_buffering;		/* default; -1 none */
	bool block_size_set, density_set, compression_set;	/* in this session */
	enum pmtm_door door;
	bool no_lock;			/* the drive has none */

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

#define PMTM_REFUSED	1	/* the drive did: not an error of anything before it */

/* How to wait for a command. */
enum pmtm_wait {
	PMTM_KILLABLE,
	PMTM_INTERRUPTIBLE,
	PMTM_QUEUE,	/* not at all: who exits must not wait */
};

static inline struct pmtm_node *pmtm_node(struct inode *inode)
{
	return container_of(inode->i_cdev, struct pmtm_node, cdev);
}

static inline bool pmtm_option(const struct pmtm_tape *tape, u32 option)
{
	return (tape->options | tape->definitions[tape->mode].options) & option;
}

/* pmtm.c */
void pmtm_tape_put(struct pmtm_tape *tape);

/* master.c */
extern const struct file_operations pmtm_fops;

/* sysfs.c */
extern const struct attribute_group *pmtm_node_groups[];
void pmtm_account(struct pmtm_tape *tape, const struct pmt_command *cmd,
		  const struct pmt_result *res);
void pmtm_waited(struct pmtm_tape *tape, atomic64_t *ns, u64 since);

/* command.c */
unsigned int pmtm_reap(struct pmtm_tape *tape);
void pmtm_heed_abort(struct pmtm_tape *tape);
int pmtm_deferred(struct pmtm_tape *tape);
void pmtm_discard(struct pmtm_tape *tape);
void pmtm_retire(struct pmtm_tape *tape, const struct pmt_command *cmd,
		 const struct pmt_result *res);
int pmtm_wait_done(struct pmtm_tape *tape, u32 number, unsigned int state);
int pmtm_settle_left(struct pmtm_tape *tape);
struct pmt_command pmtm_prepare(struct pmtm_tape *tape, enum pmt_op op);
int pmtm_send(struct pmtm_tape *tape, struct pmt_command *cmd, const void __user *from);
int pmtm_issue(struct pmtm_tape *tape, struct pmt_command *cmd, enum pmtm_wait how);
int pmtm_make_room(struct pmtm_tape *tape, u32 length, u32 keep);
void pmtm_hold(struct pmtm_tape *tape, u32 number);
int pmtm_await(struct pmtm_tape *tape, struct pmt_command *cmd, struct pmt_result *res,
	       enum pmtm_wait how);
void pmtm_acknowledge(struct pmtm_tape *tape, const struct pmt_command *cmd);
int pmtm_cancelled(struct pmtm_tape *tape);
int pmtm_command(struct pmtm_tape *tape, struct pmt_command *cmd,
		 struct pmt_result *res, enum pmtm_wait how);

/* position.c */
void pmtm_at_beginning(struct pmtm_tape *tape);
void pmtm_no_position(struct pmtm_tape *tape);
void pmtm_forget_partitions(struct pmtm_tape *tape);
void pmtm_left(struct pmtm_tape *tape, u32 from, u64 lbn);
void pmtm_lose_position(struct pmtm_tape *tape);
void pmtm_forget(struct pmtm_tape *tape, u64 generation);
void pmtm_new_session(struct pmtm_tape *tape, const struct pmt_result *res);
void pmtm_look(struct pmtm_tape *tape, const struct pmt_result *res);
void pmtm_advance(struct pmt_place *place, u32 records);
void pmtm_pass_marks(struct pmt_place *place, u32 marks);
void pmtm_told(struct pmtm_tape *tape, const struct pmt_place *place);
bool pmtm_warns(const struct pmtm_tape *tape, const struct pmt_result *res);
int pmtm_at_end(struct pmtm_tape *tape, enum pmt_eot eot);
void pmtm_acknowledged_record(struct pmtm_tape *tape, u32 records);
int pmtm_wrote(struct pmtm_tape *tape, const struct pmt_command *cmd,
	       const struct pmt_result *res);
void pmtm_failed_late(struct pmtm_tape *tape, const struct pmt_result *res);
void pmtm_marked(struct pmtm_tape *tape, u32 count);
void pmtm_marks_failed(struct pmtm_tape *tape, u32 count, const struct pmt_result *res);
int pmtm_read_known(struct pmtm_tape *tape);
int pmtm_read_mark(struct pmtm_tape *tape);
void pmtm_read_records(struct pmtm_tape *tape, u32 records);
int pmtm_read_check(struct pmtm_tape *tape, const struct pmt_command *cmd,
		    const struct pmt_result *res, u32 blocks);
int pmtm_spaced_marks(struct pmtm_tape *tape, int count, const struct pmt_result *res);
int pmtm_spaced_back(struct pmtm_tape *tape, int count, const struct pmt_result *res);
int pmtm_spaced_records(struct pmtm_tape *tape, int count,
			const struct pmt_result *res);
void pmtm_at_eod(struct pmtm_tape *tape, int file);
void pmtm_moved_nothing(struct pmtm_tape *tape, const struct pmt_result *res);
long pmtm_gstat(const struct pmtm_tape *tape);

/* tape.c */
int pmtm_test(struct pmtm_tape *tape, struct pmt_result *res);
void pmtm_stop_ahead(struct pmtm_tape *tape);
int pmtm_marks(struct pmtm_tape *tape, u32 count, bool immediate,
	       enum pmtm_wait how);
int pmtm_rewind(struct pmtm_tape *tape, enum pmtm_wait how);
int pmtm_space(struct pmtm_tape *tape, u32 kind, s64 count, struct pmt_result *res,
	       enum pmtm_wait how);
int pmtm_locate(struct pmtm_tape *tape, u32 partition, u64 lbn);
int pmtm_switch_partition(struct pmtm_tape *tape);
int pmtm_set_modes(struct pmtm_tape *tape, const struct pmt_modes *modes,
		   struct pmt_result *res);
ssize_t pmtm_write_data(struct pmtm_tape *tape, const char __user *from, size_t count);
ssize_t pmtm_read_data(struct pmtm_tape *tape, char __user *to, size_t count);
int pmtm_finish_partitions(struct pmtm_tape *tape, enum pmtm_wait how);
int pmtm_finish(struct pmtm_tape *tape, enum pmtm_wait how);

/* options.c */
void pmtm_options_init(struct pmtm_tape *tape);
u32 pmtm_options_shown(const struct pmtm_tape *tape, unsigned int mode);
int pmtm_set_options(struct pmtm_tape *tape, u32 value);
int pmtm_session_defaults(struct pmtm_tape *tape);
int pmtm_write_defaults(struct pmtm_tape *tape);
int pmtm_set_block_size(struct pmtm_tape *tape, int count);
int pmtm_set_density(struct pmtm_tape *tape, int count);
int pmtm_set_compression(struct pmtm_tape *tape, int on);
int pmtm_set_buffering(struct pmtm_tape *tape, int value);
int pmtm_set_door(struct pmtm_tape *tape, enum pmtm_door door);

/* mtio.c */
int pmtm_load_state(struct pmtm_tape *tape, struct file *file, unsigned int mode);
long pmtm_mtio(struct pmtm_tape *tape, struct file *file, unsigned int code,
	       void __user *arg);

/* scsi.c */
long pmtm_scsi(struct pmtm_tape *tape, unsigned int code, void __user *arg);

#endif
