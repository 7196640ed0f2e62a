/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's route for WireGuard's messages from this node to a peer, in the form of a question. */
#ifndef TUNNEL_MESSAGE_ROUTE_H
#define TUNNEL_MESSAGE_ROUTE_H

#include "netlink/next_hop.h"
#include "netlink/route.h"
#include "wire/endpoint.h"

/* The source port is taken to be that of the peer. `to.family` is AF_UNSPEC where there is no endpoint. */
static inline struct next_hop_query message_route_query(const struct endpoint *to)
{
	return (struct next_hop_query){
		.to = endpoint_address(to),
		.fwmark = RULE_MARK,
		.from_port = endpoint_port(to),
		.to_port = endpoint_port(to),
	};
}

#endif
