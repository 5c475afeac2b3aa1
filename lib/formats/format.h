/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A tape in a file: what drives/image.c shares with the formats (native.c,
 * simh.c, aws.c), with the files (tape.c) and with the volume set (set.c).
 *
 * A struct pmt_tape is one partition of the medium, which is one file: tape.c
 * has its opening, lock and space on disk.  image.c has the options, the medium
 * made of partitions, and all positioning.  A format knows where in the file an
 * object (a record or a mark) is and what surrounds it.  Objects are numbered by
 * LBN from 0 without a hole, so a format need only answer: where is LBN n, what
 * file and block is that, which LBN has mark m.  The end of data is always the
 * end of the file.
 */
#ifndef PMT_FORMAT_H
#define PMT_FORMAT_H

#include <limits.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "../internal.h"

struct pmt_tape;

#define PMT_IMAGE_PARTITIONS 4u

/*
 * How the medium is divided, as the first partition's file says; of the others,
 * formatting alone.
 */
struct pmt_table {
	uint32_t count;		/* of partitions; 0 is 1 */
	bool unfinished;	/* the other files may be of an earlier formatting */
	uint64_t formatting;	/* random; 0: never formatted */
	uint64_t unit_id;	/* that formatted it, which began generation */
	uint64_t generation;
	uint64_t size[PMT_IMAGE_PARTITIONS];	/* bytes; 0: what the others leave */
};

/* All return 0 or -errno. */
struct pmt_format {
	const char *name;
	const char *suffix;	/* of the names of its files; NULL: of no use */
	uint64_t start;		/* where the log begins */
	bool readonly;		/* nothing is written in this format */
	struct pmt_limits limits;
	/* How many sound records are among the first objects, up to most; tape->format
	 * is this one.  Optional: the file is told by another format's, or by its first
	 * bytes. */
	uint64_t (*probe)(struct pmt_tape *, uint64_t most);
	/* Write what an empty medium begins with; the file is empty. */
	int (*make)(struct pmt_tape *);
	/* Find the end of data; -EINVAL and a message if it is not of this format.
	 * A torn tail is cut, if the image is not protected. */
	int (*open)(struct pmt_tape *);
	/* Readonly: find the end again, which somebody else may have moved on.  Optional;
	 * else it is opened anew. */
	int (*more)(struct pmt_tape *);
	void (*close)(struct pmt_tape *);
	/* At the end of data.  -ENOSPC: nothing was written. */
	int (*write)(struct pmt_tape *, const void *data, size_t length);
	int (*marks)(struct pmt_tape *, uint32_t count);
	/* By how much count objects of length bytes, written at lbn, would make
	 * the file longer; length 0: marks. */
	uint64_t (*growth)(struct pmt_tape *, uint64_t lbn, uint64_t count,
			   size_t length);
	/* Make all durable. */
	int (*sync)(struct pmt_tape *);
	/* Make lbn, which is before it, the end of data, durably. */
	int (*cut)(struct pmt_tape *, uint64_t lbn);
	/* The object at lbn, which is before the end of data. */
	int (*read)(struct pmt_tape *, uint64_t lbn, void *buffer, size_t size,
		    size_t *length, bool *mark);
	/* Where the file would end if lbn were the end of data. */
	int (*offset)(struct pmt_tape *, uint64_t lbn, uint64_t *offset);
	/* What the objects before lbn will still cost (an index paid ahead). */
	uint64_t (*owed)(struct pmt_tape *, uint64_t lbn);
	int (*place)(struct pmt_tape *, uint64_t lbn, uint64_t *file,
		     uint64_t *block);
	/* LBN of mark number mark, counted from 0, which exists. */
	int (*find_mark)(struct pmt_tape *, uint64_t mark, uint64_t *lbn);
	/*
	 * Durably and in one step: all data is gone, and the table is this one.
	 * Optional; without it there is one partition.
	 */
	int (*format)(struct pmt_tape *, const struct pmt_table *);
	/* Durably: tape->label and barcode.  Optional; without it they are empty. */
	int (*label)(struct pmt_tape *);
};

extern const struct pmt_format pmt_format_native, pmt_format_simh, pmt_format_e11,
	pmt_format_aws, pmt_format_het;

/*
 * A volume set: a target with one %d.  The state file ".NAME.set" beside the
 * volumes says which volume is in the drive, and for which unit and generation;
 * it is replaced by rename only, so it is always a whole one.
 */
struct pmt_set {
	bool is_set;		/* else the target is one file */
	bool volatile_state;	/* read only: nothing is kept */
	char *folder, *prefix, *suffix;
	int width;
	bool zeros;
	char *state_path;
	uint32_t volume;
	uint64_t unit_id, generation;	/* 0: nothing remembered */
};

struct pmt_tape {
	/* Set before opening: */
	uint32_t number;	/* of the partition */
	char *path;		/* owned */
	bool readonly, create, synchronous;
	bool beside;		/* readonly: somebody writes it meanwhile, and has the lock */
	bool salvage;		/* readonly: step over what is damaged */
	bool wants_worm;	/* write once, if it is made */
	const struct pmt_format *asked_for;	/* NULL: as the file is */
	uint8_t uuid[16];	/* of the medium; the first partition's file tells it */
	/* Zeros to their ends: */
	char label[PMT_LABEL_MAX + 1], barcode[PMT_BARCODE_MAX + 1];
	uint64_t capacity;	/* bytes of the file; 0: what the disk gives */
	uint64_t ew;		/* bytes kept for after early warning */
	uint64_t ahead;		/* blocks are set aside so far beyond the data and ew;
				 * again, when half of it is used up */
	/* While it is open (fd is not -1): */
	int fd;
	struct stat stat;	/* at load; the size is in size */
	const struct pmt_format *format;
	void *state;		/* the format's */
	struct pmt_table table;
	bool protected, worm;
	uint64_t medium;	/* identity */
	uint64_t end;		/* of the log, where the end of data is */
	uint64_t eod, files, blocks;	/* LBN, file and block of the end of data */
	uint64_t size;		/* of the file; more than end only where a
				 * protected or SIMH image has something behind */
	/* What is not as it should be: */
	uint64_t torn;		/* bytes at the end that are no whole record */
	uint64_t damage;	/* bytes that were stepped over */
	uint64_t odd;		/* objects that are read, but do not keep the rules */
	uint64_t allocated;	/* blocks of the file reach to here */
	uint64_t flushed;	/* the kernel was asked to write up to here */
	bool can_allocate, reserving;
	bool dirty;		/* something may not be on the disk */
	bool broken;		/* the disk failed us: no writing until load */
};

/* drives/image.c */

/* Partition number of the volume that is in the drive; NULL: there is none. */
struct pmt_tape *pmt_image_tape(struct pmt_leaf *, uint32_t number);

/* tape.c */

/* NULL: there is none of this name. */
const struct pmt_format *pmt_format_named(const char *name);
/* "native, simh ..." for messages. */
const char *pmt_format_names(void);
/* -ENOENT: it does not exist, and is not to be made.  Else a message is logged. */
int pmt_tape_open(struct pmt_tape *);
void pmt_tape_close(struct pmt_tape *);		/* frees path, too */
/* Durable, and without blocks that are not used. */
int pmt_tape_finish(struct pmt_tape *);
/* Can the file system set blocks aside? */
bool pmt_tape_can_reserve(struct pmt_tape *);
/* Where the file could end: a promise while writing, else a good guess. */
uint64_t pmt_tape_reach(struct pmt_tape *);
/* All of length, or -errno; -EBADMSG if the file ends before. */
int pmt_tape_pread(struct pmt_tape *, void *, size_t length, uint64_t offset);
int pmt_tape_pwrite(struct pmt_tape *, const void *, size_t length, uint64_t offset);
/* Append at tape->end, all or nothing; -ENOSPC, -EIO. */
int pmt_tape_append(struct pmt_tape *, struct iovec *, int count);
/* What was written so far is on the disk. */
int pmt_tape_flush(struct pmt_tape *);
/* Make the file end at tape->end. */
int pmt_tape_truncate(struct pmt_tape *);

/* set.c */
int pmt_set_parse(struct pmt_set *, const char *target);
void pmt_set_free(struct pmt_set *);
/* Path of the current volume, allocated. */
char *pmt_set_path(const struct pmt_set *);
/* Read the state file, if there is one. */
int pmt_set_recall(struct pmt_set *);
/* Durably: this volume, this unit, this generation. */
int pmt_set_store(struct pmt_set *, uint32_t volume, uint64_t unit_id,
		  uint64_t generation);
/* fsync of the folder that path is in. */
int pmt_sync_folder(const char *path);

#endif
