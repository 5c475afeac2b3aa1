// SPDX-License-Identifier: GPL-2.0
/*
 * pmt_kunit.ko: tests of what needs no unit and no server, inside the kernel.
 * Loading it runs them; what they say is in the kernel's messages.
 */
#include <linux/module.h>

#include "tests.h"

kunit_test_suites(&pmt_position_suite, &pmt_options_suite, &pmt_ring_suite);

MODULE_DESCRIPTION("Pseudo magnetic tape: tests of places, options and the ring");
MODULE_LICENSE("GPL");
