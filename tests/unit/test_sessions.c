/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a session that two threads share: times that one thread read before the other wrote,
 * the sending keypair while the owner moves keypairs to their places, and the peer's endpoint while
 * its source is forgotten.
 */
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "bare_device.h"
#include "protocol/elapsed.h"
#include "protocol/ratelimiter.h"

#define T0    (1000 * NSEC_PER_SEC)
#define EARLY (T0 - 300000) /* a time that was read 0.3 ms before T0 and is used after it */

static void nothing_is_older_than_time(void **state)
{
	(void)state;
	assert_int_equal(elapsed(T0, T0 + 5), 5);
	assert_int_equal(elapsed(T0, T0), 0);
	assert_int_equal(elapsed(T0, EARLY), 0);
	assert_int_equal(elapsed(UINT64_MAX, 0), 0);
}

/* --- times that were read too early --- */

static void a_time_read_too_early_starts_no_second_handshake(void **state)
{
	struct bare_device *f = *state;
	struct peer *p = f->peer;
	uint32_t index;

	protocol_initiate(p, T0, HANDSHAKE_STARTED_OWNER);
	assert_non_null(p->pending);
	index = p->pending->index;
	protocol_initiate(p, EARLY, HANDSHAKE_STARTED_TRAFFIC);
	/* With two initiations, the peer would answer the first, and we would accept only a
	 * response to the second. */
	assert_int_equal(p->pending->index, index);
	assert_int_equal(f->device.handshakes[HANDSHAKE_STARTED_OWNER], 1);
	assert_int_equal(f->device.handshakes[HANDSHAKE_STARTED_TRAFFIC], 0);
}

static struct keypair *install(struct bare_device *f, bool initiator)
{
	struct noise_keys keys = {.initiator = initiator, .local_index = session_index(&f->device)};
	struct keypair *k;

	assert_int_equal(session_install(f->peer, &keys, T0), 0);
	k = datapath_keypair_find(&f->datapath, keys.local_index);
	assert_non_null(k);
	return k;
}

static void a_new_session_is_valid_at_an_earlier_time(void **state)
{
	const struct keypair *k = install(*state, true);

	assert_true(keypair_can_send(k, EARLY));
	assert_true(keypair_can_receive(k, EARLY));
	assert_false(keypair_can_send(k, T0 + REJECT_AFTER_TIME));
	assert_false(keypair_can_receive(k, T0 + REJECT_AFTER_TIME));
}

static void an_earlier_time_gives_a_source_no_more_tokens(void **state)
{
	const struct sockaddr_in from = {.sin_family = AF_INET,
					 .sin_addr.s_addr = htonl(0xc0000201)};
	struct ratelimiter *r = ratelimiter_new(64);
	unsigned int allowed = 0;

	(void)state;
	for (int i = 0; i < 20; i++)
		allowed += ratelimiter_allow(r, (const struct sockaddr *)&from, i % 2 ? EARLY : T0);
	assert_int_equal(allowed, 5); /* a burst; going back in time allows no more */
	ratelimiter_free(r);
}

static void a_new_cookie_is_valid_at_an_earlier_time(void **state)
{
	struct message_initiation m = {.type = MESSAGE_INITIATION};
	struct message_cookie_reply reply;
	uint8_t key[KEY_SIZE], source[6] = {192, 0, 2, 1, 1, 2};
	struct cookie_checker checker;
	struct cookie_jar jar;

	(void)state;
	randombytes_buf(key, sizeof(key));
	cookie_checker_init(&checker, key);
	cookie_jar_init(&jar, key);
	cookie_jar_seal(&jar, &m, sizeof(m), T0);
	cookie_reply_create(&checker, &m, sizeof(m), 1, source, sizeof(source), T0, &reply);
	assert_int_equal(cookie_reply_consume(&jar, &reply, T0), 0);
	cookie_jar_seal(&jar, &m, sizeof(m), EARLY);
	assert_int_equal(cookie_check(&checker, &m, sizeof(m), source, sizeof(source), EARLY),
			 COOKIE_MAC2_VALID);
}

/* --- which keypair sends (whitepaper 6.3) --- */

static void the_first_message_makes_a_responder_send_with_it(void **state)
{
	struct bare_device *f = *state;
	struct remote *r = &f->peer->remote;
	struct keypair *old = install(f, true), *fresh = install(f, false);

	assert_ptr_equal(remote_sending_keypair(r), old);
	assert_true(keypair_confirm(fresh));
	/* Before the owner knows of it. */
	assert_ptr_equal(remote_sending_keypair(r), fresh);
	assert_false(keypair_confirm(fresh));
	assert_true(keypair_report(fresh));
	assert_false(keypair_report(fresh));
	keypair_report_failed(fresh);
	assert_true(keypair_report(fresh));
	assert_true(session_confirm(f->peer, fresh->local_index));
	assert_ptr_equal(remote_sending_keypair(r), fresh);
	assert_ptr_equal(r->previous, old);
	assert_null(r->next);
}

static void the_responders_first_session(void **state)
{
	struct bare_device *f = *state;
	struct keypair *first = install(f, false);

	assert_null(remote_sending_keypair(&f->peer->remote));
	assert_true(keypair_confirm(first));
	assert_ptr_equal(remote_sending_keypair(&f->peer->remote), first);
}

static void an_initiators_keypair_needs_no_message(void **state)
{
	struct keypair *k = install(*state, true);

	assert_true(keypair_confirmed(k));
	assert_false(keypair_confirm(k));
	assert_false(keypair_report(k));
}

/* Another handshake ends after the first message, but before the owner learns of that message. */
static void a_confirmed_keypair_is_not_lost_to_the_next_handshake(void **state)
{
	for (int initiator = 0; initiator < 2; initiator++) {
		struct bare_device *f = *state;
		struct remote *r = &f->peer->remote;
		struct keypair *old = install(f, true), *fresh = install(f, false), *newest;

		assert_true(keypair_confirm(fresh));
		newest = install(f, initiator);
		assert_ptr_equal(remote_sending_keypair(r), initiator ? newest : fresh);
		assert_null(datapath_keypair_find(&f->datapath, old->local_index));
		/* The event comes late, when its keypair already has its place. */
		assert_true(session_confirm(f->peer, fresh->local_index));
		assert_ptr_equal(remote_sending_keypair(r), initiator ? newest : fresh);
		session_clear(f->peer);
		assert_false(session_confirm(f->peer, fresh->local_index));
	}
}

static void a_replaced_keypair_never_sends(void **state)
{
	struct bare_device *f = *state;
	struct keypair *old = install(f, true), *replaced = install(f, false);

	install(f, false);
	/* A worker had looked it up before. */
	assert_false(keypair_confirm(replaced));
	assert_ptr_equal(remote_sending_keypair(&f->peer->remote), old);
	assert_false(session_confirm(f->peer, replaced->local_index));
}

struct race {
	struct bare_device *f;
	_Atomic bool stop;
	uint64_t rounds, none;
};

/* A worker: it receives the first message for the keypair `next`, if there is one, and sends. */
static void *confirm_and_send(void *context)
{
	struct race *race = context;
	const struct remote *r = &race->f->peer->remote;

	rcu_register_thread();
	while (!atomic_load(&race->stop)) {
		struct keypair *next = rcu_dereference(r->next), *k;

		if (next && keypair_confirm(next) && remote_sending_keypair(r) == NULL)
			race->none++;
		k = remote_sending_keypair(r);
		/* AddressSanitizer finds it if the keypair is already freed. */
		race->rounds += k ? k->initiator || keypair_confirmed(k) : 0;
		rcu_quiescent_state();
	}
	rcu_unregister_thread();
	return NULL;
}

static void workers_confirm_while_the_owner_installs(void **state)
{
	struct race race = {.f = *state};
	pthread_t workers[2];
	uint64_t seed = 7;

	install(race.f, true);
	for (int i = 0; i < 2; i++)
		pthread_create(&workers[i], NULL, confirm_and_send, &race);
	for (int i = 0; i < 20000; i++) {
		struct keypair *k = install(race.f, draw(&seed) % 4 == 0);

		if (draw(&seed) % 2)
			session_confirm(race.f->peer, k->local_index);
		assert_non_null(remote_sending_keypair(&race.f->peer->remote));
		if (i % 64 == 0)
			rcu_quiescent_state();
	}
	atomic_store(&race.stop, true);
	rcu_thread_offline();
	for (int i = 0; i < 2; i++)
		pthread_join(workers[i], NULL);
	rcu_thread_online();
	assert_int_equal(race.none, 0);
}

/* --- where the peer is --- */

static void *forget_source(void *context)
{
	struct race *race = context;

	rcu_register_thread();
	while (!atomic_load(&race->stop)) {
		destination_forget_source(&race->f->peer->remote.destination);
		race->rounds++;
		rcu_quiescent_state();
	}
	rcu_unregister_thread();
	return NULL;
}

static void forgetting_the_source_never_brings_an_old_address_back(void **state)
{
	struct race race = {.f = *state};
	struct remote *r = &race.f->peer->remote;
	struct endpoint e = {.to.v4 = {.sin_family = AF_INET}, .from_ifindex = 1}, seen;
	pthread_t other;

	pthread_create(&other, NULL, forget_source, &race);
	for (uint32_t i = 1; i < 300000; i++) {
		e.to.v4.sin_addr.s_addr = i;
		e.from.v4.s_addr = i;
		destination_set(&r->destination, &e);
		assert_true(destination_get(&r->destination, &seen));
		assert_int_equal(seen.to.v4.sin_addr.s_addr, i);
		assert_true(!seen.from.v4.s_addr || seen.from.v4.s_addr == i);
		rcu_quiescent_state();
	}
	atomic_store(&race.stop, true);
	rcu_thread_offline();
	pthread_join(other, NULL);
	rcu_thread_online();
	/* Now the peer's endpoint changes between the read and the write. */
	struct endpoint_box *known = rcu_dereference(r->destination.box);

	e.to.v4.sin_addr.s_addr = 7;
	destination_set(&r->destination, &e);
	destination_forget_source_of(&r->destination, known);
	assert_true(destination_get(&r->destination, &seen));
	assert_int_equal(seen.to.v4.sin_addr.s_addr, 7);
	assert_int_equal(seen.from_ifindex, 1);
	/* Without another change, the source is forgotten. */
	destination_set(&r->destination, &e);
	destination_forget_source(&r->destination);
	assert_true(destination_get(&r->destination, &seen));
	assert_int_equal(seen.to.v4.sin_addr.s_addr, e.to.v4.sin_addr.s_addr);
	assert_int_equal(seen.from.v4.s_addr, 0);
	assert_int_equal(seen.from_ifindex, 0);
}

/* --- sleeping --- */

static void interrupt(int signal)
{
	(void)signal;
}

static void *sleep_long(void *context)
{
	struct race *race = context;

	rcu_register_thread();
	atomic_store(&race->stop, true); /* it sleeps, or is about to sleep */
	datapath_sleep(600 * NSEC_PER_SEC);
	atomic_store(&race->stop, false);
	rcu_unregister_thread();
	return NULL;
}

static void sleeping_threads_delay_no_grace_period(void **state)
{
	const struct sigaction action = {.sa_handler = interrupt};
	struct race race = {.f = *state};
	pthread_t other;

	sigaction(SIGUSR1, &action, NULL);
	pthread_create(&other, NULL, sleep_long, &race);
	while (!atomic_load(&race.stop))
		sched_yield();
	synchronize_rcu();
	/* The grace period did not have to wait for the end of the sleep. */
	assert_true(atomic_load(&race.stop));
	rcu_thread_offline();
	while (atomic_load(&race.stop)) {
		pthread_kill(other, SIGUSR1);
		usleep(1000);
	}
	pthread_join(other, NULL);
	rcu_thread_online();
}

/* A worker that is descheduled while it handles a batch. */
static void *stay_online(void *context)
{
	struct race *race = context;
	const uint64_t end = clock_now() + 30 * NSEC_PER_SEC;

	rcu_register_thread();
	atomic_store(&race->stop, true); /* now no grace period can end */
	while (atomic_load(&race->stop) && clock_now() < end)
		usleep(1000);
	atomic_store(&race->stop, false);
	rcu_unregister_thread();
	return NULL;
}

static void handshakes_wait_for_no_worker(void **state)
{
	struct race race = {.f = *state};
	struct peer *p = race.f->peer;
	pthread_t other;
	uint32_t first;

	pthread_create(&other, NULL, stay_online, &race);
	while (!atomic_load(&race.stop))
		sched_yield();
	protocol_initiate(p, T0, HANDSHAKE_STARTED_OWNER);
	first = p->pending->index;
	assert_ptr_equal(peer_find_pending(&race.f->device, first), p);
	protocol_initiate(p, T0 + REKEY_TIMEOUT, HANDSHAKE_STARTED_RETRY);
	assert_int_not_equal(p->pending->index, first);
	assert_null(peer_find_pending(&race.f->device, first));
	peer_pending_end(p);
	/* The worker was online all the time, so nothing waited for it. */
	assert_true(atomic_exchange(&race.stop, false));
	rcu_thread_offline();
	pthread_join(other, NULL);
	rcu_thread_online();
}

/* --- another process was to take over, and failed --- */

static void who_goes_on_shares_no_counter_and_no_handshake(void **state)
{
	struct bare_device *f = *state;
	struct peer *p = f->peer;
	struct keypair *k = install(f, true);
	uint64_t first;
	uint32_t index;

	assert_true(keypair_reserve(k, 7, &first));
	protocol_initiate(p, T0, HANDSHAKE_STARTED_OWNER);
	index = p->pending->index;
	peer_go_on(p, false);
	/* The session stays, but the other process keeps its next counters. */
	assert_ptr_equal(remote_sending_keypair(&p->remote), k);
	assert_true(keypair_reserve(k, 1, &first));
	assert_int_equal(first, 7 + KEYPAIR_LEFT_TO_ANOTHER);
	/* An answer to the initiation, which the other process may have accepted, leads nowhere. */
	assert_null(peer_find_pending(&f->device, index));
	assert_int_equal(p->handshake.state, NOISE_ZEROED);
	assert_true(sodium_is_zero(p->handshake.ephemeral_private, KEY_SIZE));
	assert_true(p->handshake_wanted);
	/* If it may have received, its replay windows are unknown: no session stays. */
	peer_go_on(p, true);
	assert_null(remote_sending_keypair(&p->remote));
	assert_true(p->handshake_wanted);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bare_set_up_peer, bare_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_older_than_time),
		TEST(who_goes_on_shares_no_counter_and_no_handshake),
		TEST(a_time_read_too_early_starts_no_second_handshake),
		TEST(a_new_session_is_valid_at_an_earlier_time),
		TEST(an_earlier_time_gives_a_source_no_more_tokens),
		TEST(a_new_cookie_is_valid_at_an_earlier_time),
		TEST(the_first_message_makes_a_responder_send_with_it),
		TEST(the_responders_first_session),
		TEST(an_initiators_keypair_needs_no_message),
		TEST(a_confirmed_keypair_is_not_lost_to_the_next_handshake),
		TEST(a_replaced_keypair_never_sends),
		TEST(workers_confirm_while_the_owner_installs),
		TEST(forgetting_the_source_never_brings_an_old_address_back),
		TEST(sleeping_threads_delay_no_grace_period),
		TEST(handshakes_wait_for_no_worker),
	};

	if (sodium_init() < 0)
		return 1;
	alarm(60); /* ends the test if a thread waits for itself */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
