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
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

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

__attribute__((format(printf, 3, 4)))
static void tell(struct doctor *d, const char *advice, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
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
		tell(d, "install 60-pmt.rules, then: udevadm control --reload; udevadm trigger",
		     "%s has mode %04o and group %u, not %04o and group %s", name,
		     st.st_mode & 0777, st.st_gid, mode, group);
	else
		tell(d, NULL, "%s has its mode and group", name);
}

/* ---- units ---- */

static void look_at_drive(struct doctor *d, uint32_t unit, struct json_object *drive)
{
	const char *spec = string_of(drive, "spec"), *state = string_of(drive, "state");
	const char *error = string_of(drive, "error");
	struct json_object *children;

	if (state && strcmp(state, "ok"))
		tell(d, "put it right, and let it rejoin or load all copies anew: tape-mirror(8)",
		     "unit %u: copy %s: %s", unit, spec ? spec : "?", state);
	if (error)
		tell(d, "see the log of the server; clean or change the medium",
		     "unit %u: %s: %s", unit, spec ? spec : "?", error);
	if (!json_object_object_get_ex(drive, "children", &children) ||
	    !json_object_is_type(children, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(children); i++)
		look_at_drive(d, unit, json_object_array_get_idx(children, i));
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

/* The path behind "st:" or "image:", or nothing. */
static void look_at_path(struct doctor *d, const char *file, bool drive, const char *at)
{
	_cleanup_free_ char *name = strndup(at, strcspn(at, "?,)| \t\n"));
	struct path path;
	char *slash;

	if (!name || *name != '/')
		return;
	slash = strrchr(name, '/');
	if (!drive)
		slash[slash == name] = '\0';
	path = in_root(name);
	if (access(path.text, drive ? R_OK | W_OK : W_OK | X_OK) == 0)
		tell(d, NULL, "%s: %s is there", file, name);
	else
		tell(d, drive ? "is the drive on, and the module st loaded? lsscsi -g shows drives" :
		     "make the folder, or mount what belongs there", "%s: %s: %s", file, name,
		     strerror(errno));
}

static void look_at_line(struct doctor *d, const char *file, const char *line)
{
	static const struct { const char *kind; bool drive; } kinds[] = {
		{ "st:", true }, { "image:", false },
	};

	for (size_t i = 0; *line != '#' && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		for (const char *at = line; (at = strstr(at, kinds[i].kind)); ) {
			bool begins = at == line || strchr(" \t=|,(", at[-1]);

			at += strlen(kinds[i].kind);
			if (begins)
				look_at_path(d, file, kinds[i].drive, at);
		}
}

static void look_at_file(struct doctor *d, const char *name)
{
	_cleanup_free_ char *line = NULL;
	FILE *file = fopen(name, "re");
	size_t size = 0;
	struct stat st;

	if (!file || fstat(fileno(file), &st) < 0) {
		tell(d, "run this as root", "%s: %s", name, strerror(errno));
	} else {
		bool open_to_others = st.st_mode & 0022;

		tell(d, open_to_others ? "chmod go-w: who writes it runs commands as the server" :
		     NULL, "%s %s", name, open_to_others ? "may be written by others" :
		     "is written by its owner only");
		while (getline(&line, &size, file) >= 0)
			look_at_line(d, name, line + strspn(line, " \t"));
	}
	if (file)
		fclose(file);
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
