// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * struct mtget of other machines: S sends it as it lies in the server's memory.
 *
 * The size says which fields there are; the byte order follows from the type of
 * the drive, the first field, which is a small number on every system.  What fits
 * no layout, or no byte order, is refused: a wrong status is worse than none.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "rmt.h"

struct field {
	uint8_t offset, size;	/* size 0: there is none */
	bool has_sign;
};

/* In the order of struct pmt_rmt_status. */
#define FIELDS 7

static const struct layout {
	size_t size;
	int64_t type_max;	/* no drive has a larger one */
	struct field fields[FIELDS];	/* type resid dsreg gstat erreg file block */
} layouts[PMT_RMT_LAYOUTS] = {
	/* MT_ISFTAPE_FLAG, and what is below. */
	[PMT_RMT_LINUX64] = { 48, 0xffffff, { { 0, 8, false }, { 8, 8, true }, { 16, 8, false },
				    { 24, 8, false }, { 32, 8, false }, { 40, 4, true },
				    { 44, 4, true } } },
	[PMT_RMT_LINUX32] = { 28, 0xffffff, { { 0, 4, false }, { 4, 4, true }, { 8, 4, false },
				    { 12, 4, false }, { 16, 4, false }, { 20, 4, true },
				    { 24, 4, true } } },
	/* type, dsreg, erreg, a hole, resid, file, block, flags, block factor. */
	[PMT_RMT_SUN] = { 24, 0xfff, { { 0, 2, false }, { 8, 4, true }, { 2, 2, false },
				{ 20, 2, false }, { 4, 2, false }, { 12, 4, true },
				{ 16, 4, true } } },
};

static int64_t *value_of(struct pmt_rmt_status *status, size_t field)
{
	static const size_t offsets[FIELDS] = {
		offsetof(struct pmt_rmt_status, type),
		offsetof(struct pmt_rmt_status, resid),
		offsetof(struct pmt_rmt_status, dsreg),
		offsetof(struct pmt_rmt_status, gstat),
		offsetof(struct pmt_rmt_status, erreg),
		offsetof(struct pmt_rmt_status, file),
		offsetof(struct pmt_rmt_status, block),
	};

	return (int64_t *)((char *)status + offsets[field]);
}

static int64_t get(const uint8_t *bytes, const struct field *field, bool big_endian)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < field->size; i++)
		value = value << 8 | bytes[field->offset +
					   (big_endian ? i : field->size - 1 - i)];
	return field->has_sign && field->size == 4 ? (int32_t)value : (int64_t)value;
}

static void put(uint8_t *bytes, const struct field *field, bool big_endian, uint64_t value)
{
	for (unsigned int i = 0; i < field->size; i++, value >>= 8)
		bytes[field->offset + (big_endian ? field->size - 1 - i : i)] =
			(uint8_t)value;
}

static bool is_type(const struct layout *layout, int64_t type)
{
	return type > 0 && type <= layout->type_max;
}

/* A type that can be read both ways is taken by the smaller one. */
static int byte_order(const uint8_t *bytes, const struct layout *layout, bool *big_endian)
{
	int64_t little = get(bytes, &layout->fields[0], false);
	int64_t big = get(bytes, &layout->fields[0], true);

	if (!is_type(layout, little) && !is_type(layout, big))
		return -EPROTO;
	*big_endian = !is_type(layout, little) || (is_type(layout, big) && big < little);
	return 0;
}

int pmt_rmt_mtget_decode(const void *bytes, size_t size, struct pmt_rmt_status *status)
{
	size_t i = 0;
	bool big_endian;
	int rc;

	while (i < PMT_RMT_LAYOUTS && layouts[i].size != size)
		i++;
	if (i == PMT_RMT_LAYOUTS)
		return -EPROTO;
	rc = byte_order(bytes, &layouts[i], &big_endian);
	for (size_t k = 0; !rc && k < FIELDS; k++)
		*value_of(status, k) = get(bytes, &layouts[i].fields[k], big_endian);
	return rc;
}

size_t pmt_rmt_mtget_encode(void *to, enum pmt_rmt_layout number, bool big_endian,
			    const struct pmt_rmt_status *status)
{
	const struct layout *layout = &layouts[number];
	struct pmt_rmt_status copy = *status;

	memset(to, 0, layout->size);
	for (size_t k = 0; k < FIELDS; k++)
		put(to, &layout->fields[k], big_endian, (uint64_t)*value_of(&copy, k));
	return layout->size;
}
