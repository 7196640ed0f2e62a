/* SPDX-License-Identifier: Apache-2.0 */
/* Handshake messages between two threads: in order, whole, none twice, counted, and with room for
 * messages from new senders. */
#include <pthread.h>
#include <sched.h>

#include "base/clock.h"
#include "check.h"
#include "datapath/message_ring.h"
#include "protocol/limits.h"

#define MANY 300000u

static bool put(struct message_ring *r, uint32_t number)
{
	const struct endpoint from = {
		.to.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = number % 4},
		.from_ifindex = (int)number};
	uint8_t message[MESSAGE_MAX];
	const size_t len = 4 + number % (sizeof(message) - 3);

	memset(message, (uint8_t)number, sizeof(message));
	memcpy(message, &number, sizeof(number));
	return message_ring_put(r, &from, message, len);
}

static void check(const struct handshake_message *m, uint32_t number)
{
	uint32_t got;

	memcpy(&got, m->bytes, sizeof(got));
	assert_int_equal(got, number);
	assert_int_equal(m->from.from_ifindex, number);
	assert_int_equal(m->length, 4 + number % (MESSAGE_MAX - 3));
	for (unsigned int i = sizeof(got); i < m->length; i++)
		assert_int_equal(m->bytes[i], (uint8_t)number);
}

static void full_and_empty(void **state)
{
	struct message_ring *r = message_ring_new();
	struct handshake_message m;

	(void)state;
	/* Several times around the ring, and the counters overflow. */
	atomic_store(&r->written, UINT32_MAX - 1500);
	atomic_store(&r->read, UINT32_MAX - 1500);
	for (uint32_t round = 0; round < 5; round++) {
		assert_false(message_ring_take(r, &m));
		for (uint32_t i = 0; i < MESSAGE_RING_OPEN; i++) {
			assert_int_equal(message_ring_waiting(r), i);
			assert_true(put(r, i));
		}
		assert_false(put(r, 7));
		for (uint32_t i = 0; i < MESSAGE_RING_OPEN; i++) {
			assert_int_equal(message_ring_waiting(r), MESSAGE_RING_OPEN - i);
			assert_true(message_ring_take(r, &m));
			check(&m, i);
		}
	}
	free(r);
}

static bool put_from(struct message_ring *r, uint32_t sender)
{
	const struct endpoint from = {.to.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = sender}};

	return message_ring_put(r, &from, "hello", 5);
}

static void a_flood_leaves_room(void **state)
{
	struct message_ring *r = message_ring_new();
	struct handshake_message m;
	unsigned int of_flood = 0, few = 0, newcomers = 0;

	(void)state;
	while (put_from(r, 7))
		of_flood++;
	assert_int_equal(of_flood, MESSAGE_RING_OPEN);
	while (put_from(r, 8))
		few++;
	/* One of 1,024 senders shares the flood's counter. */
	assert_in_range(few, 0, MESSAGE_RING_FEW);
	for (uint32_t sender = 100; sender < 200; sender++)
		newcomers += put_from(r, sender);
	assert_in_range(newcomers, 95, 100);
	/* Forged addresses can fill the ring, but do no more harm than that. */
	for (uint32_t sender = 1000; sender < 9000; sender++)
		put_from(r, sender);
	assert_int_equal(message_ring_waiting(r), MESSAGE_RING_SIZE);
	while (message_ring_take(r, &m))
		;
	for (unsigned int i = 0; i < MESSAGE_SENDERS; i++)
		assert_int_equal(atomic_load(&r->waiting[i]), 0);
	free(r);
}

static void *produce(void *context)
{
	const uint64_t until = clock_now() + 300 * NSEC_PER_MSEC;

	for (uint32_t i = 0; i < MANY; i++) {
		/* For a while one message at a time, so that the consumer waits for each. */
		while (message_ring_waiting(context) && clock_now() < until)
			;
		while (!put(context, i))
			sched_yield();
	}
	return NULL;
}

static void between_threads(void **state)
{
	struct message_ring *r = message_ring_new();
	struct handshake_message m;
	pthread_t producer;

	(void)state;
	assert_int_equal(pthread_create(&producer, NULL, produce, r), 0);
	for (uint32_t i = 0; i < MANY; i++) {
		while (!message_ring_take(r, &m))
			if (i % 64 == 63)
				sched_yield();
		check(&m, i);
		assert_true(message_ring_waiting(r) <= MESSAGE_RING_SIZE);
	}
	pthread_join(producer, NULL);
	assert_false(message_ring_take(r, &m));
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_and_empty),
		cmocka_unit_test(a_flood_leaves_room),
		cmocka_unit_test(between_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
