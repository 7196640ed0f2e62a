/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/clsact.h"

#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "netlink/rtnl.h"

struct visit {
	void (*each)(void *context, const struct clsact_filter *f);
	void *context;
};

static int bpf_attribute(const struct nlattr *a, void *context)
{
	struct clsact_filter *f = context;

	if (mnl_attr_get_type(a) == TCA_BPF_ID)
		f->program = mnl_attr_get_u32(a);
	else if (mnl_attr_get_type(a) == TCA_BPF_NAME)
		strncpy(f->name, mnl_attr_get_str(a), sizeof(f->name) - 1);
	return MNL_CB_OK;
}

struct filter_attributes {
	const struct nlattr *kind, *options;
};

static int attribute(const struct nlattr *a, void *context)
{
	struct filter_attributes *all = context;

	if (mnl_attr_get_type(a) == TCA_KIND)
		all->kind = a;
	else if (mnl_attr_get_type(a) == TCA_OPTIONS)
		all->options = a;
	return MNL_CB_OK;
}

static int visit_filter(const struct nlmsghdr *m, void *context)
{
	const struct visit *v = context;
	const struct tcmsg *t = mnl_nlmsg_get_payload(m);
	struct filter_attributes all = {NULL, NULL};
	struct clsact_filter f = {.handle = t->tcm_handle};

	mnl_attr_parse(m, sizeof(*t), attribute, &all);
	if (all.kind && all.options && !strcmp(mnl_attr_get_str(all.kind), "bpf"))
		mnl_attr_parse_nested(all.options, bpf_attribute, &f);
	v->each(v->context, &f);
	return MNL_CB_OK;
}

int clsact_each(int ifindex, enum bpf_tc_attach_point side,
		void (*each)(void *context, const struct clsact_filter *f), void *context)
{
	struct visit v = {each, context};
	char buffer[RTNL_BUFFER];
	void *body;
	struct nlmsghdr *m =
		rtnl_begin(buffer, RTM_GETTFILTER, NLM_F_DUMP, &body, sizeof(struct tcmsg));
	struct tcmsg *t = body;

	t->tcm_family = AF_UNSPEC;
	t->tcm_ifindex = ifindex;
	t->tcm_parent =
		TC_H_MAKE(TC_H_CLSACT, side == BPF_TC_INGRESS ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
	return rtnl_ask(m, visit_filter, &v);
}

static void count(void *context, const struct clsact_filter *f)
{
	(void)f;
	++*(unsigned int *)context;
}

void clsact_release(int ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	unsigned int n = 0;

	/* Not to be had: then there may be some. */
	if (!clsact_each(ifindex, BPF_TC_INGRESS, count, &n) &&
	    !clsact_each(ifindex, BPF_TC_EGRESS, count, &n) && !n)
		bpf_tc_hook_destroy(&hook);
}
