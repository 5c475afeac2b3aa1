// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcmu /dev/uioN: a tape drive behind the kernel's SCSI target (TCMU) that takes all
 * records that are written, and reads as the first of them; until it is killed
 *
 * It speaks with the kernel by the ring itself, with one thread, and never looks at the
 * data, of which it keeps one record: no handler of such a drive can do less.  To be
 * compared with.  bench/tcmu-drive makes the device that it serves.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The header leaves the one to its user, and brings the other a second time. */
#define __packed __attribute__((__packed__))
#define iovec tcmu_iovec
#include <linux/target_core_user.h>
#undef iovec

#define LARGEST 0xffffffu

enum { BLANK_CHECK = 8, ILLEGAL_REQUEST = 5, CHECK_CONDITION = 2 };

struct drive {
	char *area;		/* all offsets are from here */
	struct tcmu_mailbox *box;
	char *kept;		/* the first record behind a rewind */
	uint32_t length;	/* of it */
	bool at_begin;
};

static uint32_t *word(struct drive *drive, size_t offset)
{
	return (uint32_t *)(void *)(drive->area + offset);
}

static void refuse(struct tcmu_cmd_entry *entry, char key, char asc)
{
	memset(entry->rsp.sense_buffer, 0, sizeof(entry->rsp.sense_buffer));
	entry->rsp.sense_buffer[0] = 0x70;
	entry->rsp.sense_buffer[2] = key;
	entry->rsp.sense_buffer[7] = 10;
	entry->rsp.sense_buffer[12] = asc;
	entry->rsp.scsi_status = CHECK_CONDITION;
}

/* Data of a command, in pieces; the answer overlies their list, so it comes later. */
static void move(struct drive *drive, const struct tcmu_cmd_entry *entry, char *data,
		 size_t size, bool to_kernel)
{
	for (uint32_t i = 0; i < entry->req.iov_cnt && size; i++) {
		char *piece = drive->area + (uintptr_t)entry->req.iov[i].iov_base;
		size_t n = entry->req.iov[i].iov_len;

		if (n > size)
			n = size;
		memcpy(to_kernel ? piece : data, to_kernel ? data : piece, n);
		data += n;
		size -= n;
	}
}

static void give(struct drive *drive, struct tcmu_cmd_entry *entry, const char *data,
		 size_t size)
{
	move(drive, entry, (char *)data, size, true);
	entry->rsp.scsi_status = 0;
}

/* ---- commands ---- */

static uint32_t length_of(const uint8_t *cdb)
{
	return (uint32_t)cdb[2] << 16 | (uint32_t)cdb[3] << 8 | cdb[4];
}

static void nothing(struct drive *drive, struct tcmu_cmd_entry *entry, const uint8_t *cdb)
{
	(void)drive;
	(void)cdb;
	entry->rsp.scsi_status = 0;
}

static void go_back(struct drive *drive, struct tcmu_cmd_entry *entry, const uint8_t *cdb)
{
	(void)cdb;
	drive->at_begin = true;
	entry->rsp.scsi_status = 0;
}

static void take_record(struct drive *drive, struct tcmu_cmd_entry *entry, const uint8_t *cdb)
{
	if (drive->at_begin) {
		drive->length = length_of(cdb);
		move(drive, entry, drive->kept, drive->length, false);
	}
	drive->at_begin = false;
	entry->rsp.scsi_status = 0;
}

static void give_record(struct drive *drive, struct tcmu_cmd_entry *entry, const uint8_t *cdb)
{
	drive->at_begin = false;
	if (length_of(cdb) == drive->length)
		give(drive, entry, drive->kept, drive->length);
	else
		refuse(entry, BLANK_CHECK, 0);
}

static void inquiry(struct drive *drive, struct tcmu_cmd_entry *entry, const uint8_t *cdb)
{
	static const char product[36] = "\1\200\2\2\37\0\0\0" "PMT     COUNTING TAPE   1   ";

	if (cdb[1] & 1)
		refuse(entry, ILLEGAL_REQUEST, 0x24);
	else
		give(drive, entry, product, sizeof(product));
}

static void limits(struct drive *drive, struct tcmu_cmd_entry *entry, const uint8_t *cdb)
{
	static const char blocks[6] = { 0, '\377', '\377', '\377', 0, 1 };

	(void)cdb;
	give(drive, entry, blocks, sizeof(blocks));
}

static void modes(struct drive *drive, struct tcmu_cmd_entry *entry, const uint8_t *cdb)
{
	static const char buffered[12] = { 11, 0, 0x10, 8 };

	(void)cdb;
	give(drive, entry, buffered, sizeof(buffered));
}

static void no_sense(struct drive *drive, struct tcmu_cmd_entry *entry, const uint8_t *cdb)
{
	static const char sense[18] = { 0x70, [7] = 10 };

	(void)cdb;
	give(drive, entry, sense, sizeof(sense));
}

static const struct operation {
	uint8_t code;
	void (*execute)(struct drive *drive, struct tcmu_cmd_entry *entry, const uint8_t *cdb);
} operations[] = {
	{ 0x00, nothing },	/* TEST UNIT READY */
	{ 0x01, go_back },	/* REWIND */
	{ 0x03, no_sense },	/* REQUEST SENSE */
	{ 0x05, limits },	/* READ BLOCK LIMITS */
	{ 0x08, give_record },	/* READ */
	{ 0x0a, take_record },	/* WRITE */
	{ 0x10, nothing },	/* WRITE FILEMARKS */
	{ 0x11, nothing },	/* SPACE */
	{ 0x12, inquiry },	/* INQUIRY */
	{ 0x15, nothing },	/* MODE SELECT */
	{ 0x1a, modes },	/* MODE SENSE */
	{ 0x1b, nothing },	/* LOAD UNLOAD */
	{ 0x1e, nothing },	/* PREVENT ALLOW MEDIUM REMOVAL */
};

static void execute(struct drive *drive, struct tcmu_cmd_entry *entry)
{
	uint8_t cdb[6];

	memcpy(cdb, drive->area + entry->req.cdb_off, sizeof(cdb));
	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++)
		if (operations[i].code == cdb[0]) {
			operations[i].execute(drive, entry, cdb);
			return;
		}
	refuse(entry, ILLEGAL_REQUEST, 0x20);
}

/* ---- the ring ---- */

/* All that the kernel has put into the ring. */
static void serve(struct drive *drive)
{
	uint32_t *head = word(drive, offsetof(struct tcmu_mailbox, cmd_head));
	uint32_t *tail = word(drive, offsetof(struct tcmu_mailbox, cmd_tail));
	uint32_t at = *tail;

	while (at != __atomic_load_n(head, __ATOMIC_ACQUIRE)) {
		struct tcmu_cmd_entry *entry =
			(void *)(drive->area + drive->box->cmdr_off + at);
		uint32_t len_op = entry->hdr.len_op;

		if (tcmu_hdr_get_op(len_op) == TCMU_OP_CMD)
			execute(drive, entry);
		else if (tcmu_hdr_get_op(len_op) != TCMU_OP_PAD)
			entry->hdr.uflags |= TCMU_UFLAG_UNKNOWN_OP;
		at = (at + tcmu_hdr_get_len(len_op)) % drive->box->cmdr_size;
		__atomic_store_n(tail, at, __ATOMIC_RELEASE);
	}
}

static size_t size_of_area(const char *node)
{
	const char *name = strrchr(node, '/');
	unsigned long long size = 0;
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/uio/%s/maps/map0/size",
		 name ? name + 1 : node);
	file = fopen(path, "re");
	if (file) {
		if (fscanf(file, "%llx", &size) != 1)
			size = 0;
		fclose(file);
	}
	return size;
}

int main(int argc, char **argv)
{
	static char kept[LARGEST];
	struct drive drive = { .kept = kept, .at_begin = true };
	int32_t events = 0;
	size_t size;
	int fd;

	if (argc != 2) {
		fprintf(stderr, "usage: tcmu /dev/uioN\n");
		return 2;
	}
	size = size_of_area(argv[1]);
	fd = open(argv[1], O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		drive.area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || drive.area == MAP_FAILED) {
		fprintf(stderr, "tcmu: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	drive.box = (void *)drive.area;
	do {
		serve(&drive);
		if (write(fd, &events, sizeof(events)) != sizeof(events))
			break;
	} while (read(fd, &events, sizeof(events)) == sizeof(events));
	fprintf(stderr, "tcmu: %s: %s\n", argv[1], strerror(errno));
	return 1;
}
