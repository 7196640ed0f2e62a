/* SPDX-License-Identifier: Apache-2.0 */
#include "strict/ip_filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netlink/nft_query.h"
#include "netlink/nftables.h"
#include "netlink/route.h"
#include "strict/remote_ranges.h"

#define TABLE "podveil"

enum { INWARD, OUTWARD, MARKED, N_CHAINS };
static const char *const chains[] = {"inward", "outward", "marked"};
static const struct {
	enum nft_hook number;
	int priority;
} hooks[] = {
	/* Before connection tracking (-200): dropped packets are not tracked. */
	[INWARD] = {NFT_HOOK_PREROUTING, -350},
	/* After everything that can still change the way of a packet. */
	[OUTWARD] = {NFT_HOOK_POSTROUTING, 350},
	[MARKED] = {NFT_HOOK_FORWARD, -350},
};
static const char *const sets[] = {"remote4", "remote6"};
enum { REMOTE4, REMOTE6, N_SETS };
static const int families[N_SETS] = {AF_INET, AF_INET6};

/* The content of the table. */
struct content {
	bool any, drop_marked;
	struct nft_interval *remote[N_SETS];
	size_t n_remote[N_SETS];
	char tunnels[N_SETS][2][IF_NAMESIZE]; /* second: the old name during a rename; or empty */
};

struct ip_filter {
	struct content now;
	bool in_place;
	uint32_t generation; /* of nftables, at the last look */
	uint8_t digest[NFT_DIGEST];
};

static void content_fini(struct content *c)
{
	for (int i = 0; i < N_SETS; i++)
		free(c->remote[i]);
	*c = (struct content){.any = false};
}

static int content_of(const struct ip_filter_want *want, struct content *out)
{
	struct content c = {
		.any = want->ranges || want->drop_marked,
		.drop_marked = want->drop_marked,
	};
	int err = 0;

	memcpy(c.tunnels[REMOTE4][0], want->tunnel4, IF_NAMESIZE);
	memcpy(c.tunnels[REMOTE6][0], want->tunnel6, IF_NAMESIZE);
	for (int i = 0; i < N_SETS && want->ranges && !err; i++)
		err = remote_ranges_intervals(want->ranges, families[i], &c.remote[i],
					      &c.n_remote[i]);
	if (err)
		content_fini(&c);
	else
		*out = c;
	return err;
}

static bool same_content(const struct content *a, const struct content *b)
{
	if (a->any != b->any || a->drop_marked != b->drop_marked ||
	    memcmp(a->tunnels, b->tunnels, sizeof(a->tunnels)) != 0)
		return false;
	for (int i = 0; i < N_SETS; i++)
		if (a->n_remote[i] != b->n_remote[i] ||
		    (a->n_remote[i] && memcmp(a->remote[i], b->remote[i],
					      a->n_remote[i] * sizeof(*a->remote[i])) != 0))
			return false;
	return true;
}

/* --- the rules --- */

static void accept_device(struct nft_batch *b, int chain, int family, const char *device)
{
	nft_begin_rule(b, chains[chain]);
	if (family)
		nft_match_family(b, family);
	nft_match_device(b, chain == INWARD, device);
	nft_accept(b);
	nft_end_rule(b);
}

static void drop_remote(struct nft_batch *b, int chain, int set)
{
	nft_begin_rule(b, chains[chain]);
	nft_match_family(b, families[set]);
	nft_match_address(b, chain == INWARD, families[set], sets[set]);
	nft_count(b, chains[chain]);
	nft_drop(b);
	nft_end_rule(b);
}

static void add_chain(struct nft_batch *b, int chain, const struct content *c)
{
	/* The node's packets to itself never came from outside; transparent proxies need them. */
	if (chain == INWARD)
		accept_device(b, chain, 0, "lo");
	for (int set = 0; set < N_SETS; set++) {
		if (!c->n_remote[set])
			continue;
		for (int i = 0; i < 2; i++)
			if (c->tunnels[set][i][0])
				accept_device(b, chain, families[set], c->tunnels[set][i]);
		drop_remote(b, chain, set);
	}
}

static void add_marked(struct nft_batch *b)
{
	nft_begin_rule(b, chains[MARKED]);
	nft_match_mark(b, RULE_MARK);
	nft_count(b, chains[MARKED]);
	nft_drop(b);
	nft_end_rule(b);
}

/* A chain without anything to check is left out. */
static bool has_chain(const struct content *c, int chain)
{
	return chain == MARKED ? c->drop_marked : c->n_remote[REMOTE4] || c->n_remote[REMOTE6];
}

/* Replaces the table atomically. */
static int set_table(const struct content *c)
{
	struct nft_batch *b = nft_begin(TABLE);

	if (!b)
		return -ENOMEM;
	nft_add_table(b); /* deleting needs an existing table */
	nft_delete_table(b);
	if (!c->any)
		return nft_send(b);
	nft_add_table(b);
	for (int i = 0; i < N_SETS; i++) {
		nft_add_set(b, sets[i], families[i]);
		nft_add_intervals(b, sets[i], families[i], c->remote[i], c->n_remote[i]);
	}
	for (int i = 0; i < N_CHAINS; i++) {
		if (!has_chain(c, i))
			continue;
		nft_add_counter(b, chains[i]);
		nft_add_chain(b, chains[i], hooks[i].number, hooks[i].priority);
		if (i == MARKED)
			add_marked(b);
		else
			add_chain(b, i, c);
	}
	return nft_send(b);
}

/* --- setting and repairing --- */

static int digest(const struct content *c, uint8_t out[NFT_DIGEST])
{
	const char *names[N_CHAINS];
	size_t n = 0;

	for (int i = 0; i < N_CHAINS; i++)
		if (has_chain(c, i))
			names[n++] = chains[i];
	return nft_digest(TABLE, names, n, sets, N_SETS, out);
}

static int set_and_record(struct ip_filter *f)
{
	int err = set_table(&f->now);

	f->in_place = false;
	/* Without nftables in the kernel there is no table to remove. */
	if (err && !f->now.any && !ip_filter_exists())
		return 0;
	if (!err && f->now.any)
		err = nft_generation(&f->generation);
	if (!err && f->now.any)
		err = digest(&f->now, f->digest);
	f->in_place = !err && f->now.any;
	return err;
}

int ip_filter_apply(struct ip_filter *f, const struct ip_filter_want *want)
{
	struct content fresh;
	int err = content_of(want, &fresh);

	if (err)
		return err;
	if (!fresh.any && !f->now.any && !ip_filter_exists()) {
		content_fini(&fresh);
		return 0;
	}
	for (int i = 0; i < N_SETS && f->now.any; i++)
		if (strcmp(f->now.tunnels[i][0], fresh.tunnels[i][0]) != 0)
			memcpy(fresh.tunnels[i][1], f->now.tunnels[i][0], IF_NAMESIZE);
	if (f->in_place && same_content(&fresh, &f->now)) {
		content_fini(&fresh);
		return 0;
	}
	content_fini(&f->now);
	f->now = fresh;
	return set_and_record(f);
}

int ip_filter_remove_old(struct ip_filter *f)
{
	bool renamed = false;

	for (int i = 0; i < N_SETS; i++) {
		renamed |= f->now.tunnels[i][1][0] != 0;
		memset(f->now.tunnels[i][1], 0, IF_NAMESIZE);
	}
	return renamed && f->now.any ? set_and_record(f) : 0;
}

int ip_filter_repair(struct ip_filter *f)
{
	uint8_t there[NFT_DIGEST];
	uint32_t generation = 0;
	int err;

	if (!f->now.any)
		return 0;
	if (f->in_place && !nft_generation(&generation) && generation == f->generation)
		return 0;
	err = f->in_place ? digest(&f->now, there) : -ENOENT;
	if (err == -EINTR)
		return 0; /* it is changing right now: look again later */
	if (!err && !memcmp(there, f->digest, sizeof(there))) {
		f->generation = generation;
		return 0;
	}
	err = set_and_record(f);
	return err ? err : 1;
}

bool ip_filter_in_place(const struct ip_filter *f)
{
	return f->in_place;
}

struct ip_filter_drops ip_filter_drops(const struct ip_filter *f)
{
	struct ip_filter_drops d = {0, 0, 0};
	uint64_t *counts[N_CHAINS] = {&d.inward, &d.outward, &d.marked};

	for (int i = 0; i < N_CHAINS && f->in_place; i++)
		if (has_chain(&f->now, i))
			nft_counter(TABLE, chains[i], counts[i]);
	return d;
}

bool ip_filter_exists(void)
{
	uint8_t unused[NFT_DIGEST];

	return !nft_digest(TABLE, NULL, 0, NULL, 0, unused);
}

int ip_filter_remove(void)
{
	const struct content nothing = {.any = false};

	return ip_filter_exists() ? set_table(&nothing) : 0;
}

struct ip_filter *ip_filter_new(void)
{
	return calloc(1, sizeof(struct ip_filter));
}

void ip_filter_free(struct ip_filter *f)
{
	if (!f)
		return;
	content_fini(&f->now);
	free(f);
}
