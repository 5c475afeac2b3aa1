// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ringio: a server that moves records between the ring and a file by O_DIRECT
 *
 *	ringio UNIT FILE COUNT
 *
 * It serves until COUNT records were moved: WRITE appends the record to FILE, READ takes it from
 * the place that the LBN names, both straight from and to the ring's pages, each
 * record in a space of its own (SPACE bytes).  It also looks at each record
 * through both copies of the data area.  Prints "N records by direct I/O, N
 * across the end".  Written from linux/pmt.h alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pmt.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define SPACE (1u << 20)	/* of a record in the file */

static struct {
	int fd, file;
	struct pmt_info info;
	const struct pmt_kernel_page *kernel;
	const struct pmt_command *commands;
	struct pmt_server_page *server;
	struct pmt_result *results;
	char *data;
	uint64_t lbn, eod;		/* where it stands, where it ends */
	int placed;			/* by a command since attach */
	uint32_t length[4096];		/* of each record */
	unsigned int moved, across;
} s;

static void die(const char *what) __attribute__((noreturn));

static void die(const char *what)
{
	fprintf(stderr, "ringio: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *map(uint64_t offset, size_t size, int protection)
{
	void *address = mmap(NULL, size, protection, MAP_SHARED, s.fd, (off_t)offset);

	if (address == MAP_FAILED)
		die("mmap");
	return address;
}

static void attach(const char *unit)
{
	struct pmt_attach attach = {
		.version = PMT_PROTOCOL_VERSION,
		.limits = { .record_min = 1, .record_max = SPACE, .byte_cost = 256,
			    .window = PMT_UNKNOWN },
	};
	char path[64];
	char *area;

	snprintf(path, sizeof(path), "/dev/pmts%s", unit);
	s.fd = open(path, O_RDWR | O_CLOEXEC);
	if (s.fd < 0 || ioctl(s.fd, PMT_IOC_INFO, &s.info) < 0)
		die(path);
	area = map(PMT_MAP_COMMANDS,
		   PMT_PAGE_AREA + s.info.slots * sizeof(struct pmt_command), PROT_READ);
	s.kernel = (void *)area;
	s.commands = (void *)(area + PMT_PAGE_AREA);
	area = map(PMT_MAP_RESULTS,
		   PMT_PAGE_AREA + s.info.slots * sizeof(struct pmt_result),
		   PROT_READ | PROT_WRITE);
	s.server = (void *)area;
	s.results = (void *)(area + PMT_PAGE_AREA);
	s.data = map(PMT_MAP_DATA, 2 * (size_t)s.info.data_size, PROT_READ | PROT_WRITE);
	if (ioctl(s.fd, PMT_IOC_ATTACH, &attach) < 0)
		die("attach");
}

/* Both copies of the data area hold the same bytes. */
static void look_twice(const struct pmt_command *cmd)
{
	uint32_t size = s.info.data_size, in_first;

	if (cmd->offset % 4096)
		die("a record of a page or more is not on a page");
	in_first = size - cmd->offset < cmd->length ? size - cmd->offset : cmd->length;
	if (memcmp(s.data + cmd->offset, s.data + size + cmd->offset, in_first))
		die("the two copies of the data area differ");
	if (in_first < cmd->length) {
		s.across++;
		if (memcmp(s.data + size, s.data, cmd->length - in_first))
			die("the two copies differ across the end");
	}
}

static void do_write(const struct pmt_command *cmd)
{
	look_twice(cmd);
	if (pwrite(s.file, s.data + cmd->offset, cmd->length,
		   (off_t)(cmd->place.lbn * SPACE)) != (ssize_t)cmd->length)
		die("direct write");
	s.length[cmd->place.lbn] = cmd->length;
	s.lbn = s.eod = cmd->place.lbn + 1;
	s.moved++;
}

static void do_read(const struct pmt_command *cmd, struct pmt_result *res)
{
	uint64_t lbn = cmd->place.lbn;

	s.lbn = lbn;
	if (lbn >= s.eod || !s.length[lbn] || s.length[lbn] > cmd->length) {
		res->status = PMT_STATUS_CHECK;
		res->key = PMT_KEY_BLANK;
		res->residue = cmd->length;
		return;
	}
	if (pread(s.file, s.data + cmd->offset, s.length[lbn], (off_t)(lbn * SPACE)) !=
	    (ssize_t)s.length[lbn])
		die("direct read");
	look_twice(cmd);
	res->residue = cmd->length - s.length[lbn];
	s.lbn = lbn + 1;
	s.moved++;
}

static void execute(const struct pmt_command *cmd, struct pmt_result *res)
{
	if (cmd->flags & PMT_CMD_HERE && !s.placed) {
		res->status = PMT_STATUS_CHECK;
		res->key = PMT_KEY_ABORTED;
		res->asc = 0x3b;
		return;
	}
	s.placed |= cmd->op != PMT_OP_TEST && cmd->op != PMT_OP_MODE;
	switch (cmd->op) {
	case PMT_OP_TEST:
		res->medium_flags = PMT_MEDIUM_PRESENT;
		res->medium[0] = 1;
		break;
	case PMT_OP_WRITE:
		do_write(cmd);
		break;
	case PMT_OP_READ:
		do_read(cmd, res);
		break;
	case PMT_OP_WRITE_FILEMARKS:
		s.length[cmd->place.lbn] = 0;
		s.lbn = s.eod = cmd->place.lbn + (uint64_t)cmd->count;
		break;
	case PMT_OP_REWIND:
		s.lbn = 0;
		break;
	default:
		break;
	}
}

/* An exception holds up what is behind it until the cancel word has passed it. */
static int wanted(uint32_t number, int frozen, uint32_t exception)
{
	uint32_t cancel = __atomic_load_n(&s.kernel->cancel, __ATOMIC_ACQUIRE);

	if (frozen && (int32_t)(cancel - exception) <= 0)
		return -1;
	return (int32_t)(number - cancel) >= 0;
}

static void answer(uint32_t number, int execute_it, int *frozen, uint32_t *exception)
{
	const struct pmt_command *cmd = &s.commands[number % s.info.slots];
	struct pmt_result res = { .number = number, .room = PMT_UNKNOWN,
				  .eod = PMT_UNKNOWN,
				  .status = PMT_STATUS_CANCELLED };

	if (execute_it) {
		res.status = PMT_STATUS_GOOD;
		execute(cmd, &res);
	}
	res.place = (struct pmt_place) { .generation = cmd->place.generation,
					 .lbn = s.lbn, .file = PMT_UNKNOWN,
					 .block = PMT_UNKNOWN };
	if (res.status == PMT_STATUS_CHECK) {
		*frozen = 1;
		*exception = number;
	} else if (execute_it) {
		*frozen = 0;
	}
	s.results[number % s.info.slots] = res;
	__atomic_store_n(&s.server->done, number + 1, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&s.kernel->asleep, __ATOMIC_RELAXED))
		ioctl(s.fd, PMT_IOC_KICK);
}

static void park(void)
{
	struct pollfd fd = { .fd = s.fd, .events = POLLIN };
	uint32_t tail = __atomic_load_n(&s.kernel->tail, __ATOMIC_ACQUIRE);
	uint32_t cancel = __atomic_load_n(&s.kernel->cancel, __ATOMIC_ACQUIRE);

	s.server->seen = tail;
	s.server->cancel_seen = cancel;
	__atomic_store_n(&s.server->parked, 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&s.kernel->tail, __ATOMIC_RELAXED) == tail &&
	    __atomic_load_n(&s.kernel->cancel, __ATOMIC_RELAXED) == cancel &&
	    (poll(&fd, 1, 60000) <= 0 || fd.revents & (POLLHUP | POLLERR)))
		die("poll");
	__atomic_store_n(&s.server->parked, 0, __ATOMIC_RELAXED);
}

int main(int argc, char **argv)
{
	uint32_t number, exception = 0;
	int frozen = 0;

	if (argc != 4)
		return 2;
	s.file = open(argv[2], O_RDWR | O_CREAT | O_DIRECT, 0600);
	if (s.file < 0)
		die(argv[2]);
	attach(argv[1]);
	number = s.server->done;
	while (s.moved < (unsigned int)atoi(argv[3])) {
		int want = wanted(number, frozen, exception);

		if (want < 0 ||
		    __atomic_load_n(&s.kernel->tail, __ATOMIC_ACQUIRE) == number) {
			park();
			continue;
		}
		answer(number++, want, &frozen, &exception);
	}
	printf("%u records by direct I/O, %u across the end\n", s.moved, s.across);
	return 0;
}
