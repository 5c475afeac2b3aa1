// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Verified reading, and the blocks that a copy has not.
 *
 * With verify=yes every copy that counts reads each record, one command at a time: the
 * reader to where the application wants it, the others to buffers of the mirror's.  What
 * they have found is compared: a record's length and bytes, a filemark, the end of data.
 * A copy that fails to read is passed over, as without it.  Of those that can read:
 *
 *   - all have found the same: that is the answer;
 *   - more than half have: that is, and the others have a bad block there;
 *   - else nobody knows which is right: MEDIUM ERROR 1d/00 (miscompare), at the place
 *     before it.  Of two copies that is every difference.
 *
 * A block that a copy could not read, or where it was outvoted, is noted, until it is
 * overwritten, the copy is brought up to the others anew, or the cartridge goes.
 *
 * All here by the keeper, with the lock held, but where it says otherwise.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "mirror.h"

/* The lock is left for it: who calls has stopped all. */
static void send_event(struct mirror *m, unsigned int event, const char *text)
{
	const struct pmt_session *session = m->drive.session;

	pthread_mutex_unlock(&m->lock);
	pmt_log(LOG_WARNING, "%s", text);
	if (session && session->event)
		session->event(session, event, text);
	pthread_mutex_lock(&m->lock);
}

/* What it has given, in bytes. */
static uint32_t bytes_read(const struct part *part)
{
	const struct pmt_command *cmd = &part->req.cmd;
	int64_t left = part->req.result.residue;

	if (mirror_is_check(part) && !(part->req.result.sense & PMT_SENSE_ILI) &&
	    !cmd->block_size)
		return 0;
	left = left < 0 ? 0 : left * (cmd->block_size ? cmd->block_size : 1);
	return left > cmd->length ? 0 : cmd->length - (uint32_t)left;
}

/* The block that the byte is of. */
static uint64_t block_at(const struct pmt_command *cmd, uint32_t byte)
{
	return cmd->place.lbn == PMT_UNKNOWN || !cmd->block_size ? cmd->place.lbn :
	       cmd->place.lbn + byte / cmd->block_size;
}

static bool is_noted(const struct copy *copy, uint32_t partition, uint64_t lbn)
{
	for (unsigned int i = 0; i < copy->bad.listed; i++)
		if (copy->bad.at[i].partition == partition && copy->bad.at[i].lbn == lbn)
			return true;
	return false;
}

static void note_bad(struct mirror *m, const struct part *part, uint64_t lbn, const char *why)
{
	struct copy *copy = &m->copies[part->copy];
	uint32_t partition = part->req.cmd.place.partition;
	char text[500];

	if (is_noted(copy, partition, lbn))
		return;
	copy->bad.count++;
	if (copy->bad.listed < MIRROR_BAD_LISTED && lbn != PMT_UNKNOWN) {
		copy->bad.at[copy->bad.listed].partition = partition;
		copy->bad.at[copy->bad.listed++].lbn = lbn;
	}
	snprintf(text, sizeof(text), "copy %u (%s) has a bad block %" PRId64 ": %s",
		 part->copy + 1, copy->drive->text, (int64_t)lbn, why);
	send_event(m, PMT_EVENT_BAD_BLOCK, text);
}

void mirror_note_unread(struct mirror *m, const struct part *part)
{
	const struct pmt_result *result = &part->req.result;
	char why[80];

	if (result->key != PMT_KEY_MEDIUM && result->key != PMT_KEY_HARDWARE)
		return;		/* not of this block */
	snprintf(why, sizeof(why), "sense key %x, %02x/%02x", result->key, result->asc,
		 result->ascq);
	note_bad(m, part, block_at(&part->req.cmd, bytes_read(part)), why);
}

/* What is written now is read from then on. */
void mirror_forget_bad(struct mirror *m, const struct pmt_place *from)
{
	for (unsigned int i = 0; i < m->n; i++) {
		struct copy *copy = &m->copies[i];
		unsigned int kept = 0;

		for (unsigned int k = 0; k < copy->bad.listed; k++)
			if (copy->bad.at[k].partition != from->partition ||
			    copy->bad.at[k].lbn < from->lbn)
				copy->bad.at[kept++] = copy->bad.at[k];
		copy->bad.count -= copy->bad.listed - kept;
		copy->bad.listed = kept;
	}
}

void mirror_show_bad(const struct copy *copy, struct json_object *object)
{
	struct json_object *list;

	json_object_object_add(object, "bad_blocks",
			       json_object_new_int64((int64_t)copy->bad.count));
	if (!copy->bad.listed)
		return;
	list = json_object_new_array();
	for (unsigned int i = 0; i < copy->bad.listed; i++) {
		struct json_object *at = json_object_new_object();

		json_object_object_add(at, "partition",
				       json_object_new_int64(copy->bad.at[i].partition));
		json_object_object_add(at, "lbn",
				       json_object_new_int64((int64_t)copy->bad.at[i].lbn));
		json_object_array_add(list, at);
	}
	json_object_object_add(object, "bad_at", list);
}

void mirror_warn_bad(const struct mirror *m)
{
	for (unsigned int i = 0; i < m->n; i++) {
		const struct copy *copy = &m->copies[i];
		char text[MIRROR_BAD_LISTED * 22] = "";
		size_t used = 0;

		for (unsigned int k = 0; k < copy->bad.listed; k++)
			used += (size_t)snprintf(text + used, sizeof(text) - used, " %" PRIu64,
						 copy->bad.at[k].lbn);
		if (copy->bad.count)
			pmt_log(LOG_WARNING, "copy %u (%s) has bad blocks, %" PRIu64 ", which "
				"the next server has to find again:%s%s", i + 1,
				copy->drive->text, copy->bad.count, text,
				copy->bad.listed < copy->bad.count ? " ..." : "");
	}
}

/* Verified reading.  Any thread, with the lock held: */

bool mirror_verifies(const struct mirror *m, const struct pmt_command *cmd)
{
	return m->verify && cmd->op == PMT_OP_READ && cmd->length <= PMT_RECORD_MAX &&
	       m->copies[m->reader].state == COPY_OK;
}

void mirror_send_verified(struct mirror *m, struct slot *slot)
{
	slot->verified = true;
	for (unsigned int i = 0; i < m->n; i++)
		if (m->copies[i].state == COPY_OK)
			mirror_send_part(m, &slot->parts[i], &slot->cmd,
					 i == m->reader ? slot->up->data :
					 m->buffers + (size_t)i * PMT_RECORD_MAX);
}

/* Of a record that is longer than was asked for not every drive knows how long it is. */
static bool same_found(const struct part *a, const struct part *b)
{
	const struct pmt_result *one = &a->req.result, *other = &b->req.result;
	uint8_t of = PMT_SENSE_FILEMARK | PMT_SENSE_ILI;

	if (one->status != other->status || (one->sense & of) != (other->sense & of) ||
	    (one->status == PMT_STATUS_CHECK && one->key != other->key))
		return false;
	return bytes_read(a) == bytes_read(b) &&
	       !memcmp(a->req.data, b->req.data, bytes_read(a));
}

bool mirror_found_alike(const struct mirror *m, const struct slot *slot)
{
	const struct part *own = &slot->parts[m->reader];

	for (unsigned int i = 0; i < m->n; i++)
		if (slot->parts[i].state == PART_DONE && i != m->reader &&
		    !same_found(own, &slot->parts[i]))
			return false;
	return true;
}

/* The keeper's: */

static bool has_read(const struct part *part)
{
	return part->state == PART_DONE && part->req.result.status != PMT_STATUS_CANCELLED &&
	       !(mirror_is_check(part) && mirror_is_failure(&part->req.result));
}

static unsigned int votes_for(const struct mirror *m, const struct slot *slot, unsigned int copy)
{
	unsigned int votes = 0;

	for (unsigned int i = 0; has_read(&slot->parts[copy]) && i < m->n; i++)
		votes += has_read(&slot->parts[i]) &&
			 same_found(&slot->parts[copy], &slot->parts[i]);
	return votes;
}

/* The copy with which more than half agree; n: there is none. */
static unsigned int elect(const struct mirror *m, const struct slot *slot)
{
	unsigned int readers = 0;

	for (unsigned int i = 0; i < m->n; i++)
		readers += has_read(&slot->parts[i]);
	for (unsigned int k = 0; k < m->n; k++) {
		unsigned int i = (m->reader + k) % m->n;

		if (2 * votes_for(m, slot, i) > readers)
			return i;
	}
	return m->n;
}

static void describe(const struct part *part, char *text, size_t size)
{
	const struct pmt_result *result = &part->req.result;

	if (result->sense & PMT_SENSE_FILEMARK)
		snprintf(text, size, "a filemark");
	else if (result->status == PMT_STATUS_CHECK && result->key == PMT_KEY_BLANK)
		snprintf(text, size, "the end of data");
	else if (result->sense & PMT_SENSE_ILI && !part->req.cmd.block_size)
		snprintf(text, size, "a record of more than %u bytes", part->req.cmd.length);
	else
		snprintf(text, size, "%u bytes", bytes_read(part));
}

/* Or the end of the one that is shorter. */
static uint32_t first_difference(const struct part *a, const struct part *b)
{
	uint32_t length = bytes_read(a) < bytes_read(b) ? bytes_read(a) : bytes_read(b), i = 0;
	const char *one = a->req.data, *other = b->req.data;

	while (i < length && one[i] == other[i])
		i++;
	return i;
}

/* "copy 1 (A) has 100 bytes, copy 2 (B) 100 bytes, the first that differs is byte 7" */
static void explain(const struct mirror *m, const struct part *a, const struct part *b,
		    char *text, size_t size)
{
	uint32_t i = first_difference(a, b);
	char found_a[64], found_b[64], byte[64] = "";

	if (i < bytes_read(a) && i < bytes_read(b))
		snprintf(byte, sizeof(byte), ", the first that differs is byte %u", i);
	describe(a, found_a, sizeof(found_a));
	describe(b, found_b, sizeof(found_b));
	snprintf(text, size, "copy %u (%s) has %s, copy %u (%s) %s%s", a->copy + 1,
		 m->copies[a->copy].drive->text, found_a, b->copy + 1,
		 m->copies[b->copy].drive->text, found_b, byte);
}

/* Nobody knows which is right. */
static void answer_difference(struct mirror *m, struct slot *slot, const struct part *one)
{
	const struct part *other = one;
	char why[400], text[500];
	struct pmt_request *own;

	for (unsigned int i = one->copy + 1; i < m->n && other == one; i++)
		if (has_read(&slot->parts[i]) && !same_found(one, &slot->parts[i]))
			other = &slot->parts[i];
	explain(m, one, other, why, sizeof(why));
	snprintf(text, sizeof(text), "block %" PRId64 " differs: %s",
		 (int64_t)block_at(&slot->cmd, first_difference(one, other)), why);
	m->differences++;
	send_event(m, PMT_EVENT_DIFFERENCE, text);
	own = &slot->parts[m->reader].req;
	pmt_result_check(own, PMT_KEY_MEDIUM, 0x1d, 0x00);
	mirror_answer_read(m, slot, &own->result);
	m->frozen = true;
}

/* Those that could not read it, and those that have something else than copy best has. */
static void note_others(struct mirror *m, const struct slot *slot, unsigned int best)
{
	for (unsigned int i = 0; i < m->n; i++) {
		const struct part *part = &slot->parts[i];
		char why[400];

		if (part->state != PART_DONE || (best < m->n && i == best))
			continue;
		if (!has_read(part)) {
			mirror_note_unread(m, part);
		} else if (best < m->n && !same_found(part, &slot->parts[best])) {
			explain(m, &slot->parts[best], part, why, sizeof(why));
			note_bad(m, part, block_at(&slot->cmd, first_difference(
				 &slot->parts[best], part)), why);
		}
	}
}

static void answer_by(struct mirror *m, struct slot *slot, unsigned int best)
{
	const struct part *part = &slot->parts[best];

	if (best != m->reader)
		memcpy(slot->up->data, part->req.data, bytes_read(part));
	if (!has_read(&slot->parts[m->reader])) {
		m->fallbacks++;
		m->reader = best;
	}
	mirror_answer_read(m, slot, &part->req.result);
	m->frozen = m->frozen || mirror_is_check(part);
}

void mirror_settle_verified(struct mirror *m, struct slot *slot)
{
	unsigned int best;

	for (unsigned int i = 0; i < m->n; i++)
		if (slot->parts[i].state == PART_DONE &&
		    slot->parts[i].req.result.status == PMT_STATUS_CANCELLED) {
			mirror_answer_cancelled(slot);
			return;
		}
	best = elect(m, slot);
	note_others(m, slot, best);
	if (best < m->n) {
		answer_by(m, slot, best);
		return;
	}
	for (unsigned int i = 0; i < m->n; i++)
		if (has_read(&slot->parts[i])) {
			answer_difference(m, slot, &slot->parts[i]);
			return;
		}
	mirror_answer_read(m, slot, &slot->parts[m->reader].req.result);
	m->frozen = true;
}
