// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmt new: make a unit and say what its nodes are called
 */
#include <json-c/json.h>
#include <stdio.h>

#include "pmt-tool.h"

static struct json_object *node_json(const char *kind, uint32_t unit)
{
	char node[32];

	snprintf(node, sizeof(node), "/dev/%s%u", kind, unit);
	return json_object_new_string(node);
}

static void show_json(uint32_t unit)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "unit", json_object_new_int64(unit));
	json_object_object_add(object, "master", node_json("pmtm", unit));
	json_object_object_add(object, "master_norewind", node_json("npmtm", unit));
	json_object_object_add(object, "slave", node_json("pmts", unit));
	print_json(object);
}

int verb_new(struct tool *t)
{
	uint32_t unit;
	int err = pmt_unit_new(t->control, &t->config, &unit);

	if (err < 0)
		return tool_fail(t, t->unit, err);
	if (t->json)
		show_json(unit);
	else
		printf("unit %u: /dev/pmtm%u /dev/npmtm%u, served through /dev/pmts%u\n",
		       unit, unit, unit, unit);
	return TOOL_OK;
}
