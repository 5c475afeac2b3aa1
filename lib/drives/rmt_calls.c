// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * rmt: the calls of st, as requests to a server; see remote.h.
 *
 * What a server understands.  Version 1 (I-1, right behind the opening) fixes what
 * the numbers of operations mean: Schily's, dump's and pmt's servers have it.  One
 * that has not is used only if the administrator has said whose numbers it takes:
 * 6 is a rewind here and ejects the cartridge there.
 *
 *	version 1	the eight operations, i (end of data, erase), s (the status
 *			number by number).  L with dump's own two ways is the
 *			place: of pmt's and dump's servers; the others refuse it
 *	os=linux	every number of mtio.h; that is GNU's server, which wants a
 *			line behind S, and has no place: its L is lseek
 *	os=bsd		the eight operations, and S
 *
 * What st has and the server has not: its options are taken to be those that it
 * is to have.  So is a block size of 0, unless the status of st tells another one:
 * st would divide each record, and numbers of blocks would not be ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <scsi/sg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "remote.h"

#define CONNECT_DEFAULT	30LL	/* s, where nothing is said */

int pmt_remote_lose(struct pmt_remote *r, int rc)
{
	bool open = r->open;

	if (open)
		pmt_log(LOG_WARNING, "%s: the connection is lost: %s", r->st.path,
			rc == -EPIPE ? "it was closed" : strerror(-rc));
	r->lost = r->lost || !r->opening;
	r->open = false;
	pmt_wire_close(&r->wire);
	pthread_mutex_lock(&r->lock);
	r->shown.connected = false;
	r->shown.lost += open;
	pthread_mutex_unlock(&r->lock);
	return -ENOLINK;
}

/* ---- requests ---- */

static int put(struct pmt_remote *r, char *text, size_t size,
	       const struct pmt_rmt_request *request)
{
	int n = pmt_rmt_request_put(text, size - 1, request);

	if (n > 0 && request->op == 'S' && !r->version1 && r->order == PMT_RMT_ORDER_LINUX)
		text[n++] = '\n';
	return n;
}

static int send_request(struct pmt_remote *r, const struct pmt_rmt_request *request,
			const void *data, size_t length)
{
	char text[PMT_RMT_REQUEST_MAX];
	struct iovec iov[2] = { { text, 0 }, { (void *)(uintptr_t)data, length } };
	int n = put(r, text, sizeof(text), request);

	if (n < 0)
		return n;
	iov[0].iov_len = (size_t)n;
	n = r->wire.fd < 0 ? -EPIPE : pmt_wire_send(&r->wire, iov, length ? 2 : 1);
	return n ? pmt_remote_lose(r, n) : 0;
}

/* The number of the reply, or -errno. */
static int64_t answer(struct pmt_remote *r)
{
	struct pmt_rmt_reply reply;
	int rc = pmt_wire_reply(&r->wire, &reply);

	if (rc)
		return pmt_remote_lose(r, rc);
	if (reply.kind == PMT_RMT_ERROR)
		return -reply.error;
	return reply.value < 0 ? -EIO : reply.value;
}

static int64_t ask_with(struct pmt_remote *r, const struct pmt_rmt_request *request,
			const void *data, size_t length)
{
	int rc = send_request(r, request, data, length);

	return rc ? rc : answer(r);
}

static int64_t ask(struct pmt_remote *r, struct pmt_rmt_request request)
{
	return ask_with(r, &request, NULL, 0);
}

/* ---- opening ---- */

static int connect_to(struct pmt_remote *r)
{
	const char *const shell[] = { "/bin/sh", "-c", r->command, NULL };
	char patience[40];
	const char *ssh[20] = {
		"ssh", "-T", "-x", "-a", "-o", "BatchMode=yes",
		"-o", "ServerAliveInterval=15", "-o", patience,
	};
	int n = 10, rc;

	snprintf(patience, sizeof(patience), "ConnectTimeout=%lld",
		 r->recovery ? (long long)r->recovery / 1000 : CONNECT_DEFAULT);
	if (r->config) {
		ssh[n++] = "-F";
		ssh[n++] = r->config;
	}
	ssh[n++] = "--";
	ssh[n++] = r->host;
	ssh[n++] = r->program;
	rc = pmt_wire_open(&r->wire, r->command ? shell : ssh);
	if (rc)
		pmt_log(LOG_ERR, "%s: %s: %s", r->st.path, r->command ? "/bin/sh" : "ssh",
			strerror(-rc));
	return rc;
}

static int agree(struct pmt_remote *r)
{
	int64_t version = ask(r, (struct pmt_rmt_request){
		.op = 'I', .number = PMT_RMT_VERSION_OP,
	});

	if (version == -ENOLINK)
		return -ENOLINK;
	r->version1 = version > 0;
	r->order = r->version1 ? PMT_RMT_ORDER_BSD : r->stated;
	if (r->order != PMT_RMT_ORDER_NONE)
		return 0;
	pmt_log(LOG_ERR, "%s: its server does not know version 1 of the protocol, so that "
		"nobody knows what an operation means there: say os=linux or os=bsd, if that "
		"is what it is", r->st.path);
	return -EPROTO;
}

static int64_t open_device(struct pmt_remote *r)
{
	struct pmt_rmt_request request = { .op = 'O', .device = r->device, .flags = O_RDWR };
	int64_t rc = ask(r, request), again;

	r->read_only = false;
	if (rc != -EROFS && rc != -EACCES)
		return rc;
	request.flags = O_RDONLY;
	again = ask(r, request);
	r->read_only = again >= 0;
	return again < 0 ? rc : again;
}

static int remote_status(struct pmt_remote *, struct mtget *);

/* Who is to change it must be able to open the device. */
static int check_block_size(struct pmt_remote *r, const struct mtget *status)
{
	unsigned int size = (unsigned int)status->mt_dsreg & MT_ST_BLKSIZE_MASK;

	if (!size || r->order == PMT_RMT_ORDER_LINUX)
		return 0;
	pmt_log(LOG_ERR, "%s: st there makes blocks of %u bytes of all records, and the "
		"server cannot change that; do it there: mt -f %s setblk 0", r->st.path, size,
		r->device);
	pmt_wire_close(&r->wire);
	return -EINVAL;
}

static int examine(struct pmt_remote *r)
{
	struct mtget status;
	int rc = agree(r);

	if (rc == 0)
		rc = remote_status(r, &status);
	if (rc == -ENOTTY || rc == -EINVAL) {
		pmt_log(LOG_ERR, "%s: is no tape drive there", r->st.path);
		rc = -ENODEV;
	}
	return rc ? rc : check_block_size(r, &status);
}

static int try_to_open(struct pmt_remote *r)
{
	int rc = r->wire.fd < 0 ? connect_to(r) : 0;

	r->empty = r->full = false;
	if (rc)
		return rc;
	rc = (int)open_device(r);
	r->empty = rc == -ENOMEDIUM;
	if (r->empty)
		return 0;
	return rc < 0 ? rc : examine(r);
}

static int remote_open(struct pmt_st *st, int flags)
{
	struct pmt_remote *r = pmt_remote_of(st);
	int rc;

	(void)flags;
	r->opening = true;
	rc = try_to_open(r);
	r->opening = false;
	if (rc)
		return rc;
	r->open = true;
	r->lost = false;
	pthread_mutex_lock(&r->lock);
	r->shown.connected = true;
	pthread_mutex_unlock(&r->lock);
	return r->wire.fd;
}

/* GNU's server goes when it has closed; nobody knows that of others. */
static void remote_close(struct pmt_st *st)
{
	struct pmt_remote *r = pmt_remote_of(st);
	int64_t rc = 0;

	if (r->open && !r->empty)
		rc = ask(r, (struct pmt_rmt_request){ .op = 'C' });
	if (rc < 0 && rc != -ENOLINK)
		pmt_log(LOG_ERR, "%s: closing it: %s", st->path, strerror((int)-rc));
	r->open = false;
	if (!r->version1)
		pmt_wire_close(&r->wire);
}

/* ---- data ---- */

static ssize_t remote_read(struct pmt_st *st, void *buffer, size_t size)
{
	struct pmt_remote *r = pmt_remote_of(st);
	int64_t n = ask(r, (struct pmt_rmt_request){ .op = 'R', .count = (int64_t)size });
	int rc;

	if (n < 0)
		return n;
	r->zeros = n ? 0 : r->zeros + 1;
	rc = (uint64_t)n > size ? -EBADMSG : pmt_wire_data(&r->wire, buffer, (size_t)n);
	return rc ? pmt_remote_lose(r, rc) : n;
}

static ssize_t remote_write(struct pmt_st *st, const void *data, size_t length)
{
	struct pmt_remote *r = pmt_remote_of(st);
	struct pmt_rmt_request request = { .op = 'W', .count = (int64_t)length };
	int64_t n = ask_with(r, &request, data, length);

	/* Some servers tell the end by that. */
	if (n == 0)
		n = -ENOSPC;
	r->full = r->full || n == -ENOSPC;
	return (uint64_t)n > length && n > 0 ? pmt_remote_lose(r, -EBADMSG) : n;
}

/* ---- MTIOCTOP ---- */

static int64_t reload(struct pmt_remote *r)
{
	int rc;

	remote_close(&r->st);
	rc = remote_open(&r->st, O_RDWR);
	return rc < 0 ? rc : r->empty ? -EIO : 0;
}

static int64_t operation(struct pmt_remote *r, char letter, int number, int count)
{
	return ask(r, (struct pmt_rmt_request){ .op = letter, .number = number,
						.count = count });
}

/* The options of st need not be allowed. */
static int64_t by_number(struct pmt_remote *r, const struct mtop *op)
{
	int64_t rc = operation(r, 'I', op->mt_op, op->mt_count);

	if (op->mt_op != MTSETDRVBUFFER || rc != -EPERM)
		return rc;
	pmt_log(LOG_NOTICE, "%s: the options of st there stay as they are (not permitted)",
		r->st.path);
	return 0;
}

static int64_t by_version(struct pmt_remote *r, const struct mtop *op)
{
	switch (op->mt_op) {
	case MTEOM:
		return operation(r, 'i', PMT_RMT_EOM, op->mt_count);
	case MTERASE:
		return operation(r, 'i', PMT_RMT_ERASE, op->mt_count);
	case MTSEEK:
		return ask(r, (struct pmt_rmt_request){
			.op = 'L', .number = PMT_RMT_GOTO, .count = (uint32_t)op->mt_count,
		});
	default:
		return -ENOTSUP;
	}
}

static int64_t by_meaning(struct pmt_remote *r, const struct mtop *op)
{
	int number = pmt_rmt_op_encode(PMT_RMT_ORDER_BSD, op->mt_op);

	if (number >= 0)
		return operation(r, 'I', number, op->mt_count);
	switch (op->mt_op) {
	case MTTELL:	/* no motion, but not a write: all that is wanted */
		return operation(r, 'I', pmt_rmt_op_encode(PMT_RMT_ORDER_BSD, MTFSR), 0);
	case MTLOAD:
		return reload(r);
	case MTSETDRVBUFFER:
		return 0;
	case MTSETBLK:
		return op->mt_count ? -ENOTSUP : 0;
	default:
		return r->version1 ? by_version(r, op) : -ENOTSUP;
	}
}

/* What a server did not know when it had lost its place. */
static void ask_place_again(struct pmt_remote *r)
{
	__u64 lbn;

	r->st.positions = true;
	r->st.positions = pmt_st_lbn(&r->st, &lbn) == 0;
}

static int remote_op(struct pmt_remote *r, const struct mtop *op)
{
	int64_t rc;

	if (op->mt_op != MTLOAD && r->empty)
		return -ENOMEDIUM;
	r->rewinding = r->rewinding || op->mt_op == MTREW;
	rc = r->order == PMT_RMT_ORDER_LINUX ? by_number(r, op) : by_meaning(r, op);
	if (op->mt_op == MTREW && rc != -ENOLINK)
		r->rewinding = false;
	r->zeros = 0;
	if (op->mt_op != MTWEOF && op->mt_op != MTTELL && !r->repeating)
		r->full = false;
	if (rc >= 0 && op->mt_op == MTREW && !r->st.positions)
		ask_place_again(r);
	return rc < 0 ? (int)rc : 0;
}

/* ---- MTIOCGET ---- */

static int64_t *value_of(struct pmt_rmt_status *status, char what)
{
	switch (what) {
	case 'T': return &status->type;
	case 'D': return &status->dsreg;
	case 'R': return &status->resid;
	case 'F': return &status->file;
	case 'B': return &status->block;
	default: return &status->gstat;
	}
}

/* One by one, all in one go.  The flags are not everywhere. */
static int by_letters(struct pmt_remote *r, struct pmt_rmt_status *status, bool *flags)
{
	static const char letters[] = "TDRFBf";
	char text[2 * sizeof(letters)];
	struct iovec iov = { text, 0 };
	int rc, worst = 0;

	for (const char *what = letters; *what; what++) {
		text[iov.iov_len++] = 's';
		text[iov.iov_len++] = *what;
	}
	rc = r->wire.fd < 0 ? -EPIPE : pmt_wire_send(&r->wire, &iov, 1);
	if (rc)
		return pmt_remote_lose(r, rc);
	for (const char *what = letters; *what; what++) {
		struct pmt_rmt_reply reply;

		rc = pmt_wire_reply(&r->wire, &reply);
		if (rc)
			return pmt_remote_lose(r, rc);
		if (reply.kind == PMT_RMT_OK)
			*value_of(status, *what) = reply.value;
		else if (*what == 'f')
			*flags = false;
		else
			worst = -reply.error;
	}
	return worst;
}

/* As it lies in the server's memory. */
static int by_memory(struct pmt_remote *r, struct pmt_rmt_status *status)
{
	char bytes[PMT_RMT_MTGET_MAX];
	int64_t n = ask(r, (struct pmt_rmt_request){ .op = 'S' });
	int rc;

	if (n < 0)
		return (int)n;
	if ((uint64_t)n > sizeof(bytes))
		return pmt_remote_lose(r, -EBADMSG);
	rc = pmt_wire_data(&r->wire, bytes, (size_t)n);
	if (rc)
		return pmt_remote_lose(r, rc);
	return pmt_rmt_mtget_decode(bytes, (size_t)n, status);
}

/*
 * Flags of other systems are small numbers, and mean other things, as does the rest of
 * such a status.  Where there is no st, two marks one behind the other are the end.
 */
static long flags_of(const struct pmt_remote *r, const struct pmt_rmt_status *status,
		     bool flags)
{
	long value = GMT_ONLINE(~0L) | GMT_IM_REP_EN(~0L);

	if (flags)
		value = (long)status->gstat;
	else if (r->zeros > 1)
		value |= GMT_EOD(~0L);
	if (r->read_only)
		value |= GMT_WR_PROT(~0L);
	if (r->full)
		value |= GMT_EOT(~0L);
	return value;
}

static int remote_status(struct pmt_remote *r, struct mtget *get)
{
	struct pmt_rmt_status status = { .file = -1, .block = -1 };
	bool flags = true;
	int rc = 0;

	*get = (struct mtget){ .mt_fileno = -1, .mt_blkno = -1,
			       .mt_gstat = GMT_DR_OPEN(~0L) };
	if (r->empty)
		return 0;
	if (r->version1)
		rc = by_letters(r, &status, &flags);
	if (rc == 0 && (!r->version1 || !flags)) {
		rc = by_memory(r, &status);
		flags = rc == 0;
		rc = r->version1 && rc != -ENOLINK ? 0 : rc;
	}
	if (rc)
		return rc;
	flags = flags && status.gstat > 0xffff;
	get->mt_type = (long)status.type;
	get->mt_resid = flags ? (long)status.resid : 0;	/* the partition, under Linux */
	get->mt_dsreg = flags ? (long)status.dsreg : 0;
	get->mt_fileno = (int)status.file;
	get->mt_blkno = (int)status.block;
	get->mt_gstat = flags_of(r, &status, flags);
	return 0;
}

/* ---- the calls ---- */

static int remote_position(struct pmt_remote *r, struct mtpos *position)
{
	int64_t lbn = -ENOTSUP;

	if (r->version1 && !r->empty)
		lbn = ask(r, (struct pmt_rmt_request){ .op = 'L', .number = PMT_RMT_TELL });
	if (lbn < 0)
		return (int)lbn;
	if (lbn > UINT32_MAX)
		return -EIO;
	position->mt_blkno = lbn;
	return 0;
}

static int remote_ioctl(struct pmt_st *st, unsigned long request, void *argument)
{
	struct pmt_remote *r = pmt_remote_of(st);

	switch (request) {
	case MTIOCTOP:
		return remote_op(r, argument);
	case MTIOCGET:
		return remote_status(r, argument);
	case MTIOCPOS:
		return remote_position(r, argument);
	default:
		return -ENOTSUP;
	}
}

static void remote_wait(unsigned int ms)
{
	pmt_st_system.wait(ms);
}

const struct pmt_st_calls pmt_remote_calls = {
	.open = remote_open,
	.close = remote_close,
	.read = remote_read,
	.write = remote_write,
	.ioctl = remote_ioctl,
	.wait = remote_wait,
};
