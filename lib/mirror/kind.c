// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What kind of command it is: who gets it, and what may be in flight with it; and how
 * much of it a copy has done.
 */
#include "mirror.h"

bool mirror_writes(const struct pmt_command *cmd)
{
	return cmd->op == PMT_OP_WRITE ||
	       (cmd->op == PMT_OP_WRITE_FILEMARKS && cmd->count != 0);
}

bool mirror_changes(const struct pmt_command *cmd)
{
	return mirror_writes(cmd) || cmd->op == PMT_OP_ERASE || cmd->op == PMT_OP_CUT;
}

bool mirror_only_goes(const struct pmt_command *cmd)
{
	return cmd->op == PMT_OP_SPACE && cmd->count == 0 &&
	       cmd->argument == PMT_SPACE_RECORDS;
}

bool mirror_for_reader(const struct pmt_command *cmd)
{
	return cmd->op == PMT_OP_READ || cmd->op == PMT_OP_LOCATE ||
	       (cmd->op == PMT_OP_SPACE && !mirror_only_goes(cmd));
}

bool mirror_streams_behind(const struct pmt_command *cmd, const struct pmt_command *before)
{
	return (mirror_writes(cmd) && mirror_writes(before)) ||
	       (cmd->op == PMT_OP_READ && before->op == PMT_OP_READ);
}

bool mirror_needs_place(const struct pmt_command *cmd)
{
	return mirror_changes(cmd) || cmd->op == PMT_OP_READ ||
	       (cmd->op == PMT_OP_SPACE && cmd->argument != PMT_SPACE_EOD);
}

bool mirror_is_known(const struct pmt_place *place)
{
	return place->lbn != PMT_UNKNOWN ||
	       (place->file != PMT_UNKNOWN && place->block != PMT_UNKNOWN);
}

bool mirror_is_failure(const struct pmt_result *result)
{
	switch (result->key) {
	case PMT_KEY_MEDIUM:
	case PMT_KEY_HARDWARE:
	case PMT_KEY_NOT_READY:
	case PMT_KEY_ABORTED:
	case PMT_KEY_PROTECT:
	case PMT_KEY_ATTENTION:
		return true;
	default:
		return false;
	}
}

uint64_t mirror_units(const struct pmt_command *cmd)
{
	return cmd->op == PMT_OP_WRITE_FILEMARKS ? (uint64_t)cmd->count :
						   pmt_command_records(cmd);
}

void mirror_shorten(struct pmt_command *cmd, uint64_t to)
{
	if (cmd->op == PMT_OP_WRITE_FILEMARKS)
		cmd->count = (int64_t)to;
	else if (cmd->block_size || !to)
		cmd->length = (uint32_t)to * cmd->block_size;
}

struct pmt_place mirror_place_behind(const struct pmt_command *cmd, uint64_t n)
{
	struct pmt_command part = *cmd;

	mirror_shorten(&part, n);
	return pmt_place_after(&part);
}

bool mirror_is_good(const struct part *part)
{
	return part->state == PART_DONE && part->req.result.status == PMT_STATUS_GOOD;
}

bool mirror_is_check(const struct part *part)
{
	return part->state == PART_DONE && part->req.result.status == PMT_STATUS_CHECK;
}

uint64_t mirror_units_done(const struct part *part)
{
	if (mirror_is_good(part))
		return part->asked;
	if (!mirror_is_check(part) || part->req.result.residue < 0)
		return 0;
	if (part->req.cmd.op == PMT_OP_WRITE && !part->req.cmd.block_size)
		return part->req.result.residue ? 0 : part->asked;
	if ((uint64_t)part->req.result.residue > part->asked)
		return 0;
	return part->asked - (uint64_t)part->req.result.residue;
}
