// SPDX-License-Identifier: GPL-2.0
/*
 * The slave end, /dev/pmtsN: what a server opens, maps and polls.
 *
 * A slave file is open, then attached (the server; again, when another process
 * has been given it), then perhaps revoked: the unit took it away and only close()
 * is left.  The mappings have no pages at first; a fault puts them in, under
 * map_lock, which revoking takes before it zaps them: a revoked mapping stays empty
 * and every access gives SIGBUS.
 */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/userfaultfd_k.h>

#include "compat.h"
#include "pmt.h"

#define PMT_FAULT_AROUND	128UL	/* pages */

struct pmt_slave {
	struct pmt_unit *unit;
	struct pmt_store *store;	/* the unit's; not after revoked */
	struct address_space *mapping;	/* of the file */
	struct mutex map_lock;		/* revoked against faults */
	bool revoked;
	bool attached;			/* unit->control */
};

/* Is it, or was it, a server? */
bool pmt_slave_attached(const struct pmt_slave *slave)
{
	lockdep_assert_held(&slave->unit->control);
	return slave->attached;
}

/* As above. */
bool pmt_slave_revoke(struct pmt_slave *slave)
{
	lockdep_assert_held(&slave->unit->control);
	mutex_lock(&slave->map_lock);
	WRITE_ONCE(slave->revoked, true);
	unmap_mapping_range(slave->mapping, 0, 0, 1);
	mutex_unlock(&slave->map_lock);
	wake_up_all(&slave->unit->server_wait);
	return slave->attached;
}

static int pmt_slave_store(struct pmt_unit *unit)
{
	struct pmt_store *store;

	lockdep_assert_held(&unit->control);
	if (unit->store)
		return pmt_store_renew(unit);
	if (!try_module_get(unit->personality->owner))
		return -ENODEV;
	store = pmt_store_new(unit);
	if (!store) {
		module_put(unit->personality->owner);
		return -ENOMEM;
	}
	spin_lock(&unit->lock);
	unit->store = store;
	spin_unlock(&unit->lock);
	return 0;
}

static int pmt_slave_open(struct inode *inode, struct file *file)
{
	struct pmt_unit *unit = container_of(inode->i_cdev, struct pmt_unit, cdev);
	struct pmt_slave *slave = kzalloc(sizeof(*slave), GFP_KERNEL_ACCOUNT);
	int ret;

	if (!slave)
		return -ENOMEM;
	slave->unit = unit;
	slave->mapping = file->f_mapping;
	mutex_init(&slave->map_lock);
	mutex_lock(&unit->control);
	if (unit->dead)
		ret = -ENODEV;
	else if (unit->slave)
		ret = -EBUSY;
	else
		ret = pmt_slave_store(unit);
	if (!ret) {
		slave->store = unit->store;
		unit->slave = slave;
		file->private_data = slave;
	}
	mutex_unlock(&unit->control);
	if (ret) {
		kfree(slave);
		return ret;
	}
	get_device(&unit->dev);
	return nonseekable_open(inode, file);
}

static int pmt_slave_release(struct inode *inode, struct file *file)
{
	struct pmt_slave *slave = file->private_data;
	struct pmt_unit *unit = slave->unit;

	mutex_lock(&unit->control);
	if (unit->slave == slave) {
		unit->slave = NULL;
		if (slave->attached)
			pmt_server_lost(unit);
		else
			pmt_store_settle(unit);
	}
	mutex_unlock(&unit->control);
	kfree(slave);
	pmt_unit_put(unit);
	return 0;
}

/* ---- mapping ---- */

static struct pmt_area *pmt_slave_area(struct pmt_slave *slave,
				       struct vm_area_struct *vma,
				       unsigned long *pages)
{
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
	unsigned int index = offset >> 32;

	if (index >= PMT_AREAS || (u32)offset)
		return NULL;
	*pages = slave->store->areas[index].count;
	if (index == PMT_AREA_DATA)
		*pages *= 2;
	return &slave->store->areas[index];
}

static vm_fault_t pmt_slave_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct pmt_slave *slave = vma->vm_file->private_data;
	unsigned long from = (vmf->address - vma->vm_start) >> PAGE_SHIFT;
	unsigned long pages, number;
	vm_fault_t ret = VM_FAULT_SIGBUS;
	struct pmt_area *area;
	int err;

	mutex_lock(&slave->map_lock);
	/* What userfaultfd keeps in the place of a page would fault for ever. */
	if (slave->revoked || userfaultfd_armed(vma))
		goto out;
	area = pmt_slave_area(slave, vma, &pages);
	if (!area || from >= pages)
		goto out;
	number = min(pages - from, PMT_FAULT_AROUND - from % PMT_FAULT_AROUND);
	/* Pages behind the first that are there already are nobody's error. */
	err = vm_insert_pages(vma, vmf->address & PAGE_MASK, area->pages + from,
			      &number);
	ret = err && err != -EBUSY ? VM_FAULT_OOM : VM_FAULT_NOPAGE;
out:
	mutex_unlock(&slave->map_lock);
	return ret;
}

/* Parts of an area make no sense, and a copy in a child would be a reference. */
static int pmt_slave_may_split(struct vm_area_struct *vma, unsigned long address)
{
	return -EINVAL;
}

static const struct vm_operations_struct pmt_slave_vm_ops = {
	.fault = pmt_slave_fault,
	.may_split = pmt_slave_may_split,
};

static int pmt_slave_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct pmt_slave *slave = file->private_data;
	vm_flags_t clear = VM_MAYEXEC;
	struct pmt_area *area;
	unsigned long pages;
	int ret = -ENODEV;

	mutex_lock(&slave->map_lock);
	if (slave->revoked)
		goto out;
	ret = -EINVAL;
	area = pmt_slave_area(slave, vma, &pages);
	if (!area || vma_pages(vma) != pages || !(vma->vm_flags & VM_SHARED))
		goto out;
	ret = -EPERM;
	if (vma->vm_flags & VM_EXEC)
		goto out;
	if (area == &slave->store->areas[PMT_AREA_COMMANDS]) {
		if (vma->vm_flags & VM_WRITE)
			goto out;
		clear |= VM_MAYWRITE;
	}
	vm_flags_mod(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP | VM_MIXEDMAP,
		     clear);
	vma->vm_ops = &pmt_slave_vm_ops;
	ret = 0;
out:
	mutex_unlock(&slave->map_lock);
	return ret;
}

/* ---- ioctl and poll ---- */

static bool pmt_limits_valid(const struct pmt_unit *unit,
			     const struct pmt_limits *limits)
{
	return !limits->reserved && limits->record_min &&
	       limits->record_min <= limits->record_max &&
	       limits->record_max <= PMT_RECORD_MAX &&
	       limits->byte_cost <= 1 << 16 &&
	       limits->record_cost <= PMT_RECORD_MAX &&
	       limits->mark_cost <= PMT_RECORD_MAX;
}

static void pmt_unit_limits(struct pmt_unit *unit, const struct pmt_limits *limits)
{
	unit->limits = *limits;
	unit->limits.record_max = min(limits->record_max, unit->data_size);
	unit->limits.record_min = min(limits->record_min, unit->limits.record_max);
}

static void pmt_unit_kept(const struct pmt_unit *unit, const struct pmt_ring *ring,
			  struct pmt_kept *kept)
{
	lockdep_assert_held(&unit->lock);
	kept->first = ring->done;
	kept->tail = ring->tail;
	kept->modes = unit->modes;
	kept->place = unit->place;
	memcpy(kept->medium, unit->medium, sizeof(kept->medium));
	kept->cookie = unit->cookie;
}

static long pmt_slave_info(struct pmt_slave *slave, void __user *arg)
{
	struct pmt_unit *unit = slave->unit;
	struct pmt_info info = {
		.version = PMT_PROTOCOL_VERSION,
		.unit = unit->number,
		.unit_id = unit->id,
		.data_size = unit->data_size,
	};

	mutex_lock(&slave->map_lock);
	if (!slave->revoked) {
		info.slots = slave->store->ring.slots;
		spin_lock(&unit->lock);
		pmt_unit_kept(unit, &slave->store->ring, &info.kept);
		spin_unlock(&unit->lock);
	}
	mutex_unlock(&slave->map_lock);
	if (!info.slots)
		return -ENODEV;
	return copy_to_user(arg, &info, sizeof(info)) ? -EFAULT : 0;
}

/* What the last server left in its page is not this one's. */
static void pmt_unit_serve(struct pmt_unit *unit, struct pmt_attach *attach)
{
	struct pmt_ring *ring = &unit->store->ring;

	lockdep_assert_held(&unit->lock);
	pmt_unit_limits(unit, &attach->limits);
	WRITE_ONCE(ring->server->done, ring->done);
	WRITE_ONCE(ring->server->seen, ring->done);
	WRITE_ONCE(ring->server->cancel_seen, ring->cancel);
	WRITE_ONCE(ring->server->parked, 0);
	ring->rung = false;
	/* The last one may have died while it wrote it. */
	if (READ_ONCE(ring->server->ew.seq) & 1)
		WRITE_ONCE(ring->server->ew.seq, 0);
	unit->room = 0;		/* nothing is buffered before the drives have told */
	unit->stale = true;
	pmt_unit_kept(unit, ring, &attach->kept);
	pmt_unit_enter(unit, PMT_STATE_SERVED);
	pmt_unit_event(unit, PMT_EVENT_SERVER_ATTACHED, 0);
}

static int pmt_slave_serve(struct pmt_slave *slave, struct pmt_attach *attach)
{
	struct pmt_unit *unit = slave->unit;
	struct pid *old = NULL;
	int ret = 0;

	mutex_lock(&unit->control);
	if (unit->slave == slave && slave->attached && attach->flags & PMT_ATTACH_AGAIN)
		pmt_server_leaves(unit);
	if (unit->slave != slave || unit->dead)
		ret = -ENODEV;
	else if (slave->attached && !(attach->flags & PMT_ATTACH_AGAIN))
		ret = -EBUSY;
	else if (READ_ONCE(unit->state) == PMT_STATE_BROKEN)
		ret = -EIO;
	if (!ret) {
		slave->attached = true;
		spin_lock(&unit->lock);
		old = unit->server_pid;
		unit->server_pid = get_pid(task_tgid(current));
		pmt_unit_serve(unit, attach);
		spin_unlock(&unit->lock);
		cancel_delayed_work(&unit->recovery_work);
	}
	mutex_unlock(&unit->control);
	put_pid(old);
	if (!ret)
		wake_up_all(&unit->master_wait);
	return ret;
}

/* It was not told that it serves, so it does not. */
static void pmt_slave_unserve(struct pmt_slave *slave)
{
	struct pmt_unit *unit = slave->unit;

	mutex_lock(&unit->control);
	if (unit->slave == slave) {
		slave->attached = false;
		pmt_server_lost(unit);
	}
	mutex_unlock(&unit->control);
}

static long pmt_slave_attach(struct pmt_slave *slave, void __user *arg)
{
	struct pmt_attach attach;
	int ret;

	if (copy_from_user(&attach, arg, sizeof(attach)))
		return -EFAULT;
	if (attach.version != PMT_PROTOCOL_VERSION)
		return -EPROTONOSUPPORT;
	if (attach.flags & ~PMT_ATTACH_AGAIN || !pmt_limits_valid(slave->unit, &attach.limits))
		return -EINVAL;
	ret = pmt_slave_serve(slave, &attach);
	if (ret)
		return ret;
	if (!copy_to_user(arg, &attach, sizeof(attach)))
		return 0;
	pmt_slave_unserve(slave);
	return -EFAULT;
}

/* Is it the server?  Then with unit->control held, so that it stays so. */
static int pmt_slave_lock(struct pmt_slave *slave)
{
	int ret;

	mutex_lock(&slave->unit->control);
	if (slave->unit->slave == slave && slave->attached)
		return 0;
	ret = slave->attached ? -ENODEV : -EINVAL;
	mutex_unlock(&slave->unit->control);
	return ret;
}

/* Of no harm by one that is not the server any more: no lock that sleeps. */
static long pmt_slave_kick(struct pmt_slave *slave)
{
	struct pmt_unit *unit = slave->unit;

	if (READ_ONCE(slave->revoked))
		return -ENODEV;
	spin_lock(&unit->lock);
	pmt_unit_collect(unit);
	unit->counters.wakes_master++;
	spin_unlock(&unit->lock);
	wake_up_all(&unit->master_wait);
	return 0;
}

static long pmt_slave_limits(struct pmt_slave *slave, void __user *arg)
{
	struct pmt_unit *unit = slave->unit;
	struct pmt_limits limits;
	int ret;

	if (copy_from_user(&limits, arg, sizeof(limits)))
		return -EFAULT;
	if (!pmt_limits_valid(unit, &limits))
		return -EINVAL;
	ret = pmt_slave_lock(slave);
	if (ret)
		return ret;
	spin_lock(&unit->lock);
	pmt_unit_limits(unit, &limits);
	unit->stale = true;
	spin_unlock(&unit->lock);
	mutex_unlock(&unit->control);
	return 0;
}

static long pmt_slave_event(struct pmt_slave *slave, u32 __user *arg)
{
	struct pmt_unit *unit = slave->unit;
	u32 event;
	int ret;

	if (get_user(event, arg))
		return -EFAULT;
	if (event != PMT_EVENT_COPY_FAILED && event != PMT_EVENT_COPY_REJOINED)
		return -EINVAL;
	ret = pmt_slave_lock(slave);
	if (ret)
		return ret;
	spin_lock(&unit->lock);
	pmt_unit_event(unit, event, 0);
	spin_unlock(&unit->lock);
	mutex_unlock(&unit->control);
	return 0;
}

static long pmt_slave_ioctl(struct file *file, unsigned int code, unsigned long arg)
{
	struct pmt_slave *slave = file->private_data;
	void __user *argp = (void __user *)arg;

	if (code != PMT_IOC_INFO && !(file->f_mode & FMODE_WRITE))
		return -EBADF;
	switch (code) {
	case PMT_IOC_INFO:
		return pmt_slave_info(slave, argp);
	case PMT_IOC_ATTACH:
		return pmt_slave_attach(slave, argp);
	case PMT_IOC_KICK:
		return pmt_slave_kick(slave);
	case PMT_IOC_LIMITS:
		return pmt_slave_limits(slave, argp);
	case PMT_IOC_EVENT:
		return pmt_slave_event(slave, argp);
	default:
		return -ENOTTY;
	}
}

static __poll_t pmt_slave_poll(struct file *file, poll_table *wait)
{
	struct pmt_slave *slave = file->private_data;
	struct pmt_unit *unit = slave->unit;
	const struct pmt_ring *ring;
	__poll_t mask = 0;

	poll_wait(file, &unit->server_wait, wait);
	/*
	 * Revoking happens under map_lock; the store is there until then, and who is
	 * told to hang up finds the pages gone.
	 */
	mutex_lock(&slave->map_lock);
	if (slave->revoked || READ_ONCE(unit->dead)) {
		mask = EPOLLHUP | EPOLLERR;
	} else {
		pmt_unit_runs(unit);
		ring = &slave->store->ring;
		if (READ_ONCE(ring->kernel->tail) != READ_ONCE(ring->server->seen) ||
		    READ_ONCE(ring->kernel->cancel) !=
		    READ_ONCE(ring->server->cancel_seen))
			mask = EPOLLIN | EPOLLRDNORM;
	}
	mutex_unlock(&slave->map_lock);
	return mask;
}

const struct file_operations pmt_slave_fops = {
	.owner = THIS_MODULE,
	.open = pmt_slave_open,
	.release = pmt_slave_release,
	.mmap = pmt_slave_mmap,
	.poll = pmt_slave_poll,
	.unlocked_ioctl = pmt_slave_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};
