/* SPDX-License-Identifier: Apache-2.0 */
/* Intel's ipsec-mb: AVX-512 and AVX2 kernels behind its job interface. x86-64 only. */
#ifdef HAVE_IPSEC_MB

#include <errno.h>
#include <intel-ipsec-mb.h>
#include <sodium.h>
#include <string.h>

#include "crypto/aead_backend.h"

/* Below AVX2 its kernels lose to libsodium's. */
static bool available(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2");
}

static void close_context(void *context)
{
	if (context)
		free_mb_mgr(context);
}

static int open_context(void **context)
{
	IMB_MGR *m = alloc_mb_mgr(0);

	if (!m)
		return -ENOMEM;
	init_mb_mgr_auto(m, NULL);
	if (imb_get_errno(m)) {
		close_context(m);
		return -ENOTSUP;
	}
	*context = m;
	return 0;
}

/* Jobs of this algorithm are done when they are submitted. The tag comes back through the job for
 * both directions. */
static bool run(IMB_MGR *m, const struct aead_op *op, bool encrypt, uint8_t tag[AEAD_TAG_SIZE])
{
	uint8_t nonce[AEAD_NONCE_SIZE];
	IMB_JOB *job = IMB_GET_NEXT_JOB(m);

	aead_nonce(nonce, op);
	job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
	job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
	job->cipher_direction = encrypt ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
	job->chain_order = encrypt ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
	job->enc_keys = job->dec_keys = op->key;
	job->key_len_in_bytes = AEAD_KEY_SIZE;
	job->u.CHACHA20_POLY1305.aad =
		op->ad_len ? op->ad : nonce; /* not NULL, though of no bytes */
	job->u.CHACHA20_POLY1305.aad_len_in_bytes = op->ad_len;
	job->src = op->src;
	job->dst = op->dst;
	job->cipher_start_src_offset_in_bytes = 0;
	job->hash_start_src_offset_in_bytes = 0;
	job->msg_len_to_cipher_in_bytes = op->len;
	job->msg_len_to_hash_in_bytes = op->len;
	job->iv = nonce;
	job->iv_len_in_bytes = AEAD_NONCE_SIZE;
	job->auth_tag_output = tag;
	job->auth_tag_output_len_in_bytes = AEAD_TAG_SIZE;
	job = IMB_SUBMIT_JOB_NOCHECK(m);
	if (!job)
		job = IMB_FLUSH_JOB(m);
	return job && job->status == IMB_STATUS_COMPLETED;
}

static void seal(void *context, struct aead_op *ops, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ops[i].ok = run(context, &ops[i], true, ops[i].dst + ops[i].len);
}

static size_t open_batch(void *context, struct aead_op *ops, size_t n)
{
	uint8_t expected[AEAD_TAG_SIZE], tag[AEAD_TAG_SIZE];
	size_t good = 0;

	for (size_t i = 0; i < n; i++) {
		memcpy(expected, ops[i].src + ops[i].len, sizeof(expected));
		ops[i].ok = run(context, &ops[i], false, tag) &&
			    !sodium_memcmp(tag, expected, sizeof(tag));
		/* The job deciphers whether the tag is right or not. */
		if (!ops[i].ok)
			sodium_memzero(ops[i].dst, ops[i].len);
		good += ops[i].ok;
	}
	return good;
}

const struct aead_backend aead_ipsec_mb = {
	.name = "ipsec-mb",
	.stack = 0, /* it cleans up after itself, with AVX-512 and with AVX2 */
	.available = available,
	.open = open_context,
	.close = close_context,
	.seal = seal,
	.open_batch = open_batch,
};

#endif
