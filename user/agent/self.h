/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This node: its uplink, and the record that it publishes in the store. Thread: control.
 */
#ifndef AGENT_SELF_H
#define AGENT_SELF_H

#include "agent/agent.h"
#include "netlink/link.h"

struct self {
	const struct agent_params *params; /* name, uplink, addresses and ranges, as given */
	struct link_info uplink;
	struct node_record record;
};

/* `params` belong to the caller and must outlive `s`. */
void self_init(struct self *s, const struct agent_params *params);
/* Finds the uplink: the device that was given, else the default route's. -ENODEV: none. */
int self_find_uplink(struct self *s);
/* Makes our record, without keys, from what we know ourselves and from what others wrote into our
 * record in the store (`there`; NULL: none). 0 or -ENOMEM. */
int self_describe(struct self *s, const struct node_record *there, const struct settings *settings);
/* Our addresses: those of the record and of the uplink. Returns how many. */
#define SELF_ADDRESSES 16
size_t self_addresses(const struct self *s, struct cidr out[SELF_ADDRESSES]);
/* Is the uplink now another device, or does it have another name, MTU or address than before? Then
 * a pass is needed. */
bool self_moved(struct self *s);

#endif
