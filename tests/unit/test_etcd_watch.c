/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that etcd 3.4's gateway sent on a watch, and the revision that the watch then has. */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "store/etcd/etcd_watch.h"

struct calls {
	char text[200];
};

static void on_key(void *context, const struct etcd_key *k)
{
	struct calls *t = context;
	const size_t at = strlen(t->text);

	assert_true(!k->value || strlen(k->value) == k->len);
	snprintf(t->text + at, sizeof(t->text) - at, "%s=%s/%lld@%lld|", k->key,
		 k->value ? k->value : "gone", (long long)k->lease, (long long)k->revision);
}

/* Reads a message; returns the revision after it, or negative: why the watch ended. */
static int64_t read_line(const char *text, int64_t revision, struct calls *t)
{
	const struct etcd_watch_params p = {.key = on_key, .context = t};
	struct etcd_place at = {.cluster = "77", .revision = revision};
	enum etcd_watch_state state;
	char why[200] = "";

	*t->text = 0;
	state = etcd_watch_event(&p, text, strlen(text), &at, why, sizeof(why));
	return state == ETCD_WATCH_RUNNING ? at.revision : -(int64_t)state;
}

#define KEY "\"key\":\"L3BvZHZlaWwvYQ==\""

static void the_first_answer_keeps_the_revision(void **state)
{
	struct calls t;

	(void)state;
	assert_int_equal(
		read_line("{\"result\":{\"header\":{\"revision\":\"9\"},\"created\":true}}", 3, &t),
		3);
}

static void events_advance_the_revision(void **state)
{
	struct calls t;

	(void)state;
	assert_int_equal(read_line("{\"result\":{\"header\":{\"revision\":\"9\"},\"events\":["
				   "{\"kv\":{" KEY ",\"mod_revision\":\"4\",\"value\":\"aGVsbG8=\","
				   "\"lease\":\"7\"}},"
				   "{\"type\":\"DELETE\",\"kv\":{" KEY ",\"mod_revision\":\"5\"}},"
				   "{\"kv\":{" KEY ",\"mod_revision\":\"6\"}}]}}",
				   3, &t),
			 6);
	assert_string_equal(t.text, "/podveil/a=hello/7@4|/podveil/a=gone/0@5|/podveil/a=/0@6|");
}

static void progress_advances_the_revision(void **state)
{
	struct calls t;

	(void)state;
	assert_int_equal(read_line("{\"result\":{\"header\":{\"revision\":\"9\"}}}", 3, &t), 9);
	assert_int_equal(read_line("{\"result\":{\"header\":{\"revision\":\"2\"}}}", 3, &t), 3);
}

static void a_watch_that_cannot_continue(void **state)
{
	struct calls t;

	(void)state;
	/* Compacted; restored, or another etcd; an invalid token; cut off; garbage. */
	assert_int_equal(
		read_line("{\"result\":{\"header\":{\"raft_term\":\"2\"},\"canceled\":true,"
			  "\"compact_revision\":\"8\"}}",
			  3, &t),
		-ETCD_WATCH_COMPACTED);
	assert_int_equal(
		read_line("{\"result\":{\"header\":{\"revision\":\"2\"},\"created\":true}}", 3, &t),
		-ETCD_WATCH_COMPACTED);
	assert_int_equal(read_line("{\"result\":{\"header\":{\"revision\":\"9\"},\"created\":true,"
				   "\"canceled\":true,\"cancel_reason\":\"invalid auth token\"}}",
				   3, &t),
			 -ETCD_WATCH_ENDED);
	assert_int_equal(
		read_line("{\"error\":{\"grpc_code\":14,\"message\":\"no leader\"}}", 3, &t),
		-ETCD_WATCH_ISOLATED);
	assert_int_equal(read_line("{\"error\":{\"grpc_code\":7,\"message\":\"denied\"}}", 3, &t),
			 -ETCD_WATCH_ENDED);
	/* Another etcd at the same address: its events are not reported. */
	assert_int_equal(
		read_line("{\"result\":{\"header\":{\"cluster_id\":\"78\",\"revision\":\"9\"},"
			  "\"events\":[{\"type\":\"DELETE\",\"kv\":{" KEY "}}]}}",
			  3, &t),
		-ETCD_WATCH_COMPACTED);
	assert_string_equal(t.text, "");
	assert_int_equal(read_line("[]", 3, &t), -ETCD_WATCH_ENDED);
	assert_int_equal(read_line("{", 3, &t), -ETCD_WATCH_ENDED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_answer_keeps_the_revision),
		cmocka_unit_test(events_advance_the_revision),
		cmocka_unit_test(progress_advances_the_revision),
		cmocka_unit_test(a_watch_that_cannot_continue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
