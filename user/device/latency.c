/* SPDX-License-Identifier: Apache-2.0 */
#include "device/latency.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "datapath/scheduling.h"

#define AWAKE "/dev/cpu_dma_latency"

static void note_missing(struct latency *l, const char *what, int err)
{
	const size_t used = strlen(l->missing);

	snprintf(l->missing + used, sizeof(l->missing) - used, "%s%s: %s", used ? "; " : "", what,
		 strerror(-err));
}

/* A descriptor that keeps processors awake until it is closed, or -errno. */
static int keep_awake(void)
{
	const int32_t us = 0;
	int fd = open(AWAKE, O_WRONLY | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	if (write(fd, &us, sizeof(us)) == sizeof(us))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

void latency_set(struct latency *l, bool low)
{
	int err;

	if (low == l->low)
		return;
	if (l->awake)
		close(l->descriptor);
	*l = (struct latency){.low = low};
	if (!low)
		return;
	/* Try it on this thread: workers may do what this thread may do, but cannot report
	 * errors. */
	err = scheduling_set_realtime(true);
	l->first = !err;
	if (err)
		note_missing(l, "workers have no priority over other threads, SCHED_RR", err);
	else
		scheduling_set_realtime(false);
	l->descriptor = keep_awake();
	l->awake = l->descriptor >= 0;
	if (!l->awake)
		note_missing(l, "processors may sleep, " AWAKE, l->descriptor);
}
