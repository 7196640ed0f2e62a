/* SPDX-License-Identifier: Apache-2.0 */
/* cmocka, and helpers that the tests share. */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

/* cmocka.h needs these before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */
#include <sodium.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* Converts hexadecimal text to bytes; returns their number. The test fails if the text is bad. */
static inline size_t unhex(uint8_t *out, size_t room, const char *text)
{
	size_t len;

	assert_int_equal(sodium_hex2bin(out, room, text, strlen(text), " \n", &len, NULL), 0);
	return len;
}

#define assert_hex(bytes, text)                                                                    \
	do {                                                                                       \
		uint8_t _want[512];                                                                \
		size_t _len = unhex(_want, sizeof(_want), text);                                   \
		assert_memory_equal(bytes, _want, _len);                                           \
	} while (0)

/* The next number of a reproducible sequence; *state is its seed. */
static inline uint32_t draw(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*state >> 33);
}

#endif
