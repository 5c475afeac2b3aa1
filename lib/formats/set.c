/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The volume set: the names of its volumes, and its state file.
 *
 * The state is four lines of text, replaced as a whole:
 *
 *	pmt volume set 1
 *	volume 3
 *	unit 91f2c05d6e3388a1
 *	generation 4
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "format.h"

#define STATE_FORMAT "pmt volume set 1\nvolume %" PRIu32 "\nunit %016" PRIx64 \
	"\ngeneration %" PRIu64 "\n"
#define STATE_SCAN "pmt volume set 1\nvolume %" SCNu32 "\nunit %" SCNx64 \
	"\ngeneration %" SCNu64 "%c"

/* "d", "3d" or "03d" behind a %; NULL: it is something else. */
static const char *conversion(struct pmt_set *set, const char *p)
{
	set->zeros = *p == '0';
	p += set->zeros;
	set->width = isdigit((unsigned char)*p) && *p != '0' ? *p++ - '0' : 0;
	if (*p != 'd' || (set->zeros && !set->width))
		return NULL;
	set->is_set = true;
	return p + 1;
}

/* name into prefix and suffix, which are as long as it is. */
static int split(struct pmt_set *set, const char *name)
{
	char *out = set->prefix;

	while (*name) {
		if (*name == '%' && name[1] == '%') {
			name++;
		} else if (*name == '%') {
			if (set->is_set)
				return -EINVAL;
			name = conversion(set, name + 1);
			if (!name)
				return -EINVAL;
			out = set->suffix;
			continue;
		}
		*out++ = *name++;
	}
	return 0;
}

int pmt_set_parse(struct pmt_set *set, const char *target)
{
	const char *slash = strrchr(target, '/');
	const char *name = slash ? slash + 1 : target;
	int r;

	*set = (struct pmt_set){ 0 };
	set->folder = slash ? strndup(target, slash == target ? 1 : slash - target)
			    : strdup(".");
	set->prefix = calloc(1, strlen(name) + 1);
	set->suffix = calloc(1, strlen(name) + 1);
	if (!set->folder || !set->prefix || !set->suffix)
		return -ENOMEM;
	r = !*name ? -EINVAL : split(set, name);
	if (r) {
		pmt_log(LOG_ERR, "image: \"%s\" is not the name of a file, or of a set "
			"with one %%d, %%3d or %%03d (%%%% is a percent sign)", target);
		return r;
	}
	if (set->is_set &&
	    asprintf(&set->state_path, "%s/.%s.set", set->folder, name) < 0) {
		set->state_path = NULL;
		return -ENOMEM;
	}
	return 0;
}

void pmt_set_free(struct pmt_set *set)
{
	free(set->folder);
	free(set->prefix);
	free(set->suffix);
	free(set->state_path);
	*set = (struct pmt_set){ 0 };
}

char *pmt_set_path(const struct pmt_set *set)
{
	char number[16] = "", *path;

	if (set->is_set)
		snprintf(number, sizeof(number), set->zeros ? "%0*" PRIu32 : "%*" PRIu32,
			 set->width, set->volume);
	if (asprintf(&path, "%s/%s%s%s", set->folder, set->prefix, number,
		     set->suffix) < 0)
		return NULL;
	return path;
}

int pmt_set_recall(struct pmt_set *set)
{
	struct pmt_set read = { 0 };
	char text[160], last;
	ssize_t n;
	_cleanup_close_ int fd = open(set->state_path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return errno == ENOENT ? -ENODATA : -errno;
	n = pread(fd, text, sizeof(text) - 1, 0);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	if (sscanf(text, STATE_SCAN, &read.volume, &read.unit_id, &read.generation,
		   &last) != 4 || last != '\n') {
		pmt_log(LOG_ERR, "%s: not the state of a volume set", set->state_path);
		return -EINVAL;
	}
	set->volume = read.volume;
	set->unit_id = read.unit_id;
	set->generation = read.generation;
	return 0;
}

int pmt_sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *folder = slash ? strndup(path, slash - path + 1)
					    : strdup(".");
	_cleanup_close_ int fd = -1;

	if (!folder)
		return -ENOMEM;
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* Some file systems can not, and have it on the disk in their own way. */
	if (fsync(fd) && errno != EINVAL && errno != EOPNOTSUPP)
		return -errno;
	return 0;
}

/* A whole file at path, on the disk. */
static int write_file(const char *path, const char *text, size_t length)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC |
				      O_NOFOLLOW, 0640);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, length);
	if (n < 0 || fsync(fd))
		return -errno;
	return (size_t)n == length ? 0 : -ENOSPC;
}

int pmt_set_store(struct pmt_set *set, uint32_t volume, uint64_t unit_id,
		  uint64_t generation)
{
	_cleanup_free_ char *fresh = NULL, *text = NULL;
	int length, r = 0;

	if (!set->volatile_state) {
		length = asprintf(&text, STATE_FORMAT, volume, unit_id, generation);
		if (length < 0 || asprintf(&fresh, "%s.new", set->state_path) < 0)
			return -ENOMEM;
		r = write_file(fresh, text, (size_t)length);
		if (!r && rename(fresh, set->state_path))
			r = -errno;
		if (!r)
			r = pmt_sync_folder(set->state_path);
	}
	if (r) {
		pmt_log(LOG_ERR, "%s: cannot keep the state of the set: %s",
			set->state_path, strerror(-r));
		return r;
	}
	set->volume = volume;
	set->unit_id = unit_id;
	set->generation = generation;
	return 0;
}
