// SPDX-License-Identifier: GPL-2.0-or-later
/* A mirror under test: see mirrorrig.h. */
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mirrorrig.h"

struct rig rig;
struct mem_medium *a, *b;

struct line line = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

unsigned int failed_copies;
unsigned int last_event;

static void quiet(int priority, const char *message)
{
	(void)priority;
	if (getenv("PMT_VERBOSE"))
		fprintf(stderr, "%s\n", message);
}

static void note_failed(const struct pmt_session *session, unsigned int event,
			const char *text)
{
	unsigned int copy;

	pthread_mutex_lock(&rig.lock);
	last_event = event;
	if (sscanf(text, "copy %u", &copy) == 1 && strstr(text, ") failed: "))
		failed_copies |= 1u << (copy - 1);
	rig.events++;
	snprintf(rig.event, sizeof(rig.event), "%s", text);
	pthread_mutex_unlock(&rig.lock);
	(void)session;
}

void mirrorrig_setup(void)
{
	pmt_log_set_handler(quiet);
	rig_init(&rig);
	rig.session.event = note_failed;
	a = mem_medium("a");
	b = mem_medium("b");
	failed_copies = 0;
	line.n = line.done = 0;
	line.ordered = true;
}

void mirrorrig_teardown(void)
{
	rig_close(&rig);
	mem_reset();
}

void open_spec(const char *text)
{
	ck_assert_int_eq(rig_open(&rig, text), 0);
}

void reopen_at(const char *text, uint64_t lbn)
{
	rig_close(&rig);
	rig.session.place.lbn = lbn;
	rig.session.place.file = rig.session.place.block = PMT_UNKNOWN;
	open_spec(text);
}

static void line_done(struct pmt_request *req)
{
	pthread_mutex_lock(&line.lock);
	line.ordered = line.ordered && req == &line.requests[line.done];
	line.done++;
	pthread_cond_signal(&line.cond);
	pthread_mutex_unlock(&line.lock);
}

struct pmt_request *line_submit(struct pmt_command cmd)
{
	struct pmt_request *req = &line.requests[line.n];

	ck_assert_uint_lt(line.n, DEPTH);
	*req = (struct pmt_request){ .cmd = cmd, .data = line.data[line.n],
				     .done = line_done };
	req->cmd.number = rig.number++;
	req->cmd.place = rig.place;
	rig.place = pmt_place_after(&req->cmd);
	line.n++;
	rig.drive->ops->submit(rig.drive, req);
	return req;
}

void line_write(const char *text)
{
	strcpy(line.data[line.n], text);
	line_submit((struct pmt_command){ .op = PMT_OP_WRITE,
					  .length = (uint32_t)strlen(text) });
}

struct pmt_request *line_wait(void)
{
	struct pmt_request *check = NULL;
	unsigned int n = line.n;

	pthread_mutex_lock(&line.lock);
	while (line.done < line.n)
		pthread_cond_wait(&line.cond, &line.lock);
	line.n = line.done = 0;
	pthread_mutex_unlock(&line.lock);
	ck_assert(line.ordered);
	for (unsigned int i = 0; i < n; i++) {
		const struct pmt_result *result = &line.requests[i].result;

		ck_assert_uint_eq(result->number, line.requests[i].cmd.number);
		if (check)
			ck_assert_int_eq(result->status, PMT_STATUS_CANCELLED);
		else if (result->status == PMT_STATUS_CHECK)
			check = &line.requests[i];
	}
	if (check) {
		rig.drive->ops->resume(rig.drive);
		rig.place = check->result.place;
	}
	return check;
}

struct json_object *status(void)
{
	struct json_object *object;
	char *json;

	ck_assert_int_eq(pmt_drive_status_json(rig.drive, &json), 0);
	object = json_tokener_parse(json);
	free(json);
	return object;
}

const char *state_of(unsigned int copy)
{
	static char text[16];
	struct json_object *object = status(), *children, *state;

	json_object_object_get_ex(object, "children", &children);
	json_object_object_get_ex(json_object_array_get_idx(children, copy), "state", &state);
	snprintf(text, sizeof(text), "%s", json_object_get_string(state));
	json_object_put(object);
	return text;
}

int64_t status_number(const char *object, const char *key)
{
	struct json_object *all = status(), *value = all;
	int64_t n;

	if (object)
		ck_assert(json_object_object_get_ex(all, object, &value));
	ck_assert(json_object_object_get_ex(value, key, &value));
	n = json_object_get_int64(value);
	json_object_put(all);
	return n;
}

void write_some(void)
{
	ck_good(rig_write(&rig, "one"));
	ck_good(rig_write(&rig, "two"));
	ck_good(rig_marks(&rig, 1));
	ck_good(rig_write(&rig, "three"));
}

void expect_text(const char *text)
{
	char buffer[64] = "";

	ck_good(rig_read(&rig, buffer, sizeof(buffer)));
	ck_assert_str_eq(buffer, text);
}

int write_positioned(const char *text)
{
	return rig_do(&rig, (struct pmt_command){ .op = PMT_OP_WRITE, .place = rig.place,
						  .flags = PMT_CMD_POSITIONED,
						  .length = (uint32_t)strlen(text) },
		      (void *)(uintptr_t)text);
}

static uint64_t bad_blocks(unsigned int copy, unsigned int *listed, uint64_t *last)
{
	struct json_object *object = status(), *child, *value;
	uint64_t n;

	json_object_object_get_ex(object, "children", &child);
	child = json_object_array_get_idx(child, copy);
	ck_assert(json_object_object_get_ex(child, "bad_blocks", &value));
	n = (uint64_t)json_object_get_int64(value);
	*listed = 0;
	*last = PMT_UNKNOWN;
	if (json_object_object_get_ex(child, "bad_at", &child)) {
		*listed = (unsigned int)json_object_array_length(child);
		json_object_object_get_ex(json_object_array_get_idx(child, *listed - 1), "lbn",
					  &value);
		*last = (uint64_t)json_object_get_int64(value);
	}
	json_object_put(object);
	return n;
}

void ck_bad(unsigned int copy, uint64_t count, uint64_t lbn)
{
	unsigned int listed;
	uint64_t last;

	ck_assert_uint_eq(bad_blocks(copy, &listed, &last), count);
	ck_assert_uint_eq(listed, count < 32 ? count : 32);
	ck_assert_uint_eq(last, lbn);
}

void cut_to(struct mem_medium *medium, uint64_t n)
{
	while (medium->volume.n > n)
		free(medium->volume.records[--medium->volume.n].data);
}

void record(struct mem_medium *medium, const char *text, ...)
{
	char spec[40];
	va_list list;

	snprintf(spec, sizeof(spec), "mem:%s", medium->name);
	open_spec(spec);
	va_start(list, text);
	for (; text; text = va_arg(list, const char *))
		ck_good(*text ? rig_write(&rig, text) : rig_marks(&rig, 1));
	va_end(list);
	rig_close(&rig);
	rig.session.place = (struct pmt_place){ .generation = 1 };
	medium->unit_id = 0;
}
