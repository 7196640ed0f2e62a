/* SPDX-License-Identifier: Apache-2.0 */
/* What a backend of the AEAD seam provides; aead.c chooses among them. Internal to the folder. */
#ifndef CRYPTO_AEAD_BACKEND_H
#define CRYPTO_AEAD_BACKEND_H

#include "crypto/aead.h"

struct aead_backend {
	const char *name;
	/* Bytes of the stack that are wiped after each call, since it leaves keys and key stream there; 0: it does not.
	 * Seen with gcc 12: avx512 16,080, avx2 5,040, OpenSSL 1,392, libsodium 2,408 (test_aead_traces). */
	size_t stack;
	/* Can it run on this processor? */
	bool (*available)(void);
	/* Per-thread context; *context may stay NULL where none is needed. 0 or -errno. */
	int (*open)(void **context);
	void (*close)(void *context);
	void (*seal)(void *context, struct aead_op *ops, size_t n);
	size_t (*open_batch)(void *context, struct aead_op *ops, size_t n);
};

extern const struct aead_backend aead_sodium, aead_openssl;
#ifdef __x86_64__
extern const struct aead_backend aead_avx512, aead_avx2;
#endif
#ifdef HAVE_IPSEC_MB
extern const struct aead_backend aead_ipsec_mb;
#endif

#define AEAD_NONCE_SIZE 12

static inline void aead_nonce(uint8_t nonce[AEAD_NONCE_SIZE], const struct aead_op *op)
{
	for (int i = 0; i < 4; i++)
		nonce[i] = (uint8_t)(op->prefix >> (8 * i));
	for (int i = 0; i < 8; i++)
		nonce[4 + i] = (uint8_t)(op->counter >> (8 * i));
}

#endif
