/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way back into the kernel: decrypted packets, joined where they follow each other, are sent on
 * the inner end and so arrive on the tunnel device. An AF_PACKET socket takes a virtio header with
 * each packet, which lets superpackets through whole. What is larger than the tunnel device's MTU
 * goes as oversize.h says.
 *
 * One thread. Errors are -errno.
 */
#ifndef DATAPATH_INJECT_H
#define DATAPATH_INJECT_H

#include <stdatomic.h>

#include "packet/join.h"
#include "podveil/counters.h"

struct inject;

/* The tunnel device as its owner last saw it; any thread may change it. */
struct inject_target {
	_Atomic uint64_t mac; /* its bytes in memory; the device takes only what bears it */
	_Atomic uint32_t mtu;
};

/* `to` lives as long as the result. */
int inject_open(int inner_ifindex, const struct inject_target *to, struct inject **out);
void inject_close(struct inject *i);

/* Sends all; what the device does not take is counted as dropped, by segment. */
void inject_send(struct inject *i, const struct joined *packets, size_t n,
		 struct pv_counters *count);

#endif
