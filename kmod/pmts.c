// SPDX-License-Identifier: GPL-2.0
/* pmts.ko: units of the pseudo magnetic tape and their slave ends. */
#include <linux/module.h>
#include <net/genetlink.h>

#include "pmt.h"

/* The areas of the slave end lie 4 GiB apart: see PMT_MAP_* of the interface. */
#ifndef CONFIG_64BIT
#error "pmt needs a 64-bit kernel"
#endif

static int __init pmts_init(void)
{
	int ret = pmt_units_init();

	if (ret)
		return ret;
	ret = pmt_netlink_init();
	if (ret)
		pmt_units_exit();
	return ret;
}

/* No new units; the personalities have buried theirs. */
static void __exit pmts_exit(void)
{
	pmt_netlink_exit();
	pmt_units_exit();
}

module_init(pmts_init);
module_exit(pmts_exit);

MODULE_DESCRIPTION("Pseudo magnetic tape: units and slave ends");
MODULE_LICENSE("GPL");
MODULE_ALIAS_GENL_FAMILY("pmt");
