/* SPDX-License-Identifier: Apache-2.0 */
/* The objects of a source of pod addresses when events say that all were deleted: a list decides
 * whether they were, or whether their resource definition went and took them along. */
#include <event2/buffer.h>

#include "api_server.h"
#include "store/kubernetes/addresses/source_objects.h"
#include "store/memory.h"

struct world {
	struct api_server server; /* its open requests are watches */
	bool empty;		  /* the list has no objects */
	int refuse;		  /* status of a list; 0: it is answered */
	bool ending;		  /* the definition is being removed */
	int refuse_why;		  /* status of discovery; 0: it is answered */
	unsigned int lists, questions;
	struct store_health health;
	struct store_events events;
	struct memory *memory;
	struct store_place place;
	struct address_sources_params sources;
	struct source_objects objects;
};

/* --- the server --- */

#define OBJECT(name, range)                                                                        \
	"{\"metadata\":{\"name\":\"" name "\",\"resourceVersion\":\"9\"},"                         \
	"\"spec\":{\"ipam\":{\"podCIDRs\":[\"" range "\"]}}}"
#define A OBJECT("a", "10.1.0.0/24")
#define B OBJECT("b", "10.2.0.0/24")

#define GROUP "/apis/cilium.io/v2"

static void serve(struct evhttp_request *q, void *context)
{
	struct evbuffer *to = evbuffer_new();
	struct world *w = context;

	if (!strcmp(evhttp_request_get_uri(q), GROUP)) {
		w->questions++;
		evbuffer_add_printf(to,
				    "{\"resources\":[{\"name\":\"others\",\"verbs\":[\"create\"]},"
				    "{\"name\":\"ciliumnodes\",\"verbs\":[\"list\"%s]}]}",
				    w->ending ? "" : ",\"create\"");
		evhttp_send_reply(q, w->refuse_why ? w->refuse_why : 200, "", to);
	} else if (strstr(evhttp_request_get_uri(q), "watch=true")) {
		assert_true(w->server.n_open < 8);
		api_server_keep_open(&w->server, q);
		evhttp_send_reply_start(q, 200, "OK");
	} else if (w->refuse) {
		w->lists++;
		evhttp_send_error(q, w->refuse, "no");
	} else {
		w->lists++;
		evbuffer_add_printf(to, "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[%s]}",
				    w->empty ? "" : A "," B);
		evhttp_send_reply(q, 200, "OK", to);
	}
	evbuffer_free(to);
}

static void deleted(struct world *w, const char *object)
{
	struct evbuffer *to = evbuffer_new();

	evbuffer_add_printf(to, "{\"type\":\"DELETED\",\"object\":%s}", object);
	evhttp_send_reply_chunk(w->server.open[0], to);
	evbuffer_free(to);
}

/* --- the owner --- */

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

static void nothing(void *context)
{
	(void)context;
}

static void nothing_of(void *context, const char *what)
{
	(void)context;
	(void)what;
}

static bool watched(const struct world *w)
{
	return w->server.n_open;
}

static bool listed_again(const struct world *w)
{
	return w->lists == 2 && w->objects.read && !w->objects.all_deleted;
}

/* Runs the loop until it is so. The objects wait 3 s for further deletions. */
static void wait_until(struct world *w, bool (*is_so)(const struct world *w))
{
	for (int i = 0; i < 12000 && !is_so(w); i++)
		api_server_run(&w->server, 10);
	assert_true(is_so(w));
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	const struct cluster_events cluster = {.node = on_node, .problem = on_problem};
	struct memory_params memory = {.events = &w->events, .health = &w->health};
	const struct source_objects_params params = {
		.sources = &w->sources,
		.source = ROUTE_SOURCE_CILIUM_NODE,
		.what = "ciliumnodes",
		.path = GROUP "/ciliumnodes",
		.title = "CiliumNodes",
		.changed = nothing,
	};

	api_server_begin(&w->server, "/alive", serve, w);
	memory.base = w->server.base;
	assert_int_equal(memory_new(&memory, &w->memory), 0);
	w->place = (struct store_place){
		.base = w->server.base, .memory = w->memory, .health = &w->health};
	w->sources = (struct address_sources_params){
		.place = &w->place,
		.rest = w->server.rest,
		.cluster = cluster_new(&cluster),
		.begin_object = nothing,
		.end_object = nothing_of,
		.progress = nothing,
	};
	assert_int_equal(source_objects_init(&w->objects, &params), 0);
	source_objects_start(&w->objects);
	wait_until(w, watched);
	assert_int_equal(source_objects_count(&w->objects), 2);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	source_objects_fini(&w->objects);
	cluster_free(w->sources.cluster);
	memory_free(w->memory);
	health_fini(&w->health);
	api_server_end(&w->server);
	free(w);
	return 0;
}

static void delete_both(struct world *w)
{
	deleted(w, A);
	deleted(w, B);
	wait_until(w, listed_again);
}

/* What was known stays in force, and somebody is told. */
static void both_stay(const struct world *w)
{
	assert_int_equal(source_objects_count(&w->objects), 2);
	assert_int_equal(w->health.n_problems, 1);
	assert_true(w->health.blind);
}

static void all_that_are_deleted_are_gone_when_a_list_confirms_it(void **state)
{
	struct world *w = *state;

	w->empty = true;
	delete_both(w);
	assert_int_equal(source_objects_count(&w->objects), 0);
	assert_int_equal(w->health.n_problems, 0);
}

static void a_definition_that_goes_takes_nothing_along(void **state)
{
	struct world *w = *state;

	w->refuse = 404;
	delete_both(w);
	both_stay(w);
}

/* Its objects go first, and it may stay for any time without them. */
static void a_definition_that_is_being_removed(void **state)
{
	struct world *w = *state;

	w->empty = w->ending = true;
	delete_both(w);
	both_stay(w);
}

static void a_definition_that_is_being_removed_with_objects_left(void **state)
{
	struct world *w = *state;

	w->ending = true;
	deleted(w, A);
	wait_until(w, listed_again);
	assert_int_equal(source_objects_count(&w->objects), 2);
	assert_true(w->health.blind);
}

static bool one_is_gone(const struct world *w)
{
	return source_objects_count(&w->objects) == 1;
}

static void one_of_two_is_deleted_without_a_list(void **state)
{
	struct world *w = *state;

	deleted(w, A);
	wait_until(w, one_is_gone);
	assert_int_equal(w->lists, 1);
	assert_int_equal(w->questions, 1);
	assert_int_equal(w->health.n_problems, 0);
}

static bool asked_often(const struct world *w)
{
	return w->questions >= 3 && w->health.n_problems;
}

static bool all_are_gone(const struct world *w)
{
	return !source_objects_count(&w->objects) && !w->health.n_problems;
}

/* It is not known whether they count: they stay, somebody is told, and it is asked again. */
static void a_server_that_does_not_say(void **state)
{
	struct world *w = *state;

	w->empty = true;
	w->refuse_why = 500;
	deleted(w, A);
	deleted(w, B);
	wait_until(w, asked_often);
	assert_int_equal(source_objects_count(&w->objects), 2);
	w->refuse_why = 0;
	wait_until(w, all_are_gone);
}

static void a_server_that_must_not_be_asked(void **state)
{
	struct world *w = *state;

	w->empty = true;
	w->refuse_why = 403;
	delete_both(w);
	assert_int_equal(source_objects_count(&w->objects), 2);
	assert_true(w->health.n_problems > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			all_that_are_deleted_are_gone_when_a_list_confirms_it, setup, teardown),
		cmocka_unit_test_setup_teardown(a_definition_that_goes_takes_nothing_along, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_definition_that_is_being_removed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			a_definition_that_is_being_removed_with_objects_left, setup, teardown),
		cmocka_unit_test_setup_teardown(one_of_two_is_deleted_without_a_list, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_server_that_does_not_say, setup, teardown),
		cmocka_unit_test_setup_teardown(a_server_that_must_not_be_asked, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
