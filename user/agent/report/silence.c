/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/report/silence.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/report/report.h"
#include "netlink/link.h"
#include "tunnel/message_route.h"
#include "tunnel/tunnel.h"
#include "wire/endpoint.h"

/* What the kernel's answer means. */
static const char *no_route(int err)
{
	switch (err) {
	case -EINVAL:
		return "a blackhole route is there";
	case -EACCES:
		return "a prohibit route is there";
	case -ENOTSUP:
		return "the address is this node's own, or its route is no simple one";
	default:
		return strerror(-err);
	}
}

static const char *explain_route(struct rtnl_socket *s, const struct endpoint *to,
				 char out[SILENCE_TEXT])
{
	const struct next_hop_query q = message_route_query(to);
	struct next_hop hop = {.ifindex = 0};
	struct link_info link;
	char text[REPORT_ENDPOINT];
	const int err = next_hop_find(s, &q, &hop);

	if (err && err != -EAGAIN) {
		snprintf(out, SILENCE_TEXT, "this node has no route to %s: %s",
			 cidr_format(&q.to, true, text), no_route(err));
		return out;
	}
	if (link_get_index(hop.ifindex, &link))
		strcpy(link.name, "?");
	if (hop.silent)
		snprintf(out, SILENCE_TEXT, "%s %s does not answer %s on %s",
			 cidr_compare(&hop.gateway, &q.to) ? "the router" : "the node",
			 cidr_format(&hop.gateway, true, text),
			 hop.gateway.family == AF_INET ? "ARP" : "neighbour discovery", link.name);
	else
		snprintf(out, SILENCE_TEXT,
			 "messages to %s leave through %s, and nothing comes back: is UDP blocked "
			 "on the way, or does no agent run there?",
			 report_endpoint(to, text), link.name);
	return out;
}

const char *silence_explain(struct rtnl_socket *s, const struct tunnel_peer_status *p,
			    char out[SILENCE_TEXT])
{
	*out = 0;
	if (p->session || !p->unanswered)
		return out;
	if (!endpoint_present(p->endpoint)) {
		snprintf(out, SILENCE_TEXT, "its address is not known");
		return out;
	}
	return explain_route(s, p->endpoint, out);
}
