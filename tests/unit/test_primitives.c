/* SPDX-License-Identifier: Apache-2.0 */
/* Published test vectors for all primitives of the handshake. */
#include "check.h"
#include "crypto/blake2s.h"
#include "protocol/kdf.h"

/* RFC 7693, appendix B. */
static void blake2s_rfc7693(void **state)
{
	uint8_t out[KEY_SIZE];

	(void)state;
	hash_mix(out, "abc", 3, NULL, 0);
	assert_hex(out, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
	hash_mix(out, "a", 1, "bc", 2);
	assert_hex(out, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
}

/* RFC 7693, appendix E: bytes of a sequence that is easily made. */
static void sequence(uint8_t *out, size_t len, uint32_t seed)
{
	uint32_t a = 0xdead4bad * seed, b = 1;

	for (size_t i = 0; i < len; i++) {
		const uint32_t t = a + b;

		a = b;
		b = t;
		out[i] = (uint8_t)(t >> 24);
	}
}

/* The same appendix: one digest of many, of all sizes, with and without keys. */
static void blake2s_self_test_of_the_rfc(void **state)
{
	static const uint8_t sizes[] = {16, 20, 28, 32};
	static const size_t lengths[] = {0, 3, 64, 65, 255, 1024};
	uint8_t in[1024], key[BLAKE2S_DIGEST], out[BLAKE2S_DIGEST];
	struct blake2s all, one;

	(void)state;
	blake2s_init(&all, 32, NULL, 0);
	for (size_t i = 0; i < COUNT_OF(sizes) * COUNT_OF(lengths) * 2; i++) {
		const uint8_t size = sizes[i / (2 * COUNT_OF(lengths))];
		const size_t len = lengths[i / 2 % COUNT_OF(lengths)];

		sequence(in, len, (uint32_t)len);
		sequence(key, size, size);
		blake2s_init(&one, size, key, i % 2 ? size : 0);
		/* In parts of any size. */
		for (size_t at = 0, n = 1; at < len; at += n, n = n * 3 % 97) {
			n = len - at < n ? len - at : n;
			blake2s_update(&one, in + at, n);
		}
		blake2s_final(&one, out);
		blake2s_update(&all, out, size);
		assert_true(sodium_is_zero((uint8_t *)&one, sizeof(one)));
	}
	blake2s_final(&all, out);
	assert_hex(out, "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe");
}

/* Python: hashlib.blake2s(b"message", key=bytes(range(32)), digest_size=16). */
static void keyed_blake2s(void **state)
{
	uint8_t key[KEY_SIZE], out[COOKIE_SIZE];

	(void)state;
	for (unsigned int i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	mac(out, key, sizeof(key), "message", 7);
	assert_hex(out, "2b75eb9c63ca8524ff53d01905b406eb");
}

/* Python: hmac.new(key, b"podveil test input", hashlib.blake2s), and HKDF from it by hand. */
static void hmac_and_hkdf(void **state)
{
	static const char in[] = "podveil test input";
	uint8_t key[100], out[3][KEY_SIZE];

	(void)state;
	for (unsigned int i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	hmac(out[0], key, KEY_SIZE, in, strlen(in));
	assert_hex(out[0], "fee0c80df50d3270485ce6d2160d991ca82bb4480f88cd56bc9ab1e0d687b963");
	hmac(out[0], key, sizeof(key), in, strlen(in));
	assert_hex(out[0], "d666f9471ebf8e09177ec117d15e8459d47cfb9c01c29d7a67b0537420ebb65e");
	kdf(out[0], out[1], out[2], key, in, strlen(in));
	assert_hex(out[0], "e20e452b0051216bfc2e917b89b998fc878116d0f45319a19756f0a84652e27f");
	assert_hex(out[1], "d10c06f1cffba18e854bdef0962880fc4468bce1aad0cc706cadf6aa67f7849b");
	assert_hex(out[2], "35b9869768620ffae374767239f1ecb4c6d77710b403f857433d791e0e74e0bd");
	/* The output may overwrite the key. */
	kdf(key, NULL, NULL, key, in, strlen(in));
	assert_memory_equal(key, out[0], KEY_SIZE);
}

/* RFC 7748, 5.2 and 6.1. */
static void x25519_rfc7748(void **state)
{
	uint8_t k[KEY_SIZE], u[KEY_SIZE], out[KEY_SIZE];

	(void)state;
	unhex(k, sizeof(k), "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4");
	unhex(u, sizeof(u), "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
	assert_int_equal(crypto_scalarmult(out, k, u), 0);
	assert_hex(out, "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
	/* The iterated vector, after one and after a thousand rounds. */
	memset(k, 0, sizeof(k));
	k[0] = 9;
	memcpy(u, k, sizeof(u));
	for (unsigned int i = 0; i < 1000; i++) {
		assert_int_equal(crypto_scalarmult(out, k, u), 0);
		memcpy(u, k, sizeof(u));
		memcpy(k, out, sizeof(k));
		if (i == 0)
			assert_hex(k, "422c8e7a6227d7bca1350b3e2bb7279f"
				      "7897b87bb6854b783c60e80311ae3079");
	}
	assert_hex(k, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

static const char sunscreen[] =
	"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the "
	"future, sunscreen would be it.";

/* RFC 8439, 2.8.2. */
static void chacha20_poly1305_rfc8439(void **state)
{
	uint8_t key[32], nonce[12], ad[12], out[sizeof(sunscreen) + 15];

	(void)state;
	unhex(key, 32, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
	unhex(nonce, 12, "070000004041424344454647");
	unhex(ad, 12, "50515253c0c1c2c3c4c5c6c7");
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, (const uint8_t *)sunscreen,
						  sizeof(sunscreen) - 1, ad, 12, NULL, nonce, key);
	assert_hex(out, "d31a8d34648e60db7b86afbc53ef7ec2");
	assert_hex(out + sizeof(sunscreen) - 1, "1ae10b594f09e26a7e902ecbd0600691");
}

/* draft-irtf-cfrg-xchacha-03, A.3.1. */
static void xchacha20_poly1305_draft(void **state)
{
	uint8_t key[32], nonce[24], ad[12], out[sizeof(sunscreen) + 15];

	(void)state;
	unhex(key, 32, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
	unhex(nonce, 24, "404142434445464748494a4b4c4d4e4f5051525354555657");
	unhex(ad, 12, "50515253c0c1c2c3c4c5c6c7");
	crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, (const uint8_t *)sunscreen,
						   sizeof(sunscreen) - 1, ad, 12, NULL, nonce, key);
	assert_hex(out, "bd6d179d3e83d43b9576579493c0e939");
	assert_hex(out + sizeof(sunscreen) - 1, "c0875924c1c7987947deafd8780acf49");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blake2s_rfc7693),
		cmocka_unit_test(blake2s_self_test_of_the_rfc),
		cmocka_unit_test(keyed_blake2s),
		cmocka_unit_test(hmac_and_hkdf),
		cmocka_unit_test(x25519_rfc7748),
		cmocka_unit_test(chacha20_poly1305_rfc8439),
		cmocka_unit_test(xchacha20_poly1305_draft),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
