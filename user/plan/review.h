/* SPDX-License-Identifier: Apache-2.0 */
/* One review of all records, as plan/registry.h describes it; for the registry only. Thread:
 * control. */
#ifndef PLAN_REVIEW_H
#define PLAN_REVIEW_H

#include "plan/proven_nodes.h"
#include "plan/registry.h"

/* All arrays are in the order of in->nodes. */
struct review {
	const struct registry_input *in;
	struct proven_node *const *proven_nodes;
	size_t self;

	struct node_record *records; /* as admitted so far */
	struct registry_node *nodes;
	struct registry_range *contested;
	size_t n_contested;
	struct registry_refusal *refusals;
	size_t n_refusals, room;
	size_t counts[REGISTRY_REASON_COUNT];
};

/* Call them in this order. 0 or -ENOMEM. Only the last one changes proved ranges, and only at its
 * end. */
int review_addresses(struct review *v, enum registry_family f);
int review_keys(struct review *v, enum registry_family f);
int review_ranges(struct review *v);

/* Counts the refusal. Stores it, too, if there is memory. */
void review_refuse(struct review *v, const struct registry_refusal *refusal);

static inline uint8_t *review_key(struct node_record *r, enum registry_family f)
{
	return f == REGISTRY_IPV4 ? r->key4 : r->key6;
}

static inline struct record_endpoint *review_endpoint(struct node_record *r, enum registry_family f)
{
	return f == REGISTRY_IPV4 ? &r->endpoint4 : &r->endpoint6;
}

static inline struct cidr *review_address(struct node_record *r, enum registry_family f)
{
	return f == REGISTRY_IPV4 ? &r->address4 : &r->address6;
}

#endif
