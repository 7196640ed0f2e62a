/* SPDX-License-Identifier: Apache-2.0 */
/* Holds the workers, and hands their sockets and staged packets to another process. */
#include <errno.h>
#include <urcu-qsbr.h>

#include "datapath/worker.h"
#include "wire/wire_open.h"

void datapath_hold(struct datapath *d)
{
	hold_begin(&d->hold);
	datapath_kick(d);
	hold_wait(&d->hold, d->n_workers);
}

void datapath_release(struct datapath *d)
{
	hold_end(&d->hold);
}

int workers_adopt_wires(struct datapath *d)
{
	int err = 0;

	for (unsigned int i = 0; i < d->params.n_handed && !err; i++) {
		struct wire *wire;

		if (d->params.handed[i].wire.fd4 < 0)
			continue;
		err = wire_adopt(&d->params.handed[i].wire, &wire);
		if (!err)
			worker_set_wire(d->workers[i], wire, NULL);
	}
	return err;
}

void datapath_hand(struct datapath *d, unsigned int i, struct datapath_handed *out)
{
	const struct worker *w = d->workers[i];

	out->wire = (struct wire_handed){.fd4 = -1, .fd6 = -1};
	xsk_hand(w->xsk, &out->xsk);
	if (w->wire)
		wire_hand(w->wire, &out->wire);
}

bool datapath_hand_queue(struct datapath *d, unsigned int i, struct wire_xdp_handed *out)
{
	if (!d->workers[i]->queue)
		return false;
	wire_xdp_hand(d->workers[i]->queue, out);
	return true;
}

int datapath_adopt_queue(struct datapath *d, unsigned int i, const struct datapath_uplink *u,
			 const struct wire_xdp_handed *handed)
{
	const struct wire_xdp_params p = {
		.ifindex = u->ifindex,
		.path_missing_fd = u->path_missing_fd,
	};
	struct wire_xdp *queue;
	int err = wire_xdp_adopt(&p, handed, &queue);

	if (err)
		return err;
	worker_set_queue(d->workers[i], queue);
	return programs_set_divert_socket(d->params.programs, i, wire_xdp_fd(queue));
}

void datapath_staged_each(struct datapath *d, unsigned int i,
			  void (*each)(const struct datapath_staged *s, void *context),
			  void *context)
{
	const struct worker *w = d->workers[i];
	const struct staged *p;

	TAILQ_FOREACH (p, &w->stage.packets, by_age) {
		struct datapath_staged s = {
			.slot = p->share->slot,
			.generation = p->share->generation,
			.n_frames = p->packet.n_frames,
		};

		for (uint32_t k = 0; k < s.n_frames; k++) {
			s.offsets[k] = xsk_offset(w->xsk, p->packet.frames[k].iov_base);
			s.lengths[k] = (uint32_t)p->packet.frames[k].iov_len;
		}
		each(&s, context);
	}
}

int datapath_stage(struct datapath *d, unsigned int i, const struct datapath_staged *s)
{
	struct worker *w = i < d->n_workers ? d->workers[i] : NULL;
	struct xsk_packet packet;
	struct remote *r;

	if (!w || !xsk_packet_at(w->xsk, s->offsets, s->lengths, s->n_frames, &packet))
		return -EINVAL;
	r = remote_of(d->remotes, s->slot, s->generation);
	if (!r) {
		w->count->drop_stale_peer++;
		xsk_release(w->xsk, &packet);
		return 0;
	}
	w->count->drop_staged_full += stage_hold(&w->stage, &packet, r);
	return 0;
}
