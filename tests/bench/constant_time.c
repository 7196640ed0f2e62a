/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does the time that a primitive takes depend on keys or data? After dudect (Reparaz, Balasch, Verbauwhede, 2017): two classes of
 * inputs that differ in what must not matter, in random order, and Welch's t-test on their times. By hand, on a quiet machine; not
 * a test, since what else runs shows, too.
 *
 *   constant_time [MEASUREMENTS]      a subject, 50,000 by default: half a minute
 *
 * Prints the largest |t| of three: all times, and without the slowest tenth and half. Above 10 a dependence is sure, below 5 none was
 * found. The last line is the proof that one would be: a comparison that ends at the first difference.
 */
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/aead.h"
#include "crypto/blake2s.h"

#define MESSAGES 16
#define LEN	 1420
#define ROOM	 (LEN + AEAD_TAG_SIZE)

struct subject {
	const char *name;
	/* Makes the input of one of two classes; not timed. */
	void (*prepare)(bool second);
	void (*run)(void);
};

static struct aead *aead;
static unsigned int n_messages;
static struct aead_op ops[MESSAGES];
static uint8_t key[32], point[32], text[MESSAGES][ROOM], sealed[MESSAGES][ROOM],
	out[MESSAGES][ROOM];
static volatile uint64_t sink;

static uint64_t ticks(void)
{
#ifdef __x86_64__
	uint32_t low, high;

	__asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high)::"memory");
	return (uint64_t)high << 32 | low;
#else
	uint64_t now;

	__asm__ volatile("isb\n\tmrs %0, cntvct_el0\n\tisb" : "=r"(now)::"memory");
	return now;
#endif
}

/* Random bytes for the second class, ones for the first. Both take the same memory into the cache. */
static void fill(uint8_t *to, size_t size, bool second)
{
	const uint8_t mask = second ? 0xff : 0;

	randombytes_buf(to, size);
	for (size_t i = 0; i < size; i++)
		to[i] = (uint8_t)((to[i] & mask) | (1 & ~mask));
}

static void set_ops(uint8_t (*from)[ROOM], uint8_t (*to)[ROOM])
{
	for (unsigned int i = 0; i < n_messages; i++)
		ops[i] = (struct aead_op){
			.key = key, .counter = i, .src = from[i], .dst = to[i], .len = LEN};
}

static void seal(void)
{
	aead_seal(aead, ops, n_messages);
}

static void open(void)
{
	sink += aead_open(aead, ops, n_messages);
}

static void key_to_seal_with(bool second)
{
	fill(key, sizeof(key), second);
	set_ops(text, sealed);
}

static void text_to_seal(bool second)
{
	fill(text[0], n_messages * sizeof(text[0]), second);
	set_ops(text, sealed);
}

static void text_to_open(bool second)
{
	text_to_seal(second);
	seal();
	set_ops(sealed, out);
}

/* A tag that is wrong in its first byte, or in its last. */
static void tag_to_refuse(bool second)
{
	set_ops(text, sealed);
	seal();
	for (unsigned int i = 0; i < n_messages; i++)
		sealed[i][LEN + (second ? AEAD_TAG_SIZE - 1 : 0)] ^= 1;
	set_ops(sealed, out);
}

static void scalar(bool second)
{
	fill(key, sizeof(key), second);
}

static void x25519(void)
{
	sink += (uint64_t)crypto_scalarmult(out[0], key, point);
}

static void hash_input(bool second)
{
	fill(text[0], 148, second);
}

static void hash(void)
{
	struct blake2s b;

	blake2s_init(&b, 16, text[0], 32);
	blake2s_update(&b, text[0] + 32, 116);
	blake2s_final(&b, out[0]);
}

static void two_texts(bool second)
{
	memset(text, 1, 2 * sizeof(text[0]));
	text[1][second ? 1000 : 0] = 2;
}

static void leaky_comparison(void)
{
	size_t i = 0;

	while (i < LEN && text[0][i] == text[1][i])
		i++;
	sink += i;
}

/* Welch's t of the times up to `limit`. */
static double welch(const uint64_t *times, const bool *second, size_t n, uint64_t limit)
{
	double count[2] = {0}, mean[2] = {0}, squares[2] = {0};

	for (size_t i = 0; i < n; i++) {
		const int c = second[i];
		const double x = (double)times[i], off = x - mean[c];

		if (times[i] > limit)
			continue;
		count[c]++;
		mean[c] += off / count[c];
		squares[c] += off * (x - mean[c]);
	}
	if (count[0] < 2 || count[1] < 2)
		return 0;

	const double error =
		squares[0] / (count[0] - 1) / count[0] + squares[1] / (count[1] - 1) / count[1];

	return error > 0 ? fabs(mean[0] - mean[1]) / sqrt(error) : 0;
}

static int by_size(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static double measure(const struct subject *s, size_t n)
{
	uint64_t *times = calloc(n, sizeof(*times)), *sorted = calloc(n, sizeof(*sorted));
	bool *second = calloc(n, sizeof(*second));
	double worst = 0;

	if (!times || !sorted || !second)
		abort();
	for (size_t i = 0; i < n; i++) {
		second[i] = randombytes_random() & 1;
		s->prepare(second[i]);

		const uint64_t start = ticks();

		s->run();
		times[i] = ticks() - start;
	}
	memcpy(sorted, times, n * sizeof(*times));
	qsort(sorted, n, sizeof(*sorted), by_size);
	for (int tenths = 10; tenths > 0; tenths -= tenths == 10 ? 1 : 4) {
		const double t = welch(times, second, n, sorted[(n - 1) * (size_t)tenths / 10]);

		worst = t > worst ? t : worst;
	}
	free(times);
	free(sorted);
	free(second);
	return worst;
}

int main(int argc, char **argv)
{
	static const char *const backends[] = {"avx512", "avx2", "ipsec-mb", "openssl",
					       "libsodium"};
	static const struct subject of_backends[] = {
		{"seal, key", key_to_seal_with, seal},
		{"seal, text", text_to_seal, seal},
		{"open, text", text_to_open, open},
		{"open, which byte of the tag is wrong", tag_to_refuse, open},
	};
	static const struct subject others[] = {
		{"X25519, scalar", scalar, x25519},
		{"BLAKE2s, key and text", hash_input, hash},
		{"a comparison that leaks", two_texts, leaky_comparison},
	};
	const size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 50000;

	if (sodium_init() < 0 || n < 100)
		return 2;
	crypto_scalarmult_base(point, (const uint8_t[32]){9, 8, 7});
	for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
		if (aead_new(backends[i], &aead))
			continue;
		for (n_messages = 1; n_messages <= MESSAGES; n_messages += MESSAGES - 1)
			for (size_t k = 0; k < sizeof(of_backends) / sizeof(of_backends[0]); k++)
				printf("%-10s %2u messages: %-40s %6.1f\n", backends[i], n_messages,
				       of_backends[k].name, measure(&of_backends[k], n));
		aead_free(aead);
	}
	for (size_t k = 0; k < sizeof(others) / sizeof(others[0]); k++)
		printf("%-23s %-40s %6.1f\n", "", others[k].name, measure(&others[k], n));
	return 0;
}
