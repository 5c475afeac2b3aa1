/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * RMT, the remote tape protocol: the wire, and the server.
 *
 *	bytes -> request.c -> server.c -> st.c -> a drive tree
 *	      <- reply.c  <-
 *
 * request.c, reply.c and mtget.c are the wire alone: they do no I/O, allocate
 * nothing and know no drive.  Both parsers are fed whatever bytes there are, say
 * how many of them they took, and take none behind the end of a request or reply,
 * where data may begin.  A peer's numbers are read whole or refused.
 *
 * st.c is the smallest st that these requests can show, over a drive; state.c
 * keeps its place between sessions, as a drive keeps its between opens.
 * Prototypes are sorted by the file that defines them.
 */
#ifndef PMT_RMT_H
#define PMT_RMT_H

#include <sys/types.h>

#include "../internal.h"

#define PMT_RMT_NAME_MAX	4096	/* of a device, as Schily's server takes it */
#define PMT_RMT_WORD_MAX	256	/* of any other line */
#define PMT_RMT_REQUEST_MAX	(PMT_RMT_NAME_MAX + PMT_RMT_WORD_MAX + 8)
#define PMT_RMT_TEXT_MAX	256	/* of an error; what is longer is dropped */
#define PMT_RMT_REPLY_MAX	(256u << 10)	/* what is longer than that is none */
#define PMT_RMT_MTGET_MAX	128	/* the largest status that is looked at */

/* Whose numbers the operations of I are. */
enum pmt_rmt_order {
	PMT_RMT_ORDER_NONE,	/* nobody said: those that are the same everywhere */
	PMT_RMT_ORDER_BSD,	/* BSD, SunOS and version 1 */
	PMT_RMT_ORDER_LINUX,
};

/* What whence of L may be: SEEK_SET, SEEK_CUR, SEEK_END, and dump's own two. */
#define PMT_RMT_TELL	10	/* answers the LBN, as MTIOCPOS */
#define PMT_RMT_GOTO	11	/* goes to LBN offset, as MTSEEK */

/* i: what version 1 has beside the eight operations of I. */
enum {
	PMT_RMT_CACHE,
	PMT_RMT_NOCACHE,
	PMT_RMT_RETEN,
	PMT_RMT_ERASE,
	PMT_RMT_EOM,
	PMT_RMT_NBSF,
};

#define PMT_RMT_VERSION_OP	(-1)	/* of I: "I-1\n0\n" asks for version 1 */

/* One request.  Which members count depends on op, the letter on the wire. */
struct pmt_rmt_request {
	char op;		/* O C R W L I i S s v V */
	char what;		/* s: which number of the status */
	const char *device;	/* O; in the parser, until its next request */
	int flags;		/* O: of open(2), of this machine */
	int64_t count;		/* R, W: bytes; I, i: of the operation; L: offset */
	int number;		/* I, i: the operation as it came; L: whence */
};

struct pmt_rmt_parser {
	char text[PMT_RMT_REQUEST_MAX];	/* the lines so far, each ended by a NUL */
	size_t used, line;		/* line: where the last one begins */
	unsigned int lines;		/* whole ones */
	char op;			/* 0: between requests */
};

enum pmt_rmt_reply_kind { PMT_RMT_OK, PMT_RMT_ERROR };

struct pmt_rmt_reply {
	enum pmt_rmt_reply_kind kind;
	int64_t value;		/* OK: the number behind A */
	bool fatal;		/* ERROR: an F, the server has closed the tape */
	int error;		/* ERROR: as errno of this machine, > 0 */
};

struct pmt_rmt_reply_parser {
	char number[24], text[PMT_RMT_TEXT_MAX];
	size_t n_number, n_text, size;	/* size: of all that has come of it */
	char kind;		/* 0: between replies */
	bool in_text;
};

/* A status, whatever machine it came from. */
struct pmt_rmt_status {
	int64_t type, resid, dsreg, gstat, erreg, file, block;
};

enum pmt_rmt_layout {
	PMT_RMT_LINUX64,	/* five longs of 64 bits, two ints */
	PMT_RMT_LINUX32,	/* seven words of 32 bits */
	PMT_RMT_SUN,		/* three shorts, three words, two shorts */
	PMT_RMT_LAYOUTS,
};

/* request.c */
void pmt_rmt_parser_init(struct pmt_rmt_parser *);
/*
 * How many of the bytes were taken; *done: the request is whole.  -EBADMSG not a
 * request, -EMSGSIZE a line that is too long, -EINVAL, -ERANGE a word that is no
 * number or flag: the stream can not be followed any further.
 */
ssize_t pmt_rmt_parser_feed(struct pmt_rmt_parser *, const char *bytes, size_t n,
			    struct pmt_rmt_request *, bool *done);
/* The text of a request without its data; how long, or -EINVAL, -ENOBUFS. */
int pmt_rmt_request_put(char *to, size_t size, const struct pmt_rmt_request *);
/* All of text as a decimal number in [min, max].  -EINVAL, -ERANGE. */
int pmt_rmt_number(const char *text, int64_t min, int64_t max, int64_t *);
/*
 * The operation of I as mt_op of Linux.  -ENOTSUP its meaning is not known,
 * -EINVAL there is none such.
 */
int pmt_rmt_op_decode(enum pmt_rmt_order, int number);
/* mt_op of Linux as the operation of I.  -ENOTSUP it has none there. */
int pmt_rmt_op_encode(enum pmt_rmt_order, int op);

/* reply.c */
void pmt_rmt_reply_init(struct pmt_rmt_reply_parser *);
/* As pmt_rmt_parser_feed(); -EBADMSG not a reply, -ERANGE a number too large. */
ssize_t pmt_rmt_reply_feed(struct pmt_rmt_reply_parser *, const char *bytes, size_t n,
			   struct pmt_rmt_reply *, bool *done);
int pmt_rmt_reply_ok(char *to, size_t size, int64_t value);
int pmt_rmt_reply_error(char *to, size_t size, int error);
/* errno of a server whose system is not known: by its text, else by its number
 * where all systems agree, else EIO. */
int pmt_rmt_errno(int64_t number, const char *text);

/* mtget.c */
/* -EPROTO: no layout of that size, or none whose type makes sense. */
int pmt_rmt_mtget_decode(const void *bytes, size_t size, struct pmt_rmt_status *);
/* How long; to has PMT_RMT_MTGET_MAX bytes. */
size_t pmt_rmt_mtget_encode(void *to, enum pmt_rmt_layout, bool big_endian,
			    const struct pmt_rmt_status *);

/* The automaton of st, as far as variable blocks have it; the order is meant. */
enum pmt_rmt_st_eof {
	PMT_RMT_ST_NONE,
	PMT_RMT_ST_AT_FM,
	PMT_RMT_ST_EW,
	PMT_RMT_ST_EOD1,
	PMT_RMT_ST_EOD2,
	PMT_RMT_ST_EOD3,
};

/* What is kept between two opens of a tape. */
struct pmt_rmt_st_kept {
	uint64_t unit_id;	/* 0: nothing is kept */
	uint64_t session;	/* generation that the rest is about */
	struct pmt_place place;
	uint64_t medium[PMT_MEDIUM_WORDS];
	uint32_t cookie;
	int64_t file, block;	/* as st tells; -1 unknown */
	enum pmt_rmt_st_eof eof;
	uint32_t recovered;	/* errors since the last status */
	bool cleaning;		/* the drive asked for it */
	bool busy;		/* in use; found so: its user died, the place is lost */
};

enum pmt_rmt_st_ready { PMT_RMT_ST_READY, PMT_RMT_ST_NOT_READY, PMT_RMT_ST_NO_TAPE };

struct pmt_rmt_st {
	struct pmt_drive *drive;
	struct pmt_session attached;
	struct pmt_limits limits;
	struct pmt_rmt_st_kept kept;
	struct pmt_place place;	/* where the next command applies */
	enum pmt_eot eot;
	uint8_t density;
	enum pmt_rmt_st_ready ready;
	bool medium_seen;	/* since the last open or load */
	bool nonblock;		/* opened so */
	bool lost;		/* the place is unknown until repositioned */
	bool protected;		/* the medium is */
	bool reads, writes;	/* how it was opened */
	bool rewind;		/* at close; the opener's, and so is eot */
	bool unloaded;		/* so that there is nothing to rewind */
	bool writing;		/* a filemark is due at close */
	bool positioned;	/* going back to write is meant */
	bool trailer;		/* eot=hold: a mark was written at early warning */
	uint32_t number;
};

/*
 * st.c: 0 or a count, or -errno as st has it.  open() takes the drive as it is
 * and does not close it; kept is what the last close left.
 */
int pmt_rmt_st_open(struct pmt_rmt_st *, struct pmt_drive *, const struct pmt_rmt_st_kept *,
		int flags);
int pmt_rmt_st_close(struct pmt_rmt_st *);
ssize_t pmt_rmt_st_write(struct pmt_rmt_st *, void *data, size_t count);
ssize_t pmt_rmt_st_read(struct pmt_rmt_st *, void *data, size_t count);
int pmt_rmt_st_op(struct pmt_rmt_st *, int op, int64_t count);	/* MTIOCTOP */
int pmt_rmt_st_status(struct pmt_rmt_st *, struct pmt_rmt_status *);	/* MTIOCGET */
int pmt_rmt_st_tell(struct pmt_rmt_st *, int64_t *lbn);		/* MTIOCPOS */

/* state.c: the file that keeps it; it is locked while open. -EBUSY: another has it. */
struct pmt_rmt_state;
int pmt_rmt_state_open(struct pmt_rmt_state **, const char *path, struct pmt_rmt_st_kept *);
int pmt_rmt_state_store(struct pmt_rmt_state *, const struct pmt_rmt_st_kept *);
void pmt_rmt_state_close(struct pmt_rmt_state *);
/* The text of it, for the tests.  parse: -EINVAL. */
int pmt_rmt_state_print(char *to, size_t size, const struct pmt_rmt_st_kept *);
int pmt_rmt_state_parse(const char *text, struct pmt_rmt_st_kept *);

/* server.c */
struct pmt_rmt_io {
	/* Bytes that there are, 0 at the end, -errno. */
	ssize_t (*read)(void *context, void *to, size_t size);
	/* All of it: 0 or -errno. */
	int (*write)(void *context, const void *from, size_t size);
	void *context;
};

int pmt_rmt_session(const struct pmt_rmt_config *, const struct pmt_rmt_io *);

#endif
