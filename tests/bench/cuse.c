// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cuse NAME: a character device /dev/NAME of CUSE's that takes all that is written, and
 * reads as what was written to it last; until it is killed
 *
 * It speaks the kernel's protocol itself, with one thread, and never looks at the data:
 * no server of such a device can do less.  To be compared with.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define LARGEST (1u << 20)
#define HEADS (sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))

/* A request.  What is read lies where data that is written comes to lie. */
static struct {
	struct fuse_in_header head;
	union {
		struct cuse_init_in init;
		struct fuse_read_in read;
		struct fuse_write_in write;
	} u;
	char data[LARGEST];
} request;

static const char *name;

static int answer(int fd, int error, const void *a, size_t size, const void *b, size_t more)
{
	struct fuse_out_header head = {
		.len = (uint32_t)(sizeof(head) + size + more),
		.error = error,
		.unique = request.head.unique,
	};
	struct iovec parts[] = {
		{ &head, sizeof(head) }, { (void *)a, size }, { (void *)b, more },
	};

	/* ENOENT: it was interrupted, and nobody waits for it any more */
	return writev(fd, parts, 3) < 0 && errno != ENOENT ? -errno : 0;
}

static int answer_init(int fd)
{
	struct cuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_read = LARGEST,
		.max_write = LARGEST,
	};
	char info[64];
	int n = snprintf(info, sizeof(info), "DEVNAME=%s", name);

	return answer(fd, 0, &out, sizeof(out), info, (size_t)n + 1);
}

static int answer_read(int fd)
{
	uint32_t size = request.u.read.size;

	return answer(fd, 0, request.data, size < LARGEST ? size : LARGEST, NULL, 0);
}

static int serve(int fd)
{
	struct fuse_open_out opened = { .fh = 0 };
	struct fuse_write_out written = { .size = request.u.write.size };

	switch (request.head.opcode) {
	case CUSE_INIT:
		return answer_init(fd);
	case FUSE_OPEN:
		return answer(fd, 0, &opened, sizeof(opened), NULL, 0);
	case FUSE_READ:
		return answer_read(fd);
	case FUSE_WRITE:
		return answer(fd, 0, &written, sizeof(written), NULL, 0);
	case FUSE_RELEASE:
		return answer(fd, 0, NULL, 0, NULL, 0);
	case FUSE_INTERRUPT:
		return 0;
	default:
		return answer(fd, -ENOSYS, NULL, 0, NULL, 0);
	}
}

int main(int argc, char **argv)
{
	int fd, rc = 0;

	_Static_assert(offsetof(__typeof__(request), data) == HEADS, "where data begins");
	if (argc != 2 || strlen(argv[1]) > 40) {
		fprintf(stderr, "usage: cuse NAME\n");
		return 2;
	}
	name = argv[1];
	fd = open("/dev/cuse", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && rc == 0) {
		ssize_t n = read(fd, &request, sizeof(request));

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			break;
		rc = serve(fd);
	}
	fprintf(stderr, "cuse: %s\n", strerror(rc ? -rc : errno));
	return 1;
}
