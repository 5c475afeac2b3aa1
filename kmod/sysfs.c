// SPDX-License-Identifier: GPL-2.0
/*
 * What a node shows in sysfs: st's attributes by st's names, and st's stats/.
 *
 * The numbers are read while the tape is in use: each by itself, none of them
 * together.
 */
#include <linux/ktime.h>
#include <linux/sysfs.h>

#include "pmtm.h"

static struct pmtm_node *pmtm_node_of(struct device *dev)
{
	return container_of(dev, struct pmtm_node, dev);
}

static const struct pmtm_mode *pmtm_definition_of(struct device *dev)
{
	struct pmtm_node *node = pmtm_node_of(dev);

	return &node->tape->definitions[node->mode];
}

/* ---- options ---- */

static ssize_t defined_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", pmtm_shown(pmtm_definition_of(dev)->defined));
}
static DEVICE_ATTR_RO(defined);

static ssize_t default_blksize_show(struct device *dev, struct device_attribute *attr,
				    char *buf)
{
	return sysfs_emit(buf, "%d\n", pmtm_shown(pmtm_definition_of(dev)->block_size));
}
static DEVICE_ATTR_RO(default_blksize);

static ssize_t default_density_show(struct device *dev, struct device_attribute *attr,
				    char *buf)
{
	int density = pmtm_shown(pmtm_definition_of(dev)->density);

	return sysfs_emit(buf, density < 0 ? "%d\n" : "0x%02x\n", density);
}
static DEVICE_ATTR_RO(default_density);

static ssize_t default_compression_show(struct device *dev,
					struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", pmtm_shown(pmtm_definition_of(dev)->compression));
}
static DEVICE_ATTR_RO(default_compression);

static ssize_t options_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct pmtm_node *node = pmtm_node_of(dev);

	return sysfs_emit(buf, "0x%08x\n", pmtm_options_shown(node->tape, node->mode));
}
static DEVICE_ATTR_RO(options);

/* st has no newline here, nor in stats/. */
static ssize_t position_lost_in_reset_show(struct device *dev,
					   struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d", pmtm_shown(pmtm_node_of(dev)->tape->lost));
}
static DEVICE_ATTR_RO(position_lost_in_reset);

static struct attribute *pmtm_attributes[] = {
	&dev_attr_defined.attr,
	&dev_attr_default_blksize.attr,
	&dev_attr_default_density.attr,
	&dev_attr_default_compression.attr,
	&dev_attr_options.attr,
	&dev_attr_position_lost_in_reset.attr,
	NULL,
};

static const struct attribute_group pmtm_options_group = {
	.attrs = pmtm_attributes,
};

/* ---- stats/ ---- */

#define PMTM_STAT(name, member)							\
static ssize_t name##_show(struct device *dev, struct device_attribute *attr,	\
			   char *buf)						\
{										\
	return sysfs_emit(buf, "%lld", (long long)				\
			  atomic64_read(&pmtm_node_of(dev)->tape->stats.member)); \
}										\
static DEVICE_ATTR_RO(name)

PMTM_STAT(read_cnt, reads);
PMTM_STAT(read_byte_cnt, read_bytes);
PMTM_STAT(read_ns, read_ns);
PMTM_STAT(write_cnt, writes);
PMTM_STAT(write_byte_cnt, write_bytes);
PMTM_STAT(write_ns, write_ns);
PMTM_STAT(other_cnt, others);
PMTM_STAT(resid_cnt, residues);
PMTM_STAT(io_ns, io_ns);

static ssize_t in_flight_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d",
			  atomic_read(&pmtm_node_of(dev)->tape->stats.in_flight));
}
static DEVICE_ATTR_RO(in_flight);

static struct attribute *pmtm_stats_attributes[] = {
	&dev_attr_in_flight.attr,
	&dev_attr_io_ns.attr,
	&dev_attr_other_cnt.attr,
	&dev_attr_read_byte_cnt.attr,
	&dev_attr_read_cnt.attr,
	&dev_attr_read_ns.attr,
	&dev_attr_resid_cnt.attr,
	&dev_attr_write_byte_cnt.attr,
	&dev_attr_write_cnt.attr,
	&dev_attr_write_ns.attr,
	NULL,
};

static const struct attribute_group pmtm_stats_group = {
	.name = "stats",
	.attrs = pmtm_stats_attributes,
};

const struct attribute_group *pmtm_node_groups[] = {
	&pmtm_options_group,
	&pmtm_stats_group,
	NULL,
};

/* ---- counting ---- */

/* Bytes that were moved.  A residue below 0 is a record that was longer. */
static u64 pmtm_bytes(const struct pmt_command *cmd, const struct pmt_result *res)
{
	u64 size = cmd->block_size ?: 1;

	return res->residue > 0 ? cmd->length - res->residue * size : cmd->length;
}

/* A command is done, and was wanted. */
void pmtm_account(struct pmtm_tape *tape, const struct pmt_command *cmd,
		  const struct pmt_result *res)
{
	struct pmtm_stats *stats = &tape->stats;

	if (res->status == PMT_STATUS_CANCELLED)
		return;
	if (res->residue > 0 && (cmd->op == PMT_OP_READ || cmd->op == PMT_OP_WRITE))
		atomic64_inc(&stats->residues);
	switch (cmd->op) {
	case PMT_OP_READ:
		atomic64_inc(&stats->reads);
		atomic64_add(pmtm_bytes(cmd, res), &stats->read_bytes);
		break;
	case PMT_OP_WRITE:
		atomic64_inc(&stats->writes);
		atomic64_add(pmtm_bytes(cmd, res), &stats->write_bytes);
		break;
	default:
		atomic64_inc(&stats->others);
	}
}

/* A program has waited since then. */
void pmtm_waited(struct pmtm_tape *tape, atomic64_t *ns, u64 since)
{
	u64 time = ktime_get_ns() - since;

	atomic64_add(time, &tape->stats.io_ns);
	if (ns)
		atomic64_add(time, ns);
}
