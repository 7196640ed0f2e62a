/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/self.h"

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

static void visit_address(void *context, const struct cidr *a)
{
	struct cidr *to = context;

	if (to->family)
		return;
	*to = *a;
	to->prefix_len = a->family == AF_INET ? 32 : 128;
}

/* The address that was given, else the first one of the uplink. */
static struct cidr address_of(const struct self *s, int family)
{
	struct cidr a = family == AF_INET ? s->params->address4 : s->params->address6;

	if (!a.family)
		address_each(family, s->uplink.ifindex, visit_address, &a);
	return a;
}

int self_describe(struct self *s, const struct node_record *there, const struct settings *settings)
{
	const struct cidr *ranges = s->params->pod_cidrs;
	size_t n = s->params->n_pod_cidrs, n_granted = 0;
	struct node_record r = {
		.address4 = address_of(s, AF_INET),
		.address6 = address_of(s, AF_INET6),
		.port4 = settings->port4,
		.port6 = settings->port6,
		.stopped4 = !settings->enabled4,
		.stopped6 = !settings->enabled6,
	};

	snprintf(r.name, sizeof(r.name), "%s", s->params->node);
	if (there) {
		r.encrypts = there->encrypts;
		r.released4 = there->released4;
		r.released6 = there->released6;
		r.tunnel4 = there->tunnel4;
		r.tunnel6 = there->tunnel6;
		r.tunnels_assigned = there->tunnels_assigned;
		memcpy(r.overlays, there->overlays, sizeof(r.overlays));
		r.endpoint4 = there->endpoint4;
		r.endpoint6 = there->endpoint6;
		if (!n) {
			ranges = there->pod_cidrs;
			n = there->n_pod_cidrs;
			n_granted = there->n_granted;
			r.assigned = there->assigned;
			r.source = there->source;
		}
	}
	r.pod_cidrs = calloc(n ? n : 1, sizeof(*r.pod_cidrs));
	r.granted = calloc(n_granted ? n_granted : 1, sizeof(*r.granted));
	if (!r.pod_cidrs || !r.granted) {
		record_fini(&r);
		return -ENOMEM;
	}
	if (n_granted)
		memcpy(r.granted, there->granted, n_granted * sizeof(*r.granted));
	r.n_granted = n_granted;
	if (n)
		memcpy(r.pod_cidrs, ranges, n * sizeof(*ranges));
	r.n_pod_cidrs = n;
	record_normalise(&r);
	record_fini(&s->record);
	s->record = r;
	return 0;
}

struct addresses {
	struct cidr *all;
	size_t n;
};

static void add_address(void *context, const struct cidr *a)
{
	struct addresses *to = context;

	if (to->n == SELF_ADDRESSES || !a->family)
		return;
	to->all[to->n] = *a;
	to->all[to->n++].prefix_len = a->family == AF_INET ? 32 : 128;
}

size_t self_addresses(const struct self *s, struct cidr out[SELF_ADDRESSES])
{
	struct addresses to = {out, 0};

	add_address(&to, &s->record.address4);
	add_address(&to, &s->record.address6);
	address_each(AF_INET, s->uplink.ifindex, add_address, &to);
	address_each(AF_INET6, s->uplink.ifindex, add_address, &to);
	return to.n;
}

bool self_moved(struct self *s)
{
	const struct link_info before = s->uplink;
	struct cidr address4, address6;

	if (self_find_uplink(s)) {
		s->uplink = before; /* it may be away for a moment only */
		return false;
	}
	address4 = address_of(s, AF_INET);
	address6 = address_of(s, AF_INET6);
	return before.ifindex != s->uplink.ifindex || before.mtu != s->uplink.mtu ||
	       strcmp(before.name, s->uplink.name) != 0 ||
	       cidr_compare(&address4, &s->record.address4) != 0 ||
	       cidr_compare(&address6, &s->record.address6) != 0;
}
