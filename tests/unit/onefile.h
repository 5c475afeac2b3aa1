/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tape in one file, byte for byte, and the drive "image" with it. */
#ifndef ONEFILE_H
#define ONEFILE_H

#include "internal.h"

extern char file[128];		/* its path */

void onefile_make(const char *name);	/* in a folder that folder_remove() removes */
void onefile_name(const char *name);	/* another one in it */
/* options: "?readonly=yes", or "". */
int try_tape(struct pmt_leaf **, const char *options);
struct pmt_leaf *tape(const char *options);
void drop(struct pmt_leaf *);

/* A literal with zeros inside. */
#define BYTES(text) (text), sizeof(text) - 1

void make(const char *bytes, size_t length);
struct bytes {
	const char *bytes;
	size_t length;
};
/* Each is refused, as this format and by itself, and left as it is. */
void all_refused(const struct bytes *, size_t n, const char *format);
/*
 * Every beginning of the file from ends[0] on opens, and has all that is whole: what
 * objects end at the n ends.  The rest is cut, if it may be written.
 */
void torn_anywhere(const char *script, size_t size, const size_t *ends, size_t n);
void file_is(const char *bytes, size_t length);
/* Read one record that is want; what the drive returned. */
int get(struct pmt_leaf *, const char *want);
void put(struct pmt_leaf *, const char *text);
void put_marks(struct pmt_leaf *, uint32_t count);

#endif
