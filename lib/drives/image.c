/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * image: a tape in a file, or a set of such tapes; see pmt-image(5).
 *
 * One struct pmt_image is one drive.  While a volume is in it (leaf.present) it
 * owns the open file, a lock on it (flock: exclusive, or shared if protected)
 * and the format's state.  The format keeps the objects; here are the options,
 * the file, its limits, and all moving about, which is the same for all formats.
 *
 * While writing, the disk is asked for blocks ahead of the data, so that a disk that gets full
 * shows as early warning, with ew bytes still to be had, before it shows as the
 * end of the tape.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <syslog.h>
#include <unistd.h>

#include "../formats/format.h"

#define MIB		(1ull << 20)
#define CAPACITY_MIN	(64ull << 10)
#define EW_MIN		4096ull
#define EW_UNLIMITED	(64 * MIB)
#define AHEAD		(256 * MIB)	/* blocks beyond the data and ew; ... */
#define AHEAD_LOW	(128 * MIB)	/* ... asked for again below this */
#define AHEAD_LEAST	(64ull << 10)
#define WRITEBACK	(8 * MIB)

static bool disk_is_full(int r)
{
	return r == -ENOSPC || r == -EDQUOT || r == -EFBIG;
}

/* The file */

int pmt_image_pread(struct pmt_image *image, void *buffer, size_t length,
		    uint64_t offset)
{
	size_t done = 0;

	while (done < length) {
		ssize_t n = pread(image->fd, (char *)buffer + done, length - done,
				  (off_t)(offset + done));

		if (n > 0)
			done += (size_t)n;
		else if (!n)
			return -EBADMSG;
		else if (errno != EINTR)
			return -EIO;
	}
	return 0;
}

static int write_all(struct pmt_image *image, struct iovec *iov, int count,
		     uint64_t offset)
{
	while (count) {
		ssize_t n = pwritev(image->fd, iov, count, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		offset += (uint64_t)n;
		for (; count && (size_t)n >= iov->iov_len; iov++, count--)
			n -= (ssize_t)iov->iov_len;
		if (count) {
			iov->iov_base = (char *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	return 0;
}

int pmt_image_pwrite(struct pmt_image *image, const void *data, size_t length,
		     uint64_t offset)
{
	struct iovec iov = { (void *)data, length };
	int r = write_all(image, &iov, 1, offset);

	image->dirty = true;
	if (r)
		pmt_log(LOG_ERR, "%s: %s", image->path, strerror(-r));
	return disk_is_full(r) ? -ENOSPC : r ? -EIO : 0;
}

int pmt_image_truncate(struct pmt_image *image)
{
	if (ftruncate(image->fd, (off_t)image->end)) {
		pmt_log(LOG_ERR, "%s: cannot cut the file: %m", image->path);
		image->broken = true;
		return -EIO;
	}
	image->size = image->allocated = image->end;
	image->reserving = false;
	if (image->flushed > image->end)
		image->flushed = image->end;
	image->dirty = true;
	return 0;
}

int pmt_image_flush(struct pmt_image *image)
{
	if (image->broken)
		return -EIO;
	if (image->dirty && image->synchronous && fdatasync(image->fd)) {
		/* What was lost is not known, and the kernel tells it once. */
		pmt_log(LOG_ERR, "%s: what was written may be lost: %m", image->path);
		image->broken = true;
		return -EIO;
	}
	image->dirty = false;
	image->flushed = image->end;
	return 0;
}

/* A stop signal breaks it off, too; that is no full disk. */
static int set_aside(struct pmt_image *image, uint64_t from, uint64_t length)
{
	int ret;

	do
		ret = fallocate(image->fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)length);
	while (ret && errno == EINTR);
	return ret;
}

/* Blocks for upto, for ew, and for what comes; as far as the disk has them. */
static void reserve(struct pmt_image *image, uint64_t upto)
{
	uint64_t want = upto + image->ew + AHEAD;

	image->reserving = true;
	if (!image->can_allocate || image->allocated >= upto + image->ew + AHEAD_LOW)
		return;
	if (image->capacity && want > image->capacity)
		want = image->capacity;
	while (want > image->allocated) {
		uint64_t more = want - image->allocated;

		if (!set_aside(image, image->allocated, more)) {
			image->allocated = want;
			return;
		}
		if (!disk_is_full(-errno)) {
			image->can_allocate = false;
			return;
		}
		if (more <= AHEAD_LEAST)
			return;
		want = image->allocated + more / 2;
	}
}

/* Does the file system know how?  Being full does not matter here. */
static bool can_reserve(struct pmt_image *image)
{
	if (!set_aside(image, image->size, AHEAD_LEAST))
		image->allocated = image->size + AHEAD_LEAST;
	else
		image->can_allocate = disk_is_full(-errno);
	return image->can_allocate;
}

/* Where the file could end: a promise while writing, else a good guess. */
static uint64_t reach(struct pmt_image *image)
{
	struct statvfs fs;

	if (image->reserving)
		return image->allocated;
	if (fstatvfs(image->fd, &fs))
		return image->size;
	return image->size + (uint64_t)fs.f_bavail * fs.f_frsize;
}

/* After a write that failed half way: as if it had not been. */
static int append_failed(struct pmt_image *image, int r)
{
	struct stat st;

	if (fstat(image->fd, &st) || (uint64_t)st.st_size != image->end) {
		if (pmt_image_truncate(image))
			return -EIO;
		reserve(image, image->end);
	}
	if (disk_is_full(r)) {
		pmt_log(LOG_WARNING, "%s: no room on the disk: %s", image->path,
			strerror(-r));
		return -ENOSPC;
	}
	pmt_log(LOG_ERR, "%s: cannot write: %s", image->path, strerror(-r));
	return -EIO;
}

int pmt_image_append(struct pmt_image *image, struct iovec *iov, int count)
{
	uint64_t length = 0;
	int r;

	for (int i = 0; i < count; i++)
		length += iov[i].iov_len;
	if (image->size > image->end) {
		r = pmt_image_truncate(image);
		if (!r)
			r = pmt_image_flush(image);
		if (r)
			return r;
	}
	reserve(image, image->end + length);
	image->dirty = true;
	r = write_all(image, iov, count, image->end);
	if (r)
		return append_failed(image, r);
	image->end += length;
	image->size = image->end;
	if (image->allocated < image->end)
		image->allocated = image->end;
	if (image->synchronous && image->end - image->flushed >= WRITEBACK) {
		/* So that the next filemark does not wait for all of it. */
		sync_file_range(image->fd, (off_t)image->flushed,
				(off_t)(image->end - image->flushed),
				SYNC_FILE_RANGE_WRITE);
		image->flushed = image->end;
	}
	return 0;
}

/* Volumes: opening, creating, closing */

static uint64_t default_ew(uint64_t capacity)
{
	uint64_t ew = capacity / 32;

	if (!capacity)
		return EW_UNLIMITED;
	if (ew < MIB)
		ew = MIB;
	if (ew > 1024 * MIB)
		ew = 1024 * MIB;
	return ew < capacity / 4 ? ew : capacity / 4;
}

/* The options, where given, else what the medium says, else what is usual. */
static int set_capacity(struct pmt_image *image, uint64_t capacity, uint64_t ew)
{
	if (image->capacity_wanted != PMT_UNKNOWN) {
		if (image->capacity_wanted != capacity)
			ew = 0;
		capacity = image->capacity_wanted;
	}
	if (image->ew_wanted != PMT_UNKNOWN)
		ew = image->ew_wanted;
	if (!ew)
		ew = default_ew(capacity);
	image->capacity = capacity;
	image->ew = ew;
	if (!capacity || (capacity >= CAPACITY_MIN && ew <= capacity / 2))
		return 0;
	pmt_log(LOG_ERR, "image: ew may be at most half of the capacity, which is at "
		"least %llu bytes", CAPACITY_MIN);
	return -EINVAL;
}

static void close_volume(struct pmt_image *image)
{
	if (image->format)
		image->format->close(image);
	if (image->fd >= 0)
		close(image->fd);
	image->fd = -1;
	image->format = NULL;
	free(image->path);
	image->path = NULL;
	image->leaf.present = false;
	image->leaf.medium = 0;
	image->leaf.eod = PMT_UNKNOWN;
}

/* Durable, and without blocks that are not used. */
static int finish_volume(struct pmt_image *image)
{
	int r;

	if (!image->leaf.present || image->leaf.protected || image->broken)
		return 0;
	r = image->format->sync(image);
	if (!r)
		r = pmt_image_flush(image);
	if (!r && image->allocated > image->size &&
	    ftruncate(image->fd, (off_t)image->size))
		pmt_log(LOG_NOTICE, "%s: cannot give unused blocks back: %m",
			image->path);
	return r;
}

static int lock_volume(struct pmt_image *image)
{
	if (!flock(image->fd, (image->leaf.protected ? LOCK_SH : LOCK_EX) | LOCK_NB))
		return 0;
	if (errno != EWOULDBLOCK) {
		pmt_log(LOG_ERR, "%s: cannot lock: %m", image->path);
		return -errno;
	}
	pmt_log(LOG_ERR, "%s: in use by another process", image->path);
	return -EBUSY;
}

static int open_file(struct pmt_image *image)
{
	const int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

	image->leaf.protected = image->readonly;
	if (!image->readonly) {
		image->fd = open(image->path, O_RDWR | flags);
		if (image->fd < 0 && (errno == EACCES || errno == EROFS ||
				      errno == EPERM))
			image->leaf.protected = true;
	}
	if (image->leaf.protected)
		image->fd = open(image->path, O_RDONLY | flags);
	if (image->fd < 0 || fstat(image->fd, &image->stat))
		return -errno;
	image->size = (uint64_t)image->stat.st_size;
	if (!S_ISREG(image->stat.st_mode)) {
		pmt_log(LOG_ERR, "%s: not a regular file", image->path);
		return -EINVAL;
	}
	/* To root every file is open; the bits still say what is meant. */
	if (!(image->stat.st_mode & 0222))
		image->leaf.protected = true;
	return 0;
}

/* A name that exists either not at all or with a whole, durable medium. */
static int publish_file(struct pmt_image *image, const char *temporary)
{
	if (!renameat2(AT_FDCWD, temporary, AT_FDCWD, image->path, RENAME_NOREPLACE))
		return pmt_sync_folder(image->path);
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (link(temporary, image->path))
		return -errno;
	if (unlink(temporary))
		return -errno;
	return pmt_sync_folder(image->path);
}

static int make_medium(struct pmt_image *image)
{
	int r = set_capacity(image, 0, 0);

	image->format = image->wanted ? image->wanted : &pmt_format_native;
	if (!r && image->format->make)
		r = image->format->make(image);
	if (!r && fsync(image->fd))
		r = -errno;
	if (!r && fstat(image->fd, &image->stat))
		r = -errno;
	image->size = (uint64_t)image->stat.st_size;
	return r;
}

static int create_file(struct pmt_image *image)
{
	_cleanup_free_ char *temporary = NULL;
	uint64_t salt;
	int r;

	if (getrandom(&salt, sizeof(salt), 0) != sizeof(salt))
		return -EIO;
	if (asprintf(&temporary, "%s.%016llx.new", image->path,
		     (unsigned long long)salt) < 0) {
		temporary = NULL;
		return -ENOMEM;
	}
	image->fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (image->fd < 0)
		r = -errno;
	else
		r = lock_volume(image);
	if (!r)
		r = make_medium(image);
	if (!r)
		r = publish_file(image, temporary);
	if (r) {
		if (image->fd >= 0)
			unlink(temporary);
		pmt_log(LOG_ERR, "%s: cannot create: %s", image->path, strerror(-r));
	}
	return r;
}

/* -EINVAL: the file is not what it should be. */
static int recognise(struct pmt_image *image)
{
	char magic[8] = "";
	bool native;

	if (image->size == 0) {
		image->format = image->wanted ? image->wanted : &pmt_format_native;
		return image->leaf.protected ? 0 : make_medium(image);
	}
	if (image->size >= sizeof(magic)) {
		int r = pmt_image_pread(image, magic, sizeof(magic), 0);

		if (r)
			return r;
	}
	native = !memcmp(magic, "PMTIMAGE", sizeof(magic));
	image->format = native ? &pmt_format_native : &pmt_format_simh;
	if (!image->wanted || image->wanted == image->format)
		return 0;
	pmt_log(LOG_ERR, "%s: not a tape image of format %s", image->path,
		image->wanted->name);
	return -EINVAL;
}

static int open_format(struct pmt_image *image)
{
	struct pmt_leaf *leaf = &image->leaf;
	int r;

	image->capacity = image->ew = 0;
	image->allocated = image->flushed = image->size;
	image->can_allocate = true;
	image->reserving = false;
	/* What a server that was killed wrote may be in the page cache only. */
	image->dirty = !image->leaf.protected;
	image->broken = false;
	image->end = image->format->start;
	image->files = image->blocks = leaf->eod = 0;
	if (image->size || !image->format->make) {
		r = image->format->open(image);
		if (r)
			return r;
	}
	r = set_capacity(image, image->capacity, image->ew);
	if (r)
		return r;
	leaf->limits = image->format->limits;
	if (!leaf->protected && !image->capacity && !can_reserve(image)) {
		pmt_log(LOG_NOTICE, "%s: neither a capacity is given nor can this file "
			"system set blocks aside: writing unbuffered", image->path);
		leaf->limits.window = 0;
	}
	return 0;
}

static void to_bop(struct pmt_leaf *leaf)
{
	leaf->place.partition = 0;
	leaf->place.lbn = leaf->place.file = leaf->place.block = 0;
}

/* -ENOENT: there is no such volume, and none is made. */
static int open_volume(struct pmt_image *image)
{
	int r;

	image->path = pmt_set_path(&image->set);
	if (!image->path)
		return -ENOMEM;
	image->leaf.worm = false;
	r = open_file(image);
	if (!r) {
		r = lock_volume(image);
		/* It may have been made longer before we had the lock. */
		if (!r && fstat(image->fd, &image->stat))
			r = -errno;
		image->size = (uint64_t)image->stat.st_size;
		if (!r)
			r = recognise(image);
	} else if (r == -ENOENT && image->create && !image->readonly) {
		r = create_file(image);
	} else if (r != -EINVAL) {
		pmt_log(r == -ENOENT ? LOG_NOTICE : LOG_ERR, "%s: %s", image->path,
			strerror(-r));
	}
	if (!r)
		r = open_format(image);
	if (r) {
		close_volume(image);
		return r;
	}
	image->leaf.present = true;
	to_bop(&image->leaf);
	return 0;
}

/* Writing */

static int may_write(const struct pmt_image *image)
{
	if (!image->leaf.present)
		return -ENOMEDIUM;
	if (image->leaf.protected)
		return -EROFS;
	return image->broken ? -EIO : 0;
}

static bool at_ew(struct pmt_image *image)
{
	uint64_t used = image->end + image->format->owed(image, image->leaf.eod);

	if (image->capacity && used + image->ew > image->capacity)
		return true;
	return image->can_allocate && image->allocated < image->end + image->ew;
}

static void stand_at_eod(struct pmt_image *image)
{
	struct pmt_place *place = &image->leaf.place;

	place->lbn = image->leaf.eod;
	place->file = image->files;
	place->block = image->blocks;
}

/* -ENOSPC, and nothing is cut, if count objects do not fit from here. */
static int fits(struct pmt_image *image, uint64_t count, size_t length)
{
	uint64_t lbn = image->leaf.place.lbn, offset;
	int r = image->format->offset(image, lbn, &offset);

	if (r || !image->capacity)
		return r;
	offset += image->format->growth(image, lbn, count, length);
	return offset > image->capacity ? -ENOSPC : 0;
}

static int cut_here(struct pmt_image *image)
{
	if (image->leaf.place.lbn == image->leaf.eod)
		return 0;
	return image->format->cut(image, image->leaf.place.lbn);
}

static int image_write(struct pmt_leaf *leaf, const void *data, size_t length)
{
	struct pmt_image *image = pmt_image_of(leaf);
	int r = may_write(image);

	if (!r && (length < leaf->limits.record_min || length > leaf->limits.record_max))
		r = -EINVAL;
	if (!r)
		r = fits(image, 1, length);
	if (!r)
		r = cut_here(image);
	if (!r)
		r = image->format->write(image, data, length);
	if (r)
		return r;
	stand_at_eod(image);
	return at_ew(image) ? PMT_AT_EW : 0;
}

/* *done is right whatever is returned. */
static int some_marks(struct pmt_image *image, uint32_t count, uint32_t *done)
{
	uint64_t before = image->leaf.place.lbn;
	int r = fits(image, count, 0);

	if (!r)
		r = cut_here(image);
	if (r)
		return r;
	r = image->format->marks(image, count);
	*done += (uint32_t)(image->leaf.eod - before);
	stand_at_eod(image);
	return r;
}

/* At once; where there is not room for all, one by one as many as there is. */
static int image_marks(struct pmt_leaf *leaf, uint32_t count, uint32_t *done)
{
	struct pmt_image *image = pmt_image_of(leaf);
	int r = may_write(image);

	*done = 0;
	if (!r && count)
		r = some_marks(image, count, done);
	if (r == -ENOSPC)
		for (r = 0; !r && *done < count;)
			r = some_marks(image, 1, done);
	return r ? r : count && at_ew(image) ? PMT_AT_EW : 0;
}

static int image_sync(struct pmt_leaf *leaf)
{
	struct pmt_image *image = pmt_image_of(leaf);

	if (!leaf->present)
		return -ENOMEDIUM;
	return leaf->protected ? 0 : image->format->sync(image);
}

static int image_cut(struct pmt_leaf *leaf)
{
	struct pmt_image *image = pmt_image_of(leaf);
	int r = may_write(image);

	return r ? r : cut_here(image);
}

/* Reading and moving */

static int go(struct pmt_image *image, uint64_t lbn)
{
	struct pmt_place *place = &image->leaf.place;
	uint64_t file, block;
	int r = image->format->place(image, lbn, &file, &block);

	if (r)
		return r;
	place->lbn = lbn;
	place->file = file;
	place->block = block;
	return 0;
}

static int image_read(struct pmt_leaf *leaf, void *buffer, size_t size, size_t *length)
{
	struct pmt_image *image = pmt_image_of(leaf);
	bool mark = false;
	int r;

	*length = 0;
	if (!leaf->present)
		return -ENOMEDIUM;
	if (leaf->place.lbn >= leaf->eod)
		return PMT_AT_EOD;
	r = image->format->read(image, leaf->place.lbn, buffer, size, length, &mark);
	leaf->place.lbn++;
	if (mark) {
		leaf->place.file++;
		leaf->place.block = 0;
	} else {
		leaf->place.block++;
	}
	return r ? r : mark ? PMT_AT_MARK : 0;
}

static int image_locate(struct pmt_leaf *leaf, uint32_t partition, uint64_t lbn)
{
	struct pmt_image *image = pmt_image_of(leaf);
	int r;

	if (!leaf->present)
		return -ENOMEDIUM;
	if (partition)
		return -ENOTSUP;
	r = go(image, lbn < leaf->eod ? lbn : leaf->eod);
	return r ? r : lbn > leaf->eod ? PMT_AT_EOD : 0;
}

static int image_to_eod(struct pmt_leaf *leaf)
{
	return image_locate(leaf, 0, leaf->eod);
}

static int records_forward(struct pmt_image *image, uint64_t count, uint64_t *left)
{
	struct pmt_leaf *leaf = &image->leaf;
	uint64_t lbn = leaf->place.lbn, stop = leaf->eod;
	bool mark = leaf->place.file < image->files;
	int r;

	if (mark) {
		r = image->format->find_mark(image, leaf->place.file, &stop);
		if (r)
			return r;
	}
	*left = 0;
	if (count <= stop - lbn)
		return go(image, lbn + count);
	*left = count - (stop - lbn);
	r = go(image, stop + mark);
	return r ? r : mark ? PMT_AT_MARK : PMT_AT_EOD;
}

static int records_back(struct pmt_image *image, uint64_t count, uint64_t *left)
{
	struct pmt_place *place = &image->leaf.place;
	bool mark = place->file > 0;
	uint64_t block = place->block;
	int r;

	*left = 0;
	if (count <= block)
		return go(image, place->lbn - count);
	*left = count - block;
	r = go(image, place->lbn - block - mark);
	return r ? r : mark ? PMT_AT_MARK : PMT_AT_BOP;
}

static int marks_forward(struct pmt_image *image, uint64_t count, uint64_t *left)
{
	uint64_t file = image->leaf.place.file, lbn;
	int r;

	*left = 0;
	if (!count)
		return 0;
	if (count > image->files - file) {
		*left = count - (image->files - file);
		r = go(image, image->leaf.eod);
		return r ? r : PMT_AT_EOD;
	}
	r = image->format->find_mark(image, file + count - 1, &lbn);
	return r ? r : go(image, lbn + 1);
}

static int marks_back(struct pmt_image *image, uint64_t count, uint64_t *left)
{
	uint64_t file = image->leaf.place.file, lbn;
	int r;

	*left = 0;
	if (count > file) {
		*left = count - file;
		to_bop(&image->leaf);
		return PMT_AT_BOP;
	}
	r = image->format->find_mark(image, file - count, &lbn);
	return r ? r : go(image, lbn);
}

static int space(struct pmt_leaf *leaf, int64_t count, int64_t *left,
		 int (*forward)(struct pmt_image *, uint64_t, uint64_t *),
		 int (*back)(struct pmt_image *, uint64_t, uint64_t *))
{
	struct pmt_image *image = pmt_image_of(leaf);
	uint64_t distance = count < 0 ? -(uint64_t)count : (uint64_t)count;
	uint64_t rest = distance;
	int r;

	*left = 0;
	if (!leaf->present)
		return -ENOMEDIUM;
	r = (count < 0 ? back : forward)(image, distance, &rest);
	*left = rest > INT64_MAX ? INT64_MAX : (int64_t)rest;
	return r;
}

static int image_space_records(struct pmt_leaf *leaf, int64_t count, int64_t *left)
{
	return space(leaf, count, left, records_forward, records_back);
}

static int image_space_marks(struct pmt_leaf *leaf, int64_t count, int64_t *left)
{
	return space(leaf, count, left, marks_forward, marks_back);
}

/* Cost.  What the objects here still owe is counted as used. */

static uint64_t cost_here(struct pmt_image *image, uint64_t *offset)
{
	uint64_t lbn = image->leaf.place.lbn;

	if (!image->leaf.present || image->format->offset(image, lbn, offset))
		return PMT_UNKNOWN;
	return *offset + image->format->owed(image, lbn);
}

static uint64_t image_room(struct pmt_leaf *leaf)
{
	struct pmt_image *image = pmt_image_of(leaf);
	uint64_t offset, here = cost_here(image, &offset), room = PMT_UNKNOWN;

	if (here == PMT_UNKNOWN)
		return PMT_UNKNOWN;
	here += image->ew;
	if (image->capacity)
		room = here < image->capacity ? image->capacity - here : 0;
	if (image->can_allocate && !leaf->protected) {
		uint64_t limit = reach(image);
		uint64_t got = here < limit ? limit - here : 0;

		room = got < room ? got : room;
	}
	return room;
}

static uint64_t image_used(struct pmt_leaf *leaf)
{
	struct pmt_image *image = pmt_image_of(leaf);
	uint64_t offset, here = cost_here(image, &offset);

	return here == PMT_UNKNOWN ? here : here - image->format->start;
}

/* Loading and unloading */

static int remember_next(struct pmt_image *image, uint32_t volume)
{
	struct pmt_set *set = &image->set;
	uint64_t unit_id = image->leaf.next.unit_id;
	uint64_t generation = image->leaf.next.generation;

	if (!unit_id) {
		unit_id = set->unit_id;
		generation = set->generation;
	}
	return pmt_set_store(set, volume, unit_id, generation);
}

static int image_load(struct pmt_leaf *leaf)
{
	struct pmt_image *image = pmt_image_of(leaf);
	int r = 0;

	if (leaf->present && !image->broken) {
		r = image_sync(leaf);
		to_bop(leaf);
	} else {
		close_volume(image);
		r = open_volume(image);
	}
	if (!r && image->set.is_set && leaf->next.unit_id)
		r = remember_next(image, image->set.volume);
	return r == -ENOENT ? -ENOMEDIUM : r;
}

/*
 * The state of the set says "the next volume, in the next generation" before
 * that volume is touched: whoever finds it after a crash goes on from there.
 */
static int image_unload(struct pmt_leaf *leaf)
{
	struct pmt_image *image = pmt_image_of(leaf);
	int r;

	if (!leaf->present)
		return -ENOMEDIUM;
	r = finish_volume(image);
	if (!r && image->set.is_set)
		r = remember_next(image, image->set.volume + 1);
	if (r)
		return r;
	close_volume(image);
	to_bop(leaf);
	if (image->set.is_set)
		open_volume(image);	/* or the drive is empty, which is logged */
	return 0;
}

static int image_remember(struct pmt_leaf *leaf, uint64_t unit_id, uint64_t generation)
{
	struct pmt_set *set = &pmt_image_of(leaf)->set;

	return set->is_set ? pmt_set_store(set, set->volume, unit_id, generation) : 0;
}

static int image_recall(struct pmt_leaf *leaf, uint64_t *unit_id, uint64_t *generation)
{
	const struct pmt_set *set = &pmt_image_of(leaf)->set;

	if (!set->unit_id)
		return -ENODATA;
	*unit_id = set->unit_id;
	*generation = set->generation;
	return 0;
}

static const struct pmt_leaf_ops image_leaf_ops = {
	.write = image_write,
	.read = image_read,
	.marks = image_marks,
	.sync = image_sync,
	.space_records = image_space_records,
	.space_marks = image_space_marks,
	.locate = image_locate,
	.to_eod = image_to_eod,
	.cut = image_cut,
	.load = image_load,
	.unload = image_unload,
	.remember = image_remember,
	.recall = image_recall,
	.room = image_room,
	.used = image_used,
};

/* The drive */

static int take_format(struct pmt_image *image, const struct pmt_spec *spec)
{
	const char *name;
	int r = pmt_spec_string(spec, "format", &name);

	if (r)
		return r == -ENOENT ? 0 : r;
	if (!strcmp(name, pmt_format_native.name))
		image->wanted = &pmt_format_native;
	else if (!strcmp(name, pmt_format_simh.name))
		image->wanted = &pmt_format_simh;
	else
		pmt_log(LOG_ERR, "image: format is native or simh, not \"%s\"", name);
	return image->wanted ? 0 : -EINVAL;
}

static int optional(int r)
{
	return r == -ENOENT ? 0 : r;
}

static int take_options(struct pmt_image *image, const struct pmt_spec *spec)
{
	uint64_t volume = 0;
	int r, had_volume = 0;

	image->capacity_wanted = image->ew_wanted = PMT_UNKNOWN;
	image->synchronous = true;
	r = take_format(image, spec);
	if (!r)
		r = optional(pmt_spec_number(spec, "capacity", 0, INT64_MAX / 2,
					     &image->capacity_wanted));
	if (!r)
		r = optional(pmt_spec_number(spec, "ew", EW_MIN, INT64_MAX / 4,
					     &image->ew_wanted));
	image->create = image->capacity_wanted != PMT_UNKNOWN;
	if (!r)
		r = optional(pmt_spec_bool(spec, "create", &image->create));
	if (!r)
		r = optional(pmt_spec_bool(spec, "readonly", &image->readonly));
	if (!r)
		r = optional(pmt_spec_bool(spec, "sync", &image->synchronous));
	if (!r) {
		r = had_volume = pmt_spec_number(spec, "volume", 0, INT32_MAX, &volume);
		r = optional(r);
	}
	if (!r)
		r = pmt_spec_unused(spec);
	if (!r)
		r = pmt_set_parse(&image->set, spec->target);
	if (!r && !had_volume && !image->set.is_set) {
		pmt_log(LOG_ERR, "image: volume is for a set, and \"%s\" is one file",
			spec->target);
		r = -EINVAL;
	}
	image->set.volume = (uint32_t)volume;
	image->set.volatile_state = image->readonly;
	return r;
}

static void free_image(struct pmt_image *image)
{
	close_volume(image);
	pmt_set_free(&image->set);
	pmt_leaf_destroy(&image->leaf);
}

static int image_open(struct pmt_drive *drive, const struct pmt_spec *spec)
{
	struct pmt_leaf *leaf = (struct pmt_leaf *)drive;
	struct pmt_image *image = pmt_image_of(leaf);
	int r = pmt_leaf_init(leaf, &image_leaf_ops);

	if (r)
		return r;
	image->fd = -1;
	leaf->eod = PMT_UNKNOWN;
	r = take_options(image, spec);
	if (!r && image->set.is_set && !image->readonly) {
		r = pmt_set_recall(&image->set);
		r = r == -ENODATA ? 0 : r;
	}
	leaf->limits = (image->wanted ? image->wanted : &pmt_format_native)->limits;
	if (!r) {
		r = open_volume(image);
		if (r == -ENOENT && image->set.is_set)
			r = 0;
	}
	if (r)
		free_image(image);
	return r;
}

static void image_close(struct pmt_drive *drive)
{
	struct pmt_image *image = pmt_image_of((struct pmt_leaf *)drive);

	finish_volume(image);
	free_image(image);
}

const struct pmt_drive_ops pmt_image_drive = {
	.name = "image",
	.size = sizeof(struct pmt_image),
	.open = image_open,
	.close = image_close,
	.attach = pmt_leaf_attach,
	.execute = pmt_leaf_execute,
	.limits = pmt_leaf_limits,
	.used = pmt_leaf_used,
	.status = pmt_leaf_status,
};
