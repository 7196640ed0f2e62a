/* SPDX-License-Identifier: Apache-2.0 */
/* A collection is listed and watched. The server, in the same loop, makes the errors that real
 * servers make. */
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "store/kubernetes/reflector.h"

#define LARGE (3u << 20) /* larger than the client accepts */

struct world {
	struct event_base *base;
	struct evhttp *server;
	struct rest *rest;
	struct reflector *reflector;
	char text[4096];  /* what the callbacks reported, as lines */
	char version[20]; /* resourceVersion of lists */
	bool large;	  /* object b is too large */
	long status;	  /* of the last problem */
	int refuse;	  /* status with which watches are refused; 0: they are accepted */
	bool expiring;	  /* the second page of a list has expired */
	bool probed;	  /* the client has checked whether the server lives */
	struct evhttp_request *watch;
	struct evhttp_request *open[64]; /* begun, not ended: libevent does not free them */
	size_t n_open;
	unsigned int lists, watches;
};

static void note(struct world *w, const char *what)
{
	snprintf(w->text + strlen(w->text), sizeof(w->text) - strlen(w->text), "%s\n", what);
}

/* --- the server --- */

static void add_object(struct evbuffer *to, const char *name, bool large)
{
	evbuffer_add_printf(
		to, "{\"metadata\":{\"name\":\"%s\",\"resourceVersion\":\"9\"},\"pad\":\"", name);
	if (large) {
		char *pad = malloc(LARGE);

		memset(pad, 'x', LARGE);
		evbuffer_add(to, pad, LARGE);
		free(pad);
	}
	evbuffer_add_printf(to, "\"}");
}

static void send_list(struct world *w, struct evhttp_request *q)
{
	struct evbuffer *to = evbuffer_new();

	w->lists++;
	evbuffer_add_printf(to, "{\"metadata\":{\"resourceVersion\":\"%s\"%s},\"items\":[",
			    w->version, w->expiring ? ",\"continue\":\"there-is-more\"" : "");
	add_object(to, "a", false);
	evbuffer_add_printf(to, ",");
	add_object(to, "b", w->large);
	evbuffer_add_printf(to, "]}");
	evhttp_send_reply(q, 200, "OK", to);
	evbuffer_free(to);
}

static void keep_open(struct world *w, struct evhttp_request *q)
{
	assert_true(w->n_open < COUNT_OF(w->open));
	w->open[w->n_open++] = q;
}

static void serve(struct evhttp_request *q, void *context)
{
	const char *uri = evhttp_request_get_uri(q);
	struct world *w = context;

	if (strstr(uri, "/slow")) {
		keep_open(w, q); /* never answered */
		return;
	}
	if (strstr(uri, "/alive")) {
		w->probed = true;
		evhttp_send_reply(q, 200, "OK", NULL);
	} else if (strstr(uri, "continue=")) {
		w->expiring = false; /* the next list will be complete */
		evhttp_send_error(q, 410, "Gone");
	} else if (!strstr(uri, "watch=true")) {
		send_list(w, q);
	} else if (w->refuse) {
		w->watches++;
		evhttp_send_error(q, w->refuse, "no");
	} else {
		w->watches++;
		w->watch = q;
		keep_open(w, q);
		evhttp_send_reply_start(q, 200, "OK");
	}
}

static void send_event(struct world *w, const char *name, bool large)
{
	struct evbuffer *to = evbuffer_new();

	evbuffer_add_printf(to, "{\"type\":\"MODIFIED\",\"object\":");
	add_object(to, name, large);
	evbuffer_add_printf(to, "}");
	evhttp_send_reply_chunk(w->watch, to);
	evbuffer_free(to);
}

/* --- the callbacks --- */

static void on_object(void *context, const json_t *o, bool gone)
{
	char line[80];

	snprintf(line, sizeof(line), "%s%s",
		 json_string_value(json_object_get(json_object_get(o, "metadata"), "name")),
		 gone ? " gone" : "");
	note(context, line);
}

static void on_listing(void *context)
{
	note(context, "listing");
}

static void on_listed(void *context, const struct reflector_list *l)
{
	char line[80];

	snprintf(line, sizeof(line), "listed %llu%s", (unsigned long long)l->revision,
		 l->passed_over ? " but one" : "");
	note(context, line);
}

static void on_watch_problem(void *context, const struct reflector_problem *p)
{
	struct world *w = context;
	char line[200];

	snprintf(line, sizeof(line), "%s%s", p ? p->blind ? "blind: " : "part: " : "well",
		 p ? p->what : "");
	w->status = p ? p->status : 0;
	note(context, line);
}

static void run(struct world *w, unsigned int ms)
{
	const struct timeval pause = {ms / 1000, ms % 1000 * 1000};

	event_base_loopexit(w->base, &pause);
	event_base_dispatch(w->base);
}

static void expect(struct world *w, const char *line)
{
	char whole[200];

	snprintf(whole, sizeof(whole), "%s\n", line);
	for (int i = 0; i < 1000 && !strstr(w->text, whole); i++)
		run(w, 10);
	if (!strstr(w->text, whole))
		fail_msg("\"%s\" was not reported, but:\n%s", line, w->text);
}

static void expect_watches(struct world *w, unsigned int n)
{
	for (int i = 0; i < 1000 && w->watches < n; i++)
		run(w, 10);
	assert_int_equal(w->watches, n);
}

static void begin(struct world *w)
{
	const struct reflector_params p = {
		.base = w->base,
		.rest = w->rest,
		.path = "/things",
		.object = on_object,
		.listing = on_listing,
		.listed = on_listed,
		.problem = on_watch_problem,
		.context = w,
	};

	w->reflector = reflector_new(&p);
	assert_non_null(w->reflector);
}

static int setup(void **state)
{
	struct credentials as = {.insecure = false};
	struct world *w = calloc(1, sizeof(*w));
	struct evhttp_bound_socket *socket;
	struct sockaddr_in at;
	socklen_t len = sizeof(at);

	signal(SIGPIPE, SIG_IGN);
	strcpy(w->version, "7");
	w->base = event_base_new();
	w->server = evhttp_new(w->base);
	evhttp_set_gencb(w->server, serve, w);
	socket = evhttp_bind_socket_with_handle(w->server, "127.0.0.1", 0);
	assert_non_null(socket);
	getsockname(evhttp_bound_socket_get_fd(socket), (struct sockaddr *)&at, &len);
	assert_true(asprintf(&as.server, "http://127.0.0.1:%u", ntohs(at.sin_port)) > 0);
	assert_int_equal(rest_new(w->base, &as, "/alive", &w->rest), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	reflector_free(w->reflector);
	rest_free(w->rest);
	run(w, 50); /* so that the server sees the connections close */
	for (size_t i = 0; i < w->n_open; i++)
		evhttp_send_reply_end(w->open[i]);
	evhttp_free(w->server);
	event_base_free(w->base);
	free(w);
	return 0;
}

static void a_list_and_a_watch(void **state)
{
	struct world *w = *state;

	begin(w);
	expect_watches(w, 1);
	expect(w, "listed 7");
	assert_true(!strncmp(w->text, "listing\na\nb\nlisted 7\n", 21));
	send_event(w, "c", false);
	expect(w, "c");
	assert_int_equal(w->lists, 1);
}

/* A call that takes too long does not break the other connections. */
static void on_slow(void *context, const struct rest_answer *a)
{
	assert_int_equal(a->status, 0);
	note(context, "slow ended");
}

static void a_slow_call_ends_alone(void **state)
{
	struct world *w = *state;
	const struct rest_request q = {
		.method = "GET", .path = "/slow", .timeout_ms = 200, .done = on_slow, .context = w};

	begin(w);
	expect_watches(w, 1);
	assert_non_null(rest_start(w->rest, &q));
	expect(w, "slow ended");
	for (int i = 0; i < 500 && !w->probed; i++)
		run(w, 10);
	assert_true(w->probed); /* the client checked whether the server lives */
	run(w, 100);
	assert_null(strstr(w->text, "blind"));
	assert_int_equal(w->watches, 1);
	send_event(w, "c", false);
	expect(w, "c");
}

/* A list without a version cannot start a watch: it is requested again, after longer waits. */
static void a_list_without_a_version(void **state)
{
	struct world *w = *state;

	*w->version = 0;
	begin(w);
	expect(w, "blind: the list ended early, or has no resourceVersion");
	run(w, 1000);
	assert_in_range(w->lists, 2, 6);
	assert_null(strstr(w->text, "listed"));
	strcpy(w->version, "8");
	expect(w, "listed 8");
	expect(w, "well");
}

/* Lists work, but watches are refused: the client does not list without a pause. */
static void watches_that_are_refused(void **state)
{
	struct world *w = *state;

	w->refuse = 500;
	begin(w);
	expect(w, "listed 7");
	run(w, 1500);
	assert_in_range(w->watches, 2, 8);
	assert_non_null(strstr(w->text, "blind: "));
	assert_int_equal(w->status, 500);
	assert_null(strstr(w->text, "well"));
	w->refuse = 0;
	expect(w, "well");
	assert_int_equal(w->lists, 1);
}

/* The server has forgotten a watch's version (compaction): a new list shows what was missed. */
static void a_version_that_is_forgotten(void **state)
{
	struct world *w = *state;

	w->refuse = 410;
	begin(w);
	expect(w, "listed 7");
	strcpy(w->version, "8");
	expect(w, "listed 8");
	w->refuse = 0;
	expect(w, "well");
	send_event(w, "c", false);
	expect(w, "c");
}

static void a_list_that_is_forgotten_half_way(void **state)
{
	struct world *w = *state;

	w->expiring = true;
	begin(w);
	expect(w, "listed 7");
	assert_int_equal(w->lists, 2);
	/* An incomplete list does not count. */
	assert_null(strstr(strstr(w->text, "listed") + 1, "listed"));
	expect_watches(w, 1);
}

static void an_object_that_is_too_large(void **state)
{
	struct world *w = *state;

	w->large = true;
	begin(w);
	expect(w, "listed 7 but one");
	expect(w,
	       "part: an object of more than 2 MiB is ignored: its last known content stays in force");
	expect_watches(w, 1);
	/* Too large an object on a watch: the client lists at once to learn of it. */
	w->large = false;
	w->text[0] = 0;
	send_event(w, "b", true);
	expect(w, "listed 7");
	assert_int_equal(w->lists, 2);
	expect(w, "well");
}

static void a_list_on_demand(void **state)
{
	struct world *w = *state;

	begin(w);
	expect_watches(w, 1);
	w->text[0] = 0;
	reflector_list_again(w->reflector, 50);
	expect(w, "listed 7");
	expect_watches(w, 2);
	send_event(w, "c", false);
	expect(w, "c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_list_and_a_watch, setup, teardown),
		cmocka_unit_test_setup_teardown(a_slow_call_ends_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(a_list_without_a_version, setup, teardown),
		cmocka_unit_test_setup_teardown(watches_that_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_version_that_is_forgotten, setup, teardown),
		cmocka_unit_test_setup_teardown(a_list_that_is_forgotten_half_way, setup, teardown),
		cmocka_unit_test_setup_teardown(an_object_that_is_too_large, setup, teardown),
		cmocka_unit_test_setup_teardown(a_list_on_demand, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
