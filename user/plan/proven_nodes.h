/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nodes have proved: for each node and tunnel the key that it answered with, and the ranges
 * that were its when it did. In the order of names. For plan/registry.h alone. Thread: control.
 */
#ifndef PLAN_PROVEN_NODES_H
#define PLAN_PROVEN_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/registry.h"

/* Of one node and one tunnel. */
struct proof {
	uint64_t order;	     /* the older the smaller; 0: nothing was ever proved */
	uint8_t key[32];     /* all zero: none, or it left */
	struct cidr address; /* of the node; AF_UNSPEC: none */
	struct cidr *ranges; /* sorted */
	size_t n_ranges, room;

	/* As last seen. */
	bool answers;	       /* a session stands */
	bool unanswered;       /* since then initiations were repeated in vain */
	uint64_t silent_since; /* monotonic, s; 0: it is not */
	bool silent;	       /* for so long that its claims may give way */

	/* Of the last review. */
	bool shared;	 /* others claim the key: a handshake proves nothing of the node */
	bool challenged; /* others claim what it has proved */
	bool missing;	 /* its key is held, though its record has none */
};

struct proven_node {
	char name[NODE_NAME_MAX + 1];
	struct proof proofs[REGISTRY_FAMILIES];
};

struct proven_nodes {
	struct proven_node **all;
	size_t n;
	uint64_t last_order;
	bool changed; /* since it was saved */
};

struct proven_node *proven_nodes_find(const struct proven_nodes *h, const char *name);
/* Those of these names, which are sorted, and no others: what a node has proved goes with its
 * record. 0 or -ENOMEM. */
int proven_nodes_follow(struct proven_nodes *h, const struct node_record *const *nodes, size_t n);
void proven_nodes_fini(struct proven_nodes *h);

/* Is all of it in what was proved? */
bool proof_covers(const struct proof *p, const struct cidr *range);
/* -ENOMEM: it was not added. */
int proof_add(struct proof *p, const struct cidr *range);

/* -ENOENT: there is none. What cannot be read is -EINVAL, and nothing is taken. */
int proven_nodes_load(struct proven_nodes *h, const char *file);
int proven_nodes_save(struct proven_nodes *h, const char *file);

#endif
