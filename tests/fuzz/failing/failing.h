/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of failing know of each other.  Prototypes are sorted by the file
 * that defines them; main.c says what it is all for.
 */
#ifndef FAILING_H
#define FAILING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIZE(array) (sizeof(array) / sizeof((array)[0]))

struct entry {
	const char *name;
	void (*prepare)(void);
	int (*run)(void);		/* 0, or -errno */
	void (*after)(int result);	/* checks what was told, and tidies up */
	int wanted;			/* of a run without a failure */
	long argument, count;
	const char *nothing;		/* why nothing can fail in it */
};

/* ---- main.c ---- */

extern struct failing {
	char tape[64], slave[64];
	int folder;			/* of the tape, in sysfs */
	uint32_t spare;			/* a unit that nobody serves */
	struct pmt_control *control;
	/* of one run */
	int fd;
	const struct entry *entry;
	bool bad;
} f;

void bad(const char *format, ...) __attribute__((format(printf, 1, 2)));
void die(const char *what) __attribute__((noreturn));
int result(long returned);
const char *name_of(int error);

/* ---- master.c: the served unit ---- */

extern const struct entry master_entries[];	/* the last has no name */

int run_close(void);
int run_poll(void);
void round_trip(void);

/* ---- slave.c: the slave end of the spare unit ---- */

extern const struct entry slave_entries[];

void open_server(void);
void close_slave(int told);
void slave_round_trip(void);

/* ---- control.c ---- */

extern const struct entry control_entries[];

/* Is the entry point a message? */
bool is_request(void);
void make_spare(void);
void delete_spare(void);

#endif
