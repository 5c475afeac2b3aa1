// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Messages: one line each, to the handler that the program has set, else to
 * standard error.  Where that is the journal (JOURNAL_STREAM names it), lines
 * begin with the priority.  The handler is set before other threads start and
 * is the only global of the library.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <syslog.h>

#include "internal.h"

static pmt_log_handler handler;

void pmt_log_set_handler(pmt_log_handler h)
{
	handler = h;
}

static bool stderr_is_journal(void)
{
	unsigned long long device, inode;
	const char *stream = getenv("JOURNAL_STREAM");
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device &&
	       st.st_ino == inode;
}

static void to_stderr(int priority, const char *message)
{
	if (stderr_is_journal())
		fprintf(stderr, "<%d>%s\n", priority & LOG_PRIMASK, message);
	else
		fprintf(stderr, "%s: %s\n", program_invocation_short_name, message);
}

void pmt_log(int priority, const char *format, ...)
{
	int saved = errno;
	char message[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	for (char *p = message; *p; p++)
		if (*p == '\n')
			*p = ' ';
	(handler ? handler : to_stderr)(priority, message);
	errno = saved;
}
