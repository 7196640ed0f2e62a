/* SPDX-License-Identifier: Apache-2.0 */
/* When passes run: after expensive ones there is a pause, in which requests are collected. */
#include <event2/event.h>
#include <stdint.h>
#include <time.h>

#include "agent/schedule.h"
#include "base/clock.h"
#include "check.h"
#include "protocol/limits.h"

#define PASSES 4

struct world {
	struct event_base *base;
	struct schedule *schedule;
	struct event *request;
	uint64_t cost; /* of a pass, ns of a processor */
	uint64_t begin[PASSES], end[PASSES];
	int n;
};

static uint64_t own_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

static int pass(void *context)
{
	struct world *w = context;
	const uint64_t until = own_time() + w->cost;

	w->begin[w->n] = clock_now();
	while (own_time() < until)
		;
	w->end[w->n++] = clock_now();
	if (w->n == PASSES)
		event_base_loopbreak(w->base);
	return 0;
}

static int repair(void *context, bool network)
{
	(void)context;
	(void)network;
	return 0;
}

static void tick(void *context)
{
	(void)context;
}

static void on_request(evutil_socket_t fd, short what, void *context)
{
	struct world *w = context;

	(void)fd;
	(void)what;
	schedule_pass(w->schedule);
}

static void run(struct world *w)
{
	const struct timeval every = {0, 1000};
	const struct schedule_params params = {
		.base = w->base = event_base_new(),
		.pass = pass,
		.repair = repair,
		.tick = tick,
		.context = w,
	};

	assert_int_equal(schedule_new(&params, &w->schedule), 0);
	w->request = event_new(w->base, -1, EV_PERSIST, on_request, w);
	event_add(w->request, &every);
	schedule_start(w->schedule);
	event_base_dispatch(w->base);
	assert_int_equal(w->n, PASSES);
	event_free(w->request);
	schedule_free(w->schedule);
	event_base_free(w->base);
}

static void slow_passes_get_a_fifth_of_the_time(void **state)
{
	struct world w = {.cost = 50 * NSEC_PER_MSEC};

	(void)state;
	run(&w);
	/* The first pass is not enough: it may have been slow because it made the devices. Timers
	 * may be some ms early, because libevent reads a coarse clock. */
	for (int i = 2; i < PASSES; i++)
		assert_true(w.begin[i] - w.end[i - 1] >= 3 * w.cost);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slow_passes_get_a_fifth_of_the_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
