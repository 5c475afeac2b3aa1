/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the hostile server know of each other.  Prototypes are sorted
 * by the file that defines them; main.c says what it is all for.
 */
#ifndef SERVER_H
#define SERVER_H

#include <linux/pmt.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define PATIENCE 15000		/* ms; the machine may be an emulated one */
#define HIGH 0x8080808080808080ull
#define RECORDS 2048u		/* of the honest server's tape */
#define RECORD_MAX 65536u

enum { COMMANDS, RESULTS, DATA, AREAS };

/* ---- shared.c: what all the processes have ---- */

/* What was reached, by any process. */
#define COUNTERS(X) \
	X(lives) X(honest) X(lies) X(detached) X(aborted) X(deleted) \
	X(app_opens) X(app_writes) X(app_reads) X(app_ioctls) X(app_eio) X(app_enxio) \
	X(app_eintr) X(slow_copies) X(endless_copies) X(stopped) X(kills) X(kills_waiting) \
	X(exits) X(holders) X(neighbour_laps) X(sigbus) X(sigsegv) X(signals) \
	X(remaps) X(splits_refused) X(forks) X(refusals) X(pins) X(pins_outlived) \
	X(scans) X(events_lost)

extern struct shared {
#define X(name) uint64_t name;
	COUNTERS(X)
#undef X
	uint64_t bad;
	uint32_t attached, told, stop;
	uint64_t holder;		/* 1 holds the slave end, 2 has lost it */
} *sh;

#define count(what) __atomic_fetch_add(&sh->what, 1, __ATOMIC_RELAXED)
#define get(what) __atomic_load_n(&(what), __ATOMIC_SEQ_CST)
#define set(what, v) __atomic_store_n(&(what), v, __ATOMIC_SEQ_CST)

void begin_chance(uint64_t seed);
uint64_t mix(uint64_t x);
uint64_t any(void);
uint32_t below(uint32_t n);

void bad(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t now(void);		/* ms */
void nap(uint32_t microseconds);
void catch(int number, void (*handler)(int));

/* ---- slave.c: a server's hold on its unit ---- */

extern struct hold {
	uint32_t unit;
	int fd;
	const struct attack *attack;
	struct pmt_info info;
	struct pmt_attach attach;
	size_t size[AREAS];
	char *home[AREAS], *away[AREAS];	/* where an area may be mapped */
	char *area[AREAS];			/* and where it is */
	bool unmapped;		/* not all areas are where they were */
	uint32_t stop;
	uint32_t next;			/* number */
	uint64_t generation;
	uint32_t frozen, exception;
	uint32_t records[RECORDS];	/* lengths; 0 a filemark */
	uint32_t end, at;
	bool loaded;
	uint8_t medium_flags;
} h;

extern const __u64 map_offset[AREAS];

struct pmt_kernel_page *kernel_page(void);
struct pmt_server_page *server_page(void);
struct pmt_result *result(uint32_t number);
int protection(int area);
char *map_at(char *where, int area);
char *reserve(char *where, size_t size);
bool gone(void);
void hold(bool fresh);
void become_server(void);

/* ---- honest.c ---- */

/* The next command, if there is one that may be answered. */
bool fetch(struct pmt_command *);
void answer_truly(const struct pmt_command *, struct pmt_result *);

/* ---- attacks.c ---- */

enum end { END_STAY, END_EXIT, END_KILL, END_CLOSE, END_HOLDER, END_SILENT };
enum outside { OUT_NONE, OUT_DETACH, OUT_ABORT, OUT_DELETE };

struct attack {
	const char *name;
	void (*lie)(struct pmt_result *, uint32_t *done);
	void (*storm)(void);
	enum end end;
	enum outside outside;
};

extern const struct attack attacks[];
extern const uint32_t attack_count;

/* ---- sides.c ---- */

void side_opens(void);
void start_threads(void);

/* ---- server.c ---- */

/* Where an armed thread goes on that touched what was unmapped, or taken away. */
extern __thread sigjmp_buf landing;
extern __thread volatile sig_atomic_t armed;

void be_server(uint32_t unit, const struct attack *, bool fresh);

/* ---- application.c, neighbour.c ---- */

/* kind: 0 an ordinary buffer, 1 one whose pages come late, 2 or never. */
void be_app(uint32_t unit, uint32_t kind);
void be_neighbour(const char *unit);

#endif
