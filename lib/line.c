// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Lines of the control interface: a verb, and numbers behind it.
 *
 * A drive has a table of verbs; each names the words that follow it, and these
 * names say what is taken: AS, AQ, OP, KEY and FLAGS are hexadecimal, all else
 * decimal, within the bounds that are here.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

static const struct word {
	const char *name;
	int base;
	uint64_t max;
} words[] = {
	{ "AS", 16, 0xff },
	{ "AQ", 16, 0xff },
	{ "OP", 16, 0xff },
	{ "KEY", 16, 0xf },
	{ "FLAGS", 16, 0xff },
	{ "0|1", 10, 1 },
	{ "MS", 10, 3600 * 1000 },
	{ "N", 10, INT32_MAX },
	{ "BYTES", 10, INT64_MAX },
	{ "EW", 10, INT64_MAX },
};

int pmt_line_refuse(char **error, int rc, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(error, format, arguments) < 0)
		*error = NULL;
	va_end(arguments);
	return rc;
}

/* The next word of *text, which goes behind it; 0: there is none. */
static size_t next_word(const char **text, const char **word)
{
	size_t length = 0;

	while (isspace((unsigned char)**text))
		++*text;
	*word = *text;
	while ((*text)[length] && !isspace((unsigned char)(*text)[length]))
		length++;
	*text += length;
	return length;
}

size_t pmt_line_verb(const char *line, const char **verb)
{
	return next_word(&line, verb);
}

static const struct word *find_word(const char *name, size_t length)
{
	size_t i = 0;

	while (strlen(words[i].name) != length || memcmp(words[i].name, name, length))
		i++;
	return &words[i];
}

static bool read_number(const struct word *kind, const char *word, size_t length,
			uint64_t *value)
{
	int saved = errno;
	char *end;
	bool fits;

	if (!length || !isxdigit((unsigned char)*word))
		return false;
	errno = 0;
	*value = strtoull(word, &end, kind->base);
	fits = !errno && end == word + length && *value <= kind->max;
	errno = saved;
	return fits;
}

static bool read_values(const char *names, const char *text, uint64_t *values)
{
	const char *name, *word;
	size_t length;

	while ((length = next_word(&names, &name))) {
		const struct word *kind = find_word(name, length);

		length = next_word(&text, &word);
		if (!read_number(kind, word, length, values++))
			return false;
	}
	return next_word(&text, &word) == 0;
}

int pmt_line_take(const char *line, const struct pmt_verb *verbs, struct pmt_drive *drive,
		  char **error)
{
	uint64_t values[PMT_LINE_VALUES];
	const char *verb;
	size_t length = next_word(&line, &verb);

	for (; verbs->name; verbs++)
		if (strlen(verbs->name) == length && !memcmp(verbs->name, verb, length))
			break;
	if (!verbs->name)
		return -ENOENT;
	if (!read_values(verbs->words, line, values))
		return pmt_line_refuse(error, -EINVAL, "expected: %s%s%s", verbs->name,
				       *verbs->words ? " " : "", verbs->words);
	return verbs->take(drive, values, error);
}
