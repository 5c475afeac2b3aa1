// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * transfer KIND write|read SIZE SECONDS [TARGET]: one timed transfer of one kind
 *
 * Records of SIZE bytes go for SECONDS, and what is on its way then goes on to its end
 * within the time.
 *
 *	copy	pwrite or pread at offset 0 of a file in TARGET, a folder in memory: what
 *		one copy costs
 *	pipe, socket, pty	to another process, which reads records of the same size
 *	command	to the standard input of TARGET, a shell's line
 *	device	a device that keeps the record that it was given last
 *	tape, unbuffered	a tape's node that does not rewind; from its beginning, and
 *		written to its filemark.  unbuffered: each write waits for the drives
 *	zeros	the same, of a unit whose drive has records of zeros only
 *	pauses	as tape
 *	images	a tape behind its first record, and 128 MiB of it at most; the first record
 *		and the last are read when the time is over
 *
 * Prints, with tabs between: records, bytes, seconds, processor seconds of the whole
 * machine, and doorbells, -1 if it is no unit.  Of pauses only the seconds of the write
 * that took longest.
 *
 * The data is checked when the time is over: a record by its CRC, the last one if it is
 * at hand and the tape's first if not; what went to a unit, whose drive keeps nothing, by
 * the unit's count of what the drive has taken.
 * Status 0; 1 error; 2 usage; 3 the data is wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mtio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "../../lib/internal.h"

#define ROOM	(128u << 20)	/* what an image takes */
#define LOOK	0.002		/* seconds, between two looks at the clock */

struct run {
	const char *target;
	bool writing;
	size_t size;
	double wanted;		/* seconds */
	char *data;		/* the record that is sent, or was read last */
	uint32_t crc;		/* of the record as it should be */
	uint64_t records, bytes;
	double began, seconds;
	bool pauses;
	double longest;		/* a record's writing, of pauses */
	uint64_t asked, looks_at;	/* whether to go on, and when the clock is next */
	double cpu;
	int64_t doorbells;
};

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* All processors' time but for what was idle, or waited for a disk. */
static double busy(void)
{
	unsigned long long user, nice, system, idle, wait, irq, soft;
	FILE *file = fopen("/proc/stat", "re");
	int n = 0;

	if (file) {
		n = fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu", &user, &nice,
			   &system, &idle, &wait, &irq, &soft);
		fclose(file);
	}
	if (n != 7)
		return 0;
	return (double)(user + nice + system + irq + soft) / (double)sysconf(_SC_CLK_TCK);
}

static void begin(struct run *run)
{
	run->cpu = busy();
	run->began = now();
}

static void end(struct run *run)
{
	run->seconds = now() - run->began;
	run->cpu = busy() - run->cpu;
}

/* Under User-mode Linux the clock is a system call, which costs more than a record. */
static bool go_on(struct run *run)
{
	double elapsed;

	if (++run->asked < run->looks_at)
		return true;
	elapsed = now() - run->began;
	if (elapsed > 2 * LOOK)
		run->looks_at = run->asked + (uint64_t)((double)run->asked * LOOK / elapsed);
	return elapsed < run->wanted;
}

static void pattern(char *data, size_t size)
{
	uint64_t word = 1;

	for (size_t at = 0; at < size; at++) {
		word = word * 6364136223846793005 + 1442695040888963407;
		data[at] = (char)(word >> 56);
	}
}

static bool is_right(const struct run *run)
{
	return pmt_crc32c(0, run->data, run->size) == run->crc;
}

static int fail(const char *what)
{
	int error = errno;

	fprintf(stderr, "transfer: %s: %s\n", what, strerror(error));
	return 1;
}

/* Short writes go on: a stream may take a part. */
static int write_record(const struct run *run, int fd)
{
	for (size_t at = 0; at < run->size;) {
		ssize_t n = write(fd, run->data + at, run->size - at);

		if (n < 0)
			return -errno;
		at += (size_t)n;
	}
	return 0;
}

static int write_records(struct run *run, int fd)
{
	double before, took;
	int rc = 0;

	while (rc == 0 && go_on(run)) {
		before = run->pauses ? now() : 0;
		rc = write_record(run, fd);
		took = run->pauses ? now() - before : 0;
		if (took > run->longest)
			run->longest = took;
		run->records += rc == 0;
	}
	run->bytes = run->records * run->size;
	errno = -rc;
	return rc;
}

/* ---- one copy ---- */

static int copy(struct run *run)
{
	_cleanup_close_ int fd = open(run->target, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	ssize_t n;

	if (fd < 0 || pwrite(fd, run->data, run->size, 0) != (ssize_t)run->size)
		return fail(run->target);
	begin(run);
	do {
		n = run->writing ? pwrite(fd, run->data, run->size, 0) :
				   pread(fd, run->data, run->size, 0);
		run->records++;
	} while (n == (ssize_t)run->size && go_on(run));
	end(run);
	run->bytes = run->records * run->size;
	if (n != (ssize_t)run->size || pread(fd, run->data, run->size, 0) != n)
		return fail("copy");
	return is_right(run) ? 0 : 3;
}

/* ---- two processes ---- */

/*
 * The other one.  A record lies where the one before it did, so the last one is whole
 * in the buffer.  Of a pty the end is an error.
 */
static int reader(struct run *run, int fd, int report)
{
	uint64_t bytes = 0;
	ssize_t n;

	memset(run->data, 0, run->size);
	for (;;) {
		size_t at = bytes % run->size;

		n = read(fd, run->data + at, run->size - at);
		if (n <= 0)
			break;
		bytes += (uint64_t)n;
	}
	if (write(report, &bytes, sizeof(bytes)) != sizeof(bytes))
		return 1;
	return is_right(run) ? 0 : 3;
}

static int end_of_child(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return 1;
	return WEXITSTATUS(status);
}

static int two_processes(struct run *run, const int ends[2])
{
	int report[2], rc;
	uint64_t got = 0;
	pid_t child;

	if (pipe2(report, O_CLOEXEC) < 0)
		return fail("pipe");
	child = fork();
	if (child < 0)
		return fail("fork");
	if (child == 0) {
		close(ends[1]);
		_exit(reader(run, ends[0], report[1]));
	}
	close(ends[0]);
	close(report[1]);
	begin(run);
	rc = write_records(run, ends[1]);
	close(ends[1]);
	if (rc || read(report[0], &got, sizeof(got)) != sizeof(got))
		rc = fail("records");
	end(run);
	close(report[0]);
	if (rc == 0)
		rc = end_of_child(child);
	return rc ? rc : got == run->bytes ? 0 : 3;
}

static int by_pipe(struct run *run)
{
	int ends[2];

	return pipe2(ends, O_CLOEXEC) < 0 ? fail("pipe") : two_processes(run, ends);
}

static int by_socket(struct run *run)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return fail("socketpair");
	return two_processes(run, ends);
}

static int by_pty(struct run *run)
{
	int ends[2] = { posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), -1 };
	struct termios modes;
	char name[64];

	if (ends[0] < 0 || grantpt(ends[0]) || unlockpt(ends[0]) ||
	    ptsname_r(ends[0], name, sizeof(name)))
		return fail("pty");
	ends[1] = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (ends[1] < 0 || tcgetattr(ends[1], &modes))
		return fail(name);
	cfmakeraw(&modes);
	if (tcsetattr(ends[1], TCSANOW, &modes))
		return fail(name);
	return two_processes(run, ends);
}

/* It has ended when it was given all. */
static int by_command(struct run *run)
{
	int ends[2], rc;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return fail("pipe");
	child = fork();
	if (child < 0)
		return fail("fork");
	if (child == 0) {
		dup2(ends[0], STDIN_FILENO);
		execl("/bin/sh", "sh", "-c", run->target, (char *)NULL);
		_exit(127);
	}
	close(ends[0]);
	begin(run);
	rc = write_records(run, ends[1]) ? fail(run->target) : 0;
	close(ends[1]);
	if (rc == 0)
		rc = end_of_child(child);
	end(run);
	return rc;
}

/* ---- nodes ---- */

/* 0: the time is over, or there are no more. */
static int read_records(struct run *run, int fd)
{
	ssize_t n = 0;

	while (go_on(run)) {
		n = read(fd, run->data, run->size);
		if (n <= 0)
			break;
		run->records++;
		run->bytes += (uint64_t)n;
	}
	return n < 0 ? -errno : 0;
}

static int read_back(struct run *run, int fd)
{
	memset(run->data, 0, run->size);
	for (size_t at = 0; at < run->size;) {
		ssize_t n = read(fd, run->data + at, run->size - at);

		if (n <= 0)
			return fail("reading back");
		at += (size_t)n;
	}
	return is_right(run) ? 0 : 3;
}

/* The kernel cuts records into pieces: it gives back the last, which then is a whole. */
static int device(struct run *run)
{
	_cleanup_close_ int fd = open(run->target, O_RDWR | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return fail(run->target);
	begin(run);
	rc = run->writing ? write_records(run, fd) : read_records(run, fd);
	end(run);
	if (rc)
		return fail(run->target);
	if (run->size > 65536)
		run->size = 65536;
	pattern(run->data, run->size);
	run->crc = pmt_crc32c(0, run->data, run->size);
	return write_record(run, fd) ? fail(run->target) : read_back(run, fd);
}

static int operate(int fd, short op, int count)
{
	struct mtop mtop = { .mt_op = op, .mt_count = count };

	return ioctl(fd, MTIOCTOP, &mtop) < 0 ? -errno : 0;
}

/* -ENOENT: it is no unit. */
static int look(const char *node, struct pmt_unit_info *info)
{
	struct pmt_control *control;
	uint32_t unit;
	int rc;

	if (strncmp(node, "/dev/npmtm", 10) != 0)
		return -ENOENT;
	rc = pmt_unit_parse(node, &unit);
	if (rc == 0)
		rc = pmt_control_open(&control);
	if (rc)
		return rc;
	rc = pmt_unit_get(control, unit, info);
	pmt_control_close(control);
	return rc;
}

static int check_tape(struct run *run, int fd, const struct pmt_unit_info *before)
{
	struct pmt_unit_info after;

	if (look(run->target, &after) == 0) {
		run->doorbells = (int64_t)(after.wakes_server - before->wakes_server +
					   after.wakes_master - before->wakes_master);
		if (!run->writing)
			return is_right(run) ? 0 : 3;
		return after.records_written - before->records_written == run->records ? 0 : 3;
	}
	return operate(fd, MTREW, 1) ? fail("rewind") : read_back(run, fd);
}

static int on_tape(struct run *run, int buffered)
{
	_cleanup_close_ int fd = open(run->target, O_RDWR | O_CLOEXEC);
	struct pmt_unit_info before = { 0 };
	int rc;

	if (fd < 0 || operate(fd, MTREW, 1) || operate(fd, MTSETDRVBUFFER, buffered))
		return fail(run->target);
	look(run->target, &before);
	begin(run);
	rc = run->writing ? write_records(run, fd) : read_records(run, fd);
	if (rc == 0 && run->writing)
		rc = operate(fd, MTWEOF, 1);
	end(run);
	if (rc)
		return fail(run->target);
	rc = check_tape(run, fd, &before);
	operate(fd, MTREW, 1);
	return rc;
}

static int tape(struct run *run)
{
	return on_tape(run, 1);
}

static int unbuffered(struct run *run)
{
	return on_tape(run, 0);
}

static int zeros(struct run *run)
{
	memset(run->data, 0, run->size);
	run->crc = pmt_crc32c(0, run->data, run->size);
	return on_tape(run, 1);
}

/* One record is there that does not count. */
static int read_both_ends(struct run *run, int fd)
{
	int rc;

	if (operate(fd, MTREW, 1))
		return fail("rewind");
	rc = read_back(run, fd);
	if (rc == 0 && (operate(fd, MTREW, 1) || operate(fd, MTFSR, (int)run->records)))
		return fail("spacing");
	if (rc == 0)
		rc = read_back(run, fd);
	if (rc == 0 && read(fd, run->data, run->size) != 0)
		rc = 3;
	return rc;
}

/* The first record is on the drive, and what was behind it is cut off. */
static int begin_tape(struct run *run, int fd)
{
	int rc = operate(fd, MTREW, 1);

	if (rc == 0)
		rc = operate(fd, MTSETDRVBUFFER, 1);
	if (rc == 0)
		rc = write_record(run, fd);
	return rc ? rc : operate(fd, MTWEOF, 0);
}

static int images(struct run *run)
{
	_cleanup_close_ int fd = open(run->target, O_RDWR | O_CLOEXEC);
	struct pmt_unit_info before = { 0 };
	int rc;

	if (fd < 0 || begin_tape(run, fd))
		return fail(run->target);
	look(run->target, &before);
	begin(run);
	do {
		rc = write_record(run, fd);
		run->records += rc == 0;
	} while (rc == 0 && run->records * run->size < ROOM && go_on(run));
	if (rc == 0)
		rc = operate(fd, MTWEOF, 1);
	end(run);
	run->bytes = run->records * run->size;
	if (rc)
		return fail(run->target);
	rc = check_tape(run, fd, &before);
	return rc ? rc : read_both_ends(run, fd);
}

static const struct kind {
	const char *name;
	int (*transfer)(struct run *run);
	bool target, reads;
} kinds[] = {
	{ "copy", copy, true, true },
	{ "pipe", by_pipe, false, false },
	{ "socket", by_socket, false, false },
	{ "pty", by_pty, false, false },
	{ "command", by_command, true, false },
	{ "device", device, true, true },
	{ "tape", tape, true, true },
	{ "unbuffered", unbuffered, true, false },
	{ "zeros", zeros, true, true },
	{ "pauses", tape, true, false },
	{ "images", images, true, false },
};

static const struct kind *kind_of(int argc, char **argv)
{
	for (size_t i = 0; argc >= 5 && i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strcmp(argv[1], kinds[i].name) == 0 &&
		    argc == (kinds[i].target ? 6 : 5) &&
		    (strcmp(argv[2], "write") == 0 ||
		     (kinds[i].reads && strcmp(argv[2], "read") == 0)))
			return &kinds[i];
	return NULL;
}

int main(int argc, char **argv)
{
	const struct kind *kind = kind_of(argc, argv);
	struct run run = { .doorbells = -1 };
	int rc;

	if (kind) {
		run.writing = strcmp(argv[2], "write") == 0;
		run.size = strtoul(argv[3], NULL, 10);
		run.wanted = strtod(argv[4], NULL);
		run.target = argv[5];
		run.pauses = strcmp(kind->name, "pauses") == 0;
	}
	if (!kind || !run.size || run.size > PMT_RECORD_MAX || run.wanted <= 0) {
		fprintf(stderr, "usage: transfer KIND write|read SIZE SECONDS [TARGET]\n");
		return 2;
	}
	run.data = malloc(run.size);
	if (!run.data)
		return fail("memory");
	pattern(run.data, run.size);
	run.crc = pmt_crc32c(0, run.data, run.size);
	rc = kind->transfer(&run);
	free(run.data);
	if (rc == 3)
		fprintf(stderr, "transfer: %s %s %s: the data is wrong\n", argv[1], argv[2],
			argv[3]);
	if (rc == 0 && run.pauses)
		printf("%.6f\n", run.longest);
	else if (rc == 0)
		printf("%" PRIu64 "\t%" PRIu64 "\t%.6f\t%.2f\t%" PRId64 "\n", run.records,
		       run.bytes, run.seconds, run.cpu, run.doorbells);
	return rc;
}
