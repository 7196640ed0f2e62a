/* SPDX-License-Identifier: Apache-2.0 */
#include "strict/remote_ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- which ranges --- */

static int by_cidr(const void *a, const void *b)
{
	return cidr_compare(&((const struct plan_range *)a)->cidr,
			    &((const struct plan_range *)b)->cidr);
}

/* The prefix lengths in use: only a few, even with thousands of ranges. */
struct lengths {
	bool of[129];
};

static struct lengths lengths_of(const struct plan *p)
{
	struct lengths l = {{false}};

	for (size_t i = 0; i < p->n_ranges; i++)
		l.of[p->ranges[i].cidr.prefix_len] = true;
	return l;
}

/* The most specific pod range around an address; NULL: none. All ranges of a plan have one family
 * and are sorted. */
static const struct plan_range *around(const struct plan *p, const struct lengths *lengths,
				       const struct cidr *address)
{
	for (int length = address->prefix_len; length >= 0 && p->n_ranges; length--) {
		struct plan_range key = {.cidr = *address};
		const struct plan_range *r;

		if (!lengths->of[length])
			continue;
		key.cidr.prefix_len = (uint8_t)length;
		key.cidr = cidr_masked(&key.cidr);
		r = bsearch(&key, p->ranges, p->n_ranges, sizeof(key), by_cidr);
		if (r && !r->host)
			return r;
	}
	return NULL;
}

static bool in_strict_range(const struct settings *s, const struct cidr *address)
{
	for (size_t i = 0; i < s->strict_cidrs.n; i++)
		if (cidr_contains(&s->strict_cidrs.all[i], address))
			return true;
	return false;
}

/* Adds a node's address as an exception. `address`: of the plan's family, or none. */
static int add_node(const struct settings *s, const struct plan *p, const struct lengths *lengths,
		    const struct node_record *node, const struct cidr *address,
		    struct tagged_ranges *out)
{
	const struct plan_range *r;

	if (!address->family)
		return 0;
	r = around(p, lengths, address);
	if (!r && !in_strict_range(s, address))
		return 0;
	if (r && !r->closed &&
	    (strcmp(r->name, node->name) || r->cidr.prefix_len == address->prefix_len))
		return 0;
	return tagged_ranges_add(out, address, RANGE_HERE);
}

/* Adds a range that is no pod's, unless a node publishes one around it. */
static int add_exception(const struct remote_ranges_input *in, const struct cidr *range,
			 struct tagged_ranges *out)
{
	for (size_t k = 0; k < in->n_plans; k++) {
		const struct plan *p = &in->plans[k];
		const struct lengths lengths = lengths_of(p);

		if (p->n_ranges && p->ranges[0].cidr.family == range->family &&
		    around(p, &lengths, range))
			return 0;
	}
	return tagged_ranges_add(out, range, RANGE_HERE);
}

/* Adds what the administrator says is no pod's, and the store's address. */
static int add_exceptions(const struct remote_ranges_input *in, struct tagged_ranges *out)
{
	const struct settings_ranges *all = &in->settings->strict_exceptions;
	int err = 0;

	for (size_t i = 0; i < all->n && !err; i++)
		err = add_exception(in, &all->all[i], out);
	if (!err && in->store.family && in_strict_range(in->settings, &in->store))
		err = add_exception(in, &in->store, out);
	return err;
}

int remote_ranges_collect(const struct remote_ranges_input *in, struct tagged_ranges *out)
{
	const struct settings *s = in->settings;
	int err = 0;

	out->n = 0;
	for (size_t i = 0; i < s->strict_cidrs.n && !err; i++)
		err = tagged_ranges_add(out, &s->strict_cidrs.all[i], RANGE_REMOTE);
	if (!err)
		err = add_exceptions(in, out);
	for (size_t k = 0; k < in->n_plans; k++)
		for (size_t i = 0; i < in->plans[k].n_ranges && !err; i++) {
			const struct plan_range *r = &in->plans[k].ranges[i];

			if (!r->host)
				err = tagged_ranges_add(out, &r->cidr,
							r->owner == PLAN_SELF ? RANGE_HERE
									      : RANGE_REMOTE);
		}
	for (size_t k = 0; k < in->n_plans; k++) {
		const struct lengths lengths = lengths_of(&in->plans[k]);

		for (size_t i = 0; i < in->n_nodes && !err; i++)
			err = add_node(s, &in->plans[k], &lengths, in->nodes[i],
				       k ? &in->nodes[i]->address6 : &in->nodes[i]->address4, out);
	}
	tagged_ranges_sort(out, RANGE_HERE);
	return err;
}

/* --- nested ranges --- */

/* The ranges around the current one, the widest first: at most one for each prefix length. */
struct nest {
	const struct tagged_range *around[129];
	size_t depth;
};

static void leave_behind(struct nest *n, const struct tagged_range *next)
{
	while (n->depth && !cidr_contains(&n->around[n->depth - 1]->range, &next->range))
		n->depth--;
}

void remote_ranges_reduce(struct tagged_ranges *m)
{
	struct tagged_range *all = malloc((m->n ? m->n : 1) * sizeof(*all));
	struct nest nest = {.depth = 0};
	size_t kept = 0;

	if (!all)
		return; /* no memory: unreduced ranges are correct, too */
	if (m->n)
		memcpy(all, m->all, m->n * sizeof(*all));
	for (size_t i = 0; i < m->n; i++) {
		leave_behind(&nest, &all[i]);
		if (all[i].kind != (nest.depth ? nest.around[nest.depth - 1]->kind : RANGE_HERE))
			m->all[kept++] = all[i];
		nest.around[nest.depth++] = &all[i];
	}
	m->n = kept;
	free(all);
}

/* --- intervals --- */

typedef unsigned __int128 number;

static number number_of(const uint8_t *address, size_t size)
{
	number n = 0;

	for (size_t i = 0; i < size; i++)
		n = n << 8 | address[i];
	return n;
}

static void address_of(number n, size_t size, uint8_t *out)
{
	for (size_t i = size; i--; n >>= 8)
		out[i] = (uint8_t)n;
}

static number last_of(const struct cidr *c)
{
	const size_t size = cidr_address_size(c->family);
	const unsigned int free_bits = (unsigned int)size * 8 - c->prefix_len;
	const number host = free_bits == 128 ? ~(number)0 : ((number)1 << free_bits) - 1;

	return number_of(c->address, size) | host;
}

/* A walk over all addresses, from the lowest to the highest. */
struct sweep {
	size_t size;
	number at;     /* the next address without a kind */
	bool finished; /* the highest address is done */
	struct nest nest;
	struct nft_interval *out;
	size_t n;
};

/* The addresses from `at` to `last` have this kind. */
static void append(struct sweep *s, number last, unsigned int kind)
{
	struct nft_interval *before = s->n ? &s->out[s->n - 1] : NULL;

	if (s->finished || last < s->at)
		return;
	if (kind == RANGE_REMOTE) {
		if (!before || number_of(before->last, s->size) + 1 != s->at) {
			before = &s->out[s->n++];
			address_of(s->at, s->size, before->first);
		}
		address_of(last, s->size, before->last);
	}
	s->at = last + 1;
	s->finished = !s->at;
}

/* Closes the ranges that end before `next`. NULL: closes all. */
static void close_ranges(struct sweep *s, const struct tagged_range *next)
{
	while (s->nest.depth) {
		const struct tagged_range *inner = s->nest.around[s->nest.depth - 1];

		if (next && cidr_contains(&inner->range, &next->range))
			break;
		append(s, last_of(&inner->range), inner->kind);
		s->nest.depth--;
	}
}

int remote_ranges_intervals(const struct tagged_ranges *m, int family, struct nft_interval **out,
			    size_t *n)
{
	/* Each range starts and ends at most one interval. */
	struct sweep s = {
		.size = cidr_address_size(family),
		.out = calloc(m->n * 2 + 1, sizeof(*s.out)),
	};

	if (!s.out)
		return -ENOMEM;
	for (size_t i = 0; i < m->n; i++) {
		const struct tagged_range *next = &m->all[i];
		const number first = number_of(next->range.address, s.size);

		if (next->range.family != family)
			continue;
		close_ranges(&s, next);
		if (first > s.at)
			append(&s, first - 1,
			       s.nest.depth ? s.nest.around[s.nest.depth - 1]->kind : RANGE_HERE);
		s.nest.around[s.nest.depth++] = next;
	}
	close_ranges(&s, NULL);
	*out = s.out;
	*n = s.n;
	return 0;
}
