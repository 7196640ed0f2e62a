/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a worker runs before other threads when it has work (SCHED_RR), or as one of them. As one
 * of them it waits for a processor up to a tick of 4 ms (250 Hz), however little it asks for: a
 * ping beside a full TCP stream takes 5.2 ms (p99, two cores), and 0.9 ms where workers go first.
 *
 * But with many small packets a worker that goes first takes each alone, and those who send and
 * receive them get too little of the processors: HTTP over 100 connections 36 instead of 70 kreq/s,
 * UDP 1300 B 60 instead of 140 kpkt/s. So it then steps back. What it costs where it stays: TCP
 * over one stream 4 to 9 %, over four 6 to 8 %, both ways nothing (two runs).
 *
 * Each worker has its own; its thread's alone.
 */
#ifndef DATAPATH_SCHEDULING_H
#define DATAPATH_SCHEDULING_H

#include <stdbool.h>
#include <stdint.h>

struct scheduling {
	bool realtime; /* the thread is under SCHED_RR */
	bool many_small;
	uint64_t since, packets, bytes; /* when the window began, and what had been by then */
};

/* Looks once in a while what there was to do: `packets` (a superpacket is one) and `bytes` of both
 * ways since ever, at `now` (monotonic ns). Returns whether there were many small ones, lately.
 * Pure. */
bool scheduling_many_small_packets(struct scheduling *p, uint64_t now, uint64_t packets,
				   uint64_t bytes);

/* The calling thread goes first from now on, or no longer. 0 or -errno: -EPERM without
 * CAP_SYS_NICE, or where the cgroup has no realtime budget. */
int scheduling_set_realtime(bool realtime);

#endif
