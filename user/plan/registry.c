/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/registry.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/log.h"
#include "plan/review.h"

struct registry {
	char *file;
	struct proven_nodes proven_nodes;
	/* Results of the last review. */
	size_t n, self;
	struct node_record *records;
	struct registry_node *nodes;
	struct registry_range *contested;
	size_t n_contested;
	struct registry_refusal *refusals;
	size_t n_refusals;
	size_t counts[REGISTRY_REASON_COUNT];

	bool needs_review;
	/* Hashes of the logged refusals that still exist; sorted. */
	uint64_t *logged;
	size_t n_logged;
};

static const struct {
	const char *name, *help;
	bool conflict;
} reasons[] = {
#define ENTRY(identifier, name, conflict, help) {name, help, conflict},
	REGISTRY_REASONS(ENTRY)
#undef ENTRY
};

const char *registry_reason_name(enum registry_reason r)
{
	return reasons[r].name;
}

bool registry_reason_is_conflict(enum registry_reason r)
{
	return reasons[r].conflict;
}

/* --- a review --- */

void review_refuse(struct review *v, const struct registry_refusal *refusal)
{
	v->counts[refusal->reason]++;
	if (ARRAY_GROW(v->refusals, v->n_refusals, v->room))
		return;
	v->refusals[v->n_refusals++] = *refusal;
}

static void free_records(struct node_record *all, size_t n)
{
	for (size_t i = 0; all && i < n; i++)
		record_fini(&all[i]);
	free(all);
}

static int copy_records(struct review *v)
{
	const size_t n = v->in->n_nodes;
	int err = 0;

	v->self = n;
	v->records = calloc(n ? n : 1, sizeof(*v->records));
	v->nodes = calloc(n ? n : 1, sizeof(*v->nodes));
	if (!v->records || !v->nodes)
		return -ENOMEM;
	for (size_t i = 0; i < n && !err; i++) {
		err = record_copy(&v->records[i], v->in->nodes[i]);
		v->nodes[i].record = &v->records[i];
		if (!strcmp(v->in->nodes[i]->name, v->in->self))
			v->self = i;
	}
	return err;
}

/* A proof takes over the node's admitted key: a node may rotate its key or leave. */
static void follow_key(struct proven_nodes *all, struct proof *p, const uint8_t key[32])
{
	if (!p->order || p->shared || !memcmp(p->key, key, 32))
		return;
	memcpy(p->key, key, 32);
	p->answers = p->unanswered = p->silent = false;
	p->silent_since = 0;
	all->changed = true;
}

static void take_over(struct registry *r, struct review *v)
{
	free_records(r->records, r->n);
	free(r->nodes);
	free(r->contested);
	free(r->refusals);
	r->n = v->in->n_nodes;
	r->self = v->self;
	r->records = v->records;
	r->nodes = v->nodes;
	r->contested = v->contested;
	r->n_contested = v->n_contested;
	r->refusals = v->refusals;
	r->n_refusals = v->n_refusals;
	memcpy(r->counts, v->counts, sizeof(r->counts));
	for (size_t i = 0; i < r->n; i++)
		for (int f = 0; f < REGISTRY_FAMILIES; f++)
			follow_key(&r->proven_nodes, &r->proven_nodes.all[i]->proofs[f],
				   review_key(&r->records[i], f));
	r->needs_review = false;
}

int registry_review(struct registry *r, const struct registry_input *in)
{
	struct review v = {.in = in};
	int err = proven_nodes_follow(&r->proven_nodes, in->nodes, in->n_nodes);

	v.proven_nodes = r->proven_nodes.all;
	if (!err)
		err = copy_records(&v);
	for (int f = 0; f < REGISTRY_FAMILIES && !err; f++)
		err = review_addresses(&v, f);
	for (int f = 0; f < REGISTRY_FAMILIES && !err; f++)
		err = review_keys(&v, f);
	if (!err)
		err = review_ranges(&v);
	if (!err) {
		take_over(r, &v);
		return 0;
	}
	free_records(v.records, in->n_nodes);
	free(v.nodes);
	free(v.contested);
	free(v.refusals);
	return err;
}

/* --- results of a review --- */

const struct registry_node *registry_nodes(const struct registry *r, size_t *n)
{
	*n = r->n;
	return r->nodes;
}

const struct registry_range *registry_contested(const struct registry *r, size_t *n)
{
	*n = r->n_contested;
	return r->contested;
}

const struct registry_refusal *registry_refusals(const struct registry *r, size_t *n)
{
	*n = r->n_refusals;
	return r->refusals;
}

const size_t *registry_counts(const struct registry *r)
{
	return r->counts;
}

const char *registry_explain(const struct registry_refusal *f, char out[REGISTRY_TEXT])
{
	char range[CIDR_TEXT] = "";

	if (f->range.family)
		cidr_format(&f->range, true, range);
	else
		snprintf(range, sizeof(range), "key for %s",
			 f->family == REGISTRY_IPV4 ? "IPv4" : "IPv6");
	snprintf(out, REGISTRY_TEXT, "%s of %s: %s%s%s%s%s%s", range, f->node,
		 reasons[f->reason].help, f->why ? ": " : "", f->why ? f->why : "",
		 f->other ? " (" : "", f->other ? f->other : "", f->other ? ")" : "");
	return out;
}

static int by_value(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t hash_of(const char *text)
{
	static const uint8_t key[crypto_shorthash_KEYBYTES];
	uint64_t hash;

	crypto_shorthash((uint8_t *)&hash, (const uint8_t *)text, strlen(text), key);
	return hash;
}

void registry_log(struct registry *r)
{
	uint64_t *now = malloc((r->n_refusals ? r->n_refusals : 1) * sizeof(*now));
	char text[REGISTRY_TEXT];

	for (size_t i = 0; now && i < r->n_refusals; i++) {
		const struct registry_refusal *f = &r->refusals[i];

		now[i] = hash_of(registry_explain(f, text));
		if (r->n_logged && bsearch(&now[i], r->logged, r->n_logged, sizeof(*now), by_value))
			continue;
		if (reasons[f->reason].conflict)
			log_error("nodes contradict each other", "reason=%s conflict=\"%s\"",
				  reasons[f->reason].name, text);
		else
			log_warn("a part of a record is refused", "reason=%s part=\"%s\"",
				 reasons[f->reason].name, text);
	}
	if (!now)
		return;
	if (r->n_refusals)
		qsort(now, r->n_refusals, sizeof(*now), by_value);
	free(r->logged);
	r->logged = now;
	r->n_logged = r->n_refusals;
}

/* --- observations of devices --- */

static bool same_ranges(const struct proof *p, const struct node_record *r, int family,
			const struct cidr *tunnel)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n_pod_cidrs; i++) {
		if (r->pod_cidrs[i].family != family)
			continue;
		if (n == p->n_ranges || cidr_compare(&p->ranges[n], &r->pod_cidrs[i]))
			return false;
		n++;
	}
	if (!tunnel)
		return n == p->n_ranges;
	return n + 1 == p->n_ranges && !cidr_compare(&p->ranges[n], tunnel);
}

/* There is a session with the node: this proves what it was admitted with. */
static void prove(struct registry *r, struct proof *p, const struct node_record *record,
		  enum registry_family f)
{
	const int family = f == REGISTRY_IPV4 ? AF_INET : AF_INET6;
	const uint8_t *key = f == REGISTRY_IPV4 ? record->key4 : record->key6;
	const struct cidr *address = f == REGISTRY_IPV4 ? &record->address4 : &record->address6;
	const struct cidr *tunnel = f == REGISTRY_IPV4 ? &record->tunnel4 : &record->tunnel6;

	for (size_t i = 0; i < record->n_pod_cidrs && tunnel; i++)
		if (cidr_contains(&record->pod_cidrs[i], tunnel))
			tunnel = NULL;
	if (tunnel && !tunnel->family)
		tunnel = NULL;
	if (p->order && !memcmp(p->key, key, 32) && !cidr_compare(&p->address, address) &&
	    same_ranges(p, record, family, tunnel))
		return;
	r->proven_nodes.changed = true;
	if (!p->order)
		p->order = ++r->proven_nodes.last_order;
	memcpy(p->key, key, 32);
	p->address = *address;
	p->n_ranges = 0;
	for (size_t i = 0; i < record->n_pod_cidrs; i++)
		if (record->pod_cidrs[i].family == family)
			proof_add(p, &record->pod_cidrs[i]);
	if (tunnel)
		proof_add(p, tunnel);
}

static size_t index_of(const struct registry *r, const char *name)
{
	size_t low = 0, high = r->n;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (strcmp(r->records[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < r->n && !strcmp(r->records[low].name, name) ? low : r->n;
}

static bool conflicts(const struct registry *r)
{
	for (int i = 0; i < REGISTRY_REASON_COUNT; i++)
		if (reasons[i].conflict && r->counts[i])
			return true;
	return false;
}

void registry_observe(struct registry *r, const struct registry_observation *s)
{
	const size_t i = index_of(r, s->node);
	struct proven_node *h;
	struct proof *p;

	/* The observation belongs to an earlier review: ignore it. */
	if (i == r->n || i == r->self || memcmp(review_key(&r->records[i], s->family), s->key, 32))
		return;
	h = proven_nodes_find(&r->proven_nodes, s->node);
	if (!h)
		return;
	p = &h->proofs[s->family];
	if (s->session) {
		const bool news = !p->answers;

		p->answers = true;
		p->unanswered = p->silent = false;
		p->silent_since = 0;
		if (!p->shared)
			prove(r, p, &r->records[i], s->family);
		r->needs_review |= news && conflicts(r);
		return;
	}
	p->answers = false;
	if (s->unanswered && !p->unanswered) {
		p->unanswered = true;
		p->silent_since = s->now ? s->now : 1;
		r->needs_review |= p->missing;
	}
	if (p->silent_since && !p->silent && s->now - p->silent_since >= REGISTRY_SILENCE_S) {
		p->silent = true;
		r->needs_review |= conflicts(r);
	}
}

bool registry_needs_review(struct registry *r)
{
	const bool needs = r->needs_review;

	r->needs_review = false;
	return needs;
}

void registry_each_challenged(const struct registry *r,
			      void (*each)(void *context, enum registry_family family,
					   const uint8_t key[32]),
			      void *context)
{
	for (size_t i = 0; i < r->proven_nodes.n; i++)
		for (int f = 0; f < REGISTRY_FAMILIES; f++) {
			const struct proof *p = &r->proven_nodes.all[i]->proofs[f];

			if (p->challenged && !p->answers && !sodium_is_zero(p->key, 32))
				each(context, f, p->key);
		}
}

/* --- creating and freeing --- */

int registry_save(struct registry *r)
{
	return r->file && r->proven_nodes.changed ? proven_nodes_save(&r->proven_nodes, r->file)
						  : 0;
}

struct registry *registry_new(const char *file)
{
	struct registry *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return NULL;
	if (!file)
		return r;
	r->file = strdup(file);
	if (!r->file) {
		free(r);
		return NULL;
	}
	err = proven_nodes_load(&r->proven_nodes, file);
	if (err && err != -ENOENT)
		log_warn(
			"the file of proved keys cannot be read: proofs from before the restart are lost",
			"file=%s errno=%d error=\"%s\"", file, -err, strerror(-err));
	return r;
}

void registry_free(struct registry *r)
{
	if (!r)
		return;
	free_records(r->records, r->n);
	free(r->nodes);
	free(r->contested);
	free(r->refusals);
	free(r->logged);
	proven_nodes_fini(&r->proven_nodes);
	free(r->file);
	free(r);
}
