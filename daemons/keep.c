// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The descriptors of real drives, which outlive the process that uses them
 *
 * Each drive that is open has an entry with a descriptor of its own, so that the
 * drive can be closed and opened here without st seeing it.  The service manager
 * is given a third (systemd's FDSTORE): it starts the next process with it when
 * this one was killed.  A process that is taken over hands out its entries by
 * itself.
 *
 * The lock guards all; drives are opened and closed by whatever thread they have.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>

#include "daemon.h"

struct keep {
	struct pmt_keeper keeper;
	pthread_mutex_t lock;
	struct kept *first;
};

static struct kept *find(const struct keep *keep, const char *name)
{
	struct kept *kept = keep->first;

	while (kept && strcmp(kept->name, name))
		kept = kept->next;
	return kept;
}

static void tell_manager(const char *what, const char *name, const int *fd)
{
	_cleanup_free_ char *text = NULL;

	if (asprintf(&text, "%s\nFDNAME=%s", what, name) < 0)
		text = NULL;
	else
		sd_pid_notify_with_fds(0, 0, text, fd, fd ? 1 : 0);
}

static void remove_it(struct keep *keep, struct kept *kept)
{
	struct kept **p = &keep->first;

	while (*p != kept)
		p = &(*p)->next;
	*p = kept->next;
	close(kept->fd);
	tell_manager("FDSTOREREMOVE=1", kept->name, NULL);
	free(kept->name);
	free(kept);
}

/* fd is the entry's from now on, or closed. */
static struct kept *add(struct keep *keep, const char *name, int fd)
{
	struct kept *kept = calloc(1, sizeof(*kept));

	if (kept)
		kept->name = strdup(name);
	if (!kept || !kept->name || fd < 0) {
		if (fd >= 0)
			close(fd);
		if (kept)
			free(kept->name);
		free(kept);
		daemon_log(LOG_WARNING, "%s: its descriptor is not kept: %s", name,
			   strerror(errno));
		return NULL;
	}
	kept->fd = fd;
	kept->next = keep->first;
	keep->first = kept;
	return kept;
}

static int keep_take(void *context, const char *name, char *state, size_t size)
{
	struct keep *keep = context;
	struct kept *kept;
	int fd = -ENOENT;

	pthread_mutex_lock(&keep->lock);
	kept = find(keep, name);
	if (kept) {
		fd = fcntl(kept->fd, F_DUPFD_CLOEXEC, 0);
		snprintf(state, size, "%s", kept->state);
		kept->state[0] = '\0';
		kept->used = true;
	}
	pthread_mutex_unlock(&keep->lock);
	return fd == -1 ? -errno : fd;
}

static void keep_keep(void *context, const char *name, int fd)
{
	struct keep *keep = context;
	struct kept *kept;

	pthread_mutex_lock(&keep->lock);
	kept = add(keep, name, fcntl(fd, F_DUPFD_CLOEXEC, 0));
	if (kept) {
		kept->used = true;
		tell_manager("FDSTORE=1\nFDPOLL=0", name, &kept->fd);
	}
	pthread_mutex_unlock(&keep->lock);
}

static void keep_leave(void *context, const char *name, const char *state)
{
	struct keep *keep = context;
	struct kept *kept;

	pthread_mutex_lock(&keep->lock);
	kept = find(keep, name);
	if (kept)
		snprintf(kept->state, sizeof(kept->state), "%s", state);
	pthread_mutex_unlock(&keep->lock);
}

static void keep_drop(void *context, const char *name)
{
	struct keep *keep = context;
	struct kept *kept;

	pthread_mutex_lock(&keep->lock);
	kept = find(keep, name);
	if (kept)
		remove_it(keep, kept);
	pthread_mutex_unlock(&keep->lock);
}

/* Those that the service manager has started this process with. */
static void adopt(struct keep *keep)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);

	for (int i = 0; i < n; i++) {
		fcntl(SD_LISTEN_FDS_START + i, F_SETFD, FD_CLOEXEC);
		add(keep, names[i], SD_LISTEN_FDS_START + i);
		free(names[i]);
	}
	free(names);
}

struct keep *keep_new(void)
{
	struct keep *keep = calloc(1, sizeof(*keep));

	if (!keep)
		return NULL;
	pthread_mutex_init(&keep->lock, NULL);
	keep->keeper = (struct pmt_keeper) {
		.take = keep_take,
		.keep = keep_keep,
		.leave = keep_leave,
		.drop = keep_drop,
		.context = keep,
	};
	adopt(keep);
	return keep;
}

/* The manager's stay, for the next process. */
void keep_free(struct keep *keep)
{
	struct kept *kept, *next;

	if (!keep)
		return;
	for (kept = keep->first; kept; kept = next) {
		next = kept->next;
		close(kept->fd);
		free(kept->name);
		free(kept);
	}
	pthread_mutex_destroy(&keep->lock);
	free(keep);
}

const struct pmt_keeper *keep_keeper(const struct keep *keep)
{
	return &keep->keeper;
}

int keep_add(struct keep *keep, const char *name, int fd, const char *state)
{
	struct kept *kept;

	pthread_mutex_lock(&keep->lock);
	kept = add(keep, name, fd);
	if (kept) {
		snprintf(kept->state, sizeof(kept->state), "%s", state);
		tell_manager("FDSTORE=1\nFDPOLL=0", name, &kept->fd);
	}
	pthread_mutex_unlock(&keep->lock);
	return kept ? 0 : -ENOMEM;
}

void keep_close_unused(struct keep *keep)
{
	struct kept *kept, *next;

	pthread_mutex_lock(&keep->lock);
	for (kept = keep->first; kept; kept = next) {
		next = kept->next;
		if (!kept->used)
			remove_it(keep, kept);
	}
	pthread_mutex_unlock(&keep->lock);
}

const struct kept *keep_list(const struct keep *keep)
{
	return keep->first;
}

void keep_forget_states(struct keep *keep)
{
	pthread_mutex_lock(&keep->lock);
	for (struct kept *kept = keep->first; kept; kept = kept->next)
		kept->state[0] = '\0';
	pthread_mutex_unlock(&keep->lock);
}
