// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The main of every daemon that serves a unit
 *
 * Two threads.  The serving one opens the drive, makes the unit if that was
 * asked for, attaches and executes commands until it is stopped; whatever takes
 * long happens there.  The main one waits for signals (signalfd), for clients of
 * the control socket and for the serving one's changes (an eventfd), and never
 * for a drive.  What they share is in struct daemon, under its lock; the drive
 * and the server are closed by the main thread when the other has ended.
 *
 * Stopping is the library's pmt_server_stop: what was issued is executed, then
 * the thread ends, or hands over to a successor (handover.c).  There is no harder way to stop but SIGKILL, and after that
 * the unit keeps its commands for the next server.
 */
#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/uio.h>
#include <sys/stat.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "daemon.h"

struct daemon {
	const struct daemon_ops *ops;
	void *own;		/* of the daemon's own file */
	const char *unit_text;
	char **words;		/* behind UNIT */
	size_t n_words;
	bool create, take_over, prepare;
	struct pmt_unit_config config;
	struct config file;
	struct pmt_unit_config of_file;	/* what it says of the unit, for one who makes it */
	char started[32];
	struct keep *keep;

	int signals, changed;	/* signalfd, eventfd */
	int stop;		/* eventfd, readable from when it is to stop */
	struct control *control;	/* the main thread's; NULL: there is none */
	pthread_t thread;

	/* The serving thread's: the slave end while it has no server (-1: none), the
	 * daemon that was taken over (-1), what it served. */
	int slave, predecessor;
	char *spec;

	pthread_mutex_t lock;	/* of what follows */
	struct pmt_drive *drive;
	struct pmt_server *server;	/* once attached */
	struct successor successor;	/* who wants the unit */
	bool stopping, over;
	enum daemon_exit code;	/* when over */
};

/* The library's log handler has no context, so this is the process's. */
static struct {
	const char *name;
	int level;
	bool journal;
	pthread_mutex_t lock;	/* of control */
	struct control *control;
} log_to = { .level = LOG_INFO, .lock = PTHREAD_MUTEX_INITIALIZER };

static bool is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

/* Any thread.  Without a control socket nobody watches. */
static void emit_event(const char *event, struct json_object *details)
{
	pthread_mutex_lock(&log_to.lock);
	if (log_to.control)
		control_emit(log_to.control, event, details);
	else
		json_object_put(details);
	pthread_mutex_unlock(&log_to.lock);
}

static void emit_message(int priority, const char *message)
{
	struct json_object *details = json_object_new_object();

	if (!details)
		return;
	json_object_object_add(details, "priority", json_object_new_int(priority));
	json_object_object_add(details, "message", json_object_new_string(message));
	emit_event("log", details);
}

static void log_message(int priority, const char *message)
{
	if (priority <= log_to.level && log_to.journal)
		dprintf(STDERR_FILENO, "<%d>%s\n", priority, message);
	else if (priority <= log_to.level)
		dprintf(STDERR_FILENO, "%s: %s\n", log_to.name, message);
	if (priority < LOG_DEBUG)
		emit_message(priority, message);
}

void daemon_log(int priority, const char *format, ...)
{
	_cleanup_free_ char *message = NULL;
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vasprintf(&message, format, arguments);
	va_end(arguments);
	if (n < 0)
		message = NULL;
	log_message(priority, message ? message : format);
}

static void start_log(const char *name)
{
	log_to.name = name;
	log_to.journal = is_journal();
	pmt_log_set_handler(log_message);
}

static void set_log_control(struct control *control)
{
	pthread_mutex_lock(&log_to.lock);
	log_to.control = control;
	pthread_mutex_unlock(&log_to.lock);
}

enum {
	OPTION_UNIT = 0x100,	/* those that the unit's configuration takes */
	OPTION_TAKE_OVER,
	OPTION_CONFIG,
	OPTION_PREPARE,
};

static const struct option common_options[] = {
	{ "create", no_argument, NULL, 'c' },
	{ "take-over", no_argument, NULL, OPTION_TAKE_OVER },
	{ "ring", required_argument, NULL, OPTION_UNIT },
	{ "recovery", required_argument, NULL, OPTION_UNIT },
	{ "eot", required_argument, NULL, OPTION_UNIT },
	{ "quiet", no_argument, NULL, 'q' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
};
#define N_COMMON (sizeof(common_options) / sizeof(common_options[0]))

static const struct option configured_options[] = {
	{ "config", required_argument, NULL, OPTION_CONFIG },
	{ "prepare", no_argument, NULL, OPTION_PREPARE },
};
#define N_CONFIGURED (sizeof(configured_options) / sizeof(configured_options[0]))

/* A key of the file is an option that takes a value, by its name. */
static int take_key(void *context, const char *key, const char *value)
{
	struct daemon *d = context;
	const struct option *own = d->ops->options;
	int err = pmt_unit_config_parse(&d->of_file, key, value);

	if (err != -ENOENT)
		return err;
	for (; own && own->name; own++)
		if (own->has_arg == required_argument && strcmp(own->name, key) == 0)
			return d->ops->option(d->own, own->val, value);
	return -ENOENT;
}

/* Who does not make the unit leaves it as it is; the command line goes before. */
static void take_unit_of_file(struct daemon *d)
{
	struct pmt_unit_config *to = &d->config, *of = &d->of_file;

	if (!d->create)
		return;
	if (!to->data_size)
		to->data_size = of->data_size;
	if (!to->set_recovery) {
		to->set_recovery = of->set_recovery;
		to->recovery = of->recovery;
	}
	if (!to->set_eot) {
		to->set_eot = of->set_eot;
		to->eot = of->eot;
	}
}

/* -1: go on; else the exit code. */
static int take_option(struct daemon *d, int val, const char *name)
{
	int err = 0;

	switch (val) {
	case 'c': d->create = true; break;
	case OPTION_TAKE_OVER: d->take_over = true; break;
	case OPTION_PREPARE: d->prepare = d->create = true; break;
	case OPTION_CONFIG: err = config_read(&d->file, optarg, daemon_log, take_key, d); break;
	case 'q': log_to.level = LOG_WARNING; break;
	case 'v': log_to.level = LOG_DEBUG; break;
	case OPTION_UNIT: err = pmt_unit_config_parse(&d->config, name, optarg); break;
	case 'h':
		return fputs(d->ops->help, stdout) < 0 || fflush(stdout) ? DAEMON_FAILED : 0;
	case 'V':
		return printf("%s %s\n", d->ops->name, PMT_VERSION) < 0 || fflush(stdout) ?
		       DAEMON_FAILED : 0;
	case '?': err = -EINVAL; break;
	default: err = d->ops->option(d->own, val, optarg);
	}
	return err < 0 ? DAEMON_USAGE : -1;
}

static int take_options(struct daemon *d, int argc, char **argv)
{
	struct option options[N_COMMON + N_CONFIGURED + DAEMON_OPTIONS_MAX + 1] = { 0 };
	const struct option *own = d->ops->options;
	int val, index, code = -1;
	size_t n = N_COMMON;

	memcpy(options, common_options, sizeof(common_options));
	for (size_t i = 0; d->ops->configured && i < N_CONFIGURED; i++)
		options[n++] = configured_options[i];
	for (size_t i = 0; own && own[i].name && i < DAEMON_OPTIONS_MAX; i++)
		options[n++] = own[i];
	while (code < 0 && (val = getopt_long(argc, argv, "cqvhV", options, &index)) >= 0)
		code = take_option(d, val, val == OPTION_UNIT ? options[index].name : NULL);
	return code;
}

/* The drives of the daemon before are one word. */
static int check_words(struct daemon *d)
{
	static char same[] = "";
	char *words[] = { same };
	bool given = d->n_words || !d->take_over;

	if (!d->ops->check)
		return 0;
	return d->ops->check(d->own, given ? d->words : words, given ? d->n_words : 1);
}

static int find_words(struct daemon *d, int argc, char **argv)
{
	if (optind == argc && !d->file.unit) {
		daemon_log(LOG_ERR, "which unit? A number, or one of its nodes");
		return -EINVAL;
	}
	if (optind < argc && d->file.unit) {
		daemon_log(LOG_ERR, "%s: the unit and its drives are in the configuration",
			   argv[optind]);
		return -EINVAL;
	}
	d->unit_text = d->file.unit ? d->file.unit : argv[optind];
	d->words = d->file.unit ? d->file.drives : argv + optind + 1;
	d->n_words = d->file.unit ? d->file.n_drives : (size_t)(argc - optind - 1);
	take_unit_of_file(d);
	return 0;
}

static int take_words(struct daemon *d, int argc, char **argv)
{
	if (find_words(d, argc, argv) < 0)
		return -EINVAL;
	if (pmt_unit_parse(d->unit_text, &d->config.unit) < 0)
		return -EINVAL;
	if (d->config.data_size && !d->create) {
		daemon_log(LOG_ERR, "--ring is for a new unit: with --create");
		return -EINVAL;
	}
	if (d->create && d->take_over) {
		daemon_log(LOG_ERR, "--take-over is of a unit that is served, --create of a new one");
		return -EINVAL;
	}
	return check_words(d);
}

static int take_arguments(struct daemon *d, int argc, char **argv)
{
	int code = take_options(d, argc, argv);

	if (code < 0 && take_words(d, argc, argv) < 0)
		code = DAEMON_USAGE;
	if (code == DAEMON_USAGE)
		fprintf(stderr, "Try '%s --help'.\n", d->ops->name);
	return code;
}

/*
 * The serving thread.
 */
static enum daemon_exit open_drive(struct daemon *d)
{
	_cleanup_free_ char *error = NULL;
	struct pmt_drive *drive = NULL;
	bool given = d->n_words || !d->spec;
	int err = d->ops->open(d->own, given ? d->words : &d->spec, given ? d->n_words : 1,
			       keep_keeper(d->keep), &drive, &error);

	if (err < 0 && error)		/* of the specification */
		daemon_log(LOG_ERR, "%s", error);
	else if (err == -ENOMEM)	/* all else has been logged */
		daemon_log(LOG_ERR, "the drive does not open: %s", strerror(-err));
	if (err < 0)
		return error ? DAEMON_USAGE : DAEMON_FAILED;
	pthread_mutex_lock(&d->lock);
	d->drive = drive;
	pthread_mutex_unlock(&d->lock);
	return 0;
}

static void controlp(struct pmt_control **control)
{
	pmt_control_close(*control);
}

#define _cleanup_control_ __attribute__((cleanup(controlp)))

static const char *or_text(const char *text, int err)
{
	return *text ? text : strerror(-err);
}

static int make_unit(struct daemon *d, struct pmt_control *control)
{
	struct pmt_unit_info info;
	int err;

	if (d->create) {
		err = pmt_unit_new(control, &d->config, NULL);
		if (err != -EEXIST)
			return err;
		if (d->config.data_size &&
		    pmt_unit_get(control, d->config.unit, &info) == 0 &&
		    info.data_size != d->config.data_size)
			daemon_log(LOG_WARNING, "unit %u exists, with a ring of %u MiB: "
				   "it stays as it is", info.unit, info.data_size >> 20);
	}
	return d->config.set_recovery || d->config.set_eot ?
	       pmt_unit_set(control, &d->config) : 0;
}

static enum daemon_exit prepare_unit(struct daemon *d)
{
	_cleanup_control_ struct pmt_control *control = NULL;
	int err;

	if (!d->create && !d->config.set_recovery && !d->config.set_eot)
		return 0;
	err = pmt_control_open(&control);
	if (err == 0)
		err = make_unit(d, control);
	if (err == 0)
		return 0;
	if (err == -ENOPKG)
		daemon_log(LOG_ERR, "the kernel modules are not loaded: modprobe pmtm");
	else if (err == -EPERM)
		daemon_log(LOG_ERR, "not permitted: --create, --recovery and --eot need root "
			   "(CAP_SYS_ADMIN)");
	else if (err == -ENOENT)
		daemon_log(LOG_ERR, "no unit %u: --create makes it", d->config.unit);
	else
		daemon_log(LOG_ERR, "unit %u: %s", d->config.unit,
			   or_text(control ? pmt_control_error(control) : "", err));
	return DAEMON_FAILED;
}

static uint32_t server_pid(uint32_t unit, int *err)
{
	_cleanup_control_ struct pmt_control *control = NULL;
	struct pmt_unit_info info = { .server_pid = 0 };

	*err = pmt_control_open(&control);
	if (*err == 0)
		*err = pmt_unit_get(control, unit, &info);
	return info.server_pid;
}

/* The library has said what failed; this is what to do. */
static enum daemon_exit explain_attach(struct daemon *d, int err)
{
	uint32_t unit = d->config.unit, pid;
	int reason;

	pid = server_pid(unit, &reason);
	if (err == -EBUSY && pid)
		daemon_log(LOG_ERR, "unit %u is served by process %u: stop it, or pmt detach %u",
			   unit, pid, unit);
	else if (reason == -ENOPKG)
		daemon_log(LOG_ERR, "the kernel modules are not loaded: modprobe pmtm");
	else if (reason == -ENOENT)
		daemon_log(LOG_ERR, "unit %u is not served: there is none; --create makes it", unit);
	else if (err == -ESTALE)
		daemon_log(LOG_ERR, "unit %u is not served: it was using another cartridge; load "
			   "that one, or give it up (pmt abort %u) and begin anew", unit, unit);
	else if (err == -EMEDIUMTYPE)
		daemon_log(LOG_ERR, "unit %u is not served: load cartridges that are twins",
			   unit);
	else
		daemon_log(LOG_ERR, "unit %u is not served: %s", unit, strerror(-err));
	if (err == -ESTALE || err == -EMEDIUMTYPE)
		return DAEMON_MEDIUM;
	return err == -ENODEV ? DAEMON_TAKEN : DAEMON_FAILED;
}

static void tell_main(struct daemon *d)
{
	eventfd_write(d->changed, 1);
}

static void take_event(unsigned int event, const char *text, void *context)
{
	struct json_object *details = json_object_new_object();

	(void)context;
	if (details && text)
		json_object_object_add(details, "text", json_object_new_string(text));
	emit_event(pmt_event_name(event), details);
}

static void close_slave(struct daemon *d)
{
	if (d->slave >= 0)
		close(d->slave);
	d->slave = -1;
}

static enum daemon_exit attach(struct daemon *d)
{
	struct pmt_server *server = NULL;
	char number[16];
	int err;

	snprintf(number, sizeof(number), "%u", d->config.unit);
	if (d->slave >= 0)
		err = pmt_server_open_again(&server, d->slave, d->drive);
	else
		err = pmt_server_open(&server, number, d->drive);
	if (err < 0)
		return explain_attach(d, err);
	close_slave(d);
	keep_close_unused(d->keep);
	pmt_server_set_event(server, take_event, d);
	pthread_mutex_lock(&d->lock);
	d->server = server;
	if (d->stopping)
		pmt_server_stop(server);
	pthread_mutex_unlock(&d->lock);
	tell_main(d);
	return 0;
}

static enum daemon_exit explain_taken(struct daemon *d)
{
	_cleanup_control_ struct pmt_control *control = NULL;
	struct pmt_unit_info info = { .state = PMT_STATE_UNSERVED };
	uint32_t unit = d->config.unit;
	int err = pmt_control_open(&control);

	if (err == 0)
		err = pmt_unit_get(control, unit, &info);
	if (err == -ENOENT || err == -ENOPKG)
		daemon_log(LOG_ERR, "unit %u was deleted", unit);
	else if (info.state == PMT_STATE_BROKEN)
		daemon_log(LOG_CRIT, "unit %u refused an answer of this program and is broken: "
			   "pmt abort %u makes it usable again", unit, unit);
	else
		daemon_log(LOG_ERR, "the slave end of unit %u was taken away (pmt detach, pmt "
			   "abort)", unit);
	return DAEMON_TAKEN;
}

static enum daemon_exit run(struct daemon *d)
{
	int err = pmt_server_run(d->server);

	if (err == -ENODEV)
		return explain_taken(d);
	if (err < 0) {
		daemon_log(LOG_ERR, "serving unit %u ended: %s", d->config.unit, strerror(-err));
		return DAEMON_FAILED;
	}
	return DAEMON_STOPPED;
}

static bool is_stopping(struct daemon *d)
{
	bool stopping;

	pthread_mutex_lock(&d->lock);
	stopping = d->stopping;
	pthread_mutex_unlock(&d->lock);
	return stopping;
}

/* Nobody serves the unit from now on, and it does not notice.  *spec: by what. */
static void leave(struct daemon *d, char **spec)
{
	struct pmt_server *server;
	struct pmt_drive *drive;

	pthread_mutex_lock(&d->lock);
	server = d->server;
	drive = d->drive;
	d->server = NULL;
	d->drive = NULL;
	pthread_mutex_unlock(&d->lock);
	*spec = strdup(pmt_drive_text(drive));
	d->slave = pmt_server_leave(server);
	pmt_drive_close(drive);
}

/* The serving thread's from now on. */
static bool has_successor(struct daemon *d, struct successor *successor)
{
	pthread_mutex_lock(&d->lock);
	*successor = d->successor;
	pthread_mutex_unlock(&d->lock);
	return successor->connection >= 0;
}

static void forget_successor(struct daemon *d)
{
	pthread_mutex_lock(&d->lock);
	close(d->successor.connection);
	close(d->successor.process);
	d->successor.connection = -1;
	pthread_mutex_unlock(&d->lock);
}

/* False: it is still this daemon's. */
static bool hand_over(struct daemon *d, const struct successor *successor)
{
	_cleanup_free_ char *spec = NULL;
	int pid = -ENOMEM;

	leave(d, &spec);
	if (spec)
		pid = handover_give(successor, d->stop, d->slave, d->keep, d->config.unit, spec);
	forget_successor(d);
	if (pid >= 0) {
		daemon_log(LOG_INFO, "unit %u is handed over to process %d", d->config.unit,
			   pid);
		return true;
	}
	daemon_log(LOG_WARNING, "unit %u was not taken over: %s", d->config.unit, strerror(-pid));
	keep_forget_states(d->keep);
	return false;
}

/* Until it is stopped, or all is handed over. */
static enum daemon_exit run_on(struct daemon *d)
{
	enum daemon_exit code = run(d);
	struct successor successor;

	while (!code && has_successor(d, &successor)) {
		if (hand_over(d, &successor) || is_stopping(d))
			break;
		code = open_drive(d);
		if (!code)
			code = attach(d);
		if (!code)
			code = run(d);
	}
	return code;
}

static enum daemon_exit begin(struct daemon *d)
{
	enum daemon_exit code = 0;

	if (d->take_over)
		d->predecessor = handover_take(d->config.unit, d->stop, d->keep, &d->slave,
					       &d->spec);
	if (d->take_over && d->predecessor < 0)
		code = is_stopping(d) ? DAEMON_STOPPED : DAEMON_FAILED;
	if (!code && !is_stopping(d))
		code = open_drive(d);
	if (!code && !is_stopping(d))
		code = prepare_unit(d);
	if (!code && !is_stopping(d))
		code = attach(d);
	return code;
}

static void *serve(void *context)
{
	struct daemon *d = context;
	enum daemon_exit code = begin(d);

	if (!code && d->server) {
		if (d->predecessor >= 0)
			handover_taken(d->predecessor);
		d->predecessor = -1;
		code = run_on(d);
	}
	pthread_mutex_lock(&d->lock);
	d->code = code;
	d->over = true;
	pthread_mutex_unlock(&d->lock);
	tell_main(d);
	return NULL;
}

/*
 * The main thread.
 */
static const char *time_text(char *text, size_t size)
{
	time_t now = time(NULL);
	struct tm tm;

	strftime(text, size, "%FT%TZ", gmtime_r(&now, &tm));
	return text;
}

static struct json_object *drive_status(struct daemon *d)
{
	_cleanup_free_ char *text = NULL;
	int err = -ENODEV;

	pthread_mutex_lock(&d->lock);
	if (d->drive)
		err = pmt_drive_status_json(d->drive, &text);
	pthread_mutex_unlock(&d->lock);
	return err < 0 ? NULL : json_tokener_parse(text);
}

static struct json_object *command_status(void *context, struct json_object *request)
{
	struct json_object *status = json_object_new_object();
	struct daemon *d = context;

	(void)request;
	if (!status)
		return NULL;
	json_object_object_add(status, "unit", json_object_new_int64(d->config.unit));
	json_object_object_add(status, "daemon", json_object_new_string(d->ops->name));
	json_object_object_add(status, "pid", json_object_new_int(getpid()));
	json_object_object_add(status, "version", json_object_new_string(PMT_VERSION));
	json_object_object_add(status, "started", json_object_new_string(d->started));
	json_object_object_add(status, "stopping", json_object_new_boolean(is_stopping(d)));
	json_object_object_add(status, "drive", drive_status(d));
	return status;
}

static void add_outcome(struct json_object *answer, int err, const char *error)
{
	if (err < 0)
		json_object_object_add(answer, "error", json_object_new_string(
				       error ? error : strerror(-err)));
	else
		json_object_object_add(answer, "ok", json_object_new_boolean(true));
}

/* To the drives, which take it without waiting for a command. */
static struct json_object *command_control(void *context, struct json_object *request)
{
	struct json_object *answer = json_object_new_object(), *line;
	_cleanup_free_ char *error = NULL;
	struct daemon *d = context;
	int err;

	if (!answer)
		return NULL;
	if (!json_object_object_get_ex(request, "line", &line) ||
	    !json_object_is_type(line, json_type_string)) {
		json_object_object_add(answer, "error", json_object_new_string("no \"line\""));
		return answer;
	}
	pthread_mutex_lock(&d->lock);
	err = d->drive ? pmt_drive_control(d->drive, json_object_get_string(line), &error) : -EAGAIN;
	pthread_mutex_unlock(&d->lock);
	add_outcome(answer, err, error);
	return answer;
}

/* {"copy": N, "spec": TEXT} */
static struct json_object *command_rejoin(void *context, struct json_object *request)
{
	struct json_object *answer = json_object_new_object(), *copy, *spec;
	_cleanup_free_ char *error = NULL;
	struct daemon *d = context;
	int err = -EINVAL;

	if (!answer)
		return NULL;
	if (!json_object_object_get_ex(request, "copy", &copy) ||
	    !json_object_is_type(copy, json_type_int) ||
	    !json_object_object_get_ex(request, "spec", &spec) ||
	    !json_object_is_type(spec, json_type_string)) {
		json_object_object_add(answer, "error",
				       json_object_new_string("no \"copy\" and \"spec\""));
		return answer;
	}
	pthread_mutex_lock(&d->lock);
	err = d->drive ? pmt_mirror_rejoin(d->drive, (unsigned int)json_object_get_int(copy),
					   json_object_get_string(spec), &error) : -EAGAIN;
	pthread_mutex_unlock(&d->lock);
	add_outcome(answer, err, error);
	if (err > 0)
		json_object_object_add(answer, "waits", json_object_new_boolean(true));
	return answer;
}

/* There is no socket before the daemon is ready, so nobody misses that event. */
static struct json_object *command_watch(void *context, struct json_object *request)
{
	struct json_object *event = json_object_new_object();
	struct daemon *d = context;
	char now[32];

	(void)request;
	if (!event)
		return NULL;
	json_object_object_add(event, "time", json_object_new_string(time_text(now, sizeof(now))));
	json_object_object_add(event, "unit", json_object_new_int64(d->config.unit));
	json_object_object_add(event, "event", json_object_new_string(is_stopping(d) ?
								      "stopping" : "ready"));
	json_object_object_add(event, "started", json_object_new_string(d->started));
	return event;
}

static const char *command_take_over(void *context, int fd)
{
	struct daemon *d = context;
	const char *error = NULL;

	pthread_mutex_lock(&d->lock);
	if (d->stopping)
		error = "the daemon that serves it is stopping; start without --take-over";
	else if (d->successor.connection >= 0 || !d->server)
		error = "it is being handed over to another";
	else if (handover_asked(&d->successor, fd) < 0)
		error = "whoever asks has gone";
	else
		pmt_server_stop(d->server);
	pthread_mutex_unlock(&d->lock);
	if (!error) {
		daemon_log(LOG_INFO, "asked to hand over: finishing what was issued");
		emit_event("handing-over", NULL);
	}
	return error;
}

static void open_control(struct daemon *d)
{
	static const struct control_command commands[] = {
		{ "status", command_status, NULL },
		{ "watch", command_watch, NULL },
		{ "control", command_control, NULL },
		{ "rejoin", command_rejoin, NULL },
		{ "take-over", NULL, command_take_over },
		{ NULL, NULL, NULL },
	};
	int err = control_open(&d->control, d->config.unit, commands, d);

	if (err < 0)
		daemon_log(LOG_WARNING, "no control socket for unit %u: %s", d->config.unit,
			   strerror(-err));
	set_log_control(d->control);
}

static void emit_stopping(const char *reason)
{
	struct json_object *details = json_object_new_object();

	if (details)
		json_object_object_add(details, "reason", json_object_new_string(reason));
	emit_event("stopping", details);
}

static void become_ready(struct daemon *d)
{
	open_control(d);
	daemon_log(LOG_INFO, "serving unit %u", d->config.unit);
	sd_notifyf(0, "READY=1\nSTATUS=Serving unit %u", d->config.unit);
}

static void stop(struct daemon *d, const char *why)
{
	pthread_mutex_lock(&d->lock);
	d->stopping = true;
	if (d->server)
		pmt_server_stop(d->server);
	pthread_mutex_unlock(&d->lock);
	eventfd_write(d->stop, 1);
	daemon_log(LOG_INFO, "%s: finishing what was issued", why);
	emit_stopping(why);
	sd_notify(0, "STOPPING=1\nSTATUS=Finishing what was issued");
}

static void take_signal(struct daemon *d)
{
	struct signalfd_siginfo info;

	if (read(d->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (is_stopping(d))
		daemon_log(LOG_NOTICE, "%s: still finishing what was issued",
			   strsignal(info.ssi_signo));
	else
		stop(d, strsignal(info.ssi_signo));
}

static bool take_change(struct daemon *d, bool *ready)
{
	bool attached, over;
	eventfd_t ignored;

	eventfd_read(d->changed, &ignored);
	pthread_mutex_lock(&d->lock);
	attached = d->server != NULL;
	over = d->over;
	pthread_mutex_unlock(&d->lock);
	if (attached && !*ready) {
		become_ready(d);
		*ready = true;
	}
	return over;
}

static void loop(struct daemon *d)
{
	bool ready = false, over = false;

	while (!over) {
		struct pollfd fds[] = {
			{ .fd = d->signals, .events = POLLIN },
			{ .fd = d->changed, .events = POLLIN },
			{ .fd = d->control ? control_fd(d->control) : -1, .events = POLLIN },
		};

		if (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) < 0)
			continue;
		if (fds[0].revents)
			take_signal(d);
		if (fds[1].revents)
			over = take_change(d, &ready);
		if (fds[2].revents)
			control_dispatch(d->control);
	}
}

/*
 * The ring's pages are gone: the unit took the slave end away (pmt detach, pmt
 * abort) and a thread was just using them.  No command goes wrong by leaving at
 * once: what was not answered waits in the unit.
 */
static void pages_gone(int number)
{
	static const char message[] =
		": the slave end was taken away; 'pmt status' shows the unit\n";
	const struct iovec line[] = {
		{ program_invocation_short_name, strlen(program_invocation_short_name) },
		{ (void *)(uintptr_t)message, sizeof(message) - 1 },
	};
	ssize_t ret = writev(STDERR_FILENO, line, 2);

	(void)ret;
	(void)number;
	_exit(DAEMON_TAKEN);
}

/*
 * A thread that is woken for a record does not take the processor from who writes: if
 * they have one between them, the ring fills meanwhile, and then each thread is woken
 * once for many records.  What somebody else has chosen stays.
 */
static void yield_to_writer(void)
{
	const struct sched_param none = { 0 };

	if (sched_getscheduler(0) == SCHED_OTHER && sched_setscheduler(0, SCHED_BATCH, &none) < 0)
		daemon_log(LOG_WARNING, "the scheduling policy stays as it is: %m");
}

static int set_up(struct daemon *d)
{
	struct sigaction gone = { .sa_handler = pages_gone };
	sigset_t set;

	time_text(d->started, sizeof(d->started));
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);	/* EFBIG is an end of tape */
	sigaction(SIGBUS, &gone, NULL);
	d->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (d->signals < 0)
		return -errno;
	d->changed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->changed < 0)
		return -errno;
	d->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->stop < 0)
		return -errno;
	d->keep = keep_new();
	if (!d->keep)
		return -ENOMEM;
	yield_to_writer();
	return -pthread_create(&d->thread, NULL, serve, d);
}

static void tear_down(struct daemon *d)
{
	if (!d->stopping && d->code == DAEMON_STOPPED)
		emit_stopping("handed over");
	else if (!d->stopping)
		emit_stopping(d->code == DAEMON_TAKEN ? "taken away" : "failed");
	set_log_control(NULL);
	control_close(d->control);
	if (d->server)
		pmt_server_close(d->server);
	if (d->drive)
		pmt_drive_close(d->drive);
	keep_free(d->keep);
	free(d->spec);
	close_slave(d);
	if (d->predecessor >= 0)
		close(d->predecessor);
	close(d->stop);
	close(d->changed);
	close(d->signals);
}

static enum daemon_exit serve_unit(struct daemon *d)
{
	int err = set_up(d);

	if (err < 0) {
		daemon_log(LOG_ERR, "no start: %s", strerror(-err));
		return DAEMON_FAILED;
	}
	loop(d);
	pthread_join(d->thread, NULL);
	tear_down(d);
	if (d->code == DAEMON_STOPPED)
		daemon_log(LOG_INFO, "stopped");
	return d->code;
}

int daemon_main(const struct daemon_ops *ops, void *own, int argc, char **argv)
{
	struct daemon d = {
		.ops = ops, .own = own,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.signals = -1, .changed = -1, .stop = -1,
		.slave = -1, .predecessor = -1, .successor.connection = -1,
	};
	int code;

	start_log(ops->name);
	/*
	 * A shell that has the master end open would pass it on: its close would not
	 * be the last one then, and no filemark be written.
	 */
	close_range(STDERR_FILENO + 1 + (unsigned int)sd_listen_fds(0), ~0U, 0);
	code = take_arguments(&d, argc, argv);
	if (code < 0)
		code = d.prepare ? prepare_unit(&d) : serve_unit(&d);
	config_free(&d.file);
	return code;
}
