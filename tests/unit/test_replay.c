/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "protocol/replay.h"

/* RFC 6479 uses one word of the bitmap so that it never has to clear bits inside the window. */
#define WINDOW (REPLAY_WINDOW - REPLAY_WORD_BITS)

static void edges(void **state)
{
	struct replay r = {0};

	(void)state;
	assert_true(replay_accept(&r, 0));
	assert_false(replay_accept(&r, 0));
	assert_true(replay_accept(&r, 1));
	assert_true(replay_accept(&r, 9));
	assert_true(replay_accept(&r, 8));
	assert_false(replay_accept(&r, 9));
	assert_false(replay_accept(&r, 8));
	assert_true(replay_accept(&r, WINDOW));
	assert_true(replay_accept(&r, WINDOW - 1));
	assert_false(replay_accept(&r, WINDOW - 1));
	assert_true(replay_accept(&r, 2));
	assert_true(replay_accept(&r, WINDOW + 16));
	assert_false(replay_accept(&r, 3)); /* too old by now */
	assert_true(replay_accept(&r, WINDOW + 16 - (WINDOW - 1)));
	assert_false(replay_accept(&r, WINDOW + 16));
}

static void far_ahead_and_back(void **state)
{
	struct replay r = {0};

	(void)state;
	assert_true(replay_accept(&r, 5));
	assert_true(replay_accept(&r, 1000000));
	assert_false(replay_accept(&r, 5));
	for (uint64_t i = 1000000 - WINDOW + 1; i < 1000000; i++)
		assert_true(replay_accept(&r, i));
	for (uint64_t i = 1000000 - 2 * WINDOW; i <= 1000000; i++)
		assert_false(replay_accept(&r, i));
}

static void the_end_of_counters(void **state)
{
	struct replay r = {0};

	(void)state;
	assert_true(replay_accept(&r, REJECT_AFTER_MESSAGES - 1));
	assert_false(replay_accept(&r, REJECT_AFTER_MESSAGES));
	assert_false(replay_accept(&r, UINT64_MAX));
	assert_false(replay_accept(&r, REJECT_AFTER_MESSAGES - 1));
	assert_true(replay_accept(&r, REJECT_AFTER_MESSAGES - 2));
}

/* A simple model that remembers each counter. */
#define SPAN 60000

static void against_a_model(void **state)
{
	static bool seen[SPAN];
	struct replay r = {0};
	uint64_t random = 7, top = 0;
	bool any = false;

	(void)state;
	memset(seen, 0, sizeof(seen));
	for (unsigned int i = 0; i < 300000; i++) {
		uint64_t jump = draw(&random) % 100 ? 40 : 3 * WINDOW;
		uint64_t back = draw(&random) % 10 ? 100 : 2 * WINDOW;
		uint64_t counter = top + draw(&random) % jump;

		back = draw(&random) % back;
		counter = counter > back ? counter - back : 0;
		if (counter >= SPAN)
			break;
		bool fresh = !seen[counter] && (!any || counter > top || top - counter < WINDOW);

		if (replay_accept(&r, counter) != fresh)
			fail_msg("counter %lu, greatest %lu", counter, top);
		if (fresh) {
			seen[counter] = true;
			any = true;
			if (counter > top)
				top = counter;
		}
	}
	assert_true(top > 4 * WINDOW);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edges),
		cmocka_unit_test(far_ahead_and_back),
		cmocka_unit_test(the_end_of_counters),
		cmocka_unit_test(against_a_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
