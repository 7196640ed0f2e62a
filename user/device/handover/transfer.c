/* SPDX-License-Identifier: Apache-2.0 */
/* The old process' side: holds a device and writes it down. */
#include "device/handover/transfer.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "device/peer.h"

_Static_assert(HANDSHAKE_COUNTS <= RECORD_COUNTS, "the record has room for all counts");

void device_hold(struct device *d)
{
	device_lock(d);
	datapath_close_old_port(d->datapath);
	device_unlock(d);
	datapath_hold(d->datapath);
	handshaker_hold(d->handshaker);
}

/* --- going on --- */

static void leave_counters(struct peer *p)
{
	struct keypair *const all[] = {p->remote.current, p->remote.previous, p->remote.next};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (all[i])
			keypair_leave_counters(all[i]);
}

void peer_go_on(struct peer *p, bool sessions_lost)
{
	const bool again = p->pending || (sessions_lost && remote_sending_keypair(&p->remote));

	if (sessions_lost) {
		session_clear(p);
	} else {
		leave_counters(p);
		peer_pending_end(p);
		noise_handshake_clear(&p->handshake);
	}
	if (!again)
		return;
	p->last_sent_handshake = 0;
	p->handshake_wanted = true;
}

static void begin_handshake(struct peer *p, uint64_t now)
{
	if (p->handshake_wanted && p->device->up) {
		p->handshake_wanted = false;
		protocol_initiate(p, now, HANDSHAKE_STARTED_OWNER);
	}
	peer_request_attention(p);
}

void device_go_on(struct device *d, bool sessions_lost)
{
	struct peer *p;

	TAILQ_FOREACH (p, &d->peers, list) {
		device_lock(d);
		peer_go_on(p, sessions_lost);
		device_unlock(d);
	}
	datapath_release(d->datapath);
	handshaker_release(d->handshaker);
	TAILQ_FOREACH (p, &d->peers, list) {
		const uint64_t now = device_lock(d);

		begin_handshake(p, now);
		device_unlock(d);
	}
}

void device_wipe(struct device *d)
{
	struct peer *p;

	TAILQ_FOREACH (p, &d->peers, list) {
		struct keypair *const all[] = {p->remote.current, p->remote.previous,
					       p->remote.next};

		for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
			if (all[i])
				sodium_memzero(all[i], sizeof(*all[i]));
		sodium_memzero(&p->handshake, sizeof(p->handshake));
	}
	sodium_memzero(&d->identity, sizeof(d->identity));
	sodium_memzero(&d->checker, sizeof(d->checker));
}

/* --- writing --- */

static void write_session(const struct keypair *k, struct record_session *out)
{
	if (!k)
		return;
	*out = (struct record_session){
		.present = true,
		.initiator = k->initiator,
		.renewal_requested = k->renewal_requested,
		.trust = (uint8_t)k->trust,
		.local_index = k->local_index,
		.remote_index = k->remote_index,
		.birth = k->birth,
		.sending_counter = k->sending_counter,
		.replay = k->replay,
	};
	memcpy(out->sending_key, k->sending_key, KEY_SIZE);
	memcpy(out->receiving_key, k->receiving_key, KEY_SIZE);
}

static struct record_state *write_state(const struct peer *p)
{
	const struct timers *t = &p->remote.timers;
	struct record_state *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->handshake = p->handshake;
	s->jar = p->jar;
	s->unanswered_since = t->unanswered_since;
	s->unacknowledged_since = t->unacknowledged_since;
	s->last_traversal = t->last_traversal;
	s->more_unacknowledged = t->more_unacknowledged;
	s->retransmit_at = t->retransmit_at;
	s->zero_keys_at = t->zero_keys_at;
	s->jitter = t->jitter;
	s->attempts = t->attempts;
	s->last_sent_handshake = p->last_sent_handshake;
	s->handshake_wanted = p->handshake_wanted;
	s->initiation_pending = p->pending;
	s->pending_index = p->pending ? p->pending->index : 0;
	write_session(p->remote.current, &s->sessions[RECORD_CURRENT]);
	write_session(p->remote.previous, &s->sessions[RECORD_PREVIOUS]);
	write_session(p->remote.next, &s->sessions[RECORD_NEXT]);
	return s;
}

static void write_allowed(const struct cidr *c, void *context)
{
	struct record_peer *r = context;

	r->allowed[r->n_allowed++] = *c;
}

static int write_peer(struct peer *p, struct record_peer *r)
{
	const size_t n = p->remote.n_allowed;

	memcpy(r->public_key, p->public_key, KEY_SIZE);
	memcpy(r->preshared_key, p->handshake.preshared_key, KEY_SIZE);
	destination_get(&p->remote.destination, &r->endpoint);
	r->keepalive = p->keepalive;
	r->slot = p->remote.slot;
	r->generation = p->remote.generation;
	r->last_handshake = (uint64_t)p->last_handshake.tv_sec;
	r->last_handshake_ns = (uint64_t)p->last_handshake.tv_nsec;
	r->sessions_made = p->sessions;
	r->allowed = calloc(n ? n : 1, sizeof(*r->allowed));
	r->state = write_state(p);
	if (!r->allowed || !r->state)
		return -ENOMEM;
	allowed_ips_each(&p->remote, write_allowed, r);
	return 0;
}

static void count_staged(const struct datapath_staged *s, void *context)
{
	(void)s;
	++*(size_t *)context;
}

static void write_staged(const struct datapath_staged *s, void *context)
{
	struct record_worker *w = context;

	w->staged[w->n_staged++] = *s;
}

static int write_worker(struct device *d, unsigned int i, struct record_worker *w, int *fds,
			size_t *n_fds)
{
	struct datapath_handed handed;
	size_t n = 0;

	datapath_staged_each(d->datapath, i, count_staged, &n);
	w->staged = calloc(n ? n : 1, sizeof(*w->staged));
	if (!w->staged)
		return -ENOMEM;
	datapath_staged_each(d->datapath, i, write_staged, w);
	datapath_hand(d->datapath, i, &handed);
	w->has_udp4 = handed.wire.fd4 >= 0;
	w->has_udp6 = handed.wire.fd6 >= 0;
	w->dropped4 = handed.wire.dropped4;
	w->dropped6 = handed.wire.dropped6;
	fds[(*n_fds)++] = handed.xsk.fd;
	fds[(*n_fds)++] = handed.xsk.memory_fd;
	if (w->has_udp4)
		fds[(*n_fds)++] = handed.wire.fd4;
	if (w->has_udp6)
		fds[(*n_fds)++] = handed.wire.fd6;
	w->queue = calloc(1, sizeof(*w->queue));
	if (!w->queue)
		return -ENOMEM;
	w->has_queue = datapath_hand_queue(d->datapath, i, w->queue);
	if (w->has_queue) {
		fds[(*n_fds)++] = w->queue->xsk.fd;
		fds[(*n_fds)++] = w->queue->xsk.memory_fd;
	}
	return 0;
}

static void write_uplink(const struct device *d, struct record_device *r, int *fds, size_t *n_fds)
{
	struct uplink_handed handed;

	uplink_hand(d->uplink, &handed);
	r->uplink_open = handed.open;
	r->uplink_zero_copy = handed.zero_copy;
	r->uplink_generic = handed.generic;
	r->uplink_ifindex = handed.ifindex;
	if (handed.open)
		fds[(*n_fds)++] = handed.divert_link;
}

static void write_identity(const struct device *d, struct record_device *r)
{
	memcpy(r->name, d->name, sizeof(r->name));
	memcpy(r->inner_name, d->inner_name, sizeof(r->inner_name));
	memcpy(r->served_name, d->served_name, sizeof(r->served_name));
	r->tunnel_ifindex = (uint32_t)d->tunnel_ifindex;
	r->inner_ifindex = (uint32_t)d->inner_ifindex;
	r->in_other_namespace = d->in_other_namespace;
	r->superpackets = d->superpackets;
	r->up = d->up;
	r->low_latency = d->latency.low;
	r->second_half = d->params.second_half;
	memcpy(r->mac, d->mac, sizeof(r->mac));
	r->mtu = d->mtu;
	r->queues = d->queues;
	r->room = d->room;
	r->first_queue = datapath_first_queue(d->datapath);
	r->wire = (uint8_t)d->wire;
	r->wire_ifindex = (uint32_t)d->wire_ifindex;
}

static void write_configuration(const struct device *d, struct record_device *r)
{
	r->has_key = d->identity.present;
	memcpy(r->private_key, d->identity.private_key, KEY_SIZE);
	r->listen_port = d->listen_port;
	r->fwmark = d->fwmark;
	r->version = d->version;
	r->answers = datapath_answers(d->datapath);
	r->n_counts = HANDSHAKE_COUNTS;
	for (unsigned int i = 0; i < HANDSHAKE_COUNTS; i++)
		r->counts[i] = d->handshakes[i];
	memcpy(r->cookie_secret, d->checker.secret, KEY_SIZE);
	r->cookie_secret_birth = d->checker.secret_birth;
}

/* Under the lock, so that RCU lets us read; nobody else wants it while all are held. */
static int write_all(struct device *d, struct record_device *r, int *fds, size_t *n_fds)
{
	struct peer *p;
	int err = 0;

	write_identity(d, r);
	write_configuration(d, r);
	r->generations = calloc(d->n_slots ? d->n_slots : 1, sizeof(*r->generations));
	r->peers = calloc(d->n_peers ? d->n_peers : 1, sizeof(*r->peers));
	if (!r->generations || !r->peers)
		return -ENOMEM;
	r->n_slots = d->n_slots;
	if (d->n_slots)
		memcpy(r->generations, d->generations, d->n_slots * sizeof(*r->generations));
	r->n_workers = d->workers;
	for (unsigned int i = 0; i < d->workers && !err; i++)
		err = write_worker(d, i, &r->workers[i], fds, n_fds);
	write_uplink(d, r, fds, n_fds);
	TAILQ_FOREACH (p, &d->peers, list) {
		if (!err)
			err = write_peer(p, &r->peers[r->n_peers++]);
	}
	return err;
}

int device_write_record(struct device *d, int wg_fd, struct record_device *out, int *fds,
			size_t *n_fds)
{
	int err;

	fds[(*n_fds)++] = d->lock_file;
	out->has_wg_socket = wg_fd >= 0;
	if (wg_fd >= 0)
		fds[(*n_fds)++] = wg_fd;
	device_lock(d);
	err = write_all(d, out, fds, n_fds);
	device_unlock(d);
	return err;
}
