/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two programs on each device that leads out of the node. guard (TC egress) checks that no
 * plaintext for remote pods leaves. shield (TC ingress) checks that no plaintext from remote pods
 * comes in. It also drops malformed WireGuard messages, and marks arriving messages if host
 * encryption needs that. A node has one set of them, with one set of maps, for all tunnels and
 * devices. They stay when the process ends, and the next process takes them over.
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

/* Takes over the programs or maps that a dead process pinned (/sys/fs/bpf/podveil/guard/), with
 * their content and settings; loads what is missing. Programs that the dead process attached stay
 * attached until device_filters_attach(). */
int device_filters_new(struct device_filters **out);
/* `remove`: detaches from all devices and unpins. Otherwise all programs stay attached. */
void device_filters_free(struct device_filters *g, bool remove);
/* Removes what a dead process left on any device; for --cleanup. Returns 0 also if there is
 * nothing. */
int device_filters_cleanup(void);
/* Calls back for each device that has one of the programs, of any process. */
int device_filters_each_device(void (*each)(void *context, const char *device), void *context);

struct filter_device {
	int ifindex;
	bool ethernet; /* packets begin with an Ethernet header; else with an IP header */
};

/* Attaches both programs to these devices, in front of all others. A device that disappears
 * meanwhile is no error. Older programs of ours are replaced without a gap. Programs on other
 * devices stay until device_filters_detach_others(). */
int device_filters_attach(struct device_filters *g, const struct filter_device *wanted, size_t n);
int device_filters_detach_others(struct device_filters *g);

/* The state of the devices that were given to device_filters_attach(). */
struct filter_state {
	int ifindex;
	bool in_place; /* both programs are attached, and in front of all others */
	/* The name of the program that last ran before ours; empty: there was never one. */
	const char *before;
};
size_t device_filters_count(const struct device_filters *g);
struct filter_state device_filters_state(const struct device_filters *g, size_t i);
/* "tcx" or "clsact". */
const char *device_filters_method(const struct device_filters *g);
/* How often another program was found before ours, and ours was moved to the front again. */
uint64_t device_filters_displaced(const struct device_filters *g);

int device_filters_write_settings(struct device_filters *g,
				  const struct pv_guard_settings *settings);
/* Ranges; the longest prefix decides. Setting an existing range replaces its kind atomically. */
int device_filters_set_range(struct device_filters *g, const struct cidr *range,
			     enum pv_guard_kind kind);
int device_filters_unset_range(struct device_filters *g, const struct cidr *range);
/* Calls back for each range in the maps, for example to delete those of a dead process. */
int device_filters_each_range(struct device_filters *g,
			      void (*each)(const struct cidr *range, enum pv_guard_kind kind,
					   void *context),
			      void *context);
/* Attaches again each program that is missing or no longer in front, and repairs the pins. Returns
 * the number of repairs, or -errno. */
int device_filters_repair(struct device_filters *g);
/* The sum over all slots. */
void device_filters_counters(struct device_filters *g, struct pv_counters *sum);

#endif
