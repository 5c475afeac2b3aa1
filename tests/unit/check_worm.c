// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Images that are written once: at each level, whatever is tried, what is on the tape
 * stays, and the answer is that of an LTO drive.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../../lib/formats/format.h"
#include "folder.h"
#include "memleaf.h"
#include "onefile.h"
#include "suite.h"

static struct rig rig;

static void setup(void)
{
	onefile_make("t.tape");
	rig_init(&rig);
}

static void teardown(void)
{
	rig_close(&rig);
	folder_remove();
}

static void open_rig(const char *before, const char *options)
{
	char spec[256];

	snprintf(spec, sizeof(spec), "%simage:%s%s", before, file, options);
	ck_assert_int_eq(rig_open(&rig, spec), 0);
}

#define ck_good(status) ck_assert_int_eq(status, PMT_STATUS_GOOD)

static void ck_refused(void)
{
	ck_assert_int_eq(rig.result.status, PMT_STATUS_CHECK);
	ck_assert_uint_eq(rig.result.key, PMT_KEY_PROTECT);
	ck_assert_uint_eq(rig.result.asc, 0x30);
	ck_assert_uint_eq(rig.result.ascq, 0x0c);
}

/* op where the application has positioned. */
static void positioned(unsigned int op, uint64_t lbn, const char *text, int64_t count)
{
	struct pmt_command cmd = {
		.op = (uint16_t)op,
		.flags = PMT_CMD_POSITIONED,
		.place = { .generation = rig.place.generation, .lbn = lbn,
			   .file = PMT_UNKNOWN, .block = PMT_UNKNOWN },
		.length = (uint32_t)strlen(text),
		.count = count,
		.argument = op == PMT_OP_FORMAT,
	};

	rig_do(&rig, cmd, (void *)(uintptr_t)text);
}

/* LBN: one 0, two 1, mark 2, three 3, marks 4 5 6 */
static void write_some(void)
{
	ck_good(rig_write(&rig, "one"));
	ck_good(rig_write(&rig, "two"));
	ck_good(rig_marks(&rig, 1));
	ck_good(rig_write(&rig, "three"));
	ck_good(rig_marks(&rig, 3));
}

static void ck_kept(void)
{
	static const char *const want[] = { "one", "two", "", "three", "" };

	ck_good(rig_op(&rig, PMT_OP_REWIND));
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		char got[16] = "";

		rig_read(&rig, got, sizeof(got) - 1);
		ck_assert_str_eq(got, want[i]);
		ck_assert_int_eq(!*want[i], rig.result.sense == PMT_SENSE_FILEMARK);
	}
}

static void refuses_all(void)
{
	positioned(PMT_OP_WRITE, 0, "one", 0);
	ck_refused();
	positioned(PMT_OP_WRITE, 3, "other", 0);
	ck_refused();
	positioned(PMT_OP_WRITE, 4, "behind the last record", 0);
	ck_refused();
	positioned(PMT_OP_WRITE_FILEMARKS, 0, "", 1);
	ck_refused();
	positioned(PMT_OP_ERASE, 0, "", 0);
	ck_refused();
	positioned(PMT_OP_CUT, 3, "", 0);
	ck_refused();
	positioned(PMT_OP_FORMAT, 0, "", 0);
	ck_refused();
	positioned(PMT_OP_MAY_FORMAT, 0, "", 0);
	ck_refused();
}

START_TEST(leaf_refuses)
{
	open_rig("", "?create=yes&worm=yes");
	write_some();
	refuses_all();
	ck_kept();
	/* Write protection is another thing: it is told at open, and this is not. */
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.medium_flags, PMT_MEDIUM_PRESENT | PMT_MEDIUM_WORM);
}
END_TEST

/* It is in the header. */
START_TEST(stays_so)
{
	char spec[256];

	open_rig("", "?create=yes&worm=yes");
	write_some();
	rig_close(&rig);
	open_rig("", "");
	positioned(PMT_OP_WRITE, 7, "four", 0);
	ck_good(rig.result.status);
	refuses_all();
	ck_kept();
	rig_close(&rig);
	snprintf(spec, sizeof(spec), "image:%s?worm=no", file);
	ck_assert_int_eq(rig_open(&rig, spec), -EINVAL);
	open_rig("", "?worm=yes");
	ck_kept();
}
END_TEST

START_TEST(is_not_turned_on_later)
{
	char spec[256];

	open_rig("", "?create=yes");
	write_some();
	rig_close(&rig);
	snprintf(spec, sizeof(spec), "image:%s?worm=yes", file);
	ck_assert_int_eq(rig_open(&rig, spec), -EINVAL);
	open_rig("", "?worm=no");
	positioned(PMT_OP_WRITE, 0, "again", 0);
	ck_good(rig.result.status);
}
END_TEST

/* Below the leaf: the primitives of the drive. */
START_TEST(primitives_refuse)
{
	struct pmt_leaf *leaf = tape("?create=yes&worm=yes");
	uint32_t done;

	put(leaf, "one");
	put_marks(leaf, 1);
	put(leaf, "two");
	ck_assert_int_eq(leaf->ops->locate(leaf, 0, 0), 0);
	ck_assert_int_eq(leaf->ops->write(leaf, "x", 1), -EPERM);
	ck_assert_int_eq(leaf->ops->marks(leaf, 1, &done), -EPERM);
	ck_assert_int_eq(leaf->ops->cut(leaf), -EPERM);
	ck_assert_int_eq(leaf->ops->locate(leaf, 0, 1), 0);
	ck_assert_int_eq(leaf->ops->write(leaf, "x", 1), -EPERM);
	ck_assert_int_eq(leaf->ops->format(leaf, 1, 0, false), -EPERM);
	ck_assert_int_eq(leaf->ops->format(leaf, 2, 1, true), -EPERM);
	ck_assert_uint_eq(leaf->eod, 3);
	drop(leaf);
}
END_TEST

/* And below those: the format. */
START_TEST(format_refuses)
{
	struct pmt_tape t = { .fd = -1, .path = strdup(file), .create = true,
			      .wants_worm = true };
	struct pmt_table table = { .count = 1 };

	ck_assert_int_eq(pmt_tape_open(&t), 0);
	ck_assert(t.worm);
	ck_assert_int_eq(t.format->write(&t, "one", 3), 0);
	ck_assert_int_eq(t.format->marks(&t, 1), 0);
	ck_assert_int_eq(t.format->cut(&t, 0), -EPERM);
	ck_assert_int_eq(t.format->cut(&t, 1), -EPERM);
	ck_assert_int_eq(t.format->format(&t, &table), -EPERM);
	ck_assert_int_eq(pmt_tape_finish(&t), 0);
	ck_assert_uint_eq(t.eod, 2);
	pmt_tape_close(&t);
}
END_TEST

/* As LTO drives do: of the marks at the end all but the first may be written over. */
START_TEST(marks_at_the_end)
{
	open_rig("", "?create=yes&worm=yes");
	write_some();
	positioned(PMT_OP_WRITE, 5, "four", 0);
	ck_good(rig.result.status);
	ck_good(rig_marks(&rig, 2));
	positioned(PMT_OP_WRITE_FILEMARKS, 7, "", 1);
	ck_good(rig.result.status);
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.eod, 8);
	positioned(PMT_OP_WRITE, 4, "five", 0);
	ck_refused();
	ck_kept();
	rig_close(&rig);
	/* No record before them: the first stays, too. */
	onefile_name("marks.tape");
	open_rig("", "?create=yes&worm=yes");
	ck_good(rig_marks(&rig, 2));
	positioned(PMT_OP_WRITE, 0, "x", 0);
	ck_refused();
	positioned(PMT_OP_WRITE, 1, "x", 0);
	ck_good(rig.result.status);
}
END_TEST

/* A server that died may have done what comes first; it is compared. */
START_TEST(repeated_commands)
{
	open_rig("", "?create=yes&worm=yes");
	write_some();
	rig_close(&rig);
	rig.session.place = (struct pmt_place){ .generation = 1, .lbn = 1,
						.file = PMT_UNKNOWN, .block = PMT_UNKNOWN };
	open_rig("", "");
	positioned(PMT_OP_WRITE, 1, "two", 0);
	ck_good(rig.result.status);
	ck_good(rig_marks(&rig, 1));
	ck_good(rig_write(&rig, "three"));
	ck_good(rig_marks(&rig, 3));
	ck_good(rig_write(&rig, "four"));
	positioned(PMT_OP_WRITE, 7, "four", 0);
	ck_refused();
	ck_kept();
}
END_TEST

/* Without a unit nothing is repeated. */
START_TEST(no_unit)
{
	rig.session.unit_id = 0;
	open_rig("", "?create=yes&worm=yes");
	write_some();
	rig_close(&rig);
	open_rig("", "");
	positioned(PMT_OP_WRITE, 0, "one", 0);
	ck_refused();
	positioned(PMT_OP_WRITE_FILEMARKS, 2, "", 1);
	ck_refused();
	ck_kept();
}
END_TEST

START_TEST(repeated_but_another)
{
	open_rig("", "?create=yes&worm=yes");
	write_some();
	rig_close(&rig);
	open_rig("", "");
	positioned(PMT_OP_WRITE, 0, "two", 0);
	ck_refused();
	positioned(PMT_OP_WRITE_FILEMARKS, 0, "", 1);
	ck_refused();
	positioned(PMT_OP_WRITE, 2, "two", 0);
	ck_refused();
	ck_kept();
}
END_TEST

/* A blank cartridge by control is no way around it. */
START_TEST(control_can_not_blank)
{
	char *error = NULL;

	open_rig("fault|", "?create=yes&worm=yes");
	write_some();
	ck_assert_int_eq(pmt_drive_control(rig.drive, "wp 0", &error), 0);
	ck_assert_int_eq(pmt_drive_control(rig.drive, "blank", &error), 0);
	rig_op(&rig, PMT_OP_TEST);	/* unit attention */
	rig.place = (struct pmt_place){ .generation = 1 };
	ck_kept();
}
END_TEST

/* Each volume of a set is made so. */
START_TEST(volume_sets)
{
	struct stat st;

	onefile_name("t-%d.tape");
	open_rig("", "?create=yes&worm=yes");
	write_some();
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	rig.place = rig.result.place;
	write_some();
	refuses_all();
	rig_close(&rig);
	ck_assert_int_eq(stat(path("t-1.tape"), &st), 0);
	onefile_name("t-0.tape");
	rig.session.unit_id = 0;
	open_rig("", "?worm=yes");
	ck_kept();
}
END_TEST

START_TEST(only_native)
{
	struct pmt_leaf *leaf;

	ck_assert_int_eq(try_tape(&leaf, "?create=yes&worm=yes&format=simh"), -EINVAL);
	ck_assert_int_eq(try_tape(&leaf, "?create=yes&worm=yes&format=aws"), -EINVAL);
	ck_assert_int_eq(access(file, F_OK), -1);
	make("", 0);
	ck_assert_int_eq(try_tape(&leaf, "?worm=yes&format=aws"), -EINVAL);
	leaf = tape("?worm=yes");
	ck_assert(leaf->worm);
	drop(leaf);
}
END_TEST

/* What was torn by a crash was never acknowledged: it goes. */
START_TEST(torn_tail)
{
	struct pmt_leaf *leaf = tape("?create=yes&worm=yes");
	uint64_t size;
	struct stat st;
	int fd;

	put(leaf, "one");
	drop(leaf);
	stat(file, &st);
	size = (uint64_t)st.st_size;
	fd = open(file, O_WRONLY | O_APPEND);
	ck_assert_int_eq(write(fd, "torn", 4), 4);
	close(fd);
	leaf = tape("");
	ck_assert_uint_eq(leaf->eod, 1);
	drop(leaf);
	stat(file, &st);
	ck_assert_uint_eq(st.st_size, size);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("worm");
	TCase *c = tcase_create("worm");

	suite_quiet();
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, leaf_refuses);
	tcase_add_test(c, stays_so);
	tcase_add_test(c, is_not_turned_on_later);
	tcase_add_test(c, primitives_refuse);
	tcase_add_test(c, format_refuses);
	tcase_add_test(c, marks_at_the_end);
	tcase_add_test(c, repeated_commands);
	tcase_add_test(c, no_unit);
	tcase_add_test(c, repeated_but_another);
	tcase_add_test(c, control_can_not_blank);
	tcase_add_test(c, volume_sets);
	tcase_add_test(c, only_native);
	tcase_add_test(c, torn_tail);
	suite_add_tcase(s, c);
	return run_suite(s);
}
