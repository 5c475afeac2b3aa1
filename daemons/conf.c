// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Files of configuration, line by line
 *
 * What is not understood is an error, not a default.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "conf.h"

#define LINE_MAX_BYTES	65536

int conf_refuse(const struct conf_reader *r, const char *what, const char *word)
{
	r->log(LOG_ERR, "%s:%d: %s%s%s", r->path, r->line, what, word ? ": " : "",
	       word ? word : "");
	return -EINVAL;
}

char *conf_strip(char *text)
{
	char *end;

	while (isspace((unsigned char)*text))
		text++;
	end = text + strlen(text);
	while (end > text && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return text;
}

static int take_assignment(struct conf_reader *r, char *text)
{
	char *equals = strchr(text, '=');

	if (!equals)
		return conf_refuse(r, r->section ? "expected [section] or key = value" :
				   "expected key = value", text);
	*equals = '\0';
	return r->value(r, conf_strip(text), conf_strip(equals + 1));
}

/* What has been gathered is one line, whole. */
static int take_pending(struct conf_reader *r)
{
	char *text;
	int rc;

	if (!r->pending)
		return 0;
	text = conf_strip(r->pending);
	rc = r->section && *text == '[' ? r->section(r, text) : take_assignment(r, text);
	free(r->pending);
	r->pending = NULL;
	return rc;
}

static int continue_pending(struct conf_reader *r, const char *text)
{
	char *longer;

	if (strlen(r->pending) > LINE_MAX_BYTES)
		return conf_refuse(r, "too long", NULL);
	if (asprintf(&longer, "%s %s", r->pending, text) < 0)
		return -ENOMEM;
	free(r->pending);
	r->pending = longer;
	return 0;
}

static int take_line(struct conf_reader *r, int number, char *line)
{
	bool continues = *line == ' ' || *line == '\t';
	char *text = conf_strip(line);
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
		return conf_refuse(r, "a line that continues nothing", text);
	r->pending = strdup(text);
	return r->pending ? 0 : -ENOMEM;
}

static int read_lines(struct conf_reader *r, FILE *file)
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

int conf_read(struct conf_reader *r)
{
	FILE *file = fopen(r->path, "re");
	int rc = file ? read_lines(r, file) : -errno;

	if (file)
		fclose(file);
	if (rc && rc != -EINVAL)
		r->log(LOG_ERR, "%s: %s", r->path, strerror(-rc));
	return rc;
}
