/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handshake messages on their way from one worker to the handshake thread. A flood of them must cost
 * the worker next to nothing and the handshake thread no more than the work on the messages itself:
 * no lock, no system call, and how many wait is a subtraction. What does not fit is dropped; the
 * ring is short, so that what fits is answered soon and a burst is over when it is over.
 *
 * One producer, one consumer, each a thread.
 */
#ifndef DATAPATH_MESSAGE_RING_H
#define DATAPATH_MESSAGE_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/endpoint.h"

#define MESSAGE_RING_SIZE 1024 /* a power of two */
#define MESSAGE_MAX	  192  /* at most 148 are valid messages */

struct handshake_message {
	struct endpoint from;
	uint16_t length;
	uint8_t bytes[MESSAGE_MAX];
};

struct message_ring {
	_Alignas(64) _Atomic uint32_t written; /* by the producer */
	_Alignas(64) _Atomic uint32_t read;    /* by the consumer */
	_Alignas(64) struct handshake_message slots[MESSAGE_RING_SIZE];
};

/* NULL: no memory. Freed with free(). */
struct message_ring *message_ring_new(void);
/* False: full. `len` at most MESSAGE_MAX. */
bool message_ring_put(struct message_ring *r, const struct endpoint *from, const void *message,
		      size_t len);
/* False: empty. */
bool message_ring_take(struct message_ring *r, struct handshake_message *out);
/* Any thread; the true number may be another by then. */
unsigned int message_ring_waiting(const struct message_ring *r);

#endif
