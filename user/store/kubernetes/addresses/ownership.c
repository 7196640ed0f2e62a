/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kubernetes/addresses/ownership.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

/* An object, and what it gives to whom. */
struct owned_by {
	char *name;
	bool seen, going, ending;
	int64_t created;
	struct share *shares;
	size_t n_shares;
	TAILQ_ENTRY(owned_by) in_list;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct owned_by *)a)->name, ((const struct owned_by *)b)->name);
}

static int by_address(const void *a, const void *b)
{
	return cidr_compare(&((const struct share *)a)->cidr, &((const struct share *)b)->cidr);
}

static struct owned_by *find(const struct ownership *o, const char *name)
{
	const struct owned_by key = {.name = (char *)(uintptr_t)name};
	void *const *found = tfind(&key, (void *const *)&o->by_name, by_name);

	return found ? *found : NULL;
}

/* --- one address, several pods --- */

static bool is_stronger(const struct owned_by *a, const struct owned_by *b)
{
	if (a->ending != b->ending)
		return !a->ending;
	return a->created != b->created ? a->created > b->created : strcmp(a->name, b->name) > 0;
}

/* Decides again who of those with this address has it. */
static void judge(const struct ownership *o, const struct cidr *address)
{
	const struct share key = {.cidr = *address};
	void *const *found = tfind(&key, (void *const *)&o->by_address, by_address);
	const struct share *best = found ? *found : NULL;

	for (const struct share *s = best; s; s = s->same)
		if (is_stronger(s->by, best->by))
			best = s;
	for (struct share *s = found ? *found : NULL; s; s = s->same) {
		const bool yields = s != best && (best->by->ending || s->by->ending);

		s->owner->changed |= s->yields != yields;
		s->yields = yields;
	}
}

static bool link_address(struct ownership *o, struct share *s)
{
	struct share **found = tsearch(s, &o->by_address, by_address);

	if (!found)
		return false;
	if (*found != s) {
		s->same = (*found)->same;
		(*found)->same = s;
	}
	return true;
}

static void unlink_address(struct ownership *o, struct share *s)
{
	struct share **found = tfind(s, &o->by_address, by_address), *at = found ? *found : NULL;

	if (at == s && s->same)
		*found = s->same;
	else if (at == s)
		tdelete(s, &o->by_address, by_address);
	for (; at && at != s; at = at->same)
		if (at->same == s) {
			at->same = s->same;
			break;
		}
}

/* --- shares --- */

static bool give(struct ownership *o, struct share *s)
{
	struct owner *w = s->owner;

	if (ARRAY_GROW(w->all, w->n, w->room))
		return false;
	if (o->single && !link_address(o, s))
		return false;
	w->all[w->n++] = s;
	w->changed = true;
	return true;
}

static void take(struct ownership *o, struct share *s)
{
	struct owner *w = s->owner;

	for (size_t i = 0; i < w->n; i++)
		if (w->all[i] == s) {
			w->all[i] = w->all[--w->n];
			break;
		}
	w->changed = true;
	if (!o->single)
		return;
	unlink_address(o, s);
	judge(o, &s->cidr);
}

static void report(const struct ownership *o, struct owner *w)
{
	if (!w->changed)
		return;
	w->changed = false;
	o->events.changed(o->events.context, w);
}

/* Reports everybody who has this address; reports nobody twice. */
static void report_all(const struct ownership *o, const struct share *s)
{
	void *const *found = o->single ? tfind(s, (void *const *)&o->by_address, by_address) : NULL;

	report(o, s->owner);
	for (const struct share *other = found ? *found : NULL; other; other = other->same)
		report(o, other->owner);
}

static bool same_shares(const struct owned_by *b, const struct assignments *a,
			struct owner *const *owners)
{
	if (b->n_shares != a->n || b->ending != a->ending || b->created != a->created)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (b->shares[i].owner != owners[i] || b->shares[i].granted != a->all[i].granted ||
		    cidr_compare(&b->shares[i].cidr, &a->all[i].cidr))
			return false;
	return true;
}

static void set_shares(struct ownership *o, struct owned_by *b, const struct assignments *a,
		       struct owner *const *owners)
{
	struct share *old = b->shares;
	const size_t n_old = b->n_shares;

	for (size_t i = 0; i < n_old; i++)
		take(o, &old[i]);
	o->n_ranges -= n_old;
	b->shares = a->n ? calloc(a->n, sizeof(*b->shares)) : NULL;
	b->n_shares = 0;
	b->ending = a->ending;
	b->created = a->created;
	for (size_t i = 0; i < a->n && b->shares; i++) {
		struct share *s = &b->shares[b->n_shares];

		*s = (struct share){owners[i], a->all[i].cidr, a->all[i].granted, .by = b};
		b->n_shares += s->owner && give(o, s);
	}
	o->n_ranges += b->n_shares;
	for (size_t i = 0; i < b->n_shares && o->single; i++)
		judge(o, &b->shares[i].cidr);
	for (size_t i = 0; i < n_old; i++)
		report_all(o, &old[i]);
	for (size_t i = 0; i < b->n_shares; i++)
		report_all(o, &b->shares[i]);
	free(old);
}

/* --- objects --- */

static struct owned_by *make(struct ownership *o, const char *name)
{
	struct owned_by *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->name = strdup(name);
	if (!b->name || !tsearch(b, &o->by_name, by_name)) {
		free(b->name);
		free(b);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&o->objects, b, in_list);
	o->n++;
	return b;
}

static void set_going(struct ownership *o, struct owned_by *b, bool going)
{
	o->n_going += going;
	o->n_going -= b->going;
	b->going = going;
}

static void drop(struct ownership *o, struct owned_by *b)
{
	set_going(o, b, false);
	o->n--;
	set_shares(o, b, &(struct assignments){.n = 0}, NULL);
	tdelete(b, &o->by_name, by_name);
	TAILQ_REMOVE(&o->objects, b, in_list);
	free(b->name);
	free(b);
}

void ownership_put(struct ownership *o, const char *name, const struct assignments *a)
{
	struct owned_by *b = find(o, name);
	struct owner **owners = calloc(a->n + 1, sizeof(*owners));

	if (!b)
		b = make(o, name);
	for (size_t i = 0; i < a->n && owners; i++)
		owners[i] = o->events.owner(o->events.context, a->all[i].node);
	if (b) {
		b->seen = true;
		set_going(o, b, false);
	}
	if (b && owners && !same_shares(b, a, owners))
		set_shares(o, b, a, owners);
	free(owners);
}

void ownership_keep(struct ownership *o, const char *name)
{
	struct owned_by *b = find(o, name);

	if (!b)
		return;
	b->seen = true;
	set_going(o, b, false);
}

void ownership_delete(struct ownership *o, const char *name)
{
	struct owned_by *b = find(o, name);

	if (b)
		drop(o, b);
}

void ownership_expect_deletion(struct ownership *o, const char *name)
{
	struct owned_by *b = find(o, name);

	if (b)
		set_going(o, b, true);
}

bool ownership_confirm(struct ownership *o)
{
	struct owned_by *b, *next;

	if (o->n_going == o->n)
		return !o->n;
	for (b = TAILQ_FIRST(&o->objects); b && o->n_going; b = next) {
		next = TAILQ_NEXT(b, in_list);
		if (b->going)
			drop(o, b);
	}
	return true;
}

void ownership_list_begin(struct ownership *o)
{
	struct owned_by *b;

	TAILQ_FOREACH (b, &o->objects, in_list)
		b->seen = false;
}

void ownership_list_end(struct ownership *o, bool complete)
{
	struct owned_by *b, *next;

	for (b = TAILQ_FIRST(&o->objects); b && complete; b = next) {
		next = TAILQ_NEXT(b, in_list);
		if (!b->seen)
			drop(o, b);
	}
}

void ownership_init(struct ownership *o, bool single, const struct ownership_events *events)
{
	*o = (struct ownership){.events = *events, .single = single};
	TAILQ_INIT(&o->objects);
}

static void keep_item(void *item)
{
	(void)item;
}

void ownership_fini(struct ownership *o)
{
	struct owned_by *b;

	tdestroy(o->by_address, keep_item);
	o->by_address = NULL;
	while ((b = TAILQ_FIRST(&o->objects))) {
		TAILQ_REMOVE(&o->objects, b, in_list);
		tdelete(b, &o->by_name, by_name);
		free(b->shares);
		free(b->name);
		free(b);
	}
	o->n = o->n_going = o->n_ranges = 0;
}
