/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts how often another program deletes our tunnel device. Packets are lost each time, and a
 * program that does so again and again has to be stopped by a person.
 *
 * Thread: control. Initialise with {0}.
 */
#ifndef TUNNEL_DELETIONS_H
#define TUNNEL_DELETIONS_H

#include <time.h>

/* This many deletions within a minute are reported as an error. */
#define DELETIONS	  3
#define DELETIONS_SECONDS 60

struct deletions {
	time_t at[DELETIONS]; /* Unix time, s, newest first; 0: none */
	char problem[160];
};

/* The device of this name was deleted; this is logged. */
void deletions_note(struct deletions *d, const char *interface);
/* It is deleted again and again: a problem for a person, valid until the next call. NULL: it is not. */
const char *deletions_problem(struct deletions *d, const char *interface);

#endif
