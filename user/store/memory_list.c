/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A complete list from the store: which of the entries that it does not contain were deleted, and
 * which were lost. Only what was deleted is forgotten; what was lost stays in force.
 */
#include <stdio.h>
#include <string.h>

#include "store/memory.h"
#include "store/memory_internal.h"

void memory_list_begin(struct memory *m, enum memory_kind kind)
{
	struct memory_entry *e;

	m->in_list[kind] = 0;
	TAILQ_FOREACH (e, &m->content.entries, in_list)
		if (e->kind == kind)
			e->seen = false;
}

/* Begins a new incarnation if the store is another one than before, or has an older state. */
static void update_origin(struct memory *m, enum memory_kind kind, const struct memory_list *l)
{
	struct memory_origin *s = &m->content.origins[kind];
	const bool named = l->identity && *l->identity;
	const bool fresh = named && strcmp(l->identity, s->identity) != 0;
	const bool other = fresh && *s->identity;
	const bool older = l->revision && l->revision < s->revision;

	if (named)
		snprintf(s->identity, sizeof(s->identity), "%s", l->identity);
	if (l->revision)
		s->revision = l->revision;
	if (other || older)
		s->incarnation++;
	if (fresh || older)
		memory_changed(m, kind);
}

static bool is_missing(const struct memory_entry *e)
{
	return !e->seen || e->was_deleted;
}

/* The reason, if our own record and others disappeared together, which nobody would delete
 * together. Some of them may be back already, because their nodes have published them again. */
static const char *lost_with_own_record(const struct memory *m, enum memory_kind kind,
					const struct memory_list *l)
{
	const struct memory_entry *e, *ours = m->self ? memory_find_entry(m, kind, m->self) : NULL;
	size_t missing = 0;

	TAILQ_FOREACH (e, &m->content.entries, in_list)
		missing += e->kind == kind && is_missing(e) && !*e->why;
	if (kind == MEMORY_NODES && !l->ours_may_miss && ours && is_missing(ours) && missing > 1)
		return "our own record is missing, too";
	return NULL;
}

/* Why a missing entry counts as lost. NULL: it was deleted. */
static const char *reason_to_hold(const struct memory *m, const struct memory_entry *e,
				  const struct memory_list *l, const char *together)
{
	if (l->doubt)
		return l->doubt;
	if (e->incarnation != m->content.origins[e->kind].incarnation)
		return "the store was replaced, or went back to an older state";
	if (!m->in_list[e->kind] && !e->deleted)
		return "the store has none left";
	return together;
}

bool memory_list_end(struct memory *m, enum memory_kind kind, const struct memory_list *l)
{
	const char *together = lost_with_own_record(m, kind, l), *why;
	struct memory_entry *e, *next;
	bool lost = together;

	update_origin(m, kind, l);
	for (e = TAILQ_FIRST(&m->content.entries); e; e = next) {
		next = TAILQ_NEXT(e, in_list);
		if (e->kind == kind)
			e->was_deleted = false;
		if (e->kind != kind || (!e->seen && *e->why))
			continue;
		if (e->seen) {
			e->incarnation = m->content.origins[kind].incarnation;
			continue;
		}
		why = reason_to_hold(m, e, l, together);
		if (why) {
			memory_hold_entry(m, e, why, true);
			lost = true;
		} else if (!l->deleted || l->deleted(l->context, e)) {
			memory_delete_entry(m, e);
		}
	}
	if (lost)
		memory_update_health(m, kind);
	return lost;
}
