/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The inside of libpmt: drives, requests, the tree that they form, and the
 * small helpers that every file uses.  Prototypes are sorted by the file that
 * defines them.  Nothing here is installed.
 *
 * A drive executes numbered commands in order.  Front ends (server.c, rmt/, tapes/)
 * drive the root of a tree:
 *
 *	front end -> mirror -> worker (one thread a copy) -> filter -> leaf
 *
 * Who owns what: a request belongs to its submitter, who keeps it and its data
 * alive until done() has been called; in between the drive alone touches it.
 * A drive owns its children.  The session belongs to the front end and outlives
 * the attachment.
 */
#ifndef PMT_INTERNAL_H
#define PMT_INTERNAL_H

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <linux/pmt.h>

#include "pmt.h"

struct json_object;
struct pmt_spec;

/* Scope clean-up: _cleanup_free_, _cleanup_close_ on a variable's declaration. */
static inline void pmt_freep(void *p)
{
	free(*(void **)p);
}

static inline void pmt_closep(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define _cleanup_free_ __attribute__((cleanup(pmt_freep)))
#define _cleanup_close_ __attribute__((cleanup(pmt_closep)))

#define PMT_PAGE 4096u

/* Wrap-safe order of command numbers. */
static inline bool pmt_number_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/*
 * Commands that only the library sends, by numbers above those of the kernel.
 * CUT: go to the place and make it the end of data (a mirror brings back a copy
 * that ran ahead).  SYNC makes all before it durable without a mark.  PARTITIONS:
 * residue is their number.  MAY_FORMAT: FORMAT's own answer, but nothing is done.
 */
enum { PMT_OP_CUT = 0x100, PMT_OP_SYNC, PMT_OP_PARTITIONS, PMT_OP_MAY_FORMAT };

/* What a front end hands to every drive of the tree before the first command. */
struct pmt_session {
	uint64_t unit_id;	/* 0: no unit (copier, tests): guards are off */
	struct pmt_place place;	/* after the last completed command */
	struct pmt_modes modes;
	/* All 0: none was seen yet.  A leaf's own word is the first: a mirror gives
	 * each child a session of its own. */
	uint64_t medium[PMT_MEDIUM_WORDS];
	uint32_t cookie;	/* of the last result: the root's word to its successor */
	uint32_t depth;		/* requests at once, at most */
	bool waiting;		/* commands that an earlier server may have begun */
	/*
	 * The drive met early warning at place; any thread, at once, before the
	 * result is done.  May be NULL.
	 */
	void (*early_warning)(const struct pmt_session *, const struct pmt_place *);
	/* A copy failed or rejoined (PMT_EVENT_COPY_*); any thread; may be NULL. */
	void (*event)(const struct pmt_session *, unsigned int event,
		      const char *text);
	/*
	 * The limits are others now, for a moment or to stay; in force when it returns.
	 * Behind a moment there is another call.  Any thread; may be NULL.
	 */
	void (*limits)(const struct pmt_session *, bool to_stay);
	/*
	 * The next number that the kernel will issue: what it has acknowledged is before
	 * it.  Any thread; NULL: what was not submitted is not acknowledged.
	 */
	uint32_t (*issued)(const struct pmt_session *);
	/* Have all numbers before that a result?  Not what was given back.  Any thread. */
	bool (*answered)(const struct pmt_session *, uint32_t end);
	void *context;
};

struct pmt_request {
	struct pmt_command cmd;
	void *data;		/* cmd.length bytes */
	struct pmt_result result;
	/* Called once, in order of submission for one drive, from any thread. */
	void (*done)(struct pmt_request *);
	void *context;		/* the submitter's */
	struct pmt_request *next;	/* whoever queues it */
};



/*
 * A drive has execute (blocking, one at a time, called by one thread) or submit
 * (returns at once).  drive.c bridges either to the other side's wish.
 *
 * Law 2 for submit: results come in order; after a CHECK everything that was
 * submitted is CANCELLED, until resume(), which the submitter calls when all
 * that it had submitted is done.  cancel(n): requests with numbers before n that
 * were not begun are CANCELLED; they still are done in order.  done() is never
 * called inside submit(), resume() or cancel().
 *
 * All: Optional, unless said; NULL passes to the child, or does nothing in a
 * drive without one.
 */
struct pmt_drive_ops {
	const char *name;
	size_t size;		/* of the struct that embeds pmt_drive first */
	/* Take the options and open; on error the message is logged. */
	int (*open)(struct pmt_drive *, const struct pmt_spec *);	/* Required */
	/* Before anything is opened: may the drive stand where it does? */
	int (*check)(const struct pmt_spec *);
	void (*close)(struct pmt_drive *);	/* frees what open made, not the drive */
	/* The session that the child is attached with, if it is another one. */
	const struct pmt_session *(*session)(struct pmt_drive *,
					     const struct pmt_session *);
	int (*attach)(struct pmt_drive *, const struct pmt_session *);
	void (*detach)(struct pmt_drive *);
	void (*execute)(struct pmt_drive *, struct pmt_request *);
	bool prompt;		/* READ and WRITE take no longer than moving the data */
	void (*submit)(struct pmt_drive *, struct pmt_request *);
	void (*resume)(struct pmt_drive *);
	void (*cancel)(struct pmt_drive *, uint32_t number);
	/* Of submit: all is done; wait until no thread is in a done() any more. */
	void (*settle)(struct pmt_drive *);
	/* Limits from the leaves up: window is PMT_UNKNOWN if room is published. */
	void (*limits)(struct pmt_drive *, struct pmt_limits *);
	/* Cost from BOP to where the drive stands; PMT_UNKNOWN if not known. */
	uint64_t (*used)(struct pmt_drive *);
	/* Add to a JSON object; any thread: own locking. */
	void (*status)(struct pmt_drive *, struct json_object *);
	/*
	 * A line of the control interface; any thread, own locking, never waits.
	 * Of the drive alone: drive.c passes it on.  -ENOENT: another's verb; other
	 * errors: *error is a text.
	 */
	int (*control)(struct pmt_drive *, const char *line, char **error);
	/*
	 * A specification that reads the medium in the drive while it is written, to be
	 * freed; any thread.  -ENOTSUP.  A filter passes on only if it is transparent:
	 * records are those of its child.
	 */
	int (*beside)(struct pmt_drive *, char **spec);
	bool transparent;
};

struct pmt_drive {
	const struct pmt_drive_ops *ops;
	struct pmt_drive *child;	/* of a filter */
	char *text;			/* its specification, for messages */
	const struct pmt_session *session;	/* while attached */
};

/*
 * A parsed specification (spec.c).  Grammar, spaces allowed around tokens:
 *
 *	spec	:= { filter [ "?" options ] "|" } drive
 *	drive	:= "mirror(" spec { "," spec } ")" [ "?" options ]
 *		 | kind ":" target [ "?" options ]
 *	options	:= key "=" value { "&" key "=" value }
 *
 * In target and value a backslash takes the special meaning from the character
 * behind it: one of ? | , ( ) & = \\ and the blank.
 */
struct pmt_option {
	char *key, *value;
	int column;		/* of the key, from 1 */
	bool used;		/* asked for by the drive's open() */
};

struct pmt_spec {
	char *kind;		/* "image", "mirror", "limit", ... */
	char *target;		/* of a leaf; else NULL */
	struct pmt_option *options;
	size_t n_options;
	struct pmt_spec **children;
	size_t n_children;	/* 0 leaf, 1 filter, n mirror */
	char *text;		/* its part of the text */
	char **error;		/* where refusals go; NULL: to the log */
	const struct pmt_keeper *keeper;	/* of real drives' descriptors, or NULL */
	int column;		/* of kind, from 1 */
};

/*
 * A leaf: a drive that has a medium.  leaf.c executes commands on it by these
 * primitives: law 1 (going to the place), its guards, fixed blocks, sense,
 * residue, early warning and limits are written once, there.
 *
 * Every primitive keeps leaf->place (lbn, file, block) right, or sets what it
 * does not know to PMT_UNKNOWN.  They return 0, one of enum pmt_at, or -errno:
 * -ENOSPC physical end (nothing written), -EIO medium error, -EBADMSG data that
 * does not match its checksum (medium error), -ENOMEDIUM, -EROFS protected,
 * -EPERM written once and for all,
 * -ENODEV the drive is gone, -ENOTSUP, -ESTALE another medium may be in the drive,
 * -ECONNRESET it was reset and may stand anywhere, -EAGAIN it becomes ready.
 */
enum pmt_at {
	PMT_AT_MARK = 1,	/* a filemark was crossed */
	PMT_AT_EOD,		/* end of data, not crossed */
	PMT_AT_BOP,		/* beginning of partition */
	PMT_AT_EW,		/* done, and at or behind early warning */
};

struct pmt_leaf;
struct pmt_leaf_partition {
	uint64_t eod, used, capacity;	/* LBN, cost, cost */
};

struct pmt_leaf_ops {
	/* One record here; what is behind is cut.  0, PMT_AT_EW, -errno. */
	int (*write)(struct pmt_leaf *, const void *data, size_t length);
	/*
	 * As many as it likes of count records of size bytes, at least one; *done of
	 * them.  0, PMT_AT_EW, -errno.  Optional.
	 */
	int (*write_blocks)(struct pmt_leaf *, const void *data, uint32_t size,
			    uint32_t count, uint32_t *done);
	/*
	 * The object here.  0: a record; *length its whole length, of which up to
	 * size bytes are in buffer.  PMT_AT_MARK, PMT_AT_EOD, -errno.
	 */
	int (*read)(struct pmt_leaf *, void *buffer, size_t size, size_t *length);
	/*
	 * As many as it likes of count records of size bytes: 0, and *done of them.
	 * -ENOTSUP: nothing, read() is to read them.  Optional.
	 */
	int (*read_blocks)(struct pmt_leaf *, void *buffer, uint32_t size, uint32_t count,
			   uint32_t *done);
	/* count marks; *done of them written.  0, PMT_AT_EW, -errno. */
	int (*marks)(struct pmt_leaf *, uint32_t count, uint32_t *done);
	/* The same, and they need not be durable yet.  Optional. */
	int (*marks_ahead)(struct pmt_leaf *, uint32_t count, uint32_t *done);
	/* Make all durable.  0 or -errno. */
	int (*sync)(struct pmt_leaf *);
	/*
	 * count records (negative: back); *left not spaced.  Stops behind (before,
	 * going back) a mark that it crossed: PMT_AT_MARK; PMT_AT_EOD, PMT_AT_BOP.
	 */
	int (*space_records)(struct pmt_leaf *, int64_t count, int64_t *left);
	/* count marks; PMT_AT_EOD, PMT_AT_BOP if there are not that many. */
	int (*space_marks)(struct pmt_leaf *, int64_t count, int64_t *left);
	/* To lbn; PMT_AT_EOD (and stands there) if it is beyond. */
	int (*locate)(struct pmt_leaf *, uint32_t partition, uint64_t lbn);
	int (*to_eod)(struct pmt_leaf *);
	/* Make this place the end of data.  -ENOTSUP: what is behind it is there. */
	int (*cut)(struct pmt_leaf *);
	/*
	 * What a drive can do that cannot do that: a mark is here, which the next
	 * write overwrites, and nothing else.  Optional.
	 */
	int (*cut_by_mark)(struct pmt_leaf *);
	/*
	 * Divide the medium, which empties it, and stand at BOP of partition 0.
	 * megabytes > 0: the size of each partition behind the first; < 0: that of
	 * the first.  dry: only say whether it can be.  -ERANGE: not so, -ENOTSUP,
	 * -EROFS.  Optional.
	 */
	int (*format)(struct pmt_leaf *, uint32_t count, int64_t megabytes, bool dry);
	/* How many there are; and what status() shows of one.  Optional. */
	uint32_t (*partitions)(struct pmt_leaf *);
	void (*partition)(struct pmt_leaf *, uint32_t number, struct pmt_leaf_partition *);
	/*
	 * Before TEST: is the medium still there, is one there now?  It keeps present.
	 * 0; -ESTALE: another one without UNLOAD, at its beginning; -errno.  Optional.
	 */
	int (*look)(struct pmt_leaf *);
	/* Load the medium, or re-load it, and stand at BOP. -ENOMEDIUM: there is none. */
	int (*load)(struct pmt_leaf *);
	/* Durable, unload; a stacker has the next volume in the drive after it. */
	int (*unload)(struct pmt_leaf *);
	int (*set_modes)(struct pmt_leaf *, const struct pmt_modes *);	/* Optional */
	/* Remember, durably, that generation is loaded for unit_id.  Optional. */
	int (*remember)(struct pmt_leaf *, uint64_t unit_id, uint64_t generation);
	/* What was remembered; 0 or -ENODATA.  Optional. */
	int (*recall)(struct pmt_leaf *, uint64_t *unit_id, uint64_t *generation);
	uint64_t (*room)(struct pmt_leaf *);	/* cost before early warning */
	uint64_t (*used)(struct pmt_leaf *);	/* cost from BOP to here */
};

#define PMT_LEAF_VOLUMES 64
#define PMT_LEAF_PARTITIONS 4	/* that status() shows */

struct pmt_leaf {
	struct pmt_drive drive;
	const struct pmt_leaf_ops *ops;
	/* Filled by load() and its open(): */
	bool present, protected, worm;
	uint8_t density;
	uint64_t medium;	/* identity of the medium, not 0; 0 unknown */
	uint64_t eod;		/* LBN of end of data; PMT_UNKNOWN */
	struct pmt_limits limits;
	/* Kept by the primitives: */
	struct pmt_place place;	/* generation is leaf.c's */
	bool stands;		/* where it was left last, told in numbers or not */
	/* leaf.c's own: */
	struct pmt_place floor;	/* writing before it needs POSITIONED */
	/*
	 * Set before unload() and load(): what belongs on the medium, or with the
	 * set of volumes, after it.  A drive that has recall() writes it in one
	 * step with what it does there.
	 */
	struct {
		uint64_t unit_id, generation;
	} next;
	bool ahead;		/* generation on the medium is later than the unit's */
	bool fresh;		/* attached, has not executed yet: no HERE */
	bool repeating;		/* write once: what comes may have been done already */
	bool unsynced;		/* UNLOAD or LOAD failed for it once */
	struct pmt_modes modes;
	pthread_mutex_t lock;	/* what status() shows */
	struct {
		uint64_t records, bytes, marks;	/* written since load */
		uint64_t records_read, bytes_read;
		struct pmt_place place;
		bool present, early_warning;
		uint64_t ew_lbn;	/* PMT_UNKNOWN: not met */
		uint64_t room;		/* cost before early warning, or PMT_UNKNOWN */
		char error[160];
		uint32_t n_partitions;
		struct pmt_leaf_partition partitions[PMT_LEAF_PARTITIONS];
		/* The generations that have ended here, a ring. */
		struct pmt_leaf_volume {
			uint64_t generation, records, bytes, marks, ew_lbn;
		} volumes[PMT_LEAF_VOLUMES];
		unsigned int n_volumes;
	} shown;
};

/* drive.c */
extern const struct pmt_drive_ops pmt_image_drive, pmt_null_drive, pmt_st_drive,
	pmt_rmt_drive, pmt_exec_drive, pmt_mirror_drive, pmt_limit_drive, pmt_fault_drive,
	pmt_delay_drive, pmt_zstd_drive, pmt_aead_drive;
enum pmt_form { PMT_FORM_NONE, PMT_FORM_LEAF, PMT_FORM_FILTER, PMT_FORM_MIRROR };
enum pmt_form pmt_drive_form(const char *kind);
/* One leaf kind more (tests); before any drive is opened. */
void pmt_drive_add_kind(const struct pmt_drive_ops *);
int pmt_drive_open_spec(struct pmt_drive **, const struct pmt_spec *);
int pmt_drive_attach(struct pmt_drive *, const struct pmt_session *);
void pmt_drive_detach(struct pmt_drive *);
/* Blocking, whatever the drive has; the caller is alone on the drive. */
void pmt_drive_execute(struct pmt_drive *, struct pmt_request *);
void pmt_drive_limits(struct pmt_drive *, struct pmt_limits *);
uint64_t pmt_drive_used(struct pmt_drive *);
void pmt_drive_status(struct pmt_drive *, struct json_object *);
/* As its ops have it, through filters that are transparent. */
int pmt_drive_beside(struct pmt_drive *, char **spec);
/* To the drive and those below it.  -ENOENT: nobody knows the verb. */
int pmt_drive_tell(struct pmt_drive *, const char *line, char **error);
/* cost of bytes, records and marks under limits, as in linux/pmt.h */
uint64_t pmt_cost(const struct pmt_limits *, uint64_t bytes, uint64_t records,
		  uint64_t marks);
/* Fill a result; of CHECK and CANCELLED: nothing was done, residue and place say so. */
void pmt_result_good(struct pmt_request *);
void pmt_result_check(struct pmt_request *, uint8_t key, uint8_t asc, uint8_t ascq);
void pmt_result_cancelled(struct pmt_request *);
/* How many records a READ or WRITE is (fixed blocks: length / block_size). */
uint32_t pmt_command_records(const struct pmt_command *);
/* The place after cmd if all of it is done. */
struct pmt_place pmt_place_after(const struct pmt_command *);
/* a is before b, as far as both are known; in another partition: yes. */
bool pmt_place_before(const struct pmt_place *a, const struct pmt_place *b);
/* Both stand for one place, as far as is known: by LBN, else by file and block. */
bool pmt_place_same(const struct pmt_place *a, const struct pmt_place *b);
const char *pmt_op_name(unsigned int op);
bool pmt_op_known(const char *name);

/* leaf.c */
int pmt_leaf_init(struct pmt_leaf *, const struct pmt_leaf_ops *);
void pmt_leaf_destroy(struct pmt_leaf *);
int pmt_leaf_attach(struct pmt_drive *, const struct pmt_session *);
void pmt_leaf_execute(struct pmt_drive *, struct pmt_request *);
void pmt_leaf_limits(struct pmt_drive *, struct pmt_limits *);
uint64_t pmt_leaf_used(struct pmt_drive *);
void pmt_leaf_status(struct pmt_drive *, struct json_object *);
/*
 * For a drive that begins a READ or WRITE before those before it are done.
 * follows: it needs no motion and meets no guard, once the drive stands at.
 * streamed: all of it was done, where leaf->place is; length: of the record that was
 * read.  It moves leaf->place and fills the result.
 */
bool pmt_leaf_follows(struct pmt_leaf *, const struct pmt_command *,
		      const struct pmt_place *at);
void pmt_leaf_streamed(struct pmt_leaf *, struct pmt_request *, uint32_t length);

/* filters/delay.c */
void pmt_delay(uint64_t ms);

/* line.c: lines of the control interface */
#define PMT_LINE_VALUES 6
struct pmt_verb {
	const char *name;
	const char *words;	/* that follow: at most PMT_LINE_VALUES, see line.c */
	int (*take)(struct pmt_drive *, const uint64_t *values, char **error);
};
/* verbs ends with an empty one.  -ENOENT: none of them; -EINVAL: malformed. */
int pmt_line_take(const char *line, const struct pmt_verb *verbs, struct pmt_drive *,
		  char **error);
/* Where the verb is and how long; 0: the line is empty. */
size_t pmt_line_verb(const char *line, const char **verb);
/* Set *error; returns rc. */
int pmt_line_refuse(char **error, int rc, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* crc32c.c: chained from 0 */
uint32_t pmt_crc32c(uint32_t crc, const void *data, size_t length);

/* log.c: one line to the log (stderr, journal priorities where it is one) */
void pmt_log(int priority, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* pool.c: threads that share work */
struct pmt_task {
	void (*run)(struct pmt_task *, unsigned int thread);	/* 0 to n - 1 */
	struct pmt_task *next;		/* the pool's */
};
struct pmt_pool;
int pmt_pool_new(struct pmt_pool **, unsigned int n);
void pmt_pool_free(struct pmt_pool *);	/* when all that was added is done */
void pmt_pool_add(struct pmt_pool *, struct pmt_task *);
unsigned int pmt_processors(void);	/* that this process may use */

/* spec.c */
/* -EINVAL: *error is a text that names the column; the caller frees it. */
int pmt_spec_parse(const char *text, struct pmt_spec **, char **error);
struct pmt_spec *pmt_spec_mirror(struct pmt_spec **children, size_t n);
void pmt_spec_free(struct pmt_spec *);
/* Options; -ENOENT if absent (value untouched); a bad value is logged with its
 * column: -EINVAL, or -ERANGE outside [min, max]. */
int pmt_spec_string(const struct pmt_spec *, const char *key, const char **);
int pmt_spec_number(const struct pmt_spec *, const char *key, uint64_t min,
		    uint64_t max, uint64_t *);	/* K M G T suffixes of 1024 */
int pmt_spec_bool(const struct pmt_spec *, const char *key, bool *);
/* -EINVAL and a message for an option that nobody asked for.  A drive's open()
 * calls it before it touches anything; drive.c calls it again behind it. */
int pmt_spec_unused(const struct pmt_spec *);
/* Refuse the value of an option: the message has its column.  -EINVAL. */
int pmt_spec_refuse(const struct pmt_spec *, const char *key, const char *expected);
/* Refuse what stands behind the kind. */
int pmt_spec_refuse_target(const struct pmt_spec *, const char *expected);
/* Refuse the drive, or an option without telling its value; with the column.  -EINVAL. */
int pmt_spec_fault(const struct pmt_spec *, const char *key, const char *why);
/* Add options ("key=value&key=value"), as if behind a "?". */
int pmt_spec_options(struct pmt_spec *, const char *options, char **error);

/* worker.c: a thread that gives submit() to a drive that has execute(); to one
 * that has submit() it passes on. */
struct pmt_worker;
int pmt_worker_new(struct pmt_worker **, struct pmt_drive *);
void pmt_worker_free(struct pmt_worker *);	/* all must be done */
void pmt_worker_submit(struct pmt_worker *, struct pmt_request *);
/* By the only one that submits, who holds no lock: perhaps done before it returns. */
void pmt_worker_do(struct pmt_worker *, struct pmt_request *);
void pmt_worker_resume(struct pmt_worker *);
void pmt_worker_cancel(struct pmt_worker *, uint32_t number);

#endif
