/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/stage.h"

static void drop(struct stage *s, unsigned int at)
{
	s->frames -= s->packets[at].packet.n_frames;
	xsk_release(s->xsk, &s->packets[at].packet);
	memmove(&s->packets[at], &s->packets[at + 1], (s->n - at - 1) * sizeof(*s->packets));
	s->n--;
}

static bool drop_oldest(struct stage *s, struct remote *r)
{
	for (unsigned int i = 0; i < s->n; i++) {
		if (s->packets[i].slot != r->slot || s->packets[i].generation != r->generation)
			continue;
		drop(s, i);
		atomic_fetch_sub_explicit(&r->staged, 1, memory_order_relaxed);
		return true;
	}
	return false;
}

bool stage_hold(struct stage *s, const struct xsk_packet *packet, struct remote *r)
{
	bool nothing_lost = true;

	while (s->n == STAGE_MAX || s->frames + packet->n_frames > xsk_frames_spare(s->xsk) ||
	       atomic_load_explicit(&r->staged, memory_order_relaxed) >= MAX_STAGED_PACKETS) {
		nothing_lost = false;
		if (!drop_oldest(s, r)) {
			xsk_release(s->xsk, packet);
			return false;
		}
	}
	struct staged *p = &s->packets[s->n++];

	p->packet.length = packet->length;
	p->packet.n_frames = packet->n_frames;
	memcpy(p->packet.frames, packet->frames, packet->n_frames * sizeof(*packet->frames));
	p->slot = r->slot;
	p->generation = r->generation;
	p->epoch = atomic_load_explicit(&r->stage_epoch, memory_order_relaxed);
	s->frames += packet->n_frames;
	atomic_fetch_add_explicit(&r->staged, 1, memory_order_relaxed);
	return nothing_lost;
}

void stage_sweep(struct stage *s, bool (*visit)(void *context, const struct staged *p),
		 void *context)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < s->n; i++) {
		if (visit(context, &s->packets[i])) {
			s->frames -= s->packets[i].packet.n_frames;
			xsk_release(s->xsk, &s->packets[i].packet);
		} else {
			if (kept != i)
				s->packets[kept] = s->packets[i];
			kept++;
		}
	}
	s->n = kept;
}
