/* SPDX-License-Identifier: Apache-2.0 */
/* A record with two devices, in which each field has a value of its own. */
#ifndef UNIT_HANDED_H
#define UNIT_HANDED_H

#include <stdio.h>

#include "check.h"
#include "handover/record.h"

static void *handed_list(size_t n, size_t size)
{
	void *list = calloc(n, size);

	if (!list)
		abort();
	return list;
}

static void handed_session(struct record_session *s, uint32_t index, uint64_t *seed)
{
	*s = (struct record_session){
		.present = true,
		.initiator = index & 1,
		.renewal_requested = index & 2,
		.trust = (uint8_t)(index % 4),
		.local_index = index,
		.remote_index = draw(seed),
		.birth = draw(seed),
		.sending_counter = draw(seed),
		.replay = {.next = 500, .bitmap = {draw(seed), draw(seed)}},
	};
	for (size_t i = 0; i < KEY_SIZE; i++) {
		s->sending_key[i] = (uint8_t)draw(seed);
		s->receiving_key[i] = (uint8_t)draw(seed);
	}
}

static void handed_peer(struct record_peer *p, uint32_t slot, uint64_t *seed)
{
	struct record_state *s = handed_list(1, sizeof(*s));

	memset(p->public_key, 7, KEY_SIZE);
	p->public_key[0] = (uint8_t)slot;
	memset(p->preshared_key, (int)(draw(seed) & 255), KEY_SIZE);
	if (slot & 1) {
		p->endpoint.to.v4.sin_family = AF_INET;
		p->endpoint.to.v4.sin_port = (in_port_t)draw(seed);
		p->endpoint.to.v4.sin_addr.s_addr = draw(seed);
		p->endpoint.from.v4.s_addr = draw(seed);
	} else {
		p->endpoint.to.v6.sin6_family = AF_INET6;
		p->endpoint.to.v6.sin6_port = (in_port_t)draw(seed);
		p->endpoint.to.v6.sin6_addr.s6_addr[5] = 9;
		p->endpoint.to.v6.sin6_scope_id = draw(seed);
		p->endpoint.from.v6.s6_addr[15] = 3;
	}
	p->endpoint.from_ifindex = 12;
	p->keepalive = 25;
	p->slot = slot;
	p->generation = (uint16_t)(slot + 1);
	p->last_handshake = draw(seed);
	p->last_handshake_ns = draw(seed);
	p->sessions_made = draw(seed);
	p->n_allowed = 2;
	p->allowed = handed_list(2, sizeof(*p->allowed));
	p->allowed[0] = (struct cidr){.family = AF_INET, .prefix_len = 24, .address = {10, 1}};
	p->allowed[1] = (struct cidr){.family = AF_INET6, .prefix_len = 64, .address = {0xfd}};
	s->handshake.state = NOISE_INITIATION_SENT;
	memset(s->handshake.ephemeral_private, (int)(draw(seed) & 255), KEY_SIZE);
	memset(s->handshake.latest_timestamp, 4, TIMESTAMP_SIZE);
	s->handshake.local_index = draw(seed);
	s->jar.cookie_birth = draw(seed);
	s->jar.last_mac1_sent = true;
	s->unanswered_since = draw(seed);
	s->retransmit_at = draw(seed);
	s->zero_keys_at = UINT64_MAX;
	s->attempts = 3;
	s->last_sent_handshake = draw(seed);
	s->initiation_pending = true;
	s->pending_index = 1000 + slot;
	for (uint32_t i = 0; i < RECORD_SESSIONS; i++)
		handed_session(&s->sessions[i], 10 * slot + i, seed);
	p->state = s;
}

static void handed_device(struct record_device *d, const char *name, uint64_t *seed)
{
	snprintf(d->name, sizeof(d->name), "%s", name);
	snprintf(d->inner_name, sizeof(d->inner_name), "%s.xsk", name);
	snprintf(d->served_name, sizeof(d->served_name), "%s", name);
	snprintf(d->owner, sizeof(d->owner), "owner of %s", name);
	d->tunnel_ifindex = 5;
	d->inner_ifindex = 6;
	d->up = d->superpackets = d->answers = d->has_key = d->has_wg_socket = true;
	d->uplink_open = d->uplink_generic = true;
	d->uplink_ifindex = 3;
	memset(d->mac, 2, sizeof(d->mac));
	d->mtu = 1420;
	d->queues = 4;
	d->room = 2;
	d->first_queue = 2;
	memset(d->private_key, 0x11, KEY_SIZE);
	d->listen_port = 51820;
	d->fwmark = 0x200000;
	d->version = draw(seed);
	d->n_counts = 3;
	d->counts[2] = draw(seed);
	d->n_slots = 4;
	d->generations = handed_list(4, sizeof(*d->generations));
	for (uint16_t i = 0; i < 4; i++)
		d->generations[i] = (uint16_t)(i + 1);
	d->n_workers = 2;
	for (uint32_t i = 0; i < 2; i++) {
		struct record_worker *w = &d->workers[i];

		w->has_udp4 = true;
		w->has_udp6 = i;
		w->dropped4 = draw(seed);
		w->has_queue = !i;
		w->queue = handed_list(1, sizeof(*w->queue));
		w->queue->id = 77;
		w->queue->xsk.sends = true;
		w->queue->xsk.n_sendable = 2;
		w->queue->xsk.sendable[0] = 2048 * 4096;
		w->queue->xsk.sendable[1] = 2050 * 4096;
		w->n_staged = 2;
		w->staged = handed_list(2, sizeof(*w->staged));
		for (uint32_t k = 0; k < 2; k++)
			w->staged[k] = (struct datapath_staged){.slot = 1,
								.generation = 2,
								.n_frames = 1,
								.offsets = {4096 * k + 256},
								.lengths = {100}};
	}
	d->n_peers = 3;
	d->peers = handed_list(3, sizeof(*d->peers));
	for (uint32_t i = 0; i < 3; i++)
		handed_peer(&d->peers[i], 3 - i, seed);
	memset(d->cookie_secret, 0x22, KEY_SIZE);
	d->cookie_secret_birth = draw(seed);
}

static __attribute__((unused)) void handed_record(struct handover_record *r)
{
	uint64_t seed = 1;

	*r = (struct handover_record){
		.state_version = RECORD_STATE, .build = "1.2.3", .n_devices = 2};
	r->devices = handed_list(2, sizeof(*r->devices));
	handed_device(&r->devices[0], "wireguard.cali", &seed);
	handed_device(&r->devices[1], "wg-v6.cali", &seed);
}

/* Writes it; the caller frees. */
static __attribute__((unused)) uint8_t *handed_bytes(const struct handover_record *r,
						     size_t *length)
{
	uint8_t *bytes;

	*length = handover_record_size(r);
	bytes = malloc(*length ? *length : 1);
	if (!bytes || handover_record_write(r, bytes, *length))
		abort();
	return bytes;
}

#endif
