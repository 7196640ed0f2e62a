/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/next_hop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "netlink/rtnl.h"

/* In these the kernel itself sends to the MAC address. */
#define NUD_USABLE (NUD_PERMANENT | NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE)

static struct cidr address(int family, const void *bytes)
{
	struct cidr c = {.family = (uint8_t)family, .prefix_len = family == AF_INET ? 32 : 128};

	memcpy(c.address, bytes, cidr_address_size(family));
	return c;
}

/* The address in an attribute, where it is as long as one. */
static bool take_address(int family, const struct nlattr *a, struct cidr *out)
{
	if (!a || mnl_attr_get_payload_len(a) != cidr_address_size(family))
		return false;
	*out = address(family, mnl_attr_get_payload(a));
	return true;
}

struct route_answer {
	const struct next_hop_query *query;
	struct next_hop *hop;
	int err;
};

/* A gateway of the other family. */
static bool take_via(const struct nlattr *a, struct cidr *out)
{
	const struct rtvia *via = mnl_attr_get_payload(a);
	const size_t len = mnl_attr_get_payload_len(a);

	if (len < sizeof(*via) || (via->rtvia_family != AF_INET && via->rtvia_family != AF_INET6) ||
	    len < sizeof(*via) + cidr_address_size(via->rtvia_family))
		return false;
	*out = address(via->rtvia_family, via->rtvia_addr);
	return true;
}

static int on_route(const struct nlmsghdr *m, void *context)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(m);
	const struct nlattr *a[RTA_MAX + 1] = {NULL}, *metrics[RTAX_MAX + 1] = {NULL};
	struct route_answer *answer = context;
	struct next_hop *hop = answer->hop;
	const int family = answer->query->to.family;

	rtnl_attributes(m, sizeof(*header), a, RTA_MAX);
	answer->err = -ENOTSUP;
	if (m->nlmsg_type != RTM_NEWROUTE || header->rtm_family != family ||
	    header->rtm_type != RTN_UNICAST || !a[RTA_OIF] || a[RTA_ENCAP])
		return MNL_CB_STOP;
	*hop = (struct next_hop){.ifindex = (int)mnl_attr_get_u32(a[RTA_OIF]),
				 .from = answer->query->from};
	if (!hop->from.family && !take_address(family, a[RTA_PREFSRC], &hop->from))
		return MNL_CB_STOP;
	if (!take_address(family, a[RTA_GATEWAY], &hop->gateway) &&
	    !(a[RTA_VIA] && take_via(a[RTA_VIA], &hop->gateway)))
		hop->gateway = answer->query->to;
	if (a[RTA_METRICS])
		rtnl_nested(a[RTA_METRICS], metrics, RTAX_MAX);
	if (metrics[RTAX_MTU] && mnl_attr_get_payload_len(metrics[RTAX_MTU]) == sizeof(hop->mtu))
		hop->mtu = mnl_attr_get_u32(metrics[RTAX_MTU]);
	answer->err = 0;
	return MNL_CB_STOP;
}

int next_hop_route(struct rtnl_socket *s, const struct next_hop_query *q, struct next_hop *out)
{
	struct route_answer answer = {q, out, -ENETUNREACH};
	const size_t size = cidr_address_size(q->to.family);
	char buffer[RTNL_BUFFER];
	void *body;
	struct nlmsghdr *m = rtnl_begin(buffer, RTM_GETROUTE, 0, &body, sizeof(struct rtmsg));
	struct rtmsg *header = body;
	int err;

	header->rtm_family = q->to.family;
	header->rtm_dst_len = (uint8_t)(size * 8);
	mnl_attr_put(m, RTA_DST, size, q->to.address);
	if (q->from.family) {
		header->rtm_src_len = (uint8_t)(size * 8);
		mnl_attr_put(m, RTA_SRC, size, q->from.address);
	}
	if (q->ifindex)
		mnl_attr_put_u32(m, RTA_OIF, (uint32_t)q->ifindex);
	if (q->fwmark)
		mnl_attr_put_u32(m, RTA_MARK, q->fwmark);
	mnl_attr_put_u8(m, RTA_IP_PROTO, IPPROTO_UDP);
	mnl_attr_put_u16(m, RTA_SPORT, htons(q->from_port));
	mnl_attr_put_u16(m, RTA_DPORT, htons(q->to_port));
	err = rtnl_ask(s, m, on_route, &answer);
	return err ? err : answer.err;
}

/* In these it asks, or has asked in vain. */
#define NUD_SILENT (NUD_INCOMPLETE | NUD_FAILED)

struct neighbour_answer {
	struct next_hop *hop;
	bool usable;
};

static int on_neighbour(const struct nlmsghdr *m, void *context)
{
	const struct ndmsg *header = mnl_nlmsg_get_payload(m);
	const struct nlattr *a[NDA_MAX + 1] = {NULL};
	struct neighbour_answer *answer = context;

	rtnl_attributes(m, sizeof(*header), a, NDA_MAX);
	answer->hop->silent = header->ndm_state & NUD_SILENT;
	if (m->nlmsg_type != RTM_NEWNEIGH || !(header->ndm_state & NUD_USABLE) || !a[NDA_LLADDR] ||
	    mnl_attr_get_payload_len(a[NDA_LLADDR]) != 6)
		return MNL_CB_STOP;
	memcpy(answer->hop->mac, mnl_attr_get_payload(a[NDA_LLADDR]), 6);
	answer->usable = true;
	return MNL_CB_STOP;
}

int next_hop_find(struct rtnl_socket *s, const struct next_hop_query *q, struct next_hop *out)
{
	struct neighbour_answer answer = {out, false};
	char buffer[RTNL_BUFFER];
	struct nlmsghdr *m;
	struct ndmsg *header;
	void *body;
	int err = next_hop_route(s, q, out);

	if (err)
		return err;
	m = rtnl_begin(buffer, RTM_GETNEIGH, 0, &body, sizeof(*header));
	header = body;
	header->ndm_family = out->gateway.family;
	header->ndm_ifindex = out->ifindex;
	mnl_attr_put(m, NDA_DST, cidr_address_size(out->gateway.family), out->gateway.address);
	err = rtnl_ask(s, m, on_neighbour, &answer);
	if (err == -ENOENT)
		return -EAGAIN;
	return err ? err : answer.usable ? 0 : -EAGAIN;
}

struct address_dump {
	void (*each)(void *context, const struct cidr *a, int ifindex);
	void *context;
};

static int on_address(const struct nlmsghdr *m, void *context)
{
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(m);
	const struct nlattr *a[IFA_MAX + 1] = {NULL};
	const struct address_dump *d = context;
	uint32_t flags;
	struct cidr c;

	rtnl_attributes(m, sizeof(*header), a, IFA_MAX);
	flags = a[IFA_FLAGS] ? mnl_attr_get_u32(a[IFA_FLAGS]) : header->ifa_flags;
	/* A tentative address (duplicate address detection is running) cannot be used yet. */
	if (m->nlmsg_type != RTM_NEWADDR || flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) ||
	    header->ifa_scope == RT_SCOPE_HOST ||
	    !take_address(header->ifa_family, a[IFA_LOCAL] ? a[IFA_LOCAL] : a[IFA_ADDRESS], &c))
		return MNL_CB_OK;
	d->each(d->context, &c, (int)header->ifa_index);
	return MNL_CB_OK;
}

int local_address_each(void (*each)(void *context, const struct cidr *a, int ifindex),
		       void *context)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	struct address_dump d = {each, context};
	int err = 0;

	for (size_t i = 0; i < 2 && !err; i++) {
		char buffer[RTNL_BUFFER];
		void *body;
		struct nlmsghdr *m = rtnl_begin(buffer, RTM_GETADDR, NLM_F_DUMP, &body,
						sizeof(struct ifaddrmsg));

		((struct ifaddrmsg *)body)->ifa_family = families[i];
		err = rtnl_query(m, on_address, &d);
	}
	return err;
}
