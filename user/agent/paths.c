/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/paths.h"

#include "netlink/link.h"
#include "plan/plan.h"
#include "protocol/messages.h"
#include "tunnel/message_route.h"

/* No tunnel device has less: IPv6 forbids it, and Linux needs no less for IPv4. */
#define LEAST_IPV4 576
#define LEAST_IPV6 1280

/* The largest packet of a tunnel of `family` in an outer packet of `mtu` bytes. */
static uint32_t inside(uint32_t mtu, int outer_family, int family)
{
	const uint32_t least = family == AF_INET ? LEAST_IPV4 : LEAST_IPV6;
	const uint32_t overhead =
		outer_family == AF_INET ? MESSAGE_OVERHEAD_IPV4 : MESSAGE_OVERHEAD_IPV6;

	return mtu > least + overhead ? mtu - overhead : least;
}

/* The device that was looked at last: most peers have the same one. */
struct last_device {
	int ifindex;
	uint32_t mtu;
};

static uint32_t device_mtu(struct last_device *d, int ifindex)
{
	struct link_info link;

	if (d->ifindex != ifindex)
		*d = link_get_index(ifindex, &link) ? (struct last_device){0, 0}
						    : (struct last_device){ifindex, link.mtu};
	return d->mtu;
}

/* All zero: there is no route now. */
static struct plan_path find_path(struct rtnl_socket *s, const struct endpoint *to, int family,
				  struct last_device *d)
{
	const struct next_hop_query q = message_route_query(to);
	struct next_hop hop = {.ifindex = 0};
	uint32_t mtu;

	if (!q.to.family || next_hop_route(s, &q, &hop))
		return (struct plan_path){0, 0};
	mtu = device_mtu(d, hop.ifindex);
	if (!mtu)
		return (struct plan_path){0, 0};
	if (hop.mtu && hop.mtu < mtu)
		mtu = hop.mtu;
	return (struct plan_path){hop.ifindex, inside(mtu, q.to.family, family)};
}

void paths_find(struct rtnl_socket *s, struct plan *fresh, const struct plan *before, int family)
{
	struct last_device d = {0, 0};

	for (size_t i = 0; i < fresh->n_peers; i++) {
		struct plan_peer *p = &fresh->peers[i];
		const struct plan_peer *b = plan_find_peer(before, p->name);

		if (b && endpoint_equal(&b->endpoint, &p->endpoint))
			p->path = b->path;
		if (!p->path.ifindex)
			p->path = find_path(s, &p->endpoint, family, &d);
	}
}

bool paths_check(struct rtnl_socket *s, struct plan *p, int family, size_t most, size_t *next)
{
	struct last_device d = {0, 0};
	bool changed = false;

	for (size_t n = p->n_peers < most ? p->n_peers : most; n; n--) {
		struct plan_peer *peer = &p->peers[*next % p->n_peers];
		const struct plan_path path = find_path(s, &peer->endpoint, family, &d);

		*next = (*next + 1) % p->n_peers;
		if (!path.ifindex ||
		    (path.ifindex == peer->path.ifindex && path.mtu == peer->path.mtu))
			continue;
		peer->path = path;
		changed = true;
	}
	return changed;
}

uint32_t paths_uplink(uint32_t mtu, int family)
{
	return inside(mtu, family, family);
}
