// SPDX-License-Identifier: GPL-2.0
/*
 * The ring's arithmetic and what it believes of a server, with the kernel's own
 * compiler, barriers and checkers; tests/unit/check_ring.c has both halves of it
 * against each other.
 */
#include <linux/slab.h>

#include "../ring.h"
#include "tests.h"

#define SLOTS	4u
#define DATA	(1u << 16)
#define FIRST	0xfffffffeu	/* numbers turn over within a few commands */

struct pages {
	struct pmt_ring ring;
	struct pmt_result results[SLOTS];
	__u32 data_end[SLOTS];
};

static struct pmt_ring *new_ring(struct kunit *test)
{
	struct pages *pages = kunit_kzalloc(test, sizeof(*pages), GFP_KERNEL);
	void *commands = kunit_kzalloc(test, 2 * PMT_PAGE_AREA, GFP_KERNEL);
	void *results = kunit_kzalloc(test, 2 * PMT_PAGE_AREA, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, pages);
	KUNIT_ASSERT_NOT_NULL(test, commands);
	KUNIT_ASSERT_NOT_NULL(test, results);
	pmt_ring_init(&pages->ring, commands, results, pages->results, pages->data_end,
		      SLOTS, DATA, FIRST);
	pages->ring.generation = 1;
	return &pages->ring;
}

static u32 issue(struct pmt_ring *ring, enum pmt_op op, u32 length)
{
	struct pmt_command cmd = { .op = op, .length = length };

	pmt_ring_issue(ring, &cmd);
	return cmd.offset;
}

/* As a server would: the oldest that has no result, and done behind it. */
static int answer(struct pmt_ring *ring, const struct pmt_result *res)
{
	ring->answers[pmt_ring_slot(ring, ring->done)] = *res;
	ring->server->done = ring->done + 1;
	return pmt_ring_collect(ring);
}

static struct pmt_result good(const struct pmt_ring *ring)
{
	return (struct pmt_result){ .number = ring->done, .place.generation = 1 };
}

/* ---- room ---- */

static void slots_are_kept(struct kunit *test)
{
	struct pmt_ring *ring = new_ring(test);

	KUNIT_EXPECT_TRUE(test, pmt_ring_fits(ring, 0, SLOTS - 1));
	KUNIT_EXPECT_FALSE(test, pmt_ring_fits(ring, 0, SLOTS));
	issue(ring, PMT_OP_TEST, 0);
	issue(ring, PMT_OP_TEST, 0);
	issue(ring, PMT_OP_TEST, 0);
	KUNIT_EXPECT_EQ(test, ring->tail, 1u);
	KUNIT_EXPECT_TRUE(test, pmt_ring_fits(ring, 0, 0));
	KUNIT_EXPECT_FALSE(test, pmt_ring_fits(ring, 0, 1));
	issue(ring, PMT_OP_TEST, 0);
	KUNIT_EXPECT_FALSE(test, pmt_ring_fits(ring, 0, 0));
}

static void data_is_aligned(struct kunit *test)
{
	struct pmt_ring *ring = new_ring(test);

	KUNIT_EXPECT_EQ(test, issue(ring, PMT_OP_WRITE, 1), 0u);
	KUNIT_EXPECT_EQ(test, issue(ring, PMT_OP_WRITE, 100), PMT_DATA_ALIGN);
	KUNIT_EXPECT_EQ(test, issue(ring, PMT_OP_WRITE, 5000), PMT_DATA_PAGE);
	KUNIT_EXPECT_EQ(test, issue(ring, PMT_OP_WRITE, 64), 9152u);	/* behind 9096 */
}

static void data_fits_to_the_byte(struct kunit *test)
{
	struct pmt_ring *ring = new_ring(test);

	KUNIT_EXPECT_TRUE(test, pmt_ring_fits(ring, DATA, 0));
	KUNIT_EXPECT_FALSE(test, pmt_ring_fits(ring, DATA + 1, 0));
	issue(ring, PMT_OP_WRITE, PMT_DATA_PAGE);
	KUNIT_EXPECT_TRUE(test, pmt_ring_fits(ring, DATA - PMT_DATA_PAGE, 0));
	KUNIT_EXPECT_FALSE(test, pmt_ring_fits(ring, DATA - PMT_DATA_PAGE + 1, 0));
}

/* Positions go on over 2^32; a record across the end stays in one piece. */
static void data_goes_round(struct kunit *test)
{
	struct pmt_ring *ring = new_ring(test);
	struct pmt_result res;

	ring->data_tail = 0u - 2 * PMT_DATA_PAGE;
	ring->data_head = ring->data_tail;
	issue(ring, PMT_OP_WRITE, PMT_DATA_PAGE);
	KUNIT_EXPECT_TRUE(test, pmt_ring_fits(ring, DATA - PMT_DATA_PAGE, 0));
	KUNIT_EXPECT_EQ(test, issue(ring, PMT_OP_WRITE, DATA - PMT_DATA_PAGE),
			DATA - PMT_DATA_PAGE);
	KUNIT_EXPECT_EQ(test, ring->data_tail, DATA - 2 * PMT_DATA_PAGE);
	KUNIT_EXPECT_FALSE(test, pmt_ring_fits(ring, 1, 0));
	res = good(ring);
	KUNIT_EXPECT_EQ(test, answer(ring, &res), 1);
	KUNIT_EXPECT_FALSE(test, pmt_ring_fits(ring, 1, 0));
	pmt_ring_retire(ring);
	KUNIT_EXPECT_TRUE(test, pmt_ring_fits(ring, PMT_DATA_PAGE, 0));
	KUNIT_EXPECT_FALSE(test, pmt_ring_fits(ring, PMT_DATA_PAGE + 1, 0));
}

/* An empty ring has all of its data area, wherever it stands. */
static void empty_is_whole(struct kunit *test)
{
	struct pmt_ring *ring = new_ring(test);
	struct pmt_result res;

	issue(ring, PMT_OP_WRITE, 1000);
	res = good(ring);
	KUNIT_EXPECT_EQ(test, answer(ring, &res), 1);
	pmt_ring_retire(ring);
	KUNIT_EXPECT_TRUE(test, pmt_ring_fits(ring, DATA, 0));
	KUNIT_EXPECT_EQ(test, pmt_ring_offset(ring, DATA) % PMT_DATA_PAGE, 0u);
}

/* A server that keeps up has the same pages again, not all in turn. */
static void empty_starts_over(struct kunit *test)
{
	struct pmt_ring *ring = new_ring(test);
	struct pmt_result res;

	KUNIT_EXPECT_EQ(test, issue(ring, PMT_OP_WRITE, 1000), 0u);
	KUNIT_EXPECT_NE(test, issue(ring, PMT_OP_WRITE, 1000), 0u);
	res = good(ring);
	KUNIT_EXPECT_EQ(test, answer(ring, &res), 1);
	pmt_ring_retire(ring);
	KUNIT_EXPECT_NE(test, pmt_ring_offset(ring, 1000), 0u);
	res = good(ring);
	KUNIT_EXPECT_EQ(test, answer(ring, &res), 1);
	pmt_ring_retire(ring);
	KUNIT_EXPECT_EQ(test, pmt_ring_offset(ring, 1000), 0u);
}

/* ---- what is believed of a server ---- */

struct belief {
	const char *name;
	struct pmt_command cmd;
	u32 number_off;
	struct pmt_result res;
	int answer;
};

static const struct belief beliefs[] = {
	{ "good", { .op = PMT_OP_TEST }, 0, { .place.generation = 1 }, 1 },
	{ "another number", { .op = PMT_OP_TEST }, 1, { .place.generation = 1 }, -EPROTO },
	{ "a status that is none", { .op = PMT_OP_TEST }, 0,
	  { .status = 3, .place.generation = 1 }, -EPROTO },
	{ "cancelled by nobody", { .op = PMT_OP_TEST }, 0,
	  { .status = PMT_STATUS_CANCELLED, .place.generation = 1 }, -EPROTO },
	{ "a key that is none", { .op = PMT_OP_TEST }, 0,
	  { .key = 16, .place.generation = 1 }, -EPROTO },
	{ "a flag that is none", { .op = PMT_OP_TEST }, 0,
	  { .sense = 8, .place.generation = 1 }, -EPROTO },
	{ "a generation that goes back", { .op = PMT_OP_TEST }, 0, { .number = 0 }, -EPROTO },
	{ "a generation far ahead", { .op = PMT_OP_TEST }, 0,
	  { .place.generation = 0x10002 }, -EPROTO },
	{ "the last generation ahead", { .op = PMT_OP_TEST }, 0,
	  { .place.generation = 0x10001 }, 1 },
	{ "a partition too far", { .op = PMT_OP_TEST }, 0,
	  { .place = { .generation = 1, .partition = PMT_PARTITION_MAX + 1 } }, -EPROTO },
	{ "a shorter record is good", { .op = PMT_OP_READ, .length = 100 }, 0,
	  { .residue = 100, .place.generation = 1 }, 1 },
	{ "shorter than nothing is not", { .op = PMT_OP_READ, .length = 100 }, 0,
	  { .residue = 101, .place.generation = 1 }, -EPROTO },
	{ "a longer record without ILI", { .op = PMT_OP_READ, .length = 100 }, 0,
	  { .status = 1, .residue = -1, .place.generation = 1 }, -EPROTO },
	{ "a longer record with ILI", { .op = PMT_OP_READ, .length = 100 }, 0,
	  { .status = 1, .sense = PMT_SENSE_ILI, .residue = -1, .place.generation = 1 }, 1 },
	{ "longer than any record", { .op = PMT_OP_READ, .length = 100 }, 0,
	  { .status = 1, .sense = PMT_SENSE_ILI, .residue = -(s64)PMT_RECORD_MAX - 1,
	    .place.generation = 1 }, -EPROTO },
	{ "the smallest number", { .op = PMT_OP_READ, .length = 100 }, 0,
	  { .status = 1, .sense = PMT_SENSE_ILI, .residue = S64_MIN, .place.generation = 1 },
	  -EPROTO },
	{ "blocks, not bytes", { .op = PMT_OP_READ, .length = 1024, .block_size = 512 }, 0,
	  { .status = 1, .residue = 3, .place.generation = 1 }, -EPROTO },
	{ "all blocks missing", { .op = PMT_OP_READ, .length = 1024, .block_size = 512 }, 0,
	  { .status = 1, .residue = 2, .place.generation = 1 }, 1 },
	{ "a good write without a part", { .op = PMT_OP_WRITE, .length = 100 }, 0,
	  { .residue = 1, .place.generation = 1 }, -EPROTO },
	{ "spaced less, backwards", { .op = PMT_OP_SPACE, .count = -3 }, 0,
	  { .status = 1, .residue = 3, .place.generation = 1 }, 1 },
	{ "spaced less than nothing", { .op = PMT_OP_SPACE, .count = -3 }, 0,
	  { .status = 1, .residue = 4, .place.generation = 1 }, -EPROTO },
};

static void describe_belief(const struct belief *row, char *name)
{
	strscpy(name, row->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(beliefs, beliefs, describe_belief);

static void believed(struct kunit *test)
{
	const struct belief *row = test->param_value;
	struct pmt_ring *ring = new_ring(test);
	struct pmt_command cmd = row->cmd;
	struct pmt_result res = row->res;

	pmt_ring_issue(ring, &cmd);
	res.number = cmd.number + row->number_off;
	KUNIT_EXPECT_EQ(test, answer(ring, &res), row->answer);
	KUNIT_EXPECT_EQ(test, ring->done - FIRST, row->answer == 1 ? 1u : 0u);
}

static void done_beyond_what_was_issued(struct kunit *test)
{
	struct pmt_ring *ring = new_ring(test);

	issue(ring, PMT_OP_TEST, 0);
	ring->server->done = FIRST + 2;
	KUNIT_EXPECT_EQ(test, pmt_ring_collect(ring), -EPROTO);
	ring->server->done = FIRST - 1;
	KUNIT_EXPECT_EQ(test, pmt_ring_collect(ring), -EPROTO);
	ring->server->done = FIRST;
	KUNIT_EXPECT_EQ(test, pmt_ring_collect(ring), 0);
}

/* An exception holds the queue until the cancel word has passed it. */
static void exception_and_cancel(struct kunit *test)
{
	struct pmt_ring *ring = new_ring(test);
	struct pmt_result res;

	issue(ring, PMT_OP_TEST, 0);
	issue(ring, PMT_OP_TEST, 0);
	res = good(ring);
	res.status = PMT_STATUS_CHECK;
	KUNIT_EXPECT_EQ(test, answer(ring, &res), 1);
	KUNIT_EXPECT_TRUE(test, pmt_ring_stuck(ring));
	pmt_ring_cancel(ring, ring->tail);
	KUNIT_EXPECT_FALSE(test, pmt_ring_stuck(ring));
	KUNIT_EXPECT_EQ(test, ring->kernel->cancel, ring->tail);
	res = (struct pmt_result){ .number = ring->done, .status = PMT_STATUS_CANCELLED };
	KUNIT_EXPECT_EQ(test, answer(ring, &res), 1);
	KUNIT_EXPECT_FALSE(test, pmt_ring_cancel(ring, ring->tail - 1));
	KUNIT_EXPECT_EQ(test, ring->cancel, ring->tail);
}

static void given_up(struct kunit *test)
{
	struct pmt_ring *ring = new_ring(test);

	issue(ring, PMT_OP_TEST, 0);
	issue(ring, PMT_OP_TEST, 0);
	pmt_ring_give_up(ring);
	KUNIT_EXPECT_EQ(test, ring->done, ring->tail);
	KUNIT_EXPECT_EQ(test, ring->server->done, ring->tail);
	KUNIT_EXPECT_EQ(test, ring->kernel->cancel, ring->tail);
	KUNIT_EXPECT_EQ(test, (int)pmt_ring_result(ring, FIRST + 1)->status,
			(int)PMT_STATUS_CANCELLED);
	KUNIT_EXPECT_EQ(test, pmt_ring_collect(ring), 0);
}

/* cancel follows, before numbers that are compared with it turn over. */
static void cancel_does_not_lag(struct kunit *test)
{
	struct pmt_ring *ring = new_ring(test);
	u32 i;

	for (i = 0; i < PMT_CANCEL_LAG + 2; i++) {
		issue(ring, PMT_OP_TEST, 0);
		ring->done++;
		pmt_ring_retire(ring);
	}
	KUNIT_EXPECT_LE(test, ring->head - ring->cancel, (u32)PMT_CANCEL_LAG);
	KUNIT_EXPECT_EQ(test, ring->kernel->cancel, ring->cancel);
}

/* ---- early warning ---- */

static const struct warning {
	const char *name;
	struct pmt_early_warning said;
	struct pmt_place at;
	bool wanted;
} warnings[] = {
	{ "nothing said", { .generation = 1 }, { .generation = 1, .lbn = 9 }, false },
	{ "being said", { .seq = 1 }, { .generation = 1, .lbn = 9 }, true },
	{ "before it", { .seq = 2, .generation = 1, .lbn = 10 },
	  { .generation = 1, .lbn = 9 }, false },
	{ "at it", { .seq = 2, .generation = 1, .lbn = 10 },
	  { .generation = 1, .lbn = 10 }, true },
	{ "of another medium", { .seq = 2, .generation = 1, .lbn = 10 },
	  { .generation = 2, .lbn = 10 }, false },
	{ "of another partition", { .seq = 2, .generation = 1, .lbn = 10 },
	  { .generation = 1, .lbn = 10, .partition = 1 }, false },
	{ "at a place that is unknown", { .seq = 2, .generation = 1, .lbn = 10 },
	  { .generation = 1, .lbn = PMT_UNKNOWN }, true },
	{ "its own place unknown", { .seq = 2, .generation = 1, .lbn = PMT_UNKNOWN },
	  { .generation = 1, .lbn = 0 }, true },
};

static void describe_warning(const struct warning *row, char *name)
{
	strscpy(name, row->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(warnings, warnings, describe_warning);

static void warned(struct kunit *test)
{
	const struct warning *row = test->param_value;
	struct pmt_ring *ring = new_ring(test);

	ring->server->ew = row->said;
	KUNIT_EXPECT_EQ(test, pmt_ring_early_warning(ring, &row->at), row->wanted);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(slots_are_kept),
	KUNIT_CASE(data_is_aligned),
	KUNIT_CASE(data_fits_to_the_byte),
	KUNIT_CASE(data_goes_round),
	KUNIT_CASE(empty_is_whole),
	KUNIT_CASE(empty_starts_over),
	ROWS(beliefs, believed),
	KUNIT_CASE(done_beyond_what_was_issued),
	KUNIT_CASE(exception_and_cancel),
	KUNIT_CASE(given_up),
	KUNIT_CASE(cancel_does_not_lag),
	ROWS(warnings, warned),
	{}
};

struct kunit_suite pmt_ring_suite = {
	.name = "ring",
	.test_cases = cases,
};
