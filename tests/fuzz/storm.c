// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * storm: what opens, holds and reads units while they come and go
 *
 *	storm ends FIRST COUNT
 *	storm sysfs
 *	storm self UNIT
 *	storm stack UNIT OTHER
 *
 * ends: for PMT_FUZZ_SECONDS, both ends of units FIRST and COUNT - 1 more are
 * opened, used a little and closed; some of the servers that it is break off,
 * some leave mappings behind.  sysfs: as long, all that the class shows is read;
 * some files are kept open and read again when their unit may be gone.
 *
 * self: a server that opens its own master end, and answers nothing.  stack: two
 * servers, each of which opens the other's.  Both wait for themselves until they
 * are killed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/pmt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mtio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t state;

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

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void nap(unsigned int ms)
{
	struct timespec t = { 0, ms % 1000 * 1000000l };

	nanosleep(&t, NULL);
}

static double storm_end(void)
{
	const char *seconds = getenv("PMT_FUZZ_SECONDS");
	const char *seed = getenv("PMT_SEED");

	state = ((seed ? strtoull(seed, NULL, 0) : 1) + 1) * 0x9e3779b97f4a7c15ull | 1;
	return now() + (seconds ? atof(seconds) : 20);
}

static int open_node(const char *name, unsigned int unit, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/%s%u", name, unit);
	return open(path, flags | O_CLOEXEC);
}

static int attach(int fd)
{
	struct pmt_attach attach = {
		.version = PMT_PROTOCOL_VERSION,
		.limits = { .record_min = 1, .record_max = 65536 },
	};

	return ioctl(fd, PMT_IOC_ATTACH, &attach);
}

/* ---- both ends ---- */

static unsigned int used[3];		/* slave ends, attached, master ends */

/* A server that answers nothing; it looks at its pages, perhaps. */
static void slave_end(unsigned int unit)
{
	struct pmt_info info;
	struct pollfd waits = { .events = POLLIN };
	volatile const char *page;

	waits.fd = open_node("pmts", unit, O_RDWR);
	if (waits.fd < 0)
		return;
	used[0]++;
	ioctl(waits.fd, PMT_IOC_INFO, &info);
	page = mmap(NULL, 2 * (size_t)info.data_size, PROT_READ, MAP_SHARED, waits.fd,
		    PMT_MAP_DATA);
	if (page != MAP_FAILED && below(2))
		(void)*page;
	if (below(2) && !attach(waits.fd))
		used[1]++;
	poll(&waits, 1, below(20));
	ioctl(waits.fd, PMT_IOC_KICK);
	if (page != MAP_FAILED && below(8))
		munmap((void *)page, 2 * (size_t)info.data_size);
	close(waits.fd);
}

/* A blocking open is ended by the timer. */
static void master_end(unsigned int unit)
{
	struct mtop op = { .mt_op = below(40), .mt_count = below(3) };
	char record[512] = "";
	struct mtget get;
	int fd = open_node(below(2) ? "npmtm" : "pmtm", unit,
			   below(2) ? O_RDWR | O_NONBLOCK : O_RDWR);

	if (fd < 0)
		return;
	used[2]++;
	ioctl(fd, MTIOCGET, &get);
	ioctl(fd, MTIOCTOP, &op);
	if (write(fd, record, sizeof(record)) < 0)
		nap(1);
	close(fd);
}

static void on_signal(int number)
{
	(void)number;
}

/* Some are killed by a page that was taken away, or by the clock. */
static void in_child(void (*what)(unsigned int unit), unsigned int unit)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		state ^= (uint64_t)getpid() << 32;
		what(unit);
		_exit(0);
	}
	nap(below(80));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int ends(unsigned int first, unsigned int count)
{
	struct sigaction action = { .sa_handler = on_signal };
	double until = storm_end();

	sigaction(SIGALRM, &action, NULL);
	signal(SIGBUS, SIG_DFL);
	while (now() < until) {
		unsigned int unit = first + below(count);

		alarm(1);
		if (below(4))
			(below(2) ? slave_end : master_end)(unit);
		else
			in_child(below(2) ? slave_end : master_end, unit);
	}
	printf("ends: %u slave ends, %u attached, %u master ends\n", used[0], used[1],
	       used[2]);
	return 0;
}

/* ---- sysfs ---- */

#define KEPT	32

static struct {
	int kept[KEPT];
	unsigned int files, late;
} shown;

static void read_file(int folder, const char *name)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int *place = &shown.kept[below(KEPT)];
	char text[4096];

	if (fd < 0)
		return;
	shown.files += read(fd, text, sizeof(text)) >= 0;
	if (below(4)) {
		close(fd);
		return;
	}
	if (*place > 0) {
		if (pread(*place, text, sizeof(text), 0) < 0)
			shown.late++;
		close(*place);
	}
	*place = fd;
}

static void read_folder(int above, const char *name, int depth)
{
	int fd = openat(above, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		if (entry->d_type == DT_REG)
			read_file(fd, entry->d_name);
		else if (depth && strcmp(entry->d_name, "subsystem"))
			read_folder(fd, entry->d_name, depth - 1);
	}
	closedir(dir);
}

static int sysfs(void)
{
	double until = storm_end();

	while (now() < until) {
		read_folder(AT_FDCWD, "/sys/class/pmt", 3);
		nap(1);
	}
	printf("sysfs: %u files read, %u behind their unit's end\n", shown.files,
	       shown.late);
	return 0;
}

/* ---- who waits for himself ---- */

static void serve_and_open(unsigned int unit, unsigned int other)
{
	int slave = open_node("pmts", unit, O_RDWR);

	if (slave < 0 || attach(slave) < 0) {
		perror("storm: attach");
		exit(1);
	}
	printf("attached\n");
	fflush(stdout);
	for (;;) {
		int master = open_node("npmtm", other, O_RDWR);

		if (master >= 0) {
			fprintf(stderr, "storm: it opens, with nobody who answers\n");
			exit(1);
		}
		nap(10);
	}
}

static int stack(unsigned int unit, unsigned int other)
{
	if (!fork()) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve_and_open(other, unit);
	}
	serve_and_open(unit, other);
	return 1;
}

static unsigned int argument(char **argv, int i)
{
	return strtoul(argv[i], NULL, 0);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (argc == 4 && !strcmp(what, "ends"))
		return ends(argument(argv, 2), argument(argv, 3));
	if (argc == 2 && !strcmp(what, "sysfs"))
		return sysfs();
	if (argc == 3 && !strcmp(what, "self"))
		serve_and_open(argument(argv, 2), argument(argv, 2));
	if (argc == 4 && !strcmp(what, "stack"))
		return stack(argument(argv, 2), argument(argv, 3));
	fprintf(stderr, "usage: storm ends FIRST COUNT | sysfs | self UNIT | stack UNIT OTHER\n");
	return 2;
}
