// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * master: the entry points of the master end, on the tape of the served unit
 *
 * And the round trip that this tape takes behind each entry point there is.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mtio.h>
#include <poll.h>
#include <scsi/sg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "failing.h"

#define RECORD	3000
#define LARGE	(200u << 10)

static char buffer[LARGE], other[LARGE];

static int operation(int fd, short op, int count)
{
	struct mtop mtop = { .mt_op = op, .mt_count = count };

	return result(ioctl(fd, MTIOCTOP, &mtop));
}

/* Whatever became of it: loaded, at its beginning, with blocks of any size. */
static int open_tape(void)
{
	int fd = open(f.tape, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	struct mtget get = { 0 };

	/* Without O_NONBLOCK it would wait for a tape to be brought. */
	if (fd >= 0 && (ioctl(fd, MTIOCGET, &get) < 0 || !GMT_ONLINE(get.mt_gstat)))
		operation(fd, MTLOAD, 1);
	if (fd < 0)
		die(f.tape);
	if (operation(fd, MTREW, 1) || operation(fd, MTSETBLK, 0) || operation(fd, MTUNLOCK, 0))
		die("the tape cannot be made ready");
	return fd;
}

static void fill(char *to, size_t size, unsigned int seed)
{
	for (size_t i = 0; i < size; i++)
		to[i] = (char)(seed + i * 7 + i / 251);
}

void round_trip(void)
{
	static unsigned int seed;
	int fd = open_tape();

	fill(buffer, RECORD, ++seed);
	memset(other, 0, RECORD);
	if (write(fd, buffer, RECORD) != RECORD || operation(fd, MTWEOF, 1) ||
	    operation(fd, MTREW, 1) || read(fd, other, LARGE) != RECORD ||
	    memcmp(buffer, other, RECORD) || read(fd, other, LARGE) != 0)
		bad("no round trip behind it: %s", strerror(errno));
	if (close(fd) < 0)
		bad("no close behind it: %s", strerror(errno));
}

static void prepare_open(void)
{
	f.fd = open_tape();
	close(f.fd);
	f.fd = -1;
}

static int run_open(void)
{
	f.fd = open(f.tape, O_RDWR | O_CLOEXEC);
	return result(f.fd);
}

static void close_tape(int told)
{
	(void)told;
	if (f.fd >= 0)
		close(f.fd);
	f.fd = -1;
}

static void prepare_tape(void)
{
	f.fd = open_tape();
}

static void prepare_written(void)
{
	f.fd = open_tape();
	for (int i = 0; i < 3; i++)
		if (write(f.fd, buffer, RECORD) != RECORD)
			die("write");
}

int run_close(void)
{
	int fd = f.fd;

	f.fd = -1;
	return result(close(fd));
}

/* Three records, a mark, two more; at the beginning. */
static void prepare_read(void)
{
	prepare_written();
	if (operation(f.fd, MTWEOF, 1) || write(f.fd, buffer, RECORD) != RECORD ||
	    write(f.fd, buffer, RECORD) != RECORD || operation(f.fd, MTWEOF, 1) ||
	    operation(f.fd, MTREW, 1))
		die("the tape to read");
}

static void prepare_operation(void)
{
	prepare_read();
	if (operation(f.fd, MTFSF, 1))
		die("fsf");
}

static int run_operation(void)
{
	return operation(f.fd, (short)f.entry->argument, (int)f.entry->count);
}

static ssize_t wrote;

static int run_write(void)
{
	wrote = write(f.fd, buffer, (size_t)f.entry->count);
	return result(wrote);
}

static int run_writev(void)
{
	struct iovec part[3];

	for (int i = 0; i < 3; i++)
		part[i] = (struct iovec){ buffer, RECORD };
	wrote = writev(f.fd, part, 3);
	return result(wrote);
}

static int run_writev_many(void)
{
	struct iovec part[10];

	for (int i = 0; i < 10; i++)	/* more than the kernel's stack has room for */
		part[i] = (struct iovec){ buffer, RECORD };
	wrote = writev(f.fd, part, 10);
	return result(wrote);
}

/* As many bytes are on the tape as were told. */
static void check_written(int told)
{
	ssize_t n, sum = 0;

	if (told < 0)
		wrote = 0;
	if (operation(f.fd, MTWEOF, 1) || operation(f.fd, MTREW, 1) ||
	    operation(f.fd, MTSETBLK, 0))
		die("rewind");
	while ((n = read(f.fd, other, LARGE)) > 0)
		sum += n;
	if (n < 0 || sum != wrote)
		bad("%zd bytes are there, %zd were told (%s)", sum, wrote, name_of(told));
	close_tape(0);
}

static void prepare_fixed(void)
{
	f.fd = open_tape();
	if (operation(f.fd, MTSETBLK, 1000))
		die("setblk");
}

static int run_read(void)
{
	return result(read(f.fd, other, (size_t)f.entry->count));
}

static int run_readv(void)
{
	struct iovec part[10];

	for (int i = 0; i < 10; i++)
		part[i] = (struct iovec){ other, RECORD };
	return result(readv(f.fd, part, (int)f.entry->count));
}

/* Blocks that are larger each time: what is kept of one needs memory again. */
static int block = 1000;

static void prepare_part(void)
{
	f.fd = open_tape();
	block += 8;
	if (block > (int)LARGE || operation(f.fd, MTSETBLK, block))
		die("setblk");
	fill(buffer, (size_t)block, (unsigned int)block);
	if (write(f.fd, buffer, (size_t)block) != block || operation(f.fd, MTWEOF, 1) ||
	    operation(f.fd, MTREW, 1))
		die("a block");
	memset(other, 0, (size_t)block);
}

static int run_read_part(void)
{
	return result(read(f.fd, other, 700));
}

/* What could not be kept must not have been taken; a bad address is its own fault. */
static void check_part(int told)
{
	size_t have = told ? 0 : 700, rest = (size_t)block - have;

	if (told != -EFAULT && (read(f.fd, other + have, rest) != (ssize_t)rest ||
				memcmp(buffer, other, (size_t)block)))
		bad("the block is lost behind %s", name_of(told));
	close_tape(0);
}

static int run_get(void)
{
	struct mtget get;

	return result(ioctl(f.fd, MTIOCGET, &get));
}

static int run_pos(void)
{
	struct mtpos pos;

	return result(ioctl(f.fd, MTIOCPOS, &pos));
}

static int run_sg(void)
{
	static unsigned char cdb[6] = { 0x12, 0, 0, 0, 36, 0 }, data[36], sense[32];
	struct sg_io_hdr hdr = {
		.interface_id = 'S', .cmd_len = sizeof(cdb), .cmdp = cdb,
		.dxfer_direction = SG_DXFER_FROM_DEV, .dxfer_len = sizeof(data),
		.dxferp = data, .mx_sb_len = sizeof(sense), .sbp = sense,
	};

	cdb[0] = (unsigned char)f.entry->argument;
	return result(ioctl(f.fd, SG_IO, &hdr));
}

int run_poll(void)
{
	struct pollfd poll_fd = { .fd = f.fd, .events = POLLIN | POLLOUT };

	return result(poll(&poll_fd, 1, 0));
}

static int run_lseek(void)
{
	return result(lseek(f.fd, 0, SEEK_SET));
}

/* All files of a folder of sysfs, until one fails. */
static int run_sysfs(void)
{
	static const char *const names[] = {
		"defined", "default_blksize", "default_density", "default_compression",
		"options", "stats/in_flight", "stats/io_ns", "stats/write_cnt", "dev", "uevent",
	};
	char text[4096];

	for (size_t i = 0; i < SIZE(names); i++) {
		int fd = openat(f.folder, names[i], O_RDONLY | O_CLOEXEC), ret;

		if (fd < 0)
			return -errno;
		ret = result(read(fd, text, sizeof(text)));
		close(fd);
		if (ret)
			return ret;
	}
	return 0;
}

#define MASTER(op, n) { #op, prepare_operation, run_operation, close_tape, 0, op, n, NULL }
#define REFUSED(op, n, error) \
	{ #op, prepare_operation, run_operation, close_tape, -(error), op, n, NULL }

const struct entry master_entries[] = {
	{ "open", prepare_open, run_open, close_tape, 0, 0, 0, NULL },
	{ "close", prepare_written, run_close, close_tape, 0, 0, 0,
	  "the command needs no memory" },
	{ "write", prepare_tape, run_write, check_written, 0, 0, RECORD, NULL },
	{ "write_large", prepare_tape, run_write, check_written, 0, 0, LARGE, NULL },
	{ "write_fixed", prepare_fixed, run_write, check_written, 0, 0, 10000, NULL },
	{ "writev", prepare_tape, run_writev, check_written, 0, 0, 0, NULL },
	{ "writev_many", prepare_tape, run_writev_many, check_written, 0, 0, 0, NULL },
	{ "read", prepare_read, run_read, close_tape, 0, 0, LARGE, NULL },
	{ "readv", prepare_read, run_readv, close_tape, 0, 0, 2, NULL },
	{ "readv_many", prepare_read, run_readv, close_tape, 0, 0, 10, NULL },
	{ "read_part_of_a_block", prepare_part, run_read_part, check_part, 0, 0, 0, NULL },
	{ "MTIOCGET", prepare_operation, run_get, close_tape, 0, 0, 0, NULL },
	{ "MTIOCPOS", prepare_operation, run_pos, close_tape, 0, 0, 0,
	  "put_user is not among the copies that can fail" },
	{ "SG_IO_inquiry", prepare_operation, run_sg, close_tape, 0, 0x12, 0, NULL },
	{ "SG_IO_unknown", prepare_operation, run_sg, close_tape, 0, 0x5e, 0, NULL },
	MASTER(MTFSF, 1), MASTER(MTBSF, 1), MASTER(MTFSR, 1), REFUSED(MTBSR, 1, EIO),
	MASTER(MTBSFM, 1), MASTER(MTFSFM, 1), MASTER(MTWEOF, 1), MASTER(MTWEOFI, 1),
	MASTER(MTREW, 1), MASTER(MTRETEN, 1), MASTER(MTEOM, 1), MASTER(MTERASE, 0),
	MASTER(MTNOP, 1), MASTER(MTOFFL, 1), MASTER(MTUNLOAD, 1), MASTER(MTLOAD, 1),
	MASTER(MTSEEK, 1), MASTER(MTSETBLK, 512), MASTER(MTSETDENSITY, 0),
	MASTER(MTCOMPRESSION, 1), MASTER(MTLOCK, 1), MASTER(MTUNLOCK, 1),
	MASTER(MTSETDRVBUFFER, MT_ST_SETBOOLEANS | MT_ST_BUFFER_WRITES),
	REFUSED(MTSETPART, 1, EINVAL), REFUSED(MTMKPART, 0, EINVAL),
	REFUSED(MTFSS, 1, EIO), REFUSED(MTBSS, 1, EIO), REFUSED(MTWSM, 1, EIO),
	{ "poll", prepare_tape, run_poll, close_tape, 0, 0, 0, NULL },
	{ "lseek", prepare_tape, run_lseek, close_tape, 0, 0, 0, "nothing is asked for" },
	{ "sysfs", NULL, run_sysfs, NULL, 0, 0, 0, NULL },
	{ .name = NULL }
};
