/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/review.h"

#include <errno.h>
#include <stdlib.h>

#include "plan/claims.h"

struct address_of {
	struct cidr address;
	size_t node;
};

static int by_address(const void *a, const void *b)
{
	const struct address_of *x = a, *y = b;
	const int order = cidr_compare(&x->address, &y->address);

	return order ? order : (x->node > y->node) - (x->node < y->node);
}

static size_t collect(struct review *v, enum registry_family f, struct address_of *out)
{
	size_t n = 0;

	for (size_t i = 0; i < v->in->n_nodes; i++) {
		const struct cidr *a = review_address(&v->records[i], f);

		v->nodes[i].host_refused[f] = false;
		if (a->family)
			out[n++] = (struct address_of){*a, i};
	}
	if (n)
		qsort(out, n, sizeof(*out), by_address);
	return n;
}

/* The index of the first address that is not before the range. */
static size_t first_in(const struct address_of *all, size_t n, const struct cidr *range)
{
	size_t low = 0, high = n;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (cidr_compare(&all[middle].address, range) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* --- node addresses in pod ranges --- */

/* Refuses node addresses in a proved pod range of `holder`. `second_round`: the address that the node
 * proved earlier is in such a range, too. */
static void refuse_among(struct review *v, enum registry_family f, size_t holder,
			 const struct cidr *range, const struct address_of *all, size_t n,
			 bool second_round)
{
	for (size_t k = first_in(all, n, range); k < n && cidr_contains(range, &all[k].address);
	     k++) {
		const size_t i = all[k].node;
		const struct proof *p = &v->proven_nodes[i]->proofs[f];
		struct cidr *address = review_address(&v->records[i], f);
		const struct registry_refusal refusal = {
			.reason = REGISTRY_IN_PODS,
			.node = v->records[i].name,
			.other = v->records[holder].name,
			.range = all[k].address,
			.family = f,
		};

		if (i == holder || i == v->self || cidr_compare(address, &all[k].address))
			continue;
		if (!second_round)
			review_refuse(v, &refusal);
		/* Use the address that the node proved earlier, until it publishes a better one. */
		*address =
			p->order && !second_round ? p->address : (struct cidr){.family = AF_UNSPEC};
	}
}

/* --- one address, several nodes --- */

/* The node that keeps an address that several have. n_nodes: none of them has proved it. */
static size_t holder_of(const struct review *v, enum registry_family f,
			const struct address_of *group, size_t n)
{
	size_t holder = v->in->n_nodes;
	uint64_t oldest = UINT64_MAX;

	for (size_t i = 0; i < n; i++) {
		const struct proof *p = &v->proven_nodes[group[i].node]->proofs[f];

		if (group[i].node == v->self)
			return v->self;
		if (p->order && p->order < oldest && !p->silent &&
		    !cidr_compare(&p->address, &group[i].address)) {
			oldest = p->order;
			holder = group[i].node;
		}
	}
	return holder;
}

static void refuse_hosts(struct review *v, enum registry_family f, const struct address_of *group,
			 size_t n)
{
	const size_t holder = holder_of(v, f, group, n);

	for (size_t i = 0; i < n; i++) {
		const size_t k = group[i].node;
		const size_t other =
			holder < v->in->n_nodes ? holder : group[k == group[0].node].node;
		const struct registry_refusal refusal = {
			.reason = REGISTRY_ADDRESS_HELD,
			.node = v->records[k].name,
			.other = v->records[other].name,
			.range = group[i].address,
			.family = f,
		};

		if (k == holder)
			continue;
		v->nodes[k].host_refused[f] = true;
		if (v->in->host_encryption)
			review_refuse(v, &refusal);
	}
}

/* Refuses node addresses in pod ranges that another node proved. */
static void judge_among(struct review *v, enum registry_family f, const struct address_of *all,
			size_t n, bool second_round)
{
	for (size_t i = 0; i < v->in->n_nodes; i++)
		for (size_t k = 0; i != v->self && k < v->records[i].n_pod_cidrs; k++)
			if (proof_covers(&v->proven_nodes[i]->proofs[f],
					 &v->records[i].pod_cidrs[k]))
				refuse_among(v, f, i, &v->records[i].pod_cidrs[k], all, n,
					     second_round);
}

/* --- endpoints --- */

/* Refuses those that are addresses which no node can have. A name is judged when it is resolved. */
static void judge_endpoints(struct review *v, enum registry_family f)
{
	for (size_t i = 0; i < v->in->n_nodes; i++) {
		struct record_endpoint *e = review_endpoint(&v->records[i], f);
		struct registry_refusal refusal = {
			.reason = REGISTRY_ENDPOINT,
			.node = v->records[i].name,
			.family = f,
		};

		if (!*e->host || cidr_parse_address(e->host, &refusal.range))
			continue;
		refusal.why = claims_never_pods(&refusal.range);
		if (!refusal.why)
			continue;
		review_refuse(v, &refusal);
		*e = (struct record_endpoint){.host = ""};
	}
}

int review_addresses(struct review *v, enum registry_family f)
{
	struct address_of *all = calloc(v->in->n_nodes ? v->in->n_nodes : 1, sizeof(*all));
	size_t n;

	if (!all)
		return -ENOMEM;
	judge_endpoints(v, f);
	for (int second_round = 0; second_round < 2; second_round++) {
		n = collect(v, f, all);
		judge_among(v, f, all, n, second_round);
	}
	n = collect(v, f, all);
	for (size_t i = 0, next; i < n; i = next) {
		for (next = i + 1; next < n && !cidr_compare(&all[i].address, &all[next].address);
		     next++)
			;
		if (next > i + 1)
			refuse_hosts(v, f, &all[i], next - i);
	}
	free(all);
	return 0;
}
