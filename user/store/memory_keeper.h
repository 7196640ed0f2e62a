/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps everything known of a store in a file. It is written soon after a change, again if somebody
 * removed the file, and again until it succeeds. Thread: control. */
#ifndef STORE_MEMORY_KEEPER_H
#define STORE_MEMORY_KEEPER_H

#include "store/memory_file.h"

struct event_base;
struct memory_keeper;

/* `content` and `health` must outlive the result. NULL: no memory. */
struct memory_keeper *memory_keeper_new(struct event_base *base, const char *path,
					const struct memory_content *content,
					struct store_health *health);
/* Writes the file first, if it is not up to date. `k` may be NULL. */
void memory_keeper_free(struct memory_keeper *k);
/* The content has changed. `now`: write it at once, without waiting for more changes. `k` may be
 * NULL. */
void memory_keeper_changed(struct memory_keeper *k, bool now);

/* Reads the file into an empty content. 0, also if there is no file, or a broken one, which is
 * logged. -errno: the file exists, but cannot be read now. */
int memory_keeper_load(const char *path, struct memory_content *out);

#endif
