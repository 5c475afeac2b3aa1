// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The smallest st: what programs see of a tape through RMT, over a drive tree.
 *
 * The kernel's (kmod/position.c, kmod/tape.c, kmod/mtio.c) is the model, without
 * what these requests can not show: fixed blocks, partitions, modes, options,
 * buffering.  Every record is written before it is acknowledged, so that ENOSPC
 * names the record that st would name, and what was acknowledged is on every copy.
 *
 * The automaton is that of kmod/position.c:
 *
 *	writing	NONE -> EW	by the record that met early warning
 *		EW -> EOD1	by the next write, which gets ENOSPC
 *		EOD1 -> EW	by the one after, which is let through; and so on
 *		EW		stays, with eot=hold, and every write gets ENOSPC
 *				until a mark is written: then trailers pass
 *	reading	-> AT_FM	by a mark, which reads as 0
 *		AT_FM -> EOD3	by end of data behind it, which reads as one more 0
 *		EOD3		reads as EIO; so does end of data met elsewhere
 *		EOD1, EOD2	(written up to the end) read as 0 each, then EOD3
 *	motion	-> AT_FM	over marks forward, or into one by records
 *		-> EOD3		to end of data
 *		-> NONE		elsewhere
 *
 * A drive that is not ready is not waited for: nobody can put anything into it
 * while this is its only user.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mtio.h>
#include <syslog.h>

#include "rmt.h"

#define COUNT_MAX	0x7fffff	/* that a SCSI command can carry */

#ifndef GMT_CLN
#define GMT_CLN(x)	((x) & 0x00008000)
#endif

/* Commands */

static bool place_known(const struct pmt_place *place)
{
	return place->lbn != PMT_UNKNOWN ||
	       (place->file != PMT_UNKNOWN && place->block != PMT_UNKNOWN);
}

static struct pmt_command prepare(const struct pmt_rmt_st *st, unsigned int op)
{
	bool writes = op == PMT_OP_WRITE || op == PMT_OP_WRITE_FILEMARKS ||
		      op == PMT_OP_ERASE;
	struct pmt_command cmd = { .op = (uint16_t)op, .place = st->place };

	if (!place_known(&st->place))
		cmd.flags |= PMT_CMD_HERE;
	if (writes && st->positioned)
		cmd.flags |= PMT_CMD_POSITIONED;
	return cmd;
}

static void lose_position(struct pmt_rmt_st *st)
{
	st->kept.file = st->kept.block = -1;
	st->kept.eof = PMT_RMT_ST_NONE;
	st->place.lbn = st->place.file = st->place.block = PMT_UNKNOWN;
	st->lost = true;
}

/* What the drives are told when they are attached again. */
static void keep(struct pmt_rmt_st *st, const struct pmt_command *cmd,
		 const struct pmt_result *res)
{
	bool good = res->status == PMT_STATUS_GOOD;

	st->kept.place = res->place;
	st->kept.cookie = res->cookie;
	if (cmd->op != PMT_OP_TEST && cmd->op != PMT_OP_LOAD && cmd->op != PMT_OP_UNLOAD)
		return;
	if (good && res->medium_flags & PMT_MEDIUM_PRESENT)
		memcpy(st->kept.medium, res->medium, sizeof(st->kept.medium));
	else if (good || cmd->op != PMT_OP_UNLOAD)
		memset(st->kept.medium, 0, sizeof(st->kept.medium));
	pmt_drive_limits(st->drive, &st->limits);
}

/* What any result may say besides its own matter. */
static void look(struct pmt_rmt_st *st, const struct pmt_result *res)
{
	st->kept.recovered += res->key == PMT_KEY_RECOVERED;
	if (!res->asc && res->ascq == 0x17)
		st->kept.cleaning = true;
	if (res->status != PMT_STATUS_CHECK || res->key != PMT_KEY_ATTENTION)
		return;
	if (res->asc == 0x29)
		lose_position(st);
	else if (res->asc == 0x28)
		st->kept.session = 0;	/* the next open or load begins one */
}

/* The write behind a motion may go back, once; if it failed, once more. */
static void note_motion(struct pmt_rmt_st *st, const struct pmt_command *cmd,
			const struct pmt_result *res)
{
	bool again = res->status == PMT_STATUS_CHECK && cmd->flags & PMT_CMD_POSITIONED;

	switch (cmd->op) {
	case PMT_OP_TEST:
		break;
	case PMT_OP_WRITE:
	case PMT_OP_ERASE:
		st->positioned = again;
		break;
	case PMT_OP_WRITE_FILEMARKS:
		if (cmd->count)
			st->positioned = again;
		break;
	default:
		st->positioned = true;
	}
}

static struct pmt_result command(struct pmt_rmt_st *st, const struct pmt_command *cmd,
				 void *data)
{
	struct pmt_request req = { .cmd = *cmd, .data = data };

	req.cmd.number = st->number++;
	pmt_drive_execute(st->drive, &req);
	note_motion(st, cmd, &req.result);
	st->place = req.result.place;
	keep(st, cmd, &req.result);
	look(st, &req.result);
	return req.result;
}

static bool is_good(const struct pmt_result *res)
{
	return res->status == PMT_STATUS_GOOD;
}

/* Where st says that it is */

static int64_t known(uint64_t value)
{
	return value > INT32_MAX ? -1 : (int64_t)value;
}

static void told(struct pmt_rmt_st *st)
{
	st->kept.file = known(st->place.file);
	st->kept.block = known(st->place.block);
	st->kept.eof = PMT_RMT_ST_NONE;
	st->trailer = false;
}

static void at_beginning(struct pmt_rmt_st *st)
{
	st->kept.file = st->kept.block = 0;
	st->kept.eof = PMT_RMT_ST_NONE;
	st->lost = st->trailer = false;
}

static void count_files(struct pmt_rmt_st *st, int64_t marks)
{
	if (st->kept.file >= 0)
		st->kept.file += marks;
}

static void count_blocks(struct pmt_rmt_st *st, int64_t records)
{
	if (st->kept.block >= 0)
		st->kept.block += records;
}

static void at_eod(struct pmt_rmt_st *st, int64_t file)
{
	st->kept.file = file;
	st->kept.block = -1;
	st->kept.eof = PMT_RMT_ST_EOD3;
}

static int not_ready(const struct pmt_rmt_st *st)
{
	return st->ready == PMT_RMT_ST_NO_TAPE ? -ENOMEDIUM : -EIO;
}

static int usable(const struct pmt_rmt_st *st)
{
	if (st->ready != PMT_RMT_ST_READY)
		return not_ready(st);
	return st->lost ? -EIO : 0;
}

/* Marks */

/* At the physical end those count that were written. */
static void marks_failed(struct pmt_rmt_st *st, int64_t count, const struct pmt_result *res)
{
	int64_t done = count - res->residue;

	st->kept.eof = PMT_RMT_ST_NONE;
	if (res->key != PMT_KEY_OVERFLOW)
		return;
	count_files(st, done);
	st->kept.block = 0;
	if (!done)
		st->kept.eof = PMT_RMT_ST_EW;
}

/* Early warning is success; behind it, with eot=hold, a mark lets trailers pass. */
static int write_marks(struct pmt_rmt_st *st, int64_t count)
{
	bool early = st->kept.eof == PMT_RMT_ST_EW || st->kept.eof == PMT_RMT_ST_EOD1 ||
		     st->trailer;
	struct pmt_command cmd = prepare(st, PMT_OP_WRITE_FILEMARKS);
	struct pmt_result res;

	cmd.count = count;
	res = command(st, &cmd, NULL);
	if (!is_good(&res)) {
		if (!st->lost)
			marks_failed(st, count, &res);
		return -EIO;
	}
	count_files(st, count);
	st->kept.block = 0;
	st->kept.eof = PMT_RMT_ST_NONE;
	st->writing = false;	/* close owes no mark any more */
	early = early || res.sense & PMT_SENSE_EOM;
	st->trailer = count && st->eot == PMT_EOT_HOLD && early;
	return 0;
}

/* Motion */

static struct pmt_result space(struct pmt_rmt_st *st, uint32_t unit, int64_t count)
{
	struct pmt_command cmd = prepare(st, PMT_OP_SPACE);

	cmd.argument = unit;
	cmd.count = count;
	st->trailer = false;
	return command(st, &cmd, NULL);
}

/* Units that were spaced, of count; what was not done is never negative. */
static int64_t moved(int64_t count, const struct pmt_result *res)
{
	return count < 0 ? count + res->residue : count - res->residue;
}

static bool met_eod(const struct pmt_result *res)
{
	return res->key == PMT_KEY_BLANK;
}

static int op_fsf(struct pmt_rmt_st *st, int64_t count)
{
	struct pmt_result res = space(st, PMT_SPACE_FILEMARKS, count);

	if (st->lost)
		return -EIO;
	if (is_good(&res)) {
		count_files(st, count);
		st->kept.block = 0;
		st->kept.eof = PMT_RMT_ST_AT_FM;
		return 0;
	}
	count_files(st, moved(count, &res));
	st->kept.block = -1;
	st->kept.eof = met_eod(&res) ? PMT_RMT_ST_EOD3 : PMT_RMT_ST_NONE;
	return -EIO;
}

static int op_bsf(struct pmt_rmt_st *st, int64_t count)
{
	struct pmt_result res = space(st, PMT_SPACE_FILEMARKS, -count);

	if (st->lost)
		return -EIO;
	st->kept.eof = PMT_RMT_ST_NONE;
	if (is_good(&res)) {
		count_files(st, -count);
		st->kept.block = -1;
		return 0;
	}
	count_files(st, moved(-count, &res));
	st->kept.block = 0;
	if (met_eod(&res))
		at_eod(st, st->kept.file);
	return -EIO;
}

/* A mark that is met is crossed. */
static int op_fsr(struct pmt_rmt_st *st, int64_t count)
{
	struct pmt_result res = space(st, PMT_SPACE_RECORDS, count);

	if (st->lost)
		return -EIO;
	st->kept.eof = PMT_RMT_ST_NONE;
	if (is_good(&res)) {
		count_blocks(st, count);
		return 0;
	}
	if (res.sense & PMT_SENSE_FILEMARK) {
		count_files(st, count < 0 ? -1 : 1);
		st->kept.block = count < 0 ? -1 : 0;
		st->kept.eof = count < 0 ? PMT_RMT_ST_NONE : PMT_RMT_ST_AT_FM;
	} else if (count < 0 && res.sense & PMT_SENSE_EOM) {
		st->kept.block = 0;
	} else {
		count_blocks(st, moved(count, &res));
		if (met_eod(&res))
			st->kept.eof = PMT_RMT_ST_EOD3;
	}
	return -EIO;
}

static int op_bsr(struct pmt_rmt_st *st, int64_t count)
{
	return op_fsr(st, -count);
}

static int op_bsfm(struct pmt_rmt_st *st, int64_t count)
{
	int rc = op_bsf(st, count);

	return rc ? rc : op_fsf(st, 1);
}

static int op_fsfm(struct pmt_rmt_st *st, int64_t count)
{
	int rc = op_fsf(st, count);

	return rc ? rc : op_bsf(st, 1);
}

static int op_weof(struct pmt_rmt_st *st, int64_t count)
{
	if (!st->writes || st->protected)
		return -EACCES;
	return count < 0 ? -EIO : write_marks(st, count);
}

static int op_rew(struct pmt_rmt_st *st, int64_t count)
{
	struct pmt_command cmd = prepare(st, PMT_OP_REWIND);
	struct pmt_result res = command(st, &cmd, NULL);

	(void)count;
	if (!is_good(&res)) {
		st->kept.eof = met_eod(&res) ? PMT_RMT_ST_EOD3 : PMT_RMT_ST_NONE;
		return -EIO;
	}
	at_beginning(st);
	return 0;
}

static int op_nop(struct pmt_rmt_st *st, int64_t count)
{
	(void)st;
	(void)count;
	return 0;
}

/* Straight there; then nobody knows how many marks were passed. */
static int fast_eom(struct pmt_rmt_st *st)
{
	struct pmt_result res = space(st, PMT_SPACE_EOD, 0);

	if (is_good(&res))
		st->lost = false;
	if (!st->lost)
		at_eod(st, -1);
	return is_good(&res) ? 0 : -EIO;
}

static int op_eom(struct pmt_rmt_st *st, int64_t count)
{
	(void)count;
	if (st->lost)
		return fast_eom(st);
	op_fsf(st, COUNT_MAX);
	if (st->lost)
		return -EIO;
	return st->kept.eof == PMT_RMT_ST_EOD3 ? 0 : fast_eom(st);
}

static int op_erase(struct pmt_rmt_st *st, int64_t count)
{
	struct pmt_command cmd = prepare(st, PMT_OP_ERASE);
	struct pmt_result res;

	if (!st->writes || st->protected)
		return -EACCES;
	cmd.argument = count != 0;
	res = command(st, &cmd, NULL);
	st->kept.eof = PMT_RMT_ST_NONE;
	return is_good(&res) ? 0 : -EIO;
}

static int op_seek(struct pmt_rmt_st *st, int64_t lbn)
{
	struct pmt_command cmd = prepare(st, PMT_OP_LOCATE);
	struct pmt_result res;

	cmd.count = lbn & UINT32_MAX;
	cmd.argument = st->place.partition;
	st->trailer = false;
	res = command(st, &cmd, NULL);
	st->kept.file = st->kept.block = -1;
	st->kept.eof = PMT_RMT_ST_NONE;
	if (!is_good(&res))
		return -EIO;
	st->lost = false;
	if (!cmd.count)
		at_beginning(st);
	return 0;
}

/* The medium */

static void take_medium(struct pmt_rmt_st *st, const struct pmt_result *res)
{
	st->ready = PMT_RMT_ST_READY;
	st->medium_seen = is_good(res);
	if (!st->medium_seen) {
		st->ready = res->asc == 0x3a ? PMT_RMT_ST_NO_TAPE : PMT_RMT_ST_NOT_READY;
		st->kept.file = st->kept.block = -1;
		return;
	}
	st->density = res->density;
	st->protected = res->medium_flags & PMT_MEDIUM_PROTECTED;
	if (st->place.generation == st->kept.session)
		return;
	st->kept.session = st->place.generation;
	told(st);
	st->kept.cleaning = !res->asc && res->ascq == 0x17;
	st->lost = false;
	st->positioned = true;
}

/*
 * TEST tells where the drive is, which may be another place than where we are.  A
 * drive that fails it is another matter than one that is not ready: -EIO.
 */
static int test(struct pmt_rmt_st *st)
{
	struct pmt_command cmd = prepare(st, PMT_OP_TEST);
	struct pmt_place place = st->place;
	struct pmt_result res = command(st, &cmd, NULL);

	/* An attention tells itself once, and is not the state of the medium. */
	for (int i = 0; i < 10 && res.status == PMT_STATUS_CHECK &&
	     res.key == PMT_KEY_ATTENTION; i++) {
		cmd = prepare(st, PMT_OP_TEST);
		res = command(st, &cmd, NULL);
	}
	if (is_good(&res) && res.place.generation == st->kept.session)
		st->place = place;
	take_medium(st, &res);
	return is_good(&res) || res.key == PMT_KEY_NOT_READY ? 0 : -EIO;
}

static int op_unload(struct pmt_rmt_st *st, int64_t count)
{
	struct pmt_command cmd = prepare(st, PMT_OP_UNLOAD);
	struct pmt_result res = command(st, &cmd, NULL);

	(void)count;
	if (!is_good(&res)) {
		st->kept.file = st->kept.block = -1;
		return -EIO;
	}
	st->lost = st->trailer = false;
	st->ready = PMT_RMT_ST_NO_TAPE;
	st->unloaded = true;	/* close does not rewind */
	return 0;
}

static int op_load(struct pmt_rmt_st *st, int64_t count)
{
	struct pmt_command cmd = prepare(st, PMT_OP_LOAD);
	struct pmt_result res = command(st, &cmd, NULL);

	(void)count;
	if (!is_good(&res)) {
		st->kept.file = st->kept.block = -1;
		return -EIO;
	}
	st->lost = st->trailer = st->unloaded = false;
	st->kept.session = 0;
	if (test(st))
		return -EIO;
	return st->protected && st->writes && !st->nonblock ? -EROFS : 0;
}

/* MTIOCTOP */

enum {
	MARK_FIRST = 1 << 0,	/* behind written data a filemark, first */
	KEEPS = 1 << 1,		/* the automatic filemark at close stays due */
	WHEN_LOST = 1 << 2,	/* gives the tape a known place again */
	ANY_TIME = 1 << 3,	/* whether there is a tape or not */
	BACK = 1 << 4,		/* counts the mark of MARK_FIRST */
	COUNTS = 1 << 5,	/* units: at most what a command can carry */
};

static const struct operation {
	int (*run)(struct pmt_rmt_st *, int64_t count);
	unsigned int flags;
} operations[] = {
	[MTFSF] = { op_fsf, COUNTS },
	[MTBSF] = { op_bsf, MARK_FIRST | BACK | COUNTS },
	[MTFSR] = { op_fsr, COUNTS },
	[MTBSR] = { op_bsr, COUNTS },
	[MTWEOF] = { op_weof, COUNTS },
	[MTREW] = { op_rew, MARK_FIRST | WHEN_LOST },
	[MTOFFL] = { op_unload, MARK_FIRST | WHEN_LOST },
	[MTNOP] = { op_nop, KEEPS },
	[MTRETEN] = { op_rew, WHEN_LOST },
	[MTBSFM] = { op_bsfm, MARK_FIRST | BACK | COUNTS },
	[MTFSFM] = { op_fsfm, COUNTS },
	[MTEOM] = { op_eom, WHEN_LOST },
	[MTERASE] = { op_erase, 0 },
	[MTSEEK] = { op_seek, MARK_FIRST | WHEN_LOST },
	[MTLOAD] = { op_load, WHEN_LOST | ANY_TIME },
	[MTUNLOAD] = { op_unload, 0 },
};

/* NULL: there is none such. */
static const struct operation *find_operation(int op)
{
	if (op < 0 || op >= (int)(sizeof(operations) / sizeof(operations[0])))
		return NULL;
	return operations[op].run ? &operations[op] : NULL;
}

/* st's filemark before it moves away from what was written. */
static int before(struct pmt_rmt_st *st, const struct operation *op, int64_t *count)
{
	int rc = 0;

	if (st->writing && op->flags & MARK_FIRST && !st->lost &&
	    st->ready == PMT_RMT_ST_READY) {
		rc = write_marks(st, 1);
		*count += op->flags & BACK ? 1 : 0;
	}
	if (rc == 0 && !(op->flags & KEEPS))
		st->writing = false;
	return rc;
}

int pmt_rmt_st_op(struct pmt_rmt_st *st, int number, int64_t count)
{
	const struct operation *op = find_operation(number);
	int rc;

	if (st->lost && !(op && op->flags & WHEN_LOST))
		return -EIO;
	if (st->ready != PMT_RMT_ST_READY && !(op && op->flags & ANY_TIME))
		return not_ready(st);
	if (!op) {
		st->writing = false;	/* as st: what it does not know cancels it */
		return -ENOSYS;
	}
	if (op->flags & COUNTS && count > COUNT_MAX)
		count = COUNT_MAX;
	if (op->flags & COUNTS && count < -COUNT_MAX)
		count = -COUNT_MAX;
	rc = before(st, op, &count);
	return rc ? rc : op->run(st, count);
}

/* Writing */

/* 0, or what a write gets without being tried. */
static int at_end(struct pmt_rmt_st *st)
{
	if (st->kept.eof != PMT_RMT_ST_EW)
		return 0;
	if (st->eot == PMT_EOT_ST)
		st->kept.eof = PMT_RMT_ST_EOD1;
	return -ENOSPC;
}

static bool size_fits(const struct pmt_rmt_st *st, size_t count)
{
	return count >= st->limits.record_min && count <= st->limits.record_max;
}

static ssize_t wrote(struct pmt_rmt_st *st, const struct pmt_result *res, size_t count)
{
	bool warned = res->sense & PMT_SENSE_EOM && !st->trailer;

	if (is_good(res)) {
		count_blocks(st, 1);
		if (warned || (st->kept.eof == PMT_RMT_ST_EOD1 && !st->trailer))
			st->kept.eof = PMT_RMT_ST_EW;
		else
			st->kept.eof = PMT_RMT_ST_NONE;
		return (ssize_t)count;
	}
	if (res->key != PMT_KEY_OVERFLOW) {
		st->kept.block = -1;
		return -EIO;
	}
	st->kept.eof = PMT_RMT_ST_EW;
	return -ENOSPC;
}

ssize_t pmt_rmt_st_write(struct pmt_rmt_st *st, void *data, size_t count)
{
	struct pmt_command cmd;
	struct pmt_result res;
	int rc = st->writes ? usable(st) : -EBADF;

	if (rc || !count)
		return rc;
	if (!size_fits(st, count))
		return -EINVAL;
	if (st->protected)
		return -EACCES;
	rc = at_end(st);
	if (rc)
		return rc;
	cmd = prepare(st, PMT_OP_WRITE);
	cmd.length = (uint32_t)count;
	res = command(st, &cmd, data);
	st->writing = true;
	return wrote(st, &res, count);
}

/* Reading */

/* What an earlier read or write has already found out: 1 nothing, else result. */
static int read_known(struct pmt_rmt_st *st)
{
	switch (st->kept.eof) {
	case PMT_RMT_ST_EOD1:
		st->kept.eof = PMT_RMT_ST_EOD2;
		return 0;
	case PMT_RMT_ST_EOD2:
		st->kept.eof = PMT_RMT_ST_EOD3;
		return 0;
	case PMT_RMT_ST_EOD3:
		return -EIO;
	default:
		return 1;
	}
}

/* A READ that met an exception: 0 or -errno. */
static int read_check(struct pmt_rmt_st *st, const struct pmt_result *res)
{
	if (st->lost)
		return -EIO;
	if (res->key == PMT_KEY_NONE && res->sense & PMT_SENSE_ILI) {
		count_blocks(st, 1);
		return -ENOMEM;
	}
	if (res->sense & PMT_SENSE_FILEMARK) {
		count_files(st, 1);
		st->kept.block = 0;
		st->kept.eof = PMT_RMT_ST_AT_FM;
		return 0;
	}
	st->kept.block = -1;
	if (!met_eod(res) || st->kept.eof != PMT_RMT_ST_AT_FM)
		return -EIO;
	st->kept.eof = PMT_RMT_ST_EOD3;
	return 0;
}

ssize_t pmt_rmt_st_read(struct pmt_rmt_st *st, void *data, size_t count)
{
	struct pmt_command cmd;
	struct pmt_result res;
	int rc = st->reads ? usable(st) : -EBADF;

	if (rc || !count)
		return rc;
	if (!size_fits(st, count))
		return -EINVAL;
	st->writing = false;	/* as st: no mark, not at close either */
	rc = read_known(st);
	if (rc <= 0)
		return rc;
	cmd = prepare(st, PMT_OP_READ);
	cmd.length = (uint32_t)count;
	res = command(st, &cmd, data);
	if (!is_good(&res))
		return read_check(st, &res);
	count_blocks(st, 1);
	if (st->kept.eof == PMT_RMT_ST_AT_FM)
		st->kept.eof = PMT_RMT_ST_NONE;
	return (ssize_t)count - (ssize_t)res.residue;
}

/* MTIOCGET, MTIOCPOS */

static int64_t gstat(const struct pmt_rmt_st *st)
{
	int64_t bits = GMT_IM_REP_EN(~0L);

	if (!st->kept.block)
		bits |= st->kept.file ? GMT_EOF(~0L) : GMT_BOT(~0L);
	if (st->kept.eof == PMT_RMT_ST_EW)
		bits |= GMT_EOT(~0L);
	else if (st->kept.eof >= PMT_RMT_ST_EOD1)
		bits |= GMT_EOD(~0L);
	if (st->kept.cleaning)
		bits |= GMT_CLN(~0L);
	if (st->ready == PMT_RMT_ST_NO_TAPE)
		bits |= GMT_DR_OPEN(~0L);
	if (st->ready != PMT_RMT_ST_READY)
		return bits;
	if (st->protected)
		bits |= GMT_WR_PROT(~0L);
	return bits | GMT_ONLINE(~0L);
}

int pmt_rmt_st_status(struct pmt_rmt_st *st, struct pmt_rmt_status *status)
{
	*status = (struct pmt_rmt_status){
		.type = MT_ISSCSI2,
		.resid = st->ready == PMT_RMT_ST_READY ? st->place.partition : 0,
		.dsreg = st->medium_seen ? (int64_t)st->density << MT_ST_DENSITY_SHIFT : 0,
		.gstat = gstat(st),
		.erreg = st->kept.recovered,
		.file = st->kept.file,
		.block = st->kept.block,
	};
	st->kept.recovered = 0;
	return 0;
}

int pmt_rmt_st_tell(struct pmt_rmt_st *st, int64_t *lbn)
{
	if (usable(st) || st->place.lbn == PMT_UNKNOWN)
		return -EIO;
	if (!st->place.lbn)
		st->kept.file = st->kept.block = 0;
	*lbn = (int64_t)st->place.lbn;
	return 0;
}

/* Open and close */

static void log_event(const struct pmt_session *session, unsigned int event,
		      const char *text)
{
	(void)session;
	(void)event;
	pmt_log(LOG_ERR, "%s", text);
}

static void attach_to(struct pmt_rmt_st *st)
{
	st->attached = (struct pmt_session){
		.unit_id = st->kept.unit_id,
		.place = st->kept.place,
		.cookie = st->kept.cookie,
		.depth = 1,
		.event = log_event,
		.context = st,
	};
	memcpy(st->attached.medium, st->kept.medium, sizeof(st->attached.medium));
}

/*
 * Somebody has put another cartridge in while nobody had the tape open: the next
 * session, at its beginning.  Copies that a mirror has dropped stay so (cookie).
 */
static void take_another_medium(struct pmt_rmt_st *st)
{
	uint64_t next = st->kept.place.generation + 1;

	st->kept.place = (struct pmt_place){ .generation = next };
	memset(st->kept.medium, 0, sizeof(st->kept.medium));
	st->kept.busy = false;
	st->place = st->kept.place;
	attach_to(st);
}

static int attach(struct pmt_rmt_st *st)
{
	int rc;

	attach_to(st);
	rc = pmt_drive_attach(st->drive, &st->attached);
	if (rc != -ESTALE)
		return rc;
	take_another_medium(st);
	return pmt_drive_attach(st->drive, &st->attached);
}

/* The medium is known; may it be used so? */
static int admit(struct pmt_rmt_st *st)
{
	if (st->ready != PMT_RMT_ST_READY)
		return st->nonblock ? 0 : not_ready(st);
	if (st->protected && st->writes && !st->nonblock)
		return -EROFS;
	/* Whoever died in the middle left it somewhere; this name rewinds. */
	return st->lost && st->rewind ? op_rew(st, 1) : 0;
}

int pmt_rmt_st_open(struct pmt_rmt_st *st, struct pmt_drive *drive,
		const struct pmt_rmt_st_kept *kept, int flags)
{
	int access = flags & O_ACCMODE, rc;

	st->drive = drive;
	st->kept = *kept;
	st->place = kept->place;
	st->number = 0;
	st->reads = access != O_WRONLY;
	st->writes = access != O_RDONLY;
	st->writing = st->trailer = st->lost = st->unloaded = false;
	st->nonblock = flags & O_NONBLOCK;
	st->protected = st->medium_seen = false;
	st->positioned = true;
	rc = attach(st);
	if (rc)
		return rc;
	pmt_drive_limits(drive, &st->limits);
	if (st->kept.busy)
		lose_position(st);
	rc = test(st);
	if (rc == 0)
		rc = admit(st);
	if (rc)
		pmt_drive_detach(drive);
	return rc;
}

/* The automatic filemark.  If it fails, the counters are as they were. */
static int finish_writing(struct pmt_rmt_st *st)
{
	struct pmt_rmt_st_kept saved = st->kept;
	int rc = write_marks(st, 1);

	if (rc == 0) {
		st->kept.eof = PMT_RMT_ST_AT_FM;
	} else if (!st->lost) {
		st->kept.file = saved.file;
		st->kept.block = saved.block;
		st->kept.eof = saved.eof;
	}
	return rc;
}

static int finish(struct pmt_rmt_st *st)
{
	bool lost = st->lost;
	int rc = 0, rewound = 0;

	if (st->writing && !lost && st->ready == PMT_RMT_ST_READY)
		rc = finish_writing(st);
	else if (lost)
		rc = st->rewind ? 0 : -EIO;
	if (st->rewind && !st->unloaded)
		rewound = st->ready == PMT_RMT_ST_READY ? op_rew(st, 1) : not_ready(st);
	/* Who has lost it stays so, as under st, until it is rewound on purpose. */
	if (lost)
		lose_position(st);
	return rc ? rc : rewound;
}

int pmt_rmt_st_close(struct pmt_rmt_st *st)
{
	int rc = finish(st);

	st->writing = false;
	pmt_drive_detach(st->drive);
	/* The next open finds it lost, as it is. */
	st->kept.busy = st->lost;
	if (!st->lost)
		st->kept.place = st->place;
	return rc;
}
