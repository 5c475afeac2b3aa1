// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hostile: a server that breaks the protocol
 *
 *	hostile UNIT WHAT
 *
 * It attaches, waits for a command, answers it in the way that WHAT says, and
 * waits until the unit takes the slave end away.  "maps" and "attach" try what
 * must be refused, and answer nothing.  Status 0: the kernel did as the protocol
 * says.  Written from linux/pmt.h alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pmt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE(array) (sizeof(array) / sizeof((array)[0]))

static struct {
	int fd;
	struct pmt_info info;
	struct pmt_attach attach;
	size_t commands_size, results_size;
	const char *commands;
	char *results;
	uint32_t number;		/* of the command */
} h;

static void die(const char *what) __attribute__((noreturn));

static void die(const char *what)
{
	fprintf(stderr, "hostile: %s: %s\n", what, strerror(errno));
	exit(1);
}

static size_t area(size_t slot)
{
	size_t bytes = PMT_PAGE_AREA + h.info.slots * slot;

	return (bytes + 4095) / 4096 * 4096;
}

static void open_unit(const char *unit)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/pmts%s", unit);
	h.fd = open(path, O_RDWR | O_CLOEXEC);
	if (h.fd < 0 || ioctl(h.fd, PMT_IOC_INFO, &h.info) < 0)
		die(path);
	h.commands_size = area(sizeof(struct pmt_command));
	h.results_size = area(sizeof(struct pmt_result));
	h.attach = (struct pmt_attach){
		.version = PMT_PROTOCOL_VERSION,
		.limits = { .record_min = 1, .record_max = 65536, .byte_cost = 256,
			    .window = PMT_UNKNOWN },
	};
}

static void become_server(void)
{
	h.commands = mmap(NULL, h.commands_size, PROT_READ, MAP_SHARED, h.fd,
			  (off_t)PMT_MAP_COMMANDS);
	h.results = mmap(NULL, h.results_size, PROT_READ | PROT_WRITE, MAP_SHARED, h.fd,
			 (off_t)PMT_MAP_RESULTS);
	if (h.commands == MAP_FAILED || h.results == MAP_FAILED)
		die("mmap");
	if (ioctl(h.fd, PMT_IOC_ATTACH, &h.attach) < 0)
		die("attach");
	h.number = h.attach.kept.first;
}

static struct pmt_server_page *page(void)
{
	return (struct pmt_server_page *)h.results;
}

/* Returns the command of that number, when it is there. */
static const struct pmt_command *wait_command(void)
{
	const struct pmt_kernel_page *kernel = (const struct pmt_kernel_page *)h.commands;
	struct pollfd poll_fd = { .fd = h.fd, .events = POLLIN };

	while (__atomic_load_n(&kernel->tail, __ATOMIC_ACQUIRE) == h.number) {
		__atomic_store_n(&page()->parked, 1, __ATOMIC_SEQ_CST);
		if (poll(&poll_fd, 1, 30000) <= 0)
			die("no command");
	}
	return (const struct pmt_command *)(h.commands + PMT_PAGE_AREA) +
	       h.number % h.info.slots;
}

static void answer(const struct pmt_result *result, uint32_t done)
{
	((struct pmt_result *)(h.results + PMT_PAGE_AREA))[h.number % h.info.slots] = *result;
	__atomic_store_n(&page()->done, done, __ATOMIC_SEQ_CST);
	ioctl(h.fd, PMT_IOC_KICK);
}

/* ---- answers that are wrong ---- */

static void bad_number(struct pmt_result *r, uint32_t *done)
{
	(void)done;
	r->number += 7;
}

static void bad_status(struct pmt_result *r, uint32_t *done)
{
	(void)done;
	r->status = 99;
}

static void bad_sense(struct pmt_result *r, uint32_t *done)
{
	(void)done;
	r->sense = 0x80;
}

static void bad_residue(struct pmt_result *r, uint32_t *done)
{
	(void)done;
	r->residue = INT64_MIN;
}

static void bad_generation(struct pmt_result *r, uint32_t *done)
{
	(void)done;
	r->place.generation = 0;
}

static void bad_partition(struct pmt_result *r, uint32_t *done)
{
	(void)done;
	r->place.partition = PMT_PARTITION_MAX + 1;
}

static void bad_reserved(struct pmt_result *r, uint32_t *done)
{
	(void)done;
	r->place.reserved = 1;
}

static void bad_medium(struct pmt_result *r, uint32_t *done)
{
	(void)done;
	r->medium_flags = 0x08;
}

static void bad_cancelled(struct pmt_result *r, uint32_t *done)
{
	(void)done;
	r->status = PMT_STATUS_CANCELLED;
}

static void done_too_far(struct pmt_result *r, uint32_t *done)
{
	(void)r;
	*done += 1000;
}

static void done_back(struct pmt_result *r, uint32_t *done)
{
	(void)r;
	*done -= 2;
}

static const struct lie {
	const char *name;
	void (*tell)(struct pmt_result *, uint32_t *);
} lies[] = {
	{ "number", bad_number },
	{ "status", bad_status },
	{ "sense", bad_sense },
	{ "residue", bad_residue },
	{ "generation", bad_generation },
	{ "partition", bad_partition },
	{ "reserved", bad_reserved },
	{ "medium", bad_medium },
	{ "cancelled", bad_cancelled },
	{ "done-too-far", done_too_far },
	{ "done-back", done_back },
};

static void answer_truly(const struct pmt_command *cmd, struct pmt_result *result)
{
	*result = (struct pmt_result){
		.number = h.number,
		.medium_flags = PMT_MEDIUM_PRESENT,
		.place = cmd->place,
		.room = PMT_UNKNOWN,
		.eod = PMT_UNKNOWN,
	};
	if (result->place.generation == 0)
		result->place.generation = 1;
	result->place.lbn = result->place.file = result->place.block = 0;
}

static void wait_end(void)
{
	struct pollfd poll_fd = { .fd = h.fd };

	if (poll(&poll_fd, 1, 30000) <= 0 || !(poll_fd.revents & POLLHUP))
		die("the slave end was not taken away");
	errno = 0;
	if (ioctl(h.fd, PMT_IOC_INFO, &h.info) >= 0 || errno != ENODEV)
		die("PMT_IOC_INFO behind the end");
}

static void tell(const struct lie *lie)
{
	const struct pmt_command *cmd;
	struct pmt_result result;
	uint32_t done;

	become_server();
	cmd = wait_command();
	answer_truly(cmd, &result);
	done = h.number + 1;
	lie->tell(&result, &done);
	answer(&result, done);
	wait_end();
}

/* The pages were taken away: that is how it is to end. */
static void taken_away(int signal)
{
	(void)signal;
	_exit(0);
}

/* Bytes at random all over what it may write, until the unit has had enough. */
static void scribble(void)
{
	struct pollfd poll_fd = { .fd = h.fd };

	signal(SIGBUS, taken_away);
	become_server();
	wait_command();
	for (int i = 0; i < 1000000 && poll(&poll_fd, 1, 0) == 0; i++) {
		h.results[(size_t)random() % h.results_size] = (char)random();
		if (i % 64 == 0)
			ioctl(h.fd, PMT_IOC_KICK);
	}
	if (!(poll_fd.revents & POLLHUP))
		die("it is believed");
}

static void put(const struct pmt_result *result)
{
	((struct pmt_result *)(h.results + PMT_PAGE_AREA))[result->number % h.info.slots] =
		*result;
}

/*
 * True, until the TEST behind a LOAD, whose caller is killed; that is answered as an
 * exception, late, and with it the READ behind it, as if nothing had been.
 */
static void late(void)
{
	struct pmt_result test, read;
	uint32_t last = 0;

	become_server();
	for (;;) {
		const struct pmt_command *cmd = wait_command();

		answer_truly(cmd, &test);
		if (last == PMT_OP_LOAD && cmd->op == PMT_OP_TEST)
			break;
		last = cmd->op;
		answer(&test, h.number + 1);
		h.number++;
	}
	test.status = PMT_STATUS_CHECK;
	test.key = PMT_KEY_HARDWARE;
	h.number++;
	answer_truly(wait_command(), &read);
	put(&test);
	answer(&read, h.number + 1);
	for (h.number++;; h.number++) {
		answer_truly(wait_command(), &read);
		answer(&read, h.number + 1);
	}
}

static void *kick(void *unused)
{
	(void)unused;
	while (ioctl(h.fd, PMT_IOC_KICK) == 0)
		;
	return NULL;
}

static const struct pmt_command *newest(uint32_t *tail)
{
	const struct pmt_kernel_page *kernel = (const struct pmt_kernel_page *)h.commands;

	*tail = __atomic_load_n(&kernel->tail, __ATOMIC_ACQUIRE);
	return (const struct pmt_command *)(h.commands + PMT_PAGE_AREA) +
	       (*tail - 1) % h.info.slots;
}

/* The first record fails; what is behind it is answered all at once. */
static void fail_burst(struct pmt_result *result)
{
	const struct pmt_kernel_page *kernel = (const struct pmt_kernel_page *)h.commands;
	uint32_t tail;

	while (newest(&tail)->op != PMT_OP_WRITE_FILEMARKS)
		;
	result->status = PMT_STATUS_CHECK;
	result->key = PMT_KEY_MEDIUM;
	result->residue = 1000;
	answer(result, h.number + 1);
	while ((int32_t)(__atomic_load_n(&kernel->cancel, __ATOMIC_ACQUIRE) - tail) < 0)
		;
	for (uint32_t n = h.number + 1; n != tail; n++)
		put(&(struct pmt_result){ .number = n, .status = PMT_STATUS_CANCELLED });
	__atomic_store_n(&page()->done, tail, __ATOMIC_SEQ_CST);
	h.number = tail - 1;
}

/* Bursts of records and a mark fail, under one who looks for answers all the time. */
static void kicks(void)
{
	struct pmt_result result;
	pthread_t kicker;
	int bursts = 20;

	become_server();
	if (pthread_create(&kicker, NULL, kick, NULL))
		die("thread");
	for (;; h.number++) {
		const struct pmt_command *cmd = wait_command();

		answer_truly(cmd, &result);
		if (cmd->op == PMT_OP_WRITE && bursts-- > 0)
			fail_burst(&result);
		else
			answer(&result, h.number + 1);
	}
}

/* Who is told to hang up finds the last page gone, too, however soon it looks. */
static void hangup(void)
{
	struct pollfd poll_fd = { .fd = h.fd };
	volatile char *data;
	size_t size;

	become_server();
	size = 2 * (size_t)h.info.data_size;
	data = mmap(NULL, size, PROT_READ, MAP_SHARED, h.fd, (off_t)PMT_MAP_DATA);
	if (data == MAP_FAILED)
		die("data");
	for (size_t at = 0; at < size; at += 4096)
		(void)data[at];
	puts("attached");
	fflush(stdout);
	for (int i = 0; !(poll_fd.revents & POLLHUP); i++)
		if (poll(&poll_fd, 1, 0) < 0 || i == 100000000)
			die("the slave end was not taken away");
	signal(SIGBUS, taken_away);
	(void)data[size - 1];
	fputs("hostile: a page that was taken away is there\n", stderr);
	exit(1);
}

/* ---- what must be refused ---- */

static void refused_map(const char *what, size_t size, int prot, int flags, __u64 offset,
			int error)
{
	void *map;

	errno = 0;
	map = mmap(NULL, size, prot, flags, h.fd, (off_t)offset);
	if (map != MAP_FAILED || errno != error)
		die(what);
}

static void maps(void)
{
	const int both = PROT_READ | PROT_WRITE;
	void *map;

	refused_map("commands, writable", h.commands_size, both, MAP_SHARED,
		    PMT_MAP_COMMANDS, EPERM);
	refused_map("commands, private", h.commands_size, PROT_READ, MAP_PRIVATE,
		    PMT_MAP_COMMANDS, EINVAL);
	refused_map("results, half", 4096, both, MAP_SHARED, PMT_MAP_RESULTS, EINVAL);
	refused_map("data, once", h.info.data_size, both, MAP_SHARED, PMT_MAP_DATA, EINVAL);
	refused_map("a fourth area", 4096, PROT_READ, MAP_SHARED, (__u64)3 << 32, EINVAL);
	map = mmap(NULL, h.commands_size, PROT_READ, MAP_SHARED, h.fd, (off_t)PMT_MAP_COMMANDS);
	if (map == MAP_FAILED)
		die("commands");
	if (mprotect(map, h.commands_size, both) == 0)
		die("commands, made writable");
}

static void refused_attach(const char *what, int error)
{
	struct pmt_attach attach = h.attach;

	errno = 0;
	if (ioctl(h.fd, PMT_IOC_ATTACH, &attach) == 0 || errno != error)
		die(what);
}

static void attach(void)
{
	struct pmt_attach right = h.attach;

	h.attach.version = 99;
	refused_attach("another version", EPROTONOSUPPORT);
	h.attach = right;
	h.attach.flags = PMT_ATTACH_AGAIN << 1;
	refused_attach("an unknown flag", EINVAL);
	h.attach = right;
	h.attach.limits.record_max = PMT_RECORD_MAX + 1;
	refused_attach("records too large", EINVAL);
	h.attach.limits.record_max = 0;
	refused_attach("no records", EINVAL);
	h.attach = right;
	become_server();
	refused_attach("a second time", EBUSY);
	h.attach.flags = PMT_ATTACH_AGAIN;
	if (ioctl(h.fd, PMT_IOC_ATTACH, &h.attach) < 0)
		die("a second time, as meant");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} others[] = { { "maps", maps }, { "attach", attach }, { "scribble", scribble },
		       { "hangup", hangup }, { "late", late }, { "kicks", kicks } };

	if (argc != 3) {
		fputs("usage: hostile UNIT WHAT\n", stderr);
		return 2;
	}
	open_unit(argv[1]);
	for (size_t i = 0; i < SIZE(lies); i++)
		if (strcmp(lies[i].name, argv[2]) == 0) {
			tell(&lies[i]);
			return 0;
		}
	for (size_t i = 0; i < SIZE(others); i++)
		if (strcmp(others[i].name, argv[2]) == 0) {
			others[i].run();
			return 0;
		}
	fprintf(stderr, "hostile: %s?\n", argv[2]);
	return 2;
}
