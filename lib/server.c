// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Serving a unit: commands out of the ring, into the drive, results back.
 *
 * One thread (pmt_server_run) fetches commands and submits them; results come
 * from whatever thread the drive has, in order, and are published there.  The
 * data stays where it is: a request points into the ring.
 *
 * server->lock guards what the two sides share: done, returned, frozen.  A CHECK
 * freezes: the drive gives back, as cancelled, all that it has been given behind
 * it.  That is not published: when the kernel's cancel word has passed the
 * exception and all is back, the drive is resumed and the commands are fetched
 * once more, to be cancelled or executed as that word says.
 *
 * The requests are indexed by slot.  A slot comes back from the kernel only
 * after its result was published, so its request is free by then.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <syslog.h>

#include "internal.h"
#include "../kmod/ring.h"

enum { AREA_COMMANDS, AREA_RESULTS, AREA_DATA, AREAS };

struct pmt_server {
	int fd;				/* the slave end */
	int wake;			/* eventfd: stop, or all is answered */
	struct pmt_info info;
	struct pmt_ring_view view;
	struct area {
		void *address;
		size_t size;
	} areas[AREAS];

	bool again;			/* the slave end had a server, and has it still */

	struct pmt_drive *drive;	/* the caller's */
	struct pmt_worker *worker;	/* if the drive has no submit */
	struct pmt_session session;
	pthread_mutex_t limits_lock;
	struct pmt_limits limits;	/* as the kernel has them */
	bool for_now;			/* others follow: no line in the log */
	bool unbuffered;		/* it was said */
	struct pmt_request *requests;	/* one a slot */

	uint32_t cancel;		/* the kernel's word as the drive knows it */
	_Atomic uint32_t next;		/* number to fetch */
	atomic_bool stopping;

	pthread_mutex_t lock;
	uint32_t done;			/* number without a result */
	uint32_t returned;		/* from done on, given back by the drive */
	bool frozen;
	uint32_t exception;		/* number of the CHECK that froze */
	struct pmt_early_warning ew;	/* as announced; generation 0 none */

	void (*event)(unsigned int event, const char *text, void *context);
	void *event_context;
};

/* ---- the drive, whichever kind it is ---- */

/* alone: nothing else is to be fetched, or done meanwhile. */
static void server_submit(struct pmt_server *server, struct pmt_request *req, bool alone)
{
	if (server->worker && alone)
		pmt_worker_do(server->worker, req);
	else if (server->worker)
		pmt_worker_submit(server->worker, req);
	else
		server->drive->ops->submit(server->drive, req);
}

static void server_resume(struct pmt_server *server)
{
	if (server->worker)
		pmt_worker_resume(server->worker);
	else if (server->drive->ops->resume)
		server->drive->ops->resume(server->drive);
}

static void server_cancel(struct pmt_server *server, uint32_t number)
{
	if (server->worker)
		pmt_worker_cancel(server->worker, number);
	else if (server->drive->ops->cancel)
		server->drive->ops->cancel(server->drive, number);
}

/* ---- results ---- */

static void server_wake(struct pmt_server *server)
{
	uint64_t one = 1;
	ssize_t ret = write(server->wake, &one, sizeof(one));

	(void)ret;	/* only ever full, and then it wakes already */
}

/* Announced, unless an earlier place of the same partition already is. */
static void server_early_warning(const struct pmt_session *session,
				 const struct pmt_place *place)
{
	struct pmt_server *server = session->context;

	pthread_mutex_lock(&server->lock);
	if (server->ew.generation != place->generation ||
	    server->ew.partition != place->partition || place->lbn < server->ew.lbn) {
		server->ew.generation = place->generation;
		server->ew.partition = place->partition;
		server->ew.lbn = place->lbn;
		pmt_view_early_warning(&server->view, place);
	}
	pthread_mutex_unlock(&server->lock);
}

/*
 * The application has gone back before the announced place to write: it is void.
 * (Nothing that was written before it positioned is under way any more.)
 */
static void server_withdraw(struct pmt_server *server, const struct pmt_command *cmd)
{
	struct pmt_place none = { 0 };

	if (cmd->op != PMT_OP_WRITE || !(cmd->flags & PMT_CMD_POSITIONED))
		return;
	pthread_mutex_lock(&server->lock);
	if (cmd->place.generation == server->ew.generation &&
	    cmd->place.partition == server->ew.partition &&
	    cmd->place.lbn < server->ew.lbn) {
		server->ew.generation = 0;
		pmt_view_early_warning(&server->view, &none);
	}
	pthread_mutex_unlock(&server->lock);
}

/* The window is 0 from now on: a drive keeps no room behind its early warning. */
static void server_say_unbuffered(struct pmt_server *server)
{
	bool unbuffered = !server->limits.window;

	if (unbuffered && !server->unbuffered)
		pmt_log(LOG_NOTICE, "unit %u is unbuffered: a drive keeps no room behind its "
			"early warning, or cannot set it aside", server->info.unit);
	server->unbuffered = unbuffered;
}

static void server_tell_limits(struct pmt_server *server)
{
	struct pmt_limits limits;

	pmt_drive_limits(server->drive, &limits);
	if (memcmp(&limits, &server->limits, sizeof(limits))) {
		server->limits = limits;
		if (ioctl(server->fd, PMT_IOC_LIMITS, &limits) < 0)
			pmt_log(LOG_WARNING, "unit %u: limits not taken: %m",
				server->info.unit);
	}
	if (!server->for_now)
		server_say_unbuffered(server);
}

static void server_limits(const struct pmt_session *session, bool to_stay)
{
	struct pmt_server *server = session->context;

	pthread_mutex_lock(&server->limits_lock);
	server->for_now = !to_stay;
	server_tell_limits(server);
	pthread_mutex_unlock(&server->limits_lock);
}

static uint32_t server_issued(const struct pmt_session *session)
{
	const struct pmt_server *server = session->context;

	return pmt_view_tail(&server->view);
}

static bool server_answered(const struct pmt_session *session, uint32_t end)
{
	const struct pmt_server *server = session->context;

	return !pmt_before(READ_ONCE(server->view.server->done), end);
}

/* Another medium may have other limits; the kernel hears before the result. */
static void server_renew_limits(struct pmt_server *server, unsigned int op)
{
	if (op != PMT_OP_TEST && op != PMT_OP_LOAD && op != PMT_OP_UNLOAD &&
	    op != PMT_OP_FORMAT)
		return;
	pthread_mutex_lock(&server->limits_lock);
	server_tell_limits(server);
	pthread_mutex_unlock(&server->limits_lock);
}

/* All that was submitted is answered or back.  Lock held. */
static bool server_is_quiet(const struct pmt_server *server)
{
	return server->done + server->returned == atomic_load(&server->next);
}

/* Cancelled by the drive, not by the kernel: it is not answered.  Lock held. */
static bool server_gives_back(const struct pmt_server *server,
			      const struct pmt_request *req)
{
	return req->result.status == PMT_STATUS_CANCELLED &&
	       (server->returned ||
		!pmt_before(req->cmd.number, pmt_view_cancel(&server->view)));
}

/* True: ring the doorbell.  Lock held. */
static bool server_publish(struct pmt_server *server, const struct pmt_request *req)
{
	bool check = req->result.status == PMT_STATUS_CHECK;

	if (check) {
		server->frozen = true;
		server->exception = req->cmd.number;
	}
	pmt_view_answer(&server->view, &req->result);
	server->done = req->cmd.number + 1;
	return pmt_view_publish(&server->view, server->done, check);
}

static void server_done(struct pmt_request *req)
{
	struct pmt_server *server = req->context;
	bool kick = false, wake;

	server_renew_limits(server, req->cmd.op);
	req->result.number = req->cmd.number;
	pthread_mutex_lock(&server->lock);
	if (server_gives_back(server, req))
		server->returned++;
	else
		kick = server_publish(server, req);
	wake = (server->frozen || atomic_load(&server->stopping)) &&
	       server_is_quiet(server);
	pthread_mutex_unlock(&server->lock);
	if (kick)
		ioctl(server->fd, PMT_IOC_KICK);
	if (wake)
		server_wake(server);
}

/* ---- commands ---- */

static void server_fetch(struct pmt_server *server, uint32_t number, bool alone)
{
	struct pmt_request *req = &server->requests[number & (server->info.slots - 1)];

	memset(&req->result, 0, sizeof(req->result));
	req->cmd = *pmt_view_command(&server->view, number);
	req->data = server->view.data + req->cmd.offset;
	req->done = server_done;
	req->context = server;
	req->next = NULL;
	atomic_store(&server->next, number + 1);
	server_withdraw(server, &req->cmd);
	server_submit(server, req, alone);
}

/* May commands be fetched?  Resumes the drive when the exception is dealt with. */
static bool server_flows(struct pmt_server *server)
{
	bool flows;

	pthread_mutex_lock(&server->lock);
	if (server->frozen && server_is_quiet(server) &&
	    pmt_before(server->exception, server->cancel)) {
		server_resume(server);
		server_cancel(server, server->cancel);
		server->frozen = false;
		server->returned = 0;
		atomic_store(&server->next, server->done);
	}
	flows = !server->frozen;
	pthread_mutex_unlock(&server->lock);
	return flows;
}

static void server_see_cancel(struct pmt_server *server)
{
	uint32_t cancel = pmt_view_cancel(&server->view);

	if (cancel == server->cancel)
		return;
	server->cancel = cancel;
	server_cancel(server, cancel);
}

/*
 * Fetch all that may be, but nothing from *last on if that is given; *tail is how
 * far the kernel has issued.
 */
static void server_fetch_all(struct pmt_server *server, uint32_t *tail,
			     const uint32_t *last)
{
	uint32_t end, next;

	*tail = pmt_view_tail(&server->view);
	end = last ? *last : *tail;
	server_see_cancel(server);
	while (server_flows(server) && pmt_before(next = atomic_load(&server->next), end))
		server_fetch(server, next, next + 1 == end);
}

static void server_drain_wake(struct pmt_server *server)
{
	uint64_t count;
	ssize_t ret = read(server->wake, &count, sizeof(count));

	(void)ret;
}

/* Sleep until there is something to do.  0, or -ENODEV. */
static int server_park(struct pmt_server *server, uint32_t tail)
{
	struct pollfd fds[] = {
		{ .fd = server->fd, .events = POLLIN },
		{ .fd = server->wake, .events = POLLIN },
	};
	int ret = 0;

	if (pmt_view_park(&server->view, tail, server->cancel)) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			ret = -errno;
		if (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
			ret = -ENODEV;
	}
	pmt_view_unpark(&server->view);
	if (fds[1].revents)
		server_drain_wake(server);
	return ret;
}

static bool server_quiet(struct pmt_server *server)
{
	bool quiet;

	pthread_mutex_lock(&server->lock);
	quiet = server_is_quiet(server);
	pthread_mutex_unlock(&server->lock);
	return quiet;
}

/*
 * Stopping: what was issued before is executed, nothing behind it; a frozen
 * queue stays frozen for the next server.
 */
static bool server_stopped(struct pmt_server *server, uint32_t tail, bool *armed,
			   uint32_t *last)
{
	bool flows;

	if (!atomic_load(&server->stopping))
		return false;
	if (!*armed) {
		*armed = true;
		*last = tail;
	}
	flows = server_flows(server);
	return server_quiet(server) &&
	       (!flows || !pmt_before(atomic_load(&server->next), *last));
}

int pmt_server_run(struct pmt_server *server)
{
	bool armed = false;
	uint32_t tail, last = 0;
	int ret;

	for (;;) {
		server_fetch_all(server, &tail, armed ? &last : NULL);
		if (server_stopped(server, tail, &armed, &last))
			return 0;
		ret = server_park(server, tail);
		if (ret)
			break;
	}
	pmt_log(LOG_WARNING, "unit %u took the slave end away", server->info.unit);
	return ret;
}

void pmt_server_stop(struct pmt_server *server)
{
	atomic_store(&server->stopping, true);
	server_wake(server);
}

/* ---- attaching ---- */

static void server_event(const struct pmt_session *session, unsigned int event,
			 const char *text)
{
	struct pmt_server *server = session->context;
	uint32_t number = event;

	if (event < PMT_EVENT_REJOIN_BEGUN)
		ioctl(server->fd, PMT_IOC_EVENT, &number);
	if (server->event)
		server->event(event, text, server->event_context);
}

void pmt_server_set_event(struct pmt_server *server,
			  void (*event)(unsigned int event, const char *text, void *),
			  void *context)
{
	server->event = event;
	server->event_context = context;
}

static int server_open_slave(const char *unit)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s%s", *unit == '/' ? "" : "/dev/pmts", unit);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	fd = -errno;
	if (fd == -EBUSY)
		pmt_log(LOG_ERR, "%s: another server has it", path);
	else if (fd == -ENOENT || fd == -ENXIO)
		pmt_log(LOG_ERR, "%s: no such unit; 'pmt list' shows the units", path);
	else
		pmt_log(LOG_ERR, "%s: %s", path, strerror(-fd));
	return fd;
}

static int server_map(struct pmt_server *server)
{
	uint32_t slots = server->info.slots;
	const struct {
		size_t size;
		int protection;
		uint64_t offset;
	} maps[AREAS] = {
		[AREA_COMMANDS] = { PMT_PAGE_AREA + slots * sizeof(struct pmt_command),
				    PROT_READ, PMT_MAP_COMMANDS },
		[AREA_RESULTS] = { PMT_PAGE_AREA + slots * sizeof(struct pmt_result),
				   PROT_READ | PROT_WRITE, PMT_MAP_RESULTS },
		[AREA_DATA] = { 2 * (size_t)server->info.data_size,
				PROT_READ | PROT_WRITE, PMT_MAP_DATA },
	};

	for (int i = 0; i < AREAS; i++) {
		void *address = mmap(NULL, maps[i].size, maps[i].protection, MAP_SHARED,
				     server->fd, maps[i].offset);

		if (address == MAP_FAILED)
			return -errno;
		server->areas[i].address = address;
		server->areas[i].size = maps[i].size;
	}
	server->view = (struct pmt_ring_view) {
		.kernel = server->areas[AREA_COMMANDS].address,
		.commands = (void *)((char *)server->areas[AREA_COMMANDS].address +
				     PMT_PAGE_AREA),
		.server = server->areas[AREA_RESULTS].address,
		.results = (void *)((char *)server->areas[AREA_RESULTS].address +
				    PMT_PAGE_AREA),
		.data = server->areas[AREA_DATA].address,
		.slots = slots,
	};
	return 0;
}

static void server_take(struct pmt_server *server, const struct pmt_kept *kept)
{
	server->session.place = kept->place;
	server->session.modes = kept->modes;
	memcpy(server->session.medium, kept->medium, sizeof(kept->medium));
	server->session.cookie = kept->cookie;
	server->session.waiting = kept->first != kept->tail;
	atomic_store(&server->next, kept->first);
	server->done = kept->first;
	server->cancel = kept->first;
}

/* What the server before has announced holds until the application writes before it. */
static void server_recall_warning(struct pmt_server *server)
{
	const struct pmt_early_warning *ew = &server->view.server->ew;

	if (ew->seq && !(ew->seq & 1))
		server->ew = *ew;
}

/* The drive first: if it can not, the unit does not notice. */
static int server_attach(struct pmt_server *server)
{
	struct pmt_attach attach = { .version = PMT_PROTOCOL_VERSION };
	int ret;

	server_take(server, &server->info.kept);
	ret = pmt_drive_attach(server->drive, &server->session);
	if (ret)
		return ret;
	pmt_drive_limits(server->drive, &server->limits);
	attach.limits = server->limits;
	server_say_unbuffered(server);
	attach.flags = server->again ? PMT_ATTACH_AGAIN : 0;
	if (ioctl(server->fd, PMT_IOC_ATTACH, &attach) < 0) {
		ret = -errno;
		pmt_log(LOG_ERR, "unit %u does not take a server: %s%s",
			server->info.unit, strerror(-ret), ret == -EIO ?
			" (it is broken; 'pmt abort' makes it usable again)" : "");
		return ret;
	}
	server_recall_warning(server);
	if (memcmp(&attach.kept.place, &server->info.kept.place,
		   sizeof(attach.kept.place))) {
		/* The recovery time ended just now; begin where the unit is. */
		pmt_drive_detach(server->drive);
		server_take(server, &attach.kept);
		return pmt_drive_attach(server->drive, &server->session);
	}
	server_take(server, &attach.kept);
	return 0;
}

static int server_prepare(struct pmt_server *server)
{
	int ret;

	if (ioctl(server->fd, PMT_IOC_INFO, &server->info) < 0)
		return -errno;
	if (server->info.version != PMT_PROTOCOL_VERSION) {
		pmt_log(LOG_ERR, "unit %u speaks protocol %u, this library %u",
			server->info.unit, server->info.version, PMT_PROTOCOL_VERSION);
		return -EPROTONOSUPPORT;
	}
	ret = server_map(server);
	if (ret)
		return ret;
	server->requests = calloc(server->info.slots, sizeof(*server->requests));
	if (!server->requests)
		return -ENOMEM;
	server->session.unit_id = server->info.unit_id;
	server->session.depth = server->info.slots;
	server->session.early_warning = server_early_warning;
	server->session.event = server_event;
	server->session.limits = server_limits;
	server->session.issued = server_issued;
	server->session.answered = server_answered;
	server->session.context = server;
	return server->drive->ops->submit ? 0 :
	       pmt_worker_new(&server->worker, server->drive);
}

/* fd is the server's, whatever comes of it; or -errno. */
static int server_open(struct pmt_server **result, int fd, bool again,
		       struct pmt_drive *drive)
{
	struct pmt_server *server = calloc(1, sizeof(*server));
	int ret;

	if (!server) {
		if (fd >= 0)
			close(fd);
		return -ENOMEM;
	}
	pthread_mutex_init(&server->lock, NULL);
	pthread_mutex_init(&server->limits_lock, NULL);
	server->drive = drive;
	server->again = again;
	server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	server->fd = fd;
	ret = fd < 0 ? fd : server->wake < 0 ? -EMFILE : server_prepare(server);
	if (!ret)
		ret = server_attach(server);
	if (ret) {
		pmt_server_close(server);
		return ret;
	}
	*result = server;
	return 0;
}

int pmt_server_open(struct pmt_server **result, const char *unit,
		    struct pmt_drive *drive)
{
	return server_open(result, server_open_slave(unit), false, drive);
}

int pmt_server_open_again(struct pmt_server **result, int fd, struct pmt_drive *drive)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return server_open(result, own < 0 ? -errno : own, true, drive);
}

/* The drive has requests until it has answered them, whoever wants the answers. */
static void server_wait_quiet(struct pmt_server *server)
{
	struct pollfd fd = { .fd = server->wake, .events = POLLIN };

	atomic_store(&server->stopping, true);
	while (!server_quiet(server)) {
		poll(&fd, 1, -1);
		server_drain_wake(server);
	}
}

int pmt_server_leave(struct pmt_server *server)
{
	int fd = server->fd;

	server->fd = -1;
	pmt_server_close(server);
	return fd;
}

void pmt_server_close(struct pmt_server *server)
{
	if (!server)
		return;
	server_wait_quiet(server);
	if (server->worker)
		pmt_worker_free(server->worker);
	else if (server->drive->ops->settle)
		server->drive->ops->settle(server->drive);
	if (server->drive->session)
		pmt_drive_detach(server->drive);
	for (int i = 0; i < AREAS; i++)
		if (server->areas[i].address)
			munmap(server->areas[i].address, server->areas[i].size);
	if (server->fd >= 0)
		close(server->fd);
	if (server->wake >= 0)
		close(server->wake);
	pthread_mutex_destroy(&server->limits_lock);
	pthread_mutex_destroy(&server->lock);
	free(server->requests);
	free(server);
}

uint32_t pmt_server_unit(const struct pmt_server *server)
{
	return server->info.unit;
}
