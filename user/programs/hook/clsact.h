/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists the TC filters of a device that other programs may use, too. Thread: control. Errors:
 * negative errno; nothing logged.
 */
#ifndef HOOK_CLSACT_H
#define HOOK_CLSACT_H

#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stdint.h>

struct clsact_filter {
	uint32_t handle; /* 0: not a filter, but the head of a list of filters */
	uint16_t priority;
	uint32_t program; /* id; 0: no BPF program */
	char name[64];	  /* "PROGRAM:[ID]" if libbpf attached it */
};

/* Calls back for each filter of one side, in the order in which they run. Returns 0 also if there
 * is no filter or no qdisc. */
int clsact_each(int ifindex, enum bpf_tc_attach_point side,
		void (*each)(void *context, const struct clsact_filter *f), void *context);

#endif
