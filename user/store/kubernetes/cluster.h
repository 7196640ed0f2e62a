/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Kubernetes cluster as records of its nodes: what Node objects say of themselves, joined with
 * Calico's IPAM blocks, which say whose the pods' addresses are. Names and rules are Calico's.
 * Pure.
 *
 *   address      projectcalico.org/IPv4Address (IPv6Address), else the Node's InternalIP
 *   key          projectcalico.org/WireguardPublicKey (…KeyV6), else podveil.io/WireguardPublicKey
 *                (…KeyV6), which Felix does not remove; "off" there: it encrypts no more
 *   tunnel       projectcalico.org/IPv4WireguardInterfaceAddr, else its VXLAN or IPIP address;
 *                where there is no Calico, the first address of the first pod range
 *   pod ranges   the blocks that are affine to it and addresses of other nodes' blocks that live on
 *                it (tunnels' addresses are allocated like a pod's); where there are no blocks,
 *                spec.podCIDRs
 */
#ifndef STORE_KUBERNETES_CLUSTER_H
#define STORE_KUBERNETES_CLUSTER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "store/record.h"

#define CLUSTER_KEY4	 "projectcalico.org/WireguardPublicKey"
#define CLUSTER_KEY6	 "projectcalico.org/WireguardPublicKeyV6"
#define CLUSTER_OWN_KEY4 "podveil.io/WireguardPublicKey"
#define CLUSTER_OWN_KEY6 "podveil.io/WireguardPublicKeyV6"
#define CLUSTER_STOPPED	 "off"

struct cluster;

struct cluster_events {
	/* A record is there or has changed (r), or is gone (NULL); not during a listing. */
	void (*node)(void *context, const char *name, const struct node_record *r);
	/* A list ended that does not have this node: does it stay all the same? NULL: none does. */
	bool (*keep)(void *context, const char *name);
	/* An object is not used, or a part of it; what it said before stays. */
	void (*problem)(void *context, const char *object, const char *what);
	void *context;
};

struct cluster *cluster_new(const struct cluster_events *events); /* NULL: no memory */
void cluster_free(struct cluster *c);

/* A Node, or an IPAMBlock, of the API server; `gone`: it was deleted. */
void cluster_node(struct cluster *c, const json_t *node, bool gone);
void cluster_block(struct cluster *c, const json_t *block, bool gone);

enum cluster_kind { CLUSTER_NODES, CLUSTER_BLOCKS };
/* A list begins, and ends: what was not given in between is gone, if it was `complete`. Nothing is
 * told until both kinds were listed once, or found missing. */
void cluster_list_begin(struct cluster *c, enum cluster_kind kind);
void cluster_list_end(struct cluster *c, enum cluster_kind kind, bool complete);

/* The annotation with a node's key as it is, for IPv4 (V6: the other) tunnels; "" where there is
 * none, NULL where the node is not there. Calico's, and our own. */
const char *cluster_key(const struct cluster *c, const char *node, bool v6);
const char *cluster_own_key(const struct cluster *c, const char *node, bool v6);
size_t cluster_count(const struct cluster *c);	/* nodes */
size_t cluster_blocks(const struct cluster *c); /* IPAM blocks */

#endif
