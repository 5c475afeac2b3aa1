// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * rmt: a tape drive on another host; see remote.h.
 *
 * What st makes of a tape is the same as of one here, and so is the code: st*.c,
 * over calls that are requests (rmt_calls.c).  READ and WRITE that follow each
 * other do not go that way, but many at once (rmt_flow.c).
 *
 * A lost connection.  The server closes the tape: st writes a filemark if the last
 * thing was a write.  What was not answered may be on the tape or not.  So the
 * drive connects again, asks where the tape stands, and executes again, one by one
 * from the first that was not answered: law 1 takes it back over what is too
 * much.  Nothing is known of the cartridge but that; if the tape stands at its beginning
 * and did not before, it may be another one, and nothing more is written.  So it is when
 * a unit comes that stood elsewhere.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "remote.h"

#define WINDOW_DEFAULT		(16ull << 20)
#define PATIENCE_DEFAULT	2000	/* ms */
#define RECOVERY_DEFAULT	30	/* s, as a unit's */
#define TIMEOUT_DEFAULT		1000	/* st gives up after 900 s */
#define DAY			86400
#define WAIT_MAX		2000	/* ms between two attempts */

/* ---- options ---- */

/* [user@]host:device; an address of IPv6 is in brackets. */
static int take_target(struct pmt_remote *r, const struct pmt_spec *spec)
{
	const char *target = spec->target, *host = target, *at = strchr(target, '@');
	const char *end;

	if (at && at < strchrnul(target, ':'))
		host = at + 1;
	end = *host == '[' ? strchr(host, ']') : strchr(host, ':');
	if (!end || end == host || end[*host == '['] != ':' || *target == '-' || *target == '@')
		return pmt_spec_refuse_target(spec, "[user@]host:device");
	r->device = strdup(end + (*host == '[' ? 2 : 1));
	if (*host == '[' && asprintf(&r->host, "%.*s%.*s", (int)(host - target), target,
				     (int)(end - host) - 1, host + 1) < 0)
		r->host = NULL;
	else if (*host != '[')
		r->host = strndup(target, (size_t)(end - target));
	if (!r->device || !r->host)
		return -ENOMEM;
	if (!*r->device || strchr(r->device, '\n') || strlen(r->device) > PMT_RMT_NAME_MAX)
		return pmt_spec_refuse_target(spec, "[user@]host:device");
	return 0;
}

static int take_text(char **to, const struct pmt_spec *spec, const char *key)
{
	const char *text;

	if (pmt_spec_string(spec, key, &text))
		return 0;
	if (!*text)
		return pmt_spec_refuse(spec, key, "a text");
	*to = strdup(text);
	return *to ? 0 : -ENOMEM;
}

static int take_transport(struct pmt_remote *r, const struct pmt_spec *spec)
{
	const char *via = NULL;
	int rc = take_text(&r->command, spec, "command");

	if (rc == 0)
		rc = take_text(&r->program, spec, "rmt");
	if (rc == 0)
		rc = take_text(&r->config, spec, "config");
	if (rc)
		return rc;
	if (pmt_spec_string(spec, "via", &via) == 0 && strcmp(via, "ssh"))
		return pmt_spec_refuse(spec, "via", "ssh (or command=)");
	if (r->command && via)
		return pmt_spec_refuse(spec, "via", "no command= beside it");
	if (r->command && r->program)
		return pmt_spec_refuse(spec, "rmt", "no command= beside it");
	if (r->command && r->config)
		return pmt_spec_refuse(spec, "config", "no command= beside it");
	if (!r->program)
		r->program = strdup("/etc/rmt");
	return r->program ? 0 : -ENOMEM;
}

static int take_system(struct pmt_remote *r, const struct pmt_spec *spec)
{
	const char *os;

	if (pmt_spec_string(spec, "os", &os))
		return 0;
	if (strcmp(os, "linux") == 0)
		r->stated = PMT_RMT_ORDER_LINUX;
	else if (strcmp(os, "bsd") == 0)
		r->stated = PMT_RMT_ORDER_BSD;
	else
		return pmt_spec_refuse(spec, "os", "linux or bsd");
	return 0;
}

static int take_number(const struct pmt_spec *spec, const char *key, uint64_t min,
		       uint64_t max, uint64_t *value)
{
	int rc = pmt_spec_number(spec, key, min, max, value);

	return rc == -ENOENT ? 0 : rc;
}

static int take_numbers(struct pmt_remote *r, const struct pmt_spec *spec)
{
	uint64_t window = WINDOW_DEFAULT, patience = PATIENCE_DEFAULT;
	uint64_t recovery = RECOVERY_DEFAULT, timeout = TIMEOUT_DEFAULT;
	int rc = take_number(spec, "window", 0, 1u << 30, &window);

	if (rc == 0)
		rc = take_number(spec, "time", 1, DAY * 1000, &patience);
	if (rc == 0)
		rc = take_number(spec, "recovery", 0, DAY, &recovery);
	if (rc == 0)
		rc = take_number(spec, "timeout", 1, DAY, &timeout);
	r->window = (uint32_t)window;
	r->patience = (int64_t)patience;
	r->recovery = (int64_t)recovery * 1000;
	r->wire.timeout = (int)(timeout * 1000);
	return rc;
}

static int take_options(struct pmt_remote *r, const struct pmt_spec *spec)
{
	int rc = take_target(r, spec);

	if (rc == 0)
		rc = take_transport(r, spec);
	if (rc == 0)
		rc = take_system(r, spec);
	return rc ? rc : take_numbers(r, spec);
}

/* ---- connecting again ---- */

static bool is_beginning(const struct pmt_place *place)
{
	return place->lbn != PMT_UNKNOWN ? !place->lbn : !place->file && !place->block;
}

static bool is_known(const struct pmt_place *place)
{
	return place->lbn != PMT_UNKNOWN ||
	       (place->file != PMT_UNKNOWN && place->block != PMT_UNKNOWN);
}

/* The tape is at its beginning, and nobody has sent it there. */
static bool was_changed(struct pmt_remote *r, const struct pmt_place *before)
{
	struct pmt_leaf *leaf = &r->st.leaf;
	struct mtget status;

	if (!is_known(before) || is_beginning(before) || r->rewinding)
		return false;
	if (leaf->place.lbn != PMT_UNKNOWN)
		return !leaf->place.lbn;
	return pmt_st_status(&r->st, &status) == 0 && !status.mt_fileno && !status.mt_blkno;
}

static void take_out(struct pmt_remote *r)
{
	r->st.leaf.present = false;
	r->st.removed = true;
}

static void suspect(struct pmt_remote *r, const struct pmt_place *before)
{
	if (!was_changed(r, before))
		return;
	pmt_log(LOG_ERR, "%s: the tape stands at its beginning, and did not before: "
		"it may be another one", r->st.path);
	take_out(r);
}

/* The tape is open; where does it stand, and is it still the same? */
static void find_place(struct pmt_remote *r, const struct pmt_place *before)
{
	struct pmt_leaf *leaf = &r->st.leaf;
	uint64_t lbn;

	r->st.block_size = PMT_UNKNOWN;
	r->st.writing = r->st.synced = r->st.early = false;
	leaf->eod = PMT_UNKNOWN;
	if (!leaf->present)
		return;
	if (r->empty) {
		take_out(r);
		return;
	}
	leaf->protected = r->read_only;
	pmt_st_set_options(&r->st);
	pmt_st_set_block_size(&r->st, 0);
	pmt_st_where(&r->st);
	suspect(r, before);
	if (r->lost)
		return;
	r->rewinding = false;
	lbn = leaf->place.lbn;
	/* What is meant for where it stands may have been done. */
	if (lbn == PMT_UNKNOWN || lbn != before->lbn)
		leaf->fresh = true;
	if (lbn == PMT_UNKNOWN)
		pmt_log(LOG_NOTICE, "%s: connected again", r->st.path);
	else
		pmt_log(LOG_NOTICE, "%s: connected again; the tape stands at block %llu",
			r->st.path, (unsigned long long)lbn);
}

void pmt_remote_back_off(unsigned int *wait)
{
	pmt_st_system.wait(*wait);
	*wait = 2 * *wait < WAIT_MAX ? 2 * *wait : WAIT_MAX;
}

static int connect_again(struct pmt_remote *r, const struct pmt_place *before)
{
	r->st.fd = pmt_remote_calls.open(&r->st, 0);
	if (r->st.fd < 0)
		return r->st.fd;
	find_place(r, before);
	if (!r->lost)
		return 0;
	r->st.leaf.place = *before;
	return -ENOLINK;
}

/* Somebody must do something there, before it is of use to try again. */
static bool is_refused(int rc)
{
	return rc == -EPROTO || rc == -EINVAL;
}

int pmt_remote_recover(struct pmt_remote *r)
{
	struct pmt_place before = r->st.leaf.place;
	int64_t now = pmt_wire_now(), until = now + (r->gone ? 0 : r->recovery);
	unsigned int wait = PMT_WAIT_MIN;
	int rc;

	r->wire.until = r->recovery ? now + r->recovery : 0;
	for (;;) {
		rc = connect_again(r, &before);
		if (rc == 0 || is_refused(rc) || pmt_wire_now() + wait > until)
			break;
		pmt_remote_back_off(&wait);
	}
	r->wire.until = 0;
	if (rc && !r->gone && !is_refused(rc))
		pmt_log(LOG_ERR, "%s: not connected again within %lld s", r->st.path,
			(long long)r->recovery / 1000);
	r->gone = rc;
	return rc ? -ENOLINK : 0;
}

/* ---- the drive ---- */

static void free_remote(struct pmt_remote *r)
{
	pmt_wire_close(&r->wire);
	free(r->wire.in);
	free(r->host);
	free(r->device);
	free(r->program);
	free(r->config);
	free(r->command);
	free(r->flights);
	pthread_cond_destroy(&r->quiet);
	pthread_mutex_destroy(&r->lock);
}

/* st knows no more than what it has met; but is it there? */
static int rmt_look(struct pmt_leaf *leaf)
{
	struct pmt_remote *r = pmt_remote_of(pmt_st_of(leaf));
	struct mtget status;

	if (!leaf->present)
		return r->look(leaf);
	if (pmt_st_status(&r->st, &status))
		return -EAGAIN;
	if (!GMT_ONLINE(status.mt_gstat))
		take_out(r);
	return 0;
}

/* Blocks of a fixed size are so many records; modes are told where they can be. */
static void choose_primitives(struct pmt_remote *r)
{
	r->ops = *r->st.leaf.ops;
	r->look = r->ops.look;
	r->ops.look = rmt_look;
	r->ops.write_blocks = NULL;
	r->ops.read_blocks = NULL;
	r->ops.marks_ahead = NULL;
	if (r->order != PMT_RMT_ORDER_LINUX)
		r->ops.set_modes = NULL;
	r->st.leaf.ops = &r->ops;
}

static int rmt_open(struct pmt_drive *drive, const struct pmt_spec *spec)
{
	struct pmt_remote *r = (struct pmt_remote *)drive;
	int rc;

	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->quiet, NULL);
	r->wire.fd = r->wire.process = -1;
	rc = take_options(r, spec);
	if (rc == 0)
		rc = pmt_st_open(drive, spec, &pmt_remote_calls);
	if (rc == 0) {
		choose_primitives(r);
		rc = pmt_flow_start(r);
		if (rc)
			pmt_st_drive.close(drive);
	}
	if (rc)
		free_remote(r);
	return rc;
}

static void rmt_close(struct pmt_drive *drive)
{
	struct pmt_remote *r = (struct pmt_remote *)drive;

	pmt_flow_stop(r);
	pmt_st_drive.close(drive);
	free_remote(r);
}

static int rmt_attach(struct pmt_drive *drive, const struct pmt_session *session)
{
	struct pmt_remote *r = (struct pmt_remote *)drive;

	if (session->unit_id && r->st.leaf.present)
		suspect(r, &session->place);
	return pmt_st_drive.attach(drive, session);
}

static void rmt_status(struct pmt_drive *drive, struct json_object *object)
{
	struct pmt_remote *r = (struct pmt_remote *)drive;

	pmt_leaf_status(drive, object);
	pthread_mutex_lock(&r->lock);
	json_object_object_add(object, "connected",
			       json_object_new_boolean(r->shown.connected));
	json_object_object_add(object, "on_the_wire",
			       json_object_new_int64(r->shown.flights));
	json_object_object_add(object, "on_the_wire_at_most",
			       json_object_new_int64(r->shown.most));
	json_object_object_add(object, "connections_lost",
			       json_object_new_int64((int64_t)r->shown.lost));
	json_object_object_add(object, "repeated",
			       json_object_new_int64((int64_t)r->shown.repeated));
	pthread_mutex_unlock(&r->lock);
}

const struct pmt_drive_ops pmt_rmt_drive = {
	.name = "rmt",
	.size = sizeof(struct pmt_remote),
	.open = rmt_open,
	.close = rmt_close,
	.attach = rmt_attach,
	.submit = pmt_flow_submit,
	.resume = pmt_flow_resume,
	.cancel = pmt_flow_cancel,
	.settle = pmt_remote_settle,
	.limits = pmt_leaf_limits,
	.used = pmt_leaf_used,
	.status = rmt_status,
};
