/* SPDX-License-Identifier: Apache-2.0 */
#include "device/gate.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "device/peer.h"
#include "protocol/admission.h"
#include "wire/wire.h"

struct gate {
	struct device *device;
	struct admission *admission;
	/* Cookie replies that are held, all to the same sender. */
	struct endpoint to;
	unsigned int n;
	struct message_cookie_reply replies[WIRE_MAX_SEGMENTS];
};

struct gate *gate_new(struct device *d)
{
	struct gate *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->device = d;
	g->admission = admission_new();
	if (g->admission)
		return g;
	free(g);
	return NULL;
}

void gate_free(struct gate *g)
{
	if (!g)
		return;
	admission_free(g->admission);
	free(g);
}

bool gate_under_load(struct gate *g)
{
	return admission_under_load(g->admission, datapath_messages_waiting(g->device->datapath),
				    clock_now());
}

void gate_wasted(struct gate *g)
{
	admission_wasted(g->admission, clock_now());
}

/* Address and port as bytes in network byte order, as cookie.h needs them. */
static size_t source_bytes(const struct endpoint *e, uint8_t out[18])
{
	if (e->to.any.sa_family == AF_INET6) {
		memcpy(out, &e->to.v6.sin6_addr, 16);
		memcpy(out + 16, &e->to.v6.sin6_port, 2);
		return 18;
	}
	memcpy(out, &e->to.v4.sin_addr, 4);
	memcpy(out + 4, &e->to.v4.sin_port, 2);
	return 6;
}

static void flush(struct gate *g)
{
	struct device *d = g->device;

	if (!g->n)
		return;
	atomic_fetch_add_explicit(&d->handshakes[HANDSHAKE_COOKIE_SENT],
				  datapath_send_run(d->datapath, &g->to, g->replies, g->n,
						    sizeof(g->replies[0]), HANDSHAKE_TOS),
				  memory_order_relaxed);
	g->n = 0;
}

void gate_flush(struct gate *g)
{
	if (!g->n)
		return;
	device_lock(g->device);
	flush(g);
	device_unlock(g->device);
}

/* Adds a cookie reply to those that are held. Under the lock. */
static void answer(struct gate *g, const struct handshake_message *e, const uint8_t *source,
		   size_t source_len, uint64_t now)
{
	uint32_t sender;

	if (g->n == WIRE_MAX_SEGMENTS || (g->n && !endpoint_equal(&g->to, &e->from)))
		flush(g);
	g->to = e->from;
	memcpy(&sender, e->bytes + offsetof(struct message_initiation, sender), sizeof(sender));
	cookie_reply_create(&g->device->checker, e->bytes, e->length, le32toh(sender), source,
			    source_len, now, &g->replies[g->n++]);
}

bool gate_pass(struct gate *g, const struct handshake_message *e, bool under_load)
{
	struct device *d = g->device;
	enum cookie_verdict verdict;
	uint8_t source[18];
	const size_t source_len = source_bytes(&e->from, source);
	const uint64_t now = device_lock(d);
	bool pass = true;

	verdict = cookie_check(&d->checker, e->bytes, e->length, source, source_len, now);
	if (under_load && verdict == COOKIE_MAC1_ONLY) {
		pass = admission_unproven(g->admission, &e->from.to.any, now);
		if (!pass)
			answer(g, e, source, source_len, now);
	}
	device_unlock(d);
	if (verdict == COOKIE_BAD_MAC1) {
		device_count(d, HANDSHAKE_FAILED_MAC1);
		return false;
	}
	if (!pass) {
		admission_wasted(g->admission, now);
		return false;
	}
	if (!under_load || verdict != COOKIE_MAC2_VALID ||
	    admission_proven(g->admission, &e->from.to.any, now))
		return true;
	device_count(d, HANDSHAKE_RATE_LIMITED);
	return false;
}
