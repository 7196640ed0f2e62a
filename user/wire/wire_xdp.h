/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One queue of the uplink, `xdp` mode: data messages as frames through AF_XDP. It takes what it can
 * and refuses the rest, which goes through the wire's sockets: that is so for a peer to which no
 * way is known (destination.h: path), for a message that does not fit the path whole, and while the
 * device takes no more. Handshakes never come here.
 *
 * Owner: open, close, mark, and asking for what waits. Worker: everything else.
 */
#ifndef WIRE_WIRE_XDP_H
#define WIRE_WIRE_XDP_H

#include "wire/wire.h"
#include "wire/xsk.h"

struct wire_xdp_params {
	int ifindex;
	unsigned int queue;
	bool zero_copy; /* fails where the driver cannot; else the kernel copies */
	uint32_t fwmark;
	int path_missing_fd; /* eventfd that is written when a path is missed (endpoint_box.path_missing) */
};

int wire_xdp_open(const struct wire_xdp_params *params, struct wire_xdp **out);
void wire_xdp_close(struct wire_xdp *q);
int wire_xdp_fd(const struct wire_xdp *q);
int wire_xdp_set_fwmark(struct wire_xdp *q, uint32_t fwmark);
/* --- on its way to another process --- */

struct wire_xdp_handed {
	struct xsk_handed xsk;
	uint16_t id; /* of the next IPv4 packet */
};
/* No thread may use the queue meanwhile (xsk_hand()). */
void wire_xdp_hand(struct wire_xdp *q, struct wire_xdp_handed *out);
/* A queue that another process opened. As xsk_adopt(); of `params`, only ifindex and path_missing_fd count. */
int wire_xdp_adopt(const struct wire_xdp_params *params, const struct wire_xdp_handed *handed,
		   struct wire_xdp **out);

/* Has something come in that was not received yet? Any thread. */
bool wire_xdp_waiting(const struct wire_xdp *q);

/* Sends the first so many runs, which it returns; *refused: so many of those that follow are the
 * sockets' business. Inside an RCU read side. */
unsigned int wire_xdp_send(struct wire_xdp *q, uint16_t port, const struct wire_run *runs,
			   unsigned int n, unsigned int *refused, struct pv_counters *count);
/* Data lies in the queue's memory until the next call. Inside an RCU read side. */
unsigned int wire_xdp_receive(struct wire_xdp *q, struct wire_received out[WIRE_RECEIVE_MAX],
			      struct pv_counters *count);
/* Frames wait for the device; the next call of either sends them. */
bool wire_xdp_has_unsent(const struct wire_xdp *q);
/* What AF_XDP itself counted since the last call. */
void wire_xdp_count(struct wire_xdp *q, struct pv_counters *count);

#endif
