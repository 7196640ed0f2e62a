/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joining decrypted segments of one flow into superpackets, as the kernel's GRO would: TCP (and UDP
 * datagrams of equal size) whose headers say that they follow each other. Payload is not moved: the
 * result is a list of pieces for one gathering write. Pure.
 *
 * Only segments whose checksums are right are joined, because a joined packet's are made anew. A
 * segment that may not be joined is passed on as it came. Order within a flow is never changed; a
 * packet that closes a flow's run (PSH, FIN, odd size, gap) ends it.
 *
 * The packet memory stays the caller's until join_flush() and whatever it does with the results.
 * Headers of a run's first segment are rewritten in place. One thread.
 */
#ifndef PACKET_JOIN_H
#define PACKET_JOIN_H

#include <linux/virtio_net.h>
#include <sys/uio.h>

#include "packet/packet.h"

#define JOIN_MAX_PACKETS 1024 /* fed between two flushes */
#define JOIN_MAX_BYTES	 65535
#define JOIN_MAX_PIECES	 64 /* segments in one superpacket */

/* What inject puts in front of a packet; offsets for the kernel count from there. */
#define JOIN_ETHERNET 14

/* One packet to inject: metadata for the kernel and the pieces, IP header first. */
struct joined {
	struct virtio_net_hdr
		vnet;	 /* offsets count from the Ethernet header that inject prepends */
	uint8_t version; /* 4 or 6 */
	uint16_t segments;
	uint16_t n_pieces;
	uint32_t length;
	const struct iovec *pieces;
};

struct join;

/* `udp`: join UDP datagrams, too (needs Linux 6.2 at the injecting end). NULL: no memory. */
struct join *join_new(bool udp);
void join_free(struct join *j);
/* Feeds one decrypted inner packet, of exactly p->length bytes. -ENOSPC: flush first. */
int join_add(struct join *j, uint8_t *data, const struct packet *p);
/* All results in order of each one's first segment. Valid until the next join_add(). */
size_t join_flush(struct join *j, const struct joined **out);

#endif
