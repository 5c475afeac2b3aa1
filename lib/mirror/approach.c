// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The approach: the keeper takes the copies to a place before anything is written
 * there.
 *
 * Unless all copies are known to stand there, they are taken there first (SPACE by 0
 * records, then TEST), before anything is written anywhere.  A copy that does not get
 * there has failed.  The copies that do are twins up to the place; what they have
 * behind it is cut by writing:
 *
 *   - a write that continues (not POSITIONED), or at the beginning: whatever a
 *     copy has behind the place is the tail that it wrote ahead and that nobody
 *     was told is written; it may differ;
 *   - a write where the application has positioned: refused (NOT READY 04/03)
 *     if the place is the end of data of one copy and another is longer: they
 *     are no twins, and appending to the shorter one would cut the longer.  But
 *     if they were when the last command was done, and others wait since, what
 *     one has more is of these, which an earlier server had begun.
 *
 * Copies with different ends are read: the longest is the reader.  A copy that
 * ends before the session's place thus fails at the first write.
 *
 * What is known of the copies' ends is of one partition; before a LOCATE into another
 * one all copies are taken there and asked again.  FORMAT is done by none unless all
 * say that they can.
 */
#include "mirror.h"

/* What a copy has behind the place was written by a command that is not done. */
static bool is_ours(const struct mirror *m, const struct pmt_command *cmd)
{
	return m->twins || !(cmd->flags & PMT_CMD_POSITIONED);
}

/* Where the application appends, one copy ends and another does not. */
static bool are_twins(const struct mirror *m, const struct pmt_command *cmd)
{
	bool ends = false, goes_on = false;

	if (is_ours(m, cmd) || cmd->op == PMT_OP_CUT || cmd->place.lbn == PMT_UNKNOWN ||
	    cmd->place.lbn == 0)
		return true;
	for (unsigned int i = 0; i < m->n; i++) {
		const struct part *part = &m->copies[i].own;
		uint64_t eod = part->req.result.eod;

		if (m->copies[i].state != COPY_OK || !mirror_is_good(part) ||
		    eod == PMT_UNKNOWN ||
		    part->req.result.place.generation != cmd->place.generation)
			continue;
		ends = ends || eod == cmd->place.lbn;
		goes_on = goes_on || eod > cmd->place.lbn;
	}
	return !ends || !goes_on;
}

static bool approach_failed(struct mirror *m, struct pmt_command *cmd)
{
	uint64_t failed = mirror_failures(m, NULL);

	if (mirror_may_drop(m, failed)) {
		mirror_drop(m, NULL, failed);
		return false;
	}
	for (unsigned int i = 0; i < m->n; i++)
		if (is_healthy(&m->copies[i]) && mirror_is_check(&m->copies[i].own)) {
			mirror_refuse_first(m, cmd, &m->copies[i].own.req.result);
			return true;
		}
	return false;
}

static void approach_write(struct mirror *m, struct pmt_command *cmd)
{
	static const struct pmt_result no_twins = { .key = PMT_KEY_NOT_READY,
						    .asc = 0x04, .ascq = 0x03 };
	struct pmt_command go = { .op = PMT_OP_SPACE }, test = { .op = PMT_OP_TEST };

	mirror_resolve_place(m, cmd);
	go.place = test.place = cmd->place;
	mirror_ask_all(m, &go);
	if (approach_failed(m, cmd))
		return;
	mirror_ask_all(m, &test);
	mirror_note_ends(m, cmd->place.partition);
	m->tails = is_ours(m, cmd) && !mirror_end_alike(m);
	m->twins = m->twins || mirror_end_alike(m);
	if (are_twins(m, cmd)) {
		m->stand = cmd->place;
		m->stands = true;
		return;
	}
	mirror_warn_ends(m);
	mirror_refuse_first(m, cmd, &no_twins);
}

/* A copy that does not get there is left to the LOCATE itself, or to writing. */
static void approach_partition(struct mirror *m, const struct pmt_command *cmd)
{
	struct pmt_place begin = { .generation = cmd->place.generation,
				   .partition = cmd->argument };
	struct pmt_command go = { .op = PMT_OP_SPACE, .place = begin };
	struct pmt_command test = { .op = PMT_OP_TEST, .place = begin };

	mirror_ask_all(m, &go);
	mirror_ask_all(m, &test);
	mirror_note_ends(m, cmd->argument);
	m->twins = mirror_end_alike(m);
	mirror_warn_ends(m);
	mirror_choose_reader(m);
	mirror_find_ends(m, cmd->argument);
}

static void approach_format(struct mirror *m, struct pmt_command *cmd)
{
	struct pmt_command may = *cmd;

	may.op = PMT_OP_MAY_FORMAT;
	mirror_ask_all(m, &may);
	m->approved = !approach_failed(m, cmd);
}

void mirror_approach(struct mirror *m)
{
	struct pmt_command cmd = m->queue->cmd;

	m->approach = false;
	m->stands = false;
	if (cmd.op == PMT_OP_FORMAT)
		approach_format(m, &cmd);
	else if (cmd.op == PMT_OP_LOCATE)
		approach_partition(m, &cmd);
	else
		approach_write(m, &cmd);
	m->stopped = false;
}
