/* SPDX-License-Identifier: Apache-2.0 */
#include "store/etcd/etcd_set.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/event_wait.h"
#include "base/log.h"
#include "store/settings_json.h"

#define CALL_MS 5000
#define SET_MS	10000

struct writer {
	struct event_base *base;
	struct etcd_client *client;
};

/* A request that is repeated until there is an answer. */
struct question {
	struct writer *w;
	const char *path;
	const json_t *body;
	struct rest_call *call;
	json_t *answer;
	bool too_large; /* the answer; a repetition would not help */
	char problem[200];
};

static void on_outcome(void *context, const struct rest_answer *a)
{
	struct question *q = context;

	q->call = NULL;
	q->too_large = a->too_large;
	q->answer = etcd_answer(q->w->client, a, q->problem, sizeof(q->problem));
}

static bool is_answered(void *context)
{
	struct question *q = context;
	const struct rest_request r = {.timeout_ms = CALL_MS, .done = on_outcome, .context = q};

	if (q->answer || q->too_large || etcd_refusal(q->w->client))
		return true;
	/* If there is still no call, a token is being fetched. Its arrival is an event, too. */
	if (!q->call)
		q->call = etcd_start(q->w->client, q->path, json_deep_copy(q->body), r);
	return false;
}

/* Waits for an answer for a while, and tries new tokens and other endpoints meanwhile. */
static json_t *ask(struct writer *w, const char *path, const json_t *body, char *problem,
		   size_t room)
{
	struct question q = {.w = w, .path = path, .body = body};

	event_wait(w->base, SET_MS, is_answered, &q);
	rest_cancel(q.call);
	snprintf(problem, room, "%s",
		 etcd_refusal(w->client) ? etcd_refusal(w->client)
		 : *q.problem		 ? q.problem
					 : "etcd does not answer");
	return q.answer;
}

/* The transaction that changes a document only if it is still as we read it. */
static json_t *transaction(const char *key, const json_t *kv, const char *value)
{
	char was[24];

	snprintf(was, sizeof(was), "%lld", (long long)etcd_number(kv, "mod_revision"));
	return json_pack("{s:[{s:o, s:s, s:s, s:s}], s:[{s:{s:o, s:o}}]}", "compare", "key",
			 etcd_string(key), "target", "MOD", "result", "EQUAL", "mod_revision", was,
			 "success", "request_put", "key", etcd_string(key), "value",
			 etcd_string(value));
}

/* 1: somebody else has changed the document meanwhile. */
static int change(struct writer *w, const char *key, const struct store_setting *changes,
		  unsigned int n, char *problem, size_t room)
{
	json_t *body = json_pack("{s:o}", "key", etcd_string(key));
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
		snprintf(problem, room,
			 "the stored settings are not a JSON object, and were not changed");
		json_decref(answer);
		json_decref(o);
		return -EINVAL;
	}
	settings_json_change(o, changes, n);
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
