/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/*
 * The stamp tells a worker what the TC classifier found out about an inner packet. It replaces the
 * 12 address bytes of the packet's Ethernet header: the veth pair is point to point, so nobody
 * needs them as addresses. A frame without the magic is unstamped: the classifier was not there,
 * for example after the device moved to another network namespace. The worker then looks up the
 * peer itself. If the frame is a superpacket, steer adds its segment size: the worker has no other
 * source for it.
 *
 * All fields are in host byte order. Shared by bpf/ and user/; data layout only.
 */
#ifndef PODVEIL_STAMP_H
#define PODVEIL_STAMP_H

#include <linux/types.h>

/* On the wire its first byte is 'S' (0x53), a multicast address: no end of the veth pair has
 * one. */
#define PV_STAMP_MAGIC 0x5653

/* No peer was found for the packet: the worker answers with ICMP and drops it. */
#define PV_STAMP_NO_PEER 0xffffffffu

enum pv_stamp_flags {
	PV_STAMP_CSUM_PARTIAL = 1 << 0, /* the checksum field holds only the pseudo-header's sum */
	PV_STAMP_BY_STEER = 1 << 1,	/* steer wrote the stamp: only gso_size is valid */
};

/* The other bits of `flags`: where the unfinished checksum is, in units of two bytes. Both are 0 if
 * it is the checksum of the header that follows the IP header. Otherwise it belongs to the packet
 * inside a pod's own tunnel (VXLAN, GRE). START: where the checksummed bytes begin, counted from
 * the IP header. OFFSET: the checksum field, counted from START. */
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
	__u16 gso_size;	  /* payload bytes of a segment; 0: no superpacket */
	__u16 generation; /* of the peer slot when the packet was classified */
	__u32 peer;	  /* peer slot, or PV_STAMP_NO_PEER */
};

_Static_assert(sizeof(struct pv_stamp) == 12, "the stamp covers the two address fields exactly");

#endif
