/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session's keys as the workers use them. Made by the device when a handshake is done, immutable
 * but for the atomics, found by its local index or through its remote, freed (and wiped) after an
 * RCU grace period.
 *
 * Sending: any worker reserves a run of counters with one atomic add a batch. Receiving: the kernel
 * gives all datagrams of one source to one worker (SO_REUSEPORT), so in practice one worker at a
 * time touches the replay window; `receiving_busy` makes that a rule while a peer roams. It is
 * taken once a batch, never a packet.
 */
#ifndef DATAPATH_KEYPAIR_H
#define DATAPATH_KEYPAIR_H

#include <stdatomic.h>
#include <urcu-qsbr.h>
#include <urcu/rculfhash.h>

#include "protocol/noise.h"
#include "protocol/replay.h"

struct remote;

/* Who may send with a keypair (whitepaper 6.3): an initiator at once, a responder from the first
 * message on that came in on it. The worker that has this message decides it, by one
 * compare-and-swap a session, so that whatever the message causes is already sent with it. The
 * owner may decide that it shall not come to that. Only one of them can. */
enum keypair_trust {
	KEYPAIR_UNCONFIRMED, /* a responder's, and nothing has come in on it */
	KEYPAIR_CONFIRMED,
	KEYPAIR_REPORTED,  /* confirmed, and the owner has an event that says so */
	KEYPAIR_WITHDRAWN, /* replaced before it was confirmed */
};

struct keypair {
	uint8_t sending_key[KEY_SIZE];
	uint8_t receiving_key[KEY_SIZE];
	uint32_t local_index;
	uint32_t remote_index;
	bool initiator;
	uint64_t birth; /* monotonic ns */
	struct remote *remote;

	_Atomic uint64_t sending_counter; /* next to use */
	_Atomic bool dead;		  /* expired, replaced or wiped: neither way */
	_Atomic int trust;		  /* enum keypair_trust */
	_Atomic bool renewal_requested;	  /* rekey event was sent for it */
	atomic_flag receiving_busy;
	struct replay replay;

	struct cds_lfht_node node; /* in the datapath's table of local indices */
	struct rcu_head rcu;
};

/* NULL: no memory. The keys are copied. */
struct keypair *keypair_new(const struct noise_keys *keys, struct remote *remote, uint64_t now);
/* Marks it dead and frees it, wiped, after a grace period. It must be unreachable already. */
void keypair_retire(struct keypair *k);

/* May it still encrypt (whitepaper 6.2)? */
bool keypair_can_send(const struct keypair *k, uint64_t now);
/* Reserves n counters; false where that would pass REJECT_AFTER_MESSAGES. */
bool keypair_reserve(struct keypair *k, uint32_t n, uint64_t *first);
bool keypair_can_receive(const struct keypair *k, uint64_t now);

/* A message was authenticated with it. True where it sends from now on, once a keypair. Workers. */
bool keypair_confirm(struct keypair *k);
/* Its confirmation has to be reported still, which is now up to the caller. Workers. */
bool keypair_report(struct keypair *k);
/* It could not be reported: somebody has to do it again. */
void keypair_report_failed(struct keypair *k);
/* Will never be confirmed from now on. False where it was. Owner. */
bool keypair_withdraw(struct keypair *k);

static inline bool keypair_confirmed(const struct keypair *k)
{
	const int trust = atomic_load_explicit(&k->trust, memory_order_acquire);

	return trust == KEYPAIR_CONFIRMED || trust == KEYPAIR_REPORTED;
}

#endif
