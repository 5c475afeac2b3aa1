/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pmt top: two samples make rows (top-rows.c), rows are drawn (top-screen.c) or printed
 * (top.c)
 */
#ifndef PMT_TOOL_TOP_H
#define PMT_TOOL_TOP_H

#include "sample.h"

/* A unit, or one of its copies, which stand behind it. */
struct top_row {
	uint32_t unit;
	unsigned int copy;		/* from 1; 0: it is the unit */
	char state[16];
	double ring;			/* 0 to 1; -1: not known, or a copy */
	double written, read;		/* bytes a second; -1: not known */
	uint64_t lbn, file, room;	/* PMT_UNKNOWN */
	bool early_warning;
	bool bad;			/* somebody has to do something */
	char detail[256];		/* who has the ends; or errors and the drive */
};

enum top_order { TOP_BY_NUMBER, TOP_BY_RATE };

/* before may be NULL: no rates are known then.  NULL: out of memory. */
struct top_row *top_rows(const struct sample *before, const struct sample *now,
			 enum top_order, size_t *n);
/* The row, or with NULL the head of the columns. */
struct top_text { char text[512]; };
struct top_text top_text(const struct top_row *);
/* All of it. */
struct top_text top_title(const struct top_row *, size_t n, double delay);
struct json_object *top_json(const struct top_row *, size_t n);

/* top-screen.c.  -EINVAL: no such terminal. */
int screen_open(void);
void screen_close(void);
void screen_draw(const char *title, const struct top_row *, size_t n, const char *foot);
/* To the size that the terminal has now. */
void screen_resize(void);
enum top_key { TOP_KEY_NONE, TOP_KEY_QUIT, TOP_KEY_SORT, TOP_KEY_MOVED };
/* The next of those that wait; moving is done, and wants to be drawn. */
enum top_key screen_key(void);

#endif
