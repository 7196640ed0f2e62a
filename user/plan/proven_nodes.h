/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the nodes have proved: for each node and tunnel, the key with which the node answered, and
 * the ranges that it had at that time. Sorted by name. For plan/registry.h only. Thread: control.
 */
#ifndef PLAN_PROVEN_NODES_H
#define PLAN_PROVEN_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/registry.h"

/* The proof of one node for one tunnel. */
struct proof {
	uint64_t order;	     /* older proofs have smaller numbers; 0: no proof */
	uint8_t key[32];     /* all zero: none, or the node left */
	struct cidr address; /* of the node; AF_UNSPEC: none */
	struct cidr *ranges; /* sorted */
	size_t n_ranges, room;

	/* As last observed. */
	bool answers;	       /* there is a session */
	bool unanswered;       /* since the last session, initiations got no answer */
	uint64_t silent_since; /* monotonic, s; 0: not silent */
	bool silent;	       /* silent for so long that its claims may give way */

	/* Results of the last review. */
	bool shared;	 /* others claim the key, too: a handshake does not identify the node */
	bool challenged; /* others claim what it proved */
	bool missing;	 /* its record has no key, but the proved key is kept */
};

struct proven_node {
	char name[NODE_NAME_MAX + 1];
	struct proof proofs[REGISTRY_FAMILIES];
};

struct proven_nodes {
	struct proven_node **all;
	size_t n;
	uint64_t last_order;
	bool changed; /* since the last save */
};

struct proven_node *proven_nodes_find(const struct proven_nodes *h, const char *name);
/* Keeps the entries of exactly these names (sorted), and adds missing ones. When a record is gone,
 * its node's proof is deleted. 0 or -ENOMEM. */
int proven_nodes_follow(struct proven_nodes *h, const struct node_record *const *nodes, size_t n);
void proven_nodes_fini(struct proven_nodes *h);

/* Does the proof include the whole range? */
bool proof_covers(const struct proof *p, const struct cidr *range);
/* 0 or -ENOMEM: the range was not added. */
int proof_add(struct proof *p, const struct cidr *range);

/* -ENOENT: there is no file. -EINVAL: its content is not valid; then nothing is loaded. Other
 * -errno: it cannot be read. */
int proven_nodes_load(struct proven_nodes *h, const char *file);
int proven_nodes_save(struct proven_nodes *h, const char *file);

#endif
