/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is attached at TC of a device that is not ours alone. Thread: control. Errors: negative
 * errno; nothing logged.
 */
#ifndef PROGRAMS_CLSACT_H
#define PROGRAMS_CLSACT_H

#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stdint.h>

struct clsact_filter {
	uint32_t handle; /* 0: no filter, but the head of a list of them */
	uint16_t priority;
	uint32_t program; /* id; 0: no BPF program */
	char name[64];	  /* "PROGRAM:[ID]" where libbpf attached it */
};

/* Calls back for each filter of one side, in the order in which they run. 0 also where there is none, nor a qdisc. */
int clsact_each(int ifindex, enum bpf_tc_attach_point side,
		void (*each)(void *context, const struct clsact_filter *f), void *context);

#endif
