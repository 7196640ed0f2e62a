/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The egress filter (guard) and the ingress filter (shield) on all exits of the node
 * (programs/device_filters.h, strict/exits.h), with the ranges that follow from the plans.
 * exit_filters_apply() adds everything new before traffic is steered; exit_filters_remove_old()
 * removes what is old afterwards. The filters stay as long as a tunnel is switched on, and outlive
 * the process. A device that appears, or becomes an exit, gets both programs at once. Thread:
 * control.
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

struct event_base;
struct exit_filters;
struct tunnel;

int exit_filters_new(struct event_base *base, struct exit_filters **out); /* no filters yet */
void exit_filters_free(struct exit_filters *f, bool remove);

struct exit_filters_input {
	const struct settings *settings;
	const struct plan *plans; /* of IPv4, and of IPv6 */
	size_t n_plans;
	const struct node_record *const *nodes; /* all, ourselves among them */
	size_t n_nodes;
};

/* uplink 0: the filters shall go. Until exit_filters_remove_old() they stay, but are not strict. */
int exit_filters_apply(struct exit_filters *f, int uplink, const struct exit_filters_input *in);
int exit_filters_remove_old(struct exit_filters *f);
/* Twice a second. Where a tunnel has encrypted for two seconds, a packet in plain counts as leaked
 * from then on, for as long as the range is a peer's. The kernel keeps this from one process to the
 * next. */
void exit_filters_note_encrypted(struct exit_filters *f, struct tunnel *const *tunnels, size_t n);
/* How many programs had to be attached again, or put before others', or -errno. */
int exit_filters_repair(struct exit_filters *f);
/* On all exits, and first there. */
bool exit_filters_in_place(const struct exit_filters *f);
void exit_filters_counters(const struct exit_filters *f,
			   struct pv_counters *sum); /* zero without filters */

/* One exit; the texts are the fence's, until it changes. */
struct exit_filter_state {
	const char *name;
	bool stands;
	const char *before; /* somebody's program that last ran before ours; empty: never one */
};
size_t exit_filters_count(const struct exit_filters *f);
struct exit_filter_state exit_filter_state(const struct exit_filters *f, size_t i);
/* "tcx", "clsact", or empty: it does not stand. */
const char *exit_filters_method(const struct exit_filters *f);
/* How often somebody's program was found before ours, and ours was put first again. */
uint64_t exit_filters_displaced(const struct exit_filters *f);

/* What a dead process left, on whatever device, goes; or is listed, a line each. */
int exit_filters_cleanup(void);
void exit_filters_list(FILE *out);

#endif
