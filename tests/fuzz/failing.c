// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * failing: every allocation and every copy of every entry point fails, one at a time
 *
 *	failing UNIT [NAME...]		the entry points, or those of these names
 *	failing load DIR [PARAM]	of loading DIR/pmts.ko, then DIR/pmtm.ko
 *
 * The kernel's fault injection has a counter in each task: the n-th allocation or
 * copy from or to user space that the task makes fails (/proc/self/fail-nth).  Each
 * entry point is run with n = 1, 2, 3 and so on, until it ends without having used
 * the counter up; first while only allocations that may not sleep fail, then all.
 * (The counter is also used up by allocations of the checkers, whose failure no
 * program sees.)
 *
 * Asserted: the result is success, or an error that a lack of memory or a bad address
 * explains; what was told is so (a unit exists or not, so many records are there);
 * the last, undisturbed run succeeds; after each the served unit UNIT takes a round
 * trip, and behind all of an entry point so does a slave end.
 *
 * Prints "# NAME: N injected, M told" and "ok NAME" or "not ok NAME".  Nothing
 * injected is a failure, but where the table says why that is so.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/mtio.h>
#include <linux/pmt.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <poll.h>
#include <scsi/sg.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "pmt.h"

#define SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define RECORD	3000
#define LARGE	(200u << 10)
#define NTH_MAX	20000		/* an entry point that never ends */

static struct {
	int nth;			/* /proc/self/fail-nth */
	char tape[64], slave[64], spare_tape[64];
	uint32_t spare;			/* a unit that nobody serves */
	int family;
	struct pmt_control *control;
	struct pmt_info info;		/* of the spare */
	/* of one run */
	int fd, netlink, folder;
	uint32_t made;
	void *map;
	size_t map_size;
	const struct entry *entry;
	bool bad;
	char buffer[LARGE], other[LARGE];
} f = { .fd = -1, .netlink = -1 };

struct entry {
	const char *name;
	void (*prepare)(void);
	int (*run)(void);		/* 0, or -errno */
	void (*after)(int result);	/* checks what was told, and tidies up */
	int wanted;			/* of a run without a failure */
	long argument, count;
	const char *nothing;		/* why nothing can fail in it */
};

static void bad(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void die(const char *what) __attribute__((noreturn));

static void bad(const char *format, ...)
{
	va_list ap;

	f.bad = true;
	printf("# %s: ", f.entry ? f.entry->name : "failing");
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
}

static void die(const char *what)
{
	printf("not ok %s\n# %s: %s\n", f.entry ? f.entry->name : "setup", what,
	       strerror(errno));
	exit(1);
}

static int result(long returned)
{
	return returned < 0 ? -errno : 0;
}

static const char *name_of(int error)
{
	const char *text = strerrorname_np(-error);

	return error ? text ? text : "?" : "success";
}

/* ---- the counter ---- */

static void setting(const char *attribute, const char *file, const char *value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", attribute, file);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		die(path);
	close(fd);
}

/* Also those that may sleep? */
static void may_sleep(bool too)
{
	setting("failslab", "ignore-gfp-wait", too ? "N" : "Y");
	setting("fail_page_alloc", "ignore-gfp-wait", too ? "N" : "Y");
}

static void open_counter(void)
{
	static const char *const all[] = { "failslab", "fail_page_alloc", "fail_usercopy" };

	for (size_t i = 0; i < SIZE(all); i++) {
		setting(all[i], "probability", "0");
		setting(all[i], "verbose", "0");
	}
	setting("fail_page_alloc", "min-order", "0");
	setting("fail_page_alloc", "ignore-gfp-highmem", "N");
	setting("failslab", "cache-filter", "N");
	f.nth = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	if (f.nth < 0)
		die("/proc/self/fail-nth");
}

static void arm(int nth)
{
	char text[16];

	if (pwrite(f.nth, text, (size_t)snprintf(text, sizeof(text), "%d", nth), 0) < 0)
		die("fail-nth");
}

/*
 * What is left of the counter: 0 if something has failed.  Reading it is a copy
 * itself, and may be the one that fails.
 */
static int disarm(void)
{
	char text[16] = "";
	ssize_t n = pread(f.nth, text, sizeof(text) - 1, 0);
	int left = n > 0 ? atoi(text) : 1;

	if (pwrite(f.nth, "0", 1, 0) < 0 && pwrite(f.nth, "0", 1, 0) < 0)
		die("fail-nth");
	return left;
}

/* ---- the served unit ---- */

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

static void round_trip(void)
{
	static unsigned int seed;
	int fd = open_tape();

	fill(f.buffer, RECORD, ++seed);
	memset(f.other, 0, RECORD);
	if (write(fd, f.buffer, RECORD) != RECORD || operation(fd, MTWEOF, 1) ||
	    operation(fd, MTREW, 1) || read(fd, f.other, LARGE) != RECORD ||
	    memcmp(f.buffer, f.other, RECORD) || read(fd, f.other, LARGE) != 0)
		bad("no round trip behind it: %s", strerror(errno));
	if (close(fd) < 0)
		bad("no close behind it: %s", strerror(errno));
}

/* ---- the spare unit ---- */

static size_t area_size(unsigned int index)
{
	size_t slot = index == 0 ? sizeof(struct pmt_command) : sizeof(struct pmt_result);

	if (index == 2)
		return 2 * (size_t)f.info.data_size;
	return (PMT_PAGE_AREA + f.info.slots * slot + 4095) / 4096 * 4096;
}

static int map_area(unsigned int index)
{
	f.map_size = area_size(index);
	f.map = mmap(NULL, f.map_size, index ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
		     f.fd, (off_t)((uint64_t)index << 32));
	if (f.map != MAP_FAILED)
		return 0;
	f.map = NULL;
	return -errno;
}

static void unmap(void)
{
	if (f.map)
		munmap(f.map, f.map_size);
	f.map = NULL;
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
	if (f.fd < 0 || ioctl(f.fd, PMT_IOC_INFO, &f.info) < 0)
		die(f.slave);
}

static void open_server(void)
{
	open_slave();
	if (attach())
		die("attach");
}

static void close_slave(int told)
{
	(void)told;
	unmap();
	if (f.fd >= 0)
		close(f.fd);
	f.fd = -1;
	if (pmt_unit_abort(f.control, f.spare))
		bad("no abort behind it");
}

static void slave_round_trip(void)
{
	open_server();
	for (unsigned int i = 0; i < 3; i++) {
		if (map_area(i))
			bad("no area %u behind it", i);
		else
			for (size_t at = 0; at < f.map_size; at += 4096)
				(void)((volatile char *)f.map)[at];
		unmap();
	}
	close_slave(0);
}

/* ---- entry points of the master end ---- */

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
		if (write(f.fd, f.buffer, RECORD) != RECORD)
			die("write");
}

static int run_close(void)
{
	int fd = f.fd;

	f.fd = -1;
	return result(close(fd));
}

/* Three records, a mark, two more; at the beginning. */
static void prepare_read(void)
{
	prepare_written();
	if (operation(f.fd, MTWEOF, 1) || write(f.fd, f.buffer, RECORD) != RECORD ||
	    write(f.fd, f.buffer, RECORD) != RECORD || operation(f.fd, MTWEOF, 1) ||
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
	wrote = write(f.fd, f.buffer, (size_t)f.entry->count);
	return result(wrote);
}

static int run_writev(void)
{
	struct iovec part[3];

	for (int i = 0; i < 3; i++)
		part[i] = (struct iovec){ f.buffer, RECORD };
	wrote = writev(f.fd, part, 3);
	return result(wrote);
}

static int run_writev_many(void)
{
	struct iovec part[10];

	for (int i = 0; i < 10; i++)	/* more than the kernel's stack has room for */
		part[i] = (struct iovec){ f.buffer, RECORD };
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
	while ((n = read(f.fd, f.other, LARGE)) > 0)
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
	return result(read(f.fd, f.other, (size_t)f.entry->count));
}

static int run_readv(void)
{
	struct iovec part[10];

	for (int i = 0; i < 10; i++)
		part[i] = (struct iovec){ f.other, RECORD };
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
	fill(f.buffer, (size_t)block, (unsigned int)block);
	if (write(f.fd, f.buffer, (size_t)block) != block || operation(f.fd, MTWEOF, 1) ||
	    operation(f.fd, MTREW, 1))
		die("a block");
	memset(f.other, 0, (size_t)block);
}

static int run_read_part(void)
{
	return result(read(f.fd, f.other, 700));
}

/* What could not be kept must not have been taken; a bad address is its own fault. */
static void check_part(int told)
{
	size_t have = told ? 0 : 700, rest = (size_t)block - have;

	if (told != -EFAULT && (read(f.fd, f.other + have, rest) != (ssize_t)rest ||
				memcmp(f.buffer, f.other, (size_t)block)))
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

static int run_poll(void)
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

/* ---- entry points of the slave end ---- */

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
	for (size_t at = 0; at < f.map_size; at += 4096)
		(void)((volatile char *)f.map)[at];
	return 0;
}

/* ---- entry points of the control plane ---- */

static unsigned int units;

static int count_unit(const struct pmt_unit_info *info, void *context)
{
	(void)info;
	(void)context;
	units++;
	return 0;
}

static unsigned int count_units(void)
{
	units = 0;
	if (pmt_unit_list(f.control, count_unit, NULL) < 0)
		die("list");
	return units;
}

static struct {
	struct nl_msg *request;
	unsigned int before;		/* units */
	int sent;			/* 0, or why it was not */
	union {
		struct nlmsghdr header;
		char bytes[32768];
	} answer;
} n;

static void prepare_request(void)
{
	struct sockaddr_nl to = { .nl_family = AF_NETLINK };
	int flags = f.entry->count ? NLM_F_DUMP : NLM_F_REQUEST | NLM_F_ACK;
	struct timeval patience = { .tv_sec = 10 };
	int command = (int)f.entry->argument;

	n.before = count_units();
	n.request = nlmsg_alloc();
	if (!n.request || !genlmsg_put(n.request, 0, 1, f.family, 0, flags | NLM_F_REQUEST,
				       (uint8_t)command, PMT_GENL_VERSION))
		die("a request");
	if (command == PMT_NL_NEW)
		nla_put_u32(n.request, PMT_A_DATA_SIZE, PMT_DATA_SIZE_MIN);
	else if (!f.entry->count)
		nla_put_u32(n.request, PMT_A_UNIT, f.made);
	if (command == PMT_NL_SET)
		nla_put_u32(n.request, PMT_A_RECOVERY, PMT_RECOVERY_DEFAULT);
	f.netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (f.netlink < 0 || connect(f.netlink, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    setsockopt(f.netlink, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		die("netlink");
}

static void prepare_doomed(void)
{
	struct pmt_unit_config config = { .unit = PMT_ANY_UNIT,
					  .data_size = PMT_DATA_SIZE_MIN };

	if (pmt_unit_new(f.control, &config, &f.made))
		die("new");
	prepare_request();
}

static void prepare_spare_request(void)
{
	f.made = f.spare;
	open_server();
	prepare_request();
}

/* The error of a message of ours, 0 if there is none, or 1: that was not the end. */
static int take_answer(ssize_t length)
{
	struct nlmsghdr *header = &n.answer.header;
	int left = (int)length;

	for (; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left))
		if (header->nlmsg_type == NLMSG_ERROR || header->nlmsg_type == NLMSG_DONE)
			return *(int *)NLMSG_DATA(header);
	return 1;
}

static int run_request(void)
{
	struct nlmsghdr *header = nlmsg_hdr(n.request);
	int ret;

	n.sent = result(send(f.netlink, header, header->nlmsg_len, 0));
	if (n.sent)
		return n.sent;
	do {
		ssize_t got = recv(f.netlink, n.answer.bytes, sizeof(n.answer.bytes), 0);

		ret = got < 0 ? -errno : take_answer(got);
	} while (ret > 0);
	return ret;
}

static void after_request(int told)
{
	(void)told;
	close(f.netlink);
	f.netlink = -1;
	nlmsg_free(n.request);
	n.request = NULL;
}

/* The answer itself was lost: by the receiving copy, or as there was no room for it. */
static bool unheard(int told)
{
	return !n.sent && (told == -ENOBUFS || told == -EFAULT);
}

static int is_extra(const struct pmt_unit_info *info, void *context)
{
	uint32_t *last = context;

	*last = info->unit;
	return 0;
}

static void after_new(int told)
{
	unsigned int made = count_units() - n.before;
	uint32_t last = 0;

	after_request(told);
	if (!unheard(told) && made != !told)
		bad("%u units were made, and %s was told", made, name_of(told));
	if (!made)
		return;
	pmt_unit_list(f.control, is_extra, &last);
	snprintf(f.spare_tape, sizeof(f.spare_tape), "/dev/npmtm%ua", last);
	if (access(f.spare_tape, F_OK) < 0)
		bad("it has no node: %s", f.spare_tape);
	if (pmt_unit_delete(f.control, last))
		bad("the unit does not go");
}

static void after_delete(int told)
{
	unsigned int gone = n.before - count_units();

	after_request(told);
	if (!unheard(told) && gone != !told)
		bad("%u units are gone, and %s was told", gone, name_of(told));
	if (!gone && pmt_unit_delete(f.control, f.made))
		bad("the unit does not go");
}

static void after_spare_request(int told)
{
	after_request(told);
	close_slave(told);
}

/* ---- the table ---- */

#define MASTER(op, n) { #op, prepare_operation, run_operation, close_tape, 0, op, n, NULL }
#define REFUSED(op, n, error) \
	{ #op, prepare_operation, run_operation, close_tape, -(error), op, n, NULL }

static const struct entry entries[] = {
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
	{ "fault_commands", prepare_fault, run_fault, close_slave, 0, 0, 0, NULL },
	{ "fault_results", prepare_fault, run_fault, close_slave, 0, 1, 0, NULL },
	{ "fault_data", prepare_fault, run_fault, close_slave, 0, 2, 0, NULL },
	{ "unit_get", prepare_spare_request, run_request, after_spare_request, 0,
	  PMT_NL_GET, 0, NULL },
	{ "unit_dump", prepare_spare_request, run_request, after_spare_request, 0,
	  PMT_NL_GET, 1, NULL },
	{ "unit_set", prepare_spare_request, run_request, after_spare_request, 0,
	  PMT_NL_SET, 0, NULL },
	{ "unit_abort", prepare_spare_request, run_request, after_spare_request, 0,
	  PMT_NL_ABORT, 0, NULL },
	{ "unit_detach", prepare_spare_request, run_request, after_spare_request, 0,
	  PMT_NL_DETACH, 0, NULL },
	{ "unit_delete", prepare_doomed, run_request, after_delete, 0, PMT_NL_DEL, 0, NULL },
	{ "unit_new", prepare_request, run_request, after_new, 0, PMT_NL_NEW, 0, NULL },
};

/* ---- running it ---- */

static struct count {
	unsigned int injected, told;
} count;

static bool expected(int told, bool injected)
{
	if (told == f.entry->wanted)
		return true;
	return injected && (told == -ENOMEM || told == -EFAULT ||
			    (told == -ENOBUFS && n.request));
}

/* With the nth failing: did one fail? */
static bool once(int nth)
{
	const struct entry *entry = f.entry;
	bool injected;
	int told;

	if (entry->prepare)
		entry->prepare();
	arm(nth);
	told = entry->run();
	injected = !disarm();
	if (!expected(told, injected))
		bad("the %dth: %s", nth, name_of(told));
	count.injected += injected;
	count.told += injected && told != entry->wanted;
	if (entry->after)
		entry->after(told);
	round_trip();
	return injected;
}

static void verdict(const char *nothing)
{
	if (!count.injected && !nothing)
		bad("nothing was injected");
	printf("# %s: %u injected, %u told%s%s\n%s %s\n", f.entry->name, count.injected,
	       count.told, count.injected || !nothing ? "" : ": ",
	       count.injected || !nothing ? "" : nothing, f.bad ? "not ok" : "ok",
	       f.entry->name);
	fflush(stdout);
}

static bool try_entry(const struct entry *entry)
{
	f.entry = entry;
	f.bad = false;
	count = (struct count){ 0 };
	for (int sleeping = 0; sleeping < 2; sleeping++) {
		may_sleep(sleeping);
		for (int nth = 1; !f.bad && once(nth); nth++)
			if (nth == NTH_MAX)
				bad("it never ends");
		slave_round_trip();
	}
	verdict(entry->nothing);
	f.entry = NULL;
	return !f.bad;
}

static bool named(const struct entry *entry, char **names)
{
	bool found = !names[0];

	for (; *names; names++)
		found |= strcmp(*names, entry->name) == 0;
	return found;
}

static void make_spare(void)
{
	struct pmt_unit_config config = { .unit = PMT_ANY_UNIT,
					  .data_size = PMT_DATA_SIZE_MIN };
	struct nl_sock *socket = nl_socket_alloc();

	if (!socket || genl_connect(socket) < 0)
		die("netlink");
	f.family = genl_ctrl_resolve(socket, PMT_GENL_NAME);
	nl_socket_free(socket);
	if (f.family < 0 || pmt_control_open(&f.control) ||
	    pmt_unit_new(f.control, &config, &f.spare))
		die("a spare unit");
	snprintf(f.slave, sizeof(f.slave), "/dev/pmts%u", f.spare);
}

static int try_entries(const char *unit, char **names)
{
	int status = 0;

	char path[128];

	snprintf(f.tape, sizeof(f.tape), "/dev/npmtm%s", unit);
	snprintf(path, sizeof(path), "/sys/class/pmt/npmtm%s", unit);
	f.folder = open(path, O_PATH | O_CLOEXEC);
	if (f.folder < 0)
		die(path);
	make_spare();
	for (size_t i = 0; i < SIZE(entries); i++)
		if (named(&entries[i], names) && !try_entry(&entries[i]))
			status = 1;
	if (pmt_unit_delete(f.control, f.spare))
		die("the spare unit does not go");
	pmt_control_close(f.control);
	return status;
}

/* ---- loading ---- */

static int load(const char *path, const char *parameters)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = result(syscall(SYS_finit_module, fd, parameters, 0));
	close(fd);
	return ret;
}

static int unload(const char *name)
{
	return result(syscall(SYS_delete_module, name, O_NONBLOCK));
}

/*
 * Loading a module that is there already fails behind all that is the loader's
 * large allocations, which are nobody's business here and complain loudly.  What
 * comes behind is the module's own, but for some of the loader's.
 */
static int allocations_of_loader(const char *path, const char *parameters)
{
	int left;

	arm(1 << 20);
	if (load(path, parameters) != -EEXIST)
		die(path);
	left = disarm();
	return (1 << 20) - left;
}

static bool try_load(const char *dir, const char *name, const char *parameters, int step)
{
	struct entry entry = { .name = name };
	char path[4096];
	bool injected = true;
	int first;

	f.entry = &entry;
	f.bad = false;
	count = (struct count){ 0 };
	may_sleep(true);
	snprintf(path, sizeof(path), "%s/%s.ko", dir, name);
	if (load(path, parameters))
		die(path);
	first = allocations_of_loader(path, parameters) + 1;
	if (unload(name))
		die("unload");
	for (int nth = first; injected && !f.bad; nth += step) {
		int told;

		arm(nth);
		told = load(path, parameters);
		injected = !disarm();
		if (!expected(told, injected))
			bad("the %dth: %s", nth, name_of(told));
		count.injected += injected;
		count.told += injected && told;
		if (!told && unload(name))
			bad("it can not be unloaded");
	}
	if (!injected && load(path, parameters))
		bad("it can not be loaded behind it");
	verdict(NULL);
	return !f.bad;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fputs("usage: failing UNIT [NAME...] | load DIR [PARAM [STEP]]\n", stderr);
		return 2;
	}
	open_counter();
	if (strcmp(argv[1], "load") || argc < 3)
		return try_entries(argv[1], argv + 2);
	return !try_load(argv[2], "pmts", "", 1) ||
	       !try_load(argv[2], "pmtm", argc > 3 ? argv[3] : "",
			 argc > 4 ? atoi(argv[4]) : 1);
}
