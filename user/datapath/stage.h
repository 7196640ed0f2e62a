/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Staged packets of one worker: what cannot be sent before a session stands (whitepaper 5.1). They
 * stay where AF_XDP put them; nothing is copied. At most MAX_STAGED_PACKETS a peer over all
 * workers, and a quarter of the worker's frames; beyond that a peer's oldest packet makes room.
 *
 * One thread: the worker.
 */
#ifndef DATAPATH_STAGE_H
#define DATAPATH_STAGE_H

#include "datapath/remote.h"
#include "datapath/xsk.h"

#define STAGE_MAX 256

struct staged {
	struct xsk_packet packet;
	uint32_t slot;
	uint16_t generation;
	uint32_t epoch; /* of the remote when it was staged */
};

struct stage {
	struct xsk *xsk;
	unsigned int n;
	unsigned int frames;
	struct staged packets[STAGE_MAX]; /* oldest first */
};

/* Takes the packet over. False where it, or an older one in its place, was dropped. */
bool stage_hold(struct stage *s, const struct xsk_packet *packet, struct remote *r);

/* Shows each packet to `visit`, oldest first. Those for which it returns true are done with: their
 * frames go back and they leave the stage. */
void stage_sweep(struct stage *s, bool (*visit)(void *context, const struct staged *p),
		 void *context);

#endif
