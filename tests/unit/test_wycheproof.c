/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Project Wycheproof's vectors, which look for the mistakes that such code is known to make, against each backend of the
 * AEAD seam and X25519. `make deps` fetches them into build/wycheproof.
 */
#include <jansson.h>
#include <stdio.h>

#include "backend.h"

#define FOLDER	 "build/wycheproof/"
#define LONGEST	 256
#define VECTORS	 293 /* those of the 300 with a nonce of 12 bytes; the seam has no other */
#define EXCHANGE 518

struct vector {
	int id;
	bool valid;
	uint8_t key[AEAD_KEY_SIZE], nonce[12], ad[LONGEST], text[LONGEST];
	uint8_t sealed[LONGEST + AEAD_TAG_SIZE];
	uint32_t len, ad_len;
};

static struct vector vectors[VECTORS];

static json_t *load(const char *file)
{
	json_error_t error;
	json_t *all = json_load_file(file, 0, &error);

	if (!all)
		fail_msg("%s: %s (make deps fetches it)", file, error.text);
	return all;
}

static size_t bytes(uint8_t *out, size_t room, const json_t *test, const char *member)
{
	const json_t *value = json_object_get(test, member);

	assert_true(json_is_string(value));
	return unhex(out, room, json_string_value(value));
}

/* The next test of all groups, or NULL. */
struct walk {
	const json_t *groups;
	size_t group, test;
};

static const json_t *next(struct walk *w, const json_t **group)
{
	while ((*group = json_array_get(w->groups, w->group))) {
		const json_t *test = json_array_get(json_object_get(*group, "tests"), w->test++);

		if (test)
			return test;
		w->group++;
		w->test = 0;
	}
	return NULL;
}

static int read_vectors(void **state)
{
	json_t *all = load(FOLDER "chacha20_poly1305_test.json");
	struct walk walk = {.groups = json_object_get(all, "testGroups")};
	const json_t *group, *test;
	size_t n = 0;

	(void)state;
	while ((test = next(&walk, &group))) {
		struct vector *v = &vectors[n];

		if (json_integer_value(json_object_get(group, "ivSize")) != 96)
			continue;
		assert_in_range(n++, 0, VECTORS - 1);
		v->id = (int)json_integer_value(json_object_get(test, "tcId"));
		v->valid = !strcmp(json_string_value(json_object_get(test, "result")), "valid");
		assert_int_equal(bytes(v->key, sizeof(v->key), test, "key"), sizeof(v->key));
		assert_int_equal(bytes(v->nonce, sizeof(v->nonce), test, "iv"), sizeof(v->nonce));
		v->ad_len = (uint32_t)bytes(v->ad, sizeof(v->ad), test, "aad");
		v->len = (uint32_t)bytes(v->text, sizeof(v->text), test, "msg");
		assert_int_equal(bytes(v->sealed, LONGEST, test, "ct"), v->len);
		assert_int_equal(bytes(v->sealed + v->len, AEAD_TAG_SIZE, test, "tag"),
				 AEAD_TAG_SIZE);
	}
	json_decref(all);
	assert_int_equal(n, VECTORS);
	return 0;
}

static struct aead_op operation(const struct vector *v, const uint8_t *src, uint8_t *dst)
{
	struct aead_op op = {.key = v->key,
			     .src = src,
			     .dst = dst,
			     .len = v->len,
			     .ad = v->ad,
			     .ad_len = v->ad_len};

	for (int i = 0; i < 4; i++)
		op.prefix |= (uint32_t)v->nonce[i] << 8 * i;
	for (int i = 0; i < 8; i++)
		op.counter |= (uint64_t)v->nonce[4 + i] << 8 * i;
	return op;
}

#define MOST 48

/* Vectors `first` and behind, one step apart: 0 for as often the same one. */
static void seal_and_open(struct aead *a, size_t first, size_t step, size_t n)
{
	static uint8_t out[MOST][LONGEST + AEAD_TAG_SIZE];
	struct aead_op ops[MOST];
	size_t good = 0;

	for (size_t i = 0; i < n; i++) {
		const struct vector *v = &vectors[(first + i * step) % VECTORS];

		ops[i] = operation(v, v->text, out[i]);
	}
	aead_seal(a, ops, n);
	for (size_t i = 0; i < n; i++) {
		const struct vector *v = &vectors[(first + i * step) % VECTORS];
		const bool same = !memcmp(out[i], v->sealed, v->len + AEAD_TAG_SIZE);

		/* What is invalid has a wrong tag. */
		if (same != v->valid)
			fail_msg("vector %d, one of %zu: sealed wrongly", v->id, n);
		ops[i] = operation(v, v->sealed, out[i]);
		good += v->valid;
	}
	assert_int_equal(aead_open(a, ops, n), good);
	for (size_t i = 0; i < n; i++) {
		const struct vector *v = &vectors[(first + i * step) % VECTORS];

		if (ops[i].ok != v->valid ||
		    (v->valid && v->len && memcmp(out[i], v->text, v->len)))
			fail_msg("vector %d, one of %zu: opened wrongly", v->id, n);
	}
}

static void chacha20_poly1305(void **state)
{
	/* Code that works on several messages side by side has other ways for few of them. */
	static const size_t counts[] = {1, 2, 5, 8, 11, 16, 17, 33, MOST};
	struct aead *a = backend(state);

	for (size_t i = 0; i < VECTORS; i++)
		for (size_t k = 0; k < COUNT_OF(counts); k++)
			for (size_t step = 0; step < 2; step++)
				seal_and_open(a, i, step, counts[k]);
	aead_free(a);
}

/* A result of zeros is refused, as the handshake needs it; all else must be right, canonical or not. */
static void x25519(void **state)
{
	json_t *all = load(FOLDER "x25519_test.json");
	struct walk walk = {.groups = json_object_get(all, "testGroups")};
	const json_t *group, *test;
	unsigned int n = 0;

	(void)state;
	while ((test = next(&walk, &group))) {
		uint8_t public[32], private[32], shared[32], out[32];

		assert_int_equal(bytes(public, 32, test, "public"), 32);
		assert_int_equal(bytes(private, 32, test, "private"), 32);
		assert_int_equal(bytes(shared, 32, test, "shared"), 32);
		n++;
		if (sodium_is_zero(shared, 32)) {
			assert_int_not_equal(crypto_scalarmult(out, private, public), 0);
			continue;
		}
		assert_int_equal(crypto_scalarmult(out, private, public), 0);
		assert_memory_equal(out, shared, 32);
	}
	json_decref(all);
	assert_int_equal(n, EXCHANGE);
}

#define N_NAMES COUNT_OF(backend_names)

int main(void)
{
	static char titles[N_NAMES][64];
	struct CMUnitTest tests[N_NAMES + 1] = {cmocka_unit_test(x25519)};

	if (sodium_init() < 0)
		return 1;
	for (size_t i = 0; i < N_NAMES; i++) {
		snprintf(titles[i], sizeof(titles[i]), "chacha20_poly1305_%s", backend_names[i]);
		tests[1 + i] = (struct CMUnitTest){titles[i], chacha20_poly1305, NULL, NULL,
						   (void *)backend_names[i]};
	}
	return _cmocka_run_group_tests("wycheproof", tests, COUNT_OF(tests), read_vectors, NULL);
}
