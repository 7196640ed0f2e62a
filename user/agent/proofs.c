/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/proofs.h"

#include <string.h>
#include <time.h>

#include "base/log.h"
#include "tunnel/tunnel.h"

/* In ticks of half a second: how often nodes are asked, how often the file is written if there is
 * something new, and how often a failure to write it is logged. */
#define ASK_TICKS      20
#define SAVE_TICKS     20
#define COMPLAIN_TICKS 1200

struct collector {
	struct registry *registry;
	struct registry_observation observation;
};

static void visit_peer(void *context, const struct tunnel_peer_status *p)
{
	struct collector *s = context;

	s->observation.node = p->node;
	s->observation.key = p->key;
	s->observation.session = p->session;
	s->observation.unanswered = p->unanswered;
	registry_observe(s->registry, &s->observation);
}

void proofs_collect(struct registry *r, struct tunnel *const tunnels[REGISTRY_FAMILIES])
{
	struct collector s = {.registry = r};
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	s.observation.now = (uint64_t)now.tv_sec;
	for (int f = 0; f < REGISTRY_FAMILIES; f++) {
		s.observation.family = f;
		if (tunnel_state(tunnels[f]) == TUNNEL_ON)
			tunnel_each_peer(tunnels[f], visit_peer, &s);
	}
}

static void ask(void *context, enum registry_family family, const uint8_t key[32])
{
	struct tunnel *const *tunnels = context;

	tunnel_request_handshake(tunnels[family], key);
}

bool proofs_tick(struct registry *r, struct tunnel *const tunnels[REGISTRY_FAMILIES],
		 unsigned int tick)
{
	int err = 0;

	proofs_collect(r, tunnels);
	if (tick % ASK_TICKS == 0)
		registry_each_challenged(r, ask, (void *)tunnels);
	if (tick % SAVE_TICKS == 0)
		err = registry_save(r);
	if (err && tick % COMPLAIN_TICKS == 0)
		log_warn("the file of proved keys cannot be written",
			 "file=%s errno=%d error=\"%s\"", REGISTRY_FILE, -err, strerror(-err));
	return registry_needs_review(r);
}
