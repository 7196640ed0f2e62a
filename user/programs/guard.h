/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two programs on every device by which packets leave the node or come: guard (TC egress: no
 * plaintext for remote pods leaves) and shield (TC ingress: no plaintext in the name of a remote
 * pod gets in; malformed WireGuard messages end here; arriving messages are marked where host
 * encryption needs it). They are one per node, whatever the number of tunnels and devices, with one
 * set of maps; they stay when the process dies, and are taken over by the next.
 *
 * Thread: control. Errors: negative errno; nothing logged.
 */
#ifndef PROGRAMS_GUARD_H
#define PROGRAMS_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"
#include "podveil/counters.h"
#include "podveil/guard.h"

struct guard;

/* Loads the programs, or takes over the pinned maps of a dead process (/sys/fs/bpf/podveil/guard/)
 * with their content, settings among it. What that process attached stays as it is until
 * guard_cover(). */
int guard_new(struct guard **out);
/* `remove`: detaches from all devices, and unpins. Else everything stays in force. */
void guard_free(struct guard *g, bool remove);
/* Removes what a dead process left, on whatever device; for --cleanup. 0 also where there is
 * nothing. */
int guard_cleanup(void);
/* The devices that have one of the programs, whoever attached it. */
int guard_devices(void (*each)(void *context, const char *device), void *context);

struct guard_device {
	int ifindex;
	bool ethernet; /* packets begin with an Ethernet header; else with that of IP */
};

/* Both programs stand on these devices, first, when it returns 0; one that went away meanwhile is
 * no failure. Older programs of ours give way, with no moment between. What is attached to others
 * stays until guard_leave_others(). */
int guard_cover(struct guard *g, const struct guard_device *wanted, size_t n);
int guard_leave_others(struct guard *g);

/* Of the devices of guard_cover(). */
struct guard_state {
	int ifindex;
	bool stands; /* both programs do, and nobody's runs before them */
	/* Somebody's program that last ran before ours; empty: never one. */
	const char *before;
};
size_t guard_n_devices(const struct guard *g);
struct guard_state guard_device_state(const struct guard *g, size_t i);
/* "tcx" or "clsact". */
const char *guard_method(const struct guard *g);
/* How often somebody's program was found before ours, and ours was put first again. */
uint64_t guard_displaced(const struct guard *g);

int guard_settings(struct guard *g, const struct pv_guard_settings *settings);
/* Ranges by longest prefix. Setting a range that is there replaces its kind at once. */
int guard_set(struct guard *g, const struct cidr *range, enum pv_guard_kind kind);
int guard_unset(struct guard *g, const struct cidr *range);
/* Calls back for each range in the maps, e.g. to drop those that a dead process left. */
int guard_each(struct guard *g,
	       void (*each)(const struct cidr *range, enum pv_guard_kind kind, void *context),
	       void *context);
/* Do both programs still stand on all devices, and first? Attaches again what does not. How many
 * had to be, or -errno. */
int guard_mend(struct guard *g);
/* Sums over slots. */
void guard_counters(struct guard *g, struct pv_counters *sum);

#endif
