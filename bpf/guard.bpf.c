/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TC egress of the devices that lead out of the node. A packet for a pod of another node is
 * plaintext here, encapsulated or not, and whatever its mark: WireGuard's own packets go to nodes,
 * never to pods. guard counts it; the packet counts as leaked if encryption with that node was
 * established before. In strict mode guard drops it. It then also drops packets that it cannot
 * read, because they may hide such a packet.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include "guard_maps.h"
#include "walk.h"

static __always_inline int check_egress(struct __sk_buff *skb, enum header first)
{
	struct walk w = {.header = first};
	const struct pv_guard_settings *s = settings();
	enum finding found;

	if (!s)
		return PASS;
	found = walk(skb, &w);
	if (found == NO_POD)
		return PASS;
	if (s->strict) {
		COUNT(drop_leak);
		return TC_ACT_SHOT;
	}
	if (found == UNREADABLE)
		return PASS;
	COUNT(leaks);
	if (found == ENCRYPTED_POD)
		COUNT(leaked);
	else
		COUNT(plain_before_encryption);
	return PASS;
}

SEC("tc")
int guard(struct __sk_buff *skb)
{
	return check_egress(skb, ETHERNET);
}

/* For devices whose packets begin with the IP header. */
SEC("tc")
int guard_ip(struct __sk_buff *skb)
{
	return check_egress(skb, BARE_IP);
}

char _license[] SEC("license") __weak = "Dual BSD/GPL";
