/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares each AEAD backend with libsodium's functions: batches of any size, messages of any length, in
 * place or not, with and without nonce prefix and associated data, some with a wrong tag. The sealed bytes
 * must be the same. Opening must give the plaintext or, if the tag is wrong, nothing of it.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/aead.h"

#define LONGEST 65535
/* Bytes of a batch's messages; what would be beyond is shortened, so that an input takes no seconds. */
#define BUDGET 300000
#define AD     80

static const char *const names[] = {"avx512", "avx2", "ipsec-mb", "openssl", "libsodium"};
#define N_NAMES (sizeof(names) / sizeof(*names))

/* Each has memory of its exact size: AddressSanitizer sees an access to a byte too many. */
struct message {
	struct aead_op op; /* key, counter, prefix, ad; len */
	bool in_place, spoiled;
	uint8_t *plain, *sealed;
};

static struct aead *backends[N_NAMES]; /* NULL: this processor does not have it */
static uint8_t text[LONGEST], ad[AD], keys[2][AEAD_KEY_SIZE];

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	if (sodium_init() < 0)
		abort();
	randombytes_buf_deterministic(text, sizeof(text), (const uint8_t[32]){1});
	randombytes_buf_deterministic(ad, sizeof(ad), (const uint8_t[32]){2});
	for (size_t i = 0; i < N_NAMES; i++)
		if (aead_new(names[i], &backends[i]))
			backends[i] = NULL;
	return 0;
}

static void *memory(size_t size)
{
	void *m = malloc(size ? size : 1);

	if (!m)
		abort();
	return m;
}

static void reference(struct message *m)
{
	const struct aead_op *op = &m->op;
	uint8_t nonce[12];

	for (int i = 0; i < 4; i++)
		nonce[i] = (uint8_t)(op->prefix >> 8 * i);
	for (int i = 0; i < 8; i++)
		nonce[4 + i] = (uint8_t)(op->counter >> 8 * i);
	crypto_aead_chacha20poly1305_ietf_encrypt(m->sealed, NULL, m->plain, op->len, op->ad,
						  op->ad_len, NULL, nonce, op->key);
}

static void seal(struct aead *a, const struct message *m, size_t n)
{
	struct aead_op ops[AEAD_MAX_BATCH];

	for (size_t i = 0; i < n; i++) {
		ops[i] = m[i].op;
		ops[i].dst = memory(m[i].op.len + AEAD_TAG_SIZE);
		ops[i].src = m[i].plain;
		if (!m[i].in_place)
			continue;
		memcpy(ops[i].dst, m[i].plain, m[i].op.len);
		ops[i].src = ops[i].dst;
	}
	aead_seal(a, ops, n);
	for (size_t i = 0; i < n; i++) {
		if (!ops[i].ok || memcmp(ops[i].dst, m[i].sealed, m[i].op.len + AEAD_TAG_SIZE))
			abort();
		free(ops[i].dst);
	}
}

/* dst holds what it held before, or zeros. */
static bool nothing_opened(const struct aead_op *op, const struct message *m)
{
	if (sodium_is_zero(op->dst, op->len))
		return true;
	if (m->in_place)
		return !memcmp(op->dst, m->sealed, op->len);
	for (uint32_t i = 0; i < op->len; i++)
		if (op->dst[i] != 0xa5)
			return false;
	return true;
}

static void open_all(struct aead *a, const struct message *m, size_t n)
{
	struct aead_op ops[AEAD_MAX_BATCH];
	uint8_t *from[AEAD_MAX_BATCH];
	size_t good = 0;

	for (size_t i = 0; i < n; i++) {
		const uint32_t len = m[i].op.len;

		ops[i] = m[i].op;
		from[i] = memory(len + AEAD_TAG_SIZE);
		memcpy(from[i], m[i].sealed, len + AEAD_TAG_SIZE);
		if (m[i].spoiled)
			from[i][len + i % AEAD_TAG_SIZE] ^= (uint8_t)(1 << i / AEAD_TAG_SIZE % 8);
		ops[i].src = ops[i].dst = from[i];
		if (!m[i].in_place) {
			ops[i].dst = memory(len);
			memset(ops[i].dst, 0xa5, len);
		}
		good += !m[i].spoiled;
	}
	if (aead_open(a, ops, n) != good)
		abort();
	for (size_t i = 0; i < n; i++) {
		if (ops[i].ok == m[i].spoiled)
			abort();
		if (ops[i].ok ? memcmp(ops[i].dst, m[i].plain, ops[i].len) != 0
			      : !nothing_opened(&ops[i], &m[i]))
			abort();
		if (!m[i].in_place)
			free(ops[i].dst);
		free(from[i]);
	}
}

/* Four bytes of the input are a message: two of its length, then flags: 1 which key, 2 in place, 4 spoiled, 8 as
 * long as the one before (as the segments of a superpacket are), 16 up to 65,535 bytes instead of 2,000, 32 with a
 * prefix of its own; then how much associated data, mostly none. */
static void describe(struct message *m, const struct message *before, const uint8_t data[4],
		     uint32_t *left)
{
	uint32_t len = data[0] | (uint32_t)data[1] << 8;

	if (before && data[2] & 8)
		len = before->op.len;
	else if (!(data[2] & 16))
		len %= 2001;
	if (len > *left)
		len = *left;
	*left -= len;
	m->in_place = data[2] & 2;
	m->spoiled = data[2] & 4;
	m->op = (struct aead_op){
		.key = keys[data[2] & 1],
		.len = len,
		.prefix = data[2] & 32 ? 0x01020300u | data[3] : 0,
		.ad = ad,
		.ad_len = data[3] > AD ? 0 : data[3],
	};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct message m[AEAD_MAX_BATCH];
	uint32_t left = BUDGET;
	uint64_t first = 0;
	size_t n = 0, copies;

	if (size < 10)
		return 0;
	memcpy(&first, data, 8);
	randombytes_buf_deterministic(keys, sizeof(keys), (const uint8_t[32]){data[8]});
	copies = 1 +
		 data[9] % 48; /* of each message, so that short inputs make large batches, too */
	for (data += 10, size -= 10; size >= 4 && n < AEAD_MAX_BATCH; data += 4, size -= 4)
		for (size_t i = 0; i < copies && n < AEAD_MAX_BATCH; i++, n++) {
			describe(&m[n], n ? &m[n - 1] : NULL, data, &left);
			m[n].op.counter = first + n;
			m[n].plain = memory(m[n].op.len);
			m[n].sealed = memory(m[n].op.len + AEAD_TAG_SIZE);
			memcpy(m[n].plain, text, m[n].op.len);
			reference(&m[n]);
		}
	for (size_t i = 0; i < N_NAMES; i++) {
		if (!backends[i])
			continue;
		seal(backends[i], m, n);
		open_all(backends[i], m, n);
	}
	for (size_t i = 0; i < n; i++) {
		free(m[i].plain);
		free(m[i].sealed);
	}
	return 0;
}
