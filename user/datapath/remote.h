/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A peer as the workers see it: its session's keypairs, where it is, its timers and counters. The
 * device's peer owns it. Pointers marked (rcu) are read by workers and replaced by the device (or,
 * for the endpoint, by a worker that saw the peer roam); what they pointed to lives on for a grace
 * period.
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
	uint16_t generation; /* differs between two users of a slot */
	struct timers timers;

	/* (rcu) Who sends says remote_sending_keypair(). */
	struct keypair *current;  /* sends and receives */
	struct keypair *previous; /* receives what is still under way */
	struct keypair
		*next; /* responder's: sends once confirmed; then the owner moves it to `current` */

	struct destination destination;	  /* where it is */
	_Atomic uint32_t staged;	  /* packets held for it by all workers */
	_Atomic uint32_t stage_epoch;	  /* raised to drop what is staged (gave up, removed) */
	_Atomic bool handshake_requested; /* an event is on its way; the device clears it */

	struct allowed_list allowed; /* the control thread's; see allowed_ips.h */
	size_t n_allowed;

	struct pv_peer_counters
		*counters; /* (rcu) PV_PEER_COUNTER_SLOTS of them, memory of the map */
};

void remote_init(struct remote *r, uint32_t slot, uint16_t generation);
/* Frees what hangs on it. No reader may be left. */
void remote_fini(struct remote *r);

/* The user of a slot, of PV_MAX_PEERS in `table` (rcu); NULL: gone, or the slot is another's now. */
static inline struct remote *remote_of(struct remote *const *table, uint32_t slot,
				       uint16_t generation)
{
	struct remote *r = slot < PV_MAX_PEERS ? rcu_dereference(table[slot]) : NULL;

	return r && r->generation == generation ? r : NULL;
}

/* The keypair to send with, or NULL. RCU read side. */
static inline struct keypair *remote_sending_keypair(const struct remote *r)
{
	/* The owner writes `current` before it clears `next`: read in the other order, the keypair
	 * is in one of both. */
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
