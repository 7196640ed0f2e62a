/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first line of strict mode: what is not to leave is never sent anywhere, what is not to come in
 * goes nowhere. (The second line, programs/device_filters.h and shield, are filters on devices, and have to know
 * how packets are wrapped. This one does not.)
 *
 *   routing    PRIORITY+1: from all lookup 20566
 *              table 20566: `unreachable` for all that is or may be a remote pod's, `throw` for our
 *              own ranges and for nodes' addresses
 *   ip_filter  the table `inet podveil` of nftables: see there
 *
 * The rule comes behind that of the tunnels, and has no selector. So a packet that found its way into
 * a tunnel never comes here; every other one does, marked or not, whether or not that rule, its
 * table, its routes or the tunnel are there. Neither part refers to a device's index, an uplink or a
 * process: they stay where they are, whatever comes and goes.
 *
 * All is found by what it is, and needs no settings to be removed. Thread: control.
 */
#ifndef STRICT_FIRST_LINE_H
#define STRICT_FIRST_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "plan/plan.h"
#include "plan/settings.h"
#include "strict/ip_filter.h"

/* Not among those that people and Felix use (1 to 250). */
#define FIRST_LINE_TABLE 20566

struct first_line;

struct first_line *first_line_new(void);    /* NULL: no memory */
void first_line_free(struct first_line *f); /* what is in the kernel stays */

struct first_line_input {
	const struct settings *settings;
	const struct plan *plans;
	size_t n_plans;
	const struct node_record *const *nodes; /* all, ourselves among them */
	size_t n_nodes;
};

/* Before the store was read: what settings alone say is added, and nothing is taken away. `self`:
 * our own record, as far as it is known. 0 or -errno; logged. */
int first_line_apply_settings(struct first_line *f, const struct settings *s,
			      const struct node_record *self);
/* In strict mode it is made as the input says; else it goes, but for what host encryption needs of
 * it. Call it before anything is steered or sent, and first_line_remove_old() after: a rule that is to stand
 * further in front moves only then, when the tunnels' rule did. 0 or -errno:
 * logged; first_line_get_state() says which part does not stand. */
int first_line_apply(struct first_line *f, const struct first_line_input *in);
int first_line_remove_old(struct first_line *f);
/* How many things were put back, or -errno. `network`: routes and rules, too, which have news. */
int first_line_repair(struct first_line *f, bool network);

struct first_line_state {
	bool wanted;			/* strict mode */
	bool routing, ip_filter;	/* stand */
	struct ip_filter_drops dropped; /* by ip_filter; routing tells the senders, not us */
};
struct first_line_state first_line_get_state(const struct first_line *f);

/* Of this process or of an earlier one. */
bool first_line_exists(void);
/* Everything goes, whoever made it and whatever the settings were. */
int first_line_cleanup(void);

#endif
