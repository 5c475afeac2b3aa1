// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmt copy: a tape to another, or to several at once
 *
 * Whatever happens, it says what is on the target, and the command that goes on.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "pmt-tool.h"

static struct pmt_drive *open_targets(const struct tool *t)
{
	const char *const *specs = (const char *const *)t->words + 1;
	struct pmt_drive *drive = NULL;
	char *error = NULL;
	int rc;

	if (t->n_words == 2)
		return tape_open(specs[0], false);
	rc = pmt_mirror_open(&drive, specs, t->n_words - 1, "twins=any", &error);
	if (error || rc == -ENOMEM)	/* else it was logged */
		fprintf(stderr, "pmt copy: %s\n", error ? error : strerror(-rc));
	free(error);
	return rc ? NULL : drive;
}

static void note_damage(const struct pmt_object *object, void *context)
{
	tape_clear_bar();
	fprintf(stderr, "pmt copy: %s: can not be read at %s (sense key %x, %02x/%02x)\n",
		(const char *)context, pmt_place_text(&object->place).text, object->key,
		object->asc, object->ascq);
}

/* What --from is to be, for the rest; false: that can not be said. */
static bool rest_text(const struct pmt_place *from, uint64_t behind, char *text, size_t size)
{
	if (from->file != PMT_UNKNOWN && from->block == 0 && !behind)
		snprintf(text, size, "%" PRIu64, (uint64_t)from->file);
	else if (from->lbn != PMT_UNKNOWN)
		snprintf(text, size, "@%" PRIu64, (uint64_t)from->lbn + behind);
	else
		return false;
	return true;
}

static void say_how_to_go_on(const struct pmt_copied *copied, int rc)
{
	bool full = rc == -ENOSPC || rc == -ENOMEDIUM;
	char from[32];

	if (rc == -EBADMSG)
		fputs("pmt copy: pmt map shows all that is damaged; --skip-damaged leaves it "
		      "out\n", stderr);
	if (full && !copied->tally.records && !copied->tally.marks)
		fputs("pmt copy: not even the first file fits: take larger tapes, or --spread "
		      "it over several\n", stderr);
	else if (rest_text(&copied->from, rc == -EBADMSG, from, sizeof(from)))
		fprintf(stderr, "pmt copy: the rest: the same with --from %s%s\n", from,
			full ? ", on another tape" : " --append");
}

static void say_why(const struct tool *t, const struct pmt_copied *copied, int rc)
{
	const struct pmt_place_text place = pmt_place_text(&copied->from);

	if (rc == -ENOSPC && copied->cut)
		fprintf(stderr, "pmt copy: the target is full. It was cut behind its last "
			"filemark: %" PRIu64 " records of file %" PRIu64 " of %s were taken "
			"off again\n", copied->cut, (uint64_t)copied->from.file, t->words[0]);
	else if (rc == -ENOSPC)
		fprintf(stderr, "pmt copy: the target is full; what is from %s on is not on "
			"it\n", place.text);
	else if (rc == -EINTR)
		fprintf(stderr, "pmt copy: stopped at %s of %s\n", place.text, t->words[0]);
	else
		fprintf(stderr, "pmt copy: ended at %s of %s\n", place.text, t->words[0]);
}

static void print_result(const struct tool *t, const struct pmt_copied *copied, int rc)
{
	struct json_object *object, *from;

	if (!t->json) {
		if (copied->volumes > 1)
			printf("%" PRIu32 " volumes; ", copied->volumes);
		tape_print_tally("copied", &copied->tally);
		return;
	}
	object = tally_json(&copied->tally);
	from = json_object_new_object();
	add_place_json(from, &copied->from);
	json_object_object_add(object, "volumes", number_json(copied->volumes));
	json_object_object_add(object, "complete", json_object_new_boolean(rc == 0));
	json_object_object_add(object, "next", from);
	json_object_object_add(object, "taken_off", number_json(copied->cut));
	print_json(object);
}

static int copy(struct tool *t, struct pmt_drive *from, struct pmt_drive *to)
{
	struct pmt_copied copied;
	int rc;

	t->tape.damaged = note_damage;
	t->tape.walk.context = t->words[0];
	tape_begin(&t->tape.walk, "copy");
	rc = pmt_copy(from, to, &t->tape, &copied);
	tape_end();
	/* Nothing began: that was said. */
	if (rc && !copied.began)
		return TOOL_FAILED;
	if (rc) {
		say_why(t, &copied, rc);
		say_how_to_go_on(&copied, rc);
	}
	print_result(t, &copied, rc);
	return rc || copied.tally.damaged ? TOOL_FAILED : TOOL_OK;
}

int verb_copy(struct tool *t)
{
	struct pmt_drive *from = tape_open(t->words[0], true);
	struct pmt_drive *to = from ? open_targets(t) : NULL;
	int code = to ? copy(t, from, to) : TOOL_FAILED;

	pmt_drive_close(to);
	pmt_drive_close(from);
	return code;
}
