/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "mem:NAME", a drive whose media are arrays, and a hand to give it commands.
 *
 * A medium belongs to the registry, by name, until mem_reset(); drives that are
 * opened with the name use it, one after the other, so that a test can look at
 * it, change it and attach again.
 */
#ifndef MEMLEAF_H
#define MEMLEAF_H

#include "internal.h"

struct mem_record {
	bool mark;
	size_t length;
	unsigned char *data;
};

struct mem_volume {
	struct mem_record *records;
	uint64_t n;
};

struct mem_medium {
	char name[32];
	struct mem_volume volume;	/* in the drive */
	struct mem_volume gone[64];	/* unloaded, a stacker's */
	unsigned int n_gone;
	uint64_t id;			/* 0: unknown */
	uint64_t unit_id, generation;	/* remembered; unit_id 0: nothing */
	bool absent, protected, worm, stacker;
	bool no_locate;			/* only marks and records */
	bool no_lbn;			/* knows file and block only */
	bool no_eod;			/* does not say where data ends */
	bool no_next;			/* does not keep leaf->next by itself */
	uint64_t capacity, ew;		/* bytes; 0: endless */
	uint64_t most;			/* records and marks; 0: endless */
	unsigned int jitter;		/* microseconds, at most */
	unsigned int executed, written, syncs, cuts, seed;
	uint64_t asked_unit;		/* of the last remember() */
	int cut_error, unload_error;	/* what the next one returns */
	bool lose_place;		/* the next write lands a block further */
};

extern const struct pmt_drive_ops mem_drive;

struct mem_medium *mem_medium(const char *name);
void mem_reset(void);
/* The same records and marks in both. */
bool mem_same(const struct mem_volume *, const struct mem_volume *);

/* A session that notes warnings and events, and the drive attached to it. */
struct rig {
	struct pmt_drive *drive;
	const struct pmt_keeper *keeper;	/* or NULL */
	struct pmt_session session;
	struct pmt_place place;		/* after the last command */
	uint32_t number;
	pthread_mutex_t lock;
	unsigned int warnings, events;
	struct pmt_place warned;
	char event[400];
	struct pmt_result result;	/* of the last command */
};

void rig_init(struct rig *);
int rig_open(struct rig *, const char *spec);	/* opens and attaches */
int rig_take(struct rig *, struct pmt_drive *);	/* attaches; closes it if it cannot */
void rig_close(struct rig *);
/* One command at rig->place; these return the result's status. */
int rig_do(struct rig *, struct pmt_command, void *data);
int rig_write(struct rig *, const char *text);
int rig_marks(struct rig *, int64_t count);
int rig_read(struct rig *, char *buffer, uint32_t size);
int rig_op(struct rig *, unsigned int op);
int rig_space(struct rig *, unsigned int what, int64_t count);
int rig_locate(struct rig *, uint64_t lbn);
/* A drive with submit(): settle() waits for a done() that has told of all, and lingers. */
bool rig_settles(struct rig *);

#define UNIT 0x1234567890abcdefull

#endif
