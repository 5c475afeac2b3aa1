// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * rmt.conf: which names mean which drives.  The grammar is in pmt-rmt(8).
 *
 * What is not understood is an error, not a default: a word that was written wrong
 * must not open a tape to somebody, or end it in another way.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "rmt.h"

#define STATE_FOLDER	"/var/lib/pmt"
#define SECTION_MAX	64

/* Values */

static int set_text(const struct conf_reader *r, char **to, const char *value)
{
	if (*to)
		return conf_refuse(r, "said twice", NULL);
	if (!*value)
		return conf_refuse(r, "a value is wanted", NULL);
	*to = strdup(value);
	return *to ? 0 : -ENOMEM;
}

/* The number of the word in words, which ends with NULL. */
static int choose(const struct conf_reader *r, const char *value, const char *const *words)
{
	for (int i = 0; words[i]; i++)
		if (strcmp(words[i], value) == 0)
			return i;
	return conf_refuse(r, "a word that is not known here", value);
}

static int set_eot(const struct conf_reader *r, struct rmt_entry *entry, const char *value)
{
	static const char *const words[] = { "st", "hold", NULL };
	int n = choose(r, value, words);

	entry->eot = n == 1 ? PMT_EOT_HOLD : PMT_EOT_ST;
	return n < 0 ? n : 0;
}

static int set_end(const struct conf_reader *r, struct rmt_entry *entry, const char *value)
{
	static const char *const words[] = { "error", "short", NULL };
	int n = choose(r, value, words);

	entry->short_writes = n == 1;
	return n < 0 ? n : 0;
}

static int set_access(const struct conf_reader *r, struct rmt_entry *entry, const char *value)
{
	static const char *const words[] = { "write", "read", NULL };
	int n = choose(r, value, words);

	entry->readonly = n == 1;
	return n < 0 ? n : 0;
}

static int set_numbers(const struct conf_reader *r, struct rmt_entry *entry, const char *value)
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

static int set_drive(const struct conf_reader *r, struct rmt_entry *entry, const char *value)
{
	return set_text(r, &entry->drive, value);
}

static int set_rewind(const struct conf_reader *r, struct rmt_entry *entry, const char *value)
{
	return set_text(r, &entry->names[true], value);
}

static int set_norewind(const struct conf_reader *r, struct rmt_entry *entry,
			const char *value)
{
	return set_text(r, &entry->names[false], value);
}

static const struct key {
	const char *name;
	int (*set)(const struct conf_reader *, struct rmt_entry *, const char *value);
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

static int take_value(struct conf_reader *r, const char *key, const char *value)
{
	struct rmt_conf *conf = r->context;

	if (!conf->n_entries) {
		if (strcmp(key, "state"))
			return conf_refuse(r, "before the first section there is only state", key);
		return set_text(r, &conf->folder, value);
	}
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(keys[i].name, key) == 0)
			return keys[i].set(r, &conf->entries[conf->n_entries - 1], value);
	return conf_refuse(r, "no such key", key);
}

static bool is_section(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t length = strlen(name);

	return length && length <= SECTION_MAX && *name != '.' &&
	       strspn(name, allowed) == length;
}

static int begin_section(struct conf_reader *r, char *text)
{
	struct rmt_conf *conf = r->context;
	struct rmt_entry *entries;
	size_t length = strlen(text);

	if (text[length - 1] != ']')
		return conf_refuse(r, "expected ']'", text);
	text[length - 1] = '\0';
	text = conf_strip(text + 1);
	if (!is_section(text))
		return conf_refuse(r, "a section is letters, digits, '.', '_' and '-'", text);
	for (size_t i = 0; i < conf->n_entries; i++)
		if (strcmp(conf->entries[i].section, text) == 0)
			return conf_refuse(r, "this section was there already", text);
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
static int check_names(const struct conf_reader *r, size_t i)
{
	const struct rmt_conf *conf = r->context;
	const struct rmt_entry *entry = &conf->entries[i];
	int rc = 0;

	for (int rewind = 0; rewind < 2 && rc == 0; rewind++) {
		char *names = strdup(entry->names[rewind]), *rest = names, *name;
		bool rewinds;

		while (names && rc == 0 && (name = strsep(&rest, " \t")))
			if (*name && (find_entry(conf, i + 1, name, &rewinds) ||
				      (rewind && has_name(entry->names[false], name))))
				rc = conf_refuse(r, "a name that is there twice", name);
		if (!names)
			rc = -ENOMEM;
		free(names);
	}
	return rc;
}

static int complete(struct conf_reader *r)
{
	struct rmt_conf *conf = r->context;
	int rc = 0;

	if (!conf->folder)
		conf->folder = strdup(STATE_FOLDER);
	if (!conf->folder)
		return -ENOMEM;
	for (size_t i = 0; rc == 0 && i < conf->n_entries; i++) {
		r->line = conf->entries[i].line;
		rc = conf->entries[i].drive ? name_entry(conf, &conf->entries[i]) :
		     conf_refuse(r, "this section has no drive", conf->entries[i].section);
	}
	for (size_t i = 0; rc == 0 && i < conf->n_entries; i++) {
		r->line = conf->entries[i].line;
		rc = check_names(r, i);
	}
	return rc;
}

int rmt_conf_load(struct rmt_conf *conf, const char *path, conf_log log)
{
	struct conf_reader r = {
		.path = path, .log = log, .context = conf,
		.section = begin_section, .value = take_value,
	};
	int rc;

	*conf = (struct rmt_conf){ .path = path };
	rc = conf_read(&r);
	if (rc)
		return rc;
	rc = complete(&r);
	if (rc == -ENOMEM)
		log(LOG_ERR, "%s: %s", path, strerror(ENOMEM));
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
