// SPDX-License-Identifier: GPL-2.0
/*
 * A unit's store: the pages behind the ring, and the way of a command through
 * it as the personality sees it: fits, issue, wait, oldest, retire.
 *
 * The application's bytes are copied once, in pmt_unit_issue (writing) or from
 * pmt_unit_data (reading), outside every lock: the place in the data area belongs
 * to the one caller that a personality lets in.
 */
#include <linux/freezer.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "pmt.h"

static void pmt_area_free(struct pmt_area *area)
{
	unsigned long i;

	vunmap(area->address);
	for (i = 0; area->pages && i < area->count; i++) {
		cond_resched();
		if (area->pages[i])
			__free_page(area->pages[i]);
	}
	kvfree(area->pages);
	memset(area, 0, sizeof(*area));
}

/* Zeroed pages, mapped copies times in a row. */
static int pmt_area_new(struct pmt_area *area, size_t size, unsigned int copies)
{
	unsigned long i;

	area->count = PAGE_ALIGN(size) >> PAGE_SHIFT;
	area->pages = kvcalloc(area->count * copies, sizeof(*area->pages),
			       GFP_KERNEL_ACCOUNT);
	if (!area->pages)
		return -ENOMEM;
	for (i = 0; i < area->count; i++) {
		unsigned int copy;

		/* Who is killed for the memory that is short must not take more. */
		if (fatal_signal_pending(current))
			goto err_free;
		cond_resched();
		area->pages[i] = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
		if (!area->pages[i])
			goto err_free;
		for (copy = 1; copy < copies; copy++)
			area->pages[i + copy * area->count] = area->pages[i];
	}
	area->address = vmap(area->pages, area->count * copies, VM_MAP, PAGE_KERNEL);
	if (area->address)
		return 0;
err_free:
	pmt_area_free(area);
	return -ENOMEM;
}

void pmt_store_free(struct pmt_store *store)
{
	unsigned int i;

	kvfree(store->ring.results);
	kvfree(store->ring.data_end);
	for (i = 0; i < PMT_AREAS; i++)
		pmt_area_free(&store->areas[i]);
	kfree(store);
}

struct pmt_store *pmt_store_new(struct pmt_unit *unit)
{
	u32 slots = clamp_t(u32, unit->data_size >> 14, 64, 4096);
	struct pmt_store *store = kzalloc(sizeof(*store), GFP_KERNEL_ACCOUNT);
	struct pmt_ring *ring;

	if (!store)
		return NULL;
	ring = &store->ring;
	ring->results = kvcalloc(slots, sizeof(*ring->results), GFP_KERNEL_ACCOUNT);
	ring->data_end = kvcalloc(slots, sizeof(*ring->data_end), GFP_KERNEL_ACCOUNT);
	if (!ring->results || !ring->data_end ||
	    pmt_area_new(&store->areas[PMT_AREA_COMMANDS],
			 PMT_PAGE_AREA + slots * sizeof(struct pmt_command), 1) ||
	    pmt_area_new(&store->areas[PMT_AREA_RESULTS],
			 PMT_PAGE_AREA + slots * sizeof(struct pmt_result), 1) ||
	    pmt_area_new(&store->areas[PMT_AREA_DATA], unit->data_size, 2)) {
		pmt_store_free(store);
		return NULL;
	}
	pmt_ring_init(ring, store->areas[PMT_AREA_COMMANDS].address,
		      store->areas[PMT_AREA_RESULTS].address, ring->results,
		      ring->data_end, slots, unit->data_size, unit->first);
	ring->generation = unit->place.generation;
	return store;
}

/*
 * Other pages for the answers of the next server: whoever had the last ones may
 * hold them still, by a transfer that is under way.
 */
int pmt_store_renew(struct pmt_unit *unit)
{
	struct pmt_area *area = &unit->store->areas[PMT_AREA_RESULTS];
	struct pmt_area fresh = {}, old = *area;

	lockdep_assert_held(&unit->control);
	if (pmt_area_new(&fresh, old.count << PAGE_SHIFT, 1))
		return -ENOMEM;
	spin_lock(&unit->lock);
	*area = fresh;
	pmt_ring_renew(&unit->store->ring, fresh.address);
	spin_unlock(&unit->lock);
	pmt_area_free(&old);
	return 0;
}

static void pmt_unit_medium(struct pmt_unit *unit, const struct pmt_result *res)
{
	bool had = unit->medium_flags & PMT_MEDIUM_PRESENT;
	bool has = res && res->medium_flags & PMT_MEDIUM_PRESENT;

	unit->medium_flags = res ? res->medium_flags : 0;
	if (has)
		memcpy(unit->medium, res->medium, sizeof(unit->medium));
	else
		memset(unit->medium, 0, sizeof(unit->medium));
	if (had != has)
		pmt_unit_event(unit, has ? PMT_EVENT_MEDIUM_LOADED :
				     PMT_EVENT_MEDIUM_UNLOADED, 0);
}

static void pmt_unit_count(struct pmt_unit *unit, const struct pmt_command *cmd,
			   const struct pmt_result *res)
{
	struct pmt_counters *counters = &unit->counters;
	u64 left = max_t(s64, res->residue, 0);
	u32 blocks = pmt_command_blocks(cmd);

	if (cmd->block_size) {
		u64 moved = blocks - left;

		left = cmd->length - moved * cmd->block_size;
		blocks = moved;
	} else if (res->status == PMT_STATUS_CHECK) {
		blocks = 0;
		left = cmd->length;
	}
	if (cmd->op == PMT_OP_WRITE) {
		counters->records_written += blocks;
		counters->bytes_written += cmd->length - left;
	} else if (cmd->op == PMT_OP_READ) {
		counters->records_read += blocks;
		counters->bytes_read += cmd->length - left;
	}
}

/*
 * A copy came back in the middle of a load, on another cartridge: what is kept is for
 * the next server, and nobody else hears of it.  A unit without a medium has no words.
 */
static void pmt_unit_words(struct pmt_unit *unit, const struct pmt_result *res)
{
	if (res->medium_flags & unit->medium_flags & PMT_MEDIUM_PRESENT)
		memcpy(unit->medium, res->medium, sizeof(unit->medium));
}

/* Keep what a server to come must be told, and tell who listens. */
static void pmt_unit_note(struct pmt_unit *unit, u32 number)
{
	const struct pmt_ring *ring = &unit->store->ring;
	const struct pmt_command *cmd = pmt_ring_command(ring, number);
	const struct pmt_result *res = pmt_ring_result(ring, number);
	bool good = res->status == PMT_STATUS_GOOD;

	if (res->status == PMT_STATUS_CANCELLED)
		return;
	unit->place = res->place;
	unit->cookie = res->cookie;
	if (good || res->room != PMT_UNKNOWN)
		unit->room = res->room;
	if (cmd->op == PMT_OP_WRITE || cmd->op == PMT_OP_READ)
		pmt_unit_count(unit, cmd, res);
	if (cmd->op == PMT_OP_MODE && good)
		unit->modes = cmd->modes;
	if (cmd->op == PMT_OP_TEST || cmd->op == PMT_OP_LOAD)
		pmt_unit_medium(unit, good ? res : NULL);
	else if (cmd->op == PMT_OP_UNLOAD && good)
		pmt_unit_medium(unit, NULL);
	else if (good)
		pmt_unit_words(unit, res);
}

/* Is it an error that an administrator should hear of? */
static bool pmt_is_error(const struct pmt_command *cmd, const struct pmt_result *res)
{
	return res->status == PMT_STATUS_CHECK && res->key != PMT_KEY_NONE &&
	       res->key != PMT_KEY_BLANK && res->key != PMT_KEY_OVERFLOW &&
	       cmd->op != PMT_OP_TEST;
}

/* One event for all that came at once: its listeners cost time under the lock. */
static void pmt_unit_note_all(struct pmt_unit *unit, u32 from)
{
	const struct pmt_ring *ring = &unit->store->ring;
	u8 key = 0;

	for (; from != ring->done; from++) {
		const struct pmt_result *res = pmt_ring_result(ring, from);

		pmt_unit_note(unit, from);
		if (!key && pmt_is_error(pmt_ring_command(ring, from), res))
			key = res->key;
	}
	if (key)
		pmt_unit_event(unit, PMT_EVENT_ERROR, key);
}

static void pmt_unit_nowhere(struct pmt_unit *unit)
{
	unit->place.lbn = PMT_UNKNOWN;
	unit->place.file = PMT_UNKNOWN;
	unit->place.block = PMT_UNKNOWN;
}

/* All that waits is answered as cancelled, and nobody knows the place. */
void pmt_unit_give_up(struct pmt_unit *unit)
{
	lockdep_assert_held(&unit->lock);
	if (!unit->store)
		return;
	if (unit->store->ring.done != unit->store->ring.tail)
		pmt_unit_nowhere(unit);
	pmt_ring_give_up(&unit->store->ring);
	unit->stale = true;
	unit->first = unit->store->ring.tail;
}

/*
 * The next server may come with any cartridge.  A generation ends, as if this one had
 * been unloaded: nothing that was meant for it is executed on another.
 */
void pmt_unit_forget(struct pmt_unit *unit)
{
	lockdep_assert_held(&unit->lock);
	pmt_unit_medium(unit, NULL);
	pmt_unit_nowhere(unit);
	unit->place.partition = 0;
	unit->place.generation++;
	WRITE_ONCE(unit->forgot, unit->place.generation);
	if (unit->store)
		unit->store->ring.generation = unit->place.generation;
}

/* Take the answers that are there; a server that breaks the rules is out. */
int pmt_unit_collect(struct pmt_unit *unit)
{
	struct pmt_ring *ring;
	u32 number;
	int ret;

	lockdep_assert_held(&unit->lock);
	if (!unit->store || unit->state != PMT_STATE_SERVED)
		return 0;
	ring = &unit->store->ring;
	number = ring->done;
	ret = pmt_ring_collect(ring);
	pmt_unit_note_all(unit, number);
	if (ret >= 0)
		return ret;
	dev_warn_ratelimited(&unit->dev,
			     "the server broke the protocol at command %u\n",
			     ring->done);
	pmt_unit_enter(unit, PMT_STATE_BROKEN);
	pmt_unit_give_up(unit);
	pmt_unit_event(unit, PMT_EVENT_BROKEN, 0);
	schedule_work(&unit->broken_work);
	return ret;
}

static void pmt_unit_ring_doorbell(struct pmt_unit *unit, bool parked)
{
	if (parked)
		wake_up_interruptible_poll(&unit->server_wait, EPOLLIN | EPOLLRDNORM);
}

/* Look at the unit from a place: what counts for the next command there. */
void pmt_unit_look(struct pmt_unit *unit, const struct pmt_place *place,
		   struct pmt_view *view)
{
	struct pmt_ring *ring;

	spin_lock(&unit->lock);
	pmt_unit_collect(unit);
	ring = &unit->store->ring;
	*view = (struct pmt_view) {
		.state = unit->state,
		.eot = unit->eot,
		.dead = unit->dead,
		.limits = unit->limits,
		.modes = unit->modes,
		.room = unit->room,
		.early_warning = pmt_ring_early_warning(ring, place),
		.forgot = unit->forgot,
		.waiting = ring->tail - ring->done,
		.stuck = pmt_ring_stuck(ring),
		.data_size = unit->data_size,
	};
	unit->stale = false;
	if (view->early_warning && !unit->early_warning_sent)
		pmt_unit_event(unit, PMT_EVENT_EARLY_WARNING, 0);
	unit->early_warning_sent = view->early_warning;
	spin_unlock(&unit->lock);
}
EXPORT_SYMBOL_GPL(pmt_unit_look);

bool pmt_unit_fits(struct pmt_unit *unit, u32 length, u32 keep)
{
	bool fits;

	spin_lock(&unit->lock);
	fits = pmt_ring_fits(&unit->store->ring, length, keep);
	spin_unlock(&unit->lock);
	return fits;
}
EXPORT_SYMBOL_GPL(pmt_unit_fits);

/* Is it acknowledged, perhaps, by what was looked at before? */
static bool pmt_unit_relies(const struct pmt_command *cmd)
{
	return cmd->op == PMT_OP_WRITE || cmd->flags & PMT_CMD_IMMEDIATE;
}

static int pmt_unit_ready(const struct pmt_unit *unit, const struct pmt_command *cmd)
{
	if (unit->dead || unit->state == PMT_STATE_UNSERVED)
		return -ENXIO;
	if (unit->state == PMT_STATE_BROKEN)
		return -EIO;
	return unit->stale && pmt_unit_relies(cmd) ? -EAGAIN : 0;
}

/*
 * Give a command to the server; pmt_unit_fits said yes.  from is the data of a
 * WRITE, or NULL.  -EFAULT: nothing was issued; -EAGAIN: nor here, and what
 * pmt_unit_look has told is no longer so (copying may take any time).
 */
int pmt_unit_issue(struct pmt_unit *unit, struct pmt_command *cmd,
		   const void __user *from)
{
	bool parked;
	int ret;

	if (from) {
		u32 offset = pmt_ring_offset(&unit->store->ring, cmd->length);
		char *data = unit->store->areas[PMT_AREA_DATA].address;

		if (copy_from_user(data + offset, from, cmd->length))
			return -EFAULT;
	}
	spin_lock(&unit->lock);
	ret = pmt_unit_ready(unit, cmd);
	if (!ret) {
		parked = pmt_ring_issue(&unit->store->ring, cmd) && !unit->plugged;
		unit->counters.wakes_server += parked;
	}
	spin_unlock(&unit->lock);
	if (!ret)
		pmt_unit_ring_doorbell(unit, parked);
	return ret;
}
EXPORT_SYMBOL_GPL(pmt_unit_issue);

static bool pmt_unit_keeps_up(struct pmt_unit *unit)
{
	bool far;

	spin_lock(&unit->lock);
	far = !unit->dead && pmt_ring_far_ahead(&unit->store->ring);
	unit->awaits_run = far;
	spin_unlock(&unit->lock);
	return !far;
}

/*
 * Before more is issued: a server that was woken and waits for this processor is let
 * run.  What it works on is in the processor's caches still, and behind it the data
 * starts over.  It is a hint, for a tick at most: who was woken need not run.
 */
void pmt_unit_let_run(struct pmt_unit *unit)
{
	if (pmt_unit_keeps_up(unit))
		return;
	wait_event_killable_timeout(unit->master_wait, pmt_unit_keeps_up(unit), 1);
	spin_lock(&unit->lock);
	unit->awaits_run = false;
	pmt_ring_catch_up(&unit->store->ring);
	spin_unlock(&unit->lock);
}
EXPORT_SYMBOL_GPL(pmt_unit_let_run);

/* The server runs, for it polls. */
void pmt_unit_runs(struct pmt_unit *unit)
{
	bool awaited;

	spin_lock(&unit->lock);
	if (unit->store)
		pmt_ring_runs(&unit->store->ring);
	awaited = unit->awaits_run;
	unit->awaits_run = false;
	spin_unlock(&unit->lock);
	if (awaited)
		wake_up_all(&unit->master_wait);
}

/* What is issued from now on is told to the server at once, by pmt_unit_unplug. */
void pmt_unit_plug(struct pmt_unit *unit)
{
	spin_lock(&unit->lock);
	unit->plugged = true;
	spin_unlock(&unit->lock);
}
EXPORT_SYMBOL_GPL(pmt_unit_plug);

void pmt_unit_unplug(struct pmt_unit *unit)
{
	bool parked;

	spin_lock(&unit->lock);
	unit->plugged = false;
	parked = pmt_ring_unseen(&unit->store->ring);
	unit->counters.wakes_server += parked;
	spin_unlock(&unit->lock);
	pmt_unit_ring_doorbell(unit, parked);
}
EXPORT_SYMBOL_GPL(pmt_unit_unplug);

/*
 * Is number done, or will it not be before somebody looks at an exception?  Else
 * be woken when it is.
 */
static bool pmt_unit_settled(struct pmt_unit *unit, u32 number)
{
	struct pmt_ring *ring = &unit->store->ring;
	bool done;

	spin_lock(&unit->lock);
	pmt_ring_sleep(ring, number);
	pmt_unit_collect(unit);
	done = unit->dead || pmt_before(number, ring->done) || pmt_ring_stuck(ring);
	if (done)
		pmt_ring_awake(ring);
	spin_unlock(&unit->lock);
	return done;
}

bool pmt_unit_done(struct pmt_unit *unit, u32 number)
{
	bool done;

	spin_lock(&unit->lock);
	done = pmt_before(number, unit->store->ring.done);
	spin_unlock(&unit->lock);
	return done;
}
EXPORT_SYMBOL_GPL(pmt_unit_done);

/*
 * Wait in task_state until number is done, or an exception before it needs to be
 * reaped: 0, -ERESTARTSYS, -ENXIO.
 */
int pmt_unit_wait(struct pmt_unit *unit, u32 number, unsigned int task_state)
{
	int ret;

	if (pmt_unit_settled(unit, number))
		return READ_ONCE(unit->dead) ? -ENXIO : 0;
	ret = wait_event_state(unit->master_wait, pmt_unit_settled(unit, number),
			       task_state);
	if (ret) {
		spin_lock(&unit->lock);
		pmt_ring_awake(&unit->store->ring);
		spin_unlock(&unit->lock);
		return ret;
	}
	return READ_ONCE(unit->dead) ? -ENXIO : 0;
}
EXPORT_SYMBOL_GPL(pmt_unit_wait);

/*
 * Before waiting for the oldest of many that will be wanted: give the server a tick
 * to have number done, too, and ring once.  One that is slower is not waited for.
 */
void pmt_unit_linger(struct pmt_unit *unit, u32 number)
{
	if (pmt_unit_settled(unit, number) ||
	    wait_event_killable_timeout(unit->master_wait,
					pmt_unit_settled(unit, number), 1) > 0)
		return;
	spin_lock(&unit->lock);
	pmt_ring_awake(&unit->store->ring);
	spin_unlock(&unit->lock);
}
EXPORT_SYMBOL_GPL(pmt_unit_linger);

/*
 * Wait until half of what was issued is done; as above, killable.  Any look at the
 * ring may have collected the rest by now: 0, for it is to be reaped.  -EIO: nothing
 * is under way that could be waited for.
 */
int pmt_unit_wait_half(struct pmt_unit *unit)
{
	struct pmt_ring *ring = &unit->store->ring;
	u32 number, waiting;
	bool unreaped;

	spin_lock(&unit->lock);
	waiting = ring->tail - ring->done;
	number = ring->done + waiting / 2;
	unreaped = ring->head != ring->done;
	spin_unlock(&unit->lock);
	if (!waiting)
		return unreaped ? 0 : -EIO;
	return pmt_unit_wait(unit, number, PMT_KILLABLE);
}
EXPORT_SYMBOL_GPL(pmt_unit_wait_half);

/* The oldest command that is done and was not retired, and its result. */
bool pmt_unit_oldest(struct pmt_unit *unit, struct pmt_command *cmd,
		     struct pmt_result *res)
{
	struct pmt_ring *ring;
	bool found;

	spin_lock(&unit->lock);
	pmt_unit_collect(unit);
	ring = &unit->store->ring;
	found = ring->head != ring->done;
	if (found) {
		*cmd = *pmt_ring_command(ring, ring->head);
		*res = *pmt_ring_result(ring, ring->head);
	}
	spin_unlock(&unit->lock);
	return found;
}
EXPORT_SYMBOL_GPL(pmt_unit_oldest);

/* The bytes of a READ that is done and not retired: the server may change them. */
void *pmt_unit_data(struct pmt_unit *unit, const struct pmt_command *cmd)
{
	return unit->store->areas[PMT_AREA_DATA].address + cmd->offset;
}
EXPORT_SYMBOL_GPL(pmt_unit_data);

void pmt_unit_retire(struct pmt_unit *unit)
{
	spin_lock(&unit->lock);
	pmt_ring_retire(&unit->store->ring);
	spin_unlock(&unit->lock);
}
EXPORT_SYMBOL_GPL(pmt_unit_retire);

/* Nothing that was issued is wanted any more; it still has to be retired. */
void pmt_unit_cancel(struct pmt_unit *unit)
{
	bool parked;

	spin_lock(&unit->lock);
	parked = pmt_ring_cancel(&unit->store->ring, unit->store->ring.tail);
	unit->counters.wakes_server += parked;
	spin_unlock(&unit->lock);
	pmt_unit_ring_doorbell(unit, parked);
}
EXPORT_SYMBOL_GPL(pmt_unit_cancel);

/* The number that the next command will have. */
u32 pmt_unit_issued(struct pmt_unit *unit)
{
	u32 tail;

	spin_lock(&unit->lock);
	tail = unit->store->ring.tail;
	spin_unlock(&unit->lock);
	return tail;
}
EXPORT_SYMBOL_GPL(pmt_unit_issued);
