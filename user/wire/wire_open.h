/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wires come and go: their sockets are opened on a port, handed to another process, adopted by it,
 * and closed. For the owner of the wires; never while another thread does the same.
 */
#ifndef WIRE_WIRE_OPEN_H
#define WIRE_WIRE_OPEN_H

#include <stdint.h>

struct wire;

/* Opens `n` wires on one port (0: any) and stores it. All or nothing. -EADDRINUSE also where
 * another socket shares the port with SO_REUSEPORT. IPv6 is left out where the kernel has none. */
int wire_open_all(struct wire **out, unsigned int n, uint16_t *port, uint32_t fwmark);
/* One more on the port of one that is open, with its mark. */
int wire_open_another(const struct wire *like, struct wire **out);
/* Datagrams go to the others on its port from now on; what it has can be received still. */
void wire_leave_group(struct wire *w);
void wire_close(struct wire *w);

/* The sockets on their way to another process. */
struct wire_handed {
	int fd4, fd6; /* -1: none */
	uint16_t port;
	uint32_t fwmark;
	uint32_t dropped4, dropped6; /* counted so far, of what the kernel counts for the sockets */
};
/* The descriptors stay the wire's. */
void wire_hand(const struct wire *w, struct wire_handed *out);
/* A wire of sockets that another process opened. It owns the descriptors from then on; after an error they stay
 * the caller's. -EINVAL: not UDP sockets on that port. */
int wire_adopt(const struct wire_handed *handed, struct wire **out);
int wire_set_fwmark(struct wire *w, uint32_t fwmark);

#endif
