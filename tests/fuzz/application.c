// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * application: programs at the master end that do all that can be done wrong
 *
 *	application run UNIT SERVER
 *	application reset UNIT
 *	application perform OPERATION COUNT
 *
 * run: for PMT_FUZZ_SECONDS at least, from the seed PMT_SEED.  In rounds, one process
 * opens a node with some flags, and children that share its descriptor, two
 * threads each, do what chance says: every operation of MTIOCTOP, other ioctls,
 * of 32-bit programs too, transfers of every size from and to good and bad
 * memory, and what a tape has not.  A timer interrupts them.  SERVER, a pid, is
 * stopped now and then, so that there are waits.  Children are killed, while it
 * is stopped too, and each has to be gone in time.  A rival opens meanwhile.
 *
 * Printed: for each kind of call how often it gave what.  Status 1: a killed
 * process stayed, or an operation never gave its right answer.
 *
 * reset: undo what the programs may have set, and find a tape that answers.
 *
 * perform: one operation of MTIOCTOP, on the tape that is the standard input.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <scsi/sg.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mtio.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SIZE(array)	(sizeof(array) / sizeof((array)[0]))
#define OPERATIONS	51
#define ERRNOS		140
#define CHILDREN	4
#define REAP_SECONDS	10	/* of a machine that is slow and loaded */
#define BUFFER		(1u << 20)
#define KERNEL_ADDRESS	((void *)0xffff888000000000ul)

enum kind {
	OPEN = OPERATIONS, GET, POS, SG, UNKNOWN, COMPAT, READ, WRITE, READV, WRITEV,
	PREAD, PWRITE, SEEK, SPLICE, SENDFILE, MMAP, POLL, FCNTL, DUP, FSYNC, STAT,
	CLOSE, KINDS,
};

static const char *const names[KINDS] = {
	"MTRESET", "MTFSF", "MTBSF", "MTFSR", "MTBSR", "MTWEOF", "MTREW", "MTOFFL",
	"MTNOP", "MTRETEN", "MTBSFM", "MTFSFM", "MTEOM", "MTERASE", "MTRAS1", "MTRAS2",
	"MTRAS3", [20] = "MTSETBLK", "MTSETDENSITY", "MTSEEK", "MTTELL",
	"MTSETDRVBUFFER", "MTFSS", "MTBSS", "MTWSM", "MTLOCK", "MTUNLOCK", "MTLOAD",
	"MTUNLOAD", "MTCOMPRESSION", "MTSETPART", "MTMKPART", "MTWEOFI",
	[OPEN] = "open", "MTIOCGET", "MTIOCPOS", "SG_IO", "ioctl", "ioctl32", "read",
	"write", "readv", "writev", "pread", "pwrite", "lseek", "splice", "sendfile",
	"mmap", "poll", "fcntl", "dup", "fsync", "fstat", "close",
};

/* What an operation has to give at least once; 0 success. */
static const int wanted[OPERATIONS] = {
	[MTRESET] = ENOSYS, [MTRAS1] = ENOSYS, [MTRAS2] = ENOSYS, [MTRAS3] = ENOSYS,
	[17] = ENOSYS, [18] = ENOSYS, [19] = ENOSYS, [MTTELL] = ENOSYS,
	[MTFSS] = EIO, [MTBSS] = EIO, [MTWSM] = EIO,
	[36] = ENOSYS, [37] = ENOSYS, [38] = ENOSYS, [39] = ENOSYS, [40] = ENOSYS,
	[41] = ENOSYS, [42] = ENOSYS, [43] = ENOSYS, [44] = ENOSYS, [45] = ENOSYS,
	[46] = ENOSYS, [47] = ENOSYS, [48] = ENOSYS, [49] = ENOSYS, [50] = ENOSYS,
};

static struct shared {
	atomic_uint counts[KINDS][ERRNOS];	/* [0] success */
	atomic_uint killed, stopped, late;
} *shared;

static const char *unit;
static pid_t server;
static uint64_t seed;
static _Thread_local uint64_t state;

static struct {
	char *good;		/* BUFFER bytes, then a page that is not there */
	char *none;		/* PROT_NONE */
	char *read_only;
	char *low;		/* a page that 32-bit programs could have */
} memory;

/* ---- chance ---- */

static uint64_t chance(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static unsigned int below(unsigned int n)
{
	return (chance() >> 20) % n;
}

static bool one_in(unsigned int n)
{
	return !below(n);
}

static void sow(uint64_t number)
{
	state = (seed + 1) * 0x9e3779b97f4a7c15ull ^ number * 0xbf58476d1ce4e5b9ull;
	state |= 1;
	for (int i = 0; i < 8; i++)
		chance();
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void nap(unsigned int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000l };

	nanosleep(&t, NULL);
}

static long note(enum kind kind, long ret)
{
	int error = ret < 0 ? errno : 0;

	atomic_fetch_add(&shared->counts[kind][error < ERRNOS ? error : ERRNOS - 1], 1);
	return ret;
}

/* ---- memory, good and bad ---- */

static void *map(size_t size, int prot, int flags)
{
	void *address = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	if (address == MAP_FAILED) {
		perror("application: mmap");
		exit(2);
	}
	return address;
}

static void make_memory(void)
{
	memory.good = map(BUFFER + 4096, PROT_READ | PROT_WRITE, 0);
	munmap(memory.good + BUFFER, 4096);
	memory.none = map(4096, PROT_NONE, 0);
	memory.read_only = map(4096, PROT_READ, 0);
	memory.low = map(4096, PROT_READ | PROT_WRITE, MAP_32BIT);
}

/* Where a transfer of size goes: mostly good memory. */
static void *place(size_t size)
{
	switch (below(12)) {
	case 0:
		return NULL;
	case 1:
		return memory.none;
	case 2:
		return memory.read_only;
	case 3:
		return KERNEL_ADDRESS;
	case 4:		/* ends behind the last page */
		return memory.good + BUFFER - below(4096);
	case 5:		/* ends with the last page */
		return size < BUFFER ? memory.good + BUFFER - size : memory.good;
	default:
		return memory.good + below(64);
	}
}

static size_t length(void)
{
	static const size_t edges[] = {
		0, 1, 2, 511, 512, 4095, 4096, 4097, 65536, 262144, BUFFER - 64, 2 * BUFFER,
		16u << 20, (16u << 20) + 1, 1u << 31, UINT_MAX, SSIZE_MAX, SIZE_MAX,
	};

	if (one_in(3))
		return edges[below(SIZE(edges))];
	return one_in(2) ? 512 * (1 + below(64)) : 1 + below(20000);
}

/* ---- ioctls ---- */

static int count(void)
{
	static const int edges[] = {
		0, 1, -1, 2, -2, 3, 512, 0x7ffffe, 0x7fffff, 0x800000, INT_MIN, INT_MIN + 1,
		INT_MAX,
	};

	if (one_in(2))
		return below(4);
	return one_in(4) ? (int)chance() : edges[below(SIZE(edges))];
}

/* An option of MTSETDRVBUFFER, mostly such that the others stay possible. */
static int option(void)
{
	static const int booleans = MT_ST_BUFFER_WRITES | MT_ST_ASYNC_WRITES |
				    MT_ST_READ_AHEAD | MT_ST_CAN_BSR | MT_ST_CAN_PARTITIONS;

	switch (below(6)) {
	case 0:
		return MT_ST_BOOLEANS | booleans;
	case 1:
		return MT_ST_SETBOOLEANS | (chance() & 0x3fffff);
	case 2:
		return MT_ST_CLEARBOOLEANS | (chance() & 0x3fffff);
	case 3:
		return below(16) << 28 | (chance() & 0xfffff);
	case 4:
		return MT_ST_DEF_OPTIONS | (chance() & 0xfffff);
	default:
		return below(8);
	}
}

static void operation(int fd)
{
	struct mtop op = { .mt_op = below(OPERATIONS), .mt_count = count() };
	void *arg = one_in(16) ? place(sizeof(op)) : &op;

	if (op.mt_op == MTSETDRVBUFFER && !one_in(8))
		op.mt_count = option();
	if (op.mt_op == MTSETBLK && !one_in(4))
		op.mt_count = one_in(3) ? 512 : 0;
	/* Who takes the tape away, gives it back mostly. */
	if ((op.mt_op == MTOFFL || op.mt_op == MTUNLOAD) && !one_in(4))
		op.mt_op = MTLOAD;
	if (arg == &op) {
		note(op.mt_op, ioctl(fd, MTIOCTOP, arg));
	} else {
		if (arg >= (void *)memory.good && arg < (void *)(memory.good + BUFFER) - 16)
			memcpy(arg, &op, sizeof(op));
		note(UNKNOWN, ioctl(fd, MTIOCTOP, arg));
	}
}

static void get(int fd)
{
	note(GET, ioctl(fd, MTIOCGET, place(sizeof(struct mtget))));
}

static void pos(int fd)
{
	note(POS, ioctl(fd, MTIOCPOS, place(sizeof(struct mtpos))));
}

static void sg(int fd)
{
	unsigned char cdb[32], sense[32];
	struct sg_io_hdr hdr;
	unsigned char *bytes = (unsigned char *)&hdr;

	for (size_t i = 0; i < sizeof(cdb); i++)
		cdb[i] = chance();
	cdb[0] = one_in(3) ? below(256) : one_in(2) ? 0x12 : 0;
	memset(&hdr, 0, sizeof(hdr));
	hdr.interface_id = 'S';
	hdr.dxfer_direction = SG_DXFER_FROM_DEV;
	hdr.cmd_len = one_in(4) ? below(256) : 6 + below(11);
	hdr.cmdp = one_in(8) ? place(16) : cdb;
	hdr.mx_sb_len = sizeof(sense);
	hdr.sbp = one_in(8) ? place(32) : sense;
	hdr.dxfer_len = one_in(4) ? chance() : below(256);
	hdr.dxferp = place(256);
	for (unsigned int n = one_in(2) ? below(4) : 0; n; n--)
		bytes[below(sizeof(hdr))] = chance();
	note(SG, ioctl(fd, SG_IO, one_in(8) ? place(sizeof(hdr)) : &hdr));
}

static void unknown(int fd)
{
	unsigned int code = one_in(2) ? chance() : (chance() & 0xffff00ff) | 'm' << 8;

	note(UNKNOWN, ioctl(fd, code, place(256)));
}

/*
 * By the gate of 32-bit programs.  Where there is none, as in UML, it is another call
 * of 64 bits, which gets no descriptor.
 */
static long gate(uint32_t number, long a, long b, long c)
{
#ifdef __x86_64__
	long ret = number;

	asm volatile("int $0x80" : "+a"(ret) : "b"(a), "c"(b), "d"(c), "D"(-1l)
		     : "memory", "r8", "r9", "r10", "r11");
	return (int)ret;
#else
	(void)number, (void)a, (void)b, (void)c;
	return -ENOSYS;
#endif
}

static bool has_gate(void)
{
	return gate(20, 0, 0, 0) == getpid();	/* getpid of 32 bits; writev of 64 */
}

/* Structures of other sizes. */
static void compat(int fd)
{
	static const uint32_t codes[] = {
		0x40086d01, 0x801c6d02, 0x80046d03, 0x80306d02, 0x80086d03, 0x2285,
	};
	uint32_t code = one_in(6) ? chance() : codes[below(SIZE(codes))];
	struct mtop op = { .mt_op = below(OPERATIONS), .mt_count = count() };
	char *arg = one_in(6) ? memory.low + 4096 - below(64) : memory.low;
	long ret;

	if (op.mt_op == MTOFFL || op.mt_op == MTUNLOAD || op.mt_op == MTSETDRVBUFFER)
		op.mt_op = MTNOP;
	if (arg == memory.low)
		memcpy(arg, &op, sizeof(op));
	if (one_in(16))
		arg = NULL;
	ret = gate(54, fd, code, (long)(uintptr_t)arg);
	if (ret < 0)
		errno = -ret;
	note(COMPAT, ret < 0 ? -1 : 0);
}

/* ---- transfers ---- */

static void transfer_read(int fd)
{
	size_t size = length();

	note(READ, read(fd, place(size), size));
}

static void transfer_write(int fd)
{
	size_t size = length();

	note(WRITE, write(fd, place(size), size));
}

static void vectors(int fd)
{
	struct iovec iov[8];
	int n = one_in(8) ? (int)chance() : 1 + (int)below(8);
	bool writes = one_in(2);

	for (size_t i = 0; i < SIZE(iov); i++) {
		iov[i].iov_len = length();
		iov[i].iov_base = place(iov[i].iov_len);
	}
	if (writes)
		note(WRITEV, writev(fd, iov, n));
	else
		note(READV, readv(fd, iov, n));
}

static void at_offset(int fd)
{
	size_t size = length();
	off_t offset = one_in(2) ? (off_t)chance() : 0;

	if (one_in(2))
		note(PREAD, pread(fd, place(size), size, offset));
	else
		note(PWRITE, pwrite(fd, place(size), size, offset));
}

static void piped(int fd)
{
	int pipes[2], zero;

	if (pipe2(pipes, O_NONBLOCK) < 0)
		return;
	if (one_in(2)) {
		note(SPLICE, splice(fd, NULL, pipes[1], NULL, length(), SPLICE_F_NONBLOCK));
	} else {
		if (write(pipes[1], memory.good, 512) == 512)
			note(SPLICE, splice(pipes[0], NULL, fd, NULL, 512, 0));
	}
	close(pipes[0]);
	close(pipes[1]);
	zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
	if (one_in(2))
		note(SENDFILE, sendfile(zero, fd, NULL, 4096));
	else
		note(SENDFILE, sendfile(fd, zero, NULL, 4096));
	close(zero);
}

/* ---- what a tape has not ---- */

static void others(int fd)
{
	struct pollfd waits = { .fd = fd, .events = POLLIN | POLLOUT | POLLPRI };
	struct stat st;
	void *address;
	int flags, copy;

	switch (below(7)) {
	case 0:
		note(SEEK, lseek(fd, (off_t)chance(), below(6)));
		break;
	case 1:
		address = mmap(NULL, 4096, PROT_READ | (one_in(2) ? PROT_WRITE : 0),
			       one_in(2) ? MAP_SHARED : MAP_PRIVATE, fd, 0);
		note(MMAP, address == MAP_FAILED ? -1 : 0);
		if (address != MAP_FAILED)
			munmap(address, 4096);
		break;
	case 2:
		note(POLL, poll(&waits, 1, below(20)));
		break;
	case 3:
		flags = one_in(2) ? O_NONBLOCK : O_ASYNC | O_APPEND | O_DIRECT | O_NOATIME;
		fcntl(fd, F_SETOWN, getpid());
		note(FCNTL, fcntl(fd, F_SETFL, flags & chance()));
		note(FCNTL, fcntl(fd, F_SETFL, 0));
		break;
	case 4:
		copy = (int)note(DUP, dup(fd));
		if (copy >= 0)
			note(CLOSE, close(copy));
		break;
	case 5:
		note(FSYNC, fsync(fd));
		note(FSYNC, ftruncate(fd, 0));
		break;
	default:
		note(STAT, fstat(fd, &st));
	}
}

static void act(int fd)
{
	static void (*const acts[])(int fd) = {
		operation, operation, operation, operation, operation, operation,
		get, pos, sg, unknown, compat, transfer_read, transfer_read,
		transfer_write, transfer_write, transfer_write, vectors, at_offset, piped,
		others,
	};

	acts[below(SIZE(acts))](fd);
}

/* ---- processes ---- */

struct worker {
	int fd;
	uint64_t number;
};

static void *work(void *arg)
{
	struct worker *worker = arg;

	sow(worker->number);
	for (;;)
		act(worker->fd);
	return NULL;
}

static void on_alarm(int signal)
{
	(void)signal;
}

/* A signal every few milliseconds; half of the children have calls restarted. */
static void start_timer(void)
{
	struct sigaction action = {
		.sa_handler = on_alarm,
		.sa_flags = one_in(2) ? SA_RESTART : 0,
	};
	struct itimerval timer = {
		.it_interval.tv_usec = 2000 + below(one_in(2) ? 20000 : 200000),
		.it_value.tv_usec = 2000,
	};

	sigaction(SIGALRM, &action, NULL);
	if (!one_in(4))
		setitimer(ITIMER_REAL, &timer, NULL);
}

static void child(int fd, uint64_t number)
{
	struct worker workers[2] = { { fd, number }, { fd, number + 1 } };
	pthread_t thread;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sow(number + 2);
	start_timer();
	if (one_in(4))
		workers[0].fd = dup(fd);
	if (one_in(3)) {		/* ends by itself, in the middle */
		pthread_create(&thread, NULL, work, &workers[1]);
		for (unsigned int n = below(200); n; n--)
			act(fd);
		_exit(0);
	}
	pthread_create(&thread, NULL, work, &workers[1]);
	work(&workers[0]);
}

static pid_t start_child(int fd, uint64_t number)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	child(fd, number);
	_exit(0);
}

static void tell_stack(pid_t pid)
{
	char path[64], text[4096];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stack", pid);
	fd = open(path, O_RDONLY);
	n = fd < 0 ? 0 : read(fd, text, sizeof(text));
	if (n > 0)
		fprintf(stderr, "process %d stays:\n%.*s", pid, (int)n, text);
	if (fd >= 0)
		close(fd);
}

/* It is killed, and has to be reaped in time. */
static bool killed(pid_t pid)
{
	double until = now() + REAP_SECONDS;

	kill(pid, SIGKILL);
	atomic_fetch_add(&shared->killed, 1);
	while (waitpid(pid, NULL, WNOHANG) == 0) {
		if (now() > until) {
			atomic_fetch_add(&shared->late, 1);
			tell_stack(pid);
			return false;
		}
		nap(2);
	}
	return true;
}

static void stop_server(bool stop)
{
	kill(server, stop ? SIGSTOP : SIGCONT);
	if (stop)
		atomic_fetch_add(&shared->stopped, 1);
}

/* ---- opening ---- */

static int open_some(void)
{
	static const int more[] = {
		O_CLOEXEC, O_APPEND, O_TRUNC, O_CREAT, O_EXCL, O_DIRECT, O_SYNC, O_NOCTTY,
		O_ASYNC, O_DIRECTORY, O_NOFOLLOW, O_CREAT | O_EXCL,
	};
	static const char *const modes[] = { "", "l", "m", "a" };
	int flags = one_in(6) ? (int)below(4) : O_RDWR;
	char path[64];

	if (one_in(2))
		flags |= O_NONBLOCK;
	if (one_in(4))
		flags |= more[below(SIZE(more))];
	if (one_in(50))
		flags |= O_PATH;
	snprintf(path, sizeof(path), "/dev/%spmtm%s%s", one_in(2) ? "n" : "", unit,
		 one_in(3) ? modes[below(4)] : "");
	return note(OPEN, open(path, flags, 0600));
}

/* Opens, too, all the time; what it gets it uses a little. */
static void rival(uint64_t number)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sow(number);
	start_timer();
	for (;;) {
		int fd = open_some();

		if (fd < 0) {
			nap(below(60));
			continue;
		}
		/* One that can nothing is to be had at any time. */
		for (unsigned int n = fcntl(fd, F_GETFL) & O_PATH ? 1 : below(10); n; n--)
			act(fd);
		note(CLOSE, close(fd));
	}
}

static pid_t start_rival(uint64_t number)
{
	pid_t pid = fork();

	if (!pid)
		rival(number);
	return pid;
}

static long perform(int fd, short number, int mt_count)
{
	struct mtop op = { .mt_op = number, .mt_count = mt_count };

	return note(number, ioctl(fd, MTIOCTOP, &op));
}

/* A tape that answers, in a mode that is defined, and something on it. */
static void prepare(int fd)
{
	perform(fd, MTSETDRVBUFFER, option() & 1 ? (int)MT_ST_SETBOOLEANS :
		(int)MT_ST_SETBOOLEANS | MT_ST_CAN_PARTITIONS);
	perform(fd, MTLOAD, 1);
	perform(fd, MTREW, 1);
	perform(fd, MTSETBLK, 0);
	for (unsigned int i = below(6); i; i--) {
		note(WRITE, write(fd, memory.good, 1 + below(5000)));
		perform(fd, MTWEOF, 1);
	}
	if (one_in(2))
		perform(fd, MTREW, 1);
}

/* For a tour, until the rival lets go. */
static int open_well(void)
{
	double until = now() + 5;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/npmtm%s", unit);
	do {
		fd = note(OPEN, open(path, O_RDWR | O_NONBLOCK));
		if (fd < 0)
			nap(5);
	} while (fd < 0 && now() < until);
	return fd;
}

/* A tape with a mark between two records, at its end. */
static void make_ready(int fd)
{
	if (perform(fd, MTREW, 1)) {
		perform(fd, MTLOAD, 1);
		perform(fd, MTREW, 1);
	}
	if (note(WRITE, write(fd, memory.good, 1000)) != 1000) {
		perform(fd, MTSETBLK, 0);
		note(WRITE, write(fd, memory.good, 1000));
	}
	perform(fd, MTWEOF, 1);
	note(WRITE, write(fd, memory.good, 1000));
}

/*
 * Each operation where it can succeed, in an order of its own each time.  The
 * rival goes on, and what earlier rounds have set is there.
 */
static void tour(int fd)
{
	short order[OPERATIONS];

	for (short i = 0; i < OPERATIONS; i++)
		order[i] = i;
	for (unsigned int i = OPERATIONS - 1; i; i--) {
		unsigned int other = below(i + 1);
		short op = order[i];

		order[i] = order[other];
		order[other] = op;
	}
	perform(fd, MTSETDRVBUFFER, (int)MT_ST_SETBOOLEANS | MT_ST_CAN_PARTITIONS);
	for (unsigned int i = 0; i < OPERATIONS; i++) {
		short op = order[i];

		if (wanted[op] != ENOSYS || perform(fd, MTNOP, 1))
			make_ready(fd);
		if (op == MTUNLOAD)
			perform(fd, MTUNLOCK, 1);
		if (op == MTFSF || op == MTFSR || op == MTFSFM)
			perform(fd, MTREW, 1);
		perform(fd, op, op != MTSETPART && op != MTSETBLK && op != MTSETDRVBUFFER &&
			op != MTMKPART);
	}
	make_ready(fd);
	perform(fd, MTREW, 1);
	note(READ, read(fd, memory.good, 5000));
	for (unsigned int i = 0; i < 10; i++) {
		get(fd);
		pos(fd);
		sg(fd);
		compat(fd);
	}
}

/* ---- rounds ---- */

static void round_end(pid_t *children)
{
	bool stopped = one_in(2);

	if (stopped)
		stop_server(true);
	nap(below(30));
	for (int i = 0; i < CHILDREN; i++)
		killed(children[i]);
	if (stopped)
		stop_server(false);
}

static void play(int fd, uint64_t number)
{
	double until = now() + 0.2 + below(600) / 1000.0;
	pid_t children[CHILDREN];
	bool stopped = false;
	int i;

	for (i = 0; i < CHILDREN; i++)
		children[i] = start_child(fd, number + 4 * (uint64_t)i);
	if (one_in(2)) {
		close(fd);		/* the children have the last references */
		fd = -1;
	}
	while (now() < until) {
		nap(below(60));
		if (one_in(4)) {
			stopped = !stopped;
			stop_server(stopped);
		}
		if (fd >= 0 && one_in(3)) {
			i = below(CHILDREN);
			killed(children[i]);
			children[i] = start_child(fd, number + below(1000));
		}
	}
	stop_server(false);
	round_end(children);
	if (fd >= 0)
		note(CLOSE, close(fd));
}

/* The leader's children come to us with it gone, and die, too. */
static void wait_gone(pid_t leader)
{
	double until = now() + REAP_SECONDS;
	pid_t pid;

	kill(-leader, SIGKILL);
	while ((pid = waitpid(-leader, NULL, WNOHANG)) >= 0) {
		if (now() > until) {
			fprintf(stderr, "the children of process %d stay\n", leader);
			atomic_fetch_add(&shared->late, 1);
			return;
		}
		if (!pid)
			nap(2);
	}
}

/* The first call that has not given what it has to give, or KINDS. */
static int unanswered(int from)
{
	for (int op = from; op <= WRITE; op++) {
		int error = op < OPERATIONS ? wanted[op] : 0;

		if (!atomic_load(&shared->counts[op][error]) && op != UNKNOWN &&
		    (op != COMPAT || has_gate()))
			return op;
	}
	return KINDS;
}

/* Rounds begin with a tour until one has had all the answers, later some of them. */
static void lead(uint64_t number)
{
	bool tours = unanswered(0) != KINDS || one_in(8);
	int fd = tours ? open_well() : open_some();

	if (fd < 0)
		return;
	if (tours)
		tour(fd);
	else if (!one_in(4))
		prepare(fd);
	play(fd, number * 1000);
}

/* In a process of its own, which can be killed if its close does not end. */
static void one_round(uint64_t number)
{
	double until = now() + 30;
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setpgid(0, 0);
		sow(number);
		lead(number);
		_exit(0);
	}
	while (waitpid(pid, NULL, WNOHANG) == 0) {
		if (now() > until) {
			/* A blocking open may wait for a medium. */
			stop_server(false);
			killed(pid);
			wait_gone(pid);
			return;
		}
		nap(5);
	}
	wait_gone(pid);
}

static void print_counts(void)
{
	for (int kind = 0; kind < KINDS; kind++) {
		if (names[kind])
			printf("%-15s", names[kind]);
		else
			printf("operation %-5d", kind);
		for (int error = 0; error < ERRNOS; error++) {
			unsigned int n = atomic_load(&shared->counts[kind][error]);

			if (n)
				printf(" %s %u", error ? strerrorname_np(error) : "ok", n);
		}
		printf("\n");
	}
	printf("%u processes killed, the server stopped %u times\n",
	       atomic_load(&shared->killed), atomic_load(&shared->stopped));
}

/* The answers that the calls have to have given. */
static int judge(void)
{
	int bad = atomic_load(&shared->late) != 0;

	for (int op = unanswered(0); op < KINDS; op = unanswered(op + 1)) {
		int error = op < OPERATIONS ? wanted[op] : 0;

		printf("call %d never gave %s\n", op,
		       error ? strerrorname_np(error) : "success");
		bad = 1;
	}
	if (atomic_load(&shared->late))
		printf("%u processes outlived a kill\n", atomic_load(&shared->late));
	return bad;
}

static int run(void)
{
	const char *given = getenv("PMT_FUZZ_SECONDS");
	double seconds = given ? atof(given) : 20, begun = now();
	uint64_t number = 1;
	pid_t other;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sow(0);
	other = start_rival(777);
	/* Longer where the machine is too slow for each call to have had its answer. */
	while ((now() < begun + seconds ||
		(unanswered(0) != KINDS && now() < begun + seconds + 90)) &&
	       !atomic_load(&shared->late)) {
		one_round(number++);
		if (one_in(4)) {
			killed(other);
			other = start_rival(777 + number);
		}
	}
	killed(other);
	stop_server(false);
	printf("%llu rounds\n", (unsigned long long)number - 1);
	print_counts();
	return judge();
}

/* ---- reset ---- */

static int reset(void)
{
	static const struct mtop ops[] = {
		{ MTLOAD, 1 }, { MTUNLOCK, 1 },
		{ MTSETDRVBUFFER, (int)MT_ST_BOOLEANS | MT_ST_CAN_PARTITIONS | MT_ST_CAN_BSR },
		{ MTSETDRVBUFFER, MT_ST_DEF_BLKSIZE | 0xfffffff },
		{ MTSETDRVBUFFER, (int)(MT_ST_DEF_DENSITY | MT_ST_CLEAR_DEFAULT) },
		{ MTSETDRVBUFFER, (int)(MT_ST_DEF_COMPRESSION | MT_ST_CLEAR_DEFAULT) },
		{ MTSETDRVBUFFER, (int)(MT_ST_DEF_DRVBUFFER | MT_ST_CLEAR_DEFAULT) },
		{ MTREW, 1 }, { MTSETPART, 0 }, { MTMKPART, 0 }, { MTSETBLK, 0 },
		{ MTSETDENSITY, 0 }, { MTCOMPRESSION, 0 }, { MTSETDRVBUFFER, 1 },
		{ MTSETDRVBUFFER, (int)MT_ST_BOOLEANS | MT_ST_BUFFER_WRITES |
			MT_ST_ASYNC_WRITES | MT_ST_READ_AHEAD | MT_ST_CAN_BSR },
		{ MTREW, 1 },
	};
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/npmtm%s", unit);
	fd = open(path, O_RDWR | O_NONBLOCK);
	if (fd < 0)
		fd = open(path, O_RDWR | O_NONBLOCK);	/* the last one's error */
	if (fd < 0) {
		perror(path);
		return 1;
	}
	for (size_t i = 0; i < SIZE(ops); i++) {
		if (!ioctl(fd, MTIOCTOP, &ops[i]))
			continue;
		fprintf(stderr, "reset: step %zu, operation %d: %s\n", i, ops[i].mt_op,
			strerror(errno));
		/* The first may be told of what was lost before. */
		if (i)
			return 1;
	}
	return close(fd) != 0;
}

int main(int argc, char **argv)
{
	const char *text = getenv("PMT_SEED");

	seed = text ? strtoull(text, NULL, 0) : 1;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 2;
	make_memory();
	unit = argc > 2 ? argv[2] : "";
	if (argc == 3 && !strcmp(argv[1], "reset"))
		return reset();
	if (argc == 4 && !strcmp(argv[1], "perform"))
		return perform(STDIN_FILENO, atoi(argv[2]), atoi(argv[3])) != 0;
	if (argc != 4 || strcmp(argv[1], "run")) {
		fprintf(stderr, "usage: application run UNIT SERVER | reset UNIT |\n"
			"\tperform OPERATION COUNT\n");
		return 2;
	}
	server = atoi(argv[3]);
	return run();
}
