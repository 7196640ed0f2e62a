/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile node against two honest ones and the one that looks on, in a small address space: what
 * it says comes out of bytes, random ones or a fuzzer's. Honest nodes have ranges and keys of their
 * own, answer handshakes, rotate their keys now and then, and lose the key from their record. The
 * hostile one says anything: ranges, addresses, tunnels' addresses, anybody's keys, any flag.
 *
 * After each review, for each address of an honest node's: if it had proved it, it is that node's
 * still, by the node's own key. In any case nothing for it goes out in plain while its record has a
 * key, but for an address that some node says is its own.
 */
#ifndef TESTS_HOSTILE_H
#define TESTS_HOSTILE_H

#include <stdio.h>
#include <string.h>

#include "plan/plan.h"
#include "plan/registry.h"

#define HOSTILE_NODES	  4  /* honest, hostile, me, zealous: in the order of names */
#define HOSTILE_ADDRESSES 64 /* 10.0.0.0/26 */
#define HOSTILE_RANGES	  4

struct hostile {
	const uint8_t *bytes;
	size_t n;
	struct node_record records[HOSTILE_NODES];
	const struct node_record *nodes[HOSTILE_NODES];
	struct cidr ranges[HOSTILE_NODES][HOSTILE_RANGES + 1];
	uint8_t key[HOSTILE_NODES]; /* that the node really has */
	uint8_t next_key;	    /* nobody can know it before it is published */
	bool proved[HOSTILE_NODES];
	uint64_t now;
	char wrong[200];
};

static inline uint8_t hostile_byte(struct hostile *h)
{
	if (!h->n)
		return 0;
	h->n--;
	return *h->bytes++;
}

static inline struct cidr hostile_range(uint8_t address, uint8_t len)
{
	struct cidr c = {AF_INET, len, {10, 0, 0, address}};

	return cidr_masked(&c);
}

/* What the hostile node may say of a range: small ones and wide ones, around everybody's. */
static inline struct cidr hostile_any(struct hostile *h)
{
	static const uint8_t lengths[] = {32, 32, 31, 30, 29, 28, 27, 26, 24, 8, 1, 0};
	struct cidr c = hostile_range(hostile_byte(h) % HOSTILE_ADDRESSES,
				      lengths[hostile_byte(h) % sizeof(lengths)]);

	return c;
}

static inline void hostile_speak(struct hostile *h)
{
	struct node_record *r = &h->records[1];
	/* Its own, ours, those that honest nodes have, and any that they ever had. */
	const uint8_t keys[] = {
		0,
		20,
		21,
		60,
		h->key[0],
		h->key[3],
		10,
		40,
		h->next_key == 70 ? 0 : (uint8_t)(70 + hostile_byte(h) % (h->next_key - 70))};

	r->n_pod_cidrs = hostile_byte(h) % (HOSTILE_RANGES + 1);
	for (size_t i = 0; i < r->n_pod_cidrs; i++)
		r->pod_cidrs[i] = hostile_any(h);
	record_normalise(r);
	memset(r->key4, keys[hostile_byte(h) % sizeof(keys)], sizeof(r->key4));
	r->stopped4 = hostile_byte(h) % 4 == 0;
	r->tunnel4 = hostile_byte(h) % 2 ? hostile_range(hostile_byte(h), 32)
					 : (struct cidr){.family = AF_UNSPEC};
	r->address4 = hostile_byte(h) % 3
			      ? hostile_range(hostile_byte(h) % 128, 32)
			      : (struct cidr){AF_INET, 32, {172, 18, 0, hostile_byte(h) % 4}};
}

/* Devices see who answers: an honest key at an honest node, the hostile node's own where it is. */
static inline void hostile_see(struct hostile *h, struct registry *r)
{
	size_t n;
	const struct registry_node *all = registry_nodes(r, &n);

	for (size_t i = 0; i < n; i++) {
		const uint8_t key = all[i].record->key4[0];
		const bool real =
			key && (key == h->key[0] || key == h->key[3] || key == 20 || key == 21);
		const struct registry_observation s = {
			.node = all[i].record->name,
			.family = REGISTRY_IPV4,
			.key = all[i].record->key4,
			.session = real && all[i].peer[0] == i,
			.unanswered = !real,
			.now = h->now,
		};

		if (i == 2 || !key)
			continue;
		registry_observe(r, &s);
		/* By its own key, while nobody shares it: from now on it is proved. */
		if (s.session && key == h->key[i] && !h->records[i].stopped4)
			h->proved[i] |= registry_counts(r)[REGISTRY_KEY_SHARED] == 0 &&
					all[i].record->n_pod_cidrs == h->records[i].n_pod_cidrs;
	}
}

#define HOSTILE_PLAIN  0
#define HOSTILE_CLOSED 255

/* What is done with a packet for the address: the key it goes to, or one of these. */
static inline uint8_t hostile_way(const struct plan *p, uint8_t address)
{
	const struct cidr to = hostile_range(address, 32);
	const struct plan_range *best = NULL;

	for (size_t i = 0; i < p->n_ranges; i++)
		if (cidr_contains(&p->ranges[i].cidr, &to) &&
		    (!best || p->ranges[i].cidr.prefix_len > best->cidr.prefix_len))
			best = &p->ranges[i];
	if (!best || (best->peer == PLAN_NO_PEER && !best->closed))
		return HOSTILE_PLAIN;
	return best->closed ? HOSTILE_CLOSED : p->peers[best->peer].node->key4[0];
}

static inline bool hostile_is_node(const struct registry *r, const struct cidr *address)
{
	size_t n;
	const struct registry_node *all = registry_nodes(r, &n);

	for (size_t i = 0; i < n; i++)
		if (!cidr_compare(&all[i].record->address4, address))
			return true;
	return false;
}

/* Of an honest node's: what is wrong with the way of its packets; NULL: nothing. */
static inline const char *hostile_wrong_way(const struct hostile *h, const struct registry *r,
					    size_t i, const struct cidr *address, uint8_t way)
{
	if (!cidr_contains(&h->records[i].pod_cidrs[0], address))
		return NULL;
	if (h->proved[i] && way != h->key[i])
		return "not to its key";
	if (h->records[i].key4[0] && way == HOSTILE_PLAIN && !hostile_is_node(r, address))
		return "in plain";
	return NULL;
}

static inline bool hostile_check(struct hostile *h, struct registry *r)
{
	const struct settings settings = {.port4 = 51820, .host_encryption = h->now % 2};
	struct plan_input in = {.family = AF_INET, .self = "me", .settings = &settings};
	struct plan p;

	in.nodes = registry_nodes(r, &in.n_nodes);
	in.contested = registry_contested(r, &in.n_contested);
	if (plan_make(&in, &p))
		return false;
	for (size_t i = 0; i < HOSTILE_NODES && !*h->wrong; i += 3)
		for (unsigned int a = 0; a < HOSTILE_ADDRESSES; a++) {
			const struct cidr address = hostile_range((uint8_t)a, 32);
			const uint8_t way = hostile_way(&p, (uint8_t)a);
			const char *wrong = hostile_wrong_way(h, r, i, &address, way);

			if (wrong)
				snprintf(h->wrong, sizeof(h->wrong),
					 "10.0.0.%u of %s goes %s (%u, its key is %u)", a,
					 h->records[i].name, wrong, way, h->key[i]);
		}
	plan_fini(&p);
	return !*h->wrong;
}

/* NULL, or what went wrong; valid until the next run. */
static inline const char *hostile_run(const uint8_t *bytes, size_t n)
{
	static const char *const names[] = {"honest", "hostile", "me", "zealous"};
	static const uint8_t own_key[32] = {60, 60, 60};
	static struct hostile h;
	struct registry_input in = {.self = "me", .own_keys = {own_key, NULL}};
	struct registry *r = registry_new(NULL);

	h = (struct hostile){
		.bytes = bytes, .n = n, .key = {10, 20, 60, 40}, .next_key = 70, .now = 1};
	for (size_t i = 0; i < HOSTILE_NODES; i++) {
		struct node_record *to = &h.records[i];

		snprintf(to->name, sizeof(to->name), "%s", names[i]);
		to->pod_cidrs = h.ranges[i];
		to->pod_cidrs[0] = hostile_range((uint8_t)(i * 16), 28);
		to->n_pod_cidrs = 1;
		memset(to->key4, h.key[i], sizeof(to->key4));
		to->address4 = (struct cidr){AF_INET, 32, {172, 18, 0, (uint8_t)(i + 1)}};
		h.nodes[i] = to;
	}
	in.nodes = h.nodes;
	in.n_nodes = HOSTILE_NODES;
	while (h.n && !*h.wrong) {
		const uint8_t event = hostile_byte(&h);
		const size_t who = event & 16 ? 0 : 3;

		hostile_speak(&h);
		if (event % 16 == 1) { /* an honest node rotates its key */
			if (h.next_key < 255)
				h.key[who] = h.next_key++;
			memset(h.records[who].key4, h.key[who], 32);
		} else if (event % 16 == 2) { /* or loses it from its record */
			memset(h.records[who].key4, 0, 32);
		} else if (event % 16 == 3) {
			memset(h.records[who].key4, h.key[who], 32);
		}
		in.host_encryption = h.now % 2;
		if (registry_review(r, &in) || !hostile_check(&h, r))
			break;
		hostile_see(&h, r);
		h.now += hostile_byte(&h);
	}
	registry_free(r);
	return *h.wrong ? h.wrong : NULL;
}

#endif
