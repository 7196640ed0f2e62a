/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collects the proofs for the registry from the tunnels: which peers have sessions. Thread:
 * control.
 */
#ifndef AGENT_PROOFS_H
#define AGENT_PROOFS_H

#include <stdbool.h>
#include <stddef.h>

#include "plan/registry.h"

struct tunnel;

/* `tunnels`: for IPv4 pods, then for IPv6 pods. */
void proofs_collect(struct registry *r, struct tunnel *const tunnels[REGISTRY_FAMILIES]);
/* Call this twice a second; `tick` counts the calls. Collects proofs, asks nodes that others
 * contradict for a handshake, and writes the proofs to a file. True: review the records again. */
bool proofs_tick(struct registry *r, struct tunnel *const tunnels[REGISTRY_FAMILIES],
		 unsigned int tick);

#endif
