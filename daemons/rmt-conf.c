// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * rmt.conf: which names mean which drives.  The grammar is in pmt-rmt(8).
 *
 * What is not understood is an error, not a default: a word that was written wrong
 * must not open a tape to somebody, or end it in another way.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "rmt.h"

#define STATE_FOLDER	"/var/lib/pmt"
#define SECTION_MAX	64
#define LINE_MAX_BYTES	65536

struct reader {
	struct rmt_conf *conf;
	int line;		/* where the pending text begins */
	char *pending;		/* a line and those that continue it */
};

static int refuse(const struct reader *r, const char *what, const char *word)
{
	rmt_log(LOG_ERR, "%s:%d: %s%s%s", r->conf->path, r->line, what, word ? ": " : "",
		word ? word : "");
	return -EINVAL;
}

static char *strip(char *text)
{
	char *end;

	while (isspace((unsigned char)*text))
		text++;
	end = text + strlen(text);
	while (end > text && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return text;
}

/* Values */

static int set_text(const struct reader *r, char **to, const char *value)
{
	if (*to)
		return refuse(r, "said twice", NULL);
	if (!*value)
		return refuse(r, "a value is wanted", NULL);
	*to = strdup(value);
	return *to ? 0 : -ENOMEM;
}

/* The number of the word in words, which ends with NULL. */
static int choose(const struct reader *r, const char *value, const char *const *words)
{
	for (int i = 0; words[i]; i++)
		if (strcmp(words[i], value) == 0)
			return i;
	return refuse(r, "a word that is not known here", value);
}

static int set_eot(const struct reader *r, struct rmt_entry *entry, const char *value)
{
	static const char *const words[] = { "st", "hold", NULL };
	int n = choose(r, value, words);

	entry->eot = n == 1 ? PMT_EOT_HOLD : PMT_EOT_ST;
	return n < 0 ? n : 0;
}

static int set_end(const struct reader *r, struct rmt_entry *entry, const char *value)
{
	static const char *const words[] = { "error", "short", NULL };
	int n = choose(r, value, words);

	entry->short_writes = n == 1;
	return n < 0 ? n : 0;
}

static int set_access(const struct reader *r, struct rmt_entry *entry, const char *value)
{
	static const char *const words[] = { "write", "read", NULL };
	int n = choose(r, value, words);

	entry->readonly = n == 1;
	return n < 0 ? n : 0;
}

static int set_numbers(const struct reader *r, struct rmt_entry *entry, const char *value)
{
	static const char *const words[] = {
		[PMT_RMT_NUMBERS_NONE] = "none", [PMT_RMT_NUMBERS_LINUX] = "linux",
		[PMT_RMT_NUMBERS_BSD] = "bsd", NULL,
	};
	int n = choose(r, value, words);

	if (n < 0)
		return n;
	entry->numbers = (enum pmt_rmt_numbers)n;
	return 0;
}

static int set_drive(const struct reader *r, struct rmt_entry *entry, const char *value)
{
	return set_text(r, &entry->drive, value);
}

static int set_rewind(const struct reader *r, struct rmt_entry *entry, const char *value)
{
	return set_text(r, &entry->names[true], value);
}

static int set_norewind(const struct reader *r, struct rmt_entry *entry,
			const char *value)
{
	return set_text(r, &entry->names[false], value);
}

static const struct key {
	const char *name;
	int (*set)(const struct reader *, struct rmt_entry *, const char *value);
} keys[] = {
	{ "drive", set_drive },
	{ "rewind", set_rewind },
	{ "norewind", set_norewind },
	{ "eot", set_eot },
	{ "end", set_end },
	{ "access", set_access },
	{ "numbers", set_numbers },
};

/* Lines */

static int take_value(struct reader *r, const char *key, const char *value)
{
	struct rmt_conf *conf = r->conf;

	if (!conf->n_entries) {
		if (strcmp(key, "state"))
			return refuse(r, "before the first section there is only state", key);
		return set_text(r, &conf->folder, value);
	}
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(keys[i].name, key) == 0)
			return keys[i].set(r, &conf->entries[conf->n_entries - 1], value);
	return refuse(r, "no such key", key);
}

static bool is_section(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t length = strlen(name);

	return length && length <= SECTION_MAX && *name != '.' &&
	       strspn(name, allowed) == length;
}

static int begin_section(struct reader *r, char *text)
{
	struct rmt_conf *conf = r->conf;
	struct rmt_entry *entries;
	size_t length = strlen(text);

	if (text[length - 1] != ']')
		return refuse(r, "expected ']'", text);
	text[length - 1] = '\0';
	text = strip(text + 1);
	if (!is_section(text))
		return refuse(r, "a section is letters, digits, '.', '_' and '-'", text);
	for (size_t i = 0; i < conf->n_entries; i++)
		if (strcmp(conf->entries[i].section, text) == 0)
			return refuse(r, "this section was there already", text);
	entries = reallocarray(conf->entries, conf->n_entries + 1, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	conf->entries = entries;
	entries += conf->n_entries;
	*entries = (struct rmt_entry){ .section = strdup(text), .line = r->line };
	if (!entries->section)
		return -ENOMEM;
	conf->n_entries++;
	return 0;
}

/* What has been gathered is one line, whole. */
static int take_pending(struct reader *r)
{
	char *text, *equals;
	int rc;

	if (!r->pending)
		return 0;
	text = strip(r->pending);
	if (*text == '[') {
		rc = begin_section(r, text);
	} else {
		equals = strchr(text, '=');
		if (equals)
			*equals = '\0';
		rc = !equals ? refuse(r, "expected [section] or key = value", text) :
			       take_value(r, strip(text), strip(equals + 1));
	}
	free(r->pending);
	r->pending = NULL;
	return rc;
}

static int continue_pending(struct reader *r, const char *text)
{
	char *longer;

	if (strlen(r->pending) > LINE_MAX_BYTES)
		return refuse(r, "too long", NULL);
	if (asprintf(&longer, "%s %s", r->pending, text) < 0)
		return -ENOMEM;
	free(r->pending);
	r->pending = longer;
	return 0;
}

static int take_line(struct reader *r, int number, char *line)
{
	bool continues = *line == ' ' || *line == '\t';
	char *text = strip(line);
	int rc;

	if (!*text || *text == '#')
		return 0;
	if (continues && r->pending)
		return continue_pending(r, text);
	rc = take_pending(r);
	if (rc)
		return rc;
	r->line = number;
	if (continues)
		return refuse(r, "a line that continues nothing", text);
	r->pending = strdup(text);
	return r->pending ? 0 : -ENOMEM;
}

static int read_lines(struct reader *r, FILE *file)
{
	char *line = NULL;
	size_t size = 0;
	int rc = 0;

	for (int number = 1; rc == 0 && getline(&line, &size, file) >= 0; number++)
		rc = take_line(r, number, line);
	if (rc == 0)
		rc = ferror(file) ? -EIO : take_pending(r);
	free(line);
	free(r->pending);
	r->pending = NULL;
	return rc;
}

/* The whole */

static bool has_name(const char *list, const char *name)
{
	size_t length = strlen(name);

	while (*list) {
		size_t word = strcspn(list, " \t");

		if (word == length && memcmp(list, name, length) == 0)
			return true;
		list += word;
		list += strspn(list, " \t");
	}
	return false;
}

static const struct rmt_entry *find_entry(const struct rmt_conf *conf, size_t from,
					  const char *name, bool *rewinds)
{
	for (size_t i = from; i < conf->n_entries; i++) {
		for (int rewind = 0; rewind < 2; rewind++) {
			if (!has_name(conf->entries[i].names[rewind], name))
				continue;
			*rewinds = rewind;
			return &conf->entries[i];
		}
	}
	return NULL;
}

/* As st's: NAME rewinds, nNAME does not. */
static int name_entry(const struct rmt_conf *conf, struct rmt_entry *entry)
{
	if (!entry->names[true] && !entry->names[false]) {
		entry->names[true] = strdup(entry->section);
		if (asprintf(&entry->names[false], "n%s", entry->section) < 0)
			entry->names[false] = NULL;
	}
	for (int i = 0; i < 2; i++)
		if (!entry->names[i])
			entry->names[i] = strdup("");
	if (asprintf(&entry->state, "%s/%s.state", conf->folder, entry->section) < 0)
		entry->state = NULL;
	return entry->names[0] && entry->names[1] && entry->state ? 0 : -ENOMEM;
}

/* A name that two tapes have, or one tape in both ways. */
static int check_names(const struct reader *r, size_t i)
{
	const struct rmt_conf *conf = r->conf;
	const struct rmt_entry *entry = &conf->entries[i];
	int rc = 0;

	for (int rewind = 0; rewind < 2 && rc == 0; rewind++) {
		char *names = strdup(entry->names[rewind]), *rest = names, *name;
		bool rewinds;

		while (names && rc == 0 && (name = strsep(&rest, " \t")))
			if (*name && (find_entry(conf, i + 1, name, &rewinds) ||
				      (rewind && has_name(entry->names[false], name))))
				rc = refuse(r, "a name that is there twice", name);
		if (!names)
			rc = -ENOMEM;
		free(names);
	}
	return rc;
}

static int complete(struct reader *r)
{
	struct rmt_conf *conf = r->conf;
	int rc = 0;

	if (!conf->folder)
		conf->folder = strdup(STATE_FOLDER);
	if (!conf->folder)
		return -ENOMEM;
	for (size_t i = 0; rc == 0 && i < conf->n_entries; i++) {
		r->line = conf->entries[i].line;
		rc = conf->entries[i].drive ? name_entry(conf, &conf->entries[i]) :
		     refuse(r, "this section has no drive", conf->entries[i].section);
	}
	for (size_t i = 0; rc == 0 && i < conf->n_entries; i++) {
		r->line = conf->entries[i].line;
		rc = check_names(r, i);
	}
	return rc;
}

int rmt_conf_load(struct rmt_conf *conf, const char *path)
{
	struct reader r = { .conf = conf };
	FILE *file = fopen(path, "re");
	int rc;

	*conf = (struct rmt_conf){ .path = path };
	if (!file) {
		rc = -errno;
		rmt_log(LOG_ERR, "%s: %s", path, strerror(-rc));
		return rc;
	}
	rc = read_lines(&r, file);
	fclose(file);
	if (rc == 0)
		rc = complete(&r);
	if (rc && rc != -EINVAL)
		rmt_log(LOG_ERR, "%s: %s", path, strerror(-rc));
	return rc;
}

void rmt_conf_free(struct rmt_conf *conf)
{
	for (size_t i = 0; i < conf->n_entries; i++) {
		struct rmt_entry *entry = &conf->entries[i];

		free(entry->section);
		free(entry->drive);
		free(entry->names[0]);
		free(entry->names[1]);
		free(entry->state);
	}
	free(conf->entries);
	free(conf->folder);
	*conf = (struct rmt_conf){ .path = NULL };
}

int rmt_conf_find(const struct rmt_conf *conf, const char *name,
		  struct pmt_rmt_tape *tape)
{
	bool rewinds = false;
	const struct rmt_entry *entry =
		strpbrk(name, " \t") ? NULL : find_entry(conf, 0, name, &rewinds);

	if (!entry || !*name)
		return -ENOENT;
	*tape = (struct pmt_rmt_tape){
		.spec = entry->drive,
		.state = entry->state,
		.rewind = rewinds,
		.readonly = entry->readonly,
		.short_writes = entry->short_writes,
		.eot = entry->eot,
		.numbers = entry->numbers,
	};
	return 0;
}
