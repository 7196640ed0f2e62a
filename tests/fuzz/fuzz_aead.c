/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares each AEAD backend with libsodium: batches of messages of any length, some in place, some
 * with a wrong tag. The sealed bytes must be the same. Opening must give the plaintext or, if the
 * tag is wrong, nothing of it.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/aead.h"

#define MESSAGES 64
#define LONGEST	 2048
#define ROOM	 (LONGEST + AEAD_TAG_SIZE)

static const char *const names[] = {"avx512", "avx2", "ipsec-mb", "openssl", "libsodium"};
#define N_NAMES (sizeof(names) / sizeof(*names))

static struct aead *backends[N_NAMES]; /* NULL: this processor does not have it */
static uint8_t plain[MESSAGES][ROOM], sealed[MESSAGES][ROOM], out[MESSAGES][ROOM];
static uint8_t keys[2][AEAD_KEY_SIZE];

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	if (sodium_init() < 0)
		abort();
	for (size_t i = 0; i < N_NAMES; i++)
		if (aead_new(names[i], &backends[i]))
			backends[i] = NULL;
	return 0;
}

/* Three bytes of the input describe a message: its length (or that of the message before it, as
 * usual for the segments of a superpacket), its key, in place or not, wrong tag or not. */
struct message {
	uint32_t len;
	const uint8_t *key;
	bool in_place, spoiled;
};

static void reference(const struct message *m, uint64_t counter, const uint8_t *text, uint8_t *to)
{
	uint8_t nonce[12] = {0};

	for (int i = 0; i < 8; i++)
		nonce[4 + i] = (uint8_t)(counter >> (8 * i));
	crypto_aead_chacha20poly1305_ietf_encrypt(to, NULL, text, m->len, NULL, 0, NULL, nonce,
						  m->key);
}

static void seal(struct aead *a, const struct message *m, size_t n, uint64_t first)
{
	struct aead_op ops[MESSAGES];

	for (size_t i = 0; i < n; i++) {
		if (m[i].in_place)
			memcpy(out[i], plain[i], m[i].len);
		ops[i] = (struct aead_op){
			.key = m[i].key,
			.counter = first + i,
			.src = m[i].in_place ? out[i] : plain[i],
			.dst = out[i],
			.len = m[i].len,
		};
	}
	aead_seal(a, ops, n);
	for (size_t i = 0; i < n; i++)
		if (memcmp(out[i], sealed[i], m[i].len + AEAD_TAG_SIZE))
			abort();
}

static void open(struct aead *a, const struct message *m, size_t n, uint64_t first)
{
	static uint8_t from[MESSAGES][ROOM];
	struct aead_op ops[MESSAGES];
	size_t good = 0;

	for (size_t i = 0; i < n; i++) {
		memcpy(from[i], sealed[i], m[i].len + AEAD_TAG_SIZE);
		if (m[i].spoiled)
			from[i][m[i].len + (i & 15)] ^= 1;
		memset(out[i], 0xa5, ROOM);
		ops[i] = (struct aead_op){
			.key = m[i].key,
			.counter = first + i,
			.src = from[i],
			.dst = m[i].in_place ? from[i] : out[i],
			.len = m[i].len,
		};
		good += !m[i].spoiled;
	}
	if (aead_open(a, ops, n) != good)
		abort();
	for (size_t i = 0; i < n; i++) {
		if (ops[i].ok == m[i].spoiled)
			abort();
		if (ops[i].ok && memcmp(ops[i].dst, plain[i], m[i].len))
			abort();
		/* A long message cannot be correct by accident. */
		if (!ops[i].ok && m[i].len >= 16 && !memcmp(ops[i].dst, plain[i], m[i].len))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct message m[MESSAGES];
	uint64_t first = 0;
	size_t n = 0;

	if (size < 9)
		return 0;
	memcpy(&first, data, 8);
	first &= ~0ull >> 8; /* room to count up */
	randombytes_buf_deterministic(keys, sizeof(keys), (const uint8_t[32]){data[8]});
	randombytes_buf_deterministic(plain, sizeof(plain), (const uint8_t[32]){data[8], 1});
	for (data += 9, size -= 9; size >= 3 && n < MESSAGES; data += 3, size -= 3, n++)
		m[n] = (struct message){
			.len = n && data[2] & 8
				       ? m[n - 1].len
				       : (data[0] | (uint32_t)data[1] << 8) % (LONGEST + 1),
			.key = keys[data[2] & 1],
			.in_place = data[2] & 2,
			.spoiled = data[2] & 4,
		};
	for (size_t i = 0; i < n; i++)
		reference(&m[i], first + i, plain[i], sealed[i]);
	for (size_t i = 0; i < N_NAMES; i++) {
		if (!backends[i])
			continue;
		seal(backends[i], m, n, first);
		open(backends[i], m, n, first);
	}
	return 0;
}
