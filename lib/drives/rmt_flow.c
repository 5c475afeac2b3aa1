// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * rmt: many commands on the wire; see remote.h.
 *
 * A thread takes requests from the queue.  A WRITE or READ that continues where
 * those on the wire end is sent behind them (it is a flight) without waiting for
 * their answers, as long as the window has room for it; its data goes out of, or
 * comes into, the request's own memory.  Everything else waits until nothing is on
 * the wire, and is executed by leaf.c.
 *
 * Exceptions.  A server executes what it has, whatever came of what was before.
 * st refuses a write that meets early warning, and lets the next through: in the
 * place of the one before.  So whatever is not a whole record written or read ends
 * the stream: nothing more is sent, the answers of what is on the wire are awaited,
 * and all from the exception on go back to the queue, of which the first is executed:
 * law 1 takes the drive back to its place, where it is written again; what was let
 * through is behind it, and so cut off.  If it can not be written, that is cut off
 * before the result is told ("strays").  So is what was written when the connection was
 * lost, and st's mark behind it.
 *
 * Reading ahead needs a drive that can be taken back to a block that was passed.
 *
 * Flights, and what the wire has, belong to the thread.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <syslog.h>

#include "remote.h"

#define IOV_MAX_AT_ONCE	64
#define ATTEMPTS	4	/* to execute what loses the connection each time, at least */

static struct pmt_flight *flight_at(struct pmt_remote *r, uint32_t i)
{
	return &r->flights[i % PMT_FLIGHTS];
}

static uint32_t in_flight(const struct pmt_remote *r)
{
	return r->last - r->first;
}

static void show_flights(struct pmt_remote *r)
{
	pthread_mutex_lock(&r->lock);
	r->shown.flights = in_flight(r);
	if (r->shown.most < r->shown.flights)
		r->shown.most = r->shown.flights;
	pthread_mutex_unlock(&r->lock);
}

/* ---- the queue ---- */

static void wake(struct pmt_remote *r)
{
	ssize_t n = eventfd_write(r->wake, 1);

	(void)n;	/* only ever full, and then it wakes already */
}

void pmt_flow_submit(struct pmt_drive *drive, struct pmt_request *req)
{
	struct pmt_remote *r = (struct pmt_remote *)drive;
	bool parked;

	req->next = NULL;
	pthread_mutex_lock(&r->lock);
	*r->queue_end = req;
	r->queue_end = &req->next;
	r->fresh = true;
	parked = r->parked;
	r->parked = false;
	pthread_mutex_unlock(&r->lock);
	if (parked)
		wake(r);
}

void pmt_flow_resume(struct pmt_drive *drive)
{
	struct pmt_remote *r = (struct pmt_remote *)drive;

	pthread_mutex_lock(&r->lock);
	r->frozen = false;
	pthread_mutex_unlock(&r->lock);
}

void pmt_flow_cancel(struct pmt_drive *drive, uint32_t number)
{
	struct pmt_remote *r = (struct pmt_remote *)drive;

	pthread_mutex_lock(&r->lock);
	if (!r->cancelling || pmt_number_before(r->cancel, number))
		r->cancel = number;
	r->cancelling = true;
	pthread_mutex_unlock(&r->lock);
}

void pmt_remote_settle(struct pmt_drive *drive)
{
	struct pmt_remote *r = (struct pmt_remote *)drive;

	pthread_mutex_lock(&r->lock);
	while (r->publishing)
		pthread_cond_wait(&r->quiet, &r->lock);
	pthread_mutex_unlock(&r->lock);
}

/* Lock held. */
static struct pmt_request *pop(struct pmt_remote *r)
{
	struct pmt_request *req = r->queue;

	r->queue = req->next;
	if (!r->queue)
		r->queue_end = &r->queue;
	return req;
}

/* What was begun is not cancelled any more.  Lock held. */
static bool is_wanted(struct pmt_remote *r, const struct pmt_request *req)
{
	if (r->cancelling && !pmt_number_before(req->cmd.number, r->cancel))
		r->cancelling = false;
	return r->again || (!r->frozen && !r->cancelling);
}

/* ---- beginning ---- */

static bool has_room(struct pmt_remote *r, const struct pmt_command *cmd)
{
	const struct pmt_flight *oldest = flight_at(r, r->first);

	if (!in_flight(r))
		return true;
	return in_flight(r) < PMT_FLIGHTS && oldest->req->cmd.op == cmd->op &&
	       r->bytes + cmd->length <= r->window &&
	       pmt_wire_now() - oldest->since <= r->patience;
}

static bool may_begin(struct pmt_remote *r, const struct pmt_command *cmd)
{
	if (r->lost || !r->open || r->strays || !has_room(r, cmd))
		return false;
	if (cmd->op == PMT_OP_WRITE ? r->st.early : !r->st.positions || r->st.writing)
		return false;
	return pmt_leaf_follows(&r->st.leaf, cmd, in_flight(r) ? &r->ahead :
							      &r->st.leaf.place);
}

static void add_flight(struct pmt_remote *r, struct pmt_request *req)
{
	struct pmt_flight *flight = flight_at(r, r->last);
	const struct pmt_command *cmd = &req->cmd;
	struct pmt_command ahead = *cmd;

	*flight = (struct pmt_flight){
		.req = req,
		.parts = pmt_command_records(cmd),
		.size = cmd->block_size ? cmd->block_size : cmd->length,
		.since = pmt_wire_now(),
	};
	flight->head_length = (size_t)snprintf(flight->head, sizeof(flight->head), "%c%u\n",
					       cmd->op == PMT_OP_WRITE ? 'W' : 'R',
					       flight->size);
	ahead.place = in_flight(r) ? r->ahead : r->st.leaf.place;
	r->ahead = pmt_place_after(&ahead);
	r->bytes += cmd->length;
	r->last++;
	if (cmd->op == PMT_OP_WRITE) {
		r->st.writing = true;
		r->st.synced = false;
	}
}

/* All that can be sent behind what is on the wire. */
static void begin(struct pmt_remote *r)
{
	uint32_t before = r->last;

	pthread_mutex_lock(&r->lock);
	r->fresh = false;
	while (r->queue && !r->again && is_wanted(r, r->queue) &&
	       may_begin(r, &r->queue->cmd))
		add_flight(r, pop(r));
	pthread_mutex_unlock(&r->lock);
	if (r->last != before)
		show_flights(r);
}

/* ---- sending ---- */

/* What a part still has to send, behind the first skip bytes.  How many pieces. */
static int add_part(const struct pmt_flight *flight, uint32_t part, size_t skip,
		    struct iovec *iov)
{
	char *head = (char *)(uintptr_t)flight->head, *data = flight->req->data;
	int n = 0;

	if (skip < flight->head_length)
		iov[n++] = (struct iovec){ head + skip, flight->head_length - skip };
	skip -= skip < flight->head_length ? skip : flight->head_length;
	if (flight->req->cmd.op == PMT_OP_WRITE)
		iov[n++] = (struct iovec){ data + (size_t)part * flight->size + skip,
					   flight->size - skip };
	return n;
}

static size_t part_length(const struct pmt_flight *flight)
{
	return flight->head_length +
	       (flight->req->cmd.op == PMT_OP_WRITE ? flight->size : 0);
}

static void has_sent(struct pmt_remote *r, size_t n)
{
	r->out += n;
	while (r->sending != r->last && r->out >= part_length(flight_at(r, r->sending))) {
		struct pmt_flight *flight = flight_at(r, r->sending);

		r->out -= part_length(flight);
		if (++flight->sent == flight->parts)
			r->sending++;
	}
}

static int gather(struct pmt_remote *r, struct iovec *iov)
{
	size_t skip = r->out;
	int n = 0;

	for (uint32_t i = r->sending; i != r->last; i++) {
		const struct pmt_flight *flight = flight_at(r, i);

		for (uint32_t part = flight->sent; part < flight->parts; part++) {
			if (n + 2 > IOV_MAX_AT_ONCE)
				return n;
			n += add_part(flight, part, skip, iov + n);
			skip = 0;
		}
	}
	return n;
}

/* As much as goes. */
static int send_some(struct pmt_remote *r)
{
	struct iovec iov[IOV_MAX_AT_ONCE];

	while (r->sending != r->last) {
		ssize_t n = pmt_wire_put(&r->wire, iov, gather(r, iov));

		if (n <= 0)
			return (int)n;
		has_sent(r, (size_t)n);
	}
	return 0;
}

/* ---- the answers ---- */

/* Who asked may go as soon as done() has told him of the last: not before this ends. */
static void publish(struct pmt_remote *r, struct pmt_request *req)
{
	pthread_mutex_lock(&r->lock);
	r->publishing = true;
	pthread_mutex_unlock(&r->lock);
	req->done(req);
	pthread_mutex_lock(&r->lock);
	r->publishing = false;
	pthread_cond_broadcast(&r->quiet);
	pthread_mutex_unlock(&r->lock);
}

/* A flight is done, well. */
static void land(struct pmt_remote *r)
{
	struct pmt_flight *flight = flight_at(r, r->first);
	struct pmt_request *req = flight->req;

	pmt_leaf_streamed(&r->st.leaf, req, flight->length);
	r->bytes -= req->cmd.length;
	r->first++;
	show_flights(r);
	publish(r, req);
}

static void part_done(struct pmt_remote *r)
{
	struct pmt_flight *flight = flight_at(r, r->first);

	if (++flight->answered == flight->parts)
		land(r);
}

/* What is not a whole record; all else below 0 is the connection. */
#define EXCEPTION (-ECANCELED)

/* Of what was sent; what is half on the wire can only be refused. */
static bool is_owed(struct pmt_remote *r, const struct pmt_rmt_reply *reply)
{
	const struct pmt_flight *flight = flight_at(r, r->first);

	return flight->answered < flight->sent ||
	       (reply->kind != PMT_RMT_OK && r->out && r->sending == r->first);
}

/* Of a write: all of it, or an exception. */
static int take_written(struct pmt_remote *r, const struct pmt_rmt_reply *reply)
{
	const struct pmt_flight *flight = flight_at(r, r->first);

	if (!is_owed(r, reply))
		return -EBADMSG;
	if (reply->kind == PMT_RMT_OK && (reply->value < 0 || reply->value > flight->size))
		return -EBADMSG;
	if (reply->kind != PMT_RMT_OK || reply->value != flight->size) {
		r->full = r->full || reply->kind == PMT_RMT_OK || reply->error == ENOSPC;
		return EXCEPTION;
	}
	part_done(r);
	return 0;
}

/* Of a read: a record, whose data is next, or an exception; so is one of another
 * size where blocks are read. */
static int take_read(struct pmt_remote *r, const struct pmt_rmt_reply *reply)
{
	struct pmt_flight *flight = flight_at(r, r->first);
	int64_t n = reply->value;

	if (!is_owed(r, reply))
		return -EBADMSG;
	if (reply->kind == PMT_RMT_OK && (n < 0 || n > flight->size))
		return -EBADMSG;
	if (reply->kind != PMT_RMT_OK || n == 0)
		return EXCEPTION;
	r->in.left = (size_t)n;
	r->in.expect = flight->length = (uint32_t)n;
	r->in.to = (char *)flight->req->data + (size_t)flight->answered * flight->size;
	return 0;
}

static bool is_reading(struct pmt_remote *r)
{
	return flight_at(r, r->first)->req->cmd.op == PMT_OP_READ;
}

/* The record that came in is whole. */
static int record_done(struct pmt_remote *r)
{
	const struct pmt_flight *flight = flight_at(r, r->first);

	if (flight->req->cmd.block_size && flight->length != flight->size)
		return EXCEPTION;
	part_done(r);
	return 0;
}

static int take_data(struct pmt_remote *r, ssize_t n)
{
	if (n < 0)
		return (int)n;
	r->in.left -= (size_t)n;
	r->in.to += n;
	return r->in.left ? 0 : record_done(r);
}

/*
 * The answer that is expected and its data, each to where it belongs; if it is
 * another one, all that came is put where answers are looked for.  Bytes, 0, -errno.
 */
static ssize_t get_record(struct pmt_remote *r)
{
	const struct pmt_flight *flight = flight_at(r, r->first);
	uint32_t expect = r->in.expect && r->in.expect < flight->size ? r->in.expect :
								     flight->size;
	char *to = (char *)flight->req->data + (size_t)flight->answered * flight->size;
	char wanted[16], head[16];
	size_t length = (size_t)snprintf(wanted, sizeof(wanted), "A%u\n", expect), got;
	struct iovec iov[2] = { { head, length }, { to, expect } };
	ssize_t n = pmt_wire_get(&r->wire, iov, 2);
	int rc;

	if (n <= 0)
		return n;
	got = (size_t)n > length ? (size_t)n - length : 0;
	if ((size_t)n >= length && memcmp(head, wanted, length) == 0) {
		struct pmt_rmt_reply reply = { .kind = PMT_RMT_OK, .value = expect };

		rc = take_read(r, &reply);
		if (rc == 0)
			rc = take_data(r, (ssize_t)got);
		return rc ? rc : n;
	}
	rc = pmt_wire_give_back(&r->wire, head, (size_t)n - got);
	if (rc == 0 && got)
		rc = pmt_wire_give_back(&r->wire, to, got);
	return rc ? rc : n;
}

/* Bytes that have come, 0, -errno. */
static ssize_t get_more(struct pmt_remote *r)
{
	struct iovec iov = { r->in.to, r->in.left };

	if (r->in.left)
		return pmt_wire_get(&r->wire, &iov, 1);
	if (is_reading(r) && !r->wire.parser.kind)
		return get_record(r);
	return pmt_wire_fill(&r->wire);
}

/* One step of what has come already.  -EAGAIN: nothing has. */
static int take_one(struct pmt_remote *r)
{
	struct pmt_rmt_reply reply;
	bool done = false;
	int rc;

	if (r->wire.from == r->wire.to)
		return -EAGAIN;
	if (r->in.left)
		return take_data(r, (ssize_t)pmt_wire_taken(&r->wire, r->in.to, r->in.left));
	rc = pmt_wire_take_reply(&r->wire, &reply, &done);
	if (rc || !done)
		return rc;
	return is_reading(r) ? take_read(r, &reply) : take_written(r, &reply);
}

/* All that has come. */
static int receive_some(struct pmt_remote *r)
{
	while (in_flight(r)) {
		bool data = r->in.left;
		int rc = take_one(r);
		ssize_t n;

		if (rc == 0)
			continue;
		if (rc != -EAGAIN)
			return rc;
		n = get_more(r);
		if (n <= 0)
			return (int)n;
		rc = data ? take_data(r, n) : 0;
		if (rc)
			return rc;
	}
	/* Nobody has asked for more. */
	return r->wire.from == r->wire.to ? 0 : -EBADMSG;
}

/* ---- exceptions ---- */

/* Finish the request that is half on the wire, and hear what became of the others. */
static int drain(struct pmt_remote *r, uint64_t waiting)
{
	struct iovec iov[2];
	int rc = 0;

	if (r->out) {
		const struct pmt_flight *flight = flight_at(r, r->sending);

		rc = pmt_wire_send(&r->wire, iov, add_part(flight, flight->sent, r->out, iov));
		waiting++;
	}
	for (; rc == 0 && waiting; waiting--) {
		struct pmt_rmt_reply reply;

		rc = pmt_wire_reply(&r->wire, &reply);
		if (rc || reply.kind != PMT_RMT_OK || reply.value <= 0)
			continue;
		if (is_reading(r) && reply.value > PMT_RECORD_MAX)
			rc = -EBADMSG;
		else if (is_reading(r))
			rc = pmt_wire_data(&r->wire, NULL, (size_t)reply.value);
		else
			r->strays = true;
	}
	return rc;
}

/* Requests that are whole on the wire and not answered. */
static uint64_t unanswered(struct pmt_remote *r)
{
	uint64_t n = 0;

	for (uint32_t i = r->first; i != r->last; i++)
		n += flight_at(r, i)->sent - flight_at(r, i)->answered;
	return n;
}

static void put_back(struct pmt_remote *r)
{
	pthread_mutex_lock(&r->lock);
	while (r->last != r->first) {
		struct pmt_request *req = flight_at(r, --r->last)->req;

		req->next = r->queue;
		if (!r->queue)
			r->queue_end = &req->next;
		r->queue = req;
		r->shown.repeated++;
	}
	r->again = r->queue;
	r->shown.flights = 0;
	pthread_mutex_unlock(&r->lock);
	r->sending = r->last;
	r->bytes = 0;
	r->out = r->in.left = 0;
}

/* The stream ends; the first of what is left is executed next. */
static void end_stream(struct pmt_remote *r, int rc)
{
	if (rc == EXCEPTION)
		rc = drain(r, unanswered(r) - 1);
	if (rc < 0) {
		r->strays = r->strays || r->st.writing;
		pmt_remote_lose(r, rc);
	}
	put_back(r);
	if (r->lost)
		return;
	r->st.leaf.eod = PMT_UNKNOWN;
	pmt_st_where(&r->st);
}

/* ---- the thread ---- */

/* If the place was not reached, what is where the tape stands is no stray. */
static bool can_cut(const struct pmt_request *req)
{
	const struct pmt_result *result = &req->result;

	return result->asc != 0x3b && !pmt_place_before(&result->place, &req->cmd.place);
}

/* What was let through must not stay behind a write that failed. */
static void cut_strays(struct pmt_remote *r, const struct pmt_request *req)
{
	struct pmt_request cut = {
		.cmd = { .op = PMT_OP_CUT, .place = req->result.place },
	};
	bool able = can_cut(req);

	r->strays = false;
	if (!r->st.leaf.present)	/* it may be another cartridge */
		return;
	r->st.leaf.eod = PMT_UNKNOWN;
	if (able)
		pmt_leaf_execute(&r->st.leaf.drive, &cut);
	/* Illegal: it can only be a mark, which is there now, and was told. */
	if (!able || (cut.result.status != PMT_STATUS_GOOD &&
		      cut.result.key != PMT_KEY_ILLEGAL))
		pmt_log(LOG_ERR, "%s: records behind block %lld are not cut off, and belong "
			"elsewhere", r->st.path, (long long)req->cmd.place.lbn);
}

/* Nobody knows whether it was done: it is not done again on another cartridge. */
static bool may_have_unloaded(const struct pmt_remote *r, const struct pmt_request *req)
{
	return req->cmd.op == PMT_OP_UNLOAD && !r->empty &&
	       (!r->st.leaf.place.lbn || r->st.leaf.place.lbn == PMT_UNKNOWN);
}

/* False: the connection does not stay for it.  *lost: it went in the middle of it. */
static bool was_executed(struct pmt_remote *r, struct pmt_request *req, bool *lost)
{
	unsigned int wait = PMT_WAIT_MIN;
	int64_t until = 0;

	for (int attempts = 1; !r->lost || pmt_remote_recover(r) == 0; attempts++) {
		if (*lost && may_have_unloaded(r, req))
			return false;
		pmt_leaf_execute(&r->st.leaf.drive, req);
		if (!r->lost)
			return true;
		if (!*lost)
			until = pmt_wire_now() + r->recovery;
		*lost = true;
		if (attempts >= ATTEMPTS && pmt_wire_now() + wait > until)
			return false;
		if (attempts > 1 && r->recovery)
			pmt_remote_back_off(&wait);
	}
	return false;
}

static void execute(struct pmt_remote *r, struct pmt_request *req)
{
	bool lost = false;

	if (!was_executed(r, req, &lost))
		pmt_result_check(req, PMT_KEY_HARDWARE, 0x08, 0x00);
	else if (r->strays && req->result.status == PMT_STATUS_CHECK)
		cut_strays(r, req);
	if (req->result.status == PMT_STATUS_GOOD)
		r->strays = false;
}

/* The first in the queue, by itself: nothing is on the wire. */
static void execute_first(struct pmt_remote *r)
{
	struct pmt_request *req;
	bool wanted;

	pthread_mutex_lock(&r->lock);
	wanted = is_wanted(r, r->queue);
	r->repeating = r->again;
	r->again = false;
	req = pop(r);
	pthread_mutex_unlock(&r->lock);
	if (wanted)
		execute(r, req);
	else
		pmt_result_cancelled(req);
	r->repeating = false;
	pthread_mutex_lock(&r->lock);
	if (req->result.status == PMT_STATUS_CHECK)
		r->frozen = true;
	pthread_mutex_unlock(&r->lock);
	publish(r, req);
}

static bool has_work(struct pmt_remote *r, bool *stop)
{
	bool work;

	pthread_mutex_lock(&r->lock);
	*stop = r->stop && !r->queue;
	work = r->queue;
	pthread_mutex_unlock(&r->lock);
	return work;
}

/* False: something came that was not looked at. */
static bool may_sleep(struct pmt_remote *r)
{
	bool sleep;

	pthread_mutex_lock(&r->lock);
	sleep = r->parked = !r->fresh && !r->stop;
	pthread_mutex_unlock(&r->lock);
	return sleep;
}

/* Until something comes, goes, or is asked for.  -ETIMEDOUT: the server is silent. */
static int wait_for_events(struct pmt_remote *r)
{
	struct pollfd fds[] = {
		{ .fd = r->wake, .events = POLLIN },
		{ .fd = in_flight(r) ? r->wire.fd : -1, .events = POLLIN },
	};
	eventfd_t ignored;
	int rc;

	if (r->sending != r->last)
		fds[1].events |= POLLOUT;
	rc = poll(fds, 2, in_flight(r) ? r->wire.timeout : -1);
	if (fds[0].revents)
		eventfd_read(r->wake, &ignored);
	return rc == 0 ? -ETIMEDOUT : 0;
}

static void stream(struct pmt_remote *r)
{
	int rc = send_some(r);

	if (rc == 0)
		rc = receive_some(r);
	if (rc == 0 && in_flight(r) && may_sleep(r))
		rc = wait_for_events(r);
	if (rc)
		end_stream(r, rc);
}

static void *work(void *context)
{
	struct pmt_remote *r = context;
	bool stop = false;

	while (!stop) {
		begin(r);
		if (in_flight(r))
			stream(r);
		else if (has_work(r, &stop))
			execute_first(r);
		else if (!stop && may_sleep(r))
			wait_for_events(r);
	}
	return NULL;
}

int pmt_flow_start(struct pmt_remote *r)
{
	int rc;

	r->queue_end = &r->queue;
	r->flights = calloc(PMT_FLIGHTS, sizeof(*r->flights));
	r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!r->flights || r->wake < 0)
		rc = !r->flights ? -ENOMEM : -EMFILE;
	else
		rc = -pthread_create(&r->thread, NULL, work, r);
	if (rc && r->wake >= 0)
		close(r->wake);
	return rc;
}

void pmt_flow_stop(struct pmt_remote *r)
{
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_mutex_unlock(&r->lock);
	wake(r);
	pthread_join(r->thread, NULL);
	close(r->wake);
}
