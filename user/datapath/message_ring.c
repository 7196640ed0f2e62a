/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/message_ring.h"

#include <stdlib.h>
#include <string.h>

struct message_ring *message_ring_new(void)
{
	struct message_ring *r = aligned_alloc(64, sizeof(*r));

	if (r) {
		atomic_init(&r->written, 0);
		atomic_init(&r->read, 0);
	}
	return r;
}

bool message_ring_put(struct message_ring *r, const struct endpoint *from, const void *message,
		      size_t len)
{
	const uint32_t at = atomic_load_explicit(&r->written, memory_order_relaxed);
	struct handshake_message *slot = &r->slots[at % MESSAGE_RING_SIZE];

	if (at - atomic_load_explicit(&r->read, memory_order_acquire) == MESSAGE_RING_SIZE)
		return false;
	slot->from = *from;
	slot->length = (uint16_t)len;
	memcpy(slot->bytes, message, len);
	atomic_store_explicit(&r->written, at + 1, memory_order_release);
	return true;
}

bool message_ring_take(struct message_ring *r, struct handshake_message *out)
{
	const uint32_t at = atomic_load_explicit(&r->read, memory_order_relaxed);
	const struct handshake_message *slot = &r->slots[at % MESSAGE_RING_SIZE];

	if (at == atomic_load_explicit(&r->written, memory_order_acquire))
		return false;
	out->from = slot->from;
	out->length = slot->length;
	memcpy(out->bytes, slot->bytes, slot->length);
	atomic_store_explicit(&r->read, at + 1, memory_order_release);
	return true;
}

unsigned int message_ring_waiting(const struct message_ring *r)
{
	const uint32_t read = atomic_load_explicit(&r->read, memory_order_relaxed);

	return atomic_load_explicit(&r->written, memory_order_relaxed) - read;
}
