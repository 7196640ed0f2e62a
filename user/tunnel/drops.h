/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drops of a tunnel whose reason says little to who does not know it: they are explained in the log,
 * when the first one occurs and then at most once in ten minutes. Thread: control.
 */
#ifndef TUNNEL_DROPS_H
#define TUNNEL_DROPS_H

#include <stdint.h>
#include <time.h>

struct device;

/* Zero at first. */
struct drops {
	uint64_t source; /* as last seen */
	time_t last_logged;
};

void drops_explain(struct drops *d, struct device *device);

#endif
