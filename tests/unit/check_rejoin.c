// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/mirror/rejoin.c: copies that come back, and blocks that are written anew. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "folder.h"
#include "mirrorrig.h"
#include "suite.h"

/* A copy that comes back */

static bool said(const char *text)
{
	bool found;

	pthread_mutex_lock(&rig.lock);
	found = strstr(rig.event, text) != NULL;
	pthread_mutex_unlock(&rig.lock);
	return found;
}

static bool came(unsigned int event)
{
	bool last;

	pthread_mutex_lock(&rig.lock);
	last = last_event == event;
	pthread_mutex_unlock(&rig.lock);
	return last;
}

/* The application writes nothing. */
static void look_until(unsigned int event)
{
	for (int i = 0; i < 60000 && !came(event); i++) {
		ck_good(rig_op(&rig, PMT_OP_TEST));
		pmt_delay(1);
	}
	ck_assert(came(event));
}

/* Writes until the event comes, as the application that goes on meanwhile. */
static void write_until(unsigned int event)
{
	char text[32];

	for (int i = 0; i < 15000; i++) {
		if (came(event))
			return;
		snprintf(text, sizeof(text), "while %d", i);
		ck_good(rig_write(&rig, text));
		pmt_delay(1);	/* of a program that has other things to do */
		if (i % 10 == 0)
			ck_good(rig_marks(&rig, 1));
	}
	ck_abort_msg("no event %x; the last is %x: %s", event, last_event, rig.event);
}

static void rejoin(unsigned int copy, const char *spec)
{
	char *error;
	int rc = pmt_mirror_rejoin(rig.drive, copy, spec, &error);

	ck_assert_msg(rc >= 0, "%s", error ? error : "?");
}

static void refused(unsigned int copy, const char *spec, int rc, const char *text)
{
	char *error;

	ck_assert_int_eq(pmt_mirror_rejoin(rig.drive, copy, spec, &error), rc);
	ck_assert_msg(error && strstr(error, text), "%s", error ? error : "?");
	free(error);
}

static const char *image(const char *name, const char *options)
{
	static char text[4][300];
	static int next;
	char *spec = text[next++ % 4];

	snprintf(spec, sizeof(text[0]), "image:%s/%s%s", folder, name, options);
	return spec;
}

static uint64_t count_alike(const char *name, const char *other)
{
	char one[64], two[64];
	struct rig second;
	uint64_t n = 0;

	rig_close(&rig);
	rig.session.place = (struct pmt_place){ .generation = 1 };
	rig.session.cookie = 0;
	open_spec(image(name, "?readonly=yes"));
	rig_init(&second);
	ck_assert_int_eq(rig_open(&second, image(other, "?readonly=yes")), 0);
	do {
		memset(one, 0, sizeof(one));
		memset(two, 0, sizeof(two));
		rig_read(&rig, one, sizeof(one));
		rig_read(&second, two, sizeof(two));
		ck_assert_str_eq(one, two);
		ck_assert_uint_eq(rig.result.status, second.result.status);
		ck_assert_uint_eq(rig.result.sense, second.result.sense);
		n++;
	} while (rig.result.key != PMT_KEY_BLANK);
	ck_assert_uint_eq(second.result.key, PMT_KEY_BLANK);
	rig_close(&second);
	return n - 1;
}

/* By this fault, where so many records are written. */
static void drop_second_by(const char *fault, int records)
{
	char spec[800];

	snprintf(spec, sizeof(spec), "mirror(%s,fault?op=write&error=hardware&%s|%s)"
		 "?policy=degrade", image("a", "?capacity=100M"), fault,
		 image("b", "?capacity=100M"));
	open_spec(spec);
	for (int i = 0; i < records; i++)
		ck_good(rig_write(&rig, "before"));
	ck_assert_uint_eq(failed_copies, 2);
}

static void drop_second(void)
{
	drop_second_by("at=3", 200);
}

START_TEST(comes_back_while_writing)
{
	const char *name = _i ? "b" : "c";
	uint64_t n;

	folder_make();
	drop_second();
	rejoin(2, image(name, "?capacity=100M"));
	write_until(PMT_EVENT_COPY_REJOINED);
	ck_assert_str_eq(state_of(1), "ok");
	ck_good(rig_write(&rig, "behind"));
	ck_good(rig_marks(&rig, 1));
	ck_assert_uint_eq(rig.result.cookie & 2, 0);
	n = rig.place.lbn;
	ck_assert_uint_eq(count_alike("a", name), n);
	rig_close(&rig);
	folder_remove();
}
END_TEST

/* The application writes faster than the copy can: it has to wait for that one. */
START_TEST(comes_back_though_slower)
{
	char spec[320];
	uint64_t n;

	folder_make();
	drop_second();
	snprintf(spec, sizeof(spec), "delay?op=write&ms=1|%s", image("c", "?capacity=100M"));
	rejoin(2, spec);
	for (n = 0; n < 100000 && !came(PMT_EVENT_COPY_REJOINED); n++) {
		for (int i = 0; i < 4; i++)
			ck_good(rig_write(&rig, "fast"));
		pmt_delay(1);
	}
	ck_assert_uint_lt(n, 100000);
	ck_good(rig_marks(&rig, 1));
	n = rig.place.lbn;
	ck_assert_uint_eq(count_alike("a", "c"), n);
	rig_close(&rig);
	folder_remove();
}
END_TEST

/* Its tape has one partition, and those that it is a copy of get two meanwhile. */
START_TEST(does_not_come_back_divided)
{
	struct pmt_command format = { .op = PMT_OP_FORMAT, .argument = 2, .count = 10 };
	char spec[320];

	folder_make();
	drop_second();
	for (int i = 0; i < 200; i++)
		ck_good(rig_write(&rig, "before"));
	snprintf(spec, sizeof(spec), "delay?op=write&ms=5|%s", image("c", "?capacity=100M"));
	rejoin(2, spec);
	while (!status_number("rejoin", "lbn"))
		pmt_delay(1);
	format.place = rig.place;
	ck_good(rig_do(&rig, format, NULL));
	look_until(PMT_EVENT_REJOIN_FAILED);
	ck_good(rig_do(&rig, (struct pmt_command){ .op = PMT_OP_LOCATE, .place = rig.place,
						   .argument = 1 }, NULL));
	ck_good(rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .place = rig.place,
						   .flags = PMT_CMD_POSITIONED,
						   .length = 3 }, "two"));
	rig_close(&rig);
	folder_remove();
}
END_TEST

/* The copy that is read for it is dropped, too: it has not what is written since. */
START_TEST(comes_back_by_one_that_counts)
{
	char spec[1200];
	uint64_t n;

	folder_make();
	snprintf(spec, sizeof(spec), "mirror(fault?op=write&at=200&error=hardware|%s,"
		 "fault?op=write&at=3&error=hardware|%s,%s)?policy=degrade",
		 image("a", "?capacity=100M"), image("b", "?capacity=100M"),
		 image("c", "?capacity=100M"));
	open_spec(spec);
	for (int i = 0; i < 200; i++)
		ck_good(rig_write(&rig, "before"));
	snprintf(spec, sizeof(spec), "delay?op=write&ms=5|%s", image("d", "?capacity=100M"));
	rejoin(2, spec);
	while (!status_number("rejoin", "lbn"))
		pmt_delay(1);
	for (int i = 0; i < 20; i++)
		ck_good(rig_write(&rig, "meanwhile"));
	ck_assert_uint_eq(failed_copies, 3);
	n = rig.place.lbn;
	look_until(PMT_EVENT_COPY_REJOINED);
	ck_assert_uint_eq(count_alike("c", "d"), n);
	rig_close(&rig);
	folder_remove();
}
END_TEST

/* It has all, and was found to have it: it must not be at its end all the same. */
START_TEST(has_all_and_no_room)
{
	char spec[800];

	folder_make();
	drop_second_by("at=99&when=after", 100);
	snprintf(spec, sizeof(spec), "limit?capacity=600&ew=100|%s", image("b", ""));
	rejoin(2, spec);
	look_until(PMT_EVENT_REJOIN_FAILED);
	ck_assert_ptr_nonnull(strstr(rig.event, "early warning at block 99"));
	rig_close(&rig);
	folder_remove();
}
END_TEST

/* Tells what it holds, of where, and knows its cartridge from then on. */
START_TEST(comes_back_and_is_known)
{
	folder_make();
	drop_second();
	ck_good(rig_op(&rig, PMT_OP_TEST));
	rejoin(2, image("c", "?capacity=100M"));
	do
		ck_good(rig_marks(&rig, 1));
	while (!(rig.result.medium_flags & PMT_MEDIUM_PRESENT));
	ck_assert_uint_ne(rig.result.medium[1], 0);
	ck_assert_uint_ne(rig.result.medium[0], rig.result.medium[1]);
	rig_close(&rig);
	folder_remove();
}
END_TEST

START_TEST(comes_back_with_the_next_volume)
{
	struct mem_medium *c = mem_medium("c");

	a->stacker = b->stacker = c->stacker = true;
	open_spec("mirror(mem:a,fault?op=write&at=3&error=hardware|mem:b)?policy=degrade");
	for (int i = 0; i < 5; i++)
		ck_good(rig_write(&rig, "first"));
	rejoin(2, "mem:c");
	while (!said("waits for the next unload")) {
		ck_good(rig_write(&rig, "first"));
		pmt_delay(1);
	}
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	write_until(PMT_EVENT_COPY_REJOINED);
	ck_good(rig_write(&rig, "second"));
	ck_assert(mem_same(&a->volume, &c->volume));
	ck_assert_uint_eq(c->n_gone, 0);
	ck_assert_str_eq(state_of(1), "ok");
}
END_TEST

START_TEST(does_not_come_back)
{
	folder_make();
	drop_second();
	refused(1, image("c", "?capacity=1M"), -EINVAL, "has not failed");
	refused(3, image("c", "?capacity=1M"), -EINVAL, "copies 1 to 2");
	refused(2, "image", -EINVAL, "column");
	rejoin(2, "limit?capacity=600&ew=100|mem:c");
	write_until(PMT_EVENT_REJOIN_FAILED);
	ck_assert_ptr_nonnull(strstr(rig.event, "early warning at block"));
	ck_assert_str_eq(state_of(1), "failed");
	ck_good(rig_write(&rig, "goes on"));
	rig_close(&rig);
	folder_remove();
}
END_TEST

/* A record of the image's file, of "before"s, is damaged. */
static void damage(const char *name, uint64_t lbn)
{
	char path[300];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "r+");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fseek(file, (long)(12288 + 72 * lbn + 64), SEEK_SET), 0);
	ck_assert_int_eq(fputc('X', file), 'X');
	ck_assert_int_eq(fclose(file), 0);
}

static void open_damaged(const char *options)
{
	char spec[800];

	snprintf(spec, sizeof(spec), "mirror(%s,%s)%s", image("a", "?capacity=100M"),
		 image("b", "?capacity=100M"), options);
	open_spec(spec);
	for (int i = 0; i < 20; i++)
		ck_good(rig_write(&rig, "before"));
	damage("a", 7);
	ck_good(rig_locate(&rig, 7));
	expect_text("before");
	ck_bad(0, 1, 7);
}

/* Rejoining puts the bad block right, on its own cartridge or another. */
START_TEST(bad_blocks_are_written_anew)
{
	const char *name = _i ? "a" : "c";

	folder_make();
	open_damaged("?policy=degrade");
	refused(2, image("c", ""), -EINVAL, "has no bad block");
	refused(1, "image", -EINVAL, "column");
	refused(1, image("no/where", "?capacity=100M"), -ENOENT, "");
	ck_assert_str_eq(state_of(0), "ok");
	ck_good(rig_locate(&rig, 20));
	rejoin(1, image(name, "?capacity=100M"));
	look_until(PMT_EVENT_COPY_REJOINED);
	ck_assert_str_eq(state_of(0), "ok");
	ck_bad(0, 0, PMT_UNKNOWN);
	ck_good(rig_write(&rig, "behind"));
	ck_good(rig_marks(&rig, 1));
	ck_assert_uint_eq(rig.result.cookie & 1, 0);
	ck_assert_uint_eq(count_alike(name, "b"), 22);
	rig_close(&rig);
	folder_remove();
}
END_TEST

START_TEST(bad_blocks_that_must_stay)
{
	folder_make();
	open_damaged(_i ? "" : "?policy=degrade&min=2");
	refused(1, image("c", ""), -EINVAL, "fewer copies than the policy asks for");
	ck_assert_str_eq(state_of(0), "ok");
	rig_close(&rig);
	folder_remove();
}
END_TEST

/* One copy that counts has a record wrong, and cannot know: SIMH has no sums. */
static void open_unsure(bool fourth)
{
	char spec[1600];
	FILE *file;

	snprintf(spec, sizeof(spec), "mirror(%s,%s,fault?op=write&at=3&error=hardware|mem:b%s%s)"
		 "?policy=degrade&verify=yes", image("a", "?capacity=9M&format=simh"),
		 image("b", "?capacity=9M&format=simh"), fourth ? "," : "",
		 fourth ? image("d", "?capacity=9M&format=simh") : "");
	open_spec(spec);
	for (int i = 0; i < 20; i++)
		ck_good(rig_write(&rig, "before"));
	snprintf(spec, sizeof(spec), "%s/a", folder);
	file = fopen(spec, "r+");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fseek(file, 14 * 7 + 4, SEEK_SET), 0);
	ck_assert_int_eq(fputc('X', file), 'X');
	ck_assert_int_eq(fclose(file), 0);
}

/* It would have two votes then, if the copy that comes back had it too. */
START_TEST(comes_back_with_what_most_have)
{
	folder_make();
	open_unsure(true);
	rejoin(3, image("c", "?capacity=9M&format=simh"));
	look_until(PMT_EVENT_COPY_REJOINED);
	ck_good(rig_locate(&rig, 7));
	expect_text("before");
	ck_bad(0, 1, 7);
	ck_bad(2, 0, PMT_UNKNOWN);
	ck_assert_uint_eq(count_alike("b", "c"), 20);
	rig_close(&rig);
	folder_remove();
}
END_TEST

START_TEST(does_not_come_back_by_copies_that_differ)
{
	folder_make();
	open_unsure(false);
	rejoin(3, image("c", "?capacity=9M&format=simh"));
	look_until(PMT_EVENT_REJOIN_FAILED);
	ck_assert_ptr_nonnull(strstr(rig.event, "the good copies differ at block 7"));
	ck_assert_str_eq(state_of(2), "failed");
	ck_good(rig_write(&rig, "goes on"));
	rig_close(&rig);
	folder_remove();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rejoin");
	TCase *tests = tcase_create("rejoin");

	tcase_add_checked_fixture(tests, mirrorrig_setup, mirrorrig_teardown);
	tcase_add_loop_test(tests, comes_back_while_writing, 0, 2);
	tcase_add_test(tests, comes_back_though_slower);
	tcase_add_test(tests, does_not_come_back_divided);
	tcase_add_test(tests, comes_back_by_one_that_counts);
	tcase_add_test(tests, has_all_and_no_room);
	tcase_add_test(tests, comes_back_and_is_known);
	tcase_add_test(tests, comes_back_with_the_next_volume);
	tcase_add_test(tests, does_not_come_back);
	tcase_add_loop_test(tests, bad_blocks_are_written_anew, 0, 2);
	tcase_add_loop_test(tests, bad_blocks_that_must_stay, 0, 2);
	tcase_add_test(tests, comes_back_with_what_most_have);
	tcase_add_test(tests, does_not_come_back_by_copies_that_differ);
	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
