/* SPDX-License-Identifier: Apache-2.0 */
#include "store/etcd_set.h"

#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "observe/log.h"
#include "store/document.h"

#define CALL_MS 5000
#define SET_S	10

struct writer {
	struct event_base *base;
	struct etcd_client *client;
};

static void on_late(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	*(bool *)context = true;
}

struct outcome {
	struct writer *w;
	bool done;
	json_t *answer;
	char problem[200];
};

static void on_outcome(void *context, const struct rest_answer *a)
{
	struct outcome *o = context;

	o->done = true;
	o->answer = etcd_answer(o->w->client, a, o->problem, sizeof(o->problem));
}

/* Waits for an answer, through tokens and endpoints' turns, for a while. */
static json_t *ask(struct writer *w, const char *path, const json_t *body, char *problem,
		   size_t room)
{
	const struct timeval patience = {SET_S, 0};
	struct outcome o = {.w = w, .done = true};
	const struct rest_request q = {.timeout_ms = CALL_MS, .done = on_outcome, .context = &o};
	struct rest_call *call = NULL;
	bool late = false;
	struct event *timer = evtimer_new(w->base, on_late, &late);

	if (!timer || evtimer_add(timer, &patience))
		late = true;
	while (!late && !o.answer && !etcd_refusal(w->client)) {
		if (!call)
			call = etcd_start(w->client, path, json_deep_copy(body), q);
		o.done = false;
		/* Where there is no call there is a token under way, whose end is an event, too. */
		if (event_base_loop(w->base, EVLOOP_ONCE) < 0)
			break;
		if (o.done)
			call = NULL;
	}
	if (!o.done)
		rest_cancel(call);
	if (timer)
		event_free(timer);
	snprintf(problem, room, "%s",
		 etcd_refusal(w->client) ? etcd_refusal(w->client)
		 : *o.problem		 ? o.problem
					 : "etcd does not answer");
	return o.answer;
}

/* The transaction that changes a document only if it is still as we read it. */
static json_t *transaction(const char *key, const json_t *kv, const char *value)
{
	char was[24];

	snprintf(was, sizeof(was), "%lld", (long long)etcd_number(kv, "mod_revision"));
	return json_pack("{s:[{s:o, s:s, s:s, s:s}], s:[{s:{s:o, s:o}}]}", "compare", "key",
			 etcd_bytes(key), "target", "MOD", "result", "EQUAL", "mod_revision", was,
			 "success", "request_put", "key", etcd_bytes(key), "value",
			 etcd_bytes(value));
}

/* 1: somebody was faster. */
static int change(struct writer *w, const char *key, const struct store_setting *changes,
		  unsigned int n, char *problem, size_t room)
{
	json_t *body = json_pack("{s:o}", "key", etcd_bytes(key));
	json_t *answer = ask(w, "/v3/kv/range", body, problem, room), *kv, *o;
	size_t len = 0;
	char *text;
	int err;

	json_decref(body);
	if (!answer)
		return -EHOSTUNREACH;
	kv = json_array_get(json_object_get(answer, "kvs"), 0);
	text = kv ? etcd_text(json_object_get(kv, "value"), &len) : strdup("{}");
	o = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
	free(text);
	if (!json_is_object(o)) {
		snprintf(problem, room, "what is there is no JSON object, and was left alone");
		json_decref(answer);
		json_decref(o);
		return -EINVAL;
	}
	document_change(o, changes, n);
	text = json_dumps(o, JSON_INDENT(2));
	body = text ? transaction(key, kv, text) : NULL;
	json_decref(answer);
	json_decref(o);
	free(text);
	answer = body ? ask(w, "/v3/kv/txn", body, problem, room) : NULL;
	err = !answer ? -EHOSTUNREACH : !json_is_true(json_object_get(answer, "succeeded"));
	json_decref(body);
	json_decref(answer);
	return err;
}

int etcd_set(struct event_base *base, struct etcd_client *client, const char *key,
	     const struct store_setting *changes, unsigned int n)
{
	struct writer w = {base, client};
	char problem[200] = "";
	int err;

	do
		err = change(&w, key, changes, n, problem, sizeof(problem));
	while (err == 1);
	if (err)
		log_error("the settings were not changed", "key=%s problem=\"%s\"", key, problem);
	return err;
}
