/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TC ingress of the uplink: what comes to the WireGuard ports and is no WireGuard message ends
 * here; plaintext in the name of a pod of another node is counted, and in strict mode dropped, so
 * that nobody talks to a pod past the encryption.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include "guard_maps.h"

enum { INITIATION = 1, RESPONSE, COOKIE_REPLY, DATA };
enum { INITIATION_SIZE = 148, RESPONSE_SIZE = 92, COOKIE_REPLY_SIZE = 64, DATA_MIN = 32 };
#define UDP_HEADER 8

/* `len` is that of the datagram; 0: several were joined, and only the first one's type is seen. */
static __always_inline bool well_formed(struct cursor *c, __u32 len)
{
	__u8 head[4];

	if (!take(c, head, sizeof(head)) || head[1] || head[2] || head[3])
		return false;
	switch (head[0]) {
	case INITIATION:
		return !len || len == INITIATION_SIZE;
	case RESPONSE:
		return !len || len == RESPONSE_SIZE;
	case COOKIE_REPLY:
		return !len || len == COOKIE_REPLY_SIZE;
	case DATA:
		return !len || len >= DATA_MIN;
	}
	return false;
}

static __always_inline int plain(const struct pv_guard_settings *s)
{
	if (s->strict) {
		COUNT(drop_plain_inward);
		return TC_ACT_SHOT;
	}
	COUNT(plain_inward);
	return PASS;
}

SEC("tc")
int shield(struct __sk_buff *skb)
{
	struct cursor c = {.skb = skb};
	const struct pv_guard_settings *s;
	struct ip_view ip;
	struct udp_view udp;
	__be16 protocol;
	__u32 zero = 0;
	bool readable;

	s = bpf_map_lookup_elem(&guard_settings, &zero);
	if (!s || !parse_ethernet(&c, &protocol) || !parse_ip(&c, protocol, &ip))
		return PASS;
	if (is_remote(ip.version, ip.source))
		return plain(s);
	if (ip.protocol != IPPROTO_UDP || ip.fragment || !parse_udp(&c, &udp))
		return PASS;
	if (udp.destination && (udp.destination == s->port4 || udp.destination == s->port6)) {
		if (udp.length < UDP_HEADER ||
		    !well_formed(&c, skb->gso_size ? 0 : udp.length - UDP_HEADER)) {
			COUNT(drop_wire_short);
			return TC_ACT_SHOT;
		}
		if (s->mark_ingress)
			skb->mark |= s->fwmark;
		return PASS;
	}
	if (udp.destination != s->vxlan_port)
		return PASS;
	if (parse_vxlan(&c, &ip, &readable) && is_remote(ip.version, ip.source))
		return plain(s);
	return PASS;
}

char _license[] SEC("license") __weak = "Dual BSD/GPL";
