/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/scheduling.h"

#include <errno.h>
#include <sched.h>

#include "protocol/limits.h"

#define WINDOW (5 * NSEC_PER_MSEC)
/* How to tell TCP at full speed from HTTP and UDP: TCP has 25 packets per ms, including
 * acknowledgements, of 30 KiB on average. HTTP and UDP have more than 100, of up to 1.4 KiB. */
#define MANY  20   /* packets per ms */
#define SMALL 4096 /* bytes, on average */

bool scheduling_many_small_packets(struct scheduling *p, uint64_t now, uint64_t packets,
				   uint64_t bytes)
{
	const uint64_t took = now - p->since, n = packets - p->packets, b = bytes - p->bytes;

	if (took < WINDOW)
		return p->many_small;
	/* `took` is longer than WINDOW if the worker slept. */
	p->many_small = n * NSEC_PER_MSEC > MANY * took && b < n * SMALL;
	p->since = now;
	p->packets = packets;
	p->bytes = bytes;
	return p->many_small;
}

int scheduling_set_realtime(bool realtime)
{
	const struct sched_param p = {.sched_priority =
					      realtime ? sched_get_priority_min(SCHED_RR) : 0};

	return sched_setscheduler(0, realtime ? SCHED_RR : SCHED_OTHER, &p) ? -errno : 0;
}
