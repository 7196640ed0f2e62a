/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/stage.h"

void stage_init(struct stage *s, struct xsk *xsk, struct remote *const *remotes)
{
	s->xsk = xsk;
	s->remotes = remotes;
	s->n = s->frames = 0;
	s->serial = 0;
	TAILQ_INIT(&s->packets);
	TAILQ_INIT(&s->free_packets);
	LIST_INIT(&s->shares);
	LIST_INIT(&s->free_shares);
	for (unsigned int i = 0; i < STAGE_MAX; i++) {
		TAILQ_INSERT_TAIL(&s->free_packets, &s->packet_memory[i], by_age);
		LIST_INSERT_HEAD(&s->free_shares, &s->share_memory[i], list);
	}
}

static struct stage_share *share_find(struct stage *s, const struct remote *r)
{
	struct stage_share *share;

	LIST_FOREACH(share, &s->shares, list)
	{
		if (share->slot == r->slot && share->generation == r->generation)
			return share;
	}
	return NULL;
}

static struct stage_share *share_begin(struct stage *s, const struct remote *r)
{
	struct stage_share *share = LIST_FIRST(&s->free_shares);

	LIST_REMOVE(share, list);
	share->slot = r->slot;
	share->generation = r->generation;
	share->n = share->frames = 0;
	TAILQ_INIT(&share->packets);
	LIST_INSERT_HEAD(&s->shares, share, list);
	return share;
}

static void take_out(struct stage *s, struct staged *p)
{
	struct stage_share *share = p->share;
	struct remote *r = remote_of(s->remotes, share->slot, share->generation);

	if (r)
		atomic_fetch_sub_explicit(&r->staged, 1, memory_order_relaxed);
	xsk_release(s->xsk, &p->packet);
	s->n--;
	s->frames -= p->packet.n_frames;
	share->n--;
	share->frames -= p->packet.n_frames;
	TAILQ_REMOVE(&s->packets, p, by_age);
	TAILQ_REMOVE(&share->packets, p, in_share);
	TAILQ_INSERT_HEAD(&s->free_packets, p, by_age);
	if (!share->n) {
		LIST_REMOVE(share, list);
		LIST_INSERT_HEAD(&s->free_shares, share, list);
	}
}

/* The share with the most packets or frames; among equals, the one with the oldest packet. `own` is
 * the share that will get `packet`, which is counted in. */
static struct stage_share *fullest(struct stage *s, const struct stage_share *own,
				   const struct xsk_packet *packet, bool by_frames)
{
	struct stage_share *share, *best = NULL;
	unsigned int most = 0;

	LIST_FOREACH(share, &s->shares, list)
	{
		unsigned int has = by_frames ? share->frames : share->n;

		if (share == own)
			has += by_frames ? packet->n_frames : 1;
		if (!best || has > most ||
		    (has == most &&
		     TAILQ_FIRST(&share->packets)->serial < TAILQ_FIRST(&best->packets)->serial)) {
			best = share;
			most = has;
		}
	}
	return best;
}

/* Drops older packets until `packet` fits. False: it cannot fit, and the caller drops it. */
static bool make_room(struct stage *s, const struct xsk_packet *packet, const struct remote *r,
		      unsigned int *dropped)
{
	while (packet->n_frames <= xsk_spare_frames()) {
		struct stage_share *own = share_find(s, r), *from;

		if (atomic_load_explicit(&r->staged, memory_order_relaxed) >= MAX_STAGED_PACKETS)
			from = own;
		else if (s->n == STAGE_MAX)
			from = fullest(s, own, packet, false);
		else if (s->frames + packet->n_frames > xsk_spare_frames())
			from = fullest(s, own, packet, true);
		else
			return true;
		if (!from)
			break;
		take_out(s, TAILQ_FIRST(&from->packets));
		++*dropped;
	}
	return false;
}

unsigned int stage_hold(struct stage *s, const struct xsk_packet *packet, struct remote *r)
{
	unsigned int dropped = 0;

	if (!make_room(s, packet, r, &dropped)) {
		xsk_release(s->xsk, packet);
		return dropped + 1;
	}

	struct stage_share *share = share_find(s, r);
	struct staged *p = TAILQ_FIRST(&s->free_packets);

	if (!share)
		share = share_begin(s, r);
	TAILQ_REMOVE(&s->free_packets, p, by_age);
	p->packet.length = packet->length;
	p->packet.n_frames = packet->n_frames;
	memcpy(p->packet.frames, packet->frames, packet->n_frames * sizeof(*packet->frames));
	p->share = share;
	p->serial = s->serial++;
	p->epoch = atomic_load_explicit(&r->stage_epoch, memory_order_relaxed);
	TAILQ_INSERT_TAIL(&s->packets, p, by_age);
	TAILQ_INSERT_TAIL(&share->packets, p, in_share);
	share->n++;
	share->frames += packet->n_frames;
	s->n++;
	s->frames += packet->n_frames;
	atomic_fetch_add_explicit(&r->staged, 1, memory_order_relaxed);
	return dropped;
}

void stage_sweep(struct stage *s, bool (*visit)(void *context, const struct staged *p),
		 void *context)
{
	struct staged *p, *next;

	for (p = TAILQ_FIRST(&s->packets); p; p = next) {
		next = TAILQ_NEXT(p, by_age);
		if (visit(context, p))
			take_out(s, p);
	}
}
