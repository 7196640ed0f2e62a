/* SPDX-License-Identifier: Apache-2.0 */
/* libsodium: everywhere, a message at a time. */
#include <sodium.h>

#include "crypto/aead_backend.h"

static bool available(void)
{
	return sodium_init() >= 0;
}

static int open_context(void **context)
{
	*context = NULL;
	return 0;
}

static void close_context(void *context)
{
	(void)context;
}

static void seal(void *context, struct aead_op *ops, size_t n)
{
	uint8_t nonce[AEAD_NONCE_SIZE];

	(void)context;
	for (size_t i = 0; i < n; i++) {
		aead_nonce(nonce, &ops[i]);
		crypto_aead_chacha20poly1305_ietf_encrypt(ops[i].dst, NULL, ops[i].src, ops[i].len,
							  ops[i].ad, ops[i].ad_len, NULL, nonce,
							  ops[i].key);
		ops[i].ok = true;
	}
}

static size_t open_batch(void *context, struct aead_op *ops, size_t n)
{
	uint8_t nonce[AEAD_NONCE_SIZE];
	size_t good = 0;

	(void)context;
	for (size_t i = 0; i < n; i++) {
		aead_nonce(nonce, &ops[i]);
		ops[i].ok = !crypto_aead_chacha20poly1305_ietf_decrypt(
			ops[i].dst, NULL, NULL, ops[i].src, ops[i].len + (size_t)AEAD_TAG_SIZE,
			ops[i].ad, ops[i].ad_len, nonce, ops[i].key);
		good += ops[i].ok;
	}
	return good;
}

const struct aead_backend aead_sodium = {
	.name = "libsodium",
	.stack = 3072,
	.available = available,
	.open = open_context,
	.close = close_context,
	.seal = seal,
	.open_batch = open_batch,
};
