// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kmod/ring.h, as the kernel compiles it, against whatever a server can write
 *
 * An input is a ring's size and a list of steps: what the kernel does (issue,
 * collect, retire, cancel, give up, sleep) and what the server writes, right and
 * wrong.  All the time a thread changes the words that are shared.  Checked after
 * each step: no index leads out of an area (they are as large as they must be,
 * and AddressSanitizer watches their ends), live commands share no byte, and what
 * was collected is within what was asked for.  See tests/fuzz/native.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../kmod/ring.h"

#define SLOTS_MAX 64u
#define BYTES_MAX (1u << 16)	/* of a data area that is there and not only counted */

#define REQUIRE(condition) \
	((condition) ? (void)0 : (fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, \
					  __LINE__, #condition), abort()))

static struct {
	struct pmt_ring ring;
	void *commands, *results;
	char *data;
	struct pmt_command issued[SLOTS_MAX];
	const uint8_t *input;
	size_t left;
} f;

/* What the thread may change; under lock it is there. */
static struct {
	pthread_mutex_t lock;
	struct pmt_server_page *page;
	struct pmt_result *answers;
	uint32_t slots, done, tail;
} shared = { .lock = PTHREAD_MUTEX_INITIALIZER };

static uint64_t take(unsigned int bytes)
{
	uint64_t value = 0;

	while (bytes-- && f.left) {
		value = value << 8 | *f.input++;
		f.left--;
	}
	return value;
}

/* ---- the thread ---- */

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	return *state ^= *state << 17;
}

static void scribble(uint64_t *state)
{
	uint64_t what = next(state), value = next(state);
	struct pmt_result *res = &shared.answers[(what >> 8) % shared.slots];
	uint32_t *word = (uint32_t *)shared.page;

	switch (what % 8) {
	case 0: WRITE_ONCE(shared.page->done, shared.done + (uint32_t)value % 4); break;
	case 1: WRITE_ONCE(shared.page->done, shared.tail - (uint32_t)value % 4); break;
	case 2: WRITE_ONCE(word[value % (sizeof(*shared.page) / 4)], (uint32_t)what); break;
	case 3: WRITE_ONCE(res->residue, (int64_t)(value >> value % 64)); break;
	case 4: WRITE_ONCE(res->status, (uint16_t)(value % 4)); break;
	case 5: WRITE_ONCE(res->place.generation, value % 3); break;
	case 6: WRITE_ONCE(res->place.partition, (uint32_t)value % 70); break;
	default: ((uint8_t *)res)[value % sizeof(*res)] = (uint8_t)(value >> 8);
	}
}

__attribute__((no_sanitize("address", "undefined", "coverage")))
static void *change(void *arg)
{
	uint64_t state = 88172645463325252ull;

	for (;;) {
		pthread_mutex_lock(&shared.lock);
		for (int i = 0; i < 16 && shared.page; i++)
			scribble(&state);
		pthread_mutex_unlock(&shared.lock);
	}
	return arg;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	pthread_t thread;

	(void)argc;
	(void)argv;
	return pthread_create(&thread, NULL, change, NULL);
}

/* ---- what must hold ---- */

/* No byte of a live command is another's: they follow each other within one area. */
static void check_data(void)
{
	const struct pmt_ring *ring = &f.ring;
	uint32_t last = 0, used = 0;
	bool any = false;

	for (uint32_t n = ring->head; n != ring->tail; n++) {
		const struct pmt_command *cmd = pmt_ring_command(ring, n);
		uint32_t gap;

		REQUIRE(memcmp(cmd, &f.issued[pmt_ring_slot(ring, n)], sizeof(*cmd)) == 0);
		REQUIRE(cmd->number == n);
		if (!cmd->length)
			continue;
		REQUIRE(cmd->offset < ring->data_size && cmd->length <= ring->data_size);
		REQUIRE(cmd->offset % PMT_DATA_ALIGN == 0);
		REQUIRE(cmd->length < PMT_DATA_PAGE || cmd->offset % PMT_DATA_PAGE == 0);
		gap = any ? (cmd->offset - last) & (ring->data_size - 1) : 0;
		used += gap + cmd->length;
		REQUIRE(used <= ring->data_size);
		last = cmd->offset + cmd->length;
		any = true;
		if (f.data) {
			f.data[cmd->offset] = 1;
			f.data[last - 1] = 1;
		}
	}
}

static void check_result(const struct pmt_command *cmd, const struct pmt_result *res)
{
	int64_t most = cmd->block_size ? cmd->length / cmd->block_size : cmd->length;

	REQUIRE(res->number == cmd->number && res->status <= PMT_STATUS_CANCELLED);
	if (res->status == PMT_STATUS_CANCELLED)
		return;
	REQUIRE(res->key <= 0xf && !(res->sense & ~PMT_SENSE_ALL));
	REQUIRE(!(res->medium_flags & ~PMT_MEDIUM_VALID));
	REQUIRE(res->place.partition <= PMT_PARTITION_MAX);
	if (cmd->op == PMT_OP_WRITE_FILEMARKS || cmd->op == PMT_OP_SPACE)
		most = cmd->count < 0 ? -cmd->count : cmd->count;
	else if (cmd->op != PMT_OP_READ && cmd->op != PMT_OP_WRITE)
		most = 0;
	REQUIRE(res->residue <= most);
	REQUIRE(res->residue >= 0 || (cmd->op == PMT_OP_READ && !cmd->block_size &&
				      res->status == PMT_STATUS_CHECK &&
				      res->residue >= -(int64_t)PMT_RECORD_MAX));
	/* What a reader is given: length less residue, of an answer that is good. */
	if (res->status == PMT_STATUS_GOOD && cmd->op == PMT_OP_READ)
		REQUIRE((uint64_t)cmd->length - (uint64_t)res->residue <= cmd->length);
}

static void check_ring(void)
{
	const struct pmt_ring *ring = &f.ring;

	REQUIRE(ring->tail - ring->head <= ring->slots);
	REQUIRE(ring->done - ring->head <= ring->tail - ring->head);
	REQUIRE(ring->data_tail - ring->data_head <= ring->data_size);
	REQUIRE(READ_ONCE(ring->kernel->tail) == ring->tail);
	for (uint32_t n = ring->head; n != ring->done; n++)
		check_result(pmt_ring_command(ring, n), pmt_ring_result(ring, n));
	check_data();
}

/* ---- the steps ---- */

static void step_issue(void)
{
	static const uint32_t sizes[] = { 0, 1, 63, 64, 65, 511, 512, 4095, 4096, 4097,
					  65536 };
	struct pmt_command cmd = { .op = (uint16_t)(1 + take(1) % PMT_OP_MAX) };
	uint32_t how = (uint32_t)take(1);

	if (cmd.op == PMT_OP_READ || cmd.op == PMT_OP_WRITE) {
		cmd.length = how % 16 < 11 ? sizes[how % 16] :
			     (uint32_t)take(4) % (f.ring.data_size + 1);
		if (how & 0x10)
			cmd.block_size = 1 + (uint32_t)take(2);
		if (cmd.block_size)
			cmd.length -= cmd.length % cmd.block_size;
	} else {
		cmd.count = (int32_t)take(how & 0x10 ? 4 : 1);
		if (cmd.op == PMT_OP_WRITE_FILEMARKS && cmd.count < 0)
			cmd.count = 0;
	}
	cmd.place.generation = f.ring.generation;
	if (!pmt_ring_fits(&f.ring, cmd.length, (how >> 5)))
		return;
	pmt_ring_issue(&f.ring, &cmd);
	f.issued[pmt_ring_slot(&f.ring, cmd.number)] = cmd;
}

static void step_collect(void)
{
	uint32_t waiting = f.ring.tail - f.ring.done, from = f.ring.done;
	uint64_t generation = f.ring.generation;
	int got = pmt_ring_collect(&f.ring);

	REQUIRE(got == -EPROTO || (got >= 0 && (uint32_t)got <= waiting));
	REQUIRE(got < 0 || f.ring.done - from == (uint32_t)got);
	REQUIRE(f.ring.generation >= generation);
	pmt_ring_stuck(&f.ring);
}

/* Right, but for what the input says. */
static void step_answer(void)
{
	uint32_t n = f.ring.done + (uint32_t)take(1) % 4;
	struct pmt_result res = { .number = n, .place.generation = f.ring.generation };
	unsigned int wrong = (unsigned int)take(1);

	if (wrong & 1)
		res.residue = (int64_t)take(wrong & 2 ? 8 : 2);
	if (wrong & 4)
		res.status = (uint16_t)take(1) % 4;
	if (wrong & 8)
		res.sense = (uint8_t)take(1) % 9;
	if (wrong & 16)
		((uint8_t *)&res)[take(1) % sizeof(res)] = (uint8_t)take(1);
	if (wrong & 32)
		res.place.generation += take(3);
	f.ring.answers[pmt_ring_slot(&f.ring, n)] = res;
	if (!(wrong & 64))
		WRITE_ONCE(f.ring.server->done, wrong & 128 ? (uint32_t)take(4) : n + 1);
}

static void step_scribble(void)
{
	uint8_t *results = f.results;
	size_t size = PMT_PAGE_AREA + f.ring.slots * sizeof(struct pmt_result);

	for (size_t at = take(2), n = take(1) % 16; n; n--)
		results[at++ % size] = (uint8_t)take(1);
}

static void step(unsigned int what)
{
	struct pmt_ring *ring = &f.ring;
	struct pmt_place place = { .generation = ring->generation, .lbn = what };

	switch (what % 12) {
	case 0: case 1: case 2: step_issue(); break;
	case 3: case 4: step_answer(); break;
	case 5: case 6: step_collect(); break;
	case 7:
		if (ring->head != ring->done)
			pmt_ring_retire(ring);
		break;
	case 8: pmt_ring_cancel(ring, ring->tail - (what >> 4) % 3); break;
	case 9: step_scribble(); break;
	case 10:
		pmt_ring_sleep(ring, ring->tail - 1);
		pmt_ring_early_warning(ring, &place);
		pmt_ring_awake(ring);
		break;
	default:
		if (what > 200)
			pmt_ring_give_up(ring);
		while (what > 100 && ring->head != ring->done)
			pmt_ring_retire(ring);
	}
	WRITE_ONCE(shared.done, ring->done);
	WRITE_ONCE(shared.tail, ring->tail);
}

/* Zeroed, and exactly of that size. */
static void *area(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		abort();
	return p;
}

static void set_up(void)
{
	uint32_t slots = 8u << take(1) % 4, size = 1u << (12 + take(1) % 19);
	uint32_t first = take(1) % 2 ? 0u - (uint32_t)take(1) : (uint32_t)take(4);

	f.commands = area(PMT_PAGE_AREA + slots * sizeof(struct pmt_command));
	f.results = area(PMT_PAGE_AREA + slots * sizeof(struct pmt_result));
	f.data = size <= BYTES_MAX ? area(2 * (size_t)size) : NULL;
	pmt_ring_init(&f.ring, f.commands, f.results,
		      area(slots * sizeof(struct pmt_result)), area(slots * sizeof(__u32)),
		      slots, size, first);
	f.ring.generation = 1 + take(1) % 4;
	f.ring.data_head = f.ring.data_tail =
		(take(1) % 2 ? 0u - 4096 * (uint32_t)take(1) : 0) & ~(PMT_DATA_PAGE - 1);
	pthread_mutex_lock(&shared.lock);
	shared.page = f.ring.server;
	shared.answers = f.ring.answers;
	shared.slots = slots;
	shared.done = shared.tail = first;
	pthread_mutex_unlock(&shared.lock);
}

static void tear_down(void)
{
	pthread_mutex_lock(&shared.lock);
	shared.page = NULL;
	pthread_mutex_unlock(&shared.lock);
	free(f.commands);
	free(f.results);
	free(f.data);
	free(f.ring.results);
	free(f.ring.data_end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	f.input = data;
	f.left = size;
	set_up();
	while (f.left) {
		step((unsigned int)take(1));
		check_ring();
	}
	tear_down();
	return 0;
}
