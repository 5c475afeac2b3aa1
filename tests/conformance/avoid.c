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
 *			without a mark before it, or if the tape is gone, st loses the
 *			blocks, or has read them before
 *	mark_twice	st counts a mark twice that it has seen and the reader has not,
 *			if the next operation spaces over marks, or leaves it behind
 *	load_of_loaded	st keeps the counters of before
 *	stale_state	without a tape st shows bits of the former one
 *	large_count	st cuts the counts of SPACE and WRITE FILEMARKS to 24 bits
 *	counted_wrongly	st adds where it should subtract: of a negative count that meets
 *			an end, of records back to the beginning from an unknown block,
 *			over a mark from an unknown file; and it believes that a SPACE
 *			which failed without a number has done it all, to below 0
 *	no_information	of blocks that do not fit, told without their number, st takes all
 *			for written
 *	other_commands	a failure of a SCSI command that pmt has no need of there: SPACE
 *			behind st's reading ahead of blocks, between two marks, and over
 *			set marks; WRITE FILEMARKS for a set mark; LOAD for MTRETEN; and
 *			UNLOAD where a door is locked and nothing behind it
 *	opened_unready	the counters of a tape that became ready stay unknown to st
 *	changed_open	another medium that is met in a session: in older kernels the next
 *			one does not know of it
 *	mark_of_nothing	behind a read, a write that the drive never sees (ENOSPC, the end
 *			being known) has st write a filemark at close
 *	kept_protection	a session that met a protected tape stays so to st, whatever is
 *			loaded
 *	same_tape	another medium is told, but it is the same, and somewhere: st says
 *			at the beginning
 *	unasked		a condition that is pending, or a tape that is gone: for MTIOCGET
 *			and MTIOCPOS the drive is not asked
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
	if (s->place < 0 || !s->loaded)
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
		"MTFSF", "MTFSFM", "MTEOM", "MTBSF", "MTBSFM", "MTCOMPRESSION", "MTLOCK",
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
	return step_is(step, "stat") && s->open && (s->unloaded || s->empty);
}

static bool large_count(const struct shadow *s, const struct step *step, bool old)
{
	long n = step_number(step, 3, 1);

	(void)s;
	(void)old;
	return step_is(step, "op") && !step_is_op(step, "MTSEEK") &&
	       !step_is_op(step, "MTSETDRVBUFFER") && labs(n) > MOST_COUNTED;
}

static bool other_commands(const struct shadow *s, const struct step *step, bool old)
{
	bool spacing = s->failures && s->failing == 0x11;
	bool spaces = s->block || s->options & OPTION_TWO_FM;

	(void)old;
	if (step_is_ctl(step, "fail"))
		return step_hex(step, 2) == 0x11 && spaces;
	if (step_is_op(step, "MTRETEN"))
		return s->failures && (s->failing == 0x01 || s->failing == 0x1b);
	if (!s->loaded && s->open && step_is_op(step, "MTUNLOAD"))
		return true;
	if (s->block && s->open && step_is_ctl(step, "eject"))
		return true;
	if (step_is_op(step, "MTWSM"))
		return s->attention || (s->failures && s->failing == 0x10);
	if (step_is_op(step, "MTFSS") || step_is_op(step, "MTBSS"))
		return s->attention || spacing;
	return spacing && (step_is_op(step, "MTSETBLK") ||
			   step_is_op(step, "MTSETDRVBUFFER"));
}

static bool opened_unready(const struct shadow *s, const struct step *step, bool old)
{
	(void)old;
	return s->not_ready && (step_is_op(step, "MTLOAD") ||
				(s->loaded && step_is(step, "open")));
}

static bool changed_open(const struct shadow *s, const struct step *step, bool old)
{
	return old && step_is_ctl(step, "insert") && s->open;
}

static bool mark_of_nothing(const struct shadow *s, const struct step *step, bool old)
{
	(void)old;
	return s->read_failed && step_is(step, "write");
}

static bool kept_protection(const struct shadow *s, const struct step *step, bool old)
{
	(void)old;
	return s->open && step_is_ctl(step, "wp");
}

static bool same_tape(const struct shadow *s, const struct step *step, bool old)
{
	(void)s;
	(void)old;
	return step_is_ctl(step, "ua") && step_hex(step, 2) == 0x28;
}

/* Whether so many records back there is a mark, or the beginning. */
static bool meets_any(const struct shadow *s, long n)
{
	if (s->place < 0 || s->doubtful)
		return true;
	for (long i = s->place - 1; n > 0; i--, n--)
		if (i < 0 || i >= s->count || s->objects[i] <= 0)
			return true;
	return false;
}

static bool space_fails(const struct shadow *s)
{
	return s->attention || !s->loaded || (s->failures && s->failing == 0x11);
}

static bool counted_wrongly(const struct shadow *s, const struct step *step, bool old)
{
	long n = step_number(step, 3, 1);

	(void)old;
	if (!step_is(step, "op") || step_is_op(step, "MTSETBLK") ||
	    step_is_op(step, "MTSETDRVBUFFER"))
		return false;
	if (n < 0 || (space_fails(s) && (n > 1 || step_is_op(step, "MTEOM"))))
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
	if (is_look(step) && s->open && !s->loaded)
		return s->block || step_is(step, "pos");
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
	{ "other_commands", other_commands },
	{ "opened_unready", opened_unready },
	{ "changed_open", changed_open },
	{ "mark_of_nothing", mark_of_nothing },
	{ "kept_protection", kept_protection },
	{ "same_tape", same_tape },
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
