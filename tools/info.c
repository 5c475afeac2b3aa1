// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is known of a unit, as JSON, and the small texts of the tables
 */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "pmt-tool.h"

struct json_object *number_json(uint64_t value)
{
	return value == PMT_UNKNOWN ? NULL : json_object_new_uint64(value);
}

void add_number_json(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, number_json(value));
}

static void add_bool(struct json_object *object, const char *key, bool value)
{
	json_object_object_add(object, key, json_object_new_boolean(value));
}

static void add_string(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, json_object_new_string(value));
}

void add_place_json(struct json_object *object, const struct pmt_place *place)
{
	add_number_json(object, "generation", place->generation);
	add_number_json(object, "partition", place->partition);
	add_number_json(object, "lbn", place->lbn);
	add_number_json(object, "file", place->file);
	add_number_json(object, "block", place->block);
}

static struct json_object *place_json(const struct pmt_place *place)
{
	struct json_object *object = json_object_new_object();

	add_place_json(object, place);
	return object;
}

static void add_pid(struct json_object *object, const char *key, uint32_t pid)
{
	add_number_json(object, key, pid ? pid : PMT_UNKNOWN);
}

static struct json_object *medium_json(uint8_t flags)
{
	struct json_object *object = json_object_new_object();

	add_bool(object, "present", flags & PMT_MEDIUM_PRESENT);
	add_bool(object, "protected", flags & PMT_MEDIUM_PROTECTED);
	add_bool(object, "worm", flags & PMT_MEDIUM_WORM);
	return object;
}

static void add_counts(struct json_object *object, const struct pmt_unit_info *info)
{
	add_number_json(object, "bytes_written", info->bytes_written);
	add_number_json(object, "records_written", info->records_written);
	add_number_json(object, "bytes_read", info->bytes_read);
	add_number_json(object, "records_read", info->records_read);
	add_number_json(object, "wakes_server", info->wakes_server);
	add_number_json(object, "wakes_master", info->wakes_master);
}

struct json_object *info_json(const struct pmt_unit_info *info)
{
	struct json_object *object = json_object_new_object();
	char id[24];

	snprintf(id, sizeof(id), "%016llx", (unsigned long long)info->unit_id);
	add_number_json(object, "unit", info->unit);
	add_string(object, "unit_id", id);
	add_string(object, "state", pmt_state_name(info->state));
	add_bool(object, "master_open", info->master_open);
	add_pid(object, "master_pid", info->master_pid);
	add_pid(object, "server_pid", info->server_pid);
	add_number_json(object, "ring", info->data_size);
	add_number_json(object, "recovery_ms", info->recovery == PMT_RECOVERY_FOREVER ?
		   PMT_UNKNOWN : info->recovery);
	add_string(object, "eot", pmt_eot_name(info->eot));
	json_object_object_add(object, "place", place_json(&info->place));
	json_object_object_add(object, "medium", medium_json(info->medium_flags));
	add_bool(object, "early_warning", info->early_warning);
	add_number_json(object, "issued", info->issued);
	add_number_json(object, "done", info->done);
	add_number_json(object, "waiting", info->issued - info->done);
	add_number_json(object, "data_waiting", info->data_waiting);
	add_number_json(object, "record_min", info->record_min);
	add_number_json(object, "record_max", info->record_max);
	add_number_json(object, "block_size", info->block_size);
	add_number_json(object, "buffered", info->buffered);
	add_number_json(object, "window", info->window);
	add_number_json(object, "room", info->room);
	add_counts(object, info);
	return object;
}

const char *string_of(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) &&
	       json_object_is_type(value, json_type_string) ?
	       json_object_get_string(value) : NULL;
}

bool number_of(struct json_object *object, const char *key, uint64_t *number)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, json_type_int))
		return false;
	*number = json_object_get_uint64(value);
	return true;
}

struct json_object *rejoin_of(struct json_object *mirror, size_t number)
{
	struct json_object *rejoin;
	const char *state;
	uint64_t copy;

	if (!json_object_object_get_ex(mirror, "rejoin", &rejoin) ||
	    !number_of(rejoin, "copy", &copy) || copy != number + 1)
		return NULL;
	state = string_of(rejoin, "state");
	return state && strcmp(state, "done") && strcmp(state, "failed") ? rejoin : NULL;
}

void print_json(struct json_object *object)
{
	puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	fflush(stdout);
	json_object_put(object);
}

struct size_text size_text(uint64_t bytes)
{
	static const char units[] = " KMGTPE";
	struct size_text result;
	double value = bytes;
	int i = 0;

	for (; value >= 1024 && units[i + 1]; i++)
		value /= 1024;
	if (i == 0)
		snprintf(result.text, sizeof(result.text), "%u", (unsigned int)bytes);
	else
		snprintf(result.text, sizeof(result.text), "%.*f%c",
			 value < 10 && value != (int)value, value, units[i]);
	return result;
}

struct process_text process_text(uint32_t pid)
{
	struct process_text result = { "-" };
	char path[32], name[20] = "";
	FILE *file;

	if (!pid)
		return result;
	snprintf(path, sizeof(path), "/proc/%u/comm", pid);
	file = fopen(path, "re");
	if (file && fgets(name, sizeof(name), file))
		name[strcspn(name, "\n")] = '\0';
	if (file)
		fclose(file);
	snprintf(result.text, sizeof(result.text), *name ? "%u (%s)" : "%u", pid, name);
	return result;
}
