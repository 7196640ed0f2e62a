/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/*
 * The stamp: what the TC classifier knows of an inner packet and a worker needs, written over the
 * 12 address bytes of its Ethernet header. The veth pair is point to point, so nobody reads those
 * bytes as addresses. A frame without the magic is unstamped (the classifier was not there, e.g.
 * after a move to another network namespace): the worker then looks the packet up itself. Of a
 * superpacket, steer adds the segment size, which nothing else would tell.
 *
 * All fields are in host byte order. Shared by bpf/ and user/; data layout only.
 */
#ifndef PODVEIL_STAMP_H
#define PODVEIL_STAMP_H

#include <linux/types.h>

/* Reads as the first two address bytes 'S','V': a group address that no veth end ever has. */
#define PV_STAMP_MAGIC 0x5653

/* The slot of a packet for which no peer was found: the worker answers ICMP and drops. */
#define PV_STAMP_NO_PEER 0xffffffffu

enum pv_stamp_flags {
	PV_STAMP_CSUM_PARTIAL = 1 << 0, /* a checksum field holds the pseudo-header's sum only */
	PV_STAMP_BY_STEER = 1 << 1,	/* of all fields, only gso_size is known */
};

/* In the other flags, in units of two bytes: where that checksum is, unless it is the one of the
 * header behind IP's. A pod's own tunnel (VXLAN, GRE) leaves that of the packet inside unfinished.
 * It covers what is behind `start`, counted from the IP header; its field is at `offset` of that.
 */
#define PV_STAMP_CSUM_OFFSET	      2
#define PV_STAMP_CSUM_OFFSET_MAX      62
#define PV_STAMP_CSUM_START	      7
#define PV_STAMP_CSUM_START_MAX	      1022
#define PV_STAMP_CSUM_START_IN(flags) (((flags) >> PV_STAMP_CSUM_START) * 2)
#define PV_STAMP_CSUM_OFFSET_IN(flags)                                                             \
	(((flags) >> PV_STAMP_CSUM_OFFSET) * 2 & PV_STAMP_CSUM_OFFSET_MAX)

struct pv_stamp {
	__u16 magic;	  /* PV_STAMP_MAGIC */
	__u16 flags;	  /* enum pv_stamp_flags */
	__u16 gso_size;	  /* superpacket: payload bytes a segment; else 0 */
	__u16 generation; /* of the peer slot when the packet was classified */
	__u32 peer;	  /* peer slot, or PV_STAMP_NO_PEER */
};

_Static_assert(sizeof(struct pv_stamp) == 12, "the stamp covers the two address fields exactly");

#endif
