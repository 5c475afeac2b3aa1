// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Drive specifications: text to a tree of struct pmt_spec.  The grammar is in
 * internal.h.  The tree owns all that it points to; its texts are copies.
 *
 * Every refusal names the column, from 1, at which something else was expected,
 * and what that is.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "internal.h"

#define DEPTH_MAX 16
#define CHILDREN_MAX 64

struct parser {
	const char *text, *at;
	char **error;
	unsigned int depth;
};

static int parse_spec(struct parser *, struct pmt_spec **);

static int column(const struct parser *parser, const char *at)
{
	return (int)(at - parser->text) + 1;
}

static int refuse_at(struct parser *parser, const char *at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse_at(struct parser *parser, const char *at, const char *format, ...)
{
	char message[256];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	if (asprintf(parser->error, "column %d: %s", column(parser, at), message) < 0) {
		*parser->error = NULL;
		return -ENOMEM;
	}
	return -EINVAL;
}

static void skip_blanks(struct parser *parser)
{
	while (isspace((unsigned char)*parser->at))
		parser->at++;
}

static bool take(struct parser *parser, char c)
{
	skip_blanks(parser);
	if (*parser->at != c)
		return false;
	parser->at++;
	return true;
}

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '_';
}

/* A kind or a key. */
static int parse_name(struct parser *parser, const char *expected, char **name)
{
	const char *begin;

	skip_blanks(parser);
	begin = parser->at;
	while (is_name(*parser->at))
		parser->at++;
	if (parser->at == begin) {
		if (*begin)
			return refuse_at(parser, begin, "expected %s, found '%c'",
					 expected, *begin);
		return refuse_at(parser, begin, "expected %s, found the end", expected);
	}
	*name = strndup(begin, (size_t)(parser->at - begin));
	return *name ? 0 : -ENOMEM;
}

/* A target or a value: to the first of stop, or blank; \ takes its meaning away. */
static int parse_word(struct parser *parser, const char *stop, const char *refused,
		      char **word)
{
	static const char special[] = "?|,()&=\\ ";
	char *out;

	skip_blanks(parser);
	out = *word = malloc(strlen(parser->at) + 1);
	if (!out)
		return -ENOMEM;
	while (*parser->at && !isspace((unsigned char)*parser->at) &&
	       !strchr(stop, *parser->at)) {
		if (strchr(refused, *parser->at))
			return refuse_at(parser, parser->at,
					 "'%c' has no meaning here; write \\%c",
					 *parser->at, *parser->at);
		if (*parser->at == '\\') {
			if (!parser->at[1] || !strchr(special, parser->at[1]))
				return refuse_at(parser, parser->at,
						 "expected one of %s behind \\",
						 special);
			parser->at++;
		}
		*out++ = *parser->at++;
	}
	*out = '\0';
	return 0;
}

static struct pmt_option *find(const struct pmt_spec *spec, const char *key)
{
	for (size_t i = 0; i < spec->n_options; i++)
		if (strcmp(spec->options[i].key, key) == 0)
			return &spec->options[i];
	return NULL;
}

static int parse_option(struct parser *parser, struct pmt_spec *spec)
{
	struct pmt_option *options = reallocarray(spec->options, spec->n_options + 1,
						  sizeof(*options));
	struct pmt_option option = { NULL };
	int rc;

	if (!options)
		return -ENOMEM;
	spec->options = options;
	skip_blanks(parser);
	option.column = column(parser, parser->at);
	rc = parse_name(parser, "an option's name", &option.key);
	if (rc == 0 && find(spec, option.key))
		rc = refuse_at(parser, parser->text + option.column - 1,
			       "%s: option '%s' is given twice", spec->kind, option.key);
	if (rc == 0 && !take(parser, '='))
		rc = refuse_at(parser, parser->at, "expected '=' behind option '%s'",
			       option.key);
	if (rc == 0)
		rc = parse_word(parser, "&|,)", "?=(", &option.value);
	if (rc) {
		free(option.key);
		free(option.value);
		return rc;
	}
	options[spec->n_options++] = option;
	return 0;
}

static int parse_options(struct parser *parser, struct pmt_spec *spec)
{
	int rc;

	do {
		rc = parse_option(parser, spec);
	} while (rc == 0 && take(parser, '&'));
	return rc;
}

static int add_child(struct pmt_spec *spec, struct pmt_spec *child)
{
	struct pmt_spec **children = reallocarray(spec->children, spec->n_children + 1,
						  sizeof(struct pmt_spec *));

	if (!children) {
		pmt_spec_free(child);
		return -ENOMEM;
	}
	spec->children = children;
	children[spec->n_children++] = child;
	return 0;
}

static int parse_child(struct parser *parser, struct pmt_spec *spec)
{
	struct pmt_spec *child;
	int rc;

	if (spec->n_children == CHILDREN_MAX)
		return refuse_at(parser, parser->at, "more than %d copies", CHILDREN_MAX);
	if (parser->depth == DEPTH_MAX)
		return refuse_at(parser, parser->at, "nested more than %d deep",
				 DEPTH_MAX);
	parser->depth++;
	rc = parse_spec(parser, &child);
	parser->depth--;
	return rc ? rc : add_child(spec, child);
}

static int parse_mirror(struct parser *parser, struct pmt_spec *spec)
{
	const char *open = parser->at;
	int rc;

	if (!take(parser, '('))
		return refuse_at(parser, parser->at, "expected '(' behind mirror");
	do {
		rc = parse_child(parser, spec);
	} while (rc == 0 && take(parser, ','));
	if (rc)
		return rc;
	if (!take(parser, ')'))
		return *parser->at ?
			       refuse_at(parser, parser->at,
					 "expected ',' or ')', found '%c'", *parser->at) :
			       refuse_at(parser, open, "'(' without ')'");
	return take(parser, '?') ? parse_options(parser, spec) : 0;
}

static int parse_leaf(struct parser *parser, struct pmt_spec *spec)
{
	int rc;

	if (!take(parser, ':'))
		return refuse_at(parser, parser->at, "expected ':' behind %s", spec->kind);
	rc = parse_word(parser, "?,)|", "(", &spec->target);
	if (rc == 0 && take(parser, '?'))
		rc = parse_options(parser, spec);
	if (rc == 0 && take(parser, '|'))
		rc = refuse_at(parser, parser->at - 1, "%s: is no filter: it has a target",
			       spec->kind);
	return rc;
}

static int parse_filter(struct parser *parser, struct pmt_spec *spec)
{
	int rc = take(parser, '?') ? parse_options(parser, spec) : 0;

	if (rc)
		return rc;
	if (!take(parser, '|'))
		return refuse_at(parser, parser->at, "expected '|' and a drive behind %s",
				 spec->kind);
	return parse_child(parser, spec);
}

static int parse_kind(struct parser *parser, struct pmt_spec *spec)
{
	int rc = parse_name(parser, "a drive", &spec->kind);

	if (rc)
		return rc;
	switch (pmt_drive_form(spec->kind)) {
	case PMT_FORM_MIRROR:
		return parse_mirror(parser, spec);
	case PMT_FORM_LEAF:
		return parse_leaf(parser, spec);
	case PMT_FORM_FILTER:
		return parse_filter(parser, spec);
	default:
		return refuse_at(parser, parser->text + spec->column - 1,
				 "unknown kind of drive '%s'", spec->kind);
	}
}

static int parse_spec(struct parser *parser, struct pmt_spec **out)
{
	struct pmt_spec *spec = calloc(1, sizeof(*spec));
	const char *begin, *end;
	int rc;

	if (!spec)
		return -ENOMEM;
	skip_blanks(parser);
	begin = parser->at;
	spec->column = column(parser, begin);
	rc = parse_kind(parser, spec);
	if (rc == 0) {
		for (end = parser->at; end > begin && isspace((unsigned char)end[-1]);)
			end--;
		spec->text = strndup(begin, (size_t)(end - begin));
		rc = spec->text ? 0 : -ENOMEM;
	}
	if (rc) {
		pmt_spec_free(spec);
		return rc;
	}
	*out = spec;
	return 0;
}

static int expect_end(struct parser *parser)
{
	skip_blanks(parser);
	if (!*parser->at)
		return 0;
	return refuse_at(parser, parser->at,
			 isspace((unsigned char)parser->at[-1]) ?
				 "expected the end, found '%c'; a blank in a name is "
				 "written '\\ '" :
				 "expected the end, found '%c'",
			 *parser->at);
}

int pmt_spec_parse(const char *text, struct pmt_spec **spec, char **error)
{
	struct parser parser = { .text = text, .at = text, .error = error };
	int rc;

	*error = NULL;
	rc = parse_spec(&parser, spec);
	if (rc == 0) {
		rc = expect_end(&parser);
		if (rc)
			pmt_spec_free(*spec);
	}
	if (rc)
		*spec = NULL;
	return rc;
}

int pmt_spec_options(struct pmt_spec *spec, const char *options, char **error)
{
	struct parser parser = { .text = options, .at = options, .error = error };
	char *text;
	int rc;

	*error = NULL;
	rc = parse_options(&parser, spec);
	if (rc == 0)
		rc = expect_end(&parser);
	if (rc)
		return rc;
	if (asprintf(&text, "%s?%s", spec->text, options) < 0)
		return -ENOMEM;
	free(spec->text);
	spec->text = text;
	return 0;
}

static void tell_leaves(const struct pmt_spec *spec,
			void (*each)(const char *, const char *, void *), void *context)
{
	for (size_t i = 0; i < spec->n_children; i++)
		tell_leaves(spec->children[i], each, context);
	if (!spec->n_children)
		each(spec->kind, spec->target, context);
}

int pmt_spec_leaves(const char *text, void (*each)(const char *, const char *, void *),
		    void *context, char **error)
{
	struct pmt_spec *spec;
	int rc = pmt_spec_parse(text, &spec, error);

	if (rc == 0 && each)
		tell_leaves(spec, each, context);
	pmt_spec_free(spec);
	return rc;
}

static char *mirror_text(struct pmt_spec **children, size_t n)
{
	size_t size = sizeof("mirror()"), used;
	char *text;

	for (size_t i = 0; i < n; i++)
		size += strlen(children[i]->text) + 2;
	text = malloc(size);
	if (!text)
		return NULL;
	used = (size_t)sprintf(text, "mirror(");
	for (size_t i = 0; i < n; i++)
		used += (size_t)sprintf(text + used, "%s%s", i ? ", " : "",
					children[i]->text);
	sprintf(text + used, ")");
	return text;
}

/* Takes the children; NULL: no memory, or n is no number of copies. */
struct pmt_spec *pmt_spec_mirror(struct pmt_spec **children, size_t n)
{
	struct pmt_spec *spec;

	if (n == 0 || n > CHILDREN_MAX)
		return NULL;
	spec = calloc(1, sizeof(*spec));
	if (!spec)
		return NULL;
	spec->kind = strdup("mirror");
	spec->text = mirror_text(children, n);
	spec->children = calloc(n, sizeof(struct pmt_spec *));
	spec->column = 1;
	if (!spec->kind || !spec->text || !spec->children) {
		pmt_spec_free(spec);
		return NULL;
	}
	memcpy(spec->children, children, n * sizeof(struct pmt_spec *));
	spec->n_children = n;
	return spec;
}

void pmt_spec_free(struct pmt_spec *spec)
{
	if (!spec)
		return;
	for (size_t i = 0; i < spec->n_children; i++)
		pmt_spec_free(spec->children[i]);
	for (size_t i = 0; i < spec->n_options; i++) {
		free(spec->options[i].key);
		free(spec->options[i].value);
	}
	free(spec->children);
	free(spec->options);
	free(spec->kind);
	free(spec->target);
	free(spec->text);
	free(spec);
}

/* Options */

static int refuse(const struct pmt_spec *spec, int column, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse(const struct pmt_spec *spec, int column, const char *format, ...)
{
	char message[256];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	if (!spec->error)
		pmt_log(LOG_ERR, "column %d: %s: %s", column, spec->kind, message);
	else if (!*spec->error && asprintf(spec->error, "column %d: %s: %s", column,
					   spec->kind, message) < 0)
		*spec->error = NULL;
	return -EINVAL;
}

int pmt_spec_refuse(const struct pmt_spec *spec, const char *key, const char *expected)
{
	const struct pmt_option *option = find(spec, key);

	if (!option)
		return refuse(spec, spec->column, "option '%s': expected %s", key,
			      expected);
	return refuse(spec, option->column, "option '%s': expected %s, found '%s'", key,
		      expected, option->value);
}

int pmt_spec_refuse_target(const struct pmt_spec *spec, const char *expected)
{
	return refuse(spec, spec->column, "expected %s, found '%s'", expected, spec->target);
}

int pmt_spec_fault(const struct pmt_spec *spec, const char *key, const char *why)
{
	const struct pmt_option *option = key ? find(spec, key) : NULL;

	return refuse(spec, option ? option->column : spec->column, "%s", why);
}

static struct pmt_option *use(const struct pmt_spec *spec, const char *key)
{
	struct pmt_option *option = find(spec, key);

	if (option)
		option->used = true;
	return option;
}

int pmt_spec_string(const struct pmt_spec *spec, const char *key, const char **value)
{
	const struct pmt_option *option = use(spec, key);

	if (!option)
		return -ENOENT;
	*value = option->value;
	return 0;
}

/* Digits and one of K M G T. */
static bool read_number(const char *text, uint64_t *value)
{
	static const char suffixes[] = "KMGT";
	uint64_t number = 0;
	const char *suffix;

	if (!isdigit((unsigned char)*text))
		return false;
	for (; isdigit((unsigned char)*text); text++)
		if (__builtin_mul_overflow(number, (uint64_t)10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(*text - '0'), &number))
			return false;
	if (*text) {
		suffix = strchr(suffixes, toupper((unsigned char)*text));
		if (!suffix || text[1])
			return false;
		if (__builtin_mul_overflow(number,
					   (uint64_t)1 << (10 * (suffix - suffixes + 1)),
					   &number))
			return false;
	}
	*value = number;
	return true;
}

int pmt_spec_number(const struct pmt_spec *spec, const char *key, uint64_t min,
		    uint64_t max, uint64_t *value)
{
	const struct pmt_option *option = use(spec, key);
	uint64_t number;

	if (!option)
		return -ENOENT;
	if (!read_number(option->value, &number))
		return pmt_spec_refuse(spec, key, "a number (suffixes K M G T)");
	if (number < min || number > max) {
		refuse(spec, option->column,
		       "option '%s': %" PRIu64 " is not in %" PRIu64 "..%" PRIu64, key,
		       number, min, max);
		return -ERANGE;
	}
	*value = number;
	return 0;
}

int pmt_spec_bool(const struct pmt_spec *spec, const char *key, bool *value)
{
	static const char *const no[] = { "no", "off", "false", "0" };
	static const char *const yes[] = { "yes", "on", "true", "1" };
	const struct pmt_option *option = use(spec, key);

	if (!option)
		return -ENOENT;
	for (size_t i = 0; i < 4; i++) {
		if (strcmp(option->value, yes[i]) && strcmp(option->value, no[i]))
			continue;
		*value = strcmp(option->value, yes[i]) == 0;
		return 0;
	}
	return pmt_spec_refuse(spec, key, "yes or no");
}

int pmt_spec_unused(const struct pmt_spec *spec)
{
	for (size_t i = 0; i < spec->n_options; i++)
		if (!spec->options[i].used)
			return refuse(spec, spec->options[i].column,
				      "unknown option '%s'", spec->options[i].key);
	return 0;
}
