/* SPDX-License-Identifier: Apache-2.0 */
#include "programs/hook/clsact.h"

#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "netlink/rtnl.h"

struct visit {
	void (*each)(void *context, const struct clsact_filter *f);
	void *context;
};

static int visit_filter(const struct nlmsghdr *m, void *context)
{
	const struct visit *v = context;
	const struct tcmsg *t = mnl_nlmsg_get_payload(m);
	const struct nlattr *a[TCA_MAX + 1] = {NULL}, *of_bpf[TCA_BPF_MAX + 1] = {NULL};
	struct clsact_filter f = {
		.handle = t->tcm_handle,
		.priority = (uint16_t)(TC_H_MAJ(t->tcm_info) >> 16),
	};

	rtnl_attributes(m, sizeof(*t), a, TCA_MAX);
	if (a[TCA_KIND] && a[TCA_OPTIONS] && !strcmp(mnl_attr_get_str(a[TCA_KIND]), "bpf"))
		rtnl_nested(a[TCA_OPTIONS], of_bpf, TCA_BPF_MAX);
	if (of_bpf[TCA_BPF_ID])
		f.program = mnl_attr_get_u32(of_bpf[TCA_BPF_ID]);
	if (of_bpf[TCA_BPF_NAME])
		strncpy(f.name, mnl_attr_get_str(of_bpf[TCA_BPF_NAME]), sizeof(f.name) - 1);
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
	return rtnl_query(m, visit_filter, &v);
}
