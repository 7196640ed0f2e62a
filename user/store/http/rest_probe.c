/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds connections that died without a notice. Every CHECK_S seconds: if a watch has received
 * nothing for long, a probe is sent; if it has received nothing for longer, all connections are
 * closed. rest.h explains the times.
 */
#include <errno.h>
#include <event2/event.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "store/http/rest_internal.h"

#define CHECK_S 3

/* The probe was answered: all calls on its connection are alive. Calls on connections that cannot
 * be shared (HTTP/1) count as alive, too, because nothing more can be found out about them. */
static void on_probed(void *context, const struct rest_answer *a)
{
	struct rest *r = context;
	struct rest_call *c;

	if (!a->status)
		return; /* the client or the kernel has handled it */
	TAILQ_FOREACH (c, &r->calls, in_list)
		if (!c->request.timeout_ms &&
		    (connections_port(c->easy) == r->probe.port || !connections_shared(c->easy)))
			c->last_received = clock_now_ms();
}

/* When this call, or another one on its connection, received something last. In a busy cluster one
 * watch always receives something, so the others need no probe. */
static uint64_t last_received_on_connection(const struct rest *r, const struct rest_call *c)
{
	const long port = connections_port(c->easy);
	const struct rest_call *other;
	uint64_t last = c->last_received;

	TAILQ_FOREACH (other, &r->calls, in_list)
		if (port && other->last_received > other->started_at &&
		    other->last_received > last && connections_port(other->easy) == port)
			last = other->last_received;
	return last;
}

/* Random, so that thousands of nodes do not send their probes at the same moment. */
static uint64_t random_quiet_limit(void)
{
	return REST_QUIET_MS + randombytes_uniform(REST_QUIET_MS / 2);
}

static bool on_probe_data(void *context, const char *bytes, size_t n)
{
	struct rest *r = context;

	(void)bytes;
	(void)n;
	if (r->probe.call)
		r->probe.port = connections_port(r->probe.call->easy);
	return true;
}

void rest_probe_send(struct rest *r)
{
	const struct rest_request q = {
		.method = "GET",
		.path = r->probe.path,
		.timeout_ms = REST_PROBE_MS,
		.data = on_probe_data,
		.done = on_probed,
		.context = r,
	};

	if (!r->probe.call)
		r->probe.call = rest_start(r, &q);
}

static void on_check(evutil_socket_t fd, short what, void *context)
{
	struct rest *r = context;
	const uint64_t now = clock_now_ms();
	bool quiet = false, dead = false;
	struct rest_call *c;

	(void)fd;
	(void)what;
	TAILQ_FOREACH (c, &r->calls, in_list) {
		uint64_t silence;

		if (c->request.timeout_ms)
			continue;
		silence = now - last_received_on_connection(r, c);
		quiet |= silence > r->probe.quiet_limit;
		dead |= silence > r->probe.quiet_limit + REST_PROBE_MS + 2000 * CHECK_S;
	}
	if (quiet && !r->probe.call)
		r->probe.quiet_limit = random_quiet_limit();
	if (dead)
		rest_reset(r, "the connection is dead");
	else if (quiet)
		rest_probe_send(r);
}

int rest_probe_init(struct rest *r, const char *path)
{
	const struct timeval often = {CHECK_S, 0};
	struct rest_probe *p = &r->probe;

	p->path = strdup(path);
	p->quiet_limit = random_quiet_limit();
	p->on_check = event_new(r->base, -1, EV_PERSIST, on_check, r);
	return p->path && p->on_check && !event_add(p->on_check, &often) ? 0 : -ENOMEM;
}

void rest_probe_fini(struct rest *r)
{
	if (r->probe.on_check)
		event_free(r->probe.on_check);
	free(r->probe.path);
}
