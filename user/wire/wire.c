/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/wire.h"

#include <urcu-qsbr.h>

#include "wire/wire_parts.h"
#include "wire/wire_xdp.h"

void wire_set_queue(struct wire *w, struct wire_xdp *queue)
{
	rcu_assign_pointer(w->queue, queue);
}

int wire_fd(const struct wire *w, enum wire_part part)
{
	switch (part) {
	case WIRE_IPV4:
		return w->fd4;
	case WIRE_IPV6:
		return w->fd6;
	case WIRE_QUEUE:
		return w->queue ? wire_xdp_fd(w->queue) : -1;
	case WIRE_PARTS:
		break;
	}
	return -1;
}

/* The order of runs is kept: it is that of the packets in them. */
void wire_send(struct wire *w, struct wire_buffers *b, const struct wire_run *runs, unsigned int n,
	       struct pv_counters *count)
{
	struct wire_xdp *queue = rcu_dereference(w->queue);
	unsigned int done = 0, refused;

	while (queue && done < n) {
		done += wire_xdp_send(queue, w->port, runs + done, n - done, &refused, count);
		if (refused)
			wire_socket_send(w, b, runs + done, refused, count);
		done += refused;
	}
	if (!queue)
		wire_socket_send(w, b, runs, n, count);
}

unsigned int wire_receive(struct wire *w, struct wire_buffers *b, enum wire_part part,
			  struct wire_received out[WIRE_RECEIVE_MAX], bool *more,
			  struct pv_counters *count)
{
	struct wire_xdp *queue;
	unsigned int n;

	if (part == WIRE_QUEUE) {
		queue = rcu_dereference(w->queue);
		*more = false;
		return queue ? wire_xdp_receive(queue, out, count) : 0;
	}
	n = wire_socket_receive(w, b, part == WIRE_IPV6, out, count);
	*more = n == WIRE_RECEIVE_BUFFERS;
	return n;
}

bool wire_has_unsent(const struct wire *w)
{
	struct wire_xdp *queue = rcu_dereference(w->queue);

	return queue && wire_xdp_has_unsent(queue);
}
