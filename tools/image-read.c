// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmt image ls, verify, extract: what only reads
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "image.h"

/* A file of the tape: what is between two marks. */
struct part {
	uint64_t file, lbn, records, bytes, bad;
	size_t least, most;
};

struct reading {
	struct image *image;
	struct pmt_imagefile *f;
	void *buffer;
	struct part part;
	struct json_object *files;
	uint64_t bad;		/* records that can not be read */
	struct pmt_walk walk;	/* the bar's */
	struct pmt_tally tally;
	uint64_t objects;	/* of the partition; 0: not known */
	bool stopped;
};

static struct pmt_imagefile *open_source(const struct image *image)
{
	struct pmt_imagefile_options o = { .format = image->format,
					   .salvage = image->salvage };

	return image_open(image->words[0], &o);
}

static const char *describe(int r)
{
	return r == -EBADMSG ? "damaged" : r == -EIO ? "marked as bad" : strerror(-r);
}

static struct json_object *part_json(const struct part *part)
{
	struct json_object *object = json_object_new_object();

	add_number_json(object, "file", part->file);
	add_number_json(object, "lbn", part->lbn);
	add_number_json(object, "records", part->records);
	add_number_json(object, "bytes", part->bytes);
	add_number_json(object, "smallest", part->least);
	add_number_json(object, "largest", part->most);
	add_number_json(object, "damaged", part->bad);
	return object;
}

static void print_part(const struct part *part)
{
	char sizes[48] = "-";

	tape_clear_bar();
	if (part->least < part->most)
		snprintf(sizes, sizeof(sizes), "%zu..%zu", part->least, part->most);
	else if (part->records)
		snprintf(sizes, sizeof(sizes), "%zu", part->most);
	printf("%6" PRIu64 " %10" PRIu64 " %10" PRIu64 " %14" PRIu64 "  %s", part->file,
	       part->lbn, part->records, part->bytes, sizes);
	if (part->bad)
		printf("  %" PRIu64 " damaged", part->bad);
	putchar('\n');
}

static void end_part(struct reading *r, uint64_t next)
{
	if (r->image->json)
		json_object_array_add(r->files, part_json(&r->part));
	else if (!r->image->each)
		print_part(&r->part);
	r->part = (struct part){ .file = r->part.file + 1, .lbn = next };
}

static void count(struct part *part, size_t length, int result)
{
	if (!part->records || length < part->least)
		part->least = length;
	if (length > part->most)
		part->most = length;
	part->records++;
	part->bytes += length;
	part->bad += result < 0;
}

static struct json_object *object_json(const struct pmt_imagefile_place *at, size_t length,
				       int result)
{
	struct json_object *object = json_object_new_object();
	bool mark = result == PMT_IMAGEFILE_MARK;

	add_number_json(object, "lbn", at->lbn);
	add_number_json(object, "file", at->file);
	add_number_json(object, "block", at->block);
	add_number_json(object, "bytes", mark ? PMT_UNKNOWN : length);
	json_object_object_add(object, "mark", json_object_new_boolean(mark));
	json_object_object_add(object, "damage", result < 0 ?
			       json_object_new_string(describe(result)) : NULL);
	return object;
}

static void print_object(const struct pmt_imagefile_place *at, size_t length, int result)
{
	tape_clear_bar();
	printf("%10" PRIu64 " %6" PRIu64 " %8" PRIu64 "  ", at->lbn, at->file, at->block);
	if (result == PMT_IMAGEFILE_MARK)
		puts("mark");
	else if (result < 0)
		printf("%zu  %s\n", length, describe(result));
	else
		printf("%zu\n", length);
}

static bool go_on(struct reading *r, size_t length, int result)
{
	struct pmt_progress progress = { .tally = &r->tally, .total = r->objects };

	r->tally.marks += result == PMT_IMAGEFILE_MARK;
	r->tally.records += result != PMT_IMAGEFILE_MARK;
	r->tally.bytes += length;
	progress.done = r->tally.records + r->tally.marks;
	if (r->walk.go_on(&progress, NULL))
		return true;
	tape_clear_bar();
	fprintf(stderr, "pmt image: %s: stopped\n", r->image->words[0]);
	r->stopped = true;
	return false;
}

static void tell_bad(const struct reading *r, const struct pmt_imagefile_place *at, int result)
{
	tape_clear_bar();
	fprintf(stderr, "pmt image: %s: file %" PRIu64 " block %" PRIu64 " (LBN %" PRIu64 "): %s\n",
		r->image->words[0], at->file, at->block, at->lbn, describe(result));
}

/* One object; 0, 1 the end. */
static int read_one(struct reading *r)
{
	struct pmt_imagefile_place at = pmt_imagefile_place(r->f);
	size_t length = 0;
	int result = pmt_imagefile_read(r->f, r->buffer, IMAGE_RECORD_MAX, &length);

	if (result == PMT_IMAGEFILE_END)
		return 1;
	if (r->image->each && r->image->json)
		print_json(object_json(&at, length, result));
	else if (r->image->each)
		print_object(&at, length, result);
	if (result == PMT_IMAGEFILE_MARK) {
		end_part(r, at.lbn + 1);
		return !go_on(r, length, result);
	}
	count(&r->part, length, result);
	if (result < 0) {
		r->bad++;
		if (!r->image->each)
			tell_bad(r, &at, result);
	}
	return !go_on(r, length, result);
}

/* The whole partition. */
static int read_all(struct reading *r, uint32_t partition)
{
	int err = pmt_imagefile_seek(r->f, partition, 0);

	r->part = (struct part){ 0 };
	if (err && err != -ENODATA)
		return image_fail(r->image->words[0], err);
	tape_begin(&r->walk, r->image->verb);
	while (!read_one(r))
		;
	tape_end();
	if (r->part.records)
		end_part(r, 0);
	return r->stopped ? TOOL_FAILED : TOOL_OK;
}

static void print_head(const struct image *image, const struct pmt_imagefile_info *info)
{
	printf("%s: %s%s", info->path, info->format, info->worm ? ", write once" : "");
	if (*info->label)
		printf(", label \"%s\"", info->label);
	if (*info->barcode)
		printf(", bar code %s", info->barcode);
	if (info->partitions > 1)
		printf(", partition %u of %u", image->partition, info->partitions);
	printf(", %s", size_text(info->size).text);
	if (info->capacity)
		printf(" of %s", size_text(info->capacity).text);
	putchar('\n');
	if (image->each)
		printf("%10s %6s %8s  %s\n", "LBN", "FILE", "BLOCK", "BYTES");
	else
		printf("%6s %10s %10s %14s  %s\n", "FILE", "LBN", "RECORDS", "BYTES", "SIZES");
}

static int ls(struct reading *r, const struct pmt_imagefile_info *info)
{
	struct json_object *object = r->image->json ? image_json(info) : NULL;
	int code;

	r->objects = info->objects;
	r->files = json_object_new_array();
	if (!object)
		print_head(r->image, info);
	code = read_all(r, r->image->partition);
	if (object) {
		json_object_object_add(object, "files", r->files);
		print_json(object);
	} else {
		json_object_put(r->files);
	}
	return code == TOOL_OK && r->bad ? TOOL_FAILED : code;
}

int image_ls(struct image *image)
{
	_cleanup_free_ void *buffer = image_buffer();
	struct reading r = { .image = image, .buffer = buffer };
	struct pmt_imagefile_info info;
	int code = TOOL_FAILED;

	r.f = buffer ? open_source(image) : NULL;
	if (!r.f)
		return TOOL_FAILED;
	if (!pmt_imagefile_info(r.f, image->partition, &info))
		code = ls(&r, &info);
	pmt_imagefile_close(r.f);
	return code;
}

/* verify */

static void print_verdict(const struct image *image, const struct pmt_imagefile_info *info,
			  uint64_t bad, bool sound)
{
	if (image->json) {
		struct json_object *object = image_json(info);

		json_object_object_add(object, "sound", json_object_new_boolean(sound));
		add_number_json(object, "damaged", bad);
		print_json(object);
		return;
	}
	printf("%s: %s, %" PRIu64 " records, %" PRIu64 " marks: ", info->path, info->format,
	       info->objects - info->marks, info->marks);
	if (sound)
		puts("sound");
	else
		printf("%" PRIu64 " records damaged, %" PRIu64 " bytes torn, %" PRIu64
		       " other faults\n", bad, info->torn, info->odd);
}

static int verify_partition(struct reading *r, uint32_t partition)
{
	struct image quiet = { .verb = r->image->verb, .json = true, .words = r->image->words };
	struct reading all = { .image = &quiet, .f = r->f, .buffer = r->buffer,
			       .files = json_object_new_array() };
	struct pmt_imagefile_info info;
	bool sound;
	int code;

	if (!pmt_imagefile_info(r->f, partition, &info))
		all.objects = info.objects;
	code = read_all(&all, partition);
	json_object_put(all.files);
	if (code != TOOL_OK || pmt_imagefile_info(r->f, partition, &info))
		return TOOL_FAILED;
	sound = !all.bad && !info.torn && !info.odd;
	print_verdict(r->image, &info, all.bad, sound);
	return sound ? TOOL_OK : TOOL_FAILED;
}

int image_verify(struct image *image)
{
	_cleanup_free_ void *buffer = image_buffer();
	struct reading r = { .image = image, .buffer = buffer };
	struct pmt_imagefile_info info;
	int code = TOOL_OK;

	r.f = buffer ? open_source(image) : NULL;
	if (!r.f)
		return TOOL_FAILED;
	if (pmt_imagefile_info(r.f, 0, &info))
		info.partitions = 0;
	for (uint32_t i = 0; i < info.partitions; i++)
		if (verify_partition(&r, i) != TOOL_OK)
			code = TOOL_FAILED;
	pmt_imagefile_close(r.f);
	return code;
}

/* extract */

static int write_out(int fd, const char *data, size_t length)
{
	while (length) {
		ssize_t n = write(fd, data, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		length -= (size_t)n;
	}
	return 0;
}

/* Until the mark; what is salvaged leaves out what can not be read. */
static int copy_out(struct reading *r, int fd)
{
	for (;;) {
		size_t length = 0;
		struct pmt_imagefile_place at = pmt_imagefile_place(r->f);
		int result = pmt_imagefile_read(r->f, r->buffer, IMAGE_RECORD_MAX, &length);
		int err;

		if (result == PMT_IMAGEFILE_MARK || result == PMT_IMAGEFILE_END)
			return r->bad ? TOOL_FAILED : TOOL_OK;
		if (result < 0) {
			tape_clear_bar();
			fprintf(stderr, "pmt image: %s: block %" PRIu64 " (LBN %" PRIu64
				"): %s%s\n", r->image->words[0], at.block, at.lbn,
				describe(result), r->image->salvage ? ", left out" :
				"; --salvage leaves it out");
			r->bad++;
			if (!r->image->salvage)
				return TOOL_FAILED;
			continue;
		}
		if (!go_on(r, length, result))
			return TOOL_FAILED;
		err = write_out(fd, r->buffer, length);
		if (err)
			return image_fail(r->image->output ? r->image->output : "output", err);
	}
}

static int extract(struct reading *r, uint64_t file)
{
	const char *output = r->image->output;
	_cleanup_close_ int made = -1;
	int err = pmt_imagefile_seek(r->f, r->image->partition, file);

	/* Behind the last mark there may be nothing. */
	if (!err && file) {
		size_t length;
		struct pmt_imagefile_place at = pmt_imagefile_place(r->f);

		err = pmt_imagefile_read(r->f, r->buffer, 0, &length) == PMT_IMAGEFILE_END ?
			      -ENODATA : pmt_imagefile_seek(r->f, r->image->partition, at.file);
	}
	if (err == -ENODATA) {
		fprintf(stderr, "pmt image: %s: there is no file %" PRIu64 "; pmt image ls "
			"shows them\n", r->image->words[0], file);
		return TOOL_FAILED;
	}
	if (err)
		return image_fail(r->image->words[0], err);
	if (!output)
		return copy_out(r, STDOUT_FILENO);
	made = open(output, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (made < 0) {
		fprintf(stderr, "pmt image: %s: %s\n", output, strerror(errno));
		return TOOL_FAILED;
	}
	return copy_out(r, made);
}

int image_extract(struct image *image)
{
	_cleanup_free_ void *buffer = image_buffer();
	struct reading r = { .image = image, .buffer = buffer };
	char *end;
	uint64_t file = strtoull(image->words[1], &end, 10);
	int code;

	if (*image->words[1] < '0' || *image->words[1] > '9' || *end) {
		fprintf(stderr, "pmt image extract: '%s' is not the number of a file\n",
			image->words[1]);
		return TOOL_USAGE;
	}
	r.f = buffer ? open_source(image) : NULL;
	if (!r.f)
		return TOOL_FAILED;
	tape_begin(&r.walk, image->verb);
	code = extract(&r, file);
	tape_end();
	pmt_imagefile_close(r.f);
	return code;
}
