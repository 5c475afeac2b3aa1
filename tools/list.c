// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmt list: a line a unit
 */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>

#include "pmt-tool.h"

static int add(const struct pmt_unit_info *info, void *array)
{
	json_object_array_add(array, info_json(info));
	return 0;
}

static int list_json(struct tool *t)
{
	struct json_object *array = json_object_new_array();
	int err = pmt_unit_list(t->control, add, array);

	if (err == 0)
		print_json(array);
	else
		json_object_put(array);
	return err;
}

struct count_text { char text[24]; };

static struct count_text count_text(uint64_t value)
{
	struct count_text result = { "-" };

	if (value != PMT_UNKNOWN)
		snprintf(result.text, sizeof(result.text), "%" PRIu64, value);
	return result;
}

static int show(const struct pmt_unit_info *info, void *context)
{
	static const char form[] = "%-5s%-11s%-7s%-22s%5s %8s %6s %6s %5s\n";
	unsigned int *n = context;

	if (!(*n)++)
		printf(form, "UNIT", "STATE", "MASTER", "SERVER", "FILE", "BLOCK",
		       "WRITE", "READ", "RING");
	printf(form, count_text(info->unit).text, pmt_state_name(info->state),
	       info->master_open ? "open" : "-", process_text(info->server_pid).text,
	       count_text(info->place.file).text, count_text(info->place.block).text,
	       size_text(info->bytes_written).text, size_text(info->bytes_read).text,
	       size_text(info->data_size).text);
	return 0;
}

int verb_list(struct tool *t)
{
	unsigned int n = 0;
	int err = t->json ? list_json(t) : pmt_unit_list(t->control, show, &n);

	if (err < 0)
		return tool_fail(t, PMT_ANY_UNIT, err);
	if (!n && !t->json)
		puts("There are no units; pmt new makes one.");
	return TOOL_OK;
}
