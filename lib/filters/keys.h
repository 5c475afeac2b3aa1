/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keys of the filter aead: where they come from, and the memory that they are in,
 * which is locked, left out of core files, read only, and wiped when it is freed.
 */
#ifndef PMT_KEYS_H
#define PMT_KEYS_H

#include <stddef.h>
#include <stdint.h>

#define PMT_KEY_BYTES 32
#define PMT_KEY_ID_BYTES 8
#define PMT_KEYS_MAX 64

struct pmt_key {
	uint8_t key[PMT_KEY_BYTES];
	uint8_t id[PMT_KEY_ID_BYTES];	/* of the key's hash, no secret */
};

struct pmt_keys {
	size_t n;			/* 1 or more; the first writes */
	struct pmt_key keys[];
};

/*
 * "file:PATH", "keyring:NAME", "command:TEXT".  -EINVAL: it is none of these, or what
 * is there is no list of keys; other errors of reading.  The message is logged, as
 * who's, without what was read.
 */
int pmt_keys_read(struct pmt_keys **, const char *source, const char *who);
void pmt_keys_free(struct pmt_keys *);
const struct pmt_key *pmt_keys_find(const struct pmt_keys *, const uint8_t *id);

#endif
