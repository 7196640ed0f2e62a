/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/schedule.h"

#include <errno.h>
#include <event2/event.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "netlink/route.h"
#include "protocol/limits.h"

/* How often to check things for which the kernel sends no notification. */
#define TICK_MS 500
/* Notifications come in bursts: wait this long before acting. */
#define DEBOUNCE_MS 20
/* Passes that take longer than CHEAP_PASS_MS get at most a fifth of the time. */
#define CHEAP_PASS_MS	   10
#define PASS_SHARE	   4
#define MOST_PASS_PAUSE_MS 400

struct schedule {
	struct schedule_params params;
	bool started;
	bool passed;  /* a pass has run, with or without success */
	bool stopped; /* for good; then `started` stays false */
	struct route_watch *watch;
	struct event *on_news, *on_debounced, *on_tick, *on_change;
	uint64_t repair_cost;  /* ns that the last repair of the network took */
	uint64_t last_pass;    /* ns that the last pass took */
	uint64_t pass_cost;    /* ns that both of the last two took: one may have made devices */
	uint64_t pass_end;     /* when it ended */
	unsigned int failures; /* passes that failed in a row */
	unsigned int pause;    /* ticks until the next pass */
};

static void soon(struct event *e, unsigned int ms)
{
	const struct timeval delay = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};

	if (!evtimer_pending(e, NULL))
		evtimer_add(e, &delay);
}

/* --- passes --- */

/* The time of this thread on a processor, ns: what others take does not make a pass expensive. */
static uint64_t own_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

static void run_pass(struct schedule *s)
{
	const uint64_t begin = own_time();
	const int err = s->params.pass(s->params.context);
	const uint64_t took = own_time() - begin;

	s->passed = true;
	s->pass_end = clock_now();
	s->pass_cost = took < s->last_pass ? took : s->last_pass;
	s->last_pass = took;
	if (!err) {
		s->failures = 0;
		return;
	}
	/* Pause longer after each failure, since each one is logged. */
	s->pause = 1u << (s->failures < 6 ? s->failures : 6);
	s->failures++;
}

static void on_change(evutil_socket_t fd, short what, void *context)
{
	struct schedule *s = context;

	(void)fd;
	(void)what;
	if (s->started)
		run_pass(s);
}

/* In a large cluster a pass is expensive, and its pods change all the time. So the changes of a while
 * are applied together. The first one after a rest is applied at once. In ms. */
static unsigned int pass_pause(const struct schedule *s)
{
	const uint64_t pause = s->pass_cost * PASS_SHARE, rested = clock_now() - s->pass_end;

	if (s->pass_cost < CHEAP_PASS_MS * NSEC_PER_MSEC || rested >= pause)
		return 0;
	return (unsigned int)((pause - rested) / NSEC_PER_MSEC);
}

void schedule_pass(struct schedule *s)
{
	const unsigned int pause = pass_pause(s);

	/* libevent counts from its own time, which may be from before the pass. */
	if (pause)
		event_base_update_cache_time(s->params.base);
	if (!s->stopped)
		soon(s->on_change, pause < MOST_PASS_PAUSE_MS ? pause : MOST_PASS_PAUSE_MS);
}

void schedule_start(struct schedule *s)
{
	s->started = !s->stopped;
	schedule_pass(s);
}

void schedule_stop(struct schedule *s)
{
	s->stopped = true;
	s->started = false;
}

bool schedule_failing(const struct schedule *s)
{
	return s->failures > 0;
}

/* --- repairing --- */

static void repair(struct schedule *s, bool network)
{
	if (s->params.repair(s->params.context, network) && !s->failures)
		s->failures = s->pause = 1;
}

/* Somebody changed the network. Repair it a little later, when the burst of changes is over. */
static void on_news(evutil_socket_t fd, short what, void *context)
{
	struct schedule *s = context;
	/* With many routes a repair is expensive: spend at most a tenth of the time on it. */
	const unsigned int pause = (unsigned int)(s->repair_cost * 10 / NSEC_PER_MSEC);

	(void)fd;
	(void)what;
	route_watch_drain(s->watch);
	soon(s->on_debounced, pause < DEBOUNCE_MS ? DEBOUNCE_MS
			      : pause > TICK_MS	  ? TICK_MS
						  : pause);
}

static void on_debounced(evutil_socket_t fd, short what, void *context)
{
	struct schedule *s = context;
	const uint64_t begin = clock_now();

	(void)fd;
	(void)what;
	if (!s->started)
		return;
	repair(s, true);
	s->repair_cost = clock_now() - begin;
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
	struct schedule *s = context;

	(void)fd;
	(void)what;
	/* Before the first pass there is nothing to repair and nothing to report. */
	if (!s->started || !s->passed)
		return;
	if (s->failures && !--s->pause)
		run_pass(s);
	repair(s, false);
	s->params.tick(s->params.context);
}

/* --- making and freeing --- */

int schedule_new(const struct schedule_params *params, struct schedule **out)
{
	const struct timeval tick = {0, TICK_MS * 1000};
	struct schedule *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->params = *params;
	err = route_watch_new(false, &s->watch);
	if (err)
		goto fail;
	s->on_news =
		event_new(params->base, route_watch_fd(s->watch), EV_READ | EV_PERSIST, on_news, s);
	s->on_debounced = evtimer_new(params->base, on_debounced, s);
	s->on_change = evtimer_new(params->base, on_change, s);
	s->on_tick = event_new(params->base, -1, EV_PERSIST, on_tick, s);
	err = -ENOMEM;
	if (!s->on_news || !s->on_debounced || !s->on_change || !s->on_tick ||
	    event_add(s->on_news, NULL) || event_add(s->on_tick, &tick))
		goto fail;
	*out = s;
	return 0;
fail:
	schedule_free(s);
	return err;
}

void schedule_free(struct schedule *s)
{
	if (!s)
		return;
	if (s->on_news)
		event_free(s->on_news);
	if (s->on_debounced)
		event_free(s->on_debounced);
	if (s->on_change)
		event_free(s->on_change);
	if (s->on_tick)
		event_free(s->on_tick);
	route_watch_free(s->watch);
	free(s);
}
