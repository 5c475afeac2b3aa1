// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * server: the life of one server, honest for a while
 *
 * Then it attacks, in the one way that it was given, and ends as that way has it.
 */
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server.h"

__thread sigjmp_buf landing;
__thread volatile sig_atomic_t armed;

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

/* Does the kernel's own table have the page, or the processor alone? */
static bool in_table(volatile char *page)
{
	unsigned char there = 0;

	return mincore((void *)page, 1, &there) == 0 && (there & 1);
}

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
	/* Whoever takes it away has a program to start. */
	poll(&poll_fd, 1, 2 * PATIENCE);
	if (!(poll_fd.revents & POLLHUP) || !gone())
		bad("a holder that was detached holds it still");
	signal(SIGBUS, fell);
	armed = 1;
	if (sigsetjmp(landing, 1) == 0) {
		(void)data[0];
		bad("a page that was taken away is there, %s",
		    in_table(data) ? "in the kernel's table" : "for the processor alone");
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

void be_server(uint32_t unit, const struct attack *attack, bool fresh)
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
