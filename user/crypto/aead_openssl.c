/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL's EVP: hand-written assembly for AVX2 and NEON, a message at a time. */
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "crypto/aead_backend.h"

static bool available(void)
{
	return true;
}

static void close_context(void *context)
{
	EVP_CIPHER_CTX_free(context);
}

static int open_context(void **context)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();

	if (!c)
		return -ENOMEM;
	/* The cipher is looked up once; keys and nonces follow with each message. */
	if (EVP_CipherInit_ex(c, EVP_chacha20_poly1305(), NULL, NULL, NULL, 1) != 1) {
		close_context(c);
		return -ENOTSUP;
	}
	*context = c;
	return 0;
}

/* One message; for sealing the tag is written behind dst, for opening it is read behind src. */
static bool run(EVP_CIPHER_CTX *c, const struct aead_op *op, bool encrypt)
{
	uint8_t nonce[AEAD_NONCE_SIZE], none[AEAD_TAG_SIZE];
	int len = 0;

	aead_nonce(nonce, op);
	if (EVP_CipherInit_ex(c, NULL, NULL, op->key, nonce, encrypt) != 1)
		return false;
	if (!encrypt && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_SIZE,
					    (void *)(op->src + op->len)) != 1)
		return false;
	if (op->ad_len && EVP_CipherUpdate(c, NULL, &len, op->ad, (int)op->ad_len) != 1)
		return false;
	if (op->len && EVP_CipherUpdate(c, op->dst, &len, op->src, (int)op->len) != 1)
		return false;
	if (EVP_CipherFinal_ex(c, none, &len) != 1)
		return false;
	return !encrypt ||
	       EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_SIZE, op->dst + op->len) == 1;
}

static void seal(void *context, struct aead_op *ops, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ops[i].ok = run(context, &ops[i], true);
}

static size_t open_batch(void *context, struct aead_op *ops, size_t n)
{
	size_t good = 0;

	for (size_t i = 0; i < n; i++) {
		ops[i].ok = run(context, &ops[i], false);
		/* EVP deciphers before it knows the tag. */
		if (!ops[i].ok)
			OPENSSL_cleanse(ops[i].dst, ops[i].len);
		good += ops[i].ok;
	}
	return good;
}

const struct aead_backend aead_openssl = {
	.name = "openssl",
	.stack = 2048,
	.available = available,
	.open = open_context,
	.close = close_context,
	.seal = seal,
	.open_batch = open_batch,
};
