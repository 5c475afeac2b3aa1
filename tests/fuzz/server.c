// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * server: servers that do their worst, at random, beside a unit that must not notice
 *
 *	server NEIGHBOUR
 *
 * Life after life: a unit, a process that serves it honestly for a while and then
 * attacks in one way (attacks[], each in turn), several threads of it that do at
 * the same time what a server may do to its descriptor and mappings, and a
 * program on the unit's tape.  All the time another program writes and reads
 * known records on NEIGHBOUR, a unit with a tape in it and an honest server.
 *
 * What must hold, whatever happens:
 *
 *  - a lie breaks the unit, once; abort mends it, and it can be deleted;
 *  - the program on the tape can be killed at any time, and is gone then;
 *  - the neighbour reads what it wrote;
 *  - a server sees what its unit carried and nothing else: a new data area is
 *    all zeros, and later no byte in it has its highest bit set.  The program and
 *    the server write bytes without it; all bytes of the neighbour have it, and
 *    so has every pointer of the kernel's.
 *
 * Environment: PMT_SEED, PMT_FUZZ_SECONDS (20).  Prints what was reached.  Written
 * from linux/pmt.h, but for making units.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pmt.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <linux/mtio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pmt.h"

#define SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define PATIENCE 15000		/* ms; the machine may be an emulated one */
#define HIGH 0x8080808080808080ull
#define RECORDS 2048u		/* of the honest server's tape */
#define RECORD_MAX 65536u

enum { COMMANDS, RESULTS, DATA, AREAS };

/* What was reached, by any process. */
#define COUNTERS(X) \
	X(lives) X(honest) X(lies) X(detached) X(aborted) X(deleted) \
	X(app_opens) X(app_writes) X(app_reads) X(app_ioctls) X(app_eio) X(app_enxio) \
	X(app_eintr) X(slow_copies) X(endless_copies) X(stopped) X(kills) X(kills_waiting) \
	X(exits) X(holders) X(neighbour_laps) X(sigbus) X(sigsegv) X(signals) \
	X(remaps) X(splits_refused) X(forks) X(refusals) X(pins) X(pins_outlived) \
	X(scans) X(events_lost)

static struct shared {
#define X(name) uint64_t name;
	COUNTERS(X)
#undef X
	uint64_t bad;
	uint32_t attached, gone, told, stop;
	uint64_t holder;		/* 1 holds the slave end, 2 has lost it */
	uint32_t copying;		/* the program's buffer is not there yet */
} *sh;

#define count(what) __atomic_fetch_add(&sh->what, 1, __ATOMIC_RELAXED)
#define get(what) __atomic_load_n(&(what), __ATOMIC_SEQ_CST)
#define set(what, v) __atomic_store_n(&(what), v, __ATOMIC_SEQ_CST)

static __thread uint64_t random_state;
static uint64_t seed;

static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ull;
	return x ^ x >> 33;
}

static uint64_t any(void)
{
	return mix(++random_state);
}

static uint32_t below(uint32_t n)
{
	return (uint32_t)(any() % n);
}

static void bad(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void bad(const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "FAILED: %s\n", text);
	count(bad);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void nap(uint32_t microseconds)
{
	struct timespec t = { 0, (long)microseconds * 1000 };

	nanosleep(&t, NULL);
}

/* ---- the server: its hold on the unit ---- */

static struct {
	uint32_t unit;
	int fd;
	const struct attack *attack;
	struct pmt_info info;
	struct pmt_attach attach;
	size_t size[AREAS];
	char *home[AREAS], *away[AREAS];	/* where an area may be mapped */
	char *area[AREAS];			/* and where it is */
	bool unmapped;		/* not all areas are where they were */
	uint32_t stop;
	uint32_t next;			/* number */
	uint64_t generation;
	uint32_t frozen, exception;
	uint32_t records[RECORDS];	/* lengths; 0 a filemark */
	uint32_t end, at;
	bool loaded;
	uint8_t medium_flags;
} h;

static __thread sigjmp_buf landing;
static __thread volatile sig_atomic_t armed;

static const __u64 map_offset[AREAS] = {
	PMT_MAP_COMMANDS, PMT_MAP_RESULTS, PMT_MAP_DATA,
};

/* An access to what was unmapped, or taken away. */
static void fell(int signal)
{
	if (!armed)
		_exit(3);
	if (signal == SIGBUS)
		count(sigbus);
	else
		count(sigsegv);
	siglongjmp(landing, 1);
}

static void noticed(int signal)
{
	(void)signal;
	count(signals);
}

static struct pmt_kernel_page *kernel_page(void)
{
	return (struct pmt_kernel_page *)get(h.area[COMMANDS]);
}

static struct pmt_server_page *server_page(void)
{
	return (struct pmt_server_page *)get(h.area[RESULTS]);
}

static struct pmt_command *command(uint32_t number)
{
	return (struct pmt_command *)(get(h.area[COMMANDS]) + PMT_PAGE_AREA) +
	       number % h.info.slots;
}

static struct pmt_result *result(uint32_t number)
{
	return (struct pmt_result *)(get(h.area[RESULTS]) + PMT_PAGE_AREA) +
	       number % h.info.slots;
}

static bool gone(void)
{
	struct pmt_info info;

	return ioctl(h.fd, PMT_IOC_INFO, &info) < 0 && (errno == ENODEV || errno == EBADF);
}

static int protection(int area)
{
	return area == COMMANDS ? PROT_READ : PROT_READ | PROT_WRITE;
}

static char *map_at(char *where, int area)
{
	return mmap(where, h.size[area], protection(area), MAP_SHARED | MAP_FIXED, h.fd,
		    (off_t)map_offset[area]);
}

static char *reserve(char *where, size_t size)
{
	return mmap(where, size, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | (where ? MAP_FIXED : 0), -1, 0);
}

/* What nobody has written is zero, in every area. */
static void look_at_new(void)
{
	const uint64_t *word = (const uint64_t *)h.area[DATA];
	size_t header = sizeof(struct pmt_kernel_page) / 8;

	for (size_t i = 0; i < h.size[DATA] / 8; i++)
		if (word[i]) {
			bad("new data area: %llx at %zu", (unsigned long long)word[i], i * 8);
			return;
		}
	word = (const uint64_t *)h.area[COMMANDS];
	for (size_t i = header; i < h.size[COMMANDS] / 8; i++)
		if (word[i])
			bad("new commands: %llx at %zu", (unsigned long long)word[i], i * 8);
	word = (const uint64_t *)h.area[RESULTS];
	for (size_t i = sizeof(struct pmt_server_page) / 8; i < h.size[RESULTS] / 8; i++)
		if (word[i])
			bad("new results: %llx at %zu", (unsigned long long)word[i], i * 8);
}

static void hold(bool fresh)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/pmts%u", h.unit);
	h.fd = open(path, O_RDWR);
	if (h.fd < 0 || ioctl(h.fd, PMT_IOC_INFO, &h.info) < 0) {
		bad("%s: %s", path, strerror(errno));
		_exit(1);
	}
	h.size[COMMANDS] = (PMT_PAGE_AREA + h.info.slots * sizeof(struct pmt_command) +
			    4095) & ~4095ul;
	h.size[RESULTS] = (PMT_PAGE_AREA + h.info.slots * sizeof(struct pmt_result) +
			   4095) & ~4095ul;
	h.size[DATA] = 2 * (size_t)h.info.data_size;
	for (int i = 0; i < AREAS; i++) {
		h.home[i] = reserve(NULL, h.size[i]);
		h.away[i] = reserve(NULL, h.size[i]);
		h.area[i] = map_at(h.home[i], i);
		if (h.area[i] == MAP_FAILED) {
			bad("mmap: %s", strerror(errno));
			_exit(1);
		}
	}
	if (fresh)
		look_at_new();
}

static void become_server(void)
{
	h.attach = (struct pmt_attach){
		.version = PMT_PROTOCOL_VERSION,
		.limits = { .record_min = 1, .record_max = RECORD_MAX, .byte_cost = 256,
			    .window = PMT_UNKNOWN },
	};
	if (ioctl(h.fd, PMT_IOC_ATTACH, &h.attach) < 0) {
		bad("attach: %s", strerror(errno));
		_exit(1);
	}
	h.next = h.attach.kept.first;
	h.generation = h.attach.kept.place.generation;
	h.loaded = true;
	h.medium_flags = (uint8_t)(PMT_MEDIUM_PRESENT | below(16) << PMT_MEDIUM_MORE_SHIFT);
	set(sh->attached, 1);
}

/* ---- honest answers: a tape of lengths, without bytes ---- */

static void check(struct pmt_result *res, uint8_t key, uint8_t asc, uint8_t sense)
{
	res->status = PMT_STATUS_CHECK;
	res->key = key;
	res->asc = asc;
	res->sense = sense;
}

static void put(uint32_t length)
{
	if (h.at < RECORDS) {
		h.records[h.at++] = length;
		h.end = h.at;
	}
}

static void honest_write(const struct pmt_command *cmd)
{
	uint32_t size = cmd->block_size ? cmd->block_size : cmd->length;

	for (uint32_t done = 0; size && done < cmd->length; done += size)
		put(size);
}

static void honest_read(const struct pmt_command *cmd, struct pmt_result *res)
{
	uint32_t blocks = cmd->block_size ? cmd->length / cmd->block_size : 1, i;
	int64_t left;

	for (i = 0; i < blocks; i++) {
		left = cmd->block_size ? blocks - i : cmd->length;
		if (h.at >= h.end) {
			check(res, PMT_KEY_BLANK, 0, 0);
		} else if (!h.records[h.at]) {
			h.at++;
			check(res, PMT_KEY_NONE, 0, PMT_SENSE_FILEMARK);
		} else if (!cmd->block_size) {
			left = (int64_t)cmd->length - h.records[h.at++];
			if (left < 0)
				check(res, PMT_KEY_NONE, 0, PMT_SENSE_ILI);
		} else {
			h.at++;
			continue;
		}
		res->residue = left;
		return;
	}
}

static void honest_space(const struct pmt_command *cmd, struct pmt_result *res)
{
	int64_t wanted = (int64_t)h.at + cmd->count;

	if (cmd->argument == PMT_SPACE_EOD) {
		h.at = h.end;
	} else if (wanted < 0 || wanted > (int64_t)h.end) {
		h.at = wanted < 0 ? 0 : h.end;
		check(res, wanted < 0 ? PMT_KEY_NONE : PMT_KEY_BLANK, 0,
		      wanted < 0 ? PMT_SENSE_EOM : 0);
		res->residue = cmd->count < 0 ? -cmd->count : cmd->count;
	} else {
		h.at = (uint32_t)wanted;
	}
}

static void honest_medium(const struct pmt_command *cmd, struct pmt_result *res)
{
	if (cmd->op == PMT_OP_LOAD || cmd->op == PMT_OP_UNLOAD || cmd->op == PMT_OP_FORMAT) {
		h.generation++;
		h.at = 0;
		h.loaded = cmd->op != PMT_OP_UNLOAD;
	}
	if (cmd->op == PMT_OP_FORMAT)
		h.end = 0;
	if (!h.loaded && cmd->op != PMT_OP_UNLOAD)
		check(res, PMT_KEY_NOT_READY, 0x3a, 0);
	res->medium_flags = h.loaded ? h.medium_flags : 0;
	for (int i = 0; i < PMT_MEDIUM_WORDS; i++)
		res->medium[i] = h.loaded;
}

static void execute(const struct pmt_command *cmd, struct pmt_result *res)
{
	if (cmd->op != PMT_OP_TEST && cmd->op != PMT_OP_MODE && cmd->place.lbn <= h.end)
		h.at = (uint32_t)cmd->place.lbn;
	switch (cmd->op) {
	case PMT_OP_WRITE:
		honest_write(cmd);
		break;
	case PMT_OP_READ:
		honest_read(cmd, res);
		break;
	case PMT_OP_WRITE_FILEMARKS:
		for (int64_t i = 0; i < cmd->count && h.at < RECORDS; i++)
			put(0);
		break;
	case PMT_OP_SPACE:
		honest_space(cmd, res);
		break;
	case PMT_OP_LOCATE:
		h.at = (uint64_t)cmd->count < h.end ? (uint32_t)cmd->count : h.end;
		break;
	case PMT_OP_REWIND:
		h.at = 0;
		break;
	case PMT_OP_ERASE:
		h.end = h.at;
		break;
	default:
		honest_medium(cmd, res);
	}
}

static void place_after(struct pmt_place *place)
{
	uint64_t file = 0, block = 0;

	for (uint32_t i = 0; i < h.at && i < RECORDS; i++) {
		block = h.records[i] ? block + 1 : 0;
		file += !h.records[i];
	}
	*place = (struct pmt_place){ .generation = h.generation, .lbn = h.at,
				     .file = file, .block = block };
}

static bool before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static void answer_truly(const struct pmt_command *cmd, struct pmt_result *res)
{
	*res = (struct pmt_result){ .number = cmd->number, .room = PMT_UNKNOWN,
				    .eod = PMT_UNKNOWN, .cookie = (uint32_t)any() };
	if (before(cmd->number, kernel_page()->cancel)) {
		res->status = PMT_STATUS_CANCELLED;
		return;
	}
	if (cmd->place.generation < h.generation)
		check(res, PMT_KEY_ATTENTION, 0x28, 0);
	else
		execute(cmd, res);
	place_after(&res->place);
}

/* What a kernel must not write into the slot of a command. */
static void look_at_command(const struct pmt_command *cmd)
{
	for (size_t i = 0; i < sizeof(cmd->reserved); i++)
		if (cmd->reserved[i])
			bad("command %u: byte %zu of what is reserved", cmd->number, i);
	if (cmd->op == 0 || cmd->op > PMT_OP_MAX || cmd->place.reserved ||
	    cmd->offset >= h.info.data_size || cmd->length > h.info.data_size)
		bad("command %u is none", cmd->number);
}

static void publish(uint32_t done)
{
	__atomic_store_n(&server_page()->done, done, __ATOMIC_SEQ_CST);
	ioctl(h.fd, PMT_IOC_KICK);
}

/* Lie on until the slave end is taken away: it is broken already. */
static void lie_again(void)
{
	for (int i = 0; i < 1000; i++) {
		set(server_page()->done, (uint32_t)any());
		if (ioctl(h.fd, PMT_IOC_KICK) < 0)
			return;
	}
}

/* The next command, if there is one that may be answered. */
static bool fetch(struct pmt_command *cmd)
{
	struct pollfd poll_fd = { .fd = h.fd, .events = POLLIN };
	uint32_t tail = get(kernel_page()->tail), cancel = get(kernel_page()->cancel);

	if (h.next == tail || (h.frozen && before(cancel, h.exception + 1))) {
		set(server_page()->seen, tail);
		set(server_page()->cancel_seen, cancel);
		set(server_page()->parked, 1);
		poll(&poll_fd, 1, 20);
		return false;
	}
	*cmd = *command(h.next);
	if (cmd->number != h.next)
		bad("command %u in the slot of %u", cmd->number, h.next);
	look_at_command(cmd);
	return true;
}

/* ---- the attacks ---- */

static void lie_number(struct pmt_result *res, uint32_t *done) { (void)done; res->number += 7; }
static void lie_status(struct pmt_result *res, uint32_t *done) { (void)done; res->status = 99; }
static void lie_key(struct pmt_result *res, uint32_t *done) { (void)done; res->key = 0x1f; }
static void lie_sense(struct pmt_result *res, uint32_t *done) { (void)done; res->sense = 0x80; }
static void lie_medium(struct pmt_result *res, uint32_t *done) { (void)done; res->medium_flags = 8; }
static void lie_back(struct pmt_result *res, uint32_t *done) { (void)res; *done -= 2; }

static void lie_residue(struct pmt_result *res, uint32_t *done)
{
	(void)done;
	res->residue = below(2) ? INT64_MIN : INT64_MAX - (int64_t)below(9);
}

static void lie_generation(struct pmt_result *res, uint32_t *done)
{
	(void)done;
	res->place.generation = below(2) ? 0 : res->place.generation + 0x20000;
}

static void lie_partition(struct pmt_result *res, uint32_t *done)
{
	(void)done;
	res->place.partition = PMT_PARTITION_MAX + 1 + below(1u << 31);
}

/* Answers to commands that were never sent, each as it should be. */
static void lie_unsent(struct pmt_result *res, uint32_t *done)
{
	struct pmt_result more = *res;

	for (uint32_t i = 1; i < h.info.slots; i++) {
		more.number = res->number + i;
		*result(more.number) = more;
	}
	*done = kernel_page()->tail + h.info.slots + 1 + below(1u << 30);
}

static void storm_results(void)
{
	char *page = get(h.area[RESULTS]);
	size_t at = PMT_PAGE_AREA + any() % (h.size[RESULTS] - PMT_PAGE_AREA);

	if (below(2))
		at = (size_t)((char *)result(get(h.next) + below(2)) - page) + below(128);
	for (uint32_t n = below(64); n; n--)
		page[at++ % h.size[RESULTS]] = (char)any();
	nap(20);
}

static void storm_indices(void)
{
	uint32_t *word = (uint32_t *)server_page();

	switch (below(6)) {
	case 0: set(word[0], get(kernel_page()->tail) - below(4)); break;
	case 1: set(word[0], (uint32_t)any()); break;
	default: set(word[below(sizeof(struct pmt_server_page) / 4)], (uint32_t)any());
	}
	nap(below(200));
}

/* Right, wrong, right again: what is checked must be what is used. */
static void storm_flips(void)
{
	struct pmt_result *res = result(get(h.next) + below(2)), right = *res;

	for (int i = 0; i < 2000; i++) {
		set(res->residue, i % 2 ? right.residue : (int64_t)any());
		set(res->place.partition, i % 2 ? right.place.partition : (uint32_t)any());
		set(res->place.generation, i % 2 ? right.place.generation : any());
		set(res->status, (uint16_t)(i % 2 ? right.status : below(4)));
	}
}

enum end { END_STAY, END_EXIT, END_KILL, END_CLOSE, END_HOLDER, END_SILENT };
enum outside { OUT_NONE, OUT_DETACH, OUT_ABORT, OUT_DELETE };

static const struct attack {
	const char *name;
	void (*lie)(struct pmt_result *, uint32_t *done);
	void (*storm)(void);
	enum end end;
	enum outside outside;
} attacks[] = {
	{ "number", lie_number, NULL, 0, 0 },
	{ "exit", NULL, NULL, END_EXIT, 0 },
	{ "status", lie_status, NULL, 0, 0 },
	{ "silent", NULL, NULL, END_SILENT, 0 },
	{ "storm-results", NULL, storm_results, 0, 0 },
	{ "key", lie_key, NULL, 0, 0 },
	{ "holder", NULL, NULL, END_HOLDER, 0 },
	{ "storm-indices", NULL, storm_indices, 0, 0 },
	{ "detach", NULL, NULL, 0, OUT_DETACH },
	{ "sense", lie_sense, NULL, 0, 0 },
	{ "storm-flips", NULL, storm_flips, 0, 0 },
	{ "close", NULL, NULL, END_CLOSE, 0 },
	{ "medium", lie_medium, NULL, 0, 0 },
	{ "residue", lie_residue, NULL, 0, 0 },
	{ "abort", NULL, NULL, 0, OUT_ABORT },
	{ "generation", lie_generation, NULL, 0, 0 },
	{ "partition", lie_partition, NULL, 0, 0 },
	{ "killed", NULL, NULL, END_KILL, 0 },
	{ "done-back", lie_back, NULL, 0, 0 },
	{ "unsent", lie_unsent, NULL, 0, 0 },
	{ "delete", NULL, NULL, 0, OUT_DELETE },
	{ "storm-abort", NULL, storm_results, 0, OUT_ABORT },
	{ "storm-detach", NULL, storm_indices, 0, OUT_DETACH },
};

static struct { uint32_t tried, broken; } reached[SIZE(attacks)];

/* ---- what goes on beside, and breaks nothing ---- */

static void side_scan(void)
{
	const uint64_t *word = (const uint64_t *)get(h.area[DATA]);

	for (size_t i = 0; i < h.info.data_size / 8; i++)
		if (get(word[i]) & HIGH) {
			bad("unit %u sees %llx at %zu", h.unit, (unsigned long long)word[i],
			    i * 8);
			set(h.stop, 1);
			return;
		}
	count(scans);
	nap(20000);
}

static void side_data(void)
{
	char *data = get(h.area[DATA]);

	for (int i = 0; i < 256; i++)
		data[any() % h.size[DATA]] = (char)(any() & 0x7f);
	nap(below(500));
}

static void side_limits(bool valid)
{
	struct pmt_limits limits = { .record_min = 1 };

	if (valid) {
		limits.record_max = 1 + below(PMT_RECORD_MAX);
		limits.byte_cost = below(1 << 16);
		limits.record_cost = below(PMT_RECORD_MAX);
		limits.mark_cost = below(PMT_RECORD_MAX);
		limits.window = below(3) ? PMT_UNKNOWN : any() >> below(64);
	} else {
		for (size_t i = 0; i < sizeof(limits) / 8; i++)
			((uint64_t *)&limits)[i] = any();
		limits.reserved |= 1;
	}
	if (ioctl(h.fd, PMT_IOC_LIMITS, &limits) == 0 && !valid)
		bad("limits that are none");
}

static void refuse(int got, const char *what)
{
	if (got >= 0 && !get(h.unmapped))
		bad("not refused: %s", what);
	count(refusals);
}

static void side_ioctl(void)
{
	struct pmt_attach attach = h.attach;
	struct pmt_info info;
	uint32_t event;

	switch (below(9)) {
	case 0:
		if (ioctl(h.fd, PMT_IOC_INFO, &info) == 0 && info.kept.reserved)
			bad("info: what is reserved");
		break;
	case 1: refuse(ioctl(h.fd, PMT_IOC_INFO, 16), "info to nowhere"); break;
	case 2: refuse(ioctl(h.fd, PMT_IOC_ATTACH, &attach), "attach again"); break;
	case 3:
		((uint64_t *)&attach)[below(sizeof(attach) / 8)] = any();
		refuse(ioctl(h.fd, PMT_IOC_ATTACH, &attach), "attach at random");
		break;
	case 4: side_limits(true); break;
	case 5: side_limits(false); break;
	case 6:
		event = below(64) ? 0x80000000u | (uint32_t)any() :
				    PMT_EVENT_COPY_FAILED + below(2);
		ioctl(h.fd, PMT_IOC_EVENT, &event);
		break;
	case 7: refuse(ioctl(h.fd, _IO(0xBD, 5 + below(250)), any()), "an unknown ioctl"); break;
	default: ioctl(h.fd, PMT_IOC_KICK);
	}
	nap(below(1000));
}

static void side_move(int area)
{
	char *from = h.area[area];
	char *to = from == h.home[area] ? h.away[area] : h.home[area];
	char *got = MAP_FAILED;

	switch (below(3)) {
	case 0:
		got = mremap(from, h.size[area], h.size[area], MREMAP_MAYMOVE | MREMAP_FIXED, to);
		break;
	case 1:
		reserve(from, h.size[area]);
		nap(below(300));
		/* fall through */
	default:
		got = map_at(to, area);
	}
	if (got == MAP_FAILED) {
		set(h.unmapped, true);	/* detached: whoever touches it falls, and looks */
		return;
	}
	set(h.area[area], to);
	reserve(from, h.size[area]);
	count(remaps);
}

static void side_refused_maps(void)
{
	int area = (int)below(AREAS), mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	char *at = h.area[area];
	void *got;

	refuse(mprotect(h.area[COMMANDS], h.size[COMMANDS], PROT_READ | PROT_WRITE),
	       "commands made writable");
	refuse(mprotect(at, 4096, PROT_NONE), "a part protected");
	refuse(munmap(at + 4096, 4096), "a part unmapped");
	count(splits_refused);
	got = mremap(at, h.size[area], 2 * h.size[area], MREMAP_MAYMOVE);
	refuse(got == MAP_FAILED ? -1 : 0, "a larger mapping");
	got = mremap(at, 0, h.size[area], MREMAP_MAYMOVE);
	refuse(got == MAP_FAILED ? -1 : 0, "a second mapping by mremap");
	got = mmap(NULL, h.size[area], PROT_READ, MAP_PRIVATE, h.fd, (off_t)map_offset[area]);
	refuse(got == MAP_FAILED ? -1 : 0, "a private mapping");
	got = mmap(NULL, 4096, PROT_READ, MAP_SHARED, h.fd, (off_t)(any() & ~4095ull) >> 1);
	refuse(got == MAP_FAILED ? -1 : 0, "a mapping at random");
	refuse((int)pwrite(mem, "x", 1, (off_t)(uintptr_t)h.area[COMMANDS]), "a write by /proc");
	close(mem);
}

/* A child with the descriptor, and perhaps with the mappings. */
static void side_fork(void)
{
	static const int advice[] = { MADV_DOFORK, MADV_DONTFORK };

	for (int i = 0; i < AREAS; i++)
		madvise(h.area[i], h.size[i], advice[below(2)]);
	count(forks);
	if (fork() != 0)
		return;
	armed = 0;		/* a fall is its end */
	for (int i = 0; i < 20; i++) {
		h.area[DATA][any() % h.size[DATA]] = 1;
		ioctl(h.fd, PMT_IOC_KICK);
		nap(below(3000));
	}
	_exit(0);
}

static void side_maps(void)
{
	static const int advice[] = { MADV_DONTNEED, MADV_COLD, MADV_PAGEOUT, MADV_FREE,
				      MADV_HUGEPAGE, MADV_REMOVE, MADV_WILLNEED };
	int area = (int)below(AREAS);

	if (get(h.unmapped))
		return nap(20000);
	switch (below(6)) {
	case 0: side_refused_maps(); break;
	case 1: side_fork(); break;
	case 2: madvise(h.area[area], h.size[area], advice[below(SIZE(advice))]); break;
	case 3:
		mprotect(h.area[area], h.size[area], PROT_NONE);
		nap(below(300));
		mprotect(h.area[area], h.size[area], protection(area));
		break;
	case 4:
		mlock(h.area[area], h.size[area]);
		munlock(h.area[area], h.size[area]);
		break;
	default: side_move(area);
	}
	nap(below(3000));
}

/* Pages that a pipe holds, also when the mapping is gone. */
static void side_pins(void)
{
	char page[4096];
	int ends[2];
	struct iovec part = {
		.iov_base = get(h.area[DATA]) + (any() % h.size[DATA] & ~4095ull),
		.iov_len = sizeof(page),
	};
	ssize_t got = 0;

	if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0)
		return;
	if (vmsplice(ends[1], &part, 1, 0) > 0) {
		count(pins);
		nap(below(200000));
		got = read(ends[0], page, sizeof(page));
		if (got > 0 && gone())
			count(pins_outlived);
	}
	for (ssize_t i = 0; i < got; i++)
		if (page[i] & 0x80) {
			bad("a page in a pipe has %02x", (uint8_t)page[i]);
			break;
		}
	close(ends[0]);
	close(ends[1]);
}

static void side_signals(void)
{
	kill(getpid(), SIGUSR1);
	nap(below(5000));
}

static void side_opens(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/pmts%u", h.unit);
	refuse(open(path, O_RDWR | O_CLOEXEC) , "a second open");
	nap(5000);
}

/* As a server may tell it, and half told. */
static void side_early_warning(void)
{
	struct pmt_early_warning *ew = &server_page()->ew;

	set(ew->seq, (uint32_t)any());
	set(ew->generation, h.generation);
	set(ew->lbn, below(2) ? below(100) : any());
	nap(below(5000));
}

static void (*const sides[])(void) = {
	side_scan, side_maps, side_ioctl, side_data, side_pins, side_signals,
	side_early_warning,
};

struct thread {
	pthread_t id;
	void (*step)(void);
	uint64_t seed;
};

static void *run_thread(void *arg)
{
	struct thread *t = arg;

	random_state = t->seed;
	if (sigsetjmp(landing, 1) && gone())
		return NULL;
	armed = 1;
	while (!get(h.stop))
		t->step();
	return NULL;
}

static void start_threads(void)
{
	static struct thread threads[SIZE(sides) + 2];
	size_t n = 0;

	for (size_t i = 0; i < SIZE(sides); i++)
		if (i < 1 || below(2))
			threads[n++].step = sides[i];
	if (h.attack->storm)
		threads[n++].step = h.attack->storm;
	for (size_t i = 0; i < n; i++) {
		threads[i].seed = any();
		pthread_create(&threads[i].id, NULL, run_thread, &threads[i]);
		pthread_detach(threads[i].id);
	}
}

/* ---- a server's life ---- */

/* Keeps the slave end when its parent has gone, until it is taken away. */
static void be_holder(void)
{
	struct pollfd poll_fd = { .fd = h.fd };
	volatile char *data;

	armed = 0;
	signal(SIGBUS, SIG_DFL);
	data = mmap(NULL, h.size[DATA], PROT_READ, MAP_SHARED, h.fd, (off_t)PMT_MAP_DATA);
	if (data == MAP_FAILED)
		_exit(1);
	(void)data[0];
	set(sh->holder, 1);
	poll(&poll_fd, 1, 2 * PATIENCE);
	if (!(poll_fd.revents & POLLHUP) || !gone())
		bad("a holder that was detached holds it still");
	signal(SIGBUS, fell);
	armed = 1;
	if (sigsetjmp(landing, 1) == 0) {
		(void)data[0];
		bad("a page that was taken away is there");
	}
	set(sh->holder, 2);
	_exit(0);
}

static void end_life(void)
{
	switch (h.attack->end) {
	case END_KILL:
		raise(SIGKILL);
		break;
	case END_HOLDER:
		if (fork() == 0)
			be_holder();
		break;
	case END_CLOSE:
		set(h.unmapped, true);
		for (int i = 0; i < AREAS; i++)
			reserve(h.area[i], h.size[i]);
		close(h.fd);
		nap(200000);
		break;
	case END_STAY:
	case END_SILENT:
		while (!gone())
			nap(20000);
		set(sh->gone, 1);
		for (;;)
			pause();
	case END_EXIT:
		break;
	}
	_exit(0);
}

/* Honest until the time has come. */
static void serve(uint64_t until)
{
	struct pmt_command cmd;
	struct pmt_result res;
	uint32_t done;

	if (sigsetjmp(landing, 1) && gone())
		return;
	armed = 1;
	while (!get(h.stop) && !gone()) {
		bool over = now() >= until;

		if (over && !h.attack->lie && !h.attack->storm)
			return;
		if (!fetch(&cmd))
			continue;
		answer_truly(&cmd, &res);
		done = h.next + 1;
		if (over && h.attack->lie && res.status != PMT_STATUS_CANCELLED) {
			h.attack->lie(&res, &done);
			*result(h.next) = res;
			publish(done);
			set(sh->told, 1);
			count(lies);
			lie_again();
			return;
		}
		*result(h.next) = res;
		if (over)
			nap(below(1000));	/* the storm's turn */
		set(server_page()->done, done);
		/* Nothing falls any more: it is answered. */
		if (res.status != PMT_STATUS_CANCELLED)
			h.frozen = res.status == PMT_STATUS_CHECK;
		h.exception = h.next++;
		ioctl(h.fd, PMT_IOC_KICK);
		count(honest);
	}
}

static void catch(int number, void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_NODEFER };

	sigaction(number, &action, NULL);
}

static void be_server(uint32_t unit, const struct attack *attack, bool fresh)
{
	h.unit = unit;
	h.attack = attack;
	setpgid(0, 0);
	setpriority(PRIO_PROCESS, 0, 5);
	signal(SIGCHLD, SIG_IGN);
	catch(SIGBUS, fell);
	catch(SIGSEGV, fell);
	catch(SIGUSR1, noticed);
	hold(fresh);
	side_opens();
	become_server();
	start_threads();
	serve(now() + 50 + below(500));
	end_life();
}

/* ---- the program on the unit's tape ---- */

static struct {
	int fd;
	char *buffer;
	int fault_fd;		/* of userfaultfd; -1 none */
	bool endless;
} app;

static void *fill_pages(void *arg)
{
	static char page[4096];
	struct uffd_msg message;
	struct uffdio_copy copy;

	(void)arg;
	memset(page, 'u', sizeof(page));
	while (read(app.fault_fd, &message, sizeof(message)) == sizeof(message)) {
		count(slow_copies);
		nap(below(8) ? below(3000) : below(200000));
		if (app.endless && below(4) == 0) {
			count(endless_copies);
			set(sh->copying, 1);
			pause();
		}
		copy = (struct uffdio_copy){
			.dst = message.arg.pagefault.address & ~4095ull,
			.src = (uintptr_t)page, .len = sizeof(page),
		};
		ioctl(app.fault_fd, UFFDIO_COPY, &copy);
	}
	return NULL;
}

static void slow_buffer(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range = { (uintptr_t)app.buffer, RECORD_MAX },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	pthread_t id;

	app.fault_fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (app.fault_fd < 0 || ioctl(app.fault_fd, UFFDIO_API, &api) < 0 ||
	    ioctl(app.fault_fd, UFFDIO_REGISTER, &range) < 0) {
		bad("userfaultfd: %s", strerror(errno));
		_exit(1);
	}
	pthread_create(&id, NULL, fill_pages, NULL);
}

static void outcome(long got)
{
	if (got >= 0)
		return;
	switch (errno) {
	case EIO: count(app_eio); break;
	case ENXIO: count(app_enxio); break;
	case EINTR: count(app_eintr); break;
	}
}

static void app_read(size_t length)
{
	ssize_t got = read(app.fd, app.buffer, length);

	outcome(got);
	if (got > (ssize_t)length)
		bad("read %zd of %zu", got, length);
	if (got > 0)
		count(app_reads);
	for (ssize_t i = 0; i < got; i++)
		if (app.buffer[i] & 0x80) {
			bad("the tape has a byte %02x", (uint8_t)app.buffer[i]);
			return;
		}
}

static void app_ioctl(void)
{
	static const short ops[] = { MTREW, MTWEOF, MTFSF, MTBSF, MTFSR, MTBSR, MTEOM, MTNOP,
				     MTSETBLK, MTSEEK, MTLOAD, MTUNLOAD, MTERASE, MTLOCK,
				     MTUNLOCK, MTSETPART, MTMKPART, MTTELL, MTRESET,
				     MTREW, MTREW, MTWEOFI, MTFSFM, MTBSFM, MTSETDENSITY };
	struct mtop op = { .mt_op = ops[below(SIZE(ops))], .mt_count = (int)below(4) };
	struct mtget status;
	struct mtpos pos;
	int got;

	if (op.mt_op == MTSETBLK)
		op.mt_count = below(3) ? 0 : 512 << below(4);
	switch (below(4)) {
	case 0: got = ioctl(app.fd, MTIOCGET, &status); break;
	case 1: got = ioctl(app.fd, MTIOCPOS, &pos); break;
	default: got = ioctl(app.fd, MTIOCTOP, &op);
	}
	outcome(got);
	if (got == 0)
		count(app_ioctls);
}

static void app_step(void)
{
	size_t length = below(3) ? 1 + below(RECORD_MAX) : 512u << below(7);
	ssize_t got;

	if (app.fault_fd >= 0 && below(2))
		madvise(app.buffer, RECORD_MAX, MADV_DONTNEED);
	switch (below(5)) {
	case 0: app_ioctl(); break;
	case 1: app_read(length); break;
	default:
		got = write(app.fd, app.buffer, length);
		outcome(got);
		if (got > 0)
			count(app_writes);
	}
}

static void woken(int signal)
{
	(void)signal;
}

static void leave(int signal)
{
	(void)signal;
	_exit(0);
}

/* kind: 0 an ordinary buffer, 1 one whose pages come late, 2 or never. */
static void be_app(uint32_t unit, uint32_t kind)
{
	struct itimerval every = { { 0, 0 }, { 0, 0 } };
	struct mtop options = { .mt_op = MTSETDRVBUFFER,
				.mt_count = MT_ST_SETBOOLEANS | MT_ST_CAN_PARTITIONS };
	char path[64];

	app.fault_fd = -1;
	app.endless = kind == 2;
	app.buffer = mmap(NULL, RECORD_MAX, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (kind)
		slow_buffer();
	else
		memset(app.buffer, 'a', RECORD_MAX);
	catch(SIGALRM, woken);
	catch(SIGTERM, leave);
	every.it_interval.tv_usec = every.it_value.tv_usec = 20000 + (long)below(400000);
	setitimer(ITIMER_REAL, &every, NULL);
	for (;;) {
		snprintf(path, sizeof(path), "/dev/%spmtm%u", below(2) ? "n" : "", unit);
		app.fd = open(path, below(8) ? O_RDWR : O_RDWR | O_NONBLOCK);
		outcome(app.fd);
		if (app.fd < 0) {
			nap(below(20000));
			continue;
		}
		count(app_opens);
		if (below(2))
			ioctl(app.fd, MTIOCTOP, &options);
		for (uint32_t n = below(64); n; n--)
			app_step();
		close(app.fd);
	}
}

/* ---- the neighbour ---- */

static void known_record(uint64_t *words, size_t size, uint64_t n)
{
	for (size_t i = 0; i < (size + 7) / 8; i++)
		words[i] = mix(n * 65536 + i) | HIGH;
}

static int tape_op(int fd, short what)
{
	struct mtop op = { .mt_op = what, .mt_count = 1 };

	return ioctl(fd, MTIOCTOP, &op);
}

static bool neighbour_lap(int fd, uint64_t lap)
{
	static uint64_t words[RECORD_MAX / 8], got[RECORD_MAX / 8];
	uint32_t n = 4 + below(12);
	size_t size = 0;

	if (tape_op(fd, MTREW) < 0)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		size = 1 + mix(lap * 16 + i) % (RECORD_MAX - 1);
		known_record(words, size, lap * 16 + i);
		if (write(fd, words, size) != (ssize_t)size)
			return false;
	}
	if (tape_op(fd, MTWEOF) < 0 || tape_op(fd, MTREW) < 0)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		size = 1 + mix(lap * 16 + i) % (RECORD_MAX - 1);
		known_record(words, size, lap * 16 + i);
		if (read(fd, got, RECORD_MAX) != (ssize_t)size || memcmp(words, got, size))
			return false;
	}
	return read(fd, got, RECORD_MAX) == 0;
}

static void be_neighbour(const char *unit)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/npmtm%s", unit);
	fd = open(path, O_RDWR);
	if (fd < 0)
		bad("the neighbour's tape: %s", strerror(errno));
	for (uint64_t lap = 0; fd >= 0 && !get(sh->stop); lap++) {
		if (!neighbour_lap(fd, lap)) {
			bad("the neighbour was disturbed in lap %llu: %s",
			    (unsigned long long)lap, strerror(errno));
			break;
		}
		count(neighbour_laps);
		nap(below(20000));
	}
	if (fd >= 0 && close(fd) < 0)
		bad("the neighbour's close: %s", strerror(errno));
	_exit(0);
}

/* ---- who watches them ---- */

static struct {
	struct pmt_control *control;
	struct pmt_watch *watch;
	uint32_t unit;
	uint32_t attached, broken;	/* events of this life */
	pid_t server, app;
	bool server_reaped;		/* its children may be left */
	uint64_t slowest;		/* ms until a killed program was gone */
} w;

static void seen(const struct pmt_unit_event *event, void *context)
{
	(void)context;
	if (event->unit != w.unit)
		return;
	w.attached += event->event == PMT_EVENT_SERVER_ATTACHED;
	w.broken += event->event == PMT_EVENT_BROKEN;
}

static bool lost_events;

static void listen_for(int ms)
{
	struct pollfd poll_fd = { .fd = pmt_watch_fd(w.watch), .events = POLLIN };

	if (poll(&poll_fd, 1, ms) > 0 && pmt_watch_dispatch(w.watch, seen, NULL) < 0) {
		count(events_lost);
		lost_events = true;
	}
}

static pid_t start(void)
{
	uint64_t next = any();
	pid_t pid = fork();

	if (pid == 0) {
		random_state = next;
		alarm(0);
	}
	return pid;
}

static bool reaped(pid_t pid, int ms)
{
	uint64_t until = now() + (uint64_t)ms;

	do {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return true;
		listen_for(1);
	} while (now() < until);
	return false;
}

static void tell_where(pid_t pid)
{
	char line[256], path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stack", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		fprintf(stderr, "\t%s", line);
	if (f)
		fclose(f);
}

static bool waits(pid_t pid)
{
	char line[256] = "", path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/wchan", pid);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	fclose(f);
	return strncmp(line, "pmt", 3) == 0 || strstr(line, "userfault");
}

/* Some leave by themselves first, and are killed on their way out. */
static void kill_app(void)
{
	uint64_t began;

	if (waits(w.app))
		count(kills_waiting);
	if (below(3) == 0) {
		kill(w.app, SIGTERM);
		if (reaped(w.app, (int)below(300))) {
			count(exits);
			return;
		}
	}
	began = now();
	kill(w.app, SIGKILL);
	if (!reaped(w.app, PATIENCE)) {
		bad("process %d can not be killed", w.app);
		tell_where(w.app);
		return;
	}
	if (now() - began > w.slowest)
		w.slowest = now() - began;
	count(kills);
}

static void kill_server(void)
{
	kill(-w.server, SIGKILL);
	if (w.server_reaped)
		return;
	kill(w.server, SIGKILL);
	if (!reaped(w.server, PATIENCE)) {
		bad("server %d can not be killed", w.server);
		tell_where(w.server);
	}
}

static enum pmt_state state(void)
{
	struct pmt_unit_info info;
	int ret = pmt_unit_get(w.control, w.unit, &info);

	if (ret < 0)
		bad("unit %u: %s", w.unit, strerror(-ret));
	return ret < 0 ? PMT_STATE_UNSERVED : info.state;
}

/* The tool, as an administrator would use it. */
static int pmt_tool(const char *verb)
{
	char line[64];

	snprintf(line, sizeof(line), "pmt %s %u >&2", verb, w.unit);
	return system(line);
}

static void delete_unit(void)
{
	uint64_t until = now() + PATIENCE;
	int ret;

	if (pmt_tool("abort") != 0)
		bad("pmt abort %u", w.unit);
	/* The ends are closed by whoever was killed last. */
	while ((ret = pmt_unit_delete(w.control, w.unit)) == -EBUSY && now() < until)
		listen_for(10);
	if (ret < 0)
		bad("unit %u can not be deleted: %s", w.unit, strerror(-ret));
	count(deleted);
}

static bool eventually(const uint64_t *word, uint64_t value)
{
	uint64_t until = now() + PATIENCE;

	while (get(*word) < value) {
		if (now() > until)
			return false;
		listen_for(5);
	}
	return true;
}

static void take_from_holder(void)
{
	w.server_reaped = reaped(w.server, PATIENCE);
	if (!w.server_reaped || !eventually(&sh->holder, 1)) {
		bad("no child holds the slave end");
		return;
	}
	if (state() != PMT_STATE_SERVED)
		bad("a unit whose slave end a child holds is not served");
	if (pmt_unit_delete(w.control, w.unit) != -EBUSY)
		bad("a unit that is held is deleted");
	if (pmt_tool("detach") != 0)
		bad("pmt detach %u", w.unit);
	if (!eventually(&sh->holder, 2))
		bad("a child keeps the slave end");
	else
		count(holders);
}

static void from_outside(enum outside what)
{
	if (what == OUT_DETACH) {
		pmt_unit_detach(w.control, w.unit);
		count(detached);
	} else if (what == OUT_ABORT) {
		pmt_unit_abort(w.control, w.unit);
		count(aborted);
	} else if (what == OUT_DELETE && pmt_unit_delete(w.control, w.unit) != -EBUSY) {
		bad("a unit that is served is deleted");
	}
}

/* Until the unit is broken, the server gone, or time is up. */
static void watch_life(const struct attack *attack)
{
	uint64_t until = now() + (attack->lie ? PATIENCE : 400 + below(800));
	uint64_t act = now() + 100 + below(500);
	bool done = !attack->outside;

	while (now() < until && !w.broken) {
		listen_for(5);
		if (!done && now() >= act) {
			from_outside(attack->outside);
			done = attack->outside != OUT_DELETE;
			act = now() + below(50);
		}
		if (kill(w.server, 0) < 0)
			break;
	}
	if (attack->end == END_HOLDER)
		take_from_holder();
	/* Whatever else was said by then. */
	for (int i = 0; i < 10; i++)
		listen_for(2);
}

static void judge_life(const struct attack *attack)
{
	uint32_t index = (uint32_t)(attack - attacks);

	reached[index].tried++;
	reached[index].broken += w.broken != 0;
	if (attack->lie && !w.broken && !lost_events) {
		bad("believed: %s%s", attack->name,
		    get(sh->told) ? "" : " (it was not told: no command came)");
		tell_where(w.app);
		pmt_tool("status");
	}
	if (w.broken > 1)
		bad("broken %u times by %s", w.broken, attack->name);
	if (w.broken && w.attached != 1 && !lost_events)
		bad("%u servers in one life", w.attached);
	if (!attack->lie && !attack->storm && w.broken)
		bad("broken by %s", attack->name);
	/* An abort may come while it is told. */
	if (w.broken && attack->outside != OUT_ABORT && state() != PMT_STATE_BROKEN)
		bad("a unit that was broken by %s is not", attack->name);
}

static bool wait_attached(void)
{
	uint64_t until = now() + PATIENCE;

	while (!get(sh->attached)) {
		if (now() > until || waitpid(w.server, NULL, WNOHANG) == w.server) {
			bad("no server for unit %u", w.unit);
			return false;
		}
		listen_for(2);
	}
	return true;
}

/* Mostly the program first, while nobody answers it. */
static void end_both(const struct attack *attack)
{
	if (attack->end != END_SILENT && below(3) == 0) {
		kill_server();
		kill_app();
		return;
	}
	kill(-w.server, SIGSTOP);
	for (uint32_t n = below(20); n; n--)
		listen_for(10);
	count(stopped);
	kill_app();
	kill_server();
}

static void live(const struct attack *attack, bool fresh)
{
	w.attached = w.broken = 0;
	w.server_reaped = false;
	lost_events = false;
	sh->attached = sh->gone = sh->told = sh->copying = 0;
	sh->holder = 0;
	w.server = start();
	if (w.server == 0)
		be_server(w.unit, attack, fresh);
	if (!wait_attached())
		return;
	w.app = start();
	if (w.app == 0)
		be_app(w.unit, attack->lie ? below(2) : below(3));
	watch_life(attack);
	judge_life(attack);
	end_both(attack);
	count(lives);
}

static void new_unit(void)
{
	static const uint32_t recovery[] = { 0, 50, 1000, PMT_RECOVERY_FOREVER };
	struct pmt_unit_config config = {
		.unit = PMT_ANY_UNIT, .data_size = 1u << (20 + below(3)),
		.set_recovery = true, .recovery = recovery[below(4)],
	};
	int ret = pmt_unit_new(w.control, &config, &w.unit);

	if (ret < 0) {
		bad("no unit: %s", strerror(-ret));
		exit(1);
	}
}

static void all_lives(uint64_t seconds)
{
	uint64_t until = now() + seconds * 1000;
	size_t next = below(SIZE(attacks));

	while (now() < until && !get(sh->bad)) {
		uint32_t lives = 1 + below(3);

		new_unit();
		for (uint32_t i = 0; i < lives && !get(sh->bad); i++) {
			if (i && pmt_unit_abort(w.control, w.unit) < 0)
				bad("unit %u can not be aborted", w.unit);
			if (i && state() == PMT_STATE_BROKEN)
				bad("unit %u is broken behind an abort", w.unit);
			live(&attacks[next++ % SIZE(attacks)], i == 0);
		}
		delete_unit();
	}
}

static int report(void)
{
	uint32_t broken = 0;

	for (size_t i = 0; i < SIZE(attacks); i++) {
		printf("# %-14s %3u lives, %3u broken\n", attacks[i].name, reached[i].tried,
		       reached[i].broken);
		broken += reached[i].broken;
	}
#define X(name) printf("# %s %llu\n", #name, (unsigned long long)sh->name);
	COUNTERS(X)
#undef X
	printf("# slowest kill %llu ms\n", (unsigned long long)w.slowest);
	if (!broken)
		bad("nothing was broken");
	if (!sh->honest || !sh->app_writes || !sh->app_reads || !sh->app_ioctls)
		bad("no honest traffic");
	if (!sh->neighbour_laps)
		bad("the neighbour did nothing");
	return sh->bad ? 1 : 0;
}

static void stuck(int signal)
{
	static const char text[] = "FAILED: the watcher itself is stuck\n";

	(void)signal;
	_exit(write(2, text, sizeof(text) - 1) < 0 ? 3 : 2);
}

int main(int argc, char **argv)
{
	const char *given = getenv("PMT_SEED"), *time_given = getenv("PMT_FUZZ_SECONDS");
	uint64_t seconds = time_given ? strtoull(time_given, NULL, 0) : 20;
	int size = 8 << 20;
	pid_t neighbour;

	if (argc != 2) {
		fputs("usage: server NEIGHBOUR\n", stderr);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;
	printf("# PMT_SEED=%llu\n", (unsigned long long)seed);
	random_state = mix(seed);
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sh == MAP_FAILED || pmt_control_open(&w.control) < 0 || pmt_watch_open(&w.watch) < 0) {
		fputs("server: no control\n", stderr);
		return 1;
	}
	setsockopt(pmt_watch_fd(w.watch), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	signal(SIGALRM, stuck);
	alarm((unsigned int)seconds + 120);
	neighbour = start();
	if (neighbour == 0)
		be_neighbour(argv[1]);
	all_lives(seconds);
	set(sh->stop, 1);
	if (!reaped(neighbour, PATIENCE)) {
		bad("the neighbour does not end");
		tell_where(neighbour);
		kill(neighbour, SIGKILL);
	}
	return report();
}
