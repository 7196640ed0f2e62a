/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the state of a device for the wg(8) socket, status and metrics. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "device/peer.h"
#include "protocol/elapsed.h"

static void view_device(struct device *d, struct device_view *v)
{
	*v = (struct device_view){
		.has_key = d->identity.present,
		.listen_port = d->listen_port,
		.fwmark = d->fwmark,
		.n_peers = d->n_peers,
		.aead = datapath_aead(d->datapath),
		.superpackets = d->superpackets,
		.workers = d->workers,
		.mtu = d->mtu,
		.low_latency = d->latency.low,
	};
	memcpy(v->latency_missing, d->latency.missing, sizeof(v->latency_missing));
	uplink_view(d->uplink, v);
	for (unsigned int i = 0; i < HANDSHAKE_COUNTS; i++)
		v->handshakes[i] = d->handshakes[i];
	memcpy(v->private_key, d->identity.private_key, KEY_SIZE);
	memcpy(v->public_key, d->identity.public_key, KEY_SIZE);
}

static void view_peer(struct peer *p, struct peer_view *v, uint64_t now)
{
	const struct pv_peer_counters *c = p->remote.counters;
	const struct keypair *k = remote_sending_keypair(&p->remote);

	*v = (struct peer_view){
		.has_preshared_key = !sodium_is_zero(p->handshake.preshared_key, KEY_SIZE),
		.keepalive = p->keepalive,
		.last_handshake = p->last_handshake,
		.sessions = p->sessions,
		.session_age_ns = keypair_can_send(k, now) ? elapsed(k->birth, now) : UINT64_MAX,
		.staged = p->remote.staged,
		.attempts = p->remote.timers.attempts,
	};
	memcpy(v->public_key, p->public_key, KEY_SIZE);
	memcpy(v->preshared_key, p->handshake.preshared_key, KEY_SIZE);
	destination_get(&p->remote.destination, &v->endpoint);
	for (unsigned int i = 0; c && i < PV_PEER_COUNTER_SLOTS; i++) {
		v->rx_bytes += __atomic_load_n(&c[i].rx_bytes, __ATOMIC_RELAXED);
		v->tx_bytes += __atomic_load_n(&c[i].tx_bytes, __ATOMIC_RELAXED);
		v->rx_packets += __atomic_load_n(&c[i].rx_packets, __ATOMIC_RELAXED);
		v->tx_packets += __atomic_load_n(&c[i].tx_packets, __ATOMIC_RELAXED);
	}
}

/* A growing list. */
struct prefixes {
	struct cidr *all;
	size_t n, room;
};

static void take_prefix(const struct cidr *c, void *context)
{
	struct prefixes *list = context;

	if (list->n < list->room)
		list->all[list->n++] = *c;
}

static void list_prefixes(const struct peer *p, struct prefixes *list)
{
	list->n = 0;
	if (p->remote.n_allowed > list->room) {
		free(list->all);
		list->all = malloc(p->remote.n_allowed * sizeof(*list->all));
		list->room = list->all ? p->remote.n_allowed : 0;
	}
	allowed_ips_each(&p->remote, take_prefix, list);
}

void device_report(struct device *d, void (*device)(const struct device_view *, void *context),
		   void (*peer)(const struct peer_view *, void *context), void *context)
{
	struct prefixes list = {.all = NULL};
	struct device_view dv;
	struct peer_view pv;
	struct peer *p;

	device_lock(d);
	view_device(d, &dv);
	device_unlock(d);
	if (device)
		device(&dv, context);
	sodium_memzero(&dv, sizeof(dv));
	if (!peer)
		return;
	TAILQ_FOREACH (p, &d->peers, list) {
		const uint64_t now = device_lock(d);

		view_peer(p, &pv, now);
		device_unlock(d);
		list_prefixes(p, &list);
		pv.allowed = list.all;
		pv.n_allowed = list.n;
		peer(&pv, context);
		sodium_memzero(pv.preshared_key, KEY_SIZE);
	}
	free(list.all);
}

int device_start_handshake(struct device *d, const uint8_t public_key[KEY_SIZE], bool anyway)
{
	const uint64_t now = device_lock(d);
	struct peer *p = peer_find(d, public_key);

	if (p && !d->up)
		p->handshake_wanted = true;
	if (p && d->up && (anyway || !keypair_can_send(remote_sending_keypair(&p->remote), now))) {
		protocol_initiate(p, now, HANDSHAKE_STARTED_OWNER);
		peer_request_attention(p);
	}
	device_unlock(d);
	return p ? 0 : -ENOENT;
}

void device_counters(struct device *d, struct pv_counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned int i = 0; i < PV_COUNTER_SLOTS; i++)
		counters_add(sum, &programs_counters(d->programs)[i]);
}

void device_worker_counters(struct device *d, unsigned int worker, struct pv_counters *out)
{
	memset(out, 0, sizeof(*out));
	counters_add(out, &programs_counters(d->programs)[worker]);
}
