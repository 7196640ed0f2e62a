/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/message_ring.h"

#include <stdlib.h>
#include <string.h>

struct message_ring *message_ring_new(void)
{
	struct message_ring *r = aligned_alloc(64, sizeof(*r));

	if (!r)
		return NULL;
	/* Do not touch the slots: most rings use only a few, and untouched pages cost no memory. */
	memset(r, 0, offsetof(struct message_ring, slots));
	crypto_shorthash_keygen(r->hash_key);
	return r;
}

static bool has_room(struct message_ring *r, unsigned int waiting, uint16_t sender)
{
	if (waiting < MESSAGE_RING_OPEN)
		return true;
	return waiting < MESSAGE_RING_SIZE &&
	       atomic_load_explicit(&r->waiting[sender], memory_order_relaxed) < MESSAGE_RING_FEW;
}

bool message_ring_put(struct message_ring *r, const struct endpoint *from, const void *message,
		      size_t len)
{
	const uint32_t at = atomic_load_explicit(&r->written, memory_order_relaxed);
	const uint32_t read = atomic_load_explicit(&r->read, memory_order_acquire);
	const uint16_t sender = source_hash(&from->to.any, r->hash_key) % MESSAGE_SENDERS;
	struct handshake_message *slot = &r->slots[at % MESSAGE_RING_SIZE];

	if (!has_room(r, at - read, sender))
		return false;
	slot->from = *from;
	slot->length = (uint16_t)len;
	slot->sender = sender;
	memcpy(slot->bytes, message, len);
	atomic_fetch_add_explicit(&r->waiting[sender], 1, memory_order_relaxed);
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
	atomic_fetch_sub_explicit(&r->waiting[slot->sender], 1, memory_order_relaxed);
	atomic_store_explicit(&r->read, at + 1, memory_order_release);
	return true;
}

unsigned int message_ring_waiting(const struct message_ring *r)
{
	const uint32_t read = atomic_load_explicit(&r->read, memory_order_relaxed);

	return atomic_load_explicit(&r->written, memory_order_relaxed) - read;
}
