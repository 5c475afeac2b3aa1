// SPDX-License-Identifier: GPL-2.0-or-later
/* "mem:NAME": see memleaf.h.  Only the drive's thread touches a medium in use. */
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "memleaf.h"

#define MEDIA 16

static struct mem_medium media[MEDIA];

struct mem {
	struct pmt_leaf leaf;
	struct mem_medium *medium;
	uint64_t at;		/* the true place, whatever leaf->place says */
};

static struct mem *mem_of(struct pmt_leaf *leaf)
{
	return (struct mem *)leaf;
}

struct mem_medium *mem_medium(const char *name)
{
	static uint64_t ids = 0x1000;

	for (unsigned int i = 0; i < MEDIA; i++) {
		if (!media[i].name[0]) {
			snprintf(media[i].name, sizeof(media[i].name), "%s", name);
			media[i].id = ++ids;
			media[i].seed = i + 1;
		}
		if (strcmp(media[i].name, name) == 0)
			return &media[i];
	}
	abort();
}

static void free_records(struct mem_volume *volume, uint64_t from)
{
	while (volume->n > from)
		free(volume->records[--volume->n].data);
	if (!from) {
		free(volume->records);
		volume->records = NULL;
	}
}

void mem_reset(void)
{
	for (unsigned int i = 0; i < MEDIA; i++) {
		free_records(&media[i].volume, 0);
		for (unsigned int k = 0; k < media[i].n_gone; k++)
			free_records(&media[i].gone[k], 0);
	}
	memset(media, 0, sizeof(media));
}

bool mem_same(const struct mem_volume *a, const struct mem_volume *b)
{
	if (a->n != b->n)
		return false;
	for (uint64_t i = 0; i < a->n; i++) {
		const struct mem_record *x = &a->records[i], *y = &b->records[i];

		if (x->mark != y->mark || x->length != y->length)
			return false;
		if (x->length && memcmp(x->data, y->data, x->length))
			return false;
	}
	return true;
}

/* What the leaf is allowed to know of the place. */
static void show_place(struct mem *mem)
{
	struct pmt_place *place = &mem->leaf.place;
	uint64_t file = 0, block = 0;

	for (uint64_t i = 0; i < mem->at; i++) {
		block++;
		if (mem->medium->volume.records[i].mark) {
			file++;
			block = 0;
		}
	}
	place->lbn = mem->medium->no_lbn ? PMT_UNKNOWN : mem->at;
	place->file = file;
	place->block = block;
	mem->leaf.eod = mem->medium->no_eod ? PMT_UNKNOWN : mem->medium->volume.n;
}

static void dawdle(struct mem *mem)
{
	struct timespec time = { 0 };

	mem->medium->executed++;
	if (!mem->medium->jitter)
		return;
	time.tv_nsec = (long)(rand_r(&mem->medium->seed) % mem->medium->jitter) * 1000;
	nanosleep(&time, NULL);
}

static uint64_t bytes_before(const struct mem *mem)
{
	uint64_t bytes = 0;

	for (uint64_t i = 0; i < mem->at; i++)
		bytes += mem->medium->volume.records[i].length;
	return bytes;
}

static int append(struct mem *mem, const void *data, size_t length, bool mark)
{
	struct mem_medium *medium = mem->medium;
	struct mem_volume *volume = &medium->volume;
	uint64_t full = medium->capacity ? bytes_before(mem) + length : 0;
	struct mem_record *records;

	if (medium->worm && mem->at < volume->n)
		return -EPERM;
	if (full > medium->capacity || (medium->most && mem->at >= medium->most))
		return -ENOSPC;
	free_records(volume, mem->at);
	records = realloc(volume->records, (volume->n + 1) * sizeof(*records));
	if (!records)
		return -ENOMEM;
	volume->records = records;
	records += volume->n++;
	*records = (struct mem_record){ mark, length, length ? malloc(length) : NULL };
	if (length)
		memcpy(records->data, data, length);
	medium->written++;
	mem->at++;
	show_place(mem);
	return full && full + medium->ew >= medium->capacity ? PMT_AT_EW : 0;
}

static int mem_write(struct pmt_leaf *leaf, const void *data, size_t length)
{
	struct mem *mem = mem_of(leaf);
	int rc;

	dawdle(mem);
	rc = append(mem, data, length, false);
	if (rc >= 0 && mem->medium->lose_place) {
		mem->medium->lose_place = false;
		append(mem, data, length, false);
	}
	return rc;
}

static int mem_marks(struct pmt_leaf *leaf, uint32_t count, uint32_t *done)
{
	int rc = 0;

	dawdle(mem_of(leaf));
	for (*done = 0; rc >= 0 && *done < count; *done += rc >= 0)
		rc = append(mem_of(leaf), NULL, 0, true);
	return rc;
}

static int mem_read(struct pmt_leaf *leaf, void *buffer, size_t size, size_t *length)
{
	struct mem *mem = mem_of(leaf);
	const struct mem_record *record;

	dawdle(mem);
	if (mem->at == mem->medium->volume.n)
		return PMT_AT_EOD;
	record = &mem->medium->volume.records[mem->at++];
	show_place(mem);
	if (record->mark)
		return PMT_AT_MARK;
	*length = record->length;
	memcpy(buffer, record->data, size < record->length ? size : record->length);
	return 0;
}

static int mem_sync(struct pmt_leaf *leaf)
{
	mem_of(leaf)->medium->syncs++;
	return 0;
}

static int step(struct mem *mem, int direction)
{
	const struct mem_volume *volume = &mem->medium->volume;

	if (direction > 0 ? mem->at == volume->n : mem->at == 0)
		return direction > 0 ? PMT_AT_EOD : PMT_AT_BOP;
	mem->at += (uint64_t)direction;
	return volume->records[direction > 0 ? mem->at - 1 : mem->at].mark ?
		       PMT_AT_MARK : 0;
}

static int mem_space(struct pmt_leaf *leaf, int64_t count, int64_t *left, bool marks)
{
	struct mem *mem = mem_of(leaf);
	int direction = count < 0 ? -1 : 1, rc = 0;

	dawdle(mem);
	for (*left = count; *left;) {
		rc = step(mem, direction);
		if (rc == PMT_AT_EOD || rc == PMT_AT_BOP || (rc && !marks))
			break;
		*left -= !marks || rc ? direction : 0;
		rc = 0;
	}
	show_place(mem);
	return rc;
}

static int mem_space_records(struct pmt_leaf *leaf, int64_t count, int64_t *left)
{
	return mem_space(leaf, count, left, false);
}

static int mem_space_marks(struct pmt_leaf *leaf, int64_t count, int64_t *left)
{
	return mem_space(leaf, count, left, true);
}

static int mem_locate(struct pmt_leaf *leaf, uint32_t partition, uint64_t lbn)
{
	struct mem *mem = mem_of(leaf);
	uint64_t end = mem->medium->volume.n;

	if (partition)
		return -EINVAL;
	if (lbn && mem->medium->no_locate)
		return -ENOTSUP;
	dawdle(mem);
	mem->at = lbn < end ? lbn : end;
	show_place(mem);
	return lbn > end ? PMT_AT_EOD : 0;
}

static int mem_to_eod(struct pmt_leaf *leaf)
{
	struct mem *mem = mem_of(leaf);

	mem->at = mem->medium->volume.n;
	show_place(mem);
	return 0;
}

static int mem_cut(struct pmt_leaf *leaf)
{
	struct mem *mem = mem_of(leaf);
	int rc = mem->medium->cut_error;

	mem->medium->cut_error = 0;
	if (rc)
		return rc;
	dawdle(mem);
	mem->medium->cuts++;
	free_records(&mem->medium->volume, mem->at);
	show_place(mem);
	return 0;
}

static void take_in(struct mem *mem)
{
	struct mem_medium *medium = mem->medium;

	mem->leaf.present = !medium->absent;
	mem->leaf.protected = medium->protected;
	mem->leaf.worm = medium->worm;
	mem->leaf.medium = medium->absent ? 0 : medium->id;
	mem->leaf.density = 0x5a;
	mem->at = 0;
	show_place(mem);
}

static void keep_next(struct mem *mem)
{
	if (mem->medium->no_next)
		return;
	mem->medium->unit_id = mem->leaf.next.unit_id;
	mem->medium->generation = mem->leaf.next.generation;
}

static int mem_load(struct pmt_leaf *leaf)
{
	struct mem *mem = mem_of(leaf);

	take_in(mem);
	if (mem->medium->absent)
		return -ENOMEDIUM;
	keep_next(mem);
	return 0;
}

static int mem_unload(struct pmt_leaf *leaf)
{
	struct mem *mem = mem_of(leaf);
	struct mem_medium *medium = mem->medium;
	int rc = medium->unload_error;

	medium->unload_error = 0;
	if (rc)
		return rc;
	if (medium->stacker) {
		medium->gone[medium->n_gone++ % 64] = medium->volume;
		medium->volume = (struct mem_volume){ NULL, 0 };
		medium->id += 0x10000;
	} else {
		medium->absent = true;
	}
	keep_next(mem);
	take_in(mem);
	return 0;
}

static int mem_remember(struct pmt_leaf *leaf, uint64_t unit_id, uint64_t generation)
{
	struct mem_medium *medium = mem_of(leaf)->medium;

	medium->unit_id = medium->asked_unit = unit_id;
	medium->generation = generation;
	return 0;
}

static int mem_recall(struct pmt_leaf *leaf, uint64_t *unit_id, uint64_t *generation)
{
	const struct mem_medium *medium = mem_of(leaf)->medium;

	if (!medium->unit_id)
		return -ENODATA;
	*unit_id = medium->unit_id;
	*generation = medium->generation;
	return 0;
}

static uint64_t mem_room(struct pmt_leaf *leaf)
{
	const struct mem *mem = mem_of(leaf);
	uint64_t used = bytes_before(mem), end = mem->medium->capacity - mem->medium->ew;

	if (!mem->medium->capacity)
		return PMT_UNKNOWN;
	return used < end ? end - used : 0;
}

static uint64_t mem_used(struct pmt_leaf *leaf)
{
	return bytes_before(mem_of(leaf));
}

static const struct pmt_leaf_ops leaf_ops = {
	.write = mem_write,
	.read = mem_read,
	.marks = mem_marks,
	.sync = mem_sync,
	.space_records = mem_space_records,
	.space_marks = mem_space_marks,
	.locate = mem_locate,
	.to_eod = mem_to_eod,
	.cut = mem_cut,
	.load = mem_load,
	.unload = mem_unload,
	.remember = mem_remember,
	.recall = mem_recall,
	.room = mem_room,
	.used = mem_used,
};

static int mem_open(struct pmt_drive *drive, const struct pmt_spec *spec)
{
	struct mem *mem = (struct mem *)drive;
	int rc = pmt_leaf_init(&mem->leaf, &leaf_ops);

	if (rc)
		return rc;
	mem->medium = mem_medium(spec->target);
	take_in(mem);
	return 0;
}

static void mem_close(struct pmt_drive *drive)
{
	pmt_leaf_destroy((struct pmt_leaf *)drive);
}

const struct pmt_drive_ops mem_drive = {
	.name = "mem",
	.size = sizeof(struct mem),
	.open = mem_open,
	.close = mem_close,
	.attach = pmt_leaf_attach,
	.execute = pmt_leaf_execute,
	.limits = pmt_leaf_limits,
	.used = pmt_leaf_used,
	.status = pmt_leaf_status,
};

static void note_warning(const struct pmt_session *session, const struct pmt_place *place)
{
	struct rig *rig = session->context;

	pthread_mutex_lock(&rig->lock);
	rig->warnings++;
	rig->warned = *place;
	pthread_mutex_unlock(&rig->lock);
}

static void note_event(const struct pmt_session *session, unsigned int event,
		       const char *text)
{
	struct rig *rig = session->context;

	(void)event;
	pthread_mutex_lock(&rig->lock);
	rig->events++;
	snprintf(rig->event, sizeof(rig->event), "%s", text);
	pthread_mutex_unlock(&rig->lock);
}

void rig_init(struct rig *rig)
{
	memset(rig, 0, sizeof(*rig));
	pthread_mutex_init(&rig->lock, NULL);
	pmt_drive_add_kind(&mem_drive);
	rig->session.unit_id = UNIT;
	rig->session.place.generation = 1;
	rig->session.depth = 64;
	rig->session.early_warning = note_warning;
	rig->session.event = note_event;
	rig->session.context = rig;
	rig->number = 1;
}

int rig_open(struct rig *rig, const char *spec)
{
	_cleanup_free_ char *error = NULL;
	int rc = pmt_drive_open_kept(&rig->drive, spec, rig->keeper, &error);

	if (rc) {
		rig->drive = NULL;
		fprintf(stderr, "%s: %s\n", spec, error ? error : "?");
		return rc;
	}
	return rig_take(rig, rig->drive);
}

int rig_take(struct rig *rig, struct pmt_drive *drive)
{
	int rc;

	rig->drive = drive;
	rig->place = rig->session.place;
	rc = pmt_drive_attach(rig->drive, &rig->session);
	if (rc) {
		pmt_drive_close(rig->drive);
		rig->drive = NULL;
	}
	return rc;
}

void rig_close(struct rig *rig)
{
	if (rig->drive) {
		pmt_drive_detach(rig->drive);
		pmt_drive_close(rig->drive);
	}
	rig->drive = NULL;
}

int rig_do(struct rig *rig, struct pmt_command cmd, void *data)
{
	struct pmt_request req = { .cmd = cmd, .data = data };

	req.cmd.number = rig->number++;
	pmt_drive_execute(rig->drive, &req);
	rig->result = req.result;
	rig->place = req.result.place;
	return req.result.status;
}

int rig_write(struct rig *rig, const char *text)
{
	struct pmt_command cmd = { .op = PMT_OP_WRITE, .place = rig->place,
				   .length = (uint32_t)strlen(text) };

	return rig_do(rig, cmd, (void *)(uintptr_t)text);
}

int rig_marks(struct rig *rig, int64_t count)
{
	struct pmt_command cmd = { .op = PMT_OP_WRITE_FILEMARKS, .place = rig->place,
				   .count = count };

	return rig_do(rig, cmd, NULL);
}

int rig_read(struct rig *rig, char *buffer, uint32_t size)
{
	struct pmt_command cmd = { .op = PMT_OP_READ, .place = rig->place, .length = size };

	return rig_do(rig, cmd, buffer);
}

int rig_op(struct rig *rig, unsigned int op)
{
	struct pmt_command cmd = { .op = (uint16_t)op, .place = rig->place };

	return rig_do(rig, cmd, NULL);
}

int rig_space(struct rig *rig, unsigned int what, int64_t count)
{
	struct pmt_command cmd = { .op = PMT_OP_SPACE, .place = rig->place,
				   .argument = what, .count = count };

	return rig_do(rig, cmd, NULL);
}

int rig_locate(struct rig *rig, uint64_t lbn)
{
	struct pmt_command cmd = { .op = PMT_OP_LOCATE, .place = rig->place,
				   .count = (int64_t)lbn };

	return rig_do(rig, cmd, NULL);
}

struct lingering {
	sem_t told;
	_Atomic bool left;
};

static void linger(struct pmt_request *req)
{
	struct lingering *l = req->context;

	sem_post(&l->told);
	usleep(50000);
	l->left = true;
}

bool rig_settles(struct rig *rig)
{
	struct lingering l = { .left = false };
	struct pmt_request req = {
		.cmd = { .op = PMT_OP_TEST, .number = rig->number++, .place = rig->place },
		.done = linger,
		.context = &l,
	};
	bool settled;

	sem_init(&l.told, 0, 0);
	rig->drive->ops->submit(rig->drive, &req);
	sem_wait(&l.told);
	if (rig->drive->ops->settle)
		rig->drive->ops->settle(rig->drive);
	settled = l.left;
	while (!l.left)
		usleep(1000);
	sem_destroy(&l.told);
	return settled;
}
