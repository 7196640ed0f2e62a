/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way back into the kernel: decrypted packets, joined where they follow each other, are sent on
 * the inner end and so arrive on the tunnel device. An AF_PACKET socket takes a virtio header with
 * each packet, which lets superpackets through whole.
 *
 * One thread. Errors are -errno.
 */
#ifndef DATAPATH_INJECT_H
#define DATAPATH_INJECT_H

#include "datapath/join.h"
#include "podveil/counters.h"

struct inject;

int inject_open(int inner_ifindex, struct inject **out);
void inject_close(struct inject *i);

/* Sends all; what the device does not take is counted as dropped, by segment. */
void inject_send(struct inject *i, const struct joined *packets, size_t n,
		 struct pv_counters *count);

#endif
