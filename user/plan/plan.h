/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one tunnel of a node shall look like, worked out of records and settings alone: which nodes
 * are peers with which allowed IPs, and which address ranges belong to whom. Pure: the same input
 * gives the same plan, and nothing here knows how things are at the moment. Nodes do not contradict
 * each other any more: plan/registry.h saw to that.
 *
 * Calico's rules: a node without a key or without an address of the tunnel's family is no peer.
 */
#ifndef PLAN_PLAN_H
#define PLAN_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "plan/registry.h"
#include "plan/settings.h"
#include "store/record.h"
#include "wire/endpoint.h"

struct plan_input {
	int family; /* AF_INET: the tunnel for IPv4 pods; AF_INET6: for IPv6 pods */
	const char *self;
	const struct registry_node *nodes; /* sorted by name, each once, ourselves among them */
	size_t n_nodes;
	const struct registry_range *contested; /* some other node's, and no peer's */
	size_t n_contested;
	const struct settings *settings;
};

#define PLAN_NO_PEER SIZE_MAX

struct plan_peer {
	const struct node_record *node;
	const char *name;   /* the plan's own */
	struct cidr tunnel; /* address of its tunnel device; AF_UNSPEC: none */
	struct endpoint endpoint;
	struct cidr *allowed; /* sorted */
	size_t n_allowed;
};

enum plan_owner { PLAN_SELF, PLAN_OTHER };

struct plan_range {
	struct cidr cidr;
	const char *name; /* of the node; the plan's own */
	enum plan_owner owner;
	size_t peer; /* index, or PLAN_NO_PEER */
	bool host;   /* a node's own address (host encryption, or in a closed range), not pods */
	bool closed; /* no peer's, and not to be reached in plain, for a conflict's sake */
};

struct plan {
	struct cidr address; /* of our tunnel device; AF_UNSPEC: none */
	uint16_t port;
	struct plan_peer *peers; /* in the order of names */
	size_t n_peers;
	struct plan_range *ranges; /* sorted by range, each once */
	size_t n_ranges;
	char *names;
};

/* 0 or -ENOMEM. A peer's `node` points into the input's records, which may go before the plan does;
 * all else is the plan's own. */
int plan_make(const struct plan_input *in, struct plan *out);
void plan_fini(struct plan *p);

/* Of a record, by the tunnel's family. */
const uint8_t *plan_key(const struct node_record *r, int family);

#endif
