/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of `struct wire`, shared by wire.c, wire_open.c and wire_socket.c. */
#ifndef WIRE_WIRE_PARTS_H
#define WIRE_WIRE_PARTS_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "wire/wire.h"

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

struct wire {
	int fd4, fd6;
	uint32_t dropped4, dropped6; /* by the kernel, as the sockets said last; the worker's */
	uint16_t port;
	uint32_t fwmark;
	struct wire_xdp *queue; /* (rcu) NULL: none */
};

/* Datagrams read from a socket at a time. */
#define WIRE_RECEIVE_BUFFERS 8

union wire_control {
	struct cmsghdr align;
	/* UDP_SEGMENT or UDP_GRO; TOS or traffic class; what was dropped; the larger packet info.
	 */
	uint8_t bytes[CMSG_SPACE(sizeof(int)) * 3 + CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

struct wire_buffers {
	uint8_t *memory;
	struct mmsghdr messages[WIRE_SEND_RUNS];
	struct iovec pieces[WIRE_SEND_RUNS];
	union wire_control controls[WIRE_SEND_RUNS];
	struct endpoint endpoints[WIRE_SEND_RUNS];
};

void wire_socket_send(struct wire *w, struct wire_buffers *b, const struct wire_run *runs,
		      unsigned int n, struct pv_counters *count);
unsigned int wire_socket_receive(struct wire *w, struct wire_buffers *b, bool ipv6,
				 struct wire_received *out, struct pv_counters *count);

#endif
