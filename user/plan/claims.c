/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/claims.h"

#include <errno.h>
#include <stdlib.h>

/* Each round judges only what earlier rounds left undecided. */
enum round {
	ROUND_PROOFS,	/* two proofs: which one counts */
	ROUND_PROVED,	/* proved or ours, against neither */
	ROUND_ASSIGNED, /* assigned or granted, against neither */
	ROUND_EQUAL,	/* no rule separated them */
	N_ROUNDS
};

static int by_range(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	int order = cidr_compare(&x->cidr, &y->cidr);

	return order ? order : (x->node > y->node) - (x->node < y->node);
}

static bool gives_way(const struct claim *holder, const struct claim *other)
{
	return holder->silent && other->answers;
}

/* Above 0: `a` is stronger in this round. Below 0: `b` is. 0: undecided. */
static int weigh(enum round round, const struct claim *a, const struct claim *b)
{
	switch (round) {
	case ROUND_PROOFS: /* only for the same range: other pairs are compatible */
		if (a->own || b->own || !a->proof || !b->proof)
			return 0;
		return gives_way(a, b)	      ? -1
		       : gives_way(b, a)      ? 1
		       : a->proof != b->proof ? (a->proof < b->proof ? 1 : -1)
					      : 0;
	case ROUND_PROVED:
		if (a->own || b->own)
			return a->own ? 1 : -1;
		if (!a->proof == !b->proof)
			return 0;
		if (a->proof)
			return gives_way(a, b) ? -1 : 1;
		return gives_way(b, a) ? 1 : -1;
	case ROUND_ASSIGNED:
		if (a->granted != b->granted)
			return a->granted ? 1 : -1;
		return (int)a->assigned - (int)b->assigned;
	default: /* nothing is proved; but a silent node gives way to one that answers */
		return (int)gives_way(b, a) - (int)gives_way(a, b);
	}
}

/* Are both valid? Then the narrower range is more specific, and rightly so. */
static bool compatible(const struct claim *outer, const struct claim *inner)
{
	if (outer->cidr.prefix_len == inner->cidr.prefix_len)
		return false;
	/* Both proved: an agent that has just started may not know the grant yet. */
	return inner->granted || ((outer->own || outer->proof) && (inner->own || inner->proof));
}

static void refuse(struct claim *weaker, struct claim *stronger)
{
	weaker->verdict = CLAIM_REFUSED;
	weaker->closed = weaker->keyed && weaker->cidr.prefix_len < stronger->cidr.prefix_len;
	weaker->other = stronger->node;
	stronger->challenged = true;
}

static void contest(struct claim *one, const struct claim *other)
{
	if (one->verdict == CLAIM_STANDS)
		one->other = other->node;
	one->verdict = CLAIM_CONTESTED;
	one->closed |= one->keyed || (other->keyed && cidr_contains(&other->cidr, &one->cidr));
}

/* `outer` contains `inner`. */
static void judge_pair(enum round round, struct claim *outer, struct claim *inner)
{
	int order;

	if (outer->node == inner->node || outer->verdict == CLAIM_REFUSED ||
	    inner->verdict == CLAIM_REFUSED || compatible(outer, inner))
		return;
	order = weigh(round, outer, inner);
	if (order > 0) {
		refuse(inner, outer);
	} else if (order < 0) {
		refuse(outer, inner);
	} else if (round == ROUND_EQUAL) {
		contest(outer, inner);
		contest(inner, outer);
	}
}

int claims_judge(struct claim *all, size_t n)
{
	/* The claims that contain the current one. Sorted: the widest comes first. */
	size_t *around = malloc((n ? n : 1) * sizeof(*around));

	if (!around)
		return -ENOMEM;
	if (n)
		qsort(all, n, sizeof(*all), by_range);
	for (size_t i = 0; i < n; i++) {
		all[i].verdict = CLAIM_STANDS;
		all[i].challenged = all[i].closed = false;
	}
	for (enum round round = 0; round < N_ROUNDS; round++) {
		size_t depth = 0;

		for (size_t i = 0; i < n; i++) {
			while (depth && !cidr_contains(&all[around[depth - 1]].cidr, &all[i].cidr))
				depth--;
			for (size_t k = 0; k < depth; k++)
				judge_pair(round, &all[around[k]], &all[i]);
			around[depth++] = i;
		}
	}
	free(around);
	return 0;
}

/* --- addresses that no pod can have --- */

static const struct {
	struct cidr range;
	const char *why;
} never[] = {
	{{AF_INET, 8, {0}}, "addresses of no network"},
	{{AF_INET, 8, {127}}, "loopback addresses"},
	{{AF_INET, 16, {169, 254}}, "link-local addresses, the metadata service's among them"},
	{{AF_INET, 4, {224}}, "multicast addresses"},
	{{AF_INET, 32, {255, 255, 255, 255}}, "the broadcast address"},
	{{AF_INET6, 96, {0}}, "the unspecified and the loopback address"},
	{{AF_INET6, 96, {[10] = 0xff, [11] = 0xff}}, "IPv4 addresses in IPv6"},
	{{AF_INET6, 128, {0xfd, 0, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54}}, "the metadata service"},
	{{AF_INET6, 10, {0xfe, 0x80}}, "link-local addresses"},
	{{AF_INET6, 8, {0xff}}, "multicast addresses"},
};

const char *claims_never_pods(const struct cidr *range)
{
	for (size_t i = 0; i < sizeof(never) / sizeof(*never); i++)
		if (cidr_contains(&never[i].range, range) || cidr_contains(range, &never[i].range))
			return never[i].why;
	return NULL;
}
