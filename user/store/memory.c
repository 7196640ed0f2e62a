/* SPDX-License-Identifier: Apache-2.0 */
#include "store/memory.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/memory_internal.h"
#include "store/memory_keeper.h"

static int by_name(const void *a, const void *b)
{
	const struct memory_entry *x = a, *y = b;

	return x->kind != y->kind ? (int)x->kind - (int)y->kind : strcmp(x->name, y->name);
}

struct memory_entry *memory_find_entry(const struct memory *m, enum memory_kind kind,
				       const char *name)
{
	const struct memory_entry key = {.kind = kind,
					 .name = (char *)(uintptr_t)(name ? name : "")};
	void *const *found = tfind(&key, &m->index, by_name);

	return found ? *found : NULL;
}

void memory_changed(struct memory *m, enum memory_kind kind)
{
	memory_keeper_changed(m->keeper, kind == MEMORY_SETTINGS);
}

static bool add(struct memory *m, struct memory_entry *e)
{
	if (memory_find_entry(m, e->kind, e->name) || !tsearch(e, &m->index, by_name))
		return false;
	TAILQ_INSERT_TAIL(&m->content.entries, e, in_list);
	m->counts[e->kind]++;
	m->held[e->kind] += *e->why != 0;
	m->lost[e->kind] += e->lost;
	return true;
}

static int load(struct memory *m, const char *path)
{
	struct memory_content c = {.origins = {{.revision = 0}}};
	struct memory_entry *e;
	int err;

	TAILQ_INIT(&c.entries);
	err = memory_keeper_load(path, &c);
	if (err)
		return err;
	memcpy(m->content.origins, c.origins, sizeof(c.origins));
	while ((e = TAILQ_FIRST(&c.entries))) {
		TAILQ_REMOVE(&c.entries, e, in_list);
		if (!add(m, e))
			memory_entry_free(e);
	}
	for (int kind = 0; kind < MEMORY_KINDS; kind++)
		if (m->lost[kind])
			memory_update_health(m, kind);
	return 0;
}

/* --- callbacks --- */

static void deliver(struct memory *m, struct memory_entry *e)
{
	const struct store_events *to = m->params.events;

	e->delivered = true;
	if (e->kind == MEMORY_NODES)
		to->node(to->context, e->name, &e->record);
	else
		to->settings(to->context, *e->name ? e->name : NULL, e->all, e->n, e->source);
}

static void deliver_deletion(struct memory *m, const struct memory_entry *e)
{
	const struct store_events *to = m->params.events;

	if (!e->delivered)
		return;
	if (e->kind == MEMORY_NODES)
		to->node(to->context, e->name, NULL);
	else
		to->settings(to->context, *e->name ? e->name : NULL, NULL, 0, e->source);
}

static void deliver_last_good(struct memory *m, const struct memory_entry *e)
{
	const struct store_events *to = m->params.events;

	m->delivering = true;
	if (e->good)
		to->settings(to->context, *e->name ? e->name : NULL, e->good, e->n_good, e->source);
	m->delivering = false;
}

size_t memory_replay(struct memory *m)
{
	struct memory_entry *e;
	size_t n = 0;

	for (int kind = MEMORY_SETTINGS; kind >= MEMORY_NODES; kind--)
		TAILQ_FOREACH (e, &m->content.entries, in_list)
			if ((int)e->kind == kind) {
				deliver_last_good(m, e);
				deliver(m, e);
				n++;
			}
	return n;
}

/* --- entries that the store does not show --- */

static const char *const kind_names[MEMORY_KINDS] = {"records", "settings"};

void memory_update_health(struct memory *m, enum memory_kind kind)
{
	const struct memory_entry *e;
	const char *why = "";
	char what[MEMORY_WHY + 80];

	if (!m->lost[kind]) {
		if (health_clear_problem(m->params.health, kind_names[kind]))
			log_info("store: all missing entries are back", "what=%s",
				 kind_names[kind]);
		return;
	}
	TAILQ_FOREACH (e, &m->content.entries, in_list)
		if (e->kind == kind && e->lost)
			why = e->why;
	snprintf(what, sizeof(what), "%zu are missing in the store and stay in force: %s",
		 m->lost[kind], why);
	if (health_set_problem(m->params.health, HEALTH_PART, kind_names[kind], what))
		log_warn(
			"store: entries are missing although nobody deleted them: the last known ones stay in force",
			"what=%s count=%zu problem=\"%s\"", kind_names[kind], m->lost[kind], why);
}

void memory_hold_entry(struct memory *m, struct memory_entry *e, const char *why, bool lost)
{
	e->deleted = false;
	m->held[e->kind] += !*e->why;
	m->lost[e->kind] += lost - e->lost;
	e->lost = lost;
	snprintf(e->why, sizeof(e->why), "%s", why);
	memory_changed(m, e->kind);
	/* Report our own record again: the agent then finds that the store does not have it, and
	 * publishes it. */
	if (m->self && e->delivered && e->kind == MEMORY_NODES && !strcmp(e->name, m->self))
		deliver(m, e);
}

static void release(struct memory *m, struct memory_entry *e)
{
	const bool lost = e->lost;

	if (!*e->why)
		return;
	*e->why = 0;
	e->lost = false;
	m->held[e->kind]--;
	m->lost[e->kind] -= lost;
	memory_changed(m, e->kind);
	if (lost && !m->lost[e->kind])
		memory_update_health(m, e->kind);
}

/* --- entries that are there --- */

static struct memory_entry *find_or_add(struct memory *m, enum memory_kind kind, const char *name)
{
	struct memory_entry *e = memory_find_entry(m, kind, name);

	if (e)
		return e;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->kind = kind;
	e->name = strdup(name ? name : "");
	if (!e->name || !add(m, e)) {
		memory_entry_free(e);
		return NULL;
	}
	return e;
}

static void forget(struct memory *m, struct memory_entry *e)
{
	release(m, e);
	TAILQ_REMOVE(&m->content.entries, e, in_list);
	tdelete(e, &m->index, by_name);
	m->counts[e->kind]--;
	memory_changed(m, e->kind);
	memory_entry_free(e);
}

void memory_delete_entry(struct memory *m, struct memory_entry *e)
{
	deliver_deletion(m, e);
	forget(m, e);
}

static void set_seen(struct memory *m, struct memory_entry *e)
{
	release(m, e);
	e->seen = true;
	e->deleted = false;
	e->incarnation = m->content.origins[e->kind].incarnation;
}

/* Removes from a held record the ranges that another node's record has now. Only equal ranges
 * count: a node may claim a wider one without a right to it. */
static bool remove_ranges(struct memory_entry *held, const struct node_record *by)
{
	struct node_record *r = &held->record;
	size_t kept = 0;

	for (size_t i = 0; i < r->n_pod_cidrs; i++) {
		bool taken = false;

		for (size_t k = 0; k < by->n_pod_cidrs; k++)
			taken |= !cidr_compare(&by->pod_cidrs[k], &r->pod_cidrs[i]);
		if (!taken)
			r->pod_cidrs[kept++] = r->pod_cidrs[i];
	}
	if (kept == r->n_pod_cidrs)
		return false;
	r->n_pod_cidrs = kept;
	return true;
}

static void release_ranges(struct memory *m, const struct memory_entry *to)
{
	struct memory_entry *e, *next;

	for (e = TAILQ_FIRST(&m->content.entries); e && m->held[MEMORY_NODES]; e = next) {
		next = TAILQ_NEXT(e, in_list);
		if (e->kind != MEMORY_NODES || !*e->why || e->lost || e == to ||
		    !remove_ranges(e, &to->record))
			continue;
		log_info(
			"store: a node took over the ranges of a node that is missing in the store",
			"node=%s was=%s", to->name, e->name);
		memory_changed(m, MEMORY_NODES);
		if (e->record.n_pod_cidrs)
			deliver(m, e);
		else
			memory_delete_entry(m, e);
	}
}

void memory_put_node(struct memory *m, const struct node_record *r)
{
	struct memory_entry *e = find_or_add(m, MEMORY_NODES, r->name);
	struct node_record copy;

	m->in_list[MEMORY_NODES]++;
	if (!e || record_copy(&copy, r)) {
		log_error("no memory for a node's record", "node=%s", r->name);
		return;
	}
	if (!record_equal(&e->record, &copy))
		memory_changed(m, MEMORY_NODES);
	record_fini(&e->record);
	e->record = copy;
	set_seen(m, e);
	release_ranges(m, e);
	deliver(m, e);
}

static bool same_settings(const struct store_setting *a, unsigned int n_a,
			  const struct store_setting *b, unsigned int n_b)
{
	if (n_a != n_b || !a != !b)
		return false;
	for (unsigned int i = 0; i < n_a; i++)
		if (strcmp(a[i].name, b[i].name) != 0 || strcmp(a[i].value, b[i].value) != 0)
			return false;
	return true;
}

void memory_good_settings(struct memory *m, const char *node, const struct store_setting *all,
			  unsigned int n)
{
	struct memory_entry *e = memory_find_entry(m, MEMORY_SETTINGS, node);
	struct store_setting *copy;

	if (!e || m->delivering || same_settings(e->good, e->n_good, all, n))
		return;
	copy = all ? memory_copy_settings(all, n) : NULL;
	if (all && !copy)
		return;
	memory_free_settings(e->good, e->n_good);
	e->good = copy;
	e->n_good = n;
	memory_changed(m, MEMORY_SETTINGS);
}

void memory_put_settings(struct memory *m, const char *node, const struct store_setting *all,
			 unsigned int n, const char *source)
{
	struct memory_entry *e = find_or_add(m, MEMORY_SETTINGS, node);
	struct store_setting *copy;
	char *from;

	m->in_list[MEMORY_SETTINGS]++;
	if (e && e->source && !strcmp(e->source, source) && same_settings(e->all, e->n, all, n)) {
		set_seen(m, e);
		if (!e->delivered)
			deliver(m, e);
		return;
	}
	copy = memory_copy_settings(all, n);
	from = strdup(source);
	if (!e || !copy || !from) {
		log_error("no memory for settings", "source=%s", source);
		memory_free_settings(copy, n);
		free(from);
		return;
	}
	memory_free_settings(e->all, e->n);
	free(e->source);
	e->all = copy;
	e->n = n;
	e->source = from;
	set_seen(m, e);
	memory_changed(m, MEMORY_SETTINGS);
	deliver(m, e);
}

void memory_put_unusable(struct memory *m, enum memory_kind kind, const char *name)
{
	struct memory_entry *e = memory_find_entry(m, kind, name);

	m->in_list[kind]++;
	if (e)
		set_seen(m, e);
}

/* --- entries that are not there --- */

void memory_delete(struct memory *m, enum memory_kind kind, const char *name)
{
	struct memory_entry *e = memory_find_entry(m, kind, name);

	if (e)
		memory_delete_entry(m, e);
}

void memory_expect_deletion(struct memory *m, enum memory_kind kind, const char *name)
{
	struct memory_entry *e = memory_find_entry(m, kind, name);

	if (e)
		e->deleted = e->was_deleted = true;
}

void memory_hold(struct memory *m, enum memory_kind kind, const char *name, const char *why)
{
	struct memory_entry *e = memory_find_entry(m, kind, name);

	if (e)
		memory_hold_entry(m, e, why, false);
}

/* --- queries --- */

const struct memory_entry *memory_find(const struct memory *m, enum memory_kind kind,
				       const char *name)
{
	return memory_find_entry(m, kind, name);
}

bool memory_in_store(const struct memory *m, enum memory_kind kind, const char *name)
{
	const struct memory_entry *e = memory_find_entry(m, kind, name);

	return e && !*e->why;
}

size_t memory_count(const struct memory *m, enum memory_kind kind)
{
	return m->counts[kind];
}

size_t memory_held(const struct memory *m, enum memory_kind kind)
{
	return m->held[kind];
}

size_t memory_lost(const struct memory *m, enum memory_kind kind)
{
	return m->lost[kind];
}

const struct memory_origin *memory_origin(const struct memory *m, enum memory_kind kind)
{
	return &m->content.origins[kind];
}

void memory_each(const struct memory *m, void (*entry)(void *context, const struct memory_entry *e),
		 void *context)
{
	const struct memory_entry *e;

	TAILQ_FOREACH (e, &m->content.entries, in_list)
		entry(context, e);
}

/* --- making and freeing --- */

int memory_new(const struct memory_params *p, struct memory **out)
{
	struct memory *m = calloc(1, sizeof(*m));
	int err = -ENOMEM;

	if (!m)
		return -ENOMEM;
	m->params = *p;
	TAILQ_INIT(&m->content.entries);
	m->self = p->self ? strdup(p->self) : NULL;
	if (p->self && !m->self)
		goto fail;
	if (p->path) {
		err = load(m, p->path);
		if (err)
			goto fail;
		m->keeper = memory_keeper_new(p->base, p->path, &m->content, p->health);
		err = -ENOMEM;
		if (!m->keeper)
			goto fail;
	}
	*out = m;
	return 0;
fail:
	memory_free(m);
	return err;
}

static void keep_node(void *node)
{
	(void)node; /* memory_content_fini() frees it */
}

void memory_free(struct memory *m)
{
	if (!m)
		return;
	memory_keeper_free(m->keeper);
	tdestroy(m->index, keep_node);
	memory_content_fini(&m->content);
	free(m->self);
	free(m);
}
