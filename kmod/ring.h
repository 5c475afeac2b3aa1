/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The ring: command slots, results, and the allocation of the data area.
 *
 * One file for three users: the kernel compiles the kernel half (struct
 * pmt_ring), the library the server half (struct pmt_ring_view), the unit tests
 * both against each other.  No allocation, no sleeping, no locks: the caller
 * holds the unit's lock for every function of the kernel half; the server half
 * has one caller for the commands and one at a time for the results.
 *
 * The kernel's indices live in struct pmt_ring; the shared pages carry copies
 * that are written and never read back.  Everything that the server wrote is
 * read once into a private copy, checked there, and used from there.
 *
 *	 head		done		cancel ...	tail
 *	  | collected	  | with the server		 |
 *	  v		  v				 v
 *	--[ results kept ][ issued, not answered	 ]--> numbers
 *
 * Barriers (A) to (D) are those of linux/pmt.h.
 */
#ifndef PMT_RING_H
#define PMT_RING_H

#ifdef __KERNEL__
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/string.h>
#include <linux/types.h>
#include <asm/barrier.h>
#include <asm/rwonce.h>
#else
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#define READ_ONCE(x)		__atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v)	__atomic_store_n(&(x), v, __ATOMIC_RELAXED)
#define smp_load_acquire(p)	__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define smp_store_release(p, v)	__atomic_store_n(p, v, __ATOMIC_RELEASE)
#define barrier()		__atomic_signal_fence(__ATOMIC_SEQ_CST)
#define smp_mb()		__atomic_thread_fence(__ATOMIC_SEQ_CST)
#define smp_rmb()		__atomic_thread_fence(__ATOMIC_ACQUIRE)
#define smp_wmb()		__atomic_thread_fence(__ATOMIC_RELEASE)
#endif

#include <linux/pmt.h>

#define PMT_DATA_ALIGN		64u	/* of commands smaller than a page */
#define PMT_DATA_PAGE		4096u	/* of all others */
#define PMT_CANCEL_LAG		(1 << 20)

static inline bool pmt_before(__u32 a, __u32 b)
{
	return (__s32)(a - b) < 0;
}

/* ---- the kernel half ---- */

struct pmt_ring {
	/* shared: written by the kernel */
	struct pmt_kernel_page *kernel;
	struct pmt_command *commands;
	/* shared: written by the server */
	struct pmt_server_page *server;
	struct pmt_result *answers;
	/* private */
	struct pmt_result *results;	/* checked copies, [head, done) */
	__u32 *data_end;		/* of each slot */
	__u32 slots;
	__u32 data_size;
	__u32 head;
	__u32 done;
	__u32 tail;
	__u32 cancel;
	__u32 data_head;		/* positions, modulo 2^32 */
	__u32 data_tail;
	__u64 generation;		/* of the last result */
	bool frozen;			/* the last that was executed was a CHECK: ... */
	__u32 exception;		/* ... its number */
	bool rung;			/* the doorbell, at a server that had parked ... */
	__u32 rung_seen;		/* ... with these words ... */
	__u32 rung_cancel;
	__u32 rung_data;		/* ... when data_tail was this */
	bool stale;			/* who was a server may still move data ... */
	__u32 stale_end;		/* ... at positions before this */
};

static inline __u32 pmt_ring_slot(const struct pmt_ring *ring, __u32 number)
{
	return number & (ring->slots - 1);
}

static inline struct pmt_command *pmt_ring_command(const struct pmt_ring *ring,
						   __u32 number)
{
	return &ring->commands[pmt_ring_slot(ring, number)];
}

static inline struct pmt_result *pmt_ring_result(const struct pmt_ring *ring,
						 __u32 number)
{
	return &ring->results[pmt_ring_slot(ring, number)];
}

/* The areas are zeroed pages; first is the number of the first command. */
static inline void pmt_ring_init(struct pmt_ring *ring, void *commands,
				 void *results, struct pmt_result *copies,
				 __u32 *data_end, __u32 slots, __u32 data_size,
				 __u32 first)
{
	memset(ring, 0, sizeof(*ring));
	ring->kernel = commands;
	ring->commands = (void *)((char *)commands + PMT_PAGE_AREA);
	ring->server = results;
	ring->answers = (void *)((char *)results + PMT_PAGE_AREA);
	ring->results = copies;
	ring->data_end = data_end;
	ring->slots = slots;
	ring->data_size = data_size;
	ring->head = first;
	ring->done = first;
	ring->tail = first;
	ring->cancel = first;
	ring->kernel->version = PMT_PROTOCOL_VERSION;
	ring->kernel->slots = slots;
	ring->kernel->data_size = data_size;
	ring->kernel->tail = first;
	ring->kernel->cancel = first;
	ring->server->done = first;
	ring->server->seen = first;
	ring->server->cancel_seen = first;
}

/*
 * What somebody else was told may be under way still, by a transfer to or from these
 * pages: for a lap no page is used before all others were.
 */
static inline void pmt_ring_distrust(struct pmt_ring *ring)
{
	ring->rung = false;
	ring->stale = true;
	ring->stale_end = ring->data_tail + ring->data_size;
}

/*
 * Another page of the server's, zeroed, before anybody has it.  Where the end is
 * near was said of the medium, and stays said.
 */
static inline void pmt_ring_renew(struct pmt_ring *ring, void *results)
{
	struct pmt_server_page *server = results;

	memcpy(&server->ew, &ring->server->ew, sizeof(server->ew));
	server->done = ring->done;
	server->seen = ring->done;
	server->cancel_seen = ring->cancel;
	pmt_ring_distrust(ring);
	ring->server = server;
	ring->answers = (void *)((char *)results + PMT_PAGE_AREA);
}

static inline __u32 pmt_ring_data_start(const struct pmt_ring *ring, __u32 length)
{
	__u32 align = length < PMT_DATA_PAGE ? PMT_DATA_ALIGN : PMT_DATA_PAGE;

	return (ring->data_tail + align - 1) & ~(align - 1);
}

/*
 * Room for one more command of length bytes, with keep slots left over (closing
 * must always find its slots)?
 */
static inline bool pmt_ring_fits(const struct pmt_ring *ring, __u32 length,
				 __u32 keep)
{
	__u32 start = pmt_ring_data_start(ring, length);

	if (ring->tail - ring->head + keep >= ring->slots)
		return false;
	return !length || start + length - ring->data_head <= ring->data_size;
}

/* Where in the data area the next command of length bytes has its data. */
static inline __u32 pmt_ring_offset(const struct pmt_ring *ring, __u32 length)
{
	if (!length)
		return 0;
	return pmt_ring_data_start(ring, length) & (ring->data_size - 1);
}

/* How much of the data area commands have that are not done. */
static inline __u32 pmt_ring_waiting(const struct pmt_ring *ring)
{
	if (ring->done == ring->head)
		return ring->data_tail - ring->data_head;
	return ring->data_tail - ring->data_end[pmt_ring_slot(ring, ring->done - 1)];
}

/*
 * Does the server sleep, has not seen all, and was not woken yet?  One that was may not
 * have run since: its words are those that it parked with, and it can not park with them
 * again, as there is more.  Behind (C).
 */
static inline bool pmt_ring_rings(struct pmt_ring *ring)
{
	__u32 seen, cancel;

	if (!READ_ONCE(ring->server->parked))
		return false;
	seen = READ_ONCE(ring->server->seen);
	cancel = READ_ONCE(ring->server->cancel_seen);
	if (seen == ring->tail && cancel == ring->cancel)
		return false;
	if (ring->rung && seen == ring->rung_seen && cancel == ring->rung_cancel)
		return false;
	ring->rung = true;
	ring->rung_seen = seen;
	ring->rung_cancel = cancel;
	ring->rung_data = ring->data_tail;
	return true;
}

/* The server runs: what is issued from now on rings again, if it parks. */
static inline void pmt_ring_runs(struct pmt_ring *ring)
{
	ring->rung = false;
}

/*
 * Was the server woken, and has not run while a quarter of the data area was issued?
 * Then it waits for a processor, most likely for this one.
 */
static inline bool pmt_ring_far_ahead(const struct pmt_ring *ring)
{
	return ring->rung && READ_ONCE(ring->server->parked) &&
	       READ_ONCE(ring->server->seen) == ring->rung_seen &&
	       ring->data_tail - ring->rung_data >= ring->data_size / 4;
}

/* It was given time to run, which it did not: more may be issued. */
static inline void pmt_ring_catch_up(struct pmt_ring *ring)
{
	ring->rung_data = ring->data_tail;
}

/*
 * Give the command to the server; its data is at pmt_ring_offset() and
 * pmt_ring_fits() said yes.  True: the server sleeps, wake it.
 */
static inline bool pmt_ring_issue(struct pmt_ring *ring, struct pmt_command *cmd)
{
	__u32 slot = pmt_ring_slot(ring, ring->tail);

	cmd->number = ring->tail;
	cmd->offset = pmt_ring_offset(ring, cmd->length);
	if (cmd->length)
		ring->data_tail = pmt_ring_data_start(ring, cmd->length) +
				  cmd->length;
	ring->data_end[slot] = ring->data_tail;
	ring->commands[slot] = *cmd;
	ring->tail++;
	smp_store_release(&ring->kernel->tail, ring->tail);	/* (A) */
	smp_mb();						/* (C) */
	return pmt_ring_rings(ring);
}

/* Does the server sleep, and has not seen all that was issued? */
static inline bool pmt_ring_unseen(const struct pmt_ring *ring)
{
	return READ_ONCE(ring->server->parked) &&
	       READ_ONCE(ring->server->seen) != ring->tail;
}

/* Commands before number are not wanted any more.  As above. */
static inline bool pmt_ring_cancel(struct pmt_ring *ring, __u32 number)
{
	if (!pmt_before(ring->cancel, number))
		return false;
	ring->cancel = number;
	smp_store_release(&ring->kernel->cancel, number);
	smp_mb();						/* (C) */
	return pmt_ring_rings(ring);
}

/* How many records a READ or WRITE is. */
static inline __u32 pmt_command_blocks(const struct pmt_command *cmd)
{
	return cmd->block_size ? cmd->length / cmd->block_size : 1;
}

/* The range that a residue may have: the most that was asked for. */
static inline __s64 pmt_residue_max(const struct pmt_command *cmd)
{
	switch (cmd->op) {
	case PMT_OP_READ:
	case PMT_OP_WRITE:
		return cmd->block_size ? pmt_command_blocks(cmd) : cmd->length;
	case PMT_OP_WRITE_FILEMARKS:
		return cmd->count;
	case PMT_OP_SPACE:
		return cmd->count < 0 ? -cmd->count : cmd->count;
	default:
		return 0;
	}
}

static inline bool pmt_residue_valid(const struct pmt_command *cmd,
				     const struct pmt_result *res)
{
	bool variable_read = cmd->op == PMT_OP_READ && !cmd->block_size;
	__s64 max = pmt_residue_max(cmd);

	if (res->status == PMT_STATUS_CANCELLED)
		return true;
	if (variable_read && res->sense & PMT_SENSE_ILI &&
	    res->status == PMT_STATUS_CHECK)
		return res->residue >= -(__s64)PMT_RECORD_MAX && res->residue <= max;
	if (res->status == PMT_STATUS_GOOD && !variable_read)
		max = 0;
	return res->residue >= 0 && res->residue <= max;
}

static inline bool pmt_result_valid(const struct pmt_ring *ring,
				    const struct pmt_command *cmd,
				    const struct pmt_result *res)
{
	if (res->number != cmd->number || res->status > PMT_STATUS_CANCELLED)
		return false;
	if (res->status == PMT_STATUS_CANCELLED)
		return pmt_before(res->number, ring->cancel);
	if (res->key > 0xf || res->sense & ~PMT_SENSE_ALL ||
	    res->medium_flags & ~PMT_MEDIUM_VALID)
		return false;
	if (res->place.partition > PMT_PARTITION_MAX || res->place.reserved ||
	    res->place.generation < ring->generation ||
	    res->place.generation > ring->generation + 0x10000)
		return false;
	return pmt_residue_valid(cmd, res);
}

/*
 * Take the answers that are there.  Returns how many, or -EPROTO; what was
 * taken before the bad one counts.
 */
static inline int pmt_ring_collect(struct pmt_ring *ring)
{
	__u32 done = smp_load_acquire(&ring->server->done);	/* (B) */
	__u32 from = ring->done;

	if (done - from > ring->tail - from)
		return -EPROTO;
	while (ring->done != done) {
		struct pmt_result *res = pmt_ring_result(ring, ring->done);

		memcpy(res, &ring->answers[pmt_ring_slot(ring, ring->done)],
		       sizeof(*res));
		barrier();	/* or the checks might read the shared page again */
		if (!pmt_result_valid(ring, pmt_ring_command(ring, ring->done), res))
			return -EPROTO;
		if (res->status != PMT_STATUS_CANCELLED) {
			ring->generation = res->place.generation;
			ring->frozen = res->status == PMT_STATUS_CHECK;
			ring->exception = res->number;
		}
		ring->done++;
	}
	return (int)(done - from);
}

/*
 * Is the server waiting for the cancel word behind an exception?  Then nothing
 * that is waited for will be done before somebody has looked at its result.
 */
static inline bool pmt_ring_stuck(const struct pmt_ring *ring)
{
	return ring->frozen && !pmt_before(ring->exception, ring->cancel);
}

/*
 * Answer all that is left as cancelled, without the server: it is gone for good.
 * A later one starts behind them.
 */
static inline void pmt_ring_give_up(struct pmt_ring *ring)
{
	while (ring->done != ring->tail) {
		struct pmt_result *res = pmt_ring_result(ring, ring->done);

		memset(res, 0, sizeof(*res));
		res->number = ring->done++;
		res->status = PMT_STATUS_CANCELLED;
	}
	pmt_ring_distrust(ring);
	ring->frozen = false;
	ring->cancel = ring->tail;
	WRITE_ONCE(ring->kernel->cancel, ring->tail);
	WRITE_ONCE(ring->server->done, ring->tail);
}

/*
 * All are done, and forgotten.  The data starts over: with a server that keeps up the
 * first pages are used again and again, which processors have at hand, and not all of
 * them in turn.
 */
static inline void pmt_ring_start_over(struct pmt_ring *ring)
{
	__u32 align = ring->data_size;

	if (ring->stale && pmt_before(ring->data_tail, ring->stale_end))
		align = PMT_DATA_PAGE;
	else
		ring->stale = false;
	ring->data_tail = (ring->data_tail + align - 1) & ~(align - 1);
	ring->data_head = ring->data_tail;
}

/* Forget the oldest result; its slot and data are free. */
static inline void pmt_ring_retire(struct pmt_ring *ring)
{
	ring->data_head = ring->data_end[pmt_ring_slot(ring, ring->head)];
	ring->head++;
	if (ring->head == ring->tail)
		pmt_ring_start_over(ring);
	/* It may not lag so far behind that the comparison of numbers turns. */
	if ((__s32)(ring->head - ring->cancel) > PMT_CANCEL_LAG) {
		ring->cancel = ring->head;
		smp_store_release(&ring->kernel->cancel, ring->head);
	}
}

/* Ask to be woken when number is done; check for it after this. */
static inline void pmt_ring_sleep(struct pmt_ring *ring, __u32 number)
{
	WRITE_ONCE(ring->kernel->wake, number + 1);
	WRITE_ONCE(ring->kernel->asleep, 1);
	smp_mb();						/* (D) */
}

static inline void pmt_ring_awake(struct pmt_ring *ring)
{
	WRITE_ONCE(ring->kernel->asleep, 0);
}

/*
 * Is this place at or behind an early warning that the server announced?  A
 * server that is just writing it is taken at its word.
 */
static inline bool pmt_ring_early_warning(const struct pmt_ring *ring,
					  const struct pmt_place *at)
{
	const struct pmt_early_warning *ew = &ring->server->ew;
	__u32 seq = smp_load_acquire(&ew->seq);
	__u64 generation = READ_ONCE(ew->generation);
	__u32 partition = READ_ONCE(ew->partition);
	__u64 lbn = READ_ONCE(ew->lbn);

	smp_rmb();
	if (READ_ONCE(ew->seq) != seq || seq & 1)
		return true;
	if (!seq || generation != at->generation || partition != at->partition)
		return false;
	return at->lbn == PMT_UNKNOWN || lbn == PMT_UNKNOWN || at->lbn >= lbn;
}

/* ---- the server half ---- */

struct pmt_ring_view {
	const struct pmt_kernel_page *kernel;
	const struct pmt_command *commands;
	struct pmt_server_page *server;
	struct pmt_result *results;
	char *data;
	__u32 slots;
};

static inline const struct pmt_command *
pmt_view_command(const struct pmt_ring_view *view, __u32 number)
{
	return &view->commands[number & (view->slots - 1)];
}

static inline __u32 pmt_view_tail(const struct pmt_ring_view *view)
{
	return smp_load_acquire(&view->kernel->tail);		/* (A) */
}

static inline __u32 pmt_view_cancel(const struct pmt_ring_view *view)
{
	return smp_load_acquire(&view->kernel->cancel);
}

/* Put a result where it belongs; publish later. */
static inline void pmt_view_answer(struct pmt_ring_view *view,
				   const struct pmt_result *res)
{
	view->results[res->number & (view->slots - 1)] = *res;
}

/*
 * All numbers before done have their results; check: one of them is an exception.
 * True: ring the doorbell.
 */
static inline bool pmt_view_publish(struct pmt_ring_view *view, __u32 done,
				    bool check)
{
	smp_store_release(&view->server->done, done);		/* (B) */
	smp_mb();						/* (D) */
	return READ_ONCE(view->kernel->asleep) &&
	       (check || !pmt_before(done, READ_ONCE(view->kernel->wake)));
}

/*
 * About to sleep, having fetched all before seen and read cancel.  False: there
 * is more, do not sleep.
 */
static inline bool pmt_view_park(struct pmt_ring_view *view, __u32 seen,
				 __u32 cancel)
{
	WRITE_ONCE(view->server->seen, seen);
	WRITE_ONCE(view->server->cancel_seen, cancel);
	WRITE_ONCE(view->server->parked, 1);
	smp_mb();						/* (C) */
	return READ_ONCE(view->kernel->tail) == seen &&
	       READ_ONCE(view->kernel->cancel) == cancel;
}

static inline void pmt_view_unpark(struct pmt_ring_view *view)
{
	WRITE_ONCE(view->server->parked, 0);
}

/* One writer at a time. */
static inline void pmt_view_early_warning(struct pmt_ring_view *view,
					  const struct pmt_place *place)
{
	struct pmt_early_warning *ew = &view->server->ew;
	__u32 seq = READ_ONCE(ew->seq);

	WRITE_ONCE(ew->seq, seq | 1);
	smp_wmb();
	WRITE_ONCE(ew->generation, place->generation);
	WRITE_ONCE(ew->partition, place->partition);
	WRITE_ONCE(ew->lbn, place->lbn);
	smp_store_release(&ew->seq, (seq | 1) + 1);
}

#endif
