/* SPDX-License-Identifier: Apache-2.0 */
/* Objects from a stream: they are the same, however the stream is cut. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "store/kubernetes/splitter.h"

struct got {
	char text[4096];
	unsigned int n;
};

static void on_object(void *context, const char *text, size_t len)
{
	struct got *g = context;

	snprintf(g->text + strlen(g->text), sizeof(g->text) - strlen(g->text), "%.*s|", (int)len,
		 text);
	g->n++;
}

/* Feeds the text in pieces of this size. */
static int feed(struct splitter *s, const char *text, size_t piece)
{
	const size_t len = strlen(text);
	int err = 0;

	for (size_t at = 0; at < len && !err; at += piece)
		err = splitter_feed(s, text + at, len - at < piece ? len - at : piece);
	return err;
}

static void list_gives_its_items_and_its_envelope(void **state)
{
	static const char text[] = "{\"kind\":\"NodeList\",\"items\" : [ {\"a\":1}, "
				   "{\"b\":[{\"items\":[1]}],\"c\":\"]}\\\"\"}\n,{}],"
				   "\"metadata\":{\"resourceVersion\":\"7\",\"items\":[2]}}";

	(void)state;
	for (size_t piece = 1; piece < sizeof(text); piece++) {
		struct got g = {"", 0};
		struct splitter s;

		splitter_init(&s, "items", on_object, &g);
		assert_int_equal(feed(&s, text, piece), 0);
		assert_string_equal(g.text,
				    "{\"a\":1}|{\"b\":[{\"items\":[1]}],\"c\":\"]}\\\"\"}|{}|");
		assert_string_equal(splitter_rest(&s),
				    "{\"kind\":\"NodeList\",\"items\" : [],\"metadata\":"
				    "{\"resourceVersion\":\"7\",\"items\":[2]}}");
		splitter_fini(&s);
	}
}

static void watch_gives_one_event_after_the_other(void **state)
{
	static const char text[] = "{\"type\":\"ADDED\",\"object\":{\"x\":\"{\"}}\n"
				   "{\"type\":\"DELETED\"}\n\n{\"type\":\"half";

	(void)state;
	for (size_t piece = 1; piece < sizeof(text); piece++) {
		struct got g = {"", 0};
		struct splitter s;

		splitter_init(&s, NULL, on_object, &g);
		assert_int_equal(feed(&s, text, piece), 0);
		assert_int_equal(g.n, 2);
		assert_string_equal(g.text, "{\"type\":\"ADDED\",\"object\":{\"x\":\"{\"}}|"
					    "{\"type\":\"DELETED\"}|");
		splitter_fini(&s);
	}
}

static void invalid_json_is_refused(void **state)
{
	static const struct {
		const char *member, *text;
	} bad[] = {
		{NULL, "<html>"},
		{NULL, "{}}"},
		{NULL, "[{}]"},
		{NULL, "{}x"},
		{"items", "{\"items\":[1]}"},
		{"items", "{\"items\":[[{}]]}"},
		{"items", "]"},
		{"items", "{\"items\":[\"x\"]}"},
	};
	char deep[600];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct got g = {"", 0};
		struct splitter s;

		splitter_init(&s, bad[i].member, on_object, &g);
		assert_int_equal(feed(&s, bad[i].text, 1), -EINVAL);
		splitter_fini(&s);
	}
	memset(deep, '{', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = 0;
	{
		struct got g = {"", 0};
		struct splitter s;

		splitter_init(&s, NULL, on_object, &g);
		assert_int_equal(feed(&s, deep, 100), -EINVAL);
		splitter_fini(&s);
	}
}

/* An object that is too large is skipped; those before and after it are not. */
static void an_object_that_is_too_large_is_skipped(void **state)
{
	char *large = malloc(SPLITTER_MAX_BYTES + 1);
	struct got g = {"", 0};
	struct splitter s;

	(void)state;
	assert_non_null(large);
	memset(large, 'x', SPLITTER_MAX_BYTES);
	large[SPLITTER_MAX_BYTES] = 0;
	splitter_init(&s, "items", on_object, &g);
	assert_int_equal(feed(&s, "{\"items\":[{\"n\":1},{\"t\":\"", 100), 0);
	assert_int_equal(feed(&s, large, 65536), 0);
	assert_int_equal(feed(&s, "\"},{\"n\":2}]}", 100), 0);
	assert_string_equal(g.text, "{\"n\":1}|{\"n\":2}|");
	assert_int_equal(s.too_large, 1);
	assert_string_equal(splitter_rest(&s), "{\"items\":[]}");
	splitter_fini(&s);
	/* The text around the objects has a limit too. */
	splitter_init(&s, "items", on_object, &g);
	assert_int_equal(feed(&s, "{\"t\":\"", 100), 0);
	assert_int_equal(feed(&s, large, 65536), -EFBIG);
	splitter_fini(&s);
	free(large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(list_gives_its_items_and_its_envelope),
		cmocka_unit_test(watch_gives_one_event_after_the_other),
		cmocka_unit_test(invalid_json_is_refused),
		cmocka_unit_test(an_object_that_is_too_large_is_skipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
