/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything known of a store: the records of nodes and the settings. An entry stays in force until
 * somebody deletes it. A deletion must be distinguished from a loss of data, so each kind of store
 * reports:
 *
 *   - an entry is there, valid or not (an invalid one changes nothing)
 *   - an event says that an entry was deleted
 *   - a complete list does not contain an entry. This counts as a deletion only if the list comes
 *     from the same store in which the entry was seen last, and if nothing suggests a loss. A store
 *     has lost data if it is another one, or has an older state than before, or is empty, or if our
 *     own record disappeared together with others. Entries that were lost are held: they stay in
 *     force.
 *
 * Everything is kept in a file, so that a new agent knows it before its store answers.
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
	const char *self; /* our node; NULL: we are no node */
	const struct store_events *events;
	struct store_health *health;
};

/* Reads the file. A broken file is logged and ignored. 0, -ENOMEM, or -errno: the file exists but
 * cannot be read now. */
int memory_new(const struct memory_params *p, struct memory **out);
/* Writes the file first, if it is not up to date. */
void memory_free(struct memory *m);
/* Calls back with everything remembered, settings first. The number of entries. */
size_t memory_replay(struct memory *m);

/* Remembers the settings in force when one that the store gave is refused. After a restart they are
 * reported first, so that the last good value is in force then, too. `all` NULL: none is
 * refused. */
void memory_good_settings(struct memory *m, const char *node, const struct store_setting *all,
			  unsigned int n);

/* --- reports from a store --- */

/* The entry is there. */
void memory_put_node(struct memory *m, const struct node_record *r);
void memory_put_settings(struct memory *m, const char *node, const struct store_setting *all,
			 unsigned int n, const char *source);
/* The entry is there, but is unchanged or cannot be used: what is known stays in force. `name` of
 * settings: NULL or "" for the cluster's. */
void memory_put_unusable(struct memory *m, enum memory_kind kind, const char *name);
/* The entry was deleted. */
void memory_delete(struct memory *m, enum memory_kind kind, const char *name);
/* An event says that the entry was deleted. It is a deletion if the next list does not have it. */
void memory_expect_deletion(struct memory *m, enum memory_kind kind, const char *name);
/* The entry is not there, but nobody deleted it, and the store is in order: hold it. */
void memory_hold(struct memory *m, enum memory_kind kind, const char *name, const char *why);

/* A complete list. */
struct memory_list {
	const char *identity; /* of the store; NULL or empty: not known */
	uint64_t revision;    /* never goes back in one store; 0: it has none */
	const char *doubt;    /* why missing entries were lost, not deleted; NULL: no reason */
	bool ours_may_miss;   /* our own record may be missing for other reasons */
	/* Called for each entry that would be deleted. False: do not delete it. NULL: delete
	 * all. */
	bool (*deleted)(void *context, const struct memory_entry *e);
	void *context;
};

/* A list begins. Its entries are reported with the functions above. */
void memory_list_begin(struct memory *m, enum memory_kind kind);
/* A list ends. True: entries were lost, not deleted. Those that are still missing are held; this is
 * logged and shown in the store's health. */
bool memory_list_end(struct memory *m, enum memory_kind kind, const struct memory_list *l);

/* --- queries --- */

const struct memory_entry *memory_find(const struct memory *m, enum memory_kind kind,
				       const char *name);
/* Is the entry known, and does the store show it? */
bool memory_in_store(const struct memory *m, enum memory_kind kind, const char *name);
/* The number of known entries of a kind, and how many of them the store does not show. */
size_t memory_count(const struct memory *m, enum memory_kind kind);
size_t memory_held(const struct memory *m, enum memory_kind kind);
/* How many of these the store has lost. A new list may show them again. */
size_t memory_lost(const struct memory *m, enum memory_kind kind);
const struct memory_origin *memory_origin(const struct memory *m, enum memory_kind kind);
void memory_each(const struct memory *m, void (*entry)(void *context, const struct memory_entry *e),
		 void *context);

#endif
