/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "datapath/scheduling.h"
#include "protocol/limits.h"

#define WINDOW (5 * NSEC_PER_MSEC)

/* Runs so many windows, with so many packets of this size in each; returns the decision. */
static bool go_on(struct scheduling *p, unsigned int windows, uint64_t packets, uint64_t size)
{
	static uint64_t now, all_packets, all_bytes;
	bool many_small = p->many_small;

	while (windows--) {
		now += WINDOW;
		all_packets += packets;
		all_bytes += packets * size;
		many_small = scheduling_many_small_packets(p, now, all_packets, all_bytes);
	}
	return many_small;
}

static void many_small_ones(void **state)
{
	struct scheduling p = {0};

	(void)state;
	assert_false(go_on(&p, 2, 0, 0));
	assert_false(go_on(&p, 1, 50, 100)); /* few */
	assert_true(go_on(&p, 1, 600, 150)); /* HTTP */
	assert_true(go_on(&p, 1, 600, 1300));
	assert_false(go_on(&p, 1, 125, 32000)); /* TCP */
	assert_true(go_on(&p, 1, 600, 64));
	assert_false(go_on(&p, 1, 0, 0));
}

static void within_a_window(void **state)
{
	struct scheduling p = {0};

	(void)state;
	assert_true(scheduling_many_small_packets(&p, WINDOW, 1000, 64000));
	/* There is no new decision before the window ends. */
	assert_true(scheduling_many_small_packets(&p, 2 * WINDOW - 1, 1000, 64000));
	assert_false(scheduling_many_small_packets(&p, 2 * WINDOW, 1000, 64000));
	assert_false(scheduling_many_small_packets(&p, 3 * WINDOW - 1, 9000, 640000));
	assert_true(scheduling_many_small_packets(&p, 3 * WINDOW, 9000, 640000));
}

/* A second of sleep, then packets: on average over that time, they were few. */
static void after_a_sleep(void **state)
{
	struct scheduling p = {0};

	(void)state;
	assert_true(scheduling_many_small_packets(&p, WINDOW, 1000, 64000));
	assert_false(scheduling_many_small_packets(&p, WINDOW + NSEC_PER_SEC, 1101, 70000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_small_ones),
		cmocka_unit_test(within_a_window),
		cmocka_unit_test(after_a_sleep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
