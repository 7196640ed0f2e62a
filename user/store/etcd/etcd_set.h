/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes a settings document in etcd as a person's command does: it waits for the answer, and
 * nobody else's change made in between is lost, because it writes only over what it has read.
 * Thread: control.
 */
#ifndef STORE_ETCD_ETCD_SET_H
#define STORE_ETCD_ETCD_SET_H

#include "store/etcd/etcd_client.h"
#include "store/store.h"

/* 0, or -errno with a line logged: -EHOSTUNREACH, or -EINVAL where what is there is no JSON object.
 * Runs the event loop for up to 10 s a step. */
int etcd_set(struct event_base *base, struct etcd_client *client, const char *key,
	     const struct store_setting *changes, unsigned int n);

#endif
