/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session's keys as the workers use them. The device makes a keypair when a handshake is done.
 * Only the atomics and the replay window change after that. Workers find a keypair by its local
 * index or through its remote. It is wiped and freed after an RCU grace period.
 *
 * Sending: any worker reserves a run of counters with one atomic add per batch. Receiving: the
 * kernel gives all datagrams of one source to one worker (SO_REUSEPORT), so usually only one worker
 * uses the replay window. While a peer roams there may be two: `receiving_busy` is the lock for
 * this. It is taken once per run of messages, not once per packet.
 */
#ifndef DATAPATH_KEYPAIR_H
#define DATAPATH_KEYPAIR_H

#include <stdatomic.h>
#include <urcu-qsbr.h>
#include <urcu/rculfhash.h>

#include "protocol/noise.h"
#include "protocol/replay.h"

struct remote;

/* Who may send with a keypair (whitepaper 6.3): an initiator at once; a responder after the first
 * message came in on it. The worker that receives this message confirms the keypair, with one
 * compare-and-swap per session. So answers to the message are already sent with the new keypair.
 * The owner can withdraw an unconfirmed keypair instead; then it is never confirmed. */
enum keypair_trust {
	KEYPAIR_UNCONFIRMED, /* a responder's, and no message has come in on it */
	KEYPAIR_CONFIRMED,
	KEYPAIR_REPORTED,  /* confirmed, and the event for the owner was sent */
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
	_Atomic bool dead;		  /* replaced or removed: neither sends nor receives */
	_Atomic int trust;		  /* enum keypair_trust */
	_Atomic bool renewal_requested;	  /* rekey event was sent for it */
	atomic_flag receiving_busy;
	struct replay replay;

	struct cds_lfht_node node; /* in the datapath's table of local indices */
	struct rcu_head rcu;
};

/* NULL: no memory. The keys are copied. */
struct keypair *keypair_new(const struct noise_keys *keys, struct remote *remote, uint64_t now);
/* Marks it dead; wipes and frees it after a grace period. Workers must not find it any more. */
void keypair_retire(struct keypair *k);

/* May it still encrypt (whitepaper 6.2)? */
bool keypair_can_send(const struct keypair *k, uint64_t now);
/* Reserves n counters. False: not so many are left before REJECT_AFTER_MESSAGES. */
bool keypair_reserve(struct keypair *k, uint32_t n, uint64_t *first);
/* Counters that a process leaves to the one that was to take over and failed: more than anybody can
 * send before REJECT_AFTER_TIME, and a millionth of REKEY_AFTER_MESSAGES. */
#define KEYPAIR_LEFT_TO_ANOTHER (1ull << 40)
/* Never uses the next KEYPAIR_LEFT_TO_ANOTHER counters. */
void keypair_leave_counters(struct keypair *k);
bool keypair_can_receive(const struct keypair *k, uint64_t now);

/* A message was authenticated with it. True, once per keypair: it may send from now on. Workers. */
bool keypair_confirm(struct keypair *k);
/* True: it is confirmed but not yet reported, and the caller has to report it. Workers. */
bool keypair_report(struct keypair *k);
/* The report could not be sent. The next keypair_report() returns true again. */
void keypair_report_failed(struct keypair *k);
/* From now on it cannot be confirmed. False: it was confirmed already. Owner. */
bool keypair_withdraw(struct keypair *k);

static inline bool keypair_confirmed(const struct keypair *k)
{
	const int trust = atomic_load_explicit(&k->trust, memory_order_acquire);

	return trust == KEYPAIR_CONFIRMED || trust == KEYPAIR_REPORTED;
}

#endif
