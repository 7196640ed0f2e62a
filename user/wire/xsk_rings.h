/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The four rings of an AF_XDP socket, which it shares with the kernel. libxdp's inline functions work
 * on them. Opening is our own, because libxdp cannot map the rings of a socket that another process
 * has bound. Errors are -errno. Internal to the folder.
 */
#ifndef WIRE_XSK_RINGS_H
#define WIRE_XSK_RINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <xdp/xsk.h>

#define XSK_CHUNKS   2048u /* to receive into; the fill ring has a place for each */
#define XSK_RX_RING  2048u
#define XSK_SENDABLE 1024u /* frames to send; the other two rings have a place for each */

enum { XSK_FILL, XSK_COMPLETION, XSK_RX, XSK_TX, XSK_RINGS };

struct xsk_rings {
	struct xsk_ring_prod fill, tx;
	struct xsk_ring_cons completion, rx;
	struct {
		void *at;
		size_t size;
	} mapped[XSK_RINGS];
};

/* Makes the rings of a new socket, before it is bound. `sends`: also those for sending. */
int xsk_rings_make(int fd, bool sends);
/* Maps them. Also of a socket that is bound: they say themselves how far they were used (Linux 6.4
 * and later; before, -EINVAL). After an error, too, xsk_rings_unmap(). */
int xsk_rings_map(int fd, bool sends, struct xsk_rings *out);
void xsk_rings_unmap(struct xsk_rings *r);

#endif
