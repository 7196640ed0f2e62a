/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Staged packets of one worker: what cannot be sent before a session stands (whitepaper 5.1). They
 * stay where AF_XDP put them; nothing is copied.
 *
 * Shares are fair. A peer has at most MAX_STAGED_PACKETS over all workers; beyond that its own
 * oldest makes room. The worker has STAGE_MAX packets and xsk_spare_frames() frames; beyond that
 * the oldest packet of the peer that has most of what ran out makes room. So peers that do not
 * answer never keep out the first packets of one that does.
 *
 * One thread: the worker, inside an RCU read side.
 */
#ifndef DATAPATH_STAGE_H
#define DATAPATH_STAGE_H

#include <sys/queue.h>

#include "datapath/remote.h"
#include "wire/xsk.h"

#define STAGE_MAX 256

struct stage_share;

struct staged {
	struct xsk_packet packet;
	struct stage_share *share;
	uint64_t serial; /* higher is younger */
	uint32_t epoch;	 /* of the remote when it was staged */
	TAILQ_ENTRY(staged) by_age, in_share;
};

TAILQ_HEAD(staged_list, staged);

/* What one peer has here. */
struct stage_share {
	uint32_t slot;
	uint16_t generation;
	unsigned int n, frames;
	struct staged_list packets;
	LIST_ENTRY(stage_share) list;
};

LIST_HEAD(stage_shares, stage_share);

struct stage {
	struct xsk *xsk;
	struct remote *const *remotes; /* by slot (rcu); they count what is staged for them */
	unsigned int n, frames;
	uint64_t serial;
	struct staged_list packets, free_packets; /* oldest first */
	struct stage_shares shares, free_shares;
	struct staged packet_memory[STAGE_MAX];
	struct stage_share share_memory[STAGE_MAX];
};

void stage_init(struct stage *s, struct xsk *xsk, struct remote *const *remotes);

/* Takes the packet over. How many were dropped for it: older ones, or the packet itself. */
unsigned int stage_hold(struct stage *s, const struct xsk_packet *packet, struct remote *r);

/* Shows each packet to `visit`, oldest first. Those for which it returns true are done with: their
 * frames go back and they leave the stage. */
void stage_sweep(struct stage *s, bool (*visit)(void *context, const struct staged *p),
		 void *context);

#endif
