// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sides: what goes on beside a server, and breaks nothing
 *
 * Threads that do with the descriptor and the mappings what a server may, and what
 * it may not and is refused, while it serves; and the attack's storm.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "server.h"

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
		event = PMT_EVENT_COPY_FAILED + below(2);
		if (!below(64)) {
			ioctl(h.fd, PMT_IOC_EVENT, &event);
			break;
		}
		event = 0x80000000u | (uint32_t)any();
		refuse(ioctl(h.fd, PMT_IOC_EVENT, &event), "an event that is none");
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
	got = mmap(NULL, 4096, PROT_READ, MAP_SHARED, h.fd, (off_t)(any() >> 1 & ~4095ull));
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

void side_opens(void)
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

	begin_chance(t->seed);
	if (sigsetjmp(landing, 1) && gone())
		return NULL;
	armed = 1;
	while (!get(h.stop))
		t->step();
	return NULL;
}

void start_threads(void)
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
