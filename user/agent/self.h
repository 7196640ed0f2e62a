/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This node: its uplink, and its record as it shall be in the store. Thread: control.
 */
#ifndef AGENT_SELF_H
#define AGENT_SELF_H

#include "agent/agent.h"
#include "netlink/link.h"

struct self {
	const struct agent_params *params; /* name, uplink, addresses and ranges that were given */
	struct link_info uplink;
	struct node_record record;
};

/* `params` stay the caller's, and stay. */
void self_init(struct self *s, const struct agent_params *params);
/* The device that was named, else the default route's. -ENODEV: none. */
int self_find_uplink(struct self *s);
/* Without keys: what we are ourselves, and what others wrote into our record (`there`; NULL: none).
 */
int self_describe(struct self *s, const struct node_record *there, const struct settings *settings);
/* Our addresses, as described and the uplink's. How many. */
#define SELF_ADDRESSES 16
size_t self_addresses(const struct self *s, struct cidr out[SELF_ADDRESSES]);
/* Looks whether the uplink is another device, or has another name, MTU or address than when it was
 * described: what was made for it has to follow. */
bool self_moved(struct self *s);

#endif
