/* SPDX-License-Identifier: Apache-2.0 */
/* The handshake in both roles, and all messages that must be refused. */
#include <endian.h>
#include <errno.h>

#include "check.h"
#include "protocol/noise.h"

#define SECOND 1000000000ull

struct end {
	struct noise_identity identity;
	struct noise_handshake handshake;
};

struct pair {
	struct end a, b;
	uint8_t timestamp[TIMESTAMP_SIZE];
	uint64_t now;
};

static void identity_new(struct noise_identity *identity)
{
	uint8_t key[KEY_SIZE];

	randombytes_buf(key, sizeof(key));
	noise_identity_set(identity, key);
	assert_true(identity->present);
}

static void pair_new(struct pair *p, const uint8_t psk_a[KEY_SIZE], const uint8_t psk_b[KEY_SIZE])
{
	memset(p, 0, sizeof(*p));
	identity_new(&p->a.identity);
	identity_new(&p->b.identity);
	noise_handshake_init(&p->a.handshake, &p->a.identity, p->b.identity.public_key, psk_a);
	noise_handshake_init(&p->b.handshake, &p->b.identity, p->a.identity.public_key, psk_b);
	p->now = 1000 * SECOND;
	noise_timestamp(p->timestamp, 1700000000 * SECOND);
}

static const uint8_t no_psk[KEY_SIZE];

static int answer(struct pair *p, const struct message_initiation *in, struct message_response *out)
{
	struct noise_claim claim;
	int err = noise_initiation_open(in, &p->b.identity, &claim);

	if (!err && memcmp(claim.remote_static, p->a.identity.public_key, KEY_SIZE))
		return -ENOENT;
	if (!err)
		err = noise_initiation_accept(&p->b.handshake, in, &claim, p->now);
	if (!err)
		err = noise_response_create(&p->b.handshake, 0x22222222, out);
	return err;
}

static void initiate(struct pair *p, struct message_initiation *out)
{
	assert_int_equal(noise_initiation_create(&p->a.handshake, &p->a.identity, 0x11111111,
						 p->timestamp, out),
			 0);
}

static void both_ends_agree(struct pair *p)
{
	struct message_initiation initiation;
	struct message_response response;
	struct noise_keys a, b;

	initiate(p, &initiation);
	assert_int_equal(answer(p, &initiation, &response), 0);
	assert_int_equal(noise_response_accept(&p->a.handshake, &p->a.identity, &response), 0);
	assert_int_equal(noise_keys_derive(&p->a.handshake, &a), 0);
	assert_int_equal(noise_keys_derive(&p->b.handshake, &b), 0);
	assert_memory_equal(a.sending, b.receiving, KEY_SIZE);
	assert_memory_equal(a.receiving, b.sending, KEY_SIZE);
	assert_memory_not_equal(a.sending, a.receiving, KEY_SIZE);
	assert_true(a.initiator);
	assert_false(b.initiator);
	assert_int_equal(a.local_index, 0x11111111);
	assert_int_equal(a.remote_index, 0x22222222);
	assert_int_equal(b.local_index, 0x22222222);
	assert_int_equal(b.remote_index, 0x11111111);
	/* Ephemeral secrets are wiped. */
	assert_true(sodium_is_zero(p->a.handshake.ephemeral_private, KEY_SIZE));
	assert_true(sodium_is_zero(p->b.handshake.chaining_key, KEY_SIZE));
	assert_int_equal(noise_keys_derive(&p->a.handshake, &a), -EINVAL);
}

static void without_preshared_key(void **state)
{
	struct pair p;

	(void)state;
	pair_new(&p, no_psk, no_psk);
	both_ends_agree(&p);
}

static void with_preshared_key(void **state)
{
	uint8_t psk[KEY_SIZE];
	struct pair p;

	(void)state;
	randombytes_buf(psk, sizeof(psk));
	pair_new(&p, psk, psk);
	both_ends_agree(&p);
}

static void different_preshared_keys(void **state)
{
	uint8_t psk[KEY_SIZE] = {1};
	struct message_initiation initiation;
	struct message_response response;
	struct pair p;

	(void)state;
	pair_new(&p, psk, no_psk);
	initiate(&p, &initiation);
	assert_int_equal(answer(&p, &initiation, &response), 0);
	assert_int_equal(noise_response_accept(&p.a.handshake, &p.a.identity, &response), -EBADMSG);
	/* The initiator still waits for the correct response. */
	assert_int_equal(p.a.handshake.state, NOISE_INITIATION_SENT);
}

static void every_bit_of_an_initiation_counts(void **state)
{
	struct message_initiation good, bad;
	struct message_response response;
	struct pair p;

	(void)state;
	pair_new(&p, no_psk, no_psk);
	initiate(&p, &good);
	/* Only the MACs cover the type and the sender's index. */
	for (size_t i = offsetof(struct message_initiation, ephemeral);
	     i < offsetof(struct message_initiation, macs); i++) {
		struct noise_handshake before = p.b.handshake;

		bad = good;
		((uint8_t *)&bad)[i] ^= (uint8_t)(1 << (i % 8));
		/* X25519 ignores the highest bit of a public key; the hash does not. */
		assert_int_equal(answer(&p, &bad, &response), -EBADMSG);
		assert_memory_equal(&before, &p.b.handshake, sizeof(before));
	}
	assert_int_equal(answer(&p, &good, &response), 0);
}

static void every_bit_of_a_response_counts(void **state)
{
	struct message_initiation initiation;
	struct message_response good, bad;
	struct pair p;

	(void)state;
	pair_new(&p, no_psk, no_psk);
	initiate(&p, &initiation);
	assert_int_equal(answer(&p, &initiation, &good), 0);
	for (size_t i = offsetof(struct message_response, ephemeral);
	     i < offsetof(struct message_response, macs); i++) {
		struct noise_handshake before = p.a.handshake;

		bad = good;
		((uint8_t *)&bad)[i] ^= (uint8_t)(1 << (i % 8));
		assert_int_equal(noise_response_accept(&p.a.handshake, &p.a.identity, &bad),
				 -EBADMSG);
		assert_memory_equal(&before, &p.a.handshake, sizeof(before));
	}
	bad = good;
	bad.receiver ^= htole32(1);
	assert_int_equal(noise_response_accept(&p.a.handshake, &p.a.identity, &bad), -EINVAL);
	assert_int_equal(noise_response_accept(&p.a.handshake, &p.a.identity, &good), 0);
	/* A response is accepted only once. */
	assert_int_equal(noise_response_accept(&p.a.handshake, &p.a.identity, &good), -EINVAL);
}

static void replayed_and_flooded(void **state)
{
	struct message_initiation first, second;
	struct message_response response;
	struct pair p;

	(void)state;
	pair_new(&p, no_psk, no_psk);
	initiate(&p, &first);
	assert_int_equal(answer(&p, &first, &response), 0);
	p.now += SECOND;
	assert_int_equal(answer(&p, &first, &response), -EALREADY);
	/* An older timestamp is a replay too. */
	noise_timestamp(p.timestamp, 1699999999 * SECOND);
	initiate(&p, &second);
	assert_int_equal(answer(&p, &second, &response), -EALREADY);
	/* A newer one is accepted, but not more than 50 per second. */
	noise_timestamp(p.timestamp, 1700000001 * SECOND);
	initiate(&p, &second);
	assert_int_equal(answer(&p, &second, &response), 0);
	p.now += SECOND / 50 - 1;
	noise_timestamp(p.timestamp, 1700000002 * SECOND);
	initiate(&p, &second);
	assert_int_equal(answer(&p, &second, &response), -EBUSY);
	p.now += 1;
	assert_int_equal(answer(&p, &second, &response), 0);
}

static void keys_of_low_order(void **state)
{
	const uint8_t one[KEY_SIZE] = {1}; /* a point of low order: every DH with it is zero */
	struct noise_identity identity, none = {.present = false};
	struct noise_handshake h;
	struct message_initiation m;
	uint8_t timestamp[TIMESTAMP_SIZE] = {0};

	(void)state;
	identity_new(&identity);
	noise_handshake_init(&h, &identity, one, no_psk);
	assert_int_equal(noise_initiation_create(&h, &identity, 1, timestamp, &m), -ENOKEY);
	noise_handshake_init(&h, &none, identity.public_key, no_psk);
	assert_int_equal(noise_initiation_create(&h, &none, 1, timestamp, &m), -ENOKEY);
	noise_identity_set(&identity, no_psk);
	assert_false(identity.present);
}

static void response_without_initiation(void **state)
{
	struct message_response m = {.type = htole32(MESSAGE_RESPONSE)};
	struct noise_keys keys;
	struct pair p;

	(void)state;
	pair_new(&p, no_psk, no_psk);
	assert_int_equal(noise_response_accept(&p.a.handshake, &p.a.identity, &m), -EINVAL);
	assert_int_equal(noise_response_create(&p.a.handshake, 1, &m), -EINVAL);
	assert_int_equal(noise_keys_derive(&p.a.handshake, &keys), -EINVAL);
}

static void changed_identity_forgets(void **state)
{
	struct message_initiation initiation;
	struct message_response response;
	struct pair p;

	(void)state;
	pair_new(&p, no_psk, no_psk);
	initiate(&p, &initiation);
	identity_new(&p.a.identity);
	noise_handshake_rebase(&p.a.handshake, &p.a.identity);
	assert_int_equal(answer(&p, &initiation, &response), -ENOENT);
	memset(&response, 0, sizeof(response));
	assert_int_equal(noise_response_accept(&p.a.handshake, &p.a.identity, &response), -EINVAL);
}

/* TAI64N: big endian, so that memcmp() compares timestamps; rounded down to 2^24 ns. */
static void timestamps(void **state)
{
	uint8_t a[TIMESTAMP_SIZE], b[TIMESTAMP_SIZE];

	(void)state;
	noise_timestamp(a, 0);
	assert_hex(a, "400000000000000a00000000");
	noise_timestamp(a, 1700000000 * SECOND);
	noise_timestamp(b, 1700000000 * SECOND + (1 << 23));
	assert_memory_equal(a, b, TIMESTAMP_SIZE);
	noise_timestamp(b, 1700000000 * SECOND + (1 << 25));
	assert_true(memcmp(a, b, TIMESTAMP_SIZE) < 0);
	noise_timestamp(a, 1700000001 * SECOND);
	assert_true(memcmp(b, a, TIMESTAMP_SIZE) < 0);
}

static void classification(void **state)
{
	uint8_t m[256] = {0};
	static const struct {
		uint8_t type;
		size_t len;
		enum message_type want;
	} table[] = {
		{1, 148, MESSAGE_INITIATION}, {1, 147, MESSAGE_INVALID},
		{1, 149, MESSAGE_INVALID},    {2, 92, MESSAGE_RESPONSE},
		{2, 91, MESSAGE_INVALID},     {3, 64, MESSAGE_COOKIE_REPLY},
		{3, 65, MESSAGE_INVALID},     {4, 31, MESSAGE_INVALID},
		{4, 32, MESSAGE_DATA},	      {4, 200, MESSAGE_DATA},
		{0, 148, MESSAGE_INVALID},    {5, 148, MESSAGE_INVALID},
		{1, 0, MESSAGE_INVALID},      {1, 3, MESSAGE_INVALID},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		m[0] = table[i].type;
		assert_int_equal(message_classify(m, table[i].len), table[i].want);
	}
	m[0] = 4;
	m[2] = 1; /* reserved */
	assert_int_equal(message_classify(m, 200), MESSAGE_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_preshared_key),
		cmocka_unit_test(with_preshared_key),
		cmocka_unit_test(different_preshared_keys),
		cmocka_unit_test(every_bit_of_an_initiation_counts),
		cmocka_unit_test(every_bit_of_a_response_counts),
		cmocka_unit_test(replayed_and_flooded),
		cmocka_unit_test(keys_of_low_order),
		cmocka_unit_test(response_without_initiation),
		cmocka_unit_test(changed_identity_forgets),
		cmocka_unit_test(timestamps),
		cmocka_unit_test(classification),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
