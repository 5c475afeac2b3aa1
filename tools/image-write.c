// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmt image append, convert, repair, label: what writes
 *
 * Nothing that is there is lost: a file that does not fit is taken off again, a new
 * image never takes the place of another, and what is cut is kept beside it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "image.h"

static const char *reason(int r)
{
	return r == -ENOSPC ? "it is full" : r == -EPERM ? "it is write-once" :
	       r == -EROFS ? "it is write-protected" : strerror(-r);
}

struct writing {
	struct image *image;
	struct pmt_imagefile *from, *to;
	char *buffer;
	uint64_t records, marks, bytes, lost;
};

static void print_result(const struct writing *w, const char *path)
{
	struct json_object *object;

	if (!w->image->json) {
		printf("%s: %" PRIu64 " records, %" PRIu64 " marks, %" PRIu64 " bytes\n", path,
		       w->records, w->marks, w->bytes);
		return;
	}
	object = json_object_new_object();
	json_object_object_add(object, "file", json_object_new_string(path));
	json_object_object_add(object, "records", number_json(w->records));
	json_object_object_add(object, "marks", number_json(w->marks));
	json_object_object_add(object, "bytes", number_json(w->bytes));
	json_object_object_add(object, "lost", number_json(w->lost));
	print_json(object);
}

/* A record, or without length a mark. */
static int put(struct writing *w, const void *data, size_t length)
{
	int r = pmt_imagefile_write(w->to, data, length);

	if (r)
		return r;
	w->records += length > 0;
	w->marks += !length;
	w->bytes += length;
	return 0;
}

/* append */

/* A whole record, but at the end of the input. */
static ssize_t fill(int fd, char *buffer, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, buffer + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static int append_input(struct writing *w, int fd, const char *name)
{
	for (;;) {
		ssize_t n = fill(fd, w->buffer, w->image->record);
		int r;

		if (n < 0) {
			fprintf(stderr, "pmt image: %s: %s\n", name, strerror((int)-n));
			return (int)n;
		}
		r = put(w, w->buffer, (size_t)n);
		if (!r && !n)
			r = pmt_imagefile_sync(w->to);
		if (r)
			fprintf(stderr, "pmt image: %s: %s\n", w->image->words[0], reason(r));
		if (r || !n)
			return r;
	}
}

/* As it was before; where that can not be, say what is left. */
static void take_off(struct writing *w, uint64_t file, uint64_t lbn)
{
	struct pmt_imagefile_place at;
	int r = pmt_imagefile_seek(w->to, 0, file);

	if (r == -ENODATA)
		r = 0;
	at = pmt_imagefile_place(w->to);
	if (!r && at.lbn < lbn) {	/* a file without a mark was the last */
		size_t length;

		while (!r && pmt_imagefile_place(w->to).lbn < lbn) {
			r = pmt_imagefile_read(w->to, w->buffer, 0, &length);
			r = r == PMT_IMAGEFILE_END ? -ENODATA : 0;
		}
	}
	if (!r)
		r = pmt_imagefile_cut(w->to);
	if (r)
		fprintf(stderr, "pmt image: %s: %" PRIu64 " records of it stay on the tape, "
			"from LBN %" PRIu64 " on: %s\n", w->image->words[0], w->records, lbn,
			reason(r));
}

static int append(struct writing *w, int fd, const char *name)
{
	struct pmt_imagefile_info info;
	struct pmt_imagefile_place at;
	int r = pmt_imagefile_seek_end(w->to);

	if (!r)
		r = pmt_imagefile_info(w->to, 0, &info);
	if (!r && w->image->record > info.record_max) {
		fprintf(stderr, "pmt image: %s: a record of %s is at most %u bytes\n",
			w->image->words[0], info.format, info.record_max);
		return TOOL_FAILED;
	}
	if (r)
		return image_fail(w->image->words[0], r);
	at = pmt_imagefile_place(w->to);
	/* The last file may have no mark yet. */
	r = at.block ? put(w, NULL, 0) : 0;
	if (!r)
		r = append_input(w, fd, name);
	if (r && (w->records || w->marks))
		take_off(w, at.file, at.lbn);
	return r ? TOOL_FAILED : TOOL_OK;
}

int image_append(struct image *image)
{
	const char *name = image->n_words > 1 ? image->words[1] : "-";
	struct pmt_imagefile_options o = { .format = image->format, .write = true,
					   .create = image->create, .worm = image->worm,
					   .capacity = image->capacity };
	_cleanup_free_ char *buffer = image_buffer();
	struct writing w = { .image = image, .buffer = buffer };
	_cleanup_close_ int input = -1;
	int code;

	if (!image->create && image->worm) {
		fputs("pmt image append: --worm is for --create\n", stderr);
		return TOOL_USAGE;
	}
	if (strcmp(name, "-") != 0)
		input = open(name, O_RDONLY | O_CLOEXEC);
	if (strcmp(name, "-") != 0 && input < 0)
		return image_fail(name, -errno);
	w.to = buffer ? image_open(image->words[0], &o) : NULL;
	if (!w.to)
		return TOOL_FAILED;
	code = append(&w, input < 0 ? STDIN_FILENO : input, name);
	if (pmt_imagefile_close(w.to))
		code = TOOL_FAILED;
	if (code == TOOL_OK)
		print_result(&w, image->words[0]);
	return code;
}

/* convert, and the rescue of repair */

static void tell_damage(const struct pmt_object *object, void *context)
{
	const struct writing *w = context;

	tape_clear_bar();
	fprintf(stderr, "pmt image: %s: %s can not be read%s\n", w->image->words[0],
		pmt_place_text(&object->place).text, w->image->salvage ?
		" and is left out" : "; --salvage leaves it out");
}

static int copy_all(struct writing *w)
{
	struct pmt_copy copy = {
		.walk = { .partition = w->image->partition, .context = w },
		.skip_damaged = w->image->salvage,
		.damaged = tell_damage,
	};
	struct pmt_copied copied = { .began = false };
	int r;

	tape_begin(&copy.walk, w->image->verb);
	r = pmt_copy(pmt_imagefile_drive(w->from), pmt_imagefile_drive(w->to), &copy, &copied);
	tape_end();
	w->records = copied.tally.records;
	w->marks = copied.tally.marks;
	w->bytes = copied.tally.bytes;
	w->lost = copied.tally.damaged;
	if (r == -ENOSPC)
		fprintf(stderr, "pmt image: it is full at %s\n",
			pmt_place_text(&copied.from).text);
	return r;
}

/* The label goes along where it can. */
static int copy_label(const struct writing *w)
{
	struct pmt_imagefile_info from, to;
	int r = pmt_imagefile_info(w->from, 0, &from);

	if (!r)
		r = pmt_imagefile_info(w->to, 0, &to);
	if (r || (!*from.label && !*from.barcode) || strcmp(to.format, "native") != 0)
		return r;
	return pmt_imagefile_label(w->to, from.label, from.barcode);
}

/* One that was begun and is not whole does not stay. */
static int make_copy(struct writing *w, const char *path,
		     const struct pmt_imagefile_options *source)
{
	struct pmt_imagefile_options o = { .format = w->image->format, .create = true,
					   .worm = w->image->worm,
					   .capacity = w->image->capacity };
	struct pmt_imagefile_info info;
	int r;

	w->from = image_open(w->image->words[0], source);
	if (!w->from)
		return TOOL_FAILED;
	r = pmt_imagefile_info(w->from, 0, &info);
	if (!r && info.partitions > 1 && !w->image->says_partition) {
		fprintf(stderr, "pmt image: %s: has %u partitions, and a new image has one: say "
			"which with --partition\n", w->image->words[0], info.partitions);
		r = -EINVAL;
	}
	w->to = r ? NULL : image_open(path, &o);
	if (w->to) {
		r = copy_all(w);
		if (!r)
			r = copy_label(w);
		if (pmt_imagefile_close(w->to) && !r)
			r = -EIO;
		if (r && !unlink(path))
			fprintf(stderr, "pmt image: %s: not made\n", path);
	}
	pmt_imagefile_close(w->from);
	return r || !w->to ? TOOL_FAILED : TOOL_OK;
}

int image_convert(struct image *image)
{
	struct pmt_imagefile_options source = { .salvage = image->salvage };
	_cleanup_free_ char *buffer = image_buffer();
	struct writing w = { .image = image, .buffer = buffer };
	int code = buffer ? make_copy(&w, image->words[1], &source) : TOOL_FAILED;

	if (code == TOOL_OK)
		print_result(&w, image->words[1]);
	return code;
}

/* repair */

/* The format of the new image is that of the old one, unless it is read only. */
static int rescue(struct image *image)
{
	struct pmt_imagefile_options source = { .format = image->format, .salvage = true };
	_cleanup_free_ char *buffer = image_buffer();
	struct writing w = { .image = image, .buffer = buffer };
	struct pmt_imagefile *f = image_open(image->words[0], &source);
	struct pmt_imagefile_info info = { 0 };
	int code;

	if (!f || !buffer)
		return TOOL_FAILED;
	if (pmt_imagefile_info(f, image->partition, &info))
		info.format = NULL;
	pmt_imagefile_close(f);
	if (!info.format)
		return TOOL_FAILED;
	image->salvage = true;
	image->format = strcmp(info.format, "het") != 0 ? info.format : "aws";
	code = make_copy(&w, image->output, &source);
	if (code != TOOL_OK)
		return code;
	if (info.damage || w.lost)
		fprintf(stderr, "pmt image: %s: %" PRIu64 " records and %" PRIu64 " bytes that "
			"are none are left out\n", image->output, w.lost, info.damage);
	print_result(&w, image->output);
	return TOOL_OK;
}

/* The bytes of path from offset on, in a new file beside it, on the disk. */
static int keep_tail(const char *path, uint64_t offset, uint64_t size, const char *kept,
		     char *buffer)
{
	_cleanup_close_ int from = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int to = open(kept, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);

	if (to < 0) {
		fprintf(stderr, "pmt image: %s: %s\n", kept, strerror(errno));
		return -EEXIST;
	}
	while (from >= 0 && offset < size) {
		size_t part = size - offset < IMAGE_RECORD_MAX ? size - offset :
								 IMAGE_RECORD_MAX;
		ssize_t n = pread(from, buffer, part, (off_t)offset);

		if (n <= 0 || write(to, buffer, (size_t)n) != n)
			return n < 0 || errno ? -EIO : -ENOSPC;
		offset += (uint64_t)n;
	}
	/* With its name: the whole file system. */
	return from < 0 || fsync(to) || syncfs(to) ? -EIO : 0;
}

/* kept may be NULL: nothing was torn. */
static void print_cut(const struct image *image, const char *path, uint64_t torn,
		      const char *kept)
{
	struct json_object *object;

	if (image->json) {
		object = json_object_new_object();
		json_object_object_add(object, "file", json_object_new_string(path));
		json_object_object_add(object, "cut", number_json(torn));
		json_object_object_add(object, "kept", kept ? json_object_new_string(kept) : NULL);
		print_json(object);
	} else if (kept) {
		printf("%s: %" PRIu64 " bytes cut, kept in %s\n", path, torn, kept);
	} else {
		printf("%s: nothing is torn; pmt image verify reads all of it\n", path);
	}
}

static int cut_tail(struct image *image, const struct pmt_imagefile_info *info, char *buffer)
{
	struct pmt_imagefile_options write = { .format = image->format, .write = true };
	_cleanup_free_ char *kept = NULL;
	struct pmt_imagefile *f;
	int r;

	if (asprintf(&kept, "%s.cut-%" PRIu64, info->path, info->end) < 0)
		return image_fail(info->path, -ENOMEM);
	r = keep_tail(info->path, info->end, info->size, kept, buffer);
	if (r)
		return image_fail(kept, r);
	f = image_open(image->words[0], &write);
	if (!f || pmt_imagefile_close(f))
		return TOOL_FAILED;
	print_cut(image, info->path, info->torn, kept);
	return TOOL_OK;
}

/* Without a new file: only what is torn at the ends can be repaired. */
static int repair_in_place(struct image *image, struct pmt_imagefile *f, char *buffer)
{
	struct pmt_imagefile_info info[4];
	uint32_t n = 1;
	bool torn = false;
	int code = TOOL_OK;

	for (uint32_t i = 0; i < n && i < 4; i++) {
		if (pmt_imagefile_info(f, i, &info[i]))
			return TOOL_FAILED;
		n = info[0].partitions;
		torn |= info[i].torn > 0;
		info[i].path = strdup(info[i].path);
	}
	if (info[0].odd && !torn) {
		fprintf(stderr, "pmt image: %s: %" PRIu64 " wrong links: repair -o NEW makes an "
			"image without\n", image->words[0], info[0].odd);
		code = TOOL_FAILED;
	}
	if (!torn && code == TOOL_OK)
		print_cut(image, image->words[0], 0, NULL);
	pmt_imagefile_close(f);
	for (uint32_t i = 0; i < n && i < 4; i++) {
		if (info[i].torn && code == TOOL_OK)
			code = cut_tail(image, &info[i], buffer);
		free(info[i].path);
	}
	return code;
}

int image_repair(struct image *image)
{
	struct pmt_imagefile_options o = { .format = image->format };
	_cleanup_free_ char *buffer = NULL;
	struct pmt_imagefile *f;

	if (image->output)
		return rescue(image);
	if (image->says_partition) {
		fputs("pmt image repair: --partition is for -o; in place all are repaired\n",
		      stderr);
		return TOOL_USAGE;
	}
	buffer = image_buffer();
	f = buffer ? image_open(image->words[0], &o) : NULL;
	if (!f) {
		fprintf(stderr, "pmt image: %s: repair -o NEW makes an image of what can be "
			"read\n", image->words[0]);
		return TOOL_FAILED;
	}
	return repair_in_place(image, f, buffer);
}

/* label */

int image_label(struct image *image)
{
	bool change = image->label || image->barcode;
	struct pmt_imagefile_options o = { .write = change };
	struct pmt_imagefile *f = image_open(image->words[0], &o);
	struct pmt_imagefile_info info;
	int r = f ? 0 : -EINVAL;

	if (f && change)
		r = pmt_imagefile_label(f, image->label, image->barcode);
	if (!r)
		r = pmt_imagefile_info(f, 0, &info);
	if (!r && image->json)
		print_json(image_json(&info));
	else if (!r)
		printf("label \"%s\"\nbar code %s\n", info.label, info.barcode);
	else if (r == -EROFS)
		fprintf(stderr, "pmt image: %s: is write-protected\n", image->words[0]);
	if (f && pmt_imagefile_close(f))
		r = -EIO;
	return r ? TOOL_FAILED : TOOL_OK;
}
