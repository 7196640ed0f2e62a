/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attaches guard or shield to one side of one device, in front of all other programs. It uses TCX
 * if the kernel has it (Linux 6.6), else a clsact filter. With TCX, a program is ours if it uses
 * our maps, whoever attached it. With clsact, it is ours by handle and name.
 *
 * When a clsact qdisc is created or deleted, the kernel drops the packets that the device is about
 * to send. TCX needs no qdisc; and an existing qdisc is never deleted.
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
	bool old_filters_removed; /* an older agent's filters, beside the link, are removed */
	bool first;		  /* at the last check, no program ran before ours */
	/* The program that last ran before ours; "id:17": its name is not known; empty: never
	 * one. */
	char before[16];
	unsigned int displaced; /* how often ours was moved to the front */
};

/* Nothing is attached yet. */
void hook_init(struct hook *h, int ifindex, enum bpf_tc_attach_point side);
/* The attached program stays if its link is pinned, or if it is a filter. */
void hook_fini(struct hook *h);

/* Makes sure that this program (`id` is its id) is attached, and in front. It replaces an older
 * program of ours without a gap. The link is pinned as directory/pin. 1: it was attached or moved
 * to the front. 0: it was in front already. -EALREADY: it is not in front, and TCX accepts a
 * program only once per device side: call again with another instance of it. */
int hook_repair(struct hook *h, bool tcx, int program, uint32_t id, const char *directory,
		const char *pin);
/* Is a program of ours attached there, by any process? */
bool hook_has_ours(int ifindex, enum bpf_tc_attach_point side);
/* Removes all programs of ours there, of any process. */
int hook_detach_all(int ifindex, enum bpf_tc_attach_point side);

#endif
