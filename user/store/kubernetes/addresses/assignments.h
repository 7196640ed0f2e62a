/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one object of a Kubernetes API server says about pod addresses: which node has which of
 * them.
 *
 *   IPAMBlock   Calico: its affinity has the block, and nodes that use single addresses of
 *               another node's block have these
 *   CiliumNode  spec.ipam.podCIDRs, spec.ipam.pools.allocated, and the node's CiliumInternalIP
 *   Pod         status.podIPs, of a pod with a network of its own that has not ended
 *
 * Pure.
 */
#ifndef STORE_KUBERNETES_ASSIGNMENTS_H
#define STORE_KUBERNETES_ASSIGNMENTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"

struct assignment {
	const char *node; /* valid as long as the object */
	struct cidr cidr;
	bool granted; /* of a range that is another node's */
};

struct assignments {
	struct assignment *all;
	size_t n, room;
	/* A Pod: its address may be another pod's already. */
	bool ending;
	int64_t created; /* Unix time of the API server, s; 0: not known */
};

/* Called for each part that is no address or no range; the rest is read. */
typedef void (*assignments_problem)(void *context, const char *what);

/* Fill `out`, which is all zero. True; false: nothing of the object can be used. Free in either
 * case. */
bool assignments_of_block(const json_t *block, struct assignments *out, assignments_problem problem,
			  void *context);
bool assignments_of_cilium_node(const json_t *node, struct assignments *out,
				assignments_problem problem, void *context);
bool assignments_of_pod(const json_t *pod, struct assignments *out, assignments_problem problem,
			void *context);
void assignments_fini(struct assignments *a);

#endif
