// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Coders: commands and results, fixed blocks and the pipeline of the filters that
 * write records in another form.  See coder.h.  This file decides what is begun, and
 * when; a cell's memory and way are coder_cells.c's, answers coder_results.c's.
 *
 * Cells.  Each command is one cell or more in a ring, in order: READ and WRITE one
 * for each record, as the child has variable records only; all else one.  Those of
 * WRITE are coded by the pool, many at once, then given to the child in order; those of
 * READ are given to the child in order, and decoded when they have come back.  A hand is
 * a task of the pool's that codes as long as there are cells, small ones in runs.  A
 * command is answered when its last cell is the first of the ring and done.
 *
 * Order.  WRITE and WRITE FILEMARKS follow each other without waiting, so do READs;
 * everything else waits until what is before it is done, and is alone.  So is what
 * has no known place.
 *
 * Exceptions.  From the first CHECK on, the child's or the codec's, nothing is begun
 * and nothing given to the child (frozen): nothing is written behind it.  What was
 * read behind it is CANCELLED; that the child then stands elsewhere (strayed) is no
 * harm to commands that name their place, and HERE is made the place that was answered
 * last.
 *
 * Reading.  The child is asked for what the application asks for, and the head.  A
 * record that does not fit is longer than asked for anyway, so it is an exception; it
 * is read once more with room for all of it, as only the whole can be decoded and tells
 * the length.  What is behind it was cancelled meanwhile, so it must end in an exception:
 * if it was cancelled it is read again, and if it turns out to fit it is a failure.
 *
 * Write-once media.  After a crash commands are repeated, and such a drive tells what it
 * has by comparing.  Coded again, a record is another one, so it would be refused, and
 * what was acknowledged be lost: nothing is written to them.  They can be read.
 *
 * Errands.  What must wait for the child's answer, to find a place or to look at what
 * is on the tape, is done by a thread of the pool when nothing is in flight, and
 * nothing is begun meanwhile.
 *
 * Lock.  coder->lock guards all; it is held while submitting to the child (whose
 * locks are inside), never while calling done() or warnings.  One thread at a time
 * publishes.
 */
#include <errno.h>
#include <json-c/json.h>
#include <string.h>
#include <syslog.h>

#include "coder_parts.h"

#define THREADS_MAX 64
#define WAKE_BYTES (512u << 10)	/* for less the child is not woken, if more come */
#define CELLS 64		/* and as many a thread, as waking is dear ... */
#define LARGE_CELLS 2		/* ... but no more than these and two a thread, if they ... */
#define LARGE_BYTES (1u << 20)	/* ... have this a thread */

static struct pmt_coder *coder_of(struct pmt_drive *drive)
{
	return (struct pmt_coder *)drive;
}

static uint32_t record_size(const struct pmt_command *cmd)
{
	return cmd->block_size ? cmd->block_size : cmd->length;
}

static uint32_t parts(const struct pmt_command *cmd)
{
	return has_records(cmd) ? pmt_command_records(cmd) : 1;
}

/* Errands */

struct waiter {
	struct pmt_coder *coder;
	pthread_cond_t cond;
	bool done;
};

static void wake_waiter(struct pmt_request *req)
{
	struct waiter *waiter = req->context;
	struct pmt_coder *c = waiter->coder;

	pthread_mutex_lock(&c->lock);
	waiter->done = true;
	pthread_cond_signal(&waiter->cond);
	pthread_mutex_unlock(&c->lock);
}

struct pmt_result pmt_coder_ask(struct pmt_coder *c, const struct pmt_command *cmd,
				void *data)
{
	struct waiter waiter = { c, PTHREAD_COND_INITIALIZER, false };
	struct pmt_request req = { .cmd = *cmd, .data = data, .done = wake_waiter,
				   .context = &waiter };

	pthread_mutex_lock(&c->lock);
	req.cmd.number = c->number++;
	pmt_worker_submit(c->worker, &req);
	while (!waiter.done)
		pthread_cond_wait(&waiter.cond, &c->lock);
	if (req.result.status == PMT_STATUS_CHECK)
		pmt_worker_resume(c->worker);
	if (req.result.status != PMT_STATUS_CANCELLED)
		c->cookie = req.result.cookie;
	pthread_mutex_unlock(&c->lock);
	pthread_cond_destroy(&waiter.cond);
	return req.result;
}

/* Where the first to be begun applies; or the verdict. */
static void find_place(struct pmt_coder *c, struct pmt_cell *errand)
{
	struct pmt_command go = { .op = PMT_OP_SPACE, .place = errand->place,
				  .flags = errand->req.cmd.flags & PMT_CMD_HERE };
	struct pmt_result result = pmt_coder_ask(c, &go, NULL);

	if (result.status == PMT_STATUS_GOOD && result.place.lbn != PMT_UNKNOWN)
		errand->place = result.place;
	else if (result.status == PMT_STATUS_CHECK)
		errand->rc = pmt_cell_fail(errand, result.key,
					   (unsigned int)result.asc << 8 | result.ascq,
					   "the place is not found");
	else
		errand->rc = pmt_cell_fail(errand, PMT_KEY_ABORTED, 0x3b00,
					   "the drive does not tell the block number, "
					   "without which nothing is written");
}

/* It is told; or else what is to be written will be refused for the same reason. */
static void ask_medium(struct pmt_coder *c, struct pmt_cell *errand)
{
	struct pmt_request req = { .cmd = { .op = PMT_OP_TEST, .place = errand->place } };
	const struct pmt_result *result = &req.result;

	req.result = pmt_coder_ask(c, &req.cmd, NULL);
	if (result->status == PMT_STATUS_CHECK && result->key == PMT_KEY_ATTENTION)
		errand->rc = pmt_cell_fail(errand, result->key,
					   (unsigned int)result->asc << 8 | result->ascq,
					   "attention before writing");
	pthread_mutex_lock(&c->lock);
	pmt_coder_note_medium(c, &req);
	c->asked = !errand->rc;
	pthread_mutex_unlock(&c->lock);
}

static void run_errand(struct pmt_task *task, unsigned int thread)
{
	struct pmt_coder *c = (void *)((char *)task - offsetof(struct pmt_coder, errand_task));
	struct pmt_cell *errand = &c->errand;
	bool asking = errand->req.cmd.op == PMT_OP_TEST;
	bool reading = errand->req.cmd.op == PMT_OP_READ;
	bool finding = !asking && !reading &&
		       (errand->place.lbn == PMT_UNKNOWN ||
			(errand->req.cmd.flags & PMT_CMD_HERE));

	(void)thread;
	if (asking)
		ask_medium(c, errand);
	else if (finding)
		find_place(c, errand);
	else
		errand->rc = pmt_cell_make_room(errand, c->below.record_max);
	if (!asking && !finding && errand->rc == 0)
		errand->rc = c->codec->look(c, errand);
	pmt_cell_forget_room(errand);
	pthread_mutex_lock(&c->lock);
	c->on_errand = false;
	c->found = c->found || finding;
	c->looked = !finding && !asking;
	if (finding)
		c->at = errand->place;
	if (errand->rc) {
		pmt_coder_note_failure(c, errand);
		c->verdict[0] = errand->key;
		c->verdict[1] = errand->asc;
		c->verdict[2] = errand->ascq;
	}
	pmt_coder_advance(c);
	pthread_mutex_unlock(&c->lock);
}

static void set_out(struct pmt_coder *c, const struct pmt_command *cmd,
		    const struct pmt_place *place)
{
	struct pmt_cell *errand = &c->errand;

	errand->coder = c;
	errand->req.cmd = *cmd;
	if (c->found)
		errand->req.cmd.flags &= (uint16_t)~PMT_CMD_HERE;
	errand->place = *place;
	errand->rc = 0;
	c->errand_task.run = run_errand;
	c->on_errand = true;
	c->strayed = c->strayed || cmd->op != PMT_OP_TEST;
	pmt_pool_add(c->pool, &c->errand_task);
}

/* Beginning */

static bool is_wanted(struct pmt_coder *c, const struct pmt_request *req)
{
	if (c->begun)
		return true;
	if (c->cancelling && !pmt_number_before(req->cmd.number, c->cancel))
		c->cancelling = false;
	return !c->cancelling;
}

static bool may_begin(const struct pmt_coder *c, const struct pmt_command *cmd)
{
	const struct pmt_command *before;

	if (!c->used)
		return true;
	if (cell_at(c, c->used - 1)->refused)
		return false;
	before = &cell_at(c, c->used - 1)->up->cmd;
	return !is_alone(cmd) && !is_alone(before) && class_of(cmd) == class_of(before);
}

static void begin_next(struct pmt_coder *c)
{
	c->begin = c->begin->next;
	c->begun = 0;
	c->found = c->looked = false;
	memset(c->verdict, 0, sizeof(c->verdict));
}

/* The cell behind those that are used, for the next part of the next command. */
static struct pmt_cell *next_cell(struct pmt_coder *c)
{
	struct pmt_cell *cell = cell_at(c, c->used);

	cell->coder = c;
	cell->up = c->begin;
	cell->req.cmd = c->begin->cmd;
	cell->req.data = c->begin->data;
	memset(&cell->req.result, 0, sizeof(cell->req.result));
	cell->place = c->begin->cmd.place;
	cell->part = c->begun;
	cell->last = c->begun + 1 == parts(&c->begin->cmd);
	cell->again = cell->refused = false;
	cell->rc = 0;
	cell->plain = NULL;
	cell->size = cell->length = cell->coded_length = 0;
	return cell;
}

static void take_cell(struct pmt_coder *c, struct pmt_cell *cell)
{
	c->used++;
	c->bytes += cell->size;
	c->begun++;
	if (cell->last)
		begin_next(c);
}

static void cancel_rest(struct pmt_coder *c)
{
	struct pmt_cell *cell = next_cell(c);

	pmt_result_cancelled(&cell->req);
	cell->state = PMT_CELL_DONE;
	cell->last = true;
	take_cell(c, cell);
}

/* The child only says where it stands. */
static void refuse(struct pmt_coder *c, struct pmt_cell *cell, uint8_t key, uint8_t asc,
		   uint8_t ascq)
{
	cell->key = key;
	cell->asc = asc;
	cell->ascq = ascq;
	cell->refused = cell->last = true;
	cell->req.cmd = (struct pmt_command){
		.op = PMT_OP_TEST, .place = cell->up->cmd.place,
		.flags = cell->up->cmd.flags & PMT_CMD_HERE,
	};
	cell->state = PMT_CELL_READY;
	take_cell(c, cell);
}

static uint32_t largest(const struct pmt_coder *c)
{
	return c->below.record_max > c->codec->head ? c->below.record_max - c->codec->head : 0;
}

static bool length_fits(const struct pmt_coder *c, const struct pmt_command *cmd)
{
	uint64_t size = record_size(cmd);

	if (cmd->block_size && cmd->length % cmd->block_size)
		return false;
	return cmd->op == PMT_OP_READ ||
	       (size <= largest(c) && size + c->codec->head >= c->below.record_min);
}

static struct pmt_place part_place(const struct pmt_command *cmd, uint32_t part)
{
	struct pmt_command before = *cmd;

	before.length = part * cmd->block_size;
	return part ? pmt_place_after(&before) : cmd->place;
}

static void set_record(struct pmt_coder *c, struct pmt_cell *cell)
{
	struct pmt_command *cmd = &cell->req.cmd;

	if (c->found) {
		cmd->place = c->at;
		cmd->flags &= (uint16_t)~PMT_CMD_HERE;
	}
	cell->size = record_size(cmd);
	cell->plain = (unsigned char *)cell->up->data + (size_t)cell->part * cell->size;
	cmd->place = cell->place = part_place(cmd, cell->part);
	cmd->block_size = 0;
}

static bool begin_read(struct pmt_coder *c, struct pmt_cell *cell)
{
	struct pmt_command *cmd = &cell->req.cmd;
	uint64_t ask;

	set_record(c, cell);
	if (c->codec->expect && !c->looked && c->codec->expect(c, cell) == -EAGAIN) {
		if (!c->used)
			set_out(c, &cell->req.cmd, &cell->place);
		return false;
	}
	ask = (uint64_t)cell->size + c->codec->head;
	if (ask > c->below.record_max || !place_known(&cell->place))
		ask = c->below.record_max;
	cmd->length = (uint32_t)ask;
	cell->state = PMT_CELL_READY;
	pmt_cell_take_spare(c, cell, 0);
	cell->rc = pmt_cell_make_room(cell, cmd->length);
	cell->req.data = cell->coded;
	take_cell(c, cell);
	return true;
}

/* Is everything known that the codec needs?  Else it is being found out. */
static bool is_prepared(struct pmt_coder *c, struct pmt_cell *cell)
{
	static const struct pmt_command test = { .op = PMT_OP_TEST };

	if (!c->asked) {
		if (!c->used)
			set_out(c, &test, &cell->place);
		return false;
	}
	if (c->once) {
		cell->rc = pmt_cell_fail(cell, PMT_KEY_PROTECT, 0x3005, "the tape is "
					 "write-once, and a record would not be the same "
					 "when it is written again: use another tape");
		return true;
	}
	if (c->codec->places && !c->found &&
	    (cell->place.lbn == PMT_UNKNOWN || (cell->req.cmd.flags & PMT_CMD_HERE))) {
		set_out(c, &cell->req.cmd, &cell->place);
		return false;
	}
	cell->rc = c->codec->prepare ? c->codec->prepare(c, cell) : 0;
	if (cell->rc != -EAGAIN || c->looked)
		return true;
	if (!c->used)
		set_out(c, &cell->req.cmd, &cell->place);
	return false;
}

static bool begin_write(struct pmt_coder *c, struct pmt_cell *cell)
{
	set_record(c, cell);
	if (!is_prepared(c, cell))
		return false;
	if (cell->rc == 0)
		pmt_cell_have_coded(c, cell);
	else
		cell->state = PMT_CELL_READY;
	take_cell(c, cell);
	return true;
}

static void begin_other(struct pmt_coder *c, struct pmt_cell *cell)
{
	struct pmt_command *cmd = &cell->req.cmd;

	cmd->block_size = 0;
	if (cmd->op == PMT_OP_MODE) {
		cmd->modes.block_size = 0;
		if (c->codec->modes)
			cmd->modes.compression = c->codec->modes(c, &cmd->modes);
	}
	if (c->codec->other)
		c->codec->other(c, cmd);
	cell->state = PMT_CELL_READY;
	take_cell(c, cell);
}

/* HERE is where the unit stands, if the child may stand elsewhere. */
static bool resolve_here(struct pmt_coder *c, struct pmt_cell *cell)
{
	struct pmt_command *cmd = &cell->req.cmd;

	if (!(cmd->flags & PMT_CMD_HERE) || !c->strayed || c->found)
		return true;
	if (!place_known(&c->stand))
		return false;
	cell->place = cmd->place = c->stand;
	cmd->flags &= (uint16_t)~PMT_CMD_HERE;
	return true;
}

/* More than the processor's cache holds would only be slower. */
static bool is_full(const struct pmt_coder *c)
{
	return c->used == c->n_cells ||
	       (c->used >= LARGE_CELLS + 2 * c->threads &&
		c->bytes >= (size_t)LARGE_BYTES * c->threads);
}

static bool begin(struct pmt_coder *c)
{
	struct pmt_request *up = c->begin;
	struct pmt_cell *cell;

	if (!up || is_full(c) || c->on_errand)
		return false;
	if (c->frozen || !is_wanted(c, up)) {
		cancel_rest(c);
		return true;
	}
	if (!may_begin(c, &up->cmd))
		return false;
	cell = next_cell(c);
	if (c->verdict[0])
		refuse(c, cell, c->verdict[0], c->verdict[1], c->verdict[2]);
	else if (!resolve_here(c, cell))
		refuse(c, cell, PMT_KEY_ABORTED, 0x3b, 0x00);
	else if (up->cmd.op == PMT_OP_MODE && up->cmd.modes.block_size > largest(c))
		refuse(c, cell, PMT_KEY_ILLEGAL, 0x26, 0x00);
	else if (!has_records(&up->cmd))
		begin_other(c, cell);
	else if (!length_fits(c, &up->cmd))
		refuse(c, cell, PMT_KEY_ILLEGAL, 0x24, 0x00);
	else
		return up->cmd.op == PMT_OP_READ ? begin_read(c, cell) :
						   begin_write(c, cell);
	return true;
}

/*
 * An idle child is woken for some records at once, if more are being coded: that is
 * dear where records are small.
 */
static bool waits_for_more(const struct pmt_coder *c)
{
	size_t bytes = 0;
	unsigned int ready = 0;

	if (c->with_child || c->frozen)
		return false;
	for (unsigned int i = c->sent; i < c->used; i++, ready++) {
		const struct pmt_cell *cell = cell_at(c, i);

		if (cell->state == PMT_CELL_CODING)
			return ready < c->n_cells / 2 && bytes < WAKE_BYTES;
		bytes += cell->coded_length;
	}
	return false;
}

/* To the child, in order. */
static void send_ready(struct pmt_coder *c)
{
	if (waits_for_more(c))
		return;
	for (; c->sent < c->used; c->sent++) {
		struct pmt_cell *cell = cell_at(c, c->sent);

		if (cell->state == PMT_CELL_CODING)
			return;
		if (cell->state != PMT_CELL_READY)
			continue;
		if (!c->frozen && !cell->rc) {
			if (cell->req.cmd.op == PMT_OP_WRITE && cell->size) {
				cell->req.data = cell->coded;
				cell->req.cmd.length = cell->coded_length;
			}
			pmt_cell_send(c, cell);
			continue;
		}
		cell->state = PMT_CELL_DONE;
		if (c->frozen) {
			cell->rc = 0;
			pmt_result_cancelled(&cell->req);
			continue;
		}
		pmt_result_check(&cell->req, cell->key, cell->asc, cell->ascq);
		cell->req.result.cookie = c->cookie;
		c->frozen = true;
	}
}

/* The one that was longer, when the child is quiet. */
static void send_longer(struct pmt_coder *c)
{
	for (unsigned int i = 0; !c->with_child && i < c->used; i++) {
		struct pmt_cell *cell = cell_at(c, i);
		uint64_t more = c->below.record_max;

		if (cell->state != PMT_CELL_LONGER)
			continue;
		if (more < cell->req.cmd.length - (uint64_t)cell->req.result.residue)
			more = PMT_RECORD_MAX;
		pmt_worker_resume(c->worker);
		cell->again = true;
		cell->req.cmd.length = (uint32_t)more;
		cell->rc = pmt_cell_make_room(cell, more);
		cell->req.data = cell->coded;
		if (cell->rc)
			cell->state = PMT_CELL_DONE;
		else
			pmt_cell_send(c, cell);
	}
}

static void run_behind(struct pmt_task *task, unsigned int thread)
{
	struct pmt_coder *c = (void *)((char *)task - offsetof(struct pmt_coder, errand_task));
	struct pmt_cell *errand = &c->errand;
	struct pmt_cell *cell = cell_at(c, 0);

	(void)thread;
	errand->rc = pmt_cell_make_room(errand, c->below.record_max);
	if (errand->rc == 0)
		errand->rc = c->codec->behind(c, errand);
	pmt_cell_forget_room(errand);
	pthread_mutex_lock(&c->lock);
	c->on_errand = false;
	if (errand->rc)
		cell->rc = pmt_cell_fail(cell, errand->key,
					 (unsigned int)errand->asc << 8 | errand->ascq,
					 "%s", errand->why);
	cell->state = PMT_CELL_DONE;
	pmt_coder_advance(c);
	pthread_mutex_unlock(&c->lock);
}

/* The first is a mark, and the child is quiet. */
static void look_behind(struct pmt_coder *c)
{
	struct pmt_cell *errand = &c->errand;

	if (c->with_child || !c->used || cell_at(c, 0)->state != PMT_CELL_MARK || c->on_errand)
		return;
	if (c->failed) {
		cell_at(c, 0)->state = PMT_CELL_DONE;
		return;
	}
	pmt_worker_resume(c->worker);
	errand->coder = c;
	errand->place = cell_at(c, 0)->req.result.place;
	errand->rc = 0;
	c->errand_task.run = run_behind;
	c->on_errand = c->strayed = true;
	pmt_pool_add(c->pool, &c->errand_task);
}

static void pump(struct pmt_coder *c)
{
	while (begin(c))
		;
	send_ready(c);
	send_longer(c);
	look_behind(c);
}

/* Publishing */

static bool first_done(const struct pmt_coder *c)
{
	return c->used && c->sent && cell_at(c, 0)->state == PMT_CELL_DONE;
}

/* Begin what can begin, publish what is done; one thread at a time. */
void pmt_coder_advance(struct pmt_coder *c)
{
	if (c->publishing)
		return;
	c->publishing = true;
	for (pump(c); first_done(c); pump(c))
		pmt_coder_retire(c);
	c->publishing = false;
	pthread_cond_broadcast(&c->quiet);
}

static void kick(struct pmt_task *task, unsigned int thread)
{
	struct pmt_coder *c = (void *)((char *)task - offsetof(struct pmt_coder, kick));

	(void)thread;
	pthread_mutex_lock(&c->lock);
	c->kicked = false;
	pmt_coder_advance(c);
	pthread_mutex_unlock(&c->lock);
}

/* Not published here: by another thread. */
static void advance_elsewhere(struct pmt_coder *c)
{
	pump(c);
	if (!first_done(c) || c->kicked)
		return;
	c->kicked = true;
	c->kick.run = kick;
	pmt_pool_add(c->pool, &c->kick);
}

/* The drive */

void pmt_coder_submit(struct pmt_drive *drive, struct pmt_request *req)
{
	struct pmt_coder *c = coder_of(drive);

	req->next = NULL;
	pthread_mutex_lock(&c->lock);
	*c->queue_end = req;
	c->queue_end = &req->next;
	if (!c->begin)
		c->begin = req;
	advance_elsewhere(c);
	pthread_mutex_unlock(&c->lock);
}

void pmt_coder_resume(struct pmt_drive *drive)
{
	struct pmt_coder *c = coder_of(drive);

	pthread_mutex_lock(&c->lock);
	c->frozen = c->failed = false;
	pmt_worker_resume(c->worker);
	pthread_mutex_unlock(&c->lock);
}

/* Of what the child has: READs alone. */
static void cancel_child(struct pmt_coder *c)
{
	for (unsigned int i = 0; i < c->sent; i++) {
		const struct pmt_cell *cell = cell_at(c, i);

		if (class_of(&cell->up->cmd) != CLASS_READ)
			return;
		if (!pmt_number_before(cell->up->cmd.number, c->cancel)) {
			pmt_worker_cancel(c->worker, cell->req.cmd.number);
			return;
		}
	}
	if (c->sent)
		pmt_worker_cancel(c->worker, c->number);
}

void pmt_coder_cancel(struct pmt_drive *drive, uint32_t number)
{
	struct pmt_coder *c = coder_of(drive);

	pthread_mutex_lock(&c->lock);
	if (!c->cancelling || pmt_number_before(c->cancel, number))
		c->cancel = number;
	c->cancelling = true;
	cancel_child(c);
	advance_elsewhere(c);
	pthread_mutex_unlock(&c->lock);
}

/* The child met it with a record; the command of that is told. */
static void early_warning(const struct pmt_session *session, const struct pmt_place *place)
{
	struct pmt_coder *c = session->context;
	const struct pmt_session *above = c->drive.session;
	struct pmt_place of = *place;

	pthread_mutex_lock(&c->lock);
	for (unsigned int i = 0; i < c->sent; i++) {
		const struct pmt_cell *cell = cell_at(c, i);

		if (cell->state == PMT_CELL_SENT && cell->part &&
		    pmt_place_same(&cell->place, place) && of.lbn != PMT_UNKNOWN)
			of.lbn -= cell->part;
	}
	pthread_mutex_unlock(&c->lock);
	if (above && above->early_warning)
		above->early_warning(above, &of);
}

static void event(const struct pmt_session *session, unsigned int number, const char *text)
{
	struct pmt_coder *c = session->context;
	const struct pmt_session *above = c->drive.session;

	if (above && above->event)
		above->event(above, number, text);
}

const struct pmt_session *pmt_coder_session(struct pmt_drive *drive,
					    const struct pmt_session *session)
{
	struct pmt_coder *c = coder_of(drive);

	c->session = *session;
	c->session.modes.block_size = 0;
	if (c->codec->modes)
		c->session.modes.compression = c->codec->modes(c, &session->modes);
	c->session.early_warning = early_warning;
	c->session.event = event;
	c->session.context = c;
	return &c->session;
}

int pmt_coder_attach(struct pmt_drive *drive, const struct pmt_session *session)
{
	struct pmt_coder *c = coder_of(drive);

	pmt_drive_limits(drive->child, &c->below);
	c->frozen = c->failed = c->strayed = c->cancelling = c->asked = false;
	c->stand.lbn = c->stand.file = c->stand.block = PMT_UNKNOWN;
	c->cookie = session->cookie;
	if (largest(c))
		return 0;
	pmt_log(LOG_ERR, "%s: what is below takes records of %u bytes at most; %u are too few",
		drive->text, c->below.record_max, c->codec->head);
	return -ERANGE;
}

void pmt_coder_settle(struct pmt_drive *drive)
{
	struct pmt_coder *c = coder_of(drive);

	pthread_mutex_lock(&c->lock);
	while (c->publishing || c->kicked || c->on_errand)
		pthread_cond_wait(&c->quiet, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

void pmt_coder_limits(struct pmt_drive *drive, struct pmt_limits *limits)
{
	struct pmt_coder *c = coder_of(drive);
	uint32_t head = c->codec->head;

	limits->record_min = limits->record_min > head + 1 ? limits->record_min - head : 1;
	limits->record_max = limits->record_max > head + 1 ? limits->record_max - head : 1;
	limits->record_cost += (head * limits->byte_cost + 255) / 256;
}

int pmt_coder_threads(const struct pmt_spec *spec, unsigned int *threads)
{
	uint64_t n = pmt_processors();
	int rc;

	if (n > THREADS_MAX)
		n = THREADS_MAX;
	rc = pmt_spec_number(spec, "threads", 1, THREADS_MAX, &n);
	*threads = (unsigned int)n;
	return rc == -ENOENT ? 0 : rc;
}

int pmt_coder_open(struct pmt_coder *c, const struct pmt_codec *codec, unsigned int threads)
{
	int rc;

	c->codec = codec;
	c->threads = threads;
	c->queue_end = &c->queue;
	c->n_cells = CELLS + CELLS * threads;
	c->number = 1;
	c->to_code_end = &c->to_code;
	c->hands = calloc(threads, sizeof(*c->hands));
	c->cells = calloc(c->n_cells, sizeof(*c->cells));
	c->spares = calloc(c->n_cells, sizeof(*c->spares));
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->quiet, NULL);
	pmt_drive_limits(c->drive.child, &c->below);
	rc = c->cells && c->spares && c->hands ? pmt_worker_new(&c->worker, c->drive.child) : -ENOMEM;
	if (rc == 0)
		rc = pmt_pool_new(&c->pool, threads);
	if (rc)
		pmt_coder_close(c);
	return rc;
}

void pmt_coder_close(struct pmt_coder *c)
{
	pmt_worker_free(c->worker);
	pmt_pool_free(c->pool);
	while (c->spares && c->n_spares)
		free(c->spares[--c->n_spares].memory);
	free(c->spares);
	free(c->cells);
	free(c->hands);
	pthread_cond_destroy(&c->quiet);
	pthread_mutex_destroy(&c->lock);
}

/* Status */

static void add(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_int64((int64_t)value));
}

void pmt_coder_status(struct pmt_drive *drive, struct json_object *object)
{
	struct pmt_coder *c = coder_of(drive);

	pthread_mutex_lock(&c->lock);
	add(object, "threads", c->threads);
	add(object, "records", c->written.records);
	add(object, "bytes", c->written.plain);
	add(object, "coded_bytes", c->written.coded);
	add(object, "records_read", c->read.records);
	add(object, "bytes_read", c->read.plain);
	add(object, "coded_bytes_read", c->read.coded);
	add(object, "failures", c->failures);
	if (c->failures)
		json_object_object_add(object, "failure",
				       json_object_new_string(c->failure));
	if (c->codec->status)
		c->codec->status(c, object);
	pthread_mutex_unlock(&c->lock);
}
