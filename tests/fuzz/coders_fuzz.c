// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * zstd and aead against whatever a medium can hold
 *
 * The first byte of an input says which.  Raw: the rest is cut into records, as they
 * are, with a head's beginning before them if the second byte says so.  Edited: a tape
 * that the filter has written in two sessions, on which the rest does things: bytes are
 * changed, records and marks taken out, doubled, exchanged, put in.  The tape is then
 * read from its beginning.  Checked is, besides what the sanitizers see, that no answer
 * is longer than the room for it, and of aead that each record that is given out is the one
 * which was written at that block.  See tests/fuzz/native.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/memleaf.h"

#define REQUIRE(condition) \
	((condition) ? (void)0 : (fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, \
					  __LINE__, #condition), abort()))

#define TEXTS 8

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char stacks[3][100];
static struct rig rig;
static char texts[TEXTS][64];
static char wanted[64][64];		/* by block; "" none, or a mark */

static void quiet(int priority, const char *message)
{
	(void)priority;
	(void)message;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char name[] = "/tmp/pmt-fuzz.XXXXXX", line[65];
	int fd = mkstemp(name);

	(void)argc;
	(void)argv;
	pmt_log_set_handler(quiet);
	memset(line, 'a', sizeof(line));
	line[64] = '\n';
	REQUIRE(write(fd, line, sizeof(line)) == (ssize_t)sizeof(line));
	/* The descriptor stays, the file does not. */
	unlink(name);
	snprintf(stacks[0], sizeof(stacks[0]), "zstd?threads=1|mem:a");
	snprintf(stacks[1], sizeof(stacks[1]),
		 "aead?threads=1&key=file:/proc/self/fd/%d|mem:a", fd);
	snprintf(stacks[2], sizeof(stacks[2]),
		 "zstd?threads=1|aead?threads=1&key=file:/proc/self/fd/%d|mem:a", fd);
	for (int i = 0; i < TEXTS; i++)
		snprintf(texts[i], sizeof(texts[i]), "record %d %.*s", i, 4 * i,
			 "------------------------------------");
	return 0;
}

static struct mem_volume *volume(void)
{
	return &mem_medium("a")->volume;
}

static void put_record(uint64_t at, bool mark, const uint8_t *bytes, size_t n)
{
	struct mem_volume *v = volume();
	struct mem_record record = { mark, n, n ? malloc(n) : NULL };

	if (n)
		memcpy(record.data, bytes, n);
	v->records = realloc(v->records, (v->n + 1) * sizeof(record));
	REQUIRE(v->records && at <= v->n);
	memmove(&v->records[at + 1], &v->records[at], (v->n - at) * sizeof(record));
	v->records[at] = record;
	v->n++;
}

static void take_record(uint64_t at)
{
	struct mem_volume *v = volume();

	free(v->records[at].data);
	memmove(&v->records[at], &v->records[at + 1], (v->n - at - 1) * sizeof(*v->records));
	v->n--;
}

/* ---- raw ---- */

static void make_raw(const uint8_t *data, size_t size, unsigned int how)
{
	static const char *const heads[] = { "", "pmz0", "pmz1", "pmtE\1\1" };
	const char *head = heads[how % 4];
	uint8_t record[2048];

	while (size > 1 && volume()->n < 40) {
		size_t n = 1 + data[0] % 200, before = strlen(head);

		if (n > size - 1)
			n = size - 1;
		memcpy(record, head, before);
		memcpy(record + before, data + 1, n);
		put_record(volume()->n, false, record, before + n);
		data += 1 + n;
		size -= 1 + n;
	}
}

/* ---- edited ---- */

static void write_tape(const char *stack)
{
	memset(wanted, 0, sizeof(wanted));
	rig.session.place = (struct pmt_place){ .generation = 1 };
	REQUIRE(rig_open(&rig, stack) == 0);
	for (int i = 0; i < TEXTS; i++) {
		strcpy(wanted[rig.place.lbn], texts[i]);
		REQUIRE(rig_write(&rig, texts[i]) == PMT_STATUS_GOOD);
		if (i % 3 == 2)
			REQUIRE(rig_marks(&rig, 1) == PMT_STATUS_GOOD);
		if (i != 4)
			continue;
		rig_close(&rig);
		rig.session.place = rig.place;
		REQUIRE(rig_open(&rig, stack) == 0);
	}
	rig_close(&rig);
}

static void edit(unsigned int what, uint8_t a, uint8_t b, uint8_t c)
{
	struct mem_volume *v = volume();
	struct mem_record *x = &v->records[a % v->n], *y = &v->records[b % v->n], swap = *x;

	switch (what % 6) {
	case 0:
		if (!x->mark && x->length)
			x->data[b % x->length] ^= c;
		break;
	case 1:
		if (!x->mark && x->length > 1)
			x->length -= b % x->length;
		break;
	case 2:
		if (v->n > 1)
			take_record(a % v->n);
		break;
	case 3:
		swap.data = malloc(swap.length + 1);
		if (swap.length)
			memcpy(swap.data, x->data, swap.length);
		put_record(b % (v->n + 1), swap.mark, swap.data, swap.length);
		free(swap.data);
		break;
	case 4:
		*x = *y;
		*y = swap;
		break;
	default:
		put_record(a % (v->n + 1), true, NULL, 0);
		break;
	}
}

/* ---- */

static void read_tape(const char *stack, uint32_t room, bool authenticated)
{
	rig.session.place = (struct pmt_place){ .generation = 1 };
	REQUIRE(rig_open(&rig, stack) == 0);
	for (int i = 0; i < 60 && rig.result.key != PMT_KEY_BLANK; i++) {
		uint64_t lbn = rig.place.lbn;
		char *buffer = malloc(room);
		int status = rig_read(&rig, buffer, room);

		REQUIRE(status != PMT_STATUS_GOOD || rig.result.residue <= (int64_t)room);
		REQUIRE(status != PMT_STATUS_GOOD || rig.result.residue >= 0);
		if (authenticated && status == PMT_STATUS_GOOD) {
			size_t n = (size_t)(room - rig.result.residue);

			REQUIRE(lbn < 64 && n == strlen(wanted[lbn]));
			REQUIRE(memcmp(buffer, wanted[lbn], n) == 0);
		}
		free(buffer);
	}
	rig_close(&rig);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *stack;

	if (size < 4)
		return 0;
	rig_init(&rig);
	stack = stacks[data[0] % 3];
	if (data[0] & 0x80) {
		make_raw(data + 3, size - 3, data[1]);
		read_tape(stack, 1 + data[2] * 8, false);
	} else {
		write_tape(stack);
		for (size_t i = 3; i + 4 <= size && i < 100; i += 4)
			edit(data[i], data[i + 1], data[i + 2], data[i + 3]);
		rig.result.key = PMT_KEY_NONE;
		read_tape(stack, 1 + data[2], data[0] % 3 != 0);
	}
	pthread_mutex_destroy(&rig.lock);
	mem_reset();
	return 0;
}
