/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kubernetes/node_events.h"

#include <event2/event.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/budget.h"
#include "store/kubernetes/status_object.h"

#define CALL_MS	      10000
#define SAME_MS	      600000 /* the same text within this is the same Event */
#define EVERY_MS      60000
#define EVERY_MS_NODE 100 /* added for each node of the cluster */
#define REMEMBERED    16
#define MESSAGE_BYTES 1000
#define TIME_TEXT     32

struct notice {
	char *reason, *message; /* NULL: this place is free */
	time_t first, last;
	unsigned int count; /* occurrences that no Event has reported yet */
	uint64_t due;	    /* ms; count > 0: when to send it; else when the last Event was sent */
	bool sent;	    /* it was sent at least once */
};

struct node_events {
	struct rest *rest;
	const struct cluster *cluster;
	char *node;
	struct event *on_due;
	struct budget budget;
	struct notice all[REMEMBERED];
	uint64_t passed_over;
};

/* --- sending --- */

static void on_sent(void *context, const struct rest_answer *a)
{
	const struct node_events *e = context;
	char problem[STATUS_OBJECT_TEXT];

	if (a->status / 100 == 2)
		return;
	status_object_explain(a, problem);
	log_debug("an Event was refused", "node=%s problem=\"%s\"", e->node, problem);
}

static void write_time(char out[TIME_TEXT], time_t when)
{
	struct tm t;

	gmtime_r(&when, &t);
	strftime(out, TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &t);
}

static char *make_event(const struct node_events *e, const struct notice *n)
{
	char name[300], first[TIME_TEXT], last[TIME_TEXT], *text;
	json_t *o;

	write_time(first, n->first);
	write_time(last, n->last);
	snprintf(name, sizeof(name), "%.200s.%08x%08x", e->node, randombytes_random(),
		 randombytes_random());
	o = json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s, s:s, s:s, s:s}, s:s, s:s, s:s, "
		      "s:{s:s, s:s}, s:s, s:s, s:i}",
		      "apiVersion", "v1", "kind", "Event", "metadata", "name", name, "namespace",
		      "default", "involvedObject", "apiVersion", "v1", "kind", "Node", "name",
		      e->node, "uid", e->node, "type", "Warning", "reason", n->reason, "message",
		      n->message, "source", "component", "podveil", "host", e->node,
		      "firstTimestamp", first, "lastTimestamp", last, "count", (int)n->count);
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

static void send_event(struct node_events *e, const struct notice *n)
{
	char *text = make_event(e, n);
	const struct rest_request q = {
		.method = "POST",
		.path = "/api/v1/namespaces/default/events",
		.content_type = "application/json",
		.body = text,
		.timeout_ms = CALL_MS,
		.done = on_sent,
		.context = e,
	};

	if (text)
		rest_start(e->rest, &q);
	free(text);
}

/* --- waiting --- */

static void wait_until(struct node_events *e, uint64_t due, uint64_t now)
{
	const uint64_t ms = due > now ? due - now : 0;
	const struct timeval wait = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000) * 1000};

	evtimer_add(e->on_due, &wait);
}

/* The waiting notice that is due first. NULL: none waits. */
static struct notice *first_due(struct node_events *e)
{
	struct notice *first = NULL;

	for (int i = 0; i < REMEMBERED; i++)
		if (e->all[i].count && (!first || e->all[i].due < first->due))
			first = &e->all[i];
	return first;
}

static void on_due(evutil_socket_t fd, short what, void *context)
{
	struct node_events *e = context;
	const uint64_t every = EVERY_MS + EVERY_MS_NODE * cluster_count(e->cluster);
	const uint64_t now = clock_now_ms();
	struct notice *n;
	uint64_t wait;

	(void)fd;
	(void)what;
	while ((n = first_due(e)) && n->due <= now) {
		if (!budget_take(&e->budget, now, every, &wait)) {
			wait_until(e, now + wait, now);
			return;
		}
		send_event(e, n);
		n->count = 0;
		n->sent = true;
		n->due = now;
	}
	if (n)
		wait_until(e, n->due, now);
}

/* --- adding --- */

/* The place of this notice, or a free one, or that of the notice that was sent longest ago. NULL:
 * all places have waiting notices. */
static struct notice *place_of(struct node_events *e, const char *reason, const char *message)
{
	struct notice *free_one = NULL;

	for (int i = 0; i < REMEMBERED; i++) {
		struct notice *n = &e->all[i];

		if (n->reason && !strcmp(n->reason, reason) && !strcmp(n->message, message))
			return n;
		if (!n->count && (!free_one || (free_one->reason && n->due < free_one->due)))
			free_one = n;
	}
	return free_one;
}

/* Cuts the message at the end of a UTF-8 character. */
static char *shortened(const char *message)
{
	size_t len = strlen(message);

	if (len > MESSAGE_BYTES)
		for (len = MESSAGE_BYTES; len && ((unsigned char)message[len] & 0xc0) == 0x80;)
			len--;
	return strndup(message, len);
}

static void forget(struct notice *n)
{
	free(n->reason);
	free(n->message);
	*n = (struct notice){.reason = NULL};
}

void node_events_add(struct node_events *e, const char *reason, const char *message)
{
	const uint32_t turn = budget_turn_ms(cluster_count(e->cluster));
	const uint64_t now = clock_now_ms();
	char *text = shortened(message);
	struct notice *n = text ? place_of(e, reason, text) : NULL;

	if (!n) {
		free(text);
		e->passed_over++;
		log_debug("an Event is dropped: too many are waiting", "node=%s reason=%s all=%llu",
			  e->node, reason, (unsigned long long)e->passed_over);
		return;
	}
	if (!n->reason || strcmp(n->reason, reason) || strcmp(n->message, text)) {
		forget(n);
		n->reason = strdup(reason);
		n->message = text;
		if (!n->reason) {
			forget(n);
			return;
		}
	} else {
		free(text);
	}
	n->last = time(NULL);
	if (n->count++)
		return; /* it waits already */
	if (!n->sent)
		n->first = n->last;
	n->due = n->sent && n->due + SAME_MS > now ? n->due + SAME_MS : now;
	n->due += randombytes_uniform(turn);
	wait_until(e, first_due(e)->due, now);
}

/* --- making and freeing --- */

struct node_events *node_events_new(struct event_base *base, struct rest *rest,
				    const struct cluster *cluster, const char *node)
{
	struct node_events *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->rest = rest;
	e->cluster = cluster;
	e->budget.most = NODE_EVENTS_BURST;
	e->node = strdup(node);
	e->on_due = evtimer_new(base, on_due, e);
	if (!e->node || !e->on_due) {
		node_events_free(e);
		return NULL;
	}
	return e;
}

void node_events_free(struct node_events *e)
{
	if (!e)
		return;
	if (e->on_due)
		event_free(e->on_due);
	for (int i = 0; i < REMEMBERED; i++)
		forget(&e->all[i]);
	free(e->node);
	free(e);
}
