/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file in which a node keeps everything that it knows of its store (store/memory.h). Its
 * format:
 *
 *   {"version": 1,
 *    "nodes": {"identity": "...", "revision": 7, "incarnation": 1},
 *    "settings": {"identity": "...", "revision": 7, "incarnation": 1},
 *    "known": [{"record": {...}, "tunnelsAssigned": true, "routeSource": "CalicoIPAM",
 *               "incarnation": 1},
 *              {"settings": {"podveilStrictMode": "treu"}, "good": {"podveilStrictMode": "true"},
 *               "node": "worker", "source": "...", "incarnation": 1}]}
 *
 * It contains no secret: records have public keys only. A file is used completely or not at all.
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

/* The record of a node, or a document of settings. */
struct memory_entry {
	enum memory_kind kind;
	char *name;		   /* of the node; "": the cluster's settings */
	struct node_record record; /* MEMORY_NODES */
	struct store_setting *all; /* MEMORY_SETTINGS; names and values are allocated */
	unsigned int n;
	struct store_setting *good; /* in force if one of `all` is refused; NULL: none is refused */
	unsigned int n_good;
	char *source;
	uint64_t incarnation; /* of the store in which it was seen last */
	char why[MEMORY_WHY]; /* why it is held; empty: the store shows it */
	bool lost;	      /* it is held because the store has lost it */
	/* Not in the file. */
	bool seen;	  /* it is in the list under way */
	bool deleted;	  /* an event says it was deleted; the next list decides */
	bool was_deleted; /* the same, but stays set if it comes back before the next list */
	bool delivered;	  /* it was reported with a callback */
	TAILQ_ENTRY(memory_entry) in_list;
};

/* The store from which a kind's entries come. */
struct memory_origin {
	char identity[MEMORY_IDENTITY]; /* empty: not known */
	uint64_t revision;		/* 0: not known */
	uint64_t incarnation;		/* counts how often the store was replaced or restored */
};

struct memory_content {
	struct memory_origin origins[MEMORY_KINDS];
	TAILQ_HEAD(memory_entries, memory_entry) entries;
};

/* 0, or -EINVAL with what is wrong in `problem`; on error there is nothing to free. */
int memory_parse(const char *text, size_t len, struct memory_content *out, char *problem,
		 size_t room);
/* Allocated; NULL: no memory. */
char *memory_format(const struct memory_content *c);
void memory_content_fini(struct memory_content *c);

/* A copy of n settings; NULL: no memory. For n 0 an empty array, not NULL. */
struct store_setting *memory_copy_settings(const struct store_setting *all, unsigned int n);
void memory_free_settings(struct store_setting *all, unsigned int n);
void memory_entry_free(struct memory_entry *e);

#endif
