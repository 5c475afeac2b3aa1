// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tt: run scripts against a tape device and compare each answer
 *
 *	tt [-u UNIT] [-c COMMAND] [-v] FILE...
 *	tt [-u UNIT] -e 'LINE; LINE; ...'
 *
 * A line of a script is a verb, its arguments, and behind "->" the answer that
 * is expected.  "== NAME TITLE" begins a vector, "-- NAME TITLE" one that goes
 * on with what the one before has left.  Each is reported as a line "ok NAME
 * TITLE" or "not ok NAME TITLE" on standard output; what differed is told on
 * standard error.  Lines that begin with '#' are comments.  -v tells everything.
 * The status is 0 if all answers were the expected ones, and 1 if not.  With -e
 * there is one vector, without a name.
 *
 * Descriptors are in slots 0 to 15.  The nodes' names, as npmtm0, end in 0, for
 * which UNIT is put.  "ctl WORDS" runs COMMAND with them: it is to change the
 * medium or the drive.  The density in dsreg is the drive's, and not compared.
 * The verbs are in the table at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mtio.h>
#include <poll.h>
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
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 16
#define WORDS 8
#define BUFFER (80u << 20)
#define SIZE(array) (sizeof(array) / sizeof((array)[0]))

struct call {
	int *slot;		/* of the first argument */
	int fd;			/* what is in it */
	char *words[WORDS];	/* words[0] is the verb */
	int n;
	const char *text;	/* all behind the verb */
	FILE *out;
};

static struct {
	const char *unit, *command;
	bool verbose;
	int slots[SLOTS];
	char *buffer;
	struct timespec before, after;	/* the last call but "took" */
	char name[128];		/* of the vector */
	int failed, total_failed;
} tt = { .unit = "0" };

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

static void node_path(char *path, size_t size, const char *node)
{
	size_t length = strlen(node);

	if (length && node[length - 1] == '0')
		snprintf(path, size, "/dev/%.*s%s", (int)length - 1, node, tt.unit);
	else
		snprintf(path, size, "/dev/%s", node);
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

static void verb_open(struct call *c)
{
	char path[128];
	int fd;

	node_path(path, sizeof(path), word(c, 2));
	fd = open(path, open_flags(word(c, 3)), 0666);
	if (fd < 0) {
		answer(c, fd);
		return;
	}
	*c->slot = fd;
	fputs("ok", c->out);
}

static void verb_close(struct call *c)
{
	*c->slot = -1;
	answer(c, close(c->fd));
}

static void verb_dup(struct call *c)
{
	tt.slots[number(c, 2, 0) % SLOTS] = dup(c->fd);
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
	write_from(c, tt.buffer);
}

static void verb_writeu(struct call *c)
{
	write_from(c, tt.buffer + 1);
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
	read_to(c, tt.buffer);
}

static void verb_readu(struct call *c)
{
	read_to(c, tt.buffer + 1);
}

/* Writes of a size, until one is short or fails, or most were done. */
static void fill(struct call *c, long most)
{
	size_t size = size_word(c, 2);
	ssize_t result = 0;
	long n = 0;

	memset(tt.buffer, 0x33, size);
	while (n < most && (result = write(c->fd, tt.buffer, size)) == (ssize_t)size)
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
		parts[i].iov_base = tt.buffer + 4096 * i;
		parts[i].iov_len = sizes[i];
		memset(parts[i].iov_base, (int)i + 1, sizes[i]);
	}
	answer(c, writev(c->fd, parts, SIZE(sizes)));
}

static void verb_readv(struct call *c)
{
	struct iovec parts[3] = {
		{ tt.buffer, 1024 },
		{ tt.buffer + 4096, 4096 },
		{ tt.buffer + 8192, 4096 },
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

static void verb_op(struct call *c)
{
	struct mtop op = { .mt_op = (short)number(c, 2, 0),
			   .mt_count = (int)number(c, 3, 1) };

	for (size_t i = 0; i < SIZE(operations); i++)
		if (strcmp(operations[i].name, word(c, 2)) == 0)
			op.mt_op = operations[i].op;
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
	answer(c, ioctl(c->fd, number(c, 2, 0), tt.buffer));
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

static void verb_nop32(struct call *c)
{
	uint32_t *page = low_page();
	struct mtop *op = (struct mtop *)page;

	op->mt_op = MTNOP;
	op->mt_count = 1;
	fprintf(c->out, "%ld", ioctl32(c->fd, MTIOCTOP, page));
	munmap(page, 4096);
}
#endif

/* ---- other system calls ---- */

static void verb_lseek(struct call *c)
{
	answer(c, lseek(c->fd, (off_t)number(c, 2, 0), (int)number(c, 3, 0)));
}

static void verb_pread(struct call *c)
{
	answer(c, pread(c->fd, tt.buffer, 1024, 0));
}

static void verb_pwrite(struct call *c)
{
	answer(c, pwrite(c->fd, tt.buffer, 1024, 0));
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
	else if (write(ends[1], tt.buffer, 512) == 512)
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
	struct stat st;

	answer(c, fstat(c->fd, &st));
	fprintf(c->out, " mode=%o size=%ld", st.st_mode & S_IFMT, (long)st.st_size);
}

/* ---- processes and time ---- */

static void verb_alarm(struct call *c)
{
	struct timespec in = { .tv_sec = (time_t)number(c, 1, 0) / 1000,
			       .tv_nsec = (long)number(c, 1, 0) % 1000 * 1000000 };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM };
	struct itimerspec once = { .it_value = in };
	timer_t timer;

	if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0 ||
	    timer_settime(timer, 0, &once, NULL) < 0)
		answer(c, -1);
}

/* Did the call before take the milliseconds? */
static void verb_took(struct call *c)
{
	long ms = (tt.after.tv_sec - tt.before.tv_sec) * 1000 +
		  (tt.after.tv_nsec - tt.before.tv_nsec) / 1000000;

	fputs(ms < (long)number(c, 1, 0) ? "less" : "more", c->out);
	if (tt.verbose)
		fprintf(stderr, "	(%ld ms)\n", ms);
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
		_exit(write(c->fd, tt.buffer, 1024) == 1024 ? 0 : 1);
	wait_child(c, child);
}

/* A child opens the node, writes a record and is killed. */
static void verb_killwrite(struct call *c)
{
	pid_t child = fork();
	char path[128];
	int fd;

	if (child) {
		wait_child(c, child);
		return;
	}
	node_path(path, sizeof(path), word(c, 1));
	fd = open(path, O_RDWR);
	if (fd < 0 || write(fd, tt.buffer, 1024) != 1024)
		_exit(9);
	raise(SIGKILL);
}

static void verb_drop(struct call *c)
{
	answer(c, setresuid(65534, 65534, 65534));
}

/* An answer only if it fails. */
static void verb_ctl(struct call *c)
{
	char line[512];
	int status;

	snprintf(line, sizeof(line), "%s %s", tt.command ? tt.command : "false", c->text);
	status = system(line);
	if (status)
		fprintf(c->out, "status %d", WEXITSTATUS(status));
}

/* ---- scripts ---- */

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
	{ "alarm", verb_alarm },	/* MS: SIGALRM comes */
	{ "took", verb_took },		/* MS: "less" or "more" did the last call */
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

static char *strip(char *text)
{
	char *end;

	text += strspn(text, " \t");
	end = text + strlen(text);
	while (end > text && strchr(" \t\n", end[-1]))
		*--end = '\0';
	return text;
}

/* The two digits of the density in dsreg=DDSSSSSS. */
static void hide_density(char *text)
{
	char *at = strstr(text, "dsreg=");

	if (at && strlen(at) > 8)
		memset(at + 6, '-', 2);
}

static void close_all(void)
{
	for (int i = 0; i < SLOTS; i++) {
		if (tt.slots[i] >= 0)
			close(tt.slots[i]);
		tt.slots[i] = -1;
	}
}

static void end_vector(void)
{
	if (*tt.name) {
		printf("%s %s\n", tt.failed ? "not ok" : "ok", tt.name);
		fflush(stdout);
	}
	tt.total_failed += tt.failed;
	tt.failed = 0;
	*tt.name = '\0';
}

static void begin_vector(const char *line)
{
	end_vector();
	if (*line == '=')
		close_all();
	snprintf(tt.name, sizeof(tt.name), "%s", line + 3);
	if (tt.verbose)
		fprintf(stderr, "# %s\n", tt.name);
}

static void split(struct call *c, char *text)
{
	char *save;

	for (char *w = strtok_r(text, " \t", &save); w && c->n < WORDS;
	     w = strtok_r(NULL, " \t", &save))
		c->words[c->n++] = w;
}

static void run_call(struct call *c, const char *command)
{
	const struct verb *verb;
	char words[512];
	bool timed;

	snprintf(words, sizeof(words), "%s", command);
	split(c, words);
	verb = find_verb(c->words[0]);
	if (!verb) {
		fputs("no such verb", c->out);
		return;
	}
	c->slot = &tt.slots[number(c, 1, 0) % SLOTS];
	c->fd = *c->slot;
	c->text = command + strlen(c->words[0]);
	timed = verb->run != verb_took && verb->run != verb_ctl;
	if (timed)
		clock_gettime(CLOCK_MONOTONIC, &tt.before);
	errno = 0;
	verb->run(c);
	if (timed)
		clock_gettime(CLOCK_MONOTONIC, &tt.after);
}

static void run_line(const char *file, int at, char *line)
{
	char *expected = strstr(line, "->"), *got = NULL, *command;
	struct call c = { .n = 0 };
	size_t size;

	if (expected) {
		*expected = '\0';
		expected = strip(expected + 2);
		hide_density(expected);
	}
	command = strip(line);
	c.out = open_memstream(&got, &size);
	if (!c.out)
		abort();
	run_call(&c, command);
	fclose(c.out);
	hide_density(got);
	if (tt.verbose)
		fprintf(stderr, "	%s -> %s\n", command, got);
	if (strcmp(got, expected ? expected : "")) {
		fprintf(stderr, "%s:%d: %s\n	expected %s\n	got      %s\n", file, at,
			command, expected ? expected : "(nothing)", got);
		tt.failed++;
	}
	free(got);
}

static void run_text(const char *file, FILE *in)
{
	char *line = NULL, *text;
	size_t size = 0;
	int at = 0;

	while (getline(&line, &size, in) > 0) {
		at++;
		text = strip(line);
		if (strncmp(text, "== ", 3) == 0 || strncmp(text, "-- ", 3) == 0)
			begin_vector(text);
		else if (*text && *text != '#')
			run_line(file, at, text);
	}
	end_vector();
	close_all();
	free(line);
}

static void run_file(const char *file)
{
	FILE *in = fopen(file, "re");

	if (!in) {
		fprintf(stderr, "tt: %s: %m\n", file);
		tt.total_failed++;
		return;
	}
	run_text(file, in);
	fclose(in);
}

static void run_words(char *text)
{
	char *save;
	int at = 0;

	for (char *line = strtok_r(text, ";\n", &save); line;
	     line = strtok_r(NULL, ";\n", &save)) {
		line = strip(line);
		at++;
		if (*line && *line != '#')
			run_line("-e", at, line);
	}
	end_vector();
}

static void nothing(int signal)
{
	(void)signal;
}

static int usage(void)
{
	fputs("usage: tt [-u UNIT] [-c COMMAND] [-v] FILE... | -e 'LINE; ...'\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = nothing };
	char *words = NULL;
	int opt;

	while ((opt = getopt(argc, argv, "u:c:ve:")) > 0) {
		if (opt == 'u')
			tt.unit = optarg;
		else if (opt == 'c')
			tt.command = optarg;
		else if (opt == 'v')
			tt.verbose = true;
		else if (opt == 'e')
			words = optarg;
		else
			return usage();
	}
	if (!words && optind == argc)
		return usage();
	sigaction(SIGALRM, &action, NULL);
	memset(tt.slots, 0xff, sizeof(tt.slots));
	if (posix_memalign((void **)&tt.buffer, 4096, BUFFER))
		return 2;
	if (words)
		run_words(words);
	for (int i = optind; i < argc; i++)
		run_file(argv[i]);
	return tt.total_failed ? 1 : 0;
}
