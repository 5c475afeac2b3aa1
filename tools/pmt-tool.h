/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pmt, the administrator's tool: a table of verbs (pmt.c), one file each where a
 * verb is more than one call of the library.
 * pmt.c has understood the command line and opened the control plane before it
 * calls a verb; a verb returns an exit code.  Prototypes are sorted by the file
 * that defines them.
 */
#ifndef PMT_TOOL_H
#define PMT_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <pmt.h>

#ifndef PMT_VERSION
#define PMT_VERSION "0.1"
#endif

struct json_object;

static inline void tool_freep(void *p)
{
	free(*(void **)p);
}

static inline void tool_closep(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define _cleanup_free_ __attribute__((cleanup(tool_freep)))
#define _cleanup_close_ __attribute__((cleanup(tool_closep)))

enum { TOOL_OK, TOOL_FAILED, TOOL_USAGE };

struct tool {
	struct pmt_control *control;
	uint32_t unit;			/* PMT_ANY_UNIT: none was given */
	struct pmt_unit_config config;	/* config.unit is unit */
	bool json;
	char **words;			/* behind the unit; or all, specifications */
	size_t n_words;
	struct pmt_copy tape;		/* of the verbs that take specifications */
	const char *svg;		/* file; or NULL */
	double delay;			/* of top: seconds between two samples */
	uint32_t count;			/* of top: how many samples; 0: without end */
	bool batch;			/* of top: lines, not a screen */
};

/* pmt.c */
/* Says what went wrong and what to do; returns TOOL_FAILED. */
int tool_fail(struct tool *, uint32_t unit, int err);

/* tape.c: what the verbs on tapes have in common */
/* Opens a specification, or says why not.  NULL: it was said. */
struct pmt_drive *tape_open(const char *spec, bool source);
/* A bar on a terminal, and a signal that ends the work, from begin to end. */
void tape_begin(struct pmt_walk *, const char *verb);
void tape_end(void);
/* Before another line of messages. */
void tape_clear_bar(void);
void tape_print_damage(const char *spec, const struct pmt_object *);
struct json_object *tally_json(const struct pmt_tally *);
struct json_object *damage_json(const struct pmt_object *);
void tape_print_tally(const char *title, const struct pmt_tally *);

/* info.c: what is known of a unit, as text and as JSON */
struct json_object *info_json(const struct pmt_unit_info *);
/* A number, or null where it is not known. */
struct json_object *number_json(uint64_t value);
void add_number_json(struct json_object *, const char *key, uint64_t value);
void add_place_json(struct json_object *, const struct pmt_place *);
/* Of an object; NULL and false: there is none. */
const char *string_of(struct json_object *, const char *key);
bool number_of(struct json_object *, const char *key, uint64_t *);
/* Of a mirror, while its copy of that number, from 0, rejoins; or NULL. */
struct json_object *rejoin_of(struct json_object *mirror, size_t number);
void print_json(struct json_object *);	/* one line; takes it over */
struct size_text { char text[24]; };
struct size_text size_text(uint64_t bytes);
struct process_text { char text[48]; };
struct process_text process_text(uint32_t pid);

/* socket.c: the control socket of a unit's daemon */
const char *socket_folder(void);
int socket_connect(uint32_t unit);
int socket_send(int fd, const char *line);
#define SOCKET_PATIENCE 5	/* seconds, where none are said */
/* -ENOENT, -ECONNREFUSED: no daemon; -ETIMEDOUT it does not answer for patience seconds. */
int socket_status(uint32_t unit, unsigned int patience, struct json_object **);
/* A line to its drives.  -EINVAL: *refusal, freed by the caller, says why. */
int socket_control(int fd, const char *line, char **refusal);
/* 1: at the next unload. */
int socket_rejoin(int fd, int copy, const char *spec, char **refusal);
/* What an error of these, or of connecting, means. */
const char *socket_trouble(int err);

/* Verbs. */
int verb_new(struct tool *);
int verb_list(struct tool *);
int verb_status(struct tool *);
int verb_watch(struct tool *);
int verb_top(struct tool *);
int verb_metrics(struct tool *);
int verb_doctor(struct tool *);
int verb_set(struct tool *);
int verb_control(struct tool *);

/* rejoin.c */
int verb_rejoin(struct tool *);
int verb_copy(struct tool *);
int verb_verify(struct tool *);
int verb_map(struct tool *);
int verb_image(int argc, char **argv);	/* all its command line */

#endif
