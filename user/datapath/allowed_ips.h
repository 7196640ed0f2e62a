/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cryptokey routing (whitepaper section 2): longest prefix match from an address to a remote.
 * Look-ups run in workers inside an RCU read side, without a lock. Everything else is for one
 * thread (the device's control thread), and costs the same however many prefixes there are. Memory
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

/* What one remote has, part of it (remote.h). In the order of insertion, as `wg` shows it. */
TAILQ_HEAD(allowed_list, allowed_node);

struct allowed_ips *allowed_ips_new(void);
void allowed_ips_free(struct allowed_ips *a); /* no reader may be left */

/* Assigns a prefix to a remote, as its newest, taking it from whoever had it (that one is returned
 * in *previous, else NULL). -ENOMEM leaves everything as it was; -EINVAL: family or length. */
int allowed_ips_insert(struct allowed_ips *a, const struct cidr *cidr, struct remote *owner,
		       struct remote **previous);
/* Removes exactly this prefix where `owner` has it. -ENOENT otherwise. */
int allowed_ips_remove(struct allowed_ips *a, const struct cidr *cidr, const struct remote *owner);
/* Calls `visit` for each prefix of `owner`, oldest first. The visitor changes nothing. */
void allowed_ips_each(const struct remote *owner,
		      void (*visit)(const struct cidr *cidr, void *context), void *context);
/* Insertions so far: what was inserted before has a lower number than this. */
uint64_t allowed_ips_inserted(const struct allowed_ips *a);
/* The oldest prefix of `owner`, and its number. False: it has none. */
bool allowed_ips_oldest(const struct remote *owner, struct cidr *out, uint64_t *number);

/* RCU read side. `address`: 4 or 16 bytes in network byte order. NULL: nobody. */
struct remote *allowed_ips_lookup(const struct allowed_ips *a, int family, const uint8_t *address);

#endif
