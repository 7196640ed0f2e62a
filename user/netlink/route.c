/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/route.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netlink/rtnl.h"

static struct cidr cidr_of(int family, const struct nlattr *a, uint8_t prefix_len)
{
	struct cidr c = {.family = (uint8_t)family, .prefix_len = prefix_len};

	if (a)
		memcpy(c.address, mnl_attr_get_payload(a), cidr_address_size(family));
	return c;
}

/* --- routes --- */

struct route_dump {
	int family, ifindex;
	uint32_t table;
	void (*each)(void *context, const struct route *r);
	void *context;
};

/* Is it ours, and which? */
static bool read_route(const struct nlmsghdr *m, const struct route_dump *d, struct route *out)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(m);
	const struct nlattr *a[RTA_MAX + 1] = {NULL};
	const struct nlattr *metrics[RTAX_MAX + 1] = {NULL};
	uint32_t table;
	int oif;

	rtnl_attributes(m, sizeof(*header), a, RTA_MAX);
	table = a[RTA_TABLE] ? mnl_attr_get_u32(a[RTA_TABLE]) : header->rtm_table;
	oif = a[RTA_OIF] ? (int)mnl_attr_get_u32(a[RTA_OIF]) : 0;
	if (header->rtm_family != d->family || (d->table && table != d->table) ||
	    header->rtm_flags & RTM_F_CLONED)
		return false;
	*out = (struct route){.to = cidr_of(d->family, a[RTA_DST], header->rtm_dst_len)};
	if (header->rtm_type == RTN_UNICAST && d->ifindex && oif == d->ifindex &&
	    header->rtm_protocol == RTPROT_BOOT) {
		out->kind = ROUTE_DEVICE;
		if (a[RTA_PREFSRC])
			out->source =
				cidr_of(d->family, a[RTA_PREFSRC], d->family == AF_INET ? 32 : 128);
		if (a[RTA_METRICS])
			rtnl_nested(a[RTA_METRICS], metrics, RTAX_MAX);
		if (metrics[RTAX_MTU])
			out->mtu = mnl_attr_get_u32(metrics[RTAX_MTU]);
		return true;
	}
	if (header->rtm_protocol != ROUTE_PROTOCOL)
		return false;
	if (header->rtm_type == RTN_THROW)
		out->kind = ROUTE_THROW;
	else if (header->rtm_type == RTN_BLACKHOLE)
		out->kind = ROUTE_BACKUP;
	else if (header->rtm_type == RTN_UNREACHABLE)
		out->kind = ROUTE_UNREACHABLE;
	else
		return false;
	return true;
}

static int on_route(const struct nlmsghdr *m, void *context)
{
	const struct route_dump *d = context;
	struct route r;

	if (m->nlmsg_type == RTM_NEWROUTE && read_route(m, d, &r))
		d->each(d->context, &r);
	return MNL_CB_OK;
}

int route_each(int family, uint32_t table, int ifindex,
	       void (*each)(void *context, const struct route *r), void *context)
{
	struct route_dump d = {family, ifindex, table, each, context};
	char buffer[RTNL_BUFFER];
	void *body;
	struct nlmsghdr *m =
		rtnl_begin(buffer, RTM_GETROUTE, NLM_F_DUMP, &body, sizeof(struct rtmsg));
	struct rtmsg *header = body;

	header->rtm_family = (uint8_t)family;
	if (table) {
		header->rtm_table = RT_TABLE_UNSPEC;
		mnl_attr_put_u32(m, RTA_TABLE, table);
	}
	return rtnl_query(m, on_route, &d);
}

static struct nlmsghdr *route_message(void *buffer, uint16_t type, uint16_t flags, uint32_t table,
				      int ifindex, const struct route *r)
{
	static const uint8_t types[] = {
		[ROUTE_THROW] = RTN_THROW,
		[ROUTE_DEVICE] = RTN_UNICAST,
		[ROUTE_BACKUP] = RTN_BLACKHOLE,
		[ROUTE_UNREACHABLE] = RTN_UNREACHABLE,
	};
	void *body;
	struct nlmsghdr *m = rtnl_begin(buffer, type, flags, &body, sizeof(struct rtmsg));
	struct rtmsg *header = body;
	const size_t size = cidr_address_size(r->to.family);

	header->rtm_family = r->to.family;
	header->rtm_dst_len = r->to.prefix_len;
	header->rtm_table = RT_TABLE_UNSPEC;
	header->rtm_protocol = r->kind == ROUTE_DEVICE ? RTPROT_BOOT : ROUTE_PROTOCOL;
	header->rtm_scope = r->kind == ROUTE_DEVICE && r->to.family == AF_INET ? RT_SCOPE_LINK
									       : RT_SCOPE_UNIVERSE;
	header->rtm_type = types[r->kind];
	mnl_attr_put_u32(m, RTA_TABLE, table);
	if (r->to.prefix_len)
		mnl_attr_put(m, RTA_DST, size, r->to.address);
	if (r->kind == ROUTE_DEVICE)
		mnl_attr_put_u32(m, RTA_OIF, (uint32_t)ifindex);
	if (r->kind == ROUTE_DEVICE && r->source.family)
		mnl_attr_put(m, RTA_PREFSRC, size, r->source.address);
	if (type == RTM_NEWROUTE && r->kind == ROUTE_DEVICE && r->mtu) {
		struct nlattr *metrics = mnl_attr_nest_start(m, RTA_METRICS);

		mnl_attr_put_u32(m, RTAX_MTU, r->mtu);
		mnl_attr_nest_end(m, metrics);
	}
	if (r->kind == ROUTE_BACKUP)
		mnl_attr_put_u32(m, RTA_PRIORITY, ROUTE_BACKUP_METRIC);
	return m;
}

int route_set(uint32_t table, int ifindex, const struct route *r)
{
	char buffer[RTNL_BUFFER];

	return rtnl_request(route_message(buffer, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, table,
					  ifindex, r));
}

int route_delete(uint32_t table, int ifindex, const struct route *r)
{
	char buffer[RTNL_BUFFER];

	return rtnl_request(route_message(buffer, RTM_DELROUTE, 0, table, ifindex, r));
}

static int on_default(const struct nlmsghdr *m, void *context)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(m);
	const struct nlattr *a[RTA_MAX + 1] = {NULL};
	int *ifindex = context;

	rtnl_attributes(m, sizeof(*header), a, RTA_MAX);
	if (!*ifindex && !header->rtm_dst_len && header->rtm_type == RTN_UNICAST && a[RTA_OIF] &&
	    (a[RTA_TABLE] ? mnl_attr_get_u32(a[RTA_TABLE]) : header->rtm_table) == RT_TABLE_MAIN)
		*ifindex = (int)mnl_attr_get_u32(a[RTA_OIF]);
	return MNL_CB_OK;
}

int route_default(int *ifindex)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};

	*ifindex = 0;
	for (size_t i = 0; i < 2 && !*ifindex; i++) {
		char buffer[RTNL_BUFFER];
		void *body;
		struct nlmsghdr *m =
			rtnl_begin(buffer, RTM_GETROUTE, NLM_F_DUMP, &body, sizeof(struct rtmsg));
		int err;

		((struct rtmsg *)body)->rtm_family = families[i];
		err = rtnl_query(m, on_default, ifindex);
		if (err)
			return err;
	}
	return *ifindex ? 0 : -ENODEV;
}

/* --- rules --- */

struct rule_search {
	int family;
	uint32_t mark;
	bool ours; /* those with our protocol, or those with none */
	void (*each)(void *context, uint32_t priority, uint32_t table);
	void *context;
};

static uint32_t u32_or(const struct nlattr *a, uint32_t fallback)
{
	return a ? mnl_attr_get_u32(a) : fallback;
}

/* `not from all fwmark MARK/MARK lookup TABLE`, with no other selector? */
static bool is_alike(const struct fib_rule_hdr *header, const struct nlattr *const *a,
		     uint32_t mark)
{
	static const uint16_t selectors[] = {
		FRA_IIFNAME,   FRA_OIFNAME,  FRA_FLOW,	      FRA_TUN_ID,      FRA_GOTO,
		FRA_UID_RANGE, FRA_IP_PROTO, FRA_SPORT_RANGE, FRA_DPORT_RANGE, FRA_L3MDEV};

	for (size_t i = 0; i < sizeof(selectors) / sizeof(*selectors); i++)
		if (a[selectors[i]])
			return false;
	return header->flags & FIB_RULE_INVERT && header->action == FR_ACT_TO_TBL &&
	       u32_or(a[FRA_FWMARK], 0) == mark && u32_or(a[FRA_FWMASK], 0) == mark &&
	       !header->src_len && !header->dst_len && !header->tos;
}

static int on_rule(const struct nlmsghdr *m, void *context)
{
	const struct fib_rule_hdr *header = mnl_nlmsg_get_payload(m);
	const struct nlattr *a[FRA_MAX + 1] = {NULL};
	const struct rule_search *s = context;
	uint8_t protocol;

	rtnl_attributes(m, sizeof(*header), a, FRA_MAX);
	protocol = a[FRA_PROTOCOL] ? mnl_attr_get_u8(a[FRA_PROTOCOL]) : 0;
	if (header->family == s->family && (protocol == ROUTE_PROTOCOL) == s->ours &&
	    is_alike(header, a, s->mark))
		s->each(s->context, u32_or(a[FRA_PRIORITY], 0),
			u32_or(a[FRA_TABLE], header->table));
	return MNL_CB_OK;
}

static int rule_each(const struct rule_search *s)
{
	char buffer[RTNL_BUFFER];
	void *body;
	struct nlmsghdr *m =
		rtnl_begin(buffer, RTM_GETRULE, NLM_F_DUMP, &body, sizeof(struct fib_rule_hdr));

	((struct fib_rule_hdr *)body)->family = (uint8_t)s->family;
	return rtnl_query(m, on_rule, (void *)s);
}

int rule_each_foreign(int family, uint32_t mark,
		      void (*each)(void *context, uint32_t priority, uint32_t table), void *context)
{
	const struct rule_search s = {family, mark, false, each, context};

	return rule_each(&s);
}

struct rule_wanted {
	uint32_t priority, table;
	bool there;
};

static void visit_rule(void *context, uint32_t priority, uint32_t table)
{
	struct rule_wanted *w = context;

	w->there |= priority == w->priority && table == w->table;
}

int rule_find(int family, uint32_t priority, uint32_t table, bool *there)
{
	struct rule_wanted w = {.priority = priority, .table = table};
	const struct rule_search s = {family, RULE_MARK, true, visit_rule, &w};
	int err = rule_each(&s);

	*there = w.there;
	return err;
}

static int rule_do(uint16_t type, uint16_t flags, int family, uint32_t mark, uint32_t priority,
		   uint32_t table, uint8_t protocol)
{
	char buffer[RTNL_BUFFER];
	void *body;
	struct nlmsghdr *m = rtnl_begin(buffer, type, flags, &body, sizeof(struct fib_rule_hdr));
	struct fib_rule_hdr *header = body;

	header->family = (uint8_t)family;
	header->action = FR_ACT_TO_TBL;
	header->flags = FIB_RULE_INVERT;
	mnl_attr_put_u32(m, FRA_PRIORITY, priority);
	mnl_attr_put_u32(m, FRA_FWMARK, mark);
	mnl_attr_put_u32(m, FRA_FWMASK, mark);
	mnl_attr_put_u32(m, FRA_TABLE, table);
	/* The protocol number tells our rule from an equal one of somebody else. */
	mnl_attr_put_u8(m, FRA_PROTOCOL, protocol);
	return rtnl_request(m);
}

int rule_add(int family, uint32_t priority, uint32_t table)
{
	bool there;
	int err = rule_find(family, priority, table, &there);

	if (err || there)
		return err;
	/* Without NLM_F_EXCL: the kernel ignores the protocol when it looks for an equal rule, so
	 * another program's rule would make ours fail. */
	return rule_do(RTM_NEWRULE, NLM_F_CREATE, family, RULE_MARK, priority, table,
		       ROUTE_PROTOCOL);
}

int rule_delete(int family, uint32_t priority, uint32_t table)
{
	return rule_do(RTM_DELRULE, 0, family, RULE_MARK, priority, table, ROUTE_PROTOCOL);
}

int rule_delete_foreign(int family, uint32_t mark, uint32_t priority, uint32_t table)
{
	/* Without a protocol the kernel takes the first that matches: the older one, theirs. Were
	 * it ours, it would be put back, and theirs has the same effect meanwhile. */
	return rule_do(RTM_DELRULE, 0, family, mark, priority, table, 0);
}

/* --- addresses --- */

struct address_dump {
	int family, ifindex; /* 0: all devices */
	void (*each)(void *context, int ifindex, const struct cidr *a);
	void *context;
};

static int on_address(const struct nlmsghdr *m, void *context)
{
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(m);
	const struct nlattr *a[IFA_MAX + 1] = {NULL};
	const struct address_dump *d = context;
	struct cidr c;

	rtnl_attributes(m, sizeof(*header), a, IFA_MAX);
	if (header->ifa_family != d->family ||
	    (d->ifindex && (int)header->ifa_index != d->ifindex) ||
	    header->ifa_scope == RT_SCOPE_LINK)
		return MNL_CB_OK;
	c = cidr_of(d->family, a[IFA_LOCAL] ? a[IFA_LOCAL] : a[IFA_ADDRESS], header->ifa_prefixlen);
	d->each(d->context, (int)header->ifa_index, &c);
	return MNL_CB_OK;
}

static int dump_addresses(const struct address_dump *d)
{
	struct address_dump dump = *d;
	char buffer[RTNL_BUFFER];
	void *body;
	struct nlmsghdr *m =
		rtnl_begin(buffer, RTM_GETADDR, NLM_F_DUMP, &body, sizeof(struct ifaddrmsg));
	struct ifaddrmsg *header = body;

	header->ifa_family = (uint8_t)d->family;
	header->ifa_index = (uint32_t)d->ifindex;
	return rtnl_query(m, on_address, &dump);
}

int address_each_device(int family, void (*each)(void *context, int ifindex, const struct cidr *a),
			void *context)
{
	const struct address_dump d = {family, 0, each, context};

	return dump_addresses(&d);
}

struct address_visit {
	void (*each)(void *context, const struct cidr *a);
	void *context;
};

static void visit_address(void *context, int ifindex, const struct cidr *a)
{
	const struct address_visit *v = context;

	(void)ifindex;
	v->each(v->context, a);
}

int address_each(int family, int ifindex, void (*each)(void *context, const struct cidr *a),
		 void *context)
{
	struct address_visit v = {each, context};
	const struct address_dump d = {family, ifindex, visit_address, &v};

	return dump_addresses(&d);
}

static int address_do(uint16_t type, uint16_t flags, int ifindex, const struct cidr *a)
{
	char buffer[RTNL_BUFFER];
	void *body;
	struct nlmsghdr *m = rtnl_begin(buffer, type, flags, &body, sizeof(struct ifaddrmsg));
	struct ifaddrmsg *header = body;

	header->ifa_family = a->family;
	header->ifa_prefixlen = a->prefix_len;
	header->ifa_index = (uint32_t)ifindex;
	/* No duplicate address detection: nobody else is on a tunnel. */
	header->ifa_flags = a->family == AF_INET6 ? IFA_F_NODAD : 0;
	mnl_attr_put(m, IFA_LOCAL, cidr_address_size(a->family), a->address);
	mnl_attr_put(m, IFA_ADDRESS, cidr_address_size(a->family), a->address);
	return rtnl_request(m);
}

int address_add(int ifindex, const struct cidr *a)
{
	int err = address_do(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, ifindex, a);

	return err == -EEXIST ? 0 : err;
}

int address_delete(int ifindex, const struct cidr *a)
{
	return address_do(RTM_DELADDR, 0, ifindex, a);
}

/* --- news --- */

struct route_watch {
	struct mnl_socket *socket;
};

int route_watch_new(bool neighbours, struct route_watch **out)
{
	const int groups[] = {
		RTNLGRP_LINK,	     neighbours ? RTNLGRP_NEIGH : RTNLGRP_TC,
		RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE,
		RTNLGRP_IPV4_RULE,   RTNLGRP_IPV6_IFADDR,
		RTNLGRP_IPV6_ROUTE,  RTNLGRP_IPV6_RULE,
	};
	struct route_watch *w = calloc(1, sizeof(*w));
	int err = w ? rtnl_listen(groups, sizeof(groups) / sizeof(*groups), &w->socket) : -ENOMEM;

	if (err)
		route_watch_free(w);
	else
		*out = w;
	return err;
}

void route_watch_free(struct route_watch *w)
{
	if (!w)
		return;
	if (w->socket)
		mnl_socket_close(w->socket);
	free(w);
}

int route_watch_fd(const struct route_watch *w)
{
	return mnl_socket_get_fd(w->socket);
}

void route_watch_drain(struct route_watch *w)
{
	char buffer[8192];

	/* An overrun (ENOBUFS) counts as a change, too: the caller then reads everything. */
	while (recv(route_watch_fd(w), buffer, sizeof(buffer), MSG_DONTWAIT) > 0 ||
	       errno == ENOBUFS || errno == EINTR)
		errno = 0;
}
