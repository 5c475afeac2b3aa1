// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmt verify: every record of a tape read, or of several compared
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "pmt-tool.h"

#define SIDES 16

struct verify {
	struct tool *tool;
	struct json_object *damage;	/* with --json */
};

static void note_damage(size_t side, const struct pmt_object *object, void *context)
{
	struct verify *v = context;
	const char *spec = v->tool->words[side];
	struct json_object *entry;

	if (!v->damage) {
		tape_print_damage(spec, object);
		return;
	}
	entry = damage_json(object);
	json_object_object_add(entry, "spec", json_object_new_string(spec));
	json_object_array_add(v->damage, entry);
}

static const char *kind_name(enum pmt_difference difference)
{
	static const char *const names[] = {
		[PMT_DIFFERENT_LENGTH] = "length",
		[PMT_DIFFERENT_DATA] = "data",
		[PMT_DIFFERENT_KIND] = "record and mark",
		[PMT_DIFFERENT_END] = "end",
	};

	return names[difference];
}

static struct json_object *object_json(const char *spec, const struct pmt_object *object)
{
	static const char *const kinds[] = { "record", "mark", "damaged", "end" };
	struct json_object *json = json_object_new_object();

	json_object_object_add(json, "spec", json_object_new_string(spec));
	add_place_json(json, &object->place);
	json_object_object_add(json, "volume", number_json(object->volume));
	json_object_object_add(json, "kind", json_object_new_string(kinds[object->kind]));
	json_object_object_add(json, "length", number_json(object->length));
	return json;
}

static void add_difference(struct json_object *object, const struct tool *t,
			   const struct pmt_verified *verified)
{
	struct json_object *json = json_object_new_object();

	json_object_object_add(object, "difference", json);
	json_object_object_add(json, "kind",
			       json_object_new_string(kind_name(verified->difference)));
	json_object_object_add(json, "offset", number_json(verified->offset));
	json_object_object_add(json, "first", object_json(t->words[0], &verified->first));
	json_object_object_add(json, "other", object_json(t->words[verified->side],
							  &verified->other));
}

static void print_as_json(const struct verify *v, const struct pmt_tally *tallies,
			  const struct pmt_verified *verified, int rc)
{
	struct json_object *object = json_object_new_object();
	struct json_object *sides = json_object_new_array();

	for (size_t i = 0; i < v->tool->n_words; i++) {
		struct json_object *side = tally_json(&tallies[i]);

		json_object_object_add(side, "spec",
				       json_object_new_string(v->tool->words[i]));
		json_object_array_add(sides, side);
	}
	json_object_object_add(object, "good", json_object_new_boolean(rc == 0));
	json_object_object_add(object, "complete", json_object_new_boolean(
		rc >= 0 && verified->difference == PMT_SAME));
	json_object_object_add(object, "sides", sides);
	json_object_object_add(object, "damage", json_object_get(v->damage));
	if (verified->difference == PMT_SAME)
		json_object_object_add(object, "difference", NULL);
	else
		add_difference(object, v->tool, verified);
	print_json(object);
}

static void print_side(const char *spec, const struct pmt_object *object)
{
	printf("  %s: at %s ", spec, pmt_place_text(&object->place).text);
	switch (object->kind) {
	case PMT_OBJECT_RECORD:
		printf("a record of %" PRIu32 " bytes", object->length);
		break;
	case PMT_OBJECT_MARK:
		fputs("a filemark", stdout);
		break;
	case PMT_OBJECT_DAMAGED:
		fputs("something that can not be read", stdout);
		break;
	case PMT_OBJECT_END:
		fputs("the end of the data", stdout);
		break;
	}
	putchar('\n');
}

static void print_difference(const struct tool *t, const struct pmt_verified *verified)
{
	printf("the first difference is of %s", kind_name(verified->difference));
	if (verified->difference == PMT_DIFFERENT_DATA)
		printf(": byte %" PRIu64 " is %02x, and %02x", verified->offset,
		       verified->bytes[0], verified->bytes[1]);
	putchar('\n');
	print_side(t->words[0], &verified->first);
	print_side(t->words[verified->side], &verified->other);
}

static void print_text(const struct tool *t, const struct pmt_tally *tallies,
		       const struct pmt_verified *verified, int rc)
{
	uint64_t damaged = 0;

	for (size_t i = 0; i < t->n_words; i++) {
		tape_print_tally(t->words[i], &tallies[i]);
		damaged += tallies[i].damaged;
	}
	if (verified->difference != PMT_SAME)
		print_difference(t, verified);
	if (rc < 0 || verified->difference != PMT_SAME)
		puts("not read to the end: the numbers are of what was read");
	else if (damaged)
		puts(t->n_words > 1 ? "the same, where they can be read" : "damaged");
	else
		puts(t->n_words > 1 ? "the same" : "good");
}

static int verify(struct tool *t, struct pmt_drive *const *drives)
{
	struct pmt_tally tallies[SIDES];
	struct verify v = { .tool = t };
	struct pmt_verify wish = { .tallies = tallies, .damaged = note_damage };
	struct pmt_verified verified;
	int rc;

	if (t->json)
		v.damage = json_object_new_array();
	tape_begin(&t->tape.walk, "verify");
	wish.walk = t->tape.walk;
	wish.walk.context = &v;
	rc = pmt_verify(drives, t->n_words, &wish, &verified);
	tape_end();
	if (rc == -EINTR)
		fputs("pmt verify: stopped\n", stderr);
	if (t->json)
		print_as_json(&v, tallies, &verified, rc);
	else
		print_text(t, tallies, &verified, rc);
	json_object_put(v.damage);
	return rc ? TOOL_FAILED : TOOL_OK;
}

int verb_verify(struct tool *t)
{
	struct pmt_drive *drives[SIDES] = { NULL };
	size_t n = 0;
	int code = TOOL_FAILED;

	while (n < t->n_words && (drives[n] = tape_open(t->words[n], true)))
		n++;
	if (n == t->n_words)
		code = verify(t, drives);
	while (n--)
		pmt_drive_close(drives[n]);
	return code;
}
