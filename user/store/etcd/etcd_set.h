/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes a settings document in etcd, as `podveil enable` does: it waits for the answer. It
 * writes only if the document is unchanged since it was read, so that no change by others is lost.
 * Thread: control.
 */
#ifndef STORE_ETCD_ETCD_SET_H
#define STORE_ETCD_ETCD_SET_H

#include "store/etcd/etcd_client.h"
#include "store/store.h"

/* 0, or -errno, which is logged: -EHOSTUNREACH; -EINVAL: the existing value is no JSON object. Runs
 * the event loop for up to 10 s per step. */
int etcd_set(struct event_base *base, struct etcd_client *client, const char *key,
	     const struct store_setting *changes, unsigned int n);

#endif
