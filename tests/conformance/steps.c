// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * steps: one step at a time, on one tape device
 *
 * A struct steps has the descriptors (in slots 0 to 15), the buffer and the way to
 * the drive's control; nothing is global, so that one process can drive several
 * devices.  An answer is what a system call returned, "-1 ERRNO" if it failed,
 * and what else was seen.  Times are never in an answer, but for an open that
 * waited, whose whole seconds are: "took" and its like tell more or less than so
 * many milliseconds.
 *
 * SIGALRM, for "alarm", is caught in the whole process and does nothing but
 * interrupt.
 */
#include "steps.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mtio.h>
#include <poll.h>
#include <scsi/sg.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 16
#define WORDS 20
#define COUNTS 16
#define BUFFER (80u << 20)
#define SIZE(array) (sizeof(array) / sizeof((array)[0]))

struct count {
	char name[64];
	long long last;
};

struct steps {
	char folder[128], base[32], unit[32];	/* "/dev/", "npmtm3" less 'n' */
	char *control;		/* the file's path */
	pid_t process;
	FILE *answers;		/* of the process; lines go to the same socket */
	int slots[SLOTS];
	char *buffer;
	struct timespec before, after, start;	/* the last call; "time 0" */
	struct count counts[COUNTS];
	char *answer;
	size_t size;
};

struct call {
	struct steps *s;
	int *slot;		/* of the first argument */
	int fd;			/* what is in it */
	char *words[WORDS];	/* words[0] is the verb */
	int n;
	const char *text;	/* all behind the verb */
	FILE *out;
};

/* ---- answers ---- */

static void answer(struct call *c, long result)
{
	if (result >= 0)
		fprintf(c->out, "%ld", result);
	else if (strerrorname_np(errno))
		fprintf(c->out, "-1 %s", strerrorname_np(errno));
	else
		fprintf(c->out, "-1 E%d", errno);
}

static const char *word(const struct call *c, int i)
{
	return i < c->n ? c->words[i] : "";
}

static unsigned long number(const struct call *c, int i, unsigned long otherwise)
{
	return i < c->n ? strtoul(c->words[i], NULL, 0) : otherwise;
}

static size_t size_word(const struct call *c, int i)
{
	size_t size = number(c, i, 0);

	return size < BUFFER - 4096 ? size : BUFFER - 4096;
}

/* "nst0l" is /dev/npmtm3l, if the device is /dev/npmtm3. */
static void node_path(const struct steps *s, char *path, size_t size, const char *node)
{
	const char *mode = strchr(node, '0');

	if (*node == '/')
		snprintf(path, size, "%s", node);
	else
		snprintf(path, size, "%s%s%s%s%s", s->folder, *node == 'n' ? "n" : "",
			 s->base, s->unit, mode ? mode + 1 : "");
}

static long milliseconds(const struct timespec *from, const struct timespec *to)
{
	return (to->tv_sec - from->tv_sec) * 1000 +
	       (to->tv_nsec - from->tv_nsec) / 1000000;
}

static long since(const struct timespec *from)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return milliseconds(from, &now);
}

/* ---- open and close ---- */

/* Flags: r w rw, and n nonblock, x excl, t creat and trunc, a append. */
static int open_flags(const char *word)
{
	int flags = strstr(word, "rw") ? O_RDWR : strchr(word, 'w') ? O_WRONLY : O_RDONLY;

	if (strchr(word, 'n'))
		flags |= O_NONBLOCK;
	if (strchr(word, 'x'))
		flags |= O_EXCL;
	if (strchr(word, 't'))
		flags |= O_TRUNC | O_CREAT;
	if (strchr(word, 'a'))
		flags |= O_APPEND;
	return flags;
}

/* The seconds of an open that waited, only tens of them if it waited for long. */
static void print_wait(FILE *out, long ms)
{
	if (ms >= 30000)
		fprintf(out, " (%lds)", ms / 10000 * 10);
	else if (ms > 900)
		fprintf(out, " (%lds)", (ms + 500) / 1000);
}

static void verb_open(struct call *c)
{
	struct timespec start;
	char path[256];
	int fd;

	node_path(c->s, path, sizeof(path), word(c, 2));
	clock_gettime(CLOCK_MONOTONIC, &start);
	fd = open(path, open_flags(word(c, 3)), 0666);
	if (fd < 0) {
		answer(c, fd);
	} else {
		*c->slot = fd;
		fputs("ok", c->out);
	}
	print_wait(c->out, since(&start));
}

static void verb_close(struct call *c)
{
	*c->slot = -1;
	answer(c, close(c->fd));
}

static void verb_dup(struct call *c)
{
	c->s->slots[number(c, 2, 0) % SLOTS] = dup(c->fd);
}

/* ---- reading and writing ---- */

static void write_from(struct call *c, char *from)
{
	size_t size = size_word(c, 2);

	memset(from, (int)number(c, 3, 0xaa), size);
	answer(c, write(c->fd, from, size));
}

static void verb_write(struct call *c)
{
	write_from(c, c->s->buffer);
}

static void verb_writeu(struct call *c)
{
	write_from(c, c->s->buffer + 1);
}

static void read_to(struct call *c, char *to)
{
	size_t size = size_word(c, 2);
	ssize_t n;

	memset(to, 0, size < 4096 ? size : 4096);
	n = read(c->fd, to, size);
	answer(c, n);
	if (n > 0)
		fprintf(c->out, " tag=%02x", (unsigned char)to[0]);
}

static void verb_read(struct call *c)
{
	read_to(c, c->s->buffer);
}

static void verb_readu(struct call *c)
{
	read_to(c, c->s->buffer + 1);
}

/* Writes of a size, until one is short or fails, or most were done. */
static void fill(struct call *c, long most)
{
	size_t size = size_word(c, 2);
	ssize_t result = 0;
	long n = 0;

	memset(c->s->buffer, 0x33, size);
	while (n < most && (result = write(c->fd, c->s->buffer, size)) == (ssize_t)size)
		n++;
	fprintf(c->out, "%ld full writes", n);
	if (n == most)
		return;
	fputs(", then ", c->out);
	answer(c, result);
}

static void verb_fill(struct call *c)
{
	fill(c, 100000);
}

static void verb_filln(struct call *c)
{
	fill(c, (long)number(c, 3, 1));
}

static void verb_writev(struct call *c)
{
	static const size_t sizes[] = { 1024, 2048, 512 };
	struct iovec parts[SIZE(sizes)];

	for (size_t i = 0; i < SIZE(sizes); i++) {
		parts[i].iov_base = c->s->buffer + 4096 * i;
		parts[i].iov_len = sizes[i];
		memset(parts[i].iov_base, (int)i + 1, sizes[i]);
	}
	answer(c, writev(c->fd, parts, SIZE(sizes)));
}

static void verb_readv(struct call *c)
{
	struct iovec parts[3] = {
		{ c->s->buffer, 1024 },
		{ c->s->buffer + 4096, 4096 },
		{ c->s->buffer + 8192, 4096 },
	};

	answer(c, readv(c->fd, parts, 3));
}

/* What no program has mapped. */
static void *bad_address(void)
{
	static void *volatile bad = (void *)16;

	return bad;
}

static void verb_badcopy(struct call *c)
{
	answer(c, write(c->fd, bad_address(), 1024));
}

static void verb_badread(struct call *c)
{
	answer(c, read(c->fd, bad_address(), 1024));
}

/* ---- mtio ---- */

static const struct {
	const char *name;
	short op;
} operations[] = {
	{ "MTRESET", 0 }, { "MTFSF", 1 }, { "MTBSF", 2 }, { "MTFSR", 3 },
	{ "MTBSR", 4 }, { "MTWEOF", 5 }, { "MTREW", 6 }, { "MTOFFL", 7 },
	{ "MTNOP", 8 }, { "MTRETEN", 9 }, { "MTBSFM", 10 }, { "MTFSFM", 11 },
	{ "MTEOM", 12 }, { "MTERASE", 13 }, { "MTRAS1", 14 }, { "MTRAS2", 15 },
	{ "MTRAS3", 16 }, { "MTSETBLK", 20 }, { "MTSETDENSITY", 21 },
	{ "MTSEEK", 22 }, { "MTTELL", 23 }, { "MTSETDRVBUFFER", 24 },
	{ "MTFSS", 25 }, { "MTBSS", 26 }, { "MTWSM", 27 }, { "MTLOCK", 28 },
	{ "MTUNLOCK", 29 }, { "MTLOAD", 30 }, { "MTUNLOAD", 31 },
	{ "MTCOMPRESSION", 32 }, { "MTSETPART", 33 }, { "MTMKPART", 34 },
	{ "MTWEOFI", 35 },
};

static struct mtop operation(const struct call *c)
{
	struct mtop op = { .mt_op = (short)number(c, 2, 0),
			   .mt_count = (int)number(c, 3, 1) };

	for (size_t i = 0; i < SIZE(operations); i++)
		if (strcmp(operations[i].name, word(c, 2)) == 0)
			op.mt_op = operations[i].op;
	return op;
}

static void verb_op(struct call *c)
{
	struct mtop op = operation(c);

	answer(c, ioctl(c->fd, MTIOCTOP, &op));
}

static void print_bits(FILE *out, unsigned long gstat)
{
	static const struct {
		unsigned long bit;
		const char *name;
	} bits[] = {
		{ 0x80000000, "EOF" }, { 0x40000000, "BOT" }, { 0x20000000, "EOT" },
		{ 0x10000000, "SM" }, { 0x08000000, "EOD" }, { 0x04000000, "WR_PROT" },
		{ 0x01000000, "ONLINE" }, { 0x00800000, "D6250" },
		{ 0x00400000, "D1600" }, { 0x00200000, "D800" },
		{ 0x00040000, "DR_OPEN" }, { 0x00010000, "IM_REP_EN" },
		{ 0x00008000, "CLN" },
	};
	const char *blank = "";

	for (size_t i = 0; i < SIZE(bits); i++) {
		if (!(gstat & bits[i].bit))
			continue;
		fprintf(out, "%s%s", blank, bits[i].name);
		blank = " ";
	}
}

static void verb_stat(struct call *c)
{
	struct mtget get;
	int result;

	memset(&get, 0x55, sizeof(get));
	result = ioctl(c->fd, MTIOCGET, &get);
	if (result < 0) {
		answer(c, result);
		return;
	}
	fprintf(c->out, "f=%d b=%d gstat=%08lx [", (int)get.mt_fileno, (int)get.mt_blkno,
		get.mt_gstat);
	print_bits(c->out, (unsigned long)get.mt_gstat);
	fprintf(c->out, "] dsreg=%08lx resid=%ld type=%#lx erreg=%#lx", get.mt_dsreg,
		get.mt_resid, get.mt_type, get.mt_erreg);
}

static void verb_pos(struct call *c)
{
	struct mtpos pos;
	int result = ioctl(c->fd, MTIOCPOS, &pos);

	answer(c, result < 0 ? result : pos.mt_blkno);
}

static void verb_ioctl(struct call *c)
{
	answer(c, ioctl(c->fd, number(c, 2, 0), c->s->buffer));
}

static void verb_badioctl(struct call *c)
{
	answer(c, ioctl(c->fd, number(c, 2, 0), bad_address()));
}

/* ---- as a 32-bit program calls ---- */

#ifdef __x86_64__
static uint32_t *low_page(void)
{
	uint32_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	if (page == MAP_FAILED)
		abort();
	memset(page, 0x55, 64);
	return page;
}

static long ioctl32(int fd, unsigned int code, uint32_t *page)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(54), "b"(fd), "c"(code), "d"((uint32_t)(uintptr_t)page)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)result;
}

/* getpid; taken for a call of 64 bits it is writev, and fails. */
bool steps_calls32(void)
{
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20), "D"(-1L)
			 : "memory", "r8", "r9", "r10", "r11");
	return result == getpid();
}

static void verb_get32(struct call *c)
{
	uint32_t *page = low_page();
	long result = ioctl32(c->fd, (unsigned int)number(c, 2, 0x801c6d02), page);

	fprintf(c->out, "%ld type=%x resid=%u dsreg=%08x gstat=%08x erreg=%u f=%d b=%d "
		"next=%x", result, page[0], page[1], page[2], page[3], page[4],
		(int)page[5], (int)page[6], page[7]);
	munmap(page, 4096);
}

static void verb_pos32(struct call *c)
{
	uint32_t *page = low_page();
	long result = ioctl32(c->fd, 0x80046d03, page);

	fprintf(c->out, "%ld blk=%u next=%x", result, page[0], page[1]);
	munmap(page, 4096);
}

static void top32(struct call *c, struct mtop op)
{
	uint32_t *page = low_page();

	memcpy(page, &op, sizeof(op));
	fprintf(c->out, "%ld", ioctl32(c->fd, MTIOCTOP, page));
	munmap(page, 4096);
}

static void verb_nop32(struct call *c)
{
	top32(c, (struct mtop){ .mt_op = MTNOP, .mt_count = 1 });
}

static void verb_op32(struct call *c)
{
	top32(c, operation(c));
}
#else
bool steps_calls32(void)
{
	return false;
}
#endif

/* ---- other system calls ---- */

static void verb_lseek(struct call *c)
{
	answer(c, lseek(c->fd, (off_t)number(c, 2, 0), (int)number(c, 3, 0)));
}

static void verb_pread(struct call *c)
{
	answer(c, pread(c->fd, c->s->buffer, 1024, 0));
}

static void verb_pwrite(struct call *c)
{
	answer(c, pwrite(c->fd, c->s->buffer, 1024, 0));
}

static void verb_fsync(struct call *c)
{
	answer(c, fsync(c->fd));
}

static void verb_ftruncate(struct call *c)
{
	answer(c, ftruncate(c->fd, 0));
}

static void verb_mmap(struct call *c)
{
	void *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, c->fd, 0);

	answer(c, page == MAP_FAILED ? -1 : 0);
}

static void verb_poll(struct call *c)
{
	struct pollfd poll_fd = { .fd = c->fd, .events = POLLIN | POLLOUT | POLLPRI };

	answer(c, poll(&poll_fd, 1, 0));
	fprintf(c->out, " revents=%x", (unsigned int)poll_fd.revents);
}

static void verb_epoll(struct call *c)
{
	struct epoll_event event = { .events = EPOLLIN };
	int fd = epoll_create1(0);

	answer(c, epoll_ctl(fd, EPOLL_CTL_ADD, c->fd, &event));
	close(fd);
}

static void verb_sendfile(struct call *c)
{
	int fd = open("/dev/null", O_WRONLY);

	answer(c, sendfile(fd, c->fd, NULL, 4096));
	close(fd);
}

static void verb_splice(struct call *c)
{
	int ends[2];

	if (pipe(ends) < 0) {
		answer(c, -1);
		return;
	}
	if (strcmp(word(c, 2), "r") == 0)
		answer(c, splice(c->fd, NULL, ends[1], NULL, 4096, 0));
	else if (write(ends[1], c->s->buffer, 512) == 512)
		answer(c, splice(ends[0], NULL, c->fd, NULL, 512, 0));
	close(ends[0]);
	close(ends[1]);
}

static void verb_fionbio(struct call *c)
{
	int on = (int)number(c, 2, 0);

	answer(c, ioctl(c->fd, FIONBIO, &on));
}

static void verb_setfl(struct call *c)
{
	int flags = fcntl(c->fd, F_GETFL);

	flags = *word(c, 2) == 'n' ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	answer(c, fcntl(c->fd, F_SETFL, flags));
}

static void verb_getfl(struct call *c)
{
	fprintf(c->out, "0%o", (unsigned int)fcntl(c->fd, F_GETFL));
}

static void verb_fstat(struct call *c)
{
	struct stat st = { .st_mode = 0 };

	answer(c, fstat(c->fd, &st));
	fprintf(c->out, " mode=%o size=%ld", st.st_mode & S_IFMT, (long)st.st_size);
}

static void verb_tcgets(struct call *c)
{
	answer(c, ioctl(c->fd, 0x5401, c->s->buffer));
}

/* ---- SCSI ---- */

static unsigned char cdb_length(int words)
{
	return words <= 6 ? 6 : words <= 10 ? 10 : words <= 12 ? 12 : 16;
}

static void sg_io(struct call *c, unsigned int in)
{
	unsigned char cdb[WORDS] = { 0 }, sense[32] = { 0 };
	struct sg_io_hdr io = { .interface_id = 'S', .cmdp = cdb, .sbp = sense,
		.mx_sb_len = sizeof(sense), .timeout = 20000,
		.dxfer_direction = in ? SG_DXFER_FROM_DEV : SG_DXFER_NONE,
		.dxferp = c->s->buffer, .dxfer_len = in,
		.cmd_len = cdb_length(c->n - 2) };
	int result;

	for (int i = 2; i < c->n; i++)
		cdb[i - 2] = (unsigned char)strtoul(c->words[i], NULL, 16);
	result = ioctl(c->fd, SG_IO, &io);
	answer(c, result);
	fprintf(c->out, " status=%x key=%x asc=%02x/%02x resid=%d", io.status,
		sense[2] & 15, sense[12], sense[13], io.resid);
	if (result < 0 || !in)
		return;
	fputs(" data=", c->out);
	for (int i = 0; i < 12; i++)
		fprintf(c->out, "%02x", (unsigned char)c->s->buffer[i]);
}

static void verb_sgio(struct call *c)
{
	sg_io(c, 0);
}

static void verb_sginq(struct call *c)
{
	sg_io(c, 255);
}

static void verb_reset(struct call *c)
{
	int what = SG_SCSI_RESET_DEVICE;

	answer(c, ioctl(c->fd, SG_SCSI_RESET, &what));
}

/* ---- the nodes themselves ---- */

/* An attribute of a node: NULL, and an answer, if there is none. */
static FILE *open_attribute(struct call *c)
{
	char path[256];
	struct stat st;
	FILE *in;

	node_path(c->s, path, sizeof(path), word(c, 1));
	if (stat(path, &st) < 0) {
		answer(c, -1);
		return NULL;
	}
	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/%s", major(st.st_rdev),
		 minor(st.st_rdev), word(c, 2));
	in = fopen(path, "re");
	if (!in)
		answer(c, -1);
	return in;
}

/* All lines of it, in one. */
static void verb_sysfs(struct call *c)
{
	FILE *in = open_attribute(c);
	const char *blank = "";
	char line[256];

	if (!in)
		return;
	while (fgets(line, sizeof(line), in)) {
		line[strcspn(line, "\n")] = '\0';
		fprintf(c->out, "%s%s", blank, line);
		blank = " ";
	}
	fclose(in);
}

static struct count *find_count(struct steps *s, const char *name)
{
	int i = 0;

	while (i < COUNTS - 1 && *s->counts[i].name && strcmp(s->counts[i].name, name))
		i++;
	return &s->counts[i];
}

/* How much more it is than the last time, if it was asked for before. */
static void verb_count(struct call *c)
{
	struct count *count = find_count(c->s, word(c, 2));
	FILE *in = open_attribute(c);
	long long value = 0;

	if (!in)
		return;
	if (fscanf(in, "%lld", &value) != 1)
		fputs("no number", c->out);
	else if (*count->name)
		fprintf(c->out, "%lld", value - count->last);
	fclose(in);
	snprintf(count->name, sizeof(count->name), "%s", word(c, 2));
	count->last = value;
}

static void verb_chmod(struct call *c)
{
	char path[256];

	node_path(c->s, path, sizeof(path), word(c, 1));
	answer(c, chmod(path, (mode_t)strtoul(word(c, 2), NULL, 8)));
}

/* ---- processes and time ---- */

static void verb_alarm(struct call *c)
{
	long ms = (long)number(c, 1, 0);
	struct itimerval once = {
		.it_value = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 },
	};

	if (setitimer(ITIMER_REAL, &once, NULL) < 0)
		answer(c, -1);
}

static void more_or_less(struct call *c, long ms, long than)
{
	fputs(ms < than ? "less" : "more", c->out);
}

/* Did the call before take the milliseconds? */
static void verb_took(struct call *c)
{
	more_or_less(c, milliseconds(&c->s->before, &c->s->after), (long)number(c, 1, 0));
}

/* "time 0" begins, "time MS" tells whether so many have passed. */
static void verb_time(struct call *c)
{
	if (number(c, 1, 0))
		more_or_less(c, since(&c->s->start), (long)number(c, 1, 0));
	else
		clock_gettime(CLOCK_MONOTONIC, &c->s->start);
}

static void verb_sleep(struct call *c)
{
	struct timespec left = { .tv_sec = (time_t)number(c, 1, 0) / 1000,
				 .tv_nsec = (long)number(c, 1, 0) % 1000 * 1000000 };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

static void wait_child(struct call *c, pid_t child)
{
	int status = 0;

	waitpid(child, &status, 0);
	if (WIFSIGNALED(status))
		fprintf(c->out, "signal %d", WTERMSIG(status));
	else
		fprintf(c->out, "child %d", WEXITSTATUS(status));
}

/* A child that has inherited it writes a record and exits. */
static void verb_forkwrite(struct call *c)
{
	pid_t child = fork();

	if (!child)
		_exit(write(c->fd, c->s->buffer, 1024) == 1024 ? 0 : 1);
	wait_child(c, child);
}

/* A child opens the node, writes a record and is killed. */
static void verb_killwrite(struct call *c)
{
	pid_t child = fork();
	char path[256];
	int fd;

	if (child) {
		wait_child(c, child);
		return;
	}
	node_path(c->s, path, sizeof(path), word(c, 1));
	fd = open(path, O_RDWR);
	if (fd < 0 || write(fd, c->s->buffer, 1024) != 1024)
		_exit(9);
	raise(SIGKILL);
}

/* A child that has begun to read, and is given the time to. */
static pid_t reading_child(struct call *c)
{
	struct timespec begin = { .tv_nsec = 300000000 };
	pid_t child = fork();

	if (!child) {
		errno = 0;
		_exit(read(c->fd, c->s->buffer, 512) < 0);
	}
	nanosleep(&begin, NULL);
	return child;
}

/* A read while another is in the drive; SIGALRM comes meanwhile. */
static void verb_lockwait(struct call *c)
{
	pid_t child = reading_child(c);
	struct itimerval once = { .it_value = { .tv_usec = 300000 } };
	bool over;

	setitimer(ITIMER_REAL, &once, NULL);
	answer(c, read(c->fd, c->s->buffer, 512));
	over = waitpid(child, NULL, WNOHANG) == child;
	fputs(over ? " behind the other" : " before the other", c->out);
	if (!over)
		waitpid(child, NULL, 0);
}

/* Kills a child that reads: how long did it stay? */
static void verb_killread(struct call *c)
{
	pid_t child = reading_child(c);
	struct timespec start;

	clock_gettime(CLOCK_MONOTONIC, &start);
	kill(child, SIGKILL);
	wait_child(c, child);
	fputc(' ', c->out);
	more_or_less(c, since(&start), (long)number(c, 2, 0));
}

static void verb_drop(struct call *c)
{
	answer(c, setresuid(65534, 65534, 65534));
}

/* ---- the drive's control ---- */

static void control_file(struct call *c, const char *line)
{
	size_t length = strlen(line);
	int fd = open(c->s->control, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, line, length) != (ssize_t)length)
		answer(c, -1);
	if (fd >= 0)
		close(fd);
}

static void control_process(struct call *c, const char *line)
{
	char text[512], got[256];
	int n = snprintf(text, sizeof(text), "%s\n", line);

	if (send(fileno(c->s->answers), text, (size_t)n, MSG_NOSIGNAL) != n ||
	    !fgets(got, sizeof(got), c->s->answers)) {
		fputs("error: the control is gone", c->out);
		return;
	}
	got[strcspn(got, "\n")] = '\0';
	if (strcmp(got, "ok"))
		fputs(got, c->out);
}

/* An answer only if it is refused. */
static void verb_ctl(struct call *c)
{
	const char *line = c->text + strspn(c->text, " \t");

	if (c->s->answers)
		control_process(c, line);
	else if (c->s->control)
		control_file(c, line);
	else
		fputs("error: no control", c->out);
}

/* ---- steps ---- */

static const struct verb {
	const char *name;
	void (*run)(struct call *);
} verbs[] = {
	{ "open", verb_open },		/* SLOT NODE FLAGS */
	{ "close", verb_close },	/* SLOT */
	{ "dup", verb_dup },		/* SLOT SLOT */
	{ "write", verb_write },	/* SLOT SIZE [FILLING] */
	{ "writeu", verb_writeu },	/* the same, from an odd address */
	{ "read", verb_read },		/* SLOT SIZE: the count, tag= the first byte */
	{ "readu", verb_readu },
	{ "fill", verb_fill },		/* SLOT SIZE */
	{ "filln", verb_filln },	/* SLOT SIZE COUNT */
	{ "writev", verb_writev },	/* SLOT: 1024, 2048 and 512 bytes */
	{ "readv", verb_readv },	/* SLOT: 1024, 4096 and 4096 bytes */
	{ "badcopy", verb_badcopy },	/* SLOT: write from a bad address */
	{ "badread", verb_badread },
	{ "op", verb_op },		/* SLOT NAME|NUMBER [COUNT] */
	{ "stat", verb_stat },		/* SLOT: MTIOCGET */
	{ "pos", verb_pos },		/* SLOT: MTIOCPOS */
	{ "ioctl", verb_ioctl },	/* SLOT CODE */
	{ "badioctl", verb_badioctl },	/* the same, with a bad address */
#ifdef __x86_64__
	{ "get32", verb_get32 },	/* SLOT [CODE]: MTIOCGET of a 32-bit program */
	{ "pos32", verb_pos32 },	/* SLOT */
	{ "nop32", verb_nop32 },	/* SLOT */
	{ "op32", verb_op32 },		/* SLOT NAME|NUMBER [COUNT] */
#endif
	{ "lseek", verb_lseek },	/* SLOT OFFSET WHENCE */
	{ "pread", verb_pread },
	{ "pwrite", verb_pwrite },
	{ "fsync", verb_fsync },
	{ "ftruncate", verb_ftruncate },
	{ "mmap", verb_mmap },
	{ "poll", verb_poll },
	{ "epoll", verb_epoll },
	{ "sendfile", verb_sendfile },
	{ "splice", verb_splice },	/* SLOT r|w */
	{ "fionbio", verb_fionbio },	/* SLOT 0|1 */
	{ "setfl", verb_setfl },	/* SLOT n|b: O_NONBLOCK or not */
	{ "getfl", verb_getfl },
	{ "fstat", verb_fstat },
	{ "tcgets", verb_tcgets },
	{ "sgio", verb_sgio },		/* SLOT BYTE...: a command without data */
	{ "sginq", verb_sginq },	/* SLOT BYTE...: one that reads 255 bytes */
	{ "reset", verb_reset },	/* SLOT: SG_SCSI_RESET of the device */
	{ "sysfs", verb_sysfs },	/* NODE FILE */
	{ "count", verb_count },	/* NODE FILE: growth since it was asked for */
	{ "chmod", verb_chmod },	/* NODE MODE */
	{ "alarm", verb_alarm },	/* MS: SIGALRM comes */
	{ "took", verb_took },		/* MS: "less" or "more" did the last call */
	{ "time", verb_time },		/* 0 | MS: "less" or "more" since then */
	{ "sleep", verb_sleep },	/* MS */
	{ "lockwait", verb_lockwait },	/* SLOT */
	{ "killread", verb_killread },	/* SLOT MS: gone in less or more */
	{ "forkwrite", verb_forkwrite },	/* SLOT */
	{ "killwrite", verb_killwrite },	/* NODE */
	{ "drop", verb_drop },		/* become nobody */
	{ "ctl", verb_ctl },		/* WORDS */
};

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < SIZE(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

static void split(struct call *c, char *text)
{
	char *save;

	for (char *w = strtok_r(text, " \t\n", &save); w && c->n < WORDS;
	     w = strtok_r(NULL, " \t\n", &save))
		c->words[c->n++] = w;
}

/* What "took" tells of is the last call on the device. */
static bool is_call(const struct verb *verb)
{
	return verb->run != verb_took && verb->run != verb_ctl &&
	       verb->run != verb_time && verb->run != verb_sleep;
}

static void run_call(struct call *c, const char *line)
{
	const struct verb *verb;
	char words[512];

	snprintf(words, sizeof(words), "%s", line);
	split(c, words);
	verb = c->n ? find_verb(c->words[0]) : NULL;
	if (!verb) {
		fputs("no such verb", c->out);
		return;
	}
	c->slot = &c->s->slots[number(c, 1, 0) % SLOTS];
	c->fd = *c->slot;
	c->text = line + strspn(line, " \t") + strlen(c->words[0]);
	if (is_call(verb))
		clock_gettime(CLOCK_MONOTONIC, &c->s->before);
	errno = 0;
	verb->run(c);
	if (is_call(verb))
		clock_gettime(CLOCK_MONOTONIC, &c->s->after);
}

const char *steps_do(struct steps *s, const char *line)
{
	struct call c = { .s = s };

	free(s->answer);
	s->answer = NULL;
	c.out = open_memstream(&s->answer, &s->size);
	if (!c.out)
		return "no memory";
	run_call(&c, line);
	fclose(c.out);
	return s->answer ? s->answer : "no memory";
}

char *steps_strip(char *text)
{
	char *end;

	text += strspn(text, " \t");
	end = text + strlen(text);
	while (end > text && strchr(" \t\n", end[-1]))
		*--end = '\0';
	return text;
}

void steps_close(struct steps *s)
{
	for (int i = 0; i < SLOTS; i++) {
		if (s->slots[i] >= 0)
			close(s->slots[i]);
		s->slots[i] = -1;
	}
}

/* ---- life and death ---- */

static void nothing(int signal)
{
	(void)signal;
}

/* "/dev/npmtm3" is "/dev/", "pmtm" and "3". */
static int take_device(struct steps *s, const char *device)
{
	const char *slash = strrchr(device, '/'), *name = slash ? slash + 1 : device;
	size_t letters;

	if (*name == 'n')
		name++;
	letters = strcspn(name, "0123456789");
	if (!name[letters] || !letters || letters >= sizeof(s->base) ||
	    strlen(name + letters) >= sizeof(s->unit) ||
	    (slash && slash - device + 2 > (long)sizeof(s->folder)))
		return -EINVAL;
	if (slash)
		memcpy(s->folder, device, (size_t)(slash - device) + 1);
	memcpy(s->base, name, letters);
	strcpy(s->unit, name + letters);
	return 0;
}

static void be_control(const char *command, int end)
{
	dup2(end, STDIN_FILENO);
	dup2(end, STDOUT_FILENO);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

static int start_control(struct steps *s, const char *command)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	s->process = fork();
	if (!s->process)
		be_control(command, ends[1]);
	close(ends[1]);
	s->answers = fdopen(ends[0], "re");
	return s->process > 0 && s->answers ? 0 : -ENOMEM;
}

static int take_control(struct steps *s, const char *control)
{
	if (control && *control == '!')
		return start_control(s, control + 1);
	if (control && !(s->control = strdup(control)))
		return -ENOMEM;
	return 0;
}

int steps_new(struct steps **out, const char *device, const char *control)
{
	struct sigaction action = { .sa_handler = nothing };
	struct steps *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	memset(s->slots, 0xff, sizeof(s->slots));
	r = take_device(s, device);
	if (!r)
		r = -posix_memalign((void **)&s->buffer, 4096, BUFFER);
	if (!r)
		r = take_control(s, control);
	if (r) {
		steps_free(s);
		return r;
	}
	sigaction(SIGALRM, &action, NULL);
	*out = s;
	return 0;
}

void steps_free(struct steps *s)
{
	steps_close(s);
	if (s->answers)
		fclose(s->answers);
	if (s->process > 0)
		waitpid(s->process, NULL, 0);
	free(s->control);
	free(s->buffer);
	free(s->answer);
	free(s);
}
