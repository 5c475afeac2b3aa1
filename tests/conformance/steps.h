/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * steps: the language in which tape devices are tested.  A step is one line, a
 * verb and its words, done on a device, and answered by a text; the verbs are in
 * the table at the end of steps.c.
 *
 * Nodes are named as nst0, st0, nst0l, st0m, whatever the device is: 'n' is
 * without rewind, the letters and the 0 are put in place of the device's own,
 * and the suffix is the mode.  What begins with '/' is meant as it is.
 */
#ifndef STEPS_H
#define STEPS_H

#include <stdbool.h>

struct steps;

/*
 * device: the node without rewind of mode 0, as /dev/nst0 or /dev/npmtm3.
 * control, for "ctl WORDS": NULL, a file that takes a line, or "!COMMAND", a
 * process that takes lines and answers each by "ok" or "error TEXT".
 */
int steps_new(struct steps **, const char *device, const char *control);
void steps_free(struct steps *);

/* The answer is valid until the next call; "" if the step has none. */
const char *steps_do(struct steps *, const char *line);

/* A line of a script without what is white at its ends. */
char *steps_strip(char *text);

/* Does this kernel take calls of 32-bit programs?  User-mode Linux does not. */
bool steps_calls32(void);

/* Closes what is open. */
void steps_close(struct steps *);

#endif
