/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where messages for a peer go: its endpoint, and how frames get there by the uplink. Read by workers under
 * RCU and replaced by the owner, or by a worker that saw the peer roam; what is replaced lives on for a grace
 * period. Knows nothing of peers.
 */
#ifndef WIRE_DESTINATION_H
#define WIRE_DESTINATION_H

#include <stdatomic.h>
#include <urcu-qsbr.h>

#include "wire/endpoint.h"
#include "wire/frame.h"

/* How frames get to an endpoint by the uplink. Immutable but for the atomic. */
struct path {
	struct frame_headers headers;
	_Atomic uint64_t kernel_turn; /* when the kernel shall send something there next */
	struct rcu_head rcu;
};

/* The endpoint with what its replacement needs, and the way there: a new endpoint has none yet. */
struct endpoint_box {
	struct endpoint endpoint;
	struct path *path; /* (rcu) NULL: unknown, or not by the uplink */
	/* A worker missed it; cleared by whoever looks for one. */
	_Atomic bool path_missing;
	struct rcu_head rcu;
};

struct destination {
	struct endpoint_box *box; /* (rcu) NULL: none known */
};

/* Frees what hangs on it. No reader may be left. */
void destination_fini(struct destination *d);

/* Any thread, also several at once. NULL or AF_UNSPEC: forget it. Keeps the old one without memory. */
void destination_set(struct destination *d, const struct endpoint *e);
/* A copy; false: none. Any thread inside an RCU read side. */
bool destination_get(const struct destination *d, struct endpoint *out);
/* Let the kernel choose the source again (before a repeated handshake). */
void destination_forget_source(struct destination *d);
/* The same for who read the box before, in this RCU read side: where another one took its place
 * meanwhile, because the peer was heard elsewhere, that one stays as it is. */
void destination_forget_source_of(struct destination *d, struct endpoint_box *known);

/* One thread at a time; NULL: there is no path any more. Keeps the old one where it says the same, or
 * without memory. The box must be one that rcu_dereference() gave in this read side. */
void destination_set_path(struct endpoint_box *box, const struct frame_headers *headers);

#endif
