// SPDX-License-Identifier: GPL-2.0-or-later
/* RMT: the wire, byte by byte, and sessions over a medium in memory. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mtio.h>

#include "../../lib/rmt/rmt.h"
#include "folder.h"
#include "memleaf.h"
#include "suite.h"

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

/* ---- requests ---- */

/* One request in text, given by so many bytes: what feed() said at last. */
static ssize_t feed(const char *text, size_t length, size_t step,
		    struct pmt_rmt_request *request, size_t *taken)
{
	static struct pmt_rmt_parser parser;
	bool done = false;

	pmt_rmt_parser_init(&parser);
	for (*taken = 0; *taken < length && !done;) {
		size_t n = length - *taken < step ? length - *taken : step;
		/* Of its own, so that AddressSanitizer sees who reads on. */
		char *bytes = malloc(n);
		ssize_t rc;

		memcpy(bytes, text + *taken, n);
		rc = pmt_rmt_parser_feed(&parser, bytes, n, request, &done);
		free(bytes);
		if (rc < 0)
			return rc;
		*taken += (size_t)rc;
	}
	return done;
}

static const struct {
	const char *text;
	size_t behind;		/* bytes that belong to what follows */
	struct pmt_rmt_request expected;
} good_requests[] = {
	{ "O/dev/nst0\n2\n", 0, { .op = 'O', .device = "/dev/nst0", .flags = O_RDWR } },
	{ "Ox\n0\n", 0, { .op = 'O', .device = "x", .flags = O_RDONLY } },
	{ "Ox\r\n1\r\n", 0, { .op = 'O', .device = "x", .flags = O_WRONLY } },
	/* A number of another system: only the access mode is the same. */
	{ "Ox\n577\n", 0, { .op = 'O', .device = "x", .flags = O_WRONLY } },
	{ "Ox\n1538\n", 0, { .op = 'O', .device = "x", .flags = O_RDWR } },
	{ "Ox\n64|2\n", 0, { .op = 'O', .device = "x", .flags = O_RDWR } },
	/* GNU: the names count. */
	{ "Ox\n577 O_WRONLY|O_CREAT|O_TRUNC\n", 0,
	  { .op = 'O', .device = "x", .flags = O_WRONLY } },
	{ "Ox\n0 O_RDWR\n", 0, { .op = 'O', .device = "x", .flags = O_RDWR } },
	{ "Ox\n64|512 O_RDWR|O_CREAT\n", 0, { .op = 'O', .device = "x", .flags = O_RDWR } },
	{ "Ox\nO_RDONLY|O_NONBLOCK\n", 0,
	  { .op = 'O', .device = "x", .flags = O_RDONLY | O_NONBLOCK } },
	{ "C\n", 0, { .op = 'C' } },
	{ "C/dev/nst0\nO", 1, { .op = 'C' } },
	{ "R10240\n", 0, { .op = 'R', .count = 10240 } },
	{ "W3\nabcW", 4, { .op = 'W', .count = 3 } },
	{ "W0\n\n", 1, { .op = 'W', .count = 0 } },
	{ "R2147483647\n", 0, { .op = 'R', .count = 2147483647 } },
	{ "I-1\n0\n", 0, { .op = 'I', .number = -1, .count = 0 } },
	{ "I6\n1\nR", 1, { .op = 'I', .number = 6, .count = 1 } },
	{ "i2\n1\n", 0, { .op = 'i', .number = 2, .count = 1 } },
	{ "I1\n-3\n", 0, { .op = 'I', .number = 1, .count = -3 } },
	{ "S", 0, { .op = 'S' } },
	{ "S\nR", 2, { .op = 'S' } },
	{ "\n\nS", 0, { .op = 'S' } },
	{ "sFsB", 2, { .op = 's', .what = 'F' } },
	{ "v\n", 0, { .op = 'v' } },
	{ "V\n", 0, { .op = 'V' } },
	/* offset and whence */
	{ "L0\n0\n", 0, { .op = 'L', .count = 0, .number = SEEK_SET } },
	{ "L-512\n1\n", 0, { .op = 'L', .count = -512, .number = SEEK_CUR } },
	{ "L77\nSEEK_END\n", 0, { .op = 'L', .count = 77, .number = SEEK_END } },
	{ "L0\n10\n", 0, { .op = 'L', .count = 0, .number = PMT_RMT_TELL } },
	{ "L4711\n11\n", 0, { .op = 'L', .count = 4711, .number = PMT_RMT_GOTO } },
	/* whence and offset, where only that makes sense */
	{ "L1\n4096\n", 0, { .op = 'L', .count = 4096, .number = SEEK_CUR } },
	{ "LSEEK_SET\n0\n", 0, { .op = 'L', .count = 0, .number = SEEK_SET } },
};

static void same_request(const struct pmt_rmt_request *a, const struct pmt_rmt_request *b)
{
	ck_assert_int_eq(a->op, b->op);
	ck_assert_int_eq(a->what, b->what);
	ck_assert_int_eq(a->flags, b->flags);
	ck_assert_int_eq(a->count, b->count);
	ck_assert_int_eq(a->number, b->number);
	ck_assert_str_eq(a->device ? a->device : "", b->device ? b->device : "");
}

START_TEST(requests_are_understood)
{
	const char *text = good_requests[_i].text;
	static const size_t steps[] = { 1, 2, 3, 100 };

	for (size_t i = 0; i < N_ELEMENTS(steps); i++) {
		struct pmt_rmt_request request;
		size_t taken;

		ck_assert_int_eq(feed(text, strlen(text), steps[i], &request, &taken), 1);
		ck_assert_uint_eq(taken, strlen(text) - good_requests[_i].behind);
		same_request(&request, &good_requests[_i].expected);
	}
}
END_TEST

static const struct {
	const char *text;
	int error;
} bad_requests[] = {
	{ "X", -EBADMSG },
	{ "GET / HTTP/1.0\n", -EBADMSG },
	{ "W-1\n", -ERANGE },
	{ "W2147483648\n", -ERANGE },
	{ "W99999999999999999999999999\n", -ERANGE },
	{ "W\n", -EINVAL },
	{ "W 5\n", -EINVAL },
	{ "W5x\n", -EINVAL },
	{ "W0x10\n", -EINVAL },
	{ "R+5\n", -EINVAL },
	{ "I\n1\n", -EINVAL },
	{ "I1\n\n", -EINVAL },
	{ "I40000\n1\n", -ERANGE },
	{ "I1\n2147483648\n", -ERANGE },
	{ "Ox\n\n", -EINVAL },
	{ "Ox\n3\n", -EINVAL },
	{ "Ox\nrw\n", -EINVAL },
	{ "Ox\n0 O_FROB\n", -EINVAL },
	{ "Ox\n0 O_RDWR|\n", -EINVAL },
	{ "Ox\n0 O_RDWR|O_WRONLY\n", -EINVAL },
	{ "Ox\n1|\n", -EINVAL },
	{ "Ox\n|\n", -EINVAL },
	{ "L5\n5\n", -EINVAL },
	{ "L0\n\n", -EINVAL },
	{ "L11\n4711\n", -EINVAL },		/* which way round? */
};

START_TEST(what_is_no_request_is_refused)
{
	const char *text = bad_requests[_i].text;
	struct pmt_rmt_request request;
	size_t taken;

	ck_assert_int_eq(feed(text, strlen(text), 1, &request, &taken),
			 bad_requests[_i].error);
	ck_assert_int_eq(feed(text, strlen(text), 1000, &request, &taken),
			 bad_requests[_i].error);
}
END_TEST

START_TEST(lines_have_a_length)
{
	static char text[PMT_RMT_NAME_MAX + 16];
	struct pmt_rmt_request request;
	size_t taken;

	memset(text, 'x', sizeof(text));
	text[0] = 'O';
	ck_assert_int_eq(feed(text, sizeof(text), 7, &request, &taken), -EMSGSIZE);
	memcpy(text + 1 + PMT_RMT_NAME_MAX, "\n0\n", 3);
	ck_assert_int_eq(feed(text, sizeof(text), 7, &request, &taken), 1);
	ck_assert_uint_eq(strlen(request.device), PMT_RMT_NAME_MAX);
	text[0] = 'W';
	ck_assert_int_eq(feed(text, sizeof(text), 7, &request, &taken), -EMSGSIZE);
	/* No NUL that would make a name shorter than it was checked. */
	ck_assert_int_eq(feed("Oa\0b\n0\n", 7, 7, &request, &taken), -EBADMSG);
}
END_TEST

START_TEST(requests_are_written_as_they_are_read)
{
	const struct pmt_rmt_request *request = &good_requests[_i].expected;
	struct pmt_rmt_request read;
	char text[128];
	size_t taken;
	int n = pmt_rmt_request_put(text, sizeof(text), request);

	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(feed(text, (size_t)n, 1, &read, &taken), 1);
	ck_assert_int_eq((int)taken, n);
	ck_assert_int_eq(read.op, request->op);
	ck_assert_int_eq(read.flags, request->flags & O_ACCMODE);
	ck_assert_int_eq(read.count, request->count);
	ck_assert_int_eq(read.number, request->number);
	ck_assert_int_eq(pmt_rmt_request_put(text, 1, request), -ENOBUFS);
}
END_TEST

START_TEST(a_name_is_no_second_request)
{
	struct pmt_rmt_request request = { .op = 'O', .device = "a\n0\nI6\n1" };
	char text[64];

	ck_assert_int_eq(pmt_rmt_request_put(text, sizeof(text), &request), -EINVAL);
	request.op = 'X';
	ck_assert_int_eq(pmt_rmt_request_put(text, sizeof(text), &request), -EINVAL);
}
END_TEST

START_TEST(operations_by_whose_numbers)
{
	/* The same everywhere: */
	for (int i = 1; i <= 4; i++)
		for (int order = 0; order < 3; order++)
			ck_assert_int_eq(pmt_rmt_op_decode((enum pmt_rmt_order)order, i),
					 i);
	ck_assert_int_eq(pmt_rmt_op_decode(PMT_RMT_ORDER_BSD, 0), MTWEOF);
	ck_assert_int_eq(pmt_rmt_op_decode(PMT_RMT_ORDER_BSD, 5), MTREW);
	ck_assert_int_eq(pmt_rmt_op_decode(PMT_RMT_ORDER_BSD, 6), MTOFFL);
	ck_assert_int_eq(pmt_rmt_op_decode(PMT_RMT_ORDER_BSD, 8), -EINVAL);
	ck_assert_int_eq(pmt_rmt_op_decode(PMT_RMT_ORDER_LINUX, 5), MTWEOF);
	ck_assert_int_eq(pmt_rmt_op_decode(PMT_RMT_ORDER_LINUX, 6), MTREW);
	ck_assert_int_eq(pmt_rmt_op_decode(PMT_RMT_ORDER_LINUX, MTEOM), MTEOM);
	ck_assert_int_eq(pmt_rmt_op_decode(PMT_RMT_ORDER_LINUX, 0), -EINVAL);
	ck_assert_int_eq(pmt_rmt_op_decode(PMT_RMT_ORDER_LINUX, MTSETBLK), -EINVAL);
	/* Nobody said: a mark in one, a rewind or an ejection in the other. */
	ck_assert_int_eq(pmt_rmt_op_decode(PMT_RMT_ORDER_NONE, 0), -ENOTSUP);
	for (int i = 5; i < 40; i++)
		ck_assert_int_eq(pmt_rmt_op_decode(PMT_RMT_ORDER_NONE, i), -ENOTSUP);

	ck_assert_int_eq(pmt_rmt_op_encode(PMT_RMT_ORDER_BSD, MTWEOF), 0);
	ck_assert_int_eq(pmt_rmt_op_encode(PMT_RMT_ORDER_BSD, MTEOM), -ENOTSUP);
	ck_assert_int_eq(pmt_rmt_op_encode(PMT_RMT_ORDER_LINUX, MTWEOF), 5);
	ck_assert_int_eq(pmt_rmt_op_encode(PMT_RMT_ORDER_NONE, MTFSF), 1);
	ck_assert_int_eq(pmt_rmt_op_encode(PMT_RMT_ORDER_NONE, MTWEOF), -ENOTSUP);
	ck_assert_int_eq(pmt_rmt_op_encode(PMT_RMT_ORDER_NONE, MTREW), -ENOTSUP);
}
END_TEST

/* ---- replies ---- */

static ssize_t feed_reply(const char *text, size_t step, struct pmt_rmt_reply *reply,
			  size_t *taken)
{
	struct pmt_rmt_reply_parser parser;
	size_t length = strlen(text);
	bool done = false;

	pmt_rmt_reply_init(&parser);
	for (*taken = 0; *taken < length && !done;) {
		size_t n = length - *taken < step ? length - *taken : step;
		char *bytes = malloc(n);
		ssize_t rc;

		memcpy(bytes, text + *taken, n);
		rc = pmt_rmt_reply_feed(&parser, bytes, n, reply, &done);
		free(bytes);
		if (rc < 0)
			return rc;
		*taken += (size_t)rc;
	}
	return done;
}

static const struct {
	const char *text;
	ssize_t result;
	size_t behind;
	struct pmt_rmt_reply expected;
} replies[] = {
	{ "A0\n", 1, 0, { .value = 0 } },
	{ "A10240\n\n\nx", 1, 3, { .value = 10240 } },
	{ "A-1\n", 1, 0, { .value = -1 } },
	{ "A9223372036854775807\n", 1, 0, { .value = INT64_MAX } },
	{ "A5\r\n", 1, 0, { .value = 5 } },
	{ "E28\nNo space left on device\nA1\n", 1, 3,
	  { .kind = PMT_RMT_ERROR, .error = ENOSPC } },
	{ "E2\n\n", 1, 0, { .kind = PMT_RMT_ERROR, .error = ENOENT } },
	{ "F5\nI/O error\n", 1, 0,
	  { .kind = PMT_RMT_ERROR, .error = EIO, .fatal = true } },
	/* Numbers of Solaris and BSD, whose texts say what they are. */
	{ "E11\nResource temporarily unavailable\n", 1, 0,
	  { .kind = PMT_RMT_ERROR, .error = EAGAIN } },
	{ "E35\nResource temporarily unavailable\n", 1, 0,
	  { .kind = PMT_RMT_ERROR, .error = EAGAIN } },
	{ "E48\nOperation not supported\n", 1, 0,
	  { .kind = PMT_RMT_ERROR, .error = EOPNOTSUPP } },
	{ "E85\nno medium found\n", 1, 0, { .kind = PMT_RMT_ERROR, .error = ENOMEDIUM } },
	{ "E1\nNot owner\n", 1, 0, { .kind = PMT_RMT_ERROR, .error = EPERM } },
	/* Nothing that can be known. */
	{ "E123\nfrob\n", 1, 0, { .kind = PMT_RMT_ERROR, .error = EIO } },
	{ "E11\nfrob\n", 1, 0, { .kind = PMT_RMT_ERROR, .error = EIO } },
	{ "E0\n\n", 1, 0, { .kind = PMT_RMT_ERROR, .error = EIO } },
	{ "E-5\n\n", 1, 0, { .kind = PMT_RMT_ERROR, .error = EIO } },
	/* Not whole, or no reply. */
	{ "A12", 0, 0, { .value = 0 } },
	{ "E5\nInput", 0, 0, { .value = 0 } },
	{ "Welcome\n", -EBADMSG, 0, { .value = 0 } },
	{ "\n", -EBADMSG, 0, { .value = 0 } },
	{ "A\n", -EBADMSG, 0, { .value = 0 } },
	{ "Abc\n", -EBADMSG, 0, { .value = 0 } },
	{ "A 5\n", -EBADMSG, 0, { .value = 0 } },
	{ "A9223372036854775808\n", -ERANGE, 0, { .value = 0 } },
	{ "A111111111111111111111111111111111", -ERANGE, 0, { .value = 0 } },
};

START_TEST(replies_are_understood)
{
	static const size_t steps[] = { 1, 2, 100 };

	for (size_t i = 0; i < N_ELEMENTS(steps); i++) {
		struct pmt_rmt_reply reply = { .value = 0 };
		const char *text = replies[_i].text;
		size_t taken;

		ck_assert_int_eq(feed_reply(text, steps[i], &reply, &taken),
				 replies[_i].result);
		if (replies[_i].result != 1)
			continue;
		ck_assert_uint_eq(taken, strlen(text) - replies[_i].behind);
		ck_assert_int_eq(reply.kind, replies[_i].expected.kind);
		ck_assert_int_eq(reply.value, replies[_i].expected.value);
		ck_assert_int_eq(reply.error, replies[_i].expected.error);
		ck_assert_int_eq(reply.fatal, replies[_i].expected.fatal);
	}
}
END_TEST

START_TEST(a_long_text_is_read_to_its_end)
{
	static char text[100000];
	struct pmt_rmt_reply reply;
	size_t taken;

	memset(text, 'x', sizeof(text) - 1);
	memcpy(text, "E28\n", 4);
	text[sizeof(text) - 3] = '\n';
	ck_assert_int_eq(feed_reply(text, 1000, &reply, &taken), 1);
	ck_assert_uint_eq(taken, sizeof(text) - 2);
	ck_assert_int_eq(reply.error, ENOSPC);
}
END_TEST

START_TEST(a_text_without_end_is_none)
{
	static char text[300000];
	struct pmt_rmt_reply reply;
	size_t taken;

	memset(text, 'x', sizeof(text) - 1);
	memcpy(text, "E28\n", 4);
	ck_assert_int_eq(feed_reply(text, 1000, &reply, &taken), -EBADMSG);
	memset(text, '\r', sizeof(text) - 1);
	text[0] = 'A';
	ck_assert_int_eq(feed_reply(text, 1000, &reply, &taken), -EBADMSG);
}
END_TEST

START_TEST(every_error_comes_back)
{
	for (int error = 1; error < EHWPOISON; error++) {
		struct pmt_rmt_reply reply;
		char text[128];
		size_t taken;
		int n = pmt_rmt_reply_error(text, sizeof(text), error);

		if (!strerrordesc_np(error))
			continue;
		ck_assert_int_gt(n, 0);
		ck_assert_int_eq(feed_reply(text, 3, &reply, &taken), 1);
		/* Some have one text. */
		ck_assert_str_eq(strerrordesc_np(reply.error), strerrordesc_np(error));
	}
}
END_TEST

/* ---- statuses ---- */

START_TEST(statuses_of_all_layouts)
{
	const struct pmt_rmt_status status = { 0x72, 3, 0x5e00, 0x4101, 2, 17, -1 };
	uint8_t bytes[PMT_RMT_MTGET_MAX];

	for (int layout = 0; layout < PMT_RMT_LAYOUTS; layout++) {
		for (int big = 0; big < 2; big++) {
			struct pmt_rmt_status read;
			size_t n = pmt_rmt_mtget_encode(bytes, (enum pmt_rmt_layout)layout,
							big, &status);

			ck_assert_uint_le(n, sizeof(bytes));
			ck_assert_int_eq(pmt_rmt_mtget_decode(bytes, n, &read), 0);
			ck_assert_mem_eq(&read, &status, sizeof(read));
			ck_assert_int_eq(pmt_rmt_mtget_decode(bytes, n - 1, &read),
					 -EPROTO);
		}
	}
	memset(bytes, 0xff, sizeof(bytes));
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		struct pmt_rmt_status read;

		ck_assert_int_eq(pmt_rmt_mtget_decode(bytes, n, &read), -EPROTO);
	}
}
END_TEST

START_TEST(status_of_this_machine)
{
	struct mtget get = { .mt_type = MT_ISSCSI2, .mt_gstat = 0x41010000,
			     .mt_fileno = 5, .mt_blkno = -1 };
	struct pmt_rmt_status status;

	ck_assert_int_eq(pmt_rmt_mtget_decode(&get, sizeof(get), &status), 0);
	ck_assert_int_eq(status.type, MT_ISSCSI2);
	ck_assert_int_eq(status.gstat, 0x41010000);
	ck_assert_int_eq(status.file, 5);
	ck_assert_int_eq(status.block, -1);
}
END_TEST

/* ---- sessions ---- */

static struct {
	const char *in;
	size_t left, step;
	char out[200000];
	size_t used;
	bool deaf;		/* the client does not read any more */
	struct pmt_rmt_tape tape;
	struct mem_medium *medium;
} s;

static ssize_t give(void *context, void *to, size_t size)
{
	size_t n = s.left < size ? s.left : size;

	(void)context;
	n = n < s.step ? n : s.step;
	memcpy(to, s.in, n);
	s.in += n;
	s.left -= n;
	return (ssize_t)n;
}

static int take(void *context, const void *from, size_t size)
{
	(void)context;
	if (s.deaf)
		return -EPIPE;
	ck_assert_uint_le(size, sizeof(s.out) - 1 - s.used);
	memcpy(s.out + s.used, from, size);
	s.used += size;
	s.out[s.used] = '\0';
	return 0;
}

static int find_tape(void *context, const char *name, struct pmt_rmt_tape *tape)
{
	(void)context;
	if (strcmp(name, "tape") && strcmp(name, "ntape"))
		return -ENOENT;
	*tape = s.tape;
	tape->rewind = *name == 't';
	return 0;
}

static int session(const char *in, size_t length)
{
	struct pmt_rmt_config config = { .find = find_tape };
	struct pmt_rmt_io io = { .read = give, .write = take };

	s.in = in;
	s.left = length;
	s.used = 0;
	s.out[0] = '\0';
	return pmt_rmt_session(&config, &io);
}

/* What the client sends, and what it gets. */
static void says(const char *in, const char *out)
{
	ck_assert_int_eq(session(in, strlen(in)), 0);
	ck_assert_str_eq(s.out, out);
}

static void says_and_ends(const char *in, const char *out, int result)
{
	ck_assert_int_eq(session(in, strlen(in)), result);
	ck_assert_str_eq(s.out, out);
}

static void setup(void)
{
	pmt_drive_add_kind(&mem_drive);
	suite_quiet();
	folder_make();
	memset(&s, 0, sizeof(s));
	s.step = SIZE_MAX;
	s.medium = mem_medium("a");
	s.tape = (struct pmt_rmt_tape){ .spec = "mem:a", .state = path("state"),
					.numbers = PMT_RMT_NUMBERS_LINUX };
}

static void teardown(void)
{
	mem_reset();
	folder_remove();
}

#define E_NOENT	"E2\nNo such file or directory\n"
#define E_IO	"E5\nInput/output error\n"
#define E_BADF	"E9\nBad file descriptor\n"
#define E_NOMEM	"E12\nCannot allocate memory\n"
#define E_ACCES	"E13\nPermission denied\n"
#define E_BUSY	"E16\nDevice or resource busy\n"
#define E_INVAL	"E22\nInvalid argument\n"
#define E_NOSPC	"E28\nNo space left on device\n"
#define E_ROFS	"E30\nRead-only file system\n"
#define E_NOMED	"E123\nNo medium found\n"

/* Records and marks of the medium, as "one|two||" */
static const char *tape(void)
{
	static char text[4096];
	char *to = text;

	for (uint64_t i = 0; i < s.medium->volume.n; i++) {
		const struct mem_record *record = &s.medium->volume.records[i];

		if (record->length < 64 && !record->mark) {
			memcpy(to, record->data, record->length);
			to += record->length;
		}
		*to++ = record->mark ? '|' : ',';
	}
	*to = '\0';
	return text;
}

START_TEST(write_close_read)
{
	static const size_t steps[] = { 1, 3, SIZE_MAX };

	s.step = steps[_i];
	says("Otape\n1\nW3\noneW5\nthreeC\n", "A0\nA3\nA5\nA0\n");
	ck_assert_str_eq(tape(), "one,three,|");
	says("Otape\n0 O_RDONLY\nR10\nR10\nR10\nR10\nR10\nC\n",
	     "A0\nA3\noneA5\nthreeA0\nA0\n" E_IO "A0\n");
	ck_assert_str_eq(tape(), "one,three,|");
}
END_TEST

START_TEST(client_goes_without_close)
{
	says("Otape\n1\nW3\none", "A0\nA3\n");
	ck_assert_str_eq(tape(), "one,|");
	/* In the middle of a record: that is not written. */
	says_and_ends("Otape\n1\nW3\ntwoW10\nhalf", "A0\nA3\n", -EPIPE);
	ck_assert_str_eq(tape(), "two,|");
	s.deaf = true;
	says_and_ends("Otape\n1\nW3\none", "", -EPIPE);
	ck_assert_str_eq(tape(), "two,|");
}
END_TEST

START_TEST(no_tape_is_open)
{
	says("R10\nW3\noneC\nI6\n1\ni2\n1\nL0\n0\nSsFOother\n0\nR1\nv\nV\n",
	     E_BADF E_BADF E_BADF E_BADF E_BADF E_BADF E_BADF E_BADF E_NOENT E_BADF
	     "A1\nA2\n");
	says("O../tape\n0\nO/etc/passwd\n0\nO\n0\nOmem:a\n2 O_RDWR|O_CREAT\n",
	     E_NOENT E_NOENT E_NOENT E_NOENT);
}
END_TEST

START_TEST(garbage_ends_the_session)
{
	says_and_ends("Otape\n1\nW3\noneXI6\n1\n", "A0\nA3\n" E_INVAL, -EPROTO);
	ck_assert_str_eq(tape(), "one,|");
	says_and_ends("Otape\n1\nW99999999999\nx", "A0\n" E_INVAL, -EPROTO);
}
END_TEST

START_TEST(access_is_as_it_was_opened)
{
	says("Otape\n0\nW3\noneI5\n1\nC\n", "A0\n" E_BADF E_ACCES "A0\n");
	says("Otape\n1\nW3\noneR3\nC\n", "A0\nA3\n" E_BADF "A0\n");
	s.tape.readonly = true;
	says("Otape\n1\nOtape\n2\nOtape\n0\nR3\nW3\ntwo",
	     E_ROFS E_ROFS "A0\nA3\none" E_BADF);
	s.tape.readonly = false;
	s.medium->protected = true;
	says("Otape\n1\nOtape\n1 O_WRONLY|O_NONBLOCK\nW3\ntwo", E_ROFS "A0\n" E_ACCES);
	s.medium->protected = false;
	s.medium->absent = true;
	says("Otape\n0\nOtape\n0 O_RDONLY|O_NONBLOCK\nR3\nC\n",
	     E_NOMED "A0\n" E_NOMED E_NOMED);
	ck_assert_str_eq(tape(), "one,|");
}
END_TEST

START_TEST(records_have_a_largest_size)
{
	size_t size = PMT_RECORD_MAX + 1;
	char *in = malloc(size + 100);
	int n = sprintf(in, "Otape\n1\nW%zu\n", size);

	memset(in + n, 'x', size);
	strcpy(in + n + size, "W3\none");
	ck_assert_int_eq(session(in, (size_t)n + size + 6), 0);
	ck_assert_str_eq(s.out, "A0\n" E_INVAL "A3\n");
	free(in);
	ck_assert_str_eq(tape(), "one,|");
	says("Otape\n0\nR2147483647\nR16777216\n", "A0\n" E_INVAL "A3\none");
	/* Longer than what was asked for: gone, as under st. */
	says("Otape\n0\nR2\nR2\n", "A0\n" E_NOMEM "A0\n");
}
END_TEST

#define W10 "W10\n0123456789"

/* Four records, early warning with the second. */
START_TEST(end_of_tape_as_st)
{
	s.medium->capacity = 40;
	s.medium->ew = 20;
	says("Otape\n1\n" W10 W10 W10 W10 W10 W10 "C\n",
	     "A0\nA10\nA10\n" E_NOSPC "A10\n" E_NOSPC "A10\nA0\n");
}
END_TEST

START_TEST(end_of_tape_held)
{
	s.medium->capacity = 60;
	s.medium->ew = 40;
	s.tape.eot = PMT_EOT_HOLD;
	says("Otape\n1\n" W10 W10 W10 W10 "I5\n1\n" W10 W10 "C\n",
	     "A0\nA10\nA10\n" E_NOSPC E_NOSPC "A1\nA10\nA10\nA0\n");
	ck_assert_uint_eq(s.medium->volume.n, 6);
}
END_TEST

START_TEST(end_of_tape_by_short_writes)
{
	s.medium->capacity = 40;
	s.medium->ew = 20;
	s.tape.short_writes = true;
	says("Otape\n1\n" W10 W10 W10 "C\n", "A0\nA10\nA10\nA0\nA0\n");
	ck_assert_uint_eq(s.medium->volume.n, 3);
}
END_TEST

START_TEST(operations_need_known_numbers)
{
	says("Ontape\n1\nW3\noneC\nOntape\n0\nI6\n1\nR3\nC\n",
	     "A0\nA3\nA0\nA0\nA1\nA3\noneA0\n");
	s.tape.numbers = PMT_RMT_NUMBERS_NONE;
	/* 6 is a rewind or an ejection; 2 goes back a file everywhere. */
	says("Ontape\n0\nI6\n1\nI0\n1\nR3\nI2\n1\nC\n",
	     "A0\n" E_INVAL E_INVAL "A0\nA1\nA0\n");
	says("Ontape\n0\nI-1\n0\nI5\n1\nR3\nI9\n1\nC\n",
	     "A0\nA1\nA1\nA3\none" E_INVAL "A0\n");
	s.tape.numbers = PMT_RMT_NUMBERS_BSD;
	says("Ontape\n2\nI5\n1\nI3\n1\nI0\n2\nC\n", "A0\nA1\nA1\nA2\nA0\n");
	ck_assert_str_eq(tape(), "one,||");
	/* A handshake is of one open. */
	s.tape.numbers = PMT_RMT_NUMBERS_NONE;
	says("Ontape\n0\nI-1\n0\nC\nOntape\n0\nI5\n1\n", "A0\nA1\nA0\nA0\n" E_INVAL);
}
END_TEST

START_TEST(more_operations_of_version_1)
{
	says("Ontape\n1\nW1\naI5\n1\nW1\nbI5\n1\nW1\ncI5\n1\nC\n",
	     "A0\nA1\nA1\nA1\nA1\nA1\nA1\nA0\n");
	/* To the beginning of the file before, of the first, and not beyond. */
	says("Ontape\n0\nI-1\n0\ni5\n1\nR1\ni5\n2\nR1\ni5\n1\ni4\n1\nsFi2\n1\nR1\ni0\n1\nC\n",
	     "A0\nA1\nA1\nA1\ncA2\nA1\na" E_IO "A1\nA3\nA1\nA1\na" E_INVAL "A0\n");
}
END_TEST

START_TEST(motion_writes_its_mark_first)
{
	says("Ontape\n2\nW1\naI6\n1\nR9\nR9\nC\n", "A0\nA1\nA1\nA1\naA0\nA0\n");
	ck_assert_str_eq(tape(), "a,|");
	/* A read behind a write cancels the mark. */
	says("Ontape\n2\nW1\nbR9\nC\n", "A0\nA1\n" E_IO "A0\n");
	ck_assert_str_eq(tape(), "a,|b,");
}
END_TEST

static struct mtget status_in(const char *out)
{
	struct mtget get;

	ck_assert_int_eq(strncmp(s.out, out, strlen(out)), 0);
	ck_assert_uint_eq(s.used, strlen(out) + sizeof(get));
	memcpy(&get, s.out + strlen(out), sizeof(get));
	return get;
}

START_TEST(status_tells_where_it_is)
{
	struct mtget get;

	ck_assert_int_eq(session("Ontape\n1\nW1\naW1\nbS\n", 19), 0);
	get = status_in("A0\nA1\nA1\nA48\n");
	ck_assert_int_eq(get.mt_type, MT_ISSCSI2);
	ck_assert_int_eq(get.mt_fileno, 0);
	ck_assert_int_eq(get.mt_blkno, 2);
	ck_assert_int_eq(get.mt_gstat, 0x01010000);
	ck_assert_int_eq(get.mt_dsreg, 0x5a000000);
	ck_assert_int_eq(session("Ontape\n0\nS", 10), 0);
	get = status_in("A0\nA48\n");
	ck_assert_int_eq(get.mt_fileno, 1);
	ck_assert_int_eq(get.mt_gstat, 0x81010000);
	says("Ontape\n0\nsTsFsBsDsRsEsfsbsx", "A0\nA114\nA1\nA0\nA1509949440\nA0\nA0\n"
	     "A2164326400\nA0\n" E_INVAL);
}
END_TEST

START_TEST(seek_is_nothing_but_dumps_own)
{
	says("Ontape\n1\nW1\naW1\nbC\n", "A0\nA1\nA1\nA0\n");
	says("Ontape\n0\nL0\n10\nL1\n11\nR9\nL0\n10\nL0\n0\nL100\n2\nL-1\n11\nL99\n11\nC\n",
	     "A0\nA3\nA1\nA1\nbA2\nA0\nA0\n" E_INVAL E_IO "A0\n");
}
END_TEST

START_TEST(place_is_kept_between_sessions)
{
	says("Ontape\n1\nW1\na", "A0\nA1\n");
	says("Ontape\n1\nW1\nb", "A0\nA1\n");
	ck_assert_str_eq(tape(), "a,|b,|");
	says("Otape\n0\nL0\n10\n", "A0\nA4\n");		/* it rewinds behind */
	says("Ontape\n0\nR9\nR9\nR9\n", "A0\nA1\naA0\nA1\nb");
	says("Ontape\n0\nR9\n", "A0\nA0\n");
	/* A program that only looks does not move it. */
	says("Ontape\n0\nC\nOntape\n0\nsF", "A0\nA0\nA0\nA2\n");
}
END_TEST

START_TEST(volumes_go_on_in_the_next_session)
{
	s.medium->stacker = true;
	says("Ontape\n1\nW1\naI7\n1\nR9\nC\n", "A0\nA1\nA1\n" E_BADF "A0\n");
	says("Ontape\n1\nW1\nb", "A0\nA1\n");
	ck_assert_str_eq(tape(), "b,|");
	ck_assert_uint_eq(s.medium->n_gone, 1);
	ck_assert_uint_eq(s.medium->gone[0].n, 2);
}
END_TEST

START_TEST(another_cartridge_is_a_new_beginning)
{
	says("Ontape\n1\nW1\naI5\n3\nC\n", "A0\nA1\nA3\nA0\n");
	s.medium->id++;
	says("Ontape\n2\nsFR9\nC\n", "A0\nA0\nA1\naA0\n");
	/* And so it is of both copies of a mirror. */
	s.tape.spec = "mirror(mem:a, mem:b)?twins=any";
	s.tape.state = path("other");
	says("Ontape\n1\nI6\n1\nW1\nbI5\n3\nC\n", "A0\nA1\nA1\nA3\nA0\n");
	s.medium->id++;
	mem_medium("b")->id++;
	says("Ontape\n2\nsFR9\nC\n", "A0\nA0\nA1\nbA0\n");
}
END_TEST

static void store(bool busy)
{
	struct pmt_rmt_st_kept kept;
	struct pmt_rmt_state *state;

	ck_assert_int_eq(pmt_rmt_state_open(&state, path("state"), &kept), 0);
	kept.busy = busy;
	ck_assert_int_eq(pmt_rmt_state_store(state, &kept), 0);
	pmt_rmt_state_close(state);
}

START_TEST(who_died_has_lost_the_place)
{
	says("Ontape\n1\nW1\na", "A0\nA1\n");
	store(true);
	says("Ontape\n2\nW1\nbR9\nI1\n1\nsFC\n",
	     "A0\n" E_IO E_IO E_IO "A-1\n" E_IO);
	says_and_ends("Ontape\n1\nW1\nb", "A0\n" E_IO, -EIO);
	ck_assert_str_eq(tape(), "a,|");
	says("Ontape\n0\nI6\n1\nR9\nC\n", "A0\nA1\nA1\naA0\n");
	/* The name that rewinds can not go wrong. */
	store(true);
	says("Otape\n0\nR9\nC\n", "A0\nA1\naA0\n");
	says("Ontape\n0\nR9\nC\n", "A0\nA1\naA0\n");
}
END_TEST

START_TEST(one_open_at_a_time)
{
	struct pmt_rmt_state *state;
	struct pmt_rmt_st_kept kept;

	ck_assert_int_eq(pmt_rmt_state_open(&state, path("state"), &kept), 0);
	says("Otape\n0\n", E_BUSY);
	pmt_rmt_state_close(state);
	says("Otape\n0\nOtape\n0\nOntape\n0\n", "A0\nA0\nA0\n");
}
END_TEST

START_TEST(state_is_read_as_written)
{
	struct pmt_rmt_st_kept kept = {
		.unit_id = UINT64_MAX, .session = 7,
		.place = { .generation = 8, .lbn = PMT_UNKNOWN, .file = PMT_UNKNOWN,
			   .block = UINT64_MAX - 1, .partition = PMT_PARTITION_MAX },
		.medium = { 1, 2, UINT64_MAX, 4, UINT64_MAX, 6 },
		.cookie = UINT32_MAX, .file = INT32_MAX, .block = -1,
		.eof = PMT_RMT_ST_EOD3, .busy = true,
	}, read;
	char text[640];
	int n = pmt_rmt_state_print(text, sizeof(text), &kept);

	ck_assert_int_gt(n, 0);
	memset(&read, 0, sizeof(read));
	ck_assert_int_eq(pmt_rmt_state_parse(text, &read), 0);
	ck_assert_mem_eq(&read.place, &kept.place, sizeof(kept.place));
	ck_assert_mem_eq(read.medium, kept.medium, sizeof(kept.medium));
	ck_assert_uint_eq(read.unit_id, kept.unit_id);
	ck_assert_uint_eq(read.cookie, kept.cookie);
	ck_assert_int_eq(read.file, kept.file);
	ck_assert_int_eq(read.eof, kept.eof);
	ck_assert(read.busy);
	/* Torn anywhere, it is none. */
	for (n -= 2; n >= 0; n--) {
		text[n] = '\0';
		ck_assert_int_eq(pmt_rmt_state_parse(text, &read), -EINVAL);
	}
}
END_TEST

START_TEST(a_torn_state_is_a_lost_place)
{
	FILE *file = fopen(path("state"), "w");

	fputs("pmt tape state 1\nunit 12", file);
	fclose(file);
	says_and_ends("Ontape\n1\nW1\na", "A0\n" E_IO, -EIO);
	says("Otape\n1\nW1\na", "A0\nA1\n");
	ck_assert_str_eq(tape(), "a,|");
}
END_TEST

START_TEST(errors_of_the_drive)
{
	s.tape.spec = "fault?op=write&error=medium|mem:a";
	says("Otape\n1\nW1\naW1\nbC\n", "A0\n" E_IO "A1\nA0\n");
	ck_assert_str_eq(tape(), "b,|");
	s.tape.spec = "mem";
	says("Otape\n1\n", E_IO);
	s.tape.spec = "mirror(mem:a, mem:b)";
	says("Otape\n1\nW1\nxC\n", "A0\nA1\nA0\n");
	ck_assert(mem_same(&mem_medium("a")->volume, &mem_medium("b")->volume));
	ck_assert_str_eq(tape(), "x,|");
}
END_TEST

/* What a mirror has dropped stays out for the next client, too. */
START_TEST(a_dropped_copy_stays_out)
{
	s.tape.spec = "mirror(fault?op=write&at=1&error=hardware|mem:a, mem:b)?policy=degrade";
	says("Ontape\n1\nW1\nxW1\ny", "A0\nA1\nA1\n");
	s.tape.spec = "mirror(mem:a, mem:b)?policy=degrade";
	says("Ontape\n2\nW1\nzI6\n1\nR9\nR9\nC\n", "A0\nA1\nA1\nA1\nxA1\nyA0\n");
	ck_assert_str_eq(tape(), "x,");
	ck_assert_uint_eq(mem_medium("b")->volume.n, 5);
}
END_TEST

static TCase *wire(void)
{
	TCase *tests = tcase_create("wire");

	tcase_add_loop_test(tests, requests_are_understood, 0, N_ELEMENTS(good_requests));
	tcase_add_loop_test(tests, what_is_no_request_is_refused, 0,
			    N_ELEMENTS(bad_requests));
	tcase_add_test(tests, lines_have_a_length);
	tcase_add_loop_test(tests, requests_are_written_as_they_are_read, 0,
			    N_ELEMENTS(good_requests));
	tcase_add_test(tests, a_name_is_no_second_request);
	tcase_add_test(tests, operations_by_whose_numbers);
	tcase_add_loop_test(tests, replies_are_understood, 0, N_ELEMENTS(replies));
	tcase_add_test(tests, a_long_text_is_read_to_its_end);
	tcase_add_test(tests, a_text_without_end_is_none);
	tcase_add_test(tests, every_error_comes_back);
	tcase_add_test(tests, statuses_of_all_layouts);
	tcase_add_test(tests, status_of_this_machine);
	return tests;
}

int main(void)
{
	Suite *suite = suite_create("rmt");
	TCase *tests = tcase_create("session");

	suite_add_tcase(suite, wire());
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, write_close_read, 0, 3);
	tcase_add_test(tests, client_goes_without_close);
	tcase_add_test(tests, no_tape_is_open);
	tcase_add_test(tests, garbage_ends_the_session);
	tcase_add_test(tests, access_is_as_it_was_opened);
	tcase_add_test(tests, records_have_a_largest_size);
	tcase_add_test(tests, end_of_tape_as_st);
	tcase_add_test(tests, end_of_tape_held);
	tcase_add_test(tests, end_of_tape_by_short_writes);
	tcase_add_test(tests, operations_need_known_numbers);
	tcase_add_test(tests, more_operations_of_version_1);
	tcase_add_test(tests, motion_writes_its_mark_first);
	tcase_add_test(tests, status_tells_where_it_is);
	tcase_add_test(tests, seek_is_nothing_but_dumps_own);
	tcase_add_test(tests, place_is_kept_between_sessions);
	tcase_add_test(tests, volumes_go_on_in_the_next_session);
	tcase_add_test(tests, another_cartridge_is_a_new_beginning);
	tcase_add_test(tests, who_died_has_lost_the_place);
	tcase_add_test(tests, one_open_at_a_time);
	tcase_add_test(tests, state_is_read_as_written);
	tcase_add_test(tests, a_torn_state_is_a_lost_place);
	tcase_add_test(tests, errors_of_the_drive);
	tcase_add_test(tests, a_dropped_copy_stays_out);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
