// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * aead: records encrypted and authenticated, by XChaCha20-Poly1305 of libsodium.
 *
 * Why this one.  A record can be written again after a crash, by another process
 * that knows nothing of the last one but the medium, so a nonce cannot be counted.  192
 * bits can be drawn at random for each record, without a state to keep and without a
 * bound that is ever met; AES-GCM's 96 bits can not.  It is as fast on processors
 * without instructions for AES, and the same library locks and wipes the keys.
 *
 * key=SOURCE (required, see keys.c), threads=N.  A record is a head, see struct head,
 * all of it but the tag authenticated, and the encrypted bytes.
 *
 * What is found, by what.  A changed record: by the tag.  One that was moved, or before
 * which one was taken out or put in: by its LBN, and by the marks before it, which are
 * part of the head.  Of another tape: by the recording's identity, which is drawn when
 * it is begun (at its first record, or its first LBN).  An older one: by epochs.
 *
 * Epochs.  Whenever writing does not continue what this filter has just written (after
 * a start, a motion back, a failed write) a new epoch begins.  It has a random identity,
 * and its number is one more than that of the record before its first LBN; each record
 * has all three, and the identity of the epoch before.  As writing cuts what is behind,
 * epochs rise along the tape one by one, each names its predecessor, and from the first
 * LBN of one on there is none of an earlier one.  A record that contradicts is reported,
 * or shows that one which was read before is older: of two writings that began at the
 * same place only one fits.  The epoch before an append is looked up on the tape: the
 * record before the place is read, if it was not the last to be read anyway.
 *
 * Before the first record of a tape is given out, its recording is learnt from the first
 * on it; and a READ that met a mark looks at the record behind it, which says how many
 * marks there should be.
 *
 * Cut off: end of data behind a record is an error where this filter has not written
 * that end itself, as a filemark ends all that was finished.  A tape that was cut behind
 * a filemark, and one that was replaced as a whole by an older state of itself, look as
 * they did once; see pmt-drives(7).
 *
 * All that is kept of a tape is of one partition; it is forgotten with it.  The keys
 * are read again when a volume has ended, so that they can be changed between two.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <sodium.h>
#include <string.h>
#include <syslog.h>

#include "coder.h"
#include "keys.h"

#define VERSION 2
#define RECORDING_BYTES 16
#define EPOCH_BYTES 16
#define NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_BYTES crypto_aead_xchacha20poly1305_ietf_ABYTES
#define NONCES 64u		/* that are drawn at once */
#define MARKS_MAX 1024u		/* that are gone over, to look */
#define UNREADABLE_MAX 4u	/* records, too */

/* SSC's; 74/04: the integrity is not there. */
#define ALTERED PMT_KEY_MEDIUM, 0x7404
#define PLAIN PMT_KEY_PROTECT, 0x7402
#define NO_KEY PMT_KEY_PROTECT, 0x7403
#define CUT_OFF PMT_KEY_MEDIUM, 0x1403

/* Little endian. */
struct head {
	char magic[4];			/* "pmtE" */
	uint8_t version, suite;		/* 2, 1 */
	uint8_t zero[2];
	uint8_t key[PMT_KEY_ID_BYTES];
	uint8_t recording[RECORDING_BYTES];
	uint64_t epoch, first;		/* and the LBN it begins at */
	uint8_t id[EPOCH_BYTES], before[EPOCH_BYTES];	/* its; 0 of the first */
	uint64_t lbn, marks;		/* of this record; marks PMT_UNKNOWN */
	uint32_t partition, length;
	uint8_t nonce[NONCE_BYTES];
	uint8_t tag[TAG_BYTES];
};
_Static_assert(sizeof(struct head) == PMT_CODER_HEAD, "a head is 144 bytes");
#define AUTHENTICATED offsetof(struct head, tag)

/* An epoch of which a record is known. */
struct epoch {
	uint64_t number, first, last;	/* LBN of the last one that is known */
	uint8_t id[EPOCH_BYTES], before[EPOCH_BYTES];
};

/*
 * Drawn ahead by a thread of the pool, as the system call takes as long as encrypting a
 * kilobyte.  Used once and wiped; nobody else has them, as no thread outlives a fork.
 */
struct nonces {
	uint8_t bytes[NONCES][NONCE_BYTES];
	unsigned int left;
};

struct aead {
	struct pmt_coder coder;
	struct nonces *nonces;		/* for each thread */
	struct pmt_keys *keys;
	char *source;
	/* Of the tape, under coder.lock: */
	uint64_t generation;
	uint32_t partition;
	bool known;			/* recording */
	bool tried;			/* ... to learn it from the first record */
	uint8_t recording[RECORDING_BYTES];
	struct epoch *epochs;		/* by number, rising */
	size_t n_epochs, size;
	uint64_t looked;		/* the record before this LBN is known */
	/* What this filter writes; the next LBN is next. */
	bool writing;
	struct epoch now;
	uint64_t next;
	uint64_t end;			/* of data, written here; PMT_UNKNOWN */
};

static struct aead *aead_of(struct pmt_coder *c)
{
	return (struct aead *)c;
}

/* What is known of the tape */

static void forget(struct aead *aead)
{
	aead->known = aead->tried = aead->writing = false;
	aead->n_epochs = 0;
	aead->looked = aead->next = aead->end = PMT_UNKNOWN;
}

static void turn_to(struct aead *aead, const struct pmt_place *place)
{
	if (place->generation == aead->generation && place->partition == aead->partition)
		return;
	forget(aead);
	aead->generation = place->generation;
	aead->partition = place->partition;
}

/* From here on the tape is cut, and then has n more. */
static void cut(struct aead *aead, uint64_t lbn, uint64_t n)
{
	if (!lbn)
		forget(aead);
	while (aead->n_epochs && aead->epochs[aead->n_epochs - 1].first >= lbn)
		aead->n_epochs--;
	if (aead->n_epochs && aead->epochs[aead->n_epochs - 1].last >= lbn)
		aead->epochs[aead->n_epochs - 1].last = lbn - 1;
	aead->looked = PMT_UNKNOWN;
	if (aead->next != lbn)
		aead->writing = false;
	aead->next = aead->end = lbn + n;
}

static struct epoch *find_epoch(struct aead *aead, uint64_t number)
{
	for (size_t i = 0; i < aead->n_epochs; i++)
		if (aead->epochs[i].number == number)
			return &aead->epochs[i];
	return NULL;
}

static int add_epoch(struct aead *aead, const struct epoch *epoch)
{
	size_t i = aead->n_epochs;

	if (i == aead->size) {
		size_t size = aead->size ? 2 * aead->size : 16;
		struct epoch *more = reallocarray(aead->epochs, size, sizeof(*more));

		if (!more)
			return -ENOMEM;
		aead->epochs = more;
		aead->size = size;
	}
	for (; i && aead->epochs[i - 1].number > epoch->number; i--)
		aead->epochs[i] = aead->epochs[i - 1];
	aead->epochs[i] = *epoch;
	aead->n_epochs++;
	return 0;
}

/* A record of this epoch is at its last LBN. */
static int learn(struct aead *aead, const struct epoch *epoch)
{
	struct epoch *known = find_epoch(aead, epoch->number);

	aead->looked = epoch->last + 1;
	if (!known)
		return add_epoch(aead, epoch);
	if (epoch->last > known->last)
		known->last = epoch->last;
	return 0;
}

static bool same_id(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, EPOCH_BYTES) == 0;
}

static int order_fits(struct pmt_cell *cell, const struct epoch *epoch,
		      const struct epoch *known)
{
	uint64_t number = epoch->number, first = epoch->first;

	if (known->number == number && known->first != first)
		return pmt_cell_fail(cell, ALTERED, "epoch %" PRIu64 " begins twice, at "
				     "blocks %" PRIu64 " and %" PRIu64, number,
				     known->first, first);
	if (known->number > number && (epoch->last >= known->first || first >= known->first))
		return pmt_cell_fail(cell, ALTERED, "an older record: of epoch %" PRIu64
				     ", where epoch %" PRIu64 " is since block %" PRIu64,
				     number, known->number, known->first);
	if (known->number < number && known->last >= first)
		return pmt_cell_fail(cell, ALTERED, "blocks %" PRIu64 " to %" PRIu64
				     " that were read are older: epoch %" PRIu64
				     " is there", first > known->first ? first :
				     known->first, known->last, number);
	return 0;
}

/* By name: they are the same one, or one is the predecessor of the other. */
static int names_fit(struct pmt_cell *cell, const struct epoch *epoch,
		     const struct epoch *known)
{
	if (known->number == epoch->number &&
	    (!same_id(known->id, epoch->id) || !same_id(known->before, epoch->before)))
		return pmt_cell_fail(cell, ALTERED, "of two writings of block %" PRIu64
				     " and on it is the other one than block %" PRIu64
				     ", which was read", known->first, known->last);
	if ((known->number + 1 == epoch->number && !same_id(known->id, epoch->before)) ||
	    (epoch->number + 1 == known->number && !same_id(epoch->id, known->before)))
		return pmt_cell_fail(cell, ALTERED, "one of two was replaced: it, or block %"
				     PRIu64 ", which was read; their epochs, %" PRIu64
				     " and %" PRIu64 ", are not in a row", known->last,
				     epoch->number, known->number);
	return 0;
}

/* Can there be a record of this epoch at its last LBN, with what is known? */
static int fits(struct aead *aead, struct pmt_cell *cell, const struct epoch *epoch)
{
	if (epoch->first > epoch->last)
		return pmt_cell_fail(cell, ALTERED, "it is before its epoch begins");
	for (size_t i = 0; i < aead->n_epochs; i++) {
		int rc = order_fits(cell, epoch, &aead->epochs[i]);

		if (rc == 0)
			rc = names_fit(cell, epoch, &aead->epochs[i]);
		if (rc)
			return rc;
	}
	return 0;
}

/* Writing */

/* Behind the last that is known, as what is before lbn was looked at. */
static void begin_epoch(struct aead *aead, uint64_t lbn)
{
	const struct epoch *before = aead->n_epochs ? &aead->epochs[aead->n_epochs - 1] : NULL;

	if (!aead->known)
		randombytes_buf(aead->recording, sizeof(aead->recording));
	aead->known = aead->writing = true;
	aead->now = (struct epoch){ .number = before ? before->number + 1 : 1, .first = lbn };
	randombytes_buf(aead->now.id, sizeof(aead->now.id));
	if (before)
		memcpy(aead->now.before, before->id, sizeof(aead->now.before));
}

static bool goes_on(const struct aead *aead, uint64_t lbn)
{
	return aead->writing && aead->next == lbn;
}

static int aead_prepare(struct pmt_coder *c, struct pmt_cell *cell)
{
	struct aead *aead = aead_of(c);
	const struct pmt_place *place = &cell->place;
	struct head head = {
		.magic = { 'p', 'm', 't', 'E' }, .version = VERSION, .suite = 1,
		.lbn = htole64(place->lbn), .marks = htole64(place->file),
		.partition = htole32(place->partition), .length = htole32(cell->size),
	};

	if (place->lbn == PMT_UNKNOWN)
		return pmt_cell_fail(cell, PMT_KEY_ABORTED, 0x3b00, "no block number");
	turn_to(aead, place);
	if (place->lbn && !goes_on(aead, place->lbn) && aead->looked != place->lbn)
		return -EAGAIN;
	cut(aead, place->lbn, 1);
	if (!aead->writing)
		begin_epoch(aead, place->lbn);
	aead->now.last = place->lbn;
	if (learn(aead, &aead->now))
		return pmt_cell_fail(cell, PMT_KEY_HARDWARE, 0x4400, "no memory");
	memcpy(head.key, aead->keys->keys[0].id, sizeof(head.key));
	memcpy(head.recording, aead->recording, sizeof(head.recording));
	head.epoch = htole64(aead->now.number);
	head.first = htole64(aead->now.first);
	memcpy(head.id, aead->now.id, sizeof(head.id));
	memcpy(head.before, aead->now.before, sizeof(head.before));
	memcpy(cell->head, &head, sizeof(head));
	return 0;
}

static void draw_nonce(struct nonces *nonces, uint8_t *nonce)
{
	if (!nonces->left) {
		randombytes_buf(nonces->bytes, sizeof(nonces->bytes));
		nonces->left = NONCES;
	}
	nonces->left--;
	memcpy(nonce, nonces->bytes[nonces->left], NONCE_BYTES);
	sodium_memzero(nonces->bytes[nonces->left], NONCE_BYTES);
}

static int aead_encode(struct pmt_coder *c, struct pmt_cell *cell, unsigned int thread)
{
	struct head head;

	memcpy(&head, cell->head, sizeof(head));
	draw_nonce(&aead_of(c)->nonces[thread], head.nonce);
	crypto_aead_xchacha20poly1305_ietf_encrypt_detached(
		cell->coded + sizeof(head), head.tag, NULL, cell->plain, cell->size,
		(unsigned char *)&head, AUTHENTICATED, NULL, head.nonce,
		aead_of(c)->keys->keys[0].key);
	memcpy(cell->coded, &head, sizeof(head));
	cell->coded_length = (uint32_t)sizeof(head) + cell->size;
	return 0;
}

/* It may be there or not, and what was behind it. */
static void aead_lost(struct pmt_coder *c)
{
	forget(aead_of(c));
}

static void aead_other(struct pmt_coder *c, const struct pmt_command *cmd)
{
	struct aead *aead = aead_of(c);
	uint64_t marks = 0;

	if (cmd->op == PMT_OP_WRITE_FILEMARKS && cmd->count > 0)
		marks = (uint64_t)cmd->count;
	else if (cmd->op != PMT_OP_ERASE && cmd->op != PMT_OP_CUT)
		return;
	turn_to(aead, &cmd->place);
	if (cmd->place.lbn == PMT_UNKNOWN || (cmd->flags & PMT_CMD_HERE))
		aead_lost(c);
	else
		cut(aead, cmd->place.lbn, marks);
}

/* Reading */

static int open_record(const struct pmt_key *key, struct pmt_cell *cell,
		       const struct head *head)
{
	bool fits_there = cell->length <= cell->size;
	unsigned char *from = cell->coded + sizeof(*head);
	unsigned char *to = fits_there ? cell->plain : from;

	if (crypto_aead_xchacha20poly1305_ietf_decrypt_detached(
		    to, NULL, from, cell->length, head->tag, (const unsigned char *)head,
		    AUTHENTICATED, head->nonce, key->key))
		return pmt_cell_fail(cell, ALTERED, "the record was changed");
	if (!fits_there && cell->size)
		memcpy(cell->plain, from, cell->size);
	return 0;
}

static int aead_decode(struct pmt_coder *c, struct pmt_cell *cell, unsigned int thread)
{
	const struct pmt_key *key;
	struct head head;

	(void)thread;
	if (cell->coded_length <= sizeof(head) || memcmp(cell->coded, "pmtE", 4))
		return pmt_cell_fail(cell, PLAIN, "not an encrypted record: was it written "
				     "without this filter, or changed?");
	memcpy(&head, cell->coded, sizeof(head));
	if (head.version != VERSION || head.suite != 1)
		return pmt_cell_fail(cell, PLAIN, "encrypted in a way (%u.%u) that is not known",
				     head.version, head.suite);
	key = pmt_keys_find(aead_of(c)->keys, head.key);
	if (!key)
		return pmt_cell_fail(cell, NO_KEY, "no key %016" PRIx64,
				     be64toh(*(const uint64_t *)(const void *)head.key));
	cell->length = cell->coded_length - (uint32_t)sizeof(head);
	memcpy(cell->head, &head, sizeof(head));
	if (le32toh(head.length) != cell->length)
		return pmt_cell_fail(cell, ALTERED, "the record was changed: its length");
	return open_record(key, cell, &head);
}

/* Where the record stands, by what the child and the command know. */
static struct pmt_place place_of(const struct pmt_cell *cell)
{
	const struct pmt_place *after = &cell->req.result.place;
	struct pmt_place place = cell->place;

	if (place.lbn == PMT_UNKNOWN && after->lbn != PMT_UNKNOWN)
		place.lbn = after->lbn - 1;
	if (after->file != PMT_UNKNOWN)
		place.file = after->file;
	return place;
}

static bool has_place(const struct pmt_place *place)
{
	return place->lbn != PMT_UNKNOWN ||
	       (place->file != PMT_UNKNOWN && place->block != PMT_UNKNOWN);
}

static int check_place(struct pmt_cell *cell, const struct head *head,
		       const struct pmt_place *place)
{
	uint64_t lbn = le64toh(head->lbn), marks = le64toh(head->marks);

	if (place->lbn != PMT_UNKNOWN && lbn != place->lbn)
		return pmt_cell_fail(cell, ALTERED, "it was written as block %" PRIu64
				     ": records or marks were moved, taken out or put in", lbn);
	if (le32toh(head->partition) != place->partition)
		return pmt_cell_fail(cell, ALTERED, "it was written in partition %u",
				     le32toh(head->partition));
	if (marks != PMT_UNKNOWN && place->file != PMT_UNKNOWN && marks != place->file)
		return pmt_cell_fail(cell, ALTERED, "it was written behind %" PRIu64
				     " filemarks, %" PRIu64 " are there", marks,
				     (uint64_t)place->file);
	return 0;
}

static int take_in(struct aead *aead, struct pmt_cell *cell, const struct pmt_place *place)
{
	struct epoch epoch;
	struct head head;
	int rc;

	memcpy(&head, cell->head, sizeof(head));
	epoch.number = le64toh(head.epoch);
	epoch.first = le64toh(head.first);
	epoch.last = le64toh(head.lbn);
	memcpy(epoch.id, head.id, sizeof(epoch.id));
	memcpy(epoch.before, head.before, sizeof(epoch.before));
	rc = check_place(cell, &head, place);
	if (rc)
		return rc;
	turn_to(aead, place);
	if (aead->known && memcmp(aead->recording, head.recording, RECORDING_BYTES))
		return pmt_cell_fail(cell, ALTERED, "it is of another recording");
	rc = fits(aead, cell, &epoch);
	if (rc)
		return rc;
	aead->known = true;
	memcpy(aead->recording, head.recording, RECORDING_BYTES);
	if (learn(aead, &epoch))
		return pmt_cell_fail(cell, PMT_KEY_HARDWARE, 0x4400, "no memory");
	return 0;
}

static int aead_accept(struct pmt_coder *c, struct pmt_cell *cell)
{
	struct pmt_place place = place_of(cell);

	return take_in(aead_of(c), cell, &place);
}

static int aead_end(struct pmt_coder *c, struct pmt_cell *cell)
{
	const struct aead *aead = aead_of(c);
	const struct pmt_place *at = &cell->req.result.place;
	bool own = at->lbn == aead->end && at->generation == aead->generation &&
		   at->partition == aead->partition;

	if (!at->block || at->block == PMT_UNKNOWN || !at->lbn || at->lbn == PMT_UNKNOWN || own)
		return 0;
	return pmt_cell_fail(cell, CUT_OFF, "data ends behind a record: it was cut off, or the "
			     "writing did not come to a filemark");
}

/* Looking */

/* 0 a record, in the cell; 1 a mark; -errno.  What was cancelled was not meant. */
static int read_at(struct pmt_coder *c, struct pmt_cell *cell)
{
	struct pmt_command cmd = { .op = PMT_OP_READ, .place = cell->place };
	struct pmt_result *result = &cell->req.result;

	cmd.length = (uint32_t)(cell->coded_size < PMT_RECORD_MAX ? cell->coded_size :
								    PMT_RECORD_MAX);
	do
		*result = pmt_coder_ask(c, &cmd, cell->coded);
	while (result->status == PMT_STATUS_CANCELLED);
	if (result->status == PMT_STATUS_GOOD) {
		cell->coded_length = (uint32_t)(cmd.length - result->residue);
		cell->size = 0;
		return aead_decode(c, cell, 0);
	}
	if (result->key == PMT_KEY_NONE && (result->sense & PMT_SENSE_FILEMARK))
		return 1;
	if (result->key == PMT_KEY_NONE)
		return pmt_cell_fail(cell, ALTERED, "a record is longer than any that is "
				     "written here");
	return pmt_cell_fail(cell, result->key, (unsigned int)result->asc << 8 | result->ascq,
			     "a record cannot be read that would tell what belongs here");
}

/*
 * A leaf that has done more than the unit knows answers UNIT ATTENTION and is in a later
 * generation, and a place that is not there is end of data; then it will not write,
 * either, and says so itself.  Any other attention is told once, and is the verdict:
 * what is on the tape now is not known.
 */
static bool refuses_itself(const struct pmt_cell *cell, const struct pmt_place *to)
{
	return cell->key == PMT_KEY_BLANK ||
	       (cell->key == PMT_KEY_ATTENTION &&
		cell->req.result.place.generation > to->generation);
}

static void step(struct pmt_place *place)
{
	place->lbn += place->lbn != PMT_UNKNOWN;
	place->block += place->block != PMT_UNKNOWN;
}

/* From the cell's place on to a record.  0: in the cell, whose place it is; 1: none is. */
static int next_record(struct pmt_coder *c, struct pmt_cell *cell)
{
	unsigned int bad = 0;

	for (unsigned int n = 0; n < MARKS_MAX; n++) {
		int rc = read_at(c, cell);

		if (rc == 0 || cell->key == PMT_KEY_BLANK)
			return rc ? 1 : 0;
		if (rc == 1 && !has_place(&cell->req.result.place))
			return 1;
		if (rc == 1)
			cell->place = cell->req.result.place;
		else if ((cell->key == PMT_KEY_MEDIUM || cell->key == PMT_KEY_PROTECT) &&
			 bad++ < UNREADABLE_MAX)
			step(&cell->place);
		else
			return rc;
		cell->key = 0;
	}
	return 1;
}

static int take_in_unlocked(struct aead *aead, struct pmt_cell *cell)
{
	int rc;

	pthread_mutex_lock(&aead->coder.lock);
	rc = take_in(aead, cell, &cell->place);
	pthread_mutex_unlock(&aead->coder.lock);
	return rc;
}

/* Before the first READ: of which recording is the tape? */
static int look_at_first(struct aead *aead, struct pmt_cell *cell)
{
	struct pmt_place to = cell->place;
	int rc;

	cell->place.lbn = cell->place.file = cell->place.block = 0;
	cell->key = 0;
	rc = next_record(&aead->coder, cell);
	if (rc == 0)
		return take_in_unlocked(aead, cell);
	if (rc < 0 && cell->key == PMT_KEY_ATTENTION && !refuses_itself(cell, &to))
		return rc;
	if (rc < 0)
		pmt_log(LOG_WARNING, "%s: the beginning of the tape cannot be read, so it is "
			"not known of which recording it is; the first record that is read "
			"tells", aead->coder.drive.text);
	pthread_mutex_lock(&aead->coder.lock);
	turn_to(aead, &to);
	aead->tried = true;
	pthread_mutex_unlock(&aead->coder.lock);
	return 0;
}

static int aead_expect(struct pmt_coder *c, const struct pmt_cell *cell)
{
	struct aead *aead = aead_of(c);

	if (!cell->place.lbn || !has_place(&cell->place) ||
	    (cell->req.cmd.flags & PMT_CMD_HERE))
		return 0;
	turn_to(aead, &cell->place);
	return aead->known || aead->tried ? 0 : -EAGAIN;
}

/* Marks are not authenticated, but the record behind them tells how many there are. */
static int aead_behind(struct pmt_coder *c, struct pmt_cell *cell)
{
	int rc;

	cell->key = 0;
	rc = next_record(c, cell);
	return rc ? (rc < 0 ? rc : 0) : take_in_unlocked(aead_of(c), cell);
}

/* The last record before the place says which epoch is the last. */
static int look_before(struct aead *aead, struct pmt_cell *cell)
{
	struct pmt_coder *c = &aead->coder;
	struct pmt_place to = cell->place;
	unsigned int marks = 0;
	int rc = 1;

	while (rc == 1 && cell->place.lbn && marks++ < MARKS_MAX) {
		cell->place.lbn--;
		cell->place.file = cell->place.block = cell->place.lbn ? PMT_UNKNOWN : 0;
		rc = read_at(c, cell);
	}
	pthread_mutex_lock(&c->lock);
	turn_to(aead, &to);
	if (rc == 0)
		rc = take_in(aead, cell, &cell->place);
	if (rc < 0 && refuses_itself(cell, &to))
		rc = 0;
	if (rc == 1 && cell->place.lbn)
		rc = pmt_cell_fail(cell, PMT_KEY_ABORTED, 0x3b00,
				   "more than %u filemarks before the place", MARKS_MAX);
	if (rc >= 0)
		aead->looked = to.lbn;
	pthread_mutex_unlock(&c->lock);
	return rc < 0 ? rc : 0;
}

static int aead_look(struct pmt_coder *c, struct pmt_cell *cell)
{
	return cell->req.cmd.op == PMT_OP_READ ? look_at_first(aead_of(c), cell) :
						 look_before(aead_of(c), cell);
}

/* Keys */

static void read_keys_again(struct aead *aead)
{
	struct pmt_keys *keys, *old = aead->keys;

	if (pmt_keys_read(&keys, aead->source, aead->coder.drive.text)) {
		pmt_log(LOG_WARNING, "%s: the keys of the last volume are used on",
			aead->coder.drive.text);
		return;
	}
	pthread_mutex_lock(&aead->coder.lock);
	aead->keys = keys;
	pthread_mutex_unlock(&aead->coder.lock);
	pmt_keys_free(old);
}

/* Nothing else is in flight. */
static void aead_done(struct pmt_coder *c, const struct pmt_request *req)
{
	if (req->cmd.op != PMT_OP_UNLOAD && req->cmd.op != PMT_OP_LOAD &&
	    req->cmd.op != PMT_OP_FORMAT)
		return;
	pthread_mutex_lock(&c->lock);
	forget(aead_of(c));
	pthread_mutex_unlock(&c->lock);
	if (req->cmd.op != PMT_OP_FORMAT)
		read_keys_again(aead_of(c));
}

/* Status */

static void add_hex(struct json_object *object, const char *key, const uint8_t *bytes,
		    size_t n)
{
	char text[2 * RECORDING_BYTES + 1];

	sodium_bin2hex(text, sizeof(text), bytes, n);
	json_object_object_add(object, key, json_object_new_string(text));
}

static void aead_status(struct pmt_coder *c, struct json_object *object)
{
	const struct aead *aead = aead_of(c);
	const struct epoch *last;

	add_hex(object, "key", aead->keys->keys[0].id, PMT_KEY_ID_BYTES);
	json_object_object_add(object, "keys", json_object_new_int64((int64_t)aead->keys->n));
	if (!aead->known)
		return;
	add_hex(object, "recording", aead->recording, RECORDING_BYTES);
	if (!aead->n_epochs)
		return;
	last = &aead->epochs[aead->n_epochs - 1];
	json_object_object_add(object, "epoch", json_object_new_int64((int64_t)last->number));
	add_hex(object, "epoch_id", last->id, EPOCH_BYTES);
}

static const struct pmt_codec codec = {
	.head = sizeof(struct head),
	.places = true,
	.prepare = aead_prepare,
	.expect = aead_expect,
	.look = aead_look,
	.encode = aead_encode,
	.decode = aead_decode,
	.accept = aead_accept,
	.behind = aead_behind,
	.end = aead_end,
	.other = aead_other,
	.done = aead_done,
	.lost = aead_lost,
	.status = aead_status,
};

/* What is encrypted is not compressed any more. */
static int aead_check(const struct pmt_spec *spec)
{
	for (size_t i = 0; i < spec->n_children; i++) {
		int rc = aead_check(spec->children[i]);

		if (rc)
			return rc;
	}
	if (strcmp(spec->kind, "zstd"))
		return 0;
	return pmt_spec_fault(spec, NULL, "what is encrypted cannot be compressed: "
					  "it is zstd|aead|...");
}

static int aead_open(struct pmt_drive *drive, const struct pmt_spec *spec)
{
	struct aead *aead = (struct aead *)drive;
	const char *source = "";
	unsigned int threads;
	int rc = pmt_coder_threads(spec, &threads);

	pmt_spec_string(spec, "key", &source);
	if (rc == 0)
		rc = pmt_spec_unused(spec);
	if (rc)
		return rc;
	if (strncmp(source, "file:", 5) && strncmp(source, "keyring:", 8) &&
	    strncmp(source, "command:", 8))
		return pmt_spec_fault(spec, "key", "option 'key': expected file:..., "
						   "keyring:... or command:...");
	aead->source = strdup(source);
	rc = aead->source ? pmt_keys_read(&aead->keys, source, drive->text) : -ENOMEM;
	if (rc == 0) {
		aead->nonces = calloc(threads, sizeof(*aead->nonces));
		rc = aead->nonces ? pmt_coder_open(&aead->coder, &codec, threads) : -ENOMEM;
	}
	if (rc) {
		pmt_keys_free(aead->keys);
		free(aead->nonces);
		free(aead->source);
	}
	forget(aead);
	return rc;
}

static void aead_close(struct pmt_drive *drive)
{
	struct aead *aead = (struct aead *)drive;

	pmt_coder_close(&aead->coder);
	pmt_keys_free(aead->keys);
	free(aead->nonces);
	free(aead->epochs);
	free(aead->source);
}

static int aead_attach(struct pmt_drive *drive, const struct pmt_session *session)
{
	struct aead *aead = (struct aead *)drive;

	forget(aead);
	return pmt_coder_attach(drive, session);
}

const struct pmt_drive_ops pmt_aead_drive = {
	.name = "aead",
	.size = sizeof(struct aead),
	.check = aead_check,
	.open = aead_open,
	.close = aead_close,
	.session = pmt_coder_session,
	.attach = aead_attach,
	.detach = pmt_coder_settle,
	.submit = pmt_coder_submit,
	.resume = pmt_coder_resume,
	.cancel = pmt_coder_cancel,
	.settle = pmt_coder_settle,
	.limits = pmt_coder_limits,
	.status = pmt_coder_status,
};
