/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records that can be told apart, and their sums.
 *
 * Record n begins with the number n, in 8 bytes; the rest follows from n.
 */
#ifndef RECORDS_H
#define RECORDS_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t record_mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ull;
	return x ^ x >> 33;
}

/* From from to to. */
static inline size_t record_size(uint64_t n, uint64_t from, uint64_t to)
{
	return from + record_mix(n + 77) % (to - from + 1);
}

static inline void record_make(uint8_t *record, size_t size, uint64_t n)
{
	uint64_t state = n;

	for (size_t i = 0; i < size; i += 8) {
		for (size_t j = 0; j < 8 && i + j < size; j++)
			record[i + j] = (uint8_t)(state >> 8 * j);
		state = i ? state * 6364136223846793005ull + 1442695040888963407ull :
			    record_mix(n + 1);
	}
}

/* CRC-32C: begin with ~0, and invert at the end. */
static inline uint32_t record_crc(uint32_t crc, const uint8_t *p, uint64_t n)
{
	static uint32_t table[256];

	for (uint32_t i = 0; !table[255] && i < 256; i++) {
		table[i] = i;
		for (int bit = 0; bit < 8; bit++)
			table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0x82f63b78 : 0);
	}
	while (n--)
		crc = crc >> 8 ^ table[(crc ^ *p++) & 0xff];
	return crc;
}

#endif
