// SPDX-License-Identifier: GPL-2.0
/*
 * pmtm.ko: the personality "tape", and the nodes of the master ends.
 *
 * Minor numbers are laid out as st's: bits 0-4 and 8-19 the unit, 5-6 the mode,
 * 7 no rewind.  Programs that know tapes by st's major number, names and class
 * (mt's display of options, stinit) find ours there with as_st; st itself can
 * not be loaded then.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/major.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "compat.h"
#include "pmtm.h"

static unsigned int units;
module_param(units, uint, 0444);
MODULE_PARM_DESC(units, "units to make at loading");

static bool as_st;
module_param(as_st, bool, 0444);
MODULE_PARM_DESC(as_st, "nodes with st's names, numbers and class; st must not be loaded");

static bool debug_flag;
module_param(debug_flag, bool, 0444);
MODULE_PARM_DESC(debug_flag, "new units tell the exceptions that their drives meet");

static struct class *pmtm_st_class;

static dev_t pmtm_devt;
static DECLARE_WAIT_QUEUE_HEAD(pmtm_tapes_gone);
static unsigned int pmtm_tapes;			/* pmtm_tapes_gone.lock */

#define PMTM_MINORS	(PMT_UNITS_MAX << 3)

static unsigned int pmtm_minor(u32 number, unsigned int mode, bool rewind)
{
	return (number & 0x1f) | (number & ~0x1fu) << 3 | mode << 5 |
	       (rewind ? 0 : 1 << 7);
}

static void pmtm_tape_release(struct kref *kref)
{
	struct pmtm_tape *tape = container_of(kref, struct pmtm_tape, kref);

	put_device(&tape->unit->dev);
	kvfree(tape->rest.bytes);
	kfree(tape);
	/* Under the queue's lock: pmtm_wait_gone takes it after the last one. */
	spin_lock(&pmtm_tapes_gone.lock);
	WRITE_ONCE(pmtm_tapes, pmtm_tapes - 1);
	if (!pmtm_tapes)
		wake_up_locked(&pmtm_tapes_gone);
	spin_unlock(&pmtm_tapes_gone.lock);
}

static void pmtm_wait_gone(void)
{
	wait_event(pmtm_tapes_gone, !READ_ONCE(pmtm_tapes));
	spin_lock(&pmtm_tapes_gone.lock);
	spin_unlock(&pmtm_tapes_gone.lock);
}

void pmtm_tape_put(struct pmtm_tape *tape)
{
	kref_put(&tape->kref, pmtm_tape_release);
}

static void pmtm_node_release(struct device *dev)
{
	struct pmtm_node *node = container_of(dev, struct pmtm_node, dev);

	pmtm_tape_put(node->tape);
}

static int pmtm_node_name(struct pmtm_node *node, u32 number)
{
	static const char * const suffixes[PMTM_MODES] = { "", "l", "m", "a" };

	return dev_set_name(&node->dev, "%s%s%u%s", node->rewind ? "" : "n",
			    as_st ? "st" : "pmtm", number, suffixes[node->mode]);
}

/* The node's device holds the tape from here on, whatever is returned. */
static int pmtm_node_add(struct pmtm_tape *tape, unsigned int index)
{
	struct pmtm_node *node = &tape->nodes[index];
	u32 number = tape->unit->number;
	int ret;

	kref_get(&tape->kref);
	node->tape = tape;
	node->mode = index / 2;
	node->rewind = index % 2 == 0;
	device_initialize(&node->dev);
	device_set_pm_not_required(&node->dev);	/* nothing of it sleeps: no files for that */
	node->dev.class = as_st ? pmtm_st_class : pmt_class;
	node->dev.parent = &tape->unit->dev;
	node->dev.groups = pmtm_node_groups;
	node->dev.release = pmtm_node_release;
	node->dev.devt = pmtm_devt + pmtm_minor(number, node->mode, node->rewind);
	cdev_init(&node->cdev, &pmtm_fops);
	node->cdev.owner = THIS_MODULE;
	ret = pmtm_node_name(node, number);
	if (!ret)
		ret = cdev_device_add(&node->cdev, &node->dev);
	if (ret)
		put_device(&node->dev);
	return ret;
}

static void pmtm_node_remove(struct pmtm_node *node)
{
	cdev_device_del(&node->cdev, &node->dev);
	put_device(&node->dev);
}

static struct pmtm_tape *pmtm_tape_new(struct pmt_unit *unit)
{
	struct pmtm_tape *tape = kzalloc(sizeof(*tape), GFP_KERNEL_ACCOUNT);

	if (!tape)
		return NULL;
	kref_init(&tape->kref);
	init_waitqueue_head(&tape->wait);
	tape->unit = unit;
	get_device(&unit->dev);
	spin_lock(&pmtm_tapes_gone.lock);
	WRITE_ONCE(pmtm_tapes, pmtm_tapes + 1);
	spin_unlock(&pmtm_tapes_gone.lock);
	tape->file = -1;
	tape->block = -1;
	tape->ready = PMTM_NOT_READY;
	tape->place.generation = unit->place.generation;
	tape->place.lbn = PMT_UNKNOWN;
	tape->place.file = PMT_UNKNOWN;
	tape->place.block = PMT_UNKNOWN;
	pmtm_options_init(tape);
	if (debug_flag)
		tape->options |= MT_ST_DEBUGGING;
	return tape;
}

static void pmtm_nodes_remove(struct pmtm_tape *tape, unsigned int count)
{
	while (count)
		pmtm_node_remove(&tape->nodes[--count]);
}

static void *pmtm_attach(struct pmt_unit *unit)
{
	struct pmtm_tape *tape = pmtm_tape_new(unit);
	unsigned int i;
	int ret;

	if (!tape)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < PMTM_NODES; i++) {
		ret = pmtm_node_add(tape, i);
		if (ret) {
			pmtm_nodes_remove(tape, i);
			pmtm_tape_put(tape);
			return ERR_PTR(ret);
		}
	}
	return tape;
}

static void pmtm_detach(void *master)
{
	struct pmtm_tape *tape = master;

	pmtm_nodes_remove(tape, PMTM_NODES);
	pmtm_tape_put(tape);
}

/* Nobody has the tape open: what failed is for the next one to be told. */
static void pmtm_reap_all(void *master)
{
	struct pmtm_tape *tape = master;

	tape->holding = false;
	pmtm_reap(tape);
}

static struct pmt_personality pmtm_personality = {
	.name = "tape",
	.owner = THIS_MODULE,
	.attach = pmtm_attach,
	.detach = pmtm_detach,
	.reap = pmtm_reap_all,
};

static int __init pmtm_take_names(void)
{
	int ret;

	if (!as_st)
		return alloc_chrdev_region(&pmtm_devt, 0, PMTM_MINORS, "pmtm");
	pmtm_devt = MKDEV(SCSI_TAPE_MAJOR, 0);
	ret = register_chrdev_region(pmtm_devt, PMTM_MINORS, "pmtm");
	if (!ret) {
		pmtm_st_class = pmt_class_create("scsi_tape");
		ret = PTR_ERR_OR_ZERO(pmtm_st_class);
		if (ret)
			unregister_chrdev_region(pmtm_devt, PMTM_MINORS);
	}
	if (ret)
		pr_err("as_st: the names of st are taken; unload st first\n");
	return ret;
}

static void pmtm_give_names_back(void)
{
	if (as_st)
		class_destroy(pmtm_st_class);
	unregister_chrdev_region(pmtm_devt, PMTM_MINORS);
}

static int __init pmtm_init(void)
{
	int ret;

	if (units > PMT_UNITS_MAX)
		return -EINVAL;
	ret = pmtm_take_names();
	if (ret)
		return ret;
	ret = pmt_personality_register(&pmtm_personality);
	if (ret) {
		pmtm_give_names_back();
		return ret;
	}
	/* Nodes may be open by now: what could not be made is no reason to fail. */
	if (pmt_personality_units(&pmtm_personality, units))
		pr_warn("not all of %u units could be made\n", units);
	return 0;
}

static void __exit pmtm_exit(void)
{
	pmt_personality_unregister(&pmtm_personality);
	pmtm_wait_gone();
	pmtm_give_names_back();
}

module_init(pmtm_init);
module_exit(pmtm_exit);

MODULE_DESCRIPTION("Pseudo magnetic tape: master ends that look like st");
MODULE_LICENSE("GPL");
MODULE_ALIAS("pmt-personality-tape");
