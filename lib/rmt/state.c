// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What is kept of a tape between two sessions: a small text file, see
 * STATE_FORMAT.  A session locks it (flock), and so does what st's "one open at a
 * time" does.  It is written over in place: a text that was torn by a crash does
 * not end with "end", and then the place is lost, which it is after a crash anyway.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <syslog.h>

#include "rmt.h"

#define STATE_MAX 640	/* the longest is shorter */

#define STATE_FORMAT \
	"pmt tape state 1\n" \
	"unit %016" PRIx64 "\n" \
	"session %" PRIu64 "\n" \
	"place %" PRIu64 " %" PRIu32 " %" PRIx64 " %" PRIx64 " %" PRIx64 "\n" \
	"medium %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 "\n" \
	"cookie %" PRIu32 "\n" \
	"tape %" PRId64 " %" PRId64 " %u\n" \
	"errors %" PRIu32 " %u\n" \
	"busy %u\n" \
	"end\n"

#define STATE_SCAN \
	"pmt tape state 1\n" \
	"unit %" SCNx64 "\n" \
	"session %" SCNu64 "\n" \
	"place %" SCNu64 " %" SCNu32 " %" SCNx64 " %" SCNx64 " %" SCNx64 "\n" \
	"medium %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 "\n" \
	"cookie %" SCNu32 "\n" \
	"tape %" SCNd64 " %" SCNd64 " %u\n" \
	"errors %" SCNu32 " %u\n" \
	"busy %u\n" \
	"en%c\n"

struct pmt_rmt_state {
	int fd;
	char *path;
};

int pmt_rmt_state_print(char *to, size_t size, const struct pmt_rmt_st_kept *kept)
{
	const struct pmt_place *place = &kept->place;
	const uint64_t *medium = kept->medium;
	int n = snprintf(to, size, STATE_FORMAT, kept->unit_id, kept->session,
			 (uint64_t)place->generation, place->partition,
			 (uint64_t)place->lbn, (uint64_t)place->file,
			 (uint64_t)place->block, medium[0], medium[1], medium[2], medium[3],
			 medium[4], medium[5], kept->cookie, kept->file, kept->block,
			 (unsigned int)kept->eof, kept->recovered,
			 kept->cleaning ? 1u : 0u, kept->busy ? 1u : 0u);

	return n < 0 || (size_t)n >= size ? -ENOBUFS : n;
}

int pmt_rmt_state_parse(const char *text, struct pmt_rmt_st_kept *kept)
{
	struct pmt_rmt_st_kept read = { .unit_id = 0 };
	uint64_t *medium = read.medium, generation, lbn, file, block;
	unsigned int eof, cleaning, busy;
	char last;
	int n = sscanf(text, STATE_SCAN, &read.unit_id, &read.session, &generation,
		       &read.place.partition, &lbn, &file, &block, &medium[0], &medium[1],
		       &medium[2], &medium[3], &medium[4], &medium[5], &read.cookie,
		       &read.file, &read.block, &eof, &read.recovered, &cleaning, &busy,
		       &last);

	if (n != 21 || last != 'd' || !read.unit_id || eof > PMT_RMT_ST_EOD3 ||
	    cleaning > 1 || busy > 1)
		return -EINVAL;
	if (read.place.partition > PMT_PARTITION_MAX || read.file < -1 || read.block < -1)
		return -EINVAL;
	read.place.generation = generation;
	read.place.lbn = lbn;
	read.place.file = file;
	read.place.block = block;
	read.eof = (enum pmt_rmt_st_eof)eof;
	read.cleaning = cleaning;
	read.busy = busy;
	*kept = read;
	return 0;
}

static int begin(struct pmt_rmt_st_kept *kept)
{
	*kept = (struct pmt_rmt_st_kept){ .place = { .generation = 1 } };
	while (!kept->unit_id)
		if (getrandom(&kept->unit_id, sizeof(kept->unit_id), 0) < 0)
			return -errno;
	return 0;
}

static int load(struct pmt_rmt_state *state, struct pmt_rmt_st_kept *kept)
{
	char text[STATE_MAX];
	ssize_t n = pread(state->fd, text, sizeof(text) - 1, 0);
	int rc;

	if (n < 0)
		return -errno;
	text[n] = '\0';
	if (n && pmt_rmt_state_parse(text, kept) == 0)
		return 0;
	rc = begin(kept);
	if (n) {
		pmt_log(LOG_WARNING, "%s: not a tape's state, or torn: the place is lost",
			state->path);
		kept->session = kept->place.generation;
		kept->busy = true;
	}
	return rc;
}

static int lock(struct pmt_rmt_state *state)
{
	struct stat st;
	int rc;

	state->fd = open(state->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY |
				      O_NONBLOCK, 0600);
	if (state->fd < 0 || fstat(state->fd, &st)) {
		rc = -errno;
		pmt_log(LOG_ERR, "%s: %s; it keeps where the tape stands", state->path,
			strerror(-rc));
		return rc == -ENOENT || rc == -EACCES ? -EIO : rc;
	}
	if (!S_ISREG(st.st_mode)) {
		pmt_log(LOG_ERR, "%s: is no file", state->path);
		return -EIO;
	}
	if (flock(state->fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	return errno == EWOULDBLOCK ? -EBUSY : -errno;
}

int pmt_rmt_state_open(struct pmt_rmt_state **out, const char *path,
		       struct pmt_rmt_st_kept *kept)
{
	struct pmt_rmt_state *state = calloc(1, sizeof(*state));
	int rc = -ENOMEM;

	if (!state)
		return rc;
	state->fd = -1;
	state->path = strdup(path);
	if (state->path)
		rc = lock(state);
	if (rc == 0)
		rc = load(state, kept);
	if (rc) {
		pmt_rmt_state_close(state);
		return rc;
	}
	*out = state;
	return 0;
}

int pmt_rmt_state_store(struct pmt_rmt_state *state, const struct pmt_rmt_st_kept *kept)
{
	char text[STATE_MAX];
	int rc = 0, n = pmt_rmt_state_print(text, sizeof(text), kept);

	if (n < 0)
		return n;
	if (pwrite(state->fd, text, (size_t)n, 0) != n || ftruncate(state->fd, n) ||
	    fdatasync(state->fd))
		rc = errno ? -errno : -EIO;
	if (rc)
		pmt_log(LOG_ERR, "%s: %s", state->path, strerror(-rc));
	return rc;
}

void pmt_rmt_state_close(struct pmt_rmt_state *state)
{
	if (!state)
		return;
	if (state->fd >= 0)
		close(state->fd);
	free(state->path);
	free(state);
}
