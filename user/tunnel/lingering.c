/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/lingering.h"

#include <errno.h>

/* s */
#define QUIET		5
#define QUIET_WITH_KEYS 30
#define MOST		120

int lingering_begin(struct lingering *l, struct event_base *base, uint64_t packets,
		    event_callback_fn each_second, void *context)
{
	const struct timeval second = {1, 0};

	l->seconds = l->quiet = 0;
	l->packets = packets;
	if (!l->timer)
		l->timer = event_new(base, -1, EV_PERSIST, each_second, context);
	return l->timer && !event_add(l->timer, &second) ? 0 : -ENOMEM;
}

bool lingering_second(struct lingering *l, uint64_t packets)
{
	l->seconds++;
	l->quiet = packets == l->packets ? l->quiet + 1 : 0;
	l->packets = packets;
	return l->quiet >= (l->others_have_keys ? QUIET_WITH_KEYS : QUIET) || l->seconds >= MOST;
}

void lingering_end(struct lingering *l)
{
	if (l->timer)
		evtimer_del(l->timer);
}

void lingering_fini(struct lingering *l)
{
	if (l->timer)
		event_free(l->timer);
	l->timer = NULL;
}
