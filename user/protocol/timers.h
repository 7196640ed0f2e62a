/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timers of one peer (whitepaper section 6). Pure: no clock but the one passed in (monotonic
 * ns, never 0).
 *
 * Two sides share it. Workers report facts about data messages; these functions are lock-free
 * (relaxed atomics, races between workers are harmless: a deadline moves by less than a batch).
 * The owner (the handshake thread, under the device lock) reports facts about handshakes, asks when
 * something is due, and does what is due.
 *
 * A worker's report returns true where the owner may be asleep past a deadline that this report
 * made: the caller then wakes the owner, who calls timers_due() and sleeps until timers_next(). At
 * most one report returns true until the owner has called timers_next() again, so a busy peer costs
 * the owner one wake-up in many seconds and not one a packet.
 */
#ifndef PROTOCOL_TIMERS_H
#define PROTOCOL_TIMERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "protocol/limits.h"

#define TIMERS_NEVER UINT64_MAX

struct timers {
	/* Facts from workers; 0: nothing waits. */
	_Atomic uint64_t
		unanswered_since; /* first data message sent since the peer was last heard */
	_Atomic uint64_t unacknowledged_since; /* first data message received since we last sent */
	_Atomic bool more_unacknowledged; /* data came again while a keepalive was already due */
	_Atomic uint64_t last_traversal;  /* any authenticated message, either way */
	_Atomic bool owner_watches;	  /* owner has a deadline armed that covers the above */

	/* The owner's own. */
	uint64_t retransmit_at;
	uint64_t zero_keys_at;
	uint32_t attempts;
	uint64_t persistent_interval; /* ns; 0: off */
	uint64_t jitter;	      /* of the present retransmission and of new_handshake */
	bool up;		      /* device is up; nothing is due while it is not */
};

/* What timers_due() asks the owner to do; each is reported once. */
enum timers_action {
	TIMERS_SEND_INITIATION = 1 << 0,  /* first attempt: no answer to data for 15 s */
	TIMERS_RETRY_INITIATION = 1 << 1, /* further attempt; forget the sticky source first */
	TIMERS_GIVE_UP = 1 << 2,	  /* 90 s of attempts: drop staged packets */
	TIMERS_SEND_KEEPALIVE = 1 << 3,
	TIMERS_ZERO_KEYS = 1 << 4, /* 540 s without a new session: wipe everything ephemeral */
};

void timers_init(struct timers *t);

/* Workers and owner, any thread. `payload`: the inner packet was not empty (no keepalive). */
bool timers_message_sent(struct timers *t, bool payload, uint64_t now);
bool timers_message_received(struct timers *t, bool payload, uint64_t now);

/* Owner. `jitter` is a random number of any size; it is reduced to REKEY_TIMEOUT_JITTER. */
void timers_handshake_initiated(struct timers *t, uint64_t now, uint64_t jitter);
void timers_handshake_complete(struct timers *t);
void timers_session_derived(struct timers *t, uint64_t now);
void timers_persistent_keepalive_set(struct timers *t, uint64_t interval_ns);
void timers_up(struct timers *t, bool up);
/* Bits of enum timers_action that are due. */
unsigned int timers_due(struct timers *t, uint64_t now);
/* When to call timers_due() again; TIMERS_NEVER: when a report says so. */
uint64_t timers_next(struct timers *t, uint64_t now);

/* Rules about a session's age, for whoever sends or receives with it (whitepaper 6.2). */
static inline bool rekey_wanted_after_send(bool initiator, uint64_t age, uint64_t counter)
{
	return counter >= REKEY_AFTER_MESSAGES || (initiator && age >= REKEY_AFTER_TIME);
}

/* Once a session: the initiator that only receives renews in time, too. */
static inline bool rekey_wanted_after_receive(bool initiator, uint64_t age)
{
	return initiator && age >= REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT;
}

#endif
