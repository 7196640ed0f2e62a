/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of nodes in etcd, as the watch reported them. When one disappears, its node may have
 * removed it, or its lease may have expired because the node does not reach etcd. So etcd is asked
 * about the lease. If the lease is still there, the record was deleted. If it expired, or if etcd
 * does not answer, the record stays in force: this leaks nothing. A record without a WireGuard key
 * or without a lease is deleted at once.
 *
 * Embedded in the store. Thread: control.
 */
#ifndef STORE_ETCD_ETCD_RECORDS_H
#define STORE_ETCD_ETCD_RECORDS_H

#include <sys/queue.h>

#include "store/etcd/etcd_client.h"
#include "store/etcd/etcd_watch.h"
#include "store/memory.h"
#include "store/store.h"

struct etcd_record;

struct etcd_records {
	const struct store_place *place;
	struct etcd_client *client;
	bool older; /* set when a record is older than it was before; the caller clears it */
	TAILQ_HEAD(, etcd_record) all;
};

/* Call it also if there is no client (`client` NULL). */
void etcd_records_init(struct etcd_records *rs, const struct store_place *place,
		       struct etcd_client *client);
/* Call it before the client is freed. */
void etcd_records_fini(struct etcd_records *rs);

/* A key has a value: the record of the node `name`. 0, or -errno with the reason in `problem`: it
 * cannot be used. */
int etcd_records_put(struct etcd_records *rs, const char *name, const struct etcd_key *at,
		     char *problem, size_t room);
/* A key is gone: deletes or holds the record, at once or when etcd has answered. */
void etcd_records_gone(struct etcd_records *rs, const char *name);
/* memory_list's deleted(), `context` is a struct etcd_records. A record that was only remembered,
 * and whose lease is not known, is held if it has a key. */
bool etcd_records_missing(void *context, const struct memory_entry *entry);

#endif
