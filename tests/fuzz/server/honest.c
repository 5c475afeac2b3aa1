// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * honest: what a server answers that keeps to the rules
 *
 * Its tape has the lengths of records, and no bytes.  What the kernel sends is
 * looked at, too: it must be a command, with nothing of the kernel's in it.
 */
#include <poll.h>

#include "server.h"

static void check(struct pmt_result *res, uint8_t key, uint8_t asc, uint8_t sense)
{
	res->status = PMT_STATUS_CHECK;
	res->key = key;
	res->asc = asc;
	res->sense = sense;
}

static void put(uint32_t length)
{
	if (h.at < RECORDS) {
		h.records[h.at++] = length;
		h.end = h.at;
	}
}

static void honest_write(const struct pmt_command *cmd)
{
	uint32_t size = cmd->block_size ? cmd->block_size : cmd->length;

	for (uint32_t done = 0; size && done < cmd->length; done += size)
		put(size);
}

static void honest_read(const struct pmt_command *cmd, struct pmt_result *res)
{
	uint32_t blocks = cmd->block_size ? cmd->length / cmd->block_size : 1, i;
	int64_t left;

	for (i = 0; i < blocks; i++) {
		left = cmd->block_size ? blocks - i : cmd->length;
		if (h.at >= h.end) {
			check(res, PMT_KEY_BLANK, 0, 0);
		} else if (!h.records[h.at]) {
			h.at++;
			check(res, PMT_KEY_NONE, 0, PMT_SENSE_FILEMARK);
		} else if (!cmd->block_size) {
			left = (int64_t)cmd->length - h.records[h.at++];
			if (left < 0)
				check(res, PMT_KEY_NONE, 0, PMT_SENSE_ILI);
		} else {
			h.at++;
			continue;
		}
		res->residue = left;
		return;
	}
}

static void honest_space(const struct pmt_command *cmd, struct pmt_result *res)
{
	int64_t wanted = (int64_t)h.at + cmd->count;

	if (cmd->argument == PMT_SPACE_EOD) {
		h.at = h.end;
	} else if (wanted < 0 || wanted > (int64_t)h.end) {
		h.at = wanted < 0 ? 0 : h.end;
		check(res, wanted < 0 ? PMT_KEY_NONE : PMT_KEY_BLANK, 0,
		      wanted < 0 ? PMT_SENSE_EOM : 0);
		res->residue = cmd->count < 0 ? -cmd->count : cmd->count;
	} else {
		h.at = (uint32_t)wanted;
	}
}

static void honest_medium(const struct pmt_command *cmd, struct pmt_result *res)
{
	if (cmd->op == PMT_OP_LOAD || cmd->op == PMT_OP_UNLOAD || cmd->op == PMT_OP_FORMAT) {
		h.generation++;
		h.at = 0;
		h.loaded = cmd->op != PMT_OP_UNLOAD;
	}
	if (cmd->op == PMT_OP_FORMAT)
		h.end = 0;
	if (!h.loaded && cmd->op != PMT_OP_UNLOAD)
		check(res, PMT_KEY_NOT_READY, 0x3a, 0);
	res->medium_flags = h.loaded ? h.medium_flags : 0;
	for (int i = 0; i < PMT_MEDIUM_WORDS; i++)
		res->medium[i] = h.loaded;
}

static void execute(const struct pmt_command *cmd, struct pmt_result *res)
{
	if (cmd->op != PMT_OP_TEST && cmd->op != PMT_OP_MODE && cmd->place.lbn <= h.end)
		h.at = (uint32_t)cmd->place.lbn;
	switch (cmd->op) {
	case PMT_OP_WRITE:
		honest_write(cmd);
		break;
	case PMT_OP_READ:
		honest_read(cmd, res);
		break;
	case PMT_OP_WRITE_FILEMARKS:
		for (int64_t i = 0; i < cmd->count && h.at < RECORDS; i++)
			put(0);
		break;
	case PMT_OP_SPACE:
		honest_space(cmd, res);
		break;
	case PMT_OP_LOCATE:
		h.at = (uint64_t)cmd->count < h.end ? (uint32_t)cmd->count : h.end;
		break;
	case PMT_OP_REWIND:
		h.at = 0;
		break;
	case PMT_OP_ERASE:
		h.end = h.at;
		break;
	default:
		honest_medium(cmd, res);
	}
}

static void place_after(struct pmt_place *place)
{
	uint64_t file = 0, block = 0;

	for (uint32_t i = 0; i < h.at && i < RECORDS; i++) {
		block = h.records[i] ? block + 1 : 0;
		file += !h.records[i];
	}
	*place = (struct pmt_place){ .generation = h.generation, .lbn = h.at,
				     .file = file, .block = block };
}

static bool before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

void answer_truly(const struct pmt_command *cmd, struct pmt_result *res)
{
	*res = (struct pmt_result){ .number = cmd->number, .room = PMT_UNKNOWN,
				    .eod = PMT_UNKNOWN, .cookie = (uint32_t)any() };
	if (before(cmd->number, kernel_page()->cancel)) {
		res->status = PMT_STATUS_CANCELLED;
		return;
	}
	if (cmd->place.generation < h.generation)
		check(res, PMT_KEY_ATTENTION, 0x28, 0);
	else
		execute(cmd, res);
	place_after(&res->place);
}

static struct pmt_command *command(uint32_t number)
{
	return (struct pmt_command *)(get(h.area[COMMANDS]) + PMT_PAGE_AREA) +
	       number % h.info.slots;
}

/* What a kernel must not write into the slot of a command. */
static void look_at_command(const struct pmt_command *cmd)
{
	for (size_t i = 0; i < sizeof(cmd->reserved); i++)
		if (cmd->reserved[i])
			bad("command %u: byte %zu of what is reserved", cmd->number, i);
	if (cmd->op == 0 || cmd->op > PMT_OP_MAX || cmd->place.reserved ||
	    cmd->offset >= h.info.data_size || cmd->length > h.info.data_size)
		bad("command %u is none", cmd->number);
}

bool fetch(struct pmt_command *cmd)
{
	struct pollfd poll_fd = { .fd = h.fd, .events = POLLIN };
	uint32_t tail = get(kernel_page()->tail), cancel = get(kernel_page()->cancel);

	if (h.next == tail || (h.frozen && before(cancel, h.exception + 1))) {
		set(server_page()->seen, tail);
		set(server_page()->cancel_seen, cancel);
		set(server_page()->parked, 1);
		poll(&poll_fd, 1, 20);
		return false;
	}
	*cmd = *command(h.next);
	if (cmd->number != h.next)
		bad("command %u in the slot of %u", cmd->number, h.next);
	look_at_command(cmd);
	return true;
}
