/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pmt image: its command line (image.c), what reads (image-read.c), what writes. */
#ifndef IMAGE_H
#define IMAGE_H

#include "pmt-tool.h"

struct image {
	const char *verb;
	char **words;			/* behind the verb */
	size_t n_words;
	bool json, each, salvage, create, worm, says_partition;
	const char *output, *format, *label, *barcode;
	uint32_t partition;
	uint64_t capacity, record;
};

/* A buffer for any record. */
#define IMAGE_RECORD_MAX (16u << 20)

/* image.c */
/* NULL: it was said why. */
struct pmt_imagefile *image_open(const char *path, const struct pmt_imagefile_options *);
/* Returns TOOL_FAILED. */
int image_fail(const char *path, int err);
void *image_buffer(void);
struct json_object *image_json(const struct pmt_imagefile_info *);

/* Verbs. */
int image_ls(struct image *);
int image_verify(struct image *);
int image_extract(struct image *);
int image_append(struct image *);
int image_convert(struct image *);
int image_repair(struct image *);
int image_label(struct image *);

#endif
