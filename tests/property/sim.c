// SPDX-License-Identifier: GPL-2.0-or-later
/* See sim.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fibers.h"
#include "internal.h"
#include "sim.h"
#include "unit.h"

struct sim sims[SIMS];

void contents_clear(struct contents *tape)
{
	tape->n = 0;
	tape->objects[0] = (struct object){ .prefix = 1 };
}

void contents_cut(struct contents *tape, uint32_t n)
{
	if (n < tape->n)
		tape->n = n;
}

uint64_t contents_cost(const struct contents *tape, uint64_t id, uint32_t length)
{
	return id ? length + tape->record_cost : tape->mark_cost;
}

void contents_add(struct contents *tape, uint64_t id, uint32_t length)
{
	struct object *object = &tape->objects[tape->n], *next = object + 1;

	if (tape->n == OBJECTS_MAX)
		abort();
	object->id = id;
	object->length = length;
	next->prefix = (object->prefix ^ id ^ (uint64_t)length << 40) * 0x100000001b3u;
	next->prefix ^= next->prefix >> 29;
	next->cost = object->cost + contents_cost(tape, id, length);
	next->file = object->file + !id;
	next->block = id ? object->block + 1 : 0;
	tape->n++;
}

void record_fill(void *data, uint64_t id, uint32_t length)
{
	unsigned char *bytes = data;

	memset(bytes, (int)(id & 0xff), length);
	memcpy(bytes, &id, sizeof(id));
}

uint64_t record_id(const void *data, uint32_t length)
{
	const unsigned char *bytes = data;
	uint64_t id;

	memcpy(&id, bytes, sizeof(id));
	for (uint32_t i = sizeof(id); i < length; i++)
		if (bytes[i] != (id & 0xff))
			return ~UINT64_C(0);
	return id ? id : ~UINT64_C(0);
}

/* The drive of one server. */
struct sim_leaf {
	struct pmt_leaf leaf;
	struct sim *sim;
	uint32_t server;
	uint32_t at;
	bool beside;		/* reads what another writes */
};

static struct sim_leaf *of(struct pmt_leaf *leaf)
{
	return (struct sim_leaf *)leaf;
}

static bool is_dead(const struct sim_leaf *self)
{
	return self->server != unit.server;
}

static void show(struct sim_leaf *self)
{
	const struct object *here = &self->sim->tape.objects[self->at];

	self->leaf.place.lbn = self->at;
	self->leaf.place.file = here->file;
	self->leaf.place.block = here->block;
	self->leaf.eod = self->sim->tape.n;
}

/* Others go on meanwhile; false: this server is dead. */
static bool take_time(struct sim_leaf *self)
{
	struct sim *sim = self->sim;

	if (!self->beside && sim->stuck_in && !--sim->stuck_in)
		sim->stuck = true;
	while (sim->stuck && !is_dead(self))
		fiber_block(sim);
	for (uint32_t i = sim->pace ? fibers_random(sim->pace) : 0; i && !is_dead(self); i--)
		fiber_yield();
	return !is_dead(self);
}

static bool fails_now(struct sim *sim)
{
	if (!sim->fail_in || sim->fail_in-- != 1)
		return false;
	sim->failed++;
	if (--sim->fail_times)
		sim->fail_in = 1;
	return true;
}

static int append(struct sim_leaf *self, uint64_t id, uint32_t length)
{
	struct sim *sim = self->sim;
	struct contents *tape = &sim->tape;
	uint64_t end = tape->objects[self->at].cost + contents_cost(tape, id, length);
	bool fails;

	if (!take_time(self))
		return -ENODEV;
	if (sim->capacity && end > sim->capacity)
		return -ENOSPC;
	fails = fails_now(sim);
	if (fails && !sim->fail_behind)
		return -EIO;
	contents_cut(tape, self->at);
	contents_add(tape, id, length);
	if (fails) {
		show(self);
		return -EIO;
	}
	self->at++;
	show(self);
	if (fibers_chance(8))
		fiber_yield();
	return sim->capacity && end + sim->ew > sim->capacity ? PMT_AT_EW : 0;
}

static int sim_write(struct pmt_leaf *leaf, const void *data, size_t length)
{
	return append(of(leaf), record_id(data, (uint32_t)length), (uint32_t)length);
}

static int sim_marks(struct pmt_leaf *leaf, uint32_t count, uint32_t *done)
{
	int rc = 0, warned = 0;

	for (*done = 0; rc >= 0 && *done < count; *done += rc >= 0) {
		rc = append(of(leaf), 0, 0);
		warned = rc > 0 ? rc : warned;
	}
	return rc < 0 ? rc : warned;
}

bool sim_is_bad(unsigned int drive, uint32_t lbn)
{
	uint32_t one_in = sims[drive].bad_spots;

	return one_in && (lbn * 2654435761u + drive * 40503u) % one_in == 0;
}

static uint32_t damage(unsigned int drive, uint32_t lbn)
{
	return (lbn + 1) * 2246822519u ^ (drive + 1) * 3266489917u;
}

/* Not the first: that tells whose set it is. */
bool sim_is_damaged(unsigned int drive, uint32_t lbn)
{
	const struct contents *tape = &sims[drive].tape;
	uint32_t one_in = sims[drive].damaged;

	return one_in && lbn && lbn < tape->n && tape->objects[lbn].id &&
	       !sim_is_bad(drive, lbn) && (damage(drive, lbn) >> 8) % one_in == 0;
}

static void find_another(uint32_t how, struct found *found)
{
	switch (how % 8) {
	case 0:
		found->what = PMT_AT_MARK;
		break;
	case 1:
		found->what = PMT_AT_EOD;
		break;
	case 2:
		found->length -= 1 + how % 7;
		break;
	case 3:
		memset(found->bytes + found->length, 0, 7);
		found->length += 1 + how % 7;
		break;
	default:
		found->bytes[(how >> 3) % found->length] ^= (unsigned char)(1 + how % 255);
	}
}

static void find_written(unsigned int drive, uint32_t lbn, struct found *found)
{
	const struct contents *tape = &sims[drive].tape;
	const struct object *object = &tape->objects[lbn];

	found->what = lbn >= tape->n ? PMT_AT_EOD : !object->id ? PMT_AT_MARK : 0;
	if (!found->what && sim_is_bad(drive, lbn))
		found->what = -EIO;
	if (found->what)
		return;
	found->length = object->length;
	record_fill(found->bytes, object->id, object->length);
}

void sim_find(unsigned int drive, uint32_t lbn, struct found *found)
{
	find_written(drive, lbn, found);
	if (sim_is_damaged(drive, lbn))
		find_another(damage(drive, lbn) >> 3, found);
}

static int sim_read(struct pmt_leaf *leaf, void *buffer, size_t size, size_t *length)
{
	struct sim_leaf *self = of(leaf);
	unsigned int drive = (unsigned int)(self->sim - sims);
	struct found found;

	if (!take_time(self))
		return -ENODEV;
	if (self->beside && !self->sim->damaged_beside)
		find_written(drive, self->at, &found);
	else
		sim_find(drive, self->at, &found);
	if (found.what == PMT_AT_EOD)
		return found.what;
	self->at++;
	show(self);
	if (found.what)
		return found.what;
	*length = found.length;
	memcpy(buffer, found.bytes, size < *length ? size : *length);
	return 0;
}

static int sim_sync(struct pmt_leaf *leaf)
{
	return take_time(of(leaf)) ? 0 : -ENODEV;
}

static int sim_space(struct pmt_leaf *leaf, int64_t count, int64_t *left, bool marks)
{
	struct sim_leaf *self = of(leaf);
	const struct contents *tape = &self->sim->tape;
	int64_t step = count < 0 ? -1 : 1;
	int rc = 0;

	if (!take_time(self))
		return -ENODEV;
	for (*left = count; !rc && *left;) {
		bool mark;

		if (step > 0 ? self->at >= tape->n : !self->at) {
			rc = step > 0 ? PMT_AT_EOD : PMT_AT_BOP;
			break;
		}
		self->at += (uint32_t)step;
		mark = !tape->objects[step > 0 ? self->at - 1 : self->at].id;
		*left -= mark == marks ? step : 0;
		rc = mark && !marks ? PMT_AT_MARK : 0;
	}
	show(self);
	return rc;
}

static int sim_space_records(struct pmt_leaf *leaf, int64_t count, int64_t *left)
{
	return sim_space(leaf, count, left, false);
}

static int sim_space_marks(struct pmt_leaf *leaf, int64_t count, int64_t *left)
{
	return sim_space(leaf, count, left, true);
}

static int sim_locate(struct pmt_leaf *leaf, uint32_t partition, uint64_t lbn)
{
	struct sim_leaf *self = of(leaf);
	uint32_t end = self->sim->tape.n;

	if (partition)
		return -EINVAL;
	if (!take_time(self))
		return -ENODEV;
	self->at = lbn < end ? (uint32_t)lbn : end;
	show(self);
	return lbn > end ? PMT_AT_EOD : 0;
}

static int sim_to_eod(struct pmt_leaf *leaf)
{
	return sim_locate(leaf, 0, of(leaf)->sim->tape.n);
}

static int sim_cut(struct pmt_leaf *leaf)
{
	struct sim_leaf *self = of(leaf);
	struct sim *sim = self->sim;

	if (!take_time(self))
		return -ENODEV;
	if (sim->cut_fails_in && !--sim->cut_fails_in) {
		sim->cuts_failed++;
		return -EIO;
	}
	contents_cut(&sim->tape, self->at);
	show(self);
	return 0;
}

static void take_in(struct sim_leaf *self)
{
	self->leaf.present = true;
	self->leaf.medium = self->sim->id;
	self->at = 0;
	show(self);
}

static void keep_next(struct sim_leaf *self)
{
	if (!self->leaf.next.unit_id)
		return;
	self->sim->unit_id = self->leaf.next.unit_id;
	self->sim->generation = self->leaf.next.generation;
}

static int sim_load(struct pmt_leaf *leaf)
{
	if (!take_time(of(leaf)))
		return -ENODEV;
	take_in(of(leaf));
	keep_next(of(leaf));
	return 0;
}

/* A stacker: the next cartridge comes by itself. */
static int sim_unload(struct pmt_leaf *leaf)
{
	struct sim_leaf *self = of(leaf);
	struct sim *sim = self->sim;

	if (!take_time(self))
		return -ENODEV;
	sim->volumes[sim->n_volumes % VOLUMES_MAX].n = sim->tape.n;
	sim->volumes[sim->n_volumes++ % VOLUMES_MAX].prefix =
		sim->tape.objects[sim->tape.n].prefix;
	contents_clear(&sim->tape);
	sim->id += 0x10000;
	keep_next(self);
	take_in(self);
	return 0;
}

static int sim_remember(struct pmt_leaf *leaf, uint64_t unit_id, uint64_t generation)
{
	if (is_dead(of(leaf)))
		return -ENODEV;
	of(leaf)->sim->unit_id = unit_id;
	of(leaf)->sim->generation = generation;
	return 0;
}

static int sim_recall(struct pmt_leaf *leaf, uint64_t *unit_id, uint64_t *generation)
{
	*unit_id = of(leaf)->sim->unit_id;
	*generation = of(leaf)->sim->generation;
	return *unit_id ? 0 : -ENODATA;
}

static uint64_t sim_used(struct pmt_leaf *leaf)
{
	return of(leaf)->sim->tape.objects[of(leaf)->at].cost;
}

static uint64_t sim_room(struct pmt_leaf *leaf)
{
	const struct sim *sim = of(leaf)->sim;
	uint64_t used = sim_used(leaf), end = sim->capacity - sim->ew;

	if (!sim->capacity || !sim->tells_room)
		return PMT_UNKNOWN;
	return used < end ? end - used : 0;
}

static const struct pmt_leaf_ops leaf_ops = {
	.write = sim_write,
	.read = sim_read,
	.marks = sim_marks,
	.sync = sim_sync,
	.space_records = sim_space_records,
	.space_marks = sim_space_marks,
	.locate = sim_locate,
	.to_eod = sim_to_eod,
	.cut = sim_cut,
	.load = sim_load,
	.unload = sim_unload,
	.remember = sim_remember,
	.recall = sim_recall,
	.room = sim_room,
	.used = sim_used,
};

static int sim_open(struct pmt_drive *drive, const struct pmt_spec *spec)
{
	struct sim_leaf *self = (struct sim_leaf *)drive;
	int rc = pmt_leaf_init(&self->leaf, &leaf_ops);

	if (rc)
		return rc;
	self->sim = &sims[spec->target[0] - '0'];
	self->beside = spec->target[1] == 'r';
	self->server = unit.begun;
	self->leaf.limits.record_cost = self->sim->tape.record_cost;
	self->leaf.limits.mark_cost = self->sim->tape.mark_cost;
	self->leaf.limits.record_max = 8000;
	if (self->sim->capacity && !self->sim->tells_room)
		self->leaf.limits.window = self->sim->ew;
	take_in(self);
	return 0;
}

static void sim_close(struct pmt_drive *drive)
{
	pmt_leaf_destroy((struct pmt_leaf *)drive);
}

static void sim_execute(struct pmt_drive *drive, struct pmt_request *req)
{
	struct sim_leaf *self = (struct sim_leaf *)drive;

	self->sim->busy = !self->beside;
	pmt_leaf_execute(drive, req);
	self->sim->busy = false;
}

static int sim_beside(struct pmt_drive *drive, char **spec)
{
	const struct sim *sim = ((struct sim_leaf *)drive)->sim;

	if (!sim->readable_beside)
		return -ENOTSUP;
	return asprintf(spec, "sim:%dr", (int)(sim - sims)) < 0 ? -ENOMEM : 0;
}

static const struct pmt_drive_ops sim_drive = {
	.name = "sim",
	.size = sizeof(struct sim_leaf),
	.open = sim_open,
	.close = sim_close,
	.attach = pmt_leaf_attach,
	.execute = sim_execute,
	.limits = pmt_leaf_limits,
	.used = pmt_leaf_used,
	.status = pmt_leaf_status,
	.beside = sim_beside,
};

void sims_begin(void)
{
	pmt_drive_add_kind(&sim_drive);
}
