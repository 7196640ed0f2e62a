/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses of hosts whose names are peers' endpoints. Lookups run beside the event loop's other
 * work. An address that was found stays in force until another one is found. Thread: control.
 */
#ifndef AGENT_NAMES_H
#define AGENT_NAMES_H

#include <stdbool.h>

#include "base/cidr.h"

struct event_base;
struct names;

/* `changed`: a name has an address now, or another one. NULL: no memory. */
struct names *names_new(struct event_base *base, void (*changed)(void *context), void *context);
void names_free(struct names *n);

/* The address of a host: what was found last, or the host itself if it is an address. False: none
 * is known; if it is a name, a lookup has begun. Of several addresses, one of `family` is taken if
 * there is one. */
bool names_find(struct names *n, const char *host, int family, struct cidr *out);
/* The host does not answer: looks its name up again, but not more often than every five seconds. */
void names_look_up_again(struct names *n, const char *host);
/* Forgets names that names_find() was not asked for since the last call. */
void names_forget_unused(struct names *n);

#endif
