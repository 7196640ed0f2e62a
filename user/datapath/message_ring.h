/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handshake messages on their way from one worker to the handshake thread. A flood of them must cost
 * the worker next to nothing and the handshake thread no more than the work on the messages itself:
 * no lock, no system call, and how many wait is a subtraction. The ring holds what comes at 40,000
 * messages a second while the handshake thread does not run for 150 ms.
 *
 * What does not fit is dropped, and who floods loses first: the last quarter of the ring is for
 * senders of whom few messages wait. So one address, or a hundred, cannot keep a newcomer out.
 *
 * One producer, one consumer, each a thread.
 */
#ifndef DATAPATH_MESSAGE_RING_H
#define DATAPATH_MESSAGE_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/source.h"
#include "wire/endpoint.h"

#define MESSAGE_RING_SIZE 8192 /* a power of two */
#define MESSAGE_RING_OPEN 6144 /* for everybody; above it, for senders of whom at most ... */
#define MESSAGE_RING_FEW  8    /* ... so many wait, counted by a hash ... */
#define MESSAGE_SENDERS	  1024 /* ... of so many values */
#define MESSAGE_MAX	  192  /* at most 148 are valid messages */

struct handshake_message {
	struct endpoint from;
	uint16_t length;
	uint16_t sender; /* the ring's: which of `waiting` counts it */
	uint8_t bytes[MESSAGE_MAX];
};

struct message_ring {
	uint8_t hash_key[crypto_shorthash_KEYBYTES];
	_Alignas(64) _Atomic uint32_t written; /* by the producer */
	_Alignas(64) _Atomic uint32_t read;    /* by the consumer */
	/* Messages in the ring, by hash of the sender. */
	_Alignas(64) _Atomic uint16_t waiting[MESSAGE_SENDERS];
	_Alignas(64) struct handshake_message slots[MESSAGE_RING_SIZE];
};

/* NULL: no memory. Freed with free(). */
struct message_ring *message_ring_new(void);
/* False: no room for this sender. `len` at most MESSAGE_MAX. */
bool message_ring_put(struct message_ring *r, const struct endpoint *from, const void *message,
		      size_t len);
/* False: empty. */
bool message_ring_take(struct message_ring *r, struct handshake_message *out);
/* Any thread; the true number may be another by then. */
unsigned int message_ring_waiting(const struct message_ring *r);

#endif
