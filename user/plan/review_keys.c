/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/review.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct key_of {
	const uint8_t *key;
	size_t node;
};

static int by_key(const void *a, const void *b)
{
	const struct key_of *x = a, *y = b;
	const int order = memcmp(x->key, y->key, 32);

	return order ? order : (x->node > y->node) - (x->node < y->node);
}

static bool none(const uint8_t key[32])
{
	return sodium_is_zero(key, 32);
}

/* --- which node proved which key --- */

static size_t find_proved(const struct review *v, enum registry_family f, struct key_of *out)
{
	size_t n = 0;

	for (size_t i = 0; i < v->in->n_nodes; i++) {
		const struct proof *p = &v->proven_nodes[i]->proofs[f];

		if (i == v->self && v->in->own_keys[f])
			out[n++] = (struct key_of){v->in->own_keys[f], i};
		else if (i != v->self && p->order && !none(p->key))
			out[n++] = (struct key_of){p->key, i};
	}
	if (n)
		qsort(out, n, sizeof(*out), by_key);
	return n;
}

static int at_key(const void *key, const void *element)
{
	return memcmp(key, ((const struct key_of *)element)->key, 32);
}

/* The other node that holds this key. Returns `i` if no other node does. */
static size_t holder_of(const struct review *v, const struct key_of *proved, size_t n,
			const uint8_t *key, size_t i)
{
	const struct key_of *at = n ? bsearch(key, proved, n, sizeof(*proved), at_key) : NULL;
	size_t holder;

	if (!at)
		return i;
	while (at > proved && !memcmp(at[-1].key, key, 32))
		at--;
	holder = at->node;
	for (; at < proved + n && !memcmp(at->key, key, 32); at++) {
		if (at->node == v->self)
			return v->self;
		if (at->node == i)
			holder = i;
	}
	return holder;
}

/* The key that the node proved. NULL: none, or the node has given it up. */
static const uint8_t *held_key(const struct node_record *r, const struct proof *p, bool left)
{
	if (!p->order || none(p->key) || left || (p->unanswered && !r->encrypts))
		return NULL;
	return p->key;
}

/* --- the key of one node --- */

static void choose_key(struct review *v, enum registry_family f, size_t i,
		       const struct key_of *proved, size_t n)
{
	struct node_record *r = &v->records[i];
	struct proof *p = &v->proven_nodes[i]->proofs[f];
	uint8_t *key = review_key(r, f);
	const uint8_t *held = held_key(r, p, f == REGISTRY_IPV4 ? r->stopped4 : r->stopped6);
	struct registry_refusal refusal = {.node = r->name, .family = f};
	size_t holder;

	p->missing = false;
	if (none(key) && held) {
		p->missing = true;
		refusal.reason = REGISTRY_KEY_MISSING;
		review_refuse(v, &refusal);
		memcpy(key, held, 32);
	}
	holder = none(key) ? i : holder_of(v, proved, n, key, i);
	if (holder == i)
		return;
	refusal.reason = REGISTRY_KEY_HELD;
	refusal.other = v->records[holder].name;
	review_refuse(v, &refusal);
	if (held && memcmp(held, key, 32))
		memcpy(key, held, 32);
	else
		memset(key, 0, 32);
}

/* Its record has everything that a peer needs, but key or address was refused. */
static bool is_cut_off(struct review *v, enum registry_family f, size_t i)
{
	const struct node_record *published = v->in->nodes[i];
	const bool addressed =
		f == REGISTRY_IPV4 ? published->address4.family : published->address6.family;

	return addressed && !none(f == REGISTRY_IPV4 ? published->key4 : published->key6) &&
	       (none(review_key(&v->records[i], f)) || !review_address(&v->records[i], f)->family);
}

/* --- keys that several nodes claim --- */

/* The first one that was a peer before; else the first one that can be a peer. */
static size_t carrier_of(const struct review *v, enum registry_family f, const struct key_of *group,
			 size_t n)
{
	size_t carrier = group[0].node;
	bool reachable = false;

	for (size_t i = 0; i < n; i++) {
		const size_t k = group[i].node;

		if (!review_address(&v->records[k], f)->family)
			continue;
		if (v->proven_nodes[k]->proofs[f].order)
			return k;
		if (!reachable)
			carrier = k;
		reachable = true;
	}
	return carrier;
}

static void share(struct review *v, enum registry_family f, const struct key_of *group, size_t n)
{
	const size_t carrier = carrier_of(v, f, group, n);

	for (size_t i = 0; i < n; i++) {
		const size_t k = group[i].node;
		const struct registry_refusal refusal = {
			.reason = REGISTRY_KEY_SHARED,
			.node = v->records[k].name,
			.other = v->records[carrier].name,
			.family = f,
		};

		v->proven_nodes[k]->proofs[f].shared = true;
		v->nodes[k].peer[f] = carrier;
		if (k != carrier)
			review_refuse(v, &refusal);
	}
}

int review_keys(struct review *v, enum registry_family f)
{
	struct key_of *all = calloc(v->in->n_nodes ? v->in->n_nodes : 1, sizeof(*all));
	size_t n;

	if (!all)
		return -ENOMEM;
	n = find_proved(v, f, all);
	for (size_t i = 0; i < v->in->n_nodes; i++) {
		if (i != v->self)
			choose_key(v, f, i, all, n);
		else if (v->in->own_keys[f])
			memcpy(review_key(&v->records[i], f), v->in->own_keys[f], 32);
	}
	n = 0;
	for (size_t i = 0; i < v->in->n_nodes; i++) {
		v->nodes[i].peer[f] = i;
		v->nodes[i].closed[f] = i != v->self && is_cut_off(v, f, i);
		v->proven_nodes[i]->proofs[f].shared = false;
		if (!none(review_key(&v->records[i], f)))
			all[n++] = (struct key_of){review_key(&v->records[i], f), i};
	}
	if (n)
		qsort(all, n, sizeof(*all), by_key);
	for (size_t i = 0, next; i < n; i = next) {
		for (next = i + 1; next < n && !memcmp(all[i].key, all[next].key, 32); next++)
			;
		if (next > i + 1)
			share(v, f, &all[i], next - i);
	}
	free(all);
	return 0;
}
