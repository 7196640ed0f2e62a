/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RFC 8439's vectors for Poly1305 alone (A.3, numbers 7 to 12). They are for mistakes in carries and in the last reduction. No
 * AEAD message can show those, since there the key cannot be chosen.
 */
#ifndef TESTS_RFC8439_VECTORS_H
#define TESTS_RFC8439_VECTORS_H

#include <stdbool.h>

#include "check.h"

__attribute__((unused)) static const struct poly1305_vector {
	const char *r, *s, *text, *tag;
} poly1305_vectors[] = {
	{"02000000000000000000000000000000", "00000000000000000000000000000000",
	 "ffffffffffffffffffffffffffffffff", "03000000000000000000000000000000"},
	{"02000000000000000000000000000000", "ffffffffffffffffffffffffffffffff",
	 "02000000000000000000000000000000", "03000000000000000000000000000000"},
	{"01000000000000000000000000000000", "00000000000000000000000000000000",
	 "fffffffffffffffffffffffffffffffff0ffffffffffffffffffffffffffffff"
	 "11000000000000000000000000000000",
	 "05000000000000000000000000000000"},
	{"01000000000000000000000000000000", "00000000000000000000000000000000",
	 "fffffffffffffffffffffffffffffffffbfefefefefefefefefefefefefefefe"
	 "01010101010101010101010101010101",
	 "00000000000000000000000000000000"},
	{"02000000000000000000000000000000", "00000000000000000000000000000000",
	 "fdffffffffffffffffffffffffffffff", "faffffffffffffffffffffffffffffff"},
	{"01000000000000000400000000000000", "00000000000000000000000000000000",
	 "e33594d7505e43b900000000000000003394d7505e4379cd0100000000000000"
	 "0000000000000000000000000000000001000000000000000000000000000000",
	 "14000000000000005500000000000000"},
};

/* ChaCha20's block function (2.3.2): key 00 to 1f, block 1, this nonce. */
#define CHACHA20_PREFIX 0x09000000u
#define CHACHA20_NONCE                                                                             \
	{                                                                                          \
		0x4a000000u, 0                                                                     \
	}
__attribute__((unused)) static const char chacha20_block[] =
	"10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
	"d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e";

static inline void not_on_this_processor(void **state)
{
	print_message("not on this processor: %s\n", (const char *)*state);
	skip();
}

/* What main returns: the result of both tests. Where `instructions` are missing, the test is skipped. */
static inline int rfc8439_run(bool supported, const char *instructions, CMUnitTestFunction chacha20,
			      CMUnitTestFunction poly1305)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chacha20),
		cmocka_unit_test(poly1305),
	};
	const struct CMUnitTest skipped[] = {
		cmocka_unit_test_prestate(not_on_this_processor, (void *)instructions),
	};

	return supported ? cmocka_run_group_tests(tests, NULL, NULL)
			 : cmocka_run_group_tests(skipped, NULL, NULL);
}

#endif
