/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first line of strict mode: traffic between pods of different nodes can use only the tunnel.
 * (The second line are the filters on devices, guard and shield; see programs/device_filters.h.
 * They have to understand encapsulations. The first line does not.)
 *
 *   routing    PRIORITY+1: from all lookup 20566
 *              table 20566: `unreachable` for all ranges that are or may be remote pods, `throw`
 *              for our own ranges and for addresses of nodes
 *   ip_filter  the table `inet podveil` of nftables: see ip_filter.h
 *
 * The rule comes after the tunnels' rule and has no selector. A packet that is routed into a tunnel
 * never reaches it. Every other packet does, marked or not, even if the tunnels' rule, their table,
 * their routes or the tunnels are missing. Both parts stay, because they depend on no device index,
 * no uplink and no process.
 *
 * Cleanup finds everything by its own properties and needs no settings. Thread: control.
 */
#ifndef STRICT_FIRST_LINE_H
#define STRICT_FIRST_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "plan/plan.h"
#include "plan/settings.h"
#include "strict/ip_filter.h"
#include "strict/remote_ranges.h"

/* People and Felix use other tables (1 to 250). */
#define FIRST_LINE_TABLE 20566

struct first_line;

struct first_line *first_line_new(void);    /* NULL: no memory */
void first_line_free(struct first_line *f); /* leaves the kernel's state unchanged */

/* Before the store was read: adds what the settings alone require, and removes nothing. `self`: our
 * own record, as far as it is known. 0 or -errno; logged. */
int first_line_apply_settings(struct first_line *f, const struct settings *s,
			      const struct node_record *self);
/* In strict mode, sets both parts as the input requires. Otherwise removes them, except what host
 * encryption needs. Call it before traffic is steered or sent, and first_line_remove_old()
 * afterwards. Only the latter moves the rule to an earlier place: the tunnels' rule must move there
 * first. 0 or -errno; logged. first_line_get_state() tells which part is missing. */
int first_line_apply(struct first_line *f, const struct remote_ranges_input *in);
int first_line_remove_old(struct first_line *f);
/* Puts back what is missing. `network`: check the routes and the rule, too (after a change was
 * reported). Returns the number of repairs, or -errno. */
int first_line_repair(struct first_line *f, bool network);

struct first_line_state {
	bool wanted;			/* strict mode */
	bool routing, ip_filter;	/* in place */
	struct ip_filter_drops dropped; /* by ip_filter only; routing does not count */
};
struct first_line_state first_line_get_state(const struct first_line *f);

/* Is something there, from this process or an earlier one? */
bool first_line_exists(void);
/* Removes everything, whoever made it and whatever the settings were. */
int first_line_cleanup(void);

#endif
