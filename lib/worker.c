// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Workers: one thread and one queue, which give submit() to a drive that has
 * execute().  A drive that has submit() needs no thread; the worker passes on.
 *
 * Law 2: after a CHECK what is queued and what comes is CANCELLED until
 * resume().  cancel(n) holds for requests that come later, too: until one with a
 * number that is not before n is begun.
 *
 * do() is submit() by the one thread that submits, and may tell the request before it
 * returns: records for a drive that never waits for long are moved by the caller, as
 * waking another thread for them takes longer than that.
 *
 * The lock guards the queue and the flags; it is not held while a request is
 * executed nor while done() runs, and is the innermost lock of its user.  The thread is
 * woken when it is not held, or would wait for it at once.
 */
#include <errno.h>

#include "internal.h"

struct pmt_worker {
	struct pmt_drive *drive;
	bool threaded;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;		/* the queue is not empty, or stop */
	struct pmt_request *first, **last;
	bool stop;
	bool busy;			/* a request is executed, or told */
	bool frozen;			/* since a CHECK */
	bool cancelling;		/* cancel is valid */
	uint32_t cancel;
};

static struct pmt_request *take(struct pmt_worker *worker)
{
	struct pmt_request *req;

	while (worker->busy || (!worker->first && !worker->stop))
		pthread_cond_wait(&worker->cond, &worker->lock);
	req = worker->first;
	if (!req)
		return NULL;
	worker->first = req->next;
	if (!worker->first)
		worker->last = &worker->first;
	return req;
}

/* Lock held, but given up meanwhile; nothing else is begun. */
static void execute(struct pmt_worker *worker, struct pmt_request *req)
{
	bool wanted;

	if (worker->cancelling && !pmt_number_before(req->cmd.number, worker->cancel))
		worker->cancelling = false;
	wanted = !worker->frozen && !worker->cancelling;
	worker->busy = true;
	pthread_mutex_unlock(&worker->lock);
	if (wanted)
		pmt_drive_execute(worker->drive, req);
	else
		pmt_result_cancelled(req);
	pthread_mutex_lock(&worker->lock);
	if (req->result.status == PMT_STATUS_CHECK)
		worker->frozen = true;
	pthread_mutex_unlock(&worker->lock);
	req->done(req);
	pthread_mutex_lock(&worker->lock);
	worker->busy = false;
}

static void *work(void *context)
{
	struct pmt_worker *worker = context;
	struct pmt_request *req;

	pthread_mutex_lock(&worker->lock);
	while ((req = take(worker)))
		execute(worker, req);
	pthread_mutex_unlock(&worker->lock);
	return NULL;
}

int pmt_worker_new(struct pmt_worker **out, struct pmt_drive *drive)
{
	struct pmt_worker *worker = calloc(1, sizeof(*worker));

	if (!worker)
		return -ENOMEM;
	worker->drive = drive;
	worker->last = &worker->first;
	worker->threaded = !drive->ops->submit;
	pthread_mutex_init(&worker->lock, NULL);
	pthread_cond_init(&worker->cond, NULL);
	if (worker->threaded) {
		int rc = pthread_create(&worker->thread, NULL, work, worker);

		if (rc) {
			worker->threaded = false;
			pmt_worker_free(worker);
			return -rc;
		}
	}
	*out = worker;
	return 0;
}

void pmt_worker_free(struct pmt_worker *worker)
{
	if (!worker)
		return;
	if (worker->threaded) {
		pthread_mutex_lock(&worker->lock);
		worker->stop = true;
		pthread_cond_signal(&worker->cond);
		pthread_mutex_unlock(&worker->lock);
		pthread_join(worker->thread, NULL);
	} else if (worker->drive->ops->settle) {
		worker->drive->ops->settle(worker->drive);
	}
	pthread_cond_destroy(&worker->cond);
	pthread_mutex_destroy(&worker->lock);
	free(worker);
}

void pmt_worker_submit(struct pmt_worker *worker, struct pmt_request *req)
{
	if (!worker->threaded) {
		worker->drive->ops->submit(worker->drive, req);
		return;
	}
	req->next = NULL;
	pthread_mutex_lock(&worker->lock);
	*worker->last = req;
	worker->last = &req->next;
	pthread_mutex_unlock(&worker->lock);
	pthread_cond_signal(&worker->cond);
}

void pmt_worker_do(struct pmt_worker *worker, struct pmt_request *req)
{
	bool prompt = worker->threaded && worker->drive->ops->prompt &&
		      (req->cmd.op == PMT_OP_WRITE || req->cmd.op == PMT_OP_READ);

	if (prompt) {
		pthread_mutex_lock(&worker->lock);
		prompt = !worker->busy && !worker->first;
		if (prompt)
			execute(worker, req);
		pthread_mutex_unlock(&worker->lock);
	}
	if (!prompt)
		pmt_worker_submit(worker, req);
}

void pmt_worker_resume(struct pmt_worker *worker)
{
	if (!worker->threaded) {
		if (worker->drive->ops->resume)
			worker->drive->ops->resume(worker->drive);
		return;
	}
	pthread_mutex_lock(&worker->lock);
	worker->frozen = false;
	pthread_mutex_unlock(&worker->lock);
}

void pmt_worker_cancel(struct pmt_worker *worker, uint32_t number)
{
	if (!worker->threaded) {
		if (worker->drive->ops->cancel)
			worker->drive->ops->cancel(worker->drive, number);
		return;
	}
	pthread_mutex_lock(&worker->lock);
	if (!worker->cancelling || pmt_number_before(worker->cancel, number))
		worker->cancel = number;
	worker->cancelling = true;
	pthread_mutex_unlock(&worker->lock);
}
