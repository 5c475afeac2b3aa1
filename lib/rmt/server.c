// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The RMT server: one client, one tape at a time.
 *
 * A session reads a request, executes it on the tape and answers; what the client
 * sends ahead waits in the pipe.  The data of a W is read whatever becomes of it, as
 * the next request is behind it; data that ends early is not written.  When the
 * client goes, the tape is closed as a killed program's is: with its filemark.
 *
 * Buffers belong to the session and are as large as the largest record that was
 * asked for, at most what the drives take.  Errors go to the client by number and
 * with the text of strerror(3); what more there is to say goes to the log.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mtio.h>
#include <syslog.h>

#include "rmt.h"

#define INPUT_SIZE	512	/* small: data is read to where it belongs */
#define DROP_SIZE	16384
#define HEAD_SIZE	32	/* before the data of an R, for the reply */

struct session {
	const struct pmt_rmt_config *config;
	const struct pmt_rmt_io *io;

	struct pmt_rmt_parser parser;
	char input[INPUT_SIZE];
	size_t from, to;		/* of input, not parsed yet */

	char *buffer;			/* HEAD_SIZE, and the record */
	size_t room;			/* for the record */

	bool open;
	struct pmt_rmt_tape tape;	/* the finder's, while open */
	struct pmt_drive *drive;
	struct pmt_rmt_state *state;
	struct pmt_rmt_st st;
	enum pmt_rmt_order order;
};

/* Bytes in and out */

/* 1: there is some; 0: the end; -errno. */
static int fill(struct session *s)
{
	ssize_t n;

	if (s->from < s->to)
		return 1;
	n = s->io->read(s->io->context, s->input, sizeof(s->input));
	s->from = 0;
	s->to = n > 0 ? (size_t)n : 0;
	return n < 0 ? (int)n : n > 0;
}

static int read_some(struct session *s, char *to, size_t size)
{
	ssize_t n;

	if (s->from < s->to) {
		n = (ssize_t)(s->to - s->from < size ? s->to - s->from : size);
		memcpy(to, s->input + s->from, (size_t)n);
		s->from += (size_t)n;
		return (int)n;
	}
	n = s->io->read(s->io->context, to, size < INT32_MAX ? size : INT32_MAX);
	return n ? (int)n : -EPIPE;
}

static int read_all(struct session *s, char *to, size_t size)
{
	while (size) {
		int n = read_some(s, to, size);

		if (n < 0)
			return n;
		to += n;
		size -= (size_t)n;
	}
	return 0;
}

static int drop(struct session *s, int64_t size)
{
	char bytes[DROP_SIZE];

	while (size > 0) {
		int n = read_some(s, bytes, size < DROP_SIZE ? (size_t)size : DROP_SIZE);

		if (n < 0)
			return n;
		size -= n;
	}
	return 0;
}

static int answer(struct session *s, int64_t value)
{
	char text[HEAD_SIZE];
	int n = pmt_rmt_reply_ok(text, sizeof(text), value);

	return n < 0 ? n : s->io->write(s->io->context, text, (size_t)n);
}

static int refuse(struct session *s, int error)
{
	char text[PMT_RMT_TEXT_MAX];
	int n = pmt_rmt_reply_error(text, sizeof(text), -error);

	return n < 0 ? n : s->io->write(s->io->context, text, (size_t)n);
}

static int answer_or_refuse(struct session *s, int64_t value)
{
	return value < 0 ? refuse(s, (int)value) : answer(s, value);
}

/* Room for a record of that size.  What is larger than any drive takes: -EINVAL. */
static int make_room(struct session *s, size_t size)
{
	char *buffer;

	if (size > s->st.limits.record_max || size > PMT_RECORD_MAX)
		return -EINVAL;
	if (s->buffer && size <= s->room)
		return 0;
	buffer = realloc(s->buffer, HEAD_SIZE + size);
	if (!buffer)
		return -ENOMEM;
	s->buffer = buffer;
	s->room = size;
	return 0;
}

/* Opening and closing */

static int open_drive(struct session *s)
{
	_cleanup_free_ char *error = NULL;
	int rc = pmt_drive_open(&s->drive, s->tape.spec, &error);

	/* Without a text the drive has logged why. */
	if (rc && error)
		pmt_log(LOG_ERR, "%s: %s", s->tape.spec, error);
	/* The specification is the administrator's: to the client it is a broken drive. */
	return rc == -EINVAL || rc == -ERANGE || rc == -ENOENT ? -EIO : rc;
}

static int open_state(struct session *s, struct pmt_rmt_st_kept *kept)
{
	*kept = (struct pmt_rmt_st_kept){ .place = { .generation = 1 } };
	return s->tape.state ? pmt_rmt_state_open(&s->state, s->tape.state, kept) : 0;
}

static void close_drive(struct session *s)
{
	pmt_drive_close(s->drive);
	pmt_rmt_state_close(s->state);
	s->drive = NULL;
	s->state = NULL;
	s->open = false;
}

/* Whoever dies from now on leaves the state "busy". */
static int mark_busy(struct session *s)
{
	struct pmt_rmt_st_kept kept = s->st.kept;

	kept.busy = true;
	return s->state ? pmt_rmt_state_store(s->state, &kept) : 0;
}

static int open_tape(struct session *s, int flags)
{
	struct pmt_rmt_st_kept kept;
	int rc = open_state(s, &kept);

	if (rc == 0)
		rc = open_drive(s);
	if (rc == 0) {
		s->st = (struct pmt_rmt_st){ .eot = s->tape.eot, .rewind = s->tape.rewind };
		rc = pmt_rmt_st_open(&s->st, s->drive, &kept, flags);
	}
	if (rc == 0) {
		rc = mark_busy(s);
		if (rc)
			pmt_rmt_st_close(&s->st);
	}
	if (rc)
		close_drive(s);
	s->open = rc == 0;
	return rc;
}

static int close_tape(struct session *s)
{
	int rc, stored = 0;

	if (!s->open)
		return 0;
	rc = pmt_rmt_st_close(&s->st);
	if (s->state)
		stored = pmt_rmt_state_store(s->state, &s->st.kept);
	close_drive(s);
	return rc ? rc : stored;
}

static enum pmt_rmt_order order_of(const struct pmt_rmt_tape *tape)
{
	switch (tape->numbers) {
	case PMT_RMT_NUMBERS_BSD:
		return PMT_RMT_ORDER_BSD;
	case PMT_RMT_NUMBERS_LINUX:
		return PMT_RMT_ORDER_LINUX;
	default:
		return PMT_RMT_ORDER_NONE;
	}
}

static int find(struct session *s, const struct pmt_rmt_request *request)
{
	int rc;

	s->tape = (struct pmt_rmt_tape){ .spec = NULL };
	rc = s->config->find(s->config->context, request->device, &s->tape);
	if (rc == 0 && s->tape.readonly && (request->flags & O_ACCMODE) != O_RDONLY)
		rc = -EROFS;
	return rc;
}

static int do_open(struct session *s, const struct pmt_rmt_request *request)
{
	int rc = close_tape(s);

	if (rc)
		pmt_log(LOG_ERR, "the tape before: %s", strerror(-rc));
	rc = find(s, request);
	if (rc == 0)
		rc = open_tape(s, request->flags);
	if (rc == 0)
		s->order = order_of(&s->tape);
	return answer_or_refuse(s, rc);
}

static int do_close(struct session *s, const struct pmt_rmt_request *request)
{
	(void)request;
	return answer_or_refuse(s, s->open ? close_tape(s) : -EBADF);
}

/* Data */

static int do_write(struct session *s, const struct pmt_rmt_request *request)
{
	size_t size = (size_t)request->count;
	ssize_t n = s->open ? make_room(s, size) : -EBADF;
	int rc;

	if (n)
		rc = drop(s, request->count);
	else
		rc = read_all(s, s->buffer + HEAD_SIZE, size);
	if (rc)
		return rc;
	if (n == 0)
		n = pmt_rmt_st_write(&s->st, s->buffer + HEAD_SIZE, size);
	if (n == -ENOSPC && s->tape.short_writes)
		n = 0;
	return answer_or_refuse(s, n);
}

/* The reply stands right before the data, and goes out with it. */
static int do_read(struct session *s, const struct pmt_rmt_request *request)
{
	size_t size = (size_t)request->count;
	ssize_t n = s->open ? make_room(s, size) : -EBADF;
	char head[HEAD_SIZE];
	char *data;
	int length;

	if (n == 0)
		n = pmt_rmt_st_read(&s->st, s->buffer + HEAD_SIZE, size);
	if (n < 0)
		return refuse(s, (int)n);
	length = pmt_rmt_reply_ok(head, sizeof(head), n);
	if (length < 0)
		return length;
	data = s->buffer + HEAD_SIZE - length;
	memcpy(data, head, (size_t)length);
	return s->io->write(s->io->context, data, (size_t)length + (size_t)n);
}

/* Operations */

static void explain_numbers(int number)
{
	pmt_log(LOG_ERR, "operation %d: its meaning is not known, as the client asked for no "
		"version of the protocol; set numbers of this tape to linux or bsd", number);
}

static int do_operation(struct session *s, const struct pmt_rmt_request *request)
{
	int op, rc;

	if (request->number == PMT_RMT_VERSION_OP && s->open) {
		s->order = PMT_RMT_ORDER_BSD;
		return answer(s, 1);
	}
	if (!s->open)
		return refuse(s, -EBADF);
	op = pmt_rmt_op_decode(s->order, request->number);
	if (op == -ENOTSUP) {
		explain_numbers(request->number);
		op = -EINVAL;
	}
	rc = op < 0 ? op : pmt_rmt_st_op(&s->st, op, request->count);
	return rc ? refuse(s, rc) : answer(s, request->count > 0 ? request->count : 0);
}

/* To the beginning of the file that is so many files back. */
static int to_file_back(struct pmt_rmt_st *st, int64_t count)
{
	int64_t file = st->kept.file;

	if (file < 0 || count < 0 || count > file)
		return -EIO;
	return count == file ? pmt_rmt_st_op(st, MTREW, 1) : pmt_rmt_st_op(st, MTBSFM, count + 1);
}

static int do_more(struct session *s, const struct pmt_rmt_request *request)
{
	int rc;

	if (!s->open)
		return refuse(s, -EBADF);
	switch (request->number) {
	case PMT_RMT_RETEN:
		rc = pmt_rmt_st_op(&s->st, MTRETEN, request->count);
		break;
	case PMT_RMT_ERASE:
		rc = pmt_rmt_st_op(&s->st, MTERASE, request->count);
		break;
	case PMT_RMT_EOM:
		rc = pmt_rmt_st_op(&s->st, MTEOM, request->count);
		break;
	case PMT_RMT_NBSF:
		rc = to_file_back(&s->st, request->count);
		break;
	default:
		rc = -EINVAL;	/* the caches of a controller, which there is not */
		break;
	}
	return rc ? refuse(s, rc) : answer(s, request->count > 0 ? request->count : 0);
}

/* lseek(2) on a tape does nothing and says 0; dump has two more ways. */
static int do_seek(struct session *s, const struct pmt_rmt_request *request)
{
	int64_t value = 0;
	int rc = s->open ? 0 : -EBADF;

	if (rc == 0 && request->number == PMT_RMT_TELL) {
		rc = pmt_rmt_st_tell(&s->st, &value);
	} else if (rc == 0 && request->number == PMT_RMT_GOTO) {
		value = request->count;
		rc = value < 0 || value > UINT32_MAX ? -EINVAL :
		     pmt_rmt_st_op(&s->st, MTSEEK, value);
	}
	return rc ? refuse(s, rc) : answer(s, value);
}

/* Status */

static int do_status(struct session *s, const struct pmt_rmt_request *request)
{
	struct pmt_rmt_status status;
	char head[HEAD_SIZE];
	struct mtget get = { 0 };
	int rc = s->open ? pmt_rmt_st_status(&s->st, &status) : -EBADF;

	(void)request;
	if (rc)
		return refuse(s, rc);
	get.mt_type = (long)status.type;
	get.mt_resid = (long)status.resid;
	get.mt_dsreg = (long)status.dsreg;
	get.mt_gstat = (long)status.gstat;
	get.mt_erreg = (long)status.erreg;
	get.mt_fileno = (int)status.file;
	get.mt_blkno = (int)status.block;
	rc = pmt_rmt_reply_ok(head, sizeof(head), sizeof(get));
	if (rc > 0)
		rc = s->io->write(s->io->context, head, (size_t)rc);
	return rc ? rc : s->io->write(s->io->context, &get, sizeof(get));
}

/* One number of it.  Reading clears the errors: so only where they are asked for. */
static int do_one_status(struct session *s, const struct pmt_rmt_request *request)
{
	struct pmt_rmt_status status;
	uint32_t recovered = s->st.kept.recovered;

	if (!s->open)
		return refuse(s, -EBADF);
	pmt_rmt_st_status(&s->st, &status);
	if (request->what != 'E')
		s->st.kept.recovered = recovered;
	switch (request->what) {
	case 'T':
		return answer(s, status.type);
	case 'D':
		return answer(s, status.dsreg);
	case 'E':
		return answer(s, status.erreg);
	case 'R':
		return answer(s, status.resid);
	case 'F':
		return answer(s, status.file);
	case 'B':
		return answer(s, status.block);
	case 'f':
		return answer(s, status.gstat);
	case 'b':
		return answer(s, 0);
	default:
		return refuse(s, -EINVAL);
	}
}

static int do_version(struct session *s, const struct pmt_rmt_request *request)
{
	return answer(s, request->op == 'v' ? 1 : 2);
}

/* The session */

static const struct {
	char op;
	int (*run)(struct session *, const struct pmt_rmt_request *);
} requests[] = {
	{ 'W', do_write }, { 'R', do_read }, { 'O', do_open }, { 'C', do_close },
	{ 'I', do_operation }, { 'i', do_more }, { 'L', do_seek }, { 'S', do_status },
	{ 's', do_one_status }, { 'v', do_version }, { 'V', do_version },
};

static int run(struct session *s, const struct pmt_rmt_request *request)
{
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		if (requests[i].op == request->op)
			return requests[i].run(s, request);
	return -EBADMSG;
}

/* 1: there is one; 0: the client has gone; -errno. */
static int next_request(struct session *s, struct pmt_rmt_request *request)
{
	for (;;) {
		bool done = false;
		ssize_t n;
		int rc = fill(s);

		if (rc <= 0)
			return rc;
		n = pmt_rmt_parser_feed(&s->parser, s->input + s->from, s->to - s->from,
					request, &done);
		if (n < 0)
			return (int)n;
		s->from += (size_t)n;
		if (done)
			return 1;
	}
}

/* What was read can not be understood, nor anything behind it. */
static bool is_garbage(int rc)
{
	return rc == -EBADMSG || rc == -EMSGSIZE || rc == -EINVAL || rc == -ERANGE;
}

static int serve(struct session *s)
{
	struct pmt_rmt_request request;
	int rc;

	do {
		rc = next_request(s, &request);
		if (rc <= 0)
			break;
		rc = run(s, &request);
	} while (rc == 0);
	if (is_garbage(rc)) {
		pmt_log(LOG_ERR, "the client sent what is no request");
		refuse(s, -EINVAL);
		return -EPROTO;
	}
	if (rc == -EPIPE)
		pmt_log(LOG_ERR, "the client went away in the middle of a request");
	return rc;
}

int pmt_rmt_session(const struct pmt_rmt_config *config, const struct pmt_rmt_io *io)
{
	struct session *s = calloc(1, sizeof(*s));
	int rc, closed;

	if (!s)
		return -ENOMEM;
	s->config = config;
	s->io = io;
	pmt_rmt_parser_init(&s->parser);
	rc = serve(s);
	closed = close_tape(s);
	if (closed)
		pmt_log(LOG_ERR, "closing the tape: %s", strerror(-closed));
	free(s->buffer);
	free(s);
	return rc ? rc : closed;
}

/* Descriptors */

struct descriptors {
	int in, out;
	const sigset_t *waiting;
};

/* Signals are let in only here, where nothing is under way on the tape. */
static int wait_for(const struct descriptors *d, int fd, short events)
{
	struct pollfd poll_fd = { .fd = fd, .events = events };

	return d->waiting && ppoll(&poll_fd, 1, NULL, d->waiting) < 0 ? -errno : 0;
}

static ssize_t read_fd(void *context, void *to, size_t size)
{
	const struct descriptors *d = context;
	int rc = wait_for(d, d->in, POLLIN);
	ssize_t n;

	if (rc)
		return rc;
	n = read(d->in, to, size);
	return n < 0 ? -errno : n;
}

static int write_fd(void *context, const void *from, size_t size)
{
	const struct descriptors *d = context;
	const char *bytes = from;

	while (size) {
		/* So much a pipe takes without waiting, when it takes anything. */
		size_t piece = d->waiting && size > PIPE_BUF ? PIPE_BUF : size;
		int rc = wait_for(d, d->out, POLLOUT);
		ssize_t n = rc ? rc : write(d->out, bytes, piece);

		if (n < 0)
			return rc ? rc : -errno;
		bytes += n;
		size -= (size_t)n;
	}
	return 0;
}

int pmt_rmt_serve(const struct pmt_rmt_config *config, int in, int out)
{
	struct descriptors d = { .in = in, .out = out, .waiting = config->waiting };
	struct pmt_rmt_io io = { .read = read_fd, .write = write_fd, .context = &d };

	return pmt_rmt_session(config, &io);
}
