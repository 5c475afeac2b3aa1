// SPDX-License-Identifier: GPL-2.0-or-later
/* "fakest:NAME": see fakest.h. */
#include <errno.h>
#include <scsi/sg.h>
#include <string.h>

#include "fakest.h"

struct fake_drive fake;

static size_t used(void)
{
	size_t bytes = 0;

	for (unsigned int i = 0; i < fake.at; i++)
		bytes += fake.objects[i].length;
	return bytes;
}

static void cut(void)
{
	while (fake.n > fake.at)
		free(fake.objects[--fake.n].data);
}

/* To another partition: what there is of it is where the drive has it. */
static void enter(unsigned int part)
{
	struct fake_tape *old = &fake.parts[fake.part], *new = &fake.parts[part];

	memcpy(old->objects, fake.objects, sizeof(fake.objects));
	old->n = fake.n;
	old->at = fake.at;
	memcpy(fake.objects, new->objects, sizeof(fake.objects));
	fake.n = new->n;
	fake.at = new->at;
	fake.part = part;
}

static void append(bool mark, const void *data, size_t length)
{
	struct fake_object *object = &fake.objects[fake.at];

	cut();
	if (fake.at == 256)
		abort();
	*object = (struct fake_object){ mark, length, length ? malloc(length) : NULL };
	if (length)
		memcpy(object->data, data, length);
	fake.n = ++fake.at;
}

/* The command is not executed: a sense is there for it, or no cartridge. */
static bool meets_something(void)
{
	if (fake.attention || !fake.present) {
		fake.attention = 0;
		return true;
	}
	return false;
}

static bool is_early(void)
{
	return fake.capacity && used() > fake.capacity - fake.ew;
}

static bool can_partitions(void)
{
	return fake.options & MT_ST_CAN_PARTITIONS;
}

/* st's set_location(): to another partition if it thinks to be elsewhere. */
static int set_location(unsigned int part, uint32_t to)
{
	bool changes = part != fake.st_part;

	if (part && !can_partitions())
		return -EINVAL;
	if (meets_something() || (fake.no_position && !changes))
		return -EIO;
	if (changes && fake.fail_switches && part == fake.bad_part) {
		fake.fail_switches--;
		fake.st_part = can_partitions() ? fake.part : fake.st_part;
		return -EIO;
	}
	fake.lost = fake.lost || fake.counted;
	fake.counted = false;
	if (changes && part != fake.part)
		enter(part);
	fake.seeks++;
	fake.file = fake.block = -1;
	fake.eof = FAKE_NONE;
	fake.at = to < fake.n ? to : fake.n;
	if (can_partitions())
		fake.st_part = to > fake.n ? fake.part : part;
	return to > fake.n ? -EIO : 0;
}

/* Before nearly all st goes to where MTSETPART has said. */
static int switch_partition(void)
{
	if (!can_partitions() || !fake.ready || fake.st_part == fake.new_part)
		return 0;
	return set_location(fake.new_part, 0);
}

/* ---- calls ---- */

static int fake_open(struct pmt_st *st, int flags)
{
	(void)flags;
	if (strcmp(st->path, "none") == 0)
		return -ENOENT;
	if (fake.busy) {
		fake.busy--;
		return -EBUSY;
	}
	fake.open = true;
	fake.dead = false;
	fake.opens++;
	fake.ready = fake.present;
	fake.writing = false;
	fake.st_protected = fake.present && fake.protected;
	if (fake.attention || !fake.present)
		fake.file = fake.block = fake.present ? 0 : -1;
	if (fake.attention)
		fake.eof = FAKE_NONE;
	fake.attention = 0;
	return 7;
}

static void fake_close(struct pmt_st *st)
{
	(void)st;
	if (fake.writing) {
		append(true, NULL, 0);
		fake.auto_marks++;
	}
	fake.open = fake.writing = false;
}

static void fake_wait(unsigned int ms)
{
	(void)ms;
	fake.waits++;
}

/* One record: 0, -ENOSPC as the drive tells it. */
static int write_record(const void *data, size_t length)
{
	if (fake.capacity && used() + length > fake.capacity) {
		fake.eof = FAKE_EW;
		return -ENOSPC;
	}
	append(false, data, length);
	if (fake.block >= 0)
		fake.block++;
	return 0;
}

static ssize_t fake_write(struct pmt_st *st, const void *data, size_t length)
{
	size_t size = fake.block_size ? fake.block_size : length, done;

	(void)st;
	if (!fake.ready)
		return -ENOMEDIUM;
	if (fake.st_protected)
		return -EACCES;
	if (length % size || size > fake.most || size < fake.least)
		return -EINVAL;
	if (fake.lost || switch_partition())
		return -EIO;
	if (fake.eof == FAKE_EW) {
		fake.eof = FAKE_EOD1;
		return -ENOSPC;
	}
	fake.writes++;
	fake.writing = true;
	if (meets_something() || fake.protected || fake.fail_writes) {
		fake.fail_writes -= fake.fail_writes > 0;
		fake.block = -1;
		return -EIO;
	}
	for (done = 0; done < length; done += size)
		if (write_record((const char *)data + done, size))
			return done ? (ssize_t)done : -ENOSPC;
	fake.eof = is_early() || fake.eof == FAKE_EOD1 ? FAKE_EW : FAKE_NONE;
	return (ssize_t)length;
}

static ssize_t read_blocks(char *buffer, size_t size)
{
	size_t done = 0;

	for (; done < size; done += fake.block_size) {
		const struct fake_object *object = &fake.objects[fake.at];

		if (fake.at == fake.n || object->mark || object->length != fake.block_size)
			return fake.at == fake.n ? -EIO : (ssize_t)done;
		memcpy(buffer + done, object->data, fake.block_size);
		fake.at++;
		fake.block++;
	}
	return (ssize_t)done;
}

static ssize_t fake_read(struct pmt_st *st, void *buffer, size_t size)
{
	const struct fake_object *object;

	(void)st;
	fake.writing = false;
	if (size > fake.largest_read)
		fake.largest_read = size;
	if (!fake.ready)
		return -ENOMEDIUM;
	if (size > fake.most)
		return -EINVAL;
	if (fake.lost || switch_partition() || meets_something())
		return -EIO;
	object = &fake.objects[fake.at];
	if (fake.block_size)
		return read_blocks(buffer, size);
	if (fake.at == fake.n) {
		bool behind = fake.eof == FAKE_FM;

		if (fake.phantom || fake.eom_at_end) {
			fake.eof = behind ? FAKE_EOD1 : FAKE_EW;
			fake.block += fake.block >= 0;
			return fake.phantom ? (ssize_t)size : 0;
		}
		fake.block = -1;
		fake.eof = behind ? FAKE_EOD : fake.eof;
		return behind ? 0 : -EIO;
	}
	fake.at++;
	if (object->mark) {
		fake.file += fake.file >= 0;
		fake.block = 0;
		fake.eof = FAKE_FM;
		return 0;
	}
	fake.block += fake.block >= 0;
	fake.eof = FAKE_NONE;
	if (object->length > size)
		return -ENOMEM;
	memcpy(buffer, object->data, object->length);
	return (ssize_t)object->length;
}

/* ---- operations ---- */

static int forward_records(int count)
{
	for (; count; count--) {
		if (fake.at == fake.n) {
			fake.eof = FAKE_EOD;
			return -EIO;
		}
		if (fake.objects[fake.at++].mark) {
			fake.file += fake.file >= 0;
			fake.block = 0;
			fake.eof = FAKE_FM;
			return -EIO;
		}
		fake.block += fake.block >= 0;
	}
	fake.eof = FAKE_NONE;
	return 0;
}

static int back_records(int count)
{
	fake.eof = FAKE_NONE;
	for (; count; count--) {
		if (!fake.at) {
			fake.block = 0;
			return -EIO;
		}
		if (fake.objects[--fake.at].mark) {
			fake.file -= fake.file >= 0;
			fake.block = -1;
			return -EIO;
		}
		fake.block -= fake.block >= 0;
	}
	return 0;
}

static int forward_marks(int count)
{
	for (; count; fake.at++) {
		if (fake.at == fake.n) {
			fake.block = -1;
			fake.eof = FAKE_EOD;
			return -EIO;
		}
		if (fake.objects[fake.at].mark) {
			count--;
			fake.file += fake.file >= 0;
		}
	}
	fake.block = 0;
	fake.eof = FAKE_FM;
	return 0;
}

static int back_marks(int count)
{
	fake.eof = FAKE_NONE;
	while (count) {
		if (!fake.at) {
			fake.block = 0;
			return -EIO;
		}
		if (fake.objects[--fake.at].mark) {
			count--;
			fake.file -= fake.file >= 0;
		}
	}
	fake.block = -1;
	return 0;
}

static int write_marks(int count)
{
	if (fake.st_protected)
		return -EACCES;
	fake.syncs += !count;
	for (int i = 0; i < count; i++)
		append(true, NULL, 0);
	fake.file += fake.file >= 0 ? count : 0;
	fake.block = 0;
	fake.eof = FAKE_NONE;
	return 0;
}

static int set_partition(unsigned int part)
{
	if (!can_partitions())
		return -EINVAL;
	if (part && (fake.no_page || !fake.more))
		return -EIO;		/* st asks for the page */
	if (part >= fake.n_parts)
		return -EINVAL;
	fake.new_part = part;
	return 0;
}

static void wipe(void)
{
	for (unsigned int i = 0; i < 4; i++) {
		enter(i);
		fake.at = 0;
		cut();
	}
	enter(0);
}

static int make_partitions(int megabytes)
{
	if (!can_partitions() || megabytes >= 65535)
		return -EINVAL;
	wipe();
	fake.n_parts = megabytes ? 2 : 1;
	fake.st_part = fake.new_part = 0;
	fake.file = fake.block = 0;
	return 0;
}

static int motion(const struct mtop *op)
{
	switch (op->mt_op) {
	case MTFSF: return forward_marks(op->mt_count);
	case MTBSF: return back_marks(op->mt_count);
	case MTFSR: return forward_records(op->mt_count);
	case MTBSR: return back_records(op->mt_count);
	case MTWEOF: return write_marks(op->mt_count);
	case MTWEOFI:
		if (fake.refuses_immediate)
			return -EIO;
		fake.immediate++;
		return write_marks(op->mt_count);
	case MTSETPART: return set_partition((unsigned int)op->mt_count);
	case MTMKPART: return make_partitions(op->mt_count);
	case MTEOM:
		forward_marks(10000);
		return 0;
	case MTERASE:
		if (fake.refuses_erase)
			return -EIO;
		if (!fake.no_erase)
			cut();
		return 0;
	case MTREW:
		fake.rewinds++;
		fake.at = 0;
		fake.file = fake.block = 0;
		fake.eof = FAKE_NONE;
		return 0;
	case MTOFFL:
		fake.ready = fake.present = fake.reload;
		fake.at = 0;
		fake.file = fake.block = 0;
		return 0;
	case MTLOAD:
		enter(0);
		fake.at = 0;
		return 0;
	default:
		return -ENOSYS;
	}
}

static bool set_something(const struct mtop *op)
{
	int bits = op->mt_count & 0xfffffff;

	switch (op->mt_op) {
	case MTSETBLK:
		fake.sets++;
		fake.block_size = (uint32_t)op->mt_count;
		return true;
	case MTCOMPRESSION:
		fake.compression = op->mt_count;
		return true;
	case MTLOCK:
	case MTUNLOCK:
		fake.locked = op->mt_op == MTLOCK;
		return true;
	case MTSETDRVBUFFER:
		if ((op->mt_count & MT_ST_OPTIONS) == MT_ST_CLEARBOOLEANS)
			fake.options &= (uint32_t)~bits;
		else if ((op->mt_count & MT_ST_OPTIONS) == MT_ST_SETBOOLEANS)
			fake.options |= (uint32_t)bits;
		else
			fake.buffered = op->mt_count;
		return true;
	default:
		return false;
	}
}

static bool before_a_switch(short op)
{
	return op == MTSETPART || op == MTMKPART || op == MTLOAD || op == MTOFFL;
}

/* The drive is told, by MODE SELECT. */
static bool is_mode(const struct mtop *op)
{
	return op->mt_op == MTSETBLK || op->mt_op == MTCOMPRESSION ||
	       (op->mt_op == MTSETDRVBUFFER && !(op->mt_count & MT_ST_OPTIONS));
}

/* What st takes behind a reset. */
static bool finds_itself(short op)
{
	return op == MTREW || op == MTOFFL || op == MTLOAD || op == MTSEEK || op == MTEOM ||
	       op == MTERASE;
}

static int fake_op(const struct mtop *op)
{
	bool first = op->mt_op == MTREW || op->mt_op == MTOFFL || op->mt_op == MTSEEK ||
		     op->mt_op == MTBSF;

	if (op->mt_op == MTLOAD)
		fake.ready = fake.present;
	if (op->mt_op == MTLOAD && !fake.present)
		return -EIO;
	if (!fake.ready)
		return -ENOMEDIUM;
	if (fake.lost && !finds_itself(op->mt_op))
		return -EIO;
	if (fake.lost) {
		fake.st_part = 0;
		fake.writing = false;
		switch_partition();
	}
	fake.lost = false;
	if (is_mode(op) && (switch_partition() || meets_something() || fake.refuses_mode))
		return -EIO;
	if (set_something(op))
		return 0;
	if (fake.writing && first) {
		write_marks(1);
		fake.auto_marks++;
	}
	fake.writing = fake.writing && op->mt_op == MTSETPART;
	if (op->mt_op == MTSEEK)
		return set_location(fake.new_part, (uint32_t)op->mt_count);
	if (!before_a_switch(op->mt_op) && switch_partition())
		return -EIO;
	if (op->mt_op != MTTELL && op->mt_op != MTSETPART && meets_something())
		return -EIO;
	return motion(op);
}

static void fake_status(struct mtget *status)
{
	uint32_t flags = 0;

	flags |= fake.ready ? 0x01000000 : 0x00040000;
	flags |= fake.st_protected ? 0x04000000 : 0;
	flags |= fake.eof == FAKE_EW ? 0x20000000 : 0;
	flags |= fake.eof == FAKE_EOD1 || fake.eof == FAKE_EOD ? 0x08000000 : 0;
	if (fake.block == 0)
		flags |= fake.file == 0 ? 0x40000000 : 0x80000000;
	if (fake.buffered || (fake.options & MT_ST_ASYNC_WRITES))
		flags |= 0x00010000;
	*status = (struct mtget){ .mt_gstat = (long)flags,
				  .mt_dsreg = 0x5eL << 24 | fake.block_size,
				  .mt_resid = fake.st_part,
				  .mt_fileno = (__kernel_daddr_t)fake.file,
				  .mt_blkno = (__kernel_daddr_t)fake.block };
}

/* ---- SCSI commands ---- */

static void sense(sg_io_hdr_t *io, uint8_t key, uint8_t asc)
{
	memset(io->sbp, 0, 18);
	io->sbp[0] = 0x70;
	io->sbp[2] = key;
	io->sbp[12] = asc;
	io->sb_len_wr = 18;
	io->status = 2;
}

static void read_attribute(sg_io_hdr_t *io)
{
	uint8_t *out = io->dxferp;

	if (!fake.serial[0]) {
		sense(io, 5, 0x20);
		return;
	}
	memset(out, 0, io->dxfer_len);
	out[4] = 0x04;
	out[5] = 0x01;
	out[8] = sizeof(fake.serial);
	memcpy(out + 9, fake.serial, sizeof(fake.serial));
}

static void partition_page(sg_io_hdr_t *io)
{
	uint8_t page[] = { 0x11, 10, (uint8_t)fake.more, (uint8_t)(fake.n_parts - 1) };
	uint8_t *out = io->dxferp;

	if (!fake.more) {
		sense(io, 5, 0x24);
		return;
	}
	if (fake.no_page)		/* another one comes */
		page[0] = 0x0f;
	out[3] = 8;
	memcpy(out + 12, page, sizeof(page));
}

static int fake_sg(sg_io_hdr_t *io)
{
	uint8_t limits[6] = { 0, (uint8_t)(fake.most >> 16), (uint8_t)(fake.most >> 8),
			      (uint8_t)fake.most, (uint8_t)(fake.least >> 8),
			      (uint8_t)fake.least };

	if (fake.no_sg)
		return -EPERM;
	if (fake.lost || switch_partition())
		return -EIO;
	io->status = 0;
	if (fake.attention) {
		fake.counted = fake.counts && fake.attention == 0x29;
		sense(io, 6, (uint8_t)fake.attention);
		fake.attention = 0;
		return 0;
	}
	if (io->cmdp[0] == 0x05)
		memcpy(io->dxferp, limits, 6);
	else if (!fake.present)
		sense(io, 2, 0x3a);
	else if (io->cmdp[0] == 0x8c)
		read_attribute(io);
	else if (io->cmdp[0] == 0x34 && fake.fail_asking && fake.fail_asking--)
		sense(io, 0xb, 0x47);
	else if (io->cmdp[0] == 0x34)
		((uint8_t *)io->dxferp)[1] = (uint8_t)fake.part;
	else if (io->cmdp[0] == 0x1a && io->cmdp[2] == 0x11)
		partition_page(io);
	else if (io->cmdp[0] == 0x1a)
		((uint8_t *)io->dxferp)[2] = fake.protected ? 0x80 : 0;
	else if (io->cmdp[0] != 0x00)
		sense(io, 5, 0x20);
	return 0;
}

static int fake_ioctl(struct pmt_st *st, unsigned long request, void *argument)
{
	struct mtpos *position = argument;

	(void)st;
	if (fake.dead)
		return -ENODEV;
	switch (request) {
	case MTIOCTOP:
		return fake_op(argument);
	case MTIOCGET:
		if (!fake.lost && switch_partition())
			return -EIO;
		fake_status(argument);
		return 0;
	case MTIOCPOS:
		if (fake.lost || switch_partition() || fake.no_position || !fake.ready ||
		    meets_something())
			return -EIO;
		position->mt_blkno = fake.at;
		if (!fake.at)
			fake.file = fake.block = 0;
		return 0;
	case SG_IO:
		return fake_sg(argument);
	case SG_SET_RESERVED_SIZE:
		return fake.host ? 0 : -ENOTTY;
	case SG_GET_RESERVED_SIZE:
		*(int *)argument = (int)fake.host;
		return 0;
	default:
		return -ENOTTY;
	}
}

const struct pmt_st_calls fake_calls = {
	.keeps = true,
	.open = fake_open,
	.close = fake_close,
	.read = fake_read,
	.write = fake_write,
	.ioctl = fake_ioctl,
	.wait = fake_wait,
};

static int open_fake(struct pmt_drive *drive, const struct pmt_spec *spec)
{
	return pmt_st_open(drive, spec, &fake_calls);
}

void fake_free(void)
{
	wipe();
	fake.n_parts = 1;
	fake.st_part = fake.new_part = 0;
}

void fake_power_cycle(void)
{
	for (unsigned int i = 0; i < 4; i++) {
		enter(i);
		fake.at = 0;
	}
	enter(0);
	fake.attention = 0x29;
}

void fake_insert(const char *serial)
{
	fake_free();
	fake.present = true;
	fake.attention = 0x28;
	strncpy(fake.serial, serial, sizeof(fake.serial) - 1);
}

void fake_reset(void)
{
	static struct pmt_drive_ops kind;

	fake = (struct fake_drive){ .most = 8388608, .least = 1, .present = true,
				    .buffered = 1, .compression = 1, .options = 7,
				    .n_parts = 1 };
	kind = pmt_st_drive;
	kind.name = "fakest";
	kind.open = open_fake;
	pmt_drive_add_kind(&kind);
}
