/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/cookie.h"

#include <endian.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "protocol/elapsed.h"
#include "protocol/kdf.h"
#include "protocol/limits.h"

#define LABEL_SIZE 8

static const char label_mac1[] = "mac1----";
static const char label_cookie[] = "cookie--";

_Static_assert(sizeof(label_mac1) == LABEL_SIZE + 1 && sizeof(label_cookie) == LABEL_SIZE + 1,
	       "whitepaper 5.4");

static void keys_of(uint8_t mac1_key[KEY_SIZE], uint8_t cookie_key[KEY_SIZE],
		    const uint8_t public_key[KEY_SIZE])
{
	hash_mix(mac1_key, label_mac1, LABEL_SIZE, public_key, KEY_SIZE);
	hash_mix(cookie_key, label_cookie, LABEL_SIZE, public_key, KEY_SIZE);
}

void cookie_checker_init(struct cookie_checker *c, const uint8_t our_public_key[KEY_SIZE])
{
	memset(c, 0, sizeof(*c));
	keys_of(c->mac1_key, c->cookie_key, our_public_key);
}

/* The cookie for this source. */
static void make_cookie(struct cookie_checker *c, uint8_t out[COOKIE_SIZE], const void *source,
			size_t source_len, uint64_t now)
{
	if (!c->secret_birth || elapsed(c->secret_birth, now) >= COOKIE_SECRET_MAX_AGE) {
		randombytes_buf(c->secret, sizeof(c->secret));
		c->secret_birth = now;
	}
	mac(out, c->secret, sizeof(c->secret), source, source_len);
}

static const struct message_macs *macs_of(const void *message, size_t len)
{
	return (const void *)((const uint8_t *)message + len - sizeof(struct message_macs));
}

enum cookie_verdict cookie_check(struct cookie_checker *c, const void *message, size_t len,
				 const void *source, size_t source_len, uint64_t now)
{
	const struct message_macs *macs;
	const size_t body = len - sizeof(*macs);
	uint8_t expected[COOKIE_SIZE], cookie[COOKIE_SIZE];

	if (len <= sizeof(*macs))
		return COOKIE_BAD_MAC1;
	macs = macs_of(message, len);
	mac(expected, c->mac1_key, KEY_SIZE, message, body);
	if (sodium_memcmp(expected, macs->mac1, COOKIE_SIZE))
		return COOKIE_BAD_MAC1;
	/* A secret that was never given out, or is too old, proves nothing. */
	if (!c->secret_birth || elapsed(c->secret_birth, now) >= COOKIE_SECRET_MAX_AGE)
		return COOKIE_MAC1_ONLY;
	/* Most messages have no mac2. In a flood each of them costs one MAC, not three. */
	if (sodium_is_zero(macs->mac2, COOKIE_SIZE))
		return COOKIE_MAC1_ONLY;
	make_cookie(c, cookie, source, source_len, now);
	mac(expected, cookie, sizeof(cookie), message, body + COOKIE_SIZE);
	sodium_memzero(cookie, sizeof(cookie));
	return sodium_memcmp(expected, macs->mac2, COOKIE_SIZE) ? COOKIE_MAC1_ONLY
								: COOKIE_MAC2_VALID;
}

/* One system call for many. */
static void take_nonce(struct cookie_checker *c, uint8_t out[XNONCE_SIZE])
{
	if (!c->nonces_left) {
		randombytes_buf(c->nonces, sizeof(c->nonces));
		c->nonces_left = COOKIE_NONCES;
	}
	memcpy(out, c->nonces[--c->nonces_left], XNONCE_SIZE);
}

void cookie_reply_create(struct cookie_checker *c, const void *message, size_t len,
			 uint32_t sender_index, const void *source, size_t source_len, uint64_t now,
			 struct message_cookie_reply *out)
{
	uint8_t cookie[COOKIE_SIZE];

	out->type = htole32(MESSAGE_COOKIE_REPLY);
	out->receiver = htole32(sender_index);
	take_nonce(c, out->nonce);
	make_cookie(c, cookie, source, source_len, now);
	crypto_aead_xchacha20poly1305_ietf_encrypt(out->encrypted_cookie, NULL, cookie,
						   sizeof(cookie), macs_of(message, len)->mac1,
						   COOKIE_SIZE, NULL, out->nonce, c->cookie_key);
	sodium_memzero(cookie, sizeof(cookie));
}

void cookie_jar_init(struct cookie_jar *jar, const uint8_t peer_public_key[KEY_SIZE])
{
	memset(jar, 0, sizeof(*jar));
	keys_of(jar->mac1_key, jar->cookie_key, peer_public_key);
}

void cookie_jar_seal(struct cookie_jar *jar, void *message, size_t len, uint64_t now)
{
	struct message_macs *macs = (struct message_macs *)macs_of(message, len);
	const size_t body = len - sizeof(*macs);

	mac(macs->mac1, jar->mac1_key, KEY_SIZE, message, body);
	memcpy(jar->last_mac1, macs->mac1, COOKIE_SIZE);
	jar->last_mac1_sent = true;
	/* A cookie is dropped a little early, because the peer may change its secret a little
	 * before we would drop it. */
	if (jar->cookie_birth &&
	    elapsed(jar->cookie_birth, now) < COOKIE_SECRET_MAX_AGE - COOKIE_SECRET_LATENCY)
		mac(macs->mac2, jar->cookie, COOKIE_SIZE, message, body + COOKIE_SIZE);
	else
		memset(macs->mac2, 0, COOKIE_SIZE);
}

int cookie_reply_consume(struct cookie_jar *jar, const struct message_cookie_reply *in,
			 uint64_t now)
{
	uint8_t cookie[COOKIE_SIZE];

	if (!jar->last_mac1_sent)
		return -EBADMSG;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(cookie, NULL, NULL, in->encrypted_cookie,
						       sizeof(in->encrypted_cookie), jar->last_mac1,
						       COOKIE_SIZE, in->nonce, jar->cookie_key))
		return -EBADMSG;
	memcpy(jar->cookie, cookie, COOKIE_SIZE);
	jar->cookie_birth = now;
	jar->last_mac1_sent = false;
	sodium_memzero(cookie, sizeof(cookie));
	return 0;
}
