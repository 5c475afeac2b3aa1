// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * zstd and aead: what comes back is what went in, as of a drive without them.
 *
 * The same random commands go to a stack of filters over a drive, and to such a drive
 * alone; each answer has to be the same.  What the tape holds under aead is looked at
 * meanwhile: nothing of what was written can be seen, and no nonce is there twice.
 * Then what was done to the tape by others, and each key's way.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <keyutils.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zstd.h>

#include "folder.h"
#include "memleaf.h"
#include "suite.h"

#define KEY_A "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define KEY_B "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"
#define HEAD 144u		/* of aead */
#define NONCE_AT 104u

static struct rig rig, twin;

static void put_file(const char *name, const char *text, mode_t mode)
{
	_cleanup_close_ int fd = open(path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	ck_assert_int_eq(fchmod(fd, mode), 0);
}

static void setup(void)
{
	folder_make();
	rig_init(&rig);
	rig_init(&twin);
	rig.session.modes.compression = twin.session.modes.compression = 1;
	put_file("keys", KEY_A "\n", 0600);
}

static void teardown(void)
{
	rig_close(&rig);
	rig_close(&twin);
	mem_reset();
	folder_remove();
}

/* @ in it is aead with the key of the folder, # a file there. */
static const char *spec_of(const char *text)
{
	static char specs[4][1024];
	static int turn;
	char *to = specs[turn = (turn + 1) % 4];
	size_t n = 0;

	for (; *text; text++) {
		if (*text == '@')
			n += (size_t)snprintf(to + n, 1024 - n,
					      "aead?threads=2&key=file:%s/keys", folder);
		else if (*text == '#')
			n += (size_t)snprintf(to + n, 1024 - n, "%s", folder);
		else
			to[n++] = *text;
	}
	to[n] = '\0';
	return to;
}

static void open_spec(const char *text)
{
	ck_assert_int_eq(rig_open(&rig, spec_of(text)), 0);
}

/* As another process would go on. */
static void reopen(struct rig *r, const char *text)
{
	rig_close(r);
	r->session.place = r->place;
	ck_assert_int_eq(rig_open(r, spec_of(text)), 0);
}

#define ck_good(status) ck_assert_int_eq(status, PMT_STATUS_GOOD)

static void ck_sense(unsigned int key, unsigned int asc, unsigned int ascq)
{
	ck_assert_int_eq(rig.result.status, PMT_STATUS_CHECK);
	ck_assert_uint_eq(rig.result.key, key);
	ck_assert_uint_eq(rig.result.asc, asc);
	ck_assert_uint_eq(rig.result.ascq, ascq);
}

/* ---- what the tape holds ---- */

#define SECRET "This is not to be seen on any tape."

#define NONCES 16384u

static struct {
	unsigned char nonce[24];
	uint32_t sum;			/* of the whole record */
	bool used;
} nonces[NONCES];
static size_t n_nonces;

static void forget_nonces(void)
{
	memset(nonces, 0, sizeof(nonces));
	n_nonces = 0;
}

static void note_nonce(const unsigned char *record, size_t length)
{
	uint32_t sum = pmt_crc32c(0, record, length), i;

	memcpy(&i, record + NONCE_AT, sizeof(i));
	for (i %= NONCES; nonces[i].used; i = (i + 1) % NONCES)
		if (!memcmp(nonces[i].nonce, record + NONCE_AT, 24)) {
			ck_assert_uint_eq(nonces[i].sum, sum);
			return;
		}
	memcpy(nonces[i].nonce, record + NONCE_AT, 24);
	nonces[i].sum = sum;
	nonces[i].used = true;
	ck_assert_uint_lt(++n_nonces, NONCES / 2);
}

static void inspect(const struct mem_medium *medium)
{
	for (uint64_t i = 0; i < medium->volume.n; i++) {
		const struct mem_record *record = &medium->volume.records[i];

		if (record->mark)
			continue;
		ck_assert_uint_gt(record->length, HEAD);
		ck_assert(!memcmp(record->data, "pmtE", 4));
		ck_assert_ptr_null(memmem(record->data, record->length, SECRET, 16));
		note_nonce(record->data, record->length);
	}
}

static void inspect_file(const char *name)
{
	_cleanup_free_ char *text = malloc(8 << 20);
	_cleanup_close_ int fd = open(path(name), O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return;
	n = read(fd, text, 8 << 20);
	ck_assert_int_ge(n, 0);
	ck_assert_ptr_null(memmem(text, (size_t)n, SECRET, 16));
}

/* ---- the same of both ---- */

#define SIZE_MAX_TRIED 70000u

static unsigned int dice;
static unsigned char out[SIZE_MAX_TRIED], in[2][SIZE_MAX_TRIED];

static unsigned int roll(unsigned int n)
{
	return (unsigned int)rand_r(&dice) / 7 % n;
}

/* Some of it can be compressed, some not; the secret is in it. */
static void fill(uint32_t size)
{
	bool noise = roll(2);

	for (uint32_t i = 0; i < size; i++)
		out[i] = noise ? (unsigned char)rand_r(&dice) : SECRET[i % sizeof(SECRET)];
	if (size >= sizeof(SECRET))
		memcpy(out, SECRET, sizeof(SECRET));
}

static uint32_t some_size(void)
{
	static const uint32_t sizes[] = { 1, 7, 8, 9, 100, 512, 4096, 10240, 32768, 65536 };

	return roll(4) ? sizes[roll(10)] : 1 + roll(5000);
}

static struct pmt_command random_command(void)
{
	static const uint32_t blocks[] = { 1, 64, 512, 1000 };
	struct pmt_command cmd = { .flags = PMT_CMD_POSITIONED };
	unsigned int what = roll(20);

	cmd.length = some_size();
	if (roll(3) == 0) {
		cmd.block_size = blocks[roll(4)];
		cmd.length = cmd.block_size * (1 + roll(9)) + (roll(20) == 0);
	}
	cmd.op = what < 6 ? PMT_OP_WRITE : PMT_OP_READ;
	if (what >= 12) {
		cmd.block_size = cmd.length = 0;
		cmd.op = PMT_OP_SPACE;
		cmd.argument = roll(2);
		cmd.count = (int64_t)roll(9) - 4;
	}
	if (what == 13 || what == 14) {
		cmd.op = PMT_OP_WRITE_FILEMARKS;
		cmd.count = roll(4);
	} else if (what == 15) {
		cmd.op = PMT_OP_LOCATE;
		cmd.argument = 0;
		cmd.count = roll(60);
	} else if (what == 16) {
		cmd.op = roll(3) ? PMT_OP_REWIND : roll(2) ? PMT_OP_ERASE : PMT_OP_CUT;
	} else if (what == 17) {
		cmd.argument = PMT_SPACE_EOD;
	} else if (what == 18) {
		cmd.op = roll(2) ? PMT_OP_MODE : PMT_OP_TEST;
		cmd.modes.block_size = roll(2) * 512;
		cmd.modes.compression = roll(2);
	}
	return cmd;
}

static bool is_cut_off(const struct pmt_result *a, const struct pmt_result *b)
{
	return a->key == PMT_KEY_MEDIUM && a->asc == 0x14 && b->key == PMT_KEY_BLANK &&
	       b->place.block;
}

static void ck_place(const struct pmt_command *cmd, const struct pmt_place *a,
		     const struct pmt_place *b)
{
	ck_assert_msg(a->lbn == b->lbn && a->file == b->file && a->block == b->block,
		      "%s of %u/%u at %lld: at %lld, %lld/%lld, not at %lld, %lld/%lld",
		      pmt_op_name(cmd->op), cmd->length, cmd->block_size,
		      (long long)cmd->place.lbn, (long long)a->lbn, (long long)a->file,
		      (long long)a->block, (long long)b->lbn, (long long)b->file,
		      (long long)b->block);
	ck_assert_uint_eq(a->partition, b->partition);
	ck_assert_uint_eq(a->generation, b->generation);
}

static void ck_both(const struct pmt_command *cmd)
{
	const struct pmt_result *a = &rig.result, *b = &twin.result;
	int64_t got = cmd->block_size ? cmd->length - b->residue * cmd->block_size :
					cmd->length - b->residue;

	if (got > cmd->length)
		got = cmd->length;
	ck_assert_msg(a->status == b->status, "%s at %llu: status %u, not %u (key %x/%x)",
		      pmt_op_name(cmd->op), (unsigned long long)cmd->place.lbn, a->status,
		      b->status, a->key, b->key);
	ck_place(cmd, &a->place, &b->place);
	ck_assert_int_eq(a->residue, b->residue);
	ck_assert_uint_eq(a->sense, b->sense);
	ck_assert_uint_eq(a->eod, b->eod);
	if (is_cut_off(a, b))
		return;
	ck_assert_uint_eq(a->key, b->key);
	ck_assert_uint_eq(a->asc << 8 | a->ascq, b->asc << 8 | b->ascq);
	if (cmd->op == PMT_OP_READ && got > 0 && (b->key == PMT_KEY_NONE))
		ck_assert_int_eq(memcmp(in[0], in[1], (size_t)got), 0);
}

static bool placed;		/* by an answer that a mirror believes */

static void do_both(struct pmt_command cmd, bool here)
{
	if (cmd.op == PMT_OP_WRITE)
		fill(cmd.length);
	cmd.place = rig.place;
	if (here && placed && cmd.place.lbn) {
		cmd.flags |= PMT_CMD_HERE;
		cmd.place.lbn = cmd.place.file = cmd.place.block = PMT_UNKNOWN;
	}
	rig_do(&rig, cmd, cmd.op == PMT_OP_WRITE ? out : in[0]);
	rig_do(&twin, cmd, cmd.op == PMT_OP_WRITE ? out : in[1]);
	ck_both(&cmd);
	placed = placed || (rig.result.status == PMT_STATUS_GOOD && cmd.op != PMT_OP_TEST &&
			    cmd.op != PMT_OP_MODE);
}

static const struct {
	const char *stack, *alone, *medium;	/* that is encrypted, in memory */
	int steps;
} stacks[] = {
	{ "zstd?threads=2|mem:a", "mem:b", NULL, 800 },
	{ "@|mem:a", "mem:b", "a", 800 },
	{ "zstd?threads=3|@|mem:a", "mem:b", "a", 800 },
	{ "zstd?level=1&threads=1|@|limit|mem:a", "mem:b", "a", 300 },
	{ "limit|zstd|fault|@|delay?op=test&ms=0|mem:a", "limit|mem:b", "a", 300 },
	{ "zstd|@|image:#/a?create=yes", "image:#/b?create=yes", NULL, 100 },
	{ "@|image:#/a?format=simh&create=yes", "image:#/b?format=simh&create=yes", NULL, 60 },
	{ "zstd|image:#/a?format=simh&create=yes", "image:#/b?format=simh&create=yes", NULL, 60 },
	{ "mirror(zstd|@|mem:a, @|mem:c)", "mirror(mem:b, mem:d)", "a", 500 },
	{ "zstd|@|mirror(mem:a, mem:c)", "mirror(mem:b, mem:d)", "a", 500 },
	{ "mirror(zstd|@|image:#/a?create=yes, mem:c)", "mirror(image:#/b?create=yes, mem:d)", NULL, 40 },
};

START_TEST(as_without)
{
	dice = suite_seed() + (unsigned int)_i;
	forget_nonces();
	open_spec(stacks[_i].stack);
	ck_assert_int_eq(rig_open(&twin, spec_of(stacks[_i].alone)), 0);
	for (int step = 0; step < stacks[_i].steps; step++) {
		do_both(random_command(), roll(30) == 0);
		if (stacks[_i].medium && rig.place.lbn)
			inspect(mem_medium(stacks[_i].medium));
		if (roll(40))
			continue;
		reopen(&rig, stacks[_i].stack);
		reopen(&twin, stacks[_i].alone);
		placed = !strstr(stacks[_i].stack, "mirror");
	}
	if (strchr(stacks[_i].stack, '@'))
		inspect_file("a");
}
END_TEST

/* ---- many at once ---- */

#define MANY 120		/* times 3 records: more than there are cells */
#define SHORTER 20		/* bytes, each than the one before */

static struct {
	struct pmt_request reqs[MANY];
	unsigned char data[MANY][3000];
	pthread_mutex_t lock;
	pthread_cond_t cond;
	unsigned int done;
	bool disorder;
} many = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

static void one_done(struct pmt_request *req)
{
	pthread_mutex_lock(&many.lock);
	many.disorder = many.disorder || req != &many.reqs[many.done];
	many.done++;
	pthread_cond_signal(&many.cond);
	pthread_mutex_unlock(&many.lock);
}

static int misfit = -1;		/* this one is no whole number of blocks */

static void submit_many(unsigned int op, uint32_t block_size)
{
	struct pmt_place place = rig.place;

	many.done = 0;
	many.disorder = false;
	for (unsigned int i = 0; i < MANY; i++) {
		struct pmt_request *req = &many.reqs[i];
		uint32_t length = block_size ? 3 * block_size : 3000 - i * SHORTER;

		*req = (struct pmt_request){ .data = many.data[i], .done = one_done };
		req->cmd = (struct pmt_command){ .op = (uint16_t)op, .number = rig.number++,
						 .place = place, .length = length,
						 .block_size = block_size };
		if ((int)i == misfit)
			req->cmd.block_size = length - 1;
		if (op == PMT_OP_WRITE)
			memset(many.data[i], 'a' + (int)i, sizeof(many.data[i]));
		if ((int)i != misfit)
			place = pmt_place_after(&req->cmd);
		rig.drive->ops->submit(rig.drive, req);
	}
}

static void wait_many(void)
{
	pthread_mutex_lock(&many.lock);
	while (many.done < MANY)
		pthread_cond_wait(&many.cond, &many.lock);
	pthread_mutex_unlock(&many.lock);
	ck_assert(!many.disorder);
	rig.place = many.reqs[MANY - 1].result.place;
}

/* All before n good, n an exception, all behind it cancelled. */
static void ck_stopped_at(unsigned int n)
{
	for (unsigned int i = 0; i < MANY; i++)
		ck_assert_msg(many.reqs[i].result.status ==
			      (i < n ? PMT_STATUS_GOOD : i == n ? PMT_STATUS_CHECK :
			       PMT_STATUS_CANCELLED), "request %u: status %u", i,
			      many.reqs[i].result.status);
}

static const char *const pipes[] = {
	"zstd?threads=3|mem:a", "@|mem:a", "zstd|@|mem:a", "@|mirror(mem:a, mem:b)",
};

START_TEST(many_at_once)
{
	uint32_t block_size = _i & 1 ? 100 : 0;

	mem_medium("a")->jitter = 100;
	open_spec(pipes[_i / 2]);
	submit_many(PMT_OP_WRITE, block_size);
	wait_many();
	ck_stopped_at(MANY);
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	memset(many.data, 0, sizeof(many.data));
	submit_many(PMT_OP_READ, block_size);
	wait_many();
	ck_stopped_at(MANY);
	for (unsigned int i = 0; i < MANY; i++) {
		ck_assert_int_eq(many.data[i][0], 'a' + (int)i);
		ck_assert_int_eq(many.data[i][(block_size ? 300 : 3000 - i * SHORTER) - 1],
				 'a' + (int)i);
		ck_assert_int_eq(many.reqs[i].result.residue, 0);
	}
}
END_TEST

/* What is written behind an exception is not there; what is read is cancelled. */
START_TEST(exceptions_freeze)
{
	struct mem_medium *medium = mem_medium("a");
	static const char *const faulty[] = {
		"zstd?threads=3|fault?op=write&at=7&error=medium|mem:a",
		"@|fault?op=write&at=7&error=medium|mem:a",
		"zstd|@|fault?op=write&at=7&error=medium|mem:a",
	};

	open_spec(faulty[_i]);
	submit_many(PMT_OP_WRITE, 0);
	wait_many();
	ck_stopped_at(7);
	ck_assert_uint_eq(many.reqs[7].result.residue, 3000 - 7 * SHORTER);
	ck_assert_uint_eq(many.reqs[7].result.place.lbn, 7);
	ck_assert_uint_eq(medium->volume.n, 7);
	/* Frozen until it is resumed. */
	submit_many(PMT_OP_WRITE, 0);
	wait_many();
	for (int i = 0; i < MANY; i++)
		ck_assert_int_eq(many.reqs[i].result.status, PMT_STATUS_CANCELLED);
	rig.drive->ops->resume(rig.drive);
	rig.place = (struct pmt_place){ .generation = 1, .lbn = 7, .block = 7 };
	submit_many(PMT_OP_WRITE, 0);
	wait_many();
	ck_stopped_at(MANY);
	ck_assert_uint_eq(medium->volume.n, 7 + MANY);
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	medium->volume.records[9].data[medium->volume.records[9].length - 1] ^= 1;
	submit_many(PMT_OP_READ, 0);
	wait_many();
	/* Short reads are good; the first that is too short for its record is not. */
	ck_assert_int_eq(many.reqs[7].result.status, PMT_STATUS_CHECK);
	ck_assert_uint_eq(many.reqs[7].result.sense, PMT_SENSE_ILI);
	ck_assert_int_eq(many.reqs[7].result.residue, -7 * SHORTER);
	for (int i = 8; i < MANY; i++)
		ck_assert_int_eq(many.reqs[i].result.status, PMT_STATUS_CANCELLED);
	rig.drive->ops->resume(rig.drive);
	/* The drive may have read ahead; HERE is where the unit stands. */
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_READ, .flags = PMT_CMD_HERE,
					   .place = { .generation = 1, .lbn = PMT_UNKNOWN,
						      .file = PMT_UNKNOWN,
						      .block = PMT_UNKNOWN },
					   .length = 3000 }, many.data[0]);
	ck_good(rig.result.status);
	ck_assert_uint_eq(rig.result.place.lbn, 9);
	ck_assert_int_eq(many.data[0][0], 'a' + 1);
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_READ, .place = rig.place,
					   .length = 3000 }, many.data[0]);
	ck_assert_uint_eq(rig.result.key, PMT_KEY_MEDIUM);
	ck_assert_uint_eq(rig.result.place.lbn, 10);
}
END_TEST

static int mode(uint8_t compression)
{
	return rig_do(&rig, (struct pmt_command){ .op = PMT_OP_MODE, .place = rig.place,
						  .modes.compression = compression }, NULL);
}

/* One that the coder refuses, too, and at once. */
START_TEST(refused_freeze)
{
	mem_medium("a")->jitter = 100;
	open_spec(pipes[_i]);
	misfit = 5;
	submit_many(PMT_OP_WRITE, 0);
	misfit = -1;
	wait_many();
	ck_stopped_at(5);
	ck_assert_uint_eq(many.reqs[5].result.asc, 0x24);
	ck_assert_uint_eq(mem_medium("a")->volume.n, 5);
}
END_TEST

/* Write-once media could not tell a repeated record: nothing is written, all is read. */
START_TEST(written_once)
{
	struct mem_medium *medium = mem_medium("a");
	char buffer[10];

	open_spec(pipes[_i]);
	ck_good(rig_write(&rig, "before"));
	ck_good(rig_marks(&rig, 1));
	medium->worm = mem_medium("b")->worm = true;
	reopen(&rig, pipes[_i]);
	rig_write(&rig, "behind");
	ck_sense(PMT_KEY_PROTECT, 0x30, 0x05);
	ck_assert_int_eq(rig.result.residue, 6);
	ck_assert_uint_eq(rig.result.place.lbn, 2);
	ck_assert_uint_eq(medium->volume.n, 2);
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	ck_good(rig_read(&rig, buffer, sizeof(buffer)));
	ck_assert_int_eq(memcmp(buffer, "before", 6), 0);
	/* The next tape is another one. */
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	medium->worm = medium->absent = false;
	mem_medium("b")->worm = mem_medium("b")->absent = false;
	ck_good(rig_op(&rig, PMT_OP_LOAD));
	ck_good(rig_write(&rig, "over"));
}
END_TEST

/* A record that is long where it is kept, but says that it is not. */
START_TEST(longer_than_it_says)
{
	struct mem_record *record;
	char buffer[10];
	size_t n;

	open_spec("zstd|mem:a");
	ck_good(rig_write(&rig, "some"));
	ck_good(rig_write(&rig, "else"));
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	record = mem_medium("a")->volume.records;
	free(record->data);
	record->data = malloc(200);
	n = ZSTD_compress(record->data + 8, 190, "some", 4, 1);
	ck_assert_uint_gt(n, 4);
	memcpy(record->data, "pmz1\4\0\0", 8);
	record->length = 8 + n;
	rig_read(&rig, buffer, 4);
	ck_sense(PMT_KEY_MEDIUM, 0x11, 0);
	ck_good(rig_read(&rig, buffer, 4));
	ck_assert_int_eq(memcmp(buffer, "else", 4), 0);
}
END_TEST

/* The drive takes less than the tape has. */
START_TEST(longer_than_the_limit)
{
	char buffer[5000];

	open_spec("zstd|mem:a");
	memset(out, 'x', sizeof(out));
	ck_good(mode(0));
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .place = rig.place,
					   .length = 2000 }, out);
	ck_good(rig_write(&rig, "else"));
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	reopen(&rig, "zstd|limit?record=1000|mem:a");
	rig_read(&rig, buffer, sizeof(buffer));
	ck_sense(PMT_KEY_MEDIUM, 0x11, 0);
	ck_good(rig_read(&rig, buffer, 100));
	ck_assert_int_eq(memcmp(buffer, "else", 4), 0);
}
END_TEST

START_TEST(cancelled_when_asked)
{
	unsigned int i = 0, cancelled = 0;

	mem_medium("a")->jitter = 2000;
	open_spec(pipes[_i]);
	ck_good(rig_op(&rig, PMT_OP_TEST));	/* else that is done first */
	submit_many(PMT_OP_WRITE, 100);
	rig.drive->ops->cancel(rig.drive, rig.number);
	wait_many();
	while (i < MANY && many.reqs[i].result.status == PMT_STATUS_GOOD)
		i++;
	ck_assert_uint_eq(mem_medium("a")->volume.n, 3 * i);
	for (; i < MANY; i++, cancelled++)
		ck_assert_int_eq(many.reqs[i].result.status, PMT_STATUS_CANCELLED);
	ck_assert_uint_gt(cancelled, 0);
	rig.place = (struct pmt_place){ .generation = 1 };
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	submit_many(PMT_OP_READ, 100);
	rig.drive->ops->cancel(rig.drive, rig.number);
	wait_many();
	ck_good(rig_op(&rig, PMT_OP_REWIND));
}
END_TEST

/* ---- limits and the end of the tape ---- */

START_TEST(limits_go_up)
{
	struct pmt_limits limits, below = { .record_min = 1, .record_max = 1000, };

	open_spec("limit?record=1000|mem:a");
	pmt_drive_limits(rig.drive, &below);
	rig_close(&rig);
	open_spec("zstd|@|limit?record=1000|mem:a");
	pmt_drive_limits(rig.drive, &limits);
	ck_assert_uint_eq(limits.record_max, 1000 - 8 - HEAD);
	ck_assert_uint_eq(limits.record_cost, below.record_cost + 8 + HEAD);
	ck_assert_uint_eq(limits.byte_cost, below.byte_cost);
	for (uint32_t i = 0; i < sizeof(out); i++)
		out[i] = (unsigned char)rand_r(&dice);
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .place = rig.place,
					   .length = 848 }, out);
	ck_good(rig.result.status);
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .place = rig.place,
					   .length = 849 }, out);
	ck_sense(PMT_KEY_ILLEGAL, 0x24, 0);
	ck_assert_int_eq(rig.result.residue, 849);
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_MODE, .place = rig.place,
					   .modes.block_size = 849 }, NULL);
	ck_sense(PMT_KEY_ILLEGAL, 0x26, 0);
	rig_close(&rig);
	ck_assert_int_eq(rig_open(&rig, spec_of("@|limit?record=144|mem:a")), -ERANGE);
}
END_TEST

/* Blocks that do not fit any more are told, those before them are there. */
START_TEST(end_of_tape)
{
	char buffer[100];

	open_spec("@|limit?capacity=2300&ew=500|mem:a");
	memset(out, 'x', 1000);
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .place = rig.place,
					   .length = 700, .block_size = 100 }, out);
	ck_good(rig.result.status);
	ck_assert_uint_eq(rig.result.room, 1800 - 7 * (100 + HEAD));
	ck_assert_uint_eq(rig.warnings, 0);
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .place = rig.place,
					   .length = 200, .block_size = 100 }, out);
	ck_good(rig.result.status);
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
	ck_assert_uint_eq(rig.result.ascq, 2);
	ck_assert_uint_gt(rig.warnings, 0);
	/* The command's place, whichever of its blocks it was. */
	ck_assert_uint_eq(rig.warned.lbn, 7);
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .place = rig.place,
					   .length = 300, .block_size = 100 }, out);
	ck_sense(PMT_KEY_OVERFLOW, 0, 2);
	ck_assert_int_eq(rig.result.residue, 3);
	ck_assert_uint_eq(rig.result.place.lbn, 9);
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .place = rig.place,
					   .length = 20, .block_size = 10 }, out);
	ck_sense(PMT_KEY_OVERFLOW, 0, 2);
	ck_assert_int_eq(rig.result.residue, 2);
	ck_assert_uint_eq(mem_medium("a")->volume.n, 9);
	rig_op(&rig, PMT_OP_REWIND);
	for (int i = 0; i < 9; i++)
		ck_good(rig_read(&rig, buffer, sizeof(buffer)));
}
END_TEST

START_TEST(some_blocks_fit)
{
	open_spec("@|limit?capacity=1000|mem:a");
	memset(out, 'x', 1000);
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .place = rig.place,
					   .length = 700, .block_size = 100 }, out);
	ck_sense(PMT_KEY_OVERFLOW, 0, 2);
	ck_assert_int_eq(rig.result.residue, 3);
	ck_assert_uint_eq(rig.result.place.lbn, 4);
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_EOM);
}
END_TEST

static struct json_object *status(void)
{
	_cleanup_free_ char *text = NULL;

	ck_assert_int_eq(pmt_drive_status_json(rig.drive, &text), 0);
	return json_tokener_parse(text);
}

static double number(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	ck_assert_msg(json_object_object_get_ex(object, key, &value), "no %s", key);
	return json_object_get_double(value);
}

START_TEST(compression_is_told_and_turned_off)
{
	struct mem_medium *medium = mem_medium("a");
	struct json_object *object;

	open_spec("zstd|mem:a");
	memset(out, 'x', 10000);
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .place = rig.place,
					   .length = 10000 }, out);
	ck_assert_uint_lt(medium->volume.records[0].length, 100);
	object = status();
	ck_assert_double_eq(number(object, "bytes"), 10000);
	ck_assert_double_eq(number(object, "coded_bytes"),
			    (double)medium->volume.records[0].length);
	ck_assert_double_gt(number(object, "ratio"), 100);
	json_object_put(object);
	ck_good(mode(0));
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .place = rig.place,
					   .length = 10000 }, out);
	ck_assert_uint_eq(medium->volume.records[1].length, 10008);
	ck_good(mode(1));
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .place = rig.place,
					   .length = 10000 }, out);
	ck_assert_uint_lt(medium->volume.records[2].length, 100);
	/* A unit keeps it, whatever server comes. */
	rig.session.modes.compression = 0;
	reopen(&rig, "zstd|mem:a");
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .place = rig.place,
					   .length = 10000 }, out);
	ck_assert_uint_eq(medium->volume.records[3].length, 10008);
	/* Without a unit there is no such mode. */
	rig.session.unit_id = 0;
	reopen(&rig, "zstd|mem:a");
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .place = rig.place,
					   .length = 10000 }, out);
	ck_assert_uint_lt(medium->volume.records[4].length, 100);
}
END_TEST

/* The largest, of noise: it grows by the head, and is read. */
START_TEST(largest_records)
{
	uint32_t size = PMT_RECORD_MAX - 8 - HEAD;
	_cleanup_free_ unsigned char *noise = malloc(size), *back = malloc(size);
	struct pmt_limits limits;

	open_spec("zstd?threads=1|@|mem:a");
	pmt_drive_limits(rig.drive, &limits);
	ck_assert_uint_eq(limits.record_max, size);
	for (uint32_t i = 0; i < size; i += 4)
		memcpy(noise + i, &(unsigned int){ (unsigned int)rand_r(&dice) * 7u }, 4);
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .place = rig.place,
					   .length = size }, noise);
	ck_good(rig.result.status);
	ck_assert_uint_eq(mem_medium("a")->volume.records[0].length, PMT_RECORD_MAX);
	rig_op(&rig, PMT_OP_REWIND);
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_READ, .place = rig.place,
					   .length = 10 }, back);
	ck_assert_uint_eq(rig.result.sense, PMT_SENSE_ILI);
	ck_assert_int_eq(rig.result.residue, 10 - (int64_t)size);
	ck_assert_int_eq(memcmp(noise, back, 10), 0);
	rig_op(&rig, PMT_OP_REWIND);
	rig_do(&rig, (struct pmt_command){ .op = PMT_OP_READ, .place = rig.place,
					   .length = size }, back);
	ck_good(rig.result.status);
	ck_assert_int_eq(memcmp(noise, back, size), 0);
}
END_TEST

/* ---- what others do to the tape ---- */

/* Two files of three records and a mark each, the second appended by another server. */
static void write_tape(const char *stack)
{
	static char text[6][400];

	open_spec(stack);
	for (int i = 0; i < 6; i++) {
		memset(text[i], 'a' + i, 299 - (size_t)i);
		ck_good(rig_write(&rig, text[i]));
		if (i % 3 == 2)
			ck_good(rig_marks(&rig, 1));
		if (i == 2)
			reopen(&rig, stack);
	}
}

#define TAPE "@|mem:a"

/* Reads it all as a new server; the LBN of the first exception that is no mark. */
static int64_t first_bad(const char *stack)
{
	char buffer[400];

	rig_close(&rig);
	rig.session.place = (struct pmt_place){ .generation = 1 };
	ck_assert_int_eq(rig_open(&rig, spec_of(stack)), 0);
	for (int64_t lbn = 0;; lbn++) {
		if (rig_read(&rig, buffer, sizeof(buffer)) == PMT_STATUS_CHECK &&
		    rig.result.sense != PMT_SENSE_FILEMARK)
			return rig.result.key == PMT_KEY_BLANK ? -1 : lbn;
		ck_assert_int_lt(lbn, 20);
	}
}

static struct mem_record *record(uint64_t lbn)
{
	return &mem_medium("a")->volume.records[lbn];
}

static void copy_record(struct mem_record *to, const struct mem_record *from)
{
	*to = *from;
	if (!from->data)
		return;
	to->data = malloc(from->length);
	memcpy(to->data, from->data, from->length);
}

static void take_out(uint64_t lbn)
{
	struct mem_volume *volume = &mem_medium("a")->volume;

	free(record(lbn)->data);
	memmove(record(lbn), record(lbn + 1), (volume->n - lbn - 1) * sizeof(*record(0)));
	volume->n--;
}

static void put_in(uint64_t lbn, const struct mem_record *from)
{
	struct mem_volume *volume = &mem_medium("a")->volume;
	struct mem_record copy;

	copy_record(&copy, from);
	volume->records = reallocarray(volume->records, volume->n + 1, sizeof(copy));
	memmove(record(lbn + 1), record(lbn), (volume->n - lbn) * sizeof(copy));
	*record(lbn) = copy;
	volume->n++;
}

static void ck_found(int64_t lbn, unsigned int key, unsigned int ascq)
{
	struct json_object *object;

	ck_assert_int_eq(first_bad(TAPE), lbn);
	ck_sense(key, key == PMT_KEY_MEDIUM && ascq == 3 ? 0x14 : 0x74, ascq);
	ck_assert_uint_eq(rig.result.place.lbn, (uint64_t)lbn + (ascq != 3));
	object = status();
	ck_assert_double_ge(number(object, "failures"), 1);
	json_object_put(object);
}

START_TEST(untouched)
{
	write_tape(TAPE);
	ck_assert_int_eq(first_bad(TAPE), -1);
	mem_medium("a")->no_lbn = false;
}
END_TEST

START_TEST(moved)
{
	struct mem_record swap;

	write_tape(TAPE);
	swap = *record(1);
	*record(1) = *record(2);
	*record(2) = swap;
	ck_found(1, PMT_KEY_MEDIUM, 4);
}
END_TEST

START_TEST(dropped)
{
	write_tape(TAPE);
	take_out(1);
	ck_found(1, PMT_KEY_MEDIUM, 4);
}
END_TEST

START_TEST(repeated)
{
	write_tape(TAPE);
	put_in(2, record(1));
	ck_found(2, PMT_KEY_MEDIUM, 4);
}
END_TEST

START_TEST(mark_dropped)
{
	write_tape(TAPE);
	take_out(3);
	ck_found(3, PMT_KEY_MEDIUM, 4);
}
END_TEST

/* Blocks' numbers are right, the marks are not. */
START_TEST(mark_for_a_record)
{
	struct mem_record mark = { .mark = true };

	write_tape(TAPE);
	take_out(1);
	put_in(1, &mark);
	ck_found(1, PMT_KEY_MEDIUM, 4);
}
END_TEST

/* The end of a file, of marks: it is no clean end of it. */
START_TEST(marks_for_records)
{
	struct mem_record mark = { .mark = true };

	write_tape(TAPE);
	for (uint64_t lbn = 1; lbn < 3; lbn++) {
		take_out(lbn);
		put_in(lbn, &mark);
	}
	ck_found(1, PMT_KEY_MEDIUM, 4);
	/* What is behind, and can not be read, tells nothing: the next that can. */
	record(4)->data[HEAD] ^= 1;
	ck_found(1, PMT_KEY_MEDIUM, 4);
}
END_TEST

/* Of the last file: as the manual says, this can not be seen. */
START_TEST(marks_for_the_last_records)
{
	struct mem_record mark = { .mark = true };

	write_tape(TAPE);
	take_out(6);
	put_in(6, &mark);
	ck_assert_int_eq(first_bad(TAPE), -1);
}
END_TEST

/* A whole file of another tape, by a server that reads no other. */
START_TEST(file_of_another_tape)
{
	struct mem_record other[3];
	char buffer[400];

	write_tape(TAPE);
	for (uint64_t i = 0; i < 3; i++)
		copy_record(&other[i], record(4 + i));
	rig_close(&rig);
	rig.session.place = (struct pmt_place){ .generation = 1 };
	write_tape(TAPE);
	for (uint64_t i = 0; i < 3; i++) {
		free(record(4 + i)->data);
		*record(4 + i) = other[i];
	}
	rig_close(&rig);
	open_spec(TAPE);
	ck_good(rig_locate(&rig, 4));
	for (int i = 0; i < 2; i++) {
		rig_read(&rig, buffer, sizeof(buffer));
		ck_sense(PMT_KEY_MEDIUM, 0x74, 4);
	}
	/* Where the first can not be read, another one tells. */
	rig_close(&rig);
	for (uint64_t i = 0; i < 7; i++)
		if (!record(i)->mark && (i < 4 || i == 5))
			record(i)->data[HEAD] ^= 1;
	open_spec(TAPE);
	ck_good(rig_locate(&rig, 6));
	ck_good(rig_read(&rig, buffer, sizeof(buffer)));
}
END_TEST

START_TEST(cut_in_a_file)
{
	write_tape(TAPE);
	while (mem_medium("a")->volume.n > 6)
		take_out(6);
	ck_found(6, PMT_KEY_MEDIUM, 3);
}
END_TEST

/* As the manual says: this can not be seen. */
START_TEST(cut_behind_a_mark)
{
	write_tape(TAPE);
	while (mem_medium("a")->volume.n > 4)
		take_out(4);
	ck_assert_int_eq(first_bad(TAPE), -1);
}
END_TEST

START_TEST(plain_record)
{
	write_tape(TAPE);
	memset(record(2)->data, 'p', record(2)->length);
	ck_found(2, PMT_KEY_PROTECT, 2);
}
END_TEST

/* Of a tape that the same key has written. */
START_TEST(of_another_tape)
{
	struct mem_record other;

	write_tape(TAPE);
	copy_record(&other, record(2));
	rig_close(&rig);
	rig.session.place = (struct pmt_place){ .generation = 1 };
	write_tape(TAPE);
	free(record(2)->data);
	*record(2) = other;
	ck_found(2, PMT_KEY_MEDIUM, 4);
}
END_TEST

static void go_back_and_write(uint64_t lbn, int n)
{
	ck_good(rig_locate(&rig, lbn));
	for (int i = 0; i < n; i++)
		ck_good(rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .length = 300,
							   .place = rig.place,
							   .flags = i ? 0 : PMT_CMD_POSITIONED },
			       out));
	ck_good(rig_marks(&rig, 1));
}

/* Behind newer ones it is seen at once, before them by the next one. */
START_TEST(older)
{
	struct mem_record old[2];

	write_tape(TAPE);
	copy_record(&old[0], record(5));
	copy_record(&old[1], record(6));
	go_back_and_write(5, 3);
	ck_assert_int_eq(first_bad(TAPE), -1);
	free(record(5 + (uint64_t)_i)->data);
	*record(5 + (uint64_t)_i) = old[_i];
	free(old[!_i].data);
	ck_found(6, PMT_KEY_MEDIUM, 4);
}
END_TEST

/* Two writings from the same block on, each by a new server: both are epoch 2. */
START_TEST(older_of_two_that_began_alike)
{
	struct mem_record old[2];
	uint64_t lbn = 2 + (uint64_t)_i;

	write_tape(TAPE);
	reopen(&rig, TAPE);
	go_back_and_write(2, 3);
	copy_record(&old[0], record(2));
	copy_record(&old[1], record(3));
	reopen(&rig, TAPE);
	go_back_and_write(2, 3);
	ck_assert_int_eq(first_bad(TAPE), -1);
	free(record(lbn)->data);
	*record(lbn) = old[_i];
	free(old[!_i].data);
	ck_found(3, PMT_KEY_MEDIUM, 4);
}
END_TEST

/* The third epoch of what was there before, behind the second of what is. */
START_TEST(older_tail)
{
	struct mem_record old[2];

	write_tape(TAPE);
	reopen(&rig, TAPE);
	ck_good(rig_space(&rig, PMT_SPACE_EOD, 0));
	ck_good(rig_write(&rig, "third"));
	ck_good(rig_marks(&rig, 1));
	copy_record(&old[0], record(8));
	copy_record(&old[1], record(9));
	reopen(&rig, TAPE);
	go_back_and_write(4, 3);
	ck_assert_uint_eq(mem_medium("a")->volume.n, 8);
	put_in(8, &old[0]);
	put_in(9, &old[1]);
	free(old[0].data);
	ck_found(7, PMT_KEY_MEDIUM, 4);
}
END_TEST

/* What was told once is told: the tape may be another one. */
START_TEST(attention_while_looking)
{
	open_spec(TAPE);
	ck_good(rig_write(&rig, "one"));
	reopen(&rig, "@|fault?op=read&at=0&error=attention|mem:a");
	rig_write(&rig, "two");
	ck_sense(PMT_KEY_ATTENTION, 0x28, 0);
	ck_assert_int_eq(rig.result.residue, 3);
	ck_assert_uint_eq(mem_medium("a")->volume.n, 1);
}
END_TEST

/* It counts on over servers, and over what was not read by this one. */
START_TEST(epochs_rise)
{
	struct json_object *object;

	write_tape(TAPE);
	for (int i = 3; i < 6; i++) {
		reopen(&rig, TAPE);
		go_back_and_write(2, 1);
		object = status();
		ck_assert_double_eq(number(object, "epoch"), i == 3 ? 2 : 2);
		json_object_put(object);
	}
	for (int i = 3; i < 6; i++) {
		reopen(&rig, TAPE);
		ck_good(rig_space(&rig, PMT_SPACE_EOD, 0));
		ck_good(rig_write(&rig, "appended"));
		ck_good(rig_marks(&rig, 1));
		object = status();
		ck_assert_double_eq(number(object, "epoch"), i);
		json_object_put(object);
	}
	ck_assert_int_eq(first_bad(TAPE), -1);
}
END_TEST

/* Each bit of each record; the others are read. */
START_TEST(every_bit)
{
	uint64_t lbn = _i ? 5 : 1;
	size_t length;
	unsigned int bit = 0;

	write_tape(TAPE);
	length = record(lbn)->length;
	for (size_t i = 0; i < length; i++, bit = (bit + 3) % 8) {
		record(lbn)->data[i] ^= (unsigned char)(1u << bit);
		ck_assert_int_eq(first_bad(TAPE), (int64_t)lbn);
		ck_assert(rig.result.key == PMT_KEY_MEDIUM || rig.result.key == PMT_KEY_PROTECT);
		record(lbn)->data[i] ^= (unsigned char)(1u << bit);
	}
	ck_assert_int_eq(first_bad(TAPE), -1);
}
END_TEST

#define PAIR "mirror(zstd|@|image:#/a?create=yes, @|mem:a)"

/* In the file, and read from the other copy. */
START_TEST(flipped_under_a_mirror)
{
	_cleanup_free_ char *text = malloc(1 << 20);
	_cleanup_close_ int fd = -1;
	char *at = text;
	ssize_t n;

	write_tape(PAIR);
	ck_assert_int_eq(first_bad(PAIR), -1);
	rig_close(&rig);
	fd = open(path("a"), O_RDWR);
	n = read(fd, text, 1 << 20);
	ck_assert_int_gt(n, 0);
	for (int i = 0; i < 5; i++) {
		at = memmem(at + 1, (size_t)(text + n - at - 1), "pmtE", 4);
		ck_assert_ptr_nonnull(at);
	}
	at[HEAD + 3] ^= 0x10;
	ck_assert_int_eq(pwrite(fd, at + HEAD + 3, 1, at + HEAD + 3 - text), 1);
	ck_assert_int_eq(first_bad(PAIR), -1);
	ck_assert_int_eq(first_bad("zstd|@|image:#/a?create=yes"), 5);
}
END_TEST

/* ---- replay ---- */

static void written_again(const char *text)
{
	rig_close(&rig);
	ck_assert_int_eq(rig_open(&rig, spec_of(TAPE)), 0);
	rig.place = rig.session.place;
	ck_good(rig_write(&rig, text));
	inspect(mem_medium("a"));
}

/* What the last server did is not known: the same again, and then something else. */
START_TEST(replay)
{
	char buffer[64] = "";

	forget_nonces();
	open_spec(TAPE);
	ck_good(rig_write(&rig, "first"));
	for (int i = 0; i < _i; i++)
		ck_good(rig_marks(&rig, 2));
	rig.session.place = rig.place;
	ck_good(rig_write(&rig, "second"));
	inspect(mem_medium("a"));
	for (int i = 0; i < 3; i++)
		written_again("second");
	written_again("another");
	ck_assert_uint_eq(n_nonces, 6);
	ck_good(rig_marks(&rig, 1));
	ck_assert_int_eq(first_bad(TAPE), -1);
	rig_op(&rig, PMT_OP_REWIND);
	rig_locate(&rig, 1 + 2 * (uint64_t)_i);
	ck_good(rig_read(&rig, buffer, sizeof(buffer)));
	ck_assert_str_eq(buffer, "another");
}
END_TEST

/* The medium was used on by another server of the unit: nothing is written. */
START_TEST(replay_of_what_is_over)
{
	struct mem_medium *medium = mem_medium("a");

	open_spec(TAPE);
	ck_good(rig_write(&rig, "one"));
	rig.session.place = rig.place;
	rig_close(&rig);
	medium->unit_id = UNIT;
	medium->generation = 2;
	open_spec(TAPE);
	ck_good(rig_write(&rig, "done before"));
	ck_assert_uint_eq(medium->volume.n, 1);
}
END_TEST

/* Behind what is not ours nothing is appended, but from the beginning one can write. */
START_TEST(appended_to_plain)
{
	open_spec("mem:a");
	ck_good(rig_write(&rig, "plain"));
	ck_good(rig_marks(&rig, 1));
	reopen(&rig, TAPE);
	rig_write(&rig, "secret");
	ck_sense(PMT_KEY_PROTECT, 0x74, 2);
	ck_assert_int_eq(rig.result.residue, 6);
	ck_assert_uint_eq(rig.result.place.lbn, 2);
	ck_assert_uint_eq(mem_medium("a")->volume.n, 2);
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	go_back_and_write(0, 1);
}
END_TEST

START_TEST(no_block_numbers)
{
	mem_medium("a")->no_lbn = true;
	open_spec(TAPE);
	ck_good(rig_write(&rig, "one"));
	rig.place.lbn = PMT_UNKNOWN;
	rig_write(&rig, "two");
	ck_sense(PMT_KEY_ABORTED, 0x3b, 0);
	ck_assert_uint_eq(mem_medium("a")->volume.n, 1);
}
END_TEST

/* ---- keys ---- */

static char said[2000];

static void note(int priority, const char *message)
{
	(void)priority;
	strncat(said, message, sizeof(said) - strlen(said) - 1);
}

static int open_with(const char *source)
{
	char text[300];

	snprintf(text, sizeof(text), "aead?threads=1&key=%s|mem:a", spec_of(source));
	said[0] = '\0';
	return rig_open(&rig, text);
}

START_TEST(rotation)
{
	mem_medium("a")->stacker = true;
	open_spec(TAPE);
	ck_good(rig_write(&rig, "with A"));
	ck_good(rig_marks(&rig, 1));
	put_file("keys", "# new first\n" KEY_B "\n\n" KEY_A "\n", 0600);
	ck_good(rig_write(&rig, "still A"));
	ck_assert(!memcmp(record(0)->data + 8, record(2)->data + 8, 8));
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	ck_good(rig_write(&rig, "with B"));
	ck_assert(memcmp(record(0)->data + 8,
			 mem_medium("a")->gone[0].records[0].data + 8, 8));
	/* Both are read; a list that is none changes nothing. */
	put_file("keys", "nonsense\n", 0600);
	ck_good(rig_op(&rig, PMT_OP_UNLOAD));
	mem_medium("a")->volume = mem_medium("a")->gone[0];
	mem_medium("a")->gone[0] = (struct mem_volume){ NULL, 0 };
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	ck_good(rig_read(&rig, said, 100));
	ck_assert_int_eq(memcmp(said, "with A", 6), 0);
	/* Without the key it is said which is missing. */
	rig_close(&rig);
	put_file("keys", KEY_B "\n", 0600);
	rig.session.unit_id = 0;
	open_spec(TAPE);
	rig.place = (struct pmt_place){ .generation = rig.place.generation };
	rig_read(&rig, said, 100);
	ck_sense(PMT_KEY_PROTECT, 0x74, 3);
}
END_TEST

START_TEST(sources)
{
	char text[80];
	key_serial_t serial;

	pmt_log_set_handler(note);
	ck_assert_int_eq(open_with("file:#/keys"), 0);
	ck_good(rig_write(&rig, "from a file"));
	rig_close(&rig);
	ck_assert_int_eq(open_with("command:cat\\ #/keys"), 0);
	ck_good(rig_op(&rig, PMT_OP_REWIND));
	ck_good(rig_read(&rig, text, sizeof(text)));
	rig_close(&rig);
	ck_assert_int_eq(open_with("command:cat\\ #/keys;\\ exit\\ 3"), -EIO);
	ck_assert_ptr_nonnull(strstr(said, "status"));
	ck_assert_int_eq(open_with("command:true"), -EINVAL);
	ck_assert_int_eq(open_with("command:head\\ -c\\ 200000\\ /dev/zero"), -EINVAL);
	ck_assert_ptr_nonnull(strstr(said, "too long"));
	ck_assert_int_eq(open_with("file:#/none"), -ENOENT);
	put_file("open", KEY_A "\n", 0640);
	ck_assert_int_eq(open_with("file:#/open"), -EACCES);
	ck_assert_ptr_nonnull(strstr(said, "chmod 600"));
	put_file("bad", KEY_A "\n" KEY_A "0\n", 0600);
	ck_assert_int_eq(open_with("file:#/bad"), -EINVAL);
	ck_assert_ptr_nonnull(strstr(said, "line 2"));
	ck_assert_ptr_null(strstr(said, "0123456789abcdef"));
	ck_assert_int_eq(open_with("argv:" KEY_A), -EINVAL);
	ck_assert_ptr_null(strstr(said, "0123456789abcdef"));
	serial = add_key("user", "pmt-check", KEY_A, strlen(KEY_A), KEY_SPEC_PROCESS_KEYRING);
	if (serial < 0)		/* where containers have no keyrings */
		ck_assert_int_lt(open_with("keyring:pmt-check"), 0);
	else
		ck_assert_int_eq(open_with("keyring:pmt-check"), 0);
	rig_close(&rig);
	ck_assert_int_lt(open_with("keyring:pmt-no-such"), 0);
	ck_assert_ptr_nonnull(strstr(said, "pmt-no-such"));
}
END_TEST

/* How much is left out of core files.  (AddressSanitizer locks nothing.) */
static long hidden_memory(void)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	long kb = 0, all = 0;
	char line[400];

	while (fgets(line, sizeof(line), file)) {
		sscanf(line, "Size: %ld", &kb);
		if (!strncmp(line, "VmFlags:", 8) && strstr(line, " dd"))
			all += kb;
	}
	fclose(file);
	return all;
}

/* Nothing that is told has the key, nor would a core file; behind it all is gone. */
START_TEST(keys_are_kept)
{
	long before = hidden_memory();
	_cleanup_free_ char *json = NULL;

	pmt_log_set_handler(note);
	said[0] = '\0';
	open_spec(TAPE);
	ck_good(rig_write(&rig, "x"));
	ck_assert_int_gt(hidden_memory(), before);
	ck_assert_int_eq(pmt_drive_status_json(rig.drive, &json), 0);
	ck_assert_ptr_null(strstr(json, "01234567"));
	ck_assert_ptr_nonnull(strstr(json, "\"key\":\""));
	rig_close(&rig);
	ck_assert_int_eq(hidden_memory(), before);
	ck_assert_ptr_null(strstr(said, "01234567"));
}
END_TEST

/* ---- specifications ---- */

static const struct {
	const char *spec, *error;
} bad[] = {
	{ "@|zstd|mem:a", "column 58: zstd: what is encrypted cannot be compressed" },
	{ "@|limit|mirror(mem:a, zstd|mem:b)", "zstd: what is encrypted" },
	{ "aead|mem:a", "column 1: aead: option 'key': expected file:" },
	{ "aead?key=secret|mem:a", "column 6: aead: option 'key'" },
	{ "zstd?level=0|mem:a", "column 6: zstd: option 'level'" },
	{ "zstd?level=99|mem:a", "column 6: zstd: option 'level'" },
	{ "zstd?threads=0|mem:a", "column 6: zstd: option 'threads'" },
	{ "zstd?key=a|mem:a", "column 6: zstd: unknown option 'key'" },
};

START_TEST(refused)
{
	_cleanup_free_ char *error = NULL;
	struct pmt_drive *drive;

	ck_assert_int_lt(pmt_drive_open(&drive, spec_of(bad[_i].spec), &error), 0);
	ck_assert_msg(error != NULL, "%s", bad[_i].spec);
	/* The folder's name makes the first one's column. */
	ck_assert_msg(strstr(error, strchr(bad[_i].error, ':') + 1), "%s", error);
	if (_i)
		ck_assert_ptr_nonnull(strstr(error, bad[_i].error));
	ck_assert_int_eq(strncmp(error, "column ", 7), 0);
}
END_TEST

#define N(array) ((int)(sizeof(array) / sizeof((array)[0])))

static TCase *tampering(void)
{
	TCase *tests = tcase_create("tampering");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, untouched);
	tcase_add_test(tests, moved);
	tcase_add_test(tests, dropped);
	tcase_add_test(tests, repeated);
	tcase_add_test(tests, mark_dropped);
	tcase_add_test(tests, mark_for_a_record);
	tcase_add_test(tests, marks_for_records);
	tcase_add_test(tests, marks_for_the_last_records);
	tcase_add_test(tests, file_of_another_tape);
	tcase_add_test(tests, cut_in_a_file);
	tcase_add_test(tests, cut_behind_a_mark);
	tcase_add_test(tests, plain_record);
	tcase_add_test(tests, of_another_tape);
	tcase_add_loop_test(tests, older, 0, 2);
	tcase_add_loop_test(tests, older_of_two_that_began_alike, 0, 2);
	tcase_add_test(tests, older_tail);
	tcase_add_test(tests, attention_while_looking);
	tcase_add_test(tests, epochs_rise);
	tcase_add_loop_test(tests, every_bit, 0, 2);
	tcase_add_test(tests, flipped_under_a_mirror);
	tcase_add_loop_test(tests, replay, 0, 3);
	tcase_add_test(tests, replay_of_what_is_over);
	tcase_add_test(tests, appended_to_plain);
	tcase_add_test(tests, no_block_numbers);
	return tests;
}

int main(void)
{
	Suite *suite = suite_create("coders");
	TCase *tests = tcase_create("coders");

	suite_quiet();
	dice = 1;
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, as_without, 0, N(stacks));
	tcase_add_loop_test(tests, many_at_once, 0, 2 * N(pipes));
	tcase_add_loop_test(tests, exceptions_freeze, 0, 3);
	tcase_add_loop_test(tests, refused_freeze, 0, N(pipes));
	tcase_add_loop_test(tests, written_once, 0, N(pipes));
	tcase_add_test(tests, longer_than_it_says);
	tcase_add_test(tests, longer_than_the_limit);
	tcase_add_loop_test(tests, cancelled_when_asked, 0, N(pipes));
	tcase_add_test(tests, limits_go_up);
	tcase_add_test(tests, end_of_tape);
	tcase_add_test(tests, some_blocks_fit);
	tcase_add_test(tests, compression_is_told_and_turned_off);
	tcase_add_test(tests, largest_records);
	tcase_add_test(tests, rotation);
	tcase_add_test(tests, sources);
	tcase_add_test(tests, keys_are_kept);
	tcase_add_loop_test(tests, refused, 0, N(bad));
	suite_add_tcase(suite, tests);
	suite_add_tcase(suite, tampering());
	return run_suite(suite);
}
