/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kubernetes/node_status.h"

#include <event2/event.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/event_wait.h"
#include "base/key_text.h"
#include "base/log.h"
#include "store/backoff.h"
#include "store/budget.h"
#include "store/kubernetes/node_events.h"
#include "store/kubernetes/status_object.h"

#define CALL_MS	  10000
#define TIME_TEXT 32

struct node_status {
	struct event_base *base;
	struct rest *rest;
	struct cluster *cluster;
	char *node;
	bool has_keys;
	enum store_key owners[2];
	char keys[2][KEY_TEXT]; /* IPv4, IPv6; empty: none */
	struct rest_call *call; /* the patch under way */

	struct event *on_retry, *on_condition;
	struct backoff backoff;
	bool troubled;
	struct {
		bool ready;
		char reason[64], message[256], since[TIME_TEXT];
	} condition;
	bool condition_due, sent_condition; /* the call under way has it */
	struct node_events *events;
};

static void write_time(char out[TIME_TEXT])
{
	const time_t now = time(NULL);
	struct tm t;

	gmtime_r(&now, &t);
	strftime(out, TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &t);
}

/* --- patching our Node --- */

/* The value of our own annotation: our key, or CLUSTER_STOPPED. Empty if another WireGuard has its
 * key there: when that key disappears, we have not stopped. */
static const char *own_key(const struct node_status *s, bool v6)
{
	if (s->owners[v6] == STORE_KEY_FOREIGN)
		return "";
	return *s->keys[v6] ? s->keys[v6] : CLUSTER_STOPPED;
}

/* Does Calico's annotation have to change? An inherited key is only put back. */
static bool shared_differs(const struct node_status *s, bool v6, const char *there)
{
	return s->owners[v6] == STORE_KEY_OURS	      ? strcmp(there, s->keys[v6]) != 0
	       : s->owners[v6] == STORE_KEY_INHERITED ? !*there && *s->keys[v6]
						      : false;
}

/* Do the node's annotations differ from ours? Absent and empty are the same. */
static bool differs(const struct node_status *s, bool v6)
{
	const char *there = cluster_key(s->cluster, s->node, v6);
	const char *own = cluster_own_key(s->cluster, s->node, v6);

	if (!s->has_keys || !there || !own)
		return false;
	return shared_differs(s, v6, there) || strcmp(own, own_key(s, v6)) != 0;
}

static json_t *text_or_null(const char *text)
{
	return *text ? json_string(text) : json_null();
}

static void put_keys(const struct node_status *s, bool v6, json_t *annotations)
{
	const char *own = own_key(s, v6);
	const bool shared = shared_differs(s, v6, cluster_key(s->cluster, s->node, v6));

	if (!differs(s, v6))
		return;
	if (shared)
		json_object_set_new(annotations, v6 ? CLUSTER_KEY6 : CLUSTER_KEY4,
				    text_or_null(s->keys[v6]));
	/* When a key is put back that Felix has removed, this tells that it was removed. */
	if ((shared && s->owners[v6] == STORE_KEY_INHERITED) || !*s->keys[v6])
		json_object_set_new(annotations, v6 ? CLUSTER_RELEASED6 : CLUSTER_RELEASED4,
				    text_or_null(s->keys[v6]));
	json_object_set_new(annotations, v6 ? CLUSTER_OWN_KEY6 : CLUSTER_OWN_KEY4,
			    text_or_null(own));
}

static json_t *make_condition(const struct node_status *s)
{
	char now[TIME_TEXT];

	write_time(now);
	return json_pack("{s:[{s:s, s:s, s:s, s:s, s:s, s:s}]}", "conditions", "type",
			 "PodveilReady", "status", s->condition.ready ? "True" : "False", "reason",
			 s->condition.reason, "message", s->condition.message, "lastTransitionTime",
			 s->condition.since, "lastHeartbeatTime", now);
}

static void push(struct node_status *s);

static void on_patched(void *context, const struct rest_answer *a)
{
	struct node_status *s = context;
	json_t *o = a->status / 100 == 2 ? json_loadb(a->body, a->len, 0, NULL) : NULL;
	char problem[STATUS_OBJECT_TEXT];
	struct timeval wait;

	s->call = NULL;
	if (o) {
		s->troubled = false;
		/* The watch will report it, too, but later. */
		cluster_object(s->cluster, CLUSTER_NODES, o, false);
	}
	if (o && !differs(s, false) && !differs(s, true)) {
		backoff_reset(&s->backoff);
		push(s);
	} else if (o) {
		/* Our keys changed meanwhile, or somebody removes the annotations. Wait before the
		 * next try. */
		wait = backoff_next(&s->backoff, randombytes_random());
		evtimer_add(s->on_retry, &wait);
	} else {
		status_object_explain(a, problem);
		if (!s->troubled)
			log_warn("our Node cannot be changed", "node=%s problem=\"%s\"", s->node,
				 problem);
		s->troubled = true;
		s->condition_due |= s->sent_condition;
		wait = backoff_next(&s->backoff, randombytes_random());
		wait.tv_sec += a->retry_after;
		evtimer_add(s->on_retry, &wait);
	}
	json_decref(o);
}

/* Each change of a Node is sent to every node of the cluster. So a condition without keys waits for
 * a random time, and so does the next one: all nodes together write at most about 50 times a
 * second. */
static void wait_for_turn(struct node_status *s)
{
	const uint32_t turn = budget_turn_ms(cluster_count(s->cluster));
	const uint32_t ms = turn / 2 + randombytes_uniform(turn);
	const struct timeval wait = {ms / 1000, ms % 1000 * 1000};

	evtimer_add(s->on_condition, &wait);
}

/* Writes the keys as soon as they differ. Writes the condition with them, or when its wait is
 * over. */
static void push(struct node_status *s)
{
	const bool condition = s->condition_due && !evtimer_pending(s->on_condition, NULL);
	struct rest_request q = {
		.method = "PATCH",
		.content_type = "application/strategic-merge-patch+json",
		.timeout_ms = CALL_MS,
		.done = on_patched,
		.context = s,
	};
	json_t *o, *annotations;
	char *path, *text;

	if (s->call || evtimer_pending(s->on_retry, NULL) ||
	    !(differs(s, false) || differs(s, true) || condition) ||
	    !cluster_key(s->cluster, s->node, false))
		return;
	o = json_object();
	annotations = json_object();
	put_keys(s, false, annotations);
	put_keys(s, true, annotations);
	json_object_set_new(o, "metadata", json_pack("{s:o}", "annotations", annotations));
	s->sent_condition = s->condition_due;
	if (s->condition_due) {
		json_object_set_new(o, "status", make_condition(s));
		s->condition_due = false;
		wait_for_turn(s);
	}
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (asprintf(&path, "/api/v1/nodes/%s/status", s->node) < 0)
		path = NULL;
	q.path = path;
	q.body = text;
	if (path && text)
		s->call = rest_start(s->rest, &q);
	free(path);
	free(text);
}

static void on_retry(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	push(context);
}

static void on_condition(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	push(context);
}

void node_status_keys(struct node_status *s, const uint8_t key4[32], const uint8_t key6[32])
{
	const uint8_t *const keys[2] = {key4, key6};

	for (int i = 0; i < 2; i++) {
		*s->keys[i] = 0;
		if (!sodium_is_zero(keys[i], 32))
			key_format(keys[i], s->keys[i]);
	}
	s->has_keys = true;
	push(s);
}

void node_status_key_owners(struct node_status *s, enum store_key v4, enum store_key v6)
{
	s->owners[0] = v4;
	s->owners[1] = v6;
}

void node_status_check(struct node_status *s, const char *node)
{
	const struct timeval now = {0, 0};

	/* Do it later: the cluster calls us from within its own work. */
	if (!strcmp(node, s->node) && !evtimer_pending(s->on_retry, NULL))
		evtimer_add(s->on_retry, &now);
}

void node_status_condition(struct node_status *s, const struct store_state *state)
{
	if (*s->condition.reason && s->condition.ready == state->ready &&
	    !strcmp(s->condition.reason, state->reason) &&
	    !strcmp(s->condition.message, state->message))
		return;
	if (!*s->condition.reason || s->condition.ready != state->ready)
		write_time(s->condition.since);
	s->condition.ready = state->ready;
	snprintf(s->condition.reason, sizeof(s->condition.reason), "%s", state->reason);
	snprintf(s->condition.message, sizeof(s->condition.message), "%s", state->message);
	s->condition_due = true;
	if (!evtimer_pending(s->on_condition, NULL))
		wait_for_turn(s);
}

void node_status_event(struct node_status *s, const char *reason, const char *message)
{
	node_events_add(s->events, reason, message);
}

/* --- making and freeing --- */

static bool keys_are_there(void *context)
{
	const struct node_status *s = context;

	return !s->call && !differs(s, false) && !differs(s, true);
}

void node_status_flush(struct node_status *s, unsigned int ms)
{
	event_wait(s->base, ms, keys_are_there, s);
}

struct node_status *node_status_new(struct event_base *base, struct rest *rest,
				    struct cluster *cluster, const char *node)
{
	struct node_status *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->base = base;
	s->rest = rest;
	s->cluster = cluster;
	s->backoff = (struct backoff){.first_ms = 200, .most_ms = 10000};
	s->node = strdup(node);
	s->on_retry = evtimer_new(base, on_retry, s);
	s->on_condition = evtimer_new(base, on_condition, s);
	s->events = node_events_new(base, rest, cluster, node);
	if (!s->node || !s->on_retry || !s->on_condition || !s->events) {
		node_status_free(s);
		return NULL;
	}
	return s;
}

void node_status_free(struct node_status *s)
{
	if (!s)
		return;
	rest_cancel(s->call);
	node_events_free(s->events);
	if (s->on_retry)
		event_free(s->on_retry);
	if (s->on_condition)
		event_free(s->on_condition);
	free(s->node);
	free(s);
}
