// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The readers of other programs' tapes against any file
 *
 * The first byte of an input says as which format, and how, it is opened.  Checked is
 * that every object that is there lies in the file, that places, offsets and marks
 * are those that counting gives, in whatever order one asks, that salvage opens
 * everything, that a file which is only read stays as it is, and that what is written
 * behind is there when it is opened again.  See tests/fuzz/native.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../../lib/formats/format.h"

#define REQUIRE(condition) \
	((condition) ? (void)0 : (fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, \
					  __LINE__, #condition), abort()))
#define OBJECTS 4096u	/* more than an input can have */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum mode { READ, SALVAGE, WRITE, N_MODES };

static const struct pmt_format *const formats[] = {
	NULL, &pmt_format_simh, &pmt_format_e11, &pmt_format_aws, &pmt_format_het,
};
#define N_FORMATS (sizeof(formats) / sizeof(formats[0]))

/* What was seen in order. */
static struct {
	uint64_t file, block, offset;
	size_t length;
	bool mark;
	int result;
} seen[OBJECTS];

static void quiet(int priority, const char *message)
{
	(void)priority;
	(void)message;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	pmt_log_set_handler(quiet);
	return 0;
}

static int open_tape(struct pmt_tape *tape, int fd, const struct pmt_format *format,
		     enum mode mode)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	*tape = (struct pmt_tape){
		.fd = -1,
		.path = strdup(path),
		.asked_for = format,
		.readonly = mode != WRITE,
		.salvage = mode == SALVAGE,
		.ahead = 65536,
		.ew = 4096,
	};
	return pmt_tape_open(tape);
}

static void read_object(struct pmt_tape *tape, uint64_t lbn, size_t room)
{
	uint8_t *buffer = malloc(room ? room : 1);
	bool mark = false;
	size_t length = 0;
	int r;

	REQUIRE(buffer);
	r = tape->format->read(tape, lbn, buffer, room, &length, &mark);
	REQUIRE(r == 0 || r == -EIO || r == -EBADMSG);
	REQUIRE(length <= PMT_RECORD_MAX || r == -EBADMSG);
	REQUIRE(!mark || (!r && !length));
	if (tape->format != &pmt_format_het)
		REQUIRE(length < tape->size);
	seen[lbn].length = length;
	seen[lbn].mark = mark;
	seen[lbn].result = r;
	free(buffer);
}

static void see(struct pmt_tape *tape, size_t room)
{
	const struct pmt_format *format = tape->format;
	uint64_t file = 0, block = 0, last = 0;

	for (uint64_t lbn = 0; lbn < tape->eod; lbn++) {
		uint64_t offset, at_file, at_block, found;

		read_object(tape, lbn, room);
		REQUIRE(!format->offset(tape, lbn, &offset));
		REQUIRE(!format->place(tape, lbn, &at_file, &at_block));
		REQUIRE(at_file == file && at_block == block);
		REQUIRE(offset < tape->end && (offset > last || !lbn));
		seen[lbn].file = file;
		seen[lbn].block = block++;
		seen[lbn].offset = last = offset;
		if (!seen[lbn].mark)
			continue;
		REQUIRE(!format->find_mark(tape, file, &found) && found == lbn);
		file++;
		block = 0;
	}
	REQUIRE(file == tape->files && block == tape->blocks);
	REQUIRE(tape->end <= tape->size);
}

/* The same again, backwards and with another buffer. */
static void see_again(struct pmt_tape *tape, size_t room)
{
	uint64_t offset, file, block;

	REQUIRE(!tape->format->offset(tape, tape->eod, &offset) && offset == tape->end);
	for (uint64_t lbn = tape->eod; lbn-- > 0;) {
		size_t length = seen[lbn].length;
		bool mark = seen[lbn].mark;
		int result = seen[lbn].result;

		REQUIRE(!tape->format->place(tape, lbn, &file, &block));
		REQUIRE(file == seen[lbn].file && block == seen[lbn].block);
		REQUIRE(!tape->format->offset(tape, lbn, &offset));
		REQUIRE(offset == seen[lbn].offset);
		read_object(tape, lbn, room);
		REQUIRE(seen[lbn].result == result && seen[lbn].mark == mark);
		REQUIRE(seen[lbn].length == length || result == -EBADMSG);
	}
}

/* Cut at half, add a record and marks; it is all there when it is opened again. */
static void change(struct pmt_tape *tape, int fd, const struct pmt_format *asked,
		   size_t length)
{
	uint64_t lbn = tape->eod / 2, before, grown;
	const struct pmt_format *format = tape->format;
	static char data[70000];
	bool mark;

	if (lbn < tape->eod)
		REQUIRE(!format->cut(tape, lbn) && tape->size == tape->end);
	REQUIRE(tape->eod == lbn);
	before = tape->end;
	grown = format->growth(tape, lbn, 1, length) + format->growth(tape, lbn + 1, 2, 0);
	REQUIRE(!format->owed(tape, lbn));
	memset(data, 'x', length);
	REQUIRE(!format->write(tape, data, length) && !format->marks(tape, 2));
	REQUIRE(tape->end == before + grown && tape->eod == lbn + 3);
	REQUIRE(!pmt_tape_finish(tape));
	pmt_tape_close(tape);
	REQUIRE(!open_tape(tape, fd, asked ? asked : format, READ));
	REQUIRE(tape->eod == lbn + 3);
	REQUIRE(!tape->format->read(tape, lbn, data, sizeof(data), &before, &mark));
	REQUIRE(before == length && !mark && data[0] == 'x' && data[length - 1] == 'x');
}

static int file_of(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	REQUIRE(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	return fd;
}

static void unchanged(int fd, const uint8_t *data, size_t size)
{
	uint8_t *now = malloc(size + 1);

	REQUIRE(now && pread(fd, now, size + 1, 0) == (ssize_t)size);
	REQUIRE(!memcmp(now, data, size));
	free(now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct pmt_format *format;
	struct pmt_tape tape;
	enum mode mode;
	uint8_t how;
	int fd, r;

	if (size < 3 || size > OBJECTS)
		return 0;
	format = formats[data[0] % N_FORMATS];
	mode = data[0] / 8 % N_MODES;
	how = data[1];
	data += 2;
	size -= 2;
	fd = file_of(data, size);
	r = open_tape(&tape, fd, format, mode);
	REQUIRE(r == 0 || r == -EINVAL);
	/* But for what is another format's. */
	if (mode == SALVAGE && format && format != &pmt_format_aws && *data != 'P')
		REQUIRE(!r);
	if (mode != WRITE || r)
		unchanged(fd, data, size);
	if (!r && tape.format != &pmt_format_native) {
		see(&tape, how % 32);
		see_again(&tape, 100000);
		if (mode == WRITE && !tape.protected)
			change(&tape, fd, format, 1 + how * 270u);
	}
	pmt_tape_close(&tape);
	close(fd);
	return 0;
}
