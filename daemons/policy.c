// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The policy of a mirror, as it is written in options and in files
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "config.h"

static int take_min(struct policy *p, conf_log log, const char *value)
{
	char *end;

	p->min = strtoul(value, &end, 10);
	if (*value >= '0' && *value <= '9' && !*end && p->min && p->min < 1000)
		return 0;
	log(LOG_ERR, "min %s: wanted is a number of copies, 1 or more", value);
	return -EINVAL;
}

static int take_word(const char **to, conf_log log, const char *key, const char *value,
		     const char *one, const char *other)
{
	if (strcmp(value, one) && strcmp(value, other)) {
		log(LOG_ERR, "%s %s: wanted is %s or %s", key, value, one, other);
		return -EINVAL;
	}
	*to = value;
	return 0;
}

int policy_take(struct policy *p, conf_log log, const char *key, const char *value)
{
	if (strcmp(key, "min") == 0)
		return take_min(p, log, value);
	if (strcmp(key, "policy") == 0)
		return take_word(&p->policy, log, key, value, "all", "degrade");
	if (strcmp(key, "twins") == 0)
		return take_word(&p->twins, log, key, value, "same", "any");
	if (strcmp(key, "verify") == 0)
		return take_word(&p->verify, log, key, value, "yes", "no");
	return -ENOENT;
}

const char *policy_check(const struct policy *p, size_t n_drives)
{
	if (n_drives == 0)
		return "which drives? One SPEC or more, see pmt-drives(7)";
	if (n_drives == 1 && (p->policy || p->min))
		return "--policy and --min are for two SPECs or more";
	if (n_drives == 1 && (p->twins || p->verify))
		return "--twins and --verify are for two SPECs or more";
	if (p->min && (!p->policy || strcmp(p->policy, "degrade")))
		return "--min is for --policy degrade";
	if (p->min > n_drives)
		return "--min asks for more copies than there are SPECs";
	return NULL;
}
