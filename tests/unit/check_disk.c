/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images on disks that have their ways: short writes, interruptions, no room that
 * shows late, no fallocate, no locks, errors of a flush, a file system that is read
 * only.  The calls stand before those of the C library.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "folder.h"
#include "internal.h"
#include "suite.h"

/* The disk */

static struct {
	size_t most;		/* bytes a write takes; 0: all */
	bool interrupted;	/* every other call: EINTR */
	bool nothing;		/* writes return 0 */
	uint64_t room;		/* bytes that the file may have; 0: endless */
	bool no_rename, no_links;	/* of a name that must not exist */
	bool no_folders;		/* fsync of them */
	bool no_fallocate, liar;	/* liar: fallocate says yes, and has nothing */
	int flush, truncate, lock;	/* errno; 0: works */
	unsigned int calls;
} disk;

static bool interrupt(void)
{
	if (!disk.interrupted || disk.calls++ % 2)
		return false;
	errno = EINTR;
	return true;
}

static int refuse(int error)
{
	errno = error;
	return -1;
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	struct iovec first = iov[0];

	if (interrupt())
		return -1;
	if (disk.nothing)
		return 0;
	if (disk.room && (uint64_t)offset >= disk.room)
		return refuse(ENOSPC);
	if (!disk.most && !disk.room)
		return syscall(SYS_pwritev, fd, iov, count, offset, 0);
	while (!first.iov_len && count-- > 1)
		first = *++iov;
	if (disk.most && first.iov_len > disk.most)
		first.iov_len = disk.most;
	if (disk.room && first.iov_len > disk.room - (uint64_t)offset)
		first.iov_len = disk.room - (uint64_t)offset;
	return syscall(SYS_pwritev, fd, &first, 1, offset, 0);
}

ssize_t pread(int fd, void *buffer, size_t length, off_t offset)
{
	if (interrupt())
		return -1;
	if (disk.most && length > disk.most)
		length = disk.most;
	return syscall(SYS_pread64, fd, buffer, length, offset);
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
	if (interrupt())
		return -1;
	if (disk.no_fallocate)
		return refuse(EOPNOTSUPP);
	if (disk.liar)
		return 0;
	if (disk.room && (uint64_t)(offset + length) > disk.room)
		return refuse(ENOSPC);
	return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

int fdatasync(int fd)
{
	return disk.flush ? refuse(disk.flush) : (int)syscall(SYS_fdatasync, fd);
}

int ftruncate(int fd, off_t length)
{
	return disk.truncate ? refuse(disk.truncate) :
			       (int)syscall(SYS_ftruncate, fd, length);
}

int fsync(int fd)
{
	struct stat st;

	if (disk.no_folders && !fstat(fd, &st) && S_ISDIR(st.st_mode))
		return refuse(EINVAL);
	return (int)syscall(SYS_fsync, fd);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to,
	      unsigned int flags)
{
	if (disk.no_rename && flags)
		return refuse(EINVAL);
	return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
}

int link(const char *from, const char *to)
{
	if (disk.no_links)
		return refuse(EPERM);
	return (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int flock(int fd, int operation)
{
	return disk.lock ? refuse(disk.lock) : (int)syscall(SYS_flock, fd, operation);
}

/* What was said last, and what of it was worse than a notice. */
static char said[400], warned[400];

static void listen_to(int priority, const char *message)
{
	snprintf(said, sizeof(said), "%s", message);
	if (priority <= LOG_WARNING)
		snprintf(warned, sizeof(warned), "%s", message);
}

static void tells(const char *text)
{
	ck_assert_msg(strstr(warned, text) != NULL, "'%s' is not in '%s'", text, warned);
	ck_assert_msg(strstr(warned, path("t")) != NULL, "no name in '%s'", warned);
}

/* Tapes */

static const char *const formats[] = { "native", "simh", "aws" };
#define N_FORMATS (sizeof(formats) / sizeof(formats[0]))

static int try_tape(struct pmt_leaf **leaf, const char *name, const char *options)
{
	char text[256], *error = NULL;
	struct pmt_spec *spec;
	int rc;

	snprintf(text, sizeof(text), "image:%s?%s", path(name), options);
	ck_assert_int_eq(pmt_spec_parse(text, &spec, &error), 0);
	*leaf = calloc(1, pmt_image_drive.size);
	(*leaf)->drive.ops = &pmt_image_drive;
	rc = pmt_image_drive.open(&(*leaf)->drive, spec);
	pmt_spec_free(spec);
	if (rc)
		free(*leaf);
	return rc;
}

static struct pmt_leaf *tape(const char *options, int format)
{
	struct pmt_leaf *leaf;
	char text[200];

	snprintf(text, sizeof(text), "%s&format=%s", options, formats[format]);
	ck_assert_msg(!try_tape(&leaf, "t", text), "%s", said);
	return leaf;
}

static void drop(struct pmt_leaf *leaf)
{
	pmt_image_drive.close(&leaf->drive);
	free(leaf);
}

static size_t length_of(uint32_t key)
{
	return 1 + key * 7919u % 5000;
}

static int put(struct pmt_leaf *leaf, uint32_t key)
{
	unsigned char data[5000];

	memset(data, (int)(key * 31), sizeof(data));
	return leaf->ops->write(leaf, data, length_of(key));
}

static int mark(struct pmt_leaf *leaf)
{
	uint32_t done;

	return leaf->ops->marks(leaf, 1, &done);
}

/* n records from the beginning on, and nothing else. */
static void holds(struct pmt_leaf *leaf, uint32_t n)
{
	unsigned char data[5000], buffer[5000];
	size_t length;

	ck_assert_uint_eq(leaf->eod, n);
	ck_assert_int_ge(leaf->ops->locate(leaf, 0, 0), 0);
	for (uint32_t i = 0; i < n; i++) {
		ck_assert_int_eq(leaf->ops->read(leaf, buffer, sizeof(buffer), &length), 0);
		ck_assert_uint_eq(length, length_of(i));
		memset(data, (int)(i * 31), sizeof(data));
		ck_assert_mem_eq(data, buffer, length);
	}
	ck_assert_int_eq(leaf->ops->read(leaf, buffer, sizeof(buffer), &length), PMT_AT_EOD);
}

/* As over NFS: a call takes less than it was given, or is interrupted. */
START_TEST(short_writes)
{
	struct pmt_leaf *leaf;

	disk.most = _i / N_FORMATS ? 7 : 1000;
	disk.interrupted = true;
	leaf = tape("create=yes&capacity=10M&ew=64K", _i % N_FORMATS);
	for (uint32_t i = 0; i < 60; i++)
		ck_assert_int_eq(put(leaf, i), 0);
	ck_assert_int_eq(leaf->ops->sync(leaf), 0);
	holds(leaf, 60);
	drop(leaf);
	leaf = tape("capacity=10M&ew=64K", _i % N_FORMATS);
	holds(leaf, 60);
	drop(leaf);
	ck_assert_str_eq(warned, "");
}
END_TEST

/* A write that takes nothing is an error, and does not go on for ever. */
START_TEST(writes_that_take_nothing)
{
	struct pmt_leaf *leaf = tape("create=yes&capacity=10M&ew=64K", _i);

	ck_assert_int_eq(put(leaf, 0), 0);
	disk.nothing = true;
	ck_assert_int_eq(put(leaf, 1), -EIO);
	tells("cannot write");
	disk.nothing = false;
	ck_assert_int_eq(put(leaf, 1), 0);
	holds(leaf, 2);
	drop(leaf);
}
END_TEST

/*
 * No room, told with the write that does not fit: by a disk that sets no blocks aside,
 * or whose word is worth nothing.  All of a record is there, or nothing of it; the disk
 * gets room again, and it goes on.
 */
START_TEST(no_room)
{
	struct pmt_leaf *leaf;
	uint32_t n = 0;
	int rc;

	disk.no_fallocate = _i / N_FORMATS;
	disk.liar = !disk.no_fallocate;
	leaf = tape("create=yes&ahead=128K&ew=4K", _i % N_FORMATS);
	if (disk.no_fallocate)		/* then nothing is promised */
		ck_assert_uint_eq(leaf->limits.window, 0);
	disk.room = 100000;
	while ((rc = put(leaf, n)) >= 0)
		n++;
	ck_assert_int_eq(rc, -ENOSPC);
	ck_assert_uint_gt(n, 20);
	tells("no room on the disk");
	holds(leaf, n);
	ck_assert_int_eq(leaf->ops->to_eod(leaf), 0);
	ck_assert_int_eq(leaf->ops->sync(leaf), 0);
	disk.room = 0;
	ck_assert_int_ge(put(leaf, n), 0);
	drop(leaf);
	leaf = tape("readonly=yes", _i % N_FORMATS);
	holds(leaf, n + 1);
	drop(leaf);
}
END_TEST

/* With room that can be set aside, early warning comes first. */
START_TEST(room_runs_out)
{
	struct pmt_leaf *leaf = tape("create=yes&ahead=128K&ew=50K", _i);
	uint32_t n = 0, early = 0;
	int rc;

	disk.room = 300000;
	while ((rc = put(leaf, n)) >= 0) {
		n++;
		early += rc == PMT_AT_EW;
	}
	ck_assert_int_eq(rc, -ENOSPC);
	ck_assert_uint_ge(early, 50000 / 5100);
	ck_assert_uint_gt(n, 2 * early);
	holds(leaf, n);
	drop(leaf);
}
END_TEST

/* What a flush says counts: nothing is written any more until the volume is loaded. */
START_TEST(flush_fails)
{
	struct pmt_leaf *leaf = tape("create=yes&capacity=10M&ew=64K", _i);

	ck_assert_int_eq(put(leaf, 0), 0);
	ck_assert_int_eq(leaf->ops->sync(leaf), 0);
	ck_assert_int_eq(put(leaf, 1), 0);
	disk.flush = EIO;
	ck_assert_int_eq(leaf->ops->sync(leaf), -EIO);
	tells("what was written may be lost");
	disk.flush = 0;
	ck_assert_int_eq(put(leaf, 2), -EIO);
	ck_assert_int_eq(mark(leaf), -EIO);
	ck_assert_int_eq(leaf->ops->sync(leaf), -EIO);
	ck_assert_int_eq(leaf->ops->load(leaf), 0);
	ck_assert_uint_ge(leaf->eod, 1);
	ck_assert_int_eq(leaf->ops->to_eod(leaf), 0);
	ck_assert_int_eq(put(leaf, 2), 0);
	ck_assert_int_eq(leaf->ops->sync(leaf), 0);
	drop(leaf);
}
END_TEST

/* Half of a record is in the file, and can not be taken away. */
START_TEST(truncate_fails)
{
	struct pmt_leaf *leaf = tape("create=yes&capacity=10M&ew=64K", _i);
	struct stat st;

	for (uint32_t i = 0; i < 5; i++)
		ck_assert_int_eq(put(leaf, i), 0);
	ck_assert_int_eq(leaf->ops->sync(leaf), 0);
	ck_assert_int_eq(stat(path("t"), &st), 0);
	disk.room = (uint64_t)st.st_size + 30;
	disk.truncate = EIO;
	ck_assert_int_eq(put(leaf, 5), -EIO);
	tells("cannot cut the file");
	disk.room = 0;
	ck_assert_int_eq(put(leaf, 5), -EIO);
	disk.truncate = 0;
	ck_assert_int_eq(leaf->ops->load(leaf), 0);
	holds(leaf, 5);
	ck_assert_int_eq(put(leaf, 5), 0);
	holds(leaf, 6);
	drop(leaf);
}
END_TEST

/* Without a lock two could write: it is refused. */
START_TEST(locking_fails)
{
	struct pmt_leaf *leaf;

	disk.lock = ENOLCK;
	ck_assert_int_eq(try_tape(&leaf, "t", "create=yes"), -ENOLCK);
	tells("cannot create: No locks available");
	ck_assert_int_ne(access(path("t"), F_OK), 0);
	disk.lock = 0;
	drop(tape("create=yes", _i));
	disk.lock = EOPNOTSUPP;
	ck_assert_int_eq(try_tape(&leaf, "t", "readonly=yes"), -EOPNOTSUPP);
	tells("cannot lock");
}
END_TEST

static int files(void)
{
	DIR *here = opendir(folder);
	int n = 0;

	while (readdir(here))
		n++;
	closedir(here);
	return n - 2;
}

/* A tape is made all the same, and none that is there is replaced. */
START_TEST(file_systems_of_little_words)
{
	struct pmt_leaf *leaf;

	disk.no_rename = true;
	disk.no_links = _i / N_FORMATS;
	disk.no_folders = true;
	leaf = tape("create=yes&capacity=10M&ew=64K", _i % N_FORMATS);
	ck_assert_int_eq(put(leaf, 0), 0);
	drop(leaf);
	ck_assert_str_eq(warned, "");
	ck_assert_int_eq(files(), 1);
	leaf = tape("create=yes&capacity=10M&ew=64K", _i % N_FORMATS);
	holds(leaf, 1);
	ck_assert_int_eq(put(leaf, 1), 0);
	drop(leaf);
	/* Sets keep their state there, too. */
	ck_assert_int_eq(try_tape(&leaf, "v%d", "create=yes"), 0);
	ck_assert_int_eq(put(leaf, 0), 0);
	ck_assert_int_eq(leaf->ops->unload(leaf), 0);
	ck_assert(leaf->present);
	drop(leaf);
	ck_assert_str_eq(warned, "");
}
END_TEST

/* Another process has it; when it is gone, it can be had. */
START_TEST(two_processes)
{
	struct pmt_leaf *leaf = tape("create=yes&capacity=10M&ew=64K", _i), *other;
	int ends[2], state;
	char byte = 0;
	pid_t pid;

	ck_assert_int_eq(put(leaf, 0), 0);
	drop(leaf);
	ck_assert_int_eq(pipe(ends), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		leaf = tape("capacity=10M&ew=64K", _i);
		if (write(ends[1], &byte, 1) != 1)
			_exit(1);
		pause();
	}
	ck_assert_int_eq(read(ends[0], &byte, 1), 1);
	ck_assert_int_eq(try_tape(&other, "t", "capacity=10M&ew=64K"), -EBUSY);
	tells("in use by another process");
	ck_assert_int_eq(try_tape(&other, "t", "readonly=yes"), -EBUSY);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &state, 0), pid);
	leaf = tape("capacity=10M&ew=64K", _i);
	holds(leaf, 1);
	drop(leaf);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

/* A file system that is read only: the tape is write protected, and none is made. */
START_TEST(read_only_file_system)
{
	struct pmt_leaf *leaf;

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", folder, "tmpfs", 0, "size=8m")) {
		fprintf(stderr, "read_only_file_system: skipped, no tmpfs: %m\n");
		return;
	}
	leaf = tape("create=yes&capacity=1M", _i);
	ck_assert_int_eq(put(leaf, 0), 0);
	drop(leaf);
	ck_assert_int_eq(mount(NULL, folder, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	leaf = tape("capacity=1M", _i);
	ck_assert(leaf->protected);
	ck_assert_int_eq(put(leaf, 1), -EROFS);
	ck_assert_int_eq(mark(leaf), -EROFS);
	ck_assert_int_eq(leaf->ops->sync(leaf), 0);
	holds(leaf, 1);
	drop(leaf);
	ck_assert_str_eq(warned, "");
	ck_assert_int_eq(try_tape(&leaf, "t2", "create=yes"), -EROFS);
	tells("cannot create: Read-only file system");
	ck_assert_int_eq(umount2(folder, MNT_DETACH), 0);
}
END_TEST

static void setup(void)
{
	folder_make();
	memset(&disk, 0, sizeof(disk));
	said[0] = warned[0] = '\0';
	pmt_log_set_handler(listen_to);
}

static void teardown(void)
{
	memset(&disk, 0, sizeof(disk));
	folder_remove();
}

int main(void)
{
	Suite *suite = suite_create("disk");
	TCase *tests = tcase_create("disk");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 30);
	tcase_add_loop_test(tests, short_writes, 0, 2 * N_FORMATS);
	tcase_add_loop_test(tests, writes_that_take_nothing, 0, N_FORMATS);
	tcase_add_loop_test(tests, no_room, 0, 2 * N_FORMATS);
	tcase_add_loop_test(tests, room_runs_out, 0, N_FORMATS);
	tcase_add_loop_test(tests, flush_fails, 0, N_FORMATS);
	tcase_add_loop_test(tests, truncate_fails, 0, N_FORMATS);
	tcase_add_loop_test(tests, locking_fails, 0, N_FORMATS);
	tcase_add_loop_test(tests, file_systems_of_little_words, 0, 2 * N_FORMATS);
	tcase_add_loop_test(tests, two_processes, 0, N_FORMATS);
	tcase_add_loop_test(tests, read_only_file_system, 0, N_FORMATS);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
