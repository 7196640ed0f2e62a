/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fence around the node: guard and shield on all of its exits (programs/guard.h, strict/exits.h), with
 * the ranges that follow from the plans. It is raised before traffic is steered, with all that is
 * new, and settled after, when what is old may go; it stands as long as a tunnel is switched on,
 * and outlives the process. A device that comes, or becomes an exit, has both programs at once.
 * Thread: control.
 */
#ifndef STRICT_FENCE_H
#define STRICT_FENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "plan/plan.h"
#include "plan/settings.h"
#include "podveil/counters.h"

struct event_base;
struct fence;
struct tunnel;

int fence_new(struct event_base *base, struct fence **out); /* not raised */
void fence_free(struct fence *f, bool remove);

struct fence_input {
	const struct settings *settings;
	const struct plan *plans; /* of IPv4, and of IPv6 */
	size_t n_plans;
	const struct node_record *const *nodes; /* all, ourselves among them */
	size_t n_nodes;
};

/* uplink 0: it shall fall. Until fence_settle() it only lets more pass then. */
int fence_raise(struct fence *f, int uplink, const struct fence_input *in);
int fence_settle(struct fence *f);
/* Twice a second. Where a tunnel has encrypted for two seconds, a packet in plain counts as leaked
 * from then on, for as long as the range is a peer's. The kernel keeps this from one process to the
 * next. */
void fence_note_encrypted(struct fence *f, struct tunnel *const *tunnels, size_t n);
/* How many programs had to be attached again, or put before others', or -errno. */
int fence_mend(struct fence *f);
/* On all exits, and first there. */
bool fence_stands(const struct fence *f);
void fence_counters(const struct fence *f,
		    struct pv_counters *sum); /* zero where it does not stand */

/* One exit; the texts are the fence's, until it changes. */
struct fence_exit {
	const char *name;
	bool stands;
	const char *before; /* somebody's program that last ran before ours; empty: never one */
};
size_t fence_n_exits(const struct fence *f);
struct fence_exit fence_exit(const struct fence *f, size_t i);
/* "tcx", "clsact", or empty: it does not stand. */
const char *fence_method(const struct fence *f);
/* How often somebody's program was found before ours, and ours was put first again. */
uint64_t fence_displaced(const struct fence *f);

/* What a dead process left, on whatever device, goes; or is listed, a line each. */
int fence_cleanup(void);
void fence_list(FILE *out);

#endif
