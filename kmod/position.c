// SPDX-License-Identifier: GPL-2.0
/*
 * Where the tape stands, and what it stands at: the state machine of positions
 * and flags.  Nothing here talks to the server; the others bring results, and
 * are told what the program gets.
 *
 * Two sets of positions are kept.  tape->place is the true one, for commands
 * (law: each command names its place).  file and block are what MTIOCGET tells,
 * with st's habits: unknown is -1, residues are counted, not looked up; both are
 * of the partition that the tape is in.
 *
 * eof is st's automaton.  It survives close; motion and marks set it anew.
 *
 *	writing	NONE -> EW	by the record that met early warning
 *		EW -> EOD1	by the next write, which gets ENOSPC
 *		EOD1 -> EW	by the one after, which is let through; and so on
 *		EW		stays, with eot=hold, and every write gets ENOSPC
 *				until a mark is written: then trailers pass
 *		EWERR		what was acknowledged is lost: EIO until motion
 *	reading	-> AT_FM	by a mark, which reads as 0
 *		AT_FM -> EOD3	by end of data behind it, which reads as one more 0
 *		EOD3		reads as EIO; so does end of data met elsewhere
 *		-> FM_PENDING	by a mark behind blocks that were read (fixed mode):
 *				the next read gets 0.  The tape stands before the
 *				mark, so that for everything else it was not met.
 *		EOD1, EOD2	(written up to the end) read as 0 each, then EOD3
 *	motion	-> AT_FM	over marks forward, or into one by records
 *		-> EOD3		to end of data
 *		-> NONE		elsewhere
 *
 * lost: nobody knows the place (a reset, an abort, a server that came back with nothing).
 * All but repositioning fails then.
 */
#include <linux/minmax.h>
#include <linux/string.h>

#include "pmtm.h"

static void pmtm_count_files(struct pmtm_tape *tape, int marks)
{
	if (tape->file >= 0)
		tape->file += marks;
}

static void pmtm_count_blocks(struct pmtm_tape *tape, int records)
{
	if (tape->block >= 0)
		tape->block += records;
}

static int pmtm_known(u64 value)
{
	return value == PMT_UNKNOWN ? -1 : (int)min_t(u64, value, INT_MAX);
}

void pmtm_advance(struct pmt_place *place, u32 records)
{
	if (place->lbn != PMT_UNKNOWN)
		place->lbn += records;
	if (place->block != PMT_UNKNOWN)
		place->block += records;
}

void pmtm_pass_marks(struct pmt_place *place, u32 marks)
{
	if (!marks)
		return;
	if (place->lbn != PMT_UNKNOWN)
		place->lbn += marks;
	if (place->file != PMT_UNKNOWN)
		place->file += marks;
	place->block = 0;
}

/* ---- known, unknown, lost ---- */

void pmtm_at_beginning(struct pmtm_tape *tape)
{
	tape->file = 0;
	tape->block = 0;
	tape->eof = PMTM_NONE;
	tape->lost = false;
	tape->trailer = false;
}

/* It is somewhere; st does not tell where. */
void pmtm_no_position(struct pmtm_tape *tape)
{
	tape->file = -1;
	tape->block = -1;
	tape->eof = PMTM_NONE;
}

/* Where the other partitions were left means nothing: nor is a mark due there. */
void pmtm_forget_partitions(struct pmtm_tape *tape)
{
	memset(tape->left_at, 0, sizeof(tape->left_at));
	memset(tape->left_writing, 0, sizeof(tape->left_writing));
}

/*
 * A motion from that place has ended.  Where it led to another partition a mark that is
 * due is so there, and none is due here; the switch of partitions knows better.
 */
void pmtm_left(struct pmtm_tape *tape, u32 from, u64 lbn)
{
	u32 to = tape->place.partition;

	if (tape->lost)
		return;
	if (to < PMTM_PARTITIONS)
		tape->left_writing[to] = false;
	if (to == from) {
		if (tape->place.lbn != lbn)
			tape->direction = PMTM_IDLE;
		return;
	}
	if (from < PMTM_PARTITIONS) {
		tape->left_at[from] = lbn == PMT_UNKNOWN ? 0 : lbn;
		tape->left_writing[from] = tape->direction == PMTM_WRITING &&
					   lbn != PMT_UNKNOWN;
	}
	tape->direction = PMTM_IDLE;
}

void pmtm_lose_position(struct pmtm_tape *tape)
{
	pmtm_no_position(tape);
	pmtm_forget_partitions(tape);
	tape->lost = true;
	tape->rewind_owed = false;
	tape->place.lbn = PMT_UNKNOWN;
	tape->place.file = PMT_UNKNOWN;
	tape->place.block = PMT_UNKNOWN;
}

/* A place that only the drive's word tells of. */
void pmtm_told(struct pmtm_tape *tape, const struct pmt_place *place)
{
	tape->place = *place;
	tape->file = pmtm_known(place->file);
	tape->block = pmtm_known(place->block);
	tape->eof = PMTM_NONE;
	tape->trailer = false;
}

/*
 * The unit was aborted, and may come back with another medium, in that generation: the
 * program has to say where it wants to be, and on which.  So has the next one that opens,
 * where there was a medium.  What was written gets no mark any more.
 */
void pmtm_forget(struct pmtm_tape *tape, u64 generation)
{
	bool running = tape->session == tape->place.generation;

	tape->forgot = generation;
	if (tape->direction == PMTM_WRITING && !tape->deferred)
		tape->deferred = -EIO;
	pmtm_lose_position(tape);
	tape->partition_wanted = 0;
	tape->place.partition = 0;
	tape->place.generation = max(tape->place.generation, generation);
	tape->session = running ? tape->place.generation : 0;
}

/* Another medium, or the first one that this unit sees. */
void pmtm_new_session(struct pmtm_tape *tape, const struct pmt_result *res)
{
	tape->session = res->place.generation;
	pmtm_told(tape, &res->place);
	tape->partition_wanted = 0;
	if (pmtm_option(tape, MT_ST_CAN_PARTITIONS) &&
	    res->place.partition < PMTM_PARTITIONS)
		tape->partition_wanted = res->place.partition;
	pmtm_forget_partitions(tape);
	tape->lost = false;
	tape->rewind_owed = false;
	tape->no_lock = false;
	tape->positioned = true;
	tape->largest = 0;
}

/* What any result may say besides its own matter. */
void pmtm_look(struct pmtm_tape *tape, const struct pmt_result *res)
{
	tape->recovered += res->key == PMT_KEY_RECOVERED;
	if (!res->asc && res->ascq == 0x17)
		tape->cleaning = true;
	if (res->status != PMT_STATUS_CHECK)
		return;
	if (tape->options & MT_ST_DEBUGGING)
		dev_info_ratelimited(&tape->unit->dev,
				     "command %u: key %x, %02x/%02x, flags %x\n",
				     res->number, res->key, res->asc, res->ascq,
				     res->sense);
	if (res->key != PMT_KEY_ATTENTION)
		return;
	if (res->asc == 0x29)
		pmtm_lose_position(tape);
	else if (res->asc == 0x28)
		tape->session = 0;	/* the next open or load begins one */
}

/* ---- writing ---- */

/* The mode that the unit is in decides whether a warning holds writes off. */
bool pmtm_warns(const struct pmtm_tape *tape, const struct pmt_result *res)
{
	return res->sense & PMT_SENSE_EOM && !tape->trailer;
}

/* Before a write: 0, or what it gets without being tried. */
int pmtm_at_end(struct pmtm_tape *tape, enum pmt_eot eot)
{
	if (tape->eof == PMTM_EWERR)
		return -EIO;
	if (tape->eof != PMTM_EW)
		return 0;
	if (eot == PMT_EOT_ST)
		tape->eof = PMTM_EOD1;
	return -ENOSPC;
}

static void pmtm_write_went_well(struct pmtm_tape *tape, bool warned)
{
	if (warned || (tape->eof == PMTM_EOD1 && !tape->trailer))
		tape->eof = PMTM_EW;
	else if (tape->eof != PMTM_EW)
		tape->eof = PMTM_NONE;
}

/* Records that are in the ring, and count as written. */
void pmtm_acknowledged_record(struct pmtm_tape *tape, u32 records)
{
	pmtm_advance(&tape->place, records);
	pmtm_count_blocks(tape, records);
	if (tape->eof != PMTM_EW)
		tape->eof = PMTM_NONE;
}

/* The result of a write that was waited for: records written, or -errno. */
int pmtm_wrote(struct pmtm_tape *tape, const struct pmt_command *cmd,
	       const struct pmt_result *res)
{
	u32 records = pmt_command_blocks(cmd);
	u32 done = cmd->block_size ? records - res->residue : 0;

	if (res->status == PMT_STATUS_GOOD) {
		pmtm_count_blocks(tape, records);
		pmtm_write_went_well(tape, pmtm_warns(tape, res));
		return records;
	}
	if (res->key != PMT_KEY_OVERFLOW) {
		tape->block = -1;
		return -EIO;
	}
	pmtm_count_blocks(tape, done);
	tape->eof = PMTM_EW;
	return done ?: -ENOSPC;
}

/* A record or mark that counted as written is not there. */
void pmtm_failed_late(struct pmtm_tape *tape, const struct pmt_result *res)
{
	tape->block = -1;
	if (res->status == PMT_STATUS_CANCELLED) {
		pmtm_lose_position(tape);
		return;
	}
	if (tape->lost)
		return;
	tape->place = res->place;
	if (res->place.file != PMT_UNKNOWN)
		tape->file = pmtm_known(res->place.file);
	if (tape->direction == PMTM_WRITING)
		tape->eof = PMTM_EWERR;
}

/* ---- marks ---- */

void pmtm_marked(struct pmtm_tape *tape, u32 count)
{
	pmtm_count_files(tape, count);
	tape->block = 0;
	tape->eof = PMTM_NONE;
}

/* At the physical end those count that were written. */
void pmtm_marks_failed(struct pmtm_tape *tape, u32 count, const struct pmt_result *res)
{
	u32 done = count - res->residue;

	tape->eof = PMTM_NONE;
	if (res->key != PMT_KEY_OVERFLOW)
		return;
	pmtm_count_files(tape, done);
	tape->block = 0;
	if (!done)
		tape->eof = PMTM_EW;
}

/* ---- reading ---- */

int pmtm_read_mark(struct pmtm_tape *tape)
{
	pmtm_count_files(tape, 1);
	tape->block = 0;
	tape->eof = PMTM_AT_FM;
	return 0;
}

/* What an earlier read or write has already found out: 1 nothing, else result. */
int pmtm_read_known(struct pmtm_tape *tape)
{
	switch (tape->eof) {
	case PMTM_FM_PENDING:
		pmtm_pass_marks(&tape->place, 1);
		return pmtm_read_mark(tape);
	case PMTM_EOD1:
		tape->eof = PMTM_EOD2;
		return 0;
	case PMTM_EOD2:
		tape->eof = PMTM_EOD3;
		return 0;
	case PMTM_EOD3:
		return -EIO;
	default:
		return 1;
	}
}

void pmtm_read_records(struct pmtm_tape *tape, u32 records)
{
	pmtm_count_blocks(tape, records);
	if (tape->eof == PMTM_AT_FM)
		tape->eof = PMTM_NONE;
}

/* End of data was met where a record was asked for: 0 or -EIO for the caller. */
static int pmtm_read_eod(struct pmtm_tape *tape)
{
	tape->block = -1;
	if (tape->eof != PMTM_AT_FM)
		return -EIO;
	tape->eof = PMTM_EOD3;
	return 0;
}

static int pmtm_read_nothing(struct pmtm_tape *tape, const struct pmt_result *res)
{
	if (res->sense & PMT_SENSE_FILEMARK)
		return pmtm_read_mark(tape);
	if (res->key == PMT_KEY_BLANK)
		return pmtm_read_eod(tape);
	tape->block = -1;
	return -EIO;
}

static bool pmtm_wrong_size(const struct pmt_result *res)
{
	return res->key == PMT_KEY_NONE && res->sense & PMT_SENSE_ILI;
}

/*
 * In fixed mode, with blocks before the exception: those count, and the place is
 * theirs.  So it is if earlier bytes of this read(2) were given.  What stopped
 * it is met again by the next read.
 */
static bool pmtm_read_some(struct pmtm_tape *tape, const struct pmt_command *cmd,
			   const struct pmt_result *res, u32 blocks)
{
	bool mark = res->sense & PMT_SENSE_FILEMARK;
	bool stopped = mark || res->key == PMT_KEY_BLANK || pmtm_wrong_size(res);

	if (!blocks && !(tape->given && stopped))
		return false;
	tape->place = cmd->place;
	pmtm_advance(&tape->place, blocks);
	pmtm_count_blocks(tape, blocks);
	tape->eof = mark ? PMTM_FM_PENDING : PMTM_NONE;
	return true;
}

/* A READ that met an exception behind so many blocks: 0, or -errno. */
int pmtm_read_check(struct pmtm_tape *tape, const struct pmt_command *cmd,
		    const struct pmt_result *res, u32 blocks)
{
	bool fixed = cmd->block_size;

	if (tape->lost)
		return -EIO;
	if (fixed && pmtm_read_some(tape, cmd, res, blocks))
		return 0;
	if (!pmtm_wrong_size(res))
		return pmtm_read_nothing(tape, res);
	if (!fixed) {
		pmtm_count_blocks(tape, 1);
		return -ENOMEM;
	}
	tape->place = cmd->place;
	tape->eof = PMTM_NONE;
	return -EIO;
}

/* ---- motion ---- */

/* Units that were spaced, of count; what was not done is never negative. */
static int pmtm_moved(int count, const struct pmt_result *res)
{
	return count < 0 ? count + (int)res->residue : count - (int)res->residue;
}

static bool pmtm_met_eod(const struct pmt_result *res)
{
	return res->key == PMT_KEY_BLANK;
}

/* A motion failed that leaves the counters: -EIO.  Lost stays lost. */
void pmtm_moved_nothing(struct pmtm_tape *tape, const struct pmt_result *res)
{
	tape->eof = pmtm_met_eod(res) ? PMTM_EOD3 : PMTM_NONE;
}

/* count marks forward, to behind the last one: 0 or -EIO. */
int pmtm_spaced_marks(struct pmtm_tape *tape, int count, const struct pmt_result *res)
{
	if (tape->lost)
		return -EIO;
	if (res->status == PMT_STATUS_GOOD) {
		pmtm_count_files(tape, count);
		tape->block = 0;
		tape->eof = PMTM_AT_FM;
		return 0;
	}
	pmtm_count_files(tape, pmtm_moved(count, res));
	tape->block = -1;
	tape->eof = pmtm_met_eod(res) ? PMTM_EOD3 : PMTM_NONE;
	return -EIO;
}

/* count marks back, to before the last one. */
int pmtm_spaced_back(struct pmtm_tape *tape, int count, const struct pmt_result *res)
{
	if (tape->lost)
		return -EIO;
	tape->eof = PMTM_NONE;
	if (res->status == PMT_STATUS_GOOD) {
		pmtm_count_files(tape, -count);
		tape->block = -1;
		return 0;
	}
	pmtm_count_files(tape, -pmtm_moved(count, res));
	tape->block = 0;
	if (pmtm_met_eod(res))
		pmtm_at_eod(tape, tape->file);
	return -EIO;
}

/* count records, negative: back.  A mark that is met is crossed. */
int pmtm_spaced_records(struct pmtm_tape *tape, int count,
			const struct pmt_result *res)
{
	if (tape->lost)
		return -EIO;
	tape->eof = PMTM_NONE;
	if (res->status == PMT_STATUS_GOOD) {
		pmtm_count_blocks(tape, count);
		return 0;
	}
	if (res->sense & PMT_SENSE_FILEMARK) {
		pmtm_count_files(tape, count < 0 ? -1 : 1);
		tape->block = count < 0 ? -1 : 0;
		tape->eof = count < 0 ? PMTM_NONE : PMTM_AT_FM;
	} else if (count < 0 && res->sense & PMT_SENSE_EOM) {
		tape->block = 0;
	} else {
		pmtm_count_blocks(tape, pmtm_moved(count, res));
		if (pmtm_met_eod(res))
			tape->eof = PMTM_EOD3;
	}
	return -EIO;
}

void pmtm_at_eod(struct pmtm_tape *tape, int file)
{
	tape->file = file;
	tape->block = -1;
	tape->eof = PMTM_EOD3;
}

/* ---- MTIOCGET ---- */

long pmtm_gstat(const struct pmtm_tape *tape)
{
	bool ready = tape->ready == PMTM_READY;
	long gstat = 0;

	if (!tape->block)
		gstat |= tape->file ? GMT_EOF(~0L) : GMT_BOT(~0L);
	if (tape->eof == PMTM_EW || tape->eof == PMTM_EWERR)
		gstat |= GMT_EOT(~0L);
	else if (tape->eof >= PMTM_EOD1)
		gstat |= GMT_EOD(~0L);
	if (tape->protected && ready)
		gstat |= GMT_WR_PROT(~0L);
	if (ready)
		gstat |= GMT_ONLINE(~0L);
	if (tape->ready == PMTM_NO_TAPE)
		gstat |= GMT_DR_OPEN(~0L);
	if (pmtm_option(tape, MT_ST_ASYNC_WRITES) || tape->modes.buffered ||
	    (pmtm_option(tape, MT_ST_BUFFER_WRITES) && tape->modes.block_size))
		gstat |= GMT_IM_REP_EN(~0L);
	if (tape->cleaning)
		gstat |= GMT_CLN(~0L);
	if (tape->medium_seen && tape->density >= 1 && tape->density <= 3)
		gstat |= GMT_D_800(~0L) << (tape->density - 1);
	return gstat;
}
