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
#ifndef PROGRAMS_DEVICE_FILTERS_H
#define PROGRAMS_DEVICE_FILTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"
#include "podveil/counters.h"
#include "podveil/guard.h"

struct device_filters;

/* Loads the programs, or takes over the pinned maps of a dead process (/sys/fs/bpf/podveil/guard/)
 * with their content, settings among it. What that process attached stays as it is until
 * device_filters_attach(). */
int device_filters_new(struct device_filters **out);
/* `remove`: detaches from all devices, and unpins. Else everything stays in force. */
void device_filters_free(struct device_filters *g, bool remove);
/* Removes what a dead process left, on whatever device; for --cleanup. 0 also where there is
 * nothing. */
int device_filters_cleanup(void);
/* The devices that have one of the programs, whoever attached it. */
int device_filters_each_device(void (*each)(void *context, const char *device), void *context);

struct filter_device {
	int ifindex;
	bool ethernet; /* packets begin with an Ethernet header; else with that of IP */
};

/* Both programs stand on these devices, first, when it returns 0; one that went away meanwhile is
 * no failure. Older programs of ours give way, with no moment between. What is attached to others
 * stays until device_filters_detach_others(). */
int device_filters_attach(struct device_filters *g, const struct filter_device *wanted, size_t n);
int device_filters_detach_others(struct device_filters *g);

/* Of the devices of device_filters_attach(). */
struct filter_state {
	int ifindex;
	bool stands; /* both programs do, and nobody's runs before them */
	/* Somebody's program that last ran before ours; empty: never one. */
	const char *before;
};
size_t device_filters_count(const struct device_filters *g);
struct filter_state device_filters_state(const struct device_filters *g, size_t i);
/* "tcx" or "clsact". */
const char *device_filters_method(const struct device_filters *g);
/* How often somebody's program was found before ours, and ours was put first again. */
uint64_t device_filters_displaced(const struct device_filters *g);

int device_filters_write_settings(struct device_filters *g,
				  const struct pv_guard_settings *settings);
/* Ranges by longest prefix. Setting a range that is there replaces its kind at once. */
int device_filters_set_range(struct device_filters *g, const struct cidr *range,
			     enum pv_guard_kind kind);
int device_filters_unset_range(struct device_filters *g, const struct cidr *range);
/* Calls back for each range in the maps, e.g. to drop those that a dead process left. */
int device_filters_each_range(struct device_filters *g,
			      void (*each)(const struct cidr *range, enum pv_guard_kind kind,
					   void *context),
			      void *context);
/* Do both programs still stand on all devices, and first? Attaches again what does not. How many
 * had to be, or -errno. */
int device_filters_repair(struct device_filters *g);
/* Sums over slots. */
void device_filters_counters(struct device_filters *g, struct pv_counters *sum);

#endif
