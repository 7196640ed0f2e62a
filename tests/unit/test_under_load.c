/* SPDX-License-Identifier: Apache-2.0 */
/* How many messages of a flood are computed (whitepaper 5.3), and that it delays no other peer. */
#include "bare_device.h"
#include "device/gate.h"
#include "protocol/admission.h"

#define BURST	   5
#define PER_SECOND 20
#define T0	   (1000 * NSEC_PER_SEC)

/* A stranger's initiation from 192.0.2.`host`, port 258. */
static void initiation(struct bare_device *f, uint8_t host, bool with_cookie,
		       struct handshake_message *e)
{
	static const uint8_t no_psk[KEY_SIZE];
	const uint8_t source[6] = {192, 0, 2, host, 1, 2}, timestamp[TIMESTAMP_SIZE] = {0x40};
	struct message_initiation m;
	struct message_cookie_reply reply;
	struct noise_handshake h;
	struct cookie_jar jar;
	const uint64_t now = clock_now();

	noise_handshake_init(&h, &f->other, f->device.identity.public_key, no_psk);
	assert_int_equal(noise_initiation_create(&h, &f->other, 7, timestamp, &m), 0);
	cookie_jar_init(&jar, f->device.identity.public_key);
	cookie_jar_seal(&jar, &m, sizeof(m), now);
	if (with_cookie) {
		cookie_reply_create(&f->device.checker, &m, sizeof(m), 7, source, sizeof(source),
				    now, &reply);
		assert_int_equal(cookie_reply_consume(&jar, &reply, now), 0);
		cookie_jar_seal(&jar, &m, sizeof(m), now);
	}
	memset(e, 0, sizeof(*e));
	e->from.to.v4.sin_family = AF_INET;
	memcpy(&e->from.to.v4.sin_addr, source, 4);
	memcpy(&e->from.to.v4.sin_port, source + 4, 2);
	e->length = sizeof(m);
	memcpy(e->bytes, &m, sizeof(m));
}

/* The most that may be computed since `begin`: a burst, and PER_SECOND for the time that passed. */
static uint64_t share(uint64_t begin)
{
	return BURST + (clock_now() - begin) * PER_SECOND / NSEC_PER_SEC + 1;
}

static uint64_t computed(const struct bare_device *f)
{
	return f->device.handshakes[HANDSHAKE_FAILED_UNKNOWN_PEER];
}

static void a_source_starts_no_more_than_its_share(void **state)
{
	struct bare_device *f = *state;
	struct gate *gate = gate_new(&f->device);
	struct handshake_message e;
	const uint64_t begin = clock_now();

	initiation(f, 1, true, &e);
	for (int i = 0; i < 200; i++)
		protocol_receive(&f->device, &e, true, gate);
	assert_in_range(computed(f), BURST, share(begin));
	assert_int_equal(f->device.handshakes[HANDSHAKE_RATE_LIMITED], 200 - computed(f));
	gate_free(gate);
}

static void without_load_no_source_is_counted(void **state)
{
	struct bare_device *f = *state;
	struct gate *gate = gate_new(&f->device);
	struct handshake_message e;

	for (int i = 0; i < 40; i++) {
		initiation(f, 1, i % 2, &e);
		protocol_receive(&f->device, &e, false, gate);
	}
	assert_int_equal(computed(f), 40);
	assert_int_equal(f->device.handshakes[HANDSHAKE_RATE_LIMITED], 0);
	gate_free(gate);
}

static void a_flood_without_cookies_delays_no_other_source(void **state)
{
	struct bare_device *f = *state;
	struct gate *gate = gate_new(&f->device);
	struct handshake_message e;
	const uint64_t begin = clock_now();
	uint64_t of_flood;

	initiation(f, 1, false, &e);
	for (int i = 0; i < 500; i++)
		protocol_receive(&f->device, &e, true, gate);
	of_flood = computed(f);
	assert_in_range(of_flood, BURST, share(begin));
	/* Another sender without a cookie; it would get its cookie only 5 s later. */
	initiation(f, 2, false, &e);
	protocol_receive(&f->device, &e, true, gate);
	assert_int_equal(computed(f), of_flood + 1);
	gate_free(gate);
}

static void fruitless_work_is_load(void **state)
{
	struct bare_device *f = *state;
	struct gate *gate = gate_new(&f->device);
	struct handshake_message e;
	const uint64_t begin = clock_now();
	unsigned int n = 0;

	initiation(f, 1, false, &e);
	assert_false(gate_under_load(gate));
	while (!gate_under_load(gate)) {
		protocol_receive(&f->device, &e, false, gate);
		/* A machine so slow that this rate is no load: the test proves nothing there. */
		if (++n > 4 * WASTE_BURST &&
		    n < (clock_now() - begin) * 2 * WASTE_PER_SECOND / NSEC_PER_SEC)
			skip();
		assert_in_range(n, 1, 1000000);
	}
	assert_true(n > WASTE_BURST);
	gate_free(gate);
}

/* --- the same with simulated time --- */

static void address(struct sockaddr_in *a, uint32_t host)
{
	*a = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(host)};
}

static void load_has_two_reasons_and_an_end(void **state)
{
	struct admission *a = admission_new();
	uint64_t now = T0;

	(void)state;
	assert_false(admission_under_load(a, LOAD_THRESHOLD - 1, now));
	assert_true(admission_under_load(a, LOAD_THRESHOLD, now));
	assert_true(admission_under_load(a, 0, now + LOAD_HYSTERESIS - 1));
	now += LOAD_HYSTERESIS;
	assert_false(admission_under_load(a, 0, now));
	/* Ten seconds at the highest rate that is no load. */
	for (unsigned int i = 0; i < 10 * WASTE_PER_SECOND; i++)
		admission_wasted(a, now += NSEC_PER_SEC / WASTE_PER_SECOND);
	assert_false(admission_under_load(a, 0, now));
	/* Twice that rate. */
	for (unsigned int i = 0; i < 2 * WASTE_BURST + 2; i++)
		admission_wasted(a, now += NSEC_PER_SEC / WASTE_PER_SECOND / 2);
	assert_true(admission_under_load(a, 0, now));
	assert_false(admission_under_load(a, 0, now + LOAD_HYSTERESIS));
	admission_free(a);
}

static void forged_addresses_have_one_share(void **state)
{
	struct admission *a = admission_new();
	struct sockaddr_in source;
	unsigned int passed = 0;

	(void)state;
	/* 100,000 messages in a second, each from another address. */
	for (uint32_t i = 0; i < 100000; i++) {
		address(&source, i);
		passed += admission_unproven(a, (struct sockaddr *)&source, T0 + i * 10000);
	}
	assert_in_range(passed, UNPROVEN_BURST, UNPROVEN_BURST + UNPROVEN_PER_SECOND);
	/* A sender that has proved its address is not affected. */
	assert_true(admission_proven(a, (struct sockaddr *)&source, T0 + NSEC_PER_SEC));
	admission_free(a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bare_set_up, bare_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_source_starts_no_more_than_its_share),
		TEST(without_load_no_source_is_counted),
		TEST(a_flood_without_cookies_delays_no_other_source),
		TEST(fruitless_work_is_load),
		cmocka_unit_test(load_has_two_reasons_and_an_end),
		cmocka_unit_test(forged_addresses_have_one_share),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
