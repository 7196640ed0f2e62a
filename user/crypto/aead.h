/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The AEAD seam: ChaCha20-Poly1305 (RFC 8439), in batches. It is made for transport messages, which say their counter and
 * nothing else of the nonce, and have no associated data. It knows both all the same, so that published test vectors
 * run on the code that packets run on.
 *
 * Backends: libsodium (everywhere), OpenSSL, Intel ipsec-mb, and our own for batches with AVX-512
 * and AVX2 (x86-64). A short measurement at first use finds which is fastest on this machine for
 * large messages, for small ones, and for few at once; aead_new(NULL) uses the fastest one for each
 * kind of batch. The result is kept for the life of the process. One `struct aead` belongs to one
 * thread; the choice is shared.
 */
#ifndef CRYPTO_AEAD_H
#define CRYPTO_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AEAD_KEY_SIZE  32
#define AEAD_TAG_SIZE  16
#define AEAD_MAX_BATCH 256

/* One message. Keys, source and destination stay the caller's; dst may be src or lie anywhere that
 * does not overlap it. */
struct aead_op {
	const uint8_t *key; /* AEAD_KEY_SIZE bytes */
	uint64_t counter;   /* the nonce's last 8 bytes, little endian (whitepaper 5.4.6) */
	const uint8_t *src;
	uint8_t *dst;
	uint32_t len; /* of the plaintext; the ciphertext has AEAD_TAG_SIZE bytes more behind it */
	uint32_t prefix;   /* the nonce's first 4 bytes, little endian; 0 in a transport message */
	const uint8_t *ad; /* associated data, ad_len bytes; none in a transport message */
	uint32_t ad_len;
	bool ok; /* open: set by the call; seal: always true */
};

struct aead;

/* `backend`: "libsodium", "openssl", "ipsec-mb", "avx512", "avx2", or NULL for the fastest.
 * -ENOENT: no such backend in this build; -ENOTSUP: the processor lacks what it needs; -ENOMEM. */
int aead_new(const char *backend, struct aead **out);
void aead_free(struct aead *a); /* wipes its contexts */
const char *aead_backend(const struct aead *a);

/* dst receives len bytes of ciphertext, then the tag. n is at most AEAD_MAX_BATCH. */
void aead_seal(struct aead *a, struct aead_op *ops, size_t n);
/* src holds len bytes of ciphertext, then the tag. Tags are compared in constant time. Returns how
 * many were authentic; where ok is false, dst holds no plaintext (zeroed, or never written). */
size_t aead_open(struct aead *a, struct aead_op *ops, size_t n);

/* The names of the backends in this build that this processor can run, fastest first as measured,
 * with ns for one message of a batch of 16. Returns how many. For `doctor`, status and the
 * benchmark. */
struct aead_speed {
	const char *backend;
	double ns_1420;
	double ns_64;
};
size_t aead_measure(struct aead_speed *out, size_t room);
/* Starts the measurement on a thread of its own, so that it is done when the first result is
 * needed. */
void aead_measure_ahead(void);
/* Before the process ends: waits for that thread, because libraries end with the process. */
void aead_measure_end(void);

#endif
