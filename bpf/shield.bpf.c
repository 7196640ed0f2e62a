/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TC ingress of the devices that lead out of the node. A packet whose source is a pod of another
 * node is plaintext here. shield counts it; the packet counts as leaked if encryption with that
 * node was established before. In strict mode shield drops it, so that nobody can reach a pod
 * without encryption. It then also drops packets that it cannot read, because they may hide such a
 * packet. In both modes it drops malformed messages to the WireGuard ports of the node itself.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include "guard_maps.h"
#include "walk.h"

enum { INITIATION = 1, RESPONSE, COOKIE_REPLY, DATA };
enum { INITIATION_SIZE = 148, RESPONSE_SIZE = 92, COOKIE_REPLY_SIZE = 64, DATA_MIN = 32 };
enum { FAMILY_IP4 = 2, FAMILY_IP6 = 10 }; /* AF_INET, AF_INET6 */

static __always_inline bool well_formed(struct __sk_buff *skb, const struct datagram *d)
{
	/* 0: several joined datagrams; only the first one's type can be checked. */
	const __u32 len = skb->gso_size ? 0 : d->length - UDP_HEADER;
	__u8 head[4];

	if (d->length < UDP_HEADER || bpf_skb_load_bytes(skb, d->content, head, sizeof(head)) ||
	    head[1] || head[2] || head[3])
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

/* Is it addressed to the node itself? The routing table knows the node's addresses. */
static __always_inline bool is_for_node(struct __sk_buff *skb, const struct datagram *d)
{
	struct bpf_fib_lookup to = {.ifindex = skb->ifindex, .l4_protocol = IPPROTO_UDP};
	long found;

	if (d->version == 4) {
		to.family = FAMILY_IP4;
		__builtin_memcpy(&to.ipv4_src, d->source, 4);
		__builtin_memcpy(&to.ipv4_dst, d->destination, 4);
	} else {
		to.family = FAMILY_IP6;
		__builtin_memcpy(to.ipv6_src, d->source, 16);
		__builtin_memcpy(to.ipv6_dst, d->destination, 16);
	}
	found = bpf_fib_lookup(skb, &to, sizeof(to), 0);
	return found == BPF_FIB_LKUP_RET_NOT_FWDED || found == BPF_FIB_LKUP_RET_FWD_DISABLED;
}

static __always_inline int on_message(struct __sk_buff *skb, const struct pv_guard_settings *s,
				      const struct datagram *d)
{
	const bool good = well_formed(skb, d);

	/* A pod may use the same port for something else. */
	if ((good && !s->mark_ingress) || !is_for_node(skb, d))
		return PASS;
	if (!good) {
		COUNT(drop_wire_short);
		return TC_ACT_SHOT;
	}
	skb->mark |= s->fwmark;
	return PASS;
}

static __always_inline int check_ingress(struct __sk_buff *skb, enum header first)
{
	struct walk w = {.header = first, .inward = 1};
	const struct pv_guard_settings *s = settings();
	enum finding found;

	if (!s)
		return PASS;
	found = walk(skb, &w);
	if (found != NO_POD && s->strict) {
		COUNT(drop_plain_inward);
		return TC_ACT_SHOT;
	}
	if (found == POD || found == ENCRYPTED_POD) {
		COUNT(plain_inward);
		if (found == ENCRYPTED_POD)
			COUNT(leaked_inward);
		else
			COUNT(plain_inward_before_encryption);
		return PASS;
	}
	if (w.outer.port && (w.outer.port == s->port4 || w.outer.port == s->port6))
		return on_message(skb, s, &w.outer);
	return PASS;
}

SEC("tc")
int shield(struct __sk_buff *skb)
{
	return check_ingress(skb, ETHERNET);
}

/* For devices whose packets begin with the IP header. */
SEC("tc")
int shield_ip(struct __sk_buff *skb)
{
	return check_ingress(skb, BARE_IP);
}

char _license[] SEC("license") __weak = "Dual BSD/GPL";
