// SPDX-License-Identifier: GPL-2.0-or-later
/* A tape in one file, byte for byte, and the drive "image" with it. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder.h"
#include "onefile.h"

char file[128];

void onefile_name(const char *name)
{
	snprintf(file, sizeof(file), "%s", path(name));
}

void onefile_make(const char *name)
{
	folder_make();
	onefile_name(name);
}

int try_tape(struct pmt_leaf **leaf, const char *options)
{
	char text[256], *error = NULL;
	struct pmt_spec *spec;
	int r;

	snprintf(text, sizeof(text), "image:%s%s", file, options);
	ck_assert_int_eq(pmt_spec_parse(text, &spec, &error), 0);
	*leaf = calloc(1, pmt_image_drive.size);
	(*leaf)->drive.ops = &pmt_image_drive;
	r = pmt_image_drive.open(&(*leaf)->drive, spec);
	pmt_spec_free(spec);
	if (r) {
		free(*leaf);
		*leaf = NULL;
	}
	return r;
}

struct pmt_leaf *tape(const char *options)
{
	struct pmt_leaf *leaf;

	ck_assert_int_eq(try_tape(&leaf, options), 0);
	return leaf;
}

void drop(struct pmt_leaf *leaf)
{
	pmt_image_drive.close(&leaf->drive);
	free(leaf);
}

void make(const char *bytes, size_t length)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	ck_assert_int_eq(write(fd, bytes, length), length);
	close(fd);
}

void file_is(const char *bytes, size_t length)
{
	_cleanup_free_ char *got = malloc(length + 1);
	int fd = open(file, O_RDONLY);

	ck_assert_int_eq(read(fd, got, length + 1), length);
	ck_assert_int_eq(memcmp(got, bytes, length), 0);
	close(fd);
}

int get(struct pmt_leaf *leaf, const char *want)
{
	char got[100] = "";
	size_t n = 0;
	int r = leaf->ops->read(leaf, got, sizeof(got), &n);

	ck_assert_uint_eq(n, strlen(want));
	ck_assert_str_eq(got, want);
	return r;
}

void put(struct pmt_leaf *leaf, const char *text)
{
	ck_assert_int_eq(leaf->ops->write(leaf, text, strlen(text)), 0);
}

void put_marks(struct pmt_leaf *leaf, uint32_t count)
{
	uint32_t done;

	ck_assert_int_eq(leaf->ops->marks(leaf, count, &done), 0);
	ck_assert_uint_eq(done, count);
}

void all_refused(const struct bytes *files, size_t n, const char *format)
{
	struct pmt_leaf *leaf;

	for (size_t i = 0; i < n; i++) {
		make(files[i].bytes, files[i].length);
		ck_assert_int_eq(try_tape(&leaf, format), -EINVAL);
		ck_assert_int_eq(try_tape(&leaf, ""), -EINVAL);
		file_is(files[i].bytes, files[i].length);
	}
}

void torn_anywhere(const char *script, size_t size, const size_t *ends, size_t n)
{
	for (size_t length = ends[0]; length <= size; length++) {
		struct pmt_leaf *leaf;
		uint64_t whole = 0;
		struct stat st;

		while (whole < n && ends[whole] <= length)
			whole++;
		make(script, length);
		leaf = tape("?readonly=yes");
		ck_assert_uint_eq(leaf->eod, whole);
		drop(leaf);
		file_is(script, length);
		leaf = tape("");
		ck_assert_uint_eq(leaf->eod, whole);
		drop(leaf);
		ck_assert_int_eq(stat(file, &st), 0);
		ck_assert_int_eq(st.st_size, ends[whole - 1]);
	}
}
