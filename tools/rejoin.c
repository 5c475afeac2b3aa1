// SPDX-License-Identifier: GPL-2.0-or-later
/* pmt rejoin: bring a copy back that its server has dropped. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "pmt-tool.h"

static void print_begun(const struct tool *t, unsigned long copy, bool at_unload)
{
	struct json_object *object;

	if (t->json) {
		object = json_object_new_object();
		add_number_json(object, "unit", t->unit);
		add_number_json(object, "copy", copy);
		json_object_object_add(object, "at_unload", json_object_new_boolean(at_unload));
		print_json(object);
	} else if (at_unload) {
		printf("unit %u: copy %lu counts from the next unload on: no good copy can be read "
		       "while it is written\n", t->unit, copy);
	}
}

int verb_rejoin(struct tool *t)
{
	_cleanup_free_ char *refusal = NULL;
	_cleanup_close_ int fd = -1;
	char *end;
	unsigned long copy = strtoul(t->words[0], &end, 10);
	int err;

	if (*end || !copy || copy > 1000) {
		fprintf(stderr, "pmt: COPY is a number, as pmt status shows them, not '%s'\n",
			t->words[0]);
		return TOOL_USAGE;
	}
	fd = socket_connect(t->unit);
	err = fd < 0 ? fd : socket_rejoin(fd, (int)copy, t->words[1], &refusal);
	if (err >= 0) {
		print_begun(t, copy, err == 1);
		return TOOL_OK;
	}
	fprintf(stderr, "pmt: unit %u: %s\n", t->unit, refusal ? refusal : socket_trouble(err));
	return TOOL_FAILED;
}
