// SPDX-License-Identifier: GPL-2.0-or-later
/* See fibers.h.  A mutex's first word is its owner, 0 none. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#include "fibers.h"
#include "wrap.h"

#define FIBERS_MAX 24
#define STACK (256u << 10)

static struct fiber {
	ucontext_t context;
	char *stack;
	void *(*run)(void *);
	void *argument;
	const void *on;		/* what it waits for */
	bool alive;
	bool owed;		/* to pthread_join */
} fibers[FIBERS_MAX] = { { .alive = true } };

static int current;
static uint64_t state;

uint32_t fibers_random(uint32_t n)
{
	uint64_t z = state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return (uint32_t)((z ^ (z >> 31)) >> 16) % n;
}

bool fibers_chance(uint32_t one_in)
{
	return fibers_random(one_in) == 0;
}

void fibers_begin(uint64_t seed)
{
	for (int i = 1; i < FIBERS_MAX; i++)
		if (fibers[i].alive)
			abort();
	state = seed;
}

/* With whom a sanitizer must be told that the stack is another. */
static void switch_to(int next)
{
	struct fiber *from = &fibers[current];

	if (next == current)
		return;
	current = next;
#ifdef __SANITIZE_ADDRESS__
	void *fake;

	__sanitizer_start_switch_fiber(from->alive ? &fake : NULL, fibers[next].stack,
				       next ? STACK : 0);
	swapcontext(&from->context, &fibers[next].context);
	__sanitizer_finish_switch_fiber(fake, NULL, NULL);
#else
	swapcontext(&from->context, &fibers[next].context);
#endif
}

static bool pick(bool others, int *next)
{
	int can[FIBERS_MAX], n = 0;

	for (int i = 0; i < FIBERS_MAX; i++)
		if (fibers[i].alive && !fibers[i].on && !(others && i == current))
			can[n++] = i;
	if (n)
		*next = can[n > 1 ? fibers_random((uint32_t)n) : 0];
	return n;
}

void fiber_yield(void)
{
	int next;

	if (!pick(false, &next))
		abort();	/* main() may always run */
	switch_to(next);
}

bool fiber_others(void)
{
	int next;

	if (!pick(true, &next))
		return false;
	switch_to(next);
	return true;
}

void fiber_block(const void *on)
{
	fibers[current].on = on;
	fiber_yield();
}

void fiber_wake(const void *on)
{
	for (int i = 0; i < FIBERS_MAX; i++)
		if (fibers[i].on == on)
			fibers[i].on = NULL;
}

static void begin(void)
{
	struct fiber *self = &fibers[current];

#ifdef __SANITIZE_ADDRESS__
	__sanitizer_finish_switch_fiber(NULL, NULL, NULL);
#endif
	self->run(self->argument);
	self->alive = false;
	fiber_wake(self);
	fiber_yield();
	abort();
}

static void make_context(struct fiber *fiber)
{
	if (!fiber->stack)
		fiber->stack = malloc(STACK);
	getcontext(&fiber->context);
	fiber->context.uc_stack.ss_sp = fiber->stack;
	fiber->context.uc_stack.ss_size = STACK;
	fiber->context.uc_link = NULL;
	makecontext(&fiber->context, begin, 0);
}

int fiber_new(void *(*run)(void *), void *argument)
{
	int i = 1;

	while (i < FIBERS_MAX && (fibers[i].alive || fibers[i].owed))
		i++;
	if (i == FIBERS_MAX)
		abort();
	make_context(&fibers[i]);
	fibers[i].run = run;
	fibers[i].argument = argument;
	fibers[i].on = NULL;
	fibers[i].alive = true;
	return i;
}

bool fiber_is_over(int fiber)
{
	return !fibers[fiber].alive;
}

/* main() cannot block: it lets the others go on until it need not wait. */
static void wait_on(const void *on)
{
	if (current)
		fiber_block(on);
	else if (!fiber_others())
		abort();
}

static void maybe_switch(void)
{
	if (fibers_chance(6))
		fiber_yield();
}

/* What the library calls. */

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*run)(void *), void *argument)
{
	(void)attributes;
	*thread = (pthread_t)fiber_new(run, argument);
	fibers[*thread].owed = true;
	return 0;
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
	(void)result;
	while (fibers[thread].alive)
		wait_on(&fibers[thread]);
	fibers[thread].owed = false;
	return 0;
}

static long *owner(pthread_mutex_t *mutex)
{
	return (long *)mutex;
}

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
	(void)attributes;
	*owner(mutex) = 0;
	return 0;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
	if (*owner(mutex))
		abort();
	return 0;
}

static void lock(pthread_mutex_t *mutex)
{
	while (*owner(mutex))
		wait_on(mutex);
	*owner(mutex) = current + 1;
}

static void unlock(pthread_mutex_t *mutex)
{
	if (*owner(mutex) != current + 1)
		abort();
	*owner(mutex) = 0;
	fiber_wake(mutex);
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
	maybe_switch();
	lock(mutex);
	return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	unlock(mutex);
	maybe_switch();
	return 0;
}

int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attributes)
{
	(void)cond;
	(void)attributes;
	return 0;
}

int __wrap_pthread_cond_destroy(pthread_cond_t *cond)
{
	(void)cond;
	return 0;
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	unlock(mutex);
	wait_on(cond);
	lock(mutex);
	return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *cond)
{
	for (int i = 0; i < FIBERS_MAX; i++)
		if (fibers[i].on == cond)
			fibers[i].on = NULL;
	return 0;
}

/* One of those who wait, and not more. */
int __wrap_pthread_cond_signal(pthread_cond_t *cond)
{
	int waiting[FIBERS_MAX], n = 0;

	for (int i = 0; i < FIBERS_MAX; i++)
		if (fibers[i].alive && fibers[i].on == cond)
			waiting[n++] = i;
	if (n)
		fibers[waiting[fibers_random((uint32_t)n)]].on = NULL;
	return 0;
}
