/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the main() of a unit test does. */
#ifndef SUITE_H
#define SUITE_H

#include <check.h>

int run_suite(Suite *suite);		/* frees it; what main() returns */
unsigned int suite_seed(void);		/* CHECK_SEED, else the time; printed */
void suite_quiet(void);			/* no messages, but with CHECK_LOG */

#endif
