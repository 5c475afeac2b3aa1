// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Leaves: commands executed on a medium by the primitives of pmt_leaf_ops.
 * This file is law 1: every command names its place, and here the drive goes
 * there, or refuses.
 *
 * Generation.  At attach recall() says for which unit and generation the medium
 * was used last.  A later generation of this unit: an earlier server has done
 * more than the kernel knows; the leaf is "ahead" until the kernel has caught
 * up, and what is repeated from the earlier generation is answered as done.  All
 * else is decided by the medium's identity: another known one than the unit's is
 * refused at attach (-ESTALE); the same, or none known yet, is adopted.  A
 * command of a generation that is not the drive's is not executed (UNIT
 * ATTENTION 28/00), but one that ends a generation counts as done when a later
 * one is found.  unit_id 0 turns all this off.
 *
 * Floor.  Before the floor nothing is written, unless the command says
 * POSITIONED.  It is the session's place at attach, then the place of the last
 * command that wrote, so that this one alone may be repeated; a command that is
 * POSITIONED sets it, UNLOAD, LOAD and FORMAT set it to the beginning.
 *
 * Place.  By LBN where the drive can; else by file and block; else by counting
 * records and marks from the beginning.  HERE needs a place known to the drive,
 * or that it has not been moved from where a command has left it, since attach.
 * Commands that move nothing (TEST, MODE, SYNC, a count of 0 marks), and those that
 * are refused as illegal, answer with the place that they were given.
 *
 * Write-once media: a command before end of data that may be a repeated one is
 * compared, and done if it is the same.  It may be while nothing was added since a
 * unit's attach, or since a CUT was refused; and where nobody has positioned.
 * All else the primitives refuse, but for the marks at the end that they let go.
 *
 * The medium's state belongs to the thread that executes; leaf->lock guards
 * leaf->shown alone, which status() reads from any thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "internal.h"

int pmt_leaf_init(struct pmt_leaf *leaf, const struct pmt_leaf_ops *ops)
{
	leaf->ops = ops;
	leaf->eod = PMT_UNKNOWN;
	leaf->floor.lbn = leaf->floor.file = leaf->floor.block = PMT_UNKNOWN;
	leaf->fresh = true;
	leaf->shown.ew_lbn = leaf->shown.room = PMT_UNKNOWN;
	leaf->limits = (struct pmt_limits){ .record_min = 1,
					    .record_max = PMT_RECORD_MAX,
					    .byte_cost = 256,
					    .window = PMT_UNKNOWN };
	return -pthread_mutex_init(&leaf->lock, NULL);
}

void pmt_leaf_destroy(struct pmt_leaf *leaf)
{
	pthread_mutex_destroy(&leaf->lock);
}

static uint64_t unit_id(const struct pmt_leaf *leaf)
{
	return leaf->drive.session ? leaf->drive.session->unit_id : 0;
}

static uint64_t room(struct pmt_leaf *leaf)
{
	return leaf->present && leaf->ops->room ? leaf->ops->room(leaf) : PMT_UNKNOWN;
}

static void note_error(struct pmt_leaf *leaf, const char *text)
{
	pmt_log(LOG_ERR, "%s: %s", leaf->drive.text, text);
	pthread_mutex_lock(&leaf->lock);
	snprintf(leaf->shown.error, sizeof(leaf->shown.error), "%s", text);
	pthread_mutex_unlock(&leaf->lock);
}

/* Attach */

static int remember(struct pmt_leaf *leaf)
{
	uint64_t unit, generation;
	int rc;

	if (!unit_id(leaf) || !leaf->present || !leaf->ops->remember)
		return 0;
	if (leaf->ops->recall && leaf->ops->recall(leaf, &unit, &generation) == 0 &&
	    unit == unit_id(leaf) && generation == leaf->place.generation)
		return 0;
	rc = leaf->ops->remember(leaf, unit_id(leaf), leaf->place.generation);
	return rc == -EROFS || rc == -ENOTSUP || rc == -ENOMEDIUM ? 0 : rc;
}

static int adopt(struct pmt_leaf *leaf, const struct pmt_session *session)
{
	uint64_t expected = session->medium[0];
	char text[160];

	if (expected && leaf->present && leaf->medium && leaf->medium != expected) {
		snprintf(text, sizeof(text),
			 "another cartridge is in the drive: %016" PRIx64
			 " instead of %016" PRIx64, leaf->medium, expected);
		note_error(leaf, text);
		return -ESTALE;
	}
	leaf->place.generation = session->place.generation;
	return remember(leaf);
}

static int attach_generation(struct pmt_leaf *leaf, const struct pmt_session *session)
{
	uint64_t unit, generation;

	leaf->ahead = false;
	if (session->unit_id && leaf->ops->recall &&
	    leaf->ops->recall(leaf, &unit, &generation) == 0 &&
	    unit == session->unit_id && generation > session->place.generation) {
		leaf->place.generation = generation;
		leaf->ahead = true;
		return 0;
	}
	if (session->unit_id)
		return adopt(leaf, session);
	leaf->place.generation = session->place.generation;
	return 0;
}

static uint32_t partitions(struct pmt_leaf *leaf)
{
	return leaf->present && leaf->ops->partitions ? leaf->ops->partitions(leaf) : 1;
}

/* Lock held.  One alone is not shown. */
static void show_partitions(struct pmt_leaf *leaf)
{
	uint32_t n = partitions(leaf);

	if (n > PMT_LEAF_PARTITIONS)
		n = PMT_LEAF_PARTITIONS;
	leaf->shown.n_partitions = n;
	for (uint32_t i = 0; n > 1 && i < n; i++)
		leaf->ops->partition(leaf, i, &leaf->shown.partitions[i]);
}

static void show(struct pmt_leaf *leaf)
{
	pthread_mutex_lock(&leaf->lock);
	leaf->shown.place = leaf->place;
	leaf->shown.present = leaf->present;
	leaf->shown.room = room(leaf);
	show_partitions(leaf);
	pthread_mutex_unlock(&leaf->lock);
}

/* Where the unit is, so that TEST tells of its end of data. */
static void enter_partition(struct pmt_leaf *leaf, uint32_t partition)
{
	if (leaf->present && !leaf->ahead && partition != leaf->place.partition)
		leaf->ops->locate(leaf, partition, 0);
}

int pmt_leaf_attach(struct pmt_drive *drive, const struct pmt_session *session)
{
	struct pmt_leaf *leaf = (struct pmt_leaf *)drive;
	int rc = attach_generation(leaf, session);

	if (rc)
		return rc;
	leaf->floor = session->place;
	if (leaf->ahead)
		leaf->floor = (struct pmt_place){ 0 };
	leaf->fresh = true;
	leaf->repeating = session->unit_id;
	leaf->modes = session->modes;
	if (leaf->ops->set_modes && leaf->present)
		rc = leaf->ops->set_modes(leaf, &leaf->modes);
	enter_partition(leaf, session->place.partition);
	show(leaf);
	return rc == -ENOTSUP || rc == -ECONNRESET ? 0 : rc;
}

/* Results */

static void sense_of_error(struct pmt_request *req, int rc, bool reading)
{
	static const struct {
		int error;
		uint8_t key, asc, ascq;
	} table[] = {
		{ EIO, PMT_KEY_MEDIUM, 0x0c, 0x00 },
		{ EBADMSG, PMT_KEY_MEDIUM, 0x0c, 0x00 },
		{ EROFS, PMT_KEY_PROTECT, 0x27, 0x00 },
		{ EPERM, PMT_KEY_PROTECT, 0x30, 0x0c },
		{ ENOMEDIUM, PMT_KEY_NOT_READY, 0x3a, 0x00 },
		{ EAGAIN, PMT_KEY_NOT_READY, 0x04, 0x01 },
		{ ENOSPC, PMT_KEY_OVERFLOW, 0x00, 0x02 },
		{ ENOTSUP, PMT_KEY_ILLEGAL, 0x20, 0x00 },
		{ EINVAL, PMT_KEY_ILLEGAL, 0x24, 0x00 },
		{ EMSGSIZE, PMT_KEY_ILLEGAL, 0x24, 0x00 },
		{ ERANGE, PMT_KEY_ILLEGAL, 0x26, 0x00 },
		{ ESTALE, PMT_KEY_ATTENTION, 0x28, 0x00 },
		{ ECONNRESET, PMT_KEY_ATTENTION, 0x29, 0x00 },
		{ 0, PMT_KEY_HARDWARE, 0x44, 0x00 },
	};
	size_t i = 0;

	while (table[i].error && table[i].error != -rc)
		i++;
	pmt_result_check(req, table[i].key, table[i].asc, table[i].ascq);
	if (reading && table[i].key == PMT_KEY_MEDIUM)
		req->result.asc = 0x11;
	if (rc == -ENOSPC)
		req->result.sense = PMT_SENSE_EOM;
}

/* What failed: a medium may have gone on behind the record that it could not read. */
static uint64_t failed_at(const struct pmt_leaf *leaf, const struct pmt_command *cmd)
{
	if (cmd->op == PMT_OP_READ && !cmd->block_size && cmd->place.lbn != PMT_UNKNOWN)
		return cmd->place.lbn;
	return leaf->place.lbn;
}

static void fail(struct pmt_leaf *leaf, struct pmt_request *req, int rc)
{
	char text[160];

	sense_of_error(req, rc, req->cmd.op == PMT_OP_READ);
	if (rc == -ENOSPC || rc == -EAGAIN || req->result.key == PMT_KEY_ILLEGAL)
		return;
	snprintf(text, sizeof(text), "%s at block %" PRId64 ": %s",
		 pmt_op_name(req->cmd.op), (int64_t)failed_at(leaf, &req->cmd),
		 rc == -EPERM ? "the tape is write-once" : strerror(-rc));
	note_error(leaf, text);
}

/* One of enum pmt_at as sense, CHECK. */
static void stopped_at(struct pmt_request *req, int at)
{
	switch (at) {
	case PMT_AT_MARK:
		pmt_result_check(req, PMT_KEY_NONE, 0x00, 0x01);
		req->result.sense = PMT_SENSE_FILEMARK;
		break;
	case PMT_AT_BOP:
		pmt_result_check(req, PMT_KEY_NONE, 0x00, 0x04);
		req->result.sense = PMT_SENSE_EOM;
		break;
	default:
		pmt_result_check(req, PMT_KEY_BLANK, 0x00, 0x05);
		break;
	}
}

static void early_warning(struct pmt_leaf *leaf, struct pmt_request *req)
{
	const struct pmt_session *session = leaf->drive.session;
	struct pmt_place place = req->cmd.place;

	pmt_result_good(req);
	req->result.sense = PMT_SENSE_EOM;
	req->result.ascq = 0x02;
	place.generation = leaf->place.generation;
	if (place.lbn == PMT_UNKNOWN)
		place = leaf->place;
	pthread_mutex_lock(&leaf->lock);
	if (!leaf->shown.early_warning)
		leaf->shown.ew_lbn = place.lbn;
	leaf->shown.early_warning = true;
	pthread_mutex_unlock(&leaf->lock);
	if (session && session->early_warning)
		session->early_warning(session, &place);
}

/* Going to the place */

static bool equal(uint64_t a, uint64_t b)
{
	return a != PMT_UNKNOWN && b != PMT_UNKNOWN && a == b;
}

static int go_by_file(struct pmt_leaf *leaf, const struct pmt_place *to)
{
	int64_t left;
	int rc = leaf->ops->locate(leaf, to->partition, 0);

	if (rc == 0 && to->file)
		rc = leaf->ops->space_marks(leaf, (int64_t)to->file, &left);
	if (rc == 0 && to->block)
		rc = leaf->ops->space_records(leaf, (int64_t)to->block, &left);
	return rc;
}

/* lbn records and marks from the beginning of the partition. */
static int go_by_counting(struct pmt_leaf *leaf, uint32_t partition, uint64_t lbn)
{
	int64_t want = (int64_t)lbn, left = 0;
	int rc = leaf->ops->locate(leaf, partition, 0);

	while (rc == 0 && want > 0) {
		rc = leaf->ops->space_records(leaf, want, &left);
		want = left;
		if (rc == PMT_AT_MARK) {
			want--;
			rc = 0;
		}
	}
	if (rc == 0 && leaf->place.lbn == PMT_UNKNOWN)
		leaf->place.lbn = lbn;
	return rc;
}

static int locate(struct pmt_leaf *leaf, uint32_t partition, uint64_t lbn)
{
	int rc = leaf->ops->locate(leaf, partition, lbn);

	return rc == -ENOTSUP && lbn ? go_by_counting(leaf, partition, lbn) : rc;
}

static int go(struct pmt_leaf *leaf, const struct pmt_place *to)
{
	bool by_file = to->file != PMT_UNKNOWN && to->block != PMT_UNKNOWN;
	int rc = -ENOTSUP;

	if (pmt_place_same(&leaf->place, to))
		return 0;
	if (to->lbn != PMT_UNKNOWN)
		rc = leaf->ops->locate(leaf, to->partition, to->lbn);
	if (rc == -ENOTSUP && by_file)
		rc = go_by_file(leaf, to);
	else if (rc == -ENOTSUP && to->lbn != PMT_UNKNOWN)
		rc = go_by_counting(leaf, to->partition, to->lbn);
	if (rc == 0 && !pmt_place_same(&leaf->place, to))
		rc = PMT_AT_EOD;
	return rc;
}

/* What the drive does not know, the command may. */
static void learn(struct pmt_leaf *leaf, const struct pmt_place *place)
{
	if (leaf->place.lbn == PMT_UNKNOWN)
		leaf->place.lbn = place->lbn;
	if (!equal(leaf->place.lbn, place->lbn))
		return;
	if (leaf->place.file == PMT_UNKNOWN)
		leaf->place.file = place->file;
	if (leaf->place.block == PMT_UNKNOWN)
		leaf->place.block = place->block;
}

static bool place_known(const struct pmt_place *place)
{
	return place->lbn != PMT_UNKNOWN ||
	       (place->file != PMT_UNKNOWN && place->block != PMT_UNKNOWN);
}

static void out_of_place(struct pmt_request *req)
{
	pmt_result_check(req, PMT_KEY_ABORTED, 0x3b, 0x00);
}

static bool arrive(struct pmt_leaf *leaf, struct pmt_request *req)
{
	const struct pmt_place *to = &req->cmd.place;
	char text[160];
	int rc;

	if (req->cmd.flags & PMT_CMD_HERE) {
		if (!leaf->fresh && (leaf->stands || place_known(&leaf->place)))
			return true;
		out_of_place(req);
		return false;
	}
	if (!place_known(to)) {
		out_of_place(req);
		return false;
	}
	rc = go(leaf, to);
	if (rc == 0) {
		learn(leaf, to);
		leaf->fresh = false;
		return true;
	}
	if (rc < 0) {
		fail(leaf, req, rc);
		return false;
	}
	snprintf(text, sizeof(text),
		 "cannot reach the place (partition %u block %" PRId64 ", file %" PRId64
		 " block %" PRId64 "); stands at %" PRId64, to->partition,
		 (int64_t)to->lbn, (int64_t)to->file, (int64_t)to->block,
		 (int64_t)leaf->place.lbn);
	note_error(leaf, text);
	pmt_result_check(req, PMT_KEY_MEDIUM, 0x3b, 0x00);
	return false;
}

/* Writing */

static bool above_floor(struct pmt_leaf *leaf, struct pmt_request *req,
			const struct pmt_place *place)
{
	if ((req->cmd.flags & PMT_CMD_POSITIONED) || !place_known(&leaf->floor) ||
	    !pmt_place_before(place, &leaf->floor))
		return true;
	note_error(leaf, "refused to write before what is done already");
	out_of_place(req);
	return false;
}

/* The guards, the way there, and the guards again for what was not known before. */
static bool ready_to_write(struct pmt_leaf *leaf, struct pmt_request *req)
{
	if (!(req->cmd.flags & PMT_CMD_HERE) &&
	    !above_floor(leaf, req, &req->cmd.place))
		return false;
	if (leaf->protected) {
		pmt_result_check(req, PMT_KEY_PROTECT, 0x27, 0x00);
		return false;
	}
	return arrive(leaf, req) && above_floor(leaf, req, &leaf->place);
}

static void count_written(struct pmt_leaf *leaf, uint64_t records, uint64_t bytes,
			  uint64_t marks)
{
	pthread_mutex_lock(&leaf->lock);
	leaf->shown.records += records;
	leaf->shown.bytes += bytes;
	leaf->shown.marks += marks;
	pthread_mutex_unlock(&leaf->lock);
}

static bool written_once(const struct pmt_leaf *leaf)
{
	return leaf->worm && leaf->eod != PMT_UNKNOWN &&
	       leaf->place.lbn != PMT_UNKNOWN && leaf->place.lbn < leaf->eod;
}

static bool may_be_repeated(const struct pmt_leaf *leaf, const struct pmt_command *cmd)
{
	return written_once(leaf) &&
	       (leaf->repeating || !(cmd->flags & PMT_CMD_POSITIONED));
}

/* Is the record here data already?  1: yes, and it is passed; 0: no. */
static int compare(struct pmt_leaf *leaf, const void *data, size_t length)
{
	_cleanup_free_ char *buffer = malloc(length + 1);
	uint64_t lbn = leaf->place.lbn;
	size_t found;
	int rc;

	if (!buffer)
		return -ENOMEM;
	rc = leaf->ops->read(leaf, buffer, length + 1, &found);
	if (rc < 0)
		return rc;
	if (rc == 0 && found == length && memcmp(buffer, data, length) == 0)
		return 1;
	rc = leaf->ops->locate(leaf, leaf->place.partition, lbn);
	return rc < 0 ? rc : 0;
}

static int put(struct pmt_leaf *leaf, const struct pmt_command *cmd, const void *data,
	       size_t length)
{
	int rc = may_be_repeated(leaf, cmd) ? compare(leaf, data, length) : 0;

	if (rc)
		return rc < 0 ? rc : 0;
	rc = leaf->ops->write(leaf, data, length);
	leaf->repeating = leaf->repeating && rc < 0;
	return rc;
}

/* Of n records: one, or of blocks as many as the drive takes at once. */
static int put_some(struct pmt_leaf *leaf, const struct pmt_command *cmd, const void *data,
		    uint32_t n, uint32_t *done)
{
	int rc;

	if (cmd->block_size && leaf->ops->write_blocks && !written_once(leaf))
		return leaf->ops->write_blocks(leaf, data, cmd->block_size, n, done);
	rc = put(leaf, cmd, data, cmd->block_size ? cmd->block_size : cmd->length);
	*done = rc >= 0;
	return rc;
}

static bool length_fits(const struct pmt_leaf *leaf, const struct pmt_command *cmd)
{
	uint32_t length = cmd->block_size ? cmd->block_size : cmd->length;

	if (cmd->block_size && cmd->length % cmd->block_size)
		return false;
	return length >= leaf->limits.record_min && length <= leaf->limits.record_max;
}

static void write_records(struct pmt_leaf *leaf, struct pmt_request *req)
{
	const struct pmt_command *cmd = &req->cmd;
	uint32_t size = cmd->block_size ? cmd->block_size : cmd->length;
	uint32_t n = pmt_command_records(cmd), i, done;
	struct pmt_place before = leaf->place;
	bool warned = false;
	int rc = 0;

	for (i = 0; rc >= 0 && i < n; i += done) {
		done = 0;
		rc = put_some(leaf, cmd, (const char *)req->data + (size_t)i * size, n - i,
			      &done);
		warned = warned || rc == PMT_AT_EW;
	}
	count_written(leaf, i, (uint64_t)i * size, 0);
	if (i || (cmd->flags & PMT_CMD_POSITIONED))
		leaf->floor = before;
	if (warned)
		early_warning(leaf, req);
	if (i < n) {
		fail(leaf, req, rc);
		req->result.residue = cmd->block_size ? n - i : cmd->length;
	}
}

static void do_write(struct pmt_leaf *leaf, struct pmt_request *req)
{
	if (req->cmd.length && !length_fits(leaf, &req->cmd))
		pmt_result_check(req, PMT_KEY_ILLEGAL, 0x24, 0x00);
	else if (ready_to_write(leaf, req))
		write_records(leaf, req);
}

/* As many as are here already; it stands behind them. */
static int compare_marks(struct pmt_leaf *leaf, uint32_t count, uint32_t *same)
{
	size_t found;
	int rc;

	while (*same < count && written_once(leaf)) {
		uint64_t lbn = leaf->place.lbn;

		rc = leaf->ops->read(leaf, NULL, 0, &found);
		if (rc < 0)
			return rc;
		if (rc != PMT_AT_MARK) {
			rc = leaf->ops->locate(leaf, leaf->place.partition, lbn);
			return rc < 0 ? rc : 0;
		}
		++*same;
	}
	return 0;
}

static int put_marks(struct pmt_leaf *leaf, const struct pmt_command *cmd, uint32_t *done)
{
	bool ahead = (cmd->flags & PMT_CMD_IMMEDIATE) && leaf->ops->marks_ahead;
	uint32_t count = (uint32_t)cmd->count, now = 0;
	int rc = 0;

	*done = 0;
	if (may_be_repeated(leaf, cmd))
		rc = compare_marks(leaf, count, done);
	if (rc < 0 || *done == count)
		return rc;
	rc = (ahead ? leaf->ops->marks_ahead : leaf->ops->marks)(leaf, count - *done, &now);
	*done += now;
	leaf->repeating = leaf->repeating && !now;
	return rc;
}

static int sync_medium(struct pmt_leaf *leaf)
{
	return leaf->ops->sync ? leaf->ops->sync(leaf) : 0;
}

static void write_marks(struct pmt_leaf *leaf, struct pmt_request *req)
{
	const struct pmt_command *cmd = &req->cmd;
	struct pmt_place before = leaf->place;
	uint32_t written = 0;
	int sync = 0, rc = put_marks(leaf, cmd, &written);

	count_written(leaf, 0, 0, written);
	if (written || (cmd->flags & PMT_CMD_POSITIONED))
		leaf->floor = before;
	if (!(cmd->flags & PMT_CMD_IMMEDIATE) && (rc >= 0 || rc == -ENOSPC))
		sync = sync_medium(leaf);
	if (rc == PMT_AT_EW)
		early_warning(leaf, req);
	if (rc < 0 || sync < 0) {
		fail(leaf, req, sync < 0 ? sync : rc);
		req->result.residue = cmd->count - written;
	}
}

static void do_sync(struct pmt_leaf *leaf, struct pmt_request *req)
{
	int rc = sync_medium(leaf);

	if (rc)
		fail(leaf, req, rc);
}

static void do_marks(struct pmt_leaf *leaf, struct pmt_request *req)
{
	if (req->cmd.count == 0)
		do_sync(leaf, req);
	else if (req->cmd.count < 0 || req->cmd.count > UINT32_MAX)
		pmt_result_check(req, PMT_KEY_ILLEGAL, 0x24, 0x00);
	else if (ready_to_write(leaf, req))
		write_marks(leaf, req);
}

/* -ENOTSUP: a mark is here, or all is as it was. */
static int cut(struct pmt_leaf *leaf, unsigned int op)
{
	int rc, marked;

	if (written_once(leaf))
		return -EPERM;
	rc = leaf->ops->cut(leaf);
	if (rc != -ENOTSUP || op != PMT_OP_CUT || !leaf->ops->cut_by_mark)
		return rc;
	marked = leaf->ops->cut_by_mark(leaf);
	return marked ? marked : rc;
}

/* ERASE and CUT: this place is the end of data. */
static void do_cut(struct pmt_leaf *leaf, struct pmt_request *req)
{
	int rc = 0;

	if (!ready_to_write(leaf, req))
		return;
	if (!equal(leaf->place.lbn, leaf->eod))
		rc = cut(leaf, req->cmd.op);
	/* What could not be brought back may be written again. */
	leaf->repeating |= rc == -EPERM && req->cmd.op == PMT_OP_CUT;
	if (rc < 0)
		fail(leaf, req, rc);
	else
		leaf->floor = leaf->place;
}

/* Reading */

static void count_read(struct pmt_leaf *leaf, uint64_t records, uint64_t bytes)
{
	pthread_mutex_lock(&leaf->lock);
	leaf->shown.records_read += records;
	leaf->shown.bytes_read += bytes;
	pthread_mutex_unlock(&leaf->lock);
}

static void read_variable(struct pmt_leaf *leaf, struct pmt_request *req)
{
	size_t length = 0, asked = req->cmd.length;
	int rc = leaf->ops->read(leaf, req->data, asked, &length);

	if (rc < 0) {
		fail(leaf, req, rc);
		return;
	}
	if (rc > 0) {
		stopped_at(req, rc);
		return;
	}
	count_read(leaf, 1, length < asked ? length : asked);
	if (length > asked) {
		pmt_result_check(req, PMT_KEY_NONE, 0x00, 0x00);
		req->result.sense = PMT_SENSE_ILI;
	}
	req->result.residue = (int64_t)asked - (int64_t)length;
}

/* Of n blocks: one, whose length is then told, or as many as the drive gives. */
static int get_some(struct pmt_leaf *leaf, void *data, uint32_t size, uint32_t n,
		    uint32_t *done, size_t *length)
{
	int rc = -ENOTSUP;

	*length = size;
	if (leaf->ops->read_blocks)
		rc = leaf->ops->read_blocks(leaf, data, size, n, done);
	if (rc != -ENOTSUP)
		return rc;
	rc = leaf->ops->read(leaf, data, size, length);
	*done = rc == 0 && *length == size;
	return rc;
}

static void read_blocks(struct pmt_leaf *leaf, struct pmt_request *req)
{
	uint32_t size = req->cmd.block_size, n = pmt_command_records(&req->cmd), i;
	uint32_t done = 1;
	size_t length;
	int rc = 0;

	for (i = 0; rc == 0 && done && i < n; i += done) {
		done = 0;
		rc = get_some(leaf, (char *)req->data + (size_t)i * size, size, n - i,
			      &done, &length);
	}
	count_read(leaf, i, (uint64_t)i * size);
	if (i == n)
		return;
	if (rc < 0) {
		fail(leaf, req, rc);
	} else if (rc > 0) {
		stopped_at(req, rc);
	} else {
		pmt_result_check(req, PMT_KEY_NONE, 0x00, 0x00);
		req->result.sense = PMT_SENSE_ILI;
	}
	req->result.residue = n - i;
}

static void do_read(struct pmt_leaf *leaf, struct pmt_request *req)
{
	if (req->cmd.block_size && req->cmd.length % req->cmd.block_size)
		pmt_result_check(req, PMT_KEY_ILLEGAL, 0x24, 0x00);
	else if (!arrive(leaf, req))
		return;
	else if (req->cmd.block_size)
		read_blocks(leaf, req);
	else if (req->cmd.length)
		read_variable(leaf, req);
}

/* Motion */

static void finish_motion(struct pmt_leaf *leaf, struct pmt_request *req, int rc,
			  int64_t left)
{
	if (rc < 0)
		fail(leaf, req, rc);
	else if (rc > 0)
		stopped_at(req, rc);
	if (req->result.status == PMT_STATUS_GOOD)
		return;
	req->result.residue = left < 0 ? -left : left;
	if (rc < 0 && req->result.key == PMT_KEY_MEDIUM)
		req->result.asc = 0x3b;
}

static void do_space(struct pmt_leaf *leaf, struct pmt_request *req)
{
	const struct pmt_command *cmd = &req->cmd;
	int64_t left = 0;
	int rc;

	if (cmd->argument == PMT_SPACE_EOD) {
		rc = 0;
		if (leaf->place.partition != cmd->place.partition ||
		    (partitions(leaf) > 1 && leaf->place.lbn == PMT_UNKNOWN))
			rc = leaf->ops->locate(leaf, cmd->place.partition, 0);
		if (rc >= 0)
			rc = leaf->ops->to_eod(leaf);
		if (rc == PMT_AT_EOD)
			rc = 0;
		leaf->fresh = leaf->fresh && rc;
		finish_motion(leaf, req, rc, 0);
		return;
	}
	if (cmd->argument > PMT_SPACE_FILEMARKS) {
		pmt_result_check(req, PMT_KEY_ILLEGAL, 0x24, 0x00);
		return;
	}
	if (!arrive(leaf, req) || cmd->count == 0)
		return;
	left = cmd->count;
	if (cmd->argument == PMT_SPACE_RECORDS)
		rc = leaf->ops->space_records(leaf, cmd->count, &left);
	else
		rc = leaf->ops->space_marks(leaf, cmd->count, &left);
	finish_motion(leaf, req, rc, left);
}

static void do_locate(struct pmt_leaf *leaf, struct pmt_request *req)
{
	int rc;

	if (req->cmd.count < 0 || req->cmd.argument > PMT_PARTITION_MAX) {
		pmt_result_check(req, PMT_KEY_ILLEGAL, 0x24, 0x00);
		return;
	}
	rc = locate(leaf, req->cmd.argument, (uint64_t)req->cmd.count);
	leaf->fresh = leaf->fresh && rc < 0;
	finish_motion(leaf, req, rc, 0);
}

static void do_rewind(struct pmt_leaf *leaf, struct pmt_request *req)
{
	int rc = leaf->ops->locate(leaf, req->cmd.place.partition, 0);

	leaf->fresh = leaf->fresh && rc < 0;
	finish_motion(leaf, req, rc == PMT_AT_EOD ? 0 : rc, 0);
}

/* The medium */

static void describe(struct pmt_leaf *leaf, struct pmt_request *req)
{
	struct pmt_result *result = &req->result;

	if (!leaf->present)
		return;
	result->medium_flags = PMT_MEDIUM_PRESENT |
			       (leaf->protected ? PMT_MEDIUM_PROTECTED : 0) |
			       (leaf->worm ? PMT_MEDIUM_WORM : 0) |
			       (uint8_t)((partitions(leaf) - 1)
					 << PMT_MEDIUM_MORE_SHIFT);
	result->density = leaf->density;
	if (req->cmd.op != PMT_OP_TEST ||
	    leaf->place.partition == req->cmd.place.partition)
		result->eod = leaf->eod;
	result->medium[0] = leaf->medium;
}

static void do_test(struct pmt_leaf *leaf, struct pmt_request *req)
{
	describe(leaf, req);
}

/* 7f: as it is. */
static bool has_density(const struct pmt_leaf *leaf, uint8_t density)
{
	return !leaf->density || !density || density == 0x7f || density == leaf->density;
}

static void do_mode(struct pmt_leaf *leaf, struct pmt_request *req)
{
	int rc = 0;

	if (!has_density(leaf, req->cmd.modes.density))
		rc = -ERANGE;
	else if (leaf->ops->set_modes && leaf->present)
		rc = leaf->ops->set_modes(leaf, &req->cmd.modes);
	if (rc)
		fail(leaf, req, rc);
	else
		leaf->modes = req->cmd.modes;
}

static void end_volume(struct pmt_leaf *leaf)
{
	struct pmt_leaf_volume *volume;

	pthread_mutex_lock(&leaf->lock);
	volume = &leaf->shown.volumes[leaf->shown.n_volumes++ % PMT_LEAF_VOLUMES];
	*volume = (struct pmt_leaf_volume){
		leaf->place.generation, leaf->shown.records, leaf->shown.bytes,
		leaf->shown.marks, leaf->shown.ew_lbn,
	};
	leaf->shown.records = leaf->shown.bytes = leaf->shown.marks = 0;
	leaf->shown.records_read = leaf->shown.bytes_read = 0;
	leaf->shown.early_warning = false;
	leaf->shown.ew_lbn = PMT_UNKNOWN;
	pthread_mutex_unlock(&leaf->lock);
}

static int end_generation(struct pmt_leaf *leaf)
{
	end_volume(leaf);
	leaf->place = leaf->floor = (struct pmt_place){
		.generation = leaf->next.generation,
	};
	leaf->fresh = false;
	leaf->ahead = false;
	return remember(leaf);
}

/* The primitive failed; the medium may say that the generation ended all the same. */
static bool ended_anyway(struct pmt_leaf *leaf)
{
	uint64_t unit, generation;

	return leaf->next.unit_id && leaf->ops->recall &&
	       leaf->ops->recall(leaf, &unit, &generation) == 0 &&
	       unit == leaf->next.unit_id && generation == leaf->next.generation;
}

static void announce_next(struct pmt_leaf *leaf)
{
	leaf->next.unit_id = unit_id(leaf);
	leaf->next.generation = leaf->place.generation + 1;
}

/* Behind a primitive that ends the generation and returned rc. */
static int ended(struct pmt_leaf *leaf, int rc)
{
	int remembered;

	if (rc && rc != -ENOMEDIUM && !ended_anyway(leaf))
		return rc;
	remembered = end_generation(leaf);
	return rc ? rc : remembered;
}

static void change_medium(struct pmt_leaf *leaf, struct pmt_request *req,
			  int (*change)(struct pmt_leaf *))
{
	int rc = leaf->present ? sync_medium(leaf) : 0;

	/* Told once; a medium that can not be made durable must come out, too. */
	if (rc && !leaf->unsynced) {
		leaf->unsynced = true;
		fail(leaf, req, rc);
		return;
	}
	leaf->unsynced = false;
	announce_next(leaf);
	rc = ended(leaf, change(leaf));
	if (rc)
		fail(leaf, req, rc);
	else if (req->cmd.op == PMT_OP_LOAD)
		describe(leaf, req);
}

static void do_load(struct pmt_leaf *leaf, struct pmt_request *req)
{
	change_medium(leaf, req, leaf->ops->load);
}

static void do_unload(struct pmt_leaf *leaf, struct pmt_request *req)
{
	if (leaf->present) {
		change_medium(leaf, req, leaf->ops->unload);
		return;
	}
	leaf->next.generation = leaf->place.generation + 1;
	end_generation(leaf);
}

/* Partitions */

static void format(struct pmt_leaf *leaf, struct pmt_request *req, bool dry)
{
	int rc = leaf->protected ? -EROFS : !leaf->ops->format ? -ENOTSUP : 0;

	announce_next(leaf);
	if (rc == 0)
		rc = leaf->ops->format(leaf, req->cmd.argument, req->cmd.count, dry);
	if (!dry && (rc == 0 || ended_anyway(leaf)))
		rc = ended(leaf, rc);
	if (rc)
		fail(leaf, req, rc);
}

static void do_format(struct pmt_leaf *leaf, struct pmt_request *req)
{
	format(leaf, req, false);
}

static void do_may_format(struct pmt_leaf *leaf, struct pmt_request *req)
{
	format(leaf, req, true);
}

static void do_partitions(struct pmt_leaf *leaf, struct pmt_request *req)
{
	req->result.residue = partitions(leaf);
}

/* Dispatch */

#define NEEDS_MEDIUM	(1 << 0)
#define ENDS		(1 << 1)	/* a generation */
#define REPEATABLE	(1 << 2)	/* counts as done when the leaf is ahead */
#define STAYS		(1 << 3)	/* moves nothing: the place is the command's */

struct operation {
	void (*execute)(struct pmt_leaf *, struct pmt_request *);
	unsigned int flags;
};

static const struct operation operations[] = {
	[PMT_OP_TEST] = { do_test, NEEDS_MEDIUM | STAYS },
	[PMT_OP_WRITE] = { do_write, NEEDS_MEDIUM | REPEATABLE },
	[PMT_OP_READ] = { do_read, NEEDS_MEDIUM },
	[PMT_OP_WRITE_FILEMARKS] = { do_marks, NEEDS_MEDIUM | REPEATABLE },
	[PMT_OP_SPACE] = { do_space, NEEDS_MEDIUM },
	[PMT_OP_LOCATE] = { do_locate, NEEDS_MEDIUM },
	[PMT_OP_REWIND] = { do_rewind, NEEDS_MEDIUM },
	[PMT_OP_LOAD] = { do_load, ENDS },
	[PMT_OP_UNLOAD] = { do_unload, ENDS },
	[PMT_OP_ERASE] = { do_cut, NEEDS_MEDIUM | REPEATABLE },
	[PMT_OP_FORMAT] = { do_format, NEEDS_MEDIUM | ENDS },
	[PMT_OP_MODE] = { do_mode, STAYS | REPEATABLE },
};

/* Those that only the library sends. */
static const struct operation private_operations[] = {
	[PMT_OP_CUT - PMT_OP_CUT] = { do_cut, NEEDS_MEDIUM },
	[PMT_OP_SYNC - PMT_OP_CUT] = { do_sync, NEEDS_MEDIUM | STAYS | REPEATABLE },
	[PMT_OP_PARTITIONS - PMT_OP_CUT] = { do_partitions, NEEDS_MEDIUM | STAYS },
	[PMT_OP_MAY_FORMAT - PMT_OP_CUT] = { do_may_format, NEEDS_MEDIUM | ENDS | STAYS },
};

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

static const struct operation *operation(const struct pmt_command *cmd)
{
	unsigned int op = cmd->op;

	if (op == PMT_OP_WRITE_FILEMARKS && cmd->count == 0)
		op = PMT_OP_SYNC;
	if (op < N_ELEMENTS(operations) && operations[op].execute)
		return &operations[op];
	if (op >= PMT_OP_CUT && op - PMT_OP_CUT < N_ELEMENTS(private_operations))
		return &private_operations[op - PMT_OP_CUT];
	return NULL;
}

/* A command that goes to its place and does nothing there. */
static bool only_goes(const struct pmt_command *cmd)
{
	return cmd->op == PMT_OP_SPACE && cmd->count == 0 &&
	       cmd->argument == PMT_SPACE_RECORDS;
}

/* Of copies one was formatted, and then the other way is asked for. */
static bool is_other_format(struct pmt_leaf *leaf, const struct pmt_command *cmd)
{
	return (cmd->op == PMT_OP_FORMAT || cmd->op == PMT_OP_MAY_FORMAT) &&
	       cmd->place.generation < leaf->place.generation && leaf->present &&
	       cmd->argument != partitions(leaf);
}

/* Answered by what an earlier server did? */
static bool was_done(const struct pmt_leaf *leaf, const struct pmt_command *cmd,
		     unsigned int flags)
{
	if (cmd->place.generation >= leaf->place.generation)
		return false;
	if (flags & ENDS)
		return true;
	return leaf->ahead && ((flags & REPEATABLE) || only_goes(cmd)) &&
	       place_known(&cmd->place) && !(cmd->flags & PMT_CMD_HERE);
}

/* True: the command may be executed. */
static bool generation_fits(struct pmt_leaf *leaf, struct pmt_request *req,
			    unsigned int flags)
{
	if (!unit_id(leaf) || req->cmd.op == PMT_OP_TEST ||
	    req->cmd.op == PMT_OP_PARTITIONS)
		return true;
	if (req->cmd.place.generation == leaf->place.generation) {
		leaf->ahead = false;
		return true;
	}
	if (is_other_format(leaf, &req->cmd)) {
		note_error(leaf, "it was formatted in another way already: repeat that");
		pmt_result_check(req, PMT_KEY_ILLEGAL, 0x26, 0x00);
		req->result.place = req->cmd.place;
		return false;
	}
	if (was_done(leaf, &req->cmd, flags)) {
		pmt_result_good(req);
		req->result.room = room(leaf);
		if (req->cmd.op == PMT_OP_LOAD)
			describe(leaf, req);
		return false;
	}
	note_error(leaf, "not executed: the volume is not the one that was meant");
	pmt_result_check(req, PMT_KEY_ATTENTION, 0x28, 0x00);
	req->result.place = leaf->place;
	return false;
}

/* True: the command has been answered by what was seen. */
static bool look(struct pmt_leaf *leaf, struct pmt_request *req)
{
	int rc = req->cmd.op == PMT_OP_TEST && leaf->ops->look ? leaf->ops->look(leaf) : 0;

	if (rc == 0)
		return false;
	fail(leaf, req, rc);
	if (rc == -ESTALE) {
		announce_next(leaf);
		end_generation(leaf);
	}
	req->result.place = leaf->place;
	return true;
}

static void no_medium(struct pmt_leaf *leaf, struct pmt_request *req)
{
	pmt_result_check(req, PMT_KEY_NOT_READY, 0x3a, 0x00);
	req->result.place = leaf->place;
	req->result.place.lbn = req->result.place.file = PMT_UNKNOWN;
	req->result.place.block = PMT_UNKNOWN;
}

static bool is_refused(const struct pmt_request *req)
{
	return req->result.status == PMT_STATUS_CHECK &&
	       req->result.key == PMT_KEY_ILLEGAL;
}

/* Where the unit stands after a command that moved nothing. */
static bool keeps_place(const struct pmt_leaf *leaf, const struct pmt_request *req,
			unsigned int flags)
{
	const struct pmt_place *place = &req->cmd.place;

	return ((flags & STAYS) || is_refused(req)) && place_known(place) &&
	       !(req->cmd.flags & PMT_CMD_HERE) &&
	       place->generation == leaf->place.generation;
}

/* The room is that of where the drive stands: of elsewhere, none is promised. */
static void stays(struct pmt_leaf *leaf, struct pmt_request *req)
{
	if (!pmt_place_same(&leaf->place, &req->cmd.place) &&
	    req->result.room != PMT_UNKNOWN)
		req->result.room = 0;
	req->result.place = req->cmd.place;
}

static void execute(struct pmt_leaf *leaf, struct pmt_request *req,
		    const struct operation *operation)
{
	if (!leaf->present && (operation->flags & NEEDS_MEDIUM)) {
		no_medium(leaf, req);
		return;
	}
	pmt_result_good(req);
	operation->execute(leaf, req);
	req->result.place = leaf->place;
	req->result.room = room(leaf);
	if (keeps_place(leaf, req, operation->flags))
		stays(leaf, req);
}

void pmt_leaf_execute(struct pmt_drive *drive, struct pmt_request *req)
{
	struct pmt_leaf *leaf = (struct pmt_leaf *)drive;
	const struct operation *op = operation(&req->cmd);

	if (!op)
		pmt_result_check(req, PMT_KEY_ILLEGAL, 0x20, 0x00);
	else if (!look(leaf, req) && generation_fits(leaf, req, op->flags))
		execute(leaf, req, op);
	show(leaf);
}

/* Streams */

/* What has to be asked before every READ and WRITE, without a message. */
static bool may_stream(const struct pmt_leaf *leaf, const struct pmt_command *cmd)
{
	if (!leaf->present || leaf->fresh || leaf->ahead || !cmd->length ||
	    !length_fits(leaf, cmd))
		return false;
	if (unit_id(leaf) && cmd->place.generation != leaf->place.generation)
		return false;
	if (cmd->op == PMT_OP_READ)
		return !(cmd->flags & PMT_CMD_HERE);
	return cmd->op == PMT_OP_WRITE && !leaf->protected && !leaf->worm &&
	       !(cmd->flags & (PMT_CMD_HERE | PMT_CMD_POSITIONED)) &&
	       !pmt_place_before(&cmd->place, &leaf->floor);
}

bool pmt_leaf_follows(struct pmt_leaf *leaf, const struct pmt_command *cmd,
		      const struct pmt_place *at)
{
	return may_stream(leaf, cmd) && pmt_place_same(at, &cmd->place);
}

void pmt_leaf_streamed(struct pmt_leaf *leaf, struct pmt_request *req, uint32_t length)
{
	struct pmt_command done = req->cmd;
	uint32_t n = pmt_command_records(&done);

	pmt_result_good(req);
	done.place = leaf->place;
	if (done.op == PMT_OP_WRITE) {
		count_written(leaf, n, done.length, 0);
		leaf->floor = leaf->place;
	} else if (done.block_size) {
		count_read(leaf, n, done.length);
	} else {
		count_read(leaf, n, length);
		req->result.residue = (int64_t)done.length - length;
	}
	leaf->place = pmt_place_after(&done);
	if (done.op == PMT_OP_WRITE)
		leaf->eod = leaf->place.lbn;
	req->result.place = leaf->place;
	req->result.room = room(leaf);
	show(leaf);
}

/* Limits and status */

void pmt_leaf_limits(struct pmt_drive *drive, struct pmt_limits *limits)
{
	*limits = ((struct pmt_leaf *)drive)->limits;
}

uint64_t pmt_leaf_used(struct pmt_drive *drive)
{
	struct pmt_leaf *leaf = (struct pmt_leaf *)drive;

	return leaf->present && leaf->ops->used ? leaf->ops->used(leaf) : PMT_UNKNOWN;
}

static void add_number(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key,
			       value == PMT_UNKNOWN ?
				       NULL : json_object_new_int64((int64_t)value));
}

static void add_partitions(const struct pmt_leaf *leaf, struct json_object *object)
{
	struct json_object *array;

	if (leaf->shown.n_partitions < 2)
		return;
	array = json_object_new_array();
	for (uint32_t i = 0; i < leaf->shown.n_partitions; i++) {
		const struct pmt_leaf_partition *partition = &leaf->shown.partitions[i];
		struct json_object *entry = json_object_new_object();

		add_number(entry, "eod", partition->eod);
		add_number(entry, "used", partition->used);
		add_number(entry, "capacity", partition->capacity);
		json_object_array_add(array, entry);
	}
	json_object_object_add(object, "partitions", array);
}

static void add_volumes(const struct pmt_leaf *leaf, struct json_object *object)
{
	struct json_object *array = json_object_new_array();
	unsigned int n = leaf->shown.n_volumes, i;

	for (i = n > PMT_LEAF_VOLUMES ? n - PMT_LEAF_VOLUMES : 0; i < n; i++) {
		const struct pmt_leaf_volume *volume =
			&leaf->shown.volumes[i % PMT_LEAF_VOLUMES];
		struct json_object *entry = json_object_new_object();

		add_number(entry, "generation", volume->generation);
		add_number(entry, "records", volume->records);
		add_number(entry, "bytes", volume->bytes);
		add_number(entry, "marks", volume->marks);
		add_number(entry, "ew_lbn", volume->ew_lbn);
		json_object_array_add(array, entry);
	}
	json_object_object_add(object, "volumes", array);
}

void pmt_leaf_status(struct pmt_drive *drive, struct json_object *object)
{
	struct pmt_leaf *leaf = (struct pmt_leaf *)drive;

	pthread_mutex_lock(&leaf->lock);
	json_object_object_add(object, "present",
			       json_object_new_boolean(leaf->shown.present));
	add_number(object, "generation", leaf->shown.place.generation);
	add_number(object, "partition", leaf->shown.place.partition);
	add_number(object, "lbn", leaf->shown.place.lbn);
	add_number(object, "file", leaf->shown.place.file);
	add_number(object, "block", leaf->shown.place.block);
	add_number(object, "records", leaf->shown.records);
	add_number(object, "bytes", leaf->shown.bytes);
	add_number(object, "marks", leaf->shown.marks);
	add_number(object, "records_read", leaf->shown.records_read);
	add_number(object, "bytes_read", leaf->shown.bytes_read);
	json_object_object_add(object, "early_warning",
			       json_object_new_boolean(leaf->shown.early_warning));
	add_number(object, "ew_lbn", leaf->shown.ew_lbn);
	add_number(object, "room", leaf->shown.room);
	if (leaf->shown.error[0])
		json_object_object_add(object, "error",
				       json_object_new_string(leaf->shown.error));
	add_partitions(leaf, object);
	add_volumes(leaf, object);
	pthread_mutex_unlock(&leaf->lock);
}
