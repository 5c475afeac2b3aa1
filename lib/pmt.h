/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libpmt - make units, serve them, and drives to serve them with
 *
 * Functions return 0 or a positive result, or -errno; errno itself is never
 * touched.  Where a text says more than the number, the function that knows it
 * logs one line through the log handler.  No global state but that handler:
 * objects may be used from any thread, one thread at a time each, unless said.
 */
#ifndef PMT_H
#define PMT_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/pmt.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Handler for messages; priority as in syslog(3).  NULL: standard error, with
 * <N> prefixes when that is the journal.  Set before other threads start. */
typedef void (*pmt_log_handler)(int priority, const char *message);
void pmt_log_set_handler(pmt_log_handler);

/*
 * Units (unit.c), by generic netlink.
 *
 * Errors: -ENOENT no such unit; -ENOPKG the kernel has no family "pmt" (the
 * modules are not loaded); -EPERM; -EBUSY; -EEXIST; -ERANGE.  pmt_control_error
 * is the kernel's own text of the last error, or "".
 */
struct pmt_control;

int pmt_control_open(struct pmt_control **);
void pmt_control_close(struct pmt_control *);
const char *pmt_control_error(const struct pmt_control *);

#define PMT_ANY_UNIT (~(uint32_t)0)

struct pmt_unit_config {
	uint32_t unit;		/* new: PMT_ANY_UNIT takes the first free one */
	uint32_t data_size;	/* bytes; 0 default; only for new */
	bool set_recovery, set_eot;
	uint32_t recovery;	/* ms, or PMT_RECOVERY_FOREVER */
	enum pmt_eot eot;
};

struct pmt_unit_info {
	uint32_t unit;
	uint64_t unit_id;
	uint32_t data_size, recovery;
	enum pmt_eot eot;
	enum pmt_state state;
	bool master_open, early_warning;
	uint32_t server_pid;	/* 0 none */
	struct pmt_place place;	/* after the last completed command */
	uint32_t issued, done;	/* numbers; issued - done commands wait */
	uint32_t record_min, record_max;
	uint64_t window, room;
	uint8_t medium_flags, buffered;
	uint32_t block_size;
	uint64_t bytes_written, records_written, bytes_read, records_read;
	uint64_t wakes_server, wakes_master;
	uint64_t data_waiting;	/* bytes in the ring of what waits; PMT_UNKNOWN */
	uint32_t master_pid;	/* who opened the master end; 0 none, or not known */
};

int pmt_unit_new(struct pmt_control *, const struct pmt_unit_config *,
		 uint32_t *unit);
int pmt_unit_delete(struct pmt_control *, uint32_t unit);
int pmt_unit_get(struct pmt_control *, uint32_t unit, struct pmt_unit_info *);
/* Calls each() for every unit, in order of numbers; stops when it returns
 * other than 0 and returns that. */
int pmt_unit_list(struct pmt_control *,
		  int (*each)(const struct pmt_unit_info *, void *), void *);
int pmt_unit_set(struct pmt_control *, const struct pmt_unit_config *);
int pmt_unit_abort(struct pmt_control *, uint32_t unit);
int pmt_unit_detach(struct pmt_control *, uint32_t unit);

struct pmt_unit_event {
	enum pmt_event event;
	uint32_t unit;
	struct pmt_place place;	/* lbn... PMT_UNKNOWN where the event has none */
	uint8_t key;		/* of PMT_EVENT_ERROR */
};

/* Events: poll the descriptor for reading, then call dispatch, which calls
 * each() for every event that came.  -ENOBUFS: some were lost. */
struct pmt_watch;
int pmt_watch_open(struct pmt_watch **);
void pmt_watch_close(struct pmt_watch *);
int pmt_watch_fd(const struct pmt_watch *);
int pmt_watch_dispatch(struct pmt_watch *,
		       void (*each)(const struct pmt_unit_event *, void *), void *);

/* A number, or the name or path of a node ("/dev/npmtm0").  -EINVAL, logged. */
int pmt_unit_parse(const char *text, uint32_t *unit);
/* key "ring", "recovery" or "eot", as in the tools' options; -ENOENT another key;
 * -EINVAL, -ERANGE, logged. */
int pmt_unit_config_parse(struct pmt_unit_config *, const char *key,
			  const char *value);

/* Names as the tools print them, "?" for a number without one. */
const char *pmt_state_name(enum pmt_state);
const char *pmt_event_name(enum pmt_event);
const char *pmt_eot_name(enum pmt_eot);

/*
 * Descriptors of real drives outlive the drives that use them, so that st sees no
 * close.  name is the node's; what keeps them has descriptors of its own.  Called
 * from any thread.
 */
struct pmt_keeper {
	/*
	 * A descriptor for the drive, or -ENOENT.  state: what leave() said of it,
	 * or "" (nobody knows what was done by it since).
	 */
	int (*take)(void *context, const char *name, char *state, size_t size);
	/* fd was opened: keep it. */
	void (*keep)(void *context, const char *name, int fd);
	/* The drive is closed, and nothing has happened to it behind this state. */
	void (*leave)(void *context, const char *name, const char *state);
	/* It has to be closed, now. */
	void (*drop)(void *context, const char *name);
	void *context;
};

/*
 * Drives (drive.c).  A specification is text, see pmt-drives(7).
 * pmt_drive_open: -EINVAL a bad one; *error (freed by the caller) is the text
 * with the column at fault.  pmt_mirror_open makes mirror(spec, spec, ...) with
 * the options ("policy=degrade&min=1", or NULL).  The keeper may be NULL, and lives
 * as long as the drive.
 */
struct pmt_drive;
int pmt_drive_open(struct pmt_drive **, const char *spec, char **error);
int pmt_drive_open_kept(struct pmt_drive **, const char *spec,
			const struct pmt_keeper *, char **error);
int pmt_mirror_open(struct pmt_drive **, const char *const *specs, size_t n,
		    const char *options, char **error);
int pmt_mirror_open_kept(struct pmt_drive **, const char *const *specs, size_t n,
			 const char *options, const struct pmt_keeper *, char **error);
/*
 * What a specification names, of which nothing is opened: the kind and the target of each
 * drive that has a medium.  each may be NULL; error as of pmt_drive_open.
 */
int pmt_spec_leaves(const char *spec,
		    void (*each)(const char *kind, const char *target, void *context),
		    void *context, char **error);
/* Its specification. */
const char *pmt_drive_text(const struct pmt_drive *);
void pmt_drive_close(struct pmt_drive *);
/* State of the drive and those below it as JSON text, freed by the caller. */
int pmt_drive_status_json(struct pmt_drive *, char **json);
/*
 * Bring copy number (from 1) of a mirror back, that has failed or has bad blocks, as the
 * drive spec: it is brought up to the others while they go on, and counts then; events and the status
 * tell.  0: while they are written; 1: at the next unload, as none of them can be read
 * beside being written.  Any thread, one at a time.  -EINVAL, -EBUSY, -ENOTSUP, or what
 * opening the drive says; *error (freed by the caller) says why.
 */
int pmt_mirror_rejoin(struct pmt_drive *, unsigned int copy, const char *spec, char **error);
/* Events that the kernel does not have; see pmt_server_set_event. */
enum {
	PMT_EVENT_REJOIN_BEGUN = 0x100,
	PMT_EVENT_REJOIN_PROGRESS,
	PMT_EVENT_REJOIN_FAILED,
	PMT_EVENT_SET_REFUSED,
	PMT_EVENT_BAD_BLOCK,
	PMT_EVENT_DIFFERENCE,
};
/*
 * A line of the control interface, for tests: see pmt-drives(7).  Any thread, also
 * while commands are executed; it never waits for them.  -EINVAL unknown or
 * malformed, -ENOTSUP nothing that these drives have; *error (freed by the
 * caller) says why.
 */
int pmt_drive_control(struct pmt_drive *, const char *line, char **error);

/*
 * A drive of the caller's own (drives/store.c).  A tape is records and filemarks,
 * numbered from 0; the caller keeps them, by number, and the library does all else:
 * motion, places, blocks of a fixed size, sense.  One thread at a time calls, which is
 * that of pmt_server_run where the drive is served.
 *
 * Errors of the calls are the application's: -EIO, -EBADMSG the medium; -ENOSPC the end
 * of the tape, and nothing was written; -EROFS; others are of the hardware.
 */
struct pmt_store {
	const char *name;	/* for messages; used while it is opened */
	uint64_t count;		/* objects that are there */
	uint64_t id;		/* by which the tape is known again; 0: it is not */
	uint64_t room;		/* bytes that can surely be written behind early warning, or
				 * PMT_UNKNOWN: there is no end */
	uint32_t record_max;	/* bytes; 0: PMT_RECORD_MAX */
	/*
	 * Object lbn: up to size bytes of it to data.  Its whole length; 0: a filemark;
	 * -errno.
	 */
	int64_t (*read)(void *context, uint64_t lbn, void *data, size_t size);
	/*
	 * Put object lbn, length 0: a filemark; those behind it are gone.  lbn is at most
	 * the number of objects.  0; 1: done, and early warning; -errno.  NULL: the tape is
	 * write protected.
	 */
	int (*write)(void *context, uint64_t lbn, const void *data, size_t length);
	/* Object lbn and those behind it are gone.  NULL only without write. */
	int (*cut)(void *context, uint64_t lbn);
	/* Make all durable; NULL: nothing to do. */
	int (*sync)(void *context);
};

/* -errno of read; -ENOMEM.  pmt_drive_close() does not touch the context. */
int pmt_drive_open_store(struct pmt_drive **, const struct pmt_store *, void *context);

/*
 * Serving (server.c): attach the drive to a unit and execute its commands until
 * the unit is gone or stop is asked for.
 *
 * pmt_server_open opens the slave end ("/dev/pmtsN" or unit number as text) and
 * attaches the drive.  -ENOENT, -EBUSY (another server), -EPROTONOSUPPORT,
 * -ESTALE the medium in the drive is not the one that the unit was using.
 * pmt_server_run returns 0 when it was stopped, -ENODEV when the unit took the
 * slave end away.  pmt_server_stop may be called from any thread or a signal
 * handler: what was issued is executed, then run returns.
 */
struct pmt_server;
int pmt_server_open(struct pmt_server **, const char *unit, struct pmt_drive *);
int pmt_server_run(struct pmt_server *);
void pmt_server_stop(struct pmt_server *);
void pmt_server_close(struct pmt_server *);
/*
 * To hand a unit over without a moment in which it has no server: leave is close,
 * but the slave end stays open and is returned; whoever is given it attaches by open_again, which takes a descriptor of its own.  The one
 * who left may do so too, if the other gives up.
 */
int pmt_server_leave(struct pmt_server *);
int pmt_server_open_again(struct pmt_server **, int fd, struct pmt_drive *);
uint32_t pmt_server_unit(const struct pmt_server *);
/*
 * PMT_EVENT_COPY_*, PMT_EVENT_REJOIN_*, from any thread; text is for people.  Set before
 * run.
 */
void pmt_server_set_event(struct pmt_server *,
			  void (*event)(unsigned int event, const char *text, void *),
			  void *context);

/*
 * Whole tapes (tapes/): drives read, copied and compared, without the kernel.  The
 * caller has opened the drives and nobody else uses them; they are attached here,
 * and detached again.
 *
 * pmt_drive_open_source is pmt_drive_open for what is only read: images are opened
 * with readonly=yes, so nothing in them changes, no torn end is cut, and a set
 * begins with its first volume whatever is in the drive.
 */
int pmt_drive_open_source(struct pmt_drive **, const char *spec, char **error);

struct pmt_bound {
	enum { PMT_BOUND_NONE, PMT_BOUND_FILE, PMT_BOUND_LBN } by;
	uint64_t number;	/* of the file, as MTIOCGET counts, or the LBN */
};

/* "N" is file N, "@N" LBN N.  -EINVAL, not logged. */
int pmt_bound_parse(const char *text, struct pmt_bound *);

#define PMT_ANY_PARTITION (~(uint32_t)0)

struct pmt_tally {
	uint64_t records, marks, bytes;
	uint64_t damaged;	/* records that can not be read */
	/* CRC-32C of all: before each record its length in 32 bits, little endian,
	 * and 0 for a mark, as the words of SIMH. */
	uint32_t crc;
};

struct pmt_progress {
	const struct pmt_tally *tally;
	const struct pmt_place *place;	/* of what is read next */
	uint64_t done, total;	/* in the drive's cost; total 0: not known */
};

/* What of a tape. */
struct pmt_walk {
	struct pmt_bound from, to;	/* both are part of it; NONE: to the end */
	uint32_t partition;	/* PMT_ANY_PARTITION: the tape has one only */
	bool volumes;		/* at its end unload, and go on with the next, to an
				 * empty one or until there is none */
	uint32_t wait;		/* ms, for the next volume to come */
	/* After each object: on?  Also, with NULL, while a volume is waited for. */
	bool (*go_on)(const struct pmt_progress *, void *context);
	void *context;
};

enum pmt_object_kind {
	PMT_OBJECT_RECORD,
	PMT_OBJECT_MARK,
	PMT_OBJECT_DAMAGED,	/* a record, probably, that can not be read */
	PMT_OBJECT_END,
};

struct pmt_object {
	enum pmt_object_kind kind;
	struct pmt_place place;	/* where it begins */
	uint32_t volume;	/* from 0 */
	uint32_t length;	/* of a record */
	const void *data;
	uint8_t key, asc, ascq;	/* why it is damaged */
};

/*
 * A reader gives the objects of a tape one after the other, and reads ahead.  What
 * it gave, but for the end, is valid until it is released, the oldest first, at
 * the latest when 8 are not.  Errors are logged; damage is none.
 */
struct pmt_reader;
int pmt_reader_open(struct pmt_reader **, struct pmt_drive *, const struct pmt_walk *);
int pmt_reader_next(struct pmt_reader *, struct pmt_object *);
void pmt_reader_release(struct pmt_reader *);
void pmt_reader_close(struct pmt_reader *);
void pmt_tally_add(struct pmt_tally *, const struct pmt_object *);
/* Ask go_on() of the walk, as pmt_copy and pmt_verify do. */
bool pmt_reader_goes_on(const struct pmt_reader *, const struct pmt_tally *);

/*
 * pmt_copy copies from one drive to another, a mirror if there are several, records
 * and marks as they are.  0: all of it, durably.  Else an error, logged but for
 * -EINTR and -ENOSPC; *copied says exactly what is on the target.
 *
 * -ENOSPC: the target is full.  It then is cut behind the last filemark that was
 * written, if it can be (copied->cut).  With spread it is unloaded instead, and
 * copying goes on with its next volume.  -EEXIST: the target is not empty, and
 * neither append nor overwrite is set.  -EBADMSG: a place that can not be read, and
 * skip_damaged is not set.  -EINTR: go_on() said so.
 */
struct pmt_copy {
	struct pmt_walk walk;	/* of the source; wait is the target's, too */
	bool append, overwrite, spread, skip_damaged;
	void (*damaged)(const struct pmt_object *, void *context);	/* or NULL */
};

struct pmt_copied {
	bool began;		/* else it is all zeros, and the target as it was */
	struct pmt_tally tally;
	uint32_t volumes;	/* of the target */
	struct pmt_place from;	/* the first that was not copied */
	struct pmt_place to;	/* behind what was */
	uint64_t cut;		/* records taken off the target again */
};

int pmt_copy(struct pmt_drive *from, struct pmt_drive *to, const struct pmt_copy *,
	     struct pmt_copied *);

/*
 * pmt_verify reads one tape, or compares several, record by record.  0: they are
 * the same and all could be read; 1: not; or an error, logged but for -EINTR, of
 * the side that *verified names.
 */
enum pmt_difference {
	PMT_SAME,
	PMT_DIFFERENT_LENGTH,
	PMT_DIFFERENT_DATA,
	PMT_DIFFERENT_KIND,	/* a record, and a mark */
	PMT_DIFFERENT_END,
};

struct pmt_verify {
	struct pmt_walk walk;	/* of each of them */
	struct pmt_tally *tallies;	/* n of them, which are filled */
	void (*damaged)(size_t side, const struct pmt_object *, void *context);
};

struct pmt_verified {
	enum pmt_difference difference;	/* the first there is */
	size_t side;		/* that differs from the first */
	struct pmt_object first, other;	/* without their data */
	uint64_t offset;	/* of the first byte that differs */
	uint8_t bytes[2];	/* that there are, of DIFFERENT_DATA */
};

int pmt_verify(struct pmt_drive *const *drives, size_t n, const struct pmt_verify *,
	       struct pmt_verified *);

/* "file 3 block 17 (LBN 400)", as far as it is known. */
struct pmt_place_text { char text[96]; };
struct pmt_place_text pmt_place_text(const struct pmt_place *);

/*
 * The file of an image (imagefile.c), without a unit: its objects one by one, and
 * what it says of itself.  One thread; the file is locked as by a drive.
 *
 * What goes wrong is logged.  -ENOENT, -EEXIST (create), -EBUSY another process has
 * it, -EINVAL it is no image, or an option does not fit.
 */
struct pmt_imagefile;

#define PMT_LABEL_MAX	32	/* bytes, UTF-8 */
#define PMT_BARCODE_MAX	16	/* capital letters and digits */

struct pmt_imagefile_options {
	const char *format;	/* NULL: as it is; one that is made, as it is called */
	bool write;
	bool create;		/* and it does not exist yet */
	bool salvage;		/* only to read: step over what is damaged */
	bool worm;		/* of one that is made */
	uint64_t capacity;	/* 0: what it says, or none */
};

struct pmt_imagefile_info {
	const char *format;
	bool worm, protected;
	uint32_t partitions;
	char uuid[40];		/* "" in a format that has none */
	char label[PMT_LABEL_MAX + 1], barcode[PMT_BARCODE_MAX + 1];
	/* Of the partition: */
	char *path;		/* its file */
	uint64_t objects, marks;	/* records and marks together; marks */
	uint64_t size, capacity;	/* bytes of the file; 0 as the disk permits */
	uint64_t end;		/* where the data ends */
	uint64_t torn;		/* bytes at the end that are no whole record */
	uint64_t damage;	/* bytes that salvage has stepped over */
	uint64_t odd;		/* objects that are read, but break a rule */
	uint32_t record_max;
};

int pmt_imagefile_open(struct pmt_imagefile **, const char *path,
		       const struct pmt_imagefile_options *);
/* Durably, if it was written.  Frees it, whatever is returned. */
int pmt_imagefile_close(struct pmt_imagefile *);
/* The texts live as long as it does.  -EINVAL: no such partition. */
int pmt_imagefile_info(struct pmt_imagefile *, uint32_t partition,
		       struct pmt_imagefile_info *);
/* To the beginning of file number file.  -ENODATA: there is none. */
int pmt_imagefile_seek(struct pmt_imagefile *, uint32_t partition, uint64_t file);
int pmt_imagefile_seek_end(struct pmt_imagefile *);
struct pmt_imagefile_place {
	uint64_t lbn, file, block;
};

/* Where it stands. */
struct pmt_imagefile_place pmt_imagefile_place(const struct pmt_imagefile *);
/* One object; it stands behind it.  Also where it is damaged: -EIO, -EBADMSG. */
enum pmt_imagefile_kind { PMT_IMAGEFILE_RECORD, PMT_IMAGEFILE_MARK, PMT_IMAGEFILE_END };
int pmt_imagefile_read(struct pmt_imagefile *, void *buffer, size_t size, size_t *length);
/* Here, and what is behind it is gone.  -ENOSPC, -EROFS, -EPERM written once; no
 * length: a mark. */
int pmt_imagefile_write(struct pmt_imagefile *, const void *data, size_t length);
int pmt_imagefile_cut(struct pmt_imagefile *);	/* the data ends here */
int pmt_imagefile_sync(struct pmt_imagefile *);
/* For pmt_copy and the like, which attach it; it stands anywhere then. */
struct pmt_drive *pmt_imagefile_drive(struct pmt_imagefile *);
/* NULL: as it is.  -ENOTSUP its format has none; -EPERM write-once, and it has one;
 * -EINVAL too long, or of other characters. */
int pmt_imagefile_label(struct pmt_imagefile *, const char *label, const char *barcode);

/*
 * RMT (rmt/server.c): one client of the remote tape protocol, which sees drives as
 * tapes under st; see pmt-rmt(8).
 *
 * find() says what a name is, or -errno for the client (-ENOENT: no such tape); the
 * texts have to live until the next call, or the end.  pmt_rmt_serve reads
 * requests from in and answers at out until the client goes (0) or something fails:
 * -EPROTO what came is no request, -EPIPE the client went in the middle of one,
 * -EINTR a signal.  Whatever it was, the tape was closed as st closes it.
 */
enum pmt_rmt_numbers {
	PMT_RMT_NUMBERS_NONE,	/* refuse operations that differ from system to system */
	PMT_RMT_NUMBERS_LINUX,
	PMT_RMT_NUMBERS_BSD,
};

struct pmt_rmt_tape {
	const char *spec;	/* as of pmt_drive_open */
	const char *state;	/* file that keeps the place from open to open; or NULL */
	bool rewind;		/* at close */
	bool readonly;
	bool short_writes;	/* the end of tape is a write of 0 bytes, not ENOSPC */
	enum pmt_eot eot;
	enum pmt_rmt_numbers numbers;	/* of clients that ask for no version */
};

struct pmt_rmt_config {
	int (*find)(void *context, const char *name, struct pmt_rmt_tape *);
	void *context;
	/* Signals that are blocked, but not while it waits for a request; or NULL. */
	const sigset_t *waiting;
};

int pmt_rmt_serve(const struct pmt_rmt_config *, int in, int out);

#ifdef __cplusplus
}
#endif

#endif
