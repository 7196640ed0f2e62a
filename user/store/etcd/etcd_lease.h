/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our own key in etcd. It is bound to a lease that we keep alive. It is written again when somebody
 * changes or deletes it, when the lease is lost, and after a failure. Thread: control.
 */
#ifndef STORE_ETCD_ETCD_LEASE_H
#define STORE_ETCD_ETCD_LEASE_H

#include "store/etcd/etcd_client.h"

#define ETCD_LEASE_S 60

struct etcd_lease;

struct etcd_lease *etcd_lease_new(struct event_base *base, struct etcd_client *client,
				  const char *key); /* NULL: no memory */
/* Stops keeping the lease alive. The key stays until the lease expires. */
void etcd_lease_free(struct etcd_lease *l);

/* Sets the value; NULL: removes the key and revokes the lease. 0, or -ENOMEM: no change. */
int etcd_lease_put(struct etcd_lease *l, const char *value);
/* The watch reports the key's present value and lease. `value` NULL: the key is gone. */
void etcd_lease_observed(struct etcd_lease *l, const char *value, int64_t lease);
/* Is everything written? */
bool etcd_lease_is_written(const struct etcd_lease *l);

#endif
