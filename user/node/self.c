/* SPDX-License-Identifier: Apache-2.0 */
#include "node/self.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netlink/route.h"

void self_init(struct self *s, const struct agent_params *params)
{
	memset(s, 0, sizeof(*s));
	s->params = params;
}

int self_find_uplink(struct self *s)
{
	int ifindex, err;

	if (s->params->uplink)
		return link_get(s->params->uplink, &s->uplink);
	err = route_default(&ifindex);
	return err ? err : link_get_index(ifindex, &s->uplink);
}

static void see_address(void *context, const struct cidr *a)
{
	struct cidr *to = context;

	if (to->family)
		return;
	*to = *a;
	to->prefix_len = a->family == AF_INET ? 32 : 128;
}

/* The one that was given, else the uplink's first. */
static struct cidr address_of(const struct self *s, int family)
{
	struct cidr a = family == AF_INET ? s->params->address4 : s->params->address6;

	if (!a.family)
		address_each(family, s->uplink.ifindex, see_address, &a);
	return a;
}

int self_describe(struct self *s, const struct node_record *there, const struct settings *settings)
{
	const struct cidr *ranges = s->params->pod_cidrs;
	size_t n = s->params->n_pod_cidrs;
	struct node_record r = {
		.address4 = address_of(s, AF_INET),
		.address6 = address_of(s, AF_INET6),
		.port4 = settings->port4,
		.port6 = settings->port6,
	};

	snprintf(r.name, sizeof(r.name), "%s", s->params->node);
	if (there) {
		r.tunnel4 = there->tunnel4;
		r.tunnel6 = there->tunnel6;
		r.tunnels_assigned = there->tunnels_assigned;
		if (!n) {
			ranges = there->pod_cidrs;
			n = there->n_pod_cidrs;
		}
	}
	r.pod_cidrs = calloc(n ? n : 1, sizeof(*r.pod_cidrs));
	if (!r.pod_cidrs)
		return -ENOMEM;
	if (n)
		memcpy(r.pod_cidrs, ranges, n * sizeof(*ranges));
	r.n_pod_cidrs = n;
	record_normalise(&r);
	record_fini(&s->record);
	s->record = r;
	return 0;
}

bool self_moved(struct self *s)
{
	const struct link_info before = s->uplink;
	struct cidr address4, address6;

	if (self_find_uplink(s)) {
		s->uplink = before; /* away for a moment, perhaps */
		return false;
	}
	address4 = address_of(s, AF_INET);
	address6 = address_of(s, AF_INET6);
	return before.ifindex != s->uplink.ifindex || before.mtu != s->uplink.mtu ||
	       strcmp(before.name, s->uplink.name) != 0 ||
	       cidr_compare(&address4, &s->record.address4) != 0 ||
	       cidr_compare(&address6, &s->record.address6) != 0;
}
