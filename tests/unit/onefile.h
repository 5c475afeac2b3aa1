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
void file_is(const char *bytes, size_t length);
/* Read one record that is want; what the drive returned. */
int get(struct pmt_leaf *, const char *want);
void put(struct pmt_leaf *, const char *text);
void put_marks(struct pmt_leaf *, uint32_t count);

#endif
