/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "check.h"

static const char *json_of(const char *pairs)
{
	static char out[512];

	out[log_pairs_json(pairs, out, sizeof(out) - 1)] = 0;
	return out;
}

static void pairs(void **state)
{
	static const struct {
		const char *pairs, *json;
	} cases[] = {
		{"", ""},
		{"a=1", ",\"a\":\"1\""},
		{"peer=node-1 key=7PIwabcd interface=wireguard.cali",
		 ",\"peer\":\"node-1\",\"key\":\"7PIwabcd\",\"interface\":\"wireguard.cali\""},
		{"error=\"No such file\" errno=2", ",\"error\":\"No such file\",\"errno\":\"2\""},
		/* Quotes inside a value, and values from outside. */
		{"value=\"say \"hello\" twice\" x=1",
		 ",\"value\":\"say \\\"hello\\\" twice\",\"x\":\"1\""},
		{"path=C:\\x", ",\"path\":\"C:\\\\x\""},
		{"open=\"never closed", ",\"open\":\"never closed\""},
		{"loose words a=1", ",\"a\":\"1\""},
		{"a=", ",\"a\":\"\""},
		{"bad=\"\xff\xc3\x28\x01\"", ",\"bad\":\"?"
					     "?(?\""},
		{"good=\"caf\xc3\xa9\"", ",\"good\":\"caf\xc3\xa9\""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_string_equal(json_of(cases[i].pairs), cases[i].json);
}

/* With any room, only whole pairs are written, and never more than there is room for. */
static void little_room(void **state)
{
	const char *text = "one=1 two=\"2 and\" three=\"\"\"\" four=4";

	(void)state;
	for (size_t room = 0; room < 80; room++) {
		char *out = malloc(room + 1), whole[128];
		const size_t n = log_pairs_json(text, out, room);
		json_t *o;

		assert_true(n <= room);
		snprintf(whole, sizeof(whole), "{\"x\":\"\"%.*s}", (int)n, out);
		o = json_loads(whole, 0, NULL);
		assert_non_null(o);
		json_decref(o);
		free(out);
	}
}

static void levels_and_formats(void **state)
{
	enum log_level level;
	enum log_format format;

	(void)state;
	assert_int_equal(log_level_parse("Warning", &level), 0);
	assert_int_equal(level, LOG_LEVEL_WARN);
	assert_int_equal(log_level_parse("loud", &level), -EINVAL);
	assert_int_equal(log_format_parse("json", &format), 0);
	assert_int_equal(format, LOG_FORMAT_JSON);
	assert_int_equal(log_format_parse("xml", &format), -EINVAL);
}

/* Standard error is a pipe that the test reads. */
struct reader {
	int before, ends[2];
};

static void begin(struct reader *r)
{
	fflush(stderr);
	r->before = dup(STDERR_FILENO);
	assert_int_equal(pipe(r->ends), 0);
	fcntl(r->ends[0], F_SETFL, O_NONBLOCK);
	dup2(r->ends[1], STDERR_FILENO);
	close(r->ends[1]);
}

static void end(struct reader *r)
{
	dup2(r->before, STDERR_FILENO);
	close(r->before);
	close(r->ends[0]);
}

static size_t drain(struct reader *r, char *text, size_t room)
{
	size_t n = 0;
	ssize_t got;

	while (n < room - 1 && (got = read(r->ends[0], text + n, room - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = 0;
	return n;
}

static unsigned int lines(const char *text)
{
	unsigned int n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void one_event_does_not_flood(void **state)
{
	static char text[1 << 16];
	uint64_t lost, held_back, held_before;
	struct reader r;

	(void)state;
	log_losses(&lost, &held_before);
	begin(&r);
	for (int i = 0; i < 1000; i++)
		log_warn("the same again", "n=%d", i);
	log_warn("another", "n=%d", 1);
	drain(&r, text, sizeof(text));
	end(&r);
	/* Twenty lines, and one for each second that has passed. */
	assert_in_range(lines(text), 21, 24);
	assert_non_null(strstr(text, "event=\"another\""));
	log_losses(&lost, &held_back);
	assert_in_range(held_back - held_before, 1000 - 23, 1000 - 20);
}

static void nobody_reads(void **state)
{
	static char text[1 << 18];
	uint64_t lost_before, lost, held_back;
	struct reader r;

	(void)state;
	log_losses(&lost_before, &held_back);
	log_level_set(LOG_LEVEL_DEBUG);
	begin(&r);
	/* A pipe holds 64 KiB. This is more, and nothing blocks. */
	for (int i = 0; i < 10000; i++)
		log_debug("chatter", "n=%d", i);
	log_losses(&lost, &held_back);
	assert_true(lost - lost_before > 5000);
	drain(&r, text, sizeof(text));
	log_debug("chatter", "n=last");
	drain(&r, text, sizeof(text));
	end(&r);
	log_level_set(LOG_LEVEL_INFO);
	assert_int_equal(lines(text), 1);
	assert_non_null(strstr(text, "n=last lines_lost="));
}

static void json_lines(void **state)
{
	char text[4096];
	struct reader r;
	json_t *o;

	(void)state;
	begin(&r);
	log_format_set(LOG_FORMAT_JSON);
	log_info("an event", "peer=%s error=\"%s\"", "node-1", "it \"broke\"\n\x1b[31m");
	log_format_set(LOG_FORMAT_TEXT);
	drain(&r, text, sizeof(text));
	end(&r);
	assert_int_equal(lines(text), 1);
	o = json_loads(text, 0, NULL);
	assert_non_null(o);
	assert_string_equal(json_string_value(json_object_get(o, "event")), "an event");
	assert_string_equal(json_string_value(json_object_get(o, "level")), "info");
	assert_string_equal(json_string_value(json_object_get(o, "error")), "it \"broke\"?"
									    "?[31m");
	json_decref(o);
}

static void steps(void **state)
{
	char text[4096];
	struct reader r;

	(void)state;
	begin(&r);
	log_level_step(1);
	assert_int_equal(log_level_get(), LOG_LEVEL_DEBUG);
	log_level_step(1);
	assert_int_equal(log_level_get(), LOG_LEVEL_DEBUG);
	log_level_step(-1);
	drain(&r, text, sizeof(text));
	end(&r);
	assert_int_equal(log_level_get(), LOG_LEVEL_INFO);
	assert_non_null(strstr(text, "level=debug event=\"log level\" now=debug"));
	assert_non_null(strstr(text, "level=info event=\"log level\" now=info"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pairs),
		cmocka_unit_test(little_room),
		cmocka_unit_test(levels_and_formats),
		cmocka_unit_test(one_event_does_not_flood),
		cmocka_unit_test(nobody_reads),
		cmocka_unit_test(json_lines),
		cmocka_unit_test(steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
