/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The target state of one tunnel, computed only from records and settings: the peers with their
 * allowed IPs, and the owner of each address range. Pure: the same input gives the same plan, and
 * the current state of the node does not matter. The nodes no longer contradict each other, because
 * plan/registry.h resolved that.
 *
 * As in Calico, a node without a key or without an address of the tunnel's family is not a peer.
 */
#ifndef PLAN_PLAN_H
#define PLAN_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/registry.h"
#include "plan/settings.h"
#include "store/record.h"
#include "wire/endpoint.h"

struct plan_input {
	int family; /* AF_INET: the tunnel for IPv4 pods; AF_INET6: for IPv6 pods */
	const char *self;
	const struct registry_node *nodes; /* sorted by name, each once, including ourselves */
	size_t n_nodes;
	const struct registry_range *contested; /* ranges of other nodes that no peer has */
	size_t n_contested;
	const struct settings *settings;
	/* In the order of the nodes: where those are reached whose record says an endpoint.
	 * AF_UNSPEC: its name has no address yet. NULL: all are reached at their own address. */
	const struct endpoint *endpoints;
};

#define PLAN_NO_PEER SIZE_MAX

/* How WireGuard's messages get to a peer. All zero: not known. */
struct plan_path {
	int ifindex;  /* of the device by which they leave */
	uint32_t mtu; /* of pods' packets in them */
};

struct plan_peer {
	const struct node_record *node;
	const char *name;	  /* owned by the plan */
	struct cidr tunnel;	  /* address of its tunnel device; AF_UNSPEC: none */
	struct endpoint endpoint; /* AF_UNSPEC: not known yet; the device keeps the one it has */
	struct plan_path path;	  /* agent/paths.h sets it */
	struct cidr *allowed;	  /* sorted */
	size_t n_allowed;
};

enum plan_owner { PLAN_SELF, PLAN_OTHER };

struct plan_range {
	struct cidr cidr;
	const char *name; /* of the node; owned by the plan */
	enum plan_owner owner;
	size_t peer; /* index, or PLAN_NO_PEER */
	bool host;   /* a node's own address (host encryption, or in a closed range), not pods */
	bool closed; /* no peer has it, but it must not be reached unencrypted (conflict) */
};

struct plan {
	struct cidr address; /* of our tunnel device; AF_UNSPEC: none */
	uint16_t port;
	struct plan_peer *peers; /* sorted by name */
	size_t n_peers;
	struct plan_range *ranges; /* sorted by range, each once */
	size_t n_ranges;
	char *names;
};

/* 0 or -ENOMEM. A peer's `node` points into the input's records, which may be freed before the
 * plan. The plan owns everything else. */
int plan_make(const struct plan_input *in, struct plan *out);
void plan_fini(struct plan *p);

/* The peer of this name, or NULL. */
const struct plan_peer *plan_find_peer(const struct plan *p, const char *name);
/* The MTU of the tunnel device: that of the path with the largest one. 0: no path is known. */
uint32_t plan_largest_mtu(const struct plan *p);
struct endpoint plan_endpoint(const struct cidr *address, uint16_t port);
/* The key, and the endpoint, in a record for the tunnel's family. */
const uint8_t *plan_key(const struct node_record *r, int family);
const struct record_endpoint *plan_record_endpoint(const struct node_record *r, int family);

#endif
