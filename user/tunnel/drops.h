/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Explains in the log why a tunnel drops packets whose source is not allowed, because the name of
 * the counter alone does not say what to do. Logged at the first drop, then at most once in ten
 * minutes. Thread: control.
 */
#ifndef TUNNEL_DROPS_H
#define TUNNEL_DROPS_H

#include <stdint.h>
#include <time.h>

struct client_device;

/* Zero at first. */
struct drops {
	uint64_t source; /* the counter as last read */
	time_t last_logged;
};

void drops_explain(struct drops *d, struct client_device *device);

#endif
