// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Pools: threads for work that any of them can do, in any order of ending, where a
 * processor each is wanted: coding records.
 *
 * A task belongs to who adds it, until run() is called; run() is told the number
 * of its thread, for what is to be had once a thread.  Tasks are begun in the order
 * of their adding.  The lock guards the queue and is the innermost of its user; a thread
 * is woken when it is not held, or would wait for it at once.
 */
#include <errno.h>
#include <sched.h>

#include "internal.h"

struct pmt_pool {
	pthread_mutex_t lock;
	pthread_cond_t cond;		/* the queue is not empty, or stop */
	struct pmt_task *first, **last;
	bool stop;
	unsigned int n, started;
	struct thread {
		struct pmt_pool *pool;
		unsigned int number;
		pthread_t thread;
	} threads[];
};

unsigned int pmt_processors(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return 1;
	return (unsigned int)CPU_COUNT(&set);
}

/* Lock held.  NULL: it is over. */
static struct pmt_task *take(struct pmt_pool *pool)
{
	struct pmt_task *task;

	while (!pool->first && !pool->stop)
		pthread_cond_wait(&pool->cond, &pool->lock);
	task = pool->first;
	if (!task)
		return NULL;
	pool->first = task->next;
	if (!pool->first)
		pool->last = &pool->first;
	return task;
}

static void *work(void *context)
{
	struct thread *thread = context;
	struct pmt_pool *pool = thread->pool;
	struct pmt_task *task;

	pthread_mutex_lock(&pool->lock);
	while ((task = take(pool))) {
		pthread_mutex_unlock(&pool->lock);
		task->run(task, thread->number);
		pthread_mutex_lock(&pool->lock);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

int pmt_pool_new(struct pmt_pool **out, unsigned int n)
{
	struct pmt_pool *pool = calloc(1, sizeof(*pool) + n * sizeof(pool->threads[0]));
	int rc = 0;

	if (!pool)
		return -ENOMEM;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->cond, NULL);
	pool->last = &pool->first;
	pool->n = n;
	while (rc == 0 && pool->started < n) {
		struct thread *thread = &pool->threads[pool->started];

		thread->pool = pool;
		thread->number = pool->started;
		rc = -pthread_create(&thread->thread, NULL, work, thread);
		pool->started += rc == 0;
	}
	if (rc) {
		pmt_pool_free(pool);
		return rc;
	}
	*out = pool;
	return 0;
}

void pmt_pool_free(struct pmt_pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->stop = true;
	pthread_cond_broadcast(&pool->cond);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned int i = 0; i < pool->started; i++)
		pthread_join(pool->threads[i].thread, NULL);
	pthread_cond_destroy(&pool->cond);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

void pmt_pool_add(struct pmt_pool *pool, struct pmt_task *task)
{
	task->next = NULL;
	pthread_mutex_lock(&pool->lock);
	*pool->last = task;
	pool->last = &task->next;
	pthread_mutex_unlock(&pool->lock);
	pthread_cond_signal(&pool->cond);
}
