/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of configuration: lines of key = value, in sections if the file has any.  The
 * grammar is in pmt-rmt(8) and tape-mirror(8); what the words mean is the caller's.
 */
#ifndef PMT_DAEMON_CONF_H
#define PMT_DAEMON_CONF_H

/* A message; priority as in syslog(3). */
typedef void (*conf_log)(int priority, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * struct conf_reader - a file that is being read
 * @path: its name, in messages too
 * @line: where what was given to the caller last begins
 * @log: what is wrong
 * @section: a line "[name]", without the brackets' first and with all behind it; NULL:
 *	there are no sections
 * @value: a line "key = value", stripped of blanks
 * @context: the caller's
 * @pending: a line and those that continue it; conf.c's own
 *
 * @section and @value return 0 or -errno, which ends the reading.
 */
struct conf_reader {
	const char *path;
	int line;
	conf_log log;
	int (*section)(struct conf_reader *, char *text);
	int (*value)(struct conf_reader *, const char *key, const char *value);
	void *context;
	char *pending;
};

/* 0 or -errno, and the message has been logged. */
int conf_read(struct conf_reader *);
/* -EINVAL, with a message that has the line at fault; word may be NULL. */
int conf_refuse(const struct conf_reader *, const char *what, const char *word);
/* Blanks at both ends are left out, in place. */
char *conf_strip(char *text);

#endif
