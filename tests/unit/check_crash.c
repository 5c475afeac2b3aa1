/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Power cuts under a native image.
 *
 * A session writes to an image, and all that it does to the file is noted: what was
 * written where, truncations, and when the disk was asked to have it (the calls stand
 * before those of the C library).  Then the power fails, on paper, behind each of
 * these.  What was there at the last fdatasync is on the disk; of what came since then
 * anything may be: all of it, the last write in part, nothing, one thing alone or
 * missing, or any sectors of it, with the file as long as if the rest were there, too.
 * Each of these files is opened.
 *
 * What must hold: the tape opens, and can be written; what is on it is what was on it
 * at some moment since the last fdatasync, or a beginning of that, and all that was
 * covered by the last synchronising mark, but for what was written over or cut since;
 * when something is cut off the file, it is said; what is appended is there when it is
 * opened again.  And the same if the power fails once more while that is done.
 *
 * The formats of other programs have no checksums; they are tried with writes that
 * reach the disk in order, the last one in part.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>

#include "folder.h"
#include "internal.h"
#include "suite.h"

#define SECTOR		512u
#define OBJECTS_MAX	2000u
#define OPS_MAX		200u
#define STEPS_MAX	4000u
#define OPTIONS		"capacity=20M&ew=64K&ahead=128K"
#define TAIL		24u	/* objects that are read of a long tape */

static unsigned int seed;

/* Formats without checksums know a torn end, but no sectors that are missing. */
static const char *format = "native";
static bool is_checked(void)
{
	return !strcmp(format, "native");
}

/* What is done to the file */

struct step {
	enum { WRITE, TRUNCATE, SYNC } kind;
	uint64_t offset;		/* or the length */
	size_t length;
	unsigned char *data;
};

struct record {
	bool on;
	ino_t inode;
	struct step steps[STEPS_MAX];
	size_t n;
};

static struct record session, recovery, *noted;

static struct step *note(int fd, int kind)
{
	struct stat st;
	struct step *step;

	if (!noted || !noted->on || fstat(fd, &st) || st.st_ino != noted->inode)
		return NULL;
	ck_assert_uint_lt(noted->n, STEPS_MAX);
	step = &noted->steps[noted->n++];
	*step = (struct step){ .kind = kind };
	return step;
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	struct step *step = note(fd, WRITE);

	if (step) {
		size_t at = 0;

		for (int i = 0; i < count; i++)
			step->length += iov[i].iov_len;
		step->offset = (uint64_t)offset;
		step->data = malloc(step->length);
		for (int i = 0; i < count; at += iov[i++].iov_len)
			memcpy(step->data + at, iov[i].iov_base, iov[i].iov_len);
	}
	return syscall(SYS_pwritev, fd, iov, count, offset, 0);
}

int ftruncate(int fd, off_t length)
{
	struct step *step = note(fd, TRUNCATE);

	if (step)
		step->offset = (uint64_t)length;
	return (int)syscall(SYS_ftruncate, fd, length);
}

int fdatasync(int fd)
{
	note(fd, SYNC);
	return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
	note(fd, SYNC);
	return (int)syscall(SYS_fsync, fd);
}

static void forget(struct record *record)
{
	while (record->n)
		free(record->steps[--record->n].data);
	record->on = false;
}

static void begin(struct record *record, const char *name)
{
	struct stat st;

	forget(record);
	ck_assert_int_eq(stat(path(name), &st), 0);
	record->inode = st.st_ino;
	record->on = true;
	noted = record;
}

/* What the library says */

static char said[400];

static void listen_to(int priority, const char *message)
{
	if (priority <= LOG_WARNING)
		snprintf(said, sizeof(said), "%s", message);
}

/* The tape as it should be: keys of records, 0 for marks */

struct moment {
	size_t begun, ended;		/* steps noted before and behind it */
	uint32_t n, *keys;
	uint32_t cut;			/* so much of what was there was left alone */
	bool synced;
};

static struct moment moments[OPS_MAX];
static size_t n_moments;
static uint32_t next_key;

static size_t length_of(uint32_t key)
{
	/* Few, so that what is written over is often as long as what was there. */
	static const size_t lengths[] = { 40, 450, 40, 448, 2500, 40, 449, 448 };

	return lengths[key * 2654435761u >> 29];
}

static unsigned char *content(uint32_t key)
{
	size_t length = length_of(key);
	unsigned char *data = malloc(length);
	uint32_t state = key;

	for (size_t i = 0; i < length; i++) {
		state = state * 1664525 + 1013904223;
		data[i] = (unsigned char)(state >> 24);
	}
	memcpy(data, &key, sizeof(key));
	return data;
}

/* The image */

static int try_tape(struct pmt_leaf **leaf, const char *name, const char *options)
{
	char text[256], *error = NULL;
	struct pmt_spec *spec;
	int rc;

	snprintf(text, sizeof(text), "image:%s?%s&format=%s", path(name), options, format);
	ck_assert_int_eq(pmt_spec_parse(text, &spec, &error), 0);
	*leaf = calloc(1, pmt_image_drive.size);
	(*leaf)->drive.ops = &pmt_image_drive;
	rc = pmt_image_drive.open(&(*leaf)->drive, spec);
	pmt_spec_free(spec);
	if (rc)
		free(*leaf);
	return rc;
}

static struct pmt_leaf *tape(const char *name, const char *options)
{
	struct pmt_leaf *leaf;

	ck_assert_msg(!try_tape(&leaf, name, options), "does not open: %s", said);
	return leaf;
}

static void drop(struct pmt_leaf *leaf)
{
	pmt_image_drive.close(&leaf->drive);
	free(leaf);
}

/* The session */

static struct moment *moment(void)
{
	struct moment *now = &moments[n_moments];
	const struct moment *before = n_moments ? now - 1 : NULL;

	ck_assert_uint_lt(n_moments, OPS_MAX);
	n_moments++;
	*now = (struct moment){ .begun = session.n,
				.keys = calloc(OBJECTS_MAX, sizeof(uint32_t)) };
	if (before) {
		now->n = before->n;
		memcpy(now->keys, before->keys, before->n * sizeof(uint32_t));
	}
	now->cut = now->n;
	return now;
}

static void forget_moments(void)
{
	while (n_moments)
		free(moments[--n_moments].keys);
}

static void cut_model(struct moment *now, const struct pmt_leaf *leaf)
{
	if (leaf->place.lbn < now->n)
		now->cut = now->n = (uint32_t)leaf->place.lbn;
}

static void do_record(struct pmt_leaf *leaf)
{
	struct moment *now = moment();
	uint32_t key = ++next_key;
	unsigned char *data = content(key);

	cut_model(now, leaf);
	ck_assert_int_ge(leaf->ops->write(leaf, data, length_of(key)), 0);
	now->keys[now->n++] = key;
	now->ended = session.n;
	free(data);
}

static void do_marks(struct pmt_leaf *leaf, uint32_t count, bool sync)
{
	struct moment *now = moment();
	uint32_t done;

	cut_model(now, leaf);
	ck_assert_int_ge(leaf->ops->marks(leaf, count, &done), 0);
	ck_assert_uint_eq(done, count);
	while (done--)
		now->keys[now->n++] = 0;
	if (sync)
		ck_assert_int_eq(leaf->ops->sync(leaf), 0);
	now->synced = sync;
	now->ended = session.n;
}

static void do_cut(struct pmt_leaf *leaf)
{
	struct moment *now = moment();

	cut_model(now, leaf);
	ck_assert_int_eq(leaf->ops->cut(leaf), 0);
	now->ended = session.n;
}

static void do_reopen(struct pmt_leaf **leaf)
{
	struct moment *now = moment();

	drop(*leaf);
	*leaf = tape("session", OPTIONS);
	ck_assert_int_eq((*leaf)->ops->to_eod(*leaf), 0);
	ck_assert_uint_eq((*leaf)->eod, now->n);
	now->synced = true;
	now->ended = session.n;
}

/* kill -9, and another process opens it. */
static void do_kill(struct pmt_leaf **leaf)
{
	struct moment *now = moment();

	(*leaf)->present = false;	/* nothing is to be finished */
	drop(*leaf);
	*leaf = tape("session", OPTIONS);
	ck_assert_int_eq((*leaf)->ops->to_eod(*leaf), 0);
	ck_assert_uint_eq((*leaf)->eod, now->n);
	now->ended = session.n;
}

static void go_back(struct pmt_leaf *leaf)
{
	uint64_t n = moments[n_moments - 1].n, back = 1 + (uint64_t)random() % 6;

	if (random() % 6 == 0)
		back = n;
	/* Without one whole record a file may be something else, and is left alone. */
	if (!is_checked() && back >= n)
		back = n - 1;
	ck_assert_int_ge(leaf->ops->locate(leaf, 0, back < n ? n - back : 0), 0);
}

static void something(struct pmt_leaf **leaf)
{
	switch (random() % 12) {
	case 0:
		do_marks(*leaf, 1 + (uint32_t)random() % 3, false);
		break;
	case 1:
	case 2:
		do_marks(*leaf, 1, true);
		break;
	case 3:
		go_back(*leaf);
		do_record(*leaf);
		break;
	case 4:
		go_back(*leaf);
		if (random() % 2)
			do_cut(*leaf);
		else
			do_marks(*leaf, 1, random() % 2);
		break;
	case 5:
		if (random() % 3 == 0)
			do_reopen(leaf);
		else
			do_kill(leaf);
		break;
	default:
		do_record(*leaf);
	}
}

/* The disk: what is in a file after a power cut */

struct disk {
	unsigned char *bytes;
	uint64_t size, room;
};

static void make_room(struct disk *disk, uint64_t size)
{
	if (disk->bytes && size <= disk->room)
		return;
	disk->room = 2 * size + SECTOR;
	disk->bytes = realloc(disk->bytes, disk->room);
}

static void set_size(struct disk *disk, uint64_t size)
{
	make_room(disk, size);
	if (size > disk->size)
		memset(disk->bytes + disk->size, 0, size - disk->size);
	disk->size = size;
}

/* A part of a write, from its byte a to b. */
static void apply_part(struct disk *disk, const struct step *step, size_t a, size_t b)
{
	if (a >= b)
		return;
	if (step->offset + b > disk->size)
		set_size(disk, step->offset + b);
	memcpy(disk->bytes + step->offset + a, step->data + a, b - a);
}

static void apply(struct disk *disk, const struct step *step)
{
	if (step->kind == WRITE)
		apply_part(disk, step, 0, step->length);
	else if (step->kind == TRUNCATE)
		set_size(disk, step->offset);
}

/* Any sectors of it. */
static void apply_some(struct disk *disk, const struct step *step)
{
	size_t a = 0;

	if (step->kind != WRITE) {
		if (random() % 2)
			apply(disk, step);
		return;
	}
	while (a < step->length) {
		size_t b = a + SECTOR - (step->offset + a) % SECTOR;

		if (b > step->length)
			b = step->length;
		if (random() % 2)
			apply_part(disk, step, a, b);
		a = b;
	}
	/* The length of the file goes its own way. */
	if (random() % 2 && step->offset + step->length > disk->size)
		set_size(disk, step->offset + step->length);
}

static void copy_disk(struct disk *to, const struct disk *from)
{
	make_room(to, from->size);
	if (from->size)
		memcpy(to->bytes, from->bytes, from->size);
	to->size = from->size;
}

static void read_disk(struct disk *disk, const char *name)
{
	int fd = open(path(name), O_RDONLY);
	struct stat st;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	make_room(disk, (uint64_t)st.st_size);
	disk->size = (uint64_t)st.st_size;
	ck_assert_int_eq(pread(fd, disk->bytes, disk->size, 0), st.st_size);
	close(fd);
}

static void write_disk(const struct disk *disk, const char *name)
{
	int fd = open(path(name), O_WRONLY | O_CREAT, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(syscall(SYS_ftruncate, fd, 0), 0);
	ck_assert_int_eq(pwrite(fd, disk->bytes, disk->size, 0), (ssize_t)disk->size);
	close(fd);
}

static uint64_t file_size(const char *name)
{
	struct stat st;

	ck_assert_int_eq(stat(path(name), &st), 0);
	return (uint64_t)st.st_size;
}

/* What must hold */

static struct {
	size_t steps;			/* that were done when the power failed */
	const char *how;
	size_t detail;
	long opened;
} cut;

#define must(condition) \
	ck_assert_msg(condition, "%s; power cut behind step %zu, %s %zu, seed %u; said: %s", \
		      #condition, cut.steps, cut.how, cut.detail, seed, said)

/* The keys of objects from first on. */
static void read_keys(struct pmt_leaf *leaf, uint64_t first, uint32_t *keys)
{
	static unsigned char buffer[4096];

	ck_assert_int_ge(leaf->ops->locate(leaf, 0, first), 0);
	for (uint64_t i = first; i < leaf->eod; i++) {
		unsigned char *data;
		size_t length;
		int rc = leaf->ops->read(leaf, buffer, sizeof(buffer), &length);

		must(rc == 0 || rc == PMT_AT_MARK);
		keys[i - first] = 0;
		if (rc)
			continue;
		must(length >= 8 && length <= sizeof(buffer));
		memcpy(&keys[i - first], buffer, sizeof(*keys));
		must(keys[i - first] && keys[i - first] <= next_key);
		data = content(keys[i - first]);
		must(length == length_of(keys[i - first]) && !memcmp(data, buffer, length));
		free(data);
	}
}

/* A beginning of the tape of a moment since the last that was made durable? */
static bool is_explained(uint64_t eod, uint64_t first, const uint32_t *keys)
{
	size_t durable = 0, last = 0;
	uint32_t kept;

	for (size_t i = 0; i < n_moments; i++) {
		if (moments[i].synced && moments[i].ended <= cut.steps)
			durable = i;
		if (moments[i].begun <= cut.steps)
			last = i;
	}
	kept = moments[durable].n;
	for (size_t i = durable + 1; i <= last; i++)
		if (moments[i].cut < kept)
			kept = moments[i].cut;
	if (eod < kept)
		return false;
	for (size_t i = durable; i <= last; i++)
		if (eod <= moments[i].n &&
		    !memcmp(keys, moments[i].keys + first, (eod - first) * sizeof(*keys)))
			return true;
	return false;
}

static void check_place(struct pmt_leaf *leaf)
{
	struct pmt_place *place = &leaf->place;
	uint64_t file, block;
	int64_t left;

	ck_assert_int_eq(leaf->ops->to_eod(leaf), 0);
	file = place->file;
	block = place->block;
	must(place->lbn == leaf->eod);
	if (!block)
		return;
	must(leaf->ops->space_records(leaf, -(int64_t)block, &left) == 0);
	must(place->file == file && place->block == 0);
	must(leaf->ops->space_records(leaf, -1, &left) == (file ? PMT_AT_MARK : PMT_AT_BOP));
}

static void append_and_look(const char *name, struct pmt_leaf *leaf)
{
	static const char text[] = "behind the power cut";
	uint64_t eod = leaf->eod;
	char buffer[64];
	size_t length;

	must(leaf->ops->to_eod(leaf) == 0);
	must(leaf->ops->write(leaf, text, sizeof(text)) >= 0);
	drop(leaf);
	said[0] = '\0';
	must(!try_tape(&leaf, name, "readonly=yes"));
	must(leaf->eod == eod + 1 && !said[0]);
	ck_assert_int_ge(leaf->ops->locate(leaf, 0, eod), 0);
	must(leaf->ops->read(leaf, buffer, sizeof(buffer), &length) == 0);
	must(length == sizeof(text) && !memcmp(buffer, text, sizeof(text)));
	drop(leaf);
}

/* As it is after the power cut: opened, looked at, written to. */
static void survives(const struct disk *disk, const char *name, bool noting)
{
	uint32_t keys[OBJECTS_MAX];
	struct pmt_leaf *leaf;
	uint64_t first;

	cut.opened++;
	write_disk(disk, name);
	said[0] = '\0';
	if (noting)
		begin(&recovery, name);
	must(!try_tape(&leaf, name, noting ? OPTIONS : OPTIONS "&sync=no"));
	recovery.on = false;
	must(!leaf->protected);
	must(file_size(name) <= disk->size);
	must((file_size(name) < disk->size) == (strstr(said, ", cut") != NULL));
	first = leaf->eod > TAIL ? leaf->eod - TAIL : 0;
	read_keys(leaf, first, keys);
	must(is_explained(leaf->eod, first, keys));
	check_place(leaf);
	append_and_look(name, leaf);
}

/* The power fails again while it is mended: at each step, whole, torn or lost. */
static void survives_twice(const struct disk *before)
{
	static struct disk disk, safe;

	survives(before, "crashed", true);
	noted = NULL;
	copy_disk(&safe, before);
	copy_disk(&disk, before);
	for (size_t i = 0; i < recovery.n; i++) {
		const struct step *step = &recovery.steps[i];

		if (step->kind == SYNC) {
			copy_disk(&safe, &disk);
			continue;
		}
		cut.detail = i;
		if (step->kind == WRITE) {
			struct disk torn = { 0 };

			copy_disk(&torn, &disk);
			apply_part(&torn, step, 0, step->length / SECTOR / 2 * SECTOR);
			survives(&torn, "again", false);
			free(torn.bytes);
		}
		apply(&disk, step);
		survives(&disk, "again", false);
		survives(&safe, "again", false);
	}
}

/* Every power cut behind step k: safe is what was on the disk at the last sync. */
static void cut_behind(const struct disk *safe, size_t since, size_t k)
{
	static struct disk disk;
	const struct step *last = &session.steps[k - 1];
	size_t unsafe = k - since;

	cut.steps = k;
	cut.detail = 0;
	cut.how = "everything";
	copy_disk(&disk, safe);
	for (size_t i = since; i < k; i++)
		apply(&disk, &session.steps[i]);
	survives_twice(&disk);
	cut.how = "torn at";
	for (size_t at = SECTOR - last->offset % SECTOR;
	     last->kind == WRITE && at < last->length; at += SECTOR)
		for (int end = 0; end < (is_checked() ? 2 : 1); end++) {
			cut.detail = at;
			copy_disk(&disk, safe);
			for (size_t i = since; i < k - 1; i++)
				apply(&disk, &session.steps[i]);
			apply_part(&disk, last, end ? at : 0, end ? last->length : at);
			survives(&disk, "crashed", false);
		}
	if (!is_checked())
		return;
	for (size_t only = 0; only < 2; only++)
		for (size_t n = 0; unsafe > 1 && n < unsafe && n < 8; n++) {
			size_t which = unsafe <= 8 ? since + n : since + random() % unsafe;

			cut.how = only ? "nothing but" : "all but";
			cut.detail = which;
			copy_disk(&disk, safe);
			for (size_t i = since; i < k; i++)
				if ((i == which) == only)
					apply(&disk, &session.steps[i]);
			survives(&disk, "crashed", false);
		}
	cut.how = "some sectors of everything";
	for (int n = 0; n < 4; n++) {
		copy_disk(&disk, safe);
		for (size_t i = since; i < k; i++)
			apply_some(&disk, &session.steps[i]);
		survives(&disk, "crashed", false);
	}
}

static void all_power_cuts(const struct disk *before)
{
	struct disk safe = { 0 }, disk = { 0 };
	size_t since = 0;

	copy_disk(&safe, before);
	copy_disk(&disk, before);
	for (size_t k = 0; k < session.n; k++) {
		apply(&disk, &session.steps[k]);
		if (session.steps[k].kind == SYNC) {
			copy_disk(&safe, &disk);
			since = k + 1;
			continue;
		}
		cut_behind(&safe, since, k + 1);
	}
	free(safe.bytes);
	free(disk.bytes);
}

/* A session on an image that has so many marks, then random things. */
static void run(uint32_t marks, int ops)
{
	struct pmt_leaf *leaf = tape("session", OPTIONS "&create=yes");
	struct disk before = { 0 };

	noted = NULL;
	forget(&session);
	forget_moments();
	moment()->synced = true;
	if (!is_checked() && marks)
		do_record(leaf);
	if (marks)
		do_marks(leaf, marks, true);
	drop(leaf);
	read_disk(&before, "session");
	begin(&session, "session");
	leaf = tape("session", OPTIONS);
	ck_assert_int_ge(leaf->ops->to_eod(leaf), 0);
	while (ops--)
		something(&leaf);
	drop(leaf);
	noted = NULL;
	all_power_cuts(&before);
	free(before.bytes);
	ck_assert_uint_gt(session.n, 20);
	ck_assert_int_gt(cut.opened, is_checked() ? 200 : 40);
	forget(&session);
	forget(&recovery);
	forget_moments();
}

START_TEST(short_tapes)
{
	srandom(seed + (unsigned int)_i);
	run(0, 40);
}
END_TEST

/* Across index blocks, which are written together with what is behind them. */
START_TEST(index_blocks)
{
	srandom(seed + (unsigned int)_i);
	run(512 * (1 + _i % 2) - 6, 22);
}
END_TEST

/* What the formats of other programs can do: in order, and the last write torn. */
START_TEST(other_formats)
{
	srandom(seed + (unsigned int)_i);
	format = _i % 2 ? "simh" : "aws";
	run(1, 40);
}
END_TEST

/* The first record is not whole before it is one. */
START_TEST(first_record)
{
	srandom(seed + (unsigned int)_i);
	format = "simh";
	run(0, 40);
}
END_TEST

static void setup(void)
{
	folder_make();
	pmt_log_set_handler(listen_to);
}

int main(void)
{
	Suite *suite = suite_create("crash");
	TCase *tests = tcase_create("crash");

	seed = suite_seed();
	tcase_add_checked_fixture(tests, setup, folder_remove);
	tcase_set_timeout(tests, 240);
	tcase_add_loop_test(tests, short_tapes, 0, 3);
	tcase_add_loop_test(tests, index_blocks, 0, 2);
	tcase_add_loop_test(tests, other_formats, 0, 4);
	tcase_add_loop_test(tests, first_record, 0, 4);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
