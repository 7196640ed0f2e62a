/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file in which a node keeps what it knows of its store (store/memory.h), and its form:
 *
 *   {"version": 1,
 *    "nodes": {"identity": "...", "revision": 7, "incarnation": 1},
 *    "settings": {"identity": "...", "revision": 7, "incarnation": 1},
 *    "known": [{"record": {...}, "tunnelsAssigned": true, "incarnation": 1},
 *              {"settings": {"podveilStrictMode": "treu"}, "good": {"podveilStrictMode": "true"},
 *               "node": "worker", "source": "...", "incarnation": 1}]}
 *
 * No secret is in it: records have public keys alone. What is read is taken whole or not at all.
 * Pure.
 */
#ifndef STORE_MEMORY_FILE_H
#define STORE_MEMORY_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "store/store.h"

#define MEMORY_MAX_BYTES (64u << 20)
#define MEMORY_IDENTITY	 160
#define MEMORY_WHY	 160

enum memory_kind { MEMORY_NODES, MEMORY_SETTINGS, MEMORY_KINDS };

/* What a node published, or a document of settings. */
struct memory_entry {
	enum memory_kind kind;
	char *name;		   /* of the node; "": the cluster's settings */
	struct node_record record; /* MEMORY_NODES */
	struct store_setting *all; /* MEMORY_SETTINGS; names and values are allocated */
	unsigned int n;
	struct store_setting *good; /* what was made of them, where one is refused; NULL: none is */
	unsigned int n_good;
	char *source;
	uint64_t incarnation; /* of the store, when it was in it last */
	char why[MEMORY_WHY]; /* the store does not show it, but it stands; empty: it shows it */
	bool lost;	      /* and that is the store's trouble, not the node's */
	/* Not in the file. */
	bool seen;	  /* in the list under way */
	bool deleted;	  /* somebody was seen to delete it: the next list confirms it */
	bool was_deleted; /* the same, though it may be back since */
	bool delivered;
	TAILQ_ENTRY(memory_entry) in_list;
};

/* Which store it was that a kind's entries were in. */
struct memory_origin {
	char identity[MEMORY_IDENTITY]; /* empty: none known */
	uint64_t revision;		/* 0: none known */
	uint64_t incarnation;		/* counts the stores that were there */
};

struct memory_content {
	struct memory_origin origins[MEMORY_KINDS];
	TAILQ_HEAD(memory_entries, memory_entry) entries;
};

/* 0, or -EINVAL with what is wrong in `problem`; nothing to free unless 0. */
int memory_parse(const char *text, size_t len, struct memory_content *out, char *problem,
		 size_t room);
/* Allocated; NULL: no memory. */
char *memory_format(const struct memory_content *c);
void memory_content_fini(struct memory_content *c);

/* A copy of n settings; NULL: no memory. Of none: an array of none. */
struct store_setting *memory_copy_settings(const struct store_setting *all, unsigned int n);
void memory_free_settings(struct store_setting *all, unsigned int n);
void memory_entry_free(struct memory_entry *e);

#endif
