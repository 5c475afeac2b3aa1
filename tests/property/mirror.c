// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * mirror [--seed N] [--steps N] [--brief] [--trace EPISODE [STEPS]]: the promise of the
 * end of the tape and law 5, by chance.
 *
 * Random drives under the mirror and the server of the library, a model of the unit,
 * a random application, and servers that are killed at any instant; after each step the
 * drives' contents are compared with what the application was told.  All of it is
 * decided by the seed, threads included.
 *
 * An episode that fails is repeated by its own seed.  Then shorter ones that fail are
 * looked for, and the shortest is traced, but with --brief.  The last line is "N passed, N failed".
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "episode.h"
#include "fibers.h"
#include "internal.h"
#include "sim.h"

#define EPISODE_STEPS 300

static void to_trace(int priority, const char *message)
{
	(void)priority;
	if (strstr(message, " does not rejoin: ") || strstr(message, " is a copy again"))
		world.rejoining = false;
	if (strstr(message, " is a copy again"))
		sscanf(message, "copy %u", &world.came);
	trace("\t%s", message);
}

/* In a process of its own: false, it failed. */
static bool survives(void (*run)(uint64_t, uint64_t), uint64_t seed, uint64_t steps)
{
	int status;
	pid_t child;

	progress->failure[0] = '\0';
	fflush(stdout);
	child = fork();
	if (child == 0) {
		/* Of the processor's time: the machine may have other things to do. */
		setrlimit(RLIMIT_CPU, &(struct rlimit){ 300, 300 });
		alarm(7200);
		run(seed, steps);
		fflush(stdout);
		_exit(0);
	}
	waitpid(child, &status, 0);
	if (WIFSIGNALED(status))
		snprintf(progress->failure, sizeof(progress->failure), "signal %d",
			 WTERMSIG(status));
	else if (WEXITSTATUS(status) && !progress->failure[0])
		snprintf(progress->failure, sizeof(progress->failure), "status %d",
			 WEXITSTATUS(status));
	return status == 0;
}

static void many(uint64_t seed, uint64_t steps)
{
	while (progress->steps < steps)
		episode(seed++, EPISODE_STEPS);
}

static void one(uint64_t seed, uint64_t steps)
{
	episode(seed, (uint32_t)steps);
}

static void some(uint64_t seed, uint64_t steps)
{
	for (int i = 0; i < 300; i++)
		episode(seed + (uint64_t)i, (uint32_t)steps);
}

/* Shorter and shorter ones, until none fails. */
static void shrink(uint64_t seed, uint32_t steps)
{
	uint64_t from = seed + 1;

	for (int round = 0; round < 40 && steps > 1; round++) {
		if (survives(some, from, steps - 1)) {
			from += 300;
			continue;
		}
		seed = progress->seed;
		steps = progress->step < steps ? progress->step : steps - 1;
		printf("episode %llu failed in step %u: %s\n", (unsigned long long)seed, steps,
		       progress->failure);
	}
	tracing = true;
	printf("mirror --trace %llu %u\n", (unsigned long long)seed, steps + 1);
	if (survives(one, seed, steps + 1))
		printf("which does not fail by itself\n");
	else
		printf("%s\n", progress->failure);
}

static int usage(void)
{
	fprintf(stderr, "usage: mirror [--seed N] [--steps N] [--brief] [--trace EPISODE [STEPS]]\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "steps", required_argument, NULL, 'n' },
		{ "trace", no_argument, NULL, 't' },
		{ "brief", no_argument, NULL, 'b' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t seed = (uint64_t)time(NULL) * 1000000, steps = 100000;
	bool good, brief = false;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == '?')
			return usage();
		if (option == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (option == 'n')
			steps = strtoull(optarg, NULL, 0);
		else if (option == 'b')
			brief = true;
		else
			tracing = true;
	}
	progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (progress == MAP_FAILED)
		return 2;
	pmt_log_set_handler(to_trace);
	sims_begin();
	if (tracing && optind < argc) {
		seed = strtoull(argv[optind], NULL, 0);
		steps = optind + 1 < argc ? strtoull(argv[optind + 1], NULL, 0) : EPISODE_STEPS;
		return survives(one, seed, steps) ? 0 : 1;
	}
	printf("seed %llu\n", (unsigned long long)seed);
	good = survives(many, seed, steps);
	printf("%llu steps, %llu kills, %llu times the end of a tape, %llu errors, "
	       "%llu volumes, %llu copies dropped, %llu of %llu rejoined, "
	       "%llu records read from all, %llu damaged ones outvoted, %llu undecided\n",
	       (unsigned long long)progress->steps, (unsigned long long)progress->kills,
	       (unsigned long long)progress->ends, (unsigned long long)progress->errors,
	       (unsigned long long)progress->volumes, (unsigned long long)progress->dropped,
	       (unsigned long long)progress->rejoined, (unsigned long long)progress->rejoins,
	       (unsigned long long)progress->verified, (unsigned long long)progress->outvoted,
	       (unsigned long long)progress->undecided);
	if (!good)
		printf("episode %llu failed in step %u: %s\n",
		       (unsigned long long)progress->seed, progress->step, progress->failure);
	if (!good && !brief)
		shrink(progress->seed, progress->step);
	printf("%d passed, %d failed\n", good, !good);
	return good ? 0 : 1;
}
