// SPDX-License-Identifier: GPL-2.0-or-later
/* See episode.h: the application. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "episode.h"
#include "fibers.h"
#include "sim.h"
#include "unit.h"

struct progress *progress;
bool tracing;

static uint64_t next_id;
static char buffer[8192];

void fail(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(progress->failure, sizeof(progress->failure), format, list);
	va_end(list);
	trace("%s", progress->failure);
	_exit(1);
}

void trace(const char *format, ...)
{
	va_list list;

	if (!tracing)
		return;
	printf("%5u ", progress->step);
	va_start(list, format);
	vprintf(format, list);
	va_end(list);
	for (unsigned int i = 0; i < world.n; i++)
		printf("%s%u", i ? " " : " [", sims[i].tape.n);
	printf("] %x\n", unit.cookie);
	fflush(stdout);
}

/* To a place that is known, as a program does behind an error. */
static void recover(const char *what)
{
	uint32_t to;
	int rc = 0;

	trace("%s failed", what);
	progress->errors++;
	model_failed(what);
	for (int tries = 0; tries < 20; tries++) {
		if (tape_place() == PMT_UNKNOWN)
			rc = tape_rewind();
		to = model_end();
		if (model_may_not_append() && to)
			to = fibers_random(to);
		rc = rc ? rc : tape_locate(to);
		trace("locate %u: %d", to, rc);
		if (rc == 0) {
			model_moved(to);
			return;
		}
		model_failed("locate");
	}
	fail("no way back behind an error");
}

static uint32_t random_length(void)
{
	switch (fibers_random(8)) {
	case 0:
		return 8 + fibers_random(1000);
	case 1:
		return 8;
	default:
		return 8 + fibers_random(120);
	}
}

static bool full;	/* the last write had ENOSPC */

static void write_record(void)
{
	uint32_t n = fibers_chance(6) ? 1 + fibers_random(6) : 1;
	uint32_t size = n > 1 ? 16 : random_length();
	int rc;

	for (uint32_t i = 0; i < n; i++)
		record_fill(buffer + i * size, next_id + i, size);
	model_writes();
	model_starts();
	rc = tape_write(buffer, n * size, n > 1 ? size : 0);
	trace("write %u x %u: %d%s", n, size, rc, tape_unbuffered() ? " waited" : "");
	for (int i = 0; i < rc; i++)
		model_wrote(next_id + (uint32_t)i, size);
	next_id += n;
	full = rc == -ENOSPC;
	if (rc > 0)
		check_acknowledged(tape_unbuffered(), rc < (int)n);
	else if (rc == -ENOSPC) {
		progress->ends++;
		check_enospc(size);
	} else
		recover("write");
}

static bool write_marks(uint32_t count)
{
	bool immediate = fibers_chance(3), at_end;
	uint64_t place, before = model_at();
	int rc;

	if (count)
		model_writes();
	rc = tape_marks(count, immediate, &at_end);
	trace("marks %u%s: %d%s", count, immediate ? " immediate" : "", rc,
	      at_end ? " at the end" : "");
	place = tape_place();
	if (at_end && (place < before || place > before + count))
		fail("marks at the end: place %lld", (long long)place);
	if (rc == 0 || at_end)
		for (uint64_t i = at_end ? place - before : count; i; i--)
			model_wrote(0, 0);
	if (rc < 0 && !at_end) {
		recover("marks");
		return false;
	}
	if (!at_end || place != before)
		model_marked();
	else
		model_refused();
	if (!immediate || at_end)
		check_exactly("when a filemark has returned");
	return !at_end;
}

static void go(uint32_t to)
{
	int rc;

	if (!to && fibers_chance(2))
		rc = tape_rewind();
	else if (to == model_end() && model_end_known() && fibers_chance(2))
		rc = tape_space(PMT_SPACE_EOD, 0);
	else
		rc = tape_locate(to);
	trace("go to %u: %d", to, rc);
	if (rc < 0) {
		recover("motion");
		return;
	}
	if (tape_place() != to)
		fail("stands at %llu, and not at %u", (unsigned long long)tape_place(), to);
	model_moved(to);
	check_done();
}

static void read_some(void)
{
	int rc = 0;

	for (uint32_t i = fibers_random(8) + 1; i && rc >= 0 && rc != TAPE_END; i--) {
		model_reads();
		rc = tape_read(buffer, 2048);
		trace("read at %u: %d", model_at(), rc);
		if (tape_place() == PMT_UNKNOWN) {
			recover("read");
			return;
		}
		check_read(rc, buffer);
		progress->step++;
	}
	if (fibers_chance(2))
		tape_read_ahead(fibers_random(4), 2048);
	if (tape_place() != model_at())
		go(fibers_random(model_end() + 1));
}

static void move(void)
{
	uint32_t to = fibers_random(model_end() + 1);

	if (fibers_chance(3))
		to = 0;
	else if (fibers_chance(2))
		to = model_end();
	go(to);
	if (fibers_chance(2))
		read_some();
	/* Mostly to append: else all tapes are short. */
	if (!fibers_chance(4) && model_at() != model_end() &&
	    !(model_may_not_append() && model_end()))
		go(model_end());
}

static void ask(int rc, const char *what)
{
	trace("%s: %d", what, rc);
	if (rc < 0)
		recover(what);
}

/* false: nobody knows which volumes are in the drives. */
static bool change_volume(void)
{
	uint64_t generation = unit.place.generation;
	int rc;

	if (!write_marks(1))
		return true;
	model_changes(true);
	rc = tape_unload();
	trace("unload: %d", rc);
	if (rc < 0 && world.gave_up)
		return false;
	model_changes(false);
	if (rc < 0 && unit.place.generation == generation) {
		recover("unload");
		return true;
	}
	if (rc < 0)
		fail("the volume is not changed");
	model_volume();
	ask(tape_test(), "test");
	return true;
}

/* A program ends its file there, goes on with the next tape, or goes back. */
static bool step_at_end(void)
{
	full = false;
	switch (fibers_random(3)) {
	case 0:
		return change_volume();
	case 1:
		write_marks(1);
		return true;
	default:
		move();
		return true;
	}
}

static void rejoin(void)
{
	for (unsigned int i = 0; i < world.n; i++)
		/* What counts again, the unit may not know yet. */
		if (unit.cookie >> i & 1 && world.came != i + 1) {
			world_rejoin(i);
			return;
		}
}

static bool step(void)
{
	if (full && !fibers_chance(3))
		return step_at_end();
	switch (fibers_random(40)) {
	case 0:
	case 1:
		move();
		break;
	case 2:
		return !fibers_chance(3) || change_volume();
	case 3:
		ask(tape_test(), "test");
		break;
	case 4:
		ask(tape_modes(fibers_random(4)), "modes");
		break;
	case 5:
		world_restart();
		break;
	case 9:
	case 10:
	case 11:
		rejoin();
		break;
	case 6:
	case 7:
	case 8:
		write_marks(fibers_random(8) ? 1 + fibers_random(2) : 0);
		break;
	default:
		write_record();
	}
	return true;
}

void episode(uint64_t seed, uint32_t steps)
{
	bool hold;

	fibers_begin(seed);
	progress->seed = seed;
	progress->step = 0;
	next_id = 1 + fibers_random(1000);
	world_begin();
	full = false;
	hold = fibers_chance(2);
	model_begin(hold);
	tape_begin(!fibers_chance(8), hold ? PMT_EOT_HOLD : PMT_EOT_ST);
	ask(tape_test(), "test");
	while (progress->step < steps && model_end() < OBJECTS_MAX - 20 && step()) {
		progress->step++;
		check_done();
		world_others();
	}
	progress->steps += progress->step;
	for (unsigned int i = 0; i < world.n; i++)
		progress->dropped += unit.cookie >> i & 1;
	world_end();
}
