// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * st: a tape drive under the kernel's st driver, by its node that does not rewind.
 *
 * Place.  leaf->place is counted here while all goes well, and asked of the drive
 * (MTIOCPOS) where it cannot be counted and after every error.  A drive without
 * READ POSITION is taken to a file and a block in it; its LBN is known only as
 * long as it can be counted from the beginning, and over records it goes one by
 * one, so that it is known where it stops.  When the node is opened the place of
 * such a drive is unknown: st's own counters say "beginning" of a tape that stands
 * elsewhere, after a reset.
 *
 * End of tape.  Behind the write that met early warning st refuses every other
 * one with ENOSPC and does nothing: such a record is written again at once.  If
 * that is refused, too, nothing fits: whichever of the two the drive was asked.
 *
 * Marks.  st writes one at close and before it moves, if the last thing was a
 * write: prevented by pmt_st_idle(), but not when this process is killed.  Where a
 * keeper has a descriptor, too, there is no close, and the next process goes on;
 * else it finds the drive behind a stray mark, and law 1 takes it back over it.
 *
 * Blocks.  A command in blocks of a fixed size is given to st as such, a megabyte
 * at a time, so that each is mapped and none is copied.  If reading so meets
 * anything but blocks, the drive goes back, and they are read one by one.
 *
 * All here belongs to the executing thread.
 */
#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "st.h"

#define ROOM_DEFAULT	(16ull << 20)
#define ROOM_MAX	(1ull << 40)
/* Of what a drive keeps beside the data. */
#define RECORD_COST	32
#define MARK_COST	4096

/* ---- the medium ---- */

static void describe(struct pmt_st *st, const struct mtget *status)
{
	struct pmt_leaf *leaf = &st->leaf;

	leaf->present = true;
	leaf->protected = GMT_WR_PROT(status->mt_gstat);
	leaf->density = (uint8_t)((unsigned long)status->mt_dsreg >> MT_ST_DENSITY_SHIFT);
	leaf->eod = PMT_UNKNOWN;
	st->early = false;
	st->synced = true;
}

static int set_lock(struct pmt_st *st, const struct pmt_modes *modes)
{
	int rc = 0;

	if (st->locked != modes->locked)
		rc = pmt_st_op(st, modes->locked ? MTLOCK : MTUNLOCK, 1);
	if (rc == 0)
		st->locked = modes->locked;
	return rc;
}

/* The drive's own is left until somebody wishes otherwise. */
static int set_compression(struct pmt_st *st, const struct pmt_modes *modes)
{
	int rc = 0;

	if (st->compression >= 0 && st->compression != modes->compression)
		rc = pmt_st_op(st, MTCOMPRESSION, modes->compression);
	if (rc == 0)
		st->compression = modes->compression;
	return rc;
}

static int set_buffering(struct pmt_st *st, const struct pmt_modes *modes)
{
	struct mtget status;
	int rc = pmt_st_status(st, &status);

	/* Without st's own buffering, the drive's is all that this says. */
	if (rc == 0 && !GMT_IM_REP_EN(status.mt_gstat) != !modes->buffered)
		rc = pmt_st_op(st, MTSETDRVBUFFER, modes->buffered);
	return rc;
}

static int st_set_modes(struct pmt_leaf *leaf, const struct pmt_modes *modes)
{
	struct pmt_st *st = pmt_st_of(leaf);
	int rc;

	pmt_st_idle(st);
	rc = set_buffering(st, modes);
	if (rc == 0)
		rc = set_compression(st, modes);
	if (rc == 0)
		rc = set_lock(st, modes);
	return rc ? pmt_st_refused(st, rc) : 0;
}

/* What st says of the medium, and what the drive says. */
static int take_medium(struct pmt_st *st)
{
	struct pmt_leaf *leaf = &st->leaf;
	struct mtget status;
	__u64 lbn;
	int rc = pmt_st_status(st, &status);

	/* A switch of partitions that somebody has left to st, and that fails. */
	if (rc == -EIO && pmt_st_set_options(st) == 0)
		rc = pmt_st_status(st, &status);
	if (rc == 0 && !GMT_ONLINE(status.mt_gstat))
		rc = -ENOMEDIUM;
	if (rc == 0)
		rc = pmt_st_set_options(st);
	if (rc)
		return rc;
	st->positions = true;
	st->positions = pmt_st_lbn(st, &lbn) == 0;
	st->block_size = PMT_UNKNOWN;
	describe(st, &status);
	pmt_st_ask_limits(st);
	pmt_st_ask_identity(st);
	pmt_st_ask_partitions(st);
	rc = pmt_st_set_block_size(st, 0);
	if (rc == -EIO)
		rc = pmt_st_set_block_size(st, 0);
	if (rc)
		pmt_log(LOG_ERR, "%s: it does not take records of any size: %s", st->path,
			strerror(-rc));
	if (rc == 0)
		rc = pmt_st_first_partition(st);
	if (rc)
		leaf->present = false;
	else
		pmt_st_keep(st);
	st->attention = 0;
	return rc;
}

/* A cartridge that was not there before: from its beginning. */
static int take_new_medium(struct pmt_st *st)
{
	int rc = take_medium(st);

	if (rc == 0)
		pmt_st_where(st);
	if (rc == 0)
		rc = pmt_st_locate(&st->leaf, 0, 0);
	if (rc == 0 && st->leaf.drive.session)
		st_set_modes(&st->leaf, &st->leaf.modes);
	return rc;
}

/* Was it the same all the time?  It has said so itself, or nobody knows. */
static int look_for_medium(struct pmt_st *st)
{
	uint64_t medium = st->leaf.medium;
	bool removed = st->removed;
	int rc = pmt_st_reopen(st);

	if (rc == 0)
		rc = take_new_medium(st);
	if (rc)
		return rc == -ENOMEDIUM ? 0 : rc;
	pmt_log(LOG_INFO, "%s: a cartridge is in the drive", st->path);
	st->removed = false;
	if (removed && (!medium || medium != st->leaf.medium))
		return -ESTALE;
	return 0;
}

static int st_look(struct pmt_leaf *leaf)
{
	struct pmt_st *st = pmt_st_of(leaf);
	int rc;

	if (!leaf->present)
		return look_for_medium(st);
	rc = pmt_st_test(st);
	if (rc == 0)
		pmt_st_ask_protection(st);
	if (rc == -ESTALE || rc == -ENOMEDIUM) {
		leaf->present = false;
		st->removed = true;
		return rc == -ESTALE ? look_for_medium(st) : 0;
	}
	if (rc == -ECONNRESET) {
		leaf->place.lbn = leaf->place.file = leaf->place.block = PMT_UNKNOWN;
		leaf->stands = false;
	}
	return rc == -ECONNRESET || rc == -EAGAIN ? rc : 0;
}

static int st_load(struct pmt_leaf *leaf)
{
	struct pmt_st *st = pmt_st_of(leaf);
	int rc;

	pmt_st_idle(st);
	rc = pmt_st_op_again(st, MTLOAD, 1);
	if (rc == -EIO && pmt_st_test(st) != -ENOMEDIUM)
		return pmt_st_failed(st, rc);
	leaf->present = false;
	st->removed = false;
	return rc ? -ENOMEDIUM : take_new_medium(st);
}

static int st_unload(struct pmt_leaf *leaf)
{
	struct pmt_st *st = pmt_st_of(leaf);
	int rc;

	pmt_st_idle(st);
	rc = pmt_st_op_again(st, MTOFFL, 1);
	if (rc)
		return pmt_st_failed(st, rc);
	pmt_log(LOG_NOTICE, "%s: unloaded; it waits for the next cartridge", st->path);
	pmt_st_drop(st);
	leaf->present = st->removed = st->early = false;
	leaf->medium = 0;
	leaf->eod = PMT_UNKNOWN;
	st->locked = 0;
	return 0;
}

static const struct pmt_leaf_ops leaf_ops = {
	.write = pmt_st_write,
	.write_blocks = pmt_st_write_blocks,
	.read = pmt_st_read,
	.read_blocks = pmt_st_read_blocks,
	.marks = pmt_st_marks,
	.sync = pmt_st_sync,
	.space_records = pmt_st_space_records,
	.space_marks = pmt_st_space_marks,
	.locate = pmt_st_locate,
	.to_eod = pmt_st_to_eod,
	.marks_ahead = pmt_st_marks_ahead,
	.cut = pmt_st_cut,
	.cut_by_mark = pmt_st_cut_by_mark,
	.format = pmt_st_format,
	.partitions = pmt_st_partitions,
	.partition = pmt_st_describe_partition,
	.look = st_look,
	.load = st_load,
	.unload = st_unload,
	.set_modes = st_set_modes,
};

/* ---- the drive ---- */

static int take_options(struct pmt_st *st, const struct pmt_spec *spec)
{
	uint64_t room = ROOM_DEFAULT;
	int rc = pmt_spec_number(spec, "room", 0, ROOM_MAX, &room);

	if (rc == 0 || rc == -ENOENT)
		rc = pmt_spec_unused(spec);
	if (rc)
		return rc;
	st->leaf.limits.window = room;
	st->leaf.limits.record_cost = RECORD_COST;
	st->leaf.limits.mark_cost = MARK_COST;
	st->keeper = st->calls->keeps ? spec->keeper : NULL;
	st->path = strdup(spec->target);
	st->name = realpath(spec->target, NULL);
	if (!st->name)
		st->name = strdup(spec->target);
	return st->path && st->name ? 0 : -ENOMEM;
}

/* The drive's word counts; where it has none, that of who had it before. */
static void stand(struct pmt_st *st, const struct pmt_place *place)
{
	struct pmt_place *now = &st->leaf.place;

	pmt_st_where(st);
	if (st->positions &&
	    (now->lbn != place->lbn || now->partition != place->partition))
		return;
	now->lbn = place->lbn;
	now->file = place->file;
	now->block = place->block;
}

static void free_st(struct pmt_st *st)
{
	pmt_st_close(st);
	free(st->path);
	free(st->name);
	pmt_leaf_destroy(&st->leaf);
}

int pmt_st_open(struct pmt_drive *drive, const struct pmt_spec *spec,
		const struct pmt_st_calls *calls)
{
	struct pmt_st *st = (struct pmt_st *)drive;
	int rc = pmt_leaf_init(&st->leaf, &leaf_ops);
	struct pmt_place place;

	if (rc)
		return rc;
	st->calls = calls;
	st->fd = -1;
	st->passes = true;
	st->compression = -1;
	st->partitions = 1;
	rc = take_options(st, spec);
	if (rc == 0)
		rc = pmt_st_open_node(st, &place);
	if (rc == 0)
		rc = take_medium(st);
	if (rc == 0)
		stand(st, &place);
	st->synced = false;		/* nobody knows what its buffer has */
	if (rc == -ENOMEDIUM) {
		pmt_log(LOG_NOTICE, "%s: no cartridge is in the drive", st->path);
		pmt_st_ask_limits(st);
		rc = 0;
	}
	if (rc)
		free_st(st);
	return rc;
}

static int st_open(struct pmt_drive *drive, const struct pmt_spec *spec)
{
	return pmt_st_open(drive, spec, &pmt_st_system);
}

static void st_close(struct pmt_drive *drive)
{
	pmt_st_leave((struct pmt_st *)drive);
	free_st((struct pmt_st *)drive);
}

static bool is_beginning(const struct pmt_place *place)
{
	return !place->partition && !place->lbn && !place->file && !place->block;
}

/*
 * The cartridge that the unit was using went while nobody served it, and the drive
 * is empty or may have another one: as if it had gone under this server.  If both
 * are known, they are compared by whoever attaches.
 */
static void miss(struct pmt_st *st, const struct pmt_session *session)
{
	struct pmt_leaf *leaf = &st->leaf;
	uint64_t meant = session->medium[0];

	if (!leaf->present && (meant || !is_beginning(&session->place)))
		st->removed = true;
	if (!st->removed)
		return;
	if (leaf->present && leaf->medium && meant) {
		st->removed = false;
		return;
	}
	leaf->present = false;
	leaf->medium = meant;
}

/* A drive that cannot tell where it stands is taken to where a new unit begins. */
static int st_attach(struct pmt_drive *drive, const struct pmt_session *session)
{
	struct pmt_st *st = (struct pmt_st *)drive;
	int rc;

	miss(st, session);
	rc = pmt_leaf_attach(drive, session);
	if (rc == 0 && st->leaf.present && !st->positions &&
	    is_beginning(&session->place) && !is_beginning(&st->leaf.place))
		rc = pmt_st_rewind(st);
	return rc;
}

const struct pmt_drive_ops pmt_st_drive = {
	.name = "st",
	.size = sizeof(struct pmt_st),
	.open = st_open,
	.close = st_close,
	.attach = st_attach,
	.execute = pmt_leaf_execute,
	.limits = pmt_leaf_limits,
	.used = pmt_leaf_used,
	.status = pmt_leaf_status,
};
