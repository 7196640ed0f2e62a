/* SPDX-License-Identifier: Apache-2.0 */
#include "handover/record.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "handover/codec.h"
#include "handover/record_check.h"
#include "podveil/maps.h"

static const uint8_t magic[8] = {'p', 'o', 'd', 'v', 'e', 'i', 'l', 0};

/* A list is not longer than its bytes allow, so that a wrong number does not cost memory. */
static void *make_list(struct codec *c, uint32_t n, uint32_t most, size_t least, size_t size)
{
	void *list;

	if (c->mode != CODEC_READ || c->failed)
		return NULL;
	if (n > most || n > codec_left(c) / least) {
		c->failed = true;
		return NULL;
	}
	list = calloc(n ? n : 1, size);
	if (!list)
		c->failed = true;
	return list;
}

/* --- one function for each structure: the only place that lists its fields --- */

static void session(struct codec *c, struct record_session *s)
{
	codec_bool(c, &s->present);
	if (!s->present)
		return;
	codec_bool(c, &s->initiator);
	codec_bool(c, &s->renewal_requested);
	codec_u8(c, &s->trust);
	codec_bytes(c, s->sending_key, KEY_SIZE);
	codec_bytes(c, s->receiving_key, KEY_SIZE);
	codec_u32(c, &s->local_index);
	codec_u32(c, &s->remote_index);
	codec_u64(c, &s->birth);
	codec_u64(c, &s->sending_counter);
	codec_u64(c, &s->replay.next);
	for (size_t i = 0; i < REPLAY_WORDS; i++)
		codec_u64(c, &s->replay.bitmap[i]);
}

static void handshake(struct codec *c, struct noise_handshake *h)
{
	uint8_t state = (uint8_t)h->state;

	codec_u8(c, &state);
	h->state = state;
	codec_bytes(c, h->static_static, KEY_SIZE);
	codec_bytes(c, h->ephemeral_private, KEY_SIZE);
	codec_bytes(c, h->remote_ephemeral, KEY_SIZE);
	codec_bytes(c, h->hash, KEY_SIZE);
	codec_bytes(c, h->chaining_key, KEY_SIZE);
	codec_bytes(c, h->latest_timestamp, TIMESTAMP_SIZE);
	codec_u64(c, &h->last_initiation_received);
	codec_u32(c, &h->local_index);
	codec_u32(c, &h->remote_index);
}

static void jar(struct codec *c, struct cookie_jar *j)
{
	codec_bytes(c, j->cookie, COOKIE_SIZE);
	codec_u64(c, &j->cookie_birth);
	codec_bytes(c, j->last_mac1, COOKIE_SIZE);
	codec_bool(c, &j->last_mac1_sent);
}

static void state(struct codec *c, struct record_state *s)
{
	handshake(c, &s->handshake);
	jar(c, &s->jar);
	codec_u64(c, &s->unanswered_since);
	codec_u64(c, &s->unacknowledged_since);
	codec_u64(c, &s->last_traversal);
	codec_bool(c, &s->more_unacknowledged);
	codec_u64(c, &s->retransmit_at);
	codec_u64(c, &s->zero_keys_at);
	codec_u64(c, &s->jitter);
	codec_u32(c, &s->attempts);
	codec_u64(c, &s->last_sent_handshake);
	codec_bool(c, &s->initiation_pending);
	codec_bool(c, &s->handshake_wanted);
	codec_u32(c, &s->pending_index);
	for (size_t i = 0; i < RECORD_SESSIONS; i++)
		session(c, &s->sessions[i]);
}

static void endpoint(struct codec *c, struct endpoint *e)
{
	const int family = e->to.any.sa_family;
	uint8_t version = family == AF_INET ? 4 : family == AF_INET6 ? 6 : 0;
	uint32_t ifindex = (uint32_t)e->from_ifindex;

	codec_u8(c, &version);
	if (version == 4) {
		e->to.v4.sin_family = AF_INET;
		codec_bytes(c, &e->to.v4.sin_port, sizeof(e->to.v4.sin_port));
		codec_bytes(c, &e->to.v4.sin_addr, sizeof(e->to.v4.sin_addr));
		codec_bytes(c, &e->from.v4, sizeof(e->from.v4));
	} else if (version == 6) {
		e->to.v6.sin6_family = AF_INET6;
		codec_bytes(c, &e->to.v6.sin6_port, sizeof(e->to.v6.sin6_port));
		codec_bytes(c, &e->to.v6.sin6_addr, sizeof(e->to.v6.sin6_addr));
		codec_u32(c, &e->to.v6.sin6_scope_id);
		codec_bytes(c, &e->from.v6, sizeof(e->from.v6));
	} else if (version) {
		c->failed = true;
	}
	codec_u32(c, &ifindex);
	e->from_ifindex = (int)ifindex;
}

static void allowed_ips(struct codec *c, struct record_peer *p)
{
	struct cidr *made;

	codec_u32(c, &p->n_allowed);
	made = make_list(c, p->n_allowed, PV_MAX_ALLOWED_IPS, 18, sizeof(*p->allowed));
	if (c->mode == CODEC_READ)
		p->allowed = made;
	for (uint32_t i = 0; i < p->n_allowed && !c->failed; i++) {
		struct cidr *a = &p->allowed[i];
		uint8_t version = a->family == AF_INET6 ? 6 : 4;

		codec_u8(c, &version);
		a->family = version == 6 ? AF_INET6 : AF_INET;
		codec_u8(c, &a->prefix_len);
		codec_bytes(c, a->address, sizeof(a->address));
	}
}

static void peer(struct codec *c, struct record_peer *p, bool known)
{
	struct codec_block whole, part;

	codec_block_begin(c, &whole);
	codec_bytes(c, p->public_key, KEY_SIZE);
	codec_bytes(c, p->preshared_key, KEY_SIZE);
	endpoint(c, &p->endpoint);
	codec_u16(c, &p->keepalive);
	codec_u32(c, &p->slot);
	codec_u16(c, &p->generation);
	codec_u64(c, &p->last_handshake);
	codec_u64(c, &p->last_handshake_ns);
	codec_u64(c, &p->sessions_made);
	allowed_ips(c, p);
	codec_block_begin(c, &part);
	if (c->mode == CODEC_READ && known && !c->failed) {
		p->state = calloc(1, sizeof(*p->state));
		if (!p->state)
			c->failed = true;
	}
	if (p->state)
		state(c, p->state);
	codec_block_end(c, &part);
	codec_block_end(c, &whole);
}

static void staged(struct codec *c, struct datapath_staged *s)
{
	codec_u32(c, &s->slot);
	codec_u16(c, &s->generation);
	codec_u32(c, &s->n_frames);
	if (s->n_frames > XSK_MAX_FRAMES)
		c->failed = true;
	for (uint32_t i = 0; i < s->n_frames && !c->failed; i++) {
		codec_u64(c, &s->offsets[i]);
		codec_u32(c, &s->lengths[i]);
	}
}

static void queue(struct codec *c, struct record_worker *w)
{
	struct xsk_handed *x;

	if (c->mode == CODEC_READ && !c->failed) {
		w->queue = calloc(1, sizeof(*w->queue));
		if (!w->queue)
			c->failed = true;
	}
	if (!w->queue)
		return;
	x = &w->queue->xsk;
	x->sends = true;
	codec_u16(c, &w->queue->id);
	codec_u32(c, &x->n_sendable);
	if (x->n_sendable > XSK_MAX_SENDABLE)
		c->failed = true;
	for (uint32_t i = 0; i < x->n_sendable && !c->failed; i++)
		codec_u64(c, &x->sendable[i]);
}

static void worker(struct codec *c, struct record_worker *w)
{
	struct datapath_staged *made;
	struct codec_block whole;

	codec_block_begin(c, &whole);
	codec_bool(c, &w->has_udp4);
	codec_bool(c, &w->has_udp6);
	codec_u32(c, &w->dropped4);
	codec_u32(c, &w->dropped6);
	codec_bool(c, &w->has_queue);
	if (w->has_queue)
		queue(c, w);
	codec_u32(c, &w->n_staged);
	made = make_list(c, w->n_staged, UINT16_MAX, 10, sizeof(*w->staged));
	if (c->mode == CODEC_READ)
		w->staged = made;
	for (uint32_t i = 0; i < w->n_staged && !c->failed; i++)
		staged(c, &w->staged[i]);
	codec_block_end(c, &whole);
}

static void identity(struct codec *c, struct record_device *d)
{
	codec_text(c, d->name, sizeof(d->name));
	codec_text(c, d->inner_name, sizeof(d->inner_name));
	codec_text(c, d->served_name, sizeof(d->served_name));
	codec_text(c, d->owner, sizeof(d->owner));
	codec_u32(c, &d->tunnel_ifindex);
	codec_u32(c, &d->inner_ifindex);
	codec_bool(c, &d->in_other_namespace);
	codec_bool(c, &d->superpackets);
	codec_bool(c, &d->up);
	codec_bool(c, &d->low_latency);
	codec_bool(c, &d->second_half);
	codec_bytes(c, d->mac, sizeof(d->mac));
	codec_u32(c, &d->mtu);
	codec_u32(c, &d->queues);
	codec_u32(c, &d->room);
	codec_u32(c, &d->first_queue);
	codec_u8(c, &d->wire);
	codec_u32(c, &d->wire_ifindex);
	codec_bool(c, &d->uplink_open);
	codec_bool(c, &d->uplink_zero_copy);
	codec_bool(c, &d->uplink_generic);
	codec_u32(c, &d->uplink_ifindex);
}

static void configuration(struct codec *c, struct record_device *d)
{
	codec_bool(c, &d->has_key);
	codec_bytes(c, d->private_key, KEY_SIZE);
	codec_u16(c, &d->listen_port);
	codec_u32(c, &d->fwmark);
	codec_u64(c, &d->version);
	codec_bool(c, &d->answers);
	codec_bool(c, &d->has_wg_socket);
	codec_u32(c, &d->n_counts);
	if (d->n_counts > RECORD_COUNTS)
		c->failed = true;
	for (uint32_t i = 0; i < d->n_counts && !c->failed; i++)
		codec_u64(c, &d->counts[i]);
}

static void slots(struct codec *c, struct record_device *d)
{
	uint16_t *made;

	codec_u32(c, &d->n_slots);
	made = make_list(c, d->n_slots, PV_MAX_PEERS, 2, sizeof(*d->generations));
	if (c->mode == CODEC_READ)
		d->generations = made;
	for (uint32_t i = 0; i < d->n_slots && !c->failed; i++)
		codec_u16(c, &d->generations[i]);
}

static void device(struct codec *c, struct record_device *d, bool known)
{
	struct codec_block whole, part;
	struct record_peer *made;

	codec_block_begin(c, &whole);
	identity(c, d);
	configuration(c, d);
	slots(c, d);
	codec_u32(c, &d->n_workers);
	if (d->n_workers > PV_MAX_WORKERS)
		c->failed = true;
	for (uint32_t i = 0; i < d->n_workers && !c->failed; i++)
		worker(c, &d->workers[i]);
	codec_block_begin(c, &part);
	if (c->mode != CODEC_READ || known) {
		codec_bytes(c, d->cookie_secret, KEY_SIZE);
		codec_u64(c, &d->cookie_secret_birth);
	}
	codec_block_end(c, &part);
	codec_u32(c, &d->n_peers);
	made = make_list(c, d->n_peers, PV_MAX_PEERS, 100, sizeof(*d->peers));
	if (c->mode == CODEC_READ)
		d->peers = made;
	for (uint32_t i = 0; i < d->n_peers && !c->failed; i++)
		peer(c, &d->peers[i], known);
	codec_block_end(c, &whole);
}

/* Returns the text of a problem, or NULL. */
static const char *head(struct codec *c, struct handover_record *r)
{
	uint8_t begins[sizeof(magic)];
	uint16_t format = RECORD_FORMAT;

	memcpy(begins, magic, sizeof(magic));
	codec_bytes(c, begins, sizeof(begins));
	codec_u16(c, &format);
	codec_u16(c, &r->state_version);
	codec_text(c, r->build, sizeof(r->build));
	codec_u32(c, &r->n_devices);
	if (memcmp(begins, magic, sizeof(magic)) != 0)
		return "it is no record of podveil";
	if (format != RECORD_FORMAT)
		return "its format is of another version";
	return c->failed || r->n_devices > RECORD_MAX_DEVICES ? "its beginning is broken" : NULL;
}

static void all(struct codec *c, struct handover_record *r)
{
	head(c, r);
	for (uint32_t i = 0; i < r->n_devices; i++)
		device(c, &r->devices[i], true);
}

/* --- writing --- */

size_t handover_record_size(const struct handover_record *r)
{
	struct codec c = {.mode = CODEC_MEASURE};

	all(&c, (struct handover_record *)r);
	return c.measured;
}

int handover_record_write(const struct handover_record *r, uint8_t *out, size_t room)
{
	struct codec c = {.mode = CODEC_WRITE, .at = out, .end = out + room};

	all(&c, (struct handover_record *)r);
	return c.failed ? -ENOSPC : 0;
}

/* --- reading --- */

int handover_record_read(const uint8_t *bytes, size_t length, struct handover_record *out,
			 const char **problem)
{
	/* A reading codec does not write to its bytes. */
	struct codec c = {.mode = CODEC_READ,
			  .at = (uint8_t *)(uintptr_t)bytes,
			  .end = (uint8_t *)(uintptr_t)bytes + length};
	bool known;

	*out = (struct handover_record){.state_version = 0};
	*problem = head(&c, out);
	if (*problem)
		return strstr(*problem, "version") ? -EPROTONOSUPPORT : -EPROTO;
	known = out->state_version == RECORD_STATE;
	out->devices = calloc(out->n_devices ? out->n_devices : 1, sizeof(*out->devices));
	if (!out->devices)
		return -ENOMEM;
	for (uint32_t i = 0; i < out->n_devices && !c.failed; i++)
		device(&c, &out->devices[i], known);
	if (c.failed)
		*problem = "it ends too early, or a field has no valid value";
	else if (c.at != c.end)
		*problem = "more follows after its end";
	else
		*problem = handover_record_check(out);
	if (!*problem)
		return 0;
	handover_record_fini(out);
	return -EPROTO;
}

size_t handover_record_descriptors(const struct handover_record *r)
{
	size_t n = 0;

	for (uint32_t i = 0; i < r->n_devices; i++) {
		const struct record_device *d = &r->devices[i];

		/* The lock, wg's socket, the link of `divert`. */
		n += 1 + d->has_wg_socket + d->uplink_open;
		for (uint32_t k = 0; k < d->n_workers; k++)
			n += 2u + d->workers[k].has_udp4 + d->workers[k].has_udp6 +
			     2u * d->workers[k].has_queue;
	}
	return n;
}

/* --- freeing --- */

static void wipe(void *memory, size_t size)
{
	if (memory)
		sodium_memzero(memory, size);
	free(memory);
}

static void free_device(struct record_device *d)
{
	for (uint32_t i = 0; d->peers && i < d->n_peers; i++) {
		free(d->peers[i].allowed);
		wipe(d->peers[i].state, sizeof(*d->peers[i].state));
	}
	wipe(d->peers, d->n_peers * sizeof(*d->peers));
	for (uint32_t i = 0; i < PV_MAX_WORKERS; i++) {
		free(d->workers[i].staged);
		free(d->workers[i].queue);
	}
	free(d->generations);
}

void handover_record_fini(struct handover_record *r)
{
	for (uint32_t i = 0; r->devices && i < r->n_devices; i++)
		free_device(&r->devices[i]);
	wipe(r->devices, r->n_devices * sizeof(*r->devices));
	sodium_memzero(r, sizeof(*r));
}
