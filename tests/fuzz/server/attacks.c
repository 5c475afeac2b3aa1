// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * attacks: the ways in which a server turns on its unit
 *
 * A lie is told once, in an answer; a storm goes on in a thread beside honest
 * answers; others are ways to end, or come from outside.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "server.h"

static void lie_number(struct pmt_result *res, uint32_t *done) { (void)done; res->number += 7; }
static void lie_status(struct pmt_result *res, uint32_t *done) { (void)done; res->status = 99; }
static void lie_key(struct pmt_result *res, uint32_t *done) { (void)done; res->key = 0x1f; }
static void lie_sense(struct pmt_result *res, uint32_t *done) { (void)done; res->sense = 0x80; }
static void lie_back(struct pmt_result *res, uint32_t *done) { (void)res; *done -= 2; }

static void lie_medium(struct pmt_result *res, uint32_t *done)
{
	(void)done;
	res->medium_flags = 8;
}

static void lie_residue(struct pmt_result *res, uint32_t *done)
{
	(void)done;
	res->residue = below(2) ? INT64_MIN : INT64_MAX - (int64_t)below(9);
}

static void lie_generation(struct pmt_result *res, uint32_t *done)
{
	(void)done;
	res->place.generation = below(2) ? 0 : res->place.generation + 0x20000;
}

static void lie_partition(struct pmt_result *res, uint32_t *done)
{
	(void)done;
	res->place.partition = PMT_PARTITION_MAX + 1 + below(1u << 31);
}

/* Answers to commands that were never sent, each as it should be. */
static void lie_unsent(struct pmt_result *res, uint32_t *done)
{
	struct pmt_result more = *res;

	for (uint32_t i = 1; i < h.info.slots; i++) {
		more.number = res->number + i;
		*result(more.number) = more;
	}
	*done = kernel_page()->tail + h.info.slots + 1 + below(1u << 30);
}

static void storm_results(void)
{
	char *page = get(h.area[RESULTS]);
	size_t at = PMT_PAGE_AREA + any() % (h.size[RESULTS] - PMT_PAGE_AREA);

	if (below(2))
		at = (size_t)((char *)result(get(h.next) + below(2)) - page) + below(128);
	for (uint32_t n = below(64); n; n--)
		page[at++ % h.size[RESULTS]] = (char)any();
	nap(20);
}

static void storm_indices(void)
{
	uint32_t *word = (uint32_t *)server_page();

	switch (below(6)) {
	case 0: set(word[0], get(kernel_page()->tail) - below(4)); break;
	case 1: set(word[0], (uint32_t)any()); break;
	default: set(word[below(sizeof(struct pmt_server_page) / 4)], (uint32_t)any());
	}
	nap(below(200));
}

/* Right, wrong, right again: what is checked must be what is used. */
static void storm_flips(void)
{
	struct pmt_result *res = result(get(h.next) + below(2)), right = *res;

	for (int i = 0; i < 2000; i++) {
		set(res->residue, i % 2 ? right.residue : (int64_t)any());
		set(res->place.partition, i % 2 ? right.place.partition : (uint32_t)any());
		set(res->place.generation, i % 2 ? right.place.generation : any());
		set(res->status, (uint16_t)(i % 2 ? right.status : below(4)));
	}
}

/* As if the slave end had gone from hand to hand. */
static void storm_again(void)
{
	struct pmt_attach again = { .version = PMT_PROTOCOL_VERSION,
				    .flags = PMT_ATTACH_AGAIN,
				    .limits = { .record_min = 1, .record_max = RECORD_MAX,
						.byte_cost = 256, .window = PMT_UNKNOWN } };

	if (ioctl(h.fd, PMT_IOC_ATTACH, &again) < 0 && errno != ENODEV && errno != EIO)
		bad("attach again: %s", strerror(errno));
	nap(below(500));
}

const struct attack attacks[] = {
	{ "number", lie_number, NULL, 0, 0 },
	{ "exit", NULL, NULL, END_EXIT, 0 },
	{ "status", lie_status, NULL, 0, 0 },
	{ "silent", NULL, NULL, END_SILENT, 0 },
	{ "storm-results", NULL, storm_results, 0, 0 },
	{ "key", lie_key, NULL, 0, 0 },
	{ "holder", NULL, NULL, END_HOLDER, 0 },
	{ "storm-indices", NULL, storm_indices, 0, 0 },
	{ "detach", NULL, NULL, 0, OUT_DETACH },
	{ "sense", lie_sense, NULL, 0, 0 },
	{ "storm-flips", NULL, storm_flips, 0, 0 },
	{ "close", NULL, NULL, END_CLOSE, 0 },
	{ "medium", lie_medium, NULL, 0, 0 },
	{ "residue", lie_residue, NULL, 0, 0 },
	{ "abort", NULL, NULL, 0, OUT_ABORT },
	{ "generation", lie_generation, NULL, 0, 0 },
	{ "partition", lie_partition, NULL, 0, 0 },
	{ "killed", NULL, NULL, END_KILL, 0 },
	{ "done-back", lie_back, NULL, 0, 0 },
	{ "unsent", lie_unsent, NULL, 0, 0 },
	{ "storm-again", NULL, storm_again, 0, 0 },
	{ "delete", NULL, NULL, 0, OUT_DELETE },
	{ "storm-abort", NULL, storm_results, 0, OUT_ABORT },
	{ "storm-detach", NULL, storm_indices, 0, OUT_DETACH },
};

const uint32_t attack_count = SIZE(attacks);
