// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * /etc/pmt/NAME.conf: a unit, its drives, and options as on the command line
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <pmt.h>

#include "config.h"

struct reading {
	struct config *config;
	int (*option)(void *context, const char *key, const char *value);
	void *context;
};

/* It lives as long as the configuration. */
static const char *keep_text(struct config *config, const char *text)
{
	char **texts = reallocarray(config->texts, config->n_texts + 1, sizeof(*texts));

	if (!texts)
		return NULL;
	config->texts = texts;
	texts[config->n_texts] = strdup(text);
	return texts[config->n_texts] ? texts[config->n_texts++] : NULL;
}

static int take_drive(const struct conf_reader *r, struct config *config, char *spec)
{
	char **drives, *error = NULL;
	int rc = pmt_spec_leaves(spec, NULL, NULL, &error);

	if (rc && error)
		rc = conf_refuse(r, error, spec);
	free(error);
	if (rc)
		return rc;
	drives = reallocarray(config->drives, config->n_drives + 1, sizeof(*drives));
	if (!drives)
		return -ENOMEM;
	config->drives = drives;
	drives[config->n_drives++] = spec;
	return 0;
}

static int take_value(struct conf_reader *r, const char *key, const char *value)
{
	struct reading *reading = r->context;
	struct config *config = reading->config;
	const char *text;
	int rc;

	if (!*value)
		return conf_refuse(r, "a value is wanted", key);
	text = keep_text(config, value);
	if (!text)
		return -ENOMEM;
	if (strcmp(key, "drive") == 0)
		return take_drive(r, config, config->texts[config->n_texts - 1]);
	if (strcmp(key, "unit") == 0) {
		if (config->unit)
			return conf_refuse(r, "said twice", key);
		config->unit = text;
		return 0;
	}
	rc = reading->option(reading->context, key, text);
	if (rc == -ENOENT)
		return conf_refuse(r, "no such key", key);
	return rc < 0 ? conf_refuse(r, "not understood", key) : 0;
}

int config_read(struct config *config, const char *path, conf_log log,
		int (*option)(void *context, const char *key, const char *value), void *context)
{
	struct reading reading = { config, option, context };
	struct conf_reader r = {
		.path = path, .log = log, .value = take_value, .context = &reading,
	};
	int rc = conf_read(&r);

	if (rc == 0 && (!config->unit || !config->n_drives))
		rc = conf_refuse(&r, "a unit and a drive are wanted", NULL);
	return rc;
}

void config_free(struct config *config)
{
	for (size_t i = 0; i < config->n_texts; i++)
		free(config->texts[i]);
	free(config->texts);
	free(config->drives);
}
