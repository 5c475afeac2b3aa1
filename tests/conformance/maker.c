// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * maker: makes up steps
 *
 * What is made depends on the seed, the episode and the shadow, and on nothing
 * else.  Most of it is what a program would do, some of it at the edges.
 */
#include "maker.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SIZE(array) (sizeof(array) / sizeof((array)[0]))

static uint64_t next(struct maker *m)
{
	uint64_t z = m->state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

unsigned long maker_below(struct maker *m, unsigned long n)
{
	return n ? next(m) % n : 0;
}

static long between(struct maker *m, long low, long high)
{
	return low + (long)maker_below(m, (unsigned long)(high - low + 1));
}

static bool percent(struct maker *m, unsigned int n)
{
	return maker_below(m, 100) < n;
}

#define PICK(m, array) ((array)[maker_below(m, SIZE(array))])

__attribute__((format(printf, 2, 3)))
static void make(struct maker *m, const char *format, ...)
{
	char line[STEP_LINE];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	step_parse(&m->step, line);
}

/* ---- reads and writes ---- */

static long blocks(struct maker *m, long block, long most)
{
	long n = percent(m, 80) ? between(m, 1, 8) : between(m, 1, 40);

	while (n > 1 && n * block > most)
		n /= 2;
	return n * block;
}

static long record_ahead(struct maker *m, const struct shadow *s)
{
	if (s->place >= 0 && s->place < s->count && s->objects[s->place] > 0)
		return s->objects[s->place];
	return between(m, 1, 4000);
}

/* To where there is something to be read. */
static void go_back(struct maker *m, const struct shadow *s)
{
	static const char *const lines[] = {
		"MTREW", "MTREW", "MTBSF 1", "MTBSFM 1", "MTBSFM 2", "MTBSF 2", "MTBSR 1",
		"MTBSR 3",
	};

	if (percent(m, 30))
		make(m, "op 0 MTSEEK %ld", between(m, 0, s->count));
	else
		make(m, "op 0 %s", PICK(m, lines));
}

static void make_read(struct maker *m, const struct shadow *s)
{
	long size = 4096;

	if (s->end_known && s->place >= s->count && percent(m, 70)) {
		go_back(m, s);
		return;
	}
	if (s->block)
		size = blocks(m, s->block, 65536);
	else if (percent(m, 30))
		size = record_ahead(m, s);
	else if (percent(m, 20))
		size = percent(m, 90) ? 65536 : 1 << 20;
	else if (percent(m, 8))
		size = between(m, 1, record_ahead(m, s));
	if (percent(m, 2))
		size = 0;
	else if (s->block && percent(m, 5))
		size = between(m, 1, size);
	make(m, "read 0 %ld", size);
}

static void make_write(struct maker *m, const struct shadow *s)
{
	long size = between(m, 1, 4000);

	if (s->read_only && percent(m, 90)) {
		make_read(m, s);
		return;
	}
	if (s->block)
		size = blocks(m, s->block, 65536);
	else if (percent(m, 6))
		size = 65536;
	else if (percent(m, 1))
		size = between(m, 900000, 1 << 20);
	if (percent(m, 2))
		size = percent(m, 50) ? 0 : size + 1;
	m->tag = m->tag % 255 + 1;
	make(m, "write 0 %ld %u", size, m->tag);
}

/* ---- operations ---- */

static long some(struct maker *m)
{
	unsigned long kind = maker_below(m, 100);

	if (kind < 60)
		return 1;
	if (kind < 85)
		return between(m, 2, 3);
	if (kind < 92)
		return between(m, 4, 20);
	if (kind < 95)
		return 0;
	return kind < 98 ? -between(m, 1, 2) : 1000;
}

static void make_space(struct maker *m, const struct shadow *s)
{
	static const char *const names[] = {
		"MTFSF", "MTFSF", "MTBSF", "MTBSF", "MTFSR", "MTFSR", "MTBSR", "MTBSR",
		"MTFSFM", "MTBSFM",
	};

	(void)s;
	make(m, "op 0 %s %ld", PICK(m, names), some(m));
}

static void make_marks(struct maker *m, const struct shadow *s)
{
	long n = percent(m, 80) ? 1 : between(m, 0, 3);

	(void)s;
	make(m, "op 0 %s %ld", percent(m, 85) ? "MTWEOF" : "MTWEOFI", n);
}

static void make_seek(struct maker *m, const struct shadow *s)
{
	long number = between(m, 0, s->count);

	if (percent(m, 4))
		number = s->count + between(m, 1, 100);
	make(m, "op 0 MTSEEK %ld", number);
}

static void make_motion(struct maker *m, const struct shadow *s)
{
	static const char *const names[] = {
		"MTREW", "MTREW", "MTREW", "MTEOM", "MTEOM", "MTRETEN",
	};

	(void)s;
	make(m, "op 0 %s", PICK(m, names));
}

static void make_erase(struct maker *m, const struct shadow *s)
{
	(void)s;
	make(m, "op 0 MTERASE %ld", between(m, 0, 1));
}

static void make_block_size(struct maker *m, const struct shadow *s)
{
	static const long sizes[] = { 0, 0, 512, 512, 1024, 80, 2048, 32768, 9000000, -1 };

	make(m, "op 0 MTSETBLK %ld",
	     s->block && percent(m, 60) ? 0 : PICK(m, sizes));
}

static void make_unload(struct maker *m, const struct shadow *s)
{
	(void)s;
	make(m, "op 0 %s", percent(m, 50) ? "MTOFFL" : "MTUNLOAD");
}

static void make_load(struct maker *m, const struct shadow *s)
{
	(void)s;
	make(m, "op 0 MTLOAD");
}

static void make_odd(struct maker *m, const struct shadow *s)
{
	static const char *const lines[] = {
		"op 0 MTNOP", "op 0 MTLOCK", "op 0 MTUNLOCK", "op 0 MTCOMPRESSION 1",
		"op 0 MTCOMPRESSION 0", "op 0 MTRESET", "op 0 MTTELL", "op 0 99",
		"op 0 MTSETDENSITY 0", "op 0 MTSETDENSITY 0x5e", "op 0 MTFSS 1",
		"op 0 MTBSS 1", "op 0 MTWSM 1", "op 0 MTSETPART 0", "lseek 0 100 0",
		"op 0 MTSETDRVBUFFER 1", "open 1 nst0 rn", "open 1 st0 rw",
	};

	(void)s;
	make(m, "%s", PICK(m, lines));
}

/* ---- conditions ---- */

static void make_failure(struct maker *m, const struct shadow *s)
{
	static const char *const failures[] = {
		"08 3 0 11 0", "08 4 0 44 0", "08 b 0 0 0", "0a 3 0 0c 0",
		"0a 4 0 44 0", "0a 1 0 17 1", "0a d 40 0 2", "0a 5 0 24 0", "10 3 0 0c 0",
		"10 d 40 0 2", "10 1 0 17 1", "11 3 0 15 0", "11 4 0 44 0", "01 3 0 15 0",
		"2b 3 0 15 0", "19 3 0 0c 0",
	};

	(void)s;
	make(m, "ctl fail %s %ld", PICK(m, failures), percent(m, 90) ? 1l : 2l);
}

static void make_attention(struct maker *m, const struct shadow *s)
{
	static const char *const kinds[] = { "28 0", "2a 1", "29 0", "3f 1" };

	(void)s;
	make(m, "ctl ua %s", PICK(m, kinds));
}

static void make_protection(struct maker *m, const struct shadow *s)
{
	make(m, "ctl wp %d", s->protected ? 0 : 1);
}

static void make_exchange(struct maker *m, const struct shadow *s)
{
	make(m, "ctl %s", s->loaded ? "eject" : "insert");
}

static void make_not_ready(struct maker *m, const struct shadow *s)
{
	make(m, "ctl notready %d", s->not_ready ? 0 : 1);
}

/* ---- sessions ---- */

static void make_open(struct maker *m, const struct shadow *s)
{
	static const char *const any[] = {
		"rw", "rw", "rw", "rw", "rw", "rw", "rw", "rwn", "r", "r", "w", "rn",
	};
	static const char *const at_once[] = { "rwn", "rwn", "rn" };
	static const char *const kept[] = { "r", "rwn", "rn", "rw" };
	const char *flags = PICK(m, any);

	if (!s->loaded || s->not_ready)
		flags = PICK(m, at_once);
	else if (s->protected)
		flags = PICK(m, kept);
	make(m, "open 0 %s %s", percent(m, 85) ? "nst0" : "st0", flags);
}

static void make_close(struct maker *m, const struct shadow *s)
{
	(void)s;
	make(m, "close 0");
}

struct kind {
	unsigned int weight;
	void (*make)(struct maker *, const struct shadow *);
};

static const struct kind with_tape[] = {
	{ 240, make_write }, { 200, make_read }, { 220, make_space }, { 90, make_marks },
	{ 60, make_motion }, { 50, make_seek }, { 8, make_erase },
	{ 40, make_block_size }, { 6, make_unload }, { 3, make_load }, { 25, make_odd },
	{ 20, make_failure }, { 5, make_attention }, { 4, make_protection },
	{ 3, make_exchange }, { 1, make_not_ready }, { 60, make_close }, { 0, NULL },
};

/* At the end of a tape with little on it. */
static const struct kind at_little[] = {
	{ 300, make_write }, { 90, make_marks }, { 20, make_block_size },
	{ 10, make_failure }, { 10, make_close }, { 0, NULL },
};

static const struct kind closed_protected[] = {
	{ 50, make_open }, { 50, make_protection }, { 0, NULL },
};

static const struct kind without_tape[] = {
	{ 5, make_write }, { 5, make_read }, { 5, make_space }, { 5, make_marks },
	{ 5, make_motion }, { 2, make_seek }, { 5, make_odd }, { 5, make_block_size },
	{ 15, make_load }, { 5, make_unload }, { 15, make_exchange }, { 25, make_close },
	{ 0, NULL },
};

static const struct kind closed[] = {
	{ 88, make_open }, { 4, make_exchange }, { 4, make_protection },
	{ 2, make_attention }, { 1, make_not_ready }, { 1, make_failure }, { 0, NULL },
};

static const struct kind closed_away[] = {
	{ 30, make_open }, { 60, make_exchange }, { 10, make_protection }, { 0, NULL },
};

static const struct kind closed_waiting[] = {
	{ 30, make_open }, { 70, make_not_ready }, { 0, NULL },
};

#define LITTLE 12	/* objects */

static const struct kind *kinds(struct maker *m, const struct shadow *s)
{
	bool end = s->end_known && s->place == s->count && s->count < LITTLE;

	if (s->open && (s->empty || s->unloaded || !s->loaded))
		return without_tape;
	if (s->open)
		return end && !s->read_only && percent(m, 70) ? at_little : with_tape;
	if (!s->loaded)
		return closed_away;
	if (s->not_ready)
		return closed_waiting;
	return s->protected ? closed_protected : closed;
}

static void make_any(struct maker *m, const struct shadow *s)
{
	const struct kind *kind = kinds(m, s);
	unsigned int sum = 0;
	unsigned long at;

	for (const struct kind *k = kind; k->make; k++)
		sum += k->weight;
	for (at = maker_below(m, sum); at >= kind->weight; kind++)
		at -= kind->weight;
	kind->make(m, s);
}

static void make_look(struct maker *m, bool *due, const char *line)
{
	*due = false;
	make(m, "%s", line);
}

void maker_next(struct maker *m, const struct shadow *s)
{
	if (s->open && m->look) {
		make_look(m, &m->look, "stat 0");
		return;
	}
	if (s->open && (m->ask || (s->place < 0 && !s->attention && percent(m, 60)))) {
		make_look(m, &m->ask, "pos 0");
		return;
	}
	make_any(m, s);
	m->look = percent(m, 50);
	m->ask = percent(m, 40);
}

/* ---- beginnings ---- */

static bool make_capacity(struct maker *m)
{
	unsigned long kind = maker_below(m, 4);
	long size = kind < 2 ? between(m, 20000, 400000) : between(m, 1000000, 4000000);

	if (kind == 3)
		return false;
	make(m, "ctl cap %ld %ld", size, between(m, size / 10, size / 2));
	return true;
}

static bool make_option(struct maker *m)
{
	static const char *const options[] = {
		"0x30000010", "0x30000020", "0x30004000", "0x30001000", "0x30008000",
		"0x30000040", "0x40000004", "0x40000001", "0x40000002", "0",
	};

	if (percent(m, 65))
		return false;
	make(m, "op 0 MTSETDRVBUFFER %s", PICK(m, options));
	return true;
}

bool maker_first(struct maker *m, int i)
{
	if (i == 0)
		return make_capacity(m);
	if (i == 1)
		make(m, "open 0 nst0 rw");
	return i == 1 || make_option(m);
}

void maker_start(struct maker *m, uint64_t seed, uint64_t episode)
{
	*m = (struct maker){ .state = seed };
	m->state = next(m) ^ (episode * 0xd1342543de82ef95u);
	next(m);
}
