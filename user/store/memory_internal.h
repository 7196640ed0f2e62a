/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For memory.c, which changes single entries, and memory_list.c, which compares them with a
 * complete list. Thread: control.
 */
#ifndef STORE_MEMORY_INTERNAL_H
#define STORE_MEMORY_INTERNAL_H

#include "store/memory.h"

struct memory_keeper;

struct memory {
	struct memory_params params;
	char *self;
	struct memory_keeper *keeper; /* NULL: there is no file */
	struct memory_content content;
	void *index; /* of tsearch(3), by kind and name */
	size_t counts[MEMORY_KINDS], held[MEMORY_KINDS], lost[MEMORY_KINDS];
	size_t in_list[MEMORY_KINDS]; /* entries in the list under way */
	bool delivering;	      /* the last good settings are being reported */
};

/* NULL: it is not known. `name` NULL: "". */
struct memory_entry *memory_find_entry(const struct memory *m, enum memory_kind kind,
				       const char *name);
/* The file must be written again. */
void memory_changed(struct memory *m, enum memory_kind kind);
/* The store does not show the entry, but it stays in force. `lost`: the store has lost it. */
void memory_hold_entry(struct memory *m, struct memory_entry *e, const char *why, bool lost);
/* The entry was deleted: calls back, and frees it. */
void memory_delete_entry(struct memory *m, struct memory_entry *e);
/* Reports lost entries as a problem, or ends the problem when there are none any more. */
void memory_update_health(struct memory *m, enum memory_kind kind);

#endif
