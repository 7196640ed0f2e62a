/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/our_routes.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/array.h"
#include "netlink/route.h"
#include "netlink/rtnl.h"

/* What a dump finds: an array that grows. */
struct found {
	int family, device;
	void *all;
	size_t size, n, room; /* size: of one */
	int err;
};

static void keep(struct found *f, const void *one)
{
	void *all = array_grow(f->all, f->n, &f->room, f->size);

	if (!all) {
		f->err = -ENOMEM;
		return;
	}
	f->all = all;
	memcpy((char *)f->all + f->n++ * f->size, one, f->size);
}

static uint32_t number(const struct nlattr *a, uint32_t otherwise)
{
	return a ? mnl_attr_get_u32(a) : otherwise;
}

/* How often to repeat a dump. One during which something changed is not complete. */
#define ATTEMPTS 20

/* All that one kind of request dumps, of one family; nothing where the kernel does not have it. */
static int dump(struct found *f, uint16_t type, size_t header, mnl_cb_t each)
{
	int err = -EINTR;

	for (int i = 0; i < ATTEMPTS && err == -EINTR; i++) {
		char buffer[RTNL_BUFFER];
		void *body;
		struct nlmsghdr *m = rtnl_begin(buffer, type, NLM_F_DUMP, &body, header);

		*(uint8_t *)body = (uint8_t)f->family; /* the first member of both headers */
		f->n = 0;
		f->err = 0;
		err = rtnl_query(m, each, f);
	}
	if (err == -EAFNOSUPPORT || err == -EOPNOTSUPP)
		return 0;
	return err ? err : f->err;
}

/* --- rules --- */

static int visit_rule(const struct nlmsghdr *m, void *context)
{
	const struct fib_rule_hdr *header = mnl_nlmsg_get_payload(m);
	const struct nlattr *a[FRA_MAX + 1] = {NULL};
	struct found *f = context;
	struct our_rule r = {.family = header->family};

	rtnl_attributes(m, sizeof(*header), a, FRA_MAX);
	if (header->family != f->family || !a[FRA_PROTOCOL] ||
	    mnl_attr_get_u8(a[FRA_PROTOCOL]) != ROUTE_PROTOCOL)
		return MNL_CB_OK;
	r.priority = number(a[FRA_PRIORITY], 0);
	r.table = number(a[FRA_TABLE], header->table);
	keep(f, &r);
	return MNL_CB_OK;
}

int our_rules(int family, struct our_rule **out, size_t *n)
{
	struct found f = {.family = family, .size = sizeof(**out)};
	int err = dump(&f, RTM_GETRULE, sizeof(struct fib_rule_hdr), visit_rule);

	*out = f.all;
	*n = f.n;
	return err;
}

int our_rule_delete(const struct our_rule *r)
{
	char buffer[RTNL_BUFFER];
	void *body;
	struct nlmsghdr *m = rtnl_begin(buffer, RTM_DELRULE, 0, &body, sizeof(struct fib_rule_hdr));
	int err;

	((struct fib_rule_hdr *)body)->family = (uint8_t)r->family;
	/* The kernel deletes a rule that matches the attributes given. The protocol number protects
	 * other people's rules. */
	mnl_attr_put_u32(m, FRA_PRIORITY, r->priority);
	mnl_attr_put_u32(m, FRA_TABLE, r->table);
	mnl_attr_put_u8(m, FRA_PROTOCOL, ROUTE_PROTOCOL);
	err = rtnl_request(m);
	return err == -ENOENT ? 0 : err;
}

/* --- routes --- */

static int visit_route(const struct nlmsghdr *m, void *context)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(m);
	const struct nlattr *a[RTA_MAX + 1] = {NULL};
	struct found *f = context;
	struct our_route r = {
		.to = {.family = header->rtm_family, .prefix_len = header->rtm_dst_len},
		.type = header->rtm_type,
		.protocol = header->rtm_protocol,
		.scope = header->rtm_scope,
	};

	if (m->nlmsg_type != RTM_NEWROUTE || header->rtm_family != f->family ||
	    header->rtm_flags & RTM_F_CLONED)
		return MNL_CB_OK;
	rtnl_attributes(m, sizeof(*header), a, RTA_MAX);
	r.table = number(a[RTA_TABLE], header->rtm_table);
	r.metric = number(a[RTA_PRIORITY], 0);
	r.ifindex = (int)number(a[RTA_OIF], 0);
	if (a[RTA_DST])
		memcpy(r.to.address, mnl_attr_get_payload(a[RTA_DST]),
		       cidr_address_size(f->family));
	/* The kernel's own (local, link-local, multicast) come and go with a device's address. */
	if (r.protocol == ROUTE_PROTOCOL ||
	    (f->device && r.ifindex == f->device && r.protocol != RTPROT_KERNEL))
		keep(f, &r);
	return MNL_CB_OK;
}

int our_routes(int family, int device, struct our_route **out, size_t *n)
{
	struct found f = {.family = family, .device = device, .size = sizeof(**out)};
	int err = dump(&f, RTM_GETROUTE, sizeof(struct rtmsg), visit_route);

	*out = f.all;
	*n = f.n;
	return err;
}

int our_route_delete(const struct our_route *r)
{
	char buffer[RTNL_BUFFER];
	void *body;
	struct nlmsghdr *m = rtnl_begin(buffer, RTM_DELROUTE, 0, &body, sizeof(struct rtmsg));
	struct rtmsg *header = body;
	int err;

	header->rtm_family = r->to.family;
	header->rtm_dst_len = r->to.prefix_len;
	header->rtm_table = RT_TABLE_UNSPEC;
	header->rtm_protocol = r->protocol;
	header->rtm_scope = r->scope;
	header->rtm_type = r->type;
	mnl_attr_put_u32(m, RTA_TABLE, r->table);
	if (r->to.prefix_len)
		mnl_attr_put(m, RTA_DST, cidr_address_size(r->to.family), r->to.address);
	if (r->metric)
		mnl_attr_put_u32(m, RTA_PRIORITY, r->metric);
	if (r->ifindex)
		mnl_attr_put_u32(m, RTA_OIF, (uint32_t)r->ifindex);
	err = rtnl_request(m);
	/* It went with its device. */
	return err == -ESRCH || err == -ENODEV ? 0 : err;
}

const char *our_route_text(const struct our_route *r, char out[OUR_ROUTE_TEXT])
{
	static const char *const types[] = {
		[RTN_BLACKHOLE] = "blackhole ",
		[RTN_UNREACHABLE] = "unreachable ",
		[RTN_PROHIBIT] = "prohibit ",
		[RTN_THROW] = "throw ",
	};
	const char *type =
		r->type < sizeof(types) / sizeof(*types) && types[r->type] ? types[r->type] : "";
	char to[CIDR_TEXT];

	snprintf(out, OUR_ROUTE_TEXT, "%s%s table %u", type, cidr_format(&r->to, false, to),
		 r->table);
	return out;
}
