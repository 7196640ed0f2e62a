/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a worker runs before other threads (SCHED_RR) or like them (SCHED_OTHER). Under
 * SCHED_OTHER a worker may wait for a processor for a whole tick of 4 ms (250 Hz), even if it needs
 * little time: a ping beside a full TCP stream takes 5.2 ms (p99, two cores), and 0.9 ms under
 * SCHED_RR.
 *
 * But with many small packets, a worker under SCHED_RR handles each packet alone, and the programs
 * that send and receive get too little processor time: HTTP over 100 connections 36 instead of 70
 * kreq/s, UDP 1300 B 60 instead of 140 kpkt/s. So the worker then goes back to SCHED_OTHER. The
 * cost of SCHED_RR otherwise: TCP over one stream 4 to 9 %, over four streams 6 to 8 %, both ways
 * nothing (two runs).
 *
 * Each worker has its own struct scheduling; only its thread uses it.
 */
#ifndef DATAPATH_SCHEDULING_H
#define DATAPATH_SCHEDULING_H

#include <stdbool.h>
#include <stdint.h>

struct scheduling {
	bool realtime; /* the thread is under SCHED_RR */
	bool many_small;
	uint64_t since, packets, bytes; /* when the window began, and the counters at that time */
};

/* Were there many small packets in the last window? `packets` (a superpacket counts as one) and
 * `bytes` are totals of both directions at the time `now` (monotonic ns). The answer changes at
 * most once per window. Pure. */
bool scheduling_many_small_packets(struct scheduling *p, uint64_t now, uint64_t packets,
				   uint64_t bytes);

/* Puts the calling thread under SCHED_RR or SCHED_OTHER. 0 or -errno: -EPERM without CAP_SYS_NICE,
 * or if the cgroup has no realtime budget. */
int scheduling_set_realtime(bool realtime);

#endif
