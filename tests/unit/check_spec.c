// SPDX-License-Identifier: GPL-2.0-or-later
/* Drive specifications: what is understood, and what is refused and where. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "memleaf.h"
#include "suite.h"

static struct pmt_spec *parse(const char *text)
{
	struct pmt_spec *spec;
	char *error;
	int rc = pmt_spec_parse(text, &spec, &error);

	ck_assert_msg(rc == 0, "%s: %s", text, error ? error : "?");
	return spec;
}

START_TEST(a_leaf)
{
	struct pmt_spec *spec = parse("null:some/thing:9?size=4K&records=1M");

	ck_assert_str_eq(spec->kind, "null");
	ck_assert_str_eq(spec->target, "some/thing:9");
	ck_assert_uint_eq(spec->n_options, 2);
	ck_assert_str_eq(spec->options[1].key, "records");
	ck_assert_str_eq(spec->options[1].value, "1M");
	ck_assert_int_eq(spec->options[1].column, 27);
	ck_assert_int_eq(spec->column, 1);
	pmt_spec_free(spec);
}
END_TEST

START_TEST(filters_and_mirror)
{
	struct pmt_spec *spec = parse(" mirror ( delay?ms=1 | fault?error=medium|null: , "
				      "null:b ) ? policy = degrade & min=1 ");

	ck_assert_str_eq(spec->kind, "mirror");
	ck_assert_ptr_null(spec->target);
	ck_assert_uint_eq(spec->n_children, 2);
	ck_assert_str_eq(spec->options[0].value, "degrade");
	ck_assert_str_eq(spec->children[0]->kind, "delay");
	ck_assert_str_eq(spec->children[0]->text, "delay?ms=1 | fault?error=medium|null:");
	ck_assert_str_eq(spec->children[0]->children[0]->kind, "fault");
	ck_assert_str_eq(spec->children[0]->children[0]->children[0]->target, "");
	ck_assert_str_eq(spec->children[1]->target, "b");
	ck_assert_int_eq(spec->children[1]->column, 51);
	pmt_spec_free(spec);
}
END_TEST

START_TEST(backslashes)
{
	struct pmt_spec *spec = parse("null:a\\?b\\|c\\,d\\(e\\)f\\&g\\=h\\\\i\\ j&k=l?size=\\=");

	ck_assert_str_eq(spec->target, "a?b|c,d(e)f&g=h\\i j&k=l");
	ck_assert_str_eq(spec->options[0].value, "=");
	pmt_spec_free(spec);
}
END_TEST

static const struct {
	const char *text, *error;
} refused[] = {
	{ "", "column 1: expected a drive, found the end" },
	{ "  ", "column 3: expected a drive, found the end" },
	{ "tape:x", "column 1: unknown kind of drive 'tape'" },
	{ "null", "column 5: expected ':' behind null" },
	{ "mirror", "column 7: expected '(' behind mirror" },
	{ "mirror()", "column 8: expected a drive, found ')'" },
	{ "mirror(null:", "column 7: '(' without ')'" },
	{ "mirror(null:,)", "column 14: expected a drive, found ')'" },
	{ "mirror(,null:)", "column 8: expected a drive, found ','" },
	{ "mirror(null:a null:)", "column 15: expected ',' or ')', found 'n'" },
	{ "null:)", "column 6: expected the end, found ')'" },
	{ "null:a,null:b", "column 7: expected the end, found ','" },
	{ "null:a b", "column 8: expected the end, found 'b'; a blank in a name is "
		      "written '\\ '" },
	{ "null:|null:", "column 6: null: is no filter: it has a target" },
	{ "null:a(b)", "column 7: '(' has no meaning here; write \\(" },
	{ "null:a\\b", "column 7: expected one of ?|,()&=\\  behind \\" },
	{ "null:a\\", "column 7: expected one of ?|,()&=\\  behind \\" },
	{ "null:?", "column 7: expected an option's name, found the end" },
	{ "null:?size", "column 11: expected '=' behind option 'size'" },
	{ "null:?size=1&size=2", "column 14: null: option 'size' is given twice" },
	{ "null:?size=1&", "column 14: expected an option's name, found the end" },
	{ "null:?size=1?a=2", "column 13: '?' has no meaning here; write \\?" },
	{ "delay?ms=1", "column 11: expected '|' and a drive behind delay" },
	{ "delay:x", "column 6: expected '|' and a drive behind delay" },
	{ "delay?ms=1|", "column 12: expected a drive, found the end" },
	{ "mirror(null:, delay?ms=1|tape:)", "column 26: unknown kind of drive 'tape'" },
};

static void note_leaf(const char *kind, const char *target, void *context)
{
	strcat(context, kind);
	strcat(context, "=");
	strcat(context, target);
	strcat(context, ";");
}

START_TEST(leaves)
{
	char text[100] = "", *error = NULL;

	ck_assert_int_eq(pmt_spec_leaves("mirror(delay?ms=1|null:a\\ b, mirror(null:c), st:/dev/d)",
					 note_leaf, text, &error), 0);
	ck_assert_str_eq(text, "null=a b;null=c;st=/dev/d;");
	*text = '\0';
	ck_assert_int_eq(pmt_spec_leaves("mirror(null:a, frob:b)", note_leaf, text, &error), -EINVAL);
	ck_assert_str_eq(error, "column 16: unknown kind of drive 'frob'");
	ck_assert_str_eq(text, "");
	free(error);
	ck_assert_int_eq(pmt_spec_leaves("null:a", NULL, NULL, &error), 0);
}
END_TEST

START_TEST(is_refused)
{
	struct pmt_spec *spec;
	char *error;

	ck_assert_int_eq(pmt_spec_parse(refused[_i].text, &spec, &error), -EINVAL);
	ck_assert_ptr_nonnull(error);
	ck_assert_str_eq(error, refused[_i].error);
	ck_assert_ptr_null(spec);
	free(error);
}
END_TEST

static const struct {
	const char *text, *error;
} not_opened[] = {
	{ "null:?sise=1", "column 7: null: unknown option 'sise'" },
	{ "mirror(null:,null:?a=b)", "column 20: null: unknown option 'a'" },
	{ "mirror(null:)?x=1", "column 15: mirror: unknown option 'x'" },
	{ "null:?size=x", "column 7: null: option 'size': expected a number (suffixes K "
			  "M G T), found 'x'" },
	{ "null:?size=0", "column 7: null: option 'size': 0 is not in 1..16777216" },
	{ "null:?size=16T", "column 7: null: option 'size': 17592186044416 is not in "
			    "1..16777216" },
	{ "null:?size=99999999999999999999T",
	  "column 7: null: option 'size': expected a number (suffixes K M G T), found "
	  "'99999999999999999999T'" },
	{ "null:?size=1KK", "column 7: null: option 'size': expected a number (suffixes K "
			    "M G T), found '1KK'" },
	{ "mirror(null:,null:)?policy=some",
	  "column 21: mirror: option 'policy': expected all or degrade, found 'some'" },
	{ "mirror(null:)?min=2&policy=degrade",
	  "column 15: mirror: option 'min': 2 is not in 1..1" },
	{ "mirror(null:)?min=1",
	  "column 15: mirror: option 'min': expected policy=degrade with it, found '1'" },
	{ "limit?density=0x1ff|null:", "column 7: limit: option 'density': expected 0 to 255, "
	  "or 0x0 to 0xff, found '0x1ff'" },
	{ "limit?density=5g|null:", "column 7: limit: option 'density': expected 0 to 255, "
	  "or 0x0 to 0xff, found '5g'" },
	{ "limit?record=17M|null:", "column 7: limit: option 'record': 17825792 is not in "
	  "1..16777216" },
	{ "limit?ew=1|null:", "column 1: limit: option 'capacity': expected bytes" },
	{ "limit?capacity=1K&ew=2K|null:", "column 19: limit: option 'ew': 2048 is not in "
					   "0..1024" },
	{ "delay?op=wrote&ms=1|null:", "column 7: delay: option 'op': expected any or a "
				       "command's name, found 'wrote'" },
	{ "delay|null:", "column 1: delay: option 'ms': expected a time" },
	{ "fault?error=ouch|null:",
	  "column 7: fault: option 'error': expected medium, hardware, notready, protect, "
	  "aborted, attention, overflow, enospc, stuck, exit or kill, found 'ouch'" },
};

START_TEST(is_not_opened)
{
	struct pmt_drive *drive;
	char *error;
	int rc = pmt_drive_open(&drive, not_opened[_i].text, &error);

	ck_assert_msg(rc == -EINVAL || rc == -ERANGE, "%s: %d", not_opened[_i].text, rc);
	ck_assert_ptr_nonnull(error);
	ck_assert_str_eq(error, not_opened[_i].error);
	free(error);
}
END_TEST

START_TEST(values)
{
	struct pmt_spec *spec = parse("null:?a=yes&b=off&c=maybe&n=2g&s=x");
	char *error = NULL;
	const char *text;
	uint64_t number = 7;
	bool flag = false;

	spec->error = &error;
	ck_assert_int_eq(pmt_spec_bool(spec, "a", &flag), 0);
	ck_assert(flag);
	ck_assert_int_eq(pmt_spec_bool(spec, "b", &flag), 0);
	ck_assert(!flag);
	ck_assert_int_eq(pmt_spec_bool(spec, "c", &flag), -EINVAL);
	ck_assert_int_eq(pmt_spec_number(spec, "m", 0, 1, &number), -ENOENT);
	ck_assert_uint_eq(number, 7);
	ck_assert_int_eq(pmt_spec_number(spec, "n", 0, UINT64_MAX, &number), 0);
	ck_assert_uint_eq(number, 2ull << 30);
	ck_assert_str_eq(error, "column 19: null: option 'c': expected yes or no, found 'maybe'");
	free(error);
	error = NULL;
	ck_assert_int_eq(pmt_spec_unused(spec), -EINVAL);
	ck_assert_str_eq(error, "column 32: null: unknown option 's'");
	ck_assert_int_eq(pmt_spec_string(spec, "s", &text), 0);
	ck_assert_str_eq(text, "x");
	ck_assert_int_eq(pmt_spec_unused(spec), 0);
	free(error);
	pmt_spec_free(spec);
}
END_TEST

START_TEST(too_deep_too_many)
{
	char text[2048] = "", *error;
	struct pmt_spec *spec;

	for (int i = 0; i < 17; i++)
		strcat(text, "mirror(");
	ck_assert_int_eq(pmt_spec_parse(text, &spec, &error), -EINVAL);
	ck_assert_str_eq(error, "column 120: nested more than 16 deep");
	free(error);
	strcpy(text, "mirror(");
	for (int i = 0; i < 65; i++)
		strcat(text, "null:,");
	ck_assert_int_eq(pmt_spec_parse(text, &spec, &error), -EINVAL);
	ck_assert_str_eq(error, "column 392: more than 64 copies");
	free(error);
}
END_TEST

START_TEST(mirror_of_specs)
{
	static const char *const good[] = { "null:a", "delay?ms=0|null:b" };
	static const char *const bad[] = { "null:a", "null" };
	struct pmt_drive *drive;
	char *error, *json;

	ck_assert_int_eq(pmt_mirror_open(&drive, good, 2, "policy=degrade&min=2", &error), 0);
	ck_assert_int_eq(pmt_drive_status_json(drive, &json), 0);
	ck_assert_ptr_nonnull(strstr(json, "\"spec\":\"mirror(null:a, delay?ms=0|null:b)"
					   "?policy=degrade&min=2\""));
	ck_assert_ptr_nonnull(strstr(json, "\"children\":[{\"kind\":\"null\""));
	free(json);
	pmt_drive_close(drive);
	ck_assert_int_eq(pmt_mirror_open(&drive, bad, 2, NULL, &error), -EINVAL);
	ck_assert_str_eq(error, "drive 2: column 5: expected ':' behind null");
	free(error);
	ck_assert_int_eq(pmt_mirror_open(&drive, good, 2, "min=", &error), -EINVAL);
	ck_assert_ptr_nonnull(error);
	free(error);
	ck_assert_int_eq(pmt_mirror_open(&drive, good, 0, NULL, &error), -EINVAL);
}
END_TEST

/* No text of few characters may do harm. */
START_TEST(any_text)
{
	static const char alphabet[] = "null:mirror()|?&=, \\x1delay";
	unsigned int seed = 1;

	for (int i = 0; i < 200000; i++) {
		struct pmt_spec *spec;
		char text[32], *error;
		size_t n = (size_t)rand_r(&seed) % 31;

		for (size_t k = 0; k < n; k++)
			text[k] = alphabet[(size_t)rand_r(&seed) % (sizeof(alphabet) - 1)];
		if (rand_r(&seed) % 2 && n > 8)
			memcpy(text, rand_r(&seed) % 2 ? "mirror(" : "null:?", 6);
		text[n] = '\0';
		if (pmt_spec_parse(text, &spec, &error) == 0)
			pmt_spec_free(spec);
		else
			ck_assert_ptr_nonnull(error);
		free(error);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("spec");
	TCase *tests = tcase_create("spec");

	tcase_add_test(tests, a_leaf);
	tcase_add_test(tests, filters_and_mirror);
	tcase_add_test(tests, backslashes);
	tcase_add_loop_test(tests, is_refused, 0, sizeof(refused) / sizeof(refused[0]));
	tcase_add_loop_test(tests, is_not_opened, 0,
			    sizeof(not_opened) / sizeof(not_opened[0]));
	tcase_add_test(tests, values);
	tcase_add_test(tests, too_deep_too_many);
	tcase_add_test(tests, mirror_of_specs);
	tcase_add_test(tests, leaves);
	tcase_add_test(tests, any_text);
	tcase_set_timeout(tests, 60);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
