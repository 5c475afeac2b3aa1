// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmt metrics: units and copies as OpenMetrics text
 *
 * All samples of a family stand together there, so everything is asked first (struct
 * metrics), and then written a family at a time, of two tables.  Types are those that
 * the older format of Prometheus has, too, as node_exporter reads that.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "pmt-tool.h"

struct unit {
	struct pmt_unit_info info;
	struct json_object *daemon;	/* its answer, or NULL */
};

struct copy {
	uint32_t unit;
	size_t number;
	struct json_object *top, *leaf;	/* of its drives; the unit's */
};

struct metrics {
	struct unit *units;
	size_t n_units;
	struct copy *copies;
	size_t n_copies;
};

/* ---- asking ---- */

static struct json_object *child_of(struct json_object *drive, size_t i)
{
	struct json_object *children;

	if (!json_object_object_get_ex(drive, "children", &children) ||
	    !json_object_is_type(children, json_type_array) ||
	    i >= json_object_array_length(children))
		return NULL;
	return json_object_array_get_idx(children, i);
}

static int add_copy(struct metrics *m, uint32_t unit, size_t number, struct json_object *top)
{
	struct copy *more = realloc(m->copies, (m->n_copies + 1) * sizeof(*more));
	struct json_object *leaf = top, *next;

	if (!more)
		return -ENOMEM;
	m->copies = more;
	while ((next = child_of(leaf, 0)))
		leaf = next;
	m->copies[m->n_copies++] = (struct copy){ unit, number, top, leaf };
	return 0;
}

static int add_copies(struct metrics *m, uint32_t unit, struct json_object *daemon)
{
	struct json_object *drive, *child;
	const char *kind;
	int rc = 0;

	if (!json_object_object_get_ex(daemon, "drive", &drive) || !drive)
		return 0;
	kind = string_of(drive, "kind");
	if (!kind || strcmp(kind, "mirror"))
		return add_copy(m, unit, 0, drive);
	for (size_t i = 0; rc == 0 && (child = child_of(drive, i)); i++)
		rc = add_copy(m, unit, i, child);
	return rc;
}

static int add_unit(const struct pmt_unit_info *info, void *context)
{
	struct metrics *m = context;
	struct unit *more = realloc(m->units, (m->n_units + 1) * sizeof(*more));
	struct unit *unit;

	if (!more)
		return -ENOMEM;
	m->units = more;
	unit = &m->units[m->n_units++];
	*unit = (struct unit){ .info = *info };
	if (info->server_pid)
		socket_status(info->unit, &unit->daemon);
	return unit->daemon ? add_copies(m, info->unit, unit->daemon) : 0;
}

/* ---- writing ---- */

static const char *suffix(const char *type)
{
	return strcmp(type, "counter") ? "" : "_total";
}

static void write_head(const char *name, const char *type, const char *unit, const char *help)
{
	printf("# TYPE %s %s\n", name, type);
	if (*unit)
		printf("# UNIT %s %s\n", name, unit);
	printf("# HELP %s %s\n", name, help);
}

static void write_label(const char *name, const char *value)
{
	printf("%s=\"", name);
	for (; *value; value++) {
		if (*value == '\n')
			fputs("\\n", stdout);
		else if (*value == '"' || *value == '\\')
			printf("\\%c", *value);
		else
			putchar(*value);
	}
	putchar('"');
}

static void write_value(uint64_t value)
{
	printf("} %" PRIu64 "\n", value);
}

/* ---- of units ---- */

#define OF(field) offsetof(struct pmt_unit_info, field), sizeof(((struct pmt_unit_info *)0)->field)

static const struct {
	const char *name, *type, *unit, *help;
	size_t offset, size;
} unit_families[] = {
	{ "pmt_unit_master_open", "gauge", "", "A program has the tape open.", OF(master_open) },
	{ "pmt_unit_early_warning", "gauge", "", "The tape is at early warning.",
	  OF(early_warning) },
	{ "pmt_unit_ring_bytes", "gauge", "bytes", "Size of the ring.", OF(data_size) },
	{ "pmt_unit_lbn", "gauge", "", "Block number that the tape is at.", OF(place.lbn) },
	{ "pmt_unit_file", "gauge", "", "File that the tape is at.", OF(place.file) },
	{ "pmt_unit_load", "gauge", "", "Loads of the unit so far.", OF(place.generation) },
	{ "pmt_unit_written_bytes", "counter", "bytes", "Written by programs.",
	  OF(bytes_written) },
	{ "pmt_unit_written_records", "counter", "", "Records written by programs.",
	  OF(records_written) },
	{ "pmt_unit_read_bytes", "counter", "bytes", "Read by programs.", OF(bytes_read) },
	{ "pmt_unit_read_records", "counter", "", "Records read by programs.",
	  OF(records_read) },
	{ "pmt_unit_server_wakes", "counter", "", "How often the server was woken.",
	  OF(wakes_server) },
	{ "pmt_unit_master_wakes", "counter", "", "How often a program was woken.",
	  OF(wakes_master) },
};

static uint64_t number_at(const struct pmt_unit_info *info, size_t offset, size_t size)
{
	const char *at = (const char *)info + offset;
	uint64_t value64;
	uint32_t value32;

	if (size == 1)
		return *at != 0;
	if (size == sizeof(value32))
		return memcpy(&value32, at, size), value32;
	return memcpy(&value64, at, size), value64;
}

static void write_sample(const char *name, const char *type, uint32_t unit)
{
	printf("%s%s{unit=\"%u\"", name, suffix(type), unit);
}

static void write_unit_family(const struct metrics *m, size_t family)
{
	const char *name = unit_families[family].name, *type = unit_families[family].type;

	write_head(name, type, unit_families[family].unit, unit_families[family].help);
	for (size_t i = 0; i < m->n_units; i++) {
		uint64_t value = number_at(&m->units[i].info, unit_families[family].offset,
					   unit_families[family].size);

		if (value == PMT_UNKNOWN)
			continue;
		write_sample(name, type, m->units[i].info.unit);
		write_value(value);
	}
}

static void write_states(const struct metrics *m)
{
	static const enum pmt_state states[] = { PMT_STATE_UNSERVED, PMT_STATE_SERVED,
						 PMT_STATE_RECOVERING, PMT_STATE_BROKEN };

	write_head("pmt_unit_state", "gauge", "", "1 for the state of the unit, 0 for others.");
	for (size_t i = 0; i < m->n_units; i++)
		for (size_t k = 0; k < sizeof(states) / sizeof(states[0]); k++) {
			write_sample("pmt_unit_state", "gauge", m->units[i].info.unit);
			putchar(',');
			write_label("state", pmt_state_name(states[k]));
			write_value(m->units[i].info.state == states[k]);
		}
	write_head("pmt_unit_waiting_commands", "gauge", "", "Commands that wait for the server.");
	for (size_t i = 0; i < m->n_units; i++) {
		write_sample("pmt_unit_waiting_commands", "gauge", m->units[i].info.unit);
		write_value(m->units[i].info.issued - m->units[i].info.done);
	}
	write_head("pmt_unit_server_answers", "gauge", "", "The server tells of its copies.");
	for (size_t i = 0; i < m->n_units; i++) {
		write_sample("pmt_unit_server_answers", "gauge", m->units[i].info.unit);
		write_value(m->units[i].daemon != NULL);
	}
}

/* ---- of copies ---- */

static const struct {
	const char *name, *type, *unit, *help, *key;
} copy_families[] = {
	{ "pmt_copy_lbn", "gauge", "", "Block number that it is at.", "lbn" },
	{ "pmt_copy_file", "gauge", "", "File that it is at.", "file" },
	{ "pmt_copy_present", "gauge", "", "A medium is in the drive.", "present" },
	{ "pmt_copy_early_warning", "gauge", "", "It is at early warning.", "early_warning" },
	{ "pmt_copy_written_bytes", "counter", "bytes", "Written since it was loaded.", "bytes" },
	{ "pmt_copy_written_records", "counter", "", "Records written since it was loaded.",
	  "records" },
	{ "pmt_copy_written_marks", "counter", "", "Filemarks written since it was loaded.",
	  "marks" },
	{ "pmt_copy_read_bytes", "counter", "bytes", "Read since it was loaded.", "bytes_read" },
	{ "pmt_copy_read_records", "counter", "", "Records read since it was loaded.",
	  "records_read" },
};

static void write_copy(const struct copy *copy, const char *name, const char *type)
{
	const char *spec = string_of(copy->top, "spec");

	write_sample(name, type, copy->unit);
	printf(",copy=\"%zu\",", copy->number);
	write_label("drive", spec ? spec : "?");
}

static bool value_of(struct json_object *object, const char *key, uint64_t *value)
{
	struct json_object *flag;

	if (number_of(object, key, value))
		return true;
	if (!json_object_object_get_ex(object, key, &flag) ||
	    !json_object_is_type(flag, json_type_boolean))
		return false;
	*value = json_object_get_boolean(flag);
	return true;
}

static void write_copy_family(const struct metrics *m, size_t family)
{
	const char *name = copy_families[family].name, *type = copy_families[family].type;
	uint64_t value;

	write_head(name, type, copy_families[family].unit, copy_families[family].help);
	for (size_t i = 0; i < m->n_copies; i++)
		if (value_of(m->copies[i].leaf, copy_families[family].key, &value)) {
			write_copy(&m->copies[i], name, type);
			write_value(value);
		}
}

static void write_copy_states(const struct metrics *m)
{
	write_head("pmt_copy_failed", "gauge", "", "It was dropped, and is no copy any more.");
	for (size_t i = 0; i < m->n_copies; i++) {
		const char *state = string_of(m->copies[i].top, "state");

		write_copy(&m->copies[i], "pmt_copy_failed", "gauge");
		write_value(state && !strcmp(state, "failed"));
	}
	write_head("pmt_copy_error", "gauge", "", "Its drive has met an error since it was opened.");
	for (size_t i = 0; i < m->n_copies; i++) {
		write_copy(&m->copies[i], "pmt_copy_error", "gauge");
		write_value(string_of(m->copies[i].leaf, "error") != NULL);
	}
}

static void write_all(const struct metrics *m)
{
	write_states(m);
	for (size_t i = 0; i < sizeof(unit_families) / sizeof(unit_families[0]); i++)
		write_unit_family(m, i);
	write_copy_states(m);
	for (size_t i = 0; i < sizeof(copy_families) / sizeof(copy_families[0]); i++)
		write_copy_family(m, i);
	puts("# EOF");
}

int verb_metrics(struct tool *t)
{
	struct metrics m = { .units = NULL };
	struct pmt_unit_info info;
	int err;

	if (t->unit == PMT_ANY_UNIT) {
		err = pmt_unit_list(t->control, add_unit, &m);
	} else {
		err = pmt_unit_get(t->control, t->unit, &info);
		if (err == 0)
			err = add_unit(&info, &m);
	}
	if (err == 0)
		write_all(&m);
	for (size_t i = 0; i < m.n_units; i++)
		json_object_put(m.units[i].daemon);
	free(m.units);
	free(m.copies);
	return err < 0 ? tool_fail(t, t->unit, err) : TOOL_OK;
}
