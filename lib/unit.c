// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Units: the control plane, by generic netlink
 *
 * struct pmt_control is one socket and the number of the family; every call is
 * one exchange(), which ends at the acknowledgement or the error that belongs
 * to it.  libnl reads neither the errno of an answer exactly nor its text, so
 * the error is taken from the message here.
 *
 * struct pmt_watch is a socket of its own, in the group "events", that never
 * blocks.  Both turn attributes into structs by one table each: attribute,
 * where the value goes and how large that is.
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>

#include "internal.h"

struct pmt_control {
	struct nl_sock *socket;
	int family;
	char error[256];	/* the kernel's text of the last error */
};

struct pmt_watch {
	struct nl_sock *socket;
	void (*each)(const struct pmt_unit_event *, void *);
	void *context;
};

struct field {
	uint8_t attribute;
	uint8_t size;		/* of the value in the struct */
	uint16_t offset;
};

#define FIELD(type, member, attribute) \
	{ attribute, sizeof(((struct type *)0)->member), offsetof(struct type, member) }

static const struct field info_fields[] = {
	FIELD(pmt_unit_info, unit, PMT_A_UNIT),
	FIELD(pmt_unit_info, unit_id, PMT_A_UNIT_ID),
	FIELD(pmt_unit_info, data_size, PMT_A_DATA_SIZE),
	FIELD(pmt_unit_info, recovery, PMT_A_RECOVERY),
	FIELD(pmt_unit_info, eot, PMT_A_EOT),
	FIELD(pmt_unit_info, state, PMT_A_STATE),
	FIELD(pmt_unit_info, master_open, PMT_A_MASTER_OPEN),
	FIELD(pmt_unit_info, server_pid, PMT_A_SERVER_PID),
	FIELD(pmt_unit_info, place.generation, PMT_A_GENERATION),
	FIELD(pmt_unit_info, place.partition, PMT_A_PARTITION),
	FIELD(pmt_unit_info, place.lbn, PMT_A_LBN),
	FIELD(pmt_unit_info, place.file, PMT_A_FILE),
	FIELD(pmt_unit_info, place.block, PMT_A_BLOCK),
	FIELD(pmt_unit_info, issued, PMT_A_ISSUED),
	FIELD(pmt_unit_info, done, PMT_A_DONE),
	FIELD(pmt_unit_info, record_min, PMT_A_RECORD_MIN),
	FIELD(pmt_unit_info, record_max, PMT_A_RECORD_MAX),
	FIELD(pmt_unit_info, window, PMT_A_WINDOW),
	FIELD(pmt_unit_info, room, PMT_A_ROOM),
	FIELD(pmt_unit_info, medium_flags, PMT_A_MEDIUM_FLAGS),
	FIELD(pmt_unit_info, early_warning, PMT_A_EARLY_WARNING),
	FIELD(pmt_unit_info, block_size, PMT_A_BLOCK_SIZE),
	FIELD(pmt_unit_info, buffered, PMT_A_BUFFERED),
	FIELD(pmt_unit_info, bytes_written, PMT_A_BYTES_WRITTEN),
	FIELD(pmt_unit_info, records_written, PMT_A_RECORDS_WRITTEN),
	FIELD(pmt_unit_info, bytes_read, PMT_A_BYTES_READ),
	FIELD(pmt_unit_info, records_read, PMT_A_RECORDS_READ),
	FIELD(pmt_unit_info, wakes_server, PMT_A_WAKES_SERVER),
	FIELD(pmt_unit_info, wakes_master, PMT_A_WAKES_MASTER),
	FIELD(pmt_unit_info, data_waiting, PMT_A_DATA_WAITING),
	FIELD(pmt_unit_info, master_pid, PMT_A_MASTER_PID),
};

static const struct field event_fields[] = {
	FIELD(pmt_unit_event, event, PMT_A_EVENT),
	FIELD(pmt_unit_event, unit, PMT_A_UNIT),
	FIELD(pmt_unit_event, place.generation, PMT_A_GENERATION),
	FIELD(pmt_unit_event, place.partition, PMT_A_PARTITION),
	FIELD(pmt_unit_event, place.lbn, PMT_A_LBN),
	FIELD(pmt_unit_event, place.file, PMT_A_FILE),
	FIELD(pmt_unit_event, place.block, PMT_A_BLOCK),
	FIELD(pmt_unit_event, key, PMT_A_KEY),
};

static const struct nla_policy policy[PMT_A_MAX + 1] = {
	[PMT_A_UNIT] = { .type = NLA_U32 },
	[PMT_A_UNIT_ID] = { .type = NLA_U64 },
	[PMT_A_DATA_SIZE] = { .type = NLA_U32 },
	[PMT_A_RECOVERY] = { .type = NLA_U32 },
	[PMT_A_EOT] = { .type = NLA_U8 },
	[PMT_A_STATE] = { .type = NLA_U8 },
	[PMT_A_MASTER_OPEN] = { .type = NLA_U8 },
	[PMT_A_SERVER_PID] = { .type = NLA_U32 },
	[PMT_A_GENERATION] = { .type = NLA_U64 },
	[PMT_A_PARTITION] = { .type = NLA_U32 },
	[PMT_A_LBN] = { .type = NLA_U64 },
	[PMT_A_FILE] = { .type = NLA_U64 },
	[PMT_A_BLOCK] = { .type = NLA_U64 },
	[PMT_A_ISSUED] = { .type = NLA_U32 },
	[PMT_A_DONE] = { .type = NLA_U32 },
	[PMT_A_RECORD_MIN] = { .type = NLA_U32 },
	[PMT_A_RECORD_MAX] = { .type = NLA_U32 },
	[PMT_A_WINDOW] = { .type = NLA_U64 },
	[PMT_A_ROOM] = { .type = NLA_U64 },
	[PMT_A_MEDIUM_FLAGS] = { .type = NLA_U8 },
	[PMT_A_EARLY_WARNING] = { .type = NLA_U8 },
	[PMT_A_BLOCK_SIZE] = { .type = NLA_U32 },
	[PMT_A_BUFFERED] = { .type = NLA_U8 },
	[PMT_A_BYTES_WRITTEN] = { .type = NLA_U64 },
	[PMT_A_RECORDS_WRITTEN] = { .type = NLA_U64 },
	[PMT_A_BYTES_READ] = { .type = NLA_U64 },
	[PMT_A_RECORDS_READ] = { .type = NLA_U64 },
	[PMT_A_WAKES_SERVER] = { .type = NLA_U64 },
	[PMT_A_WAKES_MASTER] = { .type = NLA_U64 },
	[PMT_A_EVENT] = { .type = NLA_U8 },
	[PMT_A_KEY] = { .type = NLA_U8 },
	[PMT_A_DATA_WAITING] = { .type = NLA_U32 },
	[PMT_A_MASTER_PID] = { .type = NLA_U32 },
};

static void socket_freep(struct nl_sock **socket)
{
	nl_socket_free(*socket);
}

static void message_freep(struct nl_msg **message)
{
	nlmsg_free(*message);
}

#define _cleanup_socket_ __attribute__((cleanup(socket_freep)))
#define _cleanup_message_ __attribute__((cleanup(message_freep)))

/* Of libnl's own failures; the kernel's answers come with their errno. */
static int errno_of(int nle)
{
	switch (-nle) {
	case NLE_SUCCESS: return 0;
	case NLE_INTR: return -EINTR;
	case NLE_AGAIN: return -EAGAIN;
	case NLE_NOMEM: return -ENOMEM;
	case NLE_PERM: case NLE_NOACCESS: return -EPERM;
	case NLE_OBJ_NOTFOUND: return -ENOPKG;
	case NLE_DUMP_INTR: return -EINTR;
	case NLE_MSGSIZE: case NLE_MSG_TRUNC: return -EMSGSIZE;
	case NLE_AF_NOSUPPORT: case NLE_PROTO_MISMATCH: return -EAFNOSUPPORT;
	default: return -EIO;
	}
}

static int connect_family(struct nl_sock **result, int *family)
{
	_cleanup_socket_ struct nl_sock *socket = nl_socket_alloc();
	int err;

	if (!socket)
		return -ENOMEM;
	err = genl_connect(socket);
	if (err < 0)
		return errno_of(err);
	*family = genl_ctrl_resolve(socket, PMT_GENL_NAME);
	if (*family < 0)
		return errno_of(*family);
	*result = socket;
	socket = NULL;
	return 0;
}

static uint64_t attribute_value(const struct nlattr *attribute)
{
	switch (policy[nla_type(attribute)].type) {
	case NLA_U8: return nla_get_u8(attribute);
	case NLA_U32: return nla_get_u32(attribute);
	default: return nla_get_u64(attribute);
	}
}

static void store(void *to, size_t size, uint64_t value)
{
	if (size == sizeof(uint8_t))
		*(uint8_t *)to = value;
	else if (size == sizeof(uint32_t))
		*(uint32_t *)to = value;
	else
		*(uint64_t *)to = value;
}

static int parse(struct nlmsghdr *header, const struct field *fields, size_t n,
		 void *result)
{
	struct nlattr *attributes[PMT_A_MAX + 1];

	if (genlmsg_parse(header, 0, attributes, PMT_A_MAX, policy) < 0)
		return -EBADMSG;
	for (const struct field *f = fields; f < fields + n; f++)
		if (attributes[f->attribute])
			store((char *)result + f->offset, f->size,
			      attribute_value(attributes[f->attribute]));
	return 0;
}

static int parse_info(struct nlmsghdr *header, struct pmt_unit_info *info)
{
	*info = (struct pmt_unit_info){
		.place = { .lbn = PMT_UNKNOWN, .file = PMT_UNKNOWN, .block = PMT_UNKNOWN },
		.window = PMT_UNKNOWN, .room = PMT_UNKNOWN, .data_waiting = PMT_UNKNOWN,
	};
	return parse(header, info_fields, sizeof(info_fields) / sizeof(info_fields[0]),
		     info);
}

/* One request and what came back; reply() is given each message of data. */
struct exchange {
	struct pmt_control *control;
	int (*reply)(struct nlmsghdr *, void *);
	void *context;
	bool over;
	int result;
};

static void keep_text(struct pmt_control *c, const void *tlvs, int length)
{
	const struct nlattr *text = nla_find(tlvs, length, NLMSGERR_ATTR_MSG);

	if (text && nla_len(text) > 0)
		nla_strlcpy(c->error, text, sizeof(c->error));
}

/* The TLVs stand behind the error, and behind the request unless it was capped. */
static int on_error(struct sockaddr_nl *from, struct nlmsgerr *error, void *context)
{
	struct exchange *x = context;
	const struct nlmsghdr *header = (const void *)((char *)error - NLMSG_HDRLEN);
	size_t skip = NLMSG_ALIGN(sizeof(*error));

	(void)from;
	if (!(header->nlmsg_flags & NLM_F_CAPPED))
		skip += NLMSG_ALIGN(error->msg.nlmsg_len) - NLMSG_HDRLEN;
	if (header->nlmsg_flags & NLM_F_ACK_TLVS && header->nlmsg_len > NLMSG_HDRLEN + skip)
		keep_text(x->control, (char *)error + skip,
			  header->nlmsg_len - NLMSG_HDRLEN - skip);
	x->result = error->error;
	x->over = true;
	return NL_STOP;
}

static int on_ack(struct nl_msg *message, void *context)
{
	struct exchange *x = context;

	(void)message;
	x->over = true;
	return NL_STOP;
}

/* The end of a dump carries its error. */
static int on_finish(struct nl_msg *message, void *context)
{
	const struct nlmsghdr *header = nlmsg_hdr(message);
	struct exchange *x = context;
	int error = 0;

	x->over = true;
	if (nlmsg_datalen(header) < (int)sizeof(error))
		return NL_STOP;
	memcpy(&error, nlmsg_data(header), sizeof(error));
	if (error < 0)
		x->result = error;
	if (header->nlmsg_flags & NLM_F_ACK_TLVS)
		keep_text(x->control, (char *)nlmsg_data(header) + NLMSG_ALIGN(sizeof(error)),
			  nlmsg_datalen(header) - NLMSG_ALIGN(sizeof(error)));
	return NL_STOP;
}

static int on_reply(struct nl_msg *message, void *context)
{
	struct exchange *x = context;
	int err = x->reply ? x->reply(nlmsg_hdr(message), x->context) : 0;

	if (err < 0 && !x->result)
		x->result = err;
	return NL_OK;
}

static int receive(struct exchange *x)
{
	struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);
	int err;

	if (!cb)
		return -ENOMEM;
	nl_cb_err(cb, NL_CB_CUSTOM, on_error, x);
	nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, on_ack, x);
	nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, on_finish, x);
	nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_reply, x);
	do
		err = nl_recvmsgs(x->control->socket, cb);
	while (err >= 0 && !x->over);
	nl_cb_put(cb);
	if (err == -NLE_DUMP_INTR)
		return -EINTR;
	return x->over ? x->result : errno_of(err);
}

static int exchange(struct pmt_control *c, struct nl_msg *message,
		    int (*reply)(struct nlmsghdr *, void *), void *context)
{
	struct exchange x = { .control = c, .reply = reply, .context = context };
	int err;

	c->error[0] = '\0';
	err = nl_send_auto(c->socket, message);
	if (err < 0)
		return errno_of(err);
	return receive(&x);
}

static struct nl_msg *request(struct pmt_control *c, enum pmt_nl_command command,
			      int flags, uint32_t unit)
{
	struct nl_msg *message = nlmsg_alloc();

	if (!message)
		return NULL;
	if (genlmsg_put(message, NL_AUTO_PORT, NL_AUTO_SEQ, c->family, 0, flags,
			command, PMT_GENL_VERSION) &&
	    (unit == PMT_ANY_UNIT || nla_put_u32(message, PMT_A_UNIT, unit) == 0))
		return message;
	nlmsg_free(message);
	return NULL;
}

static int simple(struct pmt_control *c, enum pmt_nl_command command, uint32_t unit)
{
	_cleanup_message_ struct nl_msg *message = request(c, command, 0, unit);

	return message ? exchange(c, message, NULL, NULL) : -ENOMEM;
}

int pmt_control_open(struct pmt_control **result)
{
	struct pmt_control *c = calloc(1, sizeof(*c));
	int on = 1, err;

	if (!c)
		return -ENOMEM;
	err = connect_family(&c->socket, &c->family);
	if (err < 0) {
		free(c);
		return err;
	}
	/* Without them the errors have no text. */
	setsockopt(nl_socket_get_fd(c->socket), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	setsockopt(nl_socket_get_fd(c->socket), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	*result = c;
	return 0;
}

void pmt_control_close(struct pmt_control *c)
{
	if (!c)
		return;
	nl_socket_free(c->socket);
	free(c);
}

const char *pmt_control_error(const struct pmt_control *c)
{
	return c->error;
}

static int put_config(struct nl_msg *message, const struct pmt_unit_config *config)
{
	if (config->set_recovery &&
	    nla_put_u32(message, PMT_A_RECOVERY, config->recovery) < 0)
		return -EMSGSIZE;
	if (config->set_eot && nla_put_u8(message, PMT_A_EOT, config->eot) < 0)
		return -EMSGSIZE;
	return 0;
}

static int reply_unit(struct nlmsghdr *header, void *unit)
{
	struct pmt_unit_info info;
	int err = parse_info(header, &info);

	if (err == 0)
		*(uint32_t *)unit = info.unit;
	return err;
}

int pmt_unit_new(struct pmt_control *c, const struct pmt_unit_config *config,
		 uint32_t *unit)
{
	_cleanup_message_ struct nl_msg *message =
		request(c, PMT_NL_NEW, 0, config->unit);
	uint32_t number = PMT_ANY_UNIT;
	int err;

	if (!message)
		return -ENOMEM;
	if (config->data_size &&
	    nla_put_u32(message, PMT_A_DATA_SIZE, config->data_size) < 0)
		return -EMSGSIZE;
	err = put_config(message, config);
	if (err == 0)
		err = exchange(c, message, reply_unit, &number);
	if (err == 0 && number == PMT_ANY_UNIT)
		return -EBADMSG;
	if (err == 0 && unit)
		*unit = number;
	return err;
}

int pmt_unit_delete(struct pmt_control *c, uint32_t unit)
{
	return simple(c, PMT_NL_DEL, unit);
}

static int reply_info(struct nlmsghdr *header, void *info)
{
	return parse_info(header, info);
}

int pmt_unit_get(struct pmt_control *c, uint32_t unit, struct pmt_unit_info *info)
{
	_cleanup_message_ struct nl_msg *message = request(c, PMT_NL_GET, 0, unit);

	return message ? exchange(c, message, reply_info, info) : -ENOMEM;
}

/* What a dump has brought so far: it may have to be taken again. */
struct listing {
	struct pmt_unit_info *units;
	size_t n, size;
};

static int reply_listing(struct nlmsghdr *header, void *context)
{
	struct listing *l = context;

	if (l->n == l->size) {
		size_t size = l->size ? 2 * l->size : 16;
		void *more = realloc(l->units, size * sizeof(*l->units));

		if (!more)
			return -ENOMEM;
		l->units = more;
		l->size = size;
	}
	return parse_info(header, &l->units[l->n++]);
}

static int by_number(const void *a, const void *b)
{
	const struct pmt_unit_info *x = a, *y = b;

	return (x->unit > y->unit) - (x->unit < y->unit);
}

int pmt_unit_list(struct pmt_control *c,
		  int (*each)(const struct pmt_unit_info *, void *), void *context)
{
	struct listing l = { .units = NULL };
	int err = -EINTR;

	for (int tries = 0; tries < 8 && err == -EINTR; tries++) {
		_cleanup_message_ struct nl_msg *message =
			request(c, PMT_NL_GET, NLM_F_DUMP, PMT_ANY_UNIT);

		l.n = 0;
		err = message ? exchange(c, message, reply_listing, &l) : -ENOMEM;
	}
	if (err == 0 && l.n)
		qsort(l.units, l.n, sizeof(*l.units), by_number);
	for (size_t i = 0; err == 0 && i < l.n; i++)
		err = each(&l.units[i], context);
	free(l.units);
	return err;
}

int pmt_unit_set(struct pmt_control *c, const struct pmt_unit_config *config)
{
	_cleanup_message_ struct nl_msg *message =
		request(c, PMT_NL_SET, 0, config->unit);
	int err;

	if (!message)
		return -ENOMEM;
	err = put_config(message, config);
	return err < 0 ? err : exchange(c, message, NULL, NULL);
}

int pmt_unit_abort(struct pmt_control *c, uint32_t unit)
{
	return simple(c, PMT_NL_ABORT, unit);
}

int pmt_unit_detach(struct pmt_control *c, uint32_t unit)
{
	return simple(c, PMT_NL_DETACH, unit);
}

static int on_event(struct nl_msg *message, void *context)
{
	struct pmt_watch *w = context;
	struct pmt_unit_event event = {
		.place = { .lbn = PMT_UNKNOWN, .file = PMT_UNKNOWN, .block = PMT_UNKNOWN },
	};

	if (genlmsg_hdr(nlmsg_hdr(message))->cmd == PMT_NL_EVENT &&
	    parse(nlmsg_hdr(message), event_fields,
		  sizeof(event_fields) / sizeof(event_fields[0]), &event) == 0)
		w->each(&event, w->context);
	return NL_OK;
}

static int join(struct pmt_watch *w)
{
	int family, group, err;

	err = connect_family(&w->socket, &family);
	if (err < 0)
		return err;
	group = genl_ctrl_resolve_grp(w->socket, PMT_GENL_NAME, PMT_GENL_GROUP_EVENTS);
	if (group < 0)
		return errno_of(group);
	nl_socket_disable_seq_check(w->socket);
	nl_socket_set_buffer_size(w->socket, 256 << 10, 0);
	nl_socket_modify_cb(w->socket, NL_CB_VALID, NL_CB_CUSTOM, on_event, w);
	err = nl_socket_set_nonblocking(w->socket);
	if (err == 0)
		err = nl_socket_add_membership(w->socket, group);
	return errno_of(err);
}

int pmt_watch_open(struct pmt_watch **result)
{
	struct pmt_watch *w = calloc(1, sizeof(*w));
	int err = w ? join(w) : -ENOMEM;

	if (err < 0)
		pmt_watch_close(w);
	else
		*result = w;
	return err;
}

void pmt_watch_close(struct pmt_watch *w)
{
	if (!w)
		return;
	nl_socket_free(w->socket);
	free(w);
}

int pmt_watch_fd(const struct pmt_watch *w)
{
	return nl_socket_get_fd(w->socket);
}

int pmt_watch_dispatch(struct pmt_watch *w,
		       void (*each)(const struct pmt_unit_event *, void *), void *context)
{
	int err;

	w->each = each;
	w->context = context;
	do
		err = nl_recvmsgs_default(w->socket);
	while (err >= 0);
	if (err == -NLE_AGAIN)
		return 0;
	/* libnl calls a full receive buffer so too. */
	return err == -NLE_NOMEM ? -ENOBUFS : errno_of(err);
}

static const char *name_of(const char *const *names, size_t n, unsigned int i)
{
	return i < n && names[i] ? names[i] : "?";
}

#define NAME_OF(names, i) name_of(names, sizeof(names) / sizeof((names)[0]), i)

static const char *const eot_names[] = {
	[PMT_EOT_ST] = "st",
	[PMT_EOT_HOLD] = "hold",
};

const char *pmt_state_name(enum pmt_state state)
{
	static const char *const names[] = {
		[PMT_STATE_UNSERVED] = "unserved",
		[PMT_STATE_SERVED] = "served",
		[PMT_STATE_RECOVERING] = "recovering",
		[PMT_STATE_BROKEN] = "broken",
	};

	return NAME_OF(names, state);
}

/* Those of the library alone behind those of the kernel. */
static const char *library_event_name(unsigned int event)
{
	static const char *const names[] = {
		[PMT_EVENT_REJOIN_BEGUN - PMT_EVENT_REJOIN_BEGUN] = "rejoin-begun",
		[PMT_EVENT_REJOIN_PROGRESS - PMT_EVENT_REJOIN_BEGUN] = "rejoin-progress",
		[PMT_EVENT_REJOIN_FAILED - PMT_EVENT_REJOIN_BEGUN] = "rejoin-failed",
		[PMT_EVENT_SET_REFUSED - PMT_EVENT_REJOIN_BEGUN] = "set-refused",
		[PMT_EVENT_BAD_BLOCK - PMT_EVENT_REJOIN_BEGUN] = "bad-block",
		[PMT_EVENT_DIFFERENCE - PMT_EVENT_REJOIN_BEGUN] = "difference",
	};

	return NAME_OF(names, event - PMT_EVENT_REJOIN_BEGUN);
}

const char *pmt_event_name(enum pmt_event event)
{
	static const char *const names[] = {
		[PMT_EVENT_UNIT_ADDED] = "unit-added",
		[PMT_EVENT_UNIT_REMOVED] = "unit-removed",
		[PMT_EVENT_SERVER_ATTACHED] = "server-attached",
		[PMT_EVENT_SERVER_LOST] = "server-lost",
		[PMT_EVENT_MEDIUM_LOADED] = "medium-loaded",
		[PMT_EVENT_MEDIUM_UNLOADED] = "medium-unloaded",
		[PMT_EVENT_EARLY_WARNING] = "early-warning",
		[PMT_EVENT_ERROR] = "error",
		[PMT_EVENT_BROKEN] = "broken",
		[PMT_EVENT_ABORTED] = "aborted",
		[PMT_EVENT_COPY_FAILED] = "copy-failed",
		[PMT_EVENT_COPY_REJOINED] = "copy-rejoined",
	};

	if ((unsigned int)event >= PMT_EVENT_REJOIN_BEGUN)
		return library_event_name(event);
	return NAME_OF(names, event);
}

const char *pmt_eot_name(enum pmt_eot eot)
{
	return NAME_OF(eot_names, eot);
}

/*
 * Text to units and their configuration, for every program the same.
 */
static int parse_digits(const char **text, uint64_t *value)
{
	const char *p = *text;

	*value = 0;
	if (!isdigit((unsigned char)*p))
		return -EINVAL;
	for (; isdigit((unsigned char)*p); p++)
		if (__builtin_mul_overflow(*value, 10, value) ||
		    __builtin_add_overflow(*value, (uint64_t)(*p - '0'), value))
			return -ERANGE;
	*text = p;
	return 0;
}

int pmt_unit_parse(const char *text, uint32_t *unit)
{
	static const char *const nodes[] = { "npmtm", "pmtm", "pmts", "" };
	_cleanup_free_ char *path = strchr(text, '/') ? realpath(text, NULL) : NULL;
	const char *slash = strrchr(path ? path : text, '/');
	const char *name = slash ? slash + 1 : text;
	uint64_t value;

	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		const char *p = name + strlen(nodes[i]);

		if (strncmp(name, nodes[i], strlen(nodes[i])) || (slash && !nodes[i][0]))
			continue;
		if (parse_digits(&p, &value) == 0 && !*p && value < PMT_ANY_UNIT) {
			*unit = value;
			return 0;
		}
	}
	pmt_log(LOG_ERR, "%s: no unit is called so: a number, or pmtmN, npmtmN, pmtsN", text);
	return -EINVAL;
}

static int parse_ring(struct pmt_unit_config *config, const char *text)
{
	static const char suffixes[] = "KMG";
	const char *suffix;
	uint64_t value;

	if (parse_digits(&text, &value) < 0)
		return -EINVAL;
	suffix = *text ? strchr(suffixes, toupper((unsigned char)*text)) : NULL;
	if (*text && (!suffix || text[1]))
		return -EINVAL;
	for (int i = suffix ? suffix - suffixes + 1 : 0; i > 0; i--)
		if (__builtin_mul_overflow(value, 1024, &value))
			return -ERANGE;
	if (value < PMT_DATA_SIZE_MIN || value > PMT_DATA_SIZE_MAX || value & (value - 1))
		return -ERANGE;
	config->data_size = value;
	return 0;
}

static int parse_recovery(struct pmt_unit_config *config, const char *text)
{
	uint64_t seconds, ms = 0;

	if (!strcmp(text, "forever")) {
		config->recovery = PMT_RECOVERY_FOREVER;
		config->set_recovery = true;
		return 0;
	}
	if (parse_digits(&text, &seconds) < 0)
		return -EINVAL;
	if (*text == '.' && isdigit((unsigned char)text[1])) {
		text++;
		for (unsigned int unit = 100; isdigit((unsigned char)*text); text++, unit /= 10)
			ms += unit * (*text - '0');
	}
	if (*text)
		return -EINVAL;
	if (seconds >= PMT_RECOVERY_FOREVER / 1000)
		return -ERANGE;
	config->recovery = seconds * 1000 + ms;
	config->set_recovery = true;
	return 0;
}

static int parse_eot(struct pmt_unit_config *config, const char *text)
{
	for (size_t i = 0; i < sizeof(eot_names) / sizeof(eot_names[0]); i++)
		if (!strcmp(text, eot_names[i])) {
			config->eot = i;
			config->set_eot = true;
			return 0;
		}
	return -EINVAL;
}

int pmt_unit_config_parse(struct pmt_unit_config *config, const char *key,
			  const char *value)
{
	static const struct {
		const char *key, *wanted;
		int (*parse)(struct pmt_unit_config *, const char *);
	} keys[] = {
		{ "ring", "a power of two from 1M to 1G", parse_ring },
		{ "recovery", "seconds, or forever", parse_recovery },
		{ "eot", "st or hold", parse_eot },
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		int err;

		if (strcmp(key, keys[i].key))
			continue;
		err = keys[i].parse(config, value);
		if (err < 0)
			pmt_log(LOG_ERR, "%s %s: wanted is %s", key, value, keys[i].wanted);
		return err;
	}
	return -ENOENT;
}
