// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmt metrics: units and copies as OpenMetrics text
 *
 * All samples of a family stand together there, so everything is asked first, and then
 * written a family at a time, of two tables.  Types are those that
 * the older format of Prometheus has, too, as node_exporter reads that.
 */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "sample.h"

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
	{ "pmt_unit_waiting_bytes", "gauge", "bytes", "In the ring, of commands that wait.",
	  OF(data_waiting) },
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

static void write_unit_family(const struct sample *s, size_t family)
{
	const char *name = unit_families[family].name, *type = unit_families[family].type;

	write_head(name, type, unit_families[family].unit, unit_families[family].help);
	for (size_t i = 0; i < s->n_units; i++) {
		uint64_t value = number_at(&s->units[i].info, unit_families[family].offset,
					   unit_families[family].size);

		if (value == PMT_UNKNOWN)
			continue;
		write_sample(name, type, s->units[i].info.unit);
		write_value(value);
	}
}

static void write_states(const struct sample *s)
{
	static const enum pmt_state states[] = { PMT_STATE_UNSERVED, PMT_STATE_SERVED,
						 PMT_STATE_RECOVERING, PMT_STATE_BROKEN };

	write_head("pmt_unit_state", "gauge", "", "1 for the state of the unit, 0 for others.");
	for (size_t i = 0; i < s->n_units; i++)
		for (size_t k = 0; k < sizeof(states) / sizeof(states[0]); k++) {
			write_sample("pmt_unit_state", "gauge", s->units[i].info.unit);
			putchar(',');
			write_label("state", pmt_state_name(states[k]));
			write_value(s->units[i].info.state == states[k]);
		}
	write_head("pmt_unit_waiting_commands", "gauge", "", "Commands that wait for the server.");
	for (size_t i = 0; i < s->n_units; i++) {
		write_sample("pmt_unit_waiting_commands", "gauge", s->units[i].info.unit);
		write_value(s->units[i].info.issued - s->units[i].info.done);
	}
	write_head("pmt_unit_server_answers", "gauge", "", "The server tells of its copies.");
	for (size_t i = 0; i < s->n_units; i++) {
		write_sample("pmt_unit_server_answers", "gauge", s->units[i].info.unit);
		write_value(s->units[i].daemon != NULL);
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
	{ "pmt_copy_room", "gauge", "", "Cost that is left before early warning.", "room" },
	{ "pmt_copy_written_bytes", "counter", "bytes", "Written since it was loaded.", "bytes" },
	{ "pmt_copy_written_records", "counter", "", "Records written since it was loaded.",
	  "records" },
	{ "pmt_copy_written_marks", "counter", "", "Filemarks written since it was loaded.",
	  "marks" },
	{ "pmt_copy_read_bytes", "counter", "bytes", "Read since it was loaded.", "bytes_read" },
	{ "pmt_copy_read_records", "counter", "", "Records read since it was loaded.",
	  "records_read" },
};

static void write_copy(const struct sample_copy *copy, const char *name, const char *type)
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

static void write_copy_family(const struct sample *s, size_t family)
{
	const char *name = copy_families[family].name, *type = copy_families[family].type;
	uint64_t value;

	write_head(name, type, copy_families[family].unit, copy_families[family].help);
	for (size_t i = 0; i < s->n_copies; i++)
		if (value_of(s->copies[i].leaf, copy_families[family].key, &value)) {
			write_copy(&s->copies[i], name, type);
			write_value(value);
		}
}

static void write_copy_states(const struct sample *s)
{
	write_head("pmt_copy_failed", "gauge", "", "It was dropped, and is no copy any more.");
	for (size_t i = 0; i < s->n_copies; i++) {
		const char *state = string_of(s->copies[i].top, "state");

		write_copy(&s->copies[i], "pmt_copy_failed", "gauge");
		write_value(state && !strcmp(state, "failed"));
	}
	write_head("pmt_copy_bad_blocks", "gauge", "", "Blocks that it could not read.");
	for (size_t i = 0; i < s->n_copies; i++) {
		uint64_t value;

		if (!number_of(s->copies[i].top, "bad_blocks", &value))
			continue;
		write_copy(&s->copies[i], "pmt_copy_bad_blocks", "gauge");
		write_value(value);
	}
	write_head("pmt_copy_error", "gauge", "", "Its drive has met an error since it was opened.");
	for (size_t i = 0; i < s->n_copies; i++) {
		write_copy(&s->copies[i], "pmt_copy_error", "gauge");
		write_value(string_of(s->copies[i].leaf, "error") != NULL);
	}
}

static void write_all(const struct sample *s)
{
	write_states(s);
	for (size_t i = 0; i < sizeof(unit_families) / sizeof(unit_families[0]); i++)
		write_unit_family(s, i);
	write_copy_states(s);
	for (size_t i = 0; i < sizeof(copy_families) / sizeof(copy_families[0]); i++)
		write_copy_family(s, i);
	puts("# EOF");
}

int verb_metrics(struct tool *t)
{
	struct sample *sample;
	int err = sample_take(t, SOCKET_PATIENCE, &sample);

	if (err < 0)
		return tool_fail(t, t->unit, err);
	write_all(sample);
	sample_free(sample);
	return TOOL_OK;
}
