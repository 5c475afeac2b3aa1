// SPDX-License-Identifier: GPL-2.0
/*
 * Units: their table, their life and death, and who is attached to them.
 *
 * A unit is born complete (its nodes may be opened before pmt_unit_new
 * returns) and dies in two steps: pmt_unit_delete makes it dead and takes its
 * nodes away and its number, which the next may have; the device's release frees
 * it when the last file is closed.
 */
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "compat.h"
#include "pmt.h"

DEFINE_MUTEX(pmt_units_lock);
static DEFINE_XARRAY_ALLOC(pmt_units);
static LIST_HEAD(pmt_personalities);		/* pmt_units_lock */
static DECLARE_WAIT_QUEUE_HEAD(pmt_units_gone);
static unsigned int pmt_units_left;		/* not released; pmt_units_gone.lock */
static dev_t pmt_slave_devt;

struct class *pmt_class;
EXPORT_SYMBOL_GPL(pmt_class);

static void pmt_unit_release(struct device *dev)
{
	struct pmt_unit *unit = container_of(dev, struct pmt_unit, dev);

	put_pid(unit->server_pid);
	put_pid(unit->master_pid);
	kfree(unit);
	/* Under the queue's lock: pmt_units_exit takes it after the last one. */
	spin_lock(&pmt_units_gone.lock);
	WRITE_ONCE(pmt_units_left, pmt_units_left - 1);
	wake_up_locked(&pmt_units_gone);
	spin_unlock(&pmt_units_gone.lock);
}

void pmt_unit_put(struct pmt_unit *unit)
{
	put_device(&unit->dev);
}

/* The unit of that number, if it lives; to be put. */
struct pmt_unit *pmt_unit_find(u32 number)
{
	struct pmt_unit *unit;

	xa_lock(&pmt_units);
	unit = xa_load(&pmt_units, number);
	if (unit && (READ_ONCE(unit->dead) || !kobject_get_unless_zero(&unit->dev.kobj)))
		unit = NULL;
	xa_unlock(&pmt_units);
	return unit;
}

/* The first living unit of that number or above; to be put. */
struct pmt_unit *pmt_unit_next(u32 number)
{
	unsigned long index = number;
	struct pmt_unit *unit;

	xa_lock(&pmt_units);
	xa_for_each_start(&pmt_units, index, unit, number)
		if (!READ_ONCE(unit->dead) &&
		    kobject_get_unless_zero(&unit->dev.kobj))
			break;
	xa_unlock(&pmt_units);
	return unit;
}

void pmt_unit_event(struct pmt_unit *unit, enum pmt_event event, u8 key)
{
	lockdep_assert_held(&unit->lock);
	pmt_netlink_event(unit, event, key);
}

/* ---- losing the server, and the end of the store ---- */

/*
 * Nobody has an end open and no command is left: the pages go.  What was not
 * looked at yet is the personality's to remember: not before the unit has it, whose
 * nodes can be opened earlier.
 */
void pmt_store_settle(struct pmt_unit *unit)
{
	struct pmt_store *store = unit->store;

	lockdep_assert_held(&unit->control);
	if (!store || unit->slave || unit->master_open ||
	    store->ring.done != store->ring.tail || (!unit->master && !unit->dead))
		return;
	if (unit->master)
		unit->personality->reap(unit->master);
	spin_lock(&unit->lock);
	unit->first = store->ring.tail;
	unit->store = NULL;
	spin_unlock(&unit->lock);
	pmt_store_free(store);
	module_put(unit->personality->owner);
}

/* What the next server would not know of: nothing behind an exception is done. */
static void pmt_server_ends(struct pmt_unit *unit)
{
	lockdep_assert_held(&unit->lock);
	pmt_unit_collect(unit);
	if (unit->state != PMT_STATE_SERVED)
		return;
	pmt_ring_distrust(&unit->store->ring);
	if (!pmt_ring_stuck(&unit->store->ring))
		return;
	pmt_ring_give_up(&unit->store->ring);
	unit->stale = true;
}

/* Another takes its place at once, on the same slave end. */
void pmt_server_leaves(struct pmt_unit *unit)
{
	lockdep_assert_held(&unit->control);
	spin_lock(&unit->lock);
	pmt_server_ends(unit);
	spin_unlock(&unit->lock);
}

/* Under control: nobody else arms it in between. */
static void pmt_recovery_arm(struct pmt_unit *unit, unsigned long delay)
{
	lockdep_assert_held(&unit->control);
	cancel_delayed_work(&unit->recovery_work);
	schedule_delayed_work(&unit->recovery_work, delay);
}

/*
 * The slave end is gone: from now on the recovery time runs, also for a unit that
 * is idle: a backup is many opens, and one of them may fall into a restart.
 */
void pmt_server_lost(struct pmt_unit *unit)
{
	u32 recovery = 0;

	lockdep_assert_held(&unit->control);
	spin_lock(&unit->lock);
	pmt_server_ends(unit);
	if (unit->state == PMT_STATE_SERVED) {
		recovery = unit->recovery;
		pmt_unit_enter(unit, recovery ? PMT_STATE_RECOVERING : PMT_STATE_UNSERVED);
		if (!recovery)
			pmt_unit_give_up(unit);
	}
	pmt_unit_event(unit, PMT_EVENT_SERVER_LOST, 0);
	spin_unlock(&unit->lock);
	unit->recovery_ends = recovery && recovery != PMT_RECOVERY_FOREVER;
	if (unit->recovery_ends) {
		unit->recovery_end = jiffies + msecs_to_jiffies(recovery);
		pmt_recovery_arm(unit, msecs_to_jiffies(recovery));
	}
	wake_up_all(&unit->master_wait);
	pmt_store_settle(unit);
}

/* No server came back in time. */
static void pmt_unit_unserved(struct pmt_unit *unit)
{
	lockdep_assert_held(&unit->control);
	spin_lock(&unit->lock);
	pmt_unit_enter(unit, PMT_STATE_UNSERVED);
	if (unit->store)
		pmt_unit_event(unit, PMT_EVENT_ABORTED, 0);
	pmt_unit_give_up(unit);
	spin_unlock(&unit->lock);
	wake_up_all(&unit->master_wait);
	pmt_store_settle(unit);
}

/*
 * Early where it fired for a server that was lost before the last one, and where
 * the time is longer than a timer's, which is some days.
 */
static void pmt_unit_recovery_over(struct work_struct *work)
{
	struct pmt_unit *unit = container_of(to_delayed_work(work), struct pmt_unit,
					     recovery_work);
	unsigned long now = jiffies;

	mutex_lock(&unit->control);
	if (READ_ONCE(unit->state) != PMT_STATE_RECOVERING || !unit->recovery_ends)
		goto out;
	if (time_before(now, unit->recovery_end))
		pmt_recovery_arm(unit, unit->recovery_end - now);
	else
		pmt_unit_unserved(unit);
out:
	mutex_unlock(&unit->control);
}

/* Take the slave end away from whoever holds it. */
static void pmt_unit_revoke(struct pmt_unit *unit)
{
	struct pmt_slave *slave = unit->slave;

	lockdep_assert_held(&unit->control);
	if (!slave)
		return;
	unit->slave = NULL;
	if (pmt_slave_revoke(slave))
		pmt_server_lost(unit);
	else
		pmt_store_settle(unit);
}

static void pmt_unit_broken(struct work_struct *work)
{
	struct pmt_unit *unit = container_of(work, struct pmt_unit, broken_work);

	mutex_lock(&unit->control);
	/* Not from who has come since: none can attach to it. */
	if (READ_ONCE(unit->state) == PMT_STATE_BROKEN && unit->slave &&
	    pmt_slave_attached(unit->slave))
		pmt_unit_revoke(unit);
	mutex_unlock(&unit->control);
	wake_up_all(&unit->master_wait);
}

void pmt_unit_detach(struct pmt_unit *unit)
{
	mutex_lock(&unit->control);
	pmt_unit_revoke(unit);
	mutex_unlock(&unit->control);
}

/*
 * Everything that waits fails, and nothing that the last server told is claimed any
 * more: the unit is usable again by a new one, with other cartridges, too.
 */
void pmt_unit_abort(struct pmt_unit *unit)
{
	mutex_lock(&unit->control);
	/* Its events would be taken for those of the next of its number. */
	if (READ_ONCE(unit->dead)) {
		mutex_unlock(&unit->control);
		return;
	}
	spin_lock(&unit->lock);
	pmt_unit_collect(unit);
	pmt_unit_enter(unit, PMT_STATE_UNSERVED);
	unit->cookie = 0;
	pmt_unit_give_up(unit);
	pmt_unit_event(unit, PMT_EVENT_ABORTED, 0);
	pmt_unit_forget(unit);
	spin_unlock(&unit->lock);
	pmt_unit_revoke(unit);
	wake_up_all(&unit->master_wait);
	pmt_store_settle(unit);
	mutex_unlock(&unit->control);
}

int pmt_unit_set(struct pmt_unit *unit, const u32 *recovery, const u8 *eot)
{
	spin_lock(&unit->lock);
	if (recovery)
		unit->recovery = *recovery;
	if (eot)
		unit->eot = *eot;
	spin_unlock(&unit->lock);
	return 0;
}

/* ---- the master end's opener ---- */

/* Control held. */
static void pmt_unit_set_master(struct pmt_unit *unit, struct pid *pid)
{
	struct pid *old = unit->master_pid;

	lockdep_assert_held(&unit->control);
	WRITE_ONCE(unit->master_open, !!pid);
	spin_lock(&unit->lock);
	unit->master_pid = pid;
	spin_unlock(&unit->lock);
	put_pid(old);
}

/*
 * The store exists until pmt_unit_close.  -ENXIO: nobody serves the unit; -EIO: it
 * is broken; -EAGAIN: a server is waited for, see pmt_unit_wait_served.
 */
int pmt_unit_open(struct pmt_unit *unit)
{
	enum pmt_state state;
	int ret = 0;

	/* Whoever opens the slave end allocates all of its pages under it. */
	if (mutex_lock_killable(&unit->control))
		return -EINTR;
	state = READ_ONCE(unit->state);
	if (unit->dead || state == PMT_STATE_UNSERVED)
		ret = -ENXIO;
	else if (state == PMT_STATE_BROKEN)
		ret = -EIO;
	else if (!unit->store)
		ret = -EAGAIN;
	else
		pmt_unit_set_master(unit, get_pid(task_tgid(current)));
	mutex_unlock(&unit->control);
	return ret;
}
EXPORT_SYMBOL_GPL(pmt_unit_open);

void pmt_unit_close(struct pmt_unit *unit)
{
	mutex_lock(&unit->control);
	pmt_unit_set_master(unit, NULL);
	pmt_store_settle(unit);
	mutex_unlock(&unit->control);
}
EXPORT_SYMBOL_GPL(pmt_unit_close);

/* Until a server is there: 0; -ENXIO none is expected, -ERESTARTSYS. */
int pmt_unit_wait_served(struct pmt_unit *unit)
{
	int ret = wait_event_state(unit->master_wait,
				   READ_ONCE(unit->dead) ||
				   READ_ONCE(unit->state) != PMT_STATE_RECOVERING,
				   PMT_INTERRUPTIBLE);

	if (ret)
		return ret;
	if (READ_ONCE(unit->state) == PMT_STATE_SERVED && !READ_ONCE(unit->dead))
		return 0;
	return READ_ONCE(unit->state) == PMT_STATE_BROKEN ? -EIO : -ENXIO;
}
EXPORT_SYMBOL_GPL(pmt_unit_wait_served);

/* ---- birth and death ---- */

static struct pmt_personality *pmt_personality_find(const char *name)
{
	struct pmt_personality *personality;

	lockdep_assert_held(&pmt_units_lock);
	list_for_each_entry(personality, &pmt_personalities, list)
		if (!strcmp(personality->name, name))
			return personality;
	return NULL;
}

static struct pmt_unit *pmt_unit_alloc(u32 data_size, u32 recovery, enum pmt_eot eot)
{
	struct pmt_unit *unit = kzalloc(sizeof(*unit), GFP_KERNEL_ACCOUNT);

	if (!unit)
		return NULL;
	mutex_init(&unit->control);
	spin_lock_init(&unit->lock);
	init_waitqueue_head(&unit->server_wait);
	init_waitqueue_head(&unit->master_wait);
	INIT_DELAYED_WORK(&unit->recovery_work, pmt_unit_recovery_over);
	INIT_WORK(&unit->broken_work, pmt_unit_broken);
	unit->id = get_random_u64() | 1;
	unit->data_size = data_size;
	unit->recovery = recovery;
	unit->eot = eot;
	unit->first = 1;
	unit->room = PMT_UNKNOWN;
	unit->place.generation = 1;
	unit->modes.buffered = 1;
	unit->modes.compression = 1;
	unit->limits.record_min = 1;
	unit->limits.record_max = min(PMT_RECORD_MAX, data_size);
	return unit;
}

static int pmt_unit_number(struct pmt_unit *unit, u32 number)
{
	int ret;

	if (number == U32_MAX) {
		ret = xa_alloc(&pmt_units, &unit->number, unit,
			       XA_LIMIT(0, PMT_UNITS_MAX - 1), GFP_KERNEL);
		return ret == -EBUSY ? -ENOSPC : ret;
	}
	if (number >= PMT_UNITS_MAX)
		return -ERANGE;
	unit->number = number;
	ret = xa_insert(&pmt_units, number, unit, GFP_KERNEL);
	return ret == -EBUSY ? -EEXIST : ret;
}

/*
 * Nobody who has control finds it alive after this, so none makes a store or
 * attaches; nothing that runs later is left.  One that is not all made may have a
 * server already.  Returns what the personality had.
 */
static void *pmt_unit_kill(struct pmt_unit *unit)
{
	void *master;

	mutex_lock(&unit->control);
	pmt_unit_revoke(unit);
	master = unit->master;
	unit->master = NULL;
	spin_lock(&unit->lock);
	WRITE_ONCE(unit->dead, true);
	pmt_unit_give_up(unit);
	if (master)
		pmt_unit_event(unit, PMT_EVENT_UNIT_REMOVED, 0);
	spin_unlock(&unit->lock);
	pmt_store_settle(unit);
	mutex_unlock(&unit->control);
	wake_up_all(&unit->master_wait);
	wake_up_all(&unit->server_wait);
	cancel_delayed_work_sync(&unit->recovery_work);
	cancel_work_sync(&unit->broken_work);
	return master;
}

/* Its number is another's from here on, whoever may still hold it open. */
static void pmt_unit_end(struct pmt_unit *unit)
{
	xa_erase(&pmt_units, unit->number);
	pmt_unit_put(unit);
}

static void pmt_unit_bury(struct pmt_unit *unit)
{
	void *master = pmt_unit_kill(unit);

	if (master)
		unit->personality->detach(master);
	cdev_device_del(&unit->cdev, &unit->dev);
	pmt_unit_end(unit);
}

static struct pmt_unit *pmt_unit_make(const struct pmt_personality *personality,
				      u32 number, u32 data_size, u32 recovery,
				      enum pmt_eot eot)
{
	struct pmt_unit *unit = pmt_unit_alloc(data_size, recovery, eot);
	void *master;
	int ret;

	if (!unit)
		return ERR_PTR(-ENOMEM);
	ret = pmt_unit_number(unit, number);
	if (ret) {
		kfree(unit);
		return ERR_PTR(ret);
	}
	spin_lock(&pmt_units_gone.lock);
	WRITE_ONCE(pmt_units_left, pmt_units_left + 1);
	spin_unlock(&pmt_units_gone.lock);
	unit->personality = personality;
	strscpy(unit->personality_name, personality->name,
		sizeof(unit->personality_name));
	device_initialize(&unit->dev);
	device_set_pm_not_required(&unit->dev);
	unit->dev.class = pmt_class;
	unit->dev.release = pmt_unit_release;
	unit->dev.devt = pmt_slave_devt + unit->number;
	cdev_init(&unit->cdev, &pmt_slave_fops);
	unit->cdev.owner = THIS_MODULE;
	ret = dev_set_name(&unit->dev, "pmts%u", unit->number);
	if (!ret)
		ret = cdev_device_add(&unit->cdev, &unit->dev);
	if (ret) {
		pmt_unit_kill(unit);
		pmt_unit_end(unit);
		return ERR_PTR(ret);
	}
	master = personality->attach(unit);
	if (IS_ERR(master)) {
		pmt_unit_bury(unit);
		return ERR_CAST(master);
	}
	mutex_lock(&unit->control);
	unit->master = master;
	spin_lock(&unit->lock);
	pmt_unit_event(unit, PMT_EVENT_UNIT_ADDED, 0);
	spin_unlock(&unit->lock);
	pmt_store_settle(unit);
	mutex_unlock(&unit->control);
	return unit;
}

/* number U32_MAX: the first free one.  To be put. */
struct pmt_unit *pmt_unit_new(const char *name, u32 number, u32 data_size,
			      u32 recovery, enum pmt_eot eot)
{
	struct pmt_personality *personality;
	struct pmt_unit *unit;

	mutex_lock(&pmt_units_lock);
	personality = pmt_personality_find(name);
	if (!personality) {
		mutex_unlock(&pmt_units_lock);
		request_module("pmt-personality-%s", name);
		mutex_lock(&pmt_units_lock);
		personality = pmt_personality_find(name);
	}
	unit = personality ? pmt_unit_make(personality, number, data_size,
					   recovery, eot) :
			     ERR_PTR(-ENOPKG);
	if (!IS_ERR(unit))
		get_device(&unit->dev);
	mutex_unlock(&pmt_units_lock);
	return unit;
}

/* -EBUSY: an end is open, or commands wait for a server. */
int pmt_unit_delete(struct pmt_unit *unit)
{
	int ret = 0;

	mutex_lock(&pmt_units_lock);
	mutex_lock(&unit->control);
	if (unit->dead)
		ret = -ENOENT;
	else if (unit->slave || unit->master_open || unit->store)
		ret = -EBUSY;
	else
		WRITE_ONCE(unit->dead, true);
	mutex_unlock(&unit->control);
	if (!ret)
		pmt_unit_bury(unit);
	mutex_unlock(&pmt_units_lock);
	return ret;
}

/* ---- personalities ---- */

int pmt_personality_register(struct pmt_personality *personality)
{
	int ret = 0;

	mutex_lock(&pmt_units_lock);
	if (pmt_personality_find(personality->name))
		ret = -EEXIST;
	else
		list_add_tail(&personality->list, &pmt_personalities);
	mutex_unlock(&pmt_units_lock);
	return ret;
}
EXPORT_SYMBOL_GPL(pmt_personality_register);

/* Its module goes, so no unit of it has a store: all of them are idle. */
void pmt_personality_unregister(struct pmt_personality *personality)
{
	struct pmt_unit *unit;
	u32 number = 0;

	mutex_lock(&pmt_units_lock);
	list_del(&personality->list);
	while ((unit = pmt_unit_next(number))) {
		number = unit->number + 1;
		if (unit->personality == personality)
			pmt_unit_bury(unit);
		pmt_unit_put(unit);
	}
	mutex_unlock(&pmt_units_lock);
}
EXPORT_SYMBOL_GPL(pmt_personality_unregister);

/* What "units=" of its module asks for.  Those that were made stay. */
int pmt_personality_units(struct pmt_personality *personality, u32 count)
{
	struct pmt_unit *unit;
	u32 number;
	int ret = 0;

	mutex_lock(&pmt_units_lock);
	for (number = 0; number < count && !ret; number++) {
		unit = pmt_unit_make(personality, U32_MAX, PMT_DATA_SIZE_DEFAULT,
				     PMT_RECOVERY_DEFAULT, PMT_EOT_ST);
		ret = PTR_ERR_OR_ZERO(unit);
	}
	mutex_unlock(&pmt_units_lock);
	return ret;
}
EXPORT_SYMBOL_GPL(pmt_personality_units);

int pmt_units_init(void)
{
	int ret;

	pmt_class = pmt_class_create("pmt");
	if (IS_ERR(pmt_class))
		return PTR_ERR(pmt_class);
	ret = alloc_chrdev_region(&pmt_slave_devt, 0, PMT_UNITS_MAX, "pmts");
	if (ret)
		class_destroy(pmt_class);
	return ret;
}

/* All units are buried; wait for the last release before its code goes. */
void pmt_units_exit(void)
{
	wait_event(pmt_units_gone, !READ_ONCE(pmt_units_left));
	spin_lock(&pmt_units_gone.lock);
	spin_unlock(&pmt_units_gone.lock);
	unregister_chrdev_region(pmt_slave_devt, PMT_UNITS_MAX);
	class_destroy(pmt_class);
}
