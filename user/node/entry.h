/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fast path on entry of one tunnel: pods' devices whose names match podveilEntryInterfaces lead
 * straight into it (bpf/entry.h), as its routes say, past everything between a pod's device and the
 * tunnel's: NetworkPolicy, conntrack, reverse-path filtering. Off unless set.
 *
 * It is never needed: what fails here is logged, and packets take the usual way. It goes before the
 * routes do and follows them at each change, so that it leads nowhere where they do not. Thread:
 * control.
 */
#ifndef NODE_ENTRY_H
#define NODE_ENTRY_H

#include <stdbool.h>
#include <stddef.h>

#include "netlink/route.h"
#include "node/settings.h"

struct device;
struct entry;

struct entry *entry_new(int family); /* off; NULL: no memory */
void entry_free(struct entry *e);    /* what is attached stays */

/* The tunnel's device stands, and settings are these: on, with nothing attached yet, or off. */
void entry_prepare(struct entry *e, struct device *d, const struct settings *s);
/* The tunnel's routes, in any order, before they become so. */
void entry_routes(struct entry *e, const struct route *routes, size_t n);
/* Devices come and go: attached to all that match, and to no others. Never to `uplink`; 0: as told
 * before. */
void entry_follow(struct entry *e, int uplink);
/* The device ends. `detach`: nothing leads into it any more; else what comes is dropped there. */
void entry_stop(struct entry *e, bool detach);

/* Detaches from every device what a process before us left for a tunnel of this family. */
void entry_sweep(int family);

struct entry_view {
	bool on;
	size_t interfaces;   /* that have it */
	const char *problem; /* why it is not on although it is set; NULL: none */
};
struct entry_view entry_look(const struct entry *e);

/* Does one of the patterns match? */
bool entry_matches(const struct settings *s, const char *interface);

#endif
