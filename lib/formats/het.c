// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * HET: records that Hercules has compressed, by zlib or bzip2, each as a whole.
 *
 * What does not fit into the caller's buffer goes through a small one, so that a few
 * bytes that claim to be a huge record cost no memory.
 */
#include <errno.h>
#include <stdint.h>
#include <bzlib.h>
#include <zlib.h>

#include "../internal.h"
#include "aws.h"

#define SPILL (16u << 10)

/* Where the next bytes go. */
struct output {
	char *buffer;
	size_t size, done;
	char spill[SPILL];
};

static char *next_output(struct output *out, unsigned int *room)
{
	size_t left = out->done < out->size ? out->size - out->done : 0;

	*room = left && left < UINT32_MAX ? (unsigned int)left : SPILL;
	return left ? out->buffer + out->done : out->spill;
}

/* 0 go on, 1 the end, -EBADMSG. */
static int inflate_some(void *stream, char *to, unsigned int *room)
{
	z_stream *z = stream;
	int r;

	z->next_out = (Bytef *)to;
	z->avail_out = *room;
	r = inflate(z, Z_NO_FLUSH);
	*room -= z->avail_out;
	return r == Z_STREAM_END ? 1 : r == Z_OK && *room ? 0 : -EBADMSG;
}

static int bunzip_some(void *stream, char *to, unsigned int *room)
{
	bz_stream *bz = stream;
	unsigned int before = bz->avail_in;
	int r;

	bz->next_out = to;
	bz->avail_out = *room;
	r = BZ2_bzDecompress(bz);
	*room -= bz->avail_out;
	if (r == BZ_STREAM_END)
		return 1;
	return r == BZ_OK && (*room || before != bz->avail_in) ? 0 : -EBADMSG;
}

static int unpack(int (*some)(void *, char *, unsigned int *), void *stream,
		  struct output *out)
{
	int r;

	do {
		unsigned int room;
		char *to = next_output(out, &room);

		r = some(stream, to, &room);
		out->done += room;
		if (out->done > PMT_RECORD_MAX)
			return -EBADMSG;
	} while (!r);
	return r < 0 ? r : out->done ? 0 : -EBADMSG;
}

static int unpack_zlib(char *packed, unsigned int length, struct output *out)
{
	z_stream z = { .next_in = (Bytef *)packed, .avail_in = length };
	int r = inflateInit(&z) == Z_OK ? 0 : -ENOMEM;

	if (!r)
		r = unpack(inflate_some, &z, out);
	inflateEnd(&z);
	return r;
}

static int unpack_bzip2(char *packed, unsigned int length, struct output *out)
{
	bz_stream bz = { .next_in = packed, .avail_in = length };
	int r = BZ2_bzDecompressInit(&bz, 0, 0) == BZ_OK ? 0 : -ENOMEM;

	if (!r)
		r = unpack(bunzip_some, &bz, out);
	BZ2_bzDecompressEnd(&bz);
	return r;
}

int pmt_het_unpack(unsigned int method, char *packed, size_t packed_length, void *buffer,
		   size_t size, size_t *length)
{
	struct output out = { .buffer = buffer, .size = size };
	unsigned int n = (unsigned int)packed_length;
	int r = -EBADMSG;

	if (method == PMT_HET_ZLIB)
		r = unpack_zlib(packed, n, &out);
	else if (method == PMT_HET_BZIP2)
		r = unpack_bzip2(packed, n, &out);
	*length = out.done;
	return r;
}
