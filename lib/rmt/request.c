// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * RMT requests: a letter, and none, one or two lines behind it.
 *
 * Where the dialects differ:
 *
 *	O	flags are a number of the client's machine, of which only the two bits
 *		of the access mode are the same everywhere; behind it GNU and Schily
 *		write names, and then these count
 *	L	offset and whence: in that order; the other one is understood where only
 *		it makes sense
 *	S, s	have no line, but GNU writes a newline behind S.  So newlines before
 *		a request are passed over.
 *	I	the operation's number is one of the client's machine, see
 *		pmt_rmt_op_decode()
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mtio.h>

#include "rmt.h"

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

/* Numbers and words */

int pmt_rmt_number(const char *text, int64_t min, int64_t max, int64_t *value)
{
	bool negative = *text == '-';
	int64_t number = 0;

	text += negative;
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	for (; isdigit((unsigned char)*text); text++) {
		int digit = *text - '0';

		if (__builtin_mul_overflow(number, (int64_t)10, &number) ||
		    __builtin_add_overflow(number, negative ? -digit : digit, &number))
			return -ERANGE;
	}
	if (*text)
		return -EINVAL;
	if (number < min || number > max)
		return -ERANGE;
	*value = number;
	return 0;
}

static const struct {
	const char *name;
	int flag;
} flag_names[] = {
	{ "O_RDONLY", O_RDONLY },
	{ "O_WRONLY", O_WRONLY },
	{ "O_RDWR", O_RDWR },
	{ "O_NONBLOCK", O_NONBLOCK },
	{ "O_NDELAY", O_NONBLOCK },
	/* Of a tape these say nothing. */
	{ "O_APPEND", 0 }, { "O_BINARY", 0 }, { "O_CREAT", 0 }, { "O_DSYNC", 0 },
	{ "O_EXCL", 0 }, { "O_LARGEFILE", 0 }, { "O_NOCTTY", 0 }, { "O_RSYNC", 0 },
	{ "O_SYNC", 0 }, { "O_TEXT", 0 }, { "O_TRUNC", 0 },
};

static int flag_of(const char *name, size_t length)
{
	for (size_t i = 0; i < N_ELEMENTS(flag_names); i++)
		if (strlen(flag_names[i].name) == length &&
		    memcmp(flag_names[i].name, name, length) == 0)
			return flag_names[i].flag;
	return -EINVAL;
}

/* "O_RDWR|O_CREAT" */
static int parse_flag_names(const char *text, int *flags)
{
	*flags = 0;
	for (;;) {
		size_t length = strcspn(text, "|");
		int flag = flag_of(text, length);

		if (flag < 0)
			return flag;
		*flags |= flag;
		if (!text[length])
			break;
		text += length + 1;
	}
	return (*flags & O_ACCMODE) == O_ACCMODE ? -EINVAL : 0;
}

/* "577", "577 O_WRONLY|O_CREAT|O_TRUNC", "64|1 O_WRONLY": the names count. */
static int parse_flags(const char *text, int *flags)
{
	char number[PMT_RMT_WORD_MAX + 1];
	size_t length = strspn(text, "0123456789|");
	int64_t value, all = 0;
	char *part, *rest = number;

	memcpy(number, text, length);
	number[length] = '\0';
	text += length;
	text += strspn(text, " \t");
	if (*text)
		return parse_flag_names(text, flags);
	if (!length)
		return -EINVAL;
	while ((part = strsep(&rest, "|"))) {
		int rc = pmt_rmt_number(part, 0, INT32_MAX, &value);

		if (rc)
			return rc;
		all |= value;
	}
	*flags = (int)(all & O_ACCMODE);
	return *flags == O_ACCMODE ? -EINVAL : 0;
}

static int parse_whence(const char *text, int *whence)
{
	static const char *const names[] = {
		[SEEK_SET] = "SEEK_SET", [SEEK_CUR] = "SEEK_CUR", [SEEK_END] = "SEEK_END",
	};
	int64_t value;

	for (int i = 0; i < (int)N_ELEMENTS(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			*whence = i;
			return 0;
		}
	}
	if (pmt_rmt_number(text, SEEK_SET, PMT_RMT_GOTO, &value) ||
	    (value > SEEK_END && value < PMT_RMT_TELL))
		return -EINVAL;
	*whence = (int)value;
	return 0;
}

static int parse_seek(const char *first, const char *second,
		      struct pmt_rmt_request *request)
{
	if (parse_whence(second, &request->number) == 0 &&
	    pmt_rmt_number(first, INT64_MIN, INT64_MAX, &request->count) == 0)
		return 0;
	if (parse_whence(first, &request->number) || request->number > SEEK_END)
		return -EINVAL;
	return pmt_rmt_number(second, INT64_MIN, INT64_MAX, &request->count);
}

static int parse_operation(const char *first, const char *second,
			   struct pmt_rmt_request *request)
{
	int64_t number = 0;
	int rc = pmt_rmt_number(first, INT16_MIN, INT16_MAX, &number);

	request->number = (int)number;
	return rc ? rc : pmt_rmt_number(second, INT32_MIN, INT32_MAX, &request->count);
}

/* The stream */

static int lines_of(char op)
{
	switch (op) {
	case 'O': case 'L': case 'I': case 'i':
		return 2;
	case 'C': case 'R': case 'W': case 'v': case 'V':
		return 1;
	case 'S': case 's':
		return 0;
	default:
		return -EBADMSG;
	}
}

void pmt_rmt_parser_init(struct pmt_rmt_parser *parser)
{
	parser->used = parser->line = 0;
	parser->lines = 0;
	parser->op = 0;
}

static int finish(struct pmt_rmt_parser *parser, struct pmt_rmt_request *request)
{
	const char *first = parser->text, *second = first;

	if (parser->lines == 2)
		second += strlen(first) + 1;
	*request = (struct pmt_rmt_request){ .op = parser->op };
	switch (parser->op) {
	case 'O':
		request->device = first;
		return parse_flags(second, &request->flags);
	case 'R': case 'W':
		return pmt_rmt_number(first, 0, INT32_MAX, &request->count);
	case 'L':
		return parse_seek(first, second, request);
	case 'I': case 'i':
		return parse_operation(first, second, request);
	case 's':
		request->what = parser->text[0];
		return 0;
	default:
		return 0;
	}
}

/* A byte of a line.  1: the lines are all there. */
static int add_byte(struct pmt_rmt_parser *parser, char c)
{
	size_t length = parser->used - parser->line;
	bool name = parser->op == 'O' && !parser->lines;

	if (!c)
		return -EBADMSG;
	if (c != '\n') {
		if (length == (name ? PMT_RMT_NAME_MAX : PMT_RMT_WORD_MAX))
			return -EMSGSIZE;
		parser->text[parser->used++] = c;
		return 0;
	}
	/* From clients that end lines as terminals do. */
	if (length && parser->text[parser->used - 1] == '\r')
		parser->used--;
	parser->text[parser->used++] = '\0';
	parser->line = parser->used;
	return ++parser->lines == (unsigned int)lines_of(parser->op);
}

/* 1: the request is whole. */
static int take(struct pmt_rmt_parser *parser, char c)
{
	int lines;

	if (parser->op == 's') {
		parser->text[0] = c;
		return 1;
	}
	if (parser->op)
		return add_byte(parser, c);
	if (c == '\n')
		return 0;
	lines = lines_of(c);
	if (lines < 0)
		return lines;
	parser->op = c;
	return c == 'S';
}

ssize_t pmt_rmt_parser_feed(struct pmt_rmt_parser *parser, const char *bytes, size_t n,
			    struct pmt_rmt_request *request, bool *done)
{
	size_t taken = 0;
	int rc = 0;

	*done = false;
	while (taken < n && rc == 0)
		rc = take(parser, bytes[taken++]);
	if (rc > 0) {
		rc = finish(parser, request);
		*done = rc == 0;
		pmt_rmt_parser_init(parser);
	}
	return rc < 0 ? rc : (ssize_t)taken;
}

/* Writing them */

static const char *access_name(int flags)
{
	switch (flags & O_ACCMODE) {
	case O_RDONLY:
		return "O_RDONLY";
	case O_WRONLY:
		return "O_WRONLY";
	default:
		return "O_RDWR";
	}
}

int pmt_rmt_request_put(char *to, size_t size, const struct pmt_rmt_request *request)
{
	int n;

	switch (request->op) {
	case 'O':
		if (strchr(request->device, '\n') ||
		    strlen(request->device) > PMT_RMT_NAME_MAX)
			return -EINVAL;
		n = snprintf(to, size, "O%s\n%d %s\n", request->device,
			     request->flags & O_ACCMODE, access_name(request->flags));
		break;
	case 'C':
		n = snprintf(to, size, "C\n");
		break;
	case 'R': case 'W':
		n = snprintf(to, size, "%c%" PRId64 "\n", request->op, request->count);
		break;
	case 'L':
		n = snprintf(to, size, "L%" PRId64 "\n%d\n", request->count,
			     request->number);
		break;
	case 'I': case 'i':
		n = snprintf(to, size, "%c%d\n%" PRId64 "\n", request->op,
			     request->number, request->count);
		break;
	case 'S':
		n = snprintf(to, size, "S");
		break;
	case 's':
		n = snprintf(to, size, "s%c", request->what);
		break;
	case 'v': case 'V':
		n = snprintf(to, size, "%c\n", request->op);
		break;
	default:
		return -EINVAL;
	}
	return n < 0 || (size_t)n >= size ? -ENOBUFS : n;
}

/* Operations */

/* The eight of version 1, by their numbers there; 1 to 4 are so everywhere. */
static const int bsd_order[] = {
	MTWEOF, MTFSF, MTBSF, MTFSR, MTBSR, MTREW, MTOFFL, MTNOP,
};

static const int linux_order[] = {
	MTFSF, MTBSF, MTFSR, MTBSR, MTWEOF, MTREW, MTOFFL, MTNOP, MTRETEN, MTBSFM, MTFSFM,
	MTEOM, MTERASE, MTSEEK, MTLOAD, MTUNLOAD,
};

static bool is_linux(int op)
{
	for (size_t i = 0; i < N_ELEMENTS(linux_order); i++)
		if (linux_order[i] == op)
			return true;
	return false;
}

int pmt_rmt_op_decode(enum pmt_rmt_order order, int number)
{
	if (number >= 1 && number <= 4)
		return bsd_order[number];
	switch (order) {
	case PMT_RMT_ORDER_BSD:
		return number >= 0 && number < (int)N_ELEMENTS(bsd_order) ?
			       bsd_order[number] : -EINVAL;
	case PMT_RMT_ORDER_LINUX:
		return is_linux(number) ? number : -EINVAL;
	default:
		return -ENOTSUP;
	}
}

int pmt_rmt_op_encode(enum pmt_rmt_order order, int op)
{
	for (int i = 0; i < (int)N_ELEMENTS(bsd_order); i++)
		if (bsd_order[i] == op && (order == PMT_RMT_ORDER_BSD || (i >= 1 && i <= 4)))
			return i;
	return order == PMT_RMT_ORDER_LINUX && is_linux(op) ? op : -ENOTSUP;
}
