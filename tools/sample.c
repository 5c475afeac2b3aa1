// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is known of units and copies at one time
 */
#include <errno.h>
#include <json-c/json.h>
#include <string.h>
#include <time.h>

#include "sample.h"

#define RETRIES 5	/* of a list that changed while it was read */

struct taking {
	struct sample *sample;
	unsigned int patience;
};

static struct json_object *child_of(struct json_object *drive, size_t i)
{
	struct json_object *children;

	if (!json_object_object_get_ex(drive, "children", &children) ||
	    !json_object_is_type(children, json_type_array) ||
	    i >= json_object_array_length(children))
		return NULL;
	return json_object_array_get_idx(children, i);
}

static int add_copy(struct sample *s, uint32_t unit, size_t number, struct json_object *top,
		    struct json_object *rejoin)
{
	struct sample_copy *more = realloc(s->copies, (s->n_copies + 1) * sizeof(*more));
	struct json_object *leaf = top, *next;

	if (!more)
		return -ENOMEM;
	s->copies = more;
	while ((next = child_of(leaf, 0)))
		leaf = next;
	s->copies[s->n_copies++] = (struct sample_copy){ unit, number, top, leaf, rejoin };
	return 0;
}

static int add_copies(struct sample *s, uint32_t unit, struct json_object *daemon)
{
	struct json_object *drive, *child;
	const char *kind;
	int rc = 0;

	if (!json_object_object_get_ex(daemon, "drive", &drive) || !drive)
		return 0;
	kind = string_of(drive, "kind");
	if (!kind || strcmp(kind, "mirror"))
		return add_copy(s, unit, 0, drive, NULL);
	for (size_t i = 0; rc == 0 && (child = child_of(drive, i)); i++)
		rc = add_copy(s, unit, i, child, rejoin_of(drive, i));
	return rc;
}

static int add_unit(const struct pmt_unit_info *info, void *context)
{
	struct taking *taking = context;
	struct sample *s = taking->sample;
	struct sample_unit *more = realloc(s->units, (s->n_units + 1) * sizeof(*more));
	struct sample_unit *unit;

	if (!more)
		return -ENOMEM;
	s->units = more;
	unit = &s->units[s->n_units++];
	*unit = (struct sample_unit){
		.info = *info, .err = -ENOENT,
		.master = process_text(info->master_pid),
		.server = process_text(info->server_pid),
	};
	if (info->server_pid)
		unit->err = socket_status(info->unit, taking->patience, &unit->daemon);
	return unit->daemon ? add_copies(s, info->unit, unit->daemon) : 0;
}

static int take_units(struct tool *t, struct taking *taking)
{
	struct pmt_unit_info info;
	int err;

	if (t->unit == PMT_ANY_UNIT)
		return pmt_unit_list(t->control, add_unit, taking);
	err = pmt_unit_get(t->control, t->unit, &info);
	return err < 0 ? err : add_unit(&info, taking);
}

int sample_take(struct tool *t, unsigned int patience, struct sample **result)
{
	int err = -EINTR;

	for (int i = 0; err == -EINTR && i < RETRIES; i++) {
		struct taking taking = { calloc(1, sizeof(struct sample)), patience };
		struct timespec now;

		if (!taking.sample)
			return -ENOMEM;
		clock_gettime(CLOCK_MONOTONIC, &now);
		taking.sample->time = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
		err = take_units(t, &taking);
		if (err < 0)
			sample_free(taking.sample);
		else
			*result = taking.sample;
	}
	return err;
}

void sample_free(struct sample *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_units; i++)
		json_object_put(s->units[i].daemon);
	free(s->units);
	free(s->copies);
	free(s);
}
