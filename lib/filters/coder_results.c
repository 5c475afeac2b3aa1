// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Coders: results.  What the child and the codec say of the cells of a command becomes
 * its answer, in the application's units, and where the unit stands then.  See coder.c.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "coder_parts.h"

void pmt_coder_note_failure(struct pmt_coder *c, const struct pmt_cell *cell)
{
	const char *op = cell->up ? pmt_op_name(cell->up->cmd.op) : "look before writing,";
	uint64_t lbn = cell->place.lbn;

	c->failures++;
	if (lbn == PMT_UNKNOWN)
		snprintf(c->failure, sizeof(c->failure), "%s: %s", op, cell->why);
	else
		snprintf(c->failure, sizeof(c->failure),
			 "%s at block %" PRIu64 " of partition %u: %s", op, lbn,
			 cell->place.partition, cell->why);
	pmt_log(LOG_ERR, "%s: %s", c->drive.text, c->failure);
}

static void take_warnings(struct pmt_result *result, const struct pmt_result *before)
{
	result->sense |= before->sense & PMT_SENSE_EOM;
	if (result->key == PMT_KEY_NONE && !result->asc && !result->ascq) {
		result->key = before->key;
		result->asc = before->asc;
		result->ascq = before->ascq;
	}
}

/* The application's exception instead of what the child said of the cell. */
static void except(struct pmt_cell *cell, uint8_t key, uint8_t asc, uint8_t ascq)
{
	struct pmt_result *result = &cell->req.result, was = *result;

	pmt_result_check(&cell->req, key, asc, ascq);
	result->place = was.place;
	result->room = was.room;
	result->cookie = was.cookie;
}

static void fail(struct pmt_coder *c, struct pmt_cell *cell)
{
	const struct pmt_place *after = &cell->req.result.place;

	if (cell->place.lbn == PMT_UNKNOWN && after->lbn != PMT_UNKNOWN)
		cell->place.lbn = after->lbn - 1;
	pmt_coder_note_failure(c, cell);
	if (cell->req.cmd.op == PMT_OP_READ && cell->size)
		memset(cell->plain, 0, cell->size);
	except(cell, cell->key, cell->asc, cell->ascq);
}

static void finish_read(struct pmt_coder *c, struct pmt_cell *cell)
{
	const struct pmt_command *cmd = &cell->up->cmd;
	struct pmt_result *result = &cell->req.result;
	bool longer;

	if (result->status == PMT_STATUS_CHECK && result->key == PMT_KEY_BLANK &&
	    c->codec->end)
		cell->rc = c->codec->end(c, cell);
	else if (result->status == PMT_STATUS_GOOD && !cell->rc && c->codec->accept)
		cell->rc = c->codec->accept(c, cell);
	if (cell->rc) {
		fail(c, cell);
		return;
	}
	if (result->status != PMT_STATUS_GOOD)
		return;
	longer = cmd->block_size ? cell->length != cell->size : cell->length > cell->size;
	if (cell->again && !longer) {
		pmt_cell_fail(cell, PMT_KEY_MEDIUM, 0x1100, "the record is longer than the "
			      "drive's limit, or has another length each time it is read");
		fail(c, cell);
		return;
	}
	c->read.records++;
	c->read.plain += cell->length;
	c->read.coded += cell->coded_length;
	if (longer) {
		except(cell, PMT_KEY_NONE, 0, 0);
		result->sense = PMT_SENSE_ILI;
	}
	result->residue = (int64_t)cell->size - cell->length;
}

static void finish_write(struct pmt_coder *c, struct pmt_cell *cell)
{
	if (cell->rc)
		fail(c, cell);
	if (cell->req.result.status != PMT_STATUS_GOOD) {
		if (c->codec->lost)
			c->codec->lost(c);
		return;
	}
	c->written.records++;
	c->written.plain += cell->size;
	c->written.coded += cell->coded_length;
}

/* In the application's units, of the whole command. */
static int64_t residue(const struct pmt_cell *cell)
{
	const struct pmt_command *cmd = &cell->up->cmd;
	const struct pmt_result *result = &cell->req.result;
	bool good = result->status == PMT_STATUS_GOOD;
	bool longer = result->key == PMT_KEY_NONE && (result->sense & PMT_SENSE_ILI);

	if (!has_records(cmd))
		return result->residue;
	if (cmd->block_size)
		return good ? 0 : pmt_command_records(cmd) - cell->part -
					  (cmd->op == PMT_OP_WRITE && !result->residue);
	if (cmd->op == PMT_OP_WRITE)
		return result->residue ? cmd->length : 0;
	return good || longer ? result->residue : cmd->length;
}

static void finish(struct pmt_coder *c, struct pmt_cell *cell)
{
	struct pmt_result *result = &cell->req.result;

	if (cell->refused) {
		struct pmt_place place = result->place;
		uint32_t cookie = result->cookie;

		if (c->strayed && !cell->part && place_known(&cell->place)) {
			cell->place.generation = place.generation;
			place = cell->place;
		}
		pmt_result_check(cell->up, cell->key, cell->asc, cell->ascq);
		*result = cell->up->result;
		result->place = place;
		result->cookie = cookie;
		if (cell->up->cmd.block_size)
			result->residue = pmt_command_records(&cell->up->cmd) - cell->part;
		return;
	}
	if (class_of(&cell->up->cmd) == CLASS_READ)
		finish_read(c, cell);
	else if (cell->up->cmd.op == PMT_OP_WRITE && cell->up->cmd.length)
		finish_write(c, cell);
	else if (result->status != PMT_STATUS_GOOD && changes(&cell->up->cmd) &&
		 c->codec->lost)
		c->codec->lost(c);
	result->residue = residue(cell);
}

/* By the child, which then stands behind it, be it a mark. */
static bool was_done(const struct pmt_cell *cell)
{
	return cell->req.result.status != PMT_STATUS_CANCELLED;
}

static void settle_cancelled(struct pmt_coder *c, struct pmt_cell *cell)
{
	c->strayed = c->strayed || cell->part || was_done(cell);
	pmt_result_cancelled(cell->up);
	c->result = cell->up->result;
	c->settled = true;
}

/* What a cell says, to what is known of its command. */
static void account(struct pmt_coder *c, struct pmt_cell *cell)
{
	struct pmt_result before = c->result;

	if (c->settled) {
		c->strayed = c->strayed || was_done(cell);
		return;
	}
	if (c->failed || (cell->req.result.status == PMT_STATUS_CANCELLED && !cell->rc)) {
		settle_cancelled(c, cell);
		return;
	}
	finish(c, cell);
	c->result = cell->req.result;
	c->own = cell->rc || cell->refused;
	if (c->result.status == PMT_STATUS_CHECK)
		c->settled = c->failed = c->frozen = true;
	else if (cell->part)
		take_warnings(&c->result, &before);
}

/* The child stands where it stood. */
static bool stays(const struct pmt_command *cmd)
{
	return cmd->op == PMT_OP_TEST || cmd->op == PMT_OP_MODE || cmd->op == PMT_OP_SYNC ||
	       cmd->op == PMT_OP_PARTITIONS || cmd->op == PMT_OP_MAY_FORMAT ||
	       (cmd->op == PMT_OP_WRITE_FILEMARKS && cmd->count == 0);
}

/* An exception that is no failure, too, says where the unit stands. */
static bool tells_place(const struct pmt_result *result)
{
	return result->status == PMT_STATUS_GOOD || result->key == PMT_KEY_NONE ||
	       result->key == PMT_KEY_BLANK || result->key == PMT_KEY_OVERFLOW;
}

static void note_stand(struct pmt_coder *c, const struct pmt_request *up)
{
	if (up->result.status == PMT_STATUS_CANCELLED || stays(&up->cmd))
		return;
	if (!place_known(&c->stand) && !c->own && !tells_place(&up->result))
		return;
	c->stand = up->result.place;
	if (up->result.status == PMT_STATUS_GOOD)
		c->strayed = false;
}

void pmt_coder_retire(struct pmt_coder *c)
{
	struct pmt_cell *cell = cell_at(c, 0);
	struct pmt_request *up = cell->up;
	bool last = cell->last;

	account(c, cell);
	pmt_cell_give_back(c, cell);
	c->head = (c->head + 1) % c->n_cells;
	c->used--;
	c->sent--;
	c->bytes -= cell->size;
	if (!last)
		return;
	up->result = c->result;
	up->result.number = up->cmd.number;
	c->settled = false;
	memset(&c->result, 0, sizeof(c->result));
	note_stand(c, up);
	c->own = false;
	c->queue = up->next;
	if (!c->queue)
		c->queue_end = &c->queue;
	pthread_mutex_unlock(&c->lock);
	up->done(up);
	pthread_mutex_lock(&c->lock);
}
