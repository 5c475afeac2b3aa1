// SPDX-License-Identifier: GPL-2.0-or-later
/* A folder for the files of one test. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "folder.h"

char folder[64];

void folder_make(void)
{
	const char *base = getenv("TMPDIR");

	snprintf(folder, sizeof(folder), "%s/pmt-check.XXXXXX", base ? base : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

void folder_remove(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

const char *path(const char *name)
{
	static char text[4][128];
	static int i;

	i = (i + 1) % 4;
	snprintf(text[i], sizeof(text[i]), "%s/%s", folder, name);
	return text[i];
}

void folder_catch(const char *name)
{
	ck_assert_ptr_nonnull(freopen(path(name), "w", stdout));
}

int folder_catch_verb(const char *name, int (*verb)(struct tool *), struct tool *t)
{
	int rc;

	folder_catch(name);
	rc = verb(t);
	fflush(stdout);
	return rc;
}

char *folder_contents(const char *name)
{
	FILE *file = fopen(path(name), "r");
	char *text = calloc(1, 65536);

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_lt(fread(text, 1, 65535, file), 65535);
	fclose(file);
	return text;
}
