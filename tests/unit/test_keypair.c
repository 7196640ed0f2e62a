/* SPDX-License-Identifier: Apache-2.0 */
/* How long a session's keys may be used (whitepaper 6.2), and that they are wiped afterwards. */
#include "check.h"
#include "datapath/keypair.h"
#include "protocol/limits.h"

static const void *wiped;
static size_t wiped_bytes;

/* Replaces libsodium's function, because memory cannot be checked after it is freed. */
void sodium_memzero(void *const bytes, const size_t len)
{
	volatile uint8_t *at = bytes;

	wiped = bytes;
	wiped_bytes = len;
	for (size_t i = 0; i < len; i++)
		at[i] = 0;
}

static struct keypair *made_at(uint64_t now)
{
	const struct noise_keys keys = {.sending = {1}, .receiving = {2}, .local_index = 3};
	struct keypair *k = keypair_new(&keys, NULL, now);

	assert_non_null(k);
	return k;
}

static void no_use_after_reject_after_time(void **state)
{
	const uint64_t birth = 1000 * NSEC_PER_SEC, last = birth + REJECT_AFTER_TIME - 1;
	struct keypair *k = made_at(birth);

	(void)state;
	assert_true(keypair_can_send(k, birth) && keypair_can_receive(k, birth));
	assert_true(keypair_can_send(k, last) && keypair_can_receive(k, last));
	assert_false(keypair_can_send(k, last + 1));
	assert_false(keypair_can_receive(k, last + 1));
	keypair_retire(k);
	rcu_barrier();
}

static void no_counter_beyond_reject_after_messages(void **state)
{
	struct keypair *k = made_at(0);
	uint64_t first = 0;

	(void)state;
	assert_true(keypair_reserve(k, 64, &first));
	assert_int_equal(first, 0);
	assert_true(keypair_reserve(k, 1, &first));
	assert_int_equal(first, 64);
	atomic_store(&k->sending_counter, REJECT_AFTER_MESSAGES - 64);
	assert_false(keypair_reserve(k, 65, &first));
	assert_int_equal(first, 64);
	assert_false(keypair_reserve(k, 1, &first));
	assert_false(keypair_can_send(k, 0));
	assert_true(keypair_can_receive(k, 0));
	keypair_retire(k);
	rcu_barrier();
}

static void counters_left_to_another_process_are_never_used(void **state)
{
	struct keypair *k = made_at(0);
	uint64_t first = 0;

	(void)state;
	assert_true(keypair_reserve(k, 5, &first));
	keypair_leave_counters(k);
	assert_true(keypair_reserve(k, 1, &first));
	assert_int_equal(first, 5 + KEYPAIR_LEFT_TO_ANOTHER);
	/* A second one that fails gets others. */
	keypair_leave_counters(k);
	assert_true(keypair_reserve(k, 1, &first));
	assert_int_equal(first, 6 + 2 * KEYPAIR_LEFT_TO_ANOTHER);
	/* There are not so many left: it sends no more. */
	atomic_store(&k->sending_counter, REJECT_AFTER_MESSAGES - KEYPAIR_LEFT_TO_ANOTHER + 3);
	keypair_leave_counters(k);
	assert_false(keypair_can_send(k, 0));
	assert_false(keypair_reserve(k, 1, &first));
	keypair_retire(k);
	rcu_barrier();
}

static void retired_keys_are_wiped(void **state)
{
	struct keypair *k = made_at(0);
	const void *const where = k;

	(void)state;
	wiped = NULL;
	keypair_retire(k);
	rcu_barrier();
	assert_ptr_equal(wiped, where);
	assert_true(wiped_bytes >= offsetof(struct keypair, receiving_key) + KEY_SIZE);
}

static int begin(void **state)
{
	(void)state;
	rcu_register_thread();
	return 0;
}

static int end(void **state)
{
	(void)state;
	rcu_unregister_thread();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_use_after_reject_after_time),
		cmocka_unit_test(no_counter_beyond_reject_after_messages),
		cmocka_unit_test(counters_left_to_another_process_are_never_used),
		cmocka_unit_test(retired_keys_are_wiped),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
