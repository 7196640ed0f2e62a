/* SPDX-License-Identifier: Apache-2.0 */
#include "service/service_answer.h"

#include <event2/buffer.h>
#include <inttypes.h>

#include "base/counters.h"
#include "device/device.h"
#include "device/wg/wg_values.h"

static void put_number(struct evbuffer *out, const char *name, uint64_t n)
{
	evbuffer_add_printf(out, "%s=%" PRIu64 "\n", name, n);
}

static void put_handshakes(struct evbuffer *out, const uint64_t counts[HANDSHAKE_COUNTS])
{
#define PUT(id, result, cause, help)                                                               \
	if (counts[HANDSHAKE_##id])                                                                \
		put_number(out, "handshakes." result "." cause, counts[HANDSHAKE_##id]);
	HANDSHAKE_COUNTERS(PUT)
#undef PUT
}

static void put_device(const struct device_view *v, void *context)
{
	struct evbuffer *out = context;

	if (v->has_key)
		wg_put_key(out, "own_public_key", v->public_key);
	put_number(out, "listen_port", v->listen_port);
	put_number(out, "fwmark", v->fwmark);
	put_number(out, "peers", v->n_peers);
	evbuffer_add_printf(out, "aead=%s\n", v->aead);
	put_number(out, "superpackets", v->superpackets);
	put_number(out, "workers", v->workers);
	put_number(out, "mtu", v->mtu);
	evbuffer_add_printf(out, "wire=%s\n", v->wire);
	put_number(out, "wire_refused", v->wire_refused);
	evbuffer_add_printf(out, "wire_reason=%s\n", v->wire_reason);
	put_number(out, "low_latency", v->low_latency);
	evbuffer_add_printf(out, "latency_missing=%s\n", v->latency_missing);
	put_handshakes(out, v->handshakes);
}

static void put_peer(const struct peer_view *v, void *context)
{
	struct evbuffer *out = context;

	wg_put_key(out, "public_key", v->public_key);
	wg_put_endpoint(out, &v->endpoint);
	if (v->last_handshake.tv_sec || v->last_handshake.tv_nsec)
		evbuffer_add_printf(out,
				    "last_handshake_time_sec=%lld\nlast_handshake_time_nsec=%ld\n",
				    (long long)v->last_handshake.tv_sec, v->last_handshake.tv_nsec);
	put_number(out, "tx_bytes", v->tx_bytes);
	put_number(out, "rx_bytes", v->rx_bytes);
	put_number(out, "tx_packets", v->tx_packets);
	put_number(out, "rx_packets", v->rx_packets);
	put_number(out, "persistent_keepalive_interval", v->keepalive);
	put_number(out, "sessions", v->sessions);
	if (v->session_age_ns != UINT64_MAX)
		put_number(out, "session_age_ns", v->session_age_ns);
	put_number(out, "staged", v->staged);
	put_number(out, "attempts", v->attempts);
}

void service_answer_get(struct evbuffer *out, struct device *d)
{
	evbuffer_add_printf(out, "name=%s\n", device_name(d));
	put_number(out, "ifindex", (uint64_t)device_ifindex(d));
	put_number(out, "version", device_version(d));
	device_report(d, put_device, put_peer, out);
}

void service_answer_counters(struct evbuffer *out, struct device *d)
{
	char name[COUNTER_NAME_ROOM];
	struct pv_counters c;

	for (unsigned int slot = 0; slot < PV_COUNTER_SLOTS; slot++) {
		const uint64_t *numbers = (const uint64_t *)&c;

		device_worker_counters(d, slot, &c);
		put_number(out, "slot", slot);
		for (size_t i = 0; i < COUNTERS_NUMBERS; i++) {
			if (!numbers[i])
				continue;
			counters_name(i, name);
			put_number(out, name, numbers[i]);
		}
	}
}
