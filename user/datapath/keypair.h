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
	_Atomic bool confirmed;		  /* a message from the peer was authenticated with it */
	_Atomic bool renewal_asked;	  /* rekey event was sent for it */
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

#endif
