/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two programs on the uplink: guard (TC egress: no plaintext for remote pods leaves) and shield
 * (TC ingress: no plaintext in the name of a remote pod gets in; malformed WireGuard messages end
 * here; arriving messages are marked where host encryption needs it). They are one per node,
 * whatever the number of tunnels, stay when the process dies, and are taken over by the next.
 *
 * Thread: control. Errors: negative errno; nothing logged.
 */
#ifndef BPF_GUARD_H
#define BPF_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "netlink/cidr.h"
#include "podveil/counters.h"
#include "podveil/guard.h"

struct guard;

/* Loads the programs, or takes over the pinned maps of a dead process (/sys/fs/bpf/podveil/guard/)
 * with their content, and attaches both to the uplink, replacing what a dead process attached.
 * Attached programs are never absent in between. `settings`: as they shall be from the first
 * packet. */
int guard_new(int uplink_ifindex, const struct pv_guard_settings *settings, struct guard **out);
/* `remove`: detaches, unpins, and deletes the clsact qdisc if we made it and nobody else uses it.
 * Else everything stays in force. */
void guard_free(struct guard *g, bool remove);
/* Removes what a dead process left, on whatever device. 0 also where there is nothing. */
int guard_cleanup(void);
/* The devices that have one of the programs. */
int guard_devices(void (*each)(void *context, const char *device), void *context);

int guard_settings(struct guard *g, const struct pv_guard_settings *settings);
/* Ranges by longest prefix. Setting a range that is there replaces its kind at once. */
int guard_set(struct guard *g, const struct cidr *range, enum pv_guard_kind kind);
int guard_unset(struct guard *g, const struct cidr *range);
/* Calls back for each range in the maps, e.g. to drop those that a dead process left. */
int guard_each(struct guard *g,
	       void (*each)(const struct cidr *range, enum pv_guard_kind kind, void *context),
	       void *context);
/* Are both programs still attached? Attaches again what is not. 1: had to, 0: was there, or -errno.
 */
int guard_mend(struct guard *g);
/* Sums over slots. */
void guard_counters(struct guard *g, struct pv_counters *sum);

#endif
