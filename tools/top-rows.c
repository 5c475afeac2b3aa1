// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmt top, all but the screen: what two samples say, a row a unit and a row a copy
 */
#include <ctype.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "top.h"

/* Names of files and processes may have anything in them. */
static void clean(char *text)
{
	for (; *text; text++)
		if (iscntrl((unsigned char)*text))
			*text = '?';
}

__attribute__((format(printf, 2, 3)))
static void say(struct top_row *row, const char *format, ...)
{
	size_t used = strlen(row->detail);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(row->detail + used, sizeof(row->detail) - used, format, arguments);
	va_end(arguments);
	clean(row->detail);
}

static uint64_t number_or_unknown(struct json_object *object, const char *key)
{
	uint64_t number;

	return number_of(object, key, &number) ? number : PMT_UNKNOWN;
}

static bool is_true(struct json_object *object, const char *key)
{
	struct json_object *flag;

	return json_object_object_get_ex(object, key, &flag) && json_object_get_boolean(flag);
}

/* A counter that went back began anew. */
static double rate(uint64_t before, uint64_t now, double seconds)
{
	if (before == PMT_UNKNOWN || now == PMT_UNKNOWN || seconds <= 0)
		return -1;
	return (double)(now < before ? now : now - before) / seconds;
}

static const struct sample_unit *find_unit(const struct sample *s, const struct pmt_unit_info *as)
{
	for (size_t i = 0; s && i < s->n_units; i++)
		if (s->units[i].info.unit == as->unit && s->units[i].info.unit_id == as->unit_id)
			return &s->units[i];
	return NULL;
}

static const struct sample_copy *find_copy(const struct sample *s, const struct sample_copy *as)
{
	const char *spec = string_of(as->top, "spec");

	for (size_t i = 0; s && i < s->n_copies; i++) {
		const char *other = string_of(s->copies[i].top, "spec");

		if (s->copies[i].unit == as->unit && s->copies[i].number == as->number &&
		    spec && other && !strcmp(spec, other))
			return &s->copies[i];
	}
	return NULL;
}

static struct top_row unit_row(const struct sample_unit *now, const struct sample_unit *before,
			       double seconds)
{
	const struct pmt_unit_info *info = &now->info;
	struct top_row row = {
		.unit = info->unit, .ring = -1, .written = -1, .read = -1,
		.lbn = info->place.lbn, .file = info->place.file, .room = info->room,
		.early_warning = info->early_warning,
		.bad = info->state == PMT_STATE_RECOVERING || info->state == PMT_STATE_BROKEN,
	};

	snprintf(row.state, sizeof(row.state), "%s", pmt_state_name(info->state));
	if (info->data_size && info->data_waiting != PMT_UNKNOWN)
		row.ring = (double)info->data_waiting / info->data_size;
	if (before) {
		row.written = rate(before->info.bytes_written, info->bytes_written, seconds);
		row.read = rate(before->info.bytes_read, info->bytes_read, seconds);
	}
	say(&row, "%s > %s", info->master_open && !info->master_pid ? "open" : now->master.text,
	    now->server.text);
	if (info->server_pid && !now->daemon)
		say(&row, ", which does not tell of its copies");
	return row;
}

/* It was dropped, and somebody has done something. */
static void say_rejoins(struct top_row *row, struct json_object *rejoin)
{
	uint64_t lbn = 0, of = 0;

	number_of(rejoin, "lbn", &lbn);
	number_of(rejoin, "of", &of);
	row->bad = false;
	snprintf(row->state, sizeof(row->state), "rejoins");
	say(row, "%s, %" PRIu64 " of %" PRIu64 " blocks: ", string_of(rejoin, "state"), lbn, of);
}

static struct top_row copy_row(const struct sample_copy *now, const struct sample_copy *before,
			       double seconds)
{
	const char *spec = string_of(now->top, "spec"), *state = string_of(now->top, "state");
	const char *error = string_of(now->leaf, "error"), *reason = string_of(now->top, "reason");
	bool empty = json_object_object_get_ex(now->leaf, "present", NULL) &&
		     !is_true(now->leaf, "present");
	struct top_row row = {
		.unit = now->unit, .copy = (unsigned int)now->number + 1,
		.ring = -1, .written = -1, .read = -1,
		.lbn = number_or_unknown(now->leaf, "lbn"),
		.file = number_or_unknown(now->leaf, "file"),
		.room = number_or_unknown(now->leaf, "room"),
		.early_warning = is_true(now->leaf, "early_warning"),
		.bad = error || (state && strcmp(state, "ok")),
	};

	if (!state || !strcmp(state, "ok"))
		state = error ? "error" : empty ? "no medium" : "ok";
	snprintf(row.state, sizeof(row.state), "%s", state);
	clean(row.state);
	if (before) {
		row.written = rate(number_or_unknown(before->leaf, "bytes"),
				   number_or_unknown(now->leaf, "bytes"), seconds);
		row.read = rate(number_or_unknown(before->leaf, "bytes_read"),
				number_or_unknown(now->leaf, "bytes_read"), seconds);
	}
	if (now->rejoin)
		say_rejoins(&row, now->rejoin);
	else if (reason || error)
		say(&row, "%s: ", reason ? reason : error);
	say(&row, "%s", spec ? spec : "?");
	return row;
}

struct entry {
	const struct sample_unit *unit;
	double rate;
};

static int compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->rate != y->rate)
		return x->rate < y->rate ? 1 : -1;
	return x->unit->info.unit < y->unit->info.unit ? -1 : 1;
}

static struct entry *in_order(const struct sample *before, const struct sample *now,
			      enum top_order order, double seconds)
{
	struct entry *entries = calloc(now->n_units + 1, sizeof(*entries));

	for (size_t i = 0; entries && i < now->n_units; i++) {
		const struct sample_unit *unit = &now->units[i], *old = find_unit(before, &unit->info);
		struct top_row row = unit_row(unit, old, seconds);

		entries[i].unit = unit;
		if (order == TOP_BY_RATE)
			entries[i].rate = row.written + row.read;
	}
	if (entries)
		qsort(entries, now->n_units, sizeof(*entries), compare);
	return entries;
}

struct top_row *top_rows(const struct sample *before, const struct sample *now,
			 enum top_order order, size_t *n)
{
	double seconds = before ? now->time - before->time : 0;
	struct top_row *rows = calloc(now->n_units + now->n_copies + 1, sizeof(*rows));
	_cleanup_free_ struct entry *entries = in_order(before, now, order, seconds);

	*n = 0;
	if (!rows || !entries) {
		free(rows);
		return NULL;
	}
	for (size_t i = 0; i < now->n_units; i++) {
		const struct sample_unit *unit = entries[i].unit, *old = find_unit(before, &unit->info);

		rows[(*n)++] = unit_row(unit, old, seconds);
		for (size_t k = 0; k < now->n_copies; k++)
			if (now->copies[k].unit == unit->info.unit)
				rows[(*n)++] = copy_row(&now->copies[k],
					old ? find_copy(before, &now->copies[k]) : NULL, seconds);
	}
	return rows;
}

/* ---- as text ---- */

static struct size_text rate_text(double rate)
{
	struct size_text none = { "-" };

	return rate < 0 ? none : size_text((uint64_t)rate);
}

static struct size_text count_text(uint64_t count)
{
	struct size_text result = { "-" };

	if (count != PMT_UNKNOWN)
		snprintf(result.text, sizeof(result.text), "%" PRIu64, count);
	return result;
}

static struct size_text ring_text(double fill)
{
	struct size_text result = { "-" };

	/* Nothing and something are told apart, and full and nearly full. */
	if (fill > 0 && fill < 0.01)
		snprintf(result.text, sizeof(result.text), "<1%%");
	else if (fill >= 0)
		snprintf(result.text, sizeof(result.text), "%u%%", (unsigned int)(fill * 100));
	return result;
}

struct top_text top_text(const struct top_row *row)
{
	static const char form[] = "%-4s %-10s %4s %7s %7s %9s %5s %6s  %s";
	struct top_text line;
	char name[16];

	if (!row) {
		snprintf(line.text, sizeof(line.text), form, "UNIT", "STATE", "RING", "WRITE/s",
			 "READ/s", "LBN", "FILE", "TO EW", "WHO OR WHERE");
		return line;
	}
	snprintf(name, sizeof(name), row->copy ? "  %u" : "%u", row->copy ? row->copy : row->unit);
	snprintf(line.text, sizeof(line.text), form, name, row->state,
		 row->copy ? "" : ring_text(row->ring).text,
		 rate_text(row->written).text, rate_text(row->read).text,
		 count_text(row->lbn).text, count_text(row->file).text,
		 row->early_warning ? "EW" : row->room == PMT_UNKNOWN ? "-" :
		 size_text(row->room).text, row->detail);
	return line;
}

struct top_text top_title(const struct top_row *rows, size_t n, double delay)
{
	double written = 0, read = 0;
	unsigned int units = 0, bad = 0;
	time_t now = time(NULL);
	struct top_text title;
	char clock[32];
	struct tm tm;

	for (size_t i = 0; i < n; i++) {
		bad += rows[i].bad;
		units += !rows[i].copy;
		if (rows[i].copy)
			continue;
		written += rows[i].written > 0 ? rows[i].written : 0;
		read += rows[i].read > 0 ? rows[i].read : 0;
	}
	strftime(clock, sizeof(clock), "%T", localtime_r(&now, &tm));
	snprintf(title.text, sizeof(title.text),
		 "pmt top %s  %u unit%s, %zu cop%s, %u bad  write %s/s, read %s/s  every %g s",
		 clock, units, units == 1 ? "" : "s", n - units, n - units == 1 ? "y" : "ies", bad,
		 size_text((uint64_t)written).text, size_text((uint64_t)read).text, delay);
	return title;
}

/* ---- as JSON ---- */

static struct json_object *rate_json(double rate)
{
	return rate < 0 ? NULL : json_object_new_uint64((uint64_t)rate);
}

static struct json_object *row_json(const struct top_row *row)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "unit", json_object_new_int64(row->unit));
	json_object_object_add(object, "copy", number_json(row->copy ? row->copy : PMT_UNKNOWN));
	json_object_object_add(object, "state", json_object_new_string(row->state));
	json_object_object_add(object, "bad", json_object_new_boolean(row->bad));
	json_object_object_add(object, "ring_fill", row->ring < 0 ? NULL :
			       json_object_new_double(row->ring));
	json_object_object_add(object, "write_rate", rate_json(row->written));
	json_object_object_add(object, "read_rate", rate_json(row->read));
	add_number_json(object, "lbn", row->lbn);
	add_number_json(object, "file", row->file);
	json_object_object_add(object, "early_warning", json_object_new_boolean(row->early_warning));
	add_number_json(object, "room", row->room);
	json_object_object_add(object, "detail", json_object_new_string(row->detail));
	return object;
}

struct json_object *top_json(const struct top_row *rows, size_t n)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < n; i++)
		json_object_array_add(array, row_json(&rows[i]));
	return array;
}
