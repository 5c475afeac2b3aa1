// SPDX-License-Identifier: GPL-2.0-or-later
/* A drive and "mem:" beside it: see both.h. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "both.h"

static struct pmt_command choose(const struct rig *rig)
{
	static const uint16_t ops[] = {
		PMT_OP_WRITE, PMT_OP_WRITE, PMT_OP_WRITE, PMT_OP_READ, PMT_OP_READ, PMT_OP_READ,
		PMT_OP_WRITE_FILEMARKS, PMT_OP_SPACE, PMT_OP_SPACE, PMT_OP_LOCATE,
		PMT_OP_REWIND, PMT_OP_ERASE, PMT_OP_TEST, PMT_OP_LOAD,
	};
	static const uint32_t spaces[] = { PMT_SPACE_RECORDS, PMT_SPACE_FILEMARKS, PMT_SPACE_EOD };
	struct pmt_command cmd = {
		.op = ops[(size_t)random() % (sizeof(ops) / sizeof(ops[0]))],
		.flags = PMT_CMD_POSITIONED, .place = rig->place,
	};

	if (cmd.op == PMT_OP_WRITE || cmd.op == PMT_OP_READ)
		cmd.length = 1 + (uint32_t)(random() % BOTH_RECORD);
	if (cmd.op == PMT_OP_WRITE_FILEMARKS)
		cmd.count = random() % 4;
	if (cmd.op == PMT_OP_LOCATE)
		cmd.count = random() % 30;
	if (cmd.op == PMT_OP_ERASE && random() % 4)
		cmd.op = PMT_OP_TEST;
	if (cmd.op == PMT_OP_LOAD && random() % 8)
		cmd.op = PMT_OP_TEST;
	if (cmd.op == PMT_OP_SPACE) {
		cmd.argument = spaces[random() % 3];
		cmd.count = random() % 9 - 4;
		if (cmd.argument == PMT_SPACE_EOD)
			cmd.count = 0;
	}
	return cmd;
}

static bool same_place(const struct pmt_place *a, const struct pmt_place *b)
{
	return a->generation == b->generation && a->lbn == b->lbn && a->file == b->file &&
	       a->block == b->block;
}

static struct both *pair(const char *name)
{
	struct both *b = calloc(1, sizeof(*b));
	char text[40];

	snprintf(text, sizeof(text), "mem:%s", name);
	rig_init(&b->rig);
	rig_init(&b->ref);
	ck_assert_int_eq(rig_open(&b->ref, text), 0);
	return b;
}

struct both *both_new(const char *spec, const char *name)
{
	struct both *b = pair(name);

	ck_assert_int_eq(rig_open(&b->rig, spec), 0);
	return b;
}

struct both *both_take(struct pmt_drive *drive, const char *name)
{
	struct both *b = pair(name);

	ck_assert_int_eq(rig_take(&b->rig, drive), 0);
	return b;
}

void both_free(struct both *b)
{
	rig_close(&b->rig);
	rig_close(&b->ref);
	free(b);
}

bool both_do(struct both *b)
{
	struct pmt_command cmd = choose(&b->ref);
	const struct pmt_result *got = &b->rig.result, *want = &b->ref.result;

	for (uint32_t i = 0; i < cmd.length; i++)
		b->data[0][i] = b->data[1][i] = cmd.op == PMT_OP_WRITE ? (char)random() : 0;
	b->steps++;
	b->op = cmd.op;
	rig_do(&b->ref, cmd, b->data[1]);
	rig_do(&b->rig, cmd, b->data[0]);
	if (got->status == PMT_STATUS_CHECK && got->key == PMT_KEY_HARDWARE)
		return false;
	if (got->status != want->status || got->key != want->key || got->asc != want->asc ||
	    got->ascq != want->ascq || got->sense != want->sense ||
	    got->residue != want->residue || !same_place(&got->place, &want->place))
		ck_abort_msg("step %d, op %u count %lld: status %u key %u %02x/%02x lbn %lld, not "
			     "%u %u %02x/%02x %lld", b->steps, cmd.op,
			     (long long)cmd.count, got->status, got->key, got->asc, got->ascq,
			     (long long)got->place.lbn, want->status, want->key, want->asc,
			     want->ascq, (long long)want->place.lbn);
	ck_assert_int_eq(memcmp(b->data[0], b->data[1], cmd.length), 0);
	return true;
}
