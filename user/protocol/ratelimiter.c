/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/ratelimiter.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/allowance.h"
#include "protocol/limits.h"
#include "protocol/source.h"

/* The kernel's numbers. */
#define PER_SECOND 20
#define BURST	   5
#define FORGET	   NSEC_PER_SEC
/* Each source has this many possible buckets, so that a few collisions lock nobody out. */
#define WAYS 8

struct bucket {
	uint64_t network;	    /* IPv4 address, or the upper half of an IPv6 address */
	struct allowance allowance; /* last 0: the bucket is free */
	uint8_t family;
};

struct ratelimiter {
	uint8_t hash_key
		[crypto_shorthash_KEYBYTES]; /* secret, so that no attacker can choose a bucket */
	uint32_t sets;
	struct bucket buckets[];
};

struct ratelimiter *ratelimiter_new(uint32_t capacity)
{
	uint32_t sets = (capacity + WAYS - 1) / WAYS;
	struct ratelimiter *r;

	if (!sets)
		sets = 1;
	r = calloc(1, sizeof(*r) + (size_t)sets * WAYS * sizeof(r->buckets[0]));
	if (!r)
		return NULL;
	r->sets = sets;
	crypto_shorthash_keygen(r->hash_key);
	return r;
}

void ratelimiter_free(struct ratelimiter *r)
{
	free(r);
}

bool ratelimiter_allow(struct ratelimiter *r, const struct sockaddr *source, uint64_t now)
{
	const uint64_t network = source_network(source);
	const uint8_t family = (uint8_t)source->sa_family;
	struct bucket *set = &r->buckets[source_hash(source, r->hash_key) % r->sets * WAYS];
	struct bucket *unused = NULL;

	for (unsigned int i = 0; i < WAYS; i++) {
		struct bucket *b = &set[i];

		if (!b->allowance.last || elapsed(b->allowance.last, now) > FORGET) {
			if (!unused)
				unused = b;
			continue;
		}
		if (b->network == network && b->family == family)
			return allowance_take(&b->allowance, now, PER_SECOND, BURST);
	}
	if (!unused)
		return false;
	*unused = (struct bucket){.network = network, .family = family};
	return allowance_take(&unused->allowance, now, PER_SECOND, BURST);
}
