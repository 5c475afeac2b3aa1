// SPDX-License-Identifier: GPL-2.0-or-later
/* See episode.h: drives by chance, servers that come and go. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "episode.h"
#include "fibers.h"
#include "pmt.h"
#include "sim.h"
#include "unit.h"

struct world world;

static struct {
	int fiber;
	struct pmt_server *server;
	struct pmt_drive *drive;
	int error;		/* it could not begin */
} serving;

static void *serve(void *context)
{
	struct pmt_drive *drive = NULL;
	struct pmt_server *server = NULL;
	char *error = NULL;
	int rc = pmt_drive_open(&drive, world.spec, &error);

	(void)context;
	if (rc == 0)
		rc = pmt_server_open(&server, "0", drive);
	if (rc == 0) {
		serving.drive = drive;
		serving.server = server;
		pmt_server_run(server);
		serving.server = NULL;
	} else if (unit.begun == unit.server) {
		serving.error = rc;
	}
	pmt_server_close(server);
	pmt_drive_close(drive);
	return NULL;
}

static void start(void)
{
	serving.server = NULL;
	serving.error = 0;
	world.rejoining = false;
	world.came = 0;
	unit.begun = unit.server;
	serving.fiber = fiber_new(serve, NULL);
}

static void end(const char *how)
{
	unsigned int rounds = 0;

	while (!fiber_is_over(serving.fiber))
		if (!fiber_others() || ++rounds > 1000000)
			fail("a server that was %s does not end", how);
}

static void unstick(void)
{
	for (unsigned int i = 0; i < SIMS; i++) {
		sims[i].stuck = false;
		fiber_wake(&sims[i]);
	}
}

/* At once: nothing of it reaches the drives or the unit any more. */
void world_kill(void)
{
	trace("kill");
	progress->kills++;
	unit_lost();
	unstick();
	end("killed");
	check_done();
	if (fibers_chance(50)) {
		trace("recovery is over");
		if (unit.ring.done != unit.ring.tail && !world.gave_up) {
			model_given_up();
			world.gave_up = true;
		}
		unit_give_up();
	}
	start();
}

void world_restart(void)
{
	trace("restart");
	while (!serving.server)
		if (serving.error || !fiber_others())
			return;
	pmt_server_stop(serving.server);
	for (unsigned int rounds = 0; !fiber_is_over(serving.fiber); rounds++)
		if (!fiber_others() || rounds > 1000000) {
			world_kill();	/* a drive is stuck */
			return;
		}
	unit_lost();
	start();
}

/* The drive of a copy that was dropped is repaired, or replaced by a new one. */
void world_rejoin(unsigned int i)
{
	struct sim *sim = &sims[i];
	char spec[8], *error = NULL;
	int rc;

	if (!serving.server || serving.error || world.rejoining)
		return;
	if (fibers_chance(2)) {
		contents_clear(&sim->tape);
		sim->id += 0x100;
		sim->unit_id = sim->generation = 0;
	}
	sim->fail_in = fibers_chance(2) ? 0 : 1 + fibers_random(100);
	sim->fail_times = 1 + fibers_random(3);
	snprintf(spec, sizeof(spec), "sim:%u", i);
	world.rejoining = true;
	rc = pmt_mirror_rejoin(serving.drive, i + 1, spec, &error);
	trace("rejoin %u: %d %s", i, rc, error ? error : "");
	progress->rejoins += rc >= 0;
	world.rejoining = world.rejoining && rc >= 0;
	free(error);
}

static bool any_stuck(void)
{
	for (unsigned int i = 0; i < world.n; i++)
		if (sims[i].stuck)
			return true;
	return false;
}

void wait_until(bool (*done)(uint32_t), uint32_t number)
{
	unsigned int rounds = 0;

	while (!done(number)) {
		if (unit.broken)
			fail("the server broke the protocol at command %u", unit.ring.done);
		if (serving.error && fiber_is_over(serving.fiber))
			fail("a server could not begin: %s", strerror(-serving.error));
		if (fibers_chance(world.kill_one_in))
			world_kill();
		else if (!fiber_others() && !any_stuck())
			fail("everybody waits");
		else if (any_stuck() && ++rounds > 300)
			world_kill();
		else if (++rounds > 2000000)
			fail("no end of waiting");
		if (fibers_chance(64))
			check_done();
	}
}

void world_others(void)
{
	for (uint32_t i = fibers_random(12); i && fiber_others(); i--)
		;
	if (fibers_chance(world.kill_one_in * 8))
		world_kill();
}

static void random_drive(unsigned int i)
{
	struct sim *sim = &sims[i];
	bool small = fibers_chance(2);

	sim->tape.record_cost = fibers_random(3) * 8;
	sim->tape.mark_cost = fibers_random(3) * 8;
	contents_clear(&sim->tape);
	sim->n_volumes = 0;
	sim->id = i + 1;
	sim->unit_id = sim->generation = 0;
	sim->capacity = fibers_chance(4) ? 0 : 400 + fibers_random(small ? 1500 : 20000);
	sim->ew = sim->capacity ? fibers_random((uint32_t)sim->capacity / 2) : 0;
	sim->tells_room = fibers_chance(2);
	sim->pace = fibers_chance(3) ? 0 : fibers_chance(3) ? 40 : 6;
	sim->bad_spots = fibers_chance(4) ? 3 + fibers_random(20) : 0;
	sim->fail_in = fibers_chance(4) ? 1 + fibers_random(200) : 0;
	sim->fail_times = fibers_chance(2) ? 1 : 1 + fibers_random(20);
	sim->fail_behind = fibers_chance(3);
	sim->stuck_in = fibers_chance(8) ? 1 + fibers_random(200) : 0;
	sim->cut_fails_in = fibers_chance(12) ? 1 + fibers_random(3) : 0;
	sim->busy = sim->stuck = false;
	sim->failed = sim->cuts_failed = 0;
	sim->readable_beside = !fibers_chance(4);
	sim->damaged = 0;
	sim->damaged_beside = false;
}

/* Mostly of one copy. */
static void random_damage(void)
{
	do
		sims[fibers_random(world.n)].damaged = 1 + fibers_random(12);
	while (fibers_chance(3));
}

/*
 * One copy comes back from two others at least, which can be read all along: of one alone
 * nobody could tell that it is damaged.
 */
static void damage_sources(void)
{
	unsigned int fails = fibers_random(world.n);

	world.degrade = true;
	world.min = 1;
	for (unsigned int i = 0; i < world.n; i++) {
		sims[i].damaged_beside = sims[i].readable_beside = true;
		sims[i].bad_spots = sims[i].cut_fails_in = 0;
		sims[i].fail_in = i == fails ? 1 + fibers_random(40) : 0;
	}
}

static void random_spec(void)
{
	size_t used = (size_t)snprintf(world.spec, sizeof(world.spec), "mirror(sim:0");

	for (unsigned int i = 1; i < world.n; i++)
		used += (size_t)snprintf(world.spec + used, sizeof(world.spec) - used,
					 ",sim:%u", i);
	used += (size_t)snprintf(world.spec + used, sizeof(world.spec) - used, ")");
	if (world.degrade)
		used += (size_t)snprintf(world.spec + used, sizeof(world.spec) - used,
					 "?policy=degrade&min=%u", world.min);
	if (world.verify)
		snprintf(world.spec + used, sizeof(world.spec) - used, "%cverify=yes",
			 world.degrade ? '&' : '?');
}

void world_begin(void)
{
	unit_begin(8u << fibers_random(3));
	world.n = fibers_chance(2) ? 1 + fibers_random(SIMS) : 2;
	world.degrade = fibers_chance(2);
	world.min = !world.degrade ? world.n : fibers_chance(2) ? 1 : 1 + fibers_random(world.n);
	world.kill_one_in = fibers_chance(3) ? 100000 : 20 + fibers_random(600);
	world.gave_up = false;
	world.verify = fibers_chance(3);
	for (unsigned int i = 0; i < world.n; i++)
		random_drive(i);
	/* For those that come back. */
	if (world.degrade && world.min < world.n && fibers_chance(2))
		sims[fibers_random(world.n)].fail_in = 1 + fibers_random(40);
	if (world.verify && !fibers_chance(4))
		random_damage();
	if (world.verify && world.n > 2 && fibers_chance(2))
		damage_sources();
	random_spec();
	trace("%s, %u slots", world.spec, unit.ring.slots);
	for (unsigned int i = 0; i < world.n; i++)
		trace("sim:%u capacity %llu ew %llu%s, record %u mark %u, pace %u, "
		      "bad spots 1/%u, damaged 1/%u, fails in %u%s x%u, stuck in %u, cut fails in %u", i,
		      (unsigned long long)sims[i].capacity, (unsigned long long)sims[i].ew,
		      sims[i].tells_room ? " told" : "", sims[i].tape.record_cost,
		      sims[i].tape.mark_cost, sims[i].pace, sims[i].bad_spots, sims[i].damaged,
		      sims[i].fail_in, sims[i].fail_behind ? " behind" : "",
		      sims[i].fail_times, sims[i].stuck_in, sims[i].cut_fails_in);
	start();
}

void world_end(void)
{
	unit_lost();
	unstick();
	end("killed");
}
