// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * See episode.h.  The model is a tape: what the application was told is written, up to
 * where it stands.  Where something failed, what is behind the place that is known is
 * not, until it is written there again.
 *
 * A copy takes no part that the mirror has dropped, which it may only do with one that
 * has failed.
 */
#include <errno.h>
#include <string.h>

#include "episode.h"
#include "internal.h"
#include "sim.h"
#include "unit.h"

static struct {
	struct contents tape;
	uint32_t at;
	bool end_known;		/* nothing is behind it on any copy */
	uint32_t kept;		/* when the recovery time was over: what was done */
	bool may_differ;	/* copies may have run ahead of what is known */
	uint32_t told;		/* failures of drives that were told */
	bool hold;		/* from early warning on all is refused, ... */
	bool free;		/* ... but trailers, behind a filemark */
	bool warned;		/* ENOSPC was told, or the tape was moved */
	bool refused;		/* ENOSPC was told: every other write has it */
	bool near;		/* of the write that was issued: at early warning */
	bool changing;		/* volumes */
	uint32_t cookie;	/* when what is read was asked for */
	uint32_t before[SIMS];	/* volumes that it had unloaded then */
	bool out_before[SIMS];
} model;

static bool is_out(unsigned int drive)
{
	return unit.cookie >> drive & 1;
}

static bool is_longer(unsigned int drive)
{
	return unit.cookie >> (drive + 16) & 1;
}

static bool has_failed(unsigned int drive)
{
	return sims[drive].failed;
}

void model_begin(bool hold)
{
	contents_clear(&model.tape);
	model.at = model.told = 0;
	model.end_known = model.warned = true;
	model.hold = hold;
	model.may_differ = model.near = model.free = model.changing = false;
}

uint32_t model_at(void)
{
	return model.at;
}

uint32_t model_end(void)
{
	return model.tape.n;
}

bool model_end_known(void)
{
	return model.end_known;
}

bool model_may_not_append(void)
{
	return model.may_differ;
}

uint64_t model_object(uint32_t lbn, uint32_t *length)
{
	*length = model.tape.objects[lbn].length;
	return model.tape.objects[lbn].id;
}

void model_moved(uint32_t lbn)
{
	model.at = lbn;
	model.free = model.refused = false;
	model.warned = true;
}

void model_writes(void)
{
	if (model.at == model.tape.n)
		return;
	contents_cut(&model.tape, model.at);
	model.end_known = false;
}

void model_wrote(uint64_t id, uint32_t length)
{
	contents_add(&model.tape, id, length);
	model.at++;
	model.end_known = true;
	model.may_differ = false;
}

/* A filemark is told no end; what follows may go behind it. */
void model_marked(void)
{
	model.warned = true;
	model.refused = false;
	model.free = model.hold;
}

void model_refused(void)
{
	model.refused = true;
}

void model_changes(bool changes)
{
	model.changing = changes;
	for (unsigned int i = 0; changes && i < world.n; i++) {
		model.before[i] = sims[i].n_volumes;
		model.out_before[i] = is_out(i);
	}
}

static void check_copies(void)
{
	unsigned int out = 0;

	for (unsigned int i = 0; i < world.n; i++) {
		out += is_out(i);
		if (is_out(i) && !has_failed(i))
			fail("copy %u was dropped, and has not failed", i);
		if (is_longer(i) && !sims[i].cuts_failed)
			fail("copy %u is called longer, and could be cut", i);
	}
	if (out && (!world.degrade || world.n - out < world.min))
		fail("%u of %u copies were dropped", out, world.n);
}

static void check_prefix(uint32_t n, const char *when)
{
	progress->compared++;
	for (unsigned int i = 0; i < world.n; i++) {
		const struct contents *tape = &sims[i].tape;

		if (is_out(i))
			continue;
		if (tape->n < n)
			fail("copy %u has %u objects %s, and not %u", i, tape->n, when, n);
		if (tape->objects[n].prefix != model.tape.objects[n].prefix)
			fail("copy %u differs in the first %u objects %s", i, n, when);
	}
}

static uint32_t known(void)
{
	return model.tape.n - tape_pending();
}

void check_done(void)
{
	if (model.changing || world.gave_up || tape_owes_error())
		return;
	check_copies();
	check_prefix(known(), "that are done");
}

void check_exactly(const char *when)
{
	check_copies();
	if (tape_pending())
		fail("%s: %u are acknowledged and not done", when, tape_pending());
	if (!model.end_known)
		return;
	check_prefix(model.tape.n, when);
	for (unsigned int i = 0; i < world.n; i++)
		if (!is_out(i) && !is_longer(i) && sims[i].tape.n != model.tape.n)
			fail("copy %u has %u objects %s, and more than %u", i,
			     sims[i].tape.n, when, model.tape.n);
}

/* Of a drive that holds all before this place: does it warn here? */
static bool warns(unsigned int i, uint32_t lbn)
{
	const struct sim *sim = &sims[i];

	return sim->capacity && !sim->busy && !sim->failed && sim->tape.n >= lbn && lbn &&
	       sim->tape.objects[lbn].prefix == model.tape.objects[lbn].prefix &&
	       sim->tape.objects[lbn].cost + sim->ew > sim->capacity;
}

/* What a killed server met, and did not tell, the next one meets again. */
void model_starts(void)
{
	uint32_t done = model.at < known() ? model.at : known();

	model.near = false;
	for (unsigned int i = 0; i < world.n; i++)
		model.near = model.near || (!is_out(i) && warns(i, done));
}

void check_acknowledged(bool waited, bool in_part)
{
	model.refused = model.refused || in_part;
	if (model.near && tape_pending())
		fail("acknowledged behind early warning before it is done");
	if (model.near && !model.free && !model.warned)
		fail("written behind early warning without ENOSPC");
	if (model.near)
		model.warned = false;
	if (waited || model.near)
		check_exactly("when it was waited for");
}

/* What a dropped copy met stays met. */
static bool is_near_end(unsigned int i, uint64_t cost)
{
	const struct sim *sim = &sims[i];
	uint64_t used = sim->tape.objects[model.at].cost;

	return is_out(i) || (sim->capacity && (used + sim->ew > sim->capacity ||
					       used + cost > sim->capacity));
}

void check_enospc(uint32_t length)
{
	bool near = false;

	for (unsigned int i = 0; i < world.n; i++)
		near = near || is_near_end(i, contents_cost(&sims[i].tape, 1, length));
	if (!near && !model.refused)
		fail("ENOSPC where no drive is near its end");
	model.warned = model.refused = true;
	check_exactly("at ENOSPC");
}

static bool may_fail(void)
{
	uint32_t failures = 0, good = 0;
	bool more;

	for (unsigned int i = 0; i < world.n; i++) {
		failures += sims[i].failed;
		good += !sims[i].failed;
	}
	more = failures > model.told;
	model.told = failures;
	return more && (!world.degrade || good < world.min);
}

void model_given_up(void)
{
	model.kept = known();
}

void model_failed(const char *what)
{
	uint64_t place = tape_place();
	uint32_t sure = known();

	if (!may_fail() && !world.gave_up && !model.may_differ)
		fail("%s: EIO, and no copy has failed", what);
	if (place != PMT_UNKNOWN)
		sure = place < model.tape.n ? (uint32_t)place : model.tape.n;
	if (world.gave_up && model.kept < sure)
		sure = model.kept;
	contents_cut(&model.tape, sure);
	model.end_known = false;
	model.may_differ = model.may_differ || world.gave_up || unit.forgot;
	unit.forgot = false;
	world.gave_up = false;
	if (model.at > sure)
		model.at = sure;
	check_done();
}

void model_reads(void)
{
	model.cookie = unit.cookie;
}

/* With verify=yes: what more than half of those have that count and can read. */

static bool votes(unsigned int drive, uint32_t cookie)
{
	return !(cookie >> drive & 1) && !(cookie >> (drive + 16) & 1);
}

static bool same(const struct found *a, const struct found *b)
{
	return a->what == b->what &&
	       (a->what || (a->length == b->length && !memcmp(a->bytes, b->bytes, a->length)));
}

/* NULL: nobody knows. */
static const struct found *elect(const struct found *found, uint32_t cookie)
{
	unsigned int can_read = 0;

	for (unsigned int i = 0; i < world.n; i++)
		can_read += votes(i, cookie) && found[i].what != -EIO;
	for (unsigned int i = 0; i < world.n; i++) {
		unsigned int with = 0;

		for (unsigned int k = 0; votes(i, cookie) && k < world.n; k++)
			with += votes(k, cookie) && same(&found[i], &found[k]);
		if (found[i].what != -EIO && 2 * with > can_read)
			return &found[i];
	}
	return NULL;
}

static bool answers(const struct found *found, int result, const void *data)
{
	if (!found)
		return result < 0;
	if (found->what == PMT_AT_MARK)
		return result == TAPE_MARK;
	if (found->what == PMT_AT_EOD)
		return result == TAPE_END;
	return result == (int)found->length && !memcmp(found->bytes, data, found->length);
}

static bool can_be_read(const struct found *found)
{
	for (unsigned int i = 0; i < world.n; i++)
		if (votes(i, unit.cookie) && found[i].what != -EIO)
			return true;
	return false;
}

static void count_verified(uint32_t lbn, int result)
{
	bool damaged = false;

	for (unsigned int i = 0; i < world.n; i++)
		damaged = damaged || (votes(i, unit.cookie) && sim_is_damaged(i, lbn));
	progress->verified++;
	progress->outvoted += damaged && result >= 0;
	progress->undecided += damaged && result < 0;
}

/* A copy may have come while it was read. */
static void check_verified(int result, const void *data)
{
	static struct found found[SIMS];
	uint32_t lbn = model.at;
	bool any = false;

	for (unsigned int i = 0; i < world.n; i++) {
		sim_find(i, lbn, &found[i]);
		any = any || votes(i, unit.cookie);
	}
	if (result < 0 && world.gave_up)
		return;
	if (any && !answers(elect(found, model.cookie), result, data) &&
	    !answers(elect(found, unit.cookie), result, data))
		fail("read %d at %u, which is not what most copies have", result, lbn);
	if (result < 0 && can_be_read(found) && tape_place() != lbn)
		fail("block %u differs, and the place is not before it", lbn);
	if (any)
		count_verified(lbn, result);
	if (result >= 0 && result != TAPE_END)
		model.at++;
}

void check_read(int result, const void *data)
{
	const struct object *object = &model.tape.objects[model.at];
	bool readable = false;

	if (model.at >= model.tape.n) {
		if (model.end_known && result != TAPE_END)
			fail("read %d behind the end, at %u", result, model.at);
		return;
	}
	if (world.verify) {
		check_verified(result, data);
		return;
	}
	for (unsigned int i = 0; i < world.n; i++)
		readable = readable || (!is_out(i) && !sim_is_bad(i, model.at));
	if (result < 0) {
		if (readable && !world.gave_up)
			fail("block %u cannot be read, and a copy has it", model.at);
		return;
	}
	if (result != (object->id ? (int)object->length : TAPE_MARK))
		fail("read %d at %u, and not %u", result, model.at, object->length);
	if (object->id && record_id(data, object->length) != object->id)
		fail("block %u is another record", model.at);
	model.at++;
}

void model_volume(void)
{
	for (unsigned int i = 0; i < world.n; i++) {
		uint32_t k = model.before[i] % VOLUMES_MAX;

		if (is_out(i) || model.out_before[i])
			continue;
		if (sims[i].n_volumes != model.before[i] + 1)
			fail("copy %u has unloaded %u volumes, and not one", i,
			     sims[i].n_volumes - model.before[i]);
		if (model.end_known && !is_longer(i) &&
		    (sims[i].volumes[k].n != model.tape.n || sims[i].volumes[k].prefix !=
		     model.tape.objects[model.tape.n].prefix))
			fail("copy %u: the volume that was unloaded is another", i);
	}
	contents_clear(&model.tape);
	model_moved(0);
	model.end_known = true;
	model.may_differ = false;
	progress->volumes++;
}
