// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * fault: commands that fail, and a drive that is handled by control, for tests.
 *
 * By options: of the commands op=NAME (any) at=LBN (anywhere), after=K of them
 * (0) have passed, the next count=N (1; 0 all) meet error=NAME: a sense key's,
 * "stuck" (never answered), "exit" or "kill" (the end of this process).
 * when=before: nothing is executed; when=after: executed first.  Several can
 * stand in a row.  Without any option nothing fails by itself.
 *
 * By control: the cartridge goes out, comes in again, is a blank one, is write
 * protected; commands of a SCSI operation code get some sense; UNIT ATTENTION;
 * a drive that becomes ready, or is slow.  The order in which a command meets
 * these is that of a SCSI drive: attention, failure, readiness, medium,
 * protection; then the options.  A command that is refused is not executed, and
 * does not count for the options.
 *
 * Orders are given by any thread, under fault->lock, which is not held while
 * the child executes or the drive is slow.  What an order wants done to the
 * child is done by the executing thread before its next command.  All else is
 * the executing thread's.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <syslog.h>

#include "internal.h"

enum action { SENSE, STUCK, EXIT, KILL };

static const struct error {
	const char *name;
	enum action action;
	uint8_t key, asc, ascq, sense;
} errors[] = {
	{ "medium", SENSE, PMT_KEY_MEDIUM, 0x0c, 0x00, 0 },
	{ "hardware", SENSE, PMT_KEY_HARDWARE, 0x44, 0x00, 0 },
	{ "notready", SENSE, PMT_KEY_NOT_READY, 0x3a, 0x00, 0 },
	{ "protect", SENSE, PMT_KEY_PROTECT, 0x27, 0x00, 0 },
	{ "aborted", SENSE, PMT_KEY_ABORTED, 0x3b, 0x00, 0 },
	{ "attention", SENSE, PMT_KEY_ATTENTION, 0x28, 0x00, 0 },
	{ "overflow", SENSE, PMT_KEY_OVERFLOW, 0x00, 0x02, PMT_SENSE_EOM },
	{ "enospc", SENSE, PMT_KEY_OVERFLOW, 0x00, 0x02, PMT_SENSE_EOM },
	{ "stuck", STUCK, 0, 0, 0, 0 },
	{ "exit", EXIT, 0, 0, 0, 0 },
	{ "kill", KILL, 0, 0, 0, 0 },
};

/* SCSI operation codes; MODE is two, see opcode_of(). */
enum { OPCODE_MODE = 0x15, OPCODE_LOCK = 0x1e };

static const struct {
	uint8_t opcode;
	uint16_t op;
} opcodes[] = {
	{ 0x00, PMT_OP_TEST },
	{ 0x01, PMT_OP_REWIND },
	{ 0x04, PMT_OP_FORMAT },
	{ 0x08, PMT_OP_READ },
	{ 0x0a, PMT_OP_WRITE },
	{ 0x10, PMT_OP_WRITE_FILEMARKS },
	{ 0x11, PMT_OP_SPACE },
	{ OPCODE_MODE, PMT_OP_MODE },
	{ 0x19, PMT_OP_ERASE },
	{ 0x1b, PMT_OP_LOAD },
	{ 0x1b, PMT_OP_UNLOAD },
	{ OPCODE_LOCK, PMT_OP_MODE },
	{ 0x2b, PMT_OP_LOCATE },
};
#define N_OPCODES (sizeof(opcodes) / sizeof(opcodes[0]))

struct orders {
	bool blank, insert;		/* to be done to the child */
	bool ejected, protected;
	bool attention;
	uint8_t asc, ascq;		/* of the attention */
	uint64_t notready;		/* TESTs */
	uint64_t delay;			/* ms */
	struct {
		uint64_t count;		/* still to fail */
		uint8_t opcode, key, asc, ascq, sense;
	} failure;
};

struct fault {
	struct pmt_drive drive;
	char op[16];
	uint64_t at, count, after;	/* still to pass, still to fail */
	bool forever, behind;
	const struct error *error;	/* NULL: no options */
	uint32_t cookie;		/* of the child's last result */
	bool locked;			/* the door, as the last MODE said */
	bool single;			/* the medium is known to have one partition */
	bool moved;			/* by an order; the next attention tells where to */
	pthread_mutex_t lock;
	struct orders orders;
};

static int take_error(struct fault *fault, const struct pmt_spec *spec)
{
	const char *name = "";

	pmt_spec_string(spec, "error", &name);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (strcmp(errors[i].name, name) == 0)
			fault->error = &errors[i];
	if (fault->error)
		return 0;
	return pmt_spec_refuse(spec, "error", "medium, hardware, notready, protect, "
					      "aborted, attention, overflow, enospc, "
					      "stuck, exit or kill");
}

static int take_numbers(struct fault *fault, const struct pmt_spec *spec)
{
	int rc = pmt_spec_number(spec, "at", 0, INT64_MAX, &fault->at);

	if (rc == 0 || rc == -ENOENT)
		rc = pmt_spec_number(spec, "count", 0, INT64_MAX, &fault->count);
	if (rc == 0 || rc == -ENOENT)
		rc = pmt_spec_number(spec, "after", 0, INT64_MAX, &fault->after);
	fault->forever = fault->count == 0;
	return rc == -ENOENT ? 0 : rc;
}

static int take_options(struct fault *fault, const struct pmt_spec *spec)
{
	const char *op = "any", *when = "before";
	int rc;

	fault->at = PMT_UNKNOWN;
	fault->count = 1;
	pmt_spec_string(spec, "op", &op);
	if (strcmp(op, "any") && !pmt_op_known(op))
		return pmt_spec_refuse(spec, "op", "any or a command's name");
	strncpy(fault->op, op, sizeof(fault->op) - 1);
	pmt_spec_string(spec, "when", &when);
	if (strcmp(when, "before") && strcmp(when, "after"))
		return pmt_spec_refuse(spec, "when", "before or after");
	fault->behind = strcmp(when, "after") == 0;
	rc = take_error(fault, spec);
	if (rc == 0)
		rc = take_numbers(fault, spec);
	return rc ? rc : pmt_spec_unused(spec);
}

static int fault_open(struct pmt_drive *drive, const struct pmt_spec *spec)
{
	struct fault *fault = (struct fault *)drive;
	int rc = spec->n_options ? take_options(fault, spec) : 0;

	return rc ? rc : -pthread_mutex_init(&fault->lock, NULL);
}

static void fault_close(struct pmt_drive *drive)
{
	pthread_mutex_destroy(&((struct fault *)drive)->lock);
}

static int fault_attach(struct pmt_drive *drive, const struct pmt_session *session)
{
	struct fault *fault = (struct fault *)drive;

	fault->cookie = session->cookie;
	fault->locked = session->modes.locked;
	fault->single = false;
	return 0;
}

/* By options */

static bool matches(const struct fault *fault, const struct pmt_command *cmd)
{
	uint64_t lbn = cmd->place.lbn, n = 1;

	if (strcmp(fault->op, "any") && strcmp(fault->op, pmt_op_name(cmd->op)))
		return false;
	if (fault->at == PMT_UNKNOWN)
		return true;
	if (cmd->op == PMT_OP_READ || cmd->op == PMT_OP_WRITE)
		n = pmt_command_records(cmd);
	return lbn != PMT_UNKNOWN && fault->at >= lbn && fault->at - lbn < n;
}

static bool is_due(struct fault *fault, const struct pmt_command *cmd)
{
	if (!fault->error || !matches(fault, cmd))
		return false;
	if (fault->after) {
		fault->after--;
		return false;
	}
	if (fault->forever)
		return true;
	if (!fault->count)
		return false;
	fault->count--;
	return true;
}

static void strike(struct fault *fault, struct pmt_request *req)
{
	const struct error *error = fault->error;
	struct pmt_place place = req->result.place;

	switch (error->action) {
	case STUCK:
		for (;;)
			pause();
	case EXIT:
		_exit(1);
	case KILL:
		raise(SIGKILL);
		break;
	case SENSE:
		break;
	}
	pmt_result_check(req, error->key, error->asc, error->ascq);
	req->result.sense = error->sense;
	req->result.cookie = fault->cookie;
	if (fault->behind)
		req->result.place = place;
}

/* The child */

static bool child_does(struct fault *fault, struct pmt_request *req)
{
	pmt_drive_execute(fault->drive.child, req);
	if (req->result.status != PMT_STATUS_CANCELLED)
		fault->cookie = req->result.cookie;
	return req->result.status == PMT_STATUS_GOOD;
}

static struct pmt_result ask_child(struct fault *fault)
{
	struct pmt_request test = { .cmd = { .op = PMT_OP_TEST } };

	test.cmd.place.lbn = test.cmd.place.file = test.cmd.place.block = PMT_UNKNOWN;
	child_does(fault, &test);
	return test.result;
}

static bool order_child(struct fault *fault, struct pmt_command cmd,
			struct pmt_place *place)
{
	struct pmt_request req = { .cmd = cmd };

	req.cmd.place = *place;
	if (!child_does(fault, &req))
		return false;
	*place = req.result.place;
	return true;
}

/* To the beginning of its medium, which is loaded for that. */
static bool to_beginning(struct fault *fault, struct pmt_place *place)
{
	struct pmt_result state = ask_child(fault);
	bool there = state.status == PMT_STATUS_GOOD &&
		     (state.medium_flags & PMT_MEDIUM_PRESENT);
	struct pmt_command cmd = { .op = there ? PMT_OP_REWIND : PMT_OP_LOAD };

	*place = (struct pmt_place){ .generation = state.place.generation };
	if (order_child(fault, cmd, place))
		return true;
	pmt_log(LOG_ERR, "%s: the child has no medium to go to the beginning of",
		fault->drive.text);
	return false;
}

/* Only asking for the second partition tells whether there is one. */
static bool make_single(struct fault *fault, struct pmt_place *place)
{
	struct pmt_command second = { .op = PMT_OP_LOCATE, .argument = 1 };
	struct pmt_command format = { .op = PMT_OP_FORMAT, .argument = 1 };
	struct pmt_place there = *place;

	if (!fault->single && order_child(fault, second, &there) &&
	    !order_child(fault, format, place))
		return false;
	fault->single = true;
	return true;
}

static void wipe(struct fault *fault)
{
	struct pmt_command erase = { .op = PMT_OP_ERASE, .flags = PMT_CMD_POSITIONED };
	struct pmt_place place;

	if (to_beginning(fault, &place) &&
	    !(make_single(fault, &place) && order_child(fault, erase, &place)))
		pmt_log(LOG_ERR, "%s: the medium can not be made blank",
			fault->drive.text);
}

/* Lock held, and left meanwhile. */
static void carry_out(struct fault *fault)
{
	struct pmt_place place;

	while (fault->orders.blank || fault->orders.insert) {
		bool blank = fault->orders.blank;

		fault->orders.blank = fault->orders.insert = false;
		pthread_mutex_unlock(&fault->lock);
		if (blank)
			wipe(fault);
		else
			to_beginning(fault, &place);
		fault->moved = true;
		pthread_mutex_lock(&fault->lock);
	}
}

/* By control */

enum verdict { PASSES, ATTENTION, FAILS, NOT_YET, NO_MEDIUM, PROTECTED };

/* -1: a command of the library's own. */
static int opcode_of(const struct fault *fault, const struct pmt_command *cmd)
{
	if (cmd->op == PMT_OP_MODE)
		return cmd->modes.locked != fault->locked ? OPCODE_LOCK : OPCODE_MODE;
	for (size_t i = 0; i < N_OPCODES; i++)
		if (opcodes[i].op == cmd->op)
			return opcodes[i].opcode;
	return -1;
}

static bool writes(const struct pmt_command *cmd)
{
	return cmd->op == PMT_OP_WRITE || cmd->op == PMT_OP_ERASE ||
	       cmd->op == PMT_OP_FORMAT || cmd->op == PMT_OP_CUT ||
	       (cmd->op == PMT_OP_WRITE_FILEMARKS && cmd->count > 0);
}

/* What a command uses up is used up.  Lock held. */
/* A failure that is recovered stops nothing. */
static enum verdict judge(struct fault *fault, const struct pmt_command *cmd,
			  bool *recovered)
{
	struct orders *orders = &fault->orders;

	if (orders->attention) {
		orders->attention = false;
		return ATTENTION;
	}
	if (orders->failure.count && orders->failure.opcode == opcode_of(fault, cmd)) {
		orders->failure.count--;
		*recovered = orders->failure.key == PMT_KEY_RECOVERED;
		if (!*recovered)
			return FAILS;
	}
	if (orders->notready && cmd->op == PMT_OP_TEST) {
		orders->notready--;
		return NOT_YET;
	}
	if (orders->ejected && cmd->op != PMT_OP_MODE)
		return NO_MEDIUM;
	return orders->protected && writes(cmd) ? PROTECTED : PASSES;
}

static struct pmt_place where(struct fault *fault, const struct orders *orders,
			      bool known)
{
	struct pmt_place place = ask_child(fault).place;

	if (orders->ejected || !known)
		place.lbn = place.file = place.block = PMT_UNKNOWN;
	return place;
}

/*
 * A refusal of the filter's own has no information field: for motion and marks
 * that is 0 units not done, as st reads it.
 */
static void refuse(struct fault *fault, struct pmt_request *req, uint8_t key,
		   uint8_t asc, uint8_t ascq)
{
	pmt_result_check(req, key, asc, ascq);
	req->result.cookie = fault->cookie;
	if (req->cmd.op == PMT_OP_SPACE || req->cmd.op == PMT_OP_WRITE_FILEMARKS)
		req->result.residue = 0;
}

/* In the failure's own words. */
static void fail(struct fault *fault, struct pmt_request *req, const struct orders *orders)
{
	refuse(fault, req, orders->failure.key, orders->failure.asc,
	       orders->failure.ascq);
	req->result.sense = orders->failure.sense;
}

/* What is recovered is no exception: it is done, and told. */
static void recover(struct pmt_request *req, const struct orders *orders)
{
	if (req->result.status != PMT_STATUS_GOOD || req->result.key)
		return;
	req->result.key = PMT_KEY_RECOVERED;
	req->result.sense |= orders->failure.sense & PMT_SENSE_EOM;
	req->result.asc = orders->failure.asc;
	req->result.ascq = orders->failure.ascq;
}

static void answer(struct fault *fault, struct pmt_request *req, enum verdict verdict,
		   const struct orders *orders)
{
	switch (verdict) {
	case ATTENTION:
		refuse(fault, req, PMT_KEY_ATTENTION, orders->asc, orders->ascq);
		if (fault->moved)
			req->result.place = where(fault, orders, true);
		fault->moved = false;
		break;
	case FAILS:
		fail(fault, req, orders);
		break;
	case NOT_YET:
		refuse(fault, req, PMT_KEY_NOT_READY, 0x04, 0x01);
		req->result.place = where(fault, orders, false);
		break;
	case NO_MEDIUM:
		refuse(fault, req, PMT_KEY_NOT_READY, 0x3a, 0x00);
		if (req->cmd.op == PMT_OP_UNLOAD)
			pmt_result_good(req);
		req->result.place = where(fault, orders, false);
		req->result.cookie = fault->cookie;
		break;
	case PROTECTED:
		refuse(fault, req, PMT_KEY_PROTECT, 0x27, 0x00);
		break;
	case PASSES:
		break;
	}
	if ((verdict == FAILS || verdict == PROTECTED || verdict == ATTENTION) &&
	    (req->cmd.flags & PMT_CMD_HERE))
		req->result.place = where(fault, orders, true);
}

static void learn(struct fault *fault, struct pmt_request *req, const struct orders *orders)
{
	uint16_t op = req->cmd.op;

	if (req->result.status != PMT_STATUS_GOOD)
		return;
	if (op == PMT_OP_MODE)
		fault->locked = req->cmd.modes.locked;
	if (op == PMT_OP_LOAD || op == PMT_OP_UNLOAD || op == PMT_OP_FORMAT)
		fault->single = false;
	if (orders->protected && (op == PMT_OP_TEST || op == PMT_OP_LOAD))
		req->result.medium_flags |= PMT_MEDIUM_PROTECTED;
}

static void fault_execute(struct pmt_drive *drive, struct pmt_request *req)
{
	struct fault *fault = (struct fault *)drive;
	enum verdict verdict;
	struct orders orders;
	bool due, recovered = false;

	pthread_mutex_lock(&fault->lock);
	orders = fault->orders;
	pthread_mutex_unlock(&fault->lock);
	pmt_delay(orders.delay);
	pthread_mutex_lock(&fault->lock);
	carry_out(fault);
	verdict = judge(fault, &req->cmd, &recovered);
	orders = fault->orders;
	pthread_mutex_unlock(&fault->lock);
	if (verdict != PASSES) {
		answer(fault, req, verdict, &orders);
		return;
	}
	due = is_due(fault, &req->cmd);
	if (!due || fault->behind) {
		child_does(fault, req);
		learn(fault, req, &orders);
	}
	if (recovered)
		recover(req, &orders);
	if (due)
		strike(fault, req);
}

/* Orders */

static int take_blank(struct pmt_drive *drive, const uint64_t *values, char **error)
{
	struct fault *fault = (struct fault *)drive;

	(void)values;
	(void)error;
	pthread_mutex_lock(&fault->lock);
	fault->orders = (struct orders){ .blank = true, .attention = true, .asc = 0x28 };
	pthread_mutex_unlock(&fault->lock);
	return 0;
}

static int take_eject(struct pmt_drive *drive, const uint64_t *values, char **error)
{
	struct fault *fault = (struct fault *)drive;

	(void)values;
	(void)error;
	pthread_mutex_lock(&fault->lock);
	fault->orders.ejected = true;
	pthread_mutex_unlock(&fault->lock);
	return 0;
}

/* Lock held. */
static void raise_attention(struct fault *fault, uint8_t asc, uint8_t ascq)
{
	fault->orders.attention = true;
	fault->orders.asc = asc;
	fault->orders.ascq = ascq;
}

static int take_insert(struct pmt_drive *drive, const uint64_t *values, char **error)
{
	struct fault *fault = (struct fault *)drive;

	(void)values;
	(void)error;
	pthread_mutex_lock(&fault->lock);
	fault->orders.ejected = false;
	fault->orders.insert = true;
	raise_attention(fault, 0x28, 0x00);
	pthread_mutex_unlock(&fault->lock);
	return 0;
}

static int take_wp(struct pmt_drive *drive, const uint64_t *values, char **error)
{
	struct fault *fault = (struct fault *)drive;

	(void)error;
	pthread_mutex_lock(&fault->lock);
	fault->orders.protected = values[0];
	pthread_mutex_unlock(&fault->lock);
	return 0;
}

static int take_ua(struct pmt_drive *drive, const uint64_t *values, char **error)
{
	struct fault *fault = (struct fault *)drive;

	(void)error;
	pthread_mutex_lock(&fault->lock);
	raise_attention(fault, (uint8_t)values[0], (uint8_t)values[1]);
	pthread_mutex_unlock(&fault->lock);
	return 0;
}

static uint8_t sense_flags(uint64_t flags)
{
	return (flags & 0x80 ? PMT_SENSE_FILEMARK : 0) |
	       (flags & 0x40 ? PMT_SENSE_EOM : 0) | (flags & 0x20 ? PMT_SENSE_ILI : 0);
}

static int take_fail(struct pmt_drive *drive, const uint64_t *values, char **error)
{
	struct fault *fault = (struct fault *)drive;
	size_t i = 0;

	while (i < N_OPCODES && opcodes[i].opcode != values[0])
		i++;
	if (i == N_OPCODES)
		return pmt_line_refuse(error, -ENOTSUP,
				       "pmt has no command of operation code %02x",
				       (unsigned int)values[0]);
	if (values[2] & 0x1f)
		return pmt_line_refuse(error, -EINVAL, "FLAGS are of 80, 40 and 20");
	pthread_mutex_lock(&fault->lock);
	fault->orders.failure.opcode = (uint8_t)values[0];
	fault->orders.failure.key = (uint8_t)values[1];
	fault->orders.failure.sense = sense_flags(values[2]);
	fault->orders.failure.asc = (uint8_t)values[3];
	fault->orders.failure.ascq = (uint8_t)values[4];
	fault->orders.failure.count = values[5];
	pthread_mutex_unlock(&fault->lock);
	return 0;
}

/* A command of pmt has the sense of its own alone. */
static int take_defer(struct pmt_drive *drive, const uint64_t *values, char **error)
{
	const uint64_t fails[] = { values[0], values[1], 0, values[2], values[3], values[4] };

	return take_fail(drive, fails, error);
}

static int take_notready(struct pmt_drive *drive, const uint64_t *values, char **error)
{
	struct fault *fault = (struct fault *)drive;

	(void)error;
	pthread_mutex_lock(&fault->lock);
	fault->orders.notready = values[0];
	pthread_mutex_unlock(&fault->lock);
	return 0;
}

static int take_delay(struct pmt_drive *drive, const uint64_t *values, char **error)
{
	struct fault *fault = (struct fault *)drive;

	(void)error;
	pthread_mutex_lock(&fault->lock);
	fault->orders.delay = values[0];
	pthread_mutex_unlock(&fault->lock);
	return 0;
}

static int take_none(struct pmt_drive *drive, const uint64_t *values, char **error)
{
	(void)drive;
	(void)values;
	return pmt_line_refuse(error, -ENOTSUP, "a result of pmt does not have that choice");
}

static int fault_control(struct pmt_drive *drive, const char *line, char **error)
{
	static const struct pmt_verb verbs[] = {
		{ "blank", "", take_blank },
		{ "eject", "", take_eject },
		{ "insert", "", take_insert },
		{ "wp", "0|1", take_wp },
		{ "ua", "AS AQ", take_ua },
		{ "fail", "OP KEY FLAGS AS AQ N", take_fail },
		{ "defer", "OP KEY AS AQ N", take_defer },
		{ "notready", "N", take_notready },
		{ "delay", "MS", take_delay },
		{ "ewvalid", "0|1", take_none },
		{ "eodeom", "0|1", take_none },
		{ NULL, NULL, NULL },
	};

	return pmt_line_take(line, verbs, drive, error);
}

const struct pmt_drive_ops pmt_fault_drive = {
	.name = "fault",
	.size = sizeof(struct fault),
	.open = fault_open,
	.close = fault_close,
	.attach = fault_attach,
	.execute = fault_execute,
	.control = fault_control,
	.transparent = true,
};
