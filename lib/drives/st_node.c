// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The node of a tape drive: what st is told, what it tells, and what it hides.
 *
 * st gives one errno for many things.  EIO is an error of the medium, end of data,
 * a filemark that was crossed, a reset, or another cartridge; what it was is
 * found by asking: the drive (TEST UNIT READY by SG_IO, where that is allowed), its
 * place (READ POSITION), and st's own counters.
 *
 * The node is opened with O_NONBLOCK: so it opens without a cartridge, and no
 * call waits two minutes for one.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <scsi/sg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <time.h>

#include "st.h"

#define ST_MAJOR	9
#define ST_NO_REWIND	0x80		/* of the minor number */
#define OPEN_WAIT	100		/* ms between tries */
#define OPEN_TRIES	100
#define ATTENTIONS	10		/* one behind the other, at most */
#define TIMEOUT		60000		/* ms, of a command of ours */
/* What the block layer allows by default says nothing of the host. */
#define HOST_DEFAULT	(1280u << 10)
/* st maps 256 pages at once, one more if they do not begin on a page. */
#define DIRECT_MAX	((1u << 20) - PMT_PAGE)

/* ---- calls ---- */

static int system_open(struct pmt_st *tape, int flags)
{
	int fd = open(tape->path, flags | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && major(st.st_rdev) == ST_MAJOR &&
	    (minor(st.st_rdev) & ST_NO_REWIND))
		return fd;
	close(fd);
	return -ENOTTY;
}

static void system_close(struct pmt_st *st)
{
	close(st->fd);
}

static ssize_t system_read(struct pmt_st *st, void *buffer, size_t size)
{
	ssize_t n = read(st->fd, buffer, size);

	return n < 0 ? -errno : n;
}

static ssize_t system_write(struct pmt_st *st, const void *data, size_t length)
{
	ssize_t n = write(st->fd, data, length);

	return n < 0 ? -errno : n;
}

static int system_ioctl(struct pmt_st *st, unsigned long request, void *argument)
{
	int rc = ioctl(st->fd, request, argument);

	return rc < 0 ? -errno : rc;
}

static void system_wait(unsigned int ms)
{
	struct timespec time = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&time, NULL);
}

const struct pmt_st_calls pmt_st_system = {
	.open = system_open,
	.close = system_close,
	.read = system_read,
	.write = system_write,
	.ioctl = system_ioctl,
	.wait = system_wait,
	.keeps = true,
};

/* ---- the node ---- */

void pmt_st_close(struct pmt_st *st)
{
	if (st->fd < 0)
		return;
	pmt_st_idle(st);
	st->calls->close(st);
	st->fd = -1;
}

void pmt_st_keep(struct pmt_st *st)
{
	if (st->keeper && !st->kept)
		st->keeper->keep(st->keeper->context, st->name, st->fd);
	st->kept = true;
}

void pmt_st_drop(struct pmt_st *st)
{
	if (st->keeper)
		st->keeper->drop(st->keeper->context, st->name);
	st->kept = false;
}

/*
 * Whoever had it may be about to close it: a server that was killed, whose st
 * still writes its filemark.
 */
int pmt_st_reopen(struct pmt_st *st)
{
	int tries = 0;

	pmt_st_close(st);
	pmt_st_drop(st);
	do {
		st->fd = st->calls->open(st, O_RDWR | O_NONBLOCK);
		if (st->fd != -EBUSY)
			break;
		st->calls->wait(OPEN_WAIT);
	} while (++tries < OPEN_TRIES);
	st->writing = false;
	st->block_size = PMT_UNKNOWN;
	if (st->fd >= 0)
		return 0;
	if (st->fd == -ENOTTY)
		pmt_log(LOG_ERR, "%s: is no tape drive's node that does not rewind; "
			"wanted is one as /dev/nst0", st->path);
	else
		pmt_log(LOG_ERR, "%s: %s", st->path, strerror(-st->fd));
	return st->fd;
}

/*
 * What was kept may have been written to by who was killed: st would write its
 * mark before the first motion.  It is of no use if the drive went meanwhile, or has
 * another cartridge, which st has to see; the drive tells that this once.
 */
static bool take_kept(struct pmt_st *st, struct pmt_place *place)
{
	unsigned long long lbn, file, block;
	struct mtget status;
	char state[80];
	unsigned int partition;
	int rc;

	if (!st->keeper)
		return false;
	st->fd = st->keeper->take(st->keeper->context, st->name, state, sizeof(state));
	if (st->fd < 0)
		return false;
	st->writing = true;
	st->block_size = PMT_UNKNOWN;
	if (pmt_st_status(st, &status))
		return false;
	rc = pmt_st_test(st);
	st->removed = rc == -ESTALE || rc == -ENOMEDIUM;
	if (st->removed)
		return false;
	st->kept = true;
	if (rc == -ECONNRESET)
		state[0] = '\0';
	if (sscanf(state, "%llu %llu %llu %u", &lbn, &file, &block, &partition) == 4)
		*place = (struct pmt_place){ .lbn = lbn, .file = file, .block = block,
					     .partition = partition };
	pmt_log(LOG_INFO, "%s: goes on by the descriptor that was kept", st->path);
	return true;
}

int pmt_st_open_node(struct pmt_st *st, struct pmt_place *place)
{
	*place = (struct pmt_place){ .lbn = PMT_UNKNOWN, .file = PMT_UNKNOWN,
				     .block = PMT_UNKNOWN };
	return take_kept(st, place) ? 0 : pmt_st_reopen(st);
}

void pmt_st_leave(struct pmt_st *st)
{
	const struct pmt_place *place = &st->leaf.place;
	char state[80];

	snprintf(state, sizeof(state), "%llu %llu %llu %u",
		 (unsigned long long)place->lbn, (unsigned long long)place->file,
		 (unsigned long long)place->block, place->partition);
	if (st->keeper && st->fd >= 0)
		st->keeper->leave(st->keeper->context, st->name, state);
	pmt_st_close(st);
}

int pmt_st_op(struct pmt_st *st, short op, int count)
{
	struct mtop argument = { .mt_op = op, .mt_count = count };
	int rc = st->fd < 0 ? -ENOMEDIUM : st->calls->ioctl(st, MTIOCTOP, &argument);

	return rc > 0 ? -EIO : rc;
}

int pmt_st_op_again(struct pmt_st *st, short op, int count)
{
	int rc = pmt_st_op(st, op, count);

	return rc == -EIO ? pmt_st_op(st, op, count) : rc;
}

int pmt_st_status(struct pmt_st *st, struct mtget *status)
{
	memset(status, 0, sizeof(*status));
	status->mt_fileno = status->mt_blkno = -1;
	return st->fd < 0 ? -ENOMEDIUM : st->calls->ioctl(st, MTIOCGET, status);
}

int pmt_st_lbn(struct pmt_st *st, __u64 *lbn)
{
	struct mtpos position = { 0 };
	int rc;

	if (!st->positions)
		return -ENOTSUP;
	rc = st->calls->ioctl(st, MTIOCPOS, &position);
	if (rc < 0)
		return rc;
	*lbn = (uint32_t)position.mt_blkno;
	return 0;
}

void pmt_st_where(struct pmt_st *st)
{
	struct pmt_place *place = &st->leaf.place;
	uint32_t partition;
	bool told = pmt_st_partition(st, &partition) == 0;

	if (!told || partition != place->partition)
		st->leaf.eod = PMT_UNKNOWN;
	if (told)
		place->partition = partition;
	place->file = place->block = PMT_UNKNOWN;
	st->leaf.stands = false;
	if (!told || pmt_st_lbn(st, &place->lbn))
		place->lbn = PMT_UNKNOWN;
	else if (place->lbn == 0)
		place->file = place->block = 0;
}

bool pmt_st_astray(struct pmt_st *st, const struct pmt_place *from, bool back)
{
	uint32_t partition;
	__u64 now;

	if (pmt_st_partition(st, &partition) || partition != from->partition)
		return true;
	if (from->lbn == PMT_UNKNOWN || pmt_st_lbn(st, &now))
		return false;
	return back ? now > from->lbn : now < from->lbn;
}

/*
 * st writes a filemark at close, and before it rewinds, goes to a block or back
 * over marks, if the last thing was a write; here all marks are commands.  An
 * operation that st does not have is refused, without a word to the drive, and
 * ends its writing.
 */
void pmt_st_idle(struct pmt_st *st)
{
	if (st->writing)
		pmt_st_op(st, MTTELL, 1);
	st->writing = false;
}

int pmt_st_set_block_size(struct pmt_st *st, uint32_t size)
{
	int rc;

	if (st->block_size == size)
		return 0;
	rc = pmt_st_op(st, MTSETBLK, (int)size);
	st->block_size = rc ? PMT_UNKNOWN : size;
	return rc;
}

int pmt_st_set_options(struct pmt_st *st)
{
	/* Whole blocks and records, at once, and told at once; marks as commanded. */
	const int off = MT_ST_BUFFER_WRITES | MT_ST_ASYNC_WRITES | MT_ST_READ_AHEAD |
			MT_ST_TWO_FM | MT_ST_FAST_MTEOM | MT_ST_AUTO_LOCK |
			MT_ST_DEF_WRITES | MT_ST_NO_BLKLIMS | MT_ST_CAN_PARTITIONS |
			MT_ST_SYSV | MT_ST_NOWAIT | MT_ST_NOWAIT_EOF | MT_ST_SILI;
	int rc = pmt_st_op(st, MTSETDRVBUFFER, (int)(MT_ST_CLEARBOOLEANS | off));

	if (rc == 0)
		rc = pmt_st_op(st, MTSETDRVBUFFER,
			       MT_ST_SETBOOLEANS | MT_ST_SCSI2LOGICAL);
	if (rc)
		pmt_log(LOG_ERR, "%s: st does not take its options: %s", st->path,
			strerror(-rc));
	return rc;
}

/* ---- SCSI commands of our own ---- */

struct sense {
	uint8_t key, asc, ascq;
};

/* 0, -EIO with *sense (key 0: there is none), -ENOTSUP. */
static int scsi(struct pmt_st *st, const uint8_t *cdb, uint8_t cdb_length, void *buffer,
		unsigned int size, struct sense *sense)
{
	uint8_t told[32] = { 0 }, command[16] = { 0 };
	sg_io_hdr_t io = {
		.interface_id = 'S',
		.dxfer_direction = size ? SG_DXFER_FROM_DEV : SG_DXFER_NONE,
		.cmd_len = cdb_length,
		.mx_sb_len = sizeof(told),
		.dxfer_len = size,
		.dxferp = buffer,
		.cmdp = command,
		.sbp = told,
		.timeout = TIMEOUT,
	};
	int rc;

	memset(sense, 0, sizeof(*sense));
	memcpy(command, cdb, cdb_length);
	if (!st->passes || st->fd < 0)
		return -ENOTSUP;
	rc = st->calls->ioctl(st, SG_IO, &io);
	if (rc == -EPERM || rc == -ENOTTY || rc == -EINVAL) {
		pmt_log(LOG_NOTICE, "%s: SCSI commands are not allowed (%s): limits and "
			"changes of the cartridge are known as far as st tells", st->path,
			strerror(-rc));
		st->passes = false;
	}
	if (rc < 0)
		return -ENOTSUP;
	if (!io.status && !io.host_status && !(io.driver_status & 0xf))
		return 0;
	if (io.sb_len_wr >= 14 && (told[0] & 0x7e) == 0x70)
		*sense = (struct sense){ told[2] & 0xf, told[12], told[13] };
	return -EIO;
}

/* What the drive says once: until it is told. */
static bool note_attention(struct pmt_st *st, const struct sense *sense)
{
	if (sense->asc == 0x28)
		st->attention = -ESTALE;
	else if (sense->asc == 0x29 && !st->attention)
		st->attention = -ECONNRESET;
	return sense->asc == 0x28 || sense->asc == 0x29;
}

int pmt_st_ask(struct pmt_st *st, const uint8_t *cdb, uint8_t cdb_length, void *buffer,
	       unsigned int size)
{
	struct sense sense;
	int rc;

	for (int i = 0; i < ATTENTIONS; i++) {
		rc = scsi(st, cdb, cdb_length, buffer, size, &sense);
		if (rc != -EIO || sense.key != PMT_KEY_ATTENTION || note_attention(st, &sense))
			break;
	}
	return rc;
}

int pmt_st_test(struct pmt_st *st)
{
	static const uint8_t test_unit_ready[6] = { 0x00 };
	struct sense sense;

	for (int i = 0; i < ATTENTIONS; i++) {
		int rc = scsi(st, test_unit_ready, 6, NULL, 0, &sense);

		if (rc == 0) {
			rc = st->attention;
			st->attention = 0;
		}
		if (rc != -EIO)
			return rc;
		if (sense.key == PMT_KEY_NOT_READY)
			return sense.asc == 0x3a ? -ENOMEDIUM : -EAGAIN;
		if (sense.key != PMT_KEY_ATTENTION)
			return -EIO;
		note_attention(st, &sense);
	}
	return -EIO;
}

static void ask_host(struct pmt_st *st)
{
	struct pmt_limits *limits = &st->leaf.limits;
	int size = INT_MAX;

	st->transfer = DIRECT_MAX;
	if (st->calls->ioctl(st, SG_SET_RESERVED_SIZE, &size) < 0 ||
	    st->calls->ioctl(st, SG_GET_RESERVED_SIZE, &size) < 0 || size <= 0)
		return;
	if ((uint32_t)size < st->transfer)
		st->transfer = (uint32_t)size;
	if ((uint32_t)size < HOST_DEFAULT && (uint32_t)size < limits->record_max)
		limits->record_max = (uint32_t)size;
}

void pmt_st_ask_limits(struct pmt_st *st)
{
	static const uint8_t read_block_limits[6] = { 0x05 };
	struct pmt_limits *limits = &st->leaf.limits;
	uint32_t most, least;
	struct sense sense;
	uint8_t told[6];
	int rc = scsi(st, read_block_limits, 6, told, sizeof(told), &sense);

	if (rc == -EIO && sense.key == PMT_KEY_ATTENTION)
		rc = scsi(st, read_block_limits, 6, told, sizeof(told), &sense);
	limits->record_min = 1;
	limits->record_max = PMT_RECORD_MAX;
	if (rc == 0) {
		most = (uint32_t)told[1] << 16 | (uint32_t)told[2] << 8 | told[3];
		least = (uint32_t)told[4] << 8 | told[5];
		if (most && most < limits->record_max)
			limits->record_max = most;
		if (least && least <= limits->record_max)
			limits->record_min = least;
	}
	ask_host(st);
}

/* The cartridge's serial number, of its own memory (LTO and the like). */
void pmt_st_ask_identity(struct pmt_st *st)
{
	static const uint8_t read_attribute[16] = {
		0x8c, 0, 0, 0, 0, 0, 0, 0, 0x04, 0x01, 0, 0, 0, 64,
	};
	uint8_t told[64] = { 0 };
	struct sense sense;
	size_t length;

	st->leaf.medium = 0;
	if (scsi(st, read_attribute, 16, told, sizeof(told), &sense))
		return;
	length = (size_t)told[7] << 8 | told[8];
	if (told[4] != 0x04 || told[5] != 0x01 || !length || length > sizeof(told) - 9)
		return;
	st->leaf.medium = (uint64_t)pmt_crc32c(0, told + 9, length) << 32 |
			  pmt_crc32c(0x9e3779b9, told + 9, length);
}

void pmt_st_ask_protection(struct pmt_st *st)
{
	static const uint8_t mode_sense[6] = { 0x1a, 0, 0, 0, 12 };
	uint8_t told[12] = { 0 };
	struct sense sense;

	if (scsi(st, mode_sense, 6, told, sizeof(told), &sense) == 0)
		st->leaf.protected = told[2] & 0x80;
}

/* ---- errors ---- */

static void is_out(struct pmt_st *st)
{
	st->leaf.present = false;
	st->removed = true;
}

static bool is_block_of(const struct pmt_place *a, const struct pmt_place *b)
{
	return a->lbn != PMT_UNKNOWN && a->lbn == b->lbn && a->partition == b->partition;
}

/* EIO, and nothing says what it was: the place does. */
static int look_at_place(struct pmt_st *st, const struct pmt_place *expected)
{
	uint64_t medium = st->leaf.medium;

	pmt_st_where(st);
	if (!st->positions || expected->lbn == PMT_UNKNOWN ||
	    is_block_of(&st->leaf.place, expected))
		return -EIO;
	/* Rewound: by a reset, or it is another cartridge. */
	if (st->leaf.place.lbn == 0) {
		pmt_st_ask_identity(st);
		if (!st->leaf.medium || st->leaf.medium != medium)
			return -ESTALE;
		return -ECONNRESET;
	}
	return -EIO;
}

static int examine(struct pmt_st *st)
{
	struct pmt_place before = st->leaf.place;
	struct pmt_place *now = &st->leaf.place;
	bool protected = st->leaf.protected;
	int rc = pmt_st_test(st);

	if (rc == -ENOMEDIUM) {
		is_out(st);
		return rc;
	}
	if (rc == -ESTALE || rc == -ECONNRESET) {
		now->lbn = now->file = now->block = PMT_UNKNOWN;
		st->leaf.stands = false;
	} else {
		rc = look_at_place(st, &before);
	}
	if (rc == -ESTALE)
		is_out(st);
	if (rc != -EIO)
		return rc;
	if (is_block_of(now, &before))
		*now = before;
	pmt_st_ask_protection(st);
	return st->leaf.protected && !protected ? -EROFS : -EIO;
}

int pmt_st_failed(struct pmt_st *st, int rc)
{
	switch (rc) {
	case -EACCES:
	case -EROFS:
		st->leaf.protected = true;
		return -EROFS;
	case -ENOMEDIUM:
		is_out(st);
		return rc;
	case -ENXIO:
	case -ENODEV:
		return -ENODEV;
	case -EBUSY:
	case -EOVERFLOW:
		return -EMSGSIZE;
	case -EIO:
		return examine(st);
	default:
		return rc;
	}
}

int pmt_st_refused(struct pmt_st *st, int rc)
{
	rc = rc == -EIO && st->positions ? pmt_st_failed(st, rc) : -ENOTSUP;
	return rc == -ECONNRESET || rc == -ESTALE ? rc : -ENOTSUP;
}

bool pmt_st_at_end(struct pmt_st *st, bool *passed)
{
	struct mtget status;
	int rc = pmt_st_op(st, MTFSR, 1);

	*passed = rc == 0;
	return rc == -EIO && pmt_st_status(st, &status) == 0 && GMT_EOD(status.mt_gstat);
}
