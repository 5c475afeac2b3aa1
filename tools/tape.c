// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What copy, verify and map have in common: opening drives, the bar that shows how
 * far it is, and the signals that end the work
 *
 * The first signal asks for the end at the next record, the second kills.  What is
 * here belongs to the process: a handler and the log have no context.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "pmt-tool.h"

#define BAR_STEP	0.2	/* seconds between two bars */
#define BAR_WIDTH	24

static volatile sig_atomic_t stopped;

static struct {
	bool shown, on;
	const char *verb;
	double began, last;
} bar;

struct pmt_drive *tape_open(const char *spec, bool source)
{
	struct pmt_drive *drive;
	char *error = NULL;
	int rc = source ? pmt_drive_open_source(&drive, spec, &error) :
			  pmt_drive_open(&drive, spec, &error);

	if (error || rc == -ENOMEM)	/* else it was logged */
		fprintf(stderr, "pmt: %s: %s\n", spec, error ? error : strerror(-rc));
	free(error);
	return rc ? NULL : drive;
}

static void stop(int number)
{
	(void)number;
	stopped = 1;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

void tape_clear_bar(void)
{
	if (bar.shown)
		fputs("\r\033[K", stderr);
	bar.shown = false;
}

/* "1:02:03", or "0:07" */
static void put_time(double seconds)
{
	unsigned int s = seconds < 359999 ? (unsigned int)seconds : 359999;

	if (s >= 3600)
		fprintf(stderr, "%u:", s / 3600);
	fprintf(stderr, s >= 3600 ? "%02u:%02u" : "%u:%02u", s / 60 % 60, s % 60);
}

static void draw(const struct pmt_progress *progress, double time)
{
	double past = time - bar.began, part = 0;
	uint64_t bytes = progress->tally->bytes;

	fprintf(stderr, "\r%s ", bar.verb);
	if (progress->total) {
		part = (double)progress->done / (double)progress->total;
		fputc('[', stderr);
		for (int i = 0; i < BAR_WIDTH; i++)
			fputc(i < (int)(part * BAR_WIDTH + 0.5) ? '#' : '.', stderr);
		fprintf(stderr, "] %3d%%  ", (int)(part * 100));
	}
	fprintf(stderr, "file %" PRIu64 "  %s  %s/s  ", progress->tally->marks,
		size_text(bytes).text,
		size_text(past > 0 ? (uint64_t)((double)bytes / past) : 0).text);
	if (part > 0.001 && past > 1) {
		put_time(past / part - past);
		fputs(" left", stderr);
	} else {
		put_time(past);
	}
	fputs("\033[K", stderr);
	fflush(stderr);
	bar.shown = true;
}

static bool go_on(const struct pmt_progress *progress, void *context)
{
	double time;

	(void)context;
	if (bar.on && progress) {
		time = now();
		if (time - bar.last >= BAR_STEP) {
			draw(progress, time);
			bar.last = time;
		}
	}
	return !stopped;
}

void tape_begin(struct pmt_walk *walk, const char *verb)
{
	struct sigaction action = { .sa_handler = stop, .sa_flags = SA_RESETHAND };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	bar.on = isatty(STDERR_FILENO);
	bar.verb = verb;
	bar.began = bar.last = now();
	walk->go_on = go_on;
}

void tape_end(void)
{
	tape_clear_bar();
	bar.on = false;
}

/* Results */

static void put_count(uint64_t n, const char *what)
{
	printf("%" PRIu64 " %s%s", n, what, n == 1 ? "" : "s");
}

void tape_print_tally(const char *title, const struct pmt_tally *tally)
{
	printf("%s: ", title);
	put_count(tally->records, "record");
	fputs(", ", stdout);
	put_count(tally->marks, "mark");
	fputs(", ", stdout);
	put_count(tally->bytes, "byte");
	if (tally->damaged)
		printf(", %" PRIu64 " damaged", tally->damaged);
	printf(", CRC-32C %08" PRIx32 "\n", tally->crc);
}

void tape_print_damage(const char *spec, const struct pmt_object *object)
{
	tape_clear_bar();
	printf("%s: damaged at %s (sense key %x, %02x/%02x)\n", spec,
	       pmt_place_text(&object->place).text, object->key, object->asc, object->ascq);
}

struct json_object *tally_json(const struct pmt_tally *tally)
{
	struct json_object *object = json_object_new_object();
	char crc[12];

	snprintf(crc, sizeof(crc), "%08" PRIx32, tally->crc);
	json_object_object_add(object, "records", number_json(tally->records));
	json_object_object_add(object, "marks", number_json(tally->marks));
	json_object_object_add(object, "bytes", number_json(tally->bytes));
	json_object_object_add(object, "damaged", number_json(tally->damaged));
	json_object_object_add(object, "crc32c", json_object_new_string(crc));
	return object;
}

struct json_object *damage_json(const struct pmt_object *damage)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "volume", number_json(damage->volume));
	add_place_json(object, &damage->place);
	json_object_object_add(object, "key", number_json(damage->key));
	json_object_object_add(object, "asc", number_json(damage->asc));
	json_object_object_add(object, "ascq", number_json(damage->ascq));
	return object;
}
