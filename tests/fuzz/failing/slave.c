// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * slave: the entry points of the slave end, on the spare unit
 *
 * And what must be possible on that end when all the failures of one are over.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pmt.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "failing.h"
#include "pmt.h"

static struct pmt_info unit;		/* the geometry */
static void *map;
static size_t map_size;

static size_t area_size(unsigned int index)
{
	size_t slot = index == 0 ? sizeof(struct pmt_command) : sizeof(struct pmt_result);

	if (index == 2)
		return 2 * (size_t)unit.data_size;
	return (PMT_PAGE_AREA + unit.slots * slot + 4095) / 4096 * 4096;
}

static int map_area(unsigned int index)
{
	map_size = area_size(index);
	map = mmap(NULL, map_size, index ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
		   f.fd, (off_t)((uint64_t)index << 32));
	if (map != MAP_FAILED)
		return 0;
	map = NULL;
	return -errno;
}

static void unmap(void)
{
	if (map)
		munmap(map, map_size);
	map = NULL;
}

static struct pmt_limits limits(void)
{
	return (struct pmt_limits){ .record_min = 1, .record_max = 65536, .byte_cost = 256,
				    .window = PMT_UNKNOWN };
}

static int attach(void)
{
	struct pmt_attach a = { .version = PMT_PROTOCOL_VERSION, .limits = limits() };

	return result(ioctl(f.fd, PMT_IOC_ATTACH, &a));
}

static void open_slave(void)
{
	f.fd = open(f.slave, O_RDWR | O_CLOEXEC);
	if (f.fd < 0 || ioctl(f.fd, PMT_IOC_INFO, &unit) < 0)
		die(f.slave);
}

void open_server(void)
{
	open_slave();
	if (attach())
		die("attach");
}

void close_slave(int told)
{
	(void)told;
	unmap();
	if (f.fd >= 0)
		close(f.fd);
	f.fd = -1;
	if (pmt_unit_abort(f.control, f.spare))
		bad("no abort behind it");
}

void slave_round_trip(void)
{
	open_server();
	for (unsigned int i = 0; i < 3; i++) {
		if (map_area(i))
			bad("no area %u behind it", i);
		else
			for (size_t at = 0; at < map_size; at += 4096)
				(void)((volatile char *)map)[at];
		unmap();
	}
	close_slave(0);
}

static int run_open_slave(void)
{
	f.fd = open(f.slave, O_RDWR | O_CLOEXEC);
	return result(f.fd);
}

static int run_info(void)
{
	struct pmt_info info;

	return result(ioctl(f.fd, PMT_IOC_INFO, &info));
}

static int run_kick(void)
{
	return result(ioctl(f.fd, PMT_IOC_KICK));
}

static int run_limits(void)
{
	struct pmt_limits l = limits();

	return result(ioctl(f.fd, PMT_IOC_LIMITS, &l));
}

static int run_event(void)
{
	uint32_t event = PMT_EVENT_COPY_FAILED;

	return result(ioctl(f.fd, PMT_IOC_EVENT, &event));
}

static int run_map(void)
{
	return map_area((unsigned int)f.entry->argument);
}

static void prepare_fault(void)
{
	open_server();
	if (map_area((unsigned int)f.entry->argument))
		die("mmap");
}

/* A page that is not there for lack of memory is tried again: no SIGBUS. */
static int run_fault(void)
{
	for (size_t at = 0; at < map_size; at += 4096)
		(void)((volatile char *)map)[at];
	return 0;
}

/* A table for them is asked for only where the neighbours have none yet. */
static const char pages_are_there[] = "the pages are there, and so are their tables";

const struct entry slave_entries[] = {
	{ "slave_open", NULL, run_open_slave, close_slave, 0, 0, 0, NULL },
	{ "slave_close", open_server, run_close, close_slave, 0, 0, 0, NULL },
	{ "slave_info", open_slave, run_info, close_slave, 0, 0, 0, NULL },
	{ "slave_attach", open_slave, attach, close_slave, 0, 0, 0, NULL },
	{ "slave_kick", open_server, run_kick, close_slave, 0, 0, 0,
	  "it only takes the answers that are there" },
	{ "slave_limits", open_server, run_limits, close_slave, 0, 0, 0, NULL },
	{ "slave_event", open_server, run_event, close_slave, 0, 0, 0, NULL },
	{ "slave_poll", open_server, run_poll, close_slave, 0, 0, 0, NULL },
	{ "mmap_commands", open_server, run_map, close_slave, 0, 0, 0, NULL },
	{ "mmap_results", open_server, run_map, close_slave, 0, 1, 0, NULL },
	{ "mmap_data", open_server, run_map, close_slave, 0, 2, 0, NULL },
	{ "fault_commands", prepare_fault, run_fault, close_slave, 0, 0, 0, pages_are_there },
	{ "fault_results", prepare_fault, run_fault, close_slave, 0, 1, 0, pages_are_there },
	{ "fault_data", prepare_fault, run_fault, close_slave, 0, 2, 0, pages_are_there },
	{ .name = NULL }
};
