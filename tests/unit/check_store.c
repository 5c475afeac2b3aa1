// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A drive whose objects the caller keeps: by chance beside "mem:", on an empty tape
 * and on one that has something; and what its calls say is what the application gets.
 */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "both.h"
#include "suite.h"

#define OBJECTS 4096

static struct {
	char *data[OBJECTS];
	size_t lengths[OBJECTS];
	uint64_t n;
	int says;		/* what the next write() and sync() return */
	unsigned int syncs;
} kept;

static unsigned int seed;

static int64_t get(void *context, uint64_t lbn, void *data, size_t size)
{
	ck_assert_ptr_eq(context, &kept);
	ck_assert_uint_lt(lbn, kept.n);
	if (size)
		memcpy(data, kept.data[lbn], size < kept.lengths[lbn] ? size : kept.lengths[lbn]);
	return (int64_t)kept.lengths[lbn];
}

static int cut(void *context, uint64_t lbn)
{
	(void)context;
	ck_assert_uint_le(lbn, kept.n);
	while (kept.n > lbn)
		free(kept.data[--kept.n]);
	return 0;
}

static int put(void *context, uint64_t lbn, const void *data, size_t length)
{
	if (kept.says < 0)
		return kept.says;
	cut(context, lbn);
	ck_assert_uint_eq(kept.n, lbn);
	kept.data[lbn] = malloc(length + 1);
	memcpy(kept.data[lbn], length ? data : "", length);
	kept.lengths[kept.n++] = length;
	return kept.says;
}

static int make_durable(void *context)
{
	(void)context;
	kept.syncs++;
	return kept.says;
}

static struct pmt_drive *open_store(void)
{
	struct pmt_store store = { .name = "test", .count = kept.n, .id = 0xbeef, .room = 5000,
				   .read = get, .write = put, .cut = cut, .sync = make_durable };
	struct pmt_drive *drive;

	ck_assert_int_eq(pmt_drive_open_store(&drive, &store, &kept), 0);
	return drive;
}

START_TEST(is_a_tape)
{
	struct both *b;

	srandom(seed + (unsigned int)_i);
	b = both_take(open_store(), "ref");
	for (int i = 0; i < 2000; i++)
		ck_assert(both_do(b));
	/* Opened again, it is as it was left. */
	rig_close(&b->rig);
	b->rig.session.place = b->ref.place;
	ck_assert_int_eq(rig_take(&b->rig, open_store()), 0);
	for (int i = 0; i < 1000; i++)
		ck_assert(both_do(b));
	ck_assert_uint_gt(kept.syncs, 0);
	both_free(b);
	cut(NULL, 0);
	mem_reset();
}
END_TEST

static const struct {
	int says;
	uint8_t key, asc, ascq;
} answers[] = {
	{ -ENOSPC, PMT_KEY_OVERFLOW, 0x00, 0x02 }, { -EIO, PMT_KEY_MEDIUM, 0x0c, 0x00 },
	{ -EROFS, PMT_KEY_PROTECT, 0x27, 0x00 }, { -ENXIO, PMT_KEY_HARDWARE, 0x44, 0x00 },
};

START_TEST(says)
{
	struct pmt_limits limits;
	struct rig rig;

	rig_init(&rig);
	ck_assert_int_eq(rig_take(&rig, open_store()), 0);
	pmt_drive_limits(rig.drive, &limits);
	ck_assert_uint_eq(limits.window, 5000);
	kept.says = answers[_i].says;
	ck_assert_int_eq(rig_write(&rig, "text"), PMT_STATUS_CHECK);
	ck_assert_uint_eq(rig.result.key, answers[_i].key);
	ck_assert_uint_eq(rig.result.asc, answers[_i].asc);
	ck_assert_uint_eq(rig.result.ascq, answers[_i].ascq);
	ck_assert_uint_eq(rig.place.lbn, 0);
	kept.says = 1;
	ck_assert_int_eq(rig_write(&rig, "text"), PMT_STATUS_GOOD);
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	ck_assert_uint_eq(rig.warnings, 1);
	kept.says = 0;
	rig_op(&rig, PMT_OP_TEST);
	ck_assert_uint_eq(rig.result.medium[0], 0xbeef);
	ck_assert_uint_eq(rig.result.eod, 1);
	rig_close(&rig);
	cut(NULL, 0);
}
END_TEST

START_TEST(is_protected)
{
	struct pmt_store store = { .name = "test", .read = get };
	struct pmt_drive *drive;
	struct rig rig;

	rig_init(&rig);
	ck_assert_int_eq(pmt_drive_open_store(&drive, &store, &kept), 0);
	ck_assert_str_eq(pmt_drive_text(drive), "store:test");
	ck_assert_int_eq(rig_take(&rig, drive), 0);
	ck_assert_int_eq(rig_write(&rig, "text"), PMT_STATUS_CHECK);
	ck_assert_uint_eq(rig.result.key, PMT_KEY_PROTECT);
	rig_close(&rig);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store");
	TCase *tests = tcase_create("store");

	seed = suite_seed();
	suite_quiet();
	tcase_set_timeout(tests, 120);
	tcase_add_loop_test(tests, is_a_tape, 0, 4);
	tcase_add_loop_test(tests, says, 0, sizeof(answers) / sizeof(answers[0]));
	tcase_add_test(tests, is_protected);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
