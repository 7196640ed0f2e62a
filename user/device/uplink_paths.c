/* SPDX-License-Identifier: Apache-2.0 */
#include "device/uplink_paths.h"

#include <errno.h>
#include <string.h>

#include "base/array.h"
#include "device/peer.h"
#include "netlink/link.h"
#include "netlink/next_hop.h"
#include "wire/frame.h"

static struct next_hop_query query_for(const struct device *d, const struct endpoint *e)
{
	const bool v4 = e->to.any.sa_family == AF_INET;
	struct next_hop_query q = {
		.to = endpoint_address(e),
		.fwmark = d->fwmark,
		.from_port = d->listen_port,
		.to_port = endpoint_port(e),
	};

	q.from = q.to;
	if (v4) {
		memcpy(q.from.address, &e->from.v4, 4);
		if (!e->from.v4.s_addr)
			q.from.family = AF_UNSPEC;
		return q;
	}
	memcpy(q.from.address, &e->from.v6, 16);
	if (IN6_IS_ADDR_UNSPECIFIED(&e->from.v6))
		q.from.family = AF_UNSPEC;
	q.ifindex = (int)e->to.v6.sin6_scope_id;
	return q;
}

int uplink_paths_device(const struct device *d, struct rtnl_socket *s)
{
	struct peer *p;

	TAILQ_FOREACH (p, &d->peers, list) {
		struct next_hop hop = {.ifindex = 0};
		struct endpoint e;

		if (!destination_get(&p->remote.destination, &e))
			continue;

		const struct next_hop_query q = query_for(d, &e);

		if (!next_hop_route(s, &q, &hop))
			return hop.ifindex;
	}
	return 0;
}

static struct pv_address address_key(const struct cidr *c)
{
	struct pv_address a = {{0}};

	if (c->family == AF_INET) {
		memset(a.bytes + 10, 0xff, 2);
		memcpy(a.bytes + 12, c->address, 4);
	} else {
		memcpy(a.bytes, c->address, 16);
	}
	return a;
}

int own_addresses_add(struct own_addresses *own, const struct cidr *c)
{
	if (ARRAY_GROW(own->all, own->n, own->room))
		return -ENOMEM;
	own->all[own->n++] = address_key(c);
	return 0;
}

/* Is this one of our addresses? Like the kernel, we do not send from an address that is not. */
static bool is_own(const struct own_addresses *own, const struct cidr *c)
{
	const struct pv_address a = address_key(c);

	for (size_t i = 0; i < own->n; i++)
		if (!memcmp(&a, &own->all[i], sizeof(a)))
			return true;
	return false;
}

/* Where paths lead: through this device, from one of these addresses. */
struct way {
	const struct device *device;
	struct rtnl_socket *questions;
	const struct link_info *link;
	const struct own_addresses *own;
};

static bool find_path(const struct way *w, const struct endpoint *e, struct frame_headers *out)
{
	const struct next_hop_query q = query_for(w->device, e);
	struct endpoint resolved = *e;
	struct next_hop hop = {.ifindex = 0};
	int err = next_hop_find(w->questions, &q, &hop);

	if (err || hop.ifindex != w->link->ifindex || !is_own(w->own, &hop.from))
		return false;
	if (q.to.family == AF_INET)
		memcpy(&resolved.from.v4, hop.from.address, 4);
	else
		memcpy(&resolved.from.v6, hop.from.address, 16);
	frame_prepare(out, &resolved, w->link->mac, hop.mac,
		      hop.mtu && hop.mtu < w->link->mtu ? hop.mtu : w->link->mtu);
	return true;
}

static void update_path(const struct way *w, struct endpoint_box *box)
{
	struct frame_headers headers = {.length = 0};

	if (find_path(w, &box->endpoint, &headers)) {
		destination_set_path(box, &headers);
		atomic_store_explicit(&box->path_missing, false, memory_order_relaxed);
	} else if (box->path) {
		/* Workers need not ask for it: when the network changes, we search again. */
		atomic_store_explicit(&box->path_missing, true, memory_order_relaxed);
		destination_set_path(box, NULL);
	}
}

void uplink_paths_update(struct device *d, struct rtnl_socket *s, const struct link_info *link,
			 const struct own_addresses *own, bool only_missing)
{
	const struct way w = {d, s, link, own};
	struct peer *p;

	TAILQ_FOREACH (p, &d->peers, list) {
		struct endpoint_box *box = rcu_dereference(p->remote.destination.box);

		if (!box || (box->path && only_missing))
			continue;
		if (box->path || atomic_load_explicit(&box->path_missing, memory_order_relaxed))
			update_path(&w, box);
	}
}

void uplink_paths_forget(struct device *d)
{
	struct peer *p;

	TAILQ_FOREACH (p, &d->peers, list) {
		struct endpoint_box *box = rcu_dereference(p->remote.destination.box);

		if (!box)
			continue;
		destination_set_path(box, NULL);
		atomic_store_explicit(&box->path_missing, false, memory_order_relaxed);
	}
}
