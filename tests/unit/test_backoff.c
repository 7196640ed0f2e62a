/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "store/backoff.h"

static uint64_t ms(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_usec / 1000;
}

static void waits_double_up_to_a_bound(void **state)
{
	struct backoff b = {.first_ms = 100, .most_ms = 10000};
	const uint64_t whole[] = {100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000};

	(void)state;
	/* With the largest random number, the wait has its whole length. */
	for (size_t i = 0; i < COUNT_OF(whole); i++)
		assert_int_equal(ms(backoff_next(&b, (uint32_t)whole[i] / 2)), whole[i]);
	for (unsigned int i = 0; i < 100; i++)
		assert_in_range(ms(backoff_next(&b, i)), 5000, 10000);
	backoff_reset(&b);
	assert_in_range(ms(backoff_next(&b, 7)), 50, 100);
}

/* A thousand nodes that lose their store at the same moment come back at different moments. */
static void waits_are_scattered(void **state)
{
	unsigned int quarter[4] = {0};
	uint64_t seed = 1;

	(void)state;
	for (unsigned int i = 0; i < 1000; i++) {
		struct backoff b = {.first_ms = 1000, .most_ms = 10000, .failures = 3};
		const uint64_t wait = ms(backoff_next(&b, draw(&seed)));

		assert_in_range(wait, 4000, 8000);
		quarter[(wait - 4000) * 4 / 4001]++;
	}
	for (unsigned int i = 0; i < 4; i++)
		assert_in_range(quarter[i], 150, 350);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_double_up_to_a_bound),
		cmocka_unit_test(waits_are_scattered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
