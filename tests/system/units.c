// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * units N [COMMAND...]: what N idle units cost.
 *
 * Makes them, runs the command, and deletes them again.  Prints
 *
 *	units=N bytes=BYTES making=MICROSECONDS
 *
 * where BYTES is the kernel's memory for each, by /proc/meminfo: slabs, what is mapped
 * or belongs to a processor, and nodes and files of sysfs with it; and MICROSECONDS what
 * making one took, median.  Status 1: not all could be made, or the command failed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pmt.h"

#define MAX 1024

static long kernel_memory(void)
{
	static const char *const kinds[] = { "Slab:", "KernelStack:", "PageTables:",
					     "VmallocUsed:", "Percpu:" };
	FILE *file = fopen("/proc/meminfo", "r");
	long sum = 0, kilobytes;
	char line[256];

	if (!file)
		abort();
	while (fgets(line, sizeof(line), file))
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
			if (!strncmp(line, kinds[i], strlen(kinds[i])) &&
			    sscanf(line + strlen(kinds[i]), "%ld", &kilobytes) == 1)
				sum += kilobytes * 1024;
	fclose(file);
	return sum;
}

static double microseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int smaller_first(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static bool run(char **command)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		execvp(command[0], command);
		_exit(127);
	}
	return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* How many of them. */
static int make(struct pmt_control *control, int n, uint32_t *units, double *times)
{
	struct pmt_unit_config config = { .unit = PMT_ANY_UNIT };
	int made = 0;

	for (; made < n; made++) {
		double from = microseconds();

		if (pmt_unit_new(control, &config, &units[made]))
			break;
		times[made] = microseconds() - from;
	}
	if (made < n)
		fprintf(stderr, "unit %d of %d: %s\n", made + 1, n, pmt_control_error(control));
	return made;
}

int main(int argc, char **argv)
{
	static uint32_t units[MAX];
	static double times[MAX];
	int n = argc >= 2 ? atoi(argv[1]) : 0, made;
	struct pmt_control *control;
	long before, after;
	bool good;

	if (n < 1 || n > MAX || pmt_control_open(&control))
		return 2;
	before = kernel_memory();
	made = make(control, n, units, times);
	after = kernel_memory();
	good = made == n;
	if (good) {
		qsort(times, (size_t)n, sizeof(times[0]), smaller_first);
		printf("units=%d bytes=%ld making=%.0f\n", n, (after - before) / n, times[n / 2]);
		fflush(stdout);
	}
	if (good && argc > 2)
		good = run(argv + 2);
	for (int i = 0; i < made; i++)
		pmt_unit_delete(control, units[i]);
	pmt_control_close(control);
	return !good;
}
