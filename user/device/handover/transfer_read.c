/* SPDX-License-Identifier: Apache-2.0 */
/* The new process' side: makes a device as another process wrote it down. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock_file.h"
#include "base/log.h"
#include "crypto/aead.h"
#include "device/device_parts.h"
#include "device/handover/transfer.h"
#include "device/peer.h"
#include "netlink/link.h"
#include "wire/wire_open.h"

int device_prepare(const struct device_params *params, const char *served_name, bool superpackets,
		   struct device **out)
{
	struct device *d;
	struct aead *a;
	int err;

	if (!params->aead)
		aead_measure_ahead();
	d = device_allocate(params);
	if (!d)
		return -ENOMEM;
	d->params.name = NULL; /* the record has it */
	d->superpackets = superpackets;
	memcpy(d->served_name, served_name, strnlen(served_name, sizeof(d->served_name) - 1));
	err = device_make_tables(d);
	if (!err) {
		const struct programs_params p = {
			.pin_name = d->served_name,
			.live = true,
			.superpackets = superpackets,
		};

		err = programs_load(&p, &d->programs);
	}
	/* Waits for the measurement, so that no worker has to. */
	if (!err)
		err = aead_new(params->aead, &a);
	if (!err)
		aead_free(a);
	*out = d; /* also after an error: nothing of it may be freed */
	return err;
}

/* --- reading --- */

static int read_session(struct peer *p, const struct record_session *s, struct keypair **place)
{
	struct noise_keys keys = {
		.local_index = s->local_index,
		.remote_index = s->remote_index,
		.initiator = s->initiator,
	};
	struct keypair *k;
	int err;

	if (!s->present)
		return 0;
	memcpy(keys.sending, s->sending_key, KEY_SIZE);
	memcpy(keys.receiving, s->receiving_key, KEY_SIZE);
	k = keypair_new(&keys, &p->remote, s->birth);
	sodium_memzero(&keys, sizeof(keys));
	if (!k)
		return -ENOMEM;
	k->sending_counter = s->sending_counter;
	k->trust = s->trust;
	k->renewal_requested = s->renewal_requested;
	k->replay = s->replay;
	err = datapath_keypair_add(p->device->datapath, k);
	if (err)
		keypair_retire(k);
	else
		rcu_assign_pointer(*place, k);
	return err;
}

static void read_handshake(struct peer *p, const struct noise_handshake *from)
{
	struct noise_handshake *h = &p->handshake;
	uint8_t preshared_key[KEY_SIZE], remote_static[KEY_SIZE];

	memcpy(preshared_key, h->preshared_key, KEY_SIZE);
	memcpy(remote_static, h->remote_static, KEY_SIZE);
	*h = *from;
	memcpy(h->preshared_key, preshared_key, KEY_SIZE);
	memcpy(h->remote_static, remote_static, KEY_SIZE);
	sodium_memzero(preshared_key, sizeof(preshared_key));
}

static void read_timers(struct timers *t, const struct record_state *s)
{
	t->unanswered_since = s->unanswered_since;
	t->unacknowledged_since = s->unacknowledged_since;
	t->last_traversal = s->last_traversal;
	t->more_unacknowledged = s->more_unacknowledged;
	t->retransmit_at = s->retransmit_at;
	t->zero_keys_at = s->zero_keys_at;
	t->jitter = s->jitter;
	t->attempts = s->attempts;
}

static int read_state(struct peer *p, const struct record_state *s)
{
	struct remote *r = &p->remote;
	int err = 0;

	read_handshake(p, &s->handshake);
	memcpy(p->jar.cookie, s->jar.cookie, COOKIE_SIZE);
	p->jar.cookie_birth = s->jar.cookie_birth;
	memcpy(p->jar.last_mac1, s->jar.last_mac1, COOKIE_SIZE);
	p->jar.last_mac1_sent = s->jar.last_mac1_sent;
	read_timers(&r->timers, s);
	p->last_sent_handshake = s->last_sent_handshake;
	p->handshake_wanted = s->handshake_wanted;
	if (s->initiation_pending)
		err = peer_pending_begin_as(p, s->pending_index);
	if (!err)
		err = read_session(p, &s->sessions[RECORD_CURRENT], &r->current);
	if (!err)
		err = read_session(p, &s->sessions[RECORD_PREVIOUS], &r->previous);
	if (!err)
		err = read_session(p, &s->sessions[RECORD_NEXT], &r->next);
	return err;
}

static struct peer *make_peer(struct device *d, const struct record_peer *r)
{
	if (!r->state)
		return peer_new(d, &d->identity, r->public_key, r->preshared_key);

	struct peer *p = peer_new_bare(d, r->public_key);

	if (p)
		memcpy(p->handshake.preshared_key, r->preshared_key, KEY_SIZE);
	return p;
}

static int read_peer(struct device *d, const struct record_peer *r)
{
	struct peer *p = make_peer(d, r);
	int err = 0;

	if (!p)
		return -ENOMEM;
	device_lock(d);
	peer_publish_at(p, r->slot, r->generation);
	destination_set(&p->remote.destination, &r->endpoint);
	p->keepalive = r->keepalive;
	timers_persistent_keepalive_set(&p->remote.timers, r->keepalive * NSEC_PER_SEC);
	p->last_handshake.tv_sec = (time_t)r->last_handshake;
	p->last_handshake.tv_nsec = (long)r->last_handshake_ns;
	p->sessions = r->sessions_made;
	if (r->state)
		err = read_state(p, r->state);
	else
		p->handshake_wanted = endpoint_present(&r->endpoint);
	device_unlock(d);
	for (uint32_t i = 0; i < r->n_allowed && !err; i++)
		err = peer_allow(p, &r->allowed[i]);
	device_lock(d);
	peer_update_map(p);
	device_unlock(d);
	return err;
}

static void read_identity(struct device *d, const struct record_device *r)
{
	memcpy(d->name, r->name, sizeof(d->name));
	memcpy(d->inner_name, r->inner_name, sizeof(d->inner_name));
	d->tunnel_ifindex = (int)r->tunnel_ifindex;
	d->inner_ifindex = (int)r->inner_ifindex;
	d->in_other_namespace = r->in_other_namespace;
	d->params.second_half = r->second_half;
	memcpy(d->mac, r->mac, sizeof(d->mac));
	d->mtu = r->mtu;
	d->queues = r->queues;
	d->room = r->room;
	d->workers = r->n_workers;
	d->wire = (enum wire_mode)r->wire;
	d->wire_ifindex = (int)r->wire_ifindex;
	d->adopted = true;
	d->up = r->up;
	d->params.low_latency = r->low_latency;
	d->listen_port = r->listen_port;
	d->fwmark = r->fwmark;
	d->version = r->version;
	for (uint32_t i = 0; i < r->n_counts && i < HANDSHAKE_COUNTS; i++)
		d->handshakes[i] = r->counts[i];
	if (r->has_key)
		noise_identity_set(&d->identity, r->private_key);
	cookie_checker_init(&d->checker, d->identity.public_key);
	if (!r->cookie_secret_birth)
		return;
	memcpy(d->checker.secret, r->cookie_secret, KEY_SIZE);
	d->checker.secret_birth = r->cookie_secret_birth;
}

/* Sockets and rings of the workers, and of the uplink. Large: on the heap. */
struct sockets {
	struct datapath_handed workers[PV_MAX_WORKERS];
	struct wire_xdp_handed queues[PV_MAX_WORKERS];
	unsigned int n_queues;
	struct uplink_handed uplink;
};

static void take_sockets(const struct record_device *r, const int *fds, struct sockets *out)
{
	struct datapath_handed *handed = out->workers;

	for (uint32_t i = 0; i < r->n_workers; i++) {
		const struct record_worker *w = &r->workers[i];

		handed[i].xsk.fd = *fds++;
		handed[i].xsk.memory_fd = *fds++;
		handed[i].wire = (struct wire_handed){
			.fd4 = w->has_udp4 ? *fds++ : -1,
			.fd6 = -1,
			.port = r->listen_port,
			.fwmark = r->fwmark,
			.dropped4 = w->dropped4,
			.dropped6 = w->dropped6,
		};
		if (w->has_udp6)
			handed[i].wire.fd6 = *fds++;
		if (!w->has_queue)
			continue;
		out->queues[i] = *w->queue;
		out->queues[i].xsk.fd = *fds++;
		out->queues[i].xsk.memory_fd = *fds++;
		out->n_queues = i + 1;
	}
	if (r->uplink_open)
		out->uplink = (struct uplink_handed){
			.open = true,
			.ifindex = r->uplink_ifindex,
			.zero_copy = r->uplink_zero_copy,
			.generic = r->uplink_generic,
			.divert_link = *fds,
		};
}

static int make_datapath(struct device *d, const struct record_device *r,
			 const struct sockets *sockets)
{
	struct datapath_params params = device_datapath_params(d);

	params.answer = r->answers;
	params.handed = sockets->workers;
	params.n_handed = d->workers;
	params.first_queue = r->first_queue;
	return datapath_new(&params, &d->datapath);
}

static int read_staged(struct device *d, const struct record_device *r)
{
	int err = 0;

	device_lock(d);
	for (uint32_t i = 0; i < r->n_workers; i++)
		for (uint32_t k = 0; k < r->workers[i].n_staged && !err; k++)
			err = datapath_stage(d->datapath, i, &r->workers[i].staged[k]);
	device_unlock(d);
	return err;
}

static int make_threads(struct device *d, const struct record_device *r, const int *fds,
			const char **problem)
{
	struct sockets *sockets = calloc(1, sizeof(*sockets));
	int err = -ENOMEM;

	*problem = "the sockets cannot be taken over";
	if (sockets) {
		take_sockets(r, fds, sockets);
		err = make_datapath(d, r, sockets);
	}
	if (!err) {
		*problem = "the handshake thread cannot be started";
		err = device_start_threads(d, true);
	}
	if (!err && sockets->uplink.open) {
		*problem = "the queues of the uplink cannot be taken over";
		device_lock(d);
		err = uplink_adopt(d->uplink, &sockets->uplink, sockets->queues, sockets->n_queues);
		device_unlock(d);
	}
	free(sockets);
	return err;
}

static bool is_this_machine(const struct record_device *r)
{
	struct link_info inner;

	return !link_get_index((int)r->inner_ifindex, &inner) && !strcmp(inner.name, r->inner_name);
}

static int read_all(struct device *d, const struct record_device *r, const int *fds,
		    const char **problem)
{
	int err;

	*problem = "there is no such device: is it in another network namespace?";
	if (!is_this_machine(r))
		return -ENODEV;
	*problem = "the lock is not locked";
	if (!device_is_served(r->served_name))
		return -EINVAL;
	d->lock_file = fds[0];
	read_identity(d, r);
	*problem = "there is no room for the peers";
	err = peers_reserve(d, r->n_slots);
	if (err)
		return err;
	memcpy(d->generations, r->generations, r->n_slots * sizeof(*d->generations));
	d->holes = true;
	err = make_threads(d, r, fds + 1, problem);
	*problem = "a peer cannot be made";
	d->maps_are_filled = programs_adopted(d->programs);
	for (uint32_t i = 0; i < r->n_peers && !err; i++)
		err = read_peer(d, &r->peers[i]);
	d->maps_are_filled = false;
	if (err)
		return err;
	*problem = "a staged packet is not in the memory of its socket";
	return read_staged(d, r);
}

int device_read_record(struct device *d, const struct record_device *r, const int *fds,
		       const char **problem)
{
	const int err = read_all(d, r, fds, problem);

	if (!err)
		*problem = NULL;
	return err;
}

/* --- beginning --- */

static void attach_programs(struct device *d)
{
	int err = 0;

	programs_settle(d->programs, d->served_name);
	if (!d->in_other_namespace)
		err = programs_attach_tunnel(d->programs, d->tunnel_ifindex);
	if (!err)
		err = programs_attach_inner(d->programs, d->inner_ifindex, true);
	if (err)
		log_error("the programs of the process before are still in use",
			  "device=%s errno=%d", d->name, -err);
}

void device_begin(struct device *d)
{
	struct peer *p;

	device_publish_settings(d);
	datapath_release(d->datapath);
	handshaker_release(d->handshaker);
	TAILQ_FOREACH (p, &d->peers, list) {
		const uint64_t now = device_lock(d);

		if (d->up && p->handshake_wanted) {
			p->handshake_wanted = false;
			protocol_initiate(p, now, HANDSHAKE_STARTED_OWNER);
		}
		peer_request_attention(p);
		device_unlock(d);
	}
}

void device_settle(struct device *d)
{
	attach_programs(d);
	device_set_low_latency(d, d->params.low_latency);
	if (device_watch_link(d))
		log_error("changes of the tunnel device are not seen", "device=%s", d->name);
}
