// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * RMT against whatever a peer can send: the parsers alone, and whole sessions
 *
 * The first byte of an input says which.  Parsers: fed in pieces of all sizes, each of
 * memory of its own, so that AddressSanitizer watches its end; the same request has
 * to come out as of all bytes at once, no byte behind it is taken, and what is
 * written again is read as the same.  Sessions: over a small drive in memory; checked is
 * that the drive holds no byte that did not come, and that the two copies of a
 * mirror, of which one has an end, are the same.  See tests/fuzz/native.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../lib/rmt/rmt.h"
#include "../unit/memleaf.h"

#define OUT_MAX (1u << 20)

#define REQUIRE(condition) \
	((condition) ? (void)0 : (fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, \
					  __LINE__, #condition), abort()))

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of a session. */
static struct {
	const uint8_t *in;
	size_t left, step;
	uint8_t *out;
	size_t used;
	struct pmt_rmt_tape tape;
} client;

static void quiet(int priority, const char *message)
{
	(void)priority;
	(void)message;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	pmt_log_set_handler(quiet);
	pmt_drive_add_kind(&mem_drive);
	client.out = malloc(OUT_MAX);
	if (!client.out)
		abort();
	return 0;
}

static uint8_t *copy_of(const uint8_t *bytes, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	if (!copy)
		abort();
	memcpy(copy, bytes, n);
	return copy;
}

/* ---- the parsers ---- */

static struct pmt_rmt_parser parsers[2];

/* -errno, 0 not whole, else the bytes of the request. */
static ssize_t parse(struct pmt_rmt_parser *parser, const uint8_t *data, size_t size,
		     size_t step, struct pmt_rmt_request *request)
{
	size_t taken = 0;
	bool done = false;

	pmt_rmt_parser_init(parser);
	while (taken < size && !done) {
		size_t n = size - taken < step ? size - taken : step;
		uint8_t *piece = copy_of(data + taken, n);
		ssize_t rc = pmt_rmt_parser_feed(parser, (char *)piece, n, request, &done);

		free(piece);
		if (rc < 0)
			return rc;
		REQUIRE((size_t)rc <= n && (done || (size_t)rc == n));
		taken += (size_t)rc;
	}
	return done ? (ssize_t)taken : 0;
}

static void same(const struct pmt_rmt_request *a, const struct pmt_rmt_request *b)
{
	REQUIRE(a->op == b->op && a->what == b->what && a->count == b->count);
	REQUIRE(a->number == b->number && !a->device == !b->device);
	REQUIRE(!a->device || strcmp(a->device, b->device) == 0);
}

static void check_request(const struct pmt_rmt_request *request)
{
	static struct pmt_rmt_parser again;
	static char text[PMT_RMT_REQUEST_MAX];
	struct pmt_rmt_request read;
	int n;

	REQUIRE(!request->device || strlen(request->device) <= PMT_RMT_NAME_MAX);
	if (request->op == 'R' || request->op == 'W')
		REQUIRE(request->count >= 0 && request->count <= INT32_MAX);
	for (int order = 0; order < 3; order++) {
		int op = pmt_rmt_op_decode((enum pmt_rmt_order)order, request->number);

		REQUIRE(op < 0 || pmt_rmt_op_encode((enum pmt_rmt_order)order, op) ==
					  request->number);
	}
	/* An offset and whence can be one another; then they change places. */
	n = pmt_rmt_request_put(text, sizeof(text), request);
	REQUIRE(n > 0);
	REQUIRE(parse(&again, (uint8_t *)text, (size_t)n, (size_t)n, &read) == n);
	same(request, &read);
	REQUIRE((read.flags & O_ACCMODE) == (request->flags & O_ACCMODE));
}

static void fuzz_requests(const uint8_t *data, size_t size, size_t step)
{
	while (size) {
		struct pmt_rmt_request request, other;
		ssize_t whole = parse(&parsers[0], data, size, size, &request);

		REQUIRE(parse(&parsers[1], data, size, step, &other) == whole);
		if (whole <= 0)
			return;
		same(&request, &other);
		check_request(&request);
		data += whole;
		size -= (size_t)whole;
	}
}

/* As parse(). */
static ssize_t parse_reply(const uint8_t *data, size_t size, size_t step,
			   struct pmt_rmt_reply *reply)
{
	struct pmt_rmt_reply_parser parser;
	size_t taken = 0;
	bool done = false;

	pmt_rmt_reply_init(&parser);
	while (taken < size && !done) {
		size_t n = size - taken < step ? size - taken : step;
		uint8_t *piece = copy_of(data + taken, n);
		ssize_t rc = pmt_rmt_reply_feed(&parser, (char *)piece, n, reply, &done);

		free(piece);
		if (rc < 0)
			return rc;
		REQUIRE((size_t)rc <= n && (done || (size_t)rc == n));
		taken += (size_t)rc;
	}
	return done ? (ssize_t)taken : 0;
}

static void fuzz_replies(const uint8_t *data, size_t size, size_t step)
{
	while (size) {
		struct pmt_rmt_reply reply, other;
		ssize_t whole = parse_reply(data, size, size, &reply);

		REQUIRE(parse_reply(data, size, step, &other) == whole);
		if (whole <= 0)
			return;
		REQUIRE(reply.kind == other.kind && reply.value == other.value);
		REQUIRE(reply.kind == PMT_RMT_OK || reply.error > 0);
		data += whole;
		size -= (size_t)whole;
	}
}

static void fuzz_status(const uint8_t *data, size_t size)
{
	struct pmt_rmt_status status;
	uint8_t *bytes = copy_of(data, size);
	int rc = pmt_rmt_mtget_decode(bytes, size, &status);

	free(bytes);
	REQUIRE(rc == -EPROTO || (rc == 0 && status.type > 0));
}

static void fuzz_state(const uint8_t *data, size_t size)
{
	struct pmt_rmt_st_kept kept;
	char *text = strndup((const char *)data, size);
	char again[640];

	if (!text)
		abort();
	if (pmt_rmt_state_parse(text, &kept) == 0)
		REQUIRE(pmt_rmt_state_print(again, sizeof(again), &kept) > 0);
	free(text);
}

/* ---- sessions ---- */

static ssize_t give(void *context, void *to, size_t size)
{
	size_t n = client.left < size ? client.left : size;

	(void)context;
	if (n > client.step)
		n = client.step;
	memcpy(to, client.in, n);
	client.in += n;
	client.left -= n;
	return (ssize_t)n;
}

static int take(void *context, const void *from, size_t size)
{
	(void)context;
	if (size > OUT_MAX - client.used)
		return -EPIPE;
	memcpy(client.out + client.used, from, size);
	client.used += size;
	return 0;
}

static int find(void *context, const char *name, struct pmt_rmt_tape *tape)
{
	(void)context;
	if (*name != 't' && *name != 'n')
		return -ENOENT;
	*tape = client.tape;
	tape->rewind = *name == 't';
	return 0;
}

/* Records of a few bytes, and an end that is met soon. */
static struct mem_medium *set_medium(unsigned int how)
{
	struct mem_medium *medium = mem_medium("a");

	medium->capacity = how & 1 ? 0 : 64;
	medium->ew = how & 1 ? 0 : 24;
	medium->most = mem_medium("b")->most = 64;
	medium->stacker = how & 2;
	medium->no_locate = how & 4;
	medium->no_lbn = how & 8;
	medium->no_eod = how & 16;
	medium->protected = (how & 0x60) == 0x60;
	client.tape = (struct pmt_rmt_tape){
		.spec = how & 0x80 ? "mirror(mem:a, mem:b)" : "mem:a",
		.eot = how & 2 ? PMT_EOT_HOLD : PMT_EOT_ST,
		.numbers = (enum pmt_rmt_numbers)(how >> 2 & 3) % 3,
		.short_writes = how & 32,
	};
	return medium;
}

static size_t bytes_on(const struct mem_volume *volume)
{
	size_t bytes = 0;

	for (uint64_t i = 0; i < volume->n; i++)
		bytes += volume->records[i].length;
	return bytes;
}

static void fuzz_session(const uint8_t *data, size_t size, size_t step, unsigned int how)
{
	struct pmt_rmt_config config = { .find = find };
	struct pmt_rmt_io io = { .read = give, .write = take };
	const struct mem_medium *medium = set_medium(how);
	int rc;

	client.in = data;
	client.left = size;
	client.step = step;
	client.used = 0;
	rc = pmt_rmt_session(&config, &io);
	REQUIRE(rc <= 0);
	/* No byte that did not come. */
	REQUIRE(bytes_on(&medium->volume) <= size);
	if (how & 0x80 && !medium->stacker && !medium->protected)
		REQUIRE(mem_same(&medium->volume, &mem_medium("b")->volume));
	if (client.used)
		REQUIRE(*client.out == 'A' || *client.out == 'E');
	mem_reset();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t step;

	if (size < 3)
		return 0;
	step = 1 + data[1] % 32;
	switch (data[0] % 8) {
	case 0: fuzz_requests(data + 3, size - 3, step); break;
	case 1: fuzz_replies(data + 3, size - 3, step); break;
	case 2: fuzz_status(data + 3, size - 3); break;
	case 3: fuzz_state(data + 3, size - 3); break;
	default: fuzz_session(data + 3, size - 3, step, data[2]); break;
	}
	return 0;
}
