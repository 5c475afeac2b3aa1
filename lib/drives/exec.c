// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * exec: a program is the drive.  It is told what to do on its standard input and
 * answers on its standard output, a line each, behind which the bytes of a record
 * may follow; see pmt-exec(7).
 *
 * Nothing that it says is believed where it can be known better.  Every answer
 * tells the place, and each operation knows which places can be: a program that
 * answers anything else, says more than it was asked for, dies, or takes longer than
 * timeout= for one command is ended, and the drive has failed.  Only LOAD
 * starts it again.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "remote.h"

#define LINE		512u		/* of an answer, with its end */
#define GREETING	"pmt-exec 1"
#define TIMEOUT_DEFAULT	300		/* s */
#define DAY		86400
#define TOO_MUCH	"the program says more than it was asked for"

struct exec {
	struct pmt_leaf leaf;
	struct pmt_wire wire;	/* fd -1: the program is not there */
	char *command;
	_Atomic int shown;	/* its pid; 0 */
};

/* An answer begins with one of these, and a command takes some of them. */
enum {
	OK = 1 << 0, EARLY = 1 << 1, RECORD = 1 << 2, MARK = 1 << 3, END = 1 << 4,
	BEGIN = 1 << 5, TROUBLE = 1 << 6,	/* any command */
};

static const struct word {
	const char *text;
	unsigned int kind;
	int rc;
} words[] = {
	{ "ok", OK, 0 },
	{ "early", EARLY, PMT_AT_EW },
	{ "record", RECORD, 0 },
	{ "mark", MARK, PMT_AT_MARK },
	{ "end", END, PMT_AT_EOD },
	{ "begin", BEGIN, PMT_AT_BOP },
	{ "full", TROUBLE, -ENOSPC },
	{ "medium", TROUBLE, -EIO },
	{ "damaged", TROUBLE, -EBADMSG },
	{ "protected", TROUBLE, -EROFS },
	{ "absent", TROUBLE, -ENOMEDIUM },
	{ "busy", TROUBLE, -EAGAIN },
	{ "hardware", TROUBLE, -EREMOTEIO },
	{ "unsupported", TROUBLE, -ENOTSUP },
};

struct answer {
	int rc;
	struct pmt_place place;
	char line[LINE];
	const char *rest;	/* of the line */
};

static struct exec *exec_of(struct pmt_leaf *leaf)
{
	return (struct exec *)leaf;
}

/* ---- the program ---- */

static void end_program(struct exec *e)
{
	pmt_wire_close(&e->wire);
	e->shown = 0;
}

static int lose(struct exec *e, const char *why)
{
	pmt_log(LOG_ERR, "%s: %s; it is not used any more", e->leaf.drive.text, why);
	end_program(e);
	return -ENODEV;
}

static int lost(struct exec *e, int rc)
{
	return lose(e, rc == -ETIMEDOUT ? "the program does not answer" :
		    rc == -EPIPE ? "the program has gone" :
		    rc == -EBADMSG ? "what the program says is no answer" : strerror(-rc));
}

/* What the program wrote, as one line of the log. */
static void say(const struct exec *e, const char *text)
{
	char clean[LINE];
	size_t n = 0;

	while (n < LINE - 1 && text[n]) {
		clean[n] = isprint((unsigned char)text[n]) ? text[n] : '?';
		n++;
	}
	clean[n] = '\0';
	pmt_log(LOG_ERR, "%s: the program says: %s", e->leaf.drive.text, clean);
}

static bool take_number(const char **text, __u64 *number)
{
	char *end;

	*text += **text == ' ';
	if (!isdigit((unsigned char)**text))
		return false;
	errno = 0;
	*number = strtoull(*text, &end, 10);
	if (errno || (*end && *end != ' ') || *number > INT64_MAX)
		return false;
	*text = end;
	return true;
}

/* Any number of "key=number" and other words; those that are not known are for later. */
static bool find_number(const char *text, const char *key, int base, uint64_t *number)
{
	size_t n = strlen(key);

	for (; *text; text += strcspn(text, " ")) {
		char *end;

		text += strspn(text, " ");
		if (strncmp(text, key, n) || text[n] != '=' ||
		    !isxdigit((unsigned char)text[n + 1]))
			continue;
		errno = 0;
		*number = strtoull(text + n + 1, &end, base);
		return !errno && (!*end || *end == ' ');
	}
	return false;
}

static bool has_word(const char *text, const char *word)
{
	size_t n = strlen(word);

	for (; *text; text += strcspn(text, " ")) {
		text += strspn(text, " ");
		if (strncmp(text, word, n) == 0 && (!text[n] || text[n] == ' '))
			return true;
	}
	return false;
}

/* Is there such a place on any tape? */
static bool can_be(const struct pmt_place *place)
{
	if (place->file > place->lbn || place->block > place->lbn - place->file)
		return false;
	return place->file || place->block == place->lbn;
}

static bool parse(struct answer *a, unsigned int wanted)
{
	size_t length = strcspn(a->line, " ");

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strlen(words[i].text) != length || memcmp(words[i].text, a->line, length))
			continue;
		a->rc = words[i].rc;
		a->rest = a->line + length;
		return (words[i].kind & (wanted | TROUBLE)) &&
		       take_number(&a->rest, &a->place.lbn) &&
		       take_number(&a->rest, &a->place.file) &&
		       take_number(&a->rest, &a->place.block) && can_be(&a->place);
	}
	return false;
}

static void note_trouble(struct exec *e, const struct answer *a)
{
	const char *text = a->rest + strspn(a->rest, " ");

	if (a->rc == -ENOMEDIUM)
		e->leaf.present = false;
	if (*text)
		say(e, text);
}

/* The answer's place is believed so far: the caller looks whether it can be. */
static int exchange(struct exec *e, const void *data, size_t length, unsigned int wanted,
		    struct answer *a, const char *command)
{
	char line[80];
	struct iovec iov[2] = {
		{ line, (size_t)snprintf(line, sizeof(line), "%s\n", command) },
		{ (void *)(uintptr_t)data, length },
	};
	int rc;

	*a = (struct answer){ .place = e->leaf.place, .rest = "" };
	if (e->wire.fd < 0)
		return -ENODEV;
	if (e->wire.from != e->wire.to)
		return lose(e, TOO_MUCH);
	e->wire.until = pmt_wire_now() + e->wire.timeout;
	rc = pmt_wire_send(&e->wire, iov, length ? 2 : 1);
	if (rc == 0)
		rc = pmt_wire_line(&e->wire, a->line, sizeof(a->line));
	if (rc)
		return lost(e, rc);
	if (!parse(a, wanted)) {
		say(e, a->line);
		return lose(e, "what the program says is no answer");
	}
	if (a->rc < 0)
		note_trouble(e, a);
	return a->rc;
}

/* It stands there now, if it can: else it lies. */
static int stand(struct exec *e, const struct answer *a, bool possible)
{
	struct pmt_place *place = &e->leaf.place;

	/* A full tape has taken nothing of what was refused; other trouble may move it. */
	if (!possible && (a->rc >= 0 || a->rc == -ENOSPC)) {
		say(e, a->line);
		return lose(e, "the program cannot be where it says it is");
	}
	place->lbn = a->place.lbn;
	place->file = a->place.file;
	place->block = a->place.block;
	place->partition = 0;
	if (a->rc == PMT_AT_EOD)
		e->leaf.eod = place->lbn;
	return a->rc;
}

static bool is_behind(const struct pmt_place *before, const struct pmt_place *after,
		      uint64_t records, uint64_t marks)
{
	return after->lbn == before->lbn + records + marks &&
	       after->file == before->file + marks &&
	       after->block == (marks ? 0 : before->block + records);
}

static bool is_at_beginning(const struct pmt_place *place)
{
	return !place->lbn;
}

/* A command that moves nothing, or failed before it could. */
static int simple(struct exec *e, const char *command)
{
	struct pmt_place before = e->leaf.place;
	struct answer a;
	int rc = exchange(e, NULL, 0, OK, &a, command);

	return e->wire.fd < 0 ? rc : stand(e, &a, is_behind(&before, &a.place, 0, 0));
}

/* ---- records and marks ---- */

static int exec_write(struct pmt_leaf *leaf, const void *data, size_t length)
{
	struct exec *e = exec_of(leaf);
	struct pmt_place before = leaf->place;
	char command[40];
	struct answer a;
	int rc;

	snprintf(command, sizeof(command), "write %zu", length);
	rc = exchange(e, data, length, OK | EARLY, &a, command);
	if (e->wire.fd < 0)
		return rc;
	rc = stand(e, &a, is_behind(&before, &a.place, rc != -ENOSPC, 0));
	if (rc >= 0)
		leaf->eod = leaf->place.lbn;
	return rc;
}

static int exec_marks(struct pmt_leaf *leaf, uint32_t count, uint32_t *done)
{
	struct exec *e = exec_of(leaf);
	struct pmt_place before = leaf->place;
	char command[40];
	struct answer a;
	uint64_t written;
	bool possible;
	int rc;

	*done = 0;
	snprintf(command, sizeof(command), "mark %" PRIu32, count);
	rc = exchange(e, NULL, 0, OK | EARLY, &a, command);
	if (e->wire.fd < 0)
		return rc;
	written = rc >= 0 ? count : a.place.lbn - before.lbn;
	possible = written <= count && is_behind(&before, &a.place, 0, written);
	rc = stand(e, &a, possible);
	if (possible)
		*done = (uint32_t)written;
	if (*done)
		leaf->eod = leaf->place.lbn;
	return rc;
}

static int take_record(struct exec *e, const struct answer *a, void *buffer, size_t size,
		       size_t *length)
{
	const char *rest = a->rest;
	__u64 n;
	int rc;

	if (!take_number(&rest, &n) || *rest || !n || n > PMT_RECORD_MAX)
		return lose(e, "the program has a record of no possible length");
	*length = (size_t)n;
	rc = pmt_wire_data(&e->wire, buffer, n < size ? n : size);
	if (rc == 0 && n > size)
		rc = pmt_wire_data(&e->wire, NULL, n - size);
	if (rc)
		return lost(e, rc);
	/* Then who knows which of it is the record. */
	return e->wire.from == e->wire.to ? 0 : lose(e, TOO_MUCH);
}

static int exec_read(struct pmt_leaf *leaf, void *buffer, size_t size, size_t *length)
{
	struct exec *e = exec_of(leaf);
	struct pmt_place before = leaf->place;
	struct answer a;
	bool mark, end;
	int rc = exchange(e, NULL, 0, RECORD | MARK | END, &a, "read");

	if (e->wire.fd < 0)
		return rc;
	mark = rc == PMT_AT_MARK;
	end = rc == PMT_AT_EOD;
	rc = stand(e, &a, is_behind(&before, &a.place, !mark && !end, mark));
	return rc ? rc : take_record(e, &a, buffer, size, length);
}

static int exec_sync(struct pmt_leaf *leaf)
{
	return simple(exec_of(leaf), "sync");
}

static int exec_cut(struct pmt_leaf *leaf)
{
	int rc = simple(exec_of(leaf), "cut");

	if (rc == 0)
		leaf->eod = leaf->place.lbn;
	return rc;
}

/* ---- motion ---- */

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/* How many of n records it has passed; false: none of it can be. */
static bool passed_records(const struct pmt_place *before, const struct answer *a, bool back,
			   uint64_t n, uint64_t *passed)
{
	const struct pmt_place *after = &a->place, *low = back ? after : before;
	const struct pmt_place *high = back ? before : after;
	uint64_t far = distance(before->lbn, after->lbn);
	bool mark = a->rc == PMT_AT_MARK;

	if (low->lbn > high->lbn || high->file != low->file + mark || far < mark)
		return false;
	*passed = far - mark;
	if (a->rc == 0)
		return far == n;
	if (a->rc != PMT_AT_MARK && back != (a->rc == PMT_AT_BOP))
		return false;
	return *passed < n && (a->rc != PMT_AT_BOP || is_at_beginning(after));
}

static bool passed_marks(const struct pmt_place *before, const struct answer *a, bool back,
			 uint64_t n, uint64_t *passed)
{
	const struct pmt_place *after = &a->place, *low = back ? after : before;
	const struct pmt_place *high = back ? before : after;

	*passed = distance(before->file, after->file);
	if (low->file > high->file || high->lbn - low->lbn < *passed || low->lbn > high->lbn)
		return false;
	if (a->rc == 0)
		return *passed == n && (back || !after->block);
	if (back != (a->rc == PMT_AT_BOP))
		return false;
	return *passed < n && (a->rc != PMT_AT_BOP || is_at_beginning(after));
}

static int space(struct pmt_leaf *leaf, bool records, int64_t count, int64_t *left)
{
	struct exec *e = exec_of(leaf);
	struct pmt_place before = leaf->place;
	uint64_t n = count < 0 ? -(uint64_t)count : (uint64_t)count, passed = 0;
	bool back = count < 0, possible;
	char command[60];
	struct answer a;
	int rc;

	*left = count;
	snprintf(command, sizeof(command), "space %s %" PRId64, records ? "records" : "marks",
		 count);
	rc = exchange(e, NULL, 0, OK | END | BEGIN | (records ? MARK : 0), &a, command);
	if (e->wire.fd < 0)
		return rc;
	possible = records ? passed_records(&before, &a, back, n, &passed) :
			     passed_marks(&before, &a, back, n, &passed);
	rc = stand(e, &a, possible);
	if (rc >= 0)
		*left = (int64_t)(n - passed) * (back ? -1 : 1);
	return rc;
}

static int exec_space_records(struct pmt_leaf *leaf, int64_t count, int64_t *left)
{
	return space(leaf, true, count, left);
}

static int exec_space_marks(struct pmt_leaf *leaf, int64_t count, int64_t *left)
{
	return space(leaf, false, count, left);
}

static int exec_locate(struct pmt_leaf *leaf, uint32_t partition, uint64_t lbn)
{
	struct exec *e = exec_of(leaf);
	char command[40];
	struct answer a;
	int rc;

	if (partition)
		return -EINVAL;
	snprintf(command, sizeof(command), "locate %" PRIu64, lbn);
	rc = exchange(e, NULL, 0, OK | END, &a, command);
	if (e->wire.fd < 0)
		return rc;
	return stand(e, &a, rc == PMT_AT_EOD ? a.place.lbn < lbn : a.place.lbn == lbn);
}

static int exec_to_eod(struct pmt_leaf *leaf)
{
	struct exec *e = exec_of(leaf);
	struct answer a;
	int rc = exchange(e, NULL, 0, OK, &a, "space end");

	if (e->wire.fd < 0)
		return rc;
	rc = stand(e, &a, true);
	if (rc == 0)
		leaf->eod = leaf->place.lbn;
	return rc;
}

/* ---- the medium ---- */

static int load(struct exec *e)
{
	struct pmt_leaf *leaf = &e->leaf;
	struct answer a;
	int rc = exchange(e, NULL, 0, OK, &a, "load");

	leaf->present = false;
	if (e->wire.fd < 0)
		return rc;
	rc = stand(e, &a, is_at_beginning(&a.place));
	if (rc)
		return rc;
	leaf->present = true;
	leaf->protected = has_word(a.rest, "readonly");
	leaf->medium = 0;
	leaf->eod = PMT_UNKNOWN;
	find_number(a.rest, "id", 16, &leaf->medium);
	find_number(a.rest, "end", 10, &leaf->eod);
	return 0;
}

/* The first line tells what it is. */
static int greet(struct exec *e)
{
	struct pmt_limits *limits = &e->leaf.limits;
	uint64_t room = 0, record = PMT_RECORD_MAX;
	char line[LINE];
	int rc;

	e->wire.until = pmt_wire_now() + e->wire.timeout;
	rc = pmt_wire_line(&e->wire, line, sizeof(line));
	if (rc)
		return lost(e, rc);
	if (strncmp(line, GREETING, sizeof(GREETING) - 1) ||
	    (line[sizeof(GREETING) - 1] && line[sizeof(GREETING) - 1] != ' ')) {
		say(e, line);
		return lose(e, "the program does not begin with \"" GREETING "\"");
	}
	find_number(line, "room", 10, &room);
	find_number(line, "record", 10, &record);
	limits->window = room;
	limits->record_max = record && record < PMT_RECORD_MAX ? (uint32_t)record :
								 PMT_RECORD_MAX;
	return 0;
}

static int start(struct exec *e)
{
	const char *const shell[] = { "/bin/sh", "-c", e->command, NULL };
	int rc = pmt_wire_open(&e->wire, shell);

	if (rc) {
		pmt_log(LOG_ERR, "%s: /bin/sh: %s", e->leaf.drive.text, strerror(-rc));
		return rc;
	}
	e->shown = e->wire.pid;
	return greet(e);
}

static int exec_load(struct pmt_leaf *leaf)
{
	struct exec *e = exec_of(leaf);
	struct pmt_limits before = leaf->limits;
	int rc = 0;

	if (e->wire.fd < 0)
		rc = start(e);
	/* The unit was told what it takes, and is not told again. */
	if (rc == 0 && (before.window > leaf->limits.window ||
			before.record_max > leaf->limits.record_max))
		rc = lose(e, "the program takes less than before");
	leaf->limits = before;
	return rc ? rc : load(e);
}

static int exec_unload(struct pmt_leaf *leaf)
{
	struct exec *e = exec_of(leaf);
	struct answer a;
	int rc = exchange(e, NULL, 0, OK, &a, "unload");

	if (e->wire.fd < 0)
		return rc;
	rc = stand(e, &a, is_at_beginning(&a.place));
	if (rc == 0)
		leaf->present = false;
	return rc;
}

/*
 * The next medium is looked for.  A program that has ended is noticed, but readiness is
 * of all copies: the next command fails, and drops this one.
 */
static int exec_look(struct pmt_leaf *leaf)
{
	struct exec *e = exec_of(leaf);
	ssize_t n;

	if (!leaf->present) {
		load(e);
	} else if (e->wire.fd >= 0 && e->wire.from == e->wire.to) {
		n = pmt_wire_fill(&e->wire);
		if (n < 0)
			lost(e, (int)n);
		else if (n)
			lose(e, TOO_MUCH);
	}
	return 0;
}

static const struct pmt_leaf_ops leaf_ops = {
	.write = exec_write,
	.read = exec_read,
	.marks = exec_marks,
	.sync = exec_sync,
	.space_records = exec_space_records,
	.space_marks = exec_space_marks,
	.locate = exec_locate,
	.to_eod = exec_to_eod,
	.cut = exec_cut,
	.look = exec_look,
	.load = exec_load,
	.unload = exec_unload,
};

/* ---- the drive ---- */

static void exec_close(struct pmt_drive *drive)
{
	struct exec *e = (struct exec *)drive;

	end_program(e);
	free(e->wire.in);
	free(e->command);
	pmt_leaf_destroy(&e->leaf);
}

static int take_options(struct exec *e, const struct pmt_spec *spec)
{
	uint64_t timeout = TIMEOUT_DEFAULT;
	int rc = pmt_spec_number(spec, "timeout", 1, DAY, &timeout);

	if (rc && rc != -ENOENT)
		return rc;
	if (!*spec->target)
		return pmt_spec_refuse_target(spec, "a command");
	e->wire.timeout = (int)timeout * 1000;
	e->command = strdup(spec->target);
	return e->command ? pmt_spec_unused(spec) : -ENOMEM;
}

static int exec_open(struct pmt_drive *drive, const struct pmt_spec *spec)
{
	struct exec *e = (struct exec *)drive;
	int rc = pmt_leaf_init(&e->leaf, &leaf_ops);

	if (rc)
		return rc;
	e->wire.fd = e->wire.process = -1;
	rc = take_options(e, spec);
	if (rc == 0)
		rc = start(e);
	if (rc == 0)
		rc = load(e);
	if (rc == -ENOMEDIUM)
		rc = 0;
	if (rc)
		exec_close(drive);
	return rc;
}

static void exec_status(struct pmt_drive *drive, struct json_object *object)
{
	struct exec *e = (struct exec *)drive;
	int pid = e->shown;

	pmt_leaf_status(drive, object);
	json_object_object_add(object, "process", pid ? json_object_new_int(pid) : NULL);
}

const struct pmt_drive_ops pmt_exec_drive = {
	.name = "exec",
	.size = sizeof(struct exec),
	.open = exec_open,
	.close = exec_close,
	.attach = pmt_leaf_attach,
	.execute = pmt_leaf_execute,
	.limits = pmt_leaf_limits,
	.used = pmt_leaf_used,
	.status = exec_status,
};
