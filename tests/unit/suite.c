// SPDX-License-Identifier: GPL-2.0-or-later
/* What the main() of a unit test does. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "internal.h"
#include "suite.h"

int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

unsigned int suite_seed(void)
{
	const char *given = getenv("CHECK_SEED");
	unsigned int seed = given ? (unsigned int)strtoul(given, NULL, 0) :
				    (unsigned int)time(NULL);

	printf("seed %u\n", seed);
	return seed;
}

static void quiet(int priority, const char *message)
{
	(void)priority;
	(void)message;
}

void suite_quiet(void)
{
	if (!getenv("CHECK_LOG"))
		pmt_log_set_handler(quiet);
}
