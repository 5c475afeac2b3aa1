// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The mirror: one command, every copy.  Here is what a drive has: options, attach and
 * detach, limits and status; mirror.h says what the others do.
 */
#include <errno.h>
#include <json-c/json.h>
#include <string.h>
#include <syslog.h>

#include "mirror.h"

static void mirror_submit(struct pmt_drive *drive, struct pmt_request *req)
{
	struct mirror *m = (struct mirror *)drive;

	req->next = NULL;
	pthread_mutex_lock(&m->lock);
	*m->queue_end = req;
	m->queue_end = &req->next;
	mirror_pump(m);
	if (mirror_first_answered(m))
		pthread_cond_signal(&m->cond);
	pthread_mutex_unlock(&m->lock);
}

static void mirror_resume(struct pmt_drive *drive)
{
	struct mirror *m = (struct mirror *)drive;

	pthread_mutex_lock(&m->lock);
	m->frozen = false;
	pthread_mutex_unlock(&m->lock);
}

/* Reads that the copy has not begun, too: a part of them has a number before. */
static void cancel_reads(struct mirror *m, uint32_t number)
{
	for (unsigned int k = 0; !m->stopped && k < m->used; k++) {
		const struct slot *slot = mirror_slot_at(m, k);

		if (slot->answered || slot->cmd.op != PMT_OP_READ ||
		    !pmt_number_before(slot->up->cmd.number, number))
			continue;
		for (unsigned int i = 0; i < m->n; i++)
			if (slot->parts[i].state == PART_SENT)
				pmt_worker_cancel(m->copies[i].worker,
						  slot->parts[i].req.cmd.number + 1);
	}
}

static void mirror_cancel(struct pmt_drive *drive, uint32_t number)
{
	struct mirror *m = (struct mirror *)drive;

	pthread_mutex_lock(&m->lock);
	if (!m->cancelling || pmt_number_before(m->cancel, number))
		m->cancel = number;
	m->cancelling = true;
	cancel_reads(m, number);
	mirror_pump(m);
	if (mirror_first_answered(m))
		pthread_cond_signal(&m->cond);
	pthread_mutex_unlock(&m->lock);
}

static void mirror_settle(struct pmt_drive *drive)
{
	struct mirror *m = (struct mirror *)drive;

	pthread_mutex_lock(&m->lock);
	while (m->publishing)
		pthread_cond_wait(&m->quiet, &m->lock);
	pthread_mutex_unlock(&m->lock);
}

static void reset(struct mirror *m, const struct pmt_session *session)
{
	m->depth = session->depth ? session->depth : 1;
	m->head = m->used = m->busy = 0;
	m->queue = NULL;
	m->queue_end = &m->queue;
	m->leaving = m->publishing = m->stopped = m->approach = m->approved = false;
	m->pausing = m->refused = false;
	m->frozen = m->cancelling = m->stands = m->placed = m->tails = false;
	m->number = 1;
	m->place = session->place;
	m->reader = 0;
	m->first_ew.copy = m->n;
}

static int mirror_attach(struct pmt_drive *drive, const struct pmt_session *session)
{
	struct mirror *m = (struct mirror *)drive;
	int rc;

	reset(m, session);
	rc = mirror_make_slots(m);
	if (rc == 0)
		rc = mirror_attach_copies(m, session);
	if (rc == 0)
		rc = mirror_look(m, session);
	if (rc == 0)
		rc = -pthread_create(&m->keeper, NULL, mirror_keep, m);
	if (rc) {
		mirror_detach_copies(m);
		mirror_free_slots(m);
	}
	return rc;
}

static void mirror_detach(struct pmt_drive *drive)
{
	struct mirror *m = (struct mirror *)drive;

	pthread_mutex_lock(&m->lock);
	m->leaving = true;
	pthread_cond_signal(&m->cond);
	pthread_cond_signal(&m->calm);
	pthread_mutex_unlock(&m->lock);
	mirror_end_rejoin(m);
	pthread_join(m->keeper, NULL);
	mirror_warn_bad(m);
	mirror_detach_copies(m);
	mirror_free_slots(m);
}

static int take_options(struct mirror *m, const struct pmt_spec *spec)
{
	const char *policy = "all", *twins = "same";
	uint64_t min = 1;
	int rc;

	pmt_spec_string(spec, "policy", &policy);
	if (strcmp(policy, "all") && strcmp(policy, "degrade"))
		return pmt_spec_refuse(spec, "policy", "all or degrade");
	m->degrade = strcmp(policy, "degrade") == 0;
	pmt_spec_string(spec, "twins", &twins);
	if (strcmp(twins, "same") && strcmp(twins, "any"))
		return pmt_spec_refuse(spec, "twins", "same or any");
	m->any = strcmp(twins, "any") == 0;
	rc = pmt_spec_bool(spec, "verify", &m->verify);
	if (rc && rc != -ENOENT)
		return rc;
	rc = pmt_spec_number(spec, "min", 1, spec->n_children, &min);
	if (rc && rc != -ENOENT)
		return rc;
	if (rc == 0 && !m->degrade)
		return pmt_spec_refuse(spec, "min", "policy=degrade with it");
	m->min = (unsigned int)min;
	return pmt_spec_unused(spec);
}

static void mirror_close(struct pmt_drive *drive)
{
	struct mirror *m = (struct mirror *)drive;

	for (unsigned int i = 0; i < m->n; i++)
		pmt_drive_close(m->copies[i].drive);
	free(m->copies);
	pthread_cond_destroy(&m->quiet);
	pthread_cond_destroy(&m->calm);
	pthread_cond_destroy(&m->cond);
	pthread_mutex_destroy(&m->lock);
}

/* What a mirror inside another one drops, the unit would not remember. */
static bool degrades(const struct pmt_spec *spec)
{
	const char *policy;

	if (!strcmp(spec->kind, "mirror") && !pmt_spec_string(spec, "policy", &policy) &&
	    !strcmp(policy, "degrade"))
		return true;
	for (size_t i = 0; i < spec->n_children; i++)
		if (degrades(spec->children[i]))
			return true;
	return false;
}

static int mirror_open(struct pmt_drive *drive, const struct pmt_spec *spec)
{
	struct mirror *m = (struct mirror *)drive;
	int rc = take_options(m, spec);

	for (size_t i = 0; rc == 0 && i < spec->n_children; i++)
		if (degrades(spec->children[i])) {
			pmt_log(LOG_ERR, "mirror: policy=degrade is for the outermost");
			rc = -EINVAL;
		}
	if (rc == 0 && spec->n_children > MIRROR_COPIES_MAX) {
		pmt_log(LOG_ERR, "mirror: %zu copies; at most %u are possible",
			spec->n_children, MIRROR_COPIES_MAX);
		rc = -EINVAL;
	}
	if (rc)
		return rc;
	m->copies = calloc(spec->n_children, sizeof(*m->copies));
	if (!m->copies)
		return -ENOMEM;
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->cond, NULL);
	pthread_cond_init(&m->quiet, NULL);
	pthread_cond_init(&m->calm, NULL);
	while (rc == 0 && m->n < spec->n_children) {
		struct copy *copy = &m->copies[m->n];

		rc = pmt_drive_open_spec(&copy->drive, spec->children[m->n]);
		if (rc)
			break;
		copy->mirror = copy->own.mirror = m;
		copy->own.copy = m->n++;
	}
	m->first_ew.copy = m->n;
	if (rc)
		mirror_close(drive);
	return rc;
}

static void add_limits(struct pmt_limits *limits, const struct pmt_limits *own)
{
#define AT_LEAST(field) (limits->field = own->field > limits->field ? own->field : limits->field)
#define AT_MOST(field) (limits->field = own->field < limits->field ? own->field : limits->field)
	AT_LEAST(record_min);
	AT_MOST(record_max);
	AT_LEAST(byte_cost);
	AT_LEAST(record_cost);
	AT_LEAST(mark_cost);
	AT_MOST(window);
#undef AT_LEAST
#undef AT_MOST
}

/* Of all copies that count, or are about to; with none, of all. */
static void mirror_limits(struct pmt_drive *drive, struct pmt_limits *limits)
{
	struct mirror *m = (struct mirror *)drive;
	unsigned int first = m->n;

	pthread_mutex_lock(&m->lock);
	for (unsigned int i = 0; i < m->n; i++) {
		bool comes = mirror_is_rejoining(m) && m->rejoin.copy == i;
		struct pmt_limits own;

		if (mirror_count_healthy(m) && !is_healthy(&m->copies[i]) && !comes)
			continue;
		pmt_drive_limits(m->copies[i].drive, &own);
		if (first == m->n) {
			first = i;
			*limits = own;
		}
		add_limits(limits, &own);
	}
	if (m->rejoin.state == REJOIN_LOWERING ||
	    (m->rejoin.state == REJOIN_DONE && !m->rejoin.shown))
		limits->window = 0;
	pthread_mutex_unlock(&m->lock);
}

static uint64_t mirror_used(struct pmt_drive *drive)
{
	struct mirror *m = (struct mirror *)drive;
	uint64_t most = 0;

	pthread_mutex_lock(&m->lock);
	for (unsigned int i = 0; i < m->n; i++) {
		uint64_t used;

		if (!is_healthy(&m->copies[i]))
			continue;
		used = pmt_drive_used(m->copies[i].drive);
		most = used > most ? used : most;
	}
	pthread_mutex_unlock(&m->lock);
	return most;
}

static void show_first_ew(const struct mirror *m, struct json_object *object)
{
	struct json_object *ew = json_object_new_object();

	json_object_object_add(ew, "copy", json_object_new_int((int)m->first_ew.copy + 1));
	json_object_object_add(ew, "generation",
			       json_object_new_int64((int64_t)m->first_ew.place.generation));
	json_object_object_add(ew, "partition",
			       json_object_new_int64((int64_t)m->first_ew.place.partition));
	json_object_object_add(ew, "lbn",
			       json_object_new_int64((int64_t)m->first_ew.place.lbn));
	json_object_object_add(object, "first_ew", ew);
}

static void mirror_status(struct pmt_drive *drive, struct json_object *object)
{
	static const char *const names[] = { "ok", "longer", "failed" };
	struct mirror *m = (struct mirror *)drive;
	struct json_object *children = json_object_new_array();

	for (unsigned int i = 0; i < m->n; i++) {
		struct json_object *child = json_object_new_object();
		struct copy *copy = &m->copies[i];

		pmt_drive_status(copy->drive, child);
		pthread_mutex_lock(&m->lock);
		json_object_object_add(child, "state",
				       json_object_new_string(names[copy->state]));
		if (copy->state != COPY_OK)
			json_object_object_add(child, "reason",
					       json_object_new_string(copy->reason));
		mirror_show_bad(copy, child);
		pthread_mutex_unlock(&m->lock);
		json_object_array_add(children, child);
	}
	pthread_mutex_lock(&m->lock);
	json_object_object_add(object, "policy",
			       json_object_new_string(m->degrade ? "degrade" : "all"));
	json_object_object_add(object, "min", json_object_new_int((int)m->min));
	json_object_object_add(object, "healthy",
			       json_object_new_int((int)mirror_count_healthy(m)));
	json_object_object_add(object, "reader", json_object_new_int((int)m->reader + 1));
	json_object_object_add(object, "fallbacks",
			       json_object_new_int64((int64_t)m->fallbacks));
	json_object_object_add(object, "verify", json_object_new_boolean(m->verify));
	json_object_object_add(object, "differences",
			       json_object_new_int64((int64_t)m->differences));
	if (m->first_ew.copy < m->n)
		show_first_ew(m, object);
	mirror_show_rejoin(m, object);
	pthread_mutex_unlock(&m->lock);
	json_object_object_add(object, "children", children);
}

const struct pmt_drive_ops pmt_mirror_drive = {
	.name = "mirror",
	.size = sizeof(struct mirror),
	.open = mirror_open,
	.close = mirror_close,
	.attach = mirror_attach,
	.detach = mirror_detach,
	.submit = mirror_submit,
	.resume = mirror_resume,
	.cancel = mirror_cancel,
	.settle = mirror_settle,
	.limits = mirror_limits,
	.used = mirror_used,
	.status = mirror_status,
};
