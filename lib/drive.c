// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Drives: the table of kinds, the tree that a specification makes, and what all
 * of them share: results, places and costs.
 *
 * A drive owns its child (of a filter) and its text; what it opened belongs to
 * its ops.  The tree is opened from the leaves up and closed from the root
 * down, attached from the leaves up and detached from the root down.  One thread
 * at a time uses a drive, but status() and control() may be called from any.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "internal.h"

static const struct kind {
	const struct pmt_drive_ops *ops;
	enum pmt_form form;
} kinds[] = {
	{ &pmt_image_drive, PMT_FORM_LEAF },
	{ &pmt_null_drive, PMT_FORM_LEAF },
	{ &pmt_st_drive, PMT_FORM_LEAF },
	{ &pmt_rmt_drive, PMT_FORM_LEAF },
	{ &pmt_exec_drive, PMT_FORM_LEAF },
	{ &pmt_mirror_drive, PMT_FORM_MIRROR },
	{ &pmt_limit_drive, PMT_FORM_FILTER },
	{ &pmt_fault_drive, PMT_FORM_FILTER },
	{ &pmt_delay_drive, PMT_FORM_FILTER },
	{ &pmt_zstd_drive, PMT_FORM_FILTER },
	{ &pmt_aead_drive, PMT_FORM_FILTER },
};

static struct kind added = { NULL, PMT_FORM_LEAF };

void pmt_drive_add_kind(const struct pmt_drive_ops *ops)
{
	added.ops = ops;
}

static const struct kind *find_kind(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].ops->name, name) == 0)
			return &kinds[i];
	return added.ops && strcmp(added.ops->name, name) == 0 ? &added : NULL;
}

enum pmt_form pmt_drive_form(const char *name)
{
	const struct kind *kind = find_kind(name);

	return kind ? kind->form : PMT_FORM_NONE;
}

static void free_drive(struct pmt_drive *drive)
{
	free(drive->text);
	free(drive);
}

static int new_drive(struct pmt_drive **out, const struct pmt_drive_ops *ops,
		     const char *text)
{
	struct pmt_drive *drive = calloc(1, ops->size);

	if (!drive)
		return -ENOMEM;
	drive->ops = ops;
	drive->text = strdup(text);
	if (!drive->text) {
		free(drive);
		return -ENOMEM;
	}
	*out = drive;
	return 0;
}

int pmt_drive_open_spec(struct pmt_drive **out, const struct pmt_spec *spec)
{
	const struct kind *kind = find_kind(spec->kind);
	struct pmt_drive *drive;
	int rc;

	if (!kind)
		return -EINVAL;
	rc = kind->ops->check ? kind->ops->check(spec) : 0;
	if (rc == 0)
		rc = new_drive(&drive, kind->ops, spec->text);
	if (rc)
		return rc;
	if (kind->form == PMT_FORM_FILTER)
		rc = pmt_drive_open_spec(&drive->child, spec->children[0]);
	if (rc == 0)
		rc = kind->ops->open(drive, spec);
	if (rc) {
		if (drive->child)
			pmt_drive_close(drive->child);
		free_drive(drive);
		return rc;
	}
	rc = pmt_spec_unused(spec);
	if (rc) {
		pmt_drive_close(drive);
		return rc;
	}
	*out = drive;
	return 0;
}

void pmt_drive_close(struct pmt_drive *drive)
{
	if (!drive)
		return;
	if (drive->ops->close)
		drive->ops->close(drive);
	pmt_drive_close(drive->child);
	free_drive(drive);
}

static void set_opener(struct pmt_spec *spec, const struct pmt_keeper *keeper, char **error)
{
	spec->keeper = keeper;
	spec->error = error;
	for (size_t i = 0; i < spec->n_children; i++)
		set_opener(spec->children[i], keeper, error);
}

static int open_and_free_spec(struct pmt_drive **drive, struct pmt_spec *spec,
			      const struct pmt_keeper *keeper, char **error)
{
	int rc;

	set_opener(spec, keeper, error);
	rc = pmt_drive_open_spec(drive, spec);
	pmt_spec_free(spec);
	return rc;
}

int pmt_drive_open_kept(struct pmt_drive **drive, const char *text,
			const struct pmt_keeper *keeper, char **error)
{
	struct pmt_spec *spec;
	int rc;

	*error = NULL;
	rc = pmt_spec_parse(text, &spec, error);
	return rc ? rc : open_and_free_spec(drive, spec, keeper, error);
}

int pmt_drive_open(struct pmt_drive **drive, const char *text, char **error)
{
	return pmt_drive_open_kept(drive, text, NULL, error);
}

const char *pmt_drive_text(const struct pmt_drive *drive)
{
	return drive->text;
}

/* What is read only is not to be changed by opening it.  Its text stays as it is. */
static int make_read_only(struct pmt_spec *spec, char **error)
{
	size_t length = strlen(spec->text);
	int rc = 0;

	for (size_t i = 0; !rc && i < spec->n_children; i++)
		rc = make_read_only(spec->children[i], error);
	for (size_t i = 0; i < spec->n_options; i++)
		if (!strcmp(spec->options[i].key, "readonly"))
			return rc;
	if (!rc && !strcmp(spec->kind, pmt_image_drive.name))
		rc = pmt_spec_options(spec, "readonly=yes", error);
	spec->text[length] = '\0';
	return rc;
}

int pmt_drive_open_source(struct pmt_drive **drive, const char *text, char **error)
{
	struct pmt_spec *spec;
	int rc;

	*error = NULL;
	rc = pmt_spec_parse(text, &spec, error);
	if (rc)
		return rc;
	rc = make_read_only(spec, error);
	if (rc) {
		pmt_spec_free(spec);
		return rc;
	}
	return open_and_free_spec(drive, spec, NULL, error);
}

/* Say which of several specifications is meant. */
static void name_copy(char **error, size_t n)
{
	char *text;

	if (*error && asprintf(&text, "drive %zu: %s", n, *error) >= 0) {
		free(*error);
		*error = text;
	}
}

static int parse_copies(struct pmt_spec **children, const char *const *specs,
			size_t n, char **error)
{
	for (size_t i = 0; i < n; i++) {
		int rc = pmt_spec_parse(specs[i], &children[i], error);

		if (rc) {
			name_copy(error, i + 1);
			return rc;
		}
	}
	return 0;
}

int pmt_mirror_open_kept(struct pmt_drive **drive, const char *const *specs, size_t n,
			 const char *options, const struct pmt_keeper *keeper,
			 char **error)
{
	struct pmt_spec **children = calloc(n + 1, sizeof(struct pmt_spec *));
	struct pmt_spec *spec = NULL;
	int rc = -ENOMEM;

	*error = NULL;
	if (children)
		rc = parse_copies(children, specs, n, error);
	if (rc == 0) {
		spec = pmt_spec_mirror(children, n);
		rc = spec ? 0 : n ? -ENOMEM : -EINVAL;
	}
	if (rc) {
		for (size_t i = 0; children && i < n; i++)
			pmt_spec_free(children[i]);
		free(children);
		return rc;
	}
	free(children);
	rc = options ? pmt_spec_options(spec, options, error) : 0;
	if (rc) {
		pmt_spec_free(spec);
		return rc;
	}
	return open_and_free_spec(drive, spec, keeper, error);
}

int pmt_mirror_open(struct pmt_drive **drive, const char *const *specs, size_t n,
		    const char *options, char **error)
{
	return pmt_mirror_open_kept(drive, specs, n, options, NULL, error);
}

int pmt_drive_attach(struct pmt_drive *drive, const struct pmt_session *session)
{
	const struct pmt_session *below = session;
	int rc = 0;

	drive->session = session;
	if (drive->ops->session)
		below = drive->ops->session(drive, session);
	if (drive->child)
		rc = pmt_drive_attach(drive->child, below);
	if (rc) {
		drive->session = NULL;
		return rc;
	}
	if (drive->ops->attach)
		rc = drive->ops->attach(drive, session);
	if (rc) {
		drive->session = NULL;
		if (drive->child)
			pmt_drive_detach(drive->child);
	}
	return rc;
}

void pmt_drive_detach(struct pmt_drive *drive)
{
	if (drive->ops->detach)
		drive->ops->detach(drive);
	drive->session = NULL;
	if (drive->child)
		pmt_drive_detach(drive->child);
}

/* One request to a drive that has submit() only. */
struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
};

static void wake_waiter(struct pmt_request *req)
{
	struct waiter *waiter = req->context;

	pthread_mutex_lock(&waiter->lock);
	waiter->done = true;
	pthread_cond_signal(&waiter->cond);
	pthread_mutex_unlock(&waiter->lock);
}

static void submit_and_wait(struct pmt_drive *drive, struct pmt_request *req)
{
	struct waiter waiter = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER,
				 false };
	struct pmt_request inner = { .cmd = req->cmd, .data = req->data,
				     .done = wake_waiter, .context = &waiter };

	drive->ops->submit(drive, &inner);
	pthread_mutex_lock(&waiter.lock);
	while (!waiter.done)
		pthread_cond_wait(&waiter.cond, &waiter.lock);
	pthread_mutex_unlock(&waiter.lock);
	req->result = inner.result;
	if (req->result.status == PMT_STATUS_CHECK && drive->ops->resume)
		drive->ops->resume(drive);
	pthread_cond_destroy(&waiter.cond);
	pthread_mutex_destroy(&waiter.lock);
}

void pmt_drive_execute(struct pmt_drive *drive, struct pmt_request *req)
{
	while (!drive->ops->execute && !drive->ops->submit && drive->child)
		drive = drive->child;
	if (drive->ops->execute)
		drive->ops->execute(drive, req);
	else if (drive->ops->submit)
		submit_and_wait(drive, req);
	else
		pmt_result_check(req, PMT_KEY_ILLEGAL, 0x20, 0x00);
}

void pmt_drive_limits(struct pmt_drive *drive, struct pmt_limits *limits)
{
	if (drive->child)
		pmt_drive_limits(drive->child, limits);
	else
		*limits = (struct pmt_limits){ .record_min = 1,
					       .record_max = PMT_RECORD_MAX,
					       .byte_cost = 256,
					       .window = PMT_UNKNOWN };
	if (drive->ops->limits)
		drive->ops->limits(drive, limits);
}

uint64_t pmt_drive_used(struct pmt_drive *drive)
{
	if (drive->ops->used)
		return drive->ops->used(drive);
	return drive->child ? pmt_drive_used(drive->child) : PMT_UNKNOWN;
}

void pmt_drive_status(struct pmt_drive *drive, struct json_object *object)
{
	json_object_object_add(object, "kind", json_object_new_string(drive->ops->name));
	json_object_object_add(object, "spec", json_object_new_string(drive->text));
	if (drive->ops->status)
		drive->ops->status(drive, object);
	if (drive->child) {
		struct json_object *children = json_object_new_array();
		struct json_object *child = json_object_new_object();

		pmt_drive_status(drive->child, child);
		json_object_array_add(children, child);
		json_object_object_add(object, "children", children);
	}
}

int pmt_drive_status_json(struct pmt_drive *drive, char **json)
{
	struct json_object *object = json_object_new_object();

	if (!object)
		return -ENOMEM;
	pmt_drive_status(drive, object);
	*json = strdup(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
							      JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
	return *json ? 0 : -ENOMEM;
}

int pmt_drive_beside(struct pmt_drive *drive, char **spec)
{
	while (drive->child && drive->ops->transparent)
		drive = drive->child;
	return drive->ops->beside ? drive->ops->beside(drive, spec) : -ENOTSUP;
}

int pmt_drive_tell(struct pmt_drive *drive, const char *line, char **error)
{
	int known = -ENOENT;

	for (; drive; drive = drive->child) {
		int rc = -ENOENT;

		if (drive->ops->control)
			rc = drive->ops->control(drive, line, error);
		else if (known && pmt_drive_form(drive->ops->name) == PMT_FORM_MIRROR)
			return pmt_line_refuse(error, -ENOTSUP,
					       "mirror: it does not pass on what control says");
		if (rc == 0)
			known = 0;
		else if (rc != -ENOENT)
			return rc;
	}
	return known;
}

int pmt_drive_control(struct pmt_drive *drive, const char *line, char **error)
{
	const char *verb;
	size_t length = pmt_line_verb(line, &verb);
	int rc;

	*error = NULL;
	if (!length)
		return pmt_line_refuse(error, -EINVAL, "a line is a verb and numbers");
	rc = pmt_drive_tell(drive, line, error);
	if (rc == -ENOENT)
		return pmt_line_refuse(error, -EINVAL, "no drive here knows '%.*s'",
				       length < 40 ? (int)length : 40, verb);
	return rc;
}

uint64_t pmt_cost(const struct pmt_limits *limits, uint64_t bytes, uint64_t records,
		  uint64_t marks)
{
	return (bytes * limits->byte_cost + 255) / 256 + records * limits->record_cost +
	       marks * limits->mark_cost;
}

uint32_t pmt_command_records(const struct pmt_command *cmd)
{
	if (cmd->block_size)
		return cmd->length / cmd->block_size;
	return cmd->length ? 1 : 0;
}

static int64_t whole_residue(const struct pmt_command *cmd)
{
	switch (cmd->op) {
	case PMT_OP_READ:
	case PMT_OP_WRITE:
		return cmd->block_size ? pmt_command_records(cmd) : cmd->length;
	case PMT_OP_WRITE_FILEMARKS:
		return cmd->count;
	case PMT_OP_SPACE:
		if (cmd->argument == PMT_SPACE_EOD)
			return 0;
		return cmd->count < 0 ? -cmd->count : cmd->count;
	default:
		return 0;
	}
}

static void fill(struct pmt_request *req, uint16_t status, int64_t residue,
		 struct pmt_place place)
{
	req->result = (struct pmt_result){ .number = req->cmd.number,
					   .status = status,
					   .residue = residue,
					   .place = place,
					   .room = PMT_UNKNOWN,
					   .eod = PMT_UNKNOWN };
}

void pmt_result_good(struct pmt_request *req)
{
	fill(req, PMT_STATUS_GOOD, 0, pmt_place_after(&req->cmd));
}

void pmt_result_check(struct pmt_request *req, uint8_t key, uint8_t asc, uint8_t ascq)
{
	fill(req, PMT_STATUS_CHECK, whole_residue(&req->cmd), req->cmd.place);
	req->result.key = key;
	req->result.asc = asc;
	req->result.ascq = ascq;
}

void pmt_result_cancelled(struct pmt_request *req)
{
	fill(req, PMT_STATUS_CANCELLED, whole_residue(&req->cmd), req->cmd.place);
}

static void add(__u64 *value, int64_t count)
{
	if (*value == PMT_UNKNOWN)
		return;
	if (count < 0 && *value < (uint64_t)-count)
		*value = PMT_UNKNOWN;
	else
		*value += (uint64_t)count;
}

static struct pmt_place beginning(uint64_t generation, uint32_t partition)
{
	return (struct pmt_place){ .generation = generation, .partition = partition };
}

static struct pmt_place after_space(const struct pmt_command *cmd)
{
	struct pmt_place place = cmd->place;

	if (cmd->argument == PMT_SPACE_RECORDS) {
		add(&place.lbn, cmd->count);
		add(&place.block, cmd->count);
		return place;
	}
	place.lbn = PMT_UNKNOWN;
	place.block = cmd->count > 0 ? 0 : PMT_UNKNOWN;
	if (cmd->argument == PMT_SPACE_FILEMARKS) {
		add(&place.file, cmd->count);
		return cmd->count ? place : cmd->place;
	}
	place.file = place.block = PMT_UNKNOWN;
	return place;
}

static struct pmt_place after_locate(const struct pmt_command *cmd)
{
	struct pmt_place place = beginning(cmd->place.generation, cmd->argument);

	place.lbn = (uint64_t)cmd->count;
	if (place.lbn)
		place.file = place.block = PMT_UNKNOWN;
	return place;
}

struct pmt_place pmt_place_after(const struct pmt_command *cmd)
{
	struct pmt_place place = cmd->place;

	switch (cmd->op) {
	case PMT_OP_READ:
	case PMT_OP_WRITE:
		add(&place.lbn, pmt_command_records(cmd));
		add(&place.block, pmt_command_records(cmd));
		return place;
	case PMT_OP_WRITE_FILEMARKS:
		add(&place.lbn, cmd->count);
		add(&place.file, cmd->count);
		if (cmd->count)
			place.block = 0;
		return place;
	case PMT_OP_SPACE:
		return after_space(cmd);
	case PMT_OP_LOCATE:
		return after_locate(cmd);
	case PMT_OP_REWIND:
		return beginning(place.generation, place.partition);
	case PMT_OP_LOAD:
	case PMT_OP_UNLOAD:
	case PMT_OP_FORMAT:
		return beginning(place.generation + 1, 0);
	default:
		return place;
	}
}

static bool known(uint64_t a, uint64_t b)
{
	return a != PMT_UNKNOWN && b != PMT_UNKNOWN;
}

bool pmt_place_before(const struct pmt_place *a, const struct pmt_place *b)
{
	if (a->partition != b->partition)
		return true;
	if (known(a->lbn, b->lbn))
		return a->lbn < b->lbn;
	if (!known(a->file, b->file))
		return false;
	if (a->file != b->file)
		return a->file < b->file;
	return known(a->block, b->block) && a->block < b->block;
}

bool pmt_place_same(const struct pmt_place *a, const struct pmt_place *b)
{
	if (a->partition != b->partition)
		return false;
	if (known(a->lbn, b->lbn))
		return a->lbn == b->lbn;
	return known(a->file, b->file) && known(a->block, b->block) &&
	       a->file == b->file && a->block == b->block;
}

const char *pmt_op_name(unsigned int op)
{
	static const char *const names[] = {
		[PMT_OP_TEST] = "test",
		[PMT_OP_WRITE] = "write",
		[PMT_OP_READ] = "read",
		[PMT_OP_WRITE_FILEMARKS] = "marks",
		[PMT_OP_SPACE] = "space",
		[PMT_OP_LOCATE] = "locate",
		[PMT_OP_REWIND] = "rewind",
		[PMT_OP_LOAD] = "load",
		[PMT_OP_UNLOAD] = "unload",
		[PMT_OP_ERASE] = "erase",
		[PMT_OP_FORMAT] = "format",
		[PMT_OP_MODE] = "mode",
	};

	if (op == PMT_OP_CUT)
		return "cut";
	if (op == PMT_OP_SYNC)
		return "sync";
	if (op == PMT_OP_PARTITIONS)
		return "partitions";
	if (op == PMT_OP_MAY_FORMAT)
		return "may format";
	return op < sizeof(names) / sizeof(names[0]) && names[op] ? names[op] : "?";
}

bool pmt_op_known(const char *name)
{
	for (unsigned int op = 1; op <= PMT_OP_MAX; op++)
		if (strcmp(pmt_op_name(op), name) == 0)
			return true;
	return strcmp(name, "cut") == 0 || strcmp(name, "sync") == 0;
}
