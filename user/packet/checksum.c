/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/checksum.h"

#include <arpa/inet.h>
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* The sum of 16-bit words modulo 2^16-1 is that of 32-bit words, so the loops add words as wide as
 * they come and leave the folding to the end. */
static uint64_t tail(uint64_t sum, uint8_t *dst, const uint8_t *src, size_t len)
{
	while (len >= 4) {
		uint32_t word;

		memcpy(&word, src, 4);
		if (dst) {
			memcpy(dst, &word, 4);
			dst += 4;
		}
		sum += word;
		src += 4;
		len -= 4;
	}
	if (len) {
		uint32_t word = 0;

		memcpy(&word, src, len);
		if (dst)
			memcpy(dst, src, len);
		sum += word;
	}
	return sum;
}

#ifdef __x86_64__
static bool has_avx2;

__attribute__((constructor)) static void look_at_processor(void)
{
	__builtin_cpu_init();
	has_avx2 = __builtin_cpu_supports("avx2");
}

/* 64 bytes a turn, in lanes of 64 bits that cannot overflow for any packet. */
__attribute__((target("avx2"))) static inline uint64_t wide(uint64_t sum, uint8_t *dst,
							    const uint8_t *src, size_t len)
{
	const __m256i low = _mm256_set1_epi64x(0xffffffff);
	__m256i a = _mm256_setzero_si256(), b = a;

	for (; len >= 64; src += 64, len -= 64) {
		__m256i x = _mm256_loadu_si256((const __m256i *)src);
		__m256i y = _mm256_loadu_si256((const __m256i *)(src + 32));

		if (dst) {
			_mm256_storeu_si256((__m256i *)dst, x);
			_mm256_storeu_si256((__m256i *)(dst + 32), y);
			dst += 64;
		}
		a = _mm256_add_epi64(a, _mm256_and_si256(x, low));
		b = _mm256_add_epi64(b, _mm256_srli_epi64(x, 32));
		a = _mm256_add_epi64(a, _mm256_and_si256(y, low));
		b = _mm256_add_epi64(b, _mm256_srli_epi64(y, 32));
	}
	a = _mm256_add_epi64(a, b);

	__m128i half = _mm_add_epi64(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));

	sum += (uint64_t)_mm_cvtsi128_si64(half) +
	       (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(half, half));
	return tail(sum, dst, src, len);
}

__attribute__((target("avx2"))) static uint64_t wide_add(uint64_t sum, const uint8_t *src,
							 size_t len)
{
	return wide(sum, NULL, src, len);
}

__attribute__((target("avx2"))) static uint64_t wide_copy(uint64_t sum, uint8_t *dst,
							  const uint8_t *src, size_t len)
{
	return wide(sum, dst, src, len);
}
#endif

uint64_t checksum_add(uint64_t sum, const void *data, size_t len)
{
#ifdef __x86_64__
	if (has_avx2)
		return wide_add(sum, data, len);
#endif
	return tail(sum, NULL, data, len);
}

uint64_t checksum_copy(uint64_t sum, void *dst, const void *src, size_t len)
{
#ifdef __x86_64__
	if (has_avx2)
		return wide_copy(sum, dst, src, len);
#endif
	return tail(sum, dst, src, len);
}

uint16_t checksum_fold(uint64_t sum)
{
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)sum;
}

uint16_t checksum_finish(uint64_t sum)
{
	return (uint16_t)~checksum_fold(sum);
}

uint64_t checksum_pseudo(const struct packet *p, const uint8_t *data, uint32_t l4_len)
{
	uint64_t sum = htonl(l4_len);

	sum += htons(p->protocol);
	return p->version == 4 ? checksum_add(sum, data + 12, 8) : checksum_add(sum, data + 8, 32);
}
