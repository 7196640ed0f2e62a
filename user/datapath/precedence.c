/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/precedence.h"

#include <errno.h>
#include <sched.h>

#include "protocol/limits.h"

#define WINDOW (5 * NSEC_PER_MSEC)
/* What tells TCP at full speed from HTTP and UDP: TCP has 25 packets a ms, acknowledgements
 * counted in, but of 30 KiB on average; HTTP and UDP have more than 100, of up to 1.4 KiB. */
#define MANY  20   /* a ms */
#define SMALL 4096 /* bytes, on average */

bool precedence_look(struct precedence *p, uint64_t now, uint64_t packets, uint64_t bytes)
{
	const uint64_t took = now - p->since, n = packets - p->packets, b = bytes - p->bytes;

	if (took < WINDOW)
		return p->many_small;
	/* After a sleep a window is as long as that was. */
	p->many_small = n * NSEC_PER_MSEC > MANY * took && b < n * SMALL;
	p->since = now;
	p->packets = packets;
	p->bytes = bytes;
	return p->many_small;
}

int precedence_set(bool first)
{
	const struct sched_param p = {.sched_priority =
					      first ? sched_get_priority_min(SCHED_RR) : 0};

	return sched_setscheduler(0, first ? SCHED_RR : SCHED_OTHER, &p) ? -errno : 0;
}
