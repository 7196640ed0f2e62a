/* SPDX-License-Identifier: Apache-2.0 */
/* A collection is listed and watched. The server, in the same loop, makes the errors that real
 * servers make. */
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "api_server.h"
#include "store/kubernetes/reflector.h"

#define LARGE (3u << 20) /* larger than the client accepts */

struct world {
	struct api_server server;
	struct reflector *reflector;
	char text[4096];  /* what the callbacks reported, as lines */
	char version[20]; /* resourceVersion of lists */
	bool large;	  /* object b is too large */
	long status;	  /* of the last problem */
	int refuse;	  /* status with which watches are refused; 0: they are accepted */
	bool expiring;	  /* the second page of a list has expired */
	bool mute;	  /* the next watch is not answered */
	const char *says; /* what the next watch says at once */
	bool probed;	  /* the client has checked whether the server lives */
	struct evhttp_request *watch;
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

static void send_text(struct world *w, const char *text)
{
	struct evbuffer *to = evbuffer_new();

	evbuffer_add_printf(to, "%s", text);
	evhttp_send_reply_chunk(w->watch, to);
	evbuffer_free(to);
}

static void serve(struct evhttp_request *q, void *context)
{
	const char *uri = evhttp_request_get_uri(q);
	struct world *w = context;

	if (strstr(uri, "/slow")) {
		api_server_keep_open(&w->server, q); /* never answered */
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
		api_server_keep_open(&w->server, q);
		if (!w->mute)
			evhttp_send_reply_start(q, 200, "OK");
		if (w->says)
			send_text(w, w->says);
		w->mute = false;
		w->says = NULL;
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

static void expect(struct world *w, const char *line)
{
	char whole[200];

	snprintf(whole, sizeof(whole), "%s\n", line);
	for (int i = 0; i < 1000 && !strstr(w->text, whole); i++)
		api_server_run(&w->server, 10);
	if (!strstr(w->text, whole))
		fail_msg("\"%s\" was not reported, but:\n%s", line, w->text);
}

static void expect_watches(struct world *w, unsigned int n)
{
	for (int i = 0; i < 1000 && w->watches < n; i++)
		api_server_run(&w->server, 10);
	assert_int_equal(w->watches, n);
}

static void begin_impatient(struct world *w, unsigned int answer_ms, unsigned int silent_ms)
{
	const struct reflector_params p = {
		.base = w->server.base,
		.rest = w->server.rest,
		.path = "/things",
		.object = on_object,
		.listing = on_listing,
		.listed = on_listed,
		.problem = on_watch_problem,
		.answer_ms = answer_ms,
		.silent_ms = silent_ms,
		.context = w,
	};

	w->reflector = reflector_new(&p);
	assert_non_null(w->reflector);
}

static void begin(struct world *w)
{
	begin_impatient(w, 0, 0);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	strcpy(w->version, "7");
	api_server_begin(&w->server, "/alive", serve, w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	reflector_free(w->reflector);
	api_server_end(&w->server);
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
	assert_non_null(rest_start(w->server.rest, &q));
	expect(w, "slow ended");
	for (int i = 0; i < 500 && !w->probed; i++)
		api_server_run(&w->server, 10);
	assert_true(w->probed); /* the client checked whether the server lives */
	api_server_run(&w->server, 100);
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
	api_server_run(&w->server, 1000);
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
	api_server_run(&w->server, 1500);
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

#define SILENT	 "blind: the watch was silent: it is requested again"
#define BOOKMARK "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"8\"}}}"

/* The present watch works, whichever it is: impatient ones follow each other. */
static void expect_news(struct world *w)
{
	for (int i = 0; i < 100 && !strstr(w->text, "\nc\n"); i++) {
		send_event(w, "c", false);
		api_server_run(&w->server, 100);
	}
	expect(w, "c");
	expect(w, "well");
	assert_int_equal(w->lists, 1);
}

/* The connection lives, but the watch on it is dead. */
static void a_watch_that_is_never_answered(void **state)
{
	struct world *w = *state;

	w->mute = true;
	begin_impatient(w, 300, 0);
	expect(w, SILENT);
	expect_news(w);
}

static void half_an_event(void **state)
{
	struct world *w = *state;

	w->says = "{\"type\":\"MODIFIED\",\"object\":{\"meta";
	begin_impatient(w, 300, 0);
	expect(w, SILENT);
	expect_news(w);
}

static void no_bookmark_any_more(void **state)
{
	struct world *w = *state;

	w->says = BOOKMARK;
	begin_impatient(w, 0, 300);
	expect(w, SILENT);
	expect_news(w);
}

/* A server without bookmarks: it is asked again, but nobody is alarmed. */
static void nothing_to_say(void **state)
{
	struct world *w = *state;

	begin_impatient(w, 0, 300);
	for (int i = 0; i < 1000 && w->watches < 3; i++)
		api_server_run(&w->server, 10);
	assert_true(w->watches >= 3);
	assert_null(strstr(w->text, "blind"));
	assert_int_equal(w->lists, 1);
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
		cmocka_unit_test_setup_teardown(a_watch_that_is_never_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(half_an_event, setup, teardown),
		cmocka_unit_test_setup_teardown(no_bookmark_any_more, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_to_say, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
