/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handshake messages on their way from one worker to the handshake thread. A flood must cost the
 * worker almost nothing: the ring needs no lock and no system call, and the number of waiting
 * messages is a subtraction. At 40,000 messages a second the ring has room for 150 ms in which the
 * handshake thread does not run.
 *
 * Messages that do not fit are dropped. The last quarter of the ring is only for senders that have
 * few messages waiting. So a flood from one address, or from a hundred, does not keep a new sender
 * out.
 *
 * One producer thread and one consumer thread.
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
#define MESSAGE_RING_OPEN 6144 /* up to here any sender may put messages ... */
#define MESSAGE_RING_FEW  8    /* ... above, only senders with fewer than this waiting */
#define MESSAGE_SENDERS	  1024 /* senders are counted by a hash with so many values */
#define MESSAGE_MAX	  192  /* bytes; the longest valid message has 148 */

struct handshake_message {
	struct endpoint from;
	uint16_t length;
	uint16_t sender; /* used by the ring: index into `waiting` */
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
/* The number of messages in the ring. Any thread; it may have changed when this returns. */
unsigned int message_ring_waiting(const struct message_ring *r);

#endif
