/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way back into the kernel: decrypted packets are sent on the inner end and so arrive on the
 * tunnel device. Consecutive packets of a flow were joined before. The AF_PACKET socket takes a
 * virtio header with each packet, so that superpackets stay whole. For packets larger than the
 * tunnel device's MTU see oversize.h.
 *
 * One thread. Errors are -errno.
 */
#ifndef DATAPATH_INJECT_H
#define DATAPATH_INJECT_H

#include <stdatomic.h>

#include "packet/join.h"
#include "podveil/counters.h"

struct inject;

/* The tunnel device's addresses and MTU. Any thread may change them. */
struct inject_target {
	_Atomic uint64_t mac; /* the first 6 bytes in memory; the destination of each frame */
	_Atomic uint32_t mtu; /* bytes */
};

/* `to` must live as long as the result. */
int inject_open(int inner_ifindex, const struct inject_target *to, struct inject **out);
void inject_close(struct inject *i);

/* Sends all packets. If the kernel refuses one, its segments are counted as dropped. */
void inject_send(struct inject *i, const struct joined *packets, size_t n,
		 struct pv_counters *count);

#endif
