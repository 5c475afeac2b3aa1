// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * RMT replies: "A", a number and a newline, behind which data may begin; or "E" (or
 * "F", and the server has closed the tape), a number, a newline and a line of text.
 *
 * The number of an error is errno of the server's system.  They differ from
 * system to system, the texts of strerror(3) hardly do: so the text is asked first.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "rmt.h"

static const struct {
	const char *text;
	int error;
} texts[] = {
	/* Those with one text everywhere are asked of strerror(). */
	{ "Not owner", EPERM },				/* System V */
	{ "I/O error", EIO },
	{ "Arg list too long", E2BIG },
	{ "Bad file number", EBADF },
	{ "No more processes", EAGAIN },
	{ "Not enough space", ENOMEM },
	{ "Device busy", EBUSY },
	{ "Device not configured", ENXIO },		/* BSD */
	{ "Operation not supported by device", ENODEV },
	{ "Resource busy", EBUSY },			/* macOS */
	{ "No space left on device", ENOSPC },
	{ "Disc quota exceeded", EDQUOT },
	{ "Disk quota exceeded", EDQUOT },
	{ "No medium found", ENOMEDIUM },
	{ "Operation not supported", EOPNOTSUPP },
	{ "Operation not supported on transport endpoint", EOPNOTSUPP },
	{ "Operation not applicable", ENOSYS },
	{ "Value too large for defined data type", EOVERFLOW },
	{ "Wrong medium type", EMEDIUMTYPE },
};

/* Up to here the numbers are the same on all systems; but EAGAIN is not. */
#define SAME_EVERYWHERE 34

static const char *text_of(int error)
{
	const char *text = strerrordesc_np(error);

	return text ? text : "";
}

int pmt_rmt_errno(int64_t number, const char *text)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcasecmp(texts[i].text, text) == 0)
			return texts[i].error;
	for (int i = 1; *text && i < EHWPOISON; i++)
		if (strcasecmp(text_of(i), text) == 0)
			return i;
	if (number > 0 && number <= SAME_EVERYWHERE && number != EAGAIN)
		return (int)number;
	return EIO;
}

void pmt_rmt_reply_init(struct pmt_rmt_reply_parser *parser)
{
	parser->n_number = parser->n_text = parser->size = 0;
	parser->kind = 0;
	parser->in_text = false;
}

static int finish(struct pmt_rmt_reply_parser *parser, struct pmt_rmt_reply *reply)
{
	int64_t number;
	int rc;

	parser->number[parser->n_number] = '\0';
	parser->text[parser->n_text] = '\0';
	rc = pmt_rmt_number(parser->number, INT64_MIN, INT64_MAX, &number);
	if (rc)
		return rc == -EINVAL ? -EBADMSG : rc;
	*reply = (struct pmt_rmt_reply){ .kind = PMT_RMT_OK, .value = number };
	if (parser->kind == 'A')
		return 0;
	*reply = (struct pmt_rmt_reply){
		.kind = PMT_RMT_ERROR,
		.fatal = parser->kind == 'F',
		.error = pmt_rmt_errno(number, parser->text),
	};
	return 0;
}

static int add_number(struct pmt_rmt_reply_parser *parser, char c)
{
	if (c == '\n') {
		parser->in_text = true;
		return parser->kind == 'A';
	}
	if (c == '\r')
		return 0;
	if (parser->n_number == sizeof(parser->number) - 1)
		return -ERANGE;
	parser->number[parser->n_number++] = c;
	return 0;
}

/* 1: the reply is whole.  A text that is too long is read, and its end dropped. */
static int take(struct pmt_rmt_reply_parser *parser, char c)
{
	if (++parser->size > PMT_RMT_REPLY_MAX)
		return -EBADMSG;
	if (!parser->kind) {
		parser->kind = c;
		return c == 'A' || c == 'E' || c == 'F' ? 0 : -EBADMSG;
	}
	if (!parser->in_text)
		return add_number(parser, c);
	if (c == '\n')
		return 1;
	if (c && c != '\r' && parser->n_text < sizeof(parser->text) - 1)
		parser->text[parser->n_text++] = c;
	return 0;
}

ssize_t pmt_rmt_reply_feed(struct pmt_rmt_reply_parser *parser, const char *bytes,
			   size_t n, struct pmt_rmt_reply *reply, bool *done)
{
	size_t taken = 0;
	int rc = 0;

	*done = false;
	while (taken < n && rc == 0)
		rc = take(parser, bytes[taken++]);
	if (rc > 0) {
		rc = finish(parser, reply);
		*done = rc == 0;
		pmt_rmt_reply_init(parser);
	}
	return rc < 0 ? rc : (ssize_t)taken;
}

int pmt_rmt_reply_ok(char *to, size_t size, int64_t value)
{
	int n = snprintf(to, size, "A%" PRId64 "\n", value);

	return n < 0 || (size_t)n >= size ? -ENOBUFS : n;
}

/* The text is that of strerror(3): clients of other systems go by it. */
int pmt_rmt_reply_error(char *to, size_t size, int error)
{
	int n = snprintf(to, size, "E%d\n%s\n", error, text_of(error));

	return n < 0 || (size_t)n >= size ? -ENOBUFS : n;
}
