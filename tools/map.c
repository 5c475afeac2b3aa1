// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmt map: what is on a tape, as a table, as JSON, and as a picture
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "map.h"

#define FEW 3	/* empty files in a row that are shown one by one */

/* Seeing */

/* With room for one more than n; NULL, and it is as it was: no memory. */
static void *grow(void *array, size_t *room, size_t n, size_t size)
{
	if (array && n < *room)
		return array;
	*room = *room ? 2 * *room : 16;
	return reallocarray(array, *room, size);
}

/* Twice as many records a step. */
static void fold(struct map_file *file)
{
	for (uint32_t i = 0; i < MAP_STEPS / 2; i++) {
		const struct map_step *a = &file->steps[2 * i], *b = a + 1;

		file->steps[i] = (struct map_step){
			.bytes = a->bytes + b->bytes,
			.records = a->records + b->records,
			.largest = a->largest > b->largest ? a->largest : b->largest,
		};
	}
	file->n_steps = MAP_STEPS / 2;
	file->per_step *= 2;
}

static bool add_step(struct map_file *file, uint32_t length)
{
	struct map_step *step;

	if (!file->steps) {
		file->steps = calloc(MAP_STEPS, sizeof(*file->steps));
		file->per_step = 1;
	}
	if (!file->steps)
		return false;
	step = file->n_steps ? &file->steps[file->n_steps - 1] : NULL;
	if (!step || step->records == file->per_step) {
		if (file->n_steps == MAP_STEPS)
			fold(file);
		step = &file->steps[file->n_steps++];
		*step = (struct map_step){ 0 };
	}
	step->records++;
	step->bytes += length;
	if (step->largest < length)
		step->largest = length;
	return true;
}

/* The file that the object is in; a new one behind a mark or in a next volume. */
static struct map_file *file_of(struct map *map, const struct pmt_object *object)
{
	struct map_file *last = map->n_files ? &map->files[map->n_files - 1] : NULL;
	struct map_file *files;

	if (last && !last->mark && last->volume == object->volume)
		return last;
	files = grow(map->files, &map->room, map->n_files, sizeof(*files));
	if (!files)
		return NULL;
	map->files = files;
	last = &files[map->n_files++];
	*last = (struct map_file){ .volume = object->volume, .number = object->place.file,
				   .lbn = object->place.lbn };
	return last;
}

static bool add_record(struct map_file *file, const struct pmt_object *object)
{
	if (!file->records || object->length < file->smallest)
		file->smallest = object->length;
	if (object->length > file->largest)
		file->largest = object->length;
	file->records++;
	file->bytes += object->length;
	return add_step(file, object->length);
}

static int see(struct map *map, const struct pmt_object *object)
{
	struct map_file *file = file_of(map, object);
	struct pmt_object *damage;

	if (!file)
		return -ENOMEM;
	pmt_tally_add(&map->tally, object);
	if (object->kind == PMT_OBJECT_RECORD)
		return add_record(file, object) ? 0 : -ENOMEM;
	if (object->kind == PMT_OBJECT_MARK) {
		file->mark = true;
		return 0;
	}
	file->damaged++;
	damage = grow(map->damage, &map->damage_room, map->n_damage, sizeof(*damage));
	if (!damage)
		return -ENOMEM;
	map->damage = damage;
	damage[map->n_damage++] = *object;
	return 0;
}

static int look(struct map *map, struct pmt_reader *reader)
{
	for (;;) {
		struct pmt_object object;
		int rc = pmt_reader_next(reader, &object);

		if (rc)
			return rc;
		map->end = object;
		if (object.kind == PMT_OBJECT_END)
			return 0;
		rc = see(map, &object);
		pmt_reader_release(reader);
		if (!rc && !pmt_reader_goes_on(reader, &map->tally))
			rc = -EINTR;
		if (rc)
			return rc;
	}
}

/* Showing */

size_t map_empty_files(const struct map *map, size_t i)
{
	size_t n = 0;

	for (; i + n < map->n_files; n++) {
		const struct map_file *file = &map->files[i + n];

		if (file->records || file->damaged || !file->mark ||
		    file->volume != map->files[i].volume)
			break;
	}
	return n;
}

struct range_text map_sizes(const struct map_file *file)
{
	struct range_text range = { "-" };

	if (file->records && file->smallest == file->largest)
		snprintf(range.text, sizeof(range.text), "%" PRIu32, file->smallest);
	else if (file->records)
		snprintf(range.text, sizeof(range.text), "%" PRIu32 "-%" PRIu32,
			 file->smallest, file->largest);
	return range;
}

/* "-" where it is not known */
static struct range_text number_text(uint64_t number)
{
	struct range_text text = { "-" };

	if (number != PMT_UNKNOWN)
		snprintf(text.text, sizeof(text.text), "%" PRIu64, number);
	return text;
}

static void print_file(const struct map_file *file)
{
	printf("%8s %12s %12" PRIu64 " %16" PRIu64 "  %-17s%s", number_text(file->number).text,
	       number_text(file->lbn).text, file->records, file->bytes, map_sizes(file).text,
	       file->mark ? "" : " no filemark behind it");
	if (file->damaged)
		printf(" %" PRIu64 " damaged", file->damaged);
	putchar('\n');
}

static void print_table(const struct map *map)
{
	bool volumes = map->n_files && map->files[map->n_files - 1].volume;
	uint32_t volume = 0;

	puts("    FILE          LBN      RECORDS            BYTES  RECORD SIZE");
	for (size_t i = 0; i < map->n_files; i++) {
		const struct map_file *file = &map->files[i];
		size_t empty = map_empty_files(map, i);

		if (volumes && (!i || file->volume != volume))
			printf("volume %" PRIu32 "\n", file->volume);
		volume = file->volume;
		if (empty <= FEW) {
			print_file(file);
			continue;
		}
		printf("%8s %12s  to file %s: nothing but %zu filemarks\n",
		       number_text(file->number).text, number_text(file->lbn).text,
		       number_text(map->files[i + empty - 1].number).text, empty);
		i += empty - 1;
	}
	for (size_t i = 0; i < map->n_damage; i++)
		tape_print_damage(map->spec, &map->damage[i]);
	tape_print_tally(map->spec, &map->tally);
	if (!map->complete)
		printf("not read to the end: only to %s\n",
		       pmt_place_text(&map->end.place).text);
}

static struct json_object *file_json(const struct map_file *file)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "volume", number_json(file->volume));
	json_object_object_add(object, "file", number_json(file->number));
	json_object_object_add(object, "lbn", number_json(file->lbn));
	json_object_object_add(object, "records", number_json(file->records));
	json_object_object_add(object, "bytes", number_json(file->bytes));
	json_object_object_add(object, "smallest", file->records ?
			       number_json(file->smallest) : NULL);
	json_object_object_add(object, "largest", file->records ?
			       number_json(file->largest) : NULL);
	json_object_object_add(object, "damaged", number_json(file->damaged));
	json_object_object_add(object, "mark", json_object_new_boolean(file->mark));
	return object;
}

static void print_as_json(const struct map *map)
{
	struct json_object *object = tally_json(&map->tally);
	struct json_object *files = json_object_new_array();
	struct json_object *damage = json_object_new_array();
	struct json_object *end = json_object_new_object();

	for (size_t i = 0; i < map->n_files; i++)
		json_object_array_add(files, file_json(&map->files[i]));
	for (size_t i = 0; i < map->n_damage; i++)
		json_object_array_add(damage, damage_json(&map->damage[i]));
	add_place_json(end, &map->end.place);
	json_object_object_add(object, "spec", json_object_new_string(map->spec));
	json_object_object_add(object, "complete", json_object_new_boolean(map->complete));
	json_object_object_add(object, "files", files);
	json_object_object_add(object, "damage", damage);
	json_object_object_add(object, "end", end);
	print_json(object);
}

static void free_map(struct map *map)
{
	for (size_t i = 0; i < map->n_files; i++)
		free(map->files[i].steps);
	free(map->files);
	free(map->damage);
}

/* What was seen is shown, also when something went wrong then. */
static int show(const struct tool *t, const struct map *map, int rc)
{
	if (t->json)
		print_as_json(map);
	else
		print_table(map);
	if (t->svg && map_draw(map, t->svg))
		return TOOL_FAILED;
	return rc || map->n_damage ? TOOL_FAILED : TOOL_OK;
}

int verb_map(struct tool *t)
{
	struct map map = { .spec = t->words[0] };
	struct pmt_drive *drive = tape_open(map.spec, true);
	struct pmt_reader *reader = NULL;
	int rc, code = TOOL_FAILED;

	if (!drive)
		return TOOL_FAILED;
	tape_begin(&t->tape.walk, "map");
	rc = pmt_reader_open(&reader, drive, &t->tape.walk);
	if (!rc) {
		rc = look(&map, reader);
		tape_end();
		if (rc == -EINTR)
			fputs("pmt map: stopped\n", stderr);
		map.complete = !rc;
		code = show(t, &map, rc);
	}
	tape_end();
	pmt_reader_close(reader);
	pmt_drive_close(drive);
	free_map(&map);
	return code;
}
