/* SPDX-License-Identifier: Apache-2.0 */
#include "strict/exits.h"

#include <errno.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/array.h"
#include "netlink/link.h"
#include "netlink/route.h"

/* Assigned by IANA, and the defaults of Linux, Flannel and Cilium. Pods and hosts may use these
 * ports without a device that shows it. */
static const uint16_t vxlan_ports[] = {4789, 8472};
static const uint16_t geneve_ports[] = {6081};

enum use { POD_OR_NODE, NOWHERE, ENCRYPTS, RIDES };

/* Devices of other kinds are exits. Hardware has no kind. */
static const struct {
	const char *kind;
	enum use use;
} kinds[] = {
	{"veth", POD_OR_NODE},	 {"bridge", POD_OR_NODE}, {"tun", POD_OR_NODE},
	{"netkit", POD_OR_NODE}, {"dummy", NOWHERE},	  {"nlmon", NOWHERE},
	{"ifb", NOWHERE},	 {"wireguard", ENCRYPTS}, {"xfrm", ENCRYPTS},
	{"vti", ENCRYPTS},	 {"vti6", ENCRYPTS},	  {"vxlan", RIDES},
	{"geneve", RIDES},	 {"gre", RIDES},	  {"gretap", RIDES},
	{"ip6gre", RIDES},	 {"ip6gretap", RIDES},	  {"erspan", RIDES},
	{"ip6erspan", RIDES},	 {"ipip", RIDES},	  {"sit", RIDES},
	{"ip6tnl", RIDES},	 {"bareudp", RIDES},	  {"vlan", RIDES},
	{"macvlan", RIDES},	 {"macvtap", RIDES},	  {"ipvlan", RIDES},
	{"ipvtap", RIDES},	 {"macsec", RIDES},
};

#define N_KINDS (sizeof(kinds) / sizeof(*kinds))

/* --- all devices --- */

struct links {
	struct link {
		struct link_info is;
		bool node; /* the node has an address there that is in no pod range */
	} * all;
	size_t n, room;
	const struct tagged_ranges *ranges;
	bool no_memory;
};

static void add_link(void *context, const struct link_info *l)
{
	struct links *to = context;

	if (ARRAY_GROW(to->all, to->n, to->room)) {
		to->no_memory = true;
		return;
	}
	to->all[to->n++] = (struct link){*l, false};
}

static bool is_pods(const struct tagged_ranges *ranges, const struct cidr *a)
{
	struct cidr host = *a;

	host.prefix_len = (uint8_t)(cidr_address_size(a->family) * 8);
	/* A node's address inside a pod range is listed as a range of its own. */
	if (tagged_ranges_find(ranges, &host))
		return false;
	for (size_t i = 0; i < ranges->n; i++)
		if (cidr_contains(&ranges->all[i].range, &host))
			return true;
	return false;
}

static void visit_address(void *context, int ifindex, const struct cidr *a)
{
	struct links *to = context;

	for (size_t i = 0; i < to->n; i++)
		if (to->all[i].is.ifindex == ifindex)
			to->all[i].node |= !is_pods(to->ranges, a);
}

static int read_links(struct links *l)
{
	int err = link_each(add_link, l);

	if (!err && l->no_memory)
		err = -ENOMEM;
	if (!err)
		err = address_each_device(AF_INET, visit_address, l);
	return err ? err : address_each_device(AF_INET6, visit_address, l);
}

/* --- which devices are exits --- */

static bool is_tunnel(const struct link_info *l, const struct exits_input *in)
{
	const size_t len = strlen(l->name);

	if (!strcmp(l->kind, "veth") && len > 4 && !strcmp(l->name + len - 4, ".xsk"))
		return true; /* the inner end of a tunnel device */
	for (size_t i = 0; i < 2; i++)
		if (in->tunnels[i] && !strcmp(l->name, in->tunnels[i]))
			return true;
	return false;
}

static bool leads_out(const struct link *link, const struct exits_input *in)
{
	const struct link_info *l = &link->is;

	/* guard cannot read InfiniBand's own header. */
	if (l->type == ARPHRD_LOOPBACK || l->type == ARPHRD_INFINIBAND || is_tunnel(l, in))
		return false;
	if (l->ifindex == in->uplink)
		return true;
	for (size_t i = 0; i < N_KINDS; i++) {
		if (strcmp(l->kind, kinds[i].kind) != 0)
			continue;
		if (kinds[i].use == RIDES)
			return in->strict;
		return kinds[i].use == POD_OR_NODE && link->node;
	}
	return in->strict || !l->master;
}

static int add_exit(struct exits *e, const struct link_info *l)
{
	if (ARRAY_GROW(e->all, e->n, e->room))
		return -ENOMEM;
	e->all[e->n] = (struct exit_device){{l->ifindex, l->type == ARPHRD_ETHER}, ""};
	memcpy(e->all[e->n++].name, l->name, sizeof(l->name));
	return 0;
}

static void add_port(uint16_t ports[PV_GUARD_PORTS], uint16_t port)
{
	for (size_t i = 0; i < PV_GUARD_PORTS; i++) {
		if (ports[i] == port)
			return;
		if (!ports[i]) {
			ports[i] = port;
			return;
		}
	}
}

static void add_ports(struct exits *e, const struct links *links)
{
	for (size_t i = 0; i < sizeof(vxlan_ports) / sizeof(*vxlan_ports); i++)
		add_port(e->vxlan_ports, vxlan_ports[i]);
	for (size_t i = 0; i < sizeof(geneve_ports) / sizeof(*geneve_ports); i++)
		add_port(e->geneve_ports, geneve_ports[i]);
	for (size_t i = 0; i < links->n; i++) {
		const struct link_info *l = &links->all[i].is;

		if (l->udp_port)
			add_port(strcmp(l->kind, "vxlan") ? e->geneve_ports : e->vxlan_ports,
				 l->udp_port);
	}
}

int exits_find(struct exits *out, const struct exits_input *in)
{
	struct links links = {.ranges = in->ranges};
	struct exits e = {.n = 0};
	int err = read_links(&links);

	if (!err)
		add_ports(&e, &links);
	for (size_t i = 0; i < links.n && !err; i++)
		if (leads_out(&links.all[i], in))
			err = add_exit(&e, &links.all[i].is);
	free(links.all);
	exits_fini(err ? &e : out);
	if (!err)
		*out = e;
	return err;
}

void exits_fini(struct exits *e)
{
	free(e->all);
	*e = (struct exits){.n = 0};
}
