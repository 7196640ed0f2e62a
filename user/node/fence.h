/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fence around the node: guard and shield on the uplink (bpf/guard.h), with the ranges that
 * follow from the plans. It is raised before traffic is steered, with all that is new, and settled
 * after, when what is old may go; it stands as long as a tunnel is switched on, and outlives the
 * process. Thread: control.
 */
#ifndef NODE_FENCE_H
#define NODE_FENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "node/plan.h"
#include "node/settings.h"
#include "podveil/counters.h"

struct fence;

struct fence *fence_new(void); /* not raised; NULL: no memory */
void fence_free(struct fence *f, bool remove);

/* uplink 0: it shall fall. Until fence_settle() it only lets more pass then. */
int fence_raise(struct fence *f, int uplink, const struct settings *s, const struct plan *plans,
		size_t n_plans);
int fence_settle(struct fence *f);
/* How many programs had to be attached again, or -errno. */
int fence_mend(struct fence *f);
bool fence_stands(const struct fence *f);
void fence_counters(const struct fence *f,
		    struct pv_counters *sum); /* zero where it does not stand */
/* What a dead process left, on whatever device, goes; or is listed, a line each. */
int fence_cleanup(void);
void fence_list(FILE *out);

#endif
