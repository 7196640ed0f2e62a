/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which keypair sends and which ones still receive (whitepaper 6.3). The initiator sends with a new
 * keypair at once, since the response proved that the other end has the keys. The responder keeps
 * the new keypair as `next` until a message comes in on it. The worker that receives this message
 * confirms it and may send with it at once (keypair.h); later session_confirm() moves it to
 * `current`.
 */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "device/peer.h"

uint32_t session_index(struct device *d)
{
	uint32_t index;

	do
		index = randombytes_random();
	while (datapath_index_used(d->datapath, index) || peer_find_pending(d, index));
	return index;
}

/* Removes a keypair from a pointer that workers read; it is freed after a grace period. */
static void discard(struct peer *p, struct keypair **place)
{
	struct keypair *k = *place;

	if (!k)
		return;
	rcu_assign_pointer(*place, NULL);
	datapath_keypair_remove(p->device->datapath, k);
	keypair_retire(k);
}

static void move(struct keypair **from, struct keypair **to)
{
	struct keypair *k = *from;

	rcu_assign_pointer(*to, k);
	rcu_assign_pointer(*from, NULL);
}

/* Moves `next` to `current`, and `current` to `previous`. */
static void promote(struct peer *p)
{
	struct remote *r = &p->remote;

	discard(p, &r->previous);
	rcu_assign_pointer(r->previous, r->current);
	move(&r->next, &r->current);
}

int session_install(struct peer *p, const struct noise_keys *keys, uint64_t now)
{
	struct remote *r = &p->remote;
	struct keypair *k = keypair_new(keys, r, now);
	int err;

	if (!k)
		return -ENOMEM;
	err = datapath_keypair_add(p->device->datapath, k);
	if (err) {
		keypair_retire(k);
		return err;
	}
	/* A worker may have confirmed `next` just now and send with it, so `next` must not be
	 * lost. */
	if (r->next && (keys->initiator ? keypair_confirmed(r->next) : !keypair_withdraw(r->next)))
		promote(p);
	discard(p, &r->previous);
	if (keys->initiator) {
		struct keypair *current = r->current;

		/* A `next` that was not confirmed is newer than `current`. */
		if (r->next) {
			move(&r->next, &r->previous);
			rcu_assign_pointer(r->current, k);
			if (current) {
				datapath_keypair_remove(p->device->datapath, current);
				keypair_retire(current);
			}
		} else {
			rcu_assign_pointer(r->previous, current);
			rcu_assign_pointer(r->current, k);
		}
	} else {
		discard(p, &r->next);
		rcu_assign_pointer(r->next, k);
	}
	return 0;
}

bool session_confirm(struct peer *p, uint32_t index)
{
	const struct remote *r = &p->remote;

	if (r->next && keypair_confirmed(r->next))
		promote(p);
	/* If another handshake finished meanwhile, session_install() has already moved it. */
	return (r->current && r->current->local_index == index) ||
	       (r->previous && r->previous->local_index == index);
}

void session_clear(struct peer *p)
{
	struct remote *r = &p->remote;

	discard(p, &r->current);
	discard(p, &r->next);
	discard(p, &r->previous);
	peer_pending_end(p);
	noise_handshake_clear(&p->handshake);
}
