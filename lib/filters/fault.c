// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * fault: commands that fail, for tests.  Of the commands op=NAME (any) at=LBN
 * (anywhere), after=K of them (0) have passed, the next count=N (1; 0 all) meet
 * error=NAME: a sense key's, "stuck" (never answered), "exit" or "kill" (the end
 * of this process).  when=before: nothing is executed; when=after: executed
 * first.  Several can stand in a row.
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

struct fault {
	struct pmt_drive drive;
	char op[16];
	uint64_t at, count, after;	/* still to pass, still to fail */
	bool forever, behind;
	const struct error *error;
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

static int fault_open(struct pmt_drive *drive, const struct pmt_spec *spec)
{
	struct fault *fault = (struct fault *)drive;
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
	if (!matches(fault, cmd))
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
	if (fault->behind)
		req->result.place = place;
}

static void fault_execute(struct pmt_drive *drive, struct pmt_request *req)
{
	struct fault *fault = (struct fault *)drive;
	bool due = is_due(fault, &req->cmd);

	if (!due || fault->behind)
		pmt_drive_execute(drive->child, req);
	if (due)
		strike(fault, req);
}

const struct pmt_drive_ops pmt_fault_drive = {
	.name = "fault",
	.size = sizeof(struct fault),
	.open = fault_open,
	.execute = fault_execute,
};
