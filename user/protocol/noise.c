/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/noise.h"

#include <endian.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "protocol/elapsed.h"
#include "protocol/kdf.h"
#include "protocol/limits.h"

static const char construction[] = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
static const char identifier[] = "WireGuard v1 zx2c4 Jason@zx2c4.com";

/* What both ends mix message by message: C and H of the whitepaper. */
struct transcript {
	uint8_t hash[KEY_SIZE];
	uint8_t chaining_key[KEY_SIZE];
};

static bool is_zero(const uint8_t key[KEY_SIZE])
{
	return sodium_is_zero(key, KEY_SIZE);
}

void noise_identity_set(struct noise_identity *identity, const uint8_t private_key[KEY_SIZE])
{
	sodium_memzero(identity, sizeof(*identity));
	if (is_zero(private_key))
		return;
	memcpy(identity->private_key, private_key, KEY_SIZE);
	identity->private_key[0] &= 248;
	identity->private_key[31] = (identity->private_key[31] & 127) | 64;
	identity->present = !crypto_scalarmult_base(identity->public_key, identity->private_key);
}

void noise_handshake_clear(struct noise_handshake *h)
{
	sodium_memzero(h->ephemeral_private, sizeof(h->ephemeral_private));
	sodium_memzero(h->remote_ephemeral, sizeof(h->remote_ephemeral));
	sodium_memzero(h->hash, sizeof(h->hash));
	sodium_memzero(h->chaining_key, sizeof(h->chaining_key));
	h->local_index = 0;
	h->remote_index = 0;
	h->state = NOISE_ZEROED;
}

void noise_handshake_rebase(struct noise_handshake *h, const struct noise_identity *identity)
{
	noise_handshake_clear(h);
	/* libsodium refuses results of all zero bits: that is a key of low order. */
	if (!identity->present ||
	    crypto_scalarmult(h->static_static, identity->private_key, h->remote_static))
		sodium_memzero(h->static_static, sizeof(h->static_static));
}

void noise_handshake_init(struct noise_handshake *h, const struct noise_identity *identity,
			  const uint8_t remote_static[KEY_SIZE],
			  const uint8_t preshared_key[KEY_SIZE])
{
	memset(h, 0, sizeof(*h));
	memcpy(h->remote_static, remote_static, KEY_SIZE);
	memcpy(h->preshared_key, preshared_key, KEY_SIZE);
	noise_handshake_rebase(h, identity);
}

void noise_timestamp(uint8_t out[TIMESTAMP_SIZE], uint64_t realtime_ns)
{
	/* TAI64 labels: 2^62 is 1970, ten seconds ahead of UTC. The time is rounded to the smallest
	 * interval between two initiations, so that it reveals little about the clock. */
	uint64_t whitened = realtime_ns & ~((1ull << 24) - 1);
	uint64_t seconds = htobe64(0x400000000000000aull + whitened / NSEC_PER_SEC);
	uint32_t nanoseconds = htobe32((uint32_t)(whitened % NSEC_PER_SEC));

	memcpy(out, &seconds, sizeof(seconds));
	memcpy(out + sizeof(seconds), &nanoseconds, sizeof(nanoseconds));
}

static void mix_hash(struct transcript *t, const void *in, size_t len)
{
	hash_mix(t->hash, t->hash, KEY_SIZE, in, len);
}

static void begin(struct transcript *t, const uint8_t responder_static[KEY_SIZE])
{
	hash_mix(t->chaining_key, construction, sizeof(construction) - 1, NULL, 0);
	hash_mix(t->hash, t->chaining_key, KEY_SIZE, identifier, sizeof(identifier) - 1);
	mix_hash(t, responder_static, KEY_SIZE);
}

/* An ephemeral public key goes into both; it is no secret. */
static void mix_ephemeral(struct transcript *t, const uint8_t ephemeral[KEY_SIZE])
{
	mix_hash(t, ephemeral, KEY_SIZE);
	kdf(t->chaining_key, NULL, NULL, t->chaining_key, ephemeral, KEY_SIZE);
}

/* DH, mixed; `key` (may be NULL) is the key for the encryption that follows. */
static int mix_dh(struct transcript *t, uint8_t *key, const uint8_t private_key[KEY_SIZE],
		  const uint8_t public_key[KEY_SIZE])
{
	uint8_t shared[KEY_SIZE];

	if (crypto_scalarmult(shared, private_key, public_key))
		return -EBADMSG;
	kdf(t->chaining_key, key, NULL, t->chaining_key, shared, sizeof(shared));
	sodium_memzero(shared, sizeof(shared));
	return 0;
}

static void mix_preshared(struct transcript *t, uint8_t key[KEY_SIZE],
			  const uint8_t preshared[KEY_SIZE])
{
	uint8_t tau[KEY_SIZE];

	kdf(t->chaining_key, tau, key, t->chaining_key, preshared, KEY_SIZE);
	mix_hash(t, tau, sizeof(tau));
	sodium_memzero(tau, sizeof(tau));
}

static const uint8_t zero_nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

static void encrypt_and_mix(struct transcript *t, uint8_t *out, const uint8_t *in, size_t len,
			    const uint8_t key[KEY_SIZE])
{
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, in, len, t->hash, KEY_SIZE, NULL,
						  zero_nonce, key);
	mix_hash(t, out, len + TAG_SIZE);
}

static int decrypt_and_mix(struct transcript *t, uint8_t *out, const uint8_t *in, size_t len,
			   const uint8_t key[KEY_SIZE])
{
	if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, in, len, t->hash, KEY_SIZE,
						      zero_nonce, key))
		return -EBADMSG;
	mix_hash(t, in, len);
	return 0;
}

static void remember(struct noise_handshake *h, const struct transcript *t)
{
	memcpy(h->hash, t->hash, KEY_SIZE);
	memcpy(h->chaining_key, t->chaining_key, KEY_SIZE);
}

static void recall(struct transcript *t, const uint8_t hash[KEY_SIZE],
		   const uint8_t chaining_key[KEY_SIZE])
{
	memcpy(t->hash, hash, KEY_SIZE);
	memcpy(t->chaining_key, chaining_key, KEY_SIZE);
}

static void ephemeral_new(uint8_t private_key[KEY_SIZE], uint8_t public_key[KEY_SIZE])
{
	randombytes_buf(private_key, KEY_SIZE);
	crypto_scalarmult_base(public_key, private_key);
}

int noise_initiation_create(struct noise_handshake *h, const struct noise_identity *identity,
			    uint32_t local_index, const uint8_t timestamp[TIMESTAMP_SIZE],
			    struct message_initiation *out)
{
	struct transcript t;
	uint8_t private_key[KEY_SIZE], key[KEY_SIZE];
	struct message_initiation m = {
		.type = htole32(MESSAGE_INITIATION),
		.sender = htole32(local_index),
	};
	int err;

	if (!identity->present || is_zero(h->static_static))
		return -ENOKEY;
	begin(&t, h->remote_static);
	ephemeral_new(private_key, m.ephemeral);
	mix_ephemeral(&t, m.ephemeral);
	err = mix_dh(&t, key, private_key, h->remote_static);
	if (err)
		goto out;
	encrypt_and_mix(&t, m.encrypted_static, identity->public_key, KEY_SIZE, key);
	kdf(t.chaining_key, key, NULL, t.chaining_key, h->static_static, KEY_SIZE);
	encrypt_and_mix(&t, m.encrypted_timestamp, timestamp, TIMESTAMP_SIZE, key);

	noise_handshake_clear(h);
	remember(h, &t);
	memcpy(h->ephemeral_private, private_key, KEY_SIZE);
	h->local_index = local_index;
	h->state = NOISE_INITIATION_SENT;
	*out = m;
out:
	sodium_memzero(&t, sizeof(t));
	sodium_memzero(private_key, sizeof(private_key));
	sodium_memzero(key, sizeof(key));
	return err;
}

int noise_initiation_open(const struct message_initiation *in,
			  const struct noise_identity *identity, struct noise_claim *claim)
{
	struct transcript t;
	uint8_t key[KEY_SIZE], remote_static[KEY_SIZE];
	int err;

	if (!identity->present)
		return -ENOKEY;
	begin(&t, identity->public_key);
	mix_ephemeral(&t, in->ephemeral);
	err = mix_dh(&t, key, identity->private_key, in->ephemeral);
	if (err)
		goto out;
	err = decrypt_and_mix(&t, remote_static, in->encrypted_static, sizeof(in->encrypted_static),
			      key);
	if (err)
		goto out;
	memcpy(claim->remote_static, remote_static, KEY_SIZE);
	memcpy(claim->remote_ephemeral, in->ephemeral, KEY_SIZE);
	memcpy(claim->hash, t.hash, KEY_SIZE);
	memcpy(claim->chaining_key, t.chaining_key, KEY_SIZE);
	claim->sender = le32toh(in->sender);
out:
	sodium_memzero(&t, sizeof(t));
	sodium_memzero(key, sizeof(key));
	return err;
}

int noise_initiation_accept(struct noise_handshake *h, const struct message_initiation *in,
			    const struct noise_claim *claim, uint64_t now)
{
	struct transcript t;
	uint8_t key[KEY_SIZE], timestamp[TIMESTAMP_SIZE];
	int err = -EBADMSG;

	if (is_zero(h->static_static))
		return -EBADMSG;
	recall(&t, claim->hash, claim->chaining_key);
	kdf(t.chaining_key, key, NULL, t.chaining_key, h->static_static, KEY_SIZE);
	err = decrypt_and_mix(&t, timestamp, in->encrypted_timestamp,
			      sizeof(in->encrypted_timestamp), key);
	if (err)
		goto out;
	/* Big endian, so that memcmp() compares times (whitepaper 5.1). */
	if (memcmp(timestamp, h->latest_timestamp, TIMESTAMP_SIZE) <= 0) {
		err = -EALREADY;
		goto out;
	}
	if (h->last_initiation_received &&
	    elapsed(h->last_initiation_received, now) < NSEC_PER_SEC / INITIATIONS_PER_SECOND) {
		err = -EBUSY;
		goto out;
	}
	noise_handshake_clear(h);
	remember(h, &t);
	memcpy(h->latest_timestamp, timestamp, TIMESTAMP_SIZE);
	memcpy(h->remote_ephemeral, claim->remote_ephemeral, KEY_SIZE);
	h->remote_index = claim->sender;
	h->last_initiation_received = now;
	h->state = NOISE_INITIATION_RECEIVED;
out:
	sodium_memzero(&t, sizeof(t));
	sodium_memzero(key, sizeof(key));
	return err;
}

int noise_response_create(struct noise_handshake *h, uint32_t local_index,
			  struct message_response *out)
{
	struct transcript t;
	uint8_t private_key[KEY_SIZE], key[KEY_SIZE];
	struct message_response m = {
		.type = htole32(MESSAGE_RESPONSE),
		.sender = htole32(local_index),
		.receiver = htole32(h->remote_index),
	};
	int err;

	if (h->state != NOISE_INITIATION_RECEIVED)
		return -EINVAL;
	recall(&t, h->hash, h->chaining_key);
	ephemeral_new(private_key, m.ephemeral);
	mix_ephemeral(&t, m.ephemeral);
	err = mix_dh(&t, NULL, private_key, h->remote_ephemeral);
	if (!err)
		err = mix_dh(&t, NULL, private_key, h->remote_static);
	if (err)
		goto out;
	mix_preshared(&t, key, h->preshared_key);
	encrypt_and_mix(&t, m.encrypted_nothing, NULL, 0, key);
	remember(h, &t);
	memcpy(h->ephemeral_private, private_key, KEY_SIZE);
	h->local_index = local_index;
	h->state = NOISE_RESPONSE_SENT;
	*out = m;
out:
	sodium_memzero(&t, sizeof(t));
	sodium_memzero(private_key, sizeof(private_key));
	sodium_memzero(key, sizeof(key));
	return err;
}

int noise_response_accept(struct noise_handshake *h, const struct noise_identity *identity,
			  const struct message_response *in)
{
	struct transcript t;
	uint8_t key[KEY_SIZE], nothing[1];
	int err;

	if (h->state != NOISE_INITIATION_SENT || le32toh(in->receiver) != h->local_index ||
	    !identity->present)
		return -EINVAL;
	recall(&t, h->hash, h->chaining_key);
	mix_ephemeral(&t, in->ephemeral);
	err = mix_dh(&t, NULL, h->ephemeral_private, in->ephemeral);
	if (!err)
		err = mix_dh(&t, NULL, identity->private_key, in->ephemeral);
	if (err)
		goto out;
	mix_preshared(&t, key, h->preshared_key);
	err = decrypt_and_mix(&t, nothing, in->encrypted_nothing, sizeof(in->encrypted_nothing),
			      key);
	if (err)
		goto out;
	remember(h, &t);
	memcpy(h->remote_ephemeral, in->ephemeral, KEY_SIZE);
	h->remote_index = le32toh(in->sender);
	h->state = NOISE_RESPONSE_RECEIVED;
out:
	sodium_memzero(&t, sizeof(t));
	sodium_memzero(key, sizeof(key));
	return err;
}

int noise_keys_derive(struct noise_handshake *h, struct noise_keys *out)
{
	const bool initiator = h->state == NOISE_RESPONSE_RECEIVED;

	if (!initiator && h->state != NOISE_RESPONSE_SENT)
		return -EINVAL;
	kdf(initiator ? out->sending : out->receiving, initiator ? out->receiving : out->sending,
	    NULL, h->chaining_key, NULL, 0);
	out->local_index = h->local_index;
	out->remote_index = h->remote_index;
	out->initiator = initiator;
	noise_handshake_clear(h);
	return 0;
}
