// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * shared: what every process of the hostile server has
 *
 * The counters are in memory that all of them share; chance goes its own way in
 * each thread, from where its maker lets it begin.
 */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "server.h"

struct shared *sh;

static __thread uint64_t random_state;

void begin_chance(uint64_t seed)
{
	random_state = seed;
}

uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ull;
	return x ^ x >> 33;
}

uint64_t any(void)
{
	return mix(++random_state);
}

uint32_t below(uint32_t n)
{
	return (uint32_t)(any() % n);
}

void bad(const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "FAILED: %s\n", text);
	count(bad);
}

uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void nap(uint32_t microseconds)
{
	struct timespec t = { 0, (long)microseconds * 1000 };

	nanosleep(&t, NULL);
}

void catch(int number, void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_NODEFER };

	sigaction(number, &action, NULL);
}
