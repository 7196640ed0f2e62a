/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a backend leaves behind when it returns: nothing of keys on the stack or in vector registers,
 * and no plaintext of a message that is not authentic.
 */
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>

#include "backend.h"

/* A sanitizer moves variables apart, so calls reach deeper than is wiped. */
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED true
#else
#define SANITIZED false
#endif

#define STACK	 (256 * 1024)
#define MESSAGES 40
#define LONGEST	 1500
#define ROOM	 (LONGEST + AEAD_TAG_SIZE)

struct call {
	struct aead *aead;
	struct aead_op ops[MESSAGES];
	unsigned int n;
	bool open;
	uint8_t registers[4096] __attribute__((aligned(64)));
};

static uint8_t key[AEAD_KEY_SIZE];
static uint8_t plain[MESSAGES][ROOM], sealed[MESSAGES][ROOM];
static uint8_t *stack;

/* --- no key material on the stack, or in registers --- */

#ifdef __x86_64__
static __attribute__((target("xsave"))) void save_registers(uint8_t *to)
{
	__builtin_ia32_xsave64(to, 0xe6); /* SSE, AVX, AVX-512: 2,688 bytes */
}
#else
static void save_registers(uint8_t *to)
{
	(void)to;
}
#endif

static void *call(void *context)
{
	struct call *c = context;

	if (c->open)
		aead_open(c->aead, c->ops, c->n);
	else
		aead_seal(c->aead, c->ops, c->n);
	save_registers(c->registers);
	return NULL;
}

/* Keys and what is made of them, in words, because vector code spreads words over lanes. */
struct secrets {
	uint32_t key[8];
	uint32_t first[8];   /* Poly1305's key: r, s */
	uint32_t stream[16]; /* key stream of the first 64 bytes */
};

static void secrets_of(struct secrets *s, uint64_t counter)
{
	uint8_t nonce[12] = {0}, blocks[128] = {0};

	memcpy(nonce + 4, &counter, 8);
	crypto_stream_chacha20_ietf(blocks, sizeof(blocks), nonce, key);
	memcpy(s->key, key, sizeof(key));
	memcpy(s->first, blocks, sizeof(s->first));
	memcpy(s->stream, blocks + 64, sizeof(s->stream));
}

/* How often a secret word is there. */
static unsigned int found(const struct secrets *s, const uint8_t *in, size_t size)
{
	uint32_t words[sizeof(*s) / 4], here;
	unsigned int n = 0;

	memcpy(words, s, sizeof(words));
	for (size_t at = 0; at + 4 <= size; at++) {
		memcpy(&here, in + at, 4);
		for (size_t i = 0; i < COUNT_OF(words); i++)
			n += here == words[i];
	}
	sodium_memzero(words, sizeof(words));
	return n;
}

/* Runs the call on a stack of its own, and searches that afterwards. One word may be there by accident. */
static void leaves_no_trace(struct call *c)
{
	pthread_attr_t attributes;
	struct secrets secrets;
	pthread_t thread;

	memset(stack, 0xc5, STACK);
	memset(c->registers, 0, sizeof(c->registers));
	assert_int_equal(pthread_attr_init(&attributes), 0);
	assert_int_equal(pthread_attr_setstack(&attributes, stack, STACK), 0);
	assert_int_equal(pthread_create(&thread, &attributes, call, c), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	pthread_attr_destroy(&attributes);
	secrets_of(&secrets, c->ops[0].counter);
	assert_in_range(found(&secrets, stack, STACK), 0, 1);
	assert_in_range(found(&secrets, c->registers, sizeof(c->registers)), 0, 1);
}

static void no_traces(void **state)
{
	static const uint32_t lengths[] = {64, 200, 1420};
	static const unsigned int counts[] = {1, 5, 17, MESSAGES};
	static struct call c;

	c.aead = backend(state);
	for (size_t i = 0; i < COUNT_OF(lengths) * COUNT_OF(counts) * 2; i++) {
		c.n = counts[i / 2 % COUNT_OF(counts)];
		c.open = i % 2;
		for (unsigned int k = 0; k < c.n; k++)
			c.ops[k] = (struct aead_op){
				.key = key,
				.counter = 7 + k,
				.src = c.open ? sealed[k] : plain[k],
				.dst = c.open ? plain[k] : sealed[k],
				.len = lengths[i / 2 / COUNT_OF(counts)],
			};
		leaves_no_trace(&c);
	}
	aead_free(c.aead);
}

/* --- no plaintext of what is not authentic --- */

/* Message k has bit k of its tag spoiled, but for each third one, which is as it was sealed. */
static bool is_good(unsigned int k)
{
	return k % 3 == 2;
}

static void refuses(struct aead *a, uint32_t len, unsigned int n, unsigned int first_bit,
		    bool in_place)
{
	static uint8_t from[MESSAGES][ROOM], to[MESSAGES][ROOM], before[MESSAGES][ROOM];
	struct aead_op ops[MESSAGES];
	size_t good = 0;

	for (unsigned int k = 0; k < n; k++)
		ops[k] = (struct aead_op){
			.key = key, .counter = k, .src = plain[k], .dst = from[k], .len = len};
	aead_seal(a, ops, n);
	memset(to, 0xa5, sizeof(to));
	for (unsigned int k = 0; k < n; k++) {
		const unsigned int bit = (first_bit + k) % 128;

		if (!is_good(k))
			from[k][len + bit / 8] ^= (uint8_t)(1 << bit % 8);
		good += is_good(k);
		ops[k].src = from[k];
		ops[k].dst = in_place ? from[k] : to[k];
		memcpy(before[k], ops[k].dst, len);
	}
	assert_int_equal(aead_open(a, ops, n), good);
	for (unsigned int k = 0; k < n; k++) {
		assert_int_equal(ops[k].ok, is_good(k));
		if (ops[k].ok)
			assert_memory_equal(ops[k].dst, plain[k], len);
		else if (memcmp(ops[k].dst, before[k], len))
			assert_true(sodium_is_zero(ops[k].dst, len));
	}
}

static void no_plaintext(void **state)
{
	static const uint32_t lengths[] = {1, 64, 129, 1420};
	static const unsigned int counts[] = {1, 2, 9, 16, MESSAGES};
	struct aead *a = backend(state);

	for (size_t l = 0; l < COUNT_OF(lengths); l++)
		for (size_t i = 0; i < COUNT_OF(counts); i++)
			for (unsigned int bit = 0; bit < 128; bit += i ? 37 : 1)
				for (int in_place = 0; in_place < 2; in_place++)
					refuses(a, lengths[l], counts[i], bit, in_place);
	aead_free(a);
}

#define N_NAMES COUNT_OF(backend_names)

int main(void)
{
	static char titles[2 * N_NAMES][64];
	struct CMUnitTest tests[2 * N_NAMES];
	size_t n = 0;

	if (sodium_init() < 0)
		return 1;
	randombytes_buf_deterministic(key, sizeof(key), (const uint8_t[32]){1});
	randombytes_buf_deterministic(plain, sizeof(plain), (const uint8_t[32]){2});
	stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stack == MAP_FAILED)
		return 1;
	for (size_t i = 0; i < N_NAMES; i++) {
		if (!SANITIZED) {
			snprintf(titles[n], sizeof(titles[n]), "no_traces_of_keys_%s",
				 backend_names[i]);
			tests[n] = (struct CMUnitTest){titles[n], no_traces, NULL, NULL,
						       (void *)backend_names[i]};
			n++;
		}
		snprintf(titles[n], sizeof(titles[n]), "no_plaintext_%s", backend_names[i]);
		tests[n] = (struct CMUnitTest){titles[n], no_plaintext, NULL, NULL,
					       (void *)backend_names[i]};
		n++;
	}
	return _cmocka_run_group_tests("traces", tests, n, NULL, NULL);
}
