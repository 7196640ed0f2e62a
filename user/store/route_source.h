/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a store that is a cluster's gets the addresses of a node's pods from. The names are those of
 * Calico's routeSource where it has one. Pure.
 *
 *   podCIDRs     spec.podCIDRs of the Node
 *   CalicoIPAM   Calico's IPAM blocks
 *   WorkloadIPs  the addresses of the pods themselves: for CNIs whose pods have addresses of the
 *                nodes' subnet
 *   CiliumNode   spec.ipam of the CiliumNode
 *   auto         the store decides by what is there
 */
#ifndef STORE_ROUTE_SOURCE_H
#define STORE_ROUTE_SOURCE_H

#define ROUTE_SOURCES(X)                                                                           \
	X(AUTO, "auto")                                                                            \
	X(POD_CIDRS, "podCIDRs")                                                                   \
	X(CALICO_IPAM, "CalicoIPAM")                                                               \
	X(WORKLOAD_IPS, "WorkloadIPs")                                                             \
	X(CILIUM_NODE, "CiliumNode")

enum route_source {
#define IDENTIFIER(identifier, name) ROUTE_SOURCE_##identifier,
	ROUTE_SOURCES(IDENTIFIER)
#undef IDENTIFIER
		ROUTE_SOURCE_COUNT
};

/* All names, one space between. */
#define ROUTE_SOURCE_WORDS "auto podCIDRs CalicoIPAM WorkloadIPs CiliumNode"

const char *route_source_name(enum route_source s);
/* 0, or -EINVAL: no such name. */
int route_source_parse(const char *text, enum route_source *out);

#endif
