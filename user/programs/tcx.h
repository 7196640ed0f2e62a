/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCX (Linux 6.6): BPF programs on a device, in an order of their own, before all of clsact's
 * filters. A program hangs there by a link: it stays as long as somebody holds the link's
 * descriptor or a pin of it, and `tc` cannot remove it. libbpf knows TCX from 1.3 on; Debian 12 has
 * 1.1, so this speaks to bpf(2) itself.
 *
 * Thread: any. Errors: negative errno; nothing logged.
 */
#ifndef PROGRAMS_TCX_H
#define PROGRAMS_TCX_H

#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stdint.h>

struct tcx_entry {
	uint32_t program, link; /* ids; link 0: attached without one */
};

/* Does this kernel have it? */
bool tcx_supported(void);
/* Before all others. The link's descriptor, the caller's to close. -EEXIST: the same program is
 * there already, at whatever place. */
int tcx_attach_first(int ifindex, enum bpf_tc_attach_point side, int program);
/* In the order in which they run. *n: room, then how many; -ENOSPC: there are more. */
int tcx_list(int ifindex, enum bpf_tc_attach_point side, struct tcx_entry *out, uint32_t *n);
/* Whoever holds the link: it leads nowhere from now on. */
int tcx_detach(uint32_t link);

#endif
