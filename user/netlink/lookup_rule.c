/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/lookup_rule.h"

#include <errno.h>
#include <linux/fib_rules.h>

#include "netlink/route.h"
#include "netlink/rtnl.h"

struct search {
	int family;
	uint32_t table;
	struct lookup_rules *out;
};

static bool has_selector(const struct fib_rule_hdr *header, const struct nlattr *const *a)
{
	static const uint16_t selectors[] = {
		FRA_IIFNAME, FRA_OIFNAME,   FRA_FWMARK,	  FRA_FLOW,	   FRA_TUN_ID,
		FRA_L3MDEV,  FRA_UID_RANGE, FRA_IP_PROTO, FRA_SPORT_RANGE, FRA_DPORT_RANGE};

	for (size_t i = 0; i < sizeof(selectors) / sizeof(*selectors); i++)
		if (a[selectors[i]])
			return true;
	return header->src_len || header->dst_len || header->tos || header->flags & FIB_RULE_INVERT;
}

static int on_rule(const struct nlmsghdr *m, void *context)
{
	const struct fib_rule_hdr *header = mnl_nlmsg_get_payload(m);
	const struct nlattr *a[FRA_MAX + 1] = {NULL};
	const struct search *s = context;

	rtnl_attributes(m, sizeof(*header), a, FRA_MAX);
	if (header->family != s->family || header->action != FR_ACT_TO_TBL ||
	    (a[FRA_TABLE] ? mnl_attr_get_u32(a[FRA_TABLE]) : header->table) != s->table ||
	    !a[FRA_PROTOCOL] || mnl_attr_get_u8(a[FRA_PROTOCOL]) != ROUTE_PROTOCOL ||
	    has_selector(header, a) || s->out->n == LOOKUP_RULES)
		return MNL_CB_OK;
	s->out->priorities[s->out->n++] = a[FRA_PRIORITY] ? mnl_attr_get_u32(a[FRA_PRIORITY]) : 0;
	return MNL_CB_OK;
}

int lookup_rules_find(int family, uint32_t table, struct lookup_rules *out)
{
	struct search s = {family, table, out};
	char buffer[RTNL_BUFFER];
	void *body;
	struct nlmsghdr *m =
		rtnl_begin(buffer, RTM_GETRULE, NLM_F_DUMP, &body, sizeof(struct fib_rule_hdr));
	int err;

	out->n = 0;
	((struct fib_rule_hdr *)body)->family = (uint8_t)family;
	err = rtnl_query(m, on_rule, &s);
	return err == -EAFNOSUPPORT || err == -EOPNOTSUPP ? 0 : err;
}

static int change(uint16_t type, uint16_t flags, int family, uint32_t priority, uint32_t table)
{
	char buffer[RTNL_BUFFER];
	void *body;
	struct nlmsghdr *m = rtnl_begin(buffer, type, flags, &body, sizeof(struct fib_rule_hdr));
	struct fib_rule_hdr *header = body;

	header->family = (uint8_t)family;
	header->action = FR_ACT_TO_TBL;
	mnl_attr_put_u32(m, FRA_PRIORITY, priority);
	mnl_attr_put_u32(m, FRA_TABLE, table);
	mnl_attr_put_u8(m, FRA_PROTOCOL, ROUTE_PROTOCOL);
	return rtnl_request(m);
}

int lookup_rule_add(int family, uint32_t priority, uint32_t table)
{
	return change(RTM_NEWRULE, NLM_F_CREATE, family, priority, table);
}

int lookup_rule_delete(int family, uint32_t priority, uint32_t table)
{
	const int err = change(RTM_DELRULE, 0, family, priority, table);

	return err == -ENOENT ? 0 : err;
}
