// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * avoid: steps at which pmt differs from st on purpose
 *
 * Each reason is a function that says whether a step has it, at what the shadow
 * knows.  It is asked when a step is made up, and again when a sequence is
 * shortened, as the steps left may mean something else then.  Where the shadow
 * does not know, the step is left out.
 *
 *	waiting_open	not a difference: it would take two minutes
 *	blocks_to_end	of a read of several blocks that runs into the end of data
 *			without a mark before it, st loses the blocks
 *	mark_twice	st counts a mark twice that it has seen and the reader has not,
 *			if the next operation spaces over marks
 *	load_of_loaded	st keeps the counters of before
 *	stale_state	after an unload st shows bits of the former tape
 *	large_count	st cuts the counts of SPACE and WRITE FILEMARKS to 24 bits
 *	counted_wrongly	st adds where it should subtract: of a negative count that meets
 *			an end, of records back to the beginning from an unknown block,
 *			over a mark from an unknown file; and it believes a failing
 *			SPACE on the way to the end
 *	no_information	of blocks that do not fit, told without their number, st takes all
 *			for written
 *	unasked		a condition that is pending: for MTIOCGET and MTIOCPOS the drive
 *			is not asked
 *	reset		what UNIT ATTENTION other than 28 does differs by kernel
 *	loaded_later	of a session that was opened without a tape, for reading only
 *			st forgets that; and in older kernels the counters stay unknown
 *	end_with_eom	end of data told with EOM
 *	write_behind	st returns before the drive has it: of a misaligned buffer, above
 *			its segments, and after a read of a part of a block
 */
#include "avoid.h"

#include "shadow.h"

#include <stdlib.h>
#include <string.h>

#define MOST_DIRECT (1 << 20)
#define MOST_COUNTED 0x7fffff

static bool reads(const struct step *step)
{
	return step_is(step, "read") && step_number(step, 2, 0) > 0;
}

static bool is_look(const struct step *step)
{
	return step_is(step, "stat") || step_is(step, "pos");
}

static bool waiting_open(const struct shadow *s, const struct step *step, bool old)
{
	bool waits = !s->loaded || s->not_ready;

	(void)old;
	if (step_is_op(step, "MTLOAD"))
		return waits && !s->nonblocking && s->not_ready;
	return waits && step_is(step, "open") && !strchr(step->words[3], 'n');
}

static bool blocks_to_end(const struct shadow *s, const struct step *step, bool old)
{
	long asked;

	(void)old;
	if (!reads(step) || !s->block)
		return false;
	if (s->place < 0)
		return true;
	asked = shadow_blocks_asked(s, step_number(step, 2, 0));
	for (long i = s->place; i < s->place + asked; i++) {
		if (i >= s->count)
			return !s->end_known || i > s->place || s->part;
		if (s->objects[i] == UNKNOWN)
			return true;
		if (s->objects[i] != s->block)
			return false;
	}
	return false;
}

static bool mark_twice(const struct shadow *s, const struct step *step, bool old)
{
	static const char *const names[] = {
		"MTFSF", "MTFSFM", "MTEOM", "MTBSF", "MTBSFM",
	};

	(void)old;
	for (unsigned int i = 0; s->mark_ahead && i < sizeof(names) / sizeof(names[0]); i++)
		if (step_is_op(step, names[i]))
			return true;
	return false;
}

static bool load_of_loaded(const struct shadow *s, const struct step *step, bool old)
{
	(void)old;
	return step_is_op(step, "MTLOAD") && s->loaded;
}

static bool stale_state(const struct shadow *s, const struct step *step, bool old)
{
	(void)old;
	return step_is(step, "stat") && s->open && s->unloaded;
}

static bool large_count(const struct shadow *s, const struct step *step, bool old)
{
	long n = step_number(step, 3, 1);

	(void)s;
	(void)old;
	return step_is(step, "op") && !step_is_op(step, "MTSEEK") &&
	       !step_is_op(step, "MTSETDRVBUFFER") && labs(n) > MOST_COUNTED;
}

/* Whether so many records back there is a mark, or the beginning. */
static bool meets_any(const struct shadow *s, long n)
{
	if (s->place < 0 || s->doubtful)
		return true;
	for (long i = s->place - 1; n > 0; i--, n--)
		if (i < 0 || s->objects[i] <= 0)
			return true;
	return false;
}

static bool counted_wrongly(const struct shadow *s, const struct step *step, bool old)
{
	long n = step_number(step, 3, 1);

	(void)old;
	if (!step_is(step, "op") || step_is_op(step, "MTSETBLK") ||
	    step_is_op(step, "MTSETDRVBUFFER"))
		return false;
	if (n < 0 || (step_is_op(step, "MTEOM") && s->failures && s->failing == 0x11))
		return true;
	return step_is_op(step, "MTBSR") && !(s->file_known && s->block_known) &&
	       meets_any(s, n);
}

static bool no_information(const struct shadow *s, const struct step *step, bool old)
{
	(void)old;
	return s->block && step_is(step, "write") && s->failures && s->failing == 0x0a;
}

static bool unasked(const struct shadow *s, const struct step *step, bool old)
{
	(void)old;
	return is_look(step) && s->open &&
	       (s->attention || (s->failures && s->failing == 0x34));
}

static bool reset(const struct shadow *s, const struct step *step, bool old)
{
	if (!old)
		return false;
	if (step_is_ctl(step, "ua"))
		return step_hex(step, 2) == 0x29;
	return (step_is(step, "open") || step_is_op(step, "MTLOAD")) && s->attention &&
	       s->attention_asc != 0x28;
}

static bool loaded_later(const struct shadow *s, const struct step *step, bool old)
{
	return step_is_op(step, "MTLOAD") && s->empty && (old || s->read_only);
}

static bool end_with_eom(const struct shadow *s, const struct step *step, bool old)
{
	(void)s;
	(void)old;
	return step_is_ctl(step, "eodeom") && step_number(step, 2, 0);
}

static bool write_behind(const struct shadow *s, const struct step *step, bool old)
{
	(void)old;
	if (step_is(step, "writeu"))
		return true;
	return step_is(step, "write") &&
	       (s->buffered || step_number(step, 2, 0) > MOST_DIRECT);
}

static const struct {
	const char *name;
	bool (*has)(const struct shadow *, const struct step *, bool old);
} reasons[] = {
	{ "waiting_open", waiting_open },
	{ "blocks_to_end", blocks_to_end },
	{ "mark_twice", mark_twice },
	{ "load_of_loaded", load_of_loaded },
	{ "stale_state", stale_state },
	{ "large_count", large_count },
	{ "counted_wrongly", counted_wrongly },
	{ "no_information", no_information },
	{ "unasked", unasked },
	{ "reset", reset },
	{ "loaded_later", loaded_later },
	{ "end_with_eom", end_with_eom },
	{ "write_behind", write_behind },
};

const unsigned int avoid_count = sizeof(reasons) / sizeof(reasons[0]);

const char *avoid_name(unsigned int reason)
{
	return reasons[reason].name;
}

int avoid_step(const struct shadow *s, const struct step *step, bool old_kernel)
{
	for (unsigned int i = 0; i < avoid_count; i++)
		if (reasons[i].has(s, step, old_kernel))
			return (int)i;
	return -1;
}
