/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Staged packets of one worker: packets that wait until a session is established (whitepaper 5.1).
 * They stay where AF_XDP put them; nothing is copied.
 *
 * Shares are fair. A peer may have at most MAX_STAGED_PACKETS over all workers; for one more, its
 * own oldest packet is dropped. A worker may hold STAGE_MAX packets and xsk_spare_frames() frames.
 * If one of these runs out, the oldest packet of the peer that uses most of it is dropped. So peers
 * that do not answer cannot keep out the first packets of a peer that does.
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

/* The staged packets of one peer. */
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
	struct remote *const *remotes; /* by slot (rcu); each counts its staged packets */
	unsigned int n, frames;
	uint64_t serial;
	struct staged_list packets, free_packets; /* oldest first */
	struct stage_shares shares, free_shares;
	struct staged packet_memory[STAGE_MAX];
	struct stage_share share_memory[STAGE_MAX];
};

void stage_init(struct stage *s, struct xsk *xsk, struct remote *const *remotes);

/* Takes ownership of the packet. Returns how many packets were dropped: older ones to make room, or
 * the packet itself. */
unsigned int stage_hold(struct stage *s, const struct xsk_packet *packet, struct remote *r);

/* Calls `visit` for each packet, oldest first. If it returns true, the packet leaves the stage and
 * its frames are released. */
void stage_sweep(struct stage *s, bool (*visit)(void *context, const struct staged *p),
		 void *context);

#endif
