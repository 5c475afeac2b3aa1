// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * failing: every allocation and every copy of every entry point fails, one at a time
 *
 *	failing UNIT [NAME...]		the entry points, or those of these names
 *	failing load DIR [PARAM [STEP]]	of loading DIR/pmts.ko, then DIR/pmtm.ko, which is
 *					given PARAM; each STEP-th is tried
 *
 * The kernel's fault injection has a counter in each task: the n-th allocation or
 * copy from or to user space that the task makes fails (/proc/self/fail-nth).  Each
 * entry point is run with n = 1, 2, 3 and so on, until it ends without having used
 * the counter up; first while only allocations that may not sleep fail, then all.
 * (The counter is also used up by allocations of the checkers, whose failure no
 * program sees.)
 *
 * Asserted: the result is success, or an error that a lack of memory or a bad address
 * explains; what was told is so (a unit exists or not, so many records are there);
 * the last, undisturbed run succeeds; after each the served unit UNIT takes a round
 * trip, and behind all of an entry point so does a slave end.
 *
 * Prints "# NAME: N injected, M told" and "ok NAME" or "not ok NAME".  Nothing
 * injected is a failure, but where its entry says why that is so.
 *
 * Here are the counter, what runs an entry point with it, and loading.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "failing.h"

#define NTH_MAX	20000		/* an entry point that never ends */

struct failing f = { .fd = -1 };

static int nth_file;		/* /proc/self/fail-nth */

void bad(const char *format, ...)
{
	va_list ap;

	f.bad = true;
	printf("# %s: ", f.entry ? f.entry->name : "failing");
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
}

void die(const char *what)
{
	printf("not ok %s\n# %s: %s\n", f.entry ? f.entry->name : "setup", what,
	       strerror(errno));
	exit(1);
}

int result(long returned)
{
	return returned < 0 ? -errno : 0;
}

const char *name_of(int error)
{
	const char *text = strerrorname_np(-error);

	return error ? text ? text : "?" : "success";
}

/* ---- the counter ---- */

static void setting(const char *attribute, const char *file, const char *value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", attribute, file);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		die(path);
	close(fd);
}

/* Also those that may sleep? */
static void may_sleep(bool too)
{
	setting("failslab", "ignore-gfp-wait", too ? "N" : "Y");
	setting("fail_page_alloc", "ignore-gfp-wait", too ? "N" : "Y");
}

static void open_counter(void)
{
	static const char *const all[] = { "failslab", "fail_page_alloc", "fail_usercopy" };

	for (size_t i = 0; i < SIZE(all); i++) {
		setting(all[i], "probability", "0");
		setting(all[i], "verbose", "0");
	}
	setting("fail_page_alloc", "min-order", "0");
	setting("fail_page_alloc", "ignore-gfp-highmem", "N");
	setting("failslab", "cache-filter", "N");
	nth_file = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	if (nth_file < 0)
		die("/proc/self/fail-nth");
}

static void arm(int nth)
{
	char text[16];

	if (pwrite(nth_file, text, (size_t)snprintf(text, sizeof(text), "%d", nth), 0) < 0)
		die("fail-nth");
}

/*
 * What is left of the counter: 0 if something has failed.  Reading it is a copy
 * itself, and may be the one that fails.
 */
static int disarm(void)
{
	char text[16] = "";
	ssize_t n = pread(nth_file, text, sizeof(text) - 1, 0);
	int left = n > 0 ? atoi(text) : 1;

	if (pwrite(nth_file, "0", 1, 0) < 0 && pwrite(nth_file, "0", 1, 0) < 0)
		die("fail-nth");
	return left;
}

/* ---- running an entry point ---- */

static struct count {
	unsigned int injected, told;
} count;

static bool expected(int told, bool injected)
{
	if (told == f.entry->wanted)
		return true;
	return injected && (told == -ENOMEM || told == -EFAULT ||
			    (told == -ENOBUFS && is_request()));
}

/* With the nth failing: did one fail? */
static bool once(int nth)
{
	const struct entry *entry = f.entry;
	bool injected;
	int told;

	if (entry->prepare)
		entry->prepare();
	arm(nth);
	told = entry->run();
	injected = !disarm();
	if (!expected(told, injected))
		bad("the %dth: %s", nth, name_of(told));
	count.injected += injected;
	count.told += injected && told != entry->wanted;
	if (entry->after)
		entry->after(told);
	round_trip();
	return injected;
}

static void verdict(const char *nothing)
{
	if (!count.injected && !nothing)
		bad("nothing was injected");
	printf("# %s: %u injected, %u told%s%s\n%s %s\n", f.entry->name, count.injected,
	       count.told, count.injected || !nothing ? "" : ": ",
	       count.injected || !nothing ? "" : nothing, f.bad ? "not ok" : "ok",
	       f.entry->name);
	fflush(stdout);
}

static bool try_entry(const struct entry *entry)
{
	f.entry = entry;
	f.bad = false;
	count = (struct count){ 0 };
	for (int sleeping = 0; sleeping < 2; sleeping++) {
		may_sleep(sleeping);
		for (int nth = 1; !f.bad && once(nth); nth++)
			if (nth == NTH_MAX)
				bad("it never ends");
		slave_round_trip();
	}
	verdict(entry->nothing);
	f.entry = NULL;
	return !f.bad;
}

static bool named(const struct entry *entry, char **names)
{
	bool found = !names[0];

	for (; *names; names++)
		found |= strcmp(*names, entry->name) == 0;
	return found;
}

static int try_entries(const char *unit, char **names)
{
	static const struct entry *const tables[] = {
		master_entries, slave_entries, control_entries,
	};
	char path[128];
	int status = 0;

	snprintf(f.tape, sizeof(f.tape), "/dev/npmtm%s", unit);
	snprintf(path, sizeof(path), "/sys/class/pmt/npmtm%s", unit);
	f.folder = open(path, O_PATH | O_CLOEXEC);
	if (f.folder < 0)
		die(path);
	make_spare();
	for (size_t i = 0; i < SIZE(tables); i++)
		for (const struct entry *entry = tables[i]; entry->name; entry++)
			if (named(entry, names) && !try_entry(entry))
				status = 1;
	delete_spare();
	return status;
}

/* ---- loading ---- */

static int load(const char *path, const char *parameters)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = result(syscall(SYS_finit_module, fd, parameters, 0));
	close(fd);
	return ret;
}

static int unload(const char *name)
{
	return result(syscall(SYS_delete_module, name, O_NONBLOCK));
}

/*
 * Loading a module that is there already fails behind all that is the loader's
 * large allocations, which are nobody's business here and complain loudly.  What
 * comes behind is the module's own, but for some of the loader's.
 */
static int allocations_of_loader(const char *path, const char *parameters)
{
	int left;

	arm(1 << 20);
	if (load(path, parameters) != -EEXIST)
		die(path);
	left = disarm();
	return (1 << 20) - left;
}

static bool try_load(const char *dir, const char *name, const char *parameters, int step)
{
	struct entry entry = { .name = name };
	char path[4096];
	bool injected = true;
	int first;

	f.entry = &entry;
	f.bad = false;
	count = (struct count){ 0 };
	may_sleep(true);
	snprintf(path, sizeof(path), "%s/%s.ko", dir, name);
	if (load(path, parameters))
		die(path);
	first = allocations_of_loader(path, parameters) + 1;
	if (unload(name))
		die("unload");
	for (int nth = first; injected && !f.bad; nth += step) {
		int told;

		arm(nth);
		told = load(path, parameters);
		injected = !disarm();
		if (!expected(told, injected))
			bad("the %dth: %s", nth, name_of(told));
		count.injected += injected;
		count.told += injected && told;
		if (!told && unload(name))
			bad("it can not be unloaded");
	}
	if (!injected && load(path, parameters))
		bad("it can not be loaded behind it");
	verdict(NULL);
	f.entry = NULL;
	return !f.bad;
}

int main(int argc, char **argv)
{
	bool loads = argc > 1 && !strcmp(argv[1], "load");
	int step = loads && argc > 4 ? atoi(argv[4]) : 1;

	if (argc < 2 + loads) {
		fputs("usage: failing UNIT [NAME...] | load DIR [PARAM [STEP]]\n", stderr);
		return 2;
	}
	open_counter();
	if (!loads)
		return try_entries(argv[1], argv + 2);
	return !try_load(argv[2], "pmts", "", step) ||
	       !try_load(argv[2], "pmtm", argc > 3 ? argv[3] : "", step);
}
