// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * shadow: what a tape must look like by now
 *
 * Objects are records and marks in order of their numbers, from the beginning.
 * What is behind the last one is nothing, if the end is known.  A block of which a
 * part was read counts as read as soon as anything but a read follows: st goes
 * back over whole blocks only.
 */
#include "shadow.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define FIXED_BUFFER 32768	/* st's, for blocks */

enum { READ = 0x08, WRITE = 0x0a, MARKS = 0x10 };	/* of SCSI */

/* ---- steps ---- */

bool step_parse(struct step *step, const char *line)
{
	char text[STEP_LINE], *save;

	memset(step, 0, sizeof(*step));
	if (strlen(line) >= sizeof(text))
		return false;
	strcpy(step->line, line);
	strcpy(text, line);
	for (char *w = strtok_r(text, " \t\n", &save); w; w = strtok_r(NULL, " \t\n", &save)) {
		if (step->n == STEP_WORDS || strlen(w) >= STEP_WORD)
			return false;
		strcpy(step->words[step->n++], w);
	}
	return step->n > 0;
}

bool step_is(const struct step *step, const char *verb)
{
	return strcmp(step->words[0], verb) == 0;
}

bool step_is_op(const struct step *step, const char *name)
{
	return step_is(step, "op") && strcmp(step->words[2], name) == 0;
}

bool step_is_ctl(const struct step *step, const char *verb)
{
	return step_is(step, "ctl") && strcmp(step->words[1], verb) == 0;
}

long step_number(const struct step *step, int word, long otherwise)
{
	return word < step->n ? strtol(step->words[word], NULL, 0) : otherwise;
}

long step_hex(const struct step *step, int word)
{
	return strtol(step->words[word], NULL, 16);
}

static bool is_one_of(const struct step *step, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (step_is_op(step, names[i]))
			return true;
	return false;
}

/* ---- objects ---- */

static void forget(struct shadow *s, long from)
{
	if (from < 0)
		from = 0;
	if (s->count > from)
		s->count = from;
	s->end_known = false;
}

static void put(struct shadow *s, int object)
{
	if (s->place < 0 || s->place >= SHADOW_OBJECTS) {
		forget(s, 0);
		s->place = UNKNOWN;
		return;
	}
	while (s->count < s->place)
		s->objects[s->count++] = UNKNOWN;
	s->objects[s->place++] = object;
	s->count = s->place;
	s->end_known = true;
}

static int object_at(const struct shadow *s, long number)
{
	return number >= 0 && number < s->count ? s->objects[number] : UNKNOWN;
}

static bool at_end(const struct shadow *s)
{
	return s->end_known && s->place == s->count;
}

/* What anything but a read does first. */
static void leave_block(struct shadow *s)
{
	if (s->part && s->place >= 0)
		s->place++;
	s->part = 0;
}

/* ---- answers ---- */

static bool failed(const char *answer)
{
	return strncmp(answer, "-1 ", 3) == 0;
}

/* Refused before the tape was touched. */
static bool refused(const char *answer)
{
	static const char *const early[] = {
		"EBADF", "EACCES", "EINVAL", "ENOMEDIUM", "EBUSY", "EPERM", "ENOSYS",
		"EROFS", "ENXIO",
	};

	for (size_t i = 0; failed(answer) && i < SIZE(early); i++)
		if (strcmp(answer + 3, early[i]) == 0)
			return true;
	return false;
}

/* It may be that the drive was told to fail it: is its answer about nothing? */
static bool unreal(struct shadow *s, long operation)
{
	if (!s->failures || s->failing != operation)
		return false;
	s->failures--;
	return true;
}

/* ---- reads and writes ---- */

static void learn_write(struct shadow *s, const struct step *step, const char *answer)
{
	long size = step_number(step, 2, 0), done = strtol(answer, NULL, 10);

	if (refused(answer) || !size)
		return;
	leave_block(s);
	s->mark_ahead = false;
	s->read_failed = false;
	s->doubtful = failed(answer) || (s->doubtful && s->writing);
	s->writing = true;
	if (unreal(s, WRITE) || failed(answer)) {
		forget(s, s->place);
		s->place = UNKNOWN;
		return;
	}
	if (!s->block)
		put(s, (int)done);
	for (; s->block && done > 0; done -= s->block)
		put(s, (int)s->block);
}

long shadow_blocks_asked(const struct shadow *s, long size)
{
	long n = (size + s->block - 1) / s->block, least = FIXED_BUFFER / s->block;

	if (!s->buffered && size % s->block == 0)
		return n;
	return n + (least ? least : 1);
}

static bool marks_within(const struct shadow *s, long from, long n)
{
	for (long i = from; i <= from + n; i++)
		if (object_at(s, i) <= 0 && !(s->end_known && i >= s->count))
			return true;
	return from < 0;
}

static void learn_blocks(struct shadow *s, long size, long done)
{
	s->mark_ahead = marks_within(s, s->place, shadow_blocks_asked(s, size));
	done += s->part;
	s->part = done % s->block;
	if (s->place >= 0)
		s->place += done / s->block;
}

static void learn_nothing_read(struct shadow *s)
{
	leave_block(s);
	s->mark_ahead = false;
	if (object_at(s, s->place) == A_MARK)
		s->place++;
	else if (!at_end(s))
		s->place = UNKNOWN;
}

static void learn_read(struct shadow *s, const struct step *step, const char *answer)
{
	long size = step_number(step, 2, 0), done = strtol(answer, NULL, 10);

	if (!size || (refused(answer) && strcmp(answer, "-1 EINVAL")))
		return;
	if (s->block && size % s->block)
		s->buffered = true;
	if (refused(answer))
		return;
	s->writing = false;
	s->read_failed = !strcmp(answer, "-1 EIO");
	if (unreal(s, READ)) {
		s->place = UNKNOWN;
		s->mark_ahead = true;
	} else if (!done) {
		learn_nothing_read(s);
	} else if (done > 0 && s->block) {
		learn_blocks(s, size, done);
	} else if (done > 0 || (!s->block && !strcmp(answer, "-1 ENOMEM"))) {
		if (s->place >= 0)
			s->place++;
	} else if (!at_end(s)) {
		s->place = UNKNOWN;
	}
}

/* ---- operations ---- */

static long marks_forward(const struct shadow *s, long n)
{
	long at = s->place;

	for (; n > 0 && at >= 0; at++) {
		if (object_at(s, at) == UNKNOWN)
			return UNKNOWN;
		n -= object_at(s, at) == A_MARK;
	}
	return at;
}

static long marks_back(const struct shadow *s, long n)
{
	long at = s->place;

	while (n > 0 && at >= 0) {
		if (object_at(s, --at) == UNKNOWN)
			return UNKNOWN;
		n -= object_at(s, at) == A_MARK;
	}
	return at;
}

static long records(const struct shadow *s, long n)
{
	long at = s->place, to = at + n;

	for (long i = n > 0 ? at : to; i < (n > 0 ? to : at); i++)
		if (object_at(s, i) <= 0)
			return UNKNOWN;
	return at < 0 ? UNKNOWN : to;
}

/* Where a motion that succeeded has led. */
static long moved(const struct shadow *s, const struct step *step)
{
	long n = step_number(step, 3, 1), at;

	/* The mark that it has just written does not count. */
	if (s->writing && (step_is_op(step, "MTBSF") || step_is_op(step, "MTBSFM")))
		n++;
	if (step_is_op(step, "MTSEEK"))
		return n;
	if (step_is_op(step, "MTEOM"))
		return s->end_known ? s->count : UNKNOWN;
	if (n <= 0)
		return n || step_is_op(step, "MTFSFM") || step_is_op(step, "MTBSFM") ?
			UNKNOWN : s->place;
	if (step_is_op(step, "MTFSF"))
		return marks_forward(s, n);
	if (step_is_op(step, "MTBSF"))
		return marks_back(s, n);
	if (step_is_op(step, "MTFSFM")) {
		at = marks_forward(s, n);
		return at > 0 ? at - 1 : UNKNOWN;
	}
	if (step_is_op(step, "MTBSFM")) {
		at = marks_back(s, n);
		return at >= 0 ? at + 1 : UNKNOWN;
	}
	return records(s, step_is_op(step, "MTFSR") ? n : -n);
}

static void learn_marks(struct shadow *s, const struct step *step, const char *answer)
{
	long n = step_number(step, 3, 1);

	if (unreal(s, MARKS) || failed(answer)) {
		forget(s, s->place);
		s->place = UNKNOWN;
		return;
	}
	while (n-- > 0)
		put(s, A_MARK);
}

static void learn_erase(struct shadow *s, const char *answer)
{
	forget(s, s->place);
	s->end_known = !failed(answer) && s->place >= 0 && s->count == s->place;
}

/* The mark that is written before the tape moves. */
static void automatic_mark(struct shadow *s, const char *answer)
{
	if (!s->writing)
		return;
	if (unreal(s, MARKS) || failed(answer) || s->doubtful) {
		forget(s, s->place);
		s->place = UNKNOWN;
	} else {
		put(s, A_MARK);
	}
}

static void learn_unload(struct shadow *s, const char *answer)
{
	if (failed(answer))
		return;
	s->loaded = false;
	s->unloaded = true;
	s->place = 0;
}

static void learn_load(struct shadow *s, const char *answer)
{
	bool read_only = strcmp(answer, "-1 EROFS") == 0;

	s->place = failed(answer) && !read_only ? UNKNOWN : 0;
	if (s->place < 0)
		return;
	s->loaded = true;
	s->unloaded = false;
	s->empty = false;
}

static void learn_motion(struct shadow *s, const struct step *step, const char *answer)
{
	static const char *const moves[] = {
		"MTFSF", "MTBSF", "MTFSFM", "MTBSFM", "MTFSR", "MTBSR", "MTSEEK", "MTEOM",
	};

	if (is_one_of(step, moves, SIZE(moves)))
		s->place = failed(answer) ? UNKNOWN : moved(s, step);
	else if (step_is_op(step, "MTREW") || step_is_op(step, "MTRETEN"))
		s->place = failed(answer) ? UNKNOWN : 0;
	else if (step_is_op(step, "MTWEOF") || step_is_op(step, "MTWEOFI"))
		learn_marks(s, step, answer);
	else if (step_is_op(step, "MTERASE"))
		learn_erase(s, answer);
	else if (step_is_op(step, "MTOFFL") || step_is_op(step, "MTUNLOAD"))
		learn_unload(s, answer);
	else if (step_is_op(step, "MTLOAD"))
		learn_load(s, answer);
	else if (failed(answer))
		s->place = UNKNOWN;
}

static void learn_modes(struct shadow *s, const struct step *step)
{
	unsigned long n = (unsigned long)step_number(step, 3, 1);

	if (step_is_op(step, "MTSETBLK"))
		s->block = (long)n;
	if (!step_is_op(step, "MTSETDRVBUFFER"))
		return;
	if (n >> 28 == 1)
		s->options = n & 0xfffffff;
	else if (n >> 28 == 3)
		s->options |= n & 0xfffffff;
	else if (n >> 28 == 4)
		s->options &= ~n;
}

static void learn_op(struct shadow *s, const struct step *step, const char *answer)
{
	static const char *const mark_first[] = {
		"MTREW", "MTOFFL", "MTSEEK", "MTBSF", "MTBSFM",
	};
	static const char *const mark_later[] = {
		"MTNOP", "MTSETBLK", "MTSETDENSITY", "MTSETDRVBUFFER", "MTWSM", "MTSETPART",
	};

	bool first = is_one_of(step, mark_first, SIZE(mark_first));

	s->file_known = s->block_known = step_is_op(step, "MTREW") && !failed(answer);
	leave_block(s);
	s->mark_ahead = false;
	s->read_failed &= is_one_of(step, mark_later, SIZE(mark_later));
	if (!failed(answer))
		learn_modes(s, step);
	if (first && !refused(answer))
		automatic_mark(s, answer);
	if (!refused(answer) || step_is_op(step, "MTLOAD"))
		learn_motion(s, step, answer);
	if (first && failed(answer))
		s->doubtful = true;
	else if (!is_one_of(step, mark_later, SIZE(mark_later)))
		s->writing = false;
}

/* ---- sessions ---- */

static void learn_open(struct shadow *s, const struct step *step, const char *answer)
{
	if (s->open || strncmp(answer, "ok", 2))
		return;
	s->open = true;
	s->read_failed = false;
	s->file_known = s->block_known = false;
	s->nonblocking = strchr(step->words[3], 'n');
	s->read_only = !strchr(step->words[3], 'w');
	s->rewinding = step->words[2][0] != 'n';
	s->empty = !s->loaded || s->not_ready;
	s->unloaded = false;
	s->attention = false;
	s->writing = false;
	s->buffered = false;
	s->mark_ahead = false;
}

static void learn_close(struct shadow *s, const char *answer)
{
	bool two = s->writing && s->options & OPTION_TWO_FM;

	leave_block(s);
	automatic_mark(s, answer);
	if (two && !failed(answer)) {
		put(s, A_MARK);
		s->place -= s->place > 0;
	}
	if (failed(answer) || s->options & OPTION_SYSV)
		s->place = UNKNOWN;
	else if (s->rewinding)
		s->place = 0;
	s->open = false;
	s->writing = false;
	s->doubtful = false;
}

static void learn_pos(struct shadow *s, const char *answer)
{
	long number = strtol(answer, NULL, 10);

	leave_block(s);
	s->mark_ahead = false;
	if (failed(answer)) {
		s->place = UNKNOWN;
		return;
	}
	if ((s->place >= 0 && s->place != number) || (s->end_known && number > s->count)) {
		s->mistakes++;
		forget(s, number < s->place ? number : s->place);
	}
	s->place = number;
}

static void learn_stat(struct shadow *s, const char *answer)
{
	const char *modes = strstr(answer, "dsreg=");

	leave_block(s);
	s->mark_ahead = false;
	s->file_known = strstr(answer, "f=") && !strstr(answer, "f=-");
	s->block_known = strstr(answer, "b=") && !strstr(answer, " b=-");
	if (modes)
		s->block = strtol(modes + 6, NULL, 16) & 0xffffff;
}

static void set_attention(struct shadow *s, long asc)
{
	s->attention = true;
	s->attention_asc = asc;
}

static void learn_ctl(struct shadow *s, const struct step *step)
{
	if (step_is_ctl(step, "eject")) {
		s->loaded = false;
		s->place = 0;
	} else if (step_is_ctl(step, "insert")) {
		s->loaded = true;
		s->place = 0;
		set_attention(s, 0x28);
	} else if (step_is_ctl(step, "wp")) {
		s->protected = step_number(step, 2, 0);
	} else if (step_is_ctl(step, "ua")) {
		set_attention(s, step_hex(step, 2));
	} else if (step_is_ctl(step, "notready")) {
		s->not_ready = step_number(step, 2, 0);
	} else if (step_is_ctl(step, "fail")) {
		s->failing = step_hex(step, 2);
		s->failures = step_number(step, 7, 0);
	} else if (step_is_ctl(step, "blank")) {
		shadow_reset(s);
	}
}

void shadow_reset(struct shadow *s)
{
	unsigned long mistakes = s->mistakes;

	memset(s, 0, offsetof(struct shadow, objects));
	memset(&s->count, 0, sizeof(*s) - offsetof(struct shadow, count));
	s->mistakes = mistakes;
	s->loaded = true;
	s->end_known = true;
	s->options = 0x107;
	set_attention(s, 0x28);
}

/*
 * The drive was asked, and so has told its attention.  st fails many a read and
 * write without asking.
 */
static bool drive_asked(const struct step *step, const char *answer)
{
	static const char *const asking[] = {
		"MTREW", "MTRETEN", "MTWEOF", "MTWEOFI", "MTFSF", "MTBSF", "MTFSFM",
		"MTBSFM", "MTFSR", "MTBSR", "MTEOM", "MTSEEK", "MTERASE",
	};

	if (refused(answer))
		return false;
	if (step_is(step, "read") || step_is(step, "write"))
		return strtol(answer, NULL, 10) > 0;
	return is_one_of(step, asking, SIZE(asking));
}

void shadow_learn(struct shadow *s, const struct step *step, const char *answer)
{
	if (step_is(step, "ctl")) {
		if (!*answer)
			learn_ctl(s, step);
		return;
	}
	if (drive_asked(step, answer))
		s->attention = false;
	if (step_is(step, "open"))
		learn_open(s, step, answer);
	if (!s->open)
		return;
	if (step_is(step, "close"))
		learn_close(s, answer);
	else if (step_is(step, "write"))
		learn_write(s, step, answer);
	else if (step_is(step, "read"))
		learn_read(s, step, answer);
	else if (step_is(step, "op"))
		learn_op(s, step, answer);
	else if (step_is(step, "pos"))
		learn_pos(s, answer);
	else if (step_is(step, "stat"))
		learn_stat(s, answer);
}
