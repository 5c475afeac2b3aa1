/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The inside of the two modules: units, and what a personality may ask of them.
 *
 * Objects, and who keeps whom alive:
 *
 *	struct pmt_unit	embeds the device of the slave end; freed by its
 *			release.  Held by: the table of units, open slave files,
 *			the personality's tape, and whoever looks it up.
 *	struct pmt_store  the ring and its pages.  Belongs to the unit; exists
 *			while a slave end or the master end is open or commands
 *			wait.  While it exists it holds the personality's module.
 *	struct pmt_slave  an open slave end; freed by the file's release.  A file
 *			that was detached lives on without a unit's store.
 *
 * Locks, outermost first:
 *
 *	pmt_units_lock	the table of units, personalities	(mutex)
 *	unit->control	slave, store, state changes that sleep	(mutex)
 *	slave->map_lock	faults against detaching; below mmap_lock	(mutex)
 *	unit->lock	ring, state, what is kept and counted	(spinlock)
 *
 * Nothing is copied from or to user space under any of them.
 */
#ifndef PMT_KMOD_H
#define PMT_KMOD_H

#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <linux/pmt.h>

#include "ring.h"

/* Every wait can be killed or interrupted, and frozen. */
#define PMT_KILLABLE		(TASK_KILLABLE | TASK_FREEZABLE)
#define PMT_INTERRUPTIBLE	(TASK_INTERRUPTIBLE | TASK_FREEZABLE)

#define PMT_UNITS_MAX	4096u	/* 8 nodes each fill 2^15 minors */

struct pmt_unit;
struct pmt_slave;

/* One of the three areas: ordinary pages, contiguous for the kernel. */
struct pmt_area {
	struct page **pages;
	unsigned long count;
	void *address;
};

enum { PMT_AREA_COMMANDS, PMT_AREA_RESULTS, PMT_AREA_DATA, PMT_AREAS };

struct pmt_store {
	struct pmt_ring ring;
	struct pmt_area areas[PMT_AREAS];
};

/**
 * struct pmt_personality - what a unit looks like at its master end
 * @name: PMT_A_PERSONALITY; the module has the alias pmt-personality-NAME
 * @owner: held while a unit of it has a store
 * @attach: make the nodes of a unit; returns what the others are given, or an
 *	ERR_PTR.  Called with pmt_units_lock held.
 * @detach: take the nodes away; open files stay.  As above.
 * @reap: nobody has the master end open and all commands are done: take the
 *	results, the store goes.  Called with unit->control held.
 * @list: pmts's own
 */
struct pmt_personality {
	const char *name;
	struct module *owner;
	void *(*attach)(struct pmt_unit *unit);
	void (*detach)(void *master);
	void (*reap)(void *master);
	struct list_head list;
};

struct pmt_counters {
	u64 bytes_written, records_written;
	u64 bytes_read, records_read;
	u64 wakes_server, wakes_master;
};

struct pmt_unit {
	struct device dev;		/* pmtsN */
	struct cdev cdev;
	u32 number;
	u64 id;
	u32 data_size;
	const struct pmt_personality *personality;
	char personality_name[32];	/* its module may go before the unit */
	void *master;			/* the personality's; control */

	struct mutex control;
	struct pmt_slave *slave;	/* control; NULL after detach */
	struct pmt_store *store;	/* control, and lock to change */
	bool master_open;		/* control, and read without it */

	spinlock_t lock;
	bool dead;			/* deleted; set once; read without lock, too */
	enum pmt_state state;		/* the same; see pmt_unit_enter */
	bool stale;			/* what was looked at has changed since */
	enum pmt_eot eot;
	u32 recovery;			/* ms */
	u32 first;			/* number of the next store's first command */
	struct pid *server_pid;
	struct pid *master_pid;		/* who opened it; NULL while it is not open */
	struct pmt_limits limits;
	/* After the last completed command: */
	struct pmt_place place;
	struct pmt_modes modes;
	u64 medium[PMT_MEDIUM_WORDS];
	u64 room;
	u32 cookie;
	u8 medium_flags;
	u64 forgot;			/* the generation that the last abort began; 0 */
	bool early_warning_sent;
	bool plugged;			/* see pmt_unit_plug */
	bool awaits_run;		/* see pmt_unit_let_run */
	struct pmt_counters counters;

	wait_queue_head_t server_wait;	/* poll of the slave end */
	wait_queue_head_t master_wait;	/* whoever waits for a command, a server */
	struct delayed_work recovery_work;
	bool recovery_ends;		/* control: not forever, and running */
	unsigned long recovery_end;	/* control; jiffies */
	struct work_struct broken_work;
};

/* What the personality looks at before it issues; one consistent copy. */
struct pmt_view {
	enum pmt_state state;
	enum pmt_eot eot;
	bool dead;
	struct pmt_limits limits;
	struct pmt_modes modes;
	u64 room;
	bool early_warning;		/* announced for place */
	u64 forgot;
	u32 waiting;			/* issued and not done */
	bool stuck;			/* until somebody looks at an exception */
	u32 data_size;
};

/* Under the lock; it is read under control alone and by who waits, too. */
static inline void pmt_unit_enter(struct pmt_unit *unit, enum pmt_state state)
{
	lockdep_assert_held(&unit->lock);
	WRITE_ONCE(unit->state, state);
}

/* ring.c */
struct pmt_store *pmt_store_new(struct pmt_unit *unit);
int pmt_store_renew(struct pmt_unit *unit);
void pmt_store_free(struct pmt_store *store);
int pmt_unit_collect(struct pmt_unit *unit);
void pmt_unit_give_up(struct pmt_unit *unit);
void pmt_unit_forget(struct pmt_unit *unit);

/* unit.c */
extern struct mutex pmt_units_lock;
extern struct class *pmt_class;
struct pmt_unit *pmt_unit_new(const char *personality, u32 number,
			      u32 data_size, u32 recovery, enum pmt_eot eot);
struct pmt_unit *pmt_unit_find(u32 number);
struct pmt_unit *pmt_unit_next(u32 number);
int pmt_unit_delete(struct pmt_unit *unit);
void pmt_unit_delete_all(void);
void pmt_unit_put(struct pmt_unit *unit);
int pmt_unit_set(struct pmt_unit *unit, const u32 *recovery, const u8 *eot);
void pmt_unit_abort(struct pmt_unit *unit);
void pmt_unit_detach(struct pmt_unit *unit);
void pmt_unit_event(struct pmt_unit *unit, enum pmt_event event, u8 key);
void pmt_server_leaves(struct pmt_unit *unit);
void pmt_server_lost(struct pmt_unit *unit);
void pmt_store_settle(struct pmt_unit *unit);
int pmt_units_init(void);
void pmt_units_exit(void);

/* slave.c */
extern const struct file_operations pmt_slave_fops;
bool pmt_slave_revoke(struct pmt_slave *slave);
bool pmt_slave_attached(const struct pmt_slave *slave);

/* netlink.c */
int pmt_netlink_init(void);
void pmt_netlink_exit(void);
void pmt_netlink_event(struct pmt_unit *unit, enum pmt_event event, u8 key);

/*
 * For personalities.  A personality has one caller at a time for a unit (it
 * serialises its callers) and calls the ring functions only between
 * pmt_unit_open and pmt_unit_close.
 *
 * A unit's maker loads its personality's module (pmt-personality-NAME) under the lock
 * that families of generic netlink are registered under: it must not register one.
 */
int pmt_personality_register(struct pmt_personality *personality);
void pmt_personality_unregister(struct pmt_personality *personality);
int pmt_personality_units(struct pmt_personality *personality, u32 count);
int pmt_unit_open(struct pmt_unit *unit);
void pmt_unit_close(struct pmt_unit *unit);
void pmt_unit_look(struct pmt_unit *unit, const struct pmt_place *place,
		   struct pmt_view *view);
int pmt_unit_wait_served(struct pmt_unit *unit);
bool pmt_unit_fits(struct pmt_unit *unit, u32 length, u32 keep);
int pmt_unit_issue(struct pmt_unit *unit, struct pmt_command *cmd,
		   const void __user *from);
void pmt_unit_let_run(struct pmt_unit *unit);
void pmt_unit_runs(struct pmt_unit *unit);
void pmt_unit_plug(struct pmt_unit *unit);
void pmt_unit_unplug(struct pmt_unit *unit);
void pmt_unit_linger(struct pmt_unit *unit, u32 number);
int pmt_unit_wait(struct pmt_unit *unit, u32 number, unsigned int task_state);
int pmt_unit_wait_half(struct pmt_unit *unit);
bool pmt_unit_done(struct pmt_unit *unit, u32 number);
bool pmt_unit_oldest(struct pmt_unit *unit, struct pmt_command *cmd,
		     struct pmt_result *res);
void *pmt_unit_data(struct pmt_unit *unit, const struct pmt_command *cmd);
void pmt_unit_retire(struct pmt_unit *unit);
void pmt_unit_cancel(struct pmt_unit *unit);
u32 pmt_unit_issued(struct pmt_unit *unit);

#endif
