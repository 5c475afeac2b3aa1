// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmt status: what the kernel knows of a unit, and what its daemon knows of the
 * copies.  The daemon's answer is a tree of JSON objects, a drive each; plain
 * values that this file has no words for are shown by their keys.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "pmt-tool.h"

static void print_count(const char *name, uint64_t value)
{
	if (value == PMT_UNKNOWN)
		printf("%s not known", name);
	else
		printf("%s %" PRIu64, name, value);
}

static void print_head(const struct pmt_unit_info *info)
{
	printf("unit %u: %s", info->unit, pmt_state_name(info->state));
	if (info->server_pid)
		printf(" by process %s", process_text(info->server_pid).text);
	printf(", master end %s", info->master_open ? "open" : "closed");
	if (info->master_pid)
		printf(" by process %s", process_text(info->master_pid).text);
	putchar('\n');
	printf("  ring       %s, recovery ", size_text(info->data_size).text);
	if (info->recovery == PMT_RECOVERY_FOREVER)
		printf("forever");
	else
		printf("%g s", info->recovery / 1000.0);
	printf(", end of tape as %s\n", pmt_eot_name(info->eot));
}

static void print_medium(const struct pmt_unit_info *info)
{
	if (!(info->medium_flags & PMT_MEDIUM_PRESENT)) {
		printf("  medium     none was seen\n");
		return;
	}
	printf("  medium     present%s%s, load %" PRIu64 "%s\n",
	       info->medium_flags & PMT_MEDIUM_PROTECTED ? ", write protected" : "",
	       info->medium_flags & PMT_MEDIUM_WORM ? ", write once" : "",
	       (uint64_t)info->place.generation,
	       info->early_warning ? ", at early warning" : "");
	printf("  place      ");
	print_count("partition", info->place.partition);
	print_count(", LBN", info->place.lbn);
	print_count(", file", info->place.file);
	print_count(", block", info->place.block);
	putchar('\n');
}

static void print_numbers(const struct pmt_unit_info *info)
{
	printf("  records    %u to %u bytes, ", info->record_min, info->record_max);
	if (info->block_size)
		printf("blocks of %u, ", info->block_size);
	else
		printf("variable, ");
	printf("%s\n  commands   %u wait", info->buffered ? "buffered" : "unbuffered",
	       info->issued - info->done);
	if (info->data_waiting != PMT_UNKNOWN)
		printf(" with %s", size_text(info->data_waiting).text);
	if (info->window == PMT_UNKNOWN)
		printf(", window without bound");
	else
		print_count(", window", info->window);
	print_count(", room", info->room);
	printf("\n  written    %s in %" PRIu64 " records\n", size_text(info->bytes_written).text,
	       info->records_written);
	printf("  read       %s in %" PRIu64 " records\n", size_text(info->bytes_read).text,
	       info->records_read);
	printf("  wake-ups   %" PRIu64 " of the server, %" PRIu64 " of the master end\n",
	       info->wakes_server, info->wakes_master);
}

/* Keys that have a place of their own in the text, or none. */
static bool is_shown(const char *key)
{
	static const char *const keys[] = {
		"spec", "kind", "state", "present", "generation", "partition", "lbn", "file",
		"block", "records", "bytes", "marks", "records_read", "bytes_read",
		"early_warning", "ew_lbn", "room", "error",
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!strcmp(key, keys[i]))
			return true;
	return false;
}

static bool is_plain(struct json_object *value)
{
	return value && !json_object_is_type(value, json_type_object) &&
	       !json_object_is_type(value, json_type_array);
}

static void print_drive_head(struct json_object *drive, int indent)
{
	const char *spec = string_of(drive, "spec"), *state = string_of(drive, "state");
	struct json_object *flag;

	printf("%*s%s", indent, "", spec ? spec : "a drive");
	if (state)
		printf(": %s", state);
	if (json_object_object_get_ex(drive, "present", &flag) && !json_object_get_boolean(flag))
		printf(", no medium");
	if (json_object_object_get_ex(drive, "early_warning", &flag) &&
	    json_object_get_boolean(flag))
		printf(", at early warning");
	json_object_object_foreach(drive, key, value)
		if (is_plain(value) && !is_shown(key))
			printf(", %s %s", key, json_object_get_string(value));
	putchar('\n');
	if (string_of(drive, "error"))
		printf("%*serror: %s\n", indent + 2, "", string_of(drive, "error"));
}

static void print_drive_place(struct json_object *drive, int indent)
{
	static const struct { const char *key, *name; } parts[] = {
		{ "lbn", "LBN" }, { "file", "file" }, { "block", "block" },
	};
	uint64_t number, bytes;
	const char *comma = "";

	printf("%*s", indent, "");
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (number_of(drive, parts[i].key, &number)) {
			printf("%s%s %" PRIu64, comma, parts[i].name, number);
			comma = ", ";
		}
	if (number_of(drive, "records", &number) && number_of(drive, "bytes", &bytes))
		printf("%swritten %s in %" PRIu64 " records", comma, size_text(bytes).text, number);
	if (number_of(drive, "records_read", &number) && number && number_of(drive, "bytes_read", &bytes))
		printf(", read %s in %" PRIu64, size_text(bytes).text, number);
	if (number_of(drive, "room", &number))
		printf(", room %s", size_text(number).text);
	putchar('\n');
}

static void print_rejoin(struct json_object *drive, int indent)
{
	struct json_object *rejoin;
	uint64_t copy = 0, lbn = 0, of = 0, rate = 0, left;

	if (!json_object_object_get_ex(drive, "rejoin", &rejoin))
		return;
	number_of(rejoin, "copy", &copy);
	number_of(rejoin, "lbn", &lbn);
	number_of(rejoin, "of", &of);
	number_of(rejoin, "rate", &rate);
	printf("%*scopy %" PRIu64 " rejoins: %s, %" PRIu64 " of %" PRIu64 " blocks, %s/s",
	       indent, "", copy, string_of(rejoin, "state"), lbn, of, size_text(rate).text);
	if (number_of(rejoin, "seconds_left", &left))
		printf(", %" PRIu64 " s left", left);
	if (string_of(rejoin, "reason"))
		printf(": %s", string_of(rejoin, "reason"));
	putchar('\n');
}

static void print_bad(struct json_object *drive, int indent)
{
	struct json_object *list = NULL;
	uint64_t count = 0, lbn;

	if (!number_of(drive, "bad_blocks", &count) || !count)
		return;
	printf("%*sbad blocks %" PRIu64 ":", indent, "", count);
	json_object_object_get_ex(drive, "bad_at", &list);
	for (size_t i = 0; list && i < json_object_array_length(list); i++)
		if (number_of(json_object_array_get_idx(list, i), "lbn", &lbn))
			printf("%s %" PRIu64, i ? "," : "", lbn);
	puts("; pmt rejoin writes the copy anew");
}

static void print_drive(struct json_object *drive, int indent)
{
	struct json_object *children;
	uint64_t number;

	if (!json_object_is_type(drive, json_type_object))
		return;
	print_drive_head(drive, indent);
	if (number_of(drive, "lbn", &number) || number_of(drive, "records", &number))
		print_drive_place(drive, indent + 2);
	print_rejoin(drive, indent + 2);
	print_bad(drive, indent + 2);
	if (!json_object_object_get_ex(drive, "children", &children) ||
	    !json_object_is_type(children, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(children); i++)
		print_drive(json_object_array_get_idx(children, i), indent + 2);
}

static void print_daemon(const struct pmt_unit_info *info, struct json_object *status, int err)
{
	struct json_object *drive;

	if (!info->server_pid)
		return;
	if (err == -ENOENT || err == -ECONNREFUSED)
		printf("  drives     not known: the server has no control socket in %s\n",
		       socket_folder());
	else if (err < 0)
		printf("  drives     not known: %s\n", err == -ETIMEDOUT ?
		       "the server does not answer" : strerror(-err));
	else if (json_object_object_get_ex(status, "drive", &drive) && drive) {
		const char *name = string_of(status, "daemon"), *since = string_of(status, "started");

		printf("  drives     of %s, started %s\n", name ? name : "the server",
		       since ? since : "at a time not known");
		print_drive(drive, 4);
	} else {
		printf("  drives     not known: the server does not say\n");
	}
}

struct statuses {
	struct json_object *array;	/* with --json */
	unsigned int n;
};

static int show(const struct pmt_unit_info *info, void *context)
{
	struct json_object *status = NULL, *object;
	struct statuses *s = context;
	int err = info->server_pid ? socket_status(info->unit, SOCKET_PATIENCE, &status) : -ENOENT;

	if (s->array) {
		object = info_json(info);
		json_object_object_add(object, "daemon", status);
		json_object_array_add(s->array, object);
		return 0;
	}
	if (s->n++)
		putchar('\n');
	print_head(info);
	print_medium(info);
	print_numbers(info);
	print_daemon(info, status, err);
	json_object_put(status);
	return 0;
}

static int show_one(struct tool *t, struct statuses *s)
{
	struct pmt_unit_info info;
	int err = pmt_unit_get(t->control, t->unit, &info);

	return err < 0 ? err : show(&info, s);
}

int verb_status(struct tool *t)
{
	struct statuses s = { .array = t->json ? json_object_new_array() : NULL };
	int err = t->unit == PMT_ANY_UNIT ? pmt_unit_list(t->control, show, &s) :
					    show_one(t, &s);

	if (err < 0) {
		json_object_put(s.array);
		return tool_fail(t, t->unit, err);
	}
	if (s.array)
		print_json(s.array);
	else if (!s.n)
		puts("There are no units; pmt new makes one.");
	return TOOL_OK;
}
