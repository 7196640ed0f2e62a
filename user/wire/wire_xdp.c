/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/wire_xdp.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "protocol/limits.h"
#include "wire/destination.h"
#include "wire/frame.h"
#include "wire/xsk.h"

/* This often one run to each peer goes through a socket: the kernel checks whether the neighbour is
 * still there only for packets that it sends itself. */
#define KERNEL_TURN NSEC_PER_SEC

struct wire_xdp {
	struct xsk *xsk;
	int ifindex, path_missing_fd;
	uint16_t id;	 /* of the next IPv4 packet */
	bool has_unsent; /* the device has not taken all frames yet */
	unsigned int n_held;
	struct iovec held[WIRE_RECEIVE_MAX]; /* received, and with the worker */
};

int wire_xdp_open(const struct wire_xdp_params *params, struct wire_xdp **out)
{
	const struct xsk_params xp = {
		.ifindex = params->ifindex,
		.queue = params->queue,
		.sends = true,
		.zero_copy = params->zero_copy,
		.fwmark = params->fwmark,
	};
	struct wire_xdp *q = calloc(1, sizeof(*q));
	int err;

	if (!q)
		return -ENOMEM;
	q->ifindex = params->ifindex;
	q->path_missing_fd = params->path_missing_fd;
	/* Several workers send to one peer: their IP ids start far apart, so that they do not
	 * collide. */
	q->id = (uint16_t)(clock_now() + params->queue * (UINT16_MAX / PV_MAX_WORKERS));
	err = xsk_open(&xp, &q->xsk);
	if (err) {
		free(q);
		return err;
	}
	*out = q;
	return 0;
}

void wire_xdp_hand(struct wire_xdp *q, struct wire_xdp_handed *out)
{
	xsk_release_frames(q->xsk, q->held, q->n_held);
	q->n_held = 0;
	xsk_hand(q->xsk, &out->xsk);
	out->id = q->id;
}

int wire_xdp_adopt(const struct wire_xdp_params *params, const struct wire_xdp_handed *handed,
		   struct wire_xdp **out)
{
	struct wire_xdp *q = calloc(1, sizeof(*q));
	int err;

	if (!q)
		return -ENOMEM;
	q->ifindex = params->ifindex;
	q->path_missing_fd = params->path_missing_fd;
	q->id = handed->id;
	q->has_unsent = true; /* perhaps: the next flush tells */
	err = xsk_adopt(&handed->xsk, &q->xsk);
	if (err)
		free(q);
	else
		*out = q;
	return err;
}

void wire_xdp_close(struct wire_xdp *q)
{
	if (!q)
		return;
	xsk_close(q->xsk);
	free(q);
}

int wire_xdp_fd(const struct wire_xdp *q)
{
	return xsk_fd(q->xsk);
}

int wire_xdp_set_fwmark(struct wire_xdp *q, uint32_t fwmark)
{
	return xsk_set_fwmark(q->xsk, fwmark);
}

bool wire_xdp_waiting(const struct wire_xdp *q)
{
	return xsk_waiting(q->xsk);
}

/* Asks for a path by a system call, once per endpoint until there is one. */
static void report_missing_path(struct wire_xdp *q, struct endpoint_box *box)
{
	const uint64_t one = 1;

	if (atomic_load_explicit(&box->path_missing, memory_order_relaxed) ||
	    atomic_exchange_explicit(&box->path_missing, true, memory_order_relaxed))
		return;
	/* EAGAIN: a request is pending already. */
	if (write(q->path_missing_fd, &one, sizeof(one)) < 0)
		return;
}

/* The way to a run's peer, or NULL: let the kernel send it. */
static struct path *path_of(struct wire_xdp *q, const struct wire_run *run, uint64_t now)
{
	struct endpoint_box *box = rcu_dereference(run->to->box);
	struct path *path = box ? rcu_dereference(box->path) : NULL;
	uint64_t turn;

	if (!path) {
		if (box)
			report_missing_path(q, box);
		return NULL;
	}
	if (run->segment > path->headers.largest)
		return NULL;
	turn = atomic_load_explicit(&path->kernel_turn, memory_order_relaxed);
	if (now >= turn &&
	    atomic_compare_exchange_strong_explicit(&path->kernel_turn, &turn, now + KERNEL_TURN,
						    memory_order_relaxed, memory_order_relaxed))
		return NULL;
	return path;
}

static bool has_path(const struct wire_run *run)
{
	const struct endpoint_box *box = rcu_dereference(run->to->box);

	return box && rcu_dereference(box->path);
}

static void queue_run(struct wire_xdp *q, const struct path *path, uint16_t port,
		      const struct wire_run *run)
{
	for (uint32_t at = 0; at < run->length; at += run->segment) {
		const uint32_t left = run->length - at;
		const uint32_t length = left < run->segment ? left : run->segment;
		uint8_t *frame = xsk_frame(q->xsk);

		xsk_queue(q->xsk, frame,
			  frame_build(frame, &path->headers, port, run->data + at, length, run->tos,
				      q->id++));
	}
}

static void flush(struct wire_xdp *q, struct pv_counters *count)
{
	bool all;

	count->wire_sends += xsk_flush(q->xsk, &all);
	q->has_unsent = !all;
}

unsigned int wire_xdp_send(struct wire_xdp *q, uint16_t port, const struct wire_run *runs,
			   unsigned int n, unsigned int *refused, struct pv_counters *count)
{
	const uint64_t now = clock_now();
	unsigned int room = xsk_available_frames(q->xsk), taken = 0;
	uint64_t messages = 0;

	*refused = 0;
	for (; taken < n; taken++) {
		const struct wire_run *run = &runs[taken];
		struct path *path = run->messages <= room ? path_of(q, run, now) : NULL;

		if (!path)
			break;
		queue_run(q, path, port, run);
		room -= run->messages;
		messages += run->messages;
	}
	if (messages || q->has_unsent)
		flush(q, count);
	count->wire_messages_sent += messages;
	count->wire_frames_sent += messages;
	if (taken == n)
		return taken;
	/* This run, those that follow it to the same peer, and those without a path. */
	*refused = 1;
	while (taken + *refused < n &&
	       (runs[taken + *refused].to == runs[taken].to || !has_path(&runs[taken + *refused])))
		++*refused;
	return taken;
}

unsigned int wire_xdp_receive(struct wire_xdp *q, struct wire_received out[WIRE_RECEIVE_MAX],
			      struct pv_counters *count)
{
	unsigned int n = 0;

	if (q->has_unsent)
		flush(q, count);
	if (q->n_held) {
		xsk_release_frames(q->xsk, q->held, q->n_held);
		xsk_refill(q->xsk);
	}
	q->n_held = xsk_receive_frames(q->xsk, q->held, WIRE_RECEIVE_MAX);
	count->wire_receives += q->n_held > 0;
	for (unsigned int i = 0; i < q->n_held; i++) {
		if (frame_read(q->held[i].iov_base, (uint32_t)q->held[i].iov_len, q->ifindex,
			       &out[n]))
			n++;
		else
			count->drop_bad_message++;
	}
	count->wire_frames_received += n;
	return n;
}

bool wire_xdp_has_unsent(const struct wire_xdp *q)
{
	return q->has_unsent;
}

void wire_xdp_count(struct wire_xdp *q, struct pv_counters *count)
{
	struct xsk_statistics fresh;

	xsk_statistics(q->xsk, &fresh);
	count->xsk_rx_dropped += fresh.rx_dropped;
	count->xsk_ring_full += fresh.ring_full;
	count->xsk_fill_empty += fresh.fill_empty;
}
