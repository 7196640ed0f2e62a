/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TC egress of the uplink: a packet for a pod of another node that does not bear the mark of outer
 * packets is a leak, bare or inside VXLAN. It is counted, and in strict mode dropped.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include "guard_maps.h"

static __always_inline int leak(const struct pv_guard_settings *s)
{
	if (s->strict) {
		COUNT(drop_leak);
		return TC_ACT_SHOT;
	}
	COUNT(leaks);
	return PASS;
}

SEC("tc")
int guard(struct __sk_buff *skb)
{
	struct cursor c = {.skb = skb};
	const struct pv_guard_settings *s;
	struct ip_view ip;
	struct udp_view udp;
	__be16 protocol;
	__u32 zero = 0;
	bool readable;

	s = bpf_map_lookup_elem(&guard_settings, &zero);
	if (!s)
		return PASS;
	if (s->fwmark && (skb->mark & s->fwmark_mask) == (s->fwmark & s->fwmark_mask))
		return PASS;
	if (!parse_ethernet(&c, &protocol) || !parse_ip(&c, protocol, &ip))
		return PASS; /* nobody delivers that to a pod */
	if (is_remote(ip.version, ip.destination))
		return leak(s);
	if (ip.protocol != IPPROTO_UDP || ip.fragment || !parse_udp(&c, &udp) ||
	    udp.destination != s->vxlan_port)
		return PASS;
	if (parse_vxlan(&c, &ip, &readable))
		return is_remote(ip.version, ip.destination) ? leak(s) : PASS;
	/* What it carries is cut short: in strict mode nobody takes it on trust. */
	return readable || !s->strict ? PASS : leak(s);
}

char _license[] SEC("license") __weak = "Dual BSD/GPL";
