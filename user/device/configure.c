/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration of a device: what can fail is done first, so that all of a request is done or
 * nothing. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/clock.h"
#include "device/peer.h"

/* Peers that a request makes, before anybody can see them. */
struct plan {
	struct peer *
		*fresh; /* by index of the request's peers; NULL: exists, or is not to be made */
};

static void plan_fini(struct plan *plan, size_t n)
{
	if (!plan->fresh)
		return;
	for (size_t i = 0; i < n; i++)
		peer_free(plan->fresh[i]);
	free(plan->fresh);
}

/* An endpoint of a family that this machine does not speak, a prefix that no address has, ... */
static int check(const struct device *d, const struct device_config *config)
{
	size_t added = 0;

	for (size_t i = 0; i < config->n_peers; i++) {
		const struct peer_config *pc = &config->peers[i];

		for (size_t k = 0; k < pc->n_allowed; k++) {
			const struct cidr *c = &pc->allowed[k].cidr;

			if ((c->family != AF_INET && c->family != AF_INET6) ||
			    c->prefix_len > (c->family == AF_INET ? 32 : 128))
				return -EINVAL;
			added += !pc->allowed[k].remove;
		}
	}
	/* Half of the map's room for each family is more than anybody had. */
	if (d->n_allowed + added > PV_MAX_ALLOWED_IPS ||
	    d->n_peers + config->n_peers > PV_MAX_PEERS)
		return -ENOSPC;
	return 0;
}

static int prepare(struct device *d, const struct device_config *config, struct plan *plan)
{
	size_t n = 0;

	plan->fresh = calloc(config->n_peers ? config->n_peers : 1, sizeof(*plan->fresh));
	if (!plan->fresh)
		return -ENOMEM;
	for (size_t i = 0; i < config->n_peers; i++) {
		const struct peer_config *pc = &config->peers[i];
		const bool exists =
			!(config->set & DEVICE_REPLACE_PEERS) && peer_find(d, pc->public_key);

		if (exists || pc->set & (PEER_REMOVE | PEER_UPDATE_ONLY))
			continue;
		plan->fresh[i] = peer_new(d, pc->public_key, pc->preshared_key);
		if (!plan->fresh[i])
			return -ENOMEM;
		n++;
	}
	return peers_reserve(d, n);
}

int device_publish_settings(struct device *d)
{
	const struct pv_settings settings = {
		.fwmark = d->fwmark,
		.fwmark_mask = d->fwmark,
		.listen_port = d->listen_port,
		.workers = d->workers,
	};

	return programs_settings(d->programs, &settings);
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

static void set_private_key(struct device *d, const uint8_t private_key[KEY_SIZE])
{
	struct noise_identity fresh;
	struct peer *p, *next;

	noise_identity_set(&fresh, private_key);
	if (!sodium_memcmp(&fresh, &d->identity, sizeof(fresh))) {
		sodium_memzero(&fresh, sizeof(fresh));
		return;
	}
	d->identity = fresh;
	sodium_memzero(&fresh, sizeof(fresh));
	cookie_checker_init(&d->checker, d->identity.public_key);
	for (p = TAILQ_FIRST(&d->peers); p; p = next) {
		next = TAILQ_NEXT(p, list);
		/* Nobody is a peer of itself. */
		if (d->identity.present &&
		    !memcmp(p->public_key, d->identity.public_key, KEY_SIZE)) {
			peer_withdraw(p);
			continue;
		}
		session_clear(p);
		noise_handshake_rebase(&p->handshake, &d->identity);
		p->last_sent_handshake = 0;
		peer_attention(p);
	}
}

static void set_keepalive(struct peer *p, uint16_t seconds)
{
	p->keepalive = seconds;
	timers_persistent_keepalive_set(&p->remote.timers, seconds * NSEC_PER_SEC, clock_now());
	peer_attention(p);
}

/* All but what the request names. */
static void disallow_others(struct peer *p, const struct peer_config *pc)
{
	for (size_t i = p->n_allowed; i-- > 0;) {
		const struct cidr c = p->allowed[i];
		bool named = false;

		for (size_t k = 0; k < pc->n_allowed && !named; k++) {
			const struct cidr masked = cidr_masked(&pc->allowed[k].cidr);

			named = !pc->allowed[k].remove && !cidr_compare(&masked, &c);
		}
		if (!named)
			peer_disallow(p, &c);
	}
}

static void configure_peer(struct device *d, const struct peer_config *pc, struct peer **fresh)
{
	struct peer *p = peer_find(d, pc->public_key);

	if (pc->set & PEER_REMOVE) {
		if (p)
			peer_withdraw(p);
		return;
	}
	if (!p) {
		if (!*fresh)
			return;
		if (d->identity.present &&
		    !memcmp(pc->public_key, d->identity.public_key, KEY_SIZE))
			return;
		/* The same peer twice in one request: the second finds the first. */
		p = *fresh;
		peer_publish(p);
		*fresh = NULL;
		noise_handshake_rebase(&p->handshake, &d->identity);
	}
	if (pc->set & PEER_SET_PRESHARED_KEY)
		memcpy(p->handshake.preshared_key, pc->preshared_key, KEY_SIZE);
	if (pc->set & PEER_SET_ENDPOINT)
		remote_endpoint_set(&p->remote, &pc->endpoint);
	for (size_t i = 0; i < pc->n_allowed; i++) {
		if (pc->allowed[i].remove)
			peer_disallow(p, &pc->allowed[i].cidr);
		else
			peer_allow(p, &pc->allowed[i].cidr);
	}
	/* Last, so that what stays is never away. */
	if (pc->set & PEER_REPLACE_ALLOWED_IPS)
		disallow_others(p, pc);
	if (pc->set & PEER_SET_KEEPALIVE)
		set_keepalive(p, pc->keepalive);
	peer_show(p);
	/* It may have become reachable for what waits. */
	if (d->up && atomic_load_explicit(&p->remote.staged, memory_order_relaxed)) {
		protocol_initiate(p, clock_now(), HANDSHAKE_STARTED_OWNER);
		peer_attention(p);
	}
}

static void replace_peers(struct device *d)
{
	struct peer *p;

	while ((p = TAILQ_FIRST(&d->peers)))
		peer_withdraw(p);
}

int device_configure(struct device *d, const struct device_config *config)
{
	struct plan plan = {NULL};
	const uint32_t fwmark = config->set & DEVICE_SET_FWMARK ? config->fwmark : d->fwmark;
	int err;

	device_lock(d);
	err = check(d, config);
	if (!err)
		err = prepare(d, config, &plan);
	if (!err && config->set & DEVICE_SET_LISTEN_PORT &&
	    (config->listen_port != d->listen_port || !d->up))
		err = set_port(d, config->listen_port, fwmark);
	if (!err && fwmark != d->fwmark) {
		err = datapath_fwmark(d->datapath, fwmark);
		if (!err)
			d->fwmark = fwmark;
	}
	if (err)
		goto out;
	if (config->set & DEVICE_SET_PRIVATE_KEY)
		set_private_key(d, config->private_key);
	if (config->set & DEVICE_REPLACE_PEERS)
		replace_peers(d);
	for (size_t i = 0; i < config->n_peers; i++)
		configure_peer(d, &config->peers[i], &plan.fresh[i]);
	device_publish_settings(d);
	if (config->n_peers)
		datapath_answer(d->datapath);
	d->version++;
out:
	plan_fini(&plan, config->n_peers);
	device_unlock(d);
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
