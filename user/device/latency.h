/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Low latency, as a setting of a device: its workers run before other threads
 * (datapath/scheduling.h), and no processor of this machine sleeps so deeply that waking it takes
 * time (/dev/cpu_dma_latency, PM QoS). What of that cannot be had is left out and named. The
 * control thread's.
 */
#ifndef DEVICE_LATENCY_H
#define DEVICE_LATENCY_H

#include <stdbool.h>

#define LATENCY_MISSING_TEXT 160

struct latency {
	bool low;   /* as asked for */
	bool first; /* threads of this process may go first */
	bool awake; /* no processor sleeps while `descriptor` is open */
	int descriptor;
	char missing[LATENCY_MISSING_TEXT]; /* "": nothing */
};

/* Takes what there is, or gives it back. A process that dies gives it back, too. */
void latency_set(struct latency *l, bool low);

#endif
