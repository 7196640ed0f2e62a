/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches the objects that say which node has which pod addresses, and decides which kind of them
 * counts (store/route_source.h). With `auto`, the first of these that is there:
 *
 *   1. CalicoIPAM   there are IPAM blocks
 *   2. CiliumNode   CiliumNodes have ranges
 *   3. podCIDRs     Nodes have them, or there is no Node
 *   4. WorkloadIPs  nothing else says where pods are
 *
 * A new source is used only when all its objects were read. Until then the old one counts, and what
 * it said. Pods are watched only if their addresses count.
 *
 * If a source that counts has no objects any more, or its resource definition is gone, nobody said
 * that pods have no addresses: what is known stays, and a problem is reported. To end a source,
 * name another one in routeSource.
 *
 * Thread: control.
 */
#ifndef STORE_KUBERNETES_ADDRESS_SOURCES_H
#define STORE_KUBERNETES_ADDRESS_SOURCES_H

#include "store/http/rest.h"
#include "store/kubernetes/cluster.h"
#include "store/kubernetes/reflector.h"
#include "store/store.h"

struct address_sources;

struct address_sources_params {
	const struct store_place *place;
	struct rest *rest;
	struct cluster *cluster;
	const char *blocks_path; /* of Calico's IPAM blocks */
	/* An object is about to be read, and was read. `what`: "pods/default/a". */
	void (*begin_object)(void *context);
	void (*end_object)(void *context, const char *what);
	/* A list has ended, or the source has changed. */
	void (*progress)(void *context);
	void *context;
};

struct address_sources *address_sources_new(const struct address_sources_params *p);
void address_sources_free(struct address_sources *s);

/* The setting routeSource. */
void address_sources_want(struct address_sources *s, enum route_source wanted);
/* Starts to watch what the setting needs. */
void address_sources_begin(struct address_sources *s);
/* Settings and Nodes were read, or Nodes have changed: decides again. */
void address_sources_decide(struct address_sources *s);
/* Everything that the decision and the source need was read once. */
bool address_sources_are_read(const struct address_sources *s);

#endif
