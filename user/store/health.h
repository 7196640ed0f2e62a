/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The health of a store: its present problems, and since when they exist. Each problem has a
 * subject (a file, a resource, the store itself). It ends when its subject is in order again.
 * Thread: control.
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
	uint64_t errors;	      /* since opening; repeated errors count each time */
	char last_error[HEALTH_TEXT]; /* stays when the problem has ended */
	/* What says which pod addresses a node has, and why it was chosen. Empty: the store has one
	 * source, or none is in use yet. */
	char route_source[24];
	char route_source_why[HEALTH_TEXT];
	/* The present problems. */
	size_t n_problems;
	bool blind; /* at least one of them is HEALTH_BLIND */
	struct health_problem *problems;
};

enum health_extent {
	HEALTH_PART, /* a part of the store is not used */
	HEALTH_BLIND /* we do not see changes in the store */
};

/* Sets the problem of a subject. True: it is new or has another text, so the caller logs it. */
bool health_set_problem(struct store_health *h, enum health_extent extent, const char *subject,
			const char *what);
/* Ends the problem of a subject. True: it had one. */
bool health_clear_problem(struct store_health *h, const char *subject);
/* Since when (Unix time, s) the oldest problem exists; 0: there is none. */
uint64_t health_stale_since(const struct store_health *h);
/* The problems as "subject: what", one line each, the first eight. Empty: there is none. Allocated;
 * NULL: no memory. */
char *health_text(const struct store_health *h);
void health_fini(struct store_health *h);

#endif
