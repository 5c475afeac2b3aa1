// SPDX-License-Identifier: GPL-2.0
/*
 * SG_IO, as far as programs ask a tape who it is: INQUIRY and TEST UNIT READY.
 *
 * There is no SCSI drive below, so nothing is passed on: other commands get
 * ILLEGAL REQUEST, and other ioctls EINVAL.  As under st, CAP_SYS_RAWIO is
 * needed.  The form of 32-bit programs is not known here.
 */
#include <linux/capability.h>
#include <linux/compat.h>
#include <linux/minmax.h>
#include <linux/uaccess.h>
#include <scsi/scsi_proto.h>
#include <scsi/sg.h>

#include "pmtm.h"

#define PMTM_INQUIRY_MAX	64
#define PMTM_SENSE_SIZE		18
#define PMTM_VPD		1	/* EVPD, of byte 1 */

/* What a command answers; status, then data or sense. */
struct pmtm_scsi_answer {
	u8 status;
	u8 data[PMTM_INQUIRY_MAX];
	u32 length;
	u8 sense[PMTM_SENSE_SIZE];
};

static void pmtm_scsi_check(struct pmtm_scsi_answer *answer, u8 key, u8 asc, u8 ascq)
{
	answer->status = SAM_STAT_CHECK_CONDITION;
	answer->sense[0] = 0x70;
	answer->sense[2] = key;
	answer->sense[7] = PMTM_SENSE_SIZE - 8;
	answer->sense[12] = asc;
	answer->sense[13] = ascq;
}

static void pmtm_scsi_inquiry_standard(struct pmtm_scsi_answer *answer)
{
	u8 *data = answer->data;

	data[1] = 0x80;		/* removable medium */
	data[2] = 6;		/* SPC-4 */
	data[3] = 2;
	data[4] = 36 - 5;
	memcpy(data + 8, "PMT     ", 8);
	memcpy(data + 16, "PSEUDO TAPE     ", 16);
	memcpy(data + 32, "1   ", 4);
	answer->length = 36;
}

static void pmtm_scsi_inquiry(struct pmtm_tape *tape, const u8 *cdb,
			      struct pmtm_scsi_answer *answer)
{
	u8 *data = answer->data;

	data[0] = TYPE_TAPE;
	if (!(cdb[1] & PMTM_VPD)) {
		pmtm_scsi_inquiry_standard(answer);
		return;
	}
	data[1] = cdb[2];
	switch (cdb[2]) {
	case 0x00:
		data[3] = 2;
		data[5] = 0x80;
		answer->length = 6;
		break;
	case 0x80:	/* the serial number: the unit's identity */
		data[3] = scnprintf(data + 4, PMTM_INQUIRY_MAX - 4, "%016llx",
				    tape->unit->id);
		answer->length = 4 + data[3];
		break;
	default:
		pmtm_scsi_check(answer, ILLEGAL_REQUEST, 0x24, 0);
	}
}

static void pmtm_scsi_execute(struct pmtm_tape *tape, const u8 *cdb,
			      struct pmtm_scsi_answer *answer)
{
	switch (cdb[0]) {
	case INQUIRY:
		pmtm_scsi_inquiry(tape, cdb, answer);
		break;
	case TEST_UNIT_READY:
		if (tape->ready == PMTM_NO_TAPE)
			pmtm_scsi_check(answer, NOT_READY, 0x3a, 0);
		else if (tape->ready != PMTM_READY)
			pmtm_scsi_check(answer, NOT_READY, 0x04, 0);
		break;
	default:
		pmtm_scsi_check(answer, ILLEGAL_REQUEST, 0x20, 0);
	}
}

static int pmtm_scsi_give(struct sg_io_hdr *hdr, const u8 *cdb,
			  const struct pmtm_scsi_answer *answer)
{
	u32 length = min3(answer->length, hdr->dxfer_len, (u32)cdb[3] << 8 | cdb[4]);
	u32 sense = 0;

	if (length && copy_to_user(hdr->dxferp, answer->data, length))
		return -EFAULT;
	if (answer->status)
		sense = min_t(u32, hdr->mx_sb_len, PMTM_SENSE_SIZE);
	if (sense && hdr->sbp && copy_to_user(hdr->sbp, answer->sense, sense))
		return -EFAULT;
	hdr->status = answer->status;
	hdr->masked_status = answer->status >> 1;
	hdr->msg_status = 0;
	hdr->host_status = 0;
	hdr->driver_status = 0;
	hdr->sb_len_wr = sense;
	hdr->resid = hdr->dxfer_len - length;
	hdr->duration = 0;
	hdr->info = answer->status ? SG_INFO_CHECK : 0;
	return 0;
}

static int pmtm_sg_io(struct pmtm_tape *tape, void __user *arg)
{
	struct pmtm_scsi_answer answer = {};
	struct sg_io_hdr hdr;
	u8 cdb[16] = {};
	int ret;

	if (copy_from_user(&hdr, arg, sizeof(hdr)))
		return -EFAULT;
	if (hdr.interface_id != 'S' || hdr.iovec_count || hdr.cmd_len < 6 ||
	    hdr.cmd_len > sizeof(cdb))
		return -EINVAL;
	if (copy_from_user(cdb, hdr.cmdp, hdr.cmd_len))
		return -EFAULT;
	pmtm_scsi_execute(tape, cdb, &answer);
	ret = pmtm_scsi_give(&hdr, cdb, &answer);
	if (!ret && copy_to_user(arg, &hdr, sizeof(hdr)))
		ret = -EFAULT;
	return ret;
}

long pmtm_scsi(struct pmtm_tape *tape, unsigned int code, void __user *arg)
{
	if (!tape->definitions[tape->mode].defined)
		return -ENXIO;
	if (code != SG_IO || in_compat_syscall())
		return -EINVAL;
	if (!capable(CAP_SYS_RAWIO))
		return -EPERM;
	return tape->lost ? -EIO : pmtm_sg_io(tape, arg);
}
