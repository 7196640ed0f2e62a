/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it goes with a store: which troubles stand at this moment, since when, and what they are. A
 * trouble has a subject (a file, a resource, the store itself); it stands until its subject is well
 * again. Thread: control.
 */
#ifndef STORE_HEALTH_H
#define STORE_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEALTH_TEXT 512

struct health_problem;

struct store_health {
	uint64_t last_sync;	      /* Unix time, s; 0: never */
	uint64_t errors;	      /* since opening; one that repeats counts again */
	char last_error[HEALTH_TEXT]; /* may be over */
	/* What stands now. */
	size_t n_problems;
	bool blind; /* one of them: what changes in the store is not seen */
	struct health_problem *problems;
};

enum health_extent {
	HEALTH_PART, /* one thing in the store is not used */
	HEALTH_BLIND /* what changes is not seen */
};

/* True: this is news, and the caller logs it. */
bool health_set_problem(struct store_health *h, enum health_extent extent, const char *subject,
			const char *what);
/* True: it was in trouble until now. */
bool health_clear_problem(struct store_health *h, const char *subject);
/* Since when (Unix time, s) the oldest trouble stands; 0: all is in order. */
uint64_t health_stale_since(const struct store_health *h);
/* "subject: what", a line each, the first eight; empty: all is in order. Allocated; NULL: no
 * memory. */
char *health_text(const struct store_health *h);
void health_fini(struct store_health *h);

#endif
