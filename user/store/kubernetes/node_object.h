/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a Kubernetes Node object that concern us: Calico's annotations and Kubernetes' own
 * fields (store/kubernetes/cluster.h has the table). Pure. */
#ifndef STORE_KUBERNETES_NODE_OBJECT_H
#define STORE_KUBERNETES_NODE_OBJECT_H

#include <jansson.h>
#include <stddef.h>

#include "base/cidr.h"
#include "store/record.h"
#include "store/record_endpoint.h"

struct node_object {
	struct cidr annotated4, annotated6; /* addresses; AF_UNSPEC: none */
	struct cidr internal4, internal6;   /* the first InternalIP of each family */
	struct cidr wireguard4, wireguard6; /* tunnel addresses */
	struct record_endpoint endpoint4, endpoint6;
	struct cidr overlays[4];	   /* VXLAN, IPIP; IPv4, then IPv6 */
	char key4[64], key6[64];	   /* Calico's annotations, unchanged; empty: none */
	char own4[64], own6[64];	   /* our own annotations: a key, or CLUSTER_STOPPED */
	char released4[64], released6[64]; /* the key that Felix tried to remove last */
	enum { CONDITION_NONE, CONDITION_ENCRYPTS, CONDITION_OFF } condition; /* PodveilReady */
	struct cidr *spec; /* spec.podCIDRs; allocated */
	size_t n_spec;
};

/* Replaces the content of `out`, which was read before or is all zero. Values that are not valid
 * count as absent; each is reported to `problem`. */
void node_object_read(struct node_object *out, const json_t *node,
		      void (*problem)(void *context, const char *what), void *context);
/* Sets the addresses, the keys and the state of encryption in the record of the node; leaves the
 * rest. A key that is not one counts as none. */
void node_object_record(const struct node_object *o, struct node_record *r);
void node_object_fini(struct node_object *o);

#endif
