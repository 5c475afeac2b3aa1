// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * zstd: records compressed by libzstd, each by itself.
 *
 * level=N (3), threads=N (the processors there are).  A record is a head, three bytes
 * "pmz", how it is kept, and its length, little endian, 4 bytes; then a frame of
 * zstd with its checksum, or, if that would be longer, the bytes as they are.  So no
 * record grows by more than the head.
 *
 * The application's MTCOMPRESSION turns it off and on: off, records are kept as they
 * are, with the head.  A session without a unit has no such mode; there it is on.
 */
#include <endian.h>
#include <errno.h>
#include <json-c/json.h>
#include <string.h>
#include <zstd.h>

#include "coder.h"

#define STORED '0'
#define FRAME '1'

struct head {
	char magic[3], how;
	uint32_t length;
};
_Static_assert(sizeof(struct head) == 8, "a head is 8 bytes");

struct zstd {
	struct pmt_coder coder;
	int level;
	atomic_bool off;
	atomic_uint least;	/* a coded record is not shorter */
	struct {
		ZSTD_CCtx *out;
		ZSTD_DCtx *in;
	} *contexts;		/* one a thread */
};

static struct zstd *zstd_of(struct pmt_coder *c)
{
	return (struct zstd *)c;
}

static int zstd_prepare(struct pmt_coder *c, struct pmt_cell *cell)
{
	(void)cell;
	atomic_store(&zstd_of(c)->least, c->below.record_min);
	return 0;
}

/* Bytes of the frame; 0: not so. */
static size_t compress(struct zstd *zstd, const struct pmt_cell *cell, unsigned int thread)
{
	size_t n;

	if (atomic_load(&zstd->off))
		return 0;
	n = ZSTD_compress2(zstd->contexts[thread].out, cell->coded + sizeof(struct head),
			   cell->size, cell->plain, cell->size);
	if (ZSTD_isError(n) || n >= cell->size ||
	    n + sizeof(struct head) < atomic_load(&zstd->least))
		return 0;
	return n;
}

static int zstd_encode(struct pmt_coder *c, struct pmt_cell *cell, unsigned int thread)
{
	size_t n = compress(zstd_of(c), cell, thread);
	struct head head = { { 'p', 'm', 'z' }, n ? FRAME : STORED, htole32(cell->size) };

	memcpy(cell->coded, &head, sizeof(head));
	if (!n) {
		n = cell->size;
		memcpy(cell->coded + sizeof(head), cell->plain, n);
	}
	cell->coded_length = (uint32_t)(n + sizeof(head));
	return 0;
}

static int bad(struct pmt_cell *cell, const char *why)
{
	return pmt_cell_fail(cell, PMT_KEY_MEDIUM, 0x1100, "%s", why);
}

static int unpack(struct zstd *zstd, struct pmt_cell *cell, unsigned int thread)
{
	_cleanup_free_ unsigned char *whole = NULL;
	const unsigned char *frame = cell->coded + sizeof(struct head);
	unsigned char *to = cell->plain;
	size_t n;

	if (cell->length > cell->size) {
		to = whole = malloc(cell->length);
		if (!whole)
			return pmt_cell_fail(cell, PMT_KEY_HARDWARE, 0x4400, "no memory");
	}
	n = ZSTD_decompressDCtx(zstd->contexts[thread].in, to, cell->length, frame,
				cell->coded_length - sizeof(struct head));
	if (ZSTD_isError(n))
		return pmt_cell_fail(cell, PMT_KEY_MEDIUM, 0x1100, "damaged: %s",
				     ZSTD_getErrorName(n));
	if (n != cell->length)
		return bad(cell, "damaged: its length is another one than it says");
	if (whole)
		memcpy(cell->plain, whole, cell->size);
	return 0;
}

static int zstd_decode(struct pmt_coder *c, struct pmt_cell *cell, unsigned int thread)
{
	struct head head;

	if (cell->coded_length <= sizeof(head))
		return bad(cell, "not a record of zstd: was it written without this filter?");
	memcpy(&head, cell->coded, sizeof(head));
	cell->length = le32toh(head.length);
	if (memcmp(head.magic, "pmz", 3) || (head.how != FRAME && head.how != STORED))
		return bad(cell, "not a record of zstd: was it written without this filter?");
	if (!cell->length || cell->length > PMT_RECORD_MAX ||
	    cell->coded_length > cell->length + sizeof(head))
		return bad(cell, "damaged: its length cannot be");
	if (head.how == FRAME)
		return unpack(zstd_of(c), cell, thread);
	if (cell->length != cell->coded_length - sizeof(head))
		return bad(cell, "damaged: its length is another one than it says");
	memcpy(cell->plain, cell->coded + sizeof(head),
	       cell->length < cell->size ? cell->length : cell->size);
	return 0;
}

/* What is below has nothing left to compress; it is left as it is. */
static uint8_t zstd_modes(struct pmt_coder *c, const struct pmt_modes *modes)
{
	bool unit = c->session.unit_id != 0;

	atomic_store(&zstd_of(c)->off, unit && !modes->compression);
	return modes->compression;
}

static void zstd_status(struct pmt_coder *c, struct json_object *object)
{
	bool written = c->written.coded != 0;
	uint64_t plain = written ? c->written.plain : c->read.plain;
	uint64_t coded = written ? c->written.coded : c->read.coded;

	json_object_object_add(object, "level", json_object_new_int(zstd_of(c)->level));
	json_object_object_add(object, "compression",
			       json_object_new_boolean(!atomic_load(&zstd_of(c)->off)));
	json_object_object_add(object, "ratio",
			       coded ? json_object_new_double((double)plain / (double)coded) :
				       NULL);
}

static const struct pmt_codec codec = {
	.head = sizeof(struct head),
	.prepare = zstd_prepare,
	.encode = zstd_encode,
	.decode = zstd_decode,
	.modes = zstd_modes,
	.status = zstd_status,
};

static void free_contexts(struct zstd *zstd, unsigned int threads)
{
	for (unsigned int i = 0; zstd->contexts && i < threads; i++) {
		ZSTD_freeCCtx(zstd->contexts[i].out);
		ZSTD_freeDCtx(zstd->contexts[i].in);
	}
	free(zstd->contexts);
}

static int make_contexts(struct zstd *zstd, unsigned int threads)
{
	zstd->contexts = calloc(threads, sizeof(*zstd->contexts));
	for (unsigned int i = 0; zstd->contexts && i < threads; i++) {
		ZSTD_CCtx *out = ZSTD_createCCtx();

		zstd->contexts[i].out = out;
		zstd->contexts[i].in = ZSTD_createDCtx();
		if (!out || !zstd->contexts[i].in ||
		    ZSTD_isError(ZSTD_CCtx_setParameter(out, ZSTD_c_compressionLevel,
							zstd->level)) ||
		    ZSTD_isError(ZSTD_CCtx_setParameter(out, ZSTD_c_checksumFlag, 1)))
			return -ENOMEM;
	}
	return zstd->contexts ? 0 : -ENOMEM;
}

static int zstd_open(struct pmt_drive *drive, const struct pmt_spec *spec)
{
	struct zstd *zstd = (struct zstd *)drive;
	uint64_t level = 3;
	unsigned int threads;
	int rc = pmt_spec_number(spec, "level", 1, (uint64_t)ZSTD_maxCLevel(), &level);

	if (rc == 0 || rc == -ENOENT)
		rc = pmt_coder_threads(spec, &threads);
	if (rc == 0)
		rc = pmt_spec_unused(spec);
	if (rc)
		return rc;
	zstd->level = (int)level;
	rc = make_contexts(zstd, threads);
	if (rc == 0)
		rc = pmt_coder_open(&zstd->coder, &codec, threads);
	if (rc)
		free_contexts(zstd, threads);
	return rc;
}

static void zstd_close(struct pmt_drive *drive)
{
	struct zstd *zstd = (struct zstd *)drive;

	pmt_coder_close(&zstd->coder);
	free_contexts(zstd, zstd->coder.threads);
}

const struct pmt_drive_ops pmt_zstd_drive = {
	.name = "zstd",
	.size = sizeof(struct zstd),
	.open = zstd_open,
	.close = zstd_close,
	.session = pmt_coder_session,
	.attach = pmt_coder_attach,
	.detach = pmt_coder_settle,
	.submit = pmt_coder_submit,
	.resume = pmt_coder_resume,
	.cancel = pmt_coder_cancel,
	.settle = pmt_coder_settle,
	.limits = pmt_coder_limits,
	.status = pmt_coder_status,
};
