/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes as they are admitted: the one place between store and plan. Every record is checked
 * here, so that no node speaks for another. What is refused has no effect, and is named.
 *
 *   ranges     What never can be a pod's is refused, and what contains a node's address or (unless
 *              it was assigned, or is proved) the store's. Where nodes contradict each other, plan/claims.h judges.
 *   tunnels'   An address that a node says its tunnels have counts within its own ranges. Elsewhere
 *   addresses  it is a claim like a range; where ranges are assigned (Kubernetes), it is refused.
 *   keys       A key that a node has proved by a handshake is nobody else's. One that several claim
 *              and nobody has proved is one peer, with the ranges of them all: only who has the
 *              private key can read, and nothing of it goes out in plain.
 *   silence    A key that vanishes is held while the node's condition says that it encrypts, or
 *              while it answers; a node leaves by saying so (left4, left6 of its record). So is the
 *              key of a node whose new one is refused.
 *
 * What nodes have proved is remembered across reviews, and in a file across restarts. It hangs on
 * the node's name, and lasts as long as its record claims it: keys are rotated, nodes installed
 * anew. Who was proved first keeps what it has, unless it has been silent for REGISTRY_SILENCE_S
 * when somebody who answers claims it: a node that was renamed, its old record not yet deleted.
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
#define REGISTRY_SILENCE_S 180 /* as long as a session lives */

enum registry_family { REGISTRY_IPV4, REGISTRY_IPV6, REGISTRY_FAMILIES };

/* Why something of a record is not taken: the identifier, its name for programs (a label), whether
 * two nodes contradict each other by it, what it means. */
#define REGISTRY_REASONS(X)                                                                        \
	X(NEVER_PODS, "never_pods", false, "no pod can have such an address")                      \
	X(NODE_ADDRESS, "node_address", false, "contains the address of a node or of the store")   \
	X(IN_PODS, "in_pods", true, "a node's address lies among another node's pods")             \
	X(NOT_ASSIGNED, "not_assigned", false, "nobody gave this address to the node")             \
	X(RANGE_HELD, "range_held", true, "the range is another node's")                           \
	X(RANGE_CONTESTED, "range_contested", true, "several claim it, and nobody has proved it")  \
	X(ADDRESS_HELD, "address_held", true, "the node address is another node's")                \
	X(KEY_HELD, "key_held", true, "the key is another node's")                                 \
	X(KEY_SHARED, "key_shared", true, "several claim the key, and nobody has proved it")       \
	X(KEY_MISSING, "key_missing", false, "the key vanished without a word; it is held")

enum registry_reason {
#define IDENTIFIER(identifier, name, conflict, help) REGISTRY_##identifier,
	REGISTRY_REASONS(IDENTIFIER)
#undef IDENTIFIER
		REGISTRY_REASON_COUNT
};

const char *registry_reason_name(enum registry_reason r);
bool registry_reason_is_conflict(enum registry_reason r);

/* Something of a record that is not taken. */
struct registry_refusal {
	enum registry_reason reason;
	const char *node;  /* whose record it is */
	const char *other; /* the node that it contradicts; NULL: none */
	struct cidr range; /* AF_UNSPEC: it is a key */
	enum registry_family family;
	const char *why; /* more than the reason says; NULL: nothing */
};

/* A node as it is admitted. */
struct registry_node {
	const struct node_record *record;
	/* Whose peer has the node's ranges: its own index, or that of another node with the same
	 * key. */
	size_t peer[REGISTRY_FAMILIES];
	/* Its address is another's as well: no host encryption with it. */
	bool host_refused[REGISTRY_FAMILIES];
	/* It would be a peer, but its key or address was refused: its ranges must not be reached in
	 * plain. */
	bool closed[REGISTRY_FAMILIES];
};

struct registry_range {
	struct cidr cidr;
	const char *name; /* one of the nodes that claim it */
	bool closed;	  /* what of it is nobody's must not be reached in plain */
};

struct registry_input {
	const char *self;
	const struct node_record *const
		*nodes; /* sorted by name, each once, ourselves among them */
	size_t n_nodes;
	const uint8_t *own_keys[REGISTRY_FAMILIES]; /* public; NULL: none yet */
	const struct cidr *own; /* our addresses, that no pod range may contain */
	size_t n_own;
	/* Where the store answers: no range that a node chose itself may contain it. AF_UNSPEC: not
	 * known, or nowhere. */
	struct cidr store;
	bool host_encryption;
};

struct registry;

/* `file`: where to remember what was proved; NULL: nowhere. What is in it and cannot be read is
 * logged, and not followed. NULL: no memory. */
struct registry *registry_new(const char *file);
void registry_free(struct registry *r);

/* Judges all records anew. On failure what was admitted before stays. */
int registry_review(struct registry *r, const struct registry_input *in);

/* Until the next review. Sorted as the input was. */
const struct registry_node *registry_nodes(const struct registry *r, size_t *n);
/* Ranges that are some other node's and no peer's: those that several claim and nobody has proved, and
 * what is left of those that were refused to a node with a key. */
const struct registry_range *registry_contested(const struct registry *r, size_t *n);
const struct registry_refusal *registry_refusals(const struct registry *r, size_t *n);
/* How many things are refused, by reason. */
const size_t *registry_counts(const struct registry *r);
/* What is new among the refusals goes to the log. */
void registry_log(struct registry *r);
/* A line; a zero at its end, no newline. Returns `out`. */
#define REGISTRY_TEXT (3 * NODE_NAME_MAX)
const char *registry_explain(const struct registry_refusal *f, char out[REGISTRY_TEXT]);

/* What a device says of a node's peer; `now`: monotonic, s. To be told often. */
struct registry_observation {
	const char *node;
	enum registry_family family;
	const uint8_t *key;
	bool session;	 /* stands now */
	bool unanswered; /* initiations were repeated in vain */
	uint64_t now;
};
void registry_observe(struct registry *r, const struct registry_observation *s);
/* Something was seen by which another review comes to other results; once. */
bool registry_needs_review(struct registry *r);
/* Calls back for the keys of nodes that somebody contradicts, and that are to be asked whether they
 * still answer. */
void registry_each_challenged(const struct registry *r,
			      void (*each)(void *context, enum registry_family family,
					   const uint8_t key[32]),
			      void *context);
/* Writes what was proved since, if anything. 0 or -errno. */
int registry_save(struct registry *r);

#endif
