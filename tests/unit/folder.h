/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A folder for the files of one test, in $TMPDIR or /tmp. */
#ifndef FOLDER_H
#define FOLDER_H

extern char folder[64];

void folder_make(void);
void folder_remove(void);		/* and what is in it */
const char *path(const char *name);	/* in it; valid for four calls */

struct tool;

void folder_catch(const char *name);	/* what is printed from now on goes there */
/* What a verb of pmt's prints. */
int folder_catch_verb(const char *name, int (*verb)(struct tool *), struct tool *);
char *folder_contents(const char *name);	/* to be freed */

#endif
