/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cryptokey routing (whitepaper section 2): longest prefix match from an address to a remote.
 * Look-ups run in workers inside an RCU read side, without a lock; changes come from one thread at
 * a time (the device lock). Memory that a change replaces is freed after a grace period.
 */
#ifndef DATAPATH_ALLOWED_IPS_H
#define DATAPATH_ALLOWED_IPS_H

#include <stdbool.h>
#include <stdint.h>

#include "netlink/cidr.h"

struct remote;
struct allowed_ips;

struct allowed_ips *allowed_ips_new(void);
void allowed_ips_free(struct allowed_ips *a); /* no reader may be left */

/* Assigns a prefix to a remote, taking it from whoever had it (that one is returned in *previous,
 * else NULL). -ENOMEM leaves everything as it was; -EINVAL: family or length. */
int allowed_ips_insert(struct allowed_ips *a, const struct cidr *cidr, struct remote *owner,
		       struct remote **previous);
/* Removes exactly this prefix where `owner` has it. -ENOENT otherwise. */
int allowed_ips_remove(struct allowed_ips *a, const struct cidr *cidr, const struct remote *owner);
/* Calls `visit` for each prefix of `owner` (all owners where NULL), in ascending order of family,
 * address and length. Walks the whole. The visitor may remove the prefix that it is shown, nothing
 * else, and only inside an RCU read side. */
void allowed_ips_each(struct allowed_ips *a, const struct remote *owner,
		      void (*visit)(const struct cidr *cidr, struct remote *owner, void *context),
		      void *context);

/* RCU read side. `address`: 4 or 16 bytes in network byte order. NULL: nobody. */
struct remote *allowed_ips_lookup(const struct allowed_ips *a, int family, const uint8_t *address);

#endif
