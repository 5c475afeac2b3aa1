// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kmod/ring.h, as the kernel compiles it: the kernel half against the server
 * half, against a model, and against a server that breaks every rule.
 */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../../kmod/ring.h"
#include "suite.h"

#define SLOTS 64u
#define DATA (1u << 20)

struct rig {
	struct pmt_ring ring;
	struct pmt_ring_view view;
	struct pmt_result copies[SLOTS];
	__u32 data_end[SLOTS];
	void *commands, *results;
	char *data;
};

static struct rig rig;

static void *area(size_t size)
{
	void *p = NULL;

	ck_assert_int_eq(posix_memalign(&p, 4096, size), 0);
	memset(p, 0, size);
	return p;
}

static void setup_at(__u32 first)
{
	memset(&rig, 0, sizeof(rig));
	rig.commands = area(PMT_PAGE_AREA + SLOTS * sizeof(struct pmt_command));
	rig.results = area(PMT_PAGE_AREA + SLOTS * sizeof(struct pmt_result));
	rig.data = area(2 * DATA);
	pmt_ring_init(&rig.ring, rig.commands, rig.results, rig.copies, rig.data_end,
		      SLOTS, DATA, first);
	rig.ring.generation = 1;
	rig.view = (struct pmt_ring_view) {
		.kernel = rig.commands,
		.commands = (void *)((char *)rig.commands + PMT_PAGE_AREA),
		.server = rig.results,
		.results = (void *)((char *)rig.results + PMT_PAGE_AREA),
		.data = rig.data,
		.slots = SLOTS,
	};
}

static void setup(void)
{
	setup_at(1);
}

static void teardown(void)
{
	free(rig.commands);
	free(rig.results);
	free(rig.data);
}

static struct pmt_command command(enum pmt_op op, __u32 length)
{
	return (struct pmt_command) { .op = op, .length = length,
				      .place.generation = 1 };
}

static struct pmt_result good(__u32 number)
{
	return (struct pmt_result) { .number = number, .place.generation = 1 };
}

static __u32 issue(enum pmt_op op, __u32 length)
{
	struct pmt_command cmd = command(op, length);

	ck_assert(pmt_ring_fits(&rig.ring, length, 0));
	pmt_ring_issue(&rig.ring, &cmd);
	return cmd.number;
}

static int answer(struct pmt_result res)
{
	pmt_view_answer(&rig.view, &res);
	pmt_view_publish(&rig.view, res.number + 1, false);
	return pmt_ring_collect(&rig.ring);
}

START_TEST(layout)
{
	ck_assert_uint_eq(sizeof(struct pmt_command), 128);
	ck_assert_uint_eq(sizeof(struct pmt_result), 128);
	ck_assert_uint_le(sizeof(struct pmt_kernel_page), PMT_PAGE_AREA);
	ck_assert_uint_le(sizeof(struct pmt_server_page), PMT_PAGE_AREA);
	ck_assert_uint_eq(sizeof(struct pmt_place), 40);
	ck_assert_uint_eq(sizeof(struct pmt_modes), 8);
}
END_TEST

START_TEST(one_command_there_and_back)
{
	__u32 n = issue(PMT_OP_REWIND, 0);

	ck_assert_uint_eq(pmt_view_tail(&rig.view), n + 1);
	ck_assert_uint_eq(pmt_view_command(&rig.view, n)->op, PMT_OP_REWIND);
	ck_assert_int_eq(pmt_ring_collect(&rig.ring), 0);
	ck_assert_int_eq(answer(good(n)), 1);
	ck_assert_uint_eq(pmt_ring_result(&rig.ring, n)->number, n);
	pmt_ring_retire(&rig.ring);
	ck_assert_uint_eq(rig.ring.head, rig.ring.tail);
}
END_TEST

START_TEST(keeps_slots_for_closing)
{
	while (pmt_ring_fits(&rig.ring, 0, 8))
		issue(PMT_OP_REWIND, 0);
	ck_assert_uint_eq(rig.ring.tail - rig.ring.head, SLOTS - 8);
	for (int i = 0; i < 8; i++)
		issue(PMT_OP_REWIND, 0);
	ck_assert(!pmt_ring_fits(&rig.ring, 0, 0));
}
END_TEST

START_TEST(page_sized_data_starts_on_a_page)
{
	struct pmt_command cmd = command(PMT_OP_WRITE, 100);

	pmt_ring_issue(&rig.ring, &cmd);
	ck_assert_uint_eq(cmd.offset, 0);
	cmd = command(PMT_OP_WRITE, 100);
	pmt_ring_issue(&rig.ring, &cmd);
	ck_assert_uint_eq(cmd.offset, 128);
	cmd = command(PMT_OP_WRITE, 4096);
	pmt_ring_issue(&rig.ring, &cmd);
	ck_assert_uint_eq(cmd.offset, 4096);
}
END_TEST

/* What is done and not retired does not wait. */
START_TEST(says_what_waits)
{
	__u32 first;

	ck_assert_uint_eq(pmt_ring_waiting(&rig.ring), 0);
	first = issue(PMT_OP_WRITE, 4096);
	issue(PMT_OP_WRITE, 8192);
	issue(PMT_OP_REWIND, 0);
	ck_assert_uint_eq(pmt_ring_waiting(&rig.ring), 12288);
	ck_assert_int_eq(answer(good(first)), 1);
	ck_assert_uint_eq(pmt_ring_waiting(&rig.ring), 8192);
	pmt_ring_retire(&rig.ring);
	ck_assert_uint_eq(pmt_ring_waiting(&rig.ring), 8192);
	ck_assert_int_eq(answer(good(first + 1)), 1);
	ck_assert_int_eq(answer(good(first + 2)), 1);
	ck_assert_uint_eq(pmt_ring_waiting(&rig.ring), 0);
	pmt_ring_retire(&rig.ring);
	pmt_ring_retire(&rig.ring);
	ck_assert_uint_eq(pmt_ring_waiting(&rig.ring), 0);
}
END_TEST

/* The whole area can be one record, whatever was there before. */
START_TEST(largest_record_always_fits_an_empty_ring)
{
	for (__u32 length = 1; length < 20000; length += 777) {
		__u32 n = issue(PMT_OP_WRITE, length);

		ck_assert_int_eq(answer(good(n)), 1);
		pmt_ring_retire(&rig.ring);
		ck_assert(pmt_ring_fits(&rig.ring, DATA, 0));
	}
}
END_TEST

/*
 * Random traffic against a model of who owns which bytes, across the wrap of
 * the numbers and of the data positions.
 */
START_TEST(no_byte_has_two_owners)
{
	static __u32 owner[2 * DATA / 64];
	struct { __u32 number, offset, length; } live[SLOTS];
	unsigned int first = 0, count = 0, seed = (unsigned int)time(NULL);
	const char *given = getenv("PMT_SEED");

	seed = given ? (unsigned int)atoi(given) : seed;
	printf("seed %u\n", seed);
	srand(seed);
	teardown();
	setup_at(0xfffffff0u);
	rig.ring.data_head = rig.ring.data_tail = 0xffff0000u;
	for (int step = 0; step < 6000; step++) {
		__u32 length = rand() % 3 ? (__u32)rand() % 5000 : (__u32)rand() % (DATA / 4);

		if (rand() % 2 && pmt_ring_fits(&rig.ring, length, 0)) {
			struct pmt_command cmd = command(PMT_OP_WRITE, length);
			unsigned int slot = (first + count++) % SLOTS;

			pmt_ring_issue(&rig.ring, &cmd);
			ck_assert_uint_le(cmd.offset + length, 2 * DATA);
			for (__u32 b = cmd.offset; b < cmd.offset + length; b += 64) {
				ck_assert_uint_eq(owner[b % DATA / 64], 0);
				owner[b % DATA / 64] = step + 1;
			}
			live[slot].number = cmd.number;
			live[slot].offset = cmd.offset;
			live[slot].length = length;
		} else if (count) {
			ck_assert_int_eq(answer(good(live[first].number)), 1);
			ck_assert_uint_eq(rig.ring.head, live[first].number);
			pmt_ring_retire(&rig.ring);
			for (__u32 b = live[first].offset;
			     b < live[first].offset + live[first].length; b += 64)
				owner[b % DATA / 64] = 0;
			first = (first + 1) % SLOTS;
			count--;
		}
	}
}
END_TEST

/* One record, done and forgotten: where the next one goes. */
static __u32 next_offset(__u32 length)
{
	__u32 n = issue(PMT_OP_WRITE, length);
	struct pmt_result res = good(n);

	pmt_view_answer(&rig.view, &res);
	pmt_view_publish(&rig.view, n + 1, false);
	ck_assert_int_eq(pmt_ring_collect(&rig.ring), 1);
	pmt_ring_retire(&rig.ring);
	return pmt_ring_offset(&rig.ring, length);
}

/*
 * An empty ring starts over; but not before all its pages were used, when those at the
 * beginning may be in the hands of one who was a server.
 */
START_TEST(starts_over_but_not_behind_another_server)
{
	struct pmt_server_page *next = area(PMT_PAGE_AREA + SLOTS * sizeof(struct pmt_result));

	ck_assert_uint_eq(next_offset(5000), 0);
	ck_assert_uint_eq(next_offset(5000), 0);
	pmt_ring_renew(&rig.ring, next);
	rig.view.server = next;
	rig.view.results = (void *)((char *)next + PMT_PAGE_AREA);
	for (__u32 at = 8192; at != DATA; at += 8192)
		ck_assert_uint_eq(next_offset(5000), at);
	ck_assert_uint_eq(next_offset(5000), 0);
	ck_assert_uint_eq(next_offset(5000), 0);
	pmt_ring_give_up(&rig.ring);
	ck_assert_uint_eq(next_offset(5000), 8192);
	free(next);
}
END_TEST

/* ---- doorbells: rung for a side that sleeps, and only then ---- */

START_TEST(server_is_woken_only_when_parked)
{
	struct pmt_command cmd = command(PMT_OP_REWIND, 0);

	ck_assert(!pmt_ring_issue(&rig.ring, &cmd));
	ck_assert(!pmt_view_park(&rig.view, cmd.number, 1));
	ck_assert(pmt_view_park(&rig.view, cmd.number + 1, 1));
	ck_assert(pmt_ring_issue(&rig.ring, &cmd));
	pmt_view_unpark(&rig.view);
	ck_assert(!pmt_ring_issue(&rig.ring, &cmd));
}
END_TEST

/* It was woken for the first one, and will see them all. */
START_TEST(server_is_woken_once_for_each_time_it_parks)
{
	struct pmt_command cmd = command(PMT_OP_REWIND, 0);

	ck_assert(pmt_view_park(&rig.view, 1, 1));
	ck_assert(pmt_ring_issue(&rig.ring, &cmd));
	ck_assert(!pmt_ring_issue(&rig.ring, &cmd));
	ck_assert(!pmt_ring_cancel(&rig.ring, cmd.number));
	pmt_view_unpark(&rig.view);
	ck_assert(!pmt_view_park(&rig.view, cmd.number, 1));
	ck_assert(pmt_view_park(&rig.view, cmd.number + 1, cmd.number));
	ck_assert(pmt_ring_cancel(&rig.ring, cmd.number + 1));
	ck_assert(!pmt_view_park(&rig.view, cmd.number + 1, cmd.number));
	ck_assert(pmt_view_park(&rig.view, cmd.number + 1, cmd.number + 1));
	ck_assert(pmt_ring_issue(&rig.ring, &cmd));
	ck_assert(!pmt_ring_issue(&rig.ring, &cmd));
}
END_TEST

/*
 * It parked between a command and the look at its flag, and has seen it: what it sleeps
 * with is true, and it is woken for the next one.
 */
START_TEST(server_that_has_seen_all_is_not_woken)
{
	struct pmt_command cmd = command(PMT_OP_REWIND, 0);

	pmt_ring_issue(&rig.ring, &cmd);
	ck_assert(pmt_view_park(&rig.view, cmd.number + 1, 1));
	ck_assert(!pmt_ring_rings(&rig.ring));
	ck_assert(!pmt_ring_unseen(&rig.ring));
	ck_assert(pmt_ring_issue(&rig.ring, &cmd));
}
END_TEST

/* One that was woken, and does not come to run before much was issued for it. */
START_TEST(server_that_does_not_run_is_noticed)
{
	ck_assert(pmt_view_park(&rig.view, 1, 1));
	issue(PMT_OP_WRITE, DATA / 8);
	issue(PMT_OP_WRITE, DATA / 8);
	ck_assert(!pmt_ring_far_ahead(&rig.ring));
	issue(PMT_OP_WRITE, DATA / 8);
	ck_assert(pmt_ring_far_ahead(&rig.ring));
	pmt_ring_catch_up(&rig.ring);
	ck_assert(!pmt_ring_far_ahead(&rig.ring));
	issue(PMT_OP_WRITE, DATA / 4);
	ck_assert(pmt_ring_far_ahead(&rig.ring));
	pmt_view_unpark(&rig.view);
	ck_assert(!pmt_ring_far_ahead(&rig.ring));
	WRITE_ONCE(rig.ring.server->parked, 1);
	pmt_ring_runs(&rig.ring);
	ck_assert(!pmt_ring_far_ahead(&rig.ring));
}
END_TEST

/* The next server's words may be those that the last one was rung at with. */
START_TEST(another_server_is_woken)
{
	struct pmt_command cmd = command(PMT_OP_REWIND, 0);
	struct pmt_server_page *next = area(sizeof(*next));
	__u32 n = rig.ring.tail;

	ck_assert(pmt_view_park(&rig.view, n, n));
	ck_assert(pmt_ring_issue(&rig.ring, &cmd));
	pmt_ring_renew(&rig.ring, next);
	next->seen = next->cancel_seen = n;
	next->parked = 1;
	ck_assert(pmt_ring_issue(&rig.ring, &cmd));
	free(next);
}
END_TEST

/* Of several that are issued before it is rung for: for all of them at once. */
START_TEST(a_parked_server_has_not_seen_all)
{
	__u32 n = issue(PMT_OP_READ, 100);

	ck_assert(!pmt_ring_unseen(&rig.ring));
	ck_assert(pmt_view_park(&rig.view, n + 1, 1));
	ck_assert(!pmt_ring_unseen(&rig.ring));
	issue(PMT_OP_READ, 100);
	issue(PMT_OP_READ, 100);
	ck_assert(pmt_ring_unseen(&rig.ring));
	pmt_view_unpark(&rig.view);
	ck_assert(!pmt_ring_unseen(&rig.ring));
	ck_assert(!pmt_view_park(&rig.view, n + 2, 1));
	ck_assert(pmt_view_park(&rig.view, n + 3, 1));
	ck_assert(!pmt_ring_unseen(&rig.ring));
}
END_TEST

START_TEST(cancel_wakes_a_parked_server)
{
	__u32 n = issue(PMT_OP_READ, 100);

	ck_assert(pmt_view_park(&rig.view, n + 1, 1));
	ck_assert(pmt_ring_cancel(&rig.ring, n + 1));
	ck_assert(!pmt_ring_cancel(&rig.ring, n + 1));
	ck_assert(!pmt_view_park(&rig.view, n + 1, 1));
	ck_assert_uint_eq(pmt_view_cancel(&rig.view), n + 1);
}
END_TEST

START_TEST(master_is_woken_only_for_its_number)
{
	__u32 n = issue(PMT_OP_REWIND, 0), m = issue(PMT_OP_REWIND, 0);

	ck_assert(!pmt_view_publish(&rig.view, n, false));
	pmt_ring_sleep(&rig.ring, m);
	ck_assert(!pmt_view_publish(&rig.view, n + 1, false));
	ck_assert(pmt_view_publish(&rig.view, m + 1, false));
	pmt_ring_awake(&rig.ring);
	ck_assert(!pmt_view_publish(&rig.view, m + 1, false));
}
END_TEST

/* Who waits for a later number must look at the exception that holds it up. */
START_TEST(an_exception_wakes_whoever_waits_behind_it)
{
	__u32 n = issue(PMT_OP_WRITE, 100), m = issue(PMT_OP_WRITE, 100);
	struct pmt_result res = { .number = n, .status = PMT_STATUS_CHECK,
				  .key = PMT_KEY_MEDIUM, .place.generation = 1 };

	pmt_ring_sleep(&rig.ring, m);
	pmt_view_answer(&rig.view, &res);
	ck_assert(!pmt_view_publish(&rig.view, n + 1, false));
	ck_assert(pmt_view_publish(&rig.view, n + 1, true));
	ck_assert(!pmt_ring_stuck(&rig.ring));
	ck_assert_int_eq(pmt_ring_collect(&rig.ring), 1);
	ck_assert(pmt_ring_stuck(&rig.ring));
	pmt_ring_cancel(&rig.ring, m + 1);
	ck_assert(!pmt_ring_stuck(&rig.ring));
}
END_TEST

/* The server answers nothing behind an exception before the cancel word says so. */
START_TEST(cancelled_is_refused_behind_an_exception_that_nobody_has_seen)
{
	__u32 n = issue(PMT_OP_WRITE, 100), m = issue(PMT_OP_WRITE, 100);
	struct pmt_result res = { .number = n, .status = PMT_STATUS_CHECK,
				  .key = PMT_KEY_MEDIUM, .place.generation = 1 };

	ck_assert_int_eq(answer(res), 1);
	res = (struct pmt_result) { .number = m, .status = PMT_STATUS_CANCELLED };
	ck_assert_int_eq(answer(res), -EPROTO);
	pmt_ring_cancel(&rig.ring, m + 1);
	ck_assert_int_eq(answer(res), 1);
}
END_TEST

/* A unit that only writes never raises cancel by itself: numbers must not turn. */
START_TEST(cancel_does_not_lag)
{
	__u32 n, m;

	rig.ring.head = rig.ring.done = rig.ring.tail = 1 + PMT_CANCEL_LAG;
	n = issue(PMT_OP_REWIND, 0);
	ck_assert_int_eq(answer(good(n)), 1);
	pmt_ring_retire(&rig.ring);
	ck_assert_uint_eq(rig.ring.cancel, n + 1);
	ck_assert_uint_eq(pmt_view_cancel(&rig.view), n + 1);
	m = issue(PMT_OP_REWIND, 0);
	ck_assert(pmt_ring_cancel(&rig.ring, m + 1) || rig.ring.cancel == m + 1);
}
END_TEST

/* ---- what the kernel rejects ---- */

static const struct {
	const char *what;
	struct pmt_result res;
	__s64 count;
	__u16 op;
	__u32 length, block_size;
} bad[] = {
	{ "number", { .number = 7, .place.generation = 1 }, 0, PMT_OP_REWIND, 0, 0 },
	{ "status", { .status = 3, .place.generation = 1 }, 0, PMT_OP_REWIND, 0, 0 },
	{ "key", { .key = 16, .place.generation = 1 }, 0, PMT_OP_REWIND, 0, 0 },
	{ "sense", { .sense = 8, .place.generation = 1 }, 0, PMT_OP_REWIND, 0, 0 },
	{ "medium", { .medium_flags = 8, .place.generation = 1 }, 0, PMT_OP_TEST, 0, 0 },
	{ "generation back", { .place.generation = 0 }, 0, PMT_OP_REWIND, 0, 0 },
	{ "generation far", { .place.generation = 1u << 20 }, 0, PMT_OP_LOAD, 0, 0 },
	{ "partition", { .place = { .generation = 1, .partition = 64 } }, 0,
	  PMT_OP_REWIND, 0, 0 },
	{ "cancelled, not asked", { .status = PMT_STATUS_CANCELLED }, 0,
	  PMT_OP_REWIND, 0, 0 },
	{ "good write with residue", { .residue = 1, .place.generation = 1 }, 0,
	  PMT_OP_WRITE, 100, 0 },
	{ "write residue", { .status = 1, .residue = 101, .place.generation = 1 }, 0,
	  PMT_OP_WRITE, 100, 0 },
	{ "fixed write residue", { .status = 1, .residue = 3, .place.generation = 1 },
	  0, PMT_OP_WRITE, 1024, 512 },
	{ "read residue", { .residue = 101, .place.generation = 1 }, 0, PMT_OP_READ,
	  100, 0 },
	{ "read residue below", { .residue = -1, .place.generation = 1 }, 0,
	  PMT_OP_READ, 100, 0 },
	{ "fixed read residue", { .status = 1, .residue = 3, .place.generation = 1 },
	  0, PMT_OP_READ, 1024, 512 },
	{ "fixed read, below", { .status = 1, .sense = PMT_SENSE_ILI, .residue = -1,
				 .place.generation = 1 }, 0, PMT_OP_READ, 1024, 512 },
	{ "too long by too much", { .status = 1, .sense = PMT_SENSE_ILI,
				    .residue = -(__s64)PMT_RECORD_MAX - 1,
				    .place.generation = 1 }, 0, PMT_OP_READ, 100, 0 },
	{ "marks", { .status = 1, .residue = 3, .place.generation = 1 }, 2,
	  PMT_OP_WRITE_FILEMARKS, 0, 0 },
	{ "space", { .status = 1, .residue = 6, .place.generation = 1 }, -5,
	  PMT_OP_SPACE, 0, 0 },
	{ "rewind residue", { .status = 1, .residue = 1, .place.generation = 1 }, 0,
	  PMT_OP_REWIND, 0, 0 },
};

START_TEST(a_bad_result_is_a_violation)
{
	struct pmt_command cmd = command(bad[_i].op, bad[_i].length);
	struct pmt_result res = bad[_i].res;

	cmd.count = bad[_i].count;
	cmd.block_size = bad[_i].block_size;
	pmt_ring_issue(&rig.ring, &cmd);
	if (strcmp(bad[_i].what, "number"))
		res.number = cmd.number;
	pmt_view_answer(&rig.view, &res);
	pmt_view_publish(&rig.view, cmd.number + 1, false);
	ck_assert_msg(pmt_ring_collect(&rig.ring) == -EPROTO, "%s", bad[_i].what);
	ck_assert_uint_eq(rig.ring.done, cmd.number);
}
END_TEST

START_TEST(done_out_of_range_is_a_violation)
{
	__u32 n = issue(PMT_OP_REWIND, 0);

	pmt_view_publish(&rig.view, n + 2, false);
	ck_assert_int_eq(pmt_ring_collect(&rig.ring), -EPROTO);
	pmt_view_publish(&rig.view, n - 1, false);
	ck_assert_int_eq(pmt_ring_collect(&rig.ring), -EPROTO);
	pmt_view_publish(&rig.view, n, false);
	ck_assert_int_eq(pmt_ring_collect(&rig.ring), 0);
}
END_TEST

START_TEST(what_came_before_the_bad_one_counts)
{
	__u32 n = issue(PMT_OP_REWIND, 0), m = issue(PMT_OP_REWIND, 0);
	struct pmt_result a = good(n), b = good(m + 5);

	pmt_view_answer(&rig.view, &a);
	b.number = m;
	b.status = 9;
	pmt_view_answer(&rig.view, &b);
	pmt_view_publish(&rig.view, m + 1, false);
	ck_assert_int_eq(pmt_ring_collect(&rig.ring), -EPROTO);
	ck_assert_uint_eq(rig.ring.done, m);
}
END_TEST

START_TEST(cancelled_is_accepted_when_asked)
{
	__u32 n = issue(PMT_OP_READ, 100);
	struct pmt_result res = { .number = n, .status = PMT_STATUS_CANCELLED };

	pmt_ring_cancel(&rig.ring, n + 1);
	ck_assert_int_eq(answer(res), 1);
}
END_TEST

START_TEST(giving_up_answers_all)
{
	__u32 n = issue(PMT_OP_WRITE, 100), m = issue(PMT_OP_WRITE, 100);

	ck_assert_int_eq(answer(good(n)), 1);
	pmt_ring_give_up(&rig.ring);
	ck_assert_uint_eq(rig.ring.done, rig.ring.tail);
	ck_assert_int_eq(pmt_ring_result(&rig.ring, m)->status, PMT_STATUS_CANCELLED);
	ck_assert_int_eq(pmt_ring_result(&rig.ring, n)->status, PMT_STATUS_GOOD);
	ck_assert_uint_eq(rig.view.server->done, rig.ring.tail);
	ck_assert_uint_eq(pmt_view_cancel(&rig.view), rig.ring.tail);
}
END_TEST

/* ---- early warning overtakes ---- */

/* Whoever still has the last server's pages does not answer for the next one. */
START_TEST(another_page_of_answers)
{
	struct pmt_place place = { .generation = 1, .lbn = 7 };
	struct pmt_server_page *old = rig.results, *fresh;
	struct pmt_result res = good(1);

	issue(PMT_OP_TEST, 0);
	pmt_view_early_warning(&rig.view, &place);
	fresh = area(PMT_PAGE_AREA + SLOTS * sizeof(struct pmt_result));
	pmt_ring_renew(&rig.ring, fresh);
	pmt_view_answer(&rig.view, &res);
	old->done = 2;
	ck_assert_int_eq(pmt_ring_collect(&rig.ring), 0);
	ck_assert(pmt_ring_early_warning(&rig.ring, &place));
	rig.view.server = fresh;
	rig.view.results = (void *)((char *)fresh + PMT_PAGE_AREA);
	pmt_view_answer(&rig.view, &res);
	pmt_view_publish(&rig.view, 2, false);
	ck_assert_int_eq(pmt_ring_collect(&rig.ring), 1);
	free(fresh);
}
END_TEST

START_TEST(early_warning_counts_from_its_place_on)
{
	struct pmt_place ew = { .generation = 2, .lbn = 100 };
	struct pmt_place at = { .generation = 2, .lbn = 100 };

	ck_assert(!pmt_ring_early_warning(&rig.ring, &at));
	pmt_view_early_warning(&rig.view, &ew);
	ck_assert(pmt_ring_early_warning(&rig.ring, &at));
	at.lbn = 99;
	ck_assert(!pmt_ring_early_warning(&rig.ring, &at));
	at.lbn = PMT_UNKNOWN;
	ck_assert(pmt_ring_early_warning(&rig.ring, &at));
	at.lbn = 100;
	at.generation = 3;
	ck_assert(!pmt_ring_early_warning(&rig.ring, &at));
	at.generation = 2;
	at.partition = 1;
	ck_assert(!pmt_ring_early_warning(&rig.ring, &at));
	rig.view.server->ew.seq |= 1;
	ck_assert(pmt_ring_early_warning(&rig.ring, &at));
}
END_TEST

/* ---- two threads: nothing is lost, no wake-up is missed ---- */

static pthread_mutex_t bell_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t bell = PTHREAD_COND_INITIALIZER;
static int server_bell, master_bell;

static void ring_bell(int *which)
{
	pthread_mutex_lock(&bell_lock);
	*which = 1;
	pthread_cond_broadcast(&bell);
	pthread_mutex_unlock(&bell_lock);
}

/* A bell that is never rung ends the test by Check's time-out. */
static void wait_bell(int *which)
{
	pthread_mutex_lock(&bell_lock);
	while (!*which)
		pthread_cond_wait(&bell, &bell_lock);
	*which = 0;
	pthread_mutex_unlock(&bell_lock);
}

#define TRAFFIC 30000u

static void *serve(void *arg)
{
	__u32 next = rig.ring.head, end = next + TRAFFIC;

	(void)arg;
	while (next != end) {
		struct pmt_result res;

		if (next == pmt_view_tail(&rig.view)) {
			if (pmt_view_park(&rig.view, next, pmt_view_cancel(&rig.view)))
				wait_bell(&server_bell);
			pmt_view_unpark(&rig.view);
			continue;
		}
		res = good(next);
		res.place.lbn = pmt_view_command(&rig.view, next)->place.lbn + 1;
		pmt_view_answer(&rig.view, &res);
		if (pmt_view_publish(&rig.view, ++next, false))
			ring_bell(&master_bell);
	}
	return NULL;
}

static void wait_done(__u32 number)
{
	for (;;) {
		pmt_ring_sleep(&rig.ring, number);
		ck_assert_int_ge(pmt_ring_collect(&rig.ring), 0);
		if (pmt_before(number, rig.ring.done)) {
			pmt_ring_awake(&rig.ring);
			return;
		}
		wait_bell(&master_bell);
	}
}

START_TEST(two_threads_lose_nothing)
{
	pthread_t thread;
	__u32 issued = 0, seen = 0;

	ck_assert_int_eq(pthread_create(&thread, NULL, serve, NULL), 0);
	while (seen < TRAFFIC) {
		while (issued < TRAFFIC && pmt_ring_fits(&rig.ring, 3000, 0)) {
			struct pmt_command cmd = command(PMT_OP_WRITE, 3000);

			cmd.place.lbn = issued++;
			if (pmt_ring_issue(&rig.ring, &cmd))
				ring_bell(&server_bell);
		}
		wait_done(rig.ring.head);
		while (rig.ring.head != rig.ring.done) {
			ck_assert_uint_eq(pmt_ring_result(&rig.ring, rig.ring.head)->place.lbn,
					  ++seen);
			pmt_ring_retire(&rig.ring);
		}
	}
	pthread_join(thread, NULL);
}
END_TEST

/* ---- a server that scribbles over all that it may write ---- */

static atomic_int scribbling;

static void *scribble(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;
	__u32 *words = rig.results;
	size_t count = (PMT_PAGE_AREA + SLOTS * sizeof(struct pmt_result)) / 4;

	while (atomic_load(&scribbling)) {
		size_t word = rand_r(&seed) % 4 ? (size_t)rand_r(&seed) % count : 0;

		__atomic_store_n(&words[word], rand_r(&seed) % 3 ?
				 rig.view.kernel->tail - (__u32)rand_r(&seed) % 4 :
				 (__u32)rand_r(&seed), __ATOMIC_RELAXED);
	}
	return NULL;
}

START_TEST(a_scribbling_server_does_not_move_the_kernels_indices)
{
	pthread_t thread[2];
	unsigned int seed = 1;

	atomic_store(&scribbling, 1);
	for (uintptr_t i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, scribble, (void *)(i + 1));
	for (int step = 0; step < 40000; step++) {
		__u32 length = (__u32)rand_r(&seed) % 9000;
		struct pmt_place at = { .generation = 1 };
		int ret;

		if (pmt_ring_fits(&rig.ring, length, 0)) {
			struct pmt_command cmd = command(PMT_OP_WRITE, length);

			pmt_ring_issue(&rig.ring, &cmd);
			ck_assert_uint_le(cmd.offset + length, 2 * DATA);
		}
		pmt_ring_early_warning(&rig.ring, &at);
		ret = pmt_ring_collect(&rig.ring);
		ck_assert(ret == -EPROTO || ret >= 0);
		ck_assert(!pmt_before(rig.ring.tail, rig.ring.done));
		ck_assert(!pmt_before(rig.ring.done, rig.ring.head));
		ck_assert_uint_le(rig.ring.tail - rig.ring.head, SLOTS);
		if (ret < 0)
			pmt_ring_give_up(&rig.ring);
		while (rig.ring.head != rig.ring.done)
			pmt_ring_retire(&rig.ring);
		ck_assert_uint_le(rig.ring.data_tail - rig.ring.data_head, DATA);
	}
	atomic_store(&scribbling, 0);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ring");
	TCase *tc = tcase_create("ring");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, layout);
	tcase_add_test(tc, one_command_there_and_back);
	tcase_add_test(tc, keeps_slots_for_closing);
	tcase_add_test(tc, page_sized_data_starts_on_a_page);
	tcase_add_test(tc, says_what_waits);
	tcase_add_test(tc, largest_record_always_fits_an_empty_ring);
	tcase_add_test(tc, no_byte_has_two_owners);
	tcase_add_test(tc, starts_over_but_not_behind_another_server);
	tcase_add_test(tc, server_is_woken_only_when_parked);
	tcase_add_test(tc, server_is_woken_once_for_each_time_it_parks);
	tcase_add_test(tc, server_that_has_seen_all_is_not_woken);
	tcase_add_test(tc, server_that_does_not_run_is_noticed);
	tcase_add_test(tc, another_server_is_woken);
	tcase_add_test(tc, a_parked_server_has_not_seen_all);
	tcase_add_test(tc, cancel_wakes_a_parked_server);
	tcase_add_test(tc, master_is_woken_only_for_its_number);
	tcase_add_test(tc, an_exception_wakes_whoever_waits_behind_it);
	tcase_add_test(tc, cancelled_is_refused_behind_an_exception_that_nobody_has_seen);
	tcase_add_test(tc, cancel_does_not_lag);
	tcase_add_loop_test(tc, a_bad_result_is_a_violation, 0,
			    sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(tc, done_out_of_range_is_a_violation);
	tcase_add_test(tc, what_came_before_the_bad_one_counts);
	tcase_add_test(tc, cancelled_is_accepted_when_asked);
	tcase_add_test(tc, giving_up_answers_all);
	tcase_add_test(tc, another_page_of_answers);
	tcase_add_test(tc, early_warning_counts_from_its_place_on);
	tcase_add_test(tc, two_threads_lose_nothing);
	tcase_add_test(tc, a_scribbling_server_does_not_move_the_kernels_indices);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
