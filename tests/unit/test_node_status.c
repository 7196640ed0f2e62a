/* SPDX-License-Identifier: Apache-2.0 */
/* How often a node writes to the API server: a server in the same event loop counts the requests.
 * And the token bucket. */
#include "store/kubernetes/node_status.h"

#include <event2/buffer.h>
#include <jansson.h>
#include <time.h>

#include "api_server.h"
#include "base/key_text.h"
#include "store/budget.h"
#include "store/kubernetes/node_events.h"

#define PATIENCE_MS 20000
#define TURN_MS	    2500 /* longer than budget_turn_ms(1) */

struct api {
	struct api_server server;
	struct cluster *cluster;
	struct node_status *status;
	unsigned int patches, keys, conditions, both, events, most_count;
	json_t *annotations; /* the Node's */
	bool strips;	     /* the server removes the annotations of each request */
};

static const char *key_of(const struct api *a)
{
	const char *key = json_string_value(json_object_get(a->annotations, CLUSTER_KEY4));

	return key ? key : "";
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static json_t *node_object(const struct api *a)
{
	return json_pack("{s:{s:s, s:O}}", "metadata", "name", "worker", "annotations",
			 a->annotations);
}

static void patch(struct api *a, const json_t *o)
{
	const json_t *metadata = json_object_get(o, "metadata");
	json_t *annotations = json_object_get(metadata, "annotations");
	const json_t *key = json_object_get(annotations, CLUSTER_KEY4);
	const bool condition = json_object_get(o, "status");

	a->patches++;
	a->keys += key != NULL;
	a->conditions += condition;
	a->both += key && condition;
	if (!a->strips)
		json_object_update(a->annotations, annotations);
}

static void on_request(struct evhttp_request *r, void *context)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(r), *out = evbuffer_new();
	const size_t len = evbuffer_get_length(in);
	json_t *o = json_loadb((char *)evbuffer_pullup(in, -1), len, 0, NULL), *answer;
	struct api *a = context;
	char *text;

	if (evhttp_request_get_command(r) == EVHTTP_REQ_PATCH) {
		patch(a, o);
	} else {
		const unsigned int count =
			(unsigned int)json_integer_value(json_object_get(o, "count"));

		a->events++;
		if (count > a->most_count)
			a->most_count = count;
	}
	answer = node_object(a);
	text = json_dumps(answer, 0);
	evbuffer_add_printf(out, "%s", text);
	evhttp_send_reply(r, 200, "OK", out);
	free(text);
	json_decref(answer);
	json_decref(o);
	evbuffer_free(out);
}

static void on_node(void *context, const char *name, const struct node_record *r)
{
	(void)context;
	(void)name;
	(void)r;
}

static void on_problem(void *context, const char *object, const char *what)
{
	(void)context;
	fail_msg("%s: %s", object, what);
}

static int start(void **state)
{
	static struct api a;
	const struct cluster_events events = {.node = on_node, .problem = on_problem};
	json_t *node;

	a = (struct api){.annotations = json_object()};
	api_server_begin(&a.server, "/version", on_request, &a);
	evhttp_set_allowed_methods(a.server.http, EVHTTP_REQ_PATCH | EVHTTP_REQ_POST);
	a.cluster = cluster_new(&events);
	node = node_object(&a);
	cluster_object(a.cluster, CLUSTER_NODES, node, false);
	json_decref(node);
	a.status = node_status_new(a.server.base, a.server.rest, a.cluster, "worker");
	*state = &a;
	return a.status ? 0 : -1;
}

static int stop(void **state)
{
	struct api *a = *state;

	node_status_free(a->status);
	cluster_free(a->cluster);
	api_server_end(&a->server);
	json_decref(a->annotations);
	return 0;
}

static void condition(struct api *a, unsigned int n)
{
	char message[32];
	const struct store_state state = {
		.ready = n % 2, .reason = "Encrypting", .message = message};

	snprintf(message, sizeof(message), "state %u", n);
	node_status_condition(a->status, &state);
}

/* A message that comes often is one Event, with a count. */
static void same_text_is_one_event(void **state)
{
	struct api *a = *state;
	const uint64_t begin = now_ms();

	while (!a->events && now_ms() - begin < PATIENCE_MS) {
		node_status_event(a->status, "Often", "again");
		node_status_event(a->status, "Often", "again");
		api_server_run(&a->server, 20);
	}
	assert_int_equal(a->events, 1);
	assert_true(a->most_count >= 2);
	node_status_event(a->status, "Often", "again");
	api_server_run(&a->server, TURN_MS);
	assert_int_equal(a->events, 1);
}

/* The condition changes all the time, and there are more texts than allowed Events. */
static void writes_are_bounded(void **state)
{
	struct api *a = *state;
	const uint64_t begin = now_ms();
	unsigned int n = 0;

	for (int i = 0; i < 3 * NODE_EVENTS_BURST; i++) {
		char message[32];

		snprintf(message, sizeof(message), "text %d", i);
		node_status_event(a->status, "Reason", message);
	}
	/* Until there were two conditions and all allowed Events, and each text had its chance. */
	while (now_ms() - begin < PATIENCE_MS &&
	       (a->conditions < 2 || a->events < NODE_EVENTS_BURST || now_ms() - begin < TURN_MS)) {
		condition(a, ++n);
		api_server_run(&a->server, 20);
	}
	/* With one node a turn is 2 s. Writes are at least half a turn, and at most one and a half
	 * turns, apart. */
	assert_in_range(a->conditions, 2, (now_ms() - begin) / 1000);
	assert_int_equal(a->patches, a->conditions);
	assert_int_equal(a->events, NODE_EVENTS_BURST);
}

/* The key is written at once, together with the condition; then neither is written again. */
static void key_and_condition_are_one_write(void **state)
{
	static const uint8_t key[32] = {1}, none[32];
	struct api *a = *state;
	const uint64_t begin = now_ms();

	condition(a, 1);
	node_status_keys(a->status, key, none);
	while (!a->patches && now_ms() - begin < PATIENCE_MS)
		api_server_run(&a->server, 10);
	assert_int_equal(a->both, 1);
	node_status_flush(a->status, PATIENCE_MS);
	api_server_run(&a->server, 3500); /* longer than a turn */
	assert_int_equal(a->patches, 1);
	node_status_keys(a->status, none, none);
	node_status_flush(a->status, PATIENCE_MS);
	assert_string_equal(key_of(a), "");
	assert_string_equal(json_string_value(json_object_get(a->annotations, CLUSTER_OWN_KEY4)),
			    CLUSTER_STOPPED);
	assert_int_equal(a->patches, 2);
}

/* An annotation that is removed on its way to the server is not written again without a pause. */
static void short_lived_changes_are_written_late(void **state)
{
	static const uint8_t key[32] = {1}, none[32];
	struct api *a = *state;

	a->strips = true;
	node_status_keys(a->status, key, none);
	api_server_run(&a->server, 1500);
	assert_in_range(a->patches, 1, 10);
	a->strips = false;
	node_status_flush(a->status, PATIENCE_MS);
	assert_string_not_equal(key_of(a), "");
	assert_string_equal(json_string_value(json_object_get(a->annotations, CLUSTER_OWN_KEY4)),
			    key_of(a));
}

static const char *annotation(const struct api *a, const char *name)
{
	const char *text = json_string_value(json_object_get(a->annotations, name));

	return text ? text : "";
}

/* Felix changes its annotation, and our watch reports it. */
static void felix_writes(struct api *a, const char *key)
{
	json_t *node;

	json_object_set_new(a->annotations, CLUSTER_KEY4, json_string(key));
	node = node_object(a);
	cluster_object(a->cluster, CLUSTER_NODES, node, false);
	json_decref(node);
	node_status_check(a->status, "worker");
	api_server_run(&a->server, 10);
	node_status_flush(a->status, PATIENCE_MS);
}

/* Felix has published `key`; we write it too, and it belongs to `owner`. */
static void write_key_of_felix(struct api *a, enum store_key owner, char key[KEY_TEXT])
{
	static const uint8_t bytes[32] = {1}, none[32];

	key_format(bytes, key);
	felix_writes(a, key);
	node_status_key_owners(a->status, owner, STORE_KEY_OURS);
	node_status_keys(a->status, bytes, none);
	node_status_flush(a->status, PATIENCE_MS);
}

/* The key of another WireGuard on this node. */
static void a_foreign_key_is_not_changed(void **state)
{
	struct api *a = *state;
	char text[KEY_TEXT];

	write_key_of_felix(a, STORE_KEY_FOREIGN, text);
	assert_string_equal(annotation(a, CLUSTER_OWN_KEY4), "");
	felix_writes(a, "");
	assert_string_equal(key_of(a), "");
}

/* The same, but we wait to take over its device. */
static void an_inherited_key_is_restored(void **state)
{
	static const uint8_t none[32];
	struct api *a = *state;
	char text[KEY_TEXT];

	write_key_of_felix(a, STORE_KEY_INHERITED, text);
	assert_string_equal(annotation(a, CLUSTER_OWN_KEY4), text);
	assert_string_equal(annotation(a, CLUSTER_RELEASED4), "");
	felix_writes(a, "");
	assert_string_equal(key_of(a), text);
	assert_string_equal(annotation(a, CLUSTER_RELEASED4), text);
	/* Felix has a new key: it is Felix's. */
	felix_writes(a, "a new key");
	assert_string_equal(key_of(a), "a new key");
	/* When we leave encryption, nothing of ours stays. */
	node_status_key_owners(a->status, STORE_KEY_OURS, STORE_KEY_OURS);
	node_status_keys(a->status, none, none);
	node_status_flush(a->status, PATIENCE_MS);
	assert_string_equal(key_of(a), "");
	assert_string_equal(annotation(a, CLUSTER_RELEASED4), "");
}

static void token_bucket(void **state)
{
	struct budget b = {.most = 3};
	uint64_t wait;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_true(budget_take(&b, 1000, 100, &wait));
	assert_false(budget_take(&b, 1000, 100, &wait));
	assert_int_equal(wait, 100);
	assert_false(budget_take(&b, 1099, 100, &wait));
	assert_int_equal(wait, 1);
	assert_true(budget_take(&b, 1100, 100, &wait));
	assert_false(budget_take(&b, 1150, 100, &wait));
	assert_int_equal(wait, 50);
	/* On average one each 100 ms, and never more than three at once. */
	assert_true(budget_take(&b, 9000, 100, &wait));
	assert_true(budget_take(&b, 9000, 100, &wait));
	assert_true(budget_take(&b, 9000, 100, &wait));
	assert_false(budget_take(&b, 9000, 100, &wait));
	/* 5,000 nodes together write 49 times per second. */
	assert_int_equal(budget_turn_ms(1), 2020);
	assert_int_equal(budget_turn_ms(5000), 102000);
	assert_true(budget_turn_ms(SIZE_MAX) > 102000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(same_text_is_one_event, start, stop),
		cmocka_unit_test_setup_teardown(writes_are_bounded, start, stop),
		cmocka_unit_test_setup_teardown(key_and_condition_are_one_write, start, stop),
		cmocka_unit_test_setup_teardown(short_lived_changes_are_written_late, start, stop),
		cmocka_unit_test_setup_teardown(a_foreign_key_is_not_changed, start, stop),
		cmocka_unit_test_setup_teardown(an_inherited_key_is_restored, start, stop),
		cmocka_unit_test(token_bucket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
