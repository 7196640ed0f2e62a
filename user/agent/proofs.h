/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the registry's proofs come from: what tunnels say of their peers. Thread: control.
 */
#ifndef AGENT_PROOFS_H
#define AGENT_PROOFS_H

#include <stdbool.h>
#include <stddef.h>

#include "plan/registry.h"

struct tunnel;

/* `tunnels`: that of IPv4 pods, and that of IPv6 pods. */
void proofs_collect(struct registry *r, struct tunnel *const tunnels[REGISTRY_FAMILIES]);
/* Twice a second, `tick` times so far: sees, asks nodes that others contradict whether they still
 * answer, and writes what was proved. True: records are to be reviewed. */
bool proofs_tick(struct registry *r, struct tunnel *const tunnels[REGISTRY_FAMILIES],
		 unsigned int tick);

#endif
