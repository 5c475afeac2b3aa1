/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A folder for the files of one test, in $TMPDIR or /tmp. */
#ifndef FOLDER_H
#define FOLDER_H

extern char folder[64];

void folder_make(void);
void folder_remove(void);		/* and what is in it */
const char *path(const char *name);	/* in it; valid for four calls */

void folder_catch(const char *name);	/* what is printed from now on goes there */
char *folder_contents(const char *name);	/* to be freed */

#endif
