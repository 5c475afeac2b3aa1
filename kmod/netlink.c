// SPDX-License-Identifier: GPL-2.0
/*
 * The control plane: generic netlink family "pmt".
 *
 * Commands run in parallel and never wait for a server.  All need
 * CAP_SYS_ADMIN in the initial user namespace, checked against the opener of
 * the socket.  Anybody may listen to events, which is why they carry numbers.
 */
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <net/genetlink.h>

#include "pmt.h"

#define PMT_EVENTS_MAX	1024U	/* that wait to be told */

static struct genl_family pmt_genl;
static struct sk_buff_head pmt_events;
static atomic_t pmt_events_lost;

/* Not const: 6.1's policies want it so. */
static struct netlink_range_validation pmt_range_data_size = {
	.min = PMT_DATA_SIZE_MIN,
	.max = PMT_DATA_SIZE_MAX,
};

static const struct nla_policy pmt_policy[PMT_A_MAX + 1] = {
	[PMT_A_UNIT] = { .type = NLA_U32 },
	[PMT_A_DATA_SIZE] = NLA_POLICY_FULL_RANGE(NLA_U32, &pmt_range_data_size),
	[PMT_A_RECOVERY] = { .type = NLA_U32 },
	[PMT_A_EOT] = NLA_POLICY_MAX(NLA_U8, PMT_EOT_MAX),
	[PMT_A_PERSONALITY] = { .type = NLA_NUL_STRING, .len = 31 },
};

/* ---- answers ---- */

static int pmt_put_place(struct sk_buff *skb, const struct pmt_place *place)
{
	return nla_put_u64_64bit(skb, PMT_A_GENERATION, place->generation, PMT_A_PAD) ||
	       nla_put_u32(skb, PMT_A_PARTITION, place->partition) ||
	       nla_put_u64_64bit(skb, PMT_A_LBN, place->lbn, PMT_A_PAD) ||
	       nla_put_u64_64bit(skb, PMT_A_FILE, place->file, PMT_A_PAD) ||
	       nla_put_u64_64bit(skb, PMT_A_BLOCK, place->block, PMT_A_PAD);
}

static int pmt_put_counters(struct sk_buff *skb, const struct pmt_counters *count)
{
	return nla_put_u64_64bit(skb, PMT_A_BYTES_WRITTEN, count->bytes_written,
				 PMT_A_PAD) ||
	       nla_put_u64_64bit(skb, PMT_A_RECORDS_WRITTEN, count->records_written,
				 PMT_A_PAD) ||
	       nla_put_u64_64bit(skb, PMT_A_BYTES_READ, count->bytes_read,
				 PMT_A_PAD) ||
	       nla_put_u64_64bit(skb, PMT_A_RECORDS_READ, count->records_read,
				 PMT_A_PAD) ||
	       nla_put_u64_64bit(skb, PMT_A_WAKES_SERVER, count->wakes_server,
				 PMT_A_PAD) ||
	       nla_put_u64_64bit(skb, PMT_A_WAKES_MASTER, count->wakes_master,
				 PMT_A_PAD);
}

static int pmt_put_limits(struct sk_buff *skb, const struct pmt_limits *limits)
{
	return nla_put_u32(skb, PMT_A_RECORD_MIN, limits->record_min) ||
	       nla_put_u32(skb, PMT_A_RECORD_MAX, limits->record_max) ||
	       nla_put_u64_64bit(skb, PMT_A_WINDOW, limits->window, PMT_A_PAD);
}

static int pmt_put_numbers(struct sk_buff *skb, const struct pmt_unit *unit)
{
	const struct pmt_ring *ring = unit->store ? &unit->store->ring : NULL;

	return nla_put_u32(skb, PMT_A_ISSUED, ring ? ring->tail : unit->first) ||
	       nla_put_u32(skb, PMT_A_DONE, ring ? ring->done : unit->first) ||
	       nla_put_u32(skb, PMT_A_DATA_WAITING, ring ? pmt_ring_waiting(ring) : 0) ||
	       nla_put_u8(skb, PMT_A_EARLY_WARNING,
			  ring && pmt_ring_early_warning(ring, &unit->place));
}

/* Whoever has the ends, as the reader sees them. */
static int pmt_put_holders(struct sk_buff *skb, const struct pmt_unit *unit)
{
	struct pid_namespace *ns = task_active_pid_ns(current);
	bool served = unit->state == PMT_STATE_SERVED;

	return nla_put_u8(skb, PMT_A_MASTER_OPEN, READ_ONCE(unit->master_open)) ||
	       nla_put_u32(skb, PMT_A_MASTER_PID, pid_nr_ns(unit->master_pid, ns)) ||
	       nla_put_u32(skb, PMT_A_SERVER_PID,
			   served ? pid_nr_ns(unit->server_pid, ns) : 0);
}

static int pmt_put_unit(struct sk_buff *skb, struct pmt_unit *unit)
{
	int ret;

	spin_lock(&unit->lock);
	pmt_unit_collect(unit);
	ret = nla_put_u32(skb, PMT_A_UNIT, unit->number) ||
	      nla_put_u64_64bit(skb, PMT_A_UNIT_ID, unit->id, PMT_A_PAD) ||
	      nla_put_u32(skb, PMT_A_DATA_SIZE, unit->data_size) ||
	      nla_put_u32(skb, PMT_A_RECOVERY, unit->recovery) ||
	      nla_put_u8(skb, PMT_A_EOT, unit->eot) ||
	      nla_put_u8(skb, PMT_A_STATE, unit->state) ||
	      pmt_put_holders(skb, unit) ||
	      nla_put_u64_64bit(skb, PMT_A_ROOM, unit->room, PMT_A_PAD) ||
	      nla_put_u8(skb, PMT_A_MEDIUM_FLAGS, unit->medium_flags) ||
	      nla_put_u32(skb, PMT_A_BLOCK_SIZE, unit->modes.block_size) ||
	      nla_put_u8(skb, PMT_A_BUFFERED, unit->modes.buffered) ||
	      nla_put_string(skb, PMT_A_PERSONALITY, unit->personality_name) ||
	      pmt_put_place(skb, &unit->place) ||
	      pmt_put_limits(skb, &unit->limits) ||
	      pmt_put_numbers(skb, unit) ||
	      pmt_put_counters(skb, &unit->counters);
	spin_unlock(&unit->lock);
	return ret ? -EMSGSIZE : 0;
}

static int pmt_put_message(struct sk_buff *skb, u32 portid, u32 seq, int flags,
			   struct pmt_unit *unit)
{
	void *head = genlmsg_put(skb, portid, seq, &pmt_genl, flags, PMT_NL_GET);

	if (!head)
		return -EMSGSIZE;
	if (pmt_put_unit(skb, unit)) {
		genlmsg_cancel(skb, head);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, head);
	return 0;
}

static struct sk_buff *pmt_reply_new(void)
{
	return genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
}

static int pmt_reply(struct sk_buff *skb, struct genl_info *info, struct pmt_unit *unit)
{
	if (pmt_put_message(skb, info->snd_portid, info->snd_seq, 0, unit)) {
		nlmsg_free(skb);
		return -EMSGSIZE;
	}
	return genlmsg_reply(skb, info);
}

static void pmt_events_tell(struct work_struct *work)
{
	struct sk_buff *skb;

	while ((skb = skb_dequeue(&pmt_events)))
		genlmsg_multicast(&pmt_genl, skb, 0, 0, GFP_KERNEL);
	if (atomic_xchg(&pmt_events_lost, 0))
		genl_set_err(&pmt_genl, &init_net, 0, 0, -ENOBUFS);
}

static DECLARE_WORK(pmt_events_work, pmt_events_tell);

/* NULL: it is lost, and all who listen will know that something was. */
static struct sk_buff *pmt_event_new(void)
{
	struct sk_buff *skb = NULL;

	if (skb_queue_len_lockless(&pmt_events) < PMT_EVENTS_MAX)
		skb = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_ATOMIC);
	if (!skb) {
		atomic_set(&pmt_events_lost, 1);
		schedule_work(&pmt_events_work);
	}
	return skb;
}

/*
 * Under the unit's lock, so it is only queued: anybody may listen, and each who does
 * takes time, with filters of his own.  Who is too slow loses events.
 */
void pmt_netlink_event(struct pmt_unit *unit, enum pmt_event event, u8 key)
{
	struct sk_buff *skb;
	void *head;

	if (!genl_has_listeners(&pmt_genl, &init_net, 0))
		return;
	skb = pmt_event_new();
	if (!skb)
		return;
	head = genlmsg_put(skb, 0, 0, &pmt_genl, 0, PMT_NL_EVENT);
	if (!head || nla_put_u32(skb, PMT_A_UNIT, unit->number) ||
	    nla_put_u8(skb, PMT_A_EVENT, event) ||
	    (event == PMT_EVENT_ERROR && nla_put_u8(skb, PMT_A_KEY, key)) ||
	    pmt_put_place(skb, &unit->place)) {
		nlmsg_free(skb);
		return;
	}
	genlmsg_end(skb, head);
	skb_queue_tail(&pmt_events, skb);
	schedule_work(&pmt_events_work);
}

/* ---- commands ---- */

static int pmt_may(struct sk_buff *skb, struct netlink_ext_ack *extack)
{
	if (netlink_capable(skb, CAP_SYS_ADMIN))
		return 0;
	NL_SET_ERR_MSG(extack, "needs CAP_SYS_ADMIN");
	return -EPERM;
}

/* The unit that the message names, or an ERR_PTR; to be put. */
static struct pmt_unit *pmt_unit_of(struct sk_buff *skb, struct genl_info *info)
{
	struct pmt_unit *unit;
	int ret = pmt_may(skb, info->extack);

	if (ret)
		return ERR_PTR(ret);
	if (!info->attrs[PMT_A_UNIT]) {
		NL_SET_ERR_MSG(info->extack, "the unit's number is missing");
		return ERR_PTR(-EINVAL);
	}
	unit = pmt_unit_find(nla_get_u32(info->attrs[PMT_A_UNIT]));
	if (unit)
		return unit;
	NL_SET_ERR_MSG(info->extack, "no such unit");
	return ERR_PTR(-ENOENT);
}

static int pmt_data_size(struct genl_info *info, u32 *size)
{
	struct nlattr *attr = info->attrs[PMT_A_DATA_SIZE];

	*size = attr ? nla_get_u32(attr) : PMT_DATA_SIZE_DEFAULT;
	if (!(*size & (*size - 1)))
		return 0;
	NL_SET_ERR_MSG_ATTR(info->extack, attr, "the ring's size is not a power of two");
	return -EINVAL;
}

static int pmt_new_error(struct netlink_ext_ack *extack, int error)
{
	switch (error) {
	case -EEXIST:
		NL_SET_ERR_MSG(extack, "a unit of this number exists");
		break;
	case -ENOSPC:
		NL_SET_ERR_MSG(extack, "all 4096 units are there already");
		break;
	case -ERANGE:
		NL_SET_ERR_MSG(extack, "unit numbers end at 4095");
		break;
	case -ENOPKG:
		NL_SET_ERR_MSG(extack, "no such personality: is pmtm installed?");
		break;
	}
	return error;
}

static int pmt_doit_new(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr **attrs = info->attrs;
	u32 number = attrs[PMT_A_UNIT] ? nla_get_u32(attrs[PMT_A_UNIT]) : U32_MAX;
	u32 recovery = attrs[PMT_A_RECOVERY] ? nla_get_u32(attrs[PMT_A_RECOVERY]) :
					       PMT_RECOVERY_DEFAULT;
	u8 eot = attrs[PMT_A_EOT] ? nla_get_u8(attrs[PMT_A_EOT]) : PMT_EOT_ST;
	const char *personality = attrs[PMT_A_PERSONALITY] ?
				  nla_data(attrs[PMT_A_PERSONALITY]) : "tape";
	struct pmt_unit *unit;
	struct sk_buff *reply;
	u32 size;
	int ret;

	ret = pmt_may(skb, info->extack);
	if (!ret)
		ret = pmt_data_size(info, &size);
	if (ret)
		return ret;
	if (attrs[PMT_A_UNIT] && number >= PMT_UNITS_MAX)
		return pmt_new_error(info->extack, -ERANGE);
	/* First: who is told that it failed has no unit. */
	reply = pmt_reply_new();
	if (!reply)
		return -ENOMEM;
	unit = pmt_unit_new(personality, number, size, recovery, eot);
	if (IS_ERR(unit)) {
		nlmsg_free(reply);
		return pmt_new_error(info->extack, PTR_ERR(unit));
	}
	ret = pmt_reply(reply, info, unit);
	pmt_unit_put(unit);
	return ret;
}

static int pmt_doit_delete(struct sk_buff *skb, struct genl_info *info)
{
	struct pmt_unit *unit = pmt_unit_of(skb, info);
	int ret;

	if (IS_ERR(unit))
		return PTR_ERR(unit);
	ret = pmt_unit_delete(unit);
	if (ret == -EBUSY)
		NL_SET_ERR_MSG(info->extack,
			       "the unit is open, or commands wait for a server");
	pmt_unit_put(unit);
	return ret;
}

static int pmt_doit_get(struct sk_buff *skb, struct genl_info *info)
{
	struct pmt_unit *unit = pmt_unit_of(skb, info);
	struct sk_buff *reply;
	int ret = -ENOMEM;

	if (IS_ERR(unit))
		return PTR_ERR(unit);
	reply = pmt_reply_new();
	if (reply)
		ret = pmt_reply(reply, info, unit);
	pmt_unit_put(unit);
	return ret;
}

static int pmt_dump_get(struct sk_buff *skb, struct netlink_callback *cb)
{
	u32 number = cb->args[0];
	struct pmt_unit *unit;
	int ret;

	ret = pmt_may(cb->skb, cb->extack);
	if (ret)
		return ret;
	while ((unit = pmt_unit_next(number))) {
		ret = pmt_put_message(skb, NETLINK_CB(cb->skb).portid,
				      cb->nlh->nlmsg_seq, NLM_F_MULTI, unit);
		number = unit->number + !ret;
		pmt_unit_put(unit);
		if (ret)
			break;
	}
	cb->args[0] = number;
	return skb->len;
}

static int pmt_doit_set(struct sk_buff *skb, struct genl_info *info)
{
	struct nlattr *recovery = info->attrs[PMT_A_RECOVERY];
	struct nlattr *eot = info->attrs[PMT_A_EOT];
	struct pmt_unit *unit = pmt_unit_of(skb, info);

	if (IS_ERR(unit))
		return PTR_ERR(unit);
	pmt_unit_set(unit, recovery ? nla_data(recovery) : NULL,
		     eot ? nla_data(eot) : NULL);
	pmt_unit_put(unit);
	return 0;
}

static int pmt_doit_abort(struct sk_buff *skb, struct genl_info *info)
{
	struct pmt_unit *unit = pmt_unit_of(skb, info);

	if (IS_ERR(unit))
		return PTR_ERR(unit);
	pmt_unit_abort(unit);
	pmt_unit_put(unit);
	return 0;
}

static int pmt_doit_detach(struct sk_buff *skb, struct genl_info *info)
{
	struct pmt_unit *unit = pmt_unit_of(skb, info);

	if (IS_ERR(unit))
		return PTR_ERR(unit);
	pmt_unit_detach(unit);
	pmt_unit_put(unit);
	return 0;
}

static const struct genl_small_ops pmt_genl_ops[] = {
	{ .cmd = PMT_NL_NEW, .doit = pmt_doit_new },
	{ .cmd = PMT_NL_DEL, .doit = pmt_doit_delete },
	{ .cmd = PMT_NL_GET, .doit = pmt_doit_get, .dumpit = pmt_dump_get },
	{ .cmd = PMT_NL_SET, .doit = pmt_doit_set },
	{ .cmd = PMT_NL_ABORT, .doit = pmt_doit_abort },
	{ .cmd = PMT_NL_DETACH, .doit = pmt_doit_detach },
};

static const struct genl_multicast_group pmt_genl_groups[] = {
	{ .name = PMT_GENL_GROUP_EVENTS },
};

static struct genl_family pmt_genl __ro_after_init = {
	.name = PMT_GENL_NAME,
	.version = PMT_GENL_VERSION,
	.maxattr = PMT_A_MAX,
	.policy = pmt_policy,
	.module = THIS_MODULE,
	.parallel_ops = true,
	.small_ops = pmt_genl_ops,
	.n_small_ops = ARRAY_SIZE(pmt_genl_ops),
	.mcgrps = pmt_genl_groups,
	.n_mcgrps = ARRAY_SIZE(pmt_genl_groups),
};

int pmt_netlink_init(void)
{
	skb_queue_head_init(&pmt_events);
	return genl_register_family(&pmt_genl);
}

/* No unit is left that could have something to tell. */
void pmt_netlink_exit(void)
{
	flush_work(&pmt_events_work);
	genl_unregister_family(&pmt_genl);
}
