/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decides what is admitted from the records of the nodes. All records pass through here on the way
 * from the store to the plan, so that no node can speak for another. What is refused has no effect,
 * and the refusal is reported.
 *
 *   ranges     A range is refused if no pod can have it, or if it contains a node's address, or the
 *              store's address (unless the range was assigned or proved). plan/claims.h decides
 *              if nodes contradict each other.
 *   tunnels'   A tunnel address within the node's own ranges is valid. Elsewhere it is a claim
 *   addresses  like a range. If ranges are assigned (Kubernetes), it is refused there.
 *   keys       A key that a node proved by a handshake belongs to that node. If several nodes claim
 *              a key and none proved it, they are one peer with the ranges of all: only the holder
 *              of the private key can read, and nothing is sent unencrypted.
 *   silence    A node that leaves says so (stopped4, stopped6 of its record). If its key just
 *              disappears, the key is kept while the node's condition says that it encrypts, or
 *              while it answers. The old key is also kept if the node's new key is refused.
 *
 * Proofs stay across reviews, and in a file across restarts. They belong to the node's name and
 * last as long as its record claims what they prove: nodes rotate keys and are reinstalled. The
 * first proof wins. It gives way only if its node has been silent for REGISTRY_SILENCE_S and a
 * claiming node answers: then the node was probably renamed, and its old record is not deleted yet.
 *
 * Thread: control. Errors: negative errno.
 */
#ifndef PLAN_REGISTRY_H
#define PLAN_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/record.h"

#define REGISTRY_FILE	   "/run/podveil/proved.json"
#define REGISTRY_SILENCE_S 180 /* the lifetime of a session */

enum registry_family { REGISTRY_IPV4, REGISTRY_IPV6, REGISTRY_FAMILIES };

/* Reasons to refuse a part of a record: identifier; name for programs (a label); is it a conflict
 * between two nodes; meaning. */
#define REGISTRY_REASONS(X)                                                                        \
	X(NEVER_PODS, "never_pods", false, "no pod can have such an address")                      \
	X(NODE_ADDRESS, "node_address", false, "contains the address of a node or of the store")   \
	X(ENDPOINT, "endpoint", false, "no node can be reached there")                             \
	X(IN_PODS, "in_pods", true, "the node's address is in another node's pod range")           \
	X(NOT_ASSIGNED, "not_assigned", false, "the address is not assigned to the node")          \
	X(RANGE_HELD, "range_held", true, "the range belongs to another node")                     \
	X(RANGE_CONTESTED, "range_contested", true,                                                \
	  "several nodes claim it, and none has proved it")                                        \
	X(ADDRESS_HELD, "address_held", true, "the node address belongs to another node")          \
	X(KEY_HELD, "key_held", true, "the key belongs to another node")                           \
	X(KEY_SHARED, "key_shared", true, "several nodes claim the key, and none has proved it")   \
	X(KEY_MISSING, "key_missing", false,                                                       \
	  "the key is missing, and the node did not withdraw it: the last key stays in force")

enum registry_reason {
#define IDENTIFIER(identifier, name, conflict, help) REGISTRY_##identifier,
	REGISTRY_REASONS(IDENTIFIER)
#undef IDENTIFIER
		REGISTRY_REASON_COUNT
};

const char *registry_reason_name(enum registry_reason r);
bool registry_reason_is_conflict(enum registry_reason r);

/* A part of a record that was refused. */
struct registry_refusal {
	enum registry_reason reason;
	const char *node;  /* the node of the record */
	const char *other; /* the node that it contradicts; NULL: none */
	struct cidr range; /* AF_UNSPEC: the refusal is about a key */
	enum registry_family family;
	const char *why; /* more than the reason says; NULL: no more */
};

/* An admitted node. */
struct registry_node {
	const struct node_record *record;
	/* The node whose peer has the ranges: its own index, or the index of another node with the
	 * same key. */
	size_t peer[REGISTRY_FAMILIES];
	/* Another node has the same address: no host encryption with this one. */
	bool host_refused[REGISTRY_FAMILIES];
	/* It would be a peer, but its key or address was refused: its ranges must not be reached
	 * unencrypted. */
	bool closed[REGISTRY_FAMILIES];
};

struct registry_range {
	struct cidr cidr;
	const char *name; /* one of the nodes that claim it */
	bool closed;	  /* the part without an owner must not be reached unencrypted */
};

struct registry_input {
	const char *self;
	const struct node_record *const
		*nodes; /* sorted by name, each once, ourselves among them */
	size_t n_nodes;
	const uint8_t *own_keys[REGISTRY_FAMILIES]; /* public; NULL: none yet */
	const struct cidr *own; /* our addresses; no pod range may contain them */
	size_t n_own;
	/* The store's address: no range that a node chose itself may contain it. AF_UNSPEC:
	 * unknown, or there is none. */
	struct cidr store;
	bool host_encryption;
};

struct registry;

/* `file`: where proofs are saved; NULL: nowhere. If it cannot be read, that is logged, and there
 * are no old proofs. Returns NULL: no memory. */
struct registry *registry_new(const char *file);
void registry_free(struct registry *r);

/* Reviews all records again. After an error, the earlier result stays valid. */
int registry_review(struct registry *r, const struct registry_input *in);

/* Valid until the next review. In the order of the input. */
const struct registry_node *registry_nodes(const struct registry *r, size_t *n);
/* Ranges of other nodes that no peer has: several nodes claim them without a proof, or they were
 * refused to a node with a key (the part that remains). */
const struct registry_range *registry_contested(const struct registry *r, size_t *n);
const struct registry_refusal *registry_refusals(const struct registry *r, size_t *n);
/* The number of refusals, by reason. */
const size_t *registry_counts(const struct registry *r);
/* Logs the refusals that were not logged before. */
void registry_log(struct registry *r);
/* Formats a refusal as one line, with a zero at the end and no newline. Returns `out`. */
#define REGISTRY_TEXT (3 * NODE_NAME_MAX)
const char *registry_explain(const struct registry_refusal *f, char out[REGISTRY_TEXT]);

/* What a device observed about a node's peer. `now`: monotonic, s. Report it often. */
struct registry_observation {
	const char *node;
	enum registry_family family;
	const uint8_t *key;
	bool session;	 /* there is a session now */
	bool unanswered; /* initiations were repeated without an answer */
	uint64_t now;
};
void registry_observe(struct registry *r, const struct registry_observation *s);
/* True once after an observation that can change the result of a review. */
bool registry_needs_review(struct registry *r);
/* Calls back for the keys of challenged nodes that do not answer now: ask these nodes again. */
void registry_each_challenged(const struct registry *r,
			      void (*each)(void *context, enum registry_family family,
					   const uint8_t key[32]),
			      void *context);
/* Saves new proofs, if there are any. 0 or -errno. */
int registry_save(struct registry *r);

#endif
