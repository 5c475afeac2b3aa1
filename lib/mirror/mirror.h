/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The inside of the mirror: one command, every copy.
 *
 * Objects.  A copy is a child drive with its own worker and its own session
 * (that of the mirror, with the copy's own medium word first).  A command in
 * flight has a slot; a slot has a part, a request, for each copy.  All parts
 * point to the submitter's data.  Slots and parts are made at attach, for
 * session->depth commands; what comes beyond waits in the queue.  One thread
 * more, the keeper, acts where somebody must wait: it settles exceptions and
 * takes the copies to a place.
 *
 * Lock.  mirror->lock guards all here; it is held while submitting to workers
 * (whose locks are inside), never while calling done(), events or warnings.
 */
#ifndef PMT_MIRROR_H
#define PMT_MIRROR_H

#include <time.h>

#include "../internal.h"

/* In the cookie a copy has two bits, and all together have one. */
#define MIRROR_COPIES_MAX 15u
#define MIRROR_PARTITIONS 4u	/* that a copy can be longer in: all that there are */
#define MIRROR_LONGER 16
#define MIRROR_TWINS (UINT32_C(1) << 15)
#define MIRROR_BAD_LISTED 32

struct mirror;
struct slot;

struct part {
	struct pmt_request req;
	struct mirror *mirror;
	struct slot *slot;		/* NULL: the keeper's own request */
	unsigned int copy;
	uint64_t asked;			/* records or marks */
	enum { PART_IDLE, PART_SENT, PART_DONE } state;
};

struct slot {
	struct pmt_request *up;
	struct pmt_command cmd;		/* up's, with the place made known */
	unsigned int waiting;		/* parts that are sent */
	bool answered;			/* up->result is final */
	bool shows;			/* the first that tells the room with who came */
	bool verified;			/* all that count read it */
	uint64_t tried;			/* copies that failed to read it */
	struct pmt_result first_error;	/* if tried */
	struct part *parts;		/* one a copy */
};

struct copy {
	struct mirror *mirror;
	struct pmt_drive *drive;
	struct pmt_worker *worker;
	struct pmt_session session;
	struct part own;		/* the keeper's */
	enum { COPY_OK, COPY_LONGER, COPY_FAILED } state;
	uint64_t word;			/* identity of its medium */
	uint64_t eod;			/* as TEST and LOAD said, in ends_in */
	unsigned int longer_in;		/* longer: in which partitions, bits ... */
	uint64_t end[MIRROR_PARTITIONS];	/* ... and where what is wanted ends there */
	char reason[160];		/* why it is not ok */
	struct {
		uint64_t count;		/* those that are not listed, each time */
		unsigned int listed;
		struct {
			uint32_t partition;
			uint64_t lbn;
		} at[MIRROR_BAD_LISTED];
	} bad;				/* what it could not read, see verify.c */
};

/* A copy that comes back; see rejoin.c. */
struct rejoin {
	enum { REJOIN_NONE, REJOIN_COPYING, REJOIN_UNLOAD, REJOIN_LOWERING, REJOIN_DONE,
	       REJOIN_FAILED } state;
	unsigned int copy;
	pthread_t thread;
	bool threaded;
	bool untold;			/* it counts, and the unit does not know its medium */
	bool shown;			/* the unit knows the room with it */
	uint64_t lbn, bytes;		/* copied */
	uint64_t dirty;			/* the first that was overwritten since */
	bool slowing;			/* the application is faster than the copying: */
	uint64_t allowed;		/* ... it waits before it changes this or more */
	time_t began;
	char reason[160];		/* why it failed */
};

struct mirror {
	struct pmt_drive drive;
	unsigned int n, min;
	bool degrade;
	bool verify;			/* each record is read from all */
	bool any;			/* also copies that are no twins */
	bool refused;			/* what is loaded, and it was told */
	struct copy *copies;

	pthread_mutex_t lock;
	pthread_cond_t cond;		/* the keeper's: stopped and quiet, or ... */
	pthread_t keeper;
	bool leaving;

	struct slot *slots;
	struct part *parts;
	char *buffers;			/* verified reading: PMT_RECORD_MAX for each copy */
	unsigned int depth, head, used;	/* the ring of slots */
	struct pmt_request *queue, **queue_end;
	uint32_t number;		/* of the next part: the copies' own count */
	unsigned int busy;		/* parts that are sent */
	bool publishing;		/* a thread is in advance(); when it leaves: */
	pthread_cond_t quiet;
	bool stopped;			/* nothing is begun: the keeper settles */
	bool approach;			/* ... the place of the first in the queue */
	bool approved;			/* all copies can do the FORMAT that is first */
	uint32_t ends_in;		/* partition of the copies' eod */
	bool pausing;			/* nothing is begun: a copy comes back */
	pthread_cond_t calm;		/* the rejoiner's: nothing is in flight, or ... */
	struct rejoin rejoin;
	bool frozen;			/* CHECK was published: until resume() */
	bool cancelling;
	uint32_t cancel;

	unsigned int reader;
	bool stands;			/* all copies, when what is sent is done: */
	struct pmt_place stand;
	bool twins;			/* all copies end at one place, as far as is known */
	bool tails;			/* a copy has more, of a write that was not done */
	bool placed;			/* the unit, after what is published: */
	struct pmt_place place;
	uint64_t fallbacks;		/* commands that another copy read */
	uint64_t differences;		/* blocks of which nobody knows which is right */
	struct {
		unsigned int copy;	/* which met it first; n: none */
		struct pmt_place place;
	} first_ew;
};

static inline bool is_healthy(const struct copy *copy)
{
	return copy->state != COPY_FAILED;
}

/* kind.c */
bool mirror_writes(const struct pmt_command *cmd);
bool mirror_changes(const struct pmt_command *cmd);
bool mirror_only_goes(const struct pmt_command *cmd);
bool mirror_for_reader(const struct pmt_command *cmd);
bool mirror_streams_behind(const struct pmt_command *cmd, const struct pmt_command *before);
bool mirror_needs_place(const struct pmt_command *cmd);
bool mirror_is_known(const struct pmt_place *place);
bool mirror_is_failure(const struct pmt_result *result);
uint64_t mirror_units(const struct pmt_command *cmd);
/* The first of a writing command's units. */
void mirror_shorten(struct pmt_command *cmd, uint64_t to);
struct pmt_place mirror_place_behind(const struct pmt_command *cmd, uint64_t n);
bool mirror_is_good(const struct part *part);
bool mirror_is_check(const struct part *part);
uint64_t mirror_units_done(const struct part *part);

/* copies.c */
unsigned int mirror_count_healthy(const struct mirror *m);
unsigned int mirror_first_healthy(const struct mirror *m);
/* The longest, of equals the first; one that has too much only at need. */
void mirror_choose_reader(struct mirror *m);
/* By the keeper, that alone settles: the lock can be left for the event. */
void mirror_mark(struct mirror *m, struct copy *copy, const struct pmt_request *req,
		 bool failed);
/*
 * What the next mirror over these copies must know, as it can not see it: a bit
 * for each copy that was dropped, and in the upper half for each that is longer;
 * and whether they are twins.
 */
uint32_t mirror_cookie(const struct mirror *m);
void mirror_combine_medium(struct mirror *m, const struct slot *slot,
			   struct pmt_result *result);
/* The unit is to know the medium of a copy that came. */
void mirror_tell_words(const struct mirror *m, struct pmt_result *result);
/* What the reader has told just now of this partition, for those that are longer. */
void mirror_find_ends(struct mirror *m, uint32_t partition);
/* Behind a TEST of the keeper's. */
void mirror_note_ends(struct mirror *m, uint32_t partition);
/* The least that is known: who does not know has a finite window. */
uint64_t mirror_least_room(const struct mirror *m, const struct slot *slot);
/* A longer copy, and what it has at the place is not wanted. */
bool mirror_is_behind(const struct copy *copy, const struct pmt_place *place);
/* All have written there, or were cut. */
void mirror_no_longer(struct mirror *m, uint32_t partition);
void mirror_forget_data(struct mirror *m);
void mirror_forget_media(struct mirror *m);
void mirror_detach_copies(struct mirror *m);
/* A copy that was not attached before, or not as this one. */
int mirror_attach_again(struct mirror *m, struct copy *copy,
			const struct pmt_session *session);
int mirror_attach_copies(struct mirror *m, const struct pmt_session *session);
/*
 * What the copies hold; -ESTALE: not what the folded word says; -EMEDIUMTYPE: they
 * are no twins.
 */
int mirror_look(struct mirror *m, const struct pmt_session *session);

/* twins.c */
/* By what was asked just now: do all end at one place? */
bool mirror_end_alike(const struct mirror *m);
void mirror_warn_ends(const struct mirror *m);
/* count: of each copy, 0 is not known; why they differ. */
bool mirror_differ_in_partitions(const struct mirror *m, const uint32_t *count, char *why,
				 size_t size);
/* A set that is loaded, by its partitions, its ends and what it begins with.  Lock not
 * held, all quiet. */
bool mirror_is_refused(struct mirror *m, uint64_t generation, const uint32_t *count);
/* None: what is there now is loaded. */
bool mirror_knows_media(const struct mirror *m);
/*
 * By the keeper, all is stopped, the lock is left for a while.  true: the slot, which has
 * loaded, is answered so.
 */
bool mirror_refuse_set(struct mirror *m, struct slot *slot);

/* slots.c */
struct slot *mirror_slot_at(const struct mirror *m, unsigned int i);
/* The first command that is not answered; those with it are of its kind. */
struct slot *mirror_in_flight(const struct mirror *m);
void mirror_send_part(struct mirror *m, struct part *part, const struct pmt_command *cmd,
		      void *data);
void mirror_send_to(struct mirror *m, struct slot *slot, unsigned int copy);
void mirror_answer(struct mirror *m, struct slot *slot,
		   const struct pmt_result *result);
/* Of the reader.  The other copies were not asked what room they have. */
void mirror_answer_read(struct mirror *m, struct slot *slot,
			const struct pmt_result *own);
void mirror_answer_cancelled(struct slot *slot);
/* HERE means where the unit stands after what is done. */
bool mirror_resolve_place(struct mirror *m, struct pmt_command *cmd);
void mirror_refuse_first(struct mirror *m, struct pmt_command *cmd,
			 const struct pmt_result *sense);
void mirror_pump(struct mirror *m);
void mirror_complete_all(struct mirror *m, struct slot *slot);
void mirror_complete(struct mirror *m, struct slot *slot);
bool mirror_first_answered(const struct mirror *m);
/* Does it find cartridges that the unit does not know? */
bool mirror_loads(const struct mirror *m, const struct slot *slot);
/* Begin what can begin, publish what is answered; one thread at a time. */
void mirror_advance(struct mirror *m);
int mirror_make_slots(struct mirror *m);
void mirror_free_slots(struct mirror *m);

/* verify.c */
/* By the keeper, all is stopped: the lock is left for the event. */
void mirror_note_unread(struct mirror *m, const struct part *part);
void mirror_forget_bad(struct mirror *m, const struct pmt_place *from);
void mirror_show_bad(const struct copy *copy, struct json_object *object);
/* At the end: the next mirror over these copies does not know.  Lock not held. */
void mirror_warn_bad(const struct mirror *m);
bool mirror_verifies(const struct mirror *m, const struct pmt_command *cmd);
void mirror_send_verified(struct mirror *m, struct slot *slot);
bool mirror_found_alike(const struct mirror *m, const struct slot *slot);
/* By the keeper, all is stopped. */
void mirror_settle_verified(struct mirror *m, struct slot *slot);

/* settle.c */
void mirror_ask_all(struct mirror *m, const struct pmt_command *cmd);
/* Of the copies that answered CHECK: those that failed, as bits. */
uint64_t mirror_failures(const struct mirror *m, const struct slot *slot);
bool mirror_may_drop(const struct mirror *m, uint64_t failed);
void mirror_drop(struct mirror *m, const struct slot *slot, uint64_t failed);
void *mirror_keep(void *mirror);

/* approach.c */
void mirror_approach(struct mirror *m);

/* sources.c */
#define SOURCE_MARK UINT32_MAX

struct source {
	struct pmt_drive *drive;	/* a second one, of */
	unsigned int copy;
	char *data;
	/* Read last: */
	enum { SOURCE_UNREAD, SOURCE_OBJECT, SOURCE_END } found;
	uint32_t length;		/* or SOURCE_MARK */
};

struct sources {
	struct mirror *mirror;
	struct pmt_session own;		/* no unit, no guards */
	unsigned int from;		/* copies before it cannot read what is next */
	unsigned int n;
	struct source of[MIRROR_COPIES_MAX];
	uint64_t end;			/* where the first of them ends */
	bool alike;			/* ... and all */
};

bool mirror_has_source(struct mirror *m);
/* What has been written since counts, too.  -ENOTSUP: no copy can be read so. */
int mirror_open_sources(struct sources *s);
/* The same; other ones, if one was dropped, as it has not what was written since. */
int mirror_load_sources(struct sources *s);
void mirror_close_sources(struct sources *s);
/* NULL and -EBADMSG: the next copy may read it; or -EIO. */
const struct source *mirror_read_sources(struct sources *s, uint64_t lbn, int *error);
/* One command; the place is in the sources' own generation. */
int mirror_ask_beside(const struct pmt_session *own, struct pmt_drive *drive,
		      struct pmt_request *req, uint64_t lbn);
/* Why a copy does not rejoin: -EIO.  Lock not held. */
int mirror_refuse_rejoin(struct mirror *m, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
int mirror_refuse_result(struct mirror *m, const char *who, const struct pmt_request *req);

/* rejoin.c */
void mirror_note_write(struct mirror *m, const struct pmt_command *cmd);
bool mirror_is_rejoining(const struct mirror *m);
/* Has it to wait for the copying? */
bool mirror_must_wait(const struct mirror *m, const struct pmt_command *cmd);
/* Wait for the thread, if there is one: it has ended, or the mirror is leaving. */
void mirror_end_rejoin(struct mirror *m);
void mirror_show_rejoin(const struct mirror *m, struct json_object *);

#endif
