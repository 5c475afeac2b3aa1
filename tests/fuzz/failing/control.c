// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * control: the entry points of the control plane
 *
 * A message is made beforehand; what is run is that it is sent, and its answer
 * received.  The spare unit is made and deleted here, too.
 */
#include <errno.h>
#include <linux/pmt.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "failing.h"
#include "pmt.h"

static int family;
static int add_unit(const struct pmt_unit_info *info, void *context)
{
	*(uint64_t *)context |= 1ull << info->unit % 64;
	return 0;
}

/* A bit for each: there are only a few. */
static uint64_t all_units(void)
{
	uint64_t units = 0;

	if (pmt_unit_list(f.control, add_unit, &units) < 0)
		die("list");
	return units;
}

static struct {
	struct nl_msg *request;
	uint32_t unit;			/* that it is for */
	int socket;
	uint64_t before;		/* the units */
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

	n.before = all_units();
	n.request = nlmsg_alloc();
	if (!n.request || !genlmsg_put(n.request, 0, 1, family, 0, flags | NLM_F_REQUEST,
				       (uint8_t)command, PMT_GENL_VERSION))
		die("a request");
	if (command == PMT_NL_NEW)
		nla_put_u32(n.request, PMT_A_DATA_SIZE, PMT_DATA_SIZE_MIN);
	else if (!f.entry->count)
		nla_put_u32(n.request, PMT_A_UNIT, n.unit);
	if (command == PMT_NL_SET)
		nla_put_u32(n.request, PMT_A_RECOVERY, PMT_RECOVERY_DEFAULT);
	n.socket = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (n.socket < 0 || connect(n.socket, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    setsockopt(n.socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		die("netlink");
}

static void prepare_doomed(void)
{
	struct pmt_unit_config config = { .unit = PMT_ANY_UNIT,
					  .data_size = PMT_DATA_SIZE_MIN };

	if (pmt_unit_new(f.control, &config, &n.unit))
		die("new");
	prepare_request();
}

static void prepare_spare_request(void)
{
	n.unit = f.spare;
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

	n.sent = result(send(n.socket, header, header->nlmsg_len, 0));
	if (n.sent)
		return n.sent;
	do {
		ssize_t got = recv(n.socket, n.answer.bytes, sizeof(n.answer.bytes), 0);

		ret = got < 0 ? -errno : take_answer(got);
	} while (ret > 0);
	return ret;
}

static void after_request(int told)
{
	(void)told;
	close(n.socket);
	n.socket = -1;
	nlmsg_free(n.request);
	n.request = NULL;
}

/* The answer itself was lost: by the receiving copy, or as there was no room for it. */
static bool unheard(int told)
{
	return !n.sent && (told == -ENOBUFS || told == -EFAULT);
}

static void after_new(int told)
{
	uint64_t extra = all_units() & ~n.before;
	unsigned int made = __builtin_popcountll(extra), number;
	char tape[64];

	after_request(told);
	if (!unheard(told) && made != !told)
		bad("%u units were made, and %s was told", made, name_of(told));
	if (!made)
		return;
	number = __builtin_ctzll(extra);
	snprintf(tape, sizeof(tape), "/dev/npmtm%ua", number);
	if (access(tape, F_OK) < 0)
		bad("it has no node: %s", tape);
	if (pmt_unit_delete(f.control, number))
		bad("the unit does not go");
}

static void after_delete(int told)
{
	unsigned int gone = __builtin_popcountll(n.before & ~all_units());

	after_request(told);
	if (!unheard(told) && gone != !told)
		bad("%u units are gone, and %s was told", gone, name_of(told));
	if (!gone && pmt_unit_delete(f.control, n.unit))
		bad("the unit does not go");
}

static void after_spare_request(int told)
{
	after_request(told);
	close_slave(told);
}

void make_spare(void)
{
	struct pmt_unit_config config = { .unit = PMT_ANY_UNIT,
					  .data_size = PMT_DATA_SIZE_MIN };
	struct nl_sock *socket = nl_socket_alloc();

	if (!socket || genl_connect(socket) < 0)
		die("netlink");
	family = genl_ctrl_resolve(socket, PMT_GENL_NAME);
	nl_socket_free(socket);
	if (family < 0 || pmt_control_open(&f.control) ||
	    pmt_unit_new(f.control, &config, &f.spare))
		die("a spare unit");
	snprintf(f.slave, sizeof(f.slave), "/dev/pmts%u", f.spare);
}

void delete_spare(void)
{
	if (pmt_unit_delete(f.control, f.spare))
		die("the spare unit does not go");
	pmt_control_close(f.control);
}

bool is_request(void)
{
	return n.request;
}

const struct entry control_entries[] = {
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
	{ .name = NULL }
};
