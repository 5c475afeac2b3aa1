/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "fakest:NAME", the st drive over calls that are answered here, as st would with
 * a drive whose one cartridge is an array.  The test sets what goes wrong.
 */
#ifndef FAKEST_H
#define FAKEST_H

#include "drives/st.h"

enum fake_eof { FAKE_NONE, FAKE_FM, FAKE_EW, FAKE_EOD1, FAKE_EOD };

struct fake_object {
	bool mark;
	size_t length;
	unsigned char *data;
};

struct fake_tape {
	struct fake_object objects[256];
	unsigned int n, at;
};

struct fake_drive {
	/* The drive: */
	struct fake_object objects[256];
	unsigned int n, at;
	struct fake_tape parts[4];	/* those that it does not stand in */
	unsigned int part, n_parts, more;	/* more: that can be made */
	uint32_t most, least, host;	/* limits; host 0: not told */
	size_t capacity, ew;		/* bytes of records; 0: endless */
	bool present, protected, no_position, no_sg, no_erase;
	bool reload;			/* a stacker's: the next one comes in, written to */
	bool refuses_erase, refuses_immediate, refuses_mode;
	bool no_page;			/* of partitions */
	bool eom_at_end, phantom;	/* EOM at end of data; and no residue */
	char serial[16];		/* "": it has no such memory */
	/* The next command gets this sense and is not executed (st: EIO). */
	unsigned int attention;		/* ASC; 0: none */
	unsigned int fail_writes;	/* so many meet a medium error */
	unsigned int bad_part, fail_switches;	/* so many LOCATEs into it */
	unsigned int fail_asking;	/* so many READ POSITIONs by SG_IO */
	/* What st knows: */
	enum fake_eof eof;
	long file, block;
	uint32_t block_size, options;
	int buffered, compression, locked;
	bool writing, ready, st_protected, lost;
	bool counts, counted;		/* resets that it has not seen: it is lost behind a motion */
	unsigned int st_part, new_part;	/* where it thinks to be; where it will go first */
	bool dead;			/* what is open is of a drive that was unplugged */
	/* What was done: */
	bool open;
	unsigned int opens, busy, waits, auto_marks, writes, sets, seeks, rewinds,
		syncs, immediate;
	size_t largest_read;
};

extern struct fake_drive fake;
extern const struct pmt_st_calls fake_calls;

/* A drive with a blank cartridge, and the kind "fakest". */
void fake_reset(void);
/* The drive loses power: it comes back at the beginning of its first partition. */
void fake_power_cycle(void);
/* Another cartridge, blank, comes in: the drive is at its beginning. */
void fake_insert(const char *serial);
void fake_free(void);

#endif
