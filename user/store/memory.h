/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a store: the records of nodes and the settings. It stands until its owner
 * deletes it in a way that can be told from loss, and each kind of store brings the evidence:
 *
 *   - that something is there, good or bad (a bad thing changes nothing)
 *   - that it was deleted: an event that says so
 *   - that a complete list does not have it. That is a deletion only where the list is of the store
 *     in which it was seen last, and nothing speaks against it. A store that is another one, or
 *     older than it was, that holds nothing any more, or that lost our own record and others in one
 *     go, has lost things; these are held.
 *
 * All is kept in a file, so that an agent that starts knows it before its store answers.
 *
 * Thread: control. Nothing here calls a kind of store.
 */
#ifndef STORE_MEMORY_H
#define STORE_MEMORY_H

#include "store/memory_file.h"

struct event_base;
struct memory;

struct memory_params {
	struct event_base *base;
	const char *path; /* NULL: nothing is kept */
	const char *self; /* our node; NULL: nobody's */
	const struct store_events *events;
	struct store_health *health;
};

/* Reads the file. One that is broken is said and passed over. 0, -ENOMEM, or -errno where the file
 * is there but cannot be read now. */
int memory_new(const struct memory_params *p, struct memory **out);
/* What is due is written. */
void memory_free(struct memory *m);
/* Tells all that is remembered, settings first. How much it was. */
size_t memory_replay(struct memory *m);

/* What the owner made of settings, one of which is refused: told first after a restart, so that the
 * last good value stands then, too. NULL: none is refused. */
void memory_good_settings(struct memory *m, const char *node, const struct store_setting *all,
			  unsigned int n);

/* --- what a store says --- */

/* It is there. */
void memory_put_node(struct memory *m, const struct node_record *r);
void memory_put_settings(struct memory *m, const char *node, const struct store_setting *all,
			 unsigned int n, const char *source);
/* It is there, but cannot be used. `name` of settings: NULL or "" for the cluster's. */
void memory_put_unusable(struct memory *m, enum memory_kind kind, const char *name);
/* Its owner deleted it. */
void memory_delete(struct memory *m, enum memory_kind kind, const char *name);
/* Somebody was seen to delete it: a deletion if the next list does not have it. */
void memory_expect_deletion(struct memory *m, enum memory_kind kind, const char *name);
/* It is not there, but nobody deleted it, and that is no trouble of the store's. */
void memory_hold(struct memory *m, enum memory_kind kind, const char *name, const char *why);

/* A list as it is complete. */
struct memory_list {
	const char *identity; /* of the store; NULL or empty: not known */
	uint64_t revision;    /* never goes back in one store; 0: it has none */
	const char *doubt;    /* why what is missing is lost rather than deleted; NULL: no reason */
	bool ours_may_miss;   /* our own record may be missing for other reasons */
	/* Asked of each one that would be deleted. False: it is held. NULL: yes. */
	bool (*deleted)(void *context, const struct memory_entry *e);
	void *context;
};

/* A list begins. What is in it is told by the functions above. */
void memory_list_begin(struct memory *m, enum memory_kind kind);
/* True: things were lost, not deleted. What is still missing is held; that is said, and stands in
 * the store's health. */
bool memory_list_end(struct memory *m, enum memory_kind kind, const struct memory_list *l);

/* --- asking --- */

const struct memory_entry *memory_find(const struct memory *m, enum memory_kind kind,
				       const char *name);
/* It is known, and the store shows it. */
bool memory_in_store(const struct memory *m, enum memory_kind kind, const char *name);
/* How much of a kind is known, and how much of that the store does not show. */
size_t memory_count(const struct memory *m, enum memory_kind kind);
size_t memory_held(const struct memory *m, enum memory_kind kind);
/* Likewise, and that is the store's trouble: a new list may show it again. */
size_t memory_lost(const struct memory *m, enum memory_kind kind);
const struct memory_origin *memory_origin(const struct memory *m, enum memory_kind kind);
void memory_each(const struct memory *m, void (*entry)(void *context, const struct memory_entry *e),
		 void *context);

#endif
