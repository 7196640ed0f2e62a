/* SPDX-License-Identifier: Apache-2.0 */
#include "store/etcd/etcd_lease.h"

#include <errno.h>
#include <event2/event.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/backoff.h"

#define CALL_MS 5000

struct etcd_lease {
	struct event_base *base;
	struct etcd_client *client;
	char *key, *value; /* value NULL: the key has to be removed */
	int64_t id;	   /* of the lease; 0: there is none yet */
	bool written, troubled;
	bool disturbed;		/* the watch reported another value during a write */
	struct rest_call *call; /* one at a time */
	struct event *on_retry, *on_keepalive;
	struct backoff backoff;
	struct backoff contest; /* waits if somebody else writes our key, too */
};

static void step(struct etcd_lease *l);

static void failed(struct etcd_lease *l, const char *what)
{
	struct timeval wait = backoff_next(&l->backoff, randombytes_random());

	if (*what && !l->troubled) {
		log_warn("our record cannot be written", "key=%s problem=\"%s\"", l->key, what);
		l->troubled = true;
	}
	evtimer_add(l->on_retry, &wait);
}

/* The answer's object. NULL: it failed, and the next attempt is scheduled. */
static json_t *taken(struct etcd_lease *l, const struct rest_answer *a)
{
	char problem[200];
	json_t *o = etcd_answer(l->client, a, problem, sizeof(problem));

	l->call = NULL;
	if (!o) {
		/* "requested lease not found": get a new lease. */
		if (a->status == 404)
			l->id = 0;
		/* An expired token is not logged. If the next token fails, too, that is logged. */
		failed(l, a->status == 401 && !l->backoff.failures ? "" : problem);
		return NULL;
	}
	backoff_reset(&l->backoff);
	l->troubled = false;
	return o;
}

static void on_granted(void *context, const struct rest_answer *a)
{
	struct etcd_lease *l = context;
	json_t *o = taken(l, a);

	if (!o)
		return;
	l->id = etcd_number(o, "ID");
	l->written = false;
	json_decref(o);
	step(l);
}

static void on_written(void *context, const struct rest_answer *a)
{
	struct etcd_lease *l = context;
	json_t *o = taken(l, a);

	if (!o)
		return;
	json_decref(o);
	if (l->disturbed)
		l->written = false;
	l->disturbed = false;
	step(l);
}

/* If the lease is gone, the answer has no "TTL". */
static void on_kept(void *context, const struct rest_answer *a)
{
	struct etcd_lease *l = context;
	json_t *o = taken(l, a);

	if (!o)
		return;
	if (etcd_number(json_object_get(o, "result"), "TTL") <= 0) {
		log_warn("our record's lease expired: the record is written again", "key=%s",
			 l->key);
		l->id = 0;
	}
	backoff_reset(&l->contest);
	json_decref(o);
	step(l);
}

static void call(struct etcd_lease *l, const char *path, json_t *body,
		 void (*done)(void *context, const struct rest_answer *a))
{
	const struct rest_request q = {.timeout_ms = CALL_MS, .done = done, .context = l};

	l->call = etcd_start(l->client, path, body, q);
	if (!l->call)
		failed(l, "");
}

static json_t *id_of(const struct etcd_lease *l)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)l->id);
	return json_pack("{s:s}", "ID", text);
}

static void write_value(struct etcd_lease *l)
{
	json_t *o = json_pack("{s:o}", "key", etcd_string(l->key));
	char id[24];

	l->written = true; /* cleared if the write fails or the watch reports another value */
	if (!l->value) {
		call(l, "/v3/kv/deleterange", o, on_written);
		return;
	}
	snprintf(id, sizeof(id), "%lld", (long long)l->id);
	json_object_set_new(o, "value", etcd_string(l->value));
	json_object_set_new(o, "lease", json_string(id));
	call(l, "/v3/kv/put", o, on_written);
}

static void step(struct etcd_lease *l)
{
	const struct timeval third = {ETCD_LEASE_S / 3, 0};

	if (l->call || evtimer_pending(l->on_retry, NULL))
		return;
	if (l->value && !l->id) {
		call(l, "/v3/lease/grant", json_pack("{s:s}", "TTL", "60"), on_granted);
	} else if (!l->written) {
		write_value(l);
	} else if (l->value) {
		evtimer_add(l->on_keepalive, &third);
	} else if (l->id) {
		json_t *o = id_of(l);

		l->id = 0;
		call(l, "/v3/lease/revoke", o, on_written);
	}
}

static void on_retry(evutil_socket_t fd, short what, void *context)
{
	struct etcd_lease *l = context;

	(void)fd;
	(void)what;
	l->written = false;
	step(l);
}

static void on_keepalive(evutil_socket_t fd, short what, void *context)
{
	struct etcd_lease *l = context;

	(void)fd;
	(void)what;
	if (!l->call && l->id)
		call(l, "/v3/lease/keepalive", id_of(l), on_kept);
}

int etcd_lease_put(struct etcd_lease *l, const char *value)
{
	char *copy = value ? strdup(value) : NULL;

	if (value && !copy)
		return -ENOMEM;
	if (value && l->value && !strcmp(value, l->value)) {
		free(copy);
		return 0;
	}
	free(l->value);
	l->value = copy;
	l->written = false;
	step(l);
	return 0;
}

void etcd_lease_observed(struct etcd_lease *l, const char *value, int64_t lease)
{
	/* The lease must be ours, too: a key without our lease would stay for ever. */
	const bool same = value && l->value ? lease == l->id && !strcmp(value, l->value)
					    : !value && !l->value;
	struct timeval wait;

	if (same)
		return;
	if (l->call) {
		l->disturbed = true; /* it may be our own write: then we write once more */
		return;
	}
	l->written = false;
	if (evtimer_pending(l->on_retry, NULL))
		return;
	/* Wait: two agents with the same name would write without a pause. */
	wait = backoff_next(&l->contest, randombytes_random());
	evtimer_add(l->on_retry, &wait);
}

bool etcd_lease_is_written(const struct etcd_lease *l)
{
	return l->written && !l->call && (l->value || !l->id);
}

struct etcd_lease *etcd_lease_new(struct event_base *base, struct etcd_client *client,
				  const char *key)
{
	struct etcd_lease *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->base = base;
	l->client = client;
	l->backoff = (struct backoff){.first_ms = 100, .most_ms = 5000};
	l->contest = (struct backoff){.first_ms = 100, .most_ms = 5000};
	l->key = strdup(key);
	l->on_retry = evtimer_new(base, on_retry, l);
	l->on_keepalive = evtimer_new(base, on_keepalive, l);
	if (!l->key || !l->on_retry || !l->on_keepalive) {
		etcd_lease_free(l);
		return NULL;
	}
	return l;
}

void etcd_lease_free(struct etcd_lease *l)
{
	if (!l)
		return;
	rest_cancel(l->call);
	if (l->on_retry)
		event_free(l->on_retry);
	if (l->on_keepalive)
		event_free(l->on_keepalive);
	free(l->key);
	free(l->value);
	free(l);
}
