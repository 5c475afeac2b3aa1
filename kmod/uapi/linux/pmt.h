/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * pmt - the pseudo magnetic tape: the protocol between the kernel and a server
 *
 * A unit is one pseudo tape.  An application holds the master end
 * (/dev/pmtmN, /dev/npmtmN) and sees a tape drive under st.  A server holds
 * the slave end (/dev/pmtsN) and executes drive commands.  This header is the
 * whole contract of the slave end; a server can be written from it alone.
 *
 * 1. Attaching
 *
 *	fd = open("/dev/pmtsN", O_RDWR | O_CLOEXEC)	one holder; else EBUSY
 *	ioctl(fd, PMT_IOC_INFO, &info)			geometry, what the unit keeps
 *	mmap() of the three areas, MAP_SHARED		any number of times
 *	ioctl(fd, PMT_IOC_ATTACH, &attach)		now it is the server
 *
 * PMT_IOC_ATTACH takes the limits of the drives and hands over what the unit
 * keeps: modes, generation, the identity of the medium, the place after the
 * last completed command, and the numbers of the commands that wait.  The
 * modes are in force before the first command.  PMT_IOC_INFO tells the same
 * beforehand, so that the drives can be made ready without becoming the server;
 * what PMT_IOC_ATTACH tells counts.  The unit also keeps the cookie of the last
 * result that was not CANCELLED: a word of the server's own for the next one (a
 * mirror: which copies were dropped).  It keeps the identity of the medium as
 * TEST and LOAD told it.  When one of several copies comes onto another cartridge
 * between them, the server says PMT_MEDIUM_PRESENT and all words with the next
 * result that is GOOD: they replace what is kept, or the server that comes would
 * refuse that cartridge.  Nothing but the words is taken from such a result, and
 * no event is sent; without a medium in the unit nothing is.  All other results
 * have medium_flags 0.  An abort forgets cookie and identity, and ends the
 * generation: the server that comes may have any medium.  A server leaves by close();
 * the last reference counts (a mapping and a dup'd descriptor are references).
 * Then the unit's recovery time starts, and whoever attaches within it is
 * given the same commands again, from the first one that was not completed.
 *
 * A server may hand its descriptor to another process (SCM_RIGHTS), which maps
 * the areas itself and attaches with PMT_ATTACH_AGAIN: from then on that one is
 * the server, and is given what a next server would be given, but no time passes
 * in which the unit has none.  The one before has answered all that it will, and
 * touches neither pages nor drives any more; it attaches AGAIN itself if the
 * other gives up.
 *
 * 2. The three areas (offset of mmap, protection)
 *
 *	PMT_MAP_COMMANDS  PROT_READ		one page: struct pmt_kernel_page,
 *						then slots x struct pmt_command
 *	PMT_MAP_RESULTS   PROT_READ|PROT_WRITE	one page: struct pmt_server_page,
 *						then slots x struct pmt_result
 *	PMT_MAP_DATA	  PROT_READ|PROT_WRITE	2 x data_size: the data area,
 *						twice in a row
 *
 * A mapping covers its whole area; another length is EINVAL, PROT_WRITE on the
 * first EPERM, MAP_PRIVATE EINVAL.  As the data area follows itself, the bytes
 * of one command are always contiguous at data + offset.  A command of a page
 * or more starts on a page, so that its bytes can go to a drive by direct I/O.
 * The pages are ordinary ones.  I/O that can outlive the process must not use
 * them.  When the unit takes the slave end away (detach), access gives SIGBUS
 * and every ioctl ENODEV.
 *
 * 3. Numbers, and the life of a slot
 *
 * Commands are numbered from kept.first upwards, modulo 2^32; all
 * comparisons are by signed difference.  Command n is in slot n % slots of the
 * first area, its result in slot n % slots of the second.
 *
 *	issued	  kernel writes the slot, then tail (A).  The slot and its data
 *		  belong to the server now.
 *	answered  the server writes the result, then done (B).  Results are in
 *		  order: done = n + 1 says that all up to n are answered.  The
 *		  slot and its data belong to the kernel again.
 *
 * Nothing else moves a slot.  A command that was cancelled is answered too.
 *
 * 4. Place
 *
 * Each command carries the place at which it applies: load generation,
 * partition, LBN, file and block in the file (records since the filemark), each
 * known or PMT_UNKNOWN.  A server whose drive stands elsewhere moves it there
 * first.  So a command may be executed again, by another server, after a crash.
 *
 *  - If the drive's generation is an earlier or unknown one, or the medium's
 *    identity is not the one of attach, nothing is executed: CHECK, UNIT
 *    ATTENTION 28/00.
 *  - UNLOAD, LOAD and FORMAT end a generation: the place after has the next
 *    one.  If the drive already is in a later generation of the same unit
 *    (unit_id), such a command, and the writes before it, are answered as
 *    done: an earlier server did them.
 *  - Before a WRITE or WRITE FILEMARKS a drive may go back only to a place at
 *    or after that of the first command which was not completed, unless
 *    PMT_CMD_POSITIONED says that the application positioned there.
 *  - PMT_CMD_HERE: the kernel does not know the place, and the drive's own is
 *    meant.  Of READ, WRITE, WRITE FILEMARKS, ERASE, and SPACE by records or
 *    filemarks only; the others need no place, and have an unknown one without
 *    this flag.  Allowed only while the drive knows where it stands: a server
 *    that has just attached answers CHECK, ABORTED COMMAND 3B/00.
 *
 * 5. Exceptions and cancelling
 *
 * GOOD may carry a warning (EOM: early warning met, all was written; key 1:
 * recovered; residue > 0 on READ: a shorter record).  CHECK is an exception:
 * it freezes the queue.  The server executes and answers nothing behind it until
 * the kernel's word cancel has passed it, cancel - (n + 1) >= 0.  Then commands
 * with numbers before cancel are answered CANCELLED, those from cancel on are
 * executed.  The kernel also raises cancel to drop what it had asked to read
 * ahead; that is a request: what was executed already has its own result.  At
 * attach cancel may be beyond kept.first already: what is before it is answered
 * CANCELLED and not executed.
 *
 * 6. Early warning
 *
 * The moment the first drive meets its early warning, at whatever command, the
 * server writes it to pmt_server_page.ew (seq odd while writing, as a seqlock).
 * From then on, and until the application leaves the place, the kernel
 * acknowledges nothing that is not done.  In result.room a server that knows
 * how much can still be written before early warning says so, in cost.
 *
 *	cost = (bytes * byte_cost + 255) / 256 + records * record_cost
 *	       + marks * mark_cost
 *
 * The kernel never has more cost acknowledged and not done than limits.window,
 * less one of the largest records seen.
 *
 * 7. Doorbells and barriers
 *
 * A side that sleeps says so first; the other side rings only then.
 *
 *	(A) kernel: slot, release tail   ~ server: acquire tail, slot.
 *	    Else the server reads a slot of the lap before.
 *	(B) server: result, release done ~ kernel: acquire done, result.
 *	    Else the kernel takes a result that is not written yet.
 *	(C) kernel: tail, full barrier, read parked
 *	    ~ server: parked = 1, full barrier, read tail and cancel.
 *	    Else both wait: the server for a command that is there, the kernel
 *	    for its answer.
 *	(D) server: done, full barrier, read asleep and wake
 *	    ~ kernel: wake, asleep = 1, full barrier, read done.
 *	    Else the application sleeps on a command that is done.
 *
 * The server sleeps in poll(): POLLIN when tail != seen or cancel !=
 * cancel_seen (it writes seen and cancel_seen itself), POLLHUP when the unit
 * took the slave end away or is gone.  It is woken once for the seen and
 * cancel_seen that it parked with: those who issue more before it runs do not
 * ring again.  It rings by PMT_IOC_KICK when asleep is
 * set and done - wake >= 0, or when asleep is set and it has published a CHECK:
 * whoever sleeps must look at it, as the queue stands still until then.
 *
 * 8. What the kernel rejects
 *
 * done outside [its last value, tail]; a result with another number, an
 * unknown status or flag, a key above 15, CANCELLED that nobody asked for, a
 * residue out of the command's range (with GOOD 0, but of READ in variable
 * mode), a generation that goes back or is more than 65536 ahead, a partition
 * above PMT_PARTITION_MAX, place.reserved that is not 0; of CANCELLED only number
 * and status are looked at.  Any of these marks the unit broken: everything that waits
 * fails with EIO, the place is unknown, the server is detached.  "pmt abort"
 * makes a broken unit usable again.
 *
 * Whoever may open a slave end sees all that the unit carried since its pages
 * were made; a new owner gets a new unit.
 *
 * Version log:  1  first version
 */
#ifndef _UAPI_LINUX_PMT_H
#define _UAPI_LINUX_PMT_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define PMT_PROTOCOL_VERSION	1

#define PMT_UNKNOWN		(~(__u64)0)	/* of lbn, file, block, room, window */
#define PMT_PARTITION_MAX	63
#define PMT_RECORD_MAX		(16u << 20)	/* bytes */
#define PMT_DATA_SIZE_MIN	(1u << 20)	/* bytes, a power of two */
#define PMT_DATA_SIZE_MAX	(1u << 30)
#define PMT_DATA_SIZE_DEFAULT	(64u << 20)
#define PMT_RECOVERY_DEFAULT	30000		/* ms */
#define PMT_RECOVERY_FOREVER	(~(__u32)0)
#define PMT_MEDIUM_WORDS	6

#define PMT_MAP_COMMANDS	((__u64)0 << 32)
#define PMT_MAP_RESULTS		((__u64)1 << 32)
#define PMT_MAP_DATA		((__u64)2 << 32)
#define PMT_PAGE_AREA		4096		/* bytes before the slots */

/*
 * generation counts loads and aborts of one unit, from 1; lbn as READ POSITION counts
 * (records and filemarks from the beginning of the partition); file is the
 * number of filemarks before the place, block of records since the last one.
 */
struct pmt_place {
	__u64 generation;
	__u64 lbn;
	__u64 file;
	__u64 block;
	__u32 partition;
	__u32 reserved;
};

/* What MODE SELECT would set.  Kept by the unit, handed over at attach. */
struct pmt_modes {
	__u32 block_size;	/* bytes; 0 variable */
	__u8 density;		/* SSC density code; 0 the drive's own */
	__u8 compression;	/* 0, 1 */
	__u8 buffered;		/* SSC buffered mode, 0..7; 0 unbuffered */
	__u8 locked;		/* PREVENT MEDIUM REMOVAL */
};

/**
 * enum pmt_op - drive commands; names, units and sense are those of SSC
 * @PMT_OP_TEST: TEST UNIT READY, and the state of drive and medium
 * @PMT_OP_WRITE: length bytes: one record, or length / block_size blocks
 * @PMT_OP_READ: up to length bytes of one record, or length / block_size blocks
 * @PMT_OP_WRITE_FILEMARKS: count marks; 0 makes all before it durable.
 *	Without PMT_CMD_IMMEDIATE answered when durable.
 * @PMT_OP_SPACE: argument PMT_SPACE_*, count units, negative backwards
 * @PMT_OP_LOCATE: to LBN count of partition argument
 * @PMT_OP_REWIND: to the beginning of the partition
 * @PMT_OP_LOAD: load or re-load the medium, at its beginning
 * @PMT_OP_UNLOAD: rewind, unload
 * @PMT_OP_ERASE: from the place on; argument 1 the whole rest (long)
 * @PMT_OP_FORMAT: argument partitions; count > 0 MB (of 10^6) of each behind the
 *	first, < 0 -MB of the first.  Behind it the first's beginning, empty
 * @PMT_OP_MODE: set modes
 */
enum pmt_op {
	PMT_OP_TEST = 1,
	PMT_OP_WRITE,
	PMT_OP_READ,
	PMT_OP_WRITE_FILEMARKS,
	PMT_OP_SPACE,
	PMT_OP_LOCATE,
	PMT_OP_REWIND,
	PMT_OP_LOAD,
	PMT_OP_UNLOAD,
	PMT_OP_ERASE,
	PMT_OP_FORMAT,
	PMT_OP_MODE,
};

#define PMT_OP_MAX	PMT_OP_MODE

#define PMT_SPACE_RECORDS	0
#define PMT_SPACE_FILEMARKS	1
#define PMT_SPACE_EOD		3

#define PMT_CMD_IMMEDIATE	(1 << 0)
#define PMT_CMD_POSITIONED	(1 << 1)	/* going back is meant */
#define PMT_CMD_AHEAD		(1 << 2)	/* nobody asked for it yet */
#define PMT_CMD_HERE		(1 << 3)	/* place unknown: where you are */

struct pmt_command {
	__u32 number;
	__u16 op;
	__u16 flags;
	struct pmt_place place;
	__s64 count;
	__u32 offset;		/* into the data area */
	__u32 length;		/* bytes */
	__u32 block_size;	/* READ, WRITE: 0 variable */
	__u32 argument;
	struct pmt_modes modes;
	__u8 reserved[48];
};

enum pmt_status {
	PMT_STATUS_GOOD,
	PMT_STATUS_CHECK,
	PMT_STATUS_CANCELLED,
};

#define PMT_SENSE_ILI		(1 << 0)
#define PMT_SENSE_EOM		(1 << 1)	/* early warning, or BOP on SPACE */
#define PMT_SENSE_FILEMARK	(1 << 2)
#define PMT_SENSE_ALL		7

/* Sense keys, as in SPC. */
#define PMT_KEY_NONE		0x0
#define PMT_KEY_RECOVERED	0x1
#define PMT_KEY_NOT_READY	0x2
#define PMT_KEY_MEDIUM		0x3
#define PMT_KEY_HARDWARE	0x4
#define PMT_KEY_ILLEGAL		0x5
#define PMT_KEY_ATTENTION	0x6
#define PMT_KEY_PROTECT		0x7
#define PMT_KEY_BLANK		0x8
#define PMT_KEY_ABORTED		0xb
#define PMT_KEY_OVERFLOW	0xd

#define PMT_MEDIUM_PRESENT	(1 << 0)
#define PMT_MEDIUM_PROTECTED	(1 << 1)
#define PMT_MEDIUM_WORM		(1 << 2)
#define PMT_MEDIUM_ALL		7
#define PMT_MEDIUM_MORE_SHIFT	4	/* four bits: partitions besides the first */
#define PMT_MEDIUM_VALID	(PMT_MEDIUM_ALL | 0xf << PMT_MEDIUM_MORE_SHIFT)

/*
 * residue, as SSC's INFORMATION field:
 *	READ variable	length asked - record's length; < 0 with ILI: longer
 *	READ fixed	blocks not read
 *	WRITE		bytes (variable) or blocks not written
 *	WRITE FILEMARKS	marks not written
 *	SPACE		units not spaced (>= 0)
 */
struct pmt_result {
	__u32 number;
	__u16 status;
	__u8 key;
	__u8 asc;
	__u8 ascq;
	__u8 sense;		/* PMT_SENSE_* */
	__u8 medium_flags;	/* PMT_MEDIUM_*; TEST and LOAD, and see medium */
	__u8 density;		/* of the medium; TEST and LOAD */
	__u32 cookie;		/* the server's own, kept for the next one */
	__s64 residue;
	struct pmt_place place;	/* after the command */
	__u64 room;		/* cost before early warning, or PMT_UNKNOWN */
	__u64 eod;		/* LBN of end of data, or PMT_UNKNOWN; TEST, LOAD */
	/*
	 * Identity, a word a copy, 0 unknown; TEST and LOAD.  Also of any other
	 * command that is GOOD, but UNLOAD, whose medium_flags have
	 * PMT_MEDIUM_PRESENT; see 1.
	 */
	__u64 medium[PMT_MEDIUM_WORDS];
};

/* First page of PMT_MAP_COMMANDS: written by the kernel. */
struct pmt_kernel_page {
	__u32 version;
	__u32 slots;		/* a power of two */
	__u32 data_size;	/* bytes, a power of two */
	__u32 reserved;
	__u32 tail __attribute__((aligned(64)));	/* next number */
	__u32 cancel;		/* those before it are not wanted */
	__u32 asleep __attribute__((aligned(64)));	/* ring when ... */
	__u32 wake;		/* ... done has reached this */
};

/* Early warning: valid if seq is even and not 0. */
struct pmt_early_warning {
	__u32 seq;
	__u32 partition;
	__u64 generation;
	__u64 lbn;		/* of the command that met it */
};

/* First page of PMT_MAP_RESULTS: written by the server. */
struct pmt_server_page {
	__u32 done;		/* next number that has no result */
	__u32 seen __attribute__((aligned(64)));
	__u32 cancel_seen;
	__u32 parked;
	struct pmt_early_warning ew __attribute__((aligned(64)));
};

/**
 * struct pmt_limits - what the drives can take
 * @record_min: smallest record, bytes (1 or more)
 * @record_max: largest record, bytes, at most PMT_RECORD_MAX.  A program can
 *	turn this check off (MT_ST_NO_BLKLIMS): what is larger is to be refused
 * @byte_cost: cost of a byte, in 1/256
 * @record_cost: cost of a record
 * @mark_cost: cost of a filemark
 * @window: cost that may be acknowledged and not done; PMT_UNKNOWN: no bound
 *	(every drive publishes its room), 0: unbuffered
 */
struct pmt_limits {
	__u32 record_min;
	__u32 record_max;
	__u32 byte_cost;
	__u32 record_cost;
	__u32 mark_cost;
	__u32 reserved;
	__u64 window;
};

/* What the unit keeps for whoever serves it. */
struct pmt_kept {
	__u32 first;		/* first number without a result */
	__u32 tail;		/* next number to be issued */
	struct pmt_modes modes;
	struct pmt_place place;	/* after the last completed command */
	/* all 0: none was seen yet, or none since an abort */
	__u64 medium[PMT_MEDIUM_WORDS];
	__u32 cookie;		/* of the last result; 0 first and after an abort */
	__u32 reserved;
};

struct pmt_info {
	__u32 version;
	__u32 unit;
	__u64 unit_id;		/* random, of the unit's whole life */
	__u32 slots;
	__u32 data_size;
	struct pmt_kept kept;
};

#define PMT_ATTACH_AGAIN	(1 << 0)	/* of a slave end that is attached */

struct pmt_attach {
	__u32 version;		/* in: PMT_PROTOCOL_VERSION */
	__u32 flags;		/* in: 0 or PMT_ATTACH_AGAIN */
	struct pmt_limits limits;	/* in */
	struct pmt_kept kept;	/* out */
};

/*
 * Errors of the slave end: EBUSY a second open, or a second attach that is not
 * AGAIN; EINVAL a flag, a reserved field or a limit out of range, or LIMITS and
 * EVENT of one that has not attached; EPROTONOSUPPORT
 * another version; EIO attach to a broken unit; EBADF not open for writing (all
 * but PMT_IOC_INFO); ENODEV detached or the unit deleted; ENOMEM no pages.
 */
#define PMT_IOC_INFO	_IOR(0xBD, 0x00, struct pmt_info)
#define PMT_IOC_ATTACH	_IOWR(0xBD, 0x01, struct pmt_attach)
#define PMT_IOC_KICK	_IO(0xBD, 0x02)
#define PMT_IOC_LIMITS	_IOW(0xBD, 0x03, struct pmt_limits)
#define PMT_IOC_EVENT	_IOW(0xBD, 0x04, __u32)	/* PMT_EVENT_COPY_* */

/*
 * Control plane: generic netlink family "pmt".  All commands need
 * CAP_SYS_ADMIN; events carry numbers and states only, as any user may listen.
 *
 *	NEW	[UNIT] [DATA_SIZE] [RECOVERY] [EOT] [PERSONALITY]  -> UNIT
 *	DEL	UNIT
 *	GET	UNIT, or a dump of all			-> all attributes
 *	SET	UNIT [RECOVERY] [EOT]
 *	ABORT	UNIT	all that waits fails with EIO; a server is detached
 *	DETACH	UNIT	the server loses the slave end; commands wait
 *	EVENT	UNIT EVENT [...]			multicast, group "events"
 *
 * Errors: ENOENT no such unit, EEXIST the number is taken, ENOSPC all numbers
 * are, EBUSY DEL of a unit whose master or slave end is open or whose commands
 * wait, EPERM, ERANGE, EINVAL; each with an extended-acknowledgement text.
 */
#define PMT_GENL_NAME		"pmt"
#define PMT_GENL_VERSION	1
#define PMT_GENL_GROUP_EVENTS	"events"

enum pmt_nl_command {
	PMT_NL_UNSPEC,
	PMT_NL_NEW,
	PMT_NL_DEL,
	PMT_NL_GET,
	PMT_NL_SET,
	PMT_NL_ABORT,
	PMT_NL_DETACH,
	PMT_NL_EVENT,
	PMT_NL_COMMANDS,
};

#define PMT_NL_COMMAND_MAX	(PMT_NL_COMMANDS - 1)

enum pmt_nl_attribute {
	PMT_A_UNSPEC,
	PMT_A_PAD,
	PMT_A_UNIT,		/* u32 */
	PMT_A_UNIT_ID,		/* u64 */
	PMT_A_DATA_SIZE,	/* u32, bytes */
	PMT_A_RECOVERY,		/* u32, ms */
	PMT_A_EOT,		/* u8, enum pmt_eot */
	PMT_A_STATE,		/* u8, enum pmt_state */
	PMT_A_MASTER_OPEN,	/* u8 */
	PMT_A_SERVER_PID,	/* u32, in the reader's pid namespace; 0 none */
	PMT_A_GENERATION,	/* u64 */
	PMT_A_PARTITION,	/* u32 */
	PMT_A_LBN,		/* u64; this and the next two may be PMT_UNKNOWN */
	PMT_A_FILE,		/* u64 */
	PMT_A_BLOCK,		/* u64 */
	PMT_A_ISSUED,		/* u32, number */
	PMT_A_DONE,		/* u32, number */
	PMT_A_RECORD_MIN,	/* u32, bytes */
	PMT_A_RECORD_MAX,	/* u32, bytes */
	PMT_A_WINDOW,		/* u64, cost */
	PMT_A_ROOM,		/* u64, cost */
	PMT_A_MEDIUM_FLAGS,	/* u8, PMT_MEDIUM_* */
	PMT_A_EARLY_WARNING,	/* u8 */
	PMT_A_BLOCK_SIZE,	/* u32, bytes */
	PMT_A_BUFFERED,		/* u8 */
	PMT_A_BYTES_WRITTEN,	/* u64, of records accepted by the server */
	PMT_A_RECORDS_WRITTEN,	/* u64 */
	PMT_A_BYTES_READ,	/* u64 */
	PMT_A_RECORDS_READ,	/* u64 */
	PMT_A_WAKES_SERVER,	/* u64, doorbells rung */
	PMT_A_WAKES_MASTER,	/* u64 */
	PMT_A_EVENT,		/* u8, enum pmt_event */
	PMT_A_KEY,		/* u8, sense key of an error */
	PMT_A_PERSONALITY,	/* string; "tape" if absent */
	PMT_A_DATA_WAITING,	/* u32, bytes of the data area that are not done */
	PMT_A_MASTER_PID,	/* u32, who opened it; as PMT_A_SERVER_PID */
	PMT_A_ATTRIBUTES,
};

#define PMT_A_MAX	(PMT_A_ATTRIBUTES - 1)

/* How writes behave at early warning; see pmtm(4). */
enum pmt_eot {
	PMT_EOT_ST,
	PMT_EOT_HOLD,
};

#define PMT_EOT_MAX	PMT_EOT_HOLD

enum pmt_state {
	PMT_STATE_UNSERVED,	/* no server, none is waited for */
	PMT_STATE_SERVED,
	PMT_STATE_RECOVERING,	/* the server is gone, another is waited for */
	PMT_STATE_BROKEN,	/* the server broke the protocol */
};

enum pmt_event {
	PMT_EVENT_UNIT_ADDED = 1,
	PMT_EVENT_UNIT_REMOVED,
	PMT_EVENT_SERVER_ATTACHED,
	PMT_EVENT_SERVER_LOST,
	PMT_EVENT_MEDIUM_LOADED,
	PMT_EVENT_MEDIUM_UNLOADED,
	PMT_EVENT_EARLY_WARNING,
	PMT_EVENT_ERROR,
	PMT_EVENT_BROKEN,
	PMT_EVENT_ABORTED,
	PMT_EVENT_COPY_FAILED,
	PMT_EVENT_COPY_REJOINED,
};

#endif
