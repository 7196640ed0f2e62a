/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kubernetes/cluster.h"

#include <search.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "store/kubernetes/addresses/ownership.h"
#include "store/kubernetes/node_object.h"

/* A node that exists, or that an object gives addresses to. */
struct known_node {
	char *name;
	bool present, seen;
	bool stale; /* its record has to be reported */
	bool delivered;
	struct node_object parsed;
	struct owner has[CLUSTER_KINDS]; /* for each kind of object */
	TAILQ_ENTRY(known_node) in_list;
};

/* For the callbacks of a kind's objects. */
struct kind {
	struct cluster *cluster;
	enum cluster_kind number;
	struct ownership objects;
	bool listed, listing;
};

struct cluster {
	struct cluster_events events;
	void *nodes_by_name; /* of tsearch(3) */
	TAILQ_HEAD(, known_node) nodes;
	size_t n_present, n_with_ranges;
	struct kind kinds[CLUSTER_KINDS]; /* of that of nodes, only whether it was listed */
	enum route_source source;	  /* auto: none yet */
};

static const struct {
	const char *name; /* in problems */
	bool (*read)(const json_t *o, struct assignments *out, assignments_problem problem,
		     void *context);
	bool single; /* see ownership.h */
	bool custom; /* the whole kind may go: a deletion has to be confirmed */
} kind_table[CLUSTER_KINDS] = {
	[CLUSTER_NODES] = {.name = "nodes"},
	[CLUSTER_BLOCKS] = {"ipamblocks", assignments_of_block, false, true},
	[CLUSTER_CILIUM_NODES] = {"ciliumnodes", assignments_of_cilium_node, false, true},
	[CLUSTER_PODS] = {"pods", assignments_of_pod, true, false},
};

enum cluster_kind cluster_kind_of(enum route_source s)
{
	switch (s) {
	case ROUTE_SOURCE_CALICO_IPAM:
		return CLUSTER_BLOCKS;
	case ROUTE_SOURCE_CILIUM_NODE:
		return CLUSTER_CILIUM_NODES;
	case ROUTE_SOURCE_WORKLOAD_IPS:
		return CLUSTER_PODS;
	default:
		return CLUSTER_NODES;
	}
}

static int by_name(const void *a, const void *b)
{
	/* The structure begins with the name. */
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

/* Adds the ranges that the source in use gives to the node. */
static void take_ranges(const struct cluster *c, const struct known_node *m, struct node_record *r)
{
	const struct owner *has = &m->has[cluster_kind_of(c->source)];

	if (c->source == ROUTE_SOURCE_POD_CIDRS) {
		if (m->parsed.n_spec)
			memcpy(r->pod_cidrs, m->parsed.spec,
			       m->parsed.n_spec * sizeof(*m->parsed.spec));
		r->n_pod_cidrs = m->parsed.n_spec;
		return;
	}
	for (size_t i = 0; i < has->n; i++) {
		if (has->all[i]->yields)
			continue;
		r->pod_cidrs[r->n_pod_cidrs++] = has->all[i]->cidr;
		if (has->all[i]->granted)
			r->granted[r->n_granted++] = has->all[i]->cidr;
	}
}

static void deliver(struct cluster *c, struct known_node *m)
{
	const size_t room = m->parsed.n_spec + m->has[cluster_kind_of(c->source)].n + 1;
	struct node_record r = {
		/* A pod's address is no tunnel's. */
		.tunnels_assigned = c->source == ROUTE_SOURCE_CALICO_IPAM ||
				    c->source == ROUTE_SOURCE_WORKLOAD_IPS,
		.assigned = true,
		.source = c->source,
	};

	m->stale = false;
	if (!m->present) {
		if (m->delivered)
			c->events.node(c->events.context, m->name, NULL);
		m->delivered = false;
		return;
	}
	snprintf(r.name, sizeof(r.name), "%s", m->name);
	node_object_record(&m->parsed, &r);
	r.pod_cidrs = calloc(room, sizeof(*r.pod_cidrs));
	r.granted = calloc(room, sizeof(*r.granted));
	if (!r.pod_cidrs || !r.granted) {
		record_fini(&r);
		return;
	}
	take_ranges(c, m, &r);
	record_normalise(&r);
	c->events.node(c->events.context, m->name, &r);
	m->delivered = true;
	record_fini(&r);
}

static bool is_listed(const struct cluster *c, enum cluster_kind kind)
{
	return c->kinds[kind].listed && !c->kinds[kind].listing;
}

static bool ready(const struct cluster *c)
{
	return c->source != ROUTE_SOURCE_AUTO && is_listed(c, CLUSTER_NODES) &&
	       is_listed(c, cluster_kind_of(c->source));
}

/* Frees a node that does not exist any more and that no object refers to. */
static void forget(struct cluster *c, struct known_node *m)
{
	TAILQ_REMOVE(&c->nodes, m, in_list);
	tdelete(m, &c->nodes_by_name, by_name);
	free(m->name);
	node_object_fini(&m->parsed);
	for (int i = 0; i < CLUSTER_KINDS; i++)
		free(m->has[i].all);
	free(m);
}

static void deliver_stale(struct cluster *c)
{
	struct known_node *m;

	if (!ready(c))
		return;
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
	const char *kind, *name;
};

static void report_part(void *context, const char *what)
{
	const struct problem_of *of = context;

	problem(of->cluster, of->kind, of->name, what);
}

static bool is_referred_to(const struct known_node *m)
{
	for (int i = 0; i < CLUSTER_KINDS; i++)
		if (m->has[i].n)
			return true;
	return false;
}

static void drop_node(struct cluster *c, struct known_node *m)
{
	if (m->present) {
		m->present = false;
		c->n_present--;
		c->n_with_ranges -= m->parsed.n_spec > 0;
		changed(c, m);
	}
	/* While objects refer to the node, keep the struct. */
	if (!m->stale && !is_referred_to(m))
		forget(c, m);
}

static void take_node(struct cluster *c, const json_t *node, bool gone)
{
	const char *name = name_of(c, node, "nodes");
	struct known_node *m = name ? find_or_add_node(c, name) : NULL;
	struct problem_of of = {c, "nodes", name};

	if (!m)
		return;
	if (gone) {
		drop_node(c, m);
		return;
	}
	m->seen = true;
	c->n_present += !m->present;
	c->n_with_ranges -= m->present && m->parsed.n_spec;
	m->present = true;
	node_object_read(&m->parsed, node, report_part, &of);
	c->n_with_ranges += m->parsed.n_spec > 0;
	changed(c, m);
}

/* --- objects that give addresses to nodes --- */

static struct owner *owner_of(void *context, const char *node)
{
	const struct kind *k = context;
	struct known_node *m = find_or_add_node(k->cluster, node);

	return m ? &m->has[k->number] : NULL;
}

static void owner_changed(void *context, struct owner *w)
{
	const struct kind *k = context;
	struct owner *first = w - k->number;
	struct known_node *m =
		(struct known_node *)((char *)first - offsetof(struct known_node, has));

	if (k->number == cluster_kind_of(k->cluster->source))
		changed(k->cluster, m);
}

/* Pods' names are unique in their namespace only. */
static void full_name(const json_t *o, const char *name, char *out, size_t room)
{
	const json_t *metadata = json_object_get(o, "metadata");
	const char *namespace = json_string_value(json_object_get(metadata, "namespace"));

	snprintf(out, room, "%s%s%s", namespace ? namespace : "", namespace ? "/" : "", name);
}

static void take_object(struct cluster *c, enum cluster_kind kind, const json_t *o, bool gone)
{
	struct ownership *objects = &c->kinds[kind].objects;
	const char *name = name_of(c, o, kind_table[kind].name);
	const json_t *spec = json_object_get(o, "spec");
	struct assignments a = {.n = 0};
	char full[2 * NODE_NAME_MAX];
	struct problem_of of = {c, kind_table[kind].name, full};

	if (!name)
		return;
	full_name(o, name, full, sizeof(full));
	if (kind == CLUSTER_BLOCKS && json_is_true(json_object_get(spec, "deleted")))
		ownership_delete(objects, full);
	else if (gone && kind_table[kind].custom)
		ownership_expect_deletion(objects, full);
	else if (gone)
		ownership_delete(objects, full);
	else if (kind_table[kind].read(o, &a, report_part, &of))
		ownership_put(objects, full, &a);
	else
		ownership_keep(objects, full);
	assignments_fini(&a);
}

void cluster_object(struct cluster *c, enum cluster_kind kind, const json_t *o, bool gone)
{
	if (kind == CLUSTER_NODES)
		take_node(c, o, gone);
	else
		take_object(c, kind, o, gone);
}

bool cluster_expects_deletions(const struct cluster *c, enum cluster_kind kind)
{
	return c->kinds[kind].objects.n_going > 0;
}

bool cluster_expects_none(const struct cluster *c, enum cluster_kind kind)
{
	const struct ownership *o = &c->kinds[kind].objects;

	return o->n && o->n_going == o->n;
}

bool cluster_confirm_deletions(struct cluster *c, enum cluster_kind kind)
{
	return ownership_confirm(&c->kinds[kind].objects);
}

void cluster_forget(struct cluster *c, enum cluster_kind kind)
{
	ownership_list_begin(&c->kinds[kind].objects);
	ownership_list_end(&c->kinds[kind].objects, true);
	c->kinds[kind].listed = c->kinds[kind].listing = false;
}

/* --- the source --- */

void cluster_use(struct cluster *c, enum route_source source)
{
	struct known_node *m;

	if (c->source == source)
		return;
	c->source = source;
	TAILQ_FOREACH (m, &c->nodes, in_list)
		m->stale |= m->present;
	deliver_stale(c);
}

enum route_source cluster_source(const struct cluster *c)
{
	return c->source;
}

/* --- lists --- */

void cluster_list_begin(struct cluster *c, enum cluster_kind kind)
{
	struct known_node *m;

	c->kinds[kind].listing = true;
	if (kind != CLUSTER_NODES)
		ownership_list_begin(&c->kinds[kind].objects);
	else
		TAILQ_FOREACH (m, &c->nodes, in_list)
			m->seen = false;
}

static bool is_kept(const struct cluster *c, const struct known_node *m)
{
	return m->seen || (c->events.keep && c->events.keep(c->events.context, m->name));
}

void cluster_list_end(struct cluster *c, enum cluster_kind kind, bool complete)
{
	struct known_node *m, *next_m;

	for (m = TAILQ_FIRST(&c->nodes); m && complete && kind == CLUSTER_NODES; m = next_m) {
		next_m = TAILQ_NEXT(m, in_list);
		if (!is_kept(c, m))
			drop_node(c, m);
	}
	if (kind != CLUSTER_NODES)
		ownership_list_end(&c->kinds[kind].objects, complete);
	c->kinds[kind].listing = false;
	c->kinds[kind].listed = true;
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

size_t cluster_count_with_ranges(const struct cluster *c, enum cluster_kind kind)
{
	return kind == CLUSTER_NODES	? c->n_with_ranges
	       : kind == CLUSTER_BLOCKS ? c->kinds[kind].objects.n
					: c->kinds[kind].objects.n_ranges;
}

bool cluster_was_listed(const struct cluster *c, enum cluster_kind kind)
{
	return c->kinds[kind].listed;
}

struct cluster *cluster_new(const struct cluster_events *events)
{
	struct cluster *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->events = *events;
	TAILQ_INIT(&c->nodes);
	for (int i = 0; i < CLUSTER_KINDS; i++) {
		const struct ownership_events to = {owner_of, owner_changed, &c->kinds[i]};

		c->kinds[i].cluster = c;
		c->kinds[i].number = i;
		ownership_init(&c->kinds[i].objects, kind_table[i].single, &to);
	}
	return c;
}

void cluster_free(struct cluster *c)
{
	struct known_node *m;

	if (!c)
		return;
	for (int i = 0; i < CLUSTER_KINDS; i++)
		ownership_fini(&c->kinds[i].objects);
	while ((m = TAILQ_FIRST(&c->nodes)))
		forget(c, m);
	free(c);
}
