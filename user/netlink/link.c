/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/link.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "netlink/ethtool.h"
#include "netlink/rtnl.h"

#define LOWER_UP 0x10000 /* IFF_LOWER_UP of linux/if.h, which does not go with net/if.h */

/* What the worker can undo (cut.h): segmentation of TCP and UDP, and their checksums. */
static const char *const superpacket_offloads[] = {
	"tx-checksum-ip-generic", "tx-scatter-gather",	     "tx-scatter-gather-fraglist",
	"tx-tcp-segmentation",	  "tx-tcp-ecn-segmentation", "tx-tcp6-segmentation",
	"tx-udp-segmentation",	  "tx-generic-segmentation",
};

const char *link_name_problem(const char *name)
{
	if (!*name)
		return "is empty";
	if (strlen(name) >= IF_NAMESIZE)
		return "is longer than 15 characters";
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return "is . or ..";
	for (const char *c = name; *c; c++) {
		if (*c == '/' || *c == ':' || *c == '%')
			return "contains one of / : %";
		if (isspace((unsigned char)*c) || iscntrl((unsigned char)*c))
			return "contains white space or control characters";
	}
	return NULL;
}

/* --- reading --- */

static uint16_t udp_port(const char *kind, const struct nlattr *data)
{
	const struct nlattr *a[IFLA_VXLAN_MAX + 1] = {NULL};
	const uint16_t which = !strcmp(kind, "vxlan") ? IFLA_VXLAN_PORT : IFLA_GENEVE_PORT;

	_Static_assert(IFLA_GENEVE_PORT <= IFLA_VXLAN_MAX, "one table for both");
	if (!data || (strcmp(kind, "vxlan") && strcmp(kind, "geneve")))
		return 0;
	rtnl_nested(data, a, IFLA_VXLAN_MAX);
	return a[which] ? ntohs(mnl_attr_get_u16(a[which])) : 0;
}

static void read_link(const struct nlmsghdr *m, struct link_info *out)
{
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(m);
	const struct nlattr *table[IFLA_MAX + 1] = {NULL}, *info[IFLA_INFO_MAX + 1] = {NULL};

	memset(out, 0, sizeof(*out));
	rtnl_attributes(m, sizeof(*header), table, IFLA_MAX);
	out->ifindex = header->ifi_index;
	out->type = header->ifi_type;
	out->up = header->ifi_flags & IFF_UP;
	out->carrier = header->ifi_flags & LOWER_UP;
	if (table[IFLA_IFNAME])
		strncpy(out->name, mnl_attr_get_str(table[IFLA_IFNAME]), sizeof(out->name) - 1);
	if (table[IFLA_MTU])
		out->mtu = mnl_attr_get_u32(table[IFLA_MTU]);
	if (table[IFLA_LINK])
		out->peer_ifindex = (int)mnl_attr_get_u32(table[IFLA_LINK]);
	if (table[IFLA_MASTER])
		out->master = (int)mnl_attr_get_u32(table[IFLA_MASTER]);
	out->peer_in_other_namespace = table[IFLA_LINK_NETNSID] != NULL;
	out->peer_namespace =
		out->peer_in_other_namespace ? (int)mnl_attr_get_u32(table[IFLA_LINK_NETNSID]) : -1;
	if (table[IFLA_NUM_RX_QUEUES])
		out->rx_queues = mnl_attr_get_u32(table[IFLA_NUM_RX_QUEUES]);
	if (table[IFLA_NUM_TX_QUEUES])
		out->tx_queues = mnl_attr_get_u32(table[IFLA_NUM_TX_QUEUES]);
	out->ethernet = header->ifi_type == ARPHRD_ETHER && table[IFLA_ADDRESS] &&
			mnl_attr_get_payload_len(table[IFLA_ADDRESS]) == sizeof(out->mac);
	if (out->ethernet)
		memcpy(out->mac, mnl_attr_get_payload(table[IFLA_ADDRESS]), sizeof(out->mac));
	if (table[IFLA_LINKINFO])
		rtnl_nested(table[IFLA_LINKINFO], info, IFLA_INFO_MAX);
	if (info[IFLA_INFO_KIND])
		strncpy(out->kind, mnl_attr_get_str(info[IFLA_INFO_KIND]), sizeof(out->kind) - 1);
	out->udp_port = udp_port(out->kind, info[IFLA_INFO_DATA]);
}

static int link_answer(const struct nlmsghdr *m, void *context)
{
	read_link(m, context);
	return MNL_CB_STOP;
}

static struct nlmsghdr *link_message(void *buffer, uint16_t type, uint16_t flags, int ifindex,
				     struct ifinfomsg **header)
{
	void *body;
	struct nlmsghdr *m = rtnl_begin(buffer, type, flags, &body, sizeof(**header));

	*header = body;
	(*header)->ifi_family = AF_UNSPEC;
	(*header)->ifi_index = ifindex;
	return m;
}

int link_get_index(int ifindex, struct link_info *out)
{
	char buffer[RTNL_BUFFER];
	struct ifinfomsg *header;

	return rtnl_query(link_message(buffer, RTM_GETLINK, 0, ifindex, &header), link_answer, out);
}

int link_get_peer(const struct link_info *l, struct link_info *out)
{
	char buffer[RTNL_BUFFER];
	struct ifinfomsg *header;
	struct nlmsghdr *m = link_message(buffer, RTM_GETLINK, 0, l->peer_ifindex, &header);

	if (!l->peer_ifindex)
		return -ENODEV;
	if (l->peer_in_other_namespace)
		mnl_attr_put_u32(m, IFLA_TARGET_NETNSID, (uint32_t)l->peer_namespace);
	return rtnl_query(m, link_answer, out);
}

struct visit {
	void (*each)(void *context, const struct link_info *l);
	void *context;
};

static int visit_link(const struct nlmsghdr *m, void *context)
{
	const struct visit *v = context;
	struct link_info l;

	read_link(m, &l);
	v->each(v->context, &l);
	return MNL_CB_OK;
}

int link_each(void (*each)(void *context, const struct link_info *l), void *context)
{
	struct visit v = {each, context};
	char buffer[RTNL_BUFFER];
	struct ifinfomsg *header;

	return rtnl_query(link_message(buffer, RTM_GETLINK, NLM_F_DUMP, 0, &header), visit_link,
			  &v);
}

int link_get(const char *name, struct link_info *out)
{
	char buffer[RTNL_BUFFER];
	struct ifinfomsg *header;
	struct nlmsghdr *m;

	if (link_name_problem(name))
		return -ENODEV;
	m = link_message(buffer, RTM_GETLINK, 0, 0, &header);
	mnl_attr_put_strz(m, IFLA_IFNAME, name);
	return rtnl_query(m, link_answer, out);
}

/* --- changing --- */

/* The attributes that both ends have. */
static void put_end(struct nlmsghdr *m, const char *name, unsigned int rx_queues,
		    unsigned int tx_queues, uint32_t mtu)
{
	uint8_t mac[6];

	/* A random unicast address, locally administered. */
	if (getrandom(mac, sizeof(mac), 0) != sizeof(mac))
		memset(mac, 0x42, sizeof(mac));
	mac[0] = (uint8_t)((mac[0] & ~1) | 2);
	mnl_attr_put(m, IFLA_ADDRESS, sizeof(mac), mac);
	mnl_attr_put_strz(m, IFLA_IFNAME, name);
	mnl_attr_put_u32(m, IFLA_MTU, mtu);
	mnl_attr_put_u32(m, IFLA_NUM_RX_QUEUES, rx_queues);
	mnl_attr_put_u32(m, IFLA_NUM_TX_QUEUES, tx_queues);
	mnl_attr_put_u32(m, IFLA_TXQLEN, 1000);
}

/* No link-local address: IPv6 would talk to itself through the tunnel. The kernel takes this only
 * for a device that exists, and not where IPv6 is switched off. */
static int quiet_ipv6(const char *name)
{
	char buffer[RTNL_BUFFER];
	struct ifinfomsg *header;
	struct nlmsghdr *m = link_message(buffer, RTM_NEWLINK, 0, 0, &header);
	struct nlattr *spec, *inet6;
	int err;

	mnl_attr_put_strz(m, IFLA_IFNAME, name);
	spec = mnl_attr_nest_start(m, IFLA_AF_SPEC);
	inet6 = mnl_attr_nest_start(m, AF_INET6);
	mnl_attr_put_u8(m, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(m, inet6);
	mnl_attr_nest_end(m, spec);
	err = rtnl_request(m);
	return err == -EAFNOSUPPORT ? 0 : err;
}

static int create(const char *tunnel, const char *inner, unsigned int queues, uint32_t mtu)
{
	char buffer[RTNL_BUFFER];
	struct ifinfomsg *header;
	struct nlmsghdr *m =
		link_message(buffer, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, &header);
	struct nlattr *info, *data, *peer;

	header->ifi_flags = IFF_NOARP;
	header->ifi_change = IFF_NOARP;
	put_end(m, tunnel, queues, LINK_TUNNEL_TX_QUEUES(queues), mtu);
	info = mnl_attr_nest_start(m, IFLA_LINKINFO);
	mnl_attr_put_strz(m, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(m, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(m, VETH_INFO_PEER);
	header = mnl_nlmsg_get_payload_tail(m);
	memset(header, 0, sizeof(*header));
	header->ifi_flags = IFF_NOARP;
	header->ifi_change = IFF_NOARP;
	m->nlmsg_len += MNL_ALIGN(sizeof(*header));
	put_end(m, inner, queues, queues, LINK_INNER_MTU);
	mnl_attr_nest_end(m, peer);
	mnl_attr_nest_end(m, data);
	mnl_attr_nest_end(m, info);
	return rtnl_request(m);
}

/* Switches off every sending offload that the worker cannot undo: the kernel then does that work
 * itself. */
static bool concerns_sending(const char *name)
{
	return !strncmp(name, "tx-", 3) && strcmp(name, "tx-vlan-hw-insert") &&
	       strcmp(name, "tx-vlan-stag-hw-insert");
}

int link_set_offloads(const char *name, bool superpackets)
{
	const size_t n = sizeof(superpacket_offloads) / sizeof(*superpacket_offloads);

	return ethtool_features(name, superpacket_offloads, superpackets ? n : 0, concerns_sending);
}

int link_pair_create(const char *tunnel, const char *inner, unsigned int queues, uint32_t mtu,
		     bool superpackets)
{
	struct link_info info;
	int err = create(tunnel, inner, queues, mtu);

	if (err)
		return err;
	err = quiet_ipv6(tunnel);
	if (!err)
		err = quiet_ipv6(inner);
	if (!err)
		err = link_set_offloads(tunnel, superpackets);
	if (err && !link_get(tunnel, &info))
		link_delete(info.ifindex);
	return err;
}

int link_delete(int ifindex)
{
	char buffer[RTNL_BUFFER];
	struct ifinfomsg *header;

	return rtnl_request(link_message(buffer, RTM_DELLINK, 0, ifindex, &header));
}

int link_set_up(int ifindex, bool up)
{
	char buffer[RTNL_BUFFER];
	struct ifinfomsg *header;
	struct nlmsghdr *m = link_message(buffer, RTM_NEWLINK, 0, ifindex, &header);

	header->ifi_flags = up ? IFF_UP : 0;
	header->ifi_change = IFF_UP;
	return rtnl_request(m);
}

static int rename_now(int ifindex, const char *name)
{
	char buffer[RTNL_BUFFER];
	struct ifinfomsg *header;
	struct nlmsghdr *m = link_message(buffer, RTM_NEWLINK, 0, ifindex, &header);

	mnl_attr_put_strz(m, IFLA_IFNAME, name);
	return rtnl_request(m);
}

int link_rename(int ifindex, const char *name)
{
	int err = rename_now(ifindex, name);

	if (err != -EBUSY)
		return err;
	err = link_set_up(ifindex, false);
	if (!err)
		err = rename_now(ifindex, name);
	link_set_up(ifindex, true);
	return err;
}

int link_set_mtu(int ifindex, uint32_t mtu)
{
	char buffer[RTNL_BUFFER];
	struct ifinfomsg *header;
	struct nlmsghdr *m = link_message(buffer, RTM_NEWLINK, 0, ifindex, &header);

	mnl_attr_put_u32(m, IFLA_MTU, mtu);
	return rtnl_request(m);
}

/* --- watching --- */

struct link_watch {
	struct mnl_socket *socket;
};

int link_watch_new(struct link_watch **out)
{
	static const int group = RTNLGRP_LINK;
	struct link_watch *w = calloc(1, sizeof(*w));
	int err = w ? rtnl_listen(&group, 1, &w->socket) : -ENOMEM;

	/* Without CAP_NET_BROADCAST those of our own network namespace tell, as the header says. */
	if (!err &&
	    mnl_socket_setsockopt(w->socket, NETLINK_LISTEN_ALL_NSID, &(int){1}, sizeof(int)) < 0 &&
	    errno != EPERM)
		err = -errno;
	if (err)
		link_watch_free(w);
	else
		*out = w;
	return err;
}

void link_watch_free(struct link_watch *w)
{
	if (!w)
		return;
	if (w->socket)
		mnl_socket_close(w->socket);
	free(w);
}

int link_watch_fd(const struct link_watch *w)
{
	return mnl_socket_get_fd(w->socket);
}

struct watcher {
	void (*event)(void *context, enum link_event e, const struct link_info *link);
	void *context;
};

static int watched(const struct nlmsghdr *m, void *context)
{
	const struct watcher *w = context;
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(m);
	struct link_info info;

	if (m->nlmsg_type != RTM_NEWLINK && m->nlmsg_type != RTM_DELLINK)
		return MNL_CB_OK;
	/* Bridges (ports) and IPv6 (settings) send messages of the same type: skip these. */
	if (header->ifi_family != AF_UNSPEC)
		return MNL_CB_OK;
	read_link(m, &info);
	w->event(w->context, m->nlmsg_type == RTM_DELLINK ? LINK_GONE : LINK_CHANGED, &info);
	return MNL_CB_OK;
}

/* A message, and whether it is of another network namespace: its numbers mean other devices. */
static ssize_t receive(struct link_watch *w, void *buffer, size_t room, bool *elsewhere)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec piece = {buffer, room};
	struct msghdr m = {
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	const ssize_t n = recvmsg(link_watch_fd(w), &m, MSG_DONTWAIT);
	const struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR(&m) : NULL;
	int number = -1;

	if (c && c->cmsg_level == SOL_NETLINK && c->cmsg_type == NETLINK_LISTEN_ALL_NSID)
		memcpy(&number, CMSG_DATA(c), sizeof(number));
	*elsewhere = number >= 0;
	return n;
}

int link_watch_read(struct link_watch *w,
		    void (*event)(void *context, enum link_event e, const struct link_info *link),
		    void *context)
{
	struct watcher watcher = {event, context};
	char buffer[RTNL_BUFFER];

	for (;;) {
		bool elsewhere;
		ssize_t n = receive(w, buffer, sizeof(buffer), &elsewhere);

		if (n < 0 && errno == ENOBUFS) {
			event(context, LINK_OVERRUN, NULL);
			continue;
		}
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		if (elsewhere)
			event(context, LINK_IN_OTHER_NAMESPACE, NULL);
		else
			mnl_cb_run(buffer, (size_t)n, 0, 0, watched, &watcher);
	}
}
