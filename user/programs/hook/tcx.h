/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCX (Linux 6.6): an ordered list of BPF programs on a device, which run before all clsact
 * filters. Each program is attached by a link. The program stays while somebody holds the link's
 * descriptor, or while the link is pinned; `tc` cannot remove it. libbpf supports TCX since 1.3,
 * but Debian 12 has 1.1. So this calls bpf(2) directly.
 *
 * Thread: any. Errors: negative errno; nothing logged.
 */
#ifndef HOOK_TCX_H
#define HOOK_TCX_H

#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stdint.h>

struct tcx_entry {
	uint32_t program, link; /* ids; link 0: attached without a link */
};

/* Does this kernel support TCX? */
bool tcx_supported(void);
/* Attaches in front of all other programs. Returns the link's descriptor; the caller closes it.
 * -EEXIST: the same program is attached there already, at any place. */
int tcx_attach_first(int ifindex, enum bpf_tc_attach_point side, int program);
/* Lists the programs in the order in which they run. *n: room of `out`; on return the number of
 * entries. -ENOSPC: there are more. */
int tcx_list(int ifindex, enum bpf_tc_attach_point side, struct tcx_entry *out, uint32_t *n);
/* Detaches the link with this id, even if somebody still holds its descriptor. */
int tcx_detach(uint32_t link);

#endif
