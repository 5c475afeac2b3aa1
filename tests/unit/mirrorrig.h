/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tests of the mirror have in common: one at a time, over the media a and b of
 * "mem:" or others, and the front end's part of it.  Failures are libcheck's.
 */
#ifndef MIRRORRIG_H
#define MIRRORRIG_H

#include <json-c/json.h>

#include "memleaf.h"

#define DEPTH 64

extern struct rig rig;
extern struct mem_medium *a, *b;

/* Commands on the way. */
extern struct line {
	struct pmt_request requests[DEPTH];
	char data[DEPTH][256];
	unsigned int n, done;
	bool ordered;
	pthread_mutex_t lock;
	pthread_cond_t cond;
} line;

extern unsigned int failed_copies;	/* as events said; bits */
extern unsigned int last_event;

#define ck_good(status) ck_assert_int_eq(status, PMT_STATUS_GOOD)
#define ck_result(r, k, x, y)                                                      \
	do {                                                                       \
		ck_assert_int_eq((r).status, PMT_STATUS_CHECK);                    \
		ck_assert_uint_eq((r).key, k);                                     \
		ck_assert_uint_eq((r).asc, x);                                     \
		ck_assert_uint_eq((r).ascq, y);                                    \
	} while (0)
#define ck_sense(k, x, y) ck_result(rig.result, k, x, y)
#define ck_twins(count)                                                            \
	do {                                                                       \
		ck_assert_uint_eq(a->volume.n, count);                             \
		ck_assert(mem_same(&a->volume, &b->volume));                       \
	} while (0)

/* The fixture. */
void mirrorrig_setup(void);
void mirrorrig_teardown(void);

void open_spec(const char *text);
void reopen_at(const char *text, uint64_t lbn);

struct pmt_request *line_submit(struct pmt_command);
void line_write(const char *text);
/* For all; the place is that of the exception, if there was one. */
struct pmt_request *line_wait(void);

struct json_object *status(void);	/* to be put */
const char *state_of(unsigned int copy);	/* valid until the next call */
int64_t status_number(const char *object, const char *key);	/* of the mirror, or of an object of it */
void ck_bad(unsigned int copy, uint64_t count, uint64_t lbn);	/* blocks, the last one listed */

void write_some(void);		/* one, two, a mark, three */
void expect_text(const char *text);
int write_positioned(const char *text);
void cut_to(struct mem_medium *, uint64_t objects);
/* On that medium alone these records; "" a mark, NULL ends. */
void record(struct mem_medium *, const char *text, ...);

#endif
