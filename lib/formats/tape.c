/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One partition of an image: a file.  While it is open a struct pmt_tape owns the
 * file, a lock on it (flock: exclusive, or shared if protected) and the format's
 * state.
 *
 * While writing, the disk is asked for blocks ahead of the data, so that a disk
 * that gets full shows as early warning, with ew bytes still to be had, before it
 * shows as the end of the tape.
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

#include "format.h"

#define MIB		(1ull << 20)
#define AHEAD_LEAST	(64ull << 10)
#define WRITEBACK	(8 * MIB)
#define PROBE		64u	/* objects that tell a format */

static bool disk_is_full(int r)
{
	return r == -ENOSPC || r == -EDQUOT || r == -EFBIG;
}

/* The file */

int pmt_tape_pread(struct pmt_tape *tape, void *buffer, size_t length,
		    uint64_t offset)
{
	size_t done = 0;

	while (done < length) {
		ssize_t n = pread(tape->fd, (char *)buffer + done, length - done,
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

static int write_all(struct pmt_tape *tape, struct iovec *iov, int count,
		     uint64_t offset)
{
	while (count) {
		ssize_t n = pwritev(tape->fd, iov, count, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
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

int pmt_tape_pwrite(struct pmt_tape *tape, const void *data, size_t length,
		     uint64_t offset)
{
	struct iovec iov = { (void *)data, length };
	int r = write_all(tape, &iov, 1, offset);

	tape->dirty = true;
	if (r)
		pmt_log(LOG_ERR, "%s: %s", tape->path, strerror(-r));
	return disk_is_full(r) ? -ENOSPC : r ? -EIO : 0;
}

int pmt_tape_truncate(struct pmt_tape *tape)
{
	if (ftruncate(tape->fd, (off_t)tape->end)) {
		pmt_log(LOG_ERR, "%s: cannot cut the file: %m", tape->path);
		tape->broken = true;
		return -EIO;
	}
	tape->size = tape->allocated = tape->end;
	tape->reserving = false;
	if (tape->flushed > tape->end)
		tape->flushed = tape->end;
	tape->dirty = true;
	return 0;
}

int pmt_tape_flush(struct pmt_tape *tape)
{
	if (tape->broken)
		return -EIO;
	if (tape->dirty && tape->synchronous && fdatasync(tape->fd)) {
		/* What was lost is not known, and the kernel tells it once. */
		pmt_log(LOG_ERR, "%s: what was written may be lost: %m", tape->path);
		tape->broken = true;
		return -EIO;
	}
	tape->dirty = false;
	tape->flushed = tape->end;
	return 0;
}

/* A stop signal breaks it off, too; that is no full disk. */
static int set_aside(struct pmt_tape *tape, uint64_t from, uint64_t length)
{
	int ret;

	do
		ret = fallocate(tape->fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)length);
	while (ret && errno == EINTR);
	return ret;
}

/* Blocks for upto, for ew, and for what comes; as far as the disk has them. */
static void reserve(struct pmt_tape *tape, uint64_t upto)
{
	uint64_t want = upto + tape->ew + tape->ahead;

	tape->reserving = true;
	if (!tape->can_allocate || tape->allocated >= upto + tape->ew + tape->ahead / 2)
		return;
	if (tape->capacity && want > tape->capacity)
		want = tape->capacity;
	while (want > tape->allocated) {
		uint64_t more = want - tape->allocated;

		if (!set_aside(tape, tape->allocated, more)) {
			tape->allocated = want;
			return;
		}
		if (!disk_is_full(-errno)) {
			tape->can_allocate = false;
			return;
		}
		if (more <= AHEAD_LEAST)
			return;
		want = tape->allocated + more / 2;
	}
}

/* Does the file system know how?  Being full does not matter here. */
bool pmt_tape_can_reserve(struct pmt_tape *tape)
{
	if (!set_aside(tape, tape->size, AHEAD_LEAST))
		tape->allocated = tape->size + AHEAD_LEAST;
	else
		tape->can_allocate = disk_is_full(-errno);
	return tape->can_allocate;
}

/* Where the file could end: a promise while writing, else a good guess. */
uint64_t pmt_tape_reach(struct pmt_tape *tape)
{
	struct statvfs fs;

	if (tape->reserving)
		return tape->allocated;
	if (fstatvfs(tape->fd, &fs))
		return tape->size;
	return tape->size + (uint64_t)fs.f_bavail * fs.f_frsize;
}

/* After a write that failed half way: as if it had not been. */
static int append_failed(struct pmt_tape *tape, int r)
{
	struct stat st;

	if (fstat(tape->fd, &st) || (uint64_t)st.st_size != tape->end) {
		if (pmt_tape_truncate(tape))
			return -EIO;
		reserve(tape, tape->end);
	}
	if (disk_is_full(r)) {
		pmt_log(LOG_WARNING, "%s: no room on the disk: %s", tape->path,
			strerror(-r));
		return -ENOSPC;
	}
	pmt_log(LOG_ERR, "%s: cannot write: %s", tape->path, strerror(-r));
	return -EIO;
}

int pmt_tape_append(struct pmt_tape *tape, struct iovec *iov, int count)
{
	uint64_t length = 0;
	int r;

	for (int i = 0; i < count; i++)
		length += iov[i].iov_len;
	if (tape->size > tape->end) {
		r = pmt_tape_truncate(tape);
		if (!r)
			r = pmt_tape_flush(tape);
		if (r)
			return r;
	}
	reserve(tape, tape->end + length);
	tape->dirty = true;
	r = write_all(tape, iov, count, tape->end);
	if (r)
		return append_failed(tape, r);
	tape->end += length;
	tape->size = tape->end;
	if (tape->allocated < tape->end)
		tape->allocated = tape->end;
	if (tape->synchronous && tape->end - tape->flushed >= WRITEBACK) {
		/* So that the next filemark does not wait for all of it. */
		sync_file_range(tape->fd, (off_t)tape->flushed,
				(off_t)(tape->end - tape->flushed),
				SYNC_FILE_RANGE_WRITE);
		tape->flushed = tape->end;
	}
	return 0;
}

/* Opening, creating, closing */

static int lock_volume(struct pmt_tape *tape)
{
	if (tape->beside || !flock(tape->fd, (tape->protected ? LOCK_SH : LOCK_EX) | LOCK_NB))
		return 0;
	if (errno != EWOULDBLOCK) {
		pmt_log(LOG_ERR, "%s: cannot lock: %m", tape->path);
		return -errno;
	}
	pmt_log(LOG_ERR, "%s: in use by another process", tape->path);
	return -EBUSY;
}

static int open_file(struct pmt_tape *tape)
{
	const int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

	tape->protected = tape->readonly;
	if (!tape->readonly) {
		tape->fd = open(tape->path, O_RDWR | flags);
		if (tape->fd < 0 && (errno == EACCES || errno == EROFS ||
				      errno == EPERM))
			tape->protected = true;
	}
	if (tape->protected)
		tape->fd = open(tape->path, O_RDONLY | flags);
	if (tape->fd < 0 || fstat(tape->fd, &tape->stat))
		return -errno;
	tape->size = (uint64_t)tape->stat.st_size;
	if (!S_ISREG(tape->stat.st_mode)) {
		pmt_log(LOG_ERR, "%s: not a regular file", tape->path);
		return -EINVAL;
	}
	/* To root every file is open; the bits still say what is meant. */
	if (!(tape->stat.st_mode & 0222))
		tape->protected = true;
	return 0;
}

/*
 * Where the file system has no links either: who makes the empty file has the name,
 * and its lock keeps away who would take it for an empty tape.
 */
static int replace_empty(const char *temporary, const char *path)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	int r;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB))
		return -errno;
	if (!rename(temporary, path))
		return 0;
	r = -errno;
	unlink(path);
	return r;
}

/* A name that exists either not at all or with a whole, durable medium. */
static int publish_file(struct pmt_tape *tape, const char *temporary)
{
	int r = 0;

	if (!renameat2(AT_FDCWD, temporary, AT_FDCWD, tape->path, RENAME_NOREPLACE))
		return pmt_sync_folder(tape->path);
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (!link(temporary, tape->path))
		r = unlink(temporary) ? -errno : 0;
	else if (errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS)
		r = replace_empty(temporary, tape->path);
	else
		r = -errno;
	return r ? r : pmt_sync_folder(tape->path);
}

static const struct pmt_format *const formats[] = {
	&pmt_format_native, &pmt_format_simh, &pmt_format_e11, &pmt_format_aws,
	&pmt_format_het,
};
#define N_FORMATS (sizeof(formats) / sizeof(formats[0]))

const struct pmt_format *pmt_format_named(const char *name)
{
	for (size_t i = 0; i < N_FORMATS; i++)
		if (!strcmp(formats[i]->name, name))
			return formats[i];
	return NULL;
}

const char *pmt_format_names(void)
{
	return "native, simh, e11, aws or het";
}

static const struct pmt_format *by_name(const char *path)
{
	const char *suffix = strrchr(path, '.');

	for (size_t i = 0; suffix && i < N_FORMATS; i++)
		if (formats[i]->suffix && !strcasecmp(suffix, formats[i]->suffix))
			return formats[i];
	return NULL;
}

/* Of a medium that is made. */
static const struct pmt_format *usual(const struct pmt_tape *tape)
{
	const struct pmt_format *named = tape->asked_for;

	if (!named)
		named = by_name(tape->path);
	return named ? named : &pmt_format_native;
}

static int can_make(const struct pmt_tape *tape)
{
	const struct pmt_format *format = usual(tape);

	if (format->readonly)
		pmt_log(LOG_ERR, "%s: the format %s is for reading only; aws is the same "
			"without compression", tape->path, format->name);
	else if (tape->wants_worm && !format->make)
		pmt_log(LOG_ERR, "%s: the format %s has no write-once tapes; native has",
			tape->path, format->name);
	else
		return 0;
	return -EINVAL;
}

static int make_medium(struct pmt_tape *tape)
{
	int r = can_make(tape);

	if (r)
		return r;
	tape->format = usual(tape);
	if (tape->format->make)
		r = tape->format->make(tape);
	if (!r && fsync(tape->fd))
		r = -errno;
	if (!r && fstat(tape->fd, &tape->stat))
		r = -errno;
	tape->size = (uint64_t)tape->stat.st_size;
	return r;
}

static int create_file(struct pmt_tape *tape)
{
	_cleanup_free_ char *temporary = NULL;
	uint64_t salt;
	int r = can_make(tape);

	if (r)
		return r;
	if (getrandom(&salt, sizeof(salt), 0) != sizeof(salt))
		return -EIO;
	if (asprintf(&temporary, "%s.%016llx.new", tape->path,
		     (unsigned long long)salt) < 0) {
		temporary = NULL;
		return -ENOMEM;
	}
	tape->fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (tape->fd < 0)
		r = -errno;
	else
		r = lock_volume(tape);
	if (!r)
		r = make_medium(tape);
	if (!r)
		r = publish_file(tape, temporary);
	if (r) {
		if (tape->fd >= 0)
			unlink(temporary);
		pmt_log(LOG_ERR, "%s: cannot create: %s", tape->path, strerror(-r));
	}
	return r;
}

/* -EINVAL: the file is not what it should be. */
static int refuse(const struct pmt_tape *tape)
{
	pmt_log(LOG_ERR, "%s: not a tape image%s%s", tape->path,
		tape->asked_for ? " of format " : "",
		tape->asked_for ? tape->asked_for->name : "");
	return -EINVAL;
}

/* The one with the most records; without any, the file's name decides. */
static const struct pmt_format *probe(struct pmt_tape *tape)
{
	const struct pmt_format *best = NULL;
	uint64_t most = 0;

	for (size_t i = 0; i < N_FORMATS; i++) {
		uint64_t records;

		tape->format = formats[i];
		records = formats[i]->probe ? formats[i]->probe(tape, PROBE) : 0;
		if (records <= most)
			continue;
		best = formats[i];
		most = records;
	}
	return best ? best : by_name(tape->path);
}

static int recognise(struct pmt_tape *tape)
{
	char magic[8] = "";
	bool native;

	if (tape->size == 0 && !tape->number) {
		tape->format = usual(tape);
		return tape->protected ? 0 : make_medium(tape);
	}
	if (tape->size >= sizeof(magic)) {
		int r = pmt_tape_pread(tape, magic, sizeof(magic), 0);

		if (r)
			return r;
	}
	native = !memcmp(magic, "PMTIMAGE", sizeof(magic));
	if (native)
		tape->format = &pmt_format_native;
	else
		tape->format = tape->asked_for ? tape->asked_for : probe(tape);
	if (!tape->format || (tape->format == &pmt_format_native) != native ||
	    (tape->asked_for && tape->asked_for != tape->format))
		return refuse(tape);
	return 0;
}

static int open_format(struct pmt_tape *tape)
{
	tape->allocated = tape->flushed = tape->size;
	tape->can_allocate = true;
	tape->reserving = false;
	/* What a server that was killed wrote may be in the page cache only. */
	tape->dirty = !tape->protected;
	tape->broken = false;
	tape->end = tape->format->start;
	tape->eod = tape->files = tape->blocks = 0;
	tape->torn = tape->damage = tape->odd = 0;
	tape->table = (struct pmt_table){ 0 };
	if (!tape->size && tape->format->make)
		return 0;
	tape->capacity = tape->ew = 0;
	return tape->format->open(tape);
}

static int open_it(struct pmt_tape *tape)
{
	int r = open_file(tape);

	if (!r) {
		r = lock_volume(tape);
		/* It may have been made longer before we had the lock. */
		if (!r && fstat(tape->fd, &tape->stat))
			r = -errno;
		tape->size = (uint64_t)tape->stat.st_size;
		return r ? r : recognise(tape);
	}
	if (r == -ENOENT && tape->create && !tape->readonly)
		return create_file(tape);
	if (r != -EINVAL && r != -ENOENT)
		pmt_log(LOG_ERR, "%s: %s", tape->path, strerror(-r));
	return r;
}

int pmt_tape_open(struct pmt_tape *tape)
{
	int r;

	tape->worm = false;
	tape->medium = 0;
	r = open_it(tape);
	return r ? r : open_format(tape);
}

void pmt_tape_close(struct pmt_tape *tape)
{
	if (tape->format)
		tape->format->close(tape);
	if (tape->fd >= 0)
		close(tape->fd);
	free(tape->path);
	*tape = (struct pmt_tape){ .fd = -1 };
}

int pmt_tape_finish(struct pmt_tape *tape)
{
	int r;

	if (tape->protected || tape->broken)
		return 0;
	r = tape->format->sync(tape);
	if (!r)
		r = pmt_tape_flush(tape);
	if (!r && tape->allocated > tape->size &&
	    ftruncate(tape->fd, (off_t)tape->size))
		pmt_log(LOG_NOTICE, "%s: cannot give unused blocks back: %m",
			tape->path);
	return r;
}
