// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The rmt drive against whatever a server can answer
 *
 * Each connection of a drive is given a piece of the input to read, and no more; what
 * it sends goes nowhere.  Checked is that whatever comes back, every command is
 * answered, once and in order, that what failed leaves the rest cancelled, that no
 * byte is written beside the memory of a command (AddressSanitizer), and that it
 * ends.  See tests/fuzz/native.
 */
#define pmt_wire_open real_wire_open
#define pmt_wire_close real_wire_close
#include "../../lib/drives/rmt_wire.c"
#undef pmt_wire_open
#undef pmt_wire_close

#include <stdio.h>

#define COMMANDS 12

#define REQUIRE(condition) \
	((condition) ? (void)0 : (fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, \
					  __LINE__, #condition), abort()))

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	const uint8_t *at;
	size_t left;
	int fd;			/* the server's end */
} server;

static struct {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct pmt_request requests[COMMANDS];
	unsigned int n, done;
} client = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, { { { 0 } } }, 0, 0 };

static void quiet(int priority, const char *message)
{
	(void)priority;
	(void)message;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	pmt_log_set_handler(quiet);
	return 0;
}

/* The first byte of a piece says how long it is, in eights. */
int pmt_wire_open(struct pmt_wire *wire, const char *const *argv)
{
	size_t n;
	int fds[2];

	(void)argv;
	if (!wire->in) {
		wire->in = malloc(INPUT);
		wire->room = INPUT;
	}
	if (!server.left || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -EMFILE;
	n = 8 * (1 + (size_t)*server.at++);
	server.left--;
	if (n > server.left)
		n = server.left;
	REQUIRE(send(fds[1], server.at, n, 0) == (ssize_t)n);
	shutdown(fds[1], SHUT_WR);
	server.at += n;
	server.left -= n;
	server.fd = fds[1];
	wire->fd = fds[0];
	wire->from = wire->to = 0;
	pmt_rmt_reply_init(&wire->parser);
	return 0;
}

void pmt_wire_close(struct pmt_wire *wire)
{
	if (wire->fd < 0)
		return;
	close(wire->fd);
	close(server.fd);
	wire->fd = -1;
}

static void one_done(struct pmt_request *req)
{
	pthread_mutex_lock(&client.lock);
	REQUIRE(req == &client.requests[client.done]);
	client.done++;
	pthread_cond_signal(&client.cond);
	pthread_mutex_unlock(&client.lock);
}

static struct pmt_command command(uint8_t what, uint8_t size)
{
	static const uint16_t ops[] = { PMT_OP_WRITE, PMT_OP_READ, PMT_OP_WRITE,
					PMT_OP_READ, PMT_OP_REWIND, PMT_OP_TEST,
					PMT_OP_WRITE_FILEMARKS, PMT_OP_SPACE };
	struct pmt_command cmd = { .op = ops[what % 8], .count = 1 };

	if (cmd.op == PMT_OP_WRITE || cmd.op == PMT_OP_READ) {
		cmd.block_size = what & 64 ? 1 + size % 16 : 0;
		cmd.length = cmd.block_size ? cmd.block_size * 3 : 1u + size;
	}
	return cmd;
}

static void submit(struct pmt_drive *drive, struct pmt_place *place, struct pmt_command cmd)
{
	struct pmt_request *req = &client.requests[client.n++];

	cmd.number = client.n;
	cmd.place = *place;
	*req = (struct pmt_request){ .cmd = cmd, .done = one_done,
				     .data = calloc(1, cmd.length ? cmd.length : 1) };
	*place = pmt_place_after(&cmd);
	drive->ops->submit(drive, req);
}

static void check_answers(void)
{
	bool failed = false;

	for (unsigned int i = 0; i < client.n; i++) {
		const struct pmt_result *result = &client.requests[i].result;

		REQUIRE(!failed || result->status == PMT_STATUS_CANCELLED);
		failed = failed || result->status == PMT_STATUS_CHECK;
		REQUIRE(result->status != PMT_STATUS_GOOD || result->residue <=
			(int64_t)client.requests[i].cmd.length);
	}
}

static void use(struct pmt_drive *drive, const uint8_t *what)
{
	struct pmt_session session = { .unit_id = 1, .place = { .generation = 1 },
				       .depth = COMMANDS };
	struct pmt_place place = session.place;

	if (pmt_drive_attach(drive, &session))
		return;
	client.n = client.done = 0;
	submit(drive, &place, (struct pmt_command){ .op = PMT_OP_REWIND });
	for (unsigned int i = 0; i < COMMANDS - 1; i++)
		submit(drive, &place, command(what[i % 8], what[(i + 3) % 8]));
	pthread_mutex_lock(&client.lock);
	while (client.done < client.n)
		pthread_cond_wait(&client.cond, &client.lock);
	pthread_mutex_unlock(&client.lock);
	check_answers();
	for (unsigned int i = 0; i < client.n; i++)
		free(client.requests[i].data);
	pmt_drive_detach(drive);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const specs[] = {
		"rmt:a:b?recovery=0&command=x", "rmt:a:b?recovery=0&command=x&os=linux",
		"rmt:a:b?recovery=0&command=x&os=bsd",
		"rmt:a:b?recovery=0&command=x&window=0",
	};
	struct pmt_drive *drive;
	char *error;

	if (size < 10)
		return 0;
	server.at = data + 9;
	server.left = size - 9;
	if (pmt_drive_open(&drive, specs[data[0] % 4], &error)) {
		free(error);
		return 0;
	}
	use(drive, data + 1);
	pmt_drive_close(drive);
	return 0;
}
