/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/socket.h>

#include "check.h"
#include "protocol/cookie.h"
#include "protocol/limits.h"
#include "protocol/ratelimiter.h"

#define T0 (1000 * NSEC_PER_SEC)

struct ends {
	struct cookie_checker checker;
	struct cookie_jar jar;
	struct message_initiation message;
};

static const uint8_t source[6] = {192, 0, 2, 1, 0x12, 0x34};

static void ends_new(struct ends *e)
{
	uint8_t public_key[KEY_SIZE];

	memset(e, 0, sizeof(*e));
	randombytes_buf(public_key, sizeof(public_key));
	cookie_checker_init(&e->checker, public_key);
	cookie_jar_init(&e->jar, public_key);
	randombytes_buf(&e->message, sizeof(e->message));
}

static enum cookie_verdict check(struct ends *e, uint64_t now)
{
	return cookie_check(&e->checker, &e->message, sizeof(e->message), source, sizeof(source),
			    now);
}

static void give_cookie(struct ends *e, uint64_t now)
{
	struct message_cookie_reply reply;

	cookie_reply_create(&e->checker, &e->message, sizeof(e->message), 7, source, sizeof(source),
			    now, &reply);
	assert_int_equal(cookie_reply_consume(&e->jar, &reply, now), 0);
}

static void mac1_alone(void **state)
{
	struct ends e;

	(void)state;
	ends_new(&e);
	cookie_jar_seal(&e.jar, &e.message, sizeof(e.message), T0);
	assert_int_equal(check(&e, T0), COOKIE_MAC1_ONLY);
	for (size_t i = 0; i < sizeof(e.message) - COOKIE_SIZE; i++) {
		((uint8_t *)&e.message)[i] ^= 4;
		assert_int_equal(check(&e, T0), COOKIE_BAD_MAC1);
		((uint8_t *)&e.message)[i] ^= 4;
	}
	assert_int_equal(cookie_check(&e.checker, &e.message, sizeof(struct message_macs), source,
				      sizeof(source), T0),
			 COOKIE_BAD_MAC1);
}

static void mac2_proves_the_source(void **state)
{
	uint8_t other[6];
	struct ends e;

	(void)state;
	ends_new(&e);
	cookie_jar_seal(&e.jar, &e.message, sizeof(e.message), T0);
	give_cookie(&e, T0);
	cookie_jar_seal(&e.jar, &e.message, sizeof(e.message), T0 + 1);
	assert_int_equal(check(&e, T0 + 1), COOKIE_MAC2_VALID);
	memcpy(other, source, sizeof(other));
	other[5]++; /* another port */
	assert_int_equal(cookie_check(&e.checker, &e.message, sizeof(e.message), other,
				      sizeof(other), T0 + 1),
			 COOKIE_MAC1_ONLY);
	e.message.macs.mac2[3] ^= 1;
	assert_int_equal(check(&e, T0 + 1), COOKIE_MAC1_ONLY);
}

static void cookies_expire(void **state)
{
	static const uint8_t zero[COOKIE_SIZE];
	const uint64_t usable = COOKIE_SECRET_MAX_AGE - COOKIE_SECRET_LATENCY;
	struct ends e;

	(void)state;
	ends_new(&e);
	cookie_jar_seal(&e.jar, &e.message, sizeof(e.message), T0);
	give_cookie(&e, T0);
	/* The sender stops using a cookie 5 s before the receiver forgets its secret. */
	cookie_jar_seal(&e.jar, &e.message, sizeof(e.message), T0 + usable - 1);
	assert_memory_not_equal(e.message.macs.mac2, zero, COOKIE_SIZE);
	assert_int_equal(check(&e, T0 + COOKIE_SECRET_MAX_AGE - 1), COOKIE_MAC2_VALID);
	assert_int_equal(check(&e, T0 + COOKIE_SECRET_MAX_AGE), COOKIE_MAC1_ONLY);
	cookie_jar_seal(&e.jar, &e.message, sizeof(e.message), T0 + usable);
	assert_memory_equal(e.message.macs.mac2, zero, COOKIE_SIZE);
}

static void replies_that_were_not_asked_for(void **state)
{
	struct message_cookie_reply reply;
	struct ends e;

	(void)state;
	ends_new(&e);
	cookie_reply_create(&e.checker, &e.message, sizeof(e.message), 7, source, sizeof(source),
			    T0, &reply);
	assert_int_equal(cookie_reply_consume(&e.jar, &reply, T0), -EBADMSG);
	cookie_jar_seal(&e.jar, &e.message, sizeof(e.message), T0);
	/* The reply is for another message, which had another mac1. */
	assert_int_equal(cookie_reply_consume(&e.jar, &reply, T0), -EBADMSG);
	cookie_reply_create(&e.checker, &e.message, sizeof(e.message), 7, source, sizeof(source),
			    T0, &reply);
	reply.encrypted_cookie[0] ^= 1;
	assert_int_equal(cookie_reply_consume(&e.jar, &reply, T0), -EBADMSG);
	reply.encrypted_cookie[0] ^= 1;
	assert_int_equal(cookie_reply_consume(&e.jar, &reply, T0), 0);
	assert_int_equal(cookie_reply_consume(&e.jar, &reply, T0), -EBADMSG);
}

static struct sockaddr_in v4(uint32_t address)
{
	struct sockaddr_in a = {.sin_family = AF_INET};

	a.sin_addr.s_addr = htonl(address);
	return a;
}

static void a_source_may_start_twenty_a_second(void **state)
{
	struct ratelimiter *r = ratelimiter_new(64);
	struct sockaddr_in a = v4(0x0a000001), b = v4(0x0a000002);
	uint64_t now = T0;
	unsigned int passed = 0;

	(void)state;
	assert_non_null(r);
	for (int i = 0; i < 5; i++)
		assert_true(ratelimiter_allow(r, (struct sockaddr *)&a, now));
	assert_false(ratelimiter_allow(r, (struct sockaddr *)&a, now));
	assert_true(ratelimiter_allow(r, (struct sockaddr *)&b, now));
	/* From a flood, only as many pass as the rate limit allows. */
	for (int i = 0; i < 1000; i++) {
		now += NSEC_PER_MSEC;
		passed += ratelimiter_allow(r, (struct sockaddr *)&a, now);
	}
	assert_in_range(passed, 19, 21);
	ratelimiter_free(r);
}

static void ipv6_sources_count_by_64(void **state)
{
	struct ratelimiter *r = ratelimiter_new(64);
	struct sockaddr_in6 a = {.sin6_family = AF_INET6};

	(void)state;
	a.sin6_addr.s6_addr[0] = 0x20;
	for (int i = 0; i < 5; i++) {
		a.sin6_addr.s6_addr[15] = (uint8_t)i;
		assert_true(ratelimiter_allow(r, (struct sockaddr *)&a, T0));
	}
	a.sin6_addr.s6_addr[15] = 99;
	assert_false(ratelimiter_allow(r, (struct sockaddr *)&a, T0));
	a.sin6_addr.s6_addr[7] = 1;
	assert_true(ratelimiter_allow(r, (struct sockaddr *)&a, T0));
	ratelimiter_free(r);
}

static void a_full_table_refuses_newcomers(void **state)
{
	struct ratelimiter *r = ratelimiter_new(8);
	unsigned int passed = 0;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		struct sockaddr_in a = v4(i);

		passed += ratelimiter_allow(r, (struct sockaddr *)&a, T0);
	}
	assert_int_equal(passed, 8);
	/* After a second without messages, there is room for new addresses again. */
	struct sockaddr_in a = v4(12345);

	assert_true(ratelimiter_allow(r, (struct sockaddr *)&a, T0 + 2 * NSEC_PER_SEC));
	ratelimiter_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mac1_alone),
		cmocka_unit_test(mac2_proves_the_source),
		cmocka_unit_test(cookies_expire),
		cmocka_unit_test(replies_that_were_not_asked_for),
		cmocka_unit_test(a_source_may_start_twenty_a_second),
		cmocka_unit_test(ipv6_sources_count_by_64),
		cmocka_unit_test(a_full_table_refuses_newcomers),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
