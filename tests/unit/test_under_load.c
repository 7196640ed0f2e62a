/* SPDX-License-Identifier: Apache-2.0 */
/* Under load, who has shown with a cookie where it is may start a few handshakes a second, and no more (whitepaper 5.3). */
#include "base/clock.h"
#include "check.h"
#include "datapath/worker.h"
#include "device/peer.h"
#include "protocol/ratelimiter.h"

#define BURST 5

/* A device without sockets, programs and peers. */
struct fixture {
	struct datapath datapath;
	struct device device;
	struct noise_identity stranger;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	uint8_t key[KEY_SIZE];

	rcu_register_thread();
	f->device.by_key =
		cds_lfht_new_flavor(64, 64, 0, CDS_LFHT_AUTO_RESIZE, &urcu_qsbr_flavor, NULL);
	f->device.datapath = &f->datapath;
	f->device.up = true;
	randombytes_buf(key, sizeof(key));
	noise_identity_set(&f->device.identity, key);
	randombytes_buf(key, sizeof(key));
	noise_identity_set(&f->stranger, key);
	cookie_checker_init(&f->device.checker, f->device.identity.public_key);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	cds_lfht_destroy(f->device.by_key, NULL);
	rcu_unregister_thread();
	free(f);
	return 0;
}

/* An initiation of the stranger's from 192.0.2.1, port 258, with mac2 for that address. */
static void initiation(struct fixture *f, struct handshake_message *e)
{
	static const uint8_t no_psk[KEY_SIZE];
	const uint8_t source[6] = {192, 0, 2, 1, 1, 2}, timestamp[TIMESTAMP_SIZE] = {0x40};
	struct message_initiation m;
	struct message_cookie_reply reply;
	struct noise_handshake h;
	struct cookie_jar jar;
	const uint64_t now = clock_now();

	noise_handshake_init(&h, &f->stranger, f->device.identity.public_key, no_psk);
	assert_int_equal(noise_initiation_create(&h, &f->stranger, 7, timestamp, &m), 0);
	cookie_jar_init(&jar, f->device.identity.public_key);
	cookie_jar_seal(&jar, &m, sizeof(m), now);
	cookie_reply_create(&f->device.checker, &m, sizeof(m), 7, source, sizeof(source), now,
			    &reply);
	assert_int_equal(cookie_reply_consume(&jar, &reply, now), 0);
	cookie_jar_seal(&jar, &m, sizeof(m), now);
	memset(e, 0, sizeof(*e));
	e->from.to.v4.sin_family = AF_INET;
	memcpy(&e->from.to.v4.sin_addr, source, 4);
	memcpy(&e->from.to.v4.sin_port, source + 4, 2);
	e->length = sizeof(m);
	memcpy(e->bytes, &m, sizeof(m));
}

static void a_source_starts_no_more_than_its_share(void **state)
{
	struct fixture *f = *state;
	struct ratelimiter *limiter = ratelimiter_new(64);
	struct handshake_message e;
	const uint64_t begin = clock_now();
	uint64_t handled, most;

	initiation(f, &e);
	for (int i = 0; i < 200; i++)
		protocol_receive(&f->device, &e, true, limiter);
	/* Twenty a second come in addition, however long this took. */
	most = BURST + (clock_now() - begin) * 20 / NSEC_PER_SEC + 1;
	handled = f->device.handshakes[HANDSHAKE_FAILED_UNKNOWN_PEER];
	assert_in_range(handled, BURST, most);
	assert_int_equal(f->device.handshakes[HANDSHAKE_RATE_LIMITED], 200 - handled);
	ratelimiter_free(limiter);
}

static void without_load_nobody_is_counted(void **state)
{
	struct fixture *f = *state;
	struct ratelimiter *limiter = ratelimiter_new(64);
	struct handshake_message e;

	initiation(f, &e);
	for (int i = 0; i < 20; i++)
		protocol_receive(&f->device, &e, false, limiter);
	assert_int_equal(f->device.handshakes[HANDSHAKE_FAILED_UNKNOWN_PEER], 20);
	assert_int_equal(f->device.handshakes[HANDSHAKE_RATE_LIMITED], 0);
	ratelimiter_free(limiter);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_source_starts_no_more_than_its_share, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(without_load_nobody_is_counted, set_up, tear_down),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
