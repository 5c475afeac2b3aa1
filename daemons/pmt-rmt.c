// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pmt-rmt: drives for programs that speak RMT, on standard input and output
 *
 * The client chooses among the names of rmt.conf and nothing else: what it sends is
 * never part of a path, nor of a specification.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "rmt.h"

#ifndef PMT_VERSION
#define PMT_VERSION "0.1"
#endif

#define CONFIG "/etc/pmt/rmt.conf"

static const char help[] =
	"Usage: pmt-rmt [OPTION ...]\n"
	"Serve a client of the remote tape protocol (RMT) on standard input and output:\n"
	"dump, tar, cpio or star on another host, by ssh.  The tapes that it may use are\n"
	"named in " CONFIG ", see pmt-rmt(8).\n"
	"\n"
	"      --config FILE  another file of names\n"
	"  -c COMMAND         not looked at: what sshd gives to a login shell\n"
	"  -q, --quiet        warnings and errors only\n"
	"  -h, --help         this text\n"
	"  -V, --version      the version\n"
	"\n"
	"Exit: 0 the client has gone, 1 failure, 2 usage or configuration.\n";

enum { EXIT_SERVED, EXIT_FAILED, EXIT_USAGE };

static int threshold = LOG_INFO;

static void log_message(int priority, const char *message)
{
	if (priority <= threshold)
		fprintf(stderr, "pmt-rmt: %s\n", message);
}

void rmt_log(int priority, const char *format, ...)
{
	char message[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	log_message(priority, message);
}

/* -1: go on; else the exit code. */
static int take_options(int argc, char **argv, const char **config)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'f' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int val;

	while ((val = getopt_long(argc, argv, "c:qhV", options, NULL)) >= 0) {
		switch (val) {
		case 'c':
			break;
		case 'f':
			*config = optarg;
			break;
		case 'q':
			threshold = LOG_WARNING;
			break;
		case 'h':
			fputs(help, stdout);
			return fflush(stdout) ? EXIT_FAILED : EXIT_SERVED;
		case 'V':
			puts("pmt-rmt " PMT_VERSION);
			return fflush(stdout) ? EXIT_FAILED : EXIT_SERVED;
		default:
			fputs("Try 'pmt-rmt --help'.\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "pmt-rmt: too many arguments: the client names the tape\n");
	return EXIT_USAGE;
}

static int find(void *context, const char *name, struct pmt_rmt_tape *tape)
{
	const struct rmt_conf *conf = context;
	char shown[80];
	size_t i = 0;
	int rc = rmt_conf_find(conf, name, tape);

	if (rc == 0)
		return 0;
	/* It is the client's, and may be anything. */
	for (; name[i] && i < sizeof(shown) - 1; i++)
		shown[i] = (char)(name[i] > ' ' && name[i] < 127 ? name[i] : '?');
	shown[i] = '\0';
	rmt_log(LOG_ERR, "%s: %s has no tape of this name", shown, conf->path);
	return rc;
}

static void interrupted(int signal)
{
	(void)signal;	/* that it came ends the wait for a request */
}

/*
 * A signal ends the session where nothing is begun, so that the tape gets its
 * filemark; waiting is the mask for that.  A client that has gone is an error of
 * write(2).
 */
static int set_signals(sigset_t *waiting)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
	struct sigaction action = { .sa_handler = interrupted };
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	sigset_t blocked;

	sigemptyset(&blocked);
	sigemptyset(&action.sa_mask);
	sigemptyset(&ignore.sa_mask);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (sigaddset(&blocked, numbers[i]) ||
		    sigaction(numbers[i], &action, NULL))
			return -errno;
	if (sigaction(SIGPIPE, &ignore, NULL) || sigprocmask(SIG_BLOCK, &blocked, waiting))
		return -errno;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigdelset(waiting, numbers[i]);
	return 0;
}

/* A file that is opened must not become the client's. */
static int has_descriptors(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return -EBADF;
	return 0;
}

int main(int argc, char **argv)
{
	const char *path = CONFIG;
	struct rmt_conf conf = { .path = NULL };
	struct pmt_rmt_config config = { .find = find, .context = &conf };
	sigset_t waiting;
	int code, rc = has_descriptors();

	pmt_log_set_handler(log_message);
	code = take_options(argc, argv, &path);
	if (code >= 0)
		return code;
	if (rmt_conf_load(&conf, path, rmt_log)) {
		rmt_conf_free(&conf);
		return EXIT_USAGE;
	}
	if (rc == 0)
		rc = set_signals(&waiting);
	config.waiting = &waiting;
	if (rc == 0)
		rc = pmt_rmt_serve(&config, STDIN_FILENO, STDOUT_FILENO);
	if (rc && rc != -EINTR)
		rmt_log(LOG_ERR, "the session ended: %s", strerror(-rc));
	rmt_conf_free(&conf);
	return rc ? EXIT_FAILED : EXIT_SERVED;
}
