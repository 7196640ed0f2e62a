/* SPDX-License-Identifier: Apache-2.0 */
#include "device/peer.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static unsigned long hash_of(const struct device *d, const uint8_t public_key[KEY_SIZE])
{
	unsigned long hash = 0;
	uint8_t digest[crypto_shorthash_BYTES];

	_Static_assert(sizeof(d->hash_key) == crypto_shorthash_KEYBYTES, "libsodium's key");
	crypto_shorthash(digest, public_key, KEY_SIZE, d->hash_key);
	memcpy(&hash, digest, sizeof(hash));
	return hash;
}

static int match_key(struct cds_lfht_node *node, const void *key)
{
	return !memcmp(caa_container_of(node, struct peer, by_key)->public_key, key, KEY_SIZE);
}

static int match_index(struct cds_lfht_node *node, const void *index)
{
	return caa_container_of(node, struct pending, node)->index == *(const uint32_t *)index;
}

struct peer *peer_find(struct device *d, const uint8_t public_key[KEY_SIZE])
{
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;

	cds_lfht_lookup(d->by_key, hash_of(d, public_key), match_key, public_key, &iter);
	node = cds_lfht_iter_get_node(&iter);
	return node ? caa_container_of(node, struct peer, by_key) : NULL;
}

struct peer *peer_find_slot(struct device *d, uint32_t slot, uint16_t generation)
{
	struct peer *p = slot < d->n_slots ? d->slots[slot] : NULL;

	return p && p->remote.generation == generation ? p : NULL;
}

struct peer *peer_find_pending(struct device *d, uint32_t index)
{
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;

	cds_lfht_lookup(d->by_index, index, match_index, &index, &iter);
	node = cds_lfht_iter_get_node(&iter);
	return node ? caa_container_of(node, struct pending, node)->peer : NULL;
}

struct peer *peer_new_bare(struct device *d, const uint8_t public_key[KEY_SIZE])
{
	struct peer *p = aligned_alloc(64, (sizeof(*p) + 63) & ~(size_t)63);

	if (!p)
		return NULL;
	memset(p, 0, sizeof(*p));
	p->device = d;
	memcpy(p->public_key, public_key, KEY_SIZE);
	memcpy(p->handshake.remote_static, public_key, KEY_SIZE);
	cookie_jar_init(&p->jar, public_key);
	return p;
}

struct peer *peer_new(struct device *d, const struct noise_identity *identity,
		      const uint8_t public_key[KEY_SIZE], const uint8_t preshared_key[KEY_SIZE])
{
	struct peer *p = peer_new_bare(d, public_key);

	if (p)
		noise_handshake_init(&p->handshake, identity, public_key, preshared_key);
	return p;
}

void peer_free(struct peer *p)
{
	if (!p)
		return;
	if (p->timer)
		event_free(p->timer);
	remote_fini(&p->remote);
	sodium_memzero(p, sizeof(*p));
	free(p);
}

/* --- slots --- */

static void counters_moved(void *context, uint32_t slot, struct pv_peer_counters *memory)
{
	struct device *d = context;

	if (slot < d->n_slots && d->slots[slot])
		rcu_assign_pointer(d->slots[slot]->remote.counters, memory);
}

int peers_reserve(struct device *d, size_t n_peers)
{
	uint32_t n = d->n_slots ? d->n_slots : 16;
	struct peer **slots;
	uint16_t *generations;
	int err;

	while (n < n_peers)
		n *= 2;
	if (n == d->n_slots)
		return 0;
	slots = realloc(d->slots, n * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	d->slots = slots;
	generations = realloc(d->generations, n * sizeof(*generations));
	if (!generations)
		return -ENOMEM;
	d->generations = generations;
	err = programs_peer_grow(d->programs, n, counters_moved, d);
	if (err)
		return err;
	memset(slots + d->n_slots, 0, (n - d->n_slots) * sizeof(*slots));
	memset(generations + d->n_slots, 0, (n - d->n_slots) * sizeof(*generations));
	d->n_slots = n;
	return 0;
}

/* The lowest free slot, so that the maps stay small. */
static uint32_t free_slot(const struct device *d)
{
	/* If no peer was ever removed, there is no hole to search for. */
	uint32_t slot = d->n_peers < d->n_slots && !d->slots[d->n_peers] && !d->holes
				? (uint32_t)d->n_peers
				: 0;

	while (d->slots[slot])
		slot++;
	return slot;
}

void peer_publish(struct peer *p)
{
	const uint32_t slot = free_slot(p->device);

	peer_publish_at(p, slot, (uint16_t)(p->device->generations[slot] + 1));
}

void peer_publish_at(struct peer *p, uint32_t slot, uint16_t generation)
{
	struct device *d = p->device;

	d->slots[slot] = p;
	d->generations[slot] = generation;
	remote_init(&p->remote, slot, generation);
	timers_up(&p->remote.timers, d->up);
	p->remote.counters = programs_peer_counters(d->programs, slot);
	datapath_remote_add(d->datapath, &p->remote);
	cds_lfht_node_init(&p->by_key);
	cds_lfht_add(d->by_key, hash_of(d, p->public_key), &p->by_key);
	TAILQ_INSERT_TAIL(&d->peers, p, list);
	d->n_peers++;
}

void peer_withdraw(struct peer *p)
{
	struct device *d = p->device;

	/* First stop sending to it, then stop receiving from it. */
	peer_disallow_older(p, UINT64_MAX);
	device_lock(d);
	datapath_remote_remove(d->datapath, &p->remote);
	session_clear(p);
	cds_lfht_del(d->by_key, &p->by_key);
	TAILQ_REMOVE(&d->peers, p, list);
	d->n_peers--;
	if (p->attention)
		TAILQ_REMOVE(&d->attention, p, attention_entry);
	p->attention = false;
	p->removed = true;
	d->slots[p->remote.slot] = NULL;
	d->holes = d->n_peers > 0;
	programs_peer_clear(d->programs, p->remote.slot);
	TAILQ_INSERT_TAIL(&d->removals, p, removal);
	handshaker_wake(d->handshaker);
	device_unlock(d);
}

void peer_update_map(struct peer *p)
{
	struct endpoint e;

	if (p->device->maps_are_filled)
		return;

	struct pv_peer shown = {
		.generation = p->remote.generation,
		.allowed_ips = (uint32_t)p->remote.n_allowed,
	};

	memcpy(shown.public_key, p->public_key, KEY_SIZE);
	if (destination_get(&p->remote.destination, &e)) {
		if (e.to.any.sa_family == AF_INET6) {
			memcpy(shown.endpoint_address, &e.to.v6.sin6_addr, 16);
			shown.endpoint_port = ntohs(e.to.v6.sin6_port);
		} else {
			shown.endpoint_address[10] = shown.endpoint_address[11] = 0xff;
			memcpy(shown.endpoint_address + 12, &e.to.v4.sin_addr, 4);
			shown.endpoint_port = ntohs(e.to.v4.sin_port);
		}
	}
	programs_peer_set(p->device->programs, p->remote.slot, &shown);
}

/* --- allowed IPs --- */

static void cidr4(struct pv_cidr4 *out, const struct cidr *c)
{
	out->prefix_len = c->prefix_len;
	memcpy(out->address, c->address, sizeof(out->address));
}

static void cidr6(struct pv_cidr6 *out, const struct cidr *c)
{
	out->prefix_len = c->prefix_len;
	memcpy(out->address, c->address, sizeof(out->address));
}

static int map_allow(struct device *d, const struct cidr *c, const struct peer *p)
{
	const struct pv_allowed to = {
		.peer = p->remote.slot,
		.generation = p->remote.generation,
	};
	struct pv_cidr4 v4;
	struct pv_cidr6 v6;

	if (c->family == AF_INET) {
		cidr4(&v4, c);
		return programs_allow4(d->programs, &v4, &to);
	}
	cidr6(&v6, c);
	return programs_allow6(d->programs, &v6, &to);
}

static void map_disallow(struct device *d, const struct cidr *c)
{
	struct pv_cidr4 v4;
	struct pv_cidr6 v6;

	if (c->family == AF_INET) {
		cidr4(&v4, c);
		programs_disallow4(d->programs, &v4);
	} else {
		cidr6(&v6, c);
		programs_disallow6(d->programs, &v6);
	}
}

int peer_allow(struct peer *p, const struct cidr *wanted)
{
	struct device *d = p->device;
	const struct cidr c = cidr_masked(wanted);
	struct remote *previous;
	int err;

	rcu_thread_online();
	err = allowed_ips_insert(d->allowed_ips, &c, &p->remote, &previous);
	rcu_thread_offline();
	if (err)
		return err;
	if (previous == &p->remote)
		return 0;
	d->n_allowed += !previous;
	err = d->maps_are_filled ? 0 : map_allow(d, &c, p);
	if (err)
		log_error("cannot write allowed_ips", "prefix_len=%u errno=%d", c.prefix_len, -err);
	return err;
}

void peer_disallow(struct peer *p, const struct cidr *unwanted)
{
	const struct cidr c = cidr_masked(unwanted);
	int err;

	rcu_thread_online();
	err = allowed_ips_remove(p->device->allowed_ips, &c, &p->remote);
	rcu_thread_offline();
	if (err)
		return;
	p->device->n_allowed--;
	map_disallow(p->device, &c);
}

void peer_disallow_older(struct peer *p, uint64_t number)
{
	struct cidr oldest;
	uint64_t its;

	while (allowed_ips_oldest(&p->remote, &oldest, &its) && its < number)
		peer_disallow(p, &oldest);
}

/* --- the initiation under way --- */

int peer_pending_begin(struct peer *p)
{
	return peer_pending_begin_as(p, session_index(p->device));
}

int peer_pending_begin_as(struct peer *p, uint32_t index)
{
	struct pending *fresh = malloc(sizeof(*fresh));

	if (!fresh)
		return -ENOMEM;
	peer_pending_end(p);
	fresh->index = index;
	fresh->peer = p;
	cds_lfht_node_init(&fresh->node);
	cds_lfht_add(p->device->by_index, fresh->index, &fresh->node);
	p->pending = fresh;
	return 0;
}

static void release_pending(struct rcu_head *head)
{
	free(caa_container_of(head, struct pending, rcu));
}

void peer_pending_end(struct peer *p)
{
	if (!p->pending)
		return;
	cds_lfht_del(p->device->by_index, &p->pending->node);
	call_rcu(&p->pending->rcu, release_pending);
	p->pending = NULL;
}

void peer_request_attention(struct peer *p)
{
	struct device *d = p->device;

	if (!p->attention) {
		p->attention = true;
		TAILQ_INSERT_TAIL(&d->attention, p, attention_entry);
	}
	handshaker_wake(d->handshaker);
}
