// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmt metrics, of units and servers that are made up: a reader that goes by the rules of
 * the format takes it, and the samples are what the units say.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define pmt_unit_list fake_unit_list
#define pmt_unit_get fake_unit_get
#define socket_status fake_socket_status
#include "../../tools/metrics.c"
#include "../../tools/info.c"
#include "../../tools/sample.c"
#undef pmt_unit_list
#undef pmt_unit_get
#undef socket_status

#include "folder.h"
#include "suite.h"

static const struct pmt_unit_info units[] = {
	{ .unit = 0, .state = PMT_STATE_SERVED, .server_pid = 7, .master_open = true,
	  .place = { .generation = 3, .lbn = 5000000000, .file = 2, .block = PMT_UNKNOWN },
	  .issued = 3, .done = 0xfffffffe, .data_size = 64 << 20, .data_waiting = 4096,
	  .bytes_written = UINT64_MAX - 1, .records_written = 12 },
	{ .unit = 14, .state = PMT_STATE_RECOVERING, .data_waiting = PMT_UNKNOWN,
	  .place = { .lbn = PMT_UNKNOWN, .file = PMT_UNKNOWN } },
	{ .unit = 15, .state = PMT_STATE_SERVED, .server_pid = 8 },
};

static const char mirror[] =
	"{\"drive\":{\"kind\":\"mirror\",\"children\":["
	"{\"spec\":\"zstd|image:a\\\"\\\\\\n.tape\",\"kind\":\"zstd\",\"state\":\"failed\","
	"\"children\":[{\"kind\":\"image\",\"lbn\":17,\"bytes\":4711,\"room\":999,\"present\":true,"
	"\"error\":\"write\"}]},"
	"{\"spec\":\"null:\",\"kind\":\"null\",\"state\":\"ok\",\"lbn\":null,\"bytes\":4712,"
	"\"early_warning\":true}]}}";

int fake_unit_list(struct pmt_control *control,
		   int (*each)(const struct pmt_unit_info *, void *), void *context)
{
	int rc = 0;

	(void)control;
	for (size_t i = 0; rc == 0 && i < sizeof(units) / sizeof(units[0]); i++)
		rc = each(&units[i], context);
	return rc;
}

int fake_unit_get(struct pmt_control *control, uint32_t unit, struct pmt_unit_info *info)
{
	(void)control;
	*info = units[1];
	return unit == 14 ? 0 : -ENOENT;
}

int fake_socket_status(uint32_t unit, unsigned int patience, struct json_object **status)
{
	(void)patience;
	*status = unit == 0 ? json_tokener_parse(mirror) : NULL;
	return *status ? 0 : -ETIMEDOUT;
}

int tool_fail(struct tool *t, uint32_t unit, int err)
{
	(void)t;
	ck_assert_uint_eq(unit, 3);
	ck_assert_int_eq(err, -ENOENT);
	return TOOL_FAILED;
}

static const char *const lines[] = {
	"pmt_unit_state{unit=\"0\",state=\"served\"} 1",
	"pmt_unit_state{unit=\"14\",state=\"served\"} 0",
	"pmt_unit_state{unit=\"14\",state=\"recovering\"} 1",
	"pmt_unit_server_answers{unit=\"0\"} 1",
	"pmt_unit_server_answers{unit=\"15\"} 0",
	"pmt_unit_waiting_commands{unit=\"0\"} 5",
	"pmt_unit_waiting_bytes{unit=\"0\"} 4096",
	"pmt_unit_master_open{unit=\"0\"} 1",
	"pmt_unit_lbn{unit=\"0\"} 5000000000",
	"pmt_unit_file{unit=\"0\"} 2",
	"pmt_unit_load{unit=\"0\"} 3",
	"pmt_unit_ring_bytes{unit=\"0\"} 67108864",
	"pmt_unit_written_bytes_total{unit=\"0\"} 18446744073709551614",
	"pmt_unit_written_records_total{unit=\"0\"} 12",
	"pmt_copy_failed{unit=\"0\",copy=\"0\",drive=\"zstd|image:a\\\"\\\\\\n.tape\"} 1",
	"pmt_copy_failed{unit=\"0\",copy=\"1\",drive=\"null:\"} 0",
	"pmt_copy_error{unit=\"0\",copy=\"0\",drive=\"zstd|image:a\\\"\\\\\\n.tape\"} 1",
	"pmt_copy_error{unit=\"0\",copy=\"1\",drive=\"null:\"} 0",
	"pmt_copy_lbn{unit=\"0\",copy=\"0\",drive=\"zstd|image:a\\\"\\\\\\n.tape\"} 17",
	"pmt_copy_room{unit=\"0\",copy=\"0\",drive=\"zstd|image:a\\\"\\\\\\n.tape\"} 999",
	"pmt_copy_present{unit=\"0\",copy=\"0\",drive=\"zstd|image:a\\\"\\\\\\n.tape\"} 1",
	"pmt_copy_written_bytes_total{unit=\"0\",copy=\"1\",drive=\"null:\"} 4712",
	"pmt_copy_early_warning{unit=\"0\",copy=\"1\",drive=\"null:\"} 1",
};

static bool has_line(const char *text, const char *line)
{
	size_t n = strlen(line);

	for (const char *at = text; (at = strstr(at, line)); at += n)
		if ((at == text || at[-1] == '\n') && at[n] == '\n')
			return true;
	return false;
}

static void reader_takes(const char *name)
{
	const char *top = getenv("PMT_TOP");
	char command[512];

	snprintf(command, sizeof(command), "python3 %s/tests/system/openmetrics.py < %s > /dev/null",
		 top ? top : ".", path(name));
	ck_assert_int_eq(system(command), 0);
}

START_TEST(says_what_is)
{
	struct tool all = { .unit = PMT_ANY_UNIT };
	char *text;

	folder_make();
	ck_assert_int_eq(folder_catch_verb("all", verb_metrics, &all), TOOL_OK);
	text = folder_contents("all");
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		ck_assert_msg(has_line(text, lines[i]), "no %s in: %s", lines[i], text);
	/* What is not known is left out. */
	ck_assert_ptr_null(strstr(text, "pmt_unit_waiting_bytes{unit=\"14\"}"));
	ck_assert_ptr_null(strstr(text, "pmt_unit_lbn{unit=\"14\"}"));
	ck_assert_ptr_null(strstr(text, "pmt_copy_lbn{unit=\"0\",copy=\"1\""));
	reader_takes("all");
	free(text);
	folder_remove();
}
END_TEST

START_TEST(of_one_unit)
{
	struct tool one = { .unit = 14 }, none = { .unit = 3 };
	char *text;

	folder_make();
	ck_assert_int_eq(folder_catch_verb("one", verb_metrics, &one), TOOL_OK);
	text = folder_contents("one");
	ck_assert_ptr_nonnull(strstr(text, "{unit=\"14\""));
	ck_assert_ptr_null(strstr(text, "{unit=\"0\""));
	reader_takes("one");
	free(text);
	ck_assert_int_eq(folder_catch_verb("none", verb_metrics, &none), TOOL_FAILED);
	text = folder_contents("none");
	ck_assert_str_eq(text, "");
	free(text);
	folder_remove();
}
END_TEST

/* What breaks a rule, made of what is right by sed. */
static const char *const wrong[] = {
	"$d", "s/_total//", "s/ \\([0-9]*\\)$/ -\\1/", "s/ counter$/ info/", "2p", "s/^# TYPE.*//",
	"/^pmt_unit_file{/p", "s/=\"0\"/=0/", "$a x",
	"s/unit=\"0\"/unit=\"0\",unit=\"0\"/", "s/ 12$/ 12 /", "s/UNIT \\(.*\\) bytes/UNIT \\1 days/",
	"/pmt_unit_file{/d; $i pmt_unit_file{unit=\"0\"} 2",
};

START_TEST(reader_is_strict)
{
	const char *top = getenv("PMT_TOP");
	struct tool all = { .unit = PMT_ANY_UNIT };
	char command[1024];

	folder_make();
	ck_assert_int_eq(folder_catch_verb("all", verb_metrics, &all), TOOL_OK);
	snprintf(command, sizeof(command), "grep -v zstd %s | sed '%s' |"
		 "python3 %s/tests/system/openmetrics.py > /dev/null 2>&1", path("all"), wrong[_i],
		 top ? top : ".");
	ck_assert_msg(system(command) != 0, "it takes %s", wrong[_i]);
	folder_remove();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("metrics");
	TCase *tests = tcase_create("metrics");

	tcase_set_timeout(tests, 120);
	tcase_add_test(tests, says_what_is);
	tcase_add_test(tests, of_one_unit);
	tcase_add_loop_test(tests, reader_is_strict, 0, sizeof(wrong) / sizeof(wrong[0]));
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
