// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * netlink: malformed and unasked for messages to the family "pmt"
 *
 *	netlink fuzz FIRST COUNT
 *	netlink churn FIRST COUNT
 *	netlink denied ERRNO UNIT
 *	netlink credentials UNIT
 *	netlink silent
 *	netlink family
 *
 * Written from linux/pmt.h and the kernel's headers alone: no library is between
 * it and the kernel.
 *
 * fuzz: for PMT_FUZZ_SECONDS, from PMT_SEED.  Units FIRST and COUNT - 1 more are
 * not for it: no message that could change one of them is sent.  What it makes
 * it deletes.  Some sockets listen to events and never read, some dumps are left
 * in the middle.  Status 0: each message that was in order was answered.
 *
 * churn: makes and deletes units FIRST and COUNT - 1 more.
 *
 * denied: every command, in order and for UNIT, gives ERRNO (a number), and so
 * does the dump.  credentials: the privilege counts of who has opened the socket
 * and of who sends.  silent: nothing is heard of events for two seconds.
 * family: prints the numbers of the family and its group; PMT_FAMILY and PMT_GROUP
 * give them where the family cannot be found.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/pmt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SIZE(array)	(sizeof(array) / sizeof((array)[0]))
#define SOCKETS		32
#define ERRNOS		140

struct message {
	struct nlmsghdr head;
	struct genlmsghdr genl;
	char bytes[65000];
};

static struct {
	uint16_t family;
	uint32_t group;
	uint32_t first, count;		/* protected */
	uint64_t chance;
	uint32_t seq;
	unsigned int answers[PMT_NL_COMMANDS + 1][ERRNOS];
	unsigned int sent, dumps, made;
	bool plain;			/* send without an address, as write(2) */
	char parts[65536];
} n;

static void die(const char *what)
{
	fprintf(stderr, "netlink: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- chance ---- */

static uint64_t chance(void)
{
	n.chance ^= n.chance << 13;
	n.chance ^= n.chance >> 7;
	n.chance ^= n.chance << 17;
	return n.chance;
}

static unsigned int below(unsigned int limit)
{
	return (chance() >> 20) % limit;
}

static bool one_in(unsigned int limit)
{
	return !below(limit);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static double fuzz_end(void)
{
	const char *seconds = getenv("PMT_FUZZ_SECONDS");
	const char *seed = getenv("PMT_SEED");

	n.chance = ((seed ? strtoull(seed, NULL, 0) : 1) + 1) * 0x9e3779b97f4a7c15ull | 1;
	return now() + (seconds ? atof(seconds) : 20);
}

/* ---- messages in order ---- */

static int open_socket(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	struct timeval patience = { .tv_sec = 20 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static void begin(struct message *m, uint16_t type, uint16_t flags, uint8_t cmd)
{
	memset(m, 0, sizeof(m->head) + sizeof(m->genl));
	m->head.nlmsg_type = type;
	m->head.nlmsg_flags = flags;
	m->head.nlmsg_seq = ++n.seq;
	m->head.nlmsg_len = NLMSG_HDRLEN + GENL_HDRLEN;
	m->genl.cmd = cmd;
	m->genl.version = PMT_GENL_VERSION;
}

static bool add(struct message *m, uint16_t type, const void *data, size_t size)
{
	struct nlattr attr = { .nla_len = NLA_HDRLEN + size, .nla_type = type };
	char *end = (char *)m + m->head.nlmsg_len;

	if (m->head.nlmsg_len + NLA_HDRLEN + NLA_ALIGN(size) > sizeof(*m))
		return false;
	memcpy(end, &attr, sizeof(attr));
	memset(end + NLA_HDRLEN, 0, NLA_ALIGN(size));
	if (size)
		memcpy(end + NLA_HDRLEN, data, size);
	m->head.nlmsg_len += NLA_HDRLEN + NLA_ALIGN(size);
	return true;
}

static void add_u32(struct message *m, uint16_t type, uint32_t value)
{
	add(m, type, &value, sizeof(value));
}

static int send_bytes(int fd, const void *bytes, size_t size)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	if (n.plain)
		return write(fd, bytes, size) < 0 ? -errno : 0;
	return sendto(fd, bytes, size, MSG_DONTWAIT, (struct sockaddr *)&kernel,
		      sizeof(kernel)) < 0 ? -errno : 0;
}

/* The attribute of that type in an answer, or NULL. */
static const void *attribute(const struct message *m, uint16_t type)
{
	uint32_t at = NLMSG_HDRLEN + GENL_HDRLEN;
	const struct nlattr *attr;

	while (at + NLA_HDRLEN <= m->head.nlmsg_len) {
		attr = (const void *)((const char *)m + at);
		if ((attr->nla_type & NLA_TYPE_MASK) == type)
			return attr + 1;
		at += NLA_ALIGN(attr->nla_len);
		if (attr->nla_len < NLA_HDRLEN)
			break;
	}
	return NULL;
}

/* The answer to the last message: 0, -errno; -ETIME none.  reply: what came. */
static int answer(int fd, struct message *reply)
{
	static struct message other;
	struct message *m = reply ? reply : &other;
	ssize_t size;

	for (;;) {
		size = recv(fd, m, sizeof(*m), 0);
		if (size < 0)
			return errno == EAGAIN ? -ETIME : -errno;
		if (m->head.nlmsg_seq != n.seq)
			continue;
		if (m->head.nlmsg_type == NLMSG_ERROR)
			return *(int *)((char *)m + NLMSG_HDRLEN);
		return 0;
	}
}

static int ask(int fd, struct message *m, struct message *reply)
{
	int ret = send_bytes(fd, m, m->head.nlmsg_len);

	return ret ? ret : answer(fd, reply);
}

/* All groups of all families are the controller's to tell. */
static int find_family(int fd)
{
	static struct message m, reply;
	const uint16_t *id;
	const char *groups;
	const struct nlattr *group;
	int ret;

	begin(&m, GENL_ID_CTRL, NLM_F_REQUEST, CTRL_CMD_GETFAMILY);
	add(&m, CTRL_ATTR_FAMILY_NAME, PMT_GENL_NAME, sizeof(PMT_GENL_NAME));
	ret = ask(fd, &m, &reply);
	if (ret)
		return ret;
	id = attribute(&reply, CTRL_ATTR_FAMILY_ID);
	groups = attribute(&reply, CTRL_ATTR_MCAST_GROUPS);
	if (!id || !groups)
		return -EPROTO;
	n.family = *id;
	/* One group: an attribute, in it its name and number, in some order. */
	group = (const void *)(groups + NLA_HDRLEN);
	if ((group->nla_type & NLA_TYPE_MASK) != CTRL_ATTR_MCAST_GRP_ID)
		group = (const void *)((const char *)group + NLA_ALIGN(group->nla_len));
	n.group = *(const uint32_t *)(group + 1);
	return 0;
}

static int unit_command(int fd, uint8_t cmd, uint32_t unit, struct message *reply)
{
	static struct message m;

	begin(&m, n.family, NLM_F_REQUEST | NLM_F_ACK, cmd);
	add_u32(&m, PMT_A_UNIT, unit);
	return ask(fd, &m, reply);
}

static void listen_to_events(int fd, int size)
{
	setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &n.group, sizeof(n.group));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

/* ---- messages out of order ---- */

static uint32_t number(void)
{
	static const uint32_t edges[] = { 0, 1, 4095, 4096, 0x7fffffff, 0x80000000, ~0u };

	if (one_in(3))
		return edges[below(SIZE(edges))];
	return one_in(2) ? below(16) : (uint32_t)chance();
}

static bool add_noise(struct message *m, uint16_t type)
{
	static const uint16_t sizes[] = {
		0, 1, 2, 3, 5, 7, 8, 9, 16, 31, 32, 33, 255, 4096, 20000,
	};
	size_t size = sizes[below(SIZE(sizes))];
	static char noise[20000];
	unsigned int i;

	memset(noise, one_in(2) ? 'a' : 0, size);
	for (i = below(32); size && i; i--)
		noise[below(size)] = chance();
	return add(m, type, noise, size);
}

/* As it should be, for most of the types. */
static bool add_right(struct message *m, uint16_t type)
{
	static const uint32_t sizes[] = {
		PMT_DATA_SIZE_MIN, PMT_DATA_SIZE_MIN - 1, PMT_DATA_SIZE_MIN + 1, 0,
		PMT_DATA_SIZE_MAX, ~0u,
	};
	static const char *const names[] = { "tape", "tape", "tape", "", "changer" };
	const char *name = names[one_in(30) ? 4 : below(4)];
	uint32_t value;
	uint8_t byte;

	switch (type) {
	case PMT_A_UNIT:
		value = number();
		return add(m, type, &value, sizeof(value));
	case PMT_A_DATA_SIZE:
		value = sizes[one_in(2) ? 0 : below(SIZE(sizes))];
		return add(m, type, &value, sizeof(value));
	case PMT_A_RECOVERY:
		value = chance();
		return add(m, type, &value, sizeof(value));
	case PMT_A_EOT:
		byte = below(4);
		return add(m, type, &byte, sizeof(byte));
	case PMT_A_PERSONALITY:
		return add(m, type, name, strlen(name) + 1);
	default:
		return add_noise(m, type);
	}
}

static void add_some(struct message *m)
{
	static const uint16_t known[] = {
		PMT_A_UNIT, PMT_A_DATA_SIZE, PMT_A_RECOVERY, PMT_A_EOT, PMT_A_PERSONALITY,
	};
	uint16_t type = known[below(SIZE(known))];

	if (one_in(8))
		type = below(PMT_A_ATTRIBUTES + 4);
	if (one_in(20))
		type = chance();
	if (one_in(12))
		type |= one_in(2) ? NLA_F_NESTED : NLA_F_NET_BYTEORDER;
	if (one_in(6))
		add_noise(m, type);
	else
		add_right(m, type);
}

/* Attributes in attributes, to no end. */
static void add_nest(struct message *m)
{
	uint32_t start = m->head.nlmsg_len;
	unsigned int depth = 1 + below(200);

	for (; depth; depth--) {
		struct nlattr attr = {
			.nla_len = NLA_HDRLEN * depth,
			.nla_type = below(PMT_A_ATTRIBUTES) | NLA_F_NESTED,
		};

		if (m->head.nlmsg_len + NLA_HDRLEN > sizeof(*m))
			break;
		memcpy((char *)m + m->head.nlmsg_len, &attr, sizeof(attr));
		m->head.nlmsg_len += NLA_HDRLEN;
	}
	((struct nlattr *)((char *)m + start))->nla_len = m->head.nlmsg_len - start;
}

/* Lengths that lie, and bytes that are something else. */
static size_t break_it(struct message *m)
{
	size_t size = m->head.nlmsg_len, end = size;
	char *bytes = (char *)m;

	switch (below(6)) {
	case 0:
		m->head.nlmsg_len = below(80);
		break;
	case 1:
		m->head.nlmsg_len += chance() & 0xfff;
		break;
	case 2:
		size = below(size + 1);		/* cut off */
		break;
	case 3:
		if (size > 24)			/* an attribute's length */
			bytes[20 + below(2)] = chance();
		break;
	case 4:
		m->genl.cmd = chance();
		m->genl.version = chance();
		m->genl.reserved = chance();
		break;
	default:
		if (end > 20)
			for (unsigned int i = 1 + below(8); i; i--)
				bytes[20 + below(end - 20)] = chance();
	}
	return size;
}

/* Is a unit named in it that must not change, or might one be? */
static bool harms(const struct message *m, size_t size)
{
	const char *bytes = (const char *)m;
	uint32_t value;

	for (size_t at = 0; at + sizeof(value) <= size; at++) {
		memcpy(&value, bytes + at, sizeof(value));
		if (value - n.first < n.count)
			return true;
	}
	return false;
}

static size_t compose(struct message *m)
{
	uint16_t flags = NLM_F_REQUEST | NLM_F_ACK;
	size_t size;

	if (one_in(10))
		flags = chance();
	begin(m, n.family, flags & ~(one_in(4) ? 0 : NLM_F_DUMP),
	      one_in(10) ? below(256) : below(PMT_NL_COMMANDS));
	for (unsigned int i = below(5); i; i--)
		add_some(m);
	if (one_in(12))
		add_nest(m);
	size = one_in(3) ? break_it(m) : m->head.nlmsg_len;
	if (one_in(50))
		m->head.nlmsg_type = below(32);
	return harms(m, size) ? 0 : size;
}

/* What came of it: counted, and a unit that was made goes again. */
static void take_answers(int fd, bool keep)
{
	const struct message *m;
	ssize_t size, at;

	while ((size = recv(fd, n.parts, sizeof(n.parts), MSG_DONTWAIT)) > 0) {
		for (at = 0; at + NLMSG_HDRLEN <= size; at += NLMSG_ALIGN(m->head.nlmsg_len)) {
			m = (const void *)(n.parts + at);
			if (m->head.nlmsg_len < NLMSG_HDRLEN)
				break;
			if (m->head.nlmsg_type == NLMSG_ERROR) {
				int error = -*(int *)((char *)m + NLMSG_HDRLEN);
				uint8_t cmd = *((uint8_t *)m + NLMSG_HDRLEN + 4 +
						NLMSG_HDRLEN);

				if (cmd > PMT_NL_COMMANDS)
					cmd = PMT_NL_COMMANDS;
				n.answers[cmd][error >= 0 && error < ERRNOS ? error : 1]++;
			}
		}
		if (keep)
			break;
	}
}

static bool protected(uint32_t unit)
{
	return unit - n.first < n.count;
}

/* All units go that are not protected: how many went. */
static unsigned int sweep(void)
{
	static struct message m;
	uint32_t units[512];
	unsigned int found = 0, i;
	int fd = open_socket();
	ssize_t size, at;
	bool done = false;

	begin(&m, n.family, NLM_F_REQUEST | NLM_F_DUMP, PMT_NL_GET);
	send_bytes(fd, &m, m.head.nlmsg_len);
	while (!done && (size = recv(fd, n.parts, sizeof(n.parts), 0)) > 0) {
		const struct message *part;

		for (at = 0; at < size; at += NLMSG_ALIGN(part->head.nlmsg_len)) {
			const uint32_t *unit;

			part = (const void *)(n.parts + at);
			done = part->head.nlmsg_type == NLMSG_DONE;
			if (part->head.nlmsg_type != n.family)
				break;
			unit = attribute(part, PMT_A_UNIT);
			if (unit && !protected(*unit) && found < SIZE(units))
				units[found++] = *unit;
		}
	}
	if (!done)
		die("the dump does not end");
	for (i = 0; i < found; i++) {
		int ret = unit_command(fd, PMT_NL_DEL, units[i], NULL);

		if (ret) {
			errno = -ret;
			die("a unit stays");
		}
	}
	close(fd);
	return found;
}

/* It answers what is in order, still. */
static void sane(void)
{
	static struct message reply;
	int fd = open_socket();
	const uint32_t *unit;
	int ret = unit_command(fd, PMT_NL_GET, n.first, &reply);

	unit = ret ? NULL : attribute(&reply, PMT_A_UNIT);
	if (!unit || *unit != n.first) {
		errno = ret ? -ret : EPROTO;
		die("no answer to what is in order");
	}
	if (unit_command(fd, PMT_NL_NEW, UINT32_MAX, NULL) != -ERANGE)
		die("a unit of the last number of all was not refused");
	close(fd);
}

static void interrupted_dump(int *fd)
{
	static struct message m;

	begin(&m, n.family, NLM_F_REQUEST | NLM_F_DUMP, PMT_NL_GET);
	n.dumps++;
	send_bytes(*fd, &m, m.head.nlmsg_len);
	if (one_in(2))
		send_bytes(*fd, &m, m.head.nlmsg_len);
	if (one_in(2))
		take_answers(*fd, true);
	close(*fd);
	*fd = open_socket();
}

static void print_answers(void)
{
	static const char *const names[] = {
		"unspec", "new", "del", "get", "set", "abort", "detach", "event", "other",
	};

	printf("%u messages, %u dumps left, %u units made and deleted\n", n.sent, n.dumps,
	       n.made);
	for (size_t cmd = 0; cmd < SIZE(names); cmd++) {
		printf("%-7s", names[cmd]);
		for (int error = 0; error < ERRNOS; error++)
			if (n.answers[cmd][error])
				printf(" %s %u", error ? strerrorname_np(error) : "ok",
				       n.answers[cmd][error]);
		printf("\n");
	}
}

/* Commands that never were taken and never refused were not reached. */
static int judge(void)
{
	int bad = 0;

	for (int cmd = PMT_NL_NEW; cmd <= PMT_NL_DETACH; cmd++)
		if (!n.answers[cmd][0] || !n.answers[cmd][EINVAL]) {
			printf("command %d was not both taken and refused\n", cmd);
			bad = 1;
		}
	return bad;
}

static int fuzz(void)
{
	static struct message m;
	double until = fuzz_end(), swept = now();
	int sockets[SOCKETS], deaf[4];
	size_t size;

	for (size_t i = 0; i < SIZE(sockets); i++)
		sockets[i] = open_socket();
	for (size_t i = 0; i < SIZE(deaf); i++) {
		deaf[i] = open_socket();
		listen_to_events(deaf[i], i ? 4096 : 1 << 20);
	}
	while (now() < until) {
		int *fd = &sockets[below(SOCKETS)];

		size = compose(&m);
		if (!size)
			continue;
		n.sent++;
		send_bytes(*fd, &m, size);
		if (!one_in(8))
			take_answers(*fd, false);
		if (one_in(100))
			interrupted_dump(fd);
		if (one_in(200))
			sane();
		if (now() - swept > 0.5) {
			n.made += sweep();
			swept = now();
		}
	}
	n.made += sweep();
	sane();
	print_answers();
	return judge();
}

/* ---- units that come and go ---- */

static int churn(void)
{
	static struct message m;
	double until = fuzz_end();
	unsigned int made = 0, gone = 0;
	int deaf = open_socket(), fd = open_socket();

	listen_to_events(deaf, 4096);
	while (now() < until) {
		uint32_t unit = n.first + below(n.count);

		if (one_in(2)) {
			begin(&m, n.family, NLM_F_REQUEST | NLM_F_ACK, PMT_NL_NEW);
			add_u32(&m, PMT_A_UNIT, unit);
			add_u32(&m, PMT_A_DATA_SIZE, PMT_DATA_SIZE_MIN);
			add_u32(&m, PMT_A_RECOVERY, below(100));
			made += !ask(fd, &m, NULL);
		} else {
			static const uint8_t cmds[] = {
				PMT_NL_DEL, PMT_NL_DEL, PMT_NL_DEL, PMT_NL_GET,
				PMT_NL_SET, PMT_NL_ABORT, PMT_NL_DETACH,
			};
			uint8_t cmd = cmds[below(SIZE(cmds))];

			gone += !unit_command(fd, cmd, unit, NULL) && cmd == PMT_NL_DEL;
		}
		if (one_in(20)) {
			close(fd);
			fd = open_socket();
		}
	}
	printf("churn: %u units made, %u deleted\n", made, gone);
	return 0;
}

/* ---- who may ---- */

static int gives(int fd, int error, uint32_t unit, const char *who)
{
	static struct message m;
	int ret, bad = 0;

	for (uint8_t cmd = PMT_NL_NEW; cmd <= PMT_NL_DETACH; cmd++) {
		/* The unit to be made would be another one. */
		ret = unit_command(fd, cmd, cmd == PMT_NL_NEW ? unit + 7 : unit, NULL);
		if (ret != -error) {
			printf("%s, command %u: %d, not %d\n", who, cmd, -ret, error);
			bad = 1;
		}
	}
	begin(&m, n.family, NLM_F_REQUEST | NLM_F_DUMP, PMT_NL_GET);
	ret = send_bytes(fd, &m, m.head.nlmsg_len);
	if (!ret && recv(fd, n.parts, sizeof(n.parts), 0) > 0) {
		const struct message *part = (const void *)n.parts;

		/* The dump's error is in NLMSG_DONE, or of the message. */
		if (part->head.nlmsg_type == NLMSG_DONE ||
		    part->head.nlmsg_type == NLMSG_ERROR)
			ret = *(const int *)(n.parts + NLMSG_HDRLEN);
	}
	if (ret != -error) {
		printf("%s, dump: %d, not %d\n", who, -ret, error);
		bad = 1;
	}
	return bad;
}

/* A socket from a process without privilege, to one with it. */
static int borrowed_socket(void)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int pair[2], fd;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		die("socketpair");
	if (!fork()) {
		if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
			_exit(1);
		fd = open_socket();
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
		_exit(sendmsg(pair[1], &msg, 0) != 1);
	}
	if (recvmsg(pair[0], &msg, 0) != 1 || !CMSG_FIRSTHDR(&msg))
		die("no descriptor came");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	wait(NULL);
	return fd;
}

static int credentials(uint32_t unit)
{
	int fd = borrowed_socket(), bad, status;

	/* Who gives an address means it, and only his own privilege counts. */
	n.plain = true;
	bad = gives(fd, EPERM, unit, "opened without privilege");
	n.plain = false;
	fd = open_socket();
	fflush(stdout);
	if (!fork()) {
		if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
			_exit(1);
		status = gives(fd, EPERM, unit, "sent without privilege");
		fflush(stdout);
		_exit(status);
	}
	wait(&status);
	return bad || status;
}

static int silent(void)
{
	int fd = open_socket(), heard;
	struct pollfd waits = { .fd = fd, .events = POLLIN };

	listen_to_events(fd, 65536);
	heard = poll(&waits, 1, 2000);
	if (heard)
		printf("an event was heard\n");
	return heard != 0;
}

/* In another network namespace the family is not to be found: by its number. */
static void family_by_hand(void)
{
	const char *family = getenv("PMT_FAMILY"), *group = getenv("PMT_GROUP");

	if (!family || !group)
		die("no family");
	n.family = atoi(family);
	n.group = atoi(group);
}

int main(int argc, char **argv)
{
	int fd = open_socket();

	if (find_family(fd))
		family_by_hand();
	close(fd);
	if (argc > 3) {
		n.first = strtoul(argv[2], NULL, 0);
		n.count = strtoul(argv[3], NULL, 0);
	}
	if (argc == 4 && !strcmp(argv[1], "fuzz"))
		return fuzz();
	if (argc == 4 && !strcmp(argv[1], "churn"))
		return churn();
	if (argc == 4 && !strcmp(argv[1], "denied"))
		return gives(open_socket(), atoi(argv[2]), strtoul(argv[3], NULL, 0), "here");
	if (argc == 3 && !strcmp(argv[1], "credentials"))
		return credentials(strtoul(argv[2], NULL, 0));
	if (argc == 2 && !strcmp(argv[1], "silent"))
		return silent();
	if (argc == 2 && !strcmp(argv[1], "family"))
		return printf("%u %u\n", n.family, n.group) < 0;
	fprintf(stderr, "usage: netlink fuzz|churn FIRST COUNT | denied ERRNO UNIT |\n"
		"\tcredentials UNIT | silent | family\n");
	return 2;
}
