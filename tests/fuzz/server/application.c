// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * application: the program on the tape of a hostile server's unit
 *
 * It opens, reads, writes and asks at random until it is killed, disturbed by a
 * timer; by userfaultfd the pages of its buffer may come late, or never, so that the
 * kernel waits in the middle of a copy.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mtio.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "server.h"

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
			for (;;)
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

/* What was written is rarely met by chance. */
static void app_read_back(void)
{
	struct mtop back = { .mt_op = MTBSR, .mt_count = 1 };

	outcome(ioctl(app.fd, MTIOCTOP, &back));
	app_read(RECORD_MAX);
}

static void app_step(void)
{
	size_t length = below(3) ? 1 + below(RECORD_MAX) : 512u << below(7);
	ssize_t got;

	if (app.fault_fd >= 0 && below(2))
		madvise(app.buffer, RECORD_MAX, MADV_DONTNEED);
	switch (below(5)) {
	case 0: app_ioctl(); break;
	case 1: below(2) ? app_read_back() : app_read(length); break;
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

void be_app(uint32_t unit, uint32_t kind)
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
