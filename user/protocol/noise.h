/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handshake: Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s (whitepaper 5.4). Pure: no I/O, no clock but
 * the one passed in; random numbers come from libsodium. One thread at a time a handshake object.
 *
 * Functions return 0 or -errno; on failure the handshake object is what it was before, and outputs
 * are not written. Every intermediate secret is wiped before the function returns.
 */
#ifndef PROTOCOL_NOISE_H
#define PROTOCOL_NOISE_H

#include <stdbool.h>

#include "protocol/messages.h"

/* Our static key pair. Without one (private key all zero) no handshake can be made: -ENOKEY. */
struct noise_identity {
	bool present;
	uint8_t private_key[KEY_SIZE];
	uint8_t public_key[KEY_SIZE];
};

/* Clamps and derives the public key; an all-zero key clears the identity. */
void noise_identity_set(struct noise_identity *identity, const uint8_t private_key[KEY_SIZE]);

enum noise_state {
	NOISE_ZEROED,
	NOISE_INITIATION_SENT,
	NOISE_INITIATION_RECEIVED,
	NOISE_RESPONSE_SENT,
	NOISE_RESPONSE_RECEIVED,
};

/* One peer's handshake. */
struct noise_handshake {
	enum noise_state state;
	uint8_t remote_static[KEY_SIZE];
	uint8_t preshared_key[KEY_SIZE];
	uint8_t static_static[KEY_SIZE]; /* DH of both static keys; all zero: key is of low order */
	uint8_t ephemeral_private[KEY_SIZE];
	uint8_t remote_ephemeral[KEY_SIZE];
	uint8_t hash[KEY_SIZE];
	uint8_t chaining_key[KEY_SIZE];
	uint8_t latest_timestamp[TIMESTAMP_SIZE]; /* of the greatest initiation accepted */
	uint64_t last_initiation_received;	  /* monotonic ns; flood limit, 50 a second */
	uint32_t local_index;
	uint32_t remote_index;
};

/* The outcome: two transport keys and the indices under which both ends know the session. */
struct noise_keys {
	uint8_t sending[KEY_SIZE];
	uint8_t receiving[KEY_SIZE];
	uint32_t local_index;
	uint32_t remote_index;
	bool initiator;
};

/* What an initiation says before we know whose handshake it belongs to. Wipe after use. */
struct noise_claim {
	uint8_t remote_static[KEY_SIZE];
	uint8_t remote_ephemeral[KEY_SIZE];
	uint8_t hash[KEY_SIZE];
	uint8_t chaining_key[KEY_SIZE];
	uint32_t sender;
};

void noise_handshake_init(struct noise_handshake *h, const struct noise_identity *identity,
			  const uint8_t remote_static[KEY_SIZE],
			  const uint8_t preshared_key[KEY_SIZE]);
/* Call when the identity changed: recomputes static_static and forgets what was under way. */
void noise_handshake_rebase(struct noise_handshake *h, const struct noise_identity *identity);
/* Forgets ephemeral state and indices; keeps keys and the latest timestamp. */
void noise_handshake_clear(struct noise_handshake *h);

/* Whitepaper 5.1: seconds and whitened nanoseconds (to 2^24 ns) as TAI64N. `realtime_ns` is Unix
 * time. */
void noise_timestamp(uint8_t out[TIMESTAMP_SIZE], uint64_t realtime_ns);

/* Fills everything but the MACs. -ENOKEY: no identity or a peer key of low order. */
int noise_initiation_create(struct noise_handshake *h, const struct noise_identity *identity,
			    uint32_t local_index, const uint8_t timestamp[TIMESTAMP_SIZE],
			    struct message_initiation *out);
/* First half: who claims to send this? -EBADMSG: it does not decrypt; -ENOKEY: no identity. */
int noise_initiation_open(const struct message_initiation *in,
			  const struct noise_identity *identity, struct noise_claim *claim);
/* Second half, with the handshake of the peer of claim->remote_static. -EBADMSG: not authentic;
 * -EALREADY: replayed timestamp; -EBUSY: more often than INITIATIONS_PER_SECOND. */
int noise_initiation_accept(struct noise_handshake *h, const struct message_initiation *in,
			    const struct noise_claim *claim, uint64_t now);

/* -EINVAL: no initiation was accepted; -EBADMSG: a key of the peer is of low order. */
int noise_response_create(struct noise_handshake *h, uint32_t local_index,
			  struct message_response *out);
/* -EBADMSG: not authentic; -EINVAL: no initiation of ours is waiting for it, or no identity. */
int noise_response_accept(struct noise_handshake *h, const struct noise_identity *identity,
			  const struct message_response *in);

/* After RESPONSE_SENT or RESPONSE_RECEIVED, else -EINVAL; wipes the handshake's ephemeral state. */
int noise_keys_derive(struct noise_handshake *h, struct noise_keys *out);

#endif
