/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes records of the nodes of a Kubernetes cluster, from its Node objects and from the objects
 * that say which node each pod address belongs to (assignments.h). Names and rules are Calico's.
 * Pure.
 *
 *   address      projectcalico.org/IPv4Address (IPv6Address), else the Node's InternalIP
 *   endpoint     podveil.io/WireguardEndpoint (…EndpointV6), else the address and the port that we use
 *   key          projectcalico.org/WireguardPublicKey (…KeyV6), else podveil.io/WireguardPublicKey
 *                (…KeyV6), which Felix does not remove; "off" there: it has stopped encrypting
 *   released     podveil.io/WireguardReleasedKey (…KeyV6): the key that Felix removed last. Where
 *                that is the key, it was put back: by the policy in deploy/kubernetes/keep-keys, or
 *                by the node's agent
 *   tunnel       projectcalico.org/IPv4WireguardInterfaceAddr, else its VXLAN or IPIP address;
 *                with podCIDRs and CiliumNode, else the first address of the first pod range
 *   pod ranges   of the source in use (store/route_source.h): spec.podCIDRs; the blocks with its
 *                affinity, and addresses of other nodes' blocks that are used on it (a tunnel's
 *                address is allocated like a pod's); its CiliumNode's ranges; the addresses of its
 *                pods
 */
#ifndef STORE_KUBERNETES_CLUSTER_H
#define STORE_KUBERNETES_CLUSTER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "store/record.h"

#define CLUSTER_KEY4	  "projectcalico.org/WireguardPublicKey"
#define CLUSTER_KEY6	  "projectcalico.org/WireguardPublicKeyV6"
#define CLUSTER_OWN_KEY4  "podveil.io/WireguardPublicKey"
#define CLUSTER_OWN_KEY6  "podveil.io/WireguardPublicKeyV6"
#define CLUSTER_STOPPED	  "off"
#define CLUSTER_ENDPOINT4 "podveil.io/WireguardEndpoint"
#define CLUSTER_ENDPOINT6 "podveil.io/WireguardEndpointV6"
#define CLUSTER_RELEASED4 "podveil.io/WireguardReleasedKey"
#define CLUSTER_RELEASED6 "podveil.io/WireguardReleasedKeyV6"

struct cluster;

struct cluster_events {
	/* A record is new or has changed (r), or is gone (NULL). Not called during a listing. */
	void (*node)(void *context, const char *name, const struct node_record *r);
	/* A list ended without this node. True: keep the node. NULL: keep none. */
	bool (*keep)(void *context, const char *name);
	/* An object, or a part of it, cannot be used. What is known of it stays in force. */
	void (*problem)(void *context, const char *object, const char *what);
	void *context;
};

struct cluster *cluster_new(const struct cluster_events *events); /* NULL: no memory */
void cluster_free(struct cluster *c);

enum cluster_kind {
	CLUSTER_NODES,
	CLUSTER_BLOCKS,
	CLUSTER_CILIUM_NODES,
	CLUSTER_PODS,
	CLUSTER_KINDS
};

/* An object from the API server; `gone`: it was deleted. A deletion of a custom resource is only
 * expected: if the resource's definition was removed, all of them are reported as deleted. */
void cluster_object(struct cluster *c, enum cluster_kind kind, const json_t *o, bool gone);
/* Are deletions expected? */
bool cluster_expects_deletions(const struct cluster *c, enum cluster_kind kind);
/* No more deletions are reported: they count. False: no object would be left, so only a list can
 * decide. */
bool cluster_confirm_deletions(struct cluster *c, enum cluster_kind kind);

/* A list begins, and ends. If it was `complete`, objects that were not given in between are
 * gone. */
void cluster_list_begin(struct cluster *c, enum cluster_kind kind);
void cluster_list_end(struct cluster *c, enum cluster_kind kind, bool complete);
bool cluster_was_listed(const struct cluster *c, enum cluster_kind kind);
/* Forgets the objects of a kind that is not watched any more. Not nodes. */
void cluster_forget(struct cluster *c, enum cluster_kind kind);

/* From now on pod ranges come from this source. No record is reported before there is one, and its
 * objects and the nodes were listed. Not auto. */
void cluster_use(struct cluster *c, enum route_source source);
enum route_source cluster_source(const struct cluster *c); /* auto: none yet */
/* The objects of a source. podCIDRs: the nodes. */
enum cluster_kind cluster_kind_of(enum route_source s);

/* The annotation with a node's key, unchanged: Calico's, and our own. "": there is none. NULL:
 * there is no such node. */
const char *cluster_key(const struct cluster *c, const char *node, bool v6);
const char *cluster_own_key(const struct cluster *c, const char *node, bool v6);
size_t cluster_count(const struct cluster *c); /* nodes */
/* Nodes with spec.podCIDRs; IPAM blocks; ranges of all CiliumNodes; addresses of all pods. */
size_t cluster_count_with_ranges(const struct cluster *c, enum cluster_kind kind);

#endif
