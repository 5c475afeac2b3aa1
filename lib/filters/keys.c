// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Keys: a text of lines, each a key of 64 hexadecimal digits, or empty, or a comment
 * that begins with #.  It is read into memory that is locked, too, and wiped.
 *
 * A file must belong to root or to who runs this, and nobody else may read it.  A
 * command is run by the shell, with its output into a pipe and no input.  Of the kernel's
 * keyrings the thread's, the process's, the session's and the user's are searched for a
 * key of the type "user".
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <keyutils.h>
#include <sodium.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>

#include "internal.h"
#include "keys.h"

#define TEXT_MAX 16384u

static void *lock_memory(size_t size, const char *who)
{
	void *memory = sodium_malloc(size);

	if (!memory)
		return NULL;
	if (sodium_mlock(memory, size) == 0)
		return memory;
	pmt_log(LOG_ERR, "%s: memory for keys cannot be locked: raise the limit of locked "
		"memory (ulimit -l, LimitMEMLOCK=)", who);
	sodium_free(memory);
	return NULL;
}

/* Up to its end, or TEXT_MAX. */
static ssize_t read_all(int fd, char *text)
{
	size_t used = 0;

	while (used < TEXT_MAX) {
		ssize_t n = read(fd, text + used, TEXT_MAX - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	return (ssize_t)used;
}

static ssize_t read_file(const char *path, char *text, const char *who)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat status;

	if (fd < 0 || fstat(fd, &status)) {
		int rc = -errno;

		pmt_log(LOG_ERR, "%s: %s: %s", who, path, strerror(-rc));
		return rc;
	}
	if ((status.st_mode & 077) || (status.st_uid && status.st_uid != geteuid())) {
		pmt_log(LOG_ERR, "%s: %s: others may read or change it: chmod 600, and chown",
			who, path);
		return -EACCES;
	}
	return read_all(fd, text);
}

static ssize_t read_keyring(const char *name, char *text, const char *who)
{
	key_serial_t key = request_key("user", name, NULL, 0);
	long n;

	if (key < 0)
		key = (key_serial_t)keyctl_search(KEY_SPEC_USER_KEYRING, "user", name, 0);
	n = key < 0 ? -1 : keyctl_read(key, text, TEXT_MAX);
	if (n < 0) {
		int rc = -errno;

		pmt_log(LOG_ERR, "%s: key '%s' of type user in the kernel's keyrings: %s",
			who, name, strerror(-rc));
		return rc;
	}
	return n < (long)TEXT_MAX ? n : (ssize_t)TEXT_MAX;
}

static int spawn_shell(const char *command, int out, pid_t *pid)
{
	char *const arguments[] = { "sh", "-c", (char *)(uintptr_t)command, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int rc;

	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	rc = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(&actions, out, 1);
	if (rc == 0)
		rc = posix_spawn(pid, "/bin/sh", &actions, &attributes, arguments, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

static ssize_t read_command(const char *command, char *text, const char *who)
{
	int ends[2] = { -1, -1 }, status = 0, rc;
	ssize_t n = 0;
	pid_t pid = 0;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	rc = spawn_shell(command, ends[1], &pid);
	close(ends[1]);
	if (rc == 0) {
		n = read_all(ends[0], text);
		close(ends[0]);		/* it may have more, and wait to be rid of it */
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	if (rc)
		close(ends[0]);
	/* Too long: read_keys() says so, whatever the command made of it. */
	if (rc == 0 && (n == (ssize_t)TEXT_MAX || (n >= 0 && status == 0)))
		return n;
	pmt_log(LOG_ERR, "%s: the command that tells the keys failed: %s %d", who,
		rc || n < 0 ? "error" : "status", rc ? -rc : n < 0 ? (int)-n : status);
	return rc ? rc : n < 0 ? n : -EIO;
}

static int digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *found = strchr(digits, tolower((unsigned char)c));

	return c && found ? (int)(found - digits) : -1;
}

static void identify(struct pmt_key *key)
{
	static const unsigned char purpose[] = "pmt aead key id";

	crypto_generichash(key->id, sizeof(key->id), key->key, sizeof(key->key), purpose,
			   sizeof(purpose));
}

static bool parse_line(const char *line, size_t length, struct pmt_key *key)
{
	if (length != (size_t)2 * PMT_KEY_BYTES)
		return false;
	for (size_t i = 0; i < PMT_KEY_BYTES; i++) {
		int high = digit(line[2 * i]), low = digit(line[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		key->key[i] = (uint8_t)(high << 4 | low);
	}
	identify(key);
	return true;
}

static int parse(struct pmt_keys *keys, const char *text, size_t size, const char *who)
{
	unsigned int number = 1;

	for (const char *line = text, *end; line < text + size; line = end + 1, number++) {
		size_t length;

		end = memchr(line, '\n', (size_t)(text + size - line));
		end = end ? end : text + size;
		length = (size_t)(end - line);
		while (length && isspace((unsigned char)line[length - 1]))
			length--;
		if (!length || *line == '#')
			continue;
		if (keys->n == PMT_KEYS_MAX) {
			pmt_log(LOG_ERR, "%s: more than %u keys", who, PMT_KEYS_MAX);
			return -EINVAL;
		}
		if (!parse_line(line, length, &keys->keys[keys->n])) {
			pmt_log(LOG_ERR, "%s: keys, line %u: not 64 hexadecimal digits "
				"(openssl rand -hex 32)", who, number);
			return -EINVAL;
		}
		keys->n++;
	}
	if (keys->n)
		return 0;
	pmt_log(LOG_ERR, "%s: there is no key", who);
	return -EINVAL;
}

static const struct source {
	const char *prefix;
	ssize_t (*read)(const char *rest, char *text, const char *who);
} sources[] = {
	{ "file:", read_file },
	{ "keyring:", read_keyring },
	{ "command:", read_command },
};

static const struct source *find_source(const char *text)
{
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
		if (strncmp(text, sources[i].prefix, strlen(sources[i].prefix)) == 0)
			return &sources[i];
	return NULL;
}

static int read_keys(struct pmt_keys *keys, const char *text, char *memory,
		     const char *who)
{
	const struct source *source = find_source(text);
	ssize_t n = source ? source->read(text + strlen(source->prefix), memory, who) : -EINVAL;

	if (n < 0)
		return (int)n;
	if (n == (ssize_t)TEXT_MAX) {
		pmt_log(LOG_ERR, "%s: the list of keys is too long", who);
		return -EINVAL;
	}
	return parse(keys, memory, (size_t)n, who);
}

int pmt_keys_read(struct pmt_keys **out, const char *source, const char *who)
{
	size_t size = sizeof(struct pmt_keys) + PMT_KEYS_MAX * sizeof(struct pmt_key);
	struct pmt_keys *keys = NULL;
	char *text = NULL;
	int rc = -ENOMEM;

	if (sodium_init() < 0)
		return -EIO;
	/* In whole alignments, as sodium_malloc() wants it. */
	keys = lock_memory((size + 15) / 16 * 16, who);
	text = keys ? lock_memory(TEXT_MAX, who) : NULL;
	if (text) {
		keys->n = 0;
		rc = read_keys(keys, source, text, who);
		sodium_free(text);
	}
	if (rc) {
		pmt_keys_free(keys);
		return rc;
	}
	sodium_mprotect_readonly(keys);
	*out = keys;
	return 0;
}

void pmt_keys_free(struct pmt_keys *keys)
{
	sodium_free(keys);
}

const struct pmt_key *pmt_keys_find(const struct pmt_keys *keys, const uint8_t *id)
{
	for (size_t i = 0; i < keys->n; i++)
		if (memcmp(keys->keys[i].id, id, PMT_KEY_ID_BYTES) == 0)
			return &keys->keys[i];
	return NULL;
}
