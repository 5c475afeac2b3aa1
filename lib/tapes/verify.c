// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Comparing tapes record by record, all of them read at once.
 *
 * Each has a reader, so each is busy while the others are compared.  The first is
 * what the others are held against.  The first difference ends it, for what is
 * behind it says nothing any more; damage does not, as the place of what follows is
 * known.
 */
#include <errno.h>
#include <string.h>

#include "tapes.h"

struct side {
	struct pmt_reader *reader;
	struct pmt_object object;	/* the next one */
};

struct verifier {
	struct side *sides;
	size_t n;
	const struct pmt_verify *wish;
	struct pmt_verified *verified;
};

static bool is_end(const struct side *side)
{
	return side->object.kind == PMT_OBJECT_END;
}

static bool is_damaged(const struct side *side)
{
	return side->object.kind == PMT_OBJECT_DAMAGED;
}

static int fetch(struct verifier *v)
{
	for (size_t i = 0; i < v->n; i++) {
		struct side *side = &v->sides[i];
		int rc = pmt_reader_next(side->reader, &side->object);

		if (rc) {
			v->verified->side = i;
			return rc;
		}
		pmt_tally_add(&v->wish->tallies[i], &side->object);
		if (is_damaged(side) && v->wish->damaged)
			v->wish->damaged(i, &side->object, v->wish->walk.context);
	}
	return 0;
}

static void release(struct verifier *v)
{
	for (size_t i = 0; i < v->n; i++)
		if (!is_end(&v->sides[i]))
			pmt_reader_release(v->sides[i].reader);
}

static uint64_t first_difference(const unsigned char *a, const unsigned char *b,
				 uint32_t length)
{
	uint32_t i = 0;

	while (i < length && a[i] == b[i])
		i++;
	return i;
}

static enum pmt_difference compare(const struct pmt_object *a, const struct pmt_object *b,
				   uint64_t *offset)
{
	uint32_t common = a->length < b->length ? a->length : b->length;

	*offset = 0;
	if (a->kind == PMT_OBJECT_DAMAGED || b->kind == PMT_OBJECT_DAMAGED)
		return (a->kind == PMT_OBJECT_END || b->kind == PMT_OBJECT_END) ?
			       PMT_DIFFERENT_END : PMT_SAME;
	if (a->kind != b->kind)
		return (a->kind == PMT_OBJECT_END || b->kind == PMT_OBJECT_END) ?
			       PMT_DIFFERENT_END : PMT_DIFFERENT_KIND;
	if (a->kind != PMT_OBJECT_RECORD)
		return PMT_SAME;
	if (a->length == b->length && !memcmp(a->data, b->data, common))
		return PMT_SAME;
	*offset = first_difference(a->data, b->data, common);
	return a->length == b->length ? PMT_DIFFERENT_DATA : PMT_DIFFERENT_LENGTH;
}

/* Is each the same as the first? */
static bool same(struct verifier *v)
{
	const struct pmt_object *first = &v->sides[0].object;
	struct pmt_verified *out = v->verified;

	for (size_t i = 1; i < v->n; i++) {
		const struct pmt_object *other = &v->sides[i].object;

		out->difference = compare(first, other, &out->offset);
		if (out->difference == PMT_SAME)
			continue;
		out->side = i;
		out->first = *first;
		out->other = *other;
		if (out->difference == PMT_DIFFERENT_DATA) {
			out->bytes[0] = ((const uint8_t *)first->data)[out->offset];
			out->bytes[1] = ((const uint8_t *)other->data)[out->offset];
		}
		out->first.data = out->other.data = NULL;
		return false;
	}
	return true;
}

static int all_ended(const struct verifier *v)
{
	for (size_t i = 0; i < v->n; i++)
		if (!is_end(&v->sides[i]))
			return false;
	return true;
}

static uint64_t damage(const struct verifier *v)
{
	uint64_t n = 0;

	for (size_t i = 0; i < v->n; i++)
		n += v->wish->tallies[i].damaged;
	return n;
}

static int run(struct verifier *v)
{
	for (;;) {
		int rc = fetch(v);

		if (rc)
			return rc;
		if (!same(v))
			return 1;
		if (all_ended(v))
			return damage(v) ? 1 : 0;
		release(v);
		if (!pmt_reader_goes_on(v->sides[0].reader, &v->wish->tallies[0]))
			return -EINTR;
	}
}

static int open_all(struct verifier *v, struct pmt_drive *const *drives)
{
	for (size_t i = 0; i < v->n; i++) {
		int rc = pmt_reader_open(&v->sides[i].reader, drives[i], &v->wish->walk);

		if (rc) {
			v->verified->side = i;
			return rc;
		}
	}
	return 0;
}

int pmt_verify(struct pmt_drive *const *drives, size_t n, const struct pmt_verify *wish,
	       struct pmt_verified *verified)
{
	struct verifier v = { .n = n, .wish = wish, .verified = verified };
	int rc;

	*verified = (struct pmt_verified){ .difference = PMT_SAME };
	v.sides = calloc(n ? n : 1, sizeof(*v.sides));
	if (!v.sides)
		return -ENOMEM;
	memset(wish->tallies, 0, n * sizeof(*wish->tallies));
	rc = n ? open_all(&v, drives) : -EINVAL;
	if (!rc)
		rc = run(&v);
	for (size_t i = 0; i < n; i++)
		pmt_reader_close(v.sides[i].reader);
	free(v.sides);
	return rc;
}
