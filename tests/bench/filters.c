// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * filters FILE KEYFILE: what zstd and aead cost, beside what they are made of.
 *
 * FILE is written in records over and over, by the library alone (one thread, no
 * copy: what it can do) and through the filter over null:, in turns, ROUNDS times.  Told
 * is what a second of processor time was good for, whichever thread took it, so that
 * other work on the machine weighs on both alike: the median of each, the least and the
 * most of their quotients, round by round, and the median of these.  The last column
 * is the ratio of compression.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <zstd.h>

#include "internal.h"

#define ROUNDS 9
#define RING PMT_DATA_SIZE_DEFAULT	/* of which half is taken at once ... */
#define DEPTH_MAX 4096u		/* ... and of its slots */

static const unsigned char *input;
static size_t input_size;
static uint32_t record, depth;
static char key_file[1024];

static double processor_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- the libraries alone ---- */

static void compress_alone(int level)
{
	size_t bound = ZSTD_compressBound(record);
	_cleanup_free_ char *out = malloc(bound);
	ZSTD_CCtx *context = ZSTD_createCCtx();

	if (!out || !context)
		abort();
	ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
	for (size_t at = 0; at + record <= input_size; at += record)
		if (ZSTD_isError(ZSTD_compress2(context, out, bound, input + at, record)))
			abort();
	ZSTD_freeCCtx(context);
}

static void encrypt_alone(int unused)
{
	static const unsigned char key[crypto_aead_xchacha20poly1305_ietf_KEYBYTES];
	unsigned char nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES] = { 0 }, tag[16];
	_cleanup_free_ unsigned char *out = malloc(record);

	(void)unused;
	if (!out)
		abort();
	for (size_t at = 0; at + record <= input_size; at += record) {
		nonce[at / record % sizeof(nonce)]++;
		crypto_aead_xchacha20poly1305_ietf_encrypt_detached(
			out, tag, NULL, input + at, record, NULL, 0, NULL, nonce, key);
	}
}

/* ---- the filters ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	unsigned int free;
} window = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 };

static void written(struct pmt_request *req)
{
	if (req->result.status != PMT_STATUS_GOOD)
		abort();
	pthread_mutex_lock(&window.lock);
	if (++window.free % (depth / 2) == 0)
		pthread_cond_signal(&window.cond);
	pthread_mutex_unlock(&window.lock);
}

static void wait_free(unsigned int n)
{
	pthread_mutex_lock(&window.lock);
	while (window.free < n)
		pthread_cond_wait(&window.cond, &window.lock);
	pthread_mutex_unlock(&window.lock);
}

static struct pmt_place place;

static void through(struct pmt_drive *drive)
{
	static struct pmt_request reqs[DEPTH_MAX];
	static uint32_t number = DEPTH_MAX;

	window.free = depth;
	for (size_t at = 0; at + record <= input_size; at += record, number++) {
		struct pmt_request *req = &reqs[number % depth];

		if (number % (depth / 2) == 0)
			wait_free(depth / 2);
		pthread_mutex_lock(&window.lock);
		window.free--;
		pthread_mutex_unlock(&window.lock);
		*req = (struct pmt_request){ .data = (void *)(uintptr_t)(input + at),
					     .done = written };
		req->cmd = (struct pmt_command){ .op = PMT_OP_WRITE, .number = number,
						 .place = place, .length = record };
		place = pmt_place_after(&req->cmd);
		drive->ops->submit(drive, req);
	}
	wait_free(depth);
	number += DEPTH_MAX - number % DEPTH_MAX;
}

/* ---- figures ---- */

static int smaller_first(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(*values), smaller_first);
	return values[ROUNDS / 2];
}

static double ratio_of(struct pmt_drive *drive)
{
	_cleanup_free_ char *text = NULL;
	struct json_object *object, *value = NULL;
	double ratio = 1;

	if (pmt_drive_status_json(drive, &text))
		abort();
	object = json_tokener_parse(text);
	if (json_object_object_get_ex(object, "ratio", &value))
		ratio = json_object_get_double(value);
	json_object_put(object);
	return ratio;
}

#define WANTED 85		/* per cent of the library alone; less is marked */

static int measure(const char *filter, int level, unsigned int threads,
		   void (*alone)(int))
{
	double bare[ROUNDS], filtered[ROUNDS], quotient[ROUNDS];
	double megabytes = (double)(input_size / record * record) / 1e6;
	struct pmt_session session = { .place.generation = 1, .depth = depth };
	_cleanup_free_ char *error = NULL;
	struct pmt_drive *drive;
	char spec[1200];

	snprintf(spec, sizeof(spec), "%s?threads=%u&%s%s|null:", filter, threads,
		 *filter == 'a' ? "key=file:" : "level=", *filter == 'a' ? key_file :
		 level == 1 ? "1" : "3");
	if (pmt_drive_open(&drive, spec, &error) || pmt_drive_attach(drive, &session)) {
		fprintf(stderr, "%s: %s\n", spec, error ? error : "not attached");
		return -1;
	}
	place = session.place;
	for (int i = 0; i < ROUNDS; i++) {
		double from = processor_time(), between;

		alone(level);
		between = processor_time();
		through(drive);
		bare[i] = megabytes / (between - from);
		filtered[i] = megabytes / (processor_time() - between);
		quotient[i] = 100 * filtered[i] / bare[i];
	}
	printf("%-6s %5d %8u %7u %8.0f %8.0f", filter, level, record / 1024, threads,
	       median(bare), median(filtered));
	printf(" %6.0f %%", median(quotient));
	printf(" %5.0f-%.0f", quotient[0], quotient[ROUNDS - 1]);
	printf(" %8.2f%s\n", ratio_of(drive), median(quotient) < WANTED ? "  below" : "");
	fflush(stdout);
	pmt_drive_detach(drive);
	pmt_drive_close(drive);
	return 0;
}

static int take_input(const char *name)
{
	_cleanup_close_ int fd = open(name, O_RDONLY | O_CLOEXEC);
	struct stat status;
	void *memory;

	if (fd < 0 || fstat(fd, &status) || status.st_size < (4 << 20))
		return -1;
	input_size = (size_t)status.st_size;
	memory = mmap(NULL, input_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	input = memory;
	return memory == MAP_FAILED ? -1 : 0;
}

int main(int argc, char **argv)
{
	static const uint32_t sizes[] = { 10, 32, 64, 256, 1024 };
	int failed = 0;

	if (argc != 3 || take_input(argv[1]) || sodium_init() < 0) {
		fprintf(stderr, "usage: filters FILE KEYFILE (a file of 4 MB or more)\n");
		return 2;
	}
	snprintf(key_file, sizeof(key_file), "%s", argv[2]);
	printf("filter level KiB/rec threads  alone/s filter/s of alone   spread    ratio\n");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (unsigned int threads = 1; threads <= 2; threads++) {
			record = sizes[i] * 1024;
			depth = RING / record < DEPTH_MAX ? RING / record / 2 * 2 : DEPTH_MAX;
			failed |= measure("aead", 0, threads, encrypt_alone);
			failed |= measure("zstd", 1, threads, compress_alone);
			failed |= measure("zstd", 3, threads, compress_alone);
		}
	return failed ? 1 : 0;
}
