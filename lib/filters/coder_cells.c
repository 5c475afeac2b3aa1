// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Coders: a cell's memory, which goes from one to the next, and a cell's way: coded by
 * the pool, given to the child, come back, decoded.  See coder.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coder_parts.h"

#define RUN_BYTES (128u << 10)	/* of small records, coded at once: locks and waking are dear */

int pmt_cell_fail(struct pmt_cell *cell, uint8_t key, unsigned int asc_ascq,
		  const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(cell->why, sizeof(cell->why), format, arguments);
	va_end(arguments);
	cell->key = key;
	cell->asc = (uint8_t)(asc_ascq >> 8);
	cell->ascq = (uint8_t)asc_ascq;
	return -EBADMSG;
}

static int no_memory(struct pmt_cell *cell)
{
	return pmt_cell_fail(cell, PMT_KEY_HARDWARE, 0x4400, "no memory");
}

void pmt_cell_forget_room(struct pmt_cell *cell)
{
	free(cell->coded);
	cell->coded = NULL;
	cell->coded_size = 0;
}

/* The memory that the thread used last, as it is in the cache of its processor. */
void pmt_cell_take_spare(struct pmt_coder *c, struct pmt_cell *cell, unsigned int thread)
{
	unsigned int i = c->n_spares;

	if (cell->coded || !i)
		return;
	while (i && c->spares[i - 1].thread != thread)
		i--;
	i = i ? i - 1 : c->n_spares - 1;
	cell->coded = c->spares[i].memory;
	cell->coded_size = c->spares[i].size;
	c->n_spares--;
	memmove(&c->spares[i], &c->spares[i + 1], (c->n_spares - i) * sizeof(*c->spares));
}

void pmt_cell_give_back(struct pmt_coder *c, struct pmt_cell *cell)
{
	if (!cell->coded)
		return;
	c->spares[c->n_spares].memory = cell->coded;
	c->spares[c->n_spares].thread = cell->thread;
	c->spares[c->n_spares++].size = cell->coded_size;
	cell->coded = NULL;
	cell->coded_size = 0;
}

int pmt_cell_make_room(struct pmt_cell *cell, size_t size)
{
	void *memory;

	if (cell->coded_size >= size)
		return 0;
	size = (size + PMT_PAGE - 1) / PMT_PAGE * PMT_PAGE;
	pmt_cell_forget_room(cell);
	if (posix_memalign(&memory, PMT_PAGE, size))
		return no_memory(cell);
	cell->coded = memory;
	cell->coded_size = size;
	return 0;
}

static int encode(struct pmt_coder *c, struct pmt_cell *cell, unsigned int thread)
{
	int rc = pmt_cell_make_room(cell, (size_t)cell->size + c->codec->head);

	return rc ? rc : c->codec->encode(c, cell, thread);
}

static bool is_read(const struct pmt_cell *cell)
{
	return cell->req.cmd.op == PMT_OP_READ;
}

static uint32_t work_of(const struct pmt_cell *cell)
{
	return is_read(cell) ? cell->coded_length : cell->size;
}

/*
 * The first of those to be coded, and the next ones where they are small.  Lock held.
 * Memory is taken as late as can be: then it is little, and that in the cache.
 */
static struct pmt_cell *take_run(struct pmt_coder *c, unsigned int thread)
{
	struct pmt_cell *first = c->to_code, *cell = NULL;
	size_t bytes = 0;

	while (c->to_code && bytes < RUN_BYTES) {
		cell = c->to_code;
		c->to_code = cell->next;
		bytes += work_of(cell);
		cell->thread = thread;
		if (!is_read(cell))
			pmt_cell_take_spare(c, cell, thread);
	}
	if (cell)
		cell->next = NULL;
	if (!c->to_code)
		c->to_code_end = &c->to_code;
	c->to_code_bytes -= bytes;
	return first;
}

static void code_run(struct pmt_coder *c, struct pmt_cell *first, unsigned int thread)
{
	for (struct pmt_cell *cell = first; cell; cell = cell->next)
		cell->rc = is_read(cell) ? c->codec->decode(c, cell, thread) :
					   encode(c, cell, thread);
	pthread_mutex_lock(&c->lock);
	for (struct pmt_cell *cell = first; cell; cell = cell->next)
		cell->state = is_read(cell) ? PMT_CELL_DONE : PMT_CELL_READY;
	pmt_coder_advance(c);
}

static void code(struct pmt_task *task, unsigned int thread)
{
	struct pmt_hand *hand = (void *)((char *)task - offsetof(struct pmt_hand, task));
	struct pmt_coder *c = hand->coder;
	struct pmt_cell *first;

	pthread_mutex_lock(&c->lock);
	while ((first = take_run(c, thread))) {
		pthread_mutex_unlock(&c->lock);
		code_run(c, first, thread);
	}
	hand->busy = false;
	pthread_mutex_unlock(&c->lock);
}

/* One more is only of use where there is more than the others take at once. */
static void wake_hand(struct pmt_coder *c)
{
	struct pmt_hand *idle = NULL;
	unsigned int busy = 0;

	for (unsigned int i = 0; i < c->threads; i++) {
		busy += c->hands[i].busy;
		if (!c->hands[i].busy)
			idle = &c->hands[i];
	}
	if (!idle || (busy && c->to_code_bytes < 2 * RUN_BYTES))
		return;
	idle->busy = true;
	idle->coder = c;
	idle->task.run = code;
	pmt_pool_add(c->pool, &idle->task);
}

void pmt_cell_have_coded(struct pmt_coder *c, struct pmt_cell *cell)
{
	cell->state = PMT_CELL_CODING;
	cell->next = NULL;
	*c->to_code_end = cell;
	c->to_code_end = &cell->next;
	c->to_code_bytes += work_of(cell);
	wake_hand(c);
}

static void cell_back(struct pmt_request *);

void pmt_cell_send(struct pmt_coder *c, struct pmt_cell *cell)
{
	cell->req.cmd.number = c->number++;
	cell->req.done = cell_back;
	cell->req.context = cell;
	cell->state = PMT_CELL_SENT;
	c->with_child++;
	pmt_worker_submit(c->worker, &cell->req);
}

static bool is_longer(const struct pmt_cell *cell)
{
	const struct pmt_result *result = &cell->req.result;

	return result->status == PMT_STATUS_CHECK && result->key == PMT_KEY_NONE &&
	       (result->sense & PMT_SENSE_ILI) && result->residue < 0;
}

static bool is_mark(const struct pmt_cell *cell)
{
	const struct pmt_result *result = &cell->req.result;

	return result->status == PMT_STATUS_CHECK && result->key == PMT_KEY_NONE &&
	       (result->sense & PMT_SENSE_FILEMARK) && place_known(&result->place);
}

static void record_read(struct pmt_coder *c, struct pmt_cell *cell)
{
	const struct pmt_result *result = &cell->req.result;

	cell->state = PMT_CELL_DONE;
	if (is_longer(cell) && cell->again) {
		cell->rc = pmt_cell_fail(cell, PMT_KEY_MEDIUM, 0x1100,
					 "a record is longer than any that is written here");
	} else if (c->codec->behind && is_mark(cell)) {
		cell->state = PMT_CELL_MARK;
	} else if (is_longer(cell) ||
		   (cell->again && result->status == PMT_STATUS_CANCELLED)) {
		cell->state = PMT_CELL_LONGER;
	} else if (result->status == PMT_STATUS_GOOD) {
		cell->coded_length = (uint32_t)(cell->req.cmd.length - result->residue);
		pmt_cell_have_coded(c, cell);
	}
}

/* Of an answer to TEST or LOAD. */
void pmt_coder_note_medium(struct pmt_coder *c, const struct pmt_request *req)
{
	const struct pmt_result *result = &req->result;
	bool told = result->status == PMT_STATUS_GOOD &&
		    (req->cmd.op == PMT_OP_TEST || req->cmd.op == PMT_OP_LOAD);

	if (!told && req->cmd.op == PMT_OP_TEST)
		return;
	c->asked = told;
	c->once = told && (result->medium_flags & PMT_MEDIUM_WORM);
}

static void renew_limits(struct pmt_coder *c, const struct pmt_request *req)
{
	unsigned int op = req->cmd.op;
	struct pmt_limits limits;

	if (op != PMT_OP_TEST && op != PMT_OP_LOAD && op != PMT_OP_UNLOAD &&
	    op != PMT_OP_FORMAT)
		return;
	pmt_drive_limits(c->drive.child, &limits);
	pthread_mutex_lock(&c->lock);
	c->below = limits;
	pmt_coder_note_medium(c, req);
	pthread_mutex_unlock(&c->lock);
}

static void cell_back(struct pmt_request *req)
{
	struct pmt_cell *cell = req->context;
	struct pmt_coder *c = cell->coder;

	renew_limits(c, req);
	if (c->codec->done && is_alone(&req->cmd))
		c->codec->done(c, req);
	pthread_mutex_lock(&c->lock);
	c->with_child--;
	cell->state = PMT_CELL_DONE;
	if (req->result.status == PMT_STATUS_CHECK)
		c->frozen = true;
	if (req->result.status != PMT_STATUS_CANCELLED)
		c->cookie = req->result.cookie;
	if (class_of(&cell->up->cmd) == CLASS_READ && !cell->refused)
		record_read(c, cell);
	/* Now, not when it is answered: the next is coded into it while it is in the cache. */
	else if (cell->req.cmd.op == PMT_OP_WRITE && req->result.status == PMT_STATUS_GOOD)
		pmt_cell_give_back(c, cell);
	pmt_coder_advance(c);
	pthread_mutex_unlock(&c->lock);
}
