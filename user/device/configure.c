/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration of a device. The steps that can fail come first, so that a request is done as a
 * whole or not at all.
 *
 * A long request must not delay handshakes. So the lock is taken for each peer separately, never
 * for a loop over the request (peer.h says what the lock guards).
 */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "device/config_plan.h"
#include "device/peer.h"

static bool find_n_allowed(void *context, const uint8_t public_key[KEY_SIZE], size_t *n_allowed)
{
	struct peer *p = peer_find(context, public_key);

	rcu_quiescent_state();
	*n_allowed = p ? p->remote.n_allowed : 0;
	return p;
}

static int make_plan(struct device *d, const struct device_config *config, struct config_plan *plan)
{
	const struct config_start start = {
		.n_peers = d->n_peers,
		.n_allowed = d->n_allowed,
		.find = find_n_allowed,
		.context = d,
	};
	int err;

	rcu_thread_online();
	err = config_plan_make(config, &start, plan);
	rcu_thread_offline();
	return err;
}

static void free_peers(struct peer **fresh, size_t n)
{
	for (size_t i = 0; fresh && i < n; i++)
		peer_free(fresh[i]);
	free(fresh);
}

/* Makes the peers of a request; they are not in the device's tables yet. `*out` has one pointer for
 * each entry: NULL if the entry makes no peer. The peers use the identity of the request. */
static int make_peers(struct device *d, const struct device_config *config,
		      const struct config_plan *plan, const struct noise_identity *identity,
		      struct peer ***out)
{
	struct peer **fresh = calloc(config->n_peers ? config->n_peers : 1, sizeof(*fresh));

	if (!fresh)
		return -ENOMEM;
	*out = fresh;
	for (size_t i = 0; i < config->n_peers; i++) {
		const struct peer_config *pc = &config->peers[i];

		if (!plan->makes[i])
			continue;
		fresh[i] = peer_new(d, identity, pc->public_key, pc->preshared_key);
		if (!fresh[i])
			return -ENOMEM;
	}
	return 0;
}

int device_publish_settings(struct device *d)
{
	const struct pv_settings settings = {
		.fwmark = d->fwmark,
		.fwmark_mask = d->fwmark,
		.listen_port = d->listen_port,
		.workers = d->workers,
		.queues = d->queues,
		.first_queue = d->datapath ? datapath_first_queue(d->datapath) : 0,
	};

	return programs_write_settings(d->programs, &settings);
}

static int set_port(struct device *d, uint16_t port, uint32_t fwmark)
{
	int err = d->up ? datapath_listen(d->datapath, &port, fwmark) : 0;

	if (!err) {
		d->listen_port = port;
		handshaker_wake(d->handshaker);
	}
	return err;
}

/* Our key has changed. Sessions and handshakes with the old key are dropped. */
static void rebase(struct peer *p)
{
	struct device *d = p->device;
	struct noise_handshake fresh;

	/* This is the slowest part. Only this thread changes what it reads, so it needs no lock. */
	noise_handshake_init(&fresh, &d->identity, p->public_key, p->handshake.preshared_key);
	device_lock(d);
	session_clear(p);
	memcpy(p->handshake.static_static, fresh.static_static, KEY_SIZE);
	p->last_sent_handshake = 0;
	peer_request_attention(p);
	device_unlock(d);
	sodium_memzero(&fresh, sizeof(fresh));
}

static void set_identity(struct device *d, const struct noise_identity *identity)
{
	struct peer *p, *next;

	if (!sodium_memcmp(identity, &d->identity, sizeof(*identity)))
		return;
	device_lock(d);
	d->identity = *identity;
	cookie_checker_init(&d->checker, d->identity.public_key);
	device_unlock(d);
	for (p = TAILQ_FIRST(&d->peers); p; p = next) {
		next = TAILQ_NEXT(p, list);
		/* A peer with our own new key is removed. */
		if (d->identity.present && !memcmp(p->public_key, d->identity.public_key, KEY_SIZE))
			peer_withdraw(p);
		else
			rebase(p);
	}
}

static void set_keepalive(struct peer *p, uint16_t seconds)
{
	p->keepalive = seconds;
	timers_persistent_keepalive_set(&p->remote.timers, seconds * NSEC_PER_SEC);
	peer_request_attention(p);
}

/* Applies the allowed IPs in the order of the request. New ones are added before old ones are
 * removed, so that those in both never disappear; unless there is no room for both. */
static int set_allowed(struct peer *p, const struct peer_config *pc)
{
	struct device *d = p->device;
	const bool replace = pc->set & PEER_REPLACE_ALLOWED_IPS;
	const uint64_t begin = allowed_ips_inserted(d->allowed_ips);
	int err = 0, first = 0;

	if (replace && d->n_allowed + pc->n_allowed > PV_MAX_ALLOWED_IPS)
		peer_disallow_older(p, begin);
	for (size_t i = 0; i < pc->n_allowed; i++) {
		if (pc->allowed[i].remove)
			peer_disallow(p, &pc->allowed[i].cidr);
		else
			err = peer_allow(p, &pc->allowed[i].cidr);
		first = first ? first : err;
	}
	if (replace)
		peer_disallow_older(p, begin);
	return first;
}

/* Sets everything of a peer but its allowed IPs. */
static void set_peer(struct peer *p, const struct peer_config *pc)
{
	if (pc->set & PEER_SET_PRESHARED_KEY)
		memcpy(p->handshake.preshared_key, pc->preshared_key, KEY_SIZE);
	if (pc->set & PEER_SET_ENDPOINT)
		destination_set(&p->remote.destination, &pc->endpoint);
	if (pc->set & PEER_SET_KEEPALIVE)
		set_keepalive(p, pc->keepalive);
	peer_update_map(p);
	/* Packets wait for it, and it may have become reachable. */
	if (p->device->up && atomic_load_explicit(&p->remote.staged, memory_order_relaxed)) {
		protocol_initiate(p, clock_now(), HANDSHAKE_STARTED_OWNER);
		peer_request_attention(p);
	}
}

static int configure_peer(struct device *d, const struct peer_config *pc, struct peer **fresh)
{
	struct peer *p;
	int err;

	rcu_thread_online();
	p = peer_find(d, pc->public_key);
	rcu_thread_offline();
	if (pc->set & PEER_REMOVE) {
		if (p)
			peer_withdraw(p);
		return 0;
	}
	if (!p) {
		/* The request changes existing peers only, or names our own key. */
		if (!*fresh || (d->identity.present &&
				!memcmp(pc->public_key, d->identity.public_key, KEY_SIZE)))
			return 0;
		p = *fresh;
		*fresh = NULL;
		device_lock(d);
		peer_publish(p);
		device_unlock(d);
	}
	err = set_allowed(p, pc);
	device_lock(d);
	set_peer(p, pc);
	device_unlock(d);
	return err;
}

/* Sets port and mark, which the kernel may refuse. */
static int set_sockets(struct device *d, const struct device_config *config)
{
	const uint32_t fwmark = config->set & DEVICE_SET_FWMARK ? config->fwmark : d->fwmark;
	int err = 0;

	if (config->set & DEVICE_SET_LISTEN_PORT &&
	    (config->listen_port != d->listen_port || !d->up))
		err = set_port(d, config->listen_port, fwmark);
	if (!err && fwmark != d->fwmark) {
		err = datapath_set_fwmark(d->datapath, fwmark);
		if (!err)
			d->fwmark = fwmark;
	}
	return err;
}

static int carry_out(struct device *d, const struct device_config *config, struct peer **fresh)
{
	int err = 0, first = 0;

	if (config->set & DEVICE_REPLACE_PEERS) {
		while (!TAILQ_EMPTY(&d->peers))
			peer_withdraw(TAILQ_FIRST(&d->peers));
	}
	for (size_t i = 0; i < config->n_peers; i++) {
		err = configure_peer(d, &config->peers[i], &fresh[i]);
		first = first ? first : err;
	}
	device_lock(d);
	device_publish_settings(d);
	if (config->n_peers)
		datapath_enable_icmp_answers(d->datapath);
	d->version++;
	device_unlock(d);
	return first;
}

int device_configure(struct device *d, const struct device_config *config)
{
	struct noise_identity identity = d->identity;
	struct config_plan plan;
	struct peer **fresh = NULL;
	int err = make_plan(d, config, &plan);

	if (err)
		return err;
	if (config->set & DEVICE_SET_PRIVATE_KEY)
		noise_identity_set(&identity, config->private_key);
	err = make_peers(d, config, &plan, &identity, &fresh);
	if (!err) {
		device_lock(d);
		err = peers_reserve(d, plan.max_peers);
		if (!err)
			err = set_sockets(d, config);
		device_unlock(d);
	}
	if (!err) {
		set_identity(d, &identity);
		err = carry_out(d, config, fresh);
	}
	free_peers(fresh, config->n_peers);
	config_plan_fini(&plan);
	sodium_memzero(&identity, sizeof(identity));
	return err;
}

uint64_t device_version(struct device *d)
{
	uint64_t version;

	device_lock(d);
	version = d->version;
	device_unlock(d);
	return version;
}

void device_config_fini(struct device_config *config)
{
	for (size_t i = 0; i < config->n_peers; i++)
		free(config->peers[i].allowed);
	if (config->peers) {
		sodium_memzero(config->peers, config->n_peers * sizeof(*config->peers));
		free(config->peers);
	}
	sodium_memzero(config, sizeof(*config));
}
