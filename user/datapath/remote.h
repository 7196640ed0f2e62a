/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A peer as the workers see it: the keypairs of its session, its endpoint, timers and counters. The
 * device's struct peer contains it. Pointers marked (rcu) are read by workers and replaced by the
 * device. The endpoint is also replaced by a worker when the peer roams. The old target of a
 * pointer is freed after a grace period.
 */
#ifndef DATAPATH_REMOTE_H
#define DATAPATH_REMOTE_H

#include <stdatomic.h>
#include <stdint.h>

#include "datapath/allowed_ips.h"
#include "datapath/keypair.h"
#include "podveil/maps.h"
#include "protocol/timers.h"
#include "wire/destination.h"

struct remote {
	uint32_t slot;	     /* index in the datapath's table and in the BPF maps */
	uint16_t generation; /* the next peer in the same slot has another one */
	struct timers timers;

	/* (rcu) remote_sending_keypair() chooses the one to send with. */
	struct keypair *current;  /* sends and receives */
	struct keypair *previous; /* receives messages that are still under way */
	/* A responder's. Sends after it is confirmed; then the owner moves it to `current`. */
	struct keypair *next;

	struct destination destination;	  /* its endpoint, and the path there */
	_Atomic uint32_t staged;	  /* packets that all workers hold for it */
	_Atomic uint32_t stage_epoch;	  /* raise it to drop the staged packets */
	_Atomic bool handshake_requested; /* an event was sent; the device clears this */

	struct allowed_list allowed; /* control thread only; see allowed_ips.h */
	size_t n_allowed;

	/* (rcu) PV_PEER_COUNTER_SLOTS of them, in the memory of the BPF map. */
	struct pv_peer_counters *counters;
};

void remote_init(struct remote *r, uint32_t slot, uint16_t generation);
/* Frees its members. No reader may be left. */
void remote_fini(struct remote *r);

/* The remote in a slot of `table` (rcu), which has PV_MAX_PEERS slots. NULL: the remote is gone;
 * the slot may have another one now. */
static inline struct remote *remote_of(struct remote *const *table, uint32_t slot,
				       uint16_t generation)
{
	struct remote *r = slot < PV_MAX_PEERS ? rcu_dereference(table[slot]) : NULL;

	return r && r->generation == generation ? r : NULL;
}

/* The keypair to send with, or NULL. RCU read side. */
static inline struct keypair *remote_sending_keypair(const struct remote *r)
{
	/* The owner writes `current` before it clears `next`. We read in the opposite order, so we
	 * always find the keypair in one of the two. */
	struct keypair *next = __atomic_load_n(&r->next, __ATOMIC_ACQUIRE);

	return next && keypair_confirmed(next) ? next : rcu_dereference(r->current);
}

static inline void remote_count_sent(struct remote *r, unsigned int slot, uint64_t packets,
				     uint64_t bytes)
{
	struct pv_peer_counters *c = rcu_dereference(r->counters);

	if (!c)
		return;
	__atomic_fetch_add(&c[slot].tx_packets, packets, __ATOMIC_RELAXED);
	__atomic_fetch_add(&c[slot].tx_bytes, bytes, __ATOMIC_RELAXED);
}

static inline void remote_count_received(struct remote *r, unsigned int slot, uint64_t packets,
					 uint64_t bytes)
{
	struct pv_peer_counters *c = rcu_dereference(r->counters);

	if (!c)
		return;
	__atomic_fetch_add(&c[slot].rx_packets, packets, __ATOMIC_RELAXED);
	__atomic_fetch_add(&c[slot].rx_bytes, bytes, __ATOMIC_RELAXED);
}

#endif
