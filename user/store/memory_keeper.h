/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps what is known of a store in a file: written soon after it changed, again when somebody
 * removed it, and until it succeeds. Thread: control. */
#ifndef STORE_MEMORY_KEEPER_H
#define STORE_MEMORY_KEEPER_H

#include "store/memory_file.h"

struct event_base;
struct memory_keeper;

/* Both outlive it. NULL: no memory. */
struct memory_keeper *memory_keeper_new(struct event_base *base, const char *path,
					const struct memory_content *content,
					struct store_health *health);
/* What is due is written. NULL: nothing. */
void memory_keeper_free(struct memory_keeper *k);
/* The content has changed. `now`: it cannot wait for more. NULL: nobody keeps it. */
void memory_keeper_changed(struct memory_keeper *k, bool now);

/* What was kept there, into an empty content. 0, also where there is nothing, or nothing that can be
 * understood, which is logged; -errno: it is there, but cannot be read now. */
int memory_keeper_load(const char *path, struct memory_content *out);

#endif
