/* SPDX-License-Identifier: GPL-2.0 */
/* The suites of pmt_kunit.ko. */
#ifndef PMT_KUNIT_H
#define PMT_KUNIT_H

#include <kunit/test.h>

/* Named by their table: one function tries several. */
#define ROWS(table, function) \
	{ .name = #table, .run_case = function, .generate_params = table##_gen_params }

extern struct kunit_suite pmt_position_suite;
extern struct kunit_suite pmt_options_suite;
extern struct kunit_suite pmt_ring_suite;

#endif
