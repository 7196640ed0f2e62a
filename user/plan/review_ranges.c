/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/review.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "plan/claims.h"

#define N_OVERLAYS (sizeof(((struct node_record *)0)->overlays) / sizeof(struct cidr))

/* State of the review of ranges. */
struct work {
	struct review *v;
	struct {
		struct cidr address;
		const char *node; /* NULL: one of our addresses, or the store's */
		bool store;
	} * addresses; /* no range may contain these; sorted */
	size_t n_addresses;
	bool *keyed; /* of each node: for IPv4, for IPv6 */
	struct claim *claims;
	size_t n_claims;
};

static int by_address(const void *a, const void *b)
{
	return cidr_compare(a, b); /* the address is the first member */
}

/* --- each range alone --- */

static void collect_addresses(struct work *w)
{
	const struct registry_input *in = w->v->in;

	for (size_t i = 0; i < in->n_own; i++)
		w->addresses[w->n_addresses++].address = in->own[i];
	if (in->store.family) {
		w->addresses[w->n_addresses].address = in->store;
		w->addresses[w->n_addresses++].store = true;
	}
	for (size_t i = 0; i < in->n_nodes; i++)
		for (int f = 0; f < REGISTRY_FAMILIES; f++) {
			const struct cidr *a = review_address(&w->v->records[i], f);

			if (!a->family)
				continue;
			w->addresses[w->n_addresses].address = *a;
			w->addresses[w->n_addresses++].node = w->v->records[i].name;
		}
	if (w->n_addresses)
		qsort(w->addresses, w->n_addresses, sizeof(*w->addresses), by_address);
}

/* The index of an address that the range contains but may not contain. n_addresses: none. */
static size_t address_in(const struct work *w, const struct cidr *range, bool store_allowed)
{
	size_t low = 0, high = w->n_addresses;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (cidr_compare(&w->addresses[middle].address, range) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < w->n_addresses && cidr_contains(range, &w->addresses[low].address); low++)
		if (!w->addresses[low].store || !store_allowed)
			return low;
	return w->n_addresses;
}

/* No node gets the range. `closed`: it must not be reached unencrypted, because its node may want
 * encryption. */
static void close_range(struct work *w, const struct cidr *range, size_t i, bool closed)
{
	w->v->contested[w->v->n_contested++] =
		(struct registry_range){*range, w->v->records[i].name, closed};
}

/* Has the node a key, published or admitted? A refused key also shows that it wants encryption. */
static bool keyed(const struct work *w, size_t i, int family)
{
	return w->keyed[2 * i + (family == AF_INET6)];
}

/* Once for each node: there may be many ranges. */
static void find_keyed(struct work *w)
{
	for (size_t i = 0; i < w->v->in->n_nodes; i++) {
		const struct node_record *published = w->v->in->nodes[i];
		struct node_record *admitted = &w->v->records[i];

		w->keyed[2 * i] =
			!sodium_is_zero(published->key4, 32) || !sodium_is_zero(admitted->key4, 32);
		w->keyed[2 * i + 1] =
			!sodium_is_zero(published->key6, 32) || !sodium_is_zero(admitted->key6, 32);
	}
}

enum chance {
	NO_CHANCE,
	BARRED, /* not valid, and nor is a weaker claim of another node to it */
	CHANCE,
};

/* Does the range contain our address, or the store's? Then it is never closed: we need them. */
static bool holds_ours(const struct work *w, const struct cidr *range, size_t at)
{
	const char *self = w->v->in->self;

	for (; at < w->n_addresses && cidr_contains(range, &w->addresses[at].address); at++)
		if (!w->addresses[at].node || !strcmp(w->addresses[at].node, self))
			return true;
	return false;
}

/* May the node have this range, apart from the claims of others? */
static enum chance chance_of(struct work *w, size_t i, const struct cidr *range)
{
	struct registry_refusal refusal = {
		.reason = REGISTRY_NEVER_PODS,
		.node = w->v->records[i].name,
		.range = *range,
		.family = range->family == AF_INET6,
		.why = claims_never_pods(range),
	};
	const struct proof *p = &w->v->proven_nodes[i]->proofs[range->family == AF_INET6];
	size_t at;

	if (refusal.why) {
		review_refuse(w->v, &refusal);
		return NO_CHANCE;
	}
	/* Our own ranges only lead packets out of the tunnel's table: no check of addresses. */
	at = i == w->v->self
		     ? w->n_addresses
		     : address_in(w, range, w->v->records[i].assigned || proof_covers(p, range));
	if (at == w->n_addresses)
		return CHANCE;
	refusal.reason = REGISTRY_NODE_ADDRESS;
	refusal.other = w->addresses[at].node;
	review_refuse(w->v, &refusal);
	return keyed(w, i, range->family) && !holds_ours(w, range, at) ? BARRED : NO_CHANCE;
}

static bool granted(const struct node_record *r, const struct cidr *range)
{
	return r->n_granted &&
	       bsearch(range, r->granted, r->n_granted, sizeof(*r->granted), by_address);
}

static void add_claim(struct work *w, size_t i, const struct cidr *range, bool barred, bool tunnel)
{
	const struct node_record *r = &w->v->records[i];
	const struct proof *p = &w->v->proven_nodes[i]->proofs[range->family == AF_INET6];

	w->claims[w->n_claims++] = (struct claim){
		.cidr = *range,
		.node = i,
		.own = i == w->v->self,
		.granted = granted(r, range),
		.proof = !barred && proof_covers(p, range) ? p->order : 0,
		.answers = p->answers,
		.silent = p->silent,
		.assigned = r->assigned,
		.keyed = keyed(w, i, range->family),
		.barred = barred,
		.tunnel = tunnel,
	};
}

static bool covered(const struct node_record *r, const struct cidr *address)
{
	for (size_t i = 0; i < r->n_pod_cidrs; i++)
		if (cidr_contains(&r->pod_cidrs[i], address))
			return true;
	return false;
}

/* --- addresses of tunnels --- */

/* Adds the claim to a tunnel address. False: it is refused. */
static bool take_tunnel(struct work *w, size_t i, const struct cidr *address)
{
	const struct node_record *r = &w->v->records[i];
	const struct registry_refusal refusal = {
		.reason = REGISTRY_NOT_ASSIGNED,
		.node = r->name,
		.range = *address,
		.family = address->family == AF_INET6,
	};

	if (chance_of(w, i, address) != CHANCE)
		return false;
	/* Inside one of its own ranges, the address shares that range's verdict. */
	if (!r->assigned || covered(r, address)) {
		add_claim(w, i, address, false, true);
		return true;
	}
	review_refuse(w->v, &refusal);
	return false;
}

static void take_tunnels(struct work *w, size_t i)
{
	struct node_record *r = &w->v->records[i];
	struct cidr *const tunnels[] = {&r->tunnel4, &r->tunnel6};

	/* Stores with records of other overlays also know the assigned ranges. So an overlay's
	 * address must be in the node's ranges; otherwise it is refused. */
	for (size_t k = 0; k < N_OVERLAYS; k++)
		if (r->overlays[k].family && r->assigned && !covered(r, &r->overlays[k]) &&
		    cidr_compare(&r->overlays[k], &r->tunnel4) &&
		    cidr_compare(&r->overlays[k], &r->tunnel6))
			take_tunnel(w, i, &r->overlays[k]);
	for (size_t k = 0; k < 2; k++)
		if (tunnels[k]->family && !take_tunnel(w, i, tunnels[k]))
			*tunnels[k] = (struct cidr){.family = AF_UNSPEC};
}

static void collect_claims(struct work *w)
{
	for (size_t i = 0; i < w->v->in->n_nodes; i++) {
		struct node_record *r = &w->v->records[i];
		size_t kept = 0;

		for (size_t k = 0; k < r->n_pod_cidrs; k++) {
			const enum chance chance = chance_of(w, i, &r->pod_cidrs[k]);

			if (chance == NO_CHANCE)
				continue;
			add_claim(w, i, &r->pod_cidrs[k], chance == BARRED, false);
			if (chance == CHANCE)
				r->pod_cidrs[kept++] = r->pod_cidrs[k];
		}
		r->n_pod_cidrs = kept;
		take_tunnels(w, i);
	}
}

/* --- results --- */

static void withdraw(struct work *w, const struct claim *c)
{
	struct node_record *r = &w->v->records[c->node];
	struct cidr *tunnel = c->cidr.family == AF_INET ? &r->tunnel4 : &r->tunnel6;
	const bool contested = c->verdict == CLAIM_CONTESTED;
	const struct registry_refusal refusal = {
		.reason = contested ? REGISTRY_RANGE_CONTESTED : REGISTRY_RANGE_HELD,
		.node = r->name,
		.other = w->v->records[c->other].name,
		.range = c->cidr,
		.family = c->cidr.family == AF_INET6,
	};

	review_refuse(w->v, &refusal);
	if (contested || c->closed)
		close_range(w, &c->cidr, c->node, c->closed);
	if (c->tunnel)
		*tunnel = (struct cidr){.family = AF_UNSPEC};
}

/* Admits the valid claims, in the order of ranges. Of the proved ranges, the valid ones stay
 * proved. */
static void apply(struct work *w)
{
	struct review *v = w->v;

	for (size_t i = 0; i < v->in->n_nodes; i++) {
		v->records[i].n_pod_cidrs = 0;
		for (int f = 0; f < REGISTRY_FAMILIES; f++) {
			v->proven_nodes[i]->proofs[f].n_ranges = 0;
			v->proven_nodes[i]->proofs[f].challenged = false;
		}
	}
	for (size_t i = 0; i < w->n_claims; i++) {
		const struct claim *c = &w->claims[i];
		struct node_record *r = &v->records[c->node];
		struct proof *p = &v->proven_nodes[c->node]->proofs[c->cidr.family == AF_INET6];

		if (c->barred) {
			if (c->verdict != CLAIM_REFUSED || c->closed)
				close_range(w, &c->cidr, c->node, true);
			continue;
		}
		if (c->verdict != CLAIM_STANDS) {
			withdraw(w, c);
			continue;
		}
		if (!c->tunnel)
			r->pod_cidrs[r->n_pod_cidrs++] = c->cidr;
		if (!c->proof || c->own || (c->tunnel && covered(r, &c->cidr)))
			continue;
		p->challenged |= c->challenged;
		proof_add(p, &c->cidr);
	}
}

/* A range without an owner inside a closed one is closed, too: it would lead packets out in plain.
 * The ranges are sorted: the widest comes first. */
static void close_holes(struct review *v)
{
	const struct registry_range *around = NULL;

	for (size_t i = 0; i < v->n_contested; i++) {
		struct registry_range *r = &v->contested[i];

		if (around && !cidr_contains(&around->cidr, &r->cidr))
			around = NULL;
		if (around)
			r->closed = true;
		else if (r->closed)
			around = r;
	}
}

int review_ranges(struct review *v)
{
	struct work w = {.v = v};
	size_t room = 1;
	int err = -ENOMEM;

	for (size_t i = 0; i < v->in->n_nodes; i++)
		room += v->records[i].n_pod_cidrs + N_OVERLAYS + 2;
	w.addresses = calloc(v->in->n_nodes * 2 + v->in->n_own + 1, sizeof(*w.addresses));
	w.keyed = calloc(v->in->n_nodes * 2 + 1, sizeof(*w.keyed));
	w.claims = calloc(room, sizeof(*w.claims));
	v->contested = calloc(room, sizeof(*v->contested));
	if (w.addresses && w.keyed && w.claims && v->contested) {
		find_keyed(&w);
		collect_addresses(&w);
		collect_claims(&w);
		err = claims_judge(w.claims, w.n_claims);
	}
	if (!err) {
		apply(&w);
		close_holes(v);
	}
	free(w.addresses);
	free(w.keyed);
	free(w.claims);
	return err;
}
