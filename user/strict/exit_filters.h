/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard (egress) and shield (ingress) on all exits of the node (programs/device_filters.h,
 * strict/exits.h), with the ranges of the plans. exit_filters_apply() adds everything new, before
 * traffic is steered. exit_filters_remove_old() removes what is old, afterwards. The filters stay
 * while a tunnel is switched on, and after the process ends. A new exit gets both programs as soon
 * as its device appears. Thread: control.
 */
#ifndef STRICT_EXIT_FILTERS_H
#define STRICT_EXIT_FILTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "plan/plan.h"
#include "plan/settings.h"
#include "podveil/counters.h"
#include "strict/remote_ranges.h"

struct event_base;
struct exit_filters;
struct tunnel;

int exit_filters_new(struct event_base *base, struct exit_filters **out); /* no filters yet */
void exit_filters_free(struct exit_filters *f, bool remove);

/* uplink 0: removes the filters; until exit_filters_remove_old() they stay, but not in strict mode.
 * 0 or -errno. */
int exit_filters_apply(struct exit_filters *f, int uplink, const struct remote_ranges_input *in);
int exit_filters_remove_old(struct exit_filters *f);
/* Call it twice a second. If a tunnel has encrypted a range's traffic for two seconds, plaintext
 * for the range counts as leaked, as long as a peer has the range. The kernel's maps keep this for
 * the next process. */
void exit_filters_note_encrypted(struct exit_filters *f, struct tunnel *const *tunnels, size_t n);
/* Attaches programs again that are missing or not in front. Returns the number of repairs, or
 * -errno. */
int exit_filters_repair(struct exit_filters *f);
/* Are both programs on all exits, and in front? */
bool exit_filters_in_place(const struct exit_filters *f);
void exit_filters_counters(const struct exit_filters *f,
			   struct pv_counters *sum); /* zero without filters */

/* One exit. The strings belong to the exit filters and are valid until they change. */
struct exit_filter_state {
	const char *name;
	bool in_place;
	const char *before; /* the program that last ran before ours; empty: never one */
};
size_t exit_filters_count(const struct exit_filters *f);
struct exit_filter_state exit_filter_state(const struct exit_filters *f, size_t i);
/* "tcx" or "clsact"; empty: there are no filters. */
const char *exit_filters_method(const struct exit_filters *f);
/* How often another program was found before ours, and ours was moved to the front again. */
uint64_t exit_filters_displaced(const struct exit_filters *f);

/* Removes what a dead process left on any device; or lists it, one line for each device. */
int exit_filters_cleanup(void);
void exit_filters_list(FILE *out);

#endif
