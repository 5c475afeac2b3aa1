// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The file of an image, without a unit: a drive "image" that nobody is attached to,
 * moved by its primitives.  All that they refuse is refused here.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "formats/format.h"

struct pmt_imagefile {
	struct pmt_leaf *leaf;		/* first in its drive */
	bool write;
};

/* The file's path as the target of a specification: no set, nothing special. */
static char *escape(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *text = malloc(2 * strlen(path) + 1), *out = text;

	for (const char *p = path; text && *p; p++) {
		if (strchr("?|,()&=\\ \t\n", *p))
			*out++ = '\\';
		if (*p == '%' && (!slash || p > slash))
			*out++ = '%';
		*out++ = *p;
	}
	if (text)
		*out = '\0';
	return text;
}

static char *specification(const char *path, const struct pmt_imagefile_options *o)
{
	_cleanup_free_ char *target = escape(path);
	char capacity[48] = "", *text;

	if (o->capacity)
		snprintf(capacity, sizeof(capacity), "&capacity=%llu",
			 (unsigned long long)o->capacity);
	if (!target ||
	    asprintf(&text, "image:%s?create=%s%s%s%s%s%s%s", target,
		     o->create ? "yes" : "no", capacity, o->worm ? "&worm=yes" : "",
		     o->write || o->create ? "" : "&readonly=yes",
		     o->salvage ? "&salvage=yes" : "", o->format ? "&format=" : "",
		     o->format ? o->format : "") < 0)
		return NULL;
	return text;
}

int pmt_imagefile_open(struct pmt_imagefile **opened, const char *path,
		       const struct pmt_imagefile_options *o)
{
	_cleanup_free_ char *spec = specification(path, o), *error = NULL;
	struct pmt_imagefile *f = calloc(1, sizeof(*f));
	struct pmt_drive *drive;
	int r = spec && f ? 0 : -ENOMEM;

	if (!r && o->create && access(path, F_OK) == 0) {
		pmt_log(LOG_ERR, "%s: exists already", path);
		r = -EEXIST;
	}
	if (!r)
		r = pmt_drive_open(&drive, spec, &error);
	if (r) {
		if (error)
			pmt_log(LOG_ERR, "%s: %s", path, error);
		free(f);
		return r;
	}
	f->leaf = (struct pmt_leaf *)drive;
	f->write = o->write || o->create;
	*opened = f;
	return 0;
}

int pmt_imagefile_close(struct pmt_imagefile *f)
{
	int r = f->write ? f->leaf->ops->sync(f->leaf) : 0;

	pmt_drive_close(&f->leaf->drive);
	free(f);
	return r;
}

static void print_uuid(const struct pmt_tape *tape, char *text, size_t size)
{
	static const uint8_t none[16];
	size_t used = 0;

	*text = '\0';
	if (!memcmp(tape->uuid, none, sizeof(none)))
		return;
	for (int i = 0; i < 16; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%02x",
					 i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
					 tape->uuid[i]);
}

int pmt_imagefile_info(struct pmt_imagefile *f, uint32_t partition,
		       struct pmt_imagefile_info *info)
{
	const struct pmt_tape *first = pmt_image_tape(f->leaf, 0);
	const struct pmt_tape *tape = pmt_image_tape(f->leaf, partition);

	if (!tape) {
		pmt_log(LOG_ERR, "%s: has no partition %u", f->leaf->drive.text, partition);
		return -EINVAL;
	}
	*info = (struct pmt_imagefile_info){
		.format = tape->format->name,
		.worm = first->worm,
		.protected = f->leaf->protected,
		.partitions = f->leaf->ops->partitions(f->leaf),
		.path = tape->path,
		.objects = tape->eod,
		.marks = tape->files,
		.size = tape->size,
		.capacity = tape->capacity,
		.end = tape->end,
		.torn = tape->torn,
		.damage = tape->damage,
		.odd = tape->odd,
		.record_max = f->leaf->limits.record_max,
	};
	print_uuid(first, info->uuid, sizeof(info->uuid));
	snprintf(info->label, sizeof(info->label), "%s", first->label);
	snprintf(info->barcode, sizeof(info->barcode), "%s", first->barcode);
	return 0;
}

int pmt_imagefile_seek(struct pmt_imagefile *f, uint32_t partition, uint64_t file)
{
	struct pmt_leaf *leaf = f->leaf;
	int64_t left;
	int r = leaf->ops->locate(leaf, partition, 0);

	if (!r && file)
		r = file > INT64_MAX ? -ENODATA :
				       leaf->ops->space_marks(leaf, (int64_t)file, &left);
	return r > 0 ? -ENODATA : r;
}

int pmt_imagefile_seek_end(struct pmt_imagefile *f)
{
	return f->leaf->ops->to_eod(f->leaf);
}

struct pmt_imagefile_place pmt_imagefile_place(const struct pmt_imagefile *f)
{
	const struct pmt_place *at = &f->leaf->place;

	return (struct pmt_imagefile_place){ at->lbn, at->file, at->block };
}

int pmt_imagefile_read(struct pmt_imagefile *f, void *buffer, size_t size, size_t *length)
{
	int r = f->leaf->ops->read(f->leaf, buffer, size, length);

	if (r == PMT_AT_MARK)
		return PMT_IMAGEFILE_MARK;
	return r == PMT_AT_EOD ? PMT_IMAGEFILE_END : r;
}

int pmt_imagefile_write(struct pmt_imagefile *f, const void *data, size_t length)
{
	uint32_t done;
	int r = length ? f->leaf->ops->write(f->leaf, data, length) :
			 f->leaf->ops->marks(f->leaf, 1, &done);

	return r > 0 ? 0 : r;
}

int pmt_imagefile_cut(struct pmt_imagefile *f)
{
	return f->leaf->ops->cut(f->leaf);
}

int pmt_imagefile_sync(struct pmt_imagefile *f)
{
	return f->leaf->ops->sync(f->leaf);
}

struct pmt_drive *pmt_imagefile_drive(struct pmt_imagefile *f)
{
	return &f->leaf->drive;
}

static bool is_label(const char *text)
{
	for (const char *p = text; *p; p++)
		if (iscntrl((unsigned char)*p))
			return false;
	return strlen(text) <= PMT_LABEL_MAX;
}

static bool is_barcode(const char *text)
{
	for (const char *p = text; *p; p++)
		if (!isdigit((unsigned char)*p) && !(*p >= 'A' && *p <= 'Z'))
			return false;
	return strlen(text) <= PMT_BARCODE_MAX;
}

static int may_label(const struct pmt_tape *tape, const char *label, const char *barcode)
{
	if (!tape->format->label) {
		pmt_log(LOG_ERR, "%s: a tape of format %s has no label; convert it to native",
			tape->path, tape->format->name);
		return -ENOTSUP;
	}
	if ((label && !is_label(label)) || (barcode && !is_barcode(barcode))) {
		pmt_log(LOG_ERR, "a label is up to %u bytes of text, a bar code up to %u "
			"capital letters and digits", PMT_LABEL_MAX, PMT_BARCODE_MAX);
		return -EINVAL;
	}
	if (tape->worm && ((label && *tape->label) || (barcode && *tape->barcode))) {
		pmt_log(LOG_ERR, "%s: is write-once, and has its label already", tape->path);
		return -EPERM;
	}
	return 0;
}

static void set_text(char *to, size_t size, const char *text)
{
	memset(to, 0, size);
	snprintf(to, size, "%s", text);
}

int pmt_imagefile_label(struct pmt_imagefile *f, const char *label, const char *barcode)
{
	struct pmt_tape *tape = pmt_image_tape(f->leaf, 0);
	int r = f->leaf->protected ? -EROFS : may_label(tape, label, barcode);

	if (r)
		return r;
	if (label)
		set_text(tape->label, sizeof(tape->label), label);
	if (barcode)
		set_text(tape->barcode, sizeof(tape->barcode), barcode);
	return tape->format->label(tape);
}
