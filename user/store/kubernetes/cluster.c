/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kubernetes/cluster.h"

#include <search.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "store/kubernetes/ipam_block.h"
#include "store/kubernetes/node_object.h"

#define N_KINDS 2

struct block;
struct known_node;

/* A range that belongs to a node because of a block. */
struct claim {
	struct cidr cidr;
	bool granted;
	const struct block *block;
};

/* A node that exists, or that a block refers to. */
struct known_node {
	char *name;
	bool present, seen;
	bool stale; /* its record has to be reported */
	bool delivered;
	struct node_object parsed;
	struct claim *claims;
	size_t n_claims, claim_room;
	TAILQ_ENTRY(known_node) in_list;
};

/* The part of a block that belongs to a node: all of it, or a single address. */
struct share {
	struct known_node *node;
	struct cidr cidr;
	bool granted; /* a single address */
};

struct block {
	char *name;
	bool seen;
	struct share *shares;
	size_t n_shares;
	TAILQ_ENTRY(block) in_list;
};

struct cluster {
	struct cluster_events events;
	void *nodes_by_name, *blocks_by_name; /* of tsearch(3) */
	TAILQ_HEAD(, known_node) nodes;
	TAILQ_HEAD(, block) blocks;
	size_t n_present, n_blocks;
	bool listed[N_KINDS], listing[N_KINDS];
	bool with_blocks; /* there were blocks when records were last reported */
};

static int by_name(const void *a, const void *b)
{
	/* Both structures begin with their name. */
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static struct known_node *find_node(const struct cluster *c, const char *name)
{
	void *const *found = tfind(&name, (void *const *)&c->nodes_by_name, by_name);

	return found ? *found : NULL;
}

static struct known_node *find_or_add_node(struct cluster *c, const char *name)
{
	struct known_node *m = find_node(c, name);

	if (m)
		return m;
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->name = strdup(name);
	if (!m->name || !tsearch(m, &c->nodes_by_name, by_name)) {
		free(m->name);
		free(m);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&c->nodes, m, in_list);
	return m;
}

static void problem(const struct cluster *c, const char *kind, const char *name, const char *what)
{
	char object[300];

	snprintf(object, sizeof(object), "%s/%.253s", kind, name);
	c->events.problem(c->events.context, object, what);
}

/* --- records --- */

static const struct cidr *first_of(const struct cidr *a, const struct cidr *b)
{
	return a->family ? a : b;
}

static void parse_key(const char *text, uint8_t key[32])
{
	size_t len;

	if (sodium_base642bin(key, 32, text, strlen(text), NULL, &len, NULL,
			      sodium_base64_VARIANT_ORIGINAL) ||
	    len != 32)
		memset(key, 0, 32);
}

/* Takes Calico's annotation, else our own, which stays when Felix removes Calico's. */
static void take_keys(struct node_record *r, const struct node_object *parsed)
{
	parse_key(parsed->key4, r->key4);
	if (sodium_is_zero(r->key4, 32))
		parse_key(parsed->own4, r->key4);
	parse_key(parsed->key6, r->key6);
	if (sodium_is_zero(r->key6, 32))
		parse_key(parsed->own6, r->key6);
	r->stopped4 = !strcmp(parsed->own4, CLUSTER_STOPPED) ||
		      (!*parsed->own4 && parsed->condition == CONDITION_OFF);
	r->stopped6 = !strcmp(parsed->own6, CLUSTER_STOPPED) ||
		      (!*parsed->own6 && parsed->condition == CONDITION_OFF);
	r->encrypts = parsed->condition == CONDITION_ENCRYPTS;
	r->released4 = !*parsed->key4 || !strcmp(parsed->key4, parsed->released4);
	r->released6 = !*parsed->key6 || !strcmp(parsed->key6, parsed->released6);
}

static void deliver(struct cluster *c, struct known_node *m)
{
	const size_t room = m->parsed.n_spec + m->n_claims + 1;
	struct node_record r = {.tunnels_assigned = c->with_blocks, .assigned = true};

	m->stale = false;
	if (!m->present) {
		if (m->delivered)
			c->events.node(c->events.context, m->name, NULL);
		m->delivered = false;
		return;
	}
	snprintf(r.name, sizeof(r.name), "%s", m->name);
	r.address4 = *first_of(&m->parsed.annotated4, &m->parsed.internal4);
	r.address6 = *first_of(&m->parsed.annotated6, &m->parsed.internal6);
	r.tunnel4 = *first_of(&m->parsed.wireguard4,
			      first_of(&m->parsed.overlays[0], &m->parsed.overlays[1]));
	r.tunnel6 = *first_of(&m->parsed.wireguard6,
			      first_of(&m->parsed.overlays[2], &m->parsed.overlays[3]));
	take_keys(&r, &m->parsed);
	memcpy(r.overlays, m->parsed.overlays, sizeof(r.overlays));
	r.pod_cidrs = calloc(room, sizeof(*r.pod_cidrs));
	r.granted = calloc(room, sizeof(*r.granted));
	if (!r.pod_cidrs || !r.granted) {
		record_fini(&r);
		return;
	}
	if (c->with_blocks) {
		for (size_t i = 0; i < m->n_claims; i++) {
			r.pod_cidrs[r.n_pod_cidrs++] = m->claims[i].cidr;
			if (m->claims[i].granted)
				r.granted[r.n_granted++] = m->claims[i].cidr;
		}
	} else if (m->parsed.n_spec) {
		memcpy(r.pod_cidrs, m->parsed.spec, m->parsed.n_spec * sizeof(*m->parsed.spec));
		r.n_pod_cidrs = m->parsed.n_spec;
	}
	record_normalise(&r);
	c->events.node(c->events.context, m->name, &r);
	m->delivered = true;
	record_fini(&r);
}

static bool ready(const struct cluster *c)
{
	return c->listed[CLUSTER_NODES] && c->listed[CLUSTER_BLOCKS] &&
	       !c->listing[CLUSTER_NODES] && !c->listing[CLUSTER_BLOCKS];
}

/* Frees a node that does not exist any more and that no block refers to. */
static void forget(struct cluster *c, struct known_node *m)
{
	TAILQ_REMOVE(&c->nodes, m, in_list);
	tdelete(m, &c->nodes_by_name, by_name);
	free(m->name);
	node_object_fini(&m->parsed);
	free(m->claims);
	free(m);
}

static void deliver_stale(struct cluster *c)
{
	struct known_node *m;

	if (!ready(c))
		return;
	/* If the first block appears or the last one disappears, the source of pod ranges changes
	 * for all nodes. */
	if (c->with_blocks != (c->n_blocks > 0)) {
		c->with_blocks = c->n_blocks > 0;
		TAILQ_FOREACH (m, &c->nodes, in_list)
			m->stale |= m->present;
	}
	TAILQ_FOREACH (m, &c->nodes, in_list)
		if (m->stale)
			deliver(c, m);
}

/* Reports one node that has changed, without a search through all nodes. */
static void changed(struct cluster *c, struct known_node *m)
{
	m->stale = true;
	if (ready(c))
		deliver(c, m);
}

/* --- nodes --- */

static const char *name_of(const struct cluster *c, const json_t *o, const char *kind)
{
	const json_t *metadata = json_object_get(o, "metadata");
	const char *name = json_string_value(json_object_get(metadata, "name"));

	if (name && !node_name_problem(name))
		return name;
	problem(c, kind, name ? name : "", name ? node_name_problem(name) : "has no name");
	return NULL;
}

struct problem_of {
	const struct cluster *cluster;
	const char *node;
};

static void node_problem(void *context, const char *what)
{
	const struct problem_of *of = context;

	problem(of->cluster, "nodes", of->node, what);
}

static void drop_node(struct cluster *c, struct known_node *m)
{
	if (m->present) {
		m->present = false;
		c->n_present--;
		changed(c, m);
	}
	/* While blocks refer to the node, keep the struct. */
	if (!m->stale && !m->n_claims)
		forget(c, m);
}

void cluster_node(struct cluster *c, const json_t *node, bool gone)
{
	const char *name = name_of(c, node, "nodes");
	struct known_node *m = name ? find_or_add_node(c, name) : NULL;
	struct problem_of of = {c, name};

	if (!m)
		return;
	if (gone) {
		drop_node(c, m);
		return;
	}
	m->seen = true;
	c->n_present += !m->present;
	m->present = true;
	node_object_read(&m->parsed, node, node_problem, &of);
	changed(c, m);
}

/* --- blocks --- */

struct shares {
	struct share *all;
	size_t n, room;
};

struct shares_of {
	struct cluster *c;
	struct shares *s;
};

static void add_share(void *context, const char *node, const struct cidr *range, bool whole)
{
	const struct shares_of *of = context;
	struct known_node *m = find_or_add_node(of->c, node);
	struct shares *s = of->s;

	if (m && s->n == s->room) {
		const size_t room = s->room ? s->room * 2 : 2;
		struct share *more = realloc(s->all, room * sizeof(*more));

		if (!more)
			return;
		s->all = more;
		s->room = room;
	}
	if (m)
		s->all[s->n++] = (struct share){m, *range, !whole};
}

static bool same_shares(const struct block *b, const struct shares *s)
{
	if (b->n_shares != s->n)
		return false;
	for (size_t i = 0; i < s->n; i++)
		if (b->shares[i].node != s->all[i].node ||
		    b->shares[i].granted != s->all[i].granted ||
		    cidr_compare(&b->shares[i].cidr, &s->all[i].cidr))
			return false;
	return true;
}

static void remove_claims(struct known_node *m, const struct block *b)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->n_claims; i++)
		if (m->claims[i].block != b)
			m->claims[kept++] = m->claims[i];
	m->stale |= kept != m->n_claims;
	m->n_claims = kept;
}

static bool add_claim(struct known_node *m, const struct share *s, const struct block *b)
{
	if (m->n_claims == m->claim_room) {
		const size_t room = m->claim_room ? m->claim_room * 2 : 2;
		struct claim *more = realloc(m->claims, room * sizeof(*more));

		if (!more)
			return false;
		m->claims = more;
		m->claim_room = room;
	}
	m->claims[m->n_claims++] = (struct claim){s->cidr, s->granted, b};
	m->stale = true;
	return true;
}

/* Replaces the shares of the block, and reports the nodes that this changes. */
static void set_shares(struct cluster *c, struct block *b, const struct shares *s)
{
	const struct shares old = {b->shares, b->n_shares, 0};

	for (size_t i = 0; i < old.n; i++)
		remove_claims(old.all[i].node, b);
	b->shares = s->all;
	b->n_shares = 0;
	for (size_t i = 0; i < s->n; i++)
		if (add_claim(s->all[i].node, &s->all[i], b))
			b->shares[b->n_shares++] = s->all[i];
	/* If this is the first block or was the last one, the records of all nodes change. */
	if (c->with_blocks != (c->n_blocks > 0))
		deliver_stale(c);
	for (size_t i = 0; i < old.n && ready(c); i++)
		if (old.all[i].node->stale)
			deliver(c, old.all[i].node);
	for (size_t i = 0; i < b->n_shares && ready(c); i++)
		if (b->shares[i].node->stale)
			deliver(c, b->shares[i].node);
	free(old.all);
}

static struct block *make_block(struct cluster *c, const char *name)
{
	struct block *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->name = strdup(name);
	if (!b->name || !tsearch(b, &c->blocks_by_name, by_name)) {
		free(b->name);
		free(b);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&c->blocks, b, in_list);
	c->n_blocks++;
	return b;
}

static void drop_block(struct cluster *c, struct block *b)
{
	const struct shares none = {NULL, 0, 0};

	c->n_blocks--;
	set_shares(c, b, &none);
	tdelete(b, &c->blocks_by_name, by_name);
	TAILQ_REMOVE(&c->blocks, b, in_list);
	free(b->name);
	free(b);
}

void cluster_block(struct cluster *c, const json_t *block, bool gone)
{
	const char *name = name_of(c, block, "ipamblocks");
	const json_t *spec = json_object_get(block, "spec");
	void *const *found = name ? tfind(&name, &c->blocks_by_name, by_name) : NULL;
	struct block *b = found ? *found : NULL;
	struct cidr range;
	struct shares s = {NULL, 0, 0};
	char what[120];

	if (!name)
		return;
	if (gone || json_is_true(json_object_get(spec, "deleted"))) {
		if (b)
			drop_block(c, b);
		return;
	}
	if (b)
		b->seen = true;
	if (ipam_block_range(spec, &range, what, sizeof(what))) {
		problem(c, "ipamblocks", name, what);
		return;
	}
	ipam_block_each_share(spec, &range, add_share, &(struct shares_of){c, &s});
	if (b && same_shares(b, &s)) {
		free(s.all);
		return;
	}
	b = b ? b : make_block(c, name);
	if (!b) {
		free(s.all);
		return;
	}
	b->seen = true;
	set_shares(c, b, &s);
}

/* --- lists --- */

void cluster_list_begin(struct cluster *c, enum cluster_kind kind)
{
	struct known_node *m;
	struct block *b;

	c->listing[kind] = true;
	if (kind == CLUSTER_NODES)
		TAILQ_FOREACH (m, &c->nodes, in_list)
			m->seen = false;
	else
		TAILQ_FOREACH (b, &c->blocks, in_list)
			b->seen = false;
}

static bool is_kept(const struct cluster *c, const struct known_node *m)
{
	return m->seen || (c->events.keep && c->events.keep(c->events.context, m->name));
}

void cluster_list_end(struct cluster *c, enum cluster_kind kind, bool complete)
{
	struct known_node *m, *next_m;
	struct block *b, *next_b;

	for (m = TAILQ_FIRST(&c->nodes); m && complete && kind == CLUSTER_NODES; m = next_m) {
		next_m = TAILQ_NEXT(m, in_list);
		if (!is_kept(c, m))
			drop_node(c, m);
	}
	for (b = TAILQ_FIRST(&c->blocks); b && complete && kind == CLUSTER_BLOCKS; b = next_b) {
		next_b = TAILQ_NEXT(b, in_list);
		if (!b->seen)
			drop_block(c, b);
	}
	c->listing[kind] = false;
	c->listed[kind] = true;
	deliver_stale(c);
}

/* --- queries, making and freeing --- */

const char *cluster_key(const struct cluster *c, const char *node, bool v6)
{
	const struct known_node *m = find_node(c, node);

	return !m || !m->present ? NULL : v6 ? m->parsed.key6 : m->parsed.key4;
}

const char *cluster_own_key(const struct cluster *c, const char *node, bool v6)
{
	const struct known_node *m = find_node(c, node);

	return !m || !m->present ? NULL : v6 ? m->parsed.own6 : m->parsed.own4;
}

size_t cluster_count(const struct cluster *c)
{
	return c->n_present;
}

size_t cluster_blocks(const struct cluster *c)
{
	return c->n_blocks;
}

struct cluster *cluster_new(const struct cluster_events *events)
{
	struct cluster *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->events = *events;
	TAILQ_INIT(&c->nodes);
	TAILQ_INIT(&c->blocks);
	return c;
}

void cluster_free(struct cluster *c)
{
	struct known_node *m;
	struct block *b;

	if (!c)
		return;
	while ((b = TAILQ_FIRST(&c->blocks))) {
		TAILQ_REMOVE(&c->blocks, b, in_list);
		tdelete(b, &c->blocks_by_name, by_name);
		free(b->shares);
		free(b->name);
		free(b);
	}
	while ((m = TAILQ_FIRST(&c->nodes)))
		forget(c, m);
	free(c);
}
