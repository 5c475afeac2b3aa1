// SPDX-License-Identifier: GPL-2.0-or-later
/* See unit.h: the ring and the slave end. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "episode.h"
#include "fibers.h"
#include "unit.h"
#include "wrap.h"

extern int __real_open64(const char *, int, ...);
extern int __real_close(int);
extern int __real_ioctl(int, unsigned long, ...);
extern void *__real_mmap64(void *, size_t, int, int, int, off_t);
extern int __real_munmap(void *, size_t);
extern int __real_poll(struct pollfd *, nfds_t, int);
extern int __real_eventfd(unsigned int, int);
extern ssize_t __real_read(int, void *, size_t);
extern ssize_t __real_write(int, const void *, size_t);

struct unit unit;

/* Of one episode: pages for each server, as a killed one may still have the last. */
#define PAGES 64

static struct {
	char *data;		/* twice in a row */
	char commands[PMT_PAGE_AREA + UNIT_SLOTS_MAX * sizeof(struct pmt_command)]
		__attribute__((aligned(64)));
	char results[PAGES][PMT_PAGE_AREA + UNIT_SLOTS_MAX * sizeof(struct pmt_result)]
		__attribute__((aligned(64)));
	struct pmt_result copies[UNIT_SLOTS_MAX];
	uint32_t data_end[UNIT_SLOTS_MAX];
	bool wake[PAGES];	/* the eventfd of a server */
	int bell;		/* what a server in poll() waits on: its address */
} pages;

static void map_data(void)
{
	int fd = memfd_create("data", 0);

	if (fd < 0 || ftruncate(fd, UNIT_DATA) < 0)
		abort();
	pages.data = __real_mmap64(NULL, (size_t)2 * UNIT_DATA, PROT_READ | PROT_WRITE,
				   MAP_SHARED, fd, 0);
	if (pages.data == MAP_FAILED ||
	    __real_mmap64(pages.data + UNIT_DATA, UNIT_DATA, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		abort();
	__real_close(fd);
}

void unit_begin(uint32_t slots)
{
	if (!pages.data)
		map_data();
	memset(pages.commands, 0, sizeof(pages.commands));
	memset(pages.results[0], 0, sizeof(pages.results[0]));
	memset(pages.wake, 0, sizeof(pages.wake));
	memset(&unit, 0, sizeof(unit));
	pmt_ring_init(&unit.ring, pages.commands, pages.results[0], pages.copies,
		      pages.data_end, slots, UNIT_DATA, fibers_random(3) - 1);
	unit.place.generation = unit.ring.generation = 1;
	unit.modes.buffered = 1;
}

/* What a server to come must be told. */
static void note(uint32_t number)
{
	const struct pmt_command *cmd = pmt_ring_command(&unit.ring, number);
	const struct pmt_result *res = pmt_ring_result(&unit.ring, number);
	bool good = res->status == PMT_STATUS_GOOD;

	if (res->status == PMT_STATUS_CANCELLED)
		return;
	unit.place = res->place;
	unit.cookie = res->cookie;
	if (good || res->room != PMT_UNKNOWN)
		unit.room = res->room;
	if (cmd->op == PMT_OP_TEST || cmd->op == PMT_OP_LOAD ||
	    (cmd->op == PMT_OP_UNLOAD && good)) {
		memset(unit.medium, 0, sizeof(unit.medium));
		unit.present = good && cmd->op != PMT_OP_UNLOAD &&
			       res->medium_flags & PMT_MEDIUM_PRESENT;
	}
	if (good && unit.present && res->medium_flags & PMT_MEDIUM_PRESENT)
		memcpy(unit.medium, res->medium, sizeof(unit.medium));
	if (good && cmd->op == PMT_OP_MODE)
		unit.modes = cmd->modes;
}

void unit_collect(void)
{
	uint32_t from = unit.ring.done;

	if (!unit.served)
		return;
	if (pmt_ring_collect(&unit.ring) < 0)
		unit.broken = true;
	for (; from != unit.ring.done; from++)
		note(from);
}

void unit_look(void)
{
	unit_collect();
	unit.stale = false;
}

void *unit_data(const struct pmt_command *cmd)
{
	return pages.data + cmd->offset;
}

/* The application's bytes may be slow to come: to be swapped in, say. */
static void copy(const struct pmt_command *cmd, const void *data)
{
	memcpy(pages.data + pmt_ring_offset(&unit.ring, cmd->length), data, cmd->length);
	for (uint32_t i = fibers_chance(4) ? fibers_random(12) : 0; i && fiber_others(); i--)
		;
}

int unit_issue(struct pmt_command *cmd, const void *data)
{
	if (data)
		copy(cmd, data);
	if (unit.stale && (cmd->op == PMT_OP_WRITE || cmd->flags & PMT_CMD_IMMEDIATE))
		return -EAGAIN;
	if (pmt_ring_issue(&unit.ring, cmd))
		fiber_wake(&pages.bell);
	return 0;
}

void unit_cancel(void)
{
	if (pmt_ring_cancel(&unit.ring, unit.ring.tail))
		fiber_wake(&pages.bell);
}

void unit_give_up(void)
{
	if (unit.ring.done != unit.ring.tail)
		unit.place.lbn = unit.place.file = unit.place.block = PMT_UNKNOWN;
	pmt_ring_give_up(&unit.ring);
	unit.stale = true;
}

/* Where nobody has looked at the exception, the next server would not know of it. */
void unit_lost(void)
{
	uint32_t next = unit.server + 1;

	unit_collect();
	if (unit.served && pmt_ring_stuck(&unit.ring)) {
		pmt_ring_give_up(&unit.ring);
		unit.forgot = unit.stale = true;
	}
	unit.served = false;
	unit.server = next;
	memset(pages.results[next % PAGES], 0, sizeof(pages.results[0]));
	pages.wake[next % PAGES] = false;
	pmt_ring_renew(&unit.ring, pages.results[next % PAGES]);
	fiber_wake(&pages.bell);
}

static void kept(struct pmt_kept *to)
{
	to->first = unit.ring.done;
	to->tail = unit.ring.tail;
	to->modes = unit.modes;
	to->place = unit.place;
	memcpy(to->medium, unit.medium, sizeof(to->medium));
	to->cookie = unit.cookie;
}

static int attach(struct pmt_attach *attach)
{
	struct pmt_server_page *page = unit.ring.server;

	unit.limits = attach->limits;
	page->done = page->seen = unit.ring.done;
	page->cancel_seen = unit.ring.cancel;
	page->parked = 0;
	if (page->ew.seq & 1)
		page->ew.seq = 0;
	unit.room = 0;
	unit.stale = true;
	kept(&attach->kept);
	unit.served = true;
	return 0;
}

/* What the system is asked for by the library. */

static bool is_slave(int fd)
{
	return fd >= UNIT_FD(0) && !(fd & 1);
}

static uint32_t server_of(int fd)
{
	return (uint32_t)(fd - UNIT_FD(0)) / 2;
}

static int fails(int error)
{
	errno = error;
	return -1;
}

int __wrap_open64(const char *path, int flags, ...)
{
	if (strcmp(path, "/dev/pmts0") == 0)
		return unit.begun == unit.server ? UNIT_FD(unit.server) : fails(ENODEV);
	return __real_open64(path, flags, 0600);
}

int __wrap_close(int fd)
{
	return fd >= UNIT_FD(0) ? 0 : __real_close(fd);
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	struct pmt_info *info;
	va_list list;
	void *argument;

	va_start(list, request);
	argument = va_arg(list, void *);
	va_end(list);
	if (!is_slave(fd))
		return __real_ioctl(fd, request, argument);
	if (server_of(fd) != unit.server)
		return fails(ENODEV);
	switch (request) {
	case PMT_IOC_INFO:
		info = argument;
		*info = (struct pmt_info){ .version = PMT_PROTOCOL_VERSION,
					   .unit_id = UNIT_ID,
					   .slots = unit.ring.slots,
					   .data_size = UNIT_DATA };
		kept(&info->kept);
		return 0;
	case PMT_IOC_ATTACH:
		return attach(argument);
	case PMT_IOC_KICK:
		unit_collect();
		return 0;
	case PMT_IOC_LIMITS:
		unit.limits = *(struct pmt_limits *)argument;
		unit.stale = true;
		return 0;
	case PMT_IOC_EVENT:
		if (*(uint32_t *)argument != PMT_EVENT_COPY_REJOINED)
			return 0;
		progress->rejoined++;
		if (tape_relies())
			fail("a copy counts, and what is acknowledged is not done");
		return 0;
	}
	return fails(ENOTTY);
}

void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int fd,
		    off_t offset)
{
	if (!is_slave(fd))
		return __real_mmap64(address, size, protection, flags, fd, offset);
	switch ((uint64_t)offset) {
	case PMT_MAP_COMMANDS:
		return pages.commands;
	case PMT_MAP_RESULTS:
		return pages.results[server_of(fd) % PAGES];
	default:
		return pages.data;
	}
}

int __wrap_munmap(void *address, size_t size)
{
	char *at = address;

	if (at == pages.data || at == pages.commands ||
	    (at >= pages.results[0] && at < (char *)pages.results + sizeof(pages.results)))
		return 0;
	return __real_munmap(address, size);
}

/* Of a server: the slave end and its eventfd, or that alone. */
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	uint32_t server;

	if (fds[0].fd < UNIT_FD(0))
		return __real_poll(fds, n, timeout);
	server = server_of(fds[0].fd & ~1);
	for (;;) {
		const struct pmt_server_page *page = unit.ring.server;
		bool gone = server != unit.server;

		fds[0].revents = 0;
		if (is_slave(fds[0].fd) && gone)
			fds[0].revents = POLLHUP;
		else if (is_slave(fds[0].fd) &&
			 (unit.ring.kernel->tail != page->seen ||
			  unit.ring.kernel->cancel != page->cancel_seen))
			fds[0].revents = POLLIN;
		if (fds[0].revents || pages.wake[server % PAGES])
			return 1;
		fiber_block(&pages.bell);
	}
}

int __wrap_eventfd(unsigned int count, int flags)
{
	(void)count;
	(void)flags;
	return UNIT_FD(unit.begun) + 1;
}

ssize_t __wrap_read(int fd, void *to, size_t size)
{
	if (fd < UNIT_FD(0))
		return __real_read(fd, to, size);
	pages.wake[server_of(fd & ~1) % PAGES] = false;
	return (ssize_t)size;
}

ssize_t __wrap_write(int fd, const void *from, size_t size)
{
	if (fd < UNIT_FD(0))
		return __real_write(fd, from, size);
	pages.wake[server_of(fd & ~1) % PAGES] = true;
	fiber_wake(&pages.bell);
	return (ssize_t)size;
}
