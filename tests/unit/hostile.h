/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile node in a small cluster: two honest nodes, and our own node, which reviews the records.
 * Bytes, random or a fuzzer's, decide what it claims. Honest nodes have their own ranges and keys,
 * answer handshakes, sometimes change their keys, and sometimes lose the key from their record. The
 * hostile node claims anything: ranges, addresses, tunnel addresses, keys of other nodes, any flag.
 *
 * Checked after each review, for each address of an honest node: if the node had proved the
 * address, the address is still that node's, with the node's own key. And while the node's record
 * has a key, no packet for the address leaves in plain, except for an address that some node claims
 * as its own.
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
	uint8_t key[HOSTILE_NODES]; /* the keys that the nodes really have */
	uint8_t next_key;	    /* no other node knows it before it is published */
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

/* A range that the hostile node claims: small or wide, and it may contain any node's addresses. */
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
	/* Its own keys, ours, the current keys of honest nodes, and their former keys. */
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

/* Reports which keys answer: honest keys at honest nodes, the hostile node's own at its own. */
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
		/* It answers with its own key, which no other node claims: its range is proved. */
		if (s.session && key == h->key[i] && !h->records[i].stopped4)
			h->proved[i] |= registry_counts(r)[REGISTRY_KEY_SHARED] == 0 &&
					all[i].record->n_pod_cidrs == h->records[i].n_pod_cidrs;
	}
}

#define HOSTILE_PLAIN  0
#define HOSTILE_CLOSED 255

/* Where a packet for the address goes: to the peer with this key, or one of the values above. */
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

/* What is wrong with the way of packets for this address of the honest node i; NULL: nothing. */
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

/* Returns NULL, or what went wrong; the text is valid until the next run. */
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
