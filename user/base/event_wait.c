/* SPDX-License-Identifier: Apache-2.0 */
#include "base/event_wait.h"

#include <errno.h>
#include <event2/event.h>

static void on_timeout(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	*(bool *)context = true;
}

void event_wait(struct event_base *base, unsigned int ms, bool (*over)(void *context),
		void *context)
{
	const struct timeval so_long = {ms / 1000, ms % 1000 * 1000};
	bool late = false;
	struct event *timer = evtimer_new(base, on_timeout, &late);

	if (!timer || evtimer_add(timer, &so_long))
		late = true;
	while (!late && !over(context))
		if (event_base_loop(base, EVLOOP_ONCE) < 0)
			break;
	if (timer)
		event_free(timer);
}

int event_pause(struct event_base *base, unsigned int ms)
{
	const struct timeval pause = {ms / 1000, ms % 1000 * 1000};

	event_base_loopexit(base, &pause);
	if (event_base_dispatch(base))
		return -EIO;
	return event_base_got_break(base) ? -ECANCELED : 0;
}
