// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmt doctor: looks at what a tape needs, and says what to do where something is wrong:
 * modules, units, their nodes and servers, copies, configuration and the drives in it.
 *
 * Nothing is opened that another program may have, and nothing is changed.
 */
#include <errno.h>
#include <glob.h>
#include <grp.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>

#include "../daemons/config.h"
#include "../daemons/rmt.h"
#include "pmt-tool.h"

struct doctor {
	struct json_object *array;	/* with --json */
	bool colour;
	unsigned int found;
};

static void report(struct doctor *d, const char *advice, const char *what)
{
	struct json_object *object;

	d->found += advice != NULL;
	if (d->array) {
		object = json_object_new_object();
		json_object_object_add(object, "ok", json_object_new_boolean(!advice));
		json_object_object_add(object, "what", json_object_new_string(what));
		json_object_object_add(object, "advice", advice ?
				       json_object_new_string(advice) : NULL);
		json_object_array_add(d->array, object);
		return;
	}
	printf("%s%-5s%s%s\n", !d->colour ? "" : advice ? "\033[31m" : "\033[32m",
	       advice ? "BAD" : "ok", d->colour ? "\033[0m" : "", what);
	if (advice)
		printf("     -> %s\n", advice);
}

/* NULL: there is no memory. */
__attribute__((format(printf, 1, 0)))
static char *form(const char *format, va_list arguments)
{
	char *text;

	return vasprintf(&text, format, arguments) < 0 ? NULL : text;
}

__attribute__((format(printf, 3, 4)))
static void tell(struct doctor *d, const char *advice, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	text = form(format, arguments);
	va_end(arguments);
	report(d, advice, text ? text : "?");
}

struct path { char text[512]; };

/* In another root, for tests. */
static struct path in_root(const char *name)
{
	const char *root = secure_getenv("PMT_ROOT");
	struct path path;

	snprintf(path.text, sizeof(path.text), "%s%s", root ? root : "", name);
	return path;
}

/* ---- modules and nodes ---- */

static bool look_at_modules(struct doctor *d)
{
	static const char *const names[] = { "pmts", "pmtm" };
	struct path path;
	bool all = true;

	for (size_t i = 0; i < 2; i++) {
		char name[40];
		bool loaded;

		snprintf(name, sizeof(name), "/sys/module/%s", names[i]);
		path = in_root(name);
		loaded = access(path.text, F_OK) == 0;
		all = all && loaded;
		tell(d, loaded ? NULL : "load it: modprobe pmtm; if there is none for this kernel, "
		     "install its headers and run: dkms autoinstall",
		     "module %s %s", names[i], loaded ? "is loaded" : "is not loaded");
	}
	return all;
}

static void look_at_node(struct doctor *d, const char *form, uint32_t unit, mode_t mode,
			 const char *group)
{
	const struct group *entry = getgrnam(group);
	char name[40];
	struct path path;
	struct stat st;

	snprintf(name, sizeof(name), form, unit);
	path = in_root(name);
	if (stat(path.text, &st) < 0)
		tell(d, "udev makes it: udevadm trigger; is udevd running?", "%s: %s", name,
		     strerror(errno));
	else if ((st.st_mode & 0777) != mode || (entry && st.st_gid != entry->gr_gid))
		tell(d, "systemd-sysusers makes its group, 60-pmt.rules gives it: udevadm control "
		     "--reload; udevadm trigger",
		     "%s has mode %04o and group %u, not %04o and group %s", name,
		     st.st_mode & 0777, st.st_gid, mode, group);
	else
		tell(d, NULL, "%s has its mode and group", name);
}

/* ---- units ---- */

/* What was wrong with it is being put right. */
static void tell_rejoin(struct doctor *d, uint32_t unit, const char *spec,
			struct json_object *rejoin)
{
	uint64_t lbn = 0, of = 0;

	number_of(rejoin, "lbn", &lbn);
	number_of(rejoin, "of", &of);
	tell(d, NULL, "unit %u: copy %s rejoins: %s, %" PRIu64 " of %" PRIu64 " blocks",
	     unit, spec ? spec : "?", string_of(rejoin, "state"), lbn, of);
}

static void look_at_drive(struct doctor *d, uint32_t unit, struct json_object *drive)
{
	const char *spec = string_of(drive, "spec"), *state = string_of(drive, "state");
	const char *error = string_of(drive, "error");
	struct json_object *children, *child, *bad, *rejoin;

	if (json_object_object_get_ex(drive, "bad_blocks", &bad) && json_object_get_int64(bad))
		tell(d, "pmt rejoin writes the copy anew", "unit %u: copy %s: %s bad block(s)",
		     unit, spec ? spec : "?", json_object_get_string(bad));
	if (state && strcmp(state, "ok"))
		tell(d, "put it right, and let it rejoin or load all copies anew: tape-mirror(8)",
		     "unit %u: copy %s: %s", unit, spec ? spec : "?", state);
	if (error)
		tell(d, "see the log of the server; clean or change the medium",
		     "unit %u: %s: %s", unit, spec ? spec : "?", error);
	if (!json_object_object_get_ex(drive, "children", &children) ||
	    !json_object_is_type(children, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(children); i++) {
		child = json_object_array_get_idx(children, i);
		rejoin = rejoin_of(drive, i);
		if (rejoin)
			tell_rejoin(d, unit, string_of(child, "spec"), rejoin);
		else
			look_at_drive(d, unit, child);
	}
}

static void look_at_server(struct doctor *d, const struct pmt_unit_info *info)
{
	struct json_object *status = NULL, *drive;
	int err = socket_status(info->unit, SOCKET_PATIENCE, &status);

	if (err < 0)
		tell(d, "if it hangs: pmt detach, and start it again; a program of your own needs no "
		     "control socket", "unit %u: its server does not tell of its copies: %s",
		     info->unit, strerror(-err));
	else if (json_object_object_get_ex(status, "drive", &drive) && drive)
		look_at_drive(d, info->unit, drive);
	json_object_put(status);
}

static int look_at_unit(const struct pmt_unit_info *info, void *context)
{
	static const char *const advice[] = {
		[PMT_STATE_UNSERVED] = "start its server: tape-mirror, or its service",
		[PMT_STATE_RECOVERING] = "start its server again before the recovery time is over",
		[PMT_STATE_BROKEN] = "pmt abort it; then mend what served it",
		[PMT_STATE_SERVED] = NULL,
	};
	struct doctor *d = context;

	tell(d, info->state <= PMT_STATE_BROKEN ? advice[info->state] : NULL, "unit %u is %s",
	     info->unit, pmt_state_name(info->state));
	look_at_node(d, "/dev/pmtm%u", info->unit, 0660, "tape");
	look_at_node(d, "/dev/npmtm%u", info->unit, 0660, "tape");
	if (getgrnam("pmt"))
		look_at_node(d, "/dev/pmts%u", info->unit, 0660, "pmt");
	else
		look_at_node(d, "/dev/pmts%u", info->unit, 0600, "root");
	if (info->server_pid)
		look_at_server(d, info);
	return 0;
}

static void look_at_units(struct doctor *d)
{
	struct pmt_control *control = NULL;
	int err = pmt_control_open(&control);
	unsigned int before = d->found;

	if (err == 0)
		err = pmt_unit_list(control, look_at_unit, d);
	if (err == -EPERM || err == -EACCES)
		tell(d, "run this as root", "the units are not seen: %s", strerror(-err));
	else if (err < 0)
		tell(d, "dmesg tells more; are modules and tools of one version?",
		     "the kernel does not tell of its units: %s", strerror(-err));
	else if (d->found == before)
		tell(d, NULL, "the units that there are");
	pmt_control_close(control);
}

/* ---- configuration, and what it names ---- */

/* A file that is being read; its readers' messages have no context. */
static struct reading {
	struct doctor *doctor;
	const char *file;
	char *said;			/* what they have said, or NULL */
	struct pmt_unit_config unit;
	struct policy policy;
} reading;

static void note(int priority, const char *message)
{
	char *before = reading.said;

	if (priority > LOG_ERR ||
	    asprintf(&reading.said, "%s%s%s", before ? before : "", before ? "; " : "", message) < 0)
		return;
	free(before);
}

__attribute__((format(printf, 2, 3)))
static void note_form(int priority, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	text = form(format, arguments);
	va_end(arguments);
	note(priority, text ? text : format);
}

static void look_at_leaf(const char *kind, const char *target, void *context)
{
	bool drive = !strcmp(kind, "st");
	struct doctor *d = context;
	struct path path;
	char *slash;

	if ((!drive && strcmp(kind, "image")) || *target != '/')
		return;
	path = in_root(target);
	slash = strrchr(path.text, '/');
	if (!drive)
		slash[slash == path.text] = '\0';
	if (access(path.text, drive ? R_OK | W_OK : W_OK | X_OK) == 0)
		tell(d, NULL, "%s: %s is there", reading.file, path.text);
	else
		tell(d, drive ? "is the drive on, and the module st loaded? lsscsi -g shows drives" :
		     "make the folder, or mount what belongs there", "%s: %s: %s", reading.file,
		     path.text, strerror(errno));
}

static void look_at_spec(const char *spec)
{
	_cleanup_free_ char *error = NULL;

	if (pmt_spec_leaves(spec, look_at_leaf, reading.doctor, &error) < 0)
		note_form(LOG_ERR, "%s: %s: %s", reading.file, spec, error ? error : "no memory");
}

static int take_key(void *context, const char *key, const char *value)
{
	struct reading *r = context;
	int err = pmt_unit_config_parse(&r->unit, key, value);

	return err == -ENOENT ? policy_take(&r->policy, note_form, key, value) : err;
}

/* As tape-mirror reads it. */
static void read_mirror(const char *name)
{
	struct config config = { .unit = NULL };
	const char *error;
	uint32_t unit;

	if (config_read(&config, name, note_form, take_key, &reading) == 0 &&
	    pmt_unit_parse(config.unit, &unit) == 0) {
		error = policy_check(&reading.policy, config.n_drives);
		if (error)
			note_form(LOG_ERR, "%s: %s", name, error);
		for (size_t i = 0; i < config.n_drives; i++)
			look_at_spec(config.drives[i]);
	}
	config_free(&config);
}

/* As pmt-rmt does. */
static void read_rmt(const char *name)
{
	struct rmt_conf conf;

	if (rmt_conf_load(&conf, name, note_form) == 0)
		for (size_t i = 0; i < conf.n_entries; i++)
			look_at_spec(conf.entries[i].drive);
	rmt_conf_free(&conf);
}

static void look_at_words(struct doctor *d, const char *name)
{
	const char *slash = strrchr(name, '/');
	bool rmt = slash && !strcmp(slash, "/rmt.conf");
	char understood[600];

	snprintf(understood, sizeof(understood), "%s is understood", name);
	reading = (struct reading){ .doctor = d, .file = name };
	pmt_log_set_handler(note);
	if (rmt)
		read_rmt(name);
	else
		read_mirror(name);
	pmt_log_set_handler(NULL);
	tell(d, !reading.said ? NULL : rmt ? "what it may say is in pmt-rmt(8)" :
	     "what it may say is in CONFIGURATION of tape-mirror(8)", "%s",
	     reading.said ? reading.said : understood);
	free(reading.said);
}

static void look_at_file(struct doctor *d, const char *name)
{
	struct stat st;

	if (stat(name, &st) < 0 || access(name, R_OK) < 0) {
		tell(d, "run this as root", "%s: %s", name, strerror(errno));
		return;
	}
	if (st.st_mode & 0022)
		tell(d, "chmod go-w: who writes it runs commands as the server",
		     "%s may be written by others", name);
	else
		tell(d, NULL, "%s is written by its owner only", name);
	look_at_words(d, name);
}

static void look_at_configuration(struct doctor *d)
{
	struct path pattern = in_root("/etc/pmt/*.conf");
	glob_t files = { .gl_pathc = 0 };

	if (glob(pattern.text, 0, NULL, &files) == 0)
		for (size_t i = 0; i < files.gl_pathc; i++)
			look_at_file(d, files.gl_pathv[i]);
	globfree(&files);
}

int verb_doctor(struct tool *t)
{
	struct doctor d = {
		.array = t->json ? json_object_new_array() : NULL,
		.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR"),
	};

	if (look_at_modules(&d))
		look_at_units(&d);
	look_at_configuration(&d);
	if (d.array)
		print_json(d.array);
	return d.found ? TOOL_FAILED : TOOL_OK;
}
