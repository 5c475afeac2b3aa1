// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * slave: a server's hold on its unit
 *
 * The descriptor, the three areas, and where each of them is mapped by now: each has
 * two places reserved for it, so that a thread can move it under the others.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server.h"

struct hold h;

const __u64 map_offset[AREAS] = {
	PMT_MAP_COMMANDS, PMT_MAP_RESULTS, PMT_MAP_DATA,
};

struct pmt_kernel_page *kernel_page(void)
{
	return (struct pmt_kernel_page *)get(h.area[COMMANDS]);
}

struct pmt_server_page *server_page(void)
{
	return (struct pmt_server_page *)get(h.area[RESULTS]);
}

struct pmt_result *result(uint32_t number)
{
	return (struct pmt_result *)(get(h.area[RESULTS]) + PMT_PAGE_AREA) +
	       number % h.info.slots;
}

bool gone(void)
{
	struct pmt_info info;

	return ioctl(h.fd, PMT_IOC_INFO, &info) < 0 && (errno == ENODEV || errno == EBADF);
}

int protection(int area)
{
	return area == COMMANDS ? PROT_READ : PROT_READ | PROT_WRITE;
}

char *map_at(char *where, int area)
{
	return mmap(where, h.size[area], protection(area), MAP_SHARED | MAP_FIXED, h.fd,
		    (off_t)map_offset[area]);
}

char *reserve(char *where, size_t size)
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
		if (word[i]) {
			bad("new commands: %llx at %zu", (unsigned long long)word[i], i * 8);
			return;
		}
	word = (const uint64_t *)h.area[RESULTS];
	for (size_t i = sizeof(struct pmt_server_page) / 8; i < h.size[RESULTS] / 8; i++)
		if (word[i]) {
			bad("new results: %llx at %zu", (unsigned long long)word[i], i * 8);
			return;
		}
}

void hold(bool fresh)
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

void become_server(void)
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
