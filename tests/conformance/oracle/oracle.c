// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * oracle: SCSI hosts with an LTO-like tape drive each, whose cartridges are
 * memory, to learn from the real st driver what it answers.  For tests only.
 *
 * Drive N is the platform device oracle.N.  Its attribute "ctl" takes one line a
 * condition (README.md): the cartridge is pulled, commands fail, room runs out.
 *
 * What is on a partition is a list of objects, records and marks, in order of
 * their logical numbers.  An object knows only where it ends, counted in bytes
 * of records: where the object before it ends it begins.  The same count is the
 * place of a record's bytes in the arena, and the room that is used up.
 *
 * A host takes one command at a time, and a work item executes it.  The lock of
 * the drive keeps "ctl" and the commands apart; nothing else is shared.
 *
 * The device keeps all alive: what probe has made is undone by the device's
 * actions in reverse order, and a tape that is open keeps the module.
 */

#include <linux/bits.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/platform_device.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>
#ifdef ORACLE_HAVE_LINUX_UNALIGNED_H
#include <linux/unaligned.h>
#else
#include <asm/unaligned.h>
#endif

#include <scsi/scsi.h>
#include <scsi/scsi_cmnd.h>
#include <scsi/scsi_device.h>
#include <scsi/scsi_host.h>

/* Older kernels have no number in their names. */
#ifndef RESERVE_6
#define RESERVE_6 RESERVE
#define RELEASE_6 RELEASE
#endif

#define PARTITIONS	2
#define OBJECTS		65536
#define MAX_DRIVES	8
#define MAX_ARENA	1024
#define DENSITY		0x5e
#define MIN_BLOCK	1
#define MAX_BLOCK	8388608
#define CAPACITY	(32U << 20)
#define WARNING		(4U << 20)
#define PARTITION_PAGE	12

/* Beside the sense key. */
#define FILEMARK	0x80
#define END_OF_MEDIUM	0x40
#define BAD_LENGTH	0x20

static unsigned int drives = 2;
module_param(drives, uint, 0444);
MODULE_PARM_DESC(drives, "number of drives, 1 to 8 (2)");

static unsigned int arena = 48;
module_param(arena, uint, 0444);
MODULE_PARM_DESC(arena, "MiB of memory for each partition of a drive, 32 to 1024 (48)");

struct object {
	u32 end;
	bool mark;
};

struct partition {
	struct object *objects;
	u8 *bytes;
	u32 count;	/* end of data */
	u32 place;
};

/* The next left commands of an operation get this sense. */
struct failure {
	u8 op, key, flags, asc, ascq;
	bool deferred;
	u32 left;
};

struct oracle {
	struct device *dev;
	struct Scsi_Host *host;
	struct workqueue_struct *queue;
	struct mutex lock;	/* all below */

	struct partition parts[PARTITIONS];
	u8 page[PARTITION_PAGE];	/* of the modes: partitions to be made */
	u8 partitions, current_part;
	bool present, loaded, locked, protected;
	u32 capacity, warning;
	u32 block_size;
	u8 buffering;
	bool compression;

	bool attention;
	u8 attention_asc, attention_ascq;
	struct failure failure;
	u32 not_ready;
	u32 delay_ms;
	bool ew_valid, eod_eom;
};

struct oracle_cmd {
	struct work_struct work;
	struct scsi_cmnd *cmd;
};

static const u8 first_page[PARTITION_PAGE] = {
	0x11, PARTITION_PAGE - 2, 1, 0,
	0x20 | 0x18 | 0x04,	/* by the initiator, in units, when formatted */
	3, 9, 0, 0xff, 0xff, 0, 0,
};

/* ---- answers ---- */

static void check(struct scsi_cmnd *cmd, u8 key, u8 asc, u8 ascq)
{
	u8 *sense = cmd->sense_buffer;

	memset(sense, 0, SCSI_SENSE_BUFFERSIZE);
	sense[0] = 0x70;
	sense[2] = key;
	sense[7] = 10;
	sense[12] = asc;
	sense[13] = ascq;
	cmd->result = SAM_STAT_CHECK_CONDITION;
}

static void inform(struct scsi_cmnd *cmd, s32 information)
{
	cmd->sense_buffer[0] |= 0x80;
	put_unaligned_be32(information, cmd->sense_buffer + 3);
}

static void check_info(struct scsi_cmnd *cmd, u8 key, u8 asc, u8 ascq, s32 information)
{
	check(cmd, key, asc, ascq);
	inform(cmd, information);
}

static void invalid_field(struct scsi_cmnd *cmd)
{
	check(cmd, ILLEGAL_REQUEST, 0x24, 0);
}

static void invalid_parameter(struct scsi_cmnd *cmd)
{
	check(cmd, ILLEGAL_REQUEST, 0x26, 0);
}

static void write_protected(struct scsi_cmnd *cmd)
{
	check(cmd, DATA_PROTECT, 0x27, 0);
}

static void no_medium(struct scsi_cmnd *cmd)
{
	check(cmd, NOT_READY, 0x3a, 0);
}

static void give(struct scsi_cmnd *cmd, const void *bytes, u32 length)
{
	u32 n = min_t(u32, length, scsi_bufflen(cmd));

	/* The bytes are only read; the function takes no const. */
	n = sg_copy_from_buffer(scsi_sglist(cmd), scsi_sg_count(cmd), (void *)bytes, n);
	scsi_set_resid(cmd, scsi_bufflen(cmd) - n);
}

/* What the initiator has not sent is zeros. */
static u32 take(struct scsi_cmnd *cmd, void *bytes, u32 length)
{
	u32 n = min_t(u32, length, scsi_bufflen(cmd));

	n = sg_copy_to_buffer(scsi_sglist(cmd), scsi_sg_count(cmd), bytes, n);
	memset(bytes + n, 0, length - n);
	return n;
}

static void set_attention(struct oracle *o, u8 asc, u8 ascq)
{
	o->attention = true;
	o->attention_asc = asc;
	o->attention_ascq = ascq;
}

/* ---- the cartridge ---- */

static struct partition *here(struct oracle *o)
{
	return &o->parts[o->current_part];
}

static u32 begin_of(const struct partition *part, u32 number)
{
	return number ? part->objects[number - 1].end : 0;
}

static bool at_end(const struct partition *part)
{
	return part->place >= part->count;
}

static bool is_early(struct oracle *o)
{
	return begin_of(here(o), here(o)->place) > o->capacity - o->warning;
}

static bool append(struct partition *part, bool mark, u32 length)
{
	u32 begin = begin_of(part, part->place);

	if (part->place >= OBJECTS || length > (arena << 20) - begin)
		return false;
	part->objects[part->place].mark = mark;
	part->objects[part->place].end = begin + length;
	part->count = ++part->place;
	return true;
}

static void rewind_all(struct oracle *o)
{
	int i;

	for (i = 0; i < PARTITIONS; i++)
		o->parts[i].place = 0;
	o->current_part = 0;
}

static void wipe(struct oracle *o)
{
	int i;

	for (i = 0; i < PARTITIONS; i++)
		o->parts[i].count = 0;
	rewind_all(o);
}

static void tell_early(struct oracle *o, struct scsi_cmnd *cmd)
{
	check(cmd, NO_SENSE | END_OF_MEDIUM, 0, 2);
	if (o->ew_valid)
		inform(cmd, 0);
}

static void tell_mark(struct scsi_cmnd *cmd, u32 left)
{
	check_info(cmd, NO_SENSE | FILEMARK, 0, 1, left);
}

static void tell_end_of_data(struct oracle *o, struct scsi_cmnd *cmd, u32 left)
{
	u8 flags = o->eod_eom && is_early(o) ? END_OF_MEDIUM : 0;

	check_info(cmd, BLANK_CHECK | flags, 0, 5, left);
}

/* ---- transfers ---- */

static void read_record(struct oracle *o, struct scsi_cmnd *cmd, u32 wanted)
{
	struct partition *part = here(o);
	u32 begin = begin_of(part, part->place), length;
	bool short_is_good = cmd->cmnd[1] & 2;

	if (at_end(part)) {
		give(cmd, NULL, 0);
		tell_end_of_data(o, cmd, wanted);
		return;
	}
	if (part->objects[part->place++].mark) {
		give(cmd, NULL, 0);
		tell_mark(cmd, wanted);
		return;
	}
	length = begin_of(part, part->place) - begin;
	give(cmd, part->bytes + begin, min(wanted, length));
	if (length > wanted || (length < wanted && !short_is_good))
		check_info(cmd, NO_SENSE | BAD_LENGTH, 0, 0, wanted - length);
}

/* Is there a block at the place?  If not, the sense says so. */
static bool next_block(struct oracle *o, struct scsi_cmnd *cmd, u32 left)
{
	struct partition *part = here(o);
	u32 begin = begin_of(part, part->place);

	if (at_end(part)) {
		tell_end_of_data(o, cmd, left);
		return false;
	}
	if (part->objects[part->place++].mark) {
		tell_mark(cmd, left);
		return false;
	}
	if (begin_of(part, part->place) - begin != o->block_size) {
		check_info(cmd, NO_SENSE | BAD_LENGTH, 0, 0, left);
		return false;
	}
	return true;
}

static void read_blocks(struct oracle *o, struct scsi_cmnd *cmd, u32 wanted)
{
	struct partition *part = here(o);
	u32 begin = begin_of(part, part->place), done = 0;

	while (done < wanted && next_block(o, cmd, wanted - done))
		done++;
	give(cmd, part->bytes + begin, done * o->block_size);
}

static void do_read(struct oracle *o, struct scsi_cmnd *cmd)
{
	bool fixed = cmd->cmnd[1] & 1;
	u32 wanted = get_unaligned_be24(&cmd->cmnd[2]);

	if (fixed && !o->block_size)
		invalid_field(cmd);
	else if (wanted && fixed)
		read_blocks(o, cmd, wanted);
	else if (wanted)
		read_record(o, cmd, wanted);
}

/* How many records of the length went onto the tape, of the count. */
static u32 append_records(struct oracle *o, struct scsi_cmnd *cmd, u32 length, u32 count)
{
	struct partition *part = here(o);
	bool fixed = cmd->cmnd[1] & 1;
	u32 done;

	part->count = part->place;
	for (done = 0; done < count; done++) {
		if (begin_of(part, part->place) + length > o->capacity) {
			check_info(cmd, VOLUME_OVERFLOW | END_OF_MEDIUM, 0, 2,
				   fixed ? count - done : length);
			break;
		}
		if (!append(part, false, length)) {
			check(cmd, MEDIUM_ERROR, 0x0c, 0);
			break;
		}
	}
	return done;
}

static void do_write(struct oracle *o, struct scsi_cmnd *cmd)
{
	struct partition *part = here(o);
	bool fixed = cmd->cmnd[1] & 1;
	u32 n = get_unaligned_be24(&cmd->cmnd[2]);
	u32 begin = begin_of(part, part->place);
	u32 length = fixed ? o->block_size : n;
	u32 count = fixed ? n : 1, done;

	if (fixed && !o->block_size) {
		invalid_field(cmd);
		return;
	}
	if (o->protected) {
		write_protected(cmd);
		return;
	}
	if (!n)
		return;
	done = append_records(o, cmd, length, count);
	take(cmd, part->bytes + begin, done * length);
	if (done == count && is_early(o))
		tell_early(o, cmd);
}

static void do_marks(struct oracle *o, struct scsi_cmnd *cmd)
{
	struct partition *part = here(o);
	u32 left = get_unaligned_be24(&cmd->cmnd[2]);

	if (cmd->cmnd[1] & 2) {
		invalid_field(cmd);
		return;
	}
	if (o->protected && left) {
		write_protected(cmd);
		return;
	}
	if (left)
		part->count = part->place;
	for (; left; left--) {
		if (!append(part, true, 0)) {
			check_info(cmd, VOLUME_OVERFLOW | END_OF_MEDIUM, 0, 2, left);
			return;
		}
	}
	if (is_early(o))
		tell_early(o, cmd);
}

static void do_erase(struct oracle *o, struct scsi_cmnd *cmd)
{
	if (o->protected)
		write_protected(cmd);
	else
		here(o)->count = here(o)->place;
}

/* ---- motion ---- */

static void space_forward(struct oracle *o, struct scsi_cmnd *cmd, bool marks, u32 left)
{
	struct partition *part = here(o);

	while (left) {
		if (at_end(part)) {
			tell_end_of_data(o, cmd, left);
			return;
		}
		if (part->objects[part->place++].mark == marks) {
			left--;
		} else if (!marks) {
			tell_mark(cmd, left);
			return;
		}
	}
}

static void space_back(struct oracle *o, struct scsi_cmnd *cmd, bool marks, u32 left)
{
	struct partition *part = here(o);

	while (left) {
		if (!part->place) {
			check_info(cmd, NO_SENSE | END_OF_MEDIUM, 0, 4, left);
			return;
		}
		if (part->objects[--part->place].mark == marks) {
			left--;
		} else if (!marks) {
			tell_mark(cmd, left);
			return;
		}
	}
}

static void do_space(struct oracle *o, struct scsi_cmnd *cmd)
{
	s32 count = sign_extend32(get_unaligned_be24(&cmd->cmnd[2]), 23);
	u8 code = cmd->cmnd[1] & 7;

	if (code == 3)
		here(o)->place = here(o)->count;
	else if (code > 1)
		invalid_field(cmd);
	else if (count >= 0)
		space_forward(o, cmd, code, count);
	else
		space_back(o, cmd, code, -count);
}

static void do_rewind(struct oracle *o, struct scsi_cmnd *cmd)
{
	here(o)->place = 0;
}

static void do_locate(struct oracle *o, struct scsi_cmnd *cmd)
{
	u32 number = get_unaligned_be32(&cmd->cmnd[3]);
	bool change = cmd->cmnd[1] & 2;

	if (change && cmd->cmnd[8] >= o->partitions) {
		invalid_field(cmd);
		return;
	}
	if (change)
		o->current_part = cmd->cmnd[8];
	here(o)->place = min(number, here(o)->count);
	if (number > here(o)->count)
		check(cmd, BLANK_CHECK, 0, 5);
}

static void do_position(struct oracle *o, struct scsi_cmnd *cmd)
{
	u32 place = here(o)->place;
	u8 answer[20] = { 0 };

	if ((cmd->cmnd[1] & 0x1f) > 1) {
		invalid_field(cmd);
		return;
	}
	answer[0] = (place ? 0 : 0x80) | (is_early(o) ? 0x40 : 0);
	answer[1] = o->current_part;
	put_unaligned_be32(place, answer + 4);
	put_unaligned_be32(place, answer + 8);
	give(cmd, answer, sizeof(answer));
}

static void do_load(struct oracle *o, struct scsi_cmnd *cmd)
{
	bool load = cmd->cmnd[4] & 1;

	if (load && !o->present) {
		no_medium(cmd);
	} else if (load) {
		if (!o->loaded)
			set_attention(o, 0x28, 0);
		o->loaded = true;
		rewind_all(o);
	} else if (o->locked && o->present) {
		check(cmd, ILLEGAL_REQUEST, 0x53, 2);
	} else {
		o->loaded = false;
	}
}

static void do_format(struct oracle *o, struct scsi_cmnd *cmd)
{
	if (here(o)->place || o->current_part) {
		check(cmd, ILLEGAL_REQUEST, 0x3b, 0x0c);
		return;
	}
	if (o->protected) {
		write_protected(cmd);
		return;
	}
	wipe(o);
	o->partitions = cmd->cmnd[2] & 0xf ? o->page[3] + 1 : 1;
	o->page[3] = o->partitions - 1;
}

/* ---- modes and the like ---- */

static u32 compression_page(struct oracle *o, u8 *page)
{
	page[0] = 0x0f;
	page[1] = 14;
	page[2] = (o->compression ? 0x80 : 0) | 0x40;
	page[3] = 0x80;
	page[7] = 1;
	page[11] = 1;
	return 16;
}

static void do_mode_sense(struct oracle *o, struct scsi_cmnd *cmd)
{
	u8 answer[64] = { 0 };
	u32 n = 4;

	answer[2] = (o->present && o->protected ? 0x80 : 0) | o->buffering << 4;
	if (!(cmd->cmnd[1] & 8)) {
		answer[3] = 8;
		answer[4] = o->present ? DENSITY : 0;
		put_unaligned_be24(o->block_size, answer + 9);
		n += 8;
	}
	switch (cmd->cmnd[2] & 0x3f) {
	case 0:
		break;
	case 0x0f:
		n += compression_page(o, answer + n);
		break;
	case 0x11:
		memcpy(answer + n, o->page, PARTITION_PAGE);
		n += PARTITION_PAGE;
		break;
	default:
		invalid_field(cmd);
		return;
	}
	answer[0] = n - 1;
	give(cmd, answer, min_t(u32, n, cmd->cmnd[4]));
}

static bool select_block(struct oracle *o, const u8 *descriptor)
{
	u32 size = get_unaligned_be24(descriptor + 5);
	u8 density = descriptor[0];

	if (size > MAX_BLOCK)
		return false;
	if (density && density != 0x7f && density != DENSITY)
		return false;
	o->block_size = size;
	return true;
}

static bool select_page(struct oracle *o, const u8 *page, u32 length)
{
	switch (page[0] & 0x3f) {
	case 0x0f:
		o->compression = page[2] & 0x80;
		return true;
	case 0x11:
		if (length < PARTITION_PAGE || page[3] >= PARTITIONS)
			return false;
		memcpy(o->page, page, PARTITION_PAGE);
		o->page[0] = first_page[0];
		o->page[2] = first_page[2];
		return true;
	}
	return false;
}

static void do_mode_select(struct oracle *o, struct scsi_cmnd *cmd)
{
	u8 list[256];
	u32 n = take(cmd, list, sizeof(list)), page = 4 + list[3];

	if (list[3] >= 8 && !select_block(o, list + 4)) {
		invalid_parameter(cmd);
		return;
	}
	o->buffering = (list[2] >> 4) & 7;
	if (page + 3 <= n && !select_page(o, list + page, n - page))
		invalid_parameter(cmd);
}

static void do_limits(struct oracle *o, struct scsi_cmnd *cmd)
{
	u8 answer[6] = { 0 };

	put_unaligned_be24(MAX_BLOCK, answer + 1);
	put_unaligned_be16(MIN_BLOCK, answer + 4);
	give(cmd, answer, sizeof(answer));
}

static u32 product_page(struct oracle *o, u8 page, u8 *answer)
{
	unsigned int id = to_platform_device(o->dev)->id;
	char serial[11];

	answer[1] = page;
	switch (page) {
	case 0:
		answer[3] = 3;
		answer[5] = 0x80;
		answer[6] = 0x83;
		return 7;
	case 0x80:
		answer[3] = 10;
		snprintf(serial, sizeof(serial), "ORCL%06u", id + 1);
		memcpy(answer + 4, serial, 10);
		return 14;
	case 0x83:
		answer[3] = 12;
		answer[4] = 1;
		answer[5] = 3;
		answer[7] = 8;
		put_unaligned_be64(0x5000112233445566ULL + id, answer + 8);
		return 16;
	}
	return 0;
}

static u32 product(u8 *answer)
{
	answer[1] = 0x80;
	answer[2] = 6;
	answer[3] = 2;
	answer[4] = 64 - 4;
	memcpy(answer + 8, "IBM     ULTRIUM-TD8     ORCL", 28);
	return 64;
}

static void do_inquiry(struct oracle *o, struct scsi_cmnd *cmd)
{
	u8 answer[64] = { 0 };
	u32 n;

	if (cmd->cmnd[1] & 1)
		n = product_page(o, cmd->cmnd[2], answer);
	else
		n = product(answer);
	answer[0] = TYPE_TAPE;
	if (n)
		give(cmd, answer, min_t(u32, n, get_unaligned_be16(&cmd->cmnd[3])));
	else
		invalid_field(cmd);
}

static void do_report_luns(struct oracle *o, struct scsi_cmnd *cmd)
{
	static const u8 answer[16] = { [3] = 8 };

	give(cmd, answer, sizeof(answer));
}

static void do_request_sense(struct oracle *o, struct scsi_cmnd *cmd)
{
	static const u8 answer[18] = { [0] = 0x70, [7] = 10 };

	give(cmd, answer, sizeof(answer));
}

static void do_lock(struct oracle *o, struct scsi_cmnd *cmd)
{
	o->locked = cmd->cmnd[4] & 3;
}

static void do_nothing(struct oracle *o, struct scsi_cmnd *cmd)
{
}

/* ---- commands ---- */

#define ANY_TIME	BIT(0)	/* does not collect a unit attention */
#define NO_MEDIUM	BIT(1)	/* needs no cartridge */

static const struct {
	void (*run)(struct oracle *o, struct scsi_cmnd *cmd);
	u8 flags;
} commands[256] = {
	[TEST_UNIT_READY] = { do_nothing },
	[REZERO_UNIT] = { do_rewind },
	[REQUEST_SENSE] = { do_request_sense, ANY_TIME | NO_MEDIUM },
	[FORMAT_UNIT] = { do_format },
	[READ_BLOCK_LIMITS] = { do_limits, NO_MEDIUM },
	[READ_6] = { do_read },
	[WRITE_6] = { do_write },
	[WRITE_FILEMARKS] = { do_marks },
	[SPACE] = { do_space },
	[INQUIRY] = { do_inquiry, ANY_TIME | NO_MEDIUM },
	[MODE_SELECT] = { do_mode_select, NO_MEDIUM },
	[RESERVE_6] = { do_nothing, NO_MEDIUM },
	[RELEASE_6] = { do_nothing, NO_MEDIUM },
	[ERASE] = { do_erase },
	[MODE_SENSE] = { do_mode_sense, NO_MEDIUM },
	[START_STOP] = { do_load, NO_MEDIUM },
	[ALLOW_MEDIUM_REMOVAL] = { do_lock, NO_MEDIUM },
	[SEEK_10] = { do_locate },
	[READ_POSITION] = { do_position },
	[REPORT_LUNS] = { do_report_luns, ANY_TIME | NO_MEDIUM },
};

static void fail(struct oracle *o, struct scsi_cmnd *cmd)
{
	struct failure *failure = &o->failure;

	failure->left--;
	check(cmd, failure->key | failure->flags, failure->asc, failure->ascq);
	if (failure->deferred)
		cmd->sense_buffer[0] = 0x71;
}

static void execute(struct oracle *o, struct scsi_cmnd *cmd);

/* What is recovered is done, and told. */
static void fail_or_recover(struct oracle *o, struct scsi_cmnd *cmd)
{
	struct failure failure = o->failure;

	if (failure.key != RECOVERED_ERROR) {
		fail(o, cmd);
		return;
	}
	o->failure.left = 0;
	execute(o, cmd);
	o->failure.left = failure.left;
	if (cmd->result == SAM_STAT_GOOD)
		fail(o, cmd);
	else
		o->failure.left--;
	if (cmd->result != SAM_STAT_GOOD && cmd->sense_buffer[2] == END_OF_MEDIUM)
		cmd->sense_buffer[2] |= RECOVERED_ERROR;
}

static void execute(struct oracle *o, struct scsi_cmnd *cmd)
{
	u8 op = cmd->cmnd[0], flags = commands[op].flags;

	cmd->result = SAM_STAT_GOOD;
	if (o->attention && !(flags & ANY_TIME)) {
		o->attention = false;
		check(cmd, UNIT_ATTENTION, o->attention_asc, o->attention_ascq);
	} else if (o->failure.left && op == o->failure.op) {
		fail_or_recover(o, cmd);
	} else if (op == TEST_UNIT_READY && o->not_ready) {
		o->not_ready--;
		check(cmd, NOT_READY, 4, 1);
	} else if (!o->loaded && !(flags & NO_MEDIUM)) {
		no_medium(cmd);
	} else if (commands[op].run) {
		commands[op].run(o, cmd);
	} else {
		check(cmd, ILLEGAL_REQUEST, 0x20, 0);
	}
}

static struct oracle *oracle_of(struct Scsi_Host *host)
{
	return *(struct oracle **)shost_priv(host);
}

static void oracle_work(struct work_struct *work)
{
	struct oracle_cmd *item = container_of(work, struct oracle_cmd, work);
	struct scsi_cmnd *cmd = item->cmd;
	struct oracle *o = oracle_of(cmd->device->host);
	u32 delay_ms = READ_ONCE(o->delay_ms);

	if (delay_ms && cmd->cmnd[0] != INQUIRY)
		msleep(delay_ms);
	mutex_lock(&o->lock);
	execute(o, cmd);
	dev_dbg(o->dev, "%*ph: %x, sense %*ph\n", 10, cmd->cmnd, cmd->result, 14,
		cmd->sense_buffer);
	mutex_unlock(&o->lock);
	scsi_done(cmd);
}

#ifdef ORACLE_HAVE_QC_STATUS
static enum scsi_qc_status oracle_queue(struct Scsi_Host *host, struct scsi_cmnd *cmd)
#else
static int oracle_queue(struct Scsi_Host *host, struct scsi_cmnd *cmd)
#endif
{
	struct oracle_cmd *item = scsi_cmd_priv(cmd);

	if (cmd->device->channel || cmd->device->id || cmd->device->lun) {
		cmd->result = DID_NO_CONNECT << 16;
		scsi_done(cmd);
		return 0;
	}
	item->cmd = cmd;
	INIT_WORK(&item->work, oracle_work);
	queue_work(oracle_of(host)->queue, &item->work);
	return 0;
}

/* No command is executed any more when it returns. */
static int oracle_reset(struct scsi_cmnd *cmd)
{
	struct oracle *o = oracle_of(cmd->device->host);

	flush_workqueue(o->queue);
	mutex_lock(&o->lock);
	set_attention(o, 0x29, 0);
	mutex_unlock(&o->lock);
	return SUCCESS;
}

/* ---- control ---- */

static void ctl_blank(struct oracle *o, const u32 *v)
{
	wipe(o);
	memcpy(o->page, first_page, sizeof(o->page));
	o->partitions = 1;
	o->present = true;
	o->loaded = true;
	o->protected = false;
	o->capacity = CAPACITY;
	o->warning = WARNING;
	o->block_size = 0;
	o->buffering = 1;
	o->compression = true;
	o->failure.left = 0;
	o->not_ready = 0;
	WRITE_ONCE(o->delay_ms, 0);
	o->ew_valid = true;
	o->eod_eom = false;
	set_attention(o, 0x28, 0);
}

static void ctl_eject(struct oracle *o, const u32 *v)
{
	o->present = false;
	o->loaded = false;
}

static void ctl_insert(struct oracle *o, const u32 *v)
{
	o->present = true;
	o->loaded = true;
	rewind_all(o);
	set_attention(o, 0x28, 0);
}

static void ctl_wp(struct oracle *o, const u32 *v)
{
	o->protected = v[0];
}

static void ctl_cap(struct oracle *o, const u32 *v)
{
	o->capacity = v[0];
	o->warning = v[1];
}

static void ctl_ua(struct oracle *o, const u32 *v)
{
	set_attention(o, v[0], v[1]);
}

static void ctl_power(struct oracle *o, const u32 *v)
{
	rewind_all(o);
	set_attention(o, 0x29, 0);
}

static void ctl_fail(struct oracle *o, const u32 *v)
{
	o->failure = (struct failure){
		.op = v[0], .key = v[1], .flags = v[2], .asc = v[3], .ascq = v[4],
		.left = v[5],
	};
}

static void ctl_defer(struct oracle *o, const u32 *v)
{
	o->failure = (struct failure){
		.op = v[0], .key = v[1], .asc = v[2], .ascq = v[3], .left = v[4],
		.deferred = true,
	};
}

static void ctl_notready(struct oracle *o, const u32 *v)
{
	o->not_ready = v[0];
}

static void ctl_delay(struct oracle *o, const u32 *v)
{
	WRITE_ONCE(o->delay_ms, v[0]);
}

static void ctl_ewvalid(struct oracle *o, const u32 *v)
{
	o->ew_valid = v[0];
}

static void ctl_eodeom(struct oracle *o, const u32 *v)
{
	o->eod_eom = v[0];
}

#define CTL_WORDS	6

/* The words behind the verb: b 0 or 1, d decimal, x a byte in hex, k a sense
 * key in hex, f flags of the sense in hex.
 */
static const struct ctl_verb {
	const char *name, *words;
	void (*run)(struct oracle *o, const u32 *v);
} ctl_verbs[] = {
	{ "blank", "", ctl_blank },
	{ "eject", "", ctl_eject },
	{ "insert", "", ctl_insert },
	{ "wp", "b", ctl_wp },
	{ "cap", "dd", ctl_cap },
	{ "ua", "xx", ctl_ua },
	{ "power", "", ctl_power },
	{ "fail", "xkfxxd", ctl_fail },
	{ "defer", "xkxxd", ctl_defer },
	{ "notready", "d", ctl_notready },
	{ "delay", "d", ctl_delay },
	{ "ewvalid", "b", ctl_ewvalid },
	{ "eodeom", "b", ctl_eodeom },
};

static bool parse_word(char kind, const char *word, u32 *value)
{
	bool decimal = kind == 'b' || kind == 'd';

	if (kstrtou32(word, decimal ? 10 : 16, value))
		return false;
	switch (kind) {
	case 'b':
		return *value <= 1;
	case 'x':
		return *value <= 0xff;
	case 'k':
		return *value <= 0xf;
	case 'f':
		return !(*value & ~(FILEMARK | END_OF_MEDIUM | BAD_LENGTH));
	}
	return true;
}

static int ctl_run(struct oracle *o, char **words, int n)
{
	const struct ctl_verb *verb = ctl_verbs;
	u32 v[CTL_WORDS] = { 0 };
	int i;

	while (strcmp(verb->name, words[0]))
		if (++verb == ctl_verbs + ARRAY_SIZE(ctl_verbs))
			return -EINVAL;
	if (strlen(verb->words) != n - 1)
		return -EINVAL;
	for (i = 0; i < n - 1; i++)
		if (!parse_word(verb->words[i], words[i + 1], &v[i]))
			return -EINVAL;
	if (verb->run == ctl_cap && (v[0] > arena << 20 || v[1] > v[0]))
		return -EINVAL;
	mutex_lock(&o->lock);
	verb->run(o, v);
	mutex_unlock(&o->lock);
	return 0;
}

static ssize_t ctl_store(struct device *dev, struct device_attribute *attr,
			 const char *text, size_t size)
{
	char **words;
	int n, ret = -EINVAL;

	words = argv_split(GFP_KERNEL, text, &n);
	if (!words)
		return -ENOMEM;
	if (n)
		ret = ctl_run(dev_get_drvdata(dev), words, n);
	argv_free(words);
	return ret ?: size;
}
static DEVICE_ATTR_WO(ctl);

static struct attribute *oracle_attrs[] = { &dev_attr_ctl.attr, NULL };
ATTRIBUTE_GROUPS(oracle);

/* ---- life ---- */

/* The largest transfers are as large as the drive's largest block, and more. */
static struct scsi_host_template oracle_host = {
	.module = THIS_MODULE,
	.name = "oracle",
	.proc_name = "oracle",
	.queuecommand = oracle_queue,
	.eh_device_reset_handler = oracle_reset,
	.eh_target_reset_handler = oracle_reset,
	.eh_bus_reset_handler = oracle_reset,
	.eh_host_reset_handler = oracle_reset,
	.can_queue = 1,
	.this_id = 7,
	.sg_tablesize = 1024,
	.max_sectors = 65535,
	.cmd_size = sizeof(struct oracle_cmd),
};

static void free_parts(void *data)
{
	struct oracle *o = data;
	int i;

	for (i = 0; i < PARTITIONS; i++) {
		vfree(o->parts[i].objects);
		vfree(o->parts[i].bytes);
	}
}

static int make_parts(struct oracle *o)
{
	int i, ret;

	ret = devm_add_action(o->dev, free_parts, o);
	for (i = 0; i < PARTITIONS && !ret; i++) {
		o->parts[i].objects = vzalloc(array_size(OBJECTS, sizeof(struct object)));
		o->parts[i].bytes = vzalloc(arena << 20);
		if (!o->parts[i].objects || !o->parts[i].bytes)
			ret = -ENOMEM;
	}
	return ret;
}

static void free_queue(void *data)
{
	destroy_workqueue(data);
}

static int make_queue(struct oracle *o)
{
	o->queue = alloc_ordered_workqueue("%s", WQ_MEM_RECLAIM, dev_name(o->dev));
	if (!o->queue)
		return -ENOMEM;
	return devm_add_action_or_reset(o->dev, free_queue, o->queue);
}

static void put_host(void *data)
{
	scsi_host_put(data);
}

static int make_host(struct oracle *o)
{
	o->host = scsi_host_alloc(&oracle_host, sizeof(o));
	if (!o->host)
		return -ENOMEM;
	*(struct oracle **)shost_priv(o->host) = o;
	o->host->max_id = 1;
	o->host->max_lun = 1;
	o->host->max_channel = 0;
	o->host->max_cmd_len = 16;
	return devm_add_action_or_reset(o->dev, put_host, o->host);
}

static void remove_host(void *data)
{
	scsi_remove_host(data);
}

static int start_host(struct oracle *o)
{
	int ret = scsi_add_host(o->host, o->dev);

	if (!ret)
		ret = devm_add_action_or_reset(o->dev, remove_host, o->host);
	if (!ret)
		ret = scsi_add_device(o->host, 0, 0, 0);
	return ret;
}

static int oracle_probe(struct platform_device *pdev)
{
	struct oracle *o = devm_kzalloc(&pdev->dev, sizeof(*o), GFP_KERNEL);
	int ret;

	if (!o)
		return -ENOMEM;
	o->dev = &pdev->dev;
	/* No DMA: where the kernel has none, the host would take no sector at once. */
	o->dev->dma_mask = NULL;
	mutex_init(&o->lock);
	ctl_blank(o, NULL);
	ret = make_parts(o);
	if (!ret)
		ret = make_queue(o);
	if (!ret)
		ret = make_host(o);
	platform_set_drvdata(pdev, o);
	return ret ?: start_host(o);
}

static struct platform_driver oracle_driver = {
	.probe = oracle_probe,
	.driver = {
		.name = "oracle",
		.dev_groups = oracle_groups,
		.probe_type = PROBE_FORCE_SYNCHRONOUS,
	},
};

static struct platform_device *devices[MAX_DRIVES];

static void remove_drives(void)
{
	unsigned int i = drives;

	while (i--)
		platform_device_unregister(devices[i]);
	platform_driver_unregister(&oracle_driver);
}

static int add_drive(unsigned int i)
{
	struct platform_device *pdev;

	pdev = platform_device_register_simple("oracle", i, NULL, 0);
	if (IS_ERR(pdev))
		return PTR_ERR(pdev);
	devices[i] = pdev;
	return pdev->dev.driver ? 0 : -ENODEV;
}

static int __init oracle_init(void)
{
	unsigned int i;
	int ret;

	if (!drives || drives > MAX_DRIVES || arena < CAPACITY >> 20 || arena > MAX_ARENA)
		return -EINVAL;
	ret = platform_driver_register(&oracle_driver);
	if (ret)
		return ret;
	for (i = 0; i < drives && !ret; i++)
		ret = add_drive(i);
	if (ret)
		remove_drives();
	return ret;
}

static void __exit oracle_exit(void)
{
	remove_drives();
}

module_init(oracle_init);
module_exit(oracle_exit);
MODULE_DESCRIPTION("Tape drives in memory, to test what drives them");
MODULE_LICENSE("GPL");
