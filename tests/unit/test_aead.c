/* SPDX-License-Identifier: Apache-2.0 */
/* Compares all backends with libsodium's function, at lengths where AEAD code is often wrong. */
#include <errno.h>

#include "check.h"
#include "crypto/aead.h"

#define MAX 65535

static struct aead_speed backends[8];
static size_t n_backends;

static void reference(uint8_t *out, const struct aead_op *op)
{
	uint8_t nonce[12] = {0};

	for (int i = 0; i < 8; i++)
		nonce[4 + i] = (uint8_t)(op->counter >> (8 * i));
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, op->src, op->len, NULL, 0, NULL, nonce,
						  op->key);
}

static uint32_t length(uint64_t *random)
{
	static const uint32_t odd[] = {0,   1,	 15,  16,  17,	31,   32,   63,	  64,	65,
				       127, 128, 129, 255, 256, 1024, 1420, 1440, 4096, MAX};

	if (draw(random) % 2)
		return odd[draw(random) % COUNT_OF(odd)];
	return draw(random) % 2 ? draw(random) % 2000 : draw(random) % (MAX + 1);
}

#define BATCH 50

struct batch {
	unsigned int n;
	uint8_t keys[3][AEAD_KEY_SIZE];
	uint8_t *plain[BATCH], *sealed[BATCH], *want[BATCH];
	struct aead_op ops[BATCH];
};

static void batch_new(struct batch *b, uint64_t *random)
{
	/* Code that handles several messages in parallel has other paths for few messages and for
	 * the rest of a batch. */
	const uint32_t one_length = draw(random) % 2 ? length(random) : 0;
	const unsigned int n_keys = 1 + draw(random) % 3;

	b->n = 1 + draw(random) % BATCH;
	randombytes_buf(b->keys, sizeof(b->keys));
	for (unsigned int i = 0; i < b->n; i++) {
		const uint32_t len = one_length ? one_length : length(random);

		/* Exact sizes, so that AddressSanitizer sees an access to one byte too many. */
		b->plain[i] = malloc(len ? len : 1);
		b->sealed[i] = malloc(len + AEAD_TAG_SIZE);
		b->want[i] = malloc(len + AEAD_TAG_SIZE);
		if (draw(random) % 4)
			randombytes_buf(b->plain[i], len);
		else
			memset(b->plain[i], 0xff, len);
		b->ops[i] = (struct aead_op){
			.key = b->keys[draw(random) % n_keys],
			.counter = draw(random) | (uint64_t)draw(random) << 32,
			.src = b->plain[i],
			.dst = b->sealed[i],
			.len = len,
		};
		reference(b->want[i], &b->ops[i]);
	}
}

static void batch_free(struct batch *b)
{
	for (unsigned int i = 0; i < b->n; i++) {
		free(b->plain[i]);
		free(b->sealed[i]);
		free(b->want[i]);
	}
}

static void seals_and_opens(struct aead *a, uint64_t *random)
{
	struct batch b;

	batch_new(&b, random);
	aead_seal(a, b.ops, b.n);
	for (unsigned int i = 0; i < b.n; i++)
		assert_memory_equal(b.sealed[i], b.want[i], b.ops[i].len + AEAD_TAG_SIZE);
	/* Decrypt again, in place. */
	for (unsigned int i = 0; i < b.n; i++) {
		b.ops[i].src = b.ops[i].dst = b.sealed[i];
		b.ops[i].ok = false;
	}
	assert_int_equal(aead_open(a, b.ops, b.n), b.n);
	for (unsigned int i = 0; i < b.n; i++) {
		assert_true(b.ops[i].ok);
		assert_memory_equal(b.sealed[i], b.plain[i], b.ops[i].len);
	}
	batch_free(&b);
}

static void refuses_what_was_changed(struct aead *a, uint64_t *random)
{
	struct batch b;
	bool bad[BATCH];
	size_t good = 0;

	batch_new(&b, random);
	for (unsigned int i = 0; i < b.n; i++) {
		const uint32_t whole = b.ops[i].len + AEAD_TAG_SIZE;

		b.ops[i].src = b.want[i];
		b.ops[i].dst = b.sealed[i];
		memset(b.sealed[i], 0, whole);
		bad[i] = draw(random) % 2;
		good += !bad[i];
		if (!bad[i])
			continue;
		if (draw(random) % 4 == 0)
			b.ops[i].counter ^= 1ull << draw(random) % 64;
		else
			b.want[i][draw(random) % whole] ^= (uint8_t)(1 << draw(random) % 8);
	}
	assert_int_equal(aead_open(a, b.ops, b.n), good);
	for (unsigned int i = 0; i < b.n; i++) {
		assert_int_equal(b.ops[i].ok, !bad[i]);
		if (!bad[i])
			assert_memory_equal(b.sealed[i], b.plain[i], b.ops[i].len);
		else if (b.ops[i].len)
			assert_true(sodium_is_zero(b.sealed[i], b.ops[i].len));
	}
	batch_free(&b);
}

static void every_backend(void (*test)(struct aead *, uint64_t *), unsigned int rounds)
{
	assert_true(n_backends >= 2);
	/* The last one is the automatic choice, which may differ for each batch. */
	for (size_t i = 0; i <= n_backends; i++) {
		uint64_t random = 99;
		struct aead *a;

		assert_int_equal(aead_new(i < n_backends ? backends[i].backend : NULL, &a), 0);
		assert_string_equal(aead_backend(a), backends[i % n_backends].backend);
		for (unsigned int k = 0; k < rounds; k++)
			test(a, &random);
		aead_free(a);
	}
}

static void sealing_and_opening(void **state)
{
	(void)state;
	every_backend(seals_and_opens, 60);
}

static void tampering(void **state)
{
	(void)state;
	every_backend(refuses_what_was_changed, 60);
}

static void unaligned_memory(void **state)
{
	uint8_t key[AEAD_KEY_SIZE] = {3}, in[300], want[300 + 16], memory[400];

	(void)state;
	randombytes_buf(in, sizeof(in));
	for (size_t i = 0; i < n_backends; i++) {
		struct aead *a;

		assert_int_equal(aead_new(backends[i].backend, &a), 0);
		for (unsigned int at = 0; at < 64; at++) {
			struct aead_op op = {.key = key, .counter = at, .src = in, .len = 257};

			reference(want, &op);
			memcpy(memory + at, in, 257);
			op.src = op.dst = memory + at;
			aead_seal(a, &op, 1);
			assert_memory_equal(memory + at, want, 257 + AEAD_TAG_SIZE);
		}
		aead_free(a);
	}
}

/* RFC 8439, 2.4.2: its nonce happens to have WireGuard's form. */
static void the_rfcs_example(void **state)
{
	static const char text[] = "Ladies and Gentlemen of the class of '99: If I could offer you "
				   "only one tip for the future, sunscreen would be it.";
	static const char *const names[] = {"avx512", "avx2", "ipsec-mb", "openssl", "libsodium"};
	uint8_t key[AEAD_KEY_SIZE], out[20][sizeof(text) - 1 + AEAD_TAG_SIZE];
	struct aead_op ops[COUNT_OF(out)];
	struct aead *a;

	(void)state;
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (aead_new(names[i], &a))
			continue; /* not on this processor */
		for (size_t k = 0; k < COUNT_OF(ops); k++)
			ops[k] = (struct aead_op){.key = key,
						  .counter = 0x4a000000,
						  .src = (const uint8_t *)text,
						  .dst = out[k],
						  .len = sizeof(text) - 1};
		/* One message, then a batch. */
		for (size_t n = 1; n <= COUNT_OF(ops); n += COUNT_OF(ops) - 1) {
			memset(out, 0, sizeof(out));
			aead_seal(a, ops, n);
			for (size_t k = 0; k < n; k++)
				assert_hex(out[k],
					   "6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c2"
					   "0a27afccfd9fae0bf91b65c5524733ab8f593dabcd62b357"
					   "1639d624e65152ab8f530c359f0861d807ca0dbf500d6a61"
					   "56a38e088a22b65e52bc514d16ccf806818ce91ab7793736"
					   "5af90bbf74a35be6b40b8eedf2785e42874d");
		}
		aead_free(a);
	}
}

static void choice(void **state)
{
	struct aead *a;

	(void)state;
	assert_int_equal(aead_new("rot13", &a), -ENOENT);
	assert_int_equal(aead_new(NULL, &a), 0);
	assert_string_equal(aead_backend(a), backends[0].backend);
	aead_free(a);
	for (size_t i = 1; i < n_backends; i++)
		assert_true(backends[i - 1].ns_1420 <= backends[i].ns_1420);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rfcs_example),    cmocka_unit_test(choice),
		cmocka_unit_test(sealing_and_opening), cmocka_unit_test(tampering),
		cmocka_unit_test(unaligned_memory),
	};

	if (sodium_init() < 0)
		return 1;
	n_backends = aead_measure(backends, COUNT_OF(backends));
	for (size_t i = 0; i < n_backends; i++)
		print_message("# %s: %.0f ns for 1420 bytes, %.0f for 64\n", backends[i].backend,
			      backends[i].ns_1420, backends[i].ns_64);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
