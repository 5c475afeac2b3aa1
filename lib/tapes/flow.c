// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A drive with its worker and a few requests in flight.
 *
 * The user is one thread.  flow->lock guards flow->done alone, which the drive's
 * threads count up; all else is the user's.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <syslog.h>

#include "tapes.h"

#define ATTENTIONS	10
#define WAIT_STEP	1000u	/* ms between two looks for the next volume */

bool pmt_result_is_good(const struct pmt_result *result)
{
	return result->status == PMT_STATUS_GOOD;
}

static void done(struct pmt_request *req)
{
	struct pmt_flow *flow = req->context;

	pthread_mutex_lock(&flow->lock);
	if (req == &flow->alone)
		flow->alone_done = true;
	else
		flow->done++;
	pthread_cond_signal(&flow->cond);
	pthread_mutex_unlock(&flow->lock);
}

static void note_event(const struct pmt_session *session, unsigned int event,
		       const char *text)
{
	(void)session;		/* a mirror has logged it */
	(void)event;
	(void)text;
}

/* A drive that was not attached is not the flow's: it must not be detached. */
int pmt_flow_open(struct pmt_flow *flow, struct pmt_drive *drive)
{
	int rc;

	*flow = (struct pmt_flow){
		.session = {
			.place.generation = 1,
			.modes.buffered = 1,
			.depth = PMT_FLOW_DEPTH,
			.event = note_event,
		},
		.place.generation = 1,
	};
	rc = pmt_drive_attach(drive, &flow->session);
	if (rc)
		return rc;
	flow->drive = drive;
	pthread_mutex_init(&flow->lock, NULL);
	pthread_cond_init(&flow->cond, NULL);
	rc = pmt_worker_new(&flow->worker, drive);
	if (rc) {
		flow->worker = NULL;
		pmt_flow_close(flow);
		return rc;
	}
	pmt_drive_limits(drive, &flow->limits);
	return 0;
}

static void wait_for(struct pmt_flow *flow, uint32_t count)
{
	pthread_mutex_lock(&flow->lock);
	while (pmt_number_before(flow->done, count))
		pthread_cond_wait(&flow->cond, &flow->lock);
	pthread_mutex_unlock(&flow->lock);
}

void pmt_flow_close(struct pmt_flow *flow)
{
	if (!flow->drive)
		return;
	if (flow->worker)
		pmt_worker_cancel(flow->worker, flow->number);
	wait_for(flow, flow->sent);
	pmt_worker_free(flow->worker);
	pthread_cond_destroy(&flow->cond);
	pthread_mutex_destroy(&flow->lock);
	pmt_drive_detach(flow->drive);
	flow->drive = NULL;
}

bool pmt_flow_has_room(const struct pmt_flow *flow)
{
	return flow->sent - flow->released < PMT_FLOW_DEPTH;
}

uint32_t pmt_flow_send(struct pmt_flow *flow, struct pmt_command cmd, void *data)
{
	uint32_t index = flow->sent++ % PMT_FLOW_DEPTH;
	struct pmt_request *req = &flow->requests[index];

	cmd.number = flow->number++;
	cmd.place = flow->place;
	*req = (struct pmt_request){ .cmd = cmd, .data = data, .done = done,
				     .context = flow };
	pmt_worker_submit(flow->worker, req);
	return index;
}

struct pmt_request *pmt_flow_wait(struct pmt_flow *flow)
{
	if (flow->waited == flow->sent)
		return NULL;
	wait_for(flow, flow->waited + 1);
	return &flow->requests[flow->waited++ % PMT_FLOW_DEPTH];
}

void pmt_flow_release(struct pmt_flow *flow)
{
	flow->released++;
}

void pmt_flow_settle(struct pmt_flow *flow)
{
	wait_for(flow, flow->sent);
	pthread_mutex_lock(&flow->lock);
	flow->sent = flow->done = flow->waited;
	pthread_mutex_unlock(&flow->lock);
	pmt_worker_resume(flow->worker);
}

void pmt_flow_take_back(struct pmt_flow *flow)
{
	flow->waited--;
	pthread_mutex_lock(&flow->lock);
	flow->sent = flow->done = flow->waited;
	pthread_mutex_unlock(&flow->lock);
}

static bool has_place(const struct pmt_place *place)
{
	return place->lbn != PMT_UNKNOWN ||
	       (place->file != PMT_UNKNOWN && place->block != PMT_UNKNOWN);
}

struct pmt_result pmt_flow_do(struct pmt_flow *flow, struct pmt_command cmd, void *data)
{
	struct pmt_request *req = &flow->alone;

	cmd.number = flow->number++;
	cmd.place = flow->place;
	if (!has_place(&flow->place))
		cmd.flags |= PMT_CMD_HERE;
	*req = (struct pmt_request){ .cmd = cmd, .data = data, .done = done,
				     .context = flow };
	flow->alone_done = false;
	pmt_worker_submit(flow->worker, req);
	pthread_mutex_lock(&flow->lock);
	while (!flow->alone_done)
		pthread_cond_wait(&flow->cond, &flow->lock);
	pthread_mutex_unlock(&flow->lock);
	if (!pmt_result_is_good(&req->result))
		pmt_worker_resume(flow->worker);
	flow->place = req->result.place;
	return req->result;
}

/* What went wrong, for people */

static const struct advice {
	uint8_t key, asc, ascq;		/* asc 0: whatever it is */
	int error;
	const char *text;
} advice[] = {
	{ PMT_KEY_NOT_READY, 0x3a, 0x00, -ENOMEDIUM, "no tape is in it; load one" },
	{ PMT_KEY_NOT_READY, 0x04, 0x01, -EAGAIN, "the drive becomes ready; try again" },
	{ PMT_KEY_NOT_READY, 0x04, 0x03, -EIO,
	  "its copies end at different places; bring them to the same one first" },
	{ PMT_KEY_NOT_READY, 0x00, 0x00, -EIO, "the drive is not ready" },
	{ PMT_KEY_MEDIUM, 0x3b, 0x00, -EIO, "the drive does not get to the place" },
	{ PMT_KEY_MEDIUM, 0x00, 0x00, -EIO, "the medium is damaged there" },
	{ PMT_KEY_HARDWARE, 0x00, 0x00, -EIO, "the drive has failed" },
	{ PMT_KEY_ILLEGAL, 0x00, 0x00, -EINVAL, "the drive does not know how" },
	{ PMT_KEY_ATTENTION, 0x00, 0x00, -EIO,
	  "the tape was changed or the drive was reset; begin again" },
	{ PMT_KEY_PROTECT, 0x30, 0x0c, -EPERM,
	  "the tape is write-once, and data is there; append to it, or take another" },
	{ PMT_KEY_PROTECT, 0x00, 0x00, -EROFS, "the tape is write protected" },
	{ PMT_KEY_BLANK, 0x00, 0x00, -ENOENT, "the data ends before it" },
	{ PMT_KEY_OVERFLOW, 0x00, 0x00, -ENOSPC, "the tape is full" },
	{ PMT_KEY_NONE, 0x00, 0x00, -ENOENT, "the data ends before it" },
	{ PMT_KEY_ABORTED, 0x00, 0x00, -EIO, "the drive gave up" },
};
#define N_ADVICE (sizeof(advice) / sizeof(advice[0]))

static const struct advice *find_advice(const struct pmt_result *result)
{
	for (size_t i = 0; i < N_ADVICE - 1; i++)
		if (advice[i].key == result->key &&
		    (!advice[i].asc || (advice[i].asc == result->asc &&
					advice[i].ascq == result->ascq)))
			return &advice[i];
	return &advice[N_ADVICE - 1];
}

struct pmt_place_text pmt_place_text(const struct pmt_place *place)
{
	struct pmt_place_text text = { "an unknown place" };

	if (place->file != PMT_UNKNOWN && place->block != PMT_UNKNOWN &&
	    place->lbn != PMT_UNKNOWN)
		snprintf(text.text, sizeof(text.text),
			 "file %" PRIu64 " block %" PRIu64 " (LBN %" PRIu64 ")",
			 (uint64_t)place->file, (uint64_t)place->block,
			 (uint64_t)place->lbn);
	else if (place->lbn != PMT_UNKNOWN)
		snprintf(text.text, sizeof(text.text), "LBN %" PRIu64,
			 (uint64_t)place->lbn);
	else if (has_place(place))
		snprintf(text.text, sizeof(text.text),
			 "file %" PRIu64 " block %" PRIu64, (uint64_t)place->file,
			 (uint64_t)place->block);
	return text;
}

int pmt_flow_fail(const struct pmt_flow *flow, const char *what,
		  const struct pmt_place *place, const struct pmt_result *result)
{
	const struct advice *a = find_advice(result);

	pmt_log(LOG_ERR, "%s: cannot %s%s%s: %s (sense key %x, %02x/%02x)",
		flow->drive->text, what, place ? " at " : "",
		place ? pmt_place_text(place).text : "", a->text, result->key, result->asc,
		result->ascq);
	return a->error;
}

/* The beginning */

/* An attention is told once, and is not the state of the medium. */
static struct pmt_result test(struct pmt_flow *flow)
{
	struct pmt_place place = flow->place;
	struct pmt_result result;
	int i = 0;

	do {
		flow->place = place;
		result = pmt_flow_do(flow, (struct pmt_command){ .op = PMT_OP_TEST }, NULL);
	} while (!pmt_result_is_good(&result) && result.key == PMT_KEY_ATTENTION &&
		 ++i < ATTENTIONS);
	return result;
}

static int take_partition(struct pmt_flow *flow, uint32_t partition, uint32_t *taken)
{
	uint32_t more = flow->medium_flags >> PMT_MEDIUM_MORE_SHIFT;

	*taken = partition == PMT_ANY_PARTITION ? 0 : partition;
	if (*taken <= more && (partition != PMT_ANY_PARTITION || !more))
		return 0;
	if (more)
		pmt_log(LOG_ERR, "%s: the tape has %u partitions; say which one: 0 to %u",
			flow->drive->text, more + 1, more);
	else
		pmt_log(LOG_ERR, "%s: the tape has no partition %u", flow->drive->text,
			partition);
	return -EINVAL;
}

/* -EIO, not logged: *result says why. */
static int find_tape(struct pmt_flow *flow, struct pmt_result *result)
{
	*result = test(flow);
	if (!pmt_result_is_good(result))
		return -EIO;
	flow->medium_flags = result->medium_flags;
	pmt_drive_limits(flow->drive, &flow->limits);
	return 0;
}

static int to_beginning(struct pmt_flow *flow, uint32_t partition)
{
	static const struct pmt_command rewind = { .op = PMT_OP_REWIND };
	struct pmt_result result;
	uint32_t taken;
	int rc = take_partition(flow, partition, &taken);

	if (rc)
		return rc;
	flow->place.partition = taken;
	result = pmt_flow_do(flow, rewind, NULL);
	if (pmt_result_is_good(&result))
		result = test(flow);
	if (!pmt_result_is_good(&result))
		return pmt_flow_fail(flow, "rewind", NULL, &result);
	flow->eod = result.eod;
	flow->place = (struct pmt_place){ .generation = result.place.generation,
					  .partition = taken };
	return 0;
}

int pmt_flow_begin(struct pmt_flow *flow, uint32_t partition)
{
	struct pmt_result result;

	if (find_tape(flow, &result))
		return pmt_flow_fail(flow, "begin", NULL, &result);
	return to_beginning(flow, partition);
}

/* The next volume */

/* No tape, or one that is being loaded. */
static bool may_come(const struct pmt_result *result)
{
	return result->key == PMT_KEY_NOT_READY &&
	       (result->asc == 0x3a || (result->asc == 0x04 && result->ascq == 0x01));
}

int pmt_flow_next_volume(struct pmt_flow *flow, const struct pmt_walk *walk,
			 uint32_t partition)
{
	static const struct pmt_command unload = { .op = PMT_OP_UNLOAD };
	struct pmt_place before = flow->place;
	struct pmt_result result = pmt_flow_do(flow, unload, NULL);

	if (!pmt_result_is_good(&result))
		return pmt_flow_fail(flow, "unload", &before, &result);
	flow->place = (struct pmt_place){ .generation = result.place.generation };
	for (uint32_t waited = 0; find_tape(flow, &result); waited += WAIT_STEP) {
		if (!may_come(&result))
			return pmt_flow_fail(flow, "begin with the next volume", NULL,
					     &result);
		if (waited >= walk->wait)
			return 0;
		if (!waited)
			pmt_log(LOG_NOTICE, "%s: waiting for the next volume",
				flow->drive->text);
		pmt_delay(WAIT_STEP);
		if (walk->go_on && !walk->go_on(NULL, walk->context))
			return -EINTR;
	}
	return to_beginning(flow, partition) ? -EIO : 1;
}
