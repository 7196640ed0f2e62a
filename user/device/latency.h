/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The setting "low latency" of a device: its workers run before other threads
 * (datapath/scheduling.h), and no processor of this machine enters a deep sleep state, from which
 * it wakes slowly (/dev/cpu_dma_latency, PM QoS). A part that the system does not allow is left out
 * and named in `missing`. Thread: control.
 */
#ifndef DEVICE_LATENCY_H
#define DEVICE_LATENCY_H

#include <stdbool.h>

#define LATENCY_MISSING_TEXT 160

struct latency {
	bool low;   /* as set */
	bool first; /* threads of this process may use SCHED_RR */
	bool awake; /* no processor sleeps deeply while `descriptor` is open */
	int descriptor;
	char missing[LATENCY_MISSING_TEXT]; /* the parts that are not allowed; "": none */
};

/* Switches as much as is allowed on, or everything off. When the process ends, the kernel switches
 * it off. */
void latency_set(struct latency *l, bool low);

#endif
