// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Images of several partitions: the commands in each of them, by chance against a
 * model, too; FORMAT, broken off at every call that reaches the disk; partitions
 * that are not there or belong elsewhere; and mirrors of such images.
 *
 * CHECK_SEED repeats a run of the model.
 */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "folder.h"
#include "memleaf.h"
#include "suite.h"

#define SLOT 4096	/* of pmt-image(5) */
#define TABLE 2640
#define LOG_START 12288

static char logged[4096];
static char readers[4096];	/* where the independent readers are, or empty */
static unsigned int seed;
static struct rig rig;

static void note_log(int priority, const char *message)
{
	size_t used = strlen(logged);

	(void)priority;
	snprintf(logged + used, sizeof(logged) - used, "%s\n", message);
	if (getenv("CHECK_LOG"))
		fprintf(stderr, "%s\n", message);
}

static void setup(void)
{
	folder_make();
	rig_init(&rig);
	logged[0] = '\0';
	pmt_log_set_handler(note_log);
}

static void teardown(void)
{
	rig_close(&rig);
	mem_reset();
	folder_remove();
}

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void shell(const char *format, ...)
{
	char command[512];
	va_list args;
	size_t n = (size_t)snprintf(command, sizeof(command), "cd %s && ", folder);

	va_start(args, format);
	vsnprintf(command + n, sizeof(command) - n, format, args);
	va_end(args);
	ck_assert_int_eq(system(command), 0);
}

/* What tapesum and dumpimg say; they share no code with the library. */
static void readers_agree(const char *name, const uint64_t *eod, uint32_t count)
{
	if (!readers[0])
		return;
	shell("%s/tapesum %s > sums || { cat sums; false; }", readers, name);
	shell("test $(grep -c sound=yes sums) = %u", count);
	shell("%s/dumpimg %s > dump", readers, name);
	shell("test $(grep -c partition dump) = %u", count - 1);
	for (uint32_t p = 0; p < count; p++)
		shell("awk '/partition/ { p = $2; next } p + 0 == %u { n++ } END "
		      "{ exit n + 0 != %llu }' dump", p, (unsigned long long)eod[p]);
}

static bool exists(const char *name)
{
	return access(path(name), F_OK) == 0;
}

static char *spec_of(const char *name, const char *options)
{
	static char text[2][256];
	static int i;

	i ^= 1;
	snprintf(text[i], sizeof(text[i]), "image:%s%s%s", path(name),
		 *options ? "?" : "", options);
	return text[i];
}

static void open_tape(const char *name, const char *options)
{
	ck_assert_int_eq(rig_open(&rig, spec_of(name, options)), 0);
}

/* Another unit, which knows nothing. */
static void begin_anew(void)
{
	rig_close(&rig);
	rig.session.unit_id++;
	rig.session.place = (struct pmt_place){ .generation = 1 };
	memset(rig.session.medium, 0, sizeof(rig.session.medium));
}

/* As another server that goes on where the unit is. */
static void reattach(const char *name, const char *options)
{
	rig_close(&rig);
	rig.session.place = rig.place;
	open_tape(name, options);
}

static int format(uint32_t count, int64_t megabytes)
{
	struct pmt_command cmd = { .op = PMT_OP_FORMAT, .place = rig.place,
				   .argument = count, .count = megabytes };

	return rig_do(&rig, cmd, NULL);
}

static int locate(uint32_t partition, uint64_t lbn)
{
	struct pmt_command cmd = { .op = PMT_OP_LOCATE, .place = rig.place,
				   .argument = partition, .count = (int64_t)lbn };

	return rig_do(&rig, cmd, NULL);
}

static int write_positioned(const char *text)
{
	struct pmt_command cmd = { .op = PMT_OP_WRITE, .place = rig.place,
				   .flags = PMT_CMD_POSITIONED,
				   .length = (uint32_t)strlen(text) };

	return rig_do(&rig, cmd, (void *)(uintptr_t)text);
}

#define ck_good(status) ck_assert_int_eq(status, PMT_STATUS_GOOD)
#define ck_sense(status, k, x, y)                                                  \
	do {                                                                       \
		ck_assert_int_eq(status, PMT_STATUS_CHECK);                        \
		ck_assert_uint_eq(rig.result.key, k);                              \
		ck_assert_uint_eq(rig.result.asc, x);                              \
		ck_assert_uint_eq(rig.result.ascq, y);                             \
	} while (0)
#define ck_at(p, l, f, b)                                                          \
	do {                                                                       \
		ck_assert_uint_eq(rig.place.partition, p);                         \
		ck_assert_uint_eq(rig.place.lbn, l);                               \
		ck_assert_uint_eq(rig.place.file, f);                              \
		ck_assert_uint_eq(rig.place.block, b);                             \
	} while (0)

static void expect_text(const char *text)
{
	char buffer[64] = "";

	ck_good(rig_read(&rig, buffer, sizeof(buffer)));
	ck_assert_str_eq(buffer, text);
}

static void expect_eod(void)
{
	char buffer[64];

	ck_sense(rig_read(&rig, buffer, sizeof(buffer)), PMT_KEY_BLANK, 0x00, 0x05);
}

static void two_partitions(const char *name, const char *options)
{
	open_tape(name, options);
	ck_good(format(2, 10));
}

static struct json_object *partitions_shown(struct json_object **all)
{
	struct json_object *array = NULL;
	char *json;

	ck_assert_int_eq(pmt_drive_status_json(rig.drive, &json), 0);
	*all = json_tokener_parse(json);
	free(json);
	json_object_object_get_ex(*all, "partitions", &array);
	return array;
}

static uint64_t shown(unsigned int partition, const char *key)
{
	struct json_object *all, *array = partitions_shown(&all), *value;
	uint64_t n;

	ck_assert_ptr_nonnull(array);
	ck_assert(json_object_object_get_ex(json_object_array_get_idx(array, partition),
					    key, &value));
	n = value ? (uint64_t)json_object_get_int64(value) : PMT_UNKNOWN;
	json_object_put(all);
	return n;
}

static bool shows_partitions(void)
{
	struct json_object *all;
	bool any = partitions_shown(&all) != NULL;

	json_object_put(all);
	return any;
}

/* FORMAT */

START_TEST(format_divides)
{
	open_tape("t", "capacity=64M");
	ck_assert(!shows_partitions());
	ck_good(rig_write(&rig, "old"));
	ck_good(rig_marks(&rig, 1));
	ck_good(format(2, 10));
	ck_at(0, 0, 0, 0);
	ck_assert_uint_eq(rig.place.generation, 2);
	ck_assert(exists("t.p1"));
	ck_assert_uint_eq(shown(0, "capacity"), (64 << 20) - 10000000);
	ck_assert_uint_eq(shown(1, "capacity"), 10000000);
	expect_eod();
	ck_good(locate(1, 0));
	ck_at(1, 0, 0, 0);
	expect_eod();
	ck_good(write_positioned("in the second"));
	ck_assert_uint_eq(shown(1, "eod"), 1);
	ck_assert_uint_gt(shown(1, "used"), shown(0, "used"));

	ck_good(format(2, -20));
	ck_at(0, 0, 0, 0);
	ck_assert_uint_eq(rig.place.generation, 3);
	ck_assert_uint_eq(shown(0, "capacity"), 20000000);
	ck_assert_uint_eq(shown(1, "capacity"), (64 << 20) - 20000000);
	reattach("t", "");
	ck_assert_uint_eq(shown(0, "capacity"), 20000000);
	ck_good(locate(1, 0));
	expect_eod();

	ck_good(format(1, 0));
	ck_assert(!shows_partitions());
	ck_assert(!exists("t.p1"));
	ck_sense(locate(1, 0), PMT_KEY_ILLEGAL, 0x24, 0x00);
	ck_good(format(4, 5));
	ck_assert_uint_eq(shown(0, "capacity"), (64 << 20) - 15000000);
	ck_assert_uint_eq(shown(3, "capacity"), 5000000);
	ck_good(locate(3, 0));
	ck_good(write_positioned("in the fourth"));
	ck_good(locate(2, 0));
	expect_eod();
}
END_TEST

START_TEST(format_refuses)
{
	static const struct {
		uint32_t count;
		int64_t megabytes;
	} bad[] = { { 0, 0 }, { 1, 1 }, { 2, 0 }, { 5, 1 }, { 2, 68 }, { 2, -68 }, { 4, 23 },
		    { 3, -5 }, { 2, INT64_MAX }, { 2, INT64_MIN }, { UINT32_MAX, 1 } };

	open_tape("t", "capacity=64M");
	ck_good(rig_write(&rig, "old"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_sense(format(bad[i].count, bad[i].megabytes), PMT_KEY_ILLEGAL, 0x26, 0);
		ck_at(0, 1, 0, 1);
		ck_assert_uint_eq(rig.place.generation, 1);
		ck_assert(!exists("t.p1"));
	}
	reattach("t", "readonly=yes");
	ck_sense(format(2, 10), PMT_KEY_PROTECT, 0x27, 0x00);
	begin_anew();
	open_tape("s", "capacity=64M&format=simh");
	ck_sense(format(2, 10), PMT_KEY_ILLEGAL, 0x20, 0x00);
	begin_anew();
	ck_assert_int_eq(rig_open(&rig, "null:x"), 0);
	ck_sense(format(2, 10), PMT_KEY_ILLEGAL, 0x20, 0x00);
	/* What is in the way is not overwritten. */
	begin_anew();
	shell("echo precious > t.p1");
	open_tape("t", "");
	ck_sense(format(2, 10), PMT_KEY_HARDWARE, 0x44, 0x00);
	ck_assert_ptr_nonnull(strstr(logged, "move it away"));
	shell("grep -q precious t.p1 && rm t.p1");
	rig.place = (struct pmt_place){ .generation = 1 };
	expect_text("old");
	ck_good(format(2, 10));
}
END_TEST

/* Every command in partition 1 */

static const char *const capacity = "capacity=64M";

START_TEST(each_partition_counts_for_itself)
{
	struct pmt_command mark = { .op = PMT_OP_WRITE_FILEMARKS, .count = 2 };
	char buffer[64];

	two_partitions("t", capacity);
	ck_good(rig_write(&rig, "zero"));
	ck_good(locate(1, 0));
	ck_good(write_positioned("a"));
	ck_good(rig_write(&rig, "b"));
	mark.place = rig.place;
	ck_good(rig_do(&rig, mark, NULL));
	ck_good(rig_write(&rig, "c"));
	ck_at(1, 5, 2, 1);
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.eod, 5);
	ck_at(1, 5, 2, 1);

	ck_good(rig_op(&rig, PMT_OP_REWIND));
	ck_at(1, 0, 0, 0);
	expect_text("a");
	ck_sense(rig_space(&rig, PMT_SPACE_RECORDS, 3), PMT_KEY_NONE, 0x00, 0x01);
	ck_at(1, 3, 1, 0);
	ck_assert_int_eq(rig.result.residue, 2);
	ck_good(rig_space(&rig, PMT_SPACE_FILEMARKS, 1));
	ck_at(1, 4, 2, 0);
	expect_text("c");
	expect_eod();
	ck_good(rig_space(&rig, PMT_SPACE_RECORDS, -1));
	ck_at(1, 4, 2, 0);
	ck_good(rig_space(&rig, PMT_SPACE_FILEMARKS, -2));
	ck_at(1, 2, 0, 2);
	ck_sense(rig_space(&rig, PMT_SPACE_FILEMARKS, -1), PMT_KEY_NONE, 0x00, 0x04);
	ck_at(1, 0, 0, 0);
	ck_sense(rig_space(&rig, PMT_SPACE_RECORDS, -1), PMT_KEY_NONE, 0x00, 0x04);
	ck_at(1, 0, 0, 0);
	ck_sense(rig_space(&rig, PMT_SPACE_FILEMARKS, 5), PMT_KEY_BLANK, 0x00, 0x05);
	ck_at(1, 5, 2, 1);
	ck_good(locate(1, 1));
	ck_at(1, 1, 0, 1);
	ck_good(rig_space(&rig, PMT_SPACE_EOD, 0));
	ck_at(1, 5, 2, 1);
	ck_sense(locate(1, 77), PMT_KEY_BLANK, 0x00, 0x05);
	ck_at(1, 5, 2, 1);

	/* The other one does not know of all this. */
	ck_good(locate(0, 0));
	expect_text("zero");
	ck_sense(rig_read(&rig, buffer, sizeof(buffer)), PMT_KEY_BLANK, 0x00, 0x05);
	ck_at(0, 1, 0, 1);
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.eod, 1);
	ck_good(locate(1, 4));
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	ck_assert_uint_eq(rig.place.partition, 0);
	ck_good(rig_op(&rig, PMT_OP_LOAD));
	ck_at(0, 0, 0, 0);
	expect_text("zero");
	ck_good(locate(1, 4));
	ck_good(rig_op(&rig, PMT_OP_LOAD));
	ck_at(0, 0, 0, 0);
}
END_TEST

START_TEST(erase_ends_the_data)
{
	struct pmt_command erase = { .op = PMT_OP_ERASE, .argument = (uint32_t)_i,
				     .flags = PMT_CMD_POSITIONED };

	two_partitions("t", capacity);
	for (uint32_t p = 0; p < 2; p++) {
		ck_good(locate(p, 0));
		ck_good(write_positioned("a"));
		ck_good(rig_write(&rig, "b"));
		ck_good(rig_marks(&rig, 1));
		ck_good(rig_write(&rig, "c"));
	}
	ck_good(locate(1, 1));
	erase.place = rig.place;
	ck_good(rig_do(&rig, erase, NULL));
	ck_at(1, 1, 0, 1);
	expect_eod();
	ck_good(locate(0, 3));
	expect_text("c");
	ck_good(locate(0, 0));
	erase.place = rig.place;
	ck_good(rig_do(&rig, erase, NULL));
	expect_eod();
	ck_good(rig_do(&rig, erase, NULL));	/* where nothing is */
	reattach("t", "");
	ck_good(locate(1, 0));
	expect_text("a");
	expect_eod();
}
END_TEST

START_TEST(blocks_in_a_partition)
{
	struct pmt_command cmd = { .op = PMT_OP_WRITE, .length = 2048, .block_size = 512,
				   .flags = PMT_CMD_POSITIONED };
	char data[4096];

	memset(data, 'x', sizeof(data));
	two_partitions("t", capacity);
	ck_good(locate(1, 0));
	cmd.place = rig.place;
	ck_good(rig_do(&rig, cmd, data));
	ck_at(1, 4, 0, 4);
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	cmd = (struct pmt_command){ .op = PMT_OP_READ, .length = 4096, .block_size = 512,
				    .place = rig.place };
	ck_sense(rig_do(&rig, cmd, data), PMT_KEY_BLANK, 0x00, 0x05);
	ck_assert_int_eq(rig.result.residue, 4);
	ck_at(1, 4, 0, 4);
}
END_TEST

/* Law 1 */

START_TEST(no_such_partition_moves_nothing)
{
	two_partitions("t", capacity);
	ck_good(rig_write(&rig, "a"));
	ck_good(rig_marks(&rig, 1));
	ck_sense(locate(2, 0), PMT_KEY_ILLEGAL, 0x24, 0x00);
	ck_at(0, 2, 1, 0);
	ck_sense(locate(64, 0), PMT_KEY_ILLEGAL, 0x24, 0x00);
	ck_at(0, 2, 1, 0);
	ck_good(locate(1, 0));
	ck_good(write_positioned("b"));
	/* Of another server, too, which does not stand there yet. */
	reattach("t", "");
	ck_sense(locate(2, 0), PMT_KEY_ILLEGAL, 0x24, 0x00);
	ck_at(1, 1, 0, 1);
	ck_good(rig_write(&rig, "c"));
	ck_at(1, 2, 0, 2);
}
END_TEST

START_TEST(goes_to_the_partition_first)
{
	struct pmt_place place;

	two_partitions("t", capacity);
	ck_good(rig_write(&rig, "zero"));
	place = rig.place;
	ck_good(locate(1, 0));
	ck_good(write_positioned("one"));
	ck_good(rig_write(&rig, "two"));

	reattach("t", "");	/* in the middle of writing in partition 1 */
	ck_good(rig_op(&rig, PMT_OP_TEST));
	ck_assert_uint_eq(rig.result.eod, 2);
	ck_good(rig_write(&rig, "three"));
	ck_at(1, 3, 0, 3);

	rig.place = place;
	ck_good(rig_op(&rig, PMT_OP_TEST));	/* it moves nothing, so it can not tell */
	ck_assert_uint_eq(rig.result.eod, PMT_UNKNOWN);
	expect_eod();
	ck_at(0, 1, 0, 1);
	rig.place.partition = 1;
	rig.place.file = rig.place.block = PMT_UNKNOWN;
	expect_text("two");
	ck_at(1, 2, 0, 2);
	rig.place.partition = 0;
	ck_good(rig_space(&rig, PMT_SPACE_EOD, 0));
	ck_at(0, 1, 0, 1);
	rig.place.partition = 1;
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	ck_at(1, 0, 0, 0);
	expect_text("one");
	rig.place = place;
	ck_good(rig_marks(&rig, 1) == PMT_STATUS_CHECK ? PMT_STATUS_GOOD : -1);
	ck_assert_uint_eq(rig.result.asc, 0x3b);	/* not POSITIONED there */
}
END_TEST

/* Killed between LOCATE and its answer, with a write behind it: the same again. */
START_TEST(locate_is_repeated)
{
	struct pmt_place before;

	two_partitions("t", capacity);
	ck_good(rig_write(&rig, "zero"));
	before = rig.place;
	for (int again = 0; again < 3; again++) {
		rig.place = before;
		ck_good(locate(1, 0));
		ck_good(write_positioned("one"));
		ck_good(rig_write(&rig, "two"));
		rig.place = before;
		reattach("t", "");
	}
	expect_eod();
	ck_good(locate(1, 0));
	expect_text("one");
	expect_text("two");
	expect_eod();
}
END_TEST

START_TEST(density_is_checked)
{
	struct pmt_command mode = { .op = PMT_OP_MODE };
	static const struct {
		uint8_t density;
		bool good;
	} cases[] = { { 0, true }, { 0x7f, true }, { 0x5a, true }, { 0x44, false },
		      { 0x5b, false }, { 0xff, false } };

	ck_assert_int_eq(rig_open(&rig, "mem:a"), 0);
	ck_good(rig_write(&rig, "a"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		mode.place = rig.place;
		mode.modes.density = cases[i].density;
		if (cases[i].good)
			ck_good(rig_do(&rig, mode, NULL));
		else
			ck_sense(rig_do(&rig, mode, NULL), PMT_KEY_ILLEGAL, 0x26, 0x00);
		ck_at(0, 1, 0, 1);
	}
	begin_anew();
	open_tape("t", capacity);	/* which has none of its own */
	mode.place = rig.place;
	ck_good(rig_do(&rig, mode, NULL));
}
END_TEST

/* The end of each */

static unsigned int write_to(uint32_t asc_end, const char *data, uint32_t length)
{
	struct pmt_command cmd = { .op = PMT_OP_WRITE, .length = length,
				   .flags = PMT_CMD_POSITIONED };
	unsigned int n = 0;

	for (;; n++) {
		cmd.place = rig.place;
		if (rig_do(&rig, cmd, (void *)(uintptr_t)data) != PMT_STATUS_GOOD)
			return n;
		if (asc_end && rig.result.sense & PMT_SENSE_EOM)
			return n + 1;
	}
}

START_TEST(each_partition_has_its_end)
{
	static char data[10000];
	unsigned int n, more;

	open_tape("t", "capacity=8M&ew=100K");
	ck_good(format(2, 1));
	ck_good(locate(1, 0));
	ck_assert_uint_eq(rig.result.room + (100 << 10) + 12288, 1000000);
	n = write_to(true, data, sizeof(data));
	ck_assert_uint_eq(n, (1000000 - (100 << 10) - 12288) / (10000 + 64 + 6) + 1);
	ck_assert_uint_eq(rig.result.ascq, 0x02);
	ck_assert_uint_eq(rig.warned.partition, 1);
	ck_assert_uint_eq(rig.warned.lbn, n - 1);
	ck_assert_uint_eq(rig.result.room, 0);
	more = write_to(false, data, sizeof(data));
	ck_sense(rig.result.status, PMT_KEY_OVERFLOW, 0x00, 0x02);
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	ck_assert_int_eq(rig.result.residue, sizeof(data));
	ck_assert_uint_ge(more, (100 << 10) / 10100 - 1);
	ck_at(1, n + more, 0, n + more);
	ck_assert_uint_le(shown(1, "used") + 12288, 1000000);
	/* Here there is room. */
	ck_good(locate(0, 0));
	ck_assert_uint_gt(rig.result.room, 6 << 20);
	ck_good(write_positioned("a"));
	ck_assert_uint_eq(rig.result.sense, 0);
	rig.warnings = 0;
	n = write_to(true, data, sizeof(data));
	ck_assert_uint_gt(n, 600);
	ck_assert_uint_eq(rig.warned.partition, 0);
}
END_TEST

/* At most a quarter of a small partition. */
START_TEST(early_warning_is_divided)
{
	static char data[1000];
	uint64_t used;

	open_tape("t", "capacity=64M&ew=16M");
	ck_good(format(2, 1));
	ck_good(locate(1, 0));
	write_to(true, data, sizeof(data));
	used = shown(1, "used") + 12288;
	ck_assert_uint_gt(used, 748000);
	ck_assert_uint_lt(used, 752000);
}
END_TEST

/* Files that do not belong */

static void refused(const char *name, const char *options, const char *text)
{
	begin_anew();
	logged[0] = '\0';
	ck_assert_int_ne(rig_open(&rig, spec_of(name, options)), 0);
	ck_assert_msg(strstr(logged, text) != NULL, "%s", logged);
}

static void fill_both(const char *name)
{
	two_partitions(name, capacity);
	ck_good(rig_write(&rig, "zero"));
	ck_good(locate(1, 0));
	ck_good(write_positioned("one"));
	begin_anew();
}

START_TEST(files_that_do_not_belong)
{
	fill_both("t");
	fill_both("u");
	shell("mkdir old && cp -a t t.p1 u.p1 old");

	shell("rm t.p1");
	refused("t", "", "partition 1 of the tape");
	refused("t", "readonly=yes", "is missing; bring it back");
	shell("cp -a old/u.p1 t.p1");
	refused("t", "", "belongs to another tape");
	refused("t", "", "bring the right one back");
	shell("echo garbage > t.p1");
	refused("t", "", "bring the right one back");
	shell(": > t.p1");
	refused("t", "", "bring the right one back");
	shell("test ! -s t.p1 && cp -a old/t t.p1");
	refused("t", "", "not partition 1");
	shell("cp -a old/t.p1 t.p1");
	refused("t.p1", "", "partition 1 of a tape");
	shell("cmp t.p1 old/t.p1");

	open_tape("t", "");
	ck_good(format(2, 10));
	ck_good(locate(1, 0));
	ck_good(write_positioned("new"));
	begin_anew();
	shell("mv t.p1 kept; cp -a old/t.p1 t.p1");
	refused("t", "", "of another formatting");
	shell("cmp t.p1 old/t.p1 && mv kept t.p1 && mv t kept && cp -a old/t t");
	refused("t", "", "of another formatting");
	shell("cmp t old/t && mv kept t");
	open_tape("t", "");
	ck_good(locate(1, 0));
	expect_text("new");
	begin_anew();
	refused("t", "capacity=9M", "leaves nothing for partition 0");
	open_tape("t", "capacity=20M");
	ck_assert_uint_eq(shown(0, "capacity"), (20 << 20) - 10000000);
}
END_TEST

START_TEST(all_files_are_locked)
{
	struct rig other;

	two_partitions("t", capacity);
	rig_init(&other);
	ck_assert_int_ne(rig_open(&other, spec_of("t", "")), 0);
	ck_assert_int_ne(rig_open(&other, spec_of("t", "readonly=yes")), 0);
	shell("! flock -n t true && ! flock -n t.p1 true");
	reattach("t", "readonly=yes");
	ck_assert_int_eq(rig_open(&other, spec_of("t", "readonly=yes")), 0);
	rig_close(&other);
	ck_sense(write_positioned("a"), PMT_KEY_PROTECT, 0x27, 0x00);
	begin_anew();
	shell("chmod a-w t.p1");
	open_tape("t", "");
	ck_sense(write_positioned("a"), PMT_KEY_PROTECT, 0x27, 0x00);
}
END_TEST

static void read_bytes(const char *name, off_t offset, void *buffer, size_t n)
{
	int fd = open(path(name), O_RDONLY);

	ck_assert_int_eq(pread(fd, buffer, n, offset), (ssize_t)n);
	close(fd);
}

static bool all_zero(const char *name, off_t offset, size_t n)
{
	unsigned char buffer[SLOT];

	read_bytes(name, offset, buffer, n);
	for (size_t i = 0; i < n; i++)
		if (buffer[i])
			return false;
	return true;
}

/* What is not divided is, to the byte, what it was before there were partitions;
 * and what is, older software refuses by a flag. */
START_TEST(older_software)
{
	unsigned char header[128];

	open_tape("t", capacity);
	ck_good(rig_write(&rig, "a"));
	ck_good(rig_marks(&rig, 1));
	rig_close(&rig);
	for (int slot = 1; slot <= 2; slot++)
		ck_assert(all_zero("t", slot * SLOT + TABLE, SLOT - TABLE - 4));
	read_bytes("t", 0, header, sizeof(header));
	ck_assert_uint_eq(header[12], 0);
	ck_assert_uint_eq(header[56], 1);
	ck_assert(all_zero("t", 64, 60));
	begin_anew();
	open_tape("t", "");
	ck_good(format(2, 10));
	read_bytes("t", 0, header, sizeof(header));
	ck_assert_uint_eq(header[12], 4);
	ck_assert_uint_eq(header[56], 0);
	read_bytes("t.p1", 0, header, sizeof(header));
	ck_assert_uint_eq(header[12], 4);
	ck_assert_uint_eq(header[64], 1);
	ck_good(format(1, 0));
	read_bytes("t", 0, header, sizeof(header));
	ck_assert_uint_eq(header[12], 0);
	ck_assert_uint_eq(header[56], 1);
}
END_TEST

/* An object says of which partition it is. */
START_TEST(objects_of_another_partition)
{
	unsigned char uuid[16], h[64];
	char buffer[16];
	uint32_t crc;
	int fd;

	fill_both("t");
	fd = open(path("t.p1"), O_RDWR);
	ck_assert_int_eq(pread(fd, uuid, 16, 16), 16);
	ck_assert_int_eq(pread(fd, h, 64, LOG_START), 64);
	ck_assert_uint_eq(h[6], 1);
	for (unsigned char p = 0; p < 2; p++) {
		h[6] = p;
		crc = htole32(pmt_crc32c(pmt_crc32c(0, uuid, 16), h, 60));
		memcpy(h + 60, &crc, 4);
		ck_assert_int_eq(pwrite(fd, h, 64, LOG_START), 64);
		begin_anew();
		open_tape("t", "readonly=yes");
		ck_assert_int_eq(locate(1, 0) == PMT_STATUS_GOOD &&
				 rig_read(&rig, buffer, sizeof(buffer)) ==
					 PMT_STATUS_GOOD, p);
	}
	close(fd);
}
END_TEST

/*
 * FORMAT broken off.  A child dies in front of the n-th call that changes a file;
 * what was not on the disk of those in lose is not there then.  The calls stand
 * before those of the C library.
 */

static struct {
	bool armed, fails;	/* fails: that call and those behind it, with EIO */
	long left;
	const char *lose;	/* NULL: nothing; ends of names, or "" for all */
	struct {
		int fd;
		off_t offset, size;
		size_t length;
		char *bytes;	/* NULL: only the size counts */
	} undo[256];
	int n;
} crash;

static bool is_lost(int fd)
{
	char link[64], name[256];
	size_t want = strlen(crash.lose);
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, name, sizeof(name) - 1);
	if (n < 0 || (size_t)n < want)
		return false;
	return !memcmp(name + (size_t)n - want, crash.lose, want);
}

static void die(void)
{
	for (int i = crash.n - 1; crash.lose && i >= 0; i--) {
		int fd = crash.undo[i].fd;

		if (!is_lost(fd))
			continue;
		if (crash.undo[i].bytes)
			syscall(SYS_pwrite64, fd, crash.undo[i].bytes,
				crash.undo[i].length, crash.undo[i].offset);
		syscall(SYS_ftruncate, fd, crash.undo[i].size);
	}
	_exit(9);
}

static bool step(void)
{
	if (!crash.armed || crash.left-- > 0)
		return true;
	if (!crash.fails)
		die();
	errno = EIO;
	return false;
}

static void keep_for_undo(int fd, off_t offset, size_t length)
{
	struct stat st;

	if (!crash.armed || crash.n == 256 || fstat(fd, &st))
		return;
	crash.undo[crash.n].fd = fd;
	crash.undo[crash.n].size = st.st_size;
	crash.undo[crash.n].offset = offset;
	crash.undo[crash.n].length = 0;
	crash.undo[crash.n].bytes = NULL;
	if (offset < st.st_size) {
		if (length > (size_t)(st.st_size - offset))
			length = (size_t)(st.st_size - offset);
		crash.undo[crash.n].bytes = malloc(length);
		crash.undo[crash.n].length = length;
		if (pread(fd, crash.undo[crash.n].bytes, length, offset) < 0)
			abort();
	}
	crash.n++;
}

static void is_safe(int fd)
{
	for (int i = 0; i < crash.n; i++)
		if (crash.undo[i].fd == fd)
			crash.undo[i].fd = -1;
}

int fdatasync(int fd)
{
	if (!step())
		return -1;
	is_safe(fd);
	return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
	if (!step())
		return -1;
	is_safe(fd);
	return (int)syscall(SYS_fsync, fd);
}

int ftruncate(int fd, off_t length)
{
	if (!step())
		return -1;
	keep_for_undo(fd, length, SIZE_MAX);
	return (int)syscall(SYS_ftruncate, fd, length);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
	size_t length = 0;

	for (int i = 0; i < count; i++)
		length += iov[i].iov_len;
	if (!step())
		return -1;
	keep_for_undo(fd, offset, length);
	return syscall(SYS_pwritev, fd, iov, count, offset, 0);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to,
	      unsigned int flags)
{
	if (!step())
		return -1;
	return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
}

int unlink(const char *name)
{
	if (!step())
		return -1;
	return (int)syscall(SYS_unlinkat, AT_FDCWD, name, 0);
}

/* A write that was not answered, then FORMAT.  True: it died. */
static bool die_formatting(const struct pmt_place *at, uint32_t count, long steps,
			   const char *lose)
{
	pid_t pid = fork();
	int state;

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		rig.session.place = *at;
		if (rig_open(&rig, spec_of("t", "")) || rig_write(&rig, "pending"))
			_exit(1);
		crash.armed = true;
		crash.left = steps;
		crash.lose = lose;
		_exit(format(count, count > 1) ? 1 : 0);
	}
	ck_assert_int_eq(waitpid(pid, &state, 0), pid);
	ck_assert(WIFEXITED(state));
	ck_assert_int_ne(WEXITSTATUS(state), 1);
	return WEXITSTATUS(state) == 9;
}

/* All of the old tape, or the new one.  True: the new one. */
static bool old_or_new(uint32_t before, uint32_t after)
{
	static const uint64_t nothing[4];
	char buffer[64];
	bool fresh;

	if (readers[0])		/* before anything is mended */
		shell("%s/tapesum t > sums && %s/dumpimg t > dump", readers, readers);

	begin_anew();
	rig.session.unit_id = 0;
	open_tape("t", "");
	fresh = rig_read(&rig, buffer, sizeof(buffer)) != PMT_STATUS_GOOD;
	for (uint32_t p = 0; p < (fresh ? after : before); p++) {
		ck_good(locate(p, 0));
		if (!fresh) {
			expect_text(p ? "one" : "zero");
			ck_good(locate(p, 1));
		}
		if (fresh || p)
			expect_eod();
	}
	ck_sense(locate(fresh ? after : before, 0), PMT_KEY_ILLEGAL, 0x24, 0x00);
	if (fresh)
		readers_agree("t", nothing, after);
	begin_anew();
	return fresh;
}

/* What the kernel gives the next server: the same again. */
static void repeat(const struct pmt_place *at, uint32_t count)
{
	begin_anew();
	rig.session.unit_id = UNIT;
	rig.session.place = *at;
	open_tape("t", "");
	ck_good(rig_write(&rig, "pending"));
	ck_good(format(count, count > 1));
	ck_at(0, 0, 0, 0);
	ck_assert_uint_eq(rig.place.generation, at->generation + 1);
	for (uint32_t p = 0; p < count; p++) {
		ck_good(locate(p, 0));
		expect_eod();
		ck_good(write_positioned("again"));
	}
	ck_sense(locate(count, 0), PMT_KEY_ILLEGAL, 0x24, 0x00);
	reattach("t", "");
	ck_good(locate(count - 1, 0));
	expect_text("again");
}

static const struct {
	uint32_t before, after;
} changes[] = { { 1, 2 }, { 2, 2 }, { 2, 1 }, { 1, 1 }, { 2, 3 }, { 3, 2 } };
#define CHANGES (int)(sizeof(changes) / sizeof(changes[0]))

START_TEST(format_is_one_step)
{
	static const char *const losses[] = { NULL, "", "/t", ".p1" };
	uint32_t before = changes[_i % CHANGES].before, after = changes[_i % CHANGES].after;
	const char *lose = losses[_i / CHANGES];
	bool fresh = false, died = true;
	struct pmt_place at;
	int n_old = 0;

	open_tape("t", "capacity=4M");
	if (before > 1)
		ck_good(format(before, 1));
	for (uint32_t p = 0; p < before; p++) {
		ck_good(locate(p, 0));
		ck_good(write_positioned(p ? "one" : "zero"));
	}
	ck_good(locate(0, 1));
	at = rig.place;
	begin_anew();
	rig.session.unit_id = UNIT;
	shell("mkdir base && cp -a t* base");
	for (long steps = 0; died; steps++) {
		shell("rm -f t* && cp -a base/t* .");
		died = die_formatting(&at, after, steps, lose);
		shell("rm -rf crashed && mkdir crashed && cp -a t* crashed");
		if (fresh)
			ck_assert(old_or_new(before, after));
		else
			fresh = old_or_new(before, after);
		n_old += !fresh;
		shell("rm -f t* && cp -a crashed/t* .");
		repeat(&at, after);
		rig_close(&rig);
	}
	ck_assert(fresh);
	ck_assert_int_gt(n_old, 0);
}
END_TEST

/* The disk fails in the middle: what is in the drive is one of the two, too. */
START_TEST(format_fails)
{
	int status = PMT_STATUS_CHECK;

	for (long steps = 0; status != PMT_STATUS_GOOD; steps++) {
		char buffer[16] = "";
		uint64_t generation;
		bool fresh;

		begin_anew();
		shell("rm -f t*");
		open_tape("t", "capacity=4M");
		ck_good(rig_write(&rig, "old"));
		crash.armed = crash.fails = true;
		crash.left = steps;
		status = format(2, 1);
		crash.armed = false;
		generation = rig.place.generation;
		if (generation == 1)
			ck_assert_int_eq(status, PMT_STATUS_CHECK);
		rig.place = (struct pmt_place){ .generation = generation };
		/* That nothing can be made durable any more is told once. */
		if (rig_op(&rig, PMT_OP_LOAD) != PMT_STATUS_GOOD)
			ck_good(rig_op(&rig, PMT_OP_LOAD));
		fresh = rig_read(&rig, buffer, sizeof(buffer)) != PMT_STATUS_GOOD;
		ck_assert_str_eq(buffer, fresh ? "" : "old");
		ck_assert(fresh || generation == 1);
		ck_assert_int_eq(locate(1, 0), fresh ? PMT_STATUS_GOOD : PMT_STATUS_CHECK);
		ck_assert_int_lt(steps, 100);
	}
}
END_TEST

/* A filemark in one partition covers what was written before it in the other. */
START_TEST(filemark_covers_all_partitions)
{
	two_partitions("t", capacity);
	crash.armed = true;
	crash.left = LONG_MAX;
	ck_good(rig_write(&rig, "zero"));
	ck_good(locate(1, 0));
	ck_good(write_positioned("one"));
	ck_good(rig_marks(&rig, 1));
	crash.armed = false;
	ck_assert_int_ge(crash.n, 3);
	for (int i = 0; i < crash.n; i++)
		ck_assert(crash.undo[i].fd < 0 || crash.undo[i].offset < LOG_START);
}
END_TEST

/* In a set of volumes: the volume says what its set does not know yet. */
START_TEST(format_in_a_set)
{
	struct pmt_place at;

	open_tape("v%d", capacity);
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	ck_assert_uint_eq(rig.place.generation, 2);
	at = rig.place;
	shell("cp -a .v%%d.set before");
	ck_good(format(2, 10));
	ck_assert(exists("v1.p1"));
	ck_good(rig_write(&rig, "a"));
	rig_close(&rig);
	shell("cp -a before .v%%d.set");
	rig.session.place = at;
	open_tape("v%d", capacity);
	ck_good(format(2, 10));
	ck_assert_uint_eq(rig.place.generation, 3);
	expect_text("a");	/* it was not done again */
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	ck_sense(locate(1, 0), PMT_KEY_ILLEGAL, 0x24, 0x00);
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	ck_assert(exists("v3") && !exists("v2.p1"));
}
END_TEST

/* A model: objects[p][i] is a record's length, or 0 for a mark. */

#define MODEL_MAX 3000
#define MODEL_PARTITIONS 3

static struct {
	uint32_t count;
	struct {
		uint32_t length[MODEL_MAX];
		unsigned char key[MODEL_MAX];
		uint64_t eod;
	} part[MODEL_PARTITIONS];
	uint32_t partition;
	uint64_t lbn, generation;
} m;

static uint64_t model_file(void)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < m.lbn; i++)
		n += !m.part[m.partition].length[i];
	return n;
}

static uint64_t model_block(void)
{
	uint64_t i = m.lbn;

	while (i && m.part[m.partition].length[i - 1])
		i--;
	return m.lbn - i;
}

static uint64_t eod_here(void)
{
	return m.part[m.partition].eod;
}

static unsigned char data[4000];

static void model_write(void)
{
	struct pmt_command cmd = { .op = PMT_OP_WRITE, .flags = PMT_CMD_POSITIONED };

	for (int n = (int)(random() % 30); n-- && m.lbn < MODEL_MAX - 1;) {
		uint32_t length = random() % 8 ? 1 + (uint32_t)random() % 3999 : 0;
		unsigned char key = (unsigned char)random();

		memset(data, key, sizeof(data));
		cmd.op = length ? PMT_OP_WRITE : PMT_OP_WRITE_FILEMARKS;
		cmd.place = rig.place;
		cmd.length = length;
		cmd.count = !length;
		ck_good(rig_do(&rig, cmd, data));
		m.part[m.partition].length[m.lbn] = length;
		m.part[m.partition].key[m.lbn] = key;
		m.part[m.partition].eod = ++m.lbn;
		cmd.flags = 0;
	}
}

static void model_read(void)
{
	for (int n = (int)(random() % 20); n--;) {
		struct pmt_command cmd = { .op = PMT_OP_READ, .place = rig.place,
					   .length = sizeof(data) };
		uint32_t length = m.part[m.partition].length[m.lbn];
		int status = rig_do(&rig, cmd, data);

		if (m.lbn == eod_here()) {
			ck_sense(status, PMT_KEY_BLANK, 0x00, 0x05);
			return;
		}
		if (!length) {
			ck_sense(status, PMT_KEY_NONE, 0x00, 0x01);
		} else {
			ck_good(status);
			ck_assert_int_eq(rig.result.residue, sizeof(data) - length);
			ck_assert_uint_eq(data[0], m.part[m.partition].key[m.lbn]);
			ck_assert_uint_eq(data[length - 1], data[0]);
		}
		m.lbn++;
	}
}

static void model_space(void)
{
	int64_t count = random() % 21 - 10;
	int status = rig_space(&rig, PMT_SPACE_FILEMARKS, count);
	bool crossed = true;

	while (count > 0 && (crossed = m.lbn < eod_here()))
		count -= !m.part[m.partition].length[m.lbn++];
	while (count < 0 && (crossed = m.lbn > 0))
		count += !m.part[m.partition].length[--m.lbn];
	ck_assert_int_eq(status, crossed ? PMT_STATUS_GOOD : PMT_STATUS_CHECK);
	ck_assert_int_eq(rig.result.residue, count < 0 ? -count : count);
}

static void model_locate(void)
{
	uint32_t partition = (uint32_t)random() % (m.count + 1);
	uint64_t lbn;

	if (partition == m.count) {
		ck_sense(locate(partition, 0), PMT_KEY_ILLEGAL, 0x24, 0x00);
		return;
	}
	m.partition = partition;
	lbn = (uint64_t)random() % (eod_here() + 3);
	ck_assert_int_eq(locate(partition, lbn),
			 lbn > eod_here() ? PMT_STATUS_CHECK : PMT_STATUS_GOOD);
	m.lbn = lbn < eod_here() ? lbn : eod_here();
}

/* The next command names a place in any partition; law 1 goes there. */
static void model_jump(void)
{
	m.partition = (uint32_t)random() % m.count;
	m.lbn = (uint64_t)random() % (eod_here() + 1);
	rig.place.partition = m.partition;
	rig.place.lbn = m.lbn;
	rig.place.file = rig.place.block = PMT_UNKNOWN;
	ck_good(rig_space(&rig, PMT_SPACE_RECORDS, 0));
}

static void model_erase(void)
{
	struct pmt_command cmd = { .op = PMT_OP_ERASE, .place = rig.place,
				   .argument = (uint32_t)random() % 2,
				   .flags = PMT_CMD_POSITIONED };

	ck_good(rig_do(&rig, cmd, NULL));
	m.part[m.partition].eod = m.lbn;
}

static void model_format(void)
{
	m.count = 1 + (uint32_t)random() % MODEL_PARTITIONS;
	ck_good(format(m.count, m.count > 1 ? 15 : 0));
	m.partition = 0;
	m.lbn = 0;
	m.generation++;
	for (int i = 0; i < MODEL_PARTITIONS; i++)
		m.part[i].eod = 0;
}

static void model_restart(bool killed)
{
	if (killed)
		shell("rm -rf snap && mkdir snap && cp -a t* snap");
	rig_close(&rig);
	if (killed)
		shell("rm -f t* && cp -a snap/t* .");
	reattach("t", "sync=no");
}

static void model_step(void)
{
	switch (random() % 24) {
	case 0 ... 4:
		model_write();
		break;
	case 5 ... 8:
		model_read();
		break;
	case 9 ... 12:
		model_space();
		break;
	case 13 ... 15:
		model_locate();
		break;
	case 16 ... 17:
		model_jump();
		break;
	case 18:
		ck_good(rig_op(&rig, PMT_OP_REWIND));
		m.lbn = 0;
		break;
	case 19:
		ck_good(rig_space(&rig, PMT_SPACE_EOD, 0));
		m.lbn = eod_here();
		break;
	case 20:
		if (random() % 4 == 0)
			model_erase();
		break;
	case 21:
		if (random() % 8 == 0)
			model_format();
		break;
	case 22:
		if (random() % 4 == 0)
			model_restart(random() % 2);
		break;
	case 23:
		ck_good(rig_op(&rig, PMT_OP_TEST));
		ck_assert_uint_eq(rig.result.eod, eod_here());
	}
}

START_TEST(behaves_as_the_model)
{
	uint64_t eod[MODEL_PARTITIONS];

	srandom(seed + (unsigned int)_i);
	memset(&m, 0, sizeof(m));
	m.generation = 1;
	open_tape("t", "capacity=64M&sync=no");
	m.count = 1;
	model_format();
	for (int i = 0; i < 1500; i++) {
		model_step();
		ck_at(m.partition, m.lbn, model_file(), model_block());
		ck_assert_uint_eq(rig.place.generation, m.generation);
		if (i % 100 == 0) {
			for (uint32_t p = 0; p < m.count; p++)
				eod[p] = m.part[p].eod;
			readers_agree("t", eod, m.count);
		}
	}
}
END_TEST

/* Mirrors: submitted without waiting, as a front end does. */

#define DEPTH 64

static struct {
	struct pmt_request requests[DEPTH];
	unsigned int n, done;
	pthread_mutex_t lock;
	pthread_cond_t cond;
} line = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

static void line_done(struct pmt_request *req)
{
	(void)req;
	pthread_mutex_lock(&line.lock);
	line.done++;
	pthread_cond_signal(&line.cond);
	pthread_mutex_unlock(&line.lock);
}

static void line_write(void *bytes, uint32_t length)
{
	struct pmt_request *req = &line.requests[line.n++];

	*req = (struct pmt_request){
		.cmd = { .op = PMT_OP_WRITE, .length = length, .place = rig.place,
			 .number = rig.number++ },
		.data = bytes,
		.done = line_done,
	};
	if (line.n == 1)
		req->cmd.flags = PMT_CMD_POSITIONED;
	rig.place = pmt_place_after(&req->cmd);
	rig.drive->ops->submit(rig.drive, req);
}

/* The number of the first that was not done; all are. */
static unsigned int line_wait(void)
{
	unsigned int n = line.n, first = n;

	pthread_mutex_lock(&line.lock);
	while (line.done < line.n)
		pthread_cond_wait(&line.cond, &line.lock);
	line.n = line.done = 0;
	pthread_mutex_unlock(&line.lock);
	for (unsigned int i = n; i--;)
		if (line.requests[i].result.status == PMT_STATUS_CHECK)
			first = i;
	if (first < n) {
		rig.drive->ops->resume(rig.drive);
		rig.result = line.requests[first].result;
		rig.place = rig.result.place;
	}
	return first;
}

static int open_mirror(const char *options_a, const char *options_b)
{
	char text[600];

	snprintf(text, sizeof(text), "mirror(%s,delay?ms=1|%s)", spec_of("a", options_a),
		 spec_of("b", options_b));
	return rig_open(&rig, text);
}

static uint64_t objects(const char *name, uint32_t partition)
{
	struct rig other;
	uint64_t eod;

	rig_init(&other);
	other.session.unit_id = 0;
	ck_assert_int_eq(rig_open(&other, spec_of(name, "readonly=yes")), 0);
	other.place.partition = partition;
	ck_good(rig_space(&other, PMT_SPACE_EOD, 0));
	eod = other.place.lbn;
	rig_close(&other);
	return eod;
}

static int64_t status_number(const char *object, const char *key)
{
	struct json_object *all, *value;
	int64_t n;
	char *json;

	ck_assert_int_eq(pmt_drive_status_json(rig.drive, &json), 0);
	all = value = json_tokener_parse(json);
	free(json);
	if (*object)
		ck_assert(json_object_object_get_ex(all, object, &value));
	ck_assert(json_object_object_get_ex(value, key, &value));
	n = json_object_get_int64(value);
	json_object_put(all);
	return n;
}

START_TEST(mirror_formats_all_or_none)
{
	ck_assert_int_eq(open_mirror("capacity=64M", "capacity=16M"), 0);
	ck_good(rig_write(&rig, "old"));
	ck_sense(format(2, 20), PMT_KEY_ILLEGAL, 0x26, 0x00);
	ck_assert_uint_eq(rig.place.generation, 1);
	ck_assert(!exists("a.p1") && !exists("b.p1"));
	ck_at(0, 1, 0, 1);
	ck_good(rig_write(&rig, "more"));
	ck_good(format(2, 10));
	ck_assert_uint_eq(rig.place.generation, 2);
	ck_at(0, 0, 0, 0);
	expect_eod();
	ck_good(rig_write(&rig, "zero"));
	ck_good(locate(1, 0));
	ck_good(write_positioned("one"));
	ck_good(rig_write(&rig, "two"));
	ck_sense(locate(2, 0), PMT_KEY_ILLEGAL, 0x24, 0x00);
	ck_at(1, 2, 0, 2);
	ck_good(rig_marks(&rig, 1));
	ck_good(locate(0, 0));
	expect_text("zero");
	begin_anew();
	ck_assert_uint_eq(objects("a", 1), 3);
	ck_assert_uint_eq(objects("b", 1), 3);
	ck_assert_uint_eq(objects("a", 0), 1);
	ck_assert_uint_eq(objects("b", 0), 1);

	shell("rm a* b*");
	ck_assert_int_eq(open_mirror("capacity=64M", "capacity=64M&format=simh"), 0);
	ck_sense(format(2, 20), PMT_KEY_ILLEGAL, 0x20, 0x00);
	ck_assert(!exists("a.p1"));
}
END_TEST

/* One copy meets the end of its partition 1 while the other has gone on. */
START_TEST(mirror_cuts_in_a_partition)
{
	static char bytes[40000];
	uint32_t n, done = 0;

	ck_assert_int_eq(open_mirror("capacity=40M", "capacity=32M&ew=200K"), 0);
	ck_good(format(2, -31));	/* 2.5 MB remain of the smaller one */
	ck_good(rig_write(&rig, "zero"));
	ck_good(locate(1, 0));
	do {
		for (n = 0; n < 60; n++)
			line_write(bytes, sizeof(bytes));
		n = line_wait();
		done += n;
	} while (n == 60);
	ck_sense(rig.result.status, PMT_KEY_OVERFLOW, 0x00, 0x02);
	ck_at(1, done, 0, done);
	ck_assert_uint_eq(rig.warned.partition, 1);
	rig_close(&rig);
	ck_assert_uint_eq(objects("a", 1), done);
	ck_assert_uint_eq(objects("b", 1), done);
	rig.session.place = rig.place;
	ck_assert_int_eq(open_mirror("", ""), 0);
	ck_sense(write_positioned("x") == PMT_STATUS_GOOD ? PMT_STATUS_CHECK : 0,
		 PMT_KEY_NONE, 0x00, 0x02);
	ck_good(locate(0, 0));
	expect_text("zero");
	begin_anew();
	ck_assert_uint_eq(objects("a", 1), done + 1);
	ck_assert_uint_eq(objects("b", 1), done + 1);
	if (!readers[0])
		return;
	shell("%s/tapesum -c a b > sums && test $(grep -c partition=1 sums) = 2", readers);
	open_tape("b", "");
	ck_good(locate(1, done));
	ck_good(write_positioned("other"));
	rig_close(&rig);
	shell("! %s/tapesum -c a b > sums", readers);
}
END_TEST

START_TEST(mirror_reads_the_longest_in_a_partition)
{
	ck_assert_int_eq(open_mirror("capacity=64M", "capacity=64M"), 0);
	ck_good(format(2, 10));
	ck_good(locate(1, 0));
	ck_good(write_positioned("one"));
	begin_anew();
	rig.session.unit_id = 0;
	open_tape("b", "");		/* the second copy goes on alone */
	ck_good(locate(1, 1));
	ck_good(write_positioned("two"));
	begin_anew();
	ck_assert_int_eq(open_mirror("", ""), 0);
	ck_good(locate(1, 0));
	expect_text("one");
	expect_text("two");
	expect_eod();
	rig.place = (struct pmt_place){ .generation = 1 };
	expect_eod();		/* what is known of partition 1 says nothing of it */
	ck_assert_int_eq(status_number("", "fallbacks"), 0);
	/* They are no twins: nothing is appended to the shorter one. */
	ck_good(locate(1, 1));
	ck_sense(write_positioned("x"), PMT_KEY_NOT_READY, 0x04, 0x03);
}
END_TEST

START_TEST(mirror_shows_early_warning_of_each)
{
	static char bytes[10000];

	ck_assert_int_eq(open_mirror("capacity=8M", "capacity=4M"), 0);
	ck_good(format(2, 1));
	for (int p = 1; p >= 0; p--) {
		unsigned int n;

		ck_good(locate((uint32_t)p, 0));
		n = write_to(true, bytes, sizeof(bytes));
		ck_assert_int_eq(status_number("first_ew", "partition"), p);
		ck_assert_int_eq(status_number("first_ew", "lbn"), n - 1);
		ck_assert_uint_eq(rig.warned.partition, p);
	}
	ck_assert_int_eq(status_number("first_ew", "copy"), 2);
}
END_TEST

START_TEST(mirror_wants_the_same_partitions)
{
	two_partitions("a", capacity);
	begin_anew();
	open_tape("b", capacity);
	begin_anew();
	logged[0] = '\0';
	ck_assert_int_eq(open_mirror("", ""), -EINVAL);
	ck_assert_ptr_nonnull(strstr(logged, "no twins"));
	ck_assert_ptr_nonnull(strstr(logged, "has 2 partition(s)"));
}
END_TEST

/* Killed when one copy was formatted, the other not. */
static void format_one(void)
{
	struct pmt_place at;

	ck_assert_int_eq(open_mirror("capacity=64M", "capacity=64M"), 0);
	ck_good(rig_write(&rig, "old"));
	at = rig.place;
	rig_close(&rig);
	rig.session.place = at;
	open_tape("a", "");
	ck_good(format(2, 10));
	rig_close(&rig);
	rig.session.place = at;
	ck_assert_int_eq(open_mirror("", ""), 0);
}

/* The same again. */
START_TEST(mirror_repeats_format)
{
	format_one();
	ck_good(format(2, 10));
	ck_assert_uint_eq(rig.place.generation, 2);
	expect_eod();
	ck_good(locate(1, 0));
	ck_good(write_positioned("one"));
	begin_anew();
	ck_assert_uint_eq(objects("a", 1), 1);
	ck_assert_uint_eq(objects("b", 1), 1);
}
END_TEST

/* Another than that: it is not said to be done, nor done by the other one. */
START_TEST(mirror_of_another_format)
{
	format_one();
	ck_sense(format(1, 0), PMT_KEY_ILLEGAL, 0x26, 0x00);
	ck_assert_uint_eq(rig.place.generation, 1);
	begin_anew();
	ck_assert_uint_eq(objects("b", 0), 1);
}
END_TEST

/* Of the next set one tape is divided, the other not. */
START_TEST(mirror_refuses_a_set_of_unlike_partitions)
{
	char text[600];

	two_partitions("a1", capacity);
	begin_anew();
	open_tape("b1", capacity);
	begin_anew();
	snprintf(text, sizeof(text), "mirror(%s,%s)%s", spec_of("a%d", capacity),
		 spec_of("b%d", capacity), _i ? "?twins=any" : "");
	ck_assert_int_eq(rig_open(&rig, text), 0);
	ck_good(rig_write(&rig, "first"));
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	logged[0] = '\0';
	ck_sense(rig_op(&rig, PMT_OP_LOAD), PMT_KEY_NOT_READY, 0x04, 0x03);
	ck_assert_ptr_nonnull(strstr(logged, "has 2 partition(s)"));
	ck_assert_ptr_nonnull(strstr(logged, "format them alike"));
}
END_TEST

static Suite *partitions_suite(void)
{
	Suite *s = suite_create("partitions");
	TCase *c = tcase_create("partitions");

	tcase_set_timeout(c, 300);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, format_divides);
	tcase_add_test(c, format_refuses);
	tcase_add_test(c, each_partition_counts_for_itself);
	tcase_add_loop_test(c, erase_ends_the_data, 0, 2);
	tcase_add_test(c, blocks_in_a_partition);
	tcase_add_test(c, no_such_partition_moves_nothing);
	tcase_add_test(c, goes_to_the_partition_first);
	tcase_add_test(c, locate_is_repeated);
	tcase_add_test(c, density_is_checked);
	tcase_add_test(c, each_partition_has_its_end);
	tcase_add_test(c, early_warning_is_divided);
	tcase_add_test(c, files_that_do_not_belong);
	tcase_add_test(c, all_files_are_locked);
	tcase_add_test(c, older_software);
	tcase_add_test(c, objects_of_another_partition);
	tcase_add_loop_test(c, format_is_one_step, 0, 4 * CHANGES);
	tcase_add_test(c, format_fails);
	tcase_add_test(c, filemark_covers_all_partitions);
	tcase_add_test(c, format_in_a_set);
	tcase_add_loop_test(c, behaves_as_the_model, 0, 6);
	tcase_add_test(c, mirror_formats_all_or_none);
	tcase_add_test(c, mirror_cuts_in_a_partition);
	tcase_add_test(c, mirror_reads_the_longest_in_a_partition);
	tcase_add_test(c, mirror_shows_early_warning_of_each);
	tcase_add_test(c, mirror_wants_the_same_partitions);
	tcase_add_test(c, mirror_repeats_format);
	tcase_add_test(c, mirror_of_another_format);
	tcase_add_loop_test(c, mirror_refuses_a_set_of_unlike_partitions, 0, 2);
	suite_add_tcase(s, c);
	return s;
}

/* Beside this program, in the other build. */
static void find_readers(const char *self)
{
	const char *slash = strrchr(self, '/');
	char relative[4096];

	snprintf(relative, sizeof(relative), "%.*s/../../../plain/tests/system/dumpimg",
		 slash ? (int)(slash - self) : 1, slash ? self : ".");
	if (access(relative, X_OK) || !realpath(relative, readers))
		printf("no tests/system/dumpimg is built: without it\n");
	else
		*strrchr(readers, '/') = '\0';
}

int main(int argc, char **argv)
{
	seed = suite_seed();
	find_readers(argc ? argv[0] : "");
	return run_suite(partitions_suite());
}
