/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One side of one device, and the program of guard or shield there: attached so that it runs before
 * everybody else's. By TCX where the kernel has it (Linux 6.6), else as a filter of clsact. What is
 * ours is known by the maps that a program uses, not by where it hangs or who attached it.
 *
 * Making or deleting a clsact qdisc makes the kernel lose what the device is about to send: TCX
 * needs none, and one that is there is never deleted.
 *
 * Thread: control. Errors: negative errno; nothing logged.
 */
#ifndef PROGRAMS_HOOK_H
#define PROGRAMS_HOOK_H

#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stdint.h>

struct hook {
	int ifindex;
	enum bpf_tc_attach_point side;
	int link;		  /* descriptor of the TCX link; -1: none */
	bool old_filters_removed; /* no filters of an older agent are left beside the link */
	bool first;		  /* as seen last: nobody runs before ours */
	/* Who last ran before ours, "?" where the kernel has no name for it; empty: nobody ever. */
	char before[16];
	unsigned int displaced; /* how often ours was put first again */
};

/* Nothing is attached yet. */
void hook_init(struct hook *h, int ifindex, enum bpf_tc_attach_point side);
/* What is attached stays, if the link is pinned or there is none. */
void hook_fini(struct hook *h);

/* This program (its id as well) stands there, and first; an older one of ours gives way to it, with
 * no moment between. The link is pinned as directory/pin. 1: it had to be attached or put first, 0:
 * it was there. -EALREADY: it is not the first, and TCX takes a program only once: call again with
 * another instance of it. */
int hook_repair(struct hook *h, bool tcx, int program, uint32_t id, const char *directory,
		const char *pin);
/* Is something of ours there, whoever attached it? */
bool hook_has_ours(int ifindex, enum bpf_tc_attach_point side);
/* Removes all that is ours there, whoever attached it. */
int hook_detach_all(int ifindex, enum bpf_tc_attach_point side);

#endif
