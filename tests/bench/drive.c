// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * drive SPEC write SIZE COUNT, drive SPEC read SIZE: a drive, used as a unit uses it
 *
 * Records go to it without waiting, as many at once as a unit's ring holds: 1024 of
 * them, 64 MiB.  Behind early warning they go one by one.  SIZE is a number of bytes,
 * or two, "1000-60000", between which they then are.  Each record says which it is, and
 * is checked when it is read.
 *
 *	write	from the beginning, and a filemark; until COUNT or the end.  Says
 *		"N written[, end of tape][, error K/CC/QQ], B bytes in S s"
 *	read	from the beginning to a filemark: "N records, B bytes in S s"
 *
 * Status 0; 1 error; 2 usage; 3 a record is not what was written.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../lib/internal.h"

#define SLOTS 1024u
#define RING (64u << 20)

struct user {
	struct pmt_drive *drive;
	struct pmt_worker *worker;
	struct pmt_session session;
	struct pmt_place place;		/* of the next command */
	struct pmt_request requests[SLOTS];
	char *data;
	uint32_t from, to, size;	/* sizes, and what a slot has room for */
	uint32_t slots;
	uint32_t issued;		/* numbers */
	pthread_mutex_t lock;		/* of what follows */
	pthread_cond_t cond;
	uint32_t done;
	bool early;
	bool stopped;			/* by a CHECK, that of: */
	struct pmt_result result;
	uint64_t records, bytes;
	bool wrong;
};

static struct user user;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static uint32_t size_of(const struct user *u, uint64_t i)
{
	return u->from + (uint32_t)(i * 2654435761u % (u->to - u->from + 1));
}

/* Cheap, and no two alike: the number in each eight bytes of the first page or so. */
static void fill(char *data, uint32_t size, uint64_t i)
{
	uint64_t word = i * 0x9e3779b97f4a7c15 + 1;
	uint32_t end = size < 4096 ? size : 4096;

	for (uint32_t at = 0; at < end; at += 8, word += 0x100000001b3)
		memcpy(data + at, &word, end - at < 8 ? end - at : 8);
	memcpy(data + (size > 8 ? size - 8 : 0), &word, size > 8 ? 8 : size);
}

static bool is_record(const char *data, uint32_t size, uint64_t i)
{
	static char wanted[PMT_RECORD_MAX];

	fill(wanted, size, i);
	if (size <= 4104)
		return memcmp(data, wanted, size) == 0;
	return memcmp(data, wanted, 4096) == 0 &&
	       memcmp(data + size - 8, wanted + size - 8, 8) == 0;
}

static void check_read(struct user *u, const struct pmt_request *req)
{
	uint32_t size = req->cmd.length - (uint32_t)req->result.residue;
	uint64_t i = u->records;

	u->wrong = u->wrong || size != size_of(u, i) || !is_record(req->data, size, i);
}

static void one_done(struct pmt_request *req)
{
	struct user *u = req->context;

	pthread_mutex_lock(&u->lock);
	u->done++;
	if (req->result.status == PMT_STATUS_CHECK && !u->stopped) {
		u->stopped = true;
		u->result = req->result;
	} else if (req->result.status == PMT_STATUS_GOOD) {
		if (req->cmd.op == PMT_OP_READ)
			check_read(u, req);
		u->early = u->early || req->result.sense & PMT_SENSE_EOM;
		u->bytes += req->cmd.length - (uint32_t)req->result.residue;
		u->records += req->cmd.length != 0;
	}
	pthread_cond_signal(&u->cond);
	pthread_mutex_unlock(&u->lock);
}

/* False: no more is wanted. */
static bool wait_for_room(struct user *u, uint32_t most)
{
	bool stopped;

	pthread_mutex_lock(&u->lock);
	while (u->issued - u->done >= (u->early ? 1 : most))
		pthread_cond_wait(&u->cond, &u->lock);
	stopped = u->stopped;
	pthread_mutex_unlock(&u->lock);
	return !stopped;
}

static void issue(struct user *u, struct pmt_command cmd)
{
	struct pmt_request *req = &u->requests[u->issued % u->slots];

	*req = (struct pmt_request){
		.cmd = cmd, .done = one_done, .context = u,
		.data = u->data + (size_t)(u->issued % u->slots) * u->size,
	};
	req->cmd.number = u->issued++;
	req->cmd.place = u->place;
	u->place = pmt_place_after(&req->cmd);
	if (cmd.op == PMT_OP_WRITE)
		fill(req->data, cmd.length, u->issued - 2);
	if (u->worker)
		pmt_worker_submit(u->worker, req);
	else
		u->drive->ops->submit(u->drive, req);
}

static void alone(struct user *u, struct pmt_command cmd)
{
	issue(u, cmd);
	wait_for_room(u, 1);
}

static void resume(struct user *u)
{
	if (u->worker)
		pmt_worker_resume(u->worker);
	else if (u->drive->ops->resume)
		u->drive->ops->resume(u->drive);
	u->stopped = false;
	u->place = u->result.place;
}

static int write_all(struct user *u, uint64_t count)
{
	double began = now(), seconds;
	bool end, error;

	for (uint64_t i = 0; i < count && wait_for_room(u, u->slots); i++)
		issue(u, (struct pmt_command){ .op = PMT_OP_WRITE,
					       .length = size_of(u, i) });
	wait_for_room(u, 1);
	end = u->stopped && u->result.key == PMT_KEY_OVERFLOW;
	error = u->stopped && !end;
	if (end)
		resume(u);
	if (!error)
		alone(u, (struct pmt_command){ .op = PMT_OP_WRITE_FILEMARKS, .count = 1 });
	seconds = now() - began;
	printf("%" PRIu64 " written%s", u->records, end ? ", end of tape" : "");
	if (u->stopped)
		printf(", error %x/%02x/%02x", u->result.key, u->result.asc, u->result.ascq);
	printf(", %" PRIu64 " bytes in %.3f s\n", u->bytes, seconds);
	return u->stopped;
}

static int read_all(struct user *u)
{
	double began = now();

	while (wait_for_room(u, u->slots))
		issue(u, (struct pmt_command){ .op = PMT_OP_READ, .length = u->size });
	wait_for_room(u, 1);
	printf("%" PRIu64 " records, ", u->records);
	if (!(u->result.sense & PMT_SENSE_FILEMARK))
		printf("error %x/%02x/%02x, ", u->result.key, u->result.asc, u->result.ascq);
	printf("%" PRIu64 " bytes in %.3f s\n", u->bytes, now() - began);
	return u->wrong ? 3 : !(u->result.sense & PMT_SENSE_FILEMARK);
}

static int prepare(struct user *u, const char *spec, const char *sizes)
{
	char *error = NULL, *end;
	int rc;

	u->from = u->to = (uint32_t)strtoul(sizes, &end, 10);
	if (*end == '-')
		u->to = (uint32_t)strtoul(end + 1, &end, 10);
	if (*end || !u->from || u->to < u->from || u->to > PMT_RECORD_MAX)
		return -EINVAL;
	u->size = u->to;
	u->slots = RING / u->size < SLOTS ? RING / u->size : SLOTS;
	u->data = malloc((size_t)u->slots * u->size);
	u->session = (struct pmt_session){ .unit_id = 1, .place = { .generation = 1 },
					   .depth = SLOTS };
	u->place = u->session.place;
	pthread_mutex_init(&u->lock, NULL);
	pthread_cond_init(&u->cond, NULL);
	rc = u->data ? pmt_drive_open(&u->drive, spec, &error) : -ENOMEM;
	if (error)
		fprintf(stderr, "drive: %s\n", error);
	free(error);
	if (rc == 0)
		rc = pmt_drive_attach(u->drive, &u->session);
	if (rc == 0 && !u->drive->ops->submit)
		rc = pmt_worker_new(&u->worker, u->drive);
	return rc;
}

int main(int argc, char **argv)
{
	struct user *u = &user;
	int rc;

	if (argc < 4 || argc != (strcmp(argv[2], "write") ? 4 : 5)) {
		fprintf(stderr, "usage: drive SPEC write SIZE COUNT | drive SPEC read SIZE\n");
		return 2;
	}
	rc = prepare(u, argv[1], argv[3]);
	if (rc) {
		fprintf(stderr, "drive: %s\n", strerror(-rc));
		return 1;
	}
	alone(u, (struct pmt_command){ .op = PMT_OP_REWIND });
	rc = argc == 5 ? write_all(u, strtoull(argv[4], NULL, 10)) : read_all(u);
	pmt_worker_free(u->worker);
	pmt_drive_detach(u->drive);
	pmt_drive_close(u->drive);
	free(u->data);
	return rc;
}
