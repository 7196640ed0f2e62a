/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A key of etcd that is ours: it hangs on a lease that is kept alive, and is written again when
 * somebody changes or deletes it, when the lease is lost, and until it succeeds. Thread: control.
 */
#ifndef STORE_ETCD_ETCD_LEASE_H
#define STORE_ETCD_ETCD_LEASE_H

#include "store/etcd/etcd_client.h"

#define ETCD_LEASE_S 60

struct etcd_lease;

struct etcd_lease *etcd_lease_new(struct event_base *base, struct etcd_client *client,
				  const char *key); /* NULL: no memory */
/* The lease is let run out; what is written stays until then. */
void etcd_lease_free(struct etcd_lease *l);

/* From now on this is the value; NULL: the key goes, and the lease with it. -ENOMEM: as before. */
int etcd_lease_put(struct etcd_lease *l, const char *value);
/* The key has this value now, on that lease, says the watch; NULL: it is gone. */
void etcd_lease_observed(struct etcd_lease *l, const char *value, int64_t lease);
/* All is as it should be. */
bool etcd_lease_is_written(const struct etcd_lease *l);

#endif
