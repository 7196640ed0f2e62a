/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cryptokey routing (whitepaper section 2): longest prefix match from an address to a remote.
 * Workers look up inside an RCU read side, without a lock. Everything else is for one thread (the
 * device's control thread). The cost of a change does not grow with the number of prefixes. Memory
 * that a change replaces is freed after a grace period.
 */
#ifndef DATAPATH_ALLOWED_IPS_H
#define DATAPATH_ALLOWED_IPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/cidr.h"

struct remote;
struct allowed_ips;
struct allowed_node;

/* The prefixes of one remote (a member of remote.h's struct), in the order of insertion: the order
 * in which `wg` shows them. */
TAILQ_HEAD(allowed_list, allowed_node);

struct allowed_ips *allowed_ips_new(void);
void allowed_ips_free(struct allowed_ips *a); /* no reader may be left */

/* Assigns a prefix to a remote, as its newest. If another remote had the prefix, it loses it and is
 * returned in *previous; else *previous is NULL. -ENOMEM: nothing has changed. -EINVAL: wrong
 * family or length. */
int allowed_ips_insert(struct allowed_ips *a, const struct cidr *cidr, struct remote *owner,
		       struct remote **previous);
/* Removes exactly this prefix from `owner`. -ENOENT: `owner` does not have it. */
int allowed_ips_remove(struct allowed_ips *a, const struct cidr *cidr, const struct remote *owner);
/* Calls `visit` for each prefix of `owner`, oldest first. `visit` must not change anything here. */
void allowed_ips_each(const struct remote *owner,
		      void (*visit)(const struct cidr *cidr, void *context), void *context);
/* The number that the next insertion gets. All prefixes inserted so far have lower numbers. */
uint64_t allowed_ips_inserted(const struct allowed_ips *a);
/* Gives the oldest prefix of `owner` and its number. False: `owner` has no prefix. */
bool allowed_ips_oldest(const struct remote *owner, struct cidr *out, uint64_t *number);

/* RCU read side. `address`: 4 or 16 bytes in network byte order. NULL: no remote has it. */
struct remote *allowed_ips_lookup(const struct allowed_ips *a, int family, const uint8_t *address);

#endif
